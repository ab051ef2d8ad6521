//! Which key belongs to which peer, and how we know.
//!
//! ```text
//!   unknown ──a signature by its key held──▶ tofu ──safety numbers compared──▶ verified
//!                                             ▲ │ another key shows up             │
//!                                `keys trust` │ ▼                                  ▼
//!                                           refused, until the user accepts it ◀────
//! ```

use std::fmt;

use super::pins::{Pin, PinFile};
use serde::{Serialize, Serializer};

use crate::address::canonical;
use crate::limits::{FIRST_CONTACTS_FORGOTTEN, MAX_FIRST_CONTACTS};
use crate::wire::{Fingerprint, base64, check_name_v2};

/// How far a pinned key is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It was the first one seen, or was accepted: nobody compared it (trust on first use).
    Tofu,
    /// The two users compared their safety number.
    Verified,
}

impl Serialize for Trust {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(self.as_str())
    }
}

impl Trust {
    /// `tofu` or `verified`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tofu => "tofu",
            Self::Verified => "verified",
        }
    }
}

/// One line of `known_peers`: name, fingerprint, first seen, `tofu` or `verified`; and behind that
/// `stranger`, where only the peer has written so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerPin {
    /// The peer.
    pub name: String,
    /// Its key.
    pub fp: Fingerprint,
    /// When this key was first seen, in milliseconds since 1970.
    pub first_seen: u64,
    /// How far it is trusted.
    pub trust: Trust,
    /// The peer wrote first, and we neither wrote to it nor accepted or compared its key by hand
    /// since. Such a pin makes room for a newer one. Lines of earlier versions do not say so, and
    /// are kept.
    pub is_stranger: bool,
}

impl Pin for PeerPin {
    fn owner(&self) -> &str {
        &self.name
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let name = words.next().filter(|name| check_name_v2(name).is_ok())?.to_owned();
        let fp = words.next()?.parse().ok()?;
        let first_seen = words.next()?.parse().ok()?;
        let trust = match words.next()? {
            "tofu" => Trust::Tofu,
            "verified" => Trust::Verified,
            _ => return None,
        };
        let is_stranger = match words.next() {
            None => false,
            Some(STRANGER) if trust == Trust::Tofu => true,
            Some(_) => return None,
        };
        let pin = Self { name, fp, first_seen, trust, is_stranger };
        words.next().is_none().then_some(pin)
    }

    fn render(&self) -> String {
        let Self { name, fp, first_seen, trust, is_stranger } = self;
        let mark = if *is_stranger { " stranger" } else { "" };
        format!("{name} {fp} {first_seen} {}{mark}", trust.as_str())
    }
}

/// The last word of the line of a peer that we never wrote to.
const STRANGER: &str = "stranger";

impl PinFile<PeerPin> {
    /// Pins `fp` for `name` instead of what is pinned. It stays marked as compared only if it is
    /// the same key. The peer is no stranger from now on.
    pub fn accept(&mut self, name: &str, fp: Fingerprint, now_ms: u64) {
        match self.find(name).filter(|pin| pin.fp == fp).cloned() {
            Some(pin) => self.set(PeerPin { is_stranger: false, ..pin }),
            None => self.pin(name, fp, now_ms, false),
        }
    }

    /// Pins the key of a peer that wrote first, where none is pinned. Beyond
    /// [`MAX_FIRST_CONTACTS`] such pins the oldest [`FIRST_CONTACTS_FORGOTTEN`] go, so that most of
    /// the time a new one is one line more. Returns how many went.
    pub fn meet_stranger(&mut self, name: &str, fp: Fingerprint, now_ms: u64) -> usize {
        if self.find(name).is_some() {
            return 0;
        }
        let strangers = self.iter().filter(|pin| pin.is_stranger);
        let mut strangers: Vec<_> = strangers.map(|pin| pin.first_seen).collect();
        let mut forgotten = 0;
        if strangers.len() >= MAX_FIRST_CONTACTS {
            strangers.sort_unstable();
            let newest = strangers[FIRST_CONTACTS_FORGOTTEN - 1];
            forgotten = self.remove_where(FIRST_CONTACTS_FORGOTTEN, |pin| {
                pin.is_stranger && pin.first_seen <= newest
            });
        }
        self.pin(name, fp, now_ms, true);
        forgotten
    }

    fn pin(&mut self, name: &str, fp: Fingerprint, first_seen: u64, is_stranger: bool) {
        let (name, trust) = (name.to_owned(), Trust::Tofu);
        self.set(PeerPin { name, fp, first_seen, trust, is_stranger });
    }

    /// Marks the pinned key of `name` as compared, if it is `fp`. Returns whether it is.
    pub fn mark_verified(&mut self, name: &str, fp: Fingerprint) -> bool {
        let Some(pin) = self.find(name).filter(|pin| pin.fp == fp).cloned() else { return false };
        self.set(PeerPin { trust: Trust::Verified, is_stranger: false, ..pin });
        true
    }
}

/// A relay's Ed25519 public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayFingerprint(pub [u8; 32]);

