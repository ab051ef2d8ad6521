//! The line client: a [`Client`], standard input and two streams on one loop.
//!
//! This is all of `chat`, `send` and `recv`; they differ in their [`Task`] only. It passes the
//! loop's calls on to the part that they are for, turns lines into messages and events into lines,
//! and decides when to leave (what it reads: `input.rs`; what it shows: `output.rs`; what is typed
//! at a terminal that is drawn on: `typed.rs`):
//!
//! ```text
//!   Talking ────────────────────▶ Finishing ─────────────────────▶ Leaving ──▶ stop
//!      │    end of input, /quit       everything is confirmed,        ▲   both streams are
//!      │                              or the wait ran out             │   flushed and closed
//!      └──────────────────────────────────────────────────────────────┘
//!         enough received, a signal, the client gave up, standard output is gone
//! ```

mod gathered;
mod input;
mod output;
mod taken;
mod typed;

use std::collections::BTreeSet;
use std::time::Duration;

use nix::errno::Errno;

use self::gathered::Gathered;
use self::input::Input;
use self::taken::TakenLines;
use super::Exit;
use super::inline::ChatScreen;
use super::lines::{InputCommand, InputForm};
use super::streams::Streams;
use super::view::{Level, View};
use crate::client::Client;
use crate::reactor::{
    CloseReason, Context, Garbled, Handler, Opened, ProcessFd, Signal, Time, Timeout, Timer, Token,
    Waker,
};
use crate::trace::Recorder;

/// The timer that the client uses.
pub(super) const CLIENT_TIMER: Timer = Timer(0);
/// The wait of `--wait` ran out.
const WAIT_TIMER: Timer = Timer(1);
/// Something was written in the tick before: check whether it was taken.
const SHOWN_TIMER: Timer = Timer(2);
/// The next frame may be drawn.
const FRAME_TIMER: Timer = Timer(3);
/// No more bytes have come for a key that has begun.
const KEYS_TIMER: Timer = Timer(4);
/// The time that is shown has gone on.
const CLOCK_TIMER: Timer = Timer(5);
/// What was gathered is told.
const GATHER_TIMER: Timer = Timer(6);

/// What one run is for.
#[derive(Debug, Default)]
pub(super) struct Task {
    /// How standard input is read; none: it is not.
    pub input: Option<InputForm>,
    /// The first recipient.
    pub to: Option<String>,
    /// The only message, instead of standard input.
    pub text: Option<String>,
    /// A person types: what goes wrong with a line is told, and is not what the run failed with.
    pub is_typed: bool,
    /// Leave after so many received messages.
    pub count: Option<u64>,
    /// Letters are to be shown: where some cannot be, the run has failed.
    pub takes_letters: bool,
    /// A message is done when the relay has stored it.
    pub until_stored: bool,
    /// Nothing is waited for that is not there: a recipient, a relay, room in a letterbox.
    pub is_impatient: bool,
    /// How long to wait: from the end of input, or where there is none from the start; and, where
    /// input has to wait for confirmations, from the last of them.
    pub wait: Option<Duration>,
}

/// The handler: see above.
pub(super) struct ChatHandler {
    client: Client,
    view: View,
    task: Task,
    /// What wakes the loop when a name has been looked up.
    look_ups: Option<Token>,
    streams: Option<Streams>,
    /// The terminal, where it is drawn on.
    screen: Option<ChatScreen>,
    /// Talk is drawn there too: standard error is the terminal.
    talk_is_drawn: bool,
    /// This process is to be stopped in the next tick.
    stops: bool,
    /// Whom a line goes to that is entered once more.
    asked: Option<String>,
    input: Option<Input>,
    taken: TakenLines,
    phase: Phase,
    /// The user whom text goes to.
    recipient: Option<String>,
    /// Messages that were given to standard output.
    printed: u64,
    /// Messages that standard output has taken.
    received: u64,
    /// Peers whose key has changed and was not accepted.
    changed: BTreeSet<String>,
    /// An answer to that is owed.
    asks_who_is_here: bool,
    /// Letters that are told together.
    gathered: Gathered,
    /// When that is done.
    gathering_until: Option<Time>,
    /// All that waited in the letterbox has come, and nothing else is waited for.
    has_looked_in: bool,
    /// The peer whose key is to be accepted once the relay has said which it is.
    trusting: Option<String>,
    exit: Exit,
    /// Notes what the loop does, where that is asked.
    recorder: Option<Recorder>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Talking,
    Finishing,
    Leaving,
}

