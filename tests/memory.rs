//! What a relay's memory is under attack: the process's own and the kernel's for it (proc(5)), not
//! the relay's count of it, beside the sum that `docs/security.md` says.

#![allow(clippy::expect_used)] // a test says what it expects

mod support;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use sealwax::limits::MAX_FRAME;
use sealwax::reactor::limits::SOCKET_BUFFER;
use sealwax::reactor::raise_descriptor_limit;
use sealwax::relay::limits::CONNECTION_BYTES;
use serde_json::json;
use support::process::Relay;
use support::relay::{Client, register};
use support::transform::{RECORD, Tunnel};

const MIB: usize = 1 << 20;
/// What each of the two common bounds is set to.
const COMMON: usize = 16 * MIB;
/// Connections that attack.
const CROWD: usize = 1000;
/// Those of them who read nothing.
const DEAF: usize = 16;
/// The whole of what the relay may take, with these settings (`docs/security.md`, "How much memory
/// that is"): the last is what the program takes when it starts.
const DOCUMENTED: usize = 2 * COMMON + CROWD * CONNECTION_BYTES + 20 * MIB;

fn relay() -> Relay {
    raise_descriptor_limit().expect("it can be read");
    let (common, crowd) = (COMMON.to_string(), (CROWD + 1).to_string());
    let options = ["--inbox-common", &common, "--outbox-common", &common];
    Relay::start(&[&options[..], &["--ephemeral", "--max-connections", &crowd]].concat())
}

fn crowd(relay: &Relay) -> Vec<Client> {
    let address = relay.address.parse().expect("an address");
    (0..CROWD).map(|number| Client::original(address, &format!("user{number}"))).collect()
}

/// The resident memory of the relay, by what it is of the documented sum, in percent.
fn resident(relay: &Relay) -> usize {
    let bytes = resident_bytes(relay);
    let percent = bytes * 100 / DOCUMENTED;
    println!("resident: {} MiB, {percent} % of the documented sum", bytes / MIB);
    percent
}

fn resident_bytes(relay: &Relay) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", relay.process.pid()));
    let status = status.expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("proc(5)");
    let kib: usize = line.trim().trim_end_matches("kB").trim().parse().expect("a number");
    kib * 1024
}

