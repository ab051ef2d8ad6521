//! What a message says, and how it is padded so that its length tells little (`docs/protocol.md`,
//! section 6).
//!
//! ```text
//!   plain = u32 length │ data │ zeros
//!   text:    data = mid 16 │ UTF-8
//!   receipt: data = mid 16 │ mid 16 │ …
//! ```
//!
//! The text of a letter (section 10) stands without its `mid`.
//!
//! `plain` has 256, 1024, 4096 or 16384 bytes: the fewest that hold length and data.

use std::fmt;

use super::MessageFault;
use super::chain::TAG_LEN;
use crate::limits::{BUCKETS, MAX_TEXT};
use crate::wire::LetterKind;

/// The id of a text: 16 random bytes, the same when the text is sent again.
pub type Mid = [u8; 16];

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Type 0: a text for a person.
    Text {
        /// Its id, which the receipt names.
        mid: Mid,
        /// The text.
        text: String,
    },
    /// Type 1: the ids of one or more texts that were decrypted and written out.
    Receipt(Vec<Mid>),
}

/// The body does not fit the largest bucket: more than [`MAX_TEXT`] bytes of text or
/// [`MAX_RECEIPT`](crate::limits::MAX_RECEIPT) ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

const TEXT: u8 = 0;
const RECEIPT: u8 = 1;
const LENGTH_LEN: usize = 4;

impl Body {
    /// What a letter that holds it says of itself.
    pub fn letter_kind(&self) -> LetterKind {
        match self {
            Self::Text { .. } => LetterKind::Text,
            Self::Receipt(_) => LetterKind::Receipt,
        }
    }

    /// The type byte in the head of the content.
    pub(super) fn kind(&self) -> u8 {
        match self {
            Self::Text { .. } => TEXT,
            Self::Receipt(_) => RECEIPT,
        }
    }

    /// Appends `plain` to `out`.
    pub(super) fn pad_into(&self, out: &mut Vec<u8>) -> Result<(), TooLong> {
        match self {
            Self::Text { mid, text } => pad(&[mid, text.as_bytes()], out),
            Self::Receipt(mids) => pad_mids(mids, out),
        }
    }

    /// Appends the `plain` of a letter to `out`: a text stands there without its id, which is in
    /// the letter's header.
    pub(super) fn pad_letter_into(&self, out: &mut Vec<u8>) -> Result<(), TooLong> {
        match self {
            Self::Text { text, .. } => pad(&[text.as_bytes()], out),
            Self::Receipt(mids) => pad_mids(mids, out),
        }
    }

    /// Reads a whole `plain`, which is as long as a bucket. There is one way to pad a body: any
    /// other is refused.
    pub(super) fn unpad(kind: u8, plain: &[u8]) -> Result<Self, MessageFault> {
        let data = unpad(plain)?;
        match kind {
            TEXT => {
                let (mid, text) = data.split_first_chunk().ok_or(MessageFault::Data)?;
                self::text(*mid, text)
            }
            RECEIPT => receipt(data),
            _ => Err(MessageFault::Kind),
        }
    }

    /// Reads the whole `plain` of a letter whose header says `kind` and `mid`.
    pub(super) fn unpad_letter(
        kind: LetterKind,
        mid: Mid,
        plain: &[u8],
    ) -> Result<Self, MessageFault> {
        let data = unpad(plain)?;
        match kind {
            LetterKind::Text => text(mid, data),
            LetterKind::Receipt => receipt(data),
        }
    }
}

fn pad_mids(mids: &[Mid], out: &mut Vec<u8>) -> Result<(), TooLong> {
    debug_assert!(!mids.is_empty(), "a receipt confirms something");
    pad(&[mids.as_flattened()], out)
}

/// Appends the length of all parts, the parts, and zeros up to the smallest bucket.
fn pad(parts: &[&[u8]], out: &mut Vec<u8>) -> Result<(), TooLong> {
    let length = parts.iter().map(|part| part.len()).sum();
    let bucket = bucket_for(length).ok_or(TooLong)?;
    let end = out.len() + bucket;
    out.reserve(bucket + TAG_LEN);
    #[expect(clippy::cast_possible_truncation, reason = "at most the largest bucket")]
    out.extend_from_slice(&(length as u32).to_be_bytes());
    for part in parts {
        out.extend_from_slice(part);
    }
    out.resize(end, 0);
    Ok(())
}

