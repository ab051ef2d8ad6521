//! What the workers do: when an operation starts, what its messages are, and when it is done.
//!
//! A worker is a pair of users, or a single one. It starts its next operation
//! when the schedule says so and the ones before it leave room; without a schedule, when they leave
//! room.

use super::generator::Generator;
use super::payload::Label;
use super::plan::Work;
use super::user::UserState;
use crate::limits::LOAD_AGES;
use crate::reactor::{Context, Time};

/// Why operations start now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// The schedule says so.
    Due,
    /// Something that delayed those that are due is over.
    Room,
}

impl Generator {
    /// All workers start what they can.
    pub(super) fn start_all(&mut self, cx: &mut Context) {
        for worker in 0..self.plan.workers {
            self.work_on(cx, worker);
        }
    }

    /// The starts that are due go to the workers, to one after the other.
    pub(super) fn start_due(&mut self, cx: &mut Context) {
        let Some(schedule) = self.schedule else { return };
        let due = schedule.due(cx.now()).min(self.starts);
        let new = due.saturating_sub(self.handed_out);
        if new == 0 {
            return;
        }
        self.stats.offer(schedule.start(self.handed_out), new);
        self.handed_out = due;
        let workers = self.plan.workers;
        let first = self.turn;
        let called = u32::try_from(new).map_or(workers, |new| new.min(workers));
        self.turn = (first + u32::try_from(new % u64::from(workers)).unwrap_or(0)) % workers;
        for step in 0..called {
            self.start_on(cx, (first + step) % workers, Cause::Due);
        }
    }

    /// A worker starts as many operations as are due and have room.
    pub(super) fn work_on(&mut self, cx: &mut Context, worker: u32) {
        self.start_on(cx, worker, Cause::Room);
    }

    fn start_on(&mut self, cx: &mut Context, worker: u32, cause: Cause) {
        while self.is_running() && self.has_room(worker) {
            let Some(start) = self.due(cx, worker) else { return };
            match self.plan.work {
                Work::Connect => self.connect(cx, worker, start),
                Work::Echo | Work::PingPong | Work::Flood { .. } => {
                    let Some(to) = self.addressee(worker) else { return };
                    self.send(cx, self.first_of(worker), to, start);
                }
            }
            self.workers[worker as usize].starts += 1;
            self.acts += 1;
            if self.schedule.is_none() {
                self.stats.offer(start, 1);
            } else if cause == Cause::Due {
                self.stats.start_free(start, cx.now());
            }
        }
    }

    /// When the worker's next operation is meant to start, if that is not in the future.
    fn due(&self, cx: &Context, worker: u32) -> Option<Time> {
        let Some(schedule) = &self.schedule else { return Some(cx.now()) };
        let index = self.next_index(worker);
        (index < self.handed_out).then(|| schedule.start(index))
    }

    /// Which start of the schedule is the worker's next.
    fn next_index(&self, worker: u32) -> u64 {
        let rounds = self.workers[worker as usize].starts;
        u64::from(worker).saturating_add(rounds.saturating_mul(u64::from(self.plan.workers)))
    }

    /// Whether a worker has not started all that is due.
    pub(super) fn has_backlog(&self) -> bool {
        let waits = |it: u32| self.next_index(it) < self.handed_out;
        self.schedule.is_some()
            && (0..self.plan.workers).any(|it| !self.workers[it as usize].is_out && waits(it))
    }

    /// What the schedule still has is not due and will not be: it counts, and has no latency.
    pub(super) fn offer_rest(&mut self) {
        let Some(schedule) = self.schedule.filter(|_| self.stats.is_open()) else { return };
        let rest = self.starts.saturating_sub(self.handed_out);
        self.stats.offer(schedule.start(self.handed_out), rest);
        self.stats.leave(schedule.start(self.handed_out), rest);
    }

