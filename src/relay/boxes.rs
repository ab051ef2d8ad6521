//! The boxes in their tables: letters, letter keys, and what each box may hold.
//!
//! Knows SQL, no threads and no connections. Everything here happens within a transaction of
//! `database.rs`. What a box holds is counted by triggers, so each way in which a letter comes or
//! goes is counted, and a letter costs the same however many there are.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::value::RawValue;

use super::letter_store::{
    Delivered, Delivery, KnownKeys, LetterAnswer, LetterAsk, LetterFault, NAME_RELEASED, NewLetter,
    Owner, Waiting,
};
use super::limits::{
    BOX_BYTES, BOX_LETTERS, FULL_OF, FULL_UNTIL, LETTER_KEY_GRACE, LETTERS_BYTES, LETTERS_DAYS,
    SENDER_BYTES, STRANGER_LETTERS, UPKEEP_LETTERS, WRITTEN_KEPT,
};
use crate::limits::CLOCK_SKEW;
use crate::wire::{ErrorCode, Fingerprint, KeyCount, LetterKey, LetterKind, TakeMode};

/// Instants are milliseconds since 1970 by the relay's clock. The numbers of users and letters are
/// never used again: what was told of a user that was released cannot become another's.
pub(super) const CREATE: &str = "
    CREATE TABLE users (
        id            INTEGER PRIMARY KEY AUTOINCREMENT,
        name          TEXT NOT NULL UNIQUE,
        pem           TEXT,    -- its public key, as it was registered
        key_id        INTEGER, -- its letter key
        key_created   INTEGER,
        key_expires   INTEGER,
        key_json      TEXT,
        old_key_id    INTEGER, -- the one before, and how long it is taken
        old_key_until INTEGER
    ) STRICT;
    CREATE TABLE letters (
        number  INTEGER PRIMARY KEY AUTOINCREMENT,
        box     INTEGER NOT NULL, -- whose it is: users.id
        sender  INTEGER NOT NULL, -- who stored it: users.id
        id      TEXT NOT NULL,
        kind    INTEGER NOT NULL,
        share   INTEGER NOT NULL,
        key_id  INTEGER NOT NULL,
        kept_at INTEGER NOT NULL,
        bytes   INTEGER NOT NULL,
        content BLOB NOT NULL,
        UNIQUE (box, sender, id)
    ) STRICT;
    CREATE INDEX letters_by_box ON letters (box);
    CREATE INDEX letters_by_sender ON letters (sender);
    CREATE INDEX letters_by_age ON letters (kept_at);
    CREATE TABLE shares ( -- what each share of each box holds
        box     INTEGER NOT NULL,
        share   INTEGER NOT NULL,
        letters INTEGER NOT NULL,
        bytes   INTEGER NOT NULL,
        is_full INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (box, share)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE sent (sender INTEGER PRIMARY KEY, bytes INTEGER NOT NULL) STRICT;
    CREATE TABLE total (bytes INTEGER NOT NULL) STRICT;
    INSERT INTO total VALUES (0);
    CREATE TABLE written ( -- to whom the owner of a box wrote, and when
        box INTEGER NOT NULL,
        to_user INTEGER NOT NULL,
        at  INTEGER NOT NULL,
        PRIMARY KEY (box, to_user)
    ) STRICT, WITHOUT ROWID;
    CREATE TRIGGER letter_came AFTER INSERT ON letters BEGIN
        INSERT INTO shares (box, share, letters, bytes)
            VALUES (new.box, new.share, 1, new.bytes)
            ON CONFLICT DO UPDATE SET letters = letters + 1, bytes = bytes + new.bytes;
        INSERT INTO sent (sender, bytes) VALUES (new.sender, new.bytes)
            ON CONFLICT DO UPDATE SET bytes = bytes + new.bytes;
        UPDATE total SET bytes = bytes + new.bytes;
    END;
    CREATE TRIGGER letter_went AFTER DELETE ON letters BEGIN
        UPDATE shares SET letters = letters - 1, bytes = bytes - old.bytes
            WHERE box = old.box AND share = old.share;
        UPDATE sent SET bytes = bytes - old.bytes WHERE sender = old.sender;
        DELETE FROM sent WHERE sender = old.sender AND bytes = 0;
        UPDATE total SET bytes = bytes - old.bytes;
    END";

/// How many letters there are, for this connection alone: they are counted once, by a row for each
/// share of each box, and from then on as they come and go.
pub(super) const COUNT: &str = "
    PRAGMA temp_store = memory;
    CREATE TEMP TABLE waiting (letters INTEGER NOT NULL) STRICT;
    INSERT INTO waiting SELECT coalesce(sum(letters), 0) FROM shares;
    CREATE TEMP TRIGGER one_came AFTER INSERT ON letters BEGIN
        UPDATE waiting SET letters = letters + 1;
    END;
    CREATE TEMP TRIGGER one_went AFTER DELETE ON letters BEGIN
        UPDATE waiting SET letters = letters - 1;
    END";

/// What another process has deleted is not in the count of this connection.
const COUNT_AGAIN: &str =
    "UPDATE waiting SET letters = (SELECT coalesce(sum(letters), 0) FROM shares)";

/// The user of a name that is bound to this key.
const USER: &str = "
    SELECT users.id FROM names JOIN users USING (name) WHERE name = ?1 AND fp = ?2";

const ADD_USER: &str =
    "INSERT INTO users (name) SELECT name FROM names WHERE name = ?1 AND fp = ?2";

/// Writes nothing where the text is the same already.
const NOTE_PEM: &str = "
    INSERT INTO users (name, pem) SELECT name, ?2 FROM names WHERE name = ?1
    ON CONFLICT (name) DO UPDATE SET pem = excluded.pem WHERE pem IS NOT excluded.pem";

/// The key before stays the one before if the newest is published again.
const PUBLISH: &str = "
    UPDATE users SET
        old_key_id = key_id, old_key_until = ?6,
        key_id = ?2, key_created = ?3, key_expires = ?4, key_json = ?5
    WHERE id = ?1";

const ADDRESSEE: &str = "
    SELECT users.id, key_id, key_expires, old_key_id, old_key_until
    FROM names LEFT JOIN users USING (name) WHERE name = ?1";

const KEEP: &str = "
    INSERT INTO letters (box, sender, id, kind, share, key_id, kept_at, bytes, content)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

/// Numbers ascend with time, so their order is that in which the letters came.
const NEXT: &str = "
    SELECT number, bytes, content FROM letters
    WHERE box = ?1 AND number > ?2 AND (?3 OR kind = ?4) ORDER BY number";

const FIND: &str = "
    SELECT pem, CASE WHEN key_expires > ?2 THEN key_json END
    FROM names JOIN users USING (name) WHERE name = ?1 AND pem IS NOT NULL";

const EXPIRE: &str = "
    DELETE FROM letters WHERE number IN
        (SELECT number FROM letters WHERE kept_at < ?1 ORDER BY kept_at LIMIT ?2)";

/// Writes nothing where it was noted within a day.
const NOTE_WRITTEN: &str = "
    INSERT INTO written (box, to_user, at) VALUES (?1, ?2, ?3)
    ON CONFLICT DO UPDATE SET at = excluded.at WHERE at < excluded.at - 86400000";

const FORGET_WRITTEN: &str = "
    DELETE FROM written WHERE box = ?1 AND to_user IN
        (SELECT to_user FROM written WHERE box = ?1 ORDER BY at DESC LIMIT -1 OFFSET ?2)";

/// What all boxes together may hold, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LetterLimits {
    /// Bytes of all letters. 0: no letters are kept.
    pub bytes: u64,
    /// Days after which a letter is deleted.
    pub days: u32,
}

