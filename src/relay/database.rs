//! The table of bound names in its file: schema, statements, and what can be wrong with the file.
//!
//! Knows SQL and the disk, no threads. Every call may wait for the disk. The database is in WAL
//! mode with `synchronous = FULL`: what was committed survives a power cut
//! (<https://www.sqlite.org/pragma.html#pragma_synchronous>).

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{
    Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, params,
};

use super::boxes;
use super::limits::{SPARE_PAGES, STATEMENTS, STORE_BUSY, UPKEEP_PAGES, WAL_BYTES};
use super::open_error::OpenError;
use super::store::StoreFault;
use super::utc::Day;
use crate::wire::Fingerprint;

/// The number of the tables' form, kept in the database's `user_version`; 0 is an empty file.
pub(super) const SCHEMA: i32 = 3;

/// The value of `PRAGMA auto_vacuum` under which unused pages are given back when asked.
const INCREMENTAL: u32 = 2;

/// Days are those since 1970-01-01 (UTC); `NULL` where it was not known.
const CREATE: &str = "
    CREATE TABLE names (
        name      TEXT PRIMARY KEY,
        fp        BLOB NOT NULL CHECK (length(fp) = 32),
        bound_day INTEGER,
        used_day  INTEGER
    ) STRICT, WITHOUT ROWID";

/// From schema 1, which had no days. Names that are there count as used on the day of the change,
/// so that none is released for having been used before anybody took note.
const FROM_1: &str = "
    ALTER TABLE names ADD COLUMN bound_day INTEGER;
    ALTER TABLE names ADD COLUMN used_day INTEGER";

/// Names that were released while a relay was running, which is to be told. The table does not
/// change the schema's number: a version that does not know it does not need it.
const CREATE_RELEASED: &str = "
    CREATE TABLE IF NOT EXISTS released (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID";

const SELECT: &str = "SELECT name, fp FROM names ORDER BY name";

const SELECT_ALL: &str = "
    SELECT name, fp, bound_day, used_day, coalesce(sum(letters), 0), coalesce(sum(bytes), 0)
    FROM names LEFT JOIN users USING (name) LEFT JOIN shares ON shares.box = users.id
    GROUP BY name ORDER BY name";

/// Changes one row where the name was free or is bound to the same key already, and none where
/// another key has it: the primary key decides, whoever else writes to the file.
const BIND: &str = "
    INSERT INTO names (name, fp, bound_day, used_day) VALUES (?1, ?2, ?3, ?3)
    ON CONFLICT (name) DO UPDATE SET fp = fp WHERE fp = excluded.fp";

/// Writes nothing where the day is noted already.
const USED: &str = "
    UPDATE names SET used_day = ?2 WHERE name = ?1 AND (used_day IS NULL OR used_day < ?2)";

const RELEASE: &str = "DELETE FROM names WHERE name = ?1 RETURNING fp";

const RELEASE_UNUSED: &str = "
    DELETE FROM names WHERE name = ?1 AND used_day < ?2 RETURNING fp";

/// A name that is bound to no key any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleasedName {
    /// The name.
    pub name: String,
    /// The key that it was bound to.
    pub fp: Fingerprint,
    /// How many letters waited for its user, and are deleted.
    pub letters: u64,
}

/// A bound name, and what is known of its days (since 1970-01-01, UTC).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundName {
    /// The name.
    pub name: String,
    /// The key that it is bound to.
    pub fp: Fingerprint,
    /// When it was bound.
    pub bound_day: Option<u32>,
    /// When its user was last connected.
    pub used_day: Option<u32>,
    /// How many letters wait for its user.
    pub letters: u64,
    /// How many bytes these are.
    pub letter_bytes: u64,
}

/// What to do where there are no tables yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IfEmpty {
    /// Make them: every name is free.
    Create,
    /// Refuse the file: names were kept in it once.
    Refuse,
}

/// An open database of bound names, whose schema is ours.
#[derive(Debug)]
pub(super) struct Database(Connection);

impl Database {
    /// Opens the file at `path`. Beside it come the names in it with their keys, sorted.
    pub(super) fn open(
        path: &Path,
        if_empty: IfEmpty,
    ) -> Result<(Self, Vec<(String, Fingerprint)>), OpenError> {
        let database = Self::open_only(path, if_empty)?;
        let names = database.names().map_err(|error| OpenError::unusable(path, error))?;
        Ok((database, names))
    }

    /// A database that is in no file.
    pub(super) fn in_memory() -> rusqlite::Result<Self> {
        let mut database = Self::prepare(Connection::open_in_memory()?)?;
        database.schema(IfEmpty::Create)?;
        Ok(database)
    }

