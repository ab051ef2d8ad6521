//! How a [`Model`] is drawn. All that came from the relay is escaped here.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Paragraph, Sparkline};

use super::model::{Entry, Model, Sort, Status, User};
use crate::screen::{cut, escape, isolate};

/// Which part of the keyboard is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    #[default]
    Watching,
    /// The words of the filter are typed.
    Filtering,
    /// The keys are shown.
    Help,
}

const KEYS: &str = " q quit  p pause  c clear  / filter  v level  s sort  r reverse  ? keys";
const HELP: [(&str, &str); 10] = [
    ("p", "hold the log back; again: go on"),
    ("c", "clear the log"),
    ("/", "show only lines with some words; Enter ends, Esc shows all"),
    ("v", "level: normal, verbose, debug (each message), quiet"),
    ("↑ ↓ PgUp PgDn", "scroll the log"),
    ("Home End", "the oldest line, the newest line"),
    ("s r", "sort users by another column, in reverse"),
    ("Ctrl-L", "draw everything again"),
    ("Ctrl-Z", "stop until 'fg'"),
    ("q Ctrl-C", "leave; the relay goes on"),
];

/// Draws everything.
pub(super) fn draw(frame: &mut Frame, model: &Model, mode: Mode) {
    let rows = [
        Constraint::Length(1),
        Constraint::Length(6),
        Constraint::Percentage(35),
        Constraint::Min(3),
        Constraint::Length(1),
    ];
    let [head, figures, users, log, keys] = Layout::vertical(rows).areas(frame.area());
    frame.render_widget(title(model, head.width), head);
    draw_figures(frame, model, figures);
    draw_users(frame, model, users);
    draw_log(frame, model, log);
    let bottom = match mode {
        Mode::Filtering => format!(" filter: {}▏", escape(&model.filter)),
        _ => KEYS.to_owned(),
    };
    frame.render_widget(Line::from(fit(&bottom, keys.width)).reversed(), keys);
    if mode == Mode::Help {
        draw_help(frame);
    }
}

/// Text of the relay's: escaped, from right to left isolated, and cut to so many cells.
fn shown(text: &str, columns: usize) -> String {
    let escaped = escape(text);
    isolate(&cut(&escaped, columns)).into_owned()
}

fn fit(text: &str, columns: u16) -> String {
    cut(text, usize::from(columns)).into_owned()
}

fn title(model: &Model, columns: u16) -> Line<'static> {
    let status = model.status.as_ref();
    let who = status.map_or_else(String::new, |status| {
        let at = status.listening.first().map_or("", String::as_str);
        let (uptime, pid) = (duration(status.uptime_ms / 1000), status.pid);
        format!(" {} · {at} · process {pid} · up {uptime}", status.version)
    });
    let (state, style) = match (&model.fault, status) {
        (Some(fault), _) | (None, Some(Status { fault: Some(fault), .. })) => {
            (fault.clone(), Style::new().red())
        }
        (None, None) => ("connecting".to_owned(), Style::new().yellow()),
        (None, Some(Status { draining: true, .. })) => {
            ("it is leaving".to_owned(), Style::new().yellow())
        }
        (None, Some(_)) => ("serving".to_owned(), Style::new().green()),
    };
    let columns = usize::from(columns);
    let left = shown(&format!("sealwax{who} · "), columns);
    let rest = columns.saturating_sub(crate::screen::width(&left));
    Line::from(vec![Span::raw(left).bold(), Span::styled(shown(&state, rest), style)])
}

fn draw_figures(frame: &mut Frame, model: &Model, area: Rect) {
    let halves = [Constraint::Percentage(55), Constraint::Percentage(45)];
    let [left, right] = Layout::horizontal(halves).areas(area);
    let lines = figures(model).into_iter().map(|line| Line::from(fit(&line, left.width)));
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()), left);
    let rates = model.rates;
    let names = [
        format!("messages {}/s", count(rates.messages)),
        format!("bytes {}/s", bytes(rates.received + rates.sent)),
        format!("loop {:.1} %", rates.busy * 100.0),
    ];
    let rows = Layout::vertical([Constraint::Length(2); 3]).split(right);
    for ((name, series), row) in names.iter().zip(&model.series).zip(rows.iter()) {
        let parts = [Constraint::Length(22), Constraint::Min(1)];
        let [label, chart] = Layout::horizontal(parts).areas(*row);
        frame.render_widget(Line::from(fit(name, label.width)), label);
        let first = series.len().saturating_sub(usize::from(chart.width));
        let data: Vec<u64> = series.iter().skip(first).copied().collect();
        frame.render_widget(Sparkline::default().data(data).style(Color::Cyan), chart);
    }
}

