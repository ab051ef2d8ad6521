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
//! all, whenever the process ends.
//!
//! All of it belongs to one relay: its letters are sealed to the keys that were left there, and a
//! name is somebody else at another relay. A relay is known by its key, and where the user has
//! accepted another key for an address, by the address. Which relay it is has to be said first
//! ([`LetterBook::visit`]).
//!
//! Knows no disk: the file is in `letter_file.rs`, and memory, for tests, in `letter_memory.rs`.

use super::trust::RelayPin;
use crate::crypto::{Letter, Mid};
use crate::limits::{LETTER_AGE, LETTER_KEY_LIFETIME, LETTER_RELAYS};
use crate::wire::Fingerprint;

/// Where letters are kept. Errors are texts for people.
pub trait LetterBook {
    /// From now on everything is about this relay: returns what is kept of it, but for its peers.
    /// Nothing is written before [`Change::Visit`], which is to be the first change where
    /// [`KeptLetters::visited`] is not of today. `now`: milliseconds since 1970. It is an error
    /// where too many other relays are kept.
    fn visit(&mut self, relay: &RelayPin, now: u64) -> Result<KeptLetters, String>;

    /// What is kept of the peer with this key at this relay.
    fn peer(&mut self, fp: &Fingerprint) -> Result<KeptPeer, String>;

    /// Makes all changes, in order, or none of them.
    fn commit(&mut self, changes: &[Change]) -> Result<(), String>;
}

/// Everything that is kept of a relay but for its peers. Times are milliseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptLetters {
    /// When [`Change::Visit`] was last written; `None`: never, or of another key or address.
    pub visited: Option<u64>,
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
    /// When it was made.
    pub created: u64,
    /// When the relay first took it; `None`: none has.
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
    /// This relay is visited. Letter keys and receipts of all relays that are over by the clock are
    /// erased, and a relay of which nothing is needed any more makes room for a new one.
    Visit {
        /// Which relay.
        relay: RelayPin,
        /// Now.
        now: u64,
    },
    /// A letter key of ours was made.
    Key(KeptKey),
    /// The relay took the key with this id for the first time.
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
    fn visit(&mut self, _relay: &RelayPin, _now: u64) -> Result<KeptLetters, String> {
        Err(self.0.clone())
    }

    fn peer(&mut self, _fp: &Fingerprint) -> Result<KeptPeer, String> {
        Err(self.0.clone())
    }

    fn commit(&mut self, _changes: &[Change]) -> Result<(), String> {
        Err(self.0.clone())
    }
}

/// What was made before these times is over by the clock: letter keys, and with them all that is
/// kept of a relay that was not visited since; and receipts. In milliseconds since 1970.
pub(super) fn over_before(now: u64) -> (u64, u64) {
    let before = |age: std::time::Duration| {
        now.saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
    };
    (before(LETTER_KEY_LIFETIME + LETTER_AGE), before(LETTER_AGE))
}

/// Why no letters are kept of one relay more. `longest`: the address of the one that was visited
/// longest ago.
pub(super) fn too_many_relays(longest: &str) -> String {
    let days = (LETTER_KEY_LIFETIME + LETTER_AGE).as_secs() / (24 * 3600);
    format!(
        "letters are kept of {LETTER_RELAYS} other relays, which is the most, and each may still \
         have some for you; the one that you left longest ago ({longest}) makes room {days} days \
         after your last visit"
    )
}

/// What every book has to do: the one in memory and the one in a file are held to it.
#[cfg(test)]
pub(super) mod tests {
    use super::super::letter_memory::MemoryLetters;
    use super::super::trust::RelayFingerprint;
    use super::*;
    use crate::limits::{
        LETTER_PEERS, OWED_RECEIPTS, SEEN_LETTERS, SEEN_SESSION_TEXTS, WAITING_LETTERS,
    };

    const BOB: Fingerprint = Fingerprint([7; 32]);

    /// The relay with this number, at the address of the same number.
    pub(in crate::client) fn relay(number: u8) -> RelayPin {
        let key = RelayFingerprint([number; 32]);
        RelayPin { address: format!("relay{number}:1"), key }
    }

