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
    /// Letters that were moved from this relay's own store into the engine of its cluster.
    pub letters_moved: u64,
    /// Letter keys that were.
    pub keys_moved: u64,
    /// Frames that were gathered for other relays.
    pub frames_left: u64,
    /// Frames that came from other relays.
    pub frames_came: u64,
    /// Connections to the engine that were lost or could not be had.
    pub engine_lost: u64,
    /// Calls that the engine did not take.
    pub engine_refused: u64,
    /// Entries in the engine that this relay passed over: no relay has written them.
    pub foreign_entries: u64,
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

    /// Everything that is counted, with what it means.
    pub fn each(&self) -> impl Iterator<Item = Count> + '_ {
        let single = [
            ("connected", "Connections that were accepted and kept.", self.connected),
            ("registered", "Registrations that succeeded.", self.registered),
            ("quit", "Connections that the other end closed.", self.quit),
            (
                "turned_away",
                "Connections that were closed at once for lack of room.",
                self.turned_away,
            ),
            ("cut_off", "Connections whose last bytes were not taken in time.", self.cut_off),
            (
                "accept_failed",
                "Failed accepts for want of descriptors or memory.",
                self.accept_failed,
            ),
            ("store_failed", "Names that the store did not keep.", self.store_failed),
            ("letters_stored", "Letters that the store kept.", self.letters_stored),
            (
                "letters_delivered",
                "Letters that were queued for their addressee.",
                self.letters_delivered,
            ),
            ("letters_acknowledged", "Letters that were acknowledged.", self.letters_acknowledged),
            ("letters_expired", "Letters that waited for too long.", self.letters_expired),
            ("letters_failed", "Failed writes and reads of letters.", self.letters_failed),
            ("tls", "Connections that began with TLS.", self.tls),
            (
                "tls_not_reloaded",
                "Reloaded certificates that could not be used.",
                self.tls_not_reloaded,
            ),
            (
                "cluster_letters_moved",
                "Letters that were moved from this relay's file into the engine.",
                self.letters_moved,
            ),
            (
                "cluster_keys_moved",
                "Letter keys that were moved from this relay's file into the engine.",
                self.keys_moved,
            ),
            ("cluster_frames_sent", "Frames for users at other relays.", self.frames_left),
            ("cluster_frames_received", "Frames from other relays.", self.frames_came),
            ("cluster_engine_lost", "Lost connections to the engine.", self.engine_lost),
            ("cluster_engine_refused", "Calls that the engine did not take.", self.engine_refused),
            (
                "cluster_foreign_entries",
                "Entries in the engine that were passed over: no relay has written them.",
                self.foreign_entries,
            ),
            ("lines_dropped", "Lines of the log that were not written.", self.lines_dropped),
        ];
        let single = single.into_iter().map(|(group, help, count)| Count {
            group,
            help,
            label: None,
            count,
        });
        let held_back = [("connect", RateClass::Connect), ("claim", RateClass::Claim)];
        let held_back =
            held_back.map(|(what, class)| (what.to_owned(), self.held_back[class as usize]));
        let coded = |counts: &[u64; ErrorCode::ALL.len()]| {
            ErrorCode::ALL.map(|code| code.to_string()).into_iter().zip(*counts)
        };
        let garbled = Fault::ALL.map(|fault| fault.name().to_owned()).into_iter().zip(self.garbled);
        let lost = self.lost.iter();
        let lost = lost.map(|(&number, &count)| (format!("{:?}", Errno::from_raw(number)), count));
        let group = |group, help, key| {
            move |(label, count)| Count { group, help, label: Some((key, label)), count }
        };
        let held_help = "Connections that had to wait for the rate of their address.";
        let lost_help = "Connections that the kernel gave up.";
        single
            .chain(held_back.into_iter().map(group("held_back", held_help, "what")))
            .chain(coded(&self.refused).map(group(
                "refused",
                "Requests that were refused.",
                "code",
            )))
            .chain(coded(&self.ended).map(group(
                "ended",
                "Connections that the relay ended.",
                "code",
            )))
            .chain(garbled.map(group("tls_failed", "Connections whose TLS failed.", "fault")))
            .chain(lost.map(group("lost", lost_help, "errno")))
    }

    /// Everything that is not zero, by name.
    pub fn not_zero(&self) -> impl Iterator<Item = (String, u64)> + '_ {
        self.each().filter(|it| it.count > 0).map(|it| (it.name(), it.count))
    }
}

/// One number, and what it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// What is counted.
    pub group: &'static str,
    /// The same in words.
    pub help: &'static str,
    /// Where a group is divided: by what, and which part this is.
    pub label: Option<(&'static str, String)>,
    /// How often it happened.
    pub count: u64,
}

impl Count {
    /// Its name in the log.
    pub fn name(&self) -> String {
        match &self.label {
            None => self.group.to_owned(),
            Some((_, label)) => format!("{}_{label}", self.group),
        }
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
