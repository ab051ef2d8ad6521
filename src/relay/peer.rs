//! One connection and its states, and the table of all of them.
//!
//! Knows what a connection has claimed and what it has become; decides nothing.
//!
//! ```text
//!              register (v2)                prove                  the name is bound
//!   Stranger ───────────────▶ Challenged ─────────▶ Registering ───────────────────▶ Registered
//!      │                          └─ prove, and the name is bound already ───────────────▲ │
//!      └─ register (original) ───────────────────────────────────────────────────────────┘ │
//!                                                                                          ▼
//!   each of them, once its last frame is queued or the other end is gone: ─────────────▶ Leaving
//! ```
//!
//! While it is `Registering` nothing is read from a connection, so what it sends behind its proof
//! finds it registered. `Leaving` lasts until the reactor has closed the connection: its last frame
//! may have to be flushed, but it is no user any more.

use std::mem;
use std::net::SocketAddr;

use super::directory::Holders;
use super::event::Who;
use super::rates::{Origin, RateClass};
use super::roster::{Listed, Subscriber};
use super::tls::Channel;
use super::user_name::UserName;
use crate::crypto::PublicKey;
use crate::reactor::limits::FEW_SOURCES;
use crate::reactor::{Time, Token};
use crate::tokens::Bucket;
use crate::wire::{Fingerprint, Prekey, RosterMode, Scanner};

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// What the relay knows of one connection.
pub(super) struct Peer {
    pub(super) token: Token,
    pub(super) state: State,
    pub(super) channel: Channel,
    /// How far its unconsumed bytes have been looked at.
    pub(super) scanner: Scanner,
    /// Nothing is read from it, because too much waits for it.
    pub(super) held: bool,
    /// Nothing is read from it before the next tick, because it or its address had its share of
    /// this one.
    pub(super) in_line: bool,
    /// It waits to be sent a roster.
    pub(super) is_pending: bool,
    /// Whether it waits for its address's rate.
    pub(super) throttle: Throttle,
    /// Whose rates it spends.
    pub(super) origin: Origin,
    /// Bytes that came from it.
    pub(super) received: u64,
    /// Bytes that were queued for it.
    pub(super) sent: u64,
}

/// Whether a connection waits for the rate of its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Throttle {
    /// No.
    None,
    /// It waits for its turn. Nothing is read from it.
    Until(RateClass),
    /// It waits until it may ask for a turn again. Nothing is read from it.
    AskAgain(RateClass),
    /// Its turn has come: its next frame has been paid for.
    Paid,
}

/// See the diagram above.
pub(super) enum State {
    /// It has not said who it is.
    Stranger(SocketAddr),
    /// It has said so, in version 2, and is to prove it.
    Challenged(Box<Challenge>),
    /// It has proven it. If the name is new, the store is binding it.
    Registering(Box<Claim>),
    /// It may ask and be written to.
    Registered(User),
    /// It is being closed.
    Leaving,
}

/// Who a connection says it is.
pub(super) struct Claim {
    pub(super) address: SocketAddr,
    pub(super) name: UserName,
    pub(super) key: KeyText,
    pub(super) fp: Fingerprint,
    pub(super) roster: RosterMode,
    /// Of version 2 only.
    pub(super) prekey: Option<Box<Prekey>>,
}

/// A claim, and what proves it: this key's signature over these bytes.
pub(super) struct Challenge {
    pub(super) claim: Claim,
    pub(super) key: PublicKey,
    pub(super) proof: Vec<u8>,
}

/// A registered user.
pub(super) struct User {
    pub(super) name: UserName,
    /// See [`Peers::key_of`].
    pub(super) key: UserKey,
    /// Every user of version 2 has one, and nobody else.
    pub(super) prekey: Option<Box<Prekey>>,
    pub(super) subscriber: Subscriber,
    /// What it has left to ask for keys.
    pub(super) lookups: Bucket,
    /// The number of its arrival among all changes (`roster.rs`).
    pub(super) joined: u64,
}

/// A public key, to be handed out in the very text that was registered.
pub(super) enum KeyText {
    /// That text is the canonical one of this key, which takes half the memory.
    Canonical(PublicKey),
    /// Other line ends or widths.
    AsWritten(Box<str>),
}

