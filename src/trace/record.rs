//! One tick as data. `text.rs`, `json.rs` and `events.rs` write it in their forms.

use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use nix::Result;
use nix::errno::Errno;

use crate::reactor::{
    CloseReason, Event, Interest, LeftToDo, Opened, Signal, Snapshot, Time, Timeout, Timer, Token,
    Watch,
};

/// One turn of the loop, from the wait to the next wait.
#[derive(Clone, Debug, Default)]
pub struct Tick {
    /// Counted from 1; ticks in which nothing happened are counted and not told.
    pub number: u64,
    /// How many such ticks came since the last one that was told.
    pub empty_before: u64,
    /// When the wait began.
    pub began: Time,
    /// How long it might have taken; none: for ever.
    pub timeout: Option<Duration>,
    /// When it returned.
    pub woke: Time,
    /// What it returned, in the kernel's order; without a name if the token has no source any more.
    pub events: Vec<(Event, Option<Named>)>,
    /// What followed, in order.
    pub steps: Vec<Step>,
    /// When the handler's end of the tick began, and how long that took: it is a step only where
    /// something came of it.
    pub end_of_tick: Option<(Time, Duration)>,
    /// When the loop was about to wait again.
    pub ended: Time,
    /// Bytes in all queues before the flush.
    pub queued: usize,
    /// And after it.
    pub left: usize,
    /// The sources that the end of the tick looked at, in this order, as far as the handler's end
    /// of the tick had put them on the list.
    pub dirty: Vec<Named>,
    /// What this tick had to do with and is still there, as it stood after the tick.
    pub(super) sources: Vec<(Named, Snapshot)>,
    /// What the next tick has to do.
    pub(super) next: Next,
}

/// What a tick leaves to the next: see [`LeftToDo`].
#[derive(Clone, Debug, Default)]
pub(super) struct Next {
    pub(super) left: LeftToDo,
    pub(super) dirty: Vec<Named>,
    pub(super) ready: Vec<Named>,
}

/// A source, and what it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The source.
    pub token: Token,
    /// What the handler calls it, or else what it was opened as.
    pub name: Rc<str>,
}

/// `#4 alice`; `#4.2 alice` where it is the second tenant of slot 4.
impl fmt::Display for Named {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        write!(out, "#{}", self.token.slot())?;
        match self.token.tenant() {
            1 => write!(out, " {}", self.name),
            tenant => write!(out, ".{tenant} {}", self.name),
        }
    }
}

/// The parts of a tick, in its order (`src/reactor/mod.rs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Events, and what was read for each.
    Dispatch,
    /// New connections, and sources that handlers asked for.
    Accept,
    /// Deadlines, timers and signals.
    Deadlines,
    /// The handler's own end of the tick.
    EndOfTick,
    /// Queues are written out.
    Flush,
    /// The kernel is told what to watch for.
    Rearm,
    /// Sources that are over are closed.
    Reap,
}

/// One call, to the kernel or to the handler.
#[derive(Clone, Debug)]
pub struct Step {
    /// Where in the tick.
    pub phase: Phase,
    /// When it began.
    pub at: Time,
    /// How long it took.
    pub took: Duration,
    /// The source that it was about, if it was about one.
    pub whom: Option<Named>,
    /// The descriptor that the kernel was called with, where there was one.
    pub descriptor: Option<i32>,
    /// The call.
    pub what: What,
    /// The handler's own words for what it did.
    pub annotations: Vec<Annotation>,
    /// What it asked of the loop.
    pub changes: Vec<(Named, Effect)>,
}

/// Who was called.
#[derive(Clone, Debug)]
pub enum What {
    /// The kernel. It answered with a count of bytes, or with the number of the descriptor that it
    /// opened, where there is one to tell, or refused.
    Kernel(Call, Result<usize>),
    /// The handler.
    Handler(Callback),
}