impl ChatHandler {
    /// A handler that has done nothing yet.
    pub(super) fn new(
        client: Client,
        view: View,
        mut task: Task,
        recorder: Option<Recorder>,
    ) -> Self {
        let recipient = task.to.take();
        Self {
            client,
            view,
            task,
            look_ups: None,
            streams: None,
            screen: None,
            talk_is_drawn: false,
            stops: false,
            asked: None,
            input: None,
            taken: TakenLines::default(),
            phase: Phase::Talking,
            recipient,
            printed: 0,
            received: 0,
            changed: BTreeSet::new(),
            asks_who_is_here: false,
            gathered: Gathered::default(),
            gathering_until: None,
            has_looked_in: false,
            trusting: None,
            exit: Exit::Done,
            recorder,
        }
    }

    /// Draws on a terminal, on which talk may be drawn too.
    pub(super) fn with_screen(self, screen: ChatScreen, talk_is_drawn: bool) -> Self {
        Self { screen: Some(screen), talk_is_drawn, ..self }
    }

    /// The lines that were typed, the oldest first.
    pub(super) fn history(&self) -> impl Iterator<Item = &str> {
        self.screen.iter().flat_map(|screen| screen.editor.history())
    }

    /// Asks for all sources, and connects. `look_ups` wakes the loop when a name was looked up.
    pub(super) fn start(&mut self, cx: &mut Context, look_ups: Waker) {
        cx.open(ProcessFd::Signals);
        if self.screen.is_some() {
            cx.open(ProcessFd::TerminalSignals);
        }
        self.look_ups = Some(cx.open(ProcessFd::Wake(look_ups)));
        self.streams = Some(Streams::open(cx));
        self.client.start(cx);
        if let Some(form) = self.task.input {
            self.input = Some(Input::new(cx.open(ProcessFd::Stdin), form));
        }
        if let Some(text) = self.task.text.take() {
            self.obey(cx, InputCommand::Say { to: None, text, id: None });
            self.finish(cx);
        } else if self.task.input.is_none() && !self.task.is_impatient {
            self.begin_wait(cx);
        }
    }

    /// It receives what comes at once, and waits for nothing.
    fn only_looks_in(&self) -> bool {
        self.task.is_impatient && self.phase == Phase::Talking && self.input.is_none()
    }

    /// The exit code; meaningful once the loop has stopped.
    pub(super) fn exit(&self) -> Exit {
        let takes_letters = self.task.takes_letters;
        let mut exit = self.exit;
        if takes_letters && self.client.fails_to_keep_letters() {
            exit = exit.and(Exit::Identity);
        }
        let are_held = takes_letters && self.client.held_letters() > 0;
        if are_held || !self.changed.is_empty() {
            exit = exit.and(Exit::NotTrusted);
        }
        exit
    }

    /// The time of `--wait` begins anew.
    fn begin_wait(&self, cx: &mut Context) {
        if let Some(wait) = self.task.wait {
            cx.set_timer(WAIT_TIMER, Some(cx.now() + wait));
        }
    }

    /// Something was confirmed or has failed: it goes on, and so may input that has to wait.
    fn has_gone_on(&mut self, cx: &mut Context) {
        if let Some(input) = &mut self.input {
            input.is_refused = false;
            if input.waits_for.is_some() {
                self.begin_wait(cx);
            }
        }
    }

    /// No more input: what was given is still finished.
    fn finish(&mut self, cx: &mut Context) {
        if self.phase != Phase::Talking {
            return;
        }
        self.phase = Phase::Finishing;
        self.screen.iter_mut().for_each(|screen| screen.pace.want());
        if let Some(input) = self.input.as_ref().filter(|_| self.screen.is_none()) {
            cx.pause(input.id);
        }
        self.begin_wait(cx);
    }

    /// The wait is over, with what has happened until now.
    fn give_up_waiting(&mut self, cx: &mut Context) {
        if self.phase == Phase::Leaving {
            return;
        }
        if self.phase == Phase::Talking && self.task.is_typed {
            return self.refuse_input(cx);
        }
        self.refuse_held(cx);
        self.client.give_up();
        self.tell_events(cx);
        let pending = self.client.pending_counts();
        let received_all = self.has_received_all();
        if !pending.connected {
            self.exit = self.exit.and(Exit::Relay);
        }
        let unread = self.unread();
        let is_answered = !self.asks_who_is_here && self.trusting.is_none();
        let unfinished = self.unfinished();
        // Letters wait that could not be shown: their senders' keys did not come, or the relay or
        // our disk could not keep what it has to.
        let looks_in = self.only_looks_in() && self.task.takes_letters && pending.connected;
        let is_behind = looks_in && !self.has_looked_in && self.client.is_emptying_letterbox();
        if is_behind {
            let sentence = "not all letters that wait could be shown; they are kept for later";
            self.talk(cx, Level::Warning, sentence);
        }
        if unfinished > 0 || unread.is_some() || !is_answered || !received_all || is_behind {
            self.exit = self.exit.and(Exit::WaitRanOut);
        }
        let done = if self.task.until_stored { "stored" } else { "confirmed in time" };
        let missed = self.taken.missed.sentence(done);
        let stored = still_stored(pending.stored).filter(|_| unfinished > 0);
        for sentence in [missed, unread, stored].into_iter().flatten() {
            self.talk(cx, Level::Warning, &sentence);
        }
        self.leave(cx);
    }

