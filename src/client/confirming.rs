//! What we confirm to one peer: which of its messages were shown.
//!
//! Receipts for letters are owed until the relay has taken them, also by a later run. They leave in
//! a letter, also to a peer who is there: the relay keeps it until the peer has read it. They leave
//! in a session only if the peer has no letterbox, or none with room, because they may be lost with
//! the peer's connection. All other receipts leave once: if one is lost, its text comes again.

use std::collections::VecDeque;

use super::contact::Contact;
use super::core::ClientCore;
use super::letter_book::Change;
use super::posting::seal;
use super::sending::Sending;
use crate::crypto::{Body, Mid, PublicKey};
use crate::limits::{MAX_RECEIPT, SEEN_MESSAGES};
use crate::reactor::Time;
use crate::wire::{ErrorCode, LetterKey};

/// How receipts for letters leave to a peer who is there.
#[derive(Default)]
pub(super) enum ReceiptWay {
    /// Its letter key has to be asked for.
    #[default]
    Unknown,
    /// In letters to this key.
    Letter(PublicKey, LetterKey),
    /// In the session.
    Session,
}

impl Sending {
    /// A message of the peer was shown: its receipt goes with the next ones.
    pub(super) fn confirm(&mut self, mid: Mid) {
        if self.receipts.len() >= SEEN_MESSAGES {
            self.receipts.pop_front(); // it will come again
        }
        self.receipts.push_back(mid);
    }

    /// A letter of the peer was shown: its receipt is owed until the relay has taken it.
    pub(super) fn owe(&mut self, mid: Mid) {
        if self.owed.insert(mid) || !self.receipts.contains(&mid) {
            self.confirm(mid);
        }
    }

    /// A message that was confirmed came again. If that goes on, the peer has lost our session.
    pub(super) fn confirm_again(&mut self, mid: Mid, now: Time) {
        if self.session.as_mut().is_some_and(|session| session.repeats_a_receipt(now)) {
            self.close();
        }
        self.confirm(mid);
    }

    /// Receipts that have not left; those for letters until the relay has taken them.
    pub(super) fn receipts(&self) -> usize {
        let of_letter = self.receipt_letter.iter().map(|(_, mids)| mids.len());
        let sent = self.receipts_sent.iter().map(|(_, mids)| mids.len()).chain(of_letter);
        self.receipts.len() + sent.sum::<usize>()
    }

    // --- Sending ---

    /// The peer is there, and `key` is its letter key, as the relay says: receipts for letters are
    /// sealed to that.
    pub(super) fn choose_receipt_way(
        &mut self,
        core: &mut ClientCore,
        contact: &Contact,
        key: Option<&LetterKey>,
    ) {
        let owes = self.receipts.iter().any(|mid| self.owed.contains(mid));
        if !owes || !matches!(self.receipt_way, ReceiptWay::Unknown) {
            return;
        }
        let key = self.check_letter_key(core, contact, key).ok().flatten();
        self.receipt_way = match (contact.key(), key) {
            (Some((owner, _)), Some(key)) => ReceiptWay::Letter(owner.clone(), key),
            _ => ReceiptWay::Session,
        };
    }

    /// Whether this receipt waits for a letter, although the peer is there.
    fn goes_by_letter(&self, mid: &Mid) -> bool {
        matches!(self.receipt_way, ReceiptWay::Letter(..)) && self.owed.contains(mid)
    }

    /// Whether there are receipts that a session has to carry.
    pub(super) fn has_session_receipts(&self) -> bool {
        self.receipts.iter().any(|mid| !self.goes_by_letter(mid))
    }

    /// Takes out as many receipts as fit into one message, of those that `is_taken` chooses.
    fn drain_receipts(&mut self, is_taken: impl Fn(&Self, &Mid) -> bool) -> Vec<Mid> {
        let mut taken = Vec::new();
        let mut left = VecDeque::new();
        for mid in std::mem::take(&mut self.receipts) {
            if taken.len() < MAX_RECEIPT && is_taken(self, &mid) {
                taken.push(mid);
            } else {
                left.push_back(mid);
            }
        }
        self.receipts = left;
        taken
    }

