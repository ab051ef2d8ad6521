//! What goes wrong with epoll, each shown once on descriptors of this very kernel.
//!
//! Nothing of ours runs here: these are the facts that `src/reactor` is built around, and
//! `docs/loop` tells each of them where it matters. A test says in the manual page's terms what the
//! kernel does, and fails on a kernel that does otherwise. What is said of a spin is a count of
//! waits that returned at once, never a time.

#![allow(clippy::expect_used, clippy::unwrap_used)] // helpers of tests are tests

#[path = "../reactor/child.rs"]
mod child;
mod descriptors;
mod edge;
mod identity;
mod inheritance;
mod instance;
mod resets;
mod spins;
mod within;
