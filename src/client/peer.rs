//! One peer: who it is, and the two halves of the conversation with it.
//!
//! What concerns both halves is here: a key that the relay hands out lets frames that waited for it
//! through and a session be opened; a key that is refused stops both.

use super::clocks::earliest;
use super::contact::{Contact, Unfit};
use super::desk::Desk;
use super::lookup::Lookup;
use super::receiving::{Heard, Receiving, read_offer};
use super::sending::Sending;
use super::waiting::Waiting;
use super::{Caution, Event, Failure, Progress};
use crate::crypto::{Mid, PublicKey};
use crate::reactor::Time;
use crate::wire::{ErrorCode, ForwardKind, Prekey};

/// One peer.
pub(super) struct Peer {
    pub(super) contact: Contact,
    pub(super) sending: Sending,
    receiving: Receiving,
    waiting: Waiting,
    lookup: Lookup,
    /// The user waits for what the relay says of its key.
    user_asks: bool,
    /// When it last had something to do with us.
    active: Time,
}

impl Peer {
    pub(super) fn new(name: &str) -> Self {
        Self {
            contact: Contact::new(name.to_owned()),
            sending: Sending::new(),
            receiving: Receiving::new(),
            waiting: Waiting::default(),
            lookup: Lookup::default(),
            user_asks: false,
            active: Time::default(),
        }
    }

    /// It has something to do with us now.
    pub(super) fn touch(&mut self, now: Time) {
        self.active = now;
    }

    // --- What the user does ---

    /// Takes a text for the peer.
    pub(super) fn say(&mut self, desk: &mut Desk, id: String, text: &str) {
        self.touch(desk.now);
        desk.wrote_to(&self.contact.name);
        self.sending.say(desk, id, text);
        if self.sending.is_resting() {
            self.lookup.hint(desk.now); // whoever writes again wants it tried again
        }
    }

    /// A message of the peer was shown.
    pub(super) fn shown(&mut self, mid: Mid) {
        self.receiving.shown(&mid);
        self.sending.confirm(mid);
    }

    // --- What the peer sends ---

    /// A `send_key` or `message` of the peer.
    pub(super) fn frame(&mut self, desk: &mut Desk, kind: ForwardKind, body: &str) {
        self.touch(desk.now);
        if !self.waiting.is_empty() {
            return self.wait(desk, kind, body);
        }
        match kind {
            ForwardKind::SendKey => self.offer(desk, body),
            ForwardKind::Message => self.message(desk, body),
        }
    }

    fn offer(&mut self, desk: &mut Desk, body: &str) {
        let Some(offer) = read_offer(desk, &self.contact.name, body) else { return };
        if self.contact.key().is_none() {
            self.lookup.hint(desk.now);
            return self.wait(desk, ForwardKind::SendKey, body);
        }
        let is_stranger = self.is_stranger(desk);
        match self.receiving.offer(desk, &mut self.contact, is_stranger, offer) {
            // It may have been made because the peer started anew, and then it has another prekey
            // and knows nothing of our session.
            Ok(()) if self.sending.cares() => self.lookup.need_for_peer(desk.now),
            // Another key: perhaps the relay has it too, and the user has to be told.
            Err(Caution::WrongSender) => self.lookup.hint(desk.now),
            Ok(()) | Err(_) => {}
        }
    }

    fn wait(&mut self, desk: &mut Desk, kind: ForwardKind, body: &str) {
        let is_stranger = self.is_stranger(desk);
        self.waiting.push(desk, &self.contact.name, is_stranger, (kind, body));
    }

    fn message(&mut self, desk: &mut Desk, body: &str) {
        match self.receiving.message(desk, &self.contact, body) {
            Some(Heard::Receipt(mids)) => {
                let did_our_work = self.sending.confirmed(desk, &self.contact.name, &mids);
                if did_our_work {
                    self.receiving.refill();
                    self.lookup.refill();
                }
            }
            Some(Heard::Again(mid)) => self.sending.confirm_again(mid, desk.now),
            None => {}
        }
    }

    // --- What the relay says ---

    /// The relay was asked for the peer's key.
    pub(super) fn is_asked_for(&self) -> bool {
        self.lookup.is_asked()
    }

    /// The relay hands out the key that was asked for, and the prekey of a version-2 user.
    pub(super) fn pubkey(&mut self, desk: &mut Desk, pem: &str, prekey: Option<&Prekey>) {
        self.lookup.answered();
        self.take_key(desk, pem, prekey);
        self.answer_user(desk);
    }

