//! Letters at the relay: kept for who is away, delivered in order until they are acknowledged, and
//! bounded for everybody. What is sealed in them is the clients' matter.

#![allow(clippy::expect_used)] // a test says what it expects

mod support;

use std::path::Path;

use sealwax::limits::MLKEM_KEY;
use sealwax::reactor::Waker;
use sealwax::relay::letter_store::{LetterAnswer, LetterAsk, LetterStore};
use sealwax::relay::limits::{
    BOX_LETTERS, DELIVERY_LETTERS, FINDS_UNDER_WAY, FULL_OF, FULL_UNTIL, LETTER_KEYS_UNDER_WAY,
    LETTERS_A_SENDER, STRANGER_LETTERS,
};
use sealwax::relay::names::BoundNames;
use sealwax::relay::store::{Answer, MemoryStore, QueueFull, Store};
use sealwax::wire::{Fingerprint, LetterKey, LetterKind, TakeMode, compose};
use serde_json::{Value, json};
use support::relay::{Account, Bystanders, Client, RunningRelay, Setup};
use tempfile::TempDir;

/// A relay whose names are in a directory, and three users who are known to it.
struct Stage {
    home: TempDir,
    relay: RunningRelay,
}

const USERS: [(&str, &str); 3] = [
    ("alice", include_str!("data/alice.pem")),
    ("bob", include_str!("data/bob.pem")),
    ("carol", include_str!("data/carol.pem")),
];

fn user(name: &str) -> Account {
    let (name, pem) = USERS.into_iter().find(|user| user.0 == name).expect("one of them");
    Account::new(name, pem)
}

fn file(home: &TempDir) -> std::path::PathBuf {
    home.path().join("names.sqlite")
}

impl Stage {
    fn new() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let relay = RunningRelay::start(Setup::keeping(file(&home)));
        for (name, _) in USERS {
            relay.version2(&user(name)).ping();
        }
        Self { home, relay }
    }

    /// The relay ends, and another one is started on the same home.
    fn restart(self) -> Self {
        let Self { home, relay } = self;
        drop(relay);
        let relay = RunningRelay::start(Setup::keeping(file(&home)));
        Self { home, relay }
    }

    fn enter(&self, name: &str) -> Client {
        self.relay.version2(&user(name))
    }

    /// Leaves a letter key for `name`, who then leaves.
    fn with_box(&self, name: &str) {
        let mut client = self.enter(name);
        assert_eq!(publish(&mut client, 1), json!([]));
    }
}

fn key(id: u32, created: u64) -> LetterKey {
    let expires = created + 90 * 24 * 3600 * 1000;
    let mlkem = Box::new([7; MLKEM_KEY]);
    LetterKey { id, created, expires, x25519: [8; 32], mlkem, signature: vec![9; 384] }
}

/// Today, as a letter key has it.
fn now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(now.expect("after 1970").as_millis()).expect("few") / 86_400_000 * 86_400_000
}

/// Publishes a letter key, and tells what waits.
fn publish(client: &mut Client, id: u32) -> Value {
    client.write(&compose::letterbox(&key(id, now())));
    let answer = client.frame();
    assert_eq!(answer["action"], "letterbox", "{answer}");
    answer["waiting"].clone()
}

fn letter(to: &str, id: &str, key_id: u32) -> Vec<u8> {
    compose::letter(to, "me", id, (LetterKind::Text, key_id), "AAAA")
}

fn receipt(to: &str, id: &str) -> Vec<u8> {
    compose::letter(to, "me", id, (LetterKind::Receipt, 1), "AAAA")
}

/// Stores a letter, which is taken.
fn store(client: &mut Client, to: &str, id: &str) {
    client.write(&letter(to, id, 1));
    assert_eq!(client.frame(), json!({"action": "stored", "id": id, "to": to}));
}

/// Whether a letter was taken, or with which code it was refused.
fn outcome(client: &mut Client, frame: &[u8]) -> Value {
    client.write(frame);
    let answer = client.frame();
    if answer["action"] == "error" { answer["code"].clone() } else { answer["action"].clone() }
}

fn take(client: &mut Client, mode: TakeMode) {
    client.write(&compose::letters(mode));
}

/// The next frame is a letter; tells its number and its id.
fn next(client: &mut Client) -> (u64, String) {
    let frame = client.frame();
    assert_eq!(frame["action"], "letter", "{frame}");
    (frame["box"].as_u64().expect("a number"), frame["id"].as_str().expect("a text").to_owned())
}

