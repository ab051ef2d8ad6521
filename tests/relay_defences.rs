//! What the relay does against those who flood it, hold it or fill its log: on a kernel in memory,
//! where a test decides when time passes (`docs/promises.md`).

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test says what it expects

mod support;

use std::time::Duration;

use sealwax::reactor::limits::{
    EVENTS_PER_TICK, FRAME_TIMEOUT, GATHERED_TIME, READ_OVER_BUDGET, RESUMED_PER_TICK,
    TIMEOUTS_PER_TICK, WRITE_TIMEOUT,
};
use sealwax::reactor::{Config, Trigger};
use sealwax::relay::RelayConfig;
use sealwax::relay::limits::{
    ANSWERS_PER_TICK, CLAIMS_BURST, CONNECTS_BURST, CONNECTS_PER_SECOND, LEAST_SHARE,
    LOOKUPS_BURST, RATE_HORIZON, READ_UNREGISTERED, REGISTER_TIMEOUT, UNREGISTERED_BYTES,
    USER_LOOKUPS_BURST, USER_LOOKUPS_PER_SECOND, WORK_A_TURN, WORK_AN_ADDRESS, WORK_PER_TICK,
};
use serde_json::json;
use support::kernel::{Op, Peer};
use support::relay::register;
use support::simulated::{Simulated, actions, hear, ping, say};

/// After so many ticks a test does not wait any longer.
const MOST_TICKS: usize = 10_000;
const SECOND: Duration = Duration::from_secs(1);

/// A relay for which this machine is an address like any other.
fn strict() -> Simulated {
    strict_with(Trigger::Level)
}

fn strict_with(trigger: Trigger) -> Simulated {
    let config = RelayConfig { rates_loopback: true, ..RelayConfig::default() };
    Simulated::with(config, &Config { trigger, ..Config::default() })
}

/// A tick that read much may leave its flush to the next one, and that one flushes, where
/// [`GATHERED_TIME`] lies between them.
const TICKS_A_FLUSH: usize = 2;

/// Runs a test on a kernel that tells of levels and on one that tells of edges.
fn with_both(test: impl Fn(Trigger)) {
    test(Trigger::Level);
    test(Trigger::Edge);
}

fn frame_ends(bytes: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', bytes).count()
}

#[test]
fn connections_of_one_address_are_held_back_and_served_in_turn() {
    with_both(|trigger| {
        let mut relay = strict_with(trigger);
        let mut peers: Vec<Peer> = (0..CONNECTS_BURST + 10).map(|_| relay.dial()).collect();
        let mut late = peers.split_off(CONNECTS_BURST as usize);
        for (number, peer) in late.iter_mut().enumerate() {
            say(peer, &register(&format!("late{number}"), "none"));
            say(peer, &ping());
        }
        relay.settle();
        assert!(late.iter_mut().all(|peer| hear(peer).is_empty()), "their turn has not come");
        let period = SECOND / CONNECTS_PER_SECOND;
        for number in 0..late.len() {
            relay.pass(period);
            let served = late.iter_mut().map(|peer| hear(peer).len()).collect::<Vec<_>>();
            let expected: Vec<_> =
                (0..late.len()).map(|place| usize::from(place == number)).collect();
            assert_eq!(served, expected, "one each time, in order");
        }
        assert_eq!(relay.counters()["held_back_connect"], 10);
        for mut peer in late {
            say(&mut peer, &ping());
            relay.settle();
            assert_eq!(actions(&hear(&mut peer)), ["pong"], "nobody was cut");
        }
    });
}

#[test]
fn who_waits_has_the_time_to_register_that_others_have() {
    let mut relay = strict();
    let most = CONNECTS_BURST + 11 * CONNECTS_PER_SECOND;
    let mut peers: Vec<Peer> = (0..most).map(|_| relay.dial()).collect();
    relay.pass(REGISTER_TIMEOUT);
    for peer in &mut peers {
        assert_eq!(actions(&hear(peer)), ["register_timeout"]);
    }
    peers.into_iter().for_each(Peer::close);
    relay.settle();
    // Nothing is left of them, and the address is served again.
    assert_eq!(relay.kernel.descriptors(), 3);
    relay.pass(SECOND);
    let mut next = relay.join("JG", "none");
    say(&mut next, &ping());
    relay.settle();
    assert_eq!(actions(&hear(&mut next)), ["pong"]);
}

