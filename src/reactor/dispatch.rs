//! Step 2 of the tick: an event becomes one read, and the read one call to the handler.
//!
//! Everything here may find that the source is gone, closing or paused: an event says what was true
//! when the kernel wrote it down, and the handler may have decided otherwise since.
//!
//! Level-triggered, the kernel's ready list is the queue of those who wait for their turn. Of some
//! sources it tells nothing more, although there is more to read: files are never on it, and what
//! is watched for edges leaves it when it is told. Their turns are kept here (`turns`), one read a
//! tick as for all others.

use nix::errno::Errno;

use super::connection::{Connection, Kind, State, Wait};
use super::{CloseReason, Deadline, Event, Handler, Opened, Reactor, Sys, Token};
use crate::limits;

impl<S: Sys> Reactor<S> {
    pub(super) fn dispatch(&mut self, handler: &mut impl Handler) {
        for id in std::mem::take(&mut self.context.resumed) {
            let waits = |it: &Connection| it.can_receive() && !it.inbox.is_empty();
            if self.context.connections.get(id).is_some_and(waits) {
                self.show(handler, id, 0);
            }
            self.give_turn(id);
        }
        for index in 0..self.events.len() {
            let event = self.events[index];
            self.dispatch_one(handler, event);
        }
        let turns = self.turns.len();
        for index in 0..turns {
            let id = self.turns[index];
            let Some(connection) = self.context.connections.get_mut(id) else { continue };
            connection.in_turn = false;
            self.read(handler, id, false);
        }
        self.turns.drain(..turns); // behind them stand those of the next tick
    }

    /// Lets a source that has something unread be read without an event.
    pub(super) fn give_turn(&mut self, id: Token) {
        let Some(connection) = self.context.connections.get_mut(id) else { return };
        if connection.unread && !connection.in_turn {
            connection.in_turn = true;
            self.turns.push(id);
        }
    }

    fn dispatch_one(&mut self, handler: &mut impl Handler, event: Event) {
        let id = event.token;
        // A token that names nobody: the source was closed since. Nothing is lost by it.
        let Some(connection) = self.context.connections.get_mut(id) else { return };
        match connection.kind {
            Kind::Listener => return self.accepting.push(id),
            Kind::Signals => return self.signalled.push(id),
            Kind::Socket | Kind::Input | Kind::Output => {}
        }
        if connection.edge {
            connection.unread |= event.readable;
            connection.ending |= event.ended || event.hangup;
        }
        if connection.state == State::Connecting {
            self.establish(handler, id);
            return self.give_turn(id);
        }
        let waits_its_turn = connection.edge && !event.hangup;
        if connection.blocked && (event.writable || event.hangup) {
            connection.blocked = false;
            self.context.touch(id);
        }
        if waits_its_turn {
            self.give_turn(id);
        } else if event.readable || event.hangup {
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

    /// One bounded read, and what it brought. A hang-up is only a hint, and reading tells the
    /// truth: first the bytes that came before it, then the end or the error.
    fn read(&mut self, handler: &mut impl Handler, id: Token, hangup: bool) {
        let Some(connection) = self.context.connections.get(id) else { return };
        let Some(Some(io)) = self.ios.get(id.slot()) else { return };
        let wanted = match connection.state {
            State::Open => connection.reads() && !connection.paused,
            State::Closing | State::Lingering => {
                connection.reads() && connection.kind == Kind::Socket
            }
            State::Connecting | State::Dead(_) => false,
        };
        if !wanted {
            // Of a pipe it says that the writer has left, an ordinary end, which can wait until it
            // is wanted. All others are broken, and where there is nothing to read and nothing to
            // write there is no other way to ask.
            if hangup && connection.kind != Kind::Input && connection.outbox.is_empty() {
                let errno = self.sys.error(io).err().filter(|&errno| errno != Errno::ENOTSOCK);
                self.context.die(id, CloseReason::Failed(errno.unwrap_or(Errno::EPIPE)));
            }
            return; // what is unread gets its turn when it is resumed
        }
        let is_open = connection.state == State::Open;
        let room = if is_open { self.context.room(id) } else { Some(limits::READ_SIZE) };
        let Some(room) = room else {
            // It is read when it is fed; but what is broken gives its name free now.
            if let Some(errno) = hangup.then(|| self.sys.error(io).err()).flatten() {
                self.context.die(id, CloseReason::Failed(errno));
            }
            return;
        };
        let outcome = self.sys.read(io, &mut self.buffer.space()[..room]);
        let cut = outcome == Ok(room) || outcome == Err(Errno::EINTR);
        if let Some(connection) = self.context.connections.get_mut(id) {
            connection.was_read(cut);
        }
        match outcome {
            Ok(0) => return self.end(handler, id),
            Ok(read) => self.show(handler, id, read),
            // Not ready after all (epoll(7) allows that), or interrupted: the kernel will say so
            // again.
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(errno) => return self.context.die(id, CloseReason::Failed(errno)),
        }
        self.give_turn(id);
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
        let before = inbox.rest().len();
        let consumed = inbox.offer(&mut self.buffer, read, |bytes| handler.received(cx, id, bytes));
        cx.kept_in_all -= before;
        let Some(connection) = cx.connections.get_mut(id) else { return };
        if connection.state == State::Open {
            cx.kept_in_all += inbox.rest().len();
            connection.inbox = inbox;
        }
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
        cx.kept_in_all -= inbox.rest().len();
        let only_reads = connection.kind == Kind::Input;
        cx.end_wait(id, Wait::Told(Deadline::Partial));
        cx.touch(id);
        handler.ended(cx, id, inbox.rest());
        if only_reads {
            self.context.close(id);
        }
    }
}
