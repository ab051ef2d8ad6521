//! Between the loop and the handler: each call is passed on, and noted.

use nix::errno::Errno;

use super::record::{Phase, Tell};
use super::recorder::Recorder;
use crate::reactor::{Alarm, CloseReason, Context, Deadline, Handler, Opened, Signal, Token};

/// A handler whose every call is noted.
pub struct Told<'h, H> {
    handler: &'h mut H,
    recorder: Recorder,
}

impl<'h, H: Handler> Told<'h, H> {
    /// Passes on to `handler`.
    pub fn new(handler: &'h mut H, recorder: Recorder) -> Self {
        Self { handler, recorder }
    }

    fn pass<R>(
        &mut self,
        cx: &mut Context,
        id: Option<Token>,
        call: impl FnOnce(&mut H, &mut Context) -> R,
        tell: impl FnOnce(&R) -> Tell,
    ) -> R {
        let at = self.recorder.begin(cx);
        let answer = call(self.handler, cx);
        let handler = &*self.handler;
        self.recorder.told(cx, at, id, tell(&answer), |token| handler.name(token));
        answer
    }
}

impl<H: Handler> Handler for Told<'_, H> {
    fn opened(&mut self, cx: &mut Context, id: Token, how: Opened) {
        self.pass(cx, Some(id), |to, cx| to.opened(cx, id, how), |()| Tell::Opened(how));
    }

    fn received(&mut self, cx: &mut Context, from: Token, bytes: &[u8]) -> usize {
        let tell = |&used: &usize| Tell::Received { shown: bytes.len(), used };
        self.pass(cx, Some(from), |to, cx| to.received(cx, from, bytes), tell)
    }

    fn ended(&mut self, cx: &mut Context, from: Token, rest: &[u8]) {
        self.pass(cx, Some(from), |to, cx| to.ended(cx, from, rest), |()| Tell::Ended(rest.len()));
    }

    fn drained(&mut self, cx: &mut Context, to: Token) {
        self.pass(cx, Some(to), |handler, cx| handler.drained(cx, to), |()| Tell::Drained);
    }

    fn expired(&mut self, cx: &mut Context, id: Token, deadline: Deadline) {
        let tell = |&(): &()| Tell::Expired(deadline);
        self.pass(cx, Some(id), |to, cx| to.expired(cx, id, deadline), tell);
    }

    fn alarm(&mut self, cx: &mut Context, alarm: Alarm) {
        self.pass(cx, None, |to, cx| to.alarm(cx, alarm), |()| Tell::Alarm(alarm));
    }

    fn exhausted(&mut self, cx: &mut Context, listener: Token, errno: Errno) {
        let tell = |&(): &()| Tell::Exhausted(errno);
        self.pass(cx, Some(listener), |to, cx| to.exhausted(cx, listener, errno), tell);
    }

    fn signal(&mut self, cx: &mut Context, signal: Signal) {
        self.pass(cx, None, |to, cx| to.signal(cx, signal), |()| Tell::Signal(signal));
    }

    fn closed(&mut self, cx: &mut Context, id: Token, reason: CloseReason) {
        self.pass(cx, Some(id), |to, cx| to.closed(cx, id, reason), |()| Tell::Closed(reason));
    }

    fn end_of_tick(&mut self, cx: &mut Context) {
        self.pass(cx, None, H::end_of_tick, |()| Tell::EndOfTick);
    }

    fn name(&self, id: Token) -> Option<String> {
        self.handler.name(id)
    }
}

impl Tell {
    /// The part of the tick in which the loop tells this.
    pub(super) const fn phase(self) -> Phase {
        match self {
            Self::Opened(Opened::Connected) | Self::Received { .. } | Self::Ended(_) => {
                Phase::Dispatch
            }
            Self::Opened(_) | Self::Exhausted(_) => Phase::Accept,
            Self::Expired(_) | Self::Alarm(_) | Self::Signal(_) => Phase::Deadlines,
            Self::EndOfTick => Phase::EndOfTick,
            Self::Drained => Phase::Flush,
            Self::Closed(_) => Phase::Reap,
        }
    }
}
