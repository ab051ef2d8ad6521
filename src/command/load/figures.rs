//! The figures of a run: each with its name, and how it is computed from the counts.

use super::drive::Run;
use crate::limits::LOAD_LATE;
use crate::load::{Extent, Plan, Stats, Work};

/// One kind of figure. If it cannot be computed (no process, nothing done) there is no figure,
/// never a wrong number.
pub(super) struct Metric {
    /// For programs; never renamed.
    pub(super) key: &'static str,
    /// For people, with its unit.
    title: &'static str,
    /// Digits behind the point.
    pub(super) digits: usize,
    /// What it is divided by for people.
    pub(super) scale: f64,
    of: fn(&Run, &Plan) -> Option<f64>,
}

/// All of them, in the order in which they are told. `sealwax load --help` and `docs/cli.md`
/// explain each.
pub(super) const METRICS: [Metric; 20] = [
    metric("offered_per_second", "offered, operations/s", 0, offered),
    metric("done_per_second", "done, operations/s", 0, |run, _| {
        Some(per_second(run, run.stats.finished))
    }),
    metric("handled_per_second", "handled, messages/s", 0, |run, _| {
        Some(per_second(run, run.stats.handled))
    }),
    megabytes("payload_bytes_per_second", "payload, MB/s", payload),
    megabytes("received_bytes_per_second", "from the target, MB/s", |run, _| {
        Some(per_second(run, run.traffic.received))
    }),
    megabytes("sent_bytes_per_second", "to the target, MB/s", |run, _| {
        Some(per_second(run, run.traffic.sent))
    }),
    metric("target_cpu_us", "target: CPU µs each", 3, cpu_each),
    metric("target_reads", "target: reads each", 3, |run, _| each(run, run.target.reads)),
    metric("target_writes", "target: writes each", 3, |run, _| each(run, run.target.writes)),
    metric("target_busy_percent", "target: CPU busy, %", 1, |run, _| target_share(run)),
    metric("generator_busy_percent", "generator: CPU busy, %", 1, |run, _| own_share(run)),
    metric("generator_late_percent", "generator: late, %", 2, late),
    metric(SAMPLES, "latency samples", 0, |run, _| Some(as_f64(run.stats.latency.len()))),
    metric("latency_p50_us", "latency p50, µs", 1, |run, _| quantile(run, 0.5)),
    metric("latency_p90_us", "latency p90, µs", 1, |run, _| quantile(run, 0.9)),
    metric("latency_p99_us", "latency p99, µs", 1, |run, _| quantile(run, 0.99)),
    metric("latency_p99_9_us", "latency p99.9, µs", 1, |run, _| quantile(run, 0.999)),
    metric("latency_max_us", "latency max, µs", 1, |run, _| quantile(run, 1.0)),
    metric("target_memory_mib", "target: memory, MiB", 2, memory),
    metric("idle_user_bytes", "bytes an idle user", 1, memory_each),
];

/// How many latencies there are.
pub(super) const SAMPLES: &str = "latency_samples";
const BYTES_A_MEGABYTE: f64 = 1e6;

const fn metric(
    key: &'static str,
    title: &'static str,
    digits: usize,
    of: fn(&Run, &Plan) -> Option<f64>,
) -> Metric {
    Metric { key, title, digits, scale: 1.0, of }
}

/// Bytes a second, and megabytes for people.
const fn megabytes(
    key: &'static str,
    title: &'static str,
    of: fn(&Run, &Plan) -> Option<f64>,
) -> Metric {
    Metric { key, title, digits: 3, scale: BYTES_A_MEGABYTE, of }
}

impl Metric {
    /// For people, with its unit: `handled` is what the target does for an operation.
    pub(super) fn title(&self, handled: &str) -> String {
        self.title.replace("messages", handled)
    }

    /// Of a percentile: how many samples in a thousand are slower.
    pub(super) fn slower(&self) -> Option<u64> {
        match self.key {
            "latency_p50_us" => Some(500),
            "latency_p90_us" => Some(100),
            "latency_p99_us" => Some(10),
            "latency_p99_9_us" => Some(1),
            _ => None,
        }
    }
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

/// How a number is written in a note.
pub(super) type Number = fn(f64) -> String;

/// Whether the figures say more about the generator than about the target, and why.
pub(super) fn bottleneck(run: &Run, plan: &Plan, number: Number) -> Option<String> {
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
        let (capacity, rate) = (number(capacity), number(rate));
        format!("it could do about {capacity} a second itself, and {rate} were asked for")
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
pub(super) fn unfinished(stats: &Stats, number: Number) -> Option<String> {
    let counts = [stats.unfinished(), stats.offered, stats.unstarted];
    let [count, of, unstarted] = counts.map(|count| number(as_f64(count)));
    let detail = if stats.unstarted > 0 {
        format!(", {unstarted} of them never started")
    } else {
        String::new()
    };
    (stats.unfinished() > 0).then(|| format!("{count} of {of} operations did not finish{detail}"))
}

fn late(run: &Run, plan: &Plan) -> Option<f64> {
    plan.rate.map(|_| 100.0 * as_f64(run.stats.late) / as_f64(run.stats.offered))
}

fn offered(run: &Run, plan: &Plan) -> Option<f64> {
    let in_time = plan.rate.is_some() || matches!(plan.extent, Extent::Time(_));
    in_time.then(|| per_second(run, run.stats.offered))
}

/// The bytes of the messages that arrived; a connection has none.
fn payload(run: &Run, plan: &Plan) -> Option<f64> {
    let bytes = run.stats.handled * run.message_size as u64;
    (plan.work != Work::Connect).then(|| per_second(run, bytes))
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::command::cli::Cli;

    #[test]
    fn the_help_explains_each_row_in_their_order() {
        let command = Cli::command();
        let load = command.find_subcommand("load").unwrap();
        let help = load.get_after_help().unwrap().to_string();
        let places = METRICS.map(|metric| {
            let title = metric.title("messages");
            help.find(&format!("\n  {title}  ")).unwrap_or_else(|| panic!("{title}"))
        });
        assert!(places.is_sorted());
        assert!(help.contains("\n  errors  ") && help.contains("\n  not finished  "));
    }
}
