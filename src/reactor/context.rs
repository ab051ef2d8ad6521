//! What a handler can ask of the loop: the other half of the contract of
//! [`Handler`](super::Handler).
//!
//! Everything here only notes what is wanted. Sources that are asked for are opened after the
//! tick's events, bytes leave at its end or at that of one of the next, and so do connections: a
//! handler is never called from within its own call, and no descriptor is closed while the list of
//! events is being walked.
//!
//! Using the token of a source that is gone is no error. The other end can vanish at any moment,
//! and the handler is told so once, by `closed`; until then, calls for such a source do nothing.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::rc::Rc;

use super::buffers::{Outbox, Pool, Pushed};
use super::connection::{Connection, Kind, LayerFlags, ReadBlocks, Readiness, State};
use super::deadlines::{Deadlines, Kind as DeadlineKind};
use super::limits;
use super::meter::Meter;
use super::slab::{Slab, Token};
use super::sys::{Interest, Io, ProcessFd, Time};
use super::transform::{Layers, Transform};
use super::{CloseReason, Config, Timer, Trigger};

/// All that the loop knows of its sources, and the lists of what is to be done for them. Lent to
/// the handler with each call.
pub struct Context {
    pub(super) now: Time,
    pub(super) trigger: Trigger,
    pub(super) connections: Slab<Connection>,
    /// The transforms of those that have one.
    pub(super) layers: Layers,
    pub(super) deadlines: Deadlines,
    pub(super) timers: [Option<Time>; Timer::COUNT],
    pub(super) pool: Pool,
    /// Sources to be opened after this tick's events.
    pub(super) asked: Vec<(Token, Asked)>,
    /// The ready queue: sources that are looked at in this tick or the next without an event.
    pub(super) ready: Vec<Token>,
    /// Sources whose bytes, interest or state changed: the end of the tick looks at each once.
    pub(super) dirty: Vec<Token>,
    /// One of these is dead, and keeps its descriptor until it is reaped.
    pub(super) has_dead: bool,
    /// Sources that are not read because the inboxes are over their budget.
    pub(super) over_budget: VecDeque<Token>,
    /// Bytes queued for all sources.
    pub(super) queued_in_all: usize,
    /// Memory that holds them, in bytes.
    pub(super) output_in_all: usize,
    /// Memory that holds what handlers have not consumed, of all sources, in bytes.
    pub(super) kept_in_all: usize,
    /// How many of them there may be.
    pub(super) kept_limit: usize,
    /// The next tick does not wait.
    pub(super) again: bool,
    pub(super) stopping: bool,
    /// Where ticks are measured, if anybody wants to know.
    pub(super) meter: Option<Rc<Meter>>,
}

/// What waits for a source ([`Context::outgoing`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// As [`Context::queued`] tells.
    pub queued: usize,
    /// As [`Context::has_backlog`] tells.
    pub has_backlog: bool,
}

/// What a trace shows of a source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Snapshot {
    pub(crate) kind: Kind,
    pub(crate) state: State,
    /// The number of its descriptor, once it is opened.
    pub(crate) descriptor: Option<i32>,
    /// What the kernel watches for; none where it does not watch it.
    pub(crate) armed: Option<Interest>,
    pub(crate) read_blocks: ReadBlocks,
    pub(crate) write_blocked: bool,
    /// Bytes that came and that its handler has not consumed.
    pub(crate) kept: usize,
    /// Bytes queued for it.
    pub(crate) queued: usize,
    pub(crate) is_transformed: bool,
    /// Its handler has not closed it.
    pub(crate) is_in_use: bool,
    /// When each of its deadlines that run passes, by [`DeadlineKind`].
    pub(crate) deadlines: [Option<Time>; DeadlineKind::COUNT],
}

/// What there is to do for the next tick, for a trace: where there is any, its wait does not sleep.
#[derive(Clone, Debug, Default)]
pub(crate) struct LeftToDo {
    /// So many sources are to be opened.
    pub(crate) asked: usize,
    /// Sources that the end of the next tick looks at already.
    pub(crate) dirty: Vec<Token>,
    /// Sources that are looked at without an event.
    pub(crate) ready: Vec<Token>,
    /// The loop called the handler after its end of the tick, or the handler asked for a tick.
    pub(crate) again: bool,
    /// When each timer of the handler that runs comes.
    pub(crate) timers: [Option<Time>; Timer::COUNT],
}

