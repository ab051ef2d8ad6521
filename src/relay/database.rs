//! The table of bound names in its file: schema, statements, and what can be wrong with the file.
//!
//! Knows SQL and the disk, no threads. Every call may wait for the disk. The database is in WAL
//! mode with `synchronous = FULL`: what was committed survives a power cut
//! (<https://www.sqlite.org/pragma.html#pragma_synchronous>).

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension, Transaction, TransactionBehavior, params,
};

use super::limits::STORE_BUSY;
use super::store::StoreFault;
use super::utc::Day;
use crate::wire::Fingerprint;

/// The number of the tables' form, kept in the database's `user_version`; 0 is an empty file.
const SCHEMA: i32 = 2;

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

const SELECT_DAYS: &str = "SELECT name, fp, bound_day, used_day FROM names ORDER BY name";

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

    /// Binds in one transaction, and tells what became of each; an error means that nothing was
    /// bound.
    pub(super) fn bind<'a>(
        &mut self,
        names: impl Iterator<Item = (&'a str, &'a Fingerprint)>,
    ) -> rusqlite::Result<Vec<Result<(), StoreFault>>> {
        let today = today();
        let transaction = self.write()?;
        let mut bind = transaction.prepare(BIND)?;
        let outcomes = names
            .map(|(name, fp)| match bind.execute(params![name, fp.0, today])? {
                0 => Ok(Err(StoreFault::Taken)),
                _ => Ok(Ok(())),
            })
            .collect::<rusqlite::Result<_>>()?;
        drop(bind);
        transaction.commit()?;
        Ok(outcomes)
    }

    /// Notes that the users of these names are connected today.
    pub(super) fn used<'a>(
        &mut self,
        names: impl Iterator<Item = &'a str>,
    ) -> rusqlite::Result<()> {
        let today = today();
        let transaction = self.write()?;
        let mut used = transaction.prepare(USED)?;
        for name in names {
            used.execute(params![name, today])?;
        }
        drop(used);
        transaction.commit()
    }

    /// Releases names, those only that were last used before `unused_since` if it is given, and
    /// notes that for the relay that may be running. Tells which were released and whose they were.
    pub(super) fn release<'a>(
        &mut self,
        names: impl Iterator<Item = &'a str>,
        unused_since: Option<u32>,
    ) -> rusqlite::Result<Vec<(String, Fingerprint)>> {
        let transaction = self.write()?;
        let mut released = Vec::new();
        for name in names {
            let fp = |row: &rusqlite::Row| row.get(0);
            let fp = match unused_since {
                None => transaction.query_row(RELEASE, [name], fp),
                Some(day) => transaction.query_row(RELEASE_UNUSED, params![name, day], fp),
            };
            let Some(fp) = fp.optional()? else { continue };
            transaction.execute("INSERT OR IGNORE INTO released (name) VALUES (?1)", [name])?;
            released.push((name.to_owned(), Fingerprint(fp)));
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
        let connection = Connection::open(path)?;
        connection.busy_timeout(STORE_BUSY)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
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
            SCHEMA => {}
            0 if if_empty == IfEmpty::Create => transaction.execute_batch(CREATE)?,
            1 => {
                transaction.execute_batch(FROM_1)?;
                transaction.execute("UPDATE names SET used_day = ?1", [today()])?;
            }
            _ => return Ok(found),
        }
        if found != SCHEMA {
            transaction.pragma_update(None, "user_version", SCHEMA)?;
        }
        transaction.execute_batch(CREATE_RELEASED)?;
        transaction.commit()?;
        Ok(SCHEMA)
    }

    /// The bound names with all that is known of them, sorted.
    pub(super) fn names_with_days(&self) -> rusqlite::Result<Vec<BoundName>> {
        let mut select = self.0.prepare(SELECT_DAYS)?;
        let names = select.query_map([], |row| {
            Ok(BoundName {
                name: row.get(0)?,
                fp: Fingerprint(row.get(1)?),
                bound_day: row.get(2)?,
                used_day: row.get(3)?,
            })
        })?;
        names.collect()
    }

    /// The bound names with their keys, sorted.
    pub(super) fn names(&self) -> rusqlite::Result<Vec<(String, Fingerprint)>> {
        let mut select = self.0.prepare(SELECT)?;
        select.query_map([], |row| Ok((row.get(0)?, Fingerprint(row.get(1)?))))?.collect()
    }

    /// A transaction that may write from its first step: it waits for the lock here or nowhere.
    fn write(&mut self) -> rusqlite::Result<Transaction<'_>> {
        self.0.transaction_with_behavior(TransactionBehavior::Immediate)
    }
}

/// Why the bound names cannot be opened. What is shown says what to do next.
#[derive(Debug)]
pub enum OpenError {
    /// The file cannot be opened, read or written.
    Unusable {
        /// Which file.
        path: PathBuf,
        /// What SQLite said.
        error: rusqlite::Error,
    },
    /// Another version of the program wrote it.
    OtherSchema {
        /// Which file.
        path: PathBuf,
        /// Its schema.
        found: i32,
    },
    /// Names were kept in it, and it is missing or empty.
    Gone {
        /// Which file.
        path: PathBuf,
    },
    /// The thread, or what wakes the loop, could not be made.
    Thread(io::Error),
}

