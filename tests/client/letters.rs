//! Letters for who is away: left, taken, confirmed, on whatever day; and a relay that plays with
//! them.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use sealwax::client::{
    Caution, Event, Failure, FileLetters, LetterBook, Loss, MemoryPins, Progress, RelayPin, Trust,
    Way,
};
use sealwax::crypto::RelayKey;
use sealwax::home::Home;
use sealwax::wire::{TakeMode, base64};
use serde_json::{Value, json};

use crate::boxes::Boxes;
use crate::evil::Verdict;
use crate::world::{LETTERS, World, cautions, delivered, failures, public};

const HOUR_MS: u64 = 3_600_000;

pub(crate) type Kept = (MemoryPins, MemoryPins);

/// A relay that keeps letters.
pub(crate) fn world() -> World {
    let mut world = World::new();
    world.relay.boxes = Some(Boxes::default());
    world
}

/// A user who takes all letters, with what it knew.
pub(crate) fn join(world: &mut World, name: &str, kept: Kept) {
    join_strict(world, name, kept, false);
}

/// As [`join`], without the second that it has to be told what waits.
fn come(world: &mut World, name: &str, kept: Kept) {
    world.join_with(name, name, kept, |settings| settings.letterbox = Some(TakeMode::All));
}

fn join_strict(world: &mut World, name: &str, kept: Kept, strict: bool) {
    world.join_with(name, name, kept, |settings| {
        (settings.letterbox, settings.strict) = (Some(TakeMode::All), strict);
    });
    world.run_seconds(1);
}

/// Alice and bob have been there; bob is away now.
pub(crate) fn bob_is_away() -> (World, Kept) {
    let mut world = world();
    join(&mut world, "bob", Kept::default());
    join(&mut world, "alice", Kept::default());
    let bob = world.kill("bob");
    world.run_seconds(1);
    (world, bob)
}

pub(crate) fn stored(events: &[Event]) -> Vec<&str> {
    let stored = events.iter().filter_map(|event| match event {
        Event::Stored { id, .. } => Some(id.as_str()),
        _ => None,
    });
    stored.collect()
}

/// How many letters are told to be held, and why.
pub(crate) fn held(events: &[Event]) -> Vec<(usize, Caution)> {
    let held = events.iter().filter_map(|event| match event {
        Event::LettersHeld { count, reason, .. } => Some((*count, *reason)),
        _ => None,
    });
    held.collect()
}

pub(crate) fn box_of(world: &mut World, name: &str) -> usize {
    world.relay.boxes.as_mut().expect("boxes").of(name).letters.len()
}

/// Letters with texts that the relay was given.
fn texts_left(world: &World) -> usize {
    let is_text = |frame: &&Value| frame["action"] == "letter" && frame["kind"] == 0;
    world.relay.log.iter().filter(is_text).count()
}

