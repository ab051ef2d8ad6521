//! A million registered users: what each costs in memory, by part, what the others feel of them,
//! and the longest that the loop stands still while they come.
//!
//! Relay and reactor are the real ones; the kernel is in memory and counts for nothing
//! (`crowd.rs`). Memory is what is resident; which blocks that is, the allocator counts
//! (`memory.rs`). `--test` is the same with a fiftieth of the users.
#![expect(clippy::expect_used, reason = "a bench has nobody to tell")]

mod crowd;
mod memory;

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use sealwax::reactor::{CloseReason, Context, Handler, Opened, Reactor, Timeout, Timer, Token};
use sealwax::relay::Relay;
use sealwax::relay::limits::ROSTER_INTERVAL_MAX;

use self::crowd::Crowd;
use self::memory::{Account, Book, Working};

const PEM: &str = include_str!("../../tests/data/public-alice.pem");
/// The modulus of that key: it is kept for each user, in a table, and is not counted with what a
/// user costs.
const KEY: i64 = 256;
/// Users who talk while all others are silent.
const ACTIVE: u32 = 1000;
/// Users who are there before anything is measured: what all share has its size then.
const FIRST: usize = 5000;
/// Messages that each of them sends, in each round.
const MESSAGES: u32 = 20;
const ROUNDS: usize = 9;
/// Who wants to be told who is here.
const RECEIVERS: usize = 100;
/// What a user may cost besides key and prekey, in bytes.
const TARGET: f64 = 256.0;
/// The same with a fiftieth of the users: pages that are begun, and free memory of who came before,
/// are of the same size as what is measured.
const ROUGH_TARGET: f64 = 2.0 * TARGET;

fn main() {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let million = if is_test { 20_000 } else { 1_000_000 };
    let more = million / 10;
    let mut small = Room::new(ACTIVE as usize);
    small.come(ACTIVE as usize, "none");
    let mut room = Room::new(million + more + RECEIVERS + 2);
    room.come(FIRST, "none");
    small.talk(); // so that what all share is there
    room.talk();
    let before = Counts::now();

    let pace = room.come(million - FIRST, "none");
    println!("{million} users, each with a name of 16 bytes and a key of its own ({KEY} bytes)\n");
    pace.print("coming");
    let each = before.print_since(million - FIRST);

    println!("\na message, {ACTIVE} users active:");
    let (alone, among) = compare(&mut small, &mut room);
    println!("{:<44}{alone:>10.0} ns", "nobody else there");
    println!("{:<44}{among:>10.0} ns", format!("among {million}"));

    let pace = room.come(more, "none");
    println!();
    pace.print(&format!("{more} more"));
    let total = million + more - FIRST;
    let each = each.max(before.print_since(total));

    println!("\nthe roster:");
    room.roster();
    let most = if is_test { ROUGH_TARGET } else { TARGET };
    assert!(each <= most, "a user costs {each:.1} bytes, and may cost {most}");
}

/// A relay on a crowd.
struct Room {
    crowd: Crowd,
    reactor: Reactor<Crowd>,
    relay: Counted,
}

/// The relay, whose memory is on its own account.
struct Counted {
    relay: Relay,
    /// Connections that it was told of.
    came: usize,
}

/// How long ticks took.
#[derive(Default)]
struct Pace {
    ticks: usize,
    spent: Duration,
    longest: Duration,
    /// How many users were here then.
    longest_at: usize,
}

impl Room {
    fn new(most: usize) -> Self {
        let (crowd, reactor, relay) = Crowd::with_relay(most, PEM);
        let mut room = Self { crowd, reactor, relay: Counted { relay, came: 0 } };
        room.tick(Duration::ZERO);
        room
    }

    /// One turn of the loop, and the processor time that it took: others may be busy here as well.
    fn tick(&mut self, timeout: Duration) -> Duration {
        let _working = Working::on(Account::Reactor);
        let begun = cpu();
        self.reactor.tick(&mut self.relay, Some(timeout)).expect("the kernel waits");
        cpu().saturating_sub(begun)
    }

    /// So many users come.
    fn come(&mut self, count: usize, roster: &str) -> Pace {
        self.crowd.come(count, PEM, roster);
        self.turn(|room| room.crowd.is_waiting())
    }

    /// The loop turns as long as there is something to do.
    fn turn(&mut self, is_busy: impl Fn(&Self) -> bool) -> Pace {
        let mut pace = Pace::default();
        while is_busy(self) {
            let took = self.tick(Duration::ZERO);
            pace.ticks += 1;
            pace.spent += took;
            if took > pace.longest {
                (pace.longest, pace.longest_at) = (took, self.relay.came);
            }
        }
        pace
    }

    /// Nanoseconds a message of some who talk while all others are silent.
    fn talk(&mut self) -> f64 {
        for _ in 0..MESSAGES {
            (0..ACTIVE).for_each(|user| self.crowd.say(user, (user + 1) % ACTIVE));
        }
        let (before, _) = self.crowd.written();
        let pace = self.turn(|room| room.crowd.is_waiting());
        assert!(self.crowd.written().0 > before, "they arrive");
        pace.spent.as_secs_f64() * 1e9 / f64::from(ACTIVE * MESSAGES)
    }

    /// What it costs to tell who is here, and that somebody came.
    fn roster(&mut self) {
        let said = self.crowd.written().0;
        self.come(1, "delta");
        self.told("the whole list, to one", said);
        let said = self.crowd.written().0;
        self.come(RECEIVERS - 1, "delta");
        let more = RECEIVERS - 1;
        self.told(&format!("the same to {more} more"), said);
        let said = self.crowd.written().0;
        self.come(1, "none");
        self.told(&format!("one more user, told to {RECEIVERS}"), said);
    }

