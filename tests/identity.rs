//! What belongs to an identity and is given once: the name, the relay, and the keys of relays.

#![allow(clippy::expect_used)] // a test says what it expects

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use support::process::{Ended, Homes, Process, Relay, text};

/// `sealwax ARGUMENTS` in alice's home.
fn alice(homes: &Homes, arguments: &[&str]) -> Process {
    Process::start(&[arguments, &["--home", text(&homes.of("alice"))]].concat())
}

fn says(ended: &Ended, words: &str) {
    assert!(ended.stderr.iter().any(|line| line.contains(words)), "{words}: {ended:#?}");
}

// --- The name ---

#[test]
fn a_name_is_given_once_and_another_is_refused() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    homes.client("alice", &relay.address, &["recv", "-n", "0"]).end().with_code(0);
    let others: [&[&str]; 5] = [
        &["send", "--name", "zed", "bob", "hi"],
        &["recv", "--name", "zed"],
        &["chat", "--name", "zed"],
        &["keys", "--name", "zed", "show"],
        &["keys", "--name", "zed", "verify", "bob"],
    ];
    for command in others {
        let ended = alice(&homes, command).end().with_code(6);
        says(&ended, "the identity in this home is alice, not zed");
        says(&ended, "rename zed");
    }
    let kept = fs::read_to_string(homes.of("alice").join("name")).expect("remembered");
    assert_eq!(kept, "alice\n");
    alice(&homes, &["recv", "--name", "alice", "-n", "0"]).end().with_code(0);
}

#[test]
fn keys_rename_changes_the_name_and_waits_for_no_running_client() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let chat = homes.client("alice", &relay.address, &["chat", "--json"]);
    chat.event("registered");
    alice(&homes, &["keys", "rename", "zed"]).end().with_code(8);
    chat.end().with_code(0);
    alice(&homes, &["keys", "rename", "No Name"]).end().with_code(6);
    let renamed = alice(&homes, &["keys", "rename", "zed", "--json"]).end().with_code(0);
    assert_eq!(renamed.stdout, [r#"{"name":"zed","was":"alice"}"#]);
    let chat = alice(&homes, &["chat", "--json"]);
    assert_eq!(chat.event("registered")["name"], "zed");
    chat.end().with_code(0);
}

// --- The relay ---

#[test]
fn the_first_relay_is_remembered_and_another_is_for_one_run() {
    let homes = Homes::new();
    let (home, away) = (Relay::ephemeral(), Relay::ephemeral());
    homes.client("alice", &home.address, &["recv", "-n", "0"]).end().with_code(0);
    let usual = |expected: &Relay| {
        let chat = alice(&homes, &["chat", "--json", "-vv"]);
        chat.talk_with(&format!("connecting to {}", expected.address));
        chat.event("registered");
        chat.end().with_code(0);
    };
    usual(&home);
    let chat = alice(&homes, &["chat", "--json", "--relay", &away.address]);
    chat.talk_with(&format!("keys --home {} relay {}", text(&homes.of("alice")), away.address));
    chat.event("registered");
    chat.end().with_code(0);
    usual(&home);
    alice(&homes, &["keys", "relay", &away.address]).end().with_code(0);
    assert_eq!(alice(&homes, &["keys", "relay"]).end().with_code(0).stdout, [&*away.address]);
    usual(&away);
}

/// As the README has it: `sealwax serve`, and a user of the same account, neither with `--home`.
#[test]
fn a_user_and_a_relay_may_both_use_their_default_homes() {
    let homes = Homes::new();
    let data = homes.path("data");
    homes.of("alice"); // a key, so that none has to be made
    fs::create_dir(&data).expect("a directory");
    fs::rename(homes.path("alice"), data.join("sealwax")).expect("ours");
    let start = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealwax"));
        Process::spawn(command.args(arguments).env("XDG_DATA_HOME", &data))
    };
    let relay = || Relay::of(start(&["serve", "--listen", "127.0.0.1:0"]));
    let first = relay();
    let options = ["--name", "alice", "--relay", &first.address];
    let chat = start(&[&["chat", "--json"], &options[..]].concat());
    chat.event("registered");
    chat.end().with_code(0);
    drop(first);
    let second = relay(); // the address is remembered by now
    drop(second);
    assert_eq!(start(&["keys", "relay"]).end().with_code(0).stdout.len(), 1);
}

