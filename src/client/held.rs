//! Letters that are held: parked, because their sender's key is not accepted, or because they are
//! from the future by our clock.
//!
//! Why one is held is looked up each time and kept nowhere: the user may have accepted the key, or
//! compared it, since.

use std::collections::BTreeMap;

use super::core::ClientCore;
use super::letter_book::ParkedLetter;
use super::pins::PinFile;
use super::trust::{PeerPin, Trust};
use super::{Caution, Event};
use crate::limits::CLOCK_SKEW;

/// Why `letter` is not shown now, by what is pinned: `KeyChanged`, `NotVerified` (with `strict`
/// only) or `ClockSkew`. `None`: nothing here holds it. `now_ms`: milliseconds since 1970.
pub fn why_held(
    pins: &PinFile<PeerPin>,
    letter: &ParkedLetter,
    strict: bool,
    now_ms: u64,
) -> Option<Caution> {
    let skew = u64::try_from(CLOCK_SKEW.as_millis()).unwrap_or(u64::MAX);
    let pin = pins.find(&letter.from);
    if pin.is_some_and(|pin| pin.fp != letter.fp) {
        return Some(Caution::KeyChanged);
    }
    if strict && pin.is_none_or(|pin| pin.trust != Trust::Verified) {
        return Some(Caution::NotVerified);
    }
    let is_of_the_future =
        letter.created_ms().is_some_and(|created| created > now_ms.saturating_add(skew));
    is_of_the_future.then_some(Caution::ClockSkew)
}

/// Tells which letters are held. Only those of peers whom we know: others
/// could fill the user's screen.
pub(super) fn tell_held(core: &mut ClientCore, parked: &[ParkedLetter]) {
    let now_ms = core.wall_ms();
    let mut counts = BTreeMap::new();
    for letter in parked.iter().filter(|letter| core.knows(&letter.from)) {
        if let Some(reason) = why_held(core.peers.file(), letter, core.strict, now_ms) {
            *counts.entry((&letter.from, letter.fp, reason)).or_insert(0) += 1;
        }
    }
    for ((from, fp, reason), count) in counts {
        core.tell(Event::LettersHeld { from: from.clone(), fp, count, reason });
    }
}

/// How many of these letters are of peers whom we know, and not shown because the key is not
/// accepted.
pub(super) fn untrusted(core: &ClientCore, parked: &[ParkedLetter]) -> usize {
    let is_untrusted = |letter: &&ParkedLetter| {
        let whenever = u64::MAX; // no letter is of the future then
        core.knows(&letter.from)
            && why_held(core.peers.file(), letter, core.strict, whenever).is_some()
    };
    parked.iter().filter(is_untrusted).count()
}
