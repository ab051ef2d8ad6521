//! How a [`Model`] is drawn. All that came from the relay is escaped here.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Paragraph, Sparkline};

use super::model::{Entry, Model, Part, Sort, Status, User};
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

const KEYS: &str = " ? keys  q quit  Tab part  / filter  p pause  c clear  v level  s r sort";
const HELP: [(&str, &str); 11] = [
    ("Tab", "go to the next part: the log, the users, and on a small screen the figures"),
    ("↑ ↓ PgUp PgDn", "scroll that part"),
    ("Home End", "its beginning, its end"),
    ("/", "show only what has some words in it; Enter ends, Esc shows all"),
    ("p", "hold the log back; again: go on"),
    ("c", "clear the log"),
    ("v", "level of the log: normal, verbose, debug (each message), quiet"),
    ("s r", "sort users by another column, in reverse"),
    ("Ctrl-L", "draw everything again"),
    ("Ctrl-Z", "stop until 'fg'"),
    ("q Ctrl-C", "leave; the relay goes on"),
];
/// Rows below which one part at a time is shown.
pub(super) const ROWS_FOR_ALL: u16 = 20;
/// Rows of the figures: a line each, and the graphs.
const FIGURES: u16 = 9;

/// Draws everything.
pub(super) fn draw(frame: &mut Frame, model: &Model, mode: Mode) {
    let rows = [Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)];
    let [head, middle, keys] = Layout::vertical(rows).areas(frame.area());
    frame.render_widget(title(model, head.width), head);
    if frame.area().height < ROWS_FOR_ALL {
        match model.part {
            Part::Log => draw_log(frame, model, middle),
            Part::Users => draw_users(frame, model, middle),
            Part::Figures => draw_figures(frame, model, middle),
        }
    } else {
        let parts = [Constraint::Length(FIGURES), Constraint::Percentage(40), Constraint::Min(3)];
        let [figures, users, log] = Layout::vertical(parts).areas(middle);
        draw_figures(frame, model, figures);
        draw_users(frame, model, users);
        draw_log(frame, model, log);
    }
    let bottom = match mode {
        Mode::Filtering => format!(" filter of {}: {}▏", model.part.name(), escape(model.filter())),
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
        let at = status.listening.first().map_or(String::new(), |at| format!(" · {at}"));
        let (uptime, pid) = (duration(status.uptime_ms / 1000), status.pid);
        format!(" {}{at} · process {pid} · up {uptime}", status.version)
    });
    let (state, style) = match (&model.fault, status) {
        // Why, stands in the log; here is how old the figures are.
        (Some(_), Some(status)) => {
            (format!("gone, as of {}", clock(status.now)), Style::new().red())
        }
        (Some(fault), None) | (None, Some(Status { fault: Some(fault), .. })) => {
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
    let parts = [Constraint::Min(0), Constraint::Length(1)];
    let [lines, graphs] = Layout::vertical(parts).areas(area);
    // Figures of a relay that is gone are old.
    let style = if model.fault.is_some() { Style::new().dim() } else { Style::new() };
    let text = figures(model).into_iter().map(|line| Line::styled(fit(&line, lines.width), style));
    frame.render_widget(Paragraph::new(text.collect::<Vec<_>>()), lines);
    draw_graphs(frame, model, graphs);
}

/// The last seconds, beside each other, each with the most that it shows.
fn draw_graphs(frame: &mut Frame, model: &Model, area: Rect) {
    let thirds = Layout::horizontal([Constraint::Ratio(1, 3); 3]).split(area);
    for ((number, series), part) in (0..).zip(&model.series).zip(thirds.iter()) {
        let shown = usize::from(part.width / 2);
        let first = series.len().saturating_sub(shown);
        let data: Vec<u64> = series.iter().skip(first).copied().collect();
        let most = data.iter().copied().max().unwrap_or_default();
        #[allow(clippy::cast_precision_loss)] // shown with three digits
        let most = most as f64;
        let label = match number {
            0 => format!(" msgs max {}/s ", count(most)),
            1 => format!(" max {}/s ", bytes(most)),
            _ => format!(" loop max {:.1} % ", most / 10.0),
        };
        let width = u16::try_from(crate::screen::width(&label)).unwrap_or(u16::MAX);
        let parts = [Constraint::Length(width.min(part.width)), Constraint::Min(0)];
        let [words, chart] = Layout::horizontal(parts).areas(*part);
        frame.render_widget(Line::from(fit(&label, words.width)), words);
        frame.render_widget(Sparkline::default().data(data).style(Color::Cyan), chart);
    }
}

/// The figures, a line each, the most asked for first in each.
fn figures(model: &Model) -> Vec<String> {
    let unknown = Status::default();
    let status = model.status.as_ref().unwrap_or(&unknown);
    let rates = model.rates;
    let or = |value: Option<u64>| value.map_or("?".to_owned(), |value| value.to_string());
    let counter = |name: &str| model.counters.get(name).copied().unwrap_or(0);
    #[allow(clippy::cast_precision_loss)] // shown with three digits
    let size = |value: u64| bytes(value as f64);
    let microseconds = status.longest_tick_ns / 1000;
    vec![
        format!(
            " connections {} of {}, {} users, {} with TLS, {} turned away",
            status.connections,
            status.max_connections,
            status.users,
            status.tls,
            counter("turned_away")
        ),
        format!(
            " messages    {}/s, {} so far, {} queued, {} unfinished",
            count(rates.messages),
            status.messages,
            size(status.queued_bytes),
            size(status.kept_bytes)
        ),
        format!(
            " bytes       in {}/s, out {}/s, {} and {} so far",
            bytes(rates.received),
            bytes(rates.sent),
            size(status.received_bytes),
            size(status.sent_bytes)
        ),
        format!(
            " loop        {:.1} %, longest tick {}.{:03} ms, {} ticks/s, {} events/s",
            rates.busy * 100.0,
            microseconds / 1000,
            microseconds % 1000,
            count(rates.ticks),
            count(rates.events)
        ),
        format!(
            " process     {} of memory, {} of {} descriptors, {} names bound",
            status.memory_bytes.map_or("?".to_owned(), size),
            or(status.descriptors),
            or(status.max_descriptors),
            status.names
        ),
        format!(
            " letters     {} wait, {} stored, {} delivered, {} expired, {} failed",
            status.letter_bytes.map_or("?".to_owned(), size),
            counter("letters_stored"),
            counter("letters_delivered"),
            counter("letters_expired"),
            counter("letters_failed")
        ),
        format!(" refused     {}", most_of(model, "refused_")),
        format!(" ended       {}", most_of(model, "ended_")),
    ]
}

/// The counters of this group, the largest first.
fn most_of(model: &Model, group: &str) -> String {
    let counters = model.counters.iter();
    let mut found: Vec<_> =
        counters.filter_map(|(name, count)| Some((name.strip_prefix(group)?, *count))).collect();
    found.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let words: Vec<_> =
        found.iter().map(|(name, count)| format!("{count} {}", shown(name, 24))).collect();
    if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
}

/// The border above a part; bold where keys are about it.
fn heading(model: &Model, part: Part, title: &str, columns: u16) -> Block<'static> {
    let title = Span::raw(fit(title, columns));
    let title = if model.part == part { title.bold() } else { title.dim() };
    Block::new().borders(Borders::TOP).title(title)
}

