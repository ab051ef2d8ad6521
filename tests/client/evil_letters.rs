//! A relay that plays with letters: it repeats, swaps, withholds and invents them, lies about what
//! it has stored and how much waits. Nothing wrong is shown, nothing twice, nothing counts as
//! delivered that was not confirmed, and every loss is told.

use std::time::Duration;

use sealwax::client::{Caution, Event, Failure};
use sealwax::crypto::{Body, IdentityVault, LetterKeyPair, Mid, Names, seal_letter};
use sealwax::wire::{LetterKey, TakeMode, base64};
use serde_json::{Value, json};

use crate::evil::Verdict;
use crate::letters::{
    Kept, bob_is_away, box_of, heard_all, held, join, numbered, say_all, stored, world,
};
use crate::world::{START_MS, World, cautions, delivered, failures, identity, public};

/// What waits for `name` at the relay, in order.
fn waiting(world: &mut World, name: &str) -> Vec<Value> {
    let boxes = world.relay.boxes.as_mut().expect("boxes");
    boxes.of(name).letters.values().cloned().collect()
}

/// The key that the relay hands out for letters to `name`.
fn letter_key<'a>(world: &'a mut World, name: &str) -> &'a mut Value {
    &mut world.relay.boxes.as_mut().expect("boxes").of(name).key
}

/// Gives bob this letter under this number.
fn deliver(world: &mut World, letter: &Value, number: u64) {
    let mut letter = letter.clone();
    letter["box"] = number.into();
    world.inject("bob", &letter);
}

fn count(events: &[Event], is_it: impl Fn(&Event) -> bool) -> usize {
    events.iter().filter(|event| is_it(event)).count()
}

/// A letter with which carol, who is a user like others, tells alice anything.
fn letter_of_carol(world: &mut World, mid: Mid, body: &Body) -> Value {
    let key = letter_key(world, "alice").to_string();
    let key = LetterKey::parse(serde_json::from_str(&key).expect("JSON")).expect("a key");
    let vault = IdentityVault::new(identity("carol"));
    let names = Names { from: "carol", to: "alice" };
    let content = seal_letter(&vault, names, &public("alice"), &key, START_MS + 60_000, mid, body);
    let kind = u8::from(matches!(body, Body::Receipt(_)));
    json!({"action": "letter", "v": 2, "to": "alice", "from": "carol", "id": base64::encode(&mid),
           "kind": kind, "key_id": key.id, "content": content.expect("sealed"), "box": 1})
}

/// Bob trusted another key than alice's, holds three letters of hers for that, and has left.
fn bob_holds_three() -> (World, Kept) {
    let mut world = world();
    join(&mut world, "bob", Kept::default());
    join(&mut world, "alice", Kept::default());
    let carol = public("carol").fingerprint();
    world.user("bob").probe.client.trust("alice", Some(carol)).expect("memory");
    let bob = world.kill("bob");
    say_all(&mut world, 0..3);
    world.run_seconds(1);
    join(&mut world, "bob", bob);
    world.run_seconds(2);
    assert_eq!(world.user("bob").letters.kept().parked.len(), 3);
    let bob = world.kill("bob");
    (world, bob)
}

#[test]
fn what_was_parked_stays_parked_when_the_key_has_changed_once_more() {
    let (mut world, bob) = bob_holds_three();
    let alice = public("alice").fingerprint();
    // Bob accepts the key of the letters, and the relay hands out another one.
    let mut other = world.relay.pubkey_of("alice");
    other["pubkey"] = public("carol").to_pem().into();
    world.relay.pubkeys.insert("alice".to_owned(), other);
    join(&mut world, "bob", bob);
    world.user("bob").probe.client.trust("alice", Some(alice)).expect("memory");
    world.run_seconds(20);
    assert_eq!(world.heard("bob"), [""; 0]);
    let events = world.events("bob");
    assert!(cautions(&events).contains(&Caution::KeyChanged));
    assert_eq!(held(&events), [(3, Caution::KeyChanged)], "at the start");
    let again = |event: &Event| matches!(event, Event::Warning { detail, .. } if detail.contains("has to wait"));
    assert!(!events.iter().any(again), "each letter is told once: {events:?}");
    let bob = world.kill("bob");
    world.relay.pubkeys.clear();
    join(&mut world, "bob", bob);
    world.run_seconds(10);
    heard_all(&mut world, 0..3);
    assert_eq!(world.user("bob").letters.kept().parked, []);
}

