//! A relay with letters in its own file joins a cluster in a world in memory, by the seed: it is
//! killed, connections to the engine are cut, answers lost, the engine is stopped, full and started
//! again, boxes are full. Meanwhile and at the end the letters are taken at another relay: each of
//! them once, and those of a box in order.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "simulation/dice.rs"]
#[allow(dead_code, unreachable_pub)]
mod dice;
mod support;
#[path = "../fuzz/src/vault.rs"]
mod vault;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use dice::Dice;
use sealwax::cluster::Incarnation;
use sealwax::cluster::engine::Settings;
use sealwax::cluster::letters::{self, LetterOutcome, LetterToKeep, LetterUser, LettersWanted};
use sealwax::cluster::moving::{self, FileBox, FileLetter, FileUser};
use sealwax::cluster::names::{self, LeaseStep};
use sealwax::limits::{BOX_BYTES, BOX_LETTERS, MLKEM_KEY};
use sealwax::reactor::{Config, Reactor, Sys, Time, Waker};
use sealwax::relay::cluster::{ClusterConfig, CopyLimits, EngineAt};
use sealwax::relay::event::Level;
use sealwax::relay::inline_store::InlineStore;
use sealwax::relay::journal::{Format, Journal};
use sealwax::relay::letter_store::{
    LetterAnswer, LetterAsk, LetterStore, NewLetter, Owner, Waiting,
};
use sealwax::relay::move_store::{MoveAnswer, MoveAsk, MoveStore};
use sealwax::relay::sqlite::LetterLimits;
use sealwax::relay::store::{Answer, QueueFull, Store};
use sealwax::relay::{Relay, RelayConfig};
use sealwax::wire::{Fingerprint, LetterKey, LetterKind, TakeMode};
use support::engine::EngineProcess;
use support::kernel::Kernel;
use support::model::Item;
use support::model::server::{Kept, Trouble};
use vault::FakeNotary;

/// How many seeds are played; `SEED=7` plays one of them.
const SEEDS: u64 = 100;
const STEPS: usize = 60;
const OWNERS: u8 = 6;
const ID: &str = "0123456789abcdef0123456789abcdef";
/// Milliseconds since 1970.
const START: u64 = 1_790_000_000_000;
/// How long after the last trouble all has to be moved.
const CALM: Duration = Duration::from_mins(2);

fn engine_at() -> SocketAddr {
    "127.0.0.1:6379".parse().unwrap()
}

fn fp(user: u8) -> Fingerprint {
    Fingerprint([user + 1; 32])
}

/// The last user sends, the others have boxes.
fn name(user: u8) -> String {
    format!("user-{user}")
}

fn owner(user: u8) -> Owner {
    Owner { name: name(user), fp: fp(user) }
}

/// The file of the relay, which outlives it. What is asked of it is done a moment later.
#[derive(Clone)]
struct File(Rc<RefCell<Inner>>);

struct Inner {
    store: InlineStore,
    asked: Option<MoveAsk>,
    is_due: bool,
}

impl File {
    /// Does what was asked, if that is so, and tells nobody.
    fn carry_out(&self) {
        let inner = &mut *self.0.borrow_mut();
        if let Some(ask) = inner.asked.take() {
            inner.store.ask_move(ask).unwrap();
            inner.store.next_move_answer().unwrap().unwrap();
        }
    }
}

impl Store for File {
    fn bind(
        &mut self,
        number: u64,
        name: &str,
        fp: &Fingerprint,
        pem: &str,
    ) -> Result<(), QueueFull> {
        self.0.borrow_mut().store.bind(number, name, fp, pem)
    }

    fn next_answer(&mut self) -> Option<Answer> {
        self.0.borrow_mut().store.next_answer()
    }

    fn letters(&mut self) -> Option<&mut dyn LetterStore> {
        None
    }

    fn moves(&mut self) -> Option<&mut dyn MoveStore> {
        Some(self)
    }

    fn waiting(&self) -> Option<Waiting> {
        self.0.borrow().store.waiting()
    }

    fn waker(&self) -> Option<Waker> {
        None
    }
}

impl MoveStore for File {
    fn ask_move(&mut self, ask: MoveAsk) -> Result<(), QueueFull> {
        let inner = &mut *self.0.borrow_mut();
        assert!(inner.asked.is_none(), "one question at a time");
        (inner.asked, inner.is_due) = (Some(ask), false);
        Ok(())
    }

    fn next_move_answer(&mut self) -> Option<MoveAnswer> {
        let inner = &mut *self.0.borrow_mut();
        if !std::mem::replace(&mut inner.is_due, true) {
            return None;
        }
        let ask = inner.asked.take()?;
        inner.store.ask_move(ask).unwrap();
        inner.store.next_move_answer()
    }
}

