//! What all parts of the client share: our identity, the time, the pinned keys, and two queues, one
//! of events for the user and one of frames for the relay.
//!
//! So the parts need neither each other nor the loop, and all frames of one tick leave in one
//! write.

use std::collections::VecDeque;

use super::book::Book;
use super::marks::Mark;
use super::pins::PinBook;
use super::prekeys::Prekeys;
use super::tokens::Tokens;
use super::trust::{PeerPin, Trust};
use super::warnings::Warnings;
use super::{Caution, Event};
use crate::crypto::Vault;
use crate::reactor::Time;
use crate::tokens::Bucket;
use crate::wire::{Fingerprint, check_name_v2};

/// What all parts of the client share.
pub(super) struct ClientCore {
    /// Our name.
    pub(super) name: String,
    /// Our key.
    pub(super) fp: Fingerprint,
    /// Refuse peers whose key was never compared.
    pub(super) strict: bool,
    /// Texts wait for a peer that has not been connected yet.
    pub(super) waits_for_absent: bool,
    /// How the user calls `sealwax keys` for this trust file.
    pub(super) keys: String,
    pub(super) vault: Box<dyn Vault>,
    pub(super) wall: Box<dyn FnMut() -> u64>,
    /// The instant of this tick.
    pub(super) now: Time,
    pub(super) prekeys: Prekeys,
    /// `known_peers`.
    pub(super) peers: PinBook<PeerPin>,
    /// `known_marks`.
    pub(super) marks: PinBook<Mark>,
    /// `letters.sqlite`
    pub(super) book: Book,
    pub(super) warnings: Warnings,
    pub(super) tokens: Tokens,
    pub(super) events: VecDeque<Event>,
    /// Frames for the relay.
    pub(super) outgoing: Vec<u8>,
    /// The longest frame that the relay takes, in bytes.
    pub(super) max_frame: usize,
    /// The number that the next request gets as its `id`; the user's own ids stay with us.
    pub(super) next_request: u64,
    /// Bytes of frames that wait for their senders' keys: of strangers, and of all others.
    pub(super) waiting: WaitingBytes,
    /// What all strangers together may make us ask the relay. It is not kept with the peers,
    /// because strangers are forgotten.
    pub(super) stranger_lookups: Bucket,
    /// The oldest strangers in the trust file were forgotten: their sessions are to be closed.
    pub(super) has_forgotten: bool,
    /// When that happened last, in milliseconds since 1970. A session that a stranger offered
    /// before it may be a replay.
    pub(super) forgot_at_ms: u64,
    /// Questions for keys on this connection that the relay has not answered. The relay may still
    /// answer one that was given up: such an answer is late, but it was asked for.
    pub(super) unanswered: u32,
    /// Bytes of unconfirmed texts, over all peers.
    pub(super) unconfirmed_bytes: usize,
}

/// Bytes of frames that wait for keys.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WaitingBytes {
    pub(super) strangers: usize,
    pub(super) known: usize,
}

/// What the trust file says about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing is pinned for this peer.
    Unknown,
    /// It is the pinned one.
    Pinned(Trust),
    /// Another one is pinned: this one.
    Changed(Fingerprint),
}

