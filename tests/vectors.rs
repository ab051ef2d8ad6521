//! The recorded conversation of `docs/vectors.json`, which another implementation held
//! (`tests/python/second_client.py`): ours, as the relay and as each recipient, takes each step of
//! it.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::cell::RefCell;
use std::fs;

use sealwax::crypto::{
    Body, Identity, IdentityVault, KemCiphertext, Letter, LetterKeyPair, Names, Opened, PrekeyPair,
    PublicKey, SealedMessage, Secret, SessionOffer, Vault, check_letter_key, check_prekey,
    register_proof, relay_challenge,
};
use sealwax::wire::{Fingerprint, KemKey, LetterKey, Prekey, base64};
use serde_json::Value;

/// A recipient's vault, with the randomness of the recording in place of its own.
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

    fn kem_key(&self, seed: &Secret<64>) -> Box<KemKey> {
        self.vault.kem_key(seed)
    }

    fn encapsulate(&self, key: &KemKey) -> Option<(Box<KemCiphertext>, Secret<32>)> {
        self.vault.encapsulate(key)
    }

    fn decapsulate(&self, seed: &Secret<64>, ciphertext: &KemCiphertext) -> Secret<32> {
        self.vault.decapsulate(seed, ciphertext)
    }

    fn at_rest_key(&self) -> Secret<32> {
        self.vault.at_rest_key()
    }
}

/// One side of the recording: its key, and what it wrote down.
struct User {
    name: String,
    identity: String,
    record: Value,
}

impl User {
    fn vault(&self) -> IdentityVault {
        IdentityVault::new(Identity::from_pem(&self.identity, None).unwrap())
    }

    fn prekeys(&self) -> impl Iterator<Item = (Prekey, Vec<u8>)> {
        self.record["prekeys"].as_array().unwrap().iter().map(|made| {
            let published = serde_json::value::to_raw_value(&made["published"]).unwrap();
            (Prekey::parse(&published).unwrap(), secrets(made))
        })
    }

    fn letter_key(&self) -> (LetterKey, Vec<u8>) {
        let made = &self.record["letter_keys"][0];
        let published = serde_json::value::to_raw_value(&made["published"]).unwrap();
        (LetterKey::parse(&published).unwrap(), secrets(made))
    }
}

/// Of a prekey or a letter key: the secret of X25519, then the seed of ML-KEM.
fn secrets(made: &Value) -> Vec<u8> {
    [unhex(&made["secret"]), unhex(&made["seed"])].concat()
}

fn users() -> Vec<User> {
    let text = fs::read_to_string("docs/vectors.json").unwrap();
    let mut recording: Value = serde_json::from_str(&text).unwrap();
    let records = recording["handshake"].as_object_mut().unwrap();
    let user = |(name, record): (&String, &mut Value)| {
        let identity = fs::read_to_string(record["identity"].as_str().unwrap()).unwrap();
        User { name: name.clone(), identity, record: record.take() }
    };
    records.iter_mut().map(user).collect()
}

