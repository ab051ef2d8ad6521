//! What is shown of a relay: its last answers, what follows from them, and what the person who
//! looks has chosen. Pure: it is told answers and choices.

use std::collections::{BTreeMap, VecDeque};

use serde::Deserialize;
use serde_json::Value;

use super::words::clock;
use crate::limits::{TOP_LINES, TOP_SERIES, TOP_USERS};
use crate::relay::event::Level;

/// The members of `status` that are shown. A relay of another version may have more.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    pub(super) version: String,
    pub(super) pid: u32,
    pub(super) uptime_ms: u64,
    pub(super) listening: Vec<String>,
    pub(super) draining: bool,
    pub(super) fault: Option<String>,
    pub(super) connections: u64,
    pub(super) max_connections: u64,
    pub(super) users: u64,
    pub(super) tls: u64,
    pub(super) names: u64,
    pub(super) messages: u64,
    pub(super) received_bytes: u64,
    pub(super) sent_bytes: u64,
    pub(super) queued_bytes: u64,
    pub(super) kept_bytes: u64,
    pub(super) letters: Option<u64>,
    pub(super) letter_bytes: Option<u64>,
    pub(super) ticks: u64,
    pub(super) events: u64,
    pub(super) busy_ns: u64,
    pub(super) longest_tick_ns: u64,
    pub(super) memory_bytes: Option<u64>,
    pub(super) descriptors: Option<u64>,
    pub(super) max_descriptors: Option<u64>,
    /// The relay's clock, milliseconds since 1970.
    pub(super) now: u64,
}

/// One user.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) version: u8,
    pub(super) address: Option<String>,
    pub(super) fp: Option<String>,
    pub(super) since: u64,
    #[serde(rename = "in")]
    pub(super) received: u64,
    #[serde(rename = "out")]
    pub(super) sent: u64,
    pub(super) queued: u64,
    pub(super) held: bool,
}

/// One event of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The time of the day, UTC.
    pub(super) time: String,
    pub(super) kind: String,
    pub(super) text: String,
}

/// What happened in the last second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rates {
    pub(super) messages: f64,
    pub(super) received: f64,
    pub(super) sent: f64,
    pub(super) ticks: f64,
    pub(super) events: f64,
    /// The share of a processor that the loop used, from 0 to 1.
    pub(super) busy: f64,
}

/// The parts of the screen. Keys for scrolling and the filter are about one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Part {
    #[default]
    Log,
    Users,
    /// All of each figure is shown then.
    Figures,
}

impl Part {
    /// What the filter is about.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Log | Self::Figures => "the log",
            Self::Users => "users",
        }
    }
}

/// By what users are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sort {
    #[default]
    Name,
    Since,
    Received,
    Sent,
    Queued,
}

/// All that is shown.
#[derive(Debug, Default)]
pub(super) struct Model {
    /// Why there is no relay.
    pub(super) fault: Option<String>,
    pub(super) status: Option<Status>,
    pub(super) rates: Rates,
    pub(super) counters: BTreeMap<String, u64>,
    /// The last seconds of messages, of bytes in and out, and of the loop's share in per mille.
    pub(super) series: [VecDeque<u64>; 3],
    users: Vec<User>,
    /// Pages of users that have come, until all have.
    gathered: Vec<User>,
    pub(super) sort: Sort,
    pub(super) is_reversed: bool,
    lines: VecDeque<Entry>,
    /// Lines that came while the log was paused.
    held_back: VecDeque<Entry>,
    pub(super) is_paused: bool,
    /// The part that keys are about.
    pub(super) part: Part,
    pub(super) log_filter: String,
    pub(super) users_filter: String,
    pub(super) level: Level,
    /// How many lines below the last one that is shown.
    pub(super) scroll: usize,
    /// How many users above the first one that is shown.
    users_scroll: usize,
    /// How many rows of figures above the first one that is shown.
    figures_scroll: usize,
    /// Rows of the part that keys are about.
    page: usize,
    /// The date and time of the last line that the relay has told.
    newest: String,
    /// The same when the log was cleared.
    cleared: String,
    /// The relay tells its last lines again: those that were cleared are left out.
    is_told_again: bool,
}

impl Sort {
    /// The next one, after the last the first.
    pub(super) const fn next(self) -> Self {
        match self {
            Self::Name => Self::Since,
            Self::Since => Self::Received,
            Self::Received => Self::Sent,
            Self::Sent => Self::Queued,
            Self::Queued => Self::Name,
        }
    }
}

