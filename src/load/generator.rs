//! The generator: users on one loop, who come, work and are counted.
//!
//! Pure, like the relay that it measures: it is a [`Handler`], owns no descriptor and asks no clock. A run goes
//! through its stages in order:
//!
//! ```text
//!   Gather ──────────▶ WarmUp ──────────▶ Measure ──────────▶ Drain ──────────▶ Done
//!   users connect      they work, and     what happens        nothing starts;
//!   and register       nothing counts     counts              what is on its way arrives, or is lost
//! ```
//!
//! Whatever the relay does is a fault of some class and never more than that. A connection that breaks takes its worker
//! out of the run; a run whose workers are all out ends early.
//!
//! `work.rs` has what the workers do.

use super::dialect::{Heard, Original};
use super::flight::Stray;
use super::payload::Payload;
use super::plan::{Extent, Plan};
use super::schedule::Schedule;
use super::tally::{Fault, Tally};
use super::user::{State, User, Worker};
use crate::limits::{LOAD_CONNECTING, LOAD_SWEEP};
use crate::reactor::{
    Alarm, CloseReason, Context, Deadline, Handler, Opened, Signal, Source, Time, Token,
};

/// Rings when a stage has lasted long enough.
const STAGE: Alarm = Alarm(0);
/// Rings when those who wait in vain are looked for.
const SWEEP: Alarm = Alarm(1);

/// The generator of load.
pub struct Generator {
    pub(super) plan: Plan,
    pub(super) dialect: Original,
    pub(super) payload: Payload,
    /// The workers' first; a pair stands together.
    pub(super) users: Vec<User>,
    /// The user whose connection has, or had last, this slot.
    by_slot: Vec<u32>,
    pub(super) workers: Vec<Worker>,
    stage: Stage,
    /// How many users were called to connect.
    called: u32,
    /// How many of them are on their way.
    coming: usize,
    /// When users are to connect, or operations to start, where a rate was asked for.
    pub(super) schedule: Option<Schedule>,
    /// Starts of the schedule that are due, or were.
    pub(super) handed_out: u64,
    /// Whose turn the next start is.
    pub(super) turn: u32,
    /// Workers that can go on.
    pub(super) working: usize,
    /// Messages on their way.
    pub(super) in_flight: usize,
    pub(super) tally: Tally,
    /// The state of a generator of numbers (`work.rs`).
    pub(super) random: u64,
    interrupted: bool,
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Users connect.
    Gather,
    /// They work, and nothing counts yet.
    WarmUp,
    /// They work, and all counts.
    Measure,
    /// Nothing new starts.
    Drain,
    /// That was it.
    Done,
}

impl Generator {
    /// A run of `plan`, of users who speak `dialect` and send messages like `payload`.
    pub fn new(plan: Plan, dialect: Original, payload: Payload) -> Self {
        let mut users = Vec::new();
        users.resize_with(plan.connections() as usize, User::default);
        Self {
            users,
            by_slot: Vec::new(),
            stage: Stage::Gather,
            called: 0,
            coming: 0,
            schedule: None,
            handed_out: 0,
            turn: 0,
            workers: vec![Worker::default(); plan.workers as usize],
            working: plan.workers as usize,
            in_flight: 0,
            tally: Tally::default(),
            random: 0x9e37_79b9_7f4a_7c15,
            interrupted: false,
            plan,
            dialect,
            payload,
        }
    }

    /// Begins.
    pub fn start(&mut self, cx: &mut Context) {
        cx.open(Source::Signals);
        self.enter(cx, Stage::Gather);
        cx.alarm(SWEEP, Some(cx.now()));
    }

    /// How far it has come.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// What was counted.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// The counts since this was asked last.
    pub fn take_recent(&mut self) -> super::tally::Recent {
        self.tally.take_recent()
    }

    /// Whether somebody asked it to end early.
    pub fn was_interrupted(&self) -> bool {
        self.interrupted
    }

    /// When the schedule wants the next thing to start.
    pub fn next_start(&self) -> Option<Time> {
        let index = match self.stage {
            Stage::Gather if self.called < self.plan.connections() => u64::from(self.called),
            Stage::WarmUp | Stage::Measure => self.handed_out,
            Stage::Gather | Stage::Drain | Stage::Done => return None,
        };
        self.schedule.map(|schedule| schedule.start(index))
    }

