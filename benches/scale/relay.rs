//! A relay of the cluster that is measured: a process, with metrics that the bench reads.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::engine::{Server, cpu, resident};
use crate::support::process::{Process, text};

/// What the bench waits for comes within this time, or never.
pub(crate) const PATIENCE: Duration = Duration::from_mins(3);

/// Relays of one cluster, and what they share.
pub(crate) struct Relays {
    directory: TempDir,
    pub(crate) all: Vec<Relay>,
}

pub(crate) struct Relay {
    process: Process,
    pub(crate) address: SocketAddr,
    metrics: PathBuf,
    /// The longest tick that the metrics have had.
    longest: f64,
}

impl Relays {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory"), all: Vec::new() }
    }

    /// Starts one more, which is waited for.
    pub(crate) fn start(&mut self, server: &Server) {
        let mut relay = self.begin(server);
        relay.wait_for("sealwax_cluster_joined", 1.0);
        self.all.push(relay);
    }

    /// Starts one more.
    pub(crate) fn begin(&self, server: &Server) -> Relay {
        let number = self.all.len();
        let path = |name: &str| self.directory.path().join(name);
        let (home, key) = (path(&format!("relay-{number}")), path("keys/relay.key"));
        let metrics = path(&format!("metrics-{number}"));
        let engine = format!("redis://{}", server.address);
        let mut arguments = vec!["serve", "--listen", "127.0.0.1:0", "-q"];
        arguments.extend(["--home", text(&home), "--metrics", text(&metrics)]);
        arguments.extend(["--cluster", &engine, "--relay-key", text(&key), "--cluster-init"]);
        let process = Process::start(&arguments);
        let line = process.talk_with("listening on 127.0.0.1");
        let address = line.rsplit(' ').next().and_then(|it| it.parse().ok()).expect("an address");
        Relay { process, address, metrics, longest: 0.0 }
    }
}

impl Relay {
    pub(crate) fn cpu(&self) -> Duration {
        cpu(self.process.pid())
    }

    pub(crate) fn resident(&self) -> u64 {
        resident(self.process.pid())
    }

    /// Waits until a metric has this value.
    pub(crate) fn wait_for(&mut self, name: &str, value: f64) {
        let begun = Instant::now();
        while (self.metric(name) - value).abs() > 0.1 {
            assert!(begun.elapsed() < PATIENCE, "{name} is not {value}: {}", self.metric(name));
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The longest tick since it was asked for last, in milliseconds, as far as the metrics were
    /// read often enough.
    pub(crate) fn longest_tick(&mut self) -> f64 {
        self.metric("sealwax_longest_tick_seconds");
        std::mem::take(&mut self.longest) * 1000.0
    }

    fn metric(&mut self, name: &str) -> f64 {
        let page = page(&self.metrics);
        let value = |name: &str| {
            let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|value| value.parse().ok()).unwrap_or_default()
        };
        self.longest = self.longest.max(value("sealwax_longest_tick_seconds"));
        value(name)
    }
}

fn page(path: &Path) -> String {
    let mut stream = UnixStream::connect(path).expect("it listens");
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .expect("read");
    let mut page = String::new();
    stream.read_to_string(&mut page).expect("a page");
    page
}
