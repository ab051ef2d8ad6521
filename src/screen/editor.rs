//! A line that is being written, with the keys of readline.
//!
//! Knows text and keys, no terminal. The cursor stands between two graphemes (what a reader takes
//! for one character), and moves by them. A paste is part of the line and never a key in it: its
//! line ends are shown as `⏎`, and nothing is sent before somebody presses Enter.
//!
//! A line whose first word was pasted is a text and no command ([`Edit::Entered`]). It stays so
//! however it comes back: from the history, by a search, and from what was deleted.

use std::collections::VecDeque;
use std::ops::Range;

use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation};

use super::keys::{Key, Press};
use super::limits::HISTORY_LINES;
use super::text;

/// The line, the cursor in it, and the lines before it.
#[derive(Debug)]
pub struct Editor {
    line: Line,
    /// The longest line, in bytes.
    most: usize,
    /// What was deleted last by a key that deletes more than one character.
    killed: Killed,
    /// The line that was entered last.
    entered: Line,
    /// Lines that were entered, the newest last.
    history: VecDeque<Line>,
    /// Which of them is shown, and the line that was being written before.
    recalled: Option<(usize, Line)>,
    search: Option<Search>,
}

/// A text and a place in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Line {
    text: String,
    /// In bytes, between two graphemes.
    cursor: usize,
    /// Where the first byte stands that was pasted. What is behind it may have been typed, and
    /// counts as pasted: a bound is enough to tell a command that was typed.
    pasted: Option<usize>,
}

/// What was deleted.
#[derive(Debug, Default)]
struct Killed {
    text: String,
    /// Some of it was pasted.
    is_pasted: bool,
}

/// A search in the history, from the newest line to the oldest.
#[derive(Debug)]
struct Search {
    words: String,
    /// The line that was found.
    found: Option<usize>,
    /// The line before the search, for who gives it up.
    before: Line,
}

/// What a key did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// The line or the cursor may have changed.
    Changed,
    /// The line is finished; the editor is empty.
    Entered {
        /// What was written. It has line ends where several lines were pasted.
        text: String,
        /// Its first word was pasted, in whole or in part, or it has several lines: so it is no
        /// command.
        is_literal: bool,
    },
    /// Tab: see [`Editor::complete`].
    Complete,
    /// Ctrl-D on an empty line.
    End,
    /// There is no room for what was typed: a line has at most so many bytes.
    Full(usize),
    /// No key of the editor.
    Unknown,
}

/// The line as it is to be drawn, escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// What stands before the cursor.
    pub before: String,
    /// What stands behind it.
    pub after: String,
}

impl Line {
    /// Whether it is a text, whatever it looks like. What decides whether a line is a command is
    /// its first word: of a command that was typed the rest may be pasted (a name, a fingerprint).
    fn is_literal(&self) -> bool {
        let word = self.text.find(char::is_whitespace).unwrap_or(self.text.len());
        self.pasted.is_some_and(|pasted| pasted < word) || self.text.contains('\n')
    }

    /// Puts `new` in the place of some bytes. Where it stands among what was pasted, it is so too.
    fn replace(&mut self, place: Range<usize>, new: &str, is_pasted: bool) {
        let Range { start, end } = place;
        self.pasted = self.pasted.map(|pasted| {
            if pasted >= end { pasted - (end - start) + new.len() } else { pasted.min(start) }
        });
        if is_pasted {
            self.pasted = Some(self.pasted.map_or(start, |pasted| pasted.min(start)));
        }
        self.text.replace_range(start..end, new);
        self.pasted = self.pasted.filter(|&pasted| pasted < self.text.len());
    }
}

impl Editor {
    /// An empty line that takes at most `most` bytes.
    pub fn new(most: usize) -> Self {
        Self {
            line: Line::default(),
            most,
            killed: Killed::default(),
            entered: Line::default(),
            history: VecDeque::new(),
            recalled: None,
            search: None,
        }
    }

    /// What is written so far.
    pub fn text(&self) -> &str {
        &self.line.text
    }

    /// Whether what is written is a text because it was pasted, and no command.
    pub fn is_literal(&self) -> bool {
        self.line.is_literal()
    }

    /// How many lines were pasted into the line.
    pub fn lines(&self) -> usize {
        1 + self.line.text.matches('\n').count()
    }