impl fmt::Display for RelayFingerprint {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        write!(out, "ED25519:{}", base64::encode(&self.0))
    }
}

/// One line of `known_relays`: the address in its one form
/// ([`Address`](crate::address::Address)), and the relay's key. Earlier versions kept the address
/// as the user wrote it; such a line counts for the same relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayPin {
    /// `HOST:PORT`
    pub address: String,
    /// Its key.
    pub key: RelayFingerprint,
}

impl Pin for RelayPin {
    fn owner(&self) -> &str {
        &self.address
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let address = canonical(words.next()?);
        let key = base64::decode_array(words.next()?.strip_prefix("ED25519:")?).ok()?;
        words.next().is_none().then_some(Self { address, key: RelayFingerprint(key) })
    }

    fn render(&self) -> String {
        format!("{} {}", self.address, self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FP: Fingerprint = Fingerprint([7; 32]);

    fn file() -> PinFile<PeerPin> {
        let mut file = PinFile::parse(b"");
        file.accept("bob", FP, 1_700_000_000_000);
        file
    }

    #[test]
    fn lines_are_read_as_they_were_written() {
        let mut file = file();
        assert!(file.mark_verified("bob", FP));
        file.accept("carol", Fingerprint([8; 32]), 1);
        let again = PinFile::<PeerPin>::parse(&file.render());
        assert!(again.iter().eq(file.iter()));
        let relay = RelayPin { address: "[::1]:12345".to_owned(), key: RelayFingerprint([9; 32]) };
        assert_eq!(RelayPin::parse(&relay.render()), Some(relay));
    }

    #[test]
    fn a_relay_that_was_pinned_under_another_spelling_is_known() {
        let key = RelayFingerprint([9; 32]);
        let text = format!("LOCALHOST:01 {key}\nlocalhost:1 {key}\n::1:2 {key}\n");
        let mut file = PinFile::<RelayPin>::parse(text.as_bytes());
        assert!(file.find("localhost:1").is_some() && file.find("[::1]:2").is_some());
        assert_eq!(file.damaged().count(), 0);
        assert!(file.remove("localhost:1"));
        assert_eq!(file.render(), format!("[::1]:2 {key}\n").into_bytes());
    }

    #[test]
    fn another_key_is_not_the_one_that_was_compared() {
        let mut file = file();
        let other = Fingerprint([8; 32]);
        assert!(!file.mark_verified("bob", other));
        assert!(file.mark_verified("bob", FP));
        file.accept("bob", FP, 9);
        assert_eq!(file.find("bob").unwrap().trust, Trust::Verified);
        file.accept("bob", other, 9);
        let pin = file.find("bob").unwrap();
        assert_eq!((pin.fp, pin.first_seen, pin.trust), (other, 9, Trust::Tofu));
    }

    #[test]
    fn strangers_make_room_for_strangers_and_nobody_else_does() {
        let mut file = PinFile::parse(format!("old {FP} 1 tofu\nbob {FP} 1 tofu\n").as_bytes());
        assert!(file.mark_verified("bob", FP));
        let meet = |file: &mut PinFile<PeerPin>, numbers: std::ops::Range<usize>| {
            numbers.map(|n| file.meet_stranger(&format!("u{n}"), FP, n as u64)).sum::<usize>()
        };
        assert_eq!(meet(&mut file, 0..MAX_FIRST_CONTACTS), 0);
        file.accept("u0", FP, 9);
        assert!(file.mark_verified("u1", FP));
        assert_eq!(meet(&mut file, 0..MAX_FIRST_CONTACTS), 0, "they are there");
        let more = MAX_FIRST_CONTACTS..MAX_FIRST_CONTACTS + 3;
        assert_eq!(meet(&mut file, more), FIRST_CONTACTS_FORGOTTEN);
        let next = format!("u{}", FIRST_CONTACTS_FORGOTTEN + 2);
        let kept = ["old", "bob", "u0", "u1", &next, "u10000", "u10002"];
        assert!(kept.iter().all(|name| file.find(name).is_some()));
        assert!(["u2", "u3", "u1251"].iter().all(|name| file.find(name).is_none()));
        assert!(PinFile::<PeerPin>::parse(&file.render()).iter().eq(file.iter()));
    }

    #[test]
    fn what_is_not_quite_a_line_is_none() {
        let good = PeerPin::parse(&format!("bob {FP} 5 tofu")).unwrap();
        assert_eq!(good.render(), format!("bob {FP} 5 tofu"));
        let wrong = [
            String::new(),
            format!("Bob {FP} 5 tofu"),
            format!("bob {FP} 5 trusted"),
            format!("bob {FP} 5 tofu x"),
            format!("bob {FP} 5 verified stranger"),
            format!("bob {FP} 5 tofu stranger x"),
            format!("bob {FP} -5 tofu"),
            "bob SHA256:AAAA 5 tofu".to_owned(),
            format!("bob {FP} tofu"),
        ];
        assert!(wrong.iter().all(|line| PeerPin::parse(line).is_none()));
        assert!(RelayPin::parse("localhost:1 ED25519:AAAA").is_none());
    }
}
