//! Letters: what was left, what the relay answered, what was delivered and what was acknowledged.
//!
//! Of a letter that was answered `stored` one of these holds in the end: it was delivered to its
//! addressee, or the engine has lost some of its data since.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use sealwax::crypto::PrekeyPair;
use sealwax::reactor::Time;
use sealwax::wire::{LetterKind, compose};
use serde_json::Value;

use crate::client::START_MS;
use crate::support::fixtures::letter_key;
use crate::user::{User, WRITERS};
use crate::world::World;

/// How long after the last trouble deliveries may begin anew.
const HEALING: Duration = Duration::from_secs(20);
const LIFETIME: u64 = 24 * 3600 * 1000;
/// Why a letter may be refused.
const REFUSALS: [&str; 6] =
    ["unknown_user", "no_letterbox", "stale_key", "mailbox_full", "rate_limited", "store_failed"];

#[derive(Default)]
pub(crate) struct Letters {
    all: BTreeMap<String, Letter>,
    sent: u64,
    /// The newest letter key of each name, whether it was taken or not.
    keys: BTreeMap<&'static str, u32>,
    key_ids: u32,
    /// Letter keys that were left and not answered, of each connection, in order; and since when.
    publishing: BTreeMap<u64, VecDeque<(&'static str, u32, Time)>>,
    /// The newest letter key that was taken, and when it was left.
    published: BTreeMap<&'static str, (u32, Time)>,
    taking: BTreeMap<u64, Taking>,
    /// Whoever takes letters acknowledges each at once.
    pub(crate) is_calm: bool,
}

struct Letter {
    from: &'static str,
    to: &'static str,
    kind: LetterKind,
    content: String,
    /// When it was sent first.
    since: Time,
    /// The connection that waits for the answer.
    open: Option<u64>,
    stored: bool,
    /// The numbers under which it was delivered; whether it was acknowledged.
    delivered: BTreeMap<u64, bool>,
}

/// What one connection has taken.
#[derive(Default)]
struct Taking {
    last: u64,
    /// When something was last delivered.
    at: Time,
    /// Delivered and not acknowledged: number and id.
    unacknowledged: Vec<(u64, String)>,
    /// It has asked again, so delivery may begin anew.
    begins_anew: bool,
    /// What was delivered and not acknowledged when it did.
    may_come_again: BTreeSet<String>,
    is_empty: bool,
}

impl Letters {
    /// The connection is gone: nobody waits for its answers.
    pub(crate) fn goes(&mut self, connection: u64) {
        self.publishing.remove(&connection);
        self.taking.remove(&connection);
        for letter in self.all.values_mut() {
            letter.open = letter.open.filter(|of| *of != connection);
        }
    }

    /// The relay has answered for a letter. `refused`: with this error.
    pub(crate) fn answered(&mut self, id: &str, connection: u64, refused: Option<&str>) {
        let Some(letter) = self.all.get_mut(id) else { panic!("nobody left {id}") };
        let of = letter.open.take();
        assert_eq!(
            of,
            Some(connection),
            "{id} is answered ({refused:?}) and was not asked, or twice"
        );
        assert!(refused.is_none_or(|code| REFUSALS.contains(&code)), "{id}: {refused:?}");
        letter.stored |= refused.is_none();
    }

    /// When a letter was last delivered on this connection.
    fn last_delivery(&self, connection: u64) -> Time {
        self.taking.get(&connection).map_or(Time::default(), |taking| taking.at)
    }

