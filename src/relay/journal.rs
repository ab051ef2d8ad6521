//! The activity log: events become lines, and lines wait until standard error takes them.
//!
//! Knows events (`event.rs`) and bytes. It has no clock, no descriptor and no thread: the time is
//! handed in, and what is queued is handed to the loop, which writes it like any other output. A
//! terminal that stands still or a disk that is full must not hold up the relay, so the queue is
//! bounded: lines beyond it are counted, and the count takes their place.

use std::io::{self, Write};
use std::mem;

use serde::Serialize;
use serde_json::Serializer;

use super::event::{Event, Level, LineKind};
use super::limits::LOG_QUEUE;
use super::utc::Utc;
use crate::wire::Ascii;

/// What a line looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A sentence for people.
    Text {
        /// Whether the kind is coloured (ECMA-48 SGR, as terminals know it).
        color: bool,
    },
    /// One object a line, for programs.
    Json,
}

/// A callback that is told of events as they happen.
type Hears = Box<dyn FnMut(&Event)>;

/// The lines that nobody has taken yet.
pub struct Journal {
    format: Format,
    level: Level,
    /// Is told of all events, whatever the level; and the level up to which there is anything to
    /// do.
    hears: Option<Hears>,
    most: Level,
    queue: Vec<u8>,
    /// What the last `take` handed out; kept so that its room is used again.
    taken: Vec<u8>,
    /// Lines lost since the last `take`. While there are any, further ones are lost too, so that
    /// the count stands where they are missing.
    dropped: u64,
    dropped_at: Utc,
    /// What the line at the end of the last `take` says of them.
    counted: u64,
    /// Lines lost since the start, of which the above have not been told.
    dropped_in_all: u64,
}

impl Journal {
    /// An empty journal that keeps what `level` tells.
    pub fn new(format: Format, level: Level) -> Self {
        let (queue, taken) = (Vec::new(), Vec::new());
        let (hears, most) = (None, level);
        Self {
            format,
            level,
            hears,
            most,
            queue,
            taken,
            dropped: 0,
            dropped_at: Utc(0),
            counted: 0,
            dropped_in_all: 0,
        }
    }

    /// The same, and each event is told to `hears` as it happens, the quietest too.
    pub fn heard_by(self, hears: impl FnMut(&Event) + 'static) -> Self {
        Self { hears: Some(Box::new(hears)), most: Level::Debug, ..self }
    }

    /// From now on it keeps what `level` tells.
    pub(super) fn set_level(&mut self, level: Level) {
        self.level = level;
        self.most = if self.hears.is_some() { Level::Debug } else { level };
    }

    /// Lines that were lost since the start.
    pub(super) fn dropped_in_all(&self) -> u64 {
        self.dropped_in_all
    }

    /// The level up to which there is anything to do with an event.
    pub(super) const fn most(&self) -> Level {
        self.most
    }

    /// Whether `event` makes a line here.
    pub fn logs(&self, event: &Event) -> bool {
        event.level() <= self.level
    }

    /// Tells `event` to the callback, if there is one.
    pub(super) fn hear(&mut self, event: &Event) {
        if let Some(hears) = &mut self.hears {
            hears(event);
        }
    }

    /// Queues the line for `event`, which happened at `wall_ms` (milliseconds since 1970, UTC), or
    /// counts it where [`LOG_QUEUE`] bytes are waiting.
    pub fn write(&mut self, wall_ms: u64, event: &Event) {
        if !self.logs(event) {
            return;
        }
        let before = self.queue.len();
        let is_kept = self.dropped == 0
            && self.append(Utc(wall_ms), event).is_ok()
            && self.queue.len() <= LOG_QUEUE;
        if !is_kept {
            self.queue.truncate(before);
            self.count(wall_ms, 1);
        }
    }

    /// Counts `lines` as lost that were not written here.
    pub(super) fn count(&mut self, wall_ms: u64, lines: u64) {
        self.dropped += lines;
        self.dropped_in_all += lines;
        self.dropped_at = Utc(wall_ms);
    }

    /// What was taken last did not leave the process: its lines are lost, those too of which a part
    /// had left before.
    pub(super) fn lose_taken(&mut self) {
        let counted = mem::take(&mut self.counted);
        let count_lines = u64::from(counted > 0);
        let lines = memchr::memchr_iter(b'\n', &self.taken).count() as u64 - count_lines;
        self.taken.clear();
        self.count(self.dropped_at.0, lines);
        self.dropped += counted; // which is to be told again
    }

    /// Hands out all that is queued, whole lines, and begins anew.
    ///
    /// To be called when what was taken before has left the process: what is taken is no longer
    /// bounded here.
    pub fn take(&mut self) -> &[u8] {
        self.counted = mem::take(&mut self.dropped);
        if self.counted > 0 {
            let event = Event::LinesDropped { lines: self.counted };
            let is_written = self.append(self.dropped_at, &event).is_ok();
            debug_assert!(is_written, "a number can always be shown");
        }
        self.taken.clear();
        mem::swap(&mut self.queue, &mut self.taken);
        &self.taken
    }

