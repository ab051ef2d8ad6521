//! One who does not read, one who does not stop: what their neighbours notice of it.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};
use serde_json::{Value, json};

use crate::crowd::{Crowd, is_whole};
use crate::gauge::Gauge;
use crate::support::process::Relay;
use crate::support::relay::Client;
use crate::{alone, figure, is_long, milliseconds, scaled};

/// Pairs beside the one who misbehaves.
const PAIRS: u32 = 100;
/// How much the kernel is to hold for one who does not read, in bytes; it doubles that (socket(7)).
const SMALL: usize = 64 * 1024;
/// Between two tries of a sender who is refused.
const PAUSE: Duration = Duration::from_millis(10);

fn user(relay: &Relay, name: &str) -> Client {
    Client::original(relay.address.parse().expect("an address"), name)
}

/// Who writes to one who does not read, and what became of it.
struct Sender {
    client: Client,
    name: &'static str,
    next: u64,
    /// What the relay has taken.
    relayed: Vec<u64>,
}

impl Sender {
    fn new(relay: &Relay, name: &'static str) -> Self {
        Self { client: user(relay, name), name, next: 0, relayed: Vec::new() }
    }

    /// Sends one message; tells how it was refused, if it was.
    fn send(&mut self, to: &str) -> Option<String> {
        let (number, fill) = (self.next, "-".repeat(15_000));
        self.next += 1;
        let content = format!("{number} {fill}");
        self.client.send(&json!({"action": "message", "to": to, "id": "?", "content": content}));
        let answer = self.client.frame();
        assert_eq!(answer["id"], "?", "{answer}");
        if answer["action"] == "relayed" {
            self.relayed.push(number);
            return None;
        }
        Some(answer["code"].as_str().expect("a code").to_owned())
    }

    /// Sends until it is refused; tells how.
    fn send_until_refused(&mut self, to: &str) -> String {
        std::iter::repeat_with(|| self.send(to)).find_map(|refused| refused).expect("endless")
    }
}

/// Reads what has come for one who did not read, and holds it against what was taken for it.
fn reads_all(slow: &mut Client, senders: &[Sender]) {
    let mut expected: Vec<_> = senders.iter().map(|it| it.relayed.iter()).collect();
    for _ in 0..senders.iter().map(|it| it.relayed.len()).sum() {
        let frame = slow.frame();
        let whose = senders.iter().position(|it| frame["from"] == it.name).expect("one of them");
        let content = frame["content"].as_str().expect("a text");
        let (number, fill) = content.split_once(' ').expect("a number");
        assert_eq!(Some(&number.parse().expect("digits")), expected[whose].next(), "in order");
        assert_eq!(fill.len(), 15_000, "whole");
    }
}

#[test]
fn a_slow_reader_beside_busy_pairs_costs_its_senders_and_nobody_else() {
    let _alone = alone();
    let relay = Relay::start(&["--ephemeral", "-q"]);
    let gauge = Gauge::of(&relay.process);
    let crowd = Crowd::pairs(&relay.address, 0, PAIRS, None);
    let resident = gauge.resident();
    let mut slow = user(&relay, "slow");
    setsockopt(&slow.writer(), sockopt::RcvBuf, &SMALL).expect("a socket");
    let mut senders = ["one", "two"].map(|name| Sender::new(&relay, name));
    for round in 1..=scaled(2, 20) {
        for sender in &mut senders {
            assert_eq!(sender.send_until_refused("slow"), "queue_full");
        }
        crowd.goes_on(1000);
        if round == 1 {
            let taken: usize = senders.iter().map(|it| it.relayed.len()).sum();
            figure("taken for the slow reader", format!("{taken} messages of 15 kB"));
            let grown = gauge.resident().saturating_sub(resident);
            figure("the relay's memory, and what it grew by", format!("{resident}, {grown} B"));
        }
        reads_all(&mut slow, &senders); // nobody has closed it, and nothing is missing
        slow.ping();
        for sender in &mut senders {
            sender.relayed.clear();
        }
    }
    if is_long() {
        takes_nothing(&mut slow, &mut senders);
    }
    for sender in &mut senders {
        sender.client.ping(); // nobody has closed it
    }
    is_whole(&crowd.finish(), "100 busy pairs beside it");
}

