//! Several relays as processes, on a redis-server of their own.

use std::path::Path;

use super::process::{Process, Relay, text};
use super::redis::Redis;
use super::relay::Client;

/// Relays of one cluster.
pub struct Several {
    pub redis: Redis,
    pub relays: Vec<Relay>,
    directory: tempfile::TempDir,
}

impl Several {
    /// Starts an engine and so many relays, and waits until each has joined; `None`, after saying
    /// so, where there is no redis-server.
    pub fn start(count: usize) -> Option<Self> {
        let redis = Redis::start(&[])?;
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut several = Self { redis, relays: Vec::new(), directory };
        for number in 0..count {
            let relay = several.relay(number, "127.0.0.1:0", &[]);
            several.relays.push(relay);
        }
        Some(several)
    }

    /// Another relay of the cluster, with the home of this number.
    pub fn relay(&self, number: usize, listen: &str, options: &[&str]) -> Relay {
        let process = self.start_relay(number, listen, options);
        let relay = Relay::of(process);
        relay.process.talk_with("is one of its cluster");
        relay
    }

    /// The same without waiting for it.
    pub fn start_relay(&self, number: usize, listen: &str, options: &[&str]) -> Process {
        let engine = self.engine();
        let (home, key) = (self.path(&format!("relay-{number}")), self.path("keys/relay.key"));
        let mut arguments = vec!["serve", "--listen", listen, "--home", text(&home), "-vv"];
        arguments.extend(["--cluster", &engine, "--relay-key", text(&key)]);
        if number == 0 {
            arguments.push("--cluster-init");
        }
        arguments.extend(options);
        Process::start(&arguments)
    }

    /// The URL of the engine.
    pub fn engine(&self) -> String {
        format!("unix:{}", text(&self.redis.socket()))
    }

    pub fn path(&self, name: &str) -> std::path::PathBuf {
        Path::new(self.directory.path()).join(name)
    }

    /// A connection to the relay of this number.
    pub fn connect(&self, relay: usize) -> Client {
        Client::connect(self.address(relay))
    }

    /// An original client that is registered there, and wants no rosters.
    pub fn original(&self, relay: usize, name: &str) -> Client {
        Client::original(self.address(relay), name)
    }

    pub fn address(&self, relay: usize) -> std::net::SocketAddr {
        self.relays[relay].address.parse().expect("an address")
    }
}
