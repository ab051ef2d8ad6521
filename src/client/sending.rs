//! What we send to one peer: texts until they are confirmed, and receipts.
//!
//! ```text
//!                                      key and prekey hold
//!    say, shown ──▶ no session ───────────────────────────────▶ session ──▶ sealed: texts within
//!                 (get_pubkey) ◀────────────────────────────────  │  ▲      the window, receipts
//!                     │  ▲       not confirmed in time, lost,     │  │
//!                     │  │       worn out, a newer prekey         ▼  │
//!     unknown, no     ▼  │ a pause, or a hint                  pauses (queue_full)
//!     answer       rests ┘ that the peer is back
//! ```
//!
//! A text is sealed again in each new session, in order and with its `mid`, by which the peer knows
//! what it has shown already. Receipts are in `confirming.rs`.
//!
//! Texts for a peer that is away and has a letterbox are letters (`posting.rs`). Without one,
//! texts for a peer that was never connected wait only if the user asked for that; otherwise they
//! fail at once, because the name may be mistyped. Texts for a peer that was connected and has left
//! wait for as long as the user likes.
//!
//! Nothing says that a peer has started anew. So if a text stays unconfirmed, the relay is asked
//! for the peer's prekey: a prekey other than the session's means another process.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::clocks::{Backoff, earliest};
use super::confirming::ReceiptWay;
use super::contact::{Contact, Unfit};
use super::core::ClientCore;
use super::lookup::Lookup;
use super::peer::KeyAnswer;
use super::posting::Posting;
use super::session::{Marks, Session};
use super::texts::{Done, Texts};
use super::unanswered::Unanswered;
use super::{Event, Failure, Progress};
use crate::crypto::Mid;
use crate::limits::{
    ABSENT_MAX, ABSENT_MIN, PROBE_MIN, QUEUE_FULL_PAUSE, RESEND_MAX, RESEND_MIN, WAITING_LETTERS,
    WINDOW, WINDOW_FIRST,
};
use crate::reactor::Time;
use crate::wire::ErrorCode;

/// Who it is that is neither connected nor can be left letters, by what the relay says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absence {
    /// It knows no such user; if it keeps no letters, it says so of all who are not connected.
    Nobody,
    /// A user who is away.
    NoLetterbox,
}

/// The sending half of a conversation.
pub(super) struct Sending {
    pub(super) texts: Texts,
    /// Messages that were shown and are not confirmed to the peer yet.
    pub(super) receipts: VecDeque<Mid>,
    /// Those for letters: they are owed until the relay has taken them, also by a later run.
    pub(super) owed: BTreeSet<Mid>,
    /// Receipts for letters that the relay has not answered: in the session, by their requests, and
    /// in a letter.
    pub(super) receipts_sent: Vec<(u64, Vec<Mid>)>,
    pub(super) receipt_letter: Option<(Mid, Vec<Mid>)>,
    pub(super) receipt_way: ReceiptWay,
    pub(super) session: Option<Session>,
    /// Letters are sent instead.
    pub(super) posting: Option<Posting>,
    /// What an earlier run has left does not hold texts back any more.
    pub(super) passes_earlier: bool,
    /// The letterbox is full, and why, by what the relay said last.
    pub(super) full: Option<String>,
    /// What was sent in it, until the relay has answered.
    pub(super) unanswered: Unanswered,
    /// The relay is not asked for a new session's key before this instant.
    pub(super) rests_until: Option<Time>,
    /// Nothing is sealed before this instant.
    pub(super) pauses_until: Option<Time>,
    resend: Backoff,
    pub(super) absent: Backoff,
    probe: Backoff,
    pub(super) queue_full: Backoff,
    /// The peer was connected at some time in this run.
    was_found: bool,
    /// The relay said last that it is not connected.
    pub(super) is_absent: bool,
    absence: Absence,
    /// The user was told that texts wait for its return.
    was_told: bool,
    /// Kept as long as we run, unless the pin is forgotten ([`Sending::forget_wholly`]).
    marks: Marks,
}

