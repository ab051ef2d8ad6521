//! What gets lost is sent again, and shown once.

use std::time::Duration;

use sealwax::client::{Caution, Event, Failure, Progress};
use sealwax::limits::{ABSENT_MAX, PREKEY_GRACE, PREKEY_INTERVAL, SESSION_AGE};
use serde_json::{Value, json};

use crate::evil::Verdict;
use crate::world::{World, cautions, delivered, failures, public};

/// Swallows those of the next frames for which `lost` holds, by action and sender.
fn lose(world: &mut World, mut lost: impl FnMut(&str, &str) -> bool + 'static) {
    world.relay.fate = Box::new(move |frame: &mut Value| {
        let text = |name: &str| frame[name].as_str().unwrap_or_default();
        if lost(text("action"), text("from")) { Verdict::Swallow } else { Verdict::Forward }
    });
}

/// Swallows the `n`-th message of `from`, counted from 0.
fn lose_message(world: &mut World, from: &'static str, n: usize) {
    let mut count = 0;
    lose(world, move |action, sender| {
        let is_one = action == "message" && sender == from;
        count += usize::from(is_one);
        is_one && count == n + 1
    });
}

#[test]
fn a_lost_text_comes_again_in_a_new_session_and_the_gap_is_told() {
    let mut world = World::of_two();
    lose_message(&mut world, "alice", 1);
    for text in ["one", "two", "three"] {
        world.say("alice", "bob", text);
    }
    world.run(Duration::from_millis(2900));
    assert_eq!(world.heard("bob"), ["alice: one", "alice: three"]);
    let gap = Event::Gap { from: "alice".into(), missing: 1 };
    assert!(world.events("bob").contains(&gap));
    assert_eq!(delivered(&world.events("alice")), ["one", "three"]);
    world.run_seconds(1);
    assert_eq!(world.heard("bob"), ["alice: two"]);
    assert_eq!(delivered(&world.events("alice")), ["two"]);
    assert_eq!(cautions(&world.events("bob")), []);
}

#[test]
fn a_lost_session_is_opened_again() {
    let mut world = World::of_two();
    let mut count = 0;
    lose(&mut world, move |action, sender| {
        let is_one = action == "send_key" && sender == "alice";
        count += usize::from(is_one);
        is_one && count == 1
    });
    world.say("alice", "bob", "hi");
    world.run_seconds(4);
    assert_eq!(world.heard("bob"), ["alice: hi"]);
    assert_eq!(delivered(&world.events("alice")), ["hi"]);
}

#[test]
fn a_lost_receipt_makes_a_text_come_again_but_not_show_again() {
    let mut world = World::of_two();
    lose_message(&mut world, "bob", 0);
    world.say("alice", "bob", "hi");
    world.run_seconds(2);
    assert_eq!(delivered(&world.events("alice")), [""; 0]);
    world.run_seconds(2);
    assert_eq!(delivered(&world.events("alice")), ["hi"]);
    assert_eq!(world.heard("bob"), ["alice: hi"]);
    assert_eq!(world.relay.count("send_key"), 3, "alice's two, bob's one");
}

#[test]
fn pauses_double_while_nothing_is_confirmed() {
    let mut world = World::of_two();
    lose(&mut world, |_, sender| sender == "bob");
    world.say("alice", "bob", "hi");
    let mut sessions = |seconds| {
        world.run_seconds(seconds);
        let from_alice = |frame: &&Value| frame["action"] == "send_key" && frame["from"] == "alice";
        world.relay.log.iter().filter(from_alice).count()
    };
    assert_eq!((sessions(2), sessions(2), sessions(6), sessions(12)), (1, 2, 3, 4));
    assert_eq!((sessions(20), sessions(5)), (4, 5));
}

