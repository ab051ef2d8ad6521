//! Opening a session in which A sends to B (`docs/protocol.md`, section 5).
//!
//! ```text
//!   A: open_session ──▶ SendChain
//!           │
//!           key ──relay──▶ B: SessionOffer::parse
//!                                  │ verify: A's signature, before any decryption
//!                                  ▼
//!                             VerifiedOffer ── accept ──▶ ReceiveChain
//! ```
//!
//! What the receiver checks between the steps (pinned key, marks, tokens, which prekey) is its own
//! state, so the steps show what it needs; an offer cannot be accepted without having been
//! verified.

use std::fmt;

use super::chain::first_chain_key;
use super::hybrid::{Encapsulated, Sent};
use super::message::{Session, context};
use super::offer::{Header, Offer, Suite, transcript};
use super::{
    KemCiphertext, PrekeyFault, PrekeyPair, PublicKey, ReceiveChain, SendChain, Vault,
    prekey_to_be_signed,
};
use crate::wire::{Fingerprint, Prekey};

/// The id of a session: 16 random bytes.
pub type Sid = [u8; 16];

/// The two users of a session, in the direction of its messages.
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
    /// It names another key of the sender than the expected one.
    Sender,
    /// It was made to another prekey than the one at hand.
    Prekey,
    /// It is of suite 1, and our prekeys have an ML-KEM key, which its sender has seen signed.
    Suite,
    /// The sender's signature does not hold.
    Signature,
    /// The sender's X25519 key leads to an all-zero result (RFC 7748, section 6.1).
    Agreement,
}

/// Opens a session to the user `names.to`, whose pinned key is `peer` and whose `prekey` has been
/// checked, at `created_ms` (milliseconds since 1970, above the last one that was sent to this
/// peer). Returns the chain to send in, and the `key` member of the `send_key` frame.
///
/// Of suite 2 where the prekey has an ML-KEM key, else of suite 1.
///
/// Fails only with [`PrekeyFault::Weak`] and [`PrekeyFault::Invalid`]:
/// [`check_prekey`](super::check_prekey) has found the rest.
pub fn open_session(
    vault: &dyn Vault,
    names: Names,
    peer: &PublicKey,
    prekey: &Prekey,
    created_ms: u64,
) -> Result<(SendChain, String), PrekeyFault> {
    let made = Encapsulated::new(vault, &prekey.x25519, prekey.mlkem.as_deref())?;
    let mut header = Header {
        suite: if made.ciphertext.is_some() { Suite::Two } else { Suite::One },
        sid: [0; 16],
        created_ms,
        fp_a: vault.public().fingerprint(),
        fp_b: peer.fingerprint(),
        prekey_id: prekey.id,
        ephemeral: made.ephemeral,
    };
    vault.random(&mut header.sid);
    let (wrapped, material) = made.wrap(vault, peer, &header.oaep_label());
    let ciphertext = made.ciphertext;
    let mut offer = Offer { header, wrapped, ciphertext, signature: Vec::new() };
    let prekey = prekey_to_be_signed(names.to, &offer.header.fp_b, prekey);
    let signed = offer.to_be_signed(names, &prekey);
    offer.signature = vault.sign(&signed);
    let first = first_chain_key(&transcript(&signed), &material);
    let Header { sid, fp_a, fp_b, .. } = &offer.header;
    let session = Session::new(*sid, first, context(names, fp_a, fp_b));
    Ok((SendChain::new(session), offer.to_text()))
}

/// A `send_key` that has the right size and form; nothing in it is to be believed yet.
pub struct SessionOffer(Offer);

/// A `send_key` whose signature holds.
pub struct VerifiedOffer {
    header: Header,
    wrapped: Vec<u8>,
    ciphertext: Box<KemCiphertext>,
    transcript: [u8; 32],
    context: Vec<u8>,
}

impl SessionOffer {
    /// Reads the `key` member of a `send_key` frame.
    pub fn parse(key: &str) -> Result<Self, OfferFault> {
        Offer::parse(key).map(Self).ok_or(OfferFault::Form)
    }

    /// The session's id.
    pub fn sid(&self) -> &Sid {
        &self.0.header.sid
    }

    /// When the sender claims to have made it, in milliseconds since 1970.
    pub fn created_ms(&self) -> u64 {
        self.0.header.created_ms
    }

