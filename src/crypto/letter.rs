//! Letters: sessions of one message (`docs/protocol.md`, section 10).
//!
//! ```text
//!   content = HDR │ u16 length │ rsa_ct │ u16 length │ kem_ct │ u16 length │ sig │ sealed │ tag
//!   HDR = "SL" 2 │ suite 2 │ type u8 │ mid 16 │ created u64 │ fp_A 32 │ fp_B 32 │ key_id u32 │
//!         eph_A 32
//! ```
//!
//! A letter carries its own secrets, so that nothing has to be kept of a chain of keys while its
//! recipient is away, and a letter that is lost or comes twice harms no other.
//!
//! ```text
//!   A: seal_letter ──relay──▶ B: Letter::parse
//!                                     │ verify: A's signature, before any decryption
//!                                     ▼
//!                                VerifiedLetter ── open ──▶ Body
//! ```

use std::fmt;

use ring::aead::NONCE_LEN;

use super::chain::{MessageKey, TAG_LEN, hkdf};
use super::hybrid::{Encapsulated, Material, Sent};
use super::letter_key::to_be_signed;
use super::offer::{add_part, split_part, transcript};
use super::session::Names;
use super::{
    Body, KemCiphertext, LetterKeyPair, MessageFault, Mid, PrekeyFault, PublicKey, TooLong, Vault,
    sha256, tuple,
};
use crate::limits::{BUCKETS, MAX_LETTER_TEXT};
use crate::wire::{Fingerprint, LetterKey, LetterKind, base64};

/// A letter's content that has the right size and form; nothing in it is to be believed yet.
pub struct Letter {
    header: Header,
    wrapped: Vec<u8>,
    ciphertext: Box<KemCiphertext>,
    signature: Vec<u8>,
    sealed: Vec<u8>,
}

/// A letter whose signature holds.
pub struct VerifiedLetter {
    header: Header,
    wrapped: Vec<u8>,
    ciphertext: Box<KemCiphertext>,
    transcript: [u8; 32],
    aad: Vec<u8>,
    sealed: Vec<u8>,
}

/// Why a letter was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LetterFault {
    /// Too long, not canonical base64url, or not of the form that this version knows.
    Form,
    /// It is meant for another key than ours.
    Recipient,
    /// It names another key of the sender than the expected one.
    Sender,
    /// It was sealed to another letter key than the one at hand.
    Key,
    /// The sender's signature does not hold.
    Signature,
    /// The sender's X25519 key leads to an all-zero result (RFC 7748, section 6.1).
    Agreement,
    /// What is sealed was changed, or one of its secrets does not open.
    Tag,
    /// The sender has broken a rule within what it sealed.
    Body(MessageFault),
}

/// Why a letter could not be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealFault {
    /// The letter key cannot be sealed to: [`PrekeyFault::Weak`] or [`PrekeyFault::Invalid`].
    Key(PrekeyFault),
    /// The body is too long.
    TooLong(TooLong),
}

/// `HDR`.
struct Header {
    kind: LetterKind,
    mid: Mid,
    created_ms: u64,
    fp_a: Fingerprint,
    fp_b: Fingerprint,
    key_id: u32,
    ephemeral: [u8; 32],
}

const HEADER_LEN: usize = 129;
/// The beginning of a header: "SL", version 2, suite 2 (RSA-OAEP, X25519 and ML-KEM-768).
const MAGIC: [u8; 4] = *b"SL\x02\x02";

/// Seals a letter to the user `names.to`, whose pinned key is `peer` and whose `letter_key` has
/// been [checked](super::check_letter_key), at `created_ms` (milliseconds since 1970): the `content`
/// member of the `letter` frame.
///
/// `mid` is the letter's id. A text's own is the same; of a receipt it is random, the same when the
/// receipt is sent again.
pub fn seal_letter(
    vault: &dyn Vault,
    names: Names,
    peer: &PublicKey,
    letter_key: &LetterKey,
    created_ms: u64,
    mid: Mid,
    body: &Body,
) -> Result<String, SealFault> {
    let kind = match body {
        Body::Text { mid: own, .. } => {
            debug_assert_eq!(*own, mid, "a text has one id");
            LetterKind::Text
        }
        Body::Receipt(_) => LetterKind::Receipt,
    };
    let mut sealed = Vec::new();
    body.pad_letter_into(&mut sealed).map_err(SealFault::TooLong)?;
    let made = Encapsulated::new(vault, &letter_key.x25519, Some(&letter_key.mlkem));
    let made = made.map_err(SealFault::Key)?;
    let header = Header {
        kind,
        mid,
        created_ms,
        fp_a: vault.public().fingerprint(),
        fp_b: peer.fingerprint(),
        key_id: letter_key.id,
        ephemeral: made.ephemeral,
    };
    let (wrapped, material) = made.wrap(vault, peer, &header.oaep_label());
    let Some(ciphertext) = made.ciphertext else { unreachable!("there was a key") };
    let own = to_be_signed(names.to, &header.fp_b, letter_key);
    let signed = header.to_be_signed(names, &wrapped, &ciphertext, &own);
    let key = message_key(&transcript(&signed), &material);
    let tag = key.seal(&header.aad(names), &mut sealed);

    let mut content = header.encode().to_vec();
    for part in [&wrapped, ciphertext.as_slice(), &vault.sign(&signed)] {
        add_part(&mut content, part);
    }
    content.extend_from_slice(&sealed);
    content.extend_from_slice(&tag);
    Ok(base64::encode(&content))
}

