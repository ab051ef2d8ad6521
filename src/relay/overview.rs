//! What the operator asks of a running relay: how it stands, who is here, and some commands.
//!
//! None of it takes longer the more users there are: [`Relay::users`] looks at a bounded part of
//! the table each time.

use std::time::Duration;

use super::event::{Event, Level};
use super::history::History;
use super::{Purpose, Relay};
use crate::reactor::{Context, Time, Token};
use crate::wire::{ErrorCode, Fingerprint, Refusal};

/// What was forwarded since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Frames that were queued for another user.
    pub messages: u64,
    /// Bytes that came from connections and were used.
    pub received: u64,
    /// Bytes that were queued for connections.
    pub sent: u64,
}

/// How the relay stands at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Connections, those that are leaving too.
    pub connections: usize,
    /// As many as there may be.
    pub max_connections: usize,
    /// Connections that are registered.
    pub users: usize,
    /// Connections that speak TLS.
    pub tls: usize,
    /// Names that are bound to a key.
    pub names: usize,
    /// Names that the store is binding.
    pub names_asked: usize,
    /// Connections that take letters.
    pub takers: usize,
    /// Questions about letters that the store has not answered.
    pub letters_asked: usize,
    /// How many letters wait in all boxes; none where none are kept, and in a cluster.
    pub letters: Option<u64>,
    /// Bytes of them.
    pub letter_bytes: Option<u64>,
}

/// One user.
#[derive(Clone, Copy, Debug)]
pub struct UserRow<'a> {
    /// Its connection.
    pub token: Token,
    /// Its name.
    pub name: &'a str,
    /// Of the protocol: 1 for an original client.
    pub version: u8,
    /// Of the key that its name is bound to; none where it is bound to none.
    pub fp: Option<&'a Fingerprint>,
    /// When it connected.
    pub since: Time,
    /// Bytes that came from it.
    pub received: u64,
    /// Bytes that were queued for it.
    pub sent: u64,
    /// Nothing is read from it now: it has to read first, or to wait for the rate of its address.
    pub held: bool,
}

/// Why a name is not released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotReleased {
    /// It is bound to no key.
    NotBound,
    /// Too much waits for the store.
    StoreBusy,
}

impl Relay {
    /// How the relay stands.
    pub fn gauges(&self) -> Gauges {
        let (held, reserved) = self.directory.count();
        // Those of a cluster are in its engine, where nobody counts them.
        let waiting = self.store.waiting().filter(|_| self.cluster.is_none());
        Gauges {
            connections: self.peers.len(),
            max_connections: self.config.max_connections,
            users: held - reserved,
            tls: self.tls_open,
            names: self.directory.bound_count(),
            names_asked: reserved,
            takers: self.letters.takers.len(),
            letters_asked: self.letters.len(),
            letters: waiting.map(|it| it.letters),
            letter_bytes: waiting.map(|it| it.bytes),
        }
    }

    /// What was counted since the start.
    pub fn counters(&mut self) -> &super::counters::Counters {
        self.counters.lines_dropped = self.log.dropped();
        &self.counters
    }

    /// What was forwarded since the start.
    pub const fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// At most `count` users from `slot` on; no more than `slots` slots are looked at. Returns the
    /// slot to go on from, if there are more.
    pub fn users(
        &self,
        slot: usize,
        count: usize,
        slots: usize,
    ) -> (Vec<UserRow<'_>>, Option<usize>) {
        let (peers, behind) = self.peers.slots(slot, slots);
        let mut rows = Vec::new();
        for peer in peers {
            let Some(user) = peer.user() else { continue };
            if rows.len() == count {
                return (rows, Some(peer.token.slot()));
            }
            let name = user.name.as_str();
            rows.push(UserRow {
                token: peer.token,
                name,
                version: if user.is_version2() { 2 } else { 1 },
                fp: self.directory.bound_to(name),
                since: self.peers.since(peer.token),
                received: peer.received,
                sent: peer.sent,
                held: peer.is_waiting(),
            });
        }
        (rows, behind)
    }

    /// From now on the latest events up to `level` are kept. To be called again when the level that
    /// somebody wants to read has changed.
    pub fn keep_history(&mut self, level: Level) {
        self.log.keep(level);
    }

    /// The latest events, if they are kept.
    pub const fn history(&self) -> Option<&History> {
        self.log.history()
    }

    /// What the wall clock says in this tick, in milliseconds since 1970.
    pub fn wall(&mut self) -> u64 {
        self.log.wall()
    }

    /// Whether the relay serves: all its listeners stand, and it is not leaving.
    pub fn is_ready(&self) -> bool {
        let stands = |it: &super::OwnSource| {
            !matches!(it.purpose, Purpose::Listen(_)) || it.address.is_some()
        };
        !self.is_ending() && self.sources.iter().all(stands)
    }

    /// Ends the connection of the user `name`. Returns whether there was one. Its client may
    /// connect again.
    pub fn kick(&mut self, cx: &mut Context, name: &str) -> bool {
        let Some(token) = self.directory.holder(name, &self.peers) else { return false };
        self.log.tell(&Event::Kicked { name });
        let detail = "the operator of the relay has ended this connection";
        self.dismiss(cx, token, &Refusal::new(ErrorCode::ShuttingDown, detail));
        true
    }

    /// Asks the store to release `name`, so that the next user who proves it gets it. Once it is
    /// done, [`is_bound`](Self::is_bound) tells so.
    ///
    /// # Errors
    /// The store was not asked.
    pub fn ask_release(&mut self, name: &str) -> Result<(), NotReleased> {
        if !self.is_bound(name) {
            return Err(NotReleased::NotBound);
        }
        self.store.release(name).map_err(|_| NotReleased::StoreBusy)
    }

    /// Whether `name` is bound to a key.
    pub fn is_bound(&self, name: &str) -> bool {
        self.directory.bound_to(name).is_some()
    }

    /// To be called in each tick by whoever wants to know [`store_silence`](Self::store_silence).
    pub fn watch_store(&mut self, now: Time) {
        let progress = self.store.progress();
        if progress.is_idle() || progress != self.store_progress {
            (self.store_progress, self.store_heard) = (progress, now);
        }
    }

    /// For how long the store has answered nothing although it was asked; zero where nothing was.
    pub fn store_silence(&self, now: Time) -> Duration {
        if self.store_progress.is_idle() { Duration::ZERO } else { now.since(self.store_heard) }
    }
}
