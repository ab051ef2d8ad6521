//! A kernel in memory: the reactor's other [`Sys`].
//!
//! Deterministic: no threads, no descriptors, a clock that moves only when a test moves it or a wait finds nothing
//! ready. Sockets and pipes have bounded buffers, the ready list is epoll's (level-triggered, who is still ready
//! goes to its end), and hang-ups are reported whether asked for or not. What a test wants to go wrong it says
//! with [`Kernel::inject`]; what the loop asked for it reads from [`Kernel::calls`].
//!
//! One [`Kernel`] is one process; [`Kernel::process`] adds another to the same machine. A [`Peer`] is the end of a
//! connection that the test holds itself.

use std::cell::{RefCell, RefMut};
use std::collections::{BTreeMap, VecDeque};
use std::io::IoSlice;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use nix::Result;
use nix::errno::Errno;
use sealwax::limits;
use sealwax::reactor::{Event, Interest, Source, Sys, Time, Token, Watch};

/// One process on a simulated machine. Clones are the same process.
#[derive(Clone)]
pub struct Kernel {
    machine: Rc<RefCell<Machine>>,
    process: usize,
}

/// An open descriptor.
#[derive(Debug)]
pub struct Io(usize);

/// The end of a connection, a pipe or a file that the test holds itself. Not closed by being dropped.
pub struct Peer {
    process: Kernel,
    io: Io,
}

/// A system call, as it was asked and answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    pub op: Op,
    /// The descriptor, where there was one before the call.
    pub fd: Option<usize>,
    /// Bytes, events or the new descriptor, by what was called.
    pub outcome: Result<usize>,
}

/// The calls that are told apart; [`Sys::now`] and [`Sys::turn_away`] are not noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    Wait,
    Listen,
    Accept,
    Connect,
    Error,
    Open,
    Watch,
    Read,
    Writev,
    Shutdown,
    Close,
}

/// What a test makes of a call.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// It fails and does nothing ([`Op::Close`] cannot fail).
    Fail(Errno),
    /// A read or write of more bytes stops after so many.
    Short(usize),
    /// A wait that also returns this event.
    Stale(Event),
}

/// What lies behind a standard stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    Pipe,
    /// Cannot be watched: always ready.
    File,
}

type Inject = Box<dyn FnMut(Op, Option<usize>) -> Option<Fault>>;

#[derive(Default)]
struct Machine {
    now: Time,
    files: Vec<Option<File>>,
    free: Vec<usize>,
    processes: Vec<Process>,
    listening: BTreeMap<SocketAddr, usize>,
    ports_used: u16,
    buffer: usize,
}

#[derive(Default)]
struct Process {
    /// Those that may be ready, as epoll keeps them.
    ready: VecDeque<(usize, Token)>,
    open: usize,
    limit: Option<usize>,
    calls: Option<Vec<Call>>,
    inject: Option<Inject>,
    standard: [Option<usize>; 3],
}

struct File {
    kind: Kind,
    process: usize,
    watch: Option<(Token, Interest)>,
    listed: bool,
    /// Newcomers of a listener.
    backlog: VecDeque<(usize, SocketAddr)>,
    /// What came and was not read; at most `capacity` bytes.
    inbound: VecDeque<u8>,
    capacity: usize,
    /// Who reads what is written here.
    peer: Option<usize>,
    /// The other end will write no more, or this one.
    ended: bool,
    shut: bool,
    /// A connection that was reset, and what it has yet to say about it.
    reset: bool,
    error: Option<Errno>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Listener,
    Socket,
    Pipe,
    File,
    /// Signals and wake-ups.
    Queue,
}

impl Kernel {
    /// A machine with one process. Its sockets and pipes hold 64 KiB.
    pub fn new() -> Self {
        let machine = Machine { buffer: 64 * 1024, ..Machine::default() };
        Self { machine: Rc::new(RefCell::new(machine)), process: 0 }.process()
    }

    /// Another process on this machine: its own ready list, limit, log and faults.
    pub fn process(&self) -> Self {
        let mut machine = self.machine.borrow_mut();
        machine.processes.push(Process::default());
        Self { machine: Rc::clone(&self.machine), process: machine.processes.len() - 1 }
    }

    /// Moves the clock of the machine.
    pub fn advance(&self, by: Duration) {
        let mut machine = self.machine.borrow_mut();
        machine.now = machine.now + by;
    }

