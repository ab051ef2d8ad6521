//! A relay and its users on one simulated machine.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use sealwax::client::{
    Caution, Channel, Client, ClientUser, Event, Failure, FileLetters, LetterBook, MemoryLetters,
    MemoryPins, Parts, PeerPin, PinBook, Pins, Receipt, RelayPin, Resolver, Settings, Trust, Way,
};
use sealwax::crypto::{IdentityVault, PrekeyPair, Vault, prekey_to_be_signed};
use sealwax::home::Home;
use sealwax::reactor::{Config, Context, Handler, Reactor, Sys, Timer};
use sealwax::wire::{Prekey, RosterMode};

use crate::evil::EvilRelay;
pub(crate) use crate::support::fixtures::{identity, public};
use crate::support::kernel::{Call, Kernel, Op};

/// A relay whose addresses are not known before [`User::look_up`].
pub(crate) const LATE_NAME: &str = "late.example:12345";
/// The file of letters in a home.
pub(crate) const LETTERS: &str = "letters.sqlite";
const TIMER: Timer = Timer(3);
/// The wall clock when the machine starts, in milliseconds since 1970.
pub(crate) const START_MS: u64 = 1_800_000_000_000;
/// How finely time passes where nothing happens.
const STEP: Duration = Duration::from_millis(25);

/// A machine with a relay `R` and some users.
pub(crate) struct World<R = EvilRelay> {
    pub(crate) kernel: Kernel,
    pub(crate) relay: R,
    pub(crate) relay_loop: Reactor<Kernel>,
    relay_kernel: Kernel,
    pub(crate) at: SocketAddr,
    pub(crate) users: Vec<User>,
    /// How far everybody's wall clock is ahead, in milliseconds.
    days_ms: Rc<Cell<u64>>,
    /// What those who start have kept of letters in earlier runs.
    kept: BTreeMap<String, (MemoryLetters, MemoryPins)>,
    /// The homes of those who keep letters in a file, and not in memory.
    pub(crate) homes: BTreeMap<String, Home>,
}

/// One client, as a view would drive it.
pub(crate) struct User {
    name: String,
    kernel: Kernel,
    pub(crate) probe: Probe,
    pub(crate) reactor: Reactor<Kernel>,
    /// What the trust file holds; shared with the client as with another process.
    pub(crate) peers: MemoryPins,
    pub(crate) relays: MemoryPins,
    /// What it keeps of letters, also over a crash.
    pub(crate) letters: MemoryLetters,
    pub(crate) marks: MemoryPins,
    /// How far the user's wall clock is ahead, in milliseconds.
    pub(crate) ahead_ms: Rc<Cell<u64>>,
    /// What a name server says of [`LATE_NAME`], once it does.
    name_server: NameServer,
}

pub(crate) struct Probe {
    pub(crate) client: Client,
    /// What was told, but for messages.
    pub(crate) events: Vec<Event>,
    /// The messages.
    pub(crate) heard: Vec<Heard>,
    /// Whether standard output takes what is written.
    pub(crate) shows: bool,
    pub(crate) unshown: Vec<Receipt>,
}

/// A message that was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) from: String,
    pub(crate) text: String,
    pub(crate) way: Way,
    pub(crate) trust: Trust,
}

impl World {
    /// A relay that does as it is told, without users.
    pub(crate) fn new() -> Self {
        let mut world = Self::with(EvilRelay::new());
        world.relay_loop.context().listen(world.at);
        world
    }

    /// `alice` and `bob`, registered.
    pub(crate) fn of_two() -> Self {
        let mut world = Self::new();
        world.join("alice");
        world.join("bob");
        world.run(Duration::from_millis(100));
        world
    }

    /// Lets the relay send `frame` to `name`.
    pub(crate) fn inject(&mut self, name: &str, frame: &serde_json::Value) {
        self.relay.tell(self.relay_loop.context(), name, frame);
    }

    /// Ends all connections.
    pub(crate) fn cut(&mut self) {
        self.relay.drop_all(self.relay_loop.context());
    }
}

impl<R: Handler> World<R> {
    /// A machine with this relay, which is not listening yet.
    pub(crate) fn with(relay: R) -> Self {
        let kernel = Kernel::new();
        let relay_kernel = kernel.process();
        let relay_loop = Reactor::new(relay_kernel.clone(), &Config::default());
        let at = SocketAddr::from(([127, 0, 0, 1], 12345));
        Self {
            kernel,
            relay,
            relay_loop,
            relay_kernel,
            at,
            users: Vec::new(),
            days_ms: Rc::default(),
            kept: BTreeMap::new(),
            homes: BTreeMap::new(),
        }
    }

    /// A user with the key of the fixture of the same name.
    pub(crate) fn join(&mut self, name: &str) {
        self.join_as(name, name, |_| {});
    }

    /// A user `name` with the key of the fixture `key`.
    pub(crate) fn join_as(&mut self, name: &str, key: &str, set: impl FnOnce(&mut Settings)) {
        self.join_with(name, key, (MemoryPins::default(), MemoryPins::default()), set);
    }

