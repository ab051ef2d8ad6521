//! What a person types at a terminal that is drawn on (`inline`): keys become lines, and lines are
//! carried out.
//!
//! A line that has to wait is kept, and keys go on being read. What was pasted is never a command.

use std::collections::BTreeSet;

use super::super::Exit;
use super::super::inline::{ChatScreen, Status, User};
use super::super::lines::{HELP, InputCommand, InputForm, SCREEN_HELP};
use super::super::view::Level;
use super::{CLOCK_TIMER, ChatHandler, FRAME_TIMER, KEYS_TIMER, Phase, SHOWN_TIMER};
use crate::client::Client;
use crate::reactor::{Context, Signal};
use crate::screen::{Edit, Key, Press, Terminal, Typed};

const CANCEL: Press = Press::ctrl('c');
const SUSPEND: Press = Press::ctrl('z');
const CLEAR: Press = Press::ctrl('l');

impl ChatHandler {
    /// Takes what the terminal has sent.
    pub(super) fn typed(&mut self, cx: &mut Context, bytes: &[u8]) {
        let mut told = Vec::new();
        if let Some(screen) = &mut self.screen {
            screen.keys.take(bytes, &mut |typed| told.push(typed));
        }
        self.carry_out(cx, told);
    }

    /// No more bytes have come for a key that has begun.
    pub(super) fn end_key(&mut self, cx: &mut Context) {
        let mut told = Vec::new();
        if let Some(screen) = &mut self.screen {
            screen.keys.flush(&mut |typed| told.push(typed));
        }
        self.carry_out(cx, told);
    }

    fn carry_out(&mut self, cx: &mut Context, told: Vec<Typed>) {
        for typed in told {
            self.take_typed(cx, typed);
        }
        let wait = self.screen.as_ref().and_then(|screen| screen.keys.wait());
        cx.set_timer(KEYS_TIMER, wait.map(|wait| cx.now() + wait));
    }

    fn take_typed(&mut self, cx: &mut Context, typed: Typed) {
        let Some(screen) = &mut self.screen else { return };
        screen.pace.want();
        screen.notice = None;
        let edit = match typed {
            Typed::Paste { text, is_cut } => {
                let edit = screen.editor.paste(&text);
                if is_cut {
                    screen.notice = Some("the paste was too long, and is cut".to_owned());
                }
                edit
            }
            Typed::Press(CANCEL) => return self.cancel(cx),
            Typed::Press(SUSPEND) => return Terminal::ask_to_stop(),
            Typed::Press(CLEAR) => return screen.clear(),
            Typed::Press(press) if press == Press::plain(Key::F(1)) => return self.help(cx),
            Typed::Press(press) if press == Press::alt(Key::Enter) => return self.enter_each(cx),
            Typed::Press(press) if press == Press::plain(Key::F(2)) => return screen.toggle(),
            Typed::Press(press) if screen.is_whole() && self.choose_by_key(cx, press) => return,
            Typed::Press(press) => match &mut self.screen {
                Some(screen) => screen.editor.press(press),
                None => return,
            },
        };
        if !matches!(edit, Edit::Entered { .. } | Edit::Unknown) {
            self.asked = None;
        }
        match edit {
            Edit::Entered { text, is_literal } => self.entered(cx, text, is_literal),
            Edit::Complete => self.complete(),
            Edit::End => self.finish(cx),
            Edit::Full(most) => {
                self.notice(format!("no room: a message has at most {most} bytes"));
            }
            Edit::Changed | Edit::Unknown => {}
        }
    }

    fn notice(&mut self, notice: String) {
        if let Some(screen) = &mut self.screen {
            screen.notice = Some(notice);
        }
    }

    /// Ctrl-C takes back what is written; where nothing is, it leaves at once.
    fn cancel(&mut self, cx: &mut Context) {
        self.asked = None;
        if self.phase == Phase::Leaving {
            return self.close_streams(cx); // asked once more: not even the last receipts
        }
        match &mut self.screen {
            Some(screen)
                if screen.editor.search().is_some() || !screen.editor.text().is_empty() =>
            {
                screen.editor.clear();
            }
            _ => self.interrupt(cx),
        }
    }

    /// Leaves at once.
    pub(super) fn interrupt(&mut self, cx: &mut Context) {
        if self.unfinished() > 0 || !self.has_received_all() {
            self.exit = self.exit.and(Exit::WaitRanOut);
        }
        self.leave(cx);
    }

    /// What can be typed, and which keys there are.
    pub(super) fn help(&mut self, cx: &mut Context) {
        match self.screen.as_mut().filter(|screen| screen.is_in_use()) {
            Some(screen) => {
                screen.help(SCREEN_HELP, self.recipient.as_deref());
            }
            None => self.talk(cx, Level::Warning, HELP.trim_end()),
        }
    }

