//! What a person, a script or a trace is shown of a client's events.
//!
//! Pure: an event becomes text for standard output, for standard error, or for neither. Standard
//! output carries messages (or, with `--json`, every event as one object a line) and nothing else;
//! all talk goes to standard error. What came from the network is escaped before it reaches a
//! terminal, so that no message can move the cursor, turn the text around or pass for another
//! user's line.

use serde_json::{Value, json};

use crate::client::{Caution, Event, Failure, Loss, Progress, Standing, Way};
use crate::limits::STRANGER_LETTERS_PER_SECOND;
use crate::screen::{escape, isolate};
use crate::trace::Recorder;
use crate::wire::check_name_v2;

/// How events are written.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// One JSON object a line on standard output.
    pub json: bool,
    /// Standard output is a terminal: messages are escaped for it.
    pub terminal: bool,
    /// How the user calls `sealwax keys` for this home.
    pub keys: String,
    /// The last part of talk that is still told.
    pub level: Level,
    /// The wall clock, in milliseconds since 1970.
    pub clock: fn() -> u64,
}

/// How much a piece of talk matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// Nothing at all.
    Silent,
    /// What failed or was refused.
    Warning,
    /// Who comes and goes, whose key is new.
    Info,
    /// Each step of each message.
    Detail,
}

/// What one event is written as. Each part is whole lines, or empty.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    /// For standard output.
    pub output: String,
    /// For standard error.
    pub talk: String,
}

impl Level {
    /// What `-v` and `-q` ask for.
    pub(super) fn asked(verbose: u8, quiet: u8) -> Self {
        match (quiet, verbose) {
            (0, 0) => Self::Info,
            (0, _) => Self::Detail,
            (1, _) => Self::Warning,
            _ => Self::Silent,
        }
    }
}

impl View {
    /// How `event` is written.
    pub(super) fn write(&self, event: &Event) -> Written {
        let mut written = Written::default();
        if self.json {
            if let Some(object) = object(event) {
                written.output = format!("{object}\n");
                return written;
            }
        } else if let Event::Message { from, text, way, .. } = event {
            let age = match *way {
                Way::Session { .. } => None,
                Way::Letter { at } => Some(ago((self.clock)(), at)),
            };
            written.output = self.message(from, age.as_deref(), text);
            return written;
        }
        if let Some((level, sentence)) = sentence(event, &self.keys, (self.clock)()) {
            written.talk = self.talk(level, &sentence);
        }
        written
    }

    /// A piece of talk as lines for standard error, which may always be a terminal; empty where it
    /// is not wanted.
    pub(super) fn talk(&self, level: Level, sentence: &str) -> String {
        if level > self.level {
            return String::new();
        }
        format!("* {}\n", indented(sentence))
    }

    /// `NAME: TEXT` as one line, or on a terminal as one line and its indented continuations. There
    /// a letter has its `age` behind the name.
    fn message(&self, from: &str, age: Option<&str>, text: &str) -> String {
        if self.terminal {
            let age = age.map_or(String::new(), |age| format!(" ({age})"));
            return format!("{}{age}: {}\n", escape(from), isolated(text));
        }
        let mut line = format!("{from}: ");
        for letter in text.chars() {
            match letter {
                '\n' => line.push_str("\\n"),
                '\r' => line.push_str("\\r"),
                '\\' => line.push_str("\\\\"),
                other => line.push(other),
            }
        }
        line.push('\n');
        line
    }
}

/// Escaped for a terminal; a line end inside continues indented, so that it cannot pass for a line
/// of its own.
pub(super) fn indented(text: &str) -> String {
    let lines: Vec<_> = text.split('\n').map(escape).collect();
    lines.join("\n    ")
}

/// The same for a terminal, which may draw letters from right to left: no line turns another
/// around.
pub(super) fn isolated(text: &str) -> String {
    let lines = text.split('\n').map(|line| isolate(&escape(line)).into_owned());
    lines.collect::<Vec<_>>().join("\n    ")
}

