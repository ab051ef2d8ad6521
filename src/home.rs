//! The directory of what must outlive a start, and the lock that keeps it to one process.
//!
//! Knows directories, files, their owners and modes; not what is in them. Two promises stand on it:
//!
//! - *Private.* The directory and what is read from it belong to us, and nobody else has any
//!   access. A file or directory that others can access is refused, and the error names the command
//!   that repairs it. It is never repaired in silence: somebody may have read the key already. A
//!   [`Home`] that exists was checked, and every file is reached through its descriptor, so that
//!   nobody can put another directory in its place.
//! - *Whole.* Bytes are written to a draft, synced, and only then given their name by one `link(2)`
//!   or `rename(2)`, which is synced too. A power cut leaves the old content or the new, at worst
//!   beside a draft, as private as what it was to become; one of the next starts removes it. Only
//!   lines that are added to a file ([`Home::append`]) may be cut short by it.

mod error;

use std::fs::{self, DirBuilder, File, Metadata, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, Flock, FlockArg, OFlag, open, openat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat};
use nix::unistd::{UnlinkatFlags, fsync, geteuid, linkat, unlinkat};
use zeroize::Zeroizing;

pub use error::HomeError;
use error::failed;

use crate::limits::DRAFT_AGE;

/// A directory that is ours alone.
#[derive(Debug)]
pub struct Home {
    path: PathBuf,
    directory: OwnedFd,
}

impl Home {
    /// Where a home is unless `--home` says otherwise: `sealwax` in the data directory of the XDG
    /// base directory specification (`$XDG_DATA_HOME`, else `~/.local/share`).
    pub fn default_path() -> Result<PathBuf, HomeError> {
        let base = etcetera::base_strategy::Xdg::new().map_err(|_| HomeError::Unknown)?;
        Ok(base.data_dir().join("sealwax"))
    }

    /// Opens the directory at `path`, which is made where it is not there yet (mode 0700, its
    /// missing parents too).
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, HomeError> {
        let path = path.into();
        make_directory(&path).map_err(failed("make the directory", &path))?;
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let directory = open(&path, flags, Mode::empty()).map_err(failed("open", &path))?;
        let state = fstat(&directory).map_err(failed("examine", &path))?;
        check_private(&state, &path)?;
        Ok(Self { path, directory })
    }

    /// The path of the file `name`: for messages, and for what can only open files by their path.
    pub fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The bytes of the file `name`, or `None` where there is none. They may be a secret, and are
    /// erased on drop.
    ///
    /// Refused are files over `limit` bytes, other people's, what others have access to, and
    /// everything that is not a regular file: a pipe would make us wait, and a symbolic link would
    /// be replaced by a file at the next change ([`replace`](Self::replace)), without the knowledge
    /// of the person who made it. The home itself may be a link.
    pub fn read(&self, name: &str, limit: usize) -> Result<Option<Zeroizing<Vec<u8>>>, HomeError> {
        let path = self.path(name);
        let mut file = match self.open_file(name, OFlag::O_RDONLY | OFlag::O_NONBLOCK) {
            Err(Errno::ENOENT) => return Ok(None),
            Err(Errno::ELOOP) => return Err(HomeError::Link { path }),
            opened => opened.map_err(failed("open", &path))?,
        };
        let state = fstat(&file).map_err(failed("examine", &path))?;
        if SFlag::from_bits_truncate(state.st_mode & SFlag::S_IFMT.bits()) != SFlag::S_IFREG {
            return Err(HomeError::NotAFile { path });
        }
        check_private(&state, &path)?;
        // Room for all from the start: a vector that grows leaves copies of a secret behind.
        let size = usize::try_from(state.st_size).unwrap_or(usize::MAX).min(limit);
        let mut bytes = Zeroizing::new(Vec::with_capacity(size.saturating_add(1)));
        let taken = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        Read::by_ref(&mut file)
            .take(taken)
            .read_to_end(&mut bytes)
            .map_err(failed("read", &path))?;
        if bytes.len() > limit {
            return Err(HomeError::TooLarge { path, limit });
        }
        Ok(Some(bytes))
    }