/// `send` shows nothing, and what it does not show it must not confirm.
#[test]
fn a_parked_text_waits_for_a_client_that_takes_texts() {
    let (mut world, mut bob) = bob_holds_three();
    let alice = public("alice").fingerprint();
    for mode in [Some(TakeMode::Receipts), None] {
        world.join_with("bob", "bob", bob, |settings| settings.letterbox = mode);
        world.user("bob").probe.client.trust("alice", Some(alice)).expect("memory");
        world.run_seconds(10);
        assert_eq!(world.heard("bob"), [""; 0], "{mode:?}");
        bob = world.kill("bob");
        assert_eq!(world.kept_letters("bob").kept().parked.len(), 3, "{mode:?}");
    }
    join(&mut world, "bob", bob);
    world.run_seconds(10);
    heard_all(&mut world, 0..3);
}

#[test]
fn a_parked_letter_keeps_its_key_and_is_dropped_aloud_when_it_is_too_old() {
    let mut world = world();
    join(&mut world, "bob", Kept::default());
    join(&mut world, "alice", Kept::default());
    let (alice, carol) = (public("alice").fingerprint(), public("carol").fingerprint());
    world.user("bob").probe.client.trust("alice", Some(carol)).expect("memory");
    let mut bob = world.kill("bob");
    say_all(&mut world, 0..2);
    world.run_seconds(1);
    // Acknowledged, so that none waits at the relay; and the next days bring newer keys.
    for _ in 0..3 {
        join(&mut world, "bob", bob);
        world.run_seconds(11 * 60);
        bob = world.kill("bob");
        world.sleep_days(2);
    }
    assert_eq!((box_of(&mut world, "bob"), world.kept_letters("bob").kept().parked.len()), (0, 2));
    join(&mut world, "bob", bob);
    world.user("bob").probe.client.trust("alice", Some(alice)).expect("memory");
    world.run_seconds(2);
    heard_all(&mut world, 0..2);
    world.run_seconds(11 * 60);
    assert_eq!(world.user("bob").letters.kept().keys.len(), 1, "and then its key goes");

    world.user("bob").probe.client.trust("alice", Some(carol)).expect("memory");
    let bob = world.kill("bob");
    say_all(&mut world, 2..4);
    world.run_seconds(1);
    join(&mut world, "bob", bob);
    world.run_seconds(2);
    let bob = world.kill("bob");
    world.sleep_days(16);
    join(&mut world, "bob", bob);
    world.run_seconds(11 * 60);
    let events = world.events("bob");
    let old = cautions(&events).into_iter().filter(|code| *code == Caution::StaleLetter).count();
    assert_eq!(old, 2, "{events:?}");
    let kept = world.user("bob").letters.kept();
    assert_eq!((kept.parked.len(), kept.keys.len()), (0, 1));
}

#[test]
fn that_the_box_is_empty_is_told_once_however_often_the_relay_says_so() {
    let (mut world, bob) = bob_is_away();
    say_all(&mut world, 0..2);
    world.run_seconds(1);
    join(&mut world, "bob", bob);
    let letter = json!({"action": "letter", "v": 2, "to": "bob", "from": "alice", "id": "7",
                        "kind": 0, "key_id": 1, "content": "AA", "box": 9});
    for _ in 0..500 {
        world.inject("bob", &json!({"action": "letterbox_empty"}));
        world.inject("bob", &letter); // one of no form, which is acknowledged at once
        world.run_seconds(0);
    }
    world.run_seconds(2);
    let events = world.events("bob");
    assert_eq!(count(&events, |event| *event == Event::LetterboxEmpty {}), 1);
    heard_all(&mut world, 0..2);
    // And once more when something came.
    world.say("alice", "bob", "2");
    world.run_seconds(10);
    heard_all(&mut world, 2..3);
}

#[test]
fn no_more_is_taken_than_can_be_written_down() {
    let (mut world, bob) = bob_is_away();
    say_all(&mut world, 0..1);
    world.run_seconds(1);
    join(&mut world, "bob", bob);
    heard_all(&mut world, 0..1);
    world.user("bob").letters.fill(true);
    let letter = json!({"action": "letter", "v": 2, "to": "bob", "from": "alice", "id": "7",
                        "kind": 0, "key_id": 1, "content": "AA"});
    // What cannot be written holds the acknowledgements of all else back.
    world.say("alice", "bob", "again");
    world.run_seconds(2);
    for number in 100..400 {
        deliver(&mut world, &letter, number);
    }
    world.run_seconds(1);
    let told = cautions(&world.events("bob"));
    let of = |code| told.iter().filter(|told| **told == code).count();
    assert!(of(Caution::Malformed) <= 16, "{told:?}");
    assert!(of(Caution::BadFrame) >= 284, "{told:?}");
}

