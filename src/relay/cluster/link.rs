//! One of the two connections to the engine: it is opened, opened again after a pause, and given up
//! where nothing is answered.

use std::time::Duration;

use nix::errno::Errno;

use crate::cluster::EngineFault;
use crate::cluster::engine::{Answer, Engine, NotTaken, Ticket};
use crate::cluster::script::Call;
use crate::reactor::{Context, Time, Token};
use crate::relay::limits::{ENGINE_ANSWER_TIME, ENGINE_PAUSE_MAX, ENGINE_PAUSE_MIN, ENGINE_STEADY};

/// A connection to the engine, or the pause until the next attempt.
pub(super) struct Link {
    state: State,
    /// Attempts since it was ready for long enough ([`ENGINE_STEADY`]).
    attempts: u32,
    /// How long the engine may let a command wait on purpose.
    patience: Duration,
}

enum State {
    Down {
        until: Time,
    },
    Up {
        token: Token,
        engine: Box<Engine>,
        /// What is asked for now is to be answered by then.
        answer_by: Option<Time>,
        /// It is established, and takes bytes.
        stands: bool,
        ready_since: Option<Time>,
    },
}

/// Commands whose answers will not come.
pub(super) type Unanswered = Vec<Ticket>;

impl Link {
    /// One that is to be opened at once.
    pub(super) fn new(patience: Duration) -> Self {
        Self { state: State::Down { until: Time::default() }, attempts: 0, patience }
    }

    pub(super) fn owns(&self, id: Token) -> bool {
        matches!(&self.state, State::Up { token, .. } if *token == id)
    }

    /// Whether an attempt is due.
    pub(super) fn is_due(&self, now: Time) -> bool {
        matches!(self.state, State::Down { until } if until <= now)
    }

    /// A connection was asked for, or there can be none now.
    pub(super) fn attempt(
        &mut self,
        connection: Result<(Token, Engine), Errno>,
        now: Time,
    ) -> Result<(), Errno> {
        self.attempts += 1;
        self.state = State::Down { until: now + self.pause() };
        let (token, engine) = connection?;
        let (engine, answer_by) = (Box::new(engine), Some(now + ENGINE_ANSWER_TIME));
        self.state = State::Up { token, engine, answer_by, stands: false, ready_since: None };
        Ok(())
    }

    /// How long to wait before the next attempt.
    fn pause(&self) -> Duration {
        (ENGINE_PAUSE_MIN * (1 << self.attempts.min(10))).min(ENGINE_PAUSE_MAX)
    }

    /// It is established.
    pub(super) const fn opened(&mut self) {
        if let State::Up { stands, .. } = &mut self.state {
            *stands = true;
        }
    }

    /// How many attempts there were since it was ready for long enough.
    pub(super) const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Takes what came from the engine.
    pub(super) fn received(&mut self, bytes: &[u8], now: Time) -> Result<(), EngineFault> {
        let State::Up { engine, answer_by, ready_since, .. } = &mut self.state else {
            return Ok(());
        };
        engine.received(bytes)?;
        if engine.is_ready() {
            ready_since.get_or_insert(now);
        }
        *answer_by = (!engine.is_empty()).then(|| now + self.patience + ENGINE_ANSWER_TIME);
        Ok(())
    }

    /// The connection is gone, or is to be: returns its token, and what was not answered.
    pub(super) fn lose(&mut self, now: Time) -> Option<(Token, Unanswered)> {
        // An engine that is ready, and then ends each connection, is not asked without a pause.
        if let State::Up { ready_since: Some(since), .. } = self.state
            && since + ENGINE_STEADY <= now
        {
            self.attempts = 0;
        }
        let down = State::Down { until: now + self.pause() };
        match std::mem::replace(&mut self.state, down) {
            State::Down { .. } => None,
            State::Up { token, engine, .. } => Some((token, engine.unanswered().collect())),
        }
    }

    /// The connection, if the engine has let too much time pass.
    pub(super) fn token_if_late(&self, now: Time) -> Option<Token> {
        match self.state {
            State::Up { token, answer_by: Some(by), .. } if by <= now => Some(token),
            _ => None,
        }
    }

    /// The connection, if there is one.
    pub(super) const fn token(&self) -> Option<Token> {
        match self.state {
            State::Up { token, .. } => Some(token),
            State::Down { .. } => None,
        }
    }

    /// When the next attempt is due, or the engine is late.
    pub(super) const fn due(&self) -> Option<Time> {
        match self.state {
            State::Down { until } => Some(until),
            State::Up { answer_by, .. } => answer_by,
        }
    }

    /// Whether commands are taken.
    pub(super) fn is_ready(&self) -> bool {
        matches!(&self.state, State::Up { engine, .. } if engine.is_ready())
    }

    /// Whether a command would be taken now.
    pub(super) fn has_room(&self) -> bool {
        matches!(&self.state, State::Up { engine, .. } if engine.check_room().is_ok())
    }

    /// How many bytes wait for the engine to take them.
    pub(super) fn queued(&self, cx: &Context) -> usize {
        match &self.state {
            State::Up { token, .. } => cx.queued(*token),
            State::Down { .. } => 0,
        }
    }

    /// The id of the cluster, once the connection is ready.
    pub(super) fn cluster(&self) -> Option<&str> {
        match &self.state {
            State::Up { engine, .. } => engine.cluster(),
            State::Down { .. } => None,
        }
    }

    pub(super) fn call(&mut self, ticket: Ticket, call: &Call, now: Time) -> Result<(), NotTaken> {
        self.ask_with(now, |engine| engine.call(ticket, call))
    }

    pub(super) fn ask(
        &mut self,
        ticket: Ticket,
        name: &'static str,
        command: &[Vec<u8>],
        now: Time,
    ) -> Result<(), NotTaken> {
        self.ask_with(now, |engine| engine.ask(ticket, name, command))
    }

    fn ask_with(
        &mut self,
        now: Time,
        ask: impl FnOnce(&mut Engine) -> Result<(), NotTaken>,
    ) -> Result<(), NotTaken> {
        let State::Up { engine, answer_by, .. } = &mut self.state else {
            return Err(NotTaken::NotReady);
        };
        ask(engine)?;
        answer_by.get_or_insert(now + self.patience + ENGINE_ANSWER_TIME);
        Ok(())
    }

    /// The next answer that has come.
    pub(super) fn next_answer(&mut self) -> Option<Answer> {
        match &mut self.state {
            State::Up { engine, .. } => engine.next_answer(),
            State::Down { .. } => None,
        }
    }

    /// Queues what is to be written, once the connection stands.
    pub(super) fn flush(&mut self, cx: &mut Context) {
        let State::Up { token, engine, stands: true, .. } = &mut self.state else { return };
        let bytes = engine.take_output();
        if !bytes.is_empty() {
            cx.send(*token, &[&bytes]);
        }
    }
}