impl Default for LetterLimits {
    fn default() -> Self {
        Self { bytes: LETTERS_BYTES, days: LETTERS_DAYS }
    }
}

/// Which part of its box a letter counts for.
#[derive(Clone, Copy)]
enum Share {
    /// Texts of senders to whom the owner wrote: half.
    Known,
    /// Whatever others send: a quarter.
    Strangers,
    /// Receipts of senders to whom the owner wrote: a quarter.
    Receipts,
}

impl Share {
    /// How many letters and bytes it may hold.
    fn limits(self) -> (u32, u32) {
        let part = if matches!(self, Self::Known) { 2 } else { 4 };
        (BOX_LETTERS / part, BOX_BYTES / part)
    }
}

/// The tables, at one instant.
pub(super) struct Boxes<'a> {
    tables: &'a Connection,
    limits: LetterLimits,
    /// Milliseconds since 1970.
    now: i64,
}

impl<'a> Boxes<'a> {
    pub(super) fn new(tables: &'a Connection, limits: LetterLimits, now: u64) -> Self {
        Self { tables, limits, now: i64::try_from(now).unwrap_or(i64::MAX) }
    }

    /// The number of a user, if it has one and the name is bound to that key.
    fn known_user(&self, owner: &Owner) -> rusqlite::Result<Option<i64>> {
        let mut find = self.tables.prepare_cached(USER)?;
        find.query_row(params![owner.name, owner.fp.0], |row| row.get(0)).optional()
    }

