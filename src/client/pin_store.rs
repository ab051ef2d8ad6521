//! A file of pins in the [`Home`]: the only part of the client that knows the disk.
//!
//! ```text
//!   news:    has it another inode, time or size? ──▶ read
//!   change:  lock ──▶ read ──▶ edit ─┬▶ draft, sync, rename ─┬▶ unlock
//!                                    └▶ append, sync ────────┘
//!                                       (lines were added, and nothing else)
//! ```
//!
//! A change replaces the file, so its inode shows that it changed; a file to which lines were
//! appended is longer. A first contact by others only appends a line, because others decide how
//! many of them there are.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::rc::Rc;
use std::thread;

use super::pins::Pins;
use crate::home::{Home, HomeError, Lock};
use crate::limits::{LOCK_PAUSE, LOCK_TRIES, MAX_PINS_FILE};

/// A file of pins in the home.
pub struct FilePins {
    home: Rc<Home>,
    name: &'static str,
    seen: Option<Stamp>,
}

/// What distinguishes two states of a file; `None`: there is no file.
type Stamp = Option<(u64, i64, i64, u64)>;

impl FilePins {
    /// The file `name` (`known_peers`, `known_relays`) of `home`; it need not be there yet.
    pub fn new(home: Rc<Home>, name: &'static str) -> Self {
        Self { home, name, seen: None }
    }

    fn stamp(&self) -> Result<Stamp, String> {
        let path = self.home.path(self.name);
        match fs::symlink_metadata(&path) {
            Ok(data) => Ok(Some((data.ino(), data.mtime(), data.mtime_nsec(), data.size()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("cannot examine '{}': {error}", path.display())),
        }
    }

    fn read(&self) -> Result<Vec<u8>, String> {
        let text = self.home.read(self.name, MAX_PINS_FILE).map_err(|error| error.to_string())?;
        Ok(text.map(|text| text.to_vec()).unwrap_or_default())
    }

    /// The process that holds the lock writes a small file, so we wait a moment for it.
    fn lock(&self) -> Result<Lock, HomeError> {
        let name = format!("{}.lock", self.name);
        for _ in 1..LOCK_TRIES {
            match self.home.lock(&name) {
                Err(HomeError::Held { .. }) => thread::sleep(LOCK_PAUSE),
                result => return result,
            }
        }
        self.home.lock(&name)
    }
}

impl Pins for FilePins {
    fn news(&mut self) -> Result<Option<Vec<u8>>, String> {
        // Its state is read before its text: if it changes in between, it is only read once too
        // often.
        let stamp = self.stamp()?;
        if self.seen == Some(stamp) {
            return Ok(None);
        }
        let text = self.read()?;
        self.seen = Some(stamp);
        Ok(Some(text))
    }

    fn change(&mut self, edit: &mut dyn FnMut(&[u8]) -> Vec<u8>) -> Result<(), String> {
        let _lock = self.lock().map_err(|error| error.to_string())?;
        let before = self.read()?;
        let after = edit(&before);
        let written = match after.strip_prefix(before.as_slice()) {
            Some([]) => Ok(()),
            Some(added) if !before.is_empty() => self.home.append(self.name, before.len(), added),
            _ => self.home.replace(self.name, &after),
        };
        written.map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_processes_see_each_others_changes() {
        let folder = tempfile::tempdir().unwrap();
        let home = Rc::new(Home::open(folder.path().join("home")).unwrap());
        let mut ours = FilePins::new(Rc::clone(&home), "known_peers");
        let mut theirs = FilePins::new(home, "known_peers");
        assert_eq!(ours.news(), Ok(Some(Vec::new())));
        assert_eq!(ours.news(), Ok(None));
        theirs.change(&mut |text| [text, b"one\n"].concat()).unwrap();
        ours.change(&mut |text| [text, b"two\n"].concat()).unwrap();
        assert_eq!(theirs.news(), Ok(Some(b"one\ntwo\n".to_vec())));
        assert_eq!(theirs.news(), Ok(None));
    }

    #[test]
    fn a_line_more_does_not_write_the_file_anew() {
        let folder = tempfile::tempdir().unwrap();
        let home = Rc::new(Home::open(folder.path().join("home")).unwrap());
        let mut pins = FilePins::new(home, "known_peers");
        pins.change(&mut |_| b"one".to_vec()).unwrap();
        let inode = |pins: &FilePins| pins.stamp().unwrap().unwrap().0;
        let first = inode(&pins);
        assert_eq!(pins.news(), Ok(Some(b"one".to_vec())));
        pins.change(&mut |text| [text, b"\ntwo\n"].concat()).unwrap();
        assert_eq!((inode(&pins), pins.news()), (first, Ok(Some(b"one\ntwo\n".to_vec()))));
        pins.change(&mut |text| text[4..].to_vec()).unwrap();
        assert_ne!(inode(&pins), first);
        assert_eq!(pins.news(), Ok(Some(b"two\n".to_vec())));
    }

    #[test]
    fn who_holds_the_lock_for_long_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let home = Rc::new(Home::open(folder.path().join("home")).unwrap());
        let _lock = home.lock("known_peers.lock").unwrap();
        let error = FilePins::new(home.clone(), "known_peers").change(&mut <[u8]>::to_vec);
        assert!(error.unwrap_err().contains(&std::process::id().to_string()));
    }
}
