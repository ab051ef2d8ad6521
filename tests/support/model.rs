//! The engine in memory: Redis as far as relays use it, with our scripts written a second time in
//! Rust. Deterministic: its clock moves when a test moves it.
//!
//! `scripts.rs` and `letters.rs` are the scripts, `server.rs` is what a relay connects to.
//! `tests/cluster/differential.rs` and `commands.rs` compare all of it with a real `redis-server`:
//! each answer, and what lies under each key afterwards.

mod letters;
mod scripts;
pub mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sealwax::cluster::resp::Value;
use sealwax::cluster::script::Call;

/// What lies under a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    Text(Vec<u8>),
    Hash(BTreeMap<String, Vec<u8>>),
    Set(BTreeSet<String>),
    Sorted(BTreeMap<String, u64>),
    Stream(Stream),
}

/// A stream, whose ids all end with `-0`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stream {
    pub entries: BTreeMap<u64, Vec<(String, Vec<u8>)>>,
    pub last: u64,
}

/// The engine.
#[derive(Clone, Debug, Default)]
pub struct Model {
    items: BTreeMap<String, Item>,
    /// When keys end that do.
    ends: BTreeMap<String, Duration>,
    now: Duration,
    /// Streams that were appended to since this was last taken, in order.
    appended: Vec<String>,
}

pub(super) fn bulk(text: impl AsRef<[u8]>) -> Value {
    Value::Bulk(text.as_ref().to_vec())
}

