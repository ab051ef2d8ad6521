//! All peers, by name: which of them have something to do now, when the next one will, and how many
//! are kept.
//!
//! A peer with something to do is marked as dirty, and does it at the end of the tick
//! ([`Peer::pump`]), so that all frames of a tick leave together. `due` is never later than the
//! earliest peer's; it is computed anew only when it is reached, so a message costs nothing here.
//!
//! Questions for the keys of strangers share one bucket, and the next stranger is drawn at random:
//! however often one writes, each name has one lot.

use std::collections::{BTreeMap, BTreeSet};

use super::PendingCounts;
use super::clocks::earliest;
use super::core::ClientCore;
use super::peer::Peer;
use super::waiting::cost;
use crate::limits::{MAX_PEERS, STRANGER_LOOKUPS_PER_SECOND, WAITING_BYTES};
use crate::reactor::Time;
use crate::tokens::Rate;

/// The rate of all strangers together.
const STRANGERS: Rate = Rate::new(STRANGER_LOOKUPS_PER_SECOND, STRANGER_LOOKUPS_PER_SECOND);

/// All peers.
#[derive(Default)]
pub(super) struct Peers {
    all: BTreeMap<String, Peer>,
    dirty: BTreeSet<String>,
    due: Option<Time>,
    /// Whether strangers may be waiting for their turn.
    has_line: bool,
}

impl Peers {
    pub(super) fn get(&self, name: &str) -> Option<&Peer> {
        self.all.get(name)
    }

    /// The peer `name`, if it is known, to do something with it.
    pub(super) fn known(&mut self, name: &str) -> Option<&mut Peer> {
        let peer = self.all.get_mut(name)?;
        if !self.dirty.contains(name) {
            self.dirty.insert(name.to_owned());
        }
        Some(peer)
    }

    /// The peer `name`, made if it is not known, to do something with it.
    pub(super) fn meet(&mut self, name: &str) -> &mut Peer {
        if !self.dirty.contains(name) {
            self.dirty.insert(name.to_owned());
        }
        self.all.entry(name.to_owned()).or_insert_with(|| Peer::new(name))
    }

    /// Calls `act` with all peers, and marks them as dirty.
    pub(super) fn for_each(&mut self, mut tell: impl FnMut(&mut Peer)) {
        self.all.values_mut().for_each(&mut tell);
        self.dirty.extend(self.all.keys().cloned());
    }

    /// Lets each dirty peer do what is due.
    pub(super) fn pump(&mut self, core: &mut ClientCore, is_online: bool) {
        for name in std::mem::take(&mut self.dirty) {
            let Some(peer) = self.all.get_mut(&name) else { continue };
            peer.pump(core, is_online);
            self.has_line |= peer.is_in_line(core);
            self.due = earliest([self.due, peer.due(core, is_online)]);
            if peer.is_blank(core.now) {
                self.all.remove(&name);
            }
        }
        if self.has_line && is_online {
            self.ask_for_strangers(core);
        }
    }

    /// Asks for the keys of as many strangers as may be asked for now.
    fn ask_for_strangers(&mut self, core: &mut ClientCore) {
        while core.stranger_lookups.holds_one(STRANGERS, core.now) {
            let in_line = self.all.values().filter(|peer| peer.is_in_line(core)).count();
            self.has_line = in_line > 0;
            let Some(place) = draw(core, in_line) else { return };
            let mut in_line = self.all.values_mut().filter(|peer| peer.is_in_line(core));
            let Some(peer) = in_line.nth(place) else { return };
            core.stranger_lookups.spend(STRANGERS, core.now);
            peer.ask(core);
            self.due = earliest([self.due, peer.due(core, true)]);
        }
        self.due = earliest([self.due, Some(core.stranger_lookups.next(STRANGERS, core.now))]);
    }

