//! How many connections and bytes a relay can serve with what this process may have.
//!
//! A relay that could not serve does not start, and one that serves less than was asked for says
//! so: otherwise users would find out, one by one.

use std::fs;
use std::path::Path;

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};

use super::cli::Serve;
use super::{Exit, Failure};
use crate::reactor::limits::INBOX_COMMON;
use crate::relay::limits::{
    CONNECTION_BYTES, LEAST_COMMON, LEAST_CONNECTIONS, MEMORY_PART, OUTBOX_COMMON,
    RESERVED_ADDRESSES, SPARE_DESCRIPTORS, TLS_CONNECTION_BYTES,
};

/// What a relay serves.
#[derive(Clone, Debug)]
pub(super) struct Capacity {
    /// Connections at a time.
    pub connections: usize,
    /// Bytes of unfinished frames of all together.
    pub inbox_common: usize,
    /// Bytes in all outboxes together.
    pub outbox_common: usize,
    /// Where that is less than was asked for: why, and what to do about it.
    pub fewer: Option<String>,
}

/// Memory that this process may have, and what bounds it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Memory {
    bytes: usize,
    bound: &'static str,
}

/// What can be served with so many descriptors and the memory that there is.
///
/// # Errors Nobody could be served, or not what was asked for explicitly.
pub(super) fn capacity(asked: &Serve, descriptors: u64) -> Result<Capacity, Failure> {
    fit(asked, descriptors, &memory())
}

fn fit(asked: &Serve, descriptors: u64, memory: &Memory) -> Result<Capacity, Failure> {
    let refused = |message: String| Failure::new(Exit::Failed, message);
    let most = asked.max_connections;
    // One listener is among the spare ones.
    let spare = SPARE_DESCRIPTORS
        + asked.watch_descriptors()
        + asked.listen.iter().map(|it| it.0.len()).sum::<usize>().saturating_sub(1);
    let room = usize::try_from(descriptors).unwrap_or(usize::MAX).saturating_sub(spare);
    if room < LEAST_CONNECTIONS.min(most) {
        return Err(refused(format!(
            "no relay can run with {descriptors} descriptors, of which it needs \
             {spare} beside those of its connections: raise the limit ('ulimit -n', \
             LimitNOFILE= of systemd)"
        )));
    }
    let Memory { bytes, bound } = memory;
    let part = bytes / MEMORY_PART;
    let inbox_common = asked.inbox_common.unwrap_or(INBOX_COMMON.min(part));
    let outbox_common = asked.outbox_common.unwrap_or(OUTBOX_COMMON.min(part));
    // Where TLS is offered, all may speak it.
    let speaks_tls = !asked.tls.is_off();
    let tls_bytes = if speaks_tls { TLS_CONNECTION_BYTES } else { 0 };
    let by_memory = part / (CONNECTION_BYTES + tls_bytes);
    // Options that were given are not changed: if they do not fit beside what else a relay needs,
    // it does not start.
    let sum = inbox_common.saturating_add(outbox_common);
    if sum > bytes - part || inbox_common.min(outbox_common) < LEAST_COMMON {
        return Err(refused(format!(
            "{} MiB of memory ({bound}, less what a relay reserves) are too few for \
             --inbox-common {inbox_common} and \
             --outbox-common {outbox_common}, beside a quarter for the rest: set them lower (at \
             least {LEAST_COMMON} bytes each), or raise the limit",
            bytes >> 20
        )));
    }
    let connections = most.min(room).min(by_memory);
    let fewer = (connections < most).then(|| {
        if by_memory < room {
            let without = if speaks_tls { ", serve no TLS ('--tls off')" } else { "" };
            format!("{} MiB of memory ({bound}); raise it{without}, or ask for fewer", bytes >> 20)
        } else {
            format!(
                "the limit is {descriptors} descriptors; raise it ('ulimit -n', LimitNOFILE= of \
                 systemd), or ask for fewer with --max-connections"
            )
        }
    });
    Ok(Capacity { connections, inbox_common, outbox_common, fewer })
}

/// The tightest of all bounds on this process's memory, less what it has taken already.
fn memory() -> Memory {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let taken = |name: &str| field(&status, name).unwrap_or(0);
    let limit = |resource| match getrlimit(resource) {
        Ok((soft, _)) if soft != RLIM_INFINITY => usize::try_from(soft).unwrap_or(usize::MAX),
        _ => usize::MAX,
    };
    let machine = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let machine = field(&machine, "MemTotal").unwrap_or(usize::MAX);
    let bounds = [
        (limit(Resource::RLIMIT_AS), taken("VmSize"), "ulimit -v"),
        (limit(Resource::RLIMIT_DATA), taken("VmData"), "ulimit -d"),
        (cgroup(Path::new("/sys/fs/cgroup")), taken("VmRSS"), "the control group's memory.max"),
        (machine, taken("VmRSS"), "the machine's"),
    ];
    let left = bounds.map(|(most, taken, bound)| {
        let reserved = if bound.starts_with("ulimit") { RESERVED_ADDRESSES } else { 0 };
        Memory { bytes: most.saturating_sub(taken).saturating_sub(reserved), bound }
    });
    let tightest = left.into_iter().min_by_key(|memory| memory.bytes);
    tightest.unwrap_or(Memory { bytes: usize::MAX, bound: "none" })
}

