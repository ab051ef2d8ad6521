//! Writes frames member by member, spaced as Python's `json.dumps` does, which original clients
//! know.

/// `text` as a JSON string, quoted and escaped.
pub fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A frame in the making. Names of members are the protocol's own and need no escaping.
pub(super) struct Encoder(String);

impl Encoder {
    /// Begins a frame with its `action`.
    pub(super) fn action(action: &str) -> Self {
        Self(format!(r#"{{"action": "{action}""#))
    }

    /// Adds a string.
    pub(super) fn string(self, name: &str, value: &str) -> Self {
        self.json(name, &json_string(value))
    }

    /// Adds a string where there is one.
    pub(super) fn optional(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.string(name, value),
            None => self,
        }
    }

    /// Adds a value that is JSON already.
    pub(super) fn json(mut self, name: &str, value: &str) -> Self {
        self.name(name);
        self.0.push_str(value);
        self
    }

    /// Adds an array of values that are JSON already.
    pub(super) fn list<'a>(mut self, name: &str, values: impl Iterator<Item = &'a str>) -> Self {
        self.name(name);
        self.0.push('[');
        for (place, value) in values.enumerate() {
            if place > 0 {
                self.0.push_str(", ");
            }
            self.0.push_str(value);
        }
        self.0.push(']');
        self
    }

    /// Ends the frame with a line end.
    pub(super) fn end(mut self) -> Vec<u8> {
        self.0.push_str("}\n");
        self.0.into_bytes()
    }

    fn name(&mut self, name: &str) {
        self.0.push_str(", \"");
        self.0.push_str(name);
        self.0.push_str("\": ");
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
        let frame = frame.list("d", ["1", "2"].into_iter()).json("v", "2").end();
        let expected = r#"{"action": "x", "b": "c", "d": [1, 2], "v": 2}"#;
        assert_eq!(String::from_utf8(frame).unwrap(), format!("{expected}\n"));
    }
}
