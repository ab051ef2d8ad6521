//! The events of a client: everything that a person or a script is shown is made from them.
//!
//! Knows names, keys' fingerprints and texts; not how any of it is printed. The names of codes are
//! part of the command line's contract (`docs/cli.md`): they are never renamed.
//!
//! Texts, names and details may hold anything that another user or the relay sent: a view escapes
//! them before they reach a terminal ([`escape_visible`](crate::wire::escape_visible)).

use std::fmt::Display;
use std::time::Duration;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::Trust;
use crate::crypto::Mid;
use crate::wire::Fingerprint;

/// One thing that happened. As JSON (`--json`) it is an object whose `event` is the variant's name.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The relay took the proof: messages go out from now on. Told after each reconnect too.
    Registered {
        /// Our name there.
        name: String,
        /// Our key.
        #[serde(serialize_with = "text")]
        fp: Fingerprint,
    },
    /// Everyone who is connected, in order; the first of a whole list, more may follow as `Joined`.
    Users {
        /// Their names, our own included.
        users: Vec<String>,
    },
    /// Who came.
    Joined {
        /// Their names.
        users: Vec<String>,
    },
    /// Who went.
    Left {
        /// Their names.
        users: Vec<String>,
    },
    /// How a peer's key stands: told at its first use in this run, and when that changes.
    Peer {
        /// The peer.
        name: String,
        /// The key that the standing is about.
        #[serde(serialize_with = "text")]
        fp: Fingerprint,
        /// How it stands.
        #[serde(rename = "trust")]
        standing: Standing,
    },
    /// A text from another user.
    Message {
        /// Who wrote it: the session proves it.
        from: String,
        /// What it says; line ends and control characters as they came.
        text: String,
        /// How it came.
        #[serde(flatten)]
        way: Way,
        /// How far the sender's key is trusted.
        trust: Trust,
        /// To be given to [`Client::shown`](super::Client::shown) once it was written out.
        #[serde(skip)]
        receipt: Receipt,
    },
    /// A text was taken: it is kept until it is confirmed or has failed.
    Queued {
        /// The message.
        id: String,
        /// The addressee.
        to: String,
    },
    /// The relay says that it stands in the addressee's queue: a hint, not a promise. Told once.
    Relayed {
        /// The message.
        id: String,
        /// The addressee.
        to: String,
    },
    /// The relay has stored it as a letter for an addressee who is away. Told once.
    Stored {
        /// The message.
        id: String,
        /// The addressee.
        to: String,
    },
    /// The addressee's client confirmed that it was decrypted and written out.
    Delivered {
        /// The message.
        id: String,
        /// The addressee.
        to: String,
        /// Of a letter that an earlier run had left: when the relay had stored it, in milliseconds
        /// since 1970.
        #[serde(skip_serializing_if = "Option::is_none")]
        stored_at: Option<u64>,
    },
    /// A letter is not waited for any more. It may have arrived all the same.
    Unconfirmed {
        /// The message.
        id: String,
        /// The addressee.
        to: String,
        /// When the relay had stored it, in milliseconds since 1970.
        stored_at: u64,
        /// Why.
        code: Loss,
    },
    /// No more letters fit into the addressee's letterbox now; it is tried again. Told once, until
    /// one is stored.
    MailboxFull {
        /// The addressee.
        to: String,
        /// Why, as the relay says.
        detail: String,
    },
    /// All letters that waited for us have been told.
    LetterboxEmpty {},
    /// Letters of a peer whom we know came and are not shown. Told at the start, of those that an
    /// earlier run has kept, and of all before `LetterboxEmpty` where more came.
    LettersHeld {
        /// Who sent them, by what the relay said.
        from: String,
        /// The key that they claim to be of.
        #[serde(serialize_with = "text")]
        fp: Fingerprint,
        /// How many.
        count: usize,
        /// `KeyChanged`: another key of the peer is pinned. `NotVerified`: it was never compared,
        /// which we are to insist on. `ClockSkew`: they are from the future by our clock.
        reason: Caution,
    },
    /// Messages of a session are missing before the next `Message`; they may come again.
    Gap {
        /// Who sent them.
        from: String,
        /// How many.
        missing: u64,
    },
    /// A message is given up. It may have arrived all the same where it was `Relayed`.
    Failed {
        /// The message.
        id: String,
        /// The addressee.
        to: String,
        /// For programs.
        code: Failure,
        /// For people: what happened and what to do.
        detail: String,
    },
    /// Something was refused or dropped.
    Warning {
        /// For programs.
        code: Caution,
        /// For people, with the number of like ones that were not told.
        detail: String,
    },
    /// It is over; nothing is told after this.
    Closed {
        /// For programs.
        code: Ending,
        /// For people: why, and what to do.
        detail: String,
    },
    /// How the connection fares: for people, no part of `--json`.
    #[serde(skip)]
    Progress(Progress),
}

