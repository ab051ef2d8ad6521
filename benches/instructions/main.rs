//! A fixed amount of work for the relay and its loop, for callgrind to count: `benches/gate` runs
//! it, and compares the count with the one in the repository.
//!
//! Relay and reactor are the real ones, on the kernel in memory of the bench `million`, so the same
//! instructions are executed each time. System calls cost nothing here: what is counted is our own
//! code.
#![expect(clippy::expect_used, reason = "a bench has nobody to tell")]

#[path = "../million/crowd.rs"]
#[allow(dead_code, reason = "the other bench uses all of it")]
mod crowd;
#[path = "../million/memory.rs"]
#[allow(dead_code, reason = "the other bench uses all of it")]
mod memory;

use std::rc::Rc;
use std::time::Duration;

use sealwax::reactor::Reactor;
use sealwax::relay::Relay;

use self::crowd::{Crowd, message};

const PEM: &str = include_str!("../../tests/data/public-alice.pem");
/// Users that are there before the work begins.
const USERS: u32 = 100;
/// Messages in one read, where many come together.
const BURST: u32 = 32;
/// The most users that come in addition.
const NEWCOMERS: usize = 10_000;

/// Something that is done so many times.
type Work = (&'static str, fn(&mut Room, u32));

const WORKS: [Work; 4] = [
    // One message a read, each to another user.
    ("ping-pong", |room, count| room.messages(count, 1, |from, _| (from + 1) % USERS)),
    // Many messages in a read, all to one user.
    ("flood", |room, count| room.messages(count, BURST, |from, _| (from + 1) % USERS)),
    // Many messages in a read, each to another user.
    ("mesh", |room, count| room.messages(count, BURST, |from, place| (from + place) % USERS)),
    // Connect and register, as clients of the original protocol do.
    ("connect", |room, count| room.come(count as usize)),
];

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|it| it != "--bench").collect();
    let (works, count) = match &arguments[..] {
        [name, count] => {
            let work = WORKS.iter().find(|work| work.0 == name).expect("one of the works");
            (std::slice::from_ref(work), count.parse().expect("a number"))
        }
        _ => (&WORKS[..], 64), // `--test`, or nothing: does each of them run?
    };
    for (name, work) in works {
        let mut room = Room::new();
        room.come(USERS as usize);
        work(&mut room, count);
        println!("{name}: {count} done");
    }
}

/// A relay on a crowd.
struct Room {
    crowd: Crowd,
    reactor: Reactor<Crowd>,
    relay: Relay,
}

impl Room {
    fn new() -> Self {
        let most = USERS as usize + NEWCOMERS;
        let (crowd, reactor, relay) = Crowd::with_relay(most, PEM);
        let mut room = Self { crowd, reactor, relay };
        room.settle();
        room
    }

    /// So many users connect and register.
    fn come(&mut self, count: usize) {
        self.crowd.come(count, PEM, "none");
        self.settle();
    }

    /// Sends `count` messages, `burst` of them in one read; `to` says who gets the one at this
    /// place of the read.
    fn messages(&mut self, count: u32, burst: u32, to: impl Fn(u32, u32) -> u32) {
        let frames: Vec<Rc<[u8]>> = (0..USERS)
            .map(|from| {
                let text: String = (0..burst).map(|place| message(from, to(from, place))).collect();
                Rc::from(text.into_bytes())
            })
            .collect();
        for (_, from) in (0..count / burst).zip((0..USERS).cycle()) {
            self.crowd.send(from, &frames[from as usize]);
        }
        let before = self.crowd.written().0;
        self.settle();
        let sent = u64::from(count / burst) * frames[0].len() as u64;
        assert!(self.crowd.written().0 - before >= sent, "all of them arrive");
    }

    /// Ticks until nobody has anything to say, and once more, for the last one may have left its
    /// flush to the next.
    fn settle(&mut self) {
        while {
            self.tick();
            self.crowd.is_waiting()
        } {}
        self.tick();
    }

    fn tick(&mut self) {
        self.reactor.tick(&mut self.relay, Some(Duration::ZERO)).expect("the kernel waits");
    }
}
