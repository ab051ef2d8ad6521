//! The tick: what the loop does between two waits, in this order.
//!
//! ```text
//!   wait ──▶ dispatch ──▶ accept ──▶ open ──▶ deadlines ──▶ signals ──▶ end_of_tick ─┐
//!    ▲                                                                               │
//!    └────────────── reap ◀────────── re-arm ◀────────── flush ◀─────────────────────┘
//! ```
//!
//! While reads bring many bytes each, a few ticks go by without the lower row (`gathering.rs`), and
//! more leaves in one write.
//!
//! Each step may find that a source is gone, closing or paused: an event says what was true when
//! the kernel wrote it down, and the handler may have decided otherwise since. A token that names
//! nothing, or a state that does not fit, ends the step for that source, and nothing is lost by it.

use std::io::IoSlice;
use std::time::Duration;

use nix::Result;
use nix::errno::Errno;

use super::buffers::Written;
use super::connection::{Connection, Kind, ReadBlocks, Readiness, State};
use super::context::Asked;
use super::deadlines::Kind as DeadlineKind;
use super::limits;
use super::sys::{Io, is_exhaustion, signal_of};
use super::{CloseReason, Event, Handler, Opened, Reactor, Sys, Time, Timer, Token, Watch};

impl<S: Sys> Reactor<S> {
    /// One turn of the loop; waits for at most `timeout` (none: for ever) when nothing is ready or
    /// due.
    ///
    /// # Errors
    /// The wait itself failed, which no peer can bring about.
    pub fn tick(&mut self, handler: &mut impl Handler, timeout: Option<Duration>) -> Result<()> {
        let timeout = self.time_to_wait(timeout);
        self.context.again = false;
        self.wait(timeout)?;

        self.dispatch(handler);
        self.accept(handler);
        self.open_asked(handler);
        self.tell_deadlines(handler);
        self.tell_signals(handler);
        handler.end_of_tick(&mut self.context);
        self.context.resume_reads();
        if !self.gathering.goes_on(&self.context) {
            self.finish_tick(handler);
        }
        if let Some(meter) = &self.context.meter {
            meter.tick(self.context.now, self.sys.now(), self.events.len());
        }
        Ok(())
    }

    /// Flushes, re-arms and reaps.
    fn finish_tick(&mut self, handler: &mut impl Handler) {
        // What a handler queues in `drained` or `closed` for a source that is not in this list, or
        // was passed in it, belongs to the next tick, which then does not wait. A source that is
        // closed in its own `drained` ends in this one.
        let mut dirty = std::mem::take(&mut self.context.dirty);
        self.context.has_dead = false;
        for &id in &dirty {
            self.flush(handler, id);
        }
        for &id in &dirty {
            self.rearm(id);
        }
        for id in dirty.drain(..) {
            self.reap(handler, id);
        }
        if self.context.dirty.is_empty() {
            self.context.dirty = dirty; // its memory, for the next tick
        }
    }

    // --- Wait ---

    /// When the loop has something to do by itself: the instant of its last tick where that is at
    /// once, `None` where only an event can bring it about. For whoever drives several loops by one
    /// clock.
    pub fn due(&self) -> Option<Time> {
        self.time_to_wait(None).map(|wait| self.context.now + wait)
    }

    /// Until the next thing is due; zero where there is work already.
    fn time_to_wait(&self, at_most: Option<Duration>) -> Option<Duration> {
        let cx = &self.context;
        let has_work = !cx.asked.is_empty() || !cx.dirty.is_empty() || !cx.ready.is_empty();
        if has_work || cx.again || cx.stopping {
            return Some(Duration::ZERO);
        }
        let timers = cx.timers.iter().flatten().copied();
        let backoffs = self.accept_backoffs.iter().map(|&(_, until)| until);
        let due = timers.chain(backoffs).chain(cx.deadlines.next()).min();
        let until_due = due.map(|due| due.since(cx.now));
        [at_most, until_due].into_iter().flatten().min()
    }

