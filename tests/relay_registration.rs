//! Who gets a name, and who keeps it (`docs/protocol.md`, section 2, "Names" and "Proof").

mod support;

use sealwax::crypto::{PrekeyPair, Vault};
use sealwax::limits;
use sealwax::reactor::Waker;
use sealwax::relay::RelayConfig;
use sealwax::relay::store::{Answer, QueueFull, Store, StoreFault};
use sealwax::wire::{Fingerprint, RosterMode};
use serde_json::{Value, json};
use support::relay::{Account, Bystanders, PEM, RunningRelay, Setup};

const BOB: &str = include_str!("data/bob.pem");

fn lookup(target: &str) -> Value {
    json!({"action": "get_pubkey", "target": target})
}

#[test]
fn a_proven_name_is_registered_and_its_key_handed_out() {
    let relay = RunningRelay::start(Setup::default());
    let account = Account::alice();
    let mut alice = relay.connect();
    let fp = account.vault.public().fingerprint().to_string();
    let expected = json!({
        "action": "registered", "name": "alice", "fp": fp,
        "limits": {
            "frame": limits::MAX_FRAME, "depth": 8, "members": 32,
            "name": 32, "pubkey": 2048, "id": 64,
        },
    });
    assert_eq!(account.register(&mut alice, RosterMode::None), expected);

    let mut original = relay.original("JG");
    original.send(&lookup("alice"));
    let prekey = account.claim(RosterMode::None)["prekey"].clone();
    let expected = json!({
        "action": "pubkey", "from": "alice", "pubkey": account.pem(), "v": 2, "prekey": prekey,
    });
    assert_eq!(original.frame(), expected);
    alice.send(&lookup("JG"));
    assert_eq!(alice.frame(), json!({"action": "pubkey", "from": "JG", "pubkey": PEM}));
}

#[test]
fn a_new_prekey_replaces_the_one_that_is_handed_out() {
    let relay = RunningRelay::start(Setup::default());
    let account = Account::alice();
    let mut alice = relay.version2(&account);
    let next = PrekeyPair::new(&account.vault, 2_000).publish(&account.vault, "alice");
    let next: Value = serde_json::from_str(&next.to_json()).unwrap();
    alice.send(&json!({"action": "prekey", "v": 2, "prekey": next}));
    alice.send(&lookup("alice"));
    assert_eq!(alice.frame()["prekey"], next);
    // A sender learns which one is current.
    alice.send(&json!({"action": "message", "v": 2, "to": "alice", "content": "", "id": "1"}));
    assert_eq!(alice.frame()["action"], "message");
    let relayed = json!({"action": "relayed", "id": "1", "to": "alice", "prekey": next["id"]});
    assert_eq!(alice.frame(), relayed);
}

#[test]
fn a_key_is_handed_out_in_the_text_that_was_registered() {
    let relay = RunningRelay::start(Setup::default());
    let mut original = relay.connect();
    let crlf = PEM.replace('\n', "\r\n");
    original.send(&json!({"action": "register", "name": "JG", "pubkey": crlf, "roster": "none"}));
    original.send(&lookup("JG"));
    assert_eq!(original.frame()["pubkey"], crlf);
}

#[test]
fn whoever_proves_the_key_again_replaces_the_connection() {
    let relay = RunningRelay::start(Setup::default());
    let mut others = Bystanders::of(&relay);
    let account = Account::alice();
    let mut old = relay.version2(&account);
    let mut new = relay.version2(&account);
    old.dismissed("replaced");
    new.ping();
    others.go_on();
}

#[test]
fn a_name_that_an_original_holds_is_in_use_until_it_leaves() {
    let relay = RunningRelay::start(Setup::default());
    let mut original = relay.original("alice");
    let account = Account::alice();
    let mut alice = relay.connect();
    alice.send(&account.claim(RosterMode::None));
    alice.refused("name_in_use");
    original.finish_writing();
    original.closed();
    assert_eq!(account.register(&mut alice, RosterMode::None)["action"], "registered");
}

#[test]
fn a_name_taken_between_challenge_and_proof_is_refused_at_the_proof() {
    let relay = RunningRelay::start(Setup::default());
    let account = Account::alice();
    let mut late = relay.connect();
    late.send(&account.claim(RosterMode::None));
    let challenge = late.line();
    let _original = relay.original("alice");
    late.send(&account.prove(&challenge));
    late.dismissed("name_in_use");
}