impl Model {
    /// The relay has told how it stands.
    pub(super) fn take_status(&mut self, answer: Value) {
        let Ok(status) = serde_json::from_value::<Status>(answer) else { return };
        self.fault = None;
        let before = self.status.replace(status);
        let Some((before, now)) = before.as_ref().zip(self.status.as_ref()) else { return };
        if before.pid != now.pid || now.uptime_ms <= before.uptime_ms {
            self.rates = Rates::default();
            return; // another relay
        }
        let before_ms = before.uptime_ms;
        #[allow(clippy::cast_precision_loss)] // of rates the last digits do not matter
        let rate = |before: u64, value: u64| {
            value.saturating_sub(before) as f64 * 1000.0 / (now.uptime_ms - before_ms) as f64
        };
        self.rates = Rates {
            messages: rate(before.messages, now.messages),
            received: rate(before.received_bytes, now.received_bytes),
            sent: rate(before.sent_bytes, now.sent_bytes),
            ticks: rate(before.ticks, now.ticks),
            events: rate(before.events, now.events),
            busy: rate(before.busy_ns, now.busy_ns) / 1e9,
        };
        let Rates { messages, received, sent, busy, .. } = self.rates;
        for (series, value) in
            self.series.iter_mut().zip([messages, received + sent, busy * 1000.0])
        {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // never negative
            series.push_back(value.round() as u64);
            if series.len() > TOP_SERIES {
                series.pop_front();
            }
        }
    }

    pub(super) fn take_counters(&mut self, mut answer: Value) {
        self.counters = serde_json::from_value(answer["counters"].take()).unwrap_or_default();
    }

    /// A page of users has come. Returns where the next one begins, if there is one to be asked
    /// for.
    pub(super) fn take_users(&mut self, mut answer: Value) -> Option<usize> {
        let users = answer["users"].take();
        self.gathered.extend(serde_json::from_value::<Vec<User>>(users).unwrap_or_default());
        let next = answer["next"].as_u64().and_then(|next| usize::try_from(next).ok());
        let next = next.filter(|_| self.gathered.len() < TOP_USERS);
        if next.is_none() {
            self.users = std::mem::take(&mut self.gathered);
        }
        next
    }

    /// The users, sorted as chosen: names from A, times from the oldest, amounts from the largest.
    pub(super) fn users(&self) -> Vec<&User> {
        let mut users: Vec<_> = self.users.iter().collect();
        users.sort_by(|a, b| a.name.cmp(&b.name));
        match self.sort {
            Sort::Name => {}
            Sort::Since => users.sort_by_key(|user| user.since),
            Sort::Received => users.sort_by_key(|user| std::cmp::Reverse(user.received)),
            Sort::Sent => users.sort_by_key(|user| std::cmp::Reverse(user.sent)),
            Sort::Queued => users.sort_by_key(|user| std::cmp::Reverse(user.queued)),
        }
        if self.is_reversed {
            users.reverse();
        }
        users
    }

    /// Whether a user has the words of the filter. `held` is one of the words of who is held.
    fn is_found(&self, user: &User) -> bool {
        let words = self.users_filter.to_lowercase();
        let has = |text: &str| text.to_lowercase().contains(&words);
        let has_some = |text: &Option<String>| text.as_deref().is_some_and(has);
        let is_held = user.held && has("held");
        is_held || has(&user.name) || has_some(&user.address) || has_some(&user.fp)
    }

    /// How many users have the words of the filter.
    pub(super) fn users_found(&self) -> usize {
        self.users.iter().filter(|user| self.is_found(user)).count()
    }

    /// At most `rows` users who have the words of the filter and are not scrolled away.
    pub(super) fn users_shown(&mut self, rows: usize) -> Vec<&User> {
        self.note_page(Part::Users, rows);
        self.users_scroll = self.users_scroll.min(self.users_found().saturating_sub(rows));
        let found = self.users().into_iter().filter(|user| self.is_found(user));
        found.skip(self.users_scroll).take(rows).collect()
    }

    /// From how many users nothing is read now.
    pub(super) fn held(&self) -> usize {
        self.users.iter().filter(|user| user.held).count()
    }

    /// How many of `lines` figures are above the first one that is shown in `rows`.
    pub(super) fn figures_above(&mut self, lines: usize, rows: usize) -> usize {
        self.note_page(Part::Figures, rows);
        self.figures_scroll = self.figures_scroll.min(lines.saturating_sub(rows));
        self.figures_scroll
    }

    fn note_page(&mut self, part: Part, rows: usize) {
        if self.part == part {
            self.page = rows;
        }
    }

    /// Keys are about the next part.
    pub(super) const fn next_part(&mut self) {
        self.figures_scroll = 0;
        self.part = match self.part {
            Part::Log => Part::Users,
            Part::Users => Part::Figures,
            Part::Figures => Part::Log,
        };
    }

    /// The words of the filter of this part.
    pub(super) fn filter(&self) -> &str {
        if self.part == Part::Users { &self.users_filter } else { &self.log_filter }
    }