#[test]
fn one_letter_under_many_numbers_is_shown_once_over_restarts_too() {
    let (mut world, bob) = bob_is_away();
    say_all(&mut world, 0..2);
    world.run_seconds(1);
    let letters = waiting(&mut world, "bob");
    join(&mut world, "bob", bob);
    // At once, and before anything is shown; the highest and the lowest number among them.
    for (number, letter) in [(0, 0), (u64::MAX, 0), (7, 1), (7, 0), (8, 1)] {
        deliver(&mut world, &letters[letter], number);
    }
    world.run_seconds(3);
    heard_all(&mut world, 0..2);
    let bob = world.crash("bob");
    join(&mut world, "bob", bob);
    for number in 0..8_u8 {
        deliver(&mut world, &letters[usize::from(number) % 2], number.into());
    }
    world.run_seconds(3);
    assert_eq!(world.heard("bob"), [""; 0]);
    let numbers: Vec<_> = world.relay.log.iter().filter_map(|it| it["box"].as_u64()).collect();
    assert!(numbers.contains(&0) && numbers.contains(&u64::MAX), "{numbers:?}");
    assert_eq!(delivered(&world.events("alice")), numbered(0..2));
}

#[test]
fn a_letter_of_another_box_or_with_another_head_is_not_shown() {
    let (mut world, bob) = bob_is_away();
    join(&mut world, "carol", Kept::default());
    let carol = world.kill("carol");
    world.say("alice", "carol", "for carol");
    world.say("alice", "bob", "for bob");
    world.run_seconds(2);
    let for_carol = waiting(&mut world, "carol").remove(0);
    let for_bob = waiting(&mut world, "bob").remove(0);
    world.relay.boxes.as_mut().expect("boxes").of("bob").letters.clear();
    join(&mut world, "bob", bob);
    join(&mut world, "carol", carol);
    world.events("bob");
    let changed = |letter: &Value, member: &str, value: Value| {
        let mut letter = letter.clone();
        letter[member] = value;
        letter
    };
    let other_id = base64::encode(&[7; 16]);
    let wrong = [
        changed(&for_carol, "to", "bob".into()),
        changed(&for_bob, "from", "carol".into()),
        changed(&for_bob, "kind", 1.into()),
        changed(&for_bob, "key_id", 1.into()),
        changed(&for_bob, "id", other_id.into()),
        changed(&for_bob, "v", 1.into()),
    ];
    for (letter, number) in wrong.iter().zip(10..) {
        deliver(&mut world, letter, number);
        world.run_seconds(6);
    }
    assert_eq!(world.heard("bob"), [""; 0]);
    let warned = cautions(&world.events("bob"));
    assert_eq!(warned.len(), wrong.len(), "{warned:?}");
    // The one of carol's name was parked: it is of a key that is not carol's.
    deliver(&mut world, &for_bob, 20);
    world.run_seconds(1);
    assert_eq!(world.heard("bob"), ["alice: for bob"]);
    assert_eq!(world.heard("carol"), ["alice: for carol"]);
}

#[test]
fn a_letter_that_nobody_asked_for_is_refused() {
    let (mut world, bob) = bob_is_away();
    world.say("alice", "bob", "0");
    world.run_seconds(1);
    let letter = waiting(&mut world, "bob").remove(0);
    world.join_with("bob", "bob", bob, |settings| settings.letterbox = None);
    world.run_seconds(1);
    deliver(&mut world, &letter, 1);
    world.inject("bob", &json!({"action": "letterbox", "waiting": []}));
    world.inject("bob", &json!({"action": "letterbox_empty"}));
    world.run_seconds(1);
    let events = world.events("bob");
    assert_eq!(cautions(&events), [Caution::BadFrame]);
    assert_eq!(count(&events, |event| *event == Event::LetterboxEmpty {}), 0);
    assert_eq!((world.heard("bob").len(), world.relay.count("ack")), (0, 0));
}

