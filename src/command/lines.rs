//! Standard input as lines, and each line as a command or a message.
//!
//! Knows what a person or a script may write; carries nothing out.

use memchr::memchr;
use serde::Deserialize;

use crate::limits::MAX_LINE;
use crate::wire::Fingerprint;

/// What one line of standard input asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum InputCommand {
    /// A message, to the named user or (none) to the current recipient.
    Say {
        /// To whom.
        to: Option<String>,
        /// What.
        text: String,
        /// The id that the script gave it.
        id: Option<String>,
    },
    /// From now on, text goes to this user.
    Recipient(String),
    /// Who is here?
    Users,
    /// Show the safety number with this user, or compare it with one that was read out.
    Verify {
        /// The user.
        name: String,
        /// What that user read out.
        number: Option<String>,
    },
    /// Accept the key that this user has now, or this one.
    Trust {
        /// The user.
        name: String,
        /// Its key.
        fp: Option<Fingerprint>,
    },
    /// What can be typed?
    Help,
    /// Leave.
    Quit,
    /// An empty line.
    Nothing,
}

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InputForm {
    /// Every line is a message as it stands (`send`).
    Plain,
    /// All of it is one message (`send --whole`).
    Whole,
    /// Text, or a command behind a slash (`chat`).
    Chat,
    /// One JSON object a line (`--json`).
    Json,
}

impl InputForm {
    /// What `line` (without its end) asks for, or why it cannot be understood.
    pub(super) fn parse(self, line: &[u8]) -> Result<InputCommand, String> {
        let text = str::from_utf8(line).map_err(|bad| {
            format!("it is not UTF-8 (see byte {}) and was passed over", bad.valid_up_to() + 1)
        })?;
        match self {
            Self::Plain | Self::Whole => Ok(say(None, text)),
            Self::Chat => chat(text),
            Self::Json => json(text),
        }
    }
}

/// Cuts what arrives into lines of a bounded length.
#[derive(Default)]
pub(super) struct Lines {
    /// The rest of a line that was too long is still to come, and is skipped.
    skipping: bool,
}

/// A line, or the fact that one was too long to be taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// Without its end.
    Whole(&'a [u8]),
    /// Over [`MAX_LINE`] bytes; it was skipped.
    TooLong,
}

impl Lines {
    /// The first line of `bytes`, if its end is there, and how many bytes it took. `(None, n)`:
    /// call again with what is left after `n` bytes and more behind it.
    pub(super) fn next<'a>(&mut self, bytes: &'a [u8]) -> (Option<Line<'a>>, usize) {
        match memchr(b'\n', bytes) {
            Some(end) if std::mem::take(&mut self.skipping) => (None, end + 1),
            Some(end) if end > MAX_LINE => (Some(Line::TooLong), end + 1),
            Some(end) => (Some(Line::Whole(&bytes[..end])), end + 1),
            None if self.skipping => (None, bytes.len()),
            None if bytes.len() > MAX_LINE => {
                self.skipping = true;
                (Some(Line::TooLong), bytes.len())
            }
            None => (None, 0),
        }
    }

    /// The last line, which the input ended without ending.
    pub(super) fn last<'a>(&mut self, rest: &'a [u8]) -> Option<Line<'a>> {
        if std::mem::take(&mut self.skipping) || rest.is_empty() {
            return None;
        }
        Some(Line::Whole(rest))
    }
}

fn say(to: Option<&str>, text: &str) -> InputCommand {
    InputCommand::Say { to: to.map(str::to_owned), text: text.to_owned(), id: None }
}

fn chat(line: &str) -> Result<InputCommand, String> {
    if line.trim().is_empty() {
        return Ok(InputCommand::Nothing);
    }
    // White space behind a command, and the `\r` of a file with the line ends of another system.
    let line = line.strip_suffix('\r').unwrap_or(line);
    if let Some(aside) = line.strip_prefix('@') {
        let (to, text) = aside.split_once(' ').unwrap_or((aside, ""));
        if to.is_empty() || text.is_empty() {
            return Err("write @NAME TEXT".to_string());
        }
        return Ok(say(Some(to), text));
    }
    let Some(command) = line.strip_prefix('/') else { return Ok(say(None, line)) };
    if command.starts_with('/') {
        return Ok(say(None, command));
    }
    let (word, argument) = command.split_once(' ').unwrap_or((command, ""));
    let argument = argument.trim();
    let named = |ask: fn(&str) -> Result<InputCommand, String>| match argument {
        "" => Err(format!("write /{word} NAME")),
        argument => ask(argument),
    };
    match word {
        "to" => named(|name| Ok(InputCommand::Recipient(name.to_owned()))),
        "verify" => named(|argument| Ok(verify(argument))),
        "trust" => named(trust),
        "users" => Ok(InputCommand::Users),
        "help" => Ok(InputCommand::Help),
        "quit" => Ok(InputCommand::Quit),
        _ => Err(format!(
            "there is no /{word}; /help lists what there is, // begins a text with a slash"
        )),
    }
}

fn verify(argument: &str) -> InputCommand {
    let (name, number) = argument.split_once(' ').unwrap_or((argument, ""));
    let number = Some(number.to_owned()).filter(|number| !number.is_empty());
    InputCommand::Verify { name: name.to_owned(), number }
}

fn trust(argument: &str) -> Result<InputCommand, String> {
    let (name, fp) = argument.split_once(' ').unwrap_or((argument, ""));
    let fp = match fp.trim() {
        "" => None,
        text => Some(text.parse().map_err(|_| format!("{text} is no fingerprint of a key"))?),
    };
    Ok(InputCommand::Trust { name: name.to_owned(), fp })
}