    /// Writes the file `name`, which must not exist ([`HomeError::Exists`]): a key is never
    /// overwritten.
    pub fn write_new(&self, name: &str, bytes: &[u8]) -> Result<(), HomeError> {
        let draft = Draft::write(self, name, bytes)?;
        let (from, to) = (self.directory.as_fd(), self.directory.as_fd());
        match linkat(from, draft.name.as_str(), to, name, AtFlags::empty()) {
            Err(Errno::EEXIST) => return Err(HomeError::Exists { path: self.path(name) }),
            linked => linked.map_err(failed("put in place", &self.path(name)))?,
        }
        drop(draft);
        self.sync()
    }

    /// Writes the file `name`, in the place of the one that may be there.
    pub fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), HomeError> {
        let draft = Draft::write(self, name, bytes)?;
        let (from, to) = (self.directory.as_fd(), self.directory.as_fd());
        renameat(from, draft.name.as_str(), to, name)
            .map_err(failed("put in place", &self.path(name)))?;
        self.sync()
    }

    /// Writes `bytes` behind the `length` bytes of the file `name`, which is there, so that a line
    /// more costs the same however long the file is. Unlike [`replace`](Self::replace), a power cut
    /// may leave a part of them; what cannot be written is taken back.
    pub fn append(&self, name: &str, length: usize, bytes: &[u8]) -> Result<(), HomeError> {
        let path = self.path(name);
        let mut file = self
            .open_file(name, OFlag::O_WRONLY | OFlag::O_APPEND)
            .map_err(failed("open", &path))?;
        check_private(&fstat(&file).map_err(failed("examine", &path))?, &path)?;
        file.write_all(bytes).and_then(|()| file.sync_data()).map_err(|error| {
            let _ = file.set_len(length as u64); // best effort: a line cut short is not obeyed
            failed("write", &path)(error)
        })
    }

    /// Removes drafts of these files that processes left which were killed while they wrote. A
    /// draft does no harm, so one that cannot be examined or removed stays. If its writer still
    /// lives, stopped for that long, then its `link` or `rename` fails and says so; nothing else is
    /// lost.
    pub fn remove_old_drafts(&self, names: &[&str]) {
        let Ok(entries) = std::fs::read_dir(&self.path) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let of = name.to_str().and_then(name_of_a_draft);
            let is_ours = of.is_some_and(|of| names.contains(&of));
            if is_ours && entry.metadata().is_ok_and(|data| data.is_file() && is_old(&data)) {
                let _ = unlinkat(&self.directory, &*name, UnlinkatFlags::NoRemoveDir);
            }
        }
    }

    /// Takes the lock on the file `name` without waiting ([`HomeError::Held`]), and keeps it until
    /// what is returned is dropped.
    ///
    /// The kernel frees it with the process (`flock(2)`), however that ends, so the file stays
    /// where it is. It holds the process id of the last holder, so that the next process can say
    /// who holds it.
    pub fn lock(&self, name: &str) -> Result<Lock, HomeError> {
        let path = self.path(name);
        let file = match self.make_file(name, OFlag::O_RDWR) {
            Err(Errno::EEXIST) => match self.open_file(name, OFlag::O_RDWR) {
                // A file system that was made read-only: a lock needs nothing to be written.
                Err(Errno::EROFS) => self.open_file(name, OFlag::O_RDONLY),
                opened => opened,
            },
            made => made,
        };
        let file = file.map_err(failed("open", &path))?;
        let mut lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((file, Errno::EWOULDBLOCK)) => {
                return Err(HomeError::Held { path, pid: holder(file) });
            }
            Err((_, errno)) => return Err(failed("lock", &path)(errno)),
        };
        // The number is only for the error message of another process: a full disk is no reason to
        // stop here.
        let _ = lock.set_len(0).and_then(|()| lock.rewind());
        let _ = writeln!(lock, "{}", std::process::id());
        Ok(Lock { _file: lock })
    }

    /// Makes the file `name`, empty, where there is none: for what is written by its path.
    pub fn make(&self, name: &str) -> Result<(), HomeError> {
        match self.make_file(name, OFlag::O_WRONLY) {
            Ok(_) | Err(Errno::EEXIST) => Ok(()),
            Err(errno) => Err(failed("make", &self.path(name))(errno)),
        }
    }

    /// Removes the access of others to the file `name`, if it is there and ours.
    pub fn make_private(&self, name: &str) {
        let file = self.open_file(name, OFlag::O_RDONLY | OFlag::O_NONBLOCK);
        // The directory already keeps others out; this is in case the file is moved elsewhere.
        let _ = file.map(|file| fchmod(&file, Mode::S_IRUSR | Mode::S_IWUSR));
    }

    /// Makes a file that is not there yet, 0600 whatever the umask is (`umask(2)` could take even
    /// our own access away).
    fn make_file(&self, name: &str, flags: OFlag) -> nix::Result<File> {
        let file = self.open_file(name, flags | OFlag::O_CREAT | OFlag::O_EXCL)?;
        fchmod(&file, Mode::S_IRUSR | Mode::S_IWUSR)?;
        Ok(file)
    }

    fn open_file(&self, name: &str, flags: OFlag) -> nix::Result<File> {
        debug_assert!(!name.contains('/'), "a file of the home itself");
        let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        openat(&self.directory, name, flags, Mode::S_IRUSR | Mode::S_IWUSR).map(File::from)
    }

    /// A new name is on the disk only when its directory is (`fsync(2)`).
    fn sync(&self) -> Result<(), HomeError> {
        fsync(&self.directory).map_err(failed("sync", &self.path))
    }
}

