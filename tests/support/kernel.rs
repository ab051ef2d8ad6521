//! A kernel in memory: the reactor's other [`Sys`].
//!
//! Deterministic: no threads, no descriptors, a clock that moves only when a test moves it or a
//! wait finds nothing ready. Sockets and pipes have bounded buffers, the ready list is epoll's
//! (level-triggered, who is still ready goes to its end), and hang-ups are reported whether asked
//! for or not. What a test wants to go wrong it says with [`Kernel::inject`]; what the loop asked
//! for it reads from [`Kernel::calls`].
//!
//! One [`Kernel`] is one process; [`Kernel::process`] adds another to the same machine. A [`Peer`]
//! is the end of a connection that the test holds itself.

mod calls;
mod errnos;
mod machine;
mod wire;

use std::cell::{RefCell, RefMut};
use std::io::IoSlice;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use nix::Result;
use nix::errno::Errno;
use sealwax::reactor::{Io, Sys, Time, Token};

pub use self::calls::{Call, Fault, Op};
use self::machine::{Kind, Machine, Process};
use self::wire::Packet;

/// One process on a simulated machine. Clones are the same process.
#[derive(Clone)]
pub struct Kernel {
    machine: Rc<RefCell<Machine>>,
    process: usize,
}

/// The handle of this descriptor.
pub fn io_of(fd: usize) -> Io {
    Io::Own(i32::try_from(fd).expect("few descriptors"))
}

/// The descriptor of this handle.
pub fn fd_of(io: Io) -> usize {
    usize::try_from(io.number()).expect("no descriptor is negative")
}

/// The end of a connection, a pipe or a file that the test holds itself. Not closed by being
/// dropped.
pub struct Peer {
    process: Kernel,
    io: Io,
}

/// What lies behind a standard stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    Pipe,
    /// Cannot be watched: always ready.
    File,
}

type Inject = Box<dyn FnMut(Op, Option<usize>) -> Option<Fault>>;

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
        machine.deliver();
    }

    /// One whose clock moves only with [`advance`](Self::advance), from 1 s on: for whoever drives
    /// several processes and knows when each wants to wake.
    pub fn with_held_clock() -> Self {
        let kernel = Self::new();
        kernel.machine.borrow_mut().clock_is_held = true;
        kernel.advance(Duration::from_secs(1));
        kernel
    }

    /// From now on what is sent over a connection takes as long as `latency` says.
    pub fn set_latency(&self, latency: impl FnMut() -> Duration + 'static) {
        self.machine.borrow_mut().latency = Some(Box::new(latency));
    }

    /// When the next thing arrives that is on its way.
    pub fn next_delivery(&self) -> Option<Time> {
        self.machine.borrow().next_delivery()
    }

    /// Whether a wait of this process would return at once.
    pub fn is_ready(&self) -> bool {
        let mut machine = self.machine.borrow_mut();
        machine.is_ready(self.process)
    }

    /// How many descriptors are open on the whole machine.
    pub fn descriptors_in_all(&self) -> usize {
        self.machine.borrow().files.iter().flatten().count()
    }

    /// Tokens whose descriptors this process has closed lately, the latest last.
    pub fn retired(&self) -> Vec<Token> {
        self.me().retired.iter().copied().collect()
    }

    /// Tokens of the sources that this process watches, but for connections that are not decided:
    /// of those no kernel says that they can be written to.
    pub fn watched(&self) -> Vec<Token> {
        let machine = self.machine.borrow();
        let files = machine.files.iter().flatten();
        let ours = files.filter(|file| file.process == self.process && file.established);
        ours.filter_map(|file| Some(file.watch?.0)).collect()
    }

    /// Whether `fd` is a connection.
    pub fn is_socket(&self, fd: usize) -> bool {
        let machine = self.machine.borrow();
        machine.files.get(fd).and_then(Option::as_ref).is_some_and(|it| it.kind == Kind::Socket)
    }

    /// How many of this process's connections were broken by a fault, at either end.
    pub fn harms(&self) -> u64 {
        self.me().harms
    }

    /// From which address connections come from now on.
    pub fn set_host(&self, host: impl Into<IpAddr>) {
        self.machine.borrow_mut().host = Some(host.into());
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

    /// The calls since this was last asked; the first time none, for only from then on are they
    /// noted.
    pub fn calls(&self) -> Vec<Call> {
        self.me().calls.replace(Vec::new()).unwrap_or_default()
    }

    /// Whether a process of this machine listens at `at`.
    pub fn is_listening(&self, at: SocketAddr) -> bool {
        self.machine.borrow().listening.contains_key(&at)
    }

    /// Connects to a listener of the machine; its process sees a newcomer.
    ///
    /// # Panics
    /// If nobody listens at `at`.
    pub fn dial(&self, at: SocketAddr) -> Peer {
        assert!(self.is_listening(at), "nobody listens at {at}");
        let mut process = self.process();
        let io = process.connect(at).expect("a new process has no limit");
        Peer { process, io }
    }

    /// Puts `device` behind standard input (0), output (1) or error (2) of this process; the test
    /// holds its other end. To be called before the stream is opened, and once.
    pub fn standard(&self, number: usize, device: Device) -> Peer {
        let process = self.process();
        let mut machine = self.machine.borrow_mut();
        let kind = if device == Device::Pipe { Kind::Pipe } else { Kind::File };
        let (ours, theirs) = machine.pair(kind, self.process, process.process);
        machine.processes[self.process].standard[number] = Some(ours);
        drop(machine);
        Peer { process, io: io_of(theirs) }
    }

    /// Whether a standard stream that was put there was opened.
    pub fn has_opened(&self, number: usize) -> bool {
        self.me().standard[number].is_none()
    }

    /// The process ends: its standard streams that nobody opened are closed. The loop closes the
    /// rest.
    pub fn exit(&self) {
        for number in 0..3 {
            let unopened = self.me().standard[number].take();
            if let Some(fd) = unopened {
                self.me().open += 1;
                self.machine.borrow_mut().close(fd);
            }
        }
    }

    /// Sends this process a signal; lost where it does not listen for signals.
    pub fn signal(&self, number: u8) {
        self.machine.borrow_mut().push(self.process, Kind::Signals, &[number]);
    }

    /// Writes to the wake-ups that this process has opened.
    pub fn wake(&self) {
        self.machine.borrow_mut().push(self.process, Kind::Wake, &1_u64.to_ne_bytes());
    }

    fn me(&self) -> RefMut<'_, Process> {
        RefMut::map(self.machine.borrow_mut(), |machine| &mut machine.processes[self.process])
    }
}

