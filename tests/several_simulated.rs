//! Several relays, one engine (the model of its scripts) and originals in one world in memory,
//! by the seed: connections to the engine are cut, answers lost, the engine stopped, emptied and
//! set back, relays killed. What holds for one relay has to hold across them, and once all is calm
//! again they have to agree.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "simulation/dice.rs"]
#[allow(dead_code, unreachable_pub)]
mod dice;
mod support;
#[path = "../fuzz/src/vault.rs"]
mod vault;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use dice::Dice;
use sealwax::cluster::engine::Settings;
use sealwax::reactor::{Config, Reactor, Sys, Time};
use sealwax::relay::cluster::{ClusterConfig, EngineAt};
use sealwax::relay::event::Level;
use sealwax::relay::journal::{Format, Journal};
use sealwax::relay::sqlite::LetterLimits;
use sealwax::relay::store::MemoryStore;
use sealwax::relay::{Relay, RelayConfig};
use serde_json::{Value, json};
use support::engine::EngineProcess;
use support::kernel::{Kernel, Peer};
use support::model::server::{Kept, Trouble};
use support::relay::register;
use support::simulated::frames;
use vault::FakeNotary;

/// How many seeds are played; `SEED=7` plays one of them.
const SEEDS: u64 = 100;
const RELAYS: usize = 3;
const USERS: usize = 10;
const STEPS: usize = 120;
/// Calls that a restart may lose.
const REMEMBERED: usize = 20;
/// How long after the last trouble all have to agree.
const CALM: Duration = Duration::from_secs(40);

fn engine_at() -> SocketAddr {
    "127.0.0.1:6379".parse().unwrap()
}

struct RelayProcess {
    kernel: Kernel,
    reactor: Reactor<Kernel>,
    relay: Relay,
}

/// A user as its client sees it.
struct User {
    name: String,
    peer: Option<Peer>,
    at: usize,
    /// Which of its connections this is.
    life: u64,
    is_registered: bool,
    /// What came and is no whole frame yet.
    half: Vec<u8>,
}

/// A message that was sent.
struct Sent {
    from: (usize, u64),
    /// The connection of the addressee that was there then.
    to: Option<(usize, u64)>,
    answers: usize,
    is_relayed: bool,
    refused: Option<String>,
}

