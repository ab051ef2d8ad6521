//! The line client: a [`Client`], standard input and two streams on one loop.
//!
//! This is all of `chat`, `send` and `recv`; they differ in their [`Task`] only. It passes the loop's calls on to
//! whom they concern, makes lines into messages and events into lines, and decides when it is time to leave:
//!
//! ```text
//!   Talking ────────────────────▶ Finishing ─────────────────────▶ Leaving ──▶ stop
//!      │    end of input, /quit       everything is confirmed,        ▲   both streams are
//!      │                              or the wait ran out             │   flushed and closed
//!      └──────────────────────────────────────────────────────────────┘
//!         enough received, a signal, the client gave up, standard output is gone
//! ```

use std::collections::BTreeSet;
use std::time::Duration;

use super::lines::{Ask, Form, HELP, Line, Lines};
use super::streams::Streams;
use super::view::{Level, View};
use super::{Exit, trusted};
use crate::client::{Client, Ending, Event, Failure, Receipt, Refused, Standing};
use crate::reactor::{
    Alarm, CloseReason, Context, Deadline, Handler, Opened, Signal, Source, Token,
};

/// The alarm that the client uses.
pub(super) const CLIENT_ALARM: Alarm = Alarm(0);
/// The wait of `--wait` ran out.
const WAIT_ALARM: Alarm = Alarm(1);
/// Something was written in the tick before: look whether it was taken.
const SHOWN_ALARM: Alarm = Alarm(2);

/// What one run is for.
#[derive(Debug, Default)]
pub(super) struct Task {
    /// How standard input is read; none: it is not.
    pub input: Option<Form>,
    /// The first recipient.
    pub to: Option<String>,
    /// The only message, instead of standard input.
    pub text: Option<String>,
    /// Leave after so many received messages.
    pub count: Option<u64>,
    /// How long to wait: from the end of input, or where there is none from the start.
    pub wait: Option<Duration>,
}

/// The handler: see above.
pub(super) struct Front {
    client: Client,
    view: View,
    task: Task,
    streams: Option<Streams>,
    input: Option<Input>,
    phase: Phase,
    /// The user whom text goes to.
    recipient: Option<String>,
    /// Messages that were given to standard output.
    printed: u64,
    /// Messages that standard output has taken.
    received: u64,
    /// Peers whose key has changed and was not accepted.
    changed: BTreeSet<String>,
    exit: Exit,
}

struct Input {
    id: Token,
    form: Form,
    lines: Lines,
    /// What the input left behind when it ended, where a recipient was not ready for it.
    rest: Option<Vec<u8>>,
    /// The next line has to wait until this recipient has confirmed some of those before it.
    waits_for: Option<String>,
}

/// Whether an event was the client's last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Noted {
    GoesOn,
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Talking,
    Finishing,
    Leaving,
}

impl Front {
    /// A front that has done nothing yet.
    pub(super) fn new(client: Client, view: View, mut task: Task) -> Self {
        let recipient = task.to.take();
        Self {
            client,
            view,
            task,
            streams: None,
            input: None,
            phase: Phase::Talking,
            recipient,
            printed: 0,
            received: 0,
            changed: BTreeSet::new(),
            exit: Exit::Done,
        }
    }

    /// Asks for all sources, and connects.
    pub(super) fn start(&mut self, cx: &mut Context) {
        cx.open(Source::Signals);
        self.streams = Some(Streams::open(cx));
        self.client.start(cx);
        if let Some(form) = self.task.input {
            let (id, lines) = (cx.open(Source::Input), Lines::default());
            self.input = Some(Input { id, form, lines, rest: None, waits_for: None });
        }
        if let Some(text) = self.task.text.take() {
            self.obey(cx, Ask::Say { to: None, text, id: None });
            self.finish(cx);
        } else if self.task.input.is_none()
            && let Some(wait) = self.task.wait
        {
            cx.alarm(WAIT_ALARM, Some(cx.now() + wait));
        }
    }

    /// How it went; meaningful once the loop has stopped.
    pub(super) fn exit(&self) -> Exit {
        if self.changed.is_empty() { self.exit } else { self.exit.and(Exit::NotTrusted) }
    }

    // --- Standard input ---

