//! A user's RSA public key, parsed strictly (`docs/protocol.md`, section 2, "Keys").
//!
//! One key has one DER and so one fingerprint: whatever could be written in two ways is refused.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use der::asn1::{AnyRef, ObjectIdentifier};
use der::pem;
use der::{Decode, Encode};
use ring::signature::{RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents};
use rsa::pkcs1::RsaPublicKeyRef;
use spki::SubjectPublicKeyInfoRef;

use super::sha256;
use crate::limits::{MAX_PEM_LINE, MAX_PUBKEY_PEM, MAX_RSA_BITS, MIN_RSA_BITS};
use crate::wire::Fingerprint;

/// An RSA public key of 2048 to 4096 bits with e = 65537.
///
/// One allocation of 256 to 512 bytes, the modulus: the relay keeps one for each user. All else in
/// the DER of the key is the same for all keys of its size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// Big-endian, without leading zeros.
    modulus: Box<[u8]>,
}

/// Why a public key was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFault {
    /// Not one PEM block with the label `PUBLIC KEY`, too long, or with too wide a line.
    Pem,
    /// Not the canonical DER of a `SubjectPublicKeyInfo` of an RSA key, or bytes behind it.
    Der,
    /// Another algorithm than `rsaEncryption` with NULL parameters (RFC 8017, A.1).
    Algorithm,
    /// The modulus is even, or has not 2048 to 4096 bits.
    Modulus,
    /// The public exponent is not 65537.
    Exponent,
}

const LABEL: &str = "PUBLIC KEY";
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// 65537, big-endian.
const EXPONENT: [u8; 3] = [1, 0, 1];
/// Bytes of the DER before the content of the modulus, see [`header`].
const HEADER: usize = 32;
/// What stands behind the modulus: the public exponent as an INTEGER.
const BEHIND: [u8; 5] = [0x02, 3, 1, 0, 1];

/// The first and the last line of a canonical PEM, and how long those between them are, but for the
/// last.
const FIRST_LINE: &str = "-----BEGIN PUBLIC KEY-----\n";
const LAST_LINE: &str = "-----END PUBLIC KEY-----\n";
const LINE: usize = 64;

/// The DER up to the modulus, whose content takes so many bytes. Of all sizes that are accepted
/// each length takes two bytes, since it is between 256 and 65535.
fn header(content: usize) -> Option<[u8; HEADER]> {
    let content = u16::try_from(content).ok()?;
    let [outer, bits, key, modulus] =
        [33, 14, 9, 0].map(|more| content.saturating_add(more).to_be_bytes());
    #[rustfmt::skip]
    let header = [
        0x30, 0x82, outer[0], outer[1], // SubjectPublicKeyInfo: SEQUENCE
        0x30, 13, // AlgorithmIdentifier: SEQUENCE
        0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, // rsaEncryption
        0x05, 0, // NULL
        0x03, 0x82, bits[0], bits[1], 0, // BIT STRING
        0x30, 0x82, key[0], key[1], // RSAPublicKey: SEQUENCE
        0x02, 0x82, modulus[0], modulus[1], // INTEGER
    ];
    Some(header)
}

impl PublicKey {
    /// Reads the text that [`to_pem`](Self::to_pem) prints, and no other, in one pass.
    fn from_canonical_pem(text: &str) -> Option<Self> {
        let body = text.strip_prefix(FIRST_LINE)?.strip_suffix(LAST_LINE)?;
        let mut joined = Vec::with_capacity(body.len());
        let mut lines = body.as_bytes().split_inclusive(|&byte| byte == b'\n').peekable();
        while let Some(line) = lines.next() {
            let line = line.strip_suffix(b"\n")?;
            let is_whole = line.len() == LINE;
            let may_be_shorter = lines.peek().is_none() && (1..LINE).contains(&line.len());
            if !is_whole && !may_be_shorter {
                return None;
            }
            joined.extend_from_slice(line);
        }
        Self::from_canonical_der(&STANDARD.decode(joined).ok()?)
    }

    /// Reads a PEM text (RFC 7468, strict, nothing around it): lines of equal width of at most 76
    /// characters, ended by LF or CRLF.
    pub fn from_pem(text: &str) -> Result<Self, KeyFault> {
        Self::from_any_pem(text).map(|(key, _)| key)
    }

