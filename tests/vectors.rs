//! The recorded handshake of `docs/vectors.json`, which another implementation made
//! (`tests/python/known_answers.py`): ours, as the relay and as Bob, takes each step of it.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::cell::RefCell;
use std::fs;

use sealwax::crypto::{
    Body, Identity, IdentityVault, Names, Opened, PrekeyPair, PublicKey, SealedMessage, Secret,
    SessionOffer, Vault, check_prekey, register_proof, relay_challenge,
};
use sealwax::wire::{Prekey, base64};
use serde_json::Value;

/// Bob's vault, with the randomness of the recording in place of its own.
struct Recorded {
    vault: IdentityVault,
    randomness: RefCell<Vec<u8>>,
}

impl Vault for Recorded {
    fn public(&self) -> &PublicKey {
        self.vault.public()
    }

    fn random(&self, out: &mut [u8]) {
        let mut left = self.randomness.borrow_mut();
        out.copy_from_slice(&left.drain(..out.len()).collect::<Vec<_>>());
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.vault.sign(message)
    }

    fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
        self.vault.verify(key, message, signature)
    }

    fn verify_relay(&self, relay: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
        self.vault.verify_relay(relay, message, signature)
    }

    fn wrap(&self, key: &PublicKey, secret: &Secret<32>, label: &[u8; 32]) -> Vec<u8> {
        self.vault.wrap(key, secret, label)
    }

    fn unwrap(&self, wrapped: &[u8], label: &[u8; 32]) -> Secret<32> {
        self.vault.unwrap(wrapped, label)
    }

    fn exchange_key(&self, secret: &Secret<32>) -> [u8; 32] {
        self.vault.exchange_key(secret)
    }

    fn agree(&self, secret: &Secret<32>, theirs: &[u8; 32]) -> Option<Secret<32>> {
        self.vault.agree(secret, theirs)
    }
}

fn recording() -> Value {
    let text = fs::read_to_string("docs/vectors.json").unwrap();
    serde_json::from_str::<Value>(&text).unwrap()["handshake"].take()
}

fn identity(recording: &Value, side: &str) -> Identity {
    let path = recording["identities"][side].as_str().unwrap();
    Identity::from_pem(&fs::read_to_string(path).unwrap(), None).unwrap()
}

fn unhex(text: &Value) -> Vec<u8> {
    let digits = text.as_str().unwrap().as_bytes().chunks(2);
    digits.map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

fn prekey(recording: &Value) -> Prekey {
    Prekey::parse(&serde_json::value::to_raw_value(&recording["prekey"]).unwrap()).unwrap()
}

#[test]
fn a_recorded_registration_holds() {
    let recording = recording();
    let bob = IdentityVault::new(identity(&recording, "B"));
    let (fp, prekey) = (bob.public().fingerprint(), prekey(&recording));
    let step = |name| base64::decode(recording["registration"][name].as_str().unwrap()).unwrap();
    let step_32 = |name| <[u8; 32]>::try_from(step(name)).unwrap();
    let [relay, cnonce, nonce] = ["relay", "cnonce", "nonce"].map(step_32);

    let challenge = relay_challenge(&relay, &cnonce, &nonce, &fp);
    assert!(bob.verify_relay(&relay, &challenge, &step("relay_sig")));
    let proof = register_proof(&relay, &nonce, &cnonce, "bob", &fp, &prekey);
    assert!(bob.verify(bob.public(), &proof, &step("proof")));
    assert_eq!(check_prekey(&bob, &prekey, "bob", bob.public(), prekey.created), Ok(()));
}

#[test]
fn a_recorded_session_opens() {
    let recording = recording();
    let alice = identity(&recording, "A");
    let published = prekey(&recording);
    // A prekey pair draws its id first, then its secret.
    let randomness =
        [&published.id.to_be_bytes()[..], &unhex(&recording["prekey_secret"])].concat();
    let bob = Recorded {
        vault: IdentityVault::new(identity(&recording, "B")),
        randomness: RefCell::new(randomness),
    };
    let pair = PrekeyPair::new(&bob, published.created);
    assert_eq!(pair.publish(&bob, "bob").x25519, published.x25519);

    let names = Names { from: "alice", to: "bob" };
    let offer = SessionOffer::parse(recording["key"].as_str().unwrap()).unwrap();
    assert_eq!(offer.created_ms(), recording["created_ms"]);
    assert_eq!(offer.sid()[..], unhex(&recording["sid"]));
    let verified = offer.verify(&bob, alice.public(), names).unwrap();
    let mut chain = verified.accept(&bob, &pair).unwrap();

    for message in recording["messages"].as_array().unwrap() {
        let sealed = SealedMessage::parse(message["content"].as_str().unwrap()).unwrap();
        let Opened { n, missing, body } = chain.open(sealed).unwrap();
        assert_eq!((n, missing), (message["n"].as_u64().unwrap(), 0));
        let (kind, data) = match body {
            Body::Text { mid, text } => (0, [&mid[..], text.as_bytes()].concat()),
            Body::Receipt(mids) => (1, mids.concat()),
        };
        assert_eq!((kind, data), (message["type"].as_u64().unwrap(), unhex(&message["data"])));
    }
}
