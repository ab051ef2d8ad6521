//! Our own letter keys (`docs/protocol.md`, section 10).
//!
//! ```text
//!   made ──LETTER_KEY_INTERVAL──▶ replaced ──no letter waits under it──▶ erased
//! ```
//!
//! Those of one relay: at another one others are left.
//!
//! Unlike a prekey a letter key outlives the process: letters come while nobody is there. Its
//! secret half is kept sealed under a key that comes from the identity. Once it is erased nobody
//! can open the letters that were sealed to it, not even with the identity.

use std::collections::BTreeSet;

use super::book::Book;
use super::letter_book::{Change, KeptKey};
use crate::crypto::{LetterKeyPair, Secret, Vault, open_at_rest, seal_at_rest};
use crate::limits::{
    CLOCK_SKEW, LETTER_AGE, LETTER_KEY_GRACE, LETTER_KEY_INTERVAL, LETTER_KEY_LIFETIME,
};

/// What the secret halves are sealed as: what is sealed as something else does not open here.
const PLACE: &str = "letters.sqlite";

/// Our letter keys.
pub(super) struct LetterKeys {
    at_rest: Secret<32>,
    /// In the order in which they were made.
    keys: Vec<OwnKey>,
}

struct OwnKey {
    pair: LetterKeyPair,
    /// When the relay first took it, in milliseconds since 1970.
    published: Option<u64>,
}

impl LetterKeys {
    /// The keys that were kept. Returns also how many of them do not open.
    pub(super) fn open(vault: &dyn Vault, kept: &[KeptKey]) -> (Self, usize) {
        let at_rest = vault.at_rest_key();
        let open = |kept: &KeptKey| {
            let plain = open_at_rest(&at_rest, PLACE, &kept.sealed)?;
            let (created, secret) = plain.split_first_chunk()?;
            let created = u64::from_be_bytes(*created);
            let pair = LetterKeyPair::from_stored(vault, kept.id, created, secret)?;
            Some(OwnKey { pair, published: kept.published })
        };
        let keys: Vec<_> = kept.iter().filter_map(open).collect();
        let damaged = kept.len() - keys.len();
        (Self { at_rest, keys }, damaged)
    }

    /// The key that letters are to be sealed to from now on. A new one is made where the newest is
    /// a day old; then also those are erased that no letter can need any more.
    pub(super) fn newest(
        &mut self,
        vault: &dyn Vault,
        book: &mut Book,
        now_ms: u64,
    ) -> &LetterKeyPair {
        let last = millis(LETTER_KEY_LIFETIME + LETTER_AGE);
        self.erase(book, |key| key.pair.created().saturating_add(last) < now_ms);
        let usable = self.keys.last().is_some_and(|newest| {
            let created = newest.pair.created();
            // One that was made when the clock was far ahead is refused by peers.
            now_ms < created + millis(LETTER_KEY_INTERVAL)
                && created <= now_ms.saturating_add(millis(CLOCK_SKEW))
        });
        if !usable {
            let pair = LetterKeyPair::new(vault, now_ms);
            let plain = [&pair.created().to_be_bytes()[..], pair.to_stored().expose()].concat();
            let plain = zeroize::Zeroizing::new(plain);
            let sealed = seal_at_rest(vault, &self.at_rest, PLACE, &plain);
            let (id, created) = (pair.id(), pair.created());
            book.note(Change::Key(KeptKey { id, sealed, created, published: None }));
            self.keys.push(OwnKey { pair, published: None });
        }
        match self.keys.last() {
            Some(newest) => &newest.pair,
            None => unreachable!("one was made"),
        }
    }

    /// Whether [`newest`](Self::newest) would make a new one.
    pub(super) fn is_stale(&self, now_ms: u64) -> bool {
        let interval = millis(LETTER_KEY_INTERVAL);
        self.keys.last().is_none_or(|key| now_ms >= key.pair.created().saturating_add(interval))
    }

