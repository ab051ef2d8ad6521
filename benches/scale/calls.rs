//! What each call costs the engine's processor, beside a plain `SET` of the same round.

use sealwax::cluster::frames::{self, Parcel, ParcelKind};
use sealwax::cluster::letters::{self, LetterUser, LettersWanted};
use sealwax::cluster::names::{self, LeaseAnswer, LeaseStep, ReapAnswer};
use sealwax::cluster::resp::Value;
use sealwax::cluster::script::Call;
use sealwax::cluster::{Incarnation, keys};
use sealwax::wire::TakeMode;

use crate::engine::{Link, Server, micros_each};
use crate::users;

/// How a round is done: whether the engine writes a log of what changes, and how many calls are on
/// their way at once.
const COLUMNS: [(bool, usize, &str); 3] =
    [(true, 1, "one at a time"), (true, 64, "64 at once"), (false, 64, "64 at once, no log")];
/// Frames of a parcel and bytes of each: what a tick gathered for one relay.
const PARCELS: [(usize, usize); 6] =
    [(1, 100), (16, 100), (64, 100), (1, 4096), (4, 4096), (16, 4096)];
/// What stands in front of a parcel, and in front of each frame with a name of 16 bytes.
const PARCEL_HEAD: usize = 8;
const FRAME_HEAD: usize = 7 + 16;
/// A parcel of answers with one row.
const ANSWERS: usize = 18;
/// Letters in a box when one more comes that finds many there.
const LETTERS: usize = 32;
const LETTER_BYTES: usize = 1024;
/// Letters that are taken from a box at a time.
const TAKEN: usize = 16;
/// A relay whose name this is ends in each round.
const ENDING: u8 = 100;

/// All of them: so many calls of each in so many rounds.
pub(crate) fn all(count: usize, rounds: usize) {
    let mut book = Book::default();
    for (column, (has_log, at_once, _)) in COLUMNS.into_iter().enumerate() {
        let Some(server) = Server::start(has_log) else { return };
        let [one, two] = [1, 2].map(|number| server.link(number));
        let mut bench = Bench { server, one, two, book, column, at_once, count, next: 0 };
        for round in 0..rounds {
            bench.round(u8::try_from(round).expect("few rounds"));
        }
        bench.leases(rounds);
        book = bench.book;
    }
    book.print();
}

struct Bench {
    server: Server,
    one: Link,
    two: Link,
    book: Book,
    column: usize,
    at_once: usize,
    count: usize,
    /// The number of the next user.
    next: usize,
}

impl Bench {
    fn round(&mut self, round: u8) {
        for bytes in [100, 4096] {
            let set = [b"SET".to_vec(), b"sealwax-bench".to_vec(), vec![b'x'; bytes]];
            self.measure(&format!("SET of {bytes} bytes"), self.count, |bench| {
                bench.one.repeat(("SET", &set), bench.count, bench.at_once);
            });
        }
        self.names();
        self.relay_ends(round);
        for (frames, bytes) in PARCELS {
            let length = PARCEL_HEAD + frames * (FRAME_HEAD + bytes);
            let name = format!("{frames} frames of {bytes} bytes, all the way");
            self.parcels(&name, ParcelKind::Frames, length);
        }
        self.parcels("answers to them, all the way", ParcelKind::Answers, ANSWERS);
        self.letters();
    }

    /// Measures something that is done so many times.
    fn measure(&mut self, name: &str, times: usize, work: impl FnOnce(&mut Self)) {
        let before = self.server.cpu();
        work(self);
        let spent = self.server.cpu().saturating_sub(before);
        self.book.note(name, self.column, micros_each(spent, times));
    }

    /// Makes a call about each of these users, all of which are answered so.
    fn about_each(
        &mut self,
        (name, answer): (&str, &str),
        first: usize,
        call: impl Fn(Incarnation, usize) -> Call,
    ) {
        let calls: Vec<_> =
            (first..first + self.count).map(|number| call(self.one.own, number)).collect();
        self.measure(name, calls.len(), |bench| {
            bench.one.all_answered(answer, &calls, bench.at_once);
        });
    }

    fn names(&mut self) {
        let first = self.next;
        self.next += 2 * self.count;
        self.about_each(("bind a name", "new"), first, users::bind);
        let change = self.server.ask(&["GET", "sealwax:change"]).number().unwrap_or_default();
        let claim = |own, number| users::claim(own, number, true);
        self.about_each(("hold a name, version 2", "taken"), first, claim);
        self.about_each(("another prekey", "published"), first, users::publish);
        self.about_each(("look a user up", "found"), first, users::find);
        self.changes(change);
        self.table();
        self.about_each(("let it go", "released"), first, users::release);
        let second = first + self.count;
        let claim = |own, number| users::claim(own, number, false);
        self.about_each(("hold a name, original", "taken"), second, claim);
        self.about_each(("let it go, original", "released"), second, users::release);
    }