    /// The same, and whether the text is the one that [`to_pem`](Self::to_pem) prints.
    pub fn from_any_pem(text: &str) -> Result<(Self, bool), KeyFault> {
        if text.len() > MAX_PUBKEY_PEM || !text.starts_with("-----BEGIN ") {
            return Err(KeyFault::Pem);
        }
        if let Some(key) = Self::from_canonical_pem(text) {
            return Ok((key, true));
        }
        let text = text.replace("\r\n", "\n");
        if text.contains('\r') || text.lines().any(|line| line.len() > MAX_PEM_LINE) {
            return Err(KeyFault::Pem);
        }
        let mut decoder =
            pem::Decoder::new_detect_wrap(text.as_bytes()).map_err(|_| KeyFault::Pem)?;
        if decoder.type_label() != LABEL {
            return Err(KeyFault::Pem);
        }
        let mut der = Vec::new();
        decoder.decode_to_end(&mut der).map_err(|_| KeyFault::Pem)?;
        Ok((Self::from_der(&der)?, false))
    }

    /// Reads the canonical DER of a `SubjectPublicKeyInfo`.
    pub fn from_der(der: &[u8]) -> Result<Self, KeyFault> {
        Self::from_canonical_der(der).ok_or_else(|| Self::fault_of(der))
    }

    /// A key has one DER, so it is compared with what that has to be.
    fn from_canonical_der(der: &[u8]) -> Option<Self> {
        let content = der.len().checked_sub(HEADER + BEHIND.len())?;
        let content = der.strip_prefix(&header(content)?)?.strip_suffix(&BEHIND)?;
        // An INTEGER is signed, and as short as it can be (X.690, 8.3).
        let modulus = match content {
            [0, modulus @ ..] if modulus.first()? >> 7 == 1 => modulus,
            [1..0x80, ..] => content,
            _ => return None,
        };
        Self::of_modulus(modulus)
    }

    /// Why this is not the DER of a key that is accepted.
    fn fault_of(der: &[u8]) -> KeyFault {
        let Ok(info) = SubjectPublicKeyInfoRef::from_der(der) else { return KeyFault::Der };
        if info.algorithm.oid != RSA_ENCRYPTION || info.algorithm.parameters != Some(AnyRef::NULL) {
            return KeyFault::Algorithm;
        }
        let bytes = info.subject_public_key.as_bytes().unwrap_or_default();
        let Ok(key) = RsaPublicKeyRef::from_der(bytes) else { return KeyFault::Der };
        // The parser takes some encodings that are not the shortest.
        if info.to_der().ok().as_deref() != Some(der) || key.to_der().ok().as_deref() != Some(bytes)
        {
            return KeyFault::Der;
        }
        if !is_modulus(key.modulus.as_bytes()) {
            return KeyFault::Modulus;
        }
        KeyFault::Exponent
    }

    /// The key with this modulus (big-endian, without leading zeros); none where it may be none.
    pub fn of_modulus(modulus: &[u8]) -> Option<Self> {
        is_modulus(modulus).then(|| Self { modulus: modulus.into() })
    }

    /// Its modulus: big-endian, without leading zeros.
    pub fn modulus(&self) -> &[u8] {
        &self.modulus
    }

    /// The DER of the `SubjectPublicKeyInfo`.
    pub fn to_der(&self) -> Vec<u8> {
        let sign = self.modulus.first().map_or(0, |first| first >> 7);
        let content = self.modulus.len() + usize::from(sign);
        let header = header(content).unwrap_or_else(|| unreachable!("it was read from a DER"));
        [&header[..], &[0][..usize::from(sign)], &self.modulus, &BEHIND].concat()
    }

    /// The canonical PEM: lines of 64 characters ended by LF, the last one too. So print `OpenSSL`
    /// and Python's `cryptography`.
    pub fn to_pem(&self) -> String {
        let body = STANDARD.encode(self.to_der());
        let mut text = String::with_capacity(MAX_PUBKEY_PEM);
        text.push_str(FIRST_LINE);
        let mut rest = &body[..];
        while !rest.is_empty() {
            let (line, behind) = rest.split_at(rest.len().min(LINE));
            text.push_str(line);
            text.push('\n');
            rest = behind;
        }
        text.push_str(LAST_LINE);
        text
    }

    /// SHA-256 of the DER; computed anew on each call.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(sha256(&self.to_der()))
    }

    /// The size of the modulus, in bits.
    pub fn bits(&self) -> usize {
        bit_length(&self.modulus)
    }

    /// Whether `signature` is this key's RSA-PSS over `message` (SHA-256, MGF1 with SHA-256, salt
    /// of 32 bytes: ring takes no other length).
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let key = RsaPublicKeyComponents { n: &*self.modulus, e: &EXPONENT };
        key.verify(&RSA_PSS_2048_8192_SHA256, message, signature).is_ok()
    }
}

