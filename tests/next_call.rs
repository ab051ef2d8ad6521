//! Six situations of `docs/loop`, as the system calls that the relay makes next: the tables there
//! say the same in words.
//!
//! On a kernel in memory, which notes each call. Left out are those of the log, and the waits in
//! which nothing came of it.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::collections::BTreeMap;
use std::time::Duration;

use sealwax::reactor::limits::{ACCEPT_BACKOFF, FINISH_TIMEOUT, FRAME_TIMEOUT, WRITE_TIMEOUT};
use sealwax::relay::RelayConfig;
use sealwax::relay::limits::FLUSH_TIMEOUT;
use serde_json::{Value, json};

use crate::support::kernel::{Call, Op, Peer};
use crate::support::simulated::{Simulated, frames, hear, say};

mod support;

/// A relay whose descriptors have names.
struct Room {
    simulated: Simulated,
    names: BTreeMap<usize, &'static str>,
}

impl Room {
    fn new() -> Self {
        let mut room =
            Self { simulated: Simulated::start(RelayConfig::default()), names: BTreeMap::new() };
        room.simulated.kernel.signal(1); // SIGHUP, which changes nothing
        let signals = room.descriptor(Op::Read);
        let newcomer = room.simulated.kernel.dial(room.simulated.at);
        let listener = room.descriptor(Op::Accept);
        newcomer.close();
        room.simulated.settle();
        room.names.extend([(signals, "signals"), (listener, "listener")]);
        room
    }

    fn join(&mut self, name: &'static str) -> Peer {
        let mut peer = self.simulated.join(name, "none");
        say(&mut peer, &json!({"action": "ping"}));
        let number = self.descriptor(Op::Read);
        self.names.insert(number, name);
        hear(&mut peer);
        self.simulated.settle(); // so that nobody is on the ready list
        peer
    }

    /// Whose descriptor the next call of this kind is about.
    fn descriptor(&mut self, op: Op) -> usize {
        let calls = self.tick();
        let call = calls.iter().find(|call| call.op == op).unwrap();
        let number = call.fd.unwrap();
        self.simulated.settle();
        number
    }

    fn tick(&mut self) -> Vec<Call> {
        let Simulated { kernel, reactor, relay, log, .. } = &mut self.simulated;
        kernel.calls();
        reactor.tick(relay, None).unwrap();
        log.receive_all();
        kernel.calls()
    }

    /// The calls of the next tick in which something is done, and how long the loop slept before.
    fn next(&mut self) -> (Duration, Vec<String>) {
        let begun = self.simulated.reactor.context().now();
        loop {
            let calls = self.tick();
            let told: Vec<_> = calls.iter().filter_map(|call| self.told(call)).collect();
            if !told.is_empty() {
                return (self.simulated.reactor.context().now().since(begun), told);
            }
        }
    }

    /// The same, without having slept.
    fn at_once(&mut self) -> Vec<String> {
        let (slept, calls) = self.next();
        assert_eq!(slept, Duration::ZERO, "{calls:?}");
        calls
    }

    fn told(&self, call: &Call) -> Option<String> {
        let whose = self.names.get(&call.fd?)?;
        let name = match call.op {
            Op::Wait => return None,
            Op::Watch => "epoll_ctl",
            Op::Accept => "accept4",
            Op::Read => "read",
            Op::Writev => "writev",
            Op::Shutdown => "shutdown",
            Op::Close => "close",
            Op::Listen | Op::Connect | Op::Error | Op::Open => "another call",
        };
        Some(match call.outcome {
            Ok(0) if call.op == Op::Read => format!("{name} {whose} = 0"),
            Ok(_) => format!("{name} {whose}"),
            Err(errno) => format!("{name} {whose}: {errno:?}"),
        })
    }
}

fn message(to: &str, content: &str) -> Value {
    json!({"action": "message", "to": to, "content": content})
}

/// Fills what the kernel takes for a user, and more.
fn fill(room: &mut Room, from: &mut Peer, to: &str) {
    let from_name = "alice";
    for round in 0..2 {
        say(from, &message(to, &"x".repeat(40_000)));
        let calls = room.at_once();
        let mut expected = vec![format!("read {from_name}"), format!("writev {to}")];
        if round == 1 {
            expected.push(format!("epoll_ctl {to}")); // a short write: room is asked for
        }
        assert_eq!(calls, expected);
    }
}

#[test]
fn a_message_from_a_to_b() {
    let mut room = Room::new();
    let (mut alice, mut bob) = (room.join("alice"), room.join("bob"));
    say(&mut alice, &message("bob", "hello"));
    assert_eq!(room.at_once(), ["read alice", "writev bob"]);
    let mut with_id = message("bob", "hello");
    with_id["id"] = "7".into();
    say(&mut alice, &with_id);
    assert_eq!(room.at_once(), ["read alice", "writev bob", "writev alice"]);
    assert_eq!(hear(&mut bob).len(), 2);
}

