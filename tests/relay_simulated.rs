//! What depends on time, on what a reader takes and on signals: on a kernel in memory.

mod support;

use std::time::Duration;

use nix::errno::Errno;
use sealwax::reactor::Handler;
use sealwax::relay::limits::{FLUSH_TIMEOUT, LIST_PARTS_PER_TICK};
use sealwax::relay::{Purpose, RelayConfig, SourceFailure};
use serde_json::{Value, json};
use support::kernel::Op;
use support::relay::PEM;
use support::simulated::{Simulated, hear, say};

fn codes(frames: &[Value]) -> Vec<&str> {
    frames.iter().filter_map(|frame| frame["code"].as_str()).collect()
}

#[test]
fn a_signal_says_goodbye_to_everybody_and_waits_for_nobody_in_particular() {
    for number in [libc::SIGTERM, libc::SIGINT] {
        let mut relay = Simulated::start(RelayConfig::default());
        let mut user = relay.join("JG", "none");
        let mut stranger = relay.dial();
        relay.kernel.signal(u8::try_from(number).unwrap());
        relay.settle();
        for peer in [&mut user, &mut stranger] {
            assert_eq!(codes(&hear(peer)), ["shutting_down"]);
        }
        user.close();
        stranger.close();
        assert_eq!(relay.run(), Duration::ZERO);
        assert_eq!(relay.kernel.descriptors(), 2); // signals and the log
    }
}

#[test]
fn a_reader_that_stands_still_delays_the_end_by_its_limit_only() {
    let mut relay = Simulated::start(RelayConfig::default());
    relay.kernel.set_buffer(10);
    let _stuck = relay.dial();
    relay.kernel.signal(15);
    assert_eq!(relay.run(), FLUSH_TIMEOUT);
}

#[test]
fn a_relay_without_users_ends_at_once_and_sighup_is_no_end() {
    let mut relay = Simulated::start(RelayConfig::default());
    relay.kernel.signal(u8::try_from(libc::SIGHUP).unwrap());
    relay.settle();
    let mut user = relay.join("JG", "full");
    assert_eq!(hear(&mut user).len(), 1);
    relay.leave(user);
    relay.kernel.signal(15);
    assert_eq!(relay.run(), Duration::ZERO);
}

/// However often its queue runs dry.
#[test]
fn a_subscriber_is_queued_for_a_roster_once() {
    let mut relay = Simulated::start(RelayConfig::default());
    let _user = relay.join("JG", "full");
    let everybody: Vec<_> = relay.reactor.context().sources().collect();
    for _ in 0..100 {
        for &source in &everybody {
            relay.relay.drained(relay.reactor.context(), source);
        }
    }
    let pending = relay.relay.census().pending;
    assert!(pending <= everybody.len(), "{pending} are queued");
}

#[test]
fn a_crowd_of_newcomers_is_shown_the_list_in_turn() {
    let mut relay = Simulated::start(RelayConfig { max_frame: 1000, ..RelayConfig::default() });
    let users: Vec<_> = (0..100).map(|user| relay.join(&format!("user-{user}"), "none")).collect();
    let mut crowd: Vec<_> = (0..3 * LIST_PARTS_PER_TICK).map(|_| relay.dial()).collect();
    for (number, newcomer) in crowd.iter_mut().enumerate() {
        let name = format!("newcomer-{number}");
        let frame = json!({"action": "register", "name": name, "pubkey": PEM, "roster": "delta"});
        say(newcomer, &frame);
    }
    let mut quiet = 0;
    while quiet < 3 {
        relay.kernel.calls();
        relay.reactor.tick(&mut relay.relay, Some(Duration::ZERO)).unwrap();
        let calls = relay.kernel.calls();
        let written = calls.iter().filter(|call| call.op == Op::Writev).count();
        assert!(written <= LIST_PARTS_PER_TICK + 1, "{written}, one of them to the log");
        quiet = if written == 0 { quiet + 1 } else { 0 };
    }
    for newcomer in &mut crowd {
        let told = hear(newcomer);
        let joined = told.iter().filter_map(|frame| frame["joined"].as_array());
        assert!(joined.map(Vec::len).sum::<usize>() >= users.len(), "{told:?}");
    }
}

