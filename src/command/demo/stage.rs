//! What the demo prints: the conversation, what the relay read, and the sum of it.
//!
//! In a wide terminal the two stand beside each other, in a narrow one below each other. A person
//! at a terminal is given time to read: the three threads do not wait for that, only the printing.

use std::io::{self, IsTerminal, Write as _};
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use super::SCRIPT;
use super::seen::Seen;
use crate::command::is_without_colours;
use crate::limits::{DEMO_FRAME_PAUSE, DEMO_TEXT_PAUSE, MAX_FRAME, NEW_RSA_BITS};
use crate::screen::Terminal;
use crate::wire::{Scan, Scanner, escape_visible};

/// Columns of an output that is no terminal.
const USUAL_WIDTH: usize = 100;
/// From this many columns on, the two sides stand beside each other.
const BESIDE_FROM: usize = 100;
/// More columns than this are not used: the eye would lose the line.
const WIDEST: usize = 140;
/// Fewer than this are not counted with.
const NARROWEST: usize = 20;
/// A longer string in a frame (columns) is shown by its beginning, unless frames are shown whole.
const STRING: usize = 24;

/// How a part of a line is painted, as the parameter of SGR (ECMA-48, 8.3.117).
#[derive(Clone, Copy)]
enum Ink {
    Plain = 0,
    Bold = 1,
    /// Grey: what is there to be glanced at.
    Faint = 90,
    /// The two users: cyan and magenta.
    First = 36,
    Second = 35,
}

fn ink_of(user: &str) -> Ink {
    if user == SCRIPT[0].0 { Ink::First } else { Ink::Second }
}

/// A part of a row: how it is painted, and what it says.
type Part<'a> = (Ink, &'a str);

/// What stands before the lines of the relay where they stand below those of the users.
const INDENT: &str = "      ";

/// The printer.
pub(super) struct Stage {
    full: bool,
    /// Whether a person is given time to read.
    paced: bool,
    colours: bool,
    /// Columns of the left side and of the right one; `None`: below each other.
    beside: Option<(usize, usize)>,
    width: usize,
    seen: Seen,
    confirmed: usize,
    heard: usize,
}

impl Stage {
    /// `full`: frames are not shortened. `fast`: nothing is paced.
    pub(super) fn new(full: bool, fast: bool) -> Self {
        let is_person = io::stdout().is_terminal();
        let width = if is_person { usize::from(Terminal::size().columns) } else { USUAL_WIDTH };
        Self {
            paced: is_person && !fast,
            colours: is_person && !is_without_colours(),
            ..Self::of_width(full, width)
        }
    }

    /// A stage of `width` columns, without pauses and colours.
    fn of_width(full: bool, width: usize) -> Self {
        let width = width.clamp(NARROWEST, WIDEST);
        let left = width * 36 / 100;
        Self {
            full,
            paced: false,
            colours: false,
            beside: (width >= BESIDE_FROM).then(|| (left, width - left - 3)),
            width,
            seen: Seen::default(),
            confirmed: 0,
            heard: 0,
        }
    }

    /// Both keys are being made, which may take a while.
    pub(super) fn prepare() {
        show(&format!("making two RSA keys of {NEW_RSA_BITS} bits …"));
    }

    pub(super) fn open(&self, relay: SocketAddr) {
        show(&format!("A relay listens on {relay}. alice and bob talk through it.\n"));
        let Some((left, right)) = self.beside else {
            self.row(
                (Ink::Bold, "what alice and bob see"),
                &[(Ink::Bold, "what the relay reads from its sockets")],
            );
            show("");
            return;
        };
        self.row(
            (Ink::Bold, "what alice and bob see"),
            &[(Ink::Bold, "what the relay reads from its sockets")],
        );
        self.row((Ink::Plain, &"─".repeat(left)), &[(Ink::Plain, &"─".repeat(right))]);
    }

    pub(super) fn said(&self, by: &str, text: &str) {
        self.row((ink_of(by), &format!("{by} writes: {text}")), &[]);
        self.pause(DEMO_TEXT_PAUSE);
    }

    pub(super) fn heard(&mut self, by: &str, text: &str) {
        self.heard += 1;
        self.row((ink_of(by), &format!("{by} reads:  {}", escape_visible(text))), &[]);
        self.pause(DEMO_TEXT_PAUSE);
    }

    pub(super) fn confirmed(&mut self) {
        self.confirmed += 1;
    }

