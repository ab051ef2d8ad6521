//! How a connection begins and ends, and how the relay itself ends.

use std::mem;
use std::net::SocketAddr;
use std::time::Duration;

use super::announce::tick_again;
use super::event::{Event, Leaving};
use super::letter_store::Owner;
use super::limits::{DRAIN_TIMEOUT, READ_UNREGISTERED};
use super::peer::{Peer, State};
use super::rates::RateClass;
use super::tls::Channel;
use super::{DRAINED, Relay};
use crate::reactor::{Context, Token};
use crate::tls::REFUSAL;
use crate::wire::{ErrorCode, Refusal, Reply};

impl Relay {
    /// Keeps a new connection if there is room, and closes it otherwise.
    pub(super) fn welcome(&mut self, cx: &mut Context, id: Token, address: SocketAddr) {
        if self.is_draining || self.peers.len() >= self.config.max_connections {
            self.log.tell(&Event::TurnedAway { peer: address });
            self.counters.turned_away += 1;
            return cx.abort(id);
        }
        self.log.tell(&Event::Connected { peer: address });
        self.counters.connected += 1;
        let peer = Peer::new(id, address, self.rates.origin(address));
        self.peers.insert(peer, cx.now());
        cx.expect_handshake(id, true);
        cx.set_read_limit(id, Some(READ_UNREGISTERED));
        // The time to register runs while it waits, so a flood cannot fill the relay with
        // connections that wait.
        self.may_pass(cx, id, RateClass::Connect);
    }

    /// Ends a connection, with the reason as its last frame.
    pub(super) fn dismiss(&mut self, cx: &mut Context, id: Token, refusal: &Refusal) {
        let Some(peer) = self.peers.get(id).filter(|peer| peer.who().is_some()) else {
            return; // it is leaving already, or no connection at all
        };
        // A client that has begun with TLS cannot read a frame.
        if peer.channel == Channel::Greeting {
            cx.send(id, &[&REFUSAL]);
        } else {
            let frame = Reply::from(refusal).encode();
            cx.send(id, &[&frame]);
            self.was_sent(id, frame.len());
        }
        cx.close(id);
        self.depart(cx, id, Leaving::Ended(refusal.code));
    }

    /// The user of this connection has left: its name is free from now on, and others are told.
    pub(super) fn depart(&mut self, cx: &mut Context, id: Token, reason: Leaving) {
        let Some(peer) = self.peers.get_mut(id) else { return };
        let Some(who) = peer.who() else { return };
        let (received, sent) = (peer.received, peer.sent);
        self.log.tell(&Event::Left { who, reason, received, sent });
        self.counters.left(reason);
        // A name that the store is binding stays reserved until it has answered.
        if let State::Registered(user) = mem::replace(&mut peer.state, State::Leaving) {
            let owner = self.directory.bound_to(user.name.as_str()).copied();
            let owner = owner.map(|fp| Owner { name: user.name.as_str().to_owned(), fp });
            self.stop_taking(id, owner);
            self.directory.release(&user.name, id);
            self.note_used(&user.name, &user.key); // also of one that was connected for months
            self.roster.went(user.name);
        }
        tick_again(cx);
    }

    /// Accepts nobody any more, sends each connection its last frame, and stops when all have taken
    /// it or [`DRAIN_TIMEOUT`] is over. Called a second time, it stops at once.
    pub(super) fn drain(&mut self, cx: &mut Context) {
        if mem::replace(&mut self.is_draining, true) {
            return cx.stop();
        }
        self.log.tell(&Event::Draining { connections: self.peers.len() });
        for listener in self.sources.iter().filter(|source| source.address.is_some()) {
            cx.close(listener.token);
        }
        let goodbye = Refusal::new(ErrorCode::ShuttingDown, "the relay is going down");
        let everybody: Vec<_> = self.peers.tokens().collect();
        for id in everybody {
            self.dismiss(cx, id, &goodbye);
        }
        self.tell_counters(false);
        let wait = if self.peers.is_empty() { Duration::ZERO } else { DRAIN_TIMEOUT };
        cx.set_timer(DRAINED, Some(cx.now() + wait));
    }

    /// Tells the operator the counters.
    pub(super) fn tell_counters(&mut self, is_asked: bool) {
        self.counters.lines_dropped = self.log.dropped();
        self.log.tell(&Event::Counters { counters: &self.counters, is_asked });
    }
}
