//! Frames for users at other relays: what was gathered in this tick, and what was not answered yet.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use super::parcel::{Outcome, ParcelDraft, Row};
use crate::cluster::Incarnation;
use crate::reactor::{Time, Token};
use crate::relay::limits::{
    CLUSTER_ANSWER_TIME, CLUSTER_FRAMES, CLUSTER_FRAMES_A_SENDER, CLUSTER_PARCEL,
};
use crate::relay::tally::Tally;

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    relays: BTreeMap<Incarnation, ToRelay>,
    /// How many of [`ToRelay::under_way`] are of each connection.
    senders: Tally,
    /// How many there are in all.
    entries: usize,
    /// How many frames they are.
    frames: usize,
    /// Bytes that were gathered in this tick.
    gathered: usize,
}

/// Those for one relay.
#[derive(Debug, Default)]
struct ToRelay {
    /// The number of the next frame.
    next: u64,
    /// What was gathered in this tick, in order.
    drafts: Vec<ParcelDraft>,
    /// What was not answered, by number.
    under_way: VecDeque<FarFrames>,
}

/// Frames that were not answered yet: one that has an `id`, or some without that follow each other
/// from one sender to one addressee.
#[derive(Clone, Debug)]
pub(super) struct FarFrames {
    first: u64,
    pub(super) count: u32,
    pub(super) from: Token,
    pub(super) to: Rc<str>,
    pub(super) id: Option<Box<str>>,
    since: Time,
}

/// Frames, and what became of them.
pub(super) type Settled = (FarFrames, Outcome);

impl Outgoing {
    /// Whether a frame of `from` has no room.
    pub(super) fn is_full(&self, from: Token) -> bool {
        self.entries >= CLUSTER_FRAMES || self.senders.of(from) >= CLUSTER_FRAMES_A_SENDER
    }

    /// Whether frames of `from` were not answered.
    pub(super) fn has(&self, from: Token) -> bool {
        self.senders.of(from) > 0
    }

    /// How many frames were not answered.
    pub(super) const fn len(&self) -> usize {
        self.frames
    }

    /// How many bytes were gathered in this tick.
    pub(super) const fn gathered(&self) -> usize {
        self.gathered
    }

    /// Gathers a frame for the relay `at`.
    pub(super) fn push(
        &mut self,
        at: Incarnation,
        (from, id): (Token, Option<Box<str>>),
        (to, version2): (&str, bool),
        parts: &[&[u8]],
        now: Time,
    ) {
        let relay = self.relays.entry(at).or_default();
        let number = relay.next;
        if relay.drafts.last().is_none_or(|draft| draft.len() >= CLUSTER_PARCEL) {
            relay.drafts.push(ParcelDraft::new(number));
        }
        if let Some(draft) = relay.drafts.last_mut() {
            let before = draft.len();
            draft.push(to, version2, parts);
            self.gathered += draft.len() - before;
        }
        relay.next += 1;
        self.frames += 1;
        if let Some(last) = relay.under_way.back_mut()
            && last.takes(from, id.as_deref(), to, now)
        {
            last.count += 1;
            return;
        }
        let to = match relay.under_way.back() {
            Some(last) if *last.to == *to => Rc::clone(&last.to),
            _ => Rc::from(to),
        };
        relay.under_way.push_back(FarFrames { first: number, count: 1, from, to, id, since: now });
        self.entries += 1;
        self.senders.add(from);
    }

    /// Takes what was gathered.
    pub(super) fn take_drafts(&mut self) -> Vec<(Incarnation, ParcelDraft)> {
        self.gathered = 0;
        let drafts = self.relays.iter_mut();
        drafts.flat_map(|(&at, relay)| relay.drafts.drain(..).map(move |it| (at, it))).collect()
    }

    /// Ends a row of frames for the relay `at`. Those that were answered before are passed over.
    pub(super) fn settle(&mut self, at: Incarnation, row: Row) -> Vec<Settled> {
        let Some(relay) = self.relays.get_mut(&at) else { return Vec::new() };
        for place in [row.first, row.end()] {
            if let Some(from) = relay.divide(place) {
                self.entries += 1;
                self.senders.add(from);
            }
        }
        let begin = relay.under_way.partition_point(|it| it.first < row.first);
        let behind = relay.under_way.partition_point(|it| it.first < row.end());
        let ended: Vec<_> = relay.under_way.drain(begin..behind).collect();
        self.forget(ended, row.outcome)
    }

    /// Ends all frames for the relay `at`.
    pub(super) fn settle_all(&mut self, at: Incarnation, outcome: Outcome) -> Vec<Settled> {
        let Some(relay) = self.relays.remove(&at) else { return Vec::new() };
        self.forget(relay.under_way.into(), outcome)
    }

    /// The relays for which frames are under way.
    pub(super) fn relays(&self) -> Vec<Incarnation> {
        self.relays.keys().copied().collect()
    }

    /// Ends those for which no answer has come in time.
    pub(super) fn settle_late(&mut self, now: Time, outcome: Outcome) -> Vec<Settled> {
        let mut late = Vec::new();
        for relay in self.relays.values_mut() {
            let is_late = |it: &FarFrames| it.since + CLUSTER_ANSWER_TIME <= now;
            let count = relay.under_way.partition_point(is_late);
            late.extend(relay.under_way.drain(..count));
        }
        self.forget(late, outcome)
    }

