//! One source and its states.
//!
//! Knows what is buffered, watched and waited for, and decides from that what comes next; the
//! descriptor itself lies beside it, in the reactor.
//!
//! ```text
//!                 decided             close             flushed              the end, or
//!   Connecting ────────────▶ Open ───────────▶ Closing ─────────▶ Lingering ─────────────▶ Dead
//!       │                      │                  │                   │  FINISH_TIMEOUT      ▲
//!       └──────────────────────┴──────────────────┴───────────────────┴──────────────────────┘
//!                             abort, or a system call that failed
//! ```
//!
//! Why `Lingering`: closing a socket while bytes lie unread in it sends a reset, and a reset
//! destroys what the other end has not read yet (RFC 9293, section 3.6.1; RFC 2525, section 2.17):
//! its last frame, the one that says why. So the writing side is shut first, and what still arrives
//! is read and forgotten until the other end has closed as well. Where it has done so already, or
//! where the source is no socket, `Lingering` is skipped.
//!
//! What needs no decision (a listener, a stream of the process) is `Open` from the moment it is
//! asked for, although it gets its descriptor later in the tick: so what is queued for it meanwhile
//! waits and is not lost.
//!
//! `Dead` lasts until the end of the tick, where the descriptor is closed and the handler is told.
//! Until then the slot is taken, so that nothing within the tick mistakes its next tenant for it.

use super::deadlines::WaitId;
use super::inbox::Inbox;
use super::outbox::Outbox;
use super::sys::Interest;
use super::{CloseReason, Deadline, Trigger};
use crate::limits;

/// What the reactor keeps for one source.
pub(crate) struct Connection {
    pub(crate) kind: Kind,
    pub(crate) state: State,
    /// What the kernel was last told to watch for. `epoll_ctl` is called only where this differs
    /// from `wanted`.
    pub(crate) armed: Interest,
    /// The handler does not want to receive.
    pub(crate) paused: bool,
    /// A listener that cannot accept for want of descriptors. Not a pause, which only the handler
    /// begins and ends.
    pub(crate) resting: bool,
    /// It is read in small parts, and no more of it is kept than one of them.
    pub(crate) narrow: bool,
    /// Too much is kept of all together: nothing more is read until some of that has gone.
    pub(crate) starved: bool,
    /// The other end will send no more.
    pub(crate) ended: bool,
    /// The last write was short: nothing more is tried before the kernel says that there is room.
    pub(crate) blocked: bool,
    /// What waits for it has waited longer than a tick.
    pub(crate) behind: bool,
    /// It cannot be watched, and is always ready: a regular file, `/dev/null`.
    pub(crate) always_ready: bool,
    /// It is watched for edges.
    pub(crate) edge: bool,
    /// There may be input of which no event will tell: always, where it is always ready; where it
    /// is watched for edges, until it was read to its end.
    pub(crate) unread: bool,
    /// Its last read filled the room that it had: more of the same may wait in the kernel.
    pub(crate) cut: bool,
    /// Watched for edges, it told that the other end will send no more, or that it is broken: that
    /// is the end to be read to.
    pub(crate) ending: bool,
    /// Its turn to be read comes in this tick or the next, without an event.
    pub(crate) in_turn: bool,
    /// It stands in the list of those to be settled at the end of the tick.
    pub(crate) touched: bool,
    pub(crate) inbox: Inbox,
    pub(crate) outbox: Outbox,
    /// The waits in progress, by [`Wait`].
    pub(crate) waits: [Option<WaitId>; Wait::COUNT],
}

/// An idle connection costs this much and its descriptor (`docs/architecture.md`, "Memory").
const _: () = assert!(size_of::<Connection>() <= 104);

/// What can be done with a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Accepts connections.
    Listener,
    /// Reads and writes.
    Socket,
    /// Reads: standard input, a wake-up.
    Input,
    /// Writes: standard output and error.
    Output,
    /// Tells signals.
    Signals,
}

/// See the diagram above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Connecting,
    Open,
    Closing,
    Lingering,
    Dead(CloseReason),
}

/// What a connection can wait for: the handler's deadlines, and the reactor's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    Told(Deadline),
    /// `Closing` and `Lingering` together last so long at most.
    Finish,
}

impl Wait {
    pub(crate) const COUNT: usize = 4;

    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Told(Deadline::Expected) => 0,
            Self::Told(Deadline::Partial) => 1,
            Self::Told(Deadline::Stalled) => 2,
            Self::Finish => 3,
        }
    }

    pub(crate) const ALL: [Self; Self::COUNT] = [
        Self::Told(Deadline::Expected),
        Self::Told(Deadline::Partial),
        Self::Told(Deadline::Stalled),
        Self::Finish,
    ];
}

impl Connection {
    /// Only sockets are watched for edges: of a terminal, a read of one line does not tell that
    /// there is no other, and of a listener that cannot accept nobody would hear again.
    pub(crate) fn new(kind: Kind, state: State, trigger: Trigger) -> Self {
        Self {
            kind,
            state,
            armed: Interest::NONE,
            paused: false,
            resting: false,
            narrow: false,
            starved: false,
            ended: false,
            blocked: false,
            behind: false,
            always_ready: false,
            edge: trigger == Trigger::Edge && kind == Kind::Socket,
            unread: false,
            cut: false,
            ending: false,
            in_turn: false,
            touched: false,
            inbox: Inbox::default(),
            outbox: Outbox::default(),
            waits: [None; Wait::COUNT],
        }
    }

    /// What the kernel should watch for now.
    pub(crate) fn wanted(&self) -> Interest {
        match self.state {
            _ if self.edge => Interest::EDGES, // once and for all: that is what they are for
            State::Connecting => Interest::WRITE,
            State::Open => {
                let reads = self.reads() && self.can_receive() && !self.starved;
                Interest::level(reads, self.blocked)
            }
            State::Closing => Interest::level(false, self.blocked),
            State::Lingering => Interest::READ,
            State::Dead(_) => Interest::NONE,
        }
    }

    /// A read brought something; it was `cut` where it filled the buffer.
    pub(crate) fn was_read(&mut self, cut: bool) {
        self.cut = cut;
        // A read that came up short has emptied the socket (epoll(7), Q9), but the end is read by
        // itself.
        self.unread = self.always_ready || self.edge && (cut || self.ending);
    }

    /// Whether a read can bring anything.
    pub(crate) fn reads(&self) -> bool {
        self.kind != Kind::Output && !self.ended
    }

    /// How many bytes one read may bring.
    pub(crate) fn room(&self) -> usize {
        if self.narrow {
            return limits::NARROW_READ.saturating_sub(self.inbox.rest().len()).max(1);
        }
        limits::READ_SIZE
    }

    /// Whether there is something to write and a point in trying.
    pub(crate) fn can_flush(&self) -> bool {
        matches!(self.state, State::Open | State::Closing)
            && !self.outbox.is_empty()
            && !self.blocked
    }

    /// Whether the handler may be shown what arrives.
    pub(crate) fn can_receive(&self) -> bool {
        self.state == State::Open && !self.paused && !self.resting
    }

    /// Whether the handler has not let go of it: from there on it is told no more than the end.
    pub(crate) const fn is_in_use(&self) -> bool {
        matches!(self.state, State::Connecting | State::Open)
    }

    pub(crate) const fn is_dead(&self) -> bool {
        matches!(self.state, State::Dead(_))
    }

    /// Where `Closing` leads once everything is flushed.
    pub(crate) fn after_flush(&self) -> State {
        if self.kind == Kind::Socket && !self.ended {
            return State::Lingering;
        }
        State::Dead(CloseReason::Closed)
    }
}
