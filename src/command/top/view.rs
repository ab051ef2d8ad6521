//! How a [`Model`] is drawn. All that came from the relay is escaped here.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Paragraph};

use super::model::{Model, Part, Status};
use super::words::{clock, duration, fit, shown};
use super::{figures, log, users};
use crate::screen::{escape, width};

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

/// At the bottom: as many as have room.
const KEYS: [&str; 11] = [
    "? keys",
    "Tab part",
    "↑↓ scroll",
    "/ find",
    "q quit",
    "p hold",
    "c clear",
    "v level",
    "s sort",
    "r reverse",
    "^L redraw",
];
const HELP: [(&str, &str); 11] = [
    ("Tab", "go to the next part: the log, the users, the figures"),
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
/// The same on a screen of 40 columns and 10 rows.
const SHORT_HELP: [(&str, &str); 8] = [
    ("Tab", "the next part"),
    ("↑↓ PgUp PgDn", "scroll it"),
    ("Home End", "its beginning, end"),
    ("/", "filter it (Esc: all)"),
    ("p c v", "log: hold, clear, level"),
    ("s r", "users: sort, reverse"),
    ("^L ^Z", "draw again, stop"),
    ("q ^C", "leave"),
];
/// Columns that the help has, where the screen has them.
const HELP_COLUMNS: u16 = 78;
/// Rows below which one part at a time is shown.
const ROWS_FOR_ALL: u16 = 20;
/// Rows that the users and the log keep beside the figures.
const ROWS_FOR_OTHERS: u16 = 9;
/// Black on yellow: yellow letters could not be read on a light background.
pub(super) const WARNING: Style = Style::new().fg(Color::Black).bg(Color::Yellow);

/// Draws everything.
pub(super) fn draw(frame: &mut Frame, model: &mut Model, mode: Mode) {
    let rows = [Constraint::Length(1), Constraint::Min(0), Constraint::Length(1)];
    let screen = frame.area();
    let [head, middle, bottom] = Layout::vertical(rows).areas(screen);
    frame.render_widget(title(model, head.width), head);
    if screen.height < ROWS_FOR_ALL {
        match model.part {
            Part::Log => log::draw(frame, model, middle),
            Part::Users => users::draw(frame, model, middle),
            Part::Figures => figures::draw(frame, model, middle),
        }
    } else {
        let most = middle.height.saturating_sub(ROWS_FOR_OTHERS);
        let rows = figures::rows(model, screen, most);
        let few = users::rows(model).min((middle.height - rows) / 2);
        let parts = [rows, few].map(Constraint::Length);
        let [figures, users, log] =
            Layout::vertical([parts[0], parts[1], Constraint::Min(0)]).areas(middle);
        figures::draw(frame, model, figures);
        users::draw(frame, model, users);
        log::draw(frame, model, log);
    }
    let text = match mode {
        Mode::Filtering => format!(" filter of {}: {}▏", model.part.name(), escape(model.filter())),
        _ => keys(usize::from(bottom.width)),
    };
    let line =
        format!("{:columns$}", fit(&text, bottom.width), columns = usize::from(bottom.width));
    frame.render_widget(Line::from(line).reversed(), bottom);
    if mode == Mode::Help {
        draw_help(frame);
    }
}

/// The keys that have room in so many cells.
fn keys(columns: usize) -> String {
    let mut line = String::new();
    for key in KEYS {
        let space = if line.is_empty() { " " } else { "  " };
        if width(&line) + space.len() + width(key) > columns {
            break;
        }
        line.push_str(space);
        line.push_str(key);
    }
    line
}

/// How figures look: those of a relay that is gone are old.
pub(super) fn age(model: &Model) -> Style {
    let style = Style::new();
    if model.fault.is_some() { style.add_modifier(Modifier::DIM) } else { style }
}

/// The border above a part; bold where keys are about it.
pub(super) fn heading(model: &Model, part: Part, title: &str, columns: u16) -> Block<'static> {
    let title = Span::raw(fit(title, columns));
    let title = if model.part == part { title.bold() } else { title.dim() };
    Block::new().borders(Borders::TOP).title(title)
}

/// Which relay, and how it is. That stays where there is no room for both.
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
        (None, None) => ("connecting".to_owned(), Style::new()),
        (None, Some(Status { draining: true, .. })) => ("it is leaving".to_owned(), WARNING),
        (None, Some(_)) => ("serving".to_owned(), Style::new().green()),
    };
    let columns = usize::from(columns);
    let separator = " · ";
    let state = shown(&state, columns.saturating_sub("sealwax".len() + separator.len()));
    let rest = columns.saturating_sub(width(&state) + separator.len());
    let who = shown(&format!("sealwax{who}"), rest);
    Line::from(vec![Span::raw(who).bold(), Span::raw(separator), Span::styled(state, style)])
}

