//! Letters in a file of the home: one SQLite database, `letters.sqlite`.
//!
//! One database, and not a file for each part, so that "shown" and "a receipt is owed" are written
//! by one commit. What is erased is overwritten (`secure_delete`), and a commit is on the disk when
//! it returns (`synchronous = FULL`, <https://www.sqlite.org/pragma.html>). The client holds the
//! lock of its home, so only `sealwax letters` writes beside it.

use std::path::{Path, PathBuf};

use rusqlite::{
    Connection, ErrorCode, OptionalExtension, Row, Transaction, TransactionBehavior, params,
};

use super::letter_book::{
    Change, KeptKey, KeptLetters, KeptPeer, LetterBook, OwedReceipt, ParkedLetter, WaitingLetter,
    too_many_relays,
};
use super::letter_relays::{Room, find, room, visit};
use super::letter_tables::{SCHEMA, make_tables};
use super::trust::RelayPin;
use crate::home::Home;
use crate::limits::{
    LETTER_PEERS, LETTERS_BUSY, OWED_RECEIPTS, SEEN_LETTERS, SEEN_SESSION_TEXTS, WAITING_LETTERS,
};
use crate::wire::Fingerprint;

/// Letters in the home.
#[derive(Debug)]
pub struct FileLetters {
    path: PathBuf,
    database: Connection,
    /// The relay that is visited, once it has its row.
    relay: Option<i64>,
}

/// A letter, and the relay where it is, or came from.
#[derive(Debug)]
pub struct AtRelay<T> {
    place: i64,
    /// The address of the relay when we were there last; empty: an earlier version did not say.
    pub relay: String,
    /// The letter.
    pub letter: T,
}

impl FileLetters {
    /// Opens the file `name` of `home`, and makes it where there is none. The error is a text for
    /// people, and says what to do. `usual_relay`: where the letters are in a file of a version
    /// that knew of one relay; if it is not known, they belong to the first that is visited.
    pub fn open(home: &Home, name: &str, usual_relay: Option<&str>) -> Result<Self, String> {
        home.make(name).map_err(|error| error.to_string())?;
        let path = home.path(name);
        let database = connect(&path).map_err(|error| unusable(&path, &error))?;
        let book = Self { path: path.clone(), database, relay: None };
        match book
            .schema(usual_relay.unwrap_or_default())
            .map_err(|error| unusable(&path, &error))?
        {
            SCHEMA => Ok(book),
            found => Err(format!(
                "letters in '{}' have schema {found}, and this version knows {SCHEMA}: run the \
                 version that wrote them, or a newer one",
                path.display()
            )),
        }
    }

    fn schema(&self, usual_relay: &str) -> rusqlite::Result<i32> {
        let version = || self.database.pragma_query_value(None, "user_version", |row| row.get(0));
        let found: i32 = version()?;
        if !(0..SCHEMA).contains(&found) {
            return Ok(found);
        }
        let transaction = self.write()?;
        make_tables(&transaction, version()?, usual_relay)?;
        transaction.commit()?;
        version()
    }

