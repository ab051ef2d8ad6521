//! One peer: its key, and the two halves of the conversation with it.
//!
//! What concerns both halves is here: when the relay hands out a key, frames that waited for it are
//! read and a session can be opened; a key that is refused stops both.

use std::collections::BTreeMap;

use super::clocks::earliest;
use super::contact::{Contact, Unfit};
use super::core::{ClientCore, Verdict};
use super::letter_book::WaitingLetter;
use super::lookup::Lookup;
use super::receiving::{Heard, Receiving, read_offer};
use super::sending::{Absence, Sending};
use super::waiting::WaitingFrames;
use super::{Caution, Event, Failure, Loss, Progress};

pub(super) use super::letter_reading::Reading;
use crate::crypto::{Mid, PublicKey};
use crate::reactor::Time;
use crate::tokens::Bucket;
use crate::wire::{ErrorCode, ForwardKind, LetterKey, Prekey};

/// One peer.
pub(super) struct Peer {
    pub(super) contact: Contact,
    pub(super) sending: Sending,
    pub(super) receiving: Receiving,
    waiting: WaitingFrames,
    pub(super) lookup: Lookup,
    /// The letters that it may make us open.
    pub(super) letter_bucket: Bucket,
    /// Letters of it wait for its key.
    pub(super) has_letters: bool,
    /// The relay has said that there is no such user, and letters wait to learn that.
    pub(super) is_unknown: bool,
    /// Letters that came again, and when they may be confirmed once more.
    pub(super) confirms_again: BTreeMap<Mid, Time>,
    /// The user has asked for its key, and waits for the answer.
    user_asks: bool,
    /// The relay is asked whether the name is still that of the peer to whom we left letters.
    checks_letters: bool,
    /// When we last had something to do with it.
    active: Time,
}

/// What the relay hands out with a peer's key.
#[derive(Clone, Copy, Default)]
pub(super) struct KeyAnswer<'a> {
    /// Of a user of version 2 who is connected.
    pub(super) prekey: Option<&'a Prekey>,
    /// A user of version 2 who is not connected.
    pub(super) is_away: bool,
    /// For letters.
    pub(super) letter_key: Option<&'a LetterKey>,
}

impl Peer {
    pub(super) fn new(name: &str) -> Self {
        Self {
            contact: Contact::new(name.to_owned()),
            sending: Sending::new(),
            receiving: Receiving::new(),
            waiting: WaitingFrames::default(),
            lookup: Lookup::default(),
            letter_bucket: Bucket::default(),
            has_letters: false,
            is_unknown: false,
            confirms_again: BTreeMap::new(),
            user_asks: false,
            checks_letters: false,
            active: Time::default(),
        }
    }

    /// Notes that we have something to do with it now.
    pub(super) fn touch(&mut self, now: Time) {
        self.active = now;
    }

    // --- What the user does ---

    /// Takes a text for the peer.
    pub(super) fn say(&mut self, core: &mut ClientCore, id: String, text: &str) {
        self.touch(core.now);
        core.wrote_to(&self.contact.name);
        self.sending.say(core, id, text);
        if self.sending.is_resting() {
            self.lookup.hint(core.now); // the user writes again, so try again
        }
    }

    /// A message of the peer was shown.
    pub(super) fn shown(&mut self, mid: Mid) {
        self.receiving.shown(&mid);
        self.sending.confirm(mid);
    }

    // --- What the peer sends ---

    /// A `send_key` or `message` of the peer.
    pub(super) fn frame(&mut self, core: &mut ClientCore, kind: ForwardKind, body: &str) {
        self.touch(core.now);
        if !self.waiting.is_empty() {
            return self.wait(core, kind, body);
        }
        match kind {
            ForwardKind::SendKey => self.offer(core, body),
            ForwardKind::Message => self.message(core, body),
        }
    }

