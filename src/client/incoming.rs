//! Frames from the relay: each goes to the part that it is for.
//!
//! The relay is not trusted: a frame that was not asked for is dropped with a warning, and what is
//! not signed is never more than a hint.

use super::peer::Peer;
use super::registration::NextStep;
use super::{Caution, Client, Ending};
use crate::reactor::Context;
use crate::wire::{ErrorCode, Forwarded, Incoming, Reply, check_name_v2};

impl Client {
    /// One frame of the relay.
    pub(super) fn frame(&mut self, cx: &mut Context, frame: &[u8]) {
        match Incoming::parse(frame) {
            Ok(incoming) if self.link.is_up() => self.incoming(cx, incoming),
            Ok(incoming) => self.register(cx, incoming),
            Err(bad) => {
                self.protocol_violation(&bad.0);
                if !self.link.is_up() {
                    self.link.lose(cx, "the relay answered something else");
                }
            }
        }
    }

    fn register(&mut self, cx: &mut Context, frame: Incoming) {
        let binding = self.link.token().and_then(|id| cx.binding(id));
        match self.registration.answer(&mut self.core, frame, binding) {
            NextStep::Send(answer) => {
                if self.channel.is_bound()
                    && let Err((code, detail)) = self.channel.remember(self.registration.relay())
                {
                    return self.link.finish(cx, &mut self.core, code, detail);
                }
                self.link.send(cx, &answer);
            }
            NextStep::Registered => self.registered(cx),
            NextStep::Retry(why) => self.link.lose(cx, why),
            NextStep::Over(code, detail) => self.link.finish(cx, &mut self.core, code, detail),
            NextStep::Nothing => {}
        }
    }

    fn incoming(&mut self, cx: &mut Context, frame: Incoming) {
        match frame {
            Incoming::Forwarded(frame) => self.forwarded(&frame),
            Incoming::Reply(reply) => self.reply(cx, reply),
            Incoming::Userlist { users } => {
                let events = self.roster.replace(users);
                self.roster_changed(events);
            }
            Incoming::Roster { joined, whole: true, .. } => {
                let events = self.roster.begin(joined);
                self.roster_changed(events);
            }
            Incoming::Roster { joined, left, whole: false } => {
                let events = self.roster.change(joined, left);
                self.roster_changed(events);
            }
            // Letters were not asked for; the others are a newer relay's.
            Incoming::Letter(_) | Incoming::Unknown { .. } => {}
        }
    }

    fn forwarded(&mut self, frame: &Forwarded) {
        let from = &*frame.from;
        if from == self.core.name {
            let detail = "a frame that claims to come from ourselves is dropped";
            return self.core.warn(from, Caution::FromOurselves, detail);
        }
        if frame.to != self.core.name || !frame.version2 || check_name_v2(from).is_err() {
            return self.protocol_violation("it is not for us, or not of our version");
        }
        self.peers.make_room_for(&mut self.core, from, &frame.body);
        let peer = self.peers.meet(from);
        peer.frame(&mut self.core, frame.kind, &frame.body);
    }

    fn reply(&mut self, cx: &mut Context, reply: Reply) {
        match reply {
            // This client writes no letters yet: who is away is nobody to it.
            Reply::Pubkey { from, away: true, .. } => {
                let (code, detail) = (ErrorCode::UnknownUser.as_str().into(), "away".into());
                let target = Some(from);
                self.reply(cx, Reply::Error { code, detail, id: None, to: None, target });
            }
            Reply::Pubkey { from, pubkey, prekey, .. } => {
                let was_unanswered = self.answer_came();
                if !self.peers.get(&from).is_some_and(Peer::is_asked_for) {
                    if !was_unanswered {
                        self.protocol_violation("a key that nobody asked for");
                    }
                    return;
                }
                self.look_at_pins(); // the user may just have accepted this key
                if let Some(peer) = self.peers.known(&from) {
                    peer.pubkey(&mut self.core, &pubkey, prekey.as_deref());
                    self.peers.make_room(&self.core);
                }
            }
            Reply::Relayed { id, to, prekey } => {
                if let (Some(peer), Ok(request)) = (self.peers.known(&to), id.parse()) {
                    peer.relayed(&mut self.core, request, prekey);
                }
            }
            Reply::Error { code, detail, id, to, target } => {
                let parsed = code.parse().ok();
                let (to, target) = (to.as_deref(), target.as_deref());
                let was_unanswered = target.is_some() && self.answer_came();
                if let Some(peer) = target.and_then(|target| self.peers.known(target)) {
                    peer.lookup_refused(&mut self.core, parsed, &detail);
                } else if let Some(peer) = to.and_then(|to| self.peers.known(to)) {
                    let request = id.and_then(|id| id.parse().ok());
                    peer.refused(&mut self.core, request, parsed, &detail);
                } else if !was_unanswered {
                    self.on_relay_error(cx, parsed, &code, &detail);
                }
            }
            Reply::Pong { .. } => {}
            // A challenge or a registration, which this client did not ask for now.
            _ => self.protocol_violation("an answer that nobody asked for"),
        }
    }

    /// An answer to a question for a key. Returns whether one was open.
    fn answer_came(&mut self) -> bool {
        let unanswered = &mut self.core.unanswered;
        let was_open = *unanswered > 0;
        *unanswered = unanswered.saturating_sub(1);
        was_open
    }

    /// An error that is about no request of a conversation.
    fn on_relay_error(
        &mut self,
        cx: &mut Context,
        code: Option<ErrorCode>,
        text: &str,
        detail: &str,
    ) {
        match code {
            Some(ErrorCode::Replaced) => {
                let detail = "the same identity connected from elsewhere";
                self.link.finish(cx, &mut self.core, Ending::Replaced, detail);
            }
            Some(
                ErrorCode::ShuttingDown
                | ErrorCode::SlowReader
                | ErrorCode::FrameTimeout
                | ErrorCode::FrameTooLarge,
            ) => self.link.lose(cx, format!("the relay ended it: {detail}")),
            _ => {
                let detail = format!("the relay refused something: {text}: {detail}");
                self.core.warn("", Caution::Refused, detail);
            }
        }
    }

    fn protocol_violation(&mut self, what: &str) {
        let detail = format!("the relay sent a frame that is dropped: {what}");
        self.core.warn("", Caution::BadFrame, detail);
    }
}