/// Reads nothing at all until the relay gives up.
fn takes_nothing(slow: &mut Client, senders: &mut [Sender; 2]) {
    let begun = Instant::now();
    let mut refusals = 0;
    loop {
        let refused = senders[0].send_until_refused("slow");
        if refused == "unknown_user" {
            break;
        }
        assert_eq!(refused, "queue_full");
        refusals += 1;
        thread::sleep(PAUSE);
    }
    figure("taking nothing, closed after", milliseconds(begun.elapsed()));
    figure("messages refused meanwhile", refusals);
    reads_all(slow, senders);
    slow.dismissed("slow_reader");
}

/// A message of the flood.
fn flooded(number: u64) -> String {
    let fill = "-".repeat(200);
    json!({"action": "message", "to": "sink", "content": format!("{number} {fill}")}).to_string()
}

/// Reads what comes to the sink, to the last of the flood: how many there were, in order.
fn drain(sink: TcpStream, last: &str) -> u64 {
    let (mut count, mut next) = (0, 0);
    for line in BufReader::new(sink).lines() {
        let frame: Value = serde_json::from_str(&line.expect("a line")).expect("a frame");
        let content = frame["content"].as_str().expect("a message");
        if content == last {
            break;
        }
        let number: u64 =
            content.split(' ').next().and_then(|it| it.parse().ok()).expect("a number");
        assert!(number >= next, "{number} once and in order, after {next}");
        (count, next) = (count + 1, number + 1);
    }
    count
}

#[test]
fn a_flooding_sender_beside_quiet_pairs_is_held_back_and_not_cut() {
    const LAST: &str = "the last";
    let _alone = alone();
    let count: u64 = scaled(20_000, 2_000_000);
    let relay = Relay::start(&["--ephemeral", "-q"]);
    let gauge = Gauge::of(&relay.process);
    let crowd = Crowd::pairs(&relay.address, 0, PAIRS, Some(1000.0));
    let sink = user(&relay, "sink");
    let mut loud = user(&relay, "loud");
    let (begun, cpu) = (Instant::now(), gauge.cpu());
    let from = sink.writer();
    let reader = thread::spawn(move || drain(from, LAST));
    let mut to = loud.writer();
    let writer = thread::spawn(move || {
        for batch in (0..count).collect::<Vec<_>>().chunks(256) {
            let frames: String = batch.iter().map(|&number| flooded(number)).collect();
            let id = if batch.contains(&(count - 1)) { LAST } else { "more" };
            let ping = json!({"action": "ping", "id": id}); // a sign of life in between
            to.write_all((frames + &ping.to_string()).as_bytes()).expect("nobody closes it");
        }
    });
    let mut refused = 0;
    loop {
        let frame = loud.frame();
        if frame["id"] == LAST {
            break;
        }
        if frame["action"] != "pong" {
            assert_eq!(frame["code"], "queue_full", "{frame}");
            refused += 1;
        }
    }
    writer.join().expect("all was written");
    // Where the sink is behind, the last is refused as well, and asked for again.
    let last = json!({"action": "message", "to": "sink", "id": "?", "content": LAST});
    let is_relayed = |loud: &mut Client| {
        loud.send(&last);
        loud.frame()["action"] == "relayed"
    };
    while !is_relayed(&mut loud) {}
    let received = reader.join().expect("in order");
    let share = gauge.cpu().saturating_sub(cpu).as_secs_f64() / begun.elapsed().as_secs_f64();
    figure("flooded", format!("{count} messages in {}", milliseconds(begun.elapsed())));
    figure("received, refused with `queue_full`", format!("{received}, {refused}"));
    figure("the relay's processor", format!("{:.0} %", share * 1e2));
    assert_eq!(received + refused, count, "each was passed on or refused");
    is_whole(&crowd.finish(), "100 quiet pairs beside it");
}
