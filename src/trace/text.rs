//! A tick in words.

use std::fmt::{self, Write};
use std::time::Duration;

use nix::Result;

use crate::limits::TRACE_TARGETS;
use crate::reactor::{CloseReason, Event, Interest, Opened, Signal, Timeout, Watch};
use crate::trace::{Call, Callback, Effect, Named, Phase, Step, Tick, What};
use crate::wire::escape_visible;

/// Where the second column begins.
const COLUMN: usize = 15;

/// The lines of one tick; `name` is that of its loop, where there are several.
pub(super) fn tick(name: Option<&str>, tick: &Tick) -> String {
    let mut text = TextWriter(String::new());
    text.head(name, tick);
    for (place, (event, named)) in tick.events.iter().enumerate() {
        let mark = if place == 0 { "ready" } else { "" };
        let whom = named.as_ref().map_or_else(|| "a source that is gone".to_owned(), shown);
        text.line(mark, &format!("{whom}: {}", readiness(event)));
    }
    let mut before = None;
    for step in &tick.steps {
        let mark =
            if before.replace(step.phase) == Some(step.phase) { "" } else { step.phase.as_str() };
        text.step(mark, step);
    }
    text.tail(tick);
    text.0
}

/// In place of `ticks` that were dropped.
pub(super) fn missing(ticks: u64) -> String {
    format!("({ticks} ticks are missing here: nobody took the trace)\n")
}

struct TextWriter(String);

impl TextWriter {
    fn head(&mut self, name: Option<&str>, tick: &Tick) {
        let name = name.map(|name| format!("{name}, ")).unwrap_or_default();
        let at_most = match tick.timeout {
            None => "for ever".to_owned(),
            Some(timeout) => time(timeout),
        };
        let waited = time(tick.woke.since(tick.began));
        self.write(format_args!("{name}tick {}", tick.number));
        if tick.empty_before > 0 {
            self.write(format_args!(
                ", after {} in which nothing was to be done",
                tick.empty_before
            ));
        }
        let events = counted(tick.events.len(), "event");
        self.write(format_args!(": {}({at_most}) returned {events} after {waited}\n", Tick::WAIT));
    }

    fn step(&mut self, mark: &str, step: &Step) {
        let whom = step.whom.as_ref().map(|whom| format!("{}: ", shown(whom))).unwrap_or_default();
        let what = match &step.what {
            What::Kernel(call, outcome) => called(call, *outcome),
            What::Handler(callback) => told(*callback),
        };
        self.line(mark, &format!("{whom}{what} · {}", time(step.took)));
        for annotations in &step.annotations {
            self.line("", &format!("  “{}”", escape_visible(&annotations.text)));
        }
        for (whom, change) in step.changes.iter().take(TRACE_TARGETS) {
            self.line("", &format!("  {}", changed(&shown(whom), *change)));
        }
        let others = step.changes.get(TRACE_TARGETS..).unwrap_or_default();
        if !others.is_empty() {
            let queued = |(_, change): &(Named, Effect)| match change {
                Effect::Queued(bytes) => *bytes,
                _ => 0,
            };
            let bytes: usize = others.iter().map(queued).sum();
            self.line("", &format!("  {} more, {bytes} bytes queued", others.len()));
        }
    }

    fn tail(&mut self, tick: &Tick) {
        let parts = tick.parts();
        let part =
            |&(phase, _, took): &(Phase, _, Duration)| format!("{} {}", phase.as_str(), time(took));
        let parts: Vec<_> = parts.iter().map(part).collect();
        let all = time(tick.ended.since(tick.woke));
        let calls = counted(tick.calls(), "system call");
        let left =
            if tick.left > 0 { format!("; {} bytes wait", tick.left) } else { String::new() };
        let parts = if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") };
        self.line("took", &format!("{parts}; {all} in all, {calls}{left}"));
    }

    fn line(&mut self, mark: &str, rest: &str) {
        self.write(format_args!("  {mark:width$}{rest}\n", width = COLUMN - 2));
    }

    fn write(&mut self, arguments: fmt::Arguments) {
        let _ = self.0.write_fmt(arguments); // a string takes all that is written
    }
}

fn called(call: &Call, outcome: Result<usize>) -> String {
    let name = call.name();
    let count = match outcome {
        Ok(count) => count,
        Err(errno) => return format!("{name}{} failed: {errno}", detail(call)),
    };
    match call {
        Call::Read(_) if count == 0 => format!("{name} told the end"),
        Call::Read(room) => format!("{name} brought {} of at most {room}", bytes(count)),
        Call::Writev { offered, slices, left } => {
            let pieces = counted(*slices, "piece");
            let taken =
                if count == *offered { "all taken".to_owned() } else { format!("{count} taken") };
            let wait = if *left > 0 { format!(", {} wait", bytes(*left)) } else { String::new() };
            format!("{name} of {} in {pieces}, {taken}{wait}", bytes(*offered))
        }
        _ => format!("{name}{}", detail(call)),
    }
}

