//! Between the loop and the handler: each call is passed on, and noted.

use nix::errno::Errno;

use super::record::{Callback, Phase};
use super::recorder::Recorder;
use crate::reactor::{
    CloseReason, Context, Garbled, Handler, Opened, Signal, Timeout, Timer, Token,
};

/// A handler whose every call is noted.
pub struct TracedHandler<'h, H> {
    handler: &'h mut H,
    recorder: Recorder,
}

impl<'h, H: Handler> TracedHandler<'h, H> {
    /// Passes on to `handler`.
    pub fn new(handler: &'h mut H, recorder: Recorder) -> Self {
        Self { handler, recorder }
    }

    fn pass<R>(
        &mut self,
        cx: &mut Context,
        id: Option<Token>,
        call: impl FnOnce(&mut H, &mut Context) -> R,
        callback: impl FnOnce(&R) -> Callback,
    ) -> R {
        let at = self.recorder.begin(cx);
        let answer = call(self.handler, cx);
        let handler = &*self.handler;
        self.recorder.told(cx, at, id, callback(&answer), |token| handler.name(token));
        answer
    }
}

impl<H: Handler> Handler for TracedHandler<'_, H> {
    fn opened(&mut self, cx: &mut Context, id: Token, how: Opened) {
        self.pass(cx, Some(id), |to, cx| to.opened(cx, id, how), |()| Callback::Opened(how));
    }

    fn received(&mut self, cx: &mut Context, from: Token, bytes: &[u8]) -> usize {
        let callback = |&used: &usize| Callback::Received { shown: bytes.len(), used };
        self.pass(cx, Some(from), |to, cx| to.received(cx, from, bytes), callback)
    }

    fn ended(&mut self, cx: &mut Context, from: Token, rest: &[u8]) {
        self.pass(
            cx,
            Some(from),
            |to, cx| to.ended(cx, from, rest),
            |()| Callback::Ended(rest.len()),
        );
    }

    fn garbled(&mut self, cx: &mut Context, from: Token, why: Garbled) {
        let callback = |&(): &()| Callback::Garbled(why.0);
        self.pass(cx, Some(from), |to, cx| to.garbled(cx, from, why), callback);
    }

    fn drained(&mut self, cx: &mut Context, to: Token) {
        self.pass(cx, Some(to), |handler, cx| handler.drained(cx, to), |()| Callback::Drained);
    }

    fn timed_out(&mut self, cx: &mut Context, id: Token, timeout: Timeout) {
        let callback = |&(): &()| Callback::TimedOut(timeout);
        self.pass(cx, Some(id), |to, cx| to.timed_out(cx, id, timeout), callback);
    }

    fn timer(&mut self, cx: &mut Context, timer: Timer) {
        self.pass(cx, None, |to, cx| to.timer(cx, timer), |()| Callback::Timer(timer));
    }

    fn exhausted(&mut self, cx: &mut Context, listener: Token, errno: Errno) {
        let callback = |&(): &()| Callback::Exhausted(errno);
        self.pass(cx, Some(listener), |to, cx| to.exhausted(cx, listener, errno), callback);
    }

    fn signal(&mut self, cx: &mut Context, signal: Signal) {
        self.pass(cx, None, |to, cx| to.signal(cx, signal), |()| Callback::Signal(signal));
    }

    fn closed(&mut self, cx: &mut Context, id: Token, reason: CloseReason) {
        self.pass(cx, Some(id), |to, cx| to.closed(cx, id, reason), |()| Callback::Closed(reason));
    }

    fn end_of_tick(&mut self, cx: &mut Context) {
        self.pass(cx, None, H::end_of_tick, |()| Callback::EndOfTick);
    }

    fn name(&self, id: Token) -> Option<String> {
        self.handler.name(id)
    }
}

impl Callback {
    /// The part of the tick in which the loop tells this.
    pub(super) const fn phase(self) -> Phase {
        match self {
            Self::Opened(Opened::Connected)
            | Self::Received { .. }
            | Self::Ended(_)
            | Self::Garbled(_) => Phase::Dispatch,
            Self::Opened(_) | Self::Exhausted(_) => Phase::Accept,
            Self::TimedOut(_) | Self::Timer(_) | Self::Signal(_) => Phase::Deadlines,
            Self::EndOfTick => Phase::EndOfTick,
            Self::Drained => Phase::Flush,
            Self::Closed(_) => Phase::Reap,
        }
    }
}
