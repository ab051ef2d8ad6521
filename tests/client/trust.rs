//! Whose key is it? Nothing is sealed to a key that was not accepted, and nothing is shown under
//! one.

use std::time::Duration;

use sealwax::client::{
    Caution, Event, Failure, MemoryPins, NotTrusted, PeerPin, PinBook, Pins, Progress, Standing,
    Trust,
};
use sealwax::crypto::{IdentityVault, PrekeyPair};
use sealwax::limits::MAX_FIRST_CONTACTS;
use sealwax::wire::Fingerprint;
use serde_json::{Value, json};

use crate::link::progress;
use crate::world::{START_MS, World, cautions, delivered, failures, identity, public};

/// Two users who have talked; then bob's place is taken by somebody with carol's key.
fn with_another_bob() -> World {
    let mut world = World::of_two();
    world.say("alice", "bob", "hi");
    world.run_seconds(1);
    world.kill("bob");
    world.join_as("bob", "carol", |_| {});
    world.run_seconds(1);
    world.events("alice");
    world.relay.log.clear();
    world
}

fn warning(events: &[Event], wanted: Caution) -> String {
    let detail = events.iter().find_map(|event| match event {
        Event::Warning { code, detail } if *code == wanted => Some(detail.clone()),
        _ => None,
    });
    detail.expect("such a warning")
}

/// The `pubkey` answer with a prekey made by the key of `signer`, for `name`, at `created_ms`.
fn prekey_by(signer: &str, name: &str, created_ms: u64) -> Value {
    let vault = IdentityVault::new(identity(signer));
    let prekey = PrekeyPair::new(&vault, created_ms).publish(&vault, name);
    serde_json::from_str(&prekey.to_json()).expect("JSON")
}

#[test]
fn a_changed_key_stops_what_we_send_and_names_the_command_that_accepts_it() {
    let mut world = with_another_bob();
    world.say("alice", "bob", "secret");
    world.run_seconds(10);
    let events = world.events("alice");
    let carol = public("carol").fingerprint();
    let changed = Event::Peer { name: "bob".into(), fp: carol, standing: Standing::Changed };
    assert!(events.contains(&changed));
    assert_eq!(failures(&events), [Failure::KeyChanged]);
    let command = format!("sealwax keys trust bob {carol}");
    assert!(warning(&events, Caution::KeyChanged).contains(&command));
    // The text went out in the session with the bob of before, whom it is sealed to.
    assert_eq!((world.relay.count("send_key"), world.relay.count("message")), (0, 1));
    assert_eq!(world.heard("bob"), [""; 0]);
    assert_eq!(world.user("alice").pin("bob").unwrap().fp, public("bob").fingerprint());
}

#[test]
fn a_changed_key_stops_what_we_receive() {
    let mut world = with_another_bob();
    world.say("bob", "alice", "it is me");
    world.run_seconds(20);
    assert_eq!(world.heard("alice"), [""; 0]);
    assert_eq!(delivered(&world.events("bob")), [""; 0]);
    let codes = cautions(&world.events("alice"));
    assert!(codes.contains(&Caution::WrongSender) && codes.contains(&Caution::KeyChanged));
}

#[test]
fn an_accepted_key_is_used_from_then_on() {
    let mut world = with_another_bob();
    world.say("alice", "bob", "one");
    world.say("bob", "alice", "two");
    world.run_seconds(6);
    let alice = &mut world.user("alice").probe.client;
    let carol = public("carol").fingerprint();
    assert_eq!(alice.refused_key("bob"), Some(carol));
    assert_eq!(alice.trust("bob", None), Ok(carol));
    world.say("alice", "bob", "three");
    world.run_seconds(8);
    assert_eq!(world.heard("bob"), ["alice: three"]);
    assert_eq!(world.heard("alice"), ["bob: two"]);
    let pin = world.user("alice").pin("bob").unwrap();
    assert_eq!((pin.fp, pin.trust), (carol, Trust::Tofu));
}

#[test]
fn what_another_process_accepts_is_picked_up() {
    let mut world = with_another_bob();
    world.say("bob", "alice", "it is me");
    world.run_seconds(1);
    let other = Box::new(world.user("alice").peers.clone());
    let carol = public("carol").fingerprint();
    PinBook::<PeerPin>::new(other).change(|file| file.accept("bob", carol, START_MS)).unwrap();
    world.run_seconds(20);
    assert_eq!(world.heard("alice"), ["bob: it is me"]);
    assert_eq!(delivered(&world.events("bob")), ["it is me"]);
}

