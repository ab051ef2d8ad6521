//! Everything that the relay can tell its operator: who came, went, asked and was refused.
//!
//! Knows what each event is made of, how loud it is and how it reads; not where it goes
//! (`journal.rs`). An event holds names, addresses, codes and counts of bytes. Keys, contents and
//! other members that are only passed on have no place here, so they cannot reach a log.

mod move_news;
mod words;

use std::fmt;
use std::net::SocketAddr;

use nix::errno::Errno;
use serde::{Serialize, Serializer};

pub use self::move_news::MoveNews;
use self::words::{Quoted, User};
use super::counters::Counters;
use crate::cluster::Incarnation;
use crate::reactor::Signal;
use crate::tls::Fault;
use crate::wire::{ErrorCode, Fingerprint, ForwardKind, escape_visible};

/// One thing that happened. As text it is a sentence; in JSON an object whose `event` is the
/// variant's name.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event<'a> {
    /// The relay listens at an address.
    Listening {
        /// Where, with the real port.
        address: SocketAddr,
        /// The port was chosen by the kernel: nobody knows it before it is told.
        is_chosen: bool,
    },
    /// Metrics are served at an address.
    Metrics {
        /// Where, with the real port.
        address: SocketAddr,
        /// The port was chosen by the kernel.
        is_chosen: bool,
    },
    /// There is no admin socket, although nobody asked for none.
    NoAdmin {
        /// Why not.
        detail: &'a str,
    },
    /// The operator ended a user's connection.
    Kicked {
        /// Whose.
        name: &'a str,
    },
    /// Somebody who may not look at the relay has connected to one of its sockets for that.
    NotLetIn {
        /// The number of that user; none where the kernel does not say.
        user: Option<u32>,
        /// Which socket.
        socket: &'static str,
    },
    /// The relay was started without a home.
    Ephemeral,
    /// The process was sent a signal.
    Signal {
        /// Which.
        #[serde(serialize_with = "signal_name")]
        signal: Signal,
    },
    /// The relay is leaving, and flushes what is queued.
    Draining {
        /// How many connections are open.
        connections: usize,
    },
    /// The relay accepts nobody any more, and ends the connections one after the other.
    DrainBegun {
        /// How many connections are open.
        connections: usize,
        /// Within how many seconds they end.
        seconds: f32,
    },
    /// The settings were read again and are in force.
    SettingsReloaded,
    /// They were read again and cannot be used: the old ones are in force.
    SettingsNotReloaded {
        /// What is wrong with them.
        detail: &'a str,
    },
    /// An option has another value now, which the relay takes at its next start only.
    NeedsRestart {
        /// Which.
        option: &'a str,
    },
    /// The log file could not be opened again: lines go on to the old one.
    LogNotReopened {
        /// What is wrong with it.
        detail: &'a str,
    },
    /// Somebody connected.
    Connected {
        /// The other end.
        peer: SocketAddr,
    },
    /// A connection was closed at once: there are as many as there may be.
    TurnedAway {
        /// The other end.
        peer: SocketAddr,
    },
    /// A connection registered.
    Registered {
        /// Its user from now on.
        name: &'a str,
        /// The other end.
        peer: SocketAddr,
        /// Of the protocol: 1 for an original client.
        version: u8,
        /// Of its public key.
        #[serde(serialize_with = "text")]
        fp: Fingerprint,
    },
    /// A connection is gone.
    Left {
        /// Whose it was.
        #[serde(flatten)]
        who: Who<'a>,
        /// Why.
        #[serde(serialize_with = "text")]
        reason: Leaving,
        /// Bytes that came from it.
        received: u64,
        /// Bytes that went to it.
        sent: u64,
    },
    /// A user asked for another's public key.
    KeyAsked {
        /// Who asked.
        by: &'a str,
        /// For whose.
        target: &'a str,
        /// Whether that user is connected.
        found: bool,
    },
    /// A frame was queued for its addressee.
    Forwarded {
        /// Which kind of frame.
        #[serde(serialize_with = "action_name")]
        action: ForwardKind,
        /// Its sender.
        from: &'a str,
        /// Its addressee.
        to: &'a str,
        /// The frame's length.
        bytes: usize,
    },
    /// A request was refused.
    Refused {
        /// Whose.
        #[serde(flatten)]
        who: Who<'a>,
        /// The code of the `error` frame.
        #[serde(serialize_with = "text")]
        code: ErrorCode,
        /// Its detail.
        detail: &'a str,
        /// About whom the request was.
        #[serde(skip_serializing_if = "Option::is_none")]
        about: Option<&'a str>,
    },
    /// A name could not be kept.
    StoreFailed {
        /// What the store said.
        detail: &'a str,
    },
    /// A letter was kept for its addressee.
    LetterStored {
        /// Its sender.
        from: &'a str,
        /// Its addressee.
        to: &'a str,
        /// Bytes that are kept of it.
        bytes: usize,
    },
    /// A letter was queued for its addressee.
    LetterDelivered {
        /// Its addressee.
        to: &'a str,
        /// The number by which it is acknowledged.
        number: u64,
        /// The frame's length.
        bytes: usize,
    },
    /// Letters were deleted because they waited for too long.
    LettersExpired {
        /// How many.
        letters: u64,
    },
    /// What concerns letters could not be written or read.
    LettersFailed {
        /// What the store said.
        detail: &'a str,
    },
    /// The names are known and cannot be written to the disk: known users are served, and no new
    /// name is bound until it can be.
    NamesReadOnly {
        /// What the store said.
        detail: &'a str,
    },
    /// Fewer connections are served than were asked for.
    FewerConnections {
        /// As many as were asked for.
        asked: usize,
        /// As many as are served.
        served: usize,
        /// What does not suffice for more, and what to do about it.
        why: &'a str,
    },
    /// Connections cannot be accepted for want of descriptors or memory.
    AcceptFailed {
        /// What the kernel said.
        #[serde(serialize_with = "text")]
        error: Errno,
    },
    /// The operator has released a name.
    Released {
        /// Which; its user keeps it while connected.
        name: &'a str,
    },
    /// The certificate and its key were read again, and newcomers are shown them.
    TlsReloaded,
    /// They were read again and cannot be used: newcomers are shown the old ones.
    TlsNotReloaded {
        /// What is wrong with them.
        detail: &'a str,
    },
    /// The counters: told at `SIGHUP`, and at the end.
    Counters {
        /// What was counted.
        counters: &'a Counters,
        /// At `SIGHUP`, and not at the end.
        is_asked: bool,
    },
    /// The relay is one of its cluster, or is so again.
    ClusterJoined,
    /// It cannot renew its lease: it takes no names, and sends nothing to other relays.
    ClusterFenced,
    /// Something is wrong with the engine of the cluster.
    ClusterFailed {
        /// What.
        detail: &'a str,
    },
    /// An entry of a stream in the engine of the cluster is none of a relay, and is passed over.
    /// Told once.
    ForeignEntry {
        /// The key of the stream.
        stream: &'a str,
        /// The id of the entry.
        id: &'a str,
    },
    /// Another relay of the cluster has ended, and its users' names are free.
    RelayEnded {
        /// Which: the incarnation that it had.
        #[serde(serialize_with = "text")]
        relay: Incarnation,
    },
    /// What this relay's own file has of letters is being moved into the engine.
    Move(MoveNews<'a>),
    /// A frame came from another relay and was queued for its addressee.
    FrameCame {
        /// Its addressee.
        to: &'a str,
        /// The frame's length.
        bytes: usize,
    },
    /// Lines are missing from the log: nobody took it for a while, or others caused more lines than
    /// they may.
    LinesDropped {
        /// How many lines.
        lines: u64,
    },
}

