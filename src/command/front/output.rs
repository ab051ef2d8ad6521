//! What the line client shows, and what that means for its exit code.

use super::super::Exit;
use super::super::inline::Room;
use super::super::view;
use super::super::view::Level;
use super::{ChatHandler, GATHER_TIMER, SHOWN_TIMER, WAIT_TIMER};
use crate::client::{Ending, Event, Failure, Progress, Receipt, Standing};
use crate::limits::{END_WAIT, GATHER_INTERVAL};
use crate::reactor::Context;

/// Whether an event was the client's last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Noted {
    GoesOn,
    Over,
}

impl ChatHandler {
    // --- What is shown ---

    pub(super) fn tell(&mut self, cx: &mut Context, event: Event) {
        if let Some(recorder) = &self.recorder {
            view::annotate(recorder, &event);
        }
        let enough = self.task.count.is_some_and(|count| self.printed >= count);
        if enough && matches!(event, Event::Message { .. }) {
            return; // not shown, and so not confirmed: its sender will send it again
        }
        self.taken.note(&event);
        let is_asked = self.asks_who_is_here;
        let written = self.written(cx, &event);
        let noted = self.note(&event);
        self.gather(cx, &event);
        if noted == Noted::Over {
            self.tell_gathered(cx);
        }
        if let Event::Progress(Progress::KeyAnswered { name }) = &event {
            self.key_answered(cx, name);
        }
        if self.task.is_impatient && matches!(event, Event::Progress(Progress::Retrying { .. })) {
            self.give_up_waiting(cx);
        }
        if self.only_looks_in() {
            match event {
                // What waits comes first; a relay that never tells its end is not waited for.
                Event::Registered { .. } if self.client.is_emptying_letterbox() => {
                    cx.set_timer(WAIT_TIMER, Some(cx.now() + END_WAIT));
                }
                Event::LetterboxEmpty {} => self.has_looked_in = true,
                Event::Registered { .. } | Event::Progress(Progress::NoLetterbox { .. }) => {
                    self.begin_wait(cx);
                }
                _ => {}
            }
        }
        if matches!(event, Event::Delivered { .. } | Event::Stored { .. } | Event::Failed { .. }) {
            self.has_gone_on(cx);
        }
        let is_message = matches!(event, Event::Message { .. });
        self.printed += u64::from(is_message);
        let about = room(&event, is_asked);
        match event {
            Event::Message { receipt, .. } => {
                self.write(cx, &written.output, "", Room::Nowhere, Some(receipt));
            }
            _ => self.write(cx, &written.output, &written.talk, about, None),
        }
        if noted == Noted::Over {
            self.close_streams(cx);
        }
    }

    /// Letters are told to a person in one line a peer. On a terminal one that came has its age in
    /// its own line.
    fn gather(&mut self, cx: &mut Context, event: &Event) {
        let has_its_age = self.view.terminal && matches!(event, Event::Message { .. });
        if !self.view.json && !has_its_age && self.gathered.note(event) {
            let due = self.gathering_until.get_or_insert(cx.now() + GATHER_INTERVAL);
            cx.set_timer(GATHER_TIMER, Some(*due));
        }
    }

    /// Tells what was gathered.
    pub(super) fn tell_gathered(&mut self, cx: &mut Context) {
        self.gathering_until = None;
        for (peer, sentence) in self.gathered.take((self.view.clock)()) {
            let talk = self.view.talk(Level::Info, &sentence);
            self.write(cx, "", &talk, Room::Of(&peer), None);
        }
    }

    /// How an event is written. A terminal that is drawn on has names in letters of their own.
    fn written(&mut self, cx: &Context, event: &Event) -> view::Written {
        let mut written = self.view.write(event);
        let Some(screen) = &mut self.screen else { return written };
        let fp = match event {
            Event::Message { from, .. } => self.client.pin(from).map(|pin| pin.fp),
            _ => None,
        };
        screen.note(cx.now(), event, fp);
        if screen.shows_by_itself(event) && self.view.level < Level::Detail {
            written.talk.clear();
        }
        if matches!(event, Event::Message { .. }) {
            written.output = screen.message(event, fp).unwrap_or_default();
        }
        written
    }