    fn append(&mut self, time: Utc, event: &Event) -> io::Result<()> {
        let out = &mut self.queue;
        match self.format {
            // Scripts wait for exactly this line.
            Format::Text { .. } if matches!(event, Event::Listening { .. }) => {
                writeln!(out, "{event}")
            }
            Format::Text { color: false } => writeln!(out, "{time} {:7} {event}", event.kind()),
            Format::Text { color: true } => {
                let (kind, color) = (event.kind(), color_of(event.kind()));
                writeln!(out, "{time} \x1b[{color}m{kind:7}\x1b[0m {event}")
            }
            Format::Json => {
                let line = LogLine::new(time, event);
                line.serialize(&mut Serializer::with_formatter(&mut *out, Ascii))?;
                writeln!(out)
            }
        }
    }
}

/// The colour of a kind, as the parameter of SGR (ECMA-48, 8.3.117).
const fn color_of(kind: LineKind) -> u8 {
    match kind {
        LineKind::Info => 36,    // cyan
        LineKind::Success => 32, // green
        LineKind::Warning => 33, // yellow
        LineKind::Error => 31,   // red
        LineKind::System => 35,  // magenta
    }
}

/// What `--log json` writes of one event.
#[derive(Serialize)]
pub(super) struct LogLine<'a> {
    time: String,
    kind: LineKind,
    #[serde(flatten)]
    event: &'a Event<'a>,
}

impl<'a> LogLine<'a> {
    pub(super) fn new(time: Utc, event: &'a Event<'a>) -> Self {
        Self { time: time.to_string(), kind: event.kind(), event }
    }
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;
    use serde_json::{Value, json};

    use super::*;
    use crate::reactor::Signal;
    use crate::relay::counters::Counters;
    use crate::relay::event::{Leaving, Who};
    use crate::wire::{ErrorCode, Fingerprint, ForwardKind};

    const TEXT: Format = Format::Text { color: false };
    const NOW: u64 = 1_234_567_890_123;

    fn lines(format: Format, level: Level, events: &[Event]) -> Vec<String> {
        let mut journal = Journal::new(format, level);
        for event in events {
            journal.write(NOW, event);
        }
        let text = std::str::from_utf8(journal.take()).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'));
        text.lines().map(str::to_owned).collect()
    }

    fn counters() -> Counters {
        let mut counters = Counters::default();
        counters.refused(ErrorCode::BadFrame);
        counters.refused(ErrorCode::BadFrame);
        counters.left(Leaving::Lost(Errno::EPIPE));
        counters
    }

    fn every_event(counters: &Counters) -> [Event<'_>; 17] {
        let peer = "[::1]:4242".parse().unwrap();
        let (who, stranger) = (Who::Name("alice"), Who::Peer(peer));
        let (from, to, fp) = ("alice", "bob", Fingerprint([0xff; 32]));
        [
            Event::Listening { address: peer, is_chosen: true },
            Event::Ephemeral,
            Event::Signal { signal: Signal::Terminate },
            Event::Draining { connections: 3 },
            Event::Connected { peer },
            Event::TurnedAway { peer },
            Event::Registered { name: "alice", peer, version: 2, fp },
            Event::Left { who, reason: Leaving::Quit, received: 10, sent: 20 },
            Event::Left {
                who: stranger,
                reason: Leaving::Lost(Errno::EPIPE),
                received: 0,
                sent: 0,
            },
            Event::KeyAsked { by: "alice", target: "bob", found: false },
            Event::Forwarded { action: ForwardKind::Message, from, to, bytes: 129 },
            Event::Refused {
                who,
                code: ErrorCode::QueueFull,
                detail: "he reads too slowly",
                about: Some("bob"),
            },
            Event::StoreFailed { detail: "disk full" },
            Event::AcceptFailed { error: Errno::EMFILE },
            Event::LinesDropped { lines: 7 },
            Event::Counters { counters, is_asked: true },
            Event::Released { name: "bob" },
        ]
    }