/// What a handler asked to have opened.
pub(super) enum Asked {
    Listen(SocketAddr),
    Connect(SocketAddr),
    Open(ProcessFd),
}

impl Context {
    pub(super) fn new(config: &Config, now: Time) -> Self {
        Self {
            now,
            trigger: config.trigger,
            connections: Slab::with_capacity(config.max_sources),
            layers: Layers::default(),
            deadlines: Deadlines::new(config),
            timers: [None; Timer::COUNT],
            pool: Pool::default(),
            asked: Vec::new(),
            ready: Vec::new(),
            dirty: Vec::new(),
            has_dead: false,
            over_budget: VecDeque::new(),
            queued_in_all: 0,
            output_in_all: 0,
            kept_in_all: 0,
            kept_limit: config.kept_limit,
            again: false,
            stopping: false,
            meter: None,
        }
    }

    /// The instant of this tick: the clock is read once, after the wait.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Asks for a listener at `at` (port 0: any free one). `opened` tells the address, or `closed`
    /// why not.
    pub fn listen(&mut self, at: SocketAddr) -> Token {
        self.ask(Kind::Listener, State::Open, Asked::Listen(at))
    }

    /// Asks for a connection to `to`. `opened` tells that it stands, or `closed` why not; how long
    /// that may take is the handler's to decide, with a [timer](Self::set_timer) and
    /// [`abort`](Self::abort).
    pub fn connect(&mut self, to: SocketAddr) -> Token {
        self.ask(Kind::Socket, State::Connecting, Asked::Connect(to))
    }

    /// Asks for a descriptor of the process itself.
    pub fn open(&mut self, fd: ProcessFd) -> Token {
        let kind = match fd {
            ProcessFd::Stdin | ProcessFd::Wake(_) => Kind::Input,
            ProcessFd::Stdout | ProcessFd::Stderr | ProcessFd::File(_) => Kind::Output,
            ProcessFd::Signals | ProcessFd::TerminalSignals => Kind::Signals,
            ProcessFd::Listener(_) | ProcessFd::Inherited(_) => Kind::Listener,
            ProcessFd::Stream(_) => Kind::Socket,
        };
        self.ask(kind, State::Open, Asked::Open(fd))
    }

    /// Queues `parts`, joined, for `to`. All that is queued for it within a tick leaves in one
    /// `writev(2)`, at the end of the tick or of one of the next, which do not wait. A connection
    /// takes nothing before it is `opened`.
    pub fn send(&mut self, to: Token, parts: &[&[u8]]) {
        self.queue(to, |outbox, pool| outbox.push(parts, pool));
    }

    /// Queues bytes that go to many, without copying them.
    pub fn share(&mut self, to: Token, bytes: &Rc<[u8]>) {
        self.queue(to, |outbox, pool| outbox.share(bytes, pool));
    }

    /// Bytes queued for `to` that the kernel has not taken.
    pub fn queued(&self, to: Token) -> usize {
        self.connections.get(to).map_or(0, |connection| self.queued_for(to, connection))
    }

    fn queued_for(&self, to: Token, connection: &Connection) -> usize {
        let sealed =
            if connection.layer.has(LayerFlags::UNSENT) { self.layers.unsent(to) } else { 0 };
        connection.outbox.len() + sealed
    }

    /// What waits for `to`, if it [is open](Self::is_open).
    pub fn outgoing(&self, to: Token) -> Option<Outgoing> {
        let connection = self.connections.get(to).filter(|it| it.state == State::Open)?;
        let (queued, has_backlog) = (self.queued_for(to, connection), connection.has_backlog);
        Some(Outgoing { queued, has_backlog })
    }

