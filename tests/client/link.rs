//! The connection to the relay: how it is had, lost and given up.

use std::time::Duration;

use sealwax::client::{
    Caution, Ending, Event, Failure, PinBook, Progress, RelayFingerprint, RelayPin,
};
use sealwax::crypto::RelayKey;
use sealwax::limits::{LOOKUP_TIMEOUT, PING_INTERVAL, PONG_TIMEOUT, REGISTRATION_TIMEOUT};
use sealwax::wire::RosterMode;
use serde_json::json;

use crate::evil::EvilRelay;
use crate::world::{LATE_NAME, World, cautions, delivered, failures};

fn ending(events: &[Event]) -> Option<Ending> {
    match events.last() {
        Some(Event::Closed { code, .. }) => Some(*code),
        _ => None,
    }
}

pub(crate) fn progress(events: Vec<Event>) -> Vec<Progress> {
    let progress = events.into_iter().filter_map(|event| match event {
        Event::Progress(progress) => Some(progress),
        _ => None,
    });
    progress.collect()
}

#[test]
fn the_relay_is_pinned_at_the_first_registration() {
    let mut world = World::of_two();
    let key = RelayFingerprint(world.relay.key.public());
    let relays = world.user("alice").known_relays();
    assert_eq!(relays.iter().map(|pin| pin.key).collect::<Vec<_>>(), [key]);
    let (relay, key) = (world.at.to_string(), key.to_string());
    let connecting = Progress::Connecting { address: relay.clone() };
    let told = progress(world.events("alice"));
    assert_eq!(told, [connecting, Progress::NewRelay { relay, key }]);
}

/// What is kept of letters belongs to the relay as it was at the start of the run.
#[test]
fn a_relay_whose_new_key_was_accepted_during_a_run_ends_it() {
    let mut world = World::of_two();
    world.relay.key = RelayKey::generate().0;
    let (address, key) = (world.at.to_string(), RelayFingerprint(world.relay.key.public()));
    let mut others = PinBook::new(Box::new(world.user("alice").relays.clone()));
    others.change(|file| file.set(RelayPin { address, key })).expect("memory");
    world.cut();
    world.run_seconds(20);
    let events = world.events("alice");
    assert_eq!(ending(&events), Some(Ending::RelayChanged));
    assert!(format!("{events:?}").contains("was accepted anew: start again"), "{events:?}");
}

#[test]
fn nothing_is_proven_to_a_relay_with_another_key() {
    let mut world = World::of_two();
    world.relay.log.clear();
    world.relay.key = RelayKey::generate().0;
    world.cut();
    world.run_seconds(20);
    let events = world.events("alice");
    assert_eq!(ending(&events), Some(Ending::RelayChanged));
    assert_eq!((world.relay.count("register"), world.relay.count("prove")), (2, 0));
}

#[test]
fn nothing_is_proven_to_a_relay_that_does_not_prove_its_key() {
    let mut world = World::new();
    world.relay.forges = true;
    world.join("alice");
    world.run_seconds(5);
    assert!(world.relay.count("register") > 1);
    assert_eq!(world.relay.count("prove"), 0);
    world.relay.forges = false;
    world.run_seconds(10);
    assert_eq!(world.relay.count("prove"), 1);
}

#[test]
fn refusals_for_good_end_it() {
    let cases = [
        ("name_in_use", Ending::NameInUse),
        ("name_bound", Ending::NameBound),
        ("bad_name", Ending::BadName),
        ("directory_full", Ending::DirectoryFull),
        ("bad_proof", Ending::BadProof),
        ("bad_key", Ending::Refused),
        ("something_new", Ending::Refused),
    ];
    for (code, expected) in cases {
        let mut world = World::new();
        world.relay.refusal = Some(code);
        world.join("alice");
        world.run_seconds(3);
        assert_eq!(ending(&world.events("alice")), Some(expected), "{code}");
        assert_eq!(world.relay.count("register"), 1, "{code}");
    }
}