    /// The words that are searched for, and whether some line has them.
    pub fn search(&self) -> Option<(&str, bool)> {
        self.search.as_ref().map(|search| (search.words.as_str(), search.found.is_some()))
    }

    /// Lines of an earlier run, the oldest first.
    pub fn remember(&mut self, lines: impl IntoIterator<Item = String>) {
        lines.into_iter().for_each(|text| self.note(Line { text, ..Line::default() }));
    }

    /// The lines that are remembered and would be the same if they were typed, the oldest first.
    pub fn history(&self) -> impl Iterator<Item = &str> {
        self.history.iter().filter(|line| !line.is_literal()).map(|line| line.text.as_str())
    }

    /// Takes back what is written; it can be had again with Ctrl-Y.
    pub fn clear(&mut self) {
        self.end_search();
        self.recalled = None;
        let Line { text, pasted, .. } = std::mem::take(&mut self.line);
        if !text.is_empty() {
            self.killed = Killed { text, is_pasted: pasted.is_some() };
        }
    }

    /// Puts back the line that was entered last: it cannot be used yet.
    pub fn take_back(&mut self) {
        let line = std::mem::take(&mut self.entered);
        self.line = Line { cursor: line.text.len(), ..line };
    }

    /// Puts the rest of a paste into the line.
    pub fn put_back(&mut self, text: String) {
        self.line = Line { cursor: text.len(), text, pasted: Some(0) };
    }

    /// Carries out a key.
    pub fn press(&mut self, press: Press) -> Edit {
        if self.search.is_some()
            && let Some(edit) = self.press_in_search(press)
        {
            return edit;
        }
        match (press.ctrl, press.alt, press.key) {
            (false, false, Key::Char(letter)) => {
                return self.insert(letter.encode_utf8(&mut [0; 4]), false);
            }
            (false, false, Key::Enter) | (true, false, Key::Char('j')) => return self.enter(),
            (false, false, Key::Tab) if !press.shift => return Edit::Complete,
            (true, false, Key::Char('d')) if self.line.text.is_empty() => return Edit::End,
            (true, false, Key::Char('y')) => {
                let Killed { text, is_pasted } = std::mem::take(&mut self.killed);
                let edit = self.insert(&text, is_pasted);
                self.killed = Killed { text, is_pasted };
                return edit;
            }
            (false, false, Key::Up) | (true, false, Key::Char('p')) => self.recall_older(),
            (false, false, Key::Down) | (true, false, Key::Char('n')) => self.recall_newer(),
            (true, false, Key::Char('r')) => self.begin_search(),
            _ => {
                return if self.move_cursor(press) || self.delete(press) {
                    Edit::Changed
                } else {
                    Edit::Unknown
                };
            }
        }
        Edit::Changed
    }

    /// Puts a paste where the cursor is. Line ends at its end are left out.
    pub fn paste(&mut self, text: &str) -> Edit {
        self.end_search();
        self.insert(text.trim_end_matches('\n'), true)
    }

    /// Replaces the word before the cursor by what the `candidates` that begin with it have in
    /// common; a space follows where there is one only. Returns the candidates where they are more.
    pub fn complete(&mut self, candidates: impl Fn(&str, bool) -> Vec<String>) -> Vec<String> {
        let start = self.line.text[..self.line.cursor].rfind([' ', '\n']).map_or(0, |at| at + 1);
        let word = &self.line.text[start..self.line.cursor];
        let found = candidates(word, start == 0);
        let Some(mut common) = found.first().cloned() else { return found };
        for other in &found {
            let same = common.chars().zip(other.chars()).take_while(|(one, two)| one == two);
            common.truncate(same.map(|(one, _)| one.len_utf8()).sum());
        }
        if found.len() == 1 {
            common.push(' ');
        }
        let is_room = self.line.text.len() - word.len() + common.len() <= self.most;
        if is_room && common.len() > word.len() {
            self.line.replace(start..self.line.cursor, &common, false);
            self.line.cursor = start + common.len();
        }
        if found.len() > 1 { found } else { Vec::new() }
    }

