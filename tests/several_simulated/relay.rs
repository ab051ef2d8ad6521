//! One of the relays: a process that is killed, started again and stopped, and the disk that stays.

use std::net::SocketAddr;

use sealwax::cluster::engine::Settings;
use sealwax::reactor::{Config, Reactor, Sys, Time};
use sealwax::relay::cluster::{ClusterConfig, ClusterState, CopyLimits, EngineAt};
use sealwax::relay::event::Level;
use sealwax::relay::journal::{Format, Journal};
use sealwax::relay::sqlite::LetterLimits;
use sealwax::relay::{Relay, RelayConfig};

use crate::client::wall;
use crate::home::Home;
use crate::support::kernel::{Device, Kernel, Peer};
use crate::vault::FakeNotary;
use crate::world::ENGINE;

/// A relay of the cluster.
pub(crate) struct OneRelay {
    pub(crate) at: SocketAddr,
    home: Home,
    pub(crate) process: Option<Process>,
    /// Counts its runs.
    pub(crate) run: u64,
    /// It was stopped until then.
    pub(crate) resumed: Time,
    pub(crate) copy: CopyLimits,
}

/// One run of it.
pub(crate) struct Process {
    pub(crate) kernel: Kernel,
    pub(crate) reactor: Reactor<Kernel>,
    relay: Relay,
    /// It was stopped (`SIGSTOP`), and goes on then.
    pub(crate) stopped: Option<Time>,
    /// How many ticks there were.
    pub(crate) ticks: u64,
    log: Peer,
}

impl OneRelay {
    pub(crate) fn new(number: usize) -> Self {
        let port = 12345 + u16::try_from(number).expect("few relays");
        let at = SocketAddr::from(([127, 0, 0, 1], port));
        let (home, process, run, resumed) = (Home::default(), None, 0, Time::default());
        Self { at, home, process, run, resumed, copy: CopyLimits::default() }
    }

    pub(crate) fn start(&mut self, kernel: Kernel, seed: u64) {
        let notary = Box::new(FakeNotary::new([7; 32], seed));
        let journal = Journal::new(Format::Text { color: false }, Level::Normal);
        let (config, bound) = (RelayConfig::default(), self.home.bound());
        let store = self.home.store();
        let clock = kernel.clone();
        let wall = Box::new(move || wall(clock.clone().now(), 0));
        let mut relay = Relay::new(config, notary, store, bound, journal, wall);
        let clock = kernel.clone();
        relay.join(ClusterConfig {
            engine: vec![EngineAt::Address(ENGINE)],
            settings: Settings {
                user: None,
                password: None,
                database: 0,
                id: None,
                relay_key: "the-key".to_owned(),
                begins: Some("0123456789abcdef0123456789abcdef".to_owned()),
            },
            tls: None,
            boot_time: Box::new(move || clock.clone().now().since(Time::default())),
            copy: self.copy,
            letters: LetterLimits::default(),
            joined: Box::new(|_| {}),
        });
        let mut reactor = Reactor::new(kernel.clone(), &Config::default());
        let log = kernel.standard(2, Device::Pipe);
        relay.log_to(reactor.context().open(sealwax::reactor::ProcessFd::Stderr));
        relay.start(reactor.context(), &[self.at]);
        let mut process = Process { kernel, reactor, relay, stopped: None, ticks: 0, log };
        process.turn();
        self.process = Some(process);
        self.run += 1;
    }

    /// Its process ends at once, as with `kill -9`.
    pub(crate) fn kill(&mut self) {
        let Some(Process { kernel, reactor, log, .. }) = self.process.take() else { return };
        drop(reactor);
        kernel.exit();
        log.close();
    }

    /// It does nothing until then.
    pub(crate) fn stop(&mut self, until: Time) {
        if let Some(process) = &mut self.process {
            process.stopped = Some(until);
            self.resumed = until;
        }
    }

    /// What is seen of its cluster from there, while it runs.
    pub(crate) fn state(&self) -> Option<ClusterState> {
        self.process.as_ref()?.relay.cluster_state()
    }

    /// Whether connections to it are taken and answered.
    pub(crate) fn serves(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.stopped.is_none())
    }
}

impl Process {
    /// How many users of all relays it knows.
    pub(crate) fn users(&self) -> usize {
        self.relay.cluster_state().map_or(0, |state| state.users)
    }

    pub(crate) fn would_run(&self, now: Time) -> bool {
        let is_due = self.reactor.due().is_some_and(|due| due <= now);
        self.stopped.is_none() && (self.kernel.is_ready() || is_due)
    }

    /// When it wakes by itself.
    pub(crate) fn due(&self) -> Option<Time> {
        self.stopped.or_else(|| self.reactor.due())
    }

    pub(crate) fn turn(&mut self) {
        self.ticks += 1;
        let tick = self.reactor.tick(&mut self.relay, Some(std::time::Duration::ZERO));
        tick.expect("a wait is never refused");
    }

    /// The lines that it logged since this was last asked.
    pub(crate) fn log(&mut self) -> Vec<String> {
        let bytes = self.log.receive_all();
        String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()
    }

    /// The operator releases a name. Returns whether it was bound here.
    pub(crate) fn release(&mut self, name: &str) -> bool {
        let is_asked = self.relay.ask_release(name).is_ok();
        self.turn();
        is_asked
    }
}
