//! The echo server again (`docs/loop/echo.rs`), as a handler on the reactor. It does not have the
//! faults of the short one: no client waits for another that does not read, and a connection that
//! breaks does not end the others.
//!
//!     cargo run --example handler      # then, in another terminal: nc 127.0.0.1 7007

use nix::Result;
use sealwax::reactor::{
    CloseReason, Config, Context, Handler, Linux, Opened, Reactor, Timeout, Token,
};
use sealwax::relay::limits::OUTBOX_SOFT;

fn main() -> Result<()> {
    let mut reactor = Reactor::new(Linux::new()?, &Config::default());
    reactor.context().listen(([127, 0, 0, 1], 7007).into());
    reactor.run(&mut Echo)
}

/// The handler. It stores nothing: the loop keeps all that an echo needs.
pub(crate) struct Echo;

impl Handler for Echo {
    fn opened(&mut self, _: &mut Context, id: Token, how: Opened) {
        eprintln!("{id:?}: {how:?}");
    }

    fn received(&mut self, cx: &mut Context, from: Token, bytes: &[u8]) -> usize {
        cx.send(from, &[bytes]);
        if cx.queued(from) > OUTBOX_SOFT {
            cx.pause(from); // it sends and does not read; `drained` resumes it
        }
        bytes.len()
    }

    fn drained(&mut self, cx: &mut Context, to: Token) {
        cx.resume(to);
    }

    fn ended(&mut self, cx: &mut Context, from: Token, _rest: &[u8]) {
        cx.close(from); // the loop still writes what is queued
    }

    fn timed_out(&mut self, cx: &mut Context, id: Token, _: Timeout) {
        cx.abort(id); // it took nothing for `Config::write_timeout`
    }

    fn closed(&mut self, cx: &mut Context, id: Token, reason: CloseReason) {
        eprintln!("{id:?}: {reason:?}");
        if let CloseReason::Failed(nix::errno::Errno::EADDRINUSE) = reason {
            cx.stop();
        }
    }
}
