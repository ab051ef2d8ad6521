//! A tick as one JSON object on one line, for programs.

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Serializer, Value, json};

use super::record::Next;
use super::text::{flags, readiness, signal_name, timeout_name};
use crate::reactor::{
    CloseReason, DeadlineKind, Event, Kind, Opened, ReadBlocks, Snapshot, State, Time, Token, Watch,
};
use crate::trace::{Annotation, Call, Callback, Effect, Named, Step, Tick, What};
use crate::wire::Ascii;

/// The line of one tick; `name` is that of its loop, where there are several.
pub(super) fn tick(name: Option<&str>, tick: &Tick) -> String {
    let event = |(event, named): &(Event, Option<Named>)| {
        let mut object = token(event.token);
        if let Some(named) = named {
            object.insert("name".to_owned(), (*named.name).into());
        }
        object.insert("ready".to_owned(), readiness(event).split(", ").collect());
        Value::Object(object)
    };
    let parts = tick.parts().into_iter();
    let parts = parts.map(|(phase, _, took)| (phase.as_str().to_owned(), json!(nanos(took))));
    let mut object = json!({
        "trace": "tick",
        "tick": tick.number,
        "empty_before": tick.empty_before,
        "began_ns": tick.began.as_nanos(),
        "timeout_ns": tick.timeout.map(nanos),
        "waited_ns": nanos(tick.woke.since(tick.began)),
        "events": tick.events.iter().map(event).collect::<Vec<_>>(),
        "steps": tick.steps.iter().map(|it| step(it, tick.woke)).collect::<Vec<_>>(),
        "parts_ns": parts.collect::<Map<_, _>>(),
        "worked_ns": nanos(tick.ended.since(tick.woke)),
        "calls": tick.calls(),
        "queued": tick.queued,
        "left": tick.left,
        "dirty": list(&tick.dirty),
        "sources": tick.sources.iter().map(|(named, it)| stands(named, it)).collect::<Vec<_>>(),
        "next": next(&tick.next),
    });
    if let Some(name) = name {
        object["loop"] = name.into();
    }
    line(&object)
}

/// In place of `ticks` that were dropped.
pub(super) fn missing(ticks: u64) -> String {
    line(&json!({"trace": "missing", "ticks": ticks}))
}

/// Everything beyond printable ASCII escaped: it may be shown on a terminal.
fn line(object: &Value) -> String {
    let mut out = Vec::new();
    // A `Vec` takes all that is written, and a `Value` has nothing that JSON has not.
    let _ = object.serialize(&mut Serializer::with_formatter(&mut out, Ascii));
    out.push(b'\n');
    String::from_utf8_lossy(&out).into_owned()
}

fn step(step: &Step, woke: Time) -> Value {
    let mut object = source(step.whom.as_ref());
    let mut add = |name: &str, value: Value| object.insert(name.to_owned(), value);
    add("phase", step.phase.as_str().into());
    add("at_ns", nanos(step.at.since(woke)).into());
    add("took_ns", nanos(step.took).into());
    match &step.what {
        What::Kernel(call, outcome) => {
            add("call", call.name().into());
            if let Some(number) = step.descriptor {
                add("fd", number.into());
            }
            if let (true, Ok(number)) = (call.opens(), outcome) {
                add("opened_fd", (*number).into());
            }
            if let Err(errno) = outcome {
                add("errno", format!("{errno:?}").into());
            }
            for (name, value) in call_members(call, outcome.unwrap_or(0)) {
                add(name, value);
            }
        }
        What::Handler(callback) => {
            add("told", callback.name().into());
            for (name, value) in callback_members(*callback) {
                add(name, value);
            }
        }
    }
    if !step.annotations.is_empty() {
        add("said", step.annotations.iter().map(annotation).collect());
        add("words", step.annotations.iter().map(|it| it.text.as_str()).collect());
    }
    if !step.changes.is_empty() {
        add("changes", step.changes.iter().map(change).collect());
    }
    Value::Object(object)
}

fn call_members(call: &Call, count: usize) -> Vec<(&'static str, Value)> {
    match call {
        Call::Listen(at) | Call::Connect(at) | Call::Accept(Some(at)) => {
            vec![("address", at.to_string().into())]
        }
        Call::Open(what) => vec![("what", (*what).into())],
        Call::Watch(interest, how) => {
            let how = if *how == Watch::Begin { "add" } else { "mod" };
            vec![("how", how.into()), ("interest", flags(*interest).into())]
        }
        Call::Read(room) => vec![("bytes", count.into()), ("room", (*room).into())],
        Call::Writev { offered, slices, left } => vec![
            ("bytes", count.into()),
            ("offered", (*offered).into()),
            ("slices", (*slices).into()),
            ("left", (*left).into()),
        ],
        Call::Accept(None) | Call::Shed | Call::Error | Call::Shutdown | Call::Close => vec![],
    }
}

