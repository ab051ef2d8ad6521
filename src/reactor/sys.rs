//! The seam: all that the reactor asks of a kernel.
//!
//! [`linux`](super::linux) carries it out with system calls. The tests carry it out in memory, so
//! that the same loop can be shown every short read, every refused call and every stale event that
//! a kernel may produce, in an order that a seed decides. Each method is one system call or a short
//! fixed row of them, and tells what the kernel told: the loop decides what it means.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::ops::Add;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use nix::Result;
use nix::errno::Errno;

use super::{Signal, Token, UnixSocket, Waker};

/// A kernel, or something that behaves like one.
pub trait Sys {
    /// The monotonic clock (`clock_gettime(2)`).
    fn now(&mut self) -> Time;

    /// Waits until a watched source is ready, or for `timeout` (none: for ever), and replaces
    /// `events` by what `epoll_wait(2)` returned; where it failed, by nothing. Interrupted by a
    /// signal (`EINTR`), it has looked at no source.
    fn wait(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> Result<()>;

    /// Listens at `at`; tells the address that it got (`socket(2)`, `bind(2)`, `listen(2)`).
    fn listen(&mut self, at: SocketAddr) -> Result<(Io, SocketAddr)>;

    /// Takes one connection from the backlog, non-blocking (`accept4(2)`).
    fn accept(&mut self, listener: Io) -> Result<(Io, SocketAddr)>;

    /// Out of descriptors: accepts one connection with the descriptor kept in reserve and closes
    /// it, so that the one that waits longest learns that there is no room.
    fn shed(&mut self, listener: Io);

    /// Begins to connect, non-blocking (`connect(2)`); the descriptor becomes writable when it is
    /// decided.
    fn connect(&mut self, to: SocketAddr) -> Result<Io>;

    /// How `connect` ended, or what else went wrong with a socket (`SO_ERROR`, `socket(7)`). Of
    /// what is no socket: `ENOTSOCK`.
    fn error(&mut self, io: Io) -> Result<()>;

    /// Opens a descriptor of the process itself.
    fn open(&mut self, source: &ProcessFd) -> Result<Io>;

    /// Starts watching, or changes what is watched for (`epoll_ctl(2)`). `EPERM`: this descriptor
    /// cannot be watched because it is always ready (a regular file, `/dev/null`).
    fn watch(&mut self, io: Io, token: Token, interest: Interest, how: Watch) -> Result<()>;

    /// Reads at most `into.len()` bytes; 0 is the end (`read(2)`). Of the signals' source each byte
    /// is the number of one signal.
    fn read(&mut self, io: Io, into: &mut [u8]) -> Result<usize>;

    /// Writes the slices, joined, as far as the other end takes them (`writev(2)`).
    fn writev(&mut self, io: Io, slices: &[IoSlice<'_>]) -> Result<usize>;

    /// Says that nothing more will be written (`shutdown(2)` with `SHUT_WR`).
    fn shutdown(&mut self, io: Io) -> Result<()>;

    /// Closes the descriptor; what it watched is forgotten (`close(2)`).
    fn close(&mut self, io: Io);
}

/// An open descriptor: its number, and how it has to be used. A handle that is copied freely;
/// dropping it does nothing, [`Sys::close`] closes the descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Io {
    /// Non-blocking, and of this process alone.
    Own(i32),
    /// A duplicate of a descriptor that others hold as well and that may be blocking.
    Shared(i32),
    /// What signals are read from (`signalfd(2)`).
    Signals(i32),
}

impl Io {
    /// The number of the descriptor.
    pub const fn number(self) -> i32 {
        match self {
            Self::Own(number) | Self::Shared(number) | Self::Signals(number) => number,
        }
    }
}

/// A descriptor of the process itself that can be opened as a source.
#[derive(Clone, Debug)]
pub enum ProcessFd {
    /// Standard input: a pipe, a terminal, a socket or a regular file.
    Stdin,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// The signals that end a process, told through [`Handler::signal`](super::Handler::signal).
    Signals,
    /// Beside these, the signals to a program that draws on its terminal: `Resized`, `Suspend` and
    /// `Continued`.
    TerminalSignals,
    /// Wake-ups from another thread; each is told as `received`, with bytes that mean nothing.
    Wake(Waker),
    /// A unix socket that listens already. All who connect are accepted: whose they are tells
    /// [`peer_user`](super::peer_user).
    Listener(UnixSocket),
    /// A unix socket that is connected already.
    Stream(UnixSocket),
    /// A file that is written to, such as a log: opened to append, and without blocking.
    File(Arc<OwnedFd>),
    /// A TCP socket that listens already, and that other processes hold as well
    /// ([`inherited_listener`](super::inherited_listener)).
    Inherited(Arc<OwnedFd>),
}

/// One entry of the kernel's ready list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Which source, as it was when it was watched: it may be gone by now.
    pub token: Token,
    /// `EPOLLIN`: a read will not block.
    pub readable: bool,
    /// `EPOLLOUT`: a write will not block.
    pub writable: bool,
    /// `EPOLLRDHUP`: the other end will send no more, and what came before is still to be read.
    /// Told only of what is watched edge-triggered ([`Interest::EDGES`]).
    pub rdhup: bool,
    /// `EPOLLHUP` or `EPOLLERR`. The kernel reports both whether asked or not (`epoll_ctl(2)`), so
    /// a source that shows them has to be read, written or closed, or watched for nothing
    /// ([`Interest::NONE`]): otherwise the same event would come for ever.
    pub hangup: bool,
}

/// What a source is watched for, and when that is told; hang-ups are always told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest {
    /// `EPOLLIN`
    pub read: bool,
    /// `EPOLLOUT`
    pub write: bool,
    /// `EPOLLET`: told when it becomes so, and not for as long as it is so (`epoll(7)`).
    pub edge: bool,
}

