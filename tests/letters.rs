//! Letters as scripts and people leave and take them: the built program, through pipes.

#![allow(clippy::expect_used)] // a test says what it expects

mod support;

use std::fs;

use nix::sys::signal::Signal;
use serde_json::Value;
use support::fixtures::public;
use support::process::{Ended, Homes, Process, Relay};

/// A relay with a home, and users who were there once.
struct Stage {
    homes: Homes,
    relay: Relay,
}

impl Stage {
    fn new() -> Self {
        let homes = Homes::new();
        let relay = Relay::at_home(&homes.path("relay"));
        let stage = Self { homes, relay };
        for name in ["alice", "bob"] {
            stage.look_in(name).with_code(0);
        }
        stage
    }

    fn client(&self, name: &str, command: &[&str]) -> Process {
        self.homes.client(name, &self.relay.address, command)
    }

    /// Takes what waits for `name`, and leaves.
    fn look_in(&self, name: &str) -> Ended {
        self.client(name, &["recv", "--wait", "0", "--json"]).end()
    }

    /// `sealwax letters COMMAND` of alice.
    fn letters(&self, command: &[&str]) -> Ended {
        self.of_home("alice", &[&["letters"], command].concat())
    }

    /// `sealwax COMMAND` for the home of `name`.
    fn of_home(&self, name: &str, command: &[&str]) -> Ended {
        let home = self.homes.of(name);
        Process::start(&[command, &["--home", support::process::text(&home)]].concat()).end()
    }

    /// Sends these lines to bob.
    fn send(&self, lines: std::ops::Range<usize>, options: &[&str]) -> Ended {
        let mut send = self.client("alice", &[&["send", "bob"], options].concat());
        for number in lines {
            send.say(&number.to_string());
        }
        send.end()
    }
}

fn objects(ended: &Ended) -> Vec<Value> {
    let parse = |line: &String| serde_json::from_str(line).expect("an object a line");
    ended.stdout.iter().map(parse).collect()
}

/// The texts of all messages.
fn texts(ended: &Ended) -> Vec<String> {
    let objects = objects(ended);
    let messages = objects.iter().filter(|object| object["event"] == "message");
    messages.map(|message| message["text"].as_str().expect("a text").to_owned()).collect()
}

fn events<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["event"] == kind).collect()
}

