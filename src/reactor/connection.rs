//! One source: what the reactor keeps for it, and its states.
//!
//! ```text
//!                 decided             close             flushed               the end
//!   Connecting ────────────▶ Open ───────────▶ Closing ─────────▶ Lingering ─────────────▶ Dead
//!       │                      │                  │                   │                      ▲
//!       │                      │                  └───────────────────│──────────────────────┤
//!       │                      │     flushed, and the other end has ended already, or it     │
//!       │                      │     is no socket: there is nothing to linger for            │
//!       └──────────────────────┴──────────────────┴───────────────────┴──────────────────────┘
//!         abort, a system call that failed, FINISH_TIMEOUT after `close`, `close` of Connecting
//! ```
//!
//! What `epoll` watches for follows from the state, from the reasons not to read ([`ReadBlocks`])
//! and from whether the last `writev` was short. This is the whole of it (a test compares each row
//! with [`Connection::wanted`]):
//!
//! ```text
//!   state        reasons not to read    last writev     watched for
//!   Connecting   any                    any             EPOLLOUT
//!   Open         none                   took all        EPOLLIN
//!   Open         none                   was short       EPOLLIN EPOLLOUT
//!   Open         some                   took all        nothing
//!   Open         some                   was short       EPOLLOUT
//!   Closing      any                    took all        nothing
//!   Closing      any                    was short       EPOLLOUT
//!   Lingering    any                    any             EPOLLIN
//!   Dead         any                    any             nothing
//! ```
//!
//! "Nothing" (`EPOLLET` alone) still tells hang-ups, because the kernel always does; each is told
//! once. A connection in edge mode is armed once, for everything, and never again.
//!
//! Why `Lingering`: closing a socket while bytes lie unread in it sends a reset, and a reset
//! destroys what the other end has not read yet (RFC 9293, section 3.6.1; RFC 2525, section 2.17):
//! its last frame, the one that says why. So `shutdown(2)` closes the writing side first, and what
//! still arrives is read and dropped until the other end has closed as well. Where it has done so
//! already, or where the source is no socket, `Lingering` is skipped.
//!
//! What needs no decision (a listener, a stream of the process) is `Open` from the moment it is
//! asked for, although it gets its descriptor later in the tick: so what is queued for it meanwhile
//! waits and is not lost.
//!
//! `Dead` lasts until the end of the tick, where the descriptor is closed and the handler is told.
//! Until then the slot is taken, so that nothing within the tick mistakes its next tenant for it.

use std::num::NonZeroU16;

use super::buffers::{Inbox, Outbox};
use super::deadlines::{DeadlineId, Kind as DeadlineKind};
use super::limits;
use super::sys::{Interest, Io};
use super::{CloseReason, Trigger};

/// What the reactor keeps for one source.
pub(crate) struct Connection {
    pub(crate) kind: Kind,
    pub(crate) state: State,
    /// Its descriptor; none before it is opened.
    pub(crate) io: Option<Io>,
    /// How the loop learns that it is ready.
    pub(crate) readiness: Readiness,
    /// What the kernel was last asked to watch for. `epoll_ctl(2)` is called only where this
    /// differs from `wanted`.
    pub(crate) armed: Interest,
    /// Why it is not read now.
    pub(crate) read_blocks: ReadBlocks,
    /// One read brings at most so many bytes, and no more are kept of it; none:
    /// [`READ_SIZE`](limits::READ_SIZE).
    pub(crate) read_limit: Option<NonZeroU16>,
    /// The last `writev(2)` was short: nothing is tried before the kernel says that there is room.
    pub(crate) write_blocked: bool,
    /// Bytes that wait for it were offered to the kernel once, which did not take them.
    pub(crate) has_backlog: bool,
    /// The last read may have left something. In edge mode, and of a file always, it is read again
    /// from the ready queue. Level-triggered, an event tells; there this only keeps a frame's
    /// deadline from passing in the middle of what has come.
    pub(crate) unread: bool,
    /// `EPOLLRDHUP`, `EPOLLHUP` or `EPOLLERR` was seen in edge mode: it is read to that end.
    pub(crate) saw_hangup: bool,
    /// It was resumed: what its inbox keeps is shown again in its turn.
    pub(crate) show_again: bool,
    /// Whether it has a transform, and how that stands.
    pub(crate) layer: LayerFlags,
    /// It is in the ready queue.
    pub(crate) is_queued: bool,
    /// It is in the list of those that the end of the tick looks at.
    pub(crate) is_dirty: bool,
    pub(crate) inbox: Inbox,
    pub(crate) outbox: Outbox,
    /// Its deadlines that run, by [`DeadlineKind`].
    pub(crate) deadlines: [Option<DeadlineId>; DeadlineKind::COUNT],
}

/// An idle connection costs this much (`docs/architecture.md`, "Memory").
const _: () = assert!(size_of::<Connection>() <= 88);

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

/// How the loop learns that a source can be read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// `epoll` tells it for as long as it is so.
    Level,
    /// `epoll` tells it when it becomes so (`EPOLLET`).
    Edge,
    /// `epoll` cannot watch it, and it is always ready: a regular file, `/dev/null`.
    Always,
}