#[test]
fn refusals_for_now_are_tried_again_with_growing_pauses() {
    let mut world = World::new();
    world.relay.refusal = Some("shutting_down");
    world.join("alice");
    world.run_seconds(20);
    let pauses =
        progress(world.events("alice")).into_iter().filter_map(|progress| match progress {
            Progress::Retrying { pause } => Some(pause.as_millis()),
            _ => None,
        });
    let pauses: Vec<_> = pauses.collect();
    let within = |(number, pause): (usize, &u128)| (125 << number..=250 << number).contains(pause);
    assert!(pauses.len() > 4 && pauses.iter().take(6).enumerate().all(within), "{pauses:?}");
    world.relay.refusal = None;
    world.run_seconds(40); // longer than the longest pause
    assert_eq!(world.relay.count("prove"), 1);
}

#[test]
fn who_is_replaced_does_not_come_back() {
    let mut world = World::of_two();
    world.inject("alice", &json!({"action": "error", "code": "replaced", "detail": ""}));
    world.run_seconds(20);
    assert_eq!(ending(&world.events("alice")), Some(Ending::Replaced));
    assert_eq!(world.relay.count("register"), 2);
}

#[test]
fn a_relay_of_the_original_kind_is_named() {
    let mut world = World::new();
    world.relay.is_mute = true;
    world.join("alice");
    world.run(Duration::from_millis(100));
    let list = json!({"action": "userlist", "users": ["alice"]});
    assert!(!world.relay.tell_bytes(world.relay_loop.context(), "alice", b"{}"));
    world.relay.tell_unregistered(world.relay_loop.context(), &list);
    world.run_seconds(3);
    assert_eq!(ending(&world.events("alice")), Some(Ending::NotV2));
}

#[test]
fn a_relay_that_falls_silent_is_asked_and_then_left() {
    let mut world = World::of_two();
    world.run(PING_INTERVAL * 3);
    assert_eq!(world.relay.count("ping"), 6);
    assert_eq!(world.relay.count("register"), 2);
    world.relay.is_mute = true;
    world.run(PING_INTERVAL + PONG_TIMEOUT + Duration::from_secs(2));
    assert_eq!(world.relay.count("register"), 4);
    world.relay.is_mute = false;
    world.run(REGISTRATION_TIMEOUT + Duration::from_secs(5));
    assert_eq!(world.relay.count("prove"), 4);
}

/// What takes connections and says nothing may be another program: what to look at is said.
#[test]
fn who_accepts_and_stays_silent_is_told_with_what_to_check() {
    let mut world = World::new();
    world.relay.is_mute = true;
    world.join("alice");
    world.run(REGISTRATION_TIMEOUT + Duration::from_secs(1));
    let lost = progress(world.events("alice")).into_iter().find_map(|progress| match progress {
        Progress::Lost { why } => Some(why),
        _ => None,
    });
    assert_eq!(lost.as_deref(), Some(&*silence(&world, REGISTRATION_TIMEOUT.as_secs())));
}

/// Nor does one have to wait for so long to be told.
#[test]
fn who_leaves_without_an_answer_is_told_so() {
    for seconds in [0, 3] {
        let mut world = World::new();
        world.relay.is_mute = true;
        world.join("alice");
        world.run(Duration::from_secs(seconds) + Duration::from_millis(500));
        let alice = world.user("alice");
        alice.probe.client.leave(alice.reactor.context());
        world.run_seconds(1);
        let lost = progress(world.events("alice")).pop();
        let why = silence(&world, seconds);
        let told = if seconds == 0 { None } else { Some(Progress::Lost { why }) };
        assert_eq!(lost.filter(|it| matches!(it, Progress::Lost { .. })), told);
    }
}

/// What is said of a relay that has said nothing for so long.
fn silence(world: &World, seconds: u64) -> String {
    format!(
        "the relay does not answer: {} took the connection {seconds} s ago and has registered \
         nobody. It hangs, or it is another program: check the host and the port",
        world.at
    )
}