    /// The sender's key, by its fingerprint.
    pub fn sender(&self) -> &Fingerprint {
        &self.0.header.fp_a
    }

    /// The receiver's key, by its fingerprint.
    pub fn recipient(&self) -> &Fingerprint {
        &self.0.header.fp_b
    }

    /// Which of the receiver's prekeys it was made to.
    pub fn prekey_id(&self) -> u32 {
        self.0.header.prekey_id
    }

    /// Checks that it is meant for the vault's key, comes from `sender`, was made to `prekey` (the
    /// one that [`prekey_id`](Self::prekey_id) names), and that `sender` signed it.
    ///
    /// Without the prekey no signature can be checked: the sender signs the whole of it.
    pub fn verify(
        self,
        vault: &dyn Vault,
        sender: &PublicKey,
        names: Names,
        prekey: &PrekeyPair,
    ) -> Result<VerifiedOffer, OfferFault> {
        let Self(offer) = self;
        if offer.header.fp_b != vault.public().fingerprint() {
            return Err(OfferFault::Recipient);
        }
        if offer.header.fp_a != sender.fingerprint() {
            return Err(OfferFault::Sender);
        }
        if offer.header.prekey_id != prekey.id() {
            return Err(OfferFault::Prekey);
        }
        let signed = offer.to_be_signed(names, &prekey.signed(&offer.header.fp_b, names.to));
        let ciphertext = offer.ciphertext.ok_or(OfferFault::Suite)?;
        if !vault.verify(sender, &signed, &offer.signature) {
            return Err(OfferFault::Signature);
        }
        Ok(VerifiedOffer {
            transcript: transcript(&signed),
            context: context(names, &offer.header.fp_a, &offer.header.fp_b),
            header: offer.header,
            wrapped: offer.wrapped,
            ciphertext,
        })
    }
}

impl VerifiedOffer {
    /// Unwraps, agrees and derives: the chain to receive in. `prekey` is the one that
    /// [`SessionOffer::prekey_id`] names.
    ///
    /// A secret that does not unwrap or decapsulate is replaced by a random one: the session is
    /// accepted, and none of its messages opens. So nobody learns from us how an invented
    /// ciphertext decrypts.
    pub fn accept(
        self,
        vault: &dyn Vault,
        prekey: &PrekeyPair,
    ) -> Result<ReceiveChain, OfferFault> {
        if self.header.prekey_id != prekey.id() {
            return Err(OfferFault::Prekey);
        }
        let sent = Sent {
            wrapped: &self.wrapped,
            label: &self.header.oaep_label(),
            ephemeral: &self.header.ephemeral,
            ciphertext: &self.ciphertext,
        };
        let material = prekey.open(vault, &sent).ok_or(OfferFault::Agreement)?;
        let first = first_chain_key(&self.transcript, &material);
        Ok(ReceiveChain::new(Session::new(self.header.sid, first, self.context)))
    }
}

impl fmt::Display for OfferFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => "not of the form of a session's opening",
            Self::Recipient => "meant for another key than ours",
            Self::Sender => "from another key than the sender's",
            Self::Signature => "not signed by the sender's key",
            Self::Prekey => "made to a prekey that is gone",
            Self::Suite => "of suite 1, although the prekey has an ML-KEM key",
            Self::Agreement => "the sender's X25519 key is of small order",
        })
    }
}

impl std::error::Error for OfferFault {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::hybrid::material;
    use crate::crypto::{
        Body, IdentityVault, MessageFault, Opened, SealedMessage, Secret, fixtures,
    };
    use crate::limits::MLKEM_KEY;
    use crate::wire::base64;

    const NAMES: Names = Names { from: "alice", to: "bob" };
    const NOW: u64 = 1_750_000_000_000;

    /// Alice has opened a session to Bob.
    struct Opening {
        alice: IdentityVault,
        bob: IdentityVault,
        prekey: PrekeyPair,
        send: SendChain,
        key: String,
    }

    fn opening() -> Opening {
        let (alice, bob) = fixtures::vaults();
        let prekey = PrekeyPair::new(&bob, NOW);
        let published = prekey.publish(&bob, NAMES.to);
        let (send, key) = open_session(&alice, NAMES, bob.public(), &published, NOW + 1).unwrap();
        Opening { alice, bob, prekey, send, key }
    }

