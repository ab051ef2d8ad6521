//! What several relays keep in common: the machines of `src/cluster`, the scripts on a real engine (a
//! `redis-server`, or what `SEALWAX_TEST_ENGINE` says), and the model of them that simulations use.

#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)] // a test says what it expects

#[path = "../support"]
mod support {
    #![allow(dead_code)]
    pub mod engine;
    pub mod fixtures;
    pub mod kernel;
    pub mod model;
    pub mod process;
    pub mod redis;
    pub mod resp;
    pub mod secrets;
    pub mod spread;
}

mod bad_engines;
mod commands;
mod differential;
mod members;
mod real;
mod resp;
mod simulated;
mod valkey;
mod world;