impl Sending {
    pub(super) fn new() -> Self {
        Self {
            texts: Texts::default(),
            receipts: VecDeque::new(),
            owed: BTreeSet::new(),
            receipts_sent: Vec::new(),
            receipt_letter: None,
            receipt_way: ReceiptWay::Unknown,
            session: None,
            posting: None,
            passes_earlier: false,
            full: None,
            unanswered: Unanswered::default(),
            rests_until: None,
            pauses_until: None,
            resend: Backoff::new(RESEND_MIN, RESEND_MAX),
            absent: Backoff::new(ABSENT_MIN, RESEND_MIN),
            probe: Backoff::new(PROBE_MIN, RESEND_MAX),
            queue_full: Backoff::new(QUEUE_FULL_PAUSE, RESEND_MAX),
            was_found: false,
            is_absent: false,
            absence: Absence::Nobody,
            was_told: false,
            marks: Marks::default(),
        }
    }

    // --- What the user brings ---

    /// Takes a text, to be sent by the next [`pump`](Self::pump).
    pub(super) fn say(&mut self, core: &mut ClientCore, id: String, text: &str) {
        let mut mid = [0; 16];
        core.vault.random(&mut mid);
        core.unconfirmed_bytes += text.len();
        self.texts.push(id, mid, text);
    }

    pub(super) fn has_room(&self) -> bool {
        let stored = self.texts.are_stored();
        self.texts.len() - stored < self.window() && stored < WAITING_LETTERS
    }

    pub(super) fn unconfirmed(&self) -> usize {
        self.texts.len()
    }

    pub(super) fn stored_texts(&self) -> usize {
        self.texts.are_stored()
    }

    /// Not connected, and no letters can be left.
    pub(super) fn is_absent(&self) -> bool {
        self.is_absent && self.posting.is_none()
    }

    /// Whether something waits to be sent or confirmed.
    pub(super) fn wants(&self) -> bool {
        !self.texts.is_empty() || !self.receipts.is_empty() || self.receipt_letter.is_some()
    }

    /// Whether it matters if the peer comes back with another prekey.
    pub(super) fn cares(&self) -> bool {
        self.wants() || self.session.is_some()
    }

    fn window(&self) -> usize {
        let is_confirmed = self.session.as_ref().is_some_and(|session| session.is_confirmed);
        if is_confirmed { WINDOW } else { WINDOW_FIRST }
    }

    // --- Sending ---

    /// Online: does what is due and sends what may be sent. Nothing is sealed while an answer is on
    /// its way that may show that the session is of no use any more ([`Lookup::is_deciding`]).
    ///
    /// `asks`: the relay may be asked for the peer's key at once. The keys of strangers are asked
    /// for elsewhere (`peers.rs`).
    pub(super) fn pump(
        &mut self,
        core: &mut ClientCore,
        name: &str,
        lookup: &mut Lookup,
        asks: bool,
    ) {
        let now = core.now;
        if lookup.expire(now) {
            self.rest(now);
        }
        if self.resend_due().is_some_and(|due| due <= now) {
            self.resend.take();
            self.close();
        }
        if self.session.as_ref().is_some_and(|session| session.is_worn_out(now)) {
            self.close();
        }
        self.rests_until.take_if(|until| *until <= now);
        self.pauses_until.take_if(|until| *until <= now);
        let may_ask = self.rests_until.is_none() && self.pauses_until.is_none();
        self.review_posting(now);
        if self.session.is_none() && self.posting.is_none() && may_ask {
            if self.texts.are_to_be_sent() {
                lookup.need(now);
            } else if self.has_session_receipts() {
                lookup.need_for_peer(now); // the peer's texts cause the receipts
            }
        }
        if self.probe_due().is_some_and(|due| due <= now) {
            let since = self.texts.waiting_since().unwrap_or(now);
            self.probe.take_all_within(now.since(since));
            lookup.probe(now);
        }
        if asks {
            lookup.ask(core, name);
        }
        if !lookup.is_deciding() && self.pauses_until.is_none() {
            self.send_again(core);
            self.seal_receipts(core, name);
            self.seal_texts(core, name);
            self.seal_letters(core, name);
        }
    }

    /// Sends again first what the relay had no room for.
    fn send_again(&mut self, core: &mut ClientCore) {
        for request in self.unanswered.send_again(core) {
            self.texts.unseal(request);
        }
        self.texts.release(core.now);
    }

