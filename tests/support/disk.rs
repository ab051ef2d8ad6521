//! A small disk of its own, for what happens when one is full or read-only.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::geteuid;

use super::process::text;

/// What takes the room on a disk that is full.
const FILLER: &str = "filler";

/// A file system of 1 MiB in memory, mounted as long as this lives.
pub struct Disk(PathBuf);

impl Disk {
    /// Mounts it at a place that does not exist yet. `None`, which is told, where this process may
    /// not mount; with `SEALWAX_MUST_MOUNT` in its environment root has to be able to.
    pub fn mount(at: &Path) -> Option<Self> {
        fs::create_dir(at).expect("a directory");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m,mode=0700", "none", text(at)]);
        if mount.status().is_ok_and(|status| status.success()) {
            return Some(Self(at.to_owned()));
        }
        assert!(!geteuid().is_root() || std::env::var_os("SEALWAX_MUST_MOUNT").is_none());
        println!("not run: no disk can be mounted here");
        None
    }

    /// A path on it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Mounts it again, `ro` or `rw`.
    pub fn remount(&self, how: &str) {
        let options = format!("remount,{how}");
        let status = Command::new("mount").args(["-o", &options, text(&self.0)]).status();
        assert!(status.is_ok_and(|status| status.success()), "{how}");
    }

    /// Fills it to the last byte.
    pub fn fill(&self) {
        let full = fs::write(self.0.join(FILLER), vec![0; 2 << 20]).expect_err("it is full");
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    }

    /// Takes away what fills it.
    pub fn make_room(&self) {
        fs::remove_file(self.0.join(FILLER)).expect("it is there");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l", text(&self.0)]).status();
    }
}
