//! What the demo prints: the conversation on the left, what the relay read on the right, and the
//! sum of it.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::SocketAddr;

use super::SCRIPT;
use crate::limits::{MAX_FRAME, NEW_RSA_BITS};
use crate::wire::{Scan, Scanner, base64, escape_visible};

/// Columns of the left side; with the right one they fit into a terminal of 100.
const LEFT: usize = 36;
/// Columns of the right side.
const RIGHT: usize = 61;
/// A longer string in a frame (columns) is shown by its beginning, unless frames are shown whole.
const STRING: usize = 24;

/// The printer, and what it has counted.
pub(super) struct Stage {
    full: bool,
    frames: usize,
    confirmed: usize,
    heard: usize,
    /// All that the relay has read.
    read: Vec<u8>,
}

impl Stage {
    pub(super) fn new(full: bool) -> Self {
        Self { full, frames: 0, confirmed: 0, heard: 0, read: Vec::new() }
    }

    /// Both keys are being made, which may take a while.
    pub(super) fn prepare() {
        show(&format!("making two RSA keys of {NEW_RSA_BITS} bits …"));
    }

    pub(super) fn open(relay: SocketAddr) {
        show(&format!("a relay listens on {relay}; alice and bob talk through it\n"));
        row("what alice and bob see", "what the relay reads from its sockets");
        row(&"─".repeat(LEFT), &"─".repeat(RIGHT));
    }

    pub(super) fn said(by: &str, text: &str) {
        row(&format!("{by} writes: {text}"), "");
    }

    pub(super) fn heard(&mut self, by: &str, text: &str) {
        self.heard += 1;
        row(&format!("{by} reads:  {}", escape_visible(text)), "");
    }

    pub(super) fn confirmed(&mut self) {
        self.confirmed += 1;
    }

    /// Whole frames, as the relay consumed them.
    pub(super) fn read(&mut self, bytes: &[u8]) {
        self.read.extend_from_slice(bytes);
        let (mut scanner, mut rest) = (Scanner::default(), bytes);
        while let Scan::Frame(place) = scanner.scan(rest, MAX_FRAME) {
            self.frames += 1;
            let frame = String::from_utf8_lossy(&rest[place.clone()]);
            let frame = escape_visible(&frame);
            row("", &if self.full { frame.into_owned() } else { abridge(&frame) });
            rest = &rest[place.end..];
        }
    }

    /// The end: the counts, or what was not as promised.
    pub(super) fn summary(&self) -> Result<(), String> {
        let lines = SCRIPT.len();
        if (self.heard, self.confirmed) != (lines, lines) {
            let (heard, confirmed) = (self.heard, self.confirmed);
            return Err(format!("of {lines} messages {heard} were read and {confirmed} confirmed"));
        }
        for (_, text) in SCRIPT {
            if let Some(form) = self.finds(text) {
                return Err(format!("the relay could read {text:?}: it passed as {form}"));
            }
        }
        let (frames, bytes) = (self.frames, self.read.len());
        show(&format!(
            "\n{lines} messages were read, and each was confirmed to its writer.\n\
             The relay read {frames} frames, {bytes} bytes. Searched for the {lines} texts, as \
             they\nare, in hexadecimal and in base64url at each offset: none of them is there."
        ));
        Ok(())
    }

    /// In which form `text` stands among the bytes that the relay has read, if it does.
    fn finds(&self, text: &str) -> Option<&'static str> {
        let contains = |needle: &str| memchr::memmem::find(&self.read, needle.as_bytes()).is_some();
        if contains(text) {
            return Some("plain text");
        }
        if contains(&hex(text)) {
            return Some("hexadecimal");
        }
        // Where the text begins within a group of three bytes decides its letters: inner groups
        // tell.
        let groups = (0..3).any(|skip| {
            let inner = &text.as_bytes()[skip..];
            contains(&base64::encode(&inner[..inner.len() / 3 * 3]))
        });
        groups.then_some("base64url")
    }
}

/// Prints a line. If its reader has gone (`sealwax demo | head`), the demo goes on.
fn show(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Both sides beside each other, each in as many lines as it needs.
fn row(left: &str, right: &str) {
    let (left, right) = (wrap(left, LEFT), wrap(right, RIGHT));
    for line in 0..left.len().max(right.len()) {
        let at = |side: &[String]| side.get(line).cloned().unwrap_or_default();
        show(&format!("{:LEFT$} │ {}", at(&left), at(&right)));
    }
}

/// Lines of at most `columns` characters, broken at spaces where there are any; all but the first
/// are indented.
fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split_inclusive(' ') {
        let width = word.chars().count();
        if used > 2 && used + width.min(columns) > columns {
            lines.push("  ".to_owned());
            used = 2;
        }
        for letter in word.chars() {
            if used == columns {
                lines.push("  ".to_owned());
                used = 2;
            }
            lines.last_mut().into_iter().for_each(|line| line.push(letter));
            used += 1;
        }
    }
    lines
}

fn hex(text: &str) -> String {
    text.bytes().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}"); // a string takes all that is written
        hex
    })
}

/// The frame with its long strings shortened.
fn abridge(frame: &str) -> String {
    let shorten = |string: &str| match string.char_indices().nth(STRING) {
        Some((end, _)) => format!("{}…", &string[..end]),
        None => string.to_owned(),
    };
    frame.split('"').map(shorten).collect::<Vec<_>>().join("\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_keep_to_their_columns() {
        let frame = format!(r#"{{"action": "message", "content": "{}"}}"#, "x".repeat(300));
        assert_eq!(
            abridge(&frame),
            r#"{"action": "message", "content": "xxxxxxxxxxxxxxxxxxxxxxxx…"}"#
        );
        for text in
            [frame.as_str(), "", "a b", "word by word until it is too long for one line of it"]
        {
            let lines = wrap(text, LEFT);
            assert!(lines.iter().all(|line| line.chars().count() <= LEFT), "{lines:?}");
            let letters = |text: &str| text.chars().filter(|c| *c != ' ').collect::<String>();
            assert_eq!(letters(&lines.concat()), letters(text));
        }
    }

    #[test]
    fn a_text_that_passed_unsealed_would_be_found() {
        let text = SCRIPT[0].1;
        let hex = hex(text);
        for offset in 0..3 {
            let padded = [&b"\x02\x00\x01"[..offset], text.as_bytes()].concat();
            for passed in [text.to_owned(), hex.clone(), base64::encode(&padded)] {
                let mut stage = Stage::new(false);
                stage.read = format!("{{\"content\":\"{passed}\"}}").into_bytes();
                assert!(stage.finds(text).is_some(), "{passed}");
            }
        }
        assert!(Stage::new(false).finds(text).is_none());
    }
}