    fn seal_texts(&mut self, core: &mut ClientCore, name: &str) {
        let window = self.window();
        let Some(session) = &mut self.session else { return };
        let mut from = 0;
        while self.texts.in_flight() < window && !session.is_worn_out(core.now) {
            let Some((place, body)) = self.texts.next_to_seal(from) else { return };
            let Some((request, frame)) = session.seal(core, name, body) else { return };
            if frame.len() > core.max_frame {
                too_long(core, name, self.texts.remove(place));
                from = place;
                continue;
            }
            core.post(&frame);
            self.texts.sealed(place, request, core.now);
            self.unanswered.sent(request, frame);
            from = place + 1;
        }
    }

    /// When the oldest text counts as lost.
    fn resend_due(&self) -> Option<Time> {
        Some(self.texts.waiting_since()? + self.resend.next())
    }

    /// When the relay is asked whether the peer has started anew. Never while it holds texts back.
    fn probe_due(&self) -> Option<Time> {
        let since = self.texts.waiting_since().filter(|_| self.pauses_until.is_none())?;
        Some(since + self.probe.next())
    }

    /// When [`pump`](Self::pump) has something to do.
    pub(super) fn due(&self) -> Option<Time> {
        let rests_until = self.rests_until.filter(|_| self.wants());
        let posting = self.posting.as_ref().and_then(Posting::due);
        earliest([self.resend_due(), self.probe_due(), rests_until, self.pauses_until, posting])
    }

    // --- What the relay says ---

    /// It handed out the key that `contact` has learned, and what comes with it.
    pub(super) fn found(
        &mut self,
        core: &mut ClientCore,
        contact: &mut Contact,
        answer: &KeyAnswer,
    ) -> Result<(), Unfit> {
        if !self.cares() {
            return Ok(());
        }
        if answer.is_away {
            return self.found_away(core, contact, answer);
        }
        (self.was_found, self.is_absent, self.was_told) = (true, false, false);
        let Some(prekey) = answer.prekey else { return Err(contact.without_prekey(core)) };
        self.marks.check(core, contact, prekey)?;
        contact.admit(core, !self.texts.is_empty())?;
        if prekey.mlkem.is_some()
            && let Some((_, fp)) = contact.key()
        {
            core.remember_kem(&contact.name, &fp);
        }
        if self.session.is_none()
            && self.has_letters_out(core, &contact.name)
            && let Some(key) = self.check_letter_key(core, contact, answer.letter_key)?
        {
            self.post_to(core, contact, key, true);
            return Ok(());
        }
        self.posting = None;
        self.choose_receipt_way(core, contact, answer.letter_key);
        if self.session.as_ref().is_some_and(|session| session.is_to(prekey.id)) {
            return Ok(()); // the answer to a hint, and nothing is new
        }
        self.close();
        self.rests_until = None;
        self.absent.reset();
        if !self.texts.is_empty() || self.has_session_receipts() {
            self.probe.reset();
            self.session = Some(Session::open(core, contact, prekey, &mut self.marks)?);
        }
        Ok(())
    }

    /// The peer is away: what is sent to it are letters, if it has left a key for them.
    fn found_away(
        &mut self,
        core: &mut ClientCore,
        contact: &mut Contact,
        answer: &KeyAnswer,
    ) -> Result<(), Unfit> {
        self.passes_earlier = false;
        match self.check_letter_key(core, contact, answer.letter_key)? {
            Some(key) if self.wants_letters() => {
                contact.admit(core, !self.texts.is_empty())?;
                if self.texts.are_to_be_sent() && !std::mem::replace(&mut self.was_told, true) {
                    let name = contact.name.clone();
                    core.tell(Event::Progress(Progress::Away { name }));
                }
                self.post_to(core, contact, key, false);
            }
            _ => self.not_found(core, &contact.name, Absence::NoLetterbox),
        }
        Ok(())
    }

    /// The peer's prekey is not valid now: its machine may have slept, and renews it when it wakes.
    pub(super) fn wait_for_prekey(&mut self, now: Time) {
        self.close();
        self.wait_for_return(now, RESEND_MIN);
    }

