//! The generator: users on one loop, who come, work and are counted.
//!
//! Pure, like the relay that it measures: it is a [`Handler`], owns no descriptor and asks no
//! clock. A run goes through its stages in order:
//!
//! ```text
//!   Gather    the users who work connect and register
//!     ▼
//!   Fill      those who only are there connect, too
//!     ▼
//!   Learn     at several relays: these learn who is where, and nobody writes
//!     ▼
//!   WarmUp    they work, and nothing counts yet
//!     ▼
//!   Settle    at a rate: nothing starts, until nothing is on its way
//!     ▼
//!   Measure   what happens counts
//!     ▼
//!   CatchUp   at a rate: what was to start in that time and could not, starts
//!     ▼
//!   Drain     nothing starts; what is on its way arrives, or is lost
//!     ▼
//!   Done
//! ```
//!
//! At a rate, what is measured is the schedule of that time, all of it and nothing else: no work is
//! left over from the warm-up. An operation that could not start in time, because the relay stood
//! still, is done afterwards, as late as it is. What cannot be done within the timeout is told, and
//! counts with its age.
//!
//! Whatever the relay does wrong is counted as a fault of some class and stops nothing else. A
//! connection that breaks takes its worker out of the run; a run without workers ends early.
//!
//! `gather.rs` has how users come and go, `work.rs` what they do.

use std::time::Duration;

use super::flight::Stray;
use super::payload::Payload;
use super::plan::{Extent, Plan, Work};
use super::protocol::{Parsed, Protocol};
use super::schedule::Schedule;
use super::stats::{Fault, Stats};
use super::user::{User, UserState, Worker};
use crate::limits::{LOAD_LEARN, LOAD_MAX_FRAME, LOAD_SWEEP};
use crate::reactor::{
    CloseReason, Config, Context, Garbled, Handler, Opened, ProcessFd, Signal, Time, Timeout,
    Timer, Token,
};
use crate::tls::{self, ClientTls};

/// Rings when a stage has lasted long enough.
const STAGE: Timer = Timer(0);
/// Rings when it is time to look for messages that do not come.
const SWEEP: Timer = Timer(1);

/// The generator of load.
pub struct Generator {
    pub(super) plan: Plan,
    pub(super) protocol: Box<dyn Protocol>,
    pub(super) payload: Payload,
    /// What connections are sealed with; none: they are plain.
    tls: Option<ClientTls>,
    /// The workers first; the two of a pair stand next to each other.
    pub(super) users: Vec<User>,
    /// The user whose connection has, or had last, this slot.
    pub(super) by_slot: Vec<u32>,
    pub(super) workers: Vec<Worker>,
    stage: Stage,
    /// How many users have begun to connect.
    pub(super) called: u32,
    /// How many connections are on their way.
    pub(super) coming: usize,
    /// When users are to connect, or operations to start, where a rate was asked for.
    pub(super) schedule: Option<Schedule>,
    /// How many starts of the schedule are or were due.
    pub(super) handed_out: u64,
    /// How many starts the schedule has in all.
    pub(super) starts: u64,
    /// The worker that has the next start.
    pub(super) turn: u32,
    /// How many workers can go on.
    pub(super) working: usize,
    /// Messages on their way.
    pub(super) in_flight: usize,
    pub(super) stats: Stats,
    /// The state of a generator of numbers (`work.rs`).
    pub(super) random: u64,
    /// When messages that do not come were looked for last.
    pub(super) swept: Time,
    /// How much it has done: reads and started operations.
    pub(super) acts: u64,
    early: Option<Early>,
}

/// Why a run ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Early {
    /// Somebody asked for it.
    Interrupted,
    /// No worker can go on.
    NoWorkers,
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The users who work connect.
    Gather,
    /// Those who only are there connect.
    Fill,
    /// Several relays tell each other who is there.
    Learn,
    /// They work, and nothing counts yet.
    WarmUp,
    /// Nothing new starts, until nothing is on its way.
    Settle,
    /// They work, and all counts.
    Measure,
    /// They do what was to start before and could not.
    CatchUp,
    /// Nothing new starts.
    Drain,
    /// The run is over.
    Done,
}