    /// Turns until nothing more is written for as long as a roster may wait.
    fn told(&mut self, what: &str, before: u64) {
        let mut pace = Pace::default();
        let (mut quiet, mut written) = (0, self.crowd.written().0);
        while quiet < ROSTER_INTERVAL_MAX.as_secs() {
            let took = self.tick(Duration::from_secs(1));
            let now = self.crowd.written().0;
            quiet = if now == written { quiet + 1 } else { 0 };
            written = now;
            pace.ticks += 1;
            pace.spent += took;
            pace.longest = pace.longest.max(took);
        }
        println!("{:<44}{:>10} bytes", what, written - before);
        pace.print("  telling");
    }
}

impl Pace {
    fn print(&self, what: &str) {
        let (spent, longest) = (self.spent.as_secs_f64(), self.longest.as_secs_f64() * 1e3);
        let at = if self.longest_at > 0 {
            format!(" (of user {})", self.longest_at)
        } else {
            String::new()
        };
        println!(
            "{what:<44}{spent:>10.3} s in {} ticks, the longest {longest:.2} ms{at}",
            self.ticks
        );
    }
}

/// A message's nanoseconds among few and among many, medians of rounds in turn.
fn compare(small: &mut Room, large: &mut Room) -> (f64, f64) {
    let mut rounds: Vec<_> = (0..ROUNDS).map(|_| (small.talk(), large.talk())).collect();
    let mut median = |of: fn(&(f64, f64)) -> f64| {
        rounds.sort_by(|one, other| of(one).total_cmp(&of(other)));
        of(&rounds[ROUNDS / 2])
    };
    (median(|it| it.0), median(|it| it.1))
}

/// What is alive on the accounts of reactor and relay, and how much memory the process has.
struct Counts {
    shares: [Share; 2],
    resident: i64,
}

struct Share {
    account: Account,
    blocks: Vec<(usize, i64)>,
}

impl Counts {
    fn now() -> Self {
        let shares = [Account::Reactor, Account::Relay]
            .map(|account| Share { account, blocks: Book::of(account).small().collect() });
        Self { shares, resident: resident() }
    }

    /// What came since, by part, for each of so many users. Returns what a user costs besides its
    /// key, in bytes. The tables are allocated for all from the start, and the kernel gives them
    /// memory as they are used: so what counts is what is resident.
    fn print_since(&self, users: usize) -> f64 {
        let each = |bytes: i64| as_f64(bytes) / as_f64(i64::try_from(users).unwrap_or(i64::MAX));
        let now = Self::now();
        // The kernel in memory keeps a token for each user.
        let all = each(
            now.resident - self.resident - i64::try_from(users * size_of::<Token>()).unwrap_or(0),
        );
        let (mut tables, key) = (all, as_f64(KEY));
        println!("\nbytes a user:");
        for (before, now) in self.shares.iter().zip(&now.shares) {
            let account = format!("{:?}", now.account).to_lowercase();
            for (&(size, now), (_, before)) in now.blocks.iter().zip(&before.blocks) {
                let count = each(now - before);
                if count < 0.5 {
                    continue;
                }
                let bytes = count * as_f64(i64::try_from(size).unwrap_or(i64::MAX));
                tables -= bytes;
                println!("{:<44}{bytes:>10.1}", format!("  {account}: a block, {size} bytes"));
            }
        }
        println!("{:<44}{tables:>10.1}", "  both: tables, the key among them");
        println!("{:<44}{:>10.1}", "  together, without the key", all - key);
        all - key
    }
}

/// Bytes of this process that are in memory (`proc_pid_statm(5)`).
fn resident() -> i64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("proc is mounted");
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<i64>().ok());
    pages.expect("the second field is a count") * 4096
}

/// The processor time of this thread.
fn cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("every thread has one").into()
}

#[allow(clippy::cast_precision_loss)] // no count here has 53 bits
fn as_f64(count: i64) -> f64 {
    count as f64
}

impl Handler for Counted {
    fn opened(&mut self, cx: &mut Context, id: Token, how: Opened) {
        let _working = Working::on(Account::Relay);
        self.came += usize::from(matches!(how, Opened::Accepted { .. }));
        self.relay.opened(cx, id, how);
    }

    fn received(&mut self, cx: &mut Context, from: Token, bytes: &[u8]) -> usize {
        let _working = Working::on(Account::Relay);
        self.relay.received(cx, from, bytes)
    }

    fn ended(&mut self, cx: &mut Context, from: Token, rest: &[u8]) {
        let _working = Working::on(Account::Relay);
        self.relay.ended(cx, from, rest);
    }

    fn drained(&mut self, cx: &mut Context, to: Token) {
        let _working = Working::on(Account::Relay);
        self.relay.drained(cx, to);
    }

    fn timed_out(&mut self, cx: &mut Context, id: Token, timeout: Timeout) {
        let _working = Working::on(Account::Relay);
        self.relay.timed_out(cx, id, timeout);
    }

    fn timer(&mut self, cx: &mut Context, timer: Timer) {
        let _working = Working::on(Account::Relay);
        self.relay.timer(cx, timer);
    }

    fn closed(&mut self, cx: &mut Context, id: Token, reason: CloseReason) {
        let _working = Working::on(Account::Relay);
        self.relay.closed(cx, id, reason);
    }

    fn end_of_tick(&mut self, cx: &mut Context) {
        let _working = Working::on(Account::Relay);
        self.relay.end_of_tick(cx);
    }
}