    /// Messages that are not done.
    fn unfinished(&self) -> usize {
        let pending = self.client.pending_counts();
        let stored = if self.task.until_stored { pending.stored } else { 0 };
        pending.unconfirmed - stored
    }

    /// Whether nothing more is to be waited for: who does not wait for a recipient, or leaves a
    /// chat at a terminal, has left all that there was in letterboxes. The first does not wait for
    /// room in one either.
    fn has_left_all(&self) -> bool {
        let is_stuck = self.input.as_ref().is_some_and(|input| input.waits_for.is_some());
        let is_over = self.phase == Phase::Finishing || is_stuck && self.phase == Phase::Talking;
        if !is_over || !self.task.is_impatient && !self.task.is_typed {
            return false;
        }
        let pending = self.client.pending_counts();
        let full = if self.task.is_impatient { pending.full } else { 0 };
        pending.unconfirmed > 0 && pending.stored + full == pending.unconfirmed
    }

    /// Tells what has happened to the client.
    fn tell_events(&mut self, cx: &mut Context) {
        while let Some(event) = self.client.next_event() {
            self.tell(cx, event);
        }
    }

    /// All messages that were asked for by their number.
    fn has_received_all(&self) -> bool {
        self.task.count.is_none_or(|count| self.received >= count)
    }

    fn leave(&mut self, cx: &mut Context) {
        if self.phase != Phase::Leaving {
            self.phase = Phase::Leaving;
            self.screen.iter_mut().for_each(|screen| screen.pace.want());
            self.client.leave(cx); // tells `Closed` when it has
        }
    }

    /// The client is over: leaves once everything that was written has been taken.
    fn close_streams(&mut self, cx: &mut Context) {
        self.phase = Phase::Leaving;
        if self.screen.as_ref().is_some_and(|screen| !screen.is_in_use()) {
            return; // they are being closed
        }
        if let Some(streams) = &mut self.streams {
            for (text, receipt) in self.screen.iter_mut().flat_map(ChatScreen::last_frame) {
                streams.write(cx, &text, receipt);
            }
            streams.close(cx);
        }
    }

    /// Whether what was asked is done.
    fn leave_if_done(&mut self, cx: &mut Context) {
        let shown = !self.streams.as_ref().is_some_and(Streams::has_backlog)
            && !self.screen.as_ref().is_some_and(ChatScreen::has_lines);
        let done = match self.phase {
            Phase::Talking => self.task.count.is_some_and(|count| self.received >= count),
            Phase::Finishing => {
                let is_answered = !self.asks_who_is_here && self.trusting.is_none();
                self.unfinished() == 0 && is_answered && !self.holds_line()
            }
            Phase::Leaving => false,
        };
        if done && shown {
            self.leave(cx);
        }
    }
}

impl Handler for ChatHandler {
    fn opened(&mut self, cx: &mut Context, id: Token, how: Opened) {
        if self.client.owns(id) {
            self.client.opened(cx, id, how);
        }
    }

    fn received(&mut self, cx: &mut Context, from: Token, bytes: &[u8]) -> usize {
        if self.client.owns(from) {
            return self.client.received(cx, from, bytes);
        }
        if self.look_ups == Some(from) {
            self.client.looked_up(cx);
            return bytes.len();
        }
        match &self.input {
            Some(input) if input.id == from && self.screen.is_some() => {
                self.typed(cx, bytes);
                bytes.len()
            }
            Some(input) if input.id == from && input.waits_for.is_none() => {
                self.read_lines(cx, bytes)
            }
            _ => 0,
        }
    }

    fn ended(&mut self, cx: &mut Context, from: Token, rest: &[u8]) {
        if self.client.owns(from) {
            return self.client.ended(cx, from, rest);
        }
        match &mut self.input {
            Some(input) if input.id == from && self.screen.is_some() => {
                self.input = None;
                self.finish(cx);
            }
            Some(input) if input.id == from && input.waits_for.is_some() => {
                input.rest = Some(rest.to_vec());
            }
            Some(input) if input.id == from => self.read_rest(cx, rest),
            _ => {}
        }
    }