/// The bytes that a line `NAME: N kB` tells (proc(5)).
fn field(text: &str, name: &str) -> Option<usize> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kib: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The tightest limit of our control group and those above it, of version 2 or 1 (cgroups(7)).
fn cgroup(root: &Path) -> usize {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = groups.lines().filter_map(|line| {
        let (kind, group) = line.split_once(':')?.1.split_once(':')?;
        let group = group.trim_start_matches('/');
        match kind {
            "" => Some(tightest(root, group, "memory.max")),
            kind if kind.split(',').any(|one| one == "memory") => {
                Some(tightest(&root.join("memory"), group, "memory.limit_in_bytes"))
            }
            _ => None,
        }
    });
    limits.min().unwrap_or(usize::MAX)
}

/// The least number in `file` of `group` and of those above it. `max` is none. In a container the
/// group's own directory may be the root.
fn tightest(root: &Path, group: &str, file: &str) -> usize {
    let number = |group: &Path| {
        fs::read_to_string(root.join(group).join(file)).ok()?.trim().parse::<usize>().ok()
    };
    Path::new(group).ancestors().filter_map(number).min().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::admin::limits::ADMIN_CONNECTIONS;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        serve: Serve,
    }

    const MIB: usize = 1 << 20;
    /// What a relay with an admin socket keeps beside its connections.
    const SPARE: usize = SPARE_DESCRIPTORS + 1 + ADMIN_CONNECTIONS;

    fn fitted(options: &str, descriptors: u64, mib: usize) -> Result<Capacity, Failure> {
        let line = Line::parse_from(format!("serve {options}").split_whitespace());
        fit(&line.serve, descriptors, &Memory { bytes: mib * MIB, bound: "a test's" })
    }

    #[test]
    fn where_all_is_there_all_is_served() {
        let all = fitted("", 1 << 20, 8192).unwrap_or_else(|failure| panic!("{}", failure.message));
        assert_eq!((all.connections, all.fewer), (100_000, None));
        assert_eq!((all.inbox_common, all.outbox_common), (INBOX_COMMON, OUTBOX_COMMON));
    }

    #[test]
    fn what_does_not_suffice_is_named_and_the_rest_is_served() {
        let few = fitted("", 1024, 4096).unwrap_or_else(|failure| panic!("{}", failure.message));
        assert_eq!(few.connections, 1024 - SPARE);
        assert!(few.fewer.is_some_and(|why| why.contains("1024 descriptors")));
        let three = "--listen 127.0.0.1:1 --listen 127.0.0.1:2 --listen 127.0.0.1:3";
        let fewer =
            fitted(three, 1024, 4096).unwrap_or_else(|failure| panic!("{}", failure.message));
        assert_eq!(fewer.connections, 1024 - SPARE - 2);
        let small =
            fitted("", 1 << 20, 100).unwrap_or_else(|failure| panic!("{}", failure.message));
        assert_eq!((small.inbox_common, small.outbox_common), (25 * MIB, 25 * MIB));
        assert_eq!(small.connections, 25 * MIB / (CONNECTION_BYTES + TLS_CONNECTION_BYTES));
        let why = small.fewer.unwrap_or_default();
        assert!(why.contains("100 MiB") && why.contains("--tls off"), "{why}");
        assert!(fitted("--max-connections 9", 1024, 100).is_ok_and(|it| it.fewer.is_none()));
    }

    #[test]
    fn what_tls_takes_counts_unless_it_is_off() {
        let connections = |options: &str| {
            let fitted = fitted(options, 1 << 20, 100);
            let fitted = fitted.unwrap_or_else(|failure| panic!("{}", failure.message));
            (fitted.connections, fitted.fewer.unwrap_or_default().contains("--tls off"))
        };
        assert_eq!(connections("--tls off"), (25 * MIB / CONNECTION_BYTES, false));
        let with_tls = 25 * MIB / (CONNECTION_BYTES + TLS_CONNECTION_BYTES);
        for options in ["", "--tls offer", "--tls require"] {
            assert_eq!(connections(options), (with_tls, true), "{options}");
        }
    }

    #[test]
    fn what_cannot_serve_does_not_start() {
        let spare = SPARE as u64;
        for (options, descriptors, mib) in [
            ("", spare, 4096),
            ("", spare + 1, 4096),
            ("", 1024, 0),
            ("", 1024, 1),
            ("--inbox-common 209715200", 1024, 200),
            ("--inbox-common 83886080 --outbox-common 83886080", 1024, 200),
        ] {
            assert!(fitted(options, descriptors, mib).is_err(), "{options} {descriptors} {mib}");
        }
        assert!(fitted("--inbox-common 73400320 --outbox-common 73400320", 1024, 200).is_ok());
        assert!(fitted("--max-connections 1", spare + 1, 4096).is_ok());
        let without = SPARE_DESCRIPTORS as u64 + 1;
        assert!(fitted("--max-connections 1 --admin none", without, 4096).is_ok());
    }

    #[test]
    fn the_tightest_group_counts() {
        let root = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(root.path().join("a/b")).expect("directories");
        let write = |file: &str, text: &str| fs::write(root.path().join(file), text).expect("ours");
        let found = || tightest(root.path(), "a/b", "memory.max");
        assert_eq!(found(), usize::MAX);
        write("a/b/memory.max", "max\n");
        assert_eq!(found(), usize::MAX);
        write("a/memory.max", "1000\n");
        assert_eq!(found(), 1000);
        write("memory.max", "5000\n");
        assert_eq!(found(), 1000);
        assert_eq!(tightest(root.path(), "not/there", "memory.max"), 5000);
        assert_eq!(field("VmRSS:\t    12 kB\n", "VmRSS"), Some(12 * 1024));
    }
}