    /// Receipts for what was shown leave in the session, if one is open.
    pub(super) fn seal_receipts(&mut self, core: &mut ClientCore, name: &str) {
        while self.session.as_ref().is_some_and(|session| !session.is_worn_out(core.now)) {
            let mids = self.drain_receipts(|this, mid| !this.goes_by_letter(mid));
            if mids.is_empty() {
                return;
            }
            let owed: Vec<_> = mids.iter().copied().filter(|mid| self.owed.contains(mid)).collect();
            let receipt = Body::Receipt(mids);
            let Some(session) = &mut self.session else { return };
            if let Some((request, frame)) = session.seal(core, name, &receipt) {
                core.post(&frame);
                if !owed.is_empty() {
                    self.receipts_sent.push((request, owed));
                }
                // Others decide how many receipts there are, so they are kept only beside texts of
                // ours, where a lost one would be a gap. Without texts of ours a lost receipt only
                // makes the texts come again that it confirms.
                if !self.texts.is_empty() {
                    self.unanswered.sent(request, frame);
                }
            }
        }
    }

    /// Receipts leave in one letter at a time. Where texts go as letters, all of them leave: if the
    /// peer is there, as no session is opened meanwhile, else if one of them is for a letter.
    /// Otherwise only those for letters leave so.
    pub(super) fn seal_receipt_letter(&mut self, core: &mut ClientCore, name: &str) {
        let (owner, key, takes_all) = match (&self.posting, &self.receipt_way) {
            (Some(posting), _) => (posting.owner.clone(), posting.key.clone(), true),
            (None, ReceiptWay::Letter(owner, key)) => (owner.clone(), key.clone(), false),
            (None, _) => return,
        };
        let is_there = self.posting.as_ref().is_some_and(|posting| posting.is_there);
        let owes = self.receipts.iter().any(|mid| is_there || self.owed.contains(mid));
        if !owes || self.receipt_letter.is_some() {
            return;
        }
        let mids = self.drain_receipts(|this, mid| takes_all || this.owed.contains(mid));
        let mut mid = [0; 16];
        core.vault.random(&mut mid);
        let body = Body::Receipt(mids.clone());
        if let Ok(frame) = seal(core, name, (&owner, &key), mid, &body) {
            core.post(&frame);
            self.receipt_letter = Some((mid, mids));
        }
    }

    // --- What the relay says ---

    /// The receipts for letters that this request carried.
    pub(super) fn take_sent_receipts(&mut self, request: u64) -> Option<Vec<Mid>> {
        let place = self.receipts_sent.iter().position(|(sent, _)| *sent == request)?;
        Some(self.receipts_sent.remove(place).1)
    }

    /// The receipts that this letter carried.
    pub(super) fn take_receipts(&mut self, letter: &Mid) -> Option<Vec<Mid>> {
        self.receipt_letter.take_if(|(mid, _)| mid == letter).map(|(_, mids)| mids)
    }

    /// The relay does not store a letter with receipts for a peer who is there: it gets them in a
    /// session. Under a newer key the letter is tried again.
    pub(super) fn receipt_letter_refused(&mut self, code: Option<ErrorCode>) {
        let is_stale = code == Some(ErrorCode::StaleKey);
        self.receipt_way = if is_stale { ReceiptWay::Unknown } else { ReceiptWay::Session };
    }

    /// The relay has taken these receipts.
    pub(super) fn paid(&mut self, core: &mut ClientCore, name: &str, mids: Vec<Mid>) {
        let mids: Vec<_> = mids.into_iter().filter(|mid| self.owed.remove(mid)).collect();
        if !mids.is_empty() {
            core.book.note(Change::Paid { to: name.to_owned(), mids });
        }
    }
}