fn draw_users(frame: &mut Frame, model: &Model, area: Rect) {
    let columns = usize::from(area.width);
    let rows = usize::from(area.height).saturating_sub(2);
    let (users, found) = model.users_shown(rows);
    let in_all = model.status.as_ref().map_or(0, |status| status.users);
    let by = match model.sort {
        Sort::Name => "name",
        Sort::Since => "since",
        Sort::Received => "in",
        Sort::Sent => "out",
        Sort::Queued => "queued",
    };
    let reversed = if model.is_reversed { ", reversed" } else { "" };
    let with = match model.users_filter.as_str() {
        "" => String::new(),
        words => format!(", with “{}”", escape(words)),
    };
    let title = format!(" users: {found} of {in_all}{with}, by {by}{reversed} ");
    let block = heading(model, Part::Users, &title, area.width);
    let now = model.status.as_ref().map_or(0, |status| status.now);
    let names = user_columns(columns, ["name", "v", "since", "in", "out", "queued", "", "address"]);
    let mut lines = vec![Line::from(fit(&names, area.width)).dim()];
    lines.extend(users.iter().map(|user| user_line(user, now, columns)));
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

/// The cells of a user's line: all that is asked for first, the address where there is room for it.
fn user_columns(columns: usize, cells: [&str; 8]) -> String {
    let [name, version, since, received, sent, queued, held, address] = cells;
    let padded = |text: &str, cells: usize| {
        let text = shown(text, cells);
        let width = crate::screen::width(&text);
        format!("{text}{}", " ".repeat(cells.saturating_sub(width)))
    };
    let name = padded(
        name,
        match columns {
            0..80 => 12,
            80..120 => 20,
            _ => 28,
        },
    );
    let queued = format!("{queued:>9} {held:<4}");
    if columns < 80 {
        return format!(" {name} {version} {queued} {sent:>9} {received:>9} {since:>12}");
    }
    let figures = format!("{since:>12} {received:>9} {sent:>9} {queued}");
    if columns < 90 {
        return format!(" {name} {version} {figures}");
    }
    format!(" {name} {version} {figures} {}", shown(address, 47))
}

fn user_line(user: &User, now: u64, columns: usize) -> Line<'static> {
    #[allow(clippy::cast_precision_loss)] // shown with three digits
    let size = |value: u64| bytes(value as f64);
    let line = user_columns(
        columns,
        [
            &user.name,
            &user.version.to_string(),
            &duration(now.saturating_sub(user.since) / 1000),
            &size(user.received),
            &size(user.sent),
            &size(user.queued),
            if user.held { "held" } else { "" },
            user.address.as_deref().unwrap_or("?"),
        ],
    );
    let style = if user.held { Style::new().yellow() } else { Style::new() };
    Line::styled(cut(&line, columns).into_owned(), style)
}

