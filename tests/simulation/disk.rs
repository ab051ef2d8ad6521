//! A store that takes its time, and sometimes fails: what is bound outlives the relay.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use sealwax::reactor::{Sys, Time, Waker};
use sealwax::relay::inline_store::InlineStore;
use sealwax::relay::letter_store::{LetterAnswer, LetterAsk, LetterStore};
use sealwax::relay::store::{Answer, QueueFull, Store, StoreFault};
use sealwax::wire::Fingerprint;

use crate::dice::Dice;
use crate::support::kernel::Kernel;
use crate::weather::Weather;

/// What the clock of the boxes says, in milliseconds since 1970: nothing expires in a run.
const BOX_CLOCK: u64 = 1_800_000_000_000;

/// What lies on the disk, and what is being written. Clones are the same.
#[derive(Clone)]
pub(crate) struct Disk(Rc<RefCell<Inner>>);

struct Inner {
    dice: Dice,
    weather: Weather,
    bound: BTreeMap<String, Fingerprint>,
    asked: VecDeque<Ask>,
    /// Letters, and what belongs to them; it knows the names too.
    boxes: InlineStore,
    letters_asked: VecDeque<AskLetters>,
    is_sound: bool,
}

struct AskLetters {
    due: Time,
    ticket: u64,
    ask: LetterAsk,
    is_told: bool,
}

struct Ask {
    due: Time,
    ticket: u64,
    name: String,
    fp: Fingerprint,
    pem: String,
    is_told: bool,
}

impl Inner {
    /// Binds a name that is free, and tells whose it is.
    fn bind(&mut self, name: String, fp: Fingerprint, pem: &str) -> Fingerprint {
        let _ = self.boxes.keep_name(&name, &fp, pem);
        *self.bound.entry(name).or_insert(fp)
    }
}

/// The disk, as one run of a relay has it.
pub(crate) struct SlowStore {
    disk: Disk,
    clock: Kernel,
}

impl Disk {
    pub(crate) fn new(dice: Dice, weather: Weather) -> Self {
        Self(Rc::new(RefCell::new(Inner {
            dice,
            weather,
            bound: BTreeMap::new(),
            asked: VecDeque::new(),
            boxes: empty_boxes(),
            letters_asked: VecDeque::new(),
            is_sound: false,
        })))
    }

    pub(crate) fn store(&self, clock: Kernel) -> Box<dyn Store> {
        Box::new(SlowStore { disk: self.clone(), clock })
    }

    pub(crate) fn bound(&self) -> Vec<(String, Fingerprint)> {
        let bound = &self.0.borrow().bound;
        bound.iter().map(|(name, fp)| (name.clone(), *fp)).collect()
    }

    /// All is forgotten.
    pub(crate) fn erase(&self) {
        let inner = &mut *self.0.borrow_mut();
        inner.bound.clear();
        inner.boxes = empty_boxes();
    }

    /// The relay is gone; some of what it asked for is written, and it will never hear of it.
    pub(crate) fn lose(&self) {
        let inner = &mut *self.0.borrow_mut();
        for ask in std::mem::take(&mut inner.asked) {
            if inner.dice.chance(500) {
                inner.bind(ask.name, ask.fp, &ask.pem);
            }
        }
        for AskLetters { ask, .. } in std::mem::take(&mut inner.letters_asked) {
            if inner.dice.chance(500) {
                inner.boxes.carry_out(ask);
            }
        }
    }

    /// From now on it does not fail.
    pub(crate) fn calm(&self) {
        self.0.borrow_mut().is_sound = true;
    }

    /// When the next answer is there that nobody was woken for.
    pub(crate) fn due(&self) -> Option<Time> {
        let inner = self.0.borrow();
        let names = inner.asked.iter().find(|ask| !ask.is_told).map(|ask| ask.due);
        let letters = inner.letters_asked.iter().find(|ask| !ask.is_told).map(|ask| ask.due);
        names.into_iter().chain(letters).min()
    }

    /// Whether the relay is to be woken.
    pub(crate) fn wakes(&self, now: Time) -> bool {
        let inner = &mut *self.0.borrow_mut();
        let due = inner.asked.iter_mut().filter(|ask| !ask.is_told && ask.due <= now);
        let names = due.map(|ask| ask.is_told = true).count();
        let due = inner.letters_asked.iter_mut().filter(|ask| !ask.is_told && ask.due <= now);
        names + due.map(|ask| ask.is_told = true).count() > 0
    }
}

impl Store for SlowStore {
    fn bind(
        &mut self,
        ticket: u64,
        name: &str,
        fp: &Fingerprint,
        pem: &str,
    ) -> Result<(), QueueFull> {
        let inner = &mut *self.disk.0.borrow_mut();
        if !inner.is_sound && inner.dice.chance(10) {
            inner.weather.count("store full");
            return Err(QueueFull);
        }
        let soonest = inner.asked.back().map_or(Time::default(), |ask| ask.due);
        let due = soonest.max(self.clock.now() + inner.dice.millis(0, 20));
        let (name, fp, pem, is_told) = (name.to_owned(), *fp, pem.to_owned(), false);
        inner.asked.push_back(Ask { due, ticket, name, fp, pem, is_told });
        Ok(())
    }

    fn next_answer(&mut self) -> Option<Answer> {
        let now = self.clock.now();
        let inner = &mut *self.disk.0.borrow_mut();
        let Ask { ticket, name, fp, pem, .. } = inner.asked.pop_front_if(|ask| ask.due <= now)?;
        if !inner.is_sound && inner.dice.chance(20) {
            inner.weather.count("store failed");
            let outcome = Err(StoreFault::Failed("no space left on device".to_owned()));
            return Some(Answer { ticket, outcome });
        }
        let owner = inner.bind(name, fp, &pem);
        let outcome = if owner == fp { Ok(()) } else { Err(StoreFault::Taken) };
        Some(Answer { ticket, outcome })
    }

    fn letters(&mut self) -> Option<&mut dyn LetterStore> {
        Some(self)
    }

    fn waker(&self) -> Option<Waker> {
        Waker::new().ok()
    }
}

impl LetterStore for SlowStore {
    fn ask(&mut self, ticket: u64, ask: LetterAsk) -> Result<(), QueueFull> {
        let inner = &mut *self.disk.0.borrow_mut();
        if !inner.is_sound && inner.dice.chance(10) {
            inner.weather.count("store full");
            return Err(QueueFull);
        }
        let soonest = inner.letters_asked.back().map_or(Time::default(), |ask| ask.due);
        let due = soonest.max(self.clock.now() + inner.dice.millis(0, 20));
        inner.letters_asked.push_back(AskLetters { due, ticket, ask, is_told: false });
        Ok(())
    }

    fn next_letter_answer(&mut self) -> Option<(u64, LetterAnswer)> {
        let now = self.clock.now();
        let inner = &mut *self.disk.0.borrow_mut();
        let AskLetters { ticket, ask, .. } =
            inner.letters_asked.pop_front_if(|ask| ask.due <= now)?;
        if !inner.is_sound && inner.dice.chance(20) {
            inner.weather.count("store failed");
            return Some((ticket, ask.failed("no space left on device")));
        }
        Some((ticket, inner.boxes.carry_out(ask)))
    }
}

/// Boxes in which nothing is.
fn empty_boxes() -> InlineStore {
    InlineStore::new(Box::new(|| BOX_CLOCK)).expect("tables in memory")
}
