//! Letters at the relay: what one costs, how many go through one box and through many, whether the
//! loop waits for the disk, and how long the file is when the boxes are empty again.
//!
//! The relay runs on sockets and on a disk, its loop in this thread. `--test` is the same with a
//! fiftieth of the letters.
#![expect(clippy::expect_used, reason = "a bench has nobody to tell")]

#[allow(dead_code, unreachable_pub, reason = "tests use the rest, and are another crate")]
#[path = "../tests/support/relay.rs"]
mod relay;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use sealwax::crypto::{RelayKey, RelayNotary};
use sealwax::limits::MLKEM_KEY;
use sealwax::reactor::{Config, Linux, Reactor};
use sealwax::relay::event::Level;
use sealwax::relay::inline_store::InlineStore;
use sealwax::relay::journal::{Format, Journal};
use sealwax::relay::letter_store::{LetterAnswer, LetterAsk, NewLetter, Owner};
use sealwax::relay::sqlite::{LetterLimits, SqliteStore};
use sealwax::relay::{Relay, RelayConfig};
use sealwax::wire::{Fingerprint, LetterKey, LetterKind, RosterMode, TakeMode, compose};

use self::relay::{Account, Client};

/// Letters that a sender has on their way at a time.
const WINDOW: usize = 8;
/// Characters of a letter's content: a text of up to 236 bytes, signed with 3,072 bits.
const CONTENT: usize = 3_000;
const PAIRS: usize = 8;

fn main() {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let letters = if is_test { 200 } else { 10_000 };
    depth(if is_test { 20_000 } else { 1_000_000 });
    let home = tempfile::tempdir().expect("a directory");
    let path = home.path().join("names.sqlite");
    through("one box", &path, letters, |_| 0);
    through("eight boxes", &path, letters, |sender| sender);
    if !is_test {
        for _ in 0..8 {
            through("eight boxes", &path, letters, |sender| sender);
        }
    }
    let length = |end: &str| {
        let path = path.with_extension(format!("sqlite{end}"));
        std::fs::metadata(path).map_or(0, |data| data.len() / 1024)
    };
    println!("file when all was taken: {} KiB, and {} KiB of log", length(""), length("-wal"));
}

fn key() -> LetterKey {
    let (mlkem, signature) = (Box::new([7; MLKEM_KEY]), vec![9; 384]);
    LetterKey { id: 1, created: 1, expires: 7_000_000_000_000, x25519: [8; 32], mlkem, signature }
}

