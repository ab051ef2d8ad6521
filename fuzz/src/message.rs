//! `message`: what Bob opens is what Alice sealed, each once and in order; and whatever Alice
//! herself puts into one, he reads it in one way or refuses it.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::{hkdf, hmac};
use sealwax::crypto::{
    Body, MessageFault, SealedMessage, Vault, prekey_to_be_signed, sha256, tuple,
};
use sealwax::limits::{BUCKETS, MLKEM_CIPHERTEXT};
use sealwax::wire::base64;

use super::opening::{NAMES, Opening, bytes};
use super::vault::{agreed, encapsulated};

/// How many messages Alice has sent.
const SENT: usize = 8;
const HEAD_LEN: usize = 26;

/// The first byte chooses what the rest is: a text, a plaintext that Alice seals as it is, or which
/// of her messages arrive.
pub fn message(input: &[u8]) {
    let [form, content @ ..] = input else { return };
    match form % 3 {
        0 => from_a_stranger(content),
        1 => from_a_hostile_sender(content),
        _ => from_a_network_that_reorders(content),
    }
}

fn from_a_stranger(content: &[u8]) {
    let Ok(text) = str::from_utf8(content) else { return };
    let Ok(message) = SealedMessage::parse(text) else { return };
    assert_eq!(base64::encode(&bytes(text)), text, "a content that could be written otherwise");
    let mut opening = Opening::new();
    let mut receive = opening.receive();
    let sent = sent(&mut opening);
    let opened = receive.open(message);
    assert_eq!(opened.is_ok(), sent.iter().any(|content| content == text));
    if opened.is_err() {
        let Ok(first) = SealedMessage::parse(&sent[0]) else { panic!("sealed in no form") };
        assert!(receive.open(first).is_ok(), "the chain was moved");
    }
}

/// A type, a bucket, and what stands in it.
fn from_a_hostile_sender(content: &[u8]) {
    let [kind, bucket, plain @ ..] = content else { return };
    let mut opening = Opening::new();
    let mut receive = opening.receive();
    let mut plain = plain.to_vec();
    plain.resize(BUCKETS[usize::from(*bucket) % BUCKETS.len()], 0);
    let sealed = seal_as_it_is(&opening, *kind, plain);
    let Ok(message) = SealedMessage::parse(&sealed) else { panic!("sealed in no form") };
    match receive.open(message) {
        Ok(opened) => {
            assert_eq!((opened.n, opened.missing), (0, 0));
            assert_eq!(opening.send.seal(&opened.body).as_deref(), Ok(&*sealed), "two ways");
        }
        Err(fault) => {
            let own = [
                MessageFault::Bucket,
                MessageFault::Padding,
                MessageFault::Kind,
                MessageFault::Data,
            ];
            assert!(own.contains(&fault), "{fault}");
        }
    }
}

/// Each byte is the number of a message that arrives.
fn from_a_network_that_reorders(numbers: &[u8]) {
    let mut opening = Opening::new();
    let mut receive = opening.receive();
    let sent = sent(&mut opening);
    let mut next = 0;
    for number in numbers.iter().take(64).map(|number| usize::from(*number) % SENT) {
        let Ok(message) = SealedMessage::parse(&sent[number]) else { panic!("in no form") };
        match receive.open(message) {
            Ok(opened) => {
                assert_eq!(opened.n, number as u64);
                assert_eq!(opened.missing, (number - next) as u64);
                assert_eq!(opened.body, body(number));
                next = number + 1;
            }
            Err(fault) => assert!(fault == MessageFault::Replay && number < next, "{fault}"),
        }
    }
}

fn body(number: usize) -> Body {
    match u8::try_from(number) {
        Ok(byte) if byte % 2 == 0 => Body::Text { mid: [byte; 16], text: "é".repeat(number) },
        _ => Body::Receipt(vec![[7; 16]; number]),
    }
}

fn sent(opening: &mut Opening) -> Vec<String> {
    let seal = |number| opening.send.seal(&body(number));
    let sent: Result<Vec<_>, _> = (0..SENT).map(seal).collect();
    sent.unwrap_or_else(|fault| panic!("{fault}"))
}

/// The first message of the session, by the formulas of `docs/protocol.md` and nobody's checks.
fn seal_as_it_is(opening: &Opening, kind: u8, mut plain: Vec<u8>) -> String {
    let offer = bytes(&opening.key);
    let (header, rest) = offer.split_at(128);
    let (wrapped, ciphertext) = (&rest[2..66], &rest[68..68 + MLKEM_CIPHERTEXT]);
    let (from, to) = (NAMES.from.as_bytes(), NAMES.to.as_bytes());
    let fp = opening.bob.public().fingerprint();
    let prekey = sha256(&prekey_to_be_signed(NAMES.to, &fp, &opening.prekey));
    let signed = tuple(&[b"sealwax/v2/send_key", from, to, header, wrapped, ciphertext, &prekey]);
    let label = sha256(&tuple(&[b"sealwax/v2/oaep", header]));
    let secret = opening.bob.unwrap(wrapped, &label);
    let ephemeral = header.last_chunk().unwrap_or(&[0; 32]);
    let agreed = agreed(ephemeral, &opening.prekey.x25519);
    let (Some(key), Ok(sent)) = (&opening.prekey.mlkem, ciphertext.try_into()) else {
        panic!("a session of suite 2")
    };
    let material = tuple(&[secret.expose(), &agreed, &encapsulated(key, sent), b""]);
    let transcript = sha256(&tuple(&[b"sealwax/v2/transcript", &signed]));
    let chain = hkdf_sha256(&transcript, &material, b"sealwax/v2/chain");
    let key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &chain), &[1]);

    let mut head = vec![2, kind];
    head.extend_from_slice(opening.send.sid());
    head.extend_from_slice(&0_u64.to_be_bytes());
    assert_eq!(head.len(), HEAD_LEN);
    let [fp_a, fp_b] = [&opening.alice, &opening.bob].map(|vault| vault.public().fingerprint());
    let aad = tuple(&[b"sealwax/v2/message", from, to, &fp_a.0, &fp_b.0, &head]);
    let key = UnboundKey::new(&AES_256_GCM, key.as_ref()).map(LessSafeKey::new);
    let sealed = key.and_then(|key| {
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        key.seal_in_place_append_tag(nonce, Aad::from(aad), &mut plain)
    });
    assert!(sealed.is_ok());
    base64::encode(&[head, plain].concat())
}

fn hkdf_sha256(salt: &[u8], material: &[u8], info: &[u8]) -> [u8; 32] {
    let mut key = [0; 32];
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(material);
    let info = [info];
    let filled = prk.expand(&info, hkdf::HKDF_SHA256).and_then(|okm| okm.fill(&mut key));
    assert!(filled.is_ok());
    key
}
