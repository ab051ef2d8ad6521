//! The latest events, for those who look at a running relay (the admin socket).
//!
//! Knows events, instants and levels; not who reads them. The oldest line makes room for the
//! newest, and a [`Reader`] only notes how far it has come: whoever reads slowly holds nothing up,
//! misses lines, and is told how many.

use std::collections::VecDeque;
use std::rc::Rc;

use serde::Serialize;
use serde_json::Serializer;

use super::event::{Event, Level, LineKind};
use super::journal::LogLine;
use super::limits::{HISTORY_BURST, HISTORY_BYTES, HISTORY_LINES, HISTORY_PER_SECOND};
use super::utc::Utc;
use crate::reactor::Time;
use crate::tokens::{Bucket, Rate};
use crate::wire::Ascii;

/// How many events are kept in a second: more are counted only, so that whoever looks at a relay
/// under load does not slow it down.
const RATE: Rate = Rate::new(HISTORY_BURST, HISTORY_PER_SECOND);

/// The latest events, each as a line of JSON.
pub struct History {
    lines: VecDeque<Line>,
    /// Bytes of them.
    bytes: usize,
    /// How many lines were kept since the start, those too that have made room.
    kept: u64,
    /// How many events there were up to each level, whether they were kept or not.
    events: [u64; Level::COUNT],
    /// Events above this level are not even counted.
    most: Level,
    rate: Bucket,
}

struct Line {
    level: Level,
    /// `History::events` before it.
    before: [u64; Level::COUNT],
    json: Rc<[u8]>,
}

/// How far somebody has read.
#[derive(Clone, Copy, Debug)]
pub struct Reader {
    level: Level,
    /// The number of the next line, counted since the start.
    next: u64,
    /// How many events of its level it knows of.
    events: u64,
}

/// What a [`Reader`] is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// The next event, as one line.
    Line(Rc<[u8]>),
    /// So many events in front of the next one are not there any more, or were not kept.
    Lost(u64),
}

/// A line: `answer` makes it one of the answers of the admin socket.
#[derive(Serialize)]
struct Shown<'a> {
    answer: &'static str,
    level: Level,
    kind: LineKind,
    text: &'a str,
    line: LogLine<'a>,
}

impl Default for History {
    fn default() -> Self {
        Self {
            lines: VecDeque::new(),
            bytes: 0,
            kept: 0,
            events: [0; Level::COUNT],
            most: Level::Silent,
            rate: Bucket::default(),
        }
    }
}

impl History {
    /// Events up to this level are kept.
    pub(super) const fn level(&self) -> Level {
        self.most
    }

    /// From now on events up to this level are kept.
    pub(super) const fn keep(&mut self, most: Level) {
        self.most = most;
    }

    /// Keeps an event, or only counts it where there were too many lately.
    pub(super) fn note(&mut self, now: Time, wall: Utc, event: &Event) {
        let level = event.level();
        if level > self.most {
            return;
        }
        let before = self.events;
        self.events[level as usize..].iter_mut().for_each(|count| *count += 1);
        let is_ours = event.kind() == LineKind::System;
        if !is_ours && !self.rate.take(RATE, now) {
            return;
        }
        let text = event.to_string();
        let line = LogLine::new(wall, event);
        let shown = Shown { answer: "log", level, kind: event.kind(), text: &text, line };
        let mut json = Vec::new();
        if shown.serialize(&mut Serializer::with_formatter(&mut json, Ascii)).is_err() {
            return; // never: names, counts and sentences
        }
        json.push(b'\n');
        self.bytes += json.len();
        self.kept += 1;
        self.lines.push_back(Line { level, before, json: json.into() });
        while self.lines.len() > HISTORY_LINES || self.bytes > HISTORY_BYTES {
            let Some(oldest) = self.lines.pop_front() else { return };
            self.bytes -= oldest.json.len();
        }
    }

    /// A reader of events up to `level`, who is shown the last `lines` of them first.
    pub fn reader(&self, level: Level, lines: usize) -> Reader {
        let of_level = self.lines.iter().enumerate().rev().filter(|(_, line)| line.level <= level);
        match of_level.take(lines).last() {
            Some((place, line)) => {
                let (next, events) = (self.first() + place as u64, line.before[level as usize]);
                Reader { level, next, events }
            }
            None => Reader { level, next: self.kept, events: self.events[level as usize] },
        }
    }

