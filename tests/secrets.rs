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

use sealwax::wire::base64;
use support::fixtures::{identity, pem};
use support::process::{Homes, Process, Relay, text};

/// Stands in every text that is written.
const MARK: &str = "the gold is under the old oak";
const PASSPHRASE: &str = "seventeen purple elephants";
const WRONG_PASSPHRASE: &str = "eighteen orange elephants";

/// What must not be found, and what it is.
struct Secrets(Vec<(String, Vec<u8>)>);

impl Secrets {
    fn add(&mut self, what: &str, bytes: &[u8]) {
        self.0.push((what.to_owned(), bytes.to_vec()));
    }

    /// Bytes that are as good as the secret, as they are, in hex and in both alphabets of base64.
    fn add_bytes(&mut self, what: &str, bytes: &[u8]) {
        self.add(&format!("{what}, raw"), &bytes[..16]);
        let hex: Vec<_> = bytes[..12].iter().map(|byte| format!("{byte:02x}")).collect();
        let hex = hex.concat();
        self.add(&format!("{what}, hex"), hex.as_bytes());
        self.add(&format!("{what}, HEX"), hex.to_uppercase().as_bytes());
        let list = bytes[..12].iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
        self.add(&format!("{what}, as Debug writes it"), list.as_bytes());
        // Wherever the bytes stand in what was encoded, one of three beginnings is a group's.
        for start in 0..3 {
            let url = base64::encode(&bytes[start..][..18]);
            let standard = url.replace('-', "+").replace('_', "/");
            self.add(&format!("{what}, base64url"), url.as_bytes());
            self.add(&format!("{what}, base64"), standard.as_bytes());
        }
    }

    /// The private parts of an RSA key, and the lines of its file that hold them.
    fn add_rsa(&mut self, name: &str) {
        let pem = pem(name);
        let lines: Vec<_> = pem.lines().filter(|line| !line.starts_with("---")).collect();
        let der = lines.concat().replace('+', "-").replace('/', "_");
        let der = base64::decode(der.trim_end_matches('=')).expect("a fixture");
        for (part, number) in ["d", "p", "q", "dp", "dq", "qinv"].iter().zip(private_parts(&der)) {
            self.add_bytes(&format!("{part} of {name}"), number);
        }
        // The modulus, which is public, ends in the seventh line.
        for line in &lines[7..] {
            self.add(&format!("a line of {name}.pem"), line.as_bytes());
        }
    }

    /// Looks for all of them in `haystack`.
    fn check(&self, place: &str, haystack: &[u8]) {
        for (what, needle) in &self.0 {
            let found = memchr::memmem::find(haystack, needle);
            assert!(found.is_none(), "{what} is in {place}: {}", String::from_utf8_lossy(haystack));
        }
    }

    /// Looks into all files below `directory`, but for the keys themselves.
    fn check_files(&self, directory: &Path) -> usize {
        let mut files = 0;
        for entry in fs::read_dir(directory).expect("a home").flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            if path.is_dir() {
                files += self.check_files(&path);
            } else if name != "identity.pem" && name != "relay.key" && name != "passphrase" {
                self.check(text(&path), &fs::read(&path).expect("readable"));
                files += 1;
            }
        }
        files
    }
}

/// `d`, `p`, `q` and so on of a PKCS#8 RSA key: the last six numbers of the innermost sequence
/// (RFC 8017, appendix A.1.2).
fn private_parts(der: &[u8]) -> Vec<&[u8]> {
    let (_, key, _) = element(der);
    let (_, _, rest) = element(key); // the version
    let (_, _, rest) = element(rest); // the algorithm
    let (_, inner, _) = element(rest);
    let (_, mut numbers, _) = element(inner);
    let mut parts = Vec::new();
    while !numbers.is_empty() {
        let (_, number, rest) = element(numbers);
        parts.push(number.strip_prefix(&[0]).unwrap_or(number));
        numbers = rest;
    }
    parts.split_off(3)
}

/// The tag and the content of the first element, and what follows it (X.690).
fn element(der: &[u8]) -> (u8, &[u8], &[u8]) {
    let (length, head) = match der[1] {
        short @ 0..0x80 => (usize::from(short), 2),
        long => {
            let bytes = usize::from(long & 0x7f);
            let length =
                der[2..2 + bytes].iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte));
            (length, 2 + bytes)
        }
    };
    (der[0], &der[head..head + length], &der[head + length..])
}

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

    let mut secrets = Secrets(Vec::new());
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
    let mut secrets = Secrets(Vec::new());
    secrets.add_rsa("alice");
    let leaks = [
        pem("alice"),
        identity("alice").to_pem(None).to_string(),
        pem("alice").lines().nth(20).expect("a line").to_owned(),
    ];
    for leak in leaks {
        let found =
            secrets.0.iter().any(|(_, needle)| leak.contains(&*String::from_utf8_lossy(needle)));
        assert!(found, "{leak}");
    }
}