/// Whether a big-endian number without leading zero bytes may be a modulus.
fn is_modulus(number: &[u8]) -> bool {
    let is_odd = number.last().is_some_and(|last| last % 2 == 1);
    is_odd && (MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bit_length(number))
}

/// The length in bits of a big-endian number without leading zero bytes.
fn bit_length(number: &[u8]) -> usize {
    let unused = number.first().map_or(0, |first| first.leading_zeros() as usize);
    number.len() * 8 - unused
}

impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pem => "not a PEM text with the label PUBLIC KEY and lines of at most 76",
            Self::Der => "not the canonical DER of an RSA key",
            Self::Algorithm => "not rsaEncryption with NULL parameters",
            Self::Modulus => "the modulus must be odd and have 2048 to 4096 bits",
            Self::Exponent => "the public exponent must be 65537",
        })
    }
}

impl std::error::Error for KeyFault {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::identity::wrap;
    use crate::crypto::{Secret, fixtures};

    const ALICE: &str = include_str!("../../tests/data/public-alice.pem");

    fn pem_of(der: &[u8]) -> String {
        pem::encode_string(LABEL, pem::LineEnding::LF, der).unwrap()
    }

    /// The text with another line width and another line end.
    fn wrapped(text: &str, width: usize, end: &str) -> String {
        let lines: Vec<_> = text.lines().collect();
        let body = lines[1..lines.len() - 1].concat();
        let body: Vec<_> =
            body.as_bytes().chunks(width).map(|line| str::from_utf8(line).unwrap()).collect();
        [&[lines[0]], &body[..], &[lines[lines.len() - 1], ""]].concat().join(end)
    }

    #[test]
    fn what_openssl_prints_is_read_and_printed_again() {
        let key = PublicKey::from_pem(ALICE).unwrap();
        assert_eq!(key.to_pem(), ALICE);
        assert_eq!(key.bits(), 2048);
        assert_eq!(key.to_der().len(), 294);
        assert_eq!(PublicKey::from_der(&key.to_der()), Ok(key));

        let largest = include_str!("../../tests/data/public-4096.pem");
        let key = PublicKey::from_pem(largest).unwrap();
        assert_eq!(key.to_pem(), largest);
        assert_eq!((key.bits(), key.to_der().len()), (4096, 550));
    }

    #[test]
    fn the_canonical_text_is_told_from_others_of_the_same_key() {
        for text in [ALICE, include_str!("../../tests/data/public-4096.pem")] {
            let key = PublicKey::from_canonical_pem(text).unwrap();
            assert_eq!((key.to_pem(), pem_of(&key.to_der())), (text.to_owned(), text.to_owned()));
        }
        let end = ALICE.len() - LAST_LINE.len() - 1;
        let others = [
            wrapped(ALICE, 63, "\n"),
            wrapped(ALICE, 64, "\r\n"),
            ALICE.trim_end().to_owned(),
            format!("{ALICE}\n"),
            format!("{}\n{}", &ALICE[..end], &ALICE[end..]),
            ALICE.replacen("MII", "MIJ", 1),
            ALICE.replace("PUBLIC", "RSA PUBLIC"),
            [FIRST_LINE, LAST_LINE].concat(),
            String::new(),
        ];
        for other in others {
            assert_eq!(PublicKey::from_canonical_pem(&other), None, "{other}");
        }
        // Bits behind the last byte: the same key for a parser that does not look at them.
        let last = ALICE.trim_end().lines().rev().nth(1).unwrap();
        assert!(last.ends_with("AB"), "{last}");
        let other = ALICE.replace(last, &last.replace("AB", "AC"));
        assert_eq!(PublicKey::from_canonical_pem(&other), None);
    }

    #[test]
    fn any_width_up_to_76_and_either_line_end_is_taken() {
        let key = PublicKey::from_pem(ALICE);
        for width in [4, 7, 60, 63, 64, 65, 75, 76] {
            for end in ["\n", "\r\n"] {
                assert_eq!(PublicKey::from_pem(&wrapped(ALICE, width, end)), key, "{width}");
            }
        }
        assert_eq!(PublicKey::from_pem(ALICE.trim_end()), key);
    }

