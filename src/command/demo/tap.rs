//! A handler around the relay that copies what the relay's sockets read.
//!
//! A handler does not know what calls it, so another handler can stand between it and the loop.

use std::net::SocketAddr;
use std::sync::mpsc::Sender;

use nix::errno::Errno;

use super::DemoReport;
use crate::reactor::{
    CloseReason, Context, Handler, Opened, ProcessFd, Signal, Timeout, Timer, Token,
};

/// The relay, and the channel to which what it reads is reported.
pub(super) struct Tap<H> {
    relay: H,
    reports: Sender<DemoReport>,
    closing: Option<Token>,
}

impl<H: Handler> Tap<H> {
    pub(super) fn new(relay: H, reports: Sender<DemoReport>) -> Self {
        Self { relay, reports, closing: None }
    }

    /// Listens at `at` until `closing` wakes it.
    pub(super) fn start(&mut self, cx: &mut Context, at: SocketAddr, closing: ProcessFd) {
        cx.listen(at);
        self.closing = Some(cx.open(closing));
    }

    fn report(&self, report: DemoReport) {
        let _ = self.reports.send(report); // nobody listens any more when the demo is over
    }
}

impl<H: Handler> Handler for Tap<H> {
    fn opened(&mut self, cx: &mut Context, id: Token, how: Opened) {
        if let Opened::Listening(address) = how {
            self.report(DemoReport::Listening(address));
        }
        self.relay.opened(cx, id, how);
    }

    fn received(&mut self, cx: &mut Context, from: Token, bytes: &[u8]) -> usize {
        if self.closing == Some(from) {
            cx.stop();
            return bytes.len();
        }
        let consumed = self.relay.received(cx, from, bytes);
        if consumed > 0 {
            self.report(DemoReport::Read(bytes[..consumed].to_vec()));
        }
        consumed
    }

    fn ended(&mut self, cx: &mut Context, from: Token, rest: &[u8]) {
        self.relay.ended(cx, from, rest);
    }

    fn drained(&mut self, cx: &mut Context, to: Token) {
        self.relay.drained(cx, to);
    }

    fn timed_out(&mut self, cx: &mut Context, id: Token, timeout: Timeout) {
        self.relay.timed_out(cx, id, timeout);
    }

    fn timer(&mut self, cx: &mut Context, timer: Timer) {
        self.relay.timer(cx, timer);
    }

    fn exhausted(&mut self, cx: &mut Context, listener: Token, errno: Errno) {
        self.relay.exhausted(cx, listener, errno);
    }

    fn signal(&mut self, cx: &mut Context, signal: Signal) {
        self.relay.signal(cx, signal);
    }

    fn closed(&mut self, cx: &mut Context, id: Token, reason: CloseReason) {
        if let CloseReason::Failed(errno) = reason {
            self.report(DemoReport::Failed(format!("the relay lost a socket: {errno}")));
        }
        self.relay.closed(cx, id, reason);
    }

    fn end_of_tick(&mut self, cx: &mut Context) {
        self.relay.end_of_tick(cx);
    }

    fn name(&self, id: Token) -> Option<String> {
        self.relay.name(id)
    }
}