impl Generator {
    /// A run of `plan`, of users who speak `protocol` and send messages like `payload`.
    pub fn new(plan: Plan, protocol: Box<dyn Protocol>, payload: Payload) -> Self {
        let mut users = Vec::new();
        users.resize_with(plan.connections() as usize, User::default);
        Self {
            users,
            tls: None,
            by_slot: Vec::new(),
            stage: Stage::Gather,
            called: if plan.work == Work::Connect { plan.users() } else { 0 },
            coming: 0,
            schedule: None,
            handed_out: 0,
            starts: u64::MAX,
            swept: Time::default(),
            acts: 0,
            turn: 0,
            workers: vec![Worker::default(); plan.workers as usize],
            working: plan.workers as usize,
            in_flight: 0,
            stats: Stats::default(),
            random: 0x9e37_79b9_7f4a_7c15,
            early: None,
            plan,
            protocol,
            payload,
        }
    }

    /// All connections speak TLS.
    pub fn speak_tls(&mut self, tls: ClientTls) {
        self.tls = Some(tls);
    }

    /// The timeouts of the loop that it runs on.
    pub fn waits(&self) -> Config {
        let timeout = self.plan.timeout;
        Config {
            handshake_timeout: timeout,
            frame_timeout: timeout,
            write_timeout: timeout,
            finish_timeout: timeout,
            ..Config::default()
        }
    }

    /// Begins the run.
    pub fn start(&mut self, cx: &mut Context) {
        cx.open(ProcessFd::Signals);
        self.enter(cx, Stage::Gather);
    }

    /// The stage of the run.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// The counts.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The length of a message, in bytes.
    pub fn message_size(&self) -> usize {
        self.payload.size()
    }

    /// The counts since the last call.
    pub fn take_recent(&mut self) -> super::stats::Recent {
        self.stats.take_recent()
    }

    /// How much it has done: if this is the same after a tick, there was nothing to do.
    pub fn acts(&self) -> u64 {
        self.acts
    }

    /// Why it ended before its time, if it did.
    pub fn early(&self) -> Option<Early> {
        self.early
    }

    /// When the schedule wants the next thing to start.
    pub fn next_start(&self) -> Option<Time> {
        let index = match self.stage {
            Stage::Gather | Stage::Fill => u64::from(self.called),
            Stage::WarmUp | Stage::Measure if self.handed_out < self.starts => self.handed_out,
            _ => return None,
        };
        self.schedule.map(|schedule| schedule.start(index))
    }

    /// Whether operations may start.
    pub(super) fn is_running(&self) -> bool {
        matches!(self.stage, Stage::WarmUp | Stage::Measure | Stage::CatchUp)
    }

    fn enter(&mut self, cx: &mut Context, stage: Stage) {
        self.stage = stage;
        let now = cx.now();
        cx.set_timer(SWEEP, Some(now)); // the tick after this one shows the stage as it begins
        let lasts = match stage {
            Stage::Gather => {
                let rate = f64::from(self.plan.connections()) / self.plan.ramp.as_secs_f64();
                self.schedule = Schedule::new(now, rate);
                None
            }
            Stage::Fill => None,
            Stage::Learn => Some(LOAD_LEARN),
            Stage::WarmUp => {
                self.begin_schedule(now);
                self.start_all(cx);
                Some(self.plan.warm_up)
            }
            Stage::Settle | Stage::CatchUp => Some(self.plan.timeout),
            Stage::Measure => self.begin_measure(now),
            Stage::Drain => {
                self.stats.end(now);
                self.leave_unstarted(now);
                Some(self.plan.timeout)
            }
            Stage::Done => {
                self.give_up_all(now);
                None
            }
        };
        cx.set_timer(STAGE, lasts.map(|lasts| now + lasts));
    }

    fn begin_schedule(&mut self, now: Time) {
        self.schedule = self.plan.rate.and_then(|rate| Schedule::new(now, rate));
        (self.handed_out, self.turn) = (0, 0);
        self.workers.iter_mut().for_each(|it| it.starts = 0);
    }

