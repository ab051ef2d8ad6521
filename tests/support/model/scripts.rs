//! `src/cluster/scripts`, those about leases, names and frames.

use sealwax::cluster::limits::{
    CHANGES, ENTRY_BYTES, LEASE, MAX_BOUND_NAMES, MAX_INBOX, MAX_RELAYS, REAPED_A_CALL,
};
use sealwax::cluster::resp::Value;
use sealwax::cluster::script::Script;
use sealwax::limits::MAX_NAMES_PER_KEY;

use super::{Item, Model, Stream, bulk, entry_number, string};

/// An entry of `where`.
pub(super) struct Holder {
    pub(super) value: String,
    pub(super) incarnation: String,
    pub(super) session: String,
    pub(super) version: String,
    pub(super) fp: String,
}

pub(super) fn key(kind: &str, of: &str) -> String {
    format!("sealwax:{kind}:{of}")
}

pub(super) fn word(word: &str) -> Value {
    Value::Array(vec![bulk(word)])
}

pub(super) fn words<const N: usize>(words: [Value; N]) -> Value {
    Value::Array(words.into())
}

fn int(number: usize) -> Value {
    Value::Int(i64::try_from(number).expect("small"))
}

impl Model {
    /// Runs a script.
    pub(super) fn run(&mut self, script: Script, keys: &[String], args: &[&[u8]]) -> Value {
        let needs_no_lease =
            matches!(script, Script::Init | Script::Lease | Script::Find | Script::Forward);
        if !needs_no_lease && !self.exists(&keys[0]) {
            return word("no_lease");
        }
        let text: Vec<String> =
            args.iter().map(|arg| String::from_utf8_lossy(arg).into_owned()).collect();
        let text: Vec<&str> = text.iter().map(String::as_str).collect();
        match script {
            Script::Init => {
                for (key, value) in keys.iter().zip(&args[1..]) {
                    if !self.exists(key) {
                        self.set(key, value);
                    }
                }
                let now = |key| bulk(self.get(key).expect("it was set"));
                words([bulk("initialized"), now(&keys[0]), now(&keys[1])])
            }
            Script::Lease => self.lease(keys, &text),
            Script::Bind => self.bind(keys, &text),
            Script::Unbind => self.unbind(keys, &text),
            Script::Restore => self.restore(keys, &text),
            Script::Claim => self.claim(keys, &text),
            Script::Release => self.release(keys, &text),
            Script::Reap => self.reap(keys, &text),
            Script::Publish => {
                let is_ours = self.holder(text[1]).is_some_and(|held| held.is(text[0], text[2]));
                if !is_ours {
                    return word("not_held");
                }
                self.hset(&keys[1], "prekey", text[3]);
                word("published")
            }
            Script::Find => self.find(keys, &text),
            Script::Forward => {
                let holds = self.exists(&keys[0]);
                if !self.exists(&keys[1]) {
                    self.delete(&keys[2]);
                    return word(if holds { "gone" } else { "no_lease" });
                }
                let bytes: i64 = text[1].parse().expect("a number");
                let waits = self.hget_number(&keys[3], "last") - self.hget_number(&keys[3], "done");
                let most = i64::try_from(MAX_INBOX).expect("fewer");
                let is_full = text[2] == "1" && waits > 0 && waits + bytes > most;
                if holds && !is_full {
                    self.count(&keys[3], bytes);
                    return word("queued");
                }
                if let Some(Item::Stream(stream)) = self.items.get_mut(&keys[2]) {
                    stream.entries.pop_last();
                }
                self.count(&keys[3], 0);
                word(if holds { "full" } else { "no_lease" })
            }
            Script::Drain => {
                let read: u64 = text[1].parse().expect("a number");
                let mut deleted = 0;
                if let Some(Item::Stream(stream)) = self.items.get_mut(&keys[1]) {
                    let before = stream.entries.len();
                    stream.entries = stream.entries.split_off(&(read + 1));
                    deleted = before - stream.entries.len();
                }
                if deleted > 0 {
                    self.hadd(&keys[2], "done", text[2].parse().expect("a number"));
                }
                let is_empty = match self.items.get(&keys[1]) {
                    Some(Item::Stream(stream)) => stream.entries.is_empty(),
                    _ => true,
                };
                if is_empty {
                    let last = self.hget_number(&keys[2], "last").to_string();
                    self.hset(&keys[2], "done", last);
                }
                words([bulk("drained"), int(deleted)])
            }
            Script::Sweep => self.sweep(keys, &text),
            Script::Letterbox => self.letterbox(keys, &text),
            Script::Keep => self.keep(keys, &text, args[8]),
            Script::Deliver => self.deliver(keys, &text),
            Script::Wrote => self.wrote(keys, &text),
            Script::Expire => self.expire(keys, &text),
            Script::MoveLetters => self.move_letters(keys, args),
            Script::MoveKey => self.move_key(keys, &text),
        }
    }

