//! Steps 5 to 7 of the tick: what was queued is written, what is watched is put right, what is dead
//! is closed.
//!
//! Runs once over the sources that this tick touched, and over no others: a thousand idle
//! connections cost nothing.

use std::io::IoSlice;

use nix::errno::Errno;

use super::connection::{Kind, State, Wait};
use super::{CloseReason, Deadline, Handler, Reactor, Sys, Token, Watch};
use crate::limits;

impl<S: Sys> Reactor<S> {
    /// One `writev` of what waits, and what follows when all of it is gone.
    pub(super) fn flush(&mut self, handler: &mut impl Handler, id: Token) {
        let Some(connection) = self.context.connections.get_mut(id) else { return };
        connection.touched = false;
        let Some(Some(io)) = self.ios.get(id.slot()) else { return };
        if connection.can_flush() {
            let mut slices = [IoSlice::new(&[]); limits::SLICES_PER_WRITE];
            let filled = connection.outbox.slices(&mut slices);
            let offered: usize = slices[..filled].iter().map(|slice| slice.len()).sum();
            match self.sys.writev(io, &slices[..filled]) {
                Ok(taken) => self.written(handler, id, taken, taken < offered),
                Err(Errno::EAGAIN) => self.written(handler, id, 0, true),
                Err(Errno::EINTR) => self.written(handler, id, 0, false),
                Err(errno) => return self.context.die(id, CloseReason::Failed(errno)),
            }
        }
        self.finish_if_flushed(id);
    }

    /// The kernel took `taken` bytes. If it has no room for more, it will say when there is;
    /// otherwise what is left is tried in the next tick, for no event would tell.
    fn written(&mut self, handler: &mut impl Handler, id: Token, taken: usize, is_full: bool) {
        let cx = &mut self.context;
        let Some(connection) = cx.connections.get_mut(id) else { return };
        connection.outbox.advance(taken, &mut cx.pool);
        cx.queued_in_all -= taken;
        let behind = !connection.outbox.is_empty();
        let was_behind = std::mem::replace(&mut connection.behind, behind);
        let (always_ready, paused) = (connection.always_ready, connection.paused);
        let in_use = connection.is_in_use();
        let blocked = behind && is_full && !always_ready;
        connection.blocked = blocked;
        let stalled = Wait::Told(Deadline::Stalled);
        if behind {
            if !blocked {
                cx.touch(id);
            }
            if taken > 0 || !was_behind {
                cx.begin_wait(id, stalled); // it took something: its time starts anew
            }
        } else if was_behind || paused {
            cx.end_wait(id, stalled);
            if in_use {
                self.told_late = true;
                handler.drained(cx, id);
            }
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
        self.give_turn(id); // what it sent while it was paused is read now, and forgotten
    }

    /// Tells the kernel what to watch for, where that differs from what it watches for.
    pub(super) fn rearm(&mut self, id: Token) {
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

    /// Closes the descriptor of a dead source, gives its slot free and tells the handler.
    pub(super) fn reap(&mut self, handler: &mut impl Handler, id: Token) {
        let Some(connection) = self.context.connections.get(id) else { return };
        let State::Dead(reason) = connection.state else { return };
        for wait in Wait::ALL {
            self.context.end_wait(id, wait);
        }
        let Some(mut connection) = self.context.connections.remove(id) else { return };
        self.context.queued_in_all -= connection.outbox.clear(&mut self.context.pool);
        self.context.kept_in_all -= connection.inbox.rest().len();
        if connection.kind == Kind::Listener {
            self.resting.retain(|&(listener, _)| listener != id);
        }
        if let Some(io) = self.ios.get_mut(id.slot()).and_then(Option::take) {
            self.sys.close(io);
        }
        self.told_late = true;
        handler.closed(&mut self.context, id, reason);
    }
}
