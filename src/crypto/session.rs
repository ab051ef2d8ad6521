//! Opening a session in which A sends to B (`docs/protocol.md`, section 5).
//!
//! ```text
//!   A: open_session ──▶ SendChain, key text ──relay──▶ B: SessionOffer::parse
//!                                                            │ verify: A's signature, before any decryption
//!                                                            ▼
//!                                                       VerifiedOffer ── accept ──▶ ReceiveChain
//!
//!   key    = HDR │ u16 length │ rsa_ct │ u16 length │ sig
//!   HDR    = "SW" 0x02 │ suite 1 │ sid 16 │ created u64 │ fp_A 32 │ fp_B 32 │ prekey_id u32 │ eph_A 32
//! ```
//!
//! What the receiver checks between the steps (pinned key, marks, tokens, which prekey) is its own state, so the
//! steps show what it needs; an offer cannot be accepted without having been verified.

use std::fmt;

use ring::hkdf;
use zeroize::Zeroizing;

use super::message::{Session, context};
use super::{
    PrekeyFault, PrekeyPair, PublicKey, ReceiveChain, Secret, SendChain, Vault, sha256, tuple,
};
use crate::limits::MAX_SEND_KEY;
use crate::wire::{Fingerprint, Prekey, base64};

/// The id of a session: 16 random bytes.
pub type Sid = [u8; 16];

/// The two users of a session, in the direction in which it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names<'a> {
    /// A: who opens it and sends in it.
    pub from: &'a str,
    /// B: who receives.
    pub to: &'a str,
}

/// Why an offered session was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfferFault {
    /// Over 4 KiB, not canonical base64url, or not of the form that this version knows.
    Form,
    /// It is meant for another key than ours.
    Recipient,
    /// It names another key of the sender than the one it was held against.
    Sender,
    /// The sender's signature does not hold.
    Signature,
    /// It was made to another prekey than the one at hand.
    Prekey,
    /// The sender's X25519 key leads to an all-zero result (RFC 7748, section 6.1).
    Agreement,
}

/// Opens a session to the user `names.to`, whose pinned key is `peer` and whose `prekey` has been checked, at
/// `created_ms` (milliseconds since 1970, above the last one that was sent to this peer). Returns the chain to send
/// in, and the `key` member of the `send_key` frame.
///
/// Fails only with [`PrekeyFault::Weak`]: [`check_prekey`](super::check_prekey) has found the rest.
pub fn open_session(
    vault: &dyn Vault,
    names: Names,
    peer: &PublicKey,
    prekey: &Prekey,
    created_ms: u64,
) -> Result<(SendChain, String), PrekeyFault> {
    let ephemeral = Secret::filled(|secret| vault.random(secret));
    let agreed = vault.agree(&ephemeral, &prekey.x25519).ok_or(PrekeyFault::Weak)?;
    let mut header = Header {
        sid: [0; 16],
        created_ms,
        fp_a: vault.public().fingerprint(),
        fp_b: peer.fingerprint(),
        prekey_id: prekey.id,
        ephemeral: vault.exchange_key(&ephemeral),
    };
    vault.random(&mut header.sid);
    let secret = Secret::filled(|secret| vault.random(secret));
    let mut offer = SessionOffer {
        wrapped: vault.wrap(peer, &secret, &header.oaep_label()),
        signature: Vec::new(),
        header,
    };
    let signed = offer.to_be_signed(names);
    offer.signature = vault.sign(&signed);
    let first = first_chain_key(&transcript(&signed), &secret, &agreed);
    let Header { sid, fp_a, fp_b, .. } = &offer.header;
    let session = Session::new(*sid, first, context(names, fp_a, fp_b));
    Ok((SendChain::new(session), base64::encode(&offer.encode())))
}

/// A `send_key` that has the right size and form; nothing in it is to be believed yet.
pub struct SessionOffer {
    header: Header,
    wrapped: Vec<u8>,
    signature: Vec<u8>,
}

/// A `send_key` whose signature holds.
pub struct VerifiedOffer {
    header: Header,
    wrapped: Vec<u8>,
    transcript: [u8; 32],
    context: Vec<u8>,
}

impl SessionOffer {
    /// Reads the `key` member of a `send_key` frame.
    pub fn parse(key: &str) -> Result<Self, OfferFault> {
        if key.len() > (MAX_SEND_KEY * 4).div_ceil(3) {
            return Err(OfferFault::Form);
        }
        let bytes = base64::decode(key).map_err(|_| OfferFault::Form)?;
        Self::decode(&bytes).ok_or(OfferFault::Form)
    }

    /// The session's id.
    pub fn sid(&self) -> &Sid {
        &self.header.sid
    }

    /// When the sender says to have made it, in milliseconds since 1970.
    pub fn created_ms(&self) -> u64 {
        self.header.created_ms
    }

    /// The sender's key, by its fingerprint.
    pub fn sender(&self) -> &Fingerprint {
        &self.header.fp_a
    }

    /// The receiver's key, by its fingerprint.
    pub fn recipient(&self) -> &Fingerprint {
        &self.header.fp_b
    }

    /// Which of the receiver's prekeys it was made to.
    pub fn prekey_id(&self) -> u32 {
        self.header.prekey_id
    }

    /// Checks that it is meant for the vault's key and comes from `sender`, and that `sender` signed it.
    pub fn verify(
        self,
        vault: &dyn Vault,
        sender: &PublicKey,
        names: Names,
    ) -> Result<VerifiedOffer, OfferFault> {
        if self.header.fp_b != vault.public().fingerprint() {
            return Err(OfferFault::Recipient);
        }
        if self.header.fp_a != sender.fingerprint() {
            return Err(OfferFault::Sender);
        }
        let signed = self.to_be_signed(names);
        if !vault.verify(sender, &signed, &self.signature) {
            return Err(OfferFault::Signature);
        }
        Ok(VerifiedOffer {
            transcript: transcript(&signed),
            context: context(names, &self.header.fp_a, &self.header.fp_b),
            header: self.header,
            wrapped: self.wrapped,
        })
    }

