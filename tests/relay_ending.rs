//! How the relay ends, and what its supervisor is told: on a kernel in memory, where time is what
//! the test says.

#![allow(clippy::unwrap_used)]

mod support;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use sealwax::reactor::{Config, Waker};
use sealwax::relay::limits::{FLUSH_TIMEOUT, STORE_PATIENCE};
use sealwax::relay::store::{Answer, MemoryStore, Progress, QueueFull, Store};
use sealwax::relay::{RelayConfig, ServiceState, Supervisor};
use sealwax::wire::Fingerprint;
use support::kernel::Peer;
use support::simulated::{Simulated, actions, hear, ping, say};

const USR1: u8 = 10;
const TERM: u8 = 15;
const HUP: u8 = 1;
const DRAIN: Duration = Duration::from_secs(10);

fn draining(users: usize) -> (Simulated, Vec<Peer>) {
    let mut relay = Simulated::start(RelayConfig { drain_time: DRAIN, ..RelayConfig::default() });
    let join = |number| {
        let mut user = relay.join(&format!("user {number}"), "none");
        hear(&mut user); // what it is told at first
        user
    };
    let users = (0..users).map(join).collect();
    (relay, users)
}

/// Closes those who were told that the relay is going down; tells how many.
fn dismissed(relay: &mut Simulated, users: &mut Vec<Peer>) -> usize {
    let mut count = 0;
    for mut user in std::mem::take(users) {
        match actions(&hear(&mut user)).as_slice() {
            ["shutting_down"] => {
                user.close();
                count += 1;
            }
            _ => users.push(user),
        }
    }
    relay.settle();
    count
}

#[test]
fn a_drain_ends_connections_evenly_over_its_time_and_serves_the_others_meanwhile() {
    let (mut relay, mut users) = draining(50);
    relay.kernel.signal(USR1);
    relay.settle();
    let mut ended = dismissed(&mut relay, &mut users);
    for tenth in 1..10 {
        for _ in 0..10 {
            relay.pass(DRAIN / 100);
        }
        ended += dismissed(&mut relay, &mut users);
        let expected = 5 * tenth;
        assert!((expected..=expected + 1).contains(&ended), "{ended} after {tenth} tenths");
        let last = users.last_mut().unwrap();
        say(last, &ping());
        relay.settle();
        assert_eq!(actions(&hear(users.last_mut().unwrap())), ["pong"]);
    }
    for _ in 0..10 {
        relay.pass(DRAIN / 100);
    }
    ended += dismissed(&mut relay, &mut users);
    assert_eq!(ended, 50);
    assert!(relay.run() <= FLUSH_TIMEOUT);
    let (lines, _) = relay.log_lines();
    let begun = lines.iter().find(|line| line["event"] == "drain_begun").unwrap();
    assert_eq!((&begun["connections"], &begun["seconds"]), (&50.into(), &10.0.into()));
}

#[test]
fn a_drain_ends_as_soon_as_nobody_is_there() {
    let (mut relay, users) = draining(0);
    relay.kernel.signal(USR1);
    assert_eq!((relay.run(), users.len()), (Duration::ZERO, 0));
    let (mut relay, users) = draining(3);
    relay.kernel.signal(USR1);
    relay.settle();
    users.into_iter().for_each(Peer::close);
    assert_eq!(relay.run(), Duration::ZERO);
}

#[test]
fn a_second_signal_tells_the_rest_at_once_and_a_third_waits_for_nobody() {
    for second in [USR1, TERM] {
        let (mut relay, mut users) = draining(5);
        relay.kernel.signal(USR1);
        relay.settle();
        relay.kernel.signal(second);
        relay.settle();
        assert_eq!(dismissed(&mut relay, &mut users), 5);
        assert_eq!(relay.run(), Duration::ZERO);
    }
    let mut relay = Simulated::start(RelayConfig::default());
    relay.kernel.set_buffer(10);
    let _stuck = relay.dial();
    for _ in 0..3 {
        relay.kernel.signal(USR1);
        relay.settle();
    }
    assert_eq!(relay.run(), Duration::ZERO);
}

/// A store that answers no more once it stands still.
struct StandsStill {
    stands: Rc<Cell<bool>>,
    store: MemoryStore,
}

impl Store for StandsStill {
    fn bind(
        &mut self,
        ticket: u64,
        name: &str,
        fp: &Fingerprint,
        pem: &str,
    ) -> Result<(), QueueFull> {
        self.store.bind(ticket, name, fp, pem)
    }

    fn next_answer(&mut self) -> Option<Answer> {
        self.store.next_answer()
    }

    fn progress(&self) -> Progress {
        Progress { asked: u64::from(self.stands.get()), done: 0 }
    }

    fn waker(&self) -> Option<Waker> {
        None
    }
}

/// Notes what it is told.
struct Notes(Rc<RefCell<Vec<(ServiceState, String)>>>);

impl Supervisor for Notes {
    fn tell(&mut self, state: ServiceState, status: &str) {
        self.0.borrow_mut().push((state, status.to_owned()));
    }

    fn interval(&self) -> Duration {
        Duration::from_secs(1)
    }
}

#[test]
fn the_supervisor_hears_of_life_only_while_the_store_answers() {
    let stands = Rc::new(Cell::new(false));
    let store = StandsStill { stands: Rc::clone(&stands), store: MemoryStore::default() };
    let mut relay = Simulated::over(RelayConfig::default(), &Config::default(), Box::new(store));
    let notes = Rc::<RefCell<Vec<_>>>::default();
    relay.relay.report_to(Box::new(Notes(Rc::clone(&notes))));
    let told = || std::mem::take(&mut *notes.borrow_mut());
    let states = || told().into_iter().map(|(state, _)| state).collect::<Vec<_>>();
    relay.kernel.signal(HUP); // as it does after a start, it sets the timer too
    relay.settle();
    assert_eq!(states(), [ServiceState::Reloading, ServiceState::Ready]);
    let _user = relay.join("JG", "none");
    relay.pass(Duration::from_secs(1));
    assert_eq!(told(), [(ServiceState::Alive, "serving, 1 connections".to_owned())]);
    stands.set(true);
    relay.pass(Duration::from_secs(1));
    relay.pass(STORE_PATIENCE);
    told(); // until then it may only be slow
    relay.pass(Duration::from_secs(1));
    relay.pass(Duration::from_secs(1));
    assert!(told().is_empty());
    stands.set(false);
    relay.pass(Duration::from_secs(1));
    assert_eq!(states(), [ServiceState::Alive]);
    relay.kernel.signal(TERM);
    relay.settle();
    assert_eq!(states(), [ServiceState::Stopping]);
}
