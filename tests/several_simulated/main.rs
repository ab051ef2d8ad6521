//! Several relays, one engine (the model of its scripts) and users in one world in memory, by the
//! seed: connections to the engine are cut, answers lost, the engine stopped, emptied and set back,
//! relays killed and stopped. What holds for one relay has to hold across them, and once all is calm
//! again they have to agree. `docs/testing.md` says what is promised.
//!
//! ```text
//! cargo test --test several_simulated                        some hundred seeds
//! SEALWAX_SEEDS=1000 cargo test --test several_simulated     so many
//! SEALWAX_SEED=42 cargo test --test several_simulated -- --nocapture    one of them, in words
//! ```

#![allow(clippy::expect_used)] // helpers of tests are tests

mod agree;
mod belief;
mod channel;
#[path = "../simulation/user.rs"]
#[allow(dead_code)]
mod client;
mod clients;
#[path = "../simulation/dice.rs"]
#[allow(dead_code)]
mod dice;
mod home;
#[path = "../simulation/ledger.rs"]
mod ledger;
mod letters;
#[path = "../simulation/post.rs"]
#[allow(dead_code)]
mod post;
mod relay;
#[path = "../simulation/seeds.rs"]
mod seeds;
#[path = "../support/mod.rs"]
mod support;
#[path = "../simulation/trace.rs"]
#[allow(dead_code)]
mod trace;
mod trouble;
mod user;
#[path = "../../fuzz/src/vault.rs"]
mod vault;
mod world;

use std::fmt;
use std::time::Duration;

use relay::Process;
use seeds::play_all;
use trace::Trace;
use world::{Counts, RELAYS, World};

/// How many seeds are played unless `SEALWAX_SEEDS` says otherwise.
const SEEDS: u64 = 250;
/// How many with clients.
const CLIENT_SEEDS: u64 = 50;
const STEPS: usize = 120;

/// What happened in some seeds.
#[derive(Debug, Default)]
struct Outcome {
    counts: Counts,
    /// Messages: sent, arrived, refused.
    messages: [u64; 3],
    /// Letters: left, delivered.
    letters: [u64; 2],
    /// Texts of clients: said, shown, failed.
    texts: [u64; 3],
}

impl Outcome {
    fn add(&mut self, other: &Self) {
        for (what, count) in &other.counts {
            *self.counts.entry(what.clone()).or_default() += count;
        }
        self.messages = std::array::from_fn(|at| self.messages[at] + other.messages[at]);
        self.letters = std::array::from_fn(|at| self.letters[at] + other.letters[at]);
        self.texts = std::array::from_fn(|at| self.texts[at] + other.texts[at]);
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let ([sent, arrived, refused], [left, delivered]) = (self.messages, self.letters);
        writeln!(out, "messages: {sent} sent, {arrived} arrived, {refused} refused")?;
        writeln!(out, "letters: {left} left, {delivered} delivered")?;
        let [said, shown, failed] = self.texts;
        writeln!(out, "texts: {said} said, {shown} shown, {failed} failed and told so")?;
        for (what, count) in &self.counts {
            writeln!(out, "{count:9} {what}")?;
        }
        Ok(())
    }
}

/// One seed from its beginning to its end.
fn play(seed: u64, trace: Trace) -> Outcome {
    let mut world = World::new(seed, trace);
    world.pass(Duration::from_secs(1));
    let per_mille = *world.dice.pick(&[0, 50, 150, 300]);
    world.may_lose = world.dice.chance(500);
    for _ in 0..STEPS {
        act(&mut world);
        world.go_on(per_mille);
    }
    agree::calm(&mut world);
    agree::agree(&mut world);
    outcome(world)
}

fn outcome(world: World) -> Outcome {
    let (messages, letters) = (world.post.totals(), world.letters.totals());
    let texts = world.clients.ledger.totals();
    Outcome { counts: world.counts, messages, letters, texts }
}

/// A user does something.
fn act(world: &mut World) {
    let one = world.dice.below(world.users.len());
    match world.dice.below(20) {
        0..=3 => world.connect(one),
        4 => greet(world, one),
        5 => world.leave(one),
        6..=11 => letters::act(world),
        _ => {
            let version2 = world.users[one].is_version2() != world.dice.chance(100);
            let all = world.users.iter().filter(|it| it.is_version2() == version2);
            let names: Vec<_> = all.map(|it| it.name).collect();
            let to = *world.dice.pick(&names);
            world.say(one, to);
        }
    }
}

