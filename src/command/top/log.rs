//! The log: each event whole, over as many rows as it takes.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::model::{Entry, Model, Part};
use super::view::{WARNING, heading};
use super::words::{padded, wrapped};
use crate::screen::escape;

/// Cells of the time and the kind of an event.
const BEFORE: usize = 17;
/// Columns from which on the further rows of an event stand below the first one's words.
const COLUMNS_FOR_INDENT: usize = 60;

pub(super) fn draw(frame: &mut Frame, model: &mut Model, area: Rect) {
    let level = format!("{:?}", model.level).to_lowercase();
    let with = match model.log_filter.as_str() {
        "" => String::new(),
        words => format!(", with “{}”", escape(words)),
    };
    let paused = if model.is_paused {
        format!(", paused ({} lines wait)", model.waiting())
    } else {
        String::new()
    };
    let rows = usize::from(area.height).saturating_sub(1);
    let columns = usize::from(area.width);
    let entries = model.log(rows, |entry| texts(entry, columns).len());
    let lines: Vec<_> = entries.into_iter().flat_map(|entry| lines(entry, columns)).collect();
    let first = lines.len().saturating_sub(rows);
    let lines: Vec<_> = lines.into_iter().skip(first).collect();
    let scrolled = if model.scroll > 0 { ", scrolled (End: the newest)" } else { "" };
    let title = format!(" log: {level}{with}{paused}{scrolled} ");
    let block = heading(model, Part::Log, &title, area.width);
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn indent(columns: usize) -> usize {
    if columns < COLUMNS_FOR_INDENT { 2 } else { BEFORE }
}

fn texts(entry: &Entry, columns: usize) -> Vec<String> {
    let [first, rest] = [BEFORE, indent(columns)].map(|used| columns.saturating_sub(used));
    wrapped(&escape(&entry.text), first, rest)
}

fn lines(entry: &Entry, columns: usize) -> Vec<Line<'static>> {
    let style = match entry.kind.as_str() {
        "success" => Style::new().fg(Color::Green),
        "warning" => WARNING,
        "error" => Style::new().fg(Color::Red),
        "system" => Style::new().fg(Color::Magenta),
        _ => Style::new(),
    };
    let mut texts = texts(entry, columns).into_iter();
    let mut lines = vec![Line::from(vec![
        Span::raw(padded(&entry.time, 8)).dim(),
        Span::raw(" "),
        Span::styled(padded(&entry.kind, 7), style),
        Span::raw(" "),
        Span::raw(texts.next().unwrap_or_default()),
    ])];
    let indent = " ".repeat(indent(columns));
    lines.extend(texts.map(|text| Line::from(format!("{indent}{text}"))));
    lines
}
