//! What boxes hold, refuse and give back, at instants that the tests choose.

use std::path::PathBuf;

use super::super::database::{Database, IfEmpty};
use super::super::limits::SPARE_PAGES;
use super::*;
use crate::limits::MLKEM_KEY;

const DAY: u64 = 24 * 3600 * 1000;
const NOW: u64 = 20_000 * DAY;
const LIMITS: LetterLimits = LetterLimits { bytes: LETTERS_BYTES, days: LETTERS_DAYS };

/// A file in which some names are bound, each to a key of its own.
struct File {
    _home: tempfile::TempDir,
    path: PathBuf,
    database: Database,
}

fn owner(name: &str) -> Owner {
    Owner { name: name.to_owned(), fp: Fingerprint([name.as_bytes()[0]; 32]) }
}

impl File {
    fn with(names: &[&str]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("names.sqlite");
        let (mut database, _) = Database::open(&path, IfEmpty::Create).unwrap();
        let names = names.iter().map(|name| owner(name)).collect::<Vec<_>>();
        let bound = names.iter().map(|owner| (&*owner.name, &owner.fp, "PEM"));
        assert!(database.bind(bound).unwrap().iter().all(Result::is_ok));
        Self { _home: home, path, database }
    }

    fn at<T>(
        &mut self,
        (limits, now): (LetterLimits, u64),
        change: impl FnOnce(&Boxes) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        self.database.change(|tables| change(&Boxes::new(tables, limits, now)))
    }

    fn publish(&mut self, name: &str, id: u32, now: u64) -> Vec<KeyCount> {
        let (created, expires) = (now, now + 90 * DAY);
        let (mlkem, signature) = (Box::new([7; MLKEM_KEY]), vec![9; 384]);
        let key = LetterKey { id, created, expires, x25519: [8; 32], mlkem, signature };
        self.at((LIMITS, now), |boxes| boxes.publish(&owner(name), "PEM", &key)).unwrap().unwrap()
    }

    /// Keeps a letter of so many bytes, or tells the code of the refusal.
    fn keep(&mut self, id: &str, bytes: usize, when: (LetterLimits, u64)) -> Option<ErrorCode> {
        let letter = letter("alice", "bob", id, bytes);
        let kept = self.at(when, |boxes| boxes.keep(&letter)).unwrap();
        kept.err().map(|fault| match fault {
            LetterFault::Refused(code, _) => code,
            LetterFault::Failed(detail) => panic!("{detail}"),
        })
    }

    fn next(&self, name: &str) -> Vec<(u64, Vec<u8>)> {
        Boxes::new(self.database.tables(), LIMITS, NOW).next(&all_of(name)).unwrap().letters
    }

    /// What is counted, and what there is: letters and bytes of all shares, of all senders, of all.
    fn check_counts(&self) {
        let ask = |question: &str| -> i64 {
            self.database.tables().query_row(question, [], |row| row.get(0)).unwrap()
        };
        let bytes = ask("SELECT coalesce(sum(length(content)), 0) FROM letters");
        assert_eq!(ask("SELECT coalesce(sum(bytes), 0) FROM shares"), bytes);
        assert_eq!(ask("SELECT coalesce(sum(bytes), 0) FROM sent"), bytes);
        assert_eq!(ask("SELECT bytes FROM total"), bytes);
        let letters = ask("SELECT count(*) FROM letters");
        assert_eq!(ask("SELECT coalesce(sum(letters), 0) FROM shares"), letters);
        let waiting = Boxes::new(self.database.tables(), LIMITS, NOW).waiting().unwrap();
        assert_eq!([waiting.letters, waiting.bytes], [letters, bytes].map(i64::unsigned_abs));
    }
}

fn letter(from: &str, to: &str, id: &str, bytes: usize) -> NewLetter {
    let (from, to, id) = (owner(from), to.to_owned(), id.to_owned());
    NewLetter { from, to, id, kind: LetterKind::Text, key_id: 1, kept: vec![b'x'; bytes] }
}

fn all_of(name: &str) -> Delivery {
    let (acknowledged, take) = (Vec::new(), TakeMode::All);
    let (letters, bytes) = (usize::MAX, usize::MAX);
    Delivery { owner: owner(name), take, acknowledged, after: 0, letters, bytes }
}

