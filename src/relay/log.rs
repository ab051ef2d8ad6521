//! The relay's voice to its operator: events get the time, and their lines go to standard error
//! through the loop.
//!
//! Knows the journal (`journal.rs`), a wall clock that was handed in, and the source that lines go
//! to.

use super::event::Event;
use super::journal::Journal;
use crate::reactor::{Context, Token};

/// Where events are told.
pub(super) struct Log {
    journal: Journal,
    /// Milliseconds since 1970. For people only: nothing is decided by it.
    wall_clock: Box<dyn Fn() -> u64>,
    /// What the clock said in this tick, if anybody asked.
    now: Option<u64>,
    to: Option<Token>,
}

impl Log {
    pub(super) fn new(journal: Journal, wall_clock: Box<dyn Fn() -> u64>) -> Self {
        Self { journal, wall_clock, now: None, to: None }
    }

    /// From now on lines go to `to`.
    pub(super) fn open(&mut self, to: Token) {
        self.to = Some(to);
    }

    /// `id` is gone. If lines went there, they go nowhere from now on.
    pub(super) fn closed(&mut self, id: Token) {
        self.to = self.to.filter(|&to| to != id);
    }

    pub(super) fn tell(&mut self, event: &Event) {
        if !self.journal.tells(event) {
            return;
        }
        let now = *self.now.get_or_insert_with(&self.wall_clock);
        self.journal.write(now, event);
    }

    /// Hands the tick's lines to the loop, unless it still has some: then the journal keeps what it
    /// can, and counts the rest.
    pub(super) fn pass_on(&mut self, cx: &mut Context) {
        self.now = None;
        if let Some(to) = self.to
            && !cx.is_behind(to)
        {
            let lines = self.journal.take();
            if !lines.is_empty() {
                cx.send(to, &[lines]);
            }
        }
    }
}
