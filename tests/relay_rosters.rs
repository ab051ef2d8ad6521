//! Who is told who is here, and when (`docs/protocol.md`, section 2, "Roster").

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use sealwax::relay::RelayConfig;
use sealwax::relay::limits::{ROSTER_INTERVAL_MAX, ROSTER_INTERVAL_MIN, ROSTERS_PER_TICK};
use serde_json::{Value, json};
use support::kernel::Peer;
use support::simulated::{Simulated, frames, hear, say};

fn userlist(names: &[&str]) -> Value {
    json!({"action": "userlist", "users": names})
}

fn roster(joined: &[&str], left: &[&str]) -> Value {
    json!({"action": "roster", "joined": joined, "left": left})
}

fn whole(joined: &[&str]) -> Value {
    json!({"action": "roster", "joined": joined, "left": [], "whole": true})
}

/// Whoever reads nothing but rosters.
#[derive(Default)]
struct Reader {
    known: BTreeSet<String>,
    rosters: usize,
}

impl Reader {
    fn read(&mut self, peer: &mut Peer) {
        self.believe(&hear(peer));
    }

    fn believe(&mut self, frames: &[Value]) {
        for frame in frames {
            let names = |list: &str| -> Vec<String> {
                serde_json::from_value(frame[list].clone()).unwrap_or_default()
            };
            if frame["action"] == "userlist" || frame["whole"] == true {
                self.known.clear();
            }
            for name in names("left") {
                self.known.remove(&name);
            }
            self.known.extend(names("users").into_iter().chain(names("joined")));
            self.rosters += 1;
        }
    }
}

#[test]
fn a_full_receiver_gets_the_list_at_each_change_and_a_lone_change_at_once() {
    let mut relay = Simulated::start(RelayConfig::default());
    let mut jg = relay.join("JG", "full");
    assert_eq!(hear(&mut jg), [userlist(&["JG"])]);
    relay.pass(ROSTER_INTERVAL_MIN);
    let mut yidir = relay.join("yidir", "full");
    assert_eq!(hear(&mut yidir), [userlist(&["JG", "yidir"])]);
    assert_eq!(hear(&mut jg), [userlist(&["JG", "yidir"])]);
    relay.pass(ROSTER_INTERVAL_MIN);
    relay.leave(yidir);
    assert_eq!(hear(&mut jg), [userlist(&["JG"])]);
    relay.pass(ROSTER_INTERVAL_MAX);
    assert!(hear(&mut jg).is_empty());
}

#[test]
fn full_is_the_default_and_strangers_are_told_nothing() {
    let mut relay = Simulated::start(RelayConfig::default());
    let mut stranger = relay.dial();
    let mut original = relay.dial();
    let pem = support::relay::PEM;
    say(&mut original, &json!({"action": "register", "name": "JG", "pubkey": pem}));
    relay.settle();
    assert_eq!(hear(&mut original), [userlist(&["JG"])]);
    let mut silent = relay.join("yidir", "none");
    relay.pass(ROSTER_INTERVAL_MIN);
    assert_eq!(hear(&mut original), [userlist(&["JG", "yidir"])]);
    assert_eq!((hear(&mut stranger), hear(&mut silent)), (vec![], vec![]));
}

#[test]
fn a_delta_receiver_gets_the_list_once_and_then_changes() {
    let mut relay = Simulated::start(RelayConfig::default());
    let _jg = relay.join("JG", "none");
    relay.pass(ROSTER_INTERVAL_MIN);
    let mut alice = relay.join("alice", "delta");
    assert_eq!(hear(&mut alice), [whole(&["JG", "alice"])]);
    relay.pass(ROSTER_INTERVAL_MIN);
    let bob = relay.join("bob", "none");
    assert_eq!(hear(&mut alice), [roster(&["bob"], &[])]);
    // Within one interval: who came and went was never there, who went and came did both.
    relay.leave(bob);
    let _bob = relay.join("bob", "none");
    let carol = relay.join("carol", "none");
    relay.leave(carol);
    assert!(hear(&mut alice).is_empty());
    relay.pass(ROSTER_INTERVAL_MIN);
    assert_eq!(hear(&mut alice), [roster(&["bob"], &["bob"])]);
}

