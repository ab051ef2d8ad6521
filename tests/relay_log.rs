//! What the relay counts and logs of refusals and ends, and what it does where the log cannot be
//! written: on a kernel in memory (`docs/promises.md`).

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test says what it expects

mod support;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use nix::errno::Errno;
use sealwax::reactor::limits::{FINISH_TIMEOUT, HANDSHAKE_TIMEOUT, WRITE_TIMEOUT};
use sealwax::relay::RelayConfig;
use sealwax::relay::limits::{LOG_LINES_BURST, LOG_REOPEN, LOG_SILENCE};
use serde_json::{Value, json};
use support::kernel::{Device, Fault, Op, Peer};
use support::relay::register;
use support::simulated::{Simulated, actions, hear, ping, say};

#[test]
fn each_refusal_and_each_end_is_counted_by_its_code() {
    let mut relay = Simulated::start(RelayConfig { max_connections: 4, ..RelayConfig::default() });
    let mut user = relay.join("JG", "none");
    for frame in [json!({}), json!({"action": "dance"}), register("JG", "none"), ping()] {
        say(&mut user, &frame);
    }
    say(&mut user, &json!({"action": "get_pubkey", "target": "x".repeat(60_000)}));
    let mut stranger = relay.dial();
    say(&mut stranger, &ping());
    say(&mut stranger, &register("JG", "none"));
    stranger.send(b"!");
    let gone = relay.join("gone", "none");
    gone.reset();
    relay.settle();
    let left = relay.join("left", "none");
    relay.leave(left);
    let _others = [relay.dial(), relay.dial()];
    let counted = relay.counters();
    let expected = [
        ("connected", 6),
        ("ended_bad_frame", 1),
        ("lost_ECONNRESET", 1),
        ("quit", 1),
        ("refused_already_registered", 1),
        ("refused_bad_frame", 1),
        ("refused_name_in_use", 1),
        ("refused_not_registered", 1),
        ("refused_unknown_action", 1),
        ("refused_unknown_user", 1),
        ("registered", 3),
    ];
    let expected = expected.map(|(name, count)| (name.to_owned(), count));
    assert_eq!(counted, BTreeMap::from(expected));
    let _too_many: Vec<Peer> = (0..3).map(|_| relay.dial()).collect();
    assert_eq!(relay.counters()["turned_away"], 3);
    // At the end they are told once more.
    relay.kernel.signal(u8::try_from(libc::SIGTERM).unwrap());
    relay.settle();
    let (lines, _) = relay.log_lines();
    let last = lines.iter().find(|line| line["event"] == "counters").expect("told at the end");
    assert!(last["counters"]["ended_shutting_down"].as_u64() >= Some(2), "{last}");
}

#[test]
fn a_reader_that_stands_still_is_counted_and_so_is_what_it_did_not_take() {
    let mut relay = Simulated::start(RelayConfig::default());
    let mut loud = relay.join("loud", "none");
    relay.kernel.set_buffer(1_000);
    let stuck = relay.join("stuck", "none");
    for _ in 0..20 {
        say(&mut loud, &json!({"action": "message", "to": "stuck", "content": "x".repeat(100)}));
    }
    relay.settle();
    relay.pass(WRITE_TIMEOUT);
    let counted = relay.counters();
    assert_eq!((counted.get("ended_slow_reader"), counted.get("cut_off")), (Some(&1), None));
    relay.pass(FINISH_TIMEOUT);
    assert_eq!(relay.counters().get("cut_off"), Some(&1));
    stuck.close();
}

#[test]
fn a_refusal_tells_whom_it_was_about() {
    let mut relay = Simulated::start(RelayConfig::default());
    let mut loud = relay.join("loud", "none");
    relay.kernel.set_buffer(1_000);
    let _stuck = relay.join("stuck", "none");
    relay.log_lines();
    let content = "x".repeat(50_000);
    let told = (0..100).find_map(|_| {
        say(&mut loud, &json!({"action": "message", "to": "stuck", "content": content}));
        relay.settle();
        relay.log_lines().0.into_iter().find(|line| line["event"] == "refused")
    });
    let told = told.expect("a queue has an end");
    assert_eq!((&told["code"], &told["about"]), (&json!("queue_full"), &json!("stuck")));
    say(&mut loud, &json!({"action": "get_pubkey", "target": "nobody"}));
    say(&mut loud, &json!({}));
    relay.settle();
    let (lines, _) = relay.log_lines();
    let refused: Vec<_> = lines.iter().filter(|line| line["event"] == "refused").collect();
    assert_eq!(refused[0]["about"], "nobody");
    assert_eq!(refused[1].get("about"), None, "it was about nobody");
}

