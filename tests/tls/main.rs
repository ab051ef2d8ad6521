//! TLS: the engine alone, the relay with it, and programs that no one here wrote at the other end.

#![allow(clippy::expect_used, clippy::unwrap_used)] // helpers of tests are tests

mod client;
mod engine;
mod openssl;
mod proxy;
mod relay;
mod signed;
#[path = "../support/mod.rs"]
mod support;
