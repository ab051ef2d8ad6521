//! Letters in a file of the home: one SQLite database, `letters.sqlite`.
//!
//! One database, and not a file for each part, so that "shown" and "a receipt is owed" are written
//! by one commit. What is erased is overwritten (`secure_delete`), and a commit is on the disk when
//! it returns (`synchronous = FULL`, <https://www.sqlite.org/pragma.html>). The client holds the
//! lock of its home, so only `sealwax letters` writes beside it.

use std::path::Path;

use rusqlite::{
    Connection, ErrorCode, OptionalExtension, Row, Transaction, TransactionBehavior, params,
};

use super::letter_book::{
    Change, KeptKey, KeptLetters, KeptPeer, LetterBook, OwedReceipt, ParkedLetter, WaitingLetter,
};
use crate::home::Home;
use crate::limits::{
    LETTER_PEERS, LETTERS_BUSY, OWED_RECEIPTS, SEEN_LETTERS, SEEN_SESSION_TEXTS, WAITING_LETTERS,
};
use crate::wire::Fingerprint;

/// The number of the tables' form, kept in the database's `user_version`; 0 is an empty file.
const SCHEMA: i32 = 1;

/// `created` of `seen` is `NULL` for a text that came in a session. `floor` has one row: that of
/// the peers that were forgotten. Times are milliseconds since 1970.
const CREATE: &str = "
    CREATE TABLE keys (
        place INTEGER PRIMARY KEY, id INTEGER NOT NULL UNIQUE, sealed BLOB NOT NULL,
        published INTEGER) STRICT;
    CREATE TABLE parked (
        place INTEGER PRIMARY KEY, sender TEXT NOT NULL, fp BLOB NOT NULL, mid BLOB NOT NULL,
        content TEXT NOT NULL) STRICT;
    CREATE TABLE owed (
        place INTEGER PRIMARY KEY, peer TEXT NOT NULL, mid BLOB NOT NULL, since INTEGER NOT NULL,
        UNIQUE (peer, mid)) STRICT;
    CREATE TABLE waiting (
        place INTEGER PRIMARY KEY, peer TEXT NOT NULL, mid BLOB NOT NULL, id TEXT NOT NULL,
        stored INTEGER NOT NULL, UNIQUE (peer, mid)) STRICT;
    CREATE TABLE peers (
        fp BLOB PRIMARY KEY, floor INTEGER NOT NULL, newest_key INTEGER NOT NULL,
        heard INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE INDEX peers_heard ON peers (heard);
    CREATE TABLE seen (
        place INTEGER PRIMARY KEY, fp BLOB NOT NULL, mid BLOB NOT NULL, created INTEGER,
        UNIQUE (fp, mid)) STRICT;
    CREATE INDEX seen_kind ON seen (fp, created IS NULL, place);
    CREATE TABLE floor (floor INTEGER NOT NULL) STRICT;
    INSERT INTO floor VALUES (0)";

/// Letters in the home.
#[derive(Debug)]
pub struct FileLetters(Connection);

impl FileLetters {
    /// Opens the file `name` of `home`, and makes it where there is none. The error is a text for
    /// people, and says what to do.
    pub fn open(home: &Home, name: &str) -> Result<Self, String> {
        home.make(name).map_err(|error| error.to_string())?;
        let path = home.path(name);
        let book = Self::connect(&path).map_err(|error| unusable(&path, &error))?;
        match book.schema().map_err(|error| unusable(&path, &error))? {
            SCHEMA => Ok(book),
            found => Err(format!(
                "letters in '{}' have schema {found}, and this version knows {SCHEMA}: run the \
                 version that wrote them, or a newer one",
                path.display()
            )),
        }
    }

    fn connect(path: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(LETTERS_BUSY)?;
        connection.pragma_update(None, "secure_delete", true)?;
        connection.pragma_update(None, "synchronous", "full")?;
        Ok(Self(connection))
    }

    fn schema(&self) -> rusqlite::Result<i32> {
        let version = || self.0.pragma_query_value(None, "user_version", |row| row.get(0));
        let found: i32 = version()?;
        if found != 0 {
            return Ok(found);
        }
        let transaction = self.write()?;
        if version()? == 0 {
            transaction.execute_batch(CREATE)?;
            transaction.pragma_update(None, "user_version", SCHEMA)?;
        }
        transaction.commit()?;
        version()
    }

    /// For messages.
    fn path(&self) -> &Path {
        Path::new(self.0.path().unwrap_or_default())
    }

    /// A transaction that may write from its first step: it waits for the lock here or nowhere.
    fn write(&self) -> rusqlite::Result<Transaction<'_>> {
        Transaction::new_unchecked(&self.0, TransactionBehavior::Immediate)
    }

    fn kept(&self) -> rusqlite::Result<KeptLetters> {
        let snapshot = self.0.unchecked_transaction()?;
        let keys = |row: &Row| {
            let (id, sealed, published) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(KeptKey { id, sealed, published: time(published) })
        };
        let parked = |row: &Row| {
            let (from, fp) = (row.get(0)?, Fingerprint(row.get(1)?));
            Ok(ParkedLetter { from, fp, mid: row.get(2)?, content: row.get(3)? })
        };
        let owed = |row: &Row| {
            let since = time(row.get(2)?).unwrap_or_default();
            Ok(OwedReceipt { to: row.get(0)?, mid: row.get(1)?, since })
        };
        let waiting = |row: &Row| {
            let stored = time(row.get(3)?).unwrap_or_default();
            Ok(WaitingLetter { to: row.get(0)?, mid: row.get(1)?, id: row.get(2)?, stored })
        };
        Ok(KeptLetters {
            keys: all(&snapshot, "SELECT id, sealed, published FROM keys", keys)?,
            parked: all(&snapshot, "SELECT sender, fp, mid, content FROM parked", parked)?,
            owed: all(&snapshot, "SELECT peer, mid, since FROM owed", owed)?,
            waiting: all(&snapshot, "SELECT peer, mid, id, stored FROM waiting", waiting)?,
        })
    }

    fn kept_of(&self, fp: &Fingerprint) -> rusqlite::Result<KeptPeer> {
        let snapshot = self.0.unchecked_transaction()?;
        let numbers = |row: &Row| {
            let (floor, newest_key) = (time(row.get(0)?), time(row.get(1)?));
            Ok((floor.unwrap_or_default(), newest_key.unwrap_or_default()))
        };
        let of_peer = "SELECT floor, newest_key FROM peers WHERE fp = ?1";
        let found = snapshot.query_row(of_peer, [fp.0], numbers).optional()?;
        let (floor, newest_key) = match found {
            Some(found) => found,
            None => snapshot.query_row("SELECT floor, 0 FROM floor", [], numbers)?,
        };
        let mut seen =
            snapshot.prepare_cached("SELECT mid FROM seen WHERE fp = ?1 ORDER BY place")?;
        let seen = seen.query_map([fp.0], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        Ok(KeptPeer { seen, floor, newest_key })
    }

    fn change(&self, changes: &[Change]) -> rusqlite::Result<()> {
        let transaction = self.write()?;
        for change in changes {
            make(&transaction, change)?;
        }
        transaction.commit()
    }
}

impl LetterBook for FileLetters {
    fn load(&mut self) -> Result<KeptLetters, String> {
        self.kept().map_err(|error| unusable(self.path(), &error))
    }

    fn peer(&mut self, fp: &Fingerprint) -> Result<KeptPeer, String> {
        self.kept_of(fp).map_err(|error| unusable(self.path(), &error))
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), String> {
        self.change(changes).map_err(|error| unusable(self.path(), &error))
    }
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

/// All rows of a table, in the order of their places.
fn all<T>(
    from: &Transaction,
    select: &str,
    read: impl FnMut(&Row) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    let mut select = from.prepare(&format!("{select} ORDER BY place"))?;
    select.query_map([], read)?.collect()
}

/// SQLite's integers have a sign.
fn time(stored: Option<i64>) -> Option<u64> {
    stored.map(i64::cast_unsigned)
}

fn make(within: &Transaction, change: &Change) -> rusqlite::Result<()> {
    let run = |sql, values: &[&dyn rusqlite::ToSql]| {
        within.prepare_cached(sql)?.execute(values).map(drop)
    };
    match change {
        Change::Key(KeptKey { id, sealed, published }) => {
            let published = published.map(u64::cast_signed);
            run(
                "INSERT INTO keys (id, sealed, published) VALUES (?1, ?2, ?3)",
                params![id, sealed, published],
            )
        }
        Change::Published { id, at } => run(
            "UPDATE keys SET published = coalesce(published, ?2) WHERE id = ?1",
            params![id, at.cast_signed()],
        ),
        Change::Erase { id } => run("DELETE FROM keys WHERE id = ?1", params![id]),
        Change::Park(ParkedLetter { from, fp, mid, content }) => run(
            "INSERT INTO parked (sender, fp, mid, content) VALUES (?1, ?2, ?3, ?4)",
            params![from, fp.0, mid, content],
        ),
        Change::Unpark { from, mid } => {
            run("DELETE FROM parked WHERE sender = ?1 AND mid = ?2", params![from, mid])
        }
        Change::Seen { fp, mid, created, now } => {
            heard(within, fp, *now)?;
            see(within, fp, mid, *created)
        }
        Change::Owe(OwedReceipt { to, mid, since }) => {
            let owe = "INSERT OR IGNORE INTO owed (peer, mid, since) VALUES (?1, ?2, ?3)";
            run(owe, params![to, mid, since.cast_signed()])?;
            keep_last(within, "owed", OWED_RECEIPTS)
        }
        Change::Paid { to, mids } => mids.iter().try_for_each(|mid| {
            run("DELETE FROM owed WHERE peer = ?1 AND mid = ?2", params![to, mid])
        }),
        Change::Wait(WaitingLetter { to, mid, id, stored }) => {
            let wait = "INSERT OR REPLACE INTO waiting (peer, mid, id, stored) \
                        VALUES (?1, ?2, ?3, ?4)";
            run(wait, params![to, mid, id, stored.cast_signed()])?;
            keep_last(within, "waiting", WAITING_LETTERS)
        }
        Change::Settled { to, mid } => {
            run("DELETE FROM waiting WHERE peer = ?1 AND mid = ?2", params![to, mid])
        }
        Change::NewestKey { fp, created, now } => {
            heard(within, fp, *now)?;
            let newest = "UPDATE peers SET newest_key = max(newest_key, ?2) WHERE fp = ?1";
            run(newest, params![fp.0, created.cast_signed()])
        }
    }
}

/// Deletes the oldest rows of a table beyond so many.
fn keep_last(within: &Transaction, table: &str, most: usize) -> rusqlite::Result<()> {
    let sql = format!(
        "DELETE FROM {table} WHERE place <= \
         (SELECT place FROM {table} ORDER BY place DESC LIMIT 1 OFFSET ?1)"
    );
    within.prepare_cached(&sql)?.execute(params![count(most)]).map(drop)
}

/// Notes that a peer was heard of; the one of whom nothing was noted for longest makes room.
fn heard(within: &Transaction, fp: &Fingerprint, now: u64) -> rusqlite::Result<()> {
    let mut hear = within.prepare_cached(
        "INSERT INTO peers (fp, floor, newest_key, heard) SELECT ?1, floor, 0, ?2 FROM floor \
         WHERE true ON CONFLICT (fp) DO UPDATE SET heard = max(heard, excluded.heard)",
    )?;
    hear.execute(params![fp.0, now.cast_signed()])?;
    let mut beyond = within.prepare_cached(
        "SELECT fp, heard FROM peers WHERE fp <> ?1 AND \
         (SELECT count(*) FROM peers) > ?2 ORDER BY heard LIMIT 1",
    )?;
    let oldest = beyond
        .query_row(params![fp.0, count(LETTER_PEERS)], |row| {
            Ok((row.get::<_, [u8; 32]>(0)?, row.get::<_, i64>(1)?))
        })
        .optional()?;
    let Some((oldest, heard)) = oldest else { return Ok(()) };
    within.execute("UPDATE floor SET floor = max(floor, ?1)", [heard])?;
    within.execute("DELETE FROM peers WHERE fp = ?1", [oldest])?;
    within.execute("DELETE FROM seen WHERE fp = ?1", [oldest]).map(drop)
}

fn see(
    within: &Transaction,
    fp: &Fingerprint,
    mid: &[u8; 16],
    created: Option<u64>,
) -> rusqlite::Result<()> {
    let insert = "INSERT OR IGNORE INTO seen (fp, mid, created) VALUES (?1, ?2, ?3)";
    let created_ms = created.map(u64::cast_signed);
    if within.prepare_cached(insert)?.execute(params![fp.0, mid, created_ms])? == 0 {
        return Ok(());
    }
    let most = if created.is_some() { SEEN_LETTERS } else { SEEN_SESSION_TEXTS };
    let mut oldest = within.prepare_cached(
        "DELETE FROM seen WHERE place = (SELECT place FROM seen WHERE fp = ?1 AND \
         (created IS NULL) = ?2 ORDER BY place DESC LIMIT 1 OFFSET ?3) RETURNING created",
    )?;
    let values = params![fp.0, created.is_none(), count(most)];
    let dropped: Option<Option<i64>> = oldest.query_row(values, |row| row.get(0)).optional()?;
    let Some(floor) = dropped.flatten() else { return Ok(()) };
    let raise = "UPDATE peers SET floor = max(floor, ?2) WHERE fp = ?1";
    within.prepare_cached(raise)?.execute(params![fp.0, floor]).map(drop)
}

fn count(most: usize) -> i64 {
    i64::try_from(most).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::letter_book::tests::{
        forgets_the_oldest_texts, forgets_who_was_silent_longest, keeps_no_more_than_it_may,
        keeps_what_was_committed,
    };
    use super::*;

    const NAME: &str = "letters.sqlite";

    fn home() -> (tempfile::TempDir, Home) {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path().join("home")).unwrap();
        (folder, home)
    }

    fn open(home: &Home) -> FileLetters {
        FileLetters::open(home, NAME).unwrap()
    }

    #[test]
    fn a_file_keeps_what_was_committed() {
        let tests = [
            keeps_what_was_committed,
            forgets_the_oldest_texts,
            forgets_who_was_silent_longest,
            keeps_no_more_than_it_may,
        ];
        for test in tests {
            let (_folder, home) = home();
            test(&mut open(&home));
        }
    }

    #[test]
    fn it_is_there_at_the_next_start_and_for_its_owner_alone() {
        let (_folder, home) = home();
        let key = KeptKey { id: 7, sealed: vec![1; 40], published: None };
        open(&home).commit(&[Change::Key(key.clone())]).unwrap();
        assert_eq!(open(&home).load().unwrap().keys, [key]);
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
        let mut book = open(&home);
        let key = KeptKey { id: 7, sealed: sealed.clone(), published: None };
        book.commit(&[Change::Key(key)]).unwrap();
        assert!(stands_there());
        book.commit(&[Change::Erase { id: 7 }]).unwrap();
        assert!(!stands_there());
    }

    #[test]
    fn a_commit_is_all_or_nothing_and_on_the_disk_when_it_returns() {
        let (_folder, home) = home();
        let mut book = open(&home);
        let key =
            |id, length| Change::Key(KeptKey { id, sealed: vec![1; length], published: None });
        let pages: i64 = book.0.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        book.0.pragma_update(None, "max_page_count", pages + 1).unwrap();
        assert!(book.commit(&[key(1, 10), key(2, 100_000)]).is_err());
        book.commit(&[key(3, 10)]).unwrap();
        let ids: Vec<_> = book.load().unwrap().keys.iter().map(|key| key.id).collect();
        assert_eq!(ids, [3]);
        let full: i64 = book.0.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
        assert_eq!(full, 2);
    }

    #[test]
    fn what_cannot_be_written_or_looked_up_is_told_with_the_file_and_what_to_do() {
        let (_folder, home) = home();
        let mut book = open(&home);
        book.0.execute_batch("DROP TABLE keys; DROP TABLE peers").unwrap();
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
        open(&home).0.pragma_update(None, "user_version", 2).unwrap();
        let path = home.path(NAME).display().to_string();
        let refused = FileLetters::open(&home, NAME).unwrap_err();
        assert!(refused.contains(&path) && refused.contains("newer one"), "{refused}");
        std::fs::write(home.path(NAME), "no database at all, ".repeat(100)).unwrap();
        let refused = FileLetters::open(&home, NAME).unwrap_err();
        assert!(refused.contains(&path) && refused.contains("move the file away"), "{refused}");
    }

    /// Cut at each page, and with each page written over: it is refused when it is opened or
    /// read, or what was damaged is not needed. Only one of no bytes is taken for a new one.
    #[test]
    fn a_damaged_file_is_told_with_what_to_do() {
        let (_folder, home) = home();
        let key = |id| Change::Key(KeptKey { id, sealed: vec![1; 40], published: None });
        let letter = |number: u8| ParkedLetter {
            from: "bob".to_owned(),
            fp: Fingerprint([7; 32]),
            mid: [number; 16],
            content: "A".repeat(20_000),
        };
        let parked = (0..3).map(|number| Change::Park(letter(number)));
        let all: Vec<_> = [key(1), key(2)].into_iter().chain(parked).collect();
        open(&home).commit(&all).unwrap();
        let whole = std::fs::read(home.path(NAME)).unwrap();
        let kept = open(&home).load().unwrap();
        let mut refused = 0;
        for at in (0..whole.len()).step_by(4096) {
            let mut written_over = whole.clone();
            written_over[at..at + 4096].fill(0x5a);
            for damaged in [&whole[..at], &whole[..at + 100], &written_over] {
                std::fs::write(home.path(NAME), damaged).unwrap();
                match FileLetters::open(&home, NAME).and_then(|mut book| book.load()) {
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
        assert!(FileLetters::open(&home, NAME).is_err());
    }
}