    /// The key with this id.
    pub(super) fn find(&self, id: u32) -> Option<&LetterKeyPair> {
        self.keys.iter().map(|key| &key.pair).find(|pair| pair.id() == id)
    }

    /// The relay has taken the newest key. Older keys under which no letter waits (those of
    /// `needed`) and none can come any more are erased. Returns whether older ones are left.
    pub(super) fn published(
        &mut self,
        book: &mut Book,
        needed: &BTreeSet<u32>,
        now_ms: u64,
    ) -> bool {
        let Some(newest) = self.keys.last_mut() else { return false };
        let (id, is_first) = (newest.pair.id(), newest.published.is_none());
        let since = *newest.published.get_or_insert(now_ms);
        if is_first {
            book.note(Change::Published { id, at: now_ms });
        }
        // Until then letters under the one before may still come. (A clock that was set back delays
        // this.)
        if now_ms >= since.saturating_add(millis(LETTER_KEY_GRACE)) {
            self.erase(book, |key| key.pair.id() != id && !needed.contains(&key.pair.id()));
        }
        self.keys.len() > 1
    }

    fn erase(&mut self, book: &mut Book, is_over: impl Fn(&OwnKey) -> bool) {
        self.keys.retain(|key| {
            let is_over = is_over(key);
            if is_over {
                book.note(Change::Erase { id: key.pair.id() });
            }
            !is_over
        });
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::core::tests::core;
    use crate::client::letter_book::tests::relay;
    use crate::client::{FileLetters, LetterBook, MemoryLetters, ParkedLetter};
    use crate::home::Home;
    use crate::reactor::Time;
    use crate::wire::Fingerprint;

    const DAY: u64 = 24 * 3_600_000;
    const START: u64 = 20_000 * DAY + 5 * 3_600_000;

    struct Stage {
        vault: Box<dyn Vault>,
        letters: MemoryLetters,
        book: Book,
        keys: LetterKeys,
    }

    impl Stage {
        fn new() -> Self {
            let vault = core().vault;
            let letters = MemoryLetters::default();
            let mut book = Book::new(Box::new(letters.clone()));
            let kept = book.visit(relay(1), START).unwrap();
            let (keys, damaged) = LetterKeys::open(vault.as_ref(), &kept.keys);
            assert_eq!(damaged, 0);
            Self { vault, letters, book, keys }
        }

        fn newest(&mut self, now_ms: u64) -> u32 {
            let id = self.keys.newest(self.vault.as_ref(), &mut self.book, now_ms).id();
            self.book.write(Time::default(), now_ms).unwrap();
            id
        }

        fn published(&mut self, needed: &[u32], now_ms: u64) -> Vec<u32> {
            let needed = needed.iter().copied().collect();
            self.keys.published(&mut self.book, &needed, now_ms);
            self.book.write(Time::default(), now_ms).unwrap();
            self.letters.kept().keys.iter().map(|key| key.id).collect()
        }
    }

    #[test]
    fn a_key_is_made_once_a_day_and_opens_after_a_restart() {
        let mut stage = Stage::new();
        let first = stage.newest(START);
        assert_eq!(stage.newest(START + 3_600_000), first);
        let kept = stage.letters.kept().keys;
        let (mut again, damaged) = LetterKeys::open(stage.vault.as_ref(), &kept);
        assert_eq!((again.find(first).map(LetterKeyPair::id), damaged), (Some(first), 0));
        let one = stage.keys.find(first).unwrap().to_stored();
        assert_eq!(again.find(first).unwrap().to_stored().expose(), one.expose());
        assert_eq!(again.newest(stage.vault.as_ref(), &mut stage.book, START).id(), first);
        assert_ne!(stage.newest(START + DAY), first);
        assert!(stage.keys.find(first).is_some());
        let mut damaged = kept;
        damaged[0].sealed[20] ^= 1;
        assert_eq!(LetterKeys::open(stage.vault.as_ref(), &damaged).1, 1);
    }

    #[test]
    fn a_replaced_key_is_erased_when_no_letter_needs_it_any_more() {
        let mut stage = Stage::new();
        let first = stage.newest(START);
        assert_eq!(stage.published(&[], START), [first]);
        let second = stage.newest(START + DAY);
        let at = START + DAY + 1;
        assert_eq!(stage.published(&[], at), [first, second], "letters may still come");
        let later = at + millis(LETTER_KEY_GRACE);
        assert_eq!(stage.published(&[first, second], later), [first, second]);
        assert_eq!(stage.published(&[second], later), [second]);
    }

    #[test]
    fn a_key_is_erased_at_the_latest_when_no_letter_may_be_so_old() {
        let mut stage = Stage::new();
        let first = stage.newest(START);
        stage.published(&[first], START);
        let end = START + millis(LETTER_KEY_LIFETIME + LETTER_AGE);
        stage.newest(end - DAY);
        assert!(stage.keys.find(first).is_some());
        stage.newest(end + 1);
        assert!(stage.keys.find(first).is_none());
    }

    /// Each byte of each file: the database, its free pages, and a journal that was left.
    #[test]
    fn what_is_secret_is_never_in_the_home_and_what_is_erased_nowhere_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("home");
        let home = Home::open(path.clone()).unwrap();
        let open = || FileLetters::open(&home, PLACE, None).unwrap();
        let vault = core().vault;
        let mut book = Book::new(Box::new(open()));
        book.visit(relay(1), START).unwrap();
        let (mut keys, _) = LetterKeys::open(vault.as_ref(), &[]);
        let is_in_home = |bytes: &[u8]| {
            let files = std::fs::read_dir(&path).unwrap().map(|file| file.unwrap().path());
            let mut contents = files.map(|file| std::fs::read(file).unwrap());
            contents.any(|content| memchr::memmem::find(&content, bytes).is_some())
        };
        let mut erased = Vec::new();
        for day in 0..20 {
            let now_ms = START + day * DAY;
            let pair = keys.newest(vault.as_ref(), &mut book, now_ms);
            let (id, stored) = (pair.id(), pair.to_stored());
            let content = format!("sealed by somebody on day {day} ").repeat(800);
            let parked = |mid: u8| ParkedLetter {
                from: "bob".to_owned(),
                fp: Fingerprint([7; 32]),
                mid: [mid; 16],
                content: content.clone(),
            };
            book.note(Change::Park(parked(1)));
            book.write(Time::default(), now_ms).unwrap();
            let kept = open().visit(&relay(1), now_ms).unwrap().keys;
            let sealed = kept.into_iter().find(|kept| kept.id == id).unwrap().sealed;
            assert!(is_in_home(&sealed[..32]) && is_in_home(&content.as_bytes()[..99]));
            for secret in [vault.at_rest_key().expose().as_slice(), stored.expose()] {
                assert!(secret.chunks_exact(16).all(|part| !is_in_home(part)), "in the clear");
            }
            keys.published(&mut book, &BTreeSet::new(), now_ms);
            let later = now_ms + millis(LETTER_KEY_GRACE);
            keys.published(&mut book, &BTreeSet::new(), later);
            book.note(Change::Unpark { from: "bob".to_owned(), mid: [1; 16] });
            book.write(Time::default(), later).unwrap();
            let parts = erased.iter().flat_map(|sealed: &Vec<u8>| sealed.chunks_exact(16));
            assert_eq!(parts.filter(|part| is_in_home(part)).count(), 0, "day {day}: older keys");
            assert!(!is_in_home(&content.as_bytes()[..99]), "nor is what was parked");
            erased.push(sealed);
        }
    }

    #[test]
    fn a_key_of_a_clock_that_was_far_ahead_is_not_used() {
        let mut stage = Stage::new();
        let ahead = stage.newest(START + 3 * DAY);
        assert_ne!(stage.newest(START), ahead);
    }
}