    /// No such user is connected, nor can a letter be left.
    pub(super) fn not_found(&mut self, core: &mut ClientCore, name: &str, absence: Absence) {
        (self.is_absent, self.absence) = (true, absence);
        self.close();
        self.posting = None;
        if !self.was_found && !core.waits_for_absent {
            return self.fail_absent(core, name);
        }
        let waits = self.texts.are_to_be_sent();
        if waits && !std::mem::replace(&mut self.was_told, true) {
            let is_known = self.was_found || absence == Absence::NoLetterbox;
            core.tell(Event::Progress(Progress::Absent { name: name.to_owned(), is_known }));
        }
        // Without a roster we have to ask again, until `--wait` ends it; with one, the roster says
        // when the peer joins.
        let longest = if core.waits_for_absent { ABSENT_MAX } else { RESEND_MIN };
        self.wait_for_return(core.now, longest);
    }

    /// The user waits no longer: what the relay has not stored fails. Receipts still leave.
    pub(super) fn give_up(&mut self, core: &mut ClientCore, name: &str) {
        if self.texts.is_empty() {
            return;
        }
        if self.is_absent() {
            return self.fail_absent(core, name);
        }
        let (code, detail) = match self.full.clone() {
            Some(why) => (Failure::MailboxFull, why),
            None => (Failure::WaitRanOut, "it was neither confirmed nor stored in time".to_owned()),
        };
        while let Some(done) = self.texts.pop() {
            failed(core, name, Some(done), code, &detail);
        }
    }

    fn fail_absent(&mut self, core: &mut ClientCore, name: &str) {
        let detail = match self.absence {
            Absence::Nobody if !self.was_found => format!(
                "there is nobody named {name} at this relay: look at the spelling, or try again \
                 when {name} is there"
            ),
            _ => format!(
                "{name} is away, and no letter can be left for {name}, whose client has left no \
                 key for letters here: try again when {name} is there"
            ),
        };
        self.fail(core, name, Failure::UnknownUser, &detail);
    }

    /// The relay has queued a request for the peer, whose prekey now has this id. Returns whether
    /// that is another prekey than the session's.
    pub(super) fn relayed(
        &mut self,
        core: &mut ClientCore,
        name: &str,
        request: u64,
        prekey_id: Option<u32>,
    ) -> bool {
        self.queue_full.reset();
        if let Some(mids) = self.take_sent_receipts(request) {
            self.paid(core, name, mids);
        }
        for overtaken in self.unanswered.taken(request) {
            self.texts.unseal(overtaken);
        }
        if let Some(id) = self.texts.relayed(request) {
            core.tell(Event::Relayed { id: id.to_owned(), to: name.to_owned() });
        }
        let Some(session) = &self.session else { return false };
        session.covers(Some(request)) && prekey_id.is_some_and(|id| !session.is_to(id))
    }

    /// A request was refused; one without a number offered the session.
    pub(super) fn refused(
        &mut self,
        core: &mut ClientCore,
        name: &str,
        request: Option<u64>,
        code: Option<ErrorCode>,
        detail: &str,
    ) {
        if !self.session.as_ref().is_some_and(|session| session.covers(request)) {
            return; // the request of a session that was given up
        }
        if let Some(mids) = request.and_then(|request| self.take_sent_receipts(request)) {
            self.receipts.extend(mids);
        }
        match (code, request) {
            (Some(ErrorCode::QueueFull), _) => self.pause(core.now, request),
            // It has left. Whether a letter can be left is asked next.
            (Some(ErrorCode::UnknownUser), _) => {
                self.is_absent = true;
                self.close();
                self.wait_for_return(core.now, RESEND_MIN);
            }
            // The peer is of another version than we thought. Its key will show which.
            (Some(ErrorCode::NotV2), _) | (_, None) => {
                self.close();
                self.rest(core.now);
            }
            (_, Some(request)) => {
                self.unanswered.forget(request);
                let done = self.texts.give_up(request);
                failed(core, name, done, Failure::Refused, detail);
            }
        }
    }

    /// Too much waits for the peer: sends the same again after a pause.
    fn pause(&mut self, now: Time, request: Option<u64>) {
        match request {
            Some(request) if self.unanswered.refused(request) => self.texts.hold(request),
            Some(request) => self.texts.unseal(request),
            // The offer itself was refused: the peer cannot open what was sealed since.
            None => self.close(),
        }
        if self.pauses_until.is_none() {
            self.pauses_until = Some(now + self.queue_full.take());
        }
    }

