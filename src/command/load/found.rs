//! A relay that runs already: where it listens, and whether a given process is the relay's.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::sync::mpsc::channel;
use std::thread::{self, sleep};
use std::time::Instant;

use nix::unistd::Pid;

use super::super::{Exit, Failure};
use super::target::LOOK;
use crate::address::Address;
use crate::limits::{CONNECT_TIMEOUT, LOAD_OWNER_TIMEOUT, LOOKUP_TIMEOUT};

/// Where these relays listen. The first of `pids` have to be the processes that do, in their order;
/// further ones only have to be there.
pub(super) fn find_all(relays: &[Address], pids: &[Pid]) -> Result<Vec<SocketAddr>, Failure> {
    if !pids.is_empty() && pids.len() < relays.len() {
        let why = "--pid: name the process of each relay, in the order of --relay";
        return Err(Failure::new(Exit::Usage, why));
    }
    for &pid in pids.iter().skip(relays.len()) {
        fs::metadata(format!("/proc/{pid}")).map_err(|error| unreadable(pid, &error))?;
    }
    let all = relays.iter().enumerate();
    all.map(|(place, relay)| find(relay, pids.get(place).copied())).collect()
}

/// Where `relay` listens: the first of its addresses that accepts a connection. `pid`, if it is
/// given, has to be the process that does.
fn find(relay: &Address, pid: Option<Pid>) -> Result<SocketAddr, Failure> {
    let mut why = "its name has no address".to_owned();
    for at in look_up(relay).map_err(|error| nobody(relay, &error))? {
        match TcpStream::connect_timeout(&at, CONNECT_TIMEOUT) {
            Ok(probe) => {
                let own = probe.local_addr().map_err(|error| nobody(relay, &error.to_string()))?;
                pid.map_or(Ok(()), |pid| check_owner(pid, at, own))?;
                return Ok(at);
            }
            Err(error) => why = error.to_string(),
        }
    }
    Err(nobody(relay, &why))
}

fn nobody(relay: &Address, why: &str) -> Failure {
    let help = "start it first (a relay: `sealwax serve`)";
    Failure::new(Exit::Relay, format!("no server at {relay}: {why}; {help}"))
}

/// All addresses of a name. The C library blocks while it asks, so it does that in a thread, which
/// nobody waits for beyond [`LOOKUP_TIMEOUT`].
fn look_up(relay: &Address) -> Result<Vec<SocketAddr>, String> {
    if let Some(literal) = relay.literal() {
        return Ok(vec![literal]);
    }
    let (answer, found) = channel();
    let name = relay.clone();
    let thread = thread::Builder::new().name("resolver".to_owned());
    let look_up = move || {
        let _ = answer.send(name.resolve()); // nobody may wait any more
    };
    thread.spawn(look_up).map_err(|error| format!("no thread to look it up: {error}"))?;
    found
        .recv_timeout(LOOKUP_TIMEOUT)
        .map_err(|_| "no name server answers for this name".to_owned())?
}

/// Refuses a process that is not the one at `at`: its figures would be told as the relay's. It is
/// the one if it listens there, or holds the other end of the connection that we have from `own`
/// (something between us may have changed the address that we asked for).
fn check_owner(pid: Pid, at: SocketAddr, own: SocketAddr) -> Result<(), Failure> {
    let begun = Instant::now();
    loop {
        let sockets = sockets_of(pid).map_err(|error| unreadable(pid, &error))?;
        let is_there = |it: &Socket| it.listens_at(at) || it.remote == canonical(own);
        if sockets.iter().any(is_there) {
            return Ok(());
        }
        // It may not have accepted yet.
        if begun.elapsed() > LOAD_OWNER_TIMEOUT {
            let port = at.port();
            let help = format!("`ss -tlnp 'sport = :{port}'` shows which one does");
            let why = format!("--pid: process {pid} does not listen at {at}; {help}");
            return Err(Failure::new(Exit::Usage, why));
        }
        sleep(LOOK);
    }
}

fn unreadable(pid: Pid, error: &io::Error) -> Failure {
    let why = if error.kind() == io::ErrorKind::NotFound {
        format!("--pid: there is no process {pid} on this machine")
    } else {
        let help = "run this as its user, or leave --pid out";
        format!("--pid: what process {pid} has open cannot be read ({error}); {help}")
    };
    Failure::new(Exit::Usage, why)
}

/// A TCP socket of a process.
struct Socket {
    local: SocketAddr,
    remote: SocketAddr,
    is_listening: bool,
}

