//! The letterboxes of the relay of these tests: they do what the protocol asks for, and check
//! nothing.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Everybody's letterbox.
#[derive(Default)]
pub(crate) struct Boxes {
    users: BTreeMap<String, Letterbox>,
    next: u64,
}

/// What is kept of one user.
#[derive(Default)]
pub(crate) struct Letterbox {
    pubkey: Value,
    pub(crate) key: Value,
    /// By number.
    pub(crate) letters: BTreeMap<u64, Value>,
    /// Which letters the connection takes, and the last one that it was given.
    takes: Option<(String, u64)>,
}

impl Boxes {
    pub(crate) fn of(&mut self, name: &str) -> &mut Letterbox {
        self.users.entry(name.to_owned()).or_default()
    }

    /// A connection of this user registers.
    pub(crate) fn registers(&mut self, name: &str, pubkey: &Value) {
        let user = self.of(name);
        (user.pubkey, user.takes) = (pubkey.clone(), None);
    }

    /// The letter key of a user.
    pub(crate) fn key(&self, name: &str) -> Option<&Value> {
        self.users.get(name).map(|user| &user.key).filter(|key| !key.is_null())
    }

    /// The answer to a `get_pubkey` for a user who is not connected.
    pub(crate) fn away(&self, name: &str) -> Option<Value> {
        let user = self.users.get(name).filter(|user| !user.pubkey.is_null())?;
        let mut answer = json!({"action": "pubkey", "from": name, "pubkey": user.pubkey, "v": 2,
                                "away": true});
        if !user.key.is_null() {
            answer["letter_key"] = user.key.clone();
        }
        Some(answer)
    }

    /// What `name` is answered to a frame about letters, and to whom something may have to be
    /// delivered.
    pub(crate) fn frame(&mut self, name: &str, frame: &Value) -> (Option<Value>, String) {
        let own = name.to_owned();
        match frame["action"].as_str().expect("an action") {
            "letterbox" => {
                let user = self.of(name);
                user.key = frame["key"].clone();
                let mut counts = BTreeMap::<u64, u64>::new();
                for letter in user.letters.values() {
                    *counts.entry(letter["key_id"].as_u64().expect("an id")).or_default() += 1;
                }
                let count = |(id, count)| json!({"key_id": id, "count": count});
                let waiting: Vec<_> = counts.into_iter().map(count).collect();
                (Some(json!({"action": "letterbox", "waiting": waiting})), own)
            }
            "letters" => {
                self.of(name).takes = Some((frame["take"].as_str().expect("all").to_owned(), 0));
                (None, own)
            }
            "ack" => {
                self.of(name).letters.remove(&frame["box"].as_u64().expect("a number"));
                (None, own)
            }
            _ => {
                let (to, id) = (frame["to"].as_str().expect("a name").to_owned(), &frame["id"]);
                let letters = &mut self.users.entry(to.clone()).or_default().letters;
                let is_it = |it: &Value| it["id"] == *id && it["from"] == name;
                if !letters.values().any(is_it) {
                    self.next = self.next.max(1) + 1; // 1 is: told that it is empty
                    let mut letter = frame.clone();
                    letter["from"] = name.into();
                    letter["box"] = self.next.into();
                    letters.insert(self.next, letter);
                }
                (Some(json!({"action": "stored", "id": id, "to": to})), to)
            }
        }
    }

    /// What a connected user is to be sent now.
    pub(crate) fn deliver(&mut self, name: &str) -> Vec<Value> {
        let Some(user) = self.users.get_mut(name) else { return Vec::new() };
        let Some((take, last)) = &mut user.takes else { return Vec::new() };
        let is_taken = |letter: &&Value| take == "all" || letter["kind"] == 1;
        let before = *last;
        let mut frames = Vec::new();
        for (number, letter) in user.letters.range(before + 1..) {
            // As many as may be unacknowledged.
            let unacknowledged = user.letters.range(..=*last).filter(|(_, l)| is_taken(l)).count();
            if is_taken(&letter) && unacknowledged + frames.len() < 16 {
                frames.push(letter.clone());
                *last = *number;
            }
        }
        let is_end = user.letters.range(*last + 1..).all(|(_, letter)| !is_taken(&letter));
        if is_end && (before == 0 || !frames.is_empty()) {
            *last = (*last).max(1);
            frames.push(json!({"action": "letterbox_empty"}));
        }
        frames
    }
}
