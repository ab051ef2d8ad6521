//! What `chat` shows a person at a terminal: lines that scroll, and below them own lines that
//! nobody has confirmed yet, a status and the line that is being written.
//!
//! Knows events and keys; what keys do to the client is in `front/typed.rs`. Lines are drawn once a
//! frame. A terminal that takes nothing is shown no frames until it does; lines wait for it, and
//! when too many wait the relay is not read from.

mod clock;
mod conversations;
mod names;
mod on_whole;
mod own;
mod status;
mod whole;

use std::collections::BTreeSet;

use self::conversations::{Conversations, Fate, Line, NOBODY, Said};
use self::names::Colour;
use self::own::OwnLines;
use self::whole::Whole;
use super::cli::{Notify, TimeFormat};
use super::lines::COMMANDS;
use super::talk::wall_clock;
use super::view;
use crate::client::{Event, Progress, Receipt, Way};
use crate::limits::{MAX_TEXT, OUTPUT_QUEUE};
use crate::reactor::Time;
use crate::screen::{
    Editor, Inline, Keys, Live, PLAIN, Pace, Prompt, Row, Size, Terminal, ascii, escape, isolate,
    wrap,
};
use crate::wire::{Fingerprint, check_name_v2};

pub(super) use self::clock::Clock;
pub(super) use self::status::{Link, Status};
pub(super) use self::whole::User;

/// How it is to look.
pub(super) struct Look {
    /// Names have the colour of their key.
    pub has_colours: bool,
    /// The terminal knows ASCII only.
    pub is_ascii: bool,
    /// Before each line, and in the status.
    pub clock: Clock,
    /// How the terminal is told of a message.
    pub notify: Option<Notify>,
}

/// In which conversation of the whole screen a notice stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Room<'a> {
    /// In the one that is looked at: it answers what was typed there, or is about nobody.
    Open,
    /// In the one with this user, whom it is about.
    Of(&'a str),
    /// In those with these users, as far as there are such: each comes or goes, as the word says.
    OfEach(&'a [String], &'static str),
    /// In none: the list of users shows it.
    Nowhere,
}

/// The screen of one chat.
pub(super) struct ChatScreen {
    terminal: Terminal,
    pub(super) keys: Keys,
    pub(super) editor: Editor,
    inline: Inline,
    pub(super) pace: Pace,
    look: Look,
    size: Size,
    /// Lines that wait for the next frame.
    lines: Vec<(String, Option<Receipt>)>,
    /// Bytes of them.
    waiting: usize,
    own: OwnLines,
    conversations: Conversations,
    /// The whole screen is drawn on.
    whole: Option<Whole>,
    /// What is to be sent before the next frame, because the screen changes.
    change: String,
    /// Lines that the scrollback will not get, because too many came while the whole screen was
    /// drawn on.
    left_out: usize,
    pub(super) link: Link,
    /// Who wrote last.
    pub(super) last_from: Option<String>,
    /// What the last key has to say.
    pub(super) notice: Option<String>,
    /// Users that were seen in this run, for Tab.
    seen: BTreeSet<String>,
    /// Somebody wrote since the last frame.
    rings_for: Option<String>,
    /// The next frame clears the window.
    clears: bool,
    /// That the relay cannot be reached was said, and is shown in the status since.
    outage_is_told: bool,
    /// No frame is drawn any more.
    is_over: bool,
}

/// Users whose names Tab completes although they are not connected.
const MAX_SEEN: usize = 1024;

impl ChatScreen {
    /// A screen on `terminal`, with these lines to be had with the arrow up.
    pub(super) fn new(terminal: Terminal, look: Look, history: Vec<String>) -> Self {
        let mut editor = Editor::new(MAX_TEXT);
        editor.remember(history);
        Self {
            terminal,
            keys: Keys::default(),
            editor,
            inline: Inline::new(Terminal::rewraps()),
            pace: Pace::default(),
            look,
            size: Terminal::size(),
            lines: Vec::new(),
            waiting: 0,
            own: OwnLines::default(),
            conversations: Conversations::default(),
            whole: None,
            change: String::new(),
            left_out: 0,
            link: Link::default(),
            last_from: None,
            notice: None,
            seen: BTreeSet::new(),
            rings_for: None,
            clears: false,
            outage_is_told: false,
            is_over: false,
        }
    }

    /// Whether lines are still drawn.
    pub(super) fn is_in_use(&self) -> bool {
        !self.is_over
    }

