//! The program as its user runs it, with a relay that plays tricks: nothing wrong is shown, nothing
//! is sealed to a key that was not accepted, a warning names the trick, and the next good message
//! comes through in the same process.
//!
//! The clients speak TLS with it, as they do by themselves; where the bytes of the stream matter,
//! the same is done in the clear too. `middle.rs` has a relay that is honest and somebody between.
//!
//! `tests/client` has more of the same in memory, where time can be made to pass.

#![allow(clippy::expect_used, clippy::unwrap_used)] // helpers of tests are tests

mod flood;
mod frames;
mod impostor;
mod messages;
mod middle;
mod relay;
mod sessions;
mod stage;
#[path = "../support/mod.rs"]
mod support;
mod swaps;
mod terminal;
mod workflow;