struct RelayProcess {
    kernel: Kernel,
    reactor: Reactor<Kernel>,
    relay: Relay,
}

struct World {
    dice: Dice,
    base: Kernel,
    engine: EngineProcess,
    file: File,
    relay: Option<RelayProcess>,
    /// Ids of what each box had, in order.
    left: Vec<Vec<String>>,
    /// And of what was taken.
    taken: Vec<Vec<String>>,
    /// Numbers that were delivered and are to be acknowledged with the next question.
    delivered: Vec<Vec<u64>>,
    lives: u64,
    /// What all boxes in the engine together may hold.
    most: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let base = Kernel::with_held_clock();
        let mut delays = dice.fork();
        base.set_latency(move || delays.millis(0, 3));
        let engine = EngineProcess::start(base.process(), engine_at());
        let clock = base.clone();
        let wall = move || START + u64::try_from(since(&clock).as_millis()).unwrap();
        let mut store = InlineStore::new(Box::new(wall)).unwrap();
        let left = fill(&mut store, &mut dice);
        let inner = Inner { store, asked: None, is_due: false };
        let most = *dice.pick(&[6_000, 1 << 30]);
        let boxes = || (0..OWNERS).map(|_| Vec::new()).collect();
        let mut world = Self {
            dice,
            base,
            engine,
            file: File(Rc::new(RefCell::new(inner))),
            relay: None,
            left,
            taken: boxes(),
            delivered: (0..OWNERS).map(|_| Vec::new()).collect(),
            lives: 0,
            most,
        };
        world.fill_box();
        world.start_relay();
        world
    }

    /// Another relay was first, and moved letters into a box, which has room for some small ones
    /// now.
    fn fill_box(&mut self) {
        let (count, bytes) = (64, (BOX_BYTES - 1000) as usize / 64);
        let text = |number| format!("{number:bytes$}");
        let user = |user| FileUser { name: name(user), fp: fp(user) };
        let letter = |number| FileLetter {
            number,
            at: START,
            from: user(OWNERS),
            id: format!("{number} of another relay"),
            kind: LetterKind::Text,
            share: 0,
            key_id: 1,
            kept: text(number).into_bytes(),
        };
        let letters = (1..=count).map(letter).collect();
        let part = FileBox { owner: user(1), letters, is_last: true };
        self.left[1].splice(0..0, (1..=count).map(|number| number.to_string()));
        self.engine.server_mut().call(&names::init(Incarnation([1; 16]), ID, "the-key"));
        self.with_lease(|world, own| {
            let server = world.engine.server_mut();
            for user in 0..=OWNERS {
                server.call(&names::bind(own, &name(user), &fp(user), true));
            }
            server.call(&moving::letters(own, "another-file", &part, 1 << 30));
        });
    }

    fn start_relay(&mut self) {
        let kernel = self.base.process();
        self.lives += 1;
        let notary = Box::new(FakeNotary::new([7; 32], self.lives));
        let journal = Journal::new(Format::Json, Level::Silent);
        let bound = (0..=OWNERS).map(|user| (name(user), fp(user))).collect();
        let (store, clock) = (Box::new(self.file.clone()), kernel.clone());
        let wall = move || START + u64::try_from(since(&clock).as_millis()).unwrap();
        let config = RelayConfig::default();
        let mut relay = Relay::new(config, notary, store, bound, journal, Box::new(wall));
        let clock = kernel.clone();
        relay.join(ClusterConfig {
            engine: vec![EngineAt::Address(engine_at())],
            settings: Settings {
                user: None,
                password: None,
                database: 0,
                id: None,
                relay_key: "the-key".to_owned(),
                begins: Some(ID.to_owned()),
            },
            tls: None,
            boot_time: Box::new(move || since(&clock)),
            copy: CopyLimits::default(),
            letters: LetterLimits { bytes: self.most, ..LetterLimits::default() },
            joined: Box::new(|_| {}),
        });
        let mut reactor = Reactor::new(kernel.clone(), &Config::default());
        relay.start(reactor.context(), &["127.0.0.1:12345".parse().unwrap()]);
        let mut process = RelayProcess { kernel, reactor, relay };
        process.turn();
        self.relay = Some(process);
    }

    fn kill_relay(&mut self) {
        self.relay = None;
        if self.dice.chance(500) {
            self.file.carry_out();
        }
        self.file.0.borrow_mut().asked = None;
    }

    fn settle(&mut self) {
        for _ in 0..100_000 {
            let now = self.base.clone().now();
            let mut has_run = false;
            let is_asked = self.file.0.borrow().asked.is_some();
            if let Some(process) = &mut self.relay
                && (is_asked || process.would_run(now))
            {
                process.turn();
                has_run = true;
            }
            if self.engine.would_run(now) {
                self.engine.turn();
                has_run = true;
            }
            if !has_run {
                return;
            }
        }
        panic!("somebody has work at one instant for ever");
    }

    fn pass(&mut self, time: Duration) {
        let until = self.base.clone().now() + time;
        self.settle();
        loop {
            let relay = self.relay.iter().filter_map(|it| it.reactor.due());
            let next = relay.chain(self.engine.due()).chain(self.base.next_delivery()).min();
            let now = self.base.clone().now();
            let Some(next) = next.filter(|next| *next <= until) else {
                self.base.advance(until.since(now));
                return self.settle();
            };
            self.base.advance(next.since(now));
            self.settle();
        }
    }

    /// Runs a call for another relay, which lives as long as the call.
    fn with_lease<T>(&mut self, call: impl FnOnce(&mut Self, Incarnation) -> T) -> T {
        self.lives += 1;
        let mut own = [9; 16];
        own[..8].copy_from_slice(&self.lives.to_be_bytes());
        let own = Incarnation(own);
        let server = self.engine.server_mut();
        server.call(&names::lease(own, LeaseStep::Take, ID, "an-epoch"));
        let result = call(self, own);
        self.engine.server_mut().call(&names::lease(own, LeaseStep::End, ID, ""));
        result
    }

    /// Another relay delivers up to so many letters of a box, and acknowledges them some time later.
    fn take(&mut self, user: u8, most: usize) {
        let place = usize::from(user);
        let acknowledged = std::mem::take(&mut self.delivered[place]);
        let after = acknowledged.last().copied().unwrap_or(0);
        let (name, fp) = (name(user), fp(user));
        let wanted = LettersWanted {
            owner: LetterUser { name: &name, fp: &fp },
            take: TakeMode::All,
            after,
            letters: most,
            bytes: 262_144,
            acknowledged: &acknowledged,
        };
        let answer = self.with_lease(|world, own| {
            world.engine.server_mut().call(&letters::deliver(own, &wanted))
        });
        let Ok(Some(found)) = letters::delivered(&answer) else { return };
        for (number, kept) in found.letters {
            self.delivered[place].push(number);
            self.taken[place].push(String::from_utf8(kept).unwrap().trim().to_owned());
        }
    }

    /// Another relay stores a letter, if the box is open. Returns whether it is.
    fn store(&mut self, user: u8, id: &str) -> bool {
        let (from, sender_fp, to) = (name(OWNERS), fp(OWNERS), name(user));
        let letter = LetterToKeep {
            from: LetterUser { name: &from, fp: &sender_fp },
            to: &to,
            id,
            kind: LetterKind::Text,
            key_id: 1,
            kept: id.as_bytes(),
        };
        let answer = self.with_lease(|world, own| {
            world.engine.server_mut().call(&letters::keep(own, &letter, START, 1 << 30))
        });
        letters::kept(&answer) == Ok(LetterOutcome::Kept(()))
    }

    fn trouble(&mut self) {
        let dice = &mut self.dice;
        let (bytes, calls) = (dice.below(20_000), dice.below(4));
        let server = self.engine.server_mut();
        match dice.below(9) {
            0 => server.stop(),
            1 if server.is_stopped() => server.go_on(),
            2 => server.restart(Kept::All),
            3 => server.cut_answers(bytes),
            4 => server.cut_commands(bytes),
            5 => server.lose_answers(u32::try_from(calls).unwrap()),
            6 => server.set_delay(dice.millis(0, 400)),
            7 => {
                let all = [Trouble::Loading, Trouble::OutOfMemory, Trouble::Busy];
                server.set_trouble(Some(*dice.pick(&all)));
            }
            _ => self.calm(),
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
    }

    fn file_is_empty(&self) -> bool {
        self.file.0.borrow().store.waiting().unwrap().letters == 0
    }

    /// Each key is in the engine, and nothing is left in the file.
    fn check_keys(&self, seed: u64) {
        for user in 0..OWNERS {
            let of_user = format!("sealwax:user:{}", name(user));
            let Some(Item::Hash(known)) = self.engine.server().model().items().get(&of_user) else {
                panic!("seed {seed}: nothing is known of {of_user}");
            };
            assert_eq!(known.get("key_id").map(Vec::as_slice), Some(&b"1"[..]), "seed {seed}");
            assert_eq!(known["pem"], b"its key", "seed {seed}");
        }
    }
}

