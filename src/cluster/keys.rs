//! The keys in the engine. All begin with `sealwax:`.

use std::fmt::Display;

use super::place::Incarnation;
use crate::wire::Fingerprint;

/// What all keys begin with.
pub const PREFIX: &str = "sealwax:";
/// The cluster that the engine belongs to.
pub const ID: &str = "sealwax:id";
/// The public half of the key that all relays of the cluster share, in base64url.
pub const RELAY_KEY: &str = "sealwax:relay-key";
/// The stream of who came and who went.
pub const CHANGES: &str = "sealwax:changes";
/// Who holds which name.
pub const WHERE: &str = "sealwax:where";

fn key(kind: &str, of: impl Display) -> String {
    format!("{PREFIX}{kind}:{of}")
}

fn alone(kind: &str) -> String {
    format!("{PREFIX}{kind}")
}

/// The lease of a relay.
pub fn lease(of: Incarnation) -> String {
    key("relay", of)
}

/// The names that a relay holds, by session.
pub(super) fn held_by(of: Incarnation) -> String {
    key("of", of)
}

/// What waits for a relay.
pub fn inbox(of: Incarnation) -> String {
    key("in", of)
}

/// How many entries were ever appended there (`number`), how many bytes (`last`), and how many of
/// these were read (`done`).
pub(super) fn flow(of: Incarnation) -> String {
    key("flow", of)
}

/// Incarnations that have a lease, or had one and were not reaped.
pub(super) fn relays() -> String {
    alone("relays")
}

/// What tells one life of the copy of who is where from another.
pub(super) fn epoch() -> String {
    alone("epoch")
}

/// The number of the last change.
pub(super) fn change() -> String {
    alone("change")
}

/// The key that a name is bound to.
pub(super) fn bound(name: &str) -> String {
    key("bound", name)
}

/// The key that a released name was bound to.
pub(super) fn unbound(name: &str) -> String {
    key("unbound", name)
}

/// The names that are bound to a key.
pub(super) fn names(fp: &Fingerprint) -> String {
    key("names", fp)
}

/// How many names are bound.
pub(super) fn bindings() -> String {
    alone("bindings")
}

/// What is known of a user: key text, prekey, letter keys, which parts of its box are full.
pub(super) fn user(name: &str) -> String {
    key("user", name)
}

/// What is known of the letters in a box, by number.
pub(super) fn letterbox(name: &str) -> String {
    key("box", name)
}

/// The letters in a box, by number.
pub(super) fn content(name: &str) -> String {
    key("content", name)
}

/// To whom the owner of a box wrote, by time.
pub(super) fn written(name: &str) -> String {
    key("written", name)
}

/// How many letters of a sender lie in which box, and how many bytes in all (`*`).
pub(super) fn sent(name: &str) -> String {
    key("sent", name)
}

/// Is there while older letters of a box are still in the file of a relay: no others are taken.
pub(super) fn closed(name: &str) -> String {
    key("closed", name)
}

/// The highest number of the letters that were taken from the file of a relay, by the box.
pub(super) fn moved(file: &str) -> String {
    key("moved", file)
}

/// Bytes of all letters.
pub(super) fn letter_bytes() -> String {
    alone("letter-bytes")
}

/// The number of the last letter.
pub(super) fn letters() -> String {
    alone("letters")
}

/// All letters by the time at which they came.
pub(super) fn ages() -> String {
    alone("ages")
}

pub(super) fn place() -> String {
    WHERE.to_owned()
}
