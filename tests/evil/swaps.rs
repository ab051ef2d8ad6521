//! Keys that the relay swaps: a user's at first contact, later and on reconnect, and its own.

use sealwax::crypto::RelayKey;
use serde_json::{Value, json};

use crate::impostor::{Impostor, sealed};
use crate::relay::{EvilRelay, Verdict};
use crate::stage::{Stage, chat, say, warning, warnings_before};
use crate::support::fixtures::public;
use crate::support::process::{Ended, Homes, Process};

fn fp(name: &str) -> String {
    public(name).fingerprint().to_string()
}

/// `keys verify PEER [NUMBER]` of `name`.
fn verify(homes: &Homes, name: &str, peer: &str, number: Option<&str>) -> Ended {
    let command: Vec<_> = ["keys", "verify", peer].into_iter().chain(number).collect();
    homes.client(name, "127.0.0.1:1", &command).end()
}

/// The safety number that `keys verify PEER` shows `name`.
fn number(homes: &Homes, name: &str, peer: &str) -> String {
    let shown = verify(homes, name, peer, None).with_code(3).stderr;
    let is_number = |line: &&String| line.chars().filter(char::is_ascii_digit).count() == 60;
    shown.iter().find(is_number).expect("sixty digits").trim().to_owned()
}

/// The one thing that a relay can do, and how it shows: `docs/protocol.md`, section 7.
#[test]
fn who_stands_in_the_middle_from_the_first_contact_on_is_seen_by_comparing_numbers() {
    let mut stage = Stage::of_two();
    let middle = Impostor::with("carol");
    let to_bob = stage.relay.plot().pubkey_of("bob");
    for name in ["alice", "bob"] {
        stage.relay.plot().pubkeys.insert(name.to_owned(), middle.pubkey_as(name));
    }
    stage.relay.set_fate(|_| Verdict::Swallow);
    say(&mut stage.alice, "bob", "dear bob");
    let met = stage.alice.event("peer");
    assert_eq!(met, json!({"event": "peer", "name": "bob", "fp": fp("carol"), "trust": "tofu"}));
    stage.relay.first(1, "message", "alice");
    let read = middle.read(&stage.relay.plot().log, "alice", "bob");
    assert_eq!(read, ["dear bob"], "nobody has compared anything yet");
    let (mut chain, offer) = middle.offer("alice", &to_bob, 0);
    stage.relay.tell("bob", &offer);
    stage.relay.tell("bob", &sealed(&mut chain, "alice", "bob", "send money"));
    let met = stage.bob.event("peer");
    assert_eq!(met, json!({"event": "peer", "name": "alice", "fp": fp("carol"), "trust": "tofu"}));
    assert_eq!(stage.bob.event("message")["trust"], "tofu");

    let numbers = [("alice", "bob"), ("bob", "alice")];
    let [of_alice, of_bob] = numbers.map(|(name, peer)| number(&stage.homes, name, peer));
    assert_ne!(of_alice, of_bob);
    let ended = verify(&stage.homes, "alice", "bob", Some(&of_bob)).with_code(3);
    assert!(ended.stderr.join("\n").contains("THIS IS NOT the number of bob"), "{ended:?}");
    let ended = stage.homes.client("alice", "127.0.0.1:1", &["keys", "list"]).end().with_code(0);
    assert_eq!(ended.stdout[0], format!("bob {} tofu", fp("carol")), "and nothing is verified");
}

#[test]
fn under_strict_the_first_contact_gives_nothing_away() {
    let (homes, relay) = (Homes::new(), EvilRelay::start());
    let _bob = chat(&homes, &relay, "bob");
    relay.plot().pubkeys.insert("bob".to_owned(), Impostor::with("carol").pubkey_as("bob"));
    let send = homes.client("alice", &relay.address, &["send", "bob", "secret", "--strict"]);
    let ended = send.end().with_code(3);
    assert!(ended.stderr.join("\n").contains(" verify bob"), "{ended:?}");
    assert_eq!(relay.plot().frames("send_key", "alice").count(), 0);
    assert_eq!(relay.plot().frames("message", "alice").count(), 0);
}