    /// Obeys the lines of `bytes`, and tells how many bytes that took: up to a line that has to wait.
    fn read_lines(&mut self, cx: &mut Context, bytes: &[u8]) -> usize {
        let mut consumed = 0;
        while self.phase == Phase::Talking
            && let Some(input) = &mut self.input
        {
            let (line, length) = input.lines.next(&bytes[consumed..]);
            let form = input.form;
            if let Some(line) = line
                && !self.read_line(cx, form, &line)
            {
                break;
            }
            consumed += length;
            if length == 0 {
                break;
            }
        }
        consumed
    }

    /// Obeys one line; false: it has to wait, and is to be shown again.
    fn read_line(&mut self, cx: &mut Context, form: Form, line: &Line) -> bool {
        let asked = match line {
            Line::Whole(line) => form.parse(line),
            Line::TooLong => Err("the line is too long and was skipped".to_string()),
        };
        match asked {
            Ok(ask) => self.obey(cx, ask),
            Err(why) => {
                self.exit = self.exit.and(Exit::Failed);
                self.complain(cx, &why);
                true
            }
        }
    }

    /// Standard input has ended: its last lines, now or when their recipients are ready.
    fn read_rest(&mut self, cx: &mut Context, rest: &[u8]) {
        let consumed = self.read_lines(cx, rest);
        let Some(input) = &mut self.input else { return };
        let (form, mut left) = (input.form, &rest[consumed..]);
        let stuck = input.waits_for.is_some();
        if !stuck
            && let Some(line) = input.lines.last(left)
            && self.phase == Phase::Talking
            && self.read_line(cx, form, &line)
        {
            left = &[];
        }
        let Some(input) = &mut self.input else { return };
        if input.waits_for.is_some() {
            input.rest = Some(left.to_vec());
            return;
        }
        self.input = None;
        self.finish(cx);
    }

    /// Goes on with the input where it had to wait.
    fn resume_input(&mut self, cx: &mut Context) {
        let Some(input) = &mut self.input else { return };
        if !input.waits_for.as_ref().is_some_and(|peer| self.client.ready_for_more(peer)) {
            return;
        }
        input.waits_for = None;
        match input.rest.take() {
            Some(rest) => self.read_rest(cx, &rest),
            None => cx.resume(input.id),
        }
    }

    /// Does what a line asks for; false: not yet.
    fn obey(&mut self, cx: &mut Context, ask: Ask) -> bool {
        match ask {
            Ask::Say { to, text, id } => return self.say(cx, to, &text, id),
            Ask::Recipient(name) => {
                self.talk(cx, Level::Info, &format!("talking to {name}"));
                self.recipient = Some(name);
            }
            Ask::Users => {
                let users = self.client.users().map(str::to_owned).collect();
                self.tell(cx, Event::Users { users });
            }
            Ask::Verify { name, number } => {
                let said = trusted::verify(&mut self.client, &name, number.as_deref());
                self.talk(cx, Level::Warning, &said);
            }
            Ask::Trust(name) => {
                let said = trusted::trust(&mut self.client, &name);
                self.talk(cx, Level::Warning, &said);
            }
            Ask::Help => self.talk(cx, Level::Warning, HELP.trim_end()),
            Ask::Quit => self.finish(cx),
            Ask::Nothing => {}
        }
        true
    }

    fn say(
        &mut self,
        cx: &mut Context,
        to: Option<String>,
        text: &str,
        id: Option<String>,
    ) -> bool {
        let Some(to) = to.or_else(|| self.recipient.clone()) else {
            self.complain(cx, "to whom? /to NAME chooses, @NAME TEXT says it once");
            return true;
        };
        match self.client.say(&to, text, id.clone()) {
            Ok(_) => {}
            Err(Refused::Pause) => {
                if let Some(input) = &mut self.input {
                    cx.pause(input.id);
                    input.waits_for = Some(to);
                }
                return false;
            }
            Err(refused) => {
                let code = match refused {
                    Refused::NotAName => Failure::UnknownUser,
                    Refused::TooLong => Failure::TooLong,
                    Refused::Oneself | Refused::Pause => Failure::Refused,
                };
                let id = id.unwrap_or_default();
                self.tell(cx, Event::Failed { id, to, code, detail: refused.to_string() });
            }
        }
        true
    }

