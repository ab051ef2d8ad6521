//! The beginning of a connection: one port serves plain connections and those that speak TLS.
//!
//! The first byte decides (`docs/protocol.md`, "TLS"): 0x16 begins a handshake, and no frame begins
//! with it. The relay makes an engine once the `ClientHello` is complete, and only so many in a
//! tick, because a handshake is the most expensive thing that a stranger can ask for. A connection
//! that finds no room in this tick waits in line for the next ones. (There is no separate rate for
//! handshakes: a connection has at most one, and connections have a rate.)

use std::collections::VecDeque;

use super::Relay;
use super::event::{Event, Leaving};
use super::limits::{
    TLS_HANDSHAKE_WORK, TLS_HANDSHAKES_PER_TICK, TLS_TURN_WORK, UNREGISTERED_BYTES,
};
use crate::reactor::{Context, Token};
use crate::tls::limits::MAX_HELLO;
use crate::tls::{Engines, Fault, Hello, REFUSAL};
use crate::wire::{ErrorCode, Refusal};

/// A whole `ClientHello` has to fit into the bytes that the reactor keeps of a stranger.
const _: () = assert!(MAX_HELLO <= UNREGISTERED_BYTES);

/// Handshakes of this tick, and the connections that wait for the next one.
#[derive(Default)]
pub(super) struct Greetings {
    begun: usize,
    /// Each once. Some of them are gone.
    line: VecDeque<Token>,
}

/// How a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    /// Nothing that it sent has been looked at, so it may begin with TLS.
    Undecided,
    /// It began with TLS and has no engine yet.
    Greeting,
    Plain,
    Tls,
}

/// The work of opening the records of one turn, which counts beside the frames in them.
pub(super) fn opening_work(channel: Channel) -> usize {
    if channel == Channel::Tls { TLS_TURN_WORK } else { 0 }
}

impl Relay {
    /// From now on connections that begin with TLS are served.
    pub fn speak_tls(&mut self, engines: Box<dyn Engines>) {
        self.tls = Some(engines);
    }

    /// Looks at the first bytes of a connection. Returns `None` if they are the beginning of a
    /// plain connection. Otherwise returns how many of them are consumed: the connection has an
    /// engine from now on, waits for one, or ends.
    pub(super) fn begin(
        &mut self,
        cx: &mut Context,
        from: Token,
        bytes: &[u8],
        work: &mut usize,
    ) -> Option<usize> {
        let peer = self.peers.get_mut(from)?;
        let is_greeting = peer.channel == Channel::Greeting;
        let Some(engines) = self.tls.as_ref().filter(|_| is_greeting) else {
            peer.channel = Channel::Plain;
            if !self.config.requires_tls {
                return None;
            }
            let detail = "this relay speaks TLS only: connect with TLS 1.3 to the same port";
            self.came(from, bytes.len());
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
                    self.tls_open += 1;
                    *work += TLS_HANDSHAKE_WORK;
                    cx.transform(from, engine);
                    None
                }
                None => Some(Fault::Misbehaved),
            },
        };
        let Some(fault) = refusal else { return Some(0) };
        self.came(from, bytes.len());
        cx.send(from, &[&REFUSAL]);
        cx.close(from);
        self.depart(cx, from, Leaving::Garbled(fault));
        Some(bytes.len())
    }

    /// Called at the end of the tick: the first connections in the line go on in the next one.
    pub(super) fn greet(&mut self, cx: &mut Context) {
        self.greetings.begun = 0;
        let mut room = TLS_HANDSHAKES_PER_TICK;
        while room > 0
            && let Some(id) = self.greetings.line.pop_front()
        {
            room -= usize::from(self.leave_line(cx, id));
        }
    }

    /// Reads the certificate's files again, if it came from files.
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