    impl Opening {
        fn verify(&self, key: &str) -> Result<VerifiedOffer, OfferFault> {
            let offer = SessionOffer::parse(key)?;
            offer.verify(&self.bob, self.alice.public(), NAMES, &self.prekey)
        }

        /// The offer with its bytes changed, and Alice's true signature over them.
        fn signed_again(&self, change: impl FnOnce(&mut Offer)) -> String {
            let mut offer = Offer::parse(&self.key).unwrap();
            change(&mut offer);
            let prekey = self.prekey.signed(&self.bob.public().fingerprint(), NAMES.to);
            offer.signature = self.alice.sign(&offer.to_be_signed(NAMES, &prekey));
            offer.to_text()
        }
    }

    fn text(text: &str) -> Body {
        Body::Text { mid: [4; 16], text: text.to_owned() }
    }

    #[test]
    fn what_is_sealed_in_a_session_opens_at_its_other_end() {
        let mut opening = opening();
        let offer = SessionOffer::parse(&opening.key).unwrap();
        assert_eq!(offer.created_ms(), NOW + 1);
        assert_eq!(offer.sid(), opening.send.sid());
        assert_eq!(offer.prekey_id(), opening.prekey.id());
        assert_eq!(*offer.sender(), opening.alice.public().fingerprint());
        assert_eq!(*offer.recipient(), opening.bob.public().fingerprint());
        drop(offer);
        let verified = opening.verify(&opening.key).ok().unwrap();
        let mut receive = verified.accept(&opening.bob, &opening.prekey).ok().unwrap();
        assert_eq!(receive.sid(), opening.send.sid());
        let content = opening.send.seal(&text("hello")).unwrap();
        let opened = receive.open(SealedMessage::parse(&content).unwrap());
        assert_eq!(opened, Ok(Opened { n: 0, missing: 0, body: text("hello") }));
    }