impl Socket {
    fn listens_at(&self, at: SocketAddr) -> bool {
        let at = canonical(at);
        let ip = self.local.ip();
        let is_any = ip.is_unspecified() && (ip.is_ipv6() || at.is_ipv4());
        self.is_listening && self.local.port() == at.port() && (is_any || ip == at.ip())
    }
}

/// The TCP sockets of `pid`: those of its network (`proc_pid_net(5)`) that it has open
/// (`proc_pid_fd(5)`).
fn sockets_of(pid: Pid) -> io::Result<Vec<Socket>> {
    let mut open = HashSet::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let Ok(link) = fs::read_link(entry?.path()) else { continue }; // closed meanwhile
        let inode = link.to_str().and_then(|link| link.strip_prefix("socket:[")?.strip_suffix(']'));
        open.extend(inode.and_then(|inode| inode.parse::<u64>().ok()));
    }
    let mut sockets = Vec::new();
    for table in ["tcp", "tcp6"] {
        // Without IPv6 there is no second one.
        let text = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        let listed = text.lines().filter_map(read_line);
        sockets.extend(listed.filter(|(inode, _)| open.contains(inode)).map(|(_, socket)| socket));
    }
    Ok(sockets)
}

/// A line of `/proc/net/tcp`: the number of the socket, and what it is.
fn read_line(line: &str) -> Option<(u64, Socket)> {
    const LISTEN: &str = "0A";
    let mut words = line.split_whitespace().skip(1);
    let (local, remote, state) = (words.next()?, words.next()?, words.next()?);
    let inode = words.nth(5)?.parse().ok()?;
    let (local, remote) = (read_address(local)?, read_address(remote)?);
    Some((inode, Socket { local, remote, is_listening: state == LISTEN }))
}

/// `0100007F:3039` is 127.0.0.1:12345 on a machine of little-endian order: the kernel prints each
/// four bytes of an address as a number of its own, as they lie in memory.
fn read_address(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let number = |place: usize| {
        let digits = host.get(8 * place..8 * place + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let ip = match host.len() {
        8 => IpAddr::from(Ipv4Addr::from(number(0)?)),
        32 => {
            let parts = [number(0)?, number(1)?, number(2)?, number(3)?].concat();
            IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(parts).ok()?))
        }
        _ => return None,
    };
    Some(canonical(SocketAddr::new(ip, port)))
}

/// An IPv4 address that is written as IPv6 (`::ffff:127.0.0.1`) is the same.
fn canonical(at: SocketAddr) -> SocketAddr {
    SocketAddr::new(at.ip().to_canonical(), at.port())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_process_is_known_by_what_it_listens_at_and_by_whom_it_is_connected_with() {
        let own = Pid::this();
        let nobody = SocketAddr::from(([192, 0, 2, 1], 1));
        for host in ["127.0.0.1:0", "0.0.0.0:0"] {
            let listener = TcpListener::bind(host).unwrap();
            let port = listener.local_addr().unwrap().port();
            let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            assert!(check_owner(own, at, nobody).is_ok(), "{host}");
            let client = TcpStream::connect(at).unwrap();
            let (_accepted, _) = listener.accept().unwrap();
            assert!(check_owner(own, nobody, client.local_addr().unwrap()).is_ok(), "{host}");
        }
        let failure = check_owner(own, nobody, nobody).unwrap_err();
        assert!(failure.message.contains("does not listen at 192.0.2.1:1"), "{failure:?}");
        // Above every process (proc_sys_kernel(5), pid_max).
        let failure = check_owner(Pid::from_raw((1 << 22) + 1), nobody, nobody).unwrap_err();
        assert!(failure.message.contains("there is no process"), "{failure:?}");
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_tables_of_the_kernel_are_read() {
        let listed = "   0: 00000000000000000000000001000000:3039 \
            00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 \
            1000        0 4711 1 0 100 0 0 10 0";
        let (inode, socket) = read_line(listed).unwrap();
        assert_eq!((inode, socket.is_listening), (4711, true));
        assert_eq!(socket.local, "[::1]:12345".parse().unwrap());
        let mapped = read_address("0000000000000000FFFF00000100007F:3039");
        assert_eq!(mapped, "127.0.0.1:12345".parse().ok());
        assert_eq!(read_address("0100007F:3039"), mapped);
        assert!(read_line("  sl  local_address rem_address   st tx_queue").is_none());
        assert!(read_address("0100:1").is_none());
    }
}
