//! What the line client reads: lines, carried out one after the other, each when its recipient is
//! ready.
//!
//! A line that has to wait stays where it is, in the pipe or in the loop's inbox, and reading
//! pauses: so a long file is read no faster than it is confirmed. It waits no longer than `--wait`
//! allows: then a script ends with an error, and a person's line is refused.

use super::super::inline::ChatScreen;
use super::super::lines::{InputCommand, InputForm, Line, Lines};
use super::super::view::Level;
use super::super::{Exit, trusted};
use super::{ChatHandler, Phase, WAIT_TIMER};
use crate::client::{Event, Failure, Refused};
use crate::limits::{MAX_LINE, MAX_TEXT};
use crate::reactor::{Context, Token};
use crate::wire::{Fingerprint, check_name_v2};

/// Standard input, as far as it is read.
pub(super) struct Input {
    pub(super) id: Token,
    form: InputForm,
    lines: Lines,
    /// The rest of the input when it ended, if a recipient was not ready for it.
    pub(super) rest: Option<Vec<u8>>,
    /// The next line has to wait until this recipient has confirmed some of those before it.
    pub(super) waits_for: Option<String>,
    /// The wait is over: lines that would have to wait are refused.
    pub(super) is_refused: bool,
    /// A line that was typed and has to wait, where the terminal is drawn on.
    pub(super) held: Option<InputCommand>,
    /// Lines that have been taken or passed over.
    pub(super) lines_done: u64,
}

impl Input {
    pub(super) fn new(id: Token, form: InputForm) -> Self {
        Self {
            id,
            form,
            lines: Lines::default(),
            rest: None,
            waits_for: None,
            is_refused: false,
            held: None,
            lines_done: 0,
        }
    }
}

impl ChatHandler {
    // --- Standard input ---