/// Fills the file of a relay that is alone; tells what is in each box.
fn fill(store: &mut InlineStore, dice: &mut Dice) -> Vec<Vec<String>> {
    for user in 0..=OWNERS {
        store.keep_name(&name(user), &fp(user), "its key").unwrap();
        let mlkem = Box::new([7; MLKEM_KEY]);
        let (x25519, signature) = ([8; 32], vec![9; 384]);
        let expires = START + 90 * 24 * 3600 * 1000;
        let key = LetterKey { id: 1, created: START, expires, x25519, mlkem, signature };
        let ask = LetterAsk::Publish { owner: owner(user), pem: "its key".to_owned(), key };
        assert!(matches!(store.carry_out(ask), LetterAnswer::Published(Ok(_))));
    }
    let mut left: Vec<Vec<String>> = (0..OWNERS).map(|_| Vec::new()).collect();
    for user in 0..OWNERS {
        store.carry_out(LetterAsk::Wrote { owner: owner(user), to: name(OWNERS) });
    }
    for number in 0..200 {
        let user = u8::try_from(dice.below(usize::from(OWNERS))).unwrap();
        let id = format!("{number} for {user}{}", " ".repeat(dice.below(100)));
        let kind = *dice.pick(&[LetterKind::Text, LetterKind::Text, LetterKind::Receipt]);
        let (from, to, kept) = (owner(OWNERS), name(user), id.clone().into_bytes());
        let letter = NewLetter { from, to, id: id.clone(), kind, key_id: 1, kept };
        if store.carry_out(LetterAsk::Keep(letter)) == LetterAnswer::Kept(Ok(())) {
            left[usize::from(user)].push(id.trim().to_owned());
        }
    }
    left
}