    fn take_key(&mut self, desk: &mut Desk, pem: &str, prekey: Option<&Prekey>) {
        let name = &self.contact.name;
        let Ok(key) = PublicKey::from_pem(pem) else {
            let detail = format!("what the relay hands out for {name} is no key that is accepted");
            let (failure, caution) = (Failure::BadKey, Caution::BadKey);
            return self.stop(desk, &Unfit { failure, caution, detail });
        };
        if let Err(unfit) = self.contact.learn(desk, key) {
            self.receiving.close();
            return self.stop(desk, &unfit);
        }
        self.touch(desk.now);
        for (kind, body) in self.waiting.take(desk) {
            self.frame(desk, kind, &body);
        }
        self.lookup.answered(); // also whatever those frames would have asked
        match self.sending.found(desk, &mut self.contact, prekey) {
            Err(unfit) if unfit.is_of_time() => {
                desk.warn(&self.contact.name, unfit.caution, unfit.detail.as_str());
                self.sending.wait_for_prekey(desk.now);
            }
            Err(unfit) => self.stop(desk, &unfit),
            Ok(()) => {}
        }
    }

    /// The user asks for the peer's key: whether it is another than the pinned one.
    pub(super) fn ask_for_user(&mut self, now: Time) {
        self.touch(now);
        self.user_asks = true;
    }

    /// What the user has asked is answered.
    fn answer_user(&mut self, desk: &mut Desk) {
        if std::mem::take(&mut self.user_asks) {
            let name = self.contact.name.clone();
            desk.tell(Event::Progress(Progress::KeyAnswered { name }));
        }
    }

    /// The relay answers our question for the peer's key with an error.
    pub(super) fn lookup_refused(
        &mut self,
        desk: &mut Desk,
        code: Option<ErrorCode>,
        detail: &str,
    ) {
        if !self.lookup.is_asked() {
            return;
        }
        self.lookup.answered();
        let name = &self.contact.name;
        self.waiting.drop_all(desk, name);
        match code {
            Some(ErrorCode::UnknownUser) => self.sending.not_found(desk, name),
            Some(code) if is_final(code) => {
                self.sending.fail(desk, name, Failure::Refused, detail);
            }
            // Too much was asked, or a reason of which a newer relay knows: the same later.
            _ => self.sending.rest(desk.now),
        }
        self.answer_user(desk);
    }

    /// A request stands in the peer's queue.
    pub(super) fn relayed(&mut self, desk: &mut Desk, request: u64, prekey_id: Option<u32>) {
        if !self.sending.relayed(desk, &self.contact.name, request, prekey_id) {
            return;
        }
        if self.sending.unconfirmed() > 0 {
            // Another process has got it, and cannot read it: it is to be sealed again at once.
            // Each answer to a request of ours makes us ask once at most.
            self.lookup.need(desk.now);
        } else {
            self.lookup.hint(desk.now);
        }
    }

    /// A request was refused; one without a number offered a session.
    pub(super) fn refused(
        &mut self,
        desk: &mut Desk,
        request: Option<u64>,
        code: Option<ErrorCode>,
        detail: &str,
    ) {
        self.sending.refused(desk, &self.contact.name, request, code, detail);
    }

    /// The peer connected: it may be another process, with another prekey.
    pub(super) fn joined(&mut self, now: Time) {
        let was_waited_for = self.sending.is_absent() && self.sending.wants();
        if was_waited_for || self.sending.unconfirmed() > 0 {
            self.lookup.need_for_peer(now);
        } else if self.sending.cares() {
            self.lookup.hint(now);
        }
    }

    /// The connection to the relay is lost.
    pub(super) fn disconnected(&mut self, desk: &mut Desk) {
        self.lookup.disconnected();
        self.waiting.take(desk);
        self.sending.disconnected();
    }

    /// Nothing goes out for a key like this, and the user is told.
    fn stop(&mut self, desk: &mut Desk, unfit: &Unfit) {
        let name = &self.contact.name;
        desk.warn(name, unfit.caution, unfit.detail.as_str());
        self.waiting.take(desk);
        self.sending.fail(desk, name, unfit.failure, &unfit.detail);
    }

    // --- What time and the trust file bring ---

    /// Does what is due, and, while `is_online`, sends what may be sent.
    pub(super) fn pump(&mut self, desk: &mut Desk, is_online: bool) {
        self.receiving.expire(desk.now);
        self.waiting.expire(desk, &self.contact.name);
        let is_idle = self.contact.key().is_none() && self.waiting.is_empty();
        if self.user_asks {
            self.lookup.need(desk.now);
        } else if is_idle && !self.sending.cares() && self.is_stranger(desk) {
            self.lookup.drop_wish(); // others are in line
        }
        if is_online {
            let asks = self.user_asks || !self.is_stranger(desk);
            self.sending.pump(desk, &self.contact.name, &mut self.lookup, asks);
        }
        // A key for which nothing has spoken yet, and nothing will: a stranger's.
        if self.contact.trust(desk).is_none() && self.waiting.is_empty() && !self.sending.cares() {
            self.contact.forget();
        }
    }

