//! What encryption costs: a message sealed and opened, a session opened and accepted, a letter
//! sealed and opened, a registration checked.
//!
//! `failure` has each secret that does not open beside one that does: whoever can measure the two
//! apart, from outside, learns something of the key.
//!
//! The keys have 2048 bits, as all fixtures; those of a new identity have 3072 and cost about
//! twice as much.
#![expect(clippy::expect_used, reason = "a bench has nobody to tell")]

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use sealwax::crypto::{
    Body, Identity, IdentityVault, Letter, LetterKeyPair, Names, PrekeyPair, PublicKey,
    ReceiveChain, SealedMessage, Secret, SendChain, SessionOffer, Vault, open_session, seal_letter,
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

fn letter(c: &mut Criterion) {
    let users = Users::new();
    let (alice, bob) = (&users.alice, &users.bob);
    let pair = LetterKeyPair::new(bob, 1);
    let key = pair.publish(bob, NAMES.to);
    let mid = [0; 16];
    let body = Body::Text { mid, text: "x".repeat(1000) };
    let seal = || seal_letter(alice, NAMES, bob.public(), &key, 2, mid, &body).expect("it fits");
    let content = seal();
    let mut group = c.benchmark_group("letter");
    group.bench_function("seal/1000", |b| b.iter(seal));
    group.bench_function("open/1000", |b| {
        b.iter(|| {
            let letter = Letter::parse(&content).expect("just sealed");
            let verified = letter.verify(bob, alice.public(), NAMES, &pair).expect("just signed");
            verified.open(bob, &pair).expect("sealed to this key")
        });
    });
    group.bench_function("make a key", |b| b.iter(|| LetterKeyPair::new(bob, 1)));
}

fn failure(c: &mut Criterion) {
    let Users { alice, bob, .. } = Users::new();
    let label = [0; 32];
    let wrapped = alice.wrap(bob.public(), &Secret::filled(|secret| secret.fill(1)), &label);
    let mut changed = wrapped.clone();
    changed[7] ^= 1;
    let seed = Secret::filled(|seed| bob.random(seed));
    let (sent, _) = alice.encapsulate(&bob.kem_key(&seed)).expect("it is valid");
    let mut rejected = sent.clone();
    rejected[7] ^= 1;
    let mut group = c.benchmark_group("failure");
    group.bench_function("RSA-OAEP, opens", |b| b.iter(|| bob.unwrap(&wrapped, &label)));
    group.bench_function("RSA-OAEP, does not", |b| b.iter(|| bob.unwrap(&changed, &label)));
    group.bench_function("ML-KEM, opens", |b| b.iter(|| bob.decapsulate(&seed, &sent)));
    group.bench_function("ML-KEM, does not", |b| b.iter(|| bob.decapsulate(&seed, &rejected)));
}

fn registration(c: &mut Criterion) {
    let users = Users::new();
    let public = users.alice.public();
    let (pem, signature) = (public.to_pem(), users.alice.sign(b"proof"));
    let mut group = c.benchmark_group("registration");
    group.bench_function("parse a key", |b| b.iter(|| PublicKey::from_pem(&pem)));
    group.bench_function("verify a proof", |b| b.iter(|| public.verify(b"proof", &signature)));
}

criterion_group!(benches, message, session, letter, failure, registration);
criterion_main!(benches);
