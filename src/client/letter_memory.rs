//! Letters in memory: for tests, and where the file cannot be used.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::letter_book::{
    Change, KeptLetters, KeptPeer, LetterBook, OwedReceipt, over_before, too_many_relays,
};
use super::trust::RelayPin;
use crate::crypto::Mid;
use crate::limits::{
    LETTER_PEERS, LETTER_RELAYS, OWED_RECEIPTS, SEEN_LETTERS, SEEN_SESSION_TEXTS, WAITING_LETTERS,
};
use crate::wire::Fingerprint;

/// Letters in memory; its clones share them. What was committed is there after a crash.
#[derive(Clone, Debug, Default)]
pub struct MemoryLetters {
    all: Rc<RefCell<Memory>>,
    /// The relay that is visited, by its place in `all`.
    relay: Option<u32>,
}

#[derive(Debug, Default)]
struct Memory {
    relays: BTreeMap<u32, MemoryRelay>,
    /// Nothing can be written.
    is_full: bool,
}

#[derive(Debug)]
struct MemoryRelay {
    pin: RelayPin,
    kept: KeptLetters,
    peers: BTreeMap<[u8; 32], MemoryPeer>,
    /// The floor of peers that were forgotten.
    floor: u64,
}

#[derive(Debug, Default)]
struct MemoryPeer {
    seen: Vec<(Mid, Option<u64>)>,
    floor: u64,
    newest_key: u64,
    heard: u64,
}

impl MemoryLetters {
    /// From now on nothing can be written (`true`), or everything again.
    pub fn fill(&self, is_full: bool) {
        self.all.borrow_mut().is_full = is_full;
    }

    /// All that is kept but for the peers, one relay after the other.
    pub fn kept(&self) -> KeptLetters {
        let mut all = KeptLetters::default();
        for MemoryRelay { kept, .. } in self.all.borrow().relays.values() {
            let kept = kept.clone();
            all.visited = all.visited.max(kept.visited);
            all.keys.extend(kept.keys);
            all.parked.extend(kept.parked);
            all.owed.extend(kept.owed);
            all.waiting.extend(kept.waiting);
        }
        all
    }
}

impl LetterBook for MemoryLetters {
    fn visit(&mut self, relay: &RelayPin, now: u64) -> Result<KeptLetters, String> {
        let all = self.all.borrow();
        self.relay = all.find(relay);
        let Some(found) = self.relay.and_then(|place| all.relays.get(&place)) else {
            all.room(now)?;
            return Ok(KeptLetters::default());
        };
        let visited = found.kept.visited.filter(|_| found.pin == *relay);
        Ok(KeptLetters { visited, ..found.kept.clone() })
    }

    fn peer(&mut self, fp: &Fingerprint) -> Result<KeptPeer, String> {
        let all = self.all.borrow();
        let Some(relay) = self.relay.and_then(|place| all.relays.get(&place)) else {
            return Ok(KeptPeer::default());
        };
        let Some(peer) = relay.peers.get(&fp.0) else {
            return Ok(KeptPeer { floor: relay.floor, ..KeptPeer::default() });
        };
        let seen = peer.seen.iter().map(|(mid, _)| *mid).collect();
        Ok(KeptPeer { seen, floor: peer.floor, newest_key: peer.newest_key })
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), String> {
        let mut all = self.all.borrow_mut();
        if all.is_full {
            return Err("no room".to_owned());
        }
        for change in changes {
            if let Change::Visit { relay, now } = change {
                self.relay = Some(all.visit(relay, *now));
            } else {
                let place = self.relay.ok_or("no relay was visited")?;
                all.change(place, change);
            }
        }
        Ok(())
    }
}

impl Memory {
    /// The place of a relay that is known by its key; else by its address, where it was last.
    fn find(&self, relay: &RelayPin) -> Option<u32> {
        let all = || self.relays.iter();
        let by_key = all().find(|(_, it)| it.pin.key == relay.key);
        let by_address = || {
            let there = all().filter(|(_, it)| it.pin.address == relay.address);
            there.max_by_key(|(_, it)| it.kept.visited)
        };
        by_key.or_else(by_address).map(|(&place, _)| place)
    }

    /// Which relay makes room for another; `None`: there is room.
    fn room(&self, now: u64) -> Result<Option<u32>, String> {
        if self.relays.len() < LETTER_RELAYS {
            return Ok(None);
        }
        let mut by_visit: Vec<_> = self.relays.iter().collect();
        by_visit.sort_by_key(|(_, relay)| relay.kept.visited);
        let idle = by_visit.iter().find(|(_, relay)| {
            let kept = KeptLetters { visited: None, ..relay.kept.clone() };
            kept == KeptLetters::default() || relay.kept.visited < Some(over_before(now).0)
        });
        let longest = by_visit.first().map_or("", |(_, relay)| &relay.pin.address);
        idle.map(|(place, _)| Some(**place)).ok_or_else(|| too_many_relays(longest))
    }

