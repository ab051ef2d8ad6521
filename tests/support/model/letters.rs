//! `src/cluster/scripts`, those about letters.

use std::collections::BTreeMap;

use sealwax::cluster::limits::{
    BOX_BYTES, BOX_CLOSED, BOX_LETTERS, FULL_OF, FULL_UNTIL, LETTER_KEY_GRACE, SENDER_BYTES,
    STRANGER_LETTERS, UPKEEP_LETTERS, WRITTEN_KEPT,
};
use sealwax::cluster::resp::Value;
use sealwax::limits::CLOCK_SKEW;

use super::scripts::{key, word, words};
use super::{Model, bulk, string};

const DAY: u64 = 24 * 3600 * 1000;

/// What is known of a letter.
struct Letter {
    number: u64,
    kind: String,
    share: u8,
    key_id: String,
    bytes: u64,
    sender: String,
    id: String,
}

fn parse(number: &str, value: &[u8]) -> Letter {
    let value = string(value);
    let parts: Vec<&str> = value.splitn(7, ' ').collect();
    let [_, kind, share, key_id, bytes, sender, id] = *parts else { panic!("{value}") };
    Letter {
        number: number.parse().expect("a number"),
        kind: kind.to_owned(),
        share: share.parse().expect("a number"),
        key_id: key_id.to_owned(),
        bytes: bytes.parse().expect("a number"),
        sender: sender.to_owned(),
        id: id.to_owned(),
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).expect("small")
}

fn number(text: &str) -> u64 {
    text.parse().expect("a number")
}

impl Model {
    fn read_box(&self, name: &str) -> Vec<Letter> {
        let all = self.hash(&key("box", name));
        let mut letters: Vec<_> = all.iter().map(|(number, it)| parse(number, it)).collect();
        letters.sort_by_key(|letter| letter.number);
        letters
    }

    fn remove_letter(&mut self, name: &str, number: &str) -> bool {
        let Some(value) = self.hget(&key("box", name), number) else { return false };
        let letter = parse(number, &value);
        let sent = key("sent", &letter.sender);
        self.hdel(&key("box", name), number);
        self.hdel(&key("content", name), number);
        self.zrem("sealwax:ages", &format!("{name} {number}"));
        self.add("sealwax:letter-bytes", -signed(letter.bytes));
        for (field, by) in [("*", signed(letter.bytes)), (name, 1)] {
            if self.hadd(&sent, field, -by) <= 0 {
                self.hdel(&sent, field);
            }
        }
        true
    }

    fn put(
        &mut self,
        name: &str,
        at: u64,
        (kind, share, key_id): (&str, u8, &str),
        (sender, id): (&str, &str),
        content: &[u8],
    ) {
        let (number, bytes) = (self.add("sealwax:letters", 1).to_string(), content.len() as u64);
        let known = format!("{at} {kind} {share} {key_id} {bytes} {sender} {id}");
        self.hset(&key("box", name), &number, known);
        self.hset(&key("content", name), &number, content);
        self.add("sealwax:letter-bytes", signed(bytes));
        self.hadd(&key("sent", sender), "*", signed(bytes));
        self.hadd(&key("sent", sender), name, 1);
        self.zadd("sealwax:ages", at, &format!("{name} {number}"));
    }

    fn tell_owner(&mut self, own: &str, name: &str, kind: &str) {
        let other = self.holder(name).map(|owner| owner.incarnation);
        if let Some(other) = other.filter(|other| other != own && self.lives(other)) {
            self.send(own, &other, "letter", format!("{kind} {name}").as_bytes());
        }
    }

    fn note_written(&mut self, owner: &str, other: &str, fp: &str, now: u64) {
        let (written, member) = (key("written", owner), format!("{other} {fp}"));
        if self.score(&written, &member).is_some_and(|at| at + DAY >= now) {
            return;
        }
        self.zadd(&written, now, &member);
        self.trim_written(&written);
    }

