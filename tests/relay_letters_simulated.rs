//! What letters may take of the relay, by the bytes and by the day: on a kernel in memory, where time
//! passes as a test says and a reader takes what a test takes.

#![allow(clippy::expect_used)] // a test says what it expects

mod support;

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use sealwax::limits::MAX_FRAME;
use sealwax::relay::RelayConfig;
use sealwax::relay::limits::{
    ADDRESS_BYTES_A_DAY, ADDRESS_PART, BOX_BYTES, DELIVERY_BYTES, FULL_OF, SENDER_BYTES,
    STRANGER_LETTERS,
};
use sealwax::wire::{LetterKind, TakeMode, compose};
use serde_json::{Value, json};
use support::fixtures::letter_key;
use support::kernel::Peer;
use support::relay::Account;
use support::simulated::{Simulated, actions, frames, hear, ping, say};

const DAY: Duration = Duration::from_hours(24);
const NOW: u64 = 20_000 * 24 * 3600 * 1000;
/// Bytes of a letter of these tests, its frame around it included.
const LONG: usize = 24 * 1024;

fn account(name: &'static str) -> Account {
    let pem = match name {
        "alice" => include_str!("data/alice.pem"),
        "bob" => include_str!("data/bob.pem"),
        _ => include_str!("data/carol.pem"),
    };
    Account::new(name, pem)
}

/// A letter that takes this many bytes in a box. Base64 comes in fours: the id fills up the rest.
fn letter(sender: &str, to: &str, id: &str, bytes: usize) -> Vec<u8> {
    let of = |id: &str, length| {
        compose::letter(to, sender, id, (LetterKind::Text, 1), &"A".repeat(length))
    };
    let left = bytes - of(id, 0).len();
    let frame = of(&format!("{id}{}", "x".repeat(left % 4)), left / 4 * 4);
    assert_eq!(frame.len(), bytes);
    frame
}

/// Whoever stores and takes letters, at a relay in memory.
struct Post {
    relay: Simulated,
    sent: usize,
}

impl Post {
    fn new(config: RelayConfig) -> Self {
        Self { relay: Simulated::with_letters(config, NOW), sent: 0 }
    }

    fn enter(&mut self, name: &'static str) -> Peer {
        self.relay.enter(&account(name))
    }

    /// What comes back for this frame.
    fn ask(&mut self, peer: &mut Peer, frame: &[u8]) -> Vec<Value> {
        assert_eq!(peer.send(frame), frame.len());
        frames(&self.hear_all(peer))
    }

    /// All that comes, also what has no room in the kernel at once.
    fn hear_all(&mut self, peer: &mut Peer) -> Vec<u8> {
        let mut came = Vec::new();
        loop {
            self.relay.settle();
            let more = peer.receive_all();
            if more.is_empty() {
                return came;
            }
            came.extend(more);
        }
    }

    /// Leaves a letter key.
    fn open_box(&mut self, peer: &mut Peer) {
        let key = letter_key(1, NOW, NOW + 1);
        assert_eq!(actions(&self.ask(peer, &compose::letterbox(&key))), ["letterbox"]);
    }

    /// Stores letters of this length until one is refused; tells how many were taken, and why the
    /// last one was not.
    fn fill(&mut self, peer: &mut Peer, name: &str, to: &str, bytes: usize) -> (usize, String) {
        let mut taken = 0;
        loop {
            self.sent += 1;
            let frame = letter(name, to, &format!("{:04}", self.sent), bytes);
            let answer = self.ask(peer, &frame);
            if !actions(&answer).contains(&"stored") {
                assert_eq!(actions(&answer), ["mailbox_full"]);
                return (taken, answer[0]["detail"].as_str().expect("a text").to_owned());
            }
            taken += 1;
        }
    }

