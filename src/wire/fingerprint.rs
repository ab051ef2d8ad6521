//! The fingerprint of a public key, as bytes and as text (`docs/protocol.md`, section 3).

use std::fmt;
use std::str::FromStr;

use super::base64;

/// SHA-256 of the DER of a `SubjectPublicKeyInfo`; as text `SHA256:` and base64url without
/// padding.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub [u8; 32]);

/// A text that is no fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadFingerprint;

const PREFIX: &str = "SHA256:";

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", base64::encode(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = BadFingerprint;

    fn from_str(text: &str) -> Result<Self, BadFingerprint> {
        let digest = text.strip_prefix(PREFIX).ok_or(BadFingerprint)?;
        base64::decode_array(digest).map(Self).map_err(|_| BadFingerprint)
    }
}

impl fmt::Display for BadFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a fingerprint: SHA256: and 43 characters of base64url")
    }
}

impl std::error::Error for BadFingerprint {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_read_back_and_nothing_else_is() {
        let fp = Fingerprint([0xff; 32]);
        let text = "SHA256:__________________________________________8";
        assert_eq!(fp.to_string(), text);
        assert_eq!(format!("{fp:?}"), text);
        assert_eq!(text.parse(), Ok(fp));
        for wrong in ["", "SHA256:", &text[1..], &text[7..], &text[..49], &format!("{text}=")] {
            assert_eq!(wrong.parse::<Fingerprint>(), Err(BadFingerprint), "{wrong}");
        }
        assert_eq!(text.replace('8', "9").parse::<Fingerprint>(), Err(BadFingerprint));
        assert_eq!(text.replace("SHA", "sha").parse::<Fingerprint>(), Err(BadFingerprint));
    }
}
