//! `serve --log-file FILE`.

use std::fs::OpenOptions;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::reactor::ProcessFd;
use crate::relay::OpenLog;

/// Whoever may read the log of a new file: its owner and its group, unless the umask says less.
const MODE: u32 = 0o640;

/// Opens the file at `path` each time that it is called.
pub(super) fn opener(path: PathBuf) -> OpenLog {
    Box::new(move || {
        let file = open(&path, true)?;
        Ok(ProcessFd::File(Arc::new(file)))
    })
}

/// Opens the file to append to it, and makes it where it is missing if `makes` says so.
pub(super) fn open(path: &Path, makes: bool) -> Result<OwnedFd, String> {
    let mut options = OpenOptions::new();
    // A named pipe is opened only where somebody reads it, and its reader is never waited for. On a
    // regular file the flag does nothing (open(2), O_NONBLOCK).
    options.append(true).create(makes).mode(MODE).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    let opened = options.open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(opened.into())
}

/// The log file cannot be opened, and what to do.
pub(super) fn refused(why: &str) -> String {
    format!("the log cannot go to {why}; choose another file with --log-file")
}