#[test]
fn all_that_a_box_holds_is_counted_however_it_comes_and_goes() {
    let mut file = File::with(&["alice", "bob"]);
    file.publish("bob", 1, NOW);
    for id in ["1", "2", "3"] {
        assert_eq!(file.keep(id, 100, (LIMITS, NOW)), None);
        file.check_counts();
    }
    let (number, _) = file.next("bob")[1];
    let delivery = Delivery { acknowledged: vec![number, number, 77], ..all_of("bob") };
    assert_eq!(file.at((LIMITS, NOW), |boxes| boxes.acknowledge(&delivery)).unwrap(), 1);
    file.check_counts();
    // Of another box it deletes nothing.
    let (number, _) = file.next("bob")[0];
    let delivery = Delivery { acknowledged: vec![number], ..all_of("alice") };
    assert_eq!(file.at((LIMITS, NOW), |boxes| boxes.acknowledge(&delivery)).unwrap(), 0);
    let days = u64::from(LETTERS_DAYS);
    let expire = |boxes: &Boxes| boxes.expire();
    assert_eq!(file.at((LIMITS, NOW + days * DAY), expire).unwrap(), 0);
    assert_eq!(file.at((LIMITS, NOW + days * DAY + 1), expire).unwrap(), 2);
    file.check_counts();
    assert_eq!(file.next("bob"), []);
}

#[test]
fn letters_that_were_there_or_that_another_process_deletes_are_counted() {
    let mut file = File::with(&["alice", "bob"]);
    file.publish("bob", 1, NOW);
    for id in ["1", "2"] {
        assert_eq!(file.keep(id, 100, (LIMITS, NOW)), None);
    }
    let mut other = Database::open_only(&file.path, IfEmpty::Refuse).unwrap();
    let waiting = Boxes::new(other.tables(), LIMITS, NOW).waiting().unwrap();
    assert_eq!(waiting, Waiting { letters: 2, bytes: 200 });
    // A change that is taken back is no change.
    let failed = file.at((LIMITS, NOW), |boxes| -> rusqlite::Result<()> {
        boxes.keep(&letter("alice", "bob", "3", 100))?.unwrap();
        Err(rusqlite::Error::QueryReturnedNoRows)
    });
    assert!(failed.is_err());
    file.check_counts();
    assert_eq!(other.release(["bob"].into_iter(), None).unwrap().len(), 1);
    let count_again = |boxes: &Boxes| boxes.count_again();
    file.at((LIMITS, NOW), count_again).unwrap();
    file.check_counts();
}

/// Its owner's clock was wrong for a while.
#[test]
fn a_key_from_the_future_gives_way_to_one_of_today() {
    let mut file = File::with(&["alice", "bob"]);
    let mut publish = |id, created: u64| {
        let (expires, mlkem) = (created + 90 * DAY, Box::new([7; MLKEM_KEY]));
        let key = LetterKey { id, created, expires, x25519: [8; 32], mlkem, signature: vec![9] };
        let published = |boxes: &Boxes| boxes.publish(&owner("bob"), "PEM", &key);
        file.at((LIMITS, NOW), published).unwrap().is_ok()
    };
    assert!(publish(1, NOW + 3650 * DAY));
    assert!(publish(2, NOW), "the one of today");
    assert!(!publish(3, NOW - DAY), "an older one");
}

#[test]
fn the_key_before_the_newest_is_taken_for_its_time() {
    let mut file = File::with(&["alice", "bob"]);
    let grace = u64::try_from(LETTER_KEY_GRACE.as_millis()).unwrap();
    file.publish("bob", 1, NOW);
    file.publish("bob", 2, NOW + DAY);
    assert_eq!(file.keep("1", 1, (LIMITS, NOW + DAY + grace - 1)), None);
    assert_eq!(file.keep("2", 1, (LIMITS, NOW + DAY + grace)), Some(ErrorCode::StaleKey));
    assert_eq!(file.keep("1", 1, (LIMITS, NOW + DAY + grace)), None, "it lies there already");
    assert_eq!(file.publish("bob", 2, NOW + DAY), [KeyCount { key_id: 1, count: 1 }]);
    let late = NOW + 91 * DAY;
    assert_eq!(file.keep("3", 1, (LIMITS, late)), Some(ErrorCode::NoLetterbox));
    let find = |now| Boxes::new(file.database.tables(), LIMITS, now).find("bob").unwrap().unwrap();
    assert!(find(NOW + 2 * DAY).letter_key.is_some() && find(late).letter_key.is_none());
}

#[test]
fn all_boxes_together_have_a_bound_and_so_has_a_sender() {
    let mut file = File::with(&["alice", "bob", "carol", "dave", "eve", "frank"]);
    let names = ["bob", "carol", "dave", "eve", "frank"];
    for name in names {
        file.publish(name, 1, NOW);
    }
    let small = LetterLimits { bytes: 1000, ..LIMITS };
    assert_eq!(file.keep("1", 1000, (small, NOW)), None);
    assert_eq!(file.keep("2", 1, (small, NOW)), Some(ErrorCode::MailboxFull));
    // A stranger has a quarter of each box, and so four boxes full.
    let mut taken = 0;
    for (id, name) in (0..1000).flat_map(|id| names.map(|name| (id, name))) {
        let letter = letter("alice", name, &format!("x{id}"), 50_000);
        taken += u32::from(file.at((LIMITS, NOW), |boxes| boxes.keep(&letter)).unwrap().is_ok());
    }
    assert_eq!(taken, (SENDER_BYTES - 1000) / 50_000);
    file.check_counts();
}