    fn garbled(&mut self, cx: &mut Context, from: Token, why: Garbled) {
        self.client.garbled(cx, from, why);
    }

    fn drained(&mut self, cx: &mut Context, _to: Token) {
        self.client.hold(cx, false);
    }

    fn timed_out(&mut self, cx: &mut Context, id: Token, timeout: Timeout) {
        if self.client.owns(id) {
            self.client.timed_out(cx, id, timeout);
        }
    }

    fn timer(&mut self, cx: &mut Context, timer: Timer) {
        match timer {
            CLIENT_TIMER => self.client.timer(cx, timer),
            WAIT_TIMER => self.give_up_waiting(cx),
            GATHER_TIMER => self.tell_gathered(cx),
            FRAME_TIMER => self.stop_if_asked(cx),
            KEYS_TIMER => self.end_key(cx),
            CLOCK_TIMER => self.screen.iter_mut().for_each(|screen| screen.pace.want()),
            _ => {} // what was shown is looked at in every tick
        }
    }

    fn signal(&mut self, cx: &mut Context, signal: Signal) {
        match signal {
            Signal::Interrupt | Signal::Terminate | Signal::Hangup | Signal::User1 => {
                self.interrupt(cx);
            }
            Signal::Resized | Signal::Suspend | Signal::Continued => {
                self.terminal_signal(cx, signal);
            }
        }
    }

    fn closed(&mut self, cx: &mut Context, id: Token, reason: CloseReason) {
        if self.client.owns(id) {
            return self.client.closed(cx, id, reason);
        }
        if self.input.as_ref().is_some_and(|input| input.id == id && input.rest.is_none()) {
            self.input = None;
            if let CloseReason::Failed(errno) = reason {
                self.exit = self.exit.and(Exit::Failed);
                self.talk(cx, Level::Warning, &input_is_gone(errno));
            }
            self.finish(cx);
        }
        let Some(streams) = &mut self.streams else { return };
        if streams.closed(id)
            && let Some(why) = output_is_gone(reason, self.phase)
        {
            self.exit = self.exit.and(Exit::Failed);
            self.talk(cx, Level::Warning, &why);
            self.leave(cx);
        }
        if let Some(streams) = &self.streams {
            streams.close_rest(cx);
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
        self.tell_events(cx);
        let has_shown_all = !self.streams.as_ref().is_some_and(Streams::has_backlog);
        let has_looked_in = self.has_looked_in && has_shown_all;
        if has_looked_in || self.has_left_all() && self.unfinished() > 0 {
            self.give_up_waiting(cx);
        }
        self.leave_if_done(cx); // that may have been all that was waited for
        self.draw(cx);
        let is_full = self.streams.as_ref().is_some_and(|streams| streams.is_full(cx));
        if is_full || self.screen.as_ref().is_some_and(ChatScreen::is_full) {
            self.client.hold(cx, true);
        }
    }
}

/// What is told of messages that the relay has stored when the wait is over.
fn still_stored(count: usize) -> Option<String> {
    let count = match count {
        0 => return None,
        1 => "1 message is".to_owned(),
        count => format!("{count} messages are"),
    };
    Some(format!(
        "{count} stored at the relay and will be delivered; a later `sealwax send` or `chat` tells \
         when"
    ))
}

/// Why nothing can be read from standard input. That is not its end.
fn input_is_gone(errno: Errno) -> String {
    match errno {
        Errno::EBADF => "standard input is closed: there is nothing to read lines from".to_owned(),
        _ => format!("standard input cannot be read: {}", errno.desc()),
    }
}

/// Why nothing can be written to standard output any more, where that is a fault.
fn output_is_gone(reason: CloseReason, phase: Phase) -> Option<String> {
    let is_leaving = phase == Phase::Leaving;
    match reason {
        // A reader who leaves after all that mattered (`head`) is no fault.
        CloseReason::Closed
        | CloseReason::Aborted { unsent: 0 }
        | CloseReason::Failed(Errno::EPIPE)
            if is_leaving =>
        {
            None
        }
        CloseReason::Aborted { unsent } if is_leaving => {
            Some(format!("standard output takes nothing: the last {unsent} bytes were not written"))
        }
        CloseReason::Failed(errno) if errno != Errno::EPIPE && errno != Errno::EBADF => {
            Some(format!("standard output cannot be written: {}", errno.desc()))
        }
        _ => Some("standard output is closed: nobody reads what arrives".to_owned()),
    }
}
