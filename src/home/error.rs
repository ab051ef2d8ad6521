//! Why a home or a file in it cannot be used, and what to do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

/// Why a home or a file in it cannot be used. What is shown says what to do next.
#[derive(Debug)]
pub enum HomeError {
    /// There is no home directory to put it under.
    Unknown,
    /// A system call failed.
    Failed {
        /// What was tried, as it follows "cannot".
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the kernel said.
        error: io::Error,
    },
    /// It belongs to another user.
    NotOurs {
        /// Which file or directory.
        path: PathBuf,
        /// The other's user id.
        owner: u32,
    },
    /// Group or others have access to it.
    Exposed {
        /// Which file or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is a symbolic link, a pipe, a device or a directory.
    NotAFile {
        /// What was to be read.
        path: PathBuf,
    },
    /// It is longer than anything that we write.
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// The most bytes that it may have.
        limit: usize,
    },
    /// It was to be made, and is there already.
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// Another process holds the lock.
    Held {
        /// The lock file.
        path: PathBuf,
        /// That process, where it is known.
        pid: Option<u32>,
    },
}

impl fmt::Display for HomeError {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Unknown => write!(out, "no home directory is known: set HOME, or give --home"),
            Self::Failed { what, path, error } => {
                write!(out, "cannot {what} '{}': {error}: {}", path.display(), advice(error))
            }
            Self::NotOurs { path, owner } => write!(
                out,
                "'{0}' belongs to the user with id {owner}: run 'sudo chown {1} {0}' if it is \
                 yours, or choose another directory with --home",
                path.display(),
                geteuid(),
            ),
            Self::Exposed { path, mode } => write!(
                out,
                "'{0}' is open to other users (mode {mode:04o}): run 'chmod go= {0}', and make \
                 new keys if somebody may have read it",
                path.display(),
            ),
            Self::NotAFile { path } => {
                write!(out, "'{}' is not a regular file: move it away", path.display())
            }
            Self::TooLarge { path, limit } => write!(
                out,
                "'{}' is longer than {limit} bytes, so it is not ours: move it away",
                path.display(),
            ),
            Self::Exists { path } => {
                write!(out, "'{}' exists and is never overwritten: move it away", path.display())
            }
            Self::Held { path, pid } => {
                let path = path.display();
                match pid {
                    Some(pid) => write!(out, "process {pid} holds '{path}'")?,
                    None => write!(out, "another process holds '{path}'")?,
                }
                write!(out, ": end it first, or choose another directory with --home")
            }
        }
    }
}

impl std::error::Error for HomeError {}

/// For `map_err`: what was tried, as it follows "cannot", and on which path.
pub(super) fn failed<E: Into<io::Error>>(
    what: &'static str,
    path: &Path,
) -> impl FnOnce(E) -> HomeError {
    let path = path.to_owned();
    move |error| HomeError::Failed { what, path, error: error.into() }
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space on its disk",
        _ => "give yourself access to it, or choose another directory with --home",
    }
}
