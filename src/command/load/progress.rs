//! One line a second for whoever looks on.

use std::time::Duration;

use nix::unistd::Pid;

use super::process::Usage;
use crate::load::{Generator, Stage};
use crate::reactor::{Context, Time, Token};

/// Between two lines.
const INTERVAL: Duration = Duration::from_secs(1);

/// The line on a terminal.
pub(super) struct Progress {
    to: Token,
    begun: Time,
    told: Time,
    pid: Option<Pid>,
    used: Usage,
}

impl Progress {
    /// Lines about a run that begins now and a target with this process.
    pub(super) fn new(to: Token, now: Time, pid: Option<Pid>) -> Self {
        Self { to, begun: now, told: now, pid, used: pid.map(Usage::of).unwrap_or_default() }
    }

    /// Tells how it stands, if it is time.
    pub(super) fn tell(&mut self, cx: &mut Context, generator: &mut Generator) {
        let now = cx.now();
        let passed = now.since(self.told);
        if passed < INTERVAL {
            return;
        }
        self.told = now;
        let recent = generator.take_recent();
        let rate = as_f64(recent.handled) / passed.as_secs_f64();
        let line = format!(
            "{:>5.0} s  {:<10}{rate:>12.0} a second  mean {:>9}  longest {:>9}  target {}  faults {}\n",
            now.since(self.begun).as_secs_f64(),
            stage_name(generator.stage()),
            span(recent.sum / u32::try_from(recent.count.max(1)).unwrap_or(u32::MAX)),
            span(recent.longest),
            self.target_share(passed),
            generator.tally().faults.total(),
        );
        if cx.queued(self.to) == 0 {
            cx.send(self.to, &[line.as_bytes()]); // a terminal that stands still gets no more lines
        }
    }

    fn target_share(&mut self, passed: Duration) -> String {
        let Some(pid) = self.pid else { return "?".to_owned() };
        let used = Usage::of(pid);
        let cpu = used.since(self.used).cpu;
        self.used = used;
        cpu.map_or_else(
            || "?".to_owned(),
            |cpu| format!("{:.0} %", 100.0 * cpu.as_secs_f64() / passed.as_secs_f64()),
        )
    }
}

fn stage_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Gather | Stage::Fill => "connecting",
        Stage::WarmUp => "warming up",
        Stage::Measure => "measuring",
        Stage::Drain | Stage::Done => "draining",
    }
}

fn span(duration: Duration) -> String {
    format!("{:.0} µs", duration.as_secs_f64() * 1e6)
}

#[allow(clippy::cast_precision_loss)] // counts of a second
fn as_f64(count: u64) -> f64 {
    count as f64
}
