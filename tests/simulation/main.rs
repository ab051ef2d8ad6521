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
mod seeds;
#[path = "../support/mod.rs"]
mod support;
mod trace;
mod user;
#[path = "../../fuzz/src/vault.rs"]
mod vault;
mod weather;
mod world;

use self::fixed::Struck;
use self::plot::{Outcome, play};
use self::seeds::{by_turns, play_all, replay};
use self::trace::Trace;

/// How many seeds are played unless `SEALWAX_SEEDS` says otherwise.
const SEEDS: u64 = 1000;
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

#[test]
fn whatever_the_seed_every_promise_is_kept() {
    let Some((seeds, all)) = play_all(play, SEEDS, Outcome::add) else { return };
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
