//! A `send_key`'s bytes (`docs/protocol.md`, section 5): its form, and what is signed and derived
//! from it.
//!
//! ```text
//!   key = HDR │ u16 length │ rsa_ct │ (suite 2:) u16 length │ kem_ct │ u16 length │ sig
//!   HDR = "SW" 2 │ suite u8 │ sid 16 │ created u64 │ fp_A 32 │ fp_B 32 │ prekey_id u32 │ eph_A 32
//! ```

use super::session::{Names, Sid};
use super::{KemCiphertext, sha256, tuple};
use crate::limits::MAX_SEND_KEY;
use crate::wire::{Fingerprint, base64};

/// `HDR`, the wrapped secret, in suite 2 the encapsulated one, and the signature.
pub(super) struct Offer {
    pub(super) header: Header,
    pub(super) wrapped: Vec<u8>,
    pub(super) ciphertext: Option<Box<KemCiphertext>>,
    pub(super) signature: Vec<u8>,
}

/// `HDR`.
pub(super) struct Header {
    pub(super) suite: Suite,
    pub(super) sid: Sid,
    pub(super) created_ms: u64,
    pub(super) fp_a: Fingerprint,
    pub(super) fp_b: Fingerprint,
    pub(super) prekey_id: u32,
    pub(super) ephemeral: [u8; 32],
}

/// Which secrets protect a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suite {
    /// RSA-OAEP and X25519: to a prekey that has no ML-KEM key.
    One,
    /// ML-KEM-768 as well.
    Two,
}

const HEADER_LEN: usize = 128;
/// The beginning of a header: "SW", version 2.
const MAGIC: [u8; 3] = *b"SW\x02";
/// The longest text that is decoded, in characters of base64.
const MAX_KEY: usize = (MAX_SEND_KEY * 4).div_ceil(3);

impl Offer {
    /// Reads the `key` member of a `send_key` frame; `None` where it has another form.
    pub(super) fn parse(key: &str) -> Option<Self> {
        if key.len() > MAX_KEY {
            return None;
        }
        let bytes = base64::decode(key).ok()?;
        let (header, rest) = bytes.split_first_chunk()?;
        let header = Header::decode(header)?;
        let (wrapped, rest) = split_part(rest)?;
        let (ciphertext, rest) = match header.suite {
            Suite::One => (None, rest),
            Suite::Two => {
                let (part, rest) = split_part(rest)?;
                (Some(Box::new(part.try_into().ok()?)), rest)
            }
        };
        let (signature, rest) = split_part(rest)?;
        let (wrapped, signature) = (wrapped.to_vec(), signature.to_vec());
        rest.is_empty().then_some(Self { header, wrapped, ciphertext, signature })
    }

    /// The `key` member.
    pub(super) fn to_text(&self) -> String {
        let mut bytes = self.header.encode().to_vec();
        add_part(&mut bytes, &self.wrapped);
        if let Some(ciphertext) = &self.ciphertext {
            add_part(&mut bytes, ciphertext.as_slice());
        }
        add_part(&mut bytes, &self.signature);
        base64::encode(&bytes)
    }

    /// `tbs`, of an offer to the prekey whose own `tbs_prekey` is `prekey`.
    pub(super) fn to_be_signed(&self, names: Names, prekey: &[u8]) -> Vec<u8> {
        let (a, b) = (names.from.as_bytes(), names.to.as_bytes());
        let mut signed =
            tuple(&[b"sealwax/v2/send_key", a, b, &self.header.encode(), &self.wrapped]);
        if let Some(ciphertext) = &self.ciphertext {
            signed.extend(tuple(&[ciphertext.as_slice(), &sha256(prekey)]));
        }
        signed
    }
}

impl Suite {
    fn number(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }

    fn numbered(number: u8) -> Option<Self> {
        [Self::One, Self::Two].into_iter().find(|suite| suite.number() == number)
    }
}

impl Header {
    fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..3].copy_from_slice(&MAGIC);
        bytes[3] = self.suite.number();
        bytes[4..20].copy_from_slice(&self.sid);
        bytes[20..28].copy_from_slice(&self.created_ms.to_be_bytes());
        bytes[28..60].copy_from_slice(&self.fp_a.0);
        bytes[60..92].copy_from_slice(&self.fp_b.0);
        bytes[92..96].copy_from_slice(&self.prekey_id.to_be_bytes());
        bytes[96..].copy_from_slice(&self.ephemeral);
        bytes
    }

    fn decode(bytes: &[u8; HEADER_LEN]) -> Option<Self> {
        let (suite, rest) = bytes.strip_prefix(&MAGIC)?.split_first()?;
        let (sid, rest) = rest.split_first_chunk()?;
        let (created_ms, rest) = rest.split_first_chunk()?;
        let (fp_a, rest) = rest.split_first_chunk()?;
        let (fp_b, rest) = rest.split_first_chunk()?;
        let (prekey_id, ephemeral) = rest.split_first_chunk()?;
        Some(Self {
            suite: Suite::numbered(*suite)?,
            sid: *sid,
            created_ms: u64::from_be_bytes(*created_ms),
            fp_a: Fingerprint(*fp_a),
            fp_b: Fingerprint(*fp_b),
            prekey_id: u32::from_be_bytes(*prekey_id),
            ephemeral: ephemeral.try_into().ok()?,
        })
    }

    /// What the wrapped secret is bound to.
    pub(super) fn oaep_label(&self) -> [u8; 32] {
        sha256(&tuple(&[b"sealwax/v2/oaep", &self.encode()]))
    }
}

