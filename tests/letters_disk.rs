//! Letters of users whose home lies on a disk that is full or read-only: nothing is lost, and
//! nothing is acknowledged that was not shown. Processes, and a small disk that is mounted where
//! that is allowed.

#![allow(clippy::expect_used)] // a test says what it expects

mod support;

use std::fs;
use std::os::unix::fs::{DirBuilderExt, symlink};

use nix::sys::signal::Signal;
use sealwax::limits::LETTERS_DELIVERED;
use serde_json::Value;
use support::disk::Disk;
use support::process::{Ended, Homes, Process, Relay, text};

/// As many as wait for bob.
const LETTERS: usize = 60;

/// A relay that has all the room that it needs, and two users with their homes on the small disk,
/// who wrote to each other.
struct Stage {
    relay: Relay,
    disk: Disk,
    homes: Homes,
}

impl Stage {
    /// `None` where no disk can be mounted.
    fn new() -> Option<Self> {
        let homes = Homes::new();
        let disk = Disk::mount(&homes.path("disk"))?;
        for name in ["alice", "bob"] {
            let (home, on_disk) = (homes.of(name), disk.path(name));
            fs::DirBuilder::new().mode(0o700).create(&on_disk).expect("a home");
            fs::copy(home.join("identity.pem"), on_disk.join("identity.pem")).expect("a key");
            fs::remove_dir_all(&home).expect("it was there");
            symlink(on_disk, home).expect("a link");
        }
        let relay = Relay::at_home(&homes.path("relay"));
        let stage = Self { relay, disk, homes };
        for (name, to) in [("alice", "bob"), ("bob", "alice")] {
            stage.look_in(to);
            stage.client(name, &["send", "--until", "stored", to, "hi"]).end().with_code(0);
            stage.look_in(to);
            stage.look_in(name);
        }
        assert_eq!((stage.waiting("alice"), stage.waiting("bob")), (0, 0));
        Some(stage)
    }

    fn client(&self, name: &str, command: &[&str]) -> Process {
        self.homes.client(name, &self.relay.address, command)
    }

    /// Takes what waits for `name`, and leaves.
    fn look_in(&self, name: &str) -> Ended {
        self.client(name, &["recv", "--wait", "0", "--json"]).end().with_code(0)
    }

    /// Alice leaves so many letters.
    fn leave(&self, count: usize) -> Ended {
        let mut send = self.client("alice", &["send", "--until", "stored", "--json", "bob"]);
        (0..count).for_each(|number| send.say(&number.to_string()));
        send.end().with_code(0)
    }

    /// How many letters wait for `name` at the relay.
    fn waiting(&self, name: &str) -> usize {
        let home = self.homes.path("relay");
        let listed = Process::start(&["names", "list", "--home", text(&home)]).end().with_code(0);
        let line = listed.stdout.iter().find(|line| line.starts_with(&format!("{name} ")));
        let count = line.and_then(|line| line.split_ascii_whitespace().nth(4));
        count.expect("a count").parse().expect("a number")
    }

    fn spoil(&self, how: &str) {
        match how {
            "full" => self.disk.fill(),
            _ => self.disk.remount("ro"),
        }
    }

    fn mend(&self, how: &str) {
        match how {
            "full" => self.disk.make_room(),
            _ => self.disk.remount("rw"),
        }
    }
}

/// The events of this kind among all that a process has said.
fn events(ended: &Ended, kind: &str) -> Vec<Value> {
    let all = ended.transcript.lines().filter_map(|line| serde_json::from_str(line).ok());
    all.filter(|event: &Value| event["event"] == kind).collect()
}

/// The numbers that were shown.
fn shown(ended: &Ended) -> Vec<usize> {
    let text = |event: &Value| event["text"].as_str().expect("a text").parse().expect("a number");
    events(ended, "message").iter().map(text).collect()
}

/// Reads up to the warning that letters cannot be written down.
fn is_told(process: &Process) {
    let warning = process.event("warning");
    assert_eq!(warning["code"], "letters_file", "{warning}");
    let detail = warning["detail"].as_str().expect("a text");
    assert!(detail.starts_with("letters cannot be written down, and come again: "), "{detail}");
}

