//! A relay with letters in its own file joins a cluster, and is killed on the way.

use std::fs;
use std::os::unix::fs::DirBuilderExt;

use nix::sys::signal::Signal;
use sealwax::relay::names::BoundNames;
use sealwax::wire::{LetterKind, RosterMode, TakeMode, compose};
use serde_json::json;

use super::support::process::{Homes, Process, Relay, text};
use super::support::relay::{Account, Client};
use super::support::several::Several;
use super::{letter_key, next};

const BOB: &str = include_str!("../data/bob.pem");
const CAROL: &str = include_str!("../data/carol.pem");
const ALICE: (&str, &str) = ("alice", include_str!("../data/alice.pem"));
/// Owners of boxes, with two keys among them.
const OWNERS: [(&str, &str); 12] = [
    ("bob1", BOB),
    ("bob2", BOB),
    ("bob3", BOB),
    ("bob4", BOB),
    ("bob5", BOB),
    ("bob6", BOB),
    ("carol1", CAROL),
    ("carol2", CAROL),
    ("carol3", CAROL),
    ("carol4", CAROL),
    ("carol5", CAROL),
    ("carol6", CAROL),
];
/// Texts in each box: the part of it for those to whom its owner wrote takes some more.
const TEXTS: usize = 48;
/// Letters of one connection that the relay takes at a time.
const AT_ONCE: usize = 16;

/// The relay with home 0, which is alone.
fn alone(several: &Several) -> Relay {
    let home = several.path("relay-0");
    Relay::of(Process::start(&["serve", "--listen", "127.0.0.1:0", "--home", text(&home)]))
}

/// Ends the relay that was alone. Its key is that of the cluster from now on.
fn end_alone(several: &Several, relay: Relay) {
    relay.process.signal(Signal::SIGTERM);
    relay.process.end().with_code(0);
    let keys = several.path("keys");
    fs::DirBuilder::new().mode(0o700).create(&keys).unwrap();
    fs::copy(several.path("relay-0/relay.key"), keys.join("relay.key")).unwrap();
}