    /// Puts the line back that was entered: it cannot be carried out yet.
    fn take_back(&mut self) {
        self.screen.iter_mut().for_each(|screen| screen.editor.take_back());
    }

    /// Who is written to with Enter: whoever wrote last, as long as nobody was chosen.
    fn offered(&self) -> Option<&str> {
        let last = self.screen.as_ref()?.last_from.as_deref();
        self.asked.as_deref().or(last).filter(|_| self.recipient.is_none())
    }

    /// A line is finished.
    fn entered(&mut self, cx: &mut Context, text: String, is_literal: bool) {
        let offered = self.offered().map(str::to_owned);
        if self.phase != Phase::Talking {
            return self.take_back();
        }
        if text.trim().is_empty() {
            self.choose(cx, offered);
            return;
        }
        let command = if is_literal {
            Ok(InputCommand::Say { to: None, text: text.clone(), id: None })
        } else {
            InputForm::Chat.parse(text.as_bytes())
        };
        match command {
            Ok(InputCommand::Say { .. }) if self.holds_line() => {
                self.take_back();
                self.notice("the line before this one is not sent yet".to_owned());
            }
            Ok(InputCommand::Say { to: None, .. }) if self.recipient.is_none() => {
                // Nothing goes to somebody whom nobody has chosen: Enter once more does that.
                if self.asked.is_some() && self.asked == offered {
                    self.choose(cx, offered);
                    return self.entered(cx, text, is_literal);
                }
                self.take_back();
                match offered {
                    Some(name) => {
                        self.notice(format!("Enter once more sends this to {name}"));
                        self.asked = Some(name);
                    }
                    None => self.notice("to whom? /to NAME chooses".to_owned()),
                }
            }
            Ok(command) => self.submit(cx, command),
            Err(why) => self.complain(cx, &why), // the line can be had again with the arrow up
        }
    }

    /// From now on, text goes to who was offered.
    fn choose(&mut self, cx: &mut Context, offered: Option<String>) {
        self.asked = None;
        if let Some(name) = offered {
            self.obey(cx, InputCommand::Recipient(name));
        }
    }

    /// Each line of what was pasted is a message of its own.
    fn enter_each(&mut self, cx: &mut Context) {
        let Some(screen) = &mut self.screen else { return };
        let Edit::Entered { text, .. } = screen.editor.press(Press::plain(Key::Enter)) else {
            return;
        };
        if self.holds_line() {
            self.take_back();
            return self.notice("the line before this one is not sent yet".to_owned());
        }
        if self.recipient.is_none() {
            self.take_back();
            return self.notice("to whom? /to NAME chooses".to_owned());
        }
        let mut lines = text.split('\n').filter(|line| !line.trim().is_empty());
        while let Some(line) = lines.next() {
            let text = line.to_owned();
            self.submit(cx, InputCommand::Say { to: None, text, id: None });
            if self.holds_line() {
                // The others wait in the line: it is entered again once this one is sent.
                let rest: Vec<&str> = lines.collect();
                self.screen.iter_mut().for_each(|it| it.editor.put_back(rest.join("\n")));
                return self.notice("not all is sent yet: Alt-Enter goes on".to_owned());
            }
        }
    }

    /// Whether a line waits until it can be sent.
    pub(super) fn holds_line(&self) -> bool {
        self.input.as_ref().is_some_and(|input| input.held.is_some())
    }

    /// Carries out a line, or keeps it until it can be.
    pub(super) fn submit(&mut self, cx: &mut Context, command: InputCommand) {
        let again = command.clone();
        let is_done = self.obey(cx, command);
        let Some(input) = &mut self.input else { return };
        if is_done {
            input.lines_done += 1;
        } else {
            input.held = Some(again);
        }
    }

    /// Who is connected besides us.
    fn others(client: &Client) -> impl Iterator<Item = &str> {
        let own = client.name();
        client.users().into_iter().flatten().filter(move |name| *name != own)
    }

    /// Tab.
    fn complete(&mut self) {
        let Some(screen) = &mut self.screen else { return };
        screen.complete(Self::others(&self.client));
    }

    /// Whether the key is one of the whole screen: it scrolls, or chooses a user.
    fn choose_by_key(&mut self, cx: &mut Context, press: Press) -> bool {
        let Some(screen) = &mut self.screen else { return false };
        let users = screen.listed(self.recipient.as_deref(), Self::others(&self.client));
        let place = users.iter().position(|name| Some(name) == self.recipient.as_ref());
        let name = match (press.alt, press.key) {
            (false, Key::PageUp | Key::PageDown) => {
                screen.scroll(press.key == Key::PageUp);
                return true;
            }
            (true, Key::Char('a')) => screen.next_unread(),
            (true, Key::Char(digit @ '1'..='9')) => {
                users.get(digit as usize - '1' as usize).cloned()
            }
            (true, Key::Right) => users.get(place.map_or(0, |place| place + 1)).cloned(),
            (true, Key::Left) => place.and_then(|it| users.get(it.checked_sub(1)?).cloned()),
            _ => return false,
        };
        self.choose(cx, name);
        true
    }