    /// The number of a user, who is given one; `None` where the name is not bound to that key.
    fn user(&self, owner: &Owner) -> rusqlite::Result<Option<i64>> {
        if let Some(known) = self.known_user(owner)? {
            return Ok(Some(known));
        }
        let added =
            self.tables.prepare_cached(ADD_USER)?.execute(params![owner.name, owner.fp.0])?;
        Ok((added > 0).then(|| self.tables.last_insert_rowid()))
    }

    /// Makes a change, and answers; `None` for what is none.
    pub(super) fn change(&self, ask: &LetterAsk) -> rusqlite::Result<Option<LetterAnswer>> {
        Ok(match ask {
            LetterAsk::Publish { owner, pem, key } => {
                Some(LetterAnswer::Published(self.publish(owner, pem, key)?))
            }
            LetterAsk::Keep(letter) => Some(LetterAnswer::Kept(self.keep(letter)?)),
            LetterAsk::Wrote { owner, to } => {
                self.wrote(owner, to)?;
                Some(LetterAnswer::Noted)
            }
            LetterAsk::Deliver(_) | LetterAsk::Find { .. } => None, // they have ways of their own
        })
    }

    /// Takes another letter key, and tells how many letters wait under each.
    fn publish(
        &self,
        owner: &Owner,
        pem: &str,
        key: &LetterKey,
    ) -> rusqlite::Result<Result<Vec<KeyCount>, LetterFault>> {
        let Some(user) = self.user(owner)? else { return Ok(Err(not_bound())) };
        note_pem(self.tables, &owner.name, pem)?;
        let newest = "SELECT key_id, key_created FROM users WHERE id = ?1";
        let newest: (Option<u32>, Option<i64>) = self
            .tables
            .prepare_cached(newest)?
            .query_row([user], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let [created, expires] =
            [key.created, key.expires].map(|ms| i64::try_from(ms).unwrap_or(i64::MAX));
        // A key from the future was made while its owner's clock was wrong: nobody would seal to
        // it, and it must not stand in the way of those that follow.
        let latest = self.now.saturating_add(millis(CLOCK_SKEW));
        if newest.1.is_some_and(|newest| newest > created && newest <= latest) {
            let detail = "a newer letter key of yours is kept: publish a newer one";
            return Ok(Err(LetterFault::refused(ErrorCode::StaleKey, detail)));
        }
        if newest.0 != Some(key.id) {
            let until = self.now.saturating_add(millis(LETTER_KEY_GRACE));
            self.tables.prepare_cached(PUBLISH)?.execute(params![
                user,
                key.id,
                created,
                expires,
                key.to_json(),
                until
            ])?;
        }
        let count = "SELECT key_id, count(*) FROM letters WHERE box = ?1 GROUP BY key_id";
        let mut count = self.tables.prepare_cached(count)?;
        let counts = count
            .query_map([user], |row| Ok(KeyCount { key_id: row.get(0)?, count: row.get(1)? }))?;
        Ok(Ok(counts.collect::<rusqlite::Result<_>>()?))
    }

    /// Keeps a letter, unless something speaks against it. The same letter is kept once.
    fn keep(&self, letter: &NewLetter) -> rusqlite::Result<Result<(), LetterFault>> {
        let Some(sender) = self.user(&letter.from)? else { return Ok(Err(not_bound())) };
        let same = "SELECT 1 FROM letters WHERE sender = ?1 AND id = ?2 AND box =
                (SELECT id FROM users WHERE name = ?3)";
        if self.tables.prepare_cached(same)?.exists(params![sender, letter.id, letter.to])? {
            return Ok(Ok(()));
        }
        let owner = match self.addressee(letter)? {
            Ok(owner) => owner,
            Err(fault) => return Ok(Err(fault)),
        };
        let knows = "SELECT 1 FROM written WHERE box = ?1 AND to_user = ?2";
        let share = match (letter.kind, self.tables.prepare_cached(knows)?.exists([owner, sender])?)
        {
            (_, false) => Share::Strangers,
            (LetterKind::Text, true) => Share::Known,
            (LetterKind::Receipt, true) => Share::Receipts,
        };
        let bytes = u32::try_from(letter.kept.len()).unwrap_or(u32::MAX);
        if let Some(detail) = self.want_of_room(owner, sender, share, bytes)? {
            return Ok(Err(LetterFault::refused(ErrorCode::MailboxFull, detail)));
        }
        self.tables.prepare_cached(KEEP)?.execute(params![
            owner,
            sender,
            letter.id,
            letter.kind.number(),
            share as u8,
            letter.key_id,
            self.now,
            bytes,
            letter.kept
        ])?;
        if letter.kind == LetterKind::Text {
            self.note_written(sender, owner)?;
        }
        Ok(Ok(()))
    }

    /// Whose box a letter goes to, if it has one that takes letters under that key.
    fn addressee(&self, letter: &NewLetter) -> rusqlite::Result<Result<i64, LetterFault>> {
        let found = self
            .tables
            .prepare_cached(ADDRESSEE)?
            .query_row([&letter.to], |row| {
                let id: Option<i64> = row.get(0)?;
                let newest: (Option<u32>, Option<i64>) = (row.get(1)?, row.get(2)?);
                let old: (Option<u32>, Option<i64>) = (row.get(3)?, row.get(4)?);
                Ok((id, newest, old))
            })
            .optional()?;
        let Some((id, newest, old)) = found else {
            return Ok(Err(LetterFault::refused(ErrorCode::UnknownUser, "no such user is known")));
        };
        let (Some(id), (Some(newest), Some(expires))) = (id, newest) else {
            let detail = "the addressee has left no key for letters";
            return Ok(Err(LetterFault::refused(ErrorCode::NoLetterbox, detail)));
        };
        if expires <= self.now {
            let detail = "the addressee's key for letters has expired";
            return Ok(Err(LetterFault::refused(ErrorCode::NoLetterbox, detail)));
        }
        let is_old = old.0 == Some(letter.key_id) && old.1.is_some_and(|until| self.now < until);
        if newest != letter.key_id && !is_old {
            let detail = "the addressee has a newer letter key: ask for it with get_pubkey";
            return Ok(Err(LetterFault::refused(ErrorCode::StaleKey, detail)));
        }
        Ok(Ok(id))
    }

    /// What has no room for so many bytes more, if anything has not.
    fn want_of_room(
        &self,
        owner: i64,
        sender: i64,
        share: Share,
        bytes: u32,
    ) -> rusqlite::Result<Option<&'static str>> {
        let total = "SELECT bytes FROM total";
        let total: i64 = self.tables.prepare_cached(total)?.query_row([], |row| row.get(0))?;
        if total.saturating_add(bytes.into()) > i64::try_from(self.limits.bytes).unwrap_or(i64::MAX)
        {
            return Ok(Some("all boxes of this relay together are full"));
        }
        let sent = "SELECT bytes FROM sent WHERE sender = ?1";
        let sent = self.tables.prepare_cached(sent)?.query_row([sender], |row| row.get(0));
        let sent: i64 = sent.optional()?.unwrap_or(0);
        if sent + i64::from(bytes) > SENDER_BYTES.into() {
            return Ok(Some("too many bytes of your letters wait in all boxes together"));
        }
        if matches!(share, Share::Strangers) {
            let count = "SELECT count(*) FROM letters WHERE box = ?1 AND sender = ?2";
            let mut count = self.tables.prepare_cached(count)?;
            let count: u32 = count.query_row([owner, sender], |row| row.get(0))?;
            if count >= STRANGER_LETTERS {
                return Ok(Some("the addressee has not written to you: few letters of yours wait"));
            }
        }
        let held = "SELECT letters, bytes, is_full FROM shares WHERE box = ?1 AND share = ?2";
        let held = self
            .tables
            .prepare_cached(held)?
            .query_row(params![owner, share as u8], |row| {
                Ok((row.get::<_, u32>(0)?, row.get::<_, u32>(1)?, row.get::<_, bool>(2)?))
            })
            .optional()?;
        let (letters, held_bytes, was_full) = held.unwrap_or((0, 0, false));
        let (most, most_bytes) = share.limits();
        let part = |whole: u32| whole / FULL_OF * FULL_UNTIL;
        let has_no_room = letters >= most || held_bytes.saturating_add(bytes) > most_bytes;
        let stays_full = was_full && (letters > part(most) || held_bytes > part(most_bytes));
        let is_full = has_no_room || stays_full;
        if is_full != was_full {
            let note = "
                INSERT INTO shares (box, share, letters, bytes, is_full) VALUES (?1, ?2, 0, 0, ?3)
                ON CONFLICT DO UPDATE SET is_full = excluded.is_full";
            self.tables.prepare_cached(note)?.execute(params![owner, share as u8, is_full])?;
        }
        Ok(is_full.then_some("too much waits in the addressee's box"))
    }