    /// Whole frames, as the relay consumed them.
    pub(super) fn read(&mut self, bytes: &[u8]) {
        let (mut scanner, mut rest) = (Scanner::default(), bytes);
        while let Scan::Frame(place) = scanner.scan(rest, MAX_FRAME) {
            let bytes = &rest[place.clone()];
            let caption = self.seen.take(bytes);
            let frame = String::from_utf8_lossy(bytes);
            let frame = escape_visible(&frame);
            let frame = if self.full { frame.into_owned() } else { abridge(&frame) };
            self.row((Ink::Plain, ""), &[(Ink::Plain, &caption), (Ink::Faint, &frame)]);
            self.pause(DEMO_FRAME_PAUSE);
            rest = &rest[place.end..];
        }
    }

    /// The end: what the relay could see and what not, or what was not as promised.
    pub(super) fn summary(&self) -> Result<(), String> {
        let lines = SCRIPT.len();
        if (self.heard, self.confirmed) != (lines, lines) {
            let (heard, confirmed) = (self.heard, self.confirmed);
            return Err(format!("of {lines} messages {heard} were read and {confirmed} confirmed"));
        }
        for (_, text) in SCRIPT {
            if let Some(form) = self.seen.finds(text) {
                return Err(format!("the relay could read {text:?}: it passed as {form}"));
            }
        }
        show("");
        self.list("The relay could see", &self.seen.told());
        let searched = format!(
            "any of the {lines} texts: searched for as they are, in hexadecimal and in base64url \
             at each offset, none of them is there"
        );
        let unseen = [
            searched,
            "the secrets of the sessions: they were sealed to keys that it does not have".into(),
            "a way to change or repeat a text, or to write in another's name, unnoticed".into(),
        ];
        self.list("It could not see, and does not have", &unseen);
        let next = "To try it yourself: 'sealwax serve' in one terminal, 'sealwax chat --help' in \
                    another.";
        self.block(next);
        Ok(())
    }

    fn list(&self, heading: &str, lines: &[String]) {
        show(&self.painted(Ink::Bold, heading));
        for line in lines {
            self.block(&format!("- {line}"));
        }
        show("");
    }

    /// Text over the whole width.
    fn block(&self, text: &str) {
        for line in wrap(text, self.width) {
            show(&line);
        }
    }

    /// A row: what a user sees on the left, what the relay reads on the right, or below it and
    /// indented.
    fn row(&self, left: Part, right: &[Part]) {
        let Some((width, right_width)) = self.beside else {
            for line in self.lines(left, self.width) {
                show(line.trim_end());
            }
            let width = self.width - INDENT.len();
            for line in right.iter().flat_map(|&part| self.lines(part, width)) {
                show(format!("{INDENT}{line}").trim_end());
            }
            return;
        };
        let filled = format!("{:width$}", "");
        let mut left = self.lines(left, width).into_iter();
        let mut right = right.iter().flat_map(|&part| self.lines(part, right_width));
        loop {
            let (left, right) = (left.next(), right.next());
            if left.is_none() && right.is_none() {
                return;
            }
            let left = left.unwrap_or_else(|| filled.clone());
            show(format!("{left} │ {}", right.unwrap_or_default()).trim_end());
        }
    }

    /// The lines of a part, painted and filled up to `width`.
    fn lines(&self, (ink, text): Part, width: usize) -> Vec<String> {
        let lines = if text.is_empty() { Vec::new() } else { wrap(text, width) };
        lines.iter().map(|line| self.painted(ink, &format!("{line:width$}"))).collect()
    }

    fn painted(&self, ink: Ink, text: &str) -> String {
        match ink {
            Ink::Plain => text.to_owned(),
            _ if !self.colours => text.to_owned(),
            _ => format!("\x1b[{}m{text}\x1b[0m", ink as u8),
        }
    }

    fn pause(&self, pause: Duration) {
        if self.paced {
            thread::sleep(pause);
        }
    }
}

/// Prints a line. If its reader has gone (`sealwax demo | head`), the demo goes on.
fn show(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
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
            let lines = wrap(text, NARROWEST);
            assert!(lines.iter().all(|line| line.chars().count() <= NARROWEST), "{lines:?}");
            let letters = |text: &str| text.chars().filter(|c| *c != ' ').collect::<String>();
            assert_eq!(letters(&lines.concat()), letters(text));
        }
    }

    #[test]
    fn the_sides_stand_below_each_other_where_both_do_not_fit() {
        for (width, beside) in [(1, None), (99, None), (100, Some((36, 61))), (900, Some((50, 87)))]
        {
            assert_eq!(Stage::of_width(false, width).beside, beside, "{width}");
        }
    }
}
