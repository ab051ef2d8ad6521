//! One user's side of the protocol (`docs/protocol.md`, sections 2 and 4 to 6): identity, trust,
//! conversations.

mod event;
mod pins;
mod trust;

use std::fmt;
use std::net::SocketAddr;

use crate::crypto::Vault;
use crate::reactor::{Alarm, CloseReason, Context, Deadline, Opened, Token};
use crate::wire::{Fingerprint, RosterMode};

pub use event::{Caution, Ending, Event, Failure, Progress, Receipt, Standing};
pub use pins::{FilePins, MemoryPins, PinFile, Pins};
pub use trust::{PeerPin, Trust};

/// What the user asked for.
pub struct Settings {
    /// Our name; it must be one ([`check_name_v2`](crate::wire::check_name_v2)).
    pub name: String,
    /// The relay as `HOST:PORT`, as the user wrote it: its key is pinned under this text.
    pub relay: String,
    /// Which rosters to ask for. With `None`, `users` stays empty.
    pub roster: RosterMode,
    /// Refuse peers whose key was never compared, both ways.
    pub strict: bool,
    /// Tell each warning. Otherwise the same one about one peer is told once a minute, with a count.
    pub every_warning: bool,
    /// The one of the loop's alarms that the client may use.
    pub alarm: Alarm,
}

/// The world, handed in.
pub struct Parts {
    /// The identity, and randomness.
    pub vault: Box<dyn Vault>,
    /// Where the peers' keys are pinned: `known_peers`.
    pub peers: Box<dyn Pins>,
    /// Where the relays' keys are pinned: `known_relays`.
    pub relays: Box<dyn Pins>,
    /// The wall clock, in milliseconds since 1970.
    pub wall: Box<dyn FnMut() -> u64>,
    /// Resolves `HOST:PORT`, blocking; the error is for people.
    pub resolve: Box<dyn FnMut(&str) -> Result<Vec<SocketAddr>, String>>,
}

/// One user's client. The handler that wraps it forwards what the loop tells about tokens that it
/// [`owns`](Self::owns), its alarm, and the end of each tick; and takes the events.
pub struct Client {}

/// Why a text was not taken. Nothing was kept, and no event tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The addressee is no name.
    NotAName,
    /// The addressee is ourselves. There is nobody to seal for: the sender knows it all already.
    Oneself,
    /// More than [`MAX_TEXT`](crate::limits::MAX_TEXT) bytes.
    TooLong,
    /// As much is unconfirmed as may be: again once [`Client::ready_for_more`] says so.
    Pause,
}

impl fmt::Display for Refused {
    fn fmt(&self, _out: &mut fmt::Formatter) -> fmt::Result {
        todo!()
    }
}

/// Why a key was not accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotTrusted {
    /// No key was given, and the relay has handed out none that differs from the pinned one.
    NothingToTrust,
    /// There is no pinned key to be marked.
    NotPinned,
    /// The trust file could not be written; why.
    File(String),
}

/// What is still on its way: what a view needs to decide whether to wait, and with which code to
/// leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outlook {
    /// Registered right now.
    pub connected: bool,
    /// Texts that were taken and neither confirmed nor failed.
    pub unconfirmed: usize,
    /// Those of them whose addressee is not connected, by what the relay said last.
    pub absent: usize,
    /// Shown messages whose receipt has not left.
    pub receipts: usize,
}

impl Client {
    /// A client that has done nothing yet. Damaged lines of the files are told as warnings.
    pub fn new(_settings: Settings, _parts: Parts) -> Self {
        todo!()
    }

    /// Connects, and from now on connects again by itself. Once.
    pub fn start(&mut self, _cx: &mut Context) {
        todo!()
    }

    /// Sends the receipts that are gathered and closes; `Closed` with `left` follows.
    pub fn leave(&mut self, _cx: &mut Context) {
        todo!()
    }

    /// Takes a text for `to`: it is sent, and sent again, until it is confirmed or has failed.
    /// Returns the id that events name it by: `id`, or one that is made up.
    pub fn say(&mut self, _to: &str, _text: &str, _id: Option<String>) -> Result<String, Refused> {
        todo!()
    }

    /// Whether [`say`](Self::say) takes a text for `to` now; ask again at the end of each tick.
    pub fn ready_for_more(&self, _to: &str) -> bool {
        todo!()
    }

    /// The next thing that happened; `None`: nothing more for now.
    pub fn next_event(&mut self) -> Option<Event> {
        todo!()
    }

    /// A message was written out: its sender is told so at the end of this tick.
    pub fn shown(&mut self, _receipt: Receipt) {
        todo!()
    }

    /// What is still on its way, over all peers.
    pub fn outlook(&self) -> Outlook {
        todo!()
    }

    /// Who is connected, in order; empty without a roster.
    pub fn users(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }

    /// The pinned key of `name`.
    pub fn pin(&self, _name: &str) -> Option<&PeerPin> {
        todo!()
    }

    /// The key of `name` that was refused last because another one is pinned.
    pub fn refused_key(&self, _name: &str) -> Option<Fingerprint> {
        todo!()
    }

    /// The digits that `name` and we compare over another channel; `None` without a pinned key.
    pub fn safety_number(&self, _name: &str) -> Option<String> {
        todo!()
    }

    /// Accepts the key `fp` for `name` in the place of whatever is pinned; without `fp`, the
    /// [refused](Self::refused_key) one. Returns the key that is pinned now.
    pub fn trust(
        &mut self,
        _name: &str,
        _fp: Option<Fingerprint>,
    ) -> Result<Fingerprint, NotTrusted> {
        todo!()
    }

    /// Marks the pinned key of `name` as compared.
    pub fn verify(&mut self, _name: &str) -> Result<Fingerprint, NotTrusted> {
        todo!()
    }

    /// Reads nothing from the relay for now (`true`): standard output is behind. Not before the
    /// registration is done, so it may be asked for at any time.
    pub fn hold(&mut self, _cx: &mut Context, _held: bool) {
        todo!()
    }

    // --- What the loop tells ---

    /// Whether what the loop tells about `id` is for the client.
    pub fn owns(&self, _id: Token) -> bool {
        todo!()
    }

    /// See [`Handler::opened`](crate::reactor::Handler::opened).
    pub fn opened(&mut self, _cx: &mut Context, _id: Token, _how: Opened) {
        todo!()
    }

    /// See [`Handler::received`](crate::reactor::Handler::received).
    pub fn received(&mut self, _cx: &mut Context, _from: Token, _bytes: &[u8]) -> usize {
        todo!()
    }

    /// See [`Handler::ended`](crate::reactor::Handler::ended).
    pub fn ended(&mut self, _cx: &mut Context, _from: Token) {
        todo!()
    }

    /// See [`Handler::expired`](crate::reactor::Handler::expired).
    pub fn expired(&mut self, _cx: &mut Context, _id: Token, _deadline: Deadline) {
        todo!()
    }

    /// See [`Handler::closed`](crate::reactor::Handler::closed).
    pub fn closed(&mut self, _cx: &mut Context, _id: Token, _reason: CloseReason) {
        todo!()
    }

    /// The client's alarm rang.
    pub fn alarm(&mut self, _cx: &mut Context) {
        todo!()
    }

    /// See [`Handler::end_of_tick`](crate::reactor::Handler::end_of_tick): what was said and shown
    /// leaves here, and the alarm is set.
    pub fn end_of_tick(&mut self, _cx: &mut Context) {
        todo!()
    }
}
