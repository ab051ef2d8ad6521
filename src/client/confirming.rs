//! What we confirm to one peer: which of its messages were shown.
//!
//! A receipt leaves in a session, or in a letter. Those for letters are owed until the relay has
//! taken them, also by a later run; all others leave once: if one is lost, its text comes again.

use super::core::ClientCore;
use super::letter_book::Change;
use super::posting::seal;
use super::sending::Sending;
use crate::crypto::{Body, Mid};
use crate::limits::{MAX_RECEIPT, SEEN_MESSAGES};
use crate::reactor::Time;

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

    /// Receipts for what was shown leave in the session, if one is open.
    pub(super) fn seal_receipts(&mut self, core: &mut ClientCore, name: &str) {
        let Some(session) = &mut self.session else { return };
        while !self.receipts.is_empty() && !session.is_worn_out(core.now) {
            let count = self.receipts.len().min(MAX_RECEIPT);
            let mids: Vec<_> = self.receipts.drain(..count).collect();
            let owed: Vec<_> = mids.iter().copied().filter(|mid| self.owed.contains(mid)).collect();
            let receipt = Body::Receipt(mids);
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

    /// Receipts leave in one letter at a time: all of them where the peer is there, as no session
    /// is opened meanwhile; else where one of them is for a letter.
    pub(super) fn seal_receipt_letter(&mut self, core: &mut ClientCore, name: &str) {
        let Some(posting) = &self.posting else { return };
        let is_there = posting.is_there && !self.receipts.is_empty();
        let owes = is_there || self.receipts.iter().any(|mid| self.owed.contains(mid));
        if !owes || self.receipt_letter.is_some() {
            return;
        }
        let (key, owner) = (posting.key.clone(), posting.owner.clone());
        let count = self.receipts.len().min(MAX_RECEIPT);
        let mids: Vec<_> = self.receipts.drain(..count).collect();
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

    /// The relay has taken these receipts.
    pub(super) fn paid(&mut self, core: &mut ClientCore, name: &str, mids: Vec<Mid>) {
        let mids: Vec<_> = mids.into_iter().filter(|mid| self.owed.remove(mid)).collect();
        if !mids.is_empty() {
            core.book.note(Change::Paid { to: name.to_owned(), mids });
        }
    }
}
