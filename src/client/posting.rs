//! What we send to one peer as letters: texts, while the peer is away, and receipts for letters.
//!
//! ```text
//!   away, with a letter key ──▶ sealed ──▶ stored ──▶ confirmed: sessions again
//!                                 ▲   │
//!                                 └───┘ mailbox_full, stale_key, connection lost: again, later
//! ```
//!
//! While a letter is not confirmed, later texts are letters too, so that they arrive in order. If
//! the peer is there meanwhile, they wait for [`LETTER_HOLD`] from the last confirmation: a client
//! that has come empties its letterbox first, and then a session can be opened. A stored letter is
//! never sealed again.

use super::confirming::ReceiptWay;
use super::contact::{Contact, Unfit};
use super::core::ClientCore;
use super::letter_book::{Change, WaitingLetter};
use super::sending::{Absence, Sending, failed, too_long};
use super::session::{bad_prekey, unfit};
use super::{Caution, Event, Failure};
use crate::crypto::{Body, Mid, Names, PrekeyFault, PublicKey, check_letter_key, seal_letter};
use crate::limits::{LETTER_HOLD, RESEND_MIN};
use crate::reactor::Time;
use crate::wire::{ErrorCode, LetterKey, base64, compose};

/// How letters are sent to a peer.
pub(super) struct Posting {
    pub(super) key: LetterKey,
    pub(super) owner: PublicKey,
    /// The peer is connected.
    pub(super) is_there: bool,
    /// Texts are not sealed before this instant.
    held_until: Option<Time>,
}

impl Posting {
    fn new(now: Time, owner: PublicKey, key: LetterKey, is_there: bool) -> Self {
        let held_until = is_there.then(|| now + LETTER_HOLD);
        Self { key, owner, is_there, held_until }
    }

    /// When texts may be sealed, where that is not yet.
    pub(super) const fn due(&self) -> Option<Time> {
        self.held_until
    }
}

impl Sending {
    /// The letter key that the relay hands out, if letters may be sealed to it now; `None` also
    /// where it has expired: its owner was away for too long.
    pub(super) fn check_letter_key(
        &mut self,
        core: &mut ClientCore,
        contact: &Contact,
        key: Option<&LetterKey>,
    ) -> Result<Option<LetterKey>, Unfit> {
        let Some(key) = key else { return Ok(None) };
        let (name, now_ms) = (&contact.name, core.wall_ms());
        let Some((owner, fp)) = contact.key() else { return Ok(None) };
        match check_letter_key(core.vault.as_ref(), key, name, owner, now_ms) {
            Ok(()) => {}
            Err(PrekeyFault::Expired) => return Ok(None),
            Err(fault) => return Err(unfit(name, fault)),
        }
        let newest = core.book.peer(&fp).map(|kept| kept.newest_key).unwrap_or_default();
        if key.created < newest {
            let why = "it is older than one seen before; it is asked for again";
            return Err(Unfit { caution: Caution::StalePrekey, ..bad_prekey(name, why) });
        }
        // Notes of strangers would be as many as others like.
        if key.created > newest && (core.knows(name) || self.unconfirmed() > 0) {
            core.book.note(Change::NewestKey { fp, created: key.created, now: now_ms });
        }
        Ok(Some(key.clone()))
    }

    /// From now on texts are letters to `key`, which was [checked](Self::check_letter_key).
    pub(super) fn post_to(
        &mut self,
        core: &mut ClientCore,
        contact: &Contact,
        key: LetterKey,
        is_there: bool,
    ) {
        let Some((owner, _)) = contact.key() else { return };
        self.rests_until = None;
        if self.posting.as_ref().is_some_and(|it| it.key.id == key.id && it.is_there == is_there) {
            return; // the answer to a hint, and nothing is new
        }
        self.close();
        self.is_absent = !is_there;
        self.posting = Some(Posting::new(core.now, owner.clone(), key, is_there));
    }

    /// Whether letters to the peer are not confirmed, so that a session would overtake them.
    pub(super) fn has_letters_out(&self, core: &ClientCore, name: &str) -> bool {
        self.texts.letters() > 0 || core.book.waits_for(name) && !self.passes_earlier
    }

    /// Gives up what is not needed any more: where nothing waits to be posted; and where only an
    /// earlier run has left letters, and the peer is there and had time to take them.
    pub(super) fn review_posting(&mut self, now: Time) {
        let wants_letters = self.wants_letters();
        let Some(posting) = &mut self.posting else { return };
        posting.held_until.take_if(|until| *until <= now);
        let is_over = posting.is_there && posting.held_until.is_none();
        let passes = is_over && self.texts.letters() == 0;
        let is_of_use = wants_letters || posting.is_there && !self.receipts.is_empty();
        if passes || !is_of_use {
            (self.passes_earlier, self.posting) = (passes, None);
        }
    }

    /// Whether something is to be sent that a letter may carry to a peer who is away. Receipts for
    /// texts of sessions are not: they wait until it is back.
    pub(super) fn wants_letters(&self) -> bool {
        let has_texts = !self.texts.is_empty() || self.receipt_letter.is_some();
        has_texts || self.receipts.iter().any(|mid| self.owed.contains(mid))
    }

