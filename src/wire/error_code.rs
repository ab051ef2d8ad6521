//! Why the relay refuses: the codes of `docs/protocol.md`, section 2. They are never
//! renamed.

use std::fmt;
use std::str::FromStr;

/// A code of an `error` frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// Not one JSON object within the rules, or a known member of the wrong type or form.
    BadFrame,
    /// An object longer than the limit.
    FrameTooLarge,
    /// An `action` that the relay does not know.
    UnknownAction,
    /// Only a registered connection may ask this.
    NotRegistered,
    /// This connection has registered before.
    AlreadyRegistered,
    /// Not a name.
    BadName,
    /// Not a public key that is accepted.
    BadKey,
    /// The prekey does not have the right form.
    BadPrekey,
    /// The signature of the proof does not hold.
    BadProof,
    /// Another connection holds the name.
    NameInUse,
    /// The name is bound to another key.
    NameBound,
    /// No further name can be bound.
    DirectoryFull,
    /// No such user is connected.
    UnknownUser,
    /// The addressee's version is not that of the frame.
    NotV2,
    /// Too much is waiting for the addressee already.
    QueueFull,
    /// Too much was asked lately: ask again later.
    RateLimited,
    /// The whole list of users does not fit a frame.
    RosterTooLarge,
    /// Too much waits in the addressee's letterbox, or of the sender's letters.
    MailboxFull,
    /// The addressee has published a newer letter key: ask for it.
    StaleKey,
    /// The relay's disk did not take it.
    StoreFailed,
    /// The addressee has left no key for letters, or this relay keeps no letters.
    NoLetterbox,
    /// Last frame: the same user connected again.
    Replaced,
    /// Last frame: no registration came in time.
    RegisterTimeout,
    /// Last frame: a frame was begun and not ended in time.
    FrameTimeout,
    /// Last frame: what was waiting was not read in time.
    SlowReader,
    /// Last frame: the relay is going down.
    ShuttingDown,
    /// Last frame: this relay speaks TLS only.
    TlsRequired,
}

impl ErrorCode {
    /// Every code, in the order of the protocol, which is that of their numbers (`code as usize`).
    pub const ALL: [Self; 27] = [
        Self::BadFrame,
        Self::FrameTooLarge,
        Self::UnknownAction,
        Self::NotRegistered,
        Self::AlreadyRegistered,
        Self::BadName,
        Self::BadKey,
        Self::BadPrekey,
        Self::BadProof,
        Self::NameInUse,
        Self::NameBound,
        Self::DirectoryFull,
        Self::UnknownUser,
        Self::NotV2,
        Self::QueueFull,
        Self::RateLimited,
        Self::RosterTooLarge,
        Self::MailboxFull,
        Self::StaleKey,
        Self::StoreFailed,
        Self::NoLetterbox,
        Self::Replaced,
        Self::RegisterTimeout,
        Self::FrameTimeout,
        Self::SlowReader,
        Self::ShuttingDown,
        Self::TlsRequired,
    ];

    /// The code as it stands in the frame.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadFrame => "bad_frame",
            Self::FrameTooLarge => "frame_too_large",
            Self::UnknownAction => "unknown_action",
            Self::NotRegistered => "not_registered",
            Self::AlreadyRegistered => "already_registered",
            Self::BadName => "bad_name",
            Self::BadKey => "bad_key",
            Self::BadPrekey => "bad_prekey",
            Self::BadProof => "bad_proof",
            Self::NameInUse => "name_in_use",
            Self::NameBound => "name_bound",
            Self::DirectoryFull => "directory_full",
            Self::UnknownUser => "unknown_user",
            Self::NotV2 => "not_v2",
            Self::QueueFull => "queue_full",
            Self::RateLimited => "rate_limited",
            Self::RosterTooLarge => "roster_too_large",
            Self::MailboxFull => "mailbox_full",
            Self::StaleKey => "stale_key",
            Self::StoreFailed => "store_failed",
            Self::NoLetterbox => "no_letterbox",
            Self::Replaced => "replaced",
            Self::RegisterTimeout => "register_timeout",
            Self::FrameTimeout => "frame_timeout",
            Self::SlowReader => "slow_reader",
            Self::ShuttingDown => "shutting_down",
            Self::TlsRequired => "tls_required",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no code known here; another relay may have more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownCode;

impl FromStr for ErrorCode {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        Self::ALL.into_iter().find(|code| code.as_str() == text).ok_or(UnknownCode)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_those_of_the_protocol() {
        let published = "bad_frame frame_too_large unknown_action not_registered \
            already_registered bad_name bad_key bad_prekey bad_proof name_in_use name_bound \
            directory_full unknown_user not_v2 queue_full rate_limited roster_too_large \
            mailbox_full stale_key store_failed no_letterbox \
            replaced register_timeout frame_timeout slow_reader shutting_down tls_required";
        let ours = ErrorCode::ALL.map(ErrorCode::as_str);
        assert_eq!(published.split(' ').collect::<Vec<_>>(), ours);
        for code in ErrorCode::ALL {
            assert_eq!(code.as_str().parse(), Ok(code));
        }
        assert_eq!("BAD_FRAME".parse::<ErrorCode>(), Err(UnknownCode));
    }
}