/// How long before `now` something was, in words; both in milliseconds since 1970.
pub(super) fn ago(now: u64, then: u64) -> String {
    format!("{} ago", span(then, now))
}

/// How long it is from one instant to a later one, in words; both in milliseconds since 1970.
pub(super) fn span(from: u64, to: u64) -> String {
    let minutes = to.saturating_sub(from) / 60_000;
    match (minutes / (24 * 60), minutes / 60, minutes) {
        (0, 0, 0) => "less than a minute".to_owned(),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, _) => format!("{hours} h"),
        (1, ..) => "1 day".to_owned(),
        (days, ..) => format!("{days} days"),
    }
}

/// The event as `--json` tells it; none for what is only of use to a person.
fn object(event: &Event) -> Option<Value> {
    if matches!(event, Event::Progress(_)) {
        return None;
    }
    serde_json::to_value(event).ok() // never fails: names, texts and numbers
}

/// The event as a sentence, and how much it matters.
fn sentence(event: &Event, keys: &str, now: u64) -> Option<(Level, String)> {
    Some(match event {
        Event::Registered { name, fp } => (Level::Info, format!("you are {name}, {fp}")),
        Event::Users { users } => (Level::Info, format!("here: {}", listed(users))),
        Event::Joined { users } => (Level::Info, format!("came: {}", listed(users))),
        Event::Left { users } => (Level::Info, format!("went: {}", listed(users))),
        Event::Peer { name, fp, standing } => peer(name, &fp.to_string(), *standing, keys),
        Event::Queued { id, to } => (Level::Detail, format!("{id} to {to}: queued")),
        Event::Relayed { id, to } => (Level::Detail, format!("{id} to {to}: relayed")),
        Event::Stored { id, to } => (Level::Detail, format!("{id} to {to}: stored")),
        // Letters of earlier runs are told together as well (`front/gathered.rs`).
        Event::Delivered { id, to, .. } => (Level::Detail, format!("{id} to {to}: delivered")),
        Event::Unconfirmed { id, to, stored_at, code } => {
            (Level::Warning, unconfirmed(id, to, &ago(now, *stored_at), *code))
        }
        Event::MailboxFull { to, detail } => {
            (Level::Warning, format!("no letter can be left for {to} now: {detail}"))
        }
        Event::LetterboxEmpty {} => (Level::Detail, "no more letters wait for you".to_owned()),
        Event::LettersHeld { from, fp, count, reason } => {
            (Level::Warning, held(from, &fp.to_string(), *count, *reason, keys))
        }
        Event::Gap { from, missing } => {
            (Level::Warning, format!("{missing} messages from {from} are missing before the next"))
        }
        Event::Failed { id, to, code, detail } => {
            // How many they are is told at the end.
            let level = if code.is_of_wait() { Level::Detail } else { Level::Warning };
            (level, failed(id, to, *code, detail))
        }
        Event::Warning { code, detail } => {
            (Level::Warning, format!("warning ({}): {detail}", code.as_str()))
        }
        Event::Closed { code, detail } => {
            let left = code.as_str() == "left";
            let level = if left { Level::Detail } else { Level::Warning };
            (level, format!("closed ({}): {detail}", code.as_str()))
        }
        Event::Progress(progress) => self::progress(progress),
        Event::Message { .. } => return None,
    })
}

fn peer(name: &str, fp: &str, standing: Standing, keys: &str) -> (Level, String) {
    use crate::client::Trust;
    match standing {
        Standing::Pinned(Trust::Tofu) => (
            Level::Info,
            format!(
                "{name} has the key {fp}, which nobody has compared: \
                 `{keys} verify {name}` shows the number to read to each other"
            ),
        ),
        Standing::Pinned(Trust::Verified) => {
            (Level::Info, format!("{name} has the key {fp}, verified"))
        }
        Standing::Changed => (
            Level::Warning,
            format!(
                "THE KEY OF {name} HAS CHANGED, to {fp}. Nothing goes to {name} or is shown from \
                 {name} until you accept it. Ask {name} over another channel first; if it is \
                 right: `{keys} trust {name} {fp}`"
            ),
        ),
    }
}