    /// A transaction that may write from its first step: it waits for the lock here or nowhere.
    fn write(&self) -> rusqlite::Result<Transaction<'_>> {
        Transaction::new_unchecked(&self.database, TransactionBehavior::Immediate)
    }

    /// The letters of ours that are not confirmed, of all relays, the oldest first.
    pub fn left(&self) -> Result<Vec<AtRelay<WaitingLetter>>, String> {
        let select = "SELECT peer, mid, id, stored, place, address FROM waiting \
                      JOIN relays ON relays.number = waiting.relay ORDER BY stored, place";
        self.at_relays(select, waiting)
    }

    /// The letters that came and are held, of all relays, in the order in which they came.
    pub fn held(&self) -> Result<Vec<AtRelay<ParkedLetter>>, String> {
        let select = "SELECT sender, fp, mid, content, place, address FROM parked \
                      JOIN relays ON relays.number = parked.relay ORDER BY place";
        self.at_relays(select, parked)
    }

    /// What `select` finds: a letter in the first four columns, then its place and its relay.
    fn at_relays<T>(
        &self,
        select: &str,
        letter: fn(&Row) -> rusqlite::Result<T>,
    ) -> Result<Vec<AtRelay<T>>, String> {
        let at_relay = |row: &Row| {
            Ok(AtRelay { letter: letter(row)?, place: row.get(4)?, relay: row.get(5)? })
        };
        let read = || {
            let mut select = self.database.prepare(select)?;
            select.query_map([], at_relay)?.collect::<rusqlite::Result<_>>()
        };
        read().map_err(|error| unusable(&self.path, &error))
    }

    /// These are not waited for any more, and those are dropped.
    pub fn forget(
        &mut self,
        left: &[AtRelay<WaitingLetter>],
        held: &[AtRelay<ParkedLetter>],
    ) -> Result<(), String> {
        let left = left.iter().map(|it| ("waiting", it.place, it.letter.mid));
        let held = held.iter().map(|it| ("parked", it.place, it.letter.mid));
        let forget = || {
            let transaction = self.write()?;
            for (table, place, mid) in left.chain(held) {
                let delete = format!("DELETE FROM {table} WHERE place = ?1 AND mid = ?2");
                transaction.execute(&delete, params![place, mid])?;
            }
            transaction.commit()
        };
        forget().map_err(|error| unusable(&self.path, &error))
    }

    /// What is kept of this relay; the error within says that there is no room for it.
    fn kept(
        &mut self,
        relay: &RelayPin,
        now: u64,
    ) -> rusqlite::Result<Result<KeptLetters, String>> {
        let snapshot = self.database.unchecked_transaction()?;
        let found = find(&snapshot, relay)?;
        self.relay = found.map(|(number, _)| number);
        let Some((number, visited)) = found else {
            return Ok(match room(&snapshot, now)? {
                Room::Free | Room::Of(_) => Ok(KeptLetters::default()),
                Room::None { longest } => Err(too_many_relays(&longest)),
            });
        };
        let keys = |row: &Row| {
            let created = time(row.get(2)?).unwrap_or_default();
            let (id, sealed, published) = (row.get(0)?, row.get(1)?, time(row.get(3)?));
            Ok(KeptKey { id, sealed, created, published })
        };
        let owed = |row: &Row| {
            let since = time(row.get(2)?).unwrap_or_default();
            Ok(OwedReceipt { to: row.get(0)?, mid: row.get(1)?, since })
        };
        let of_relay = Of { snapshot: &snapshot, number };
        Ok(Ok(KeptLetters {
            visited,
            keys: of_relay.all("SELECT id, sealed, created, published FROM keys", keys)?,
            parked: of_relay.all("SELECT sender, fp, mid, content FROM parked", parked)?,
            owed: of_relay.all("SELECT peer, mid, since FROM owed", owed)?,
            waiting: of_relay.all("SELECT peer, mid, id, stored FROM waiting", waiting)?,
        }))
    }

    fn kept_of(&self, fp: &Fingerprint) -> rusqlite::Result<KeptPeer> {
        let Some(relay) = self.relay else { return Ok(KeptPeer::default()) };
        let snapshot = self.database.unchecked_transaction()?;
        let numbers = |row: &Row| {
            let (floor, newest_key) = (time(row.get(0)?), time(row.get(1)?));
            Ok((floor.unwrap_or_default(), newest_key.unwrap_or_default()))
        };
        let of_peer = "SELECT floor, newest_key FROM peers WHERE relay = ?1 AND fp = ?2";
        let found = snapshot.query_row(of_peer, params![relay, fp.0], numbers).optional()?;
        let (floor, newest_key) = if let Some(found) = found {
            found
        } else {
            let of_relay = "SELECT floor, 0 FROM relays WHERE number = ?1";
            snapshot.query_row(of_relay, [relay], numbers)?
        };
        let mut seen = snapshot
            .prepare_cached("SELECT mid FROM seen WHERE relay = ?1 AND fp = ?2 ORDER BY place")?;
        let seen = seen.query_map(params![relay, fp.0], |row| row.get(0))?;
        Ok(KeptPeer { seen: seen.collect::<rusqlite::Result<_>>()?, floor, newest_key })
    }

    fn change(&mut self, changes: &[Change]) -> rusqlite::Result<()> {
        let mut visited = self.relay;
        let transaction = self.write()?;
        for change in changes {
            if let Change::Visit { relay, now } = change {
                visited = Some(visit(&transaction, relay, *now)?);
                continue;
            }
            let relay = visited.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
            Within { transaction: &transaction, relay }.make(change)?;
        }
        transaction.commit()?;
        self.relay = visited;
        Ok(())
    }
}

