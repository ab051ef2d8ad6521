//! Coming and going: what is left of those who are gone, and what those who stay notice of it.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Instant;

use nix::sys::socket::{setsockopt, sockopt};
use serde_json::json;

use crate::crowd::{Crowd, is_whole};
use crate::gauge::{Gauge, until};
use crate::support::process::Relay;
use crate::support::relay::{Client, PEM};
use crate::{alone, figure, milliseconds, scaled};

const MIB: u64 = 1 << 20;
/// What a relay's memory may have grown by when all are gone.
const GROWTH: u64 = 4 * MIB;

fn quiet() -> Relay {
    Relay::start(&["--ephemeral", "-q"])
}

fn address(relay: &Relay) -> SocketAddr {
    relay.address.parse().expect("an address")
}

fn register(name: &str) -> String {
    json!({"action": "register", "name": name, "pubkey": PEM, "roster": "none"}).to_string()
}

/// Somebody who has registered under this name.
fn user(relay: &Relay, name: &str) -> Client {
    let mut client = Client::connect(address(relay));
    client.write(register(name).as_bytes());
    client.ping();
    client
}

/// Ends a connection with a reset: no linger at all (socket(7)).
fn reset(stream: TcpStream) {
    let now = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    setsockopt(&stream, sockopt::Linger, &now).expect("a socket");
    drop(stream);
}

fn grown(gauge: &Gauge, before: u64) -> u64 {
    gauge.resident().saturating_sub(before)
}

fn kib(bytes: u64) -> String {
    format!("{} KiB", bytes / 1024)
}

#[test]
fn cycles_leave_no_descriptor_and_no_memory() {
    let _alone = alone();
    let cycles = scaled(3_000, 100_000);
    let relay = quiet();
    let gauge = Gauge::of(&relay.process);
    let (descriptors, fresh) = (gauge.descriptors(), gauge.resident());
    // As many at a time as later, so that the code and the tables that all share are there.
    is_whole(&Crowd::comings(&relay.address, 0, 32, 100).wait(), "the first");
    gauge.settles_at(descriptors);
    let resident = gauge.resident();
    figure("memory when it was started", kib(fresh));
    let stats = Crowd::comings(&relay.address, 0, 32, cycles).wait();
    is_whole(&stats, "connect, register, close");
    gauge.settles_at(descriptors);
    let grown = grown(&gauge, resident);
    figure("descriptors, before and after", format!("{descriptors}, {}", gauge.descriptors()));
    figure("memory before, and more of it after", format!("{}, {}", kib(resident), kib(grown)));
    assert!(grown <= GROWTH, "{grown} bytes more");
}

/// What somebody does who is gone at once; each ends with a reset.
#[derive(Clone, Copy)]
enum Visit {
    Nothing,
    HalfFrame,
    NoFrame,
    /// A whole registration under a name that all of them want, and questions whose answers nobody
    /// reads.
    Registered,
}

#[test]
fn a_storm_of_resets_disturbs_nobody_and_leaves_nothing() {
    let _alone = alone();
    let visits = scaled(3_000, 60_000);
    let relay = quiet();
    let gauge = Gauge::of(&relay.process);
    let crowd = Crowd::pairs(&relay.address, 0, 10, None);
    let (descriptors, resident) = (gauge.descriptors(), gauge.resident());
    let (begun, cpu) = (Instant::now(), gauge.cpu());
    let kinds = [Visit::Nothing, Visit::HalfFrame, Visit::NoFrame, Visit::Registered];
    let mut here = Vec::new();
    for kind in kinds.into_iter().cycle().take(visits) {
        let mut stream = TcpStream::connect(address(&relay)).expect("it listens");
        // It may have ended this connection already.
        let _ = stream.write_all(&said(kind));
        here.push(stream);
        if here.len() == 64 {
            here.drain(..).for_each(reset);
        }
    }
    here.drain(..).for_each(reset);
    let took = begun.elapsed();
    gauge.settles_at(descriptors);
    figure("resets", format!("{visits} in {}", milliseconds(took)));
    let cpu = gauge.cpu().saturating_sub(cpu);
    figure("the relay's processor time, the pairs' included", milliseconds(cpu));
    let grown = grown(&gauge, resident);
    figure("memory before, and more of it after", format!("{}, {}", kib(resident), kib(grown)));
    assert!(grown <= GROWTH, "{grown} bytes more");
    user(&relay, "storm").ping(); // the name that they wanted is free again
    is_whole(&crowd.finish(), "10 pairs beside it");
}

