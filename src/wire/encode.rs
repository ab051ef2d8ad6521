//! Writes frames member by member, spaced as Python's `json.dumps` does, which original clients
//! know.
//!
//! Each answer of the relay is made here, so a value is written straight into the frame, without a
//! text of its own first.

use serde::Serialize;

/// `text` as a JSON string, quoted and escaped.
pub fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A frame that is being made. Names of members are the protocol's own and need no escaping.
pub(super) struct Encoder(Vec<u8>);

impl Encoder {
    /// Begins a frame with its `action`.
    pub(super) fn action(action: &str) -> Self {
        let mut frame = Vec::with_capacity(256); // most answers, and a short message
        frame.extend_from_slice(b"{\"action\": \"");
        frame.extend_from_slice(action.as_bytes());
        frame.push(b'"');
        Self(frame)
    }

    /// Adds a value: a string, which is quoted and escaped, or a number.
    pub(super) fn value(mut self, name: &str, value: &(impl Serialize + ?Sized)) -> Self {
        self.name(name);
        let written = serde_json::to_writer(&mut self.0, value);
        debug_assert!(written.is_ok(), "memory takes all, and a string or number is always JSON");
        self
    }

    /// Adds a string where there is one.
    pub(super) fn optional(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.value(name, value),
            None => self,
        }
    }

    /// Adds a value that is JSON already.
    pub(super) fn json(mut self, name: &str, value: &str) -> Self {
        self.name(name);
        self.0.extend_from_slice(value.as_bytes());
        self
    }

    /// Adds an array of values that are JSON already.
    pub(super) fn list<'a>(mut self, name: &str, values: impl Iterator<Item = &'a str>) -> Self {
        self.name(name);
        self.0.push(b'[');
        for (place, value) in values.enumerate() {
            if place > 0 {
                self.0.extend_from_slice(b", ");
            }
            self.0.extend_from_slice(value.as_bytes());
        }
        self.0.push(b']');
        self
    }

    /// Ends the frame with a line end.
    pub(super) fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(b"}\n");
        self.0
    }

    fn name(&mut self, name: &str) {
        self.0.extend_from_slice(b", \"");
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\": ");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_quoted_and_escaped() {
        assert_eq!(json_string("a\"\\\n\u{1}é😀"), r#""a\"\\\n\u0001é😀""#);
    }

    #[test]
    fn a_frame_is_spaced_as_python_spaces_it() {
        let frame = Encoder::action("x").optional("a", None).optional("b", Some("c"));
        let frame = frame.list("d", ["1", "2"].into_iter()).value("v", &2).end();
        let expected = r#"{"action": "x", "b": "c", "d": [1, 2], "v": 2}"#;
        assert_eq!(String::from_utf8(frame).unwrap(), format!("{expected}\n"));
    }
}