#[test]
fn addresses_are_tried_in_turn_and_again() {
    let mut world = World::with(EvilRelay::new());
    world.join("alice"); // nobody listens
    world.run_seconds(1);
    let told = progress(world.events("alice"));
    assert!(matches!(told[1], Progress::Unreachable { .. }), "{told:?}");
    assert!(matches!(told[2], Progress::Retrying { .. }), "{told:?}");
    world.user("alice").probe.client.say("bob", "hi", Some("hi".to_owned())).unwrap();
    world.relay_loop.context().listen(world.at);
    world.join("bob");
    world.run_seconds(10);
    assert_eq!(delivered(&world.events("alice")), ["hi"]);
}

#[test]
fn the_second_address_is_taken_where_the_first_is_dead() {
    let mut world = World::new();
    let relay = format!("127.0.0.1:9,{}", world.at);
    world.join_as("alice", "alice", |settings| settings.relay.clone_from(&relay));
    world.join_as("bob", "bob", |settings| "nowhere".clone_into(&mut settings.relay));
    world.run(Duration::from_millis(50));
    let told = progress(world.events("alice"));
    let connecting = |address: &str| Progress::Connecting { address: address.to_owned() };
    assert_eq!(told[0], connecting("127.0.0.1:9"));
    assert!(matches!(&told[1], Progress::Unreachable { why, .. } if why == "connection refused"));
    assert_eq!(told[2], connecting(&world.at.to_string()));
    assert_eq!(world.user("alice").known_relays()[0].address, relay);
    let told = progress(world.events("bob"));
    assert!(matches!(&told[0], Progress::Unreachable { why, .. } if why == "no such host"));
}

#[test]
fn another_address_comes_before_that_of_a_relay_that_has_registered_nobody() {
    let mut world = World::new();
    world.relay.is_mute = true;
    let other = "127.0.0.1:54321";
    world.relay_loop.context().listen(other.parse().unwrap());
    let relay = format!("{},{other}", world.at);
    world.join_as("alice", "alice", |settings| settings.relay.clone_from(&relay));
    world.run(REGISTRATION_TIMEOUT * 2 + Duration::from_secs(5));
    let told = progress(world.events("alice")).into_iter();
    let tried: Vec<_> = told
        .filter_map(
            |it| if let Progress::Connecting { address } = it { Some(address) } else { None },
        )
        .collect();
    assert_eq!(tried[..3], [world.at.to_string(), other.to_owned(), world.at.to_string()]);
}

/// The C library asks three servers twice before it gives up, for 28 s by default: an answer that
/// comes after a dead server is taken.
#[test]
fn a_name_that_is_looked_up_slowly_is_reached() {
    let mut world = World::new();
    world.join_as("alice", "alice", |settings| LATE_NAME.clone_into(&mut settings.relay));
    world.run_seconds(28);
    assert_eq!(progress(world.events("alice")), []);
    let found = Ok(vec![world.at]);
    world.user("alice").look_up(found);
    world.run_seconds(1);
    assert_eq!(world.relay.count("prove"), 1);
}

#[test]
fn a_name_that_has_moved_is_found_at_the_next_attempt() {
    let mut world = World::new();
    world.join_as("alice", "alice", |settings| LATE_NAME.clone_into(&mut settings.relay));
    world.user("alice").look_up(Ok(vec!["127.0.0.1:9".parse().unwrap()])); // nobody listens
    world.run_seconds(1);
    let found = Ok(vec![world.at]);
    world.user("alice").look_up(found);
    world.run_seconds(1);
    assert_eq!(world.relay.count("prove"), 1);
}

