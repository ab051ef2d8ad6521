//! Floods cost bounded memory and computing. The figures are printed: `--nocapture` shows them.

use std::fs;
use std::time::{Duration, Instant};

use sealwax::crypto::{Body, IdentityVault, Mid, Names, PublicKey, seal_letter};
use sealwax::wire::{LetterKey, base64};
use serde_json::{Value, json};

use crate::impostor::Impostor;
use crate::relay::EvilRelay;
use crate::stage::{chat, say};
use crate::support::fixtures::{identity, public};
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
        assert_eq!(scene.goes_on(), 0);
        scene
    }

    /// Alice's next message is shown. Returns how many letters were shown before it.
    fn goes_on(&mut self) -> usize {
        self.rounds += 1;
        let text = format!("round {}", self.rounds);
        say(&mut self.alice, "bob", &text);
        for letters in 0.. {
            let line = self.bob.line();
            if line != "alice: a letter" {
                assert_eq!(line, format!("alice: {text}"));
                return letters;
            }
        }
        unreachable!("a number without end");
    }

    /// Gives bob these frames, none of which he shows, and waits until he shows a message after
    /// them.
    fn flood(&mut self, what: &str, frames: impl ExactSizeIterator<Item = Value>) {
        assert_eq!(self.flood_showing(what, frames), 0, "{what}");
    }

    /// As [`Self::flood`]; returns how many letters he has shown meanwhile.
    fn flood_showing(&mut self, what: &str, frames: impl ExactSizeIterator<Item = Value>) -> usize {
        let count = frames.len();
        let lines = frames.map(|frame| format!("{frame}\n")).collect::<Vec<_>>().concat();
        let ((memory, computed), began) = (usage(self.bob.pid()), Instant::now());
        // In pieces, so that the relay hears the client in between.
        for piece in lines.as_bytes().chunks(1 << 16) {
            self.relay.tell_bytes("bob", piece);
        }
        let shown = self.goes_on();
        let (after, computed_after) = usage(self.bob.pid());
        let grown = after.saturating_sub(memory);
        println!(
            "{count} {what}: {:?}, of which computed {:?}; memory {memory} KiB, and {grown} KiB more",
            began.elapsed(),
            computed_after.saturating_sub(computed),
        );
        assert!(grown < MOST_MEMORY, "{what}: {grown} KiB more");
        shown
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

/// Letters of alice to bob, as his key for letters allows them.
struct Letters {
    key: LetterKey,
    now_ms: u64,
    number: u64,
}

impl Letters {
    /// Bob is to take letters from now on.
    fn begin(relay: &EvilRelay) -> Self {
        let key = relay.first(1, "letterbox", "bob")[0]["key"].to_string();
        let key = LetterKey::parse(serde_json::from_str(&key).expect("JSON")).expect("a key");
        relay.tell("bob", &json!({"action": "letterbox", "waiting": []}));
        relay.first(1, "letters", "bob");
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now_ms = u64::try_from(now.expect("after 1970").as_millis()).expect("few");
        Self { key, now_ms, number: 0 }
    }

    fn seal(&self, owner: &PublicKey, mid: Mid, created_ms: u64) -> Value {
        let vault = IdentityVault::new(identity("alice"));
        let names = Names { from: "alice", to: "bob" };
        let body = Body::Text { mid, text: "a letter".to_owned() };
        let content = seal_letter(&vault, names, owner, &self.key, created_ms, mid, &body);
        json!({"action": "letter", "v": 2, "to": "bob", "from": "alice", "kind": 0,
               "id": base64::encode(&mid), "key_id": self.key.id,
               "content": content.expect("sealed")})
    }

    /// The same letter under so many numbers.
    fn again(&mut self, letter: &Value, count: u64) -> Vec<Value> {
        let first = self.number;
        self.number += count;
        let numbered = |number: u64| {
            let mut letter = letter.clone();
            letter["box"] = number.into();
            letter
        };
        (first..self.number).map(numbered).collect()
    }
}

/// A relay that gives letters without end, however few were acknowledged.
#[test]
fn floods_of_letters_cost_bounded_memory_too() {
    let mut scene = Scene::new();
    let mut letters = Letters::begin(&scene.relay);
    let (now, bob) = (letters.now_ms, public("bob"));
    let day = 24 * 3_600_000;
    let mut formless = letters.seal(&bob, [1; 16], now);
    formless["content"] = "A".repeat(4000).into();
    let kinds = [
        ("letters of no form", formless),
        ("letters for somebody else", letters.seal(&public("carol"), [2; 16], now)),
        ("letters that are too old", letters.seal(&bob, [3; 16], now - 20 * day)),
        ("letters from the future", letters.seal(&bob, [4; 16], now + day)),
    ];
    for (what, letter) in &kinds {
        let flood = letters.again(letter, 10_000);
        scene.flood(what, flood.into_iter());
    }
    let good = letters.seal(&bob, [5; 16], now);
    let first = letters.again(&good, 1);
    scene.relay.tell("bob", &first[0]);
    assert_eq!(scene.bob.line(), "alice: a letter");
    let flood = letters.again(&good, 10_000);
    scene.flood("letters that were shown before", flood.into_iter());
    let empty = vec![json!({"action": "letterbox_empty"}); 10_000];
    scene.flood("times that no letters wait", empty.into_iter());
    let counts = json!({"action": "letterbox", "waiting": [{"key_id": 1, "count": u32::MAX}]});
    scene.flood("counts of letters", vec![counts; 10_000].into_iter());
}

/// A relay that says that a million letters wait, and gives good ones without a pause: bob takes
/// some, at his own pace, and no more than he has acknowledged.
#[test]
fn a_box_of_a_million_letters_is_taken_at_the_pace_of_the_client() {
    const DIFFERENT: u16 = 400;
    let mut scene = Scene::new();
    let mut letters = Letters::begin(&scene.relay);
    let waiting = json!([{"key_id": letters.key.id, "count": 1_000_000}]);
    scene.relay.tell("bob", &json!({"action": "letterbox", "waiting": waiting}));
    let (now, bob) = (letters.now_ms, public("bob"));
    let mid = |number: u16| {
        let mut mid = [6; 16];
        mid[..2].copy_from_slice(&number.to_be_bytes());
        mid
    };
    let sealed: Vec<_> =
        (0..DIFFERENT).map(|number| letters.seal(&bob, mid(number), now)).collect();
    let each: Vec<_> = sealed.iter().cycle().take(10_000).collect();
    let flood: Vec<_> = each.into_iter().flat_map(|letter| letters.again(letter, 1)).collect();
    let shown = scene.flood_showing("good letters", flood.into_iter());
    println!("{shown} of {DIFFERENT} different letters were shown");
    // None twice.
    assert!((1..=usize::from(DIFFERENT)).contains(&shown), "{shown} letters");
}