    /// Takes so many letters out of a box, or all.
    fn empty(&mut self, peer: &mut Peer, most: usize) {
        let mut left = most;
        let mut came = self.ask(peer, &compose::letters(TakeMode::All));
        while !came.is_empty() {
            let numbers: Vec<u64> = came.iter().filter_map(|it| it["box"].as_u64()).collect();
            came.clear();
            for number in numbers.into_iter().take(left) {
                left -= 1;
                came.extend(self.ask(peer, &compose::ack(number)));
            }
        }
    }
}

/// Both are known to each other's boxes, and nothing waits.
fn befriend(post: &mut Post, (one, name): (&mut Peer, &str), (other, their): (&mut Peer, &str)) {
    for peer in [&mut *one, &mut *other] {
        post.open_box(peer);
    }
    assert_eq!(actions(&post.ask(one, &letter(name, their, "hello", 200))), ["stored"]);
    assert_eq!(actions(&post.ask(other, &letter(their, name, "hello", 200))), ["stored"]);
    for peer in [one, other] {
        post.empty(peer, usize::MAX);
    }
}

/// Stores and takes letters until the address of `alice` has none left for this day; tells how
/// many those were.
fn spend_the_day(post: &mut Post, alice: &mut Peer, bob: &mut Peer) -> usize {
    let mut stored = 0;
    loop {
        let (taken, why) = post.fill(alice, "alice", "bob", LONG);
        stored += taken;
        if why.contains("your network today") {
            return stored;
        }
        post.empty(bob, usize::MAX);
    }
}

#[test]
fn an_address_stores_a_few_mebibytes_a_day_and_a_network_of_version_6_is_one_address() {
    let mut post = Post::new(RelayConfig::default());
    let host = |network: u16, host: u16| {
        IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, network, 0, 0, 0, host))
    };
    post.relay.kernel.set_host(host(2, 1));
    let mut bob = post.enter("bob");
    post.relay.kernel.set_host(host(1, 1));
    let mut alice = post.enter("alice");
    befriend(&mut post, (&mut alice, "alice"), (&mut bob, "bob"));
    let most = (ADDRESS_BYTES_A_DAY - 1) as usize / LONG; // one part went for the letter above
    assert!(LONG.is_multiple_of(ADDRESS_PART as usize));
    assert_eq!(spend_the_day(&mut post, &mut alice, &mut bob), most);
    // Another host of the same network has none left, and one of another network has all.
    post.empty(&mut bob, usize::MAX);
    post.relay.kernel.set_host(host(1, 0xffff));
    let mut carol = post.enter("carol");
    let (taken, why) = post.fill(&mut carol, "carol", "bob", LONG);
    assert!(taken == 0 && why.contains("your network today"), "{taken}: {why}");
    post.relay.leave(carol);
    post.relay.kernel.set_host(host(3, 1));
    let mut carol = post.enter("carol");
    assert_eq!(post.fill(&mut carol, "carol", "bob", LONG).0, STRANGER_LETTERS as usize);
    // What was refused did not count, so half a day brings half of it.
    for peer in [&mut alice, &mut bob] {
        post.ask(peer, ping().to_string().as_bytes());
    }
    post.relay.pass(DAY / 2);
    let (mut alice, mut bob) = (alice_again(&mut post, host(1, 1)), post.enter("bob"));
    post.empty(&mut bob, usize::MAX);
    let half = ADDRESS_BYTES_A_DAY as usize / 2 / LONG;
    assert_eq!(spend_the_day(&mut post, &mut alice, &mut bob), half);
}

/// Her connection was ended for its silence.
fn alice_again(post: &mut Post, host: IpAddr) -> Peer {
    post.relay.kernel.set_host(host);
    post.enter("alice")
}

