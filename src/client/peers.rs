//! All peers, by name: which of them have something to do, when the next one has, and how many are
//! kept.
//!
//! A peer that was touched is pumped at the end of the tick, so that what a tick brought leaves as
//! one. `due` is never later than the earliest peer's; it is made exact when it is reached, so that
//! a message costs nothing here.

use std::collections::{BTreeMap, BTreeSet};

use super::Outlook;
use super::clocks::earliest;
use super::desk::Desk;
use super::peer::Peer;
use crate::limits::MAX_PEERS;
use crate::reactor::Time;

/// All peers.
#[derive(Default)]
pub(super) struct Peers {
    all: BTreeMap<String, Peer>,
    touched: BTreeSet<String>,
    due: Option<Time>,
}

impl Peers {
    pub(super) fn get(&self, name: &str) -> Option<&Peer> {
        self.all.get(name)
    }

    /// The peer `name`, if it is known, to do something with it.
    pub(super) fn known(&mut self, name: &str) -> Option<&mut Peer> {
        let peer = self.all.get_mut(name)?;
        if !self.touched.contains(name) {
            self.touched.insert(name.to_owned());
        }
        Some(peer)
    }

    /// The peer `name`, to do something with it.
    pub(super) fn meet(&mut self, name: &str) -> &mut Peer {
        if !self.touched.contains(name) {
            self.touched.insert(name.to_owned());
        }
        self.all.entry(name.to_owned()).or_insert_with(|| Peer::new(name))
    }

    /// Something happened that concerns all.
    pub(super) fn for_each(&mut self, mut tell: impl FnMut(&mut Peer)) {
        self.all.values_mut().for_each(&mut tell);
        self.touched.extend(self.all.keys().cloned());
    }

    /// Lets everyone who was touched do what is to be done.
    pub(super) fn pump(&mut self, desk: &mut Desk, is_online: bool) {
        for name in std::mem::take(&mut self.touched) {
            let Some(peer) = self.all.get_mut(&name) else { continue };
            peer.pump(desk, is_online);
            self.due = earliest([self.due, peer.due(is_online)]);
            if peer.is_blank() {
                self.all.remove(&name);
            }
        }
    }

    /// Touches everyone who has something to do by now.
    pub(super) fn tick(&mut self, now: Time, is_online: bool) {
        if self.due.is_none_or(|due| now < due) {
            return;
        }
        self.due = None;
        for (name, peer) in &self.all {
            match peer.due(is_online) {
                Some(due) if due <= now => _ = self.touched.insert(name.clone()),
                due => self.due = earliest([self.due, due]),
            }
        }
    }

    /// When [`tick`](Self::tick) has something to do, or before.
    pub(super) fn due(&self) -> Option<Time> {
        self.due
    }

    /// Forgets whoever was idle longest, if too many are awake.
    pub(super) fn make_room(&mut self) {
        if self.all.values().filter(|peer| peer.is_awake()).count() <= MAX_PEERS {
            return;
        }
        let idle = self.all.values_mut().filter_map(|peer| Some((peer.idle_since()?, peer)));
        if let Some((_, peer)) = idle.min_by_key(|&(since, _)| since) {
            peer.forget();
        }
    }

    /// What is still on its way.
    pub(super) fn outlook(&self, connected: bool) -> Outlook {
        let mut outlook = Outlook { connected, ..Outlook::default() };
        for Peer { sending, .. } in self.all.values() {
            outlook.unconfirmed += sending.unconfirmed();
            outlook.absent += if sending.is_absent() { sending.unconfirmed() } else { 0 };
            outlook.receipts += sending.receipts();
        }
        outlook
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::client::desk::tests::desk;

    #[test]
    fn who_was_idle_longest_is_forgotten_first() {
        let (mut desk, mut peers) = (desk(), Peers::default());
        let key = desk.vault.public().clone();
        for number in 0..=MAX_PEERS {
            desk.now = desk.now + Duration::from_secs(1);
            let peer = peers.meet(&number.to_string());
            peer.contact.learn(&mut desk, key.clone()).unwrap();
            peer.touch(desk.now);
            if number == 0 {
                peer.say(&mut desk, "id".to_owned(), "text"); // is not forgotten in silence
            }
        }
        peers.make_room();
        let is_awake = |name: &str| peers.get(name).unwrap().is_awake();
        assert!(is_awake("0") && !is_awake("1") && is_awake("2"));
        assert_eq!(peers.all.values().filter(|peer| peer.is_awake()).count(), MAX_PEERS);
    }

    #[test]
    fn what_has_nothing_to_do_is_not_looked_at_and_a_stranger_leaves_nothing() {
        let (mut desk, mut peers) = (desk(), Peers::default());
        peers.meet("bob");
        assert_eq!(peers.touched.len(), 1);
        peers.pump(&mut desk, true);
        assert!(peers.all.is_empty() && peers.touched.is_empty());
        assert_eq!(peers.due(), None);
    }
}
