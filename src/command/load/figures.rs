//! The figures of a run: each with its name, and how it is computed from the counts.

use super::drive::Run;
use crate::limits::LOAD_LATE;
use crate::load::{Extent, Plan, Stats};

/// One kind of figure. If it cannot be computed (no process, nothing done) there is no figure,
/// never a wrong number.
pub(super) struct Metric {
    /// For programs; never renamed.
    pub(super) key: &'static str,
    /// For people.
    pub(super) title: &'static str,
    /// Digits behind the point.
    pub(super) digits: usize,
    of: fn(&Run, &Plan) -> Option<f64>,
}

/// All of them, in the order in which they are told.
pub(super) const METRICS: [Metric; 16] = [
    metric("offered_per_second", "offered a second", 0, offered),
    metric("done_per_second", "done a second", 0, |run, _| {
        Some(per_second(run, run.stats.finished))
    }),
    metric("handled_per_second", "handled a second", 0, |run, _| {
        Some(per_second(run, run.stats.handled))
    }),
    metric("target_cpu_us", "target: CPU µs each", 3, cpu_each),
    metric("target_reads", "target: reads each", 3, |run, _| each(run, run.target.reads)),
    metric("target_writes", "target: writes each", 3, |run, _| each(run, run.target.writes)),
    metric("target_busy_percent", "target: CPU busy, %", 1, |run, _| target_share(run)),
    metric("generator_busy_percent", "generator: CPU busy, %", 1, |run, _| own_share(run)),
    metric("generator_late_percent", "generator: late, %", 2, late),
    metric("latency_p50_us", "latency p50, µs", 1, |run, _| quantile(run, 0.5)),
    metric("latency_p90_us", "latency p90, µs", 1, |run, _| quantile(run, 0.9)),
    metric("latency_p99_us", "latency p99, µs", 1, |run, _| quantile(run, 0.99)),
    metric("latency_p99_9_us", "latency p99.9, µs", 1, |run, _| quantile(run, 0.999)),
    metric("latency_max_us", "latency max, µs", 1, |run, _| quantile(run, 1.0)),
    metric("target_memory_mib", "target: memory, MiB", 2, memory),
    metric("idle_user_bytes", "bytes an idle user", 1, memory_each),
];

const fn metric(
    key: &'static str,
    title: &'static str,
    digits: usize,
    of: fn(&Run, &Plan) -> Option<f64>,
) -> Metric {
    Metric { key, title, digits, of }
}

/// The generator held the target up if it was this busy while the target was not, or if it started
/// so many in a hundred late itself: then the p99 is its own.
const BUSY: f64 = 90.0;
const LATE: f64 = 1.0;
/// A rate is kept where so large a part is done in time.
const KEPT: f64 = 0.99;

/// The figures of one run, by [`METRICS`].
pub(super) type Figures = [Option<f64>; METRICS.len()];

/// The figures of a run.
pub(super) fn figures(run: &Run, plan: &Plan) -> Figures {
    METRICS.map(|metric| (metric.of)(run, plan).filter(|figure| figure.is_finite()))
}

/// Whether the figures say more about the generator than about the target, and why.
pub(super) fn bottleneck(run: &Run, plan: &Plan) -> Option<String> {
    let Some(rate) = plan.rate else { return busier(run) };
    if let Some(late) = late(run, plan).filter(|&late| late >= LATE) {
        let late_ms = LOAD_LATE.as_millis();
        return Some(format!(
            "it started {late:.0} % more than {late_ms} ms late, though nothing was in its way"
        ));
    }
    let done = as_f64(run.stats.finished);
    let capacity = done / run.occupied.as_secs_f64();
    let is_kept = done >= KEPT * as_f64(run.stats.offered);
    (!is_kept && done > 0.0 && capacity < rate).then(|| {
        format!("it could do about {capacity:.0} a second itself, and {rate:.0} were asked for")
    })
}

/// Without a rate, the one that has no processor time left is the one that is measured.
fn busier(run: &Run) -> Option<String> {
    let own = own_share(run)?;
    let target = target_share(run);
    (own >= BUSY && target.is_none_or(|target| target < BUSY)).then(|| {
        let target = target.map_or("unknown".to_owned(), |target| format!("{target:.0} %"));
        format!("it used {own:.0} % of its processor, the target {target}")
    })
}

/// Which part of the operations was not done.
pub(super) fn unfinished(stats: &Stats) -> Option<String> {
    let (count, of, unstarted) = (stats.unfinished(), stats.offered, stats.unstarted);
    let detail =
        if unstarted > 0 { format!(", {unstarted} of them never started") } else { String::new() };
    (count > 0).then(|| format!("{count} of {of} operations did not finish{detail}"))
}

fn late(run: &Run, plan: &Plan) -> Option<f64> {
    plan.rate.map(|_| 100.0 * as_f64(run.stats.late) / as_f64(run.stats.offered))
}

fn offered(run: &Run, plan: &Plan) -> Option<f64> {
    let in_time = plan.rate.is_some() || matches!(plan.extent, Extent::Time(_));
    in_time.then(|| per_second(run, run.stats.offered))
}

fn cpu_each(run: &Run, _: &Plan) -> Option<f64> {
    Some(run.target.cpu?.as_secs_f64() * 1e6 / as_f64(run.stats.handled))
}

fn each(run: &Run, calls: Option<u64>) -> Option<f64> {
    Some(as_f64(calls?) / as_f64(run.stats.handled))
}

fn per_second(run: &Run, count: u64) -> f64 {
    as_f64(count) / run.stats.window().as_secs_f64()
}

fn target_share(run: &Run) -> Option<f64> {
    Some(100.0 * run.target.cpu?.as_secs_f64() / run.stats.window().as_secs_f64())
}

fn own_share(run: &Run) -> Option<f64> {
    let share = 100.0 * run.own_cpu.as_secs_f64() / run.stats.window().as_secs_f64();
    Some(share).filter(|share| share.is_finite())
}

fn quantile(run: &Run, quantile: f64) -> Option<f64> {
    let latency = &run.stats.latency;
    (!latency.is_empty()).then(|| as_f64(latency.value_at_quantile(quantile)) / 1e3)
}

fn memory(run: &Run, _: &Plan) -> Option<f64> {
    Some(as_f64(run.resident?) / f64::from(1 << 20))
}

/// What was there before the idle users came has room for some already, and the first ones pay for
/// what all share: so this is exact for many.
fn memory_each(run: &Run, plan: &Plan) -> Option<f64> {
    let more = as_f64(run.resident?) - as_f64(run.before?);
    (plan.idle > 0).then(|| more / f64::from(plan.idle))
}

#[allow(clippy::cast_precision_loss)] // a figure has no 53 bits
pub(super) fn as_f64(count: u64) -> f64 {
    count as f64
}