    /// A letter is delivered. `may_repeat`: the engine was lost meanwhile.
    fn delivered(
        &mut self,
        name: &str,
        connection: u64,
        frame: &Value,
        may_repeat: bool,
        now: Time,
    ) {
        let text = |member: &str| frame[member].as_str().unwrap_or_default();
        let (id, number) = (text("id"), frame["box"].as_u64().expect("a number"));
        let Some(letter) = self.all.get_mut(id) else { panic!("nobody left {id}") };
        assert_eq!((letter.from, letter.to), (text("from"), name), "{id} is at the wrong place");
        let kind = frame["kind"] == u64::from(letter.kind.number());
        assert!(kind && letter.content == text("content"), "{id} is not whole: {frame}");
        let taking = self.taking.entry(connection).or_default();
        let is_anew = may_repeat || std::mem::take(&mut taking.begins_anew);
        assert!(number > taking.last || is_anew, "{id} ({number}) comes behind {}", taking.last);
        (taking.last, taking.at) = (number, now);
        taking.is_empty = false;
        let is_known = taking.unacknowledged.iter().any(|(_, other)| other == id);
        let is_fine = !is_known || taking.may_come_again.remove(id);
        assert!(is_fine, "{id} comes again on one connection");
        taking.unacknowledged.push((number, id.to_owned()));
        let waits = letter.delivered.iter().find(|(other, acked)| **other != number && !**acked);
        assert!(waits.is_none() || may_repeat, "{id} is kept twice: {waits:?} and {number}");
        letter.delivered.entry(number).or_default();
    }

    /// The relay keeps a letter key, or does not.
    pub(crate) fn key_answered(&mut self, connection: u64, is_taken: bool) {
        let asked = self.publishing.get_mut(&connection).and_then(VecDeque::pop_front);
        if let Some((name, id, since)) = asked.filter(|_| is_taken) {
            let newest = self.published.entry(name).or_insert((id, since));
            *newest = (*newest).max((id, since));
        }
    }

    /// Nothing more waits for this connection.
    pub(crate) fn is_empty(&mut self, connection: u64) {
        self.taking.entry(connection).or_default().is_empty = true;
    }

    /// Whether this connection takes letters, and was answered that it does.
    pub(crate) fn is_taken(&self, connection: u64) -> bool {
        self.taking.get(&connection).is_some_and(|taking| taking.is_empty)
    }

    /// The newest letter key of a name that was taken since then.
    pub(crate) fn key_since(&self, name: &str, lost: Option<Time>) -> Option<u32> {
        let (id, at) = self.published.get(name)?;
        (lost.is_none_or(|lost| lost < *at) && self.keys.get(name) == Some(id)).then_some(*id)
    }

    /// All are in the end where they belong. `lost`: when the engine last lost data.
    pub(crate) fn settle(&self, lost: Option<Time>) {
        for (id, letter) in &self.all {
            assert!(letter.open.is_none(), "letter {id} is not answered");
            let is_lost = lost.is_some_and(|lost| letter.since <= lost);
            let has_come = !letter.delivered.is_empty() || is_lost || !letter.stored;
            assert!(has_come, "letter {id} to {} was stored and never came", letter.to);
        }
    }

    /// How many letters were left, and delivered.
    pub(crate) fn totals(&self) -> [u64; 2] {
        let delivered = self.all.values().filter(|letter| !letter.delivered.is_empty()).count();
        [self.all.len(), delivered].map(|count| count as u64)
    }
}

impl User {
    pub(crate) fn is_writer(&self) -> bool {
        self.account.is_some() && WRITERS.contains(&self.name)
    }
}

impl World {
    /// The user leaves another letter key.
    pub(crate) fn open_box(&mut self, user: usize) {
        let name = self.users[user].name;
        let Some(line) = self.users[user].line.as_ref().filter(|it| it.is_registered) else {
            return;
        };
        let (number, now) = (line.number, self.now());
        self.letters.key_ids += 1;
        let id = self.letters.key_ids;
        self.letters.keys.insert(name, id);
        self.note(|| format!("{name} ({number}) leaves letter key {id}"));
        let created = START_MS.unsigned_abs() + u64::from(id);
        let key = letter_key(id, created, created + LIFETIME);
        if self.users[user].say_bytes(&compose::letterbox(&key)) {
            self.letters.publishing.entry(number).or_default().push_back((name, id, now));
        }
    }