/// Whether a source has a transform (`transform.rs`), and how that stands: a set, empty where it
/// has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LayerFlags(u8);

impl LayerFlags {
    /// It has one.
    pub(crate) const PRESENT: Self = Self(1);
    /// There is more within it, of which no event will tell.
    pub(crate) const WITHIN: Self = Self(1 << 1);
    /// It has sealed bytes that the kernel has not taken.
    pub(crate) const UNSENT: Self = Self(1 << 2);
    /// It took nothing when it was offered something: it waits for the other end.
    pub(crate) const WAITS: Self = Self(1 << 3);

    pub(crate) const fn has(self, flag: Self) -> bool {
        self.0 & flag.0 != 0
    }

    pub(crate) const fn set(&mut self, flag: Self, is_set: bool) {
        self.0 = if is_set { self.0 | flag.0 } else { self.0 & !flag.0 };
    }
}

/// Why a source is not read now: a set, empty where it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReadBlocks(u8);

impl ReadBlocks {
    /// The handler asked for it ([`Context::pause`](super::Context::pause)).
    pub(crate) const PAUSED: Self = Self(1);
    /// Unfinished input of all sources together fills its bound.
    pub(crate) const OVER_BUDGET: Self = Self(1 << 1);
    /// A listener: the process is out of descriptors or memory.
    pub(crate) const ACCEPT_BACKOFF: Self = Self(1 << 2);
    /// The other end will send no more.
    pub(crate) const READ_EOF: Self = Self(1 << 3);
    /// It can only be written.
    pub(crate) const WRITE_ONLY: Self = Self(1 << 4);
    /// The other end has said through the transform that it will send no more. Its socket may be
    /// open all the same, so a closed connection still lingers.
    pub(crate) const ENDED_WITHIN: Self = Self(1 << 5);

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether one of `reasons` is among them.
    pub(crate) const fn any(self, reasons: Self) -> bool {
        self.0 & reasons.0 != 0
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn insert(&mut self, reason: Self) {
        self.0 |= reason.0;
    }

    pub(crate) const fn remove(&mut self, reason: Self) {
        self.0 &= !reason.0;
    }
}

impl Connection {
    /// Only sockets are watched for edges: of a terminal, a read of one line does not tell that
    /// there is no other, and of a listener that cannot accept no edge would tell again.
    pub(crate) fn new(kind: Kind, state: State, trigger: Trigger) -> Self {
        let is_edge = trigger == Trigger::Edge && kind == Kind::Socket;
        let is_output = kind == Kind::Output;
        Self {
            kind,
            state,
            io: None,
            readiness: if is_edge { Readiness::Edge } else { Readiness::Level },
            armed: Interest::NONE,
            read_blocks: if is_output { ReadBlocks::WRITE_ONLY } else { ReadBlocks::default() },
            read_limit: None,
            write_blocked: false,
            has_backlog: false,
            unread: false,
            saw_hangup: false,
            show_again: false,
            layer: LayerFlags::default(),
            is_queued: false,
            is_dirty: false,
            inbox: Inbox::default(),
            outbox: Outbox::default(),
            deadlines: [None; DeadlineKind::COUNT],
        }
    }

    /// What the kernel has to watch for now: the table above.
    pub(crate) fn wanted(&self) -> Interest {
        match self.state {
            _ if self.readiness == Readiness::Edge => Interest::EDGES,
            State::Connecting => Interest::WRITE,
            State::Open => Interest::level(self.read_blocks.is_empty(), self.write_blocked),
            State::Closing => Interest::level(false, self.write_blocked),
            State::Lingering => Interest::READ,
            State::Dead(_) => Interest::NONE,
        }
    }

    /// Whether a read is made when it is ready. In `Lingering` a socket is read to its end, and
    /// what comes is dropped. In `Closing` it is not watched for input, but an event of this tick,
    /// a hang-up, or the ready queue of edge mode may still bring a read, which is dropped as well.
    pub(crate) fn may_read(&self) -> bool {
        let can_bring_none = ReadBlocks::READ_EOF.and(ReadBlocks::WRITE_ONLY);
        match self.state {
            State::Open => self.read_blocks.is_empty(),
            State::Closing | State::Lingering => {
                self.kind == Kind::Socket && !self.read_blocks.any(can_bring_none)
            }
            State::Connecting | State::Dead(_) => false,
        }
    }

    /// A read brought something; it was `cut` where it filled the buffer.
    pub(crate) fn note_read(&mut self, cut: bool) {
        self.unread = match self.readiness {
            Readiness::Level => cut,
            // A read that came up short has emptied the socket (epoll(7), Q9), but the end is read
            // by itself.
            Readiness::Edge => cut || self.saw_hangup,
            Readiness::Always => true,
        };
    }

    /// Whether there is something to do for it that no event will tell of.
    pub(crate) fn has_work(&self) -> bool {
        self.show_again || self.has_more_within() || self.is_unread_without_event()
    }

    /// Whether there may be more to read that no event will tell of.
    pub(crate) fn is_unread_without_event(&self) -> bool {
        self.unread && self.readiness != Readiness::Level
    }

