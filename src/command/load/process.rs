//! What the kernel knows of the process that is measured: its processor time, its calls, its memory
//! (`proc(5)`).
//!
//! Everything is optional: a process of another user, or of another machine, has none of it.

use std::fs;
use std::time::Duration;

use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// What a process has used up to now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// Processor time, of all threads, in user and kernel mode.
    pub(super) cpu: Option<Duration>,
    /// Calls of `read` and its kin.
    pub(super) reads: Option<u64>,
    /// Calls of `write` and its kin.
    pub(super) writes: Option<u64>,
}

impl Usage {
    /// That of `pid`.
    pub(super) fn of(pid: Pid) -> Self {
        let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
        Self {
            cpu: clock_getcpuclockid(pid).ok().and_then(read_clock),
            reads: field(&io, "syscr:"),
            writes: field(&io, "syscw:"),
        }
    }

    /// That of all of these together; without any, nothing is known.
    pub(super) fn of_all(pids: &[Pid]) -> Self {
        let all = pids.iter().map(|&pid| Self::of(pid));
        all.reduce(Self::plus).unwrap_or_default()
    }

    fn plus(self, other: Self) -> Self {
        let sum = |(one, other): (u64, u64)| one.saturating_add(other);
        Self {
            cpu: self.cpu.zip(other.cpu).map(|(one, other)| one.saturating_add(other)),
            reads: self.reads.zip(other.reads).map(sum),
            writes: self.writes.zip(other.writes).map(sum),
        }
    }

    /// What came after `earlier`.
    pub(super) fn since(self, earlier: Self) -> Self {
        let less = |(now, then): (u64, u64)| now.saturating_sub(then);
        Self {
            cpu: self.cpu.zip(earlier.cpu).map(|(now, then)| now.saturating_sub(then)),
            reads: self.reads.zip(earlier.reads).map(less),
            writes: self.writes.zip(earlier.writes).map(less),
        }
    }
}

/// The processors that `pid` may use (`proc_pid_status(5)`, `Cpus_allowed_list`), such as `0-1`.
pub(super) fn processors(pid: Pid) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    Some(line.trim().to_owned())
}

/// The processor time of this thread.
pub(super) fn own_cpu() -> Duration {
    read_clock(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap_or_default()
}

/// The memory of all of these that is in use, in bytes; without any, nothing is known.
pub(super) fn resident_all(pids: &[Pid]) -> Option<u64> {
    let all: Option<Vec<u64>> = pids.iter().map(|&pid| resident(pid)).collect();
    all.filter(|all| !all.is_empty()).map(|all| all.iter().sum())
}

/// The memory of `pid` that is in use, in bytes.
fn resident(pid: Pid) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    Some(field(&rollup, "Rss:")? * 1024)
}

fn read_clock(clock: ClockId) -> Option<Duration> {
    clock_gettime(clock).ok().map(Duration::from)
}

/// The number behind `name` at the beginning of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_itself() {
        let own = Pid::this();
        let (before, cpu) = (Usage::of(own), own_cpu());
        while own_cpu() == cpu {}
        let after = Usage::of(own).since(before);
        assert!(after.cpu.is_some_and(|cpu| cpu > Duration::ZERO));
        assert!(resident(own).is_some_and(|bytes| bytes > 100_000));
        let both = Usage::of_all(&[own, own]).cpu.zip(Usage::of(own).cpu);
        assert!(both.is_some_and(|(both, one)| both > one && both < 3 * one));
        assert!(Usage::of_all(&[]).cpu.is_none() && resident_all(&[]).is_none());
        assert!(processors(own).is_some_and(|list| !list.is_empty()));
        assert_eq!(field("Rss:        12 kB\n", "Rss:"), Some(12));
    }

    #[test]
    fn of_a_process_that_is_gone_nothing_is_known() {
        // Above every process (proc_sys_kernel(5), pid_max).
        let nobody = Pid::from_raw((1 << 22) + 1);
        let usage = Usage::of(nobody);
        assert!(usage.cpu.is_none() && usage.reads.is_none() && resident(nobody).is_none());
    }
}