fn numbered(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[test]
fn what_is_left_survives_the_relay_and_both_are_told() {
    let stage = Stage::new();
    let left = stage.send(0..5, &["--until", "stored", "--json"]).with_code(0);
    assert_eq!(events(&objects(&left), "stored").len(), 5);
    let waits = stage.send(5..6, &["--wait", "1"]).with_code(7);
    assert!(waits.transcript.contains("1 message is stored at the relay"), "{waits:?}");

    let Stage { homes, relay: Relay { process, address, .. } } = stage;
    process.signal(Signal::SIGKILL);
    process.end();
    let home = homes.path("relay");
    let home = support::process::text(&home).to_owned();
    let serve = ["serve", "--listen", &address, "--home", &home, "-vv"];
    let stage = Stage { homes, relay: Relay::of(Process::start(&serve)) };
    let listed = stage.letters(&["list", "--json"]).with_code(0);
    assert_eq!(listed.stdout.len(), 6);

    let bob = stage.look_in("bob").with_code(0);
    assert_eq!(texts(&bob), numbered(0..6));
    let told = objects(&bob);
    let message = events(&told, "message")[0];
    assert!(message["letter"] == true && message["at"].is_u64(), "{message}");
    assert!(message["n"].is_null(), "{message}");
    assert_eq!(events(&told, "letterbox_empty").len(), 1);
    assert_eq!(texts(&stage.look_in("bob").with_code(0)), [""; 0]);

    let alice = objects(&stage.look_in("alice").with_code(0));
    let delivered = events(&alice, "delivered");
    assert_eq!(delivered.len(), 6);
    assert!(delivered.iter().all(|event| event["stored_at"].is_u64()), "{delivered:?}");
    assert_eq!(stage.letters(&["list"]).with_code(0).stdout, [""; 0]);
}

#[test]
fn a_recipient_who_comes_within_the_wait_confirms() {
    let stage = Stage::new();
    let send = stage.client("alice", &["send", "--wait", "60", "--json", "bob", "hi"]);
    send.event("stored");
    let bob = stage.client("bob", &["recv", "-n", "1"]);
    send.event("delivered");
    send.end().with_code(0);
    assert_eq!(bob.end().with_code(0).stdout, ["alice: hi"], "in a pipe it is a line like others");
}

#[test]
fn letters_and_what_comes_now_are_shown_once_in_order_and_counted() {
    let stage = Stage::new();
    stage.send(0..8, &["--until", "stored"]).with_code(0);
    let bob = stage.client("bob", &["recv", "--json", "-n", "40", "--wait", "60"]);
    let alice = stage.send(8..40, &["--wait", "60"]).with_code(0);
    drop(alice);
    assert_eq!(texts(&bob.end().with_code(0)), numbered(0..40));
}

#[test]
fn who_does_not_wait_leaves_its_letter_and_goes() {
    let stage = Stage::new();
    let sent = stage.client("alice", &["send", "--wait", "0", "bob", "hi"]).end().with_code(7);
    assert!(sent.transcript.contains("1 message is stored at the relay"), "{sent:?}");
    let stored = ["send", "--wait", "0", "--until", "stored", "bob", "again"];
    stage.client("alice", &stored).end().with_code(0);
    assert_eq!(texts(&stage.look_in("bob").with_code(0)), ["hi", "again"]);
}

#[test]
fn a_letterbox_that_is_full_is_waited_for_and_nothing_is_lost() {
    let stage = Stage::new();
    // Bob never wrote to alice: she is a stranger to him, and has room for eight.
    let full = stage.send(0..12, &["--until", "stored", "--wait", "2"]).with_code(7);
    assert!(full.transcript.contains("no letter can be left for"), "{full:?}");
    let missed = "4 messages were not stored: line 9 is the first of them";
    assert!(full.transcript.contains(missed), "{full:?}");
    assert!(!full.transcript.contains("nothing was read after"), "{full:?}");
    assert_eq!(texts(&stage.look_in("bob").with_code(0)), numbered(0..8));
}

/// The id of a line is its number.
#[test]
fn a_letterbox_that_fills_in_the_middle_of_a_pipe_tells_what_becomes_of_each_line() {
    let stage = Stage::new();
    let full = stage.send(0..200, &["--until", "stored", "--wait", "3", "--json"]).with_code(7);
    let told = objects(&full);
    let ids = |kind| {
        let ids = events(&told, kind).into_iter().map(|event| event["id"].clone());
        ids.map(|id| id.as_str().expect("a text").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((ids("stored"), ids("failed")), (numbered(1..9), numbered(9..41)));
    let failed = events(&told, "failed");
    assert!(failed.iter().all(|event| event["code"] == "mailbox_full"), "{failed:?}");
    let waits = events(&told, "mailbox_full");
    assert!(waits.len() == 1 && waits[0]["to"] == "bob", "{waits:?}");
    let missed = "32 messages were not stored: line 9 is the first of them";
    for said in [missed, "nothing was read after line 40"] {
        assert!(full.transcript.contains(said), "{said}: {full:?}");
    }
    assert_eq!(texts(&stage.look_in("bob").with_code(0)), numbered(0..8));
}

#[test]
fn a_chat_in_a_pipe_leaves_letters_as_send_does() {
    let stage = Stage::new();
    let chat = |lines: std::ops::Range<usize>, options: &[&str]| {
        let mut chat = stage.client("alice", &[&["chat", "bob"], options].concat());
        lines.for_each(|number| chat.say(&number.to_string()));
        chat.end()
    };
    let left = chat(0..2, &["--wait", "0"]).with_code(7);
    assert!(left.transcript.contains("2 messages are stored at the relay"), "{left:?}");
    chat(2..4, &["--wait", "0", "--until", "stored"]).with_code(0);
    chat(4..6, &["--wait", "60", "--until", "stored"]).with_code(0);
    // There is room for eight, and nothing is waited for.
    let full = chat(6..50, &["--wait", "0", "--until", "stored"]).with_code(7);
    let missed = "messages were not stored: line 3 is the first of them";
    assert!(full.transcript.contains(missed), "{full:?}");
    assert_eq!(texts(&stage.look_in("bob").with_code(0)), numbered(0..8));
}

#[test]
fn what_can_be_stored_for_nobody_is_told_at_once() {
    let stage = Stage::new();
    let send = |to: &str| {
        let send = ["send", "--until", "stored", "--wait", "600", to, "hi"];
        stage.client("alice", &send).end().with_code(4)
    };
    let mistyped = send("bbo");
    assert!(mistyped.transcript.contains("there is nobody named bbo"), "{mistyped:?}");
    stage.client("carol", &["recv", "--wait", "0", "--no-letterbox"]).end().with_code(0);
    let carol = send("carol");
    assert!(carol.transcript.contains("no letter can be left for carol"), "{carol:?}");
    let waits = stage.client("alice", &["send", "--wait", "600", "bbo", "hi"]);
    waits.talk_with("bbo is not connected (is the name spelled right?)");
    waits.signal(Signal::SIGTERM);
    waits.end().with_code(7);
}

#[test]
fn without_a_letterbox_it_is_as_it_was() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let recv = |options: &[&str]| {
        let command = [&["recv", "--wait", "0"], options].concat();
        homes.client("bob", &relay.address, &command).end().with_code(0)
    };
    let told = recv(&[]);
    assert!(told.transcript.contains("keeps no letters"), "{told:?}");
    let send = ["send", "--wait", "1", "bob", "hi"];
    homes.client("alice", &relay.address, &send).end().with_code(4);

    let stage = Stage::new();
    let homes = &stage.homes;
    homes.client("carol", &stage.relay.address, &["recv", "--wait", "0", "--no-letterbox"]).end();
    let carol = ["send", "--wait", "1", "carol", "hi"];
    let failed = stage.client("alice", &carol).end().with_code(4);
    assert!(failed.transcript.contains("no letter can be left for carol"), "{failed:?}");
}

#[test]
fn each_run_tells_what_is_held_for_its_key_and_ends_with_3_until_it_is_accepted() {
    let stage = Stage::new();
    let trust = |fp: &str| {
        stage.of_home("bob", &["keys", "trust", "alice", fp]).with_code(0);
    };
    let (alice, other) = (public("alice").fingerprint(), public("carol").fingerprint());
    trust(&other.to_string());
    stage.send(0..2, &["--until", "stored"]).with_code(0);
    let changed = stage.look_in("bob").with_code(3);
    assert_eq!(texts(&changed), [""; 0]);
    assert!(changed.transcript.contains("has to wait"), "{changed:?}");
    let (first, again) = (objects(&changed), objects(&stage.look_in("bob").with_code(3)));
    assert_eq!(events(&first, "letters_held"), events(&again, "letters_held"));
    let held = events(&again, "letters_held")[0];
    assert_eq!((&held["from"], &held["count"]), (&"alice".into(), &2.into()), "{held}");
    assert_eq!((&held["reason"], &held["fp"]), (&"key_changed".into(), &alice.to_string().into()));
    for command in [&["recv", "--wait", "0", "-q"][..], &["chat", "-q"]] {
        let mut client = stage.client("bob", command);
        if command[0] == "chat" {
            client.say("/users"); // it has to ask the relay for that
        }
        let told = client.end().with_code(3).stderr;
        assert!(told[0].contains("2 letters of alice are held"), "{told:?}");
        assert!(told[0].contains(&format!("trust alice {alice}`")), "{told:?}");
    }
    // Who sends, or takes no letters, has done what was asked.
    stage.client("bob", &["recv", "--wait", "0", "--no-letterbox"]).end().with_code(0);
    trust(&alice.to_string());
    assert_eq!(texts(&stage.look_in("bob").with_code(0)), numbered(0..2));
}

/// Bob has only ever read from alice, whose key is another one now.
#[test]
fn who_never_writes_back_is_told_each_time_that_a_key_has_changed() {
    let stage = Stage::new();
    stage.send(0..1, &["--until", "stored"]).with_code(0);
    assert_eq!(texts(&stage.look_in("bob").with_code(0)), numbered(0..1));
    let pins = stage.homes.of("bob").join("known_peers");
    let alice = public("alice").fingerprint().to_string();
    let carol = public("carol").fingerprint().to_string();
    let pinned = std::fs::read_to_string(&pins).expect("his pins");
    assert!(pinned.contains(&alice), "{pinned}");
    std::fs::write(&pins, pinned.replace(&alice, &carol)).expect("written");
    stage.send(1..2, &["--until", "stored"]).with_code(0);
    for _ in 0..2 {
        let told = objects(&stage.look_in("bob").with_code(3));
        assert_eq!(events(&told, "letters_held")[0]["reason"], "key_changed", "{told:?}");
    }
    stage.of_home("bob", &["keys", "trust", "alice", &alice]).with_code(0);
    assert_eq!(texts(&stage.look_in("bob").with_code(0)), numbered(1..2));
}

#[test]
fn strict_waits_for_a_key_that_was_compared_and_no_stranger_makes_it_fail() {
    let stage = Stage::new();
    let alice = public("alice").fingerprint().to_string();
    let strict = |code| {
        let strict = ["recv", "--wait", "0", "--strict", "--json"];
        objects(&stage.client("bob", &strict).end().with_code(code))
    };
    stage.send(0..1, &["--until", "stored"]).with_code(0);
    let refused = strict(0);
    assert_eq!(events(&refused, "message").len(), 0);
    assert_eq!(events(&refused, "warning")[0]["code"], "not_verified");
    assert_eq!(events(&strict(0), "letters_held").len(), 0, "of a stranger");
    stage.of_home("bob", &["keys", "trust", "alice", &alice]).with_code(0);
    stage.send(1..2, &["--until", "stored"]).with_code(0);
    let told = strict(3);
    assert_eq!(events(&told, "letters_held")[0]["count"], 1, "of the run before");
    assert_eq!(events(&strict(3), "letters_held")[0]["reason"], "not_verified");
    assert_eq!(texts(&stage.look_in("bob").with_code(0)), numbered(0..2), "without it");
}

#[test]
fn what_is_held_is_listed_and_can_be_dropped() {
    let stage = Stage::new();
    let other = public("carol").fingerprint().to_string();
    stage.of_home("bob", &["keys", "trust", "alice", &other]).with_code(0);
    stage.send(0..3, &["--until", "stored"]).with_code(0);
    stage.look_in("bob").with_code(3);
    let letters = |command: &[&str]| stage.of_home("bob", &[&["letters"], command].concat());
    let listed = letters(&["list"]).with_code(0).stdout;
    assert_eq!(listed.len(), 3);
    let (mark, said) = listed[1].split_once(' ').expect("a mark");
    assert!(said.starts_with("of alice, written less than a minute ago, is held for 14 days more"));
    assert!(said.contains(" trust alice SHA256:"), "{said}");
    let held = &objects(&letters(&["list", "--json"]).with_code(0))[1];
    assert_eq!((&held["letter"], &held["from"]), (&mark.into(), &"alice".into()), "{held}");
    assert_eq!(held["reason"], "key_changed");
    let days = |name: &str| held[name].as_u64().expect("a time") / (24 * 3_600_000);
    assert_eq!(days("until") - days("written_at"), 15);
    // Nothing that is unread is dropped by the way.
    let refused = letters(&["forget", "alice"]).with_code(4);
    assert!(refused.transcript.contains("--held drops those of alice"), "{refused:?}");
    assert_eq!(letters(&["forget", "--all"]).with_code(0).stdout, [""; 0]);
    assert_eq!(letters(&["forget", mark]).with_code(0).stdout.len(), 1);
    assert_eq!(letters(&["forget", "--held", "alice", "--json"]).with_code(0).stdout.len(), 2);
    letters(&["forget", "--held", "alice"]).with_code(4);
    stage.look_in("bob").with_code(0);
}

#[test]
fn a_home_that_is_not_there_and_one_without_letters_are_told_apart() {
    let stage = Stage::new();
    let none = stage.letters(&["list"]).with_code(0);
    assert_eq!((none.stdout.len(), none.stderr), (0, vec!["* no letters".to_owned()]));
    let typo = stage.homes.path("alcie");
    let list = ["letters", "list", "--home", support::process::text(&typo)];
    let missing = Process::start(&list).end().with_code(8);
    assert!(missing.transcript.contains("alcie"), "{missing:?}");
    assert!(!typo.exists(), "nor was it made");
}

/// A letterbox may hold many.
#[test]
fn letters_that_came_and_letters_that_were_delivered_are_told_in_a_line_a_peer() {
    let stage = Stage::new();
    stage.send(0..5, &["--until", "stored"]).with_code(0);
    let with = |ended: &Ended, words: &str| -> Vec<String> {
        ended.stderr.iter().filter(|line| line.contains(words)).cloned().collect()
    };
    let bob = stage.client("bob", &["recv", "--wait", "0"]).end().with_code(0);
    assert_eq!(bob.stdout.len(), 5);
    let came = "* 5 letters of alice came, the oldest written less than a minute ago";
    assert_eq!(with(&bob, "written"), [came]);
    let alice = stage.client("alice", &["recv", "--wait", "0"]).end().with_code(0);
    let told = "* 5 letters to bob were delivered, the oldest left less than a minute ago";
    assert_eq!(with(&alice, "left less"), [told]);
}

#[test]
fn that_letters_of_strangers_wait_for_their_turn_is_told_once_also_when_quiet() {
    let stage = Stage::new();
    stage.look_in("carol").with_code(0);
    stage.send(0..8, &["--until", "stored"]).with_code(0);
    let carol = ["send", "--until", "stored", "bob"];
    for text in ["a", "b"] {
        stage.client("carol", &[&carol[..], &[text]].concat()).end().with_code(0);
    }
    let bob = stage.client("bob", &["recv", "--wait", "0", "-q"]).end().with_code(0);
    assert_eq!(bob.stdout.len(), 10);
    let wait = bob.stderr.iter().filter(|line| line.contains("wait for their turn: 5 of them"));
    assert_eq!(wait.count(), 1, "{bob:?}");
}

#[test]
fn what_is_waited_for_is_listed_and_can_be_forgotten() {
    let stage = Stage::new();
    assert_eq!(stage.letters(&["list"]).with_code(0).stdout, [""; 0]);
    stage.send(0..3, &["--until", "stored"]).with_code(0);
    let listed = stage.letters(&["list"]).with_code(0).stdout;
    assert_eq!(listed.len(), 3);
    let (mark, said) = listed[1].split_once(' ').expect("a mark");
    assert!(said.starts_with("to bob, left "), "{listed:?}");
    let forgotten = stage.letters(&["forget", mark, "--json"]).with_code(0);
    assert_eq!(objects(&forgotten)[0]["letter"], mark);
    stage.letters(&["forget", "carol"]).with_code(4);
    stage.letters(&["forget"]).with_code(2);
    assert_eq!(stage.letters(&["forget", "--all", "--json"]).with_code(0).stdout.len(), 2);
    assert_eq!(stage.letters(&["list"]).with_code(0).stdout, [""; 0]);
    // Not taken back.
    assert_eq!(texts(&stage.look_in("bob").with_code(0)), numbered(0..3));
}

#[test]
fn letters_whose_key_was_lost_are_all_told() {
    let stage = Stage::new();
    stage.send(0..3, &["--until", "stored"]).with_code(0);
    fs::remove_file(stage.homes.of("bob").join("letters.sqlite")).expect("it was there");
    let bob = stage.client("bob", &["recv", "--wait", "0"]).end().with_code(0);
    assert!(bob.transcript.contains("is not in letters.sqlite any more"), "{bob:?}");
    assert!(bob.transcript.contains("its sender is told `unconfirmed`"), "{bob:?}");
    assert!(bob.transcript.contains("(session_refused): 2 more like it"), "{bob:?}");
    let alice = stage.look_in("alice").with_code(0);
    assert_eq!(events(&objects(&alice), "delivered").len(), 0);
}

#[test]
fn a_file_of_letters_that_cannot_be_used_is_told_and_the_rest_works() {
    let stage = Stage::new();
    fs::write(stage.homes.of("bob").join("letters.sqlite"), "no database, ".repeat(100))
        .expect("ours");
    stage.send(0..1, &["--until", "stored"]).with_code(0);
    let bob = stage.client("bob", &["recv", "--json"]);
    assert_eq!(bob.event("warning")["code"], "letters_file");
    bob.event("registered");
    bob.signal(Signal::SIGTERM);
    assert_eq!(texts(&bob.end().with_code(8)), [""; 0], "the letter waits");
    let list = stage.of_home("bob", &["letters", "list"]).with_code(8);
    assert!(list.transcript.contains("letters.sqlite"), "{list:?}");
}

#[test]
fn a_file_of_letters_that_breaks_meanwhile_is_named_with_what_to_do() {
    let stage = Stage::new();
    let bob = stage.client("bob", &["recv", "--json"]);
    bob.event("letterbox_empty");
    let file = rusqlite::Connection::open(stage.homes.of("bob").join("letters.sqlite"));
    file.expect("a database").execute_batch("DROP TABLE seen").expect("ours");
    stage.send(0..1, &[]).with_code(0);
    let warning = bob.event("warning");
    assert_eq!(warning["code"], "letters_file");
    let detail = warning["detail"].as_str().expect("a text");
    assert!(detail.contains("bob/letters.sqlite'") && detail.contains("move the file away"));
    bob.signal(Signal::SIGTERM);
    bob.end().with_code(8);
}

#[test]
fn each_relay_has_letters_of_its_own() {
    let stage = Stage::new();
    let other = Relay::at_home(&stage.homes.path("other"));
    let there = |name: &str, command: &[&str]| stage.homes.client(name, &other.address, command);
    let look_in = ["recv", "--wait", "0", "--json"];
    there("bob", &look_in).end().with_code(0);
    stage.send(0..2, &["--until", "stored"]).with_code(0);
    there("alice", &["send", "--until", "stored", "bob", "2"]).end().with_code(0);
    let listed = objects(&stage.letters(&["list", "--json"]).with_code(0));
    let relays: Vec<_> = listed.iter().map(|letter| letter["relay"].clone()).collect();
    assert_eq!(relays, [&*stage.relay.address, &*stage.relay.address, &*other.address]);
    let said = stage.letters(&["list"]).with_code(0).stdout;
    assert!(said[2].contains(&format!("to bob at {}, left", other.address)), "{said:?}");
    assert_eq!(texts(&there("bob", &look_in).end().with_code(0)), ["2"]);
    assert_eq!(texts(&stage.look_in("bob").with_code(0)), ["0", "1"]);
    let told = there("alice", &look_in).end().with_code(0);
    assert_eq!(events(&objects(&told), "delivered").len(), 1);
    let said = stage.letters(&["list"]).with_code(0).stdout;
    assert!(said.len() == 2 && said[0].contains(" to bob, left"), "of one relay: {said:?}");
    assert_eq!(events(&objects(&stage.look_in("alice")), "delivered").len(), 2);
    // From wherever they were left.
    there("alice", &["send", "--until", "stored", "bob", "3"]).end().with_code(0);
    stage.send(4..5, &["--until", "stored"]).with_code(0);
    assert_eq!(stage.letters(&["forget", "--all"]).with_code(0).stdout.len(), 2);
}

#[test]
fn a_relay_whose_new_key_was_accepted_is_the_same_for_letters() {
    let stage = Stage::new();
    stage.send(0..3, &["--until", "stored"]).with_code(0);
    let Stage { homes, relay: Relay { process, address, .. } } = stage;
    process.signal(Signal::SIGTERM);
    process.end();
    let other = Relay::at_home(&homes.path("other"));
    other.process.signal(Signal::SIGTERM);
    other.process.end();
    let key = |home: &str| homes.path(home).join("relay.key");
    fs::rename(key("other"), key("relay")).expect("both are there");
    let home = homes.path("relay");
    let home = support::process::text(&home).to_owned();
    let serve = ["serve", "--listen", &address, "--home", &home, "-vv"];
    let stage = Stage { homes, relay: Relay::of(Process::start(&serve)) };
    for name in ["alice", "bob"] {
        stage.look_in(name).with_code(5);
        let home = stage.homes.of(name);
        let untrust = ["keys", "untrust", &address, "--home", support::process::text(&home)];
        Process::start(&untrust).end().with_code(0);
    }
    assert_eq!(texts(&stage.look_in("bob").with_code(0)), numbered(0..3));
    assert_eq!(events(&objects(&stage.look_in("alice")), "delivered").len(), 3);
}

#[test]
fn a_released_name_and_a_renamed_user_tell_what_becomes_of_letters() {
    let stage = Stage::new();
    stage.send(0..2, &["--until", "stored"]).with_code(0);
    let home = stage.homes.path("relay");
    let names = ["names", "--home", support::process::text(&home), "release", "bob", "--json"];
    let released = objects(&Process::start(&names).end().with_code(0));
    assert_eq!((&released[0]["name"], &released[0]["letters"]), (&"bob".into(), &2.into()));
    stage.relay.process.signal(Signal::SIGHUP);
    let alice = objects(&stage.look_in("alice").with_code(0));
    let lost: Vec<_> = events(&alice, "unconfirmed").iter().map(|event| &event["code"]).collect();
    assert_eq!(lost, ["unknown_user", "unknown_user"]);
    assert_eq!(stage.letters(&["list"]).with_code(0).stdout, [""; 0]);

    let home = stage.homes.of("bob");
    let rename = ["keys", "rename", "bob2", "--home", support::process::text(&home)];
    let renamed = Process::start(&rename).end().with_code(0);
    assert!(renamed.stdout[0].contains("Letters that wait there for bob are lost"), "{renamed:?}");
}
