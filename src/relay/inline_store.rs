//! The store in memory and without a thread: all is done as soon as it was asked.
//!
//! It has the tables of the store on the disk (`database.rs`, `boxes.rs`), so it decides as that
//! one does. For simulations, fuzzing and measurements, where no thread may run and the clock is
//! handed in.

use std::collections::VecDeque;
use std::path::Path;

use super::boxes::{Boxes, LetterLimits};
use super::database::Database;
use super::letter_store::{LetterAnswer, LetterAsk, LetterStore, Waiting};
use super::limits::STORE_QUEUE;
use super::move_store::{MoveAnswer, MoveAsk, MoveStore};
use super::open_error::OpenError;
use super::store::{Answer, QueueFull, Store, StoreFault};
use super::store_thread::Asked;
use crate::reactor::Waker;
use crate::wire::Fingerprint;

/// Names and letters in memory, for one thread.
pub struct InlineStore {
    database: Database,
    /// Milliseconds since 1970.
    clock: Box<dyn Fn() -> u64>,
    answers: VecDeque<Answer>,
    letter_answers: VecDeque<(u64, LetterAnswer)>,
    move_answer: Option<MoveAnswer>,
}

impl InlineStore {
    /// A store in which nothing is kept yet. The clock tells milliseconds since 1970.
    ///
    /// # Errors
    /// SQLite could not make its tables.
    pub fn new(clock: Box<dyn Fn() -> u64>) -> Result<Self, OpenError> {
        let unusable = |error| OpenError::unusable(Path::new(":memory:"), error);
        let database = Database::in_memory().map_err(unusable)?;
        let (answers, letter_answers) = (VecDeque::new(), VecDeque::new());
        Ok(Self { database, clock, answers, letter_answers, move_answer: None })
    }

    /// Binds a name, or tells why not.
    ///
    /// # Errors
    /// Another key has it, or SQLite could not keep it.
    pub fn keep_name(&mut self, name: &str, fp: &Fingerprint, pem: &str) -> Result<(), StoreFault> {
        let bound = self.database.bind([(name, fp, pem)].into_iter());
        let failed = |error: rusqlite::Error| StoreFault::Failed(error.to_string());
        bound.map_err(failed)?.pop().unwrap_or(Ok(()))
    }

    /// Does what is asked of letters, and answers.
    pub fn carry_out(&mut self, ask: LetterAsk) -> LetterAnswer {
        let asked = Asked::new([(0, ask)].into_iter());
        let told = asked.answer(&mut self.database, LetterLimits::default(), (self.clock)());
        told.into_iter().next().map_or(LetterAnswer::Noted, |(_, answer)| answer)
    }
}

impl Store for InlineStore {
    fn bind(
        &mut self,
        ticket: u64,
        name: &str,
        fp: &Fingerprint,
        pem: &str,
    ) -> Result<(), QueueFull> {
        if self.answers.len() >= STORE_QUEUE {
            return Err(QueueFull);
        }
        let outcome = self.keep_name(name, fp, pem);
        self.answers.push_back(Answer { ticket, outcome });
        Ok(())
    }

    fn next_answer(&mut self) -> Option<Answer> {
        self.answers.pop_front()
    }

    fn used(&mut self, name: &str, pem: &str) -> bool {
        self.database.used([(name, pem)].into_iter()).is_ok()
    }

    fn letters(&mut self) -> Option<&mut dyn LetterStore> {
        Some(self)
    }

    fn moves(&mut self) -> Option<&mut dyn MoveStore> {
        Some(self)
    }

    fn waiting(&self) -> Option<Waiting> {
        let boxes = Boxes::new(self.database.tables(), LetterLimits::default(), (self.clock)());
        boxes.waiting().ok()
    }

    fn waker(&self) -> Option<Waker> {
        None
    }
}

impl LetterStore for InlineStore {
    fn ask(&mut self, ticket: u64, ask: LetterAsk) -> Result<(), QueueFull> {
        if self.letter_answers.len() >= STORE_QUEUE {
            return Err(QueueFull);
        }
        let answer = self.carry_out(ask);
        self.letter_answers.push_back((ticket, answer));
        Ok(())
    }

    fn next_letter_answer(&mut self) -> Option<(u64, LetterAnswer)> {
        self.letter_answers.pop_front()
    }
}

impl MoveStore for InlineStore {
    fn ask_move(&mut self, ask: MoveAsk) -> Result<(), QueueFull> {
        let answer = ask.carry_out(&mut self.database, LetterLimits::default(), (self.clock)());
        self.move_answer = Some(answer);
        Ok(())
    }

    fn next_move_answer(&mut self) -> Option<MoveAnswer> {
        self.move_answer.take()
    }
}