    pub(super) fn lives(&self, incarnation: &str) -> bool {
        self.exists(&key("relay", incarnation))
    }

    pub(super) fn holder(&self, name: &str) -> Option<Holder> {
        let value = string(&self.hget("sealwax:where", name)?);
        let parts: Vec<String> = value.split(' ').map(str::to_owned).collect();
        let [incarnation, session, version, fp] = parts.try_into().expect("four words");
        Some(Holder { value, incarnation, session, version, fp })
    }

    fn note(&mut self, name: &str, value: &str) {
        let number = self.add("sealwax:change", 1).unsigned_abs();
        let epoch = self.get("sealwax:epoch").expect("a lease was taken");
        let fields = [("epoch", epoch), ("name", name.into()), ("where", value.into())];
        self.append("sealwax:changes", number, fields, Some(CHANGES));
    }

    pub(super) fn send(&mut self, own: &str, target: &str, kind: &str, data: &[u8]) {
        let size = i64::try_from(kind.len() + data.len() + ENTRY_BYTES).expect("small");
        self.count(&key("flow", target), size);
        self.append_next(&key("in", target), [kind.into(), own.into(), data.to_vec()]);
    }

    /// Counts an entry that was appended to what waits for a relay.
    fn count(&mut self, flow: &str, bytes: i64) {
        self.hadd(flow, "number", 1);
        self.hadd(flow, "last", bytes);
    }

    fn let_go(&mut self, name: &str) {
        self.hdel("sealwax:where", name);
        let user = key("user", name);
        if self.exists(&key("bound", name)) {
            self.hdel(&user, "prekey");
        } else {
            self.delete(&user);
        }
        self.note(name, "");
    }

    fn sweep(&mut self, keys: &[String], args: &[&str]) -> Value {
        let foreign: Vec<_> = args[2..].iter().filter_map(|id| entry_number(id)).collect();
        let mut stream = match self.items.get(&keys[1]) {
            Some(Item::Stream(stream)) => stream.clone(),
            _ => Stream::default(),
        };
        if !foreign.iter().any(|number| stream.entries.contains_key(number)) {
            return word("swept");
        }
        self.delete(&keys[1]);
        if keys[1] == "sealwax:changes" {
            self.note("", "");
            return word("swept");
        }
        stream.entries.retain(|number, _| !foreign.contains(number));
        let top = stream.entries.keys().next_back().copied();
        let counted = self.hget_number(&keys[2], "number").unsigned_abs();
        let number = counted.max(args[1].parse().expect("a number")).max(top.unwrap_or(0));
        self.hset(&keys[2], "number", number.to_string());
        if top.is_none() {
            let last = self.hget_number(&keys[2], "last").to_string();
            self.hset(&keys[2], "done", last);
        }
        stream.last = top.unwrap_or(number);
        if stream.last > 0 {
            self.items.insert(keys[1].clone(), Item::Stream(stream));
        }
        word("swept")
    }

