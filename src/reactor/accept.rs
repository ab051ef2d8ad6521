//! Step 3 of the tick: newcomers, and what handlers asked to have opened.
//!
//! Both end in `install`: a descriptor gets its slot and is watched. Accepting has a budget, and
//! knows what to do when there are no descriptors left.

use nix::errno::Errno;

use super::connection::{Connection, Kind, State};
use super::context::Asked;
use super::sys::is_exhaustion;
use super::{CloseReason, Handler, Opened, Reactor, Sys, Token, Watch};
use crate::limits;

impl<S: Sys> Reactor<S> {
    pub(super) fn accept(&mut self, handler: &mut impl Handler) {
        self.end_rests();
        let mut turned_away = 0;
        for listener in std::mem::take(&mut self.accepting) {
            let mut budget = 0..limits::ACCEPTS_PER_TICK;
            while turned_away < limits::TURNED_AWAY_PER_TICK
                && budget.next().is_some()
                && self.accept_one(handler, listener, &mut turned_away)
            {}
        }
    }

    /// Takes in a newcomer; tells whether there may be another, and counts whom the handler turns
    /// away at once.
    fn accept_one(
        &mut self,
        handler: &mut impl Handler,
        listener: Token,
        turned_away: &mut usize,
    ) -> bool {
        // The handler may have closed or paused it since the event, or on seeing the newcomer
        // before.
        if !self.context.connections.get(listener).is_some_and(Connection::can_receive) {
            return false;
        }
        let Some(Some(io)) = self.ios.get(listener.slot()) else { return false };
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
                self.rest(listener);
                handler.exhausted(&mut self.context, listener, errno);
                false
            }
            // The newcomer left before it was served, or brought a network error along: accept(2)
            // asks to treat these like EAGAIN, and the next in the backlog may be well.
            Err(_) => true,
        }
    }

    /// Out of descriptors or memory: a backlog that cannot be accepted would show as readable
    /// without end, so the listener is not watched for a while. Whoever waits longest is told by
    /// being turned away.
    fn rest(&mut self, listener: Token) {
        let Some(Some(io)) = self.ios.get(listener.slot()) else { return };
        self.sys.turn_away(io);
        self.resting.push((listener, self.context.now + limits::LISTENER_REST));
        self.context.set_resting(listener, true);
    }

    fn end_rests(&mut self) {
        let now = self.context.now;
        let rested: Vec<_> = self.resting.extract_if(.., |(_, until)| *until <= now).collect();
        for (listener, _) in rested {
            self.context.set_resting(listener, false);
        }
    }

    pub(super) fn open_asked(&mut self, handler: &mut impl Handler) {
        for (id, asked) in std::mem::take(&mut self.context.asked) {
            let Some(connection) = self.context.connections.get(id) else { continue };
            let in_use = connection.is_in_use();
            if !in_use && !connection.can_flush() {
                self.context.die(id, CloseReason::Closed); // its handler thought better of it
                continue;
            }
            let opened = match asked {
                Asked::Listen(at) => {
                    self.sys.listen(at).map(|(io, at)| (io, Some(Opened::Listening(at))))
                }
                // Told when it is decided: see `establish`.
                Asked::Connect(to) => self.sys.connect(to).map(|io| (io, None)),
                Asked::Open(source) => self.sys.open(&source).map(|io| (io, Some(Opened::Source))),
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

    /// Puts a descriptor in its place and has it watched. Not so: it is closed at the end of the
    /// tick.
    fn install(&mut self, id: Token, io: S::Io) -> bool {
        let Some(connection) = self.context.connections.get_mut(id) else { return false };
        let wanted = connection.wanted();
        let watched = self.sys.watch(&io, id, wanted, Watch::Begin);
        *self.ios.reach(id.slot(), || None) = Some(io);
        match watched {
            Ok(()) => connection.armed = wanted,
            Err(Errno::EPERM) => {
                connection.always_ready = true;
                connection.unread = connection.reads();
                self.give_turn(id);
            }
            Err(errno) => {
                self.context.die(id, CloseReason::Failed(errno));
                return false;
            }
        }
        self.context.touch(id); // something may have been queued before there was a descriptor
        true
    }
}
