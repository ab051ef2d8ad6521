//! No secret is said anywhere: a conversation at `-vv`, its failures included, and then every byte
//! that was printed or left on the disk is searched for what was written, for the private keys in
//! every usual form, and for the passphrase.

#![allow(clippy::expect_used)] // a test says what it expects

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use support::fixtures::{identity, pem};
use support::process::{Homes, Process, Relay, text};
use support::secrets::Secrets;

/// Stands in every text that is written.
const MARK: &str = "the gold is under the old oak";
const PASSPHRASE: &str = "seventeen purple elephants";
const WRONG_PASSPHRASE: &str = "eighteen orange elephants";

/// `sealwax` with descriptor 9 open on `passphrase`.
fn with_passphrase(passphrase: &Path, arguments: &[&str]) -> Process {
    let script = r#"exec 9<"$1"; shift; exec "$@""#;
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh", text(passphrase), env!("CARGO_BIN_EXE_sealwax")]);
    Process::spawn(command.args(arguments))
}

/// Says to the relay what it refuses, each on a connection of its own, with the mark in it.
fn say_what_is_refused(relay: &Relay) {
    let pem = pem("public-alice").replace('\n', "\\n");
    let frames = [
        format!("{MARK}\n"),
        format!(r#"{{"action":"message","to":"bob","from":"carol","content":"{MARK}"}}"#),
        format!(r#"{{"action":"register","name":"carol","pubkey":"{MARK}"}}"#),
        format!(r#"{{"action":"register","name":"carol","pubkey":"{pem}","{MARK}":"{MARK}""#),
        format!(
            r#"{{"action":"register","name":"carol","pubkey":"{pem}"}}
               {{"action":"message","to":"bob","content":"{MARK}","id":"1"}}
               {{"action":"message","to":"carol","content":"{MARK}","secret":"{MARK}"}}
               {{"action":"message","to":"carol","content":["{MARK}"]}}
               {{"action":"{MARK}"}} {{"action":"ping","{MARK}":1,"{MARK}":2}} x{MARK}"#
        ),
    ];
    for frame in frames {
        let mut stream = TcpStream::connect(&relay.address).expect("it listens");
        stream.write_all(frame.as_bytes()).expect("it reads");
        stream.shutdown(std::net::Shutdown::Write).expect("open");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("it answers and ends");
    }
}

fn nothing_is_said(log: &str) {
    let homes = Homes::new();
    let home = homes.path("relay");
    let relay = Relay::start(&["--home", text(&home), "--log", log, "-vv"]);
    let alice_home = homes.of("alice");
    let sealed = identity("alice").to_pem(Some(PASSPHRASE.as_bytes()));
    fs::write(alice_home.join("identity.pem"), sealed.as_bytes()).expect("ours");
    let passphrase = alice_home.join("passphrase");
    let alice = |said: &str, command: &[&str]| {
        fs::write(&passphrase, format!("{said}\n")).expect("ours");
        let options = homes.options("alice", &relay.address);
        let options = options.iter().map(String::as_str).chain(["--passphrase-fd", "9", "-vv"]);
        with_passphrase(&passphrase, &command.iter().copied().chain(options).collect::<Vec<_>>())
    };
    let mut said = Vec::new();
    let mut keep = |who: &str, process: Process, code| {
        said.push((who.to_owned(), process.end().with_code(code).transcript));
    };

    // The recipient shows what was written, on standard output and nowhere else.
    let mut bob = homes.client("bob", &relay.address, &["recv", "-n", "3", "-vv"]);
    bob.finish_input();
    bob.talk_with("you are bob");
    keep("a wrong passphrase", alice(WRONG_PASSPHRASE, &["recv"]), 8);
    keep("no passphrase", alice("", &["recv"]), 8);
    keep("keys", alice(PASSPHRASE, &["keys", "show"]), 0);
    keep("a stranger", alice(PASSPHRASE, &["send", "nobody", MARK]), 4);
    let mut chat = alice(PASSPHRASE, &["chat", "--json"]);
    chat.event("registered");
    let too_long = MARK.repeat(1000);
    let lines = [
        format!(r#"{{"to":"bob","text":"{MARK} 1","id":"1"}}"#),
        format!(r#"{{"to":"bob","text":"{MARK} 2"}}"#),
        format!(r#"{{"to":"bob","text":"{too_long}"}}"#),
        format!(r#"{{"to":"bob","text":["{MARK}"]}}"#),
        format!(r#"{{"to":"bob","text":"{MARK}""#),
        format!(r#"{{"to":"bob","{MARK}":"{MARK}"}}"#),
        format!(r#"{{"command":"{MARK}"}}"#),
        format!("\"{MARK}\""),
        MARK.to_owned(),
    ];
    for line in lines {
        chat.say(&line);
    }
    for _ in 0..2 {
        chat.event("delivered");
    }
    keep("a chat with errors", chat, 1);
    let mut chat = alice(PASSPHRASE, &["chat", "bob"]);
    chat.say(&format!("@bob {MARK} 3"));
    chat.talk_with("delivered");
    chat.say(&format!("/nothing {MARK}"));
    chat.talk_with("there is no /nothing");
    keep("a chat in a terminal", chat, 1);
    say_what_is_refused(&relay);

    let bob = bob.end().with_code(0);
    let shown = (1..=3).map(|number| format!("alice: {MARK} {number}"));
    assert_eq!(bob.stdout, shown.collect::<Vec<_>>());
    said.push(("what bob is told".to_owned(), bob.stderr.join("\n")));
    relay.process.signal(nix::sys::signal::Signal::SIGTERM);
    let relay_said = relay.process.end().with_code(0).transcript;
    assert!(relay_said.contains("alice"), "the log tells who: {relay_said}");
    said.push(("the relay's log".to_owned(), relay_said));

    let mut secrets = Secrets::default();
    secrets.add("what was written", MARK.as_bytes());
    for passphrase in [PASSPHRASE, WRONG_PASSPHRASE] {
        secrets.add("a passphrase", passphrase.as_bytes());
        secrets.add_bytes("a passphrase", passphrase.as_bytes());
    }
    secrets.add_rsa("alice");
    secrets.add_rsa("bob");
    let relay_key = fs::read(home.join("relay.key")).expect("it has one");
    secrets.add_bytes("the relay's key", &relay_key[16..48]); // RFC 8410, section 7
    for (who, said) in &said {
        secrets.check(who, said.as_bytes());
    }
    let searched: usize =
        ["alice", "bob", "relay"].map(|name| secrets.check_files(&homes.path(name))).iter().sum();
    assert!(searched >= 6, "known_peers, known_relays, name of both, and the relay's names");
}

#[test]
fn no_secret_is_said_where_the_relay_logs_lines() {
    nothing_is_said("text");
}

#[test]
fn no_secret_is_said_where_the_relay_logs_objects() {
    nothing_is_said("json");
}

/// The search itself finds what it looks for.
#[test]
fn a_secret_that_is_said_is_found() {
    let mut secrets = Secrets::default();
    secrets.add_rsa("alice");
    let leaks = [
        pem("alice"),
        identity("alice").to_pem(None).to_string(),
        pem("alice").lines().nth(20).expect("a line").to_owned(),
    ];
    for leak in leaks {
        assert!(secrets.is_in(&leak), "{leak}");
    }
}
