//! How seeds are played: many of them, on all processors, and one that fails a second time, in words.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use crate::trace::Trace;

/// How many lines that led to a failure are shown; of a seed that was asked for, all are.
const LINES: usize = 100;

pub(crate) fn number(variable: &str) -> Option<u64> {
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
pub(crate) fn words(fault: &(dyn Any + Send)) -> String {
    let owned = fault.downcast_ref::<String>().cloned();
    owned.or_else(|| fault.downcast_ref().map(|text: &&str| (*text).to_owned())).unwrap_or_default()
}
