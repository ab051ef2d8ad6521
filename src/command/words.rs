//! A client's events in words for a trace: names, codes and sizes, and never a text.

use serde_json::{Value, json};

use crate::client::{Event, Progress};
use crate::trace::Recorder;

/// Says what `event` is about.
pub(super) fn say(recorder: &Recorder, event: &Event) {
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
        Event::Message { from, text, n, .. } => {
            let bytes = text.len();
            let object = json!({"event": "message", "from": from, "n": n, "bytes": bytes});
            (format!("message {n} from {from}, {bytes} bytes"), object)
        }
        Event::Queued { id, to } => message(id, to, "queued"),
        Event::Relayed { id, to } => message(id, to, "relayed"),
        Event::Delivered { id, to } => message(id, to, "delivered"),
        Event::Failed { id, to, code, .. } => {
            let code = code.as_str();
            let object = json!({"event": "failed", "id": id, "to": to, "code": code});
            (format!("{id} to {to} failed: {code}"), object)
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

fn message(id: &str, to: &str, what: &str) -> (String, Value) {
    (format!("{id} to {to}: {what}"), json!({"event": what, "id": id, "to": to}))
}

const fn fares(progress: &Progress) -> &'static str {
    match progress {
        Progress::Connecting { .. } => "connecting",
        Progress::Unreachable { .. } => "unreachable",
        Progress::NewRelay { .. } => "a new relay",
        Progress::Lost { .. } => "the connection is lost",
        Progress::Absent { .. } => "a peer has gone, and a text waits for it",
        Progress::KeyAnswered { .. } => "the relay has answered for a key",
        Progress::Retrying { .. } => "trying again later",
    }
}