    /// A name is bound no more: its box, its letter key, and what it stored.
    pub(super) fn forget_letters(&mut self, name: &str) {
        let boxes = self.hash(&key("sent", name)).into_keys().filter(|field| field != "*");
        for owner in [name.to_owned()].into_iter().chain(boxes) {
            for letter in self.read_box(&owner) {
                if owner == name || letter.sender == name {
                    self.remove_letter(&owner, &letter.number.to_string());
                }
            }
        }
        self.delete(&key("written", name));
        let user = key("user", name);
        if self.holder(name).is_none() {
            self.delete(&user);
            return;
        }
        let of_key = ["key_id", "key_created", "key_expires", "key_json"];
        let older = ["old_key_id", "old_key_until", "full0", "full1", "full2"];
        for field in of_key.into_iter().chain(older) {
            self.hdel(&user, field);
        }
    }

    pub(super) fn letterbox(&mut self, keys: &[String], args: &[&str]) -> Value {
        let [_, now, name, fp, pem, id, created, expires, json] = *args else { panic!("nine") };
        let now = number(now);
        if self.get(&keys[1]).as_deref() != Some(fp.as_bytes()) {
            return word("released");
        }
        self.hset(&keys[2], "fp", fp);
        self.hset(&keys[2], "pem", pem);
        let at = self.hget_number(&keys[2], "key_created").unsigned_abs();
        let skew = u64::try_from(CLOCK_SKEW.as_millis()).expect("small");
        if at > number(created) && at <= now + skew {
            return word("stale_key");
        }
        let newest = self.hget(&keys[2], "key_id");
        if newest.as_deref() != Some(id.as_bytes()) {
            if let Some(newest) = newest {
                let grace = u64::try_from(LETTER_KEY_GRACE.as_millis()).expect("small");
                self.hset(&keys[2], "old_key_id", newest);
                self.hset(&keys[2], "old_key_until", (now + grace).to_string());
            }
            let fields = [("key_id", id), ("key_created", created), ("key_expires", expires)];
            for (field, value) in fields.into_iter().chain([("key_json", json)]) {
                self.hset(&keys[2], field, value);
            }
        }
        let mut counts: BTreeMap<u64, i64> = BTreeMap::new();
        for letter in self.read_box(name) {
            *counts.entry(number(&letter.key_id)).or_default() += 1;
        }
        let counts = counts.into_iter();
        let counts = counts.flat_map(|(id, count)| [bulk(id.to_string()), Value::Int(count)]);
        Value::Array([bulk("letterbox")].into_iter().chain(counts).collect())
    }

    pub(super) fn keep(&mut self, keys: &[String], args: &[&str], content: &[u8]) -> Value {
        let [own, now, sender, fp, to, id, kind, key_id, _, most] = *args else { panic!("ten") };
        let (now, bytes) = (number(now), content.len() as u64);
        if self.get(&keys[1]).as_deref() != Some(fp.as_bytes()) {
            return word("released");
        }
        let letters = self.read_box(to);
        if letters.iter().any(|letter| letter.sender == sender && letter.id == id) {
            return word("kept");
        }
        let Some(to_fp) = self.get(&keys[2]).map(|fp| string(&fp)) else {
            return word("unknown_user");
        };
        if self.exists(&keys[11]) {
            return word("closed");
        }
        let field = |field| self.hget(&keys[3], field).map(|value| string(&value));
        let Some(newest) = field("key_id") else { return word("no_key") };
        if field("key_expires").is_none_or(|expires| number(&expires) <= now) {
            return word("key_expired");
        }
        let is_old = field("old_key_id").as_deref() == Some(key_id)
            && field("old_key_until").is_some_and(|until| now < number(&until));
        if newest != key_id && !is_old {
            return word("stale_key");
        }
        let knows = self.score(&keys[6], &format!("{sender} {fp}")).is_some();
        let share = match (knows, kind) {
            (false, _) => 1,
            (true, "0") => 0,
            (true, _) => 2,
        };
        if let Some(refusal) = self.want_of_room(keys, &letters, (share, bytes), (to, most)) {
            return word(refusal);
        }
        self.put(to, now, (kind, share, key_id), (sender, id), content);
        if kind == "0" {
            self.note_written(sender, to, &to_fp, now);
        }
        self.tell_owner(own, to, kind);
        word("kept")
    }

