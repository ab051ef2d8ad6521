//! What the calls of a client return.

use std::fmt;

use crate::limits::MAX_TEXT;

/// Why a text was not taken. Nothing was kept, and no event tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The addressee is no name.
    NotAName,
    /// The addressee is ourselves.
    Oneself,
    /// More than [`MAX_TEXT`] bytes.
    TooLong,
    /// Too much is unconfirmed. Try again once [`ready_for_more`](super::Client::ready_for_more)
    /// returns `true`.
    Pause,
}

impl fmt::Display for Refused {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::NotAName => write!(out, "that cannot be a name"),
            Self::Oneself => write!(out, "that is you: there is nobody to send it to"),
            Self::TooLong => write!(out, "the text is too long: at most {MAX_TEXT} bytes"),
            Self::Pause => write!(out, "too much is unconfirmed"),
        }
    }
}

/// Why a key was not accepted or marked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotTrusted {
    /// That is no name, or no key was given and none was refused before.
    NothingToTrust,
    /// There is no pinned key to be marked.
    NotPinned,
    /// The trust file could not be written; why.
    File(String),
}

/// Counts of what is still on its way: a view needs them to decide whether to wait, and with which
/// code to exit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PendingCounts {
    /// Registered right now.
    pub connected: bool,
    /// Texts that were taken and neither confirmed nor failed.
    pub unconfirmed: usize,
    /// Those of them that the relay has stored as letters.
    pub stored: usize,
    /// Those whose addressee is not connected, by what the relay said last, and cannot be left
    /// letters.
    pub absent: usize,
    /// Those whose addressee's letterbox has no room, by what the relay said last.
    pub full: usize,
    /// Shown messages whose receipt has not left.
    pub receipts: usize,
}
