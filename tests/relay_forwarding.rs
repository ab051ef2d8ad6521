//! What one user sends another: whole, once, in order, as it was; and nobody suffers from who does
//! not read.

mod support;

use std::io::Write;
use std::thread;
use std::time::Duration;

use sealwax::reactor::Config;
use sealwax::relay::RelayConfig;
use serde_json::{Value, json};
use support::relay::{Account, Bystanders, Client, RunningRelay, Setup};

/// The frame that the original's authors published, captured on its wire.
const CAPTURED: &str = include_str!("data/captured-message.json");

fn message(to: &str, id: usize, content: &str) -> Value {
    json!({"action": "message", "to": to, "id": id.to_string(), "content": content})
}

/// A relay with the captured frame's sender and addressee.
fn jg_and_yidir() -> (RunningRelay, Client, Client) {
    let relay = RunningRelay::start(Setup::default());
    let (jg, yidir) = (relay.original("JG"), relay.original("yidir"));
    (relay, jg, yidir)
}

#[test]
fn the_captured_frame_arrives_as_it_was_wherever_it_is_cut() {
    let (_relay, mut jg, mut yidir) = jg_and_yidir();
    for cut in 1..CAPTURED.len() {
        jg.write(&CAPTURED.as_bytes()[..cut]);
        yidir.ping(); // the relay has read the first part by now
        jg.write(&CAPTURED.as_bytes()[cut..]);
        assert_eq!(yidir.line(), CAPTURED);
    }
    for byte in CAPTURED.as_bytes() {
        yidir.ping();
        jg.write(&[*byte]);
    }
    assert_eq!(yidir.line(), CAPTURED);
    jg.ping(); // nobody answers what has no `id`
}

#[test]
fn a_thousand_frames_in_one_write_arrive_each_once_and_in_order() {
    let (_relay, mut jg, mut yidir) = jg_and_yidir();
    for separator in ["", "\n", " \t\r\n"] {
        let frames: Vec<String> =
            (0..1000).map(|number| CAPTURED.replace("2e88", &format!("{number:04}"))).collect();
        jg.write(frames.join(separator).as_bytes());
        for frame in &frames {
            assert_eq!(&yidir.line(), frame);
        }
    }
    jg.write(CAPTURED.repeat(1000).as_bytes());
    for _ in 0..1000 {
        assert_eq!(yidir.line(), CAPTURED);
    }
    yidir.ping();
}