fn is_empty(client: &mut Client) {
    assert_eq!(client.frame(), json!({"action": "letterbox_empty"}));
}

fn ask_for(client: &mut Client, target: &str) -> Value {
    client.write(&compose::get_pubkey(target, "me"));
    client.frame()
}

#[test]
fn a_letter_waits_for_who_is_away_and_leaves_when_it_is_acknowledged() {
    let stage = Stage::new();
    stage.with_box("bob");
    let mut alice = stage.enter("alice");
    for id in ["1", "2", "3"] {
        store(&mut alice, "bob", id);
    }
    let stage = stage.restart();
    let mut bob = stage.enter("bob");
    assert_eq!(publish(&mut bob, 1), json!([{"key_id": 1, "count": 3}]));
    take(&mut bob, TakeMode::All);
    let first = bob.frame();
    let expected = json!({"action": "letter", "to": "bob", "from": "alice", "v": 2, "id": "1",
        "kind": 0, "key_id": 1, "content": "AAAA", "box": first["box"]});
    assert_eq!(first, expected);
    let (second, id) = next(&mut bob);
    assert_eq!(id, "2");
    assert_eq!(next(&mut bob).1, "3");
    is_empty(&mut bob);
    bob.write(&compose::ack(second));
    bob.write(&compose::ack(second + 1000)); // passed over
    bob.ping();
    drop(bob);
    // What was not acknowledged comes again, in order.
    let mut bob = stage.enter("bob");
    take(&mut bob, TakeMode::All);
    for expected in ["1", "3"] {
        let (number, id) = next(&mut bob);
        assert_eq!(id, expected);
        bob.write(&compose::ack(number));
    }
    is_empty(&mut bob);
    bob.finish_writing();
    bob.closed();
    let mut bob = stage.enter("bob");
    take(&mut bob, TakeMode::All);
    is_empty(&mut bob);
}

#[test]
fn who_sends_no_more_gets_what_the_store_still_owes_before_the_end() {
    let stage = Stage::new();
    stage.with_box("bob");
    let mut alice = stage.enter("alice");
    let frames = [letter("bob", "1", 1), letter("bob", "2", 1), compose::get_pubkey("bob", "me")];
    alice.write(&frames.concat());
    alice.finish_writing();
    let answers = [alice.frame(), alice.frame(), alice.frame()];
    for id in ["1", "2"] {
        assert!(answers.contains(&json!({"action": "stored", "id": id, "to": "bob"})));
    }
    assert!(answers.iter().any(|answer| answer["action"] == "pubkey"), "{answers:?}");
    alice.closed();
    stage.enter("alice").ping(); // the name is free
}

#[test]
fn nobody_deletes_what_waits_for_another() {
    let stage = Stage::new();
    stage.with_box("bob");
    stage.with_box("carol");
    let mut alice = stage.enter("alice");
    store(&mut alice, "bob", "1");
    store(&mut alice, "carol", "2");
    let mut bob = stage.enter("bob");
    take(&mut bob, TakeMode::All);
    let (number, id) = next(&mut bob);
    assert_eq!(id, "1");
    let mut carol = stage.enter("carol");
    // Bob's number, those around it, and before anything was delivered to her.
    for guess in (0..number + 8).chain([u64::MAX]) {
        carol.write(&compose::ack(guess));
    }
    take(&mut carol, TakeMode::All);
    let (own, id) = next(&mut carol);
    assert_eq!(id, "2", "her own is there: it had not been delivered");
    for guess in (0..number + 8).filter(|guess| *guess != own) {
        carol.write(&compose::ack(guess));
    }
    drop(carol);
    drop(bob);
    let mut bob = stage.enter("bob");
    take(&mut bob, TakeMode::All);
    assert_eq!(next(&mut bob), (number, "1".to_owned()));
    let mut carol = stage.enter("carol");
    take(&mut carol, TakeMode::All);
    assert_eq!(next(&mut carol), (own, "2".to_owned()));
}