    /// How many bytes sockets and pipes hold that are opened from now on.
    pub fn set_buffer(&self, bytes: usize) {
        self.machine.borrow_mut().buffer = bytes;
    }

    /// How many descriptors this process may have; then `EMFILE`.
    pub fn set_limit(&self, descriptors: usize) {
        self.me().limit = Some(descriptors);
    }

    /// How many descriptors this process has.
    pub fn descriptors(&self) -> usize {
        self.me().open
    }

    /// Asks `inject` about each call from now on.
    pub fn inject(&self, inject: impl FnMut(Op, Option<usize>) -> Option<Fault> + 'static) {
        self.me().inject = Some(Box::new(inject));
    }

    /// The calls since this was last asked; the first time none, for only from then on are they noted.
    pub fn calls(&self) -> Vec<Call> {
        self.me().calls.replace(Vec::new()).unwrap_or_default()
    }

    /// Connects to a listener of the machine; its process sees a newcomer.
    ///
    /// # Panics
    /// If nobody listens at `at`.
    pub fn dial(&self, at: SocketAddr) -> Peer {
        assert!(self.machine.borrow().listening.contains_key(&at), "nobody listens at {at}");
        let mut process = self.process();
        let io = process.connect(at).expect("a new process has no limit");
        Peer { process, io }
    }

    /// Puts `device` behind standard input (0), output (1) or error (2) of this process; the test holds its other
    /// end. To be called before the stream is opened, and once.
    pub fn standard(&self, number: usize, device: Device) -> Peer {
        let process = self.process();
        let mut machine = self.machine.borrow_mut();
        let kind = if device == Device::Pipe { Kind::Pipe } else { Kind::File };
        let (ours, theirs) = machine.pair(kind, self.process, process.process);
        machine.processes[self.process].standard[number] = Some(ours);
        drop(machine);
        Peer { process, io: Io(theirs) }
    }

    /// Sends this process a signal; lost where it does not listen for signals.
    pub fn signal(&self, number: u8) {
        self.queue(1, &[number]);
    }

    /// Writes to the wake-ups that this process has opened.
    pub fn wake(&self) {
        self.queue(8, &1_u64.to_ne_bytes());
    }

    fn queue(&self, capacity: usize, bytes: &[u8]) {
        let mut machine = self.machine.borrow_mut();
        for fd in 0..machine.files.len() {
            let Some(file) = &mut machine.files[fd] else { continue };
            let is_ours = file.kind == Kind::Queue && file.process == self.process;
            if is_ours && file.capacity == capacity {
                file.inbound.extend(bytes);
                machine.enlist(fd);
            }
        }
    }

    fn me(&self) -> RefMut<'_, Process> {
        RefMut::map(self.machine.borrow_mut(), |machine| &mut machine.processes[self.process])
    }

    /// Asks for a fault, makes the call, notes it.
    fn call(
        &self,
        op: Op,
        fd: Option<usize>,
        body: impl FnOnce(&mut Machine, Option<usize>) -> Result<usize>,
    ) -> Result<usize> {
        let mut inject = self.me().inject.take();
        let fault = inject.as_mut().and_then(|inject| inject(op, fd));
        self.me().inject = inject;
        let outcome = match fault {
            Some(Fault::Fail(errno)) => Err(errno),
            Some(Fault::Short(most)) => body(&mut self.machine.borrow_mut(), Some(most)),
            Some(Fault::Stale(_)) | None => body(&mut self.machine.borrow_mut(), None),
        };
        if let Some(calls) = &mut self.me().calls {
            calls.push(Call { op, fd, outcome });
        }
        outcome
    }
}

impl Peer {
    /// Writes as much as there is room for, and tells how much.
    pub fn send(&mut self, bytes: &[u8]) -> usize {
        self.process.writev(&self.io, &[IoSlice::new(bytes)]).unwrap_or(0)
    }

    /// Reads at most `most` bytes: none is the end.
    pub fn receive(&mut self, most: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; most];
        let count = self.process.read(&self.io, &mut bytes)?;
        bytes.truncate(count);
        Ok(bytes)
    }

    /// Reads all that is there.
    pub fn receive_all(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        while let Ok(bytes) = self.receive(64 * 1024) {
            if bytes.is_empty() {
                break;
            }
            all.extend(bytes);
        }
        all
    }

    /// Says that it will send no more.
    pub fn shut(&mut self) {
        self.process.shutdown(&self.io).expect("is connected");
    }

    /// Closes; a reset where something was not read.
    pub fn close(mut self) {
        self.process.close(self.io);
    }

    /// Closes with a reset.
    pub fn reset(self) {
        let mut machine = self.process.machine.borrow_mut();
        machine.file(self.io.0).inbound.push_back(0);
        machine.close(self.io.0);
    }
}