#[test]
fn registrations_and_proofs_of_one_address_are_held_back() {
    let mut relay = strict();
    let mut stranger = relay.dial();
    let mut answered = 0;
    for _ in 0..CLAIMS_BURST {
        say(&mut stranger, &register("", "none"));
        relay.settle();
        answered += hear(&mut stranger).len();
    }
    assert_eq!(answered, CLAIMS_BURST as usize);
    say(&mut stranger, &register("JG", "none"));
    let mut other = relay.dial();
    say(&mut other, &json!({"action": "prove", "v": 2, "sig": "AAAA"}));
    relay.settle();
    assert!(hear(&mut other).is_empty());
    relay.pass(SECOND / 10);
    assert_eq!(actions(&hear(&mut other)), ["bad_frame"], "there was nothing to prove");
    say(&mut stranger, &ping());
    relay.settle();
    assert_eq!(actions(&hear(&mut stranger)), ["pong"]);
    let counted = relay.counters();
    assert_eq!((counted["held_back_claim"], counted["refused_bad_name"]), (2, 1024));
}

/// Strangers make a client ask for keys: that is not to stop anything else that it does.
#[test]
fn public_keys_are_asked_for_at_a_rate_and_nobody_is_paused_for_it() {
    with_both(|trigger| {
        let mut relay = strict_with(trigger);
        let users = LOOKUPS_BURST / USER_LOOKUPS_BURST + 1;
        let mut all: Vec<Peer> =
            (0..users).map(|number| relay.join(&format!("user{number}"), "none")).collect();
        let ask = json!({"action": "get_pubkey", "target": "user0"});
        let message = json!({"action": "message", "to": "user0", "id": "1", "content": ""});
        let mut answered = 0;
        for (number, user) in all.iter_mut().enumerate() {
            let mut heard = Vec::new();
            for _ in 0..USER_LOOKUPS_BURST / 16 {
                (0..16).for_each(|_| say(user, &ask));
                relay.settle();
                heard.extend(hear(user));
            }
            let told = actions(&heard).iter().filter(|action| **action == "pubkey").count();
            let left = LOOKUPS_BURST - answered;
            assert_eq!(told, USER_LOOKUPS_BURST.min(left) as usize, "user {number}");
            answered += USER_LOOKUPS_BURST.min(left);
            say(user, &ask);
            say(user, &message);
            relay.settle();
            let heard = hear(user);
            let heard: Vec<_> = actions(&heard).into_iter().filter(|it| *it != "message").collect();
            assert_eq!(heard, ["rate_limited", "relayed"], "the connection goes on");
        }
        relay.pass(SECOND);
        let mut told = Vec::new();
        for user in &mut all {
            for _ in 0..USER_LOOKUPS_PER_SECOND + 4 {
                say(user, &ask);
            }
            relay.settle();
            let heard = hear(user);
            told.push(actions(&heard).iter().filter(|action| **action == "pubkey").count());
        }
        assert_eq!(told, [32, 32, 32, 32, 0], "at the rate of a user, and of the address");
        assert!(relay.counters()["refused_rate_limited"] > 5);
    });
}

