//! `openssl s_client` at the other end, a client that no one here wrote, and the files of a
//! certificate.

use std::process::Command;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::signed::Signed;
use crate::support::process::{Ended, Process, Relay, text};
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
    let Some(()) = openssl(&["version"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["one.test", "two.test"].map(|host| Signed::new(folder.path(), host));
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (certificate, key) = (path("shown.pem"), path("shown.key"));
    let show = |pair: &Signed| {
        std::fs::copy(&pair.certificate, &certificate).unwrap();
        std::fs::copy(&pair.key, &key).unwrap();
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

/// `serve` with these files, to its end.
fn refused(options: &[&str], certificate: &str, key: &str) -> Ended {
    let pair = ["--tls-cert", certificate, "--tls-key", key];
    let serve = ["serve", "--listen", "127.0.0.1:0", "--ephemeral"];
    Process::start(&[&serve[..], options, &pair].concat()).end()
}

#[test]
fn files_that_do_not_fit_are_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let [one, two] = ["one.test", "two.test"].map(|host| Signed::new(folder.path(), host));
    let keep = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        text(&path).to_owned()
    };
    let label = |label: &str| format!("-----BEGIN {label}-----\nMAA=\n-----END {label}-----\n");
    let damaged = keep("damaged", &label("CERTIFICATE"));
    let unfit = keep("unfit", &label("PRIVATE KEY"));
    for (certificate, key, words) in [
        (&*one.certificate, &*two.key, "not the one of the first certificate"),
        (&*one.key, &*one.key, "no certificate"),
        (&*keep("empty", ""), &*one.key, "no certificate"),
        (&*damaged, &*one.key, "the first certificate cannot be used: it is damaged"),
        (&*one.certificate, &*one.certificate, "no private key"),
        (&*one.certificate, &*unfit, "RSA of 2,048 to 4,096 bits, or Ed25519"),
        ("/nonexistent", &*one.key, "/nonexistent"),
    ] {
        let said = refused(&[], certificate, key).with_code(1).transcript;
        assert!(said.contains(words) && said.contains(certificate), "{words}: {said}");
        assert!(!said.contains("unexpected"), "{said}");
    }
}

/// Keys that people have, of which none can be used.
#[test]
fn a_key_that_cannot_be_used_is_told_with_the_kinds_that_can() {
    let Some(()) = openssl(&["version"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let shown = Signed::new(folder.path(), "one.test");
    let (plain, kept) = (folder.path().join("plain.key"), folder.path().join("kept.key"));
    for (kind, option) in [
        ("EC", "ec_paramgen_curve:P-521"),
        ("EC", "ec_paramgen_curve:secp256k1"),
        ("RSA", "rsa_keygen_bits:1024"),
    ] {
        openssl(&["genpkey", "-algorithm", kind, "-pkeyopt", option, "-out", text(&plain)]);
        let said = refused(&[], &shown.certificate, text(&plain)).with_code(1).transcript;
        assert!(said.contains("P-256 or P-384, RSA of 2,048"), "{option}: {said}");
    }
    for form in [&["pkcs8", "-topk8"][..], &["rsa", "-traditional", "-aes128"]] {
        let files = ["-in", text(&plain), "-out", text(&kept), "-passout", "pass:x"];
        openssl(&[form, &files].concat());
        let said = refused(&[], &shown.certificate, text(&kept)).with_code(1).transcript;
        assert!(said.contains("the key is encrypted") && said.contains("pkey"), "{said}");
    }
}

#[test]
fn a_certificate_that_would_never_be_shown_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let shown = Signed::new(folder.path(), "one.test");
    let said = refused(&["--tls", "off"], &shown.certificate, &shown.key).with_code(2).transcript;
    assert!(said.contains("--tls off") && said.contains("--tls-cert"), "{said}");
}
