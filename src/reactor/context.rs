//! What a handler can ask of the loop: the other half of the contract of
//! [`Handler`](super::Handler).
//!
//! Everything here only notes what is wanted. Sources that are asked for are opened after the
//! tick's events, bytes leave at its end, and so do connections: a handler is never called from
//! within its own call, and no descriptor changes hands while the list of events is being walked.
//!
//! A token that names nobody any more is no error. The other end can vanish at any moment, and the
//! handler is told so once, by `closed`; until it has heard, what it asks for a source that is gone
//! does nothing.

use std::net::SocketAddr;
use std::rc::Rc;

use super::connection::{Connection, Kind, State, Wait};
use super::deadlines::Deadlines;
use super::pool::Pool;
use super::slab::Slab;
use super::sys::Source;
use super::{Alarm, CloseReason, Config, Deadline, Time, Token, Trigger};
use crate::limits;

/// The loop's books: all that it knows of its sources but their descriptors. Lent to the handler
/// with each call.
pub struct Context {
    pub(super) now: Time,
    pub(super) trigger: Trigger,
    pub(super) connections: Slab<Connection>,
    pub(super) deadlines: Deadlines<{ Wait::COUNT }>,
    pub(super) alarms: [Option<Time>; Alarm::COUNT],
    pub(super) pool: Pool,
    /// Sources to be opened after this tick's events.
    pub(super) asked: Vec<(Token, Asked)>,
    /// Sources whose bytes, interest or state changed: settled at the end of the tick.
    pub(super) touched: Vec<Token>,
    /// Sources that were resumed with something to look at: looked at in the next tick.
    pub(super) resumed: Vec<Token>,
    pub(super) queued_in_all: usize,
    /// Bytes that handlers have not consumed, of all sources.
    pub(super) kept_in_all: usize,
    /// So many may be kept.
    pub(super) kept_most: usize,
    /// Sources that are not read because more than that are.
    pub(super) starved: Vec<Token>,
    pub(super) stopping: bool,
}

/// What a handler asked to have opened.
pub(super) enum Asked {
    Listen(SocketAddr),
    Connect(SocketAddr),
    Open(Source),
}

impl Context {
    pub(super) fn new(config: &Config, now: Time) -> Self {
        let length = |wait| match wait {
            Wait::Told(Deadline::Expected) => config.expected,
            Wait::Told(Deadline::Partial) => config.partial,
            Wait::Told(Deadline::Stalled) => config.stalled,
            Wait::Finish => config.finish,
        };
        Self {
            now,
            trigger: config.trigger,
            connections: Slab::new(),
            deadlines: Deadlines::new(Wait::ALL.map(length)),
            alarms: [None; Alarm::COUNT],
            pool: Pool::default(),
            asked: Vec::new(),
            touched: Vec::new(),
            resumed: Vec::new(),
            queued_in_all: 0,
            kept_in_all: 0,
            kept_most: config.kept,
            starved: Vec::new(),
            stopping: false,
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
    /// that may take is the handler's to decide, with an [`alarm`](Self::alarm) and
    /// [`abort`](Self::abort).
    pub fn connect(&mut self, to: SocketAddr) -> Token {
        self.ask(Kind::Socket, State::Connecting, Asked::Connect(to))
    }

    /// Asks for a descriptor of the process itself.
    pub fn open(&mut self, source: Source) -> Token {
        let kind = match source {
            Source::Input | Source::Wake(_) => Kind::Input,
            Source::Output | Source::Error => Kind::Output,
            Source::Signals => Kind::Signals,
        };
        self.ask(kind, State::Open, Asked::Open(source))
    }

    /// Queues `parts`, joined, for `to`. All that is queued for it within a tick leaves in one
    /// `writev`. A connection takes nothing before it is `opened`.
    pub fn send(&mut self, to: Token, parts: &[&[u8]]) {
        self.queue(to, |outbox, pool| outbox.push(parts, pool));
    }

    /// Queues bytes that go to many, without copying them.
    pub fn share(&mut self, to: Token, bytes: &Rc<[u8]>) {
        self.queue(to, |outbox, pool| outbox.share(bytes, pool));
    }

    /// Bytes queued for `to` that the kernel has not taken.
    pub fn queued(&self, to: Token) -> usize {
        self.connections.get(to).map_or(0, |connection| connection.outbox.len())
    }

    /// Whether bytes wait for `to` that the kernel did not take when they were offered. [`drained`]
    /// tells when nothing waits any more.
    ///
    /// [`drained`]: super::Handler::drained
    pub fn is_behind(&self, to: Token) -> bool {
        self.connections.get(to).is_some_and(|connection| connection.behind)
    }

    /// Whether `to` takes what is sent to it: it was opened, and nobody has closed it, nor has a
    /// system call said that it is over (of which `closed` tells at the end of the tick).
    pub fn is_open(&self, to: Token) -> bool {
        self.connections.get(to).is_some_and(|connection| connection.state == State::Open)
    }

    /// Bytes queued for all together; what is shared counts for each.
    pub fn queued_in_all(&self) -> usize {
        self.queued_in_all
    }

    /// Ends `id` once what is queued for it has left, within [`Config::finish`]. Of `id` no more is
    /// told than that it is `closed`, and nothing more can be sent to it.
    pub fn close(&mut self, id: Token) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        match connection.state {
            State::Open => connection.state = State::Closing,
            State::Connecting => return self.abort(id),
            State::Closing | State::Lingering | State::Dead(_) => return,
        }
        // Nobody will be shown it any more.
        self.kept_in_all -= std::mem::take(&mut connection.inbox).rest().len();
        for wait in Wait::ALL {
            self.end_wait(id, wait);
        }
        self.begin_wait(id, Wait::Finish);
        self.touch(id);
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
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.paused = true;
        self.end_wait(id, Wait::Told(Deadline::Partial));
        self.touch(id);
    }

    /// Reads from `id` again. Bytes that it had not consumed are shown again first, in the next
    /// tick.
    pub fn resume(&mut self, id: Token) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if !connection.paused {
            return;
        }
        connection.paused = false;
        if !connection.inbox.is_empty() || connection.unread {
            self.resumed.push(id);
        }
        self.touch(id);
    }

