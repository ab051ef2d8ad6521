//! A few relays, users and keys, and calls at random among them.

use sealwax::cluster::frames::{self, ParcelKind, Stream};
use sealwax::cluster::letters::{self, LetterToKeep, LetterUser, LettersWanted};
use sealwax::cluster::moving::{self, FileBox, FileKey, FileKeys, FileLetter, FileUser};
use sealwax::cluster::names::{self, Claim, LeaseStep};
use sealwax::cluster::script::Call;
use sealwax::cluster::{Incarnation, engine::Settings};
use sealwax::wire::{Fingerprint, LetterKind, TakeMode};

use crate::support::fixtures::letter_key;

pub const ID: &str = "a-cluster";
pub const RELAY_KEY: &str = "the-public-half";
/// The last one is for original users only.
pub const NAMES: [&str; 5] = ["alice", "bob", "carol", "dave", "Ünal Öz"];
/// Milliseconds since 1970.
pub const START: u64 = 1_790_000_000_000;
const DAY: u64 = 24 * 3600 * 1000;

pub fn relay(number: u8) -> Incarnation {
    Incarnation([number; 16])
}

pub fn fp(number: u8) -> Fingerprint {
    Fingerprint([number; 32])
}

/// What a relay brings that begins the cluster where there is none.
pub fn settings() -> Settings {
    Settings {
        user: None,
        password: None,
        database: 0,
        id: None,
        relay_key: RELAY_KEY.to_owned(),
        begins: Some(ID.to_owned()),
    }
}

pub fn take(own: Incarnation) -> Call {
    names::lease(own, LeaseStep::Take, ID, "an-epoch")
}

/// A claim of version 2 where there is a prekey.
pub fn claim(own: Incarnation, name: &str, session: u64, fp: &Fingerprint, v2: bool) -> Call {
    let prekey = v2.then_some(r#"{"id":1}"#);
    names::claim(own, &Claim { name, session, fp, pem: "a text", prekey, again: false })
}

/// The same of a connection that held the name under an incarnation that ended.
pub fn claim_again(own: Incarnation, name: &str, session: u64, fp: &Fingerprint, v2: bool) -> Call {
    let mut call = claim(own, name, session, fp, v2);
    call.args.pop();
    call.args.push(b"1".to_vec());
    call
}

/// Numbers that look random and are the same for the same seed (xorshift64*).
pub struct Dice(u64);

impl Dice {
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub const fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }

    pub fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }
}

/// What a run has used so far.
pub struct Script {
    dice: Dice,
    now: u64,
    session: u64,
    /// The number of the last letter in a file.
    in_file: u64,
}

impl Script {
    pub const fn new(seed: u64) -> Self {
        Self { dice: Dice::new(seed), now: START, session: 0, in_file: 0 }
    }

    fn relay(&mut self) -> Incarnation {
        relay(self.dice.one(&[1, 2, 3]))
    }

    /// A name that can be bound, and mostly the key that goes with it.
    fn user(&mut self) -> (&'static str, Fingerprint) {
        self.user_among(4)
    }

    fn user_among(&mut self, names: u64) -> (&'static str, Fingerprint) {
        let number = self.dice.below(names);
        let other = self.dice.below(8) == 0;
        let key = if other { 9 } else { u8::try_from(number).unwrap() + 1 };
        (NAMES[usize::try_from(number).unwrap()], fp(key))
    }

    /// What makes letters possible: three relays, names that are bound, and a key of each.
    pub fn beginning() -> Vec<Call> {
        let mut calls: Vec<Call> = [1, 2, 3].map(|number| take(relay(number))).to_vec();
        for (number, name) in (1..).zip(&NAMES[..4]) {
            let (fp, key) = (fp(number), letter_key(1, START, START + 30 * DAY));
            calls.push(names::bind(relay(1), name, &fp, true));
            calls.push(letters::letterbox(relay(1), LetterUser { name, fp: &fp }, "", &key, START));
        }
        calls
    }

    /// A call about letters.
    pub fn letter(&mut self) -> Call {
        let (own, user) = (self.relay(), self.user());
        // One writes more than the others, and meets its own limit.
        let (name, fp) = if self.dice.below(2) == 0 { (NAMES[0], fp(1)) } else { user };
        self.now += self.dice.one(&[0, 1, 1000]);
        self.letter_call(own, name, &fp)
    }