/// The sentence for letters that are held, with what to do.
fn held(from: &str, fp: &str, count: usize, reason: Caution, keys: &str) -> String {
    let letters = match count {
        1 => format!("1 letter of {from} is held"),
        count => format!("{count} letters of {from} are held"),
    };
    match reason {
        Caution::KeyChanged => format!(
            "{letters}: sealed under {fp}, and that is not the key of {from} that you know. Ask \
             {from} over another channel; if it is right: `{keys} trust {from} {fp}`"
        ),
        Caution::NotVerified => format!(
            "{letters}: --strict refuses a key that was never compared: `{keys} verify {from}`"
        ),
        _ => format!("{letters} until your clock shows the time at which they were written"),
    }
}

/// The sentence for a letter that is not waited for any more.
fn unconfirmed(id: &str, to: &str, ago: &str, code: Loss) -> String {
    let why = match code {
        Loss::Age => "it may have arrived, and is not waited for any more".to_owned(),
        Loss::UnknownUser => format!(
            "the relay knows nobody named {to} any more, and has deleted what was not read by then"
        ),
        Loss::KeyChanged => format!(
            "the name {to} has another key now, and what was not read by then cannot be read any \
             more"
        ),
    };
    format!("{to} has not confirmed what you left {ago} ({id}): {why}")
}

/// The sentence for a message that failed. If its addressee's key is the reason, the warning before
/// it has said why and what to do.
fn failed(id: &str, to: &str, code: Failure, detail: &str) -> String {
    let which = if id.is_empty() { "the message".to_owned() } else { format!("message {id}") };
    let why = match code {
        Failure::KeyChanged
        | Failure::NotVerified
        | Failure::NotV2
        | Failure::Downgrade
        | Failure::BadKey
        | Failure::BadPrekey
        | Failure::TrustFile => "see above",
        Failure::UnknownUser
        | Failure::TooLong
        | Failure::MailboxFull
        | Failure::WaitRanOut
        | Failure::Refused => detail,
    };
    format!("{which} to {to} failed ({}): {why}", code.as_str())
}

fn progress(progress: &Progress) -> (Level, String) {
    match progress {
        Progress::Connecting { address } => (Level::Detail, format!("connecting to {address}")),
        Progress::Unreachable { address, why } => {
            (Level::Warning, format!("{address} cannot be reached: {why}"))
        }
        Progress::NewRelay { relay, key } => (
            Level::Warning,
            format!("the relay {relay} is new to you; its key {key} is remembered"),
        ),
        Progress::Lost { why } => (Level::Warning, format!("the connection is lost: {why}")),
        Progress::Absent { name, is_known } => {
            let doubt = if *is_known { "" } else { " (is the name spelled right?)" };
            let waits = format!("what you write waits here until {name} comes");
            (Level::Info, format!("{name} is not connected{doubt}: {waits}"))
        }
        Progress::Away { name } => (
            Level::Info,
            format!("{name} is away: what you write is stored, and delivered when {name} is back"),
        ),
        Progress::NoLetterbox { why } => {
            (Level::Detail, format!("this relay keeps no letters for you: {why}"))
        }
        Progress::LettersInLine => (
            Level::Warning,
            format!(
                "letters of users whom you do not know wait for their turn: \
                 {STRANGER_LETTERS_PER_SECOND} of them are opened a second"
            ),
        ),
        Progress::KeyAnswered { name } => {
            (Level::Detail, format!("the relay has answered for the key of {name}"))
        }
        Progress::Retrying { pause } => {
            (Level::Info, format!("trying again in {:.1} s", pause.as_secs_f64()))
        }
    }
}

/// Names, separated by commas. A name that is not of version 2 stands in quotes: it may contain a
/// comma, or look like another name (`bоb`, with a Cyrillic letter).
fn listed(users: &[String]) -> String {
    let shown = |user: &String| match check_name_v2(user) {
        Ok(()) => user.clone(),
        Err(_) => format!("\"{}\"", user.replace('"', "\\\"")),
    };
    users.iter().map(shown).collect::<Vec<_>>().join(", ")
}

