//! `HOST:PORT`, as a user writes it, in the one form that is kept and compared.
//!
//! Everything that takes the address of a relay reads it here, so that `LOCALHOST:1`, `localhost:1`
//! and `localhost:01` are one relay. Knows spelling and the resolver of the C library; no sockets.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;

use crate::limits::MAX_HOST;

/// The address of a relay. Its text is the one form of all spellings: the host in lower case, an
/// IPv6 address in brackets and as RFC 5952 writes it, the port as a number without leading zeros.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// Without brackets.
    host: String,
    port: u16,
    /// `tls://` stands in front: the host's certificate is to be checked.
    is_checked: bool,
}

/// What stands in front of the address of a proxy that ends TLS.
const CHECKED: &str = "tls://";

/// Why a text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnAddress;

impl fmt::Display for NotAnAddress {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.write_str("not of the form HOST:PORT or tls://HOST:PORT, with a port from 0 to 65535")
    }
}

impl std::error::Error for NotAnAddress {}

impl FromStr for Address {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        let is_checked =
            text.get(..CHECKED.len()).is_some_and(|it| it.eq_ignore_ascii_case(CHECKED));
        let text = if is_checked { &text[CHECKED.len()..] } else { text };
        let (host, port) = text.rsplit_once(':').ok_or(NotAnAddress)?;
        if !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NotAnAddress); // `parse` would take a sign
        }
        let port = port.parse().map_err(|_| NotAnAddress)?;
        let bare = host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
        let host = match bare {
            Some(inner) => ipv6(inner).ok_or(NotAnAddress)?,
            None if host.contains(':') => ipv6(host).ok_or(NotAnAddress)?,
            None => name(host).ok_or(NotAnAddress)?,
        };
        Ok(Self { host, port, is_checked })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let Self { host, port, is_checked } = self;
        if *is_checked {
            out.write_str(CHECKED)?;
        }
        if host.contains(':') {
            write!(out, "[{host}]:{port}")
        } else {
            write!(out, "{host}:{port}")
        }
    }
}

impl Address {
    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address in numbers, where it was written in numbers: there is nothing to look up.
    pub fn literal(&self) -> Option<SocketAddr> {
        self.host.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, self.port))
    }

    /// The host alone, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether TLS is to be spoken with a certificate that is checked (`tls://`).
    pub const fn is_checked(&self) -> bool {
        self.is_checked
    }

    /// Asks the resolver of the C library (`getaddrinfo(3)`) for all addresses of the host. Blocks
    /// for as long as the resolver takes, which may be half a minute. The error is for people.
    ///
    /// # Errors
    /// No address was found, or nobody answered.
    pub fn resolve(&self) -> Result<Vec<SocketAddr>, String> {
        let found = (self.host.as_str(), self.port).to_socket_addrs();
        found.map(Iterator::collect).map_err(|error| error.to_string())
    }
}

/// `text` in the one form, where it is an address; otherwise as it is.
pub fn canonical(text: &str) -> String {
    text.parse::<Address>().map_or_else(|_| text.to_owned(), |address| address.to_string())
}

/// The host in lower case. Characters that no name of a host has are refused: a space would end a
/// word of `known_relays`.
fn name(host: &str) -> Option<String> {
    let fits = !host.is_empty() && host.len() <= MAX_HOST;
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"[]%/@#".contains(&byte);
    (fits && host.bytes().all(is_plain)).then(|| host.to_ascii_lowercase())
}

/// An IPv6 address in the form of RFC 5952. A zone (RFC 4007) is the name of an interface, where
/// upper and lower case differ.
fn ipv6(host: &str) -> Option<String> {
    let Some((address, zone)) = host.split_once('%') else {
        return host.parse::<Ipv6Addr>().ok().map(|ip| ip.to_string());
    };
    let fits = !zone.is_empty() && zone.len() <= MAX_HOST;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let ip = address.parse::<Ipv6Addr>().ok()?;
    (fits && zone.bytes().all(is_plain)).then(|| format!("{ip}%{zone}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_spellings_of_an_address_have_one_form() {
        let same = [
            ("localhost:1", ["LOCALHOST:1", "LocalHost:001", "localhost:01"]),
            ("127.0.0.1:23310", ["127.0.0.1:023310", "127.0.0.1:23310", "127.0.0.1:0023310"]),
            ("[::1]:5", ["::1:5", "[::1]:05", "[0:0:0:0:0:0:0:1]:5"]),
            ("[fe80::a%eth0]:5", ["fe80::A%eth0:5", "[FE80::a%eth0]:5", "[fe80:0::a%eth0]:05"]),
        ];
        for (form, spellings) in same {
            assert_eq!(canonical(form), form);
            for spelling in spellings {
                assert_eq!(canonical(spelling), form, "{spelling}");
            }
        }
    }

    #[test]
    fn what_is_no_host_and_port_is_refused() {
        let wrong = [
            "",
            "localhost",
            ":1",
            "localhost:",
            "localhost:x",
            "localhost:65536",
            "localhost:+1",
            "localhost:-1",
            "a b:1",
            "[]:1",
            "[localhost]:1",
            "a:b:1",
            "[::1:1",
            "::1]:1",
            "b\u{fc}:1",
            "[fe80::1%]:1",
            "#a:1",
        ];
        for text in wrong {
            assert_eq!(text.parse::<Address>(), Err(NotAnAddress), "{text}");
        }
        assert!(format!("{}:1", "a".repeat(MAX_HOST + 1)).parse::<Address>().is_err());
    }

    #[test]
    fn numbers_need_no_look_up() {
        let literal = |text: &str| text.parse::<Address>().expect("an address").literal();
        assert_eq!(literal("::1:7"), Some(SocketAddr::from((Ipv6Addr::LOCALHOST, 7))));
        assert_eq!(literal("127.0.0.1:07"), Some(SocketAddr::from(([127, 0, 0, 1], 7))));
        assert_eq!(literal("localhost:7"), None);
    }
}