    fn lease(&mut self, keys: &[String], args: &[&str]) -> Value {
        let [own, what, id, epoch] = *args else { panic!("four") };
        if what == "end" {
            self.delete(&keys[0]);
            return word("ended");
        }
        if self.get(&keys[1]).as_deref() != Some(id.as_bytes()) {
            return word("other_id");
        }
        if what == "take" {
            if self.exists(&keys[0]) {
                return word("exists");
            }
            if self.members(&keys[2]).len() >= MAX_RELAYS {
                return word("full");
            }
            self.set(&keys[0], "1");
            self.sadd(&keys[2], own);
            if !self.exists(&keys[3]) {
                self.set(&keys[3], epoch);
            }
        } else if !self.exists(&keys[0]) {
            return word("gone");
        }
        self.end(&keys[0], LEASE);
        let change = self.get_number(&keys[4]).to_string();
        let inbox = self.hget_number(&key("flow", own), "number").to_string();
        let epoch = bulk(self.get(&keys[3]).expect("an epoch"));
        let relays = self.members(&keys[2]);
        let others = relays.iter().filter(|other| *other != own);
        let ends = others.filter_map(|other| self.ends.get(&key("relay", other)));
        let next_end = ends.min().map_or(LEASE, |end| end.saturating_sub(self.now).min(LEASE));
        let next_end = int(usize::try_from(next_end.as_millis()).expect("small"));
        let mut answer = vec![bulk("held"), epoch, bulk(change), bulk(inbox), next_end];
        answer.extend(relays.iter().filter(|other| !self.lives(other)).map(bulk));
        Value::Array(answer)
    }

    fn bind(&mut self, keys: &[String], args: &[&str]) -> Value {
        let [_, name, fp, may_be_new] = *args else { panic!("four") };
        if let Some(owner) = self.get(&keys[1]) {
            return word(if owner == fp.as_bytes() { "bound" } else { "name_bound" });
        }
        if may_be_new != "1" {
            return word("not_now");
        }
        if self.holder(name).is_some_and(|held| self.lives(&held.incarnation)) {
            return word("name_in_use");
        }
        if self.members(&keys[2]).len() >= MAX_NAMES_PER_KEY {
            return word("key_full");
        }
        if self.get_number(&keys[3]).unsigned_abs() >= MAX_BOUND_NAMES as u64 {
            return word("full");
        }
        self.set(&keys[1], fp);
        let released = key("unbound", name);
        if self.get(&released).as_deref() == Some(fp.as_bytes()) {
            self.delete(&released);
        }
        self.sadd(&keys[2], name);
        self.add(&keys[3], 1);
        word("new")
    }

    fn unbind(&mut self, keys: &[String], args: &[&str]) -> Value {
        let [own, name] = *args else { panic!("two") };
        let Some(owner) = self.get(&keys[1]) else { return word("not_bound") };
        let owner = String::from_utf8(owner).expect("a fingerprint");
        self.delete(&keys[1]);
        self.srem(&key("names", &owner), name);
        self.set(&keys[2], &owner);
        self.add(&keys[3], -1);
        self.forget_letters(name);
        for other in self.members(&keys[4]) {
            if other != own && self.lives(&other) {
                self.send(own, &other, "released", name.as_bytes());
            }
        }
        word("unbound")
    }

    fn restore(&mut self, keys: &[String], args: &[&str]) -> Value {
        let names = args[1..].chunks(2);
        let count = self.get_number(&keys[1]).unsigned_abs() + names.len() as u64;
        if count > MAX_BOUND_NAMES as u64 {
            return word("full");
        }
        let mut answer = vec![bulk("restored")];
        for (pair, keys_of) in names.zip(keys[2..].chunks(2)) {
            let released = self.get(&key("unbound", pair[0]));
            let is_released = released.as_deref() == Some(pair[1].as_bytes());
            let why = bulk(if is_released { "released" } else { "other" });
            match self.get(&keys_of[0]) {
                None if is_released => answer.extend([bulk(pair[0]), why]),
                None => {
                    self.set(&keys_of[0], pair[1]);
                    self.sadd(&keys_of[1], pair[0]);
                    self.add(&keys[1], 1);
                }
                Some(owner) if owner != pair[1].as_bytes() => {
                    answer.extend([bulk(pair[0]), why]);
                }
                Some(_) => {}
            }
        }
        Value::Array(answer)
    }

