//! `chat` as a person sees it: at a pseudo-terminal, whose bytes an emulator (pyte) puts on a
//! screen.

#![allow(clippy::expect_used)] // a test says what it expects

mod support;

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Command;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde_json::Value;
use support::process::{Homes, Process, Relay, python};
use support::seat::Seat;

const COLUMNS: &str = "72";
const ROWS: &str = "14";
/// A screen that is drawn anew so often and is not right has failed its test: a clock goes on for
/// ever.
const MOST_READS: usize = 200;

/// A chat, and what its terminal shows.
struct Screen {
    seat: Seat,
    emulator: Process,
}

/// What is on the screen.
struct Shown {
    /// From the first line that was ever shown; without those that are empty.
    rows: Vec<String>,
    /// Those that are on it now.
    seen: Vec<String>,
    /// The row of the cursor, and its column.
    line: String,
    column: u64,
}

impl Screen {
    fn new(homes: &Homes, relay: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::sized(homes, relay, arguments, variables, (COLUMNS, ROWS))
    }

    fn sized(
        homes: &Homes,
        relay: &str,
        arguments: &[&str],
        variables: &[(&str, &str)],
        (columns, rows): (&str, &str),
    ) -> Self {
        let options = homes.options("alice", relay);
        let all: Vec<_> =
            ["chat"].iter().chain(arguments).copied().chain(options.iter().map(|o| &**o)).collect();
        let xterm = [("TERM", "xterm"), ("XTERM_VERSION", "test"), ("LC_ALL", "C.UTF-8")];
        let variables: Vec<_> = xterm.iter().chain(variables).copied().collect();
        // Something stands above, so that the cursor does not begin at the top.
        let first = format!("stty cols {columns} rows {rows}; printf '\\n\\n\\n\\nabove: ';");
        let seat = Seat::with(&first, &variables, &all);
        Self { seat, emulator: python("screen.py", &[columns, rows]) }
    }

    /// The same below a shell with job control, which says when it has the terminal.
    fn in_shell(homes: &Homes, relay: &str, arguments: &[&str]) -> Self {
        let options = homes.options("alice", relay);
        let all: Vec<_> =
            ["chat"].iter().chain(arguments).copied().chain(options.iter().map(|o| &**o)).collect();
        let xterm = [("TERM", "xterm"), ("XTERM_VERSION", "test"), ("LC_ALL", "C.UTF-8")];
        // 128 and the number of the signal: it was stopped.
        let script = format!(
            "stty cols {COLUMNS} rows {ROWS}; set -m; \"$@\"; code=$?; while [ $code -gt 128 ]; do \
             echo the shell has it; read line; if [ \"$line\" = behind ]; then bg; read line; fi; \
             fg; code=$?; done; echo it has ended: $code; exit;"
        );
        let seat = Seat::with(&script, &xterm, &all);
        Self { seat, emulator: python("screen.py", &[COLUMNS, ROWS]) }
    }

    fn type_in(&mut self, keys: &str) {
        self.seat.type_in(keys);
    }

    /// Reads until these bytes have come.
    fn feed_until(&mut self, bytes: &str) {
        while !self.seat.shown.contains(bytes) {
            self.feed(bytes);
        }
    }

    /// Puts on the screen what is written next.
    fn feed(&mut self, waiting: &str) {
        let mut command = "feed ".to_owned();
        for byte in self.seat.read(waiting) {
            let _ = write!(command, "{byte:02x}"); // to a string
        }
        self.emulator.say(&command);
    }

    fn look(&mut self) -> Shown {
        self.emulator.say("show");
        let shown: Value = serde_json::from_str(&self.emulator.line()).expect("JSON");
        let texts = |name: &str| {
            let rows = shown[name].as_array().expect("rows").iter();
            rows.map(|row| row.as_str().expect("a text").to_owned()).collect::<Vec<_>>()
        };
        let at = usize::try_from(shown["cursor"][1].as_u64().expect("a row")).expect("a row");
        let line = texts("rows")[at].clone();
        let column = shown["cursor"][0].as_u64().expect("a column");
        let rows = texts("above").into_iter().chain(texts("rows"));
        let rows = rows.filter(|row| !row.is_empty()).collect();
        Shown { rows, seen: texts("rows"), line, column }
    }

