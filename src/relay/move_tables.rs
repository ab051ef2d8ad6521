//! What is moved from the tables of a relay into the engine of its cluster: read some at a time,
//! and deleted once the engine has it.
//!
//! Knows SQL and the tables of `boxes.rs`, no engine.

use rusqlite::{Connection, Row, params};

use super::boxes::LetterLimits;
use super::database::Database;
use super::limits::{MOVED_AT_ONCE, MOVED_BYTES_AT_ONCE};
use super::move_store::{MoveAnswer, MoveAsk, MoveBatch, MovePlace, MoveStep, Moved};
use crate::cluster::moving::{FileBox, FileKey, FileKeys, FileLetter, FileUser};
use crate::wire::{Fingerprint, LetterKind};

const DAY: u64 = 24 * 3600 * 1000;

/// A name for the file, and an index that finds the keys that are left. Neither changes the
/// schema's number: a version that does not know them does not need them.
const PREPARE: &str = "
    CREATE TABLE IF NOT EXISTS moving (file TEXT NOT NULL) STRICT;
    INSERT INTO moving SELECT lower(hex(randomblob(16))) WHERE NOT EXISTS (SELECT 1 FROM moving);
    CREATE INDEX IF NOT EXISTS users_with_key ON users (id) WHERE key_id IS NOT NULL";

const FILE: &str = "SELECT file FROM moving";

const BOXES: &str = "
    SELECT name, fp, id FROM users JOIN names USING (name) WHERE id IN
        (SELECT DISTINCT box FROM letters WHERE box > ?1 ORDER BY box LIMIT ?2)
    ORDER BY id";

/// One more than is moved at once, to see whether a box has more.
const LETTERS: &str = "
    SELECT owner.name, owner_name.fp, box, sender.name, sender_name.fp, number, kept_at,
        letters.id, kind, share, letters.key_id, content
    FROM letters INDEXED BY letters_by_box
        CROSS JOIN users AS owner ON owner.id = box
        CROSS JOIN names AS owner_name ON owner_name.name = owner.name
        CROSS JOIN users AS sender ON sender.id = sender
        CROSS JOIN names AS sender_name ON sender_name.name = sender.name
    WHERE box >= ?1 AND (box > ?1 OR number > ?2) AND kept_at >= ?3
    ORDER BY box, number LIMIT ?4";

const KEYS: &str = "
    SELECT name, fp, id, pem, key_id, key_created, key_expires, key_json, old_key_id, old_key_until
    FROM users JOIN names USING (name) WHERE id IN
        (SELECT * FROM (SELECT id FROM users WHERE key_id IS NOT NULL AND id > ?1
            ORDER BY id LIMIT ?2)
        UNION SELECT * FROM (SELECT DISTINCT box FROM written WHERE box > ?1
            ORDER BY box LIMIT ?2))
    ORDER BY id LIMIT ?2";

const WROTE_TO: &str = "
    SELECT name, fp, at FROM written JOIN users ON users.id = to_user JOIN names USING (name)
    WHERE box = ?1 ORDER BY to_user";

const DELETE_KEY: &str = "
    UPDATE users SET key_id = NULL, key_created = NULL, key_expires = NULL, key_json = NULL,
        old_key_id = NULL, old_key_until = NULL
    WHERE id = ?1";

impl MoveAsk {
    /// Does what is asked.
    pub(super) fn carry_out(
        &self,
        database: &mut Database,
        limits: LetterLimits,
        now: u64,
    ) -> MoveAnswer {
        let oldest = now.saturating_sub(u64::from(limits.days) * DAY);
        let moved = database.change(|tables| {
            tables.execute_batch(PREPARE)?;
            self.moved.delete(tables)
        });
        let next = moved.and_then(|()| self.next(database.tables(), oldest));
        next.map_err(|error| error.to_string())
    }

    fn next(&self, tables: &Connection, oldest: u64) -> rusqlite::Result<MoveBatch> {
        let file = tables.prepare_cached(FILE)?.query_row([], |row| row.get(0))?;
        let batch = MoveBatch { file, next: self.after, ..MoveBatch::default() };
        match self.step {
            MoveStep::Boxes => boxes(tables, batch),
            MoveStep::Keys => keys(tables, batch),
            MoveStep::Letters => letters(tables, batch, oldest),
        }
    }
}

impl Moved {
    fn delete(&self, tables: &Connection) -> rusqlite::Result<()> {
        let mut letter = tables.prepare_cached("DELETE FROM letters WHERE number = ?1")?;
        for number in &self.letters {
            letter.execute([signed(*number)])?;
        }
        for user in &self.keys {
            tables.prepare_cached(DELETE_KEY)?.execute([signed(*user)])?;
            let written = "DELETE FROM written WHERE box = ?1";
            tables.prepare_cached(written)?.execute([signed(*user)])?;
        }
        Ok(())
    }
}