fn unhex(text: &Value) -> Vec<u8> {
    let digits = text.as_str().unwrap().as_bytes().chunks(2);
    digits.map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

#[test]
fn each_recorded_registration_holds() {
    for user in users() {
        let vault = user.vault();
        let fp = vault.public().fingerprint();
        let (prekey, _) = user.prekeys().next().unwrap();
        let registration = &user.record["registration"];
        let step = |name| base64::decode(registration[name].as_str().unwrap()).unwrap();
        let step_32 = |name| <[u8; 32]>::try_from(step(name)).unwrap();
        let [relay, cnonce, nonce] = ["relay", "cnonce", "nonce"].map(step_32);

        let challenge = relay_challenge(&relay, &cnonce, &nonce, &fp, None);
        assert!(vault.verify_relay(&relay, &challenge, &step("relay_sig")));
        let proof = register_proof(&relay, &nonce, &cnonce, &user.name, &fp, &prekey, None);
        assert!(vault.verify(vault.public(), &proof, &step("proof")));
        let checked = check_prekey(&vault, &prekey, &user.name, vault.public(), prekey.created);
        assert_eq!(checked, Ok(()));
    }
}

/// What is signed where the registration is bound to its TLS connection, byte for byte.
#[test]
fn a_bound_registration_signs_what_the_known_answer_says() {
    let text = fs::read_to_string("docs/vectors.json").unwrap();
    let answer = &serde_json::from_str::<Value>(&text).unwrap()["bound_registration"];
    let inputs = &answer["inputs"];
    let input = |name| <[u8; 32]>::try_from(unhex(&inputs[name])).unwrap();
    let [nonce, cnonce, cb, fp] = ["nonce", "cnonce", "cb", "fp"].map(input);
    let fp = Fingerprint(fp);
    let relay = <[u8; 32]>::try_from(unhex(&answer["relay"])).unwrap();
    let challenge = relay_challenge(&relay, &cnonce, &nonce, &fp, Some(&cb));
    assert_eq!(challenge, unhex(&answer["challenge"]));
    let signature = base64::decode(answer["relay_sig"].as_str().unwrap()).unwrap();
    assert!(users()[0].vault().verify_relay(&relay, &challenge, &signature));

    let (name, number) = (&inputs["name"], |name| inputs["prekey"][name].as_u64().unwrap());
    let x25519 = base64::decode(inputs["prekey"]["x25519"].as_str().unwrap()).unwrap();
    let prekey = Prekey {
        id: u32::try_from(number("id")).unwrap(),
        created: number("created"),
        expires: number("expires"),
        x25519: x25519.try_into().unwrap(),
        mlkem: None,
        signature: Vec::new(),
    };
    let name = name.as_str().unwrap();
    let proof = register_proof(&relay, &nonce, &cnonce, name, &fp, &prekey, Some(&cb));
    assert_eq!(proof, unhex(&answer["proof"]));
}

#[test]
fn each_recorded_session_opens() {
    let users = users();
    for from in &users {
        for session in from.record["sessions"].as_array().unwrap() {
            let to = users.iter().find(|user| session["to"] == *user.name).unwrap();
            opens(session, from, to);
        }
    }
}

#[test]
fn each_recorded_letter_opens() {
    let users = users();
    for from in &users {
        for letter in from.record["letters"].as_array().unwrap() {
            let to = users.iter().find(|user| letter["to"] == *user.name).unwrap();
            opens_letter(letter, from, to);
        }
    }
}

fn opens_letter(recorded: &Value, from: &User, to: &User) {
    let (published, stored) = to.letter_key();
    let (sender, recipient) = (from.vault(), to.vault());
    let now_ms = recorded["created"].as_u64().unwrap();
    let checked = check_letter_key(&sender, &published, &to.name, recipient.public(), now_ms);
    assert_eq!(checked, Ok(()));
    let own = LetterKeyPair::from_stored(&recipient, published.id, published.created, &stored);
    let own = own.unwrap();
    let again = own.publish(&recipient, &to.name);
    assert_eq!((again.x25519, again.mlkem), (published.x25519, published.mlkem));

    let names = Names { from: &from.name, to: &to.name };
    let letter = Letter::parse(recorded["content"].as_str().unwrap()).unwrap();
    assert_eq!(letter.created_ms(), now_ms);
    let verified = letter.verify(&recipient, sender.public(), names, &own).unwrap();
    let Body::Text { mid, text } = verified.open(&recipient, &own).unwrap() else {
        panic!("no text was sealed");
    };
    assert_eq!(mid[..], unhex(&recorded["mid"]));
    assert_eq!(text.as_bytes(), unhex(&recorded["data"]));
}

/// Opens a session and all its messages, as `to` would.
fn opens(session: &Value, from: &User, to: &User) {
    let sealed_to = |(published, _): &(Prekey, _)| session["prekey_id"] == published.id;
    let (published, secrets) = to.prekeys().find(sealed_to).unwrap();
    // A prekey pair draws its id first, then its secrets.
    let randomness = [&published.id.to_be_bytes()[..], &secrets].concat();
    let recipient = Recorded { vault: to.vault(), randomness: RefCell::new(randomness) };
    let pair = PrekeyPair::new(&recipient, published.created);
    let again = pair.publish(&recipient, &to.name);
    assert_eq!((again.x25519, again.mlkem), (published.x25519, published.mlkem));

    let names = Names { from: &from.name, to: &to.name };
    let offer = SessionOffer::parse(session["key"].as_str().unwrap()).unwrap();
    assert_eq!(offer.created_ms(), session["created"]);
    assert_eq!(offer.sid()[..], unhex(&session["sid"]));
    let verified = offer.verify(&recipient, from.vault().public(), names, &pair).unwrap();
    let mut chain = verified.accept(&recipient, &pair).unwrap();

    for message in session["messages"].as_array().unwrap() {
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
