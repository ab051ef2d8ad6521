//! `sealwax top` at a terminal of its own: what it shows, its keys, and how it leaves the terminal.

#![allow(clippy::expect_used)] // a test says what it expects

mod support;

use nix::sys::signal::Signal;
use support::process::{Homes, Relay, text};
use support::relay::Client;
use support::seat::Seat;

fn at_terminal(arguments: &[&str]) -> Seat {
    Seat::with("", &[("TERM", "xterm")], arguments)
}

/// The program has ended with 0 and has put its terminal back.
fn has_left(mut seat: Seat) {
    let status = seat.child.wait().expect("our child");
    assert_eq!(status.code(), Some(0));
    assert!(seat.shows_what_is_typed());
}

#[test]
fn a_terminal_without_utf_8_is_sent_ascii_only() {
    let homes = Homes::new();
    let path = homes.path("s");
    let relay = Relay::start(&["--ephemeral", "--admin", text(&path)]);
    let address = relay.address.parse().expect("an address");
    let _user = Client::original(address, "Zoë");
    let variables = [("TERM", "xterm"), ("LC_ALL", "C")];
    let mut seat = Seat::with("", &variables, &["top", "--admin", text(&path)]);
    seat.wait_for_next("serving");
    seat.wait_for_next("Zo?");
    seat.type_in("q");
    seat.wait_for_next(LEFT);
    assert!(seat.shown.is_ascii(), "{:?}", seat.shown);
    has_left(seat);
}

const LEFT: &str = "\u{1b}[?1049l";

#[test]
fn the_screen_shows_the_relay_its_users_and_its_log_and_keys_change_it() {
    let homes = Homes::new();
    let home = homes.path("relay");
    let relay = Relay::start(&["--home", text(&home), "-q"]);
    let address = relay.address.parse().expect("an address");
    let _alice = Client::original(address, "alice");
    let mut seat = at_terminal(&["top", "--home", text(&home)]);
    seat.wait_for_next("serving");
    assert!(!seat.shows_what_is_typed());
    seat.wait_for_next("registered");
    let mut bob = Client::original(address, "bobby");
    seat.wait_for_next("bobby");
    seat.type_in("?");
    seat.wait_for_next("scroll");
    seat.type_in("?s");
    seat.wait_for_next("since");
    seat.type_in("/nothing\r");
    seat.wait_for_next("nothing");
    seat.type_in("\u{1b}");
    seat.wait_for_next("registered");
    seat.type_in("vv");
    seat.wait_for_next("debug");
    bob.send(&serde_json::json!({"action": "message", "to": "alice", "content": "secret"}));
    seat.wait_for_next("message");
    seat.type_in("p");
    seat.wait_for_next("paused");
    assert!(!seat.shown.contains("secret"));
    seat.type_in("q");
    seat.wait_for_next(LEFT);
    has_left(seat);
    bob.ping();
}

#[test]
fn the_screen_waits_for_a_relay_and_a_signal_puts_the_terminal_back() {
    let homes = Homes::new();
    let path = homes.path("s");
    let mut seat = at_terminal(&["top", "--admin", text(&path)]);
    seat.wait_for_next("no relay listens");
    let relay = Relay::start(&["--ephemeral", "--admin", text(&path)]);
    seat.wait_for_next("serving");
    relay.process.signal(Signal::SIGKILL);
    relay.process.end();
    seat.wait_for_next("gone, as of");
    seat.signal(Signal::SIGTERM);
    seat.wait_for_next(LEFT);
    has_left(seat);
}
