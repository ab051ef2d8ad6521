//! Holds the text to the code: what the documents name exists, what they quote stands
//! there, and what they call runnable runs.
//!
//! What is checked, by its form in the text:
//!
//! - `` `a/path` `` and `` `file.rs` ``: a file or a folder (`names.rs`);
//! - `` `function` in `file.rs` ``, `` `function`, `file.rs` ``: defined there;
//! - `` `Type::name` ``, and a name in snake case or capitals: defined or used in the sources;
//! - `` `--option` ``, `` `sealwax COMMAND` ``, also in blocks of commands: known to the program;
//! - a block with `<!-- same as FILE -->` behind it: stands there, line by line (`quotes.rs`);
//! - a block with `<!-- change from FILE to FILE -->` behind it: its lines without `+` stand in the
//!   first file, those without `-` in the second;
//! - a block with `<!-- runs -->` behind it: runs, with a home of its own (`commands.rs`);
//! - a line that starts `sealwax` in another block of commands, and each example of `--help`: runs,
//!   and does what it promises (`examples.rs`, `stages`);
//! - each answer of a chapter of `docs/loop` ends with functions, in brackets: defined in the file
//!   that it names, or else in `src/reactor/tick.rs` (`names.rs`);
//! - the nine servers of `docs/loop/stages.md`: what its tables say of them, and the page to print
//!   (`servers.rs`).

#![allow(clippy::expect_used, clippy::unwrap_used)] // a test says what it expects

mod commands;
mod examples;
mod foreign;
mod names;
mod quotes;
mod servers;
mod text;
