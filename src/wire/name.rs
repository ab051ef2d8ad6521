//! What a name may be, and how text of others is shown and quoted.
use std::borrow::Cow;
use std::fmt;

/// Why a text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameFault {
    /// No character at all.
    Empty,
    /// More bytes than a name may have.
    TooLong,
    /// A character that a name may not have, or not at this place.
    Character,
}

impl fmt::Display for NameFault {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}

/// Whether `name` is one of a version-2 user: `[a-z0-9][a-z0-9._-]{0,31}`.
pub fn check_name_v2(_name: &str) -> Result<(), NameFault> {
    todo!()
}

/// Whether `name` is one of an original user: 1 to 64 bytes, no control or format characters, no white space around it.
pub fn check_name_original(_name: &str) -> Result<(), NameFault> {
    todo!()
}

/// `text` as a JSON string, quoted and escaped.
pub fn json_string(_text: &str) -> String {
    todo!()
}

/// `text` with everything that could steer a terminal or forge a line made visible.
pub fn escape_visible(_text: &str) -> Cow<'_, str> {
    todo!()
}