/// A user by its name, or a stranger by its address.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Who<'a> {
    /// It is registered.
    Name(&'a str),
    /// It is not registered (yet).
    Peer(SocketAddr),
}

/// Why a connection is gone.
#[derive(Clone, Copy, Debug)]
pub enum Leaving {
    /// The other end closed it.
    Quit,
    /// The relay ended it, with this code in its last frame.
    Ended(ErrorCode),
    /// What came is not what its TLS could open.
    Garbled(Fault),
    /// The kernel gave it up.
    Lost(Errno),
}

/// The kinds of line of the original's journal; the window there and the terminal here colour them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LineKind {
    /// Ordinary traffic.
    Info,
    /// Somebody got in.
    Success,
    /// A peer was refused or lost, or something is missing.
    Warning,
    /// The relay itself cannot do something.
    Error,
    /// The relay's own life.
    System,
}

/// How much the operator wants to read; each level tells all that those before it tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// `-qq`: nothing at all.
    Silent,
    /// `-q`: what the relay itself cannot do, and what was asked for: a port that was chosen, and
    /// counters at `SIGHUP`.
    Quiet,
    /// Who came, went, asked and was refused.
    #[default]
    Normal,
    /// `-v`: strangers and opened sessions too.
    Verbose,
    /// `-vv`: each message too.
    Debug,
}

impl Level {
    /// How many levels there are.
    pub const COUNT: usize = 5;
}