    /// The owner of a box has opened a session to another user.
    fn wrote(&self, owner: &Owner, to: &str) -> rusqlite::Result<()> {
        let bound = "SELECT fp FROM names WHERE name = ?1";
        let fp = self.tables.prepare_cached(bound)?.query_row([to], |row| row.get(0)).optional()?;
        let Some(fp) = fp else { return Ok(()) };
        let other = Owner { name: to.to_owned(), fp: Fingerprint(fp) };
        if let (Some(owner), Some(other)) = (self.user(owner)?, self.user(&other)?) {
            self.note_written(owner, other)?;
        }
        Ok(())
    }

    fn note_written(&self, owner: i64, other: i64) -> rusqlite::Result<()> {
        let mut note = self.tables.prepare_cached(NOTE_WRITTEN)?;
        if note.execute([owner, other, self.now])? > 0 {
            self.tables.prepare_cached(FORGET_WRITTEN)?.execute(params![owner, WRITTEN_KEPT])?;
        }
        Ok(())
    }

    /// Deletes acknowledged letters; those of other boxes stay. Returns how many were there.
    pub(super) fn acknowledge(&self, delivery: &Delivery) -> rusqlite::Result<usize> {
        if delivery.acknowledged.is_empty() {
            return Ok(0);
        }
        let Some(owner) = self.user(&delivery.owner)? else { return Ok(0) };
        let delete = "DELETE FROM letters WHERE number = ?1 AND box = ?2";
        let mut delete = self.tables.prepare_cached(delete)?;
        let numbers = delivery.acknowledged.iter();
        numbers.map(|&number| delete.execute([signed(number), owner])).sum()
    }

