//! Sends rosters: to which subscriber now, and to which once its queue is empty.
//!
//! No roster is queued behind bytes that the subscriber has not read. So a queue never holds more
//! than one unread list, and that one is the newest.

use super::limits::{LIST_PARTS_PER_TICK, ROSTER_BYTES_PER_TICK, ROSTERS_PER_TICK};
use super::roster::{Notice, Subscriber};
use super::{ROSTER, Relay};
use crate::reactor::{Context, Token};
use crate::wire::{ErrorCode, Refusal, Reply};

impl Relay {
    /// `id` is a subscriber from now on. Its first list goes out with this tick.
    pub(super) fn subscribe(&mut self, id: Token, subscriber: Subscriber) {
        if subscriber != Subscriber::None {
            self.subscribers.push(id);
            self.pending.push(id);
        }
    }

    /// Sends all rosters that are due; called at the end of each tick.
    pub(super) fn announce(&mut self, cx: &mut Context) {
        // Not while most still wait for the last one: otherwise the last of them would never be
        // told.
        let has_told = self.pending.len() <= self.subscribers.len();
        if has_told && self.roster.due().is_some_and(|due| due <= cx.now()) {
            self.roster.gather(cx.now());
            self.subscribers.retain(|&id| self.peers.user(id).is_some());
            self.pending.extend(&self.subscribers);
        }
        let (mut parts, mut told, mut bytes) = (LIST_PARTS_PER_TICK, 0, 0);
        for id in std::mem::take(&mut self.pending) {
            if told >= ROSTERS_PER_TICK || bytes >= ROSTER_BYTES_PER_TICK {
                self.pending.push(id); // in the next tick
                continue;
            }
            if self.peers.user(id).is_some_and(|user| user.subscriber.is_listing()) {
                let Some(left) = usize::checked_sub(parts, 1) else {
                    self.pending.push(id); // in the next tick, after those before it
                    continue;
                };
                parts = left;
            }
            let sent = self.notify(cx, id);
            told += usize::from(sent > 0);
            bytes += sent;
        }
        if self.pending.is_empty() && !self.shares.is_awaited() {
            cx.set_timer(ROSTER, self.roster.due());
        } else {
            tick_again(cx);
        }
    }

    /// Sends `id` its next roster, if its queue is empty; otherwise `drained` adds it again later.
    /// Returns how many bytes were sent.
    fn notify(&mut self, cx: &mut Context, id: Token) -> usize {
        let Some(user) = self.peers.user(id).filter(|_| !cx.has_backlog(id)) else { return 0 };
        let mut subscriber = user.subscriber;
        let notice = self.roster.next_notice(&mut subscriber, &self.peers);
        if let Some(user) = self.peers.user_mut(id) {
            user.subscriber = subscriber;
        }
        let sent = match notice {
            Notice::Nothing => return 0,
            Notice::Frame(frame) => {
                self.roster.spend(frame.len());
                self.was_sent(id, frame.len());
                cx.share(id, &frame);
                frame.len()
            }
            Notice::TooLarge => {
                let refusal =
                    Refusal::new(ErrorCode::RosterTooLarge, "the list of users exceeds a frame");
                let frame = Reply::from(&refusal).encode();
                self.answer(cx, id, &frame);
                frame.len()
            }
        };
        if self.roster.owes(subscriber) {
            self.pending.push(id);
        }
        sent
    }
}

/// Makes the loop tick again without waiting, so that [`Relay::announce`] runs once more.
pub(super) fn tick_again(cx: &mut Context) {
    cx.set_timer(ROSTER, Some(cx.now()));
}
