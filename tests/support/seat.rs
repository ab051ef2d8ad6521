//! The program at a terminal of its own: a pseudo-terminal whose other side is the test.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, poll};
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::Pid;
use sealwax::reactor::end_with_parent;

/// In milliseconds: a test that waits longer than this for something to be shown has failed.
const PATIENCE: u16 = 60_000;

/// A program whose controlling terminal is ours (`setsid(1)` sees to that).
pub struct Seat {
    pub child: Child,
    pub screen: File,
    /// Where the terminal is, for `stty(1)`.
    pub name: String,
    /// Kept open, so that the terminal is there to be looked at when the program is gone.
    _keyboard: OwnedFd,
    pub shown: String,
}

impl Seat {
    pub fn new(arguments: &[&str]) -> Self {
        Self::with("", &[], arguments)
    }

    /// The program is started to ignore these signals, as `nohup` does it.
    pub fn ignoring(signals: &str, arguments: &[&str]) -> Self {
        Self::with(&format!("trap '' {signals};"), &[], arguments)
    }

    /// A shell does this first, on the same terminal, and has these variables.
    pub fn with(first: &str, variables: &[(&str, &str)], arguments: &[&str]) -> Self {
        // Closed in whatever is started: only so does the terminal go when we let go of it.
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let master = posix_openpt(flags).expect("a terminal");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("pts(4)");
        let name = ptsname_r(&master).expect("pts(4)");
        let slave = open(name.as_str(), flags, Mode::empty()).expect("pts(4)");
        let side = || Stdio::from(slave.try_clone().expect("a descriptor"));
        let mut command = Command::new("setsid");
        command.args(["--ctty", "sh", "-c", &format!("{first} exec \"$@\""), "sh"]);
        command.arg(env!("CARGO_BIN_EXE_sealwax")).args(arguments);
        command.envs(variables.iter().copied());
        command.stdin(side()).stdout(side()).stderr(side());
        let child = end_with_parent(&mut command).spawn().expect("util-linux has it");
        let screen = OwnedFd::from(master).into();
        Self { child, screen, name, _keyboard: slave, shown: String::new() }
    }

    /// What the program has written next; `waiting` says for what.
    pub fn read(&mut self, waiting: &str) -> Vec<u8> {
        let mut ready = [PollFd::new(self.screen.as_fd(), PollFlags::POLLIN)];
        assert_ne!(
            poll(&mut ready, PATIENCE),
            Ok(0),
            "{waiting}: it shows no more: {}",
            self.shown
        );
        let mut some = [0; 4096];
        let count = self.screen.read(&mut some).expect("it writes");
        self.shown.push_str(&String::from_utf8_lossy(&some[..count]));
        some[..count].to_vec()
    }

    pub fn wait_for(&mut self, words: &str) {
        while !self.shown.contains(words) {
            self.read(words);
        }
    }

    /// Waits for these words behind those that were waited for before. Where only cells that differ
    /// are drawn, a space mostly is not: so a word, and not words.
    pub fn wait_for_next(&mut self, words: &str) {
        self.wait_for(words);
        let place = self.shown.find(words).expect("it was waited for");
        self.shown.drain(..place + words.len());
    }

    pub fn type_in(&mut self, keys: &str) {
        self.screen.write_all(keys.as_bytes()).expect("typed");
    }

    pub fn shows_what_is_typed(&self) -> bool {
        tcgetattr(&self.screen).expect("a terminal").local_flags.contains(LocalFlags::ECHO)
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("a process"))
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("it runs");
    }

    pub fn end(mut self) -> ExitStatus {
        self.child.wait().expect("ours")
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
