//! Frames between relays: to users who are elsewhere, and from there to users here.
//!
//! The relay of the sender checks nothing of the addressee but where it is and its version; all
//! else is decided where its queue is, as for a frame of that relay's own users, and told back. So
//! each frame with an `id` is answered once, and `relayed` means what it means on one relay.

use super::parcel::{Frames, Outcome, Row, rows};
use super::{Asked, Relay};
use crate::cluster::Incarnation;
use crate::cluster::frames::{self, ForwardAnswer, Parcel, ParcelKind};
use crate::reactor::{Context, Token};
use crate::relay::actions::unknown_user;
use crate::relay::event::Event;
use crate::relay::fault::Fault;
use crate::wire::{ErrorCode, Forward, ForwardKind, LetterKind, Refusal, Reply, Request};

impl Relay {
    /// `send_key` and `message` for a user who is not here.
    pub(in crate::relay) fn forward_far(
        &mut self,
        cx: &mut Context,
        from: Token,
        request: &Request,
        forward: &Forward,
    ) -> Result<(), Fault> {
        let to = &*forward.to;
        let Some(cluster) = &mut self.cluster else { return Err(unknown_user()) };
        let place = cluster.members.find(to);
        if place.is_some_and(|place| place.incarnation == cluster.own) {
            return Err(unknown_user()); // it has left in this tick
        }
        if !cluster.reaches_others(cx) || cluster.outgoing.is_full(from) {
            let detail = "the relay of the addressee cannot be reached now";
            return Err(Fault::new(ErrorCode::QueueFull, detail));
        }
        let Some(sender) = self.peers.user(from) else { return Ok(()) };
        let name = sender.name.clone();
        let json = name.json_bytes();
        let parts = forward.bytes.parts(&json);
        let sender = (from, request.id.as_deref().map(Into::into));
        match place.filter(|_| !cluster.seeking.has(to)) {
            Some(place) if place.version2 != request.version2 => {
                return Err(Fault::new(ErrorCode::NotV2, detail(ErrorCode::NotV2)));
            }
            Some(place) => {
                let addressee = (to, request.version2);
                cluster.outgoing.push(place.incarnation, sender, addressee, &parts, cx.now());
            }
            None => self.seek(cx, sender, (to, request.version2), &parts)?,
        }
        let bytes = parts.iter().map(|part| part.len()).sum();
        self.traffic.messages += 1;
        self.counters.frames_left += 1;
        let action = forward.kind;
        self.log.tell(&Event::Forwarded { action, from: name.as_str(), to, bytes });
        if request.version2 && action == ForwardKind::SendKey {
            self.note_written(name.as_str(), to);
        }
        Ok(())
    }

    /// Hands over what was gathered in this tick for other relays.
    pub(super) fn pass_on_far(&mut self, cx: &mut Context) {
        let Some(cluster) = &mut self.cluster else { return };
        let (own, now) = (cluster.own, cx.now());
        let mut refused = Vec::new();
        for (at, draft) in cluster.outgoing.take_drafts() {
            let call = frames::forward(own, at, ParcelKind::Frames, draft.bytes());
            if !cluster.call(Asked::Forward(at, draft.first, draft.count), &call, now) {
                refused.push((at, draft.first, draft.count));
            }
        }
        for (at, answers) in std::mem::take(&mut cluster.answers) {
            let call = frames::forward(own, at, ParcelKind::Answers, &answers.into_bytes());
            // Where it is not taken, the sender's relay tells that nothing came in time.
            cluster.call(Asked::Answers, &call, now);
        }
        for (at, first, count) in refused {
            let outcome = Outcome::Refused(ErrorCode::QueueFull);
            self.settle_far(cx, at, Row { first, count, outcome });
        }
    }

    /// The engine has answered for a parcel of frames.
    pub(super) fn forwarded_far(
        &mut self,
        cx: &mut Context,
        (at, first, count): (Incarnation, u64, u32),
        answer: ForwardAnswer,
    ) {
        let outcome = match answer {
            ForwardAnswer::Queued => return, // the other relay answers
            ForwardAnswer::Full | ForwardAnswer::NoLease => Outcome::Refused(ErrorCode::QueueFull),
            ForwardAnswer::Gone => Outcome::Refused(ErrorCode::UnknownUser),
        };
        self.settle_far(cx, at, Row { first, count, outcome });
    }

    /// Tells the senders what became of their frames.
    pub(super) fn settle_far(&mut self, cx: &mut Context, at: Incarnation, row: Row) {
        let Some(cluster) = &mut self.cluster else { return };
        let settled = cluster.outgoing.settle(at, row);
        self.tell_senders(cx, settled);
    }

