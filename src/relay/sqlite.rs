//! The store on the disk: SQLite, on the one thread that the relay has beside its loop.
//!
//! Knows the database (`database.rs`, `boxes.rs`) and the [`Store`] that it serves, nothing of
//! connections or frames. What goes to a disk blocks, and cannot be polled (`epoll_ctl(2)` refuses
//! regular files), so it happens on a thread of its own (`store_thread.rs`):
//!
//! ```text
//!   loop ── bind, ask ──▶ bounded queue ──▶ thread: all that waits in one transaction, one fsync
//!   loop ◀── next_answer ── queue ◀── answers, after the commit; then one wake
//! ```
//!
//! Names and letters have a transaction each, so that a disk without room for letters can still
//! take a name.
//!
//! While one commit is on its way to the disk, the next requests gather: the busier the relay, the
//! more names share an `fsync`.

use std::cell::Cell;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};

pub use super::boxes::LetterLimits;
pub use super::open_error::OpenError;

use super::database::{Database, IfEmpty};
use super::letter_store::{LetterAnswer, LetterAsk, LetterStore, Waiting};
use super::limits::{STORE_QUEUE, STORE_USED};
use super::move_store::{MoveAnswer, MoveAsk, MoveStore};
use super::store::{Answer, Progress, QueueFull, Store};
use super::store_thread::{StoreRequest, StoreThread};
use crate::reactor::Waker;
use crate::wire::Fingerprint;

/// The bound names and the letters in a file, written by a thread of its own.
///
/// Dropped, it waits until what was asked is on the disk.
#[derive(Debug)]
pub struct SqliteStore {
    /// Given up to tell the thread that nothing more comes.
    requests: Option<SyncSender<StoreRequest>>,
    answers: Receiver<Answer>,
    letter_answers: Receiver<(u64, LetterAnswer)>,
    move_answers: Receiver<MoveAnswer>,
    released: Receiver<String>,
    waker: Waker,
    /// How many [`StoreRequest::Used`] wait in the queue: they leave room for requests that users
    /// wait for.
    used_waiting: Arc<AtomicUsize>,
    /// Letters that were deleted because their time was over, and not told yet.
    expired: Arc<AtomicU64>,
    /// Requests that the queue took, and those that are done.
    asked: Cell<u64>,
    done: Arc<AtomicU64>,
    /// How many letters wait.
    letters: Arc<AtomicU64>,
    /// Bytes of them.
    letter_bytes: Arc<AtomicU64>,
    keeps_letters: bool,
    /// Why the file cannot be written, as it was found at the start.
    fault: Option<String>,
    thread: Option<JoinHandle<()>>,
}

/// The database at `path`, and the names in it: a name that was released before is not among them.
fn open_database(
    path: &Path,
    if_empty: IfEmpty,
) -> Result<(Database, Vec<(String, Fingerprint)>), OpenError> {
    let (mut database, bound) = Database::open(path, if_empty)?;
    database.forget_released().map_err(|error| OpenError::unusable(path, error))?;
    Ok((database, bound))
}

impl SqliteStore {
    /// Opens the database at `path`, which is made where it is not there yet, and starts the
    /// thread. Beside the store come the names bound so far with their keys, sorted.
    pub fn open(
        path: &Path,
        limits: LetterLimits,
    ) -> Result<(Self, Vec<(String, Fingerprint)>), OpenError> {
        let (database, bound) = open_database(path, IfEmpty::Create)?;
        Ok((Self::start(path, Ok(database), limits).map_err(OpenError::Thread)?, bound))
    }