    /// Seals what may be sealed as letters. One text is on its way at a time: the relay may refuse
    /// one and take the next, and then they would arrive in another order.
    pub(super) fn seal_letters(&mut self, core: &mut ClientCore, name: &str) {
        self.seal_receipt_letter(core, name);
        let Some(posting) = &self.posting else { return };
        if posting.held_until.is_some() || self.texts.has_posted() {
            return;
        }
        let (key, owner) = (posting.key.clone(), posting.owner.clone());
        while let Some((place, body)) = self.texts.next_to_seal(0) {
            let Body::Text { mid, .. } = *body else { return };
            let frame = seal(core, name, (&owner, &key), mid, body);
            let Ok(frame) = frame else {
                let detail = format!("the letter key of {name} is weak");
                return self.fail(core, name, Failure::BadPrekey, &detail);
            };
            if frame.len() > core.max_frame {
                too_long(core, name, self.texts.remove(place));
                continue;
            }
            core.post(&frame);
            return self.texts.post(place);
        }
    }

    /// The connection is lost: what the relay has not answered has to be sealed again.
    pub(super) fn forget_posting(&mut self) {
        self.posting = None;
        self.receipt_way = ReceiptWay::Unknown;
        self.texts.unpost_all();
        let unanswered = self.receipt_letter.take();
        self.receipts.extend(unanswered.into_iter().flat_map(|(_, mids)| mids));
    }

    // --- What the relay says ---

    /// The relay has stored a letter.
    pub(super) fn stored(&mut self, core: &mut ClientCore, name: &str, mid: &Mid) {
        self.queue_full.reset();
        self.absent.reset();
        if let Some(mids) = self.take_receipts(mid) {
            return self.paid(core, name, mids);
        }
        let Some(done) = self.texts.stored(mid) else { return };
        self.full = None;
        core.unconfirmed_bytes -= done.len;
        let (to, stored) = (name.to_owned(), core.wall_ms());
        core.book.wait(WaitingLetter { to: to.clone(), mid: *mid, id: done.id.clone(), stored });
        core.tell(Event::Stored { id: done.id, to });
    }

    /// The relay does not store a letter.
    pub(super) fn letter_refused(
        &mut self,
        core: &mut ClientCore,
        name: &str,
        mid: &Mid,
        code: Option<ErrorCode>,
        detail: &str,
    ) {
        let is_receipt = self.take_receipts(mid).map(|mids| self.receipts.extend(mids)).is_some();
        if !is_receipt && !self.texts.unpost(mid) {
            return; // of a connection that was lost
        }
        if is_receipt && self.posting.is_none() {
            return self.receipt_letter_refused(code);
        }
        match code {
            Some(ErrorCode::MailboxFull) => {
                self.pause_for_room(core, name, (!is_receipt).then_some(detail));
            }
            Some(ErrorCode::StoreFailed | ErrorCode::RateLimited | ErrorCode::QueueFull) => {
                self.pause_for_room(core, name, None);
            }
            Some(ErrorCode::StaleKey) => {
                self.posting = None;
                self.wait_for_return(core.now, RESEND_MIN);
            }
            Some(ErrorCode::NoLetterbox | ErrorCode::UnknownUser) => {
                self.posting = None;
                self.receipts.clear(); // they are kept for the next run
                let is_nobody = code == Some(ErrorCode::UnknownUser);
                let absence = if is_nobody { Absence::Nobody } else { Absence::NoLetterbox };
                self.not_found(core, name, absence);
            }
            _ if is_receipt => self.receipts.clear(),
            _ => {
                let done = self.texts.take(mid);
                failed(core, name, done, Failure::Refused, detail);
            }
        }
    }

    /// The relay has no room now: tries again after a pause. `full`: the letterbox has none, and
    /// why, which is told once.
    fn pause_for_room(&mut self, core: &mut ClientCore, name: &str, full: Option<&str>) {
        if self.pauses_until.is_none() {
            self.pauses_until = Some(core.now + self.queue_full.take());
        }
        if let Some(why) = full {
            if self.full.is_none() {
                core.tell(Event::MailboxFull { to: name.to_owned(), detail: why.to_owned() });
            }
            self.full = Some(why.to_owned());
        }
    }

    /// A letter was confirmed: the next texts wait for the others, or go in a session.
    pub(super) fn letter_confirmed(&mut self, core: &ClientCore, name: &str) {
        let has_letters_out = self.has_letters_out(core, name);
        let Some(posting) = &mut self.posting else { return };
        if !has_letters_out {
            self.posting = None;
        } else if posting.is_there {
            posting.held_until = Some(core.now + LETTER_HOLD);
        }
    }
}

/// One letter, sealed.
pub(super) fn seal(
    core: &mut ClientCore,
    name: &str,
    (owner, key): (&PublicKey, &LetterKey),
    mid: Mid,
    body: &Body,
) -> Result<Vec<u8>, crate::crypto::SealFault> {
    let now_ms = core.wall_ms();
    let names = Names { from: &core.name, to: name };
    let content = seal_letter(core.vault.as_ref(), names, owner, key, now_ms, mid, body)?;
    let (id, marks) = (base64::encode(&mid), (body.letter_kind(), key.id));
    Ok(compose::letter(name, &core.name, &id, marks, &content))
}