    /// The relay `at` has ended: what it did not answer, it will not.
    pub(super) fn settle_gone(&mut self, cx: &mut Context, at: Incarnation) {
        let Some(cluster) = &mut self.cluster else { return };
        let unknown = Outcome::Refused(ErrorCode::UnknownUser);
        let settled = cluster.outgoing.settle_all(at, unknown);
        self.tell_senders(cx, settled);
    }

    /// Tells the senders of frames for which no answer has come in time.
    pub(super) fn settle_late(&mut self, cx: &mut Context) {
        let Some(cluster) = &mut self.cluster else { return };
        let unknown = Outcome::Refused(ErrorCode::UnknownUser);
        let settled = cluster.outgoing.settle_late(cx.now(), unknown);
        self.tell_senders(cx, settled);
    }

    /// Something came from another relay.
    pub(super) fn arrived(&mut self, cx: &mut Context, parcel: &Parcel) {
        match parcel.kind {
            ParcelKind::Frames => self.frames_arrived(cx, parcel),
            ParcelKind::Answers => {
                for row in rows(&parcel.data).unwrap_or_default() {
                    self.settle_far(cx, parcel.from, row);
                }
            }
            ParcelKind::Replaced => self.replaced_far(cx, &parcel.data),
            ParcelKind::Letter => self.letter_arrived(&parcel.data),
            ParcelKind::Released => {
                if let Ok(name) = std::str::from_utf8(&parcel.data) {
                    self.release_own(name);
                }
            }
        }
    }

    fn frames_arrived(&mut self, cx: &mut Context, parcel: &Parcel) {
        let mut frames = Frames::new(&parcel.data);
        for frame in frames.by_ref() {
            self.counters.frames_came += 1;
            let outcome = self.deliver_far(cx, frame.to, frame.version2, frame.frame);
            if let Some(cluster) = &mut self.cluster {
                cluster.answers.entry(parcel.from).or_default().push(frame.number, outcome);
            }
        }
        if frames.has_rest() {
            let detail = "frames of another relay are cut: are all relays of the same version?";
            self.log.tell(&Event::ClusterFailed { detail });
        }
    }

    /// Queues a frame of another relay for its addressee, if a frame of this one could be.
    fn deliver_far(&mut self, cx: &mut Context, to: &str, version2: bool, frame: &[u8]) -> Outcome {
        let Some((id, user)) = self.addressee(cx, to) else {
            return Outcome::Refused(ErrorCode::UnknownUser);
        };
        if user.is_version2() != version2 {
            return Outcome::Refused(ErrorCode::NotV2);
        }
        if frame.len() > self.config.max_frame + 1 {
            return Outcome::Refused(ErrorCode::FrameTooLarge);
        }
        let is_too_long = self.config.is_too_long(frame.len(), cx.output_in_all());
        if self.is_full(cx, id) || is_too_long {
            return Outcome::Refused(ErrorCode::QueueFull);
        }
        let prekey = user.prekey.as_ref().map(|prekey| prekey.id);
        let bytes = self.queue(cx, id, &[frame]);
        self.log.tell(&Event::FrameCame { to, bytes });
        Outcome::Relayed(prekey)
    }

    /// A letter for a user here was stored by another relay.
    fn letter_arrived(&mut self, data: &[u8]) {
        let text = std::str::from_utf8(data).ok().and_then(|text| text.split_once(' '));
        let Some((kind, name)) = text else { return };
        let kind = if kind == LetterKind::Receipt.number().to_string() {
            LetterKind::Receipt
        } else {
            LetterKind::Text
        };
        if let Some(holder) = self.directory.holder(name, &self.peers) {
            self.letters.takers.wake(holder, kind);
        }
    }
}

/// What the sender of a frame is told of a refusal elsewhere.
pub(super) const fn detail(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::QueueFull => "too much waits for the addressee",
        ErrorCode::NotV2 => "the addressee is of another version",
        ErrorCode::FrameTooLarge => "the addressee's relay takes shorter frames only",
        _ => "no such user is connected",
    }
}

impl Relay {
    fn tell_senders(&mut self, cx: &mut Context, settled: Vec<super::outgoing::Settled>) {
        for (frame, outcome) in settled {
            if self.peers.user(frame.from).is_none() {
                continue; // it has left
            }
            let (id, to) = (frame.id.as_deref(), &*frame.to);
            match (outcome, id) {
                (Outcome::Relayed(_), None) => {}
                (Outcome::Relayed(prekey), Some(id)) => {
                    let reply = Reply::Relayed { id: id.into(), to: to.into(), prekey };
                    self.answer(cx, frame.from, &reply.encode());
                }
                (Outcome::Refused(code), id) => {
                    let refusal = Refusal::new(code, detail(code)).about(id, Some(to), None);
                    self.refuse(cx, frame.from, &refusal);
                }
            }
        }
    }
}
