//! A user's name as the relay keeps it: once in memory, for look-ups and for JSON.
//!
//! Whether a text may be a name was decided before (`wire::check_name_v2`,
//! `wire::check_name_original`).

use std::borrow::{Borrow, Cow};
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use crate::wire::json_string;

/// A name between its quotes (`"alice"`). Nearly every name is its own JSON string that way, so one
/// small allocation serves the directory, the rosters and `from`. Clones share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UserName(Rc<str>);

impl UserName {
    pub(super) fn new(name: &str) -> Self {
        Self(format!("\"{name}\"").into())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0[1..self.0.len() - 1]
    }

    /// The name as a JSON string, quoted. A name has no control characters, so a quote and a
    /// backslash are all that JSON would have escaped (RFC 8259, section 7).
    pub(super) fn json(&self) -> Cow<'_, str> {
        if self.as_str().contains(['"', '\\']) {
            return Cow::Owned(json_string(self.as_str()));
        }
        Cow::Borrowed(&self.0)
    }
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
        }
    }
}
