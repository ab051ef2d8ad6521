//! `send_key`: what Bob takes for a session of Alice's is one that Alice opened to him.

use sealwax::crypto::{
    Body, OfferFault, SealedMessage, SessionOffer, Vault, prekey_to_be_signed, sha256, tuple,
};
use sealwax::wire::base64;

use super::opening::{NAMES, Opening, bytes};
use super::vault::signature;

const HEADER_LEN: usize = 128;
/// Where the suite stands in a header, and the one that has an ML-KEM ciphertext.
const SUITE: (usize, u8) = (3, 2);

/// The first byte chooses what the rest is: a text, a header and a wrapped secret that Alice signs
/// (in suite 2 with the true ML-KEM ciphertext), or changes to what she sent (a place and what to
/// flip there).
pub fn offer(input: &[u8]) {
    let [form, content @ ..] = input else { return };
    let mut opening = Opening::new();
    let text = match form % 3 {
        0 => str::from_utf8(content).map(str::to_owned).ok(),
        1 => signed(&opening, content),
        _ => Some(changed(&opening, content)),
    };
    if let Some(text) = text {
        take(&mut opening, &text);
    }
}

/// An offer with Alice's true signature, whatever is in it.
fn signed(opening: &Opening, content: &[u8]) -> Option<String> {
    let (header, wrapped) = content.split_at_checked(HEADER_LEN)?;
    let sent = bytes(&opening.key);
    let (_, rest) = part(&sent[HEADER_LEN..]);
    let (ciphertext, _) = part(rest);
    let ciphertext = (header[SUITE.0] == SUITE.1).then_some(ciphertext);
    let signature = opening.alice.sign(&to_be_signed(opening, header, wrapped, ciphertext));
    let mut offer = header.to_vec();
    for part in [Some(wrapped), ciphertext, Some(&signature)].into_iter().flatten() {
        offer.extend_from_slice(&u16::try_from(part.len()).ok()?.to_be_bytes());
        offer.extend_from_slice(part);
    }
    Some(base64::encode(&offer))
}

fn changed(opening: &Opening, changes: &[u8]) -> String {
    let mut offer = bytes(&opening.key);
    for change in changes.chunks_exact(3) {
        let place = usize::from(u16::from_be_bytes([change[0], change[1]]));
        if let Some(byte) = offer.get_mut(place) {
            *byte ^= change[2];
        }
    }
    base64::encode(&offer)
}

fn to_be_signed(
    opening: &Opening,
    header: &[u8],
    wrapped: &[u8],
    ciphertext: Option<&[u8]>,
) -> Vec<u8> {
    let (from, to) = (NAMES.from.as_bytes(), NAMES.to.as_bytes());
    let signed = tuple(&[b"sealwax/v2/send_key", from, to, header, wrapped]);
    let Some(ciphertext) = ciphertext else { return signed };
    let fp = opening.bob.public().fingerprint();
    let prekey = sha256(&prekey_to_be_signed(NAMES.to, &fp, &opening.prekey));
    [signed, tuple(&[ciphertext, &prekey])].concat()
}

/// Bob takes it, or says the first thing that is wrong with it.
fn take(opening: &mut Opening, text: &str) {
    let chain = match (opening.take(text), expected(opening, text)) {
        (Ok(chain), None) => chain,
        (taken, expected) => return assert_eq!(taken.err(), expected),
    };
    // Nothing else than what she sent opens what she writes.
    let body = Body::Text { mid: [3; 16], text: "hello".to_owned() };
    let Ok(content) = opening.send.seal(&body) else { panic!("a short text was too long") };
    let Ok(message) = SealedMessage::parse(&content) else { panic!("sealed in no form") };
    let mut chain = chain;
    assert_eq!(chain.open(message).is_ok(), text == opening.key);
}

/// What is wrong with an offer, by its bytes.
fn expected(opening: &Opening, text: &str) -> Option<OfferFault> {
    let Ok(offer) = SessionOffer::parse(text) else { return Some(OfferFault::Form) };
    let bytes = bytes(text);
    let (header, rest) = bytes.split_at(HEADER_LEN);
    assert_eq!(header[..3], *b"SW\x02");
    let (wrapped, rest) = part(rest);
    let (ciphertext, rest) = if header[SUITE.0] == SUITE.1 {
        let (ciphertext, rest) = part(rest);
        (Some(ciphertext), rest)
    } else {
        assert_eq!(header[SUITE.0], 1);
        (None, rest)
    };
    let (claimed, rest) = part(rest);
    assert!(rest.is_empty());
    assert_eq!(header[4..20], offer.sid()[..]);
    assert_eq!(header[20..28], offer.created_ms().to_be_bytes());
    assert_eq!(header[28..60], offer.sender().0);
    assert_eq!(header[60..92], offer.recipient().0);
    assert_eq!(header[92..96], offer.prekey_id().to_be_bytes());

    let alice = opening.alice.public();
    if *offer.recipient() != opening.bob.public().fingerprint() {
        Some(OfferFault::Recipient)
    } else if *offer.sender() != alice.fingerprint() {
        Some(OfferFault::Sender)
    } else if offer.prekey_id() != opening.pair.id() {
        Some(OfferFault::Prekey)
    } else if ciphertext.is_none() {
        Some(OfferFault::Suite)
    } else if signature(alice, &to_be_signed(opening, header, wrapped, ciphertext)) != claimed {
        Some(OfferFault::Signature)
    } else if header[96..] == [0; 32] {
        Some(OfferFault::Agreement)
    } else {
        None
    }
}

/// A part behind its length, and what follows it.
fn part(bytes: &[u8]) -> (&[u8], &[u8]) {
    let length = usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
    bytes[2..].split_at(length)
}
