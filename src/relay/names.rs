//! The bound names of a relay's home, for its operator.
//!
//! Knows the database (`database.rs`), and works beside a relay that runs on it: SQLite lets both
//! in.

use std::path::Path;

use super::database::{Database, OpenError};
use crate::wire::Fingerprint;

/// The names in a file, each with the key that it is bound to.
#[derive(Debug)]
pub struct BoundNames {
    database: Database,
    names: Vec<(String, Fingerprint)>,
}

impl BoundNames {
    /// Opens the database at `path`.
    ///
    /// # Errors
    /// It cannot be read or written, or another version of the program wrote it.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let (database, names) = Database::open(path)?;
        Ok(Self { database, names })
    }

    /// All of them as they were when this was opened, sorted.
    pub fn all(&self) -> &[(String, Fingerprint)] {
        &self.names
    }

    /// Releases `name`: the next who proves it has it. A running relay looks for what was released
    /// at `SIGHUP`. Tells which key it was bound to; `None` where it was bound to none.
    ///
    /// # Errors
    /// The change could not be written.
    pub fn release(&mut self, name: &str) -> Result<Option<Fingerprint>, String> {
        self.database.release(name).map_err(|error| error.to_string())
    }
}
