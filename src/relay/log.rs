//! The relay's log: events get the time, and their lines go to standard error, or to a file,
//! through the loop.
//!
//! Knows the journal (`journal.rs`), a wall clock that was handed in, and the source that lines go
//! to. Others must not be able to fill the disk: lines that others cause have a rate; beyond it
//! they are counted, and the count is told. And the relay must not wait for its log: what cannot be
//! written is counted too, and the log is opened again later.

use nix::errno::Errno;

use super::LOG;
use super::event::{Event, Level};
use super::history::History;
use super::journal::Journal;
use super::limits::{LOG_LINES_BURST, LOG_LINES_PER_SECOND, LOG_REOPEN, LOG_SILENCE};
use super::utc::{MS_PER_DAY, Utc};
use crate::reactor::{Context, ProcessFd, Time, Token};
use crate::tokens::{Bucket, Rate};

/// The rate of lines that others cause.
const RATE: Rate = Rate::new(LOG_LINES_BURST, LOG_LINES_PER_SECOND);

/// Opens the log file, or says why it cannot be opened.
pub type OpenLog = Box<dyn FnMut() -> Result<ProcessFd, String>>;

/// Where events are told.
pub(super) struct Log {
    journal: Journal,
    /// Milliseconds since 1970. For people only: the days on which names were used, and the times
    /// of lines.
    wall_clock: Box<dyn Fn() -> u64>,
    /// What the clock said in this tick, if anybody asked.
    wall: Option<u64>,
    /// The instant of this tick.
    now: Time,
    rate: Bucket,
    /// The rate is spent: until this instant lines are only counted.
    silent_until: Option<Time>,
    /// Lines that were only counted since.
    beyond: u64,
    to: Option<Token>,
    /// Opens the file that lines go to; none where they go to standard error.
    file: Option<OpenLog>,
    /// The log could not be written, and is opened again at this instant.
    reopen_at: Option<Time>,
    /// The latest events, for the admin socket, if there is one.
    history: Option<History>,
    /// The level up to which anybody is told: the others need not even be put together.
    most: Level,
}

impl Log {
    pub(super) fn new(journal: Journal, wall_clock: Box<dyn Fn() -> u64>) -> Self {
        Self {
            most: journal.most(),
            history: None,
            journal,
            wall_clock,
            wall: None,
            now: Time::default(),
            rate: Bucket::default(),
            silent_until: None,
            beyond: 0,
            to: None,
            file: None,
            reopen_at: None,
        }
    }

    /// From now on lines go to `to`.
    pub(super) fn open(&mut self, to: Token) {
        self.to = Some(to);
    }

    /// From now on lines go to what `open` opens.
    pub(super) fn open_with(&mut self, cx: &mut Context, open: OpenLog) {
        self.file = Some(open);
        self.reopen_at = Some(cx.now());
        self.await_next(cx);
    }

    /// Opens the log file again: it may have been renamed, so that lines go to a new one. Lines
    /// that were handed to the loop still go to the old one.
    pub(super) fn reopen(&mut self, cx: &mut Context) {
        let Some(open) = &mut self.file else { return };
        match open() {
            Ok(file) => {
                if let Some(old) = self.to.replace(cx.open(file)) {
                    cx.close(old);
                }
                self.reopen_at = None;
            }
            Err(detail) => self.tell(&Event::LogNotReopened { detail: &detail }),
        }
    }

    /// From now on what `level` tells is logged.
    pub(super) fn set_level(&mut self, level: Level) {
        self.journal.set_level(level);
        self.note_most();
    }

    fn note_most(&mut self) {
        let journal = self.journal.most();
        self.most = self.history.as_ref().map_or(journal, |history| journal.max(history.level()));
    }

    /// The instant of this tick.
    pub(super) const fn now(&self) -> Time {
        self.now
    }

    /// Today, in days since 1970-01-01 (UTC).
    pub(super) fn day(&mut self) -> u32 {
        u32::try_from(self.wall() / MS_PER_DAY).unwrap_or(u32::MAX)
    }

