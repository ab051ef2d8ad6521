//! How seeds are played: many of them, on all processors, and one that fails a second time, in words.

use std::any::Any;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use crate::trace::Trace;

/// How many lines that led to a failure are shown; of a seed that was asked for, all are.
const LINES: usize = 100;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// Plays it; where it fails, plays it again, and tells what led to it.
pub(crate) fn replay<T>(what: &str, play: impl Fn(Trace) -> T) -> Result<T, String> {
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

/// Plays the seed that was asked for (`SEALWAX_SEED`), in words, or all below `seeds` or
/// `SEALWAX_SEEDS`. Of all it tells how many they are, and what came of them together.
pub(crate) fn play_all<T>(
    play: impl Fn(u64, Trace) -> T + Sync,
    seeds: u64,
    add: fn(&mut T, &T),
) -> Option<(u64, T)>
where
    T: Default + Display + Send,
{
    if let Some(seed) = number("SEALWAX_SEED") {
        let trace = Trace::kept(usize::MAX);
        let outcome = catch_unwind(AssertUnwindSafe(|| play(seed, trace.clone())));
        print!("{}", trace.text());
        let outcome = outcome.unwrap_or_else(|fault| panic!("seed {seed}: {}", words(&*fault)));
        println!("{outcome}");
        return None;
    }
    let seeds = number("SEALWAX_SEEDS").unwrap_or(seeds);
    let outcomes = by_turns(|seed, all: &mut T| {
        if seed >= seeds {
            return Ok(false);
        }
        add(all, &replay_seed(&play, seed)?);
        Ok(true)
    });
    let mut all = T::default();
    for outcome in &outcomes {
        add(&mut all, outcome);
    }
    println!("{seeds} seeds\n{all}");
    Some((seeds, all))
}

/// Plays one seed; see [`replay`].
pub(crate) fn replay_seed<T>(play: impl Fn(u64, Trace) -> T, seed: u64) -> Result<T, String> {
    replay(&format!("seed {seed}"), |trace| play(seed, trace))
}

/// Takes the numbers from 0 on by turns, on all processors, until one has nothing to do for its
/// number or fails.
pub(crate) fn by_turns<T>(work: impl Fn(u64, &mut T) -> Result<bool, String> + Sync) -> Vec<T>
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
