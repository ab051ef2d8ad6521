//! Connections that have to wait: one whose address has spent its rate is not read until its turn
//! comes, and one that has spent its share of a tick is not read before the next tick.
//!
//! A share is counted in work and not in bytes, because small frames cost more than large ones. A
//! connection has one turn in a tick, and all connections of one address have a few turns together.
//! Those that find none left wait in a line, and the first of the line go on in the next tick. So
//! 256 connections of one address take no more of a tick than four, and nobody else waits longer
//! because of them. Connections of this machine do not share their turns, unless `--rates-loopback`
//! is given: behind a proxy all are of one address.
//!
//! The relay keeps nothing for a connection that waits: its bytes stay unconsumed in the reactor,
//! which shows them again when the connection goes on. So a frame that has to wait is scanned
//! twice.

use std::collections::{BTreeMap, VecDeque};

use super::limits::{WORK_A_TURN, WORK_AN_ADDRESS};
use super::peer::Throttle;
use super::rates::{Admission, Origin, RateClass};
use super::{Relay, THROTTLED};
use crate::reactor::{Context, Token};

/// The work of each address in this tick, and the connections that wait for the next one.
#[derive(Default)]
pub(super) struct Shares {
    /// Work of this tick. It has only addresses that were read in this tick.
    done: BTreeMap<Origin, usize>,
    /// The connections that wait, each once. Some of them may be gone.
    lines: BTreeMap<Origin, VecDeque<Token>>,
}

impl Shares {
    pub(super) fn is_spent(&self, origin: Origin) -> bool {
        self.done.get(&origin).is_some_and(|&done| done >= WORK_AN_ADDRESS)
    }

    /// Counts what was done for a connection of `origin`.
    pub(super) fn count(&mut self, origin: Origin, work: usize) {
        *self.done.entry(origin).or_default() += work;
    }

    /// Whether any connection waits.
    pub(super) fn is_awaited(&self) -> bool {
        !self.lines.is_empty()
    }
}

impl Relay {
    /// Whether `id` may go on with what costs `class`. If not, nothing more is read from it until
    /// its turn comes.
    pub(super) fn may_pass(&mut self, cx: &mut Context, id: Token, class: RateClass) -> bool {
        let Some(peer) = self.peers.get_mut(id) else { return false };
        let now = cx.now();
        let (at, throttle) = match self.rates.spend(peer.origin, class, now) {
            Admission::Now => return true,
            Admission::At(at) => (at, Throttle::Until(class)),
            Admission::RetryAt(at) => (at, Throttle::AskAgain(class)),
        };
        peer.throttle = throttle;
        self.counters.held_back[class as usize] += 1;
        self.throttled.insert((at, id));
        cx.pause(id);
        self.set_throttle_timer(cx);
        false
    }

    /// Lets those connections go on whose turn has come. Some may be gone by now.
    pub(super) fn resume_throttled(&mut self, cx: &mut Context) {
        while let Some(&(at, id)) = self.throttled.first().filter(|(at, _)| *at <= cx.now()) {
            self.throttled.remove(&(at, id));
            let Some(peer) = self.peers.get_mut(id) else { continue };
            if peer.who().is_none() {
                continue; // it is leaving, and needs no turn any more
            }
            // A frame that has not been paid for (`AskAgain(Claim)`) asks for its rate when it is
            // read again.
            let (throttle, asks_again) = match peer.throttle {
                Throttle::Until(RateClass::Claim) => (Throttle::Paid, false),
                Throttle::AskAgain(RateClass::Connect) => (Throttle::None, true),
                _ => (Throttle::None, false),
            };
            peer.throttle = throttle;
            if asks_again && !self.may_pass(cx, id, RateClass::Connect) {
                continue;
            }
            if self.peers.get(id).is_some_and(|peer| !peer.is_waiting()) {
                cx.resume(id);
            }
        }
        self.set_throttle_timer(cx);
    }

    /// The turn of `id` is over: it goes on in the next tick, or once those of its address that
    /// wait before it have had theirs.
    pub(super) fn end_turn(&mut self, cx: &mut Context, id: Token) {
        if let Some(peer) = self.peers.get_mut(id)
            && !std::mem::replace(&mut peer.in_line, true)
        {
            cx.pause(id);
            self.shares.lines.entry(peer.origin).or_default().push_back(id);
        }
    }

    /// At the end of the tick: the first in each line go on in the next one, unless too much waits
    /// for them.
    pub(super) fn go_on(&mut self, cx: &mut Context) {
        self.shares.done.clear();
        if !self.shares.is_awaited() {
            return;
        }
        let mut lines = std::mem::take(&mut self.shares.lines);
        lines.retain(|&origin, line| {
            let mut turns = WORK_AN_ADDRESS / WORK_A_TURN;
            while (turns > 0 || origin == Origin::EXEMPT)
                && let Some(id) = line.pop_front()
            {
                let is_full = self.is_full(cx, id);
                let Some(peer) = self.peers.get_mut(id) else { continue };
                peer.in_line = false;
                peer.held |= is_full; // until its queue is empty
                if !peer.is_waiting() {
                    cx.resume(id);
                    turns = turns.saturating_sub(1);
                }
            }
            !line.is_empty()
        });
        self.shares.lines = lines;
    }

    fn set_throttle_timer(&self, cx: &mut Context) {
        cx.set_timer(THROTTLED, self.throttled.first().map(|&(at, _)| at));
    }
}
