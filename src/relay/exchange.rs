//! Frames in, answers out: what goes on with one connection.

use super::Relay;
use super::event::Event;
use super::fault::Fault;
use super::peer::{Peer, State, User};
use crate::reactor::{Context, Token};
use crate::wire::{Body, ErrorCode, Refusal, Reply, Request, Scan};

impl Relay {
    /// Does what the frames in `bytes` ask, one at least if there is one. Returns how many bytes
    /// are done with.
    pub(super) fn read(&mut self, cx: &mut Context, from: Token, bytes: &[u8]) -> usize {
        let mut consumed = 0;
        loop {
            let Some(peer) = self.peers.get_mut(from) else { return bytes.len() };
            let max_frame = match peer.state {
                State::Registering(_) => return consumed,
                State::Leaving => return bytes.len(),
                State::Registered(_) => self.config.max_frame,
                State::Stranger(_) | State::Challenged(_) => self.config.max_frame_unregistered(),
            };
            if peer.held && consumed > 0 {
                return consumed;
            }
            let rest = &bytes[consumed..];
            if !peer.held && peer.scanner.is_fresh() {
                let passed_on = self.pass_on(cx, from, rest);
                if passed_on > 0 {
                    self.count_received(from, passed_on);
                    consumed += passed_on;
                    self.hold_if_full(cx, from);
                    continue;
                }
            }
            let Some(peer) = self.peers.get_mut(from) else { return bytes.len() };
            match Request::scan(&mut peer.scanner, rest, max_frame) {
                Scan::Frame((end, request)) => {
                    peer.received += end as u64;
                    consumed += end;
                    self.handle(cx, from, request);
                }
                Scan::Incomplete { consumed: blank } => return consumed + blank,
                Scan::Refused(fault) => {
                    self.dismiss(cx, from, &Refusal::from(fault));
                    return bytes.len();
                }
            }
            self.hold_if_full(cx, from);
        }
    }

    fn count_received(&mut self, from: Token, bytes: usize) {
        if let Some(peer) = self.peers.get_mut(from) {
            peer.received += bytes as u64;
        }
    }

    /// Does what the frames in `rest` ask: the last of this connection, which may have been held
    /// with whole frames waiting.
    pub(super) fn read_rest(&mut self, cx: &mut Context, from: Token, rest: &[u8]) {
        let mut consumed = 0;
        loop {
            match self.read(cx, from, &rest[consumed..]) {
                0 => return,
                more => consumed += more,
            }
        }
    }

    fn handle(&mut self, cx: &mut Context, from: Token, request: Result<Request, Refusal>) {
        let request = match request {
            Ok(request) => request,
            Err(refusal) => return self.refuse(cx, from, &refusal),
        };
        let Err(fault) = self.carry_out(cx, from, &request) else { return };
        let refusal = request.refuse(fault.code, fault.detail);
        if fault.is_last {
            self.dismiss(cx, from, &refusal);
        } else {
            self.refuse(cx, from, &refusal);
        }
    }

    fn carry_out(&mut self, cx: &mut Context, from: Token, request: &Request) -> Result<(), Fault> {
        // Of the sender's registration, once there is one.
        let version2 = self.peers.user(from).map(User::is_version2);
        match &request.body {
            Body::Register(asked) => self.register(cx, from, asked),
            Body::Prove { signature } if request.version2 => self.prove(cx, from, signature),
            Body::Prove { .. } => Err(wrong_version()),
            _ if version2.is_none() => Err(Fault::new(ErrorCode::NotRegistered, "register first")),
            Body::Prekey(prekey) if request.version2 && version2 == Some(true) => {
                self.publish(from, prekey)
            }
            Body::Forward(forward) if version2 == Some(request.version2) => {
                self.forward(cx, from, request, forward)
            }
            Body::Prekey(_) | Body::Forward(_) => Err(wrong_version()),
            Body::Lookup { target } => self.look_up(cx, from, target),
            Body::Ping => {
                let id = request.id.as_deref().map(Into::into);
                self.answer(cx, from, &Reply::Pong { id }.encode());
                Ok(())
            }
        }
    }

    /// Says why not. The connection goes on.
    fn refuse(&mut self, cx: &mut Context, to: Token, refusal: &Refusal) {
        if let Some(who) = self.peers.get(to).and_then(Peer::who) {
            let (code, detail) = (refusal.code, &*refusal.detail);
            self.log.tell(&Event::Refused { who, code, detail });
        }
        self.answer(cx, to, &Reply::from(refusal).encode());
    }

    /// Sends what the relay itself has to say. A connection for which that piles up is ended: it
    /// asks and does not read.
    pub(super) fn answer(&mut self, cx: &mut Context, to: Token, frame: &[u8]) {
        if cx.queued(to) + frame.len() > self.config.outbox_hard {
            let refusal = Refusal::new(ErrorCode::SlowReader, "too many answers were not read");
            return self.dismiss(cx, to, &refusal);
        }
        cx.send(to, &[frame]);
        self.was_sent(to, frame.len());
    }

    /// Counts what was queued for `to`.
    pub(super) fn was_sent(&mut self, to: Token, bytes: usize) {
        if let Some(peer) = self.peers.get_mut(to) {
            peer.sent += bytes as u64;
        }
    }

    /// Whether more waits for `to` than may.
    pub(super) fn is_full(&self, cx: &Context, to: Token) -> bool {
        cx.queued(to) > self.config.soft_limit(cx.queued_in_all())
    }

    /// Stops reading from a connection whose own queue is full: its requests would only make more
    /// answers.
    fn hold_if_full(&mut self, cx: &mut Context, id: Token) {
        if self.is_full(cx, id)
            && let Some(peer) = self.peers.get_mut(id)
        {
            peer.held = true;
            cx.pause(id);
        }
    }

    /// Reads again from a connection that was held.
    pub(super) fn read_again(&mut self, cx: &mut Context, id: Token) {
        if let Some(peer) = self.peers.get_mut(id).filter(|peer| peer.held) {
            peer.held = false;
            cx.resume(id);
        }
    }
}

fn wrong_version() -> Fault {
    Fault::new(ErrorCode::BadFrame, "v is not that of the registration")
}
