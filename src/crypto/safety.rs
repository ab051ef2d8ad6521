//! The safety number of two users: digits that they compare over another channel
//! (`docs/protocol.md`, section 4).
//!
//! If somebody between them has shown each of them another key, their numbers differ. Each half
//! depends on one user's name and key alone, and finding another key with the same 30 digits takes
//! 2^99 attempts.

use super::{sha256, tuple};
use crate::wire::Fingerprint;

/// 60 digits in twelve groups of five, the same on both sides whatever the order of the users.
pub fn safety_number(name_a: &str, fp_a: &Fingerprint, name_b: &str, fp_b: &Fingerprint) -> String {
    let mut halves = [half(name_a, fp_a), half(name_b, fp_b)];
    halves.sort();
    halves.join(" ")
}

/// Six groups of five digits, with a space between them.
fn half(name: &str, fp: &Fingerprint) -> String {
    let hash = sha256(&tuple(&[b"sealwax/v2/safety", name.as_bytes(), &fp.0]));
    let group = |five: &[u8]| {
        let number = five.iter().fold(0, |sum: u64, byte| sum << 8 | u64::from(*byte));
        format!("{:05}", number % 100_000)
    };
    hash.chunks_exact(5).map(group).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::fixtures;

    #[test]
    fn the_number_is_the_published_one() {
        let (a, b) = (Fingerprint(sha256(b"A")), Fingerprint(sha256(b"B")));
        assert_eq!(safety_number("alice", &a, "bob", &b), fixtures::vectors()["safety_number"]);
    }

    #[test]
    fn both_sides_see_the_same_number() {
        let (a, b) = (Fingerprint(sha256(b"A")), Fingerprint(sha256(b"B")));
        let number = safety_number("alice", &a, "bob", &b);
        assert_eq!(number, safety_number("bob", &b, "alice", &a));
        assert_eq!(number.split(' ').count(), 12);
        assert!(number.split(' ').all(|group| group.len() == 5 && group.parse::<u32>().is_ok()));
    }

    #[test]
    fn another_key_or_another_name_gives_another_number() {
        let [a, b, c] = [b"A", b"B", b"C"].map(|seed| Fingerprint(sha256(seed)));
        let number = safety_number("alice", &a, "bob", &b);
        assert_ne!(number, safety_number("alice", &a, "bob", &c));
        assert_ne!(number, safety_number("alice", &a, "bobby", &b));
        assert_ne!(number, safety_number("bob", &a, "alice", &b));
    }
}