    pub(super) const fn filter_mut(&mut self) -> &mut String {
        if matches!(self.part, Part::Users) { &mut self.users_filter } else { &mut self.log_filter }
    }

    /// Why there is no relay now, until one tells how it stands. That is a line of the log too.
    pub(super) fn lost(&mut self, fault: &str) {
        if self.fault.as_deref() != Some(fault) {
            self.fault = Some(fault.to_owned());
            self.note("error", fault.to_owned());
        }
    }

    /// A line of our own.
    fn note(&mut self, kind: &str, text: String) {
        let time = self.status.as_ref().map(|status| clock(status.now)).unwrap_or_default();
        self.keep(Entry { time, kind: kind.to_owned(), text });
    }

    /// A line of the log, or that lines were lost.
    pub(super) fn take_log(&mut self, answer: &Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if let Some(lost) = answer["lost"].as_u64() {
            return self.note("warning", format!("{lost} lines were too many to be told"));
        }
        if !answer["line"].is_object() {
            self.is_told_again = true; // the answer to the request: the last lines come again
            return self.forget_log();
        }
        let at = text(&answer["line"]["time"]);
        if self.is_told_again && at <= self.cleared {
            return;
        }
        self.is_told_again = false;
        let time = at.get(11..19).unwrap_or_default().to_owned(); // of the date and the time
        self.newest = at;
        self.keep(Entry { time, kind: text(&answer["kind"]), text: text(&answer["text"]) });
    }

    fn keep(&mut self, entry: Entry) {
        let lines = if self.is_paused { &mut self.held_back } else { &mut self.lines };
        lines.push_back(entry);
        if lines.len() > TOP_LINES {
            lines.pop_front();
        }
        if self.scroll > 0 && !self.is_paused {
            self.scroll = self.scroll.saturating_add(1); // what is looked at stays where it is
        }
    }

    /// The person who looks has seen all of it.
    pub(super) fn clear_log(&mut self) {
        self.cleared.clone_from(&self.newest);
        self.forget_log();
    }

    fn forget_log(&mut self) {
        self.lines.clear();
        self.held_back.clear();
        self.scroll = 0;
    }

    pub(super) fn pause(&mut self) {
        self.is_paused = !self.is_paused;
        if !self.is_paused {
            self.lines.append(&mut self.held_back);
            let beyond = self.lines.len().saturating_sub(TOP_LINES);
            self.lines.drain(..beyond);
        }
    }

    /// How many lines wait behind the pause.
    pub(super) fn waiting(&self) -> usize {
        self.held_back.len()
    }

    /// At most `rows` lines that have the words of the filter and are not scrolled away. Each takes
    /// as many rows as `height` says.
    pub(super) fn log(&mut self, rows: usize, height: impl Fn(&Entry) -> usize) -> Vec<&Entry> {
        self.note_page(Part::Log, rows);
        let words = self.log_filter.to_lowercase();
        let has = |text: &str| text.to_lowercase().contains(&words);
        let fits = |entry: &&Entry| words.is_empty() || has(&entry.text) || has(&entry.kind);
        let found: Vec<_> = self.lines.iter().filter(fits).collect();
        // The oldest ones that have room together are the last that can be scrolled to.
        let mut used = 0;
        let oldest = found.iter().take_while(|entry| {
            used += height(entry);
            used <= rows
        });
        let oldest = oldest.count().max(1);
        self.scroll = self.scroll.min(found.len().saturating_sub(oldest));
        let end = found.len() - self.scroll;
        found[end.saturating_sub(rows)..end].to_vec()
    }

    /// Goes so many rows up in the part that keys are about, or down where it is less than 0.
    pub(super) const fn scroll_by(&mut self, rows: isize) {
        // What is too much is taken back when it is drawn.
        match self.part {
            Part::Log => self.scroll = self.scroll.saturating_add_signed(rows),
            Part::Users => {
                self.users_scroll = self.users_scroll.saturating_sub_signed(rows);
            }
            Part::Figures => {
                self.figures_scroll = self.figures_scroll.saturating_sub_signed(rows);
            }
        }
    }

    /// The same by what the part shows at once.
    pub(super) fn scroll_page(&mut self, is_up: bool) {
        let page = isize::try_from(self.page.saturating_sub(1).max(1)).unwrap_or(isize::MAX);
        self.scroll_by(if is_up { page } else { -page });
    }

