//! What all parts of the client share: who we are, what time it is, whom we trust, and the two
//! trays into which they put what they have to say, events for the user and frames for the relay.
//!
//! So the parts need neither each other nor the loop, and one tick's frames leave in one write.

use std::collections::VecDeque;

use super::pins::PinBook;
use super::prekeys::Prekeys;
use super::tokens::Tokens;
use super::trust::{PeerPin, Trust};
use super::warnings::Warnings;
use super::{Caution, Event};
use crate::crypto::Vault;
use crate::limits::MAX_FIRST_CONTACTS;
use crate::reactor::Time;
use crate::wire::Fingerprint;

/// What all parts of the client share.
pub(super) struct Desk {
    /// Our name.
    pub(super) name: String,
    /// Our key.
    pub(super) fp: Fingerprint,
    /// Refuse peers whose key was never compared.
    pub(super) strict: bool,
    /// How the user calls `sealwax keys` for this trust file.
    pub(super) keys: String,
    pub(super) vault: Box<dyn Vault>,
    pub(super) wall: Box<dyn FnMut() -> u64>,
    /// The instant of this tick.
    pub(super) now: Time,
    pub(super) prekeys: Prekeys,
    /// `known_peers`.
    pub(super) peers: PinBook<PeerPin>,
    pub(super) warnings: Warnings,
    pub(super) tokens: Tokens,
    pub(super) events: VecDeque<Event>,
    /// Frames for the relay.
    pub(super) outgoing: Vec<u8>,
    /// The longest frame that the relay takes, in bytes.
    pub(super) max_frame: usize,
    /// The number that the next request gets as its `id`; the user's own ids stay with us.
    pub(super) next_request: u64,
    /// Bytes of frames that wait for their senders' keys, over all of them.
    pub(super) waiting_bytes: usize,
    /// Questions for keys on this connection that the relay has not answered. It may answer one
    /// that was given up: late, and not without being asked.
    pub(super) unanswered: u32,
    /// Bytes of unconfirmed texts, over all peers.
    pub(super) unconfirmed_bytes: usize,
}

/// What the trust file says about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing is pinned for this peer.
    Unknown,
    /// It is the pinned one.
    Pinned(Trust),
    /// This other one is pinned.
    Changed(Fingerprint),
}

impl Desk {
    pub(super) fn tell(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// Tells a warning about `peer`, unless one like it was told lately.
    pub(super) fn warn(&mut self, peer: &str, code: Caution, detail: impl Into<String>) {
        let Some(withheld) = self.warnings.admit(peer, code, self.now) else { return };
        let detail = match (detail.into(), withheld) {
            (detail, 0) => detail,
            (detail, withheld) => format!("{detail} ({withheld} more like it before)"),
        };
        self.tell(Event::Warning { code, detail });
    }

    /// Puts a frame into the tray. While there is no connection, nobody does.
    pub(super) fn post(&mut self, frame: &[u8]) {
        self.outgoing.extend_from_slice(frame);
    }

    /// The number of a new request.
    pub(super) fn number(&mut self) -> u64 {
        self.next_request += 1;
        self.next_request
    }

    /// Milliseconds since 1970.
    pub(super) fn wall_ms(&mut self) -> u64 {
        (self.wall)()
    }

    /// What the trust file says about the key `fp` of `name`.
    pub(super) fn judge(&self, name: &str, fp: Fingerprint) -> Verdict {
        match self.peers.file().find(name) {
            None => Verdict::Unknown,
            Some(pin) if pin.fp == fp => Verdict::Pinned(pin.trust),
            Some(pin) => Verdict::Changed(pin.fp),
        }
    }

    /// Pins the key of a peer that is met for the first time: a signature by it held. `by_us` where
    /// we began; how many others may fill the file is limited. Returns what stands in the file now
    /// (another process may have pinned a key in the meantime), or what went wrong.
    pub(super) fn meet(
        &mut self,
        name: &str,
        fp: Fingerprint,
        by_us: bool,
    ) -> Result<Verdict, String> {
        let is_tofu = |pin: &&PeerPin| pin.trust == Trust::Tofu;
        if !by_us && self.peers.file().iter().filter(is_tofu).count() >= MAX_FIRST_CONTACTS {
            let keys = &self.keys;
            return Err(format!(
                "first contacts of others have filled the trust file: make room with '{keys} \
                 untrust NAME'"
            ));
        }
        let now_ms = self.wall_ms();
        self.peers.change(|file| {
            if file.find(name).is_none() {
                file.accept(name, fp, now_ms);
            }
        })?;
        Ok(self.judge(name, fp))
    }

    /// Reads the trust file again where it changed. Returns whether it did.
    pub(super) fn refresh_pins(&mut self) -> bool {
        let changed = self.peers.refresh().unwrap_or_else(|error| {
            self.warn("", Caution::TrustFile, format!("the trust file cannot be read: {error}"));
            false
        });
        if changed {
            let damaged: Vec<_> = self.peers.file().damaged().collect();
            self.name_damaged_lines("known_peers", &damaged);
        }
        changed
    }

    /// Tells which lines of a file of pins are not obeyed.
    pub(super) fn name_damaged_lines(&mut self, file: &str, lines: &[usize]) {
        if !lines.is_empty() {
            let lines: Vec<_> = lines.iter().map(usize::to_string).collect();
            let detail = format!("{file}: not obeyed, because damaged: line {}", lines.join(", "));
            self.warn(file, Caution::TrustFile, detail);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::{Client, MemoryPins, Parts, Settings};
    use super::*;
    use crate::crypto::{Identity, IdentityVault};
    use crate::reactor::Alarm;
    use crate::wire::RosterMode;

    /// The desk of a user `alice`, who knows nobody.
    pub(in crate::client) fn desk() -> Desk {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/alice.pem");
        let pem = std::fs::read_to_string(path).unwrap();
        let identity = Identity::from_pem(&pem, None).unwrap();
        let settings = Settings {
            name: "alice".to_owned(),
            relay: "localhost:1".to_owned(),
            roster: RosterMode::None,
            strict: false,
            every_warning: false,
            keys: "sealwax keys".to_owned(),
            alarm: Alarm(0),
        };
        let parts = Parts {
            vault: Box::new(IdentityVault::new(identity)),
            peers: Box::new(MemoryPins::default()),
            relays: Box::new(MemoryPins::default()),
            wall: Box::new(|| 1_800_000_000_000),
            resolve: Box::new(|_| Ok(Vec::new())),
        };
        Client::new(settings, parts).desk
    }

    #[test]
    fn a_warning_tells_how_many_like_it_were_withheld() {
        let mut desk = desk();
        (0..3).for_each(|_| desk.warn("bob", Caution::Replay, "seen"));
        desk.now = desk.now + crate::limits::WARNING_INTERVAL;
        desk.warn("bob", Caution::Replay, "seen");
        let details = desk.events.iter().map(|event| match event {
            Event::Warning { detail, .. } => detail.as_str(),
            _ => "",
        });
        assert!(details.eq(["seen", "seen (2 more like it before)"]));
    }
}
