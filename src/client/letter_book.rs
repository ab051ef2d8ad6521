//! What a client keeps of letters over its end (`docs/protocol.md`, section 10), and the interface
//! to where it is kept.
//!
//! ```text
//!   keys      our letter keys, the secret half sealed         until no letter needs them
//!   parked    letters that cannot be opened yet, as they came until their sender's key is accepted
//!   owed      receipts for letters that were shown            until the relay has taken them
//!   waiting   letters of ours that the relay has stored       until they are confirmed
//!   peers     of each peer: ids of shown texts, and the time of its newest letter key
//! ```
//!
//! All of it changes by [`Change`]s. Those that are committed together are kept together or not at
//! all, whenever the process ends. Knows no disk: [`MemoryLetters`] is for tests, and the file is
//! in `letter_file.rs`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::crypto::{Letter, Mid};
use crate::limits::{
    LETTER_PEERS, OWED_RECEIPTS, SEEN_LETTERS, SEEN_SESSION_TEXTS, WAITING_LETTERS,
};
use crate::wire::Fingerprint;

/// Where letters are kept. Errors are texts for people.
pub trait LetterBook {
    /// Everything but what is kept of each peer.
    fn load(&mut self) -> Result<KeptLetters, String>;

    /// What is kept of the peer with this key.
    fn peer(&mut self, fp: &Fingerprint) -> Result<KeptPeer, String>;

    /// Makes all changes, in order, or none of them.
    fn commit(&mut self, changes: &[Change]) -> Result<(), String>;
}

/// Everything but what is kept of each peer. Times are milliseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptLetters {
    /// Our letter keys, in the order in which they were made.
    pub keys: Vec<KeptKey>,
    /// Letters that cannot be opened yet, in the order in which they came.
    pub parked: Vec<ParkedLetter>,
    /// Receipts that have not left, in the order in which they came to be owed.
    pub owed: Vec<OwedReceipt>,
    /// Letters of ours that are not confirmed, in the order in which they were stored.
    pub waiting: Vec<WaitingLetter>,
}

/// One of our letter keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptKey {
    /// Under which letters name it.
    pub id: u32,
    /// The pair, sealed under a key that only the owner of the identity has.
    pub sealed: Vec<u8>,
    /// When a relay first took it; `None`: none has.
    pub published: Option<u64>,
}

/// A letter that cannot be opened yet. It stays sealed as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedLetter {
    /// The sender, as the relay said.
    pub from: String,
    /// The key that the letter claims to be of.
    pub fp: Fingerprint,
    /// Its id.
    pub mid: Mid,
    /// `content` of its frame.
    pub content: String,
}

impl ParkedLetter {
    /// When its sender made it, by the sender's clock, in milliseconds since 1970; `None`: it is
    /// not of the form that this version knows.
    pub fn created_ms(&self) -> Option<u64> {
        Letter::parse(&self.content).ok().map(|letter| letter.created_ms())
    }
}

/// A receipt that has not left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwedReceipt {
    /// Whose text it confirms.
    pub to: String,
    /// Which.
    pub mid: Mid,
    /// Since when.
    pub since: u64,
}

/// A letter of ours that the relay has stored and its addressee has not confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingLetter {
    /// The addressee.
    pub to: String,
    /// Its id between the two clients.
    pub mid: Mid,
    /// Its id for the user.
    pub id: String,
    /// When the relay had stored it.
    pub stored: u64,
}

/// What is kept of one peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptPeer {
    /// The last texts that were shown, the oldest first.
    pub seen: Vec<Mid>,
    /// Letters that were made up to then may have been shown although `seen` does not have them.
    pub floor: u64,
    /// When the newest letter key that we saw of it was made; 0: we saw none.
    pub newest_key: u64,
}

