//! The bound names of a relay's home, for its operator.
//!
//! Knows the database (`database.rs`), and works beside a relay that runs on it: SQLite lets both
//! in.

use std::path::Path;

use super::database::{Database, IfEmpty};
use super::open_error::OpenError;

pub use super::database::{BoundName, ReleasedName};
pub use super::utc::{Day, NoDay};

/// The names in a file, each with the key that it is bound to.
#[derive(Debug)]
pub struct BoundNames {
    database: Database,
    names: Vec<BoundName>,
}

impl BoundNames {
    /// Opens the database at `path`.
    ///
    /// # Errors
    /// It is missing or empty, cannot be read or written, or another version of the program wrote
    /// it.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::of(path, IfEmpty::Refuse)
    }

    /// Makes the database at `path`, where every name is free. One that has names stays as it is.
    ///
    /// # Errors
    /// It cannot be read or written, or another version of the program wrote it.
    pub fn create(path: &Path) -> Result<Self, OpenError> {
        Self::of(path, IfEmpty::Create)
    }

    fn of(path: &Path, if_empty: IfEmpty) -> Result<Self, OpenError> {
        let database = Database::open_only(path, if_empty)?;
        let names = database.all_names().map_err(|error| OpenError::unusable(path, error))?;
        Ok(Self { database, names })
    }

    /// How many names are in the database at `path`, which is only read.
    ///
    /// # Errors
    /// It is missing or empty, cannot be read, or another version of the program wrote it.
    pub fn can_be_read(path: &Path) -> Result<usize, OpenError> {
        Database::read(path).map(|names| names.len())
    }

    /// All of them as they were when this was opened, sorted.
    pub fn all(&self) -> &[BoundName] {
        &self.names
    }

    /// Releases `name`: the next user who proves it gets it. A running relay looks for what was
    /// released at `SIGHUP`. `None`: it was bound to no key.
    ///
    /// # Errors
    /// The change could not be written.
    pub fn release(&mut self, name: &str) -> Result<Option<ReleasedName>, String> {
        let released = self.database.release([name].into_iter(), None);
        released.map(|mut all| all.pop()).map_err(|error| error.to_string())
    }

    /// Those whose user was last connected before `day`.
    pub fn unused_since(&self, day: Day) -> impl Iterator<Item = &BoundName> {
        self.names.iter().filter(move |name| name.used_day.is_some_and(|used| used < day.0))
    }

    /// Releases those, in one transaction. A name that was used in the meantime stays bound.
    /// Returns the released names.
    ///
    /// # Errors
    /// The change could not be written; then nothing was released.
    pub fn release_unused(&mut self, day: Day) -> Result<Vec<ReleasedName>, String> {
        let unused: Vec<_> = self.unused_since(day).map(|name| name.name.clone()).collect();
        let names = unused.iter().map(String::as_str);
        self.database.release(names, Some(day.0)).map_err(|error| error.to_string())
    }
}