impl Letter {
    /// Reads the `content` member of a `letter` frame.
    pub fn parse(content: &str) -> Result<Self, LetterFault> {
        if content.len() > MAX_LETTER_TEXT {
            return Err(LetterFault::Form);
        }
        let bytes = base64::decode(content).map_err(|_| LetterFault::Form)?;
        Self::decode(&bytes).ok_or(LetterFault::Form)
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (header, rest) = bytes.split_first_chunk()?;
        let header = Header::decode(header)?;
        let (wrapped, rest) = split_part(rest)?;
        let (ciphertext, rest) = split_part(rest)?;
        let (signature, sealed) = split_part(rest)?;
        let is_bucket = BUCKETS.contains(&sealed.len().checked_sub(TAG_LEN)?);
        is_bucket.then_some(Self {
            header,
            wrapped: wrapped.to_vec(),
            ciphertext: Box::new(ciphertext.try_into().ok()?),
            signature: signature.to_vec(),
            sealed: sealed.to_vec(),
        })
    }

    /// What it says that it holds.
    pub fn kind(&self) -> LetterKind {
        self.header.kind
    }

    /// Its id: of a text, the one that a receipt names.
    pub fn mid(&self) -> &Mid {
        &self.header.mid
    }

    /// When the sender claims to have sealed it, in milliseconds since 1970.
    pub fn created_ms(&self) -> u64 {
        self.header.created_ms
    }

    /// The sender's key, by its fingerprint.
    pub fn sender(&self) -> &Fingerprint {
        &self.header.fp_a
    }

    /// The recipient's key, by its fingerprint.
    pub fn recipient(&self) -> &Fingerprint {
        &self.header.fp_b
    }

    /// Which of the recipient's letter keys it was sealed to.
    pub fn key_id(&self) -> u32 {
        self.header.key_id
    }

    /// Checks that it is meant for the vault's key, comes from `sender`, was sealed to `own` (the
    /// one that [`key_id`](Self::key_id) names), and that `sender` signed it.
    ///
    /// Without the letter key no signature can be checked: the sender signs the whole of it.
    pub fn verify(
        self,
        vault: &dyn Vault,
        sender: &PublicKey,
        names: Names,
        own: &LetterKeyPair,
    ) -> Result<VerifiedLetter, LetterFault> {
        let Self { header, wrapped, ciphertext, signature, sealed } = self;
        if header.fp_b != vault.public().fingerprint() {
            return Err(LetterFault::Recipient);
        }
        if header.fp_a != sender.fingerprint() {
            return Err(LetterFault::Sender);
        }
        if header.key_id != own.id() {
            return Err(LetterFault::Key);
        }
        let own = own.signed(&header.fp_b, names.to);
        let signed = header.to_be_signed(names, &wrapped, &ciphertext, &own);
        if !vault.verify(sender, &signed, &signature) {
            return Err(LetterFault::Signature);
        }
        let (transcript, aad) = (transcript(&signed), header.aad(names));
        Ok(VerifiedLetter { header, wrapped, ciphertext, transcript, aad, sealed })
    }
}

impl VerifiedLetter {
    /// Unwraps, agrees, decapsulates, derives and opens: what the letter says. `own` is the key that
    /// it was verified with.
    ///
    /// A secret that does not unwrap or decapsulate is replaced by a random one, which ends in
    /// [`LetterFault::Tag`] like any other change.
    pub fn open(mut self, vault: &dyn Vault, own: &LetterKeyPair) -> Result<Body, LetterFault> {
        if self.header.key_id != own.id() {
            return Err(LetterFault::Key);
        }
        let sent = Sent {
            wrapped: &self.wrapped,
            label: &self.header.oaep_label(),
            ephemeral: &self.header.ephemeral,
            ciphertext: &self.ciphertext,
        };
        let material = own.open(vault, &sent).ok_or(LetterFault::Agreement)?;
        let key = message_key(&self.transcript, &material);
        let plain = key.open(&self.aad, &mut self.sealed).ok_or(LetterFault::Tag)?;
        Body::unpad_letter(self.header.kind, self.header.mid, plain).map_err(LetterFault::Body)
    }
}

/// `k`. It seals once, so its nonce is zero.
fn message_key(transcript: &[u8; 32], material: &Material) -> MessageKey {
    let key = hkdf(transcript, material, b"sealwax/v2/letter-key");
    MessageKey { key, nonce: [0; NONCE_LEN] }
}

impl Header {
    fn encode(&self) -> [u8; HEADER_LEN] {
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

    fn decode(bytes: &[u8; HEADER_LEN]) -> Option<Self> {
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
    fn oaep_label(&self) -> [u8; 32] {
        sha256(&tuple(&[b"sealwax/v2/letter-oaep", &self.encode()]))
    }

    /// `tbs`, of a letter to the key whose own `tbs_letterkey` is `letter_key`.
    fn to_be_signed(
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

    fn aad(&self, names: Names) -> Vec<u8> {
        let (a, b) = (names.from.as_bytes(), names.to.as_bytes());
        tuple(&[b"sealwax/v2/letter-aad", a, b, &self.encode()])
    }
}

impl fmt::Display for LetterFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => "not of the form of a letter",
            Self::Recipient => "meant for another key than ours",
            Self::Sender => "from another key than the sender's",
            Self::Key => "sealed to a letter key that is gone",
            Self::Signature => "not signed by the sender's key",
            Self::Agreement => "the sender's X25519 key is of small order",
            Self::Tag => "what it seals does not open",
            Self::Body(fault) => return fault.fmt(f),
        })
    }
}

impl std::error::Error for LetterFault {}

impl fmt::Display for SealFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(fault) => fault.fmt(f),
            Self::TooLong(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for SealFault {}
