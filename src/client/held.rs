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

/// Whether the user is told of a letter that is held for this `reason`, and told again until it is
/// not: strangers could fill the screen. That the key of a name has changed is nothing that a
/// stranger can bring about.
fn is_told(core: &ClientCore, letter: &ParkedLetter, reason: Caution) -> bool {
    reason == Caution::KeyChanged || core.knows(&letter.from)
}

/// Tells which letters are held.
pub(super) fn tell_held(core: &mut ClientCore, parked: &[ParkedLetter]) {
    let now_ms = core.wall_ms();
    let mut counts = BTreeMap::new();
    for letter in parked {
        if let Some(reason) = why_held(core.peers.file(), letter, core.strict, now_ms)
            && is_told(core, letter, reason)
        {
            *counts.entry((&letter.from, letter.fp, reason)).or_insert(0) += 1;
        }
    }
    for ((from, fp, reason), count) in counts {
        core.tell(Event::LettersHeld { from: from.clone(), fp, count, reason });
    }
}

/// How many of these letters the user is told of that are not shown because the key is not
/// accepted.
pub(super) fn untrusted(core: &ClientCore, parked: &[ParkedLetter]) -> usize {
    let is_untrusted = |letter: &&ParkedLetter| {
        let whenever = u64::MAX; // no letter is of the future then
        why_held(core.peers.file(), letter, core.strict, whenever)
            .is_some_and(|reason| is_told(core, letter, reason))
    };
    parked.iter().filter(is_untrusted).count()
}
