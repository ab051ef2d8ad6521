//! How many new sessions we compute: each takes a private RSA operation, so others could keep us
//! busy.
//!
//! A session takes a token from its peer's bucket and one from the bucket over all; one of a peer
//! that is not pinned yet takes a third, from the strangers' share. So a peer cannot use up what is
//! there for all, nor can newcomers.

use crate::limits::{SESSION_BURST, SESSIONS_PER_SECOND, UNPINNED_SESSIONS_PER_SECOND};
use crate::reactor::Time;
use crate::tokens::{Bucket, Rate};

/// Of each peer.
const PEER: Rate = Rate::new(SESSION_BURST, 1);
/// Of all together.
const ALL: Rate = Rate::new(SESSIONS_PER_SECOND, SESSIONS_PER_SECOND);
/// Of all that are not pinned together.
const UNPINNED: Rate = Rate::new(UNPINNED_SESSIONS_PER_SECOND, UNPINNED_SESSIONS_PER_SECOND);

/// What all peers share.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    all: Bucket,
    unpinned: Bucket,
}

impl Tokens {
    /// Takes what a new session costs; `false`, and nothing taken, where a bucket is empty.
    pub(super) fn take(&mut self, peer: &mut Bucket, is_pinned: bool, now: Time) -> bool {
        let mut buckets = [
            Some((peer, PEER)),
            Some((&mut self.all, ALL)),
            (!is_pinned).then_some((&mut self.unpinned, UNPINNED)),
        ];
        let allowed = buckets.iter().flatten().all(|(bucket, rate)| bucket.holds_one(*rate, now));
        if allowed {
            buckets.iter_mut().flatten().for_each(|(bucket, rate)| bucket.spend(*rate, now));
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Time {
        Time::from_nanos(1_000_000_000_000 + milliseconds * 1_000_000)
    }

    /// How many sessions of the peer are allowed at once.
    fn drain(tokens: &mut Tokens, peer: &mut Bucket, is_pinned: bool, now: Time) -> usize {
        (0..100).take_while(|_| tokens.take(peer, is_pinned, now)).count()
    }

    #[test]
    fn a_peer_has_a_burst_and_then_one_a_second() {
        let mut peer = Bucket::default();
        let mut count =
            |now| (0..100).take_while(|_| Tokens::default().take(&mut peer, true, now)).count();
        assert_eq!(count(at(0)), 16);
        assert_eq!(count(at(999)), 0);
        assert_eq!(count(at(1001)), 1);
        assert_eq!(count(at(1_000_000)), 16);
    }

    #[test]
    fn all_peers_together_and_newcomers_among_them_have_their_share() {
        let mut tokens = Tokens::default();
        assert_eq!(drain(&mut tokens, &mut Bucket::default(), false, at(0)), 5);
        assert_eq!(drain(&mut tokens, &mut Bucket::default(), false, at(0)), 0);
        assert_eq!(drain(&mut tokens, &mut Bucket::default(), true, at(0)), 5);
        assert_eq!(drain(&mut tokens, &mut Bucket::default(), true, at(0)), 0);
        assert_eq!(drain(&mut tokens, &mut Bucket::default(), true, at(300)), 3);
    }

    #[test]
    fn what_is_refused_costs_the_others_nothing() {
        let mut tokens = Tokens::default();
        let mut peer = Bucket::default();
        assert_eq!(drain(&mut tokens, &mut peer, true, at(0)), 10);
        let left = (0..100).take_while(|_| peer.take(PEER, at(0))).count();
        assert_eq!(left, 6);
    }
}