#[test]
fn a_damaged_file_that_remembers_the_relay_is_code_8() {
    let homes = Homes::new();
    let path = homes.of("alice").join("relay_address");
    fs::write(&path, "nowhere\n").expect("ours");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("ours");
    says(&alice(&homes, &["recv", "--name", "alice"]).end().with_code(8), "not of the form");
}

// --- Spellings of a relay ---

#[test]
fn a_relay_is_new_once_however_it_is_spelled_and_that_is_said_with_q_too() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let port = relay.address.rsplit_once(':').expect("a port").1;
    let new = |spelling: &str| {
        let arguments = ["chat", "--json", "-q", "--name", "alice", "--relay", spelling];
        let chat = alice(&homes, &arguments);
        chat.event("registered"); // `recv -n 0` would be over before
        let ended = chat.end().with_code(0);
        ended.stderr.iter().filter(|line| line.contains("is new to you")).count()
    };
    assert_eq!(new(&format!("127.0.0.1:{port}")), 1);
    assert_eq!(new(&format!("127.0.0.1:0{port}")), 0);
    assert_eq!(new(&format!("LOCALHOST:{port}")), 1);
    for host in ["localhost", "LocalHost", "LOCALHOST"] {
        assert_eq!(new(&format!("{host}:0{port}")), 0, "{host}");
    }
    let listed = alice(&homes, &["keys", "list"]).end().with_code(0).stdout;
    let kept: Vec<_> = listed.iter().filter_map(|line| line.split_once(' ')).map(|l| l.0).collect();
    assert_eq!(kept, [format!("127.0.0.1:{port}"), format!("localhost:{port}")]);
    alice(&homes, &["keys", "untrust", &format!("LOCALHOST:0{port}")]).end().with_code(0);
    assert_eq!(alice(&homes, &["keys", "list"]).end().with_code(0).stdout.len(), 1);
}

// --- A peer whose key has changed ---

#[test]
fn a_chat_that_has_just_started_accepts_a_key_that_has_changed() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let at = relay.address.clone();
    let bob = homes.client("bob", &at, &["recv", "-n", "1"]);
    bob.talk_with("you are bob");
    homes.client("alice", &at, &["send", "bob", "hi"]).end().with_code(0);
    bob.end().with_code(0);
    drop(relay);
    // Another bob: the key of carol, at a relay that does not know the first one.
    let relay = Relay::start(&["--ephemeral"]);
    let home = homes.of("carol");
    let options = ["--relay", &relay.address, "--name", "bob", "--home", text(&home)];
    let bob = Process::start(&[&["recv", "-n", "2", "-vv"], &options[..]].concat());
    bob.talk_with("you are bob");

    let refused = homes.client("alice", &relay.address, &["send", "--wait", "5", "bob", "hi"]);
    refused.end().with_code(3);
    let mut chat = homes.client("alice", &relay.address, &["chat"]);
    chat.say("/trust bob");
    chat.say("@bob accepted"); // waits for the key, which the relay is asked for
    chat.end().with_code(0);
    assert_eq!(bob.line(), "alice: accepted");

    // By its fingerprint, as `keys trust` does.
    let shown = Process::start(&["keys", "show", "--home", text(&home)]).end().with_code(0);
    let fp = shown.stdout[0].split(' ').find(|word| word.starts_with("SHA256:"));
    let mut chat = homes.client("alice", &relay.address, &["chat"]);
    chat.say("/trust bob SHA256:nothing");
    chat.say(&format!("/trust bob {}", fp.expect("a fingerprint")));
    chat.say("@bob again");
    let ended = chat.end().with_code(1);
    says(&ended, "line 1: SHA256:nothing is no fingerprint");
    assert_eq!(bob.end().with_code(0).stdout, ["alice: again"]);

    // Nothing to accept is no success.
    let mut chat = homes.client("alice", &relay.address, &["chat", "--wait", "20"]);
    chat.say("/trust nobody");
    says(&chat.end().with_code(4), "no other key of nobody was seen");
}