    /// Reads until the screen is as it should be.
    fn see(&mut self, what: &str, is_right: impl Fn(&Shown) -> bool) -> Shown {
        for _ in 0..MOST_READS {
            let shown = self.look();
            if is_right(&shown) {
                return shown;
            }
            let waiting = format!("{what}\n{}\n", shown.rows.join("\n"));
            self.feed(&waiting);
        }
        panic!("{what}: {}", self.look().rows.join("\n"));
    }

    /// Reads until a row has these words.
    fn see_row(&mut self, words: &str) -> Shown {
        self.see(words, |shown| shown.rows.iter().any(|row| row.contains(words)))
    }

    /// The window gets so many columns. The terminal wraps its rows anew, or cuts them.
    fn resize(&mut self, columns: &str, wraps: bool) {
        let command =
            if wraps { format!("wrap {columns}") } else { format!("size {columns} {ROWS}") };
        self.emulator.say(&command);
        let stty = Command::new("stty").args(["-F", &self.seat.name, "cols", columns]).status();
        assert!(stty.expect("coreutils has it").success());
    }
}

/// Bob, who is connected.
fn bob(homes: &Homes, relay: &Relay) -> Process {
    let bob = homes.client("bob", &relay.address, &["chat", "--json"]);
    bob.event("registered");
    bob
}

#[test]
fn a_message_that_arrives_leaves_the_line_that_is_written_whole() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let mut bob = bob(&homes, &relay);
    let mut alice = Screen::new(&homes, &relay.address, &["bob"], &[]);
    alice.see_row("to bob (no key yet) · connected");
    alice.type_in("half a wor\x1b[D\x1b[D");
    alice.see("the cursor", |shown| shown.line == "bob> half a wor" && shown.column == 13);
    bob.say(r#"{"to":"alice","text":"می\u200cخواهم 日本 \u001b[2J\nbob: two"}"#);
    let shown = alice.see_row("    bob: two");
    let text = shown.rows.iter().find(|row| row.contains("bob: می")).expect("shown");
    assert!(text.ends_with("日本 \\u{1b}[2J") || text.contains("\\u{1b}[2J"), "{text}");
    assert_eq!((shown.line.as_str(), shown.column), ("bob> half a wor", 13));
    let last: Vec<_> = shown.rows.iter().rev().take(2).collect();
    assert!(last[1].starts_with(" to bob (accepted) · connected"), "{last:?}");
    alice.type_in("\x05d\r");
    assert_eq!(bob.event("message")["text"], "half a word");
    let shown = alice.see_row("✓ → bob: half a word");
    assert_eq!(shown.line, "bob>");
}

#[test]
fn what_is_pasted_is_shown_and_sent_when_it_is_entered_and_is_no_command() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let bob = bob(&homes, &relay);
    let mut alice = Screen::new(&homes, &relay.address, &["bob"], &[]);
    alice.see_row("connected");
    alice.type_in("\x1b[200~/quit\rand more\r\x1b[201~");
    let shown = alice.see_row("2 lines: Enter sends them as one message");
    assert_eq!(shown.line, "bob> /quit⏎and more");
    alice.type_in("\r");
    assert_eq!(bob.event("message")["text"], "/quit\nand more");
    alice.type_in("\x1b[200~/quit\x1b[201~");
    alice.see_row("pasted: it is sent as a text");
    alice.type_in("\r");
    assert_eq!(bob.event("message")["text"], "/quit");
    alice.see("sent", |shown| shown.line == "bob>");
    for again in ["\x1b[A", "\x12quit", "\x19"] {
        alice.type_in(again);
        let shown = alice.see_row("pasted: it is sent as a text");
        assert!(shown.line.ends_with("/quit"), "{}", shown.line);
        // Deleted, and put back the next time.
        alice.type_in(if again == "\x19" { "\r" } else { "\r\x1b[A\x15" });
        assert_eq!(bob.event("message")["text"], "/quit");
    }
    alice.type_in("\x1b[200~one\rtwo\r\x1b[201~\x1b\r");
    assert_eq!(bob.event("message")["text"], "one");
    assert_eq!(bob.event("message")["text"], "two");
    // A cooked terminal would cut this at 4,095 bytes.
    let long = "x".repeat(10_000);
    alice.type_in(&format!("\x1b[200~{long}\x1b[201~\r"));
    assert_eq!(bob.event("message")["text"], *long);
    alice.type_in(&format!("\x1b[200~{}\x1b[201~", "x".repeat(16_365)));
    let shown = alice.see_row("no room: a message has at most 16364 bytes");
    assert_eq!(shown.line, "bob>");
    alice.type_in("/quit\r");
    assert_eq!(alice.seat.end().code(), Some(0));
}

