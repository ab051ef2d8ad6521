//! What processes share: files, sockets, the clock. Knows how each behaves and not who asks.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use nix::Result;
use nix::errno::Errno;
use sealwax::reactor::limits;
use sealwax::reactor::{Event, Interest, Time, Token};

use super::wire::{Latency, Packet, Wire};
use super::{Call, Inject};

#[derive(Default)]
pub(super) struct Machine {
    pub(super) now: Time,
    pub(super) files: Vec<Option<File>>,
    pub(super) free: Vec<usize>,
    pub(super) processes: Vec<Process>,
    pub(super) listening: BTreeMap<SocketAddr, usize>,
    /// From which address connections come.
    pub(super) host: Option<IpAddr>,
    pub(super) ports_used: u16,
    pub(super) buffer: usize,
    /// How long what is sent is on its way; none: it arrives at once.
    pub(super) latency: Option<Latency>,
    /// The clock moves only where a test moves it, and a wait for nothing returns at once.
    pub(super) clock_is_held: bool,
}

#[derive(Default)]
pub(super) struct Process {
    /// Those that may be ready, as epoll keeps them.
    pub(super) ready: VecDeque<(usize, Token)>,
    pub(super) open: usize,
    pub(super) limit: Option<usize>,
    pub(super) calls: Option<Vec<Call>>,
    pub(super) inject: Option<Inject>,
    pub(super) standard: [Option<usize>; 3],
    /// Tokens whose descriptors were closed, the latest last.
    pub(super) retired: VecDeque<Token>,
    /// How many of its connections a fault has broken.
    pub(super) harms: u64,
}

pub(super) struct File {
    pub(super) kind: Kind,
    pub(super) process: usize,
    pub(super) watch: Option<(Token, Interest)>,
    pub(super) listed: bool,
    /// Newcomers of a listener.
    pub(super) backlog: VecDeque<(usize, SocketAddr)>,
    /// What came and was not read; at most `capacity` bytes.
    pub(super) inbound: VecDeque<u8>,
    pub(super) capacity: usize,
    /// Who reads what is written here.
    pub(super) peer: Option<usize>,
    /// The other end will write no more, or this one.
    pub(super) ended: bool,
    pub(super) shut: bool,
    /// A connection that was reset, and what it has yet to say about it.
    pub(super) reset: bool,
    pub(super) error: Option<Errno>,
    /// What is on its way here.
    pub(super) wire: Wire,
    /// A connection that the other end knows of.
    pub(super) established: bool,
    /// Somebody found no room to write here, and is to be told when there is (`SOCK_NOSPACE`).
    pub(super) no_space: bool,
}

/// How many tokens of closed descriptors are remembered.
const RETIRED: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Listener,
    Socket,
    Pipe,
    File,
    Signals,
    Wake,
}

impl File {
    /// Whether it is what was put on the ready list: its number may be another's by now, and two
    /// processes may have the same tokens.
    fn is_watched_as(&self, process: usize, token: Token) -> bool {
        self.process == process && self.watch.is_some_and(|(now, _)| now == token)
    }
}

impl Machine {
    pub(super) fn file(&mut self, fd: usize) -> &mut File {
        self.files[fd].as_mut().expect("an open descriptor")
    }

    /// One descriptor more for `process`.
    pub(super) fn charge(&mut self, process: usize) -> Result<()> {
        let process = &mut self.processes[process];
        if process.limit.is_some_and(|limit| process.open >= limit) {
            return Err(Errno::EMFILE);
        }
        process.open += 1;
        Ok(())
    }

    pub(super) fn open(&mut self, kind: Kind, process: usize) -> Result<usize> {
        self.charge(process)?;
        Ok(self.create(kind, process))
    }

    pub(super) fn create(&mut self, kind: Kind, process: usize) -> usize {
        let file = File {
            kind,
            process,
            watch: None,
            listed: false,
            backlog: VecDeque::new(),
            inbound: VecDeque::new(),
            capacity: if kind == Kind::File { usize::MAX } else { self.buffer },
            peer: None,
            ended: false,
            shut: false,
            reset: false,
            error: None,
            wire: Wire::new(),
            established: true,
            no_space: false,
        };
        let fd = self.free.pop().unwrap_or(self.files.len());
        if fd == self.files.len() {
            self.files.push(None);
        }
        self.files[fd] = Some(file);
        fd
    }