    #[test]
    fn a_text_of_another_form_is_refused() {
        let pkcs1 = include_str!("../../tests/data/public-pkcs1.pem");
        let texts = [
            String::new(),
            wrapped(ALICE, 77, "\n"),
            wrapped(ALICE, 64, "\r"),
            format!("{ALICE}{ALICE}"),
            format!("{ALICE}\n"),
            format!("Alice's key:\n{ALICE}"),
            format!("{ALICE}{}", " ".repeat(MAX_PUBKEY_PEM)),
            ALICE.replace("PUBLIC", "RSA PUBLIC"),
            ALICE.replacen("MII", "M=I", 1),
            ALICE.replacen("MII", "MÄI", 1),
            pkcs1.to_owned(),
        ];
        for text in texts {
            assert_eq!(PublicKey::from_pem(&text), Err(KeyFault::Pem), "{text}");
        }
    }

    #[test]
    fn another_kind_of_key_is_refused() {
        let cases = [
            (include_str!("../../tests/data/public-e3.pem"), KeyFault::Exponent),
            (include_str!("../../tests/data/public-1024.pem"), KeyFault::Modulus),
            (include_str!("../../tests/data/public-ec.pem"), KeyFault::Algorithm),
            (include_str!("../../tests/data/public-pss.pem"), KeyFault::Algorithm),
            (&include_str!("../../tests/data/public-pkcs1.pem").replace("RSA ", ""), KeyFault::Der),
        ];
        for (text, fault) in cases {
            assert_eq!(PublicKey::from_pem(text), Err(fault), "{text}");
        }
    }

    #[test]
    fn a_der_that_could_be_written_otherwise_is_refused() {
        let der = PublicKey::from_pem(ALICE).unwrap().to_der();
        let trailing = [&der[..], &[0]].concat();
        assert_eq!(PublicKey::from_pem(&pem_of(&trailing)), Err(KeyFault::Der));
        assert_eq!(PublicKey::from_der(&der[..der.len() - 1]), Err(KeyFault::Der));
        // The outer length in three bytes where two do.
        let long = [&[0x30, 0x83, 0, der[2], der[3]], &der[4..]].concat();
        assert_eq!(PublicKey::from_der(&long), Err(KeyFault::Der));
        // The exponent with a leading zero, all lengths above it one more.
        let mut padded = der.clone();
        let exponent = padded.len() - 4;
        padded[exponent] += 1;
        padded.insert(exponent + 1, 0);
        for low_byte in [3, 22, 27] {
            padded[low_byte] += 1;
        }
        assert_eq!(PublicKey::from_der(&padded), Err(KeyFault::Der));
        // No NULL, as some signature algorithms have it.
        let mut bare = [&der[..17], &der[19..]].concat();
        bare[3] -= 2;
        bare[5] -= 2;
        assert_eq!(PublicKey::from_der(&bare), Err(KeyFault::Algorithm));
        let mut even = der.clone();
        even[der.len() - 6] &= 0xfe;
        assert_eq!(PublicKey::from_der(&even), Err(KeyFault::Modulus));
    }

    #[test]
    fn no_flipped_bit_of_a_key_is_taken_for_the_same_key() {
        let key = PublicKey::from_pem(ALICE).unwrap();
        let secret = Secret::filled(|secret| secret.fill(1));
        let canonical = key.to_der();
        for bit in 0..canonical.len() * 8 {
            let mut der = canonical.clone();
            der[bit / 8] ^= 1 << (bit % 8);
            if let Ok(other) = PublicKey::from_der(&der) {
                assert_ne!(other.fingerprint(), key.fingerprint());
                assert!((2048..=2055).contains(&other.bits()));
                // Taken here, it is taken by the libraries too: neither panics.
                assert!(!other.verify(b"hello", &[1; 256]));
                wrap(&other, &secret, &[0; 32]);
            }
        }
    }

    #[test]
    fn a_signature_holds_for_its_message_and_its_key_only() {
        let (alice, bob) = (fixtures::alice(), fixtures::bob());
        let signature = alice.sign(b"hello");
        assert_eq!(signature.len(), 256);
        assert!(alice.public().verify(b"hello", &signature));
        assert!(!alice.public().verify(b"hullo", &signature));
        assert!(!bob.public().verify(b"hello", &signature));
        assert!(!alice.public().verify(b"hello", &signature[..255]));
        assert!(!alice.public().verify(b"hello", b""));
    }
}
