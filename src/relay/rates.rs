//! What one address may ask in a while: connections, registrations and proofs, public keys.
//!
//! Knows addresses and instants, no connections. A connection whose address has spent its rate is
//! not refused, but gets an instant at which its turn comes: a burst of honest users behind one
//! address is served later, and a flood is served no faster than the rate. Requests for public keys
//! are the exception: others can make a client ask for them, and must not be able to stop its
//! connection that way. So those are refused.
//!
//! An address of version 6 counts by its /64, because every customer has at least that many
//! addresses to choose from (RFC 6177). The table is bounded and holds only addresses that have
//! spent something lately; those that find no place in it share one rate.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::limits::{
    ADDRESSES_SWEEP, CLAIMS_BURST, CLAIMS_PER_SECOND, CONNECTS_BURST, CONNECTS_PER_SECOND,
    LOOKUPS_BURST, LOOKUPS_PER_SECOND, MAX_ADDRESSES, RATE_HORIZON,
};
use crate::reactor::Time;
use crate::tokens::{Bucket, Rate};

/// Whose rates are spent: an IPv4 address, or the first 64 bits of an IPv6 one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Origin(u64);

/// What has a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RateClass {
    /// A connection.
    Connect,
    /// A frame of a connection that has not registered.
    Claim,
    /// A `get_pubkey`.
    Lookup,
}

/// When a connection may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// At once.
    Now,
    /// At this instant, which no other connection of the address was given.
    At(Time),
    /// At this instant it is to ask again: its turn is too far ahead.
    RetryAt(Time),
}

/// All rates.
#[derive(Default)]
pub(super) struct Rates {
    counts_loopback: bool,
    spent: Places<Origin, { RateClass::COUNT }>,
}

/// What each key has spent. Bounded: those that find no place share one entry.
pub(super) struct Places<K, const N: usize> {
    // A tree and not a hash table: it is never copied to grow, and nobody can choose keys that
    // collide.
    spent: BTreeMap<K, [Bucket; N]>,
    others: [Bucket; N],
    /// When places were last looked for.
    swept: Time,
}

impl Origin {
    /// Not counted.
    pub(super) const EXEMPT: Self = Self(0);

    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            // Within 0000::/8, which is nobody's (RFC 4291, section 2.4).
            IpAddr::V4(v4) => Self(1 << 32 | u64::from(u32::from(v4))),
            IpAddr::V6(v6) if v6.is_loopback() => Self::of(Ipv4Addr::LOCALHOST.into()),
            #[allow(clippy::cast_possible_truncation)] // the upper half is what is wanted
            IpAddr::V6(v6) => Self(((u128::from(v6) >> 64) as u64).max(1)),
        }
    }
}

impl RateClass {
    /// How many there are.
    pub(super) const COUNT: usize = 3;

    const fn rate(self) -> Rate {
        match self {
            Self::Connect => Rate::new(CONNECTS_BURST, CONNECTS_PER_SECOND),
            Self::Claim => Rate::new(CLAIMS_BURST, CLAIMS_PER_SECOND),
            Self::Lookup => Rate::new(LOOKUPS_BURST, LOOKUPS_PER_SECOND),
        }
    }
}

impl Rates {
    /// Rates of which nothing is spent yet. `counts_loopback`: connections of this machine have a
    /// rate too.
    pub(super) fn new(counts_loopback: bool) -> Self {
        Self { counts_loopback, ..Self::default() }
    }

    /// Whether connections of this machine have a rate from now on.
    pub(super) fn count_loopback(&mut self, counts: bool) {
        self.counts_loopback = counts;
    }

    /// Whose rates a connection from `address` spends.
    pub(super) fn origin(&self, address: SocketAddr) -> Origin {
        if !self.counts_loopback && address.ip().to_canonical().is_loopback() {
            return Origin::EXEMPT;
        }
        Origin::of(address.ip())
    }

    /// Spends one of `class`, and returns when its turn comes. If that is too far ahead nothing is
    /// spent: a flood must not make an address wait for hours.
    pub(super) fn spend(&mut self, origin: Origin, class: RateClass, now: Time) -> Admission {
        if origin == Origin::EXEMPT {
            return Admission::Now;
        }
        let bucket = &mut self.spent.of(origin, now)[class as usize];
        let next = bucket.next(class.rate(), now);
        if next > now + RATE_HORIZON {
            return Admission::RetryAt(now + RATE_HORIZON);
        }
        bucket.spend(class.rate(), now);
        if next == now { Admission::Now } else { Admission::At(next) }
    }

    /// Spends one of `class` if there is one, and returns whether there was.
    pub(super) fn take(&mut self, origin: Origin, class: RateClass, now: Time) -> bool {
        origin == Origin::EXEMPT
            || self.spent.of(origin, now)[class as usize].take(class.rate(), now)
    }
}

impl<K: Ord + Copy, const N: usize> Places<K, N> {
    /// What `key` has left. Takes no place.
    pub(super) fn look(&mut self, key: K, now: Time) -> [Bucket; N] {
        if !self.has_place(key, now) {
            return self.others;
        }
        self.spent.get(&key).copied().unwrap_or([Bucket::default(); N])
    }

