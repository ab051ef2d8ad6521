//! The identity file: read, opened, made once, and put under another passphrase.
//!
//! A user who has lost it is a stranger to all peers. So a file that cannot be used is an error
//! that says why, and no reason to make a new one; and before a file is replaced, the new text is
//! opened as a test.
//!
//! ```text
//!   SHA256:…                                 the fingerprint, before an encrypted key only
//!   -----BEGIN ENCRYPTED PRIVATE KEY-----    PKCS#8 (RFC 5958)
//! ```
//!
//! The line in front (RFC 7468, section 2, lets text stand there) lets `keys show` and `keys
//! verify` do without the passphrase. It stands in this file and in no other, so that it moves
//! with its key.

use std::io::IsTerminal;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::owner::not_usable;
use super::passphrase::{self, Passphrase};
use super::{Exit, Failure};
use crate::crypto::{Identity, IdentityFault};
use crate::home::Home;
use crate::limits::{MAX_IDENTITY_FILE, NEW_RSA_BITS, PASSPHRASE_TRIES};
use crate::wire::Fingerprint;

/// Its name in the home.
pub(super) const NAME: &str = "identity.pem";

/// What the file holds.
pub(super) struct IdentityFile {
    path: PathBuf,
    text: Zeroizing<String>,
}

impl IdentityFile {
    /// Reads the file of `home`; none: no key was made yet.
    pub(super) fn read(home: &Home) -> Result<Option<Self>, Failure> {
        let path = home.path(NAME);
        let Some(bytes) = home.read(NAME, MAX_IDENTITY_FILE).map_err(not_usable)? else {
            return Ok(None);
        };
        let text = str::from_utf8(&bytes).map(|text| Zeroizing::new(text.to_owned()));
        // Bytes that are no text are no PEM either: they become an empty text, which is refused as
        // damaged when it is opened.
        Ok(Some(Self { path, text: text.unwrap_or_default() }))
    }

    /// The key. Where it is encrypted and no passphrase was given, the person at the terminal is
    /// asked.
    pub(super) fn open(&self, passphrase: Option<&Passphrase>) -> Result<Identity, Failure> {
        let opened = Identity::from_pem(&self.text, passphrase.map(|bytes| bytes.as_slice()));
        match opened {
            Err(IdentityFault::PassphraseNeeded) if passphrase::can_ask() => self.ask(),
            opened => opened.map_err(|fault| self.refuse(fault)),
        }
    }

    /// The fingerprint of the key, without the passphrase where the file states it.
    pub(super) fn fingerprint(&self, given: Option<&Passphrase>) -> Result<Fingerprint, Failure> {
        let stated = self.text.split_once("\n-----BEGIN ENCRYPTED ");
        if given.is_none()
            && let Some(Ok(fp)) = stated.map(|(line, _)| line.parse())
        {
            return Ok(fp);
        }
        Ok(self.open(given)?.public().fingerprint())
    }

    fn ask(&self) -> Result<Identity, Failure> {
        let question = format!("Passphrase of {}: ", self.path.display());
        let mut tries = 1;
        loop {
            match Identity::from_pem(&self.text, Some(&passphrase::ask(&question)?)) {
                Err(IdentityFault::WrongPassphrase) if tries < PASSPHRASE_TRIES => tries += 1,
                opened => return opened.map_err(|fault| self.refuse(fault)),
            }
        }
    }

    fn refuse(&self, fault: IdentityFault) -> Failure {
        let next = match fault {
            IdentityFault::PassphraseNeeded => "; give it with --passphrase-fd N",
            IdentityFault::WrongPassphrase => "",
            _ => {
                "; restore it from a copy, or move it away to begin anew as somebody whom nobody \
                 knows"
            }
        };
        Failure::new(Exit::Identity, format!("{}: {fault}{next}", self.path.display()))
    }
}

/// Makes a key and keeps it.
pub(super) fn make(home: &Home, passphrase: Option<&Passphrase>) -> Result<Identity, Failure> {
    let path = home.path(NAME);
    if std::io::stderr().is_terminal() {
        eprintln!("* making your key ({NEW_RSA_BITS} bits), kept in {}", path.display());
    }
    let failed = |fault| Failure::new(Exit::Identity, format!("{}: {fault}", path.display()));
    let identity = Identity::generate(NEW_RSA_BITS).map_err(failed)?;
    home.write_new(NAME, render(&identity, passphrase).as_bytes()).map_err(not_usable)?;
    Ok(identity)
}

/// Encrypts the file with another passphrase, or none. The new text is opened as a test first.
pub(super) fn reseal(
    home: &Home,
    identity: &Identity,
    passphrase: Option<&Passphrase>,
) -> Result<(), Failure> {
    let text = render(identity, passphrase);
    let again = Identity::from_pem(&text, passphrase.map(|bytes| bytes.as_slice()));
    if again.is_ok_and(|again| again.public() == identity.public()) {
        return home.replace(NAME, text.as_bytes()).map_err(not_usable);
    }
    Err(Failure::new(
        Exit::Identity,
        "the new file does not open with the passphrase: the key stays as it is",
    ))
}

fn render(identity: &Identity, passphrase: Option<&Passphrase>) -> Zeroizing<String> {
    let pem = identity.to_pem(passphrase.map(|bytes| bytes.as_slice()));
    if passphrase.is_none() {
        return pem;
    }
    Zeroizing::new(format!("{}\n{}", identity.public().fingerprint(), pem.as_str()))
}