    // --- What is shown ---

    fn tell(&mut self, cx: &mut Context, event: Event) {
        let enough = self.task.count.is_some_and(|count| self.printed >= count);
        if enough && matches!(event, Event::Message { .. }) {
            return; // not shown, and so not confirmed: its sender will send it again
        }
        let written = self.view.write(&event);
        let noted = self.note(&event);
        let receipt = match event {
            Event::Message { receipt, .. } => Some(receipt),
            _ => None,
        };
        self.printed += u64::from(receipt.is_some());
        self.write(cx, &written.output, &written.talk, receipt);
        if noted == Noted::Over {
            self.close_streams(cx);
        }
    }

    fn talk(&mut self, cx: &mut Context, level: Level, sentence: &str) {
        let talk = self.view.talk(level, sentence);
        self.write(cx, "", &talk, None);
    }

    /// A line of standard input was not understood: a script has to see that on standard output.
    fn complain(&mut self, cx: &mut Context, why: &str) {
        if self.view.json {
            let event = serde_json::json!({"event": "warning", "code": "bad_input", "detail": why});
            return self.write(cx, &format!("{event}\n"), "", None);
        }
        self.talk(cx, Level::Warning, why);
    }

    fn write(&mut self, cx: &mut Context, output: &str, talk: &str, receipt: Option<Receipt>) {
        let Some(streams) = &mut self.streams else { return };
        if !output.is_empty() {
            streams.write(cx, output, receipt);
            cx.alarm(SHOWN_ALARM, Some(cx.now()));
        }
        if !talk.is_empty() {
            streams.talk(cx, talk);
        }
    }

    /// What an event means for the exit code, and whether it is the last one.
    fn note(&mut self, event: &Event) -> Noted {
        match event {
            Event::Peer { name, standing: Standing::Changed, .. } => {
                self.changed.insert(name.clone());
            }
            Event::Peer { name, standing: Standing::Pinned(_), .. } => {
                self.changed.remove(name);
            }
            Event::Failed { code, .. } => self.exit = self.exit.and(exit_of_failure(*code)),
            Event::Closed { code, .. } => {
                self.exit = self.exit.and(exit_of_ending(*code));
                return Noted::Over;
            }
            _ => {}
        }
        Noted::GoesOn
    }

    // --- Leaving ---

    /// No more input: what was given is still finished.
    fn finish(&mut self, cx: &mut Context) {
        if self.phase != Phase::Talking {
            return;
        }
        self.phase = Phase::Finishing;
        if let Some(input) = &self.input {
            cx.pause(input.id);
        }
        if let Some(wait) = self.task.wait {
            cx.alarm(WAIT_ALARM, Some(cx.now() + wait));
        }
    }

    /// The wait is over, with what has happened until now.
    fn give_up_waiting(&mut self, cx: &mut Context) {
        let outlook = self.client.outlook();
        let received_all = self.task.count.is_none_or(|count| self.received >= count);
        if !outlook.connected {
            self.exit = self.exit.and(Exit::Relay);
        }
        if outlook.absent > 0 {
            self.exit = self.exit.and(Exit::UnknownRecipient);
        }
        if outlook.unconfirmed > 0 || !received_all {
            self.exit = self.exit.and(Exit::WaitRanOut);
        }
        if outlook.unconfirmed > 0 {
            let sentence = format!("{} messages were not confirmed in time", outlook.unconfirmed);
            self.talk(cx, Level::Warning, &sentence);
        }
        self.leave(cx);
    }

    fn leave(&mut self, cx: &mut Context) {
        if self.phase != Phase::Leaving {
            self.phase = Phase::Leaving;
            self.client.leave(cx); // tells `Closed` when it has
        }
    }

    /// The client is gone: what is written leaves, and then so do we.
    fn close_streams(&mut self, cx: &mut Context) {
        self.phase = Phase::Leaving;
        if let Some(streams) = &self.streams {
            streams.close(cx);
        }
    }

    /// Whether what was asked is done.
    fn leave_if_done(&mut self, cx: &mut Context) {
        let shown = !self.streams.as_ref().is_some_and(Streams::is_behind);
        let done = match self.phase {
            Phase::Talking => self.task.count.is_some_and(|count| self.received >= count),
            Phase::Finishing => self.client.outlook().unconfirmed == 0,
            Phase::Leaving => false,
        };
        if done && shown {
            self.leave(cx);
        }
    }
}

