//! One frame as a JSON object that keeps the rules of `docs/protocol.md`, section 1: the general
//! path.
//!
//! `serde_json` reads the object's own members and checks the rest for syntax, without building it:
//! a value stays the text that it came as, so numbers that no double can hold are kept. What
//! `serde_json` does not check in a value that it skips is checked by `structure.rs`.
//!
//! This path takes any frame. The common one (a flat object of plain strings) has a quicker one
//! beside it, with the same result: see [`Request::scan`](super::Request::scan), where they part.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{base64, structure};
use crate::limits::MAX_MEMBERS;

/// A JSON object within the rules, borrowed from its frame.
#[derive(Clone, Debug)]
pub struct Object<'a> {
    frame: &'a str,
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
}

/// Why a whole frame is refused, for people. It names the rule, and repeats nothing of the frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadFrame(pub Cow<'static, str>);

impl<'a> Object<'a> {
    /// Reads a frame: exactly the bytes of a [`Scan::Frame`](super::Scan::Frame).
    pub fn parse(frame: &'a [u8]) -> Result<Self, BadFrame> {
        let object = Self::read(frame)?;
        object.check()?;
        Ok(object)
    }

    /// The string `name`, unescaped; `None` where there is no such member.
    pub fn string(&self, name: &'static str) -> Result<Option<Cow<'a, str>>, BadFrame> {
        Ok(self.value::<JsonText>(name)?.map(|text| text.0))
    }

    /// The string `name`, which must be there.
    pub fn text(&self, name: &'static str) -> Result<Cow<'a, str>, BadFrame> {
        self.string(name)?.ok_or_else(|| BadFrame::missing(name))
    }

    /// The bytes that the string `name` stands for, which must be there.
    pub fn bytes(&self, name: &'static str) -> Result<Vec<u8>, BadFrame> {
        base64::decode(&self.text(name)?).map_err(|_| BadFrame::form(name))
    }

    /// The same, exactly `N` bytes.
    pub fn array<const N: usize>(&self, name: &'static str) -> Result<[u8; N], BadFrame> {
        base64::decode_array(&self.text(name)?).map_err(|_| BadFrame::form(name))
    }

    /// The value `name` as a `T`, which must be there.
    pub fn required<T: Deserialize<'a>>(&self, name: &'static str) -> Result<T, BadFrame> {
        self.value(name)?.ok_or_else(|| BadFrame::missing(name))
    }

    /// The value `name` as a `T`; `None` where there is no such member.
    pub fn value<T: Deserialize<'a>>(&self, name: &'static str) -> Result<Option<T>, BadFrame> {
        let read = |raw: &'a RawValue| serde_json::from_str(raw.get());
        self.raw(name).map(read).transpose().map_err(|_| BadFrame::form(name))
    }

    /// Where the string `name` stands in the frame, quotes included.
    pub fn place(&self, name: &'static str) -> Result<Option<Range<usize>>, BadFrame> {
        let Some(raw) = self.raw(name).map(RawValue::get) else { return Ok(None) };
        if !raw.starts_with('"') {
            return Err(BadFrame::form(name));
        }
        let start = raw.as_ptr().addr() - self.frame.as_ptr().addr();
        Ok(Some(start..start + raw.len()))
    }

    /// The value `name` as it stands in the frame.
    pub fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.members.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    /// Whether the frame is one of version 2: `v` is the number 2, or it is not there.
    pub(super) fn version2(&self) -> Result<bool, BadFrame> {
        match self.value::<u64>("v")? {
            None => Ok(false),
            Some(2) => Ok(true),
            Some(_) => Err(BadFrame::form("v")),
        }
    }

    /// Whether it may have so many more members.
    pub(super) fn has_room_for(&self, added: usize) -> bool {
        self.members.len() + added <= MAX_MEMBERS
    }

