//! A sealed message's bytes (`docs/protocol.md`, section 6).
//!
//! ```text
//!   content = 0x02 │ type u8 │ sid 16 │ n u64 │ ciphertext │ tag 16
//!             ╰──────────── head, 26 ─────────╯
//! ```

use super::MessageFault;
use super::chain::TAG_LEN;
use super::session::Sid;
use crate::limits::BUCKETS;
use crate::wire::base64;

/// A message's content that has the right size and form; nothing in it is to be believed yet.
pub struct SealedMessage {
    pub(super) kind: u8,
    pub(super) sid: Sid,
    pub(super) n: u64,
    pub(super) bytes: Vec<u8>,
}

const VERSION: u8 = 0x02;
/// The length of the head, in bytes.
pub(super) const HEAD_LEN: usize = 26;
/// The longest content, in characters of base64.
pub(super) const MAX_CONTENT: usize =
    ((HEAD_LEN + BUCKETS[BUCKETS.len() - 1] + TAG_LEN) * 4).div_ceil(3);

impl SealedMessage {
    /// Reads the `content` member of a `message` frame.
    pub fn parse(content: &str) -> Result<Self, MessageFault> {
        if content.len() > MAX_CONTENT {
            return Err(MessageFault::Form);
        }
        let bytes = base64::decode(content).map_err(|_| MessageFault::Form)?;
        let plain_len = bytes.len().checked_sub(HEAD_LEN + TAG_LEN).ok_or(MessageFault::Form)?;
        if bytes[0] != VERSION || !BUCKETS.contains(&plain_len) {
            return Err(MessageFault::Form);
        }
        let (mut sid, mut n) = ([0; 16], [0; 8]);
        sid.copy_from_slice(&bytes[2..18]);
        n.copy_from_slice(&bytes[18..HEAD_LEN]);
        Ok(Self { kind: bytes[1], sid, n: u64::from_be_bytes(n), bytes })
    }

    /// The session that it claims to belong to.
    pub fn sid(&self) -> &Sid {
        &self.sid
    }
}

/// The head of message `n`.
pub(super) fn head(kind: u8, sid: &Sid, n: u64) -> [u8; HEAD_LEN] {
    let mut head = [0; HEAD_LEN];
    head[0] = VERSION;
    head[1] = kind;
    head[2..18].copy_from_slice(sid);
    head[18..].copy_from_slice(&n.to_be_bytes());
    head
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_content_of_another_form_is_refused() {
        let bytes = [&head(0, &[1; 16], 9)[..], &[0; 256 + TAG_LEN]].concat();
        let content = base64::encode(&bytes);
        let message = SealedMessage::parse(&content).unwrap();
        assert_eq!((message.kind, message.sid(), message.n), (0, &[1; 16], 9));
        let texts = [
            String::new(),
            "Ag".to_owned(),
            base64::encode(&bytes[..bytes.len() - 1]),
            base64::encode(&bytes[..HEAD_LEN + TAG_LEN]),
            format!("{content}="),
            format!("{content} "),
            format!("{}{}", content, "A".repeat(MAX_CONTENT)),
        ];
        for text in texts {
            assert_eq!(SealedMessage::parse(&text).err(), Some(MessageFault::Form), "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn no_content_makes_reading_panic(content in "[A-Za-z0-9_-]{0,500}") {
            let _ = SealedMessage::parse(&content);
        }
    }
}
