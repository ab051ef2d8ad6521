//! What the kernel knows of a relay's process (`proc(5)`).

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use crate::support::process::Process;

/// What does not come true within this time has failed.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(2);

/// A look at one process.
pub(crate) struct Gauge(Pid);

impl Gauge {
    pub(crate) fn of(process: &Process) -> Self {
        Self(Pid::from_raw(process.pid().try_into().expect("a pid")))
    }

    /// How many descriptors it has open.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.0)).expect("it runs").count()
    }

    /// Its memory that is in use, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.0));
        let rollup = rollup.expect("it runs");
        let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:")).expect("a line");
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kib * 1024
    }

    /// The processor time that it has used.
    pub(crate) fn cpu(&self) -> Duration {
        let clock = clock_getcpuclockid(self.0).expect("it runs");
        clock_gettime(clock).expect("a clock").into()
    }

    /// Whether a signal has stopped it.
    pub(crate) fn is_stopped(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).expect("it runs");
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    }

    /// Waits until it has as many descriptors as before; tells how long that took.
    ///
    /// # Panics
    /// If some are left over.
    pub(crate) fn settles_at(&self, descriptors: usize) -> Duration {
        until(
            || self.descriptors() == descriptors,
            || format!("{} descriptors, and {descriptors} before", self.descriptors()),
        )
    }
}

/// Waits until something `is_so`; tells how long that took.
///
/// # Panics
/// If it does not come true.
pub(crate) fn until(mut is_so: impl FnMut() -> bool, otherwise: impl Fn() -> String) -> Duration {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{}", otherwise());
        sleep(PAUSE);
    }
    begun.elapsed()
}