    /// Carries out the lines of `bytes` up to one that has to wait, and returns how many bytes that
    /// took.
    pub(super) fn read_lines(&mut self, cx: &mut Context, bytes: &[u8]) -> usize {
        if self.input.as_ref().is_some_and(|input| input.form == InputForm::Whole) {
            if bytes.len() > MAX_TEXT + "\n".len() {
                self.say_whole(cx, bytes); // which tells that it is too long
            }
            return 0; // until its end has come
        }
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

    /// Carries out one line; false: it has to wait, and is to be shown again.
    pub(super) fn read_line(&mut self, cx: &mut Context, form: InputForm, line: &Line) -> bool {
        let asked = match line {
            Line::Whole(line) => form.parse(line),
            Line::TooLong => Err(format!("it is longer than {MAX_LINE} bytes and was passed over")),
        };
        let is_done = match asked {
            // A script's next line may rely on the key that this one accepts.
            Ok(_) if self.trusting.is_some() && !self.task.is_typed => {
                if let Some(input) = &mut self.input {
                    cx.pause(input.id);
                    input.waits_for.clone_from(&self.trusting);
                }
                self.begin_wait(cx);
                false
            }
            Ok(ask) => self.obey(cx, ask),
            Err(why) => {
                self.complain(cx, &why);
                true
            }
        };
        if let Some(input) = &mut self.input {
            input.lines_done += u64::from(is_done);
        }
        is_done
    }

    /// The line that is being read, counted from 1.
    pub(super) fn line_number(&self) -> u64 {
        self.input.as_ref().map_or(1, |input| input.lines_done + 1)
    }

    /// What is told of lines that were not read, as it is over.
    pub(super) fn unread(&self) -> Option<String> {
        let is_reading = self.phase == Phase::Talking;
        let input =
            self.input.as_ref().filter(|input| is_reading && input.form != InputForm::Whole)?;
        Some(match input.lines_done {
            0 => "nothing was read from standard input".to_owned(),
            done => format!("nothing was read after line {done}"),
        })
    }

    /// All of standard input is one message. Its last line end is not part of it, as with a line.
    fn say_whole(&mut self, cx: &mut Context, bytes: &[u8]) {
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        if bytes.len() > MAX_TEXT {
            let why = format!(
                "standard input is longer than the {MAX_TEXT} bytes that one message may have: \
                 nothing was sent"
            );
            self.bad_input(cx, &why);
        } else {
            match InputForm::Whole.parse(bytes) {
                Ok(ask) => drop(self.obey(cx, ask)),
                Err(why) => self.bad_input(cx, &format!("standard input was not sent: {why}")),
            }
        }
        self.finish(cx);
    }

    /// A person's line has waited as long as it may: it is not sent, and told so.
    pub(super) fn refuse_input(&mut self, cx: &mut Context) {
        let Some(input) = &mut self.input else { return };
        input.is_refused = true;
        self.go_on_reading(cx);
    }

    /// Standard input has ended: its last lines, now or when their recipients are ready.
    pub(super) fn read_rest(&mut self, cx: &mut Context, rest: &[u8]) {
        if self.input.as_ref().is_some_and(|input| input.form == InputForm::Whole) {
            self.say_whole(cx, rest);
            self.input = None;
            return;
        }
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

    /// A line that still has to wait when the wait is over is not sent, and told so.
    pub(super) fn refuse_held(&mut self, cx: &mut Context) {
        let held = self.input.as_mut().and_then(|input| input.held.take());
        if let Some(InputCommand::Say { to, text, .. }) = held {
            let to = to.or_else(|| self.recipient.clone()).unwrap_or_default();
            self.exit = self.exit.and(Exit::WaitRanOut);
            let why = format!("not sent to {to}, for too much is unconfirmed: {text}");
            self.talk(cx, Level::Warning, &why);
        }
    }

    /// Goes on with the input where it had to wait.
    pub(super) fn resume_input(&mut self, cx: &mut Context) {
        let is_reading = match self.phase {
            Phase::Talking => self.trusting.is_none(),
            Phase::Finishing => self.holds_line(),
            Phase::Leaving => false,
        };
        let input = self.input.as_ref().filter(|_| is_reading);
        let waits_for = input.and_then(|input| input.waits_for.as_ref());
        if waits_for.is_some_and(|peer| self.client.ready_for_more(peer)) {
            if self.phase == Phase::Talking {
                cx.set_timer(WAIT_TIMER, None);
            }
            self.go_on_reading(cx);
        }
    }

    fn go_on_reading(&mut self, cx: &mut Context) {
        let Some(input) = &mut self.input else { return };
        input.waits_for = None;
        if let Some(held) = input.held.take() {
            return self.submit(cx, held);
        }
        match input.rest.take() {
            Some(rest) => self.read_rest(cx, &rest),
            None => cx.resume(input.id),
        }
    }

    /// Does what a line asks for; false: not yet.
    pub(super) fn obey(&mut self, cx: &mut Context, ask: InputCommand) -> bool {
        match ask {
            InputCommand::Say { to, text, id } => return self.say(cx, to, &text, id),
            InputCommand::Recipient(name) => {
                if let Err(fault) = check_name_v2(&name) {
                    self.complain(cx, &format!("{name} cannot be a name: {fault}"));
                    return true;
                }
                // The heading of the whole screen says it.
                if !self.screen.as_ref().is_some_and(ChatScreen::is_whole) {
                    self.talk(cx, Level::Info, &format!("talking to {name}"));
                }
                self.recipient = Some(name);
                self.screen.iter_mut().for_each(ChatScreen::chosen);
            }
            InputCommand::Users => self.tell_who_is_here(cx),
            InputCommand::Verify { name, number } => {
                self.client.look_at_pins();
                let answer = trusted::verify(&mut self.client, &name, number.as_deref());
                self.answer(cx, answer);
            }
            InputCommand::Trust { name, fp } => self.trust(cx, &name, fp),
            InputCommand::Help => self.help(cx),
            InputCommand::Quit => self.finish(cx),
            InputCommand::Nothing => {}
        }
        true
    }

    /// Accepts a key. Which one the peer has now may have to be asked for first.
    fn trust(&mut self, cx: &mut Context, name: &str, fp: Option<Fingerprint>) {
        self.client.look_at_pins();
        let is_known = fp.is_some() || self.client.refused_key(name).is_some();
        if !is_known && self.client.ask_key(name) {
            self.trusting = Some(name.to_owned());
            return self.talk(cx, Level::Info, &format!("asking the relay for the key of {name}"));
        }
        let answer = trusted::trust(&mut self.client, name, fp);
        self.answer(cx, answer);
    }

    /// The relay has said which key a peer has that is to be accepted.
    pub(super) fn key_answered(&mut self, cx: &mut Context, name: &str) {
        if self.trusting.take_if(|trusting| trusting == name).is_some() {
            let answer = trusted::trust(&mut self.client, name, None);
            self.answer(cx, answer);
        }
    }

    /// Tells what became of a command; a script finds it in the exit code as well.
    fn answer(&mut self, cx: &mut Context, (exit, said): (Exit, String)) {
        if !self.task.is_typed {
            self.exit = self.exit.and(exit);
        }
        self.talk(cx, Level::Warning, &said);
    }

    fn tell_who_is_here(&mut self, cx: &mut Context) {
        let users: Option<Vec<_>> =
            self.client.users().map(|users| users.map(str::to_owned).collect());
        if let Some(users) = users {
            self.asks_who_is_here = true;
            return self.tell(cx, Event::Users { users });
        }
        self.asks_who_is_here = true; // it is told by itself, as soon as the relay has
        self.talk(cx, Level::Info, "the relay has not told yet who is here");
    }

    pub(super) fn say(
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
        // A text without an id has the number of its line as its id in all events.
        let id = id.unwrap_or_else(|| self.line_number().to_string());
        match self.client.say(&to, text, Some(id.clone())) {
            Ok(_) => {
                if let Some(screen) = &mut self.screen {
                    screen.said(&id, &to, text);
                }
                if self.input.as_ref().is_some_and(|input| input.form != InputForm::Whole) {
                    self.taken.take(self.line_number(), to, id);
                }
            }
            Err(Refused::Pause) if self.input.as_ref().is_some_and(|input| !input.is_refused) => {
                if let Some(input) = &mut self.input {
                    if self.screen.is_none() {
                        cx.pause(input.id); // keys are read on
                    }
                    input.waits_for = Some(to);
                }
                self.begin_wait(cx);
                return false;
            }
            Err(refused) => {
                let code = match refused {
                    Refused::NotAName => Failure::UnknownUser,
                    Refused::TooLong => Failure::TooLong,
                    Refused::Oneself | Refused::Pause => Failure::Refused,
                };
                let detail = match &self.input {
                    Some(input) if input.form != InputForm::Whole => {
                        format!("line {}: {refused}", self.line_number())
                    }
                    _ => refused.to_string(),
                };
                self.tell(cx, Event::Failed { id, to, code, detail });
            }
        }
        true
    }
}