impl LetterBook for FileLetters {
    fn visit(&mut self, relay: &RelayPin, now: u64) -> Result<KeptLetters, String> {
        let kept = self.kept(relay, now);
        kept.map_err(|error| unusable(&self.path, &error))?
    }

    fn peer(&mut self, fp: &Fingerprint) -> Result<KeptPeer, String> {
        self.kept_of(fp).map_err(|error| unusable(&self.path, &error))
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), String> {
        let made = self.change(changes);
        if let Err(error) = &made
            && error.sqlite_error_code() == Some(ErrorCode::ReadOnly)
            && let Ok(anew) = connect(&self.path)
        {
            // SQLite opens a file for reading where it cannot write to it, and keeps to that. The
            // next attempt may find a disk that can be written to again.
            self.database = anew;
        }
        made.map_err(|error| unusable(&self.path, &error))
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(LETTERS_BUSY)?;
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "synchronous", "full")?;
    Ok(connection)
}

/// What is wrong with the file, and what to do.
fn unusable(path: &Path, error: &rusqlite::Error) -> String {
    let advice = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "make room on its disk",
        Some(ErrorCode::SystemIoFailure) => "look at its disk, and at what the system says of it",
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            "make it a file that you may read and write"
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another process uses it: try again when that has ended"
        }
        _ => "move the file away to begin anew, without the letters and keys in it",
    };
    format!("'{}' cannot be used: {error}: {advice}", path.display())
}

/// The rows of one relay.
struct Of<'a> {
    snapshot: &'a Transaction<'a>,
    number: i64,
}

impl Of<'_> {
    /// Its rows of a table, in the order of their places.
    fn all<T>(
        &self,
        select: &str,
        read: impl FnMut(&Row) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        let select = format!("{select} WHERE relay = ?1 ORDER BY place");
        let mut select = self.snapshot.prepare(&select)?;
        select.query_map([self.number], read)?.collect()
    }
}

fn waiting(row: &Row) -> rusqlite::Result<WaitingLetter> {
    let stored = time(row.get(3)?).unwrap_or_default();
    Ok(WaitingLetter { to: row.get(0)?, mid: row.get(1)?, id: row.get(2)?, stored })
}

fn parked(row: &Row) -> rusqlite::Result<ParkedLetter> {
    let (from, fp) = (row.get(0)?, Fingerprint(row.get(1)?));
    Ok(ParkedLetter { from, fp, mid: row.get(2)?, content: row.get(3)? })
}

/// SQLite's integers have a sign.
pub(super) fn time(stored: Option<i64>) -> Option<u64> {
    stored.map(i64::cast_unsigned)
}

// --- Changes ---

/// A transaction that is about this relay.
struct Within<'a> {
    transaction: &'a Transaction<'a>,
    relay: i64,
}