#[test]
fn a_box_that_was_full_by_its_bytes_takes_letters_again_from_three_quarters_down() {
    let mut post = Post::new(RelayConfig::default());
    let (mut alice, mut bob) = (post.enter("alice"), post.enter("bob"));
    befriend(&mut post, (&mut alice, "alice"), (&mut bob, "bob"));
    let bytes = 16 * 1024;
    let half = BOX_BYTES as usize / 2 / bytes;
    assert_eq!(post.fill(&mut alice, "alice", "bob", bytes).0, half);
    for _ in 1..half / FULL_OF as usize {
        post.empty(&mut bob, 1);
        assert_eq!(post.fill(&mut alice, "alice", "bob", bytes).0, 0);
        // Not a short one either.
        assert_eq!(post.fill(&mut alice, "alice", "bob", 200).0, 0);
    }
    post.empty(&mut bob, 1);
    assert_eq!(post.fill(&mut alice, "alice", "bob", bytes).0, half / FULL_OF as usize);
}

#[test]
fn a_sender_has_a_mebibyte_over_all_boxes() {
    let mut post = Post::new(RelayConfig::default());
    let mut alice = post.enter("alice");
    let (mut bob, mut carol) = (post.enter("bob"), post.enter("carol"));
    befriend(&mut post, (&mut alice, "alice"), (&mut bob, "bob"));
    befriend(&mut post, (&mut alice, "alice"), (&mut carol, "carol"));
    // Half a box each, which is all that a sender may have; her own box is a third.
    let bytes = 16 * 1024;
    for name in ["bob", "carol"] {
        let (taken, _) = post.fill(&mut alice, "alice", name, bytes);
        assert_eq!(taken, BOX_BYTES as usize / 2 / bytes);
    }
    assert_eq!(BOX_BYTES, SENDER_BYTES);
    let (taken, why) = post.fill(&mut alice, "alice", "alice", 200);
    assert!(taken == 0 && why.contains("all boxes together"), "{taken}: {why}");
    // What leaves a box makes room.
    post.empty(&mut carol, 1);
    assert_eq!(post.fill(&mut alice, "alice", "alice", bytes).0, 1);
}

#[test]
fn who_takes_letters_and_does_not_read_holds_nobody_up_and_little_waits_for_it() {
    let mut post = Post::new(RelayConfig::default());
    let (mut alice, mut carol) = (post.enter("alice"), post.enter("carol"));
    let mut bob = post.enter("bob");
    befriend(&mut post, (&mut alice, "alice"), (&mut bob, "bob"));
    post.relay.leave(bob);
    let (friend, _) = post.fill(&mut alice, "alice", "bob", LONG);
    let (stranger, _) = post.fill(&mut carol, "carol", "bob", LONG);
    post.relay.kernel.set_buffer(4096);
    let mut bob = post.enter("bob");
    let whole = |post: &mut Post, peer: &mut Peer, frame: &[u8]| {
        assert_eq!(peer.send(frame), frame.len());
        post.relay.settle();
    };
    whole(&mut post, &mut bob, &compose::letters(TakeMode::All));
    // He acknowledges whatever may have been delivered, and reads nothing.
    for number in 0..100 {
        whole(&mut post, &mut bob, &compose::ack(number));
        let waiting = post.relay.reactor.context().queued_in_all();
        assert!(waiting <= DELIVERY_BYTES + MAX_FRAME, "{waiting} bytes wait");
    }
    for peer in [&mut alice, &mut carol] {
        say(peer, &ping());
        post.relay.settle();
        assert_eq!(actions(&hear(peer)), ["pong"]);
    }
    // Once he reads, all come, in order.
    let mut came = Vec::new();
    loop {
        let more = bob.receive_all();
        if more.is_empty() {
            break;
        }
        came.extend(more);
        post.relay.settle();
        for number in 0..100 {
            whole(&mut post, &mut bob, &compose::ack(number));
        }
    }
    let came = frames(&came);
    let numbers: Vec<u64> = came.iter().filter_map(|frame| frame["box"].as_u64()).collect();
    assert_eq!(numbers.len(), friend + stranger);
    assert!(numbers.is_sorted());
    assert_eq!(came.last(), Some(&json!({"action": "letterbox_empty"})));
}
