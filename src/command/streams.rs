//! Standard output and standard error of a client, and how much the kernel has taken of them.
//!
//! Both go through the loop like everything else: a pipe whose reader is slow holds up neither the
//! relay nor the keyboard. A message counts as shown only when the kernel has taken its line, so
//! that its sender is told the truth.

use std::collections::VecDeque;

use crate::client::Receipt;
use crate::limits::OUTPUT_QUEUE;
use crate::reactor::{Context, ProcessFd, Token};

/// The two streams.
pub(super) struct Streams {
    output: Option<Token>,
    talk: Option<Token>,
    /// Bytes given to standard output since the start.
    written: u64,
    /// Messages whose lines are not taken yet: where each ends, counted like `written`.
    unshown: VecDeque<(u64, Receipt)>,
    is_closing: bool,
}

impl Streams {
    /// Opens both.
    pub(super) fn open(cx: &mut Context) -> Self {
        let output = Some(cx.open(ProcessFd::Stdout));
        let talk = Some(cx.open(ProcessFd::Stderr));
        Self { output, talk, written: 0, unshown: VecDeque::new(), is_closing: false }
    }

    /// Writes a line to standard output; `receipt` is handed back by [`shown`](Self::shown) once it
    /// was taken.
    pub(super) fn write(&mut self, cx: &mut Context, line: &str, receipt: Option<Receipt>) {
        let Some(output) = self.output else { return };
        cx.send(output, &[line.as_bytes()]);
        self.written += line.len() as u64;
        self.unshown.extend(receipt.map(|receipt| (self.written, receipt)));
    }

    /// Writes talk to standard error. If nobody reads that it is dropped: it is not worth the
    /// memory.
    pub(super) fn talk(&self, cx: &mut Context, text: &str) {
        if let Some(talk) = self.talk.filter(|&talk| cx.queued(talk) < OUTPUT_QUEUE) {
            cx.send(talk, &[text.as_bytes()]);
        }
    }

    /// The next message whose line standard output has taken.
    pub(super) fn shown(&mut self, cx: &Context) -> Option<Receipt> {
        let output = self.output?;
        let taken = self.written - cx.queued(output) as u64;
        self.unshown.pop_front_if(|(end, _)| *end <= taken).map(|(_, receipt)| receipt)
    }

    /// Whether lines of messages wait to be taken.
    pub(super) fn has_backlog(&self) -> bool {
        !self.unshown.is_empty()
    }

    /// Whether standard output has not taken what it was offered.
    pub(super) fn has_unsent(&self, cx: &Context) -> bool {
        self.output.is_some_and(|output| cx.has_backlog(output))
    }

    /// Whether so much waits for standard output that no more should be read from the relay.
    pub(super) fn is_full(&self, cx: &Context) -> bool {
        self.output.is_some_and(|output| cx.queued(output) >= OUTPUT_QUEUE)
    }

    /// Flushes and closes both; standard error last, because a fault of standard output may have to
    /// be reported there.
    pub(super) fn close(&mut self, cx: &mut Context) {
        self.is_closing = true;
        match self.output {
            Some(output) => cx.close(output),
            None => self.close_rest(cx),
        }
    }

    /// Goes on closing, where that was begun.
    pub(super) fn close_rest(&self, cx: &mut Context) {
        if let Some(talk) = self.talk.filter(|_| self.is_closing && self.output.is_none()) {
            cx.close(talk);
        }
    }

    /// One of them is closed. Returns whether it was standard output.
    pub(super) fn closed(&mut self, id: Token) -> bool {
        let was_output = self.output == Some(id);
        for stream in [&mut self.output, &mut self.talk] {
            if *stream == Some(id) {
                *stream = None;
            }
        }
        was_output
    }

    /// Whether both are gone.
    pub(super) fn are_closed(&self) -> bool {
        self.output.is_none() && self.talk.is_none()
    }
}