impl Within<'_> {
    fn run(&self, sql: &str, values: &[&dyn rusqlite::ToSql]) -> rusqlite::Result<usize> {
        let all: Vec<_> = [&self.relay as &dyn rusqlite::ToSql]
            .into_iter()
            .chain(values.iter().copied())
            .collect();
        self.transaction.prepare_cached(sql)?.execute(&*all)
    }

    fn make(&self, change: &Change) -> rusqlite::Result<()> {
        let run = |sql, values: &[&dyn rusqlite::ToSql]| self.run(sql, values).map(drop);
        match change {
            Change::Visit { .. } => Ok(()), // was made
            Change::Key(KeptKey { id, sealed, created, published }) => run(
                "INSERT INTO keys (relay, id, sealed, created, published) \
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                params![id, sealed, created.cast_signed(), published.map(u64::cast_signed)],
            ),
            Change::Published { id, at } => run(
                "UPDATE keys SET published = coalesce(published, ?3) WHERE relay = ?1 AND id = ?2",
                params![id, at.cast_signed()],
            ),
            Change::Erase { id } => {
                run("DELETE FROM keys WHERE relay = ?1 AND id = ?2", params![id])
            }
            Change::Park(ParkedLetter { from, fp, mid, content }) => run(
                "INSERT INTO parked (relay, sender, fp, mid, content) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![from, fp.0, mid, content],
            ),
            Change::Unpark { from, mid } => run(
                "DELETE FROM parked WHERE relay = ?1 AND sender = ?2 AND mid = ?3",
                params![from, mid],
            ),
            Change::Seen { fp, mid, created, now } => {
                self.heard(fp, *now)?;
                self.see(fp, mid, *created)
            }
            Change::Owe(OwedReceipt { to, mid, since }) => {
                let owe =
                    "INSERT OR IGNORE INTO owed (relay, peer, mid, since) VALUES (?1, ?2, ?3, ?4)";
                run(owe, params![to, mid, since.cast_signed()])?;
                self.keep_last("owed", OWED_RECEIPTS)
            }
            Change::Paid { to, mids } => mids.iter().try_for_each(|mid| {
                let paid = "DELETE FROM owed WHERE relay = ?1 AND peer = ?2 AND mid = ?3";
                run(paid, params![to, mid])
            }),
            Change::Wait(WaitingLetter { to, mid, id, stored }) => {
                let wait = "INSERT OR REPLACE INTO waiting (relay, peer, mid, id, stored) \
                            VALUES (?1, ?2, ?3, ?4, ?5)";
                run(wait, params![to, mid, id, stored.cast_signed()])?;
                self.keep_last("waiting", WAITING_LETTERS)
            }
            Change::Settled { to, mid } => run(
                "DELETE FROM waiting WHERE relay = ?1 AND peer = ?2 AND mid = ?3",
                params![to, mid],
            ),
            Change::NewestKey { fp, created, now } => {
                self.heard(fp, *now)?;
                let newest = "UPDATE peers SET newest_key = max(newest_key, ?3) \
                              WHERE relay = ?1 AND fp = ?2";
                run(newest, params![fp.0, created.cast_signed()])
            }
        }
    }

    /// Deletes the oldest rows of a table beyond so many.
    fn keep_last(&self, table: &str, most: usize) -> rusqlite::Result<()> {
        let sql = format!(
            "DELETE FROM {table} WHERE relay = ?1 AND place <= (SELECT place FROM {table} \
             WHERE relay = ?1 ORDER BY place DESC LIMIT 1 OFFSET ?2)"
        );
        self.run(&sql, params![count(most)]).map(drop)
    }

    /// Notes that a peer was heard of; the one of whom nothing was noted for longest, at whatever
    /// relay, makes room.
    fn heard(&self, fp: &Fingerprint, now: u64) -> rusqlite::Result<()> {
        let hear = "INSERT INTO peers (relay, fp, floor, newest_key, heard) \
                    SELECT ?1, ?2, floor, 0, ?3 FROM relays WHERE number = ?1 \
                    ON CONFLICT (relay, fp) DO UPDATE SET heard = max(heard, excluded.heard)";
        self.run(hear, params![fp.0, now.cast_signed()])?;
        let mut beyond = self.transaction.prepare_cached(
            "SELECT relay, fp, heard FROM peers WHERE NOT (relay = ?1 AND fp = ?2) AND \
             (SELECT count(*) FROM peers) > ?3 ORDER BY heard LIMIT 1",
        )?;
        let oldest = beyond
            .query_row(params![self.relay, fp.0, count(LETTER_PEERS)], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, [u8; 32]>(1)?, row.get::<_, i64>(2)?))
            })
            .optional()?;
        let Some((relay, oldest, heard)) = oldest else { return Ok(()) };
        let there = Within { relay, ..*self };
        there.run("UPDATE relays SET floor = max(floor, ?2) WHERE number = ?1", params![heard])?;
        there.run("DELETE FROM peers WHERE relay = ?1 AND fp = ?2", params![oldest])?;
        there.run("DELETE FROM seen WHERE relay = ?1 AND fp = ?2", params![oldest]).map(drop)
    }

    fn see(&self, fp: &Fingerprint, mid: &[u8; 16], created: Option<u64>) -> rusqlite::Result<()> {
        let insert = "INSERT OR IGNORE INTO seen (relay, fp, mid, created) VALUES (?1, ?2, ?3, ?4)";
        if self.run(insert, params![fp.0, mid, created.map(u64::cast_signed)])? == 0 {
            return Ok(());
        }
        let most = if created.is_some() { SEEN_LETTERS } else { SEEN_SESSION_TEXTS };
        let mut oldest = self.transaction.prepare_cached(
            "DELETE FROM seen WHERE place = (SELECT place FROM seen WHERE relay = ?1 AND fp = ?2 \
             AND (created IS NULL) = ?3 ORDER BY place DESC LIMIT 1 OFFSET ?4) RETURNING created",
        )?;
        let values = params![self.relay, fp.0, created.is_none(), count(most)];
        let dropped: Option<Option<i64>> = oldest.query_row(values, |row| row.get(0)).optional()?;
        let Some(floor) = dropped.flatten() else { return Ok(()) };
        let raise = "UPDATE peers SET floor = max(floor, ?3) WHERE relay = ?1 AND fp = ?2";
        self.run(raise, params![fp.0, floor]).map(drop)
    }
}