#[test]
fn whom_an_owner_wrote_to_is_remembered_and_the_last_ones_replace_the_first() {
    let names: Vec<String> = (0..300).map(|number| format!("user{number}")).collect();
    let mut all = vec!["alice", "bob"];
    all.extend(names.iter().map(String::as_str));
    let mut file = File::with(&all);
    for (number, name) in (0..).zip(&names) {
        let bob = owner("bob");
        file.at((LIMITS, NOW + number), |boxes| boxes.wrote(&bob, name)).unwrap();
    }
    let known = |name: &str| {
        let question = "SELECT count(*) FROM written JOIN users ON to_user = id WHERE name = ?1";
        file.database.tables().query_row(question, [name], |row| row.get::<_, bool>(0)).unwrap()
    };
    let first = names.len() - WRITTEN_KEPT as usize;
    assert!(!known(&names[first - 1]) && known(&names[first]) && known(&names[299]));
}

#[test]
fn a_disk_without_room_keeps_nothing_of_a_letter() {
    let mut file = File::with(&["alice", "bob"]);
    file.publish("bob", 1, NOW);
    file.database.fill_disk();
    let long = letter("alice", "bob", "1", 50_000);
    let error = file.at((LIMITS, NOW), |boxes| boxes.keep(&long)).unwrap_err();
    assert!(error.to_string().contains("full"), "{error}");
    file.check_counts();
    assert_eq!(file.next("bob"), []);
    assert_eq!(file.keep("1", 100, (LIMITS, NOW)), None, "a short one fits");
}

#[test]
fn a_file_without_boxes_keeps_its_names_and_gets_boxes() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("names.sqlite");
    let old = Connection::open(&path).unwrap();
    old.execute_batch(
        "PRAGMA journal_mode = wal;
         CREATE TABLE names (name TEXT PRIMARY KEY,
             fp BLOB NOT NULL CHECK (length(fp) = 32), bound_day INTEGER, used_day INTEGER
         ) STRICT, WITHOUT ROWID;
         CREATE TABLE released (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
         INSERT INTO names VALUES ('bob', zeroblob(32), 1, 2);
         PRAGMA user_version = 2",
    )
    .unwrap();
    drop(old);
    assert_eq!(Database::read(&path).unwrap().len(), 1, "read as it is");
    for _ in 0..2 {
        let (mut database, _) = Database::open(&path, IfEmpty::Refuse).unwrap();
        let names = database.all_names().unwrap();
        assert_eq!((names.len(), &*names[0].name, names[0].bound_day), (1, "bob", Some(1)));
        let find = |database: &Database| Boxes::new(database.tables(), LIMITS, NOW).find("bob");
        assert!(find(&database).unwrap().is_none() || names[0].used_day > Some(2));
        database.used([("bob", "PEM")].into_iter()).unwrap();
        assert_eq!(find(&database).unwrap().unwrap().pem, "PEM");
    }
}

#[test]
fn the_file_becomes_short_again_when_the_boxes_are_emptied() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let mut file = File::with(&names);
    let length = |file: &File| {
        // What was written last is brought into the file.
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
        file.database.tables().query_row(checkpoint, [], |_| Ok(())).unwrap();
        std::fs::metadata(&file.path).unwrap().len()
    };
    let least = length(&file);
    for (to, from) in names.iter().zip(names.iter().cycle().skip(1)) {
        file.publish(to, 1, NOW);
        file.at((LIMITS, NOW), |boxes| boxes.wrote(&owner(to), from)).unwrap();
        for id in 0..16 {
            let letter = letter(from, to, &id.to_string(), 30_000);
            file.at((LIMITS, NOW), |boxes| boxes.keep(&letter)).unwrap().unwrap();
        }
    }
    let longest = length(&file);
    assert!(longest > least + 8 * 16 * 30_000, "{longest} bytes");
    for name in names {
        let acknowledged = file.next(name).iter().map(|letter| letter.0).collect();
        let delivery = Delivery { acknowledged, ..all_of(name) };
        assert_eq!(file.at((LIMITS, NOW), |boxes| boxes.acknowledge(&delivery)).unwrap(), 16);
    }
    while file.database.shrink().unwrap() {}
    let spare = u64::from(SPARE_PAGES) * 4096;
    let shortest = length(&file);
    assert!(shortest < least + spare + 64 * 1024, "{shortest} bytes of {longest}");
}