    /// Waits, and reads the clock. With [`Config::spin`](super::Config::spin) it asks without
    /// sleeping for so long first.
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
        // Read before the call, at the end of the last one: whatever time was lost in between (a
        // stop of the process) counts as not looked at.
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

    // --- Dispatch ---

    /// One read for each event and for each source in the ready queue. The kernel's list of events
    /// is the fair queue of a level-triggered loop: a source that has more to read stays on it,
    /// behind the others. The ready queue holds those of which no event tells: files, resumed
    /// sources, and in edge mode whoever was not read to the end.
    fn dispatch(&mut self, handler: &mut impl Handler) {
        // Before an event can bring the end: what was kept came before it.
        for index in 0..self.context.ready.len() {
            let id = self.context.ready[index];
            self.show_kept(handler, id);
        }
        for index in 0..self.events.len() {
            let event = self.events[index];
            self.dispatch_event(handler, event);
        }
        let queued = self.context.ready.len();
        for index in 0..queued {
            let id = self.context.ready[index];
            self.dispatch_ready(handler, id);
        }
        self.context.ready.drain(..queued); // behind them stand those of the next tick
    }

    fn dispatch_event(&mut self, handler: &mut impl Handler, event: Event) {
        let id = event.token;
        let Some(connection) = self.context.connections.get_mut(id) else { return };
        match connection.kind {
            Kind::Listener => return self.accepting.push(id),
            Kind::Signals => return self.signalled.push(id),
            Kind::Socket | Kind::Input | Kind::Output => {}
        }
        let is_edge = connection.readiness == Readiness::Edge;
        if is_edge {
            connection.unread |= event.readable;
            connection.saw_hangup |= event.rdhup || event.hangup;
        }
        if connection.state == State::Connecting {
            self.establish(handler, id);
            return self.context.mark_ready(id);
        }
        if connection.write_blocked && (event.writable || event.hangup) {
            connection.write_blocked = false;
            self.context.mark_dirty(id);
        }
        // A hang-up is told once in edge mode, and may be an error that only a call can tell: it is
        // read now, like a level-triggered source.
        if is_edge && !event.hangup {
            self.context.mark_ready(id);
        } else if event.readable || event.hangup {
            self.read(handler, id, event.hangup);
        }
    }

    /// It was resumed: what its inbox keeps is shown again.
    fn show_kept(&mut self, handler: &mut impl Handler, id: Token) {
        let connection = self.context.connections.get(id);
        if connection.is_some_and(|it| it.show_again && it.can_receive()) {
            self.show(handler, id, 0);
        }
    }

    fn dispatch_ready(&mut self, handler: &mut impl Handler, id: Token) {
        let Some(connection) = self.context.connections.get_mut(id) else { return };
        connection.is_queued = false;
        if connection.has_more_within() || connection.is_unread_without_event() {
            self.read(handler, id, false);
        }
        // It was paused and resumed within this tick.
        if self.context.connections.get(id).is_some_and(|it| it.show_again && it.can_receive()) {
            self.context.mark_ready(id);
        }
    }

    /// A connection that was begun is decided.
    fn establish(&mut self, handler: &mut impl Handler, id: Token) {
        let Some(connection) = self.context.connections.get_mut(id) else { return };
        let Some(io) = connection.io else { return };
        if let Err(errno) = self.sys.error(io) {
            return self.context.die(id, CloseReason::Failed(errno));
        }
        connection.state = State::Open;
        self.context.mark_dirty(id);
        handler.opened(&mut self.context, id, Opened::Connected);
    }

