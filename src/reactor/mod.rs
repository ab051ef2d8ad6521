//! The epoll loop.
//!
//! One thread serves every connection by asking the kernel one question, again and again: *which of these can be
//! read or written now without waiting?* Everything else follows from never waiting anywhere but there.
//!
//! One turn of the loop is a **tick** ([`Reactor::tick`]):
//!
//! 1. **Wait** for something to be ready, no longer than until the next deadline (`epoll_wait(2)`), and read the
//!    clock once: all of the tick happens at one instant.
//! 2. **Dispatch** each event: *one* bounded read, shown to the handler at once. Not "read until `EAGAIN`": whoever
//!    sends without pause would never let the loop go. What is left stays in the kernel, which puts a source that
//!    is still ready at the end of its list (level-triggered, `epoll(7)`), so its own list is the fair queue.
//! 3. **Accept** newcomers, within a budget, and open what handlers asked for.
//! 4. **Deadlines**: tell whose time has passed. Then signals, and the handler's own end of the tick.
//! 5. **Flush**: each connection that was sent something gets one `writev(2)`. Bytes wait until here so that ten
//!    messages for one reader cost one system call and not ten. Only where the kernel does not take all of it is
//!    `EPOLLOUT` asked for: a socket is writable nearly always, and being told so each tick would be a spin.
//! 6. **Re-arm**: tell the kernel what to watch for, where that has changed (`epoll_ctl(2)`). In steady state: never.
//! 7. **Reap** the dead: close descriptors and tell the handler. Only here, because the list of events may still name
//!    a descriptor that was closed, and its number may belong to another by then. [`Token`] guards the rest.
//!
//! So a message costs one read and one write, and a share in one wait.
//!
//! The reactor knows bytes. It does not know what a frame is: a handler is shown all unconsumed bytes and says how
//! many it has used. Read on in [`handler`](Handler) (the contract), `connection.rs` (the states), `inbox.rs` and
//! `outbox.rs` (the buffers), `sys.rs` (the kernel as a trait) and `linux.rs` (as system calls).

mod connection;
mod context;
mod deadlines;
mod handler;
mod inbox;
mod linux;
mod outbox;
mod pool;
mod slab;
mod sys;
mod time;
mod token;

use std::io::IoSlice;
use std::time::Duration;

use nix::Result;
use nix::errno::Errno;

use self::connection::{Connection, Kind, State, Wait};
use self::context::Asked;
use self::inbox::ReadBuffer;
use self::sys::{is_exhaustion, signal_of};
use crate::limits;

pub use self::context::Context;
pub use self::handler::{Alarm, CloseReason, Deadline, Handler, Opened, Signal};
pub use self::linux::{Linux, Waker, raise_descriptor_limit};
pub use self::sys::{Event, Interest, Source, Sys, Watch};
pub use self::time::Time;
pub use self::token::Token;

/// How long the reactor's waits are: one length for each kind.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// [`Deadline::Expected`]
    pub expected: Duration,
    /// [`Deadline::Partial`]
    pub partial: Duration,
    /// [`Deadline::Stalled`]
    pub stalled: Duration,
    /// What a closed connection gets to take its last bytes and to close its own side.
    pub finish: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            expected: limits::REGISTER_TIMEOUT,
            partial: limits::FRAME_TIMEOUT,
            stalled: limits::STALL_TIMEOUT,
            finish: limits::FINISH_TIMEOUT,
        }
    }
}

/// The loop, over a kernel `S`.
pub struct Reactor<S: Sys> {
    sys: S,
    context: Context,
    /// The descriptors, by slot: beside the books and not in them, so that no handler is generic over the kernel.
    ios: Vec<Option<S::Io>>,
    buffer: ReadBuffer,
    events: Vec<Event>,
    /// Listeners with newcomers in this tick.
    accepting: Vec<Token>,
    /// Listeners that rest, and until when: the process was out of descriptors or memory.
    resting: Vec<(Token, Time)>,
    /// Sources that the kernel cannot watch because they are always ready.
    always_ready: Vec<Token>,
    /// Signals' sources that are ready.
    signalled: Vec<Token>,
}

