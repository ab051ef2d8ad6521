//! Floods cost bounded memory and computing. The figures are printed: `--nocapture` shows them.

use std::fs;
use std::time::{Duration, Instant};

use sealwax::wire::base64;
use serde_json::{Value, json};

use crate::impostor::Impostor;
use crate::relay::EvilRelay;
use crate::stage::{chat, say};
use crate::support::fixtures::public;
use crate::support::process::{Homes, Process};

/// What a flood may add to the memory of the client, in KiB: all its bounds together are less.
const MOST_MEMORY: u64 = 48 * 1024;

/// The memory that a process has now, in KiB (`proc_pid_status(5)`), and the time that it has
/// computed (`proc_pid_stat(5)`).
fn usage(pid: u32) -> (u64, Duration) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident = resident.and_then(|text| text.split_whitespace().next()).expect("a number");
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let after_name = stat.rsplit_once(") ").expect("a name").1;
    let ticks = after_name.split(' ').skip(11).take(2); // utime, stime
    let ticks: u64 = ticks.map(|text| text.parse::<u64>().expect("a number")).sum();
    let second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK);
    let second = u64::try_from(second.expect("asked for").expect("there")).expect("positive");
    (resident.parse().expect("a number"), Duration::from_millis(ticks * 1000 / second))
}

struct Scene {
    homes: Homes,
    relay: EvilRelay,
    alice: Process,
    bob: Process,
    rounds: usize,
}

impl Scene {
    /// Alice talks to bob, a person, who is told the same warning once a minute.
    fn new() -> Self {
        let (homes, relay) = (Homes::new(), EvilRelay::start());
        let bob = homes.client("bob", &relay.address, &["recv"]);
        bob.talk_with("you are bob");
        let alice = chat(&homes, &relay, "alice");
        let mut scene = Self { homes, relay, alice, bob, rounds: 0 };
        scene.goes_on();
        scene
    }

    /// Alice's next message is shown.
    fn goes_on(&mut self) {
        self.rounds += 1;
        let text = format!("round {}", self.rounds);
        say(&mut self.alice, "bob", &text);
        assert_eq!(self.bob.line(), format!("alice: {text}"));
    }

    /// Gives bob these frames, and waits until he shows a message after them.
    fn flood(&mut self, what: &str, frames: impl ExactSizeIterator<Item = Value>) {
        let count = frames.len();
        let lines = frames.map(|frame| format!("{frame}\n")).collect::<Vec<_>>().concat();
        let ((memory, computed), began) = (usage(self.bob.pid()), Instant::now());
        // In pieces, so that the relay hears the client in between.
        for piece in lines.as_bytes().chunks(1 << 16) {
            self.relay.tell_bytes("bob", piece);
        }
        self.goes_on();
        let (after, computed_after) = usage(self.bob.pid());
        let grown = after.saturating_sub(memory);
        println!(
            "{count} {what}: {:?}, of which computed {:?}; memory {memory} KiB, and {grown} KiB more",
            began.elapsed(),
            computed_after.saturating_sub(computed),
        );
        assert!(grown < MOST_MEMORY, "{what}: {grown} KiB more");
    }
}

#[test]
fn floods_cost_bounded_memory_and_the_next_good_message_comes_through() {
    let mut scene = Scene::new();
    let to_bob = scene.relay.plot().pubkey_of("bob");
    let message = |number: u64| {
        let mut content = vec![7; 320];
        (content[0], content[1]) = (2, 0);
        content[2..10].copy_from_slice(&number.to_be_bytes());
        json!({"action": "message", "to": "bob", "from": "alice", "v": 2,
               "content": base64::encode(&content)})
    };
    let numbers: Vec<u64> = (0..20_000).collect();
    scene.flood("messages of unknown sessions", numbers.iter().map(|&number| message(number)));

    let stranger = Impostor::with("carol");
    let offer = stranger.offer("carol", &to_bob, 0).1;
    let invented = numbers[..10_000].iter().map(|number| {
        let mut offer = offer.clone();
        offer["from"] = format!("user{number}").into();
        offer
    });
    scene.flood("offers of invented users", invented);

    // Carol is a peer, and spends all that she has on new sessions.
    let mut carol = chat(&scene.homes, &scene.relay, "carol");
    say(&mut carol, "bob", "hello");
    assert_eq!(scene.bob.line(), "carol: hello");
    let valid: Vec<_> = (1..=500).map(|ahead| stranger.offer("carol", &to_bob, ahead).1).collect();
    scene.flood("valid offers of one peer", valid.into_iter());

    // And under as many names as the relay cares to register.
    let pem = public("carol").to_pem();
    let names: Vec<_> = (0..500).map(|number| format!("carol{number}")).collect();
    for name in &names {
        let answer = json!({"action": "pubkey", "from": name, "pubkey": pem, "v": 2,
                            "prekey": stranger.prekey_as(name)});
        scene.relay.plot().pubkeys.insert(name.clone(), answer);
    }
    let offers: Vec<_> = names.iter().map(|name| stranger.offer(name, &to_bob, 0).1).collect();
    scene.flood("valid offers of strangers", offers.into_iter());
}
