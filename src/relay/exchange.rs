//! Frames in, answers out: how the relay reads from one connection and answers it.

use super::Relay;
use super::event::Event;
use super::limits::{ANSWERS_PER_TICK, CLAIM_WORK, UNREGISTERED_BYTES, WORK_BYTES};
use super::peer::{Peer, State, Throttle};
use super::rates::{Origin, RateClass};
use super::tls::{Channel, opening_work};
use crate::reactor::{Context, Token};
use crate::tls::FIRST_BYTE;
use crate::wire::{ErrorCode, Refusal, Reply, Request, Scan};

impl Relay {
    /// Does what the frames in `bytes` ask, as long as the connection's address has a share of this
    /// tick left. Returns how many bytes are done with.
    pub(super) fn read(&mut self, cx: &mut Context, from: Token, bytes: &[u8]) -> usize {
        let Some(peer) = self.peers.get_mut(from) else { return bytes.len() };
        if peer.channel == Channel::Undecided
            && self.tls.is_some()
            && bytes.first() == Some(&FIRST_BYTE)
        {
            peer.channel = Channel::Greeting;
        }
        let (origin, channel) = (peer.origin, peer.channel);
        if origin == Origin::EXEMPT && matches!(channel, Channel::Plain | Channel::Tls) {
            return self.read_frames(cx, from, bytes, &mut 0);
        }
        if origin != Origin::EXEMPT && self.shares.is_spent(origin) {
            self.end_turn(cx, from);
            return 0;
        }
        let mut work = 0;
        let begun = match channel {
            Channel::Undecided | Channel::Greeting => self.begin(cx, from, bytes, &mut work),
            Channel::Plain | Channel::Tls => None,
        };
        let consumed = begun.unwrap_or_else(|| self.read_frames(cx, from, bytes, &mut work));
        if origin != Origin::EXEMPT {
            self.shares.count(origin, 1 + work + opening_work(channel));
        }
        consumed
    }