    /// The same, to spend from. Takes a place if there is one.
    pub(super) fn of(&mut self, key: K, now: Time) -> &mut [Bucket; N] {
        if !self.has_place(key, now) {
            return &mut self.others;
        }
        self.spent.entry(key).or_insert([Bucket::default(); N])
    }

    fn has_place(&mut self, key: K, now: Time) -> bool {
        if self.spent.len() < MAX_ADDRESSES || self.spent.contains_key(&key) {
            return true;
        }
        if now.since(self.swept) >= ADDRESSES_SWEEP {
            self.swept = now;
            self.spent.retain(|_, spent| spent.iter().any(|bucket| !bucket.is_full(now)));
        }
        self.spent.len() < MAX_ADDRESSES
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.spent.len()
    }
}

impl<K, const N: usize> Default for Places<K, N> {
    fn default() -> Self {
        let others = [Bucket::default(); N];
        Self { spent: BTreeMap::new(), others, swept: Time::default() }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const NOW: Time = Time::from_nanos(1_000_000_000_000);

    fn origin(address: &str) -> Origin {
        Rates::new(true).origin(SocketAddr::new(address.parse().unwrap(), 1))
    }

    /// How many come at once, and when the next does.
    fn drain(rates: &mut Rates, origin: Origin, class: RateClass) -> (usize, Admission) {
        let mut count = 0;
        loop {
            match rates.spend(origin, class, NOW) {
                Admission::Now => count += 1,
                turn => return (count, turn),
            }
        }
    }

    #[test]
    fn an_address_is_one_whatever_its_port_and_form_and_a_network_of_version_6_too() {
        assert_eq!(origin("192.0.2.1"), origin("::ffff:192.0.2.1"));
        assert_ne!(origin("192.0.2.1"), origin("192.0.2.2"));
        assert_eq!(origin("2001:db8::1"), origin("2001:db8::ffff:1"));
        assert_ne!(origin("2001:db8::1"), origin("2001:db8:0:1::1"));
        assert_eq!(origin("::1"), origin("127.0.0.1"));
        assert_ne!(origin("::2"), Origin::EXEMPT);
    }

    #[test]
    fn this_machine_is_exempt_unless_asked() {
        let mut rates = Rates::new(false);
        for address in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(rates.origin(address.parse().unwrap()), Origin::EXEMPT, "{address}");
        }
        for _ in 0..10_000 {
            assert_eq!(rates.spend(Origin::EXEMPT, RateClass::Connect, NOW), Admission::Now);
        }
        assert_eq!(drain(&mut Rates::new(true), origin("127.0.0.1"), RateClass::Connect).0, 512);
    }

    #[test]
    fn each_toll_of_each_address_has_its_own_rate() {
        let mut rates = Rates::new(true);
        let ours = origin("192.0.2.1");
        let period = Duration::from_secs(1) / CONNECTS_PER_SECOND;
        assert_eq!(drain(&mut rates, ours, RateClass::Connect), (512, Admission::At(NOW + period)));
        assert_eq!(rates.spend(ours, RateClass::Connect, NOW), Admission::At(NOW + period * 2));
        assert_eq!(drain(&mut rates, ours, RateClass::Claim).0, 1024);
        assert_eq!(drain(&mut rates, ours, RateClass::Lookup).0, 2048);
        assert_eq!(drain(&mut rates, origin("192.0.2.2"), RateClass::Connect).0, 512);
        assert_eq!(rates.spend(ours, RateClass::Connect, NOW + RATE_HORIZON * 10), Admission::Now);
    }

    #[test]
    fn a_flood_makes_its_address_wait_for_so_long_and_no_longer() {
        let mut rates = Rates::new(true);
        let ours = origin("192.0.2.1");
        let turns = (0..100_000).map(|_| rates.spend(ours, RateClass::Connect, NOW));
        assert_eq!(turns.last(), Some(Admission::RetryAt(NOW + RATE_HORIZON)));
        let later = NOW + RATE_HORIZON + Duration::from_secs(1);
        assert_eq!(rates.spend(ours, RateClass::Connect, later), Admission::Now);
    }

    #[test]
    fn the_table_is_bounded_and_those_without_a_place_share_one_rate() {
        let mut rates = Rates::new(true);
        let nth = |number: u32| Origin::of(Ipv4Addr::from(number).into());
        let places = u32::try_from(MAX_ADDRESSES).unwrap();
        for number in 0..places + 512 {
            assert_eq!(rates.spend(nth(number), RateClass::Connect, NOW), Admission::Now);
        }
        assert_eq!(rates.spent.len(), MAX_ADDRESSES);
        assert_ne!(rates.spend(nth(places + 999), RateClass::Connect, NOW), Admission::Now);
        assert_eq!(rates.spend(nth(0), RateClass::Connect, NOW), Admission::Now);
        // Who has spent nothing for a while gives its place away.
        let later = NOW + Duration::from_secs(2);
        assert_eq!(rates.spend(nth(places + 999), RateClass::Connect, later), Admission::Now);
        assert_eq!(rates.spent.len(), 1);
    }
}
