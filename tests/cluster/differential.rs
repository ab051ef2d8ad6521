//! The model against a real `redis-server`: calls at random, each answer, and what lies under each
//! key in the end.

use std::collections::{BTreeMap, BTreeSet};

use sealwax::cluster::letters::{self, LetterToKeep, LetterUser, LettersWanted};
use sealwax::cluster::resp::Value;
use sealwax::cluster::script::Call;
use sealwax::cluster::{limits, names};
use sealwax::wire::{LetterKind, TakeMode};

use crate::support::fixtures::letter_key;
use crate::support::model::{Item, Model, Stream, entry_number};
use crate::support::redis::{Connection, Plain, Redis};
use crate::world::{ID, RELAY_KEY, START, Script, fp, relay, settings, take};

/// What a call answers in the model.
pub fn call(model: &mut Model, call: &Call) -> Value {
    model.call(call)
}

fn text(value: &Value) -> String {
    value.text().unwrap_or_else(|| panic!("{value:?}")).to_owned()
}

/// What lies under each key of ours in the real engine.
pub fn items(plain: &mut Plain) -> BTreeMap<String, Item> {
    let all = plain.ask(&["KEYS", "sealwax:*"]);
    let keys: BTreeSet<String> = all.array().unwrap().iter().map(text).collect();
    keys.into_iter().map(|key| (key.clone(), item(plain, &key))).collect()
}

fn item(plain: &mut Plain, key: &str) -> Item {
    let bytes = |value: &Value| value.bytes().unwrap().to_vec();
    match &*text(&plain.ask(&["TYPE", key])) {
        "string" => Item::Text(bytes(&plain.ask(&["GET", key]))),
        "hash" => {
            let all = plain.ask(&["HGETALL", key]);
            Item::Hash(all.pairs().unwrap().map(|(name, it)| (text(name), bytes(it))).collect())
        }
        "set" => {
            let all = plain.ask(&["SMEMBERS", key]);
            Item::Set(all.array().unwrap().iter().map(text).collect())
        }
        "zset" => {
            let all = plain.ask(&["ZRANGE", key, "0", "-1", "WITHSCORES"]);
            let pair = |(name, score): (&Value, &Value)| (text(name), score.number().unwrap());
            Item::Sorted(all.pairs().unwrap().map(pair).collect())
        }
        "stream" => {
            let number = |id: &Value| entry_number(&text(id)).unwrap();
            let info = plain.ask(&["XINFO", "STREAM", key]);
            let mut info = info.pairs().unwrap();
            let (_, last) =
                info.find(|(name, _)| text(name) == "last-generated-id").expect("an id");
            let mut stream = Stream { last: number(last), ..Stream::default() };
            for entry in plain.ask(&["XRANGE", key, "-", "+"]).array().unwrap() {
                let [id, fields] = entry.array().unwrap() else { panic!("{entry:?}") };
                let fields = fields.pairs().unwrap().map(|(name, it)| (text(name), bytes(it)));
                stream.entries.insert(number(id), fields.collect());
            }
            Item::Stream(stream)
        }
        other => panic!("{key} is a {other}"),
    }
}

/// Panics where both differ, and says where first.
pub fn assert_same_items(plain: &mut Plain, model: &Model) {
    let (real, modelled) = (items(plain), model.items());
    let keys: BTreeSet<_> = real.keys().chain(modelled.keys()).collect();
    for key in keys {
        assert!(
            real.get(key) == modelled.get(key),
            "{key}:\nreal  {:?}\nmodel {:?}",
            real.get(key),
            modelled.get(key)
        );
    }
}

/// The word that an answer begins with.
fn word(answer: &Value) -> String {
    answer.array().and_then(|all| all.first()).map_or_else(|| format!("{answer:?}"), text)
}

#[test]
fn the_model_answers_as_the_real_engine_does() {
    let Some(redis) = Redis::start(&[]) else { return };
    let mut plain = redis.plain();
    let mut seen: BTreeMap<(&str, String), usize> = BTreeMap::new();
    for seed in 0..16 {
        plain.ask(&["FLUSHALL"]);
        let mut connection = Connection::open(&redis, relay(1), &settings()).unwrap();
        let (mut model, mut script) = (Model::default(), Script::new(seed));
        call(&mut model, &names::init(relay(1), ID, RELAY_KEY));
        let mut calls = if seed % 2 == 0 { Script::beginning() } else { Vec::new() };
        calls.extend((0..300).map(|_| if seed % 2 == 0 { script.letter() } else { script.call() }));
        calls.extend((0..300).map(|_| script.call()));
        let answers = connection.call_all(&calls).unwrap();
        for (number, (asked, real)) in calls.iter().zip(answers).enumerate() {
            *seen.entry((asked.script.name(), word(&real))).or_default() += 1;
            let modelled = call(&mut model, asked);
            let args: Vec<_> = asked.args.iter().map(|it| String::from_utf8_lossy(it)).collect();
            let args: Vec<_> =
                args.iter().map(|it| it.chars().take(60).collect::<String>()).collect();
            assert!(modelled == real, "seed {seed}, call {number}: {:?} {args:?}", asked.script);
        }
        assert_same_items(&mut plain, &model);
    }
    // Calls at random that only fail would prove little.
    let outcomes: Vec<_> =
        seen.iter().map(|((script, word), n)| format!("{script} {word} {n}")).collect();
    println!("{}", outcomes.join("\n"));
    for (script, words) in OUTCOMES {
        for word in *words {
            let count = seen.get(&(*script, (*word).to_owned()));
            assert!(count.is_some(), "no call of {script} answered {word}");
        }
    }
}

