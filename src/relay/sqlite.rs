//! The store on the disk: SQLite, on the one thread that the relay has beside its loop.
//!
//! Knows the database (`database.rs`) and the [`Store`] that it serves, nothing of connections or
//! frames. What goes to a disk blocks, and cannot be polled (`epoll_ctl(2)` refuses regular files),
//! so it happens on a thread of its own:
//!
//! ```text
//!   loop ── bind ──▶ bounded queue ──▶ thread: all that waits in one transaction, one fsync
//!   loop ◀── next_answer ── queue ◀── answers, after the commit; then one wake
//! ```
//!
//! While one commit is on its way to the disk, the next requests gather: the busier the relay, the
//! more names share an `fsync`.

use std::io;
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};

use nix::sys::signal::SigSet;

pub use super::database::OpenError;

use super::database::{Database, IfEmpty};
use super::limits::STORE_QUEUE;
use super::store::{Answer, QueueFull, Store, StoreFault};
use crate::reactor::Waker;
use crate::wire::Fingerprint;

/// The bound names in a file, written by a thread of its own.
///
/// Dropped, it waits until what was asked is on the disk.
#[derive(Debug)]
pub struct SqliteStore {
    /// Given up to tell the thread that nothing more comes.
    requests: Option<SyncSender<StoreRequest>>,
    answers: Receiver<Answer>,
    released: Receiver<String>,
    waker: Waker,
    /// How many [`StoreRequest::Used`] wait in the queue: they leave room for requests that users
    /// wait for.
    used_waiting: Arc<AtomicUsize>,
    /// Why the file cannot be written, as it was found at the start.
    fault: Option<String>,
    thread: Option<JoinHandle<()>>,
}

/// What is asked of the thread.
enum StoreRequest {
    /// A name that is to be bound.
    Bind { ticket: u64, name: String, fp: Fingerprint },
    /// A name whose user is connected today.
    Used(String),
    /// Which names were released by another process.
    Released,
}

/// The thread's end of the queues.
struct StoreThread {
    path: PathBuf,
    used_waiting: Arc<AtomicUsize>,
    asked: Receiver<StoreRequest>,
    answers: Sender<Answer>,
    released: Sender<String>,
    waker: Waker,
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
    pub fn open(path: &Path) -> Result<(Self, Vec<(String, Fingerprint)>), OpenError> {
        let (database, bound) = open_database(path, IfEmpty::Create)?;
        Ok((Self::start(path, Ok(database)).map_err(OpenError::Thread)?, bound))
    }

    /// Opens the database at `path`, in which names were kept before. One that is missing or empty
    /// is an error. One that can be read but not written (a full disk) is served as it is: names
    /// are bound again as soon as it can be written, and refused until then
    /// ([`fault`](Self::fault)).
    pub fn open_again(path: &Path) -> Result<(Self, Vec<(String, Fingerprint)>), OpenError> {
        let (database, bound) = match open_database(path, IfEmpty::Refuse) {
            Ok((database, bound)) => (Ok(database), bound),
            Err(error) if error.is_for_want_of_room() => match Database::read(path) {
                Ok(bound) => (Err(error.to_string()), bound),
                Err(_) => return Err(error),
            },
            Err(error) => return Err(error),
        };
        Ok((Self::start(path, database).map_err(OpenError::Thread)?, bound))
    }

    /// Why names cannot be bound now, as it was found at the start.
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    fn start(path: &Path, database: Result<Database, String>) -> io::Result<Self> {
        let (requests, asked) = sync_channel(STORE_QUEUE);
        // Without a bound of its own: each answer is to a request, and those are bounded.
        let (answer, answers) = channel();
        let (tell_released, released) = channel();
        let waker = Waker::new()?;
        let used_waiting = Arc::<AtomicUsize>::default();
        let end = StoreThread {
            path: path.to_owned(),
            asked,
            answers: answer,
            released: tell_released,
            waker: waker.clone(),
            used_waiting: Arc::clone(&used_waiting),
        };
        let fault = database.as_ref().err().cloned();
        let run = move || keep(database.ok(), &end);
        let thread = Some(thread::Builder::new().name("store".to_owned()).spawn(run)?);
        Ok(Self { requests: Some(requests), answers, released, waker, used_waiting, fault, thread })
    }
}

impl Store for SqliteStore {
    fn bind(&mut self, ticket: u64, name: &str, fp: &Fingerprint) -> Result<(), QueueFull> {
        let request = StoreRequest::Bind { ticket, name: name.to_owned(), fp: *fp };
        let requests = self.requests.as_ref().ok_or(QueueFull)?;
        requests.try_send(request).map_err(|_| QueueFull)
    }

