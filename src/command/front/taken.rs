//! Lines that were taken from standard input, until their messages are stored or delivered: so that
//! the end can tell which line was the first that was not.

use std::collections::VecDeque;

use crate::client::Event;

/// The lines whose messages are open, and those whose messages the wait was too short for.
#[derive(Debug, Default)]
pub(super) struct TakenLines {
    open: VecDeque<TakenLine>,
    pub(super) missed: Missed,
}

#[derive(Debug)]
struct TakenLine {
    number: u64,
    to: String,
    id: String,
}

/// Messages that were given up only because the wait ran out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Missed {
    pub(super) count: usize,
    /// The line of the first one; `None`: it was not a line of standard input.
    pub(super) first: Option<u64>,
}

impl TakenLines {
    /// The line of this number is a message.
    pub(super) fn take(&mut self, number: u64, to: String, id: String) {
        self.open.push_back(TakenLine { number, to, id });
    }

    /// Notes what the event says of a message.
    pub(super) fn note(&mut self, event: &Event) {
        let (Event::Stored { id, to }
        | Event::Delivered { id, to, stored_at: None }
        | Event::Failed { id, to, .. }) = event
        else {
            return;
        };
        let place = self.open.iter().position(|line| line.id == *id && line.to == *to);
        let line = place.and_then(|place| self.open.remove(place));
        if matches!(event, Event::Failed { code, .. } if code.is_of_wait()) {
            self.missed.count += 1;
            let lines = self.missed.first.into_iter().chain(line.map(|line| line.number));
            self.missed.first = lines.min();
        }
    }
}

impl Missed {
    /// What is told of them at the end; `done` is what did not happen to them.
    pub(super) fn sentence(self, done: &str) -> Option<String> {
        let Self { count, first } = self;
        let messages = match count {
            0 => return None,
            1 => "1 message was".to_owned(),
            count => format!("{count} messages were"),
        };
        Some(match first {
            None => format!("{messages} not {done}"),
            Some(line) if count == 1 => format!("{messages} not {done}: line {line}"),
            Some(line) => format!("{messages} not {done}: line {line} is the first of them"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Failure;

    #[test]
    fn the_first_line_that_is_told_is_the_first_that_was_not_done() {
        let mut lines = TakenLines::default();
        let (id, to) = (|number: u64| number.to_string(), || "bob".to_owned());
        (1..=5).for_each(|number| lines.take(number, to(), id(number)));
        let failed = |number, code| {
            let (id, to, detail) = (id(number), to(), String::new());
            Event::Failed { id, to, code, detail }
        };
        lines.note(&Event::Delivered { id: id(2), to: to(), stored_at: None });
        lines.note(&Event::Stored { id: id(1), to: to() });
        lines.note(&Event::Delivered { id: id(1), to: to(), stored_at: None });
        lines.note(&failed(3, Failure::TooLong)); // told by itself
        assert_eq!(lines.missed.sentence("stored"), None);
        lines.note(&failed(4, Failure::MailboxFull));
        assert_eq!(lines.missed.sentence("stored").unwrap(), "1 message was not stored: line 4");
        lines.note(&failed(5, Failure::WaitRanOut));
        let expected = "2 messages were not stored: line 4 is the first of them";
        assert_eq!(lines.missed.sentence("stored").unwrap(), expected);
    }
}
