//! One run of the relay's process.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use nix::errno::Errno::{EMFILE, ENFILE, ENOBUFS, ENOMEM};
use sealwax::reactor::limits::ACCEPT_BACKOFF;
use sealwax::reactor::{ProcessFd, Reactor, Sys, Time};
use sealwax::relay::event::Level;
use sealwax::relay::journal::{Format, Journal};
use sealwax::relay::{Relay, RelayConfig};

use crate::channel::Either;
use crate::disk::Disk;
use crate::support::census::Census;
use crate::support::kernel::{Call, Device, Kernel, Op, Peer};
use crate::user::wall;
use crate::vault::FakeNotary;
use crate::world::AT;

/// What the relay has open when nobody is there: a listener, signals, wake-ups and its log.
const OWN: usize = 4;
/// What a goodbye takes beyond every limit, in bytes.
const GOODBYE: usize = 512;
/// The relay's key, in each run.
const KEY: [u8; 32] = [7; 32];

/// The relay, as a process.
pub(crate) struct Process {
    pub(crate) kernel: Kernel,
    pub(crate) reactor: Reactor<Kernel>,
    pub(crate) relay: Relay,
    /// It was stopped (`SIGSTOP`), and goes on then.
    pub(crate) stopped: Option<Time>,
    /// It sleeps so long that others lose patience, or was told to end.
    pub(crate) is_absent: bool,
    config: RelayConfig,
    log: Peer,
    /// It ran out of something, and accepts nobody before this.
    rests_until: Time,
}

impl Process {
    pub(crate) fn start(
        kernel: Kernel,
        mut reactor: Reactor<Kernel>,
        config: RelayConfig,
        disk: &Disk,
        ahead_ms: Rc<Cell<i64>>,
        seed: u64,
    ) -> Self {
        let notary = Box::new(FakeNotary::new(KEY, seed));
        let journal = Journal::new(Format::Text { color: false }, Level::Normal);
        let mut clock = kernel.clone();
        let wall = Box::new(clock_of(move || clock.now(), ahead_ms));
        let store = disk.store(kernel.clone());
        let mut relay = Relay::new(config, notary, store, disk.bound(), journal, wall);
        relay.speak_tls(Box::new(Either::new()));
        let log = kernel.standard(2, Device::Pipe);
        relay.log_to(reactor.context().open(ProcessFd::Stderr));
        relay.start(reactor.context(), &[AT]);
        let rests_until = Time::default();
        let (stopped, is_absent) = (None, false);
        Self { kernel, reactor, relay, stopped, is_absent, config, log, rests_until }
    }

    /// The lines that it logged since this was last asked.
    pub(crate) fn log(&mut self) -> Vec<String> {
        let bytes = self.log.receive_all();
        String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()
    }

    /// Looks at it after a tick with these calls: its books agree with each other, and its limits
    /// are kept.
    pub(crate) fn check(&mut self, now: Time, calls: &[Call]) {
        for call in calls.iter().filter(|call| call.op == Op::Accept) {
            assert!(self.rests_until <= now, "the listener does not rest");
            if matches!(call.outcome, Err(EMFILE | ENFILE | ENOBUFS | ENOMEM)) {
                self.rests_until = now + ACCEPT_BACKOFF;
            }
        }
        let census = Census::of(self.reactor.context());
        let Census { sources, deadlines, queued, longest_queue, .. } = census;
        let cx = self.reactor.context();
        assert_eq!(cx.queued_in_all(), queued, "the sum of all queues");
        let held = cx.output_in_all();
        assert!(held >= queued && (held == 0) == (queued == 0), "{held} bytes hold {queued}");
        let RelayConfig { outbox_soft, outbox_hard, max_frame, .. } = self.config;
        let most = outbox_hard.max(outbox_soft + max_frame) + GOODBYE;
        assert!(longest_queue <= most, "{longest_queue} bytes wait for somebody");
        let census = self.relay.census();
        assert!(census.connections <= sources, "{census:?} of {sources} sources");
        assert!(sources <= census.connections + OWN, "{census:?} of {sources} sources");
        assert!(census.held <= census.users + census.reserved, "a name leaks: {census:?}");
        assert!(deadlines <= sources * 4, "{deadlines} deadlines of {sources} sources");
        assert!(self.kernel.descriptors() <= sources, "a descriptor leaks");
    }

    /// Everybody has left, and nothing of them is left behind.
    pub(crate) fn check_empty(&mut self) {
        let has_log = self.kernel.has_opened(2) && !self.log.has_ended();
        let own = OWN - usize::from(!has_log);
        let own = Census { sources: own, ..Census::default() };
        assert_eq!(Census::of(self.reactor.context()), own);
        assert_eq!(self.relay.census(), sealwax::relay::RelayCensus::default());
        assert_eq!(self.kernel.descriptors(), own.sources);
        // A log that is gone is tried again and again.
        assert!(!has_log || self.reactor.due().is_none(), "something is still due");
    }

    /// Ends the process; what it had open is closed.
    pub(crate) fn end(self) {
        let Self { kernel, reactor, log, .. } = self;
        drop(reactor);
        kernel.exit();
        assert_eq!(kernel.descriptors(), 0, "it left descriptors behind");
        log.close();
    }
}

/// A wall clock that runs with the machine's, and is so far ahead.
fn clock_of(now: impl FnMut() -> Time + 'static, ahead_ms: Rc<Cell<i64>>) -> impl Fn() -> u64 {
    let now = RefCell::new(now);
    move || wall((now.borrow_mut())(), ahead_ms.get())
}

/// How long a process may be stopped without anybody's patience being over.
pub(crate) const SHORT_STOP: Duration = Duration::from_secs(4);