    /// One bounded read, and what it brought. A hang-up is only a hint, and reading tells the
    /// truth: first the bytes that came before it, then the end or the error.
    fn read(&mut self, handler: &mut impl Handler, id: Token, hangup: bool) {
        let Some(connection) = self.context.connections.get(id) else { return };
        let Some(io) = connection.io else { return };
        if !connection.may_read() {
            // Of a pipe it says that the writer has left, an ordinary end, which can wait until it
            // is resumed. All others are broken, and where there is nothing to read and nothing to
            // write there is no other way to ask.
            if hangup && connection.kind != Kind::Input && connection.is_flushed() {
                let errno = self.sys.error(io).err().filter(|&errno| errno != Errno::ENOTSOCK);
                self.context.die(id, CloseReason::Failed(errno.unwrap_or(Errno::EPIPE)));
            }
            return;
        }
        let is_open = connection.state == State::Open;
        if is_open && connection.is_transformed() {
            return self.read_wire(handler, id, io, hangup);
        }
        let budget = if is_open { self.context.read_budget(id) } else { Some(limits::READ_SIZE) };
        let Some(room) = budget else { return self.ask_if_broken(id, io, hangup) };
        let outcome = self.sys.read(io, &mut self.buffer.space()[..room]);
        let cut = outcome == Ok(room) || outcome == Err(Errno::EINTR);
        if let Some(connection) = self.context.connections.get_mut(id) {
            connection.note_read(cut);
        }
        match outcome {
            Ok(0) => return self.end(handler, id, ReadBlocks::READ_EOF),
            Ok(read) => {
                self.gathering.came(read);
                self.show(handler, id, read);
            }
            // Not ready after all (epoll(7) allows that), or interrupted: the kernel will say so
            // again.
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(errno) => return self.context.die(id, CloseReason::Failed(errno)),
        }
        self.context.mark_ready(id);
    }

    /// It is over the budget, and `resume_reads` comes back to it; but what is broken is over now.
    pub(super) fn ask_if_broken(&mut self, id: Token, io: Io, hangup: bool) {
        if let Some(errno) = hangup.then(|| self.sys.error(io).err()).flatten() {
            self.context.die(id, CloseReason::Failed(errno));
        }
    }

    /// Shows the handler all that is not consumed, the `read` bytes in the buffer last.
    pub(super) fn show(&mut self, handler: &mut impl Handler, id: Token, read: usize) {
        let cx = &mut self.context;
        let Some(connection) = cx.connections.get_mut(id) else { return };
        if connection.state != State::Open {
            return; // what comes while it is being closed is read and dropped
        }
        connection.show_again = false;
        // The inbox is taken out while the handler looks at it, for the handler holds the context.
        let mut inbox = std::mem::take(&mut connection.inbox);
        let before = inbox.memory();
        let consumed = inbox.offer(&mut self.buffer, read, |bytes| handler.received(cx, id, bytes));
        cx.kept_in_all -= before;
        let Some(connection) = cx.connections.get_mut(id) else { return };
        if connection.state == State::Open {
            cx.kept_in_all += inbox.memory();
            connection.inbox = inbox;
        }
        if !connection.inbox.is_empty() && connection.is_transformed() && cx.layers.is_new(id) {
            cx.open_kept(id); // it came before the transform, so it is the transform's
            return self.expect_the_rest(id);
        }
        let waits_for_more = !connection.inbox.is_empty() && connection.can_receive();
        let runs = connection.deadlines[DeadlineKind::Frame as usize].is_some();
        if waits_for_more && (consumed > 0 || !runs) {
            cx.begin_deadline(id, DeadlineKind::Frame); // of a new frame: this is its first byte
        } else if !waits_for_more && runs {
            cx.end_deadline(id, DeadlineKind::Frame);
        }
    }

    /// The other end will send no more: a read returned 0, or its transform says so.
    pub(super) fn end(&mut self, handler: &mut impl Handler, id: Token, how: ReadBlocks) {
        let cx = &mut self.context;
        let Some(connection) = cx.connections.get_mut(id) else { return };
        connection.read_blocks.insert(how);
        match connection.state {
            State::Lingering => return cx.die(id, CloseReason::Closed),
            State::Open => {}
            State::Connecting | State::Closing | State::Dead(_) => return cx.mark_dirty(id),
        }
        let inbox = std::mem::take(&mut connection.inbox);
        connection.show_again = false;
        cx.kept_in_all -= inbox.memory();
        let only_reads = connection.kind == Kind::Input;
        cx.end_deadline(id, DeadlineKind::Frame);
        cx.mark_dirty(id);
        handler.ended(cx, id, inbox.rest());
        if only_reads {
            self.context.close(id);
        }
    }