    /// A stranger for whom it is time to ask, if the bucket of all strangers allows it.
    pub(super) fn is_in_line(&self, desk: &Desk) -> bool {
        self.lookup.is_wanted(desk.now) && self.is_stranger(desk)
    }

    /// It is the stranger's turn: the relay is asked for its key.
    pub(super) fn ask(&mut self, desk: &mut Desk) {
        self.lookup.ask(desk, &self.contact.name);
    }

    /// We never wrote to it, nor accepted or compared its key.
    pub(super) fn is_stranger(&self, desk: &Desk) -> bool {
        self.sending.unconfirmed() == 0 && !desk.knows(&self.contact.name)
    }

    /// Whether `body` may have to wait among the frames of strangers.
    pub(super) fn may_wait(&self, desk: &Desk, body: &str) -> bool {
        let is_open = self.contact.key().is_some() && self.waiting.is_empty();
        !is_open && self.is_stranger(desk) && self.waiting.has_room_for(body)
    }

    /// A stranger's frames that wait make room for others'. Returns whether there were any.
    pub(super) fn gives_way(&mut self, desk: &mut Desk) -> bool {
        let gives = self.waiting.is_of_stranger();
        if gives {
            self.waiting.drop_all(desk, &self.contact.name);
        }
        gives
    }

    /// When [`pump`](Self::pump) has something to do. That it is time to ask for a stranger's key
    /// is seen to elsewhere.
    pub(super) fn due(&self, desk: &Desk, is_online: bool) -> Option<Time> {
        if self.is_forgettable() {
            return self.lookup.kept_until();
        }
        let is_in_line = self.is_in_line(desk);
        let lookup = self.lookup.due().filter(|_| !is_in_line);
        let online = [self.sending.due(), lookup].map(|due| due.filter(|_| is_online));
        earliest(online.into_iter().chain([self.receiving.due(), self.waiting.due()]))
    }

    /// The trust file changed: a key that is not pinned any more opens nothing and is sent nothing.
    pub(super) fn review(&mut self, desk: &mut Desk) {
        if !self.contact.review(desk) {
            self.receiving.close();
            self.sending.close();
            let is_pinned = desk.peers.file().find(&self.contact.name).is_some();
            if desk.has_forgotten && !is_pinned && self.is_stranger(desk) {
                self.receiving.forget_wholly();
                self.sending.forget_wholly();
            }
        }
    }

    // --- What it costs ---

    /// Holds keys, sessions or frames: more than the marks that are kept as long as we run.
    pub(super) fn is_awake(&self) -> bool {
        self.contact.key().is_some() || !self.waiting.is_empty() || self.sending.cares()
    }

    /// Nothing would be lost with it.
    pub(super) fn is_blank(&self, now: Time) -> bool {
        self.is_forgettable() && self.lookup.kept_until().is_none_or(|until| until <= now)
    }

    /// Nothing would be lost with it, once the next hint may make us ask.
    fn is_forgettable(&self) -> bool {
        let has_marks = self.sending.has_marks() || self.receiving.has_mark();
        !self.is_awake() && !has_marks && self.lookup.due().is_none()
    }

    /// Since when it has been idle, where it may be [forgotten](Self::forget).
    pub(super) fn idle_since(&self) -> Option<Time> {
        let is_busy = self.sending.unconfirmed() > 0 || !self.waiting.is_empty();
        (self.is_awake() && !is_busy).then_some(self.active)
    }

    /// Forgets keys and sessions. Its marks stay, or its old sessions could be replayed; and the
    /// ids of its last texts, or one whose receipt was lost would be shown again.
    pub(super) fn forget(&mut self, desk: &Desk) {
        let is_stranger = self.is_stranger(desk);
        self.contact.forget();
        self.sending.forget();
        self.receiving.forget(is_stranger);
        self.lookup.answered();
    }
}

/// The relay will not answer otherwise when it is asked again.
const fn is_final(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::BadFrame
            | ErrorCode::FrameTooLarge
            | ErrorCode::UnknownAction
            | ErrorCode::NotRegistered
            | ErrorCode::BadName
            | ErrorCode::NotV2
    )
}