impl Sys for Kernel {
    type Io = Io;

    fn now(&mut self) -> Time {
        self.machine.borrow().now
    }

    /// Nothing ready: the clock moves on by `timeout`.
    ///
    /// # Panics
    /// Where a real kernel would wait for ever.
    fn wait(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> Result<()> {
        events.clear();
        let mut inject = self.me().inject.take();
        let fault = inject.as_mut().and_then(|inject| inject(Op::Wait, None));
        self.me().inject = inject;
        if let Some(Fault::Fail(errno)) = fault {
            return if errno == Errno::EINTR { Ok(()) } else { Err(errno) };
        }
        let mut machine = self.machine.borrow_mut();
        machine.take_ready(self.process, events);
        if let Some(Fault::Stale(event)) = fault {
            events.push(event);
        }
        if events.is_empty() {
            let timeout = timeout.expect("nothing is ready, nothing is due: the loop would hang");
            machine.now = machine.now + timeout;
        }
        drop(machine);
        if let Some(calls) = &mut self.me().calls {
            calls.push(Call { op: Op::Wait, fd: None, outcome: Ok(events.len()) });
        }
        Ok(())
    }

    fn listen(&mut self, at: SocketAddr) -> Result<(Io, SocketAddr)> {
        let mut got = at;
        let fd = self.call(Op::Listen, None, |machine, _| {
            if at.port() == 0 {
                got.set_port(machine.free_port());
            }
            if machine.listening.contains_key(&got) {
                return Err(Errno::EADDRINUSE);
            }
            let fd = machine.open(Kind::Listener, self.process)?;
            machine.listening.insert(got, fd);
            Ok(fd)
        })?;
        Ok((Io(fd), got))
    }

    fn accept(&mut self, listener: &Io) -> Result<(Io, SocketAddr)> {
        let mut from = None;
        let fd = self.call(Op::Accept, Some(listener.0), |machine, _| {
            let newcomer = machine.file(listener.0).backlog.front().copied();
            let (fd, peer) = newcomer.ok_or(Errno::EAGAIN)?;
            machine.charge(self.process)?;
            machine.file(listener.0).backlog.pop_front();
            from = Some(peer);
            Ok(fd)
        })?;
        Ok((Io(fd), from.expect("was accepted")))
    }

    fn turn_away(&mut self, listener: &Io) {
        let mut machine = self.machine.borrow_mut();
        if let Some((fd, _)) = machine.file(listener.0).backlog.pop_front() {
            machine.processes[self.process].open += 1;
            machine.close(fd);
        }
    }

    fn connect(&mut self, to: SocketAddr) -> Result<Io> {
        let fd = self.call(Op::Connect, None, |machine, _| machine.connect(self.process, to))?;
        Ok(Io(fd))
    }

    fn error(&mut self, io: &Io) -> Result<()> {
        let error = self.call(Op::Error, Some(io.0), |machine, _| {
            let file = machine.file(io.0);
            if file.kind != Kind::Socket {
                return Err(Errno::ENOTSOCK);
            }
            file.error.take().map_or(Ok(0), Err)
        });
        error.map(drop)
    }

    fn open(&mut self, source: &Source) -> Result<Io> {
        let fd = self.call(Op::Open, None, |machine, _| {
            let number = match source {
                Source::Input => 0,
                Source::Output => 1,
                Source::Error => 2,
                Source::Signals | Source::Wake(_) => {
                    let fd = machine.open(Kind::Queue, self.process)?;
                    machine.file(fd).capacity =
                        if matches!(source, Source::Signals) { 1 } else { 8 };
                    return Ok(fd);
                }
            };
            machine.charge(self.process)?;
            machine.processes[self.process].standard[number].take().ok_or(Errno::EBADF)
        })?;
        Ok(Io(fd))
    }

    fn watch(&mut self, io: &Io, token: Token, interest: Interest, how: Watch) -> Result<()> {
        let done = self.call(Op::Watch, Some(io.0), |machine, _| {
            let file = machine.file(io.0);
            match (file.kind, how, file.watch) {
                (Kind::File, _, _) => return Err(Errno::EPERM),
                (_, Watch::Begin, Some(_)) => return Err(Errno::EEXIST),
                (_, Watch::Change, None) => return Err(Errno::ENOENT),
                (_, _, _) => file.watch = Some((token, interest)),
            }
            machine.enlist(io.0);
            Ok(0)
        });
        done.map(drop)
    }

    fn read(&mut self, io: &Io, into: &mut [u8]) -> Result<usize> {
        self.call(Op::Read, Some(io.0), |machine, most| {
            let file = machine.file(io.0);
            let limit = into.len().min(most.unwrap_or(usize::MAX)).min(file.inbound.len());
            for (place, byte) in into.iter_mut().zip(file.inbound.drain(..limit)) {
                *place = byte;
            }
            let (error, is_over) =
                (file.error, file.ended || file.reset || file.kind == Kind::File);
            if let (Some(writer), true) = (file.peer, limit > 0) {
                machine.enlist(writer); // there is room now
            }
            match error {
                _ if limit > 0 => Ok(limit),
                Some(errno) => {
                    machine.file(io.0).error = None;
                    Err(errno)
                }
                None if is_over => Ok(0),
                None => Err(Errno::EAGAIN),
            }
        })
    }

    fn writev(&mut self, io: &Io, slices: &[IoSlice<'_>]) -> Result<usize> {
        self.call(Op::Writev, Some(io.0), |machine, most| {
            let all: usize = slices.iter().map(|slice| slice.len()).sum();
            let all = all.min(most.unwrap_or(usize::MAX));
            let room = machine.room(io.0, all)?;
            let taken = all.min(room);
            if let (Some(reader), true) = (machine.file(io.0).peer, taken > 0) {
                let bytes = slices.iter().flat_map(|slice| slice.iter().copied()).take(taken);
                machine.file(reader).inbound.extend(bytes);
                machine.enlist(reader);
            }
            if taken == 0 && all > 0 { Err(Errno::EAGAIN) } else { Ok(taken) }
        })
    }

    fn shutdown(&mut self, io: &Io) -> Result<()> {
        let done = self.call(Op::Shutdown, Some(io.0), |machine, _| {
            let file = machine.file(io.0);
            if file.reset {
                return Err(Errno::ENOTCONN);
            }
            file.shut = true;
            let peer = file.peer;
            machine.enlist(io.0);
            machine.end(peer);
            Ok(0)
        });
        done.map(drop)
    }

    fn close(&mut self, io: Io) {
        self.machine.borrow_mut().close(io.0);
        if let Some(calls) = &mut self.me().calls {
            calls.push(Call { op: Op::Close, fd: Some(io.0), outcome: Ok(0) });
        }
    }
}

impl Machine {
    fn file(&mut self, fd: usize) -> &mut File {
        self.files[fd].as_mut().expect("an open descriptor")
    }

    /// One descriptor more for `process`.
    fn charge(&mut self, process: usize) -> Result<()> {
        let process = &mut self.processes[process];
        if process.limit.is_some_and(|limit| process.open >= limit) {
            return Err(Errno::EMFILE);
        }
        process.open += 1;
        Ok(())
    }

    fn open(&mut self, kind: Kind, process: usize) -> Result<usize> {
        self.charge(process)?;
        Ok(self.create(kind, process))
    }

    fn create(&mut self, kind: Kind, process: usize) -> usize {
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
        };
        let fd = self.free.pop().unwrap_or(self.files.len());
        if fd == self.files.len() {
            self.files.push(None);
        }
        self.files[fd] = Some(file);
        fd
    }

    /// Two ends of one thing, not charged to anybody yet.
    fn pair(&mut self, kind: Kind, one: usize, other: usize) -> (usize, usize) {
        let (one, other) = (self.create(kind, one), self.create(kind, other));
        self.file(one).peer = Some(other);
        self.file(other).peer = Some(one);
        (one, other)
    }

    fn free_port(&mut self) -> u16 {
        self.ports_used += 1;
        40_000 + self.ports_used % 20_000
    }

    fn connect(&mut self, process: usize, to: SocketAddr) -> Result<usize> {
        self.charge(process)?;
        let Some(&listener) = self.listening.get(&to) else {
            let fd = self.create(Kind::Socket, process);
            self.break_off(fd, Errno::ECONNREFUSED);
            return Ok(fd);
        };
        let from = SocketAddr::from(([127, 0, 0, 1], self.free_port()));
        let server = self.file(listener).process;
        let (ours, theirs) = self.pair(Kind::Socket, process, server);
        self.file(listener).backlog.push_back((theirs, from));
        self.enlist(listener);
        Ok(ours)
    }

    /// How many of `wanted` bytes can be written now.
    fn room(&mut self, fd: usize, wanted: usize) -> Result<usize> {
        let file = self.file(fd);
        if let Some(errno) = file.error.take() {
            return Err(errno);
        }
        if file.shut || file.reset || (file.kind == Kind::Pipe && file.peer.is_none()) {
            return Err(Errno::EPIPE);
        }
        let Some(reader) = file.peer else {
            self.break_off(fd, Errno::EPIPE); // these bytes are sent, and answered by a reset
            return Ok(wanted);
        };
        let reader = self.file(reader);
        Ok(reader.capacity.saturating_sub(reader.inbound.len()))
    }

    /// A reset arrives.
    fn break_off(&mut self, fd: usize, errno: Errno) {
        let file = self.file(fd);
        (file.reset, file.error, file.peer) = (true, Some(errno), None);
        self.enlist(fd);
    }

    /// `fd` learns that nothing more will come.
    fn end(&mut self, fd: Option<usize>) {
        if let Some(fd) = fd {
            self.file(fd).ended = true;
            self.enlist(fd);
        }
    }

    fn close(&mut self, fd: usize) {
        let file = self.files[fd].take().expect("an open descriptor");
        self.free.push(fd);
        let process = &mut self.processes[file.process];
        process.open = process.open.saturating_sub(1);
        self.listening.retain(|_, listener| *listener != fd);
        for (newcomer, _) in file.backlog {
            self.processes[file.process].open += 1; // as if it had been accepted
            self.close(newcomer);
        }
        let Some(peer) = file.peer else { return };
        self.file(peer).peer = None;
        if file.kind == Kind::Socket && !file.inbound.is_empty() {
            // What was not read is answered by a reset, which destroys what the other end has not read.
            self.file(peer).inbound.clear();
            return self.break_off(peer, Errno::ECONNRESET);
        }
        self.end(Some(peer));
    }

    /// Puts `fd` on its ready list, where it is not yet.
    fn enlist(&mut self, fd: usize) {
        let file = self.file(fd);
        let Some((token, _)) = file.watch else { return };
        if !std::mem::replace(&mut file.listed, true) {
            let process = file.process;
            self.processes[process].ready.push_back((fd, token));
        }
    }

    /// What `epoll_wait` does: those still ready go to the end of the list, the others leave it.
    fn take_ready(&mut self, process: usize, events: &mut Vec<Event>) {
        for _ in 0..self.processes[process].ready.len() {
            if events.len() == limits::EVENTS_PER_TICK {
                break;
            }
            let Some((fd, token)) = self.processes[process].ready.pop_front() else { break };
            let is_the_same = |file: &File| file.watch.is_some_and(|(now, _)| now == token);
            if !self.files[fd].as_ref().is_some_and(is_the_same) {
                continue; // closed since
            }
            match self.poll(fd) {
                Some(event) => {
                    events.push(event);
                    self.processes[process].ready.push_back((fd, token));
                }
                None => self.file(fd).listed = false,
            }
        }
    }

    /// As `tcp_poll` and `pipe_poll` have it.
    fn poll(&mut self, fd: usize) -> Option<Event> {
        let file = self.file(fd);
        let (kind, gone) = (file.kind, file.peer.is_none());
        let (token, interest) = file.watch?;
        let has_input = !file.inbound.is_empty() || !file.backlog.is_empty();
        let (ended, shut, reset) = (file.ended, file.shut, file.reset);
        let reader = file.peer;
        let has_room = reader.is_none_or(|reader| {
            let reader = self.file(reader);
            reader.inbound.len() < reader.capacity
        });
        let (readable, writable, hangup) = match kind {
            Kind::Listener | Kind::Queue | Kind::File => (has_input, false, false),
            Kind::Socket => (has_input || ended || reset, has_room || shut, reset || ended && shut),
            Kind::Pipe => (has_input, has_room, gone),
        };
        let event = Event {
            token,
            readable: readable && interest.read,
            writable: writable && interest.write,
            hangup,
        };
        (event.readable || event.writable || event.hangup).then_some(event)
    }
}
