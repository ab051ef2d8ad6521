//! The load generator in a thread of its own: users whose every message is checked, for as long as
//! a test wants them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use sealwax::limits::LOAD_CONNECTING;
use sealwax::load::{Extent, Generator, Payload, Plan, Sealwax, Stage, Stats, Work};
use sealwax::reactor::{Handler, Linux, Reactor, Signal, raise_descriptor_limit};
use sealwax::wire::RosterMode;

use crate::gauge::until;
use crate::{figure, milliseconds};

/// The length of a message, in bytes.
const SIZE: usize = 131;
/// How long anything may take, a stopped relay included.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How often it looks whether it is to end.
const LOOK: Duration = Duration::from_millis(5);
/// The loop sleeps in whole milliseconds: nearer than this to the next start it does not sleep.
const NEAR: Duration = Duration::from_millis(2);
/// Where users come from: each address has its own ports, and those that were used rest a minute.
const SOURCES: u8 = 64;

/// Users at work.
pub(crate) struct Crowd {
    thread: JoinHandle<Stats>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    is_measured: AtomicBool,
    is_over: AtomicBool,
    finished: AtomicU64,
}

impl Crowd {
    /// Pairs that send messages to and fro, `rate` round trips a second (none: as fast as it goes),
    /// until [`finish`](Self::finish). `first` keeps the names of two crowds apart.
    pub(crate) fn pairs(at: &str, first: u32, pairs: u32, rate: Option<f64>) -> Self {
        Self::start(at, first, plan(at, Work::PingPong, pairs, rate, None))
    }

    /// Pairs of which one sends as fast as it goes, `window` messages ahead of the other.
    pub(crate) fn flood(at: &str, first: u32, pairs: u32, window: usize) -> Self {
        let work = Work::Flood { window, mesh: true };
        Self::start(at, first, plan(at, work, pairs, None, None))
    }

    /// Users who connect, register, are answered and leave, so many times in all.
    pub(crate) fn comings(at: &str, first: u32, at_once: u32, count: u64) -> Self {
        Self::start(at, first, plan(at, Work::Connect, at_once, None, Some(count)))
    }

    fn start(at: &str, first: u32, plan: Plan) -> Self {
        let (ends_early, at) = (plan.extent == FOR_EVER, at.to_owned());
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            let payload = Payload::new(SIZE, false, first).expect("long enough");
            let protocol = Box::new(Sealwax::new(RosterMode::None, &payload, None));
            run(Generator::new(plan, protocol, payload), &theirs)
        });
        let crowd = Self { thread, shared };
        if ends_early {
            crowd.shared_is(|shared| shared.is_measured.load(Ordering::Relaxed), &at);
        }
        crowd
    }

    /// Waits until `more` operations than now are done.
    pub(crate) fn goes_on(&self, more: u64) {
        let finished = |shared: &Shared| shared.finished.load(Ordering::Relaxed);
        let target = finished(&self.shared) + more;
        self.shared_is(|shared| finished(shared) >= target, "more messages");
    }

    /// Ends it where it has no end of its own, and tells what was counted.
    pub(crate) fn finish(self) -> Stats {
        self.shared.is_over.store(true, Ordering::Relaxed);
        self.wait()
    }

    /// Waits for its own end, and tells what was counted.
    pub(crate) fn wait(self) -> Stats {
        self.thread.join().expect("no fault of ours")
    }

    fn shared_is(&self, is_so: impl Fn(&Shared) -> bool, what: &str) {
        let over = || self.thread.is_finished();
        until(|| is_so(&self.shared) || over(), || format!("the crowd has no {what}"));
        assert!(is_so(&self.shared), "the crowd has ended without {what}");
    }
}

/// Checks that nothing went wrong, and prints the figures.
pub(crate) fn is_whole(stats: &Stats, whose: &str) {
    let faults: Vec<_> = stats.faults.iter().collect();
    assert!(faults.is_empty(), "{whose}: {faults:?}");
    assert!(stats.finished > 0, "{whose}: nothing was done");
    let quantile = |it| milliseconds(Duration::from_nanos(stats.latency.value_at_quantile(it)));
    figure(&format!("{whose}: operations, none lost or twice"), stats.finished);
    figure(
        &format!("{whose}: p50, p99, the longest"),
        format!("{}, {}, {}", quantile(0.5), quantile(0.99), quantile(1.0)),
    );
}

const FOR_EVER: Extent = Extent::Time(Duration::from_hours(1));

fn plan(at: &str, work: Work, workers: u32, rate: Option<f64>, count: Option<u64>) -> Plan {
    let target: SocketAddr = at.parse().expect("an address");
    Plan {
        targets: vec![target],
        crossing: 0,
        work,
        workers,
        idle: 0,
        rate,
        warm_up: Duration::ZERO,
        extent: count.map_or(FOR_EVER, Extent::Operations),
        ramp: Duration::ZERO,
        connecting: LOAD_CONNECTING,
        timeout: TIMEOUT,
    }
}

fn run(mut generator: Generator, shared: &Shared) -> Stats {
    raise_descriptor_limit().expect("it can be read");
    let sources = (1..=SOURCES).map(|last| Ipv4Addr::new(127, 0, 0, last)).collect();
    let linux = Linux::new().expect("a descriptor").connecting_from(sources);
    let mut reactor = Reactor::new(linux, &generator.waits());
    generator.start(reactor.context());
    let mut was_told = false;
    while generator.stage() != Stage::Done {
        let now = reactor.context().now();
        let next = generator.next_start().map_or(LOOK, |start| start.since(now));
        let patience = next.saturating_sub(NEAR).min(LOOK);
        reactor.tick(&mut generator, Some(patience)).expect("no fault of a peer's");
        shared.finished.store(generator.stats().finished, Ordering::Relaxed);
        shared.is_measured.fetch_or(generator.stage() >= Stage::Measure, Ordering::Relaxed);
        if shared.is_over.load(Ordering::Relaxed) && !was_told {
            was_told = true;
            generator.signal(reactor.context(), Signal::Interrupt);
        }
    }
    generator.stats().clone()
}
