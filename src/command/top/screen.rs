//! `sealwax top` at a terminal: the loop's events become changes of the [`Model`], and these become
//! frames.

use ratatui::Terminal as Canvas;

use super::link::Link;
use super::model::Model;
use super::view::{Mode, draw};
use crate::admin::Request;
use crate::command::{Exit, Failure};
use crate::limits::{OUTPUT_QUEUE, TOP_FILTER, TOP_INTERVAL, TOP_LAST_LINES};
use crate::reactor::{
    CloseReason, Context, Handler, Opened, ProcessFd, Signal, Timeout, Timer, Token,
};
use crate::screen::{ByteBackend, Key, Keys, Pace, Press, Terminal, Typed, ascii};

/// Asks the relay again.
const SECOND: Timer = Timer(0);
/// Draws what has changed.
const FRAME: Timer = Timer(1);
/// ESC was a key by itself.
const KEY: Timer = Timer(2);

/// The screen, the keyboard and the relay.
pub(super) struct ScreenTop {
    link: Link,
    model: Model,
    mode: Mode,
    terminal: Terminal,
    canvas: Canvas<ByteBackend>,
    keys: Keys,
    pace: Pace,
    input: Option<Token>,
    output: Option<Token>,
    /// Whether the terminal takes other signs than those of ASCII.
    knows_utf8: bool,
    exit: Exit,
}

impl ScreenTop {
    /// # Errors
    /// The terminal cannot be drawn on.
    pub(super) fn new(link: Link, is_plain: bool) -> Result<Self, Failure> {
        let terminal = Terminal::open(true).map_err(|errno| {
            Failure::new(Exit::Failed, format!("the terminal cannot be drawn on: {errno}"))
        })?;
        let Ok(canvas) = Canvas::new(ByteBackend::new(Terminal::size(), is_plain));
        Ok(Self {
            link,
            model: Model::default(),
            mode: Mode::default(),
            terminal,
            canvas,
            keys: Keys::default(),
            pace: Pace::default(),
            input: None,
            output: None,
            knows_utf8: Terminal::knows_utf8(),
            exit: Exit::Done,
        })
    }

    pub(super) fn start(&mut self, cx: &mut Context) {
        self.input = Some(cx.open(ProcessFd::Stdin));
        self.output = Some(cx.open(ProcessFd::Stdout));
        cx.open(ProcessFd::Signals);
        cx.open(ProcessFd::TerminalSignals);
        self.ask(cx);
    }

    pub(super) const fn exit(&self) -> Exit {
        self.exit
    }

    /// Asks for what is shown in this second.
    fn ask(&mut self, cx: &mut Context) {
        cx.set_timer(SECOND, Some(cx.now() + TOP_INTERVAL));
        self.link.check(cx);
        if !self.link.is_connected() {
            self.link.connect(cx);
            self.follow(cx);
        }
        self.link.ask(cx, &Request::Status {});
        self.link.ask(cx, &Request::Counters {});
        self.link.ask(cx, &Request::Users { from: 0, count: usize::MAX });
        self.tell_fault();
        self.pace.want();
    }

    /// Tells why there is no relay, if there is none.
    fn tell_fault(&mut self) {
        if let Some(fault) = self.link.fault() {
            self.model.lost(fault);
        }
    }

    /// Asks for the log, from some lines before now on.
    fn follow(&mut self, cx: &mut Context) {
        let (level, last) = (self.model.level, TOP_LAST_LINES);
        self.link.ask(cx, &Request::Log { level, last });
    }

    fn take(&mut self, cx: &mut Context, answer: serde_json::Value) {
        match answer["answer"].as_str() {
            Some("status") => self.model.take_status(answer),
            Some("counters") => self.model.take_counters(answer),
            Some("log") => self.model.take_log(&answer),
            Some("users") => {
                if let Some(from) = self.model.take_users(answer) {
                    self.link.ask(cx, &Request::Users { from, count: usize::MAX });
                }
            }
            _ => self.model.lost(answer["detail"].as_str().unwrap_or("the relay has refused")),
        }
        self.pace.want();
    }

    fn typed(&mut self, cx: &mut Context, typed: &Typed) {
        self.pace.want();
        match typed {
            Typed::Press(press) => self.press(cx, *press),
            Typed::Paste { text, .. } if self.mode == Mode::Filtering => {
                self.model.filter_mut().extend(text.chars().filter(|letter| !letter.is_control()));
                self.shorten_filter();
            }
            Typed::Paste { .. } => {}
        }
    }

    fn press(&mut self, cx: &mut Context, press: Press) {
        if press.ctrl {
            match press.key {
                Key::Char('c') => self.leave(cx),
                Key::Char('z') => Terminal::ask_to_stop(),
                Key::Char('l') => self.redraw(),
                _ => {}
            }
            return;
        }
        match self.mode {
            Mode::Filtering => self.press_filter(press.key),
            Mode::Help => self.mode = Mode::Watching,
            Mode::Watching => self.press_command(cx, press.key),
        }
    }

    fn press_filter(&mut self, key: Key) {
        match key {
            Key::Enter => self.mode = Mode::Watching,
            Key::Escape => {
                self.model.filter_mut().clear();
                self.mode = Mode::Watching;
            }
            Key::Backspace => {
                self.model.filter_mut().pop();
            }
            Key::Char(letter) => {
                self.model.filter_mut().push(letter);
                self.shorten_filter();
            }
            _ => {}
        }
    }