/// Where the key of a user is kept.
pub(super) enum UserKey {
    /// Among the common moduli, by the slot of its connection.
    Common,
    /// It has another size than most, or another text.
    Other(Box<KeyText>),
}

/// The modulus of a key of 2,048 bits, as most users have one.
type CommonModulus = [u8; 256];

/// A connection costs this much here (`docs/architecture.md`, "Memory"), and what it has registered
/// with: its key, its prekey, and a name that is long.
const _: () = assert!(size_of::<Option<Peer>>() <= 120);

impl Peer {
    pub(super) fn new(token: Token, address: SocketAddr, origin: Origin) -> Self {
        Self {
            token,
            state: State::Stranger(address),
            channel: Channel::Undecided,
            scanner: Scanner::default(),
            held: false,
            in_line: false,
            is_pending: false,
            throttle: Throttle::None,
            origin,
            received: 0,
            sent: 0,
        }
    }

    /// What it is called in the log.
    pub(super) fn who(&self) -> Option<Who<'_>> {
        match &self.state {
            State::Stranger(address) => Some(Who::Peer(*address)),
            State::Challenged(challenge) => Some(Who::Peer(challenge.claim.address)),
            State::Registering(claim) => Some(Who::Peer(claim.address)),
            State::Registered(user) => Some(Who::Name(user.name.as_str())),
            State::Leaving => None,
        }
    }

    /// Whether it waits for something: room in its queue, its turn, or its address's rate.
    pub(super) fn is_waiting(&self) -> bool {
        self.held
            || self.in_line
            || matches!(self.throttle, Throttle::Until(_) | Throttle::AskAgain(_))
    }

    pub(super) fn user(&self) -> Option<&User> {
        match &self.state {
            State::Registered(user) => Some(user),
            _ => None,
        }
    }

    pub(super) fn user_mut(&mut self) -> Option<&mut User> {
        match &mut self.state {
            State::Registered(user) => Some(user),
            _ => None,
        }
    }

    /// Takes out what was to be proven; the connection is a stranger again.
    pub(super) fn take_challenge(&mut self) -> Option<Challenge> {
        let State::Challenged(challenge) = &self.state else { return None };
        let stranger = State::Stranger(challenge.claim.address);
        match mem::replace(&mut self.state, stranger) {
            State::Challenged(challenge) => Some(*challenge),
            _ => None,
        }
    }

    /// Takes out what is waiting for the store; the connection is a stranger again.
    pub(super) fn take_claim(&mut self) -> Option<Claim> {
        let State::Registering(claim) = &self.state else { return None };
        let stranger = State::Stranger(claim.address);
        match mem::replace(&mut self.state, stranger) {
            State::Registering(claim) => Some(*claim),
            _ => None,
        }
    }
}

impl User {
    pub(super) fn is_version2(&self) -> bool {
        self.prekey.is_some()
    }
}

impl KeyText {
    /// Of a key whose text is `as_written`, if that is not the canonical one.
    pub(super) fn new(key: &PublicKey, as_written: Option<&str>) -> Self {
        match as_written {
            None => Self::Canonical(key.clone()),
            Some(text) => Self::AsWritten(text.into()),
        }
    }

    pub(super) fn to_text(&self) -> String {
        match self {
            Self::Canonical(key) => key.to_pem(),
            Self::AsWritten(text) => text.to_string(),
        }
    }
}

/// All connections, by token.
pub(super) struct Peers {
    /// By the token's slot. Allocated once, for as many as there may be: nothing moves.
    slots: Vec<Option<Peer>>,
    /// The keys of users, by slot too. Here they take their own size, where an allocator would add
    /// its own, and leave gaps between them.
    moduli: Vec<CommonModulus>,
    /// When the last tenant of each slot connected, in seconds of the loop's clock. Beside the
    /// peers, whose size is a multiple of 8 bytes.
    since: Vec<u32>,
    count: usize,
}

impl Peers {
    /// A table for so many connections, in slots of a loop that has few other sources.
    pub(super) fn with_capacity(connections: usize) -> Self {
        let slots = connections.saturating_add(FEW_SOURCES);
        Self {
            slots: Vec::with_capacity(slots),
            moduli: Vec::with_capacity(slots),
            since: Vec::with_capacity(slots),
            count: 0,
        }
    }