fn enter(at: &str, (name, pem): (&'static str, &str)) -> Client {
    let mut client = Client::connect(at.parse().unwrap());
    let answer = Account::new(name, pem).register(&mut client, RosterMode::None);
    assert_eq!(answer["action"], "registered", "{answer}");
    client
}

/// Publishes a letter key, and tells how many letters wait.
fn publish(client: &mut Client) -> u64 {
    client.write(&compose::letterbox(&letter_key()));
    let answer = next(client, "letterbox");
    let waiting = answer["waiting"].as_array().unwrap();
    waiting.iter().map(|row| row["count"].as_u64().unwrap()).sum()
}

fn text_to(to: &str, id: &str) -> Vec<u8> {
    compose::letter(to, "me", id, (LetterKind::Text, 1), "AAAA")
}

/// Stores a letter; it is tried again as long as the box has no room.
fn store(client: &mut Client, to: &str, id: &str) {
    loop {
        client.write(&text_to(to, id));
        let answer = client.frame();
        if answer["action"] == "stored" {
            return;
        }
        assert_eq!(answer["code"], "mailbox_full", "{answer}");
        std::thread::yield_now();
    }
}

/// Takes what is in the box, in order, and returns when the box is empty.
fn take(client: &mut Client, taken: &mut Vec<String>) {
    client.write(&compose::letters(TakeMode::All));
    loop {
        let frame = client.frame();
        if frame["action"] == "letterbox_empty" {
            break;
        }
        assert_eq!(frame["action"], "letter", "{frame}");
        taken.push(frame["id"].as_str().unwrap().to_owned());
        client.write(&compose::ack(frame["box"].as_u64().unwrap()));
    }
    while publish(client) > 0 {}
}

/// Leaves a letter to the first owner at relay 0 while that is alone.
fn leave_a_letter_alone(several: &Several) {
    let relay = alone(several);
    let mut alice = enter(&relay.address, ALICE);
    publish(&mut enter(&relay.address, OWNERS[0]));
    store(&mut alice, OWNERS[0].0, "a letter");
    end_alone(several, relay);
}

/// What is in the file of relay 0, which does not run.
fn names(several: &Several) -> BoundNames {
    BoundNames::open(&several.path("relay-0/names.sqlite")).unwrap()
}

fn letters_left(several: &Several) -> u64 {
    names(several).all().iter().map(|name| name.letters).sum()
}

/// Fills the boxes of all owners at a relay that is alone.
fn fill(at: &str) {
    let mut alice = enter(at, ALICE);
    publish(&mut alice);
    for owner in OWNERS {
        let mut owner = enter(at, owner);
        publish(&mut owner);
        store(&mut owner, "alice", "that alice is no stranger");
    }
    let mut last = 0;
    for (number, (name, _)) in OWNERS.iter().enumerate() {
        for letter in 0..TEXTS {
            alice.write(&text_to(name, &letter.to_string()));
            if letter % AT_ONCE == AT_ONCE - 1 {
                for _ in 0..AT_ONCE {
                    assert_eq!(alice.frame()["action"], "stored");
                    last = number;
                }
            }
        }
    }
    assert_eq!(last, OWNERS.len() - 1);
}

#[test]
fn letters_of_a_relay_that_was_alone_are_taken_at_another_one_once_and_in_order() {
    let Some(mut several) = Several::start(0) else { return };
    let relay = alone(&several);
    fill(&relay.address);
    end_alone(&several, relay);
    let mut taken: Vec<Vec<String>> = OWNERS.iter().map(|_| Vec::new()).collect();
    let mut kills = 0;
    while letters_left(&several) > 0 {
        let mover = several.start_relay(0, "127.0.0.1:0", &[]);
        // Some was moved; whether it was deleted from the file by now, nobody knows.
        mover.talk_with("letters for ");
        mover.signal(Signal::SIGKILL);
        mover.end();
        kills += 1;
        if several.relays.is_empty() {
            let other = several.relay(1, "127.0.0.1:0", &[]);
            several.relays.push(other);
        }
        // What an owner has taken is known to have been moved, although it is in no box any more.
        let owner = kills % OWNERS.len();
        take(&mut enter(&several.relays[0].address, OWNERS[owner]), &mut taken[owner]);
    }
    assert!(kills >= 3, "{kills}");
    println!("killed {kills} times");
    let at = several.relays[0].address.clone();
    let mut alice = enter(&at, ALICE);
    for (owner, taken) in OWNERS.into_iter().zip(&mut taken) {
        store(&mut alice, owner.0, "later");
        take(&mut enter(&at, owner), taken);
        let expected = (0..TEXTS).map(|number| number.to_string());
        let expected: Vec<_> = expected.chain(["later".to_owned()]).collect();
        assert_eq!(*taken, expected, "{}", owner.0);
    }
}

/// The engine has no room for the names, so it takes no letters of them either.
#[test]
fn what_the_engine_does_not_take_waits_in_the_file_and_is_known_there() {
    let Some(several) = Several::start(0) else { return };
    leave_a_letter_alone(&several);
    let mut plain = several.redis.plain();
    plain.ask(&["SET", "sealwax:bindings", "1000000"]);
    let fp = names(&several).all().iter().find(|it| it.name == "alice").unwrap().fp;
    plain.ask(&["SET", "sealwax:bound:alice", &fp.to_string()]);
    let relay = several.relay(0, "127.0.0.1:0", &[]);
    relay.process.talk_with("1 letters wait in this relay's file");
    let mut alice = enter(&relay.address, ALICE);
    alice.send(&json!({"action": "get_pubkey", "target": OWNERS[0].0, "letters": true, "v": 2}));
    let known = next(&mut alice, "pubkey");
    assert_eq!((&known["away"], &known["letter_key"]["id"]), (&json!(true), &json!(1)), "{known}");
    // There is room, and the relay sees it once it looks again at what the engine has.
    plain.ask(&["SET", "sealwax:bindings", "1"]);
    plain.ask(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    relay.process.talk_with("this relay's file has no more letters");
    let mut taken = Vec::new();
    take(&mut enter(&relay.address, OWNERS[0]), &mut taken);
    assert_eq!(taken, ["a letter"]);
}

/// There is nothing that would come before it.
#[test]
fn a_relay_without_letters_of_its_own_takes_some_from_the_first_moment_on() {
    let Some(several) = Several::start(0) else { return };
    let relay = Relay::of(several.start_relay(0, "127.0.0.1:0", &[]));
    let mut alice = enter(&relay.address, ALICE);
    publish(&mut alice);
    alice.write(&text_to(ALICE.0, "1"));
    let answer = alice.frame();
    assert_eq!((&answer["action"], &answer["id"]), (&json!("stored"), &json!("1")), "{answer}");
}

#[test]
fn people_find_what_was_left_at_a_relay_that_was_alone() {
    let Some(mut several) = Several::start(0) else { return };
    let homes = Homes::new();
    let relay = alone(&several);
    let recv = homes.client("bob", &relay.address, &["recv", "--wait", "0"]);
    recv.end();
    let mut send = homes.client("alice", &relay.address, &["send", "bob", "--until", "stored"]);
    send.say("one");
    send.finish_input();
    send.end().with_code(0);
    // The homes of clients know the relay by its address and its key.
    let at = relay.address.clone();
    end_alone(&several, relay);
    let relay = several.relay(0, &at, &[]);
    relay.process.talk_with("has no more letters: 1 letters and 2 letter keys were moved");
    several.relays.push(relay);
    let other = several.relay(1, "127.0.0.1:0", &[]);
    several.relays.push(other);
    // Bob's key came along, so letters to him are taken while he is away.
    let mut send = homes.client("alice", &at, &["send", "bob", "--until", "stored"]);
    send.say("two");
    send.finish_input();
    send.end().with_code(0);
    let bob = homes.client("bob", &several.relays[1].address, &["recv", "--count", "2", "--json"]);
    for expected in ["one", "two"] {
        assert_eq!(bob.event("message")["text"], expected);
    }
    bob.end().with_code(0);
}

#[test]
fn a_relay_of_a_cluster_serves_alone_only_where_it_was_told_to() {
    let Some(several) = Several::start(0) else { return };
    leave_a_letter_alone(&several);
    let relay = several.relay(0, "127.0.0.1:0", &[]);
    relay.process.talk_with("has no more letters");
    relay.process.signal(Signal::SIGTERM);
    relay.process.end().with_code(0);
    let home = several.path("relay-0");
    for check in [&["--check"][..], &[]] {
        let serve = ["serve", "--listen", "127.0.0.1:0", "--home", text(&home)];
        let ended = Process::start(&[&serve, check].concat()).end().with_code(1);
        assert!(ended.transcript.contains("belongs to a cluster: give --cluster"), "{ended:#?}");
    }
    fs::remove_file(home.join("cluster.id")).unwrap();
    let relay = alone(&several);
    // Its names are there, its letters are in the engine; keys for letters come with their owners.
    let mut alice = enter(&relay.address, ALICE);
    alice.write(&text_to(OWNERS[0].0, "another"));
    assert_eq!(next(&mut alice, "error")["code"], "no_letterbox");
    let mut bob = enter(&relay.address, OWNERS[0]);
    assert_eq!(publish(&mut bob), 0);
    store(&mut alice, OWNERS[0].0, "another");
    let mut taken = Vec::new();
    take(&mut bob, &mut taken);
    assert_eq!(taken, ["another"]);
}
