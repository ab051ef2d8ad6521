//! Which peers have had an ML-KEM key in their prekey: a line each in `known_marks`.
//!
//! The prekey of such a peer without one is older, or its owner has gone back to an earlier
//! version: nothing is sent to it. Otherwise a relay could hand out an older prekey and have the
//! session opened without ML-KEM. The mark is of the key, so another key of the peer has none.

use super::Caution;
use super::core::ClientCore;
use super::pins::Pin;
use crate::wire::Fingerprint;

/// A line of `known_marks`: the owner of this key has had an ML-KEM key in a prekey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KemMark {
    fp: String,
}

impl KemMark {
    /// The mark of this key.
    pub fn new(fp: &Fingerprint) -> Self {
        Self { fp: fp.to_string() }
    }
}

impl Pin for KemMark {
    fn owner(&self) -> &str {
        &self.fp
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let fp: Fingerprint = words.next()?.parse().ok()?;
        (words.next() == Some("mlkem") && words.next().is_none()).then(|| Self::new(&fp))
    }

    fn render(&self) -> String {
        format!("{} mlkem", self.fp)
    }
}

impl ClientCore {
    /// Whether the owner of this key has had an ML-KEM key. Where the file cannot be read, nobody
    /// has, and the user is warned.
    pub(super) fn had_kem(&mut self, fp: &Fingerprint) -> bool {
        if let Err(why) = self.kem.refresh() {
            let detail = format!("whose prekeys had an ML-KEM key cannot be read: {why}");
            self.warn("", Caution::TrustFile, detail);
        }
        self.kem.file().find(&fp.to_string()).is_some()
    }

    /// Forgets it, because the user has accepted the key again.
    pub(super) fn forget_kem(&mut self, fp: &Fingerprint) -> Result<(), String> {
        if self.had_kem(fp) {
            self.kem.change(|file| file.remove(&fp.to_string()))?;
        }
        Ok(())
    }

    /// Remembers that the owner of this key has one. Only of peers that we wrote to or whose keys
    /// we accepted: others decide how many strangers there are.
    pub(super) fn remember_kem(&mut self, name: &str, fp: &Fingerprint) {
        if !self.knows(name) || self.had_kem(fp) {
            return;
        }
        if let Err(why) = self.kem.change(|file| file.set(KemMark::new(fp))) {
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
        let mark = KemMark::new(&Fingerprint([7; 32]));
        assert_eq!(KemMark::parse(&mark.render()), Some(mark.clone()));
        for wrong in ["", "localhost:1 tls", &mark.fp, &format!("{} mlkem x", mark.fp)] {
            assert_eq!(KemMark::parse(wrong), None, "{wrong}");
        }
    }
}