#[test]
fn a_key_that_is_no_longer_pinned_opens_nothing() {
    let mut world = World::of_two();
    world.say("bob", "alice", "hi");
    world.run_seconds(1);
    let other = Box::new(world.user("alice").peers.clone());
    let carol = public("carol").fingerprint();
    PinBook::<PeerPin>::new(other).change(|file| file.accept("bob", carol, START_MS)).unwrap();
    world.say("alice", "bob", "to carol?");
    world.run_seconds(1);
    world.say("bob", "alice", "it is me");
    world.run_seconds(5);
    assert_eq!(world.heard("alice"), ["bob: hi"]);
}

#[test]
fn strict_refuses_both_ways_until_the_keys_were_compared() {
    let mut world = World::new();
    world.join_as("alice", "alice", |settings| settings.strict = true);
    world.join("bob");
    world.run_seconds(1);
    world.say("alice", "bob", "one");
    world.say("bob", "alice", "two");
    world.run_seconds(2);
    let events = world.events("alice");
    assert_eq!(failures(&events), [Failure::NotVerified]);
    assert!(warning(&events, Caution::NotVerified).contains("sealwax keys verify bob"));
    assert_eq!(world.heard("alice"), [""; 0]);
    assert_eq!(world.relay.count("message"), 1, "bob's");

    assert_eq!(world.user("alice").probe.client.verify("carol"), Err(NotTrusted::NotPinned));
    let bob = public("bob").fingerprint();
    assert_eq!(world.user("alice").probe.client.verify("bob"), Ok(bob));
    world.say("alice", "bob", "three");
    world.run_seconds(8);
    assert_eq!(world.heard("bob"), ["alice: three"]);
    assert_eq!(world.heard("alice"), ["bob: two"]);
    let verified = Standing::Pinned(Trust::Verified);
    let peer = Event::Peer { name: "bob".into(), fp: bob, standing: verified };
    assert!(world.events("alice").contains(&peer));
}

#[test]
fn a_pinned_peer_without_prekey_is_a_downgrade() {
    let mut world = World::of_two();
    world.say("alice", "bob", "hi");
    world.run_seconds(1);
    let (first, pins) = (world.kill("alice"), world.user("bob").pin("alice"));
    assert!(pins.is_some());
    world.join_with("alice", "alice", first, |_| {});
    let pubkey = public("bob").to_pem();
    let answer = json!({"action": "pubkey", "from": "bob", "pubkey": pubkey});
    world.relay.pubkeys.insert("bob".to_owned(), answer);
    world.run_seconds(1);
    world.say("alice", "bob", "again");
    world.run_seconds(1);
    let events = world.events("alice");
    assert_eq!(failures(&events), [Failure::Downgrade]);
    assert_eq!(cautions(&events), [Caution::Downgrade]);
}

#[test]
fn nothing_is_sealed_to_a_prekey_that_the_peer_did_not_sign_just_now() {
    let mut world = World::of_two();
    world.say("alice", "bob", "hi");
    world.run_seconds(1);
    world.relay.log.clear();
    let hour = 60 * 60 * 1000;
    let mut mended = world.relay.pubkey_of("bob");
    mended["prekey"]["id"] = 5.into();
    let cases = [
        (mended["prekey"].take(), Caution::BadPrekey),
        (prekey_by("carol", "bob", START_MS), Caution::BadPrekey),
        (prekey_by("bob", "carol", START_MS), Caution::BadPrekey),
        (prekey_by("bob", "bob", START_MS - 49 * hour), Caution::ClockSkew),
        (prekey_by("bob", "bob", START_MS + hour), Caution::ClockSkew),
        (prekey_by("bob", "bob", START_MS - 1), Caution::StalePrekey),
    ];
    for (prekey, caution) in cases {
        let mut answer = world.relay.pubkey_of("bob");
        answer["prekey"] = prekey;
        world.relay.pubkeys.insert("bob".to_owned(), answer);
        world.cut();
        world.run_seconds(1);
        let mut events = world.events("alice");
        events.retain(|event| matches!(event, Event::Warning { .. }));
        world.say("alice", "bob", "secret");
        world.run_seconds(1);
        events.extend(world.events("alice"));
        assert!(cautions(&events).iter().all(|told| *told == caution), "{events:?}");
        assert!(!cautions(&events).is_empty());
        // What is a matter of time is asked for again, and the text waits.
        let is_of_time = caution != Caution::BadPrekey;
        let failed = if is_of_time { vec![] } else { vec![Failure::BadPrekey] };
        assert_eq!(failures(&events), failed);
    }
    assert_eq!((world.relay.count("send_key"), world.relay.count("message")), (0, 0));
    world.relay.pubkeys.clear();
    world.run_seconds(5);
    world.say("alice", "bob", "again");
    world.run_seconds(5);
    assert_eq!(delivered(&world.events("alice")).len(), 4);
    assert_eq!(world.heard("bob").last().map(String::as_str), Some("alice: again"));
}

