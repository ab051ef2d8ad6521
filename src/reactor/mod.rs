//! The epoll loop.
//!
//! One thread serves every connection by asking the kernel one question, again and again: *which of
//! these can be read or written now without waiting?* Everything else follows from never waiting
//! anywhere but there.
//!
//! One turn of the loop is a **tick** ([`Reactor::tick`]):
//!
//! 1. **Wait** for something to be ready, no longer than until the next deadline (`epoll_wait(2)`),
//!    and read the clock once: all of the tick happens at one instant.
//! 2. **Dispatch** each event: *one* bounded read, shown to the handler at once. Not "read until
//!    `EAGAIN`": whoever sends without pause would never let the loop go. What is left stays in the
//!    kernel, which puts a source that is still ready at the end of its list (level-triggered,
//!    `epoll(7)`), so its own list is the fair queue.
//! 3. **Accept** newcomers, so many at most, and open what handlers asked for.
//! 4. **Deadlines**: tell the handler which have passed, and had passed already when the kernel was
//!    asked: so what came in time has been looked at (`Horizon` in `deadlines.rs`). Then signals,
//!    and the handler's own end of the tick.
//! 5. **Flush**: each connection that was sent something gets one `writev(2)`. Bytes wait until
//!    here so that ten messages for one reader cost one system call and not ten. Only where the
//!    kernel does not take all of it is `EPOLLOUT` asked for: a socket is writable nearly always,
//!    and being told so each tick would be a spin.
//! 6. **Re-arm**: tell the kernel what to watch for, where that has changed (`epoll_ctl(2)`). In
//!    steady state: never.
//! 7. **Reap** the dead: `close(2)` descriptors and tell the handler. Only here, because until now
//!    an event of this tick, a deadline or a handler's note may still have named one, and its
//!    number could have belonged to another. What names it later has an old generation ([`Token`]).
//!
//! So a message costs one read and one write, and a share in one wait.
//!
//! Two settings change this ([`Config`]). In edge mode the kernel tells each change once: the loop
//! keeps the queue of those that are not read to the end (step 2), and what a connection is watched
//! for never changes (step 6). With spinning, the loop asks for a while before it sleeps (step 1).
//!
//! The reactor knows bytes. It does not know what a frame is: a handler is shown all unconsumed
//! bytes and says how many it has used. Where a handler wants it, an engine of its own stands
//! between a socket and these bytes, such as one that encrypts them ([`Transform`]).
//!
//! Read on in this order: `handler.rs` and `context.rs` (the contract), `connection.rs` (the
//! states, and what is watched for in each), `tick.rs` (the steps above, in their order),
//! `buffers.rs`, `deadlines.rs` and `slab.rs` (what is kept), `transform.rs` (an engine between a
//! socket and its handler), `sys.rs` (the kernel as a trait), `linux.rs`, `inherited.rs` and
//! `unix.rs` (as system calls). `meter.rs` counts what ticks cost, if somebody asks for it.

mod buffers;
mod connection;
mod context;
mod deadlines;
mod gathering;
mod handler;
mod inherited;
pub mod limits;
mod linux;
mod meter;
mod slab;
mod sys;
mod tick;
mod transform;
mod unix;

use std::time::Duration;

use nix::Result;

use self::buffers::ReadBuffer;
use self::deadlines::Horizon;
use self::gathering::Gathering;
use self::transform::Wire;

pub(crate) use self::connection::{Kind, ReadBlocks, State};
pub use self::context::{Context, Outgoing};
pub(crate) use self::context::{LeftToDo, Snapshot};
pub(crate) use self::deadlines::Kind as DeadlineKind;
pub use self::handler::{CloseReason, Handler, Opened, Signal, Timeout, Timer};
pub use self::linux::{
    Linux, Waker, block_signals, block_terminal_signals, boot_time, end_with_parent, inherited,
    inherited_listener, is_of_our_user, monotonic, not_ignored, peer_address, peer_user,
    raise_descriptor_limit, was_closed, window_size,
};
pub use self::meter::{Buckets, Meter};
pub use self::slab::Token;
pub use self::sys::{Event, Interest, Io, ProcessFd, Sys, Time, Watch};
pub use self::transform::{Garbled, Step, Transform};
pub use self::unix::{SocketFile, UnixSocket};