impl Handler for Front {
    fn opened(&mut self, cx: &mut Context, id: Token, how: Opened) {
        if self.client.owns(id) {
            self.client.opened(cx, id, how);
        }
    }

    fn received(&mut self, cx: &mut Context, from: Token, bytes: &[u8]) -> usize {
        if self.client.owns(from) {
            return self.client.received(cx, from, bytes);
        }
        match &self.input {
            Some(input) if input.id == from && input.waits_for.is_none() => {
                self.read_lines(cx, bytes)
            }
            _ => 0,
        }
    }

    fn ended(&mut self, cx: &mut Context, from: Token, rest: &[u8]) {
        if self.client.owns(from) {
            return self.client.ended(cx, from);
        }
        match &mut self.input {
            Some(input) if input.id == from && input.waits_for.is_some() => {
                input.rest = Some(rest.to_vec());
            }
            Some(input) if input.id == from => self.read_rest(cx, rest),
            _ => {}
        }
    }

    fn drained(&mut self, cx: &mut Context, _to: Token) {
        self.client.hold(cx, false);
    }

    fn expired(&mut self, cx: &mut Context, id: Token, deadline: Deadline) {
        if self.client.owns(id) {
            self.client.expired(cx, id, deadline);
        }
    }

    fn alarm(&mut self, cx: &mut Context, alarm: Alarm) {
        match alarm {
            CLIENT_ALARM => self.client.alarm(cx),
            WAIT_ALARM => self.give_up_waiting(cx),
            _ => {} // what was shown is looked at in every tick
        }
    }

    fn signal(&mut self, cx: &mut Context, _signal: Signal) {
        if self.client.outlook().unconfirmed > 0 {
            self.exit = self.exit.and(Exit::WaitRanOut);
        }
        self.leave(cx);
    }

    fn closed(&mut self, cx: &mut Context, id: Token, reason: CloseReason) {
        if self.client.owns(id) {
            return self.client.closed(cx, id, reason);
        }
        if self.input.as_ref().is_some_and(|input| input.id == id && input.rest.is_none()) {
            self.input = None; // it could not be opened or read: as if it had ended
            self.finish(cx);
        }
        let Some(streams) = &mut self.streams else { return };
        if streams.closed(id) && self.phase != Phase::Leaving {
            self.exit = self.exit.and(Exit::Failed);
            self.talk(cx, Level::Warning, "standard output is closed: nobody reads what arrives");
            self.leave(cx);
        }
        if self.streams.as_ref().is_some_and(Streams::are_closed) {
            cx.stop();
        }
    }

    fn end_of_tick(&mut self, cx: &mut Context) {
        while let Some(receipt) = self.streams.as_mut().and_then(|streams| streams.shown(cx)) {
            self.received += 1;
            self.client.shown(receipt);
        }
        self.resume_input(cx);
        self.leave_if_done(cx);
        self.client.end_of_tick(cx);
        while let Some(event) = self.client.next_event() {
            self.tell(cx, event);
        }
        if self.streams.as_ref().is_some_and(|streams| streams.is_full(cx)) {
            self.client.hold(cx, true);
        }
    }
}

const fn exit_of_failure(code: Failure) -> Exit {
    match code {
        Failure::KeyChanged | Failure::NotVerified | Failure::Downgrade | Failure::BadPrekey => {
            Exit::NotTrusted
        }
        Failure::UnknownUser => Exit::UnknownRecipient,
        Failure::NotV2
        | Failure::BadKey
        | Failure::TooLong
        | Failure::TrustFile
        | Failure::Refused => Exit::Failed,
    }
}

const fn exit_of_ending(code: Ending) -> Exit {
    match code {
        Ending::Left => Exit::Done,
        Ending::NameInUse | Ending::NameBound | Ending::BadName => Exit::Name,
        Ending::DirectoryFull
        | Ending::Replaced
        | Ending::BadProof
        | Ending::RelayChanged
        | Ending::NotV2
        | Ending::Refused => Exit::Relay,
        Ending::TrustFile => Exit::Identity,
    }
}
