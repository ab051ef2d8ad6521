//! Our lease: when it is to be renewed, and since when it is not to be believed any more.
//!
//! Instants are times since any fixed start, by a clock that goes on while the machine is suspended
//! (`CLOCK_BOOTTIME`). The engine counts a lease from the arrival of a renewal, which is after it
//! was sent. So whoever counts from the sending of the last renewal that was answered stops to
//! believe in the lease before the engine does.

use std::time::Duration;

use super::limits::{FENCE, LEASE_MARGIN, REFUSED_PAUSE, RENEWAL};
use super::names::{LeaseAnswer, LeaseStep};

/// The lease of one incarnation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lease {
    /// When the last question that was answered with "held" was sent.
    held_since: Option<Duration>,
    /// When the question was sent that is under way.
    asked: Option<Duration>,
    /// When the last question was sent.
    last_asked: Option<Duration>,
    /// When the next lease of another relay has ended unless that renews it: a renewal tells which
    /// have.
    look_at: Option<Duration>,
    /// Nothing is asked before: the engine has just refused something.
    earliest: Duration,
    /// It ended, or was refused: only another incarnation can have one.
    has_ended: bool,
}

impl Lease {
    /// What to ask the engine now, if anything. Call [`sent`](Self::sent) if it was asked.
    pub fn due(&self, now: Duration) -> Option<LeaseStep> {
        if self.has_ended || !self.may_ask(now) {
            return None;
        }
        match (self.held_since, self.last_asked) {
            (None, _) => Some(LeaseStep::Take),
            (Some(_), Some(last)) if now < self.renew_at(last) => None,
            (Some(_), _) => Some(LeaseStep::Renew),
        }
    }

    /// When the next question is due, the last of which was sent at that time.
    fn renew_at(&self, last: Duration) -> Duration {
        let at = last + RENEWAL;
        self.look_at.map_or(at, |look_at| look_at.min(at))
    }

    /// Whether a question may be sent: no answer is awaited, and the engine has not just refused
    /// something.
    pub fn may_ask(&self, now: Duration) -> bool {
        self.asked.is_none() && now >= self.earliest
    }

    /// The question was sent.
    pub const fn sent(&mut self, now: Duration) {
        self.asked = Some(now);
        self.last_asked = Some(now);
    }

    /// The question that is under way was answered, now.
    pub fn answered(&mut self, answer: &LeaseAnswer, now: Duration) {
        let Some(asked) = self.asked.take() else { return };
        match answer {
            LeaseAnswer::Held { next_end, .. } => {
                self.held_since = Some(asked);
                self.look_at = Some(now + *next_end + LEASE_MARGIN);
            }
            _ => self.has_ended = true,
        }
    }

    /// The engine did not take the question, or the connection was lost: there is no answer.
    ///
    /// Of a lease that was being taken it is not known whether the engine gave it: another
    /// incarnation is needed.
    pub const fn unanswered(&mut self) {
        if self.asked.take().is_some() && self.held_since.is_none() {
            self.has_ended = true;
        }
        self.last_asked = None;
    }

    /// The engine has refused something: it is not asked again at once.
    pub fn pause(&mut self, now: Duration) {
        self.earliest = now + REFUSED_PAUSE;
    }

    /// That of the next incarnation, which is still to be taken.
    #[must_use]
    pub fn next_life(&self) -> Self {
        Self { earliest: self.earliest, ..Self::default() }
    }

    /// Whether it was ever held.
    pub const fn was_held(&self) -> bool {
        self.held_since.is_some()
    }

    /// Whether names may be taken and frames sent to other relays.
    pub fn is_held(&self, now: Duration) -> bool {
        self.fenced_at().is_some_and(|end| now < end)
    }

    /// When it stops to be believed, unless a renewal is answered before; `None` where it is not
    /// held.
    pub fn fenced_at(&self) -> Option<Duration> {
        self.held_since.filter(|_| !self.has_ended).map(|since| since + FENCE)
    }

