//! The relay's machine: the loop, the kernel, the connections, and what is looked at after each
//! tick.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use nix::errno::Errno;
use sealwax::reactor::{
    CloseReason, Config, Context, Handler, Opened, ProcessFd, Reactor, Signal, Timeout, Timer,
    Token,
};
use sealwax::relay::event::Level;
use sealwax::relay::inline_store::InlineStore;
use sealwax::relay::journal::{Format, Journal};
use sealwax::relay::{Relay, RelayConfig};
use sealwax::wire::RosterMode;

use super::super::json::Members;
use super::super::kernel::{Call, Device, Fault, Kernel, Op, Peer};
use super::super::transform::{Tunnel, server_tls};
use super::super::vault::FakeNotary;
use super::guest::{Guest, Told};

/// How many are connected at a time.
pub(crate) const GUESTS: usize = 4;
/// Names of original users, which no user of version 2 can have.
pub(crate) const NAMES: [&str; 2] = ["JG", "ä"];
pub(crate) const NAMES_V2: [&str; 2] = ["a", "b"];

/// Small limits are met soon. (A registration of version 2 has 1,300 bytes.)
pub(crate) const MAX_FRAME: usize = 2 * 1024;
const OUTBOX_SOFT: usize = 4 * 1024;
const OUTBOX_HARD: usize = 8 * 1024;
/// A frame that is passed on has a longer `from`, or one that it had not; a last frame says why.
const EXTRA: usize = 1024;
/// The loop comes to rest before it has turned this often.
const TURNS: usize = 5_000;
/// After so many turns nobody sends in small pieces any more.
const PATIENCE: usize = 100;
/// More than the kernel holds for anybody, in bytes.
const PIPE: usize = 16 * 1024;
const AT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 12345);
/// Past every deadline, a connection's last and a roster's turn included.
const LONG: Duration = Duration::from_secs(100);

/// Everything.
pub(crate) struct Room {
    kernel: Kernel,
    reactor: Reactor<Kernel>,
    relay: Watched,
    log: Peer,
    logged: Vec<u8>,
    guests: [Option<Guest>; GUESTS],
    /// Who speaks TLS: a bit for each.
    tls: u8,
    serial: usize,
    /// Of the relay alone.
    descriptors: usize,
    sources: usize,
    /// What was sent with which number by whom.
    sent: BTreeMap<String, (usize, usize)>,
    relayed: BTreeSet<String>,
    arrived: BTreeSet<String>,
    /// The latest number that came to somebody from somebody.
    latest: BTreeMap<(usize, usize), usize>,
    /// Somebody has left, or was closed.
    is_broken: bool,
}

impl Room {
    /// A relay whose connections hold `buffer` bytes in the kernel; those with a bit in `tls` speak
    /// TLS.
    pub(crate) fn new(buffer: usize, tls: u8) -> Self {
        let kernel = Kernel::new();
        let log = kernel.standard(2, Device::Pipe);
        kernel.set_buffer(buffer);
        let config = RelayConfig {
            max_frame: MAX_FRAME,
            outbox_soft: OUTBOX_SOFT,
            outbox_hard: OUTBOX_HARD,
            ..RelayConfig::default()
        };
        let notary = Box::new(FakeNotary::new([5; 32], 0));
        let store = InlineStore::new(Box::new(|| 0));
        let store = store.unwrap_or_else(|fault| panic!("tables in memory: {fault}"));
        let store = Box::new(store);
        let journal = Journal::new(Format::Json, Level::Debug);
        let mut relay = Relay::new(config, notary, store, Vec::new(), journal, Box::new(|| 0));
        relay.speak_tls(Box::new(server_tls()));
        let mut relay = Watched { relay, tokens: BTreeMap::new() };
        let mut reactor = Reactor::new(kernel.clone(), &Config::default());
        relay.relay.log_to(reactor.context().open(ProcessFd::Stderr));
        relay.relay.start(reactor.context(), &[AT]);
        let mut room = Self {
            kernel,
            reactor,
            relay,
            log,
            logged: Vec::new(),
            guests: [const { None }; GUESTS],
            tls,
            serial: 0,
            descriptors: 0,
            sources: 0,
            sent: BTreeMap::new(),
            relayed: BTreeSet::new(),
            arrived: BTreeSet::new(),
            latest: BTreeMap::new(),
            is_broken: false,
        };
        room.pass(Duration::from_secs(1)); // a clock that has run for a while
        (room.descriptors, room.sources) = (room.kernel.descriptors(), room.relay.tokens.len());
        room
    }

