//! Letters and letter keys that this relay's own store has from before it joined: they are moved
//! into the engine, some at a time.
//!
//! A *pass* goes through the file in three steps (`MoveStep`). First the boxes that have letters in
//! it are closed for letters that come later, so that those come behind. Then follow the keys, then
//! the letters. In each step the store is asked for a batch, each part of it is a call, and once
//! all are answered the store is asked for the next batch, and to delete what the engine has taken.
//!
//! Whatever happens in between, the same is asked again later: the engine knows what it took from
//! this file (`move_letters.lua`). What it does not take now (a box is full) is held back, with all
//! that is behind it in the same box, and another pass follows after a pause. Where it can take
//! nothing (its memory is full, the lease has ended) the pass ends at once.

use std::time::Duration;

use super::{Asked, Cluster, Relay};
use crate::cluster::limits::BOX_CLOSED;
use crate::cluster::moving::{self as calls, FileBox, Taken};
use crate::reactor::{Context, Time};
use crate::relay::event::{Event, MoveNews};
use crate::relay::limits::{MOVE_PAUSE_MAX, MOVE_PAUSE_MIN};
use crate::relay::move_store::{
    MoveAnswer, MoveAsk, MoveBatch, MovePlace, MoveStep, MoveStore, Moved,
};
use crate::wire::LetterKind;

/// How far the move has come.
pub(super) struct Moving {
    state: State,
    step: MoveStep,
    after: MovePlace,
    /// What the engine has taken and the store is to delete.
    moved: Moved,
    /// Something of this pass was not taken.
    is_held_back: bool,
    /// The engine can take nothing now.
    is_stopped: bool,
    /// How long to wait before the next pass.
    pause: Duration,
    /// When this pass began.
    began: Time,
    /// Whether the store was asked for the first time: it is before the engine can take anything,
    /// so that a relay without letters in its file refuses none because of them.
    has_looked: bool,
    /// Whether all boxes were closed once that have letters in the file.
    has_closed: bool,
    /// Whether all letter keys were moved.
    has_keys: bool,
    /// Whether the operator was told that something is moved, that something waits, and that the
    /// store failed.
    is_told: bool,
    is_told_waiting: bool,
    is_told_failed: bool,
    /// What was moved since the start.
    pub(super) letters: u64,
    pub(super) keys: u64,
}

enum State {
    /// The store is to be asked at this time.
    Due(Time),
    /// It was asked, and is deleting this.
    Asked(Moved),
    /// So many calls are under way.
    Calling(usize),
    Over,
}

/// A part of a batch that is under way.
#[derive(Clone)]
pub(super) enum MovedPart {
    /// Letters of this user, by their numbers.
    Letters { user: u64, owner: String, numbers: Vec<u64>, kind: LetterKind },
    /// What there was of the user of this number beside letters.
    Keys(u64),
}

impl Default for Moving {
    fn default() -> Self {
        Self {
            state: State::Due(Time::default()),
            step: MoveStep::Boxes,
            after: MovePlace::default(),
            moved: Moved::default(),
            is_held_back: false,
            is_stopped: false,
            pause: MOVE_PAUSE_MIN,
            began: Time::default(),
            has_looked: false,
            has_closed: false,
            has_keys: false,
            is_told: false,
            is_told_waiting: false,
            is_told_failed: false,
            letters: 0,
            keys: 0,
        }
    }
}

impl Moving {
    /// Whether new letters would come in front of older ones that are to be moved.
    pub(super) const fn refuses_letters(&self) -> bool {
        !self.has_closed
    }

    /// Whether the engine may not know a letter key that is in the file.
    pub(super) const fn has_keys_left(&self) -> bool {
        !self.has_keys
    }

    /// When the store is to be asked next.
    pub(super) const fn due(&self) -> Option<Time> {
        match self.state {
            State::Due(at) => Some(at),
            _ => None,
        }
    }

    fn end(&mut self) {
        (self.state, self.has_closed, self.has_keys) = (State::Over, true, true);
    }

