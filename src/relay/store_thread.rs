//! The storage thread: all that waits is done together, and answered after the commit.

use std::iter;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::signal::SigSet;

use super::boxes::{Boxes, LetterLimits};
use super::database::{Database, IfEmpty};
use super::letter_store::{Delivered, Delivery, LetterAnswer, LetterAsk};
use super::limits::{STORE_QUEUE, UPKEEP_INTERVAL, UPKEEP_PAUSE};
use super::move_store::{MoveAnswer, MoveAsk};
use super::store::{Answer, StoreFault};
use crate::reactor::Waker;
use crate::wire::Fingerprint;

/// What is asked of the thread.
pub(super) enum StoreRequest {
    /// A name that is to be bound.
    Bind { ticket: u64, name: String, fp: Fingerprint, pem: String },
    /// A name whose user is connected today.
    Used { name: String, pem: String },
    /// A name that is to be released.
    Release { name: String },
    /// Which names were released, by another process too.
    Released,
    /// Something about letters.
    Letters { ticket: u64, ask: LetterAsk },
    /// What is to be moved into the engine of the cluster.
    Move(MoveAsk),
}

/// The thread's end of the queues.
pub(super) struct StoreThread {
    pub(super) path: PathBuf,
    /// None while the file cannot be written; each time that something is asked it is opened again.
    pub(super) database: Option<Database>,
    pub(super) limits: LetterLimits,
    pub(super) used_waiting: Arc<AtomicUsize>,
    pub(super) expired: Arc<AtomicU64>,
    /// Requests that are done.
    pub(super) done: Arc<AtomicU64>,
    /// How many letters wait.
    pub(super) letters: Arc<AtomicU64>,
    /// Bytes of them.
    pub(super) letter_bytes: Arc<AtomicU64>,
    pub(super) asked: Receiver<StoreRequest>,
    pub(super) answers: Sender<Answer>,
    pub(super) letter_answers: Sender<(u64, LetterAnswer)>,
    pub(super) move_answers: Sender<MoveAnswer>,
    pub(super) released: Sender<String>,
    pub(super) waker: Waker,
}

