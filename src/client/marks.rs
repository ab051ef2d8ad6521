//! What is remembered so that it cannot be taken back unseen: a line each in `known_marks`.
//!
//! A relay that spoke TLS is not spoken to in the clear (`channel.rs`). A peer whose prekey had an
//! ML-KEM key has one from then on: a prekey of it without one is older, or its owner has gone back
//! to an earlier version, and nothing is sent to it. Otherwise a relay could hand out an older
//! prekey and have the session opened without ML-KEM. The mark is of the key, so another key of the
//! peer has none.

use super::Caution;
use super::core::ClientCore;
use super::pins::Pin;
use crate::address::canonical;
use crate::wire::Fingerprint;

/// A line of `known_marks`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// A relay as `HOST:PORT`, in its one form, or a fingerprint: no text is both, for in an
    /// address the host is in lower case.
    of: String,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Tls,
    Kem,
}

impl Mark {
    /// The relay at this address (`HOST:PORT`, in its one form) spoke TLS that was bound to its
    /// key.
    pub fn tls(relay: impl Into<String>) -> Self {
        Self { of: relay.into(), kind: Kind::Tls }
    }

    /// The owner of this key has had an ML-KEM key in a prekey.
    pub fn kem(fp: &Fingerprint) -> Self {
        Self { of: fp.to_string(), kind: Kind::Kem }
    }
}

impl Pin for Mark {
    fn owner(&self) -> &str {
        &self.of
    }

    fn parse(line: &str) -> Option<Self> {
        let words: Vec<_> = line.split_ascii_whitespace().collect();
        match words[..] {
            [relay, "tls"] => Some(Self::tls(canonical(relay))),
            [fp, "mlkem"] => Some(Self::kem(&fp.parse().ok()?)),
            _ => None,
        }
    }

    fn render(&self) -> String {
        let kind = match self.kind {
            Kind::Tls => "tls",
            Kind::Kem => "mlkem",
        };
        format!("{} {kind}", self.of)
    }
}

impl ClientCore {
    /// Reads the marks again, if they have changed. Damaged lines become a warning.
    pub(super) fn refresh_marks(&mut self) -> Result<(), String> {
        if self.marks.refresh()? {
            let damaged: Vec<_> = self.marks.file().damaged().collect();
            self.name_damaged_lines("known_marks", &damaged);
        }
        Ok(())
    }

    /// Whether the owner of this key has had an ML-KEM key. Where the file cannot be read, nobody
    /// has, and the user is warned.
    pub(super) fn had_kem(&mut self, fp: &Fingerprint) -> bool {
        if let Err(why) = self.refresh_marks() {
            let detail = format!("whose prekeys had an ML-KEM key cannot be read: {why}");
            self.warn("", Caution::TrustFile, detail);
        }
        self.marks.file().find(&fp.to_string()).is_some()
    }

    /// Forgets it, because the user has accepted the key again.
    pub(super) fn forget_kem(&mut self, fp: &Fingerprint) -> Result<(), String> {
        if self.had_kem(fp) {
            self.marks.change(|file| file.remove(&fp.to_string()))?;
        }
        Ok(())
    }

    /// Remembers that the owner of this key has one. Only of peers that we wrote to or whose keys
    /// we accepted: others decide how many strangers there are.
    pub(super) fn remember_kem(&mut self, name: &str, fp: &Fingerprint) {
        if !self.knows(name) || self.had_kem(fp) {
            return;
        }
        if let Err(why) = self.marks.change(|file| file.set(Mark::kem(fp))) {
            let detail = format!("it cannot be kept that {name} has an ML-KEM key: {why}");
            self.warn(name, Caution::TrustFile, detail);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_a_line() {
        let kem = Mark::kem(&Fingerprint([7; 32]));
        for mark in [Mark::tls("[::1]:12345"), kem.clone()] {
            assert_eq!(Mark::parse(&mark.render()), Some(mark));
        }
        assert_eq!(Mark::parse("LOCALHOST:01 tls"), Some(Mark::tls("localhost:1")));
        let (fp, twice) = (&kem.of, format!("{} mlkem x", kem.of));
        let wrong = ["", "localhost:1", "localhost:1 ssl", "localhost:1 tls tls"];
        for wrong in wrong.into_iter().chain([fp.as_str(), "x mlkem", &twice]) {
            assert_eq!(Mark::parse(wrong), None, "{wrong}");
        }
    }
}
