//! Connections that have to wait: one whose address has spent its rate is not read until its turn
//! comes, and one that has spent its share of a tick is not read before the next tick.
//!
//! A share is counted in work and not in bytes, because small frames cost more than large ones. A
//! connection has one turn in a tick, and all connections of one address have a few turns together.
//! Those that find none left wait in a line, and the first of the line go on in the next tick. So
//! 256 connections of one address take no more of a tick than four, and nobody else waits longer
//! because of them. The more addresses wait, the less each is given in a tick, and the shorter a
//! turn is; beyond some number they are given it in turn. What one did beyond its share is taken
//! from its next ones. Connections of this machine do not share their turns, unless
//! `--rates-loopback` is given: behind a proxy all are of one address.
//!
//! The relay keeps nothing for a connection that waits: its bytes stay unconsumed in the reactor,
//! which shows them again when the connection goes on. So a frame that has to wait is scanned
//! twice.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use super::limits::{ADDRESSES_PER_TICK, LEAST_SHARE, WORK_A_TURN, WORK_AN_ADDRESS, WORK_PER_TICK};
use super::peer::Throttle;
use super::rates::{Admission, Origin, RateClass};
use super::{Relay, THROTTLED};
use crate::reactor::{Context, Token};

/// The work of each address, and the connections that wait for the next tick.
pub(super) struct Shares {
    /// What each address may do in a tick: less, the more of them wait.
    share: usize,
    /// Work of this tick, of all addresses.
    work: usize,
    /// Work that an address has done and not been given yet. It has only addresses of this tick and
    /// those that did more than their share.
    done: BTreeMap<Origin, usize>,
    /// The connections that wait, each once. Some of them may be gone.
    lines: BTreeMap<Origin, VecDeque<Token>>,
    /// The address that was given its share last.
    last: Origin,
}

impl Default for Shares {
    fn default() -> Self {
        let (done, lines) = (BTreeMap::new(), BTreeMap::new());
        Self { share: WORK_AN_ADDRESS, work: 0, done, lines, last: Origin::EXEMPT }
    }
}

impl Shares {
    pub(super) fn is_spent(&self, origin: Origin) -> bool {
        self.done.get(&origin).is_some_and(|&done| done >= self.share())
    }

    /// What an address may do in this tick. How many will come is only known when they have come.
    fn share(&self) -> usize {
        if self.work < WORK_PER_TICK { self.share } else { LEAST_SHARE }
    }

    /// Work of one turn of a connection of `origin`, after which the turn is over.
    pub(super) fn turn(&self, origin: Origin) -> usize {
        if origin == Origin::EXEMPT { WORK_A_TURN } else { self.share().min(WORK_A_TURN) }
    }

    /// How many connections of `origin` may have a turn in the next tick: not more than find a
    /// share left, for those would lose their place in the line.
    fn turns(&self, origin: Origin) -> usize {
        let done = self.done.get(&origin).copied().unwrap_or_default();
        self.share.saturating_sub(done).div_ceil(1 + WORK_A_TURN)
    }

    /// Counts what was done for a connection of `origin`.
    pub(super) fn count(&mut self, origin: Origin, work: usize) {
        *self.done.entry(origin).or_default() += work;
        self.work += work;
    }

    /// Whether any connection waits.
    pub(super) fn is_awaited(&self) -> bool {
        !self.lines.is_empty()
    }

    /// The addresses that are given a share of the next tick, in turn if they are many. Those that
    /// wait for nothing are given theirs too.
    fn give(&mut self) -> Vec<Origin> {
        let after = self.lines.range((Bound::Excluded(self.last), Bound::Unbounded));
        let in_turn = after.chain(self.lines.range(..=self.last)).map(|(&origin, _)| origin);
        let given: Vec<Origin> = in_turn.take(ADDRESSES_PER_TICK).collect();
        self.last = given.last().copied().unwrap_or(Origin::EXEMPT);
        self.work = 0;
        self.share = (WORK_PER_TICK / given.len().max(1)).min(WORK_AN_ADDRESS);
        let (share, lines) = (self.share, &self.lines);
        let give = |done: &mut usize| {
            *done = done.saturating_sub(share);
            *done > 0
        };
        self.done.retain(|origin, done| lines.contains_key(origin) || give(done));
        for origin in &given {
            if self.done.get_mut(origin).is_some_and(|done| !give(done)) {
                self.done.remove(origin);
            }
        }
        given
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

    /// At the end of the tick: the first in the lines go on in the next one, unless too much waits
    /// for them.
    pub(super) fn go_on(&mut self, cx: &mut Context) {
        for origin in self.shares.give() {
            let mut turns = self.shares.turns(origin);
            if turns == 0 {
                continue;
            }
            let Some(mut line) = self.shares.lines.remove(&origin) else { continue };
            while (turns > 0 || origin == Origin::EXEMPT)
                && let Some(id) = line.pop_front()
            {
                if self.is_full(cx, id)
                    && let Some(peer) = self.peers.get_mut(id)
                {
                    peer.held = true; // until its queue is empty
                }
                turns = turns.saturating_sub(usize::from(self.leave_line(cx, id)));
            }
            if !line.is_empty() {
                self.shares.lines.insert(origin, line);
            }
        }
    }

    /// `id` has left its line: it is read again, unless it waits for something else. Returns
    /// whether it is.
    pub(super) fn leave_line(&mut self, cx: &mut Context, id: Token) -> bool {
        let Some(peer) = self.peers.get_mut(id) else { return false };
        peer.in_line = false;
        let goes_on = !peer.is_waiting();
        if goes_on {
            cx.resume(id);
        }
        goes_on
    }

    fn set_throttle_timer(&self, cx: &mut Context) {
        cx.set_timer(THROTTLED, self.throttled.first().map(|&(at, _)| at));
    }
}