    /// The part of the line that fits into `columns`, with the cursor in it.
    pub fn view(&self, columns: usize) -> View {
        let shown = |part: &str| text::escape(part).replace("\\n", "⏎");
        let (before, after) = self.line.text.split_at(self.line.cursor);
        let (mut first, mut used) = (before.len(), 0);
        // Room for the cursor itself, and for a little of what stands behind it.
        let ahead: usize = after.graphemes(true).take(4).map(|it| text::width(&shown(it))).sum();
        let room = columns.saturating_sub(1 + ahead.min(columns / 4));
        for (at, grapheme) in before.grapheme_indices(true).rev() {
            used += text::width(&shown(grapheme));
            if used > room {
                break;
            }
            first = at;
        }
        let before = shown(&before[first..]);
        let left = columns.saturating_sub(1 + text::width(&before));
        let mut after_shown = String::new();
        let mut used = 0;
        for grapheme in after.graphemes(true) {
            let part = shown(grapheme);
            used += text::width(&part);
            if used > left {
                break;
            }
            after_shown.push_str(&part);
        }
        View { before, after: after_shown }
    }

    fn insert(&mut self, new: &str, is_pasted: bool) -> Edit {
        if self.line.text.len() + new.len() > self.most {
            return Edit::Full(self.most);
        }
        self.line.replace(self.line.cursor..self.line.cursor, new, is_pasted);
        self.line.cursor += new.len();
        // A mark that was typed belongs to the character before it.
        if !self.is_boundary(self.line.cursor) {
            self.line.cursor = self.next(self.line.cursor);
        }
        Edit::Changed
    }

    fn is_boundary(&self, at: usize) -> bool {
        let mut cursor = GraphemeCursor::new(at, self.line.text.len(), true);
        cursor.is_boundary(&self.line.text, 0).unwrap_or(true)
    }

    fn previous(&self, at: usize) -> usize {
        self.line.text[..at].grapheme_indices(true).next_back().map_or(0, |(at, _)| at)
    }

    fn next(&self, at: usize) -> usize {
        let mut cursor = GraphemeCursor::new(at, self.line.text.len(), true);
        cursor.next_boundary(&self.line.text, 0).ok().flatten().unwrap_or(self.line.text.len())
    }

    /// Where the word before the cursor begins: letters and digits.
    fn word_left(&self) -> usize {
        let before =
            self.line.text[..self.line.cursor].trim_end_matches(|it: char| !it.is_alphanumeric());
        before.trim_end_matches(char::is_alphanumeric).len()
    }

    /// Where the word behind the cursor ends.
    fn word_right(&self) -> usize {
        let after =
            self.line.text[self.line.cursor..].trim_start_matches(|it: char| !it.is_alphanumeric());
        self.line.text.len() - after.trim_start_matches(char::is_alphanumeric).len()
    }

    /// Where the word before the cursor begins that spaces divide.
    fn blank_word_left(&self) -> usize {
        let before = self.line.text[..self.line.cursor].trim_end_matches(char::is_whitespace);
        before.trim_end_matches(|it: char| !it.is_whitespace()).len()
    }

    /// Whether the key moves the cursor.
    fn move_cursor(&mut self, press: Press) -> bool {
        let cursor = self.line.cursor;
        self.line.cursor = match (press.ctrl, press.alt, press.key) {
            (false, false, Key::Left) | (true, false, Key::Char('b')) => self.previous(cursor),
            (false, false, Key::Right) | (true, false, Key::Char('f')) => self.next(cursor),
            (_, false, Key::Home) | (true, false, Key::Char('a')) => 0,
            (_, false, Key::End) | (true, false, Key::Char('e')) => self.line.text.len(),
            (true, false, Key::Left) | (false, true, Key::Char('b')) => self.word_left(),
            (true, false, Key::Right) | (false, true, Key::Char('f')) => self.word_right(),
            _ => return false,
        };
        true
    }

    /// Whether the key deletes something.
    fn delete(&mut self, press: Press) -> bool {
        let (cursor, end) = (self.line.cursor, self.line.text.len());
        let (from, to, is_kill) = match (press.ctrl, press.alt, press.key) {
            (false, false, Key::Backspace) | (true, false, Key::Char('h')) => {
                (self.previous(cursor), cursor, false)
            }
            (false, false, Key::Delete) | (true, false, Key::Char('d')) => {
                (cursor, self.next(cursor), false)
            }
            (true, false, Key::Char('k')) => (cursor, end, true),
            (true, false, Key::Char('u')) => (0, cursor, true),
            (true, false, Key::Char('w')) => (self.blank_word_left(), cursor, true),
            (false, true, Key::Backspace) => (self.word_left(), cursor, true),
            (false, true, Key::Char('d')) => (cursor, self.word_right(), true),
            (true, false, Key::Char('t')) => {
                self.transpose();
                return true;
            }
            _ => return false,
        };
        if is_kill && from < to {
            let is_pasted = self.line.pasted.is_some_and(|pasted| pasted < to);
            self.killed = Killed { text: self.line.text[from..to].to_owned(), is_pasted };
        }
        self.line.replace(from..to, "", false);
        self.line.cursor = from;
        true
    }

