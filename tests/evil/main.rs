//! The program as its user runs it, with a relay that plays tricks: nothing wrong is shown, nothing
//! is sealed to a key that was not accepted, a warning names the trick, and the next good message
//! comes through in the same process.
//!
//! `tests/client` has more of the same in memory, where time can be made to pass.

#![allow(clippy::expect_used)] // a test says what it expects

mod flood;
mod frames;
mod impostor;
mod messages;
mod relay;
mod sessions;
mod stage;
#[path = "../support/mod.rs"]
mod support;
mod swaps;
mod terminal;
mod workflow;
