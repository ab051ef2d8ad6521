//! The model as a server against a real engine: the same commands on three connections of
//! each, and each answer. A read that waits is answered by what another connection has done.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sealwax::cluster::resp::{Decoder, Value, encode_command};
use sealwax::cluster::script::{self, Call};
use sealwax::cluster::{keys, names};

use crate::differential::assert_same_items;
use crate::support::model::Item;
use crate::support::model::server::{ModelServer, Trouble};
use crate::support::redis::{Plain, Redis};
use crate::world::{Dice, ID, RELAY_KEY, Script, relay};

/// The connection that waits for streams; 0 and 1 have calls.
const READER: usize = 2;

/// A word of a command: as it is, or the hash of a script, which is another at each server.
#[derive(Clone, Debug)]
enum Word {
    Is(Vec<u8>),
    Hash(script::Script),
}

/// Both servers, and what they said.
struct Both {
    real: Vec<Plain>,
    model: ModelServer,
    decoders: Vec<Decoder>,
    now: Duration,
    /// The hash of each script at either server.
    hashes: BTreeMap<&'static str, [Vec<u8>; 2]>,
    /// What each kind of command was answered.
    seen: BTreeSet<String>,
}

fn word(text: impl AsRef<[u8]>) -> Word {
    Word::Is(text.as_ref().to_vec())
}

fn words(text: &str) -> Vec<Word> {
    text.split(' ').map(word).collect()
}

/// A call as a relay sends it.
fn commands(call: &Call) -> Vec<Vec<Word>> {
    let Some(before) = &call.before else { return vec![evalsha(call)] };
    let before = before.iter().map(word).collect();
    vec![words("MULTI"), before, evalsha(call), words("EXEC")]
}

fn evalsha(call: &Call) -> Vec<Word> {
    let mut all = vec![word("EVALSHA"), Word::Hash(call.script), word(call.keys.len().to_string())];
    all.extend(call.keys.iter().map(word));
    all.extend(call.args.iter().map(word));
    all
}

impl Both {
    fn new(redis: &Redis) -> Self {
        let mut both = Self {
            real: (0..3).map(|_| redis.plain()).collect(),
            model: ModelServer::default(),
            decoders: (0..3).map(|_| Decoder::default()).collect(),
            now: Duration::ZERO,
            hashes: BTreeMap::new(),
            seen: BTreeSet::new(),
        };
        let about = redis.plain().ask(&["INFO", "server"]);
        both.model.read_anew(compatible_with(about.bytes().unwrap()) >= (7, 2));
        for at in 0..3 {
            both.model.connected(at as u64);
            both.ask(at, &words("HELLO 3"));
            both.ask(at, &words("SELECT 0"));
        }
        both
    }

    /// The bytes of a command for the real server (0) or for the model (1).
    fn parts(&self, command: &[Word], side: usize) -> Vec<Vec<u8>> {
        let part = |word: &Word| match word {
            Word::Is(text) => text.clone(),
            Word::Hash(script) => self.hashes[script.name()][side].clone(),
        };
        command.iter().map(part).collect()
    }

    /// Has both get a command.
    fn send(&mut self, at: usize, command: &[Word]) {
        let parts = self.parts(command, 0);
        self.real[at].send(&parts);
        let (parts, mut bytes) = (self.parts(command, 1), Vec::new());
        encode_command(&mut bytes, &parts);
        self.model.received(at as u64, &bytes);
    }

    /// The next answer of the model on this connection, if there is one now.
    fn of_model(&mut self, at: usize) -> Option<Value> {
        let bytes = self.model.take_output(at as u64);
        let mut rest = bytes.as_slice();
        let value = self.decoders[at].next(&mut rest).unwrap();
        assert!(rest.is_empty(), "one answer at a time");
        value
    }

    /// Has both do a command that does not wait for another connection; both answer the same.
    fn ask(&mut self, at: usize, command: &[Word]) -> Value {
        self.send(at, command);
        let modelled = self.of_model(at).unwrap_or_else(|| {
            self.now = self.model.due().expect("it waits for something");
            self.model.advance(self.now);
            self.of_model(at).expect("an answer")
        });
        let real = self.real[at].answer();
        self.compare(command, &real, &modelled);
        real
    }

    fn compare(&mut self, command: &[Word], real: &Value, model: &Value) {
        let kind = match &command[0] {
            Word::Is(text) => String::from_utf8_lossy(text).into_owned(),
            Word::Hash(_) => unreachable!("a hash begins no command"),
        };
        let [one, other] = [real, model].map(|value| comparable(&kind, value));
        assert!(one == other, "{command:?}:\nreal  {one:?}\nmodel {other:?}");
        let outcome = match &one {
            Value::Error(code) => String::from_utf8_lossy(code).into_owned(),
            Value::Null => "nothing".to_owned(),
            _ => "something".to_owned(),
        };
        self.seen.insert(format!("{kind} {outcome}"));
    }

