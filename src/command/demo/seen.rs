//! What the relay could see of the conversation, counted from the frames that its sockets read, and
//! a search for what it could not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::Value;

use crate::wire::{base64, escape_visible};

/// All that the relay has read, and what can be told of it.
#[derive(Default)]
pub(super) struct Seen {
    bytes: Vec<u8>,
    frames: usize,
    /// Who registered.
    names: BTreeSet<String>,
    /// How many texts and receipts there were, from whom to whom.
    texts: BTreeMap<(String, String), usize>,
    receipts: BTreeMap<(String, String), usize>,
    /// The lengths of the sealed texts, in bytes.
    sizes: BTreeSet<usize>,
}

impl Seen {
    /// Counts a frame, and says what it is in the words of the protocol.
    pub(super) fn take(&mut self, frame: &[u8]) -> String {
        self.bytes.extend_from_slice(frame);
        self.frames += 1;
        let frame: Value = serde_json::from_slice(frame).unwrap_or_default();
        let member = |name: &str| frame[name].as_str().unwrap_or("?").to_owned();
        let pair = || (member("from"), member("to"));
        let (from, to) = pair();
        let said = match frame["action"].as_str() {
            Some("register") => {
                self.names.insert(member("name"));
                format!("{} registers: a name, a public key, a prekey", member("name"))
            }
            Some("prove") => "a proof: who registers signs what the relay chose".to_owned(),
            Some("get_pubkey") => format!("{from} asks for {}'s keys", member("target")),
            Some("send_key") => format!("{from} → {to}: the secret of a session, sealed to {to}"),
            Some("message") => {
                let content = base64::decode(&member("content")).unwrap_or_default();
                let is_receipt = content.get(TYPE_AT) == Some(&RECEIPT);
                let (count, what) = if is_receipt {
                    (&mut self.receipts, "a receipt, sealed: it was read")
                } else {
                    self.sizes.insert(content.len());
                    (&mut self.texts, "a text, sealed")
                };
                *count.entry(pair()).or_default() += 1;
                format!("{from} → {to}: {what}")
            }
            other => other.unwrap_or("?").to_owned(),
        };
        escape_visible(&said).into_owned()
    }

    /// What the relay could see, a line each.
    pub(super) fn told(&self) -> Vec<String> {
        let names: Vec<_> = self.names.iter().map(String::as_str).collect();
        let names = escape_visible(&names.join(" and ")).into_owned();
        let sizes: Vec<_> = self.sizes.iter().map(ToString::to_string).collect();
        let mut told = vec![format!("that {names} are there, and their public keys")];
        told.extend(self.texts.iter().map(|((from, to), texts)| {
            let receipts = self.receipts.get(&(to.clone(), from.clone())).copied().unwrap_or(0);
            let line = format!("that {from} wrote to {to}: {texts} texts, {receipts} confirmed");
            escape_visible(&line).into_owned()
        }));
        told.push("when each of them was sent".to_owned());
        told.push(format!(
            "how large each was, rounded up to a bucket: {} bytes",
            sizes.join(", ")
        ));
        told.push(format!("in all: {} frames, {} bytes", self.frames, self.bytes.len()));
        told
    }

    /// In which form `text` stands among the bytes that the relay has read, if it does.
    pub(super) fn finds(&self, text: &str) -> Option<&'static str> {
        let contains =
            |needle: &str| memchr::memmem::find(&self.bytes, needle.as_bytes()).is_some();
        if contains(text) {
            return Some("plain text");
        }
        if contains(&hex(text)) {
            return Some("hexadecimal");
        }
        // Where the text begins within a group of three bytes decides its letters: inner groups
        // tell.
        let groups = (0..3).any(|skip| {
            let inner = &text.as_bytes()[skip..];
            contains(&base64::encode(&inner[..inner.len() / 3 * 3]))
        });
        groups.then_some("base64url")
    }
}

/// Where the type stands in the content of a message, and that of a receipt (docs/protocol.md,
/// section 6).
const TYPE_AT: usize = 1;
const RECEIPT: u8 = 1;

fn hex(text: &str) -> String {
    text.bytes().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}"); // a string takes all that is written
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_passed_unsealed_would_be_found() {
        let text = "Hello Bob, can you read this?";
        let hex = hex(text);
        for offset in 0..3 {
            let padded = [&b"\x02\x00\x01"[..offset], text.as_bytes()].concat();
            for passed in [text.to_owned(), hex.clone(), base64::encode(&padded)] {
                let mut seen = Seen::default();
                seen.take(format!("{{\"content\":\"{passed}\"}}").as_bytes());
                assert!(seen.finds(text).is_some(), "{passed}");
            }
        }
        assert!(Seen::default().finds(text).is_none());
    }

    #[test]
    fn receipts_are_told_from_texts_and_counted_with_what_they_confirm() {
        let mut seen = Seen::default();
        let message = |from: &str, to: &str, kind: u8| {
            let content = base64::encode(&[2, kind, 7, 7]);
            format!(r#"{{"action":"message","from":"{from}","to":"{to}","content":"{content}"}}"#)
        };
        assert_eq!(seen.take(message("a", "b", 0).as_bytes()), "a → b: a text, sealed");
        let receipt = seen.take(message("b", "a", RECEIPT).as_bytes());
        assert_eq!(receipt, "b → a: a receipt, sealed: it was read");
        assert!(seen.told().iter().any(|line| line == "that a wrote to b: 1 texts, 1 confirmed"));
    }
}