    /// What the store is to be asked now, if anything.
    fn ask(&mut self, now: Time) -> Option<MoveAsk> {
        if self.due().is_none_or(|at| at > now) {
            return None;
        }
        let is_first = self.step == MoveStep::Boxes && self.after == MovePlace::default();
        if is_first {
            (self.began, self.is_held_back) = (now, false);
        } else if self.step != MoveStep::Boxes && self.began + BOX_CLOSED / 2 <= now {
            // The boxes are to stay closed.
            self.begin(MoveStep::Boxes, now);
            (self.began, self.is_held_back) = (now, false);
        }
        self.has_looked = true;
        let moved = std::mem::take(&mut self.moved);
        let ask = MoveAsk { moved: moved.clone(), step: self.step, after: self.after };
        self.state = State::Asked(moved);
        Some(ask)
    }

    fn begin(&mut self, step: MoveStep, at: Time) {
        (self.step, self.after, self.state) = (step, MovePlace::default(), State::Due(at));
    }

    /// The store could not be asked, or did not do it.
    fn failed(&mut self, now: Time) {
        if let State::Asked(moved) = std::mem::replace(&mut self.state, State::Due(now)) {
            self.moved = moved;
        }
        self.state = State::Due(now + MOVE_PAUSE_MAX);
    }

    /// A step is over. Returns whether the pass is.
    fn end_step(&mut self, now: Time) -> bool {
        match self.step {
            MoveStep::Boxes => {
                self.has_closed = true;
                self.begin(MoveStep::Keys, now);
            }
            MoveStep::Keys => {
                self.has_keys |= !self.is_held_back;
                self.begin(MoveStep::Letters, now);
            }
            MoveStep::Letters if self.is_held_back => {
                self.rest(now);
                return true;
            }
            MoveStep::Letters => {
                self.end();
                return true;
            }
        }
        false
    }

    /// Another pass begins after a pause.
    fn rest(&mut self, now: Time) {
        self.begin(MoveStep::Boxes, now + self.pause);
        self.pause = (self.pause * 2).min(MOVE_PAUSE_MAX);
    }

    /// Of the letters of this user some were not taken: those behind them in its box have to wait.
    fn hold_back(&mut self, user: u64) {
        self.is_held_back = true;
        if self.after.user == user {
            self.after.letter = u64::MAX;
        }
    }

    /// A call was answered, or never will be.
    fn answered(&mut self, now: Time) {
        if let State::Calling(left) = &mut self.state {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.end_batch(now);
            }
        }
    }

    fn end_batch(&mut self, now: Time) {
        self.state = State::Due(now);
        if std::mem::take(&mut self.is_stopped) {
            self.rest(now);
        }
    }
}

impl Relay {
    /// Goes on moving: asks the store, and makes the calls that its answer needs.
    pub(super) fn move_on(&mut self, cx: &mut Context) {
        loop {
            if let Some(answer) = self.store.moves().and_then(MoveStore::next_move_answer) {
                self.move_batch(cx, answer);
            }
            let Some(cluster) = &mut self.cluster else { return };
            let Some(store) = self.store.moves() else { return cluster.moving.end() };
            if cluster.moving.has_looked && !cluster.takes_what_is_moved() {
                return;
            }
            let Some(ask) = cluster.moving.ask(cx.now()) else { return };
            if store.ask_move(ask).is_err() {
                return cluster.moving.failed(cx.now());
            }
        }
    }

