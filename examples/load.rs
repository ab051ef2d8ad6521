//! The load generator measures a server other than the relay: the chat of `examples/chat.rs`.
//!
//!     cargo run --release --example chat &
//!     cargo run --release --example load -- 127.0.0.1:7008
//!
//! For that, only the protocol of the server has to be written: [`Protocol`]. The generator checks
//! that each message arrives whole, once, at the user whom it names, and in order.

use std::net::SocketAddr;
use std::time::Duration;

use sealwax::load::{Extent, Generator, Parsed, Payload, Plan, Protocol, Stage, Stats, Work};
use sealwax::reactor::{Linux, Reactor};

fn main() -> nix::Result<()> {
    let target = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let Some(target) = target else {
        eprintln!("usage: load HOST:PORT, where the chat of examples/chat.rs listens");
        std::process::exit(2);
    };
    let stats = measure(target, Extent::Time(Duration::from_secs(3)))?;
    let seconds = stats.window().as_secs_f64();
    println!("{} round trips in {seconds:.2} s", stats.finished);
    let quantile = |of| Duration::from_nanos(stats.latency.value_at_quantile(of));
    println!("latency, p50: {:?}, p99: {:?}", quantile(0.5), quantile(0.99));
    println!("went wrong: {}", stats.faults.total());
    Ok(())
}

/// Ten pairs of users write to each other.
pub(crate) fn measure(target: SocketAddr, extent: Extent) -> nix::Result<Stats> {
    let plan = Plan {
        targets: vec![target],
        crossing: 0,
        work: Work::PingPong,
        workers: 10,
        idle: 0,
        rate: None,
        warm_up: Duration::ZERO,
        extent,
        connecting: 10,
        ramp: Duration::ZERO,
        timeout: Duration::from_secs(10),
    };
    let Some(payload) = Payload::new(100, false, 0) else { unreachable!("100 bytes are enough") };
    let chat = ChatUsers(payload.clone());
    let mut generator = Generator::new(plan, Box::new(chat), payload);
    let mut reactor = Reactor::new(Linux::new()?, &generator.waits());
    generator.start(reactor.context());
    while generator.stage() != Stage::Done {
        reactor.tick(&mut generator, Some(Duration::from_millis(1)))?;
    }
    Ok(generator.stats().clone())
}

/// The protocol of the chat: the lines that a user sends and receives.
struct ChatUsers(Payload);

impl Protocol for ChatUsers {
    fn greeting(&self, user: u32) -> Vec<u8> {
        format!("{}\n", self.0.name(user)).into_bytes()
    }

    fn parse<'a>(&self, _user: u32, bytes: &'a [u8]) -> (usize, Parsed<'a>) {
        let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
            return (0, Parsed::Nothing);
        };
        let line = &bytes[..end];
        let parsed = if line.starts_with(b"* welcome") {
            Parsed::Welcome
        } else if line.starts_with(b"* there is nobody") {
            Parsed::Refused("nobody")
        } else if line.starts_with(b"* ") {
            Parsed::Noise
        } else {
            let text = line.splitn(2, |&byte| byte == b' ').nth(1).unwrap_or_default();
            Parsed::Message(text)
        };
        (end + 1, parsed)
    }

    fn parts<'a>(&'a self, message: &'a [u8]) -> [&'a [u8]; 5] {
        [b"@", self.0.addressee(message), b" ", message, b"\n"]
    }
}
