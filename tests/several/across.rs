//! What works on one relay works between two.

use sealwax::wire::{RosterMode, compose};
use serde_json::{Value, json};

use super::support::process::Homes;
use super::support::relay::{Account, PEM, register};
use super::support::several::Several;
use super::{letter_key, message, next};

#[test]
fn originals_at_two_relays_see_ask_and_write_to_each_other() {
    let Some(several) = Several::start(2) else { return };
    let mut jg = several.original(0, "JG");
    let mut list = several.connect(1);
    list.send(&json!({"action": "register", "name": "watcher", "pubkey": PEM}));
    // The first list may not have the one who came to the other relay just now.
    while !next(&mut list, "userlist")["users"].as_array().unwrap().contains(&json!("JG")) {}
    list.send(&json!({"action": "get_pubkey", "target": "JG"}));
    assert_eq!(next(&mut list, "pubkey"), json!({"action": "pubkey", "from": "JG", "pubkey": PEM}));
    let key = json!({"action": "send_key", "to": "JG", "key": "AA"});
    list.send(&key);
    let came = jg.frame();
    assert_eq!((&came["action"], &came["from"]), (&json!("send_key"), &json!("watcher")));
    list.send(&message("JG", "1", false));
    assert_eq!(next(&mut list, "relayed")["to"], "JG");
    assert_eq!(jg.frame()["from"], "watcher");
    // A name is one connection's, wherever it is.
    let mut other = several.connect(1);
    other.send(&register("JG", "none"));
    assert_eq!(other.refused("name_in_use")["code"], "name_in_use");
    other.send(&register("JG2", "none"));
    other.ping();
    drop(jg);
    while next(&mut list, "userlist")["users"].as_array().unwrap().contains(&json!("JG")) {}
    list.send(&message("JG", "2", false));
    assert_eq!(next(&mut list, "error")["code"], "unknown_user");
}

#[test]
fn users_of_version_2_are_bound_replaced_and_answered_across_relays() {
    let Some(several) = Several::start(2) else { return };
    let (alice, bob) = (Account::alice(), Account::bob());
    let (mut at0, mut at1) = (several.connect(0), several.connect(1));
    assert_eq!(alice.register(&mut at0, RosterMode::Delta)["action"], "registered");
    assert_eq!(bob.register(&mut at1, RosterMode::None)["action"], "registered");
    // The roster of relay 0 has who came to relay 1.
    let mut users = Vec::new();
    while !users.contains(&json!("bob")) {
        users.extend(next(&mut at0, "roster")["joined"].as_array().unwrap().clone());
    }
    at0.send(&json!({"action": "get_pubkey", "target": "bob", "id": "k", "v": 2}));
    let known = next(&mut at0, "pubkey");
    assert_eq!((&known["pubkey"], &known["away"]), (&json!(bob.pem()), &Value::Null));
    assert_eq!(known["prekey"]["id"], bob.prekey.id);
    at0.send(&message("bob", "1", true));
    let relayed = json!({"action": "relayed", "id": "1", "to": "bob", "prekey": bob.prekey.id});
    assert_eq!(next(&mut at0, "relayed"), relayed);
    assert_eq!(at1.frame()["id"], "1");
    // Of another version, and nobody.
    let mut original = several.original(1, "JG");
    original.send(&message("alice", "2", false));
    original.refused("not_v2");
    at0.send(&message("nobody", "3", true));
    assert_eq!(next(&mut at0, "error")["code"], "unknown_user");
    // The same user again, elsewhere: the older connection ends.
    let mut moved = several.connect(1);
    assert_eq!(alice.register(&mut moved, RosterMode::None)["action"], "registered");
    assert_eq!(next(&mut at0, "error")["code"], "replaced");
    at1.send(&message("alice", "4", true));
    assert_eq!(at1.frame()["action"], "relayed");
    assert_eq!(moved.frame()["id"], "4");
    // Another key, elsewhere: the name stays hers, also while she is away.
    drop(moved);
    let eve = Account::new("alice", include_str!("../data/bob.pem"));
    let mut stranger = several.connect(1);
    stranger.send(&eve.claim(RosterMode::None));
    let mut answer = stranger.frame();
    if answer["action"] == "challenge" {
        stranger.send(&eve.prove(&answer.to_string()));
        answer = stranger.frame();
    }
    assert_eq!(answer["code"], "name_bound", "{answer}");
}

#[test]
fn people_at_two_relays_talk_and_leave_letters() {
    let Some(several) = Several::start(2) else { return };
    let homes = Homes::new();
    let (at0, at1) = (&several.relays[0].address, &several.relays[1].address);
    let recv = homes.client("bob", at1, &["recv", "--count", "2", "--json"]);
    recv.event("registered");
    let mut send = homes.client("alice", at0, &["send", "bob", "--until", "delivered"]);
    send.say("one");
    send.say("two");
    send.finish_input();
    assert_eq!(recv.event("message")["text"], "one");
    assert_eq!(recv.event("message")["text"], "two");
    recv.end().with_code(0);
    send.end().with_code(0);
    // Bob is away now: what relay 0 stored is at relay 1 when he is back.
    let mut send = homes.client("alice", at0, &["send", "bob", "--until", "stored"]);
    send.say("three");
    send.finish_input();
    send.end().with_code(0);
    let recv = homes.client("bob", at1, &["recv", "--count", "1", "--json"]);
    assert_eq!(recv.event("message")["text"], "three");
    recv.end().with_code(0);
}

#[test]
fn who_sends_no_more_gets_what_another_relay_still_owes_before_the_end() {
    let Some(several) = Several::start(2) else { return };
    let (mut jg, mut yidir) = (several.original(0, "JG"), several.original(1, "yidir"));
    for id in ["1", "2"] {
        jg.send(&message("yidir", id, false)); // sought first, and known afterwards
    }
    jg.send(&message("nobody", "3", false));
    jg.finish_writing();
    let mut answers = [jg.frame(), jg.frame(), jg.frame()];
    answers.sort_by_key(|it| it["id"].to_string());
    let actions = answers.each_ref().map(|answer| answer["action"].as_str());
    assert_eq!(actions, [Some("relayed"), Some("relayed"), Some("error")], "{answers:?}");
    jg.closed();
    for id in ["1", "2"] {
        assert_eq!(yidir.frame()["id"], id);
    }
}

#[test]
fn who_does_not_ask_for_letter_keys_is_told_of_users_elsewhere_as_of_users_here() {
    let Some(several) = Several::start(2) else { return };
    let bob = Account::bob();
    let mut at1 = several.connect(1);
    bob.register(&mut at1, RosterMode::None);
    at1.write(&compose::letterbox(&letter_key()));
    assert_eq!(at1.frame()["action"], "letterbox");
    let mut asking = several.original(0, "JG");
    let mut ask = |letters: bool| {
        asking.send(&json!({"action": "get_pubkey", "target": "bob", "letters": letters}));
        asking.frame()
    };
    let here = [ask(false), ask(true)];
    assert!(here[0]["letter_key"].is_null() && here[1]["letter_key"].is_object(), "{here:?}");
    assert!(here.iter().all(|it| it["prekey"].is_object() && it["away"].is_null()), "{here:?}");
    drop(at1);
    while ask(false)["code"] != "unknown_user" {}
    let away = ask(true);
    assert_eq!((&away["away"], &away["pubkey"]), (&json!(true), &json!(bob.pem())));
}
