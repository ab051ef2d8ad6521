//! The calls of the loop to a handler: one half of the contract between the reactor and what runs
//! on it.
//!
//! A [`Handler`] never touches a descriptor. It is told what happened to a source, named by a
//! [`Token`], and it writes what it wants into the [`Context`] that comes along; the reactor
//! carries that out within the same tick.
//!
//! ```text
//!   cx.listen / cx.connect / cx.open ──▶ opened ──▶ received* ──▶ ended? ──▶ closed
//!                          │                 (drained, timed_out at any time between; garbled:
//!                          │                  nothing follows but closed)
//!                          └───────────────────────────────────▶ closed   (it could not be had)
//! ```
//!
//! Each token is told `closed` exactly once, as the last thing said of it. What arrives from a
//! listener is told `opened` without having been asked for.

use std::net::SocketAddr;

use nix::errno::Errno;

use super::{Context, Garbled, Token};

/// What runs on the reactor: the relay, the client, the load generator.
pub trait Handler {
    /// A source is there: what was asked for succeeded, or a listener accepted a connection.
    fn opened(&mut self, cx: &mut Context, id: Token, how: Opened);

    /// `bytes` are all that came from `from` and were not consumed yet, in order. Returns how many
    /// were consumed; the rest is shown again, with more behind it, when more has come. So a
    /// handler that looks for frames keeps a note of how far it has looked.
    ///
    /// Not called while the source is paused, nor after the handler has closed it.
    fn received(&mut self, cx: &mut Context, from: Token, bytes: &[u8]) -> usize;

    /// The other end will send no more (end of file, a half-closed connection); `rest` was never
    /// consumed. Writing is still possible: whoever has nothing left to say closes.
    fn ended(&mut self, cx: &mut Context, from: Token, rest: &[u8]);

    /// What came from `from` is not what its transform can open, for this reason of the
    /// transform's own ([`Context::transform`]). The loop is closing it already: what was queued
    /// is dropped, and nothing follows but `closed`.
    fn garbled(&mut self, _cx: &mut Context, _from: Token, _why: Garbled) {}

    /// All that was queued for `to` has been taken by the kernel. Told where that took longer than
    /// a tick, and where `to` is paused, for its handler may be waiting for just this.
    fn drained(&mut self, _cx: &mut Context, _to: Token) {}

    /// A deadline of `id` passed. The reactor itself does nothing: the handler closes the source,
    /// or lets it go on.
    fn timed_out(&mut self, cx: &mut Context, id: Token, timeout: Timeout);

    /// The instant that [`Context::set_timer`] was given has come.
    fn timer(&mut self, _cx: &mut Context, _timer: Timer) {}

    /// Accepting from `listener` failed for want of descriptors or memory. It is tried again after
    /// [`ACCEPT_BACKOFF`](crate::reactor::limits::ACCEPT_BACKOFF).
    fn exhausted(&mut self, _cx: &mut Context, _listener: Token, _errno: Errno) {}

    /// The process was sent a signal that it listens for (see
    /// [`ProcessFd::Signals`](super::ProcessFd) and `TerminalSignals`).
    fn signal(&mut self, _cx: &mut Context, _signal: Signal) {}

    /// The source is gone, and its token names nobody from now on.
    fn closed(&mut self, cx: &mut Context, id: Token, reason: CloseReason);

    /// All events of this tick have been told. What was gathered (rosters, log lines) is sent here;
    /// it leaves with the next flush. What that flush brings about (`drained`, `closed`) has an end
    /// of tick of its own, at once: so whatever a handler is told, this is called after it.
    fn end_of_tick(&mut self, _cx: &mut Context) {}

    /// What the handler calls `id`, where it has a name for it; what came from the network is
    /// escaped. Called only by a trace of the loop (`src/trace`).
    fn name(&self, _id: Token) -> Option<String> {
        None
    }
}

/// How a source came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    /// A listener stands at this address (the port is the real one where 0 was asked for).
    Listening(SocketAddr),
    /// A listener accepted a connection from this peer.
    Accepted {
        /// Which listener.
        listener: Token,
        /// The other end.
        peer: SocketAddr,
    },
    /// An outgoing connection is established.
    Connected,
    /// A descriptor of the process itself: standard input, output or error, signals, a wake-up.
    ProcessFd,
}

/// Why a source is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The handler closed it, and what was queued for it was handed to the kernel.
    Closed,
    /// The handler aborted it, or closed it and the last bytes were not taken in time; this many
    /// were dropped.
    Aborted {
        /// Bytes that were queued and never reached the kernel.
        unsent: usize,
    },
    /// A system call said that it is over: reset, broken pipe, unreachable, could not be opened.
    Failed(Errno),
}

/// The deadlines that the reactor keeps for each connection. How long each takes is set once, in
/// [`Config`](super::Config): equal timeouts make one queue each, with nothing to search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// Begun with [`Context::expect_handshake`]: the other end has to do something first, such as
    /// to register.
    Handshake,
    /// Bytes came that the handler could not consume, and what completes them did not.
    Frame,
    /// Bytes are queued, and the other end took none.
    Write,
}

/// One of the handler's own timers; it chooses the numbers, below [`Timer::COUNT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timer(pub u8);

impl Timer {
    /// How many timers a handler has. Few: a handler that waits for many things keeps the earliest
    /// here.
    pub const COUNT: usize = 8;
}

/// The signals that a program can listen for (`signal(7)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// `SIGINT`: Ctrl-C.
    Interrupt,
    /// `SIGTERM`: please end.
    Terminate,
    /// `SIGHUP`: the terminal is gone, or (to a daemon) read your settings again.
    Hangup,
    /// `SIGUSR1`: (to the relay) let the users go one after the other, and end.
    User1,
    /// `SIGWINCH`: the terminal has another size.
    Resized,
    /// `SIGTSTP`: Ctrl-Z. The process goes on; it stops itself once it is ready to.
    Suspend,
    /// `SIGCONT`: the process was stopped, and goes on.
    Continued,
}
