//! What a client may receive (S→C), as the client reads it.
use std::borrow::Cow;

use super::{BadFrame, ForwardKind, Reply};

/// One frame from the relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// The relay speaks for itself.
    Reply(Reply<'a>),
    /// `userlist`: everyone who is connected.
    Userlist {
        /// Their names.
        users: Vec<Cow<'a, str>>,
    },
    /// `roster`: who came and who went; a name in both lists left, then joined.
    Roster {
        /// Who came.
        joined: Vec<Cow<'a, str>>,
        /// Who went.
        left: Vec<Cow<'a, str>>,
        /// The first frame of a whole list: forget what was known before.
        whole: bool,
    },
    /// `send_key` or `message` of another user.
    Forwarded(Forwarded<'a>),
    /// An action that this version does not know; to be ignored.
    Unknown {
        /// Which.
        action: Cow<'a, str>,
    },
}

/// What another user sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarded<'a> {
    /// Which of the two actions.
    pub kind: ForwardKind,
    /// The sender, as the relay says.
    pub from: Cow<'a, str>,
    /// The addressee.
    pub to: Cow<'a, str>,
    /// `key` or `content`: base64url of a version-2 user, hexadecimal of an original one.
    pub body: Cow<'a, str>,
    /// Whether it carried `"v":2`.
    pub version2: bool,
}

impl<'a> Incoming<'a> {
    /// Reads a frame: exactly the bytes of a [`Scan::Frame`](super::Scan::Frame).
    pub fn parse(_frame: &'a [u8]) -> Result<Self, BadFrame> {
        todo!()
    }
}
