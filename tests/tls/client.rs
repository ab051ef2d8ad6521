//! `chat`, `send` and `recv` over TLS, as processes: what they do without being told, and what they
//! refuse.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;

use nix::sys::signal::Signal;

use crate::middle::Middle;
use crate::support::process::{Ended, Homes, Process, Relay, text};

/// `send --wait 0 bob hi` as alice; nobody is there, so all that is to be seen is how it gets on
/// with the relay: code 4 where it does.
fn send(homes: &Homes, relay: &str, options: &[&str]) -> Ended {
    let command = [&["send", "--wait", "0", "bob", "hi"], options].concat();
    homes.client("alice", relay, &command).end()
}

/// Whether the relay has counted a connection that began with TLS.
fn begun(relay: &Relay) -> bool {
    relay.process.signal(Signal::SIGHUP);
    relay.process.talk_with("so far").split([' ', ',']).any(|word| word == "tls")
}

#[test]
fn clients_speak_tls_without_a_word_about_it() {
    let (homes, relay) = (Homes::new(), Relay::start(&["--ephemeral", "--tls", "require"]));
    let bob = homes.client("bob", &relay.address, &["recv", "-n", "1", "--wait", "60"]);
    let sent = homes.client("alice", &relay.address, &["send", "--wait", "60", "bob", "hi"]);
    sent.end().with_code(0);
    assert_eq!(bob.end().with_code(0).stdout, ["alice: hi"]);
    assert!(begun(&relay));
    let marks = std::fs::read_to_string(homes.of("alice").join("known_marks")).unwrap();
    let relays: Vec<_> = marks.lines().filter(|line| line.ends_with(" tls")).collect();
    assert_eq!(relays, [format!("{} tls", relay.address)]);
}

#[test]
fn who_speaks_tls_and_who_does_not_write_to_each_other() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let bob = homes.client("bob", &relay.address, &["recv", "-n", "1", "--plain"]);
    let sent = homes.client("alice", &relay.address, &["send", "--wait", "60", "bob", "hi"]);
    sent.end().with_code(0);
    assert_eq!(bob.end().with_code(0).stdout, ["alice: hi"]);
}

/// Once a relay has spoken bound TLS, nothing goes to it in the clear before its user says so.
#[test]
fn plain_to_a_relay_that_spoke_tls_is_refused_until_it_is_forgotten() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    send(&homes, &relay.address, &["--plain"]).with_code(4); // it was never bound
    send(&homes, &relay.address, &[]).with_code(4);
    let refused = send(&homes, &relay.address, &["--plain"]).with_code(5);
    assert!(refused.transcript.contains("known to speak TLS"), "{refused:?}");
    let home = homes.of("alice");
    let untrust = ["keys", "untrust", &relay.address, "--home", text(&home)];
    Process::start(&untrust).end().with_code(0);
    send(&homes, &relay.address, &["--plain"]).with_code(4);
}

#[test]
fn a_relay_that_requires_tls_says_so_to_who_is_plain() {
    let (homes, relay) = (Homes::new(), Relay::start(&["--ephemeral", "--tls", "require"]));
    let refused = send(&homes, &relay.address, &["--plain"]).with_code(5);
    assert!(refused.transcript.contains("speaks TLS only"), "{refused:?}");
}

/// A relay that speaks no TLS, and programs that are no relay at all: 5, with what to try.
#[test]
fn who_does_not_answer_in_tls_at_first_contact_is_left_alone() {
    let (homes, relay) = (Homes::new(), Relay::start(&["--ephemeral", "--tls", "off"]));
    let refused = send(&homes, &relay.address, &[]).with_code(5);
    assert!(refused.transcript.contains("does not answer in TLS"), "{refused:?}");
    assert!(refused.transcript.contains("--plain"));
    send(&homes, &relay.address, &["--plain"]).with_code(4);

    for says in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"", b"\x15\x03\x03\x00\x02\x02\x28"] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let other = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut hello = [0; 64];
            let _ = stream.read(&mut hello);
            stream.write_all(says).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        });
        let refused = send(&homes, &address, &[]).with_code(5);
        assert!(refused.transcript.contains("does not answer in TLS"), "{refused:?}");
        other.join().unwrap();
    }
}

/// Whoever ends TLS between a client and its relay is found at the challenge, and gets no proof:
/// whether it leaves `bind` as it is or takes it out.
#[test]
fn a_machine_in_the_middle_is_found_before_anything_is_proven() {
    let edits: [fn(&str) -> String; 2] =
        [str::to_owned, |said| said.replace("\"bind\":\"tls-exporter\"", "\"x\":\"\"")];
    for edit in edits {
        let (homes, relay) = (Homes::new(), Relay::ephemeral());
        let middle = Middle::before(&relay.address, edit);
        let refused = send(&homes, &middle.address, &[]).with_code(5);
        assert!(refused.transcript.contains("stands between"), "{refused:?}");
        let read = middle.has_read();
        assert!(read.contains("\"register\"") && read.contains("\"challenge\""), "{read}");
        assert!(!read.contains("\"prove\""), "{read}");
        assert!(!homes.of("alice").join("known_marks").exists());
        assert!(!homes.of("alice").join("known_relays").exists(), "nothing is pinned");
    }
}

#[test]
fn plain_and_tls_in_front_of_the_address_are_no_pair() {
    let homes = Homes::new();
    let refused = send(&homes, "tls://127.0.0.1:1", &["--plain"]).with_code(2);
    assert!(refused.transcript.contains("--plain"));
}
