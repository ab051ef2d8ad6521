//! Frames for users at other relays: what was gathered in this tick, and what was not answered yet.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use super::parcel::{Outcome, ParcelDraft, Row};
use crate::cluster::Incarnation;
use crate::reactor::{Time, Token};
use crate::relay::limits::{
    CLUSTER_ANSWER_TIME, CLUSTER_FRAMES, CLUSTER_FRAMES_A_SENDER, CLUSTER_PARCEL,
};

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    relays: BTreeMap<Incarnation, ToRelay>,
    /// Frames of each connection that were not answered.
    senders: BTreeMap<Token, usize>,
    count: usize,
}

/// Those for one relay.
#[derive(Debug, Default)]
struct ToRelay {
    /// The number of the next frame.
    next: u64,
    /// What was gathered in this tick, in order.
    drafts: Vec<ParcelDraft>,
    /// What was not answered, by number.
    under_way: VecDeque<FarFrame>,
    /// The last addressee, whose name consecutive frames share.
    last_to: Option<Rc<str>>,
}

/// A frame that was not answered yet.
#[derive(Debug)]
pub(super) struct FarFrame {
    number: u64,
    pub(super) from: Token,
    pub(super) to: Rc<str>,
    pub(super) id: Option<Box<str>>,
    since: Time,
}

/// A frame, and what became of it.
pub(super) type Settled = (FarFrame, Outcome);

impl Outgoing {
    /// Whether a frame of `from` has no room.
    pub(super) fn is_full(&self, from: Token) -> bool {
        self.count >= CLUSTER_FRAMES
            || self.senders.get(&from).is_some_and(|count| *count >= CLUSTER_FRAMES_A_SENDER)
    }

    /// How many frames were not answered.
    pub(super) const fn len(&self) -> usize {
        self.count
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
        let is_full = |draft: &ParcelDraft| draft.bytes().len() >= CLUSTER_PARCEL;
        let number = relay.next;
        if relay.drafts.last().is_none_or(is_full) {
            relay.drafts.push(ParcelDraft::new(number));
        }
        if let Some(draft) = relay.drafts.last_mut() {
            draft.push(to, version2, parts);
        }
        let to = match &relay.last_to {
            Some(last) if **last == *to => Rc::clone(last),
            _ => Rc::from(to),
        };
        relay.last_to = Some(Rc::clone(&to));
        relay.next += 1;
        relay.under_way.push_back(FarFrame { number, from, to, id, since: now });
        self.count += 1;
        *self.senders.entry(from).or_default() += 1;
    }

    /// Takes what was gathered.
    pub(super) fn take_drafts(&mut self) -> Vec<(Incarnation, ParcelDraft)> {
        let drafts = self.relays.iter_mut();
        drafts.flat_map(|(&at, relay)| relay.drafts.drain(..).map(move |it| (at, it))).collect()
    }

    /// Ends a row of frames for the relay `at`. Those that were answered before are passed over.
    pub(super) fn settle(&mut self, at: Incarnation, row: Row) -> Vec<Settled> {
        let Some(relay) = self.relays.get_mut(&at) else { return Vec::new() };
        let end = row.first.saturating_add(row.count.into());
        let begin = relay.under_way.partition_point(|frame| frame.number < row.first);
        let behind = relay.under_way.partition_point(|frame| frame.number < end);
        let frames: Vec<_> = relay.under_way.drain(begin..behind).collect();
        self.forget(frames, row.outcome)
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
            let is_late = |frame: &FarFrame| frame.since + CLUSTER_ANSWER_TIME <= now;
            let count = relay.under_way.partition_point(is_late);
            late.extend(relay.under_way.drain(..count));
        }
        self.forget(late, outcome)
    }

    /// When the first of them is late.
    pub(super) fn due(&self) -> Option<Time> {
        let oldest = self.relays.values().filter_map(|relay| relay.under_way.front());
        oldest.map(|frame| frame.since + CLUSTER_ANSWER_TIME).min()
    }

    fn forget(&mut self, frames: Vec<FarFrame>, outcome: Outcome) -> Vec<Settled> {
        self.count -= frames.len();
        for frame in &frames {
            if let Some(count) = self.senders.get_mut(&frame.from) {
                *count -= 1;
                if *count == 0 {
                    self.senders.remove(&frame.from);
                }
            }
        }
        frames.into_iter().map(|frame| (frame, outcome)).collect()
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
        settled.into_iter().map(|(frame, _)| frame.id.unwrap().into()).collect()
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
        assert_eq!((outgoing.len(), outgoing.senders.len()), (0, 0));
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
