//! A store that takes its time, and sometimes fails: what is bound outlives the relay.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use sealwax::reactor::{Sys, Time, Waker};
use sealwax::relay::store::{Answer, QueueFull, Store, StoreFault};
use sealwax::wire::Fingerprint;

use crate::dice::Dice;
use crate::support::kernel::Kernel;
use crate::weather::Weather;

/// What lies on the disk, and what is being written. Clones are the same.
#[derive(Clone)]
pub(crate) struct Disk(Rc<RefCell<Inner>>);

struct Inner {
    dice: Dice,
    weather: Weather,
    bound: BTreeMap<String, Fingerprint>,
    asked: VecDeque<Ask>,
    is_sound: bool,
}

struct Ask {
    due: Time,
    ticket: u64,
    name: String,
    fp: Fingerprint,
    is_told: bool,
}

/// The disk, as one run of a relay has it.
pub(crate) struct SlowStore {
    disk: Disk,
    clock: Kernel,
}

impl Disk {
    pub(crate) fn new(dice: Dice, weather: Weather) -> Self {
        let (bound, asked) = (BTreeMap::new(), VecDeque::new());
        Self(Rc::new(RefCell::new(Inner { dice, weather, bound, asked, is_sound: false })))
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
        self.0.borrow_mut().bound.clear();
    }

    /// The relay is gone; some of what it asked for is written, and it will never hear of it.
    pub(crate) fn lose(&self) {
        let inner = &mut *self.0.borrow_mut();
        for ask in std::mem::take(&mut inner.asked) {
            if inner.dice.chance(500) {
                inner.bound.entry(ask.name).or_insert(ask.fp);
            }
        }
    }

    /// From now on it does not fail.
    pub(crate) fn calm(&self) {
        self.0.borrow_mut().is_sound = true;
    }

    /// When the next answer is there that nobody was woken for.
    pub(crate) fn due(&self) -> Option<Time> {
        self.0.borrow().asked.iter().find(|ask| !ask.is_told).map(|ask| ask.due)
    }

    /// Whether the relay is to be woken.
    pub(crate) fn wakes(&self, now: Time) -> bool {
        let inner = &mut *self.0.borrow_mut();
        let due = inner.asked.iter_mut().filter(|ask| !ask.is_told && ask.due <= now);
        due.map(|ask| ask.is_told = true).count() > 0
    }
}

impl Store for SlowStore {
    fn bind(
        &mut self,
        ticket: u64,
        name: &str,
        fp: &Fingerprint,
        _pem: &str,
    ) -> Result<(), QueueFull> {
        let inner = &mut *self.disk.0.borrow_mut();
        if !inner.is_sound && inner.dice.chance(10) {
            inner.weather.count("store full");
            return Err(QueueFull);
        }
        let soonest = inner.asked.back().map_or(Time::default(), |ask| ask.due);
        let due = soonest.max(self.clock.now() + inner.dice.millis(0, 20));
        let (name, fp, is_told) = (name.to_owned(), *fp, false);
        inner.asked.push_back(Ask { due, ticket, name, fp, is_told });
        Ok(())
    }

    fn next_answer(&mut self) -> Option<Answer> {
        let now = self.clock.now();
        let inner = &mut *self.disk.0.borrow_mut();
        let Ask { ticket, name, fp, .. } = inner.asked.pop_front_if(|ask| ask.due <= now)?;
        if !inner.is_sound && inner.dice.chance(20) {
            inner.weather.count("store failed");
            let outcome = Err(StoreFault::Failed("no space left on device".to_owned()));
            return Some(Answer { ticket, outcome });
        }
        let owner = *inner.bound.entry(name).or_insert(fp);
        let outcome = if owner == fp { Ok(()) } else { Err(StoreFault::Taken) };
        Some(Answer { ticket, outcome })
    }

    fn waker(&self) -> Option<Waker> {
        Waker::new().ok()
    }
}
