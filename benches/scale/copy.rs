//! What a relay keeps of users who are elsewhere, how long it takes to read who is where, what the
//! roster costs, and what happens when the relay ends that has them all.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use crate::engine::{Server, micros_each, ratio};
use crate::relay::{PATIENCE, Relay, Relays};
use crate::support::relay::register;
use crate::users;

/// With each of these numbers of users at another relay.
pub(crate) fn all(counts: &[usize]) {
    for &count in counts {
        with(count);
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a bench are below 2^52")]
fn with(count: usize) {
    let Some(server) = Server::start(false) else { return };
    let mut relays = Relays::new();
    relays.start(&server);
    let mut link = server.link(1);
    println!("\n{count} users at another relay:");
    let (before, engine) = (relays.all[0].resident(), server.cpu());
    for first in (0..count).step_by(1000) {
        let some = first..count.min(first + 1000);
        let claims: Vec<_> = some.map(|it| users::claim(link.own, it, false)).collect();
        link.all_answered("taken", &claims, 64);
    }
    relays.all[0].wait_for("sealwax_cluster_users", count as f64);
    let added = relays.all[0].resident() - before;
    say("they come: engine, µs each", micros_each(server.cpu().saturating_sub(engine), count), 2);
    say("a relay's memory for each, bytes (VmRSS)", ratio(added as f64, count), 0);
    say("its longest tick meanwhile, ms", relays.all[0].longest_tick(), 1);

    let (begun, engine) = (Instant::now(), server.cpu());
    let mut second = relays.begin(&server);
    second.wait_for("sealwax_cluster_users", count as f64);
    say("another relay starts and has read them, s", begun.elapsed().as_secs_f64(), 2);
    say("  engine, µs a name", micros_each(server.cpu().saturating_sub(engine), count), 2);
    say("  relay, µs a name", micros_each(second.cpu(), count), 2);
    say("  its longest tick, ms", second.longest_tick(), 1);
    relays.all.push(second);

    roster(&relays.all[0], count);
    relays.all[0].longest_tick();

    let (begun, engine) = (Instant::now(), server.cpu());
    let spent = relays.all[1].cpu();
    server.ask(&users::lease_ends(link.own));
    relays.all[1].wait_for("sealwax_cluster_users", 0.0);
    while server.ask(&["HLEN", "sealwax:where"]).number() != Some(0) {
        relays.all[1].wait_for("sealwax_cluster_users", 0.0);
    }
    say("their relay ends, and all names are free, s", begun.elapsed().as_secs_f64(), 2);
    say("  engine, µs a name", micros_each(server.cpu().saturating_sub(engine), count), 2);
    say(
        "  each of two relays, µs a name",
        micros_each(relays.all[1].cpu().saturating_sub(spent), count),
        2,
    );
    say("  the longest tick of one, ms", relays.all[1].longest_tick(), 1);
}

/// A user comes who wants to be told of everybody.
fn roster(relay: &Relay, count: usize) {
    let (begun, spent) = (Instant::now(), relay.cpu());
    let (bytes, names) = read_roster(relay.address, count);
    assert!(names > count, "{names}");
    #[expect(clippy::cast_precision_loss, reason = "less than 2^52 bytes")]
    let each = ratio(bytes as f64, names);
    say("a roster of all, bytes a name", each, 1);
    say("  relay, ms", relay.cpu().saturating_sub(spent).as_secs_f64() * 1000.0, 1);
    say("  until it was read, s", begun.elapsed().as_secs_f64(), 2);
}

/// Returns how many bytes came, and how many names.
fn read_roster(address: SocketAddr, count: usize) -> (usize, usize) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    let frame = format!("{}\n", register("reader", "delta"));
    stream.write_all(frame.as_bytes()).expect("it reads");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let (mut reader, mut line) = (BufReader::new(stream), String::new());
    let (mut bytes, mut names) = (0, 0);
    while names <= count {
        line.clear();
        assert!(reader.read_line(&mut line).expect("it says more") > 0, "it closed");
        let frame: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(frame["action"], "roster", "{line}");
        bytes += line.len();
        names += frame["joined"].as_array().expect("names").len();
    }
    (bytes, names)
}

fn say(what: &str, value: f64, digits: usize) {
    println!("{what:<46}{value:>12.digits$}");
}
