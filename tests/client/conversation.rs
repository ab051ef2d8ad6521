//! Two users and a relay that behaves.

use std::time::Duration;

use sealwax::client::{Client, Event, Failure, Refused, Standing, Trust, Way};
use sealwax::crypto::RelayNotary;
use sealwax::limits::{MAX_TEXT, WINDOW, WINDOW_FIRST};
use sealwax::relay::journal::{Format, Journal};
use sealwax::relay::store::MemoryStore;
use sealwax::relay::{Relay, RelayConfig, event::Level};
use sealwax::wire::RosterMode;
use serde_json::json;

use crate::world::{Heard, START_MS, World, delivered, public};

#[test]
fn a_text_arrives_is_confirmed_and_both_learn_each_others_key() {
    let mut world = World::of_two();
    world.say("alice", "bob", "hi");
    world.run(Duration::from_millis(100));
    let heard = Heard {
        from: "alice".into(),
        text: "hi".into(),
        way: Way::Session { n: 0 },
        trust: Trust::Tofu,
    };
    assert_eq!(world.user("bob").probe.heard, [heard]);
    let (id, to) = ("hi".to_owned(), "bob".to_owned());
    let tofu = Standing::Pinned(Trust::Tofu);
    let (alice, bob) = (public("alice").fingerprint(), public("bob").fingerprint());
    let expected = [
        Event::Registered { name: "alice".into(), fp: alice },
        Event::Queued { id: id.clone(), to: to.clone() },
        Event::Peer { name: "bob".into(), fp: bob, standing: tofu },
        Event::Relayed { id: id.clone(), to: to.clone() },
        Event::Delivered { id, to, stored_at: None },
    ];
    let events = world.events("alice");
    let told = events.into_iter().filter(|event| !matches!(event, Event::Progress(_)));
    assert!(told.eq(expected));
    let events = world.events("bob");
    assert!(events.contains(&Event::Peer { name: "alice".into(), fp: alice, standing: tofu }));
    let pin = world.user("bob").pin("alice").unwrap();
    assert_eq!((pin.fp, pin.trust), (alice, Trust::Tofu));
    assert!((START_MS..START_MS + 1000).contains(&pin.first_seen));
}

#[test]
fn users_who_begin_at_the_same_moment_both_arrive() {
    let mut world = World::of_two();
    for number in 0..20 {
        world.say("alice", "bob", &format!("a{number}"));
        world.say("bob", "alice", &format!("b{number}"));
    }
    world.run_seconds(2);
    let expect = |from, letter| (0..20).map(move |n| format!("{from}: {letter}{n}"));
    assert!(world.heard("bob").into_iter().eq(expect("alice", 'a')));
    assert!(world.heard("alice").into_iter().eq(expect("bob", 'b')));
    assert_eq!(delivered(&world.events("alice")).len(), 20);
    assert_eq!(delivered(&world.events("bob")).len(), 20);
    assert_eq!(world.relay.count("send_key"), 2);
}

#[test]
fn the_window_is_small_until_the_first_receipt() {
    let mut world = World::of_two();
    world.user("bob").probe.shows = false;
    let say = |client: &mut Client, number: usize| client.say("bob", &number.to_string(), None);
    let alice = &mut world.user("alice").probe.client;
    assert!((0..WINDOW_FIRST).all(|number| say(alice, number).is_ok()));
    assert_eq!(say(alice, WINDOW_FIRST), Err(Refused::Pause));
    assert!(!alice.ready_for_more("bob") && alice.ready_for_more("carol"));
    world.run_seconds(1);
    assert_eq!(world.user("bob").probe.heard.len(), WINDOW_FIRST);
    assert_eq!(world.user("alice").probe.client.pending_counts().unconfirmed, WINDOW_FIRST);

    world.user("bob").probe.shows = true;
    world.run_seconds(1);
    let is_receipt =
        |frame: &&serde_json::Value| frame["from"] == "bob" && frame["action"] == "message";
    assert_eq!(world.relay.log.iter().filter(is_receipt).count(), 1, "one receipt for all");
    world.user("bob").probe.shows = false;
    let alice = &mut world.user("alice").probe.client;
    assert_eq!(alice.pending_counts().unconfirmed, 0);
    assert!((0..WINDOW).all(|number| say(alice, number).is_ok()));
    assert_eq!(say(alice, WINDOW), Err(Refused::Pause));
    world.run_seconds(1);
    assert_eq!(world.user("bob").probe.heard.len(), WINDOW_FIRST + WINDOW);
}

#[test]
fn what_was_not_shown_is_not_confirmed() {
    let mut world = World::of_two();
    world.user("bob").probe.shows = false;
    world.say("alice", "bob", "hi");
    world.run_seconds(30);
    assert_eq!(world.heard("bob"), ["alice: hi"]);
    assert_eq!(delivered(&world.events("alice")), [""; 0]);
    world.user("bob").probe.shows = true;
    world.run_seconds(1);
    assert_eq!(delivered(&world.events("alice")), ["hi"]);
    assert_eq!(world.heard("bob"), [""; 0]);
}

