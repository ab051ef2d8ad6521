//! Keeps the memory of a process that holds keys to itself.
//!
//! A core dump would write keys to the disk, and another process of the same user could read them
//! through `ptrace(2)` or `/proc/PID/mem`. Our own `/proc/self/fd` stays open to us: the kernel
//! asks nobody for leave to look at himself (`ptrace(2)`, "Ptrace access mode checking"), so the
//! reactor opens standard streams through it as before.

use nix::sys::prctl::set_dumpable;
use nix::sys::resource::{Resource, setrlimit};

use super::{Exit, Failure};

/// Turns core dumps off, and everybody but root away. To be called before the first key is read or
/// made.
pub(super) fn keep_memory_private() -> Result<(), Failure> {
    let kept = setrlimit(Resource::RLIMIT_CORE, 0, 0).and_then(|()| set_dumpable(false));
    kept.map_err(|errno| {
        let message = format!("this process cannot keep its memory to itself: {errno}");
        Failure::new(Exit::Failed, message)
    })
}
