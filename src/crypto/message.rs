//! Sealing and opening the messages of a session (`docs/protocol.md`, section 6).
//!
//! The head (`sealed`), both names and both keys are authenticated with each message: none can be
//! moved to another session, direction, place or type.

use std::fmt;

use super::chain::Chain;
use super::sealed::{HEAD_LEN, SealedMessage, head};
use super::session::{Names, Sid};
use super::{Body, Secret, TooLong, tuple};
use crate::limits::MAX_SKIP;
use crate::wire::{Fingerprint, base64};

/// What the two ends of a session share.
pub(super) struct Session {
    sid: Sid,
    chain: Chain,
    context: Vec<u8>,
}

/// The sending end of a session. Each key seals once.
pub struct SendChain(Session);

/// The receiving end of a session.
pub struct ReceiveChain(Session);

/// A message that was opened: the session's sender wrote it, and it is not a replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Its number in the session, from 0.
    pub n: u64,
    /// How many messages before it did not arrive.
    pub missing: u64,
    /// What it says.
    pub body: Body,
}

/// Why a message was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageFault {
    /// Not canonical base64url, another version, or no size that a sealed message has.
    Form,
    /// It belongs to another session.
    Session,
    /// Its number was used already.
    Replay,
    /// Its number is more than [`MAX_SKIP`] ahead.
    TooFarAhead,
    /// It was not sealed by the sender, or was changed since.
    Tag,
    /// The sender padded it to another bucket than the smallest that holds it.
    Bucket,
    /// The padding is not all zero.
    Padding,
    /// A type that this version does not know.
    Kind,
    /// A text without id or not UTF-8, or a receipt that is not a list of ids.
    Data,
}

impl SendChain {
    pub(super) fn new(session: Session) -> Self {
        Self(session)
    }

    /// The session's id.
    pub fn sid(&self) -> &Sid {
        &self.0.sid
    }

    /// The number of the next message: how many were sealed.
    pub fn n(&self) -> u64 {
        self.0.chain.n()
    }

    /// Seals the next message: the `content` member of a `message` frame. Where it fails nothing
    /// was used up.
    pub fn seal(&mut self, body: &Body) -> Result<String, TooLong> {
        let mut content = head(body.kind(), &self.0.sid, self.n()).to_vec();
        body.pad_into(&mut content)?;
        let (head, plain) = content.split_at_mut(HEAD_LEN);
        let aad = self.0.aad(head);
        let tag = self.0.chain.step().seal(&aad, plain);
        content.extend_from_slice(&tag);
        Ok(base64::encode(&content))
    }
}

impl ReceiveChain {
    pub(super) fn new(session: Session) -> Self {
        Self(session)
    }

    /// The session's id.
    pub fn sid(&self) -> &Sid {
        &self.0.sid
    }

    /// Opens a message. With the faults from `Bucket` on, the sender itself has broken a rule, and
    /// its message number is used up; with the earlier ones nothing has changed.
    pub fn open(&mut self, mut message: SealedMessage) -> Result<Opened, MessageFault> {
        if message.sid != self.0.sid {
            return Err(MessageFault::Session);
        }
        let missing = message.n.checked_sub(self.0.chain.n()).ok_or(MessageFault::Replay)?;
        if missing > MAX_SKIP {
            return Err(MessageFault::TooFarAhead);
        }
        let mut ahead = self.0.chain.ahead(missing);
        let (head, sealed) = message.bytes.split_at_mut(HEAD_LEN);
        let aad = self.0.aad(head);
        let plain = ahead.step().open(&aad, sealed).ok_or(MessageFault::Tag)?;
        self.0.chain = ahead;
        let body = Body::unpad(message.kind, plain)?;
        Ok(Opened { n: message.n, missing, body })
    }
}

impl Session {
    /// The session at its first message; `context` is [`context`]'s.
    pub(super) fn new(sid: Sid, first: Secret<32>, context: Vec<u8>) -> Self {
        Self { sid, chain: Chain::new(first), context }
    }

