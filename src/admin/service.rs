//! The relay and whoever looks at it, on one loop: each call goes to the one whose source it is.

use std::net::SocketAddr;

use nix::errno::Errno;

use super::console::{CONSOLE, Console};
use super::metrics::Metrics;
use super::vitals::Vitals;
use crate::reactor::{
    CloseReason, Context, Garbled, Handler, Opened, ProcessFd, Signal, Timeout, Timer, Token,
    UnixSocket, is_of_our_user, peer_user,
};
use crate::relay::Relay;
use crate::relay::event::Event;

/// The relay, and the sockets through which it is looked at.
pub struct Service {
    relay: Relay,
    watchers: Option<Watchers>,
    /// Why the metrics cannot be served.
    failure: Option<Errno>,
}

struct Watchers {
    console: Option<Console>,
    metrics: Option<Metrics>,
    vitals: Vitals,
}

/// Where metrics are served.
#[derive(Clone, Debug)]
pub enum MetricsAt {
    /// At an address of the network; port 0: any free one.
    Address(SocketAddr),
    /// At a socket that listens already.
    Socket(UnixSocket),
}

impl Service {
    /// Only the relay, until somebody may look at it.
    pub const fn new(relay: Relay) -> Self {
        Self { relay, watchers: None, failure: None }
    }

    /// The relay.
    pub const fn relay(&mut self) -> &mut Relay {
        &mut self.relay
    }

    /// Why metrics cannot be served, where the loop was stopped because of that.
    pub const fn failure(&self) -> Option<Errno> {
        self.failure
    }

    /// From now on the relay can be looked at through these sockets.
    pub fn watch(
        &mut self,
        cx: &mut Context,
        admin: Option<UnixSocket>,
        metrics: Option<MetricsAt>,
    ) {
        let admin = admin.map(|socket| cx.open(ProcessFd::Listener(socket)));
        let metrics = metrics.map(|at| match at {
            MetricsAt::Address(at) => Metrics::at_address(cx.listen(at), at.port() == 0),
            MetricsAt::Socket(socket) => Metrics::private(cx.open(ProcessFd::Listener(socket))),
        });
        self.watch_at(cx, admin, metrics);
    }

    fn watch_at(&mut self, cx: &mut Context, admin: Option<Token>, metrics: Option<Metrics>) {
        if admin.is_none() && metrics.is_none() {
            return;
        }
        let console = admin.map(|listener| Console::new(&mut self.relay, listener));
        let vitals =
            Vitals { meter: cx.measure(), started: cx.now(), started_wall: self.relay.wall() };
        self.watchers = Some(Watchers { console, metrics, vitals });
    }

    /// The admin socket, if `id` is one of its sources.
    fn console(&mut self, id: Token) -> Option<(&mut Console, &mut Relay, &Vitals)> {
        let watchers = self.watchers.as_mut()?;
        let console = watchers.console.as_mut().filter(|it| it.owns(id))?;
        Some((console, &mut self.relay, &watchers.vitals))
    }

    /// The metrics, if `id` is one of their sources.
    fn metrics(&mut self, id: Token) -> Option<(&mut Metrics, &mut Relay, &Vitals)> {
        let watchers = self.watchers.as_mut()?;
        let metrics = watchers.metrics.as_mut().filter(|it| it.owns(id))?;
        Some((metrics, &mut self.relay, &watchers.vitals))
    }

    /// Whether the connection `id` to this listener may stay: at a unix socket, only one of the
    /// relay's user and of root may.
    fn lets_in(&mut self, cx: &Context, id: Token, listener: Token) -> bool {
        let socket = if self.console(listener).is_some() {
            "admin"
        } else if self.metrics(listener).is_some_and(|(metrics, ..)| metrics.is_private()) {
            "metrics"
        } else {
            return true;
        };
        let user = cx.io(id).and_then(peer_user);
        if !is_of_our_user(user) {
            self.relay.tell(&Event::NotLetIn { user, socket });
            return false;
        }
        true
    }