/// The next boxes with letters in them.
fn boxes(tables: &Connection, mut batch: MoveBatch) -> rusqlite::Result<MoveBatch> {
    let mut select = tables.prepare_cached(BOXES)?;
    let mut rows = select.query(params![signed(batch.next.user), MOVED_AT_ONCE])?;
    while let Some(row) = rows.next()? {
        batch.next.user = number(row, 2)?;
        let owner = user(row, 0)?;
        let part = FileBox { owner, letters: Vec::new(), is_last: false };
        batch.boxes.push((batch.next.user, part));
    }
    Ok(batch)
}

/// The next letters, by the box.
fn letters(tables: &Connection, mut batch: MoveBatch, oldest: u64) -> rusqlite::Result<MoveBatch> {
    let (mut count, mut bytes) = (0, 0);
    let after = batch.next;
    let mut select = tables.prepare_cached(LETTERS)?;
    let most = MOVED_AT_ONCE + 1;
    let place = [after.user, after.letter, oldest].map(signed);
    let mut rows = select.query(params![place[0], place[1], place[2], most])?;
    while let Some(row) = rows.next()? {
        let letter = letter(row)?;
        let place = MovePlace { user: number(row, 2)?, letter: letter.number };
        let is_same = place.user == batch.next.user && !batch.boxes.is_empty();
        if let Some((_, part)) = batch.boxes.last_mut() {
            part.is_last = !is_same;
        }
        bytes += letter.kept.len();
        if count == MOVED_AT_ONCE || count > 0 && bytes > MOVED_BYTES_AT_ONCE {
            return Ok(batch);
        }
        count += 1;
        batch.next = place;
        match batch.boxes.last_mut() {
            Some((_, part)) if is_same => part.letters.push(letter),
            _ => {
                let owner = user(row, 0)?;
                let part = FileBox { owner, letters: vec![letter], is_last: false };
                batch.boxes.push((place.user, part));
            }
        }
    }
    if let Some((_, part)) = batch.boxes.last_mut() {
        part.is_last = true;
    }
    Ok(batch)
}

fn letter(row: &Row) -> rusqlite::Result<FileLetter> {
    let kind: u8 = row.get(8)?;
    let kind = LetterKind::numbered(kind).unwrap_or(LetterKind::Text);
    Ok(FileLetter {
        number: number(row, 5)?,
        at: number(row, 6)?,
        from: user(row, 3)?,
        id: row.get(7)?,
        kind,
        share: row.get(9)?,
        key_id: row.get(10)?,
        kept: row.get(11)?,
    })
}

/// The next users with a letter key, or who wrote to others.
fn keys(tables: &Connection, mut batch: MoveBatch) -> rusqlite::Result<MoveBatch> {
    let mut select = tables.prepare_cached(KEYS)?;
    let mut wrote_to = tables.prepare_cached(WROTE_TO)?;
    let mut rows = select.query(params![signed(batch.next.user), MOVED_AT_ONCE])?;
    while let Some(row) = rows.next()? {
        let id = number(row, 2)?;
        let others =
            wrote_to.query_map([signed(id)], |row| Ok((user(row, 0)?, number(row, 2)?)))?;
        let wrote_to = others.collect::<rusqlite::Result<_>>()?;
        let (owner, pem, key) = (user(row, 0)?, row.get(3)?, key(row)?);
        batch.next.user = id;
        batch.keys.push((id, FileKeys { owner, pem, key, wrote_to }));
    }
    Ok(batch)
}

fn key(row: &Row) -> rusqlite::Result<Option<FileKey>> {
    let Some(id) = row.get(4)? else { return Ok(None) };
    let old: (Option<u32>, Option<i64>) = (row.get(8)?, row.get(9)?);
    Ok(Some(FileKey {
        id,
        created: number(row, 5)?,
        expires: number(row, 6)?,
        json: row.get(7)?,
        old: old.0.zip(old.1.map(i64::unsigned_abs)),
    }))
}

/// A name, and the key behind it.
fn user(row: &Row, at: usize) -> rusqlite::Result<FileUser> {
    Ok(FileUser { name: row.get(at)?, fp: Fingerprint(row.get(at + 1)?) })
}

fn number(row: &Row, at: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(at).map(i64::unsigned_abs)
}

/// SQLite's numbers end at half of ours, and none here is higher.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