    /// Whether so much waits to be drawn that no more should be read from the relay.
    pub(super) fn is_full(&self) -> bool {
        self.waiting >= OUTPUT_QUEUE && self.whole.is_none()
    }

    /// Whether lines wait to be drawn.
    pub(super) fn has_lines(&self) -> bool {
        !self.lines.is_empty() && self.whole.is_none()
    }

    // --- What is shown ---

    /// The line of a message that came from the user with this key.
    pub(super) fn message(&self, event: &Event, fp: Option<Fingerprint>) -> Option<String> {
        let Event::Message { from, text, way, .. } = event else { return None };
        let now = wall_clock();
        let age = match *way {
            Way::Session { .. } => String::new(),
            Way::Letter { at } => format!(" ({})", view::ago(now, at)),
        };
        let time = self.look.clock.before_line(now);
        // Only names are bold: no text that somebody sends can look like the begin of a line.
        let bold = self.colour(fp).bold();
        Some(format!("{time}{bold}{}{PLAIN}{age}: {}\n", escape(from), view::isolated(text)))
    }

    fn colour(&self, fp: Option<Fingerprint>) -> Colour {
        fp.filter(|_| self.look.has_colours).map_or_else(Colour::default, Colour::of)
    }

    /// Shows whole lines; `receipt` goes with them.
    pub(super) fn print(&mut self, lines: String, receipt: Option<Receipt>) {
        self.waiting += lines.len();
        self.lines.push((lines, receipt));
        self.pace.want();
    }

    /// Shows whole lines that nobody has written. `chosen`: whose conversation is looked at.
    pub(super) fn notice(&mut self, lines: &str, room: Room, chosen: Option<&str>) {
        match room {
            Room::Open => self.conversations.notice(chosen.unwrap_or(NOBODY), lines),
            Room::Of(name) => self.conversations.notice(name, lines),
            Room::OfEach(names, word) => {
                for name in names {
                    let line = format!("* {word}: {}", escape(name));
                    self.conversations.notice_if_known(name, chosen, &line);
                }
            }
            Room::Nowhere => {}
        }
        let columns = usize::from(self.size.columns).saturating_sub(1);
        let rows: Vec<String> = lines.lines().flat_map(|line| wrap(line, columns)).collect();
        self.print(rows.join("\n") + "\n", None);
    }

    /// Shows what can be typed, and where to look for the begin of it if the window is too small.
    pub(super) fn help(&mut self, help: &str, chosen: Option<&str>) {
        self.notice(help, Room::Open, chosen);
        let (columns, live) = self.notice_room();
        let rows: usize = help.lines().map(|line| wrap(line, columns).len()).sum();
        if rows + live > usize::from(self.size.rows) {
            self.notice = Some(match self.whole {
                Some(_) => "PageUp: the begin of the help".to_owned(),
                None => "the help begins above: scroll the terminal back".to_owned(),
            });
        }
    }

    /// The columns that a notice has, and the rows of the window that it has not.
    fn notice_room(&self) -> (usize, usize) {
        match self.whole {
            Some(_) => (whole::columns(self.size), 3),
            None => (usize::from(self.size.columns).saturating_sub(1), 2),
        }
    }

    /// A text was given to the client.
    pub(super) fn said(&mut self, id: &str, to: &str, text: &str) {
        self.own.said(id, to, text);
        let shown = view::indented(text);
        let said =
            Said::Own { id: id.to_owned(), to: to.to_owned(), text: shown, fate: Fate::Open };
        let time = self.look.clock.now(wall_clock());
        self.conversations.push(to, Line { time, said }, false);
        self.pace.want();
    }

    /// Whether the status shows what `event` tells, so that no line has to.
    pub(super) fn shows_by_itself(&mut self, event: &Event) -> bool {
        match event {
            Event::Progress(Progress::Retrying { .. }) => true,
            Event::Progress(Progress::Unreachable { .. }) => {
                std::mem::replace(&mut self.outage_is_told, true)
            }
            _ => false,
        }
    }