    /// Somebody, connected if they were not.
    pub(crate) fn guest(&mut self, who: usize) -> &mut Guest {
        let Self { kernel, serial, guests, tls, .. } = self;
        guests[who].get_or_insert_with(|| {
            *serial += 1;
            let tunnel = (*tls >> who & 1 == 1).then(Tunnel::tls);
            Guest::new(kernel.dial(AT), *serial, tunnel)
        })
    }

    pub(crate) fn send(&mut self, who: usize, is_message: bool, to: &str, size: usize) {
        let guest = self.guest(who);
        let (id, serial) = (guest.send(is_message, to, size), guest.serial);
        let number = self.sent.len();
        self.sent.insert(id, (serial, number));
    }

    pub(crate) fn hear(&mut self, who: usize, most: usize) -> usize {
        let guest = self.guest(who);
        let (bytes, told) = guest.hear(most);
        let serial = guest.serial;
        for told in told {
            match told {
                Told::Relayed(id) => drop(self.relayed.insert(id)),
                Told::Content(content) => self.came(serial, &content),
            }
        }
        bytes
    }

    /// A message has come to `at`: once, and after those that its sender had sent it before.
    fn came(&mut self, at: usize, content: &str) {
        let Some(id) = content.get(..16) else { return };
        let Some(&(from, number)) = self.sent.get(id) else { return };
        assert!(self.arrived.insert(id.to_owned()), "{id} came twice");
        let before = self.latest.insert((from, at), number);
        assert!(before.is_none_or(|before| before < number), "{id} came after a later one");
    }

    /// Leaves, or says that nothing more comes.
    pub(crate) fn leave(&mut self, who: usize, how: usize, ends_tls: bool) {
        self.is_broken = true;
        self.guest(who).leave(how, ends_tls);
        if how < 2
            && let Some(guest) = self.guests[who].take()
        {
            guest.was_answered(false);
        }
    }

    /// The next `count` reads and writes go so.
    pub(crate) fn fail(&mut self, fault: Fault, count: usize) {
        let mut left = count;
        self.kernel.inject(move |op, _| {
            left = left.checked_sub(usize::from(matches!(op, Op::Read | Op::Writev)))?;
            match (op, fault) {
                // A write of nothing is an end.
                (Op::Writev, Fault::Short(most)) => Some(Fault::Short(most.max(1))),
                (Op::Read | Op::Writev, fault) => Some(fault),
                _ => None,
            }
        });
    }

    /// The relay may have so many descriptors more.
    pub(crate) fn limit(&mut self, more: usize) {
        self.kernel.set_limit(self.kernel.descriptors() + more);
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.kernel.advance(time);
        self.settle();
    }

    /// Lets the loop turn until there is nothing to do at this time.
    ///
    /// # Panics
    /// If it does not come to rest.
    pub(crate) fn settle(&mut self) {
        let mut idle = 0;
        for turn in 0..TURNS {
            self.kernel.calls();
            let tick = self.reactor.tick(&mut self.relay, Some(Duration::ZERO));
            assert_eq!(tick, Ok(()));
            self.logged.extend(self.log.receive_all());
            let mut is_idle = true;
            for who in 0..GUESTS {
                let Some(guest) = &mut self.guests[who] else { continue };
                guest.cut = if turn < PATIENCE { guest.cut } else { usize::MAX };
                is_idle &= !guest.push();
                // Whoever has not agreed says nothing before it has read.
                if guest.is_greeting() {
                    is_idle &= self.hear(who, PIPE) == 0;
                }
            }
            let waits = |call: &Call| call.op == Op::Wait && call.outcome == Ok(0);
            is_idle &= self.kernel.calls().iter().all(waits);
            idle = if is_idle { idle + 1 } else { 0 };
            if idle == 2 {
                return;
            }
        }
        panic!("the loop does not come to rest");
    }