/// Whoever waits for room, for the rate of its address or for the next tick, in whatever order
/// these come and go, is heard again: each request is answered once.
#[test]
fn who_is_held_back_for_several_reasons_is_never_forgotten() {
    for seed in 0..6 {
        let trigger = if seed % 2 == 0 { Trigger::Level } else { Trigger::Edge };
        let config =
            RelayConfig { rates_loopback: true, outbox_soft: 3_000, ..RelayConfig::default() };
        let mut relay = Simulated::with(config, &Config { trigger, ..Config::default() });
        let ask = json!({"action": "get_pubkey", "target": "user0"}).to_string();
        let mut spender = relay.join("spender", "none");
        for _ in 0..LOOKUPS_BURST / 64 {
            assert!(spender.send(ask.repeat(64).as_bytes()) > 0);
            relay.settle();
            hear(&mut spender);
            relay.settle();
            hear(&mut spender);
        }
        relay.kernel.set_buffer(2_500);
        let mut users: Vec<Peer> =
            (0..4).map(|number| relay.join(&format!("user{number}"), "none")).collect();
        let frames = [ask.as_str(), "{}", "{\"action\":\"ping\"}", "{\"action\":\"dance\"}"];
        let (mut asked, mut heard) = ([0; 4], [0; 4]);
        let mut dice = seed;
        let mut roll = |sides: usize| {
            // Knuth's linear congruential generator; its high bits are the good ones.
            dice = u64::wrapping_mul(dice, 6_364_136_223_846_793_005).wrapping_add(1_442_695_041);
            usize::try_from(dice >> 40).unwrap() % sides
        };
        for _ in 0..400 {
            let user = roll(users.len());
            match roll(4) {
                0 | 1 => {
                    for _ in 0..roll(8) {
                        let frame = frames[roll(frames.len())].as_bytes();
                        match users[user].send(frame) {
                            0 => break,
                            sent if sent == frame.len() => asked[user] += 1,
                            sent => {
                                // The rest of it, as soon as there is room.
                                let mut rest = &frame[sent..];
                                while !rest.is_empty() {
                                    heard[user] += frame_ends(&users[user].receive_all());
                                    relay.pass(SECOND / 1000);
                                    rest = &rest[users[user].send(rest)..];
                                }
                                asked[user] += 1;
                            }
                        }
                    }
                }
                2 => {
                    let some = users[user].receive(roll(2_000)).unwrap_or_default();
                    heard[user] += frame_ends(&some);
                }
                _ => relay.pass(SECOND * u32::try_from(roll(10)).unwrap() / 1000),
            }
            relay.settle();
            relay.log.receive_all();
        }
        for _ in 0..200 {
            relay.pass(SECOND / 4);
            relay.log.receive_all();
            for (user, heard) in users.iter_mut().zip(&mut heard) {
                *heard += frame_ends(&user.receive_all());
            }
        }
        assert_eq!(asked, heard, "seed {seed}");
        assert!(asked.iter().sum::<usize>() > 300 && relay.counters()["refused_rate_limited"] > 0);
    }
}

/// However long the time to register is, and in whatever moment they ask again.
#[test]
fn who_could_not_be_told_its_turn_pays_when_it_asks_again() {
    let config = RelayConfig { rates_loopback: true, ..RelayConfig::default() };
    let expected = 4 * REGISTER_TIMEOUT;
    let mut relay =
        Simulated::with(config, &Config { handshake_timeout: expected, ..Config::default() });
    let second = CONNECTS_PER_SECOND;
    let all = CONNECTS_BURST + 2 * second * u32::try_from(RATE_HORIZON.as_secs()).unwrap();
    let mut peers: Vec<Peer> = (0..all).map(|_| relay.dial()).collect();
    for peer in &mut peers {
        say(peer, &ping());
    }
    relay.settle();
    let mut served = 0;
    let mut passed = 0;
    while served < all {
        served +=
            peers.iter_mut().map(|peer| u32::try_from(hear(peer).len()).unwrap()).sum::<u32>();
        assert!(served <= CONNECTS_BURST + passed * second, "{served} after {passed} s");
        assert!(passed < 30, "{served} after {passed} s");
        relay.pass(SECOND);
        passed += 1;
    }
    assert!(passed >= 20, "{passed}");
}

/// Nobody would show them again later: what is not paid for is dropped.
#[test]
fn the_end_of_a_connection_pays_for_nothing() {
    with_both(|trigger| {
        let mut relay = strict_with(trigger);
        let flood = b"{}".repeat(usize::from(READ_UNREGISTERED.get()));
        let mut answered = 0;
        for _ in 0..4 {
            let mut stranger = relay.dial();
            assert_eq!(stranger.send(&flood), flood.len());
            stranger.shut();
            for _ in 0..20 {
                relay.settle();
                answered += frame_ends(&stranger.receive_all());
                relay.log.receive_all();
            }
        }
        assert_eq!(answered, CLAIMS_BURST as usize);
    });
}