impl Interest {
    /// Nothing but hang-ups, and each told once (`EPOLLET`): a paused pipe whose writer has left
    /// shows one for as long as it is paused.
    pub const NONE: Self = Self { read: false, write: false, edge: true };
    /// Input only: what a connection is watched for nearly all its life.
    pub const READ: Self = Self { read: true, write: false, edge: false };
    /// Room for output only.
    pub const WRITE: Self = Self { read: false, write: true, edge: false };
    /// All that can happen to a connection, each time that it happens ([`Trigger::Edge`]).
    ///
    /// [`Trigger::Edge`]: super::Trigger::Edge
    pub const EDGES: Self = Self { read: true, write: true, edge: true };

    /// Told for as long as it is so; of what is watched for nothing, see [`NONE`](Self::NONE).
    pub const fn level(read: bool, write: bool) -> Self {
        if read || write { Self { read, write, edge: false } } else { Self::NONE }
    }
}

/// Whether [`Sys::watch`] begins or changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// `EPOLL_CTL_ADD`
    Begin,
    /// `EPOLL_CTL_MOD`
    Change,
}

/// The signal with this number, if it is one that is listened for.
pub(crate) fn signal_of(number: u8) -> Option<Signal> {
    match i32::from(number) {
        libc::SIGINT => Some(Signal::Interrupt),
        libc::SIGTERM => Some(Signal::Terminate),
        libc::SIGHUP => Some(Signal::Hangup),
        libc::SIGWINCH => Some(Signal::Resized),
        libc::SIGTSTP => Some(Signal::Suspend),
        libc::SIGCONT => Some(Signal::Continued),
        libc::SIGUSR1 => Some(Signal::User1),
        _ => None,
    }
}

/// Whether a refused `accept` means that this process or the system has run out of something, so
/// that trying again at once would only spin (`accept(2)`, ERRORS).
pub(crate) fn is_exhaustion(errno: Errno) -> bool {
    matches!(errno, Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM)
}

/// An instant on the monotonic clock (`CLOCK_MONOTONIC`, `clock_gettime(2)`), in nanoseconds since
/// an unknown start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The instant `nanoseconds` after the clock's start.
    pub const fn from_nanos(nanoseconds: u64) -> Self {
        Self(nanoseconds)
    }

    /// Nanoseconds since the clock's start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long `earlier` lies before this instant; zero where it lies after.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    /// The instant `after` later. Saturates after 584 years.
    fn add(self, after: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX)))
    }
}
