//! The last rows of a terminal, which stay in their place while lines scroll up above them.
//!
//! Lines go into the terminal's own scrollback: they are printed once and are the terminal's then,
//! to be scrolled, searched and copied. Below them are the **live rows** (a status, an input),
//! which are erased and drawn anew with each frame. All movements are relative: nobody asks the
//! terminal where its cursor is.
//!
//! A line ends with `\n`, which the terminal takes for the begin of the next row
//! ([`Terminal`](super::Terminal) sees to that). A row is never wider than the terminal, so that it
//! takes one row. When the window becomes narrower, many terminals wrap what is on them anew: then
//! the begin of a live row may stay above as a line. Erasing more would take messages away where a
//! terminal does not wrap.

use std::fmt::Write as _;

use super::text;

/// What is drawn below the lines. Rows are escaped, and may hold sequences that change the letters
/// (SGR), which [`Row::styled`] does not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// From the top.
    pub rows: Vec<Row>,
    /// The row of the cursor, the last one.
    pub prompt: Prompt,
}

/// A row with one style.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// An SGR sequence, or nothing.
    pub style: &'static str,
    /// Escaped.
    pub text: String,
}

/// The row that is being written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompt {
    /// What stands in front.
    pub label: String,
    /// Before the cursor.
    pub before: String,
    /// Behind the cursor.
    pub after: String,
}

/// What is drawn of the live rows now.
#[derive(Debug, Default)]
pub struct Inline {
    drawn: Live,
    is_drawn: bool,
}

/// Puts letters back to plain.
pub const PLAIN: &str = "\x1b[0m";

impl Row {
    /// A row in plain letters.
    pub fn plain(text: impl Into<String>) -> Self {
        Self { style: "", text: text.into() }
    }

    /// A row in another style, given as an SGR sequence.
    pub fn styled(style: &'static str, text: impl Into<String>) -> Self {
        Self { style, text: text.into() }
    }
}

impl Inline {
    /// Appends to `out` what makes room for lines: the live rows are gone, and the cursor is where
    /// they began.
    pub fn erase(&mut self, out: &mut String) {
        if !std::mem::take(&mut self.is_drawn) {
            return;
        }
        out.push('\r');
        let above = self.drawn.rows.len();
        if above > 0 {
            let _ = write!(out, "\x1b[{above}A"); // to a string: never fails
        }
        out.push_str("\x1b[J");
    }

    /// Appends to `out` what draws `live` where the cursor is, at the begin of a row, on a terminal
    /// of so many columns.
    pub fn draw(&mut self, live: Live, columns: u16, out: &mut String) {
        // A cell stays free: behind the last one some terminals wrap and others do not.
        let columns = usize::from(columns).saturating_sub(1);
        for row in &live.rows {
            let text = text::cut(&row.text, columns);
            let plain = if row.style.is_empty() { "" } else { PLAIN };
            let _ = writeln!(out, "{}{text}{plain}", row.style);
        }
        let Prompt { label, before, after } = &live.prompt;
        let _ = write!(out, "{label}{before}{after}");
        if !after.is_empty() {
            // Written again up to the cursor, which then stands where this terminal puts it,
            // however wide it takes a character to be.
            let _ = write!(out, "\r{label}{before}");
        }
        self.drawn = live;
        self.is_drawn = true;
    }

    /// Whether `live` is what is drawn already.
    pub fn shows(&self, live: &Live) -> bool {
        self.is_drawn && self.drawn == *live
    }

    /// The terminal was given to others meanwhile: nothing of ours is on it.
    pub fn forget(&mut self) {
        self.is_drawn = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(status: &str, before: &str, after: &str) -> Live {
        Live {
            rows: vec![Row::styled("\x1b[7m", status)],
            prompt: Prompt {
                label: "> ".to_owned(),
                before: before.to_owned(),
                after: after.to_owned(),
            },
        }
    }

    #[test]
    fn rows_are_erased_before_lines_and_drawn_behind_them() {
        let (mut inline, mut out) = (Inline::default(), String::new());
        inline.erase(&mut out);
        assert_eq!(out, "", "nothing was drawn");
        inline.draw(live("status", "hi", ""), 20, &mut out);
        assert_eq!(out, "\x1b[7mstatus\x1b[0m\n> hi");
        assert!(inline.shows(&live("status", "hi", "")));
        out.clear();
        inline.erase(&mut out);
        out.push_str("bob: hello\n");
        inline.draw(live("status", "h", "i"), 20, &mut out);
        assert_eq!(out, "\r\x1b[1A\x1b[Jbob: hello\n\x1b[7mstatus\x1b[0m\n> hi\r> h");
    }

    #[test]
    fn a_row_takes_one_row() {
        let (mut inline, mut out) = (Inline::default(), String::new());
        inline.draw(live("a long status", "", ""), 8, &mut out);
        assert!(out.starts_with("\x1b[7ma long…\x1b[0m\n"), "{out:?}");
    }
}
