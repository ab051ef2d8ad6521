//! The interface to what the relay keeps: which name is bound to which key. What it keeps of
//! letters has an interface of its own (`letter_store.rs`), which a store may have or not.
//!
//! Knows names and fingerprints, no disk. A disk cannot be polled, so the interface is made for a
//! store that takes its time: the relay asks with [`Store::bind`] and goes on; what became of it is
//! told by [`Store::next_answer`], which the relay drains at the end of each tick. A store that
//! needs time has a [`Waker`], which does no more than make a tick happen; one that knows at once
//! needs none. So there is one path through the relay for every store: this file's [`MemoryStore`],
//! the one on the disk (`sqlite.rs`) and the one of the simulation, which answers late and fails on
//! purpose.
//!
//! What was bound before is handed to the relay once, when a store is opened. From then on the
//! relay knows each binding as soon as it was answered, and asks only about names that it finds
//! unbound. Two such requests for one name can be under way at once; the store decides between
//! them.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use super::letter_store::{LetterStore, Waiting};
use super::limits::STORE_QUEUE;
use super::move_store::MoveStore;
use crate::reactor::Waker;
use crate::wire::Fingerprint;

/// Where bound names outlive the relay.
pub trait Store {
    /// Asks to bind `name` to `fp`, the fingerprint of the key whose text is `pem`. The answer
    /// comes under `ticket`, a number that only the relay understands. A name that is bound to `fp`
    /// already is bound again: the answer is the same.
    fn bind(
        &mut self,
        ticket: u64,
        name: &str,
        fp: &Fingerprint,
        pem: &str,
    ) -> Result<(), QueueFull>;

    /// The next answer that has come; answers come in the order of the requests.
    fn next_answer(&mut self) -> Option<Answer>;

    /// Notes that the user of `name`, which is bound, is connected today with a key of this text.
    /// Nothing is answered. Tells whether that was taken; where not, it is noted another time.
    fn used(&mut self, _name: &str, _pem: &str) -> bool {
        true
    }

    /// Where letters are kept; `None` where none are.
    fn letters(&mut self) -> Option<&mut dyn LetterStore> {
        None
    }

    /// What is to be moved where the relay joins a cluster; `None` where nothing is kept.
    fn moves(&mut self) -> Option<&mut dyn MoveStore> {
        None
    }

    /// Asks which names the operator has released since this was last asked, with a command of its
    /// own beside this process. A store that nobody else can reach has none.
    fn look_for_released(&mut self) {}

    /// The next such name that has come.
    fn next_released(&mut self) -> Option<String> {
        None
    }

    /// Asks to release `name`: the next user who proves it gets it. Once that is done,
    /// [`next_released`](Self::next_released) tells the name.
    fn release(&mut self, _name: &str) -> Result<(), QueueFull> {
        Err(QueueFull)
    }

    /// What waits in all letterboxes; `None` where no letters are kept.
    fn waiting(&self) -> Option<Waiting> {
        None
    }

    /// How much the store was asked, and how much of it is done.
    fn progress(&self) -> Progress {
        Progress::default()
    }

    /// What wakes the loop when answers have come, for the relay to open as a source; `None` where
    /// an answer is there as soon as it was asked for.
    fn waker(&self) -> Option<Waker>;
}

/// How far a store has come with what it was asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Requests since the start.
    pub asked: u64,
    /// Those of them that are done.
    pub done: u64,
}

impl Progress {
    /// Whether nothing is left to do.
    pub const fn is_idle(self) -> bool {
        self.asked == self.done
    }
}

/// What became of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The number that came with the request.
    pub ticket: u64,
    /// Whether the name is bound now, for good.
    pub outcome: Result<(), StoreFault>,
}

/// Why a name was not bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreFault {
    /// Another key has it.
    Taken,
    /// It could not be written (a full disk, for one), and later it may; the text is for the
    /// operator's log.
    Failed(String),
}

impl fmt::Display for StoreFault {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Taken => write!(out, "the name is bound to another key"),
            Self::Failed(detail) => write!(out, "the name cannot be kept: {detail}"),
        }
    }
}

impl std::error::Error for StoreFault {}

/// [`STORE_QUEUE`] requests are waiting already. This one was not taken, and no answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueFull;

impl fmt::Display for QueueFull {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        write!(out, "too much waits to be kept")
    }
}

impl std::error::Error for QueueFull {}

/// Keeps nothing beyond the process (`--ephemeral`).
#[derive(Debug, Default)]
pub struct MemoryStore {
    // A tree and not a hash table: it is never copied to grow.
    bound: BTreeMap<Box<str>, Fingerprint>,
    answers: VecDeque<Answer>,
    released: VecDeque<String>,
}

impl Store for MemoryStore {
    fn bind(
        &mut self,
        ticket: u64,
        name: &str,
        fp: &Fingerprint,
        _pem: &str,
    ) -> Result<(), QueueFull> {
        if self.answers.len() >= STORE_QUEUE {
            return Err(QueueFull);
        }
        let owner = self.bound.entry(name.into()).or_insert(*fp);
        let outcome = if owner == fp { Ok(()) } else { Err(StoreFault::Taken) };
        self.answers.push_back(Answer { ticket, outcome });
        Ok(())
    }

    fn next_answer(&mut self) -> Option<Answer> {
        self.answers.pop_front()
    }

    fn release(&mut self, name: &str) -> Result<(), QueueFull> {
        if self.bound.remove(name).is_some() {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_binds_a_name_to_the_first_key_and_answers_in_order() {
        let (ours, theirs) = (Fingerprint([1; 32]), Fingerprint([2; 32]));
        let mut store = MemoryStore::default();
        for (ticket, fp) in [(7, ours), (8, theirs), (9, ours)] {
            store.bind(ticket, "alice", &fp, "").unwrap();
        }
        let answers: Vec<_> = std::iter::from_fn(|| store.next_answer()).collect();
        let outcomes = [(7, Ok(())), (8, Err(StoreFault::Taken)), (9, Ok(()))];
        assert_eq!(answers, outcomes.map(|(ticket, outcome)| Answer { ticket, outcome }));
    }

    #[test]
    fn memory_refuses_more_asks_than_may_wait() {
        let mut store = MemoryStore::default();
        let fp = Fingerprint([1; 32]);
        for ticket in 0..STORE_QUEUE as u64 {
            store.bind(ticket, "alice", &fp, "").unwrap();
        }
        assert_eq!(store.bind(0, "bob", &fp, ""), Err(QueueFull));
        store.next_answer();
        store.bind(0, "bob", &fp, "").unwrap();
    }
}