fn string(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

impl Model {
    /// Moves the clock, and ends what ends meanwhile.
    pub fn advance(&mut self, by: Duration) {
        self.now += by;
        let now = self.now;
        for (key, _) in self.ends.extract_if(.., |_, end| *end <= now) {
            self.items.remove(&key);
        }
    }

    /// Forgets everything, as an engine that is started without its data.
    pub fn empty(&mut self) {
        self.items.clear();
        self.ends.clear();
    }

    /// What lies under each key.
    pub const fn items(&self) -> &BTreeMap<String, Item> {
        &self.items
    }

    /// Runs a script.
    pub fn call(&mut self, call: &Call) -> Value {
        if let Some(command) = &call.before {
            self.append_command(command);
        }
        let args: Vec<&[u8]> = call.args.iter().map(Vec::as_slice).collect();
        self.run(call.script, &call.keys, &args)
    }

    /// What stands behind these numbers in these streams, at most so many entries of each.
    pub fn read(&self, most: usize, streams: &[(String, u64)]) -> Value {
        let mut found = Vec::new();
        for (key, after) in streams {
            let Some(Item::Stream(stream)) = self.items.get(key) else { continue };
            let entries: Vec<_> = stream
                .entries
                .range(after + 1..)
                .take(most)
                .map(|(id, it)| entry(&entry_id(key, *id), it))
                .collect();
            if !entries.is_empty() {
                found.extend([bulk(key), Value::Array(entries)]);
            }
        }
        if found.is_empty() { Value::Null } else { Value::Map(found) }
    }

    /// Something else than a relay appends to what waits for one that lives, so many numbers behind
    /// its last entry.
    pub fn append_foreign(&mut self, relay: &str, ahead: u64) {
        let inbox = scripts::key("in", relay);
        if self.lives(relay) {
            let fields = ["who", "else", "writes"].map(|name| (name, Vec::new()));
            self.append(&inbox, self.last(&inbox) + ahead, fields, None);
        }
    }

    // --- What scripts call, by the commands' names. A key that would be empty is deleted. ---

    fn exists(&self, key: &str) -> bool {
        self.items.contains_key(key)
    }

    fn delete(&mut self, key: &str) -> bool {
        self.ends.remove(key);
        self.items.remove(key).is_some()
    }

    fn get(&self, key: &str) -> Option<Vec<u8>> {
        match self.items.get(key)? {
            Item::Text(text) => Some(text.clone()),
            other => panic!("{key}: {other:?}"),
        }
    }

    fn get_number(&self, key: &str) -> i64 {
        self.get(key).map_or(0, |text| string(&text).parse().expect("a number"))
    }

    fn set(&mut self, key: &str, text: impl AsRef<[u8]>) {
        self.items.insert(key.to_owned(), Item::Text(text.as_ref().to_vec()));
    }

    /// It ends after this long.
    fn end(&mut self, key: &str, after: Duration) {
        self.ends.insert(key.to_owned(), self.now + after);
    }

    fn add(&mut self, key: &str, by: i64) -> i64 {
        let number = self.get_number(key) + by;
        self.set(key, number.to_string());
        number
    }

    fn hash(&self, key: &str) -> BTreeMap<String, Vec<u8>> {
        match self.items.get(key) {
            Some(Item::Hash(hash)) => hash.clone(),
            None => BTreeMap::new(),
            other => panic!("{key}: {other:?}"),
        }
    }

    fn hget(&self, key: &str, field: &str) -> Option<Vec<u8>> {
        match self.items.get(key)? {
            Item::Hash(hash) => hash.get(field).cloned(),
            other => panic!("{key}: {other:?}"),
        }
    }

    fn hget_number(&self, key: &str, field: &str) -> i64 {
        self.hget(key, field).map_or(0, |text| string(&text).parse().expect("a number"))
    }

    fn hset(&mut self, key: &str, field: &str, value: impl AsRef<[u8]>) {
        let hash = self.items.entry(key.to_owned()).or_insert(Item::Hash(BTreeMap::new()));
        let Item::Hash(hash) = hash else { panic!("{key}") };
        hash.insert(field.to_owned(), value.as_ref().to_vec());
    }

    fn hadd(&mut self, key: &str, field: &str, by: i64) -> i64 {
        let number = self.hget_number(key, field) + by;
        self.hset(key, field, number.to_string());
        number
    }

    fn hdel(&mut self, key: &str, field: &str) {
        let Some(Item::Hash(hash)) = self.items.get_mut(key) else { return };
        hash.remove(field);
        if hash.is_empty() {
            self.items.remove(key);
        }
    }

    fn members(&self, key: &str) -> BTreeSet<String> {
        match self.items.get(key) {
            Some(Item::Set(set)) => set.clone(),
            None => BTreeSet::new(),
            other => panic!("{key}: {other:?}"),
        }
    }

    fn sadd(&mut self, key: &str, member: &str) {
        let set = self.items.entry(key.to_owned()).or_insert(Item::Set(BTreeSet::new()));
        let Item::Set(set) = set else { panic!("{key}") };
        set.insert(member.to_owned());
    }

    fn srem(&mut self, key: &str, member: &str) {
        let Some(Item::Set(set)) = self.items.get_mut(key) else { return };
        set.remove(member);
        if set.is_empty() {
            self.items.remove(key);
        }
    }

    /// By score, and then by name.
    fn sorted(&self, key: &str) -> BTreeSet<(u64, String)> {
        match self.items.get(key) {
            Some(Item::Sorted(all)) => all.iter().map(|(name, at)| (*at, name.clone())).collect(),
            None => BTreeSet::new(),
            other => panic!("{key}: {other:?}"),
        }
    }

    fn score(&self, key: &str, member: &str) -> Option<u64> {
        match self.items.get(key)? {
            Item::Sorted(all) => all.get(member).copied(),
            other => panic!("{key}: {other:?}"),
        }
    }

    fn zadd(&mut self, key: &str, score: u64, member: &str) {
        let all = self.items.entry(key.to_owned()).or_insert(Item::Sorted(BTreeMap::new()));
        let Item::Sorted(all) = all else { panic!("{key}") };
        all.insert(member.to_owned(), score);
    }

    fn zrem(&mut self, key: &str, member: &str) {
        let Some(Item::Sorted(all)) = self.items.get_mut(key) else { return };
        all.remove(member);
        if all.is_empty() {
            self.items.remove(key);
        }
    }

    /// `XADD key 0-* …`
    fn append_command(&mut self, command: &[Vec<u8>]) -> Value {
        let [_, key, _, kind_name, kind, from_name, from, data_name, data] = command else {
            panic!("another command stands before a script")
        };
        let names = [kind_name, from_name, data_name].map(|name| string(name));
        assert_eq!(names, ["kind", "from", "data"]);
        let key = string(key);
        let id = self.append_next(&key, [kind, from, data].map(Vec::clone));
        bulk(entry_id(&key, id))
    }

    fn append_next(&mut self, key: &str, [kind, from, data]: [Vec<u8>; 3]) -> u64 {
        let number = self.last(key) + 1;
        self.append(key, number, [("kind", kind), ("from", from), ("data", data)], None);
        number
    }

    /// The number of the last entry that a stream ever had.
    fn last(&self, key: &str) -> u64 {
        match self.items.get(key) {
            Some(Item::Stream(stream)) => stream.last,
            _ => 0,
        }
    }

    fn append(&mut self, key: &str, id: u64, fields: [(&str, Vec<u8>); 3], most: Option<usize>) {
        let stream = self.items.entry(key.to_owned()).or_insert(Item::Stream(Stream::default()));
        let Item::Stream(stream) = stream else { panic!("{key}") };
        assert!(id > stream.last, "{key}: ids ascend");
        self.appended.push(key.to_owned());
        stream.last = id;
        let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        stream.entries.insert(id, fields);
        while most.is_some_and(|most| stream.entries.len() > most) {
            stream.entries.pop_first();
        }
    }
}

/// The id of an entry: the number of an entry that waits for a relay is the second part of it.
fn entry_id(key: &str, number: u64) -> String {
    if key.starts_with("sealwax:in:") { format!("0-{number}") } else { format!("{number}-0") }
}

/// The number in an id.
pub fn entry_number(id: &str) -> Option<u64> {
    id.strip_prefix("0-").or_else(|| id.strip_suffix("-0"))?.parse().ok()
}

fn entry(id: &str, fields: &[(String, Vec<u8>)]) -> Value {
    let fields = fields.iter().flat_map(|(name, value)| [bulk(name), bulk(value)]).collect();
    Value::Array(vec![bulk(id), Value::Array(fields)])
}