impl Event<'_> {
    /// The kind of line that it makes.
    pub const fn kind(&self) -> LineKind {
        match self {
            Self::Listening { .. }
            | Self::Metrics { .. }
            | Self::Kicked { .. }
            | Self::Ephemeral
            | Self::Signal { .. }
            | Self::Released { .. }
            | Self::LettersExpired { .. }
            | Self::TlsReloaded
            | Self::Counters { .. }
            | Self::DrainBegun { .. }
            | Self::SettingsReloaded
            | Self::ClusterJoined
            | Self::Move(_)
            | Self::Draining { .. } => LineKind::System,
            Self::Registered { .. } => LineKind::Success,
            Self::Connected { .. }
            | Self::Left {
                reason:
                    Leaving::Quit | Leaving::Ended(ErrorCode::ShuttingDown | ErrorCode::Replaced),
                ..
            }
            | Self::KeyAsked { .. }
            | Self::Forwarded { .. }
            | Self::FrameCame { .. }
            | Self::LetterStored { .. }
            | Self::LetterDelivered { .. } => LineKind::Info,
            Self::TurnedAway { .. }
            | Self::Left { .. }
            | Self::Refused { .. }
            | Self::NotLetIn { .. }
            | Self::FewerConnections { .. }
            | Self::NoAdmin { .. }
            | Self::NeedsRestart { .. }
            | Self::RelayEnded { .. }
            | Self::LinesDropped { .. } => LineKind::Warning,
            Self::StoreFailed { .. }
            | Self::LettersFailed { .. }
            | Self::ClusterFenced
            | Self::ClusterFailed { .. }
            | Self::ForeignEntry { .. }
            | Self::NamesReadOnly { .. }
            | Self::TlsNotReloaded { .. }
            | Self::SettingsNotReloaded { .. }
            | Self::LogNotReopened { .. }
            | Self::AcceptFailed { .. } => LineKind::Error,
        }
    }

    /// The lowest level that tells it.
    pub const fn level(&self) -> Level {
        match self {
            Self::Listening { is_chosen: true, .. }
            | Self::Metrics { is_chosen: true, .. }
            | Self::NoAdmin { .. }
            | Self::Counters { is_asked: true, .. }
            | Self::StoreFailed { .. }
            | Self::LettersFailed { .. }
            | Self::ClusterJoined
            | Self::ClusterFenced
            | Self::ClusterFailed { .. }
            | Self::ForeignEntry { .. }
            | Self::NamesReadOnly { .. }
            | Self::TlsNotReloaded { .. }
            | Self::SettingsNotReloaded { .. }
            | Self::NeedsRestart { .. }
            | Self::LogNotReopened { .. }
            | Self::FewerConnections { .. }
            | Self::AcceptFailed { .. }
            | Self::LinesDropped { .. } => Level::Quiet,
            Self::Connected { .. }
            | Self::Left { who: Who::Peer(_), .. }
            | Self::Forwarded { action: ForwardKind::SendKey, .. } => Level::Verbose,
            Self::Forwarded { action: ForwardKind::Message, .. }
            | Self::FrameCame { .. }
            | Self::LetterStored { .. }
            | Self::Move(MoveNews::Part { .. })
            | Self::LetterDelivered { .. } => Level::Debug,
            _ => Level::Normal,
        }
    }
}

impl Event<'_> {
    /// Whether its lines have a rate, because others could cause any number of them. Messages have
    /// none: the operator has asked for each of them.
    pub(super) const fn has_rate(&self) -> bool {
        !matches!(self.kind(), LineKind::System)
            && !matches!(
                self,
                Self::Forwarded { .. }
                    | Self::LetterStored { .. }
                    | Self::LetterDelivered { .. }
                    | Self::StoreFailed { .. }
                    | Self::TlsNotReloaded { .. }
                    | Self::NoAdmin { .. }
                    | Self::SettingsNotReloaded { .. }
                    | Self::NeedsRestart { .. }
                    | Self::LogNotReopened { .. }
                    | Self::LinesDropped { .. }
            )
    }
}

