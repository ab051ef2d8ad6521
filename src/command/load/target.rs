//! What is measured, as a process: found, or started for the purpose and ended afterwards.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::rc::Rc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::signal::kill;
use nix::unistd::Pid;

use super::super::{Exit, Failure};
use super::found::find_all;
use super::servers::{Folder, Server};
use crate::address::Address;
use crate::limits::{CONNECT_TIMEOUT, LOAD_CONNECTING, LOAD_GONE, LOAD_MAX_FRAME};
use crate::load::{Echo, Keys, Payload, Protocol, Sealwax};
use crate::reactor::end_with_parent;
use crate::screen::escape;
use crate::wire::RosterMode;

/// The processors of a target and of the generator.
#[derive(Clone, Copy, Debug)]
pub(super) struct Processors {
    pub(super) target: usize,
    pub(super) own: usize,
}

/// Something that listens and can be measured.
pub(super) struct Target {
    /// Where it listens: several that act as one at several places.
    pub(super) addresses: Vec<SocketAddr>,
    /// Their processes in that order, and further ones that work for them; none if they are not
    /// known.
    pub(super) pids: Vec<Pid>,
    /// Ended when this is dropped.
    children: Vec<Started>,
}

/// A process that ends with us, and what it needs until then.
struct Started {
    child: Child,
    errors: Option<BufReader<ChildStderr>>,
    folder: Option<Folder>,
}

/// Between two looks whether a server listens, that does not say so.
pub(super) const LOOK: Duration = Duration::from_millis(5);

impl Processors {
    /// These two, if this process may use them: said before anything is started.
    pub(super) fn new((target, own): (usize, usize)) -> Result<Self, Failure> {
        let allowed = sched_getaffinity(Pid::from_raw(0)).map_err(|errno| unpinned(own, errno))?;
        match [target, own].into_iter().find(|&cpu| allowed.is_set(cpu) != Ok(true)) {
            Some(cpu) => Err(unpinned(cpu, "this process may not use one of that number")),
            None => Ok(Self { target, own }),
        }
    }

    /// The first two that this process may use, if there are two.
    pub(super) fn first_two() -> Option<Self> {
        let allowed = sched_getaffinity(Pid::from_raw(0)).ok()?;
        let mut usable = (0..CpuSet::count()).filter(|&cpu| allowed.is_set(cpu) == Ok(true));
        Some(Self { target: usable.next()?, own: usable.next()? })
    }
}

/// What there is to be measured.
#[derive(Clone, Debug)]
pub(super) enum Subject {
    /// A relay that runs, or several that act as one, and their processes.
    Found { relays: Vec<Address>, pids: Vec<Pid> },
    /// An echo server that runs, and its processes.
    Echo { servers: Vec<Address>, pids: Vec<Pid> },
    /// A relay of this program that keeps nothing, started with these further options.
    Relay(Vec<String>),
    /// The bound, asleep when there is nothing to do or not.
    Floor { spin: bool },
    /// Another server.
    Server(Server),
}

impl Subject {
    /// What it is called in tables.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Found { .. } | Self::Relay(_) => "relay",
            Self::Echo { .. } => "server",
            Self::Floor { spin: false } => "floor",
            Self::Floor { spin: true } => "floor-spin",
            Self::Server(server) => server.name(),
        }
    }

    /// Whether users of version 2 can register and prove their keys.
    pub(super) fn proves(&self) -> bool {
        matches!(self, Self::Found { .. } | Self::Relay(_))
    }

    /// What its users speak; without `keys` they are original ones.
    pub(super) fn protocol(
        &self,
        roster: RosterMode,
        payload: &Payload,
        keys: Option<Rc<Keys>>,
    ) -> Box<dyn Protocol> {
        match self {
            Self::Found { .. } | Self::Relay(_) | Self::Floor { .. } => {
                Box::new(Sealwax::new(roster, payload, keys))
            }
            Self::Echo { .. } => Box::new(Echo::new(payload)),
            Self::Server(server) => server.protocol(payload),
        }
    }

    /// Whether its users can speak TLS with it.
    pub(super) fn speaks_tls(&self) -> bool {
        match self {
            Self::Found { .. } | Self::Relay(_) => true,
            Self::Echo { .. } | Self::Floor { .. } => false,
            Self::Server(server) => server.speaks_tls(),
        }
    }

    /// Whether it can be started, and carries messages of `size` bytes.
    pub(super) fn check(&self, size: usize) -> Result<(), Failure> {
        if let Self::Server(server) = self { server.check(size) } else { Ok(()) }
    }

    /// How many connections may be on their way to it at a time.
    pub(super) fn backlog(&self) -> usize {
        if let Self::Server(server) = self { server.backlog() } else { LOAD_CONNECTING }
    }

    /// Whether it can carry a message to whom it names; otherwise to the other of a pair only.
    pub(super) fn routes(&self) -> bool {
        !matches!(self, Self::Echo { .. } | Self::Floor { .. })
    }

    /// Looks for it, or starts it, with TLS where `is_sealed`. What is found stays where it is, and
    /// only this thread is pinned.
    pub(super) fn start(
        &self,
        pins: Option<Processors>,
        is_sealed: bool,
    ) -> Result<Target, Failure> {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).to_string();
        match self {
            Self::Found { relays: servers, pids } | Self::Echo { servers, pids } => {
                pins.map_or(Ok(()), |pins| pin(pins.own))?;
                let (addresses, pids) = (find_all(servers, pids)?, pids.clone());
                Ok(Target { addresses, pids, children: Vec::new() })
            }
            Self::Relay(options) => {
                let mut command = this_program()?;
                command.args(["serve", "--ephemeral", "--quiet", "--listen", &listen]);
                command.args(options);
                Target::start(command, pins)
            }
            Self::Floor { spin } => {
                let mut command = this_program()?;
                command.args(["load", "floor", "--listen", &listen]);
                command.args(spin.then_some("--spin"));
                Target::start(command, pins)
            }
            Self::Server(server) => server.start(pins, is_sealed),
        }
    }
}