// --- For a trace: names, codes and sizes, and never a text ---

/// Tells a trace what `event` is about.
pub(super) fn annotate(recorder: &Recorder, event: &Event) {
    let (text, object) = words(event);
    recorder.say(text, object.to_string());
}

fn words(event: &Event) -> (String, Value) {
    match event {
        Event::Registered { name, .. } => {
            (format!("registered as {name}"), json!({"event": "registered", "name": name}))
        }
        Event::Users { users } => some(users, "here", "users"),
        Event::Joined { users } => some(users, "came", "joined"),
        Event::Left { users } => some(users, "went", "left"),
        Event::Peer { name, standing, .. } => {
            let trust = standing.as_str();
            let object = json!({"event": "peer", "name": name, "trust": trust});
            (format!("the key of {name}: {trust}"), object)
        }
        Event::Message { from, text, way: Way::Session { n }, .. } => {
            let bytes = text.len();
            let object = json!({"event": "message", "from": from, "n": n, "bytes": bytes});
            (format!("message {n} from {from}, {bytes} bytes"), object)
        }
        Event::Message { from, text, way: Way::Letter { .. }, .. } => {
            let bytes = text.len();
            let object = json!({"event": "message", "from": from, "letter": true, "bytes": bytes});
            (format!("letter from {from}, {bytes} bytes"), object)
        }
        Event::Stored { id, to } => of_message(id, to, "stored"),
        Event::Unconfirmed { id, to, .. } => of_message(id, to, "unconfirmed"),
        Event::MailboxFull { to, .. } => {
            (format!("the letterbox of {to} is full"), json!({"event": "mailbox_full", "to": to}))
        }
        Event::LetterboxEmpty {} => {
            ("no more letters".to_owned(), json!({"event": "letterbox_empty"}))
        }
        Event::Queued { id, to } => of_message(id, to, "queued"),
        Event::Relayed { id, to } => of_message(id, to, "relayed"),
        Event::Delivered { id, to, .. } => of_message(id, to, "delivered"),
        Event::Failed { id, to, code, .. } => {
            let code = code.as_str();
            let object = json!({"event": "failed", "id": id, "to": to, "code": code});
            (format!("{id} to {to} failed: {code}"), object)
        }
        Event::LettersHeld { from, count, reason, .. } => {
            let reason = reason.as_str();
            let object =
                json!({"event": "letters_held", "from": from, "count": count, "reason": reason});
            (format!("{count} letters of {from} are held: {reason}"), object)
        }
        Event::Gap { from, missing } => {
            let object = json!({"event": "gap", "from": from, "missing": missing});
            (format!("{missing} messages from {from} are missing"), object)
        }
        Event::Warning { code, .. } => (
            format!("warning: {}", code.as_str()),
            json!({"event": "warning", "code": code.as_str()}),
        ),
        Event::Closed { code, .. } => (
            format!("closed: {}", code.as_str()),
            json!({"event": "closed", "code": code.as_str()}),
        ),
        Event::Progress(progress) => {
            let word = fares(progress);
            (word.to_owned(), json!({"event": "progress", "what": word}))
        }
    }
}

/// Users are counted: there may be very many.
fn some(users: &[String], word: &str, event: &str) -> (String, Value) {
    let count = users.len();
    let who = match users {
        [one] => one.clone(),
        _ => format!("{count} users"),
    };
    (format!("{word}: {who}"), json!({"event": event, "count": count}))
}

fn of_message(id: &str, to: &str, what: &str) -> (String, Value) {
    (format!("{id} to {to}: {what}"), json!({"event": what, "id": id, "to": to}))
}

