//! Another reader of JSON: `serde_json` alone, which the wire's rules are held against.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// The members of an object, each value as it stands.
pub(crate) struct Members(BTreeMap<String, Box<RawValue>>);

impl Members {
    /// Reads what was taken for an object.
    pub(crate) fn of(frame: &[u8]) -> Self {
        let members = serde_json::from_slice(frame);
        Self(members.unwrap_or_else(|error| panic!("taken, and no object: {error}")))
    }

    /// The value as it stands.
    pub(crate) fn raw(&self, name: &str) -> Option<&str> {
        Some(self.0.get(name)?.get())
    }

    /// The string, unescaped.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let raw = self.raw(name)?;
        let text = serde_json::from_str(raw);
        Some(text.unwrap_or_else(|error| panic!("taken, and `{name}` is no string: {error}")))
    }

    /// Every member with its value as it stands.
    pub(crate) fn all(&self) -> BTreeMap<&str, &str> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.get())).collect()
    }
}