    /// Whether `id` is read in small parts: of one that is, the loop never keeps more than
    /// [`NARROW_READ`](crate::limits::NARROW_READ) bytes, however long it is paused.
    pub fn narrow(&mut self, id: Token, narrow: bool) {
        if let Some(connection) = self.connections.get_mut(id) {
            connection.narrow = narrow;
        }
    }

    /// Begins (`true`) or ends (`false`) the wait that [`Deadline::Expected`] tells of.
    pub fn expect(&mut self, id: Token, expected: bool) {
        let wait = Wait::Told(Deadline::Expected);
        if expected { self.begin_wait(id, wait) } else { self.end_wait(id, wait) }
    }

    /// Sets one of the handler's clocks, or stops it. A clock that has rung is stopped.
    ///
    /// # Panics
    /// If the alarm's number is not below [`Alarm::COUNT`].
    pub fn alarm(&mut self, alarm: Alarm, at: Option<Time>) {
        self.alarms[usize::from(alarm.0)] = at;
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

    fn queue(&mut self, to: Token, push: impl FnOnce(&mut super::outbox::Outbox, &mut Pool)) {
        let Some(connection) = self.connections.get_mut(to) else { return };
        if connection.state != State::Open {
            return;
        }
        let before = connection.outbox.len();
        push(&mut connection.outbox, &mut self.pool);
        self.queued_in_all += connection.outbox.len() - before;
        if !std::mem::replace(&mut connection.touched, true) {
            self.touched.push(to);
        }
    }

    /// Notes that `id` has to be looked at before the tick ends.
    pub(super) fn touch(&mut self, id: Token) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if !connection.touched {
            connection.touched = true;
            self.touched.push(id);
        }
    }

    /// How many bytes one read of `id` may bring: none where too much is kept already. Who has
    /// begun no frame gets a little even then, for most frames are small.
    pub(super) fn room(&mut self, id: Token) -> Option<usize> {
        let is_full = self.kept_in_all >= self.kept_most;
        let connection = self.connections.get_mut(id)?;
        if !is_full || connection.kind != Kind::Socket {
            return Some(connection.room());
        }
        if connection.inbox.is_empty() {
            return Some(connection.room().min(limits::READ_IN_NEED));
        }
        connection.starved = true;
        self.starved.push(id);
        self.touch(id);
        None
    }

    /// Lets those read again who could not, where there is room.
    pub(super) fn feed(&mut self) {
        if self.starved.is_empty() || self.kept_in_all >= self.kept_most {
            return;
        }
        for id in std::mem::take(&mut self.starved) {
            if let Some(connection) = self.connections.get_mut(id) {
                connection.starved = false;
                if connection.unread {
                    self.resumed.push(id); // no event will tell of it
                }
                self.touch(id);
            }
        }
    }

    /// A listener begins or ends its rest.
    pub(super) fn set_resting(&mut self, listener: Token, resting: bool) {
        let Some(connection) = self.connections.get_mut(listener) else { return };
        connection.resting = resting;
        self.touch(listener);
    }

    /// Marks `id` as over. The first reason stands.
    pub(super) fn die(&mut self, id: Token, reason: CloseReason) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if !connection.is_dead() {
            connection.state = State::Dead(reason);
            self.touch(id);
        }
    }

    /// Begins a wait anew. Of a source that its handler has let go no deadline is told: only the
    /// last wait begins.
    pub(super) fn begin_wait(&mut self, id: Token, wait: Wait) {
        self.end_wait(id, wait);
        let Some(connection) = self.connections.get_mut(id) else { return };
        if wait != Wait::Finish && !connection.is_in_use() {
            return;
        }
        let begun = self.deadlines.begin(wait.index(), id, self.now);
        connection.waits[wait.index()] = Some(begun);
    }

    /// What [`Deadlines::expired`] told is not decided before the next tick.
    pub(super) fn wait_on(&mut self, id: Token, wait: Wait) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        // It may have ended meanwhile, or begun anew.
        if connection.waits[wait.index()].is_none() && !connection.is_dead() {
            let again = self.deadlines.put_back(wait.index(), id, self.now);
            connection.waits[wait.index()] = Some(again);
        }
    }

    pub(super) fn end_wait(&mut self, id: Token, wait: Wait) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if let Some(begun) = connection.waits[wait.index()].take() {
            self.deadlines.end(wait.index(), begun);
        }
    }

    pub(super) fn waits(&self, id: Token, wait: Wait) -> bool {
        self.connections.get(id).is_some_and(|connection| connection.waits[wait.index()].is_some())
    }
}
