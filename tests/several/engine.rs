//! The engine stands still, ends, comes back, or is none.

use nix::sys::signal::Signal;
use sealwax::cluster::resp::Value;
use sealwax::wire::RosterMode;

use super::support::process::{Process, text};
use super::support::redis::Plain;
use super::support::relay::{Account, Client};
use super::support::several::Several;
use super::{message, talk};

const FENCED: &str = "does not renew";
/// Entries that somebody else writes at once.
const FOREIGN: usize = 100;
const JOINED: &str = "is one of its cluster";

/// Two who are at relay 0, and one at relay 1.
fn users(several: &Several) -> (Client, Client, Client) {
    (several.original(0, "a"), several.original(0, "b"), several.original(1, "c"))
}

#[test]
fn while_the_engine_stands_still_pairs_of_one_relay_go_on() {
    let Some(several) = Several::start(2) else { return };
    let (mut a, mut b, mut c) = users(&several);
    talk(&mut a, ("c", &mut c), "1", false);
    several.redis.process().signal(Signal::SIGSTOP);
    for relay in &several.relays {
        relay.process.talk_with(FENCED);
    }
    talk(&mut a, ("b", &mut b), "2", false);
    a.send(&message("c", "3", false));
    a.refused("queue_full");
    // Nobody can come: the engine would have to say that the name is free.
    let mut newcomer = several.connect(0);
    newcomer.send(&super::support::relay::register("d", "none"));
    newcomer.dismissed("shutting_down");
    several.redis.process().signal(Signal::SIGCONT);
    for relay in &several.relays {
        relay.process.talk_with(JOINED);
    }
    talk(&mut a, ("c", &mut c), "4", false);
    talk(&mut c, ("a", &mut a), "5", false);
    several.original(0, "d").ping();
}

#[test]
fn an_engine_that_lost_everything_gets_its_names_back_from_the_relays() {
    let Some(mut several) = Several::start(2) else { return };
    let (alice, bob) = (Account::alice(), Account::bob());
    let (mut at0, mut at1) = (several.connect(0), several.connect(1));
    alice.register(&mut at0, RosterMode::None);
    bob.register(&mut at1, RosterMode::None);
    talk(&mut at0, ("bob", &mut at1), "1", true);
    several.redis.kill();
    several.redis.start_again(&[]);
    // Both are claimed again, and reach each other again.
    talk(&mut at0, ("bob", &mut at1), "2", true);
    talk(&mut at1, ("alice", &mut at0), "3", true);
    drop(at0);
    let eve = Account::new("alice", include_str!("../data/bob.pem"));
    let mut stranger = several.connect(1);
    stranger.send(&eve.claim(RosterMode::None));
    let challenge = stranger.line();
    stranger.send(&eve.prove(&challenge));
    stranger.dismissed("name_bound");
}

#[test]
fn an_engine_that_kept_its_data_is_gone_on_with() {
    let Some(mut several) = Several::start(2) else { return };
    let (mut a, _b, mut c) = users(&several);
    several.redis.kill();
    several.redis.start_again(&[]);
    talk(&mut c, ("a", &mut a), "1", false);
    talk(&mut a, ("c", &mut c), "2", false);
}

/// Ids that the engine chooses are times, behind which no relay can append one of its own.
#[test]
fn what_somebody_else_writes_into_a_stream_is_passed_over() {
    let Some(several) = Several::start(2) else { return };
    let (mut a, mut b, mut c) = users(&several);
    talk(&mut a, ("c", &mut c), "1", false);
    let mut plain = several.redis.plain();
    let relays = plain.ask(&["SMEMBERS", "sealwax:relays"]);
    let inboxes = relays.array().unwrap().iter().map(|it| format!("sealwax:in:{}", text_of(it)));
    let mut streams: Vec<String> = inboxes.collect();
    assert_eq!(streams.len(), 2);
    streams.push("sealwax:changes".to_owned());
    for (round, id) in ["*", "0-*", "0-18446744073709551615", "*"].into_iter().enumerate() {
        for stream in &streams {
            for _ in 0..FOREIGN {
                plain.ask(&["XADD", stream, id, "kind", "frames", "from", "nobody"]);
            }
        }
        talk(&mut a, ("c", &mut c), &format!("{round}-c"), false);
        talk(&mut c, ("b", &mut b), &format!("{round}-b"), false);
        let name = format!("newcomer-{round}");
        let mut newcomer = several.original(round % 2, &name);
        talk(&mut b, (&name, &mut newcomer), &format!("{round}-new"), false);
        talk(&mut c, (&name, &mut newcomer), &format!("{round}-too"), false);
    }
    for stream in &streams[..2] {
        while plain.ask(&["XLEN", stream]).number() != Some(0) {
            std::thread::yield_now();
        }
    }
    for relay in several.relays {
        relay.process.signal(Signal::SIGTERM);
        let ended = relay.process.end().with_code(0);
        let told = ended.transcript.matches("is none of a relay").count();
        assert_eq!(told, 1, "{ended:#?}");
    }
}

