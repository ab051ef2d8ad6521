//! Every refusal of the protocol, by its code; after each the relay and its other users go on.
//! (`docs/protocol.md`, sections 1 and 2.)

mod support;

use sealwax::limits::MAX_FRAME;
use sealwax::relay::limits::MAX_FRAME_UNREGISTERED;
use sealwax::wire::RosterMode;
use serde_json::{Value, json};
use support::relay::{Account, Bystanders, RunningRelay, Setup, register};

fn publish() -> Value {
    let claim = Account::alice().claim(RosterMode::None);
    json!({"action": "prekey", "v": 2, "prekey": claim["prekey"]})
}

fn with(frame: &Value, member: &str, value: Value) -> Value {
    let mut frame = frame.clone();
    frame[member] = value;
    frame
}

#[test]
fn a_frame_that_is_wrong_is_refused_whole_and_the_connection_goes_on() {
    let relay = RunningRelay::start(Setup::default());
    let mut others = Bystanders::of(&relay);
    let mut client = relay.original("JG");
    let wrong: [&[u8]; 14] = [
        b"{}",
        b"{\"action\": 7}",
        b"{\"action\": \"message\", \"to\": \"JG\"}",
        b"{\"action\": \"message\", \"to\": \"JG\", \"content\": 1}",
        b"{\"action\": \"message\", \"to\": [\"JG\"], \"content\": \"\"}",
        b"{\"action\": \"ping\", \"id\": 7}",
        b"{\"action\": \"ping\", \"action\": \"ping\"}",
        b"{\"action\": \"ping\", \"x\": \"\\ud800\"}",
        b"{\"action\": \"ping\", \"x\": \"\xff\"}",
        b"{\"action\": \"ping\", \"x\": [[[[[[[[]]]]]]]]}",
        b"{\"action\": \"ping\", \"v\": 1}",
        b"{\"action\": \"get_pubkey\"}",
        b"{\"action\" \"ping\"}",
        b"{]",
    ];
    for frame in wrong {
        client.write(frame);
        client.refused("bad_frame");
    }
    let members: Vec<_> = (0..32).map(|number| format!("\"x{number}\": 1")).collect();
    client.write(format!("{{\"action\": \"ping\", {}}}", members.join(",")).as_bytes());
    client.refused("bad_frame");
    client.send(&json!({"action": "dance", "id": "7"}));
    assert_eq!(client.refused("unknown_action")["id"], "7");
    client.ping();
    others.go_on();
}

#[test]
fn a_stream_that_cannot_be_followed_ends() {
    let relay = RunningRelay::start(Setup::default());
    let mut others = Bystanders::of(&relay);
    let long = |len: usize| format!("{{\"action\": \"{}", "x".repeat(len - 12)).into_bytes();
    let longest = |len: usize| {
        let frame = json!({"action": "ping", "id": "?", "x": ""}).to_string();
        frame.replace("\"x\":\"\"", &format!("\"x\":\"{}\"", "x".repeat(len - frame.len())))
    };
    for (number, bytes) in [&b"x"[..], b"[]", b" }", b"{}\n7"].into_iter().enumerate() {
        let mut stranger = relay.connect();
        stranger.write(bytes);
        if number == 3 {
            stranger.refused("bad_frame"); // `{}` is a frame, and has no action
        }
        stranger.dismissed("bad_frame");
        others.go_on();
    }
    let mut stranger = relay.connect();
    stranger.write(longest(MAX_FRAME_UNREGISTERED).as_bytes());
    stranger.refused("not_registered");
    stranger.write(&long(MAX_FRAME_UNREGISTERED));
    stranger.dismissed("frame_too_large");

    let mut client = relay.original("JG");
    client.write(longest(MAX_FRAME).as_bytes());
    assert_eq!(client.frame()["action"], "pong");
    client.write(&long(MAX_FRAME));
    client.dismissed("frame_too_large");
    others.go_on();
}

#[test]
fn a_stranger_may_register_and_nothing_else() {
    let relay = RunningRelay::start(Setup::default());
    let mut others = Bystanders::of(&relay);
    let mut stranger = relay.connect();
    let message = json!({"action": "message", "to": "bystander 1", "content": "", "id": "a"});
    stranger.send(&message);
    let answer = stranger.refused("not_registered");
    assert_eq!((&answer["id"], &answer["to"]), (&json!("a"), &json!("bystander 1")));
    stranger.send(&json!({"action": "get_pubkey", "target": "bystander 1"}));
    assert_eq!(stranger.refused("not_registered")["target"], "bystander 1");
    for frame in [
        json!({"action": "ping"}),
        json!({"action": "send_key", "to": "bystander 1", "key": ""}),
        publish(),
    ] {
        stranger.send(&frame);
        stranger.refused("not_registered");
    }
    stranger.send(&register("JG", "none"));
    stranger.ping();
    stranger.send(&register("JG", "none"));
    stranger.refused("already_registered");
    stranger.send(&Account::alice().claim(RosterMode::None));
    stranger.refused("already_registered");
    stranger.ping();
    others.go_on();
}