    /// The letters that come next.
    pub(super) fn next(&self, delivery: &Delivery) -> rusqlite::Result<Delivered> {
        let mut next = Delivered::default();
        let Some(owner) = self.known_user(&delivery.owner)? else { return Ok(next) };
        let takes_all = delivery.take == TakeMode::All;
        let receipt = LetterKind::Receipt.number();
        let mut select = self.tables.prepare_cached(NEXT)?;
        let mut rows = select.query(params![owner, signed(delivery.after), takes_all, receipt])?;
        let mut room = delivery.bytes;
        while let Some(row) = rows.next()? {
            let bytes: usize = row.get::<_, u32>(1)? as usize;
            let is_too_long = bytes > room && !next.letters.is_empty();
            if next.letters.len() == delivery.letters || is_too_long {
                next.has_more = true;
                break;
            }
            room = room.saturating_sub(bytes);
            next.letters.push((row.get::<_, i64>(0)?.unsigned_abs(), row.get(2)?));
        }
        Ok(next)
    }

    /// What waits in all boxes together.
    pub(super) fn waiting(&self) -> rusqlite::Result<Waiting> {
        let select = "SELECT letters, bytes FROM waiting, total";
        let (letters, bytes): (i64, i64) = self
            .tables
            .prepare_cached(select)?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let not_less = |count| u64::try_from(count).unwrap_or_default();
        Ok(Waiting { letters: not_less(letters), bytes: not_less(bytes) })
    }

