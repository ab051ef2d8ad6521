//! How a connection begins and ends, and how the relay itself ends.

use std::mem;
use std::net::SocketAddr;
use std::time::Duration;

use super::announce::tick_again;
use super::event::{Event, Leaving};
use super::letter_store::Owner;
use super::limits::{DRAIN_STEP, FLUSH_TIMEOUT, READ_UNREGISTERED};
use super::peer::{Peer, State};
use super::rates::RateClass;
use super::supervisor::ServiceState;
use super::tls::Channel;
use super::{ENDING, Relay};
use crate::reactor::{Context, Time, Token};
use crate::tls::REFUSAL;
use crate::wire::{ErrorCode, Refusal, Reply};

/// How far the relay's own end has come.
#[derive(Debug, Default)]
pub(super) enum Ending {
    /// It serves.
    #[default]
    No,
    /// It accepts nobody, and ends connections one after the other.
    Draining {
        /// Those that are still to be ended. Some may be gone.
        left: Vec<Token>,
        /// How many they were in the beginning.
        all: usize,
        /// When the last one is ended.
        until: Time,
    },
    /// All connections were sent their last frame.
    Flushing,
}

impl Relay {
    /// Keeps a new connection if there is room, and closes it otherwise.
    pub(super) fn welcome(&mut self, cx: &mut Context, id: Token, address: SocketAddr) {
        if self.is_ending() || self.peers.len() >= self.config.max_connections {
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

    /// Whether this connection is still to be answered: by the store, or by another relay.
    pub(super) fn owes(&self, to: Token) -> bool {
        self.letters.owe(to) || self.cluster.as_ref().is_some_and(|cluster| cluster.owes(to))
    }

    /// Ends the connections whose other end sends no more, and waits for nothing any more.
    pub(super) fn finish_answered(&mut self, cx: &mut Context) {
        let answered = self.finishing.iter().copied().filter(|&id| !self.owes(id));
        for id in answered.collect::<Vec<_>>() {
            self.finish(cx, id);
        }
    }

    /// Ends a connection whose other end sends no more, behind its last answer.
    pub(super) fn finish(&mut self, cx: &mut Context, id: Token) {
        cx.close(id);
        self.depart(cx, id, Leaving::Quit);
    }

    /// The user of this connection has left: its name is free from now on, and others are told.
    pub(super) fn depart(&mut self, cx: &mut Context, id: Token, reason: Leaving) {
        self.finishing.remove(&id);
        self.note_use_of(id); // also of one that was connected for months
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
            if self.cluster.is_some() {
                let version2 = user.is_version2();
                self.release_far(cx, id, &user.name, version2);
            } else {
                self.roster.went(user.name);
            }
        }
        tick_again(cx);
    }

    /// Whether the relay was told to end.
    pub fn is_ending(&self) -> bool {
        !matches!(self.ending, Ending::No)
    }

    /// Accepts nobody any more, ends the connections one after the other within
    /// [`RelayConfig::drain_time`](super::RelayConfig), each with its last frame, and then stops.
    /// So clients come to the next relay one after the other too. Called a second time, it does
    /// what [`stop`](Self::stop) does.
    pub fn drain(&mut self, cx: &mut Context) {
        if self.is_ending() {
            return self.stop(cx);
        }
        self.close_listeners(cx);
        let (connections, time) = (self.peers.len(), self.config.drain_time);
        let seconds = time.as_secs_f32();
        self.log.tell(&Event::DrainBegun { connections, seconds });
        let until = if connections == 0 { cx.now() } else { cx.now() + time };
        let left = self.peers.tokens().collect();
        self.ending = Ending::Draining { left, all: connections, until };
        self.tell_supervisor(ServiceState::Stopping);
        self.end_some(cx);
    }

    /// Accepts nobody any more, sends each connection its last frame, and stops when all have taken
    /// it or [`FLUSH_TIMEOUT`] is over. Called a second time, it stops at once.
    pub fn stop(&mut self, cx: &mut Context) {
        match self.ending {
            Ending::Flushing => return cx.stop(),
            Ending::No => {
                self.close_listeners(cx);
                self.ending = Ending::Flushing;
                self.tell_supervisor(ServiceState::Stopping);
            }
            Ending::Draining { .. } => self.ending = Ending::Flushing,
        }
        self.log.tell(&Event::Draining { connections: self.peers.len() });
        let everybody: Vec<_> = self.peers.tokens().collect();
        self.say_goodbye(cx, everybody);
        self.tell_counters(false);
        let wait = if self.peers.is_empty() { Duration::ZERO } else { FLUSH_TIMEOUT };
        cx.set_timer(ENDING, Some(cx.now() + wait));
    }

    /// The timer [`ENDING`] has rung.
    pub(super) fn go_on_ending(&mut self, cx: &mut Context) {
        match self.ending {
            Ending::No => {}
            Ending::Draining { .. } => self.end_some(cx),
            Ending::Flushing => cx.stop(),
        }
    }

    /// A connection is gone: if it was the last one, there is nothing to wait for.
    pub(super) fn end_if_alone(&mut self, cx: &mut Context) {
        if !self.is_ending() || !self.peers.is_empty() {
            return;
        }
        if let Ending::Draining { until, .. } = &mut self.ending {
            *until = cx.now();
        }
        cx.set_timer(ENDING, Some(cx.now()));
    }

    /// Ends as many connections as are due in this step of a drain.
    fn end_some(&mut self, cx: &mut Context) {
        let Ending::Draining { left, all, until } = &mut self.ending else { return };
        let rest = until.since(cx.now());
        if rest.is_zero() {
            return self.stop(cx);
        }
        // As many stay as there is time left.
        let stay = *all as u128 * rest.as_nanos() / self.config.drain_time.as_nanos().max(1);
        let stay = usize::try_from(stay).unwrap_or(usize::MAX);
        let due = left.split_off(stay.min(left.len()));
        self.say_goodbye(cx, due);
        cx.set_timer(ENDING, Some(cx.now() + DRAIN_STEP));
    }

    fn close_listeners(&mut self, cx: &mut Context) {
        for listener in self.sources.iter().filter(|source| source.address.is_some()) {
            cx.close(listener.token);
        }
    }

    fn say_goodbye(&mut self, cx: &mut Context, connections: Vec<Token>) {
        let goodbye = Refusal::new(ErrorCode::ShuttingDown, "the relay is going down");
        for id in connections {
            self.dismiss(cx, id, &goodbye);
        }
    }

    /// Tells the operator the counters.
    pub(super) fn tell_counters(&mut self, is_asked: bool) {
        self.counters.lines_dropped = self.log.dropped();
        self.log.tell(&Event::Counters { counters: &self.counters, is_asked });
    }
}