    /// Whether a passed deadline of this kind cannot be judged yet, because the next tick will show
    /// more: there is more of the frame than one read brings, or there is room again for bytes that
    /// wait. Each full read postpones a frame's deadline once; without a further read the next look
    /// decides.
    pub(crate) fn take_undecided(&mut self, kind: DeadlineKind) -> bool {
        match kind {
            DeadlineKind::Frame => {
                let is_cut = match self.readiness {
                    Readiness::Level => std::mem::take(&mut self.unread),
                    Readiness::Edge => self.unread,
                    Readiness::Always => false,
                };
                (is_cut || self.has_more_within()) && !self.read_blocks.any(ReadBlocks::OVER_BUDGET)
            }
            DeadlineKind::Write | DeadlineKind::Finish => self.can_flush(),
            DeadlineKind::Handshake => false,
        }
    }

    /// How many bytes one read may bring.
    pub(crate) fn room(&self) -> usize {
        let Some(limit) = self.read_limit else { return limits::READ_SIZE };
        usize::from(limit.get()).saturating_sub(self.inbox.rest().len()).max(1)
    }

    /// Whether there is something to write and a point in trying.
    pub(crate) fn can_flush(&self) -> bool {
        matches!(self.state, State::Open | State::Closing)
            && (!self.outbox.is_empty() && !self.layer.has(LayerFlags::WAITS)
                || self.layer.has(LayerFlags::UNSENT))
            && !self.write_blocked
    }

    /// Whether it has a transform.
    pub(crate) const fn is_transformed(&self) -> bool {
        self.layer.has(LayerFlags::PRESENT)
    }

    /// Whether there is more within its transform, of which no event will tell.
    pub(crate) const fn has_more_within(&self) -> bool {
        self.layer.has(LayerFlags::WITHIN)
    }

    /// Whether nothing waits to be written, sealed or not.
    pub(crate) const fn is_flushed(&self) -> bool {
        self.outbox.is_empty() && !self.layer.has(LayerFlags::UNSENT)
    }

    /// Whether the handler may be shown what arrives.
    pub(crate) fn can_receive(&self) -> bool {
        let held = ReadBlocks::PAUSED.and(ReadBlocks::ACCEPT_BACKOFF);
        self.state == State::Open && !self.read_blocks.any(held)
    }

    /// Whether its handler has not closed it: from then on the handler is told no more than the
    /// end.
    pub(crate) const fn is_in_use(&self) -> bool {
        matches!(self.state, State::Connecting | State::Open)
    }

    pub(crate) const fn is_dead(&self) -> bool {
        matches!(self.state, State::Dead(_))
    }

    /// Where `Closing` leads once everything is flushed.
    pub(crate) fn after_flush(&self) -> State {
        if self.kind == Kind::Socket && !self.read_blocks.any(ReadBlocks::READ_EOF) {
            return State::Lingering;
        }
        State::Dead(CloseReason::Closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [(&str, State); 5] = [
        ("Connecting", State::Connecting),
        ("Open", State::Open),
        ("Closing", State::Closing),
        ("Lingering", State::Lingering),
        ("Dead", State::Dead(CloseReason::Closed)),
    ];

    /// The row of the table at the head of this file that speaks of this cell.
    fn row(state: &str, blocked: &str, write: &str) -> Interest {
        let head = include_str!("connection.rs").split("use super::").next().unwrap();
        let rows = head.lines().filter_map(|line| line.strip_prefix("//!   "));
        let fits = |cell: &str, value: &str| cell == "any" || cell == value;
        let found: Vec<_> = rows
            .map(|row| row.split("  ").map(str::trim).filter(|it| !it.is_empty()))
            .map(Iterator::collect::<Vec<_>>)
            .filter(|row| row.len() == 4 && row[0] == state)
            .filter(|row| fits(row[1], blocked) && fits(row[2], write))
            .map(|row| row[3])
            .collect();
        let [flags] = found[..] else { panic!("{state}, {blocked}, {write}: {found:?}") };
        match flags {
            "EPOLLIN" => Interest::READ,
            "EPOLLOUT" => Interest::WRITE,
            "EPOLLIN EPOLLOUT" => Interest { read: true, write: true, edge: false },
            "nothing" => Interest::NONE,
            other => panic!("{other}: no such flags"),
        }
    }

    #[test]
    fn every_cell_of_the_table_at_the_head_is_what_is_armed() {
        for (name, state) in STATES {
            for blocks in 0..1 << 6 {
                for write_blocked in [false, true] {
                    let mut connection = Connection::new(Kind::Socket, state, Trigger::Level);
                    connection.read_blocks = ReadBlocks(blocks);
                    connection.write_blocked = write_blocked;
                    let blocked = if blocks == 0 { "none" } else { "some" };
                    let write = if write_blocked { "was short" } else { "took all" };
                    assert_eq!(connection.wanted(), row(name, blocked, write), "{name}, {blocks}");
                    connection.readiness = Readiness::Edge;
                    assert_eq!(connection.wanted(), Interest::EDGES);
                }
            }
        }
    }
}
