//! Situations of `docs/loop`, as the system calls that the relay makes next: the tables there say
//! the same in words, and so do the problems of `docs/loop/problems.md`.
//!
//! On a kernel in memory, which notes each call. Left out are those of the log (where it is not the
//! subject), and the waits in which nothing came of it.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use nix::errno::Errno;
use sealwax::reactor::limits::{
    ACCEPT_BACKOFF, ACCEPTS_PER_TICK, FINISH_TIMEOUT, FRAME_TIMEOUT, READ_SIZE, SLICES_PER_WRITE,
    TURNED_AWAY_PER_TICK, WRITE_TIMEOUT,
};
use sealwax::reactor::{Config, Event, Token, Trigger};
use sealwax::relay::RelayConfig;
use sealwax::relay::limits::FLUSH_TIMEOUT;
use serde_json::{Value, json};

use crate::support::kernel::{Call, Fault, Op, Peer};
use crate::support::relay::Account;
use crate::support::simulated::{Simulated, frames, hear, say};

mod support;

/// A relay whose descriptors have names.
struct Room {
    simulated: Simulated,
    names: BTreeMap<usize, &'static str>,
}

impl Room {
    fn new() -> Self {
        Self::with(RelayConfig::default(), Trigger::Level)
    }

    fn with(config: RelayConfig, trigger: Trigger) -> Self {
        let simulated = Simulated::with(config, &Config { trigger, ..Config::default() });
        let mut room = Self { simulated, names: BTreeMap::new() };
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
        self.name(&mut peer, name);
        peer
    }

    /// Whose calls are told from now on.
    fn name(&mut self, peer: &mut Peer, name: &'static str) {
        say(peer, &ping());
        let number = self.descriptor(Op::Read);
        self.names.insert(number, name);
        hear(peer);
        self.simulated.settle(); // so that nobody is on the ready list
    }

    /// The descriptor of this name.
    fn number(&self, name: &str) -> usize {
        *self.names.iter().find(|(_, it)| **it == name).unwrap().0
    }