#[test]
fn who_wrote_last_is_answered_after_one_more_enter() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let mut bob = bob(&homes, &relay);
    let mut alice = Screen::new(&homes, &relay.address, &[], &[]);
    alice.see_row("to nobody: /to NAME · connected");
    alice.type_in("to whom?\r");
    alice.see_row("to whom? /to NAME chooses");
    bob.say(r#"{"to":"alice","text":"hello"}"#);
    alice.see_row("bob: hello");
    alice.type_in("\r");
    let shown = alice.see_row("Enter once more sends this to bob");
    assert_eq!(shown.line, "> to whom?", "nothing is sent to somebody whom nobody has chosen");
    alice.type_in("\r");
    assert_eq!(bob.event("message")["text"], "to whom?");
    alice.see_row("✓ → bob: to whom?");
    alice.type_in("@nob\x15/tr\tb\t");
    alice.see("completed", |shown| shown.line == "bob> /trust bob");
}

#[test]
fn the_help_fits_and_its_begin_is_pointed_to_where_it_does_not() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    for (arguments, rows, columns, pointer) in [
        (&["bob"][..], "24", "80", ""),
        (&["--screen", "bob"], "24", "80", ""),
        (&["bob"], "14", "40", "the help begins above: scroll"),
        (&["--screen", "bob"], "14", "60", "PageUp: the begin of the help"),
    ] {
        let mut alice = Screen::sized(&homes, &relay.address, arguments, &[], (columns, rows));
        alice.see_row("* you are alice");
        alice.see_row("F1 help");
        alice.type_in("\x1bOP");
        let shown = alice.see_row("Who is away");
        let text = shown.rows.join("\n");
        assert!(text.contains(pointer), "{pointer}: {text}");
        assert!(text.contains("wait for confirmations") || !pointer.is_empty(), "{text}");
        let is_begin_seen = shown.seen.iter().any(|row| row.contains("to whom you have chosen"));
        assert_eq!(is_begin_seen, pointer.is_empty(), "{text}");
        if pointer.starts_with("PageUp") {
            alice.type_in(&"\x1b[5~".repeat(9)); // no further than to the begin
            alice.see_row("text              to whom");
            alice.see_row("PageDown: later lines");
        }
        alice.type_in("\x03");
        alice.seat.end();
    }
}

#[test]
fn a_command_that_is_not_understood_is_told_and_can_be_had_again() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    for arguments in [&["bob"][..], &["--screen", "bob"]] {
        let mut alice = Screen::new(&homes, &relay.address, arguments, &[]);
        alice.see_row("connected");
        alice.type_in("/nothing of that\r");
        let shown = alice.see_row("there is no /nothing;");
        assert_eq!(shown.line, "bob>");
        alice.type_in("\x1b[A");
        alice.see("had again", |shown| shown.line == "bob> /nothing of that");
        alice.type_in("\x03\x03");
        alice.seat.end();
    }
}

/// Leaving says what it waits for, and Ctrl-C ends it.
#[test]
fn who_quits_is_told_what_is_waited_for() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let mut bob = bob(&homes, &relay);
    let mut alice = Screen::new(&homes, &relay.address, &["bob", "--wait", "3600"], &[]);
    alice.see_row("connected");
    bob.say(r#"{"to":"alice","text":"one"}"#);
    alice.see_row("bob: one");
    bob.event("delivered");
    // Bob confirms nothing any more.
    bob.signal(Signal::SIGSTOP);
    alice.type_in("unconfirmed\r/quit\r");
    alice.see_row(" leaving, Ctrl-C: at once · waits for 1 confirmation");
    alice.type_in("\x03");
    assert_eq!(alice.seat.end().code(), Some(7));
    bob.signal(Signal::SIGCONT);
}