    // --- Accept, and open what handlers asked for ---

    /// Newcomers, so many of each listener at most, and fewer where the handler turns them away.
    fn accept(&mut self, handler: &mut impl Handler) {
        self.end_accept_backoffs();
        let mut turned_away = 0;
        for listener in std::mem::take(&mut self.accepting) {
            let mut budget = 0..limits::ACCEPTS_PER_TICK;
            while turned_away < limits::TURNED_AWAY_PER_TICK
                && budget.next().is_some()
                && self.accept_one(handler, listener, &mut turned_away)
            {}
        }
    }

    /// Accepts one newcomer; tells whether there may be another, and counts whom the handler turns
    /// away at once.
    fn accept_one(
        &mut self,
        handler: &mut impl Handler,
        listener: Token,
        turned_away: &mut usize,
    ) -> bool {
        // The handler may have closed or paused the listener since the event, or on seeing the
        // newcomer before.
        let Some(connection) = self.context.connections.get(listener) else { return false };
        let Some(io) = connection.io.filter(|_| connection.can_receive()) else { return false };
        match self.sys.accept(io) {
            Ok((io, peer)) => {
                let newcomer = Connection::new(Kind::Socket, State::Open, self.context.trigger);
                let id = self.context.connections.insert(newcomer);
                self.install(id, io); // where that fails, the end of the tick tells why
                handler.opened(&mut self.context, id, Opened::Accepted { listener, peer });
                let newcomer = self.context.connections.get(id);
                *turned_away += usize::from(newcomer.is_none_or(Connection::is_dead));
                true
            }
            Err(Errno::EAGAIN) => false,
            Err(errno) if is_exhaustion(errno) => {
                self.back_off(listener, io);
                handler.exhausted(&mut self.context, listener, errno);
                false
            }
            // The newcomer left before it was served, or brought a network error along: accept(2)
            // asks to treat these like EAGAIN, and the next in the backlog may be well.
            Err(_) => true,
        }
    }

    /// Out of descriptors or memory: a backlog that cannot be accepted would show as readable
    /// without end, so the listener is not watched for a while. Whoever waits longest learns of it
    /// by being shed.
    fn back_off(&mut self, listener: Token, io: Io) {
        self.sys.shed(io);
        self.accept_backoffs.push((listener, self.context.now + limits::ACCEPT_BACKOFF));
        self.context.block_reads(listener, ReadBlocks::ACCEPT_BACKOFF);
    }

    fn end_accept_backoffs(&mut self) {
        let now = self.context.now;
        for (listener, _) in self.accept_backoffs.extract_if(.., |(_, until)| *until <= now) {
            self.context.unblock_reads(listener, ReadBlocks::ACCEPT_BACKOFF);
        }
    }

    fn open_asked(&mut self, handler: &mut impl Handler) {
        for (id, asked) in std::mem::take(&mut self.context.asked) {
            let Some(connection) = self.context.connections.get(id) else { continue };
            let in_use = connection.is_in_use();
            if !in_use && !connection.can_flush() {
                self.context.die(id, CloseReason::Closed); // its handler has closed it already
                continue;
            }
            let opened = match asked {
                Asked::Listen(at) => {
                    self.sys.listen(at).map(|(io, at)| (io, Some(Opened::Listening(at))))
                }
                // Told when it is decided: see `establish`.
                Asked::Connect(to) => self.sys.connect(to).map(|io| (io, None)),
                Asked::Open(fd) => self.sys.open(&fd).map(|io| (io, Some(Opened::ProcessFd))),
            };
            match opened {
                Ok((io, how)) => {
                    if self.install(id, io)
                        && in_use
                        && let Some(how) = how
                    {
                        handler.opened(&mut self.context, id, how);
                    }
                }
                Err(errno) => self.context.die(id, CloseReason::Failed(errno)),
            }
        }
    }

