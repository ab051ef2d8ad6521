//! What answers at the engine's address, and is none that a relay can use: on scripted bytes, and
//! on a real `redis-server` that is set up wrongly.

use sealwax::cluster::engine::{Engine, NotTaken, Password, Settings, Ticket};
use sealwax::cluster::resp::{RespFault, Value};
use sealwax::cluster::script::Script;
use sealwax::cluster::{CallFault, EngineFault, frames, names};

use crate::support::model::server::ModelServer;
use crate::support::redis::{Connection, Redis};
use crate::support::resp::encode;
use crate::world::{ID, claim, fp, relay, settings, take};

/// A fresh engine in memory, and a connection to it that is ready.
fn ready() -> (Engine, ModelServer) {
    let mut server = ModelServer::default();
    let mut engine = Engine::new(relay(1), &settings());
    server.connected(1);
    while !engine.is_ready() {
        server.received(1, &engine.take_output());
        engine.received(&server.take_output(1)).unwrap();
    }
    (engine, server)
}

fn bytes(values: &[Value]) -> Vec<u8> {
    let mut out = Vec::new();
    for value in values {
        encode(&mut out, value);
    }
    out
}

/// What the beginning makes of these answers.
fn fault(answer: &[u8]) -> EngineFault {
    let mut engine = Engine::new(relay(1), &settings());
    let fault = engine.received(answer).unwrap_err();
    assert_eq!(engine.received(b"+OK\r\n"), Err(fault.clone()), "a fault stays");
    assert!(!engine.is_ready());
    fault
}

fn hello(server: &str, version: &str, mode: &str, role: &str) -> Vec<u8> {
    let words = ["server", server, "version", version, "mode", mode, "role", role];
    bytes(&[Value::Map(words.map(|word| Value::Bulk(word.into())).to_vec())])
}

#[test]
fn what_is_no_engine_is_told_apart() {
    assert_eq!(fault(b"HTTP/1.1 400 Bad Request\r\n"), RespFault::UnknownType(b'H').into());
    assert_eq!(fault(&[0x15, 3, 3, 0, 2]), RespFault::UnknownType(0x15).into());
    assert_eq!(fault(b"+OK\r\n"), EngineFault::WrongAnswer { to: "HELLO" });
    assert_eq!(fault(b">1\r\n+hi\r\n"), EngineFault::Unasked);
    assert_eq!(
        fault(&hello("keydb", "6.3.0", "standalone", "master")),
        EngineFault::OtherServer("keydb".into())
    );
    for version in ["6.2.14", "5.0.0", "0.1"] {
        let told = hello("redis", version, "standalone", "master");
        assert_eq!(fault(&told), EngineFault::TooOld(format!("redis {version}")));
    }
    assert_eq!(
        fault(&hello("redis", "seven", "standalone", "master")),
        EngineFault::WrongAnswer { to: "HELLO" }
    );
    assert_eq!(fault(&hello("valkey", "8.0.1", "cluster", "master")), EngineFault::Sharded);
    assert_eq!(fault(&hello("redis", "7.0.15", "sentinel", "master")), EngineFault::Sentinel);
    assert_eq!(fault(&hello("redis", "7.0.15", "standalone", "slave")), EngineFault::Replica);
    assert!(matches!(fault(b"-ERR unknown command 'HELLO'\r\n"), EngineFault::TooOld(_)));
    assert_eq!(fault(b"-NOAUTH HELLO must be called\r\n"), EngineFault::NeedsPassword);
    assert_eq!(fault(b"-WRONGPASS invalid\r\n"), EngineFault::WrongPassword);
    assert_eq!(fault(b"-LOADING Redis is loading the dataset\r\n"), EngineFault::Loading);
    let evil = fault(b"-ERR \x1b[2J is bad\r\n");
    assert!(!evil.to_string().contains('\u{1b}'), "{evil}");
    for good in ["8.0.1", "7.0.0", "7.2.4"] {
        let mut engine = Engine::new(relay(1), &settings());
        engine.received(&hello("valkey", good, "standalone", "master")).unwrap();
    }
}

#[test]
fn each_fault_says_what_to_do() {
    let faults = [
        EngineFault::of(b"MOVED 3999 127.0.0.1:6381"),
        EngineFault::of(b"READONLY You can't write against a read only replica."),
        EngineFault::of(b"NOSCRIPT No matching script."),
        EngineFault::of(b"WRONGTYPE Operation against a key"),
        EngineFault::of(b"NOPERM this user has no permissions"),
    ];
    let told = faults.map(|fault| fault.to_string());
    for (text, word) in told.iter().zip(["sharded", "replica", "again", "database", "+@all"]) {
        assert!(text.contains(word), "{text}");
    }
}