fn draw_log(frame: &mut Frame, model: &Model, area: Rect) {
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
    let scrolled = if model.scroll > 0 { ", scrolled (End: the newest)" } else { "" };
    let title = format!(" log: {level}{with}{paused}{scrolled} ");
    let block = heading(model, Part::Log, &title, area.width);
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
    let (width, height) = (78.min(screen.width), 13.min(screen.height));
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

/// The time of the day, UTC, of milliseconds since 1970.
fn clock(millis: u64) -> String {
    let seconds = millis / 1000 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
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
            "connections 2 of 100, 2 users, 0 with TLS, 0 turned away",
            "50/s, 50 so far, 0 B queued",
            "longest tick 0.000 ms",
            "msgs max 50/s",
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
    fn at_80_columns_nothing_that_is_asked_for_is_cut() {
        let mut model = busy();
        let user = json!({"name": "a-name-of-twenty-let", "version": 2, "since": 0, "in": 1_023_999,
            "out": 1_023_999, "queued": 1_023_999, "held": true, "address": "127.0.0.1:40000"});
        model.take_users(json!({"users": [user], "next": null}));
        let ended = json!({"ended_slow_reader": 1, "ended_bad_frame": 4, "letters_stored": 3});
        model.take_counters(json!({"counters": ended}));
        let shown = screen(&model, Mode::Watching, 80, 24);
        for words in [
            "0 B queued, 0 B unfinished",
            "longest tick 0.000 ms",
            "letters     ? wait, 3 stored, 0 delivered",
            "ended       4 bad_frame, 1 slow_reader",
            "a-name-of-twenty-let 2  16 min 40 s  1000 KiB  1000 KiB  1000 KiB held",
            "? keys",
        ] {
            assert!(shown.contains(words), "{words}:\n{shown}");
        }
    }

    #[test]
    fn on_a_small_screen_each_part_is_reached() {
        let mut model = busy();
        for words in ["was refused", "alice", "refused     3 bad_frame", "was refused"] {
            let shown = screen(&model, Mode::Watching, 60, 10);
            assert!(shown.contains(words), "{words}:\n{shown}");
            model.next_part(true);
        }
    }

    #[test]
    fn a_relay_that_is_gone_is_shown_as_of_when_it_was_there() {
        let mut model = busy();
        model.lost(Some("no relay listens at the socket"));
        model.lost(Some("no relay listens at the socket"));
        let shown = screen(&model, Mode::Watching, 80, 24);
        assert!(shown.contains("gone, as of 00:16:40"), "{shown}");
        assert_eq!(shown.matches("no relay listens at the socket").count(), 1, "{shown}");
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