    /// Others are to seal to another prekey from now on.
    pub(crate) fn change_prekey(&mut self, user: usize) {
        let User { name, account: Some(account), line } = &mut self.users[user] else { return };
        if line.as_ref().is_some_and(|line| !line.is_registered) {
            return; // its proof is over the other one
        }
        let pair = PrekeyPair::new(&account.vault, 1_000);
        account.prekey = pair.publish(&account.vault, name);
        let frame = compose::prekey(&account.prekey);
        if self.users[user].is_registered() {
            let (name, id) = (self.users[user].name, pair.id());
            self.note(|| format!("{name} hands out prekey {id}"));
            self.users[user].say_bytes(&frame);
        }
    }

    /// The user takes letters, from the first one on.
    pub(crate) fn take_letters(&mut self, user: usize) {
        let Some(line) = self.users[user].line.as_ref().filter(|it| it.is_registered) else {
            return;
        };
        let (name, number) = (self.users[user].name, line.number);
        self.note(|| format!("{name} ({number}) takes letters"));
        let taking = self.letters.taking.entry(number).or_default();
        taking.begins_anew = true;
        taking.may_come_again = taking.unacknowledged.iter().map(|(_, id)| id.clone()).collect();
        self.users[user].take_letters();
    }

    /// The user leaves a letter: a new one, or again one that was not answered or refused.
    pub(crate) fn leave_letter(&mut self, user: usize, to: &'static str) {
        let name = self.users[user].name;
        let Some(line) = self.users[user].line.as_ref().filter(|it| it.is_registered) else {
            return;
        };
        let (number, now) = (line.number, self.now());
        let again = self.letters.all.iter().find(|(_, it)| {
            it.from == name && it.open.is_none() && !it.stored && it.delivered.is_empty()
        });
        let again = again.map(|(id, _)| id.clone()).filter(|_| self.dice.chance(500));
        let id = again.unwrap_or_else(|| {
            self.letters.sent += 1;
            let id = format!("l{}", self.letters.sent);
            let kind = if self.dice.chance(800) { LetterKind::Text } else { LetterKind::Receipt };
            let content = format!("{name}-{to}-{id}");
            let (from, since, open) = (name, now, None);
            let (stored, delivered) = (false, BTreeMap::new());
            let letter = Letter { from, to, kind, content, since, open, stored, delivered };
            self.letters.all.insert(id.clone(), letter);
            id
        });
        let letter = &self.letters.all[&id];
        let key_id = self.letters.keys.get(letter.to).copied().unwrap_or(1);
        let frame = compose::letter(letter.to, name, &id, (letter.kind, key_id), &letter.content);
        self.note(|| format!("{name} ({number}) leaves letter {id} for {to}, key {key_id}"));
        if self.users[user].say_bytes(&frame)
            && let Some(letter) = self.letters.all.get_mut(&id)
        {
            letter.open = Some(number);
            self.belief.asks(&id, number, now);
        }
    }

    /// A letter has come to the user.
    pub(crate) fn letter_came(&mut self, user: usize, number: u64, frame: &Value) {
        let now = self.now();
        let may_repeat = self.troubled + HEALING > self.letters.last_delivery(number);
        self.letters.delivered(self.users[user].name, number, frame, may_repeat, now);
        if self.letters.is_calm || self.dice.chance(700) {
            self.acknowledge(user);
        }
    }

    /// The user acknowledges all that was delivered to it.
    pub(crate) fn acknowledge(&mut self, user: usize) {
        let Some(line) = &self.users[user].line else { return };
        let Some(taking) = self.letters.taking.get_mut(&line.number) else { return };
        for (number, id) in std::mem::take(&mut taking.unacknowledged) {
            if self.users[user].say_bytes(&compose::ack(number))
                && let Some(letter) = self.letters.all.get_mut(&id)
            {
                letter.delivered.insert(number, true);
            }
        }
    }
}

/// A letter at random, or something else about letters.
pub(crate) fn act(world: &mut World) {
    let writers: Vec<usize> =
        (0..world.users.len()).filter(|&it| world.users[it].is_writer()).collect();
    let user = *world.dice.pick(&writers);
    let to = *world.dice.pick(&WRITERS);
    match world.dice.below(10) {
        0 => world.open_box(user),
        1 => world.take_letters(user),
        2 => world.change_prekey(user),
        3 => world.acknowledge(user),
        _ => world.leave_letter(user, to),
    }
}