trait OfError {
    fn of(error: &[u8]) -> EngineFault;
}

impl OfError for EngineFault {
    /// What a connection that is ready makes of this error.
    fn of(error: &[u8]) -> EngineFault {
        let (mut engine, _) = ready();
        engine.call(Ticket(1), &take(relay(1))).unwrap();
        engine.take_output();
        let fault = engine.received(&[b"-", error, b"\r\n"].concat()).unwrap_err();
        assert_eq!(engine.call(Ticket(2), &take(relay(1))), Err(NotTaken::NotReady));
        fault
    }
}

#[test]
fn what_concerns_one_call_only_leaves_the_connection_as_it_is() {
    let (mut engine, _) = ready();
    for ticket in 1..=3 {
        engine.call(Ticket(ticket), &take(relay(1))).unwrap();
    }
    engine.received(b"-OOM command not allowed when used memory > 'maxmemory'.\r\n").unwrap();
    engine.received(b"-MISCONF Redis is configured to save RDB snapshots\r\n").unwrap();
    engine.received(b"-BUSY Redis is busy running a script.\r\n").unwrap();
    let faults: Vec<_> = std::iter::from_fn(|| engine.next_answer()).collect();
    let expected = [CallFault::OutOfMemory, CallFault::DiskFails, CallFault::Busy];
    let expected = expected.into_iter().zip(1..).map(|(fault, it)| (Ticket(it), Err(fault)));
    assert_eq!(faults, expected.collect::<Vec<_>>());
    assert!(engine.is_ready());
}

/// Wherever a stream is cut off or damaged, there is an answer to each command up to there, and
/// then a fault or nothing.
#[test]
fn a_stream_may_be_cut_anywhere() {
    let (_, mut server) = ready();
    let mut fresh = Engine::new(relay(1), &settings());
    server.connected(2);
    server.received(2, &fresh.take_output());
    let beginning = server.take_output(2);
    for cut in 0..beginning.len() {
        let mut engine = Engine::new(relay(1), &settings());
        engine.received(&beginning[..cut]).unwrap();
        assert!(!engine.is_ready() && engine.unanswered().next().is_none());
        engine.received(&beginning[cut..]).unwrap();
        assert!(engine.is_ready());
        assert_eq!(engine.cluster(), Some(ID));
        // Nothing was asked.
        assert_eq!(engine.received(b"+OK\r\n"), Err(EngineFault::Unasked));
    }
    for place in 0..beginning.len() {
        let mut damaged = beginning.clone();
        damaged[place] ^= 0x55;
        let mut engine = Engine::new(relay(1), &settings());
        let _ = engine.received(&damaged);
    }
}

#[test]
fn answers_of_another_form_are_faults() {
    let own = relay(1);
    let wrong = Value::Array(vec![Value::Bulk(b"held".into()), Value::Int(1)]);
    for answer in [wrong, Value::Null, Value::Int(1), Value::Array(Vec::new())] {
        assert!(names::leased(&answer).is_err() && names::claimed(&answer).is_err());
        assert!(names::found(&answer).is_err() && frames::forwarded(&answer).is_err());
        assert!(frames::scanned(&answer).is_none());
        let fault = EngineFault::from(names::bound(&answer).unwrap_err());
        assert_eq!(fault, EngineFault::WrongAnswer { to: Script::Bind.name() });
    }
    assert!(frames::read(own, &Value::Array(vec![Value::Null; 3])).is_none());
    let strange = Value::Map(vec![Value::Bulk(b"other".into()), Value::Array(vec![Value::Null])]);
    assert!(frames::read(own, &strange).is_none());
}

#[test]
fn what_is_under_way_is_bounded_and_comes_back_when_the_connection_ends() {
    let (mut engine, _) = ready();
    let mut taken = 0;
    while engine.call(Ticket(taken), &take(relay(1))).is_ok() {
        taken += 1;
    }
    assert_eq!(taken, sealwax::cluster::limits::COMMANDS_UNDER_WAY as u64);
    assert_eq!(engine.call(Ticket(0), &take(relay(1))), Err(NotTaken::Full));
    assert!(engine.received(b"+").is_ok() && engine.received(b"\n").is_err());
    assert!(engine.unanswered().map(|ticket| ticket.0).eq(0..taken));
}

fn refused(redis: &Redis, settings: &Settings) -> EngineFault {
    match Connection::open(redis, relay(1), settings) {
        Ok(_) => panic!("it was taken"),
        Err(fault) => fault,
    }
}