/// The arguments of a call, where its name does not say enough.
fn detail(call: &Call) -> String {
    match call {
        Call::Listen(at) => format!(" at {at}"),
        Call::Accept(Some(peer)) => format!(" took {peer}"),
        Call::Connect(to) => format!(" to {to}"),
        Call::Open(what) => format!(" of {what}"),
        Call::Watch(interest, Watch::Begin) => format!(", from now on {}", interests(*interest)),
        Call::Watch(interest, Watch::Change) => format!(", now {}", interests(*interest)),
        Call::Writev { offered, .. } => format!(" of {}", bytes(*offered)),
        _ => String::new(),
    }
}

fn told(callback: Callback) -> String {
    let name = callback.name();
    match callback {
        Callback::Opened(Opened::Listening(at)) => format!("{name}, listening at {at}"),
        Callback::Opened(Opened::Accepted { peer, .. }) => format!("{name}, accepted from {peer}"),
        Callback::Opened(Opened::Connected) => format!("{name}, connected"),
        Callback::Opened(Opened::ProcessFd)
        | Callback::Drained
        | Callback::Ended(0)
        | Callback::EndOfTick => name.to_owned(),
        Callback::Received { shown, used } if shown == used => {
            format!("{name} {} and used them all", bytes(shown))
        }
        Callback::Received { shown, used } => format!("{name} {} and used {used}", bytes(shown)),
        Callback::Ended(rest) => format!("{name}, {} never completed", bytes(rest)),
        Callback::Garbled(why) => format!("{name}: reason {why}"),
        Callback::TimedOut(timeout) => format!("{name}: {}", timeout_name(timeout)),
        Callback::Timer(timer) => format!("{name} {}", timer.0),
        Callback::Exhausted(errno) => format!("{name}: {errno}"),
        Callback::Signal(signal) => format!("{name} {}", signal_name(signal)),
        Callback::Closed(reason) => format!("{name}: {}", why(reason)),
    }
}

fn changed(whom: &str, change: Effect) -> String {
    match change {
        Effect::Queued(count) => format!("queues {} for {whom}", bytes(count)),
        Effect::Paused => format!("pauses {whom}"),
        Effect::Resumed => format!("resumes {whom}"),
        Effect::Closing => format!("closes {whom}"),
        Effect::Aborted => format!("aborts {whom}"),
    }
}

fn why(reason: CloseReason) -> String {
    match reason {
        CloseReason::Closed => "closed in order".to_owned(),
        CloseReason::Aborted { unsent } => format!("aborted, {} unsent", bytes(unsent)),
        CloseReason::Failed(errno) => errno.to_string(),
    }
}

pub(super) const fn timeout_name(timeout: Timeout) -> &'static str {
    match timeout {
        Timeout::Handshake => "handshake",
        Timeout::Frame => "frame",
        Timeout::Write => "write",
    }
}

pub(super) const fn signal_name(signal: Signal) -> &'static str {
    match signal {
        Signal::Interrupt => "SIGINT",
        Signal::Terminate => "SIGTERM",
        Signal::Hangup => "SIGHUP",
        Signal::Resized => "SIGWINCH",
        Signal::Suspend => "SIGTSTP",
        Signal::Continued => "SIGCONT",
    }
}

pub(super) fn readiness(event: &Event) -> String {
    let flags = [
        (event.readable, "EPOLLIN"),
        (event.writable, "EPOLLOUT"),
        (event.rdhup, "EPOLLRDHUP"),
        (event.hangup, "EPOLLHUP or EPOLLERR"),
    ];
    let set: Vec<_> = flags.into_iter().filter(|(set, _)| *set).map(|(_, name)| name).collect();
    set.join(", ")
}

/// The flags that `epoll_ctl(2)` is given for it.
pub(super) fn flags(interest: Interest) -> Vec<&'static str> {
    let Interest { read, write, edge } = interest;
    let flags =
        [(read, "EPOLLIN"), (write, "EPOLLOUT"), (read && edge, "EPOLLRDHUP"), (edge, "EPOLLET")];
    flags.into_iter().filter(|(set, _)| *set).map(|(_, name)| name).collect()
}

fn interests(interest: Interest) -> String {
    if !interest.read && !interest.write {
        return "nothing but hang-ups".to_owned();
    }
    flags(interest).join(", ")
}

fn shown(named: &Named) -> String {
    escape_visible(&named.to_string()).into_owned()
}

fn bytes(count: usize) -> String {
    counted(count, "byte")
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// A duration in the unit that keeps it short.
fn time(time: Duration) -> String {
    match time.as_nanos() {
        0 => "0".to_owned(),
        1..1_000 => format!("{} ns", time.as_nanos()),
        1_000..1_000_000 => format!("{:.1} µs", time.as_secs_f64() * 1e6),
        1_000_000..1_000_000_000 => format!("{:.1} ms", time.as_secs_f64() * 1e3),
        _ => format!("{:.1} s", time.as_secs_f64()),
    }
}