/// The figures on the left, a line each.
fn figures(model: &Model) -> Vec<String> {
    let unknown = Status::default();
    let status = model.status.as_ref().unwrap_or(&unknown);
    let rates = model.rates;
    let or = |value: Option<u64>| value.map_or("?".to_owned(), |value| value.to_string());
    let refused = model.counters.iter().filter(|(name, _)| name.starts_with("refused_"));
    let mut refused: Vec<_> = refused.collect();
    refused.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let refused: Vec<_> = refused
        .iter()
        .map(|(name, count)| format!("{count} {}", shown(&name["refused_".len()..], 24)))
        .collect();
    let registered = model.counters.get("registered").copied().unwrap_or(0);
    #[allow(clippy::cast_precision_loss)] // shown with three digits
    let size = |value: u64| bytes(value as f64);
    let milliseconds = status.longest_tick_ns / 1000;
    vec![
        format!(
            " connections {} of {}, {} users, {} with TLS, {} registered so far",
            status.connections, status.max_connections, status.users, status.tls, registered
        ),
        format!(
            " messages    {} so far, {}/s; {} names bound",
            status.messages,
            count(rates.messages),
            status.names
        ),
        format!(
            " bytes       in {} ({}/s), out {} ({}/s), queued {}, unfinished {}",
            size(status.received_bytes),
            bytes(rates.received),
            size(status.sent_bytes),
            bytes(rates.sent),
            size(status.queued_bytes),
            size(status.kept_bytes)
        ),
        format!(
            " loop        {:.1} % of a processor, longest tick {}.{:03} ms, {} ticks/s, {} events",
            rates.busy * 100.0,
            milliseconds / 1000,
            milliseconds % 1000,
            count(rates.ticks),
            count(rates.events)
        ),
        format!(
            " process     {} of memory, {} of {} descriptors",
            status.memory_bytes.map_or("?".to_owned(), size),
            or(status.descriptors),
            or(status.max_descriptors)
        ),
        format!(
            " refused     {}",
            if refused.is_empty() { "nothing".into() } else { refused.join(", ") }
        ),
    ]
}

fn draw_users(frame: &mut Frame, model: &Model, area: Rect) {
    let (users, columns) = (model.users(), usize::from(area.width));
    let in_all = model.status.as_ref().map_or(0, |status| status.users);
    let by = match model.sort {
        Sort::Name => "name",
        Sort::Since => "since",
        Sort::Received => "in",
        Sort::Sent => "out",
        Sort::Queued => "queued",
    };
    let reversed = if model.is_reversed { ", reversed" } else { "" };
    let title = format!(" users: {} of {in_all}, by {by}{reversed} ", users.len());
    let block = Block::new().borders(Borders::TOP).title(fit(&title, area.width));
    let now = model.status.as_ref().map_or(0, |status| status.now);
    let head = format!(
        " {:<24} v {:<28} {:>9} {:>9} {:>9} {:>9}",
        "name", "address", "since", "in", "out", "queued"
    );
    let rows = usize::from(area.height).saturating_sub(2);
    let mut lines = vec![Line::from(fit(&head, area.width)).dim()];
    lines.extend(users.iter().take(rows).map(|user| user_line(user, now, columns)));
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn user_line(user: &User, now: u64, columns: usize) -> Line<'static> {
    let padded = |text: &str, cells: usize| {
        let text = shown(text, cells);
        let width = crate::screen::width(&text);
        format!("{text}{}", " ".repeat(cells.saturating_sub(width)))
    };
    #[allow(clippy::cast_precision_loss)] // shown with three digits
    let size = |value: u64| bytes(value as f64);
    let line = format!(
        " {} {} {} {:>9} {:>9} {:>9} {:>9}",
        padded(&user.name, 24),
        user.version,
        padded(user.address.as_deref().unwrap_or("?"), 28),
        duration(now.saturating_sub(user.since) / 1000),
        size(user.received),
        size(user.sent),
        size(user.queued)
    );
    let style = if user.held { Style::new().yellow() } else { Style::new() };
    Line::styled(cut(&line, columns).into_owned(), style)
}

fn draw_log(frame: &mut Frame, model: &Model, area: Rect) {
    let level = format!("{:?}", model.level).to_lowercase();
    let with = match model.filter.as_str() {
        "" => String::new(),
        words => format!(", with “{}”", escape(words)),
    };
    let paused = if model.is_paused {
        format!(", paused ({} lines wait)", model.waiting())
    } else {
        String::new()
    };
    let scrolled = if model.scroll > 0 { ", scrolled (End: the newest)" } else { "" };
    let title = format!(" log: {level}{with}{paused}{scrolled} ");
    let block = Block::new().borders(Borders::TOP).title(fit(&title, area.width));
    let rows = usize::from(area.height).saturating_sub(1);
    let lines = model.log(rows).into_iter().map(|entry| log_line(entry, area.width));
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()).block(block), area);
}

