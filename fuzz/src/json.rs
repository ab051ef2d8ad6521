//! Another reader of JSON: `serde_json` alone, which the wire's rules are held against.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of an object, each once, each value as it stands.
pub(crate) struct Members(BTreeMap<String, Box<RawValue>>);

impl Members {
    /// Reads what was taken for an object.
    pub(crate) fn of(frame: &[u8]) -> Self {
        let members = serde_json::from_slice(frame);
        members.unwrap_or_else(|error| panic!("taken, and no object: {error}"))
    }

    /// The value as it stands.
    pub(crate) fn raw(&self, name: &str) -> Option<&str> {
        Some(self.0.get(name)?.get())
    }

    /// The string, unescaped.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let text = serde_json::from_str(self.raw(name)?);
        Some(text.unwrap_or_else(|error| panic!("taken, and `{name}` is no string: {error}")))
    }

    /// Every member with its value as it stands.
    pub(crate) fn all(&self) -> BTreeMap<&str, &str> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.get())).collect()
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = BTreeMap::new();
        while let Some((name, value)) = map.next_entry()? {
            assert!(members.insert(name, value).is_none(), "taken, and a member stands twice");
        }
        Ok(Members(members))
    }
}