    fn claim(&mut self, keys: &[String], args: &[&str]) -> Value {
        let [own, name, session, version, fp, pem, prekey, again] = *args else { panic!("eight") };
        let owner = self.get(&keys[3]);
        if version == "2" && owner.is_none() {
            return word("not_bound");
        }
        if owner.is_some_and(|owner| version != "2" || owner != fp.as_bytes()) {
            return word("name_bound");
        }
        let value = [own, session, version, fp].join(" ");
        let mut answer = word("taken");
        let other = self.holder(name);
        let is_new = other.as_ref().is_none_or(|held| held.value != value);
        if let Some(held) = other.filter(|_| is_new) {
            if self.lives(&held.incarnation) {
                let is_same = version == "2" && held.version == "2" && held.fp == fp;
                if again == "1" || !is_same {
                    return word("name_in_use");
                }
                if held.incarnation != own {
                    let data = format!("{} {name}", held.session);
                    self.send(own, &held.incarnation, "replaced", data.as_bytes());
                }
                answer = words(["replaced", &held.incarnation, &held.session].map(bulk));
            }
            self.zrem(&key("of", &held.incarnation), name);
        }
        self.hset(&keys[1], name, &value);
        self.zadd(&keys[2], session.parse().expect("a number"), name);
        for (field, value) in [("fp", fp), ("pem", pem), ("prekey", prekey)] {
            self.hset(&keys[4], field, value);
        }
        if is_new {
            self.note(name, &value);
        }
        answer
    }

    fn release(&mut self, keys: &[String], args: &[&str]) -> Value {
        let [own, name, session] = *args else { panic!("three") };
        if !self.holder(name).is_some_and(|held| held.is(own, session)) {
            return word("not_held");
        }
        self.zrem(&keys[1], name);
        self.let_go(name);
        word("released")
    }

    fn reap(&mut self, keys: &[String], args: &[&str]) -> Value {
        let [_, dead] = *args else { panic!("two") };
        if self.lives(dead) {
            return word("alive");
        }
        let all = self.sorted(&keys[1]);
        let names: Vec<_> = all.iter().take(REAPED_A_CALL).map(|(_, name)| name).collect();
        for name in &names {
            self.zrem(&keys[1], name);
            if self.holder(name).is_some_and(|held| held.incarnation == dead) {
                self.let_go(name);
            }
        }
        let left = all.len() - names.len();
        if left == 0 {
            self.delete(&keys[2]);
            self.delete(&keys[3]);
            self.srem(&keys[4], dead);
        }
        words([bulk("reaped"), int(names.len()), int(left)])
    }

    fn find(&self, keys: &[String], args: &[&str]) -> Value {
        let [_, name, now] = *args else { panic!("three") };
        let held = self.holder(name).filter(|held| self.lives(&held.incarnation));
        let user = |field| self.hget(&keys[0], field);
        let prekey = user("prekey").filter(|_| held.is_some());
        let now: u64 = now.parse().expect("a number");
        let expires = self.hget_number(&keys[0], "key_expires").unsigned_abs();
        let letter_key = user("key_json").filter(|_| expires > now);
        let place = held.map(|held| held.value.into_bytes());
        let all = [place, self.get(&keys[1]), user("pem"), prekey, letter_key];
        let mut answer = vec![bulk("found")];
        answer.extend(all.map(|value| bulk(value.unwrap_or_default())));
        Value::Array(answer)
    }
}

impl Holder {
    fn is(&self, incarnation: &str, session: &str) -> bool {
        self.incarnation == incarnation && self.session == session
    }
}
