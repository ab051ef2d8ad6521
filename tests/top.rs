//! `sealwax top` at a terminal of its own: what it shows, its keys, and how it leaves the terminal.

#![allow(clippy::expect_used)] // a test says what it expects

mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};

use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, poll};
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;
use sealwax::reactor::end_with_parent;
use support::process::{Homes, Relay, text};
use support::relay::Client;

/// In milliseconds: a test that waits longer than this for something to be shown has failed.
const PATIENCE: u16 = 60_000;

/// A program at a terminal that we hold the other end of.
struct Seat {
    child: Child,
    screen: File,
    /// Kept open, so that the terminal can be looked at when the program is gone.
    _keyboard: OwnedFd,
    shown: String,
}

impl Seat {
    fn new(arguments: &[&str]) -> Self {
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let master = posix_openpt(flags).expect("a terminal");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("pts(4)");
        let name = ptsname_r(&master).expect("pts(4)");
        let slave = open(name.as_str(), flags, Mode::empty()).expect("pts(4)");
        let side = || Stdio::from(slave.try_clone().expect("a descriptor"));
        let mut command = Command::new("setsid");
        command.args(["--ctty", env!("CARGO_BIN_EXE_sealwax")]).args(arguments);
        command.env("TERM", "xterm").stdin(side()).stdout(side()).stderr(side());
        let child = end_with_parent(&mut command).spawn().expect("util-linux has it");
        let screen = OwnedFd::from(master).into();
        Self { child, screen, _keyboard: slave, shown: String::new() }
    }

    /// Waits until this word was drawn, behind the word before. Only cells that differ are drawn, and
    /// a space mostly does not: so a word, and not words.
    fn wait_for(&mut self, words: &str) {
        loop {
            if let Some(place) = self.shown.find(words) {
                self.shown.drain(..place + words.len());
                return;
            }
            let mut ready = [PollFd::new(self.screen.as_fd(), PollFlags::POLLIN)];
            let shown = &self.shown;
            assert_ne!(poll(&mut ready, PATIENCE), Ok(0), "{words}: it shows no more: {shown}");
            let mut some = [0; 4096];
            let count = self.screen.read(&mut some).expect("it writes");
            self.shown.push_str(&String::from_utf8_lossy(&some[..count]));
        }
    }

    fn press(&mut self, keys: &str) {
        self.screen.write_all(keys.as_bytes()).expect("it takes all");
    }

    fn is_raw(&self) -> bool {
        !tcgetattr(&self.screen).expect("a terminal").local_flags.contains(LocalFlags::ECHO)
    }

    fn end(mut self) -> Option<i32> {
        let status = self.child.wait().expect("our child");
        assert!(!self.is_raw());
        status.code()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const LEFT: &str = "\u{1b}[?1049l";

#[test]
fn the_screen_shows_the_relay_its_users_and_its_log_and_keys_change_it() {
    let homes = Homes::new();
    let home = homes.path("relay");
    let relay = Relay::start(&["--home", text(&home), "-q"]);
    let address = relay.address.parse().expect("an address");
    let _alice = Client::original(address, "alice");
    let mut seat = Seat::new(&["top", "--home", text(&home)]);
    seat.wait_for("serving");
    assert!(seat.is_raw());
    seat.wait_for("registered");
    let mut bob = Client::original(address, "bobby");
    seat.wait_for("bobby");
    seat.press("?");
    seat.wait_for("scroll");
    seat.press("?s");
    seat.wait_for("since");
    seat.press("/nothing\r");
    seat.wait_for("nothing");
    seat.press("\u{1b}");
    seat.wait_for("registered");
    seat.press("vv");
    seat.wait_for("debug");
    bob.send(&serde_json::json!({"action": "message", "to": "alice", "content": "secret"}));
    seat.wait_for("message");
    seat.press("p");
    seat.wait_for("paused");
    assert!(!seat.shown.contains("secret"));
    seat.press("q");
    seat.wait_for(LEFT);
    assert_eq!(seat.end(), Some(0));
    bob.ping();
}

#[test]
fn the_screen_waits_for_a_relay_and_a_signal_puts_the_terminal_back() {
    let homes = Homes::new();
    let path = homes.path("s");
    let mut seat = Seat::new(&["top", "--admin", text(&path)]);
    seat.wait_for("no relay listens");
    let relay = Relay::start(&["--ephemeral", "--admin", text(&path)]);
    seat.wait_for("serving");
    relay.process.signal(Signal::SIGKILL);
    relay.process.end();
    seat.wait_for("no relay listens");
    let pid = Pid::from_raw(i32::try_from(seat.child.id()).expect("a pid"));
    kill(pid, Signal::SIGTERM).expect("it runs");
    seat.wait_for(LEFT);
    assert_eq!(seat.end(), Some(0));
}
