//! A transform: an engine between a socket and its handler. It opens the bytes of the wire into
//! the bytes that the handler sees, and seals the bytes that the handler sends.
//!
//! ```text
//!   kernel ── read ──▶ wire buffer ── open ──▶ read buffer, inbox ──▶ Handler::received
//!                                       │ engine
//!   kernel ◀─ writev ─ sealed ◀──────── seal ◀─────────── outbox ◀── Context::send
//! ```
//!
//! An engine does no input or output: it is handed bytes and hands bytes back, so the loop stays
//! the only place that reads, writes and waits. Three things are different from a plain source, and
//! all of them are here:
//!
//! - *No event tells of bytes inside the engine.* One read of the socket may bring more than can be
//!   shown at once. `epoll` knows only the socket, which is empty then. So a source with bytes
//!   inside its engine is in the ready queue, and its socket is not read before they were shown.
//! - *Reading can cause a write* (the answer of a handshake), and a write can wait for a read:
//!   bytes stay in the outbox until the engine takes them.
//! - *The engine sends a last message* (`close_notify` of TLS), after the last byte and before
//!   `shutdown(2)`.
//!
//! The loop seals queued bytes when it writes them, about one `writev(2)` ahead of the kernel. So
//! the frames of a tick become one record instead of one record each, and an idle source has no
//! sealed bytes.
//!
//! A source without a transform pays one comparison a read and one a flush. What one with a
//! transform needs stands in a table of its own, by slot, so that
//! [`Connection`](super::connection::Connection) does not grow.

use std::io::IoSlice;

use nix::errno::Errno;

use super::buffers::Written;
use super::connection::{LayerFlags, ReadBlocks, State};
use super::deadlines::Kind as DeadlineKind;
use super::limits::{READ_WIRE, SLICES_PER_WRITE};
use super::sys::Io;
use super::{CloseReason, Handler, Reactor, Sys, Token};

/// An engine between a socket and its handler ([`Context::transform`](super::Context::transform)).
/// After `open` has returned an error, only `seal` and `finish` are called.
pub trait Transform: Send {
    /// Opens the beginning of `wire`, the bytes that have arrived and were not taken yet, into
    /// `plain`. With an empty `wire` it goes on with the bytes inside it.
    ///
    /// It may take fewer bytes than it is offered, and fill `plain` only in part: see [`Step`]. It
    /// makes progress: if nothing is inside it, the next call takes the bytes that this one left.
    ///
    /// # Errors
    /// No engine at the other end sends these bytes. The next `seal` appends the answer to them.
    fn open(&mut self, wire: &[u8], plain: &mut [u8]) -> Result<Step, Garbled>;