/// After the first contact, `ask` makes alice ask for bob's key, which is another one now.
fn a_swap_stops_both_directions(ask: impl FnOnce(&mut Stage)) {
    let mut stage = Stage::talking();
    let carol = Impostor::with("carol");
    let to_alice = stage.relay.plot().pubkey_of("alice");
    stage.relay.plot().pubkeys.insert("bob".to_owned(), carol.pubkey_as("bob"));
    let before = stage.relay.plot().log.len();
    ask(&mut stage);

    let changed = json!({"event": "peer", "name": "bob", "fp": fp("carol"), "trust": "changed"});
    while stage.alice.event("peer") != changed {}
    let command = format!(" trust bob {}", fp("carol"));
    assert!(warning(&stage.alice, "key_changed").contains(&command));
    say(&mut stage.alice, "bob", "secret");
    assert_eq!(stage.alice.event("failed")["code"], "key_changed");
    // Nor is anything taken from the other key, though it signs what it sends.
    let (mut chain, offer) = carol.offer("bob", &to_alice, 0);
    stage.relay.tell("alice", &offer);
    stage.relay.tell("alice", &sealed(&mut chain, "bob", "alice", "it is me"));
    warning(&stage.alice, "key_changed");

    let log = stage.relay.plot().log.split_off(before);
    assert_eq!(carol.read(&log, "alice", "bob"), [""; 0]);
    let offered = |frame: &&Value| frame["action"] == "send_key" && frame["from"] == "alice";
    assert_eq!(log.iter().filter(offered).count(), 0, "nothing was offered to the other key");

    stage.relay.behave();
    assert_eq!(stage.goes_on(), [""; 0]);
    say(&mut stage.bob, "alice", "next");
    warnings_before(&stage.alice, "next");
    stage.alice.end().with_code(3);
}

#[test]
fn a_key_swapped_on_reconnect_stops_both_directions() {
    a_swap_stops_both_directions(|stage| {
        stage.relay.cut();
        stage.alice.event("registered");
        stage.relay.has(&["alice", "bob"]);
        say(&mut stage.alice, "bob", "after the reconnect");
    });
}

#[test]
fn a_key_swapped_while_connected_stops_both_directions() {
    a_swap_stops_both_directions(|stage| {
        // Another key's offer makes alice ask whose it is, unless she is asking already: then she
        // is not told of the offer, but of the key.
        let to_alice = stage.relay.plot().pubkey_of("alice");
        let offer = Impostor::with("carol").offer("bob", &to_alice, 0).1;
        stage.relay.tell("alice", &offer);
    });
}

#[test]
fn another_relay_key_is_proven_nothing_and_the_named_command_accepts_it() {
    let (homes, relay) = (Homes::new(), EvilRelay::start());
    let alice = chat(&homes, &relay, "alice");
    relay.plot().key = RelayKey::generate().0;
    let proofs = relay.plot().frames("prove", "alice").count();
    relay.cut(); // on reconnect
    assert_eq!(alice.event("closed")["code"], "relay_changed");
    alice.end().with_code(5);
    let send = || homes.client("alice", &relay.address, &["send", "--wait", "0", "bob", "hi"]);
    let ended = send().end().with_code(5); // at the start
    assert_eq!(relay.plot().frames("prove", "alice").count(), proofs);

    let said = ended.stderr.join("\n");
    let command = format!(" untrust {}", relay.address);
    assert!(said.contains(&command), "{said}");
    let command = ["keys", "untrust", &relay.address];
    homes.client("alice", &relay.address, &command).end().with_code(0);
    send().end().with_code(4); // it is let in, and bob is not there
}

#[test]
fn a_relay_that_cannot_prove_its_key_is_proven_nothing() {
    let mut stage = Stage::talking_in_the_clear();
    let proofs = stage.relay.plot().frames("prove", "alice").count();
    stage.relay.plot().forges = true;
    stage.relay.cut();
    stage.alice.talk_with("did not prove its key");
    assert_eq!(stage.relay.plot().frames("prove", "alice").count(), proofs);
    stage.relay.behave();
    stage.relay.has(&["alice", "bob"]);
    assert_eq!(stage.goes_on(), [""; 0]);
}

/// With TLS such a challenge means that somebody stands between: nobody goes on by themselves.
#[test]
fn a_relay_that_does_not_sign_for_the_connection_is_left() {
    let stage = Stage::talking();
    let proofs = stage.relay.plot().frames("prove", "alice").count();
    stage.relay.plot().forges = true;
    stage.relay.cut();
    for user in [stage.alice, stage.bob] {
        assert_eq!(user.event("closed")["code"], "not_bound");
        user.end().with_code(5);
    }
    assert_eq!(stage.relay.plot().frames("prove", "alice").count(), proofs);
}

#[test]
fn a_relay_that_speaks_only_the_original_protocol_is_proven_nothing() {
    let (homes, relay) = (Homes::new(), EvilRelay::start());
    let list = json!({"action": "userlist", "users": ["alice", "bob"]});
    relay.plot().greeting = Some(list);
    let ended = homes.client("alice", &relay.address, &["send", "bob", "hi"]).end().with_code(5);
    assert!(ended.stderr.join("\n").contains("original protocol"), "{ended:?}");
    let log = &relay.plot().log;
    assert!(log.iter().all(|frame| frame["action"] == "register"), "{log:?}");
}

#[test]
fn a_relay_that_registers_us_as_another_is_not_talked_to() {
    let (homes, relay) = (Homes::new(), EvilRelay::start());
    let registered = json!({"action": "registered", "name": "bob", "fp": fp("alice"),
                            "limits": {}});
    relay.plot().greeting = Some(registered);
    let alice: Process = homes.client("alice", &relay.address, &["chat", "--json"]);
    alice.talk_with("the relay answered something else");
    relay.behave();
    assert_eq!(alice.event("registered")["name"], "alice");
}