    /// Opens the file at `path`, and reads no names.
    pub(super) fn open_only(path: &Path, if_empty: IfEmpty) -> Result<Self, OpenError> {
        let unusable = |error| OpenError::unusable(path, error);
        if if_empty == IfEmpty::Refuse && is_empty(path) {
            return Err(OpenError::Gone { path: path.to_owned() });
        }
        let mut database = Self::connect(path).map_err(unusable)?;
        match database.schema(if_empty).map_err(unusable)? {
            SCHEMA => Ok(database),
            0 => Err(OpenError::Gone { path: path.to_owned() }),
            found => Err(OpenError::OtherSchema { path: path.to_owned(), found }),
        }
    }

    /// The names in the file at `path`, sorted, without a byte being written: for a disk that is
    /// full or can only be read.
    ///
    /// On a full one: in exclusive locking mode SQLite keeps the index of its log in memory
    /// instead of in a file (<https://www.sqlite.org/wal.html>, "Use of WAL Without
    /// Shared-Memory"), so that what was committed last is read too.
    pub(super) fn read(path: &Path) -> Result<Vec<(String, Fingerprint)>, OpenError> {
        let read = |database: Connection| {
            database.busy_timeout(STORE_BUSY)?;
            let found: i32 = database.pragma_query_value(None, "user_version", |row| row.get(0))?;
            let is_known = (1..=SCHEMA).contains(&found);
            Ok((found, if is_known { Self(database).names()? } else { Vec::new() }))
        };
        let full = Self::connect_full(path).and_then(read);
        let found = full.or_else(|_| Self::connect_read_only(path).and_then(read));
        match found.map_err(|error| OpenError::unusable(path, error))? {
            (1..=SCHEMA, names) => Ok(names),
            (0, _) => Err(OpenError::Gone { path: path.to_owned() }),
            (found, _) => Err(OpenError::OtherSchema { path: path.to_owned(), found }),
        }
    }