    /// If `body` of the stranger `name` has to wait and the frames of strangers take all the room
    /// that they may, some of them, chosen at random, are dropped.
    pub(super) fn make_room_for(&mut self, core: &mut ClientCore, name: &str, body: &str) {
        if core.waiting.strangers + cost(body) <= WAITING_BYTES {
            return;
        }
        if self.all.get(name).is_some_and(|peer| !peer.may_wait(core, body)) {
            return;
        }
        for (name, peer) in &mut self.all {
            if draw(core, 2) == Some(0) && peer.gives_way(core) {
                self.dirty.insert(name.clone());
            }
        }
    }

    /// Marks all peers that have something to do by now as dirty.
    pub(super) fn tick(&mut self, core: &ClientCore, is_online: bool) {
        let now = core.now;
        if self.due.is_none_or(|due| now < due) {
            return;
        }
        self.due = None;
        for (name, peer) in &self.all {
            match peer.due(core, is_online) {
                Some(due) if due <= now => _ = self.dirty.insert(name.clone()),
                due => self.due = earliest([self.due, due]),
            }
        }
    }

    /// When [`tick`](Self::tick) has something to do, or before.
    pub(super) fn due(&self) -> Option<Time> {
        self.due
    }

    /// Forgets the peer that was idle longest, if too many hold keys or sessions: a stranger, if
    /// there is one.
    pub(super) fn make_room(&mut self, core: &ClientCore) {
        if self.all.values().filter(|peer| peer.is_awake()).count() <= MAX_PEERS {
            return;
        }
        let idle = self
            .all
            .values_mut()
            .filter_map(|peer| Some(((!peer.is_stranger(core), peer.idle_since()?), peer)));
        if let Some((_, peer)) = idle.min_by_key(|&(order, _)| order) {
            peer.forget(core);
        }
    }

    /// What is still on its way.
    pub(super) fn pending_counts(&self, connected: bool) -> PendingCounts {
        let mut pending = PendingCounts { connected, ..PendingCounts::default() };
        for Peer { sending, .. } in self.all.values() {
            let unstored = sending.unconfirmed() - sending.stored_texts();
            pending.unconfirmed += sending.unconfirmed();
            pending.stored += sending.stored_texts();
            pending.absent += if sending.is_absent() { unstored } else { 0 };
            pending.full += if sending.full.is_some() { unstored } else { 0 };
            pending.receipts += sending.receipts();
        }
        pending
    }
}

/// One of `count`, at random.
fn draw(core: &ClientCore, count: usize) -> Option<usize> {
    let mut random = [0; 4];
    core.vault.random(&mut random);
    (u32::from_be_bytes(random) as usize).checked_rem(count)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::client::core::tests::core;

    #[test]
    fn the_stranger_who_was_idle_longest_is_forgotten_first() {
        let (mut core, mut peers) = (core(), Peers::default());
        let key = core.vault.public().clone();
        // Idle longer than any stranger, but a peer to which we wrote.
        let fp = key.fingerprint();
        core.peers.change(|file| file.accept("1", fp, 1)).unwrap();
        for number in 0..=MAX_PEERS {
            core.now = core.now + Duration::from_secs(1);
            let peer = peers.meet(&number.to_string());
            peer.contact.learn(&mut core, key.clone()).unwrap();
            peer.touch(core.now);
            if number == 0 {
                peer.say(&mut core, "id".to_owned(), "text"); // is not forgotten in silence
            }
        }
        peers.make_room(&core);
        let is_awake = |name: &str| peers.get(name).unwrap().is_awake();
        assert!(is_awake("0") && is_awake("1") && !is_awake("2") && is_awake("3"));
        assert_eq!(peers.all.values().filter(|peer| peer.is_awake()).count(), MAX_PEERS);
    }

    #[test]
    fn what_has_nothing_to_do_is_not_looked_at_and_a_stranger_leaves_nothing() {
        let (mut core, mut peers) = (core(), Peers::default());
        peers.meet("bob");
        assert_eq!(peers.dirty.len(), 1);
        peers.pump(&mut core, true);
        assert!(peers.all.is_empty() && peers.dirty.is_empty());
        assert_eq!(peers.due(), None);
    }
}
