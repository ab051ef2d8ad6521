//! What was said in version 2, what was shown of it, and what its sender was told: the account that
//! has to balance.

use std::collections::{BTreeMap, BTreeSet};

use sealwax::client::Failure;

/// Every text that a client took.
#[derive(Default)]
pub(crate) struct Ledger {
    texts: BTreeMap<String, Text>,
    /// The number of the last text that was shown, by sender and its run, addressee and its run.
    last_shown: BTreeMap<(String, u64, String, u64), u64>,
    said: u64,
}

/// One text.
struct Text {
    from: String,
    /// The run of the sender's client that took it.
    run: u64,
    to: String,
    number: u64,
    words: String,
    /// How often anything had disturbed the two when it was said.
    disturbed: u64,
    fate: Fate,
    was_relayed: bool,
    /// The relay keeps it as a letter.
    is_stored: bool,
    /// The relay has lost what it kept while this text had no fate: it may have been among that,
    /// and the answer on its way.
    may_be_lost: bool,
    /// It was a letter when the relay lost what it kept, or soon after.
    is_lost: bool,
    /// The runs of the addressee's client that showed it.
    shown: BTreeSet<u64>,
}

/// What became of a text, as its sender knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Open,
    Delivered,
    Failed(Failure),
}

impl Ledger {
    /// A new text of `length` bytes or some more, with its id.
    pub(crate) fn compose(&mut self, from: &str, to: &str, length: usize) -> (String, String) {
        self.said += 1;
        let id = format!("{from}>{to}:{}", self.said);
        let filler = char::from(b'a' + u8::try_from(self.said % 26).expect("a letter"));
        let text = format!("{id}|{}", String::from(filler).repeat(length));
        (id, text)
    }

    /// A client took it.
    pub(crate) fn said(&mut self, id: String, text: String, parties: (&str, u64, &str), now: u64) {
        let (from, run, to) = parties;
        let entry = Text {
            from: from.to_owned(),
            run,
            to: to.to_owned(),
            number: self.said,
            words: text,
            disturbed: now,
            fate: Fate::Open,
            was_relayed: false,
            is_stored: false,
            may_be_lost: false,
            is_lost: false,
            shown: BTreeSet::new(),
        };
        assert!(self.texts.insert(id, entry).is_none());
    }

    /// The client of `at` showed a text in this run of it.
    pub(crate) fn shown(&mut self, at: &str, run: u64, from: &str, text: &str, disturbed: u64) {
        let id = text.split('|').next().unwrap_or_default();
        let Some(entry) = self.texts.get_mut(id) else { panic!("{at} shows what nobody said") };
        assert_eq!((&*entry.from, &*entry.to), (from, at), "{id} is shown at the wrong place");
        assert!(entry.words == text, "{id} is not whole");
        assert!(entry.shown.insert(run), "{id} is shown twice");
        let pair = (from.to_owned(), entry.run, at.to_owned(), run);
        let last = self.last_shown.entry(pair).or_default();
        let is_in_order = entry.number > *last;
        assert!(is_in_order || entry.disturbed != disturbed, "{id} is shown after number {last}");
        *last = entry.number.max(*last);
    }

    /// The sender's client told what became of `id`.
    pub(crate) fn told(&mut self, id: &str, fate: Fate) {
        let Some(entry) = self.texts.get_mut(id) else { panic!("{id} was never said") };
        assert_eq!(entry.fate, Fate::Open, "{id} is decided twice: {fate:?}");
        entry.fate = fate;
        assert!(fate != Fate::Delivered || !entry.shown.is_empty(), "{id} was never shown");
    }

    /// The sender's client told that the relay had taken `id`.
    pub(crate) fn relayed(&mut self, id: &str) {
        let Some(entry) = self.texts.get_mut(id) else { panic!("{id} was never said") };
        assert!(!std::mem::replace(&mut entry.was_relayed, true), "{id} is relayed twice");
    }

    /// The sender's client told that the relay had stored `id`.
    pub(crate) fn stored(&mut self, id: &str) {
        let Some(entry) = self.texts.get_mut(id) else { panic!("{id} was never said") };
        assert!(!std::mem::replace(&mut entry.is_stored, true), "{id} is stored twice");
        entry.is_lost |= entry.may_be_lost;
    }

    /// The relay's disk is empty: nobody is ever told of the letters on it.
    pub(crate) fn letters_are_lost(&mut self) {
        for text in self.texts.values_mut() {
            text.is_lost |= text.is_stored;
            text.may_be_lost |= text.fate == Fate::Open;
        }
    }

    /// Texts of this run of `from` to somebody who is `there`, of whose fate it was not told. Those
    /// to others wait for them. That a letter was shown may never be told: its receipt counts as
    /// sent when the relay has passed it on, and may be lost with the sender's connection.
    pub(crate) fn open(&self, from: &str, run: u64, there: &BTreeSet<String>) -> Vec<&str> {
        let open = self.texts.iter().filter(|(_, text)| {
            text.fate == Fate::Open
                && !text.is_lost
                && (!text.is_stored || text.shown.is_empty())
                && text.from == from
                && text.run == run
                && there.contains(&text.to)
        });
        open.map(|(id, _)| id.as_str()).collect()
    }

    /// How many texts were said, shown to their addressee, and failed.
    pub(crate) fn totals(&self) -> [u64; 3] {
        let shown = self.texts.values().filter(|text| !text.shown.is_empty()).count();
        let failed = self.texts.values().filter(|text| matches!(text.fate, Fate::Failed(_)));
        [self.texts.len(), shown, failed.count()].map(|count| count as u64)
    }
}
