//! Load under faults: the built relay as a process, users by the hundred, and something that goes
//! wrong beside them.
//!
//! What is asserted is counts: nothing lost, nothing twice, no descriptor left over, memory where
//! it was. Times are printed and never asserted. Each has a short form, which `cargo test` runs,
//! and a long one:
//!
//! ```text
//! SEALWAX_SOAK=long cargo test --release --test soak -- --nocapture [NAME]
//! ```

#![allow(clippy::expect_used)] // a test says what it expects

mod comings;
mod crowd;
mod crowds;
mod gauge;
mod stops;
#[path = "../support/mod.rs"]
mod support;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Asks for the long forms.
const VARIABLE: &str = "SEALWAX_SOAK";

/// How much is done: `short` in the ordinary tests, `long` where that was asked for.
fn scaled<T>(short: T, long: T) -> T {
    if is_long() { long } else { short }
}

fn is_long() -> bool {
    std::env::var_os(VARIABLE).is_some_and(|value| value == "long")
}

/// One after the other: each of them means to have the machine for itself.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A figure, for whoever looks (`--nocapture`).
fn figure(name: &str, value: impl std::fmt::Display) {
    println!("  {name:<44} {value}");
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}
