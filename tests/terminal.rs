//! The program at a terminal of its own: what it leaves behind when it is ended there, and that it
//! ends when the terminal goes.

#![allow(clippy::expect_used)] // a test says what it expects

mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, poll};
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;
use sealwax::home::Home;
use sealwax::reactor::end_with_parent;
use support::fixtures::identity;
use support::process::{Homes, Relay, python};

/// In milliseconds: a test that waits longer than this for something to be shown has failed.
const PATIENCE: u16 = 60_000;

/// A program whose controlling terminal is ours (`setsid(1)` sees to that).
struct Seat {
    child: Child,
    screen: File,
    /// Kept open, so that the terminal is there to be looked at when the program is gone.
    _keyboard: OwnedFd,
    shown: String,
}

impl Seat {
    fn new(arguments: &[&str]) -> Self {
        Self::ignoring("", arguments)
    }

    /// The program is started to ignore these signals, as `nohup` does it.
    fn ignoring(signals: &str, arguments: &[&str]) -> Self {
        // Closed in whatever is started: only so does the terminal go when we let go of it.
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let master = posix_openpt(flags).expect("a terminal");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("pts(4)");
        let name = ptsname_r(&master).expect("pts(4)");
        let slave = open(name.as_str(), flags, Mode::empty()).expect("pts(4)");
        let side = || Stdio::from(slave.try_clone().expect("a descriptor"));
        let mut command = Command::new("setsid");
        let trap = if signals.is_empty() { "" } else { "trap '' $0;" };
        command.args(["--ctty", "sh", "-c", &format!("{trap} exec \"$@\""), signals]);
        command.arg(env!("CARGO_BIN_EXE_sealwax")).args(arguments);
        command.stdin(side()).stdout(side()).stderr(side());
        let child = end_with_parent(&mut command).spawn().expect("util-linux has it");
        let screen = OwnedFd::from(master).into();
        Self { child, screen, _keyboard: slave, shown: String::new() }
    }

    fn wait_for(&mut self, words: &str) {
        while !self.shown.contains(words) {
            let mut ready = [PollFd::new(self.screen.as_fd(), PollFlags::POLLIN)];
            assert_ne!(
                poll(&mut ready, PATIENCE),
                Ok(0),
                "{words}: it shows no more: {}",
                self.shown
            );
            let mut some = [0; 4096];
            let count = self.screen.read(&mut some).expect("it writes");
            self.shown.push_str(&String::from_utf8_lossy(&some[..count]));
        }
    }

    fn shows_what_is_typed(&self) -> bool {
        tcgetattr(&self.screen).expect("a terminal").local_flags.contains(LocalFlags::ECHO)
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a process");
        kill(Pid::from_raw(pid), signal).expect("it runs");
    }

    fn end(mut self) -> ExitStatus {
        self.child.wait().expect("ours")
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

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
    seat.screen.write_all(b"geheim\n").expect("typed");
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

/// Made again from real runs, and compared.
#[test]
fn the_pictures_of_the_documents_are_current() {
    let program = env!("CARGO_BIN_EXE_sealwax");
    python("pictures.py", &[program, "--check"]).end().with_code(0);
}
