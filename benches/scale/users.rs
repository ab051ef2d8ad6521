//! Users of the bench: names, keys, and calls about them, all of the length that real ones have.

use sealwax::cluster::letters::{self, LetterToKeep, LetterUser};
use sealwax::cluster::names::{self, Claim};
use sealwax::cluster::script::Call;
use sealwax::cluster::{Incarnation, keys};
use sealwax::limits::MLKEM_KEY;
use sealwax::wire::{Fingerprint, LetterKey, LetterKind, Prekey};

/// Milliseconds since 1970.
const NOW: u64 = 1_790_000_000_000;
const HOUR: u64 = 3_600_000;
/// Bytes of a signature with a key of 3,072 bits.
const SIGNATURE: usize = 384;
/// Characters of such a key as PEM: 422 bytes of DER.
const PEM: usize = 625;
/// Bytes of all boxes together, as many as a relay allows by itself.
const MOST: u64 = 1 << 40;

/// The name of this number, 16 characters.
pub(crate) fn name(number: usize) -> String {
    format!("user-{number:011}")
}

/// The fingerprint of a key of its own.
pub(crate) fn fp(number: usize) -> Fingerprint {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    Fingerprint(bytes)
}

pub(crate) fn bind(own: Incarnation, number: usize) -> Call {
    names::bind(own, &name(number), &fp(number), true)
}

/// Of version 2 with a prekey of suite 2, or an original.
pub(crate) fn claim(own: Incarnation, number: usize, version2: bool) -> Call {
    let (name, fp, pem) = (name(number), fp(number), "x".repeat(PEM));
    let prekey = version2.then(prekey);
    let session = number as u64 + 1;
    let claim =
        Claim { name: &name, session, fp: &fp, pem: &pem, prekey: prekey.as_deref(), again: false };
    names::claim(own, &claim)
}

pub(crate) fn release(own: Incarnation, number: usize) -> Call {
    names::release(own, &name(number), number as u64 + 1)
}

pub(crate) fn publish(own: Incarnation, number: usize) -> Call {
    names::publish(own, &name(number), number as u64 + 1, &prekey())
}

pub(crate) fn find(own: Incarnation, number: usize) -> Call {
    names::find(own, &name(number), NOW)
}

fn prekey() -> String {
    let (x25519, mlkem, signature) = ([1; 32], Box::new([2; MLKEM_KEY]), vec![3; SIGNATURE]);
    let (id, created, expires) = (1_000_000_000, NOW, NOW + 48 * HOUR);
    Prekey { id, created, expires, x25519, mlkem: Some(mlkem), signature }.to_json()
}

/// The key that letters for a user are sealed to.
pub(crate) fn letter_key(own: Incarnation, number: usize) -> Call {
    let (name, fp) = (name(number), fp(number));
    let (x25519, mlkem, signature) = ([1; 32], Box::new([2; MLKEM_KEY]), vec![3; SIGNATURE]);
    let key = LetterKey { id: 7, created: NOW, expires: NOW + HOUR, x25519, mlkem, signature };
    let user = LetterUser { name: &name, fp: &fp };
    letters::letterbox(own, user, &"x".repeat(PEM), &key, NOW)
}

/// The user of this number has written to another.
pub(crate) fn wrote(own: Incarnation, number: usize, to: usize) -> Call {
    letters::wrote(own, LetterUser { name: &name(number), fp: &fp(number) }, &name(to), NOW)
}

/// A letter of so many bytes.
pub(crate) fn keep(
    own: Incarnation,
    (from, to): (usize, usize),
    letter: usize,
    bytes: usize,
) -> Call {
    let (kept, id) = (vec![b'x'; bytes], format!("{letter:022}"));
    let from_name = name(from);
    let letter = LetterToKeep {
        from: LetterUser { name: &from_name, fp: &fp(from) },
        to: &name(to),
        id: &id,
        kind: LetterKind::Text,
        key_id: 7,
        kept: &kept,
    };
    letters::keep(own, &letter, NOW, MOST)
}

/// The lease of a relay ends now.
pub(crate) fn lease_ends(of: Incarnation) -> [String; 2] {
    ["DEL".to_owned(), keys::lease(of)]
}