    /// Takes in a connection that was accepted `now`.
    pub(super) fn insert(&mut self, peer: Peer, now: Time) {
        let index = peer.token.slot();
        if self.slots.len() <= index {
            self.slots.resize_with(index + 1, || None);
            self.since.resize(index + 1, 0);
            self.moduli.resize(index + 1, [0; 256]);
        }
        self.since[index] = u32::try_from(now.as_nanos() / NANOS_PER_SECOND).unwrap_or(u32::MAX);
        let slot = &mut self.slots[index];
        debug_assert!(slot.is_none(), "its last tenant was told to be closed");
        *slot = Some(peer);
        self.count += 1;
    }

    pub(super) fn remove(&mut self, token: Token) -> Option<Peer> {
        self.get(token)?;
        self.count -= 1;
        self.slots.get_mut(token.slot())?.take()
    }

    /// Keeps the key of a user, for as long as its connection is there.
    pub(super) fn keep_key(&mut self, token: Token, key: KeyText) -> UserKey {
        if let KeyText::Canonical(common) = &key
            && let Ok(modulus) = CommonModulus::try_from(common.modulus())
            && let Some(place) = self.moduli.get_mut(token.slot())
        {
            *place = modulus;
            return UserKey::Common;
        }
        UserKey::Other(Box::new(key))
    }

    /// The text of the key that a user registered with.
    pub(super) fn key_of(&self, token: Token, user: &User) -> String {
        match &user.key {
            UserKey::Other(key) => key.to_text(),
            UserKey::Common => {
                let modulus = self.moduli.get(token.slot());
                let key = modulus.and_then(|modulus| PublicKey::of_modulus(modulus));
                key.map(|key| key.to_pem()).unwrap_or_default() // always: it was one
            }
        }
    }

    /// When it connected, to the second; the clock's start where it is not there.
    pub(super) fn since(&self, token: Token) -> Time {
        let seconds = self.since.get(token.slot()).copied().unwrap_or_default();
        Time::from_nanos(u64::from(seconds) * NANOS_PER_SECOND)
    }

    pub(super) fn get(&self, token: Token) -> Option<&Peer> {
        self.slots.get(token.slot())?.as_ref().filter(|peer| peer.token == token)
    }

    pub(super) fn get_mut(&mut self, token: Token) -> Option<&mut Peer> {
        self.slots.get_mut(token.slot())?.as_mut().filter(|peer| peer.token == token)
    }

    pub(super) fn user(&self, token: Token) -> Option<&User> {
        self.get(token)?.user()
    }

    pub(super) fn user_mut(&mut self, token: Token) -> Option<&mut User> {
        self.get_mut(token)?.user_mut()
    }

    /// How many there are, those that are leaving too.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All of them, by slot.
    pub(super) fn tokens(&self) -> impl Iterator<Item = Token> {
        self.slots.iter().flatten().map(|peer| peer.token)
    }

    /// Those in `count` slots from `slot` on, and the slot behind them, if there are more.
    pub(super) fn slots(
        &self,
        slot: usize,
        count: usize,
    ) -> (impl Iterator<Item = &Peer>, Option<usize>) {
        let end = slot.saturating_add(count).min(self.slots.len());
        let part = self.slots.get(slot..end).unwrap_or_default();
        (part.iter().flatten(), (end < self.slots.len()).then_some(end))
    }

    /// The users from `slot` on, each with its slot: an order that stays while they stay.
    pub(super) fn users_from(&self, slot: usize) -> impl Iterator<Item = (usize, &User)> {
        let from = self.slots.get(slot..).unwrap_or_default().iter().flatten();
        from.filter_map(|peer| Some((peer.token.slot(), peer.user()?)))
    }
}

impl Listed for Peers {
    fn listed_from(&self, slot: usize) -> impl Iterator<Item = (usize, &UserName, u64)> {
        self.users_from(slot).map(|(slot, user)| (slot, &user.name, user.joined))
    }
}

impl Holders for Peers {
    fn in_slot(&self, slot: usize) -> Option<(Token, &UserName)> {
        let peer = self.slots.get(slot)?.as_ref()?;
        Some((peer.token, &peer.user()?.name))
    }
}
