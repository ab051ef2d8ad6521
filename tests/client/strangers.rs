//! Strangers who flood: what they make a client do is bounded by counts, and whoever it knows does
//! not notice.

use std::time::Duration;

use sealwax::client::Caution;
use serde_json::{Value, json};

use crate::hostile::offers;
use crate::world::{World, cautions, delivered, failures, public};

/// Texts that the victim sends under a flood.
const TEXTS: usize = 25;
/// How long it takes for them, in steps of which each has one.
const STEP: Duration = Duration::from_millis(100);

/// A world where `mallory0` to `mallory{names - 1}` are users, who all have carol's key.
fn with_strangers(names: usize) -> World {
    let mut world = World::of_two();
    let pem = public("carol").to_pem();
    for name in (0..names).map(|number| format!("mallory{number}")) {
        let answer = json!({"action": "pubkey", "from": name, "pubkey": pem});
        world.relay.pubkeys.insert(name, answer);
    }
    world
}

/// An offer with the right addressee and nothing else that holds, as one of `names` strangers.
fn bogus(world: &World, names: usize) -> impl Fn(usize) -> Value + use<> {
    let offer = offers(world, "carol", "alice", 1).remove(0);
    move |number| {
        let mut offer = offer.clone();
        offer["from"] = format!("mallory{}", number % names).into();
        offer
    }
}

/// Alice sends 25 texts to bob, to whom she has not written before, under `rate` frames a second of
/// as many strangers.
fn writes_under_a_flood(rate: usize, names: usize) {
    let mut world = with_strangers(names);
    let offer = bogus(&world, names);
    let mut sent = 0;
    for text in 0..TEXTS {
        world.say("alice", "bob", &text.to_string());
        for _ in 0..10 {
            for _ in 0..rate / 100 {
                world.inject("alice", &offer(sent));
                sent += 1;
            }
            world.run(STEP / 10);
        }
    }
    world.run_seconds(1);
    let events = world.events("alice");
    assert_eq!((delivered(&events).len(), failures(&events).len()), (TEXTS, 0));
    // Five at once, five a second in 3.5 s, and those that her own texts need.
    let asked = world.relay.count("get_pubkey");
    assert!(asked <= 5 + 18 + 4, "{asked} for {sent} frames of {names} strangers");
}

#[test]
fn strangers_do_not_spend_what_we_may_ask() {
    for (rate, names) in [(1_200, 1), (1_200, 40), (12_000, 1), (12_000, 5_000)] {
        writes_under_a_flood(rate, names);
    }
}

/// Each of twenty strangers writes all the time; so does, once, somebody honest.
#[test]
fn an_honest_stranger_gets_through_a_flood() {
    let mut world = with_strangers(20);
    let offer = bogus(&world, 20);
    world.say("bob", "alice", "hi");
    let mut heard = Vec::new();
    for number in 0..100 {
        for place in 0..100 {
            world.inject("alice", &offer(number + place));
        }
        world.run(STEP);
        heard.extend(world.heard("alice"));
    }
    assert_eq!(heard, ["bob: hi"]);
    assert_eq!(delivered(&world.events("bob")), ["hi"]);
}

/// What takes all the room for strangers gives way by lot, and nobody whom we know waits there.
#[test]
fn frames_of_strangers_leave_room_for_others() {
    let mut world = with_strangers(0);
    world.say("alice", "bob", "hello");
    world.run_seconds(1);
    assert_eq!(delivered(&world.events("alice")), ["hello"]);
    // Another process of alice knows bob, and not yet his key.
    let files = world.kill("alice");
    world.join_with("alice", "alice", files, |_| {});
    world.run_seconds(1);
    let offer = bogus(&world, 5_000);
    for number in 0..3_000 {
        world.inject("alice", &offer(number));
        if number % 100 == 0 {
            world.run(Duration::ZERO);
        }
    }
    world.say("bob", "alice", "hi");
    world.run_seconds(4);
    assert_eq!(world.heard("alice"), ["bob: hi"]);
}

/// Whoever waited for its turn in vain waits no longer: the next one is asked for at once.
#[test]
fn a_flood_that_is_over_leaves_no_line() {
    let mut world = World::of_two();
    let offer = bogus(&world, 5_000);
    for number in 0..3_000 {
        world.inject("alice", &offer(number));
        if number % 100 == 0 {
            world.run(Duration::ZERO);
        }
    }
    world.run_seconds(7);
    let asked = world.relay.count("get_pubkey");
    assert!(asked <= 5 + 35, "{asked}");
    world.run_seconds(20);
    assert_eq!(world.relay.count("get_pubkey"), asked);
    world.say("bob", "alice", "hi");
    world.run_seconds(1);
    assert_eq!(world.heard("alice"), ["bob: hi"]);
}

/// Strangers who are pinned open sessions without end; whom alice wrote to can still open one.
#[test]
fn strangers_do_not_spend_the_sessions_of_those_whom_we_know() {
    let mut world = World::of_two();
    world.join("carol");
    world.run_seconds(1);
    world.say("alice", "bob", "hello");
    world.say("carol", "alice", "hi");
    world.run_seconds(1);
    assert_eq!(world.heard("alice"), ["carol: hi"]);
    let flood = offers(&world, "carol", "alice", 16);
    // Bob starts anew, and at the moment when he writes the flood comes.
    let files = world.kill("bob");
    world.join_with("bob", "bob", files, |_| {});
    world.run_seconds(2);
    let four = offers(&world, "bob", "alice", 4);
    world.events("alice");
    for offer in flood.iter().chain(&four) {
        world.inject("alice", offer);
    }
    world.run(Duration::ZERO);
    let told = cautions(&world.events("alice"));
    let refused = told.iter().filter(|code| **code == Caution::TooManySessions);
    assert_eq!(refused.count(), 12, "of 16 of the stranger, and of none that bob offers");
}

/// The relay answers that too much was asked: the text waits, and is sent later.
#[test]
fn a_relay_that_was_asked_too_much_is_asked_again() {
    let mut world = World::of_two();
    for code in ["too_many_lookups", "queue_full"] {
        let error = json!({"action": "error", "code": code, "detail": "later", "target": "bob"});
        world.relay.pubkeys.insert("bob".to_owned(), error);
        world.cut();
        world.run_seconds(2);
        world.say("alice", "bob", code);
        world.run_seconds(5);
        assert_eq!(failures(&world.events("alice")), []);
        world.relay.pubkeys.clear();
        world.run_seconds(30);
        assert_eq!(delivered(&world.events("alice")), [code]);
    }
}