/// How a text came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// In a session.
    Session {
        /// Its number there, from 0.
        n: u64,
    },
    /// As a letter, which the relay had kept.
    Letter {
        /// When it was sealed, by the sender's clock, in milliseconds since 1970.
        at: u64,
    },
}

impl Serialize for Way {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut members = out.serialize_map(None)?;
        match self {
            Self::Session { n } => members.serialize_entry("n", n)?,
            Self::Letter { at } => {
                members.serialize_entry("at", at)?;
                members.serialize_entry("letter", &true)?;
            }
        }
        members.end()
    }
}

/// Confirms one shown message. Not kept anywhere else: one that is dropped means "not shown", and
/// its sender will send the message again.
#[derive(Debug, PartialEq, Eq)]
pub struct Receipt {
    pub(super) peer: String,
    pub(super) mid: Mid,
    /// Of a letter.
    pub(super) letter: Option<LetterReceipt>,
}

/// What is to be written down of a shown letter.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LetterReceipt {
    /// Under which it was delivered; `None`: it was parked.
    pub(super) number: Option<u64>,
    /// Its sender's key.
    pub(super) fp: Fingerprint,
    /// When it was sealed.
    pub(super) created_ms: u64,
}

/// How a peer's key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is the pinned one.
    Pinned(Trust),
    /// It is another than the pinned one: nothing is sent to the peer or shown from it.
    Changed,
}

impl Serialize for Standing {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(self.as_str())
    }
}

impl Standing {
    /// `tofu`, `verified` or `changed`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pinned(trust) => trust.as_str(),
            Self::Changed => "changed",
        }
    }
}

/// How the connection fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// An address is tried.
    Connecting {
        /// The address.
        address: String,
    },
    /// An address could not be reached, or the name not be resolved.
    Unreachable {
        /// What was tried.
        address: String,
        /// Why not.
        why: String,
    },
    /// A relay was reached for the first time; its key is kept.
    NewRelay {
        /// The relay, as it was asked for.
        relay: String,
        /// Its key, as `ED25519:` and base64url.
        key: String,
    },
    /// The connection is lost.
    Lost {
        /// Why.
        why: String,
    },
    /// What the user asked of this peer's key ([`Client::ask_key`](super::Client::ask_key)) is
    /// answered: if it is another one than the pinned, it was told as changed.
    KeyAnswered {
        /// The peer.
        name: String,
    },
    /// A peer is not connected and cannot be left letters, and a text waits for it. Told once,
    /// until it is back.
    Absent {
        /// The peer.
        name: String,
        /// It was there in this run, or the relay says that it is a user who is away; otherwise the
        /// name may be mistyped.
        is_known: bool,
    },
    /// A peer is away, and what is written to it is left as letters. Told once, until it is back.
    Away {
        /// The peer.
        name: String,
    },
    /// This relay keeps no letters for us. Told once.
    NoLetterbox {
        /// Why, as the relay says.
        why: String,
    },
    /// Letters of strangers wait for their turn to be opened. Told once.
    LettersInLine,
    /// It is tried again after this pause.
    Retrying {
        /// How long from now.
        pause: Duration,
    },
}

/// An enum of codes: each variant with its name on the outside.
macro_rules! codes {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$doc])* $variant,)*
        }

        impl $name {
            /// The code as programs read it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
                out.serialize_str(self.as_str())
            }
        }
    };
}

codes! {
    /// Why a message was given up.
    Failure {
        /// No such user is connected, nor was in this run, nor has a letterbox.
        UnknownUser = "unknown_user",
        /// The addressee's client is an original one, which knows no proof of who writes.
        NotV2 = "not_v2",
        /// The relay hands out another key than the pinned one.
        KeyChanged = "key_changed",
        /// `--strict`, and the addressee's key was never compared.
        NotVerified = "not_verified",
        /// The addressee was of version 2 before, and now the relay says that it is not.
        Downgrade = "downgrade",
        /// The relay does not hand out an acceptable key for the addressee.
        BadKey = "bad_key",
        /// The addressee's prekey is not signed by its key, is older than one seen before, or its
        /// clock differs too much from ours.
        BadPrekey = "bad_prekey",
        /// The text fits a message, but the message does not fit the frames of this relay.
        TooLong = "too_long",
        /// The addressee's key could not be written to the trust file.
        TrustFile = "trust_file",
        /// There was no room in the addressee's letterbox until the user waited no longer.
        MailboxFull = "mailbox_full",
        /// It was neither confirmed nor stored until the user waited no longer.
        WaitRanOut = "wait_ran_out",
        /// The relay refused it for another reason.
        Refused = "refused",
    }
}