    /// Gives a source its descriptor and has it watched. If that fails, it is closed at the end of
    /// the tick.
    fn install(&mut self, id: Token, io: Io) -> bool {
        let Some(connection) = self.context.connections.get_mut(id) else { return false };
        connection.io = Some(io);
        let wanted = connection.wanted();
        match self.sys.watch(io, id, wanted, Watch::Begin) {
            Ok(()) => connection.armed = wanted,
            Err(Errno::EPERM) => {
                connection.readiness = Readiness::Always;
                connection.unread = connection.kind != Kind::Output;
                self.context.mark_ready(id);
            }
            Err(errno) => {
                self.context.die(id, CloseReason::Failed(errno));
                return false;
            }
        }
        self.context.mark_dirty(id); // something may have been queued before there was a descriptor
        true
    }

    // --- Deadlines and signals ---

    /// Tells what had passed when the kernel was asked: see [`Horizon`](super::deadlines::Horizon).
    fn tell_deadlines(&mut self, handler: &mut impl Handler) {
        let seen = self.horizon.seen();
        let (mut undecided, mut popped) = (Vec::new(), 0);
        while popped < limits::TIMEOUTS_PER_TICK
            && let Some((kind, id)) = self.context.deadlines.pop_expired(seen)
        {
            popped += 1;
            let Some(connection) = self.context.connections.get_mut(id) else { continue };
            connection.deadlines[kind as usize] = None;
            if connection.take_undecided(kind) {
                undecided.push((kind, id));
                continue;
            }
            match kind.timeout() {
                Some(_) if !connection.is_in_use() => {}
                Some(timeout) => handler.timed_out(&mut self.context, id, timeout),
                None if connection.state == State::Lingering => {
                    // It was sent all there was, and only did not close its side.
                    self.context.die(id, CloseReason::Closed);
                }
                None => self.context.abort(id),
            }
        }
        for (kind, id) in undecided {
            self.context.postpone_deadline(id, kind);
        }
        if popped == limits::TIMEOUTS_PER_TICK {
            return; // timers come behind all deadlines, so that nobody is served whose time is over
        }
        for number in 0..Timer::COUNT {
            if self.context.timers[number].take_if(|at| *at <= seen).is_some() {
                #[allow(clippy::cast_possible_truncation)] // COUNT is 8
                handler.timer(&mut self.context, Timer(number as u8));
            }
        }
    }

    fn tell_signals(&mut self, handler: &mut impl Handler) {
        for id in std::mem::take(&mut self.signalled) {
            let Some(io) = self.context.connections.get(id).and_then(|it| it.io) else { continue };
            let Ok(count) = self.sys.read(io, self.buffer.space()) else { continue };
            for index in 0..count {
                if let Some(signal) = signal_of(self.buffer.space()[index]) {
                    handler.signal(&mut self.context, signal);
                }
            }
        }
    }

    // --- Flush, re-arm, reap: once for each dirty source, and for no other. ---

    /// One `writev(2)` of what waits, and what follows when all of it is gone.
    fn flush(&mut self, handler: &mut impl Handler, id: Token) {
        let Some(connection) = self.context.connections.get_mut(id) else { return };
        connection.is_dirty = false;
        let Some(io) = connection.io else { return };
        let written = if connection.is_transformed() {
            self.write_sealed(id, io)
        } else if connection.can_flush() {
            let mut slices = [IoSlice::new(&[]); limits::SLICES_PER_WRITE];
            let filled = connection.outbox.slices(&mut slices);
            let offered: usize = slices[..filled].iter().map(|slice| slice.len()).sum();
            let (taken, is_full) = match self.sys.writev(io, &slices[..filled]) {
                Ok(taken) => (taken, taken < offered),
                Err(Errno::EAGAIN) => (0, true),
                Err(Errno::EINTR) => (0, false),
                Err(errno) => return self.context.die(id, CloseReason::Failed(errno)),
            };
            let memory = connection.outbox.advance(taken, &mut self.context.pool);
            self.context.output_in_all -= memory;
            self.context.queued_in_all -= taken;
            Some(Written { has_taken: taken > 0, is_full })
        } else {
            None
        };
        if let Some(written) = written {
            self.written(handler, id, written);
        }
        self.finish_if_flushed(id, io);
    }

