//! Why a home or a file in it cannot be used, and what to do about it.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
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
    /// It is a symbolic link.
    Link {
        /// What was to be read.
        path: PathBuf,
    },
    /// It is a pipe, a device or a directory.
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
                write!(out, "cannot {what} '{}': {error}: {}", path.display(), advice(error, path))
            }
            Self::NotOurs { path, owner } => write!(
                out,
                "'{}' belongs to the user with id {owner}: {}, or choose another directory with \
                 --home",
                path.display(),
                way_in(path, *owner, geteuid().as_raw()),
            ),
            Self::Exposed { path, mode } if path.is_dir() => write!(
                out,
                "'{0}' is open to other users (mode {mode:04o}), who could replace the keys in it: \
                 run 'chmod go= {0}'; or, where it has to stay so (a volume that a group shares), \
                 choose a directory in it, such as '{1}', which is then made for you alone",
                path.display(),
                path.join("sealwax").display(),
            ),
            Self::Exposed { path, mode } => write!(
                out,
                "'{0}' is open to other users (mode {mode:04o}): run 'chmod go= {0}', and make \
                 new keys if somebody may have read it",
                path.display(),
            ),
            Self::Link { path } => write!(
                out,
                "'{}' is a symbolic link, and files of the home are not read through one: put the \
                 file itself there, or link the whole directory",
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

fn advice(error: &io::Error, path: &Path) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            return "free some space on its disk".to_owned();
        }
        io::ErrorKind::PermissionDenied => {}
        _ => return "make it usable, or choose another directory with --home".to_owned(),
    }
    // Of the file, or of the directory behind which it cannot be seen.
    let owner = path.ancestors().find_map(|path| Some(fs::metadata(path).ok()?.uid()));
    let us = geteuid().as_raw();
    let way = match owner {
        Some(owner) if owner != us => way_in(path, owner, us),
        _ => "give yourself access to it".to_owned(),
    };
    format!("{way}, or choose another directory with --home")
}

/// What to do where a file belongs to `owner` and not to `us`. The files of a service keep their
/// owner: otherwise the service could not use them any more. A file of root in a user's home was
/// left there by `sudo`.
fn way_in(path: &Path, owner: u32, us: u32) -> String {
    if owner == 0 && us != 0 {
        return format!("run 'sudo chown -R {us} {}' if it is yours", path.display());
    }
    format!("run this as that user (sudo -u '#{owner}' sealwax …)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_told_to_take_a_services_files_away() {
        let path = Path::new("/srv/relay");
        for us in [0, 1000] {
            let way = way_in(path, 997, us);
            assert!(way.contains("sudo -u '#997'") && !way.contains("chown"), "{way}");
        }
        assert!(way_in(path, 0, 1000).contains("chown -R 1000 /srv/relay"));
    }

    #[test]
    fn who_may_not_look_is_told_whose_it_is() {
        let error = || io::Error::from(io::ErrorKind::PermissionDenied);
        let owner = fs::metadata("/").map(|root| root.uid());
        assert_eq!(owner.ok(), Some(0));
        let said = advice(&error(), Path::new("/no/such/home"));
        let expected = if geteuid().is_root() { "give yourself" } else { "chown" };
        assert!(said.contains(expected) && said.contains("--home"), "{said}");
    }
}
