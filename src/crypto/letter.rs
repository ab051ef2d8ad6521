//! Letters: sessions of one message (`docs/protocol.md`, section 10).
//!
//! ```text
//!   content = HDR │ u16 length │ rsa_ct │ u16 length │ kem_ct │ u16 length │ sig │ sealed │ tag
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
use super::letter_header::Header;
use super::letter_key::to_be_signed;
use super::offer::{add_part, split_part, transcript};
use super::session::Names;
use super::{
    Body, KemCiphertext, LetterKeyPair, MessageFault, Mid, PrekeyFault, PublicKey, TooLong, Vault,
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

/// Seals a letter to the user `names.to`, whose pinned key is `peer` and whose `letter_key` has
/// been [checked](super::check_letter_key), at `created_ms` (milliseconds since 1970). Returns the
/// `content` member of the `letter` frame.
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
    if let Body::Text { mid: own, .. } = body {
        debug_assert_eq!(*own, mid, "a text has one id");
    }
    let mut plain = Vec::new();
    body.pad_letter_into(&mut plain).map_err(SealFault::TooLong)?;
    seal_plain(vault, names, peer, letter_key, (body.letter_kind(), mid, created_ms), plain)
        .map_err(SealFault::Key)
}

/// Seals a body that is padded already.
fn seal_plain(
    vault: &dyn Vault,
    names: Names,
    peer: &PublicKey,
    letter_key: &LetterKey,
    (kind, mid, created_ms): (LetterKind, Mid, u64),
    plain: Vec<u8>,
) -> Result<String, PrekeyFault> {
    let made = Encapsulated::new(vault, &letter_key.x25519, Some(&letter_key.mlkem))?;
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
    let (signature, mut sealed) = (vault.sign(&signed), plain);
    let key = message_key(&transcript(&signed), &material);
    let tag = key.seal(&header.aad(names), &mut sealed);
    sealed.extend_from_slice(&tag);
    Ok(Letter { header, wrapped, ciphertext, signature, sealed }.to_text())
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

    /// The `content` member.
    fn to_text(&self) -> String {
        let mut content = self.header.encode().to_vec();
        for part in [&self.wrapped, self.ciphertext.as_slice(), &self.signature] {
            add_part(&mut content, part);
        }
        content.extend_from_slice(&self.sealed);
        base64::encode(&content)
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
    /// Unwraps, agrees, decapsulates, derives and opens: what the letter says. `own` is the key
    /// that it was verified with.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::hybrid::material;
    use crate::crypto::letter_header::{HEADER_LEN, MAGIC};
    use crate::crypto::{IdentityVault, Secret, fixtures, sha256};
    use crate::limits::{MAX_RECEIPT, MAX_TEXT, MLKEM_KEY};

    const NAMES: Names = Names { from: "alice", to: "bob" };
    const NOW: u64 = 1_750_000_000_000;
    const MID: Mid = [4; 16];

    /// Alice has sealed a letter to Bob's key.
    struct Posted {
        alice: IdentityVault,
        bob: IdentityVault,
        key: LetterKeyPair,
        content: String,
    }

    fn text(text: &str) -> Body {
        Body::Text { mid: MID, text: text.to_owned() }
    }

    fn posted(body: &Body) -> Posted {
        let (alice, bob) = fixtures::vaults();
        let key = LetterKeyPair::new(&bob, NOW);
        let published = key.publish(&bob, NAMES.to);
        let content = seal_letter(&alice, NAMES, bob.public(), &published, NOW, MID, body).unwrap();
        Posted { alice, bob, key, content }
    }

    impl Posted {
        fn verify(&self, content: &str) -> Result<VerifiedLetter, LetterFault> {
            let letter = Letter::parse(content)?;
            letter.verify(&self.bob, self.alice.public(), NAMES, &self.key)
        }

        fn open(&self, content: &str) -> Result<Body, LetterFault> {
            self.verify(content)?.open(&self.bob, &self.key)
        }

        /// The letter with its parts changed, and Alice's true signature over them.
        fn signed_again(&self, change: impl FnOnce(&mut Letter)) -> String {
            let mut letter = Letter::parse(&self.content).unwrap();
            change(&mut letter);
            let own = self.key.signed(&self.bob.public().fingerprint(), NAMES.to);
            let Letter { header, wrapped, ciphertext, .. } = &letter;
            let signed = header.to_be_signed(NAMES, wrapped, ciphertext, &own);
            letter.signature = self.alice.sign(&signed);
            letter.to_text()
        }
    }

    #[test]
    fn what_is_sealed_opens_and_its_header_says_what_it_is() {
        let receipt = Body::Receipt(vec![[9; 16]; 3]);
        for (body, kind) in [(text("hello"), LetterKind::Text), (receipt, LetterKind::Receipt)] {
            let posted = posted(&body);
            let letter = Letter::parse(&posted.content).unwrap();
            assert_eq!((letter.kind(), *letter.mid(), letter.created_ms()), (kind, MID, NOW));
            assert_eq!(*letter.sender(), posted.alice.public().fingerprint());
            assert_eq!(*letter.recipient(), posted.bob.public().fingerprint());
            assert_eq!(letter.key_id(), posted.key.id());
            assert_eq!(posted.open(&posted.content), Ok(body));
        }
    }

    #[test]
    fn the_published_letter_is_sealed_as_ours_are() {
        let vectors = fixtures::vectors();
        let suite_2 = &vectors["suite_2"];
        let secret = |value| Secret::filled(|secret| *secret = fixtures::hex(value));
        let own = secret(&suite_2["inputs"]["letter_ephemeral_secret"]);
        let header = Header {
            kind: LetterKind::Text,
            mid: [3; 16],
            created_ms: suite_2["inputs"]["letter_created"].as_u64().unwrap(),
            fp_a: Fingerprint(sha256(b"A")),
            fp_b: Fingerprint(sha256(b"B")),
            key_id: 4,
            ephemeral: fixtures::vaults().0.exchange_key(&own),
        };
        assert_eq!(header.encode(), fixtures::hex(&suite_2["letter_hdr"]));
        assert_eq!(header.oaep_label(), fixtures::hex(&suite_2["letter_oaep_label"]));
        let [s, agreed] = ["s", "x25519"].map(|name| secret(&vectors["inputs"][name]));
        let material = material(&s, &agreed, Some(&secret(&suite_2["kem"])));
        let key = message_key(&sha256(b"th"), &material);
        assert_eq!(key.key.expose(), &fixtures::hex(&suite_2["letter_k"]));
        let body = Body::Text { mid: [3; 16], text: "hi".to_owned() };
        let mut sealed = Vec::new();
        body.pad_letter_into(&mut sealed).unwrap();
        let tag = key.seal(&header.aad(NAMES), &mut sealed);
        let published: [u8; 272] = fixtures::hex(&suite_2["letter_sealed"]);
        assert_eq!([&sealed[..], &tag].concat(), published);
    }

    #[test]
    fn the_longest_bodies_fit_and_longer_ones_are_refused() {
        let longest = [text(&"x".repeat(MAX_TEXT)), Body::Receipt(vec![MID; MAX_RECEIPT])];
        for body in longest {
            let posted = posted(&body);
            assert!(posted.content.len() <= MAX_LETTER_TEXT);
            assert_eq!(posted.open(&posted.content), Ok(body));
        }
        let (alice, bob) = fixtures::vaults();
        let key = LetterKeyPair::new(&bob, NOW).publish(&bob, NAMES.to);
        for body in [text(&"x".repeat(MAX_TEXT + 17)), Body::Receipt(vec![MID; MAX_RECEIPT + 1])] {
            let sealed = seal_letter(&alice, NAMES, bob.public(), &key, NOW, MID, &body);
            assert_eq!(sealed, Err(SealFault::TooLong(TooLong)));
        }
    }

    #[test]
    fn a_letter_of_which_any_bit_was_flipped_is_refused() {
        let posted = posted(&text("hello"));
        let bytes = base64::decode(&posted.content).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let fault = posted.open(&base64::encode(&changed)).unwrap_err();
            let expected = match bit / 8 {
                // The other of the two kinds.
                4 if bit == 32 => LetterFault::Signature,
                0..5 | 129..131 | 387..389 | 1477..1479 => LetterFault::Form,
                29..61 => LetterFault::Sender,
                61..93 => LetterFault::Recipient,
                93..97 => LetterFault::Key,
                1735.. => LetterFault::Tag,
                _ => LetterFault::Signature,
            };
            assert_eq!(fault, expected, "bit {bit}");
        }
    }

    #[test]
    fn a_letter_of_another_form_is_refused() {
        let content = posted(&text("hello")).content;
        let bytes = base64::decode(&content).unwrap();
        let texts = [
            String::new(),
            base64::encode(&bytes[..HEADER_LEN]),
            base64::encode(&bytes[..1735]),
            base64::encode(&bytes[..1735 + TAG_LEN]),
            base64::encode(&bytes[..bytes.len() - 1]),
            base64::encode(&[&bytes[..], &[0]].concat()),
            base64::encode(&[b"SL\x02\x01", &bytes[4..]].concat()),
            base64::encode(&[b"SW\x02\x02", &bytes[4..]].concat()),
            format!("{content}="),
            "A".repeat(MAX_LETTER_TEXT + 1),
        ];
        for text in texts {
            assert_eq!(Letter::parse(&text).err(), Some(LetterFault::Form), "{text}");
        }
    }

    #[test]
    fn a_letter_holds_for_its_users_and_its_direction_only() {
        let posted = posted(&text("hello"));
        let verify = |vault, sender, from, to| {
            let letter = Letter::parse(&posted.content).unwrap();
            letter.verify(vault, sender, Names { from, to }, &posted.key).err()
        };
        let (alice, bob) = (&posted.alice, &posted.bob);
        assert_eq!(verify(bob, alice.public(), "alice", "bob"), None);
        let signature = Some(LetterFault::Signature);
        assert_eq!(verify(bob, alice.public(), "alicia", "bob"), signature);
        assert_eq!(verify(bob, alice.public(), "alice", "bobby"), signature);
        assert_eq!(verify(bob, alice.public(), "bob", "alice"), signature);
        assert_eq!(verify(bob, bob.public(), "alice", "bob"), Some(LetterFault::Sender));
        assert_eq!(verify(alice, alice.public(), "alice", "bob"), Some(LetterFault::Recipient));
    }

    /// The relay hands out the key, so the sender's signature covers all of it, not its id alone.
    #[test]
    fn a_letter_holds_for_its_letter_key_only() {
        let mut posted = posted(&text("hello"));
        let verified = posted.verify(&posted.content).ok().unwrap();
        let own = std::mem::replace(&mut posted.key, LetterKeyPair::new(&posted.bob, NOW));
        assert_eq!(verified.open(&posted.bob, &posted.key).err(), Some(LetterFault::Key));
        assert_eq!(posted.open(&posted.content), Err(LetterFault::Key));
        let stored = posted.key.to_stored();
        let other = LetterKeyPair::from_stored(&posted.bob, own.id(), NOW, stored.expose());
        posted.key = other.unwrap();
        assert_eq!(posted.open(&posted.content), Err(LetterFault::Signature));
    }

    #[test]
    fn a_signed_letter_with_a_key_of_small_order_is_refused() {
        let posted = posted(&text("hello"));
        let content = posted.signed_again(|letter| letter.header.ephemeral = [0; 32]);
        assert_eq!(posted.open(&content), Err(LetterFault::Agreement));
    }

    /// Whichever secret does not open: it is as if the text had been changed.
    #[test]
    fn a_letter_whose_secrets_do_not_open_is_refused_as_one_that_was_changed() {
        let posted = posted(&text("hello"));
        let contents = [
            posted.signed_again(|letter| letter.wrapped[7] ^= 1),
            posted.signed_again(|letter| letter.wrapped.clear()),
            posted.signed_again(|letter| letter.ciphertext[7] ^= 1),
            posted.signed_again(|letter| letter.ciphertext.fill(0)),
            posted.signed_again(|letter| letter.header.created_ms += 1),
        ];
        for content in contents {
            assert_eq!(posted.open(&content), Err(LetterFault::Tag));
        }
    }

    #[test]
    fn what_the_sender_sealed_wrongly_is_refused() {
        let posted = posted(&text("hello"));
        let published = posted.key.publish(&posted.bob, NAMES.to);
        let sealed_as = |kind, change: fn(&mut Vec<u8>)| {
            let mut plain = Vec::new();
            Body::Receipt(vec![[0xff; 16]]).pad_letter_into(&mut plain).unwrap();
            change(&mut plain);
            let (bob, said) = (posted.bob.public(), (kind, MID, NOW));
            posted.open(&seal_plain(&posted.alice, NAMES, bob, &published, said, plain).unwrap())
        };
        let unchanged = sealed_as(LetterKind::Receipt, |_| ());
        assert_eq!(unchanged, Ok(Body::Receipt(vec![[0xff; 16]])));
        let body = |fault| Err(LetterFault::Body(fault));
        assert_eq!(sealed_as(LetterKind::Text, |_| ()), body(MessageFault::Data));
        assert_eq!(sealed_as(LetterKind::Receipt, |p| p[200] = 1), body(MessageFault::Padding));
        assert_eq!(sealed_as(LetterKind::Receipt, |p| p[2] = 1), body(MessageFault::Bucket));
    }

    #[test]
    fn no_letter_is_sealed_to_a_key_that_gives_nothing() {
        let (alice, bob) = fixtures::vaults();
        let key = LetterKeyPair::new(&bob, NOW).publish(&bob, NAMES.to);
        let seal = |key: &LetterKey| {
            seal_letter(&alice, NAMES, bob.public(), key, NOW, MID, &text("hello")).err()
        };
        let weak = LetterKey { x25519: [0; 32], ..key.clone() };
        assert_eq!(seal(&weak), Some(SealFault::Key(PrekeyFault::Weak)));
        let invalid = LetterKey { mlkem: Box::new([0xff; MLKEM_KEY]), ..key };
        assert_eq!(seal(&invalid), Some(SealFault::Key(PrekeyFault::Invalid)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_content_makes_reading_panic(rest in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = Letter::parse(&base64::encode(&rest));
            let bytes = [&MAGIC[..], &[0; HEADER_LEN - MAGIC.len()], &rest].concat();
            let _ = Letter::parse(&base64::encode(&bytes));
        }
    }
}