    /// Asks nothing for a while. Texts wait meanwhile, as for an answer.
    pub(super) fn rest(&mut self, now: Time) {
        if self.rests_until.is_none() {
            self.rests_until = Some(now + self.resend.take());
        }
    }

    /// As [`rest`](Self::rest), with the shorter pauses for a peer that is expected back, up to the
    /// longest one.
    pub(super) fn wait_for_return(&mut self, now: Time, longest: Duration) {
        if self.rests_until.is_none() {
            self.rests_until = Some(now + self.absent.take().min(longest));
        }
    }

    // --- What the peer says ---

    /// The peer's client confirmed these texts. Returns whether one of them was unconfirmed.
    pub(super) fn confirmed(&mut self, core: &mut ClientCore, name: &str, mids: &[Mid]) -> bool {
        let mut was_unconfirmed = false;
        for mid in mids {
            let letter = core.book.settle(name, mid);
            let done = self.texts.confirm(mid, core.now);
            let to = name.to_owned();
            match (done, &letter) {
                (Some(Done { id, len }), _) => {
                    core.unconfirmed_bytes -= len;
                    core.tell(Event::Delivered { id, to, stored_at: None });
                    self.resend.reset();
                    if let Some(session) = &mut self.session {
                        session.is_confirmed = true;
                    }
                }
                (None, Some(letter)) => {
                    let (id, stored_at) = (letter.id.clone(), Some(letter.stored));
                    core.tell(Event::Delivered { id, to, stored_at });
                }
                (None, None) => continue,
            }
            was_unconfirmed = true;
            if letter.is_some() {
                self.letter_confirmed(core, name);
            }
        }
        was_unconfirmed
    }

    // --- Ends ---

    /// Gives the session up: unconfirmed texts have to be sealed again in the next one.
    pub(super) fn close(&mut self) {
        self.session = None;
        self.unanswered.clear();
        self.texts.unseal_all();
        let unanswered = std::mem::take(&mut self.receipts_sent);
        self.receipts.extend(unanswered.into_iter().flat_map(|(_, mids)| mids));
    }

    /// The connection is lost.
    pub(super) fn disconnected(&mut self) {
        self.close();
        self.forget_posting();
        (self.rests_until, self.pauses_until) = (None, None);
        self.resend.reset();
    }

    /// Gives up everything that is unconfirmed.
    pub(super) fn fail(
        &mut self,
        core: &mut ClientCore,
        name: &str,
        failure: Failure,
        detail: &str,
    ) {
        self.close();
        self.posting = None;
        self.receipts.clear();
        while let Some(done) = self.texts.pop() {
            failed(core, name, Some(done), failure, detail);
        }
    }

    /// Whether a session was opened in this run, or could have been.
    pub(super) fn has_marks(&self) -> bool {
        self.was_found
    }

    /// Waits before it asks again.
    pub(super) fn is_resting(&self) -> bool {
        self.rests_until.is_some()
    }

    /// Forgets also the times of sessions: the pin is gone. Not while texts are unconfirmed.
    pub(super) fn forget_wholly(&mut self) {
        debug_assert!(self.texts.is_empty(), "texts are not forgotten in silence");
        *self = Self::new();
    }

    /// Forgets all but the times of sessions. Not while texts are unconfirmed.
    pub(super) fn forget(&mut self) {
        debug_assert!(self.texts.is_empty(), "texts are not forgotten in silence");
        *self = Self { marks: self.marks, was_found: self.was_found, ..Self::new() };
    }
}

/// A text whose frame this relay does not take.
pub(super) fn too_long(core: &mut ClientCore, name: &str, done: Option<Done>) {
    let detail = format!("this relay takes no frames over {} bytes", core.max_frame);
    failed(core, name, done, Failure::TooLong, &detail);
}

pub(super) fn failed(
    core: &mut ClientCore,
    name: &str,
    done: Option<Done>,
    code: Failure,
    detail: &str,
) {
    let Some(Done { id, len }) = done else { return };
    core.unconfirmed_bytes -= len;
    core.tell(Event::Failed { id, to: name.to_owned(), code, detail: detail.to_owned() });
}
