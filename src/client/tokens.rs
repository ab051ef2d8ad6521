//! How many new sessions we compute: each takes a private RSA operation, so others could keep us
//! busy.
//!
//! A session takes a token from its peer's bucket, and one from the bucket of those like it
//! ([`Share`]). So one peer cannot use up what all share; strangers, however many, cannot use up
//! what the others share; and known strangers cannot use up what new ones share.

use crate::limits::{
    KNOWN_LETTERS_PER_SECOND, LETTER_BURST, LETTERS_PER_SECOND, SESSION_BURST, SESSIONS_PER_SECOND,
    STRANGER_LETTER_BURST, STRANGER_LETTERS_PER_SECOND, STRANGER_SESSIONS_PER_SECOND,
};
use crate::reactor::Time;
use crate::tokens::{Bucket, Rate};

/// The rate of each peer.
const PEER: Rate = Rate::new(SESSION_BURST, 1);
/// The rate of all peers together that are no strangers.
const KNOWN: Rate = Rate::new(SESSIONS_PER_SECOND, SESSIONS_PER_SECOND);
/// The rate of all strangers of one kind together.
const STRANGERS: Rate = Rate::new(STRANGER_SESSIONS_PER_SECOND, STRANGER_SESSIONS_PER_SECOND);

/// Which bucket a peer shares with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// We wrote to it, or accepted or compared its key by hand.
    Known,
    /// A stranger whose key is pinned.
    Met,
    /// A stranger whose first session this would be.
    New,
}

/// The buckets that peers share.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    known: Bucket,
    met: Bucket,
    new: Bucket,
}

impl Tokens {
    /// Takes the tokens for a new session; if a bucket is empty, takes none and returns `false`.
    pub(super) fn take(&mut self, peer: &mut Bucket, share: Share, now: Time) -> bool {
        let (shared, rate) = match share {
            Share::Known => (&mut self.known, KNOWN),
            Share::Met => (&mut self.met, STRANGERS),
            Share::New => (&mut self.new, STRANGERS),
        };
        let allowed = peer.holds_one(PEER, now) && shared.take(rate, now);
        if allowed {
            peer.spend(PEER, now);
        }
        allowed
    }
}

/// The letters of each peer that is no stranger.
const LETTERS: Rate = Rate::new(LETTER_BURST, LETTERS_PER_SECOND);
/// Those of all such peers together.
const KNOWN_LETTERS: Rate = Rate::new(LETTER_BURST, KNOWN_LETTERS_PER_SECOND);
/// Those of all strangers together.
const STRANGERS_LETTERS: Rate = Rate::new(STRANGER_LETTER_BURST, STRANGER_LETTERS_PER_SECOND);

/// The buckets of letters. They are apart from those of sessions: a full letterbox is opened at
/// once, and its owner can still be written to meanwhile.
#[derive(Debug, Default)]
pub(super) struct LetterTokens {
    known: Bucket,
    strangers: Bucket,
}

impl LetterTokens {
    /// Takes the tokens for opening a letter. If a bucket is empty, none is taken, and the error is
    /// when to try again.
    pub(super) fn take(
        &mut self,
        peer: &mut Bucket,
        is_stranger: bool,
        now: Time,
    ) -> Result<(), Time> {
        let (own, shared, rate) = if is_stranger {
            (now, &mut self.strangers, STRANGERS_LETTERS)
        } else {
            (peer.next(LETTERS, now), &mut self.known, KNOWN_LETTERS)
        };
        let next = shared.next(rate, now).max(own);
        if next > now {
            return Err(next);
        }
        shared.spend(rate, now);
        if !is_stranger {
            peer.spend(LETTERS, now);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Time {
        Time::from_nanos(1_000_000_000_000 + milliseconds * 1_000_000)
    }

    /// How many sessions of the peer are allowed at once.
    fn drain(tokens: &mut Tokens, peer: &mut Bucket, share: Share, now: Time) -> usize {
        (0..100).take_while(|_| tokens.take(peer, share, now)).count()
    }

    #[test]
    fn a_peer_has_a_burst_and_then_one_a_second() {
        let mut peer = Bucket::default();
        let mut count = |now| {
            (0..100).take_while(|_| Tokens::default().take(&mut peer, Share::Known, now)).count()
        };
        assert_eq!(count(at(0)), 4);
        assert_eq!(count(at(999)), 0);
        assert_eq!(count(at(1001)), 1);
        assert_eq!(count(at(1_000_000)), 4);
    }

    #[test]
    fn strangers_cannot_use_up_what_is_there_for_the_others_nor_the_others_theirs() {
        let mut tokens = Tokens::default();
        let mut crowd = |share, now| -> usize {
            (0..5).map(|_| drain(&mut tokens, &mut Bucket::default(), share, now)).sum()
        };
        assert_eq!((crowd(Share::Met, at(0)), crowd(Share::Met, at(0))), (5, 0));
        assert_eq!(crowd(Share::New, at(0)), 5);
        assert_eq!((crowd(Share::Known, at(0)), crowd(Share::Known, at(0))), (10, 0));
        assert_eq!((crowd(Share::Known, at(300)), crowd(Share::Met, at(300))), (3, 1));
    }

    #[test]
    fn no_peer_uses_up_what_it_shares() {
        for share in [Share::Known, Share::Met, Share::New] {
            let mut tokens = Tokens::default();
            assert_eq!(drain(&mut tokens, &mut Bucket::default(), share, at(0)), 4);
            assert!(drain(&mut tokens, &mut Bucket::default(), share, at(0)) > 0);
        }
    }

    #[test]
    fn a_full_letterbox_is_opened_at_once_and_strangers_have_their_own_share() {
        let mut tokens = LetterTokens::default();
        let mut drain = |peer: &mut Bucket, is_stranger, now| {
            (0..1000).take_while(|_| tokens.take(peer, is_stranger, now).is_ok()).count()
        };
        let (mut bob, mut carol) = (Bucket::default(), Bucket::default());
        assert_eq!(drain(&mut bob, false, at(0)), 128);
        assert_eq!(drain(&mut carol, false, at(0)), 0, "all known peers share");
        assert_eq!(drain(&mut carol, true, at(0)), 8);
        assert_eq!(
            (drain(&mut bob, false, at(1000)), drain(&mut carol, false, at(1000))),
            (16, 16)
        );
        assert_eq!(drain(&mut carol, true, at(1000)), 5);
        assert_eq!(tokens.take(&mut bob, true, at(1000)), Err(at(1200)));
    }

    #[test]
    fn what_is_refused_costs_the_peer_nothing() {
        let mut tokens = Tokens::default();
        let mut peers = [Bucket::default(); 3];
        let taken = peers.each_mut().map(|peer| drain(&mut tokens, peer, Share::Known, at(0)));
        assert_eq!(taken, [4, 4, 2]);
        let left = (0..100).take_while(|_| peers[2].take(PEER, at(0))).count();
        assert_eq!(left, 2);
    }
}