    /// Opens the database at `path`, in which names were kept before. One that is missing or empty
    /// is an error. One that can be read but not written (a full disk) is served as it is: names
    /// are bound again as soon as it can be written, and refused until then
    /// ([`fault`](Self::fault)).
    pub fn open_again(
        path: &Path,
        limits: LetterLimits,
    ) -> Result<(Self, Vec<(String, Fingerprint)>), OpenError> {
        let (database, bound) = match open_database(path, IfEmpty::Refuse) {
            Ok((database, bound)) => (Ok(database), bound),
            Err(error) if error.is_for_want_of_room() => match Database::read(path) {
                Ok(bound) => (Err(error.to_string()), bound),
                Err(_) => return Err(error),
            },
            Err(error) => return Err(error),
        };
        Ok((Self::start(path, database, limits).map_err(OpenError::Thread)?, bound))
    }

    /// Why names cannot be bound now, as it was found at the start.
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    fn start(
        path: &Path,
        database: Result<Database, String>,
        limits: LetterLimits,
    ) -> io::Result<Self> {
        let (requests, asked) = sync_channel(STORE_QUEUE);
        // Without a bound of its own: each answer is to a request, and those are bounded.
        let (answer, answers) = channel();
        let (answer_letter, letter_answers) = channel();
        let (answer_move, move_answers) = channel();
        let (tell_released, released) = channel();
        let waker = Waker::new()?;
        let (used_waiting, expired) = (Arc::<AtomicUsize>::default(), Arc::<AtomicU64>::default());
        let done = Arc::<AtomicU64>::default();
        let [letters, letter_bytes] = [(); 2].map(|()| Arc::<AtomicU64>::default());
        let fault = database.as_ref().err().cloned();
        let end = StoreThread {
            path: path.to_owned(),
            database: database.ok(),
            limits,
            asked,
            answers: answer,
            letter_answers: answer_letter,
            move_answers: answer_move,
            released: tell_released,
            waker: waker.clone(),
            used_waiting: Arc::clone(&used_waiting),
            expired: Arc::clone(&expired),
            done: Arc::clone(&done),
            letters: Arc::clone(&letters),
            letter_bytes: Arc::clone(&letter_bytes),
        };
        let run = move || end.run();
        let thread = Some(thread::Builder::new().name("store".to_owned()).spawn(run)?);
        Ok(Self {
            requests: Some(requests),
            answers,
            letter_answers,
            move_answers,
            released,
            waker,
            used_waiting,
            expired,
            asked: Cell::new(0),
            done,
            letters,
            letter_bytes,
            keeps_letters: limits.bytes > 0,
            fault,
            thread,
        })
    }

    fn send(&self, request: StoreRequest) -> Result<(), QueueFull> {
        let requests = self.requests.as_ref().ok_or(QueueFull)?;
        requests.try_send(request).map_err(|_| QueueFull)?;
        self.asked.set(self.asked.get() + 1);
        Ok(())
    }
}

impl Store for SqliteStore {
    fn bind(
        &mut self,
        ticket: u64,
        name: &str,
        fp: &Fingerprint,
        pem: &str,
    ) -> Result<(), QueueFull> {
        let (name, pem) = (name.to_owned(), pem.to_owned());
        self.send(StoreRequest::Bind { ticket, name, fp: *fp, pem })
    }

    fn next_answer(&mut self) -> Option<Answer> {
        self.answers.try_recv().ok()
    }

    fn used(&mut self, name: &str, pem: &str) -> bool {
        let request = StoreRequest::Used { name: name.to_owned(), pem: pem.to_owned() };
        if self.used_waiting.fetch_add(1, Ordering::Relaxed) < STORE_USED
            && self.send(request).is_ok()
        {
            return true;
        }
        self.used_waiting.fetch_sub(1, Ordering::Relaxed);
        false
    }

    fn letters(&mut self) -> Option<&mut dyn LetterStore> {
        if self.keeps_letters { Some(self) } else { None }
    }

    fn moves(&mut self) -> Option<&mut dyn MoveStore> {
        if self.keeps_letters { Some(self) } else { None }
    }

    fn look_for_released(&mut self) {
        // If the queue is full the request is lost, and the operator sends SIGHUP again.
        let _ = self.send(StoreRequest::Released);
    }