/// A long frame to nobody, and the beginning of the next one.
fn beginning() -> String {
    let text = "x".repeat(MAX_FRAME * 3 / 4);
    format!(r#"{{"action":"message","to":"nobody","content":"{text}"#)
}

#[test]
fn a_byte_that_is_kept_does_not_keep_the_memory_of_the_frames_before_it() {
    let relay = relay();
    let mut crowd = crowd(&relay);
    for client in &mut crowd {
        // A pong tells that the beginning behind the ping was read with it.
        client.write(format!(r#"{{"action":"ping"}}{}"#, beginning()).as_bytes());
        client.frame();
        client.write(format!(r#""}}{}"#, beginning()).as_bytes());
        client.refused("unknown_user");
        client.write(br#""}{"#);
        client.refused("unknown_user");
    }
    assert!(resident(&relay) <= 100);
}

#[test]
fn unfinished_frames_of_all_together_stay_within_their_bound() {
    let relay = relay();
    let mut crowd = crowd(&relay);
    for client in &mut crowd {
        client.write(beginning().as_bytes());
    }
    // Of one who began nothing small frames are read, and a tick later than all that was sent.
    let _bystander = Client::original(relay.address.parse().expect("an address"), "by");
    assert!(resident(&relay) <= 100);
}

#[test]
fn what_waits_for_those_who_do_not_read_stays_within_its_bound() {
    let relay = relay();
    let mut crowd = crowd(&relay);
    for (number, client) in crowd.iter_mut().enumerate() {
        setsockopt(&client.writer(), sockopt::RcvBuf, &4096).expect("a socket");
        let (to, text) = (format!("user{number}"), "x".repeat(MAX_FRAME * 3 / 4));
        let message = json!({"action": "message", "to": to, "content": text}).to_string();
        client.write(message.repeat(6).as_bytes());
    }
    // Who reads is sent small frames all the same.
    let mut bystander = Client::original(relay.address.parse().expect("an address"), "by");
    bystander.send(&json!({"action": "message", "to": "by", "id": "1", "content": "small"}));
    assert_eq!(bystander.frame()["content"], "small");
    assert_eq!(bystander.frame()["action"], "relayed");
    assert!(resident(&relay) <= 100);
}

/// Bytes that wait in the kernel at this relay's end of its connections: sent and not acknowledged,
/// and received and not read (proc(5), `/proc/net/tcp`).
fn in_kernel(relay: &Relay) -> usize {
    let port: u16 = relay.address.rsplit(':').next().expect("a port").parse().expect("a number");
    let local = format!(":{port:04X}");
    let table = fs::read_to_string("/proc/net/tcp").expect("proc(5)");
    let rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
    let bytes = |queue: &str| usize::from_str_radix(queue, 16).expect("hexadecimal");
    rows.filter(|row| row[1].ends_with(&local))
        .filter_map(|row| row[4].split_once(':').map(|(sent, came)| bytes(sent) + bytes(came)))
        .sum()
}

/// Who asks without pause and reads no answer.
struct Deaf {
    stream: TcpStream,
    /// How much of the last run of pings has left.
    sent: usize,
}

impl Deaf {
    fn new(client: &Client) -> Self {
        let stream = client.writer();
        setsockopt(&stream, sockopt::RcvBuf, &4096).expect("a socket");
        stream.set_nonblocking(true).expect("a socket");
        Self { stream, sent: 0 }
    }

    /// Asks for as long as the kernel takes it; tells whether it took something.
    fn ask(&mut self, pings: &[u8]) -> bool {
        let mut took = false;
        loop {
            match self.stream.write(&pings[self.sent..]) {
                Ok(more) => (took, self.sent) = (true, (self.sent + more) % pings.len()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return took,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// The relay's queues for those who read nothing fill up, and then what the kernel takes in both
/// directions.
#[test]
fn what_the_kernel_keeps_of_those_who_do_not_read_is_bounded() {
    let relay = relay();
    let address = relay.address.parse().expect("an address");
    let clients: Vec<Client> =
        (0..DEAF).map(|number| Client::original(address, &format!("deaf{number}"))).collect();
    let mut deaf: Vec<Deaf> = clients.iter().map(Deaf::new).collect();
    let mut bystander = Client::original(address, "by");
    let pings = format!(r#"{{"action":"ping","id":"{}"}}"#, "x".repeat(60)).repeat(200);
    // Each ping of the bystander is answered after a tick in which the relay has read from all whom
    // it reads.
    let mut still = 0;
    while still < 8 {
        let took: usize = deaf.iter_mut().map(|it| usize::from(it.ask(pings.as_bytes()))).sum();
        still = if took == 0 { still + 1 } else { 0 };
        bystander.ping();
    }
    let (bytes, most) = (in_kernel(&relay), DEAF * 4 * SOCKET_BUFFER);
    println!("in the kernel: {} KiB, {} % of the bound", bytes / 1024, bytes * 100 / most);
    // The kernel looks before it takes a segment, and counts more for it than it holds, so a buffer
    // may go beyond its size; left alone, it would have sixteen times the bound.
    assert!(bytes > 0 && bytes <= 2 * most, "{bytes} bytes, and {most} are the bound");
}

/// Users over TLS who say nothing.
const SEALED: usize = 250;
/// What one of them may take of the relay's memory, in bytes, its key included.
const SEALED_BYTES: usize = 9 * 1024;
/// What stays resident beside that after a long record: `rustls` moved its buffer of 4 KiB to a
/// larger block, and the allocator keeps the small block that it left.
const MOVED_BYTES: usize = 4 * 1024;

/// A user over TLS.
struct Sealed {
    stream: TcpStream,
    tunnel: Tunnel,
}

impl Sealed {
    fn new(relay: &Relay, name: &str) -> Self {
        let stream = TcpStream::connect(&relay.address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_mins(2))).expect("a socket");
        let mut user = Self { stream, tunnel: Tunnel::tls() };
        user.say("");
        while user.tunnel.engine.binding().is_none() {
            user.hear();
        }
        user.say(&register(name, "none").to_string());
        user.ping(0);
        user
    }

    fn say(&mut self, text: &str) {
        let (wire, taken) = self.tunnel.seal(text.as_bytes());
        assert_eq!(taken, text.len());
        self.stream.write_all(&wire).expect("it reads");
    }

    fn hear(&mut self) {
        let mut wire = [0; 4096];
        let read = self.stream.read(&mut wire).expect("an answer in time");
        assert!(read > 0, "it has ended");
        self.tunnel.open(&wire[..read]).expect("it was sealed for us");
    }

    /// Sends a record with a ping in it, of so many bytes at least, and waits for the answer.
    fn ping(&mut self, length: usize) {
        self.tunnel.plain.clear();
        self.say(&format!("{:>length$}", r#"{"action":"ping"}"#));
        while !self.tunnel.plain.ends_with(b"\n") {
            self.hear();
        }
    }
}

/// Also after records of 16 KiB, for which its engine needs a longer buffer; three of them are no
/// more than one.
#[test]
fn an_idle_connection_with_tls_takes_little_memory() {
    let relay = relay();
    let sealed = |name: String| Sealed::new(&relay, &name);
    let mut first: Vec<_> = (0..8).map(|number| sealed(format!("first{number}"))).collect();
    for user in &mut first {
        user.ping(RECORD); // what all share is there from now on
    }
    let before = resident_bytes(&relay);
    let mut crowd: Vec<_> = (0..SEALED).map(|number| sealed(format!("user{number}"))).collect();
    let each = |when: &str| {
        let each = (resident_bytes(&relay) - before) / SEALED;
        println!("an idle connection with TLS, {when}: {each} bytes");
        each
    };
    assert!(each("after its registration") <= SEALED_BYTES);
    for _ in 0..3 {
        for user in &mut crowd {
            user.ping(RECORD);
        }
        assert!(each("after a record of 16 KiB") <= SEALED_BYTES + MOVED_BYTES);
    }
}