    fn want_of_room(
        &mut self,
        keys: &[String],
        letters: &[Letter],
        (share, bytes): (u8, u64),
        (to, most): (&str, &str),
    ) -> Option<&'static str> {
        if self.get_number(&keys[8]).unsigned_abs() + bytes > number(most) {
            return Some("all_full");
        }
        if self.hget_number(&keys[7], "*").unsigned_abs() + bytes > SENDER_BYTES.into() {
            return Some("sender_full");
        }
        if share == 1 && self.hget_number(&keys[7], to) >= STRANGER_LETTERS.into() {
            return Some("stranger_full");
        }
        let part = if share == 0 { 2 } else { 4 };
        let (most_letters, most_bytes) =
            (u64::from(BOX_LETTERS / part), u64::from(BOX_BYTES / part));
        let same: Vec<_> = letters.iter().filter(|letter| letter.share == share).collect();
        let (held, held_bytes) =
            (same.len() as u64, same.iter().map(|letter| letter.bytes).sum::<u64>());
        let rest = |whole: u64| whole / u64::from(FULL_OF) * u64::from(FULL_UNTIL);
        let field = format!("full{share}");
        let stays = self.hget(&keys[3], &field).is_some()
            && (held > rest(most_letters) || held_bytes > rest(most_bytes));
        if held >= most_letters || held_bytes + bytes > most_bytes || stays {
            self.hset(&keys[3], &field, "1");
            return Some("box_full");
        }
        self.hdel(&keys[3], &field);
        None
    }

    pub(super) fn deliver(&mut self, keys: &[String], args: &[&str]) -> Value {
        let [_, name, fp, take, after, most, room, ref acknowledged @ ..] = *args else {
            panic!("seven")
        };
        if self.get(&keys[1]).as_deref() != Some(fp.as_bytes()) {
            return words([bulk("delivered"), Value::Int(0), bulk("0")]);
        }
        let mut deleted = 0;
        for number in acknowledged {
            deleted += i64::from(self.remove_letter(name, number));
        }
        let (mut more, mut room, mut found) = ("0", number(room), Vec::new());
        for letter in self.read_box(name) {
            if letter.number <= number(after) || (take != "all" && letter.kind != "1") {
                continue;
            }
            if found.len() as u64 / 2 == number(most) || (letter.bytes > room && !found.is_empty())
            {
                more = "1";
                break;
            }
            room = room.saturating_sub(letter.bytes);
            let number = letter.number.to_string();
            let content = self.hget(&keys[2], &number).expect("each letter has its content");
            found.extend([bulk(number), bulk(content)]);
        }
        let head = [bulk("delivered"), Value::Int(deleted), bulk(more)];
        Value::Array(head.into_iter().chain(found).collect())
    }

    pub(super) fn wrote(&mut self, keys: &[String], args: &[&str]) -> Value {
        let [_, now, owner, fp, other] = *args else { panic!("five") };
        if let Some(other_fp) = self.get(&keys[2])
            && self.get(&keys[1]).as_deref() == Some(fp.as_bytes())
        {
            self.note_written(owner, other, &string(&other_fp), number(now));
        }
        word("noted")
    }

    pub(super) fn expire(&mut self, keys: &[String], args: &[&str]) -> Value {
        let [_, before] = *args else { panic!("two") };
        let all = self.sorted(&keys[1]).into_iter();
        let old = all.take_while(|(at, _)| *at < number(before)).take(UPKEEP_LETTERS as usize);
        let mut deleted = 0;
        for (_, member) in old {
            let (name, number) = member.split_once(' ').expect("a name and a number");
            deleted += i64::from(self.remove_letter(name, number));
        }
        words([bulk("expired"), Value::Int(deleted)])
    }

    pub(super) fn move_letters(&mut self, keys: &[String], args: &[&[u8]]) -> Value {
        let head: Vec<String> = args[1..5].iter().map(|arg| string(arg)).collect();
        let [to, fp, most, is_last] = &*head else { panic!("four") };
        if self.get(&keys[1]).as_deref() != Some(fp.as_bytes()) {
            return words([bulk("moved"), Value::Int(0)]);
        }
        let mark = self.hget(&keys[3], to).map_or_else(|| "0 0".to_owned(), |mark| string(&mark));
        let (last, latest) = mark.split_once(' ').expect("a number and a time");
        let (mut last, mut latest) = (number(last), number(latest));
        let (letters, mut moved, mut told) = (args[5..].chunks(9), 0, None);
        let mut word = "moved";
        let count = letters.len();
        for letter in letters {
            let text: Vec<String> = letter[..8].iter().map(|arg| string(arg)).collect();
            let [its_number, at, sender, sender_fp, id, kind, share, key_id] = &*text else {
                panic!("eight")
            };
            let (its_number, at, content) = (number(its_number), number(at), letter[8]);
            if its_number > last || at > latest {
                if self.get(&key("bound", sender)).as_deref() != Some(sender_fp.as_bytes()) {
                    break;
                }
                let held = self.read_box(to);
                if !held.iter().any(|other| other.sender == *sender && other.id == *id) {
                    let bytes = content.len() as u64;
                    let held_bytes: u64 = held.iter().map(|letter| letter.bytes).sum();
                    let all = self.get_number(&keys[4]).unsigned_abs();
                    if held.len() >= BOX_LETTERS as usize || held_bytes + bytes > BOX_BYTES.into() {
                        break;
                    }
                    if all + bytes > number(most) {
                        word = "all_full";
                        break;
                    }
                    let share = share.parse().expect("a number");
                    self.put(to, at, (kind, share, key_id), (sender, id), content);
                    if told.as_deref() != Some("1") {
                        told = Some(kind.clone());
                    }
                }
                (last, latest) = (last.max(its_number), latest.max(at));
                self.hset(&keys[3], to, format!("{last} {latest}"));
            }
            moved += 1;
        }
        if is_last == "1" && moved == count {
            self.delete(&keys[2]);
        } else {
            self.set(&keys[2], "1");
            self.end(&keys[2], BOX_CLOSED);
        }
        if let Some(kind) = told {
            self.tell_owner(&string(args[0]), to, &kind);
        }
        words([bulk(word), Value::Int(i64::try_from(moved).expect("few"))])
    }

    pub(super) fn move_key(&mut self, keys: &[String], args: &[&str]) -> Value {
        let [_, _, fp, pem, id, created, expires, json, old_id, old_until, ref wrote @ ..] = *args
        else {
            panic!("ten")
        };
        if self.get(&keys[1]).as_deref() != Some(fp.as_bytes()) {
            return word("not_bound");
        }
        self.hset(&keys[2], "fp", fp);
        if !pem.is_empty() && self.hget(&keys[2], "pem").is_none() {
            self.hset(&keys[2], "pem", pem);
        }
        let known = self.hget(&keys[2], "key_created").map(|known| number(&string(&known)));
        if !id.is_empty() && known.is_none_or(|known| known < number(created)) {
            let fields = [("key_id", id), ("key_created", created), ("key_expires", expires)];
            for (field, value) in fields.into_iter().chain([("key_json", json)]) {
                self.hset(&keys[2], field, value);
            }
            for (field, value) in [("old_key_id", old_id), ("old_key_until", old_until)] {
                self.hdel(&keys[2], field);
                if !old_id.is_empty() {
                    self.hset(&keys[2], field, value);
                }
            }
        }
        for other in wrote.chunks(3) {
            let (member, at) = (format!("{} {}", other[0], other[1]), number(other[2]));
            let known = self.score(&keys[3], &member).unwrap_or(0);
            self.zadd(&keys[3], known.max(at), &member);
        }
        self.trim_written(&keys[3]);
        word("moved")
    }

    fn trim_written(&mut self, key: &str) {
        let all = self.sorted(key);
        for (_, oldest) in all.iter().take(all.len().saturating_sub(WRITTEN_KEPT as usize)) {
            self.zrem(key, oldest);
        }
    }
}