impl Peer {
    /// Writes as much as there is room for, and tells how much.
    pub fn send(&mut self, bytes: &[u8]) -> usize {
        self.process.writev(self.io, &[IoSlice::new(bytes)]).unwrap_or(0)
    }

    /// Reads at most `most` bytes: none is the end.
    pub fn receive(&mut self, most: usize) -> Result<Vec<u8>> {
        let waiting = self.process.machine.borrow_mut().file(fd_of(self.io)).inbound.len();
        let mut bytes = vec![0; most.min(waiting.max(1))];
        let count = self.process.read(self.io, &mut bytes)?;
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

    /// Says that it will send no more, where it could.
    pub fn shut(&mut self) {
        let _ = self.process.shutdown(self.io);
    }

    /// Whether a read would tell something.
    pub fn can_receive(&self) -> bool {
        let mut machine = self.process.machine.borrow_mut();
        let file = machine.file(fd_of(self.io));
        !file.inbound.is_empty() || file.ended || file.reset
    }

    /// Whether a write would be taken, at least in part.
    pub fn can_send(&self) -> bool {
        let mut machine = self.process.machine.borrow_mut();
        let file = machine.file(fd_of(self.io));
        let (is_over, established, peer) = (file.shut || file.reset, file.established, file.peer);
        let has_room = |reader| {
            let reader = machine.file(reader);
            reader.unread() < reader.capacity
        };
        !is_over && established && peer.is_none_or(has_room)
    }

    /// Whether the other end will send no more.
    pub fn has_ended(&self) -> bool {
        self.process.machine.borrow_mut().file(fd_of(self.io)).ended
    }

    /// How many faults have broken this connection.
    pub fn harms(&self) -> u64 {
        self.process.harms()
    }

    /// Closes; a reset where something was not read.
    pub fn close(mut self) {
        self.process.close(self.io);
    }

    /// Closes with a reset. What has arrived before it can still be read.
    pub fn reset(self) {
        let mut machine = self.process.machine.borrow_mut();
        if let Some(other) = machine.file(fd_of(self.io)).peer.take() {
            machine.file(other).peer = None;
            let (errno, destroys) = (Errno::ECONNRESET, false);
            machine.transmit(other, Packet::Reset { errno, destroys });
        }
        machine.close(fd_of(self.io));
    }
}
