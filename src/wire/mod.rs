//! Bytes to frames to messages, and back: the syntax of `docs/protocol.md`.
//!
//! Pure: it knows JSON and the limits, no sockets, no clock, and nothing of who is connected.
//!
//! ```text
//!   relay:   bytes ────────────── Request::scan ────────▶ Request     Reply::encode ─▶ bytes
//!   client:  bytes ─ Scanner ─▶ frame ─ Incoming::parse ─▶ Incoming   compose::…    ─▶ bytes
//! ```
//!
//! `Request::scan` tries the fast path (`fast.rs`), which knows one shape of frame. Any other takes
//! the general path, the scanner and then `Request::parse`, which would have given the same answer.

pub mod base64;
pub mod compose;
mod encode;
mod error_code;
mod fast;
mod fingerprint;
mod forward;
mod frame;
mod incoming;
mod letter;
mod name;
mod object;
mod prekey;
mod refusal;
mod reply;
mod request;
mod roster;
mod structure;
mod text;

pub use encode::json_string;
pub use error_code::{ErrorCode, UnknownCode};
pub use fast::{CommonFrame, CommonFrames, scan_common};
pub use fingerprint::{BadFingerprint, Fingerprint};
pub use forward::{Forward, ForwardKind, SenderBytes};
pub use frame::{Scan, Scanner, StreamFault};
pub use incoming::{Forwarded, Incoming, KeptLetter};
pub use letter::{Letter, LetterKind, TakeMode, letter_end};
pub use name::{NameFault, check_name_original, check_name_v2};
pub use object::{BadFrame, Object};
pub use prekey::{KemKey, LetterKey, Prekey};
pub use refusal::Refusal;
pub use reply::{KeyCount, Reply, WireLimits};
pub use request::{Bind, Body, Register, Registration2, Request, RosterMode};
pub use roster::{ROSTER_OVERHEAD, encode_roster, encode_userlist};
pub use text::{Ascii, escape_visible, is_invisible};
