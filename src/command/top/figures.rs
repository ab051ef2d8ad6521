//! The rates, the loop, the letters, what was refused and ended, and the graphs.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Sparkline};

use super::model::{Model, Part, Status};
use super::view::age;
use super::words::{bytes, count, fit, short_bytes, wrapped};
use crate::screen::escape;

/// Cells in front of the figures of a line.
const LABEL: usize = 13;
/// Rows of the screen from which on each graph has a row of its own.
const ROWS_FOR_GRAPHS: u16 = 30;
/// Graphs.
const GRAPHS: u16 = 3;

/// How many rows the figures take on a screen of this size, of `most`.
pub(super) fn rows(model: &Model, screen: Rect, most: u16) -> u16 {
    let rows = lines(model, screen.width).len() + usize::from(graph_rows(screen));
    u16::try_from(rows).unwrap_or(u16::MAX).min(most)
}

const fn graph_rows(screen: Rect) -> u16 {
    if screen.height < ROWS_FOR_GRAPHS { 1 } else { GRAPHS }
}

/// Draws the lines and, where there is room below them, the graphs.
pub(super) fn draw(frame: &mut Frame, model: &mut Model, area: Rect) {
    let lines = lines(model, area.width);
    let count = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let graphs = graph_rows(frame.area());
    let parts =
        [Constraint::Min(0), Constraint::Length(graphs.min(area.height - count.min(area.height)))];
    let [figures, graphs] = Layout::vertical(parts).areas(area);
    let first = model.figures_above(lines.len(), usize::from(figures.height));
    let style = age(model);
    let lines: Vec<_> = lines.into_iter().skip(first).map(|line| line.patch_style(style)).collect();
    frame.render_widget(Paragraph::new(lines), figures);
    draw_graphs(frame, model, graphs);
}

/// The lines as they are drawn: cut where they are too long, or whole while keys are about them.
fn lines(model: &Model, columns: u16) -> Vec<Line<'static>> {
    let is_chosen = model.part == Part::Figures;
    let style = if is_chosen { Style::new().add_modifier(Modifier::BOLD) } else { Style::new() };
    let rest = usize::from(columns).saturating_sub(LABEL);
    let mut lines = Vec::new();
    for (label, text) in figures(model) {
        let text = escape(&text).into_owned();
        let texts = if is_chosen {
            wrapped(&text, rest, rest)
        } else {
            vec![fit(&text, u16::try_from(rest).unwrap_or(u16::MAX))]
        };
        for (number, text) in texts.into_iter().enumerate() {
            let label = if number == 0 { label } else { "" };
            let label = Span::styled(format!(" {label:width$}", width = LABEL - 1), style);
            lines.push(Line::from(vec![label, Span::raw(text)]));
        }
    }
    lines
}

/// The last seconds, each graph with the most that it shows: below each other, or beside each
/// other where there is one row for all.
fn draw_graphs(frame: &mut Frame, model: &Model, area: Rect) {
    let places = if area.height < GRAPHS {
        Layout::horizontal([Constraint::Ratio(1, 3); 3]).spacing(1).split(area)
    } else {
        Layout::vertical([Constraint::Length(1); 3]).split(area)
    };
    for ((label, series), place) in
        ["messages", "bytes", "loop"].iter().zip(&model.series).zip(places.iter())
    {
        // How wide the words are depends on what is shown, so they have room for all figures.
        let words = if area.height < GRAPHS { 19 } else { LABEL + 16 };
        let parts = [Constraint::Length(u16::try_from(words).unwrap_or(0)), Constraint::Min(0)];
        let [words, chart] = Layout::horizontal(parts).areas(*place);
        let first = series.len().saturating_sub(usize::from(chart.width));
        let data: Vec<u64> = series.iter().skip(first).copied().collect();
        let most = data.iter().copied().max().unwrap_or_default();
        #[allow(clippy::cast_precision_loss)] // shown with three digits
        let most = most as f64;
        let is_short = area.height < GRAPHS;
        let most = match *label {
            "messages" => format!("{}/s", count(most)),
            "bytes" if is_short => format!("{}/s", short_bytes(most)),
            "bytes" => format!("{}/s", bytes(most)),
            _ => format!("{:.1} %", most / 10.0),
        };
        let text = match *label {
            "messages" if is_short => format!(" msgs max {most}"),
            label if is_short => format!(" {label} max {most}"),
            label => format!(" {label:width$}max {most}", width = LABEL - 1),
        };
        let style = age(model);
        frame.render_widget(Line::styled(fit(&text, words.width), style), words);
        frame.render_widget(Sparkline::default().data(data).style(style.fg(Color::Cyan)), chart);
    }
}