    /// Whether `id` was accepted from a listener of ours.
    fn is_watcher(&mut self, id: Token) -> bool {
        self.console(id).is_some() || self.metrics(id).is_some()
    }
}

impl Handler for Service {
    fn opened(&mut self, cx: &mut Context, id: Token, how: Opened) {
        let listener = if let Opened::Accepted { listener, .. } = how { listener } else { id };
        if matches!(how, Opened::Accepted { .. }) && !self.lets_in(cx, id, listener) {
            cx.abort(id);
        } else if let Some((console, ..)) = self.console(listener) {
            console.opened(cx, id, how);
        } else if let Some((metrics, relay, _)) = self.metrics(listener) {
            metrics.opened(cx, relay, id, how);
        } else {
            self.relay.opened(cx, id, how);
        }
    }

    fn received(&mut self, cx: &mut Context, from: Token, bytes: &[u8]) -> usize {
        if let Some((console, relay, vitals)) = self.console(from) {
            console.received(cx, relay, vitals, from, bytes)
        } else if let Some((metrics, relay, vitals)) = self.metrics(from) {
            metrics.received(cx, relay, vitals, from, bytes)
        } else {
            self.relay.received(cx, from, bytes)
        }
    }

    fn ended(&mut self, cx: &mut Context, from: Token, rest: &[u8]) {
        if let Some((console, ..)) = self.console(from) {
            console.ended(cx, from);
        } else if self.is_watcher(from) {
            cx.close(from);
        } else {
            self.relay.ended(cx, from, rest);
        }
    }

    fn garbled(&mut self, cx: &mut Context, from: Token, why: Garbled) {
        self.relay.garbled(cx, from, why);
    }

    fn drained(&mut self, cx: &mut Context, to: Token) {
        if !self.is_watcher(to) {
            self.relay.drained(cx, to); // the console looks at its queues at the end of each tick
        }
    }

    fn timed_out(&mut self, cx: &mut Context, id: Token, timeout: Timeout) {
        if self.is_watcher(id) {
            cx.abort(id); // it asked nothing, or took nothing: its place is for others
        } else {
            self.relay.timed_out(cx, id, timeout);
        }
    }

    fn timer(&mut self, cx: &mut Context, timer: Timer) {
        if timer != CONSOLE {
            return self.relay.timer(cx, timer);
        }
        if let Some(console) = self.watchers.as_mut().and_then(|it| it.console.as_mut()) {
            console.timer(cx);
        }
    }

    fn exhausted(&mut self, cx: &mut Context, listener: Token, errno: Errno) {
        if !self.is_watcher(listener) {
            self.relay.exhausted(cx, listener, errno);
        }
    }

    fn signal(&mut self, cx: &mut Context, signal: Signal) {
        self.relay.signal(cx, signal);
    }

    fn closed(&mut self, cx: &mut Context, id: Token, reason: CloseReason) {
        if let Some((console, relay, _)) = self.console(id) {
            return console.closed(relay, id);
        }
        let Some((metrics, ..)) = self.metrics(id) else {
            return self.relay.closed(cx, id, reason);
        };
        metrics.closed(id);
        if metrics.is_listener(id)
            && let CloseReason::Failed(errno) = reason
        {
            self.failure = Some(errno);
            cx.stop();
        }
    }

    fn end_of_tick(&mut self, cx: &mut Context) {
        self.relay.end_of_tick(cx);
        let Some(watchers) = &mut self.watchers else { return };
        self.relay.watch_store(cx.now());
        if let Some(console) = &mut watchers.console {
            console.end_of_tick(cx, &self.relay);
        }
    }

    fn name(&self, id: Token) -> Option<String> {
        let watchers = self.watchers.as_ref();
        let is_admin = watchers.is_some_and(|it| it.console.as_ref().is_some_and(|it| it.owns(id)));
        if is_admin { Some("admin".to_owned()) } else { self.relay.name(id) }
    }
}