/// Held as long as it lives; see [`Home::lock`].
#[derive(Debug)]
pub struct Lock {
    _file: Flock<File>,
}

/// A file that is written but has no proper name yet. It is removed when dropped, unless it was
/// renamed before.
struct Draft<'a> {
    home: &'a Home,
    name: String,
}

impl<'a> Draft<'a> {
    fn write(home: &'a Home, name: &str, bytes: &[u8]) -> Result<Self, HomeError> {
        // Random, so that a draft which a crash left is never in the way: process ids repeat.
        let tag = getrandom::u64().map_err(|error| io::Error::other(error.to_string()));
        let tag = tag.map_err(failed("choose a draft's name for", &home.path(name)))?;
        let name = format!(".{name}.{tag:016x}");
        let path = home.path(&name);
        let mut file = home.make_file(&name, OFlag::O_WRONLY).map_err(failed("make", &path))?;
        let draft = Self { home, name };
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed("write", &path))?;
        Ok(draft)
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        let _ = unlinkat(&self.home.directory, self.name.as_str(), UnlinkatFlags::NoRemoveDir);
    }
}

/// `NAME` in what [`Draft::write`] calls its file: `.NAME.` and 16 hexadecimal digits.
fn name_of_a_draft(draft: &str) -> Option<&str> {
    let (name, tag) = draft.strip_prefix('.')?.rsplit_once('.')?;
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (tag.len() == 16 && tag.bytes().all(is_digit)).then_some(name)
}

/// If the clock was set back, nothing counts as old.
fn is_old(data: &Metadata) -> bool {
    data.modified().is_ok_and(|at| at.elapsed().is_ok_and(|age| age > DRAFT_AGE))
}

