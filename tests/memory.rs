//! What a relay's memory is under attack: the process's own (proc(5)), not the relay's count of it,
//! beside the sum that `docs/security.md` says.

#![allow(clippy::expect_used)] // a test says what it expects

mod support;

use std::fs;

use sealwax::limits::MAX_FRAME;
use sealwax::reactor::raise_descriptor_limit;
use sealwax::relay::limits::CONNECTION_BYTES;
use support::process::Relay;
use support::relay::Client;

const MIB: usize = 1 << 20;
/// What each of the two common bounds is set to.
const COMMON: usize = 16 * MIB;
/// Connections that attack.
const CROWD: usize = 1000;
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

/// The resident memory of the relay, in bytes, by what it is of the documented sum, in percent.
fn resident(relay: &Relay) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", relay.process.pid()));
    let status = status.expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("proc(5)");
    let kib: usize = line.trim().trim_end_matches("kB").trim().parse().expect("a number");
    let percent = kib * 1024 * 100 / DOCUMENTED;
    println!("resident: {} MiB, {percent} % of the documented sum", kib / 1024);
    percent
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
