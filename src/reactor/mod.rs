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
//! 3. **Accept** newcomers, within a budget, and open what handlers asked for.
//! 4. **Deadlines**: tell whose time has passed, and had passed already when the kernel was asked:
//!    so what came in time has been looked at (`expiry.rs`). Then signals, and the handler's own
//!    end of the tick.
//! 5. **Flush**: each connection that was sent something gets one `writev(2)`. Bytes wait until
//!    here so that ten messages for one reader cost one system call and not ten. Only where the
//!    kernel does not take all of it is `EPOLLOUT` asked for: a socket is writable nearly always,
//!    and being told so each tick would be a spin.
//! 6. **Re-arm**: tell the kernel what to watch for, where that has changed (`epoll_ctl(2)`). In
//!    steady state: never.
//! 7. **Reap** the dead: close descriptors and tell the handler. Only here, because until now an
//!    event of this tick, a deadline or a handler's note may still have named one, and its number
//!    could have belonged to another. What names it later has an old generation ([`Token`]).
//!
//! So a message costs one read and one write, and a share in one wait.
//!
//! Two settings change how step 1 asks, and nothing else ([`Config`]): to be told of edges instead
//! of levels, for which the queue of those who are not done has to be kept here (`dispatch.rs`);
//! and to ask for a while before it sleeps.
//!
//! The reactor knows bytes. It does not know what a frame is: a handler is shown all unconsumed
//! bytes and says how many it has used.
//!
//! Read on in this order: `handler.rs` and `context.rs` (the contract), `connection.rs` (the
//! states), `dispatch.rs`, `accept.rs`, `expiry.rs` and `settle.rs` (the steps above), `inbox.rs`,
//! `outbox.rs` and `deadlines.rs` (what is kept), `sys.rs` (the kernel as a trait), `linux.rs` and
//! `inherited.rs` (as system calls). `trace` is the loop watched from both of its seams.

mod accept;
mod census;
mod connection;
mod context;
mod deadlines;
mod dispatch;
mod expiry;
mod handler;
mod inbox;
mod inherited;
mod linux;
mod outbox;
mod pages;
mod pool;
mod settle;
mod slab;
mod sys;
mod time;
mod token;
pub mod trace;

use std::time::Duration;

use nix::Result;
use nix::errno::Errno;

use self::expiry::Horizon;
use self::inbox::ReadBuffer;
use self::sys::signal_of;
use crate::limits;

pub use self::census::Census;
pub use self::context::Context;
pub use self::handler::{Alarm, CloseReason, Deadline, Handler, Opened, Signal};
pub use self::linux::{
    Linux, Waker, block_signals, end_with_parent, inherited, monotonic, not_ignored,
    raise_descriptor_limit, was_closed,
};
pub(crate) use self::pages::Pages;
pub use self::sys::{Event, Interest, Source, Sys, Watch};
pub use self::time::Time;
pub use self::token::Token;

/// When the kernel tells of a connection (`epoll(7)`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trigger {
    /// For as long as there is something to read or room to write. The kernel keeps the queue of
    /// those who wait, and nothing that was told and not yet done can be forgotten.
    #[default]
    Level,
    /// When something comes or there is room again. Who was not read to the end is kept in a queue
    /// of ours; in return what is watched for never changes, not even for a reader that is slow.
    Edge,
}

/// How the loop waits, how long the waits are that it watches for others (one length for each
/// kind), and how much it keeps.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// When connections are told of.
    pub trigger: Trigger,
    /// How long the loop asks again and again before it sleeps. A loop that is awake when a message
    /// comes is faster by a wake-up, and takes a whole processor for it.
    pub spin: Duration,
    /// [`Deadline::Expected`]
    pub expected: Duration,
    /// [`Deadline::Partial`]
    pub partial: Duration,
    /// [`Deadline::Stalled`]
    pub stalled: Duration,
    /// What a closed connection gets to take its last bytes and to close its own side.
    pub finish: Duration,
    /// Unconsumed bytes of all sources, above which only small frames are read.
    pub kept: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            trigger: Trigger::default(),
            spin: Duration::ZERO,
            expected: limits::REGISTER_TIMEOUT,
            partial: limits::FRAME_TIMEOUT,
            stalled: limits::STALL_TIMEOUT,
            finish: limits::FINISH_TIMEOUT,
            kept: limits::INBOX_COMMON,
        }
    }
}

/// The loop, over a kernel `S`.
pub struct Reactor<S: Sys> {
    sys: S,
    context: Context,
    /// The descriptors, by slot: beside the books and not in them, so that no handler is generic
    /// over the kernel.
    ios: Pages<Option<S::Io>>,
    buffer: ReadBuffer,
    events: Vec<Event>,
    /// Listeners with newcomers in this tick.
    accepting: Vec<Token>,
    /// Listeners that rest, and until when: the process was out of descriptors or memory.
    resting: Vec<(Token, Time)>,
    /// Sources that are to be read although no event tells of them, in this tick and then in the
    /// next.
    turns: Vec<Token>,
    /// See [`Config::spin`].
    spin: Duration,
    /// Signals' sources that are ready.
    signalled: Vec<Token>,
    /// Until when the kernel has told all.
    horizon: Horizon,
    /// The handler was told something after its end of this tick: it gets another one at once.
    told_late: bool,
}

