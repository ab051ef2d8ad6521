//! Binary in JSON: base64url without padding (RFC 4648, section 5), canonical only
//! (`docs/protocol.md`, section 3).
//!
//! Canonical means that the same bytes always have the same text. Otherwise a relay could change a
//! signed frame and its signature would still hold.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The text is not valid: a foreign character, padding, an impossible length, or bits set behind
/// the last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadBase64;

/// The text of `bytes`.
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The bytes that `text` stands for.
pub fn decode(text: &str) -> Result<Vec<u8>, BadBase64> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| BadBase64)
}

/// The bytes that `text` stands for, exactly `N` of them.
pub fn decode_array<const N: usize>(text: &str) -> Result<[u8; N], BadBase64> {
    decode(text)?.try_into().map_err(|_| BadBase64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_vectors_of_rfc_4648_hold_without_padding() {
        let vectors = ["", "Zg", "Zm8", "Zm9v", "Zm9vYg", "Zm9vYmE", "Zm9vYmFy"];
        for (len, text) in vectors.into_iter().enumerate() {
            assert_eq!(encode(&b"foobar"[..len]), text);
            assert_eq!(decode(text).as_deref(), Ok(&b"foobar"[..len]));
        }
        assert_eq!(encode(&[0xfb, 0xff]), "-_8");
    }

    #[test]
    fn what_is_not_canonical_is_refused() {
        for text in ["Zh", "Zm9", "Zg==", "Zm8=", "Z", "Zm9vY", "+_8", "-/8", "Zm 8", "Zm8\n", "é"]
        {
            assert_eq!(decode(text), Err(BadBase64), "{text:?}");
        }
    }

    #[test]
    fn an_array_has_its_length() {
        assert_eq!(decode_array("Zm9v"), Ok(*b"foo"));
        assert_eq!(decode_array::<2>("Zm9v"), Err(BadBase64));
        assert_eq!(decode_array::<4>("Zm9v"), Err(BadBase64));
        assert_eq!(decode_array::<1>("Zh"), Err(BadBase64));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn every_text_that_decodes_is_the_one_that_encodes(text in "[A-Za-z0-9_-]{0,12}") {
            if let Ok(bytes) = decode(&text) {
                prop_assert_eq!(encode(&bytes), text);
            }
        }
    }
}
