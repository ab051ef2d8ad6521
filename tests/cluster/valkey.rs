//! What a Valkey says otherwise than a Redis 7.0: it is taken all the same, and its errors mean the
//! same. The texts are those of real servers (Valkey 8.0.1, 8.1.1 and 9.1.2), which all tests of
//! this folder can be run on: `SEALWAX_TEST_ENGINE=valkey-server cargo test --test cluster`.

use sealwax::cluster::engine::{Engine, Password, Settings, Ticket};
use sealwax::cluster::resp::Value;
use sealwax::cluster::script::Script;
use sealwax::cluster::{CallFault, EngineFault, frames};

use crate::support::redis::{Connection, Redis};
use crate::support::resp::encode;
use crate::world::{self, ID, RELAY_KEY, relay, settings, take};

fn bulk(text: &str) -> Value {
    Value::Bulk(text.into())
}

/// An answer to `HELLO 3`: each server has these members, and these modules.
fn hello(server: &str, version: &str, role: &str, modules: Vec<Value>) -> Value {
    let words = ["server", server, "version", version, "mode", "standalone", "role", role];
    let mut all: Vec<_> = words.map(bulk).to_vec();
    all.extend([bulk("proto"), Value::Int(3), bulk("id"), Value::Int(7)]);
    all.extend([bulk("modules"), Value::Array(modules)]);
    Value::Map(all)
}

/// From 9.1 on Lua is a module.
fn lua() -> Vec<Value> {
    let args = [bulk("args"), Value::Array(Vec::new())];
    let words = [bulk("name"), bulk("lua"), bulk("ver"), Value::Int(1), bulk("path"), bulk("lua")];
    vec![Value::Map(words.into_iter().chain(args).collect())]
}

/// What follows to the other commands of the beginning, of an engine that is a cluster's.
fn beginning(hello: &Value, info: &str) -> Vec<u8> {
    let mut answers = vec![hello.clone(), bulk("OK"), Value::Verbatim(info.into())];
    answers.extend([bulk(ID), bulk(RELAY_KEY)]);
    answers.extend(Script::ALL.iter().map(|_| bulk(&"0".repeat(40))));
    let mut bytes = Vec::new();
    for answer in &answers {
        encode(&mut bytes, answer);
    }
    bytes
}

fn open(beginning: &[u8]) -> Result<Engine, EngineFault> {
    let mut engine = Engine::new(relay(1), &settings());
    engine.received(beginning).map(|()| engine)
}

const INFO: &str = "# Memory\r\nused_memory:933000\r\nmaxmemory:0\r\nmaxmemory_human:0B\r\n\
    maxmemory_policy:noeviction\r\nmem_allocator:jemalloc-5.3.0\r\n";

#[test]
fn each_valkey_is_taken_by_its_name_and_by_the_one_it_may_go_under() {
    let zone = |hello| match hello {
        Value::Map(mut all) => {
            all.extend([bulk("availability_zone"), bulk("eu-1a")]);
            Value::Map(all)
        }
        other => other,
    };
    for greeting in [
        hello("valkey", "7.2.5", "master", Vec::new()),
        hello("valkey", "8.0.1", "master", Vec::new()),
        zone(hello("valkey", "8.1.1", "master", Vec::new())),
        hello("valkey", "9.1.2", "master", lua()),
        // `extended-redis-compatibility yes`: it says that it is the Redis that it began as.
        hello("redis", "7.2.4", "master", lua()),
        // Its release candidates have three numbers, too: the third is 240 and more.
        hello("valkey", "8.0.240", "master", Vec::new()),
    ] {
        let engine = open(&beginning(&greeting, INFO)).unwrap();
        assert!(engine.is_ready(), "{greeting:?}");
        assert_eq!(engine.cluster(), Some(ID));
    }
}