fn callback_members(callback: Callback) -> Vec<(&'static str, Value)> {
    match callback {
        Callback::Opened(how) => vec![match how {
            Opened::Listening(at) => ("listening", at.to_string().into()),
            Opened::Accepted { peer, .. } => ("accepted", peer.to_string().into()),
            Opened::Connected => ("connected", true.into()),
            Opened::ProcessFd => ("source_opened", true.into()),
        }],
        Callback::Received { shown, used } => vec![("shown", shown.into()), ("used", used.into())],
        Callback::Ended(rest) => vec![("rest", rest.into())],
        Callback::Garbled(why) => vec![("garbled", why.into())],
        Callback::TimedOut(timeout) => vec![("deadline", timeout_name(timeout).into())],
        Callback::Timer(timer) => vec![("timer", timer.0.into())],
        Callback::Exhausted(errno) => vec![("errno", format!("{errno:?}").into())],
        Callback::Signal(signal) => vec![("signal", signal_name(signal).into())],
        Callback::Closed(CloseReason::Closed) => vec![("reason", "closed".into())],
        Callback::Closed(CloseReason::Aborted { unsent }) => {
            vec![("reason", "aborted".into()), ("unsent", unsent.into())]
        }
        Callback::Closed(CloseReason::Failed(errno)) => {
            vec![("reason", "failed".into()), ("errno", format!("{errno:?}").into())]
        }
        Callback::Drained | Callback::EndOfTick => vec![],
    }
}

fn change((whom, change): &(Named, Effect)) -> Value {
    let mut object = source(Some(whom));
    let (name, value) = match change {
        Effect::Queued(bytes) => ("queued", (*bytes).into()),
        Effect::Paused => ("paused", true.into()),
        Effect::Resumed => ("resumed", true.into()),
        Effect::Closing => ("closing", true.into()),
        Effect::Aborted => ("aborted", true.into()),
    };
    object.insert(name.to_owned(), value);
    Value::Object(object)
}

/// The handler's own object, or where it is none, its sentence.
pub(super) fn annotation(annotation: &Annotation) -> Value {
    let parsed = serde_json::from_str::<&RawValue>(&annotation.json);
    let object = parsed.ok().and_then(|raw| serde_json::from_str(raw.get()).ok());
    object.unwrap_or_else(|| annotation.text.as_str().into())
}

/// A source after the tick: its token, its state, what it is watched for, what is kept for it.
fn stands(named: &Named, it: &Snapshot) -> Value {
    let mut object = source(Some(named));
    let mut add = |name: &str, value: Value| object.insert(name.to_owned(), value);
    add("generation", named.token.generation().get().into());
    add("fd", it.descriptor.into());
    add("kind", kind(it.kind).into());
    add("state", state(it.state).into());
    add("watched", it.armed.map_or(Value::Null, |armed| flags(armed).into()));
    add("not_read", not_read(it.read_blocks).into());
    add("blocked", it.write_blocked.into());
    add("inbox", it.kept.into());
    add("outbox", it.queued.into());
    add("transform", it.is_transformed.into());
    let due = DeadlineKind::ALL.into_iter().zip(it.deadlines);
    let due = due.filter_map(|(kind, at)| Some((deadline(kind).to_owned(), at?.as_nanos().into())));
    add("deadlines_ns", Value::Object(due.collect()));
    Value::Object(object)
}

/// What the next tick has to do.
fn next(next: &Next) -> Value {
    let timers = (0..).zip(&next.left.timers);
    let timers = timers.filter_map(|(number, at): (u8, _)| Some((number, at.as_ref()?)));
    let timers = timers.map(|(number, at)| (number.to_string(), at.as_nanos().into()));
    json!({
        "asked": next.left.asked,
        "dirty": list(&next.dirty),
        "ready": list(&next.ready),
        "again": next.left.again,
        "timers_ns": timers.collect::<Map<_, _>>(),
    })
}

fn list(sources: &[Named]) -> Vec<Value> {
    sources.iter().map(|named| Value::Object(source(Some(named)))).collect()
}

const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Listener => "listener",
        Kind::Socket => "socket",
        Kind::Input => "input",
        Kind::Output => "output",
        Kind::Signals => "signals",
    }
}

const fn state(state: State) -> &'static str {
    match state {
        State::Connecting => "Connecting",
        State::Open => "Open",
        State::Closing => "Closing",
        State::Lingering => "Lingering",
        State::Dead(_) => "Dead",
    }
}

const fn deadline(kind: DeadlineKind) -> &'static str {
    match kind {
        DeadlineKind::Handshake => "handshake",
        DeadlineKind::Frame => "frame",
        DeadlineKind::Write => "write",
        DeadlineKind::Finish => "finish",
    }
}

fn not_read(blocks: ReadBlocks) -> Vec<&'static str> {
    let reasons = [
        (ReadBlocks::PAUSED, "paused"),
        (ReadBlocks::OVER_BUDGET, "over_budget"),
        (ReadBlocks::ACCEPT_BACKOFF, "accept_backoff"),
        (ReadBlocks::READ_EOF, "read_eof"),
        (ReadBlocks::WRITE_ONLY, "write_only"),
        (ReadBlocks::ENDED_WITHIN, "ended_within"),
    ];
    let given = reasons.into_iter().filter(|(reason, _)| blocks.any(*reason));
    given.map(|(_, name)| name).collect()
}

/// Which source: its slot, which tenant of that, and its name.
pub(super) fn source(named: Option<&Named>) -> Map<String, Value> {
    let Some(named) = named else { return Map::new() };
    let mut object = token(named.token);
    object.insert("name".to_owned(), (*named.name).into());
    object
}

fn token(token: Token) -> Map<String, Value> {
    let members = [("source", token.slot().into()), ("tenant", token.tenant().into())];
    members.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
}

pub(super) fn nanos(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