/// When the kernel tells that a connection is ready (`epoll(7)`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trigger {
    /// Level-triggered: for as long as there is something to read or room to write. The kernel
    /// keeps the queue of those that are ready, and nothing that it told can be forgotten.
    #[default]
    Level,
    /// Edge-triggered (`EPOLLET`): when something comes, or there is room again. Whoever was not
    /// read to the end is kept in a queue of ours; in return what is watched for never changes, not
    /// even for a reader that is slow.
    Edge,
}

/// How the loop waits, how long its deadlines are (one length for each kind), and how much it
/// keeps.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// When connections are told to be ready.
    pub trigger: Trigger,
    /// How long the loop asks again and again before it sleeps. A loop that is awake when a message
    /// comes is faster by a wake-up, and takes a whole processor for it.
    pub spin: Duration,
    /// [`Timeout::Handshake`]
    pub handshake_timeout: Duration,
    /// [`Timeout::Frame`]
    pub frame_timeout: Duration,
    /// [`Timeout::Write`]
    pub write_timeout: Duration,
    /// What a closed connection gets to take its last bytes and to close its own side.
    pub finish_timeout: Duration,
    /// Unconsumed bytes of all sources, above which only small frames are read.
    pub kept_limit: usize,
    /// The number of sources that the tables are allocated for. More are served, but for the first
    /// of them the tables are copied.
    pub max_sources: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            trigger: Trigger::default(),
            spin: Duration::ZERO,
            handshake_timeout: limits::HANDSHAKE_TIMEOUT,
            frame_timeout: limits::FRAME_TIMEOUT,
            write_timeout: limits::WRITE_TIMEOUT,
            finish_timeout: limits::FINISH_TIMEOUT,
            kept_limit: limits::INBOX_COMMON,
            max_sources: limits::FEW_SOURCES,
        }
    }
}

/// The loop, over a kernel `S`.
pub struct Reactor<S: Sys> {
    sys: S,
    context: Context,
    buffer: ReadBuffer,
    wire: Wire,
    events: Vec<Event>,
    /// Listeners with newcomers in this tick.
    accepting: Vec<Token>,
    /// Listeners that are not accepted from, and until when: the process was out of descriptors or
    /// memory.
    accept_backoffs: Vec<(Token, Time)>,
    /// Sources of signals that are ready.
    signalled: Vec<Token>,
    /// See [`Config::spin`].
    spin: Duration,
    /// Until when the kernel has told all.
    horizon: Horizon,
    /// Whether the flush is left to the next tick.
    gathering: Gathering,
}

impl<S: Sys> Reactor<S> {
    /// A loop without sources. Ask its [`context`](Self::context) for the first ones.
    pub fn new(mut sys: S, config: &Config) -> Self {
        let context = Context::new(config, sys.now());
        Self {
            sys,
            context,
            buffer: ReadBuffer::new(),
            wire: Wire::default(),
            events: Vec::with_capacity(limits::EVENTS_PER_TICK),
            accepting: Vec::new(),
            accept_backoffs: Vec::new(),
            signalled: Vec::new(),
            spin: config.spin,
            horizon: Horizon::default(),
            gathering: Gathering::default(),
        }
    }

    /// What a handler is handed with each call, for use between ticks.
    pub fn context(&mut self) -> &mut Context {
        &mut self.context
    }

    /// Ticks until the handler calls [`Context::stop`].
    ///
    /// # Errors
    /// The wait itself failed, which no peer can bring about.
    pub fn run(&mut self, handler: &mut impl Handler) -> Result<()> {
        while !self.context.stopping {
            self.tick(handler, None)?;
        }
        Ok(())
    }
}

impl<S: Sys> Drop for Reactor<S> {
    /// Descriptors of sources are closed by a call and never by being dropped: here are those that
    /// are left.
    fn drop(&mut self) {
        let open = self.context.connections.iter_mut().filter_map(|it| it.io.take());
        open.for_each(|io| self.sys.close(io));
    }
}
