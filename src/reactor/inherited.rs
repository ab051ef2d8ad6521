//! Descriptors that others hold as well: standard streams, the other end of a wake-up.
//!
//! Knows how to use them without ever being blocked, and without anybody noticing: whoever started
//! this process goes on using the same open files when it has ended.

use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::Result;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::unistd::write;

use super::linux::{own, shared};
use super::sys::Io;

/// A standard stream, opened so that it does not block us. `O_NONBLOCK` belongs to the open file
/// and not to the descriptor (`open(2)`): set on an inherited one, it would make the shell that we
/// share it with fail after we have left. Pipes and terminals can be opened anew through `/proc`
/// (`proc_pid_fd(5)`), with a flag of our own. A regular file would get a new position that way,
/// and needs no flag: it is always ready.
pub(super) fn standard(stream: BorrowedFd<'_>, access: OFlag) -> Result<Io> {
    let inherited = duplicate(stream)?;
    let kind = SFlag::from_bits_truncate(fstat(&inherited)?.st_mode) & SFlag::S_IFMT;
    if kind == SFlag::S_IFREG {
        if access == OFlag::O_WRONLY {
            append(inherited.as_fd());
        }
        return Ok(own(inherited));
    }
    let flags = access | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    let path = format!("/proc/self/fd/{}", inherited.as_raw_fd());
    let reopened = (kind == SFlag::S_IFIFO || kind == SFlag::S_IFCHR)
        .then(|| open(path.as_str(), flags, Mode::empty()))
        .and_then(Result::ok);
    // What cannot be opened anew (a socket; a terminal of another user) is used with care: see
    // `write_shared`.
    Ok(reopened.map_or_else(|| shared(inherited), own))
}

/// What is written goes behind what the file holds, wherever that ends by now: a file that somebody
/// cuts short where it stands (`copytruncate`) would otherwise begin with as many NULs as it had
/// bytes (`open(2)`, `O_APPEND`). The flag stays when we have left, and whoever writes to the same
/// open file then does so at its end too.
fn append(file: BorrowedFd<'_>) {
    if let Ok(flags) = fcntl(file, FcntlArg::F_GETFL) {
        let flags = OFlag::from_bits_retain(flags) | OFlag::O_APPEND;
        let _ = fcntl(file, FcntlArg::F_SETFL(flags)); // otherwise it is as it was given to us
    }
}

/// Writes to a descriptor that may be blocking without being blocked: only when it has room, and no
/// more than the room that `POLLOUT` promises (`pipe(7)`, `PIPE_BUF`).
pub(super) fn write_shared(fd: BorrowedFd<'_>, slices: &[IoSlice<'_>]) -> Result<usize> {
    let Some(first) = slices.iter().find(|slice| !slice.is_empty()) else { return Ok(0) };
    let mut room = [PollFd::new(fd, PollFlags::POLLOUT)];
    if poll(&mut room, PollTimeout::ZERO)? == 0 {
        return Err(Errno::EAGAIN);
    }
    write(fd, &first[..first.len().min(libc::PIPE_BUF)])
}

/// Another descriptor of the same open file (`dup(2)`).
pub(super) fn duplicate(fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    fd.try_clone_to_owned()
        .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EMFILE)))
}