#[test]
fn b_does_not_read() {
    let mut room = Room::new();
    let (mut alice, mut bob) = (room.join("alice"), room.join("bob"));
    fill(&mut room, &mut alice, "bob");
    say(&mut alice, &message("bob", "and more"));
    assert_eq!(room.at_once(), ["read alice"], "no write is tried");
    // He reads a little: there is room, and then there is none.
    room.simulated.pass(Duration::from_secs(1));
    bob.receive(1000).unwrap();
    assert_eq!(room.at_once(), ["writev bob"]);
    // From then on nothing.
    let (slept, calls) = room.next();
    assert_eq!((slept, calls), (WRITE_TIMEOUT, vec!["epoll_ctl bob".to_owned()]));
    let (slept, calls) = room.next();
    assert_eq!((slept, calls), (FINISH_TIMEOUT, vec!["close bob".to_owned()]));
}

#[test]
fn b_reads_again() {
    let mut room = Room::new();
    let (mut alice, mut bob) = (room.join("alice"), room.join("bob"));
    fill(&mut room, &mut alice, "bob");
    bob.receive_all();
    assert_eq!(room.at_once(), ["writev bob", "epoll_ctl bob"], "all has left");
    assert!(!bob.receive_all().is_empty());
}

#[test]
fn b_vanished_while_a_sends() {
    // He ended first: his name is free when her frame is looked at.
    let mut room = Room::new();
    let (mut alice, bob) = (room.join("alice"), room.join("bob"));
    bob.close();
    say(&mut alice, &message("bob", "hello"));
    assert_eq!(room.at_once(), ["read bob = 0", "read alice", "writev alice", "close bob"]);
    assert_eq!(hear(&mut alice)[0]["code"], "unknown_user");

    // He broke first: his name is free at the end of the tick, and nothing is taken for him before.
    let mut room = Room::new();
    let (mut alice, bob) = (room.join("alice"), room.join("bob"));
    bob.reset();
    say(&mut alice, &message("bob", "hello"));
    let calls = ["read bob: ECONNRESET", "read alice", "writev alice", "close bob"];
    assert_eq!(room.at_once(), calls);
    assert_eq!(hear(&mut alice)[0]["code"], "unknown_user");
    say(&mut alice, &message("bob", "hello"));
    assert_eq!(room.at_once(), ["read alice", "writev alice"]);

    // She was first: he is written to although he has ended, and not if he broke.
    let mut room = Room::new();
    let (mut alice, bob) = (room.join("alice"), room.join("bob"));
    say(&mut alice, &message("bob", "hello"));
    bob.reset();
    assert_eq!(room.at_once(), ["read alice", "read bob: ECONNRESET", "close bob"]);
    let mut bob = room.join("bob");
    say(&mut alice, &message("bob", "hello"));
    bob.shut();
    assert_eq!(room.at_once(), ["read alice", "read bob = 0", "writev bob", "close bob"]);
    assert_eq!(hear(&mut bob).len(), 1);
}

#[test]
fn the_descriptor_limit_is_reached() {
    let mut room = Room::new();
    let _alice = room.join("alice");
    room.simulated.kernel.set_limit(room.simulated.kernel.descriptors());
    let _newcomer = room.simulated.kernel.dial(room.simulated.at);
    let _another = room.simulated.kernel.dial(room.simulated.at);
    assert_eq!(room.at_once(), ["accept4 listener: EMFILE", "epoll_ctl listener"]);
    let (slept, calls) = room.next();
    assert_eq!((slept, calls), (ACCEPT_BACKOFF, vec!["epoll_ctl listener".to_owned()]));
    assert_eq!(room.at_once(), ["accept4 listener: EMFILE", "epoll_ctl listener"]);
}

#[test]
fn half_a_frame_and_silence() {
    let mut room = Room::new();
    let mut alice = room.join("alice");
    alice.send(br#"{"action":"mess"#);
    assert_eq!(room.at_once(), ["read alice"]);
    let (slept, calls) = room.next();
    let expected = ["writev alice", "shutdown alice"].map(str::to_owned).to_vec();
    assert_eq!((slept, calls), (FRAME_TIMEOUT, expected));
    assert_eq!(hear(&mut alice)[0]["code"], "frame_timeout");
    alice.close();
    assert_eq!(room.at_once(), ["read alice = 0", "close alice"]);
}

#[test]
fn sigterm_with_bytes_queued() {
    let mut room = Room::new();
    let (mut alice, mut carol) = (room.join("alice"), room.join("carol"));
    fill(&mut room, &mut alice, "carol");
    room.simulated.kernel.signal(15);
    let mut calls = room.at_once();
    assert_eq!(calls.remove(0), "read signals");
    let expected = ["writev alice", "shutdown alice", "epoll_ctl carol", "close listener"];
    assert_eq!(calls, expected);
    // She takes it all, her goodbye last; but neither of them closes.
    let mut heard = carol.receive_all();
    assert_eq!(room.at_once(), ["writev carol", "shutdown carol", "epoll_ctl carol"]);
    heard.extend(carol.receive_all());
    assert_eq!(frames(&heard).last().unwrap()["code"], "shutting_down");
    assert_eq!(room.simulated.run(), FLUSH_TIMEOUT);
}