    /// What is due and has not started will not start any more.
    pub(super) fn leave_unstarted(&mut self, now: Time) {
        let Some(schedule) = self.schedule else { return };
        let workers = u64::from(self.plan.workers);
        for worker in 0..self.plan.workers {
            let mut index = self.next_index(worker);
            let mut left = self.handed_out.saturating_sub(index).div_ceil(workers);
            self.stats.leave(schedule.start(index), left);
            let portion = left.div_ceil((LOAD_AGES / workers).max(1)).max(1);
            while left > 0 {
                let count = portion.min(left);
                let last = index + (count - 1) * workers; // the youngest of them
                self.stats.abandon(schedule.start(last), now, count);
                index += count * workers;
                left -= count;
            }
        }
    }

    /// Whether a user comes only to leave again.
    pub(super) fn is_visitor(&self, user: u32) -> bool {
        self.plan.work == Work::Connect && user < self.plan.users()
    }

    /// The user of a worker who sends, or the first who does.
    fn first_of(&self, worker: u32) -> u32 {
        self.plan.work.width() * worker
    }

    pub(super) fn worker_of(&self, user: u32) -> u32 {
        user / self.plan.work.width()
    }

    fn has_room(&self, worker: u32) -> bool {
        if self.plan.work == Work::Connect {
            return self.users[worker as usize].state == UserState::Absent;
        }
        let place = self.first_of(worker) as usize;
        let first = &self.users[place];
        let window = match self.plan.work {
            Work::Flood { window, .. } => window,
            Work::Connect | Work::Echo | Work::PingPong => 1,
        };
        let answers = match self.plan.work {
            Work::PingPong => self.users[place + 1].flight.pending(),
            _ => 0,
        };
        first.state == UserState::Ready && first.flight.pending() + answers < window
    }

    /// The addressee of the worker's next message; none if nobody is there.
    fn addressee(&mut self, worker: u32) -> Option<u32> {
        let sender = self.first_of(worker);
        if self.plan.work == Work::Echo {
            return Some(sender);
        }
        let is_there = |it: u32| it != sender && self.users[it as usize].state == UserState::Ready;
        if !self.plan.work.is_mesh() {
            return Some(sender + 1).filter(|&it| is_there(it));
        }
        let count = self.plan.users();
        let first = draw(&mut self.random, count);
        (0..count).map(|step| (first + step) % count).find(|&it| is_there(it))
    }

    fn send(&mut self, cx: &mut Context, from: u32, to: u32, start: Time) {
        let sender = &mut self.users[from as usize];
        let Some(token) = sender.token else { return };
        let number = sender.flight.depart(to, start, cx.now());
        let message = self.payload.write(&Label { from, to, number });
        cx.send(token, &self.protocol.parts(message));
        self.in_flight += 1;
    }

    /// A message of `from`, in an operation that was meant to begin at `start`, has come to `at`.
    pub(super) fn arrived(&mut self, cx: &mut Context, at: u32, from: u32, start: Time) {
        let is_ping = self.plan.work == Work::PingPong && from < at;
        if is_ping {
            return self.send(cx, at, from, start);
        }
        self.stats.finish(start, cx.now());
        self.work_on(cx, self.worker_of(from));
    }

    /// A user is gone, and with it the messages that it had sent, those on their way to it, and the
    /// operations that need it.
    pub(super) fn without(&mut self, user: u32, now: Time) {
        if user >= self.plan.users() || self.is_visitor(user) {
            return;
        }
        self.give_up(user, now);
        let is_mesh = self.plan.work.is_mesh();
        if !is_mesh && self.plan.work.width() == 2 {
            self.give_up(user ^ 1, now);
        }
        let worker = self.worker_of(user);
        let worker = &mut self.workers[worker as usize];
        let is_needed = !is_mesh || user.is_multiple_of(2); // in a mesh others can be written to
        if is_needed && !worker.is_out {
            worker.is_out = true;
            self.working -= 1;
        }
    }
}

/// A pseudo-random number below `below`; the sequence is the same in each run (xorshift64*, Vigna
/// 2016).
fn draw(state: &mut u64, below: u32) -> u32 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    let drawn = state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
    u32::try_from((drawn * u64::from(below)) >> 32).unwrap_or(0)
}