#[test]
fn stored_of_what_was_not_left_says_nothing() {
    let (mut world, _bob) = bob_is_away();
    world.relay.letter_fate = Box::new(|_| Verdict::Swallow);
    world.say("alice", "bob", "0");
    world.run_seconds(1);
    let letter = world.relay.log.iter().find(|frame| frame["action"] == "letter").cloned();
    let mid = letter.expect("a letter")["id"].clone();
    let stored_as = |id: &Value, to: &str| json!({"action": "stored", "id": id, "to": to});
    for frame in [stored_as(&base64::encode(&[7; 16]).into(), "bob"), stored_as(&mid, "carol")] {
        world.inject("alice", &frame);
    }
    world.run_seconds(1);
    assert_eq!(stored(&world.events("alice")), [""; 0]);
    for _ in 0..3 {
        world.inject("alice", &stored_as(&mid, "bob"));
    }
    world.run_seconds(1);
    let events = world.events("alice");
    assert_eq!((stored(&events), delivered(&events).len()), (vec!["0"], 0));
    // It had not stored it, and nobody confirms it: that is told, once.
    let alice = world.kill("alice");
    world.sleep_days(16);
    join(&mut world, "alice", alice);
    let is_told = |event: &Event| matches!(event, Event::Unconfirmed { .. });
    assert_eq!(count(&world.events("alice"), is_told), 1);
}

#[test]
fn a_receipt_counts_only_from_whom_it_is_due_and_for_what_was_sent() {
    let (mut world, _bob) = bob_is_away();
    world.say("alice", "bob", "0");
    world.run_seconds(1);
    let id = waiting(&mut world, "bob").remove(0)["id"].clone();
    let mid: Mid = base64::decode_array(id.as_str().expect("a text")).expect("an id");
    let carol = public("carol").to_pem();
    let answer = json!({"action": "pubkey", "from": "carol", "pubkey": carol, "v": 2,
                        "away": true});
    world.relay.pubkeys.insert("carol".to_owned(), answer);
    let receipts = Body::Receipt(vec![mid, [9; 16]]);
    let receipt = letter_of_carol(&mut world, [3; 16], &receipts);
    world.inject("alice", &receipt);
    world.run_seconds(10);
    let events = world.events("alice");
    assert_eq!(delivered(&events), [""; 0], "{events:?}");
    assert_eq!(cautions(&events), [], "it is a good letter, and says nothing");
    assert_eq!(world.user("alice").letters.kept().waiting.len(), 1);
}

#[test]
fn keys_that_are_not_bobs_newest_are_sealed_nothing_to() {
    let (mut world, _bob) = bob_is_away();
    let true_key = letter_key(&mut world, "bob").clone();
    let vault = IdentityVault::new(identity("carol"));
    let of_carol = LetterKeyPair::new(&vault, START_MS + 60_000).publish(&vault, "bob").to_json();
    let of_carol: Value = serde_json::from_str(&of_carol).expect("JSON");
    let mut unsigned = true_key.clone();
    unsigned["id"] = (unsigned["id"].as_u64().expect("an id") ^ 1).into();
    for wrong in [of_carol, unsigned] {
        *letter_key(&mut world, "bob") = wrong;
        world.say("alice", "bob", "secret");
        world.run_seconds(5);
        let events = world.events("alice");
        assert_eq!(failures(&events), [Failure::BadPrekey], "{events:?}");
    }
    assert_eq!(world.relay.count("letter"), 0);
    *letter_key(&mut world, "bob") = true_key;
    world.say("alice", "bob", "0");
    world.run_seconds(5);
    assert_eq!(stored(&world.events("alice")), ["0"]);
}

#[test]
fn a_count_that_lies_costs_letters_and_each_is_told() {
    let (mut world, bob) = bob_is_away();
    say_all(&mut world, 0..3);
    world.run_seconds(1);
    // The relay withholds them, and says that there are none.
    let letters = std::mem::take(&mut world.relay.boxes.as_mut().expect("boxes").of("bob").letters);
    world.sleep_days(1);
    join(&mut world, "bob", bob);
    world.run_seconds(11 * 60);
    assert_eq!(world.user("bob").letters.kept().keys.len(), 1, "the older one is erased");
    for (number, letter) in &letters {
        deliver(&mut world, letter, *number);
    }
    world.run_seconds(2);
    assert_eq!(world.heard("bob"), [""; 0]);
    let told = cautions(&world.events("bob"));
    assert_eq!(told, [Caution::SessionRefused; 3]);
    assert_eq!(delivered(&world.events("alice")), [""; 0], "nor is any confirmed");
}