    /// The store has answered.
    fn move_batch(&mut self, cx: &mut Context, answer: MoveAnswer) {
        let Some(cluster) = &mut self.cluster else { return };
        let may_call = cluster.takes_what_is_moved();
        let (moving, now) = (&mut cluster.moving, cx.now());
        let batch = match answer {
            Ok(batch) => batch,
            Err(detail) => {
                moving.failed(now);
                self.counters.letters_failed += 1;
                if !std::mem::replace(&mut moving.is_told_failed, true) {
                    self.log.tell(&Event::LettersFailed { detail: &detail });
                }
                return;
            }
        };
        moving.is_told_failed = false;
        if !batch.is_empty() && !may_call {
            return moving.begin(MoveStep::Boxes, now);
        }
        if !batch.is_empty() {
            if !std::mem::replace(&mut moving.is_told, true) {
                let letters = self.store.waiting().map_or(0, |waiting| waiting.letters);
                self.log.tell(&Event::Move(MoveNews::Begun { letters }));
            }
            return cluster.call_batch(&batch, now);
        }
        if !moving.end_step(now) {
            return;
        }
        let (letters, keys) = (moving.letters, moving.keys);
        if !moving.is_held_back {
            if moving.is_told {
                self.log.tell(&Event::Move(MoveNews::Ended { letters, keys }));
            }
        } else if !std::mem::replace(&mut moving.is_told_waiting, true) {
            let left = self.store.waiting().map_or(0, |waiting| waiting.letters);
            self.log.tell(&Event::Move(MoveNews::Waits { letters: left }));
        }
    }

    /// The engine has answered for a part of a batch.
    pub(super) fn part_moved(&mut self, cx: &Context, part: MovedPart, taken: Taken) {
        let Some(cluster) = &mut self.cluster else { return };
        let moving = &mut cluster.moving;
        moving.is_stopped |= taken.is_stopped;
        match part {
            MovedPart::Letters { user, owner, numbers, kind } => {
                let count = taken.count.min(numbers.len());
                moving.letters += count as u64;
                self.counters.letters_moved += count as u64;
                moving.moved.letters.extend(numbers.iter().take(count));
                if count < numbers.len() {
                    moving.hold_back(user);
                }
                if count > 0 {
                    moving.pause = MOVE_PAUSE_MIN;
                    let part = MoveNews::Part { to: &owner, letters: count };
                    self.log.tell(&Event::Move(part));
                    if let Some(holder) = self.directory.holder(&owner, &self.peers) {
                        self.letters.takers.wake(holder, kind);
                    }
                }
            }
            MovedPart::Keys(user) if taken.count > 0 => {
                moving.keys += 1;
                self.counters.keys_moved += 1;
                moving.moved.keys.push(user);
            }
            MovedPart::Keys(_) => moving.is_held_back = true,
        }
        moving.answered(cx.now());
    }
}

impl Cluster {
    /// Whether the engine can be asked to take something. Names come first: it takes nothing of
    /// users that it does not know.
    pub(super) fn takes_what_is_moved(&self) -> bool {
        self.is_held() && self.restoring.is_none() && self.calls.has_room()
    }

    /// Makes the calls of a batch.
    fn call_batch(&mut self, batch: &MoveBatch, now: Time) {
        let (own, most) = (self.own, self.config.letters.bytes);
        self.moving.after = batch.next;
        let mut made = 0;
        for (user, part) in &batch.boxes {
            let call = calls::letters(own, &batch.file, part, most);
            if self.call(Asked::Moved(letters_of(*user, part)), &call, now) {
                made += 1;
            } else {
                self.moving.hold_back(*user);
            }
        }
        for (user, keys) in &batch.keys {
            let call = calls::keys(own, keys);
            if self.call(Asked::Moved(MovedPart::Keys(*user)), &call, now) {
                made += 1;
            } else {
                self.moving.is_held_back = true;
            }
        }
        self.moving.state = State::Calling(made);
        if made == 0 {
            self.moving.end_batch(now);
        }
    }
}

fn letters_of(user: u64, part: &FileBox) -> MovedPart {
    let numbers = part.letters.iter().map(|letter| letter.number).collect();
    // Who takes all is woken by a receipt too.
    let has_receipt = part.letters.iter().any(|letter| letter.kind == LetterKind::Receipt);
    let kind = if has_receipt { LetterKind::Receipt } else { LetterKind::Text };
    MovedPart::Letters { user, owner: part.owner.name.clone(), numbers, kind }
}
