//! Telling the roster: which receiver is told now, and which when its queue is empty.
//!
//! Nothing of a roster is queued behind something that the receiver has not read: so there is never
//! more than one unread list in a queue, and the newest.

use super::roster::{Notice, Receiver};
use super::{ROSTER, Relay};
use crate::limits::LIST_PARTS_PER_TICK;
use crate::reactor::{Context, Token};
use crate::wire::{ErrorCode, Refusal, Reply};

impl Relay {
    /// `id` is a receiver from now on. Its first list goes out with this tick.
    pub(super) fn subscribe(&mut self, id: Token, receiver: Receiver) {
        if receiver != Receiver::None {
            self.receivers.push(id);
            self.owed.push(id);
        }
    }

    /// Tells all that is due: at the end of each tick.
    pub(super) fn announce(&mut self, cx: &mut Context) {
        if self.roster.due().is_some_and(|due| due <= cx.now()) {
            self.roster.gather(cx.now());
            self.receivers.retain(|&id| self.peers.user(id).is_some());
            self.owed.clone_from(&self.receivers);
        }
        let mut parts = LIST_PARTS_PER_TICK;
        for id in std::mem::take(&mut self.owed) {
            if self.peers.user(id).is_some_and(|user| user.receiver.is_listing()) {
                let Some(left) = usize::checked_sub(parts, 1) else {
                    self.owed.push(id); // in the next tick, after those before it
                    continue;
                };
                parts = left;
            }
            self.notify(cx, id);
        }
        if self.owed.is_empty() && !self.shares.is_awaited() {
            cx.alarm(ROSTER, self.roster.due());
        } else {
            tick_again(cx);
        }
    }

    /// Tells `id` the next thing that it is owed. One that is reading comes back when its queue is
    /// empty.
    fn notify(&mut self, cx: &mut Context, id: Token) {
        let Some(user) = self.peers.user(id).filter(|_| !cx.is_behind(id)) else { return };
        let mut receiver = user.receiver;
        let notice = self.roster.next_notice(&mut receiver, &self.peers);
        if let Some(user) = self.peers.user_mut(id) {
            user.receiver = receiver;
        }
        match notice {
            Notice::Nothing => return,
            Notice::Frame(frame) => {
                self.roster.spend(frame.len());
                self.was_sent(id, frame.len());
                cx.share(id, &frame);
            }
            Notice::TooLarge => {
                let refusal =
                    Refusal::new(ErrorCode::RosterTooLarge, "the list of users exceeds a frame");
                self.answer(cx, id, &Reply::from(&refusal).encode());
            }
        }
        if self.roster.owes(receiver) {
            self.owed.push(id);
        }
    }
}

/// Makes the loop turn once more, so that [`Relay::announce`] has another look.
pub(super) fn tick_again(cx: &mut Context) {
    cx.alarm(ROSTER, Some(cx.now()));
}