#[test]
fn a_name_that_nobody_looks_up_is_given_up_and_tried_again_and_may_be_left() {
    let mut world = World::new();
    world.join_as("alice", "alice", |settings| LATE_NAME.clone_into(&mut settings.relay));
    world.run(LOOKUP_TIMEOUT + Duration::from_secs(1));
    let told = progress(world.events("alice"));
    assert!(matches!(told[0], Progress::Unreachable { .. }), "{told:?}");
    assert!(matches!(told[1..], [Progress::Retrying { .. }]), "{told:?}");
    let alice = world.user("alice");
    alice.probe.client.leave(alice.reactor.context());
    world.run(Duration::ZERO);
    assert_eq!(ending(&world.events("alice")), Some(Ending::Left));
}

#[test]
fn a_stream_that_cannot_be_followed_is_left() {
    let mut world = World::of_two();
    world.relay.tell_bytes(world.relay_loop.context(), "alice", b"HTTP/1.1 400 Bad Request");
    world.run_seconds(2);
    assert_eq!(world.relay.count("register"), 3);
    assert_eq!(world.relay.count("prove"), 3);
}

#[test]
fn leaving_is_told_however_the_connection_stands() {
    let mut world = World::of_two();
    let alice = world.user("alice");
    alice.probe.client.leave(alice.reactor.context());
    world.run_seconds(3);
    assert_eq!(ending(&world.events("alice")), Some(Ending::Left));

    let mut world = World::with(EvilRelay::new());
    world.join("alice");
    world.run_seconds(1);
    let alice = world.user("alice");
    alice.probe.client.leave(alice.reactor.context());
    world.run(Duration::ZERO);
    assert_eq!(ending(&world.events("alice")), Some(Ending::Left));
}

#[test]
fn what_the_user_cannot_take_is_not_read() {
    let mut world = World::of_two();
    let bob = world.user("bob");
    bob.probe.client.hold(bob.reactor.context(), true);
    world.say("alice", "bob", "hi");
    world.run_seconds(60);
    assert_eq!(world.heard("bob"), [""; 0]);
    assert_eq!(world.relay.count("register"), 2);
    let bob = world.user("bob");
    bob.probe.client.hold(bob.reactor.context(), false);
    world.run_seconds(1);
    assert_eq!(world.heard("bob"), ["alice: hi"]);
}

#[test]
fn rosters_are_told_and_bring_back_who_was_absent() {
    let mut world = World::new();
    world.join_as("alice", "alice", |settings| settings.roster = RosterMode::Delta);
    world.join("bob");
    world.run_seconds(1);
    world.say("alice", "bob", "one");
    world.run_seconds(1);
    let pins = world.kill("bob");
    world.say("alice", "bob", "two");
    world.run_seconds(40); // the pauses have grown
    world.events("alice");
    world.join_with("bob", "bob", pins, |_| {});
    world.run(Duration::from_millis(100));
    let roster = |joined: &[&str], whole: bool| json!({"action": "roster", "joined": joined, "left": [], "whole": whole});
    world.inject("alice", &roster(&["alice"], true));
    world.inject("alice", &roster(&["bob", "carol"], false));
    world.run(Duration::from_millis(500));
    let events = world.events("alice");
    assert_eq!(events[0], Event::Users { users: vec!["alice".into()] });
    assert_eq!(events[1], Event::Joined { users: vec!["bob".into(), "carol".into()] });
    assert_eq!(delivered(&events), ["two"]);
    assert!(world.user("alice").probe.client.users().expect("told").eq(["alice", "bob", "carol"]));
}

#[test]
fn a_message_that_this_relay_does_not_take_fails() {
    let mut world = World::new();
    world.relay.max_frame = 4096;
    world.join("alice");
    world.join("bob");
    world.run_seconds(1);
    let long = "x".repeat(5000);
    world.user("alice").probe.client.say("bob", &long, None).unwrap();
    world.say("alice", "bob", "short");
    world.run_seconds(1);
    let events = world.events("alice");
    assert_eq!(failures(&events), [Failure::TooLong]);
    assert_eq!(delivered(&events), ["short"]);
    assert_eq!(cautions(&world.events("bob")), [Caution::Replay; 0]);
}