/// What the calls at random have to meet.
const OUTCOMES: &[(&str, &[&str])] = &[
    ("init", &["initialized"]),
    ("lease", &["held", "exists", "gone", "other_id", "ended"]),
    ("bind", &["new", "bound", "not_now", "name_bound", "name_in_use", "no_lease"]),
    ("unbind", &["unbound", "not_bound", "no_lease"]),
    ("restore", &["restored", "no_lease"]),
    ("claim", &["taken", "replaced", "not_bound", "name_bound", "name_in_use", "no_lease"]),
    ("release", &["released", "not_held", "no_lease"]),
    ("publish", &["published", "not_held", "no_lease"]),
    ("reap", &["reaped", "alive", "no_lease"]),
    ("find", &["found"]),
    ("forward", &["queued", "full", "gone", "no_lease"]),
    ("drain", &["drained", "no_lease"]),
    ("sweep", &["swept", "no_lease"]),
    ("letterbox", &["letterbox", "stale_key", "released", "no_lease"]),
    (
        "keep",
        &[
            "kept",
            "released",
            "unknown_user",
            "closed",
            "no_key",
            "key_expired",
            "stale_key",
            "all_full",
            "sender_full",
            "stranger_full",
            "box_full",
            "no_lease",
        ],
    ),
    ("deliver", &["delivered", "no_lease"]),
    ("wrote", &["noted", "no_lease"]),
    ("expire", &["expired", "no_lease"]),
    ("move_letters", &["moved", "all_full", "no_lease"]),
    ("move_key", &["moved", "not_bound", "no_lease"]),
];

/// What calls at random rarely meet: a part of a box that is full by the number of its letters, and
/// takes letters again when three quarters of it are in use.
#[test]
fn a_part_of_a_box_fills_and_opens_at_the_same_letter() {
    let Some(redis) = Redis::start(&[]) else { return };
    let (own, alice) = (relay(1), fp(1));
    let mut connection = Connection::open(&redis, own, &settings()).unwrap();
    let mut model = Model::default();
    call(&mut model, &names::init(own, ID, RELAY_KEY));
    let mut both = |asked: &Call| {
        let real = connection.call(asked).unwrap();
        assert_eq!(call(&mut model, asked), real);
        word(&real)
    };
    both(&take(own));
    let owner = LetterUser { name: "alice", fp: &alice };
    both(&names::bind(own, "alice", &alice, true));
    both(&letters::letterbox(own, owner, "", &letter_key(1, START, START + 1000), START));
    let senders: Vec<_> = (0..5).map(|it| (format!("sender{it}"), fp(10 + it))).collect();
    for (name, fp) in &senders {
        both(&names::bind(own, name, fp, true));
    }
    let letter = |sender: usize, id: &str| {
        let (name, fp) = &senders[sender];
        let (from, kind) = (LetterUser { name, fp }, LetterKind::Text);
        let letter = LetterToKeep { from, to: "alice", id, kind, key_id: 1, kept: b"a letter" };
        letters::keep(own, &letter, START, 1 << 30)
    };
    let mut ids = (0..).map(|number| format!("id {number}"));
    let mut id = || ids.next().unwrap();
    let per_sender = limits::STRANGER_LETTERS as usize;
    for sender in 0..4 {
        for _ in 0..per_sender {
            assert_eq!(both(&letter(sender, &id())), "kept");
        }
        assert_eq!(both(&letter(sender, &id())), "stranger_full");
    }
    assert_eq!(both(&letter(4, &id())), "box_full");
    let whole = u64::from(limits::BOX_LETTERS / 4);
    let rest = whole / u64::from(limits::FULL_OF) * u64::from(limits::FULL_UNTIL);
    for number in 1..=whole - rest {
        assert_eq!(both(&letter(4, &id())), "box_full", "{number}");
        let acknowledged = &[number];
        let (take, letters, bytes) = (TakeMode::All, 16, 1000);
        let wanted = LettersWanted { owner, take, after: number, letters, bytes, acknowledged };
        assert_eq!(both(&letters::deliver(own, &wanted)), "delivered");
    }
    for _ in 0..per_sender {
        assert_eq!(both(&letter(4, &id())), "kept");
    }
    assert_eq!(both(&letter(0, &id())), "box_full");
    assert_same_items(&mut redis.plain(), &model);
}