#[test]
fn one_that_cannot_be_used_is_refused_and_says_why() {
    let refused = |greeting: Value, info: &str| {
        let fault = open(&beginning(&greeting, info)).err().expect("it is refused");
        assert!(!fault.may_pass(), "waiting mends nothing: {fault}");
        fault.to_string()
    };
    let other = refused(hello("keyvault", "9.0.0", "master", Vec::new()), INFO);
    assert_eq!(other, "the server calls itself keyvault: use Redis or Valkey");
    // A fork of an older Redis goes under its name.
    let old = refused(hello("redis", "6.3.4", "master", Vec::new()), INFO);
    assert_eq!(old, "the engine is redis 6.3.4: use Redis 7.0 or later, or Valkey");
    let evicts = INFO.replace("noeviction", "allkeys-lru");
    let evicts = refused(hello("valkey", "8.1.1", "master", Vec::new()), &evicts);
    assert!(evicts.contains("maxmemory-policy allkeys-lru"), "{evicts}");
}

#[test]
fn its_errors_mean_what_those_of_redis_mean() {
    let ready = || open(&beginning(&hello("valkey", "9.1.2", "master", lua()), INFO)).unwrap();
    let concerns_one_call = [
        ("OOM command not allowed when used memory > 'maxmemory'.", CallFault::OutOfMemory),
        ("MISCONF Valkey is configured to save RDB snapshots", CallFault::DiskFails),
        ("NOREPLICAS Not enough good replicas to write.", CallFault::TooFewReplicas),
        ("BUSY Valkey is busy running a script.", CallFault::Busy),
    ];
    for (text, fault) in concerns_one_call {
        let mut engine = ready();
        engine.call(Ticket(1), &take(relay(1))).unwrap();
        engine.received(format!("-{text}\r\n").as_bytes()).unwrap();
        assert_eq!(engine.next_answer(), Some((Ticket(1), Err(fault))));
        assert!(engine.is_ready());
    }
    let ends_the_connection = [
        ("LOADING Valkey is loading the dataset in memory", EngineFault::Loading),
        ("NOSCRIPT No matching script.", EngineFault::ScriptGone),
        ("READONLY You can't write against a read only replica.", EngineFault::Replica),
        // Of a script, with no hash of it behind `script:`.
        (
            "WRONGTYPE Operation against a key holding the wrong kind of value script: on \
             @user_script:2.",
            EngineFault::ForeignKey,
        ),
    ];
    for (text, fault) in ends_the_connection {
        let mut engine = ready();
        engine.call(Ticket(1), &take(relay(1))).unwrap();
        assert_eq!(engine.received(format!("-{text}\r\n").as_bytes()), Err(fault));
    }
}

/// Rights are asked for in a script, too, for each command and each key of it.
#[test]
fn a_real_engine_may_have_a_user_for_the_relays() {
    let Some(redis) = Redis::start(&[]) else { return };
    let mut user = vec!["ACL", "SETUSER", "relays"];
    user.extend(["on", ">secret", "~sealwax:*", "+@all", "-@dangerous", "+info"]);
    redis.plain().ask(&user);
    let as_user = |name: &str| Settings {
        user: Some(name.to_owned()),
        password: Some(Password::new(b"secret".to_vec())),
        ..settings()
    };
    let mut connection = Connection::open(&redis, relay(1), &as_user("relays")).unwrap();
    let mut calls = world::Script::new(1);
    let some = (0..300).map(|_| calls.call());
    let all: Vec<_> = world::Script::beginning().into_iter().chain(some).collect();
    assert!(
        Script::ALL
            .iter()
            .all(|it| *it == Script::Init || all.iter().any(|call| call.script == *it))
    );
    for call in &all {
        connection.call(call).unwrap();
    }
    connection.ask("HSCAN", &frames::scan(0)).unwrap();
    connection.ask("XREAD", &frames::read_streams(relay(1), 0, Some(0))).unwrap();
    redis.plain().ask(&["ACL", "SETUSER", "relays", "-script"]);
    let refused = Connection::open(&redis, relay(2), &as_user("relays")).err();
    assert_eq!(refused, Some(EngineFault::Forbidden { to: "SCRIPT LOAD" }));
    let refused = Connection::open(&redis, relay(2), &as_user("nobody")).err();
    assert_eq!(refused, Some(EngineFault::WrongPassword));
}
