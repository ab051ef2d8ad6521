//! What is told of the process and of its loop.

use std::fs;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::unistd::{SysconfVar, sysconf};

use crate::reactor::{Io, Meter, Time, peer_address};
use crate::relay::Relay;
use crate::relay::limits::STORE_PATIENCE;

/// What the answers need beside the relay.
pub(super) struct Vitals {
    pub(super) meter: Rc<Meter>,
    /// When the loop began.
    pub(super) started: Time,
    /// What the wall clock said then, in milliseconds since 1970.
    pub(super) started_wall: u64,
}

impl Vitals {
    /// An instant in milliseconds since 1970: the same in each answer.
    pub(super) fn wall_at(&self, at: Time) -> u64 {
        let since = u64::try_from(at.since(self.started).as_millis()).unwrap_or(u64::MAX);
        self.started_wall.saturating_add(since)
    }
}

/// The process, at one moment. What the system does not tell is `None`.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProcessState {
    /// Bytes of memory in use.
    pub(super) memory: Option<u64>,
    /// Open descriptors; Linux tells it without counting them since 6.2 (`proc_pid_fd(5)`).
    pub(super) descriptors: Option<u64>,
    pub(super) max_descriptors: Option<u64>,
    /// Processor time of all threads.
    pub(super) cpu: Option<Duration>,
}

impl ProcessState {
    pub(super) fn now() -> Self {
        let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten().and_then(|it| it.try_into().ok());
        let pages = fs::read_to_string("/proc/self/statm").ok();
        let pages = pages.and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
        let descriptors = fs::metadata("/proc/self/fd").ok().map(|it| it.len());
        let cpu = getrusage(UsageWho::RUSAGE_SELF).ok().map(|usage| {
            let times = [usage.user_time(), usage.system_time()];
            times.map(|time| Duration::from_nanos(nanoseconds(time))).into_iter().sum()
        });
        Self {
            memory: pages.zip(page).map(|(pages, page): (u64, u64)| pages * page),
            descriptors: descriptors.filter(|&count| count > 0),
            max_descriptors: getrlimit(Resource::RLIMIT_NOFILE).ok().map(|(soft, _)| soft),
            cpu,
        }
    }
}

fn nanoseconds(time: nix::sys::time::TimeVal) -> u64 {
    u64::try_from(time.tv_sec() * 1_000_000_000 + time.tv_usec() * 1000).unwrap_or(0)
}

/// Where a connection comes from: asked of the kernel when somebody wants to know, for it would be
/// 32 bytes more for each user otherwise.
pub(super) fn address_of(io: Option<Io>) -> Option<SocketAddr> {
    peer_address(io?)
}

/// Whether the relay works; otherwise why not.
pub(super) fn health(relay: &Relay, now: Time) -> Result<(), String> {
    let silence = relay.store_silence(now);
    if silence > STORE_PATIENCE {
        return Err(format!("the store has not answered for {} s", silence.as_secs()));
    }
    match relay.cluster_state() {
        Some(cluster) if !cluster.is_joined => {
            Err("the engine of the cluster does not renew the lease of this relay".to_owned())
        }
        _ => Ok(()),
    }
}