/// One change of what is kept. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A letter key of ours was made.
    Key(KeptKey),
    /// A relay took the key with this id for the first time.
    Published {
        /// Which key.
        id: u32,
        /// When.
        at: u64,
    },
    /// The key with this id is needed no more.
    Erase {
        /// Which key.
        id: u32,
    },
    /// A letter cannot be opened yet.
    Park(ParkedLetter),
    /// It is parked no more.
    Unpark {
        /// Its sender.
        from: String,
        /// Its id.
        mid: Mid,
    },
    /// A text was shown.
    Seen {
        /// The sender's key.
        fp: Fingerprint,
        /// Its id.
        mid: Mid,
        /// When the letter was made; `None`: it came in a session.
        created: Option<u64>,
        /// Now.
        now: u64,
    },
    /// A receipt is owed.
    Owe(OwedReceipt),
    /// Receipts have left.
    Paid {
        /// Whose texts they confirm.
        to: String,
        /// Which.
        mids: Vec<Mid>,
    },
    /// The relay has stored a letter of ours.
    Wait(WaitingLetter),
    /// Nobody waits for a confirmation any more: it came, or was given up.
    Settled {
        /// The addressee.
        to: String,
        /// The letter.
        mid: Mid,
    },
    /// A letter key of a peer, newer than those before.
    NewestKey {
        /// The peer's key.
        fp: Fingerprint,
        /// When the letter key was made.
        created: u64,
        /// Now.
        now: u64,
    },
}

/// A book that cannot be opened, and why: a client with it goes on without letters.
#[derive(Clone, Debug)]
pub struct UnusableLetters(pub String);

impl LetterBook for UnusableLetters {
    fn load(&mut self) -> Result<KeptLetters, String> {
        Err(self.0.clone())
    }

    fn peer(&mut self, _fp: &Fingerprint) -> Result<KeptPeer, String> {
        Err(self.0.clone())
    }

    fn commit(&mut self, _changes: &[Change]) -> Result<(), String> {
        Err(self.0.clone())
    }
}

/// Letters in memory; its clones share them. What was committed is there after a crash.
#[derive(Clone, Debug, Default)]
pub struct MemoryLetters {
    all: Rc<RefCell<Memory>>,
}

#[derive(Debug, Default)]
struct Memory {
    kept: KeptLetters,
    peers: BTreeMap<[u8; 32], MemoryPeer>,
    /// The floor of peers that were forgotten.
    floor: u64,
    /// Nothing can be written.
    is_full: bool,
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

    /// All that is kept but for the peers.
    pub fn kept(&self) -> KeptLetters {
        self.all.borrow().kept.clone()
    }
}

impl LetterBook for MemoryLetters {
    fn load(&mut self) -> Result<KeptLetters, String> {
        Ok(self.kept())
    }

    fn peer(&mut self, fp: &Fingerprint) -> Result<KeptPeer, String> {
        let all = self.all.borrow();
        let Some(peer) = all.peers.get(&fp.0) else {
            return Ok(KeptPeer { floor: all.floor, ..KeptPeer::default() });
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
            all.change(change);
        }
        Ok(())
    }
}

impl Memory {
    fn change(&mut self, change: &Change) {
        let kept = &mut self.kept;
        match change {
            Change::Key(key) => kept.keys.push(key.clone()),
            Change::Published { id, at } => {
                if let Some(key) = kept.keys.iter_mut().find(|key| key.id == *id) {
                    key.published.get_or_insert(*at);
                }
            }
            Change::Erase { id } => kept.keys.retain(|key| key.id != *id),
            Change::Park(letter) => kept.parked.push(letter.clone()),
            Change::Unpark { from, mid } => {
                kept.parked.retain(|letter| (&letter.from, &letter.mid) != (from, mid));
            }
            Change::Seen { fp, mid, created, now } => {
                self.heard(fp, *now).see(*mid, *created);
            }
            Change::Owe(receipt) => {
                let is_it = |it: &OwedReceipt| (&it.to, it.mid) == (&receipt.to, receipt.mid);
                if !kept.owed.iter().any(is_it) {
                    kept.owed.push(receipt.clone());
                }
                let beyond = kept.owed.len().saturating_sub(OWED_RECEIPTS);
                kept.owed.drain(..beyond);
            }
            Change::Paid { to, mids } => {
                kept.owed.retain(|receipt| receipt.to != *to || !mids.contains(&receipt.mid));
            }
            Change::Wait(letter) => {
                kept.waiting.retain(|it| (&it.to, it.mid) != (&letter.to, letter.mid));
                kept.waiting.push(letter.clone());
                let beyond = kept.waiting.len().saturating_sub(WAITING_LETTERS);
                kept.waiting.drain(..beyond);
            }
            Change::Settled { to, mid } => {
                kept.waiting.retain(|letter| (&letter.to, &letter.mid) != (to, mid));
            }
            Change::NewestKey { fp, created, now } => {
                let peer = self.heard(fp, *now);
                peer.newest_key = peer.newest_key.max(*created);
            }
        }
    }