    /// Two ends of one thing, not charged to anybody yet.
    pub(super) fn pair(&mut self, kind: Kind, one: usize, other: usize) -> (usize, usize) {
        let (one, other) = (self.create(kind, one), self.create(kind, other));
        self.file(one).peer = Some(other);
        self.file(other).peer = Some(one);
        (one, other)
    }

    pub(super) fn free_port(&mut self) -> u16 {
        self.ports_used += 1;
        40_000 + self.ports_used % 20_000
    }

    pub(super) fn connect(&mut self, process: usize, to: SocketAddr) -> Result<usize> {
        self.charge(process)?;
        let Some(&listener) = self.listening.get(&to) else {
            let fd = self.create(Kind::Socket, process);
            self.file(fd).established = false;
            let (errno, destroys) = (Errno::ECONNREFUSED, false);
            self.transmit(fd, Packet::Reset { errno, destroys });
            return Ok(fd);
        };
        let host = self.host.unwrap_or(Ipv4Addr::LOCALHOST.into());
        let from = SocketAddr::from((host, self.free_port()));
        let server = self.file(listener).process;
        let (ours, theirs) = self.pair(Kind::Socket, process, server);
        self.file(ours).established = false;
        self.transmit(listener, Packet::Newcomer(theirs, from));
        self.transmit(ours, Packet::Established);
        Ok(ours)
    }

    /// How many of `wanted` bytes can be written now.
    pub(super) fn room(&mut self, fd: usize, wanted: usize) -> Result<usize> {
        let file = self.file(fd);
        if let Some(errno) = file.error.take() {
            return Err(errno);
        }
        if file.shut || file.reset || (file.kind == Kind::Pipe && file.peer.is_none()) {
            return Err(Errno::EPIPE);
        }
        let Some(reader) = file.peer else {
            // These bytes are sent, and answered by a reset.
            let (errno, destroys) = (Errno::EPIPE, false);
            self.transmit(fd, Packet::Reset { errno, destroys });
            return Ok(wanted);
        };
        let reader = self.file(reader);
        Ok(reader.capacity.saturating_sub(reader.unread()))
    }

    /// A reset arrives.
    pub(super) fn break_off(&mut self, fd: usize, errno: Errno) {
        let file = self.file(fd);
        (file.reset, file.error, file.peer) = (true, Some(errno), None);
        self.enlist(fd);
    }

    /// `fd` learns that nothing more will come.
    pub(super) fn end(&mut self, fd: Option<usize>) {
        if let Some(fd) = fd {
            self.transmit(fd, Packet::End);
        }
    }

    /// A fault broke the connection `fd`: neither end can be blamed for what follows.
    pub(super) fn harm(&mut self, fd: usize) {
        let file = self.file(fd);
        let (process, peer) = (file.process, file.peer);
        self.processes[process].harms += 1;
        if let Some(peer) = peer {
            let process = self.file(peer).process;
            self.processes[process].harms += 1;
        }
    }

    pub(super) fn close(&mut self, fd: usize) {
        let file = self.files[fd].take().expect("an open descriptor");
        self.free.push(fd);
        let process = &mut self.processes[file.process];
        process.open = process.open.saturating_sub(1);
        process.retired.extend(file.watch.map(|(token, _)| token));
        if process.retired.len() > RETIRED {
            process.retired.pop_front();
        }
        self.listening.retain(|_, listener| *listener != fd);
        let is_unread = file.unread() > 0;
        let coming = file.wire.into_iter().filter_map(|(_, packet)| match packet {
            Packet::Newcomer(newcomer, from) => Some((newcomer, from)),
            _ => None,
        });
        for (newcomer, _) in file.backlog.into_iter().chain(coming) {
            self.processes[file.process].open += 1; // as if it had been accepted
            self.close(newcomer);
        }
        let Some(peer) = file.peer else { return };
        self.file(peer).peer = None;
        if file.kind == Kind::Socket && is_unread {
            // What was not read is answered by a reset, which destroys what the other end has not
            // read (RFC 9293, section 3.6.1, allows that; Linux keeps what has arrived).
            let (errno, destroys) = (Errno::ECONNRESET, true);
            return self.transmit(peer, Packet::Reset { errno, destroys });
        }
        self.end(Some(peer));
    }