    /// Counts the letters again: another process has deleted some.
    pub(super) fn count_again(&self) -> rusqlite::Result<()> {
        self.tables.execute(COUNT_AGAIN, [])?;
        Ok(())
    }

    /// What is known of the user `name`.
    pub(super) fn find(&self, name: &str) -> rusqlite::Result<Option<KnownKeys>> {
        let mut find = self.tables.prepare_cached(FIND)?;
        let found = find.query_row(params![name, self.now], |row| {
            Ok((row.get(0)?, row.get::<_, Option<String>>(1)?))
        });
        Ok(found.optional()?.map(|(pem, json)| {
            let raw = json.and_then(|json| RawValue::from_string(json).ok());
            let letter_key = raw.and_then(|raw| LetterKey::parse(&raw).ok());
            KnownKeys { pem, letter_key, is_connected: false, prekey: None }
        }))
    }

    /// Deletes some of the letters whose time is over, and returns how many.
    pub(super) fn expire(&self) -> rusqlite::Result<usize> {
        let age = millis(Duration::from_hours(24)).saturating_mul(self.limits.days.into());
        let oldest = self.now.saturating_sub(age);
        self.tables.prepare_cached(EXPIRE)?.execute(params![oldest, UPKEEP_LETTERS])
    }
}

/// Notes the text of a user's public key, where it changed.
pub(super) fn note_pem(tables: &Connection, name: &str, pem: &str) -> rusqlite::Result<()> {
    tables.prepare_cached(NOTE_PEM)?.execute([name, pem])?;
    Ok(())
}

/// Deletes all that belongs to a name that is being released: its box, and what it stored in
/// others.
pub(super) fn forget(tables: &Connection, name: &str) -> rusqlite::Result<u64> {
    let find = "SELECT id FROM users WHERE name = ?1";
    let found = tables.prepare_cached(find)?.query_row([name], |row| row.get::<_, i64>(0));
    let Some(user) = found.optional()? else { return Ok(0) };
    let mut waiting = tables.prepare_cached("DELETE FROM letters WHERE box = ?1")?;
    let deleted = waiting.execute([user])?;
    for delete in [
        "DELETE FROM letters WHERE sender = ?1",
        "DELETE FROM shares WHERE box = ?1",
        "DELETE FROM written WHERE box = ?1",
        "DELETE FROM users WHERE id = ?1",
    ] {
        tables.prepare_cached(delete)?.execute([user])?;
    }
    Ok(u64::try_from(deleted).unwrap_or(u64::MAX))
}

fn not_bound() -> LetterFault {
    LetterFault::refused(ErrorCode::NoLetterbox, NAME_RELEASED)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// SQLite's numbers end at half of ours, and no letter has a higher one.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