#[test]
fn a_proven_name_stays_bound_after_its_user_has_left_and_after_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("names.sqlite");
    let account = Account::alice();
    {
        let relay = RunningRelay::start(Setup::keeping(path.clone()));
        let mut alice = relay.version2(&account);
        alice.finish_writing();
        alice.closed();
        refuses_others(&relay);
    }
    let relay = RunningRelay::start(Setup::keeping(path));
    refuses_others(&relay);
    relay.version2(&account).ping();
}

fn refuses_others(relay: &RunningRelay) {
    let mut other = relay.connect();
    other.send(&json!({"action": "register", "name": "alice", "pubkey": PEM}));
    other.refused("name_bound");
    other.send(&Account::new("alice", BOB).claim(RosterMode::None));
    other.refused("name_bound");
}

#[test]
fn an_ephemeral_relay_forgets_names_when_it_ends() {
    for pem in [include_str!("data/alice.pem"), BOB] {
        let relay = RunningRelay::start(Setup::default());
        relay.version2(&Account::new("alice", pem)).ping();
    }
}

#[test]
fn a_key_may_have_eight_names() {
    let relay = RunningRelay::start(Setup::default());
    for name in ["a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7"] {
        relay.version2(&Account::new(name, BOB)).ping();
    }
    Account::new("a8", BOB).is_refused(&mut relay.connect(), "directory_full");
    relay.version2(&Account::new("a0", BOB)).ping();
    relay.version2(&Account::alice()).ping();
}

/// A store that takes nothing, or answers all alike.
struct Broken(Option<StoreFault>, Option<Answer>);

impl Store for Broken {
    fn bind(&mut self, ticket: u64, _: &str, _: &Fingerprint, _: &str) -> Result<(), QueueFull> {
        let fault = self.0.clone().ok_or(QueueFull)?;
        self.1 = Some(Answer { ticket, outcome: Err(fault) });
        Ok(())
    }

    fn next_answer(&mut self) -> Option<Answer> {
        self.1.take()
    }

    fn waker(&self) -> Option<Waker> {
        None
    }
}

#[test]
fn a_name_that_the_store_does_not_keep_is_not_registered_and_the_relay_goes_on() {
    let full = StoreFault::Failed("the disk is full".to_owned());
    for (fault, code) in [
        (None, "directory_full"),
        (Some(full), "directory_full"),
        (Some(StoreFault::Taken), "name_bound"),
    ] {
        let store = move || (Box::new(Broken(fault, None)) as Box<dyn Store>, Vec::new());
        let relay = RunningRelay::start(Setup { store: Box::new(store), ..Setup::default() });
        let mut others = Bystanders::of(&relay);
        let account = Account::alice();
        let mut alice = relay.connect();
        alice.send(&account.claim(RosterMode::None));
        let challenge = alice.line();
        alice.send(&account.prove(&challenge));
        alice.dismissed(code);
        others.go_on();
        relay.original("alice").ping(); // it was not bound
    }
}

#[test]
fn what_is_sent_behind_a_proof_waits_for_the_registration() {
    let home = tempfile::tempdir().unwrap();
    let relay = RunningRelay::start(Setup::keeping(home.path().join("names.sqlite")));
    let account = Account::alice();
    let mut alice = relay.connect();
    alice.send(&account.claim(RosterMode::None));
    let challenge = alice.line();
    let ping = json!({"action": "ping", "id": "1"});
    alice.write(format!("{}{ping}", account.prove(&challenge)).as_bytes());
    alice.finish_writing();
    assert_eq!(alice.frame()["action"], "registered");
    assert_eq!(alice.frame()["action"], "pong");
    alice.closed();
}

#[test]
fn a_connection_too_many_is_closed_at_once() {
    let config = RelayConfig { max_connections: 3, ..RelayConfig::default() };
    let relay = RunningRelay::start(Setup { relay: config, ..Setup::default() });
    let mut others = Bystanders::of(&relay);
    let mut last = relay.original("JG");
    relay.connect().closed();
    others.go_on();
    last.finish_writing();
    last.closed();
    relay.original("JG").ping();
}

#[test]
fn what_stands_behind_a_proof_is_read_although_the_sender_writes_no_more() {
    let relay = RunningRelay::start(Setup::default());
    let bob = Account::bob();
    let mut receiver = relay.version2(&bob);
    let (alice, mut sender) = (Account::alice(), relay.connect());
    sender.send(&alice.claim(RosterMode::None));
    let challenge = sender.line();
    let message = json!({"action": "message", "v": 2, "to": "bob", "content": "AA"});
    // The name is new: the store binds it while the connection is closed on one side.
    sender.write(format!("{}\n{message}", alice.prove(&challenge)).as_bytes());
    sender.finish_writing();
    assert_eq!(receiver.frame()["from"], "alice");
    assert_eq!(sender.frame()["action"], "registered");
    sender.closed();
}