#[test]
fn who_is_held_back_is_heard_again_although_others_never_let_its_queue_run_dry() {
    let config = RelayConfig { outbox_soft: 2_000, ..RelayConfig::default() };
    let mut relay = Simulated::start(config);
    let mut loud = relay.join("loud", "none");
    relay.kernel.set_buffer(1_000);
    let mut held = relay.join("held", "none");
    let ping = json!({"action": "ping", "id": "?"}).to_string();
    let mut asked = 0;
    while held.send(ping.as_bytes()) == ping.len() {
        asked += 1;
        relay.settle();
    }
    let message = json!({"action": "message", "to": "held", "content": "x".repeat(300)});
    let mut heard = String::new();
    while heard.matches("pong").count() < asked {
        say(&mut loud, &message);
        relay.settle();
        let some = held.receive(300).expect("something always waits for it");
        heard.push_str(std::str::from_utf8(&some).unwrap());
        loud.receive_all();
        assert!(heard.len() < 1_000_000, "it is not heard any more");
    }
}

#[test]
fn the_log_tells_who_and_how_many_bytes_and_nothing_of_what_they_say() {
    let mut relay = Simulated::start(RelayConfig::default());
    let mut jg = relay.join("JG", "none");
    let yidir = relay.join("yidir", "none");
    for frame in [
        json!({"action": "message", "to": "yidir", "content": "the secret", "x": "the secret"}),
        json!({"action": "send_key", "to": "yidir", "key": "the secret"}),
        json!({"action": "message", "to": "nobody", "content": "the secret"}),
        json!({"action": "message", "to": "yidir", "content": {"the secret": 1}}),
        json!({"action": "the secret"}),
    ] {
        say(&mut jg, &frame);
    }
    relay.settle();
    relay.leave(yidir);
    let log = String::from_utf8(relay.log.receive_all()).unwrap();
    let told: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let events: Vec<_> = told.iter().filter_map(|line| line["event"].as_str()).collect();
    let expected = [
        "listening",
        "connected",
        "registered",
        "connected",
        "registered",
        "forwarded",
        "forwarded",
        "refused",
        "refused",
        "refused",
        "left",
    ];
    assert_eq!(events, expected);
    assert_eq!(told[5]["bytes"], 86);
    assert!(!log.contains("secret"));
}

#[test]
fn a_log_that_nobody_reads_holds_nothing_up() {
    let mut relay = Simulated::start(RelayConfig::default());
    let mut jg = relay.join("JG", "none");
    for _ in 0..20 {
        for _ in 0..200 {
            say(&mut jg, &json!({"action": "message", "to": "JG", "content": ""}));
        }
        relay.pass(Duration::from_secs(1)); // longer in all than a connection may stand still
        assert_eq!(hear(&mut jg).len(), 200);
    }
    let mut log = Vec::new();
    while let Ok(some) = relay.log.receive(10_000) {
        log.extend(some);
        relay.settle();
    }
    let log = String::from_utf8(log).unwrap();
    assert!(log.contains("lines_dropped") && log.ends_with('\n'));
    say(&mut jg, &json!({"action": "ping"}));
    jg.close();
    relay.settle();
    let last = String::from_utf8(relay.log.receive_all()).unwrap();
    assert!(last.contains("\"left\""), "{last}");
}

#[test]
fn an_address_that_is_taken_stops_the_relay_and_says_which() {
    let mut relay = Simulated::start(RelayConfig::default());
    assert_eq!(relay.relay.listening(), [relay.at]);
    relay.relay.start(relay.reactor.context(), &[relay.at]);
    relay.run();
    let failure = SourceFailure { purpose: Purpose::Listen(relay.at), errno: Errno::EADDRINUSE };
    assert_eq!(relay.relay.failure(), Some(failure));
}