    /// Whether operations may start.
    pub(super) fn is_running(&self) -> bool {
        matches!(self.stage, Stage::WarmUp | Stage::Measure)
    }

    fn enter(&mut self, cx: &mut Context, stage: Stage) {
        self.stage = stage;
        let now = cx.now();
        let lasts = match stage {
            Stage::Gather => {
                let rate = f64::from(self.plan.connections()) / self.plan.ramp.as_secs_f64();
                self.schedule = Schedule::new(now, rate);
                None
            }
            Stage::WarmUp => {
                self.schedule = self.plan.rate.and_then(|rate| Schedule::new(now, rate));
                self.start_all(cx);
                Some(self.plan.warm_up)
            }
            Stage::Measure => {
                self.tally.begin(now);
                match self.plan.extent {
                    Extent::Time(time) => Some(time),
                    Extent::Operations(_) => None,
                }
            }
            Stage::Drain => {
                self.tally.end(now);
                Some(self.plan.timeout)
            }
            Stage::Done => {
                self.give_up_all();
                None
            }
        };
        cx.alarm(STAGE, lasts.map(|lasts| now + lasts));
    }

    fn next_stage(&mut self, cx: &mut Context) {
        let next = match self.stage {
            Stage::Gather => Stage::WarmUp,
            Stage::WarmUp => Stage::Measure,
            Stage::Measure => Stage::Drain,
            Stage::Drain | Stage::Done => Stage::Done,
        };
        self.enter(cx, next);
    }

    /// Lets users connect, as many at a time as may.
    fn gather(&mut self, cx: &mut Context) {
        let now = cx.now();
        while self.called < self.plan.connections()
            && self.coming < LOAD_CONNECTING
            && self.next_start().is_none_or(|start| start <= now)
        {
            let user = self.called;
            self.called += 1;
            self.connect(cx, user);
        }
        if self.called == self.plan.connections() && self.coming == 0 {
            self.next_stage(cx);
        }
    }

    fn connect(&mut self, cx: &mut Context, user: u32) {
        let token = cx.connect(self.plan.target);
        cx.expect(token, true);
        self.coming += 1;
        self.users[user as usize].token = Some(token);
        self.users[user as usize].state = State::Coming;
        if self.by_slot.len() <= token.slot() {
            self.by_slot.resize(token.slot() + 1, u32::MAX);
        }
        self.by_slot[token.slot()] = user;
    }

    /// Whose connection that is.
    fn user_of(&self, id: Token) -> Option<u32> {
        let user = *self.by_slot.get(id.slot())?;
        self.users.get(user as usize).is_some_and(|it| it.token == Some(id)).then_some(user)
    }

    /// The relay has answered a user.
    fn answered(&mut self, cx: &mut Context, user: u32, id: Token) {
        if self.users[user as usize].state != State::Coming {
            return;
        }
        cx.expect(id, false);
        self.coming -= 1;
        self.users[user as usize].state = State::Ready;
    }

    /// The relay has refused something to a user.
    fn refused(&mut self, cx: &mut Context, user: u32, code: &'static str) {
        if self.users[user as usize].state != State::Ready {
            return self.lose(cx, user, Fault::Refused(code));
        }
        self.tally.faults.add(Fault::Refused(code), 1);
        self.in_flight -= self.users[user as usize].flight.refuse();
        self.work_on(cx, user / 2);
    }

    /// A message has come to a user.
    fn received_message(&mut self, cx: &mut Context, user: u32, message: &[u8]) {
        let label = self.payload.read(message);
        let Some((label, sender)) =
            label.and_then(|label| Some((label, self.users.get_mut(label.from as usize)?)))
        else {
            return self.tally.faults.add(Fault::Altered, 1);
        };
        match sender.flight.land(label.number, user, cx.now()) {
            Ok(landing) => {
                self.in_flight -= 1 + landing.refused;
                self.tally.faults.add(Fault::OutOfOrder, landing.overtaken as u64);
                self.tally.handle();
                self.arrived(cx, user, label.from, landing.start);
            }
            Err(Stray::Misdelivered) => self.tally.faults.add(Fault::Misdelivered, 1),
            Err(Stray::Unexpected) => self.tally.faults.add(Fault::Unexpected, 1),
        }
    }

