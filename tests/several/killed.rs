//! One of the processes is killed.

use nix::sys::signal::Signal;
use sealwax::wire::RosterMode;
use serde_json::json;

use super::support::process::Homes;
use super::support::relay::Account;
use super::support::several::Several;
use super::{message, talk};

/// Kills the relay of this number.
fn kill(several: &mut Several, number: usize) -> String {
    let relay = several.relays.remove(number);
    relay.process.signal(Signal::SIGKILL);
    relay.process.end();
    relay.address
}

#[test]
fn the_names_of_a_relay_that_was_killed_are_free_and_senders_are_told() {
    let Some(mut several) = Several::start(2) else { return };
    let (alice, bob) = (Account::alice(), Account::bob());
    let (mut at0, mut at1) = (several.connect(0), several.connect(1));
    alice.register(&mut at0, RosterMode::Delta);
    bob.register(&mut at1, RosterMode::None);
    let _jg = several.original(1, "JG");
    talk(&mut at0, ("bob", &mut at1), "1", true);
    kill(&mut several, 1);
    // Before its lease has ended nobody knows: the sender is told that nothing came.
    at0.send(&message("bob", "2", true));
    let mut left = Vec::new();
    let mut is_told = false;
    while !(is_told && left.contains(&json!("bob")) && left.contains(&json!("JG"))) {
        let frame = at0.frame();
        if frame["action"] == "roster" {
            left.extend(frame["left"].as_array().unwrap().clone());
        } else if frame["id"] == "2" {
            assert_eq!(frame["code"], "unknown_user", "{frame}");
            is_told = true;
        }
    }
    // Their names are free: the original's for anybody, the other for its key.
    let mut again = several.connect(0);
    assert_eq!(bob.register(&mut again, RosterMode::None)["action"], "registered");
    talk(&mut at0, ("bob", &mut again), "3", true);
    drop(several.original(0, "JG"));
}

#[test]
fn a_conversation_outlives_each_of_its_processes() {
    let Some(mut several) = Several::start(2) else { return };
    let homes = Homes::new();
    let (at0, at1) = (several.relays[0].address.clone(), several.relays[1].address.clone());
    let bob = homes.client("bob", &at1, &["recv", "--json"]);
    bob.event("registered");
    let mut alice = homes.client("alice", &at0, &["chat", "bob"]);
    let mut said = 0;
    let mut go_on = |several: &Several| {
        let _ = several;
        said += 1;
        alice.say(&format!("line {said}"));
        assert_eq!(bob.event("message")["text"], format!("line {said}"));
    };
    go_on(&several);
    // The relay of the one who listens.
    kill(&mut several, 1);
    let relay = several.relay(1, &at1, &[]);
    several.relays.push(relay);
    go_on(&several);
    // The relay of the one who writes.
    kill(&mut several, 0);
    let relay = several.relay(0, &at0, &[]);
    several.relays.insert(0, relay);
    go_on(&several);
    // The engine, which has kept nothing: relay 0 begins it again.
    several.redis.kill();
    several.redis.start_again(&[]);
    go_on(&several);
    // Nothing was shown twice.
    bob.signal(Signal::SIGTERM);
    let ended = bob.end();
    assert_eq!(ended.transcript.matches("\"event\":\"message\"").count(), 4, "{ended:#?}");
}
