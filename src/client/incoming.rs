//! Frames from the relay: each goes to the part that it is for.
//!
//! The relay is not trusted: a frame that was not asked for is dropped with a warning, and what is
//! not signed is never more than a hint.

use super::peer::{KeyAnswer, Peer};
use super::registration::NextStep;
use super::{Caution, Client, Ending};
use crate::reactor::Context;
use crate::wire::{ErrorCode, Forwarded, Incoming, KeptLetter, Reply, base64, check_name_v2};

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
                let relay = self.registration.relay();
                if let Err((code, detail)) = self.channel.remember(&mut self.core, relay) {
                    return self.link.finish(cx, &mut self.core, code, detail);
                }
                self.link.send(cx, &answer);
            }
            NextStep::Registered(relay) => self.registered(cx, relay),
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
            Incoming::Letter(letter) => self.letter(&letter),
            Incoming::Unknown { .. } => {}
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

    fn letter(&mut self, letter: &KeptLetter) {
        let from = &*letter.from;
        if letter.to != self.core.name || *from == self.core.name || check_name_v2(from).is_err() {
            return self.protocol_violation("a letter that is not for us, or from nobody");
        }
        if let Err(why) = self.letterbox.delivered(&mut self.core, letter) {
            self.protocol_violation(why);
        }
    }

    fn reply(&mut self, cx: &mut Context, reply: Reply) {
        match reply {
            Reply::Pubkey { from, pubkey, prekey, away, letter_key } => {
                let was_unanswered = self.answer_came();
                if !self.peers.get(&from).is_some_and(Peer::is_asked_for) {
                    if !was_unanswered {
                        self.protocol_violation("a key that nobody asked for");
                    }
                    return;
                }
                self.look_at_pins(); // the user may just have accepted this key
                let (prekey, letter_key) = (prekey.as_deref(), letter_key.as_deref());
                let answer = KeyAnswer { prekey, is_away: away, letter_key };
                if let Some(peer) = self.peers.known(&from) {
                    peer.pubkey(&mut self.core, &pubkey, &answer);
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
                    // A letter is known by its own id, all else by a number.
                    let letter = id.as_deref().and_then(|id| base64::decode_array(id).ok());
                    if let Some(letter) = letter {
                        peer.letter_refused(&mut self.core, &letter, parsed, &detail);
                    } else {
                        let request = id.and_then(|id| id.parse().ok());
                        peer.refused(&mut self.core, request, parsed, &detail);
                    }
                } else if let Some(code) = parsed
                    && self.letterbox.refused(&mut self.core, code, &detail)
                {
                } else if !was_unanswered {
                    self.on_relay_error(cx, parsed, &code, &detail);
                }
            }
            Reply::Letterbox { waiting } => {
                self.letterbox.published(&mut self.core, &waiting);
                self.check_letters();
            }
            Reply::LetterboxEmpty => self.letterbox.emptied(&mut self.core),
            Reply::Stored { id, to } => {
                if let (Some(peer), Ok(letter)) = (self.peers.known(&to), base64::decode_array(&id))
                {
                    peer.stored(&mut self.core, &letter);
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
