//! The table of bound names in its file: schema, statements, and what can be wrong with the file.
//!
//! Knows SQL and the disk, no threads. Every call may wait for the disk. The database is in WAL
//! mode with `synchronous = FULL`: what was committed survives a power cut
//! (<https://www.sqlite.org/pragma.html#pragma_synchronous>).

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{
    Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior, params,
};

use super::store::StoreFault;
use crate::limits::STORE_BUSY;
use crate::wire::Fingerprint;

/// The number of the tables' form, kept in the database's `user_version`; 0 is an empty file.
const SCHEMA: i32 = 1;

const CREATE: &str = "
    CREATE TABLE names (
        name TEXT PRIMARY KEY,
        fp   BLOB NOT NULL CHECK (length(fp) = 32)
    ) STRICT, WITHOUT ROWID";

/// Names that were released beside a running relay, which is to be told. Not a part of the schema's
/// number: who does not know the table does not need it.
const CREATE_RELEASED: &str = "
    CREATE TABLE IF NOT EXISTS released (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID";

const SELECT: &str = "SELECT name, fp FROM names ORDER BY name";

/// Changes one row where the name was free or is bound to the same key already, and none where
/// another key has it: the primary key decides, whoever else writes to the file.
const BIND: &str = "
    INSERT INTO names (name, fp) VALUES (?1, ?2)
    ON CONFLICT (name) DO UPDATE SET fp = fp WHERE fp = excluded.fp";

/// An open database of bound names, whose schema is ours.
#[derive(Debug)]
pub(super) struct Database(Connection);

impl Database {
    /// Opens the file at `path`, which is made where it is not there yet. Beside it come the names
    /// in it with their keys, sorted.
    pub(super) fn open(path: &Path) -> Result<(Self, Vec<(String, Fingerprint)>), OpenError> {
        let unusable = |error| OpenError::unusable(path, error);
        let mut database = Self::connect(path).map_err(unusable)?;
        let found = database.schema().map_err(unusable)?;
        if found != SCHEMA {
            return Err(OpenError::OtherSchema { path: path.to_owned(), found });
        }
        let names = database.names().map_err(unusable)?;
        Ok((database, names))
    }

    /// Binds in one transaction, and tells what became of each; an error means that nothing was
    /// bound.
    pub(super) fn bind<'a>(
        &mut self,
        names: impl Iterator<Item = (&'a str, &'a Fingerprint)>,
    ) -> rusqlite::Result<Vec<Result<(), StoreFault>>> {
        let transaction = self.write()?;
        let mut bind = transaction.prepare(BIND)?;
        let outcomes = names
            .map(|(name, fp)| match bind.execute(params![name, fp.0])? {
                0 => Ok(Err(StoreFault::Taken)),
                _ => Ok(Ok(())),
            })
            .collect::<rusqlite::Result<_>>()?;
        drop(bind);
        transaction.commit()?;
        Ok(outcomes)
    }

    /// Releases a name, and notes that for the relay that may be running. Tells whose it was.
    pub(super) fn release(&mut self, name: &str) -> rusqlite::Result<Option<Fingerprint>> {
        let transaction = self.write()?;
        let fp = transaction
            .query_row("DELETE FROM names WHERE name = ?1 RETURNING fp", [name], |row| row.get(0))
            .optional()?;
        if fp.is_some() {
            transaction.execute("INSERT OR IGNORE INTO released (name) VALUES (?1)", [name])?;
        }
        transaction.commit()?;
        Ok(fp.map(Fingerprint))
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

    /// Whoever starts now knows the names as they are now.
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

    /// The schema of the file, which is given ours where it is empty. The transaction makes sure
    /// that it can be written to, now rather than at the first name.
    fn schema(&mut self) -> rusqlite::Result<i32> {
        let transaction = self.write()?;
        let found = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if found == 0 {
            transaction.execute_batch(CREATE)?;
            transaction.pragma_update(None, "user_version", SCHEMA)?;
        } else if found != SCHEMA {
            return Ok(found);
        }
        transaction.execute_batch(CREATE_RELEASED)?;
        transaction.commit()?;
        Ok(SCHEMA)
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
    /// The thread, or what wakes the loop, could not be made.
    Thread(io::Error),
}

impl OpenError {
    pub(super) fn unusable(path: &Path, error: rusqlite::Error) -> Self {
        Self::Unusable { path: path.to_owned(), error }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Unusable { path, error } => write!(
                out,
                "cannot keep bound names in '{}': {error}: {}",
                path.display(),
                advice(error)
            ),
            Self::OtherSchema { path, found } => write!(
                out,
                "the bound names in '{}' have schema {found}, and this version knows {SCHEMA}: \
                 run the version that wrote them, or a newer one",
                path.display()
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

fn advice(error: &rusqlite::Error) -> &'static str {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "free some space on its disk",
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "another process is writing to it: end that first"
        }
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            "restore it from a backup, or move it away to start with every name free"
        }
        _ => "give yourself access to it, or choose another directory with --home",
    }
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
        let (mut database, _) = Database::open(&path).unwrap();
        database.limit_pages(3);
        let long = "x".repeat(100_000);
        let error = database.bind([("bob", &KEY), (&long, &KEY)].into_iter()).unwrap_err();
        assert_eq!(error.sqlite_error_code(), Some(ErrorCode::DiskFull));
        assert_eq!(database.bind([("eve", &KEY)].into_iter()).unwrap(), [Ok(())]);
        let (_database, names) = Database::open(&path).unwrap();
        assert!(names == [("eve".to_owned(), KEY)]);
    }

    #[test]
    fn a_commit_is_on_the_disk_when_it_returns() {
        let (_home, path) = file();
        let (database, _) = Database::open(&path).unwrap();
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
        let (database, _) = Database::open(&path).unwrap();
        database.0.pragma_update(None, "user_version", 2).unwrap();
        let error = Database::open(&path).unwrap_err();
        assert!(matches!(error, OpenError::OtherSchema { found: 2, .. }));
        assert!(error.to_string().contains(&path.display().to_string()));
    }

    #[test]
    fn a_damaged_file_is_refused_and_the_error_says_what_to_do() {
        let (_home, path) = file();
        std::fs::write(&path, "no database at all, ".repeat(100)).unwrap();
        let error = Database::open(&path).unwrap_err();
        assert!(error.to_string().contains("restore it from a backup"), "{error}");
    }
}