/// A call to the kernel: see [`Sys`](crate::reactor::Sys).
#[derive(Clone, Debug)]
pub enum Call {
    /// Listen at this address.
    Listen(SocketAddr),
    /// Take a newcomer; this one.
    Accept(Option<SocketAddr>),
    /// Turn a newcomer away with the descriptor kept for that.
    Shed,
    /// Begin to connect.
    Connect(SocketAddr),
    /// Ask how connecting went, or what is wrong.
    Error,
    /// Open a descriptor of the process.
    Open(&'static str),
    /// Watch for this.
    Watch(Interest, Watch),
    /// Read at most so many bytes.
    Read(usize),
    /// Write what waits.
    Writev {
        /// Bytes offered.
        offered: usize,
        /// In so many pieces.
        slices: usize,
        /// Bytes that wait for it afterwards.
        left: usize,
    },
    /// Say that no more will be written.
    Shutdown,
    /// Close.
    Close,
}

/// A call to the handler: see [`Handler`](crate::reactor::Handler).
#[derive(Clone, Copy, Debug)]
pub enum Callback {
    /// A source is there.
    Opened(Opened),
    /// It was shown so many bytes and has used so many.
    Received {
        /// All that was not consumed before, the fresh ones last.
        shown: usize,
        /// Consumed now.
        used: usize,
    },
    /// No more will come; so many bytes were never consumed.
    Ended(usize),
    /// What came does not fit its transform, for this reason of the transform's own.
    Garbled(u8),
    /// All that was queued has left.
    Drained,
    /// A deadline passed.
    TimedOut(Timeout),
    /// A timer of the handler has come.
    Timer(Timer),
    /// There are no descriptors left to accept with.
    Exhausted(Errno),
    /// The process was sent a signal.
    Signal(Signal),
    /// The source is gone.
    Closed(CloseReason),
    /// All of this tick was told.
    EndOfTick,
}

/// What a handler did, in its own words: names and sizes, never contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotation {
    /// For people; what came from the network is escaped.
    pub text: String,
    /// For programs: the same as JSON. Opaque here.
    pub json: String,
}

/// What a handler asked for a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// So many bytes more wait for it.
    Queued(usize),
    /// Nothing is read from it for a while.
    Paused,
    /// It is read from again.
    Resumed,
    /// It is closed once what waits for it has left.
    Closing,
    /// It is closed, and what waits for it is dropped.
    Aborted,
}

impl Tick {
    /// The system call that a tick begins with.
    pub const WAIT: &'static str = "epoll_wait";

    /// Whether nothing came of it: nothing was ready or due.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.steps.is_empty()
    }

    /// How often the kernel was called, the wait included.
    pub fn calls(&self) -> usize {
        let calls = |step: &&Step| matches!(step.what, What::Kernel(..));
        1 + self.steps.iter().filter(calls).count()
    }

    /// How long each part lasted, from the end of the one before it to the end of its own last
    /// call. What came after the last call of all belongs to none.
    pub fn parts(&self) -> Vec<(Phase, Time, Duration)> {
        let end = self.end_of_tick.map(|(at, took)| (Phase::EndOfTick, at + took));
        let ends = self.steps.iter().map(|step| (step.phase, step.at + step.took)).chain(end);
        let mut ends: Vec<_> = ends.collect();
        ends.sort_by_key(|&(phase, at)| (phase, at));
        let mut parts: Vec<(Phase, Time, Duration)> = Vec::new();
        let mut begun = self.woke;
        for (place, &(phase, until)) in ends.iter().enumerate() {
            if ends.get(place + 1).is_none_or(|&(next, _)| next != phase) {
                parts.push((phase, begun, until.since(begun)));
                begun = until.max(begun);
            }
        }
        parts
    }
}

impl Phase {
    /// As the tick in `src/reactor/mod.rs` calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dispatch => "dispatch",
            Self::Accept => "accept",
            Self::Deadlines => "deadlines",
            Self::EndOfTick => "end of tick",
            Self::Flush => "flush",
            Self::Rearm => "re-arm",
            Self::Reap => "reap",
        }
    }
}

impl Call {
    /// The system call, as its page of the manual is called.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Listen(_) => "listen",
            Self::Accept(_) => "accept4",
            Self::Shed => "accept4 and close",
            Self::Connect(_) => "connect",
            Self::Error => "getsockopt",
            Self::Open(_) => "open",
            Self::Watch(..) => "epoll_ctl",
            Self::Read(_) => "read",
            Self::Writev { .. } => "writev",
            Self::Shutdown => "shutdown",
            Self::Close => "close",
        }
    }

    /// Whether it answers with a descriptor.
    pub(super) const fn opens(&self) -> bool {
        matches!(self, Self::Listen(_) | Self::Accept(_) | Self::Connect(_) | Self::Open(_))
    }
}

impl Callback {
    /// The method of [`Handler`](crate::reactor::Handler).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opened(_) => "opened",
            Self::Received { .. } => "received",
            Self::Ended(_) => "ended",
            Self::Garbled(_) => "garbled",
            Self::Drained => "drained",
            Self::TimedOut(_) => "timed_out",
            Self::Timer(_) => "timer",
            Self::Exhausted(_) => "exhausted",
            Self::Signal(_) => "signal",
            Self::Closed(_) => "closed",
            Self::EndOfTick => "end_of_tick",
        }
    }
}
