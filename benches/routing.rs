//! What it costs the relay to pass a frame on: find it, check it, look its addressee up, copy it
//! into the queue.
//!
//! No system call is in it: the kernel is in memory, and writing the queue out is not timed.
#![expect(clippy::expect_used, reason = "a bench has nobody to tell")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sealwax::crypto::{RelayKey, RelayNotary};
use sealwax::reactor::{Config, Handler, Io, Opened, Reactor, Sys, Token};
use sealwax::relay::event::Level;
use sealwax::relay::journal::{Format, Journal};
use sealwax::relay::store::MemoryStore;
use sealwax::relay::{Relay, RelayConfig};
use serde_json::json;
use support::kernel::Kernel;
use support::relay::PEM;

/// The frame that the original's authors published, captured on its wire.
const CAPTURED: &str = include_str!("../tests/data/captured-message.json");
/// Frames shown at once: about what one read brings in a flood.
const AT_ONCE: usize = 500;

/// A relay with two registered users, and the other end of their connections.
struct Bench {
    reactor: Reactor<Kernel>,
    relay: Relay,
    outside: Kernel,
}

impl Bench {
    fn new() -> Self {
        let kernel = Kernel::new();
        kernel.set_buffer(1 << 20);
        let notary = Box::new(RelayNotary::new(RelayKey::generate().0));
        let journal = Journal::new(Format::Json, Level::Normal);
        let store = Box::new(MemoryStore::default());
        let config = RelayConfig::default();
        let relay = Relay::new(config, notary, store, Vec::new(), journal, Box::new(|| 0));
        let reactor = Reactor::new(kernel.clone(), &Config::default());
        Self { reactor, relay, outside: kernel.process() }
    }

    /// A registered user. Its connection is one that the reactor made, for then it tells its token.
    fn user(&mut self, name: &str) -> (Token, Io) {
        let at = SocketAddr::from(([127, 0, 0, 1], 0));
        let (listener, at) = self.outside.listen(at).expect("a free port");
        let id = self.reactor.context().connect(at);
        self.tick();
        self.tick();
        let (io, peer) = self.outside.accept(listener).expect("a newcomer");
        let how = Opened::Accepted { listener: id, peer };
        self.relay.opened(self.reactor.context(), id, how);
        let frame = json!({"action": "register", "name": name, "pubkey": PEM, "roster": "none"});
        self.relay.received(self.reactor.context(), id, frame.to_string().as_bytes());
        (id, io)
    }

    fn tick(&mut self) {
        self.reactor.tick(&mut self.relay, Some(Duration::ZERO)).expect("the kernel waits");
    }
}

fn routing(criterion: &mut Criterion) {
    let mut bench = Bench::new();
    let (sender, _io) = bench.user("JG");
    let (_, addressee) = bench.user("yidir");
    let frames = CAPTURED.repeat(AT_ONCE);
    let mut sink = vec![0; 2 * frames.len()];
    let mut group = criterion.benchmark_group("routing");
    group.throughput(Throughput::Elements(AT_ONCE as u64));
    group.bench_function("500 captured frames", |bencher| {
        bencher.iter_custom(|rounds| {
            let mut spent = Duration::ZERO;
            for _ in 0..rounds {
                let begun = Instant::now();
                let context = bench.reactor.context();
                let consumed = bench.relay.received(context, sender, black_box(frames.as_bytes()));
                spent += begun.elapsed();
                assert_eq!(consumed, frames.len());
                bench.tick();
                let read = bench.outside.read(addressee, &mut sink).expect("they were written");
                assert_eq!(read, frames.len() + AT_ONCE, "each with its line end");
            }
            spent
        });
    });
    group.finish();
}

criterion_group!(benches, routing);
criterion_main!(benches);
