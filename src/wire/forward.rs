//! A frame for another user: the relay reads it, and passes it on unchanged except for `from`.
//!
//! The addressee gets the sender's own bytes, not a new encoding of what the relay understood:
//! members that this version does not know, numbers that no double can hold and the sender's
//! spacing all arrive. Only `from` is written by the relay.

use std::borrow::Cow;
use std::ops::Range;

use super::{BadFrame, Object};

/// A `send_key` or `message`, checked and ready to be passed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward<'a> {
    /// Which of the two.
    pub kind: ForwardKind,
    /// The addressee.
    pub to: Cow<'a, str>,
    /// The length of `key` or `content` as it stands in the frame, in bytes: for the log.
    pub body_len: usize,
    /// The frame itself.
    pub bytes: SenderBytes<'a>,
}

/// A frame as its sender wrote it, and the place of its `from`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderBytes<'a> {
    pub(super) frame: &'a [u8],
    /// Where the value of `from` stands in `frame`, quotes included.
    pub(super) from: Option<Range<usize>>,
}

/// The two actions that are passed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardKind {
    /// `send_key`, carrying `key`.
    #[default]
    SendKey,
    /// `message`, carrying `content`.
    Message,
}

impl<'a> SenderBytes<'a> {
    /// The same of `frame`, which has the same bytes up to the end of `from`.
    pub fn of(self, frame: &'a [u8]) -> Self {
        Self { frame, ..self }
    }
}

impl SenderBytes<'_> {
    /// The length of the frame as it came, in bytes.
    pub fn frame_len(&self) -> usize {
        self.frame.len()
    }

    /// Whether `from` says `sender_json` (a JSON string, quoted) already.
    pub fn is_from(&self, sender_json: &[u8]) -> bool {
        self.from.clone().is_some_and(|from| &self.frame[from] == sender_json)
    }

    /// Its parts; joined they are what the addressee gets: the frame with `from` made
    /// `sender_json` (a JSON string, quoted), every other byte as it came, and a line end.
    pub fn parts<'b>(&'b self, sender_json: &'b [u8]) -> [&'b [u8]; 4] {
        match &self.from {
            Some(from) => [&self.frame[..from.start], sender_json, &self.frame[from.end..], b"\n"],
            // There are members before it: `action` at least.
            None => [&self.frame[..self.frame.len() - 1], b",\"from\":", sender_json, b"}\n"],
        }
    }
}

impl<'a> SenderBytes<'a> {
    /// The frame of an object to which the relay adds `from` where it is missing, and `added`
    /// members more.
    pub(super) fn interpret(object: &Object<'a>, added: usize) -> Result<Self, BadFrame> {
        let from = object.place("from")?;
        if !object.has_room_for(added + usize::from(from.is_none())) {
            let detail = "no room beside so many members for what the relay adds";
            return Err(BadFrame(detail.into()));
        }
        Ok(Self { frame: object.frame(), from })
    }
}

impl<'a> Forward<'a> {
    pub(super) fn interpret(object: &Object<'a>, kind: ForwardKind) -> Result<Self, BadFrame> {
        let body = object.place(kind.body_name())?;
        let body = body.ok_or_else(|| BadFrame::missing(kind.body_name()))?;
        Ok(Self {
            kind,
            to: object.text("to")?,
            body_len: body.len() - 2,
            bytes: SenderBytes::interpret(object, 0)?,
        })
    }
}

impl ForwardKind {
    /// The `action`.
    pub const fn action(self) -> &'static str {
        match self {
            Self::SendKey => "send_key",
            Self::Message => "message",
        }
    }

    /// The member that is opaque to the relay.
    pub(super) const fn body_name(self) -> &'static str {
        match self {
            Self::SendKey => "key",
            Self::Message => "content",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MAX_MEMBERS;

    /// What the addressee gets of `frame` when `JG` sent it.
    fn passed_on(frame: &str) -> String {
        let object = Object::parse(frame.as_bytes()).unwrap();
        let forward = Forward::interpret(&object, ForwardKind::Message).unwrap();
        String::from_utf8(forward.bytes.parts(b"\"JG\"").concat()).unwrap()
    }

    #[test]
    fn every_byte_but_those_of_from_stays() {
        let number = "9".repeat(400);
        let frame = format!(
            "{{ \"n\" :{number},\"e\":1e999, \"from\" : \"x\\\"y\" ,\n\"to\":\"b\\u006fb\",\
             \"new\":{{\"from\":\"nested\"}},\"content\":\"\\/\\u00e9é\"\t}}"
        );
        assert_eq!(passed_on(&frame), frame.replace(r#""x\"y""#, r#""JG""#) + "\n");
    }

    #[test]
    fn from_is_appended_where_it_was_missing() {
        assert_eq!(
            passed_on(r#"{"to":"b","content":"\"from\":" }"#),
            "{\"to\":\"b\",\"content\":\"\\\"from\\\":\" ,\"from\":\"JG\"}\n"
        );
    }

    /// Otherwise the addressee would get one member more than it takes.
    #[test]
    fn a_full_object_without_from_is_refused() {
        let frame = |first: &str, others: usize| {
            let others: Vec<_> = (0..others).map(|n| format!(",\"{n}\":0")).collect();
            format!("{{{first},\"to\":\"b\",\"content\":\"\"{}}}", others.concat())
        };
        let read = |frame: &str| {
            let object = Object::parse(frame.as_bytes()).unwrap();
            let forward = Forward::interpret(&object, ForwardKind::Message)?;
            Ok::<_, BadFrame>(forward.bytes.parts(b"\"JG\"").concat())
        };
        assert!(read(&frame(r#""x":0"#, MAX_MEMBERS - 3)).is_err());
        for taken in [frame(r#""x":0"#, MAX_MEMBERS - 4), frame(r#""from":"""#, MAX_MEMBERS - 3)] {
            let passed_on = read(&taken).unwrap();
            assert!(Object::parse(passed_on.trim_ascii_end()).is_ok(), "{taken}");
        }
    }

    #[test]
    fn an_escaped_name_of_from_is_from() {
        let frame = r#"{"fr\u006fm":"eve","to":"b","content":""}"#;
        assert_eq!(passed_on(frame), frame.replace("eve", "JG") + "\n");
    }

    #[test]
    fn the_body_is_measured_as_it_stands() {
        let frame = br#"{"to":"b","content": "\u0041b" }"#;
        let object = Object::parse(frame).unwrap();
        let forward = Forward::interpret(&object, ForwardKind::Message).unwrap();
        assert_eq!(forward.body_len, 7);
        assert!(Forward::interpret(&object, ForwardKind::SendKey).is_err());
    }
}