    /// The next level, after the most talkative the quietest.
    pub(super) const fn next_level(&self) -> Level {
        match self.level {
            Level::Normal => Level::Verbose,
            Level::Verbose => Level::Debug,
            Level::Debug => Level::Quiet,
            Level::Quiet | Level::Silent => Level::Normal,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(text: &str) -> Value {
        let line = json!({"time": "2026-11-28T17:00:00.000Z"});
        json!({"answer": "log", "kind": "info", "text": text, "line": line})
    }

    fn shown(model: &mut Model, rows: usize) -> Vec<&str> {
        model.log(rows, |_| 1).into_iter().map(|entry| entry.text.as_str()).collect()
    }

    #[test]
    fn rates_are_told_from_two_answers_of_the_same_relay() {
        let mut model = Model::default();
        let status = |pid: u32, uptime: u64, messages: u64| {
            json!({"pid": pid, "uptime_ms": uptime, "messages": messages,
                   "busy_ns": messages * 1_000_000})
        };
        model.take_status(status(1, 1000, 100));
        assert_eq!(model.rates, Rates::default());
        model.take_status(status(1, 3000, 500));
        assert_eq!((model.rates.messages, model.rates.busy), (200.0, 0.2));
        assert_eq!((model.series[0].back(), model.series[2].back()), (Some(&200), Some(&200)));
        model.take_status(status(2, 4000, 7));
        assert_eq!(model.rates, Rates::default());
        model.take_status(json!("nonsense"));
        assert_eq!(model.status.as_ref().map(|status| status.pid), Some(2));
    }

    #[test]
    fn the_log_is_paused_filtered_and_scrolled() {
        let mut model = Model::default();
        for number in 0..10 {
            model.take_log(&line(&format!("line {number}")));
        }
        assert_eq!(shown(&mut model, 2), ["line 8", "line 9"]);
        model.scroll_by(3);
        assert_eq!(shown(&mut model, 2), ["line 5", "line 6"]);
        model.take_log(&line("line 10"));
        assert_eq!(shown(&mut model, 2), ["line 5", "line 6"], "it stays where it was");
        model.scroll_by(-100);
        model.pause();
        model.take_log(&line("late"));
        assert_eq!(shown(&mut model, 1), ["line 10"]);
        assert_eq!(model.waiting(), 1);
        model.pause();
        assert_eq!(shown(&mut model, 1), ["late"]);
        model.log_filter = "LINE 1".to_owned();
        assert_eq!(shown(&mut model, 9), ["line 1", "line 10"]);
        model.scroll_by(100);
        assert_eq!(shown(&mut model, 9), ["line 1", "line 10"]);
        model.take_log(&json!({"answer": "log", "lost": 7}));
        model.log_filter.clear();
        model.scroll = 0;
        assert_eq!(shown(&mut model, 1), ["7 lines were too many to be told"]);
        model.take_log(&json!({"answer": "log", "level": "debug"}));
        model.take_log(&line("told again"));
        assert_eq!(shown(&mut model, 9), ["told again"]);
        model.clear_log();
        model.take_log(&line("in the same millisecond"));
        assert_eq!(shown(&mut model, 9), ["in the same millisecond"]);
        model.clear_log();
        model.take_log(&json!({"answer": "log", "level": "verbose"}));
        model.take_log(&line("told again"));
        assert!(shown(&mut model, 9).is_empty(), "what was cleared does not come back");
        let mut later = line("later");
        later["line"]["time"] = json!("2026-11-28T17:00:00.001Z");
        model.take_log(&later);
        assert_eq!(shown(&mut model, 9), ["later"]);
    }

    #[test]
    fn users_are_gathered_page_by_page_and_sorted() {
        let mut model = Model::default();
        let user = |name: &str, sent: u64| json!({"name": name, "out": sent});
        let first = json!({"users": [user("b", 1), user("a", 3)], "next": 7});
        assert_eq!(model.take_users(first), Some(7));
        assert!(model.users().is_empty());
        assert_eq!(model.take_users(json!({"users": [user("c", 2)], "next": null})), None);
        let names = |model: &Model| -> String {
            model.users().into_iter().map(|user| user.name.as_str()).collect()
        };
        assert_eq!(names(&model), "abc");
        model.sort = Sort::Sent;
        assert_eq!(names(&model), "acb");
        model.is_reversed = true;
        assert_eq!(names(&model), "bca");
        let shown = |model: &mut Model| -> String {
            let found = model.users_found();
            let users = model.users_shown(2);
            let names: String = users.into_iter().map(|user| user.name.as_str()).collect();
            format!("{names} of {found}")
        };
        model.part = Part::Users;
        assert_eq!(shown(&mut model), "bc of 3");
        model.scroll_by(-5);
        assert_eq!(shown(&mut model), "ca of 3");
        model.scroll_by(1);
        assert_eq!(shown(&mut model), "bc of 3", "it was scrolled no further than could be seen");
        model.filter_mut().push('B');
        assert_eq!(shown(&mut model), "b of 1");
    }
}
