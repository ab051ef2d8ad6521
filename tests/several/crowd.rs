//! Two hundred users on three relays, half of them originals: everybody sees, asks, and writes to
//! everybody as on one relay, while some leave and come back elsewhere.

use std::collections::BTreeSet;

use sealwax::crypto::Identity;
use sealwax::wire::{LetterKind, TakeMode, compose};
use serde_json::{Value, json};

use super::letter_key;
use super::support::process::{Process, python};
use super::support::relay::{Account, register};
use super::support::several::Several;
use super::user::User;

const RELAYS: usize = 3;
const USERS: usize = 200;
/// How far away the users are to whom each writes, by their number: those at an even distance are
/// of the same version, two of three of them at another relay.
const ADDRESSEES: [usize; 8] = [1, 2, 3, 4, 6, 8, 10, 12];
/// How many messages each writes to each of them at once.
const MESSAGES: usize = 4;
/// Every so many users one moves.
const MOVES: usize = 5;
/// A key may have eight names.
const NAMES_A_KEY: usize = 8;

/// All users and their relays.
struct Crowd {
    several: Several,
    users: Vec<User>,
    /// Originals in Python.
    guests: BTreeSet<String>,
}

/// Private keys, as PEM: those of the fixtures, and new ones.
fn keys() -> Vec<String> {
    let fixtures = ["alice", "bob", "carol"].map(super::support::fixtures::pem);
    // The last six are those who mark the end of what changed.
    let count = (USERS / 2 + RELAYS).div_ceil(NAMES_A_KEY) - fixtures.len();
    let new = (0..count).map(|_| Identity::generate(2048).unwrap().to_pem(None).to_string());
    fixtures.into_iter().chain(new).collect()
}

impl Crowd {
    /// All registered: two of each version for each relay come last, and mark that all before have
    /// come where they are seen.
    fn start(several: Several) -> Self {
        let keys = keys();
        let mut users: Vec<_> = (0..USERS + 2 * RELAYS)
            .map(|number| {
                let (relay, key) = (number / 2 % RELAYS, &keys[number / 2 / NAMES_A_KEY]);
                User::new(number, Account::new(format!("user-{number}").leak(), key), relay)
            })
            .collect();
        let (crowd, marks) = users.split_at_mut(USERS);
        // All at once, so that many names are claimed at the same time.
        for group in [crowd, marks] {
            for user in &mut *group {
                user.connect(&several);
            }
            group.iter_mut().for_each(User::prove);
            group.iter_mut().for_each(User::registered);
        }
        Self { several, users, guests: BTreeSet::new() }
    }

    /// Everybody lists exactly those who are there. A list that has the marks of two relays has all
    /// that happened before they came: what happened elsewhere is listed in the order in which it
    /// happened.
    fn see_each_other(&mut self) {
        let marks: BTreeSet<_> = self.users[USERS..].iter().map(User::name).collect();
        let mut all: BTreeSet<_> = self.users.iter().map(User::name).collect();
        all.extend(self.guests.iter().cloned());
        for user in &mut self.users {
            user.read_until(|user| user.listed.is_superset(&marks));
            assert_eq!(user.listed, all, "{}", user.name());
        }
    }

    /// Those who mark the end of what changed come again, when nobody lists them or `gone`.
    fn mark(&mut self, gone: &BTreeSet<String>) {
        let marks = self.users[USERS..].iter().map(User::name);
        let gone: BTreeSet<_> = marks.chain(gone.iter().cloned()).collect();
        self.users[USERS..].iter_mut().for_each(User::leave);
        for user in &mut self.users[..USERS] {
            user.read_until(|user| user.listed.is_disjoint(&gone));
        }
        for mark in &mut self.users[USERS..] {
            mark.come(&self.several, mark.relay);
        }
    }

    /// Everybody asks for the keys of others.
    fn ask_for_keys(&mut self) {
        let to = |from, distance| (from + distance) % USERS;
        for from in 0..USERS {
            for distance in ADDRESSEES {
                let target = self.users[to(from, distance)].name();
                self.users[from].send(&json!({"action": "get_pubkey", "target": target}));
            }
        }
        for from in 0..USERS {
            let asked = ADDRESSEES.map(|distance| to(from, distance));
            let mut found = asked.map(|_| self.users[from].wait_for("pubkey"));
            found.sort_by_key(|found| asked.iter().position(|&it| self.users[it].is_in(found)));
            for (user, found) in asked.iter().zip(&found) {
                self.users[*user].is_described_by(found);
            }
        }
    }

    /// One writes to all of its addressees, some messages to each. `is_away` says of whom nothing
    /// is sure.
    fn write(&mut self, from: usize, messages: usize, is_away: impl Fn(usize) -> bool) {
        for _ in 0..messages {
            let mut bytes = Vec::new();
            for distance in ADDRESSEES {
                let to = (from + distance) % USERS;
                let [from, to] = self.users.get_disjoint_mut([from, to]).unwrap();
                bytes.extend(from.message(to, is_away(to.number)));
            }
            self.users[from].write(&bytes);
        }
    }

    /// All that was written has come and is answered.
    fn settle(&mut self) {
        for user in &mut self.users {
            user.read_until(User::is_settled);
        }
    }