#[test]
fn a_peer_that_is_slow_but_confirms_is_not_sent_everything_again() {
    let mut world = World::of_two();
    world.say("alice", "bob", "first");
    world.run_seconds(1);
    world.user("bob").probe.shows = false;
    (0..5).for_each(|number| world.say("alice", "bob", &number.to_string()));
    for _ in 0..5 {
        world.run(Duration::from_millis(2500));
        let bob = &mut world.user("bob").probe;
        let receipt = bob.unshown.remove(0);
        bob.client.shown(receipt);
    }
    world.run_seconds(1);
    assert_eq!(delivered(&world.events("alice")).len(), 6);
    assert_eq!(world.relay.count("send_key"), 2);
}

#[test]
fn a_lost_connection_is_made_again_and_what_was_unconfirmed_goes_on() {
    let mut world = World::of_two();
    world.say("alice", "bob", "before");
    world.run_seconds(1);
    lose(&mut world, |action, _| action == "message");
    world.say("alice", "bob", "lost");
    world.run(Duration::from_millis(100));
    world.cut();
    world.relay.fate = Box::new(|_| Verdict::Forward);
    world.run(Duration::ZERO);
    world.say("alice", "bob", "while away");
    world.run_seconds(6);
    assert_eq!(world.heard("bob"), ["alice: before", "alice: lost", "alice: while away"]);
    let events = world.events("alice");
    assert_eq!(delivered(&events), ["before", "lost", "while away"]);
    let registered = |event: &&Event| matches!(event, Event::Registered { .. });
    assert_eq!(events.iter().filter(registered).count(), 2);
}

#[test]
fn a_peer_that_starts_anew_is_found_again_both_ways() {
    let mut world = World::of_two();
    world.say("alice", "bob", "one");
    world.say("bob", "alice", "two");
    world.run_seconds(1);
    let pins = world.kill("bob");
    world.join_with("bob", "bob", pins, |_| {});
    world.run_seconds(1);
    world.events("alice");
    // Alice's session is of no use any more, and bob has none: nobody has told either so.
    world.say("alice", "bob", "three");
    world.run_seconds(4);
    assert_eq!(world.heard("bob"), ["alice: three"]);
    assert_eq!(delivered(&world.events("alice")), ["three"]);
    world.say("bob", "alice", "four");
    world.run_seconds(1);
    assert_eq!(world.heard("alice"), ["bob: two", "bob: four"]);
    assert_eq!(delivered(&world.events("bob")), ["four"]);
}

#[test]
fn a_peer_that_starts_anew_and_writes_first_is_answered_at_once() {
    let mut world = World::of_two();
    world.say("bob", "alice", "one");
    world.run_seconds(1);
    world.kill("alice");
    world.join("alice");
    world.run_seconds(1);
    world.say("alice", "bob", "two");
    world.run(Duration::from_millis(200));
    assert_eq!(delivered(&world.events("alice")), ["two"]);
}

#[test]
fn who_was_there_and_left_is_waited_for() {
    let mut world = World::of_two();
    world.say("alice", "bob", "one");
    world.run_seconds(1);
    let pins = world.kill("bob");
    world.say("alice", "bob", "two");
    world.run_seconds(1);
    world.say("alice", "bob", "three");
    world.run_seconds(20);
    assert_eq!(world.user("alice").probe.client.pending_counts().absent, 2);
    let events = world.events("alice");
    assert_eq!(failures(&events), []);
    let waits = Event::Progress(Progress::Absent { name: "bob".to_owned(), is_known: true });
    assert_eq!(events.iter().filter(|event| **event == waits).count(), 1, "told once");
    world.join_with("bob", "bob", pins, |_| {});
    world.run_seconds(30);
    assert_eq!(world.heard("bob"), ["alice: two", "alice: three"]);
    assert_eq!(delivered(&world.events("alice")), ["two", "three"]);
    assert_eq!(world.user("alice").probe.client.pending_counts().absent, 0);
}

#[test]
fn who_has_started_anew_gets_the_next_text_at_once() {
    let mut world = World::of_two();
    world.say("alice", "bob", "one");
    world.run_seconds(1);
    let pins = world.kill("bob");
    world.join_with("bob", "bob", pins, |_| {});
    world.run(Duration::from_millis(100));
    world.say("alice", "bob", "two"); // to a process that does not know the session
    world.run(Duration::from_millis(100));
    assert_eq!(world.heard("bob"), ["alice: two"]);
    assert_eq!(delivered(&world.events("alice")), ["one", "two"]);
}

