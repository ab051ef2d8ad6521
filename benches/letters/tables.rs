//! What a letter costs the tables of the relay, in memory, with few letters in them and with many; and
//! what it costs the storage thread and the disk, without a relay in front.
//!
//! The disk is that of the temporary directory (`TMPDIR`).

use std::path::Path;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use sealwax::limits::MLKEM_KEY;
use sealwax::relay::inline_store::InlineStore;
use sealwax::relay::letter_store::{
    Delivery, LetterAnswer, LetterAsk, LetterStore, NewLetter, Owner,
};
use sealwax::relay::limits::{LETTERS_UNDER_WAY, SPARE_PAGES, WAL_BYTES};
use sealwax::relay::sqlite::{LetterLimits, SqliteStore};
use sealwax::relay::store::Store;
use sealwax::wire::{Fingerprint, LetterKey, LetterKind, TakeMode};

/// Letters that wait in a box at a time, each from whom its owner wrote to.
const IN_A_BOX: usize = 64;
/// Letters that are acknowledged in one step of a delivery.
const IN_A_STEP: usize = 16;

/// A store on the disk, with some questions on their way.
struct OnDisk {
    store: SqliteStore,
    tickets: u64,
    under_way: usize,
}

impl OnDisk {
    /// Asks, as soon as few enough questions are on their way.
    fn ask(&mut self, ask: LetterAsk) {
        while self.under_way >= LETTERS_UNDER_WAY {
            self.answer();
        }
        self.tickets += 1;
        self.under_way += 1;
        self.store.ask(self.tickets, ask).expect("room in the queue");
    }

    /// The next answer.
    fn answer(&mut self) -> LetterAnswer {
        loop {
            if let Some((_, answer)) = self.store.next_letter_answer() {
                self.under_way -= 1;
                let is_refused =
                    matches!(answer, LetterAnswer::Kept(Err(_)) | LetterAnswer::Published(Err(_)));
                assert!(!is_refused, "{answer:?}");
                return answer;
            }
            std::thread::sleep(Duration::from_micros(50));
        }
    }

    fn settle(&mut self) {
        while self.under_way > 0 {
            self.answer();
        }
    }
}

/// Letters of this length come into so many boxes and go, and that so many times.
pub(crate) fn disk(boxes: usize, rounds: usize, bytes: usize) {
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().join("names.sqlite");
    let (store, _) = SqliteStore::open(&path, LetterLimits::default()).expect("a new file");
    let mut disk = OnDisk { store, tickets: 0, under_way: 0 };
    let name = |number: usize| format!("user{number}");
    let owner = |number: usize| {
        let mut fp = [0; 32];
        fp[..8].copy_from_slice(&number.to_be_bytes());
        Owner { name: name(number), fp: Fingerprint(fp) }
    };
    for user in 0..=boxes {
        disk.store.bind(0, &name(user), &owner(user).fp, "PEM").expect("room in the queue");
        while disk.store.next_answer().is_none() {
            std::thread::sleep(Duration::from_micros(50));
        }
    }
    for user in 0..boxes {
        let pem = "PEM".to_owned();
        disk.ask(LetterAsk::Publish { owner: owner(user), pem, key: key() });
        disk.ask(LetterAsk::Wrote { owner: owner(user), to: name(user + 1) });
    }
    disk.settle();
    let least = bytes_of(home.path());
    let (mut most, mut kept, mut gone) = (0, Spent::default(), Spent::default());
    for round in 0..rounds {
        kept.more(|| {
            for id in 0..IN_A_BOX {
                for user in 0..boxes {
                    let id = format!("{round}-{id}");
                    let (from, to, kind) = (owner(user + 1), name(user), LetterKind::Text);
                    let kept = vec![b'x'; bytes];
                    disk.ask(LetterAsk::Keep(NewLetter { from, to, id, kind, key_id: 1, kept }));
                }
            }
            disk.settle();
        });
        most = most.max(bytes_of(home.path()));
        gone.more(|| (0..boxes).for_each(|user| take_all(&mut disk, &owner(user))));
    }
    let begun = Instant::now();
    // A page is 4 KiB.
    let spare = u64::from(SPARE_PAGES) * 4096 + u64::from(WAL_BYTES);
    while bytes_of(home.path()) > least + spare && begun.elapsed() < Duration::from_mins(1) {
        std::thread::sleep(Duration::from_millis(10));
    }
    let shrunk = begun.elapsed();
    let letters = boxes * IN_A_BOX * rounds;
    let status = std::fs::read_to_string("/proc/self/status").expect("proc(5)");
    let peak = status.lines().find(|line| line.starts_with("VmHWM:")).expect("proc(5)");
    println!("{letters} letters of {bytes} bytes through {boxes} boxes on the disk:");
    println!("  kept: {}; taken and deleted: {}", kept.of(letters), gone.of(letters));
    println!("  memory of this process, at most: {}", peak.trim_start_matches("VmHWM:").trim());
    let (least, most, last) = (least / 1024, most / 1024, bytes_of(home.path()) / 1024);
    println!(
        "  file and -wal: {least} KiB, at most {most}, and {last} {shrunk:.1?} after the last"
    );
}