    /// The whole frame.
    pub(super) fn frame(&self) -> &'a [u8] {
        self.frame.as_bytes()
    }

    /// Reads a frame without checking the rules that JSON itself does not have.
    pub(super) fn read(frame: &'a [u8]) -> Result<Self, BadFrame> {
        if frame.first() != Some(&b'{') || frame.last() != Some(&b'}') {
            return Err(BadFrame("not a JSON object".into()));
        }
        let frame = str::from_utf8(frame).map_err(|_| BadFrame("not UTF-8".into()))?;
        let Members(members) = serde_json::from_str(frame).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            BadFrame(format!("not JSON at line {line} column {column}").into())
        })?;
        Ok(Self { frame, members })
    }

    /// Checks the rules that JSON itself does not have.
    pub(super) fn check(&self) -> Result<(), BadFrame> {
        structure::check(self.frame())?;
        // Compares each member with each other: they are few, since the limits were checked before.
        for (place, (name, _)) in self.members.iter().enumerate() {
            if self.members[..place].iter().any(|(earlier, _)| earlier == name) {
                return Err(BadFrame("a member stands twice".into()));
            }
        }
        Ok(())
    }
}

impl BadFrame {
    pub(super) fn missing(name: &'static str) -> Self {
        Self(format!("`{name}` is missing").into())
    }

    pub(super) fn form(name: &'static str) -> Self {
        Self(format!("`{name}` is of the wrong type or form").into())
    }
}

impl fmt::Display for BadFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadFrame {}

/// A string, borrowed where nothing in it is escaped; `Cow` by itself would always copy.
#[derive(serde::Deserialize)]
#[serde(transparent)]
pub(super) struct JsonText<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// The members of one object in their order, duplicates included.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::with_capacity(8); // few frames have more
        while let Some((JsonText(name), value)) = map.next_entry()? {
            members.push((name, value));
        }
        Ok(Members(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(frame: &str) -> Result<Object<'_>, BadFrame> {
        Object::parse(frame.as_bytes())
    }

    #[test]
    fn strings_are_borrowed_unless_they_are_escaped() {
        let object = parse(r#"{"plain":"ⵣ", "escaped" : "a\u0041\ud83d\ude00"}"#).unwrap();
        assert!(matches!(object.string("plain"), Ok(Some(Cow::Borrowed("ⵣ")))));
        assert_eq!(object.string("escaped"), Ok(Some("aA😀".into())));
        assert_eq!(object.place("escaped"), Ok(Some(28..49)));
        assert_eq!(object.string("absent"), Ok(None));
        assert_eq!(object.text("absent"), Err(BadFrame::missing("absent")));
    }

    #[test]
    fn names_are_compared_unescaped() {
        assert_eq!(parse(r#"{"\u0074o":"bob"}"#).unwrap().text("to"), Ok("bob".into()));
        assert!(parse(r#"{"to":1,"\u0074o":2}"#).is_err());
        assert!(parse(r#"{"to":1,"to":1}"#).is_err());
        assert!(parse(r#"{"a":{"to":1,"to":2},"b":"to"}"#).is_ok(), "only its own members count");
    }

    #[test]
    fn numbers_of_any_size_pass() {
        let digits = "9".repeat(400);
        for number in [digits.as_str(), "1e999", "-1E-99999", "0.1", "-0"] {
            let frame = format!(r#"{{"n": {number},"deep":[{number}]}}"#);
            assert_eq!(parse(&frame).unwrap().raw("n").unwrap().get(), number);
        }
    }

    #[test]
    fn integers_are_plain_and_in_range() {
        let object = parse(r#"{"a":4294967295,"b":4294967296,"c":1.0,"d":1e1,"e":-1,"f":"1"}"#);
        let object = object.unwrap();
        assert_eq!(object.value::<u32>("a"), Ok(Some(u32::MAX)));
        for name in ["b", "c", "d", "e", "f"] {
            assert_eq!(object.value::<u32>(name), Err(BadFrame::form(name)));
        }
    }

    #[test]
    fn what_is_not_one_json_object_is_refused() {
        let wrong = ["", "{", "[]", "\"{}\"", "{}{}", " {}", "{} ", "{]", "{\"a\":[}}"];
        let more = [
            "{\"a\":}",
            "{\"a\":1,}",
            "{'a':1}",
            "{\"a\":01}",
            "{\"a\":NaN}",
            "{\"a\":\"\n\"}",
            "{a:1}",
        ];
        for frame in wrong.into_iter().chain(more) {
            assert!(parse(frame).is_err(), "{frame}");
        }
        assert!(Object::parse(b"{\"a\":\"\xff\"}").is_err());
        assert!(Object::parse(b"{\"a\":\"\xed\xa0\x80\"}").is_err(), "a surrogate in UTF-8");
    }
}