fn json(line: &str) -> Result<InputCommand, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Message {
        to: String,
        text: String,
        id: Option<String>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct JsonCommand {
        command: String,
    }
    if line.trim().is_empty() {
        return Ok(InputCommand::Nothing);
    }
    if let Ok(JsonCommand { command }) = serde_json::from_str(line) {
        return match command.as_str() {
            "users" => Ok(InputCommand::Users),
            "quit" => Ok(InputCommand::Quit),
            _ => Err("there is no such command; there are \"users\" and \"quit\"".to_string()),
        };
    }
    // The place only: the whole error would quote the text.
    let Message { to, text, id } = serde_json::from_str(line).map_err(|error| {
        let column = error.column();
        format!("neither {{\"to\":NAME,\"text\":TEXT}} nor {{\"command\":…}}: see column {column}")
    })?;
    Ok(InputCommand::Say { to: Some(to), text, id })
}

/// What `/help` shows.
pub(super) const HELP: &str = "\
text              to the current recipient
//text            a text that begins with a slash
@NAME text        to NAME, once
/to NAME          choose the recipient
/users            who is here
/verify NAME      show the safety number with NAME; with the number behind it: compare, and mark
/trust NAME       accept the key that NAME has now; with a fingerprint behind it: that key
/quit             leave (so does the end of input)
What you write to a user who is away is left as a letter, and shown there when that user is back.
";

/// The commands, for Tab.
pub(super) const COMMANDS: [&str; 6] = ["/help", "/quit", "/to", "/trust", "/users", "/verify"];

/// What F1 and `/help` show where the terminal is drawn on. It fits a terminal of 80 columns and 24
/// rows, beside the list of users too.
pub(super) const SCREEN_HELP: &str = "\
text              to whom you have chosen; //text: with /
@NAME text        to NAME, once
/to NAME          choose NAME; Enter: whoever wrote last
/users            who is here
/verify NAME      show the safety number; or compare one
/trust NAME       accept the key that NAME has now
/quit, Ctrl-D     leave, and wait for confirmations
Ctrl-C            take the line back; without one: leave
Alt-Enter         send each pasted line as a message
Tab               complete a command or a name
Up, Down, Ctrl-R  earlier lines, and a search in them
Ctrl-A E B F      begin, end, back, forward; Alt: words
Ctrl-K U W, Alt-D delete to the end, the begin; a word
Ctrl-Y, Ctrl-T    put back what was deleted; swap two
Ctrl-L, Ctrl-Z    draw anew; stop
F2                the whole screen, and back; there:
PageUp, PageDown  earlier and later lines
Alt-A, Alt-1 to 9 the next unread text; a user
Alt-Left, -Right  the user above, below
Marks: \u{2713} delivered, \u{2717} failed, \u{b7} sent or stored
Who is away is left a letter, and shown it later.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<InputCommand, String> {
        InputForm::Chat.parse(line.as_bytes())
    }

    #[test]
    fn a_chat_line_is_a_text_or_a_command() {
        assert_eq!(parse("hi there"), Ok(say(None, "hi there")));
        assert_eq!(parse("//etc/passwd"), Ok(say(None, "/etc/passwd")));
        assert_eq!(parse("@bob  hi"), Ok(say(Some("bob"), " hi")));
        assert_eq!(parse("/to bob "), Ok(InputCommand::Recipient("bob".into())));
        assert_eq!(parse("/quit"), Ok(InputCommand::Quit));
        assert_eq!(parse("  "), Ok(InputCommand::Nothing));
        for wrong in ["/to", "/nothing", "@bob", "@ hi"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_help_fits_beside_the_list_of_users() {
        let rows: Vec<&str> = SCREEN_HELP.lines().collect();
        assert!(
            rows.len() <= 24 - 3,
            "{} rows; the heading, status and line are three",
            rows.len()
        );
        for row in rows {
            assert!(crate::screen::width(row) <= 80 - 23, "{row}");
        }
    }

    #[test]
    fn a_json_line_is_a_message_or_a_command() {
        let parse = |line: &str| InputForm::Json.parse(line.as_bytes());
        let with_id =
            InputCommand::Say { to: Some("bob".into()), text: "hi".into(), id: Some("7".into()) };
        assert_eq!(parse(r#"{"to":"bob","text":"hi","id":"7"}"#), Ok(with_id));
        assert_eq!(parse(r#"{"command":"users"}"#), Ok(InputCommand::Users));
        for wrong in
            ["hi", "{}", r#"{"command":"dance"}"#, r#"{"to":"bob"}"#, r#"{"to":1,"text":"a"}"#]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_plain_line_is_a_message_whatever_it_says() {
        for line in ["/quit", "", " ", "with its CR\r"] {
            assert_eq!(InputForm::Plain.parse(line.as_bytes()), Ok(say(None, line)));
        }
        assert!(InputForm::Plain.parse(b"\xff").is_err());
    }

    #[test]
    fn a_line_that_is_too_long_is_told_once_and_the_next_one_is_taken() {
        let mut lines = Lines::default();
        assert_eq!(lines.next(b"half"), (None, 0));
        let long = vec![b'x'; MAX_LINE + 1];
        assert_eq!(lines.next(&long), (Some(Line::TooLong), long.len()));
        assert_eq!(lines.next(b"more"), (None, 4));
        assert_eq!(lines.next(b"end\nnext\n"), (None, 4));
        assert_eq!(lines.next(b"next\nlast"), (Some(Line::Whole(b"next")), 5));
        assert_eq!(lines.last(b"last"), Some(Line::Whole(b"last".as_slice())));
        assert_eq!(lines.last(b""), None);
    }
}