#[test]
fn on_a_disk_that_has_room_again_all_are_shown_once() {
    let Some(stage) = Stage::new() else { return };
    stage.leave(LETTERS);
    for how in ["full", "read-only"] {
        stage.spoil(how);
        let recv = stage.client("bob", &["recv", "--json", "--wait", "60", "-n", "60"]);
        is_told(&recv);
        assert_eq!(stage.waiting("bob"), LETTERS, "{how}: none is acknowledged");
        stage.mend(how);
        let recv = recv.end().with_code(0);
        assert_eq!(shown(&recv), (0..LETTERS).collect::<Vec<_>>(), "{how}");
        assert_eq!((stage.waiting("bob"), shown(&stage.look_in("bob")).len()), (0, 0), "{how}");
        assert_eq!(events(&stage.look_in("alice"), "delivered").len(), LETTERS, "{how}");
        if how == "full" {
            stage.leave(LETTERS);
        }
    }
}

#[test]
fn a_disk_that_fills_up_meanwhile_loses_nothing() {
    let Some(stage) = Stage::new() else { return };
    stage.leave(LETTERS);
    let recv = stage.client("bob", &["recv", "--json", "-n", "61"]);
    recv.event("message");
    stage.disk.fill();
    // However many were taken by now, this one is too many for the disk. (Alice's is full too: she
    // cannot note what she leaves.)
    let send = ["send", "--until", "stored", "bob", "60"];
    stage.client("alice", &send).end().with_code(0);
    is_told(&recv);
    stage.disk.make_room();
    let mut shown = shown(&recv.end().with_code(0));
    shown.sort_unstable(); // the last went in a session, perhaps past the others
    assert_eq!(shown, (0..=LETTERS).collect::<Vec<_>>());
    assert_eq!(stage.waiting("bob"), 0);
}

#[test]
fn who_is_killed_before_it_was_written_shows_again_what_was_being_shown() {
    let Some(stage) = Stage::new() else { return };
    stage.leave(LETTERS);
    for how in ["full", "read-only"] {
        stage.spoil(how);
        let recv = stage.client("bob", &["recv", "--json"]);
        is_told(&recv);
        recv.signal(Signal::SIGKILL);
        let twice = shown(&recv.end());
        assert!(twice.len() <= LETTERS_DELIVERED, "{how}: {twice:?}");
        assert_eq!(twice, (0..twice.len()).collect::<Vec<_>>(), "{how}");
        assert_eq!(stage.waiting("bob"), LETTERS, "{how}: none is acknowledged");
        assert_eq!(
            events(&stage.client("alice", &["recv", "--wait", "0", "--json"]).end(), "delivered")
                .len(),
            0
        );
        stage.mend(how);
    }
    assert_eq!(shown(&stage.look_in("bob")), (0..LETTERS).collect::<Vec<_>>());
    assert_eq!(events(&stage.look_in("alice"), "delivered").len(), LETTERS);
}

#[test]
fn what_is_left_from_such_a_disk_arrives_and_is_not_waited_for_later() {
    let Some(stage) = Stage::new() else { return };
    for how in ["full", "read-only"] {
        stage.spoil(how);
        let left = stage.leave(5);
        assert_eq!(events(&left, "stored").len(), 5, "{how}");
        let warnings = events(&left, "warning");
        assert!(warnings.iter().any(|warning| warning["code"] == "letters_file"), "{left:?}");
        let listed = || {
            let home = stage.homes.of("alice");
            Process::start(&["letters", "list", "--home", text(&home)]).end().with_code(0).stdout
        };
        assert_eq!(listed(), [""; 0], "{how}");
        stage.mend(how);
        assert_eq!(shown(&stage.look_in("bob")), [0, 1, 2, 3, 4], "{how}");
        assert_eq!(shown(&stage.look_in("bob")), [0; 0], "{how}");
        // While the sender is there, it needs no note.
        stage.spoil(how);
        let mut send = stage.client("alice", &["send", "--json", "--wait", "60", "bob"]);
        send.say("5");
        is_told(&send);
        stage.mend(how);
        assert_eq!(shown(&stage.look_in("bob")), [5], "{how}");
        send.event("delivered");
        send.end().with_code(0);
    }
}
