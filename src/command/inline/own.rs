//! What the user has written, and what became of it.
//!
//! A line whose fate is not known stays near the input, where its mark can still change. It goes to
//! the lines above when it is delivered (`✓`), has failed (`✗`) or is stored for a user who is away
//! (`·`), and also (`·`) when newer ones need its place; what became of it then is told in a line
//! of its own.

use std::collections::{BTreeMap, VecDeque};

use crate::client::Event;
use crate::command::view;
use crate::limits::WINDOW;
use crate::screen::{cut, escape, isolate};

/// The most rows of lines whose fate is not known.
pub(super) const ROWS: usize = 3;
/// Lines without a fate that are remembered once they are printed: as many as one user may have
/// unconfirmed.
const REMEMBERED: usize = WINDOW;
/// Columns of a text that is told a second time.
const SHORT: usize = 48;

/// Own lines without a fate.
#[derive(Debug, Default)]
pub(super) struct OwnLines {
    /// Those near the input, the oldest first.
    near: VecDeque<Line>,
    /// Those that are printed already.
    printed: VecDeque<Line>,
    /// What was delivered of these since the last frame, by user: how many, and the last text.
    late: BTreeMap<String, (usize, String)>,
}

#[derive(Debug)]
struct Line {
    id: String,
    to: String,
    text: String,
}

impl Line {
    /// With its mark, whole.
    fn with(&self, mark: char) -> String {
        format!("{mark} → {}: {}", escape(&self.to), view::isolated(&self.text))
    }

    fn short(mut self) -> Self {
        self.text = cut(&escape(&self.text), SHORT).into_owned();
        self
    }
}

impl OwnLines {
    pub(super) fn said(&mut self, id: &str, to: &str, text: &str) {
        let line = Line { id: id.to_owned(), to: to.to_owned(), text: text.to_owned() };
        self.near.push_back(line);
    }

    /// What `event` says of an own line, as lines to be printed.
    pub(super) fn note(&mut self, event: &Event) -> Vec<String> {
        let mut lines = match event {
            Event::Delivered { id, to, stored_at: None } => self.settle(id, to, '✓'),
            Event::Failed { id, to, .. } => self.settle(id, to, '✗'),
            Event::Stored { id, to } => match take(&mut self.near, id, to) {
                Some(line) => {
                    let shown = format!("{} (stored)", line.with('·'));
                    self.remember(line);
                    vec![shown]
                }
                None => Vec::new(),
            },
            _ => Vec::new(),
        };
        while self.near.len() > ROWS
            && let Some(line) = self.near.pop_front()
        {
            lines.push(line.with('·'));
            self.remember(line);
        }
        lines
    }

    fn settle(&mut self, id: &str, to: &str, mark: char) -> Vec<String> {
        if let Some(line) = take(&mut self.near, id, to) {
            return vec![line.with(mark)];
        }
        let Some(line) = take(&mut self.printed, id, to) else { return Vec::new() };
        if mark == '✗' {
            return vec![line.with(mark)];
        }
        let late = self.late.entry(line.to).or_default();
        *late = (late.0 + 1, line.text);
        Vec::new()
    }

    fn remember(&mut self, line: Line) {
        self.printed.push_back(line.short());
        if self.printed.len() > REMEMBERED {
            self.printed.pop_front();
        }
    }

    /// What was delivered of lines that are printed already, a line for each user.
    pub(super) fn take_late(&mut self) -> Vec<String> {
        let late = std::mem::take(&mut self.late).into_iter();
        late.map(|(to, (count, text))| match count {
            1 => format!("✓ → {}: {} (written earlier)", escape(&to), isolate(&text)),
            count => format!("✓ → {}: {count} earlier messages", escape(&to)),
        })
        .collect()
    }

    /// All that stands near the input, to be printed as it is.
    pub(super) fn take_all(&mut self) -> Vec<String> {
        let mut lines = self.take_late();
        lines.extend(self.near.drain(..).map(|line| line.with('·')));
        lines
    }

    /// A row for each of the newest `most` lines near the input.
    pub(super) fn rows(&self, most: usize) -> Vec<String> {
        let skipped = self.near.len().saturating_sub(most);
        let row = |line: &Line| {
            format!("· → {}: {}", escape(&line.to), isolate(&escape(&line.text.replace('\n', "⏎"))))
        };
        self.near.iter().skip(skipped).map(row).collect()
    }
}

fn take(lines: &mut VecDeque<Line>, id: &str, to: &str) -> Option<Line> {
    let place = lines.iter().position(|line| line.id == id && line.to == to)?;
    lines.remove(place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Failure;

    fn delivered(id: &str) -> Event {
        Event::Delivered { id: id.into(), to: "bob".into(), stored_at: None }
    }

    #[test]
    fn a_line_is_printed_with_what_became_of_it() {
        let mut own = OwnLines::default();
        own.said("1", "bob", "one");
        own.said("2", "bob", "two\nlines");
        assert_eq!(own.rows(3), ["· → bob: one", "· → bob: two⏎lines"]);
        assert_eq!(own.note(&delivered("1")), ["✓ → bob: one"]);
        let (to, detail) = ("bob".to_owned(), String::new());
        let failed = Event::Failed { id: "2".into(), to, code: Failure::Refused, detail };
        assert_eq!(own.note(&failed), ["✗ → bob: two\n    lines"]);
        assert!(own.rows(3).is_empty());
        assert!(own.note(&delivered("1")).is_empty(), "it is told once");
    }

    #[test]
    fn what_is_stored_or_pushed_out_is_told_of_later() {
        let mut own = OwnLines::default();
        own.said("1", "bob", "one");
        let stored = Event::Stored { id: "1".into(), to: "bob".into() };
        assert_eq!(own.note(&stored), ["· → bob: one (stored)"]);
        own.note(&delivered("1"));
        assert_eq!(own.take_late(), ["✓ → bob: one (written earlier)"]);
        for number in 2..=7 {
            own.said(&number.to_string(), "bob", &format!("text {number}"));
        }
        let printed = own.note(&Event::LetterboxEmpty {});
        assert_eq!(printed, ["· → bob: text 2", "· → bob: text 3", "· → bob: text 4"]);
        own.note(&delivered("2"));
        own.note(&delivered("3"));
        assert_eq!(own.take_late(), ["✓ → bob: 2 earlier messages"]);
        assert_eq!(own.take_all(), ["· → bob: text 5", "· → bob: text 6", "· → bob: text 7"]);
    }
}
