//! What a full TLS 1.3 handshake costs the processor, without sockets: the two engines of a relay
//! and of a client are handed each other's bytes. What `sealwax load connect --tls` shows of a
//! relay beside that is the loop, the kernel and the registration.
//!
//! Time is that of this thread on the processor, so what else the machine does is not in it.
#![expect(clippy::expect_used, reason = "a bench has nobody to tell")]

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use nix::time::{ClockId, clock_gettime};
use sealwax::reactor::Transform;
use sealwax::tls::{ClientTls, Engines, ServerTls};

type Engine = Box<dyn Transform>;

/// Time that this thread has spent on the processor.
fn spent() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("this thread's clock").into()
}

/// Hands `wire` to `engine`; what it has to say to that.
fn answer(engine: &mut Engine, mut wire: &[u8]) -> Vec<u8> {
    while !wire.is_empty() {
        let step = engine.open(wire, &mut []).expect("the other engine's words");
        wire = &wire[step.taken..];
    }
    let mut said = Vec::new();
    engine.seal(&[], &mut said);
    said
}

/// One handshake; how long the relay's end and the client's took.
fn handshake(server: &ServerTls, client: &ClientTls) -> [Duration; 2] {
    let begun = spent();
    let mut theirs = client.engine().expect("an engine");
    let hello = answer(&mut theirs, &[]);
    let greeted = spent();
    let mut ours = server.engine().expect("an engine");
    let flight = answer(&mut ours, &hello);
    let answered = spent();
    let finished = answer(&mut theirs, &flight);
    let proven = spent();
    answer(&mut ours, &finished);
    let agreed = spent();
    assert!(ours.binding().is_some() && ours.binding() == theirs.binding());
    let between = |from, to: Duration| to.saturating_sub(from);
    let relay = between(greeted, answered) + between(proven, agreed);
    [relay, between(begun, greeted) + between(answered, proven)]
}

fn handshakes(c: &mut Criterion) {
    let server = ServerTls::self_signed().expect("a certificate");
    let client = ClientTls::bound().expect("it is built in");
    let mut group = c.benchmark_group("handshake");
    for (end, name) in ["the relay's end", "the client's end"].into_iter().enumerate() {
        group.bench_function(name, |b| {
            b.iter_custom(|times| (0..times).map(|_| handshake(&server, &client)[end]).sum());
        });
    }
}

criterion_group!(benches, handshakes);
criterion_main!(benches);
