//! Keeps others from reading the memory of a process that holds keys.
//!
//! A core dump would write keys to the disk, and another process of the same user could read them
//! through `ptrace(2)` or `/proc/PID/mem`. Our own `/proc/self/fd` stays readable to us: a process
//! may always access itself (`ptrace(2)`, "Ptrace access mode checking"), so the reactor can still
//! open standard streams through it.

use nix::sys::prctl::set_dumpable;
use nix::sys::resource::{Resource, setrlimit};

use super::{Exit, Failure};

/// Turns core dumps off, and denies access to all processes but root's. To be called before the
/// first key is read or made.
pub(super) fn keep_memory_private() -> Result<(), Failure> {
    let kept = setrlimit(Resource::RLIMIT_CORE, 0, 0).and_then(|()| set_dumpable(false));
    kept.map_err(|errno| {
        let message = format!("cannot protect the memory of this process from others: {errno}");
        Failure::new(Exit::Failed, message)
    })
}