    fn load(&mut self) {
        for &script in script::Script::ALL {
            let command = [word("SCRIPT"), word("LOAD"), word(script.source())];
            self.send(0, &command);
            let answers = [self.real[0].answer(), self.of_model(0).unwrap()];
            let hashes = answers.map(|answer| answer.bytes().unwrap().to_vec());
            assert!(hashes.iter().all(|hash| hash.len() == 40 && hash.is_ascii()));
            self.hashes.insert(script.name(), hashes);
        }
        let different: BTreeSet<_> = self.hashes.values().map(|[_, model]| model).collect();
        assert_eq!(different.len(), script::Script::ALL.len());
    }

    /// Has both run a script. What it is for is in the answer; a lease does not end by itself at the
    /// real server, for a test may be slow.
    fn call(&mut self, at: usize, call: &Call) {
        for command in commands(call) {
            self.ask(at, &command);
        }
        if call.script == script::Script::Lease {
            self.real[at].ask(&[b"PERSIST".as_slice(), call.keys[0].as_bytes()]);
        }
    }

    /// The number of the last entry of a stream.
    fn last(&self, key: &str) -> u64 {
        match self.model.model().items().get(key) {
            Some(Item::Stream(stream)) => stream.last,
            _ => 0,
        }
    }
}

/// The version of Redis that an engine is, or was made from, as its `INFO` says.
fn compatible_with(info: &[u8]) -> (u32, u32) {
    let text = std::str::from_utf8(info).unwrap();
    let version = text.lines().find_map(|line| line.strip_prefix("redis_version:")).unwrap();
    let mut numbers = version.split('.').map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// What has to be the same: of errors the code, of `INFO` what relays look at, of `HELLO` not what
/// server it is (a Valkey has another name) and the number of the connection; and a table in order.
fn comparable(kind: &str, value: &Value) -> Value {
    match value {
        Value::Error(text) => Value::Error(text.split(|it| *it == b' ').next().unwrap().to_vec()),
        Value::Map(all) if kind == "HELLO" => {
            let mut all = all.clone();
            for place in (0..all.len()).step_by(2) {
                if matches!(all[place].text(), Some("server" | "version" | "modules" | "id")) {
                    all[place + 1] = Value::Null;
                }
            }
            Value::Map(all)
        }
        Value::Verbatim(text) if kind == "INFO" => {
            let mut lines = text.split(|it| *it == b'\n');
            let line = lines.find(|line| line.starts_with(b"maxmemory_policy:"));
            Value::Verbatim(line.expect("a policy").to_vec())
        }
        // When the next lease of another relay ends: the real ones do not here.
        Value::Array(answer) if answer.first().and_then(Value::text) == Some("held") => {
            let mut answer = answer.clone();
            answer[4] = Value::Null;
            Value::Array(answer)
        }
        Value::Array(page) if kind == "HSCAN" => {
            let pairs = page[1].pairs().unwrap();
            let mut pairs: Vec<_> = pairs.map(|(name, at)| [name, at].map(Value::bytes)).collect();
            pairs.sort_unstable();
            let pairs = pairs.into_iter().flatten().map(|it| Value::Bulk(it.unwrap().to_vec()));
            Value::Array(vec![page[0].clone(), Value::Array(pairs.collect())])
        }
        other => other.clone(),
    }
}

/// A read of one or both streams behind numbers that are near their ends.
fn read(both: &Both, dice: &mut Dice, wait: &str) -> Vec<Word> {
    let inbox = keys::inbox(relay(dice.one(&[1, 2, 3])));
    let streams = dice.one(&[&[0][..], &[1], &[0, 1], &[1, 0]]);
    let names: Vec<_> = streams.iter().map(|&it| [keys::CHANGES, &inbox][it]).collect();
    let mut command = words(&format!("XREAD COUNT 3 BLOCK {wait} STREAMS"));
    command.extend(names.iter().map(word));
    for name in names {
        let back = dice.one(&[0, 0, 1, 5, 300]);
        let number = both.last(name).saturating_sub(back);
        let is_changes = name == keys::CHANGES;
        command.push(word(if is_changes { format!("{number}-0") } else { format!("0-{number}") }));
    }
    command
}

/// A command that changes nothing, or is none.
fn other(dice: &mut Dice) -> Vec<Word> {
    words(dice.one(&[
        "PING",
        "HELLO 3",
        "HELLO 4",
        "HELLO 3 AUTH default anything",
        "HELLO 3 AUTH nobody anything",
        "SELECT 0",
        "SELECT 1",
        "SELECT one",
        "INFO memory",
        "GET sealwax:id",
        "GET sealwax:relay-key",
        "GET sealwax:none",
        "GET",
        "HSCAN sealwax:where 0 COUNT 1000",
        "HSCAN sealwax:none 0 COUNT 1000",
        "HSCAN sealwax:where x COUNT 1000",
        "EVALSHA 000000000000000000000000000000000000000x 0",
        "EVALSHA 000000000000000000000000000000000000000x 2 a",
        "EVALSHA 000000000000000000000000000000000000000x x",
        "XREAD COUNT 1 BLOCK 1 STREAMS sealwax:changes",
        "XREAD COUNT x BLOCK 1 STREAMS sealwax:changes 0-0",
        "NONSENSE",
    ]))
}

#[test]
fn the_same_commands_are_answered_the_same() {
    // It looks 500 times a second, and not 10, whether a read has waited for long enough.
    let Some(redis) = Redis::start(&["--databases", "1", "--hz", "500"]) else { return };
    let mut seen = BTreeSet::new();
    for seed in 0..16 {
        redis.plain().ask(&["FLUSHALL"]);
        let (mut both, mut script) = (Both::new(&redis), Script::new(seed));
        let mut dice = Dice::new(seed + 1000);
        both.load();
        both.call(0, &names::init(relay(1), ID, RELAY_KEY));
        for call in Script::beginning() {
            both.call(0, &call);
        }
        let mut waiting: Option<Vec<Word>> = None;
        for _ in 0..300 {
            let at = dice.one(&[0, 1]);
            match dice.below(8) {
                0 => {
                    let command = other(&mut dice);
                    both.ask(at, &command);
                }
                1 => {
                    let command = read(&both, &mut dice, "1");
                    both.ask(at, &command);
                }
                2 if waiting.is_none() => {
                    let command = read(&both, &mut dice, "0");
                    both.send(READER, &command);
                    waiting = Some(command);
                }
                _ => both.call(at, &script.call()),
            }
            if let Some(command) = &waiting
                && let Some(modelled) = both.of_model(READER)
            {
                let real = both.real[READER].answer();
                both.compare(&command.clone(), &real, &modelled);
                waiting = None;
            }
        }
        assert_same_items(&mut redis.plain(), both.model.model());
        seen.extend(both.seen);
    }
    println!("{seen:?}");
    for outcome in [
        "EVALSHA something",
        "EVALSHA NOSCRIPT",
        "EXEC something",
        "XREAD something",
        "XREAD nothing",
    ] {
        assert!(seen.contains(outcome), "{outcome}: {seen:?}");
    }
}

/// An engine without memory, and one that is a replica, at each script.
#[test]
fn the_same_commands_are_refused_the_same() {
    let Some(redis) = Redis::start(&["--databases", "1"]) else { return };
    let setups: [(Trouble, &[&str]); 2] = [
        (Trouble::OutOfMemory, &["CONFIG", "SET", "maxmemory", "1"]),
        (Trouble::ReadOnly, &["REPLICAOF", "127.0.0.1", "1"]),
    ];
    for (trouble, setup) in setups {
        let mut plain = redis.plain();
        plain.ask(&["FLUSHALL"]);
        let (mut both, mut script) = (Both::new(&redis), Script::new(1));
        both.load();
        both.call(0, &names::init(relay(1), ID, RELAY_KEY));
        for call in Script::beginning() {
            both.call(0, &call);
        }
        plain.ask(setup);
        both.model.set_trouble(Some(trouble));
        let mut asked = BTreeSet::new();
        for _ in 0..300 {
            let call = script.call();
            asked.insert(call.script.name());
            let is_lease = call.script == script::Script::Lease;
            // One that is renewed would end at a time of its own at the real server.
            if !is_lease || trouble == Trouble::ReadOnly {
                for command in commands(&call) {
                    both.ask(0, &command);
                }
            }
        }
        assert!(asked.len() + 1 >= script::Script::ALL.len(), "{asked:?}");
        let mut dice = Dice::new(1);
        for _ in 0..100 {
            let command = other(&mut dice);
            both.ask(1, &command);
        }
        let code = if trouble == Trouble::ReadOnly { "READONLY" } else { "OOM" };
        assert!(both.seen.contains(&format!("EVALSHA {code}")), "{:?}", both.seen);
        assert!(both.seen.contains("EVALSHA something"), "{:?}", both.seen);
        for off in [&["CONFIG", "SET", "maxmemory", "0"][..], &["REPLICAOF", "NO", "ONE"]] {
            plain.ask(off);
        }
    }
}