/// What a letter costs in the tables, in memory, with few letters and with many.
fn depth(most: usize) {
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

/// `letters` letters from eight senders to the boxes that `box_of` tells.
fn through(what: &str, path: &Path, letters: usize, box_of: fn(usize) -> usize) {
    let (store, bound) = SqliteStore::open(path, LetterLimits::default()).expect("a store");
    let notary = Box::new(RelayNotary::new(RelayKey::generate().0));
    let journal = Journal::new(Format::Json, Level::Silent);
    let config = RelayConfig::default();
    let mut relay = Relay::new(config, notary, Box::new(store), bound, journal, Box::new(|| 0));
    let mut reactor = Reactor::new(Linux::new().expect("a loop"), &Config::default());
    relay.start(reactor.context(), &["127.0.0.1:0".parse().expect("an address")]);
    while relay.listening().is_empty() {
        reactor.tick(&mut relay, None).expect("a tick");
    }
    let at = relay.listening()[0];
    let ready = Arc::new(Barrier::new(2 * PAIRS + 1));
    let taken = Arc::new(AtomicUsize::new(0));
    let crowd = {
        let (ready, taken) = (Arc::clone(&ready), Arc::clone(&taken));
        thread::spawn(move || crowd(at, letters / PAIRS, box_of, &ready, &taken))
    };
    let (mut wall, mut longest, mut busy) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let mut start = None;
    while taken.load(Ordering::Relaxed) < letters / PAIRS * PAIRS {
        let (before, cpu_before) = (Instant::now(), cpu());
        reactor.tick(&mut relay, Some(Duration::from_millis(1))).expect("a tick");
        if taken.load(Ordering::Relaxed) > 0 {
            start.get_or_insert(before);
            let spent = cpu().saturating_sub(cpu_before);
            (longest, busy) = (longest.max(spent), busy + spent);
            wall = wall.max(before.elapsed());
        }
    }
    let time = start.expect("some were taken").elapsed();
    while !crowd.is_finished() {
        reactor.tick(&mut relay, Some(Duration::from_millis(1))).expect("a tick");
    }
    crowd.join().expect("no panic");
    let count = f64::from(u32::try_from(letters).expect("few"));
    println!(
        "{letters} letters through {what}: {:.0} a second, {:?} of the loop each, longest tick \
         {longest:?} of a processor and {wall:?} by the clock",
        count / time.as_secs_f64(),
        busy / u32::try_from(letters).expect("few"),
    );
}

fn crowd(
    at: SocketAddr,
    each: usize,
    box_of: fn(usize) -> usize,
    ready: &Arc<Barrier>,
    taken: &Arc<AtomicUsize>,
) {
    let enter = move |name: String, pem: &str| {
        let mut client = Client::connect(at);
        let answer = Account::new(name.leak(), pem).register(&mut client, RosterMode::None);
        assert_eq!(answer["action"], "registered", "{answer}");
        client.write(&compose::letterbox(&key()));
        assert_eq!(client.frame()["action"], "letterbox");
        client
    };
    let mut threads = Vec::new();
    for number in 0..PAIRS {
        let (ready, taken) = (Arc::clone(ready), Arc::clone(taken));
        threads.push(thread::spawn(move || {
            let mut bob = enter(format!("bob{number}"), include_str!("../tests/data/bob.pem"));
            ready.wait(); // all are there
            for sender in (0..PAIRS).filter(|&sender| box_of(sender) == number) {
                // Whom he wrote to is no stranger.
                let opening = compose::send_key(&format!("alice{sender}"), "bob", "AAAA");
                bob.write(&opening);
            }
            bob.ping();
            bob.write(&compose::letters(TakeMode::All));
            ready.wait(); // they may write
            let senders = (0..PAIRS).filter(|&sender| box_of(sender) == number).count();
            let mut left = senders * each;
            while left > 0 {
                let frame = bob.frame();
                let Some(number) = frame["box"].as_u64() else { continue };
                bob.write(&compose::ack(number));
                taken.fetch_add(1, Ordering::Relaxed);
                left -= 1;
            }
        }));
    }
    for number in 0..PAIRS {
        let ready = Arc::clone(ready);
        threads.push(thread::spawn(move || {
            let mut alice =
                enter(format!("alice{number}"), include_str!("../tests/data/alice.pem"));
            ready.wait();
            ready.wait();
            let to = format!("bob{}", box_of(number));
            let content = "A".repeat(CONTENT);
            let frame = |id: &str| compose::letter(&to, "me", id, (LetterKind::Text, 1), &content);
            let (mut sent, mut stored) = (0, 0);
            while stored < each {
                while sent < each && sent - stored < WINDOW {
                    alice.write(&frame(&sent.to_string()));
                    sent += 1;
                }
                let answer = alice.frame();
                match answer["action"].as_str() {
                    Some("stored") => stored += 1,
                    Some("error") => {
                        // The box is full, or too much is on its way.
                        let id = answer["id"].as_str().expect("of a letter");
                        alice.write(&frame(id));
                    }
                    _ => {} // bob's opening
                }
            }
        }));
    }
    ready.wait();
    ready.wait();
    for thread in threads {
        thread.join().expect("no panic");
    }
}

/// What this thread has used of a processor.
fn cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a clock of Linux").into()
}
