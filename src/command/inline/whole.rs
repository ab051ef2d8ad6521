//! The whole screen (`--screen`, F2): users on the left, the conversation with whoever is chosen,
//! the status and the line that is being written.
//!
//! A picture of the state: drawn by `ratatui`, whose bytes are sent like any frame.

use super::conversations::Line;
use super::names::Colour;
use crate::client::Trust;
use crate::screen::{ByteBackend, Prompt, Size, cut, escape, width, wrap_all};
use ratatui::Terminal;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line as Row, Span, Text};

/// The widest list of users, in columns.
const USERS: u16 = 22;

/// The columns of the conversation.
pub(super) fn columns(size: Size) -> usize {
    usize::from(size.columns.saturating_sub(USERS.min(size.columns / 3) + 1))
}

/// One user of the list.
pub(in crate::command) struct User {
    pub(in crate::command) name: String,
    pub(in crate::command) is_here: bool,
    /// How far the key is trusted; `None`: none is known.
    pub(in crate::command) trust: Option<Trust>,
    /// It is another key than the one that was known.
    pub(in crate::command) is_changed: bool,
    pub(in crate::command) unread: usize,
}

/// What is drawn.
pub(super) struct Picture<'a> {
    pub(super) users: &'a [User],
    pub(super) heading: Heading<'a>,
    /// The lines of the conversation, the oldest first.
    pub(super) lines: Vec<&'a Line>,
    pub(super) status: &'a str,
    pub(super) prompt: &'a Prompt,
}

/// Whose conversation is shown.
pub(super) struct Heading<'a> {
    /// None: nobody is chosen.
    pub(super) name: Option<&'a str>,
    pub(super) colour: Colour,
    pub(super) fp: Option<String>,
    /// How far that key is trusted.
    pub(super) trust: &'a str,
}

/// The whole screen.
pub(super) struct Whole {
    terminal: Terminal<ByteBackend>,
    /// How many rows above the end the conversation is shown.
    scrolled: usize,
}

impl Whole {
    /// An empty screen of this size.
    pub(super) fn new(size: Size, is_plain: bool) -> Option<Self> {
        let terminal = Terminal::new(ByteBackend::new(size, is_plain)).ok()?; // never fails
        Some(Self { terminal, scrolled: 0 })
    }

    pub(super) fn resize(&mut self, size: Size) {
        self.terminal.backend_mut().resize(size);
    }

    /// Nothing of ours is on the screen any more.
    pub(super) fn forget(&mut self) {
        let Ok(()) = self.terminal.clear();
    }

    /// Shows an earlier (`true`) or later part of the conversation.
    pub(super) fn scroll(&mut self, is_up: bool, rows: u16) {
        let page = usize::from(rows / 2).max(1);
        self.scrolled =
            if is_up { self.scrolled + page } else { self.scrolled.saturating_sub(page) };
    }

    /// Whether later lines are not shown.
    pub(super) fn is_scrolled(&self) -> bool {
        self.scrolled > 0
    }

    /// Shows the end of a conversation.
    pub(super) fn show_end(&mut self) {
        self.scrolled = 0;
    }

    /// The bytes that draw `picture`.
    pub(super) fn draw(&mut self, picture: &Picture<'_>) -> String {
        let scrolled = &mut self.scrolled;
        let Ok(_) = self.terminal.draw(|frame| {
            let [top, status, prompt] = Layout::vertical([
                Constraint::Min(0),
                Constraint::Length(1),
                Constraint::Length(1),
            ])
            .areas(frame.area());
            let list = USERS.min(top.width / 3);
            let [users, gap, lines] = Layout::horizontal([
                Constraint::Length(list),
                Constraint::Length(1),
                Constraint::Min(0),
            ])
            .areas(top);
            let [heading, lines] =
                Layout::vertical([Constraint::Length(1), Constraint::Min(0)]).areas(lines);
            frame.render_widget(list_of(picture, users), users);
            frame.render_widget(Text::from(vec![Row::from("│"); usize::from(gap.height)]), gap);
            frame.render_widget(row_of(&picture.heading), heading);
            frame.render_widget(end_of(&picture.lines, lines, scrolled), lines);
            frame.render_widget(Row::from(picture.status).style(Style::new().reversed()), status);
            let Prompt { label, before, after } = picture.prompt;
            frame.render_widget(Row::from(format!("{label}{before}{after}")), prompt);
            let column = u16::try_from(width(label) + width(before)).unwrap_or(u16::MAX);
            let last = prompt.right().saturating_sub(1);
            frame.set_cursor_position((prompt.x.saturating_add(column).min(last), prompt.y));
        });
        self.terminal.backend_mut().take()
    }
}

