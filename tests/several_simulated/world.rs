//! The machine, the relays, their engine and the users: whose turn it is, what time it is, and what
//! users are told.
//!
//! One process runs at a time, for one tick; the dice say which of those that would run.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use sealwax::reactor::{Sys, Time};
use sealwax::wire::compose;
use serde_json::{Value, json};

use crate::belief::Belief;
use crate::clients::Clients;
use crate::dice::Dice;
use crate::letters::Letters;
use crate::post::{Answer, Post};
use crate::relay::OneRelay;
use crate::support::engine::EngineProcess;
use crate::support::kernel::Kernel;
use crate::support::relay::Account;
use crate::support::simulated::read_roster;
use crate::trace::Trace;
use crate::user::User;

/// Where the engine listens.
pub(crate) const ENGINE: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 6379);
pub(crate) const RELAYS: usize = 3;
/// Calls that an engine that is set back may lose.
pub(crate) const REMEMBERED: usize = 20;
/// How many turns there may be at one instant.
const TURNS: u32 = 50_000;
/// How many ticks a relay may have at once: what came while it was stopped.
const TICKS: u64 = 100;
/// How many more in each second: no relay asks the engine again and again.
const TICKS_A_SECOND: u64 = 40;
/// With this error a connection may end, and nothing was wrong with anybody.
const ENDINGS: [&str; 9] = [
    "name_in_use",
    "name_bound",
    "replaced",
    "register_timeout",
    "directory_full",
    "frame_timeout",
    "idle",
    "not_registered",
    "shutting_down",
];

/// What relays log that has to happen.
const EVENTS: [&str; 6] = [
    "does not renew",
    "is one of its cluster",
    "has ended, and the names",
    "another one is taken",
    "is none of a relay",
    "those beyond are missing",
];

pub(crate) struct World {
    pub(crate) dice: Dice,
    pub(crate) trace: Trace,
    pub(crate) base: Kernel,
    pub(crate) engine: EngineProcess,
    pub(crate) relays: Vec<OneRelay>,
    pub(crate) users: Vec<User>,
    pub(crate) clients: Clients,
    pub(crate) post: Post,
    pub(crate) letters: Letters,
    pub(crate) belief: Belief,
    /// Whether the engine may lose data.
    pub(crate) may_lose: bool,
    /// When the engine last lost some of what it had.
    pub(crate) lost: Option<Time>,
    /// When something was last wrong with the engine, or on the way to it.
    pub(crate) troubled: Time,
    /// How many users have left what a relay knows in one tick, at most.
    pub(crate) left_at_once: usize,
    /// How often each thing happened.
    pub(crate) counts: Counts,
    numbers: u64,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug)]
enum Who {
    Relay(usize),
    Engine,
    Client(usize),
}

/// What happened, in words, and how often.
pub(crate) type Counts = BTreeMap<String, u64>;

impl World {
    pub(crate) fn new(seed: u64, trace: Trace) -> Self {
        let mut dice = Dice::new(seed);
        let base = Kernel::with_held_clock();
        let mut delays = dice.fork();
        base.set_latency(move || delays.millis(0, 3));
        let mut engine = EngineProcess::start(base.process(), ENGINE);
        engine.server_mut().remember(REMEMBERED);
        engine.server_mut().scan_in(*dice.pick(&[1, 3]));
        engine.server_mut().read_anew(seed % 2 == 1);
        let mut world = Self {
            dice,
            trace,
            base,
            engine,
            relays: (0..RELAYS).map(OneRelay::new).collect(),
            users: User::all(),
            clients: Clients::default(),
            post: Post::default(),
            letters: Letters::default(),
            belief: Belief::default(),
            may_lose: false,
            lost: None,
            troubled: Time::default(),
            left_at_once: 0,
            counts: Counts::new(),
            numbers: 0,
        };
        // Who was at a relay that ends leaves the copies of the others one after the other.
        let let_go_a_tick = [1, 2, 1000][usize::try_from(seed % 3).expect("below 3")];
        for number in 0..RELAYS {
            world.relays[number].copy.let_go_a_tick = let_go_a_tick;
            world.start_relay(number);
        }
        world
    }

    pub(crate) fn now(&self) -> Time {
        self.base.clone().now()
    }