/// One address has one share of a tick, however many of its connections flood: those of others are
/// answered within a tick or two, and those that wait have their turns in order.
#[test]
fn the_connections_of_one_address_have_one_share_of_a_tick() {
    with_both(|trigger| {
        let mut relay = strict_with(trigger);
        relay.kernel.set_buffer(256 * 1024);
        let mut honest = relay.join("JG", "none");
        relay.kernel.set_host([127, 0, 0, 9]);
        let mut flood: Vec<Peer> =
            (0..256).map(|number| relay.join(&format!("evil{number}"), "none")).collect();
        let frames = ping().to_string().repeat(4 * WORK_A_TURN);
        for peer in &mut flood {
            assert_eq!(peer.send(frames.as_bytes()), frames.len());
        }
        let message = json!({"action": "message", "to": "JG", "id": "1", "content": ""});
        let mut heard = vec![0; flood.len()];
        // Whoever is told of in a wait: one is told of once all before it were.
        for tick in 0..flood.len() * 4 * WORK_A_TURN / WORK_AN_ADDRESS + 16 {
            let is_asking = tick % 8 == 0;
            if is_asking {
                say(&mut honest, &message);
            }
            let mut done = 0;
            for _ in 0..if is_asking { 2 } else { 1 } {
                relay.reactor.tick(&mut relay.relay, Some(Duration::ZERO)).unwrap();
            }
            relay.log.receive_all();
            for (peer, heard) in flood.iter_mut().zip(&mut heard) {
                let more = frame_ends(&peer.receive_all());
                done += more;
                *heard += more;
                assert!(more <= 2 * WORK_A_TURN, "{more} frames of one connection");
            }
            assert!(done <= 2 * (WORK_AN_ADDRESS + WORK_A_TURN), "{done} frames of one address");
            if is_asking {
                assert_eq!(actions(&hear(&mut honest)), ["message", "relayed"], "tick {tick}");
            }
        }
        relay.settle();
        for (peer, heard) in flood.iter_mut().zip(&mut heard) {
            *heard += frame_ends(&peer.receive_all());
        }
        assert!(heard.iter().all(|&heard| heard == 4 * WORK_A_TURN), "{heard:?}");
    });
}

/// Many addresses share a tick: none of them waits for all that the others could do alone.
#[test]
fn addresses_that_flood_share_the_work_of_a_tick() {
    with_both(|trigger| {
        let mut relay = strict_with(trigger);
        relay.kernel.set_buffer(256 * 1024);
        let mut honest = relay.join("JG", "none");
        let mut flood = Vec::new();
        for number in 0..200 {
            relay.kernel.set_host([127, 0, 1, number]);
            flood.push(relay.join(&format!("evil{number}"), "none"));
        }
        let frames = ping().to_string().repeat(2 * WORK_A_TURN);
        for peer in &mut flood {
            assert_eq!(peer.send(frames.as_bytes()), frames.len());
        }
        let message = json!({"action": "message", "to": "JG", "id": "1", "content": ""});
        let (mut all, mut ticks) = (0, 0);
        while all < flood.len() * 2 * WORK_A_TURN {
            assert!(ticks < MOST_TICKS, "somebody is forgotten");
            let is_asking = ticks % 8 == 0;
            if is_asking {
                say(&mut honest, &message);
            }
            for _ in 0..if is_asking { 1 + TICKS_A_FLUSH } else { 1 } {
                relay.kernel.advance(GATHERED_TIME);
                relay.reactor.tick(&mut relay.relay, Some(Duration::ZERO)).unwrap();
                relay.log.receive_all();
                let done: usize =
                    flood.iter_mut().map(|peer| frame_ends(&peer.receive_all())).sum();
                let most = WORK_PER_TICK + flood.len() * LEAST_SHARE;
                let most = TICKS_A_FLUSH * (most + WORK_A_TURN);
                assert!(done <= most, "{done} frames up to tick {ticks}");
                all += done;
            }
            if is_asking {
                assert_eq!(actions(&hear(&mut honest)), ["message", "relayed"], "tick {ticks}");
            }
            ticks += 1;
        }
    });
}

/// What is left of a connection at its end is work of its address like any other.
#[test]
fn the_end_of_a_connection_is_in_the_share_of_its_address() {
    with_both(|trigger| {
        let mut relay = strict_with(trigger);
        relay.kernel.set_buffer(256 * 1024);
        relay.kernel.set_host([127, 0, 0, 9]);
        let mut flood: Vec<Peer> =
            (0..64).map(|number| relay.join(&format!("evil{number}"), "none")).collect();
        let frames = ping().to_string().repeat(2 * WORK_A_TURN);
        for peer in &mut flood {
            assert_eq!(peer.send(frames.as_bytes()), frames.len());
            peer.shut();
        }
        let (mut most, mut all, mut ticks) = (0, 0, 0);
        while all < flood.len() * 2 * WORK_A_TURN {
            ticks += 1;
            assert!(ticks < MOST_TICKS, "somebody is forgotten");
            relay.kernel.advance(GATHERED_TIME);
            relay.reactor.tick(&mut relay.relay, Some(Duration::ZERO)).unwrap();
            relay.log.receive_all();
            let done = flood.iter_mut().map(|peer| frame_ends(&peer.receive_all())).sum();
            (most, all) = (most.max(done), all + done);
        }
        let expected = TICKS_A_FLUSH * (WORK_AN_ADDRESS + WORK_A_TURN);
        assert!(most <= expected, "{most} frames of one address");
    });
}