#[test]
fn who_joins_while_something_is_unconfirmed_is_asked_for_at_once() {
    let mut world = World::of_two();
    world.say("alice", "bob", "one");
    world.run_seconds(1);
    world.user("bob").probe.shows = false;
    world.say("alice", "bob", "two");
    world.run_seconds(1);
    let pins = world.kill("bob");
    world.join_with("bob", "bob", pins, |_| {});
    world.run(Duration::from_millis(20));
    world.inject("alice", &json!({"action": "roster", "joined": ["bob"], "left": ["bob"]}));
    world.run(Duration::from_millis(20));
    assert_eq!(world.heard("bob"), ["alice: two"]);
}

#[test]
fn who_comes_late_gets_what_waits_for_them_within_half_a_second() {
    let mut world = World::new();
    world.join_as("alice", "alice", |settings| settings.waits_for_absent = true);
    world.run_seconds(1);
    world.say("alice", "bob", "hi");
    world.run_seconds(60); // the pauses have grown
    let asked = world.relay.count("get_pubkey");
    while world.relay.count("get_pubkey") == asked {
        world.run(Duration::from_millis(10));
    }
    world.join("bob"); // just too late for that question
    world.run(ABSENT_MAX + Duration::from_millis(100));
    assert_eq!(world.heard("bob"), ["alice: hi"]);
    assert_eq!(delivered(&world.events("alice")), ["hi"]);
}

#[test]
fn a_stranger_that_starts_anew_and_writes_is_confirmed_at_once() {
    let mut world = World::of_two(); // bob writes to nobody
    world.say("alice", "bob", "one");
    world.run_seconds(1);
    let pins = world.kill("alice");
    world.join_with("alice", "alice", pins, |_| {});
    world.run(Duration::from_millis(20));
    world.say("alice", "bob", "two");
    world.run(Duration::from_millis(200));
    assert_eq!(delivered(&world.events("alice")), ["two"]);
}

#[test]
fn who_starts_anew_for_each_text_confirms_them_all_without_pause() {
    let mut world = World::of_two();
    for number in 0..40 {
        world.say("alice", "bob", &number.to_string());
        world.run(Duration::from_millis(120));
        assert_eq!(delivered(&world.events("alice")), [number.to_string()]);
        let pins = world.kill("bob");
        world.join_with("bob", "bob", pins, |_| {});
        world.run(Duration::from_millis(10));
    }
}

#[test]
fn what_the_user_asks_for_does_not_delay_what_the_peer_needs() {
    let mut world = World::new();
    world.join_as("alice", "alice", |settings| settings.waits_for_absent = true);
    world.run_seconds(1);
    world.say("alice", "bob", "hi");
    world.run_seconds(60); // twice a second, which is more than a peer may make us ask for
    world.join("bob");
    world.run_seconds(1);
    world.say("bob", "alice", "hello");
    let pins = world.kill("bob");
    world.join_with("bob", "bob", pins, |_| {});
    world.say("bob", "alice", "here again");
    world.run_seconds(1);
    assert_eq!(delivered(&world.events("bob")), ["here again"]);
}

#[test]
fn a_full_queue_is_tried_again_in_the_same_session() {
    let mut world = World::of_two();
    world.say("alice", "bob", "one");
    world.run_seconds(1);
    let mut refused = 0;
    world.relay.fate = Box::new(move |frame| {
        let is_one = frame["action"] == "message" && frame["from"] == "alice";
        refused += usize::from(is_one);
        if is_one && refused <= 4 { Verdict::Refuse("queue_full") } else { Verdict::Forward }
    });
    world.say("alice", "bob", "two");
    world.say("alice", "bob", "three");
    world.run_seconds(2);
    assert_eq!(delivered(&world.events("alice")), ["one", "two", "three"]);
    assert_eq!(world.heard("bob"), ["alice: one", "alice: two", "alice: three"]);
    assert_eq!(world.relay.count("send_key"), 2);
    // Each under the number that it had, so nothing was ever missing.
    let events = world.events("bob");
    let is_gap = |event: &&Event| matches!(event, Event::Gap { .. });
    assert_eq!((events.iter().filter(is_gap).count(), cautions(&events)), (0, vec![]));
}