#[test]
fn names_and_keys_are_checked() {
    let relay = RunningRelay::start(Setup::default());
    let mut others = Bystanders::of(&relay);
    let alice = Account::alice().claim(RosterMode::None);
    let mut stranger = relay.connect();
    for name in ["", " JG", "JG\n", "J\u{202e}G", &"x".repeat(65)] {
        stranger.send(&register(name, "none"));
        stranger.refused("bad_name");
    }
    for name in ["", "Alice", "-alice", "é", &"x".repeat(33)] {
        stranger.send(&with(&alice, "name", json!(name)));
        stranger.refused("bad_name");
    }
    for key in [
        "",
        "PEM",
        include_str!("data/public-1024.pem"),
        include_str!("data/public-e3.pem"),
        include_str!("data/public-ec.pem"),
        include_str!("data/public-pkcs1.pem"),
        include_str!("data/public-pss.pem"),
    ] {
        stranger.send(&with(&register("JG", "none"), "pubkey", json!(key)));
        stranger.refused("bad_key");
        stranger.send(&with(&alice, "pubkey", json!(key)));
        stranger.refused("bad_key");
    }
    stranger.send(&register("bystander 1", "none"));
    stranger.refused("name_in_use");
    // It may try until its time is over.
    stranger.send(&register("JG", "none"));
    stranger.ping();
    others.go_on();
}

#[test]
fn a_prekey_is_checked_by_its_form() {
    let relay = RunningRelay::start(Setup::default());
    let mut others = Bystanders::of(&relay);
    let account = Account::alice();
    let claim = account.claim(RosterMode::None);
    let good = &claim["prekey"];
    let day: u64 = 24 * 60 * 60 * 1000;
    let bad = [
        json!(7),
        json!({}),
        with(good, "id", json!(-1)),
        with(good, "x25519", json!("AA")),
        with(good, "sig", json!("")),
        with(good, "sig", json!("A".repeat(4096 / 6 * 8))),
        with(good, "expires", good["created"].clone()),
        with(good, "expires", json!(1_000 + 2 * day + 1)),
        with(good, "created", json!(u64::MAX)),
    ];
    let mut stranger = relay.connect();
    for prekey in &bad {
        stranger.send(&with(&claim, "prekey", prekey.clone()));
        stranger.refused("bad_prekey");
    }
    let mut alice = relay.version2(&account);
    for prekey in &bad {
        alice.send(&json!({"action": "prekey", "v": 2, "prekey": prekey}));
        alice.refused("bad_prekey");
    }
    alice.send(&json!({"action": "get_pubkey", "target": "alice"}));
    assert_eq!(&alice.frame()["prekey"], good);
    others.go_on();
}

#[test]
fn a_challenge_is_proven_once_or_never() {
    let relay = RunningRelay::start(Setup::default());
    let mut others = Bystanders::of(&relay);
    let account = Account::alice();
    let claim = account.claim(RosterMode::None);
    let unproven = json!({"action": "prove", "v": 2, "sig": "AAAA"});

    // Without a challenge.
    let mut stranger = relay.connect();
    stranger.send(&unproven);
    stranger.dismissed("bad_frame");
    // A second challenge.
    let mut stranger = relay.connect();
    stranger.send(&claim);
    assert_eq!(stranger.frame()["action"], "challenge");
    stranger.send(&claim);
    stranger.dismissed("bad_frame");
    // A signature that does not hold, and one made for another challenge.
    let mut first = relay.connect();
    first.send(&claim);
    let proof = account.prove(&first.line());
    let mut second = relay.connect();
    second.send(&claim);
    second.line();
    second.send(&proof);
    second.dismissed("bad_proof");
    first.send(&unproven);
    first.dismissed("bad_proof");
    // A second proof.
    let mut alice = relay.version2(&account);
    alice.send(&proof);
    alice.dismissed("bad_frame");
    // A proof of no version is no proof, and costs nothing.
    let mut stranger = relay.connect();
    stranger.send(&claim);
    let challenge = stranger.line();
    stranger.send(&json!({"action": "prove", "sig": "AAAA"}));
    stranger.refused("bad_frame");
    stranger.send(&account.prove(&challenge));
    assert_eq!(stranger.frame()["action"], "registered");
    others.go_on();
}

#[test]
fn a_frame_has_the_version_of_both_its_ends() {
    let relay = RunningRelay::start(Setup::default());
    let mut others = Bystanders::of(&relay);
    let mut alice = relay.version2(&Account::alice());
    let mut original = relay.original("JG");
    let message = |to: &str| json!({"action": "message", "to": to, "content": "", "id": "1"});
    let message2 = |to: &str| with(&message(to), "v", json!(2));

    alice.send(&message("alice"));
    alice.refused("bad_frame");
    original.send(&message2("JG"));
    original.refused("bad_frame");
    original.send(&publish());
    original.refused("bad_frame");
    alice.send(&message2("JG"));
    assert_eq!(alice.refused("not_v2")["to"], "JG");
    original.send(&message("alice"));
    original.refused("not_v2");

    for (client, frame) in [(&mut alice, message2("nobody")), (&mut original, message("nobody"))] {
        client.send(&frame);
        let answer = client.refused("unknown_user");
        assert_eq!((&answer["id"], &answer["to"]), (&json!("1"), &json!("nobody")));
        client.send(&json!({"action": "get_pubkey", "target": "nobody", "id": "2"}));
        let answer = client.refused("unknown_user");
        assert_eq!((&answer["id"], &answer["target"]), (&json!("2"), &json!("nobody")));
    }
    others.go_on();
}
