//! The head of a letter, and what is signed and derived from it (`docs/protocol.md`, section 10).
//!
//! ```text
//!   HDR = "SL" 2 │ suite 2 │ type u8 │ mid 16 │ created u64 │ fp_A 32 │ fp_B 32 │ key_id u32 │
//!         eph_A 32
//! ```

use super::session::Names;
use super::{KemCiphertext, Mid, sha256, tuple};
use crate::wire::{Fingerprint, LetterKind};

/// `HDR`.
pub(super) struct Header {
    pub(super) kind: LetterKind,
    pub(super) mid: Mid,
    pub(super) created_ms: u64,
    pub(super) fp_a: Fingerprint,
    pub(super) fp_b: Fingerprint,
    pub(super) key_id: u32,
    pub(super) ephemeral: [u8; 32],
}

pub(super) const HEADER_LEN: usize = 129;
/// The beginning of a header: "SL", version 2, suite 2 (RSA-OAEP, X25519 and ML-KEM-768).
pub(super) const MAGIC: [u8; 4] = *b"SL\x02\x02";

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4] = self.kind.number();
        bytes[5..21].copy_from_slice(&self.mid);
        bytes[21..29].copy_from_slice(&self.created_ms.to_be_bytes());
        bytes[29..61].copy_from_slice(&self.fp_a.0);
        bytes[61..93].copy_from_slice(&self.fp_b.0);
        bytes[93..97].copy_from_slice(&self.key_id.to_be_bytes());
        bytes[97..].copy_from_slice(&self.ephemeral);
        bytes
    }

    pub(super) fn decode(bytes: &[u8; HEADER_LEN]) -> Option<Self> {
        let (kind, rest) = bytes.strip_prefix(&MAGIC)?.split_first()?;
        let (mid, rest) = rest.split_first_chunk()?;
        let (created_ms, rest) = rest.split_first_chunk()?;
        let (fp_a, rest) = rest.split_first_chunk()?;
        let (fp_b, rest) = rest.split_first_chunk()?;
        let (key_id, ephemeral) = rest.split_first_chunk()?;
        Some(Self {
            kind: LetterKind::numbered(*kind)?,
            mid: *mid,
            created_ms: u64::from_be_bytes(*created_ms),
            fp_a: Fingerprint(*fp_a),
            fp_b: Fingerprint(*fp_b),
            key_id: u32::from_be_bytes(*key_id),
            ephemeral: ephemeral.try_into().ok()?,
        })
    }

    /// What the wrapped secret is bound to.
    pub(super) fn oaep_label(&self) -> [u8; 32] {
        sha256(&tuple(&[b"sealwax/v2/letter-oaep", &self.encode()]))
    }

    /// `tbs`, of a letter to the key whose own `tbs_letterkey` is `letter_key`.
    pub(super) fn to_be_signed(
        &self,
        names: Names,
        wrapped: &[u8],
        ciphertext: &KemCiphertext,
        letter_key: &[u8],
    ) -> Vec<u8> {
        let (a, b) = (names.from.as_bytes(), names.to.as_bytes());
        let (header, key) = (self.encode(), sha256(letter_key));
        tuple(&[b"sealwax/v2/letter", a, b, &header, wrapped, ciphertext, &key])
    }

    pub(super) fn aad(&self, names: Names) -> Vec<u8> {
        let (a, b) = (names.from.as_bytes(), names.to.as_bytes());
        tuple(&[b"sealwax/v2/letter-aad", a, b, &self.encode()])
    }
}
