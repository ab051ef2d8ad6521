//! The client as its view sees it: against a relay that behaves, and against one that does not.
//!
//! Everything runs on the kernel in memory, with real keys, and no time passes but what a test lets
//! pass.

#![allow(clippy::expect_used)] // helpers of tests are tests

mod boxes;
mod conversation;
mod evil;
mod evil_letters;
mod hostile;
mod letters;
mod link;
mod recovery;
mod strangers;
#[path = "../support/mod.rs"]
mod support;
mod trust;
mod world;
