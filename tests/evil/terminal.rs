//! What reaches a terminal: names, texts and details of others cannot move its cursor, turn its
//! text around, or pass for a line of somebody else.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use sealwax::reactor::end_with_parent;
use serde_json::json;

use crate::relay::EvilRelay;
use crate::stage::{chat, say};
use crate::support::process::Homes;

/// What a terminal might obey, and a line that somebody else might have written.
const EVIL: &str = "\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m\u{8}\u{7f}\r\u{202e}\u{200b}\u{2028}\u{feff}\
                    \ncarol: I am carol\n* you are carol";

/// A client whose output and talk go to one terminal.
struct Seat {
    child: Child,
    screen: BufReader<File>,
}

impl Seat {
    fn of(name: &str, homes: &Homes, relay: &EvilRelay) -> Self {
        let pty = nix::pty::openpty(None, None).expect("a terminal");
        let slave = || Stdio::from(pty.slave.try_clone().expect("a descriptor"));
        let mut client = Command::new(env!("CARGO_BIN_EXE_sealwax"));
        client.args(["recv"]).args(homes.options(name, &relay.address));
        client.stdin(Stdio::null()).stdout(slave()).stderr(slave());
        let child = end_with_parent(&mut client).spawn().expect("it runs");
        Self { child, screen: BufReader::new(File::from(pty.master)) }
    }

    /// The lines on the screen, up to one that contains `words`.
    fn lines_to(&mut self, words: &str) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        while !lines.last().is_some_and(|line| line.contains(words)) {
            let mut line = Vec::new();
            self.screen.read_until(b'\n', &mut line).expect("it writes");
            let line = String::from_utf8(line).expect("it writes UTF-8");
            let line = line.strip_suffix("\r\n").expect("a whole line, as a terminal gets it");
            lines.push(line.to_owned());
        }
        lines
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn nothing_that_others_send_moves_the_cursor_or_passes_for_another_line() {
    let (homes, relay) = (Homes::new(), EvilRelay::start());
    let mut bob = Seat::of("bob", &homes, &relay);
    bob.lines_to("you are bob");
    let mut alice = chat(&homes, &relay, "alice");
    let frames = [
        json!({"action": "userlist", "users": ["alice", EVIL]}),
        json!({"action": "roster", "joined": [EVIL], "left": []}),
        json!({"action": "roster", "joined": [], "left": [EVIL]}),
        json!({"action": "error", "code": EVIL, "detail": EVIL}),
        json!({"action": "message", "to": "bob", "from": EVIL, "v": 2, "content": ""}),
        json!({"action": EVIL}),
        json!({"action": "slow_reader", "detail": EVIL}),
    ];
    for frame in frames {
        relay.tell("bob", &frame);
    }
    say(&mut alice, "bob", EVIL);
    say(&mut alice, "bob", "the end");
    let lines = bob.lines_to("alice: the end");
    let obeyed =
        |letter: char| letter.is_control() || "\u{202e}\u{200b}\u{2028}\u{feff}".contains(letter);
    for line in &lines {
        assert!(!line.contains(obeyed), "{line:?}");
        assert!(!line.starts_with("carol") && !line.starts_with("* you are"), "{lines:#?}");
    }
    assert!(lines.iter().any(|line| line.starts_with("alice: ")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with("    carol: I am carol")), "{lines:#?}");

    relay.tell("bob", &json!({"action": "error", "code": "shutting_down", "detail": EVIL}));
    let lines = bob.lines_to("you are bob");
    assert!(!lines.iter().any(|line| line.contains(obeyed)), "{lines:#?}");
}
