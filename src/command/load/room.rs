//! What a run needs of the kernel (descriptors, ports): checked before anything begins.

use std::fs;
use std::net::Ipv4Addr;

use nix::unistd::Pid;

use super::super::{Exit, Failure};
use crate::limits::{LOAD_PORTS_PART, LOAD_SOURCES};
use crate::load::{Plan, Work};
use crate::reactor::raise_descriptor_limit;
use crate::relay::limits::SPARE_DESCRIPTORS;

/// The room that a run has.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// The addresses that it connects from; none: the one that the kernel chooses.
    pub(super) sources: Vec<Ipv4Addr>,
}

impl Room {
    /// Room for `plan`, at this end and in the targets' processes, which are `pids` where they are
    /// known; two targets may be one process.
    pub(super) fn for_run(plan: &Plan, pids: &[Pid]) -> Result<Self, Failure> {
        let spare = SPARE_DESCRIPTORS as u64;
        let needed = u64::from(plan.connections()) + spare;
        let limit = raise_descriptor_limit()
            .map_err(|errno| failed(format!("the limit on descriptors cannot be read: {errno}")))?;
        if let Some(limit) = Some(limit).filter(|&limit| limit < needed) {
            return Err(too_few_descriptors(plan, "this process", limit, needed));
        }
        for &pid in pids {
            let here = (0..plan.targets.len()).filter(|&place| pids.get(place) == Some(&pid));
            let connections: u32 = here.map(|place| plan.connections_at(place)).sum();
            let needed = u64::from(connections) + spare;
            if let Some(limit) = descriptor_limit(pid).filter(|&limit| limit < needed) {
                return Err(too_few_descriptors(plan, "the target", limit, needed));
            }
        }
        Ok(Self { sources: sources(plan, ephemeral_ports())? })
    }
}

/// The addresses that `plan` needs where each has so many `ports`. Only loopback has as many
/// addresses as one likes.
fn sources(plan: &Plan, ports: u32) -> Result<Vec<Ipv4Addr>, Failure> {
    let places = 0..plan.targets.len();
    let connections = places.map(|place| plan.connections_at(place)).max().unwrap_or_default();
    let is_loopback = plan.targets.iter().all(|it| it.is_ipv4() && it.ip().is_loopback());
    if !is_loopback {
        let enough = connections <= ports;
        return enough.then(Vec::new).ok_or_else(|| {
            failed(format!(
                "{connections} connections to one address need as many ports to connect from, \
                 and there are {ports}: \
                 `sysctl net.ipv4.ip_local_port_range=\"{} 65535\"` would do",
                65_536_u32.saturating_sub(connections).max(1024)
            ))
        });
    }
    let for_staying = connections.div_ceil((ports / LOAD_PORTS_PART).max(1));
    let count =
        if plan.work == Work::Connect { for_staying.max(LOAD_SOURCES) } else { for_staying };
    let first = u32::from(Ipv4Addr::LOCALHOST) + 1;
    Ok(if count > 1 { (first..first + count).map(Ipv4Addr::from).collect() } else { Vec::new() })
}

fn too_few_descriptors(plan: &Plan, whose: &str, limit: u64, needed: u64) -> Failure {
    failed(format!(
        "{} connections need {needed} descriptors, and {whose} may have {limit}: \
         `ulimit -n {needed}` would do",
        plan.connections()
    ))
}

/// How many descriptors a process may have (`proc_pid_limits(5)`).
fn descriptor_limit(pid: Pid) -> Option<u64> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// How many ports there are to connect from (`ip(7)`).
fn ephemeral_ports() -> u32 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut ends = range.split_whitespace().filter_map(|end| end.parse::<u32>().ok());
    let (first, last) = (ends.next().unwrap_or(32_768), ends.next().unwrap_or(60_999));
    last.saturating_sub(first) + 1
}

fn failed(message: String) -> Failure {
    Failure::new(Exit::Failed, message)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn plan(target: [u8; 4], work: Work, idle: u32) -> Plan {
        let targets = vec![SocketAddr::from((target, 1))];
        Plan { targets, idle, ..Plan::sample(work) }
    }

    #[test]
    fn addresses_are_spread_where_one_has_too_few_ports() {
        let count = |work, idle| sources(&plan([127, 0, 0, 1], work, idle), 20_000).unwrap().len();
        assert_eq!((count(Work::PingPong, 100), count(Work::PingPong, 18_000)), (0, 4));
        assert_eq!(count(Work::Connect, 0), LOAD_SOURCES as usize);
    }

    #[test]
    fn too_few_ports_are_told_with_a_remedy() {
        let far = |idle| sources(&plan([10, 0, 0, 1], Work::PingPong, idle), 20_000);
        assert!(far(19_998).is_ok_and(|sources| sources.is_empty()));
        assert!(far(30_000).is_err_and(|failure| failure.message.contains("\"35534 65535\"")));
    }

    #[test]
    fn the_limits_of_this_process_are_read() {
        assert!(descriptor_limit(Pid::this()).is_some() && ephemeral_ports() > 1);
    }
}
