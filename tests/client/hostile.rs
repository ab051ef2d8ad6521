//! A relay, or a peer, that plays tricks: nothing wrong is shown, and the next good message comes
//! through.

use std::time::Duration;

use sealwax::client::{Caution, Event};
use sealwax::crypto::{IdentityVault, Names, open_session};
use sealwax::limits::{WAITING_FRAMES, WAITING_OVERHEAD, WAITING_STRANGER_BYTES};
use sealwax::wire::{Incoming, Reply, base64};
use serde_json::{Value, json};

use crate::evil::Verdict;
use crate::world::{START_MS, World, cautions, delivered, identity, public};

/// The last forwarded frame with this action from this user.
fn last(world: &World, action: &str, from: &str) -> Value {
    let is_it = |frame: &&Value| frame["action"] == action && frame["from"] == from;
    world.relay.forwarded.iter().rev().find(is_it).expect("such a frame").clone()
}

/// Alice has written to bob, who has shown it.
fn talking() -> World {
    let mut world = World::of_two();
    world.say("alice", "bob", "hi");
    world.run_seconds(1);
    assert_eq!(world.heard("bob"), ["alice: hi"]);
    world.events("bob");
    world
}

/// The next good message comes through, and nothing else has been shown.
fn goes_on(world: &mut World) {
    world.say("alice", "bob", "next");
    world.run_seconds(4);
    assert_eq!(world.heard("bob"), ["alice: next"]);
}

/// `count` sessions offered by the key of `from` to the user `to`, made five minutes ahead and
/// later.
pub(crate) fn offers(world: &World, from: &str, to: &str, count: u64) -> Vec<Value> {
    let answer = world.relay.pubkey_of(to).to_string();
    let Ok(Incoming::Reply(Reply::Pubkey { prekey: Some(prekey), .. })) =
        Incoming::parse(answer.as_bytes())
    else {
        panic!("a version-2 user");
    };
    let vault = IdentityVault::new(identity(from));
    let offer = |number| {
        let (names, created) = (Names { from, to }, START_MS + 300_000 + number);
        let (_, key) = open_session(&vault, names, &public(to), &prekey, created).expect("sealed");
        json!({"action": "send_key", "to": to, "from": from, "v": 2, "key": key})
    };
    (1..=count).map(offer).collect()
}

#[test]
fn each_changed_bit_of_a_message_is_noticed() {
    let mut world = talking();
    world.say("alice", "bob", "secret");
    let mut sealed = None;
    world.relay.fate = Box::new(|_| Verdict::Swallow);
    world.run(Duration::from_millis(100));
    world.relay.fate = Box::new(|_| Verdict::Forward);
    sealed.replace(last(&world, "message", "alice"));
    let sealed = sealed.unwrap();
    let content = base64::decode(sealed["content"].as_str().unwrap()).unwrap();
    // Every byte of the head, and some of the rest.
    for place in (0..26).chain((26..content.len()).step_by(37)) {
        let mut changed = content.clone();
        changed[place] ^= 1 << (place % 8);
        let mut frame = sealed.clone();
        frame["content"] = base64::encode(&changed).into();
        world.inject("bob", &frame);
        world.run(Duration::ZERO);
        assert_eq!(cautions(&world.events("bob")).len(), 1, "byte {place}");
        assert_eq!(world.heard("bob"), [""; 0], "byte {place}");
    }
    world.inject("bob", &sealed);
    world.run(Duration::ZERO);
    assert_eq!(world.heard("bob"), ["alice: secret"]);
}

#[test]
fn a_message_is_not_taken_twice_nor_from_another() {
    let mut world = talking();
    let frame = last(&world, "message", "alice");
    let mut cases = vec![(frame.clone(), Caution::Replay)];
    let mut from_carol = frame.clone();
    from_carol["from"] = "carol".into();
    cases.push((from_carol, Caution::UnknownSession));
    let mut reflected = last(&world, "message", "bob");
    reflected["to"] = "bob".into();
    cases.push((reflected.clone(), Caution::FromOurselves));
    reflected["from"] = "alice".into();
    cases.push((reflected, Caution::UnknownSession));
    let mut original = frame.clone();
    original.as_object_mut().unwrap().remove("v");
    cases.push((original, Caution::BadFrame));
    let mut misled = frame.clone();
    misled["to"] = "carol".into();
    cases.push((misled, Caution::BadFrame));
    let mut short = frame;
    short["content"] = "AgA".into();
    cases.push((short, Caution::Malformed));
    for (frame, caution) in cases {
        world.inject("bob", &frame);
        world.run(Duration::ZERO);
        assert_eq!(cautions(&world.events("bob")), [caution], "{frame}");
    }
    goes_on(&mut world);
}

