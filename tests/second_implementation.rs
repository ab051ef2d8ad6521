//! Ours against a second implementation of the protocol, written in Python from `docs/protocol.md`
//! alone: `tests/python/second_client.py` and `tests/python/sealwax2`.

#![allow(clippy::expect_used)] // a test says what it expects

mod support;

use std::fs;

use sealwax::crypto::{
    Body, Identity, IdentityVault, Letter, LetterKeyPair, Names, Vault, seal_letter,
};
use sealwax::wire::base64;
use serde_json::{Value, json};
use support::process::{Homes, Process, Relay, python, text};

/// The second client as `name`, with the key of the fixtures, registered.
fn second(name: &str, relay: &Relay) -> Process {
    second_with(name, relay, &[])
}

fn second_with(name: &str, relay: &Relay, options: &[&str]) -> Process {
    let identity = format!("tests/data/{name}.pem");
    let arguments = [&[relay.address.as_str(), name, &identity], options].concat();
    let client = python("second_client.py", &arguments);
    client.event("registered");
    client
}

/// Our own `chat --json` as `name`, registered.
fn ours(homes: &Homes, name: &str, relay: &Relay) -> Process {
    let client = homes.client(name, &relay.address, &["chat", "--json"]);
    client.event("registered");
    client
}

/// Says a text with itself as its id.
fn say(client: &mut Process, to: &str, text: &str) {
    client.say(&json!({ "to": to, "text": text, "id": text }).to_string());
}

/// One says a text, the other shows it, the one is told; gives the `message` event.
fn exchange(speaker: &mut Process, to: &str, hearer: &Process, text: &str) -> Value {
    say(speaker, to, text);
    let message = hearer.event("message");
    assert_eq!(message["text"], text);
    assert_eq!(speaker.event("delivered")["id"], text);
    message
}

#[test]
fn both_read_and_confirm_texts_of_every_size() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let (mut alice, mut bob) = (ours(&homes, "alice", &relay), second("bob", &relay));
    let long = [236, 237, 1004, 1005, 4076, 4077, 16364].map(|length| "x".repeat(length));
    let short = ["", "ça va? \u{1f980}", "\n\"\\\u{7}\u{2028}"];
    for text in short.into_iter().chain(long.iter().map(String::as_str)) {
        exchange(&mut alice, "bob", &bob, text);
        exchange(&mut bob, "alice", &alice, text);
    }
}

/// Suite 1 where the other's prekey has no ML-KEM key, and suite 2 to ours.
#[test]
fn both_talk_where_one_has_no_ml_kem_key() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let mut alice = ours(&homes, "alice", &relay);
    let mut bob = second_with("bob", &relay, &["--without-kem"]);
    exchange(&mut alice, "bob", &bob, "in suite 1");
    exchange(&mut bob, "alice", &alice, "in suite 2");
}

/// One question to `letters.py`, and its answer.
fn letters(what: &str, question: &Value) -> Value {
    let mut asked = python("letters.py", &[what]);
    asked.say(&question.to_string());
    let answer = serde_json::from_str(&asked.line()).expect("JSON");
    asked.end().with_code(0);
    answer
}

#[test]
fn each_opens_the_letters_of_the_other() {
    const CREATED: u64 = 1_750_000_000_000;
    let names = Names { from: "alice", to: "bob" };
    let [alice, bob] = ["alice", "bob"].map(|name| {
        let pem = fs::read_to_string(format!("tests/data/{name}.pem")).expect("a fixture");
        IdentityVault::new(Identity::from_pem(&pem, None).expect("a fixture"))
    });
    let own = LetterKeyPair::new(&bob, CREATED);
    let published = own.publish(&bob, names.to);
    let key: Value = serde_json::from_str(&published.to_json()).expect("JSON");
    let (mid, confirmed) = ([7; 16], [[8; 16], [9; 16]]);
    let bodies = [
        (Body::Text { mid, text: "ça va?".to_owned() }, "ça va?".as_bytes()),
        (Body::Text { mid, text: "x".repeat(5000) }, &[b'x'; 5000]),
        (Body::Receipt(confirmed.to_vec()), confirmed.as_flattened()),
    ];
    for (body, data) in bodies {
        let sealed = seal_letter(&alice, names, bob.public(), &published, CREATED, mid, &body);
        let (kind, content) = (u8::from(matches!(body, Body::Receipt(_))), sealed.expect("sealed"));
        let opened = letters(
            "open",
            &json!({
                "names": ["alice", "bob"], "sender": "tests/data/alice.pem",
                "recipient": "tests/data/bob.pem", "stored": base64::encode(own.to_stored().expose()),
                "key": key, "content": content,
            }),
        );
        assert_eq!(opened, json!({ "mid": base64::encode(&mid), "data": base64::encode(data) }));

        let sealed = letters(
            "seal",
            &json!({
                "names": ["alice", "bob"], "sender": "tests/data/alice.pem",
                "public": bob.public().to_pem(), "key": key, "created": CREATED, "type": kind,
                "data": base64::encode(data),
            }),
        );
        let letter = Letter::parse(sealed["content"].as_str().expect("a text")).expect("a letter");
        let (theirs, created_ms) = (*letter.mid(), letter.created_ms());
        assert_eq!((letter.kind().number(), created_ms), (kind, CREATED));
        let verified = letter.verify(&bob, alice.public(), names, &own).expect("signed");
        let expected = match body {
            Body::Text { text, .. } => Body::Text { mid: theirs, text },
            receipt @ Body::Receipt(_) => receipt,
        };
        assert_eq!(verified.open(&bob, &own), Ok(expected));
    }
}