#[test]
fn what_was_overtaken_while_the_queue_was_full_comes_again_after_a_true_gap() {
    let mut world = World::of_two();
    world.say("alice", "bob", "one");
    world.run_seconds(1);
    let mut count = 0;
    world.relay.fate = Box::new(move |frame| {
        count += usize::from(frame["action"] == "message" && frame["from"] == "alice");
        if count == 1 { Verdict::Refuse("queue_full") } else { Verdict::Forward }
    });
    for text in ["two", "three"] {
        world.say("alice", "bob", text);
    }
    world.run_seconds(2);
    assert_eq!(world.heard("bob"), ["alice: one", "alice: three", "alice: two"]);
    assert_eq!(delivered(&world.events("alice")), ["one", "three", "two"]);
    let events = world.events("bob");
    assert!(events.contains(&Event::Gap { from: "alice".into(), missing: 1 }));
    assert_eq!(cautions(&events), []);
    assert_eq!(world.relay.count("send_key"), 2, "in the same session");
}

#[test]
fn who_has_lost_the_peers_session_is_confirmed_in_a_new_one() {
    let mut world = World::of_two();
    world.say("alice", "bob", "one");
    world.run_seconds(5);
    // The relay lies once about bob's key, and alice closes what bob has opened.
    let mut lie = world.relay.pubkey_of("bob");
    lie["pubkey"] = public("carol").to_pem().into();
    world.relay.pubkeys.insert("bob".to_owned(), lie);
    world.inject("alice", &json!({"action": "relayed", "id": "99", "to": "bob", "prekey": 7}));
    world.run_seconds(1);
    assert_eq!(cautions(&world.events("alice")), [Caution::KeyChanged]);
    world.relay.pubkeys.clear();
    world.say("alice", "bob", "two");
    world.run_seconds(15);
    assert_eq!(world.heard("bob"), ["alice: one", "alice: two"]);
    assert_eq!(delivered(&world.events("alice")), ["two"]);
}

#[test]
fn a_session_that_the_relay_refuses_is_not_tried_without_pause() {
    let mut world = World::of_two();
    world.relay.fate = Box::new(|frame| match frame["action"].as_str() {
        Some("send_key") => Verdict::Refuse("bad_frame"),
        _ => Verdict::Forward,
    });
    world.say("alice", "bob", "hi");
    world.run_seconds(60);
    assert!(world.relay.count("send_key") < 10);
}

#[test]
fn another_refusal_fails_the_message_that_it_names() {
    let mut world = World::of_two();
    world.relay.fate = Box::new(|frame| match frame["action"].as_str() {
        Some("message") => Verdict::Refuse("bad_frame"),
        _ => Verdict::Forward,
    });
    world.say("alice", "bob", "hi");
    world.run_seconds(1);
    assert_eq!(failures(&world.events("alice")), [Failure::Refused]);
}

#[test]
fn prekeys_and_sessions_are_replaced_with_time_and_nothing_is_lost() {
    let mut world = World::of_two();
    world.say("alice", "bob", "one");
    world.run_seconds(1);
    let published = |world: &World| world.relay.pubkey_of("bob")["prekey"]["id"].clone();
    let first = published(&world);
    // The session is a little younger than bob's prekey, and is still used.
    world.kernel.advance(PREKEY_INTERVAL.saturating_sub(Duration::from_millis(500)));
    world.run(Duration::from_millis(100));
    assert_ne!(published(&world), first);
    world.say("alice", "bob", "two");
    world.run_seconds(1);
    assert_eq!(delivered(&world.events("alice")), ["one", "two"]);
    world.kernel.advance(PREKEY_GRACE + SESSION_AGE);
    world.say("alice", "bob", "three");
    world.run_seconds(1);
    assert_eq!(delivered(&world.events("alice")), ["three"]);
    assert_eq!(cautions(&world.events("bob")), []);
}
