//! What is said at the head of the table: what is run, against what, and under which conditions.

use nix::unistd::Pid;

use super::LoadTask;
use super::numbers::{count, counted, seconds};
use super::process::processors;
use super::target::{Subject, Target};
use crate::load::Work;
use crate::screen::rows;

/// Columns of the names of the lines.
const NAME: usize = 12;

impl LoadTask<'_> {
    /// The lines of the head. `target` is the first one that is measured, and runs.
    pub(super) fn head(&self, subjects: &[Subject], target: &Target, wide: usize) -> Vec<String> {
        let lines = [
            ("load", self.work_line()),
            ("measured", self.measured_line(subjects)),
            ("message", format!("{} bytes, the whole frame", count(self.run.size as u64))),
            ("rate", self.rate_line()),
            ("duration", self.duration_line()),
            ("rounds", self.rounds_line(subjects)),
            ("idle users", count(self.idle.into())),
            ("protocol", self.protocol_line(subjects)),
            ("processors", processors_line(target)),
        ];
        let is_told = |name: &str| match self.work {
            Work::Connect => name != "message",
            Work::Echo => name != "protocol",
            Work::PingPong | Work::Flood { .. } => true,
        };
        let lines = lines.iter().filter(|(name, _)| is_told(name));
        lines.flat_map(|(name, text)| labelled(name, text, wide)).collect()
    }

    fn work_line(&self) -> String {
        let (kind, workers) = (self.kind, u64::from(self.workers));
        match self.work {
            Work::Connect => {
                let users = counted(workers, "user");
                format!("{kind}: {users} at a time; an operation: connect, register, leave")
            }
            Work::Echo => {
                let users = counted(workers, "user");
                format!("{kind}: {users} at a time; an operation: a message and its echo")
            }
            Work::PingPong => {
                let pairs = counted(workers, "pair");
                format!("{kind}: {pairs}; an operation: a round trip, two messages")
            }
            Work::Flood { window, mesh } => {
                let pairs = counted(workers, "pair");
                let to = if mesh { ", to random users" } else { "" };
                let window = count(window as u64);
                format!("{kind}: {pairs}, window {window}{to}; an operation: a message")
            }
        }
    }

    fn measured_line(&self, subjects: &[Subject]) -> String {
        let relay = if !self.run.relay.is_empty() {
            let at: Vec<_> = self.run.relay.iter().map(ToString::to_string).collect();
            let what = if self.work == Work::Echo { "echo server" } else { "relay" };
            format!("the {what} at {}", at.join(", "))
        } else if self.run.serve.is_empty() {
            "a relay that was started for this".to_owned()
        } else {
            format!("a relay that was started for this with {}", self.run.serve.join(" "))
        };
        let beside: Vec<_> = subjects.iter().skip(1).map(Subject::name).collect();
        if beside.is_empty() { relay } else { format!("{relay}; beside it {}", beside.join(", ")) }
    }

    fn rate_line(&self) -> String {
        self.rate.map_or("none: each operation starts as soon as it can".to_owned(), |rate| {
            let a_second = super::numbers::figure(rate, if rate.fract() == 0.0 { 0 } else { 3 });
            format!("{a_second} operations/s")
        })
    }

    fn duration_line(&self) -> String {
        let run = self.run;
        let extent = run
            .count
            .map_or_else(|| seconds(run.duration), |operations| counted(operations, "operation"));
        let (warm_up, timeout) = (seconds(run.warm_up), seconds(run.timeout));
        let ramp = if run.ramp.is_zero() {
            String::new()
        } else {
            format!("; users connect over {}", seconds(run.ramp))
        };
        format!("{extent}, warm-up {warm_up}, timeout {timeout}{ramp}")
    }

    fn rounds_line(&self, subjects: &[Subject]) -> String {
        match (self.rounds(subjects), subjects.len()) {
            (1, _) => "1".to_owned(),
            (rounds, 1) => format!("{rounds}; the table has median (least…most)"),
            (rounds, _) => format!("{rounds}, in turn; the table has median (least…most)"),
        }
    }

    fn protocol_line(&self, subjects: &[Subject]) -> String {
        let version = if self.run.v2 { "version 2" } else { "original" };
        let roster = self.roster.as_str();
        let sealed: Vec<_> =
            subjects.iter().filter(|it| it.speaks_tls()).map(Subject::name).collect();
        let tls = if self.run.tls { format!("with {}", sealed.join(", ")) } else { "off".into() };
        format!("{version}, roster {roster}, TLS {tls}")
    }
}

/// Those that both sides may use, pinned or not.
fn processors_line(target: &Target) -> String {
    let allowed = |pid| processors(pid).unwrap_or_else(|| "unknown".to_owned());
    let own = allowed(Pid::this());
    let mut others: Vec<_> = target.processes().into_iter().map(allowed).collect();
    others.dedup();
    if others.is_empty() {
        return format!("this program may use {own}; the target is not known (no --pid)");
    }
    format!("the target may use {}; this program {own}", others.join(" and "))
}

fn labelled(name: &str, text: &str, wide: usize) -> Vec<String> {
    let room = wide.saturating_sub(NAME);
    let mut name = name;
    let mut lines = Vec::new();
    for row in rows(text, room, room) {
        lines.push(format!("{name:<NAME$}{row}"));
        name = "";
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_too_long_goes_on_below_its_text() {
        let lines = labelled("rate", "one two three", NAME + 8);
        assert_eq!(lines, ["rate        one two", "            three"]);
    }
}
