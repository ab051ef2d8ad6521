//! The real loop, relay and clients on a simulated machine, driven by one number.
//!
//! A seed decides what everybody says and does, what the kernel answers, how long things travel
//! and who runs next; nothing else does, so a seed that fails fails again. `docs/testing.md` says
//! what is promised, and how to run more of them:
//!
//! ```text
//! cargo test --test simulation                        a thousand seeds
//! SEALWAX_SEEDS=10000 cargo test --test simulation    so many
//! SEALWAX_SEED=42 cargo test --test simulation -- --nocapture    one of them, in words
//! ```

#![allow(clippy::expect_used)] // helpers of tests are tests

mod dice;
mod disk;
mod ledger;
mod original;
mod plot;
mod post;
mod relay;
#[path = "../support/mod.rs"]
mod support;
mod trace;
mod user;
#[path = "../../fuzz/src/vault.rs"]
mod vault;
mod weather;
mod world;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use self::plot::{Outcome, play};
use self::trace::Trace;

/// How many seeds are played unless `SEALWAX_SEEDS` says otherwise.
const SEEDS: u64 = 1000;
/// How many lines that led to a failure are shown, unless `SEALWAX_LINES` says otherwise.
const LINES: usize = 100;
/// What has to have happened in that many.
const FAULTS: [&str; 3] = ["Wait EINTR", "Read short", "Writev short"];

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// Plays a seed; where it fails, tells why, and what led to it.
fn replay(seed: u64) -> Result<Outcome, String> {
    let fault = match catch_unwind(|| play(seed, Trace::default())) {
        Ok(outcome) => return Ok(outcome),
        Err(fault) => words(&*fault),
    };
    let lines = number("SEALWAX_LINES").and_then(|lines| lines.try_into().ok());
    let trace = Trace::kept(lines.unwrap_or(LINES));
    let again = catch_unwind(AssertUnwindSafe(|| play(seed, trace.clone())));
    let is_exact = again.is_err_and(|again| words(&*again) == fault);
    let note = if is_exact { "" } else { "\nIT DOES NOT REPLAY EXACTLY" };
    Err(format!("{}seed {seed}: {fault}{note}", trace.text()))
}

/// What a panic said.
fn words(fault: &(dyn Any + Send)) -> String {
    let owned = fault.downcast_ref::<String>().cloned();
    owned.or_else(|| fault.downcast_ref().map(|text: &&str| (*text).to_owned())).unwrap_or_default()
}

#[test]
fn whatever_the_seed_every_promise_is_kept() {
    if let Some(seed) = number("SEALWAX_SEED") {
        let outcome = replay(seed).unwrap_or_else(|failed| panic!("{failed}"));
        return println!("{outcome}");
    }
    let seeds = number("SEALWAX_SEEDS").unwrap_or(SEEDS);
    let workers = thread::available_parallelism().map_or(1, |count| count.get() as u64);
    // The first failure ends it for all: the seeds are taken in turn.
    let next = AtomicU64::new(0);
    let work = || -> Result<Outcome, String> {
        let mut all = Outcome::default();
        loop {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= seeds {
                return Ok(all);
            }
            let outcome = replay(seed).inspect_err(|_| next.store(seeds, Relaxed))?;
            all.add(&outcome);
        }
    };
    let results: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().expect("panics are caught")).collect()
    });
    let mut all = Outcome::default();
    for result in results {
        all.add(&result.unwrap_or_else(|failed| panic!("{failed}")));
    }
    println!("{seeds} seeds\n{all}");
    if seeds >= SEEDS {
        for fault in FAULTS {
            assert!(all.faults.get(fault).is_some_and(|count| *count > 0), "no {fault}");
        }
    }
}