/// The list of users: `✓` verified, `!` key changed, and how many of their texts are unread.
fn list_of<'a>(picture: &Picture<'a>, area: Rect) -> Text<'a> {
    let line = |user: &'a User| {
        let mark = match user.trust {
            _ if user.is_changed => "!",
            Some(Trust::Verified) => "✓",
            Some(Trust::Tofu) | None => " ",
        };
        let unread = if user.unread > 0 { format!(" {}", user.unread) } else { String::new() };
        let room = usize::from(area.width).saturating_sub(2 + unread.len());
        let line = Row::from(format!("{mark} {}{unread}", cut(&user.name, room)));
        let line = if user.is_here { line } else { line.dim() };
        let line = if user.unread > 0 { line.bold() } else { line };
        if picture.heading.name == Some(&user.name) { line.reversed() } else { line }
    };
    picture.users.iter().take(usize::from(area.height)).map(line).collect()
}

/// A name in bold letters of this colour.
fn bold(name: impl Into<String>, colour: Colour) -> Span<'static> {
    let style = Style::new().bold();
    let style = colour.0.map_or(style, |number| style.fg(Color::Indexed(number)));
    Span::styled(name.into(), style)
}

fn row_of(heading: &Heading<'_>) -> Row<'static> {
    let Some(name) = heading.name else {
        return Row::from("nobody is chosen: /to NAME, or Alt-Right").underlined();
    };
    let key = match &heading.fp {
        Some(fp) => format!(" {fp} ({})", heading.trust),
        None => format!(" ({})", heading.trust),
    };
    Row::from(vec![bold(escape(name), heading.colour), Span::from(key)]).underlined()
}

/// The end of a conversation, `scrolled` rows up, as far as there are such.
fn end_of(lines: &[&Line], area: Rect, scrolled: &mut usize) -> Text<'static> {
    let (columns, height) = (usize::from(area.width), usize::from(area.height));
    let mut rows: Vec<Row> = Vec::new(); // from the last one up
    for line in lines.iter().rev() {
        let mut wrapped = rows_of(line, columns);
        wrapped.reverse();
        rows.append(&mut wrapped);
        if rows.len() >= height + *scrolled {
            break;
        }
    }
    *scrolled = (*scrolled).min(rows.len().saturating_sub(height));
    rows.into_iter().skip(*scrolled).take(height).rev().collect()
}

/// A line in rows; its name stands out, as far as it is in the first one.
fn rows_of(line: &Line, columns: usize) -> Vec<Row<'static>> {
    let shown = line.shown();
    let mut rows = shown.text.split('\n').flat_map(|part| wrap_all(part, columns));
    let first = rows.next().unwrap_or_default();
    let first = match (first.get(..shown.name.start), first.get(shown.name.clone())) {
        (Some(before), Some(name)) if !name.is_empty() => Row::from(vec![
            Span::from(before.to_owned()),
            bold(name, shown.colour),
            Span::from(first[shown.name.end..].to_owned()),
        ]),
        _ => Row::from(first),
    };
    std::iter::once(first).chain(rows.map(Row::from)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::conversations::Said;
    use super::*;

    fn user(name: &str, unread: usize) -> User {
        User { name: name.into(), is_here: true, trust: None, is_changed: false, unread }
    }

    fn by(name: &str, text: &str) -> Line {
        let (name, text, colour) = (name.to_owned(), text.to_owned(), Colour(Some(160)));
        Line { time: String::new(), said: Said::By { name, colour, text } }
    }

    #[test]
    fn three_zones() {
        let mut whole = Whole::new(Size { columns: 30, rows: 6 }, false).unwrap();
        let prompt = Prompt { label: "bob> ".into(), before: "hi".into(), after: String::new() };
        let users = [user("bob", 0), user("carol", 2)];
        let lines = [by("bob", "one"), by("bob", "a line that is too long")];
        let colour = Colour(Some(160));
        let fp = Some("SHA256:x".to_owned());
        let picture = Picture {
            users: &users,
            heading: Heading { name: Some("bob"), colour, fp, trust: "accepted" },
            lines: lines.iter().collect(),
            status: " to bob ",
            prompt: &prompt,
        };
        let bytes = whole.draw(&picture); // without the spaces, which were there
        for part in ["carol 2", "one", "\x1b[4;16Htoo", " to bob ", "bob>", "hi", "SHA256:x"] {
            assert!(bytes.contains(part), "{part:?} in {bytes:?}");
        }
        assert_eq!(bytes.matches("\x1b[0;1;38;5;160mbob").count(), 2, "{bytes:?}");
        assert!(bytes.contains("\x1b[0;1;4;38;5;160mbob"), "the heading: {bytes:?}");
        assert!(bytes.ends_with("\x1b[6;8H"), "{bytes:?}");
    }

    #[test]
    fn a_conversation_is_scrolled_as_far_as_it_goes() {
        let lines: Vec<Line> = (0..10).map(|number| by("x", &format!("line {number}"))).collect();
        let lines: Vec<&Line> = lines.iter().collect();
        let mut scrolled = 100;
        let shown = end_of(&lines, Rect::new(0, 0, 20, 3), &mut scrolled).to_string();
        assert_eq!((shown.as_str(), scrolled), ("x: line 0\nx: line 1\nx: line 2", 7));
        scrolled = 0;
        let shown = end_of(&lines, Rect::new(0, 0, 20, 3), &mut scrolled).to_string();
        assert_eq!(shown, "x: line 7\nx: line 8\nx: line 9");
    }
}