    /// Connects to a file whose disk has no room.
    fn connect_full(path: &Path) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let database = Connection::open_with_flags(path, flags)?;
        database.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        database.pragma_update(None, "locking_mode", "exclusive")?;
        Ok(database)
    }

    /// Connects to a file on a file system that is mounted read-only, with its log and the index of
    /// that, or where the last relay left without a log
    /// (<https://www.sqlite.org/wal.html>, "Read-Only Databases").
    fn connect_read_only(path: &Path) -> rusqlite::Result<Connection> {
        let mut uri = uri(path);
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        if is_empty(Path::new(&log)) {
            uri.push_str("?immutable=1");
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Connection::open_with_flags(uri, flags)
    }

    /// Binds in one transaction, each name with its key's text, and tells what became of each; an
    /// error means that nothing was bound.
    pub(super) fn bind<'a>(
        &mut self,
        names: impl Iterator<Item = (&'a str, &'a Fingerprint, &'a str)>,
    ) -> rusqlite::Result<Vec<Result<(), StoreFault>>> {
        let today = today();
        let transaction = self.write()?;
        let mut bind = transaction.prepare(BIND)?;
        let outcomes = names
            .map(|(name, fp, pem)| match bind.execute(params![name, fp.0, today])? {
                0 => Ok(Err(StoreFault::Taken)),
                _ => boxes::note_pem(&transaction, name, pem).map(Ok),
            })
            .collect::<rusqlite::Result<_>>()?;
        drop(bind);
        transaction.commit()?;
        Ok(outcomes)
    }

    /// Notes that the users of these names are connected today, and the texts of their keys.
    pub(super) fn used<'a>(
        &mut self,
        names: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> rusqlite::Result<()> {
        let today = today();
        let transaction = self.write()?;
        let mut used = transaction.prepare(USED)?;
        for (name, pem) in names {
            used.execute(params![name, today])?;
            boxes::note_pem(&transaction, name, pem)?;
        }
        drop(used);
        transaction.commit()
    }

    /// Releases names, those only that were last used before `unused_since` if it is given, and
    /// notes that for the relay that may be running. The letters of each go with it: those that
    /// wait for it, and those that it stored. Tells which were released.
    pub(super) fn release<'a>(
        &mut self,
        names: impl Iterator<Item = &'a str>,
        unused_since: Option<u32>,
    ) -> rusqlite::Result<Vec<ReleasedName>> {
        let transaction = self.write()?;
        let mut released = Vec::new();
        for name in names {
            let fp = |row: &rusqlite::Row| row.get(0);
            let fp = match unused_since {
                None => transaction.query_row(RELEASE, [name], fp),
                Some(day) => transaction.query_row(RELEASE_UNUSED, params![name, day], fp),
            };
            let Some(fp) = fp.optional()? else { continue };
            let letters = boxes::forget(&transaction, name)?;
            transaction.execute("INSERT OR IGNORE INTO released (name) VALUES (?1)", [name])?;
            released.push(ReleasedName { name: name.to_owned(), fp: Fingerprint(fp), letters });
        }
        transaction.commit()?;
        Ok(released)
    }

    /// The names that were released since this was last asked.
    pub(super) fn take_released(&mut self) -> rusqlite::Result<Vec<String>> {
        let transaction = self.write()?;
        let mut take = transaction.prepare("DELETE FROM released RETURNING name")?;
        let names = take.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        drop(take);
        transaction.commit()?;
        Ok(names)
    }

    /// A relay that starts now reads the names as they are now, so older releases are no news to
    /// it.
    pub(super) fn forget_released(&mut self) -> rusqlite::Result<()> {
        self.0.execute("DELETE FROM released", [])?;
        Ok(())
    }

    fn connect(path: &Path) -> rusqlite::Result<Self> {
        Self::prepare(Connection::open(path)?)
    }

    fn prepare(connection: Connection) -> rusqlite::Result<Self> {
        connection.busy_timeout(STORE_BUSY)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        connection.pragma_update(None, "auto_vacuum", "incremental")?; // of a file that is made now
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "journal_size_limit", WAL_BYTES)?;
        connection.pragma_update(None, "synchronous", "full")?;
        Ok(Self(connection))
    }

    /// Returns the schema of the file. An older one is brought to ours first, and so is an empty
    /// one if that is wanted. The transaction makes sure that it can be written to, now rather than
    /// at the first name.
    fn schema(&mut self, if_empty: IfEmpty) -> rusqlite::Result<i32> {
        let transaction = self.write()?;
        let found = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
        match found {
            SCHEMA | 2 => {}
            0 if if_empty == IfEmpty::Create => transaction.execute_batch(CREATE)?,
            1 => {
                transaction.execute_batch(FROM_1)?;
                transaction.execute("UPDATE names SET used_day = ?1", [today()])?;
            }
            _ => return Ok(found),
        }
        if found != SCHEMA {
            transaction.execute_batch(boxes::CREATE)?;
            transaction.pragma_update(None, "user_version", SCHEMA)?;
        }
        transaction.execute_batch(CREATE_RELEASED)?;
        transaction.commit()?;
        let vacuum: u32 = self.0.pragma_query_value(None, "auto_vacuum", |row| row.get(0))?;
        if found != SCHEMA && vacuum != INCREMENTAL {
            // Only a file that is written anew can give pages back to the disk from then on. Where
            // that fails (a disk without room for a second one), it works as well and stays long.
            let _ = self.0.execute_batch("VACUUM");
        }
        self.0.execute_batch(boxes::COUNT)?;
        Ok(SCHEMA)
    }

    /// The bound names with all that is known of them, sorted.
    pub(super) fn all_names(&self) -> rusqlite::Result<Vec<BoundName>> {
        let mut select = self.0.prepare(SELECT_ALL)?;
        let names = select.query_map([], |row| {
            Ok(BoundName {
                name: row.get(0)?,
                fp: Fingerprint(row.get(1)?),
                bound_day: row.get(2)?,
                used_day: row.get(3)?,
                letters: row.get::<_, i64>(4)?.unsigned_abs(),
                letter_bytes: row.get::<_, i64>(5)?.unsigned_abs(),
            })
        })?;
        names.collect()
    }

    /// The bound names with their keys, sorted.
    pub(super) fn names(&self) -> rusqlite::Result<Vec<(String, Fingerprint)>> {
        let mut select = self.0.prepare(SELECT)?;
        select.query_map([], |row| Ok((row.get(0)?, Fingerprint(row.get(1)?))))?.collect()
    }

    /// Carries out `change` in one transaction; an error means that nothing was changed.
    pub(super) fn change<T>(
        &mut self,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let transaction = self.write()?;
        let changed = change(&transaction)?;
        transaction.commit()?;
        Ok(changed)
    }

    /// The tables, to be read outside of a transaction.
    pub(super) const fn tables(&self) -> &Connection {
        &self.0
    }

    /// Gives some unused pages back to the disk. Returns whether there are more.
    pub(super) fn shrink(&mut self) -> rusqlite::Result<bool> {
        let unused = |database: &Connection| {
            database.pragma_query_value(None, "freelist_count", |row| row.get::<_, u32>(0))
        };
        let spare = unused(&self.0)?.saturating_sub(SPARE_PAGES);
        if spare == 0 {
            return Ok(false);
        }
        let give_back = format!("PRAGMA incremental_vacuum({})", spare.min(UPKEEP_PAGES));
        let mut give_back = self.0.prepare(&give_back)?;
        let mut pages = give_back.query([])?;
        while pages.next()?.is_some() {} // each step gives one back
        drop(pages);
        drop(give_back);
        let is_done = unused(&self.0)? <= SPARE_PAGES;
        if is_done {
            // The file itself becomes shorter once what was written last is brought into it.
            self.0.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        }
        Ok(!is_done)
    }

    /// A transaction that may write from its first step: it waits for the lock here or nowhere.
    fn write(&mut self) -> rusqlite::Result<Transaction<'_>> {
        self.0.transaction_with_behavior(TransactionBehavior::Immediate)
    }
}

