//! Seeds that failed once, by what was wrong. They are among the thousand, and stay when these are
//! others; a change of what the dice decide makes other worlds of them.

use crate::play;
use crate::seeds::replay_seed;

fn holds(seed: u64) {
    if let Err(failed) = replay_seed(play, seed) {
        panic!("{failed}");
    }
}

/// The relay had slept, the client had asked again, and the relay answered both.
#[test]
fn a_key_that_comes_late_is_no_nonsense() {
    holds(95);
}

/// The same, with the news that there is no such user, when the peer was forgotten already.
#[test]
fn late_news_that_nobody_is_there_are_no_refusal() {
    holds(589);
}

/// A client that had been stopped took one pause of its questions in each tick.
#[test]
fn who_was_stopped_for_long_asks_once() {
    holds(7354);
}