    /// Another relay reads what changed behind this number, as many changes a read as it may.
    fn changes(&mut self, behind: u64) {
        let count = self.count;
        self.measure("a change, read by one relay", count, |bench| {
            let mut behind = behind;
            let end = behind + count as u64;
            while behind < end {
                let command = frames::read_streams(bench.two.own, 0, Some(behind));
                let answer = bench.two.ask("XREAD", &command);
                let read = frames::read(bench.two.own, &answer).expect("changes");
                behind = read.changes.last().expect("some").number;
            }
        });
    }

    /// Another relay reads who is where.
    fn table(&mut self) {
        let count = self.count;
        self.measure("a name of the table, read by one relay", count, |bench| {
            let (mut cursor, mut names) = (0, 0);
            loop {
                let page = bench.two.ask("HSCAN", &frames::scan(cursor));
                let page = frames::scanned(&page).expect("a page");
                names += page.names.len();
                cursor = page.next;
                if cursor == 0 {
                    break;
                }
            }
            assert!(names >= count, "{names}");
        });
    }

    /// The lease of a relay ends that has users, and another frees their names.
    fn relay_ends(&mut self, round: u8) {
        let mut dead = self.server.link(ENDING + round);
        let claims: Vec<_> = (self.next..self.next + self.count)
            .map(|number| users::claim(dead.own, number, false))
            .collect();
        self.next += self.count;
        dead.all_answered("taken", &claims, 64);
        self.server.ask(&users::lease_ends(dead.own));
        let reap = names::reap(self.one.own, dead.own);
        self.measure("free a name of a relay that ended", self.count, |bench| {
            loop {
                let answer = bench.one.all(std::slice::from_ref(&reap), 1).remove(0);
                match names::reaped(&answer).expect("an answer") {
                    ReapAnswer::Reaped { left: 0, .. } => break,
                    ReapAnswer::Reaped { .. } => {}
                    other => panic!("{other:?}"),
                }
            }
        });
    }

    /// Parcels for the other relay, which waits for them, reads and deletes them.
    fn parcels(&mut self, name: &str, kind: ParcelKind, length: usize) {
        let most = 4 * 1024 * 1024 / length; // as many bytes as may wait, and some room
        let at_once = self.at_once.min(most);
        let times = (self.count / at_once).min(100 * most / at_once).max(1);
        let data = vec![b'x'; length];
        let call = frames::forward(self.one.own, self.two.own, kind, data);
        let calls = vec![call; at_once];
        self.measure(name, times * at_once, |bench| {
            for _ in 0..times {
                let mut missing = at_once;
                bench.begin_reading();
                bench.one.all_answered("queued", &calls, at_once);
                loop {
                    missing -= bench.finish_reading();
                    if missing == 0 {
                        break;
                    }
                    bench.begin_reading();
                }
            }
        });
    }

    fn begin_reading(&mut self) {
        let command = frames::read_streams(self.two.own, self.two.read_up_to, None);
        self.two.begin("XREAD", &command);
    }

    /// Returns how many parcels came.
    fn finish_reading(&mut self) -> usize {
        let answer = self.two.finish();
        let parcels = frames::read(self.two.own, &answer).expect("parcels").parcels;
        if let Some(last) = parcels.last() {
            self.two.read_up_to = last.number;
            let bytes = parcels.iter().map(Parcel::bytes).sum();
            let drain = frames::drain(self.two.own, last.number, bytes);
            self.two.all_answered("drained", &[drain], 1);
        }
        parcels.len()
    }