/// The figures, a line each, the most asked for first in each.
fn figures(model: &Model) -> Vec<(&'static str, String)> {
    let unknown = Status::default();
    let status = model.status.as_ref().unwrap_or(&unknown);
    let rates = model.rates;
    let or = |value: Option<u64>| value.map_or("?".to_owned(), |value| value.to_string());
    let counter = |name: &str| model.counters.get(name).copied().unwrap_or(0);
    #[allow(clippy::cast_precision_loss)] // shown with three digits
    let size = |value: u64| bytes(value as f64);
    let microseconds = status.longest_tick_ns / 1000;
    let (connections, most) = (status.connections, status.max_connections);
    let (users, tls, away) = (status.users, status.tls, counter("turned_away"));
    let [stored, delivered, expired, failed] =
        ["stored", "delivered", "expired", "failed"].map(|it| counter(&format!("letters_{it}")));
    let [letters, names] = [or(status.letters), status.names.to_string()];
    let waiting = status.letter_bytes.map_or("?".to_owned(), size);
    vec![
        (
            "connections",
            format!("{connections} of {most}, {users} users, {tls} with TLS, {away} turned away"),
        ),
        (
            "messages",
            format!(
                "{}/s, {} so far, {} queued, {} unfinished",
                count(rates.messages),
                status.messages,
                size(status.queued_bytes),
                size(status.kept_bytes)
            ),
        ),
        (
            "bytes",
            format!(
                "in {}/s, out {}/s, {} and {} so far",
                bytes(rates.received),
                bytes(rates.sent),
                size(status.received_bytes),
                size(status.sent_bytes)
            ),
        ),
        (
            "loop",
            format!(
                "{:.1} %, longest tick {}.{:03} ms, {} ticks/s, {} events/s",
                rates.busy * 100.0,
                microseconds / 1000,
                microseconds % 1000,
                count(rates.ticks),
                count(rates.events)
            ),
        ),
        (
            "process",
            format!(
                "{} of memory, {} of {} descriptors, {names} names bound",
                status.memory_bytes.map_or("?".to_owned(), size),
                or(status.descriptors),
                or(status.max_descriptors)
            ),
        ),
        (
            "letters",
            format!(
                "{letters} wait ({waiting}), {stored} stored, {delivered} delivered, {expired} \
                 expired, {failed} failed"
            ),
        ),
        ("refused", most_of(model, "refused_", &["held_back_", "accept_failed"])),
        ("ended", most_of(model, "ended_", &["lost_", "tls_failed_", "cut_off"])),
    ]
}

/// The counters of a group without its name, and others that belong to it, the largest first.
fn most_of(model: &Model, group: &str, others: &[&str]) -> String {
    let is_other = |name: &str| others.iter().any(|other| name.starts_with(other));
    let name = |name: &'_ String| match name.strip_prefix(group) {
        Some(rest) => Some(rest.to_owned()),
        None => is_other(name).then(|| name.clone()),
    };
    let counters = model.counters.iter();
    let mut found: Vec<_> = counters.filter_map(|(it, count)| Some((name(it)?, *count))).collect();
    found.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let words: Vec<_> = found.iter().map(|(name, count)| format!("{count} {name}")).collect();
    if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
}