#[test]
fn what_came_is_told_although_nothing_could_be_done_with_it() {
    let mut relay = Simulated::start(RelayConfig::default());
    let left = |relay: &mut Simulated| {
        let (lines, _) = relay.log_lines();
        let left = lines.into_iter().find(|line| line["event"] == "left").expect("it is gone");
        (left["received"].as_u64().unwrap(), left["kind"].as_str().unwrap().to_owned())
    };
    let mut bad = relay.dial();
    bad.send(b"GET / HTTP/1.1\r\n\r\n");
    relay.settle();
    assert_eq!(left(&mut relay), (18, "warning".to_owned()));
    let mut half = relay.dial();
    half.send(b"{\"action\":");
    relay.settle();
    relay.leave(half);
    assert_eq!(left(&mut relay), (10, "info".to_owned()));
    let mut slow = relay.dial();
    slow.send(b"{\"action\":");
    relay.pass(HANDSHAKE_TIMEOUT);
    assert_eq!(left(&mut relay).0, 10);
}

#[test]
fn an_end_that_was_planned_is_no_warning() {
    let mut relay = Simulated::start(RelayConfig::default());
    let _users = [relay.join("JG", "none"), relay.join("kicked", "none")];
    assert!(relay.relay.kick(relay.reactor.context(), "kicked"));
    relay.settle();
    relay.kernel.signal(u8::try_from(libc::SIGUSR1).unwrap());
    relay.settle();
    relay.pass(RelayConfig::default().drain_time);
    let (lines, _) = relay.log_lines();
    let left: Vec<_> = lines.iter().filter(|line| line["event"] == "left").collect();
    assert_eq!(left.len(), 2);
    assert!(left.iter().all(|line| line["kind"] == "info"), "{left:?}");
}

#[test]
fn a_name_that_is_none_and_fills_the_log_is_not_written_there() {
    let mut relay = Simulated::start(RelayConfig::default());
    let mut user = relay.join("JG", "none");
    say(&mut user, &json!({"action": "get_pubkey", "target": "x".repeat(60_000)}));
    relay.settle();
    assert_eq!(actions(&hear(&mut user)), ["unknown_user"]);
    let longest = |line: &Value| line.to_string().len();
    assert!(relay.log_lines().0.iter().map(longest).max() < Some(500));
}

#[test]
fn lines_that_others_cause_have_a_rate_and_those_beyond_are_counted() {
    let mut relay = Simulated::start(RelayConfig::default());
    let mut loud = relay.join("loud", "none");
    relay.log_lines();
    let frames = u64::from(LOG_LINES_BURST) + 2_000;
    let (mut told, mut lost) = (0, 0);
    for _ in 0..frames / 200 {
        for _ in 0..200 {
            say(&mut loud, &json!({}));
        }
        relay.settle();
        hear(&mut loud);
        let (lines, dropped) = relay.log_lines();
        told += lines.iter().filter(|line| line["event"] == "refused").count() as u64;
        lost += dropped;
    }
    assert_eq!((told, lost), (u64::from(LOG_LINES_BURST) - 2, 0), "two were told before");
    relay.pass(LOG_SILENCE); // and without anything else to tell
    let (_, lost) = relay.log_lines();
    assert_eq!(told + lost, frames);
    say(&mut loud, &json!({}));
    relay.settle();
    assert_eq!(relay.log_lines().0.len(), 1, "it goes on");
    assert_eq!(relay.counters()["lines_dropped"], lost);
}

#[test]
fn a_full_disk_under_the_log_holds_nobody_up_and_what_is_missing_is_told() {
    let mut relay = Simulated::start(RelayConfig::default());
    let mut user = relay.join("JG", "none");
    relay.log_lines();
    let (is_full, log_fd) = (Rc::new(Cell::new(true)), Cell::new(None));
    let full = Rc::clone(&is_full);
    relay.kernel.inject(move |op, fd| {
        if op != Op::Writev || !full.get() {
            return None;
        }
        log_fd.set(log_fd.get().or(fd)); // the first that is written to
        (fd == log_fd.get()).then_some(Fault::Fail(Errno::ENOSPC))
    });
    let _stranger = relay.dial();
    for _ in 0..5 {
        say(&mut user, &json!({}));
        relay.settle();
        assert_eq!(actions(&hear(&mut user)), ["bad_frame"]);
    }
    is_full.set(false);
    relay.log = relay.kernel.standard(2, Device::Pipe);
    relay.pass(LOG_REOPEN);
    let (lines, lost) = relay.log_lines();
    let told = lines.iter().filter(|line| line["event"] != "lines_dropped").count() as u64;
    assert_eq!(told + lost, 6, "{lines:?}");
    assert!(lost > 0);
}