#[test]
fn more_than_may_be_under_way_follows_as_it_is_acknowledged() {
    let stage = Stage::new();
    stage.with_box("bob");
    befriend(&stage, "bob", "alice");
    let mut alice = stage.enter("alice");
    let count = 3 * DELIVERY_LETTERS;
    for id in 0..count {
        store(&mut alice, "bob", &id.to_string());
    }
    let mut bob = stage.enter("bob");
    take(&mut bob, TakeMode::All);
    let first: Vec<_> = (0..DELIVERY_LETTERS).map(|_| next(&mut bob)).collect();
    bob.ping(); // no more comes
    for (number, _) in &first {
        bob.write(&compose::ack(*number));
    }
    for expected in DELIVERY_LETTERS..count {
        let (number, id) = next(&mut bob);
        assert_eq!(id, expected.to_string());
        bob.write(&compose::ack(number));
    }
    is_empty(&mut bob);
}

/// `owner` writes a letter to `other`, who is no stranger from then on. Nothing waits afterwards.
fn befriend(stage: &Stage, owner: &str, other: &str) {
    let mut theirs = stage.enter(other);
    publish(&mut theirs, 1);
    let mut client = stage.enter(owner);
    store(&mut client, other, "hello");
    take(&mut theirs, TakeMode::All);
    let (number, _) = next(&mut theirs);
    theirs.write(&compose::ack(number));
    is_empty(&mut theirs);
}

#[test]
fn who_is_there_and_takes_gets_a_letter_through_the_box_at_once() {
    let stage = Stage::new();
    let (mut alice, mut bob) = (stage.enter("alice"), stage.enter("bob"));
    publish(&mut bob, 1);
    take(&mut bob, TakeMode::All);
    is_empty(&mut bob);
    for id in ["1", "2"] {
        store(&mut alice, "bob", id);
        assert_eq!(next(&mut bob).1, id);
        is_empty(&mut bob);
    }
    // Again from the start: nothing was acknowledged.
    take(&mut bob, TakeMode::All);
    assert_eq!([next(&mut bob).1, next(&mut bob).1], ["1", "2"]);
    is_empty(&mut bob);
}

#[test]
fn receipts_alone_can_be_taken() {
    let stage = Stage::new();
    stage.with_box("bob");
    let mut alice = stage.enter("alice");
    store(&mut alice, "bob", "text");
    alice.write(&receipt("bob", "receipt"));
    assert_eq!(alice.frame()["action"], "stored");
    let mut bob = stage.enter("bob");
    take(&mut bob, TakeMode::Receipts);
    assert_eq!(next(&mut bob).1, "receipt");
    is_empty(&mut bob);
    store(&mut alice, "bob", "text 2");
    bob.ping(); // he is not told of texts
    take(&mut bob, TakeMode::All);
    assert_eq!(
        [next(&mut bob).1, next(&mut bob).1, next(&mut bob).1],
        ["text", "receipt", "text 2"]
    );
    is_empty(&mut bob);
}

#[test]
fn a_letter_is_kept_once_while_it_lies_in_the_box() {
    let stage = Stage::new();
    stage.with_box("bob");
    let (mut alice, mut carol) = (stage.enter("alice"), stage.enter("carol"));
    for _ in 0..3 {
        store(&mut alice, "bob", "1");
    }
    store(&mut carol, "bob", "1");
    let mut bob = stage.enter("bob");
    take(&mut bob, TakeMode::All);
    let senders = [bob.frame()["from"].clone(), bob.frame()["from"].clone()];
    assert_eq!(senders, [json!("alice"), json!("carol")]);
    is_empty(&mut bob);
}

#[test]
fn who_can_store_nothing_is_told_why() {
    let stage = Stage::new();
    let mut alice = stage.enter("alice");
    assert_eq!(outcome(&mut alice, &letter("nobody", "1", 1)), "unknown_user");
    assert_eq!(outcome(&mut alice, &letter(&"x".repeat(65), "1", 1)), "unknown_user");
    assert_eq!(outcome(&mut alice, &letter("bob", "1", 1)), "no_letterbox");
    stage.with_box("bob");
    assert_eq!(outcome(&mut alice, &letter("bob", "1", 2)), "stale_key");
    let mut bob = stage.enter("bob");
    assert_eq!(publish(&mut bob, 2), json!([]));
    assert_eq!(publish(&mut bob, 2), json!([]));
    for key in [1, 2] {
        // The one before is taken for a while.
        assert_eq!(outcome(&mut alice, &letter("bob", &key.to_string(), key)), "stored");
    }
    publish(&mut bob, 3);
    assert_eq!(outcome(&mut alice, &letter("bob", "3", 1)), "stale_key");
    bob.write(&compose::letterbox(&key(4, now() - 86_400_000)));
    bob.refused("stale_key");
    let endless = LetterKey { expires: u64::MAX, ..key(5, now()) };
    bob.write(&compose::letterbox(&endless));
    bob.refused("bad_prekey");
    let mut original = stage.relay.original("JG");
    for frame in [letter("bob", "1", 3), compose::letters(TakeMode::All), compose::ack(1)] {
        assert_eq!(outcome(&mut original, &frame), "bad_frame");
    }
}