    /// A call of any kind.
    pub fn call(&mut self) -> Call {
        let (own, other) = (self.relay(), self.relay());
        let (name, fp) = self.user();
        self.now += self.dice.one(&[0, 1, 1000, 60_000, 3_600_000]);
        let sessions = self.session.saturating_sub(4).max(1);
        let session = sessions + self.dice.below(5);
        match self.dice.below(32) {
            0 => names::init(own, ID, RELAY_KEY),
            1..=2 => take(own),
            3 => {
                let step = self.dice.one(&[LeaseStep::Renew, LeaseStep::Renew, LeaseStep::End]);
                names::lease(own, step, self.dice.one(&[ID, ID, ID, "other"]), "another-epoch")
            }
            4..=6 => names::bind(own, name, &fp, self.dice.below(8) > 0),
            7 => {
                let (second, key) = self.user();
                names::restore(own, [(name, &fp), (second, &key)])
            }
            8..=12 => {
                let (name, fp) = self.user_among(5);
                self.session += 1;
                let v2 = self.dice.below(3) > 0 && name.is_ascii();
                let claim = if self.dice.below(6) == 0 { claim_again } else { claim };
                claim(own, name, self.session, &fp, v2)
            }
            13..=14 => names::release(own, self.user_among(5).0, session),
            15 if self.dice.below(2) == 0 => names::unbind(own, name),
            15 | 21 => names::publish(own, name, session, r#"{"id":2}"#),
            16 => names::reap(own, other),
            17 => names::find(own, name, self.now),
            18..=19 => {
                let kind = self.dice.one(&[ParcelKind::Frames, ParcelKind::Answers]);
                let len = self.dice.one(&[0, 1, 4096, 3_000_000]);
                frames::forward(own, other, kind, vec![b'x'; len])
            }
            20 if self.dice.below(4) == 0 => {
                let stream = self.dice.one(&[Stream::Inbox, Stream::Changes]);
                let id = |number| match stream {
                    Stream::Inbox => format!("0-{number}"),
                    Stream::Changes => format!("{number}-0"),
                };
                let ids = [id(self.dice.below(12)), id(self.dice.below(300))];
                frames::sweep(own, stream, self.dice.below(12), &ids)
            }
            20 => frames::drain(own, self.dice.below(12), self.dice.one(&[0, 100, 5000])),
            _ => self.letter_call(own, name, &fp),
        }
    }

    fn letter_call(&mut self, own: Incarnation, name: &str, fp: &Fingerprint) -> Call {
        let (to, _) = self.user();
        let user = LetterUser { name, fp };
        match self.dice.below(28) {
            24..=25 => self.move_letters(own, name, fp),
            26 => self.move_key(own, name, fp),
            0 => {
                let created = self.now - self.dice.one(&[0, DAY]) + self.dice.one(&[0, 0, DAY]);
                let lifetime = if self.dice.below(8) == 0 { 1 } else { 30 * DAY };
                let key = letter_key(self.dice.one(&[1, 1, 1, 1, 2]), created, created + lifetime);
                letters::letterbox(own, user, "its text", &key, self.now)
            }
            1 => letters::wrote(own, user, to, self.now),
            2 => letters::expire(own, self.now - self.dice.one(&[1000, DAY, DAY, DAY, DAY, DAY])),
            3 => {
                let first = self.dice.below(300);
                let acknowledged: Vec<u64> = (first..first + self.dice.below(8)).collect();
                let take = self.dice.one(&[TakeMode::All, TakeMode::Receipts]);
                let (after, bytes) = (self.dice.below(200), self.dice.one(&[1000, 262_144]));
                let acknowledged = &*acknowledged;
                let wanted =
                    LettersWanted { owner: user, take, after, letters: 16, bytes, acknowledged };
                letters::deliver(own, &wanted)
            }
            _ => {
                let id = format!("an id {}", self.dice.below(4000));
                let kind = self.dice.one(&[LetterKind::Text, LetterKind::Receipt]);
                let len = self.dice.one(&[0, 500, 18_000, 60_000]);
                let key_id = self.dice.one(&[1, 1, 1, 1, 2]);
                let kept = &*vec![b'y'; len];
                let letter = LetterToKeep { from: user, to, id: &id, kind, key_id, kept };
                letters::keep(own, &letter, self.now, self.dice.one(&[600_000, 1 << 30, 1 << 30]))
            }
        }
    }

    fn file_user(&mut self) -> FileUser {
        let (name, fp) = self.user();
        FileUser { name: name.to_owned(), fp }
    }

    /// Letters from one of two files: the next ones, or some that were there before.
    fn move_letters(&mut self, own: Incarnation, name: &str, fp: &Fingerprint) -> Call {
        let file = self.dice.one(&["a-file", "another"]);
        let again = self.dice.one(&[0, 0, 0, 3, 10]);
        self.in_file = self.in_file.saturating_sub(again);
        let letters = (0..self.dice.below(5)).map(|_| {
            self.in_file += 1;
            let kind = self.dice.one(&[LetterKind::Text, LetterKind::Receipt]);
            let len = self.dice.one(&[0, 500, 18_000, 200_000]);
            FileLetter {
                number: self.in_file,
                at: self.now - self.dice.one(&[0, 1000, DAY]),
                from: self.file_user(),
                id: format!("an id {}", self.dice.below(4000)),
                kind,
                share: self.dice.one(&[0, 1, 2]),
                key_id: 1,
                kept: vec![b'z'; len],
            }
        });
        let letters = letters.collect();
        let owner = FileUser { name: name.to_owned(), fp: *fp };
        // A box that stays closed takes nothing more.
        let part = FileBox { owner, letters, is_last: self.dice.below(8) > 0 };
        moving::letters(own, file, &part, self.dice.one(&[600_000, 1 << 30, 1 << 30]))
    }

    fn move_key(&mut self, own: Incarnation, name: &str, fp: &Fingerprint) -> Call {
        let id = self.dice.one(&[1, 1, 1, 2]);
        let created = self.now - self.dice.one(&[0, DAY]);
        let old = (self.dice.below(2) == 0).then_some((7, self.now + 1000));
        let key = FileKey { id, created, expires: created + 30 * DAY, json: "{}".to_owned(), old };
        let wrote_to = (0..self.dice.below(3)).map(|_| {
            let at = self.now - self.dice.one(&[0, 1000, 2 * DAY]);
            (self.file_user(), at)
        });
        let wrote_to = wrote_to.collect();
        let key = (self.dice.below(4) > 0).then_some(key);
        let pem = (self.dice.below(2) == 0).then(|| "a text of a file".to_owned());
        let owner = FileUser { name: name.to_owned(), fp: *fp };
        moving::keys(own, &FileKeys { owner, pem, key, wrote_to })
    }
}
