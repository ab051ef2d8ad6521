//! How users come and go: they connect, register, and are lost.

use super::generator::Generator;
use super::stats::Fault;
use super::user::UserState;
use crate::limits::LOAD_SWEEP;
use crate::reactor::{Context, Time, Token};

impl Generator {
    /// Lets the users connect that are to stay, as many at a time as allowed, until `until` have
    /// begun to. Returns whether all of them are here or were lost.
    pub(super) fn gather(&mut self, cx: &mut Context, until: u32) -> bool {
        let now = cx.now();
        while self.called < until
            && self.coming < self.plan.connecting
            && self.next_start().is_none_or(|start| start <= now)
        {
            self.connect(cx, self.called, now);
            self.called += 1;
        }
        self.called == until && self.coming == 0
    }

    /// Connects a user, who was meant to begin at `start`.
    pub(super) fn connect(&mut self, cx: &mut Context, user: u32, start: Time) {
        let Some(&target) = self.plan.targets.get(self.plan.place(user)) else { return };
        let token = cx.connect(target);
        cx.expect_handshake(token, true);
        self.coming += 1;
        let it = &mut self.users[user as usize];
        it.token = Some(token);
        it.state = UserState::Coming(start);
        if self.by_slot.len() <= token.slot() {
            self.by_slot.resize(token.slot() + 1, u32::MAX);
        }
        self.by_slot[token.slot()] = user;
    }

    /// The user of this connection.
    pub(super) fn user_of(&self, id: Token) -> Option<u32> {
        let user = *self.by_slot.get(id.slot())?;
        self.users.get(user as usize).is_some_and(|it| it.token == Some(id)).then_some(user)
    }

    /// A user is registered. One that is to stay is ready; one that came only for this is done.
    pub(super) fn answered(&mut self, cx: &mut Context, user: u32, id: Token) {
        let UserState::Coming(start) = self.users[user as usize].state else { return };
        cx.expect_handshake(id, false);
        self.coming -= 1;
        if self.is_visitor(user) {
            self.users[user as usize].state = UserState::Leaving;
            self.stats.handle();
            self.stats.finish(start, cx.now());
            cx.close(id);
        } else {
            self.users[user as usize].state = UserState::Ready;
        }
    }

    /// The relay has refused something to a user.
    pub(super) fn refused(&mut self, cx: &mut Context, user: u32, code: &'static str) {
        if self.users[user as usize].state != UserState::Ready {
            return self.lose(cx, user, Fault::Refused(code));
        }
        self.stats.faults.add(Fault::Refused(code), 1);
        self.in_flight -= self.users[user as usize].flight.refuse();
        self.work_on(cx, self.worker_of(user));
    }

    /// A connection is of no use any more.
    pub(super) fn lose(&mut self, cx: &mut Context, user: u32, fault: Fault) {
        let it = &mut self.users[user as usize];
        if matches!(it.state, UserState::Leaving | UserState::Gone) {
            return;
        }
        if let UserState::Coming(start) = it.state {
            self.coming -= 1;
            if self.is_visitor(user) {
                self.stats.fail();
                if !matches!(fault, Fault::Refused(_)) {
                    self.stats.abandon(start, cx.now(), 1);
                }
            }
        }
        let it = &mut self.users[user as usize];
        it.state = UserState::Gone;
        if let Some(token) = it.token {
            cx.abort(token);
        }
        self.stats.faults.add(fault, 1);
        self.without(user, cx.now());
    }

    /// A connection is closed. The place of a user that comes and goes is free for the next one: at
    /// once, or after a failure at the next `sweep`, so that a target that fails is not asked
    /// without pause.
    pub(super) fn left(&mut self, cx: &mut Context, user: u32) {
        let it = &mut self.users[user as usize];
        it.token = None;
        let is_done = it.state == UserState::Leaving;
        if self.is_visitor(user) {
            self.users[user as usize].state = UserState::Absent;
        }
        if is_done {
            self.work_on(cx, user);
        }
    }

    /// Messages of a user that is gone are lost.
    pub(super) fn give_up(&mut self, user: u32, now: Time) {
        let flight = &mut self.users[user as usize].flight;
        flight.starts().for_each(|start| self.stats.abandon(start, now, 1));
        let lost = flight.clear();
        self.in_flight -= lost;
        self.stats.faults.add(Fault::Lost, lost as u64);
    }

    /// Gives up all messages on their way.
    pub(super) fn give_up_all(&mut self, now: Time) {
        for user in 0..self.plan.users() {
            self.give_up(user, now);
            if let UserState::Coming(start) = self.users[user as usize].state
                && self.is_visitor(user)
            {
                self.stats.abandon(start, now, 1);
            }
        }
    }

    /// Looks for messages that do not come, and for workers that rest. Not if this call itself
    /// comes late: then messages may have come and not been read.
    pub(super) fn sweep(&mut self, cx: &mut Context) {
        let now = cx.now();
        let was_away = now.since(self.swept) > 2 * LOAD_SWEEP;
        self.swept = now;
        for user in 0..self.plan.users() {
            if let Some(start) = self.users[user as usize].starts().next() {
                self.stats.wait(start, now);
            }
            let waits = self.users[user as usize].flight.waits_since();
            if !was_away && waits.is_some_and(|since| since + self.plan.timeout <= now) {
                self.lose(cx, user, Fault::Stalled);
            }
        }
        self.start_all(cx);
    }
}