    /// A user who knows these peers and relays.
    pub(crate) fn join_with(
        &mut self,
        name: &str,
        key: &str,
        (peers, relays): (MemoryPins, MemoryPins),
        set: impl FnOnce(&mut Settings),
    ) {
        let store = Box::new(peers.clone());
        self.add(name, key, store, (peers, relays), set);
    }

    /// A user whose peers are pinned there.
    pub(crate) fn join_to(&mut self, name: &str, store: Box<dyn Pins>) {
        self.add(name, name, store, (MemoryPins::default(), MemoryPins::default()), |_| {});
    }

    fn add(
        &mut self,
        name: &str,
        key: &str,
        store: Box<dyn Pins>,
        (peers, relays): (MemoryPins, MemoryPins),
        set: impl FnOnce(&mut Settings),
    ) {
        let mut settings = Settings {
            name: name.to_owned(),
            relay: self.at.to_string(),
            roster: RosterMode::None,
            strict: false,
            waits_for_absent: false,
            letterbox: None,
            every_warning: true,
            keys: "sealwax keys".to_owned(),
            timer: TIMER,
        };
        set(&mut settings);
        let ahead_ms = Rc::new(Cell::new(0));
        let (letters, marks) = self.kept.remove(name).unwrap_or_default();
        let book: Box<dyn LetterBook> = match self.homes.get(name) {
            Some(home) => Box::new(FileLetters::open(home, LETTERS, None).expect("a file")),
            None => Box::new(letters.clone()),
        };
        let name_server = NameServer::default();
        let parts = Parts {
            vault: Box::new(IdentityVault::new(identity(key))),
            peers: store,
            relays: Box::new(relays.clone()),
            marks: Box::new(marks.clone()),
            letters: book,
            channel: Channel::plain(),
            wall: wall(&self.kernel, &ahead_ms, &self.days_ms),
            resolve: Box::new(name_server.clone()),
        };
        let client = Client::new(settings, parts);
        let kernel = self.kernel.process();
        let mut reactor = Reactor::new(kernel.clone(), &Config::default());
        let mut probe = Probe {
            client,
            events: Vec::new(),
            heard: Vec::new(),
            shows: true,
            unshown: Vec::new(),
        };
        probe.client.start(reactor.context());
        let name = name.to_owned();
        let user = User {
            name,
            kernel,
            probe,
            reactor,
            peers,
            relays,
            letters,
            marks,
            ahead_ms,
            name_server,
        };
        self.users.push(user);
    }

    /// Lets everything happen that happens within `time`.
    pub(crate) fn run(&mut self, time: Duration) {
        let mut left = time;
        loop {
            self.settle();
            let step = left.min(STEP);
            if step.is_zero() {
                return;
            }
            self.kernel.advance(step);
            left -= step;
        }
    }

    pub(crate) fn run_seconds(&mut self, seconds: u64) {
        self.run(Duration::from_secs(seconds));
    }

    /// Lets everything happen that needs no time.
    fn settle(&mut self) {
        // Until nobody has read or written anything for some rounds: what is asked for in one tick
        // is carried out in the next.
        let mut quiet = 0;
        while quiet < 3 {
            quiet = if self.round() { 0 } else { quiet + 1 };
        }
    }

    /// A tick of each. Returns whether any bytes moved.
    fn round(&mut self) -> bool {
        self.relay_loop.tick(&mut self.relay, Some(Duration::ZERO)).expect("a wait");
        for user in &mut self.users {
            user.reactor.tick(&mut user.probe, Some(Duration::ZERO)).expect("a wait");
        }
        let moves = |call: &Call| matches!(call.op, Op::Read | Op::Writev | Op::Connect);
        let of_users = self.users.iter().flat_map(|user| user.kernel.calls());
        let calls: Vec<_> = of_users.chain(self.relay_kernel.calls()).collect();
        calls.iter().any(moves)
    }

    /// The latest user of this name.
    pub(crate) fn user(&mut self, name: &str) -> &mut User {
        let is_it = |user: &&mut User| user.name == name;
        self.users.iter_mut().rev().find(is_it).expect("a user")
    }

    pub(crate) fn say(&mut self, from: &str, to: &str, text: &str) {
        let taken = self.user(from).probe.client.say(to, text, Some(text.to_owned()));
        assert_eq!(taken.as_deref(), Ok(text));
    }

    /// The events of `name` since this was last asked.
    pub(crate) fn events(&mut self, name: &str) -> Vec<Event> {
        std::mem::take(&mut self.user(name).probe.events)
    }

    /// The texts that `name` was told since this was last asked, and from whom.
    pub(crate) fn heard(&mut self, name: &str) -> Vec<String> {
        let heard = std::mem::take(&mut self.user(name).probe.heard);
        heard.into_iter().map(|Heard { from, text, .. }| format!("{from}: {text}")).collect()
    }

    /// The user's process ends.
    pub(crate) fn kill(&mut self, name: &str) -> (MemoryPins, MemoryPins) {
        let place = self.users.iter().position(|user| user.name == name).expect("a user");
        let mut user = self.users.remove(place);
        user.probe.client.leave(user.reactor.context());
        for _ in 0..3 {
            user.reactor.tick(&mut user.probe, Some(Duration::ZERO)).expect("a wait");
        }
        self.settle();
        self.kept.insert(name.to_owned(), (user.letters, user.marks));
        (user.peers, user.relays)
    }