    /// Visits it, and writes that down where it has to be.
    pub(in crate::client) fn visit(
        book: &mut dyn LetterBook,
        relay: &RelayPin,
        now: u64,
    ) -> KeptLetters {
        let kept = book.visit(relay, now).unwrap();
        if kept.visited != Some(now) {
            book.commit(&[Change::Visit { relay: relay.clone(), now }]).unwrap();
        }
        KeptLetters { visited: None, ..kept }
    }

    fn mid(number: usize) -> Mid {
        (number as u128).to_be_bytes()
    }

    fn seen(number: usize, created: Option<u64>) -> Change {
        Change::Seen { fp: BOB, mid: mid(number), created, now: 1 }
    }

    /// What was committed is loaded, and what was taken back is not.
    fn keeps_what_was_committed(book: &mut dyn LetterBook) {
        assert_eq!(visit(book, &relay(1), 1), KeptLetters::default());
        let key = |id| KeptKey { id, sealed: vec![1, 2, 3], created: 1, published: None };
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
            visited: None,
        };
        assert_eq!(visit(book, &relay(1), 1), kept);
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
        assert_eq!(visit(book, &relay(1), 1), kept);
    }

    /// Ids of shown texts are bounded, and a letter that is forgotten raises the floor.
    fn forgets_the_oldest_texts(book: &mut dyn LetterBook) {
        visit(book, &relay(1), 1);
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
    fn forgets_who_was_silent_longest(book: &mut dyn LetterBook) {
        visit(book, &relay(1), 1);
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
    fn keeps_no_more_than_it_may(book: &mut dyn LetterBook) {
        visit(book, &relay(1), 1);
        let to = || "bob".to_owned();
        let owe = |n| Change::Owe(OwedReceipt { to: to(), mid: mid(n), since: 1 });
        let wait = |n: usize| {
            let (mid, id) = (mid(n), n.to_string());
            Change::Wait(WaitingLetter { to: to(), mid, id, stored: 1 })
        };
        book.commit(&(0..OWED_RECEIPTS + 2).map(owe).collect::<Vec<_>>()).unwrap();
        book.commit(&(0..WAITING_LETTERS + 2).map(wait).collect::<Vec<_>>()).unwrap();
        let kept = visit(book, &relay(1), 1);
        assert_eq!((kept.owed.len(), kept.owed[0].mid), (OWED_RECEIPTS, mid(2)));
        assert_eq!((kept.waiting.len(), kept.waiting[0].mid), (WAITING_LETTERS, mid(2)));
    }

    /// What is kept of one relay is not touched at another, whatever has the same names and ids.
    fn keeps_relays_apart(book: &mut dyn LetterBook) {
        let key = KeptKey { id: 7, sealed: vec![1], created: 5, published: None };
        let (to, first) = ("bob".to_owned(), mid(1));
        let waiting = WaitingLetter { to: to.clone(), mid: first, id: "1".to_owned(), stored: 9 };
        let owed = OwedReceipt { to: to.clone(), mid: first, since: 9 };
        let parked =
            ParkedLetter { from: to.clone(), fp: BOB, mid: first, content: "sealed".to_owned() };
        let all = [
            Change::Key(key.clone()),
            Change::Park(parked),
            Change::Owe(owed),
            Change::Wait(waiting),
            seen(1, Some(4)),
            Change::NewestKey { fp: BOB, created: 6, now: 9 },
        ];
        visit(book, &relay(1), 9);
        book.commit(&all).unwrap();
        let kept = visit(book, &relay(1), 9);
        assert_eq!(visit(book, &relay(2), 9), KeptLetters::default());
        assert_eq!(book.peer(&BOB), Ok(KeptPeer::default()));
        book.commit(&all).unwrap();
        let undone = [
            Change::Published { id: 7, at: 8 },
            Change::Erase { id: 7 },
            Change::Unpark { from: to.clone(), mid: first },
            Change::Paid { to: to.clone(), mids: vec![first] },
            Change::Settled { to, mid: first },
            Change::NewestKey { fp: BOB, created: 20, now: 9 },
        ];
        book.commit(&undone).unwrap();
        assert_eq!(visit(book, &relay(2), 9), KeptLetters::default());
        assert_eq!(visit(book, &relay(1), 9), kept);
        let peer = KeptPeer { seen: vec![first], floor: 0, newest_key: 6 };
        assert_eq!(book.peer(&BOB), Ok(peer));
        // At another address, and then there with another key, it is the same relay.
        let moved = RelayPin { address: "moved:1".to_owned(), ..relay(1) };
        assert_eq!(visit(book, &moved, 9), kept);
        let renewed = RelayPin { key: RelayFingerprint([9; 32]), ..moved };
        assert_eq!(book.visit(&renewed, 9).unwrap().visited, None, "that is to be written down");
        assert_eq!(visit(book, &renewed, 9), kept);
        assert_eq!(visit(book, &relay(2), 9), KeptLetters::default());
        assert_eq!(visit(book, &renewed, 9), kept);
    }

    /// What is over by the clock goes at whatever relay the client is.
    fn erases_of_all_relays_by_the_clock(book: &mut dyn LetterBook) {
        let key = |id, created| {
            Change::Key(KeptKey { id, sealed: vec![1], created, published: Some(created) })
        };
        let (end, _) = over_before(0);
        assert_eq!(end, 0);
        let day = 24 * 3_600_000;
        let owe = Change::Owe(OwedReceipt { to: "bob".to_owned(), mid: mid(1), since: 200 * day });
        visit(book, &relay(1), 200 * day);
        book.commit(&[key(1, 100 * day), key(2, 150 * day), owe]).unwrap();
        visit(book, &relay(2), 206 * day);
        let kept = visit(book, &relay(1), 206 * day);
        assert_eq!((kept.keys.len(), kept.keys[0].id, kept.owed.len()), (1, 2, 1));
        visit(book, &relay(2), 216 * day);
        assert_eq!(visit(book, &relay(1), 216 * day).owed, []);
    }

    /// Of so many relays and no more; the one longest not visited of which nothing is needed goes.
    fn keeps_so_many_relays(book: &mut dyn LetterBook) {
        let day = 24 * 3_600_000;
        let (start, most) = (200 * day, u8::try_from(LETTER_RELAYS).unwrap());
        let keep =
            |id| Change::Key(KeptKey { id, sealed: vec![1], created: start, published: None });
        for number in 0..most {
            visit(book, &relay(number), start + u64::from(number));
            book.commit(&[keep(number.into())]).unwrap();
        }
        let refused = book.visit(&relay(most), start + day).unwrap_err();
        assert!(refused.contains("relay0:1") && refused.contains("105 days"), "{refused}");
        visit(book, &relay(3), start + day);
        book.commit(&[Change::Erase { id: 3 }]).unwrap();
        assert_eq!(visit(book, &relay(most), start + day), KeptLetters::default());
        book.commit(&[keep(most.into())]).unwrap();
        assert_eq!(visit(book, &relay(5), start + day).keys.len(), 1, "the others stay");
        assert!(book.visit(&relay(3), start + day).is_err(), "this one made room");
        assert_eq!(visit(book, &relay(0), start + day).keys.len(), 1);
        // After that time nothing of the one that was left longest ago is needed.
        assert_eq!(visit(book, &relay(3), start + 106 * day), KeptLetters::default());
    }

    type Contract = fn(&mut dyn LetterBook);

    /// All of it, each for a book that is new.
    pub(in crate::client) const CONTRACT: [Contract; 7] = [
        keeps_what_was_committed,
        forgets_the_oldest_texts,
        forgets_who_was_silent_longest,
        keeps_no_more_than_it_may,
        keeps_relays_apart,
        erases_of_all_relays_by_the_clock,
        keeps_so_many_relays,
    ];

    #[test]
    fn memory_keeps_what_was_committed() {
        for test in CONTRACT {
            test(&mut MemoryLetters::default());
        }
    }

    #[test]
    fn clones_share_what_is_kept_and_a_full_one_keeps_nothing() {
        let mut ours = MemoryLetters::default();
        visit(&mut ours, &relay(1), 1);
        let mut theirs = ours.clone();
        ours.fill(true);
        assert!(ours.commit(&[seen(1, None)]).is_err());
        assert_eq!(theirs.peer(&BOB), Ok(KeptPeer::default()));
        theirs.fill(false);
        ours.commit(&[seen(1, None)]).unwrap();
        assert_eq!(theirs.peer(&BOB).unwrap().seen, [mid(1)]);
    }
}
