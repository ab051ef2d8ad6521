//! The actions: what each request does, and to whom it is allowed.
//!
//! `carry_out` is the table of them. What `register`, `prove` and `prekey` do is in
//! `registration.rs`, and what those about letters do in `letters.rs` and `delivery.rs`.

use std::borrow::Cow;

use super::Relay;
use super::event::Event;
use super::fault::Fault;
use super::letter_store::KnownKeys;
use super::limits::{USER_LOOKUPS_BURST, USER_LOOKUPS_PER_SECOND};
use super::peer::User;
use super::rates::{Origin, RateClass};
use crate::limits::MAX_NAME_ORIGINAL;
use crate::reactor::{Context, Token};
use crate::tokens::Rate;
use crate::wire::{Body, ErrorCode, Forward, ForwardKind, Reply, Request};

impl Relay {
    /// Does what a request asks, if its sender may ask it, and queues the answer if there is one.
    pub(super) fn carry_out(
        &mut self,
        cx: &mut Context,
        from: Token,
        request: &Request,
    ) -> Result<(), Fault> {
        // The version of the sender's registration, once there is one.
        let version2 = self.peers.user(from).map(User::is_version2);
        match &request.body {
            Body::Register(asked) => self.register(cx, from, asked),
            Body::Prove { signature } if request.version2 => self.prove(cx, from, signature),
            Body::Prove { .. } => Err(wrong_version()),
            _ if version2.is_none() => Err(Fault::new(ErrorCode::NotRegistered, "register first")),
            Body::Prekey(prekey) if request.version2 && version2 == Some(true) => {
                self.publish(cx, from, prekey)
            }
            Body::Forward(forward) if version2 == Some(request.version2) => {
                self.forward(cx, from, request, forward)
            }
            Body::Prekey(_) | Body::Forward(_) => Err(wrong_version()),
            Body::Letterbox(_) | Body::Letter(_) | Body::Take(_) | Body::Ack { .. }
                if !(request.version2 && version2 == Some(true)) =>
            {
                Err(wrong_version())
            }
            Body::Letterbox(key) => self.open_letterbox(from, key),
            Body::Letter(letter) => self.keep_letter(cx, from, letter),
            Body::Take(mode) => self.take_letters(from, *mode),
            Body::Ack { number } => self.acknowledge(from, *number),
            Body::Lookup { .. } if !self.may_look_up(cx, from) => {
                let detail = "too many keys were asked for lately: ask again in a second";
                Err(Fault::new(ErrorCode::RateLimited, detail))
            }
            // Too long to be a name, and the log would hold all of it.
            Body::Lookup { target, .. } if target.len() > MAX_NAME_ORIGINAL => Err(unknown_user()),
            Body::Lookup { target, letters } => {
                let is_asked = (*letters || self.is_far(target))
                    && self.find_keys(from, request.id.as_deref(), target, *letters)?;
                if is_asked { Ok(()) } else { self.look_up(cx, from, target, None) }
            }
            Body::Ping => {
                if version2 == Some(true) {
                    self.note_use_of(from);
                }
                let id = request.id.as_deref().map(Into::into);
                self.answer(cx, from, &Reply::Pong { id }.encode());
                Ok(())
            }
        }
    }

    /// `get_pubkey`. `known`: what the store knows of that user, if it was asked.
    pub(super) fn look_up(
        &mut self,
        cx: &mut Context,
        from: Token,
        target: &str,
        known: Option<&KnownKeys>,
    ) -> Result<(), Fault> {
        let token = self.directory.holder(target, &self.peers);
        let found = token.and_then(|token| Some((token, self.peers.user(token)?)));
        if let Some(asking) = self.peers.user(from) {
            let is_far = known.is_some_and(|known| known.is_connected);
            let (by, found) = (asking.name.as_str(), found.is_some() || is_far);
            self.log.tell(&Event::KeyAsked { by, target, found });
        }
        let (pubkey, prekey, away) = match (found, known) {
            (Some((token, user)), _) => {
                (self.peers.key_of(token, user), user.prekey.as_deref(), false)
            }
            (None, Some(known)) => (known.pem.clone(), known.prekey.as_ref(), !known.is_connected),
            (None, None) => return Err(unknown_user()),
        };
        let letter_key = known.and_then(|known| known.letter_key.as_ref());
        let reply = Reply::Pubkey {
            from: target.into(),
            pubkey: pubkey.into(),
            prekey: prekey.map(Cow::Borrowed),
            away,
            letter_key: letter_key.map(Cow::Borrowed),
        };
        self.answer(cx, from, &reply.encode());
        Ok(())
    }

