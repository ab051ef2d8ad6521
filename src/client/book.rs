//! What is still to be written to the [`LetterBook`], and what may be done only after that.
//!
//! ```text
//!   shown ──▶ changes ──commit──▶ the acknowledgement and the receipt leave
//! ```
//!
//! If the process ends before the commit, the letter comes again and is shown a second time; it is
//! never lost. Changes of one tick are one commit. Ids of texts that came in sessions are written
//! at most once a [`SEEN_INTERVAL`], so that a stream of texts does not wait for the disk.

use std::collections::{BTreeMap, VecDeque};

use super::clocks::Backoff;
use super::letter_book::{Change, KeptLetters, KeptPeer, LetterBook, WaitingLetter};
use super::letter_memory::MemoryLetters;
use super::trust::RelayPin;
use crate::crypto::Mid;
use crate::limits::{
    LETTER_PEERS, RESEND_MAX, SEEN_INTERVAL, SEEN_SESSION_TEXTS, VISIT_INTERVAL, WRITE_AGAIN,
};
use crate::reactor::Time;
use crate::wire::Fingerprint;

/// The book, and the changes that are not in it yet.
pub(super) struct Book {
    store: Box<dyn LetterBook>,
    /// The relay that it is about, and when that was last noted, in milliseconds since 1970.
    relay: Option<(RelayPin, Option<u64>)>,
    /// The store could not be read when the relay was visited.
    is_unusable: bool,
    /// The last look into it has failed.
    is_unreadable: bool,
    changes: Vec<Change>,
    after: Vec<After>,
    /// Shown texts of sessions, by their senders.
    texts: BTreeMap<Fingerprint, VecDeque<Mid>>,
    texts_due: Option<Time>,
    again: Backoff,
    rests_until: Option<Time>,
    /// Letters of ours that are not confirmed, by their addressees.
    waiting: BTreeMap<String, Vec<WaitingLetter>>,
}

/// What may be done once the changes before it are written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum After {
    /// The relay is told that this letter is needed no more.
    Acknowledge(u64),
    /// The sender of a letter is told that it was shown.
    Confirm {
        /// The sender.
        to: String,
        /// Its text.
        mid: Mid,
    },
}

impl Book {
    /// The book kept in `store`. Before [`visit`](Self::visit) nothing is in it.
    pub(super) fn new(store: Box<dyn LetterBook>) -> Self {
        Self {
            store,
            relay: None,
            is_unusable: false,
            is_unreadable: false,
            changes: Vec::new(),
            after: Vec::new(),
            texts: BTreeMap::new(),
            texts_due: None,
            again: Backoff::new(WRITE_AGAIN, RESEND_MAX),
            rests_until: None,
            waiting: BTreeMap::new(),
        }
    }

    /// From now on it is about this relay. Returns what is kept of it. If that cannot be read,
    /// letters are kept in memory only, and the error says why.
    pub(super) fn visit(&mut self, relay: RelayPin, now_ms: u64) -> Result<KeptLetters, String> {
        let kept = self.store.visit(&relay, now_ms);
        self.is_unusable = kept.is_err();
        if self.is_unusable {
            self.store = Box::new(MemoryLetters::default());
        }
        for letter in kept.iter().flat_map(|kept| &kept.waiting) {
            self.waiting.entry(letter.to.clone()).or_default().push(letter.clone());
        }
        self.relay = Some((relay, kept.as_ref().ok().and_then(|kept| kept.visited)));
        self.note_visit(now_ms); // before all other changes
        kept
    }

    /// Whether it is known which relay it is about.
    pub(super) fn is_open(&self) -> bool {
        self.relay.is_some()
    }

    /// Notes once a day that the relay is visited: what is over by the clock is erased then.
    fn note_visit(&mut self, now_ms: u64) {
        let interval = u64::try_from(VISIT_INTERVAL.as_millis()).unwrap_or(u64::MAX);
        if let Some((relay, noted)) = &mut self.relay
            && noted.is_none_or(|noted| now_ms >= noted.saturating_add(interval))
        {
            *noted = Some(now_ms);
            self.changes.push(Change::Visit { relay: relay.clone(), now: now_ms });
        }
    }

    /// What was written of the peer with this key.
    pub(super) fn peer(&mut self, fp: &Fingerprint) -> Result<KeptPeer, String> {
        let kept = self.store.peer(fp);
        self.is_unreadable = kept.is_err();
        kept
    }