    pub(super) fn talk(&mut self, cx: &mut Context, level: Level, sentence: &str) {
        let talk = self.view.talk(level, sentence);
        self.write(cx, "", &talk, Room::Open, None);
    }

    /// A line of standard input was not understood: a script has to see that on standard output,
    /// and in the exit code.
    pub(super) fn complain(&mut self, cx: &mut Context, why: &str) {
        if self.task.is_typed {
            return self.talk(cx, Level::Warning, why);
        }
        let detail = format!("line {}: {why}", self.line_number());
        self.bad_input(cx, &detail);
    }

    /// Something of standard input is not sent.
    pub(super) fn bad_input(&mut self, cx: &mut Context, why: &str) {
        self.exit = self.exit.and(Exit::Failed);
        if self.view.json {
            let event = serde_json::json!({"event": "warning", "code": "bad_input", "detail": why});
            return self.write(cx, &format!("{event}\n"), "", Room::Open, None);
        }
        self.talk(cx, Level::Warning, why);
    }

    fn write(
        &mut self,
        cx: &mut Context,
        output: &str,
        talk: &str,
        room: Room,
        receipt: Option<Receipt>,
    ) {
        let Some(streams) = &mut self.streams else { return };
        if let Some(screen) = self.screen.as_mut().filter(|screen| screen.is_in_use()) {
            if !output.is_empty() {
                screen.print(output.to_owned(), receipt);
            }
            // Standard error that leads elsewhere keeps its own.
            match (talk.is_empty(), self.talk_is_drawn) {
                (true, _) => {}
                (false, true) => screen.notice(talk, room, self.recipient.as_deref()),
                (false, false) => streams.talk(cx, talk),
            }
            return;
        }
        if !output.is_empty() {
            streams.write(cx, output, receipt);
            cx.set_timer(SHOWN_TIMER, Some(cx.now()));
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
            Event::Users { .. } => self.asks_who_is_here = false,
            Event::Failed { code, .. } => self.exit = self.exit.and(exit_of_failure(*code)),
            Event::Closed { code, .. } => {
                self.exit = self.exit.and(exit_of_ending(*code));
                return Noted::Over;
            }
            _ => {}
        }
        Noted::GoesOn
    }
}

/// In which conversation what is told of an event belongs.
fn room(event: &Event, is_asked: bool) -> Room<'_> {
    match event {
        Event::Joined { users } => Room::OfEach(users, "came"),
        Event::Left { users } => Room::OfEach(users, "went"),
        Event::Users { .. } if !is_asked => Room::Nowhere,
        Event::Peer { name, .. }
        | Event::Progress(
            Progress::Absent { name, .. }
            | Progress::Away { name }
            | Progress::KeyAnswered { name },
        ) => Room::Of(name),
        Event::Queued { to, .. }
        | Event::Relayed { to, .. }
        | Event::Stored { to, .. }
        | Event::Delivered { to, .. }
        | Event::Unconfirmed { to, .. }
        | Event::MailboxFull { to, .. }
        | Event::Failed { to, .. } => Room::Of(to),
        Event::LettersHeld { from, .. } | Event::Gap { from, .. } | Event::Message { from, .. } => {
            Room::Of(from)
        }
        _ => Room::Open,
    }
}

const fn exit_of_failure(code: Failure) -> Exit {
    match code {
        Failure::KeyChanged | Failure::NotVerified | Failure::Downgrade | Failure::BadPrekey => {
            Exit::NotTrusted
        }
        Failure::UnknownUser => Exit::UnknownRecipient,
        Failure::MailboxFull | Failure::WaitRanOut => Exit::WaitRanOut,
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
        | Ending::NoTls
        | Ending::NotBound
        | Ending::Refused => Exit::Relay,
        Ending::TrustFile => Exit::Identity,
    }
}