fn said(kind: Visit) -> Vec<u8> {
    let ping = r#"{"action":"ping","id":"?"}"#;
    match kind {
        Visit::Nothing => Vec::new(),
        Visit::HalfFrame => register("half").into_bytes().split_off(40),
        Visit::NoFrame => b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        Visit::Registered => (register("storm") + &ping.repeat(20)).into_bytes(),
    }
}

/// Lets a process have this many descriptors from now on; `false` where there is no such command.
fn limit(relay: &Relay, descriptors: usize) -> bool {
    let (pid, limit) = (relay.process.pid(), format!("--nofile={descriptors}"));
    let prlimit = Command::new("prlimit").args(["--pid", &pid.to_string(), &limit]).status();
    prlimit.is_ok_and(|status| status.success())
}

#[test]
fn without_descriptors_the_users_stay_and_newcomers_are_served_when_there_are_some_again() {
    let _alone = alone();
    let relay = quiet();
    let gauge = Gauge::of(&relay.process);
    let crowd = Crowd::pairs(&relay.address, 0, 10, Some(200.0));
    let before = gauge.descriptors();
    if !limit(&relay, before + 20) {
        println!("skipped: prlimit(1) is missing, or may not change limits here");
        return;
    }
    for _ in 0..scaled(1, 5) {
        let mut users: Vec<_> = (0..20).map(|it| user(&relay, &format!("user {it}"))).collect();
        assert_eq!(gauge.descriptors(), before + 20);

        let mut waiting: Vec<_> = (0..30).map(|_| newcomer(&relay)).collect();
        let (begun, cpu) = (Instant::now(), gauge.cpu());
        let mut gone = 0;
        until(
            || {
                gone += turned_away(&mut waiting);
                gone >= scaled(3, 10)
            },
            || "nobody is turned away".to_owned(),
        );
        let share = gauge.cpu().saturating_sub(cpu).as_secs_f64() / begun.elapsed().as_secs_f64();
        figure("none left: turned away", format!("{gone} in {}", milliseconds(begun.elapsed())));
        figure("none left: the relay's processor, pairs included", format!("{:.1} %", share * 1e2));
        crowd.goes_on(20);
        users.iter_mut().for_each(Client::ping);

        users.drain(..10); // some are free now
        let (begun, mut answered) = (Instant::now(), 0);
        until(
            || {
                turned_away(&mut waiting);
                answered += waiting.extract_if(.., is_answered).count();
                waiting.is_empty()
            },
            || "newcomers are neither answered nor turned away".to_owned(),
        );
        figure("some again: answered", format!("{answered} in {}", milliseconds(begun.elapsed())));
        assert!(answered >= 10, "as many as there was room for");
        drop(users);
        gauge.settles_at(before);
    }
    is_whole(&crowd.finish(), "10 pairs beside it");
}

/// Somebody who has asked something and waits for the answer.
fn newcomer(relay: &Relay) -> TcpStream {
    let mut stream = TcpStream::connect(address(relay)).expect("it listens");
    stream.write_all(br#"{"action":"ping","id":"?"}"#).expect("there is room");
    stream.set_nonblocking(true).expect("a socket");
    stream
}

/// Drops those that the relay has closed, and tells how many.
fn turned_away(waiting: &mut Vec<TcpStream>) -> usize {
    let is_closed = |stream: &mut TcpStream| match stream.peek(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    };
    waiting.extract_if(.., is_closed).count()
}

/// Whether it was told something: that it has to register first.
fn is_answered(stream: &mut TcpStream) -> bool {
    stream.read(&mut [0; 256]).is_ok_and(|count| count > 0)
}