/// The user connects, and others write to it while it registers.
fn greet(world: &mut World, one: usize) {
    world.connect(one);
    let (to, version2) = (world.users[one].name, world.users[one].is_version2());
    for _ in 0..world.dice.between(3, 12) {
        let writes = |it: &&usize| world.users[**it].is_version2() == version2;
        let users: Vec<usize> = (0..world.users.len()).collect();
        let writers: Vec<usize> = users.iter().filter(writes).copied().collect();
        let from = *world.dice.pick(&writers);
        for _ in 0..2 {
            world.say(from, to);
            let time = world.dice.millis(0, 2);
            world.pass(time);
        }
    }
}

/// Whenever between two renewals a relay is killed, the others let its users go soon after its lease
/// has ended: the lease is of 10 s.
#[test]
fn the_names_of_a_relay_that_was_killed_are_free_within_11_s() {
    for part in 0..30 {
        let mut world = World::new(part, Trace::kept(0));
        world.pass(Duration::from_secs(1) + Duration::from_millis(100 * part));
        let user = |name| world.users.iter().position(|it| it.name == name).unwrap();
        let users = ["alice", "user-1", "user-2"].map(user);
        for (at, user) in users.into_iter().enumerate() {
            world.connect_to(user, at);
        }
        world.pass(Duration::from_millis(500));
        let listed = |world: &World| -> Vec<usize> {
            let relays = world.relays.iter().filter_map(|it| it.process.as_ref());
            relays.map(Process::users).collect()
        };
        assert_eq!(listed(&world), [3, 3, 3]);
        world.kill_relay(1);
        world.pass(Duration::from_secs(11));
        assert_eq!(listed(&world), [2, 2], "{part}");
        world.connect_to(users[1], 2);
        world.pass(Duration::from_millis(500));
        assert!(world.users[users[1]].is_registered(), "{part}");
    }
}

/// Users for whom the copy of who is where has no room are reached all the same.
#[test]
fn users_who_are_missing_in_the_copy_are_reached() {
    let mut world = World::new(1, Trace::kept(0));
    for relay in 0..RELAYS {
        world.kill_relay(relay);
        world.relays[relay].copy.names = 2;
        world.start_relay(relay);
    }
    world.pass(Duration::from_secs(1));
    let user = |name| world.users.iter().position(|it| it.name == name).unwrap();
    let users = ["user-1", "user-2", "user-3"].map(user);
    for (user, at) in users.into_iter().zip([0, 1, 1]) {
        world.connect_to(user, at);
        world.pass(Duration::from_millis(500));
    }
    let state = |world: &World| world.relays[0].state().map(|it| (it.users, it.lists_all));
    assert_eq!(state(&world), Some((2, false)));
    for to in ["user-2", "user-3"] {
        let id = world.say(users[0], to).expect("it is registered");
        world.pass(Duration::from_millis(200));
        assert_eq!(world.post.answer(&id), Some(post::Answer::Relayed), "{to}");
    }
    world.leave(users[1]);
    world.pass(Duration::from_secs(1));
    assert_eq!(state(&world), Some((2, true)));
    assert_eq!(world.counts["relay: those beyond are missing"], 2, "by each of two relays");
}

/// All users of a relay that ended are gone at once, and leave what others know in parts.
#[test]
fn the_users_of_a_relay_that_was_killed_leave_in_parts() {
    let mut world = World::new(1, Trace::kept(0));
    for relay in 0..RELAYS {
        world.kill_relay(relay);
        world.relays[relay].copy.let_go_a_tick = 1;
        world.start_relay(relay);
    }
    world.pass(Duration::from_secs(1));
    let user = |name| world.users.iter().position(|it| it.name == name).unwrap();
    let [alice, others @ ..] = ["alice", "user-1", "user-2", "user-3", "user-4"].map(user);
    world.connect_to(alice, 0);
    for user in others {
        world.connect_to(user, 1);
    }
    world.pass(Duration::from_millis(500));
    let users = |world: &World| world.relays[0].process.as_ref().map(Process::users);
    assert_eq!(users(&world), Some(5));
    // What the engine says when it has freed their names comes later.
    world.engine.server_mut().set_delay(Duration::from_millis(300));
    world.kill_relay(1);
    world.pass(Duration::from_secs(11));
    assert_eq!((users(&world), world.left_at_once), (Some(1), 1));
}

#[test]
fn relays_agree_after_whatever_went_wrong() {
    play_all(play, SEEDS, Outcome::add);
}

#[test]
fn clients_of_several_relays_lose_nothing_and_show_nothing_twice() {
    play_all(clients::play, CLIENT_SEEDS, Outcome::add);
}