    fn release(&mut self, name: &str) -> Result<(), QueueFull> {
        self.send(StoreRequest::Release { name: name.to_owned() })
    }

    fn progress(&self) -> Progress {
        Progress { asked: self.asked.get(), done: self.done.load(Ordering::Relaxed) }
    }

    fn waiting(&self) -> Option<Waiting> {
        let [letters, bytes] =
            [&self.letters, &self.letter_bytes].map(|count| count.load(Ordering::Relaxed));
        self.keeps_letters.then_some(Waiting { letters, bytes })
    }

    fn next_released(&mut self) -> Option<String> {
        self.released.try_recv().ok()
    }

    fn waker(&self) -> Option<Waker> {
        Some(self.waker.clone())
    }
}

impl LetterStore for SqliteStore {
    fn ask(&mut self, ticket: u64, ask: LetterAsk) -> Result<(), QueueFull> {
        self.send(StoreRequest::Letters { ticket, ask })
    }

    fn next_letter_answer(&mut self) -> Option<(u64, LetterAnswer)> {
        self.letter_answers.try_recv().ok()
    }

    fn take_expired(&mut self) -> u64 {
        self.expired.swap(0, Ordering::Relaxed)
    }
}

impl MoveStore for SqliteStore {
    fn ask_move(&mut self, ask: MoveAsk) -> Result<(), QueueFull> {
        self.send(StoreRequest::Move(ask))
    }