#[test]
fn a_list_longer_than_a_frame_comes_in_parts_or_is_refused_once() {
    let config = RelayConfig { max_frame: 700, ..RelayConfig::default() };
    let mut relay = Simulated::start(config);
    let mut full = relay.join("full", "full");
    assert_eq!(hear(&mut full), [userlist(&["full"])]);
    let mut names: BTreeSet<String> = ["full".to_owned(), "delta".to_owned()].into();
    let mut users = Vec::new();
    for number in 0..100 {
        let name = format!("another user, number {number}");
        users.push(relay.join(&name, "none"));
        names.insert(name);
    }
    relay.pass(ROSTER_INTERVAL_MAX);
    let told = hear(&mut full);
    assert_eq!(told.iter().filter(|frame| frame["code"] == "roster_too_large").count(), 1);

    let mut delta = relay.join("delta", "delta");
    let bytes = delta.receive_all();
    assert!(bytes.split(|byte| *byte == b'\n').all(|frame| frame.len() <= 700));
    let parts = frames(&bytes);
    assert!(parts.len() > 3 && parts[0]["whole"] == true);
    assert!(parts[1..].iter().all(|part| part["whole"] == Value::Null));
    let mut reader = Reader::default();
    reader.believe(&parts);
    assert_eq!(reader.known, names);

    relay.pass(ROSTER_INTERVAL_MAX);
    assert!(hear(&mut full).is_empty());
    for user in users {
        user.close();
    }
    relay.settle();
    relay.pass(ROSTER_INTERVAL_MAX);
    assert_eq!(hear(&mut full).last(), Some(&userlist(&["full", "delta"])));
}

#[test]
fn an_unread_list_is_replaced_by_the_newest() {
    let mut relay = Simulated::start(RelayConfig::default());
    relay.kernel.set_buffer(600);
    let mut receivers = [relay.join("full", "full"), relay.join("delta", "delta")];
    relay.kernel.set_buffer(64 * 1024);
    let mut names: BTreeSet<String> = ["full".to_owned(), "delta".to_owned()].into();
    let mut users = Vec::new();
    for number in 0..100 {
        let name = format!("another user, number {number}");
        users.push(relay.join(&name, "none"));
        names.insert(name);
        relay.pass(ROSTER_INTERVAL_MIN);
    }
    for receiver in &mut receivers {
        let mut bytes = Vec::new();
        loop {
            let more = receiver.receive_all();
            if more.is_empty() {
                break;
            }
            bytes.extend(more);
            relay.settle();
        }
        let mut reader = Reader::default();
        reader.believe(&frames(&bytes));
        assert_eq!(reader.known, names);
        assert!(reader.rosters < 40, "{} rosters for a reader that stood still", reader.rosters);
    }
}

#[test]
fn many_joins_cost_few_rosters() {
    let room = 100;
    let mut relay = Simulated::start(RelayConfig::default());
    let mut receivers: Vec<_> = (0..room)
        .map(|number| (relay.join(&format!("user {number}"), "full"), Reader::default()))
        .collect();
    relay.pass(ROSTER_INTERVAL_MAX);
    let mut joined = Vec::new();
    for number in room..2 * room {
        joined.push(relay.join(&format!("user {number}"), "none"));
        relay.pass(Duration::from_millis(1));
    }
    relay.pass(ROSTER_INTERVAL_MAX);
    for (peer, reader) in &mut receivers {
        reader.read(peer);
        assert_eq!(reader.known.len(), 2 * room);
    }
    let (_, last) = &receivers[room - 1];
    assert!(last.rosters <= 2 + room / 40 + 1, "{} rosters for {room} joins", last.rosters);
}

/// Many receivers are told over several ticks: nobody else waits for all of them, and the last are
/// told too, also where others keep coming and going.
#[test]
fn a_crowd_of_receivers_is_told_a_part_of_it_a_tick() {
    let mut relay = Simulated::start(RelayConfig::default());
    let crowd = 5 * ROSTERS_PER_TICK;
    let mut all: Vec<_> = (0..crowd).map(|at| relay.join(&format!("user{at}"), "full")).collect();
    relay.pass(ROSTER_INTERVAL_MAX);
    for peer in &mut all {
        while !peer.receive_all().is_empty() {
            relay.settle();
        }
    }
    relay.pass(ROSTER_INTERVAL_MAX);
    for peer in &mut all {
        peer.receive_all();
    }
    let mut last = relay.dial();
    let pem = support::relay::PEM;
    let named = json!({"action": "register", "name": "last", "pubkey": pem, "roster": "none"});
    say(&mut last, &named);
    relay.kernel.advance(ROSTER_INTERVAL_MAX);
    let (mut told, mut ticks) = (0, 0);
    while told < crowd {
        relay.reactor.tick(&mut relay.relay, Some(Duration::ZERO)).unwrap();
        let heard =
            all.iter_mut().filter_map(|peer| Some(peer.receive_all()).filter(|it| !it.is_empty()));
        let now = heard.count();
        assert!(now <= ROSTERS_PER_TICK, "{now} were told in one tick");
        told += now;
        ticks += 1;
        assert!(ticks < 100, "{told} were told");
    }
}
