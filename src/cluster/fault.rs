//! Why a connection to the engine ends, and why the engine did not take one call.

use std::fmt;

use super::limits::{LEAST_VERSION, QUOTED};
use super::resp::RespFault;
use super::script::WrongAnswer;
use crate::wire::escape_visible;

/// Why a connection to the engine ended. Each text says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineFault {
    /// Its bytes are no answers.
    Garbled(RespFault),
    /// It answered more than it was asked.
    Unasked,
    /// An answer has another form than this command gives.
    WrongAnswer {
        /// The command.
        to: &'static str,
    },
    /// It refused this command, with a text that nothing here knows.
    Refused {
        /// The command.
        to: &'static str,
        /// What it said, made visible and cut.
        text: String,
    },
    /// It is another program that speaks the same protocol.
    OtherServer(String),
    /// It is older than [`LEAST_VERSION`].
    TooOld(String),
    /// It is one part of a sharded engine (Redis Cluster).
    Sharded,
    /// It is a Sentinel, which keeps nothing.
    Sentinel,
    /// It is a replica, or became one.
    Replica,
    /// It may delete keys while its memory is full.
    Evicts(String),
    /// It does not take the password.
    WrongPassword,
    /// It asks for a password.
    NeedsPassword,
    /// Its user may not run this command.
    Forbidden {
        /// The command.
        to: &'static str,
    },
    /// It has no database of this number.
    NoDatabase(u32),
    /// No cluster was begun in it, or it was emptied.
    NoCluster,
    /// It belongs to another cluster than this relay.
    OtherCluster(String),
    /// The relays of its cluster have another key than this relay.
    OtherRelayKey,
    /// It is reading its data.
    Loading,
    /// It lost the scripts that were loaded on this connection.
    ScriptGone,
    /// Another program has a key that begins as ours do.
    ForeignKey,
}

impl EngineFault {
    /// What an error of the engine means for the connection, unless it concerns one call only.
    pub(super) fn of_error(error: &[u8], to: &'static str) -> Self {
        let code = error.split(|&byte| byte == b' ').next().unwrap_or_default();
        match code {
            b"MOVED" | b"ASK" | b"CROSSSLOT" | b"CLUSTERDOWN" => Self::Sharded,
            b"LOADING" | b"MASTERDOWN" => Self::Loading,
            b"READONLY" => Self::Replica,
            b"NOSCRIPT" => Self::ScriptGone,
            b"NOAUTH" => Self::NeedsPassword,
            b"WRONGPASS" => Self::WrongPassword,
            b"NOPERM" => Self::Forbidden { to },
            b"WRONGTYPE" => Self::ForeignKey,
            b"NOPROTO" => Self::TooOld("one without RESP3".to_owned()),
            _ => Self::Refused { to, text: quoted(error) },
        }
    }

    /// Whether another attempt may succeed without anybody changing something.
    pub const fn may_pass(&self) -> bool {
        !matches!(
            self,
            Self::OtherServer(_)
                | Self::TooOld(_)
                | Self::Sharded
                | Self::Sentinel
                | Self::Evicts(_)
                | Self::WrongPassword
                | Self::NeedsPassword
                | Self::Forbidden { .. }
                | Self::NoDatabase(_)
                | Self::OtherCluster(_)
                | Self::OtherRelayKey
                | Self::ForeignKey
        )
    }
}

/// Bytes that came from outside, fit to be shown.
pub(super) fn quoted(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let cut: String = text.chars().take(QUOTED).collect();
    escape_visible(&cut).into_owned()
}

impl From<RespFault> for EngineFault {
    fn from(fault: RespFault) -> Self {
        Self::Garbled(fault)
    }
}

impl From<WrongAnswer> for EngineFault {
    fn from(wrong: WrongAnswer) -> Self {
        Self::WrongAnswer { to: wrong.0.name() }
    }
}

