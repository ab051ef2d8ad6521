//! What goes on, second by second: for whoever looks on, and for the record.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::unistd::Pid;
use serde_json::{Value, json};

use super::figures::as_f64;
use super::numbers;
use super::process::Usage;
use crate::limits::LOAD_COLUMNS;
use crate::load::{Generator, Stage};
use crate::reactor::{Context, Time, Token, window_size};
use crate::screen::cut;

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// One second after the other.
pub(super) struct ProgressLine {
    /// Where a line a second goes.
    to: Option<Token>,
    begun: Time,
    told: Time,
    pids: Vec<Pid>,
    used: Usage,
    record: Vec<Second>,
}

/// One second of a run.
pub(super) struct Second {
    /// How far the run had come, and what went on.
    at: Duration,
    stage: Stage,
    handled_rate: f64,
    /// Of what was done; none where nothing was.
    mean: Option<Duration>,
    /// Of that, and of what somebody still waits for.
    longest: Option<Duration>,
    target_busy: Option<f64>,
    /// Since the run began.
    faults: u64,
}

impl ProgressLine {
    /// Of a run that begins now and a target with these processes.
    pub(super) fn new(to: Option<Token>, now: Time, pids: &[Pid]) -> Self {
        let (used, pids) = (Usage::of_all(pids), pids.to_vec());
        Self { to, begun: now, told: now, pids, used, record: Vec::new() }
    }

    /// Looks how it stands, if it is time.
    pub(super) fn look(&mut self, cx: &mut Context, generator: &mut Generator) {
        let now = cx.now();
        if now.since(self.told) >= INTERVAL {
            self.tell(cx, generator);
        }
    }

    /// Tells what was left of the last second.
    pub(super) fn finish(&mut self, cx: &mut Context, generator: &mut Generator) {
        if cx.now() > self.told {
            self.tell(cx, generator);
        }
    }

    fn tell(&mut self, cx: &mut Context, generator: &mut Generator) {
        let now = cx.now();
        let passed = now.since(self.told);
        let recent = generator.take_recent();
        let count = u32::try_from(recent.count).unwrap_or(u32::MAX);
        let second = Second {
            at: now.since(self.begun),
            stage: generator.stage(),
            handled_rate: as_f64(recent.handled) / passed.as_secs_f64(),
            mean: recent.sum.checked_div(count),
            longest: Some(recent.longest).filter(|longest| !longest.is_zero()),
            target_busy: self.target_share(passed),
            faults: generator.stats().faults.total(),
        };
        // A terminal that stands still gets no more lines.
        if let Some(to) = self.to.filter(|&to| cx.queued(to) == 0) {
            cx.send(to, &[second.line(columns()).as_bytes()]);
        }
        self.told = now;
        self.record.push(second);
    }

    /// All of them.
    pub(super) fn into_record(self) -> Vec<Second> {
        self.record
    }

    fn target_share(&mut self, passed: Duration) -> Option<f64> {
        let used = Usage::of_all(&self.pids);
        let cpu = used.since(self.used).cpu;
        self.used = used;
        Some(100.0 * cpu?.as_secs_f64() / passed.as_secs_f64())
    }
}

impl Second {
    /// The most important first: what has no room at the end of the row is left out.
    fn line(&self, columns: usize) -> String {
        let busy = self.target_busy.map_or("?".to_owned(), |busy| numbers::figure(busy, 0));
        let latency =
            |it: Option<Duration>| it.map_or("–".to_owned(), |it| numbers::figure(micros(it), 0));
        let line = format!(
            "{:>4.0} s {:<11}{:>10}/s  errors {}  mean {} µs  max {} µs  target {busy} %",
            self.at.as_secs_f64(),
            self.stage_name(),
            numbers::figure(self.handled_rate, 0),
            numbers::count(self.faults),
            latency(self.mean),
            latency(self.longest),
        );
        cut(&line, columns).into_owned() + "\n"
    }

    /// The same for programs.
    pub(super) fn to_json(&self, subject: &str, round: usize) -> Value {
        json!({
            "event": "second", "subject": subject, "round": round,
            "at": self.at.as_secs_f64(), "stage": self.stage_name(),
            "handled_per_second": self.handled_rate,
            "latency_mean_us": self.mean.map(micros), "latency_max_us": self.longest.map(micros),
            "target_busy_percent": self.target_busy, "faults": self.faults,
        })
    }

    fn stage_name(&self) -> &'static str {
        match self.stage {
            Stage::Gather | Stage::Fill | Stage::Learn => "connecting",
            Stage::WarmUp | Stage::Settle => "warming up",
            Stage::Measure => "measuring",
            Stage::CatchUp => "catching up",
            Stage::Drain | Stage::Done => "draining",
        }
    }
}

/// Of the terminal that the lines go to; it may have another size by now.
fn columns() -> usize {
    let (columns, _) = window_size(io::stderr().as_fd()).unwrap_or_default();
    if columns == 0 { LOAD_COLUMNS } else { columns.into() }
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::width;

    #[test]
    fn a_line_fits_its_terminal_and_tells_errors_first() {
        let second = Second {
            at: Duration::from_hours(1),
            stage: Stage::Measure,
            handled_rate: 1_234_567.8,
            mean: Some(Duration::from_micros(12_345)),
            longest: Some(Duration::from_millis(123)),
            target_busy: Some(99.9),
            faults: 12_345,
        };
        let whole = "3600 s measuring   1,234,568/s  errors 12,345  mean 12,345 µs  \
                     max 123,000 µs  target 100 %\n";
        assert_eq!(second.line(200), whole);
        for columns in [80, 60, 40] {
            let line = second.line(columns);
            assert!(width(line.trim_end()) <= columns, "{line}");
            assert!(columns < 60 || line.contains("errors 12,345"), "{line}");
        }
    }
}