/// Makes a directory and its missing parents, 0700 whatever the umask is.
fn make_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        make_directory(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(0o700)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Owned by us, and closed to everybody else.
fn check_private(state: &FileStat, path: &Path) -> Result<(), HomeError> {
    let (owner, mode) = (state.st_uid, state.st_mode & 0o7777);
    if owner != geteuid().as_raw() {
        return Err(HomeError::NotOurs { path: path.to_owned(), owner });
    }
    if mode & 0o077 != 0 {
        return Err(HomeError::Exposed { path: path.to_owned(), mode });
    }
    Ok(())
}

/// The process id in a lock file that another holds; none where it has not written it yet.
fn holder(file: File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, symlink};

    use super::*;

    fn home() -> (tempfile::TempDir, Home) {
        let parent = tempfile::tempdir().unwrap();
        let home = Home::open(parent.path().join("a/b")).unwrap();
        (parent, home)
    }

    fn open_to_others(path: PathBuf, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_is_written_is_read_back_and_nobody_else_may() {
        let (_parent, home) = home();
        assert!(home.read("key", 10).unwrap().is_none());
        home.write_new("key", b"secret").unwrap();
        assert_eq!(home.read("key", 6).unwrap().unwrap().as_slice(), b"secret");
        for (path, mode) in [(home.path(""), 0o700), (home.path("key"), 0o600)] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o7777, mode);
        }
    }

    #[test]
    fn a_file_is_made_once_replaced_whole_and_no_draft_stays() {
        let (_parent, home) = home();
        home.write_new("key", b"one").unwrap();
        assert!(matches!(home.write_new("key", b"two"), Err(HomeError::Exists { .. })));
        assert_eq!(home.read("key", 10).unwrap().unwrap().as_slice(), b"one");
        home.replace("key", b"three").unwrap();
        assert_eq!(home.read("key", 10).unwrap().unwrap().as_slice(), b"three");
        let names = fs::read_dir(home.path("")).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(names.collect::<Vec<_>>(), ["key"]);
    }

    #[test]
    fn an_old_draft_is_removed_and_nothing_else() {
        let (_parent, home) = home();
        let old = std::time::SystemTime::now() - 2 * DRAFT_AGE;
        let tag = "0123456789abcdef";
        let draft = format!(".key.{tag}");
        let others =
            ["key".to_owned(), format!("{draft}0"), format!(".other.{tag}"), format!(".{tag}")];
        for name in others.iter().chain([&draft]) {
            home.write_new(name, b"secret").unwrap();
            File::open(home.path(name)).unwrap().set_modified(old).unwrap();
        }
        let fresh = format!(".key.{}", tag.replace('0', "f"));
        home.write_new(&fresh, b"secret").unwrap();
        home.remove_old_drafts(&["key"]);
        assert!(!home.path(&draft).exists());
        for name in others.iter().chain([&fresh]) {
            assert!(home.path(name).exists(), "{name}");
        }
    }

    #[test]
    fn what_others_have_access_to_is_refused_with_the_command_that_mends_it() {
        let (_parent, home) = home();
        home.write_new("key", b"secret").unwrap();
        open_to_others(home.path("key"), 0o640);
        let error = home.read("key", 10).unwrap_err();
        assert!(matches!(error, HomeError::Exposed { mode: 0o640, .. }));
        let command = format!("chmod go= {}", home.path("key").display());
        assert!(error.to_string().contains(&command));
        open_to_others(home.path(""), 0o755);
        assert!(matches!(Home::open(home.path("")), Err(HomeError::Exposed { .. })));
    }

    #[test]
    fn another_users_file_is_refused() {
        let (_parent, home) = home();
        home.write_new("key", b"secret").unwrap();
        if chown(home.path("key"), Some(12345), None).is_err() {
            return; // only root can give a file away
        }
        assert!(matches!(home.read("key", 10), Err(HomeError::NotOurs { owner: 12345, .. })));
    }

    #[test]
    fn links_pipes_and_long_files_are_refused_without_waiting() {
        let (_parent, home) = home();
        home.write_new("key", b"secret").unwrap();
        assert!(matches!(home.read("key", 5), Err(HomeError::TooLarge { limit: 5, .. })));
        symlink(home.path("key"), home.path("link")).unwrap();
        assert!(matches!(home.read("link", 10), Err(HomeError::Link { .. })));
        nix::unistd::mkfifo(&home.path("pipe"), Mode::S_IRUSR).unwrap();
        assert!(matches!(home.read("pipe", 10), Err(HomeError::NotAFile { .. })));
    }

    #[test]
    fn a_lock_has_one_holder_and_tells_others_who_it_is() {
        let (_parent, home) = home();
        let lock = home.lock("lock").unwrap();
        let us = std::process::id();
        let error = home.lock("lock").unwrap_err();
        assert!(matches!(&error, HomeError::Held { pid: Some(pid), .. } if *pid == us));
        assert!(error.to_string().starts_with(&format!("process {us} holds")));
        drop(lock);
        home.lock("lock").unwrap();
    }
}