    pub(crate) fn note(&self, line: impl FnOnce() -> String) {
        self.trace.note(self.now(), line);
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(crate) fn count(&mut self, what: &str) {
        *self.counts.entry(what.to_owned()).or_default() += 1;
    }

    // --- Processes ---

    pub(crate) fn start_relay(&mut self, number: usize) {
        self.note(|| format!("relay {number} starts"));
        let (kernel, seed) = (self.base.process(), self.dice.number());
        self.relays[number].start(kernel, seed);
    }

    pub(crate) fn kill_relay(&mut self, number: usize) {
        self.note(|| format!("relay {number} is killed"));
        self.relays[number].kill();
    }

    /// Something may go wrong, so often in a thousand times, and then some time passes.
    pub(crate) fn go_on(&mut self, per_mille: usize) {
        if self.dice.chance(per_mille) {
            self.trouble();
        }
        let longest = *self.dice.pick(&[1, 20, 500, 4000]);
        let time = self.dice.millis(0, longest);
        self.pass(time);
    }

    /// Lets everything happen that takes so long.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.now() + time;
        let before = self.ticks();
        loop {
            self.settle();
            let relays = self.relays.iter().filter_map(|it| it.process.as_ref()?.due());
            let next = relays.chain(self.engine.due()).chain(self.clients.due());
            let next = next.chain(self.base.next_delivery()).min();
            let now = self.now();
            if now >= until {
                break;
            }
            let next = next.map_or(until, |next| next.min(until));
            self.base.advance(next.since(now));
        }
        for (number, (before, after)) in before.into_iter().zip(self.ticks()).enumerate() {
            let most = TICKS + TICKS_A_SECOND * (time.as_secs() + 1);
            let ticks = after.saturating_sub(before);
            assert!(ticks <= most, "relay {number} has {ticks} ticks in {time:?}");
        }
        self.look();
    }

    fn ticks(&self) -> Vec<u64> {
        let ticks = |it: &OneRelay| it.process.as_ref().map_or(0, |process| process.ticks);
        self.relays.iter().map(ticks).collect()
    }

    /// Lets all processes run until nobody has anything to do at this instant.
    pub(crate) fn settle(&mut self) {
        for _ in 0..TURNS {
            self.hear();
            let now = self.now();
            for relay in self.relays.iter_mut().filter_map(|it| it.process.as_mut()) {
                relay.stopped = relay.stopped.filter(|until| *until > now);
            }
            let ready = self.ready(now);
            self.look_at_leases();
            if ready.is_empty() {
                return;
            }
            match *self.dice.pick(&ready) {
                Who::Relay(number) => self.relay_turn(number),
                Who::Engine => {
                    self.engine.turn();
                    self.look_at_holders();
                }
                Who::Client(place) => self.client_turn(place),
            }
        }
        panic!("somebody has work at one instant for ever");
    }

    fn ready(&self, now: Time) -> Vec<Who> {
        let would_run = |it: &OneRelay| it.process.as_ref().is_some_and(|it| it.would_run(now));
        let relays = (0..RELAYS).filter(|&it| would_run(&self.relays[it])).map(Who::Relay);
        let engine = self.engine.would_run(now).then_some(Who::Engine);
        let clients = self.clients.ready(now).map(Who::Client);
        relays.chain(engine).chain(clients).collect()
    }

    fn relay_turn(&mut self, number: usize) {
        let Some(process) = &mut self.relays[number].process else { return };
        let before = process.users();
        process.turn();
        self.left_at_once = self.left_at_once.max(before.saturating_sub(process.users()));
        for line in process.log() {
            self.trace.note(self.base.clone().now(), || format!("  relay {number} logs: {line}"));
            for event in EVENTS.iter().filter(|event| line.contains(**event)) {
                *self.counts.entry(format!("relay: {event}")).or_default() += 1;
            }
        }
    }

    // --- Users ---

    /// The user connects to one of the relays.
    pub(crate) fn connect(&mut self, user: usize) {
        let at = self.dice.below(RELAYS);
        if self.users[user].line.is_none() && self.relays[at].serves() {
            self.connect_to(user, at);
        }
    }

    pub(crate) fn connect_to(&mut self, user: usize, at: usize) {
        if !self.base.is_listening(self.relays[at].at) {
            return;
        }
        let (number, peer) = (self.number(), self.base.dial(self.relays[at].at));
        self.settle(); // it is established
        let name = self.users[user].name;
        self.note(|| format!("{name} ({number}) connects to relay {at}"));
        let now = self.now();
        self.belief.tries(number, name, at, now);
        let run = self.relays[at].run;
        self.users[user].enter(number, peer, (at, run), &mut self.dice);
    }

    pub(crate) fn leave(&mut self, user: usize) {
        let Some(line) = self.users[user].line.take() else { return };
        let (name, number) = (self.users[user].name, line.number);
        self.note(|| format!("{name} ({number}) is gone"));
        self.belief.goes(number);
        self.letters.goes(number);
        line.peer.close();
    }

    /// The connections of this name that are registered.
    fn holders(&self, name: &str) -> Vec<u64> {
        let all = self.users.iter().filter(|it| it.name == name && it.is_registered());
        all.filter_map(|it| Some(it.line.as_ref()?.number)).collect()
    }