    /// Something has happened. `fp`: the key of the user who wrote.
    pub(super) fn note(&mut self, now: Time, event: &Event, fp: Option<Fingerprint>) {
        self.pace.want();
        match event {
            Event::Message { from, text, .. } => {
                let time = self.look.clock.now(wall_clock());
                let (name, text) = (escape(from).into_owned(), view::indented(text));
                let line = Line { time, said: Said::By { name, colour: self.colour(fp), text } };
                self.conversations.push(from, line, self.whole.is_some());
                self.last_from = Some(from.clone());
                self.rings_for = Some(from.clone());
                self.see(from);
            }
            Event::Peer { name, .. } => self.see(name),
            Event::Registered { .. } => {
                self.link = Link::Up;
                self.outage_is_told = false;
            }
            Event::Progress(Progress::Connecting { address }) => {
                self.link = Link::Connecting(address.clone());
            }
            Event::Progress(Progress::Lost { .. }) => self.link = Link::Down,
            Event::Progress(Progress::Retrying { pause }) => self.link = Link::Retry(now + *pause),
            _ => {}
        }
        let fate = match event {
            Event::Stored { id, to } => Some((id, to, Fate::Stored)),
            Event::Delivered { id, to, stored_at: None } => Some((id, to, Fate::Delivered)),
            Event::Failed { id, to, .. } => Some((id, to, Fate::Failed)),
            _ => None,
        };
        if let Some((id, to, fate)) = fate {
            self.conversations.mark(to, id, fate);
        }
        for line in self.own.note(event) {
            self.print_own(&line);
        }
    }

    fn print_own(&mut self, line: &str) {
        let time = self.look.clock.before_line(wall_clock());
        self.print(format!("{time}{line}\n"), None);
    }

    fn see(&mut self, name: &str) {
        if self.seen.len() < MAX_SEEN {
            self.seen.insert(name.to_owned());
        }
    }