    /// Returns how long it is measured, where that is known.
    fn begin_measure(&mut self, now: Time) -> Option<Duration> {
        if self.plan.rate.is_none() {
            self.stats.begin(now);
            let has_started = |user: &User| user.starts().filter(|&start| start >= now).count();
            let begun: usize = self.users.iter().map(has_started).sum();
            self.stats.offer(now, begun as u64);
        } else {
            self.give_up_all(now);
            self.begin_schedule(now);
            self.stats.begin(now);
        }
        match (self.plan.extent, self.schedule) {
            (Extent::Time(time), schedule) => {
                self.starts = schedule.map_or(u64::MAX, |schedule| schedule.within(time));
                Some(time)
            }
            (Extent::Operations(count), _) => {
                self.starts = count;
                None
            }
        }
    }

    /// Closes the time that is measured: all that was to start in it counts as offered.
    fn end_measure(&mut self, cx: &mut Context) {
        let now = cx.now();
        self.start_due(cx);
        self.stats.end(now);
    }

    fn next_stage(&mut self, cx: &mut Context) {
        let next = match self.stage {
            Stage::Gather => Stage::Fill,
            Stage::Fill if self.plan.targets.len() > 1 => Stage::Learn,
            Stage::Fill | Stage::Learn => Stage::WarmUp,
            Stage::WarmUp if self.plan.rate.is_some() => Stage::Settle,
            Stage::WarmUp | Stage::Settle => Stage::Measure,
            Stage::Measure if self.plan.rate.is_some() => {
                self.end_measure(cx);
                Stage::CatchUp
            }
            Stage::Measure | Stage::CatchUp => Stage::Drain,
            Stage::Drain | Stage::Done => Stage::Done,
        };
        self.enter(cx, next);
    }

    /// A message has come to a user.
    fn received_message(&mut self, cx: &mut Context, user: u32, message: &[u8]) {
        let label = self.payload.read(message);
        let Some((label, sender)) =
            label.and_then(|label| Some((label, self.users.get_mut(label.from as usize)?)))
        else {
            return self.stats.faults.add(Fault::Altered, 1);
        };
        match sender.flight.land(label.number, user, cx.now()) {
            Ok(landing) => {
                self.in_flight -= 1 + landing.refused;
                self.stats.faults.add(Fault::OutOfOrder, landing.overtaken as u64);
                self.stats.handle();
                self.arrived(cx, user, label.from, landing.start);
            }
            Err(Stray::Misdelivered) => self.stats.faults.add(Fault::Misdelivered, 1),
            Err(Stray::Unexpected) => self.stats.faults.add(Fault::Unexpected, 1),
        }
    }

    /// Whether all is done that was to be measured.
    fn is_enough(&self) -> bool {
        match self.plan.extent {
            Extent::Operations(count) if self.plan.rate.is_none() => {
                self.stats.finished + self.stats.failed >= count
            }
            Extent::Operations(count) => {
                self.handed_out == count && self.is_quiet() && !self.has_backlog()
            }
            Extent::Time(_) => false,
        }
    }

    /// The first bytes of a user; where connections are sealed, these are too.
    fn greet(&mut self, cx: &mut Context, user: u32, id: Token) {
        if let Some(tls) = &self.tls {
            match tls.engine() {
                Some(engine) => cx.transform(id, engine),
                None => return self.lose(cx, user, Fault::Nonsense),
            }
        }
        cx.send(id, &[&self.protocol.greeting(user)]);
    }

    /// Whether nothing is on its way.
    fn is_quiet(&self) -> bool {
        self.in_flight == 0 && self.coming == 0
    }
}

impl Handler for Generator {
    fn opened(&mut self, cx: &mut Context, id: Token, _how: Opened) {
        let Some(user) = self.user_of(id) else { return };
        if self.tls.is_none() || !self.protocol.waits_for_hello() {
            self.greet(cx, user, id);
        }
    }

