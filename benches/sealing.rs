//! What encryption costs: a message sealed and opened, a session opened and accepted, a
//! registration checked.
//!
//! The keys have 2048 bits, as all fixtures; those of a new identity have 3072 and cost about
//! twice as much.
#![expect(clippy::expect_used, reason = "a bench has nobody to tell")]

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use sealwax::crypto::{
    Body, Identity, IdentityVault, Names, PrekeyPair, PublicKey, ReceiveChain, SealedMessage,
    SendChain, SessionOffer, Vault, open_session,
};
use sealwax::wire::Prekey;

const NAMES: Names = Names { from: "alice", to: "bob" };

/// Alice and Bob, and his prekey.
struct Users {
    alice: IdentityVault,
    bob: IdentityVault,
    pair: PrekeyPair,
    prekey: Prekey,
}

impl Users {
    fn new() -> Self {
        let vault = |pem| IdentityVault::new(Identity::from_pem(pem, None).expect("a fixture"));
        let alice = vault(include_str!("../tests/data/alice.pem"));
        let bob = vault(include_str!("../tests/data/bob.pem"));
        let pair = PrekeyPair::new(&bob, 1);
        let prekey = pair.publish(&bob, NAMES.to);
        Self { alice, bob, pair, prekey }
    }

    fn open(&self) -> (SendChain, String) {
        open_session(&self.alice, NAMES, self.bob.public(), &self.prekey, 2).expect("it is strong")
    }

    fn accept(&self, key: &str) -> ReceiveChain {
        let offer = SessionOffer::parse(key).expect("just made");
        let verified = offer.verify(&self.bob, self.alice.public(), NAMES, &self.pair);
        let verified = verified.expect("just signed");
        verified.accept(&self.bob, &self.pair).expect("made to this prekey")
    }
}

fn message(c: &mut Criterion) {
    let users = Users::new();
    let mut group = c.benchmark_group("message");
    for length in [20, 1000, 16_000] {
        let body = Body::Text { mid: [0; 16], text: "x".repeat(length) };
        let (mut send, key) = users.open();
        let mut receive = users.accept(&key);
        group.bench_function(format!("open/{length}"), |b| {
            b.iter_batched(
                || send.seal(&body).expect("it fits"),
                |content| receive.open(SealedMessage::parse(&content).expect("just sealed")),
                BatchSize::PerIteration,
            );
        });
        group.bench_function(format!("seal/{length}"), |b| b.iter(|| send.seal(&body)));
    }
}

fn session(c: &mut Criterion) {
    let users = Users::new();
    let (_, key) = users.open();
    let mut group = c.benchmark_group("session");
    group.bench_function("open", |b| b.iter(|| users.open()));
    group.bench_function("accept", |b| b.iter(|| users.accept(&key)));
}

fn registration(c: &mut Criterion) {
    let users = Users::new();
    let public = users.alice.public();
    let (pem, signature) = (public.to_pem(), users.alice.sign(b"proof"));
    let mut group = c.benchmark_group("registration");
    group.bench_function("parse a key", |b| b.iter(|| PublicKey::from_pem(&pem)));
    group.bench_function("verify a proof", |b| b.iter(|| public.verify(b"proof", &signature)));
}

criterion_group!(benches, message, session, registration);
criterion_main!(benches);