/// Appends a part of at most 1,088 bytes behind its length as two bytes.
pub(super) fn add_part(bytes: &mut Vec<u8>, part: &[u8]) {
    debug_assert!(u16::try_from(part.len()).is_ok(), "an ML-KEM ciphertext is the longest");
    #[expect(clippy::cast_possible_truncation, reason = "asserted above")]
    bytes.extend_from_slice(&(part.len() as u16).to_be_bytes());
    bytes.extend_from_slice(part);
}

/// A part behind its length as two bytes, and what follows it.
pub(super) fn split_part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(u16::from_be_bytes(*length).into())
}

/// `th`.
pub(super) fn transcript(signed: &[u8]) -> [u8; 32] {
    sha256(&tuple(&[b"sealwax/v2/transcript", signed]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits::MLKEM_CIPHERTEXT;

    fn offer(suite: Suite) -> Offer {
        let header = Header {
            suite,
            sid: [1; 16],
            created_ms: 2,
            fp_a: Fingerprint([3; 32]),
            fp_b: Fingerprint([4; 32]),
            prekey_id: 5,
            ephemeral: [6; 32],
        };
        let ciphertext = (suite == Suite::Two).then(|| Box::new([9; MLKEM_CIPHERTEXT]));
        Offer { header, wrapped: vec![7; 256], ciphertext, signature: vec![8; 384] }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for suite in [Suite::One, Suite::Two] {
            let text = offer(suite).to_text();
            let again = Offer::parse(&text).unwrap();
            assert_eq!(again.to_text(), text);
            assert_eq!(again.header.suite, suite);
            assert_eq!(again.header.prekey_id, 5);
            assert_eq!(again.header.ephemeral, [6; 32]);
            assert_eq!(again.ciphertext.is_some(), suite == Suite::Two);
            assert_eq!((again.wrapped.len(), again.signature.len()), (256, 384));
        }
    }

    #[test]
    fn an_offer_of_another_form_is_refused() {
        let text = offer(Suite::Two).to_text();
        let bytes = base64::decode(&text).unwrap();
        let later_suite = [b"SW\x02\x03", &bytes[4..]].concat();
        let older_suite = [b"SW\x02\x01", &bytes[4..]].concat();
        let mut short = offer(Suite::Two);
        let kem_length = HEADER_LEN + 2 + short.wrapped.len();
        short.signature.truncate(383);
        // One byte of the signature moved into the encapsulated secret.
        let mut moved = base64::decode(&short.to_text()).unwrap();
        moved.insert(kem_length + 2, 0);
        moved[kem_length + 1] += 1;
        let keys = [
            String::new(),
            base64::encode(&bytes[..HEADER_LEN - 1]),
            base64::encode(&bytes[..=HEADER_LEN]),
            base64::encode(&bytes[..bytes.len() - 1]),
            base64::encode(&[&bytes[..], &[0]].concat()),
            base64::encode(&later_suite),
            base64::encode(&older_suite),
            base64::encode(&moved),
            format!("{text}="),
            "A".repeat(MAX_KEY + 2),
        ];
        for key in keys {
            assert!(Offer::parse(&key).is_none(), "{key}");
        }
    }

    #[test]
    fn the_label_and_the_signed_bytes_hang_on_the_whole_header() {
        let names = Names { from: "alice", to: "bob" };
        for suite in [Suite::One, Suite::Two] {
            let (one, mut other) = (offer(suite), offer(suite));
            other.header.created_ms += 1;
            assert_ne!(one.header.oaep_label(), other.header.oaep_label());
            assert_ne!(one.to_be_signed(names, b"prekey"), other.to_be_signed(names, b"prekey"));
        }
        let [one, two] = [Suite::One, Suite::Two].map(offer);
        assert_ne!(one.header.oaep_label(), two.header.oaep_label());
        assert_ne!(two.to_be_signed(names, b"prekey"), two.to_be_signed(names, b"another"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_offer_makes_reading_panic(rest in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = Offer::parse(&base64::encode(&rest));
            for suite in [1, 2] {
                let bytes = [&MAGIC[..], &[suite], &[0; HEADER_LEN - 4], &rest].concat();
                let _ = Offer::parse(&base64::encode(&bytes));
            }
        }
    }
}
