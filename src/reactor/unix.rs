//! Sockets in the file system (`unix(7)`), for who works on the same machine.
//!
//! They are bound and connected before the loop runs, because neither waits: the loop is handed the
//! socket ([`ProcessFd::Listener`](super::ProcessFd), [`ProcessFd::Stream`](super::ProcessFd)).

use std::fs::{self, File, Permissions};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::Result;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket,
};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{AccessFlags, eaccess};

/// Connections that may wait to be accepted from a unix socket.
const BACKLOG: i32 = 16;
/// Bytes of a path that an address takes, its final zero among them (`unix(7)`, `sun_path`).
const LONGEST_PATH: usize = 108;

/// A unix socket that listens or is connected. Clones are the same socket.
#[derive(Clone, Debug)]
pub struct UnixSocket(Arc<OwnedFd>);

/// The file that a listening socket has made; dropped, it is removed.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Listens until the file is gone, so that no other process can have replaced it meanwhile.
    _socket: UnixSocket,
}

impl UnixSocket {
    /// Listens at `path`, with access for this user only. A socket that was left there by a process
    /// that has ended is replaced.
    ///
    /// # Errors
    /// `EADDRINUSE`: another process listens there. `EEXIST`: something else is there. Otherwise
    /// what the system says.
    pub fn listen(path: &Path) -> Result<(Self, SocketFile)> {
        if is_left(path)? {
            fs::remove_file(path).map_err(errno_of)?;
        }
        let fd = stream()?;
        // Before `bind`, so that nobody else can connect in between: the file gets this mode.
        fchmod(&fd, Mode::S_IRUSR | Mode::S_IWUSR)?;
        with_address(path, |address| bind(fd.as_raw_fd(), address))?;
        // Whatever the umask is: it could take even our own access away (`umask(2)`).
        fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(errno_of)?;
        let socket = Self(Arc::new(fd));
        let file = SocketFile { path: path.to_owned(), _socket: socket.clone() };
        listen(&socket.0, Backlog::new(BACKLOG).unwrap_or(Backlog::MAXCONN))?;
        Ok((socket, file))
    }

    /// Whether [`listen`](Self::listen) could; makes nothing.
    ///
    /// # Errors
    /// Those of [`listen`](Self::listen).
    pub fn could_listen(path: &Path) -> Result<()> {
        is_left(path)?;
        with_address(path, |_| Ok(()))?;
        eaccess(directory_of(path), AccessFlags::W_OK | AccessFlags::X_OK)
    }

    /// Connects to the socket at `path`.
    ///
    /// # Errors
    /// `ENOENT`: there is none. `ECONNREFUSED`: its process has ended. `EAGAIN`: too many wait to
    /// be accepted. Otherwise what the system says.
    pub fn connect(path: &Path) -> Result<Self> {
        let fd = stream()?;
        with_address(path, |address| connect(fd.as_raw_fd(), address))?;
        Ok(Self(Arc::new(fd)))
    }
}

impl AsFd for UnixSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path); // one that stays is replaced at the next start
    }
}

/// Whether there is a socket at `path` whose process has ended; an error where something else is.
fn is_left(path: &Path) -> Result<bool> {
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(false) };
    if !found.file_type().is_socket() {
        return Err(Errno::EEXIST);
    }
    match UnixSocket::connect(path) {
        Err(Errno::ECONNREFUSED) => Ok(true),
        _ => Err(Errno::EADDRINUSE),
    }
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn stream() -> Result<OwnedFd> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    socket(AddressFamily::Unix, SockType::Stream, flags, None)
}

/// Calls `call` with the address of `path`. A path that is too long for an address is reached
/// through a descriptor of its directory (`proc_pid_fd(5)`).
fn with_address(path: &Path, call: impl FnOnce(&UnixAddr) -> Result<()>) -> Result<()> {
    if path.as_os_str().as_bytes().len() < LONGEST_PATH {
        return call(&UnixAddr::new(path)?);
    }
    let name = path.file_name().ok_or(Errno::EISDIR)?;
    let flags = (OFlag::O_PATH | OFlag::O_DIRECTORY).bits();
    let directory = open_directory(directory_of(path), flags)?;
    let short = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
    call(&UnixAddr::new(&short)?)
}

fn open_directory(path: &Path, flags: i32) -> Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    fs::OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(errno_of)
}

#[allow(clippy::needless_pass_by_value)] // as `map_err` hands it over
fn errno_of(error: std::io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_private_replaced_where_nobody_listens_and_removed_at_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        assert_eq!(UnixSocket::connect(&path).unwrap_err(), Errno::ENOENT);
        let (socket, file) = UnixSocket::listen(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        UnixSocket::connect(&path).unwrap();
        assert_eq!(UnixSocket::listen(&path).unwrap_err(), Errno::EADDRINUSE);
        assert_eq!(UnixSocket::could_listen(&path), Err(Errno::EADDRINUSE));
        drop((socket, file));
        assert!(!path.exists());
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap()); // as a killed process does
        assert_eq!(UnixSocket::connect(&path).unwrap_err(), Errno::ECONNREFUSED);
        UnixSocket::could_listen(&path).unwrap();
        assert!(path.exists(), "nothing is changed");
        drop(UnixSocket::listen(&path).unwrap());
        assert!(!path.exists());
        fs::write(&path, "a file").unwrap();
        assert_eq!(UnixSocket::listen(&path).unwrap_err(), Errno::EEXIST);
        assert_eq!(UnixSocket::could_listen(&path), Err(Errno::EEXIST));
    }

    #[test]
    fn a_path_that_is_too_long_for_an_address_is_reached_through_its_directory() {
        let directory = tempfile::tempdir().unwrap();
        for length in [106, 107, 108, 109, 250] {
            let here = directory.path().as_os_str().len();
            let deep = directory.path().join("d".repeat(length - here - "//socket".len()));
            fs::create_dir(&deep).unwrap();
            let path = deep.join("socket");
            assert_eq!(path.as_os_str().len(), length);
            let (_socket, _file) = UnixSocket::listen(&path).unwrap();
            UnixSocket::connect(&path).unwrap();
        }
    }
}