/// Through a real relay, and never both there at once: so texts and receipts are letters.
#[test]
fn each_is_left_letters_by_the_other_and_told_that_they_were_shown() {
    let homes = Homes::new();
    let relay = Relay::at_home(&homes.path("relay"));
    let letterbox = homes.path("letterbox.json");
    let bob = || second_with("bob", &relay, &["--letterbox", text(&letterbox)]);
    let alice = |command: &[&str]| {
        let ended = homes.client("alice", &relay.address, command).end().with_code(0);
        let parse = |line: &String| serde_json::from_str(line).expect("an object a line");
        ended.stdout.iter().map(parse).collect::<Vec<Value>>()
    };
    let first = |events: &[Value], kind: &str| {
        let found = events.iter().find(|event| event["event"] == kind);
        found.unwrap_or_else(|| panic!("no {kind}: {events:?}")).clone()
    };
    let looks_in = ["recv", "--wait", "0", "--json"];
    alice(&looks_in);
    let there = bob();
    there.event("letterbox_empty");
    there.end().with_code(0);

    let long = "x".repeat(5000);
    for said in ["ça va?", &long] {
        let sent = alice(&["send", "--until", "stored", "--json", "bob", said]);
        assert_eq!(first(&sent, "stored")["to"], "bob");
        let mut there = bob();
        let message = there.event("message");
        assert_eq!((&message["text"], &message["letter"]), (&json!(said), &json!(true)));
        there.say(&json!({"to": "alice", "text": said, "id": "7", "letter": true}).to_string());
        assert_eq!(there.event("stored")["id"], "7");
        there.end().with_code(0); // once his receipt is stored too

        let came = alice(&looks_in);
        let message = first(&came, "message");
        assert_eq!((&message["text"], &message["letter"]), (&json!(said), &json!(true)));
        assert_eq!(first(&came, "delivered")["to"], "bob");
        let there = bob();
        assert_eq!(there.event("delivered")["id"], "7");
        there.end().with_code(0);
    }
}

#[test]
fn both_begin_at_once_and_keep_to_the_others_window() {
    const LINES: usize = 600;
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let (mut alice, mut bob) = (ours(&homes, "alice", &relay), second("bob", &relay));
    for line in 0..LINES {
        say(&mut alice, "bob", &line.to_string());
        say(&mut bob, "alice", &line.to_string());
    }
    for client in [alice, bob] {
        let (mut heard, mut delivered) = (0, 0);
        while heard < LINES || delivered < LINES {
            let event: Value = serde_json::from_str(&client.line()).expect("JSON");
            match event["event"].as_str() {
                Some("message") => {
                    assert_eq!(event["text"], heard.to_string());
                    heard += 1;
                }
                Some("delivered") => delivered += 1,
                Some("warning" | "gap" | "failed" | "closed") => panic!("{event}"),
                _ => {}
            }
        }
        client.end().with_code(0);
    }
}

#[test]
fn a_newer_prekey_of_either_side_is_taken_up_with_a_new_session() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let (mut alice, mut bob) = (ours(&homes, "alice", &relay), second("bob", &relay));
    exchange(&mut alice, "bob", &bob, "before");
    exchange(&mut bob, "alice", &alice, "before");

    bob.say(&json!({ "command": "prekey" }).to_string());
    // An unsigned hint makes ours ask for the key at most every 5 s; until then the old session
    // goes on, and its numbers grow.
    let mut last = 0;
    let begins_again = |number: u32| {
        let message = exchange(&mut alice, "bob", &bob, &number.to_string());
        let n = message["n"].as_u64().expect("a number");
        n < std::mem::replace(&mut last, n)
    };
    assert!((0..20_000).any(begins_again), "no new session was opened");

    alice.end().with_code(0);
    let mut alice = ours(&homes, "alice", &relay);
    exchange(&mut bob, "alice", &alice, "you again");
    exchange(&mut alice, "bob", &bob, "me again");
}

#[test]
fn the_published_vectors_follow_from_their_inputs() {
    let checked = python("check_vectors.py", &[]).end().with_code(0);
    let summary = checked.stdout.last().expect("a summary");
    assert!(summary.ends_with(" 0 differ"), "{summary}");

    let published = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/vectors.json");
    let mut vectors: Value =
        serde_json::from_str(&fs::read_to_string(published).expect("there")).expect("JSON");
    let content = &mut vectors["handshake"]["bob"]["sessions"][0]["messages"][0]["content"];
    *content = json!(content.as_str().expect("a text").replacen("AA", "AB", 1));
    let homes = Homes::new();
    let changed = homes.path("changed.json");
    fs::write(&changed, vectors.to_string()).expect("written");
    python("check_vectors.py", &[text(&changed)]).end().with_code(1);
}
