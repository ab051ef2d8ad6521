//! How the parts of an event's sentence read.

use std::fmt;

use super::{Leaving, LineKind, Who};
use crate::wire::escape_visible;

impl fmt::Display for Who<'_> {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Name(name) => Quoted(name).fmt(out),
            Self::Peer(peer) => peer.fmt(out),
        }
    }
}

impl fmt::Display for Leaving {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Quit => write!(out, "quit"),
            Self::Ended(code) => code.fmt(out),
            Self::Garbled(fault) => write!(out, "TLS failed: {fault}"),
            Self::Lost(errno) => errno.fmt(out),
        }
    }
}

impl fmt::Display for LineKind {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        out.pad(match self {
            Self::Info => "info",
            Self::Success => "success",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::System => "system",
        })
    }
}

/// A name within a sentence: in quotes where it could pass for more of the sentence, or for a name
/// that looks the same (`аlice`, with a Cyrillic letter).
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let is_plain =
            |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
        if !self.0.is_empty() && self.0.chars().all(is_plain) {
            return out.write_str(self.0);
        }
        write!(out, "\"{}\"", escape_visible(self.0).replace('"', "\\\""))
    }
}

/// The user of another process.
pub(super) struct User(pub(super) Option<u32>);

impl fmt::Display for User {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self.0 {
            Some(number) => write!(out, "the user {number} of this machine"),
            None => write!(out, "somebody"),
        }
    }
}