codes! {
    /// Why a letter is not waited for any more.
    Loss {
        /// It was not confirmed for too long.
        Age = "age",
        /// The relay knows no user of this name any more, and has deleted the user's letterbox.
        UnknownUser = "unknown_user",
        /// The name is another key's now, which can read nothing that was sealed to the one before.
        KeyChanged = "key_changed",
    }
}

impl Failure {
    /// Whether the message is given up only because the user waits no longer.
    pub const fn is_of_wait(self) -> bool {
        matches!(self, Self::MailboxFull | Self::WaitRanOut)
    }
}

codes! {
    /// What was refused or dropped.
    Caution {
        /// A peer's key is another than the pinned one.
        KeyChanged = "key_changed",
        /// `--strict`, and the peer's key was never compared.
        NotVerified = "not_verified",
        /// A peer uses an original client, which cannot prove who writes.
        NotV2 = "not_v2",
        /// The relay says that a pinned peer does not speak version 2 any more.
        Downgrade = "downgrade",
        /// The relay handed out something that is not an acceptable key.
        BadKey = "bad_key",
        /// A prekey is not signed by its owner's key, or is weak.
        BadPrekey = "bad_prekey",
        /// A prekey is older than one that was seen before.
        StalePrekey = "stale_prekey",
        /// A peer's clock differs too much from ours.
        ClockSkew = "clock_skew",
        /// A frame of a peer does not have the form that this version knows.
        Malformed = "malformed",
        /// A session is offered to another key than ours.
        WrongRecipient = "wrong_recipient",
        /// A session is offered under another key than the pinned one.
        WrongSender = "wrong_sender",
        /// The signature of an offered session does not hold.
        BadSignature = "bad_signature",
        /// An offered session is not newer than the last one.
        StaleSession = "stale_session",
        /// A session was offered to a prekey that is gone, or cannot be agreed on.
        SessionRefused = "session_refused",
        /// More sessions are offered than we compute.
        TooManySessions = "too_many_sessions",
        /// A message belongs to no session that is open.
        UnknownSession = "unknown_session",
        /// A message was seen before.
        Replay = "replay",
        /// A message was changed on its way, or its number is too far ahead.
        BadMessage = "bad_message",
        /// A message was sealed against the rules by its sender.
        BadContent = "bad_content",
        /// A frame claims to come from ourselves.
        FromOurselves = "from_ourselves",
        /// Frames of a sender whose key is not known were dropped: too many, or the key never came.
        NoKey = "no_key",
        /// A letter is too old, or may have been shown before.
        StaleLetter = "stale_letter",
        /// The file of letters could not be read or written.
        LettersFile = "letters_file",
        /// A file of pinned keys could not be read or written, or has damaged lines.
        TrustFile = "trust_file",
        /// The relay sent something that is no frame, or that was not asked for.
        BadFrame = "bad_frame",
        /// The relay refused a frame.
        Refused = "refused",
    }
}

codes! {
    /// Why it is over.
    Ending {
        /// We left.
        Left = "left",
        /// Another user holds the name.
        NameInUse = "name_in_use",
        /// The name is bound to another key.
        NameBound = "name_bound",
        /// The relay takes no such name.
        BadName = "bad_name",
        /// The relay binds no further names, or none for this key.
        DirectoryFull = "directory_full",
        /// Another connection of the same identity took our place.
        Replaced = "replaced",
        /// The relay did not take our proof.
        BadProof = "bad_proof",
        /// The relay has another key than before.
        RelayChanged = "relay_changed",
        /// The relay does not speak version 2, or not as we know it.
        NotV2 = "not_v2",
        /// The relay refused the registration for another reason.
        Refused = "refused",
        /// There is no TLS with the relay, or none that is to be believed.
        NoTls = "no_tls",
        /// TLS ends at somebody else before the relay.
        NotBound = "not_bound",
        /// The relay's key could not be kept.
        TrustFile = "trust_file",
    }
}

/// Writes a value as JSON by its text. Serde passes a reference.
fn text<S: Serializer>(it: &impl Display, out: S) -> Result<S::Ok, S::Error> {
    out.collect_str(it)
}
