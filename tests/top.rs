//! `sealwax top` at a terminal of its own: what it shows, its keys, and how it leaves the terminal.

#![allow(clippy::expect_used)] // a test says what it expects

mod support;

use std::fmt::Write as _;
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use support::process::{Homes, Process, Relay, python, text};
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

/// A screen that is drawn anew so often and is not right has failed its test.
const MOST_READS: usize = 200;

/// `top` as a person sees it: an emulator (pyte) puts on a screen what it writes.
struct Screen {
    seat: Seat,
    emulator: Process,
}

impl Screen {
    fn new(columns: &str, rows: &str, arguments: &[&str]) -> Self {
        let first = format!("stty cols {columns} rows {rows};");
        let seat = Seat::with(&first, &[("TERM", "xterm"), ("LC_ALL", "C.UTF-8")], arguments);
        Self { seat, emulator: python("screen.py", &[columns, rows]) }
    }

    fn rows(&mut self) -> Vec<String> {
        self.emulator.say("show");
        let shown: Value = serde_json::from_str(&self.emulator.line()).expect("JSON");
        let rows = shown["rows"].as_array().expect("rows").iter();
        rows.map(|row| row.as_str().expect("a text").to_owned()).collect()
    }

    /// Reads until some row has each of these words.
    fn see(&mut self, words: &[&str]) {
        for _ in 0..MOST_READS {
            let rows = self.rows();
            if words.iter().all(|words| rows.iter().any(|row| row.contains(words))) {
                return;
            }
            let mut command = "feed ".to_owned();
            for byte in self.seat.read(&format!("{words:?}\n{}", rows.join("\n"))) {
                let _ = write!(command, "{byte:02x}"); // to a string
            }
            self.emulator.say(&command);
        }
        panic!("{words:?}: {:#?}", self.rows());
    }

    fn resize(&mut self, columns: &str, rows: &str) {
        self.emulator.say(&format!("size {columns} {rows}"));
        let sizes = ["-F", &self.seat.name, "cols", columns, "rows", rows];
        let stty = Command::new("stty").args(sizes).status();
        assert!(stty.expect("coreutils has it").success());
    }
}

#[test]
fn a_person_sees_who_is_here_what_waits_and_what_was_refused_and_why_on_any_screen() {
    let homes = Homes::new();
    let home = homes.path("relay");
    let relay = Relay::start(&["--home", text(&home), "-q"]);
    let address = relay.address.parse().expect("an address");
    let _alice = Client::original(address, "alice");
    let mut bob = Client::original(address, "bob");
    bob.send(&json!({"action": "message", "to": "nobody", "content": "x"}));
    bob.refused("unknown_user");
    let mut stranger = Client::connect(address);
    stranger.write(b"GET / HTTP/1.1\r\n\r\n");
    stranger.dismissed("bad_frame");
    let mut top = Screen::new("80", "24", &["top", "--home", text(&home)]);
    top.see(&[
        " · serving",
        "0 B queued, 0 B unfinished",
        "longest tick",
        "letters     0 wait (0 B), 0 stored",
        "refused     1 unknown_user",
        "ended       1 bad_frame",
        "users: 2 of 2, by name",
        "name                 v        since        in       out    queued",
        "alice                1",
        "bob was refused: unknown_user for nobody,",
    ]);
    top.seat.type_in("\t/ali");
    top.see(&["filter of users: ali", "users: 1 of 2, with “ali”"]);
    top.seat.type_in("\u{1b}");
    top.see(&["users: 2 of 2, by name"]);
    top.resize("40", "10");
    top.see(&[" · serving", "name     v since    in   out queue", "alice    1", "bob      1"]);
    top.seat.type_in("\t");
    top.see(&[" connections 2 of"]);
    top.seat.type_in("\u{1b}[F");
    top.see(&["refused     1 unknown_user", "ended       1 bad_frame"]);
    top.seat.type_in("\t");
    top.see(&["bob was refused:", "  unknown_user for nobody, no such user"]);
    top.seat.type_in("cv");
    top.see(&["log: verbose"]);
    bob.send(&json!({}));
    bob.refused("bad_frame");
    top.see(&["bob was refused:", "  bad_frame"]);
    assert!(!top.rows().concat().contains("unknown_user"), "it was cleared");
    top.seat.type_in("q");
    has_left(top.seat);
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
