//! `openssl s_client` at the other end, a client that no one here wrote, and the files of a
//! certificate.

use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::process::{Process, Relay};
use crate::support::relay::{Client, register};

/// Runs `openssl` to its end; none where it is not installed, which is said.
fn openssl(arguments: &[&str]) -> Option<()> {
    let done = Command::new("openssl").args(arguments).output();
    let Ok(done) = done else {
        println!("skipped: openssl is not installed (Debian: apt-get install openssl)");
        return None;
    };
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Some(())
}

/// A certificate for `host` and its key in `folder`, made by openssl.
fn pair(folder: &Path, host: &str) -> Option<(String, String)> {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (certificate, key) = (path(&format!("{host}.pem")), path(&format!("{host}.key")));
    let subject = format!("/CN={host}");
    let name = format!("subjectAltName=DNS:{host}");
    openssl(&[
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-keyout",
        &key,
        "-out",
        &certificate,
        "-days",
        "2",
        "-subj",
        &subject,
        "-addext",
        &name,
    ])?;
    Some((certificate, key))
}

fn s_client(at: &str, options: &[&str]) -> Process {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", at, "-quiet", "-no_ign_eof"]).args(options);
    Process::spawn(&mut command)
}

/// The next line of standard output that is a frame.
fn frame(process: &Process) -> Value {
    loop {
        if let Ok(frame) = serde_json::from_str(&process.line()) {
            return frame;
        }
    }
}

#[test]
fn an_original_user_registers_by_hand_through_openssl() {
    let Some(()) = openssl(&["version"]) else { return };
    let relay = Relay::ephemeral();
    let mut plain = Client::original(relay.address.parse().unwrap(), "plain");
    let mut by_hand = s_client(&relay.address, &["-tls1_3"]);
    by_hand.say(&register("hand", "full").to_string());
    let userlist = frame(&by_hand);
    assert_eq!(
        (&userlist["action"], &userlist["users"]),
        (&json!("userlist"), &json!(["plain", "hand"]))
    );
    by_hand.say(&json!({"action": "message", "to": "plain", "content": "hello"}).to_string());
    assert_eq!(plain.frame()["content"], "hello");
    plain.send(&json!({"action": "message", "to": "hand", "content": "and back"}));
    assert_eq!(frame(&by_hand)["content"], "and back");
    by_hand.say("K"); // s_client renews its keys, and asks the relay to do so
    by_hand.talk_with("KEYUPDATE");
    by_hand.say(&json!({"action": "message", "to": "plain", "content": "new keys"}).to_string());
    assert_eq!(plain.frame()["content"], "new keys");
    plain.send(&json!({"action": "message", "to": "hand", "content": "here too"}));
    assert_eq!(frame(&by_hand)["content"], "here too");
}

/// Without TLS 1.3 there is none.
#[test]
fn an_older_version_is_refused_and_counted() {
    let Some(()) = openssl(&["version"]) else { return };
    let relay = Relay::ephemeral();
    let old = s_client(&relay.address, &["-tls1_2"]);
    old.talk_with("alert protocol version");
    relay.process.signal(Signal::SIGHUP);
    relay.process.talk_with("1 tls_failed_version");
}

/// SIGHUP reads the files again: the next connection is shown the new certificate, and a bad pair
/// leaves the old one in force, aloud.
#[test]
fn a_certificate_in_files_is_read_again_at_sighup() {
    let folder = tempfile::tempdir().unwrap();
    let (Some(one), Some(two)) = (pair(folder.path(), "one.test"), pair(folder.path(), "two.test"))
    else {
        return;
    };
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (certificate, key) = (path("shown.pem"), path("shown.key"));
    let show = |(from, secret): &(String, String)| {
        std::fs::copy(from, &certificate).unwrap();
        std::fs::copy(secret, &key).unwrap();
    };
    show(&one);
    let relay = Relay::start(&["--ephemeral", "--tls-cert", &certificate, "--tls-key", &key]);
    let shown = || {
        let mut client = s_client(&relay.address, &["-servername", "x"]);
        let subject = client.talk_with("depth=0");
        client.finish_input();
        subject
    };
    assert!(shown().contains("one.test"));
    show(&two);
    relay.process.signal(Signal::SIGHUP);
    relay.process.talk_with("the certificate was read again");
    assert!(shown().contains("two.test"));
    for bad in [Some("no certificate"), None] {
        match bad {
            Some(text) => std::fs::write(&certificate, text).unwrap(),
            None => std::fs::remove_file(&certificate).unwrap(),
        }
        relay.process.signal(Signal::SIGHUP);
        relay.process.talk_with("the old one is shown");
        relay.process.talk_with("tls_not_reloaded");
        assert!(shown().contains("two.test"));
    }
}

#[test]
fn files_that_do_not_fit_are_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let (Some(one), Some(two)) = (pair(folder.path(), "one.test"), pair(folder.path(), "two.test"))
    else {
        return;
    };
    for (certificate, key, words) in [
        (&*one.0, &*two.1, "cannot be used"),
        (&*one.1, &*one.1, "no certificate"),
        (&*one.0, &*one.0, "no private key"),
        ("/nonexistent", &*one.1, "/nonexistent"),
    ] {
        let arguments = [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--ephemeral",
            "--tls-cert",
            certificate,
            "--tls-key",
            key,
        ];
        let relay = Process::start(&arguments);
        relay.talk_with(words);
        relay.end().with_code(1);
    }
}