impl fmt::Display for Event<'_> {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match *self {
            Self::Listening { address, .. } => write!(out, "listening on {address}"),
            Self::Metrics { address, .. } => write!(out, "metrics at http://{address}/metrics"),
            Self::ClusterJoined => write!(out, "this relay is one of its cluster"),
            Self::ClusterFenced => write!(
                out,
                "the engine of the cluster does not renew this relay's lease: no names are taken, \
                 and only users who are here are reached"
            ),
            Self::ClusterFailed { detail } => write!(out, "cluster: {detail}"),
            Self::ForeignEntry { stream, id } => foreign_entry(out, stream, id),
            Self::RelayEnded { relay } => {
                write!(out, "the relay {relay} has ended, and the names of its users are free")
            }
            Self::FrameCame { to, bytes } => {
                write!(out, "a frame of {bytes} bytes for {} came from another relay", Quoted(to))
            }
            Self::Move(news) => news.fmt(out),
            Self::NoAdmin { detail } => write!(out, "there is no admin socket: {detail}"),
            Self::Kicked { name } => {
                write!(out, "the connection of {} was ended by the operator", Quoted(name))
            }
            Self::NotLetIn { user, socket } => {
                write!(out, "{} was not let in at the {socket} socket", User(user))?;
                write!(out, ": only the relay's user and root may use it")
            }
            Self::Ephemeral => {
                write!(out, "ephemeral: its key and all names end with this process")
            }
            Self::Signal { signal } => write!(out, "received {}", name_of(signal)),
            Self::Draining { connections } => {
                write!(out, "stopping, {connections} connections to flush")
            }
            Self::DrainBegun { connections, seconds } => {
                write!(out, "draining, {connections} connections end within {seconds} s")
            }
            Self::SettingsReloaded => write!(out, "the settings were read again"),
            Self::SettingsNotReloaded { detail } => {
                write!(out, "the settings were read again and the old ones hold: {detail}")
            }
            Self::NeedsRestart { option } => {
                write!(out, "{option} has changed: it takes effect at the next start")
            }
            Self::LogNotReopened { detail } => {
                write!(out, "the log file cannot be opened again, the old one is used: {detail}")
            }
            Self::Connected { peer } => write!(out, "{peer} connected"),
            Self::TurnedAway { peer } => write!(out, "{peer} was turned away: no room"),
            Self::Registered { name, peer, version, fp } => {
                write!(out, "{} registered from {peer}, version {version}, {fp}", Quoted(name))
            }
            Self::Left { who, reason, received, sent } => {
                write!(out, "{who} left: {reason}, {received} bytes in, {sent} bytes out")
            }
            Self::KeyAsked { by, target, found } => {
                let outcome = if found { "" } else { ", who is not here" };
                write!(out, "{} asked for the key of {}{outcome}", Quoted(by), Quoted(target))
            }
            Self::Forwarded { action, from, to, bytes } => {
                let action = action.action();
                write!(out, "{action} from {} to {}, {bytes} bytes", Quoted(from), Quoted(to))
            }
            Self::Refused { who, code, detail, about } => {
                write!(out, "{who} was refused: {code}")?;
                if let Some(about) = about {
                    write!(out, " for {}", Quoted(about))?;
                }
                write!(out, ", {}", escape_visible(detail))
            }
            Self::StoreFailed { detail } => write!(out, "a name was not kept: {detail}"),
            Self::LetterStored { from, to, bytes } => {
                write!(out, "letter from {} kept for {}, {bytes} bytes", Quoted(from), Quoted(to))
            }
            Self::LetterDelivered { to, number, bytes } => {
                write!(out, "letter {number} delivered to {}, {bytes} bytes", Quoted(to))
            }
            Self::LettersExpired { letters } => {
                write!(out, "{letters} letters were deleted: nobody took them in time")
            }
            Self::LettersFailed { detail } => {
                write!(out, "letters cannot be kept or read now: {detail}")
            }
            Self::NamesReadOnly { detail } => write!(
                out,
                "known users are served, and no new name is bound until it can be kept: {detail}"
            ),
            Self::FewerConnections { asked, served, why } => {
                write!(out, "serves {served} connections of the {asked} asked for: {why}")
            }
            Self::AcceptFailed { error } => write!(out, "nobody can connect: {error}"),
            Self::Released { name } => {
                write!(out, "{} was released: the name is bound to no key", Quoted(name))
            }
            Self::TlsReloaded => write!(out, "the certificate was read again"),
            Self::TlsNotReloaded { detail } => {
                write!(out, "the certificate was read again and the old one is shown: {detail}")
            }
            Self::Counters { counters, .. } => write!(out, "so far: {counters}"),
            Self::LinesDropped { lines } => write!(out, "{lines} lines dropped"),
        }
    }
}

const fn name_of(signal: Signal) -> &'static str {
    match signal {
        Signal::Interrupt => "SIGINT",
        Signal::Terminate => "SIGTERM",
        Signal::Hangup => "SIGHUP",
        Signal::Resized => "SIGWINCH",
        Signal::Suspend => "SIGTSTP",
        Signal::Continued => "SIGCONT",
        Signal::User1 => "SIGUSR1",
    }
}

// What JSON shows of types that have only a text. Serde hands references to all of them.

fn text<S: Serializer>(value: &impl fmt::Display, out: S) -> Result<S::Ok, S::Error> {
    out.collect_str(value)
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn signal_name<S: Serializer>(signal: &Signal, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(name_of(*signal))
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn action_name<S: Serializer>(kind: &ForwardKind, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(kind.action())
}

/// What is told of [`Event::ForeignEntry`].
fn foreign_entry(out: &mut fmt::Formatter, stream: &str, id: &str) -> fmt::Result {
    write!(
        out,
        "cluster: the entry {id} of {stream} in the engine is none of a relay: it and others like \
         it are passed over and counted. Find out what else writes to the engine, and whether all \
         relays are of the same version"
    )
}