/// Takes what waits in a box, step by step.
fn take_all(disk: &mut OnDisk, owner: &Owner) {
    let (mut acknowledged, mut after) = (Vec::new(), 0);
    loop {
        let (owner, take, letters, bytes) = (owner.clone(), TakeMode::All, IN_A_STEP, 256 * 1024);
        disk.ask(LetterAsk::Deliver(Delivery { owner, take, acknowledged, after, letters, bytes }));
        let LetterAnswer::Delivered(came) = disk.answer() else { panic!("another answer") };
        acknowledged = came.letters.iter().map(|letter| letter.0).collect();
        let Some(&last) = acknowledged.last() else { return };
        after = last;
    }
}

/// The bytes of all files in a directory.
fn bytes_of(directory: &Path) -> u64 {
    let files = directory.read_dir().expect("ours");
    files.map(|file| file.and_then(|file| file.metadata()).map_or(0, |it| it.len())).sum()
}

/// What was spent on something.
#[derive(Default)]
struct Spent {
    time: Duration,
    cpu: Duration,
}

impl Spent {
    fn more(&mut self, what: impl FnOnce()) {
        let (begun, before) = (Instant::now(), storage_cpu());
        what();
        self.time += begun.elapsed();
        self.cpu += storage_cpu().saturating_sub(before);
    }

    /// By the letter.
    fn of(&self, letters: usize) -> String {
        let letters = u32::try_from(letters).expect("few");
        let a_second = f64::from(letters) / self.time.as_secs_f64();
        format!("{a_second:.0} a second, {:.1?} of the storage thread each", self.cpu / letters)
    }
}

/// What all threads but this one have used of a processor: the storage thread's.
fn storage_cpu() -> Duration {
    let all = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("a clock of Linux");
    Duration::from(all).saturating_sub(cpu())
}

fn key() -> LetterKey {
    let (mlkem, signature) = (Box::new([7; MLKEM_KEY]), vec![9; 384]);
    LetterKey { id: 1, created: 1, expires: 7_000_000_000_000, x25519: [8; 32], mlkem, signature }
}

/// What a letter costs in the tables, in memory, with few letters and with many.
pub(crate) fn depth(most: usize) {
    let mut store = InlineStore::new(Box::new(|| 2)).expect("tables in memory");
    let name = |number: usize| format!("user{number}");
    let fp = |number: usize| {
        let mut fp = [0; 32];
        fp[..8].copy_from_slice(&number.to_be_bytes());
        Fingerprint(fp)
    };
    let owner = |number: usize| Owner { name: name(number), fp: fp(number) };
    let users = most / 64 + 1;
    for user in 0..users {
        store.keep_name(&name(user), &fp(user), "PEM").expect("bound");
        let (owner, pem) = (owner(user), "PEM".to_owned());
        store.carry_out(LetterAsk::Publish { owner, pem, key: key() });
    }
    for user in 0..users {
        store.carry_out(LetterAsk::Wrote { owner: owner(user), to: name((user + 1) % users) });
    }
    let mut kept = 0;
    for until in [most / 100, most] {
        let begun = cpu();
        let before = kept;
        while kept < until {
            let (to, id) = (kept % users, kept / users);
            let from = owner((to + 1) % users);
            let (to, id, kind) = (name(to), id.to_string(), LetterKind::Text);
            let letter = NewLetter { from, to, id, kind, key_id: 1, kept: vec![b'x'; 300] };
            let answer = store.carry_out(LetterAsk::Keep(letter));
            assert_eq!(answer, LetterAnswer::Kept(Ok(())));
            kept += 1;
        }
        let each = cpu().saturating_sub(begun) / u32::try_from(kept - before).expect("few");
        println!("letters up to {until}, kept in memory: {each:?} each");
    }
}

/// What this thread has used of a processor.
fn cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a clock of Linux").into()
}