/// A machine sleeps: its timers stand still, and its wall clock goes on.
#[test]
fn who_slept_for_days_renews_its_prekey_when_it_wakes_and_is_written_to() {
    let mut world = World::new();
    world.join("bob");
    world.join_as("alice", "alice", |settings| settings.waits_for_absent = true);
    world.run_seconds(1);
    let days = 5 * 24 * 60 * 60 * 1000;
    for name in ["alice", "bob"] {
        world.user(name).ahead_ms.set(days); // nobody has ticked since
    }
    world.relay.log.clear();
    world.say("alice", "bob", "are you awake?");
    world.run_seconds(40); // bob's next look at the relay
    assert_eq!(world.heard("bob"), ["alice: are you awake?"]);
    let events = world.events("alice");
    assert_eq!((failures(&events), delivered(&events).len()), (vec![], 1));
    assert!(world.relay.count("prekey") >= 2, "both have renewed theirs");
}

#[test]
fn what_is_no_key_or_not_what_was_asked_for_is_refused() {
    let mut world = World::of_two();
    let answer = json!({"action": "pubkey", "from": "bob", "pubkey": "-----BEGIN"});
    world.relay.pubkeys.insert("bob".to_owned(), answer);
    world.say("alice", "bob", "hi");
    world.run_seconds(1);
    let events = world.events("alice");
    assert_eq!(
        (failures(&events), cautions(&events)),
        (vec![Failure::BadKey], vec![Caution::BadKey])
    );

    // Whoever asks for it by hand is answered once, and the relay asked once.
    world.relay.log.clear();
    assert!(world.user("alice").probe.client.ask_key("bob"));
    world.run_seconds(10);
    let answer = Progress::KeyAnswered { name: "bob".to_owned() };
    assert_eq!(progress(world.events("alice")), [answer]);
    assert_eq!(world.relay.count("get_pubkey"), 1);

    let mut unasked = world.relay.pubkey_of("bob");
    world.inject("alice", &unasked);
    unasked["from"] = "carol".into();
    world.inject("alice", &unasked);
    world.run_seconds(1);
    assert_eq!(cautions(&world.events("alice")), [Caution::BadFrame; 2]);
    assert_eq!(world.user("alice").pin("bob"), None);
}

#[test]
fn a_key_that_cannot_be_kept_is_not_trusted() {
    struct FullDisk(MemoryPins);
    impl Pins for FullDisk {
        fn news(&mut self) -> Result<Option<Vec<u8>>, String> {
            self.0.news()
        }
        fn change(&mut self, _edit: &mut dyn FnMut(&[u8]) -> Vec<u8>) -> Result<(), String> {
            Err("no space".to_owned())
        }
    }
    let mut world = World::new();
    world.join("bob");
    world.join_to("alice", Box::new(FullDisk(MemoryPins::default())));
    world.run_seconds(1);
    world.say("alice", "bob", "one");
    world.say("bob", "alice", "two");
    world.run_seconds(2);
    let events = world.events("alice");
    assert_eq!(failures(&events), [Failure::TrustFile]);
    assert!(warning(&events, Caution::TrustFile).contains("no space"));
    assert_eq!((world.heard("alice"), world.heard("bob")), (vec![], vec![]));
}

/// A trust file with this text.
fn trust_file(text: &str) -> MemoryPins {
    let mut peers = MemoryPins::default();
    peers.change(&mut |_| text.as_bytes().to_vec()).expect("memory");
    peers
}