impl StoreThread {
    /// Does what is asked until the store is dropped, and the queue behind it is empty. In between
    /// it deletes letters whose time is over, and gives room back to the disk.
    pub(super) fn run(mut self) {
        // Signals are the loop's; one that came to this thread would kill the process
        // (`signal(7)`).
        let _ = SigSet::all().thread_block();
        let mut upkeep_at = Instant::now();
        self.tell_waiting();
        loop {
            match self.asked.recv_timeout(upkeep_at.saturating_duration_since(Instant::now())) {
                Ok(first) => {
                    let waiting = iter::once(first).chain(self.asked.try_iter());
                    let requests = waiting.take(STORE_QUEUE).collect();
                    // Letters that were deleted leave room that is to be given back.
                    if self.carry_out(requests) {
                        upkeep_at = upkeep_at.min(Instant::now() + UPKEEP_PAUSE);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if upkeep_at <= Instant::now() {
                upkeep_at = Instant::now() + self.look_after();
                self.tell_waiting();
            }
        }
    }

    /// Carries out all requests. Returns whether any letter was deleted.
    fn carry_out(&mut self, requests: Vec<StoreRequest>) -> bool {
        let mut fault = String::new();
        let count = requests.len() as u64;
        if self.database.is_none() {
            match Database::open_only(&self.path, IfEmpty::Refuse) {
                Ok(opened) => self.database = Some(opened),
                Err(error) => fault = error.to_string(),
            }
        }
        self.release(&requests);
        let mut is_usable = self.bind(&requests, &fault);
        self.note_used(&requests);
        let mut has_deleted = self.move_on(&requests, &fault, &mut is_usable);
        let letters = requests.into_iter().filter_map(|request| match request {
            StoreRequest::Letters { ticket, ask } => Some((ticket, ask)),
            _ => None,
        });
        let asked = Asked::new(letters);
        let told = match &mut self.database {
            Some(database) => asked.answer(database, self.limits, now()),
            None => asked.refuse(&fault),
        };
        for (ticket, answer) in told {
            has_deleted |= answer.has_deleted();
            is_usable &= !answer.has_failed();
            let _ = self.letter_answers.send((ticket, answer));
        }
        self.tell_waiting();
        self.done.fetch_add(count, Ordering::Relaxed);
        self.waker.wake();
        if !is_usable {
            self.database = None; // opened while its disk was read-only, it would never write
        }
        has_deleted
    }

    /// Tells how many letters wait; what cannot be read now is told the next time.
    fn tell_waiting(&self) {
        let Some(database) = &self.database else { return };
        if let Ok(waiting) = Boxes::new(database.tables(), self.limits, now()).waiting() {
            self.letters.store(waiting.letters, Ordering::Relaxed);
            self.letter_bytes.store(waiting.bytes, Ordering::Relaxed);
        }
    }

    /// Releases names, and tells which were released here and elsewhere. What cannot be written or
    /// read now is done when it is asked for again.
    fn release(&mut self, requests: &[StoreRequest]) {
        let Some(database) = self.database.as_mut() else { return };
        let asked = |it: &&StoreRequest| {
            matches!(it, StoreRequest::Release { .. } | StoreRequest::Released)
        };
        if requests.iter().find(asked).is_none() {
            return;
        }
        let names = requests.iter().filter_map(|request| match request {
            StoreRequest::Release { name } => Some(name.as_str()),
            _ => None,
        });
        if names.clone().next().is_some() {
            let _ = database.release(names, None);
        }
        let released = database.take_released().unwrap_or_default();
        if !released.is_empty() {
            let _ = Boxes::new(database.tables(), self.limits, now()).count_again();
        }
        for name in released {
            let _ = self.released.send(name); // fails only while the store is being dropped
        }
    }

    /// Binds all names in `requests`, in one transaction. Returns whether the database could be
    /// written.
    fn bind(&mut self, requests: &[StoreRequest], fault: &str) -> bool {
        let names = requests.iter().filter_map(|request| match request {
            StoreRequest::Bind { ticket, name, fp, pem } => {
                Some((*ticket, name.as_str(), fp, pem.as_str()))
            }
            _ => None,
        });
        if names.clone().next().is_none() {
            return true;
        }
        let database = self.database.as_mut().ok_or_else(|| fault.to_owned());
        let bound = database.and_then(|database| {
            let bound = database.bind(names.clone().map(|(_, name, fp, pem)| (name, fp, pem)));
            bound.map_err(|error| error.to_string())
        });
        let is_usable = bound.is_ok();
        let outcomes = bound.unwrap_or_else(|detail| {
            names.clone().map(|_| Err(StoreFault::Failed(detail.clone()))).collect()
        });
        for ((ticket, ..), outcome) in iter::zip(names, outcomes) {
            let _ = self.answers.send(Answer { ticket, outcome });
        }
        is_usable
    }

    /// Notes which names are used today. What cannot be written is noted another time.
    fn note_used(&mut self, requests: &[StoreRequest]) {
        let used = requests.iter().filter_map(|request| match request {
            StoreRequest::Used { name, pem } => Some((name.as_str(), pem.as_str())),
            _ => None,
        });
        let count = used.clone().count();
        if let Some(database) = self.database.as_mut().filter(|_| count > 0) {
            let _ = database.used(used);
        }
        self.used_waiting.fetch_sub(count, Ordering::Relaxed);
    }

    /// Deletes what the engine of the cluster has, and tells what it is to get next. Returns
    /// whether anything was to be deleted.
    fn move_on(&mut self, requests: &[StoreRequest], fault: &str, is_usable: &mut bool) -> bool {
        let mut has_deleted = false;
        for request in requests {
            let StoreRequest::Move(ask) = request else { continue };
            let answer = match &mut self.database {
                Some(database) => ask.carry_out(database, self.limits, now()),
                None => Err(fault.to_owned()),
            };
            *is_usable &= answer.is_ok();
            has_deleted |= !ask.moved.letters.is_empty();
            let _ = self.move_answers.send(answer);
        }
        has_deleted
    }

    /// Deletes some letters whose time is over, and gives some room back to the disk. Returns when
    /// that is to be done again. What cannot be written now is done another time.
    fn look_after(&mut self) -> Duration {
        let limits = self.limits;
        let Some(database) = self.database.as_mut() else { return UPKEEP_INTERVAL };
        let expire = |tables: &_| Boxes::new(tables, limits, now()).expire();
        let Ok(expired) = database.change(expire) else { return UPKEEP_INTERVAL };
        if expired > 0 {
            self.expired.fetch_add(expired as u64, Ordering::Relaxed);
            self.waker.wake();
        }
        let has_more = database.shrink().unwrap_or(false) || expired > 0;
        if has_more { UPKEEP_PAUSE } else { UPKEEP_INTERVAL }
    }
}

/// An answer and its ticket.
type Ticketed = (u64, LetterAnswer);

/// What is asked of letters, by what it takes.
#[derive(Default)]
pub(super) struct Asked {
    /// What changes nothing, and is awaited by people.
    finds: Vec<(u64, String)>,
    changes: Vec<(u64, LetterAsk)>,
    deliveries: Vec<(u64, Delivery)>,
}

impl Asked {
    pub(super) fn new(all: impl Iterator<Item = (u64, LetterAsk)>) -> Self {
        let mut asked = Self::default();
        for (ticket, ask) in all {
            match ask {
                LetterAsk::Find { name } => asked.finds.push((ticket, name)),
                LetterAsk::Deliver(delivery) => asked.deliveries.push((ticket, delivery)),
                change => asked.changes.push((ticket, change)),
            }
        }
        asked
    }

    /// Answers all: first what changes nothing, then the changes in one transaction, then what is
    /// to be delivered after them.
    pub(super) fn answer(
        self,
        database: &mut Database,
        limits: LetterLimits,
        now: u64,
    ) -> Vec<Ticketed> {
        let mut told = Vec::new();
        for (ticket, name) in &self.finds {
            let found = Boxes::new(database.tables(), limits, now)
                .find(name)
                .map_err(|error| error.to_string());
            told.push((*ticket, LetterAnswer::Found(found)));
        }
        let (deleted, changed) = self.change(database, limits, now);
        told.extend(changed);
        for (place, (ticket, delivery)) in self.deliveries.iter().enumerate() {
            let deleted = deleted.as_ref().map(|counts| counts.get(place).copied().unwrap_or(0));
            let next = Boxes::new(database.tables(), limits, now).next(delivery);
            // What cannot be read now is asked for again.
            let next = next.unwrap_or(Delivered { has_more: true, ..Delivered::default() });
            let deleted = deleted.map_err(Clone::clone);
            told.push((*ticket, LetterAnswer::Delivered(Delivered { deleted, ..next })));
        }
        told
    }

    /// Deletes what was acknowledged, and makes the changes, in one transaction. Returns how many
    /// letters each delivery deleted, and what became of the changes.
    fn change(
        &self,
        database: &mut Database,
        limits: LetterLimits,
        now: u64,
    ) -> (Result<Vec<usize>, String>, Vec<Ticketed>) {
        let is_idle = self.deliveries.iter().all(|(_, delivery)| delivery.acknowledged.is_empty());
        if is_idle && self.changes.is_empty() {
            return (Ok(Vec::new()), Vec::new());
        }
        let delete = |boxes: &Boxes| -> rusqlite::Result<Vec<usize>> {
            self.deliveries.iter().map(|(_, delivery)| boxes.acknowledge(delivery)).collect()
        };
        let both = database.change(|tables| {
            let boxes = Boxes::new(tables, limits, now);
            let deleted = delete(&boxes)?;
            let mut told = Vec::new();
            for (ticket, ask) in &self.changes {
                told.extend(boxes.change(ask)?.map(|answer| (*ticket, answer)));
            }
            Ok((deleted, told))
        });
        match both {
            Ok((deleted, told)) => (Ok(deleted), told),
            Err(error) => {
                // What is deleted makes room where there is none, so it gets a second chance.
                let deleted = database.change(|tables| delete(&Boxes::new(tables, limits, now)));
                let detail = error.to_string();
                let failed =
                    self.changes.iter().map(|(ticket, ask)| (*ticket, ask.failed(&detail)));
                let failed = failed.collect();
                (deleted.map_err(|error| error.to_string()), failed)
            }
        }
    }

    /// Answers all: the file cannot be written, for this reason.
    fn refuse(self, detail: &str) -> Vec<Ticketed> {
        let finds = self.finds.into_iter().map(|(ticket, name)| (ticket, LetterAsk::Find { name }));
        let deliveries = self.deliveries.into_iter();
        let deliveries = deliveries.map(|(ticket, it)| (ticket, LetterAsk::Deliver(it)));
        let all = self.changes.into_iter().chain(finds).chain(deliveries);
        all.map(|(ticket, ask)| (ticket, ask.failed(detail))).collect()
    }
}

/// Milliseconds since 1970. A clock from before 1970 counts as 1970.
fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
