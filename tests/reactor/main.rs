//! The reactor as its handlers see it: on a kernel in memory, where anything can go wrong at any
//! time, and on the kernel that the tests run on.

#![allow(clippy::expect_used, clippy::unwrap_used)] // helpers of tests are tests

mod child;
mod edges;
mod endings;
mod faults;
mod real;
mod recorder;
mod sockets;
mod standard;
mod streams;
#[path = "../support/mod.rs"]
mod support;
mod traffic;
mod transforms;
mod waits;