    fn next_answer(&mut self) -> Option<Answer> {
        self.answers.try_recv().ok()
    }

    fn used(&mut self, name: &str) -> bool {
        let Some(requests) = &self.requests else { return false };
        if self.used_waiting.fetch_add(1, Ordering::Relaxed) < STORE_QUEUE / 2
            && requests.try_send(StoreRequest::Used(name.to_owned())).is_ok()
        {
            return true;
        }
        self.used_waiting.fetch_sub(1, Ordering::Relaxed);
        false
    }

    fn look_for_released(&mut self) {
        // If the queue is full the request is lost, and the operator sends SIGHUP again.
        let _ = self.requests.as_ref().map(|requests| requests.try_send(StoreRequest::Released));
    }

    fn next_released(&mut self) -> Option<String> {
        self.released.try_recv().ok()
    }

    fn waker(&self) -> Option<Waker> {
        Some(self.waker.clone())
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

/// The thread: does what is asked until the store is dropped, and the queue behind it is empty.
/// While the file cannot be written there is no database; each time that something is asked it is
/// tried again.
fn keep(mut database: Option<Database>, end: &StoreThread) {
    // Signals are the loop's; one that came to this thread would kill the process (`signal(7)`).
    let _ = SigSet::all().thread_block();
    while let Ok(first) = end.asked.recv() {
        let requests: Vec<StoreRequest> =
            iter::once(first).chain(end.asked.try_iter()).take(STORE_QUEUE).collect();
        let mut fault = String::new();
        if database.is_none() {
            match Database::open_only(&end.path, IfEmpty::Refuse) {
                Ok(opened) => database = Some(opened),
                Err(error) => fault = error.to_string(),
            }
        }
        if requests.iter().any(|request| matches!(request, StoreRequest::Released)) {
            // Sending fails only while the store is being dropped. If the disk cannot be read now,
            // the names are found the next time.
            let released = database.as_mut().and_then(|database| database.take_released().ok());
            for name in released.unwrap_or_default() {
                let _ = end.released.send(name);
            }
        }
        let is_usable = bind(database.as_mut().ok_or(fault), &requests, &end.answers);
        end.waker.wake();
        note_used(database.as_mut(), &requests, &end.used_waiting);
        if !is_usable {
            database = None; // opened while its disk was read-only, it would never write
        }
    }
}

/// Binds all names in `requests`, in one transaction. Returns whether the database could be
/// written.
fn bind(
    database: Result<&mut Database, String>,
    requests: &[StoreRequest],
    answers: &Sender<Answer>,
) -> bool {
    let names = requests.iter().filter_map(|request| match request {
        StoreRequest::Bind { ticket, name, fp } => Some((*ticket, name.as_str(), fp)),
        StoreRequest::Used(_) | StoreRequest::Released => None,
    });
    if names.clone().next().is_none() {
        return true;
    }
    let bound = database.and_then(|database| {
        let bound = database.bind(names.clone().map(|(_, name, fp)| (name, fp)));
        bound.map_err(|error| error.to_string())
    });
    let is_usable = bound.is_ok();
    let outcomes = bound.unwrap_or_else(|detail| {
        names.clone().map(|_| Err(StoreFault::Failed(detail.clone()))).collect()
    });
    for ((ticket, ..), outcome) in iter::zip(names, outcomes) {
        let _ = answers.send(Answer { ticket, outcome });
    }
    is_usable
}

/// Notes which names are used today. What cannot be written is noted another time.
fn note_used(database: Option<&mut Database>, requests: &[StoreRequest], waiting: &AtomicUsize) {
    let names: Vec<_> =
        requests
            .iter()
            .filter_map(|request| {
                if let StoreRequest::Used(name) = request { Some(name.as_str()) } else { None }
            })
            .collect();
    if let Some(database) = database.filter(|_| !names.is_empty()) {
        let _ = database.used(names.iter().copied());
    }
    waiting.fetch_sub(names.len(), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;
    use crate::relay::store::MemoryStore;

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
        let (mut store, bound) = SqliteStore::open(&path).unwrap();
        assert_eq!(bound.len(), 0);
        store.bind(1, "bob", &OURS).unwrap();
        store.bind(2, "bob", &THEIRS).unwrap();
        store.bind(3, "bob", &OURS).unwrap();
        let outcomes = [(1, Ok(())), (2, Err(StoreFault::Taken)), (3, Ok(()))];
        let expected = outcomes.map(|(ticket, outcome)| Answer { ticket, outcome });
        assert_eq!(answers(&mut store, 3), expected);
        drop(store);
        let (mut store, bound) = SqliteStore::open(&path).unwrap();
        assert!(bound == [("bob".to_owned(), OURS)]);
        store.bind(4, "bob", &THEIRS).unwrap();
        assert_eq!(answers(&mut store, 1)[0].outcome, Err(StoreFault::Taken));
    }

    #[test]
    fn what_was_asked_is_on_the_disk_once_the_store_is_dropped() {
        let (_home, path) = file();
        let (mut store, _) = SqliteStore::open(&path).unwrap();
        for number in 0..100 {
            store.bind(number, &format!("user{number:02}"), &OURS).unwrap();
        }
        drop(store);
        let (_store, bound) = SqliteStore::open(&path).unwrap();
        assert_eq!(bound.len(), 100);
        assert!(bound.is_sorted());
    }

    #[test]
    fn a_full_disk_is_an_answer_and_the_thread_goes_on() {
        let (_home, path) = file();
        let (database, _) = Database::open(&path, IfEmpty::Create).unwrap();
        database.limit_pages(3);
        let mut store = SqliteStore::start(&path, Ok(database)).unwrap();
        store.bind(0, "bob", &OURS).unwrap();
        assert_eq!(answers(&mut store, 1)[0].outcome, Ok(()));
        store.bind(1, &"x".repeat(100_000), &OURS).unwrap();
        let outcome = answers(&mut store, 1).remove(0).outcome;
        assert!(matches!(outcome, Err(StoreFault::Failed(detail)) if detail.contains("full")));
        store.bind(2, "eve", &OURS).unwrap();
        assert_eq!(answers(&mut store, 1)[0].outcome, Ok(()));
    }

    #[test]
    fn the_queue_is_bounded_and_all_that_it_took_is_answered() {
        let (_home, path) = file();
        let (mut store, _) = SqliteStore::open(&path).unwrap();
        let (mut operator, _) = Database::open(&path, IfEmpty::Create).unwrap();
        let taken = operator.while_locked(|| {
            (0..10_000).find(|&ticket| store.bind(ticket, "bob", &OURS).is_err()).unwrap()
        });
        assert!(taken >= STORE_QUEUE as u64);
        let answers = answers(&mut store, usize::try_from(taken).unwrap());
        assert!(answers.iter().map(|answer| answer.ticket).eq(0..taken));
    }

    #[test]
    fn what_another_process_releases_is_told_once_to_who_asks() {
        let (_home, path) = file();
        let (mut store, _) = SqliteStore::open(&path).unwrap();
        for (ticket, name) in (0..).zip(["alice", "bob"]) {
            store.bind(ticket, name, &OURS).unwrap();
        }
        answers(&mut store, 2);
        let (mut operator, _) = Database::open(&path, IfEmpty::Create).unwrap();
        let mut release = |name: &str| operator.release([name].into_iter(), None).unwrap().len();
        assert_eq!(release("bob"), 1);
        assert_eq!(release("bob"), 0);
        assert_eq!(store.next_released(), None);
        store.look_for_released();
        store.look_for_released();
        store.bind(2, "bob", &THEIRS).unwrap();
        assert_eq!(answers(&mut store, 1)[0].outcome, Ok(()));
        assert_eq!(store.next_released().as_deref(), Some("bob"));
        assert_eq!(store.next_released(), None);
        // Who starts later is not told: it has never known the name as bound.
        assert_eq!(release("alice"), 1);
        drop(store);
        let (mut store, bound) = SqliteStore::open(&path).unwrap();
        assert!(bound == [("bob".to_owned(), THEIRS)]);
        store.look_for_released();
        store.bind(0, "alice", &THEIRS).unwrap();
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
            let (mut disk, _) = SqliteStore::open(&path).unwrap();
            let mut memory = MemoryStore::default();
            for (ticket, (name, key)) in (0..).zip(&requests) {
                disk.bind(ticket, name, &Fingerprint([*key; 32])).unwrap();
                memory.bind(ticket, name, &Fingerprint([*key; 32])).unwrap();
            }
            let expected: Vec<_> = iter::from_fn(|| memory.next_answer()).collect();
            prop_assert_eq!(answers(&mut disk, requests.len()), expected);
        }
    }
}