#[test]
fn a_real_engine_asks_for_its_password() {
    let Some(redis) = Redis::start(&["--requirepass", "open sesame"]) else { return };
    let with =
        |password: &str| Settings { password: Some(Password::new(password.into())), ..settings() };
    assert_eq!(refused(&redis, &settings()), EngineFault::NeedsPassword);
    assert_eq!(refused(&redis, &with("wrong")), EngineFault::WrongPassword);
    assert!(Connection::open(&redis, relay(1), &with("open sesame")).is_ok());
}

#[test]
fn a_real_engine_has_to_be_ours() {
    let Some(redis) = Redis::start(&["--databases", "4"]) else { return };
    let joining = |database| Settings { database, begins: None, ..settings() };
    assert_eq!(refused(&redis, &joining(0)), EngineFault::NoCluster);
    assert_eq!(refused(&redis, &joining(4)), EngineFault::NoDatabase(4));
    assert!(Connection::open(&redis, relay(1), &settings()).is_ok());
    assert!(Connection::open(&redis, relay(1), &joining(0)).is_ok());
    let known = Settings { id: Some("another".into()), ..joining(0) };
    assert_eq!(refused(&redis, &known), EngineFault::OtherCluster(ID.into()));
    let other_key = Settings { relay_key: "another".into(), ..joining(0) };
    assert_eq!(refused(&redis, &other_key), EngineFault::OtherRelayKey);
    // It is begun once: who would begin it again joins.
    let again = Settings { begins: Some("again".into()), ..settings() };
    let connection = Connection::open(&redis, relay(2), &again).unwrap();
    assert_eq!(connection.engine.cluster(), Some(ID));
}

#[test]
fn a_real_engine_that_may_evict_is_refused() {
    let Some(redis) = Redis::start(&["--maxmemory-policy", "allkeys-lru"]) else { return };
    assert_eq!(refused(&redis, &settings()), EngineFault::Evicts("allkeys-lru".into()));
}

#[test]
fn a_real_replica_is_refused() {
    let Some(redis) = Redis::start(&["--replicaof", "127.0.0.1 1"]) else { return };
    assert_eq!(refused(&redis, &settings()), EngineFault::Replica);
}

#[test]
fn keys_of_another_program_are_told_where_they_stand_in_the_way() {
    let Some(redis) = Redis::start(&[]) else { return };
    let mut plain = redis.plain();
    plain.ask(&["SET", "another", "program"]);
    let mut connection = Connection::open(&redis, relay(1), &settings()).unwrap();
    connection.call(&take(relay(1))).unwrap();
    plain.ask(&["SET", "sealwax:where", "program"]);
    let claim = claim(relay(1), "Ada", 1, &fp(1), false);
    assert_eq!(connection.call(&claim), Err(EngineFault::ForeignKey));
    assert_eq!(plain.ask(&["GET", "sealwax:change"]), Value::Null, "nothing was changed");
}

#[test]
fn a_real_engine_without_memory_refuses_what_takes_some_and_frees_what_can_be() {
    let Some(redis) = Redis::start(&[]) else { return };
    let (own, mut plain) = (relay(1), redis.plain());
    let mut connection = Connection::open(&redis, own, &settings()).unwrap();
    connection.call(&take(own)).unwrap();
    connection.call(&claim(own, "Ada", 1, &fp(1), false)).unwrap();
    plain.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    connection.engine.call(Ticket(7), &claim(own, "Bea", 2, &fp(1), false)).unwrap();
    connection.run(Engine::is_empty).unwrap();
    assert_eq!(connection.answers(), [(Ticket(7), Err(CallFault::OutOfMemory))]);
    let renewed = names::lease(own, names::LeaseStep::Renew, ID, "");
    assert!(matches!(
        names::leased(&connection.call(&renewed).unwrap()),
        Ok(names::LeaseAnswer::Held { change: 1, .. })
    ));
    let released = connection.call(&names::release(own, "Ada", 1)).unwrap();
    assert_eq!(names::released(&released), Ok(names::HolderAnswer::Done));
}

#[test]
fn a_real_engine_that_lost_its_scripts_ends_the_connection() {
    let Some(redis) = Redis::start(&[]) else { return };
    let mut connection = Connection::open(&redis, relay(1), &settings()).unwrap();
    redis.plain().ask(&["SCRIPT", "FLUSH"]);
    assert_eq!(connection.call(&take(relay(1))), Err(EngineFault::ScriptGone));
    assert!(Connection::open(&redis, relay(1), &settings()).is_ok());
}
