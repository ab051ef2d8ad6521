//! The reactor as its handlers see it: on real descriptors, and on a kernel in memory where things go wrong.

mod support;

use std::time::Duration;

use sealwax::reactor::{CloseReason, Config, Context, Deadline, Handler, Opened, Reactor, Token};
use support::kernel::Kernel;

#[derive(Default)]
struct Echo(Vec<String>);

impl Handler for Echo {
    fn opened(&mut self, _cx: &mut Context, _id: Token, how: Opened) {
        self.0.push(format!("{how:?}"));
    }
    fn received(&mut self, cx: &mut Context, from: Token, bytes: &[u8]) -> usize {
        cx.send(from, &[bytes]);
        bytes.len()
    }
    fn ended(&mut self, cx: &mut Context, from: Token, _rest: &[u8]) {
        cx.close(from);
    }
    fn expired(&mut self, _cx: &mut Context, _id: Token, _deadline: Deadline) {}
    fn closed(&mut self, _cx: &mut Context, _id: Token, reason: CloseReason) {
        self.0.push(format!("{reason:?}"));
    }
}

#[test]
fn smoke() {
    let kernel = Kernel::new();
    let mut reactor = Reactor::new(kernel.clone(), &Config::default());
    let mut echo = Echo::default();
    let at = ([127, 0, 0, 1], 5).into();
    reactor.context().listen(at);
    reactor.tick(&mut echo, Some(Duration::ZERO)).unwrap();
    let mut peer = kernel.dial(at);
    assert_eq!(peer.send(b"hello"), 5);
    for _ in 0..3 {
        reactor.tick(&mut echo, Some(Duration::ZERO)).unwrap();
    }
    assert_eq!(peer.receive_all(), b"hello");
    peer.close();
    reactor.tick(&mut echo, Some(Duration::ZERO)).unwrap();
    assert_eq!(echo.0.len(), 3, "{:?}", echo.0);
    assert_eq!(kernel.descriptors(), 1);
}
