//! How often things happened: each reason to refuse, to close and to hold back has a counter.
//!
//! Knows codes and numbers. Everything is counted; what is not zero is told, under names such as
//! `refused_bad_frame`, which are the same in text and in JSON.

use std::collections::BTreeMap;
use std::fmt;

use nix::errno::Errno;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::event::Leaving;
use super::rates::RateClass;
use crate::tls::Fault;
use crate::wire::ErrorCode;

/// The numbers since the start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections that were accepted and kept.
    pub connected: u64,
    /// Connections that were closed at once: there were as many as there may be.
    pub turned_away: u64,
    /// Registrations that succeeded.
    pub registered: u64,
    /// Connections whose last bytes were not taken in time.
    pub cut_off: u64,
    /// How often no connection could be accepted because descriptors or memory were missing.
    pub accept_failed: u64,
    /// Names that the store did not keep.
    pub store_failed: u64,
    /// Letters that the store kept.
    pub letters_stored: u64,
    /// Letters that were queued for their addressee, each time.
    pub letters_delivered: u64,
    /// Letters that were deleted because they were acknowledged.
    pub letters_acknowledged: u64,
    /// Letters that were deleted because they waited for too long.
    pub letters_expired: u64,
    /// How often the disk did not take or give what concerns letters.
    pub letters_failed: u64,
    /// Connections that began with TLS and were given an engine.
    pub tls: u64,
    /// Certificates that were read again and could not be used.
    pub tls_not_reloaded: u64,
    /// Lines of the log that were not written.
    pub lines_dropped: u64,
    /// How often a connection had to wait for the rate of its address, by what it wanted.
    pub(super) held_back: [u64; RateClass::COUNT],
    quit: u64,
    refused: [u64; ErrorCode::ALL.len()],
    ended: [u64; ErrorCode::ALL.len()],
    garbled: [u64; Fault::ALL.len()],
    /// By the number of the error.
    lost: BTreeMap<i32, u64>,
}

impl Counters {
    /// A request was refused, and its connection went on.
    pub fn refused(&mut self, code: ErrorCode) {
        self.refused[code as usize] += 1;
    }

    /// A connection is gone.
    pub fn left(&mut self, reason: Leaving) {
        match reason {
            Leaving::Quit => self.quit += 1,
            Leaving::Ended(code) => self.ended[code as usize] += 1,
            Leaving::Garbled(fault) => self.garbled[fault as usize] += 1,
            Leaving::Lost(errno) => *self.lost.entry(errno as i32).or_default() += 1,
        }
    }

    /// Everything that is not zero, by name.
    pub fn not_zero(&self) -> impl Iterator<Item = (String, u64)> + '_ {
        let single = [
            ("connected", self.connected),
            ("registered", self.registered),
            ("quit", self.quit),
            ("turned_away", self.turned_away),
            ("held_back_connect", self.held_back[RateClass::Connect as usize]),
            ("held_back_claim", self.held_back[RateClass::Claim as usize]),
            ("cut_off", self.cut_off),
            ("accept_failed", self.accept_failed),
            ("store_failed", self.store_failed),
            ("letters_stored", self.letters_stored),
            ("letters_delivered", self.letters_delivered),
            ("letters_acknowledged", self.letters_acknowledged),
            ("letters_expired", self.letters_expired),
            ("letters_failed", self.letters_failed),
            ("tls", self.tls),
            ("tls_not_reloaded", self.tls_not_reloaded),
            ("lines_dropped", self.lines_dropped),
        ];
        let coded = |group: &'static str, counts: &'_ [u64; ErrorCode::ALL.len()]| {
            let named = ErrorCode::ALL.map(|code| format!("{group}_{code}"));
            named.into_iter().zip(*counts)
        };
        let lost = self
            .lost
            .iter()
            .map(|(&number, &count)| (format!("lost_{:?}", Errno::from_raw(number)), count));
        let garbled = Fault::ALL.map(|fault| format!("tls_failed_{}", fault.name()));
        let garbled = garbled.into_iter().zip(self.garbled);
        let single = single.into_iter().map(|(name, count)| (name.to_owned(), count));
        single
            .chain(coded("refused", &self.refused))
            .chain(coded("ended", &self.ended))
            .chain(garbled)
            .chain(lost)
            .filter(|(_, count)| *count > 0)
    }
}

impl fmt::Display for Counters {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let told: Vec<_> = self.not_zero().map(|(name, count)| format!("{count} {name}")).collect();
        out.write_str(if told.is_empty() { "nothing" } else { "" })?;
        out.write_str(&told.join(", "))
    }
}

impl Serialize for Counters {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut map = out.serialize_map(None)?;
        for (name, count) in self.not_zero() {
            map.serialize_entry(&name, &count)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_own_counter() {
        let mut counters = Counters::default();
        assert_eq!(counters.to_string(), "nothing");
        for code in ErrorCode::ALL {
            counters.refused(code);
            counters.left(Leaving::Ended(code));
        }
        counters.left(Leaving::Lost(Errno::EPIPE));
        counters.left(Leaving::Lost(Errno::ECONNRESET));
        for fault in Fault::ALL {
            counters.left(Leaving::Garbled(fault));
        }
        counters.left(Leaving::Quit);
        let told: BTreeMap<_, _> = counters.not_zero().collect();
        assert_eq!(told.len(), 2 * ErrorCode::ALL.len() + Fault::ALL.len() + 3);
        assert!(told.values().all(|count| *count == 1));
        for name in ["refused_queue_full", "ended_slow_reader", "lost_ECONNRESET", "quit"] {
            assert!(told.contains_key(name), "{name}");
        }
    }
}
