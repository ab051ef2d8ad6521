//! A letter: a frame that the relay keeps until its addressee's client has acknowledged it
//! (`docs/protocol.md`, section 10).
//!
//! As with a frame that is passed on at once (`forward.rs`), the addressee gets the sender's own
//! bytes. The relay writes `from`, and adds `box`: the number by which the letter is acknowledged.

use std::borrow::Cow;

use super::forward::SenderBytes;
use super::{BadFrame, ForwardKind, Object};
use crate::limits::{MAX_ID, MAX_LETTER_TEXT};

/// A `letter`, checked and ready to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter<'a> {
    /// The addressee.
    pub to: Cow<'a, str>,
    /// Its id: of the same sender and addressee, the same id is the same letter.
    pub id: Cow<'a, str>,
    /// What it says it holds.
    pub kind: LetterKind,
    /// Which of the addressee's letter keys it says that it was sealed to.
    pub key_id: u32,
    /// The length of `content` as it stands in the frame, in bytes: for the log.
    pub body_len: usize,
    /// The frame itself.
    pub bytes: SenderBytes<'a>,
}

/// What a letter holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LetterKind {
    /// A text for a person.
    Text,
    /// The ids of texts that were shown.
    Receipt,
}

/// Which letters a client takes out of its box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakeMode {
    /// All of them.
    All,
    /// Those that hold receipts.
    Receipts,
}

impl<'a> Letter<'a> {
    pub(super) fn interpret(object: &Object<'a>) -> Result<Self, BadFrame> {
        let body = object.place(BODY)?.ok_or_else(|| BadFrame::missing(BODY))?;
        if body.len() - 2 > MAX_LETTER_TEXT {
            return Err(BadFrame::form(BODY));
        }
        if object.raw(BOX).is_some() {
            return Err(BadFrame("`box` is written by the relay".into()));
        }
        let id = object.text("id")?;
        if id.len() > MAX_ID {
            return Err(BadFrame::form("id"));
        }
        Ok(Self {
            to: object.text("to")?,
            id,
            kind: LetterKind::interpret(object)?,
            key_id: object.required("key_id")?,
            body_len: body.len() - 2,
            bytes: SenderBytes::interpret(object, 1)?,
        })
    }

    /// What is kept: the frame without its last brace, in which `from` is `sender_json` (a JSON
    /// string, quoted).
    pub fn to_keep(&self, sender_json: &[u8]) -> Vec<u8> {
        let mut kept = self.bytes.parts(sender_json).concat();
        kept.truncate(kept.len() - b"}\n".len());
        kept
    }
}

/// What stands behind the kept bytes when the letter is delivered under this number.
pub fn letter_end(number: u64) -> String {
    format!(", \"{BOX}\": {number}}}\n")
}

const BODY: &str = ForwardKind::Message.body_name();
pub(super) const BOX: &str = "box";

impl LetterKind {
    /// The kind as it stands in the frame, and within what is sealed.
    pub const fn number(self) -> u8 {
        match self {
            Self::Text => 0,
            Self::Receipt => 1,
        }
    }

    /// The kind of this number.
    pub fn numbered(number: u8) -> Option<Self> {
        [Self::Text, Self::Receipt].into_iter().find(|kind| kind.number() == number)
    }

    pub(super) fn interpret(object: &Object) -> Result<Self, BadFrame> {
        Self::numbered(object.required("kind")?).ok_or_else(|| BadFrame::form("kind"))
    }
}

impl TakeMode {
    /// The mode as it stands in the frame.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Receipts => "receipts",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::All, Self::Receipts].into_iter().find(|mode| mode.as_str() == name)
    }
}
