//! The client as a handler of the loop, and a trait for whoever runs it on a loop of its own.

use super::{Client, Ending, WriteWhat};
use crate::reactor::{CloseReason, Context, Garbled, Handler, Opened, Timeout, Timer, Token};
use crate::tls::Fault;
use crate::wire::Scan;

impl Handler for Client {
    fn opened(&mut self, cx: &mut Context, id: Token, how: Opened) {
        debug_assert_eq!(how, Opened::Connected, "nothing else was asked for");
        self.core.now = cx.now();
        self.renew_prekey();
        let frame = self.registration.begin(&self.core);
        let has_begun = self.channel.begin(cx, id);
        self.link.opened(cx, &self.core, &frame);
        if !has_begun {
            self.link.lose(cx, "TLS could not be begun");
        }
    }

    fn received(&mut self, cx: &mut Context, _from: Token, bytes: &[u8]) -> usize {
        self.look_around(cx.now());
        self.link.heard(self.core.now);
        let mut consumed = 0;
        while self.link.listens() {
            let unconsumed = &bytes[consumed..];
            match self.link.scan(unconsumed, self.core.max_frame) {
                Scan::Frame(place) => {
                    consumed += place.end;
                    self.frame(cx, &unconsumed[place]);
                }
                Scan::Incomplete { consumed: space } => return consumed + space,
                Scan::Refused(_) => self.link.lose(cx, "the relay sent what is no frame"),
            }
        }
        bytes.len()
    }

    fn ended(&mut self, cx: &mut Context, _from: Token, _rest: &[u8]) {
        self.core.now = cx.now();
        let (id, relay) = (self.link.token(), self.registration.relay());
        match self.channel.hung_up(cx, &mut self.core, id, relay) {
            Ok(why) => self.link.lose(cx, why),
            Err((code, detail)) => self.link.finish(cx, &mut self.core, code, detail),
        }
    }

    fn garbled(&mut self, cx: &mut Context, _from: Token, why: Garbled) {
        self.core.now = cx.now();
        let relay = self.registration.relay();
        match self.channel.failed(&mut self.core, relay, Fault::of(why)) {
            Ok(why) => self.link.lose(cx, why),
            Err((code, detail)) => self.link.finish(cx, &mut self.core, code, detail),
        }
    }

    fn timed_out(&mut self, cx: &mut Context, _id: Token, timeout: Timeout) {
        self.link.timed_out(cx, timeout);
    }

    fn closed(&mut self, cx: &mut Context, _id: Token, reason: CloseReason) {
        self.core.now = cx.now();
        self.link.closed(cx, &mut self.core, reason);
        let Self { peers, core, .. } = self;
        peers.for_each(|peer| peer.disconnected(core));
        self.core.outgoing.clear();
        self.core.unanswered = 0;
        self.letterbox.disconnected(&mut self.core);
        self.write_letters(WriteWhat::Everything);
        self.roster.forget();
        self.set_timer(cx); // `closed` comes after the end of the tick
    }

    fn timer(&mut self, cx: &mut Context, timer: Timer) {
        debug_assert_eq!(timer, self.timer, "the others are not the client's");
        self.core.now = cx.now();
        self.link.tick(cx, &mut self.core);
        if self.link.is_up() {
            self.letterbox.tick(&mut self.core);
        }
        self.peers.tick(&self.core, self.link.is_up()); // the prekey: `end_of_tick`
    }

    /// Sends what was said and the receipts for what was shown, and sets the timer.
    fn end_of_tick(&mut self, cx: &mut Context) {
        self.look_around(cx.now());
        self.flush(cx);
        if self.leaving.is_some_and(|until| until <= cx.now() || !self.owes_receipts()) {
            self.leaving = None;
            self.link.finish(cx, &mut self.core, Ending::Left, "we left");
        }
        self.set_timer(cx);
    }
}

/// Runs one client on a loop of its own. Such a type is a [`Handler`]: the loop's calls go to the
/// client, and the events are taken after each call that may have brought some.
pub trait ClientUser {
    /// The client that the loop's calls are for.
    fn client(&mut self) -> &mut Client;

    /// Takes all events that the client has ([`Client::next_event`]).
    fn take_events(&mut self, cx: &mut Context);
}

impl<U: ClientUser> Handler for U {
    fn opened(&mut self, cx: &mut Context, id: Token, how: Opened) {
        debug_assert!(self.client().owns(id), "the client opens all that there is");
        self.client().opened(cx, id, how);
    }

    fn received(&mut self, cx: &mut Context, from: Token, bytes: &[u8]) -> usize {
        self.client().received(cx, from, bytes)
    }

    fn ended(&mut self, cx: &mut Context, from: Token, rest: &[u8]) {
        self.client().ended(cx, from, rest);
    }

    fn garbled(&mut self, cx: &mut Context, from: Token, why: Garbled) {
        self.client().garbled(cx, from, why);
    }

    fn timed_out(&mut self, cx: &mut Context, id: Token, timeout: Timeout) {
        self.client().timed_out(cx, id, timeout);
    }

    fn timer(&mut self, cx: &mut Context, timer: Timer) {
        self.client().timer(cx, timer);
    }

    fn closed(&mut self, cx: &mut Context, id: Token, reason: CloseReason) {
        debug_assert!(self.client().owns(id), "the client opens all that there is");
        self.client().closed(cx, id, reason);
        self.take_events(cx);
    }

    fn end_of_tick(&mut self, cx: &mut Context) {
        self.take_events(cx);
        self.client().end_of_tick(cx);
        self.take_events(cx);
    }
}
