//! The machine, the relay and its users: whose turn it is, and what time it is.
//!
//! One process runs at a time, for one tick; the dice say which of those that would run. Where none
//! would, the clock moves on to the next moment at which something is due.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use nix::errno::Errno;
use sealwax::client::{Ending, Event, Progress};
use sealwax::reactor::limits;
use sealwax::reactor::{Config, Handler, Reactor, Sys, Time, Trigger};
use sealwax::relay::RelayConfig;
use sealwax::wire::RosterMode;
use serde_json::json;

use crate::channel::channel;
use crate::dice::Dice;
use crate::disk::Disk;
use crate::ledger::{Fate, Ledger};
use crate::original::{Original, Temper, Turn};
use crate::post::Post;
use crate::relay;
use crate::support::census::Census;
use crate::support::engine::EngineProcess;
use crate::support::kernel::{Call, Kernel, Op};
use crate::support::transform::Tunnel;
use crate::trace::{Trace, sentence};
use crate::user::{Told, User, is_honest};
use crate::weather::Weather;

/// Where the relay listens.
pub(crate) const AT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 12345);
/// Where the engine of a cluster listens.
pub(crate) const ENGINE: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 6379);
/// Where nobody listens.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9);
/// How many ticks in a row may find nothing to do at one instant: a handler may ask for another
/// tick, and that may bring about one more.
const IDLE_TICKS: u32 = 4;
/// How long the relay waits for whoever reads nothing, and some more for the way there.
const PATIENCE: Duration = limits::WRITE_TIMEOUT.saturating_add(limits::FINISH_TIMEOUT);
/// How many turns there may be at one instant.
const TURNS: u32 = 50_000;

pub(crate) struct World {
    pub(crate) kernel: Kernel,
    pub(crate) dice: Dice,
    pub(crate) weather: Weather,
    pub(crate) trace: Trace,
    pub(crate) disk: Disk,
    pub(crate) config: RelayConfig,
    pub(crate) relay: Option<relay::Process>,
    /// What several relays keep things in, where there is one.
    pub(crate) engine: Option<EngineProcess>,
    pub(crate) users: Vec<User>,
    pub(crate) originals: Vec<Original>,
    pub(crate) ledger: Ledger,
    pub(crate) post: Post,
    pub(crate) agenda: BTreeMap<(Time, u64), Due>,
    /// How often everybody's connection may have been lost: each time the relay ends, or sleeps
    /// long.
    pub(crate) upheavals: u64,
    /// How often something disturbed a user.
    pub(crate) disturbed: BTreeMap<String, u64>,
    /// Upheavals and harms that a user's connection has survived.
    weathered: BTreeMap<String, (u64, u64)>,
    /// Until when users have themselves to blame.
    excused: BTreeMap<String, Time>,
    /// What socket buffers hold.
    pub(crate) buffer: usize,
    /// How far the relay's wall clock is ahead, in milliseconds.
    pub(crate) relay_ahead_ms: Rc<Cell<i64>>,
    /// What is sent arrives at once.
    pub(crate) is_prompt: bool,
    /// When kernels tell of a connection.
    pub(crate) trigger: Trigger,
    pub(crate) is_ending: bool,
    pub(crate) numbers: u64,
    idle: BTreeMap<String, (Time, u32)>,
}

/// What happens by itself at its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    RelayStarts,
    RelayGoesOn,
    UserStarts(usize),
    UserGoesOn(usize),
    UserIsShown(usize),
    LimitIsLifted,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug)]
enum Who {
    Relay,
    Engine,
    User(usize),
    Original(usize),
}

impl World {
    pub(crate) fn new(mut dice: Dice, weather: Weather, trace: Trace, config: RelayConfig) -> Self {
        let kernel = Kernel::with_held_clock();
        let disk = Disk::new(dice.fork(), weather.clone());
        Self {
            kernel,
            dice,
            weather,
            trace,
            disk,
            config,
            relay: None,
            engine: None,
            users: Vec::new(),
            originals: Vec::new(),
            ledger: Ledger::default(),
            post: Post::default(),
            agenda: BTreeMap::new(),
            upheavals: 0,
            disturbed: BTreeMap::new(),
            weathered: BTreeMap::new(),
            excused: BTreeMap::new(),
            buffer: 64 * 1024,
            relay_ahead_ms: Rc::default(),
            is_prompt: true,
            trigger: Trigger::Level,
            is_ending: false,
            numbers: 0,
            idle: BTreeMap::new(),
        }
    }