    /// From now on `engine` stands between the socket `id` and its handler: what was not consumed
    /// of it, and all that comes, is first opened by it, and all that is sent is sealed by it.
    /// Nothing happens where `id` has one already, is gone, or is no socket.
    pub fn transform(&mut self, id: Token, engine: Box<dyn Transform>) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.kind != Kind::Socket || connection.is_transformed() || !connection.is_in_use()
        {
            return;
        }
        connection.layer = LayerFlags::PRESENT;
        self.layers.insert(id, engine);
        self.open_kept(id);
        self.mark_dirty(id);
    }

    /// Whether `id` has a transform.
    pub fn is_transformed(&self, id: Token) -> bool {
        self.connections.get(id).is_some_and(Connection::is_transformed)
    }

    /// See [`Transform::binding`]. None where `id` has no transform.
    pub fn binding(&self, id: Token) -> Option<[u8; 32]> {
        self.connections.get(id).filter(|it| it.is_transformed())?;
        self.layers.binding(id)
    }

    /// Whether bytes wait for `to` that the kernel did not take when they were offered. [`drained`]
    /// tells when nothing waits any more.
    ///
    /// [`drained`]: super::Handler::drained
    pub fn has_backlog(&self, to: Token) -> bool {
        self.connections.get(to).is_some_and(|connection| connection.has_backlog)
    }

    /// Whether `to` takes what is sent to it: it was opened, and the handler has not closed it, nor
    /// has a system call failed on it (of which `closed` tells at the end of the tick).
    pub fn is_open(&self, to: Token) -> bool {
        self.connections.get(to).is_some_and(|connection| connection.state == State::Open)
    }

    /// Bytes queued for all sources together; what is shared counts for each.
    pub fn queued_in_all(&self) -> usize {
        self.queued_in_all
    }

    /// Memory that holds what is queued for all sources together, in bytes: more than
    /// [`queued_in_all`](Self::queued_in_all), for it is given back chunk by chunk. What is shared
    /// counts for each.
    pub fn output_in_all(&self) -> usize {
        self.output_in_all
    }

    /// Memory that holds what handlers have not consumed, of all sources together, in bytes.
    pub fn kept_in_all(&self) -> usize {
        self.kept_in_all
    }

    /// Bytes that came from `from` and that its handler has not consumed.
    pub fn kept(&self, from: Token) -> usize {
        self.connections.get(from).map_or(0, |connection| connection.inbox.rest().len())
    }

    /// All sources, those that are being closed too.
    pub fn sources(&self) -> impl Iterator<Item = Token> {
        self.connections.tokens()
    }

    /// The sources that the end of this tick will look at, for a trace.
    pub(crate) fn dirty(&self) -> impl Iterator<Item = (Token, Snapshot)> {
        self.dirty.iter().filter_map(|&id| Some((id, self.snapshot(id)?)))
    }

    /// A source as it stands, for a trace.
    pub(crate) fn snapshot(&self, id: Token) -> Option<Snapshot> {
        let connection = self.connections.get(id)?;
        let is_watched = connection.io.is_some() && connection.readiness != Readiness::Always;
        Some(Snapshot {
            kind: connection.kind,
            state: connection.state,
            descriptor: connection.io.map(Io::number),
            armed: is_watched.then_some(connection.armed),
            read_blocks: connection.read_blocks,
            write_blocked: connection.write_blocked,
            kept: self.kept(id),
            queued: self.queued(id),
            is_transformed: connection.is_transformed(),
            is_in_use: connection.is_in_use(),
            deadlines: connection.deadlines.map(|it| it.and_then(|it| self.deadlines.due(it))),
        })
    }

    /// What the next tick has to do, for a trace.
    pub(crate) fn left_to_do(&self) -> LeftToDo {
        LeftToDo {
            asked: self.asked.len(),
            dirty: self.dirty.clone(),
            ready: self.ready.clone(),
            again: self.again,
            timers: self.timers,
        }
    }

    /// How many sources there are, those that are being closed too.
    pub fn source_count(&self) -> usize {
        self.connections.len()
    }

    /// The descriptor of `id`, to ask the kernel about it ([`peer_address`], [`peer_user`]). A
    /// handler neither reads nor writes nor closes it.
    ///
    /// [`peer_address`]: super::peer_address
    /// [`peer_user`]: super::peer_user
    pub fn io(&self, id: Token) -> Option<Io> {
        self.connections.get(id)?.io
    }

    /// From now on each tick is measured; returns what is kept of the ticks. That costs one more
    /// look at the clock in each tick.
    pub fn measure(&mut self) -> Rc<Meter> {
        Rc::clone(self.meter.get_or_insert_default())
    }

    /// How many deadlines run.
    pub fn running_deadlines(&self) -> usize {
        self.deadlines.len()
    }

    /// Ends `id` once what is queued for it has left, within [`Config::finish_timeout`]. Of `id`
    /// the handler is told only that it is `closed`, and nothing more can be sent to it.
    pub fn close(&mut self, id: Token) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        match connection.state {
            State::Open => connection.state = State::Closing,
            State::Connecting => return self.abort(id),
            State::Closing | State::Lingering | State::Dead(_) => return,
        }
        self.kept_in_all -= std::mem::take(&mut connection.inbox).memory(); // never shown again
        if connection.is_transformed() {
            connection.layer.set(LayerFlags::WITHIN, false);
            self.kept_in_all -= self.layers.forget_unopened(id);
        }
        for kind in DeadlineKind::ALL {
            self.end_deadline(id, kind);
        }
        self.begin_deadline(id, DeadlineKind::Finish);
        self.mark_dirty(id);
    }

    /// Ends `id` at once. What is queued for it is dropped.
    pub fn abort(&mut self, id: Token) {
        let unsent = self.queued(id);
        self.die(id, CloseReason::Aborted { unsent });
    }

    /// Reads nothing more from `id` until [`resume`](Self::resume). A connection that breaks in the
    /// meantime is told as closed; that the writer of a pipe has left, or that a connection has
    /// ended in order, is told afterwards.
    pub fn pause(&mut self, id: Token) {
        self.block_reads(id, ReadBlocks::PAUSED);
        self.end_deadline(id, DeadlineKind::Frame);
    }

    /// Reads from `id` again. Bytes that its handler had not consumed are shown again first, in the
    /// next tick.
    pub fn resume(&mut self, id: Token) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if !connection.read_blocks.any(ReadBlocks::PAUSED) {
            return;
        }
        connection.show_again = !connection.inbox.is_empty();
        self.unblock_reads(id, ReadBlocks::PAUSED);
    }

    /// One read of `id` brings at most so many bytes, and the loop never keeps more of it than
    /// that, however long it is paused. None, as at the start: [`READ_SIZE`](limits::READ_SIZE).
    pub fn set_read_limit(&mut self, id: Token, bytes: Option<NonZeroU16>) {
        if let Some(connection) = self.connections.get_mut(id) {
            connection.read_limit = bytes;
        }
    }

    /// Begins (`true`) or ends (`false`) the deadline that
    /// [`Timeout::Handshake`](super::Timeout::Handshake) tells of.
    pub fn expect_handshake(&mut self, id: Token, expected: bool) {
        let kind = DeadlineKind::Handshake;
        if expected { self.begin_deadline(id, kind) } else { self.end_deadline(id, kind) }
    }

    /// Sets one of the handler's timers, or stops it. One that has been told is stopped.
    ///
    /// # Panics
    /// If the timer's number is not below [`Timer::COUNT`].
    pub fn set_timer(&mut self, timer: Timer, at: Option<Time>) {
        self.timers[usize::from(timer.0)] = at;
    }

    /// Lets the next tick follow without waiting, for a handler that has not done all its work.
    pub fn tick_again(&mut self) {
        self.again = true;
    }

    /// Ends [`Reactor::run`](super::Reactor::run) after this tick.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// Whether the loop ends with this tick.
    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    fn ask(&mut self, kind: Kind, state: State, asked: Asked) -> Token {
        let id = self.connections.insert(Connection::new(kind, state, self.trigger));
        self.asked.push((id, asked));
        id
    }

    fn queue(&mut self, to: Token, push: impl FnOnce(&mut Outbox, &mut Pool) -> Pushed) {
        let Some(connection) = self.connections.get_mut(to) else { return };
        if connection.state != State::Open {
            return;
        }
        let pushed = push(&mut connection.outbox, &mut self.pool);
        self.output_in_all += pushed.memory;
        self.queued_in_all += pushed.bytes;
        if !std::mem::replace(&mut connection.is_dirty, true) {
            self.dirty.push(to);
        }
    }

    /// `id` is gone, and its transform with it.
    pub(super) fn forget_layer(&mut self, id: Token) {
        let counted = self.layers.remove(id);
        self.kept_in_all -= counted.kept;
        self.queued_in_all -= counted.queued;
        self.output_in_all -= counted.output;
    }

    /// What the inbox of `id` keeps came before its transform did: it is the transform's.
    pub(super) fn open_kept(&mut self, id: Token) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.inbox.is_empty() {
            return;
        }
        let inbox = std::mem::take(&mut connection.inbox);
        connection.show_again = false;
        connection.layer.set(LayerFlags::WITHIN, true);
        self.kept_in_all -= inbox.memory();
        self.kept_in_all += self.layers.put_unopened(id, inbox.rest());
        self.mark_ready(id);
    }

    /// The end of this tick looks at `id`: writes, watches for what is wanted, closes.
    pub(super) fn mark_dirty(&mut self, id: Token) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if !std::mem::replace(&mut connection.is_dirty, true) {
            self.dirty.push(id);
        }
    }

    /// Puts `id` into the ready queue if there is something that no event will tell of.
    pub(super) fn mark_ready(&mut self, id: Token) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.has_work() && !std::mem::replace(&mut connection.is_queued, true) {
            self.ready.push(id);
        }
    }

    pub(super) fn block_reads(&mut self, id: Token, reason: ReadBlocks) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.read_blocks.insert(reason);
        self.mark_dirty(id);
    }

    pub(super) fn unblock_reads(&mut self, id: Token, reason: ReadBlocks) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.read_blocks.remove(reason);
        self.mark_ready(id);
        self.mark_dirty(id);
    }

    /// How many bytes one read of `id` may bring: none where too much is kept already. A source
    /// that has begun no frame gets a little even then, because most frames are small.
    pub(super) fn read_budget(&mut self, id: Token) -> Option<usize> {
        let connection = self.connections.get(id)?;
        let room = connection.room();
        if self.kept_in_all < self.kept_limit || connection.kind != Kind::Socket {
            return Some(room);
        }
        let has_begun = connection.is_transformed() && self.layers.has_begun(id);
        if connection.inbox.is_empty() && !has_begun {
            return Some(room.min(limits::READ_OVER_BUDGET));
        }
        self.over_budget.push_back(id);
        self.block_reads(id, ReadBlocks::OVER_BUDGET);
        None
    }

    /// Lets sources that were over the budget be read again, if there is room: some in each tick,
    /// for each costs a system call, and there may be as many as connections.
    pub(super) fn resume_reads(&mut self) {
        if self.over_budget.is_empty() || self.kept_in_all >= self.kept_limit {
            return;
        }
        for _ in 0..limits::RESUMED_PER_TICK {
            let Some(id) = self.over_budget.pop_front() else { return };
            self.unblock_reads(id, ReadBlocks::OVER_BUDGET);
        }
        self.tick_again();
    }

    /// Drops what is queued for `id` and was not sealed.
    pub(super) fn drop_queued(&mut self, id: Token) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        self.output_in_all -= connection.outbox.memory();
        self.queued_in_all -= connection.outbox.clear(&mut self.pool);
    }

    /// Marks `id` as over. The first reason stands.
    pub(super) fn die(&mut self, id: Token, reason: CloseReason) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if !connection.is_dead() {
            connection.state = State::Dead(reason);
            self.has_dead = true;
            self.mark_dirty(id);
        }
    }

    /// Begins a deadline anew. Of a source that its handler has closed no timeout is told: only
    /// the last kind begins.
    pub(super) fn begin_deadline(&mut self, id: Token, kind: DeadlineKind) {
        self.end_deadline(id, kind);
        let Some(connection) = self.connections.get_mut(id) else { return };
        if kind == DeadlineKind::Finish || connection.is_in_use() {
            let begun = self.deadlines.begin(kind, id, self.now);
            connection.deadlines[kind as usize] = Some(begun);
        }
    }

    /// What [`Deadlines::pop_expired`] told is not decided before the next tick.
    pub(super) fn postpone_deadline(&mut self, id: Token, kind: DeadlineKind) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        // It may have ended meanwhile, or begun anew.
        if connection.deadlines[kind as usize].is_none() && !connection.is_dead() {
            let again = self.deadlines.put_back(kind, id, self.now);
            connection.deadlines[kind as usize] = Some(again);
        }
    }

    pub(super) fn end_deadline(&mut self, id: Token, kind: DeadlineKind) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if let Some(begun) = connection.deadlines[kind as usize].take() {
            self.deadlines.end(kind, begun);
        }
    }
}