    /// All say what they have left and hear what there is; then they leave, and nothing is left.
    pub(crate) fn finish(mut self) {
        self.kernel.inject(|_, _| None);
        self.kernel.set_limit(usize::MAX);
        self.pass(Duration::from_millis(100)); // a listener that rests
        loop {
            self.settle();
            let mut heard = 0;
            for who in 0..GUESTS {
                if self.guests[who].is_some() {
                    heard += self.hear(who, PIPE);
                }
            }
            if heard == 0 {
                break;
            }
        }
        for guest in self.guests.iter().flatten() {
            guest.was_answered(true);
        }
        if !self.is_broken && self.guests.iter().flatten().all(Guest::is_here) {
            let lost: Vec<_> = self.relayed.difference(&self.arrived).collect();
            assert!(lost.iter().all(|id| !self.sent.contains_key(*id)), "relayed, and lost");
        }
        for mut guest in self.guests.iter_mut().filter_map(Option::take) {
            guest.leave(0, true);
        }
        self.settle();
        self.pass(LONG);
        assert_eq!(self.kernel.descriptors(), self.descriptors, "a descriptor is left");
        assert_eq!(self.relay.tokens.len(), self.sources, "a connection is left");
        assert_eq!(self.reactor.context().queued_in_all(), 0, "bytes are left");
        self.names_are_free();
        for line in self.logged.split_inclusive(|&byte| byte == b'\n') {
            let Some(line) = line.strip_suffix(b"\n") else { panic!("half a line in the log") };
            let _ = Members::of(line);
        }
    }

    /// Whoever comes next is the only one here, and finds the names free.
    fn names_are_free(&mut self) {
        for (who, name) in NAMES.into_iter().enumerate() {
            let guest = self.guest(who);
            guest.register(name, RosterMode::Full);
            self.settle();
            while self.hear(who, PIPE) > 0 {
                self.settle();
            }
            let told: BTreeSet<_> = self.guest(who).users.drain(..).collect();
            assert_eq!(told, NAMES[..=who].iter().map(|&name| name.into()).collect(), "the roster");
        }
    }
}

/// The relay, and what is looked at after each tick.
struct Watched {
    relay: Relay,
    /// All its sources, and whether they were accepted.
    tokens: BTreeMap<Token, bool>,
}

impl Watched {
    fn look(&self, cx: &Context) {
        let most = OUTBOX_HARD.max(OUTBOX_SOFT + MAX_FRAME) + MAX_FRAME + EXTRA;
        let mut all = 0;
        for (&token, &is_guest) in &self.tokens {
            let queued = cx.queued(token);
            assert!(!is_guest || queued <= most, "{queued} bytes wait");
            all += queued;
        }
        assert_eq!(all, cx.queued_in_all(), "the bytes that wait");
    }
}

impl Handler for Watched {
    fn opened(&mut self, cx: &mut Context, id: Token, how: Opened) {
        self.tokens.insert(id, matches!(how, Opened::Accepted { .. }));
        self.relay.opened(cx, id, how);
    }

    fn received(&mut self, cx: &mut Context, from: Token, bytes: &[u8]) -> usize {
        self.relay.received(cx, from, bytes)
    }

    fn ended(&mut self, cx: &mut Context, from: Token, rest: &[u8]) {
        self.relay.ended(cx, from, rest);
    }

    fn drained(&mut self, cx: &mut Context, to: Token) {
        self.relay.drained(cx, to);
    }

    fn timed_out(&mut self, cx: &mut Context, id: Token, timeout: Timeout) {
        self.relay.timed_out(cx, id, timeout);
    }

    fn timer(&mut self, cx: &mut Context, timer: Timer) {
        self.relay.timer(cx, timer);
    }

    fn exhausted(&mut self, cx: &mut Context, listener: Token, errno: Errno) {
        self.relay.exhausted(cx, listener, errno);
    }

    fn signal(&mut self, cx: &mut Context, signal: Signal) {
        self.relay.signal(cx, signal);
    }

    fn closed(&mut self, cx: &mut Context, id: Token, reason: CloseReason) {
        self.tokens.remove(&id);
        self.relay.closed(cx, id, reason);
    }

    fn end_of_tick(&mut self, cx: &mut Context) {
        self.relay.end_of_tick(cx);
        self.look(cx);
    }
}