#[test]
fn a_disk_of_the_relay_that_takes_no_newer_key_does_not_end_the_delivery() {
    let (mut world, bob) = bob_is_away();
    say_all(&mut world, 0..12); // of a stranger: 8 at once, then 5 a second
    world.run_seconds(2);
    world.join_with("bob", "bob", bob, |settings| {
        settings.letterbox = Some(TakeMode::All);
    });
    world.run(Duration::from_millis(100));
    let refused = json!({"action": "error", "code": "store_failed", "detail": "full"});
    world.inject("bob", &refused);
    world.run_seconds(10);
    heard_all(&mut world, 0..12);
    let told = cautions(&world.events("bob"));
    assert_eq!(told, [Caution::Refused]);
    assert_eq!(world.relay.count("letters"), 3, "one for each start");
}

#[test]
fn a_peer_that_comes_and_goes_with_each_answer_is_told_each_text_once() {
    let (mut world, bob) = bob_is_away();
    let away = world.relay.pubkey_of("bob");
    join(&mut world, "bob", bob);
    let before = world.relay.count("get_pubkey");
    for (number, text) in numbered(0..20).iter().enumerate() {
        if number % 2 == 0 {
            world.relay.pubkeys.insert("bob".to_owned(), away.clone());
        } else {
            world.relay.pubkeys.remove("bob");
        }
        world.say("alice", "bob", text);
        world.inject("alice", &json!({"action": "relayed", "id": "1", "to": "bob", "prekey": 1}));
        world.run_seconds(2);
    }
    world.run_seconds(20);
    heard_all(&mut world, 0..20);
    assert_eq!(delivered(&world.events("alice")).len(), 20);
    let asked = world.relay.count("get_pubkey") - before;
    assert!(asked <= 80, "{asked} questions in 60 s");
}

#[test]
fn a_prekey_out_of_which_ml_kem_was_taken_is_refused_and_the_true_one_is_taken() {
    let mut world = world();
    for name in ["bob", "alice"] {
        join(&mut world, name, Kept::default());
    }
    let mut answer = world.relay.pubkey_of("bob");
    let prekey = answer["prekey"].as_object_mut().expect("a prekey");
    assert!(prekey.remove("mlkem").is_some());
    world.relay.pubkeys.insert("bob".to_owned(), answer);
    world.say("alice", "bob", "0");
    world.run_seconds(5);
    assert_eq!(failures(&world.events("alice")), [Failure::BadPrekey]);
    assert_eq!((world.relay.count("send_key"), world.relay.count("letter")), (0, 0));
    world.relay.pubkeys.clear();
    world.say("alice", "bob", "1");
    world.run_seconds(5);
    assert_eq!(world.heard("bob"), ["alice: 1"]);
}

#[test]
fn refusals_without_end_are_waited_for_at_a_pace() {
    for code in ["stale_key", "mailbox_full", "store_failed"] {
        let (mut world, _bob) = bob_is_away();
        world.relay.letter_fate = Box::new(move |_| Verdict::Refuse(code));
        say_all(&mut world, 0..20);
        world.run_seconds(60);
        let (letters, asked) = (world.relay.count("letter"), world.relay.count("get_pubkey"));
        // Each time as many as may be on their way.
        assert!(letters <= 16 * 30, "{code}: {letters} letters in a minute");
        assert!(asked <= 30, "{code}: {asked} questions in a minute");
        let events = world.events("alice");
        assert_eq!((stored(&events).len(), failures(&events).len()), (0, 0), "{code}: they wait");
    }
}

#[test]
fn a_letter_that_is_given_up_holds_nothing_back_any_more() {
    let (mut world, bob) = bob_is_away();
    world.say("alice", "bob", "0");
    world.run_seconds(1);
    world.relay.boxes.as_mut().expect("boxes").of("bob").letters.clear(); // the relay forgets it
    world.sleep_days(16);
    join(&mut world, "bob", bob);
    world.cut();
    world.run_seconds(5);
    let is_told = |event: &Event| matches!(event, Event::Unconfirmed { .. });
    assert_eq!(count(&world.events("alice"), is_told), 1);
    assert_eq!(world.user("alice").probe.client.pending_counts().unconfirmed, 0);
    let before = world.relay.count("letter");
    world.say("alice", "bob", "1");
    world.run_seconds(5);
    assert_eq!(world.heard("bob"), ["alice: 1"]);
    assert_eq!(world.relay.count("letter"), before, "it went in a session");
}