    fn visit(&mut self, pin: &RelayPin, now: u64) -> u32 {
        let place = self.find(pin).unwrap_or_else(|| {
            if let Ok(Some(place)) = self.room(now) {
                self.relays.remove(&place);
            }
            let kept = KeptLetters::default();
            let place = self.relays.last_key_value().map_or(0, |(last, _)| last + 1);
            let new = MemoryRelay { pin: pin.clone(), kept, peers: BTreeMap::new(), floor: 0 };
            self.relays.insert(place, new);
            place
        });
        let (keys, receipts) = over_before(now);
        for (at, relay) in &mut self.relays {
            relay.kept.keys.retain(|key| key.created >= keys);
            relay.kept.owed.retain(|receipt| receipt.since >= receipts);
            if *at == place {
                (relay.pin, relay.kept.visited) = (pin.clone(), Some(now));
            }
        }
        place
    }

    fn change(&mut self, place: u32, change: &Change) {
        let (fp, now) = match change {
            Change::Seen { fp, now, .. } | Change::NewestKey { fp, now, .. } => (fp, *now),
            _ => {
                if let Some(relay) = self.relays.get_mut(&place) {
                    relay.kept.change(change);
                }
                return;
            }
        };
        let Some(peer) = self.heard(place, fp, now) else { return };
        match change {
            Change::Seen { mid, created, .. } => peer.see(*mid, *created),
            Change::NewestKey { created, .. } => peer.newest_key = peer.newest_key.max(*created),
            _ => {}
        }
    }

    /// The peer with this key; the one of whom nothing was noted for longest, at whatever relay,
    /// makes room.
    fn heard(&mut self, place: u32, fp: &Fingerprint, now: u64) -> Option<&mut MemoryPeer> {
        let is_known = self.relays.get(&place)?.peers.contains_key(&fp.0);
        let count = self.relays.values().map(|relay| relay.peers.len()).sum::<usize>();
        if !is_known && count >= LETTER_PEERS {
            let all = self.relays.iter().flat_map(|(at, relay)| {
                relay.peers.iter().map(move |(fp, peer)| (peer.heard, *at, *fp))
            });
            if let Some((heard, at, fp)) = all.min()
                && let Some(relay) = self.relays.get_mut(&at)
            {
                relay.floor = relay.floor.max(heard);
                relay.peers.remove(&fp);
            }
        }
        let MemoryRelay { peers, floor, .. } = self.relays.get_mut(&place)?;
        let new = MemoryPeer { floor: *floor, ..MemoryPeer::default() };
        let peer = peers.entry(fp.0).or_insert(new);
        peer.heard = peer.heard.max(now);
        Some(peer)
    }
}

impl KeptLetters {
    fn change(&mut self, change: &Change) {
        match change {
            Change::Key(key) => self.keys.push(key.clone()),
            Change::Published { id, at } => {
                if let Some(key) = self.keys.iter_mut().find(|key| key.id == *id) {
                    key.published.get_or_insert(*at);
                }
            }
            Change::Erase { id } => self.keys.retain(|key| key.id != *id),
            Change::Park(letter) => self.parked.push(letter.clone()),
            Change::Unpark { from, mid } => {
                self.parked.retain(|letter| (&letter.from, &letter.mid) != (from, mid));
            }
            Change::Owe(receipt) => {
                let is_it = |it: &OwedReceipt| (&it.to, it.mid) == (&receipt.to, receipt.mid);
                if !self.owed.iter().any(is_it) {
                    self.owed.push(receipt.clone());
                }
                let beyond = self.owed.len().saturating_sub(OWED_RECEIPTS);
                self.owed.drain(..beyond);
            }
            Change::Paid { to, mids } => {
                self.owed.retain(|receipt| receipt.to != *to || !mids.contains(&receipt.mid));
            }
            Change::Wait(letter) => {
                self.waiting.retain(|it| (&it.to, it.mid) != (&letter.to, letter.mid));
                self.waiting.push(letter.clone());
                let beyond = self.waiting.len().saturating_sub(WAITING_LETTERS);
                self.waiting.drain(..beyond);
            }
            Change::Settled { to, mid } => {
                self.waiting.retain(|letter| (&letter.to, &letter.mid) != (to, mid));
            }
            Change::Visit { .. } | Change::Seen { .. } | Change::NewestKey { .. } => {}
        }
    }
}

impl MemoryPeer {
    fn see(&mut self, mid: Mid, created: Option<u64>) {
        if self.seen.iter().any(|(seen, _)| *seen == mid) {
            return;
        }
        self.seen.push((mid, created));
        let most = if created.is_some() { SEEN_LETTERS } else { SEEN_SESSION_TEXTS };
        let alike = |seen: &(Mid, Option<u64>)| seen.1.is_some() == created.is_some();
        if self.seen.iter().filter(|seen| alike(seen)).count() > most
            && let Some(oldest) = self.seen.iter().position(alike)
        {
            let (_, created) = self.seen.remove(oldest);
            self.floor = self.floor.max(created.unwrap_or_default());
        }
    }
}