    /// What the clock said in this tick, in milliseconds since 1970.
    pub(super) fn wall(&mut self) -> u64 {
        *self.wall.get_or_insert_with(&self.wall_clock)
    }

    /// Tells the instant of this tick.
    pub(super) fn at(&mut self, now: Time) {
        self.now = now;
    }

    /// The source `id` is closed, with the error `failed` if there was one. Returns whether lines
    /// went there. It is opened again after a while, unless nobody reads it any more.
    pub(super) fn closed(&mut self, cx: &mut Context, id: Token, failed: Option<Errno>) -> bool {
        if self.to != Some(id) {
            return false;
        }
        self.to = None;
        self.journal.lose_taken();
        let is_over = |errno| matches!(errno, Errno::EPIPE | Errno::EBADF);
        if failed.is_some_and(|errno| self.file.is_some() || !is_over(errno)) {
            self.reopen_at = Some(self.now + LOG_REOPEN);
        }
        self.await_next(cx);
        true
    }

    /// The timer `LOG` has rung.
    pub(super) fn try_again(&mut self, cx: &mut Context) {
        if self.reopen_at.is_some_and(|at| at <= self.now) {
            self.reopen_at = None;
            let opened = self.file.as_mut().map_or(Ok(ProcessFd::Stderr), |open| open());
            match opened {
                Ok(output) => self.to = Some(cx.open(output)),
                Err(_) => self.reopen_at = Some(self.now + LOG_REOPEN), // it would not be read
            }
        }
        self.end_silence();
        self.await_next(cx);
    }

    /// Whether events of this level are told to anybody: others need not even be put together.
    pub(super) fn tells(&self, level: Level) -> bool {
        level <= self.most
    }

    /// From now on the latest events up to this level are kept for [`history`](Self::history).
    pub(super) fn keep(&mut self, level: Level) {
        self.history.get_or_insert_default().keep(level);
        self.note_most();
    }

    /// The latest events, where they are kept.
    pub(super) const fn history(&self) -> Option<&History> {
        self.history.as_ref()
    }

    /// Tells an event, or counts it where others cause more lines than they may.
    pub(super) fn tell(&mut self, event: &Event) {
        if !self.tells(event.level()) {
            return;
        }
        if let Some(history) = &mut self.history {
            let wall = *self.wall.get_or_insert_with(&self.wall_clock);
            history.note(self.now, Utc(wall), event);
        }
        self.journal.hear(event); // whoever watches the loop is told of each
        if !self.journal.logs(event) {
            return;
        }
        if event.has_rate() && !self.has_room() {
            self.beyond += 1;
            return;
        }
        self.write(event);
    }

    /// How many lines were dropped so far.
    pub(super) fn dropped(&self) -> u64 {
        self.journal.dropped_in_all() + self.beyond
    }

    /// Hands the tick's lines to the loop, unless it still has some: then the journal keeps what it
    /// can, and counts the rest.
    pub(super) fn pass_on(&mut self, cx: &mut Context) {
        self.wall = None;
        if self.silent_until.is_some() {
            self.await_next(cx);
        }
        if let Some(to) = self.to
            && !cx.has_backlog(to)
        {
            let lines = self.journal.take();
            if !lines.is_empty() {
                cx.send(to, &[lines]);
            }
        }
    }

    fn write(&mut self, event: &Event) {
        let wall = self.wall();
        self.journal.write(wall, event);
    }

    fn has_room(&mut self) -> bool {
        self.end_silence();
        if self.silent_until.is_some() {
            return false;
        }
        let has_room = self.rate.take(RATE, self.now);
        if !has_room {
            self.silent_until = Some(self.now + LOG_SILENCE);
        }
        has_room
    }

    fn end_silence(&mut self) {
        if self.silent_until.is_none_or(|until| self.now < until) {
            return;
        }
        self.silent_until = None;
        let wall = self.wall();
        self.journal.count(wall, std::mem::take(&mut self.beyond));
    }

    fn await_next(&self, cx: &mut Context) {
        cx.set_timer(LOG, [self.silent_until, self.reopen_at].into_iter().flatten().min());
    }
}