#[test]
fn a_relay_that_keeps_nothing_says_so_and_answers_as_before() {
    let relay = RunningRelay::start(Setup::default());
    let (mut alice, mut bob) = (relay.version2(&user("alice")), relay.version2(&user("bob")));
    for frame in [
        letter("bob", "1", 1),
        compose::letters(TakeMode::All),
        compose::ack(1),
        compose::letterbox(&key(1, now())),
    ] {
        assert_eq!(outcome(&mut alice, &frame), "no_letterbox");
    }
    let found = ask_for(&mut alice, "bob");
    assert!(found["prekey"].is_object() && found["letter_key"].is_null(), "{found}");
    bob.finish_writing();
    bob.closed();
    assert_eq!(ask_for(&mut alice, "bob")["code"], "unknown_user");
}

#[test]
fn who_is_away_can_be_asked_for_by_who_knows_letters() {
    let stage = Stage::new();
    let mut alice = stage.enter("alice");
    let pem = user("bob").pem();
    let away = json!({"action": "pubkey", "from": "bob", "pubkey": pem, "v": 2, "away": true});
    assert_eq!(ask_for(&mut alice, "bob"), away);
    let mut bob = stage.enter("bob");
    publish(&mut bob, 1);
    let here = ask_for(&mut alice, "bob");
    let theirs: Value = serde_json::from_str(&key(1, now()).to_json()).expect("JSON");
    assert_eq!((&here["letter_key"], &here["away"]), (&theirs, &Value::Null));
    assert!(here["prekey"].is_object(), "{here}");
    alice.send(&json!({"action": "get_pubkey", "target": "bob", "from": "alice"}));
    let before = alice.frame();
    assert!(before["letter_key"].is_null() && before["prekey"].is_object());
    bob.finish_writing();
    bob.closed();
    let found = ask_for(&mut alice, "bob");
    assert_eq!((&found["away"], &found["letter_key"]), (&json!(true), &theirs));
    alice.send(&json!({"action": "get_pubkey", "target": "bob", "from": "alice"}));
    assert_eq!(alice.frame()["code"], "unknown_user");
    let refused = ask_for(&mut alice, "nobody");
    assert_eq!((&refused["code"], &refused["target"]), (&json!("unknown_user"), &json!("nobody")));
    // The text of the key is kept from the registration on.
    let stage = stage.restart();
    assert_eq!(ask_for(&mut stage.enter("alice"), "carol")["pubkey"], user("carol").pem());
}

#[test]
fn strangers_have_a_few_letters_each_and_whom_the_owner_wrote_to_half_of_the_box() {
    let stage = Stage::new();
    stage.with_box("bob");
    let mut alice = stage.enter("alice");
    let fill = |client: &mut Client, prefix: &str| {
        let mut taken = 0;
        while outcome(client, &letter("bob", &format!("{prefix}{taken}"), 1)) == "stored" {
            taken += 1;
        }
        taken
    };
    assert_eq!(fill(&mut alice, "a"), STRANGER_LETTERS);
    drop(alice);
    befriend(&stage, "bob", "alice");
    let mut alice = stage.enter("alice");
    assert_eq!(fill(&mut alice, "b"), BOX_LETTERS / 2);
    let mut carol = stage.enter("carol");
    assert_eq!(fill(&mut carol, "c"), STRANGER_LETTERS, "strangers have their own share");
    for receipts in 0..BOX_LETTERS / 4 {
        assert_eq!(outcome(&mut alice, &receipt("bob", &format!("r{receipts}"))), "stored");
    }
    assert_eq!(outcome(&mut alice, &receipt("bob", "one more")), "mailbox_full");
    // Again from three quarters down, not before.
    acknowledge(&stage, STRANGER_LETTERS); // they came first, and count for another share
    for left in (BOX_LETTERS / 2 / FULL_OF * FULL_UNTIL..BOX_LETTERS / 2).rev() {
        assert_eq!(outcome(&mut alice, &letter("bob", "more", 1)), "mailbox_full", "{left}");
        acknowledge(&stage, 1);
    }
    assert_eq!(fill(&mut alice, "d"), BOX_LETTERS / 2 / FULL_OF);
}