    /// The peer with this key; the one of whom nothing was noted for longest makes room.
    fn heard(&mut self, fp: &Fingerprint, now: u64) -> &mut MemoryPeer {
        if !self.peers.contains_key(&fp.0) && self.peers.len() >= LETTER_PEERS {
            let oldest = self.peers.iter().min_by_key(|(_, peer)| peer.heard);
            if let Some((&oldest, peer)) = oldest {
                self.floor = self.floor.max(peer.heard);
                self.peers.remove(&oldest);
            }
        }
        let floor = self.floor;
        let peer = self.peers.entry(fp.0).or_insert(MemoryPeer { floor, ..MemoryPeer::default() });
        peer.heard = peer.heard.max(now);
        peer
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

/// What every book has to do: the one in memory and the one in a file are held to it.
#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const BOB: Fingerprint = Fingerprint([7; 32]);

    fn mid(number: usize) -> Mid {
        (number as u128).to_be_bytes()
    }

    fn seen(number: usize, created: Option<u64>) -> Change {
        Change::Seen { fp: BOB, mid: mid(number), created, now: 1 }
    }

    /// What was committed is loaded, and what was taken back is not.
    pub(in crate::client) fn keeps_what_was_committed(book: &mut dyn LetterBook) {
        assert_eq!(book.load(), Ok(KeptLetters::default()));
        let key = |id| KeptKey { id, sealed: vec![1, 2, 3], published: None };
        let parked = |number| ParkedLetter {
            from: "bob".to_owned(),
            fp: BOB,
            mid: mid(number),
            content: "sealed".to_owned(),
        };
        let owed = |number| OwedReceipt { to: "bob".to_owned(), mid: mid(number), since: 5 };
        let waiting = |number| WaitingLetter {
            to: "bob".to_owned(),
            mid: mid(number),
            id: number.to_string(),
            stored: 9,
        };
        let made = [
            Change::Key(key(1)),
            Change::Key(key(u32::MAX)),
            Change::Published { id: u32::MAX, at: 6 },
            Change::Published { id: u32::MAX, at: 7 },
            Change::Park(parked(1)),
            Change::Park(parked(2)),
            Change::Owe(owed(1)),
            Change::Owe(owed(2)),
            Change::Owe(owed(1)),
            Change::Wait(waiting(1)),
            Change::Wait(waiting(2)),
            Change::Wait(waiting(1)),
        ];
        book.commit(&made).unwrap();
        let mut kept = KeptLetters {
            keys: vec![key(1), KeptKey { published: Some(6), ..key(u32::MAX) }],
            parked: vec![parked(1), parked(2)],
            owed: vec![owed(1), owed(2)],
            waiting: vec![waiting(2), waiting(1)],
        };
        assert_eq!(book.load().as_ref(), Ok(&kept));
        let to = || "bob".to_owned();
        let undone = [
            Change::Erase { id: 1 },
            Change::Unpark { from: to(), mid: mid(1) },
            Change::Paid { to: to(), mids: vec![mid(1), mid(3)] },
            Change::Settled { to: to(), mid: mid(2) },
            Change::Settled { to: "carol".to_owned(), mid: mid(1) },
        ];
        book.commit(&undone).unwrap();
        kept.keys.remove(0);
        kept.parked.remove(0);
        kept.owed.remove(0);
        kept.waiting.remove(0);
        assert_eq!(book.load(), Ok(kept));
    }

    /// Ids of shown texts are bounded, and a letter that is forgotten raises the floor.
    pub(in crate::client) fn forgets_the_oldest_texts(book: &mut dyn LetterBook) {
        let letters: Vec<_> = (0..=SEEN_LETTERS).map(|n| seen(n, Some(n as u64))).collect();
        book.commit(&letters[..SEEN_LETTERS]).unwrap();
        book.commit(&[seen(1, Some(1))]).unwrap(); // again
        let kept = book.peer(&BOB).unwrap();
        assert_eq!((kept.seen.len(), kept.floor), (SEEN_LETTERS, 0));
        book.commit(&letters[SEEN_LETTERS..]).unwrap();
        book.commit(&[seen(SEEN_LETTERS + 1, Some(0))]).unwrap();
        let kept = book.peer(&BOB).unwrap();
        assert_eq!((kept.seen.len(), kept.floor), (SEEN_LETTERS, 1));
        assert_eq!((kept.seen[0], kept.seen[1]), (mid(2), mid(3)));
        let texts: Vec<_> = (0..=SEEN_SESSION_TEXTS).map(|n| seen(n + 10_000, None)).collect();
        book.commit(&texts).unwrap();
        let kept = book.peer(&BOB).unwrap();
        assert_eq!((kept.seen.len(), kept.floor), (SEEN_LETTERS + SEEN_SESSION_TEXTS, 1));
        assert!(!kept.seen.contains(&mid(10_000)) && kept.seen.contains(&mid(10_001)));
    }

    /// A peer that makes room leaves its floor to those who are not known.
    pub(in crate::client) fn forgets_who_was_silent_longest(book: &mut dyn LetterBook) {
        let fp = |number: usize| {
            let mut fp = [0; 32];
            fp[..16].copy_from_slice(&mid(number));
            Fingerprint(fp)
        };
        let key = |number: usize, now| Change::NewestKey { fp: fp(number), created: 7, now };
        let all: Vec<_> = (0..LETTER_PEERS).map(|number| key(number, number as u64 + 1)).collect();
        book.commit(&all).unwrap();
        book.commit(&[key(0, 90_000), Change::NewestKey { fp: fp(0), created: 3, now: 1 }])
            .unwrap();
        assert_eq!(book.peer(&fp(0)).unwrap().newest_key, 7, "the newest");
        book.commit(&[key(LETTER_PEERS, 90_001)]).unwrap();
        assert_eq!(book.peer(&fp(0)).unwrap().newest_key, 7);
        let forgotten = KeptPeer { floor: 2, ..KeptPeer::default() };
        assert_eq!(book.peer(&fp(1)), Ok(forgotten.clone()));
        assert_eq!(book.peer(&BOB), Ok(forgotten));
        assert_eq!(book.peer(&fp(2)).unwrap(), KeptPeer { newest_key: 7, ..KeptPeer::default() });
    }

    /// Receipts and letters of ours are bounded.
    pub(in crate::client) fn keeps_no_more_than_it_may(book: &mut dyn LetterBook) {
        let to = || "bob".to_owned();
        let owe = |n| Change::Owe(OwedReceipt { to: to(), mid: mid(n), since: 1 });
        let wait = |n: usize| {
            let (mid, id) = (mid(n), n.to_string());
            Change::Wait(WaitingLetter { to: to(), mid, id, stored: 1 })
        };
        book.commit(&(0..OWED_RECEIPTS + 2).map(owe).collect::<Vec<_>>()).unwrap();
        book.commit(&(0..WAITING_LETTERS + 2).map(wait).collect::<Vec<_>>()).unwrap();
        let kept = book.load().unwrap();
        assert_eq!((kept.owed.len(), kept.owed[0].mid), (OWED_RECEIPTS, mid(2)));
        assert_eq!((kept.waiting.len(), kept.waiting[0].mid), (WAITING_LETTERS, mid(2)));
    }

    #[test]
    fn memory_keeps_what_was_committed() {
        keeps_what_was_committed(&mut MemoryLetters::default());
        forgets_the_oldest_texts(&mut MemoryLetters::default());
        forgets_who_was_silent_longest(&mut MemoryLetters::default());
        keeps_no_more_than_it_may(&mut MemoryLetters::default());
    }

    #[test]
    fn clones_share_what_is_kept_and_a_full_one_keeps_nothing() {
        let mut ours = MemoryLetters::default();
        let mut theirs = ours.clone();
        ours.fill(true);
        assert!(ours.commit(&[seen(1, None)]).is_err());
        assert_eq!(theirs.peer(&BOB), Ok(KeptPeer::default()));
        theirs.fill(false);
        ours.commit(&[seen(1, None)]).unwrap();
        assert_eq!(theirs.peer(&BOB).unwrap().seen, [mid(1)]);
    }
}