fn draw_help(frame: &mut Frame) {
    let screen = frame.area();
    let is_short = screen.width < HELP_COLUMNS || usize::from(screen.height) < HELP.len() + 2;
    let (help, key_cells): (_, usize) =
        if is_short { (&SHORT_HELP[..], 13) } else { (&HELP[..], 15) };
    let rows = u16::try_from(help.len() + 2).unwrap_or(u16::MAX);
    let (width, height) = (HELP_COLUMNS.min(screen.width), rows.min(screen.height));
    let (x, y) = ((screen.width - width) / 2, (screen.height - height) / 2);
    let area = Rect { x, y, width, height };
    let line = |(key, does): &(&str, &str)| {
        let spaces = " ".repeat(key_cells.saturating_sub(crate::screen::width(key)));
        Line::from(fit(&format!(" {key}{spaces}{does}"), width.saturating_sub(2)))
    };
    let lines: Vec<_> = help.iter().map(line).collect();
    let block = Block::bordered().title(" keys ");
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use serde_json::json;

    use super::*;

    fn screen(model: &mut Model, mode: Mode, columns: u16, rows: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
        terminal.draw(|frame| draw(frame, model, mode)).unwrap();
        terminal.backend().to_string()
    }

    fn busy() -> Model {
        let mut model = Model::default();
        let status = |uptime: u64, messages: u64| {
            json!({"pid": 7, "version": "0.1.0", "uptime_ms": uptime, "messages": messages,
                   "listening": ["127.0.0.1:12345"], "connections": 2, "max_connections": 100,
                   "users": 2, "memory_bytes": 10_485_760, "now": 1_000_000,
                   "letters": 12, "letter_bytes": 4096})
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
        let shown = screen(&mut busy(), Mode::Watching, 120, 30);
        for words in [
            "0.1.0 · 127.0.0.1:12345 · process 7 · up 2 s · serving",
            "connections 2 of 100, 2 users, 0 with TLS, 0 turned away",
            "50/s, 50 so far, 0 B queued",
            "longest tick 0.000 ms",
            " messages    max 50/s ",
            " loop        max 0.0 % ",
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
        let ended = json!({"ended_slow_reader": 1, "ended_bad_frame": 4, "letters_stored": 3,
            "lost_ECONNRESET": 2, "held_back_claim": 2});
        model.take_counters(json!({"counters": ended}));
        let shown = screen(&mut model, Mode::Watching, 80, 24);
        for words in [
            "0 B queued, 0 B unfinished",
            "longest tick 0.000 ms",
            "letters     12 wait (4.0 KiB), 3 stored, 0 delivered",
            "refused     2 held_back_claim",
            "ended       4 bad_frame, 2 lost_ECONNRESET, 1 slow_reader",
            " msgs max 50/s ",
            "users: 1 of 2, 1 held, by name",
            "a-name-of-twenty-let 2  16 min 40 s  1000 KiB  1000 KiB  1000 KiB held",
            "? keys  Tab part  ↑↓ scroll  / find  q quit  p hold  c clear  v level  s sort",
        ] {
            assert!(shown.contains(words), "{words}:\n{shown}");
        }
        assert!(!shown.contains('…'), "{shown}");
    }

    /// Shows a screen of 40 columns and 10 rows, and the next one after each key.
    #[test]
    fn at_40_columns_and_10_rows_all_can_be_seen() {
        let mut model = busy();
        let user = json!({"name": "alice-in", "version": 2, "since": 0, "in": 1_023_999,
            "out": 1_023_999, "queued": 1_023_999, "held": true, "address": "127.0.0.1:40000"});
        model.take_users(json!({"users": [user], "next": null}));
        let line = json!({"time": "2026-11-28T17:00:01.000Z"});
        let text = "bob was refused: queue_full for alice-in, too much waits for this user";
        model.take_log(&json!({"kind": "warning", "text": text, "line": line}));
        let look = |model: &mut Model, words: &[&str]| {
            let shown = screen(model, Mode::Watching, 40, 10);
            for words in words {
                assert!(shown.contains(words), "{words}:\n{shown}");
            }
        };
        look(
            &mut model,
            &["bob was refused:", "  queue_full for alice-in, too much", "  waits for"],
        );
        look(&mut model, &[" · serving", "? keys  Tab part  ↑↓ scroll  / find"]);
        model.next_part();
        look(
            &mut model,
            &["name     v since    in   out queue", "alice-in 2   16m 1000K 1000K 1000K held"],
        );
        model.next_part();
        look(&mut model, &["connections 2 of 100, 2 users, 0 with"]);
        model.scroll_by(isize::MIN);
        look(&mut model, &["refused     3 bad_frame", "ended       nothing"]);
        model.scroll_by(1);
        look(&mut model, &[" ms, 0.0 ticks/s, 0.0", "refused     3 bad_frame"]);
        let help = screen(&mut model, Mode::Help, 40, 10);
        assert!(
            help.contains("scroll it") && help.contains("leave") && !help.contains('…'),
            "{help}"
        );
    }

    #[test]
    fn a_long_line_of_the_log_is_whole_and_each_can_be_scrolled_to() {
        let mut model = busy();
        for number in 0..40 {
            let text = format!("number {number}: {}", "words ".repeat(20));
            let line = json!({"time": "2026-11-28T17:00:02.000Z"});
            model.take_log(&json!({"kind": "info", "text": text, "line": line}));
        }
        let shown = screen(&mut model, Mode::Watching, 80, 24);
        assert!(shown.contains("number 39:") && !shown.contains("number 35:"), "{shown}");
        model.scroll_by(isize::MAX);
        let shown = screen(&mut model, Mode::Watching, 80, 24);
        assert!(shown.contains("was refused") && shown.contains("number 0:"), "{shown}");
        model.scroll_by(-1); // it is scrolled no further than can be seen
        let shown = screen(&mut model, Mode::Watching, 80, 24);
        assert!(!shown.contains("was refused"), "{shown}");
    }

    #[test]
    fn graphs_show_the_latest_seconds() {
        let mut model = busy();
        for second in 0..200 {
            let messages = if second == 199 { 100_000 } else { 0 };
            let status =
                json!({"pid": 7, "uptime_ms": 3000 + second * 1000, "messages": 50 + messages});
            model.take_status(status);
        }
        for (columns, rows) in [(80, 24), (120, 40)] {
            let shown = screen(&mut model, Mode::Watching, columns, rows);
            assert!(shown.contains('█') && shown.contains("100000/s"), "{shown}");
        }
    }

    #[test]
    fn a_relay_that_is_gone_is_shown_as_of_when_it_was_there() {
        let mut model = busy();
        let why = format!("no relay listens at '/{}': start one", "long/".repeat(10));
        model.lost(&why);
        model.lost(&why);
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        terminal.draw(|frame| draw(frame, &mut model, Mode::Watching)).unwrap();
        let buffer = terminal.backend().buffer();
        let row = |number: u16| -> String {
            (0..80).map(|column| buffer[(column, number)].symbol()).collect()
        };
        let rows: Vec<String> = (0..24).map(row).collect();
        assert!(rows[0].contains(" · gone, as of 00:16:40"), "{rows:?}");
        let told: String = rows.concat().split_whitespace().collect();
        let sentence: String = why.split_whitespace().collect();
        assert_eq!(told.matches(&*sentence).count(), 1, "{rows:#?}");
        // What is old is dim: the figures and the users.
        for words in ["50 so far", "alice"] {
            let number = rows.iter().position(|row| row.contains(words)).unwrap();
            let cell = &buffer[(15, u16::try_from(number).unwrap())];
            assert!(cell.modifier.contains(Modifier::DIM), "{words}: {cell:?}");
        }
        model.take_status(json!({"pid": 8, "uptime_ms": 1, "draining": true, "listening": []}));
        let shown = screen(&mut model, Mode::Watching, 80, 24);
        assert!(shown.contains("process 8 · up 0 s · it is leaving"), "{shown}");
    }

    #[test]
    fn nothing_of_the_network_steers_the_terminal_on_a_screen_of_any_size() {
        for (columns, rows) in [(1, 1), (5, 3), (20, 8), (80, 24), (300, 100)] {
            for mode in [Mode::Watching, Mode::Filtering, Mode::Help] {
                let mut model = busy();
                model.fault = Some("\x1b[2J\u{9b}31m\u{202e}".to_owned());
                let shown = screen(&mut model, mode, columns, rows);
                let steers =
                    |letter: char| letter.is_control() && letter != '\n' || letter == '\u{202e}';
                assert!(!shown.contains(steers), "{columns}x{rows}: {shown:?}");
            }
        }
        let shown = screen(&mut busy(), Mode::Watching, 120, 30);
        assert!(shown.contains("\\u{1b}[31mev\\u{202e}il\\n"), "{shown}");
        assert!(shown.contains("\\u{1b}]0;x\\u{7} was refused"), "{shown}");
    }
}
