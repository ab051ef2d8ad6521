//! Why the database of a relay cannot be opened, and what to do then.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use super::database::SCHEMA;

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

fn home_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}