fn this_program() -> Result<Command, Failure> {
    let path = std::env::current_exe().map_err(|error| failed("this program", error))?;
    Ok(Command::new(path))
}

impl Target {
    /// Starts what prints `listening on HOST:PORT` when it does.
    fn start(mut command: Command, pins: Option<Processors>) -> Result<Self, Failure> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut started = Started::spawn(command, pins)?;
        let mut errors = started.errors.take().ok_or_else(|| failed("the target", "it is mute"))?;
        let (mut said, mut line) = (String::new(), String::new());
        while errors.read_line(&mut line).is_ok_and(|read| read > 0) {
            if let Some(address) = line.trim_end().strip_prefix("listening on ")
                && let Ok(address) = address.parse()
            {
                started.errors = Some(errors); // open, so that it can say more
                return Ok(started.at(address));
            }
            said.push_str(&line);
            line.clear();
        }
        Err(failed("the target", format!("it says: {}", said.trim_end())))
    }

    /// Starts what listens at `address` some time later and does not say so.
    pub(super) fn start_at(
        command: Command,
        address: SocketAddr,
        pins: Option<Processors>,
        folder: Folder,
    ) -> Result<Self, Failure> {
        let mut started = Started::spawn(command, pins)?;
        started.folder = Some(folder);
        let begun = Instant::now();
        while TcpStream::connect_timeout(&address, CONNECT_TIMEOUT).is_err() {
            if started.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return Err(failed("the target", "it ended."));
            }
            if begun.elapsed() > CONNECT_TIMEOUT {
                return Err(failed("the target", format!("it does not listen at {address}.")));
            }
            sleep(LOOK);
        }
        Ok(started.at(address))
    }
}

impl Target {
    /// This one and another, which act as one.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.addresses.extend(other.addresses);
        self.pids.extend(other.pids);
        self.children.extend(other.children);
        self
    }

    /// Which of its processes has ended, and how. Asked when connections have ended: the kernel
    /// closes those of a process before it tells of its end, so this waits a little for that.
    pub(super) fn gone(&mut self) -> Option<String> {
        let begun = Instant::now();
        while begun.elapsed() < LOAD_GONE {
            let ended = self.children.iter_mut().find_map(Started::ended);
            let missing = self.pids.iter().find(|&&pid| kill(pid, None) == Err(Errno::ESRCH));
            let told = ended.or_else(|| missing.map(|pid| format!("process {pid} has ended")));
            if told.is_some() || self.pids.is_empty() {
                return told;
            }
            sleep(LOOK);
        }
        None
    }

    /// These processes, each once.
    pub(super) fn processes(&self) -> Vec<Pid> {
        let distinct: BTreeSet<Pid> = self.pids.iter().copied().collect();
        distinct.into_iter().collect()
    }
}

impl Started {
    /// Starts a process on its processor; afterwards this thread is on its own.
    fn spawn(mut command: Command, pins: Option<Processors>) -> Result<Self, Failure> {
        command.process_group(0); // Ctrl-C is for us: the target is needed until the end
        if let Some(pins) = pins {
            pin(pins.target)?; // what is started inherits it
        }
        let spawned = end_with_parent(&mut command).spawn();
        if let Some(pins) = pins {
            pin(pins.own)?;
        }
        let mut child = spawned.map_err(|error| failed("the target", error))?;
        let errors = child.stderr.take().map(BufReader::new);
        Ok(Self { child, errors, folder: None })
    }

    /// How it ended, and the last line that it said, if it has ended.
    fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok()??;
        let errors = self.errors.take();
        let said = errors.and_then(|errors| errors.take(LOAD_MAX_FRAME as u64).lines().last());
        let said = said.and_then(Result::ok).map(|line| format!("; it said: {}", escape(&line)));
        let pid = self.child.id();
        Some(format!("process {pid} has ended, {status}{}", said.unwrap_or_default()))
    }

    fn at(self, address: SocketAddr) -> Target {
        let pid = i32::try_from(self.child.id()).ok().map(Pid::from_raw);
        Target { addresses: vec![address], pids: pid.into_iter().collect(), children: vec![self] }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Puts this thread on one processor (`sched_setaffinity(2)`).
fn pin(cpu: usize) -> Result<(), Failure> {
    let mut set = CpuSet::new();
    let done = set.set(cpu).and_then(|()| sched_setaffinity(Pid::from_raw(0), &set));
    done.map_err(|errno| unpinned(cpu, errno))
}

fn unpinned(cpu: usize, why: impl Display) -> Failure {
    let help = "`taskset -cp $$` shows those there are";
    Failure::new(Exit::Usage, format!("--pin: no processor {cpu}: {why}; {help}"))
}

pub(super) fn failed(what: &str, why: impl Display) -> Failure {
    Failure::new(Exit::Failed, format!("{what} could not be started: {why}"))
}