impl fmt::Display for EngineFault {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let (major, minor) = LEAST_VERSION;
        match self {
            Self::Garbled(fault) => {
                write!(out, "what answers there is no Redis or Valkey ({fault}): check the address")
            }
            Self::Unasked => write!(
                out,
                "the engine answered more than it was asked: check that the address is that of \
                 the engine itself"
            ),
            Self::WrongAnswer { to } => write!(
                out,
                "the engine's answer to {to} has an unknown form: check that all relays and the \
                 engine are of versions that belong together"
            ),
            Self::Refused { to, text } => {
                write!(out, "the engine refused {to}: {text}; look into its log")
            }
            Self::OtherServer(name) => {
                write!(out, "the server calls itself {name}: use Redis or Valkey")
            }
            Self::TooOld(version) => write!(
                out,
                "the engine is {version}: use Redis {major}.{minor} or later, or Valkey"
            ),
            Self::Sharded => write!(
                out,
                "the engine is sharded (Redis Cluster): use one that is not (cluster-enabled no)"
            ),
            Self::Sentinel => {
                write!(out, "the server is a Sentinel: give the address of the engine itself")
            }
            Self::Replica => write!(
                out,
                "the engine is a replica, which takes no writes: give the address of the primary"
            ),
            Self::Evicts(policy) => write!(
                out,
                "the engine may delete names when its memory is full (maxmemory-policy {policy}): \
                 set maxmemory-policy to noeviction"
            ),
            Self::WrongPassword => {
                write!(out, "the engine does not take the password: check user and password")
            }
            Self::NeedsPassword => {
                write!(out, "the engine asks for a password: give it one")
            }
            Self::Forbidden { to } => write!(
                out,
                "the engine does not allow {to} to this user: give it +@all on ~sealwax:*"
            ),
            Self::NoDatabase(number) => {
                write!(out, "the engine has no database {number}: check the end of the URL")
            }
            Self::NoCluster => write!(
                out,
                "no cluster was begun in this engine, or its data were lost: start one relay with \
                 --cluster-init if that is as it should be"
            ),
            Self::OtherCluster(id) => write!(
                out,
                "the engine belongs to the cluster {id}, and this relay to another one: check the \
                 address and the number of the database"
            ),
            Self::OtherRelayKey => write!(
                out,
                "the relays of this cluster have another key: give this relay the same \
                 --relay-key file"
            ),
            Self::Loading => write!(out, "the engine is reading its data: it is asked again"),
            Self::ScriptGone => {
                write!(out, "the engine lost its scripts: they are loaded again")
            }
            Self::ForeignKey => write!(
                out,
                "a key in the engine that begins with sealwax: is of another type than ours: use a \
                 database that no other program uses"
            ),
        }
    }
}

impl std::error::Error for EngineFault {}

/// Why the engine did not take one call. Nothing was changed (but by what is
/// [`Blocked`](Self::Blocked), which can be made again), and the connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallFault {
    /// Its memory is full.
    OutOfMemory,
    /// It cannot write to its disk.
    DiskFails,
    /// Fewer replicas are connected to it than it was told to have.
    TooFewReplicas,
    /// Another script has been running for too long.
    Busy,
    /// Something that no relay has written is the last entry of a stream, and nothing can be
    /// appended behind its id. The reader of the stream deletes it.
    Blocked,
}

/// What `XADD` says where no id is left behind the last one.
const BLOCKED: [&[u8]; 3] = [
    b"ERR The ID specified in XADD is equal or smaller",
    b"ERR The stream has exhausted the last possible ID",
    b"ERR Elements are too large to be stored",
];

impl CallFault {
    pub(super) fn of_error(error: &[u8]) -> Option<Self> {
        let code = error.split(|&byte| byte == b' ').next()?;
        Some(match code {
            b"OOM" => Self::OutOfMemory,
            b"MISCONF" => Self::DiskFails,
            b"NOREPLICAS" => Self::TooFewReplicas,
            b"BUSY" => Self::Busy,
            b"ERR" if BLOCKED.iter().any(|text| error.starts_with(text)) => Self::Blocked,
            _ => return None,
        })
    }
}

impl fmt::Display for CallFault {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        write!(
            out,
            "{}",
            match self {
                Self::OutOfMemory => "the engine's memory is full: give it more (maxmemory)",
                Self::DiskFails => "the engine cannot write to its disk: look into its log",
                Self::TooFewReplicas => "the engine has too few replicas (min-replicas-to-write)",
                Self::Blocked => "something else has written to a stream of the relays",
                Self::Busy => "a script keeps the engine busy: end it with SCRIPT KILL",
            }
        )
    }
}

impl std::error::Error for CallFault {}