    fn offer(&mut self, core: &mut ClientCore, body: &str) {
        let Some(offer) = read_offer(core, &self.contact.name, body) else { return };
        if self.contact.key().is_none() {
            self.lookup.hint(core.now);
            return self.wait(core, ForwardKind::SendKey, body);
        }
        let is_stranger = self.is_stranger(core);
        match self.receiving.offer(core, &mut self.contact, is_stranger, offer) {
            // The peer may have opened it because it started anew; then it has another prekey and
            // does not know our session.
            Ok(()) if self.sending.cares() => self.lookup.need_for_peer(core.now),
            // Under another key: if the relay has that key too, the user has to be told.
            Err(Caution::WrongSender) => self.lookup.hint(core.now),
            Ok(()) | Err(_) => {}
        }
    }

    fn wait(&mut self, core: &mut ClientCore, kind: ForwardKind, body: &str) {
        let is_stranger = self.is_stranger(core);
        self.waiting.push(core, &self.contact.name, is_stranger, (kind, body));
    }

    fn message(&mut self, core: &mut ClientCore, body: &str) {
        match self.receiving.message(core, &self.contact, body) {
            Some(Heard::Receipt(mids)) => {
                self.confirmed(core, &mids);
                self.sending.is_absent = false;
            }
            Some(Heard::Again(mid)) => self.sending.confirm_again(mid, core.now),
            None => {}
        }
    }

    /// The peer has confirmed texts, in a session or in a letter.
    pub(super) fn confirmed(&mut self, core: &mut ClientCore, mids: &[Mid]) {
        let did_our_work = self.sending.confirmed(core, &self.contact.name, mids);
        if did_our_work {
            self.receiving.refill();
            self.lookup.refill();
        }
    }

    // --- What the relay says ---

    /// The relay was asked for the peer's key.
    pub(super) fn is_asked_for(&self) -> bool {
        self.lookup.is_asked()
    }

    /// The relay hands out the key that was asked for, and what comes with it.
    pub(super) fn pubkey(&mut self, core: &mut ClientCore, pem: &str, answer: &KeyAnswer) {
        self.lookup.answered();
        if std::mem::take(&mut self.checks_letters) {
            let fp = PublicKey::from_pem(pem).map(|key| key.fingerprint());
            if fp.is_ok_and(|fp| matches!(core.judge(&self.contact.name, fp), Verdict::Changed(_)))
            {
                self.letters_are_lost(core, Loss::KeyChanged);
            }
            let is_for_more = self.user_asks || self.has_letters || self.sending.cares();
            if !is_for_more && self.waiting.is_empty() {
                return;
            }
        }
        self.take_key(core, pem, answer);
        self.answer_user(core);
    }

    /// Our letters may have been lost: asks the relay whose the name is now.
    pub(super) fn check_letters(&mut self, now: Time) {
        self.checks_letters = true;
        self.lookup.hint(now);
    }

    /// The name is not that of the peer to whom we left letters any more.
    fn letters_are_lost(&mut self, core: &mut ClientCore, code: Loss) {
        for WaitingLetter { to, mid, id, stored } in core.book.give_up_to(&self.contact.name) {
            self.sending.texts.take(&mid);
            core.tell(Event::Unconfirmed { id, to, stored_at: stored, code });
        }
    }

    fn take_key(&mut self, core: &mut ClientCore, pem: &str, answer: &KeyAnswer) {
        let name = &self.contact.name;
        let Ok(key) = PublicKey::from_pem(pem) else {
            let detail = format!("the relay hands out no acceptable key for {name}");
            let (failure, caution) = (Failure::BadKey, Caution::BadKey);
            return self.stop(core, &Unfit { failure, caution, detail });
        };
        if let Err(unfit) = self.contact.learn(core, key) {
            self.receiving.close();
            return self.stop(core, &unfit);
        }
        self.touch(core.now);
        for (kind, body) in self.waiting.take(core) {
            self.frame(core, kind, &body);
        }
        self.lookup.answered(); // also what those frames would have asked
        match self.sending.found(core, &mut self.contact, answer) {
            Err(unfit) if unfit.is_of_time() => {
                core.warn(&self.contact.name, unfit.caution, unfit.detail.as_str());
                self.sending.wait_for_prekey(core.now);
            }
            Err(unfit) => self.stop(core, &unfit),
            Ok(()) => {}
        }
    }

    /// The user asks for the peer's key: whether it is another than the pinned one.
    pub(super) fn ask_for_user(&mut self, now: Time) {
        self.touch(now);
        self.user_asks = true;
    }

