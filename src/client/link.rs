//! The connection to the relay, and how it is made again when it is lost.
//!
//! ```text
//!   Idle ──start──▶ Resolving ──▶ Connecting ──▶ Registering ──▶ Up
//!                    ▲    │ no address │ none left   │ lost        │ lost
//!                    │    ▼            ▼             │             │
//!                  Resting ◀───────────┴─────────────┴─ Ending ◀───┤
//!                                                         │ ▲      │ refused for good,
//!                                                         ▼ └──────┘ or we leave
//!                                                        Over
//! ```
//!
//! Knows addresses, time and bytes; the frames of a registration are in `registration.rs`. The
//! addresses of the relay are tried one after the other, and last that of a relay which took the
//! connection and did not register us: it may have lost its cluster. Between two rounds is a pause
//! that doubles, with jitter.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::clocks::{Backoff, jittered};
use super::core::ClientCore;
use super::{Ending, Event, Progress, Resolver};
use crate::limits::{
    CONNECT_TIMEOUT, LOOKUP_TIMEOUT, MAX_FRAME, MIN_SILENCE, PING_INTERVAL, PONG_TIMEOUT,
    RECONNECT_MAX, RECONNECT_MIN, REGISTRATION_TIMEOUT, RELAY_FRAME_EXTRA,
};
use crate::reactor::{CloseReason, Context, Time, Timeout, Token};
use crate::wire::{Scan, Scanner, compose};

/// The connection to the relay.
pub(super) struct Link {
    /// The relay as the user wrote it.
    relay: String,
    resolver: Box<dyn Resolver>,
    state: LinkState,
    backoff: Backoff,
    /// Whose relay took the connection and has not registered us: another one is tried before it.
    unregistered: Option<SocketAddr>,
    scanner: Scanner,
    /// Nothing is read for now: standard output is behind.
    is_held: bool,
}

enum LinkState {
    Idle,
    Resting {
        until: Time,
    },
    /// The name of the relay is being looked up: anew in each round, for it may have moved.
    Resolving {
        until: Time,
    },
    Connecting {
        id: Token,
        address: SocketAddr,
        left: VecDeque<SocketAddr>,
        until: Time,
    },
    Registering {
        id: Token,
        until: Time,
    },
    Up {
        id: Token,
        heard: Time,
        ping: Option<Time>,
    },
    /// It was told to close; what follows is done once it is closed.
    Ending {
        id: Token,
        next: Next,
    },
    Over,
}

enum Next {
    /// It is lost.
    Retry { why: String },
    /// It is given up for good.
    Over { code: Ending, detail: String },
}

impl Link {
    pub(super) fn new(relay: String, resolver: Box<dyn Resolver>) -> Self {
        Self {
            relay,
            resolver,
            state: LinkState::Idle,
            backoff: Backoff::new(RECONNECT_MIN, RECONNECT_MAX),
            unregistered: None,
            scanner: Scanner::default(),
            is_held: false,
        }
    }

    /// Registered: frames may be sent.
    pub(super) fn is_up(&self) -> bool {
        matches!(self.state, LinkState::Up { .. })
    }

    /// The connection, while there is one.
    pub(super) fn token(&self) -> Option<Token> {
        match self.state {
            LinkState::Connecting { id, .. }
            | LinkState::Registering { id, .. }
            | LinkState::Up { id, .. }
            | LinkState::Ending { id, .. } => Some(id),
            LinkState::Idle
            | LinkState::Resting { .. }
            | LinkState::Resolving { .. }
            | LinkState::Over => None,
        }
    }

    /// Whether what arrives is to be read.
    pub(super) fn listens(&self) -> bool {
        matches!(self.state, LinkState::Registering { .. } | LinkState::Up { .. })
    }

    // --- Up ---

    /// Begins a round of attempts.
    pub(super) fn connect(&mut self, cx: &mut Context, core: &mut ClientCore) {
        self.state = LinkState::Resolving { until: core.now + LOOKUP_TIMEOUT };
        if let Some(found) = self.resolver.begin(&self.relay) {
            self.found(cx, core, found);
        }
    }

    /// The resolver may have an answer.
    pub(super) fn looked_up(&mut self, cx: &mut Context, core: &mut ClientCore) {
        if let Some(found) = self.resolver.answer() {
            self.found(cx, core, found);
        }
    }

    fn found(
        &mut self,
        cx: &mut Context,
        core: &mut ClientCore,
        found: Result<Vec<SocketAddr>, String>,
    ) {
        if !matches!(self.state, LinkState::Resolving { .. }) {
            return; // it came too late
        }
        match found {
            Ok(mut addresses) => {
                addresses.sort_by_key(|&address| Some(address) == self.unregistered);
                self.try_next(cx, core, addresses.into());
            }
            Err(why) => {
                let address = self.relay.clone();
                core.tell(Event::Progress(Progress::Unreachable { address, why }));
                self.rest(core);
            }
        }
    }

