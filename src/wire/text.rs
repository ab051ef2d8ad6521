//! Characters that are invisible but steer a terminal, and how they are made visible.
//!
//! A text that came from the network may hold escape sequences, turn the reading direction or end
//! a line. Names may not have such characters; every other text is shown escaped.

use std::borrow::Cow;
use std::io::{self, Write};

use serde_json::ser::Formatter;

/// `text` with everything that could steer a terminal or forge a line made visible: `\n`, `\t`,
/// `\u{1b}`. For terminals and logs; a backslash stays as it is, so the text cannot be read back.
pub fn escape_visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_invisible) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_invisible(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// Has `serde_json` write everything beyond printable ASCII as `\uXXXX`. A program reads the same
/// text, and a terminal that shows the line is not steered by it (C1 controls, bidirectional
/// overrides).
#[derive(Clone, Copy, Debug)]
pub struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        for unit in fragment.encode_utf16() {
            match u8::try_from(unit) {
                Ok(byte @ b' '..=b'~') => out.write_all(&[byte])?,
                _ => write!(out, "\\u{unit:04x}")?,
            }
        }
        Ok(())
    }
}

/// Whether a character is of Unicode's categories Cc (C0, DEL, C1), Cf, Zl or Zp.
pub fn is_invisible(character: char) -> bool {
    let is_format = |range: &(char, char)| (range.0..=range.1).contains(&character);
    character.is_control() || (character >= FORMAT[0].0 && FORMAT.iter().any(is_format))
}

/// The characters of categories Cf, Zl (U+2028) and Zp (U+2029), from
/// `DerivedGeneralCategory.txt` of Unicode 16.0.
const FORMAT: [(char, char); 21] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{180e}', '\u{180e}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{2064}'),
    ('\u{2066}', '\u{206f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0001}', '\u{e0001}'),
    ('\u{e0020}', '\u{e007f}'),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_made_visible() {
        assert_eq!(escape_visible("a\nb\r\tc"), r"a\nb\r\tc");
        assert_eq!(escape_visible("\u{1b}[31m\u{7}\u{7f}\u{9b}"), r"\u{1b}[31m\u{7}\u{7f}\u{9b}");
        assert_eq!(escape_visible("x\u{202e}\u{2066}y\u{2028}"), r"x\u{202e}\u{2066}y\u{2028}");
        assert_eq!(escape_visible("\u{feff}\u{e0041}"), r"\u{feff}\u{e0041}");
    }

    #[test]
    fn what_people_read_stays_as_it_is() {
        for text in ["", "C:\\n", "Yidir \"JG\"", "déjà vu ⵣ 日本 👍🏽", "\u{a0}\u{fffd}"]
        {
            assert!(matches!(escape_visible(text), Cow::Borrowed(same) if same == text));
        }
    }
}
