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

mod acts;
mod calm;
mod channel;
mod dice;
mod disk;
mod engine;
mod fixed;
mod known;
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

use self::fixed::Struck;
use self::plot::{Outcome, play};
use self::trace::Trace;

/// How many seeds are played unless `SEALWAX_SEEDS` says otherwise.
const SEEDS: u64 = 1000;
/// How many lines that led to a failure are shown; of a seed that was asked for, all are.
const LINES: usize = 100;
/// How many seeds are played twice, and compared.
const AGAIN: u64 = 20;
/// What has to have happened in that many: each of it at least once.
const FAULTS: [&str; 61] = [
    "Accept EAGAIN",
    "Accept ECONNABORTED",
    "Accept EINTR",
    "Accept EMFILE",
    "Accept ENFILE",
    "Accept ENOBUFS",
    "Accept ENOMEM",
    "Accept EPROTO",
    "Connect EADDRNOTAVAIL",
    "Connect EMFILE",
    "Connect ENETUNREACH",
    "Connect ENOBUFS",
    "Error ECONNREFUSED",
    "Error ETIMEDOUT",
    "Read EAGAIN",
    "Read ECONNRESET",
    "Read EINTR",
    "Read ENOBUFS",
    "Read ENOMEM",
    "Read ETIMEDOUT",
    "Read short",
    "Shutdown ENOTCONN",
    "Wait EINTR",
    "Wait spurious event",
    "Wait stale event",
    "Wait stale event, slot used again",
    "Watch ENOMEM",
    "Watch ENOSPC",
    "Writev EAGAIN",
    "Writev ECONNRESET",
    "Writev EINTR",
    "Writev ENOBUFS",
    "Writev ENOMEM",
    "Writev EPIPE",
    "Writev short",
    "bad frame",
    "client speaks TLS",
    "clock jumped",
    "delayed delivery",
    "descriptors exhausted",
    "frame that does not end",
    "garbage",
    "half close",
    "half frame",
    "original speaks TLS",
    "output blocked",
    "question",
    "queue_full",
    "record that does not open",
    "relay killed",
    "relay stopped",
    "relay told to end",
    "relay's state lost",
    "reset by the other end",
    "slow reader",
    "store failed",
    "store full",
    "told of edges only",
    "user killed",
    "user left",
    "user stopped",
];

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// Plays it; where it fails, plays it again, and tells what led to it.
fn replay<T>(what: &str, play: impl Fn(Trace) -> T) -> Result<T, String> {
    let fault = match catch_unwind(AssertUnwindSafe(|| play(Trace::default()))) {
        Ok(outcome) => return Ok(outcome),
        Err(fault) => words(&*fault),
    };
    let trace = Trace::kept(LINES);
    let again = catch_unwind(AssertUnwindSafe(|| play(trace.clone())));
    let is_exact = again.is_err_and(|again| words(&*again) == fault);
    let note = if is_exact { "" } else { "\nIT DOES NOT REPLAY EXACTLY" };
    Err(format!("{}{what}: {fault}{note}", trace.text()))
}

fn replay_seed(seed: u64) -> Result<Outcome, String> {
    replay(&format!("seed {seed}"), |trace| play(seed, trace))
}

/// Takes the numbers from 0 on by turns, on all processors, until one has nothing to do for its
/// number or fails.
fn by_turns<T>(work: impl Fn(u64, &mut T) -> Result<bool, String> + Sync) -> Vec<T>
where
    T: Default + Send,
{
    let (workers, next) =
        (thread::available_parallelism().map_or(1, usize::from), AtomicU64::new(0));
    let worker = || {
        let mut all = T::default();
        while work(next.fetch_add(1, Relaxed), &mut all).inspect_err(|_| {
            next.store(u64::MAX / 2, Relaxed); // the first failure ends it for all
        })? {}
        Ok(all)
    };
    let results: Vec<Result<T, String>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        threads.into_iter().map(|thread| thread.join().expect("panics are caught")).collect()
    });
    results.into_iter().map(|result| result.unwrap_or_else(|failed| panic!("{failed}"))).collect()
}

/// What a panic said.
fn words(fault: &(dyn Any + Send)) -> String {
    let owned = fault.downcast_ref::<String>().cloned();
    owned.or_else(|| fault.downcast_ref().map(|text: &&str| (*text).to_owned())).unwrap_or_default()
}

#[test]
fn whatever_the_seed_every_promise_is_kept() {
    if let Some(seed) = number("SEALWAX_SEED") {
        let trace = Trace::kept(usize::MAX);
        let outcome = catch_unwind(AssertUnwindSafe(|| play(seed, trace.clone())));
        print!("{}", trace.text());
        let outcome = outcome.unwrap_or_else(|fault| panic!("seed {seed}: {}", words(&*fault)));
        return println!("{outcome}");
    }
    let seeds = number("SEALWAX_SEEDS").unwrap_or(SEEDS);
    let outcomes = by_turns(|seed, all: &mut Outcome| {
        if seed >= seeds {
            return Ok(false);
        }
        all.add(&replay_seed(seed)?);
        Ok(true)
    });
    let mut all = Outcome::default();
    for outcome in &outcomes {
        all.add(outcome);
    }
    println!("{seeds} seeds\n{all}");
    if seeds >= SEEDS {
        for fault in FAULTS {
            assert!(all.faults.get(fault).is_some_and(|count| *count > 0), "no {fault}");
        }
    }
}

/// TLS draws random keys, and nothing that anybody does depends on them.
#[test]
fn a_seed_that_is_played_again_is_the_same_run() {
    for seed in 0..AGAIN {
        let [one, other] = [(); 2].map(|()| {
            let trace = Trace::kept(usize::MAX);
            play(seed, trace.clone());
            trace.text()
        });
        assert!(one == other, "seed {seed} is another run each time");
    }
}

#[test]
fn whichever_call_fails_everything_comes_right() {
    let struck = by_turns(|nth, all: &mut Struck| {
        let nth = usize::try_from(nth).expect("a few");
        for attempt in 0.. {
            let what = format!("call {nth}, its error {attempt}");
            match replay(&what, |trace| fixed::play(nth, attempt, trace))? {
                Some(op) => {
                    *all.entry(op).or_default() += 1;
                    if attempt + 1 == op.errnos().len() {
                        break;
                    }
                }
                None => return Ok(false),
            }
        }
        Ok(true)
    });
    let mut all = Struck::new();
    for (op, count) in struck.iter().flatten() {
        *all.entry(*op).or_default() += count;
    }
    println!("{all:?}");
    assert_eq!(all.len(), 10, "each call was made to fail: {all:?}");
}
