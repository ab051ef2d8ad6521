//! Frames between relays: to users who are elsewhere, and from there to users here.
//!
//! The relay of the sender checks nothing of the addressee but where it is and its version; all
//! else is decided where its queue is, as for a frame of that relay's own users, and told back. So
//! each frame with an `id` is answered once, and `relayed` means what it means on one relay.

use super::parcel::{Outcome, Row, Run, Runs, rows};
use super::{Asked, Cluster, Relay};
use crate::cluster::Incarnation;
use crate::cluster::frames::{self, ForwardAnswer, Parcel, ParcelKind, Stream};
use crate::reactor::{Context, Token};
use crate::relay::actions::unknown_user;
use crate::relay::event::{Event, Level};
use crate::relay::fault::Fault;
use crate::wire::{
    CommonFrame, ErrorCode, Forward, ForwardKind, LetterKind, Refusal, Reply, Request,
};

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

    /// Gathers the common frames at the front of `bytes` for the relays of their addressees, as
    /// [`forward_batch`](Self::forward_batch) forwards those for users who are here: what is to be
    /// refused, or to be sought, ends the batch. Returns how many bytes are done with.
    pub(in crate::relay) fn forward_batch_far(
        &mut self,
        cx: &mut Context,
        from: Token,
        bytes: &[u8],
    ) -> usize {
        if !self.cluster.as_ref().is_some_and(|cluster| cluster.reaches_others(cx)) {
            return 0;
        }
        let Some(sender) = self.peers.user(from) else { return 0 };
        let (name, version2) = (sender.name.clone(), sender.is_version2());
        let (json, is_told) = (name.json_bytes(), self.log.tells(Level::Verbose));
        let (mut common, mut last) = (CommonFrame::default(), None);
        let (mut consumed, mut forwarded) = (0, 0);
        let max_frame = self.config.max_frame;
        while self.frames.scan(&mut common, &bytes[consumed..], max_frame, &json) {
            let to = common.to_text();
            let at = match last {
                Some((name, at)) if name == to => at,
                _ if self.addressee(cx, to).is_some() => break,
                _ => {
                    let cluster = self.cluster.as_ref();
                    let Some(at) = cluster.and_then(|it| it.way(to, version2)) else { break };
                    last = Some((to, at));
                    at
                }
            };
            let Some(cluster) = &mut self.cluster else { break };
            if common.version2 != version2 || cluster.outgoing.is_full(from) {
                break;
            }
            let (id, bytes) = (common.id().map(Into::into), common.sender_bytes());
            let parts = bytes.parts(&json);
            cluster.outgoing.push(at, (from, id), (to, version2), &parts, cx.now());
            consumed += common.end;
            forwarded += 1;
            if version2 && common.kind == ForwardKind::SendKey {
                self.note_written(name.as_str(), to);
            }
            if is_told {
                let bytes = parts.iter().map(|part| part.len()).sum();
                let (action, from) = (common.kind, name.as_str());
                self.log.tell(&Event::Forwarded { action, from, to, bytes });
            }
        }
        self.traffic.messages += forwarded;
        self.counters.frames_left += forwarded;
        consumed
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
            let call = frames::forward(own, at, ParcelKind::Answers, answers.into_bytes());
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
                let Some(rows) = rows(&parcel.data) else {
                    return self.tell_foreign(Stream::Inbox, &format!("0-{}", parcel.number));
                };
                for row in rows {
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
        let mut runs = Runs::new(&parcel.data);
        let mut answers = self.cluster.as_mut().and_then(|it| it.answers.remove(&parcel.from));
        let draft = answers.get_or_insert_default();
        for run in runs.by_ref() {
            self.counters.frames_came += u64::from(run.count());
            if let Some(outcome) = self.deliver_run(cx, &run) {
                draft.push(Row { first: run.first, count: run.count(), outcome });
                continue;
            }
            for (first, frame) in run.frames() {
                let outcome = self.deliver_far(cx, &run, frame);
                draft.push(Row { first, count: 1, outcome });
            }
        }
        if let (Some(cluster), Some(answers)) = (&mut self.cluster, answers) {
            cluster.answers.insert(parcel.from, answers);
        }
        if runs.has_rest() {
            self.tell_foreign(Stream::Inbox, &format!("0-{}", parcel.number));
        }
    }

    /// Queues a run of frames of another relay for its addressee, if there is room for all of them
    /// together; otherwise each is to be looked at.
    fn deliver_run(&mut self, cx: &mut Context, run: &Run) -> Option<Outcome> {
        let (id, user) = self.addressee(cx, run.to)?;
        let prekey = user.prekey.as_ref().map(|prekey| prekey.id);
        let has_room = cx.queued(id) + run.bytes.len() <= self.soft_limit(cx, id);
        if user.is_version2() != run.version2
            || !has_room
            || self.is_scarce(cx)
            || run.longest() > self.config.max_frame + 1
        {
            return None;
        }
        self.queue(cx, id, &[run.bytes]);
        if self.log.tells(Level::Verbose) {
            for (_, frame) in run.frames() {
                self.log.tell(&Event::FrameCame { to: run.to, bytes: frame.len() });
            }
        }
        Some(Outcome::Relayed(prekey))
    }

    /// Queues a frame of another relay for its addressee, if a frame of this one could be.
    fn deliver_far(&mut self, cx: &mut Context, run: &Run, frame: &[u8]) -> Outcome {
        let Some((id, user)) = self.addressee(cx, run.to) else {
            return Outcome::Refused(ErrorCode::UnknownUser);
        };
        if user.is_version2() != run.version2 {
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
        self.log.tell(&Event::FrameCame { to: run.to, bytes });
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
        for (frames, outcome) in settled {
            if self.peers.user(frames.from).is_none() {
                continue; // it has left
            }
            let (id, to) = (frames.id.as_deref(), &*frames.to);
            match (outcome, id) {
                (Outcome::Relayed(_), None) => {}
                (Outcome::Relayed(prekey), Some(id)) => {
                    let reply = Reply::Relayed { id: id.into(), to: to.into(), prekey };
                    self.answer(cx, frames.from, &reply.encode());
                }
                (Outcome::Refused(code), id) => {
                    let refusal = Refusal::new(code, detail(code)).about(id, Some(to), None);
                    for _ in 0..frames.count {
                        self.refuse(cx, frames.from, &refusal);
                    }
                }
            }
        }
    }
}

impl Cluster {
    /// Whether frames of this connection were not answered yet.
    pub(in crate::relay) fn owes(&self, from: Token) -> bool {
        self.outgoing.has(from) || self.seeking.has_of(from)
    }

    /// The relay of the user `name`, if it is another one, and frames of that version may go there
    /// at once.
    fn way(&self, name: &str, version2: bool) -> Option<Incarnation> {
        let place = self.members.find(name)?;
        let may_go = place.incarnation != self.own && place.version2 == version2;
        (may_go && !self.seeking.has(name)).then_some(place.incarnation)
    }
}