    /// Adds `bytes` to what waits in each file of this kind that `process` has.
    pub(super) fn push(&mut self, process: usize, kind: Kind, bytes: &[u8]) {
        for fd in 0..self.files.len() {
            let Some(file) = &mut self.files[fd] else { continue };
            if file.kind == kind && file.process == process {
                file.inbound.extend(bytes);
                self.enlist(fd);
            }
        }
    }

    /// Puts `fd` on its ready list, where it is not yet.
    pub(super) fn enlist(&mut self, fd: usize) {
        let file = self.file(fd);
        let Some((token, _)) = file.watch else { return };
        if !std::mem::replace(&mut file.listed, true) {
            let process = file.process;
            self.processes[process].ready.push_back((fd, token));
        }
    }

    /// What `epoll_wait` does: those still ready go to the end of the list, the others leave it,
    /// and so does who is watched for nothing.
    pub(super) fn take_ready(&mut self, process: usize, events: &mut Vec<Event>) {
        for _ in 0..self.processes[process].ready.len() {
            if events.len() == limits::EVENTS_PER_TICK {
                break;
            }
            let Some((fd, token)) = self.processes[process].ready.pop_front() else { break };
            let is_the_same = |file: &File| file.is_watched_as(process, token);
            if !self.files[fd].as_ref().is_some_and(is_the_same) {
                continue; // closed since
            }
            match self.poll(fd) {
                Some(event) => {
                    events.push(event);
                    let file = self.file(fd);
                    file.listed = file.watch.is_some_and(|(_, now)| !now.edge);
                    if file.listed {
                        self.processes[process].ready.push_back((fd, token));
                    }
                }
                None => self.file(fd).listed = false,
            }
        }
    }

    /// Some of what `fd` had sent was read.
    pub(super) fn make_room(&mut self, fd: usize) {
        if std::mem::take(&mut self.file(fd).no_space) {
            self.enlist(fd);
        }
    }

    /// Whether [`take_ready`](Self::take_ready) would find any.
    pub(super) fn is_ready(&mut self, process: usize) -> bool {
        (0..self.processes[process].ready.len()).any(|place| {
            let (fd, token) = self.processes[process].ready[place];
            let is_the_same = |file: &File| file.is_watched_as(process, token);
            self.files[fd].as_ref().is_some_and(is_the_same) && self.poll(fd).is_some()
        })
    }

    /// As `tcp_poll` and `pipe_poll` have it.
    pub(super) fn poll(&mut self, fd: usize) -> Option<Event> {
        let file = self.file(fd);
        let (kind, gone) = (file.kind, file.peer.is_none());
        let (token, interest) = file.watch?;
        let has_input = !file.inbound.is_empty() || !file.backlog.is_empty();
        let (ended, shut, reset) = (file.ended, file.shut, file.reset);
        let established = file.established;
        let reader = file.peer;
        let has_room = reader.is_none_or(|reader| {
            let reader = self.file(reader);
            reader.unread() < reader.capacity
        });
        if !has_room && interest.write {
            self.file(fd).no_space = true;
        }
        let (readable, writable, hangup) = match kind {
            Kind::Listener | Kind::Signals | Kind::Wake | Kind::File => (has_input, false, false),
            Kind::Socket if !established && !reset => (false, false, false),
            Kind::Socket => (has_input || ended || reset, has_room || shut, reset || ended && shut),
            Kind::Pipe => (has_input, has_room, gone),
        };
        let event = Event {
            token,
            readable: readable && interest.read,
            writable: writable && interest.write,
            rdhup: ended && interest.edge && interest.read,
            hangup,
        };
        (event.readable || event.writable || event.hangup).then_some(event)
    }
}