    /// Tells the user that its question about the key is answered.
    fn answer_user(&mut self, core: &mut ClientCore) {
        if std::mem::take(&mut self.user_asks) {
            let name = self.contact.name.clone();
            core.tell(Event::Progress(Progress::KeyAnswered { name }));
        }
    }

    /// The relay answers our question for the peer's key with an error.
    pub(super) fn lookup_refused(
        &mut self,
        core: &mut ClientCore,
        code: Option<ErrorCode>,
        detail: &str,
    ) {
        if !self.lookup.is_asked() {
            return;
        }
        self.lookup.answered();
        let name = &self.contact.name;
        self.waiting.drop_all(core, name);
        match code {
            Some(ErrorCode::UnknownUser) => {
                if std::mem::take(&mut self.checks_letters) {
                    self.letters_are_lost(core, Loss::UnknownUser);
                }
                let name = &self.contact.name;
                self.is_unknown = self.has_letters;
                self.sending.not_found(core, name, Absence::Nobody);
            }
            Some(code) if is_final(code) => {
                self.sending.fail(core, name, Failure::Refused, detail);
            }
            // Too much was asked, or a reason that only a newer relay knows: ask again later.
            _ => self.sending.rest(core.now),
        }
        self.answer_user(core);
    }

    /// The relay has queued a request of ours for the peer.
    pub(super) fn relayed(&mut self, core: &mut ClientCore, request: u64, prekey_id: Option<u32>) {
        if !self.sending.relayed(core, &self.contact.name, request, prekey_id) {
            return;
        }
        if self.sending.unconfirmed() > 0 {
            // Another process has received it and cannot read it, so it has to be sealed again at
            // once. Each answer to a request of ours makes us ask once at most.
            self.lookup.need(core.now);
        } else {
            self.lookup.hint(core.now);
        }
    }

    /// The relay has stored a letter of ours.
    pub(super) fn stored(&mut self, core: &mut ClientCore, mid: &Mid) {
        self.sending.stored(core, &self.contact.name, mid);
    }

    /// The relay does not store a letter of ours.
    pub(super) fn letter_refused(
        &mut self,
        core: &mut ClientCore,
        mid: &Mid,
        code: Option<ErrorCode>,
        detail: &str,
    ) {
        self.sending.letter_refused(core, &self.contact.name, mid, code, detail);
    }

