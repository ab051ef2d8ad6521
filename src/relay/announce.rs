//! Sends rosters: to which subscriber now, and to which once its queue is empty.
//!
//! No roster is queued behind bytes that the subscriber has not read. So a queue never holds more
//! than one unread list, and that one is the newest.

use std::collections::VecDeque;

use super::limits::{
    LIST_PARTS_PER_TICK, ROSTER_BYTES_PER_TICK, ROSTER_INTERVAL_MIN, ROSTERS_PER_TICK,
};
use super::roster::{Notice, Subscriber};
use super::{ROSTER, Relay};
use crate::reactor::{Context, Token};
use crate::wire::{ErrorCode, Refusal, Reply};

/// Subscribers that are to be sent a roster, in order. Each is in one of the two queues, once, so
/// there are no more than connections. Some may be gone.
#[derive(Default)]
pub(super) struct Pending {
    queue: VecDeque<Token>,
    /// Those that came to its front and are to be sent the whole list, in parts.
    listing: VecDeque<Token>,
}

/// What may still be sent in this tick.
struct Budget {
    subscribers: usize,
    bytes: usize,
    parts: usize,
}

impl Pending {
    pub(super) fn len(&self) -> usize {
        self.queue.len() + self.listing.len()
    }
}

impl Budget {
    fn is_spent(&self) -> bool {
        self.subscribers == 0 || self.bytes == 0
    }
}

impl Relay {
    /// `id` is a subscriber from now on. Its first list goes out as soon as a tick has room for it.
    pub(super) fn subscribe(&mut self, id: Token, subscriber: Subscriber) {
        if subscriber != Subscriber::None {
            self.subscribers.push(id);
            self.add_pending(id);
        }
    }

    /// `id` may have to be sent a roster: it is queued, if it is not yet.
    pub(super) fn add_pending(&mut self, id: Token) {
        let Some(peer) = self.peers.get_mut(id) else { return };
        if !std::mem::replace(&mut peer.is_pending, true) {
            self.pending.queue.push_back(id);
        }
    }

    /// Sends all rosters that are due; called at the end of each tick.
    pub(super) fn announce(&mut self, cx: &mut Context) {
        let mut budget = Budget {
            subscribers: ROSTERS_PER_TICK,
            bytes: ROSTER_BYTES_PER_TICK,
            parts: LIST_PARTS_PER_TICK,
        };
        self.send_pending(cx, &mut budget);
        // Not while some wait for the last batch: so nearly all are sent the same.
        let is_due = self.roster.due().is_some_and(|due| due <= cx.now());
        if is_due && self.pending.queue.is_empty() {
            self.roster.gather(cx.now());
            let mut subscribers = std::mem::take(&mut self.subscribers);
            subscribers.retain(|&id| self.peers.user(id).is_some());
            for &id in &subscribers {
                self.add_pending(id);
            }
            self.subscribers = subscribers;
            self.send_pending(cx, &mut budget);
        }
        if self.shares.is_awaited() {
            tick_again(cx);
        } else if self.pending.len() == 0 {
            cx.set_timer(ROSTER, self.roster.due());
        } else if self.is_scarce(cx) {
            cx.set_timer(ROSTER, Some(cx.now() + ROSTER_INTERVAL_MIN));
        } else {
            tick_again(cx);
        }
    }

    /// Sends those that are pending one frame each, until the budget of this tick is spent or no
    /// memory is left for what they do not read.
    fn send_pending(&mut self, cx: &mut Context, budget: &mut Budget) {
        while budget.parts > 0 && !budget.is_spent() && !self.is_scarce(cx) {
            let Some(id) = self.pending.listing.pop_front() else { break };
            budget.parts -= usize::from(self.peers.user(id).is_some());
            self.send_next(cx, id, budget);
        }
        // Those that are to be sent more are queued again, for a later tick.
        for _ in 0..self.pending.queue.len() {
            if budget.is_spent() || self.is_scarce(cx) {
                break;
            }
            let Some(id) = self.pending.queue.pop_front() else { break };
            let subscriber = self.peers.user(id).map(|user| user.subscriber);
            if !subscriber.is_some_and(|subscriber| self.roster.lists(subscriber)) {
                self.send_next(cx, id, budget);
            } else if budget.parts > 0 {
                budget.parts -= 1;
                self.send_next(cx, id, budget);
            } else {
                self.pending.listing.push_back(id);
            }
        }
    }

    /// Sends `id`, which was at the front, its next frame, unless it is gone or has not registered.
    fn send_next(&mut self, cx: &mut Context, id: Token, budget: &mut Budget) {
        if let Some(peer) = self.peers.get_mut(id) {
            peer.is_pending = false;
        }
        let sent = self.notify(cx, id);
        budget.subscribers -= usize::from(sent > 0);
        budget.bytes = budget.bytes.saturating_sub(sent);
    }

    /// Sends `id` its next roster, if its queue is empty; otherwise `drained` adds it again later.
    /// Returns how many bytes were sent.
    fn notify(&mut self, cx: &mut Context, id: Token) -> usize {
        let Some(user) = self.peers.user(id).filter(|_| !cx.has_backlog(id)) else { return 0 };
        let mut subscriber = user.subscriber;
        let notice = match &self.cluster {
            None => self.roster.next_notice(&mut subscriber, &self.peers),
            Some(cluster) => self.roster.next_notice(&mut subscriber, cluster.everybody()),
        };
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
            self.add_pending(id);
        }
        sent
    }
}

/// Makes the loop tick again without waiting, so that [`Relay::announce`] runs once more.
pub(super) fn tick_again(cx: &mut Context) {
    cx.set_timer(ROSTER, Some(cx.now()));
}
