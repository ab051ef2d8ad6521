//! Sealing and opening the messages of a session (`docs/protocol.md`, section 6).

use super::session::Sid;

/// The id of a text: 16 random bytes, the same when the text is sent again.
pub type Mid = [u8; 16];

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Type 0: a text for a person.
    Text {
        /// Its id, which the receipt names.
        mid: Mid,
        /// The text.
        text: String,
    },
    /// Type 1: the ids of one or more texts that were decrypted and written out.
    Receipt(Vec<Mid>),
}

/// The body does not fit the largest bucket: more than [`MAX_TEXT`](crate::limits::MAX_TEXT) bytes of text or
/// [`MAX_RECEIPT`](crate::limits::MAX_RECEIPT) ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// The sending end of a session. Each key seals once.
pub struct SendChain {}

impl SendChain {
    /// The session's id.
    pub fn sid(&self) -> &Sid {
        todo!()
    }

    /// The number of the next message: how many were sealed.
    pub fn n(&self) -> u64 {
        todo!()
    }

    /// Seals the next message: the `content` member of a `message` frame. Where it fails nothing was used up.
    pub fn seal(&mut self, body: &Body) -> Result<String, TooLong> {
        todo!()
    }
}

/// A message's content that has the right size and form; nothing in it is to be believed yet.
pub struct SealedMessage {}

impl SealedMessage {
    /// Reads the `content` member of a `message` frame.
    pub fn parse(content: &str) -> Result<Self, MessageFault> {
        todo!()
    }

    /// The session that it says to belong to.
    pub fn sid(&self) -> &Sid {
        todo!()
    }
}

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
    /// Its number is more than [`MAX_SKIP`](crate::limits::MAX_SKIP) ahead.
    TooFarAhead,
    /// It was not sealed by the sender, or was changed since.
    Tag,
    /// The sender padded it to another bucket than the smallest that holds it, or said a length that no bucket holds.
    Bucket,
    /// The padding is not all zero.
    Padding,
    /// A type that this version does not know.
    Kind,
    /// A text without id or not UTF-8, or a receipt that is not a list of ids.
    Data,
}

/// The receiving end of a session.
pub struct ReceiveChain {}

impl ReceiveChain {
    /// The session's id.
    pub fn sid(&self) -> &Sid {
        todo!()
    }

    /// Opens a message. From `Bucket` on the faults are the sender's own doing: its number is used up then; before,
    /// nothing changed.
    pub fn open(&mut self, message: SealedMessage) -> Result<Opened, MessageFault> {
        todo!()
    }
}