    /// Letters come into boxes, are taken and deleted.
    fn letters(&mut self) {
        let boxes = (self.count / 10).max(1);
        let sender = |owner: usize| owner + boxes - owner % 16;
        let (first, own) = (self.next.next_multiple_of(16), self.one.own);
        self.next = first + 3 * boxes + 16;
        let owners = first..first + boxes;
        let everybody: Vec<_> = (first..self.next).map(|it| users::bind(own, it)).collect();
        self.one.all_answered("new", &everybody, 64);
        let keys: Vec<_> = owners.clone().map(|it| users::letter_key(own, it)).collect();
        self.measure("a key for letters", boxes, |bench| {
            bench.one.all_answered("letterbox", &keys, bench.at_once);
        });
        let wrote: Vec<_> = owners.clone().map(|it| users::wrote(own, it, sender(it))).collect();
        self.one.all_answered("noted", &wrote, 64);
        for letter in 0..=LETTERS {
            let keep = |owner| users::keep(own, (sender(owner), owner), letter, LETTER_BYTES);
            let calls: Vec<_> = owners.clone().map(keep).collect();
            let name = match letter {
                0 => "keep a letter of 1 KiB, the first of its box".to_owned(),
                LETTERS => format!("the same where {LETTERS} wait"),
                _ => {
                    self.one.all_answered("kept", &calls, 64);
                    continue;
                }
            };
            self.measure(&name, boxes, |bench| {
                bench.one.all_answered("kept", &calls, bench.at_once);
            });
        }
        let mut taken = vec![(0, Vec::new()); boxes];
        for name in ["take a letter", "delete a letter, and take one"] {
            let all = owners.clone().zip(&taken);
            let calls: Vec<_> = all.map(|(it, taken)| deliver(own, it, taken)).collect();
            let mut answers = Vec::new();
            self.measure(&format!("{name}, {TAKEN} a call"), TAKEN * boxes, |bench| {
                answers = bench.one.all(&calls, bench.at_once);
            });
            taken = answers.iter().map(numbers).collect();
        }
    }

    /// What a renewal costs with so many relays.
    fn leases(&mut self, rounds: usize) {
        let mut relays = 2; // this one and the other
        for wanted in [2, 16, 250] {
            while relays < wanted {
                relays += 1;
                let number = u16::try_from(1000 + relays).expect("few relays");
                let mut other = [0; 16];
                other[..2].copy_from_slice(&number.to_le_bytes());
                let take = self.one.lease_of(Incarnation(other), LeaseStep::Take);
                let persist = [b"PERSIST".to_vec(), take.keys[0].clone().into_bytes()];
                self.one.all_answered("held", &[take], 1);
                self.one.ask("PERSIST", &persist);
            }
            let renew = self.one.lease_of(self.one.own, LeaseStep::Renew);
            let calls = vec![renew; self.count];
            for _ in 0..rounds {
                let name = format!("renew a lease, {wanted} relays");
                self.measure(&name, calls.len(), |bench| {
                    let answers = bench.one.all(&calls, bench.at_once);
                    let held = names::leased(&answers[0]).expect("an answer");
                    assert!(matches!(held, LeaseAnswer::Held { dead, .. } if dead.is_empty()));
                });
                // That it renews gave it an end again.
                let persist = [b"PERSIST".to_vec(), keys::lease(self.one.own).into_bytes()];
                self.one.ask("PERSIST", &persist);
            }
        }
    }
}

/// The next letters of a box, behind this number; these are needed no more.
fn deliver(own: Incarnation, owner: usize, (after, acknowledged): &(u64, Vec<u64>)) -> Call {
    let (name, fp) = (users::name(owner), users::fp(owner));
    let wanted = LettersWanted {
        owner: LetterUser { name: &name, fp: &fp },
        take: TakeMode::All,
        after: *after,
        letters: TAKEN,
        bytes: 64 * 1024,
        acknowledged,
    };
    letters::deliver(own, &wanted)
}

/// The numbers of the letters that came, and the last of them.
fn numbers(answer: &Value) -> (u64, Vec<u64>) {
    let found = letters::delivered(answer).expect("an answer").expect("a lease");
    let numbers: Vec<_> = found.letters.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers.len(), TAKEN);
    (numbers[TAKEN - 1], numbers)
}

/// The figures of all rounds, in the order in which the works were first done.
#[derive(Default)]
struct Book(Vec<(String, [Vec<f64>; COLUMNS.len()])>);

impl Book {
    fn note(&mut self, name: &str, column: usize, micros: f64) {
        let place = self.0.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            self.0.push((name.to_owned(), Default::default()));
            self.0.len() - 1
        });
        self.0[place].1[column].push(micros);
    }

    fn print(&mut self) {
        println!("\nthe engine's processor, µs each (× SET of 100 bytes):");
        println!("{:<46}{:>20}{:>20}{:>20}", "", COLUMNS[0].2, COLUMNS[1].2, COLUMNS[2].2);
        let mut bounds = [1.0; COLUMNS.len()];
        for (row, (name, columns)) in self.0.iter_mut().enumerate() {
            print!("{name:<46}");
            for (rounds, bound) in columns.iter_mut().zip(&mut bounds) {
                rounds.sort_by(f64::total_cmp);
                let median = rounds[rounds.len() / 2];
                if row == 0 {
                    *bound = median;
                }
                print!("{median:>12.2} ({:>5.1})", median / *bound);
            }
            println!();
        }
    }
}
