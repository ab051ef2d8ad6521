//! The program at a terminal of its own: what it leaves behind when it is ended there, and that it
//! ends when the terminal goes.

#![allow(clippy::expect_used)] // a test says what it expects

mod support;

use std::fs::File;
use std::os::unix::process::ExitStatusExt;

use nix::sys::signal::Signal;
use sealwax::home::Home;
use support::fixtures::identity;
use support::process::{Homes, Process, Relay, text};
use support::seat::Seat;

/// Alice's home, her key under a passphrase.
fn encrypted(homes: &Homes) -> Vec<String> {
    let sealed = identity("alice").to_pem(Some(b"geheim"));
    let home = Home::open(homes.of("alice")).expect("a home");
    home.replace("identity.pem", sealed.as_bytes()).expect("ours");
    homes.options("alice", "127.0.0.1:1")
}

#[test]
fn who_ends_it_while_it_asks_for_the_passphrase_gets_the_terminal_back_as_it_was() {
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT] {
        let homes = Homes::new();
        let options = encrypted(&homes);
        let arguments: Vec<_> = ["recv"].into_iter().chain(options.iter().map(|o| &**o)).collect();
        let mut seat = Seat::new(&arguments);
        seat.wait_for("Passphrase of ");
        assert!(!seat.shows_what_is_typed());
        seat.signal(signal);
        let status = seat.child.wait().expect("ours");
        assert_eq!(status.signal(), Some(signal as i32), "{}", seat.shown);
        assert!(seat.shows_what_is_typed(), "{signal}");
    }
}

#[test]
fn a_signal_that_was_ignored_at_the_start_does_not_end_the_question_for_the_passphrase() {
    let homes = Homes::new();
    let options = encrypted(&homes);
    let arguments: Vec<_> = ["recv"].into_iter().chain(options.iter().map(|o| &**o)).collect();
    let mut seat = Seat::ignoring("TERM HUP", &arguments);
    seat.wait_for("Passphrase of ");
    seat.signal(Signal::SIGTERM);
    seat.signal(Signal::SIGHUP);
    seat.type_in("geheim\n");
    seat.wait_for("127.0.0.1:1 cannot be reached");
}

#[test]
fn a_chat_whose_terminal_goes_leaves_and_lets_go_of_the_identity() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let bob = homes.client("bob", &relay.address, &["chat", "--json"]);
    bob.event("registered");
    let options = homes.options("alice", &relay.address);
    let arguments: Vec<_> = ["chat"].into_iter().chain(options.iter().map(|o| &**o)).collect();
    let mut seat = Seat::new(&arguments);
    seat.wait_for("here: alice, bob");
    // Who came and went at once would not be told.
    assert_eq!(bob.event("joined")["users"][0], "alice");
    // Closing the last descriptor of the terminal's other side hangs it up: SIGHUP, end of input,
    // and nowhere to write to.
    drop(std::mem::replace(&mut seat.screen, File::open("/dev/null").expect("null(4)")));
    let status = seat.end();
    assert!(status.signal().is_none(), "it left by itself: {status}");
    assert_eq!(bob.event("left")["users"][0], "alice", "and said goodbye");
    homes.client("alice", &relay.address, &["recv"]).talk_with("you are alice");
}

#[test]
fn sighup_alone_is_a_chats_end_too() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let chat = homes.client("alice", &relay.address, &["chat", "--json"]);
    chat.event("registered");
    chat.signal(Signal::SIGHUP);
    assert_eq!(chat.event("closed")["code"], "left");
    chat.end().with_code(0);
}

#[test]
fn a_recv_that_is_ended_before_its_count_was_reached_is_code_7() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    for (command, code) in [(&["recv", "-n", "2"][..], 7), (&["recv"], 0)] {
        let recv = homes.client("alice", &relay.address, command);
        recv.talk_with("you are alice");
        recv.signal(Signal::SIGTERM);
        recv.end().with_code(code);
    }
}

#[test]
fn names_stand_in_columns_under_a_head_on_a_terminal_and_alone_in_a_pipe() {
    let homes = Homes::new();
    let home = homes.path("relay");
    let relay = Relay::at_home(&home);
    homes.client("alice", &relay.address, &["recv", "--wait", "0"]).end().with_code(0);
    let list = ["names", "list", "--home", text(&home)];
    let piped = Process::start(&list).end().with_code(0).stdout;
    assert_eq!(piped.len(), 1);
    assert!(piped[0].starts_with("alice SHA256:"), "{piped:?}");
    let mut seat = Seat::new(&list);
    seat.wait_for("alice SHA256:");
    let head: Vec<_> = seat.shown.lines().next().unwrap_or_default().split_whitespace().collect();
    assert_eq!(head, ["name", "key", "bound", "last", "used", "letters", "bytes"]);
}
