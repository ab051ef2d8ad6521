//! What the tests share. Each test binary uses a part of it.
#![allow(dead_code, unreachable_pub, clippy::expect_used)]

pub mod census;
pub mod disk;
pub mod engine;
pub mod fixtures;
pub mod guest;
pub mod kernel;
pub mod model;
pub mod process;
pub mod redis;
pub mod relay;
pub mod resp;
pub mod seat;
pub mod secrets;
pub mod several;
pub mod simulated;
pub mod spread;
pub mod transform;
