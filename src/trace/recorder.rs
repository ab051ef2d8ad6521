//! The notes of a tick, gathered from both sides of the loop.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use nix::Result;

use super::record::{Annotation, Call, Callback, Effect, Named, Next, Phase, Step, Tick, What};
use crate::reactor::{CloseReason, Context, Event, ReadBlocks, State, Time, Token};

/// Gathers the notes, and hands out a [`Tick`] whenever the loop waits again. Clones share the
/// notes.
#[derive(Clone)]
pub struct Recorder(Rc<RefCell<Notes>>);

struct Notes {
    clock: Box<dyn FnMut() -> Time>,
    give: Box<dyn FnMut(&Tick)>,
    tick: Tick,
    /// Each source as it was last seen.
    known: HashMap<Token, KnownSource>,
    /// The handler's words since the last call to it began.
    annotations: Vec<Annotation>,
}

/// What was last seen of a source.
struct KnownSource {
    name: Rc<str>,
    /// Its name: the handler's, or what it was opened as.
    is_named: bool,
    queued: usize,
    paused: bool,
    in_use: bool,
}

impl Recorder {
    /// One that reads the time from `clock`, which has to be the loop's own, and gives each tick to
    /// `give` when it is over.
    pub fn new(clock: impl FnMut() -> Time + 'static, give: impl FnMut(&Tick) + 'static) -> Self {
        Self(Rc::new(RefCell::new(Notes {
            clock: Box::new(clock),
            give: Box::new(give),
            tick: Tick::default(),
            known: HashMap::new(),
            annotations: Vec::new(),
        })))
    }

    /// The handler says what it is doing, while it is being called.
    pub fn say(&self, text: String, json: String) {
        self.0.borrow_mut().annotations.push(Annotation { text, json });
    }

    /// Nothing more will be noted: gives the last tick.
    pub fn finish(&self) {
        self.0.borrow_mut().end_tick();
    }

    /// A tick is over, and the loop has not waited again: notes how its sources stand. Where the
    /// caller of [`tick`](crate::reactor::Reactor::tick) leaves this out, the trace does not tell.
    pub fn ticked(&self, cx: &Context) {
        let notes = &mut *self.0.borrow_mut();
        let tick = &notes.tick;
        let called = tick.steps.iter().filter_map(|step| step.whom.as_ref());
        let changed = tick.steps.iter().flat_map(|step| &step.changes).map(|(whom, _)| whom);
        let named = called.chain(changed).chain(&tick.dirty).map(|named| named.token);
        let mut all: Vec<_> = tick.events.iter().map(|(event, _)| event.token).collect();
        all.extend(named);
        all.sort_unstable();
        all.dedup();
        let stands = |token: Token| Some((notes.named(token)?, cx.snapshot(token)?));
        let sources = all.into_iter().filter_map(stands).collect();
        let left = cx.left_to_do();
        let names = |tokens: &[Token]| tokens.iter().filter_map(|&it| notes.named(it)).collect();
        let (dirty, ready) = (names(&left.dirty), names(&left.ready));
        (notes.tick.sources, notes.tick.next) = (sources, Next { left, dirty, ready });
    }

    pub(super) fn now(&self) -> Time {
        (self.0.borrow_mut().clock)()
    }

    /// The loop is about to wait: the tick before is over.
    pub(super) fn wait(&self, timeout: Option<Duration>) {
        let notes = &mut *self.0.borrow_mut();
        notes.end_tick();
        notes.tick.timeout = timeout;
        notes.tick.began = (notes.clock)();
    }

    /// It has waited, and this is ready.
    pub(super) fn woke(&self, events: &[Event]) {
        let notes = &mut *self.0.borrow_mut();
        notes.tick.woke = (notes.clock)();
        let named = |event: &Event| (*event, notes.named(event.token));
        notes.tick.events = events.iter().map(named).collect();
    }

    /// A source has got its descriptor.
    pub(super) fn meet(&self, token: Token, name: &Rc<str>) {
        let notes = &mut *self.0.borrow_mut();
        let known = notes.known(token);
        if !known.is_named {
            (known.name, known.is_named) = (Rc::clone(name), true);
        }
    }

    /// The kernel was called at `at`, and has answered.
    pub(super) fn called(
        &self,
        phase: Phase,
        at: Time,
        (token, descriptor): (Option<Token>, Option<i32>),
        mut call: Call,
        outcome: Result<usize>,
    ) {
        let notes = &mut *self.0.borrow_mut();
        let took = (notes.clock)().since(at);
        if let (Call::Writev { offered, left, .. }, Some(token)) = (&mut call, token) {
            *left = notes.written(token, *offered, outcome.unwrap_or(0));
        }
        if let (Call::Close, Some(token)) = (&call, token) {
            // The loop itself is over, and closes what is left after its last tick.
            notes.tick.sources.retain(|(named, _)| named.token != token);
        }
        let whom = token.and_then(|token| notes.named(token));
        let what = What::Kernel(call, outcome);
        let (annotations, changes) = (Vec::new(), Vec::new());
        let step = Step { phase, at, took, whom, descriptor, what, annotations, changes };
        notes.tick.steps.push(step);
    }