    fn aad(&self, head: &[u8]) -> Vec<u8> {
        [self.context.as_slice(), &tuple(&[head])].concat()
    }
}

/// What each message of a session authenticates before its own head: `T` of it all without its
/// last part.
pub(super) fn context(names: Names, fp_a: &Fingerprint, fp_b: &Fingerprint) -> Vec<u8> {
    let (a, b) = (names.from.as_bytes(), names.to.as_bytes());
    tuple(&[b"sealwax/v2/message", a, b, &fp_a.0, &fp_b.0])
}

impl fmt::Display for MessageFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Form => "not of the form of a sealed message",
            Self::Session => "it belongs to another session",
            Self::Replay => "a replay: its number was used already",
            Self::TooFarAhead => "too many messages before it are missing",
            Self::Tag => "it was changed on its way, or sealed by another",
            Self::Bucket => "padded to another size than its own",
            Self::Padding => "the padding is not zero",
            Self::Kind => "a type that this version does not know",
            Self::Data => "neither a text in UTF-8 nor a list of ids",
        })
    }
}

impl std::error::Error for MessageFault {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::crypto::sealed::MAX_CONTENT;
    use crate::crypto::{fixtures, sha256};
    use crate::limits::MAX_TEXT;

    const NAMES: Names = Names { from: "alice", to: "bob" };

    /// Both ends of the session of the known answers: `ck_0` of section 8, sid 00 01 … 0f.
    fn ends() -> (SendChain, ReceiveChain) {
        let session = |names| {
            let sid = std::array::from_fn(|at| u8::try_from(at).unwrap());
            let first = Secret::filled(|key| *key = fixtures::hex(&fixtures::vectors()["ck_0"]));
            let [a, b] = [b"A", b"B"].map(|seed| Fingerprint(sha256(seed)));
            Session::new(sid, first, context(names, &a, &b))
        };
        (SendChain(session(NAMES)), ReceiveChain(session(NAMES)))
    }

    fn text(text: &str) -> Body {
        Body::Text { mid: [3; 16], text: text.to_owned() }
    }

    fn open(chain: &mut ReceiveChain, content: &str) -> Result<Opened, MessageFault> {
        chain.open(SealedMessage::parse(content)?)
    }

    #[test]
    fn the_sealed_message_is_the_published_one() {
        let (mut send, mut receive) = ends();
        let content = send.seal(&text("hi")).unwrap();
        assert_eq!(content, fixtures::vectors()["content"]);
        let opened = open(&mut receive, &content);
        assert_eq!(opened, Ok(Opened { n: 0, missing: 0, body: text("hi") }));
    }

    #[test]
    fn messages_open_in_order_and_none_twice() {
        let (mut send, mut receive) = ends();
        let contents: Vec<_> =
            ["a", "b", "c"].map(|letter| send.seal(&text(letter)).unwrap()).into();
        for (n, content) in (0..).zip(&contents) {
            let opened = open(&mut receive, content).unwrap();
            assert_eq!((opened.n, opened.missing), (n, 0));
            assert_eq!(open(&mut receive, content), Err(MessageFault::Replay));
        }
        assert_eq!(open(&mut receive, &contents[0]), Err(MessageFault::Replay));
        assert_eq!(send.n(), 3);
    }

    #[test]
    fn a_gap_is_counted_and_what_comes_late_is_a_replay() {
        let (mut send, mut receive) = ends();
        let late = send.seal(&text("late")).unwrap();
        send.seal(&text("lost")).unwrap();
        let opened = open(&mut receive, &send.seal(&text("here")).unwrap()).unwrap();
        assert_eq!((opened.n, opened.missing), (2, 2));
        assert_eq!(open(&mut receive, &late), Err(MessageFault::Replay));
        let opened = open(&mut receive, &send.seal(&text("next")).unwrap()).unwrap();
        assert_eq!((opened.n, opened.missing), (3, 0));
    }

