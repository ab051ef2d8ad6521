//! What the demo prints: the conversation on the left, what the relay read on the right, and the sum of it.

use std::fmt::Write;
use std::net::SocketAddr;

use super::SCRIPT;
use crate::limits::MAX_FRAME;
use crate::wire::{Scan, Scanner, base64, escape_visible};

/// Columns of the left side.
const LEFT: usize = 46;
/// Columns of the right side, unless frames are shown whole.
const RIGHT: usize = 72;

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

    /// A remark on what happens.
    #[allow(clippy::unused_self)] // all printing is the stage's
    pub(super) fn say(&self, remark: &str) {
        println!("{remark}");
    }

    pub(super) fn open(&self, relay: SocketAddr) {
        self.say(&format!("a relay listens on {relay}; alice and bob talk through it\n"));
        row("what alice and bob see", "what the relay reads from its sockets");
        row(&"─".repeat(LEFT), &"─".repeat(RIGHT));
    }

    pub(super) fn said(&self, by: &str, text: &str) {
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
            let shown = escape_visible(&frame);
            row("", if self.full { &shown } else { shorten(&shown, RIGHT) });
            rest = &rest[place.end..];
        }
    }

    /// The end: what it came to, or what was not as promised.
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
        println!();
        println!("{lines} messages were read, and each was confirmed to its writer.");
        println!(
            "The relay read {frames} frames, {bytes} bytes. Searched for the {lines} texts, as they"
        );
        println!("are, in hexadecimal and in base64url at each offset: none of them is there.");
        Ok(())
    }

    /// How `text` stands among the bytes that the relay has read, if it does.
    fn finds(&self, text: &str) -> Option<&'static str> {
        let contains = |needle: &str| memchr::memmem::find(&self.read, needle.as_bytes()).is_some();
        let hex = text.bytes().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        if contains(text) {
            return Some("plain text");
        }
        if contains(&hex) {
            return Some("hexadecimal");
        }
        // Where the text begins within a group of three bytes decides its letters: inner groups tell.
        let groups = (0..3).any(|skip| {
            let inner = &text.as_bytes()[skip..];
            contains(&base64::encode(&inner[..inner.len() / 3 * 3]))
        });
        groups.then_some("base64url")
    }
}

/// One line of both sides; a left side that is too long gets lines of its own.
fn row(left: &str, right: &str) {
    let words = left.split_inclusive(' ');
    let mut line = String::new();
    for word in words {
        if line.chars().count() + word.chars().count() > LEFT {
            println!("{line:LEFT$} │");
            line = "  ".to_owned();
        }
        line.push_str(word);
    }
    println!("{line:LEFT$} │ {right}");
}

/// The first `columns` characters, with a sign where some are missing.
fn shorten(text: &str, columns: usize) -> &str {
    text.char_indices().nth(columns).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_passed_unsealed_would_be_found() {
        let text = SCRIPT[0].1;
        let hex = text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
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
