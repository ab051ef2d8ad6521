//! How many new names one address may bind: a key costs an attacker a millisecond, so a bound on
//! the names of each key alone does not keep the directory from being filled.
//!
//! Knows addresses and instants. A connection whose address has spent the rate is refused and not
//! held back as in `rates.rs`: its turn would come minutes later. Names that are bound already are
//! never refused here.
//!
//! An address of version 6 counts by its /64 and by its /48 (a site's, RFC 6177). The tables are
//! bounded: all addresses that have no place in them share one rate.

use std::net::{IpAddr, SocketAddr};

use super::limits::{BINDINGS_BURST, BINDINGS_PERIOD, SITE_BINDINGS_BURST, SITE_BINDINGS_PERIOD};
use super::rates::{Origin, Places};
use crate::reactor::Time;
use crate::tokens::Rate;

/// The rate of an address.
const RATE: Rate = Rate::every(BINDINGS_BURST, BINDINGS_PERIOD);
/// The rate of a site.
const SITE_RATE: Rate = Rate::every(SITE_BINDINGS_BURST, SITE_BINDINGS_PERIOD);

/// What was spent of both rates.
#[derive(Default)]
pub(super) struct Newcomers {
    origins: Places<Origin, 1>,
    sites: Places<u64, 1>,
}

impl Newcomers {
    /// Whether a further name may be bound from `address`, whose rates are those of `origin`.
    pub(super) fn may(&mut self, origin: Origin, address: SocketAddr, now: Time) -> bool {
        origin == Origin::EXEMPT
            || self.origins.look(origin, now)[0].holds_one(RATE, now)
                && site(address)
                    .is_none_or(|site| self.sites.look(site, now)[0].holds_one(SITE_RATE, now))
    }

    /// The same; if it may, the name counts for the address and for its site.
    pub(super) fn take(&mut self, origin: Origin, address: SocketAddr, now: Time) -> bool {
        let may = self.may(origin, address, now);
        if may && origin != Origin::EXEMPT {
            self.origins.of(origin, now)[0].spend(RATE, now);
            if let Some(site) = site(address) {
                self.sites.of(site, now)[0].spend(SITE_RATE, now);
            }
        }
        may
    }
}

/// The first 48 bits of an address of version 6.
#[allow(clippy::cast_possible_truncation)] // 48 bits are left
fn site(address: SocketAddr) -> Option<u64> {
    match address.ip().to_canonical() {
        IpAddr::V6(v6) => Some((u128::from(v6) >> 80) as u64),
        IpAddr::V4(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::limits::MAX_ADDRESSES;
    use crate::relay::rates::Rates;

    const NOW: Time = Time::from_nanos(1_000_000_000_000);

    /// How many names can be bound from these addresses, tried in turn.
    fn bound(newcomers: &mut Newcomers, addresses: &[String], now: Time) -> usize {
        let rates = Rates::new(false);
        let all = addresses.iter().cycle().take(addresses.len() * 1000);
        all.filter(|address| {
            let address = SocketAddr::new(address.parse().unwrap(), 1);
            newcomers.take(rates.origin(address), address, now)
        })
        .count()
    }

    #[test]
    fn an_address_binds_so_many_names_at_once_and_then_one_in_a_while() {
        let mut newcomers = Newcomers::default();
        let ours = ["192.0.2.1", "::ffff:192.0.2.1"].map(str::to_owned);
        assert_eq!(bound(&mut newcomers, &ours, NOW), 64);
        assert_eq!(bound(&mut newcomers, &ours, NOW + BINDINGS_PERIOD), 1);
        assert_eq!(bound(&mut newcomers, &["192.0.2.2".to_owned()], NOW), 64);
        assert_eq!(bound(&mut newcomers, &ours, NOW + BINDINGS_PERIOD * 100), 64);
        assert_eq!(bound(&mut newcomers, &["127.0.0.1".to_owned()], NOW), 1000, "exempt");
    }

    #[test]
    fn the_addresses_of_a_site_share_a_rate_too() {
        let mut newcomers = Newcomers::default();
        let site: Vec<_> = (0..100).map(|net| format!("2001:db8:7:{net:x}::1")).collect();
        assert_eq!(bound(&mut newcomers, &site[..1], NOW), 64);
        assert_eq!(bound(&mut newcomers, &["2001:db8:7:0:1::2".to_owned()], NOW), 0, "one /64");
        assert_eq!(bound(&mut newcomers, &site, NOW), 256 - 64);
        assert_eq!(bound(&mut newcomers, &["2001:db8:8::1".to_owned()], NOW), 64);
    }

    #[test]
    fn the_table_is_bounded_and_those_without_a_place_share_one_rate() {
        let mut newcomers = Newcomers::default();
        let nth = |number: u32| SocketAddr::new(std::net::Ipv4Addr::from(number).into(), 1);
        let rates = Rates::new(true);
        let places = u32::try_from(MAX_ADDRESSES).unwrap();
        let mut take = |number, now| newcomers.take(rates.origin(nth(number)), nth(number), now);
        assert!((0..places + BINDINGS_BURST).all(|number| take(number, NOW)));
        assert!(!take(places + 999, NOW));
        assert!(take(0, NOW), "who has a place keeps it");
        assert!(take(places + 999, NOW + BINDINGS_PERIOD * 3));
        assert!(newcomers.origins.len() <= MAX_ADDRESSES);
    }
}