    /// `tbs`.
    fn to_be_signed(&self, names: Names) -> Vec<u8> {
        let (a, b) = (names.from.as_bytes(), names.to.as_bytes());
        tuple(&[b"sealwax/v2/send_key", a, b, &self.header.encode(), &self.wrapped])
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = self.header.encode().to_vec();
        for part in [&self.wrapped, &self.signature] {
            debug_assert!(u16::try_from(part.len()).is_ok(), "at most 512 bytes");
            #[expect(clippy::cast_possible_truncation, reason = "asserted above")]
            bytes.extend_from_slice(&(part.len() as u16).to_be_bytes());
            bytes.extend_from_slice(part);
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (header, rest) = bytes.split_first_chunk()?;
        let (wrapped, rest) = split_part(rest)?;
        let (signature, rest) = split_part(rest)?;
        rest.is_empty().then_some(Self {
            header: Header::decode(header)?,
            wrapped: wrapped.to_vec(),
            signature: signature.to_vec(),
        })
    }
}

impl VerifiedOffer {
    /// Unwraps, agrees and derives: the chain to receive in. `prekey` is the one that
    /// [`SessionOffer::prekey_id`] names.
    ///
    /// A secret that does not unwrap is replaced by a random one: the session stands, and none of its messages
    /// opens. So nobody learns from us how a ciphertext that they made up decrypts.
    pub fn accept(self, vault: &dyn Vault, prekey: &PrekeyPair) -> Result<ReceiveChain, OfferFault> {
        if self.header.prekey_id != prekey.id() {
            return Err(OfferFault::Prekey);
        }
        let secret = vault.unwrap(&self.wrapped, &self.header.oaep_label());
        let agreed = prekey.agree(vault, &self.header.ephemeral).ok_or(OfferFault::Agreement)?;
        let first = first_chain_key(&self.transcript, &secret, &agreed);
        Ok(ReceiveChain::new(Session::new(self.header.sid, first, self.context)))
    }
}

const HEADER_LEN: usize = 128;
/// The beginning of a header: "SW", version 2, suite 1 (RSA-OAEP and X25519).
const MAGIC: [u8; 4] = *b"SW\x02\x01";

/// `HDR`.
struct Header {
    sid: Sid,
    created_ms: u64,
    fp_a: Fingerprint,
    fp_b: Fingerprint,
    prekey_id: u32,
    ephemeral: [u8; 32],
}

impl Header {
    fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..20].copy_from_slice(&self.sid);
        bytes[20..28].copy_from_slice(&self.created_ms.to_be_bytes());
        bytes[28..60].copy_from_slice(&self.fp_a.0);
        bytes[60..92].copy_from_slice(&self.fp_b.0);
        bytes[92..96].copy_from_slice(&self.prekey_id.to_be_bytes());
        bytes[96..].copy_from_slice(&self.ephemeral);
        bytes
    }

    fn decode(bytes: &[u8; HEADER_LEN]) -> Option<Self> {
        let rest = bytes.strip_prefix(&MAGIC)?;
        let (sid, rest) = rest.split_first_chunk()?;
        let (created_ms, rest) = rest.split_first_chunk()?;
        let (fp_a, rest) = rest.split_first_chunk()?;
        let (fp_b, rest) = rest.split_first_chunk()?;
        let (prekey_id, ephemeral) = rest.split_first_chunk()?;
        Some(Self {
            sid: *sid,
            created_ms: u64::from_be_bytes(*created_ms),
            fp_a: Fingerprint(*fp_a),
            fp_b: Fingerprint(*fp_b),
            prekey_id: u32::from_be_bytes(*prekey_id),
            ephemeral: ephemeral.try_into().ok()?,
        })
    }

    /// What the wrapped secret is bound to.
    fn oaep_label(&self) -> [u8; 32] {
        sha256(&tuple(&[b"sealwax/v2/oaep", &self.encode()]))
    }
}

/// A part behind its length as two bytes, and what follows it.
fn split_part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(u16::from_be_bytes(*length).into())
}

/// `th`.
fn transcript(signed: &[u8]) -> [u8; 32] {
    sha256(&tuple(&[b"sealwax/v2/transcript", signed]))
}

/// `ck_0`: from both secrets, so that it holds as long as either of RSA and X25519 does.
fn first_chain_key(transcript: &[u8; 32], secret: &Secret<32>, agreed: &Secret<32>) -> Secret<32> {
    // Two places are kept for later suites.
    let material = Zeroizing::new(tuple(&[secret.expose(), agreed.expose(), b"", b""]));
    hkdf(transcript, &material, b"sealwax/v2/chain")
}

/// HKDF with SHA-256 (RFC 5869), 32 bytes.
fn hkdf(salt: &[u8], material: &[u8], info: &[u8]) -> Secret<32> {
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(material);
    let info = [info];
    let Ok(output) = prk.expand(&info, hkdf::HKDF_SHA256) else {
        unreachable!("one block of output");
    };
    Secret::filled(|key| {
        let filled = output.fill(key);
        debug_assert!(filled.is_ok(), "one block of output");
    })
}

impl fmt::Display for OfferFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => "not of the form of a session's opening",
            Self::Recipient => "meant for another key than ours",
            Self::Sender => "from another key than the sender's",
            Self::Signature => "not signed by the sender's key",
            Self::Prekey => "made to a prekey that is gone",
            Self::Agreement => "the sender's X25519 key is of small order",
        })
    }
}