impl<S: Sys> Reactor<S> {
    /// A loop without sources. Ask its [`context`](Self::context) for the first ones.
    pub fn new(mut sys: S, config: &Config) -> Self {
        let context = Context::new(config, sys.now());
        Self {
            sys,
            context,
            ios: Pages::default(),
            buffer: ReadBuffer::new(),
            events: Vec::with_capacity(limits::EVENTS_PER_TICK),
            accepting: Vec::new(),
            resting: Vec::new(),
            turns: Vec::new(),
            spin: config.spin,
            signalled: Vec::new(),
            horizon: Horizon::default(),
            told_late: false,
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

    /// One turn of the loop; waits for at most `timeout` (none: for ever) when nothing is ready or
    /// due.
    pub fn tick(&mut self, handler: &mut impl Handler, timeout: Option<Duration>) -> Result<()> {
        let timeout = self.time_to_wait(timeout);
        self.told_late = false;
        self.wait(timeout)?;

        self.dispatch(handler);
        self.accept(handler);
        self.open_asked(handler);
        self.tell_deadlines(handler);
        self.tell_signals(handler);
        handler.end_of_tick(&mut self.context);
        self.context.feed();

        // What the settling itself brings about (a handler that answers to `drained` or `closed`)
        // is the next tick's, which then does not wait.
        let mut touched = std::mem::take(&mut self.context.touched);
        for &id in &touched {
            self.flush(handler, id);
        }
        for &id in &touched {
            self.rearm(id);
        }
        for id in touched.drain(..) {
            self.reap(handler, id);
        }
        if self.context.touched.is_empty() {
            self.context.touched = touched; // its memory, for the next tick
        }
        Ok(())
    }

    /// When the loop has something to do by itself: the instant of its last tick where that is at
    /// once, `None` where only an event can bring it about. For whoever drives several loops by one
    /// clock.
    pub fn due(&self) -> Option<Time> {
        self.time_to_wait(None).map(|wait| self.context.now + wait)
    }

    /// Waits, and reads the clock. With [`Config::spin`] it sleeps only after it has asked in vain
    /// for so long.
    fn wait(&mut self, timeout: Option<Duration>) -> Result<()> {
        let asleep_from = self.context.now + timeout.unwrap_or(Duration::MAX).min(self.spin);
        while self.context.now < asleep_from {
            self.ask(Some(Duration::ZERO))?;
            if !self.events.is_empty() {
                return Ok(());
            }
        }
        self.ask(timeout.map(|timeout| timeout.saturating_sub(self.spin)))
    }

    /// Asks the kernel once. Interrupted by a signal (`SIGCONT` too, `signal(7)`), it has told
    /// nothing, and is asked again in the next tick.
    fn ask(&mut self, timeout: Option<Duration>) -> Result<()> {
        let asked = self.context.now;
        let answer = self.sys.wait(&mut self.events, timeout);
        self.context.now = self.sys.now();
        match answer {
            Ok(()) => {
                let sources = self.context.connections.len();
                self.horizon.looked(asked, self.events.len(), sources);
                Ok(())
            }
            Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// Until the next thing is due; zero where something waits already.
    fn time_to_wait(&self, at_most: Option<Duration>) -> Option<Duration> {
        let cx = &self.context;
        let pending = !cx.asked.is_empty() || !cx.touched.is_empty() || !cx.resumed.is_empty();
        if pending || self.told_late || cx.stopping || !self.turns.is_empty() {
            return Some(Duration::ZERO);
        }
        let alarms = cx.alarms.iter().flatten().copied();
        let rests = self.resting.iter().map(|&(_, until)| until);
        let due = alarms.chain(rests).chain(cx.deadlines.next()).min();
        let until_due = due.map(|due| due.since(cx.now));
        [at_most, until_due].into_iter().flatten().min()
    }

    fn tell_signals(&mut self, handler: &mut impl Handler) {
        for id in std::mem::take(&mut self.signalled) {
            let Some(Some(io)) = self.ios.get(id.slot()) else { continue };
            let Ok(count) = self.sys.read(io, self.buffer.space()) else { continue };
            for index in 0..count {
                if let Some(signal) = signal_of(self.buffer.space()[index]) {
                    handler.signal(&mut self.context, signal);
                }
            }
        }
    }
}

impl<S: Sys> Drop for Reactor<S> {
    /// Descriptors are closed by a call and never by being dropped: here are those that are left.
    fn drop(&mut self) {
        self.ios.iter_mut().filter_map(Option::take).for_each(|io| self.sys.close(io));
    }
}