struct World {
    seed: u64,
    dice: Dice,
    base: Kernel,
    engine: EngineProcess,
    relays: Vec<Option<RelayProcess>>,
    users: Vec<User>,
    sent: Vec<Sent>,
    /// Which messages came, to which connection, in order.
    came: BTreeMap<(usize, u64), Vec<usize>>,
    lives: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let base = Kernel::new();
        base.hold_clock();
        base.advance(Duration::from_secs(1));
        let mut delays = dice.fork();
        base.set_latency(move || delays.millis(0, 3));
        let mut engine = EngineProcess::start(base.process(), engine_at());
        engine.server_mut().remember(REMEMBERED);
        engine.server_mut().read_anew(seed % 2 == 1);
        let user = |number: usize| User {
            // Some have the same name as another, and cannot both be there.
            name: format!("user-{}", number % (USERS - 2)),
            peer: None,
            at: 0,
            life: 0,
            is_registered: false,
            half: Vec::new(),
        };
        let mut world = Self {
            seed,
            dice,
            base,
            engine,
            relays: (0..RELAYS).map(|_| None).collect(),
            users: (0..USERS).map(user).collect(),
            sent: Vec::new(),
            came: BTreeMap::new(),
            lives: 0,
        };
        for number in 0..RELAYS {
            world.start_relay(number);
        }
        world
    }

    fn address(relay: usize) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 12345 + u16::try_from(relay).unwrap()))
    }

    fn start_relay(&mut self, number: usize) {
        let kernel = self.base.process();
        let notary = Box::new(FakeNotary::new([7; 32], self.dice.number()));
        let journal = Journal::new(Format::Json, Level::Silent);
        let store = Box::new(MemoryStore::default());
        let config = RelayConfig::default();
        let mut relay = Relay::new(config, notary, store, Vec::new(), journal, Box::new(|| 0));
        let clock = kernel.clone();
        relay.join(ClusterConfig {
            engine: vec![EngineAt::Address(engine_at())],
            settings: Settings {
                user: None,
                password: None,
                database: 0,
                id: None,
                relay_key: "the-key".to_owned(),
                begins: Some("0123456789abcdef0123456789abcdef".to_owned()),
            },
            tls: None,
            boot_time: Box::new(move || clock.clone().now().since(Time::default())),
            letters: LetterLimits::default(),
            joined: Box::new(|_| {}),
        });
        let mut reactor = Reactor::new(kernel.clone(), &Config::default());
        relay.start(reactor.context(), &[Self::address(number)]);
        let mut process = RelayProcess { kernel, reactor, relay };
        process.turn();
        self.relays[number] = Some(process);
    }

    fn kill_relay(&mut self, number: usize) {
        drop(self.relays[number].take());
    }

    fn now(&self) -> Time {
        self.base.clone().now()
    }

    /// Lets all processes run until nobody has anything to do at this instant.
    fn settle(&mut self) {
        for _ in 0..100_000 {
            let now = self.now();
            let mut has_run = false;
            for process in self.relays.iter_mut().flatten() {
                if process.would_run(now) {
                    process.turn();
                    has_run = true;
                }
            }
            if self.engine.would_run(now) {
                self.engine.turn();
                has_run = true;
            }
            self.hear();
            if !has_run {
                return;
            }
        }
        panic!("seed {}: somebody has work at one instant for ever", self.seed);
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now() + time;
        self.settle();
        loop {
            let relays = self.relays.iter().flatten().filter_map(|it| it.reactor.due());
            let next = relays.chain(self.engine.due()).chain(self.base.next_delivery()).min();
            let now = self.now();
            let Some(next) = next.filter(|next| *next <= until) else {
                self.base.advance(until.since(now));
                return self.settle();
            };
            self.base.advance(next.since(now));
            self.settle();
        }
    }

    // --- Users ---

    fn connect(&mut self, user: usize) {
        let at = self.dice.below(RELAYS);
        self.connect_to(user, at);
    }

    fn connect_to(&mut self, user: usize, at: usize) {
        if self.relays[at].is_none() || self.users[user].peer.is_some() {
            return;
        }
        let mut peer = self.base.dial(Self::address(at));
        self.settle();
        let name = self.users[user].name.clone();
        let frames = format!("{}{}", register(&name, "none"), json!({"action": "ping"}));
        if peer.send(frames.as_bytes()) < frames.len() {
            return peer.close(); // the relay ended it at once
        }
        self.lives += 1;
        let it = &mut self.users[user];
        (it.at, it.life, it.is_registered) = (at, self.lives, false);
        it.peer = Some(peer);
        it.half.clear();
    }

    fn leave(&mut self, user: usize) {
        self.users[user].is_registered = false;
        if let Some(peer) = self.users[user].peer.take() {
            peer.close();
        }
    }

    fn say(&mut self, from: usize, to: usize) {
        let id = self.sent.len();
        let name = self.users[to].name.clone();
        // Whoever has that name now.
        let holder =
            (0..USERS).find(|&it| self.users[it].name == name && self.users[it].is_registered);
        let to = holder.map(|it| (it, self.users[it].life));
        let it = &mut self.users[from];
        let Some(peer) = it.peer.as_mut().filter(|_| it.is_registered) else { return };
        let frame = json!({"action": "message", "to": name, "id": id.to_string(), "content": "x"});
        let frame = frame.to_string();
        if peer.send(frame.as_bytes()) < frame.len() {
            return; // its relay was killed just now
        }
        self.sent.push(Sent {
            from: (from, it.life),
            to,
            answers: 0,
            is_relayed: false,
            refused: None,
        });
    }

    /// Takes what has come to users.
    fn hear(&mut self) {
        for number in 0..USERS {
            let Some(peer) = &mut self.users[number].peer else { continue };
            let bytes = peer.receive_all();
            let has_ended = peer.can_receive(); // all was read: the end, or a reset
            let user = &mut self.users[number];
            user.half.extend(bytes);
            let whole = user.half.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
            let bytes: Vec<u8> = user.half.drain(..whole).collect();
            for frame in frames(&bytes) {
                self.take(number, &frame);
            }
            if has_ended {
                self.leave(number);
            }
        }
    }

    fn take(&mut self, user: usize, frame: &Value) {
        let life = self.users[user].life;
        let id = frame["id"].as_str().and_then(|id| id.parse::<usize>().ok());
        match (frame["action"].as_str().unwrap(), id) {
            ("pong", _) => self.users[user].is_registered = true,
            ("message", Some(id)) => {
                let came = self.came.entry((user, life)).or_default();
                assert!(!came.contains(&id), "seed {}: {id} came twice", self.seed);
                let (from, _) = self.sent[id].from;
                let earlier = came.iter().rev().find(|it| self.sent[**it].from.0 == from);
                assert!(earlier.is_none_or(|it| *it < id), "seed {}: order", self.seed);
                came.push(id);
            }
            ("relayed", Some(id)) => {
                self.sent[id].answers += 1;
                self.sent[id].is_relayed = true;
            }
            ("error", Some(id)) => {
                let code = frame["code"].as_str().unwrap();
                assert!(["unknown_user", "queue_full"].contains(&code), "{frame}");
                self.sent[id].answers += 1;
                self.sent[id].refused = Some(code.to_owned());
            }
            ("error", None) if frame["code"] == "name_in_use" => self.leave(user),
            ("error", None) => {
                let code = frame["code"].as_str().unwrap();
                let known = ["replaced", "register_timeout", "not_registered"];
                assert!(known.contains(&code), "{frame}");
            }
            _ => panic!("seed {}: {frame}", self.seed),
        }
        if let Some(sent) = id.and_then(|id| self.sent.get(id)) {
            assert!(sent.answers <= 1, "seed {}: {frame} was answered twice", self.seed);
        }
    }

    // --- What goes wrong ---

    fn trouble(&mut self) {
        let dice = &mut self.dice;
        let (bytes, calls) = (dice.below(5000), dice.below(4));
        let server = self.engine.server_mut();
        match dice.below(12) {
            0 => server.stop(),
            1 if server.is_stopped() => server.go_on(),
            2 => server.restart(Kept::All),
            3 => server.restart(Kept::Nothing),
            4 => server.restart(Kept::AllBut(dice.below(REMEMBERED + 1))),
            5 => server.cut_answers(bytes),
            6 => server.cut_commands(bytes),
            7 => server.lose_answers(u32::try_from(calls).unwrap()),
            8 => server.set_delay(dice.millis(0, 400)),
            9 => {
                let all = [Trouble::Loading, Trouble::OutOfMemory, Trouble::Busy];
                server.set_trouble(Some(*dice.pick(&all)));
            }
            10 => {
                let number = dice.below(RELAYS);
                self.kill_relay(number);
            }
            _ => {
                let number = dice.below(RELAYS);
                if self.relays[number].is_none() {
                    self.start_relay(number);
                }
            }
        }
    }

    fn calm(&mut self) {
        let server = self.engine.server_mut();
        server.set_trouble(None);
        server.set_delay(Duration::ZERO);
        server.lose_answers(0);
        server.cut_answers(usize::MAX);
        server.cut_commands(usize::MAX);
        if server.is_stopped() {
            server.go_on();
        }
        for number in 0..RELAYS {
            if self.relays[number].is_none() {
                self.start_relay(number);
            }
        }
        self.pass(CALM);
    }

    /// All relays have joined, list the same users, and reach each of them from each other.
    fn agree(&mut self) {
        let seed = self.seed;
        for process in self.relays.iter().flatten() {
            let state = process.relay.cluster_state().unwrap();
            assert!(state.is_joined && state.is_connected, "seed {seed}: {state:?}");
            assert_eq!(state.frames, 0, "seed {seed}");
        }
        let here: Vec<usize> = (0..USERS).filter(|it| self.users[*it].is_registered).collect();
        let names: BTreeSet<String> = here.iter().map(|it| self.users[*it].name.clone()).collect();
        assert_eq!(names.len(), here.len(), "seed {seed}: two have one name: {here:?}");
        for relay in 0..RELAYS {
            let mut probe = self.base.dial(Self::address(relay));
            self.settle();
            let frame = json!({"action": "register", "name": format!("probe-{relay}"),
                "pubkey": support::relay::PEM})
            .to_string();
            assert_eq!(probe.send(frame.as_bytes()), frame.len());
            self.pass(Duration::from_secs(2));
            let told = frames(&probe.receive_all());
            let list = told.iter().rfind(|frame| frame["action"] == "userlist");
            let list = list.unwrap_or_else(|| panic!("seed {seed}: no list: {told:?}"));
            let listed: BTreeSet<String> = list["users"]
                .as_array()
                .unwrap()
                .iter()
                .map(|name| name.as_str().unwrap().to_owned())
                .filter(|name| !name.starts_with("probe-"))
                .collect();
            assert_eq!(listed, names, "seed {seed}: the roster of relay {relay}");
            probe.close();
            self.pass(Duration::from_secs(1));
        }
        for &from in &here {
            for &to in &here {
                self.say(from, to);
                let id = self.sent.len() - 1;
                self.pass(Duration::from_millis(200));
                let sent = &self.sent[id];
                let (at, code) = ((self.users[from].at, self.users[to].at), &sent.refused);
                assert!(
                    sent.is_relayed,
                    "seed {seed}: {from} does not reach {to}: {at:?} {code:?}"
                );
            }
        }
    }

    /// Each message was answered once, and what was relayed has come, as far as both ends are
    /// still there.
    fn check_messages(&self) {
        let lives = |(user, life): (usize, u64)| {
            let it = &self.users[user];
            it.is_registered && it.life == life
        };
        for (id, sent) in self.sent.iter().enumerate() {
            if lives(sent.from) {
                assert_eq!(sent.answers, 1, "seed {}: answers to {id}", self.seed);
            }
            if let Some(to) = sent.to.filter(|to| sent.is_relayed && lives(*to)) {
                let has_come = self.came.get(&to).is_some_and(|came| came.contains(&id));
                assert!(has_come, "seed {}: {id} was relayed and did not come", self.seed);
            }
        }
    }
}