    #[test]
    fn every_event_reads_as_a_sentence() {
        let fp = "SHA256:__________________________________________8";
        let expected = [
            "listening on [::1]:4242".to_owned(),
            "system  ephemeral: its key and all names end with this process".to_owned(),
            "system  received SIGTERM".to_owned(),
            "system  stopping, 3 connections to flush".to_owned(),
            "info    [::1]:4242 connected".to_owned(),
            "warning [::1]:4242 was turned away: no room".to_owned(),
            format!("success alice registered from [::1]:4242, version 2, {fp}"),
            "info    alice left: quit, 10 bytes in, 20 bytes out".to_owned(),
            "warning [::1]:4242 left: EPIPE: Broken pipe, 0 bytes in, 0 bytes out".to_owned(),
            "info    alice asked for the key of bob, who is not here".to_owned(),
            "info    message from alice to bob, 129 bytes".to_owned(),
            "warning alice was refused: queue_full for bob, he reads too slowly".to_owned(),
            "error   a name was not kept: disk full".to_owned(),
            "error   nobody can connect: EMFILE: Too many open files".to_owned(),
            "warning 7 lines dropped".to_owned(),
            "system  so far: 2 refused_bad_frame, 1 lost_EPIPE".to_owned(),
            "system  bob was released: the name is bound to no key".to_owned(),
        ];
        let lines = lines(TEXT, Level::Debug, &every_event(&counters()));
        let without_time = |line: &String| line.replace("2009-02-13T23:31:30.123Z ", "");
        assert_eq!(lines.iter().map(without_time).collect::<Vec<_>>(), expected);
        assert!(lines[1..].iter().all(|line| line.starts_with("2009-02-13T23:31:30.123Z ")));
    }

    #[test]
    fn every_event_is_an_object_a_line_in_json() {
        let counters = counters();
        let events = every_event(&counters);
        let lines = lines(Format::Json, Level::Debug, &events);
        let objects: Vec<Value> =
            lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(objects.len(), events.len());
        for object in &objects {
            assert_eq!(object["time"], "2009-02-13T23:31:30.123Z");
            assert!(object["kind"].is_string() && object["event"].is_string());
        }
        assert_eq!(objects[1]["event"], "ephemeral");
        let left = json!({
            "time": "2009-02-13T23:31:30.123Z", "kind": "warning", "event": "left",
            "peer": "[::1]:4242", "reason": "EPIPE: Broken pipe", "received": 0, "sent": 0,
        });
        assert_eq!(objects[8], left);
        assert_eq!(objects[11]["name"], "alice");
        assert_eq!(objects[11]["code"], "queue_full");
        assert_eq!(objects[15]["counters"], json!({"refused_bad_frame": 2, "lost_EPIPE": 1}));
    }

    #[test]
    fn each_level_tells_more_than_the_one_before() {
        let levels = [Level::Quiet, Level::Normal, Level::Verbose, Level::Debug];
        let told = levels.map(|level| lines(TEXT, level, &every_event(&counters())).len());
        assert_eq!(told, [5, 14, 16, 17]);
    }

    #[test]
    fn a_name_cannot_forge_a_line_or_steer_a_terminal() {
        let name = "bob\n\u{9b}31m\u{202e}\" left";
        let event = Event::KeyAsked { by: "alice", target: name, found: true };
        let text = lines(TEXT, Level::Normal, &[event]);
        let shown = "\"bob\\n\\u{9b}31m\\u{202e}\\\" left\"";
        assert_eq!(text.len(), 1);
        assert!(text[0].ends_with(&format!("asked for the key of {shown}")), "{text:?}");
        let json = lines(Format::Json, Level::Normal, &[event]);
        assert!(json.len() == 1 && json[0].bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        assert_eq!(serde_json::from_str::<Value>(&json[0]).unwrap()["target"], name);
    }

    #[test]
    fn the_kind_is_coloured_where_asked() {
        let text = lines(Format::Text { color: true }, Level::Normal, &[Event::Ephemeral]);
        assert!(text[0].contains(" \x1b[35msystem \x1b[0m ephemeral"), "{text:?}");
    }

    #[test]
    fn lines_beyond_the_queue_are_counted_and_the_count_is_told_in_their_place() {
        let mut journal = Journal::new(TEXT, Level::Normal);
        let line = "2009-02-13T23:31:30.123Z system  received SIGTERM\n";
        let room = LOG_QUEUE / line.len();
        for _ in 0..room + 5 {
            journal.write(NOW, &Event::Signal { signal: Signal::Terminate });
        }
        let taken = std::str::from_utf8(journal.take()).unwrap();
        let (kept, told) = taken.split_at(room * line.len());
        assert_eq!(kept, line.repeat(room));
        assert_eq!(told, "2009-02-13T23:31:30.123Z warning 5 lines dropped\n");
        assert!(journal.take().is_empty());
        journal.write(NOW, &Event::Signal { signal: Signal::Terminate });
        assert_eq!(journal.take(), line.as_bytes());
    }

    #[test]
    fn what_was_taken_and_is_lost_is_counted_and_no_count_is_lost() {
        let mut journal = Journal::new(TEXT, Level::Normal);
        let tell = |journal: &mut Journal| journal.write(NOW, &Event::Ephemeral);
        tell(&mut journal);
        tell(&mut journal);
        journal.take();
        for _ in 0..3 {
            journal.lose_taken();
            tell(&mut journal);
            journal.take();
        }
        let told = std::str::from_utf8(&journal.taken).unwrap();
        assert!(told.ends_with("warning 5 lines dropped\n"), "{told}");
        assert_eq!((told.lines().count(), journal.dropped_in_all()), (1, 5));
    }
}