#[test]
fn a_session_is_not_taken_twice_nor_forged_nor_redirected() {
    let mut world = talking();
    let frame = last(&world, "send_key", "alice");
    let mut forged = offers(&world, "carol", "bob", 1).remove(0);
    forged["from"] = "alice".into();
    let bytes = base64::decode(frame["key"].as_str().unwrap()).unwrap();
    let with = |place: usize| {
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        json!({"action": "send_key", "to": "bob", "from": "alice", "v": 2,
               "key": base64::encode(&changed)})
    };
    let cases = [
        (frame, Caution::StaleSession),
        (forged, Caution::WrongSender),
        (with(3), Caution::Malformed),
        // The time: high bytes are in the future, the low one is past the last session's or not.
        (with(20), Caution::ClockSkew),
        (with(28), Caution::WrongSender),
        (with(60), Caution::WrongRecipient),
    ];
    for (frame, caution) in cases {
        world.inject("bob", &frame);
        world.run(Duration::ZERO);
        assert_eq!(cautions(&world.events("bob")), [caution], "{frame}");
    }
    let mut renewed = offers(&world, "alice", "bob", 1).remove(0);
    renewed["key"] = renewed["key"].as_str().unwrap()[..400].into();
    world.inject("bob", &renewed);
    world.run(Duration::ZERO);
    assert_eq!(cautions(&world.events("bob")), [Caution::Malformed]);
    goes_on(&mut world);
}

#[test]
fn floods_of_sessions_are_computed_only_as_far_as_the_tokens_go() {
    let mut world = talking();
    world.run_seconds(10);
    let offers = offers(&world, "alice", "bob", 30);
    let inject = |world: &mut World, offers: &[Value]| {
        for offer in offers {
            world.inject("bob", offer);
        }
        world.run(Duration::ZERO);
        cautions(&world.events("bob"))
    };
    // Four at once of one peer, and another one a second later.
    assert_eq!(inject(&mut world, &offers[..10]), [Caution::TooManySessions; 6]);
    world.run_seconds(1);
    assert_eq!(inject(&mut world, &offers[10..15]), [Caution::TooManySessions; 4]);
    // The same where bob has written to her: it does not use up what all have whom he knows.
    world.say("bob", "alice", "hello");
    world.run_seconds(20);
    world.events("bob");
    assert_eq!(inject(&mut world, &offers[15..]), [Caution::TooManySessions; 11]);
}

#[test]
fn clocks_that_differ_too_much_are_named() {
    let mut world = talking();
    world.user("alice").ahead_ms.set(11 * 60 * 1000);
    world.cut();
    world.run_seconds(1);
    world.say("alice", "bob", "from the future");
    world.run_seconds(1);
    assert_eq!(cautions(&world.events("bob")), [Caution::ClockSkew, Caution::UnknownSession]);
    world.user("alice").ahead_ms.set(0); // and her next session is still newer than the last
    world.run_seconds(100);
    assert_eq!(world.heard("bob"), ["alice: from the future"]);
}

#[test]
fn what_comes_before_the_senders_key_waits_for_it_in_order() {
    let mut world = World::of_two();
    world.relay.pubkeys.insert("alice".to_owned(), Value::Null);
    for text in ["one", "two", "three"] {
        world.say("alice", "bob", text);
    }
    world.run_seconds(2);
    assert_eq!(world.heard("bob"), [""; 0]);
    world.relay.pubkeys.clear();
    let answer = world.relay.pubkey_of("alice");
    world.inject("bob", &answer);
    world.run(Duration::from_millis(500));
    assert_eq!(world.heard("bob"), ["alice: one", "alice: two", "alice: three"]);
    assert_eq!(delivered(&world.events("alice")), ["one", "two", "three"]);
}

