//! What a client may ask of the relay (C→S), as the relay reads it.
use std::borrow::Cow;
use std::ops::Range;

use super::{Prekey, Refusal};

/// One request of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// What its answer is to be matched by; at most [`MAX_ID`](crate::limits::MAX_ID) bytes.
    pub id: Option<Cow<'a, str>>,
    /// Whether it carried `"v":2`.
    pub version2: bool,
    /// What is asked.
    pub body: Body<'a>,
}

/// What is asked, by `action`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// `register`: a name and a public key.
    Register(Register<'a>),
    /// `prove`: the answer to a challenge.
    Prove {
        /// RSA-PSS; as it came.
        signature: Vec<u8>,
    },
    /// `prekey`: another prekey to hand out.
    Prekey(Prekey),
    /// `get_pubkey`: another user's public key.
    Lookup {
        /// Whose.
        target: Cow<'a, str>,
    },
    /// `send_key` or `message`: a frame for another user.
    Forward(Forward<'a>),
    /// `ping`: are you there?
    Ping,
}

/// A registration. Whether `name` is a name and `pubkey` a key is for the relay to judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register<'a> {
    /// The name asked for.
    pub name: Cow<'a, str>,
    /// The public key, PEM.
    pub pubkey: Cow<'a, str>,
    /// Which rosters are wanted.
    pub roster: RosterMode,
    /// What only a version-2 registration has.
    pub v2: Option<Registration2>,
}

/// What only a version-2 registration has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration2 {
    /// The client's random part of the proof.
    pub cnonce: [u8; 32],
    /// The prekey to hand out.
    pub prekey: Prekey,
}

/// Which rosters a client wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RosterMode {
    /// The whole list on each change, as the original sends it.
    #[default]
    Full,
    /// The whole list once, then changes.
    Delta,
    /// Nothing.
    None,
}

/// A frame for another user, checked and ready to be passed on as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward<'a> {
    /// Which of the two actions.
    pub kind: ForwardKind,
    /// The addressee.
    pub to: Cow<'a, str>,
    /// The length of `key` or `content` as it stands in the frame, in bytes: for the log.
    pub body_len: usize,
    /// The whole frame.
    frame: &'a [u8],
    /// Where the value of `from` stands in it, quotes included.
    from: Option<Range<usize>>,
}

/// The two actions that are passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardKind {
    /// `send_key`, carrying `key`.
    SendKey,
    /// `message`, carrying `content`.
    Message,
}

impl<'a> Request<'a> {
    /// Reads a frame: exactly the bytes of a [`Scan::Frame`](super::Scan::Frame). An action that is not known is
    /// refused too.
    pub fn parse(_frame: &'a [u8]) -> Result<Self, Refusal> {
        todo!()
    }
}

impl Forward<'_> {
    /// The frame with `from` made `sender_json` (a JSON string, quoted), every other byte as it came, and a line
    /// end. Joined, the parts are what the addressee gets.
    pub fn parts<'b>(&'b self, _sender_json: &'b [u8]) -> [&'b [u8]; 4] {
        todo!()
    }
}