pub(crate) fn numbered(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

pub(crate) fn say_all(world: &mut World, range: std::ops::Range<usize>) {
    for text in numbered(range) {
        world.say("alice", "bob", &text);
    }
}

pub(crate) fn heard_all(world: &mut World, range: std::ops::Range<usize>) {
    let expected: Vec<_> = range.map(|number| format!("alice: {number}")).collect();
    assert_eq!(world.heard("bob"), expected);
}

#[test]
fn what_is_left_waits_for_days_comes_first_and_is_confirmed() {
    let (mut world, bob) = bob_is_away();
    say_all(&mut world, 0..20);
    world.run_seconds(2);
    let events = world.events("alice");
    assert_eq!(stored(&events), numbered(0..20));
    assert_eq!((delivered(&events).len(), box_of(&mut world, "bob")), (0, 20));
    let away = Event::Progress(Progress::Away { name: "bob".to_owned() });
    assert_eq!(events.iter().filter(|event| **event == away).count(), 1);
    world.sleep_days(13);
    join(&mut world, "bob", bob);
    world.run_seconds(5);
    let heard = world.user("bob").probe.heard.clone();
    assert!(heard.iter().all(|heard| matches!(heard.way, Way::Letter { .. })), "{heard:?}");
    heard_all(&mut world, 0..20);
    assert!(world.events("bob").contains(&Event::LetterboxEmpty {}));
    assert_eq!(delivered(&world.events("alice")), numbered(0..20));
    assert_eq!((box_of(&mut world, "bob"), box_of(&mut world, "alice")), (0, 0));
    // And then they talk.
    world.say("alice", "bob", "20");
    world.run_seconds(5);
    let way = world.user("bob").probe.heard[0].way;
    assert!(matches!(way, Way::Session { .. }), "{way:?}");
    assert_eq!(delivered(&world.events("alice")), ["20"]);
}

#[test]
fn a_sender_that_has_left_is_told_when_it_comes_back() {
    let (mut world, bob) = bob_is_away();
    say_all(&mut world, 0..3);
    world.run_seconds(2);
    let alice = world.kill("alice");
    world.sleep_days(2);
    join(&mut world, "bob", bob);
    world.run_seconds(5);
    heard_all(&mut world, 0..3);
    assert_eq!(box_of(&mut world, "alice"), 1, "one letter confirms them all");
    let bob = world.kill("bob");
    world.sleep_days(2);
    join(&mut world, "alice", alice);
    world.run_seconds(5);
    let events = world.events("alice");
    assert_eq!(delivered(&events), numbered(0..3));
    let is_told_when =
        |event: &Event| matches!(event, Event::Delivered { stored_at, .. } if stored_at.is_none());
    assert!(!events.iter().any(is_told_when), "{events:?}");
    // Told once, and what was confirmed does not make the next text a letter.
    let alice = world.kill("alice");
    join(&mut world, "alice", alice);
    assert_eq!(delivered(&world.events("alice")).len(), 0);
    assert!(world.user("alice").letters.kept().waiting.is_empty());
    join(&mut world, "bob", bob);
    assert!(world.user("bob").letters.kept().owed.is_empty());
    assert_eq!(world.heard("bob"), [""; 0]);
}

#[test]
fn who_takes_receipts_only_leaves_texts_where_they_are() {
    let (mut world, bob) = bob_is_away();
    world.say("alice", "bob", "0");
    world.run_seconds(1);
    world.join_with("bob", "bob", bob, |settings| settings.letterbox = Some(TakeMode::Receipts));
    world.run_seconds(5);
    assert_eq!((world.heard("bob").len(), box_of(&mut world, "bob")), (0, 1));
    let bob = world.kill("bob");
    join(&mut world, "bob", bob);
    heard_all(&mut world, 0..1);
}

#[test]
fn without_a_letterbox_nothing_is_left_nor_taken() {
    let mut world = world();
    world.join_as("bob", "bob", |settings| settings.letterbox = None);
    join(&mut world, "alice", Kept::default());
    let bob = world.kill("bob");
    world.say("alice", "bob", "hi");
    world.run_seconds(2);
    assert_eq!(failures(&world.events("alice")), [Failure::UnknownUser]);
    assert!(world.relay.log.iter().filter(|frame| frame["action"] == "letterbox").count() == 1);
    join(&mut world, "bob", bob);
    let bob = world.kill("bob");
    world.say("alice", "bob", "0");
    world.run_seconds(2);
    world.join_with("bob", "bob", bob, |settings| settings.letterbox = None);
    world.run_seconds(5);
    assert_eq!((world.heard("bob").len(), box_of(&mut world, "bob")), (0, 1));
}

#[test]
fn what_nobody_confirms_is_told_once_after_fifteen_days() {
    let (mut world, _bob) = bob_is_away();
    world.say("alice", "bob", "0");
    world.run_seconds(1);
    let alice = world.kill("alice");
    world.sleep_days(14);
    join(&mut world, "alice", alice);
    let is_given_up = |events: Vec<Event>| {
        events.iter().filter(|event| matches!(event, Event::Unconfirmed { .. })).count()
    };
    assert_eq!(is_given_up(world.events("alice")), 0);
    let alice = world.kill("alice");
    world.sleep_days(2);
    join(&mut world, "alice", alice);
    assert_eq!(is_given_up(world.events("alice")), 1);
    let alice = world.kill("alice");
    join(&mut world, "alice", alice);
    assert_eq!(is_given_up(world.events("alice")), 0);
}

#[test]
fn texts_wait_for_the_letters_before_them() {
    let (mut world, bob) = bob_is_away();
    say_all(&mut world, 0..3);
    world.run_seconds(1);
    world.user("alice").probe.shows = false; // has no part in this
    join(&mut world, "bob", bob);
    world.user("bob").probe.shows = false;
    world.run_seconds(1);
    say_all(&mut world, 3..6);
    world.run_seconds(1);
    assert_eq!(texts_left(&world), 3, "bob is there, and may confirm them");
    world.user("bob").probe.shows = true;
    world.run_seconds(3);
    heard_all(&mut world, 0..6);
    assert_eq!(delivered(&world.events("alice")), numbered(0..6));
    assert_eq!(texts_left(&world), 3);
}

#[test]
fn texts_are_letters_where_those_before_them_stay_unconfirmed() {
    let (mut world, bob) = bob_is_away();
    say_all(&mut world, 0..2);
    world.run_seconds(1);
    world.join_with("bob", "bob", bob, |settings| settings.letterbox = Some(TakeMode::Receipts));
    world.run_seconds(1);
    // Bob writes, so alice knows that he is there; and he does not take what waits for him.
    world.say("bob", "alice", "hi");
    world.run_seconds(1);
    say_all(&mut world, 2..4);
    world.run_seconds(10);
    assert_eq!((box_of(&mut world, "bob"), world.heard("bob").len()), (4, 0));
    let bob = world.kill("bob");
    join(&mut world, "bob", bob);
    heard_all(&mut world, 0..4);
}

#[test]
fn a_text_of_a_session_that_was_not_confirmed_becomes_a_letter_and_is_shown_once() {
    let mut world = world();
    join(&mut world, "bob", Kept::default());
    join(&mut world, "alice", Kept::default());
    world.say("alice", "bob", "0");
    world.run_seconds(2);
    assert_eq!(delivered(&world.events("alice")), ["0"]);
    // From now on no receipt gets through.
    world.relay.fate =
        Box::new(|frame| if frame["from"] == "bob" { Verdict::Swallow } else { Verdict::Forward });
    say_all(&mut world, 1..3);
    world.run_seconds(2);
    heard_all(&mut world, 0..3);
    let bob = world.kill("bob");
    world.run_seconds(10);
    assert_eq!(stored(&world.events("alice")), numbered(1..3));
    world.relay.fate = Box::new(|_| Verdict::Forward);
    join(&mut world, "bob", bob);
    world.run_seconds(5);
    assert_eq!(world.heard("bob"), [""; 0], "what an earlier run has shown");
    assert_eq!(box_of(&mut world, "bob"), 0);
    assert_eq!(delivered(&world.events("alice")), numbered(1..3));
}

#[test]
fn between_showing_and_writing_down_a_crash_shows_twice_and_later_not() {
    let (mut world, bob) = bob_is_away();
    say_all(&mut world, 0..3);
    world.run_seconds(1);
    // Opened, and not shown.
    come(&mut world, "bob", bob);
    world.user("bob").probe.shows = false;
    world.run_seconds(1);
    heard_all(&mut world, 0..3);
    let bob = world.crash("bob");
    assert_eq!(box_of(&mut world, "bob"), 3);
    // Shown, and not written down.
    come(&mut world, "bob", bob);
    world.user("bob").letters.fill(true);
    world.run_seconds(1);
    heard_all(&mut world, 0..3);
    assert!(cautions(&world.events("bob")).contains(&Caution::LettersFile));
    assert_eq!(box_of(&mut world, "bob"), 3, "not acknowledged");
    assert_eq!(delivered(&world.events("alice")).len(), 0, "nor confirmed");
    let bob = world.crash("bob");
    // Written down, and neither acknowledged nor confirmed: the relay takes neither.
    world.kept_letters("bob").fill(false);
    world.relay.is_mute = false;
    come(&mut world, "bob", bob);
    world.user("bob").probe.shows = false;
    world.run_seconds(1);
    heard_all(&mut world, 0..3);
    world.relay.is_mute = true;
    world.user("bob").probe.show_all();
    world.run(Duration::from_millis(100));
    let bob = world.crash("bob");
    world.relay.is_mute = false;
    assert_eq!(box_of(&mut world, "bob"), 3);
    join(&mut world, "bob", bob);
    world.run_seconds(5);
    assert_eq!((world.heard("bob").len(), box_of(&mut world, "bob")), (0, 0));
    assert_eq!(delivered(&world.events("alice")), numbered(0..3));
}

#[test]
fn a_disk_that_has_room_again_is_written_to() {
    let (mut world, bob) = bob_is_away();
    say_all(&mut world, 0..2);
    world.run_seconds(1);
    come(&mut world, "bob", bob);
    world.user("bob").letters.fill(true);
    world.run_seconds(5);
    heard_all(&mut world, 0..2);
    world.user("bob").letters.fill(false);
    world.run_seconds(10);
    assert_eq!((world.heard("bob").len(), box_of(&mut world, "bob")), (0, 0));
    assert_eq!(delivered(&world.events("alice")), numbered(0..2));
}

#[test]
fn a_relay_that_delivers_again_shows_nothing_twice() {
    let (mut world, bob) = bob_is_away();
    say_all(&mut world, 0..2);
    world.run_seconds(1);
    let boxes = world.relay.boxes.as_mut().expect("boxes");
    let letters: Vec<_> = boxes.of("bob").letters.values().cloned().collect();
    join(&mut world, "bob", bob);
    world.run_seconds(2);
    heard_all(&mut world, 0..2);
    let replay = |world: &mut World, number: u64| {
        for (letter, more) in letters.iter().zip(0..) {
            let mut again = letter.clone();
            again["box"] = (number + more).into();
            world.inject("bob", &again);
        }
        world.run_seconds(2);
        assert_eq!(world.heard("bob"), [""; 0]);
    };
    replay(&mut world, 100);
    let bob = world.kill("bob");
    join(&mut world, "bob", bob);
    replay(&mut world, 200);
    let acknowledged = world.relay.log.iter().filter(|frame| frame["action"] == "ack").count();
    let receipts = world.relay.count("letter") - texts_left(&world);
    assert_eq!(acknowledged, 6 + receipts);
    let numbers = |at: u64| world.relay.log.iter().filter(|frame| frame["box"] == at).count();
    assert_eq!([100, 101, 200, 201].map(numbers), [1; 4]);
}

#[test]
fn a_letter_that_was_changed_is_dropped_with_a_warning_and_acknowledged() {
    let (mut world, bob) = bob_is_away();
    // Each byte stands for a part: the id, the recipient, the head, the signature, what is sealed.
    for at in [5, 61, 100, 140, 2000] {
        world.relay.letter_fate = Box::new(move |frame| {
            let content = frame["content"].as_str().expect("a text");
            let mut bytes = base64::decode(content).expect("base64url");
            bytes[at] ^= 1;
            frame["content"] = base64::encode(&bytes).into();
            Verdict::Forward
        });
        world.say("alice", "bob", &at.to_string());
        world.run_seconds(1);
    }
    join(&mut world, "bob", bob);
    world.run_seconds(2);
    let warned = cautions(&world.events("bob"));
    let signature = Caution::BadSignature;
    let expected =
        [Caution::Malformed, Caution::WrongRecipient, signature, signature, Caution::BadMessage];
    assert_eq!(warned, expected);
    assert_eq!((world.heard("bob").len(), box_of(&mut world, "bob")), (0, 0));
}

#[test]
fn what_is_too_old_is_dropped_and_what_is_from_the_future_waits() {
    let (mut world, bob) = bob_is_away();
    world.say("alice", "bob", "old");
    world.run_seconds(1);
    world.sleep_days(16);
    world.user("alice").ahead_ms.set(HOUR_MS);
    world.say("alice", "bob", "ahead");
    world.run_seconds(1);
    join(&mut world, "bob", bob);
    world.run_seconds(2);
    assert_eq!(world.heard("bob"), [""; 0]);
    let warned = cautions(&world.events("bob"));
    assert_eq!(warned, [Caution::StaleLetter, Caution::ClockSkew]);
    assert_eq!(box_of(&mut world, "bob"), 0, "both are acknowledged");
    assert_eq!(world.user("bob").letters.kept().parked.len(), 1);
    let bob = world.kill("bob");
    world.sleep_days(1);
    join(&mut world, "bob", bob);
    world.run_seconds(2);
    assert_eq!(world.heard("bob"), ["alice: ahead"]);
    assert_eq!(world.user("bob").letters.kept().parked, []);
}

/// It waits for its time, and the other for its key: one does not wait for both.
#[test]
fn a_letter_from_the_future_holds_back_no_other_that_is_parked() {
    let mut world = world();
    let other = public("carol").fingerprint();
    join(&mut world, "bob", Kept::default());
    join(&mut world, "alice", Kept::default());
    world.user("bob").probe.client.trust("alice", Some(other)).expect("memory");
    let bob = world.kill("bob");
    world.user("alice").ahead_ms.set(HOUR_MS);
    world.say("alice", "bob", "ahead");
    world.run_seconds(1);
    world.user("alice").ahead_ms.set(0);
    world.say("alice", "bob", "of now");
    world.run_seconds(1);
    join(&mut world, "bob", bob);
    world.run_seconds(2);
    assert_eq!(world.user("bob").letters.kept().parked.len(), 2);
    let alice = public("alice").fingerprint();
    world.user("bob").probe.client.trust("alice", Some(alice)).expect("memory");
    world.run_seconds(8);
    assert_eq!(world.heard("bob"), ["alice: of now"]);
    assert_eq!(world.user("bob").letters.kept().parked.len(), 1);
}

#[test]
fn letters_under_a_key_that_is_not_accepted_are_parked_until_it_is() {
    let mut world = world();
    let other = public("carol").fingerprint();
    join(&mut world, "bob", Kept::default());
    join(&mut world, "alice", Kept::default());
    // Bob knows another key of alice.
    world.user("bob").probe.client.trust("alice", Some(other)).expect("memory");
    let bob = world.kill("bob");
    for number in 0..20 {
        world.say("alice", "bob", &number.to_string());
    }
    world.run_seconds(2);
    join(&mut world, "bob", bob);
    world.run_seconds(5);
    assert_eq!((world.heard("bob").len(), box_of(&mut world, "bob")), (0, 0));
    let warned = cautions(&world.events("bob"));
    assert_eq!(warned.iter().filter(|code| **code == Caution::KeyChanged).count(), 21);
    assert_eq!(world.user("bob").letters.kept().parked.len(), 16, "the others are dropped");
    assert_eq!(world.user("bob").probe.client.held_letters(), 16);
    // Over a restart too, and by the command of another process.
    let bob = world.kill("bob");
    join(&mut world, "bob", bob);
    assert_eq!(world.heard("bob"), [""; 0]);
    assert_eq!(held(&world.events("bob")), [(16, Caution::KeyChanged)]);
    let alice = public("alice").fingerprint();
    world.user("bob").probe.client.trust("alice", Some(alice)).expect("memory");
    world.run_seconds(5);
    heard_all(&mut world, 0..16);
    assert_eq!(world.user("bob").probe.client.held_letters(), 0);
    assert_eq!(world.user("bob").letters.kept().parked, []);
    assert_eq!(delivered(&world.events("alice")).len(), 16);
}

#[test]
fn strict_parks_letters_of_who_was_never_compared() {
    let (mut world, bob) = bob_is_away();
    say_all(&mut world, 0..2);
    world.run_seconds(1);
    join_strict(&mut world, "bob", bob, true);
    world.run_seconds(2);
    assert_eq!((world.heard("bob").len(), box_of(&mut world, "bob")), (0, 0));
    assert!(cautions(&world.events("bob")).contains(&Caution::NotVerified));
    let client = &mut world.user("bob").probe.client;
    assert_eq!(client.held_letters(), 0, "of a stranger");
    client.trust("alice", Some(public("alice").fingerprint())).expect("memory");
    assert_eq!(client.held_letters(), 2);
    let bob = world.kill("bob");
    join_strict(&mut world, "bob", bob, true);
    assert_eq!(world.heard("bob"), [""; 0]);
    assert_eq!(held(&world.events("bob")), [(2, Caution::NotVerified)]);
    world.user("bob").probe.client.verify("alice").expect("memory");
    world.run_seconds(2);
    let heard = world.user("bob").probe.heard.clone();
    assert!(heard.iter().all(|heard| heard.trust == Trust::Verified));
    heard_all(&mut world, 0..2);
}

#[test]
fn a_full_letterbox_and_a_newer_key_are_matters_of_time() {
    let (mut world, bob) = bob_is_away();
    let refusals = Rc::new(Cell::new(0));
    let count = Rc::clone(&refusals);
    world.relay.letter_fate = Box::new(move |_| {
        count.set(count.get() + 1);
        match count.get() {
            1..=5 => Verdict::Refuse("mailbox_full"),
            6 => Verdict::Refuse("store_failed"),
            7 => Verdict::Refuse("stale_key"),
            _ => Verdict::Forward,
        }
    });
    world.say("alice", "bob", "0");
    world.run_seconds(60);
    let events = world.events("alice");
    assert_eq!((stored(&events), failures(&events)), (vec!["0"], vec![]));
    let is_told = |event: &Event| matches!(event, Event::MailboxFull { to, .. } if to == "bob");
    assert!(events.iter().any(is_told));
    join(&mut world, "bob", bob);
    world.run_seconds(2);
    heard_all(&mut world, 0..1);
    world.kill("bob");
    for code in ["no_letterbox", "unknown_user"] {
        world.relay.letter_fate = Box::new(move |_| Verdict::Refuse(code));
        world.say("alice", "bob", code);
        world.run_seconds(5);
    }
    world.relay.letter_fate = Box::new(|_| Verdict::Refuse("bad_frame"));
    world.say("alice", "bob", "bad_frame");
    world.run_seconds(5);
    assert_eq!(failures(&world.events("alice")).last(), Some(&Failure::Refused));
}

#[test]
fn what_was_not_answered_when_the_connection_was_lost_is_left_again_and_shown_once() {
    let (mut world, bob) = bob_is_away();
    let swallowed = Rc::new(Cell::new(true));
    // The relay has stored them, and its answer is lost with the connection.
    let is_lost = Rc::clone(&swallowed);
    world.relay.letter_fate =
        Box::new(move |_| if is_lost.get() { Verdict::Swallow } else { Verdict::Forward });
    say_all(&mut world, 0..3);
    world.run_seconds(1);
    assert_eq!(stored(&world.events("alice")), [""; 0]);
    swallowed.set(false);
    world.cut();
    world.run_seconds(5);
    assert_eq!(stored(&world.events("alice")), numbered(0..3));
    join(&mut world, "bob", bob);
    world.run_seconds(2);
    heard_all(&mut world, 0..3);
}

#[test]
fn strangers_have_letters_opened_at_a_pace_and_none_is_lost() {
    let (mut world, bob) = bob_is_away();
    say_all(&mut world, 0..12);
    world.run_seconds(2);
    come(&mut world, "bob", bob);
    world.run(Duration::from_millis(100));
    heard_all(&mut world, 0..8);
    world.run_seconds(2);
    heard_all(&mut world, 8..12);
    let in_line = Event::Progress(Progress::LettersInLine);
    let events = world.events("bob");
    assert_eq!(events.iter().filter(|event| **event == in_line).count(), 1, "{events:?}");
    assert_eq!(box_of(&mut world, "bob"), 0);
}

#[test]
fn a_letter_key_is_made_once_a_day_and_old_ones_go_when_no_letter_needs_them() {
    let (mut world, bob) = bob_is_away();
    let ids = |world: &mut World| -> Vec<u32> {
        world.user("bob").letters.kept().keys.iter().map(|key| key.id).collect()
    };
    world.say("alice", "bob", "0");
    world.run_seconds(1);
    world.join_with("bob", "bob", bob, |settings| settings.letterbox = Some(TakeMode::Receipts));
    world.run_seconds(1);
    assert_eq!(ids(&mut world).len(), 1, "not one for each start");
    let bob = world.kill("bob");
    world.sleep_days(1);
    world.join_with("bob", "bob", bob, |settings| settings.letterbox = Some(TakeMode::Receipts));
    world.run_seconds(1);
    let two = ids(&mut world);
    assert_eq!(two.len(), 2);
    world.run_seconds(20 * 60);
    assert_eq!(ids(&mut world), two, "a letter waits under the older one");
    let bob = world.kill("bob");
    join(&mut world, "bob", bob);
    world.run_seconds(12 * 60);
    heard_all(&mut world, 0..1);
    assert_eq!(ids(&mut world), two[1..]);
}

#[test]
fn an_older_letter_key_than_one_seen_before_is_refused() {
    let (mut world, bob) = bob_is_away();
    let old = world.relay.boxes.as_mut().expect("boxes").of("bob").key.clone();
    world.sleep_days(2);
    join(&mut world, "bob", bob);
    world.kill("bob");
    world.say("alice", "bob", "0");
    world.run_seconds(1);
    assert_eq!(stored(&world.events("alice")), ["0"]);
    let alice = world.kill("alice");
    world.relay.boxes.as_mut().expect("boxes").of("bob").key = old;
    join(&mut world, "alice", alice);
    world.say("alice", "bob", "1");
    world.run_seconds(5);
    let events = world.events("alice");
    assert_eq!((stored(&events).len(), failures(&events)), (0, vec![]), "it may get a newer one");
    assert!(cautions(&events).contains(&Caution::StalePrekey), "{events:?}");
}

#[test]
fn a_relay_that_delivers_what_it_should_not_is_told_of_and_harms_nobody() {
    let (mut world, bob) = bob_is_away();
    join(&mut world, "bob", bob);
    let letter = |number: u64, from: &str, to: &str, content: &str| {
        json!({"action": "letter", "v": 2, "to": to, "from": from, "id": "7", "kind": 0,
               "key_id": 1, "content": content, "box": number})
    };
    let frames = [
        letter(1, "alice", "alice", "AA"),
        letter(2, "bob", "bob", "AA"),
        letter(3, "Alice", "bob", "AA"),
        letter(4, "alice", "bob", "AA"),
        json!({"action": "stored", "id": "AAAAAAAAAAAAAAAAAAAAAA", "to": "alice"}),
        json!({"action": "letterbox_empty"}),
    ];
    for frame in &frames {
        world.inject("bob", frame);
    }
    world.run_seconds(1);
    let bad = Caution::BadFrame;
    assert_eq!(cautions(&world.events("bob")), [bad, bad, bad, Caution::Malformed]);
    assert_eq!(world.heard("bob"), [""; 0]);
}

#[test]
fn a_prekey_without_ml_kem_of_who_had_one_is_a_downgrade() {
    let (mut world, bob) = bob_is_away();
    join(&mut world, "bob", bob);
    world.say("alice", "bob", "hi");
    world.run_seconds(2);
    assert_eq!(delivered(&world.events("alice")), ["hi"]);
    // A prekey of suite 1 that bob's own key has signed: from before, or from an earlier version.
    let vault = sealwax::crypto::IdentityVault::new(crate::world::identity("bob"));
    let mut answer = world.relay.pubkey_of("bob");
    answer["prekey"] = crate::world::prekey_of_suite_1(&vault, "bob");
    world.relay.pubkeys.insert("bob".to_owned(), answer);
    world.cut();
    world.run_seconds(5);
    world.say("alice", "bob", "again");
    world.run_seconds(2);
    let events = world.events("alice");
    assert_eq!(failures(&events), [Failure::Downgrade]);
    // It is remembered over a restart.
    let alice = world.kill("alice");
    join(&mut world, "alice", alice);
    world.say("alice", "bob", "third");
    world.run_seconds(2);
    assert_eq!(failures(&world.events("alice")), [Failure::Downgrade]);
    assert_eq!(world.heard("bob"), ["alice: hi"]);
    // Until the user accepts the key again.
    let fp = public("bob").fingerprint();
    world.user("alice").probe.client.trust("bob", Some(fp)).expect("memory");
    world.say("alice", "bob", "fourth");
    world.run_seconds(2);
    assert_eq!(failures(&world.events("alice")), []);
}

#[test]
fn what_an_earlier_run_left_holds_texts_back_for_a_moment_only() {
    let (mut world, bob) = bob_is_away();
    world.say("alice", "bob", "0");
    world.run_seconds(1);
    let alice = world.kill("alice");
    world.join_with("bob", "bob", bob, |settings| settings.letterbox = Some(TakeMode::Receipts));
    world.run_seconds(1);
    join(&mut world, "alice", alice);
    world.say("alice", "bob", "1");
    world.run_seconds(2);
    assert_eq!(world.heard("bob"), [""; 0], "he may confirm what lies in his letterbox");
    world.run_seconds(2);
    heard_all(&mut world, 1..2);
    assert_eq!(delivered(&world.events("alice")), ["1"]);
}

/// A relay that is not used now: its key, its letterboxes, and where it is.
struct Elsewhere(RelayKey, Boxes, SocketAddr);

impl Elsewhere {
    /// Everybody has left; from now on the users of this world come there, and it is the other one
    /// that is not used.
    fn change_places(&mut self, world: &mut World) {
        let Self(key, boxes, at) = self;
        std::mem::swap(key, &mut world.relay.key);
        std::mem::swap(boxes, world.relay.boxes.as_mut().expect("boxes"));
        std::mem::swap(at, &mut world.at);
    }
}

/// What bob keeps in a file, as one sees who reads the disk.
struct Disk(tempfile::TempDir);

impl Disk {
    fn home(&self) -> Home {
        Home::open(self.0.path().join("home")).expect("a home")
    }

    /// The sealed letter keys that he has for a relay.
    fn keys(&self, relay: &RelayPin) -> Vec<Vec<u8>> {
        let mut book = FileLetters::open(&self.home(), LETTERS, None).expect("a file");
        let kept = book.visit(relay, 0).expect("it is read");
        kept.keys.into_iter().map(|key| key.sealed).collect()
    }

    /// Whether any part of it is in any file of his home.
    fn has(&self, sealed: &[u8]) -> bool {
        let files = std::fs::read_dir(self.home().path("")).expect("a home");
        let mut contents =
            files.map(|file| std::fs::read(file.expect("one").path()).expect("read"));
        contents.any(|content| {
            let is_there = |part| memchr::memmem::find(&content, part).is_some();
            sealed.chunks_exact(16).any(is_there)
        })
    }
}

#[test]
fn who_spends_days_at_another_relay_comes_back_and_reads_all() {
    let (mut world, disk) = (world(), Disk(tempfile::tempdir().expect("a directory")));
    world.homes.insert("bob".to_owned(), disk.home());
    let there = SocketAddr::from(([127, 0, 0, 1], 23456));
    world.relay_loop.context().listen(there);
    let mut elsewhere = Elsewhere(RelayKey::generate().0, Boxes::default(), there);
    join(&mut world, "bob", Kept::default());
    join(&mut world, "alice", Kept::default());
    let first = world.user("bob").known_relays().remove(0);
    let left = disk.keys(&first).remove(0);
    let mut bob = world.kill("bob");
    say_all(&mut world, 0..3);
    world.run_seconds(1);
    let mut alice = world.kill("alice");

    elsewhere.change_places(&mut world);
    let mut replaced = Vec::<Vec<u8>>::new();
    for day in 1..6 {
        join(&mut world, "bob", bob);
        join(&mut world, "alice", alice);
        let second = world.user("bob").known_relays().pop().expect("the newest");
        assert_ne!(second, first);
        bob = world.kill("bob");
        say_all(&mut world, day * 10..day * 10 + 2);
        world.run_seconds(1);
        join(&mut world, "bob", bob);
        heard_all(&mut world, day * 10..day * 10 + 2);
        world.run_seconds(12 * 60);
        for sealed in replaced.drain(..) {
            assert!(!disk.has(&sealed), "day {day}: a key that was replaced there");
        }
        let own = disk.keys(&second);
        assert!(own.len() == 1 && disk.has(&own[0]) && disk.has(&left), "day {day}");
        replaced = own;
        (bob, alice) = (world.kill("bob"), world.kill("alice"));
        world.sleep_days(1);
    }

    // The key that he left at the first is older than those that alice has seen elsewhere.
    elsewhere.change_places(&mut world);
    join(&mut world, "alice", alice);
    world.say("alice", "bob", "3");
    world.run_seconds(1);
    assert_eq!(stored(&world.events("alice")), ["3"]);
    join(&mut world, "bob", bob);
    world.run_seconds(2);
    heard_all(&mut world, 0..4);
    assert_eq!(delivered(&world.events("alice")), numbered(0..4));
    world.run_seconds(12 * 60);
    assert!(!disk.has(&left), "the counts of the first allow it now");

    // And at the latest by the clock, although he is not there.
    let last = disk.keys(&first).remove(0);
    (bob, _) = (world.kill("bob"), world.kill("alice"));
    elsewhere.change_places(&mut world);
    world.sleep_days(100);
    join(&mut world, "bob", bob);
    assert!(disk.has(&last));
    world.sleep_days(6);
    world.run_seconds(60);
    assert!(!disk.has(&last));
}

/// As `recv --wait 0` does it once all is shown. The first receipts have left by then, and how to
/// reach alice is asked again for the next ones.
#[test]
fn who_waits_no_longer_still_sends_the_receipts() {
    let (mut world, bob) = bob_is_away();
    say_all(&mut world, 0..30);
    world.run_seconds(1);
    let alice = world.kill("alice");
    join(&mut world, "bob", bob);
    for _ in 0..2_000 {
        world.run(Duration::from_millis(5));
        world.user("bob").probe.client.give_up();
    }
    world.run_seconds(2);
    heard_all(&mut world, 0..30);
    join(&mut world, "alice", alice);
    world.run_seconds(2);
    assert_eq!(delivered(&world.events("alice")), numbered(0..30));
}

/// Bob's side is told `relayed`, and alice never gets it, as if her connection had ended then.
#[test]
fn a_receipt_for_a_letter_is_not_lost_with_what_was_relayed() {
    let (mut world, bob) = bob_is_away();
    say_all(&mut world, 0..3);
    world.run_seconds(1);
    world.relay.fate =
        Box::new(|frame| if frame["from"] == "bob" { Verdict::Swallow } else { Verdict::Forward });
    join(&mut world, "bob", bob);
    world.run_seconds(2);
    heard_all(&mut world, 0..3);
    assert_eq!(delivered(&world.events("alice")), numbered(0..3));
    assert!(world.user("bob").letters.kept().owed.is_empty());
    assert_eq!(world.relay.count("send_key"), 0, "no session is needed");
}

#[test]
fn a_receipt_goes_in_a_session_where_no_letter_can_be_left() {
    for code in ["mailbox_full", "store_failed", "no_letterbox"] {
        let (mut world, bob) = bob_is_away();
        say_all(&mut world, 0..3);
        world.run_seconds(1);
        world.relay.letter_fate = Box::new(move |_| Verdict::Refuse(code));
        join(&mut world, "bob", bob);
        world.run_seconds(2);
        heard_all(&mut world, 0..3);
        assert_eq!(delivered(&world.events("alice")), numbered(0..3), "{code}");
        assert!(world.user("bob").letters.kept().owed.is_empty(), "{code}");
    }
}

/// The name was released, and another user may have it since: nobody will ever confirm.
#[test]
fn letters_to_a_name_that_is_somebody_elses_are_told_as_lost_at_once() {
    for code in [Loss::UnknownUser, Loss::KeyChanged] {
        let (mut world, _bob) = bob_is_away();
        say_all(&mut world, 0..2);
        world.run_seconds(1);
        let alice = world.kill("alice");
        world.relay.boxes = Some(Boxes::default());
        if code == Loss::KeyChanged {
            world.join_as("bob", "carol", |_| {});
            world.run_seconds(1);
        }
        join(&mut world, "alice", alice);
        let events = world.events("alice");
        let lost = events.iter().filter_map(|event| match event {
            Event::Unconfirmed { id, code, .. } => Some((id.as_str(), *code)),
            _ => None,
        });
        assert_eq!(lost.collect::<Vec<_>>(), [("0", code), ("1", code)]);
        // Whoever only looks in is not warned of a key that nothing was to be sent to.
        assert_eq!(cautions(&events), []);
        assert!(!events.iter().any(|event| matches!(event, Event::Peer { .. })), "{events:?}");
        assert_eq!(world.user("alice").letters.kept().waiting, []);
        let alice = world.kill("alice");
        join(&mut world, "alice", alice);
        let is_told = |event: &Event| matches!(event, Event::Unconfirmed { .. });
        assert!(!world.events("alice").iter().any(is_told));
    }
}

#[test]
fn letters_to_who_is_still_the_same_are_waited_for() {
    let (mut world, bob) = bob_is_away();
    say_all(&mut world, 0..2);
    world.run_seconds(1);
    let alice = world.kill("alice");
    join(&mut world, "alice", alice);
    assert_eq!(world.user("alice").letters.kept().waiting.len(), 2);
    join(&mut world, "bob", bob);
    world.run_seconds(2);
    assert_eq!(delivered(&world.events("alice")), numbered(0..2));
}