    /// A message from one user to another.
    pub(crate) fn say(&mut self, from: usize, to: &str) -> Option<String> {
        let there = match *self.holders(to) {
            [one] => Some(one),
            _ => None,
        };
        let user = &self.users[from];
        let line = user.line.as_ref().filter(|line| line.is_registered)?;
        let (id, content) = self.post.write((user.name, line.number), (to, there), true, 0);
        let frame = if user.is_version2() {
            compose::message(to, user.name, Some(&id), &content)
        } else {
            let frame = json!({"action": "message", "to": to, "id": id, "content": content});
            frame.to_string().into_bytes()
        };
        let number = line.number;
        self.note(|| format!("{} ({number}) writes {id} to {to}", self.users[from].name));
        let now = self.now();
        self.belief.asks(&id, number, now);
        self.users[from].say_bytes(&frame).then_some(id)
    }

    /// Takes what has come to users.
    fn hear(&mut self) {
        for user in 0..self.users.len() {
            let (frames, has_ended) = self.users[user].hear();
            for frame in frames {
                self.take(user, &frame);
            }
            if has_ended {
                self.ended(user);
            }
        }
    }

    /// The relay has ended the connection, and says why where it lives.
    fn ended(&mut self, user: usize) {
        if let Some(line) = &self.users[user].line
            && self.relays[line.at].process.is_some()
            && self.relays[line.at].run == line.run
        {
            let (name, number, why) = (self.users[user].name, line.number, &*line.last_error);
            assert!(ENDINGS.contains(&why), "{name} ({number}) was disconnected: {why:?}");
        }
        self.leave(user);
    }

    fn take(&mut self, user: usize, frame: &Value) {
        let User { name, line: Some(line), .. } = &mut self.users[user] else { return };
        let (name, number) = (*name, line.number);
        if frame["action"] != "challenge" {
            let told = || format!("  {name} ({number}) is told: {frame}");
            self.trace.note(self.base.clone().now(), told);
        }
        let now = self.base.clone().now();
        let text = |member: &str| frame[member].as_str().unwrap_or_default();
        let what = if frame["code"].is_null() { text("action") } else { text("code") };
        *self.counts.entry(format!("told {what}")).or_default() += 1;
        match text("action") {
            "userlist" | "roster" => read_roster(frame, &mut line.view),
            "challenge" => {
                let Some(account) = &self.users[user].account else { panic!("{name}: {frame}") };
                let proof = account.prove(&frame.to_string());
                self.users[user].say(&proof);
            }
            "registered" => self.registered(user),
            "pong" if text("id") == "registered?" => self.registered(user),
            "message" => {
                assert_eq!(text("to"), name, "a message for somebody else");
                self.post.arrived(text("from"), text("content"), number);
                let id = text("content").split('|').next().unwrap_or_default();
                self.belief.arrives(id, number, now);
            }
            "relayed" => {
                self.belief.answered(text("id"));
                self.post.answered(text("id"), Answer::Relayed);
            }
            "stored" => {
                self.belief.answered(text("id"));
                self.letters.answered(text("id"), number, None);
            }
            "letter" => self.letter_came(user, number, frame),
            "letterbox" => self.letters.key_answered(number, true),
            "letterbox_empty" => self.letters.is_empty(number),
            "error" => self.refused(user, frame),
            _ => panic!("{name}: {frame}"),
        }
    }

    fn registered(&mut self, user: usize) {
        let now = self.now();
        let Some(line) = &mut self.users[user].line else { return };
        if std::mem::replace(&mut line.is_registered, true) {
            return;
        }
        let (number, at) = (line.number, line.at);
        let life = self.relays[at].state().map(|state| state.incarnation);
        let key = self.users[user].account.as_ref().map(Account::pem);
        self.belief.registers(number, now, life, key, self.lost.is_some());
        if self.users[user].is_writer() && self.dice.chance(700) {
            self.open_box(user);
            self.take_letters(user);
        }
    }

    fn refused(&mut self, user: usize, frame: &Value) {
        let Some(line) = &mut self.users[user].line else { return };
        let text = |member: &str| frame[member].as_str().unwrap_or_default();
        let (number, at, code) = (line.number, line.at, text("code"));
        if frame["id"].is_string() {
            self.belief.answered(text("id"));
            if text("id").starts_with('l') {
                return self.letters.answered(text("id"), number, Some(code));
            }
            assert!(["unknown_user", "queue_full", "not_v2"].contains(&code), "{frame}");
            return self.post.answered(text("id"), Answer::Error);
        }
        if ["store_failed", "stale_key", "no_letterbox"].contains(&code) {
            return self.letters.key_answered(number, false);
        }
        code.clone_into(&mut line.last_error);
        if code == "replaced" {
            let life = self.relays[at].state().map(|state| state.incarnation);
            self.belief.is_replaced(number, self.lost, life);
        }
        if code == "name_in_use" && self.users[user].account.is_none() {
            self.leave(user); // it might try another name
        }
    }

    /// The names of all who are registered.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        let here = self.users.iter().filter(|user| user.is_registered());
        here.map(|user| user.name.to_owned()).collect()
    }
}
