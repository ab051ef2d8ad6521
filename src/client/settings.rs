//! What a client is made from: the user's settings, and everything outside of the program, which is
//! passed in.

use std::net::SocketAddr;

use super::channel::Channel;
use super::letter_book::LetterBook;
use super::pins::Pins;
use crate::crypto::Vault;
use crate::reactor::Timer;
use crate::wire::{RosterMode, TakeMode};

/// What the user asked for.
pub struct Settings {
    /// Our name; it must be one ([`check_name_v2`](crate::wire::check_name_v2)).
    pub name: String,
    /// The relay as `HOST:PORT`, in the one form of an [`Address`](crate::address::Address): its
    /// key is pinned under this text.
    pub relay: String,
    /// Which rosters to ask for. With `None`, `users` stays empty.
    pub roster: RosterMode,
    /// Refuse peers whose key was never compared, both ways.
    pub strict: bool,
    /// Whether a text waits for somebody who was not there yet; otherwise it fails at once. For
    /// whoever was there and left it waits in either case.
    pub waits_for_absent: bool,
    /// Which letters are taken out of our letterbox at the relay; `None`: none, and no key for them
    /// is left there.
    pub letterbox: Option<TakeMode>,
    /// Tell each warning. Otherwise the same one about one peer is told once a minute, with a
    /// count.
    pub every_warning: bool,
    /// How the user calls `sealwax keys` for this trust file: the sentences that name a command
    /// begin it with this.
    pub keys: String,
    /// The one of the loop's timers that the client may use.
    pub timer: Timer,
}

/// Everything outside of the program, which is passed in.
pub struct Parts {
    /// The identity, and randomness.
    pub vault: Box<dyn Vault>,
    /// Where the peers' keys are pinned: `known_peers`.
    pub peers: Box<dyn Pins>,
    /// Where the relays' keys are pinned: `known_relays`.
    pub relays: Box<dyn Pins>,
    /// Which relays have spoken TLS, and which peers have had an ML-KEM key: `known_marks`.
    pub marks: Box<dyn Pins>,
    /// What is kept of letters: `letters.sqlite`.
    pub letters: Box<dyn LetterBook>,
    /// What our bytes travel in on their way to the relay.
    pub channel: Channel,
    /// The wall clock, in milliseconds since 1970.
    pub wall: Box<dyn FnMut() -> u64>,
    /// Finds the addresses of the relay.
    pub resolve: Box<dyn Resolver>,
}

/// Finds the addresses of `HOST:PORT`; errors are texts for people. A closure answers at once.
pub trait Resolver {
    /// Begins to look `relay` up. The answer, if there is one without waiting; otherwise
    /// [`answer`](Self::answer) has it later, and whoever runs the loop calls
    /// [`Client::looked_up`](super::Client::looked_up) when it may be there.
    fn begin(&mut self, relay: &str) -> Option<Result<Vec<SocketAddr>, String>>;

    /// The answer to the last question, once.
    fn answer(&mut self) -> Option<Result<Vec<SocketAddr>, String>> {
        None
    }
}

impl<F: FnMut(&str) -> Result<Vec<SocketAddr>, String>> Resolver for F {
    fn begin(&mut self, relay: &str) -> Option<Result<Vec<SocketAddr>, String>> {
        Some(self(relay))
    }
}