fn log_line(entry: &Entry, columns: u16) -> Line<'static> {
    let colour = match entry.kind.as_str() {
        "success" => Color::Green,
        "warning" => Color::Yellow,
        "error" => Color::Red,
        "system" => Color::Magenta,
        _ => Color::Cyan,
    };
    // Of a time with its date, the time of the day.
    let time = shown(entry.time.get(11..19).unwrap_or_default(), 8);
    let kind = format!(" {:7} ", shown(&entry.kind, 7));
    let rest = usize::from(columns).saturating_sub(time.len() + kind.len());
    Line::from(vec![
        Span::raw(time).dim(),
        Span::styled(kind, colour),
        Span::raw(shown(&entry.text, rest)),
    ])
}

fn draw_help(frame: &mut Frame) {
    let screen = frame.area();
    let (width, height) = (76.min(screen.width), 12.min(screen.height));
    let (x, y) = ((screen.width - width) / 2, (screen.height - height) / 2);
    let area = Rect { x, y, width, height };
    let line = |(key, does): &(&str, &str)| {
        let key =
            format!("{key}{}", " ".repeat(15_usize.saturating_sub(crate::screen::width(key))));
        Line::from(fit(&format!(" {key}{does}"), width.saturating_sub(2)))
    };
    let lines: Vec<_> = HELP.iter().map(line).collect();
    let block = Block::bordered().title(" keys ");
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

/// Seconds, in the two largest units.
fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

fn count(value: f64) -> String {
    if value < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

/// Bytes with three digits.
fn bytes(value: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (value, 0);
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && value < 100.0);
    format!("{value:.digits$} {}", units[unit])
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use serde_json::json;

    use super::*;

    fn screen(model: &Model, mode: Mode, columns: u16, rows: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
        terminal.draw(|frame| draw(frame, model, mode)).unwrap();
        terminal.backend().to_string()
    }

    fn busy() -> Model {
        let mut model = Model::default();
        let status = |uptime: u64, messages: u64| {
            json!({"pid": 7, "version": "0.1.0", "uptime_ms": uptime, "messages": messages,
                   "listening": ["127.0.0.1:12345"], "connections": 2, "max_connections": 100,
                   "users": 2, "memory_bytes": 10_485_760, "now": 1_000_000})
        };
        model.take_status(status(1000, 0));
        model.take_status(status(2000, 50));
        let users = json!([
            {"name": "alice", "version": 2, "since": 940_000, "in": 2048, "address": "[::1]:1"},
            {"name": "\x1b[31mev\u{202e}il\n", "version": 1, "since": 0},
        ]);
        model.take_users(json!({"users": users, "next": null}));
        model.take_counters(json!({"counters": {"refused_bad_frame": 3, "registered": 2}}));
        let line = json!({"time": "2026-11-28T17:00:01.000Z"});
        let text = "\x1b]0;x\x07 was refused";
        model.take_log(&json!({"kind": "warning", "text": text, "line": line}));
        model
    }

    #[test]
    fn a_relay_is_shown_with_its_users_and_its_log() {
        let shown = screen(&busy(), Mode::Watching, 120, 30);
        for words in [
            "0.1.0 · 127.0.0.1:12345 · process 7 · up 2 s · serving",
            "connections 2 of 100, 2 users, 0 with TLS, 2 registered so far",
            "50 so far, 50/s",
            "10.0 MiB of memory",
            "3 bad_frame",
            "alice",
            "1 min 0 s",
            "2.0 KiB",
            "17:00:01 warning",
            "q quit",
        ] {
            assert!(shown.contains(words), "{words}:\n{shown}");
        }
    }

    #[test]
    fn nothing_of_the_network_steers_the_terminal_on_a_screen_of_any_size() {
        for (columns, rows) in [(1, 1), (5, 3), (20, 8), (80, 24), (300, 100)] {
            for mode in [Mode::Watching, Mode::Filtering, Mode::Help] {
                let mut model = busy();
                model.fault = Some("\x1b[2J\u{9b}31m\u{202e}".to_owned());
                let shown = screen(&model, mode, columns, rows);
                let steers =
                    |letter: char| letter.is_control() && letter != '\n' || letter == '\u{202e}';
                assert!(!shown.contains(steers), "{columns}x{rows}: {shown:?}");
            }
        }
        let shown = screen(&busy(), Mode::Watching, 120, 30);
        assert!(shown.contains("\\u{1b}[31mev\\u{202e}il\\n"), "{shown}");
        assert!(shown.contains("\\u{1b}]0;x\\u{7} was refused"), "{shown}");
    }
}