#[test]
fn who_has_no_key_is_not_waited_for_without_bounds() {
    let mut world = World::of_two();
    world.relay.pubkeys.insert("alice".to_owned(), Value::Null);
    world.say("alice", "bob", "hi");
    world.run_seconds(1);
    let frame = last(&world, "message", "alice");
    for _ in 0..WAITING_FRAMES {
        world.inject("bob", &frame);
    }
    world.run_seconds(1);
    let dropped = cautions(&world.events("bob"));
    assert!(dropped.iter().all(|code| *code == Caution::NoKey));
    let most = WAITING_STRANGER_BYTES / (WAITING_OVERHEAD + 256); // each takes more than that
    let kept = WAITING_FRAMES + 2 - dropped.len();
    assert!((2..=most).contains(&kept), "{kept} wait");
    world.run_seconds(5);
    assert!(cautions(&world.events("bob")).iter().all(|code| *code == Caution::NoKey));
    assert_eq!(world.heard("bob"), [""; 0]);
}

#[test]
fn invented_senders_leave_nothing_behind() {
    let mut world = talking();
    let offer = last(&world, "send_key", "alice");
    for number in 0..500 {
        let mut frame = offer.clone();
        frame["from"] = format!("user{number}").into();
        world.inject("bob", &frame);
        if number % 20 == 0 {
            world.run(Duration::ZERO);
        }
    }
    world.run_seconds(1);
    let told = cautions(&world.events("bob"));
    assert!(told.iter().all(|code| *code == Caution::NoKey));
    goes_on(&mut world);
}

#[test]
fn frames_that_make_no_sense_are_dropped_and_named() {
    let mut world = talking();
    let frames = [
        r#"{"action":"message"}"#,
        r#"{"action":"message","to":"bob","from":"No Name","content":"","v":2}"#,
        r#"{"action":"registered","name":"bob","fp":"x","limits":{}}"#,
        r#"{"action":"error","code":1,"detail":""}"#,
        r#"{"a":{"a":{"a":{"a":{"a":{"a":{"a":{"a":{}}}}}}}}}"#,
        r#"{"action":"\ud800"}"#,
        r#"{"action":"error","code":"odd","detail":"odd"}"#,
    ];
    for frame in frames {
        world.relay.tell_bytes(world.relay_loop.context(), "bob", frame.as_bytes());
        world.run(Duration::ZERO);
        let told = cautions(&world.events("bob"));
        assert!(matches!(told[..], [Caution::BadFrame | Caution::Refused]), "{frame}: {told:?}");
    }
    for frame in [r#"{"action":"news"}"#, r#"{"action":"pong"}"#] {
        world.relay.tell_bytes(world.relay_loop.context(), "bob", frame.as_bytes());
    }
    world.run(Duration::ZERO);
    assert_eq!(world.events("bob"), []);
    goes_on(&mut world);
}

#[test]
fn hints_make_us_ask_but_not_all_the_time() {
    let mut world = talking();
    world.relay.log.clear();
    let hint = json!({"action": "relayed", "id": "1000000", "to": "bob", "prekey": 7});
    for _ in 0..100 {
        world.inject("alice", &hint);
        world.run(Duration::from_millis(100));
    }
    assert!((1..=3).contains(&world.relay.count("get_pubkey")));
    assert_eq!(world.relay.count("send_key"), 0);
    goes_on(&mut world);
}

#[test]
fn refusals_that_are_about_nothing_change_nothing() {
    let mut world = talking();
    for code in ["unknown_user", "queue_full", "not_v2", "bad_frame"] {
        for about in ["to", "target"] {
            let mut error = json!({"action": "error", "code": code, "detail": "", "id": "1"});
            error[about] = "bob".into();
            world.inject("alice", &error);
        }
    }
    world.run_seconds(1);
    let told = world.events("alice");
    assert!(!told.iter().any(|event| matches!(event, Event::Failed { .. })));
    goes_on(&mut world);
}