    /// Exchanges the two characters around the cursor, or before it at the end.
    fn transpose(&mut self) {
        let end = if self.line.cursor == self.line.text.len() {
            self.line.cursor
        } else {
            self.next(self.line.cursor)
        };
        let middle = self.previous(end);
        let start = self.previous(middle);
        if self.line.cursor == 0 || start == middle {
            return;
        }
        let text = &self.line.text;
        let exchanged = format!("{}{}", &text[middle..end], &text[start..middle]);
        self.line.replace(start..end, &exchanged, false);
        self.line.cursor = end;
    }

    fn enter(&mut self) -> Edit {
        self.entered = std::mem::take(&mut self.line);
        self.recalled = None;
        let line = Line { cursor: 0, ..self.entered.clone() };
        let (text, is_literal) = (line.text.clone(), line.is_literal());
        if !text.trim().is_empty() {
            self.note(line);
        }
        Edit::Entered { text, is_literal }
    }

    fn note(&mut self, line: Line) {
        if line.text.len() > self.most || self.history.back() == Some(&line) {
            return;
        }
        self.history.push_back(line);
        if self.history.len() > HISTORY_LINES {
            self.history.pop_front();
        }
    }

    fn recall_older(&mut self) {
        let place = self.recalled.as_ref().map_or(self.history.len(), |(place, _)| *place);
        if let Some(place) = place.checked_sub(1) {
            let shown = self.recalled_line(place);
            let written = std::mem::replace(&mut self.line, shown);
            let kept = self.recalled.take().map_or(written, |(_, kept)| kept);
            self.recalled = Some((place, kept));
        }
    }

    fn recall_newer(&mut self) {
        let Some((place, kept)) = self.recalled.take() else { return };
        if place + 1 == self.history.len() {
            self.line = kept;
            return;
        }
        self.line = self.recalled_line(place + 1);
        self.recalled = Some((place + 1, kept));
    }

    fn recalled_line(&self, place: usize) -> Line {
        let line = self.history.get(place).cloned().unwrap_or_default();
        Line { cursor: line.text.len(), ..line }
    }

    fn begin_search(&mut self) {
        let before = self.line.clone();
        self.search = Some(Search { words: String::new(), found: None, before });
    }

    /// Ends a search with the line that was found, if there was one.
    fn end_search(&mut self) {
        self.search = None;
    }

    /// A key in a search. None: it ended the search, and is a key of the line.
    fn press_in_search(&mut self, press: Press) -> Option<Edit> {
        let search = self.search.as_mut()?;
        let newest = self.history.len();
        let from = match (press.ctrl, press.alt, press.key) {
            (false, false, Key::Char(letter)) => {
                search.words.push(letter);
                search.found.map_or(newest, |found| found + 1)
            }
            (false, false, Key::Backspace) | (true, false, Key::Char('h')) => {
                search.words.pop();
                newest
            }
            (true, false, Key::Char('r')) => search.found.unwrap_or(newest),
            (true, false, Key::Char('g' | 'c')) => {
                self.line = self.search.take()?.before;
                return Some(Edit::Changed);
            }
            (false, false, Key::Escape) => {
                self.end_search();
                return Some(Edit::Changed);
            }
            _ => {
                self.end_search();
                return None;
            }
        };
        let is_found = |line: &Line| line.text.contains(search.words.as_str());
        let found = self.history.iter().take(from).rposition(is_found);
        let found = found.filter(|_| !search.words.is_empty());
        search.found = found.or(search.found.filter(|_| press == Press::ctrl('r')));
        if let Some(place) = search.found {
            self.line = self.recalled_line(place);
        }
        Some(Edit::Changed)
    }
}

#[cfg(test)]
#[path = "editor/tests.rs"]
mod tests;