impl ClientCore {
    pub(super) fn tell(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// Tells the user a warning about `peer`, unless the same was told lately.
    pub(super) fn warn(&mut self, peer: &str, code: Caution, detail: impl Into<String>) {
        // What is no name stands for the relay or our own files: never for a stranger.
        let is_stranger = check_name_v2(peer).is_ok() && !self.knows(peer);
        let Some(withheld) = self.warnings.admit(peer, is_stranger, code, self.now) else { return };
        let detail = match (detail.into(), withheld) {
            (detail, 0) => detail,
            (detail, withheld) => format!("{detail} ({withheld} more like it before)"),
        };
        self.tell(Event::Warning { code, detail });
    }

    /// Tells how many warnings were withheld: no later one will.
    pub(super) fn tell_withheld_warnings(&mut self) {
        for (code, count) in self.warnings.take_withheld() {
            let detail = format!("{count} more like it that were not told one by one");
            self.tell(Event::Warning { code, detail });
        }
    }

    /// Queues a frame for the relay. Call only while connected.
    pub(super) fn post(&mut self, frame: &[u8]) {
        self.outgoing.extend_from_slice(frame);
    }

    /// Returns the number of a new request.
    pub(super) fn number(&mut self) -> u64 {
        self.next_request += 1;
        self.next_request
    }

    /// Milliseconds since 1970.
    pub(super) fn wall_ms(&mut self) -> u64 {
        (self.wall)()
    }

    /// Whether we wrote to `name`, or accepted or compared its key by hand.
    pub(super) fn knows(&self, name: &str) -> bool {
        self.peers.file().find(name).is_some_and(|pin| !pin.is_stranger)
    }

    /// Call when we write to `name`: if it is pinned as a stranger, its pin is kept from now on.
    pub(super) fn wrote_to(&mut self, name: &str) {
        let Some(fp) = self.peers.file().find(name).filter(|pin| pin.is_stranger).map(|pin| pin.fp)
        else {
            return;
        };
        let now_ms = self.wall_ms();
        let marked = self.peers.change(|file| {
            if file.find(name).is_some_and(|pin| pin.fp == fp) {
                file.accept(name, fp, now_ms);
            }
        });
        if let Err(why) = marked {
            let detail = format!("the trust file cannot note that you write to {name}: {why}");
            self.warn(name, Caution::TrustFile, detail);
        }
    }

    /// What the trust file says about the key `fp` of `name`.
    pub(super) fn judge(&self, name: &str, fp: Fingerprint) -> Verdict {
        match self.peers.file().find(name) {
            None => Verdict::Unknown,
            Some(pin) if pin.fp == fp => Verdict::Pinned(pin.trust),
            Some(pin) => Verdict::Changed(pin.fp),
        }
    }

    /// Pins the key of a peer that is met for the first time; a signature by the key has held.
    /// `by_us`: we write to the peer. Pins of peers that only wrote to us are bounded, and the
    /// oldest make room. Returns what the file says now (another process may have pinned a key in
    /// the meantime), or what went wrong.
    pub(super) fn meet(
        &mut self,
        name: &str,
        fp: Fingerprint,
        by_us: bool,
    ) -> Result<Verdict, String> {
        let now_ms = self.wall_ms();
        let forgotten = self.peers.change(|file| {
            if !by_us {
                return file.meet_stranger(name, fp, now_ms);
            }
            if file.find(name).is_none() {
                file.accept(name, fp, now_ms);
            }
            0
        })?;
        if forgotten > 0 {
            (self.has_forgotten, self.forgot_at_ms) = (true, now_ms);
            let detail = format!(
                "strangers have filled the trust file: the oldest {forgotten} whom you never wrote \
                 to are forgotten, and met anew if they write again"
            );
            self.warn("", Caution::TrustFile, detail);
        }
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

    /// Warns the user of the lines in a file of pins that are ignored because they are damaged.
    pub(super) fn name_damaged_lines(&mut self, file: &str, lines: &[usize]) {
        if !lines.is_empty() {
            let lines: Vec<_> = lines.iter().map(usize::to_string).collect();
            let detail = format!("{file}: ignored, because damaged: line {}", lines.join(", "));
            self.warn(file, Caution::TrustFile, detail);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::{Channel, Client, MemoryLetters, MemoryPins, Parts, Settings};
    use super::*;
    use crate::crypto::{Identity, IdentityVault};
    use crate::reactor::Timer;
    use crate::wire::RosterMode;

    /// The core of a user `alice` whose trust file is empty.
    pub(in crate::client) fn core() -> ClientCore {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/alice.pem");
        let pem = std::fs::read_to_string(path).unwrap();
        let identity = Identity::from_pem(&pem, None).unwrap();
        let settings = Settings {
            name: "alice".to_owned(),
            relay: "localhost:1".to_owned(),
            roster: RosterMode::None,
            strict: false,
            waits_for_absent: false,
            letterbox: None,
            every_warning: false,
            keys: "sealwax keys".to_owned(),
            timer: Timer(0),
        };
        let parts = Parts {
            vault: Box::new(IdentityVault::new(identity)),
            peers: Box::new(MemoryPins::default()),
            relays: Box::new(MemoryPins::default()),
            marks: Box::new(MemoryPins::default()),
            letters: Box::new(MemoryLetters::default()),
            channel: Channel::plain(),
            wall: Box::new(|| 1_800_000_000_000),
            resolve: Box::new(|_: &str| Ok(Vec::new())),
        };
        Client::new(settings, parts).core
    }

    #[test]
    fn a_warning_tells_how_many_like_it_were_withheld() {
        let mut core = core();
        (0..3).for_each(|_| core.warn("bob", Caution::Replay, "seen"));
        core.now = core.now + crate::limits::WARNING_INTERVAL;
        core.warn("bob", Caution::Replay, "seen");
        let details = core.events.iter().map(|event| match event {
            Event::Warning { detail, .. } => detail.as_str(),
            _ => "",
        });
        assert!(details.eq(["seen", "seen (2 more like it before)"]));
    }
}