    /// A change to be written at the end of the tick.
    pub(super) fn note(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// To be done once all that was noted is written.
    pub(super) fn then(&mut self, after: After) {
        self.after.push(after);
    }

    /// The connection is lost: what came on it comes again, under other numbers perhaps.
    pub(super) fn forget_acknowledgements(&mut self) {
        self.after.retain(|after| !matches!(after, After::Acknowledge(_)));
    }

    /// A text that came in a session was shown.
    pub(super) fn note_text(&mut self, fp: Fingerprint, mid: Mid, now: Time) {
        if self.texts.len() >= LETTER_PEERS && !self.texts.contains_key(&fp) {
            return; // nothing can be written, and for long
        }
        let texts = self.texts.entry(fp).or_default();
        if texts.len() >= SEEN_SESSION_TEXTS {
            texts.pop_front();
        }
        texts.push_back(mid);
        self.texts_due.get_or_insert(now + SEEN_INTERVAL);
    }

    // --- Letters of ours that are not confirmed ---

    /// The relay has stored a letter of ours.
    pub(super) fn wait(&mut self, letter: WaitingLetter) {
        self.changes.push(Change::Wait(letter.clone()));
        let waiting = self.waiting.entry(letter.to.clone()).or_default();
        waiting.retain(|it| it.mid != letter.mid);
        waiting.push(letter);
    }

    /// It is confirmed. Returns it, if one waited.
    pub(super) fn settle(&mut self, to: &str, mid: &Mid) -> Option<WaitingLetter> {
        let waiting = self.waiting.get_mut(to)?;
        let letter = waiting.remove(waiting.iter().position(|letter| letter.mid == *mid)?);
        if waiting.is_empty() {
            self.waiting.remove(to);
        }
        self.changes.push(Change::Settled { to: to.to_owned(), mid: *mid });
        Some(letter)
    }

    /// Whether letters to this peer are not confirmed, those of earlier runs included.
    pub(super) fn waits_for(&self, to: &str) -> bool {
        self.waiting.contains_key(to)
    }

    /// To whom letters are not confirmed, at most so many, those who have waited longest first.
    pub(super) fn waits_for_longest(&self, most: usize) -> Vec<String> {
        let since = |letters: &Vec<WaitingLetter>| letters.iter().map(|letter| letter.stored).min();
        let mut all: Vec<_> = self.waiting.iter().map(|(to, them)| (since(them), to)).collect();
        all.sort_unstable();
        all.into_iter().take(most).map(|(_, to)| to.clone()).collect()
    }

    /// Takes out all to this peer.
    pub(super) fn give_up_to(&mut self, to: &str) -> Vec<WaitingLetter> {
        let all = self.waiting.get(to).cloned().unwrap_or_default();
        all.into_iter().filter_map(|letter| self.settle(to, &letter.mid)).collect()
    }

    /// Takes out all that were stored before `stored`, in milliseconds since 1970.
    pub(super) fn give_up_before(&mut self, stored: u64) -> Vec<WaitingLetter> {
        let all = self.waiting.values().flatten();
        let old: Vec<_> = all.filter(|letter| letter.stored < stored).cloned().collect();
        old.into_iter().filter_map(|letter| self.settle(&letter.to, &letter.mid)).collect()
    }

    // --- Writing ---

    /// Writes what is due, and returns what may be done then. If it cannot be written, it is tried
    /// again later. `now_ms`: milliseconds since 1970.
    pub(super) fn write(&mut self, now: Time, now_ms: u64) -> Result<Vec<After>, String> {
        self.note_visit(now_ms);
        let is_due = self.texts_due.is_some_and(|due| due <= now);
        if self.changes.is_empty() && !is_due {
            return Ok(std::mem::take(&mut self.after));
        }
        if self.rests_until.is_some_and(|until| now < until) {
            return Ok(Vec::new());
        }
        self.write_all(now, now_ms)
    }

    /// Writes everything, due or not.
    pub(super) fn write_all(&mut self, now: Time, now_ms: u64) -> Result<Vec<After>, String> {
        // Before what else is noted: a letter of the same peer counts as shown later.
        let texts =
            self.texts.iter().flat_map(|(&fp, mids)| mids.iter().map(move |&mid| (fp, mid)));
        let seen = texts.map(|(fp, mid)| Change::Seen { fp, mid, created: None, now: now_ms });
        let changes: Vec<_> = seen.chain(self.changes.iter().cloned()).collect();
        if !changes.is_empty()
            && let Err(why) = self.store.commit(&changes)
        {
            let until = now + self.again.take();
            self.rests_until = Some(until);
            self.texts_due = self.texts_due.map(|_| until);
            return Err(why);
        }
        self.texts_due = None;
        self.texts.clear();
        self.changes.clear();
        self.again.reset();
        self.rests_until = None;
        Ok(std::mem::take(&mut self.after))
    }

    /// Whether letters cannot be kept: the store could not be opened, or the last attempt to read
    /// or write it has failed.
    pub(super) fn is_failing(&self) -> bool {
        self.is_unusable || self.is_unreadable || self.rests_until.is_some()
    }

    /// Whether something waits until it is written.
    pub(super) fn has_more_to_do(&self) -> bool {
        !self.after.is_empty()
    }

    /// When [`write`](Self::write) has something to do that is not due yet.
    pub(super) fn due(&self) -> Option<Time> {
        self.rests_until.or(self.texts_due) // nothing is tried before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::letter_book::tests::relay;

    const BOB: Fingerprint = Fingerprint([7; 32]);

    fn at(milliseconds: u64) -> Time {
        Time::from_nanos(1_000_000_000 + milliseconds * 1_000_000)
    }

    fn book() -> (Book, MemoryLetters) {
        let mut letters = MemoryLetters::default();
        let mut book = Book::new(Box::new(letters.clone()));
        book.visit(relay(1), 1).unwrap();
        book.write(at(0), 1).unwrap();
        letters.visit(&relay(1), 1).unwrap();
        (book, letters)
    }

    #[test]
    fn a_visit_is_noted_once_a_day_and_before_all_else() {
        let (mut book, letters) = book();
        let day = u64::try_from(VISIT_INTERVAL.as_millis()).unwrap();
        letters.fill(true);
        assert_eq!(book.write(at(1), day), Ok(Vec::new()), "nothing to be written");
        assert!(book.write(at(2), day + 1).is_err());
        letters.fill(false);
        book.write(at(9000), day + 2).unwrap();
        assert_eq!(letters.kept().visited, Some(day + 1));
        let mut again = Book::new(Box::new(letters));
        again.visit(relay(2), day).unwrap();
        again.note(Change::Erase { id: 1 });
        assert!(matches!(again.changes[..], [Change::Visit { .. }, Change::Erase { .. }]));
    }

    #[test]
    fn what_follows_waits_until_everything_is_written() {
        let (mut book, mut letters) = book();
        letters.fill(true);
        book.note(Change::Seen { fp: BOB, mid: [1; 16], created: Some(1), now: 1 });
        book.then(After::Acknowledge(7));
        assert!(book.write(at(0), 1).is_err());
        letters.fill(false);
        assert_eq!(book.write(at(1), 1), Ok(Vec::new()), "not again at once");
        assert_eq!(book.due(), Some(at(1000)));
        assert_eq!(book.write(at(1000), 1), Ok(vec![After::Acknowledge(7)]));
        assert_eq!(letters.peer(&BOB).unwrap().seen, [[1; 16]]);
        assert_eq!((book.due(), book.write(at(1001), 1)), (None, Ok(Vec::new())));
    }

    #[test]
    fn texts_of_sessions_are_written_once_a_second_and_before_letters() {
        let (mut book, mut letters) = book();
        book.note_text(BOB, [1; 16], at(0));
        book.note_text(BOB, [2; 16], at(900));
        assert_eq!(book.write(at(999), 1), Ok(Vec::new()));
        assert_eq!(letters.peer(&BOB).unwrap().seen.len(), 0);
        book.write(at(1000), 1).unwrap();
        assert_eq!(letters.peer(&BOB).unwrap().seen.len(), 2);
        book.note_text(BOB, [3; 16], at(1001));
        book.note(Change::Seen { fp: BOB, mid: [4; 16], created: Some(1), now: 1 });
        book.write(at(1001), 1).unwrap();
        assert_eq!(letters.peer(&BOB).unwrap().seen[2..], [[3; 16], [4; 16]]);
    }

    #[test]
    fn a_disk_that_takes_nothing_for_long_costs_bounded_memory() {
        let (mut book, mut letters) = book();
        letters.fill(true);
        for second in 0..1000_u64 {
            for text in 0..10_u64 {
                let mid = u128::from(second * 10 + text).to_be_bytes();
                book.note_text(BOB, mid, at(second * 1000));
            }
            let _ = book.write(at(second * 1000), 1);
        }
        assert!(book.write_all(at(1_000_000), 1).is_err());
        assert_eq!((book.changes.len(), book.texts[&BOB].len()), (0, SEEN_SESSION_TEXTS));
        letters.fill(false);
        assert!(book.due().is_some());
        book.write(at(2_000_000), 1).unwrap();
        assert_eq!(letters.peer(&BOB).unwrap().seen.len(), SEEN_SESSION_TEXTS);
        assert_eq!(book.due(), None);
    }

    #[test]
    fn texts_that_come_while_nothing_can_be_written_wake_nobody_before_the_next_attempt() {
        let (mut book, letters) = book();
        letters.fill(true);
        book.note(Change::Erase { id: 1 });
        for millis in [0, 1000] {
            assert!(book.write(at(millis), 1).is_err());
        }
        book.note_text(BOB, [1; 16], at(1100));
        assert_eq!(book.write(at(2200), 1), Ok(Vec::new()));
        assert!(book.due() > Some(at(2200)), "it would wake at once, and again");
    }

    #[test]
    fn what_waits_is_confirmed_once_or_given_up() {
        let (mut book, letters) = book();
        let letter = |to: &str, number: u8| WaitingLetter {
            to: to.to_owned(),
            mid: [number; 16],
            id: number.to_string(),
            stored: number.into(),
        };
        for (to, number) in [("bob", 1), ("bob", 2), ("carol", 3), ("bob", 2)] {
            book.wait(letter(to, number));
        }
        assert_eq!(book.settle("carol", &[1; 16]), None);
        assert_eq!(book.settle("carol", &[3; 16]), Some(letter("carol", 3)));
        assert!(book.waits_for("bob") && !book.waits_for("carol"));
        assert_eq!(book.give_up_before(2), [letter("bob", 1)]);
        book.write(at(0), 1).unwrap();
        assert_eq!(letters.kept().waiting, [letter("bob", 2)]);
        let mut again = Book::new(Box::new(letters));
        again.visit(relay(1), 1).unwrap();
        assert!(again.waits_for("bob"));
    }
}
