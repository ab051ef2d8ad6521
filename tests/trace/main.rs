//! The trace of the loop: what it tells of a conversation on a kernel in memory, exactly, and what
//! becomes of it and of the program where nobody takes it.

#![allow(clippy::expect_used)] // a test says what it expects

#[path = "../support/mod.rs"]
mod support;

mod processes;
mod watched;
mod words;