    #[test]
    fn a_gap_of_the_most_allowed_opens_and_one_more_does_not() {
        let (mut send, mut receive) = ends();
        for _ in 0..MAX_SKIP {
            send.0.chain.step();
        }
        let within = send.seal(&text("within")).unwrap();
        let beyond = send.seal(&text("beyond")).unwrap();
        assert_eq!(open(&mut receive, &beyond), Err(MessageFault::TooFarAhead));
        assert_eq!(open(&mut receive, &within).unwrap().missing, MAX_SKIP);
        assert_eq!(open(&mut receive, &beyond).unwrap().missing, 0);
    }

    #[test]
    fn no_flipped_bit_opens_and_none_moves_the_chain() {
        let (mut send, mut receive) = ends();
        let content = base64::decode(&send.seal(&text("hi")).unwrap()).unwrap();
        for bit in 0..content.len() * 8 {
            let mut changed = content.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let fault = open(&mut receive, &base64::encode(&changed)).unwrap_err();
            let expected = match bit / 8 {
                0 => &[MessageFault::Form][..],
                2..18 => &[MessageFault::Session],
                18..26 => &[MessageFault::Tag, MessageFault::TooFarAhead],
                _ => &[MessageFault::Tag],
            };
            assert!(expected.contains(&fault), "bit {bit}: {fault}");
        }
        assert!(open(&mut receive, &base64::encode(&content)).is_ok());
    }

    #[test]
    fn a_message_opens_only_between_the_users_and_in_the_direction_that_it_was_sealed_for() {
        let (mut send, _) = ends();
        let content = send.seal(&text("hi")).unwrap();
        let [a, b] = [b"A", b"B"].map(|seed| Fingerprint(sha256(seed)));
        let reversed = Names { from: "bob", to: "alice" };
        for (names, fp_a, fp_b) in [(reversed, &a, &b), (NAMES, &b, &a), (NAMES, &a, &a)] {
            let (_, mut receive) = ends();
            receive.0.context = context(names, fp_a, fp_b);
            assert_eq!(open(&mut receive, &content), Err(MessageFault::Tag));
        }
    }

    #[test]
    fn what_the_sender_padded_wrongly_is_refused_and_used_up() {
        let (mut send, mut receive) = ends();
        let mut content = head(7, send.sid(), 0).to_vec();
        text("hi").pad_into(&mut content).unwrap();
        let (head, plain) = content.split_at_mut(HEAD_LEN);
        let aad = send.0.aad(head);
        let tag = send.0.chain.step().seal(&aad, plain);
        content.extend_from_slice(&tag);
        let content = base64::encode(&content);
        assert_eq!(open(&mut receive, &content), Err(MessageFault::Kind));
        assert_eq!(open(&mut receive, &content), Err(MessageFault::Replay));
    }

    #[test]
    fn what_is_too_long_uses_nothing_up() {
        let (mut send, mut receive) = ends();
        assert_eq!(send.seal(&text(&"x".repeat(MAX_TEXT + 1))), Err(TooLong));
        let longest = text(&"x".repeat(MAX_TEXT));
        let content = send.seal(&longest).unwrap();
        assert_eq!(content.len(), MAX_CONTENT);
        assert_eq!(open(&mut receive, &content).unwrap().body, longest);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn whatever_is_lost_the_rest_opens_once_with_its_gaps_counted(
            texts in prop::collection::vec((".{0,40}", any::<bool>()), 1..20),
        ) {
            let (mut send, mut receive) = ends();
            let mut lost = 0;
            for (written, arrives) in texts {
                let content = send.seal(&text(&written)).unwrap();
                if !arrives {
                    lost += 1;
                    continue;
                }
                let opened = open(&mut receive, &content).unwrap();
                prop_assert_eq!(opened.missing, lost);
                prop_assert_eq!(opened.body, text(&written));
                lost = 0;
            }
        }
    }
}