#[test]
fn texts_of_every_length_arrive() {
    let mut world = World::of_two();
    let texts = [0, 1, 236, 237, 4000, MAX_TEXT].map(|length| "x".repeat(length));
    for text in &texts {
        world.user("alice").probe.client.say("bob", text, None).unwrap();
    }
    // Together they are more than what waits for the key of a stranger: the longest comes again.
    world.run_seconds(5);
    let heard = world.user("bob").probe.heard.iter().map(|heard| heard.text.clone());
    assert!(heard.eq(texts));
}

#[test]
fn what_cannot_be_said_is_refused_at_once() {
    let mut world = World::of_two();
    let alice = &mut world.user("alice").probe.client;
    let long = "x".repeat(MAX_TEXT + 1);
    assert_eq!(alice.say("Bob", "hi", None), Err(Refused::NotAName));
    assert_eq!(alice.say("alice", "hi", None), Err(Refused::Oneself));
    assert_eq!(alice.say("bob", &long, None), Err(Refused::TooLong));
    assert_eq!(alice.next_event(), None);
}

#[test]
fn an_unknown_user_fails_at_once() {
    let mut world = World::of_two();
    world.say("alice", "carol", "hi");
    world.run(Duration::from_millis(100));
    let events = world.events("alice");
    let failed = events.iter().find_map(|event| match event {
        Event::Failed { id, to, code, .. } => Some((id.as_str(), to.as_str(), *code)),
        _ => None,
    });
    assert_eq!(failed, Some(("hi", "carol", Failure::UnknownUser)));
    assert_eq!(world.user("alice").probe.client.pending_counts().unconfirmed, 0);
}

#[test]
fn an_original_user_is_refused() {
    let mut world = World::of_two();
    let pubkey = public("carol").to_pem();
    let answer = json!({"action": "pubkey", "from": "carol", "pubkey": pubkey});
    world.relay.pubkeys.insert("carol".to_owned(), answer);
    world.say("alice", "carol", "hi");
    world.run(Duration::from_millis(100));
    let is_not_v2 = |event: &Event| matches!(event, Event::Failed { code: Failure::NotV2, .. });
    assert!(world.events("alice").iter().any(is_not_v2));
    assert_eq!(world.user("alice").pin("carol"), None);
}

#[test]
fn who_leaves_sends_the_last_receipts_first() {
    let mut world = World::of_two();
    world.say("alice", "bob", "hi");
    world.run(Duration::ZERO);
    while world.user("bob").probe.heard.is_empty() {
        world.run(Duration::from_millis(1));
    }
    let bob = world.user("bob");
    bob.probe.client.leave(bob.reactor.context());
    world.run_seconds(3);
    assert_eq!(delivered(&world.events("alice")), ["hi"]);
    assert!(matches!(world.events("bob").last(), Some(Event::Closed { .. })));
}

#[test]
fn safety_numbers_are_the_same_on_both_sides() {
    let mut world = World::of_two();
    world.say("alice", "bob", "hi");
    world.run(Duration::from_millis(100));
    let number = world.user("alice").probe.client.safety_number("bob");
    assert!(number.is_some());
    assert_eq!(world.user("bob").probe.client.safety_number("alice"), number);
    assert_eq!(world.user("alice").probe.client.safety_number("carol"), None);
}

#[test]
fn a_hundred_texts_each_way_through_the_real_relay() {
    let notary = RelayNotary::new(sealwax::crypto::RelayKey::generate().0);
    let relay = Relay::new(
        RelayConfig::default(),
        Box::new(notary),
        Box::new(MemoryStore::default()),
        Vec::new(),
        Journal::new(Format::Json, Level::Quiet),
        Box::new(|| START_MS),
    );
    let mut world = World::with(relay);
    world.relay.start(world.relay_loop.context(), &[world.at]);
    for name in ["alice", "bob"] {
        world.join_as(name, name, |settings| settings.roster = RosterMode::Delta);
    }
    world.run_seconds(1);
    assert!(world.user("alice").probe.client.users().expect("told").eq(["alice", "bob"]));
    let (mut said, pairs) = ([0, 0], [("alice", "bob"), ("bob", "alice")]);
    while said.iter().any(|&said| said < 100) {
        for ((from, to), said) in pairs.into_iter().zip(&mut said) {
            while *said < 100 && world.user(from).probe.client.ready_for_more(to) {
                world.say(from, to, &said.to_string());
                *said += 1;
            }
        }
        world.run(Duration::from_millis(50));
    }
    world.run_seconds(1);
    for (from, to) in pairs {
        let expected = (0..100).map(|number| format!("{from}: {number}"));
        assert!(world.heard(to).into_iter().eq(expected));
        assert_eq!(delivered(&world.events(from)).len(), 100);
    }
}