    fn shorten_filter(&mut self) {
        let filter = self.model.filter_mut();
        filter.truncate(filter.floor_char_boundary(TOP_FILTER));
    }

    fn press_command(&mut self, cx: &mut Context, key: Key) {
        match key {
            Key::Char('q') => self.leave(cx),
            Key::Char('p') => self.model.pause(),
            Key::Char('c') => self.model.clear_log(),
            Key::Char('/') => self.mode = Mode::Filtering,
            Key::Char('v') => {
                self.model.level = self.model.next_level();
                self.follow(cx);
            }
            Key::Char('s') => self.model.sort = self.model.sort.next(),
            Key::Char('r') => self.model.is_reversed = !self.model.is_reversed,
            Key::Char('?') | Key::F(1) => self.mode = Mode::Help,
            Key::Escape => self.model.filter_mut().clear(),
            Key::Tab => self.model.next_part(),
            Key::Up => self.model.scroll_by(1),
            Key::Down => self.model.scroll_by(-1),
            Key::PageUp => self.model.scroll_page(true),
            Key::PageDown => self.model.scroll_page(false),
            Key::Home => self.model.scroll_by(isize::MAX),
            Key::End => self.model.scroll_by(isize::MIN),
            _ => {}
        }
    }

    /// Draws all of the screen with the next frame.
    fn redraw(&mut self) {
        let Ok(()) = self.canvas.clear();
        self.pace.want();
    }

    /// Draws if it is time. A terminal that has not taken the last frames gets none: the next one
    /// shows all that has changed.
    fn draw(&mut self, cx: &mut Context) {
        let Some(output) = self.output else { return };
        if cx.queued(output) < OUTPUT_QUEUE && self.pace.take(cx.now()) {
            let (model, mode) = (&mut self.model, self.mode);
            let Ok(_) = self.canvas.draw(|frame| draw(frame, model, mode));
            let frame = self.canvas.backend_mut().take();
            let frame = if self.knows_utf8 { frame.into() } else { ascii(&frame) };
            cx.send(output, &[frame.as_bytes()]);
        }
        cx.set_timer(FRAME, self.pace.next());
    }

    fn leave(&mut self, cx: &mut Context) {
        for timer in [SECOND, FRAME, KEY] {
            cx.set_timer(timer, None);
        }
        match self.output.take() {
            Some(output) => cx.close(output),
            None => cx.stop(),
        }
        cx.stop();
    }
}

impl Handler for ScreenTop {
    fn opened(&mut self, _cx: &mut Context, _id: Token, _how: Opened) {}

    fn received(&mut self, cx: &mut Context, from: Token, bytes: &[u8]) -> usize {
        if self.input == Some(from) {
            let mut typed = Vec::new();
            self.keys.take(bytes, &mut |one| typed.push(one));
            for one in &typed {
                self.typed(cx, one);
            }
            cx.set_timer(KEY, self.keys.wait().map(|wait| cx.now() + wait));
            return bytes.len();
        }
        let mut answers = Vec::new();
        let used = self.link.received(cx, from, bytes, |_, answer| answers.push(answer));
        for answer in answers {
            self.take(cx, answer);
        }
        self.tell_fault();
        used
    }

    fn ended(&mut self, cx: &mut Context, from: Token, _rest: &[u8]) {
        if self.input == Some(from) {
            self.leave(cx); // the terminal is gone
        } else {
            cx.close(from);
        }
    }

    fn timed_out(&mut self, _cx: &mut Context, _id: Token, _timeout: Timeout) {}

    fn timer(&mut self, cx: &mut Context, timer: Timer) {
        match timer {
            SECOND => self.ask(cx),
            KEY => {
                let mut typed = Vec::new();
                self.keys.flush(&mut |one| typed.push(one));
                for one in &typed {
                    self.typed(cx, one);
                }
            }
            _ => {} // the end of this tick draws
        }
    }

    fn signal(&mut self, cx: &mut Context, signal: Signal) {
        match signal {
            Signal::Interrupt | Signal::Terminate | Signal::Hangup | Signal::User1 => {
                self.leave(cx);
            }
            Signal::Resized => {
                self.canvas.backend_mut().resize(Terminal::size());
                self.pace.want();
            }
            Signal::Suspend => self.terminal.suspend(), // `Continued` is told after that
            Signal::Continued if self.terminal.resume().is_ok() => {
                self.canvas.backend_mut().resize(Terminal::size());
                self.redraw();
            }
            Signal::Continued => {
                self.exit = Exit::Failed;
                self.leave(cx);
            }
        }
    }

    fn closed(&mut self, cx: &mut Context, id: Token, reason: CloseReason) {
        if self.input == Some(id) || self.output == Some(id) {
            if matches!(reason, CloseReason::Failed(_)) {
                self.exit = Exit::Failed;
            }
            self.leave(cx);
        } else if self.link.owns(id) {
            self.link.closed(reason);
            self.tell_fault();
            self.pace.want();
        }
    }

    fn end_of_tick(&mut self, cx: &mut Context) {
        self.draw(cx);
    }
}