    /// A request was refused; one without a number offered a session.
    pub(super) fn refused(
        &mut self,
        core: &mut ClientCore,
        request: Option<u64>,
        code: Option<ErrorCode>,
        detail: &str,
    ) {
        self.sending.refused(core, &self.contact.name, request, code, detail);
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
    pub(super) fn disconnected(&mut self, core: &mut ClientCore) {
        self.lookup.disconnected();
        self.waiting.take(core);
        (self.has_letters, self.is_unknown) = (false, false); // they come again
        self.checks_letters = false;
        self.sending.disconnected();
    }

    /// Nothing is sent under such a key, and the user is told.
    fn stop(&mut self, core: &mut ClientCore, unfit: &Unfit) {
        let name = &self.contact.name;
        core.warn(name, unfit.caution, unfit.detail.as_str());
        self.waiting.take(core);
        self.sending.fail(core, name, unfit.failure, &unfit.detail);
    }

    // --- What time and the trust file bring ---

    /// Does what is due, and, while `is_online`, sends what may be sent.
    pub(super) fn pump(&mut self, core: &mut ClientCore, is_online: bool) {
        self.receiving.expire(core.now);
        self.waiting.expire(core, &self.contact.name);
        let is_idle = self.contact.key().is_none() && self.waiting.is_empty() && !self.has_letters;
        if self.user_asks {
            self.lookup.need(core.now);
        } else if is_idle && !self.sending.cares() && self.is_stranger(core) {
            self.lookup.drop_wish(); // others wait for their turn
        }
        if is_online {
            let asks = self.user_asks || !self.is_stranger(core);
            self.sending.pump(core, &self.contact.name, &mut self.lookup, asks);
        }
        // A key of a stranger that no signature has confirmed, and nothing is left that could.
        let is_of_use = self.has_letters || !self.waiting.is_empty() || self.sending.cares();
        if self.contact.trust(core).is_none() && !is_of_use {
            self.contact.forget();
        }
    }

    /// Whether this is a stranger whose key may be asked for now, if the bucket of all strangers
    /// allows it.
    pub(super) fn is_in_line(&self, core: &ClientCore) -> bool {
        self.lookup.is_wanted(core.now) && self.is_stranger(core)
    }

    /// It is the stranger's turn: the relay is asked for its key.
    pub(super) fn ask(&mut self, core: &mut ClientCore) {
        self.lookup.ask(core, &self.contact.name);
    }

    /// Whether we never wrote to it, and never accepted or compared its key.
    pub(super) fn is_stranger(&self, core: &ClientCore) -> bool {
        self.sending.unconfirmed() == 0 && !core.knows(&self.contact.name)
    }

    /// Whether `body` may have to wait among the frames of strangers.
    pub(super) fn may_wait(&self, core: &ClientCore, body: &str) -> bool {
        let is_open = self.contact.key().is_some() && self.waiting.is_empty();
        !is_open && self.is_stranger(core) && self.waiting.has_room_for(body)
    }

    /// Drops the waiting frames of a stranger, to make room for others'. Returns whether there were
    /// any.
    pub(super) fn gives_way(&mut self, core: &mut ClientCore) -> bool {
        let gives = self.waiting.is_of_stranger();
        if gives {
            self.waiting.drop_all(core, &self.contact.name);
        }
        gives
    }

    /// When [`pump`](Self::pump) has something to do. Questions for the keys of strangers are not
    /// counted: `peers.rs` asks them.
    pub(super) fn due(&self, core: &ClientCore, is_online: bool) -> Option<Time> {
        if self.is_forgettable() {
            return self.lookup.kept_until();
        }
        let is_in_line = self.is_in_line(core);
        let lookup = self.lookup.due().filter(|_| !is_in_line);
        let online = [self.sending.due(), lookup].map(|due| due.filter(|_| is_online));
        earliest(online.into_iter().chain([self.receiving.due(), self.waiting.due()]))
    }

    /// The trust file changed: a key that is not pinned any more opens nothing and is sent nothing.
    pub(super) fn review(&mut self, core: &mut ClientCore) {
        if !self.contact.review(core) {
            self.receiving.close();
            self.sending.close();
            let is_pinned = core.peers.file().find(&self.contact.name).is_some();
            if core.has_forgotten && !is_pinned && self.is_stranger(core) {
                self.receiving.forget_wholly();
                self.sending.forget_wholly();
            }
        }
    }

    // --- What it costs ---

    /// Whether it holds keys, sessions or frames: more than the few numbers that are kept as long
    /// as we run.
    pub(super) fn is_awake(&self) -> bool {
        self.contact.key().is_some() || !self.waiting.is_empty() || self.sending.cares()
    }

    /// Nothing would be lost with it.
    pub(super) fn is_blank(&self, now: Time) -> bool {
        self.is_forgettable() && self.lookup.kept_until().is_none_or(|until| until <= now)
    }

    /// Whether nothing would be lost with it once the next hint may make us ask.
    fn is_forgettable(&self) -> bool {
        let has_marks = self.sending.has_marks() || self.receiving.has_mark();
        !self.is_awake() && !has_marks && self.lookup.due().is_none()
    }

    /// Since when it has been idle; none where it may not be [forgotten](Self::forget).
    pub(super) fn idle_since(&self) -> Option<Time> {
        let has_work = self.sending.unconfirmed() > 0 || self.has_letters;
        let is_busy = has_work || !self.waiting.is_empty();
        (self.is_awake() && !is_busy).then_some(self.active)
    }

    /// Forgets keys and sessions. The times of its sessions stay, so that old ones cannot be
    /// replayed, and the ids of its last texts, so that one whose receipt was lost is not shown
    /// again.
    pub(super) fn forget(&mut self, core: &ClientCore) {
        let is_stranger = self.is_stranger(core);
        self.contact.forget();
        self.sending.forget();
        self.receiving.forget(is_stranger);
        self.lookup.answered();
    }
}

/// Whether the relay would give the same answer if it were asked again.
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