    /// The kernel was offered something. If it has no room for more, it will say when there is;
    /// otherwise what is left is tried in the next tick, for no event would tell.
    fn written(&mut self, handler: &mut impl Handler, id: Token, written: Written) {
        let Written { has_taken, is_full } = written;
        let cx = &mut self.context;
        let Some(connection) = cx.connections.get_mut(id) else { return };
        let has_backlog = !connection.is_flushed();
        let was_behind = std::mem::replace(&mut connection.has_backlog, has_backlog);
        let is_paused = connection.read_blocks.any(ReadBlocks::PAUSED);
        let is_in_use = connection.is_in_use();
        let is_blocked = has_backlog && is_full && connection.readiness != Readiness::Always;
        connection.write_blocked = is_blocked;
        if has_backlog {
            if !is_blocked {
                cx.mark_dirty(id);
            }
            if has_taken || !was_behind {
                cx.begin_deadline(id, DeadlineKind::Write); // it took something: anew
            }
        } else if was_behind || is_paused {
            cx.end_deadline(id, DeadlineKind::Write);
            if is_in_use {
                cx.tick_again(); // the handler's end of this tick is over: it gets another
                handler.drained(cx, id);
            }
        }
    }

    /// `Closing` ends where nothing is left to write.
    fn finish_if_flushed(&mut self, id: Token, io: Io) {
        let Some(connection) = self.context.connections.get_mut(id) else { return };
        if connection.state != State::Closing || !connection.is_flushed() {
            return;
        }
        connection.state = connection.after_flush();
        if connection.state == State::Lingering && self.sys.shutdown(io).is_err() {
            connection.state = State::Dead(CloseReason::Closed); // the other end has gone already
        }
        // In edge mode no event will tell of what came while it was paused: that is read, and
        // dropped. Level-triggered, `rearm` brings the event.
        self.context.mark_ready(id);
    }

    /// Asks the kernel to watch for what is wanted, where that differs from what it watches for.
    fn rearm(&mut self, id: Token) {
        let Some(connection) = self.context.connections.get_mut(id) else { return };
        let wanted = connection.wanted();
        let cannot_be_watched = connection.readiness == Readiness::Always;
        if wanted == connection.armed || cannot_be_watched || connection.is_dead() {
            return;
        }
        let Some(io) = connection.io else { return };
        match self.sys.watch(io, id, wanted, Watch::Change) {
            Ok(()) => connection.armed = wanted,
            Err(errno) => self.context.die(id, CloseReason::Failed(errno)),
        }
    }

    /// Closes the descriptor of a dead source, gives its slot free and tells the handler.
    fn reap(&mut self, handler: &mut impl Handler, id: Token) {
        let Some(connection) = self.context.connections.get(id) else { return };
        let State::Dead(reason) = connection.state else { return };
        for kind in DeadlineKind::ALL {
            self.context.end_deadline(id, kind);
        }
        self.context.drop_queued(id);
        let Some(connection) = self.context.connections.remove(id) else { return };
        self.context.kept_in_all -= connection.inbox.memory();
        if connection.is_transformed() {
            self.context.forget_layer(id);
        }
        if connection.kind == Kind::Listener {
            self.accept_backoffs.retain(|&(listener, _)| listener != id);
        }
        if let Some(io) = connection.io {
            self.sys.close(io);
        }
        self.context.tick_again(); // see `written`
        handler.closed(&mut self.context, id, reason);
    }
}
