//! Runs a generator on the loop, and reads the clocks at the marks of its stages.

use std::io::IsTerminal;
use std::time::Duration;

use nix::unistd::Pid;

use super::super::{Exit, Failure};
use super::process::{Usage, own_cpu, resident_all};
use super::progress::{ProgressLine, Second};
use super::room::Room;
use super::target::Target;
use super::traffic::{CountingLinux, Traffic};
use crate::load::{Early, Generator, Stage, Stats};
use crate::reactor::{Linux, ProcessFd, Reactor, Time};

/// The loop sleeps in whole milliseconds: closer than this to the next start it does not sleep.
const NEAR: Duration = Duration::from_millis(2);
const SECOND: Duration = Duration::from_secs(1);

/// What came out of a run.
pub(super) struct Run {
    /// What was counted.
    pub(super) stats: Stats,
    /// What the target used while it was measured.
    pub(super) target: Usage,
    /// The processor time that this program used meanwhile.
    pub(super) own_cpu: Duration,
    /// The bytes that its connections carried meanwhile.
    pub(super) traffic: Traffic,
    /// The length of a message, in bytes.
    pub(super) message_size: usize,
    /// How long it had something to do meanwhile: only at a rate, where it hardly ever sleeps.
    pub(super) occupied: Duration,
    /// The target's memory before the idle users came, and with them.
    pub(super) before: Option<u64>,
    /// In bytes.
    pub(super) resident: Option<u64>,
    /// What went on, second by second.
    pub(super) seconds: Vec<Second>,
    /// Why it ended before its time, if it did.
    pub(super) early: Option<Early>,
}

impl Run {
    /// Whether no connection was left, or none could be made: the target may be gone.
    pub(super) fn has_lost(&self) -> bool {
        self.early == Some(Early::NoWorkers) || self.stats.faults.has_unreachable()
    }
}

/// What was read when a stage began.
struct Mark {
    target: Usage,
    own_cpu: Duration,
    traffic: Traffic,
}

impl Mark {
    fn now(pids: &[Pid], traffic: Traffic) -> Self {
        Self { target: Usage::of_all(pids), own_cpu: own_cpu(), traffic }
    }
}

/// Lets `generator` run to its end.
pub(super) fn run(mut generator: Generator, target: &Target, room: Room) -> Result<Run, Failure> {
    let kernel = |errno| Failure::new(Exit::Failed, format!("the event loop failed: {errno}"));
    let linux = Linux::new().map_err(kernel)?.connecting_from(room.sources);
    let (linux, traffic) = CountingLinux::new(linux);
    let mut reactor = Reactor::new(linux, &generator.waits());
    generator.start(reactor.context());
    let cx = reactor.context();
    let terminal = std::io::stderr().is_terminal().then(|| cx.open(ProcessFd::Stderr));
    let pids = target.processes();
    let mut progress = ProgressLine::new(terminal, cx.now(), &pids);
    let (mut before, mut filled, mut begun, mut ended) = (None, None, None, None);
    let (mut occupied, mut acts) = (Duration::ZERO, 0);
    while generator.stage() != Stage::Done {
        let now = reactor.context().now();
        let patience = patience(&generator, now);
        // The clock is read once a tick, behind its wait: from one reading to the next is what the
        // tick before did, and a wait that was none where there is no patience.
        let had_work = generator.acts() > std::mem::replace(&mut acts, generator.acts());
        let is_measured = generator.stage() == Stage::Measure;
        reactor.tick(&mut generator, Some(patience)).map_err(kernel)?;
        let stage = generator.stage();
        if had_work && is_measured && patience.is_zero() {
            occupied += reactor.context().now().since(now);
        }
        if stage >= Stage::Fill && before.is_none() {
            before = resident_all(&pids);
        }
        if stage >= Stage::WarmUp && filled.is_none() {
            filled = resident_all(&pids);
        }
        if stage >= Stage::Measure && begun.is_none() {
            begun = Some(Mark::now(&pids, traffic.get()));
        } else if stage > Stage::Measure && ended.is_none() {
            ended = Some(Mark::now(&pids, traffic.get()));
        }
        progress.look(reactor.context(), &mut generator);
    }
    progress.finish(reactor.context(), &mut generator);
    let (used, own_cpu, traffic) = match (begun, ended) {
        (Some(begun), Some(ended)) => (
            ended.target.since(begun.target),
            ended.own_cpu.saturating_sub(begun.own_cpu),
            ended.traffic.since(begun.traffic),
        ),
        _ => Default::default(),
    };
    Ok(Run {
        stats: generator.stats().clone(),
        target: used,
        own_cpu,
        traffic,
        message_size: generator.message_size(),
        occupied,
        before,
        resident: filled,
        early: generator.early(),
        seconds: progress.into_record(),
    })
}

/// How long the loop may sleep.
fn patience(generator: &Generator, now: Time) -> Duration {
    let next = generator.next_start().map(|start| start.since(now));
    next.map_or(SECOND, |next| next.saturating_sub(NEAR).min(SECOND))
}