    /// Whether it is over for this incarnation: the relay needs another one, and takes a new
    /// snapshot.
    pub const fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// When to look again: at the next renewal, or at the end of belief. `None` while an answer is
    /// awaited and nothing is held.
    pub fn next(&self, now: Duration) -> Option<Duration> {
        let renewal = match (self.asked, self.last_asked) {
            (Some(_), _) => None,
            (None, Some(last)) if self.held_since.is_some() => Some(self.renew_at(last)),
            (None, _) => Some(now),
        };
        let renewal = renewal.map(|at| at.max(self.earliest));
        let fence = self.fenced_at().filter(|end| now < *end);
        let both = [renewal.filter(|_| !self.has_ended), fence];
        both.into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::super::limits::LEASE;
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn held() -> LeaseAnswer {
        held_and_next(LEASE)
    }

    fn held_and_next(next_end: Duration) -> LeaseAnswer {
        LeaseAnswer::Held { epoch: String::new(), change: 0, inbox: 0, next_end, dead: Vec::new() }
    }

    /// Taken at 100 s, as the answer came at 101 s.
    fn taken() -> Lease {
        let mut lease = Lease::default();
        assert_eq!(lease.due(s(100)), Some(LeaseStep::Take));
        lease.sent(s(100));
        assert!(lease.due(s(101)).is_none() && !lease.is_held(s(101)));
        lease.answered(&held(), s(101));
        lease
    }

    #[test]
    fn it_is_renewed_earlier_where_another_relay_may_have_ended() {
        let mut lease = taken();
        lease.sent(s(103));
        // Others that renew theirs in time change nothing.
        lease.answered(&held_and_next(s(7)), s(103));
        assert_eq!(lease.next(s(103)), Some(s(106)));
        lease.sent(s(106));
        lease.answered(&held_and_next(s(1)), s(107));
        let at = s(108) + LEASE_MARGIN;
        assert_eq!((lease.next(s(107)), lease.due(s(108))), (Some(at), None));
        assert_eq!(lease.due(at), Some(LeaseStep::Renew));
    }

    #[test]
    fn it_is_believed_from_the_sending_of_what_was_answered() {
        let mut lease = taken();
        assert!(lease.is_held(s(107)) && !lease.is_held(s(108)));
        assert_eq!((lease.due(s(102)), lease.next(s(101))), (None, Some(s(103))));
        assert_eq!(lease.due(s(103)), Some(LeaseStep::Renew));
        lease.sent(s(103));
        assert_eq!(lease.next(s(103)), Some(s(108)));
        assert!(!lease.is_held(s(108)), "an answer that is awaited counts for nothing");
        lease.answered(&held(), s(104));
        assert!(lease.is_held(s(110)) && !lease.is_held(s(111)));
    }

    #[test]
    fn it_stops_to_be_believed_before_the_engine_ends_it() {
        const { assert!(FENCE.as_millis() + 2_000 <= LEASE.as_millis()) };
        const { assert!(2 * RENEWAL.as_millis() < FENCE.as_millis()) };
        // The machine was suspended: the clock went on.
        assert!(!taken().is_held(s(100_000)));
    }

    #[test]
    fn a_lost_renewal_is_sent_again_and_a_lost_taking_is_not() {
        let mut lease = taken();
        lease.sent(s(103));
        lease.unanswered();
        assert_eq!((lease.due(s(104)), lease.next(s(104))), (Some(LeaseStep::Renew), Some(s(104))));
        assert!(lease.is_held(s(107)) && !lease.has_ended());
        let mut lost = Lease::default();
        lost.sent(s(1));
        lost.unanswered();
        assert!(lost.has_ended() && lost.due(s(2)).is_none() && lost.next(s(2)).is_none());
    }

    #[test]
    fn what_was_refused_is_not_asked_again_at_once() {
        let mut lease = taken();
        lease.sent(s(103));
        lease.unanswered();
        lease.pause(s(103));
        let again = s(103) + REFUSED_PAUSE;
        assert_eq!((lease.due(s(103)), lease.next(s(103))), (None, Some(again)));
        assert_eq!(lease.due(again), Some(LeaseStep::Renew));
        let mut refused = Lease::default();
        refused.sent(s(1));
        refused.unanswered();
        refused.pause(s(1));
        let next = refused.next_life();
        assert_eq!((next.due(s(1)), next.next(s(1))), (None, Some(s(1) + REFUSED_PAUSE)));
        assert_eq!(next.due(s(1) + REFUSED_PAUSE), Some(LeaseStep::Take));
    }

    #[test]
    fn what_is_gone_stays_gone() {
        let mut lease = taken();
        lease.sent(s(103));
        lease.answered(&LeaseAnswer::Gone, s(103));
        assert!(lease.has_ended() && !lease.is_held(s(103)) && lease.due(s(200)).is_none());
        lease.answered(&held(), s(103));
        assert!(lease.has_ended() && !lease.is_held(s(103)));
    }
}