    fn next_move_answer(&mut self) -> Option<MoveAnswer> {
        self.move_answers.try_recv().ok()
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::iter;
    use std::path::PathBuf;
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;
    use crate::relay::store::{MemoryStore, StoreFault};

    const OURS: Fingerprint = Fingerprint([1; 32]);
    const THEIRS: Fingerprint = Fingerprint([2; 32]);

    fn file() -> (tempfile::TempDir, PathBuf) {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("names.sqlite");
        (home, path)
    }

    fn answers(store: &mut SqliteStore, count: usize) -> Vec<Answer> {
        let patience = Instant::now() + Duration::from_secs(30);
        let mut answers = Vec::new();
        while answers.len() < count && Instant::now() < patience {
            match store.next_answer() {
                Some(answer) => answers.push(answer),
                None => thread::sleep(Duration::from_millis(1)),
            }
        }
        answers
    }

    #[test]
    fn a_name_stays_bound_to_its_first_key_across_starts() {
        let (_home, path) = file();
        let (mut store, bound) = SqliteStore::open(&path, LetterLimits::default()).unwrap();
        assert_eq!(bound.len(), 0);
        store.bind(1, "bob", &OURS, "").unwrap();
        store.bind(2, "bob", &THEIRS, "").unwrap();
        store.bind(3, "bob", &OURS, "").unwrap();
        let outcomes = [(1, Ok(())), (2, Err(StoreFault::Taken)), (3, Ok(()))];
        let expected = outcomes.map(|(ticket, outcome)| Answer { ticket, outcome });
        assert_eq!(answers(&mut store, 3), expected);
        drop(store);
        let (mut store, bound) = SqliteStore::open(&path, LetterLimits::default()).unwrap();
        assert!(bound == [("bob".to_owned(), OURS)]);
        store.bind(4, "bob", &THEIRS, "").unwrap();
        assert_eq!(answers(&mut store, 1)[0].outcome, Err(StoreFault::Taken));
    }

    #[test]
    fn what_was_asked_is_on_the_disk_once_the_store_is_dropped() {
        let (_home, path) = file();
        let (mut store, _) = SqliteStore::open(&path, LetterLimits::default()).unwrap();
        for number in 0..100 {
            store.bind(number, &format!("user{number:02}"), &OURS, "").unwrap();
        }
        drop(store);
        let (_store, bound) = SqliteStore::open(&path, LetterLimits::default()).unwrap();
        assert_eq!(bound.len(), 100);
        assert!(bound.is_sorted());
    }

    #[test]
    fn a_full_disk_is_an_answer_and_the_thread_goes_on() {
        let (_home, path) = file();
        let (database, _) = Database::open(&path, IfEmpty::Create).unwrap();
        database.fill_disk();
        let mut store = SqliteStore::start(&path, Ok(database), LetterLimits::default()).unwrap();
        store.bind(0, "bob", &OURS, "").unwrap();
        assert_eq!(answers(&mut store, 1)[0].outcome, Ok(()));
        store.bind(1, &"x".repeat(100_000), &OURS, "").unwrap();
        let outcome = answers(&mut store, 1).remove(0).outcome;
        assert!(matches!(outcome, Err(StoreFault::Failed(detail)) if detail.contains("full")));
        store.bind(2, "eve", &OURS, "").unwrap();
        assert_eq!(answers(&mut store, 1)[0].outcome, Ok(()));
    }

    #[test]
    fn the_queue_is_bounded_and_all_that_it_took_is_answered() {
        let (_home, path) = file();
        let (mut store, _) = SqliteStore::open(&path, LetterLimits::default()).unwrap();
        let (mut operator, _) = Database::open(&path, IfEmpty::Create).unwrap();
        let taken = operator.while_locked(|| {
            (0..10_000).find(|&ticket| store.bind(ticket, "bob", &OURS, "").is_err()).unwrap()
        });
        assert!(taken >= STORE_QUEUE as u64);
        let answers = answers(&mut store, usize::try_from(taken).unwrap());
        assert!(answers.iter().map(|answer| answer.ticket).eq(0..taken));
    }

    #[test]
    fn what_another_process_releases_is_told_once_to_who_asks() {
        let (_home, path) = file();
        let (mut store, _) = SqliteStore::open(&path, LetterLimits::default()).unwrap();
        for (ticket, name) in (0..).zip(["alice", "bob"]) {
            store.bind(ticket, name, &OURS, "").unwrap();
        }
        answers(&mut store, 2);
        let (mut operator, _) = Database::open(&path, IfEmpty::Create).unwrap();
        let mut release = |name: &str| operator.release([name].into_iter(), None).unwrap().len();
        assert_eq!(release("bob"), 1);
        assert_eq!(release("bob"), 0);
        assert_eq!(store.next_released(), None);
        store.look_for_released();
        store.look_for_released();
        store.bind(2, "bob", &THEIRS, "").unwrap();
        assert_eq!(answers(&mut store, 1)[0].outcome, Ok(()));
        assert_eq!(store.next_released().as_deref(), Some("bob"));
        assert_eq!(store.next_released(), None);
        // Who starts later is not told: it has never known the name as bound.
        assert_eq!(release("alice"), 1);
        drop(store);
        let (mut store, bound) = SqliteStore::open(&path, LetterLimits::default()).unwrap();
        assert!(bound == [("bob".to_owned(), THEIRS)]);
        store.look_for_released();
        store.bind(0, "alice", &THEIRS, "").unwrap();
        assert_eq!(answers(&mut store, 1)[0].outcome, Ok(()));
        assert_eq!(store.next_released(), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        #[test]
        fn the_store_on_the_disk_answers_as_the_one_in_memory(
            requests in prop::collection::vec(("[a-c]", 0_u8..3), 1..40)
        ) {
            let (_home, path) = file();
            let (mut disk, _) = SqliteStore::open(&path, LetterLimits::default()).unwrap();
            let mut memory = MemoryStore::default();
            for (ticket, (name, key)) in (0..).zip(&requests) {
                disk.bind(ticket, name, &Fingerprint([*key; 32]), "").unwrap();
                memory.bind(ticket, name, &Fingerprint([*key; 32]), "").unwrap();
            }
            let expected: Vec<_> = iter::from_fn(|| memory.next_answer()).collect();
            prop_assert_eq!(answers(&mut disk, requests.len()), expected);
        }
    }
}