    /// The same for one turn of the connection: at least one frame, if there is a whole one. Adds
    /// to `work` how much work that was.
    pub(super) fn read_frames(
        &mut self,
        cx: &mut Context,
        from: Token,
        bytes: &[u8],
        work: &mut usize,
    ) -> usize {
        let mut consumed = 0;
        let mut sent_before = None;
        loop {
            let Some(peer) = self.peers.get_mut(from) else { return bytes.len() };
            let turn = self.shares.turn(peer.origin);
            let (max_frame, is_stranger) = match peer.state {
                State::Registering(_) => return consumed,
                State::Leaving => return bytes.len(),
                State::Registered(_) => (self.config.max_frame, false),
                State::Stranger(_) | State::Challenged(_) => {
                    (self.config.max_frame_unregistered(), true)
                }
            };
            let answered = peer.sent - *sent_before.get_or_insert(peer.sent);
            if consumed > 0 && peer.held {
                return consumed;
            }
            if answered > ANSWERS_PER_TICK || *work >= turn {
                self.end_turn(cx, from);
                return consumed;
            }
            let rest = &bytes[consumed..];
            if rest.is_empty() {
                return consumed;
            }
            if !is_stranger && !peer.held && peer.scanner.is_fresh() {
                let mut passed_on = self.forward_batch(cx, from, rest);
                if passed_on == 0 && self.cluster.is_some() {
                    passed_on = self.forward_batch_far(cx, from, rest);
                }
                if passed_on > 0 {
                    self.came(from, passed_on);
                    consumed += passed_on;
                    *work += passed_on / WORK_BYTES;
                    self.hold_if_full(cx, from, is_stranger);
                    continue;
                }
            }
            let Some(peer) = self.peers.get_mut(from) else { return bytes.len() };
            match Request::scan(&mut peer.scanner, rest, max_frame) {
                Scan::Frame((end, request)) => {
                    match rate_class(peer) {
                        None => peer.received += end as u64,
                        Some(class) if self.may_pass(cx, from, class) => self.came(from, end),
                        Some(_) => return consumed, // the frame is shown again when its turn comes
                    }
                    consumed += end;
                    *work += end / WORK_BYTES + if is_stranger { CLAIM_WORK } else { 1 };
                    self.handle(cx, from, request);
                }
                Scan::Incomplete { consumed: blank } => return consumed + blank,
                Scan::Refused(fault) => {
                    self.came(from, rest.len());
                    self.dismiss(cx, from, &Refusal::from(fault));
                    return bytes.len();
                }
            }
            self.hold_if_full(cx, from, is_stranger);
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

    /// Answers with the reason of the refusal. The connection goes on.
    pub(super) fn refuse(&mut self, cx: &mut Context, to: Token, refusal: &Refusal) {
        if let Some(who) = self.peers.get(to).and_then(Peer::who) {
            let (code, detail) = (refusal.code, &*refusal.detail);
            let about = refusal.to.as_deref().or(refusal.target.as_deref());
            self.log.tell(&Event::Refused { who, code, detail, about });
            self.counters.refused(code);
        }
        self.answer(cx, to, &Reply::from(refusal).encode());
    }

    /// Sends an answer of the relay itself. A connection for which too many of them wait is ended:
    /// it asks and does not read.
    pub(super) fn answer(&mut self, cx: &mut Context, to: Token, frame: &[u8]) {
        if cx.queued(to) + frame.len() > self.config.outbox_hard {
            let refusal = Refusal::new(ErrorCode::SlowReader, "too many answers were not read");
            return self.dismiss(cx, to, &refusal);
        }
        cx.send(to, &[frame]);
        self.was_sent(to, frame.len());
    }

    /// Counts what was read from `from`.
    pub(super) fn came(&mut self, from: Token, bytes: usize) {
        if let Some(peer) = self.peers.get_mut(from) {
            peer.received += bytes as u64;
        }
    }

    /// Counts what was queued for `to`.
    pub(super) fn was_sent(&mut self, to: Token, bytes: usize) {
        self.traffic.sent += bytes as u64;
        if let Some(peer) = self.peers.get_mut(to) {
            peer.sent += bytes as u64;
        }
    }

    /// Whether more waits for `to` than may.
    pub(super) fn is_full(&self, cx: &Context, to: Token) -> bool {
        let queued = cx.queued(to);
        queued > 0 && queued > self.soft_limit(cx, to)
    }

    /// Bytes that may wait for `to` before it counts as full.
    pub(super) fn soft_limit(&self, cx: &Context, to: Token) -> usize {
        self.config.soft_limit(cx.output_in_all(), cx.has_backlog(to))
    }

    /// Whether all memory is held that may hold what waits.
    pub(super) fn is_scarce(&self, cx: &Context) -> bool {
        self.config.is_scarce(cx.output_in_all())
    }

    /// Stops reading from a connection whose own queue is full: its requests would only make more
    /// answers.
    fn hold_if_full(&mut self, cx: &mut Context, id: Token, is_stranger: bool) {
        let is_full =
            if is_stranger { cx.queued(id) > UNREGISTERED_BYTES } else { self.is_full(cx, id) };
        if is_full && let Some(peer) = self.peers.get_mut(id) {
            peer.held = true;
            cx.pause(id);
        }
    }

    /// Reads again from a connection that was held.
    pub(super) fn read_again(&mut self, cx: &mut Context, id: Token) {
        if let Some(peer) = self.peers.get_mut(id).filter(|peer| peer.held) {
            peer.held = false;
            if !peer.is_waiting() {
                cx.resume(id);
            }
        }
    }
}

/// Which rate of its address the next frame costs; none where it is registered, or has paid.
fn rate_class(peer: &mut Peer) -> Option<RateClass> {
    if peer.origin == Origin::EXEMPT {
        return None;
    }
    if !matches!(peer.state, State::Stranger(_) | State::Challenged(_)) {
        return None;
    }
    if peer.throttle == Throttle::Paid {
        peer.throttle = Throttle::None;
        return None;
    }
    Some(RateClass::Claim)
}