#[test]
fn from_is_the_relays_word_and_the_rest_the_senders() {
    let (relay, mut jg, mut yidir) = jg_and_yidir();
    let odd = concat!(
        r#"{ "x":1e400,"from" :"eve", "to":"y\u0069dir","#,
        r#""action":"send_key","key":"\/" ,"y":{"from":1}}"#
    );
    jg.write(odd.as_bytes());
    assert_eq!(yidir.line(), odd.replace("\"eve\"", "\"JG\""));
    jg.write(br#"{"action":"message","to":"yidir","content":""}"#);
    assert_eq!(yidir.line(), r#"{"action":"message","to":"yidir","content":"","from":"JG"}"#);
    let mut quoted = relay.original("the \"boss\" \\ déjà");
    quoted.write(br#"{"action":"message","to":"yidir","content":""}"#);
    assert_eq!(yidir.frame()["from"], "the \"boss\" \\ déjà");
}

#[test]
fn each_id_is_answered_once_and_in_order() {
    let (relay, mut jg, mut yidir) = jg_and_yidir();
    let frames: Vec<_> = (0..100)
        .map(|id| message(if id % 3 == 0 { "nobody" } else { "yidir" }, id, "").to_string())
        .collect();
    jg.write(frames.concat().as_bytes());
    for id in 0..100 {
        let answer = jg.frame();
        assert_eq!(answer["id"], id.to_string());
        assert_eq!(answer["action"], if id % 3 == 0 { "error" } else { "relayed" });
        if id % 3 != 0 {
            assert_eq!(yidir.frame()["id"], id.to_string());
        }
    }
    // Of a user of version 2 the sender learns which prekey is current.
    let (alice, bob) = (Account::alice(), Account::bob());
    let (mut from, mut to) = (relay.version2(&alice), relay.version2(&bob));
    from.send(&json!({"action": "send_key", "v": 2, "to": "bob", "id": "k", "key": "AA"}));
    let relayed = json!({"action": "relayed", "id": "k", "to": "bob", "prekey": bob.prekey.id});
    assert_eq!(from.frame(), relayed);
    let expected =
        json!({"action": "send_key", "v": 2, "to": "bob", "id": "k", "key": "AA", "from": "alice"});
    assert_eq!(to.frame(), expected);
}

#[test]
fn what_came_before_a_half_close_is_delivered() {
    let (relay, mut jg, mut yidir) = jg_and_yidir();
    jg.write(format!("{CAPTURED}{}{}", message("yidir", 1, ""), &CAPTURED[..60]).as_bytes());
    jg.finish_writing();
    assert_eq!(yidir.line(), CAPTURED);
    assert_eq!(yidir.frame()["id"], "1");
    assert_eq!(jg.frame()["action"], "relayed");
    jg.closed();
    relay.original("JG").ping(); // the name is free
}

/// Whoever is ended has the time to read what was queued for it, however busy the machine is.
fn patient() -> Config {
    Config { finish_timeout: Duration::from_secs(30), ..Config::default() }
}

/// Sends to `to`, which does not read, until that is refused; returns how many were taken.
fn fill(sender: &mut Client, to: &str, content: &str) -> usize {
    let mut taken = 0;
    loop {
        sender.send(&message(to, taken, content));
        let answer = sender.frame();
        if answer["action"] != "relayed" {
            assert_eq!((&answer["code"], &answer["to"]), (&json!("queue_full"), &json!(to)));
            return taken;
        }
        taken += 1;
    }
}

#[test]
fn a_reader_that_stands_still_is_refused_frames_and_stays() {
    let config = RelayConfig { outbox_soft: 100_000, ..RelayConfig::default() };
    let relay = RunningRelay::start(Setup { relay: config, ..Setup::default() });
    let mut others = Bystanders::of(&relay);
    let (mut jg, mut yidir) = (relay.original("JG"), relay.original("yidir"));
    for _ in 0..2 {
        let taken = fill(&mut jg, "yidir", &"x".repeat(50_000));
        others.go_on();
        for id in 0..taken {
            assert_eq!(yidir.frame()["id"], id.to_string());
        }
        yidir.ping(); // nothing was lost, nothing came twice, and it is still here
    }
}

#[test]
fn a_reader_that_takes_nothing_for_too_long_is_ended() {
    let reactor = Config { write_timeout: Duration::from_millis(500), ..patient() };
    let config = RelayConfig { outbox_soft: 100_000, ..RelayConfig::default() };
    let relay = RunningRelay::start(Setup { relay: config, reactor, ..Setup::default() });
    let mut others = Bystanders::of(&relay);
    let (mut jg, mut yidir) = (relay.original("JG"), relay.original("yidir"));
    // On a busy machine it may be ended while the queue fills.
    let (mut taken, content) = (0, "x".repeat(50_000));
    loop {
        jg.send(&message("yidir", taken, &content));
        let answer = jg.frame();
        match answer["code"].as_str() {
            Some("unknown_user") => break,
            Some(code) => assert_eq!(code, "queue_full"),
            None => taken += 1,
        }
    }
    for id in 0..taken {
        assert_eq!(yidir.frame()["id"], id.to_string());
    }
    yidir.dismissed("slow_reader");
    others.go_on();
}

#[test]
fn who_asks_and_does_not_read_is_held_back_and_gets_every_answer() {
    let relay = RunningRelay::start(Setup::default());
    let mut others = Bystanders::of(&relay);
    let mut asking = relay.original("JG");
    let question = json!({"action": "get_pubkey", "target": "JG"}).to_string();
    let mut writer = asking.writer();
    let count = 40_000; // 20 MB of answers: more than the kernel's buffers and the queue take
    let asked = thread::spawn(move || writer.write_all(question.repeat(count).as_bytes()));
    others.go_on();
    for _ in 0..count {
        assert_eq!(asking.frame()["from"], "JG");
    }
    asked.join().unwrap().unwrap();
    asking.ping();
    others.go_on();
}

#[test]
fn who_is_held_back_and_reads_goes_on_at_once() {
    let config = RelayConfig { outbox_soft: 1, ..RelayConfig::default() };
    let relay = RunningRelay::start(Setup { relay: config, ..Setup::default() });
    let mut asking = relay.original("JG");
    let pings: Vec<_> =
        (0..100).map(|id| format!("{{\"action\":\"ping\",\"id\":\"{id}\"}}")).collect();
    asking.write(pings.concat().as_bytes());
    for id in 0..100 {
        assert_eq!(asking.frame()["id"], id.to_string());
    }
}

#[test]
fn who_has_too_many_answers_waiting_is_ended() {
    let config = RelayConfig { outbox_hard: 100_000, ..RelayConfig::default() };
    let setup = Setup { relay: config, reactor: patient(), ..Setup::default() };
    let relay = RunningRelay::start(setup);
    let mut others = Bystanders::of(&relay);
    let mut asking = relay.original("JG");
    let question = json!({"action": "get_pubkey", "target": "JG"}).to_string();
    asking.write(question.repeat(40_000).as_bytes());
    let mut answers = 0;
    let last = loop {
        let frame = asking.frame();
        if frame["action"] != "pubkey" {
            break frame;
        }
        answers += 1;
    };
    assert_eq!(last["code"], "slow_reader");
    assert!(answers < 40_000);
    asking.closed();
    others.go_on();
}

#[test]
fn half_a_frame_and_half_a_registration_end_and_the_idle_stay() {
    let short = Duration::from_millis(1500); // enough to register on a busy machine
    let reactor = Config { handshake_timeout: short, frame_timeout: short, ..Config::default() };
    let relay = RunningRelay::start(Setup { reactor, ..Setup::default() });
    let mut others = Bystanders::of(&relay);
    let mut idle = relay.original("JG");
    relay.connect().dismissed("register_timeout");
    let mut half = relay.original("half");
    half.write(&CAPTURED.as_bytes()[..20]);
    half.dismissed("frame_timeout");
    idle.ping();
    others.go_on();
}