/// The data in a `plain`.
fn unpad(plain: &[u8]) -> Result<&[u8], MessageFault> {
    let (length, rest) = plain.split_first_chunk().ok_or(MessageFault::Bucket)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| MessageFault::Bucket)?;
    if bucket_for(length) != Some(plain.len()) {
        return Err(MessageFault::Bucket);
    }
    let (data, padding) = rest.split_at_checked(length).ok_or(MessageFault::Bucket)?;
    if padding.iter().any(|byte| *byte != 0) {
        return Err(MessageFault::Padding);
    }
    Ok(data)
}

fn text(mid: Mid, text: &[u8]) -> Result<Body, MessageFault> {
    let text = str::from_utf8(text).map_err(|_| MessageFault::Data)?;
    Ok(Body::Text { mid, text: text.to_owned() })
}

fn receipt(data: &[u8]) -> Result<Body, MessageFault> {
    match data.as_chunks() {
        ([], _) | (_, [_, ..]) => Err(MessageFault::Data),
        (mids, []) => Ok(Body::Receipt(mids.to_vec())),
    }
}

/// The smallest bucket that holds `length` bytes of data.
fn bucket_for(length: usize) -> Option<usize> {
    BUCKETS.into_iter().find(|bucket| length <= bucket - LENGTH_LEN)
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "longer than one message holds ({MAX_TEXT} bytes)")
    }
}

impl std::error::Error for TooLong {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MAX_RECEIPT;

    fn text_of(length: usize) -> Body {
        Body::Text { mid: [3; 16], text: "x".repeat(length) }
    }

    fn padded(body: &Body) -> Vec<u8> {
        let mut plain = Vec::new();
        body.pad_into(&mut plain).unwrap();
        plain
    }

    #[test]
    fn the_smallest_bucket_that_holds_a_body_is_taken() {
        for (length, bucket) in
            [(0, 256), (236, 256), (237, 1024), (1004, 1024), (1005, 4096), (MAX_TEXT, 16384)]
        {
            let plain = padded(&text_of(length));
            assert_eq!(plain.len(), bucket);
            assert_eq!(Body::unpad(TEXT, &plain), Ok(text_of(length)));
        }
        let receipt = Body::Receipt(vec![[4; 16]; MAX_RECEIPT]);
        assert_eq!(Body::unpad(RECEIPT, &padded(&receipt)), Ok(receipt));
    }

    #[test]
    fn what_fits_no_bucket_is_refused_and_leaves_nothing() {
        let mut plain = Vec::new();
        assert_eq!(text_of(MAX_TEXT + 1).pad_into(&mut plain), Err(TooLong));
        let receipt = Body::Receipt(vec![[4; 16]; MAX_RECEIPT + 1]);
        assert_eq!(receipt.pad_into(&mut plain), Err(TooLong));
        assert!(plain.is_empty());
    }

    #[test]
    fn another_padding_is_refused() {
        let plain = padded(&text_of(10));
        let wider = [&plain[..], &[0; 768]].concat();
        assert_eq!(Body::unpad(TEXT, &wider), Err(MessageFault::Bucket));
        assert_eq!(Body::unpad(TEXT, &plain[..3]), Err(MessageFault::Bucket));
        for length in [253, u32::MAX] {
            let long = [&length.to_be_bytes()[..], &plain[4..]].concat();
            assert_eq!(Body::unpad(TEXT, &long), Err(MessageFault::Bucket));
        }
        let mut marked = plain.clone();
        marked[255] = 1;
        assert_eq!(Body::unpad(TEXT, &marked), Err(MessageFault::Padding));
        // A shorter length leaves a part of the text in the padding.
        let shorter = [&25_u32.to_be_bytes()[..], &plain[4..]].concat();
        assert_eq!(Body::unpad(TEXT, &shorter), Err(MessageFault::Padding));
    }

    #[test]
    fn an_unknown_type_and_data_of_another_form_are_refused() {
        let plain = padded(&text_of(10));
        assert_eq!(Body::unpad(2, &plain), Err(MessageFault::Kind));
        assert_eq!(Body::unpad(RECEIPT, &plain), Err(MessageFault::Data));
        assert_eq!(Body::unpad(RECEIPT, &[0; 256]), Err(MessageFault::Data));
        assert_eq!(Body::unpad(TEXT, &[0; 256]), Err(MessageFault::Data));
        let mut foreign = plain.clone();
        foreign[20] = 0xff;
        assert_eq!(Body::unpad(TEXT, &foreign), Err(MessageFault::Data));
    }
}