    fn try_next(
        &mut self,
        cx: &mut Context,
        core: &mut ClientCore,
        mut left: VecDeque<SocketAddr>,
    ) {
        let Some(address) = left.pop_front() else { return self.rest(core) };
        core.tell(Event::Progress(Progress::Connecting { address: address.to_string() }));
        let until = core.now + CONNECT_TIMEOUT;
        self.state = LinkState::Connecting { id: cx.connect(address), address, left, until };
    }

    fn rest(&mut self, core: &mut ClientCore) {
        let mut random = [0; 4];
        core.vault.random(&mut random);
        let pause = jittered(self.backoff.take(), random);
        core.tell(Event::Progress(Progress::Retrying { pause }));
        self.state = LinkState::Resting { until: core.now + pause };
    }

    /// The connection is established: sends `frame`, which begins the registration.
    pub(super) fn opened(&mut self, cx: &mut Context, core: &ClientCore, frame: &[u8]) {
        let LinkState::Connecting { id, address, .. } = self.state else { return };
        self.unregistered = Some(address);
        self.scanner = Scanner::default();
        self.state = LinkState::Registering { id, until: core.now + REGISTRATION_TIMEOUT };
        cx.send(id, &[frame]);
    }

    /// The relay has registered us.
    pub(super) fn registered(&mut self, cx: &mut Context, now: Time) {
        let LinkState::Registering { id, .. } = self.state else { return };
        self.state = LinkState::Up { id, heard: now, ping: None };
        self.unregistered = None;
        self.backoff.reset();
        if self.is_held {
            cx.pause(id);
        }
    }

    pub(super) fn send(&mut self, cx: &mut Context, frames: &[u8]) {
        if let Some(id) = self.token()
            && !frames.is_empty()
        {
            cx.send(id, &[frames]);
        }
    }

    /// Finds the next frame in `unconsumed`. A frame of another user may have up to `max_frame`
    /// bytes, which the relay has told.
    pub(super) fn scan(&mut self, unconsumed: &[u8], max_frame: usize) -> Scan {
        self.scanner.scan(unconsumed, max_frame.max(MAX_FRAME) + RELAY_FRAME_EXTRA)
    }

    /// Call when something arrived: the relay is alive.
    pub(super) fn heard(&mut self, now: Time) {
        if let LinkState::Up { heard, ping, .. } = &mut self.state {
            (*heard, *ping) = (now, None);
        }
    }

    /// Reads nothing for now, or reads again.
    pub(super) fn hold(&mut self, cx: &mut Context, is_held: bool) {
        if std::mem::replace(&mut self.is_held, is_held) == is_held {
            return;
        }
        let LinkState::Up { id, .. } = self.state else { return };
        if is_held {
            cx.pause(id);
        } else {
            cx.resume(id);
            self.heard(cx.now());
        }
    }

    // --- Down ---

    /// Gives the connection up and makes another one.
    pub(super) fn lose(&mut self, cx: &mut Context, why: impl Into<String>) {
        let Some(id) = self.token().filter(|_| self.listens()) else { return };
        self.state = LinkState::Ending { id, next: Next::Retry { why: why.into() } };
        cx.abort(id);
    }

    /// Ends the connection for good. What was sent still leaves.
    pub(super) fn finish(
        &mut self,
        cx: &mut Context,
        core: &mut ClientCore,
        code: Ending,
        detail: impl Into<String>,
    ) {
        let detail = detail.into();
        // Why there is no connection is told, also where nobody waits for another attempt.
        let lost = match &self.state {
            LinkState::Registering { until, .. }
                if code == Ending::Left
                    && until.since(core.now) + MIN_SILENCE <= REGISTRATION_TIMEOUT =>
            {
                Some(self.silence(core.now, *until))
            }
            LinkState::Ending { next: Next::Retry { why }, .. } => Some(why.clone()),
            _ => None,
        };
        if let Some(why) = lost {
            core.tell(Event::Progress(Progress::Lost { why }));
        }
        match self.state {
            LinkState::Over => {}
            LinkState::Idle | LinkState::Resting { .. } | LinkState::Resolving { .. } => {
                self.end(core, code, detail);
            }
            LinkState::Connecting { id, .. } | LinkState::Registering { id, .. }
                if code == Ending::Left =>
            {
                self.state = LinkState::Ending { id, next: Next::Over { code, detail } };
                cx.abort(id); // nothing that was sent has to arrive
            }
            LinkState::Connecting { id, .. }
            | LinkState::Registering { id, .. }
            | LinkState::Up { id, .. }
            | LinkState::Ending { id, .. } => {
                self.state = LinkState::Ending { id, next: Next::Over { code, detail } };
                cx.close(id);
            }
        }
    }