/// A line that cannot be sent yet does not keep anybody from leaving, and goes out before that.
#[test]
fn who_quits_behind_a_line_that_waits_leaves_once_it_is_sent() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let mut bob = bob(&homes, &relay);
    let mut alice = Screen::new(&homes, &relay.address, &["bob"], &[]);
    alice.see_row("connected");
    bob.say(r#"{"to":"alice","text":"one"}"#);
    alice.see_row("bob: one");
    bob.event("delivered");
    bob.signal(Signal::SIGSTOP);
    let many: String = (0..32).fold(String::new(), |lines, at| lines + &format!("text {at}\r"));
    alice.type_in(&format!("\x1b[200~{many}last\x1b[201~\x1b\r/quit\r"));
    alice.see_row("waits for 33 confirmations");
    bob.signal(Signal::SIGCONT);
    loop {
        if bob.event("message")["text"] == "last" {
            break;
        }
    }
    assert_eq!(alice.seat.end().code(), Some(0));
}

#[test]
fn what_becomes_of_a_line_is_marked() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let mut alice = Screen::new(&homes, &relay.address, &["carol"], &[]);
    alice.see_row("connected");
    alice.type_in("anybody there?\r");
    alice.see_row("✗ → carol: anybody there?");
    drop(relay);
    alice.see_row("no connection");
    alice.type_in("lost\r");
    alice.see_row("· → carol: lost");
    let shown = alice.see_row("1 unconfirmed");
    assert_eq!(shown.line, "carol>");
    alice.type_in("\x03");
    assert_eq!(alice.seat.end().code(), Some(4), "the first text failed");
}

#[test]
fn the_terminal_is_put_back_however_the_chat_ends() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    for (keys, signal) in [
        ("/quit\r", None),
        ("\x04", None),
        ("\x03", None),
        ("half", Some(Signal::SIGTERM)),
        ("half", Some(Signal::SIGHUP)),
    ] {
        let mut alice = Screen::new(&homes, &relay.address, &[], &[]);
        alice.see_row("connected");
        assert!(!alice.seat.shows_what_is_typed());
        alice.type_in(keys);
        if let Some(signal) = signal {
            alice.see("half", |shown| shown.line == "> half");
            alice.seat.signal(signal);
        }
        alice.seat.wait_for("\x1b[?2004l");
        let status = alice.seat.child.wait().expect("ours");
        assert_eq!(status.code(), Some(0), "{keys:?} {signal:?}");
        assert!(alice.seat.shows_what_is_typed(), "{keys:?} {signal:?}");
    }
}

/// A shell started it: it is stopped, the shell has the terminal, and lets it go on.
#[test]
fn who_stops_it_gets_the_terminal_back_and_it_is_drawn_anew() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let mut bob = bob(&homes, &relay);
    for arguments in [&["bob"][..], &["--screen", "bob"]] {
        let mut alice = Screen::in_shell(&homes, &relay.address, arguments);
        alice.see_row("connected");
        for text in ["while away", "away again"] {
            alice.type_in("half");
            alice.see("half", |shown| shown.line == "bob> half");
            alice.seat.shown.clear();
            alice.type_in("\x1a");
            alice.feed_until("the shell has it");
            assert!(alice.seat.shows_what_is_typed());
            bob.say(&format!(r#"{{"to":"alice","text":"{text}"}}"#));
            alice.type_in("go on\n"); // to the shell
            alice.see("drawn anew", |shown| {
                shown.line == "bob> half" && shown.rows.iter().any(|row| row.ends_with(text))
            });
            assert!(!alice.seat.shows_what_is_typed());
            alice.type_in("\x03");
            alice.see("taken back", |shown| shown.line == "bob>");
        }
        alice.type_in("/quit\r");
        alice.seat.wait_for("it has ended: 0");
        alice.seat.end();
    }
}

/// In the background it is stopped again, so that the shell knows to continue it.
#[test]
fn what_goes_on_in_the_background_is_stopped_until_it_has_the_terminal() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let mut alice = Screen::in_shell(&homes, &relay.address, &["bob"]);
    alice.see_row("connected");
    alice.type_in("half");
    alice.see("half", |shown| shown.line == "bob> half");
    alice.type_in("\x1a");
    alice.feed_until("the shell has it");
    let shell = alice.seat.pid();
    let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children"));
    let chat = Pid::from_raw(children.expect("proc(5)").trim().parse().expect("one child"));
    // The shell continues it, and it stops by itself: two events of one process.
    let state = || {
        let stat = std::fs::read_to_string(format!("/proc/{chat}/stat")).expect("proc(5)");
        stat.rsplit(") ").next().and_then(|rest| rest.chars().next())
    };
    let switches = || {
        let status = std::fs::read_to_string(format!("/proc/{chat}/status")).expect("proc(5)");
        let line = status.lines().find(|line| line.starts_with("voluntary_ctxt_switches"));
        line.map(str::to_owned)
    };
    let before = switches();
    alice.type_in("behind\n");
    while state() != Some('T') || switches() == before {
        std::thread::yield_now();
    }
    alice.type_in("go on\n");
    alice.see("drawn anew", |shown| shown.line == "bob> half");
    assert!(!alice.seat.shows_what_is_typed());
    alice.type_in("\x03/quit\r");
    alice.seat.wait_for("it has ended: 0");
    alice.seat.end();
}