impl<S: Sys> Reactor<S> {
    /// A loop without sources. Ask its [`context`](Self::context) for the first ones.
    pub fn new(mut sys: S, config: &Config) -> Self {
        let context = Context::new(config, sys.now());
        Self {
            sys,
            context,
            ios: Vec::new(),
            buffer: ReadBuffer::new(),
            events: Vec::with_capacity(limits::EVENTS_PER_TICK),
            accepting: Vec::new(),
            resting: Vec::new(),
            always_ready: Vec::new(),
            signalled: Vec::new(),
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

    /// One turn of the loop; waits for at most `timeout` (none: for ever) when nothing is ready or due.
    pub fn tick(&mut self, handler: &mut impl Handler, timeout: Option<Duration>) -> Result<()> {
        let timeout = self.time_to_wait(timeout);
        self.sys.wait(&mut self.events, timeout)?;
        self.context.now = self.sys.now();

        self.dispatch(handler);
        self.accept(handler);
        self.open_asked(handler);
        self.tell_deadlines(handler);
        self.tell_signals(handler);
        handler.end_of_tick(&mut self.context);

        // What the settling itself brings about (a handler that answers to `drained`) is the next tick's.
        let mut touched = std::mem::take(&mut self.context.touched);
        touched.iter().for_each(|&id| self.flush(handler, id));
        touched.iter().for_each(|&id| self.rearm(id));
        touched.drain(..).for_each(|id| self.reap(handler, id));
        if self.context.touched.is_empty() {
            self.context.touched = touched; // its memory, for the next tick
        }
        Ok(())
    }

    /// Until the next thing is due; zero where something waits already.
    fn time_to_wait(&self, at_most: Option<Duration>) -> Option<Duration> {
        let cx = &self.context;
        let idle = |&id: &Token| !cx.connections.get(id).is_some_and(Connection::can_receive);
        let pending = !cx.asked.is_empty() || !cx.touched.is_empty() || !cx.resumed.is_empty();
        if pending || cx.stopping || !self.always_ready.iter().all(idle) {
            return Some(Duration::ZERO);
        }
        let alarms = cx.alarms.iter().flatten().copied();
        let rests = self.resting.iter().map(|&(_, until)| until);
        let due = alarms.chain(rests).chain(cx.deadlines.next()).min();
        let until_due = due.map(|due| due.since(cx.now));
        [at_most, until_due].into_iter().flatten().min()
    }

    // --- 2. Dispatch ---

    fn dispatch(&mut self, handler: &mut impl Handler) {
        for id in std::mem::take(&mut self.context.resumed) {
            self.show(handler, id, 0);
        }
        for index in 0..self.always_ready.len() {
            let id = self.always_ready[index];
            let event = Event { token: id, readable: true, writable: true, hangup: false };
            self.dispatch_one(handler, event);
        }
        for index in 0..self.events.len() {
            let event = self.events[index];
            self.dispatch_one(handler, event);
        }
    }

    fn dispatch_one(&mut self, handler: &mut impl Handler, event: Event) {
        let id = event.token;
        // A token that names nobody: the event was for a source that this tick has closed. Nothing is lost by it.
        let Some(connection) = self.context.connections.get_mut(id) else { return };
        match connection.kind {
            Kind::Listener => return self.accepting.push(id),
            Kind::Signals => return self.signalled.push(id),
            Kind::Socket | Kind::Input | Kind::Output => {}
        }
        if connection.state == State::Connecting {
            return self.establish(handler, id);
        }
        if connection.blocked && (event.writable || event.hangup) {
            connection.blocked = false;
            self.context.touch(id);
        }
        if event.readable || event.hangup {
            self.read(handler, id, event.hangup);
        }
    }

    /// A connection that was begun is decided.
    fn establish(&mut self, handler: &mut impl Handler, id: Token) {
        let Some(Some(io)) = self.ios.get(id.slot()) else { return };
        if let Err(errno) = self.sys.error(io) {
            return self.context.die(id, CloseReason::Failed(errno));
        }
        if let Some(connection) = self.context.connections.get_mut(id) {
            connection.state = State::Open;
            self.context.touch(id);
            handler.opened(&mut self.context, id, Opened::Connected);
        }
    }

    /// One bounded read, and what it brought. A hang-up is only a hint, and reading tells the truth: first the bytes
    /// that came before it, then the end or the error. So it overrules a pause, which would otherwise leave the
    /// hang-up to be reported for ever.
    fn read(&mut self, handler: &mut impl Handler, id: Token, hangup: bool) {
        let Some(connection) = self.context.connections.get(id) else { return };
        let Some(Some(io)) = self.ios.get(id.slot()) else { return };
        let wanted = match connection.state {
            State::Open => connection.reads() && (hangup || !connection.paused),
            State::Closing | State::Lingering => connection.reads() && connection.kind == Kind::Socket,
            State::Connecting | State::Dead(_) => false,
        };
        if !wanted {
            // Nothing to read, perhaps nothing to write: then there is no other way to ask.
            if hangup && connection.outbox.is_empty() {
                let errno = self.sys.error(io).err().filter(|&errno| errno != Errno::ENOTSOCK);
                self.context.die(id, CloseReason::Failed(errno.unwrap_or(Errno::EPIPE)));
            }
            return;
        }
        match self.sys.read(io, self.buffer.space()) {
            Ok(0) => self.end(handler, id),
            Ok(read) => self.show(handler, id, read),
            // Not ready after all (epoll(7) allows that), or interrupted: the kernel will say so again.
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(errno) => self.context.die(id, CloseReason::Failed(errno)),
        }
    }

    /// Shows the handler all that is not consumed, the `read` bytes in the buffer last.
    fn show(&mut self, handler: &mut impl Handler, id: Token, read: usize) {
        let cx = &mut self.context;
        let Some(connection) = cx.connections.get_mut(id) else { return };
        if connection.state != State::Open {
            return; // what comes after the goodbye is read and forgotten
        }
        // The inbox is taken out while the handler looks at it, for the handler holds the context.
        let mut inbox = std::mem::take(&mut connection.inbox);
        let consumed = inbox.offer(&mut self.buffer, read, |bytes| handler.received(cx, id, bytes));
        let Some(connection) = cx.connections.get_mut(id) else { return };
        connection.inbox = inbox;
        let waits_for_more = !connection.inbox.is_empty() && connection.can_receive();
        let partial = Wait::Told(Deadline::Partial);
        if !waits_for_more {
            cx.end_wait(id, partial);
        } else if consumed > 0 || !cx.waits(id, partial) {
            cx.begin_wait(id, partial); // of a new frame: this is its first byte
        }
    }

    /// The other end will send no more.
    fn end(&mut self, handler: &mut impl Handler, id: Token) {
        let cx = &mut self.context;
        let Some(connection) = cx.connections.get_mut(id) else { return };
        connection.ended = true;
        match connection.state {
            State::Lingering => return cx.die(id, CloseReason::Closed),
            State::Open => {}
            State::Connecting | State::Closing | State::Dead(_) => return cx.touch(id),
        }
        let inbox = std::mem::take(&mut connection.inbox);
        let only_reads = connection.kind == Kind::Input;
        cx.end_wait(id, Wait::Told(Deadline::Partial));
        cx.touch(id);
        handler.ended(cx, id, inbox.rest());
        if only_reads {
            self.context.close(id);
        }
    }

    // --- 3. Accept, open ---

    fn accept(&mut self, handler: &mut impl Handler) {
        self.end_rests();
        for listener in std::mem::take(&mut self.accepting) {
            for _ in 0..limits::ACCEPTS_PER_TICK {
                let Some(Some(io)) = self.ios.get(listener.slot()) else { break };
                match self.sys.accept(io) {
                    Ok((io, peer)) => {
                        let id = self.context.connections.insert(Connection::new(Kind::Socket, State::Open));
                        if self.install(id, io) {
                            handler.opened(&mut self.context, id, Opened::Accepted { listener, peer });
                        }
                    }
                    Err(Errno::EAGAIN) => break,
                    Err(errno) if is_exhaustion(errno) => {
                        self.rest(listener);
                        handler.exhausted(&mut self.context, listener, errno);
                        break;
                    }
                    // The newcomer left before it was served, or brought a network error along: accept(2) asks to
                    // treat these like EAGAIN, and the next in the backlog may be well.
                    Err(_) => {}
                }
            }
        }
    }

    /// Out of descriptors or memory: a backlog that cannot be accepted would show as readable without end, so the
    /// listener is not watched for a while. Whoever waits longest is told by being turned away.
    fn rest(&mut self, listener: Token) {
        let Some(Some(io)) = self.ios.get(listener.slot()) else { return };
        self.sys.turn_away(io);
        self.resting.push((listener, self.context.now + limits::LISTENER_REST));
        self.context.pause(listener);
    }

    fn end_rests(&mut self) {
        let now = self.context.now;
        let rested: Vec<_> = self.resting.extract_if(.., |(_, until)| *until <= now).collect();
        for (listener, _) in rested {
            self.context.resume(listener);
        }
    }

    fn open_asked(&mut self, handler: &mut impl Handler) {
        for (id, asked) in std::mem::take(&mut self.context.asked) {
            if self.context.connections.get(id).is_none_or(Connection::is_dead) {
                continue; // its handler thought better of it
            }
            let (opened, io) = match asked {
                Asked::Listen(at) => match self.sys.listen(at) {
                    Ok((io, at)) => (Some(Opened::Listening(at)), Ok(io)),
                    Err(errno) => (None, Err(errno)),
                },
                Asked::Connect(to) => (None, self.sys.connect(to)),
                Asked::Open(source) => (Some(Opened::Source), self.sys.open(&source)),
            };
            match io {
                Ok(io) if self.install(id, io) => {
                    opened.into_iter().for_each(|how| handler.opened(&mut self.context, id, how));
                }
                Ok(_) => {} // `install` noted why not
                Err(errno) => self.context.die(id, CloseReason::Failed(errno)),
            }
        }
    }

    /// Puts a descriptor in its place and has it watched. Not so: it is closed at the end of the tick.
    fn install(&mut self, id: Token, io: S::Io) -> bool {
        let Some(connection) = self.context.connections.get_mut(id) else { return false };
        let wanted = connection.wanted();
        let watched = self.sys.watch(&io, id, wanted, Watch::Begin);
        if self.ios.len() <= id.slot() {
            self.ios.resize_with(id.slot() + 1, || None);
        }
        self.ios[id.slot()] = Some(io);
        match watched {
            Ok(()) => connection.armed = wanted,
            Err(Errno::EPERM) => {
                connection.always_ready = true;
                self.always_ready.push(id);
            }
            Err(errno) => {
                self.context.die(id, CloseReason::Failed(errno));
                return false;
            }
        }
        self.context.touch(id); // something may have been queued before there was a descriptor
        true
    }

    // --- 4. Deadlines, signals ---

    fn tell_deadlines(&mut self, handler: &mut impl Handler) {
        let now = self.context.now;
        while let Some((kind, id)) = self.context.deadlines.expired(now) {
            let Some(connection) = self.context.connections.get_mut(id) else { continue };
            connection.waits[kind] = None;
            match Wait::ALL[kind] {
                Wait::Told(deadline) => handler.expired(&mut self.context, id, deadline),
                Wait::Finish => self.context.abort(id),
            }
        }
        for number in 0..Alarm::COUNT {
            if self.context.alarms[number].is_some_and(|at| at <= now) {
                self.context.alarms[number] = None;
                #[allow(clippy::cast_possible_truncation)] // COUNT is 8
                handler.alarm(&mut self.context, Alarm(number as u8));
            }
        }
    }

    fn tell_signals(&mut self, handler: &mut impl Handler) {
        for id in std::mem::take(&mut self.signalled) {
            let Some(Some(io)) = self.ios.get(id.slot()) else { continue };
            let Ok(count) = self.sys.read(io, self.buffer.space()) else { continue };
            for index in 0..count {
                let signal = self.buffer.space().get(index).copied().and_then(signal_of);
                signal.into_iter().for_each(|signal| handler.signal(&mut self.context, signal));
            }
        }
    }

    // --- 5. Flush ---

    /// One `writev` of what waits, and what follows when all of it is gone.
    fn flush(&mut self, handler: &mut impl Handler, id: Token) {
        let Some(connection) = self.context.connections.get_mut(id) else { return };
        connection.touched = false;
        let Some(Some(io)) = self.ios.get(id.slot()) else { return };
        if connection.can_flush() {
            let mut slices = [IoSlice::new(&[]); limits::SLICES_PER_WRITE];
            let filled = connection.outbox.slices(&mut slices);
            match self.sys.writev(io, &slices[..filled]) {
                Ok(taken) => self.written(handler, id, taken),
                Err(Errno::EAGAIN | Errno::EINTR) => self.written(handler, id, 0),
                Err(errno) => return self.context.die(id, CloseReason::Failed(errno)),
            }
        }
        self.finish_if_flushed(id);
    }

    /// The kernel took `taken` bytes. If that was not all of them, it will be asked to say when there is room.
    fn written(&mut self, handler: &mut impl Handler, id: Token, taken: usize) {
        let cx = &mut self.context;
        let Some(connection) = cx.connections.get_mut(id) else { return };
        connection.outbox.advance(taken, &mut cx.pool);
        cx.queued_in_all -= taken;
        let waited = connection.waits[Wait::Told(Deadline::Stalled).index()].is_some();
        connection.blocked = !connection.outbox.is_empty() && !connection.always_ready;
        if !connection.outbox.is_empty() {
            if connection.always_ready {
                cx.touch(id); // no event will come: try again in the next tick
            }
            if taken > 0 || !waited {
                cx.begin_wait(id, Wait::Told(Deadline::Stalled)); // it took something: its time starts anew
            }
        } else if waited {
            cx.end_wait(id, Wait::Told(Deadline::Stalled));
            handler.drained(cx, id);
        }
    }

    /// `Closing` ends where nothing is left to write.
    fn finish_if_flushed(&mut self, id: Token) {
        let Some(connection) = self.context.connections.get_mut(id) else { return };
        if connection.state != State::Closing || !connection.outbox.is_empty() {
            return;
        }
        connection.state = connection.after_flush();
        let Some(Some(io)) = self.ios.get(id.slot()) else { return };
        if connection.state == State::Lingering && self.sys.shutdown(io).is_err() {
            connection.state = State::Dead(CloseReason::Closed); // the other end has gone already
        }
    }

    // --- 6. Re-arm ---

    /// Tells the kernel what to watch for, where that differs from what it watches for.
    fn rearm(&mut self, id: Token) {
        let Some(connection) = self.context.connections.get_mut(id) else { return };
        let wanted = connection.wanted();
        if wanted == connection.armed || connection.always_ready || connection.is_dead() {
            return;
        }
        let Some(Some(io)) = self.ios.get(id.slot()) else { return };
        match self.sys.watch(io, id, wanted, Watch::Change) {
            Ok(()) => connection.armed = wanted,
            Err(errno) => self.context.die(id, CloseReason::Failed(errno)),
        }
    }

    // --- 7. Reap ---

    /// Closes the descriptor of a dead source, gives its slot free and tells the handler.
    fn reap(&mut self, handler: &mut impl Handler, id: Token) {
        let Some(connection) = self.context.connections.get(id) else { return };
        let State::Dead(reason) = connection.state else { return };
        Wait::ALL.into_iter().for_each(|wait| self.context.end_wait(id, wait));
        let Some(mut connection) = self.context.connections.remove(id) else { return };
        self.context.queued_in_all -= connection.outbox.clear(&mut self.context.pool);
        if connection.always_ready {
            self.always_ready.retain(|&other| other != id);
        }
        if connection.kind == Kind::Listener {
            self.resting.retain(|&(listener, _)| listener != id);
        }
        if let Some(io) = self.ios.get_mut(id.slot()).and_then(Option::take) {
            self.sys.close(io);
        }
        handler.closed(&mut self.context, id, reason);
    }
}

impl<S: Sys> Drop for Reactor<S> {
    /// Descriptors are closed by a call and never by being dropped: here are those that are left.
    fn drop(&mut self) {
        self.ios.drain(..).flatten().for_each(|io| self.sys.close(io));
    }
}