    /// Why a registration that was to end at `until` is given up.
    fn silence(&self, now: Time, until: Time) -> String {
        let waited = REGISTRATION_TIMEOUT.saturating_sub(until.since(now)).as_secs();
        format!(
            "the relay does not answer: {} took the connection {waited} s ago and has registered \
             nobody. It hangs, or it is another program: check the host and the port",
            self.relay
        )
    }

    fn end(&mut self, core: &mut ClientCore, code: Ending, detail: String) {
        self.state = LinkState::Over;
        core.tell_withheld_warnings();
        core.tell(Event::Closed { code, detail });
    }

    /// The connection is closed, or could not be made.
    pub(super) fn closed(&mut self, cx: &mut Context, core: &mut ClientCore, reason: CloseReason) {
        match std::mem::replace(&mut self.state, LinkState::Idle) {
            LinkState::Connecting { address, left, .. } => {
                let (address, why) = (address.to_string(), reason_for_people(reason));
                core.tell(Event::Progress(Progress::Unreachable { address, why }));
                self.try_next(cx, core, left);
            }
            LinkState::Ending { next: Next::Over { code, detail }, .. } => {
                self.end(core, code, detail);
            }
            LinkState::Ending { next: Next::Retry { why }, .. } => self.lost(core, why),
            LinkState::Registering { .. } | LinkState::Up { .. } => {
                self.lost(core, reason_for_people(reason));
            }
            unchanged @ (LinkState::Idle
            | LinkState::Resting { .. }
            | LinkState::Resolving { .. }
            | LinkState::Over) => {
                self.state = unchanged;
            }
        }
    }

    fn lost(&mut self, core: &mut ClientCore, why: String) {
        core.tell(Event::Progress(Progress::Lost { why }));
        self.rest(core);
    }

    /// A deadline that the loop watches has passed.
    pub(super) fn timed_out(&mut self, cx: &mut Context, timeout: Timeout) {
        match timeout {
            Timeout::Frame => self.lose(cx, "the relay began a frame and did not end it"),
            Timeout::Write => {
                let why = match self.state {
                    // With TLS nothing is taken before the relay has answered.
                    LinkState::Registering { until, .. } => self.silence(cx.now(), until),
                    _ => "the relay takes nothing".to_owned(),
                };
                self.lose(cx, why);
            }
            Timeout::Handshake => {}
        }
    }

    // --- Time ---

    /// Does what is due.
    pub(super) fn tick(&mut self, cx: &mut Context, core: &mut ClientCore) {
        if self.due().is_none_or(|due| core.now < due) {
            return;
        }
        match &mut self.state {
            LinkState::Resting { .. } => self.connect(cx, core),
            LinkState::Resolving { .. } => {
                self.found(cx, core, Err("no name server answers for this name".to_owned()));
            }
            LinkState::Connecting { id, .. } => cx.abort(*id), // `closed` tries the next
            &mut LinkState::Registering { until, .. } => {
                let why = self.silence(core.now, until);
                self.lose(cx, why);
            }
            LinkState::Up { ping: Some(_), .. } => {
                self.lose(cx, "the relay does not answer any more");
            }
            LinkState::Up { id, ping, .. } => {
                *ping = Some(core.now);
                cx.send(*id, &[&compose::ping(&core.number().to_string())]);
            }
            LinkState::Idle | LinkState::Ending { .. } | LinkState::Over => {}
        }
    }

    /// When [`tick`](Self::tick) has something to do.
    pub(super) fn due(&self) -> Option<Time> {
        match self.state {
            LinkState::Resting { until }
            | LinkState::Resolving { until }
            | LinkState::Connecting { until, .. }
            | LinkState::Registering { until, .. } => Some(until),
            LinkState::Up { .. } if self.is_held => None,
            LinkState::Up { ping: Some(asked), .. } => Some(asked + PONG_TIMEOUT),
            LinkState::Up { heard, .. } => Some(heard + PING_INTERVAL),
            LinkState::Idle | LinkState::Ending { .. } | LinkState::Over => None,
        }
    }
}

fn reason_for_people(reason: CloseReason) -> String {
    match reason {
        CloseReason::Closed => "the relay hung up".to_owned(),
        CloseReason::Aborted { .. } => "it took too long".to_owned(),
        CloseReason::Failed(errno) => errno.desc().to_lowercase(),
    }
}