    /// A connection is of no use any more.
    fn lose(&mut self, cx: &mut Context, user: u32, fault: Fault) {
        let it = &mut self.users[user as usize];
        self.coming -= usize::from(it.state == State::Coming);
        let was_of_use = it.state != State::Gone;
        it.state = State::Gone;
        if let Some(token) = it.token {
            cx.abort(token);
        }
        if was_of_use && self.stage < Stage::Done {
            self.tally.faults.add(fault, 1);
            self.without(user);
        }
    }

    /// What a user who is gone had on its way is lost.
    pub(super) fn give_up(&mut self, user: u32) {
        let lost = self.users[user as usize].flight.clear();
        self.in_flight -= lost;
        self.tally.faults.add(Fault::Lost, lost as u64);
    }

    fn give_up_all(&mut self) {
        for user in 0..self.plan.working() {
            self.give_up(user);
        }
    }

    /// Looks for messages that do not come.
    fn sweep(&mut self, cx: &mut Context) {
        let now = cx.now();
        for user in 0..self.plan.working() {
            let waits = self.users[user as usize].flight.waits_since();
            if waits.is_some_and(|since| since + self.plan.timeout <= now) {
                self.lose(cx, user, Fault::Stalled);
            }
        }
        cx.alarm(SWEEP, Some(now + LOAD_SWEEP));
    }

    fn is_enough(&self) -> bool {
        match self.plan.extent {
            Extent::Operations(count) => self.tally.finished >= count,
            Extent::Time(_) => false,
        }
    }
}

impl Handler for Generator {
    fn opened(&mut self, cx: &mut Context, id: Token, _how: Opened) {
        let Some(user) = self.user_of(id) else { return };
        cx.send(id, &[&self.dialect.greeting(user)]);
    }

    fn received(&mut self, cx: &mut Context, from: Token, bytes: &[u8]) -> usize {
        let Some(user) = self.user_of(from) else { return bytes.len() };
        let mut consumed = 0;
        while consumed < bytes.len() && self.users[user as usize].state != State::Gone {
            let (length, heard) = self.dialect.hear(&bytes[consumed..]);
            consumed += length;
            match heard {
                Heard::Nothing => return consumed,
                Heard::Answer => self.answered(cx, user, from),
                Heard::Refused(code) => self.refused(cx, user, code),
                Heard::Message(message) => self.received_message(cx, user, message),
                Heard::Nonsense => self.lose(cx, user, Fault::Nonsense),
            }
        }
        consumed
    }

    fn ended(&mut self, cx: &mut Context, from: Token, _rest: &[u8]) {
        let Some(user) = self.user_of(from) else { return };
        self.lose(cx, user, Fault::Closed);
    }

    fn expired(&mut self, cx: &mut Context, id: Token, deadline: Deadline) {
        let Some(user) = self.user_of(id) else { return };
        let fault = if deadline == Deadline::Expected { Fault::TimedOut } else { Fault::Stalled };
        self.lose(cx, user, fault);
    }

    fn alarm(&mut self, cx: &mut Context, alarm: Alarm) {
        match alarm {
            STAGE => self.next_stage(cx),
            _ => self.sweep(cx),
        }
    }

    /// Whoever is tired of waiting gets what was measured so far.
    fn signal(&mut self, cx: &mut Context, _signal: Signal) {
        self.interrupted = true;
        self.enter(cx, if self.is_running() { Stage::Drain } else { Stage::Done });
    }

    fn closed(&mut self, cx: &mut Context, id: Token, reason: CloseReason) {
        let Some(user) = self.user_of(id) else { return };
        let fault = match (reason, self.users[user as usize].state) {
            (CloseReason::Failed(errno), State::Coming) => Fault::Unreachable(errno),
            (CloseReason::Failed(errno), _) => Fault::Broken(errno),
            (CloseReason::Closed | CloseReason::Aborted { .. }, _) => Fault::Closed,
        };
        self.lose(cx, user, fault);
        self.users[user as usize].token = None;
    }

    fn end_of_tick(&mut self, cx: &mut Context) {
        match self.stage {
            Stage::Gather | Stage::WarmUp | Stage::Measure if self.working == 0 => {
                self.enter(cx, Stage::Drain);
            }
            Stage::Gather => self.gather(cx),
            Stage::Measure if self.is_enough() => self.next_stage(cx),
            Stage::WarmUp | Stage::Measure => self.start_due(cx),
            Stage::Drain if self.in_flight == 0 => self.next_stage(cx),
            Stage::Drain | Stage::Done => {}
        }
    }
}