/// The path as SQLite takes it in front of options: as bytes, for it need not be UTF-8
/// (<https://www.sqlite.org/uri.html>, "The URI Path").
fn uri(path: &Path) -> String {
    let escaped = path.as_os_str().as_bytes().iter().map(|&byte| match byte {
        b'/' | b'.' | b'-' | b'_' => char::from(byte).to_string(),
        _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        _ => format!("%{byte:02x}"),
    });
    format!("file:{}", escaped.collect::<String>())
}

/// Whether nothing was ever written to the file, or there is none.
fn is_empty(path: &Path) -> bool {
    match std::fs::metadata(path) {
        Ok(data) => data.len() == 0,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn today() -> u32 {
    Day::today().0
}

#[cfg(test)]
impl Database {
    /// Makes this connection believe that the disk has no room for more pages than there are.
    pub(super) fn fill_disk(&self) {
        let pages: u32 = self.0.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        self.0.pragma_update(None, "max_page_count", pages).unwrap();
    }

    /// Keeps everybody else from writing while `during` runs.
    pub(super) fn while_locked<T>(&mut self, during: impl FnOnce() -> T) -> T {
        let lock = self.write().unwrap();
        let result = during();
        lock.rollback().unwrap();
        result
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::path::PathBuf;

    use rusqlite::ErrorCode;

    use super::*;

    const KEY: Fingerprint = Fingerprint([1; 32]);
    const PEM: &str = "-----BEGIN PUBLIC KEY-----";

    fn file() -> (tempfile::TempDir, PathBuf) {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("names.sqlite");
        (home, path)
    }

    #[test]
    fn a_commit_is_all_or_nothing() {
        let (_home, path) = file();
        let (mut database, _) = Database::open(&path, IfEmpty::Create).unwrap();
        database.fill_disk();
        let long = "x".repeat(100_000);
        let error =
            database.bind([("bob", &KEY, PEM), (&long, &KEY, PEM)].into_iter()).unwrap_err();
        assert_eq!(error.sqlite_error_code(), Some(ErrorCode::DiskFull));
        assert_eq!(database.bind([("eve", &KEY, PEM)].into_iter()).unwrap(), [Ok(())]);
        let (_database, names) = Database::open(&path, IfEmpty::Create).unwrap();
        assert!(names == [("eve".to_owned(), KEY)]);
    }

    #[test]
    fn a_commit_is_on_the_disk_when_it_returns() {
        let (_home, path) = file();
        let (database, _) = Database::open(&path, IfEmpty::Create).unwrap();
        let pragma = |name| {
            let value = database.0.pragma_query_value(None, name, |row| row.get(0));
            value.map(|value: rusqlite::types::Value| format!("{value:?}")).unwrap()
        };
        assert_eq!(pragma("journal_mode"), "Text(\"wal\")");
        assert_eq!(pragma("synchronous"), "Integer(2)"); // FULL
    }

    #[test]
    fn a_file_of_a_newer_version_is_refused_by_its_path() {
        let (_home, path) = file();
        let (database, _) = Database::open(&path, IfEmpty::Create).unwrap();
        database.0.pragma_update(None, "user_version", 4).unwrap();
        let error = Database::open(&path, IfEmpty::Create).unwrap_err();
        assert!(matches!(error, OpenError::OtherSchema { found: 4, .. }));
        assert!(error.to_string().contains(&path.display().to_string()));
    }

    #[test]
    fn a_damaged_file_is_refused_and_the_error_says_what_to_do() {
        let (_home, path) = file();
        std::fs::write(&path, "no database at all, ".repeat(100)).unwrap();
        let error = Database::open(&path, IfEmpty::Create).unwrap_err();
        assert!(error.to_string().contains("restore it from a backup"), "{error}");
    }

    #[test]
    fn a_file_without_days_keeps_its_names_and_counts_them_as_used_today() {
        let (_home, path) = file();
        let old = Connection::open(&path).unwrap();
        old.execute_batch(
            "CREATE TABLE names (name TEXT PRIMARY KEY,
                fp BLOB NOT NULL CHECK (length(fp) = 32)) STRICT, WITHOUT ROWID;
             INSERT INTO names VALUES ('bob', zeroblob(32));
             PRAGMA user_version = 1",
        )
        .unwrap();
        drop(old);
        assert_eq!(Database::read(&path).unwrap().len(), 1, "read as it is");
        let before = today();
        let (mut database, _) = Database::open(&path, IfEmpty::Refuse).unwrap();
        let names = database.all_names().unwrap();
        assert_eq!((names.len(), &*names[0].name, names[0].bound_day), (1, "bob", None));
        assert!((before..=today()).contains(&names[0].used_day.unwrap()));
        let eve = [("eve", &KEY, PEM)];
        database.bind(eve.into_iter()).unwrap();
        let names = database.all_names().unwrap();
        assert!((before..=today()).contains(&names[1].bound_day.unwrap()));
        assert_eq!(names[1].bound_day, names[1].used_day);
        // Again, to see that it is not done twice.
        Database::open(&path, IfEmpty::Refuse).unwrap();
    }

    #[test]
    fn only_what_was_not_used_for_so_long_is_released() {
        let (_home, path) = file();
        let (mut database, _) = Database::open(&path, IfEmpty::Create).unwrap();
        database.bind([("alice", &KEY, PEM), ("bob", &KEY, PEM)].into_iter()).unwrap();
        database.0.execute("UPDATE names SET used_day = 100", []).unwrap();
        database.used([("bob", PEM)].into_iter()).unwrap();
        let all = || ["alice", "bob", "carol"].into_iter();
        let released = |name: &str| ReleasedName { name: name.to_owned(), fp: KEY, letters: 0 };
        assert_eq!(database.release(all(), Some(100)).unwrap(), []);
        assert_eq!(database.release(all(), Some(101)).unwrap(), [released("alice")]);
        assert_eq!(database.take_released().unwrap(), ["alice"]);
        assert_eq!(database.release(all(), None).unwrap(), [released("bob")]);
    }

    #[test]
    fn where_names_were_kept_an_empty_file_is_an_error_that_names_both_ways_out() {
        let (_home, path) = file();
        let gone = |path| {
            let error = Database::open(path, IfEmpty::Refuse).unwrap_err();
            assert!(matches!(error, OpenError::Gone { .. }), "{error}");
            let said = error.to_string();
            assert!(said.contains("restore") && said.contains("names recreate"), "{said}");
        };
        gone(&path);
        assert!(!path.exists());
        std::fs::write(&path, "").unwrap();
        gone(&path);
        Connection::open(&path).unwrap().pragma_update(None, "journal_mode", "wal").unwrap();
        gone(&path);
    }

    #[test]
    fn what_was_committed_is_read_without_a_byte_being_written() {
        let (_home, path) = file();
        let (mut database, _) = Database::open(&path, IfEmpty::Create).unwrap();
        database.bind([("bob", &KEY, PEM)].into_iter()).unwrap();
        // As after a crash: the newest name stands in the log alone.
        let copy = tempfile::tempdir().unwrap();
        for end in ["", "-wal"] {
            let name = format!("names.sqlite{end}");
            std::fs::copy(path.with_file_name(&name), copy.path().join(&name)).unwrap();
        }
        let sizes = || {
            let files = std::fs::read_dir(copy.path()).unwrap().map(Result::unwrap);
            let mut sizes: Vec<_> =
                files.map(|file| (file.file_name(), file.metadata().unwrap().len())).collect();
            sizes.sort();
            sizes
        };
        let before = sizes();
        let names = Database::read(&copy.path().join("names.sqlite")).unwrap();
        assert_eq!(names, [("bob".to_owned(), KEY)]);
        assert_eq!(sizes(), before);
    }

    /// As on a file system that is mounted read-only.
    #[test]
    fn a_path_of_any_bytes_is_read_without_the_right_to_write() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join(OsStr::from_bytes(b"a\xff %3f?#\xc3\xa9'"));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("names.sqlite");
        let (mut database, _) = Database::open(&path, IfEmpty::Create).unwrap();
        database.bind([("bob", &KEY, "")].into_iter()).unwrap();
        drop(database);
        let read = Database(Database::connect_read_only(&path).unwrap());
        assert_eq!(read.names().unwrap(), [("bob".to_owned(), KEY)]);
    }
}