    /// Everybody writes to some, and nothing comes twice.
    fn write_to_each_other(&mut self) {
        for from in 0..USERS {
            self.write(from, MESSAGES, |_| false);
        }
        self.settle();
        self.write_from_marks();
        for user in &mut self.users {
            user.send(&json!({"action": "ping", "id": "?"}));
            user.wait_for("pong");
        }
    }

    /// Those at each relay who mark the end write to everybody: it comes behind all that was sent
    /// before.
    fn write_from_marks(&mut self) {
        for mark in USERS..self.users.len() {
            for to in 0..USERS {
                let [from, to] = self.users.get_disjoint_mut([mark, to]).unwrap();
                let bytes = from.message(to, false);
                from.write(&bytes);
            }
        }
        self.settle();
    }

    /// Some leave and come back at the next relay, while the others write to them and to each
    /// other.
    fn move_some(&mut self) {
        let moves = |number: usize| number.is_multiple_of(MOVES);
        for number in 0..USERS {
            if !moves(number) {
                self.write(number, 1, moves);
                continue;
            }
            let user = &mut self.users[number];
            let relay = (user.relay + 1) % RELAYS;
            if user.is_original() || number.is_multiple_of(3) {
                user.leave();
                user.come(&self.several, relay);
            } else {
                user.replace(&self.several, relay);
            }
        }
        self.settle();
        // What is answered and comes at all has come before this.
        self.write_from_marks();
        self.users.iter_mut().for_each(User::forget_what_was_not_sure);
    }

    /// A name that somebody holds at one relay is nobody else's at another.
    fn names_are_held_everywhere(&self) {
        let stranger = super::support::fixtures::pem("alice");
        for number in [0, 1, USERS - 2, USERS - 1] {
            let user = &self.users[number];
            for relay in 0..RELAYS {
                let account = Account::new(user.name().leak(), &stranger);
                let mut original = self.several.connect(relay);
                let code = if user.is_original() { "name_in_use" } else { "name_bound" };
                original.send(&register(account.name, "none"));
                original.refused(code);
                if user.account.pem() != account.pem() {
                    account.is_refused(&mut self.several.connect(relay), code);
                }
            }
        }
    }

    /// What was left at one relay is taken at another.
    fn letters_are_taken_elsewhere(&mut self) {
        for owner in (1..=11).step_by(2) {
            self.users[owner].write(&compose::letterbox(&letter_key()));
            self.users[owner].wait_for("letterbox");
            self.users[owner].leave();
            let (name, relay) = (self.users[owner].name(), self.users[owner].relay);
            let mut others = self.users[owner + 1..].iter_mut();
            let sender = others.find(|it| !it.is_original() && it.relay != relay).unwrap();
            let from = sender.name();
            for id in ["1", "2", "3"] {
                let text = (LetterKind::Text, 1);
                sender.write(&compose::letter(&name, "me", id, text, "AAAA"));
                assert_eq!(sender.wait_for("stored")["id"], id);
            }
            self.users[owner].come(&self.several, (relay + 2) % RELAYS);
            let owner = &mut self.users[owner];
            owner.write(&compose::letters(TakeMode::All));
            for id in ["1", "2", "3"] {
                let letter = owner.wait_for("letter");
                assert_eq!((&letter["id"], &letter["from"]), (&json!(id), &json!(from)));
                owner.write(&compose::ack(letter["box"].as_u64().unwrap()));
            }
            owner.wait_for("letterbox_empty");
        }
    }
}

/// The client of the original system, in Python.
fn guest(several: &Several, relay: usize, name: &str, peer: &str) -> Process {
    python("original_client.py", &[&several.address(relay).to_string(), name, peer, "20"])
}

#[test]
fn a_crowd_on_three_relays_is_one_crowd() {
    let Some(several) = Several::start(RELAYS) else { return };
    let mut crowd = Crowd::start(several);
    crowd.see_each_other();
    crowd.ask_for_keys();
    let mut guests = vec![
        guest(&crowd.several, 0, "guest-a", "guest-c"),
        guest(&crowd.several, 2, "guest-b", "guest-d"),
    ];
    let waiting = ["guest-a", "guest-b"].map(str::to_owned).into();
    for user in &mut crowd.users {
        user.read_until(|user| user.listed.is_superset(&waiting));
    }
    // Those for whom they wait come while everybody writes.
    guests.push(guest(&crowd.several, 1, "guest-c", "guest-a"));
    guests.push(guest(&crowd.several, 2, "guest-d", "guest-b"));
    crowd.write_to_each_other();
    for guest in &guests {
        let told: Value = serde_json::from_str(&guest.line()).unwrap();
        assert_eq!(told["read"], 20, "{told}");
    }
    crowd.guests = waiting;
    crowd.guests.extend(["guest-c", "guest-d"].map(str::to_owned));
    crowd.move_some();
    crowd.mark(&BTreeSet::new());
    crowd.see_each_other();
    crowd.write_to_each_other();
    crowd.names_are_held_everywhere();
    crowd.letters_are_taken_elsewhere();
    for guest in guests {
        guest.end().with_code(0);
    }
    let gone = std::mem::take(&mut crowd.guests);
    crowd.mark(&gone);
    crowd.see_each_other();
}