    /// Whether the user of `from` may ask for another key: it has a rate, and its address has one.
    pub(super) fn may_look_up(&mut self, cx: &Context, from: Token) -> bool {
        const RATE: Rate = Rate::new(USER_LOOKUPS_BURST, USER_LOOKUPS_PER_SECOND);
        let Some(peer) = self.peers.get_mut(from) else { return false };
        let (origin, now) = (peer.origin, cx.now());
        let Some(user) = peer.user_mut() else { return false };
        if origin == Origin::EXEMPT {
            return true;
        }
        let may =
            user.lookups.holds_one(RATE, now) && self.rates.take(origin, RateClass::Lookup, now);
        if may {
            user.lookups.spend(RATE, now);
        }
        may
    }

    /// `send_key` and `message`.
    pub(super) fn forward(
        &mut self,
        cx: &mut Context,
        from: Token,
        request: &Request,
        forward: &Forward,
    ) -> Result<(), Fault> {
        let Some((to, addressee)) = self.addressee(cx, &*forward.to) else {
            return self.forward_far(cx, from, request, forward);
        };
        let Some(sender) = self.peers.user(from) else { return Ok(()) };
        if addressee.is_version2() != request.version2 {
            return Err(Fault::new(ErrorCode::NotV2, "the addressee is of another version"));
        }
        if self.is_full(cx, to) {
            return Err(Fault::new(ErrorCode::QueueFull, "too much waits for the addressee"));
        }
        if self.config.is_too_long(forward.bytes.frame_len(), cx.output_in_all()) {
            let detail = "too much waits for all users: only short frames are passed on now";
            return Err(Fault::new(ErrorCode::QueueFull, detail));
        }
        let prekey = addressee.prekey.as_ref().map(|prekey| prekey.id);
        let name = sender.name.clone();
        if request.version2 && forward.kind == ForwardKind::SendKey {
            self.note_written(name.as_str(), &forward.to);
        }
        let bytes = self.queue(cx, to, &forward.bytes.parts(&name.json_bytes()));
        self.traffic.messages += 1;
        let (from_name, action) = (name.as_str(), forward.kind);
        self.log.tell(&Event::Forwarded { action, from: from_name, to: &forward.to, bytes });
        if let Some(id) = &request.id {
            let (id, to) = (id.as_ref().into(), forward.to.as_ref().into());
            self.answer(cx, from, &Reply::Relayed { id, to, prekey }.encode());
        }
        Ok(())
    }

    /// The user `name`, if it can be sent anything: a connection that was lost in this tick stays
    /// in the directory until the end of the tick.
    pub(super) fn addressee(&self, cx: &Context, name: impl AsRef<[u8]>) -> Option<(Token, &User)> {
        let token = self.directory.holder(name, &self.peers).filter(|&token| cx.is_open(token))?;
        Some((token, self.peers.user(token)?))
    }

    /// Queues what others sent for `to`, and returns how many bytes that are.
    pub(super) fn queue(&mut self, cx: &mut Context, to: Token, parts: &[&[u8]]) -> usize {
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        cx.send(to, parts);
        self.was_sent(to, bytes);
        // Where others write to it without pause, its queue never runs dry and nothing else would
        // say that it may be read again.
        self.read_again(cx, to);
        bytes
    }
}

pub(super) fn unknown_user() -> Fault {
    Fault::new(ErrorCode::UnknownUser, "no such user is connected")
}

fn wrong_version() -> Fault {
    Fault::new(ErrorCode::BadFrame, "v is not that of the registration")
}