/// Whoever begins many frames at once lets them run out of time at once.
#[test]
fn those_who_run_out_of_time_together_are_ended_some_in_each_tick() {
    with_both(|trigger| {
        let config = Config { trigger, ..Config::default() };
        let mut relay = Simulated::with(RelayConfig::default(), &config);
        let mut crowd: Vec<Peer> = (0..3 * TIMEOUTS_PER_TICK + 10)
            .map(|number| relay.join(&format!("evil{number}"), "none"))
            .collect();
        for peer in &mut crowd {
            peer.send(b"{");
        }
        relay.settle();
        relay.kernel.advance(FRAME_TIMEOUT + SECOND);
        let (mut ended, mut before, mut ticks) = (0, 0, 0);
        while ended < crowd.len() {
            ticks += 1;
            assert!(ticks < MOST_TICKS, "somebody is forgotten");
            relay.reactor.tick(&mut relay.relay, Some(Duration::ZERO)).unwrap();
            relay.log.receive_all();
            ended += crowd.iter_mut().map(|peer| frame_ends(&peer.receive_all())).sum::<usize>();
            assert!(ended - before <= TIMEOUTS_PER_TICK, "{ended} after {before}");
            before = ended;
        }
    });
}

/// A byte of room is no reason to look at everybody who waits for it.
#[test]
fn those_who_wait_for_room_are_read_again_some_in_each_tick() {
    let reactor = Config { kept_limit: 50_000, ..Config::default() };
    let mut relay = Simulated::with(RelayConfig::default(), &reactor);
    let mut filling = relay.join("filling", "none");
    let mut crowd: Vec<Peer> = (0..2 * RESUMED_PER_TICK)
        .map(|number| relay.join(&format!("evil{number}"), "none"))
        .collect();
    let half = format!(r#"{{"action":"message","to":"nobody","content":"{}"#, "x".repeat(60_000));
    let mut rest = half.as_bytes();
    while !rest.is_empty() {
        rest = &rest[filling.send(rest)..];
        relay.settle();
    }
    relay.pass(SECOND);
    for part in [b"{", b" "] {
        for peer in &mut crowd {
            peer.send(part);
        }
        relay.settle();
    }
    relay.kernel.advance(FRAME_TIMEOUT.saturating_sub(SECOND));
    relay.kernel.calls();
    let mut watched = 0;
    for _ in 0..10 {
        relay.reactor.tick(&mut relay.relay, Some(Duration::ZERO)).unwrap();
        let calls = relay.kernel.calls();
        let more = calls.iter().filter(|call| call.op == Op::Watch).count();
        assert!(more <= RESUMED_PER_TICK + 8, "{more} in one tick");
        watched += more;
    }
    assert!(watched >= crowd.len(), "{watched}");
}

#[test]
fn this_machine_has_no_rates_unless_asked() {
    let mut relay = Simulated::start(RelayConfig::default());
    let mut peers: Vec<Peer> = (0..2 * CONNECTS_BURST).map(|_| relay.dial()).collect();
    let last = peers.last_mut().unwrap();
    say(last, &register("JG", "none"));
    say(last, &ping());
    relay.settle();
    assert_eq!(actions(&hear(last)), ["pong"]);
}

#[test]
fn a_stranger_makes_the_relay_keep_little() {
    with_both(|trigger| {
        let mut relay =
            Simulated::with(RelayConfig::default(), &Config { trigger, ..Config::default() });
        relay.kernel.set_buffer(32 * 1024);
        let mut stranger = relay.dial();
        let flood = b"{}".repeat(16 * 1024);
        assert_eq!(stranger.send(&flood), flood.len());
        for _ in 0..100 {
            relay.settle();
            relay.log.receive_all();
        }
        let taken = stranger.send(&flood);
        let answered = relay.reactor.context().queued_in_all();
        assert!(
            taken > 0 && taken <= 2 * usize::from(READ_UNREGISTERED.get()),
            "{taken} bytes were read"
        );
        let frame = 200;
        assert!(answered > 0 && answered <= UNREGISTERED_BYTES + frame, "{answered} bytes wait");
        // It is no worse off than others for it: who reads is answered.
        let mut heard = 0;
        for _ in 0..1_000 {
            heard += stranger.receive_all().len();
            relay.settle();
            relay.log.receive_all();
        }
        assert!(heard > 1_000_000, "{heard}");
    });
}

#[test]
fn unfinished_frames_of_all_together_are_bounded_and_small_frames_pass() {
    with_both(|trigger| {
        let kept = 1024 * 1024;
        let reactor = Config { kept_limit: kept, trigger, ..Config::default() };
        let mut relay = Simulated::with(RelayConfig::default(), &reactor);
        let mut half = "{\"action\":\"".to_owned();
        half.push_str(&"x".repeat(50_000));
        let mut evil: Vec<Peer> =
            (0..100).map(|number| relay.join(&format!("evil{number}"), "none")).collect();
        let mut jg = relay.join("JG", "none");
        let most = kept + half.len() + evil.len() * READ_OVER_BUDGET;
        let mut taken = 0;
        for peer in &mut evil {
            taken += peer.send(half.as_bytes());
            relay.settle();
        }
        // What the relay has not read lies in the kernel, which refuses what exceeds it.
        for peer in &mut evil {
            taken += peer.send(&vec![b'x'; 64 * 1024]);
        }
        relay.settle();
        let in_kernel = evil.len() * 64 * 1024;
        assert!(taken.saturating_sub(in_kernel) <= most, "{taken} bytes were taken");
        say(
            &mut jg,
            &json!({"action": "message", "to": "JG", "id": "1", "content": "x".repeat(1_500)}),
        );
        relay.settle();
        assert_eq!(actions(&hear(&mut jg)), ["message", "relayed"], "a small frame passes");
        // A large one is read to its end once those others are out of time.
        relay.pass(SECOND);
        say(
            &mut jg,
            &json!({"action": "message", "to": "JG", "id": "2", "content": "x".repeat(9_000)}),
        );
        relay.settle();
        assert!(hear(&mut jg).is_empty());
        say(&mut jg, &ping());
        relay.pass(FRAME_TIMEOUT.saturating_sub(SECOND));
        assert_eq!(relay.counters()["ended_frame_timeout"], 100);
        assert_eq!(actions(&hear(&mut jg)), ["message", "relayed", "pong"]);
    });
}

/// Those who do not read hold all that may be held: who reads is sent short frames all the same.
#[test]
fn short_frames_pass_while_others_hold_all_that_may_wait() {
    with_both(|trigger| {
        let config = RelayConfig { outbox_common: 100_000, ..RelayConfig::default() };
        let mut relay = Simulated::with(config, &Config { trigger, ..Config::default() });
        let mut jg = relay.join("JG", "none");
        relay.kernel.set_buffer(1_000);
        let mut deaf = ["one", "two"].map(|name| relay.join(name, "none"));
        let message = |to: &str, length: usize| {
            let text = "x".repeat(length);
            json!({"action": "message", "to": to, "id": "1", "content": text})
        };
        let mut asks = |relay: &mut Simulated, to: &str, length| {
            say(&mut jg, &message(to, length));
            relay.settle();
            let heard = hear(&mut jg);
            heard.iter().map(|frame| frame["code"].as_str().unwrap_or("").to_owned()).collect()
        };
        let passed = vec![String::new(); 2]; // the message, and that it was relayed
        for name in ["one", "two"] {
            let answer: Vec<_> = asks(&mut relay, name, 60_000);
            assert_eq!(answer, [""]);
        }
        assert!(relay.reactor.context().output_in_all() >= 100_000);
        assert_eq!(asks(&mut relay, "one", 10), ["queue_full"], "it has a backlog");
        assert_eq!(asks(&mut relay, "JG", 3_000), ["queue_full"]);
        assert_eq!(asks(&mut relay, "JG", 1_500), passed);
        // What was read but for its last bytes holds as much memory as before.
        let queued = |relay: &mut Simulated| relay.reactor.context().queued_in_all();
        while queued(&mut relay) > 70_000 {
            assert!(!deaf[0].receive_all().is_empty());
            relay.settle();
        }
        assert_eq!(asks(&mut relay, "JG", 3_000), ["queue_full"]);
        for peer in &mut deaf {
            while !peer.receive_all().is_empty() {
                relay.settle();
            }
        }
        assert_eq!(asks(&mut relay, "JG", 3_000), passed);
    });
}

#[test]
fn many_small_frames_get_no_more_answers_in_a_tick_than_a_read_suggests() {
    with_both(|trigger| {
        let mut relay =
            Simulated::with(RelayConfig::default(), &Config { trigger, ..Config::default() });
        relay.kernel.set_buffer(16 * 1024 * 1024);
        let mut loud = relay.join("loud", "none");
        let frames = 16 * 1024;
        assert_eq!(loud.send(&b"{}".repeat(frames)), 2 * frames);
        let (mut answers, mut most) = (0, 0);
        while answers < frames {
            relay.reactor.tick(&mut relay.relay, Some(Duration::ZERO)).unwrap();
            relay.log.receive_all();
            let heard = loud.receive_all();
            most = most.max(heard.len());
            answers += frame_ends(&heard);
        }
        let one_more = 200;
        assert!(most as u64 <= ANSWERS_PER_TICK + one_more, "{most} bytes in one tick");
        assert_eq!(answers, frames);
    });
}

#[test]
fn half_a_frame_half_a_registration_and_nobody_else_is_ended_by_time() {
    let mut relay = Simulated::start(RelayConfig::default());
    let mut idle = relay.join("idle", "none");
    let mut half = relay.join("half", "none");
    let mut stranger = relay.dial();
    half.send(b"{\"action\":");
    relay.settle();
    relay.pass(REGISTER_TIMEOUT.saturating_sub(SECOND));
    assert!(hear(&mut stranger).is_empty());
    half.send(b"\"ping\""); // no new beginning
    relay.pass(SECOND);
    assert_eq!(actions(&hear(&mut stranger)), ["register_timeout"]);
    relay.pass(FRAME_TIMEOUT.saturating_sub(REGISTER_TIMEOUT + SECOND));
    assert!(hear(&mut half).is_empty());
    relay.pass(SECOND);
    assert_eq!(actions(&hear(&mut half)), ["frame_timeout"]);
    relay.pass(24 * 3600 * SECOND);
    say(&mut idle, &ping());
    relay.settle();
    assert_eq!(actions(&hear(&mut idle)), ["pong"]);
    let counted = relay.counters();
    assert_eq!((counted["ended_register_timeout"], counted["ended_frame_timeout"]), (1, 1));
}

/// A process that was stopped finds deadlines that have passed, and what others did in time: a slow
/// reader who has made room, and more newcomers than one wait tells of.
#[test]
fn a_relay_that_was_stopped_for_a_while_ends_nobody_for_it() {
    for newcomers in [0, 2 * EVENTS_PER_TICK] {
        let mut relay = Simulated::start(RelayConfig::default());
        let mut loud = relay.join("loud", "none");
        relay.kernel.set_buffer(1_000);
        let mut slow = relay.join("slow", "none");
        relay.kernel.set_buffer(64 * 1024);
        let message = json!({"action": "message", "to": "slow", "content": "x".repeat(900)});
        for _ in 0..3 {
            say(&mut loud, &message);
        }
        relay.settle();
        assert!(relay.reactor.context().queued_in_all() > 0, "it reads too slowly");
        let mut newcomers: Vec<Peer> = (0..newcomers).map(|_| relay.dial()).collect();
        // While the relay stands still, everybody does what they have to.
        let mut heard = slow.receive_all();
        for (number, newcomer) in newcomers.iter_mut().enumerate() {
            say(newcomer, &register(&format!("late{number}"), "none"));
            say(newcomer, &ping());
        }
        relay.kernel.advance(WRITE_TIMEOUT + REGISTER_TIMEOUT);
        while frame_ends(&heard) < 3 {
            relay.settle();
            let more = slow.receive_all();
            assert!(!more.is_empty(), "all was sent");
            heard.extend(more);
        }
        assert!(!String::from_utf8(heard).unwrap().contains("slow_reader"));
        for newcomer in &mut newcomers {
            assert_eq!(actions(&hear(newcomer)), ["pong"]);
        }
    }
}