    /// Tab: completes a command at the begin of the line, or a name of those who are `here` or
    /// were seen.
    pub(super) fn complete<'a>(&'a mut self, here: impl Iterator<Item = &'a str>) {
        let all: BTreeSet<&str> = here.chain(self.seen.iter().map(String::as_str)).collect();
        let names: Vec<&str> = all.into_iter().filter(|it| check_name_v2(it).is_ok()).collect();
        let found = self.editor.complete(|word, is_first| candidates(&names, word, is_first));
        if !found.is_empty() {
            self.notice = Some(found.join(" "));
        }
    }

    // --- The terminal ---

    /// The terminal may have another size.
    pub(super) fn resized(&mut self) {
        self.size = Terminal::size();
        if let Some(whole) = &mut self.whole {
            whole.resize(self.size);
        }
        self.pace.want();
    }

    /// The next frame clears the window.
    pub(super) fn clear(&mut self) {
        self.clears = true;
        self.pace.want();
    }

    /// What takes the live rows away, before this process is stopped.
    pub(super) fn erase(&mut self) -> String {
        let mut out = String::new();
        self.inline.erase(self.size.columns, &mut out);
        out
    }

    /// Gives the terminal back and stops this process. Returns when it goes on, and draws nothing
    /// before [`continued`](Self::continued).
    pub(super) fn stop(&mut self) {
        self.terminal.suspend();
    }

    /// The process goes on. Whether the terminal is ours again.
    pub(super) fn continued(&mut self) -> bool {
        self.inline.forget();
        self.resized();
        if let Some(whole) = &mut self.whole {
            whole.forget();
        }
        self.terminal.resume().is_ok() && self.terminal.is_raw()
    }

    // --- Frames ---

    /// What is to be written now, with the receipts of messages in it; empty: nothing, yet.
    pub(super) fn frame(&mut self, now: Time, status: &Status) -> Vec<(String, Option<Receipt>)> {
        let parts = self.parts(now, status);
        self.for_terminal(parts)
    }

    /// In the characters that the terminal knows.
    fn for_terminal(
        &self,
        mut parts: Vec<(String, Option<Receipt>)>,
    ) -> Vec<(String, Option<Receipt>)> {
        if self.look.is_ascii {
            for (text, _) in &mut parts {
                *text = ascii(text).into_owned();
            }
        }
        parts
    }

    fn parts(&mut self, now: Time, status: &Status) -> Vec<(String, Option<Receipt>)> {
        let is_drawn = !self.is_over && self.terminal.is_raw();
        if !is_drawn || !(self.pace.take(now) || self.is_full()) {
            return Vec::new();
        }
        for line in self.own.take_late() {
            self.print_own(&line);
        }
        if self.whole.is_some() {
            return self.whole_frame(status);
        }
        let live = self.live(status);
        let is_same = self.lines.is_empty()
            && self.inline.shows(&live, self.size.columns)
            && !self.clears
            && self.change.is_empty();
        if is_same && self.rings_for.is_none() {
            return Vec::new();
        }
        let mut first = std::mem::take(&mut self.change);
        self.inline.erase(self.size.columns, &mut first);
        self.tell_left_out();
        if std::mem::take(&mut self.clears) {
            first.push_str("\x1b[H\x1b[2J");
        }
        let mut parts = vec![(first, None)];
        parts.append(&mut self.lines);
        self.waiting = 0;
        let mut last = self.ring();
        self.inline.draw(live, self.size.columns, &mut last);
        parts.push((last, None));
        parts
    }

    /// The last lines, without the live rows.
    pub(super) fn last_frame(&mut self) -> Vec<(String, Option<Receipt>)> {
        for line in self.own.take_all() {
            self.print_own(&line);
        }
        if self.whole.is_some() {
            self.toggle();
        }
        self.tell_left_out();
        self.is_over = true;
        let mut parts = vec![(std::mem::take(&mut self.change) + &self.erase(), None)];
        parts.append(&mut self.lines);
        self.waiting = 0;
        self.for_terminal(parts)
    }

    /// When there is something to draw again by itself: the next frame, or a clock that goes on.
    pub(super) fn next_frame(&self, now: Time) -> Option<Time> {
        if self.is_over || !self.terminal.is_raw() {
            return None;
        }
        let tick = match &self.link {
            Link::Retry(until) if *until > now => Some(now + clock::SECOND),
            _ => self.look.clock.is_shown().then(|| now + clock::until_minute(wall_clock())),
        };
        self.pace.next().or(tick)
    }

    /// Tells of lines that the scrollback does not get.
    fn tell_left_out(&mut self) {
        let count = std::mem::take(&mut self.left_out);
        if count > 0 {
            self.lines.insert(0, (format!("* {count} earlier lines are left out\n"), None));
        }
    }

    fn live(&self, status: &Status) -> Live {
        let columns = usize::from(self.size.columns);
        let most = usize::from(self.size.rows / 4).min(own::ROWS);
        let mut rows: Vec<Row> = self.own.rows(most).into_iter().map(Row::plain).collect();
        let notice = self.notice.as_deref().map(|notice| escape(notice).into_owned());
        let hint = notice.or_else(|| status::hint(&self.editor));
        let clock = self.look.clock.now(wall_clock());
        // Without the space at each side, and the cell that stays free.
        let is_scrolled = self.whole.as_ref().is_some_and(Whole::is_scrolled);
        let later = if is_scrolled { "PageDown: later lines · " } else { "" };
        let room = columns.saturating_sub(3 + later.chars().count());
        let status_line = status.line(hint, &self.link, &clock, room);
        rows.push(Row::styled("\x1b[7m", format!(" {later}{status_line} ")));
        let label = match self.editor.search() {
            Some((words, is_found)) => {
                let what = if is_found { "search" } else { "not found" };
                format!("({what}: {}) ", isolate(&escape(words)))
            }
            None => status.to.map_or("> ".to_owned(), |to| format!("{to}> ")),
        };
        let label = crate::screen::cut(&label, columns / 2).into_owned();
        let left = columns.saturating_sub(crate::screen::width(&label) + 1);
        let view = self.editor.view(left);
        Live { rows, prompt: Prompt { label, before: view.before, after: view.after } }
    }

    /// What tells the terminal of a message. The name only, and never what it says.
    fn ring(&mut self) -> String {
        let (Some(from), Some(notify)) = (self.rings_for.take(), self.look.notify) else {
            return String::new();
        };
        let who = if check_name_v2(&from).is_ok() { from.as_str() } else { "somebody" };
        match notify {
            Notify::Bell => "\x07".to_owned(),
            Notify::Osc9 => format!("\x1b]9;sealwax: a message from {who}\x1b\\"),
            Notify::Osc777 => format!("\x1b]777;notify;sealwax;a message from {who}\x1b\\"),
        }
    }
}

/// The words that begin with `word`: commands where it is the first of the line, and names.
fn candidates(names: &[&str], word: &str, is_first: bool) -> Vec<String> {
    if is_first && word.starts_with('/') {
        let fitting = COMMANDS.into_iter().filter(|it| it.starts_with(word));
        return fitting.map(str::to_owned).collect();
    }
    let (sign, begin) = match word.strip_prefix('@') {
        Some(begin) if is_first => ("@", begin),
        _ => ("", word),
    };
    let fitting = names.iter().filter(|it| it.starts_with(begin));
    fitting.map(|it| format!("{sign}{it}")).collect()
}

/// What the options of `chat` say about the look.
pub(super) fn look(time: &TimeFormat, notify: Option<Notify>) -> Look {
    Look {
        has_colours: !super::is_without_colours(),
        is_ascii: !Terminal::knows_utf8(),
        clock: Clock::new(time),
        notify,
    }
}
