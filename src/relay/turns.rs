//! Waiting for one's turn: who has spent the rate of its address is not read until then.
//!
//! Nothing is put aside but what the reactor keeps of a connection anyway: its unconsumed bytes,
//! which are shown again when it goes on. So a frame that has to wait is read twice, and held by
//! nobody else.

use super::peer::Patience;
use super::rates::{Toll, Turn};
use super::{Relay, TURNS};
use crate::reactor::{Context, Token};

impl Relay {
    /// Whether `id` may go on with what costs `toll`. If not, nothing more is read from it until
    /// its turn comes.
    pub(super) fn may_pass(&mut self, cx: &mut Context, id: Token, toll: Toll) -> bool {
        let Some(peer) = self.peers.get_mut(id) else { return false };
        let now = cx.now();
        let (at, patience) = match self.rates.spend(peer.origin, toll, now) {
            Turn::Now => return true,
            Turn::At(at) => (at, Patience::Turn(toll)),
            Turn::Ask(at) => (at, Patience::Again(toll)),
        };
        peer.patience = patience;
        self.counters.held_back[toll as usize] += 1;
        self.turns.insert((at, id));
        cx.pause(id);
        self.await_turns(cx);
        false
    }

    /// Lets those go on whose turn has come. Some are gone by now.
    pub(super) fn take_turns(&mut self, cx: &mut Context) {
        while let Some(&(at, id)) = self.turns.first().filter(|(at, _)| *at <= cx.now()) {
            self.turns.remove(&(at, id));
            let Some(peer) = self.peers.get_mut(id) else { continue };
            if peer.who().is_none() {
                continue; // it is leaving, and pays for nothing more
            }
            // Of a frame that has not been paid for it is asked when it is shown again.
            let (patience, asks_again) = match peer.patience {
                Patience::Turn(Toll::Claim) => (Patience::Paid, false),
                Patience::Again(Toll::Connect) => (Patience::None, true),
                _ => (Patience::None, false),
            };
            peer.patience = patience;
            if asks_again && !self.may_pass(cx, id, Toll::Connect) {
                continue;
            }
            if self.peers.get(id).is_some_and(|peer| !peer.held) {
                cx.resume(id);
            }
        }
        self.await_turns(cx);
    }

    /// `id` has had enough for this tick: it goes on in the next.
    pub(super) fn end_turn(&mut self, cx: &mut Context, id: Token) {
        if let Some(peer) = self.peers.get_mut(id) {
            peer.held = true;
            cx.pause(id);
            self.yielded.push(id);
        }
    }

    /// At the end of the tick: those that had enough go on in the next one, unless too much waits
    /// for them.
    pub(super) fn go_on(&mut self, cx: &mut Context) {
        for id in std::mem::take(&mut self.yielded) {
            if !self.is_full(cx, id) {
                self.read_again(cx, id);
            }
        }
    }

    fn await_turns(&self, cx: &mut Context) {
        cx.alarm(TURNS, self.turns.first().map(|&(at, _)| at));
    }
}