    /// The next call of this kind, about this name, goes wrong in this way.
    fn inject_once(&self, op: Op, name: Option<&str>, fault: Fault) {
        let number = name.map(|name| self.number(name));
        let left = Cell::new(Some(fault));
        self.simulated.kernel.inject(move |its_op, its_number| {
            if its_op == op && its_number == number { left.take() } else { None }
        });
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

fn ping() -> Value {
    json!({"action": "ping"})
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

/// Rows of the table behind `title` on the page to print, each in cells.
fn table_of_the_page(title: &str) -> Vec<Vec<&'static str>> {
    let (_, behind) = include_str!("../docs/loop/page.md").split_once(title).unwrap();
    let rows = behind.lines().skip_while(|line| !line.starts_with('|'));
    let rows = rows.take_while(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// The calls of the tick that the page to print goes through. The row of its table of questions
/// that each is said to come from has this call.
fn calls_of_the_page() -> Vec<String> {
    let questions = table_of_the_page("**Which call comes next?**");
    let mut calls = Vec::new();
    for step in table_of_the_page("**One tick, row by row.**") {
        let call = step[1].split(' ').next().unwrap();
        let row = questions.iter().find(|row| row[0] == step[0]).unwrap();
        assert!(row[2].contains(call), "row {}: {call}", step[0]);
        if call != "none" {
            calls.push(step[1].replace('`', "").replace(" of ", " ").replace(" to ", " "));
        }
    }
    calls
}

#[test]
fn the_tick_of_the_page_to_print() {
    let (before, left) = (Duration::from_secs(25), Duration::from_secs(5));
    assert_eq!(before + left, FRAME_TIMEOUT);
    let mut room = Room::new();
    let (mut alice, mut bob) = (room.join("alice"), room.join("bob"));
    let (carol, mut dave) = (room.join("carol"), room.join("dave"));
    dave.send(br#"{"action":"mess"#);
    assert_eq!(room.at_once(), ["read dave"]);
    room.simulated.pass(before);
    fill(&mut room, &mut alice, "bob");
    room.simulated.kernel.advance(left);
    let looked = room.tick(); // nothing had come of dave
    assert!(looked.iter().all(|call| call.op == Op::Wait), "{looked:?}");

    let mut with_id = message("bob", "hello");
    with_id["id"] = "7".into();
    say(&mut alice, &with_id);
    bob.receive_all();
    carol.close();
    let mut calls = room.at_once();
    let now = room.simulated.reactor.context().now();
    assert_eq!(room.tick().len(), 1, "one wait");
    assert_eq!(room.simulated.reactor.context().now(), now, "it does not sleep");
    calls.push("epoll_wait with 0".to_owned());
    assert_eq!(calls, calls_of_the_page());
    assert_eq!(hear(&mut dave)[0]["code"], "frame_timeout");
}

// --- The problems of `docs/loop/problems.md`, in its order ---

fn a_burst_beside_a_small_sender(trigger: Trigger) -> Vec<Vec<String>> {
    let mut room = Room::with(RelayConfig::default(), trigger);
    room.simulated.kernel.set_buffer(4 * READ_SIZE);
    let (mut alice, mut bob) = (room.join("alice"), room.join("bob"));
    let mut carol = room.join("carol");
    let burst = message("carol", &"x".repeat(40_000)).to_string().repeat(4);
    assert_eq!(alice.send(burst.as_bytes()), burst.len());
    let mut ticks = Vec::new();
    for _ in 0..3 {
        say(&mut bob, &ping());
        ticks.push(room.at_once());
        assert_eq!(hear(&mut bob).len(), 1, "he waits for nobody");
    }
    assert_eq!(frames(&carol.receive_all()).len(), 4);
    ticks
}

#[test]
fn a_burst_takes_one_read_a_tick_under_level() {
    let ticks = a_burst_beside_a_small_sender(Trigger::Level);
    let tick = ["read alice", "read bob", "writev carol", "writev bob"];
    assert_eq!(ticks, [tick; 3]);
}

#[test]
fn a_burst_takes_one_read_a_tick_under_edge() {
    let ticks = a_burst_beside_a_small_sender(Trigger::Edge);
    let tick = ["read alice", "read bob", "writev carol", "writev bob"];
    assert_eq!(ticks, [tick; 3]);
}

#[test]
fn who_is_closed_later_in_the_same_list_is_read_and_not_answered() {
    let mut room = Room::new();
    let account = Account::alice();
    let mut old = room.simulated.enter(&account);
    room.name(&mut old, "old");
    let mut new = room.simulated.dial();
    say(&mut new, &account.claim(sealwax::wire::RosterMode::None));
    let number = room.descriptor(Op::Read);
    room.names.insert(number, "new");
    let challenge = String::from_utf8(new.receive_all()).unwrap();
    say(&mut new, &account.prove(challenge.trim_end()));
    say(&mut old, &ping());
    let calls = ["read new", "read old", "writev old", "shutdown old", "writev new"];
    assert_eq!(room.at_once(), calls);
    let heard = hear(&mut old); // and no answer to its ping
    assert_eq!((heard.len(), &heard[0]["code"]), (1, &"replaced".into()));
}

#[test]
fn after_a_stop_what_came_in_time_is_read_before_a_deadline_is_told() {
    let stop = Duration::from_secs(40);
    let mut room = Room::new();
    let (mut alice, mut bob) = (room.join("alice"), room.join("bob"));
    let frame = message("bob", "hello").to_string();
    let (half, rest) = frame.as_bytes().split_at(20);
    alice.send(half);
    assert_eq!(room.at_once(), ["read alice"]);
    alice.send(rest);
    room.simulated.kernel.advance(stop);
    let (_, calls) = room.next();
    assert_eq!(calls, ["read alice", "writev bob"]);
    assert_eq!(hear(&mut bob).len(), 1);
    // The rest has not come: it is told in the tick after the one that looked.
    alice.send(half);
    assert_eq!(room.at_once(), ["read alice"]);
    room.simulated.kernel.advance(stop);
    let looked = room.tick();
    assert!(looked.iter().all(|call| call.op == Op::Wait), "{looked:?}");
    assert_eq!(room.at_once(), ["writev alice", "shutdown alice"]);
    assert_eq!(hear(&mut alice)[0]["code"], "frame_timeout");
}

#[test]
fn a_log_that_nobody_reads_stops_nobody() {
    let mut room = Room::new();
    let mut alice = room.join("alice");
    let number = room.number("alice");
    let mut refused = |room: &mut Room| {
        say(&mut alice, &message("nobody", "hello"));
        room.simulated.kernel.calls();
        let Simulated { kernel, reactor, relay, .. } = &mut room.simulated;
        reactor.tick(relay, None).unwrap();
        assert_eq!(hear(&mut alice)[0]["code"], "unknown_user");
        kernel.calls()
    };
    let is_log = |call: &&Call| call.op == Op::Writev && call.fd != Some(number);
    let log = refused(&mut room).iter().find(is_log).unwrap().fd.unwrap();
    room.names.insert(log, "log");
    let told = |room: &Room, calls: Vec<Call>| -> Vec<String> {
        calls.iter().filter_map(|call| room.told(call)).collect()
    };
    let mut last = Vec::new();
    while !last.contains(&"epoll_ctl log".to_owned()) {
        let calls = refused(&mut room);
        last = told(&room, calls);
    }
    assert_eq!(last, ["read alice", "writev alice", "writev log", "epoll_ctl log"]);
    for _ in 0..10 {
        let calls = refused(&mut room);
        assert_eq!(told(&room, calls), ["read alice", "writev alice"]);
    }
}

#[test]
fn ten_thousand_newcomers_never_exhaust_a_thousand_descriptors() {
    const DESCRIPTORS: usize = 1000;
    let config = RelayConfig { max_connections: 900, ..RelayConfig::default() };
    let mut room = Room::with(config, Trigger::Level);
    room.simulated.kernel.set_limit(DESCRIPTORS);
    let (mut accepted, mut ticks) = (0, Vec::new());
    let mut newcomers = Vec::new();
    for _ in 0..10_000 {
        newcomers.push(room.simulated.kernel.dial(room.simulated.at));
    }
    while accepted < newcomers.len() {
        let calls = room.tick();
        let count = |op| calls.iter().filter(|call| call.op == op).count();
        let failed = |call: &Call| call.outcome.is_err_and(|errno| errno != Errno::EAGAIN);
        assert!(!calls.iter().any(failed), "{calls:?}");
        assert!(count(Op::Accept) <= ACCEPTS_PER_TICK, "{calls:?}");
        assert!(count(Op::Close) <= TURNED_AWAY_PER_TICK, "{calls:?}");
        let is_taken = |call: &&Call| call.op == Op::Accept && call.outcome.is_ok();
        ticks.push(calls.iter().filter(is_taken).count());
        accepted += ticks[ticks.len() - 1];
        assert!(room.simulated.kernel.descriptors() < DESCRIPTORS);
    }
    let first = [[ACCEPTS_PER_TICK; 14].as_slice(), &[4 + 8, 8, 8]].concat();
    assert_eq!(ticks[..17], first);
    assert_eq!(newcomers.iter().filter(|it| !it.has_ended()).count(), 900);
}

#[test]
fn ten_of_64_slices_are_taken() {
    let mut room = Room::new();
    let names = ["alice", "carol", "david", "erica", "frank"];
    let mut senders = names.map(|name| room.join(name));
    room.simulated.kernel.set_buffer(1024 * 1024);
    let mut bob = room.join("bob");
    let frame = message("bob", &"x".repeat(3000));
    say(&mut senders[0], &frame);
    room.at_once();
    let slice = bob.receive_all().len(); // no second one fits into a chunk
    let burst = frame.to_string().repeat(20);
    for sender in &mut senders {
        assert_eq!(sender.send(burst.as_bytes()), burst.len());
    }
    room.inject_once(Op::Writev, Some("bob"), Fault::Short(10 * slice));
    // All of them have sent much: the flush is left to the next tick, which finds nothing more.
    assert_eq!(room.at_once().len(), names.len());
    assert_eq!(room.at_once(), ["writev bob", "epoll_ctl bob"]);
    assert_eq!(bob.receive_all().len(), 10 * slice);
    // All 64 slices are taken now: the kernel is not full, so it is not asked for room.
    assert_eq!(room.at_once(), ["writev bob", "epoll_ctl bob"]);
    assert_eq!(bob.receive_all().len(), SLICES_PER_WRITE * slice);
    assert_eq!(room.at_once(), ["writev bob"]);
    assert_eq!(bob.receive_all().len(), 26 * slice);
}

#[test]
fn what_a_deadline_brings_leaves_with_the_same_write() {
    let mut room = Room::new();
    let (mut alice, mut bob) = (room.join("alice"), room.join("bob"));
    alice.send(br#"{"action":"mess"#);
    assert_eq!(room.at_once(), ["read alice"]);
    room.simulated.kernel.advance(FRAME_TIMEOUT);
    let looked = room.tick(); // nothing had come of her
    assert!(looked.iter().all(|call| call.op == Op::Wait), "{looked:?}");
    say(&mut bob, &message("alice", "hello"));
    assert_eq!(room.at_once(), ["read bob", "writev alice", "shutdown alice"]);
    let heard = hear(&mut alice);
    assert_eq!(
        (&heard[0]["content"], &heard[1]["code"]),
        (&"hello".into(), &"frame_timeout".into())
    );
}

#[test]
fn who_has_said_all_is_still_answered() {
    let mut room = Room::new();
    let mut alice = room.join("alice");
    say(&mut alice, &ping());
    alice.shut();
    assert_eq!(room.at_once(), ["read alice", "writev alice"]);
    assert_eq!(hear(&mut alice).len(), 1);
    assert_eq!(room.at_once(), ["read alice = 0", "close alice"]);
}

/// An event that says that this source can be read.
fn readable(token: Token) -> Event {
    Event { token, readable: true, writable: false, rdhup: false, hangup: false }
}

#[test]
fn an_event_without_bytes_costs_one_read() {
    let mut room = Room::new();
    let before = room.simulated.kernel.watched();
    let mut alice = room.join("alice");
    let watched = room.simulated.kernel.watched();
    let token = *watched.iter().find(|token| !before.contains(token)).unwrap();
    room.inject_once(Op::Wait, None, Fault::Stale(readable(token)));
    assert_eq!(room.at_once(), ["read alice: EAGAIN"]);
    say(&mut alice, &ping());
    assert_eq!(room.at_once(), ["read alice", "writev alice"]);
}

#[test]
fn an_event_of_who_was_closed_reaches_nobody() {
    let mut room = Room::new();
    let alice = room.join("alice");
    room.simulated.leave(alice);
    let token = *room.simulated.kernel.retired().last().unwrap();
    let mut bob = room.join("bob"); // in her slot
    room.inject_once(Op::Wait, None, Fault::Stale(readable(token)));
    let calls = room.tick();
    assert!(calls.iter().all(|call| call.op == Op::Wait), "{calls:?}");
    say(&mut bob, &ping());
    assert_eq!(room.at_once(), ["read bob", "writev bob"]);
}

#[test]
fn a_reset_between_the_wait_and_the_read_ends_one_connection() {
    let mut room = Room::new();
    let (mut alice, mut bob) = (room.join("alice"), room.join("bob"));
    say(&mut alice, &ping());
    say(&mut bob, &ping());
    let (number, left) = (room.number("alice"), Cell::new(Some(alice)));
    room.simulated.kernel.inject(move |op, its_number| {
        if op == Op::Read
            && its_number == Some(number)
            && let Some(alice) = left.take()
        {
            alice.reset();
        }
        None
    });
    let calls = ["read alice", "read bob", "writev alice: ECONNRESET", "writev bob", "close alice"];
    assert_eq!(room.at_once(), calls);
    assert_eq!(hear(&mut bob).len(), 1);
}

#[test]
fn an_error_of_who_is_blocked_is_read_and_not_written_to() {
    let mut room = Room::new();
    let (mut alice, bob) = (room.join("alice"), room.join("bob"));
    fill(&mut room, &mut alice, "bob");
    bob.reset();
    assert_eq!(room.at_once(), ["read bob: ECONNRESET", "close bob"]);
}

#[test]
fn an_interrupted_wait_is_made_again() {
    let mut room = Room::new();
    let mut alice = room.join("alice");
    say(&mut alice, &ping());
    room.inject_once(Op::Wait, None, Fault::Fail(Errno::EINTR));
    assert_eq!(room.tick(), [], "it has told nothing");
    assert_eq!(room.at_once(), ["read alice", "writev alice"]);
}