impl OpenError {
    pub(super) fn unusable(path: &Path, error: rusqlite::Error) -> Self {
        Self::Unusable { path: path.to_owned(), error }
    }

    /// Whether the file may be whole and only cannot be written now: its disk is full, or was made
    /// read-only. SQLite tells the want of room for its own files in several ways.
    pub(super) fn is_for_want_of_room(&self) -> bool {
        let Self::Unusable { error, .. } = self else { return false };
        matches!(
            error.sqlite_error_code(),
            Some(
                ErrorCode::DiskFull
                    | ErrorCode::SystemIoFailure
                    | ErrorCode::CannotOpen
                    | ErrorCode::ReadOnly
            )
        )
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Unusable { path, error } => write!(
                out,
                "cannot keep bound names in '{}': {error}: {}",
                path.display(),
                advice(error, path)
            ),
            Self::OtherSchema { path, found } => write!(
                out,
                "the bound names in '{}' have schema {found}, and this version knows {SCHEMA}: \
                 run the version that wrote them, or a newer one",
                path.display()
            ),
            Self::Gone { path } => write!(
                out,
                "the bound names are gone: '{0}' is missing or empty, and the relay's key is \
                 there: restore '{0}' from a copy, or run 'sealwax names recreate --home {1}' to \
                 start with every name free",
                path.display(),
                home_of(path).display()
            ),
            Self::Thread(error) => write!(
                out,
                "cannot start the storage thread: {error}: raise the limits on processes and \
                 open files"
            ),
        }
    }
}

impl std::error::Error for OpenError {}

fn advice(error: &rusqlite::Error, path: &Path) -> Cow<'static, str> {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "free some space on its disk".into(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another process is writing to it: end that first".into()
        }
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => format!(
            "restore it from a backup, or move it away and run 'sealwax names recreate --home {}' \
             to start with every name free",
            home_of(path).display()
        )
        .into(),
        _ => {
            "it has to belong to the user who runs the relay, with access for reading and writing, \
             on a disk that can be written"
                .into()
        }
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

fn home_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
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
    /// Makes this connection believe that the disk is full beyond `pages`.
    pub(super) fn limit_pages(&self, pages: u32) {
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

    use super::*;

    const KEY: Fingerprint = Fingerprint([1; 32]);

    fn file() -> (tempfile::TempDir, PathBuf) {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("names.sqlite");
        (home, path)
    }

    #[test]
    fn a_commit_is_all_or_nothing() {
        let (_home, path) = file();
        let (mut database, _) = Database::open(&path, IfEmpty::Create).unwrap();
        database.limit_pages(3);
        let long = "x".repeat(100_000);
        let error = database.bind([("bob", &KEY), (&long, &KEY)].into_iter()).unwrap_err();
        assert_eq!(error.sqlite_error_code(), Some(ErrorCode::DiskFull));
        assert_eq!(database.bind([("eve", &KEY)].into_iter()).unwrap(), [Ok(())]);
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
        database.0.pragma_update(None, "user_version", 3).unwrap();
        let error = Database::open(&path, IfEmpty::Create).unwrap_err();
        assert!(matches!(error, OpenError::OtherSchema { found: 3, .. }));
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
        let names = database.names_with_days().unwrap();
        assert_eq!((names.len(), &*names[0].name, names[0].bound_day), (1, "bob", None));
        assert!((before..=today()).contains(&names[0].used_day.unwrap()));
        let eve = [("eve", &KEY)];
        database.bind(eve.into_iter()).unwrap();
        let names = database.names_with_days().unwrap();
        assert!((before..=today()).contains(&names[1].bound_day.unwrap()));
        assert_eq!(names[1].bound_day, names[1].used_day);
        // Again, to see that it is not done twice.
        Database::open(&path, IfEmpty::Refuse).unwrap();
    }

    #[test]
    fn only_what_was_not_used_for_so_long_is_released() {
        let (_home, path) = file();
        let (mut database, _) = Database::open(&path, IfEmpty::Create).unwrap();
        database.bind([("alice", &KEY), ("bob", &KEY)].into_iter()).unwrap();
        database.0.execute("UPDATE names SET used_day = 100", []).unwrap();
        database.used(["bob"].into_iter()).unwrap();
        let all = || ["alice", "bob", "carol"].into_iter();
        assert_eq!(database.release(all(), Some(100)).unwrap(), []);
        assert_eq!(database.release(all(), Some(101)).unwrap(), [("alice".to_owned(), KEY)]);
        assert_eq!(database.take_released().unwrap(), ["alice"]);
        assert_eq!(database.release(all(), None).unwrap(), [("bob".to_owned(), KEY)]);
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
        database.bind([("bob", &KEY)].into_iter()).unwrap();
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
        database.bind([("bob", &KEY)].into_iter()).unwrap();
        drop(database);
        let read = Database(Database::connect_read_only(&path).unwrap());
        assert_eq!(read.names().unwrap(), [("bob".to_owned(), KEY)]);
    }
}