    pub(crate) fn now(&self) -> Time {
        self.kernel.clone().now()
    }

    pub(crate) fn note(&self, line: impl FnOnce() -> String) {
        self.trace.note(self.now(), line);
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(crate) fn after(&mut self, pause: Duration, due: Due) {
        let key = (self.now() + pause, self.number());
        self.agenda.insert(key, due);
    }

    // --- Processes ---

    fn process(&self) -> Kernel {
        let kernel = self.kernel.process();
        kernel.calls(); // notes them from now on
        self.weather.strike(&kernel, self.trigger);
        kernel
    }

    fn reactor_config(&self) -> Config {
        Config { trigger: self.trigger, ..Config::default() }
    }

    pub(crate) fn start_relay(&mut self) {
        self.note(|| "the relay starts".to_owned());
        let (kernel, seed) = (self.process(), self.dice.number());
        self.kernel.set_buffer(64 * 1024); // of its log
        let reactor = Reactor::new(kernel.clone(), &self.reactor_config());
        let ahead_ms = Rc::clone(&self.relay_ahead_ms);
        let process =
            relay::Process::start(kernel, reactor, self.config, &self.disk, ahead_ms, seed);
        self.relay = Some(process);
        self.kernel.set_buffer(self.buffer);
    }

    /// An engine listens, which no weather strikes: it has switches of its own for what can go wrong.
    pub(crate) fn start_engine(&mut self) {
        self.note(|| "the engine starts".to_owned());
        self.engine = Some(EngineProcess::start(self.kernel.process(), ENGINE));
    }

    /// The relay's process ends at once, as with `kill -9`.
    pub(crate) fn kill_relay(&mut self) {
        let Some(process) = self.relay.take() else { return };
        self.note(|| "the relay's process ends".to_owned());
        self.upheavals += 1;
        self.disk.lose();
        process.end();
    }

    pub(crate) fn join(&mut self, number: u8, name: &str, roster: RosterMode) {
        self.users.push(User::new(number, name, roster));
        self.start_user(self.users.len() - 1);
    }

    pub(crate) fn start_user(&mut self, place: usize) {
        if self.users[place].process.is_some() || self.is_ending {
            return;
        }
        let (kernel, seed) = (self.process(), self.dice.number());
        let relay = if self.dice.chance(200) { vec![NOWHERE, AT] } else { vec![AT] };
        let reactor = Reactor::new(kernel.clone(), &self.reactor_config());
        let channel = channel(seed, &self.weather);
        let user = &mut self.users[place];
        user.start(kernel, reactor, relay, channel, seed);
        let name = user.name.clone();
        self.weathered.insert(name.clone(), (self.upheavals, 0));
        self.disturb(&name);
        self.note(|| format!("{name} starts"));
    }

    /// The client's process ends at once.
    pub(crate) fn kill_user(&mut self, place: usize) {
        let Some(process) = self.users[place].process.take() else { return };
        let name = self.users[place].name.clone();
        self.note(|| format!("{name}'s process ends"));
        let kernel = process.kernel.clone();
        drop(process);
        assert_eq!(kernel.descriptors(), 0, "{name} left descriptors behind");
    }

    /// Something happened to `name` after which texts may come in another order.
    pub(crate) fn disturb(&mut self, name: &str) {
        *self.disturbed.entry(name.to_owned()).or_default() += 1;
    }

    pub(crate) fn disturbances(&self, one: &str, other: &str) -> u64 {
        let of = |name| self.disturbed.get(name).copied().unwrap_or_default();
        of(one) + of(other) + self.upheavals
    }

    // --- What people do ---

    /// The user in this place says a text of so many bytes or some more.
    pub(crate) fn say(&mut self, place: usize, to: &str, length: usize) {
        let (from, run) = (self.users[place].name.clone(), self.users[place].run);
        let (id, text) = self.ledger.compose(&from, to, length);
        let now = self.disturbances(&from, to);
        let process = self.users[place].process.as_mut();
        let Some(process) = process.filter(|it| it.stopped.is_none()) else { return };
        let taken = process.probe.client.say(to, &text, Some(id.clone()));
        process.is_nudged = true;
        self.note(|| format!("{from} says {id}, {} bytes: {taken:?}", text.len()));
        if taken.is_ok() {
            self.ledger.said(id, text, (&from, run, to), now);
        }
    }

    /// An original client connects, in the clear or with TLS.
    pub(crate) fn dial(&mut self, name: &str, temper: Temper, is_tls: bool) {
        let (number, peer) = (self.number(), self.kernel.dial(AT));
        let tunnel = is_tls.then(Tunnel::tls);
        let mut original = Original::new(name, number, peer, tunnel, temper, &mut self.dice);
        original.born = self.upheavals;
        self.note(|| format!("{name} ({number}) connects, TLS: {is_tls}, and reads: {temper:?}"));
        self.originals.push(original);
    }

    /// The original client in this place writes a frame for somebody.
    pub(crate) fn write(&mut self, place: usize, to: &str, is_asked: bool, length: usize) {
        let there = self.originals.iter().find(|it| it.name == to && it.is_registered);
        let there = there.map(|it| it.number);
        let original = &self.originals[place];
        let (from, number) = (original.name.clone(), original.number);
        // Who has said that it will send no more may not get this out, nor count on an answer.
        let is_counted_on = is_asked && !original.ends_well;
        let (id, content) = self.post.write((&from, number), (to, there), is_counted_on, length);
        let mut frame = json!({"action": "message", "to": to, "from": "me", "content": content});
        if length.is_multiple_of(5) {
            frame = json!({"action": "send_key", "to": to, "key": content});
        }
        if is_asked {
            frame["id"] = id.as_str().into();
        }
        self.note(|| format!("{from} ({number}) writes {id} to {to}, {} bytes", content.len()));
        self.originals[place].say(&frame);
    }

    // --- Turns ---

    /// Lets everything happen until then.
    pub(crate) fn run_until(&mut self, until: Time) {
        let mut turns = 0;
        loop {
            self.do_what_is_due();
            let ready = self.ready();
            if !ready.is_empty() {
                turns += 1;
                assert!(turns < TURNS, "it does not come to rest");
                let who = *self.dice.pick(&ready);
                self.turn(who);
                continue;
            }
            turns = 0;
            let now = self.now();
            let next = self.next_moment().map_or(until, |next| next.min(until));
            if next <= now && until <= now {
                return;
            }
            assert!(next > now, "something is due and nobody does it");
            self.kernel.advance(next.since(now));
        }
    }

    pub(crate) fn run(&mut self, time: Duration) {
        self.run_until(self.now() + time);
    }

    fn ready(&self) -> Vec<Who> {
        let now = self.now();
        let mut ready = Vec::new();
        if let Some(process) = &self.relay
            && process.stopped.is_none()
            && would_run(&process.kernel, &process.reactor, now)
        {
            ready.push(Who::Relay);
        }
        if self.engine.as_ref().is_some_and(|engine| engine.would_run(now)) {
            ready.push(Who::Engine);
        }
        for (place, user) in self.users.iter().enumerate() {
            let Some(process) = &user.process else { continue };
            let would_run = process.is_nudged || would_run(&process.kernel, &process.reactor, now);
            if process.stopped.is_none() && would_run {
                ready.push(Who::User(place));
            }
        }
        for (place, original) in self.originals.iter().enumerate() {
            if original.is_ready(now) {
                ready.push(Who::Original(place));
            }
        }
        ready
    }

    fn next_moment(&self) -> Option<Time> {
        let relay = self.relay.iter().filter(|it| it.stopped.is_none());
        let relay = relay.filter_map(|process| process.reactor.due());
        let users = self.users.iter().filter_map(|user| user.process.as_ref());
        let users = users.filter(|it| it.stopped.is_none()).filter_map(|it| it.reactor.due());
        let now = self.now();
        let originals = self.originals.iter().filter_map(|it| it.due().filter(|due| *due > now));
        let agenda = self.agenda.keys().map(|(due, _)| *due);
        let engine = self.engine.iter().filter_map(EngineProcess::due);
        let all = relay.chain(engine).chain(users).chain(originals).chain(agenda);
        all.chain(self.kernel.next_delivery()).chain(self.disk.due()).min()
    }

    fn do_what_is_due(&mut self) {
        let now = self.now();
        if self.disk.wakes(now)
            && let Some(process) = &self.relay
        {
            process.kernel.wake();
        }
        while let Some(entry) = self.agenda.first_entry().filter(|entry| entry.key().0 <= now) {
            let due = entry.remove();
            self.note(|| format!("{due:?}"));
            match due {
                Due::RelayStarts if self.relay.is_none() => self.start_relay(),
                Due::RelayStarts => {}
                Due::RelayGoesOn => {
                    let Some(process) = &mut self.relay else { continue };
                    process.stopped = None;
                    self.upheavals += u64::from(std::mem::take(&mut process.is_absent));
                }
                Due::UserStarts(place) => self.start_user(place),
                Due::UserGoesOn(place) => {
                    self.users[place].process.iter_mut().for_each(|it| it.stopped = None);
                }
                Due::UserIsShown(place) => {
                    self.users[place].process.iter_mut().for_each(|it| it.hold(false));
                }
                Due::LimitIsLifted => {
                    self.relay.iter().for_each(|it| it.kernel.set_limit(usize::MAX));
                }
            }
        }
    }

    fn turn(&mut self, who: Who) {
        match who {
            Who::Relay => self.relay_turn(),
            Who::Engine => self.engine.iter_mut().for_each(EngineProcess::turn),
            Who::User(place) => self.user_turn(place),
            Who::Original(place) => self.original_turn(place),
        }
    }

    fn relay_turn(&mut self) {
        let Some(mut process) = self.relay.take() else { return };
        let calls =
            self.tick("the relay", &process.kernel, &mut process.reactor, &mut process.relay);
        process.check(self.now(), &calls);
        for line in process.log() {
            self.note(|| format!("  the relay logs: {line}"));
            if let Some((_, refused)) = line.split_once("warning ")
                && let Some((name, why)) = refused.split_once(" was refused: ")
                && why.starts_with("queue_full")
            {
                self.weather.count("queue_full");
                self.disturb(name);
            }
        }
        let is_over = process.reactor.context().is_stopping();
        // It cannot be without a listener; who runs it starts it again.
        let has_failed = process.relay.failure().is_some();
        assert!(!has_failed || self.weather.struck().is_some(), "{:?}", process.relay.failure());
        self.relay = Some(process);
        if is_over {
            self.kill_relay();
            if !self.is_ending {
                let pause = self.dice.millis(10, 4000);
                self.after(pause, Due::RelayStarts);
            }
        }
    }

    fn user_turn(&mut self, place: usize) {
        let Some(mut process) = self.users[place].process.take() else { return };
        let name = self.users[place].name.clone();
        if std::mem::take(&mut process.is_nudged) {
            self.idle.remove(&name);
        }
        self.tick(&name, &process.kernel, &mut process.reactor, &mut process.probe);
        let census = Census::of(process.reactor.context());
        assert_eq!(process.reactor.context().queued_in_all(), census.queued);
        assert!(census.sources <= 1 && process.kernel.descriptors() <= census.sources);
        let told = std::mem::take(&mut process.probe.told);
        let (harms, leaves, run) = (process.kernel.harms(), process.leaves, self.users[place].run);
        self.users[place].process = Some(process);
        let mut is_over = None;
        for told in told {
            self.note(|| format!("  {name} is told: {told:?}"));
            match told {
                Told::Text { from, text } => {
                    let disturbed = self.disturbances(&from, &name);
                    self.ledger.shown(&name, run, &from, &text, disturbed);
                }
                Told::Event(Event::Closed { code, .. }) => is_over = Some(code),
                Told::Event(event) => self.told(&name, harms, &event),
            }
        }
        if let Some(code) = is_over {
            // A disk may fail, and a name may be held by what was our own connection until the
            // store has answered.
            let fine = [Ending::DirectoryFull, Ending::NameInUse];
            let is_fine = if leaves { code == Ending::Left } else { fine.contains(&code) };
            assert!(is_fine, "{name} gives up: {code:?}");
            self.kill_user(place);
            let pause = self.dice.millis(100, 2000);
            self.after(pause, Due::UserStarts(place));
        }
    }

    /// The client of `name` told something else than a text.
    fn told(&mut self, name: &str, harms: u64, event: &Event) {
        match event {
            Event::Delivered { id, .. } => self.ledger.told(id, Fate::Delivered),
            Event::Failed { id, code, .. } => self.ledger.told(id, Fate::Failed(*code)),
            Event::Relayed { id, .. } => self.ledger.relayed(id),
            Event::Stored { id, .. } => self.ledger.stored(id),
            Event::Warning { code, detail } => {
                assert!(is_honest(*code), "{name} suspects somebody: {code:?}, {detail}");
                self.disturb(name);
            }
            Event::Progress(Progress::Connecting { .. }) => {
                self.weathered.insert(name.to_owned(), (self.upheavals, harms));
            }
            Event::Registered { .. } => self.disturb(name),
            Event::Progress(Progress::Lost { why }) => {
                let before = self.weathered.get(name);
                let is_own = self.excused.get(name).is_some_and(|until| self.now() <= *until);
                let is_excused =
                    is_own || self.relay_is_absent() || before != Some(&(self.upheavals, harms));
                assert!(is_excused, "{name} was disconnected for nothing: {why}");
                self.disturb(name);
            }
            _ => {}
        }
    }

    /// Whether nobody can count on the relay.
    fn relay_is_absent(&self) -> bool {
        self.relay.as_ref().is_none_or(|process| process.is_absent)
    }

    /// What happens to the user's connection for so long, and until the relay has lost patience, is
    /// its own doing.
    pub(crate) fn excuse(&mut self, place: usize, time: Duration) {
        let until = self.now() + time + PATIENCE;
        let name = self.users[place].name.clone();
        let excused = self.excused.entry(name).or_default();
        *excused = until.max(*excused);
    }

    fn original_turn(&mut self, place: usize) {
        let now = self.now();
        let original = &mut self.originals[place];
        let turn = original.turn(now, &mut self.dice, &mut self.post);
        if turn == Turn::Goes {
            return;
        }
        let original = self.originals.remove(place);
        let Original { name, number, last_error, .. } = &original;
        self.note(|| format!("{name} ({number}) is disconnected: {last_error}"));
        let is_harmed =
            original.peer.harms() > 0 || original.born != self.upheavals || self.relay_is_absent();
        let is_excused = original.is_at_fault || is_harmed;
        assert!(is_excused, "{name} was disconnected for nothing: {last_error}");
        if original.ends_well && !is_harmed && last_error != "slow_reader" {
            self.weather.count("half close, all answered");
            self.post.ended(*number);
        }
        original.peer.close();
    }

    /// One tick of a process; it may not turn without getting anywhere.
    fn tick(
        &mut self,
        name: &str,
        kernel: &Kernel,
        reactor: &mut Reactor<Kernel>,
        handler: &mut impl Handler,
    ) -> Vec<Call> {
        let injected = self.weather.injected();
        reactor.tick(handler, None).expect("a wait is never refused");
        let calls = kernel.calls();
        self.note(|| format!("{name} {}", sentence(&calls)));
        let now = self.now();
        let (at, idle) = self.idle.entry(name.to_owned()).or_default();
        // An edge tells of something new, also to who does nothing about it.
        let is_news = |call: &Call| {
            self.trigger == Trigger::Edge && call.op == Op::Wait && call.outcome != Ok(0)
        };
        let gets_on = calls.iter().any(|call| gets_on(call) || is_news(call));
        if *at != now || injected != self.weather.injected() || gets_on {
            (*at, *idle) = (now, 0);
        }
        *idle += 1;
        assert!(*idle <= IDLE_TICKS, "{name} spins");
        calls
    }

    // --- The end ---

    /// Who is registered, or ought to be.
    pub(crate) fn everybody(&self) -> BTreeSet<String> {
        let users = self.users.iter().filter(|user| user.process.is_some());
        let originals = self.originals.iter().map(|original| original.name.clone());
        users.map(|user| user.name.clone()).chain(originals).collect()
    }
}

/// Whether a process would not sleep.
fn would_run(kernel: &Kernel, reactor: &Reactor<Kernel>, now: Time) -> bool {
    reactor.due().is_some_and(|due| due <= now) || kernel.is_ready()
}

/// Whether this call got the process on.
fn gets_on(call: &Call) -> bool {
    match (call.op, call.outcome) {
        (Op::Wait | Op::Watch, _) | (_, Err(Errno::EAGAIN | Errno::EINTR)) => false,
        (Op::Error, outcome) => outcome.is_err(),
        _ => true,
    }
}

/// Keeps a limit in sight that the invariants rest on.
const _: () = assert!(limits::FRAME_TIMEOUT.as_secs() > relay::SHORT_STOP.as_secs());
