//! `chat`, `send` and `recv` over TLS, as processes: what they do without being told, and what they
//! refuse.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

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

    let cases: [(&[u8], &str, &str); 4] = [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "in the clear", "--plain"),
        (b"", "hung up without an answer", "--plain"),
        (PROTOCOL_VERSION, "not TLS 1.3", "tls://"),
        (b"\x15\x03\x03\x00\x02\x02\x28", "no algorithm of ours", "tls://"),
    ];
    for (says, seen, advice) in cases {
        let other = Other::saying(says);
        let refused = send(&homes, &other.address, &[]).with_code(5);
        for words in ["does not answer in TLS", seen, "check the host and the port", advice] {
            assert!(refused.transcript.contains(words), "{words}: {refused:?}");
        }
    }
}

/// The same in front of a proxy's address, where `--plain` would be no advice.
#[test]
fn what_is_no_proxy_that_ends_tls_is_said_with_what_to_try() {
    let homes = Homes::new();
    for (says, seen) in
        [(&b"HTTP/1.1 400\r\n"[..], "in the clear"), (PROTOCOL_VERSION, "not TLS 1.3")]
    {
        let other = Other::saying(says);
        let at = other.address.replace("127.0.0.1", "tls://localhost");
        let refused = send(&homes, &at, &[]).with_code(5);
        for words in ["does not answer in TLS", seen, "without tls:// in front"] {
            assert!(refused.transcript.contains(words), "{words}: {refused:?}");
        }
    }
}

/// What a server that has only older versions of TLS answers (RFC 8446, section 6.2).
const PROTOCOL_VERSION: &[u8] = b"\x15\x03\x03\x00\x02\x02\x46";

/// Another program, which says the same to one connection, whatever is asked.
struct Other {
    address: String,
    thread: Option<thread::JoinHandle<()>>,
}

/// Longer than this nobody is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

impl Other {
    fn saying(says: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let thread = thread::spawn(move || {
            let mut fds = [PollFd::new(listener.as_fd(), PollFlags::POLLIN)];
            assert_eq!(poll(&mut fds, PollTimeout::try_from(PATIENCE).unwrap()), Ok(1));
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut hello = [0; 64];
            let _ = stream.read(&mut hello);
            stream.write_all(says).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let _ = stream.read_to_end(&mut Vec::new());
        });
        Self { address, thread: Some(thread) }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let ended = self.thread.take().map(thread::JoinHandle::join);
        assert!(thread::panicking() || ended.is_some_and(|ended| ended.is_ok()));
    }
}

#[test]
fn plain_and_tls_in_front_of_the_address_are_no_pair() {
    let homes = Homes::new();
    let refused = send(&homes, "tls://127.0.0.1:1", &["--plain"]).with_code(2);
    assert!(refused.transcript.contains("--plain"));
}
