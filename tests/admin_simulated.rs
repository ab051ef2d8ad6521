//! Metrics and health on a kernel in memory: what is told of a store that does not answer, and how
//! long a page is served again.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use sealwax::admin::{MetricsAt, Service};
use sealwax::crypto::{RelayKey, RelayNotary};
use sealwax::reactor::{Config, Reactor, Waker};
use sealwax::relay::event::Level;
use sealwax::relay::journal::{Format, Journal};
use sealwax::relay::limits::STORE_PATIENCE;
use sealwax::relay::store::{Answer, Progress, QueueFull, Store};
use sealwax::relay::{Relay, RelayConfig};
use sealwax::wire::Fingerprint;
use support::kernel::{Kernel, Op};

/// A store that is asked and answers when the test wants it.
struct Stuck(Rc<Cell<Progress>>);

impl Store for Stuck {
    fn bind(&mut self, _: u64, _: &str, _: &Fingerprint, _: &str) -> Result<(), QueueFull> {
        Err(QueueFull)
    }

    fn next_answer(&mut self) -> Option<Answer> {
        None
    }

    fn progress(&self) -> Progress {
        self.0.get()
    }

    fn waker(&self) -> Option<Waker> {
        None
    }
}

struct Watched {
    kernel: Kernel,
    reactor: Reactor<Kernel>,
    service: Service,
    progress: Rc<Cell<Progress>>,
    metrics: SocketAddr,
}

impl Watched {
    fn start() -> Self {
        let kernel = Kernel::new();
        let progress = Rc::new(Cell::new(Progress::default()));
        let notary = Box::new(RelayNotary::new(RelayKey::generate().0));
        let journal = Journal::new(Format::Json, Level::Silent);
        let store = Box::new(Stuck(Rc::clone(&progress)));
        let config = RelayConfig::default();
        let relay = Relay::new(config, notary, store, Vec::new(), journal, Box::new(|| 0));
        let mut reactor = Reactor::new(kernel.clone(), &Config::default());
        let [at, metrics] = [1, 2].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let mut service = Service::new(relay);
        service.relay().start(reactor.context(), &[at]);
        service.watch(reactor.context(), None, Some(MetricsAt::Address(metrics)));
        let mut watched = Self { kernel, reactor, service, progress, metrics };
        watched.pass(Duration::from_secs(1));
        watched
    }

    fn settle(&mut self) {
        let mut idle = 0;
        while idle < 3 {
            self.kernel.calls();
            self.reactor.tick(&mut self.service, Some(Duration::ZERO)).unwrap();
            let calls = self.kernel.calls();
            let is_idle = calls.iter().all(|call| call.op == Op::Wait && call.outcome == Ok(0));
            idle = if is_idle { idle + 1 } else { 0 };
        }
    }

    fn pass(&mut self, time: Duration) {
        self.kernel.advance(time);
        self.settle();
    }

    fn get(&mut self, path: &str) -> String {
        let mut peer = self.kernel.dial(self.metrics);
        peer.send(format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes());
        self.settle();
        let answer = String::from_utf8(peer.receive_all()).unwrap();
        peer.close();
        self.settle();
        answer
    }
}

#[test]
fn a_store_that_does_not_answer_is_told_until_it_does() {
    let mut watched = Watched::start();
    for path in ["/healthz", "/readyz"] {
        assert!(watched.get(path).starts_with("HTTP/1.1 200 "), "{path}");
    }
    watched.progress.set(Progress { asked: 2, done: 1 });
    watched.settle();
    watched.pass(STORE_PATIENCE);
    assert!(watched.get("/healthz").starts_with("HTTP/1.1 200 "));
    watched.pass(Duration::from_secs(1));
    for path in ["/healthz", "/readyz"] {
        let answer = watched.get(path);
        assert!(answer.starts_with("HTTP/1.1 503 "), "{path}: {answer}");
        assert!(answer.contains("the store has not answered for 6 s"), "{answer}");
    }
    watched.progress.set(Progress { asked: 3, done: 2 }); // it is slow, and goes on
    assert!(watched.get("/metrics").contains("200 OK"));
    assert!(watched.get("/healthz").starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_page_is_made_anew_only_after_a_while_and_an_idle_relay_is_healthy() {
    let mut watched = Watched::start();
    let ticks = |page: &str| {
        let line = page.lines().find(|line| line.starts_with("sealwax_tick_seconds_count"));
        line.unwrap().to_owned()
    };
    let first = ticks(&watched.get("/metrics"));
    assert_eq!(ticks(&watched.get("/metrics")), first);
    watched.pass(Duration::from_hours(1));
    assert_ne!(ticks(&watched.get("/metrics")), first);
    // Nothing happened for a while, and no tick either: that is no silence of the store.
    let mut peer = watched.kernel.dial(watched.metrics);
    watched.settle();
    watched.kernel.advance(STORE_PATIENCE + Duration::from_secs(1));
    peer.send(b"GET /healthz HTTP/1.1\r\n\r\n");
    watched.settle();
    assert!(peer.receive_all().starts_with(b"HTTP/1.1 200 "));
}