const fn fares(progress: &Progress) -> &'static str {
    match progress {
        Progress::Connecting { .. } => "connecting",
        Progress::Unreachable { .. } => "unreachable",
        Progress::NewRelay { .. } => "a new relay",
        Progress::Lost { .. } => "the connection is lost",
        Progress::Absent { .. } => "a peer has gone, and a text waits for it",
        Progress::Away { .. } => "a peer is away, and is left letters",
        Progress::NoLetterbox { .. } => "the relay keeps no letters for us",
        Progress::LettersInLine => "letters of strangers wait for their turn",
        Progress::KeyAnswered { .. } => "the relay has answered for a key",
        Progress::Retrying { .. } => "trying again later",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;
    const VIEW: View = View {
        json: false,
        terminal: true,
        keys: String::new(),
        level: Level::Info,
        clock: || 100 * HOUR,
    };

    #[test]
    fn on_a_terminal_no_text_can_pass_for_another_line() {
        let evil = "hi\nbob: I am not bob\x1b[2J\u{202e}\rx";
        let shown = VIEW.message("alice", None, evil);
        assert!(shown.starts_with("alice: hi\n    bob: I am not bob"), "{shown:?}");
        assert!(!shown.contains(['\x1b', '\u{202e}', '\r']), "{shown:?}");
    }

    #[test]
    fn in_a_pipe_a_message_is_one_line_that_can_be_undone() {
        let piped = View { terminal: false, ..VIEW };
        assert_eq!(piped.message("alice", None, "a\nb\\n\rc\x1b"), "alice: a\\nb\\\\n\\rc\x1b\n");
    }

    #[test]
    fn a_letter_has_its_age_on_a_terminal_and_a_line_in_a_pipe_stays_what_it_is() {
        let before = |minutes: u64| ago(100 * HOUR, 100 * HOUR - minutes * 60_000);
        let ages = [0, 1, 59, 60, 24 * 60, 48 * 60].map(before);
        let [just, minute, minutes, hour, day, days] = ages.each_ref().map(String::as_str);
        assert_eq!([just, minute], ["less than a minute ago", "1 min ago"]);
        assert_eq!(
            [minutes, hour, day, days],
            ["59 min ago", "1 h ago", "1 day ago", "2 days ago"]
        );
        assert_eq!(ago(1, 2), "less than a minute ago", "its clock is ahead");
        assert_eq!(VIEW.message("alice", Some("1 h ago"), "hi"), "alice (1 h ago): hi\n");
        let piped = View { terminal: false, ..VIEW };
        assert_eq!(piped.message("alice", Some("1 h ago"), "hi"), "alice: hi\n");
    }

    #[test]
    fn json_is_exact_and_talk_stays_out_of_it() {
        let json = View { json: true, ..VIEW };
        let written = json.write(&Event::Gap { from: "bob".into(), missing: 2 });
        assert_eq!(written.output, "{\"event\":\"gap\",\"from\":\"bob\",\"missing\":2}\n");
        assert_eq!(written.talk, "");
        let lost = Event::Progress(Progress::Lost { why: "reset\x1b".into() });
        assert_eq!(json.write(&lost).output, "");
        assert!(json.write(&lost).talk.starts_with("* the connection is lost"));
        assert!(!json.write(&lost).talk.contains('\x1b'));
    }

    #[test]
    fn quiet_tells_warnings_and_very_quiet_nothing() {
        let joined = Event::Joined { users: vec!["bob".into()] };
        let gap = Event::Gap { from: "bob".into(), missing: 1 };
        let told = |quiet, event: &Event| {
            View { level: Level::asked(0, quiet), ..VIEW }.write(event) != Written::default()
        };
        assert_eq!([told(0, &joined), told(1, &joined), told(2, &joined)], [true, false, false]);
        assert_eq!([told(0, &gap), told(1, &gap), told(2, &gap)], [true, true, false]);
    }

    #[test]
    fn a_name_that_could_pass_for_others_is_shown_in_quotes() {
        let users = ["bob", "alice, carol", "b\u{43e}b", "\"quoted\""].map(str::to_owned);
        let expected = "bob, \"alice, carol\", \"b\u{43e}b\", \"\\\"quoted\\\"\"";
        assert_eq!(listed(&users), expected);
    }
}