/// No shell could let it go on: its process group is orphaned, and it is not stopped.
#[test]
fn where_nobody_could_let_it_go_on_it_is_not_stopped() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let mut bob = bob(&homes, &relay);
    for arguments in [&["bob"][..], &["--screen", "bob"]] {
        let mut alice = Screen::new(&homes, &relay.address, arguments, &[]);
        alice.see_row("connected");
        for (by_key, text) in [(true, "one"), (false, "two")] {
            alice.type_in("half");
            alice.see("half", |shown| shown.line == "bob> half");
            alice.seat.shown.clear();
            if by_key {
                alice.type_in("\x1a");
            } else {
                alice.seat.signal(Signal::SIGTSTP);
            }
            alice.feed_until("\x1b[?2004l"); // given back
            alice.feed_until("\x1b[?2004h"); // and taken again
            bob.say(&format!(r#"{{"to":"alice","text":"{text}"}}"#));
            alice.see("drawn anew", |shown| {
                shown.line == "bob> half" && shown.rows.iter().any(|row| row.ends_with(text))
            });
            let shown = alice.look();
            let statuses = shown.rows.iter().filter(|row| row.contains(" to bob (")).count();
            assert_eq!(statuses, 1, "{}", shown.rows.join("\n"));
            alice.type_in("\x03");
            alice.see("taken back", |shown| shown.line == "bob>");
        }
        alice.type_in("/quit\r");
        assert_eq!(alice.seat.end().code(), Some(0));
    }
}

#[test]
fn a_window_of_another_width_is_drawn_anew_at_once_and_no_row_stays_and_no_line_goes() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let mut bob = bob(&homes, &relay);
    for (variables, wraps) in [
        (&[][..], false),
        (&[("TERM", "screen"), ("TMUX", "x")], true),
        (&[("TERM", "tmux")], true),
    ] {
        let mut alice = Screen::new(&homes, &relay.address, &["bob"], variables);
        alice.see_row("connected");
        for line in ["one", "two", "three"] {
            bob.say(&format!(r#"{{"to":"alice","text":"{line}"}}"#));
            alice.see_row(&format!("bob: {line}"));
        }
        alice.type_in("a line that is longer than half");
        alice.see("typed", |shown| shown.line == "bob> a line that is longer than half");
        alice.resize("24", wraps);
        let shown = alice.see("narrow", |shown| shown.line == "bob>  longer than half");
        let status = &shown.rows[shown.rows.len() - 2];
        assert!(status.starts_with(" to bob") && status.chars().count() <= 23, "{status}");
        alice.resize("60", wraps);
        let shown = alice.see("wide", |shown| {
            shown.line == "bob> a line that is longer than half"
                && shown.rows[shown.rows.len() - 2].contains("· connected")
        });
        let text = shown.rows.join("\n");
        assert_eq!(text.matches(" to bob").count(), 1, "a status stays:\n{text}");
        assert_eq!(text.matches("than half").count(), 1, "a line stays:\n{text}");
        for line in ["one", "two", "three"] {
            assert_eq!(text.matches(&format!("bob: {line}")).count(), 1, "{line}:\n{text}");
        }
        alice.type_in("\x03\x03");
        alice.seat.end();
    }
}

#[test]
fn names_have_the_colour_of_their_key_unless_none_is_wanted() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let mut bob = bob(&homes, &relay);
    for (no_color, is_coloured) in [("", true), ("1", false)] {
        let arguments = ["--notify", "osc9", "--time", "%Y!"];
        let mut alice = Screen::new(&homes, &relay.address, &arguments, &[("NO_COLOR", no_color)]);
        alice.see_row("connected");
        bob.say(r#"{"to":"alice","text":"hello"}"#);
        alice.see_row("bob: hello");
        alice.seat.wait_for("\x1b]9;sealwax: a message from bob\x1b\\");
        let shown = &alice.seat.shown;
        assert_eq!(shown.contains("\x1b[1mbob\x1b[0m: hello"), !is_coloured, "{shown:?}");
        assert!(shown.contains("mbob\x1b[0m: hello"));
        assert!(shown.contains("!\x1b[0m \x1b[1"), "the year");
        alice.type_in("\x03");
        alice.seat.end();
    }
}

#[test]
fn lines_are_read_and_printed_as_ever_where_that_is_asked() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let mut bob = bob(&homes, &relay);
    for (arguments, term) in [(&["--lines", "bob"][..], "xterm"), (&["bob"], "dumb")] {
        let mut alice = Screen::new(&homes, &relay.address, arguments, &[("TERM", term)]);
        alice.see_row("here: alice, bob");
        assert!(alice.seat.shows_what_is_typed());
        bob.say(r#"{"to":"alice","text":"hello"}"#);
        alice.see_row("bob: hello");
        assert!(!alice.seat.shown.contains('\x1b'));
        alice.type_in("/quit\n");
        assert_eq!(alice.seat.end().code(), Some(0));
    }
}

#[test]
fn lines_are_kept_where_that_is_asked() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let mut alice = Screen::new(&homes, &relay.address, &["--history", "bob"], &[]);
    alice.see_row("connected");
    alice.type_in("/users\r/quit\r");
    assert_eq!(alice.seat.end().code(), Some(0));
    let kept = homes.of("alice").join("chat_history");
    assert_eq!(std::fs::read_to_string(kept).expect("kept"), "/users\n/quit");
    let mut alice = Screen::new(&homes, &relay.address, &["--history", "bob"], &[]);
    alice.see_row("connected");
    alice.type_in("\x12use");
    alice.see("found", |shown| shown.line == "(search: use) /users");
}

#[test]
fn a_terminal_that_takes_nothing_for_a_while_loses_no_line() {
    const TEXTS: usize = 1000;
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let mut alice = Screen::new(&homes, &relay.address, &[], &[]);
    alice.see_row("connected");
    let mut bob = homes.client("bob", &relay.address, &["send", "alice"]);
    let (mut input, long) = (bob.input(), "x".repeat(200));
    let writer = std::thread::spawn(move || {
        (0..TEXTS).for_each(|number| writeln!(input, "text {number} {long}").expect("it reads"));
    });
    bob.talk_with("* 32 to alice: relayed"); // more than a terminal keeps that nobody looks at
    alice.seat.wait_for(&format!("text {} ", TEXTS - 1));
    let shown = std::mem::take(&mut alice.seat.shown);
    let numbers: Vec<usize> = shown
        .split(": text ")
        .skip(1)
        .map(|rest| rest.split(' ').next().expect("a number").parse().expect("a number"))
        .collect();
    assert_eq!(numbers, (0..TEXTS).collect::<Vec<_>>());
    writer.join().expect("it has written");
    bob.end().with_code(0);
}

#[test]
fn the_whole_screen_has_three_zones_and_gives_the_lines_back() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let mut bob = bob(&homes, &relay);
    let mut carol = homes.client("carol", &relay.address, &["chat", "--json"]);
    carol.event("registered");
    let mut alice = Screen::new(&homes, &relay.address, &["--screen", "bob"], &[]);
    alice.see_row("  carol               │");
    bob.say(r#"{"to":"alice","text":"from bob\nand more"}"#);
    alice.see("bob's text", |shown| {
        shown.rows.iter().any(|row| row.starts_with("  bob") && row.contains("│"))
            && shown.rows.iter().any(|row| row.contains("│") && row.ends_with("bob: from bob"))
    });
    carol.say(r#"{"to":"alice","text":"from carol"}"#);
    let shown = alice.see("unread", |shown| {
        shown.rows.iter().any(|row| row.starts_with("  carol 1"))
            && shown.rows.iter().any(|row| row.starts_with(" 1 unread (Alt-A) · "))
    });
    assert!(!shown.rows.iter().any(|row| row.contains("from carol")));
    alice.type_in("half\x1ba");
    let shown = alice.see("carol", |shown| {
        shown.line == "carol> half"
            && shown.rows.iter().any(|row| row.ends_with("carol: from carol"))
    });
    assert!(!shown.rows.iter().any(|row| row.ends_with("bob: from bob")));
    alice.type_in("\r");
    assert_eq!(carol.event("message")["text"], "half");
    alice.see_row("✓ → carol: half");
    // Below lines again, with all that came meanwhile.
    alice.seat.shown.clear();
    alice.type_in("\x1bOQ");
    alice.seat.wait_for("\x1b[?1049l");
    alice.seat.wait_for("to carol (accepted)");
    for line in
        ["bob\x1b[0m: from bob\r\n    and more", "carol\x1b[0m: from carol", "✓ → carol: half"]
    {
        assert!(alice.seat.shown.contains(line), "{line}: {}", alice.seat.shown);
    }
    alice.type_in("\x1bOQ");
    alice.seat.wait_for("\x1b[?1049h");
    alice.type_in("/quit\r");
    alice.seat.wait_for("\x1b[?2004l");
    assert_eq!(alice.seat.shown.matches("\x1b[?1049l").count(), 2);
    assert_eq!(alice.seat.child.wait().expect("ours").code(), Some(0));
}

/// The rows right of the list of users that the screen shows now.
fn conversation(shown: &Shown) -> Vec<String> {
    let rows = shown.seen.iter().filter_map(|row| Some(row.split_once('│')?.1.to_owned()));
    rows.filter(|row| !row.is_empty()).collect()
}

/// The names in the list of users.
fn listed(shown: &Shown) -> Vec<String> {
    let rows = shown.seen.iter().filter_map(|row| row.split_once('│'));
    rows.map(|(user, _)| user.trim().to_owned()).filter(|user| !user.is_empty()).collect()
}

#[test]
fn a_whole_screen_without_a_peer_tells_who_is_here_and_not_who_comes_and_goes() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let mut alice = Screen::new(&homes, &relay.address, &["--screen"], &[]);
    alice.see_row("connected");
    let bob = bob(&homes, &relay);
    alice.see("bob", |shown| listed(shown) == ["bob"]);
    bob.signal(Signal::SIGTERM);
    bob.end();
    alice.see("nobody", |shown| listed(shown).is_empty());
    let shown = alice.look();
    let rows = conversation(&shown);
    assert_eq!(rows[0], "nobody is chosen: /to NAME, or Alt-Right");
    assert!(rows[1].starts_with("* "), "what is about nobody: {rows:?}");
    let all = rows.join("\n");
    assert!(!["came", "went", "here:"].iter().any(|word| all.contains(word)), "{all}");
    // The lines have it.
    alice.type_in("\x1bOQ");
    alice.seat.wait_for("* came: bob");
    alice.seat.wait_for("* went: bob");
    alice.type_in("\x03");
    alice.seat.end();
}

#[test]
fn what_is_about_a_peer_stands_in_that_peers_conversation() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let mut bob = bob(&homes, &relay);
    let mut carol = homes.client("carol", &relay.address, &["chat", "--json"]);
    carol.event("registered");
    let mut alice = Screen::new(&homes, &relay.address, &["--screen", "bob"], &[]);
    alice.see("both", |shown| listed(shown) == ["bob", "carol"]);
    bob.say(r#"{"to":"alice","text":"from bob"}"#);
    let shown = alice.see_row("bob: from bob");
    assert!(conversation(&shown)[0].starts_with("bob SHA256:"), "{:?}", conversation(&shown));
    // Carol's key, a text to nobody and one to carol are told elsewhere, and are not unread.
    alice.type_in("@carol aside\r@dave anybody?\r");
    carol.event("message");
    let shown = alice.see("dave", |shown| listed(shown) == ["bob", "carol", "dave"]);
    let all = conversation(&shown).join("\n");
    assert!(!all.contains("carol") && !all.contains("dave"), "{all}");
    assert!(!shown.rows.iter().any(|row| row.contains("unread")), "{:?}", shown.rows);
    // Marks change in their place.
    alice.type_in("to bob\r");
    bob.event("message");
    let shown = alice.see_row("✓ → bob: to bob");
    assert_eq!(conversation(&shown).iter().filter(|row| row.contains("to bob")).count(), 1);
    alice.type_in("\x1b[1;3C");
    let shown = alice.see("carol's", |shown| {
        conversation(shown).iter().any(|row| row.ends_with("✓ → carol: aside"))
    });
    assert!(conversation(&shown).iter().any(|row| row.starts_with("* carol has the key")));
    carol.say(r#"{"to":"alice","text":"from carol"}"#);
    alice.see_row("carol: from carol");
    carol.signal(Signal::SIGTERM);
    alice.see("went", |shown| conversation(shown).iter().any(|row| row == "* went: carol"));
    alice.type_in("\x1b[1;3C");
    let shown = alice.see_row("✗ → dave: anybody?");
    let all = conversation(&shown).join("\n");
    assert!(all.contains("to dave failed (unknown_user)"), "{all}");
    assert!(!all.contains("carol"), "{all}");
    alice.type_in("\x03");
    alice.seat.end();
}

#[test]
fn names_have_the_colour_of_their_key_on_the_whole_screen_too() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let mut bob = bob(&homes, &relay);
    for (no_color, is_coloured) in [("", true), ("1", false)] {
        let colours = [("NO_COLOR", no_color)];
        let mut alice = Screen::new(&homes, &relay.address, &["--screen", "bob"], &colours);
        alice.see_row("connected");
        bob.say(r#"{"to":"alice","text":"hello"}"#);
        alice.see_row("bob: hello");
        assert_eq!(alice.seat.shown.contains(";38;5;"), is_coloured, "{:?}", alice.seat.shown);
        assert!(alice.seat.shown.contains("\x1b[0;1"), "bold");
        alice.type_in("\x03");
        alice.seat.end();
    }
}

#[test]
fn a_whole_screen_that_cannot_be_had_is_refused() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    for (term, why) in [("dumb", "TERM is dumb"), ("", "TERM is not set")] {
        let mut alice = Screen::new(&homes, &relay.address, &["--screen"], &[("TERM", term)]);
        alice.seat.wait_for(&format!("nothing can be drawn, as --screen asks: {why}"));
        assert_eq!(alice.seat.end().code(), Some(2));
    }
    let alice = homes.client("alice", &relay.address, &["chat", "--screen"]);
    let words = "as --screen asks: standard input is no terminal; without it lines do";
    alice.talk_with(words);
    alice.end().with_code(2);
}

/// The cursor stood in the middle of the screen before.
#[test]
fn the_first_picture_of_a_whole_screen_begins_at_the_top() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let mut alice = Screen::new(&homes, &relay.address, &["--screen", "bob"], &[]);
    let shown = alice.see_row("connected");
    assert!(shown.rows.iter().all(|row| !row.contains("above: ")), "{}", shown.rows.join("\n"));
    let (first, last) = (&shown.seen[0], shown.seen.len() - 1);
    assert!(first.starts_with("  bob ") && first.contains("│bob (no key yet)"), "{first}");
    assert!(shown.seen[last - 1].starts_with(" to bob"), "{}", shown.seen[last - 1]);
    assert_eq!(shown.seen[last], "bob>");
    alice.type_in("\x03");
    alice.seat.end();
}

/// In a locale without UTF-8 there are signs of ASCII, and nothing but ASCII reaches the terminal.
#[test]
fn a_terminal_without_utf8_gets_ascii() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let mut bob = bob(&homes, &relay);
    for arguments in [&["bob"][..], &["--screen", "bob"]] {
        let mut alice = Screen::new(&homes, &relay.address, arguments, &[("LC_ALL", "C")]);
        alice.see_row(" to bob (");
        alice.see_row(". connected .");
        bob.say(r#"{"to":"alice","text":"\u00db2J grün 日本"}"#);
        alice.see_row("bob: ?2J gr?n ????");
        alice.type_in("hello\r");
        alice.see_row("+ > bob: hello");
        assert!(alice.seat.shown.is_ascii(), "{}", alice.seat.shown);
        alice.type_in("/quit\r");
        alice.seat.end();
    }
}