    /// The handler is about to be called. What changed until now is the loop's own doing.
    pub(super) fn begin(&self, cx: &Context) -> Time {
        let notes = &mut *self.0.borrow_mut();
        notes.changes(cx, |_| None);
        notes.annotations.clear();
        (notes.clock)()
    }

    /// The handler was called at `at`, and has returned; `name` is what it calls its sources.
    pub(super) fn told(
        &self,
        cx: &Context,
        at: Time,
        token: Option<Token>,
        callback: Callback,
        name: impl Fn(Token) -> Option<String>,
    ) {
        let notes = &mut *self.0.borrow_mut();
        let took = (notes.clock)().since(at);
        if let Some(token) = token {
            notes.rename(token, name(token));
        }
        let changes = notes.changes(cx, name);
        let annotations = std::mem::take(&mut notes.annotations);
        notes.tick.left = cx.queued_in_all();
        if let Callback::EndOfTick = callback {
            notes.tick.end_of_tick = Some((at, took));
            notes.tick.queued = notes.tick.left;
            notes.tick.dirty = cx.dirty().filter_map(|(token, _)| notes.named(token)).collect();
            if annotations.is_empty() && changes.is_empty() {
                return;
            }
        }
        let whom = token.and_then(|token| notes.named(token));
        if let (Callback::Closed(_), Some(token)) = (callback, token) {
            notes.known.remove(&token);
        }
        let (phase, what) = (callback.phase(), What::Handler(callback));
        let step = Step { phase, at, took, whom, descriptor: None, what, annotations, changes };
        notes.tick.steps.push(step);
    }
}

impl Notes {
    fn end_tick(&mut self) {
        self.tick.ended = (self.clock)();
        let is_empty = self.tick.is_empty();
        if !is_empty {
            (self.give)(&self.tick);
        }
        // Before the first wait nothing has to happen: that is no tick.
        let counts = is_empty && self.tick.number > 0;
        let empty_before = if counts { self.tick.empty_before + 1 } else { 0 };
        let (number, left) = (self.tick.number + 1, self.tick.left);
        self.tick = Tick { number, empty_before, queued: left, left, ..Tick::default() };
    }

    fn named(&self, token: Token) -> Option<Named> {
        let name = Rc::clone(&self.known.get(&token)?.name);
        Some(Named { token, name })
    }

    fn rename(&mut self, token: Token, name: Option<String>) {
        let Some(name) = name else { return };
        let known = self.known(token);
        known.is_named = true;
        if *known.name != *name {
            known.name = name.into();
        }
    }

    fn known(&mut self, token: Token) -> &mut KnownSource {
        let new = || KnownSource {
            name: "a new one".into(),
            is_named: false,
            queued: 0,
            paused: false,
            in_use: true,
        };
        self.known.entry(token).or_insert_with(new)
    }

    /// `gone` bytes of `offered` have left; returns how many wait now.
    fn written(&mut self, token: Token, offered: usize, gone: usize) -> usize {
        self.tick.left = self.tick.left.saturating_sub(gone);
        let known = self.known(token);
        // What was queued within the flush itself was not seen until now.
        known.queued = known.queued.max(offered).saturating_sub(gone);
        known.queued
    }

    /// What has changed since this was last called, of the sources that the tick has to do with.
    fn changes(
        &mut self,
        cx: &Context,
        name: impl Fn(Token) -> Option<String>,
    ) -> Vec<(Named, Effect)> {
        let mut changes = Vec::new();
        for (token, now) in cx.dirty() {
            let (queued, is_in_use) = (now.queued, now.is_in_use);
            let is_paused = now.read_blocks.any(ReadBlocks::PAUSED);
            let known = self.known(token);
            let mut of_this = [None; 3];
            if queued > known.queued {
                of_this[0] = Some(Effect::Queued(queued - known.queued));
            }
            if is_paused != known.paused {
                of_this[1] = Some(if is_paused { Effect::Paused } else { Effect::Resumed });
            }
            if known.in_use && !is_in_use {
                of_this[2] = match now.state {
                    State::Closing => Some(Effect::Closing),
                    State::Dead(CloseReason::Aborted { .. }) => Some(Effect::Aborted),
                    _ => None,
                };
            }
            (known.queued, known.paused, known.in_use) = (queued, is_paused, is_in_use);
            if of_this.iter().any(Option::is_some) {
                self.rename(token, name(token));
                let Some(named) = self.named(token) else { continue };
                changes.extend(of_this.into_iter().flatten().map(|change| (named.clone(), change)));
            }
        }
        changes
    }
}