pub(super) fn count(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::letter_book::tests::{CONTRACT, relay, visit};
    use super::*;

    const NAME: &str = "letters.sqlite";

    fn home() -> (tempfile::TempDir, Home) {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path().join("home")).unwrap();
        (folder, home)
    }

    fn open(home: &Home) -> FileLetters {
        FileLetters::open(home, NAME, None).unwrap()
    }

    /// Opened, at the first relay.
    fn visited(home: &Home) -> FileLetters {
        let mut book = open(home);
        visit(&mut book, &relay(1), 1);
        book
    }

    #[test]
    fn a_file_keeps_what_was_committed() {
        for test in CONTRACT {
            let (_folder, home) = home();
            test(&mut open(&home));
        }
    }

    #[test]
    fn it_is_there_at_the_next_start_and_for_its_owner_alone() {
        let (_folder, home) = home();
        let key = KeptKey { id: 7, sealed: vec![1; 40], created: 1, published: None };
        visited(&home).commit(&[Change::Key(key.clone())]).unwrap();
        assert_eq!(visit(&mut open(&home), &relay(1), 1).keys, [key]);
        let mode = std::fs::metadata(home.path(NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_is_erased_is_overwritten() {
        let (_folder, home) = home();
        let sealed = b"this stands for the secret half".to_vec();
        let stands_there = || {
            let bytes = std::fs::read(home.path(NAME)).unwrap();
            memchr::memmem::find(&bytes, &sealed).is_some()
        };
        let mut book = visited(&home);
        let key = KeptKey { id: 7, sealed: sealed.clone(), created: 1, published: None };
        book.commit(&[Change::Key(key)]).unwrap();
        assert!(stands_there());
        book.commit(&[Change::Erase { id: 7 }]).unwrap();
        assert!(!stands_there());
    }

    #[test]
    fn a_commit_is_all_or_nothing_and_on_the_disk_when_it_returns() {
        let (_folder, home) = home();
        let mut book = visited(&home);
        let key = |id, length| {
            Change::Key(KeptKey { id, sealed: vec![1; length], created: 1, published: None })
        };
        let pages: i64 =
            book.database.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        book.database.pragma_update(None, "max_page_count", pages + 1).unwrap();
        assert!(book.commit(&[key(1, 10), key(2, 100_000)]).is_err());
        book.commit(&[key(3, 10)]).unwrap();
        let ids: Vec<_> = visit(&mut book, &relay(1), 1).keys.iter().map(|key| key.id).collect();
        assert_eq!(ids, [3]);
        let full: i64 =
            book.database.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
        assert_eq!(full, 2);
    }

    #[test]
    fn what_cannot_be_written_or_looked_up_is_told_with_the_file_and_what_to_do() {
        let (_folder, home) = home();
        let mut book = open(&home);
        visit(&mut book, &relay(1), 1);
        book.commit(&[Change::Visit { relay: relay(1), now: 1 }]).unwrap();
        book.database.execute_batch("DROP TABLE keys; DROP TABLE peers").unwrap();
        let path = home.path(NAME).display().to_string();
        let told = [
            book.commit(&[Change::Erase { id: 7 }]).unwrap_err(),
            book.peer(&Fingerprint([7; 32])).unwrap_err(),
        ];
        assert!(told.iter().all(|why| why.contains(&path) && why.contains("move")), "{told:?}");
    }

    #[test]
    fn a_file_that_cannot_be_used_is_refused_by_its_path() {
        let (_folder, home) = home();
        open(&home).database.pragma_update(None, "user_version", SCHEMA + 1).unwrap();
        let path = home.path(NAME).display().to_string();
        let refused = FileLetters::open(&home, NAME, None).unwrap_err();
        assert!(refused.contains(&path) && refused.contains("newer one"), "{refused}");
        std::fs::write(home.path(NAME), "no database at all, ".repeat(100)).unwrap();
        let refused = FileLetters::open(&home, NAME, None).unwrap_err();
        assert!(refused.contains(&path) && refused.contains("move the file away"), "{refused}");
    }

    /// Cut at each page, and with each page written over: it is refused when it is opened or
    /// read, or what was damaged is not needed. Only one of no bytes is taken for a new one.
    #[test]
    fn a_damaged_file_is_told_with_what_to_do() {
        let (_folder, home) = home();
        let key =
            |id| Change::Key(KeptKey { id, sealed: vec![1; 40], created: 1, published: None });
        let letter = |number: u8| ParkedLetter {
            from: "bob".to_owned(),
            fp: Fingerprint([7; 32]),
            mid: [number; 16],
            content: "A".repeat(20_000),
        };
        let parked = (0..3).map(|number| Change::Park(letter(number)));
        let all: Vec<_> = [key(1), key(2)].into_iter().chain(parked).collect();
        visited(&home).commit(&all).unwrap();
        let whole = std::fs::read(home.path(NAME)).unwrap();
        let kept = visit(&mut open(&home), &relay(1), 1);
        let mut refused = 0;
        for at in (0..whole.len()).step_by(4096) {
            let mut written_over = whole.clone();
            written_over[at..at + 4096].fill(0x5a);
            for damaged in [&whole[..at], &whole[..at + 100], &written_over] {
                std::fs::write(home.path(NAME), damaged).unwrap();
                match FileLetters::open(&home, NAME, None)
                    .and_then(|mut book| book.visit(&relay(1), 1))
                {
                    Err(why) => {
                        refused += 1;
                        assert!(why.contains("move the file away"), "at {at}: {why}");
                    }
                    Ok(found) if at == 0 && damaged.is_empty() => assert_eq!(found.keys, []),
                    Ok(found) => assert_eq!(found.keys, kept.keys, "at {at}"),
                }
            }
        }
        assert!(refused > 10, "{refused}");
        std::fs::remove_file(home.path(NAME)).unwrap();
        std::fs::create_dir(home.path(NAME)).unwrap();
        assert!(FileLetters::open(&home, NAME, None).is_err());
    }
}
