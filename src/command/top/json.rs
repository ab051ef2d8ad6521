//! `sealwax top --json`: one object a second.

use std::mem;

use serde::Serialize;
use serde_json::{Map, Serializer, Value, json};

use super::link::Link;
use crate::admin::Request;
use crate::command::Exit;
use crate::limits::{OUTPUT_QUEUE, TOP_INTERVAL};
use crate::reactor::{
    CloseReason, Context, Handler, Opened, ProcessFd, Signal, Timeout, Timer, Token,
};
use crate::wire::Ascii;

const SECOND: Timer = Timer(0);

/// Asks once a second, and prints what is answered.
pub(super) struct JsonTop {
    link: Link,
    is_once: bool,
    output: Option<Token>,
    /// The answers of this second so far.
    told: Map<String, Value>,
    /// How the command ends.
    exit: Exit,
    is_leaving: bool,
}

impl JsonTop {
    pub(super) fn new(link: Link, is_once: bool) -> Self {
        let (output, told) = (None, Map::new());
        Self { link, is_once, output, told, exit: Exit::Done, is_leaving: false }
    }

    pub(super) fn start(&mut self, cx: &mut Context) {
        self.output = Some(cx.open(ProcessFd::Stdout));
        cx.open(ProcessFd::Signals);
        self.ask(cx);
    }

    pub(super) const fn exit(&self) -> Exit {
        self.exit
    }

    /// Why there is no relay.
    pub(super) fn fault(&self) -> Option<&str> {
        self.link.fault()
    }

    /// Asks for what is printed in this second.
    fn ask(&mut self, cx: &mut Context) {
        cx.set_timer(SECOND, Some(cx.now() + TOP_INTERVAL));
        self.link.check(cx);
        if !self.link.is_connected() {
            self.link.connect(cx);
        }
        self.told.clear();
        self.link.ask(cx, &Request::Status {});
        self.link.ask(cx, &Request::Counters {});
        if !self.link.is_connected() {
            self.tell_fault(cx);
        }
    }

    fn tell_fault(&mut self, cx: &mut Context) {
        if self.is_once {
            self.exit = Exit::Relay; // what is said comes at the end
            return self.leave(cx);
        }
        let detail = self.link.fault().unwrap_or_default();
        let object = json!({"connected": false, "detail": detail});
        self.print(cx, &object);
    }

    fn take(&mut self, cx: &mut Context, answer: Value) {
        let Value::Object(mut answer) = answer else { return };
        let kind = answer.remove("answer");
        match kind.as_ref().and_then(Value::as_str) {
            Some("status") => {
                self.told.insert("status".to_owned(), answer.into());
            }
            Some("counters") => {
                let counters = answer.remove("counters").unwrap_or_default();
                self.told.insert("counters".to_owned(), counters);
            }
            _ => return,
        }
        if self.told.len() < 2 {
            return;
        }
        let mut told = mem::take(&mut self.told);
        told.insert("connected".to_owned(), true.into());
        self.print(cx, &told.into());
        if self.is_once {
            self.leave(cx);
        }
    }

    /// Prints an object, in printable ASCII; one that nobody takes is left out.
    fn print(&self, cx: &mut Context, object: &Value) {
        let Some(output) = self.output.filter(|&it| cx.queued(it) < OUTPUT_QUEUE) else { return };
        let mut line = Vec::new();
        // Writing to memory does not fail.
        let _ = object.serialize(&mut Serializer::with_formatter(&mut line, Ascii));
        line.push(b'\n');
        cx.send(output, &[&line]);
    }

    /// Ends once what was printed has been taken.
    fn leave(&mut self, cx: &mut Context) {
        self.is_leaving = true;
        cx.set_timer(SECOND, None);
        match self.output {
            Some(output) => cx.close(output),
            None => cx.stop(),
        }
    }
}

impl Handler for JsonTop {
    fn opened(&mut self, _cx: &mut Context, _id: Token, _how: Opened) {}

    fn received(&mut self, cx: &mut Context, from: Token, bytes: &[u8]) -> usize {
        let mut answers = Vec::new();
        let used = self.link.received(cx, from, bytes, |_, answer| answers.push(answer));
        for answer in answers {
            self.take(cx, answer);
        }
        if !self.link.is_connected() && !self.is_leaving {
            self.tell_fault(cx);
        }
        used
    }

    fn ended(&mut self, cx: &mut Context, from: Token, _rest: &[u8]) {
        cx.close(from);
    }

    fn timed_out(&mut self, _cx: &mut Context, _id: Token, _timeout: Timeout) {}

    fn timer(&mut self, cx: &mut Context, _timer: Timer) {
        self.ask(cx);
    }

    fn signal(&mut self, cx: &mut Context, _signal: Signal) {
        self.leave(cx);
    }

    fn closed(&mut self, cx: &mut Context, id: Token, reason: CloseReason) {
        if self.output == Some(id) {
            // A reader who has left (`head`) has seen what it wanted.
            let is_gone =
                matches!(reason, CloseReason::Failed(errno) if errno != nix::errno::Errno::EPIPE);
            let is_cut = matches!(reason, CloseReason::Aborted { unsent: 1.. });
            if is_gone || is_cut {
                self.exit = self.exit.and(Exit::Failed);
            }
            cx.stop();
        } else if self.link.owns(id) && !self.is_leaving {
            self.link.closed(reason);
            self.tell_fault(cx);
        }
    }
}
