//! Who begins with TLS: one port for plain connections and others.
//!
//! The first byte decides (`docs/protocol.md`, "TLS"): 0x16 begins a handshake, and no frame begins
//! with it. An engine is made for a whole `ClientHello` and not before, and so many in a tick, for
//! a handshake is the most expensive thing that a stranger can ask for. Who finds no room in this
//! tick waits for the next ones, in order. (How many in a second: each connection has one at most,
//! and connections have a rate.)

use std::collections::VecDeque;

use super::Relay;
use super::event::{Event, Leaving};
use super::limits::{
    TLS_HANDSHAKE_WORK, TLS_HANDSHAKES_PER_TICK, TLS_TURN_WORK, UNREGISTERED_BYTES,
};
use crate::reactor::{Context, Token};
use crate::tls::limits::MAX_HELLO;
use crate::tls::{Engines, FIRST_BYTE, Fault, Hello, REFUSAL};
use crate::wire::{ErrorCode, Refusal};

/// All of a first message has to fit into what is kept of a stranger.
const _: () = assert!(MAX_HELLO <= UNREGISTERED_BYTES);

/// Handshakes of this tick, and who waits for the next.
#[derive(Default)]
pub(super) struct Greetings {
    begun: usize,
    /// Each once. Some of them are gone.
    line: VecDeque<Token>,
}

/// How a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    /// Nothing that it sent has been looked at, so it may yet begin with TLS.
    Undecided,
    Plain,
    Tls,
}

/// What it cost to open what a connection is shown, beside its frames.
pub(super) fn opening_work(channel: Channel) -> usize {
    if channel == Channel::Tls { TLS_TURN_WORK } else { 0 }
}

impl Relay {
    /// From now on connections that begin with TLS are served.
    pub fn speak_tls(&mut self, engines: Box<dyn Engines>) {
        self.tls = Some(engines);
    }

    /// Looks at the first bytes of a connection. Tells how many of them are done with where they
    /// are no frame: then all else is up to the connection's engine, or it ends.
    pub(super) fn begin(
        &mut self,
        cx: &mut Context,
        from: Token,
        bytes: &[u8],
        work: &mut usize,
    ) -> Option<usize> {
        let peer = self.peers.get_mut(from)?;
        let Some(engines) = self.tls.as_ref().filter(|_| bytes.first() == Some(&FIRST_BYTE)) else {
            peer.channel = Channel::Plain;
            if !self.config.requires_tls {
                return None;
            }
            let detail = "this relay speaks TLS only: connect with TLS 1.3 to the same port";
            self.dismiss(cx, from, &Refusal::new(ErrorCode::TlsRequired, detail));
            return Some(bytes.len());
        };
        let refusal = match Hello::look(bytes) {
            Hello::Partial => return Some(0),
            Hello::Refused(fault) => Some(fault),
            Hello::Whole if self.greetings.begun >= TLS_HANDSHAKES_PER_TICK => {
                peer.in_line = true;
                self.greetings.line.push_back(from);
                cx.pause(from);
                return Some(0);
            }
            Hello::Whole => match engines.engine() {
                Some(engine) => {
                    peer.channel = Channel::Tls;
                    self.greetings.begun += 1;
                    self.counters.tls += 1;
                    *work += TLS_HANDSHAKE_WORK;
                    cx.transform(from, engine);
                    None
                }
                None => Some(Fault::Misbehaved),
            },
        };
        let Some(fault) = refusal else { return Some(0) };
        cx.send(from, &[&REFUSAL]);
        cx.close(from);
        self.depart(cx, from, Leaving::Garbled(fault));
        Some(bytes.len())
    }

    /// At the end of the tick: the first in the line are looked at again in the next one.
    pub(super) fn greet(&mut self, cx: &mut Context) {
        self.greetings.begun = 0;
        let mut room = TLS_HANDSHAKES_PER_TICK;
        while room > 0
            && let Some(id) = self.greetings.line.pop_front()
        {
            let Some(peer) = self.peers.get_mut(id) else { continue };
            peer.in_line = false;
            if !peer.is_waiting() {
                cx.resume(id);
                room -= 1;
            }
        }
    }

    /// Reads the certificate again, where there is one to be read.
    pub(super) fn reload_tls(&mut self) {
        match self.tls.as_mut().and_then(|engines| engines.reload()) {
            None => {}
            Some(Ok(())) => self.log.tell(&Event::TlsReloaded),
            Some(Err(detail)) => {
                self.counters.tls_not_reloaded += 1;
                self.log.tell(&Event::TlsNotReloaded { detail: &detail });
            }
        }
    }
}