fn since(clock: &Kernel) -> Duration {
    clock.clone().now().since(Time::default())
}

impl RelayProcess {
    fn would_run(&self, now: Time) -> bool {
        self.kernel.is_ready() || self.reactor.due().is_some_and(|due| due <= now)
    }

    fn turn(&mut self) {
        self.reactor.tick(&mut self.relay, Some(Duration::ZERO)).expect("a wait is never refused");
    }
}

/// One seed from its beginning to its end. Returns how often the relay was killed while it moved.
fn run(seed: u64) -> usize {
    let mut world = World::new(seed);
    let mut kills = 0;
    let per_mille = *world.dice.pick(&[0, 100, 400]);
    for _ in 0..STEPS {
        let user = u8::try_from(world.dice.below(usize::from(OWNERS))).unwrap();
        if world.dice.chance(300) {
            let most = world.dice.below(6);
            world.take(user, most);
        }
        if world.dice.chance(per_mille) {
            world.trouble();
        }
        if world.relay.is_none() {
            world.start_relay();
        } else if world.dice.chance(200) {
            kills += usize::from(!world.file_is_empty());
            world.kill_relay();
        }
        let longest = *world.dice.pick(&[1, 5, 20, 500, 3000]);
        let time = world.dice.millis(0, longest);
        world.pass(time);
    }
    world.calm();
    if world.relay.is_none() {
        world.start_relay();
    }
    let begun = since(&world.base);
    while !world.file_is_empty() {
        world.pass(Duration::from_secs(1));
        (0..OWNERS).for_each(|user| world.take(user, 16));
        let took = since(&world.base).saturating_sub(begun);
        assert!(took < CALM, "seed {seed}: {} left", world.file.waiting().unwrap().letters);
    }
    world.pass(Duration::from_secs(1));
    world.check_keys(seed);
    for user in 0..OWNERS {
        let empty = |world: &mut World| {
            for _ in 0..=BOX_LETTERS / 16 {
                world.take(user, 16);
            }
        };
        let place = usize::from(user);
        empty(&mut world);
        assert_eq!(world.taken[place], world.left[place], "seed {seed}: the box of {user}");
        assert!(world.store(user, "later"), "seed {seed}: the box of {user} is closed");
        empty(&mut world);
        assert_eq!(world.taken[place].last().map(String::as_str), Some("later"), "seed {seed}");
    }
    kills
}

#[test]
fn letters_of_a_file_come_into_the_engine_once_and_in_order() {
    let only = std::env::var("SEED").ok().map(|seed| seed.parse().expect("a number"));
    let seeds = only.map_or(0..SEEDS, |seed: u64| seed..seed + 1);
    let kills: usize = seeds.map(run).sum();
    println!("the relay was killed {kills} times while letters were left");
    assert!(only.is_some() || kills > 50, "{kills}");
}