    /// The users of the whole screen's list.
    fn list(&self) -> Vec<User> {
        let Some(screen) = self.screen.as_ref().filter(|screen| screen.is_whole()) else {
            return Vec::new();
        };
        let here = || Self::others(&self.client);
        let names = screen.listed(self.recipient.as_deref(), here());
        let names: BTreeSet<String> = names.into_iter().collect();
        let present: BTreeSet<&str> = here().filter(|name| names.contains(*name)).collect();
        let user = |name: &String| User {
            is_here: present.contains(name.as_str()),
            trust: self.client.pin(name).map(|pin| pin.trust),
            is_changed: self.changed.contains(name),
            // The chosen user's are shown with this frame.
            unread: if self.recipient.as_ref() == Some(name) { 0 } else { screen.unread(name) },
            name: name.clone(),
        };
        names.iter().map(user).collect()
    }

    /// What leaving waits for.
    fn leaving(&self) -> Option<String> {
        let count = self.unfinished() + usize::from(self.holds_line());
        Some(match self.phase {
            Phase::Talking => return None,
            Phase::Finishing if self.trusting.is_some() || self.asks_who_is_here => {
                "waits for an answer of the relay".to_owned()
            }
            Phase::Finishing if count == 1 => "waits for 1 confirmation".to_owned(),
            Phase::Finishing if count > 1 => format!("waits for {count} confirmations"),
            Phase::Finishing => "waits for the terminal".to_owned(),
            Phase::Leaving => "confirms what you have read".to_owned(),
        })
    }

    // --- The terminal ---

    /// A signal of the terminal.
    pub(super) fn terminal_signal(&mut self, cx: &mut Context, signal: Signal) {
        let (Some(screen), Some(streams)) = (&mut self.screen, &mut self.streams) else { return };
        match signal {
            Signal::Resized => screen.resized(),
            Signal::Suspend => {
                streams.write(cx, &screen.erase(), None);
                self.stops = true; // once that has left: in the next tick
                cx.set_timer(FRAME_TIMER, Some(cx.now()));
            }
            Signal::Continued => {
                let is_ours = screen.continued();
                self.client.hold(cx, false);
                if let Some(input) = self.input.as_ref().filter(|_| is_ours) {
                    cx.resume(input.id);
                }
            }
            Signal::Interrupt | Signal::Terminate | Signal::Hangup | Signal::User1 => {}
        }
    }

    /// Stops this process, where that was asked. Others may use the terminal until it goes on.
    pub(super) fn stop_if_asked(&mut self, cx: &mut Context) {
        if let Some(screen) = self.screen.as_mut().filter(|_| std::mem::take(&mut self.stops)) {
            if let Some(input) = &self.input {
                cx.pause(input.id);
            }
            screen.stop();
        }
    }

    /// Draws a frame, where there is one to draw and the terminal takes it.
    pub(super) fn draw(&mut self, cx: &mut Context) {
        if self.stops || !self.screen.as_ref().is_some_and(ChatScreen::is_in_use) {
            return;
        }
        let (offered, users) = (self.offered().map(str::to_owned), self.list());
        let leaving = self.leaving();
        let (Some(screen), Some(streams)) = (&mut self.screen, &mut self.streams) else { return };
        if streams.has_unsent(cx) {
            return cx.set_timer(FRAME_TIMER, None); // `drained` tells when it takes more
        }
        let to = self.recipient.as_deref();
        let pin = to.and_then(|to| self.client.pin(to));
        let status = Status {
            now: cx.now(),
            to,
            offered: offered.as_deref(),
            fp: pin.map(|pin| pin.fp),
            trust: pin.map(|pin| pin.trust),
            is_changed: to.is_some_and(|to| self.changed.contains(to)),
            pending: self.client.pending_counts(),
            users,
            leaving,
        };
        for (text, receipt) in screen.frame(cx.now(), &status) {
            streams.write(cx, &text, receipt);
            // What was waited for may have been this: it is looked at in the next tick.
            cx.set_timer(SHOWN_TIMER, Some(cx.now()));
        }
        let next = screen.next_frame(cx.now());
        let is_frame = screen.pace.next().is_some();
        cx.set_timer(FRAME_TIMER, next.filter(|_| is_frame));
        cx.set_timer(CLOCK_TIMER, next.filter(|_| !is_frame));
    }
}