#[test]
fn the_oldest_strangers_make_room_and_nobody_is_kept_out() {
    let bob = public("bob").fingerprint();
    let strangers = (0..MAX_FIRST_CONTACTS).map(|n| format!("user{n} {bob} {n} tofu stranger"));
    let others = [format!("old {bob} 0 tofu"), format!("dave {bob} 0 verified")];
    let lines: Vec<_> = others.into_iter().chain(strangers).collect();
    let mut world = World::new();
    world.join_with(
        "alice",
        "alice",
        (trust_file(&lines.join("\n")), MemoryPins::default()),
        |_| {},
    );
    world.join("bob");
    world.run_seconds(1);
    world.say("bob", "alice", "hi");
    world.run_seconds(1);
    let told = warning(&world.events("alice"), Caution::TrustFile);
    assert!(told.contains("1250"), "{told}");
    assert_eq!(world.heard("alice"), ["bob: hi"]);
    let alice = world.user("alice");
    assert!(["old", "dave", "user1250", "user9999"].iter().all(|name| alice.pin(name).is_some()));
    assert!(["user0", "user1249"].iter().all(|name| alice.pin(name).is_none()));
    assert!(alice.pin("bob").unwrap().is_stranger);
    // Whom we write to is no stranger, and does not make room.
    world.say("alice", "bob", "hello");
    world.run_seconds(1);
    assert_eq!(delivered(&world.events("alice")), ["hello"]);
    assert!(!world.user("alice").pin("bob").unwrap().is_stranger);
}

/// Its answers are receipts, which do not make an acquaintance of whoever wrote.
#[test]
fn whoever_was_only_confirmed_stays_a_stranger() {
    let mut world = World::of_two();
    world.say("bob", "alice", "hi");
    world.run_seconds(1);
    assert_eq!(delivered(&world.events("bob")), ["hi"]);
    assert!(world.user("alice").pin("bob").unwrap().is_stranger);
    assert!(!world.user("bob").pin("alice").unwrap().is_stranger);
    world.user("alice").probe.client.verify("bob").unwrap();
    assert!(!world.user("alice").pin("bob").unwrap().is_stranger);
}

/// A stranger whose pin made room is met anew, and what it said before is not told again.
#[test]
fn who_made_room_is_met_anew_and_not_replayed() {
    let mut world = World::of_two();
    world.say("bob", "alice", "hi");
    world.run_seconds(1);
    assert_eq!(world.heard("alice"), ["bob: hi"]);
    let frames: Vec<_> =
        world.relay.forwarded.iter().filter(|frame| frame["from"] == "bob").cloned().collect();
    // Later strangers fill the file, and one more comes.
    let fp = public("bob").fingerprint();
    let later = START_MS + 100_000;
    let lines = (1..MAX_FIRST_CONTACTS).map(|n| format!("user{n} {fp} {later} tofu stranger\n"));
    let lines = lines.collect::<String>().into_bytes();
    world.user("alice").peers.change(&mut |text| [text, &lines].concat()).unwrap();
    world.join("carol");
    world.run_seconds(2);
    world.say("carol", "alice", "me too");
    world.run_seconds(2);
    assert_eq!(world.heard("alice"), ["carol: me too"]);
    assert_eq!(world.user("alice").pin("bob"), None);
    for frame in &frames {
        world.inject("alice", frame);
    }
    world.run_seconds(6);
    assert_eq!(world.heard("alice"), [""; 0]);
    world.say("bob", "alice", "again");
    world.run_seconds(10);
    assert_eq!(world.heard("alice"), ["bob: again"]);
    assert!(world.user("alice").pin("bob").unwrap().is_stranger);
}

#[test]
fn damaged_lines_are_named() {
    let mut world = World::new();
    let bob = public("bob").fingerprint();
    let peers = trust_file(&format!("bob {bob} 1 verified\nbob {bob} 1 trusted\n?\n"));
    world.join_with("alice", "alice", (peers, MemoryPins::default()), |_| {});
    world.run(Duration::from_millis(100));
    assert!(warning(&world.events("alice"), Caution::TrustFile).contains("line 2, 3"));
    assert_eq!(world.user("alice").probe.client.pin("bob").unwrap().trust, Trust::Verified);
    let nobody = world.user("alice").probe.client.trust("No Name", Some(Fingerprint([0; 32])));
    assert_eq!(nobody, Err(NotTrusted::NothingToTrust));
}
