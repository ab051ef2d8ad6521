//! The last rows of a terminal, which stay in their place while lines scroll up above them.
//!
//! Lines go into the terminal's own scrollback: they are printed once and are the terminal's then,
//! to be scrolled, searched and copied. Below them are the **live rows** (a status, an input),
//! which are erased and drawn anew with each frame. All movements are relative: nobody asks the
//! terminal where its cursor is.
//!
//! A line ends with `\n`, which the terminal takes for the begin of the next row
//! ([`Terminal`](super::Terminal) sees to that). A row is never wider than the terminal, so that it
//! takes one row. When the window becomes narrower, some terminals wrap anew what is on them (tmux,
//! kitty, those of VTE), so that a live row takes several rows, and others (xterm) cut it. How many
//! rows are to be erased differs between the two: with too few the begin of a live row stays above
//! as a line, with too many messages are erased. No answer of a terminal tells which kind it is, so
//! its names in the environment do ([`Terminal::rewraps`](super::Terminal::rewraps)). Where these
//! say nothing, each live row counts as one row: a remnant is ugly, a message that is erased is
//! lost.

use std::fmt::Write as _;

use unicode_segmentation::UnicodeSegmentation;

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
#[derive(Debug)]
pub struct Inline {
    /// The terminal wraps its rows anew when it has another size.
    rewraps: bool,
    drawn: Option<Drawn>,
    /// The cursor is known to stand at the begin of a row.
    is_at_begin: bool,
}

#[derive(Debug)]
struct Drawn {
    live: Live,
    /// Of the terminal at that time.
    columns: u16,
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

impl Drawn {
    /// How many rows above the cursor the live rows begin, on a terminal that has so many columns
    /// now.
    fn above(&self, rewraps: bool, columns: u16) -> usize {
        let Live { rows, prompt } = &self.live;
        if !rewraps {
            return rows.len();
        }
        let columns = usize::from(columns);
        let of_row =
            |row: &Row| 1 + text::wraps(&text::cut(&row.text, room(self.columns)), columns);
        // The cursor stands on the first character behind it, or behind the last one.
        let on = prompt.after.graphemes(true).next().unwrap_or_default();
        let of_prompt = text::wraps(&format!("{}{}{on}", prompt.label, prompt.before), columns);
        rows.iter().map(of_row).sum::<usize>() + of_prompt
    }
}

/// The longest row, in cells. One stays free: behind the last one some terminals wrap and others
/// do not.
fn room(columns: u16) -> usize {
    usize::from(columns).saturating_sub(1)
}

impl Inline {
    /// Nothing is drawn yet. `rewraps`: see [`Terminal::rewraps`](super::Terminal::rewraps).
    pub fn new(rewraps: bool) -> Self {
        Self { rewraps, drawn: None, is_at_begin: false }
    }

    /// Appends to `out` what makes room for lines on a terminal that has so many columns now: the
    /// live rows are gone, and the cursor is where they began.
    pub fn erase(&mut self, columns: u16, out: &mut String) {
        if !std::mem::replace(&mut self.is_at_begin, true) {
            // Others may have left a row without its end. So many spaces go on into the next row
            // from any cell but the first.
            let _ = write!(out, "{:1$}\r\x1b[K", "", room(columns));
        }
        let Some(drawn) = self.drawn.take() else { return };
        out.push('\r');
        let above = drawn.above(self.rewraps, columns);
        if above > 0 {
            let _ = write!(out, "\x1b[{above}A"); // to a string: never fails
        }
        out.push_str("\x1b[J");
    }

    /// Appends to `out` what draws `live` where the cursor is, at the begin of a row, on a terminal
    /// of so many columns.
    pub fn draw(&mut self, live: Live, columns: u16, out: &mut String) {
        for row in &live.rows {
            let text = text::cut(&row.text, room(columns));
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
        self.drawn = Some(Drawn { live, columns });
    }

    /// Whether `live` is what is drawn already, on a terminal of so many columns.
    pub fn shows(&self, live: &Live, columns: u16) -> bool {
        self.drawn.as_ref().is_some_and(|drawn| drawn.live == *live && drawn.columns == columns)
    }

    /// The terminal was given to others meanwhile: nothing of ours is on it.
    pub fn forget(&mut self) {
        self.drawn = None;
        self.is_at_begin = false;
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
        let (mut inline, mut out) = (Inline::new(false), String::new());
        inline.erase(20, &mut out);
        assert_eq!(out, format!("{}\r\x1b[K", " ".repeat(19)), "nothing was drawn");
        out.clear();
        inline.erase(20, &mut out);
        assert_eq!(out, "");
        inline.draw(live("status", "hi", ""), 20, &mut out);
        assert_eq!(out, "\x1b[7mstatus\x1b[0m\n> hi");
        assert!(inline.shows(&live("status", "hi", ""), 20));
        assert!(!inline.shows(&live("status", "hi", ""), 19));
        out.clear();
        inline.erase(20, &mut out);
        out.push_str("bob: hello\n");
        inline.draw(live("status", "h", "i"), 20, &mut out);
        assert_eq!(out, "\r\x1b[1A\x1b[Jbob: hello\n\x1b[7mstatus\x1b[0m\n> hi\r> h");
    }

    #[test]
    fn a_row_takes_one_row() {
        let (mut inline, mut out) = (Inline::new(true), String::new());
        inline.draw(live("a long status", "", ""), 8, &mut out);
        assert!(out.starts_with("\x1b[7ma long…\x1b[0m\n"), "{out:?}");
    }

    #[test]
    fn what_a_terminal_has_wrapped_anew_is_erased_and_no_row_more() {
        for (rewraps, before, after, columns, above) in [
            (true, "hi", "", 20, 1),
            (true, "hi", "", 40, 1),
            (true, "hi", "", 5, 3),        // 12345|67890|12
            (true, "hi", "", 6, 2),        // 123456|789012
            (true, "hi there", "", 5, 4),  // > hi |there|
            (true, "hi the", "", 4, 4),    // 3 rows of the status; > hi| the|
            (true, "hi", "x", 4, 4),       // the cursor stands on the x, in the next row
            (true, "日本", "", 5, 4),      // > 日 |本
            (false, "hi there", "", 5, 1), // cut, not wrapped
        ] {
            let (mut inline, mut out) = (Inline::new(rewraps), String::new());
            inline.erase(20, &mut out);
            inline.draw(live("123456789012", before, after), 20, &mut out);
            out.clear();
            inline.erase(columns, &mut out);
            assert_eq!(out, format!("\r\x1b[{above}A\x1b[J"), "{rewraps} {before:?} {columns}");
        }
    }
}
