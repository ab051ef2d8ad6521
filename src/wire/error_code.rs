//! Why the relay refuses: the codes of `docs/protocol.md`, section 2. They are never renamed.
use std::str::FromStr;

/// A code of an `error` frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
    /// Not a prekey by its form.
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
    /// The whole list of users does not fit a frame.
    RosterTooLarge,
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
}

impl ErrorCode {
    /// The code as it stands in the frame.
    pub fn as_str(self) -> &'static str {
        todo!()
    }
}

/// A text that is no code known here; another relay may have more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownCode;

impl FromStr for ErrorCode {
    type Err = UnknownCode;
    fn from_str(_text: &str) -> Result<Self, UnknownCode> {
        todo!()
    }
}