fn text_of(value: &Value) -> &str {
    value.text().unwrap()
}

#[test]
fn an_engine_that_ends_each_connection_is_not_asked_without_a_pause() {
    let Some(mut several) = Several::start(1) else { return };
    several.relays.clear();
    let mut plain = several.redis.plain();
    plain.ask(&["SET", "sealwax:where", "of another program"]);
    let connections = |plain: &mut Plain| -> u32 {
        let stats = plain.ask(&["INFO", "stats"]);
        let mut lines = stats.text().unwrap().lines();
        let count = lines.find_map(|it| it.strip_prefix("total_connections_received:"));
        count.unwrap().trim().parse().unwrap()
    };
    let begun = connections(&mut plain);
    let relay = several.start_relay(1, "127.0.0.1:0", &[]);
    relay.talk_with("is of another type than ours");
    while connections(&mut plain) < begun + 12 {
        std::thread::yield_now();
    }
    relay.signal(Signal::SIGTERM);
    let ended = relay.end().with_code(0);
    let told = ended.transcript.matches("is of another type than ours").count();
    assert!(told <= 2, "it is told once, and not with each connection: {ended:#?}");
}

#[test]
fn a_relay_that_cannot_belong_to_the_cluster_says_why_and_ends() {
    let Some(several) = Several::start(1) else { return };
    let engine = several.engine();
    let (home, key) = (several.path("other"), several.path("other-key/relay.key"));
    let mut arguments = vec!["serve", "--listen", "127.0.0.1:0", "--home", text(&home)];
    arguments.extend(["--cluster", &engine, "--relay-key", text(&key)]);
    let other_key = Process::start(&arguments).end().with_code(1);
    assert!(other_key.transcript.contains("have another key"), "{other_key:#?}");
    let none = format!("{engine}-none");
    let password = ["serve", "--listen", "127.0.0.1:0", "--ephemeral", "--cluster"];
    let in_url = [&password[..], &["redis://:secret@127.0.0.1"]].concat();
    let in_url = Process::start(&in_url).end().with_code(2);
    assert!(in_url.transcript.contains("--cluster-password-fd"), "{in_url:#?}");
    let mut plain = several.redis.plain();
    plain.ask(&["CONFIG", "SET", "requirepass", "secret"]);
    let key = several.path("keys/relay.key");
    let without = [&password[..], &[&engine, "--relay-key", text(&key)]].concat();
    let without = Process::start(&without).end().with_code(1);
    assert!(without.transcript.contains("asks for a password"), "{without:#?}");
    // One that is not there (yet) is waited for.
    let waiting = [&password[..], &[&none, "--relay-key", text(&key)]].concat();
    let waiting = Process::start(&waiting);
    waiting.talk_with("No such file");
    waiting.signal(Signal::SIGTERM);
    waiting.end().with_code(0);
}

#[test]
fn a_check_asks_the_engine_and_changes_nothing() {
    let Some(several) = Several::start(0) else { return };
    let engine = several.engine();
    let check = |engine: &str, key: &str, options: &[&str]| {
        let (home, key) = (several.path("relay-0"), several.path(key));
        let mut arguments = vec!["serve", "--check", "--listen", "127.0.0.1:0"];
        arguments.extend(["--home", text(&home), "--cluster", engine, "--relay-key", text(&key)]);
        arguments.extend(options);
        Process::start(&arguments).end()
    };
    let can_start = |key: &str, options: &[&str]| {
        let ended = check(&engine, key, options).with_code(0);
        assert!(ended.transcript.contains("the relay can start"), "{ended:#?}");
    };
    let cannot = |engine: &str, key: &str, why: &str| {
        let ended = check(engine, key, &[]).with_code(1);
        assert!(ended.transcript.contains(why), "{ended:#?}");
    };
    let mut plain = several.redis.plain();
    can_start("keys/relay.key", &["--cluster-init"]);
    cannot(&engine, "keys/relay.key", "--cluster-init");
    cannot(&format!("{engine}-none"), "keys/relay.key", "cannot be reached: No such file");
    assert_eq!(plain.ask(&["DBSIZE"]).number(), Some(0));
    assert!(!several.path("keys").exists() && !several.path("relay-0").exists());
    let relay = several.relay(0, "127.0.0.1:0", &[]);
    can_start("keys/relay.key", &[]);
    cannot(&engine, "other/relay.key", "have another key");
    relay.process.signal(Signal::SIGTERM);
    relay.process.end().with_code(0);
    can_start("keys/relay.key", &[]);
    plain.ask(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    cannot(&engine, "keys/relay.key", "noeviction");
}
