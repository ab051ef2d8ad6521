//! The engine in memory as a process of a simulated machine: the model's server on a loop of its
//! own, at an address. A relay connects to it as to any other.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use sealwax::reactor::{
    CloseReason, Config, Context, Handler, Opened, Reactor, Time, Timeout, Timer, Token,
};

use super::kernel::Kernel;
use super::model::server::ModelServer;

/// Rings when the server has something to do.
const DUE: Timer = Timer(0);
/// An engine waits for its clients for as long as they like.
const FOR_EVER: Duration = Duration::from_hours(24 * 365);

/// The engine's process.
pub struct EngineProcess {
    pub kernel: Kernel,
    pub reactor: Reactor<Kernel>,
    pub host: Host,
    /// Something was changed from outside: its loop has to look.
    is_nudged: bool,
}

/// The handler: the server, and which source each of its connections is.
pub struct Host {
    server: ModelServer,
    at: SocketAddr,
    listener: Option<Token>,
    /// Whether somebody is to listen.
    is_open: bool,
    connections: BTreeMap<u64, Token>,
    /// How many connections there were.
    count: u64,
}

impl EngineProcess {
    /// A process of its own, to listen at `at` from its first turn on.
    pub fn start(kernel: Kernel, at: SocketAddr) -> Self {
        let config =
            Config { frame_timeout: FOR_EVER, write_timeout: FOR_EVER, ..Config::default() };
        let reactor = Reactor::new(kernel.clone(), &config);
        let host = Host {
            server: ModelServer::default(),
            at,
            listener: None,
            is_open: true,
            connections: BTreeMap::new(),
            count: 0,
        };
        Self { kernel, reactor, host, is_nudged: true }
    }

    /// The server as it is.
    pub const fn server(&self) -> &ModelServer {
        &self.host.server
    }

    /// The server, to have something go wrong.
    pub fn server_mut(&mut self) -> &mut ModelServer {
        self.is_nudged = true;
        &mut self.host.server
    }

    /// Whether it listens; who connects while it does not is refused by the kernel.
    pub fn listen(&mut self, is_open: bool) {
        self.host.is_open = is_open;
        self.is_nudged = true;
    }

    /// Whether it would not sleep. One that is stopped is not to be turned: what comes meanwhile
    /// waits in the kernel.
    pub fn would_run(&self, now: Time) -> bool {
        let is_due = self.reactor.due().is_some_and(|due| due <= now);
        !self.server().is_stopped() && (self.is_nudged || is_due || self.kernel.is_ready())
    }

    /// When it wakes by itself.
    pub fn due(&self) -> Option<Time> {
        self.reactor.due().filter(|_| !self.server().is_stopped())
    }

    /// One tick of its loop.
    pub fn turn(&mut self) {
        self.is_nudged = false;
        self.reactor.tick(&mut self.host, Some(Duration::ZERO)).expect("a wait is never refused");
    }
}

impl Host {
    fn number(&self, id: Token) -> Option<u64> {
        self.connections.iter().find(|(_, token)| **token == id).map(|(number, _)| *number)
    }

    fn listen(&mut self, cx: &mut Context) {
        match self.listener {
            None if self.is_open => self.listener = Some(cx.listen(self.at)),
            Some(listener) if !self.is_open => {
                cx.abort(listener);
                self.listener = None;
            }
            _ => {}
        }
    }
}

impl Handler for Host {
    fn opened(&mut self, _cx: &mut Context, id: Token, how: Opened) {
        if let Opened::Accepted { .. } = how {
            self.count += 1;
            self.connections.insert(self.count, id);
            self.server.connected(self.count);
        }
    }

    fn received(&mut self, cx: &mut Context, from: Token, bytes: &[u8]) -> usize {
        self.server.advance(cx.now().since(Time::default()));
        if let Some(number) = self.number(from) {
            self.server.received(number, bytes);
        }
        bytes.len()
    }

    fn ended(&mut self, cx: &mut Context, from: Token, _rest: &[u8]) {
        cx.close(from);
    }

    fn timed_out(&mut self, _cx: &mut Context, _id: Token, _timeout: Timeout) {}

    fn closed(&mut self, _cx: &mut Context, id: Token, _reason: CloseReason) {
        if let Some(number) = self.number(id) {
            self.connections.remove(&number);
            self.server.closed(number);
        }
    }

    fn end_of_tick(&mut self, cx: &mut Context) {
        self.listen(cx);
        self.server.advance(cx.now().since(Time::default()));
        for (&number, &token) in &self.connections {
            let output = self.server.take_output(number);
            if !output.is_empty() {
                cx.send(token, &[&output]);
            }
            if self.server.is_over(number) {
                cx.close(token);
            }
        }
        let due = self.server.due().map(|due| Time::default() + due);
        cx.set_timer(DUE, due);
    }
}
