//! Step 4 of the tick: whose time has passed.
//!
//! A process that was stopped (`SIGSTOP`), or did not get the processor, finds that times have
//! passed, while what others did in time waits in the kernel. So there is one rule for all
//! deadlines and alarms: *they are told when all that was ready at their time has been dispatched.*
//! How far that is, the [`Horizon`] knows. It costs a wait that does not sleep for each instant at
//! which something is due: the loop sleeps until then, and asks once more before it tells.

use super::connection::{State, Wait};
use super::{Alarm, CloseReason, Deadline, Handler, Reactor, Sys, Time, Token};
use crate::limits;

/// The instant up to which the loop has seen everything: what was ready then has been dispatched.
#[derive(Default)]
pub(super) struct Horizon {
    seen: Time,
    /// While the kernel has more to tell than one wait brings: when that began, and how many
    /// sources may have been ready then and not told yet.
    round: Option<(Time, usize)>,
}

impl Horizon {
    /// The kernel was asked at the instant `asked` or later, and told of `events` of the `sources`
    /// that there are. (A wait that was interrupted has told nothing, and is not reported here.)
    ///
    /// The kernel's list is a queue: who was told and is still ready goes to its end. So after as
    /// many events as there were sources, everybody has been told who was ready when the round
    /// began, however busy the others are.
    pub(super) fn looked(&mut self, asked: Time, events: usize, sources: usize) {
        let (began, untold) = self.round.take().unwrap_or((asked, sources));
        let untold = untold.saturating_sub(events);
        if events < limits::EVENTS_PER_TICK {
            self.seen = asked;
        } else if untold == 0 {
            self.seen = began;
        } else {
            self.round = Some((began, untold));
        }
    }
}

impl<S: Sys> Reactor<S> {
    pub(super) fn tell_deadlines(&mut self, handler: &mut impl Handler) {
        let seen = self.horizon.seen;
        let mut undecided = Vec::new();
        while let Some((kind, id)) = self.context.deadlines.expired(seen) {
            let Some(connection) = self.context.connections.get_mut(id) else { continue };
            connection.waits[kind] = None;
            let wait = Wait::ALL[kind];
            if connection.is_undecided(wait) {
                undecided.push((wait, id));
            } else {
                self.tell_deadline(handler, id, wait);
            }
        }
        for (wait, id) in undecided {
            self.context.wait_on(id, wait);
        }
        for number in 0..Alarm::COUNT {
            if self.context.alarms[number].is_some_and(|at| at <= seen) {
                self.context.alarms[number] = None;
                #[allow(clippy::cast_possible_truncation)] // COUNT is 8
                handler.alarm(&mut self.context, Alarm(number as u8));
            }
        }
    }

    fn tell_deadline(&mut self, handler: &mut impl Handler, id: Token, wait: Wait) {
        let Some(connection) = self.context.connections.get(id) else { return };
        match wait {
            Wait::Told(_) if !connection.is_in_use() => {}
            Wait::Told(deadline) => handler.expired(&mut self.context, id, deadline),
            Wait::Finish if connection.state == State::Lingering => {
                // It was sent all there was, and only did not say goodbye.
                self.context.die(id, CloseReason::Closed);
            }
            Wait::Finish => self.context.abort(id),
        }
    }
}

impl super::connection::Connection {
    /// Whether this tick has begun what decides that `wait` was long enough, and the next shows how
    /// it ends: a frame of which more is there than one read brings, or bytes for which there is
    /// room again. Asked once for each read and each event.
    fn is_undecided(&mut self, wait: Wait) -> bool {
        match wait {
            Wait::Told(Deadline::Partial) => std::mem::take(&mut self.cut) && !self.starved,
            Wait::Told(Deadline::Stalled) | Wait::Finish => self.can_flush(),
            Wait::Told(Deadline::Expected) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_horizon_moves_with_a_list_that_ends_and_with_a_whole_round() {
        const FULL: usize = limits::EVENTS_PER_TICK;
        let at = Time::from_nanos;
        let mut horizon = Horizon::default();
        // When asked, how many events of how many sources, and what has been seen then.
        let looks = [
            (10, 3, 9, 10),
            (20, FULL, 3 * FULL, 10),
            (30, FULL, 9 * FULL, 10), // newcomers were not ready when the round began
            (40, FULL, 9 * FULL, 20),
            (50, FULL, 2 * FULL, 20),
            (60, FULL - 1, 2 * FULL, 60),
            (70, FULL, FULL, 70),
        ];
        for (asked, events, sources, seen) in looks {
            horizon.looked(at(asked), events, sources);
            assert_eq!(horizon.seen, at(seen), "asked at {asked}");
        }
    }
}