    fn received(&mut self, cx: &mut Context, from: Token, bytes: &[u8]) -> usize {
        let Some(user) = self.user_of(from) else { return bytes.len() };
        self.acts += 1;
        let mut consumed = 0;
        while consumed < bytes.len() && self.users[user as usize].is_connected() {
            let (length, parsed) = self.protocol.parse(user, &bytes[consumed..]);
            consumed += length;
            match parsed {
                Parsed::Nothing if bytes.len() - consumed > LOAD_MAX_FRAME => {
                    self.lose(cx, user, Fault::Nonsense);
                }
                Parsed::Nothing => return consumed,
                Parsed::Hello if self.tls.is_some() && !cx.is_transformed(from) => {
                    self.greet(cx, user, from);
                    return consumed; // what is behind it is for the engine
                }
                Parsed::Noise | Parsed::Hello => {}
                Parsed::Welcome => self.answered(cx, user, from),
                Parsed::Asked(answer) => cx.send(from, &[&answer]),
                Parsed::Refused(code) => self.refused(cx, user, code),
                Parsed::Message(message) => self.received_message(cx, user, message),
                Parsed::Nonsense => self.lose(cx, user, Fault::Nonsense),
            }
        }
        consumed
    }

    fn ended(&mut self, cx: &mut Context, from: Token, _rest: &[u8]) {
        let Some(user) = self.user_of(from) else { return };
        self.lose(cx, user, Fault::Closed);
    }

    fn garbled(&mut self, cx: &mut Context, from: Token, why: Garbled) {
        let Some(user) = self.user_of(from) else { return };
        self.lose(cx, user, Fault::Tls(tls::Fault::of(why).name()));
    }

    fn timed_out(&mut self, cx: &mut Context, id: Token, timeout: Timeout) {
        let Some(user) = self.user_of(id) else { return };
        let fault = if timeout == Timeout::Handshake { Fault::TimedOut } else { Fault::Stalled };
        self.lose(cx, user, fault);
    }

    fn timer(&mut self, cx: &mut Context, timer: Timer) {
        if timer == STAGE {
            return self.next_stage(cx);
        }
        self.sweep(cx);
        cx.set_timer(SWEEP, Some(cx.now() + LOAD_SWEEP));
    }

    /// A signal ends the run early, with what was measured so far.
    fn signal(&mut self, cx: &mut Context, _signal: Signal) {
        self.early = Some(Early::Interrupted);
        let works = (Stage::WarmUp..Stage::Drain).contains(&self.stage);
        self.enter(cx, if works { Stage::Drain } else { Stage::Done });
    }

    fn closed(&mut self, cx: &mut Context, id: Token, reason: CloseReason) {
        let Some(user) = self.user_of(id) else { return };
        let fault = match (reason, self.users[user as usize].state) {
            (CloseReason::Failed(errno), UserState::Coming(_)) => Fault::Unreachable(errno),
            (CloseReason::Failed(errno), _) => Fault::Broken(errno),
            (CloseReason::Closed | CloseReason::Aborted { .. }, _) => Fault::Closed,
        };
        self.lose(cx, user, fault);
        self.left(cx, user);
    }

    fn end_of_tick(&mut self, cx: &mut Context) {
        match self.stage {
            Stage::Settle | Stage::Drain if self.is_quiet() => self.next_stage(cx),
            Stage::CatchUp if self.is_quiet() && !self.has_backlog() => self.next_stage(cx),
            Stage::Drain | Stage::Done => {}
            _ if self.working == 0 => {
                self.early = self.early.or(Some(Early::NoWorkers));
                self.offer_rest();
                self.enter(cx, Stage::Drain);
            }
            Stage::Gather | Stage::Fill => {
                let (work, all) = (self.plan.users(), self.plan.connections());
                if self.gather(cx, if self.stage == Stage::Gather { work } else { all }) {
                    self.next_stage(cx);
                }
            }
            Stage::Measure if self.is_enough() => self.next_stage(cx),
            Stage::WarmUp | Stage::Measure => self.start_due(cx),
            Stage::Learn | Stage::Settle | Stage::CatchUp => {}
        }
    }
}