    /// Seals the beginning of `plain` (the slices, joined) and appends it to `wire`. Returns how
    /// many bytes of `plain` it took. It appends its own messages to the other end as well. It
    /// takes nothing while it waits for the other end, and nothing after an error.
    fn seal(&mut self, plain: &[IoSlice<'_>], wire: &mut Vec<u8>) -> usize;

    /// Appends its last message, which says that nothing more will be sent. Called once.
    fn finish(&mut self, wire: &mut Vec<u8>);

    /// A value that only the two ends of this connection know. An end that signs it proves that no
    /// machine in the middle ends the connection. `None` before the handshake is over.
    fn binding(&self) -> Option<[u8; 32]> {
        None
    }
}

/// The result of one [`Transform::open`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // each is a question of its own
pub struct Step {
    /// Bytes of the wire that were taken; the others are offered again.
    pub taken: usize,
    /// Bytes of `plain` that were filled.
    pub filled: usize,
    /// There are more bytes inside, for which `plain` had no room.
    pub has_more: bool,
    /// A part of a record is inside, which cannot be opened before the rest has arrived.
    pub is_partial: bool,
    /// The other end has said that it will send no more. Bytes inside (`has_more`) come before
    /// that.
    pub is_over: bool,
    /// The engine has a message for the other end: `seal` is to be called.
    pub wants_to_send: bool,
    /// Bytes of memory that the engine holds for what has arrived.
    pub memory: usize,
}

/// Why a transform cannot open the bytes that arrived: a number whose meaning only the transform
/// knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Garbled(pub u8);

/// Two buffers that all sources with transforms share.
#[derive(Default)]
pub(super) struct Wire {
    /// For one read; empty before the first one.
    came: Vec<u8>,
    sealed: Vec<u8>,
}

/// The transforms, by slot.
#[derive(Default)]
pub(super) struct Layers(Vec<Option<Box<Layer>>>);

/// The part of one transform in the sums over all sources.
#[derive(Default)]
pub(super) struct Counted {
    /// Bytes of memory for what has arrived.
    pub(super) kept: usize,
    /// Sealed bytes that the kernel has not taken.
    pub(super) queued: usize,
    /// Bytes of memory for these.
    pub(super) output: usize,
}

struct Layer {
    engine: Box<dyn Transform>,
    /// Bytes that have arrived and that the engine has not taken.
    unopened: Vec<u8>,
    /// Sealed bytes that the kernel has not taken: see [`Counted`].
    unsent: Vec<u8>,
    /// Bytes of memory that count as kept for it.
    counted: usize,
    /// Bytes of memory that count as output for it.
    counted_output: usize,
    is_partial: bool,
    /// The engine was not given any bytes yet.
    is_new: bool,
    /// Its last message was sealed.
    has_finished: bool,
}

impl Layers {
    pub(super) fn insert(&mut self, id: Token, engine: Box<dyn Transform>) {
        if self.0.len() <= id.slot() {
            self.0.resize_with(id.slot() + 1, || None);
        }
        self.0[id.slot()] = Some(Box::new(Layer {
            engine,
            unopened: Vec::new(),
            unsent: Vec::new(),
            counted: 0,
            counted_output: 0,
            is_partial: false,
            is_new: true,
            has_finished: false,
        }));
    }

    fn get(&self, id: Token) -> Option<&Layer> {
        self.0.get(id.slot())?.as_deref()
    }

    fn get_mut(&mut self, id: Token) -> Option<&mut Layer> {
        self.0.get_mut(id.slot())?.as_deref_mut()
    }

    pub(super) fn binding(&self, id: Token) -> Option<[u8; 32]> {
        self.get(id)?.engine.binding()
    }

    /// Sealed bytes that the kernel has not taken.
    pub(super) fn unsent(&self, id: Token) -> usize {
        self.get(id).map_or(0, |layer| layer.unsent.len())
    }

    /// Whether what is kept of `id` came before its transform did: nothing was opened yet.
    pub(super) fn is_new(&self, id: Token) -> bool {
        self.get(id).is_some_and(|layer| layer.is_new)
    }

    /// Keeps `bytes`, which arrived before the transform was set. Returns how many bytes of memory
    /// they count.
    pub(super) fn put_unopened(&mut self, id: Token, bytes: &[u8]) -> usize {
        let Some(layer) = self.get_mut(id) else { return 0 };
        layer.unopened = bytes.to_vec();
        layer.counted = layer.unopened.capacity();
        layer.counted
    }

    /// Drops the bytes that were not opened. Returns how many bytes of memory they had counted.
    pub(super) fn forget_unopened(&mut self, id: Token) -> usize {
        let Some(layer) = self.get_mut(id) else { return 0 };
        (layer.unopened, layer.is_partial) = (Vec::new(), false);
        std::mem::take(&mut layer.counted)
    }

    /// Whether a part of a record, or bytes that were not shown yet, are kept for `id`.
    pub(super) fn has_begun(&self, id: Token) -> bool {
        self.get(id).is_some_and(|layer| layer.counted > 0)
    }

    /// Removes the transform of `id`. Returns its part in the sums.
    pub(super) fn remove(&mut self, id: Token) -> Counted {
        let layer = self.0.get_mut(id.slot()).and_then(Option::take);
        layer.map_or_else(Counted::default, |layer| Counted {
            kept: layer.counted,
            queued: layer.unsent.len(),
            output: layer.counted_output,
        })
    }
}

impl Layer {
    /// Brings its part in the sum of output memory up to date.
    fn count_output(&mut self, in_all: &mut usize) {
        let memory = self.unsent.capacity();
        *in_all += memory;
        *in_all -= std::mem::replace(&mut self.counted_output, memory);
    }

    /// Opens the bytes that were not taken before, or else `came`, and keeps what the engine does
    /// not take.
    fn open(&mut self, came: &[u8], plain: &mut [u8]) -> Result<Step, Garbled> {
        self.is_new = false;
        let step = if self.unopened.is_empty() {
            let step = self.engine.open(came, plain)?;
            self.unopened = came[step.taken..].to_vec();
            step
        } else {
            debug_assert!(came.is_empty(), "nothing is read before what is within is opened");
            let step = self.engine.open(&self.unopened, plain)?;
            self.unopened.drain(..step.taken);
            step
        };
        if self.unopened.is_empty() {
            self.unopened = Vec::new();
        }
        self.is_partial = step.is_partial;
        Ok(step)
    }
}

impl<S: Sys> Reactor<S> {
    // --- In ---

    /// One bounded read of a source with a transform. If there are bytes inside its engine, they
    /// are shown instead, and `read(2)` is not called.
    pub(super) fn read_wire(
        &mut self,
        handler: &mut impl Handler,
        id: Token,
        io: Io,
        hangup: bool,
    ) {
        let Some(connection) = self.context.connections.get(id) else { return };
        // The bound on what is kept is for reads: to open what is inside gives memory back.
        let (mut came, mut room) = (0, connection.room());
        if connection.has_more_within() {
            if connection.is_queued {
                return; // an event: its turn comes later in this tick
            }
        } else {
            let Some(budget) = self.context.read_budget(id) else {
                return self.ask_if_broken(id, io, hangup);
            };
            let Some(connection) = self.context.connections.get_mut(id) else { return };
            room = budget;
            self.wire.came.resize(READ_WIRE, 0);
            let room = room.min(READ_WIRE);
            let outcome = self.sys.read(io, &mut self.wire.came[..room]);
            connection.note_read(outcome == Ok(room) || outcome == Err(Errno::EINTR));
            match outcome {
                Ok(0) => return self.end(handler, id, ReadBlocks::READ_EOF),
                Ok(read) => came = read,
                Err(Errno::EAGAIN | Errno::EINTR) => return self.context.mark_ready(id),
                Err(errno) => return self.context.die(id, CloseReason::Failed(errno)),
            }
        }
        if came > 0 {
            self.gathering.came(came);
        }
        self.open(handler, id, came, room);
        self.context.mark_ready(id);
    }

    /// Opens the bytes inside the engine, or else the `came` bytes in the wire buffer, and shows
    /// the plaintext.
    fn open(&mut self, handler: &mut impl Handler, id: Token, came: usize, room: usize) {
        let cx = &mut self.context;
        let Some(connection) = cx.connections.get_mut(id) else { return };
        let Some(layer) = cx.layers.get_mut(id) else { return };
        let plain = &mut self.buffer.space()[..room];
        let step = match layer.open(&self.wire.came[..came], plain) {
            Ok(step) => step,
            Err(why) => return self.garble(handler, id, why),
        };
        let memory = step.memory + layer.unopened.capacity();
        cx.kept_in_all += memory;
        cx.kept_in_all -= std::mem::replace(&mut layer.counted, memory);
        let has_more = step.has_more || !layer.unopened.is_empty();
        connection.layer.set(LayerFlags::WITHIN, has_more);
        if step.wants_to_send || connection.layer.has(LayerFlags::WAITS) {
            connection.layer.set(LayerFlags::WAITS, false);
            cx.mark_dirty(id);
        }
        if step.filled > 0 {
            self.show(handler, id, step.filled);
        }
        self.expect_the_rest(id);
        let Some(connection) = self.context.connections.get_mut(id) else { return };
        if !step.is_over || connection.has_more_within() {
            return;
        }
        if connection.state == State::Open && connection.read_blocks.any(ReadBlocks::PAUSED) {
            // The end stays inside until the source is resumed, like bytes.
            return connection.layer.set(LayerFlags::WITHIN, true);
        }
        self.end(handler, id, ReadBlocks::ENDED_WITHIN);
    }

    /// Begins or ends the `Frame` deadline: a record that has begun has to end in time like a
    /// frame, even if no plaintext of it was shown yet.
    pub(super) fn expect_the_rest(&mut self, id: Token) {
        let cx = &mut self.context;
        let Some(connection) = cx.connections.get(id) else { return };
        let Some(layer) = cx.layers.get_mut(id) else { return };
        let runs = connection.deadlines[DeadlineKind::Frame as usize].is_some();
        let waits = layer.is_partial && !connection.has_more_within() && connection.can_receive();
        if waits && !runs {
            cx.begin_deadline(id, DeadlineKind::Frame);
        } else if runs && !waits && connection.inbox.is_empty() {
            cx.end_deadline(id, DeadlineKind::Frame);
        }
    }

    /// The bytes that arrived cannot be opened. The engine's answer is still sent. Queued bytes are
    /// dropped, because the other end could not open them either.
    fn garble(&mut self, handler: &mut impl Handler, id: Token, why: Garbled) {
        let cx = &mut self.context;
        let Some(connection) = cx.connections.get_mut(id) else { return };
        if connection.state != State::Open {
            return;
        }
        cx.drop_queued(id);
        cx.close(id);
        handler.garbled(cx, id, why);
    }

    // --- Out ---

    /// The flush of a source with a transform: one `writev(2)` of sealed bytes that the kernel did
    /// not take before, or else of bytes that are sealed now.
    pub(super) fn write_sealed(&mut self, id: Token, io: Io) -> Option<Written> {
        let connection = self.context.connections.get_mut(id)?;
        if connection.write_blocked || !matches!(connection.state, State::Open | State::Closing) {
            return None;
        }
        if !connection.layer.has(LayerFlags::UNSENT) || connection.state == State::Closing {
            self.seal(id);
        }
        let cx = &mut self.context;
        let connection = cx.connections.get_mut(id)?;
        let layer = cx.layers.get_mut(id)?;
        if layer.unsent.is_empty() {
            return None;
        }
        let offered = layer.unsent.len();
        let (taken, is_full) = match self.sys.writev(io, &[IoSlice::new(&layer.unsent)]) {
            Ok(taken) => (taken, taken < offered),
            Err(Errno::EAGAIN) => (0, true),
            Err(Errno::EINTR) => (0, false),
            Err(errno) => {
                cx.die(id, CloseReason::Failed(errno));
                return None;
            }
        };
        cx.queued_in_all -= taken;
        layer.unsent.drain(..taken);
        if taken == offered {
            self.wire.sealed = std::mem::take(&mut layer.unsent); // its memory, for the next one
        } else {
            layer.unsent.shrink_to_fit();
        }
        layer.count_output(&mut cx.output_in_all);
        connection.layer.set(LayerFlags::UNSENT, !layer.unsent.is_empty());
        Some(Written { has_taken: taken > 0, is_full })
    }

    /// Seals queued bytes, about as many as one write takes, and after the last byte of a source
    /// that is being closed the engine's last message.
    fn seal(&mut self, id: Token) {
        let cx = &mut self.context;
        let Some(connection) = cx.connections.get_mut(id) else { return };
        let Some(layer) = cx.layers.get_mut(id) else { return };
        if layer.unsent.is_empty() {
            layer.unsent = std::mem::take(&mut self.wire.sealed);
        }
        let before = layer.unsent.len();
        let mut slices = [IoSlice::new(&[]); SLICES_PER_WRITE];
        let filled = connection.outbox.slices(&mut slices);
        let taken = layer.engine.seal(&slices[..filled], &mut layer.unsent);
        let waits = taken == 0 && !connection.outbox.is_empty();
        connection.layer.set(LayerFlags::WAITS, waits);
        cx.output_in_all -= connection.outbox.advance(taken, &mut cx.pool);
        cx.queued_in_all -= taken;
        if connection.state == State::Closing {
            if waits {
                // Nothing more is opened, so the engine would wait for ever.
                cx.output_in_all -= connection.outbox.memory();
                cx.queued_in_all -= connection.outbox.clear(&mut cx.pool);
            }
            if connection.outbox.is_empty() && !std::mem::replace(&mut layer.has_finished, true) {
                layer.engine.finish(&mut layer.unsent);
            }
        }
        cx.queued_in_all += layer.unsent.len() - before;
        let has_unsent = !layer.unsent.is_empty();
        connection.layer.set(LayerFlags::UNSENT, has_unsent);
        if !has_unsent {
            self.wire.sealed = std::mem::take(&mut layer.unsent);
        }
        layer.count_output(&mut cx.output_in_all);
    }
}