    /// When the first of them is late.
    pub(super) fn due(&self) -> Option<Time> {
        let oldest = self.relays.values().filter_map(|relay| relay.under_way.front());
        oldest.map(|it| it.since + CLUSTER_ANSWER_TIME).min()
    }

    fn forget(&mut self, ended: Vec<FarFrames>, outcome: Outcome) -> Vec<Settled> {
        self.entries -= ended.len();
        for it in &ended {
            self.frames -= it.len();
            self.senders.take(it.from);
        }
        ended.into_iter().map(|it| (it, outcome)).collect()
    }
}

impl ToRelay {
    /// Divides frames that belong together before the one with this number. Returns their sender,
    /// of whom there is one entry more now.
    fn divide(&mut self, number: u64) -> Option<Token> {
        let place = self.under_way.partition_point(|it| it.first < number);
        let before = self.under_way.get_mut(place.checked_sub(1)?)?;
        let left = u32::try_from(number - before.first).ok().filter(|left| *left < before.count)?;
        let behind = FarFrames { first: number, count: before.count - left, ..before.clone() };
        before.count = left;
        let from = behind.from;
        self.under_way.insert(place, behind);
        Some(from)
    }
}

impl FarFrames {
    /// Whether a frame that comes next belongs to these.
    fn takes(&self, from: Token, id: Option<&str>, to: &str, now: Time) -> bool {
        let is_alike = self.from == from && *self.to == *to && self.since == now;
        is_alike && self.id.is_none() && id.is_none() && self.count < u32::MAX
    }

    fn len(&self) -> usize {
        usize::try_from(self.count).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::wire::ErrorCode;

    const AT: Incarnation = Incarnation([1; 16]);
    const SENT: Outcome = Outcome::Relayed(None);
    const UNKNOWN: Outcome = Outcome::Refused(ErrorCode::UnknownUser);

    fn token(slot: u32) -> Token {
        Token::new(slot, NonZeroU32::MIN)
    }

    fn push(outgoing: &mut Outgoing, id: &str, bytes: usize, now: Time) {
        let frame = vec![b'x'; bytes];
        outgoing.push(AT, (token(1), Some(id.into())), ("bob", true), &[&frame], now);
    }

    fn ids(settled: Vec<Settled>) -> Vec<String> {
        settled.into_iter().map(|(it, _)| it.id.unwrap().into()).collect()
    }

    #[test]
    fn each_frame_is_ended_once_by_whatever_comes_first() {
        let (mut outgoing, start) = (Outgoing::default(), Time::from_nanos(0));
        let later = start + CLUSTER_ANSWER_TIME / 2;
        for (id, at) in [("a", start), ("b", start), ("c", start), ("d", later)] {
            push(&mut outgoing, id, 10, at);
        }
        assert_eq!(outgoing.take_drafts().len(), 1);
        let row = |first, count| Row { first, count, outcome: SENT };
        assert_eq!(ids(outgoing.settle(AT, row(1, 1))), ["b"]);
        assert_eq!(ids(outgoing.settle(AT, row(0, 2))), ["a"]);
        assert_eq!(outgoing.due(), Some(start + CLUSTER_ANSWER_TIME));
        assert_eq!(ids(outgoing.settle_late(start + CLUSTER_ANSWER_TIME, UNKNOWN)), ["c"]);
        assert_eq!(ids(outgoing.settle_all(AT, UNKNOWN)), ["d"]);
        assert!(outgoing.settle(AT, row(0, 9)).is_empty());
        assert_eq!((outgoing.len(), outgoing.senders.is_empty()), (0, true));
    }

    #[test]
    fn frames_without_an_id_are_one_entry_and_are_divided_where_an_answer_divides_them() {
        let (mut outgoing, now) = (Outgoing::default(), Time::from_nanos(0));
        for _ in 0..5000 {
            outgoing.push(AT, (token(1), None), ("bob", false), &[b"x"], now);
        }
        outgoing.push(AT, (token(1), None), ("carol", false), &[b"x"], now);
        assert!(!outgoing.is_full(token(1)));
        assert_eq!((outgoing.len(), outgoing.entries), (5001, 2));
        let mut settle = |first, count, outcome| {
            let settled = outgoing.settle(AT, Row { first, count, outcome });
            let told = settled.iter().map(|(it, outcome)| (it.first, it.count, *outcome));
            (told.collect::<Vec<_>>(), outgoing.len(), outgoing.entries)
        };
        assert_eq!(settle(10, 20, SENT), (vec![(10, 20, SENT)], 4981, 3));
        assert_eq!(settle(0, 40, UNKNOWN), (vec![(0, 10, UNKNOWN), (30, 10, UNKNOWN)], 4961, 2));
        let rest = vec![(40, 4960, SENT), (5000, 1, SENT)];
        assert_eq!(settle(0, u32::MAX, SENT), (rest, 0, 0));
        assert!(outgoing.senders.is_empty());
    }

    #[test]
    fn a_parcel_and_a_sender_have_their_limits() {
        let (mut outgoing, now) = (Outgoing::default(), Time::from_nanos(0));
        for _ in 0..3 {
            push(&mut outgoing, "a", CLUSTER_PARCEL, now);
        }
        let counts: Vec<_> = outgoing.take_drafts().iter().map(|(_, it)| it.count).collect();
        assert_eq!(counts, [1, 1, 1]);
        while !outgoing.is_full(token(1)) {
            push(&mut outgoing, "a", 1, now);
        }
        assert_eq!(outgoing.len(), CLUSTER_FRAMES_A_SENDER);
        assert!(!outgoing.is_full(token(2)));
    }
}
