//! Which key belongs to which peer, and how we know.

use super::pins::Pin;
use crate::wire::Fingerprint;

/// How far a pinned key is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It was the first one seen, or was accepted: nobody compared it (trust on first use).
    Tofu,
    /// The two users compared their safety number.
    Verified,
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

/// One line of `known_peers`: name, fingerprint, first seen, `tofu` or `verified`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerPin {
    /// The peer.
    pub name: String,
    /// Its key.
    pub fp: Fingerprint,
    /// When it was first seen, in milliseconds since 1970.
    pub first_seen: u64,
    /// How far it is trusted.
    pub trust: Trust,
}

impl Pin for PeerPin {
    fn key(&self) -> &str {
        &self.name
    }

    fn parse(_line: &str) -> Option<Self> {
        todo!()
    }

    fn render(&self) -> String {
        todo!()
    }
}
