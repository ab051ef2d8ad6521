//! What a relay keeps on its own disk: names and their keys, which outlive its process.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use sealwax::reactor::Waker;
use sealwax::relay::store::{Answer, QueueFull, Store, StoreFault};
use sealwax::wire::Fingerprint;

/// The names. Clones are the same disk.
#[derive(Clone, Default)]
pub(crate) struct Home(Rc<RefCell<BTreeMap<String, Fingerprint>>>);

/// The disk, as one run of a relay has it.
struct HomeStore {
    home: Home,
    answers: VecDeque<Answer>,
    released: VecDeque<String>,
}

impl Home {
    pub(crate) fn store(&self) -> Box<dyn Store> {
        let (answers, released) = (VecDeque::new(), VecDeque::new());
        Box::new(HomeStore { home: self.clone(), answers, released })
    }

    /// What is bound, for a relay that starts.
    pub(crate) fn bound(&self) -> Vec<(String, Fingerprint)> {
        self.0.borrow().iter().map(|(name, fp)| (name.clone(), *fp)).collect()
    }
}

impl Store for HomeStore {
    fn bind(
        &mut self,
        ticket: u64,
        name: &str,
        fp: &Fingerprint,
        _pem: &str,
    ) -> Result<(), QueueFull> {
        let owner = *self.home.0.borrow_mut().entry(name.to_owned()).or_insert(*fp);
        let outcome = if owner == *fp { Ok(()) } else { Err(StoreFault::Taken) };
        self.answers.push_back(Answer { ticket, outcome });
        Ok(())
    }

    fn next_answer(&mut self) -> Option<Answer> {
        self.answers.pop_front()
    }

    fn release(&mut self, name: &str) -> Result<(), QueueFull> {
        if self.home.0.borrow_mut().remove(name).is_some() {
            self.released.push_back(name.to_owned());
        }
        Ok(())
    }

    fn next_released(&mut self) -> Option<String> {
        self.released.pop_front()
    }

    fn waker(&self) -> Option<Waker> {
        None
    }
}