    #[test]
    fn an_offer_of_which_any_bit_was_flipped_is_refused() {
        let opening = opening();
        let bytes = base64::decode(&opening.key).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let fault = opening.verify(&base64::encode(&changed)).err().unwrap();
            let expected = match bit / 8 {
                0..4 | 128..130 | 386..388 | 1476..1478 => OfferFault::Form,
                92..96 => OfferFault::Prekey,
                28..60 => OfferFault::Sender,
                60..92 => OfferFault::Recipient,
                _ => OfferFault::Signature,
            };
            assert_eq!(fault, expected, "bit {bit}");
        }
    }

    #[test]
    fn an_offer_holds_for_its_users_and_its_direction_only() {
        let opening = opening();
        let verify = |vault, sender, from, to| {
            let offer = SessionOffer::parse(&opening.key).unwrap();
            offer.verify(vault, sender, Names { from, to }, &opening.prekey).err()
        };
        let (alice, bob) = (&opening.alice, &opening.bob);
        assert_eq!(verify(bob, alice.public(), "alice", "bob"), None);
        let signature = Some(OfferFault::Signature);
        assert_eq!(verify(bob, alice.public(), "alicia", "bob"), signature);
        assert_eq!(verify(bob, alice.public(), "alice", "bobby"), signature);
        assert_eq!(verify(bob, alice.public(), "bob", "alice"), signature);
        let sender = Some(OfferFault::Sender);
        assert_eq!(verify(bob, bob.public(), "alice", "bob"), sender);
        let recipient = Some(OfferFault::Recipient);
        assert_eq!(verify(alice, alice.public(), "alice", "bob"), recipient);
    }

    #[test]
    fn an_offer_to_another_prekey_is_refused() {
        let mut opening = opening();
        let verified = opening.verify(&opening.key).ok().unwrap();
        let newer = PrekeyPair::new(&opening.bob, NOW);
        assert_eq!(verified.accept(&opening.bob, &newer).err(), Some(OfferFault::Prekey));
        opening.prekey = newer;
        assert_eq!(opening.verify(&opening.key).err(), Some(OfferFault::Prekey));
    }

    #[test]
    fn a_signed_offer_with_a_key_of_small_order_is_refused() {
        let opening = opening();
        let key = opening.signed_again(|offer| offer.header.ephemeral = [0; 32]);
        let verified = opening.verify(&key).ok().unwrap();
        let accepted = verified.accept(&opening.bob, &opening.prekey);
        assert_eq!(accepted.err(), Some(OfferFault::Agreement));
    }

    /// The only sign that the secret did not unwrap is that the messages do not open.
    #[test]
    fn a_secret_that_does_not_unwrap_gives_a_session_in_which_nothing_opens() {
        let mut opening = opening();
        let keys = [
            opening.signed_again(|offer| offer.wrapped[7] ^= 1),
            opening.signed_again(|offer| offer.wrapped.clear()),
            opening.signed_again(|offer| offer.ciphertext.as_mut().unwrap()[7] ^= 1),
            opening.signed_again(|offer| offer.ciphertext.as_mut().unwrap().fill(0)),
            opening.signed_again(|offer| offer.header.created_ms += 1),
        ];
        let content = opening.send.seal(&text("hello")).unwrap();
        for key in keys {
            let verified = opening.verify(&key).ok().unwrap();
            let mut receive = verified.accept(&opening.bob, &opening.prekey).ok().unwrap();
            let opened = receive.open(SealedMessage::parse(&content).unwrap());
            assert_eq!(opened, Err(MessageFault::Tag));
        }
    }

    #[test]
    fn no_session_is_opened_to_a_prekey_that_gives_nothing() {
        let (alice, bob) = fixtures::vaults();
        let prekey = PrekeyPair::new(&bob, NOW).publish(&bob, NAMES.to);
        let open = |prekey: &Prekey| open_session(&alice, NAMES, bob.public(), prekey, NOW).err();
        let weak = Prekey { x25519: [0; 32], ..prekey.clone() };
        assert_eq!(open(&weak), Some(PrekeyFault::Weak));
        let invalid = Prekey { mlkem: Some(Box::new([0xff; MLKEM_KEY])), ..prekey };
        assert_eq!(open(&invalid), Some(PrekeyFault::Invalid));
    }

    /// The relay hands out the prekey, so the sender's signature covers all of it, not its id
    /// alone.
    #[test]
    fn an_offer_holds_for_its_whole_prekey() {
        let opening = opening();
        let key = opening.signed_again(|_| ());
        assert!(opening.verify(&key).is_ok());
        let newer = PrekeyPair::new(&opening.bob, NOW);
        let mut offer = Offer::parse(&opening.key).unwrap();
        let signed = newer.signed(&offer.header.fp_b, NAMES.to);
        offer.signature = opening.alice.sign(&offer.to_be_signed(NAMES, &signed));
        assert_eq!(opening.verify(&offer.to_text()).err(), Some(OfferFault::Signature));
    }

    #[test]
    fn a_prekey_without_an_ml_kem_key_is_answered_in_suite_1_and_ours_never() {
        let mut opening = opening();
        let secret = Secret::filled(|secret| opening.bob.random(secret));
        let x25519 = opening.bob.exchange_key(&secret);
        let id = opening.prekey.id();
        let prekey = Prekey { id, created: 2, expires: 3, x25519, mlkem: None, signature: vec![] };
        let (mut send, key) =
            open_session(&opening.alice, NAMES, opening.bob.public(), &prekey, NOW).unwrap();

        let offer = Offer::parse(&key).unwrap();
        let Offer { header: Header { sid, fp_a, fp_b, ephemeral, .. }, .. } = &offer;
        let signed = offer.to_be_signed(NAMES, b"");
        assert!(opening.bob.verify(opening.alice.public(), &signed, &offer.signature));
        let unwrapped = opening.bob.unwrap(&offer.wrapped, &offer.header.oaep_label());
        let agreed = opening.bob.agree(&secret, ephemeral).unwrap();
        let first = first_chain_key(&transcript(&signed), &material(&unwrapped, &agreed, None));
        let mut receive = ReceiveChain::new(Session::new(*sid, first, context(NAMES, fp_a, fp_b)));
        let content = send.seal(&text("hello")).unwrap();
        let opened = receive.open(SealedMessage::parse(&content).unwrap());
        assert_eq!(opened.unwrap().body, text("hello"));

        opening.key = key;
        assert_eq!(opening.verify(&opening.key).err(), Some(OfferFault::Suite));
        let signed = opening.signed_again(|_| ());
        assert_eq!(opening.verify(&signed).err(), Some(OfferFault::Suite));
    }
}