impl RelayProcess {
    fn would_run(&self, now: Time) -> bool {
        self.kernel.is_ready() || self.reactor.due().is_some_and(|due| due <= now)
    }

    fn turn(&mut self) {
        self.reactor.tick(&mut self.relay, Some(Duration::ZERO)).expect("a wait is never refused");
    }
}

/// One seed from its beginning to its end.
fn run(seed: u64) -> usize {
    let mut world = World::new(seed);
    world.pass(Duration::from_secs(1));
    let per_mille = *world.dice.pick(&[0, 50, 150, 300]);
    for _ in 0..STEPS {
        let (one, other) = (world.dice.below(USERS), world.dice.below(USERS));
        match world.dice.below(10) {
            0..=2 => world.connect(one),
            3 => world.leave(one),
            _ => world.say(one, other),
        }
        if world.dice.chance(per_mille) {
            world.trouble();
        }
        let longest = *world.dice.pick(&[1, 20, 500, 4000]);
        let time = world.dice.millis(0, longest);
        world.pass(time);
    }
    world.calm();
    world.agree();
    world.check_messages();
    world.sent.iter().filter(|sent| sent.is_relayed).count()
}

/// Whenever between two renewals a relay is killed, the others let its users go soon after its lease
/// has ended: the lease is of 10 s.
#[test]
fn the_names_of_a_relay_that_was_killed_are_free_within_11_s() {
    for part in 0..30 {
        let mut world = World::new(part);
        world.pass(Duration::from_secs(1) + Duration::from_millis(100 * part));
        world.connect_to(0, 0);
        world.connect_to(1, 1);
        world.connect_to(2, 2);
        world.pass(Duration::from_millis(500));
        let users = |world: &World| -> Vec<usize> {
            let relays = world.relays.iter().flatten();
            relays.map(|it| it.relay.cluster_state().unwrap().users).collect()
        };
        assert_eq!(users(&world), [3, 3, 3]);
        world.kill_relay(1);
        world.pass(Duration::from_secs(11));
        assert_eq!(users(&world), [2, 2], "{part}");
        world.connect_to(1, 2);
        world.pass(Duration::from_millis(500));
        assert!(world.users[1].is_registered, "{part}");
    }
}

#[test]
fn relays_agree_after_whatever_went_wrong() {
    let only = std::env::var("SEED").ok().map(|seed| seed.parse().expect("a number"));
    let seeds = only.map_or(0..SEEDS, |seed: u64| seed..seed + 1);
    let relayed: usize = seeds.map(run).sum();
    println!("{relayed} messages were relayed");
    assert!(only.is_some() || relayed > 1000, "{relayed}");
}