    /// What comes next for `reader`; `None`: nothing yet.
    pub fn next(&self, reader: &mut Reader) -> Option<Next> {
        let first = self.first();
        reader.next = reader.next.max(first);
        let level = reader.level as usize;
        let place = usize::try_from(reader.next - first).unwrap_or(usize::MAX);
        let mut rest = self.lines.iter().enumerate().skip(place);
        let line = rest.find(|(_, line)| line.level <= reader.level);
        let before = line.map_or(self.events[level], |(_, line)| line.before[level]);
        reader.next = line.map_or(self.kept, |(place, _)| first + place as u64);
        let lost = before - reader.events;
        reader.events = before;
        if lost > 0 {
            return Some(Next::Lost(lost));
        }
        let (_, line) = line?;
        reader.next += 1;
        reader.events += 1;
        Some(Next::Line(Rc::clone(&line.json)))
    }

    /// The number of the oldest line.
    fn first(&self) -> u64 {
        self.kept - self.lines.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::reactor::Signal;

    fn history(most: Level) -> History {
        let mut history = History::default();
        history.keep(most);
        history
    }

    fn asked(by: &str) -> Event<'_> {
        Event::KeyAsked { by, target: "bob", found: true }
    }

    const OURS: Event = Event::Signal { signal: Signal::Hangup };
    const TALK: Event = Event::Forwarded {
        action: crate::wire::ForwardKind::Message,
        from: "alice",
        to: "bob",
        bytes: 7,
    };

    fn note(history: &mut History, event: &Event) {
        history.note(Time::default(), Utc(0), event);
    }

    #[test]
    fn a_reader_is_shown_the_last_lines_of_its_level_and_then_those_that_follow() {
        let mut history = history(Level::Debug);
        for event in [OURS, TALK, asked("alice"), TALK, asked("carol")] {
            note(&mut history, &event);
        }
        let mut reader = history.reader(Level::Normal, 2);
        let mut shown = || match history.next(&mut reader) {
            Some(Next::Line(line)) => serde_json::from_slice::<Value>(&line).unwrap(),
            other => panic!("{other:?}"),
        };
        let (first, second) = (shown(), shown());
        assert_eq!(first["line"]["by"], "alice");
        assert_eq!(second["text"], "carol asked for the key of bob");
        assert_eq!((&second["level"], &second["kind"]), (&"normal".into(), &"info".into()));
        assert_eq!(history.next(&mut reader), None);
        note(&mut history, &TALK);
        assert_eq!(history.next(&mut reader), None);
        note(&mut history, &OURS);
        assert!(matches!(history.next(&mut reader), Some(Next::Line(_))));
        assert_eq!(history.next(&mut reader), None);
    }

    #[test]
    fn lines_that_made_room_and_those_beyond_the_rate_are_counted_by_level() {
        let mut history = history(Level::Debug);
        let (mut slow, mut talkative) =
            (history.reader(Level::Normal, 0), history.reader(Level::Debug, 0));
        for _ in 0..HISTORY_LINES + 5 {
            note(&mut history, &OURS);
        }
        assert_eq!(history.next(&mut slow), Some(Next::Lost(5)));
        assert!(matches!(history.next(&mut slow), Some(Next::Line(_))));
        while history.next(&mut slow).is_some() {}
        while history.next(&mut talkative).is_some() {}
        for _ in 0..=HISTORY_BURST {
            note(&mut history, &TALK);
        }
        assert_eq!(history.next(&mut slow), None);
        let mut lines = 0;
        let lost = loop {
            match history.next(&mut talkative) {
                Some(Next::Line(_)) => lines += 1,
                Some(Next::Lost(lost)) => break lost,
                None => panic!("one was not kept"),
            }
        };
        assert_eq!((lines, lost), (HISTORY_BURST, 1));
        assert_eq!(history.next(&mut talkative), None);
    }

    #[test]
    fn what_is_kept_is_bounded_in_bytes() {
        let mut history = history(Level::Normal);
        let name = "x".repeat(HISTORY_BYTES / 4);
        let mut now = Time::default();
        for _ in 0..8 {
            now = now + std::time::Duration::from_secs(1);
            history.note(now, Utc(0), &asked(&name));
        }
        assert!(history.bytes <= HISTORY_BYTES && !history.lines.is_empty());
    }
}
