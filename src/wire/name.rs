//! What a name may be (`docs/protocol.md`, section 2).

use std::fmt;

use super::text::is_invisible;
use crate::limits::{MAX_NAME, MAX_NAME_ORIGINAL};

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

/// Whether `name` is one of a version-2 user: `[a-z0-9][a-z0-9._-]{0,31}`.
///
/// So few characters, because these names are bound to keys and compared by people: no two of them
/// look alike.
pub fn check_name_v2(name: &str) -> Result<(), NameFault> {
    check_length(name, MAX_NAME)?;
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_mark = |byte: u8| matches!(byte, b'.' | b'_' | b'-');
    if name.bytes().enumerate().all(|(at, byte)| is_word(byte) || (at > 0 && is_mark(byte))) {
        Ok(())
    } else {
        Err(NameFault::Character)
    }
}

/// Whether `name` is one of an original user: 1 to 64 bytes of UTF-8 without control or format
/// characters and without white space around it.
pub fn check_name_original(name: &str) -> Result<(), NameFault> {
    check_length(name, MAX_NAME_ORIGINAL)?;
    if name.contains(is_invisible) || name.trim().len() != name.len() {
        return Err(NameFault::Character);
    }
    Ok(())
}

fn check_length(name: &str, most: usize) -> Result<(), NameFault> {
    match name.len() {
        0 => Err(NameFault::Empty),
        len if len > most => Err(NameFault::TooLong),
        _ => Ok(()),
    }
}

impl fmt::Display for NameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the name is empty",
            Self::TooLong => "the name is too long",
            Self::Character => "the name has a character that is not allowed there",
        })
    }
}

impl std::error::Error for NameFault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_version_2_are_plain_and_short() {
        for name in ["a", "0", "alice", "a.b_c-d", "a-", &"x".repeat(32)] {
            assert_eq!(check_name_v2(name), Ok(()), "{name}");
        }
        assert_eq!(check_name_v2(""), Err(NameFault::Empty));
        assert_eq!(check_name_v2(&"x".repeat(33)), Err(NameFault::TooLong));
        for name in ["Alice", ".a", "-a", "_a", "a b", "a/b", "é", "a\n", "a\0"] {
            assert_eq!(check_name_v2(name), Err(NameFault::Character), "{name:?}");
        }
    }

    #[test]
    fn names_of_originals_are_any_text_that_people_can_see() {
        for name in ["JG", "Yidir B.", "日本", "\"quoted\"", "👍", &"é".repeat(32)] {
            assert_eq!(check_name_original(name), Ok(()), "{name}");
        }
        assert_eq!(check_name_original(""), Err(NameFault::Empty));
        assert_eq!(check_name_original(&"é".repeat(33)), Err(NameFault::TooLong));
        let wrong = [" a", "a ", "a\u{a0}", "\u{3000}", "a\tb", "a\u{85}b", "a\u{200b}b"];
        for name in wrong.into_iter().chain(["a\u{202e}b", "a\u{2028}b", "a\u{ad}b"]) {
            assert_eq!(check_name_original(name), Err(NameFault::Character), "{name:?}");
        }
    }
}
