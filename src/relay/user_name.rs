//! A user's name as the relay keeps it, for look-ups and for JSON.
//!
//! Whether a text may be a name was decided before (`wire::check_name_v2`,
//! `wire::check_name_original`).

use std::borrow::{Borrow, Cow};
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use crate::wire::json_string;

/// A name between its quotes (`"alice"`). Nearly every name is its own JSON string that way, so the
/// same bytes serve look-ups, rosters and `from`. One of up to 20 bytes, as most are, owns no
/// memory; clones of another share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UserName(Kept);

/// A relay keeps one for each user, and copies it with each change of the roster.
const _: () = assert!(size_of::<UserName>() == 24);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kept {
    /// A text that JSON would not have escaped, quoted.
    Here { length: u8, bytes: [u8; ROOM] },
    /// Any text, quoted.
    There(Rc<str>),
}

/// Bytes that a name has here, its quotes included.
const ROOM: usize = 22;

impl UserName {
    pub(super) fn new(name: &str) -> Self {
        let quoted = format!("\"{name}\"");
        let mut bytes = [0; ROOM];
        let place = bytes.get_mut(..quoted.len()).filter(|_| is_its_own_json(name));
        if let (Some(place), Ok(length)) = (place, u8::try_from(quoted.len())) {
            place.copy_from_slice(quoted.as_bytes());
            return Self(Kept::Here { length, bytes });
        }
        Self(Kept::There(quoted.into()))
    }

    /// Whether this is the name `name`.
    pub(super) fn is(&self, name: impl AsRef<[u8]>) -> bool {
        self.as_bytes() == name.as_ref()
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        let quoted = self.quoted();
        quoted.get(1..quoted.len() - 1).unwrap_or_default()
    }

    pub(super) fn as_str(&self) -> &str {
        let bare = std::str::from_utf8(self.as_bytes());
        bare.unwrap_or_else(|_| unreachable!("it was a text when it was put there"))
    }

    /// The name as a JSON string, quoted.
    pub(super) fn json(&self) -> Cow<'_, str> {
        match &self.0 {
            Kept::There(text) if is_its_own_json(&text[1..text.len() - 1]) => Cow::Borrowed(text),
            Kept::There(_) => Cow::Owned(json_string(self.as_str())),
            Kept::Here { .. } => Cow::Borrowed(
                std::str::from_utf8(self.quoted())
                    .unwrap_or_else(|_| unreachable!("it was a text when it was put there")),
            ),
        }
    }

    /// The same as bytes, for a frame that is put together of bytes.
    pub(super) fn json_bytes(&self) -> Cow<'_, [u8]> {
        match &self.0 {
            Kept::Here { .. } => Cow::Borrowed(self.quoted()),
            Kept::There(_) => match self.json() {
                Cow::Borrowed(json) => Cow::Borrowed(json.as_bytes()),
                Cow::Owned(json) => Cow::Owned(json.into_bytes()),
            },
        }
    }

    fn quoted(&self) -> &[u8] {
        match &self.0 {
            Kept::Here { length, bytes } => &bytes[..usize::from(*length)],
            Kept::There(text) => text.as_bytes(),
        }
    }
}

/// A name has no control characters, so a quote and a backslash are all that JSON would have
/// escaped (RFC 8259, section 7).
fn is_its_own_json(name: &str) -> bool {
    !name.contains(['"', '\\'])
}

/// Look-ups are by the bare name, so the hash has to be that of the bare name too.
impl Hash for UserName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Borrow<str> for UserName {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn its_json_is_that_of_its_text(text in "[^\\p{Cc}]{0,20}") {
            let name = UserName::new(&text);
            prop_assert_eq!(name.as_str(), &text);
            prop_assert_eq!(name.json(), json_string(&text));
            prop_assert_eq!(name.json_bytes().into_owned(), json_string(&text).into_bytes());
            let longer = format!("{text}x");
            prop_assert!(name.is(&text) && !name.is(&longer));
            prop_assert_eq!(name.clone(), name);
        }
    }

    #[test]
    fn a_name_of_any_length_is_kept() {
        for length in [1, 19, 20, 21, 64, 300] {
            let text = "n".repeat(length);
            assert_eq!(UserName::new(&text).as_str(), text);
        }
    }
}
