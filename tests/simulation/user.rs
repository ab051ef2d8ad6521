//! A user of version 2: who it is as long as the world stands, and one run of its client.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

use sealwax::client::{
    Caution, Channel, Client, ClientUser, Event, MemoryLetters, MemoryPins, Parts, Receipt,
    Settings,
};
use sealwax::crypto::PublicKey;
use sealwax::reactor::{Context, Reactor, Sys, Time, Timer};
use sealwax::wire::{RosterMode, TakeMode};

use crate::support::kernel::Kernel;
use crate::support::relay::some_key;
use crate::vault::FakeVault;

const TIMER: Timer = Timer(3);
/// The wall clock when the machine starts, in milliseconds since 1970.
pub(crate) const START_MS: i64 = 1_800_000_000_000;

/// A user, and what it keeps between two runs of its client.
pub(crate) struct User {
    pub(crate) name: String,
    key: PublicKey,
    peers: MemoryPins,
    relays: MemoryPins,
    /// What its client keeps of letters, however a run of it ends.
    letters: MemoryLetters,
    has_letterbox: bool,
    roster: RosterMode,
    /// How far its wall clock is ahead, in milliseconds.
    ahead_ms: Rc<Cell<i64>>,
    /// How far ahead it ever was.
    most_ahead_ms: i64,
    /// Counts the runs.
    pub(crate) run: u64,
    pub(crate) process: Option<Process>,
}

/// One run of a client.
pub(crate) struct Process {
    pub(crate) kernel: Kernel,
    pub(crate) reactor: Reactor<Kernel>,
    pub(crate) probe: Probe,
    /// It was stopped (`SIGSTOP`), and goes on then.
    pub(crate) stopped: Option<Time>,
    /// It was told to leave.
    pub(crate) leaves: bool,
    /// Its user did something: it has a turn, as it would for a line on standard input.
    pub(crate) is_nudged: bool,
}

/// The client, as a view drives it.
pub(crate) struct Probe {
    pub(crate) client: Client,
    /// What was told and nobody looked at yet.
    pub(crate) told: Vec<Told>,
    /// Messages whose lines standard output has not taken.
    unshown: Vec<Receipt>,
    is_held: bool,
}

/// What a client told.
#[derive(Debug)]
pub(crate) enum Told {
    /// A message, without its receipt.
    Text { from: String, text: String },
    /// Anything else.
    Event(Event),
}

impl User {
    pub(crate) fn new(number: u8, name: &str, roster: RosterMode) -> Self {
        Self {
            name: name.to_owned(),
            key: some_key(number),
            peers: MemoryPins::default(),
            relays: MemoryPins::default(),
            letters: MemoryLetters::default(),
            has_letterbox: !number.is_multiple_of(3),
            roster,
            ahead_ms: Rc::default(),
            most_ahead_ms: 0,
            run: 0,
            process: None,
        }
    }

    pub(crate) fn wants_roster(&self) -> bool {
        self.roster != RosterMode::None
    }

    /// Its wall clock jumps.
    pub(crate) fn set_clock(&mut self, ahead_ms: i64) {
        self.ahead_ms.set(ahead_ms);
        self.most_ahead_ms = self.most_ahead_ms.max(ahead_ms);
    }

    /// Its wall clock is not behind what it showed before. Where it stays behind, peers refuse what
    /// a new run of its client makes, as they refuse a replay (`docs/protocol.md`, section 5),
    /// until it has caught up: nothing is lost, and nothing is delivered.
    pub(crate) fn mend_clock(&mut self) {
        self.ahead_ms.set(self.most_ahead_ms);
    }

    /// Starts its client in this process; the relay is at one of these addresses.
    pub(crate) fn start(
        &mut self,
        kernel: Kernel,
        mut reactor: Reactor<Kernel>,
        relay: Vec<SocketAddr>,
        channel: Channel,
        seed: u64,
    ) {
        self.run += 1;
        self.mend_clock();
        let settings = Settings {
            name: self.name.clone(),
            relay: "relay".to_owned(),
            roster: self.roster,
            strict: false,
            waits_for_absent: false,
            letterbox: self.has_letterbox.then_some(TakeMode::All),
            every_warning: true,
            keys: "sealwax keys".to_owned(),
            timer: TIMER,
        };
        let (mut clock, ahead_ms) = (kernel.clone(), Rc::clone(&self.ahead_ms));
        let parts = Parts {
            vault: Box::new(FakeVault::seeded(self.key.clone(), seed)),
            peers: Box::new(self.peers.clone()),
            relays: Box::new(self.relays.clone()),
            marks: Box::new(crate::channel::marks(seed)),
            letters: Box::new(self.letters.clone()),
            channel,
            wall: Box::new(move || wall(clock.now(), ahead_ms.get())),
            resolve: Box::new(move |_: &str| Ok(relay.clone())),
        };
        let client = Client::new(settings, parts);
        let mut probe = Probe { client, told: Vec::new(), unshown: Vec::new(), is_held: false };
        probe.client.start(reactor.context());
        let (stopped, leaves, is_nudged) = (None, false, false);
        self.process = Some(Process { kernel, reactor, probe, stopped, leaves, is_nudged });
    }
}

/// The wall clock, in milliseconds since 1970.
pub(crate) fn wall(now: Time, ahead_ms: i64) -> u64 {
    let now_ms = i64::try_from(now.as_nanos() / 1_000_000).expect("the world is young");
    (START_MS + now_ms + ahead_ms).unsigned_abs()
}

impl Process {
    /// Lets standard output take nothing for a while (`true`), and read nothing meanwhile.
    pub(crate) fn hold(&mut self, is_held: bool) {
        self.probe.is_held = is_held;
        self.probe.client.hold(self.reactor.context(), is_held);
        self.probe.show();
        self.is_nudged = true;
    }

    pub(crate) fn leave(&mut self) {
        (self.leaves, self.is_nudged) = (true, true);
        self.probe.client.leave(self.reactor.context());
        self.probe.take_events(self.reactor.context());
    }
}

impl Probe {
    fn show(&mut self) {
        if !self.is_held {
            self.unshown.drain(..).for_each(|receipt| self.client.shown(receipt));
        }
    }
}

impl ClientUser for Probe {
    fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    fn take_events(&mut self, _cx: &mut Context) {
        while let Some(event) = self.client.next_event() {
            if let Event::Message { from, text, receipt, .. } = event {
                self.unshown.push(receipt);
                self.told.push(Told::Text { from, text });
            } else {
                self.told.push(Told::Event(event));
            }
        }
        self.show();
    }
}

/// What an honest relay and honest peers can bring about.
pub(crate) const fn is_honest(code: Caution) -> bool {
    matches!(
        code,
        Caution::NotV2
            | Caution::StalePrekey
            | Caution::StaleSession
            | Caution::SessionRefused
            | Caution::TooManySessions
            | Caution::UnknownSession
            | Caution::NoKey
            | Caution::ClockSkew
            | Caution::Refused
            | Caution::StaleLetter
    )
}