/// Bob takes so many letters, and leaves.
fn acknowledge(stage: &Stage, count: u32) {
    let mut bob = stage.enter("bob");
    take(&mut bob, TakeMode::All);
    for _ in 0..count {
        let (number, _) = next(&mut bob);
        bob.write(&compose::ack(number));
    }
    bob.finish_writing();
    while bob.try_line().is_some() {}
}

/// A store that keeps names, and never answers about letters: its disk stands still.
#[derive(Default)]
struct Stuck(MemoryStore);

impl Store for Stuck {
    fn bind(&mut self, at: u64, name: &str, fp: &Fingerprint, pem: &str) -> Result<(), QueueFull> {
        self.0.bind(at, name, fp, pem)
    }

    fn next_answer(&mut self) -> Option<Answer> {
        self.0.next_answer()
    }

    fn letters(&mut self) -> Option<&mut dyn LetterStore> {
        Some(self)
    }

    fn waker(&self) -> Option<Waker> {
        None
    }
}

impl LetterStore for Stuck {
    fn ask(&mut self, _: u64, _: LetterAsk) -> Result<(), QueueFull> {
        Ok(())
    }

    fn next_letter_answer(&mut self) -> Option<(u64, LetterAnswer)> {
        None
    }
}

#[test]
fn while_the_disk_stands_still_a_bounded_number_of_questions_waits_and_all_else_goes_on() {
    let store = || (Box::<Stuck>::default() as Box<dyn Store>, Vec::new());
    let relay = RunningRelay::start(Setup { store: Box::new(store), ..Setup::default() });
    let mut bystanders = Bystanders::of(&relay);
    let mut alice = relay.version2(&user("alice"));
    let mut bob = relay.version2(&user("bob"));
    for id in 0..LETTERS_A_SENDER {
        alice.write(&letter("bob", &id.to_string(), 1));
    }
    assert_eq!(outcome(&mut alice, &letter("bob", "one more", 1)), "rate_limited");
    assert_eq!(outcome(&mut alice, &letter("nobody", "1", 1)), "unknown_user");
    for _ in 0..FINDS_UNDER_WAY {
        alice.write(&compose::get_pubkey("bob", "alice"));
    }
    let refused = ask_for(&mut alice, "bob");
    assert_eq!((&refused["code"], &refused["target"]), (&json!("rate_limited"), &json!("bob")));
    for _ in 0..LETTER_KEYS_UNDER_WAY {
        bob.write(&compose::letterbox(&key(1, now())));
    }
    assert_eq!(outcome(&mut bob, &compose::letterbox(&key(1, now()))), "rate_limited");
    bob.write(&compose::letters(TakeMode::All));
    bob.ping();
    bystanders.go_on();
}

#[test]
fn a_name_that_is_released_takes_its_box_and_its_letters_with_it() {
    let stage = Stage::new();
    for name in ["alice", "bob"] {
        stage.with_box(name);
    }
    let mut alice = stage.enter("alice");
    store(&mut alice, "bob", "1");
    let mut carol = stage.enter("carol");
    store(&mut carol, "bob", "2");
    store(&mut carol, "alice", "3");
    let counts = |path: &Path| -> Vec<(String, u64)> {
        let names = BoundNames::open(path).expect("it is there");
        names.all().iter().map(|name| (name.name.clone(), name.letters)).collect()
    };
    let named = |counts: [u64; 3]| -> Vec<(String, u64)> {
        USERS.iter().map(|user| user.0.to_owned()).zip(counts).collect()
    };
    assert_eq!(counts(&file(&stage.home)), named([1, 2, 0]));
    let mut names = BoundNames::open(&file(&stage.home)).expect("it is there");
    names.release("alice").expect("released").expect("it was bound");
    assert_eq!(counts(&file(&stage.home)), named([0, 1, 0])[1..]);
    // She is still connected, and what she stores belongs to nobody.
    assert_eq!(outcome(&mut alice, &letter("bob", "4", 1)), "no_letterbox");
    assert_eq!(outcome(&mut carol, &letter("alice", "5", 1)), "unknown_user");
}