    /// The user's process ends at once, with all that it was about to do.
    pub(crate) fn crash(&mut self, name: &str) -> (MemoryPins, MemoryPins) {
        let place = self.users.iter().position(|user| user.name == name).expect("a user");
        let user = self.users.remove(place);
        self.kept.insert(name.to_owned(), (user.letters.clone(), user.marks.clone()));
        let pins = (user.peers.clone(), user.relays.clone());
        drop(user);
        self.settle();
        pins
    }

    /// What a user that does not run has kept of letters.
    pub(crate) fn kept_letters(&self, name: &str) -> &MemoryLetters {
        &self.kept[name].0
    }

    /// Nothing happens for so many days.
    pub(crate) fn sleep_days(&mut self, days: u64) {
        self.days_ms.set(self.days_ms.get() + days * 24 * 3_600_000);
    }
}

impl Probe {
    /// Standard output takes all that was written.
    pub(crate) fn show_all(&mut self) {
        self.unshown.drain(..).for_each(|receipt| self.client.shown(receipt));
    }
}

/// A prekey without an ML-KEM key, as an earlier version publishes it.
pub(crate) fn prekey_of_suite_1(vault: &IdentityVault, name: &str) -> serde_json::Value {
    let prekey = PrekeyPair::new(vault, START_MS + 60_000).publish(vault, name);
    let mut prekey = Prekey { mlkem: None, ..prekey };
    let fp = vault.public().fingerprint();
    prekey.signature = vault.sign(&prekey_to_be_signed(name, &fp, &prekey));
    serde_json::from_str(&prekey.to_json()).expect("it is JSON")
}

impl User {
    /// The name server answers what it was asked for [`LATE_NAME`].
    pub(crate) fn look_up(&mut self, found: Found) {
        self.name_server.0.replace(Some(found));
        self.probe.client.looked_up(self.reactor.context());
    }

    /// What its trust file says of `name`.
    pub(crate) fn pin(&self, name: &str) -> Option<PeerPin> {
        let mut book = PinBook::<PeerPin>::new(Box::new(self.peers.clone()));
        book.refresh().expect("memory");
        book.file().find(name).cloned()
    }

    /// The relays that it knows.
    pub(crate) fn known_relays(&self) -> Vec<RelayPin> {
        let mut book = PinBook::<RelayPin>::new(Box::new(self.relays.clone()));
        book.refresh().expect("memory");
        book.file().iter().cloned().collect()
    }
}

/// The ids that were confirmed.
pub(crate) fn delivered(events: &[Event]) -> Vec<&str> {
    let delivered = events.iter().filter_map(|event| match event {
        Event::Delivered { id, .. } => Some(id.as_str()),
        _ => None,
    });
    delivered.collect()
}

/// The codes of the messages that failed.
pub(crate) fn failures(events: &[Event]) -> Vec<Failure> {
    let failures = events.iter().filter_map(|event| match event {
        Event::Failed { code, .. } => Some(*code),
        _ => None,
    });
    failures.collect()
}

/// The codes of the warnings.
pub(crate) fn cautions(events: &[Event]) -> Vec<Caution> {
    let cautions = events.iter().filter_map(|event| match event {
        Event::Warning { code, .. } => Some(*code),
        _ => None,
    });
    cautions.collect()
}

/// Answers at once, but for [`LATE_NAME`].
#[derive(Clone, Default)]
struct NameServer(Rc<RefCell<Option<Found>>>);

type Found = Result<Vec<SocketAddr>, String>;

impl Resolver for NameServer {
    fn begin(&mut self, relay: &str) -> Option<Found> {
        (relay != LATE_NAME).then(|| resolve(relay))
    }

    fn answer(&mut self) -> Option<Found> {
        self.0.take()
    }
}

/// Several addresses stand in one text.
fn resolve(text: &str) -> Result<Vec<SocketAddr>, String> {
    let addresses: Result<_, _> = text.split(',').map(str::parse).collect();
    addresses.map_err(|_| "no such host".to_owned())
}

fn wall(
    kernel: &Kernel,
    ahead_ms: &Rc<Cell<u64>>,
    days_ms: &Rc<Cell<u64>>,
) -> Box<dyn FnMut() -> u64> {
    let (mut kernel, ahead_ms, days_ms) = (kernel.clone(), Rc::clone(ahead_ms), Rc::clone(days_ms));
    let ahead_ms = move || ahead_ms.get() + days_ms.get();
    Box::new(move || START_MS + kernel.now().as_nanos() / 1_000_000 + ahead_ms())
}

impl ClientUser for Probe {
    fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    fn take_events(&mut self, _cx: &mut Context) {
        while let Some(event) = self.client.next_event() {
            let Event::Message { from, text, way, trust, receipt } = event else {
                self.events.push(event);
                continue;
            };
            self.heard.push(Heard { from, text, way, trust });
            self.unshown.push(receipt);
        }
        if self.shows {
            self.show_all();
        }
    }
}
