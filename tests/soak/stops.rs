//! The relay stands still, or is killed and comes back, while users talk.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::crowd::{Crowd, is_whole};
use crate::gauge::{Gauge, until};
use crate::support::process::{Homes, Process, Relay, text};
use crate::{alone, figure, milliseconds, scaled};

/// How long the relay stands still each time.
const STILL: Duration = Duration::from_millis(200);

#[test]
fn a_relay_that_is_stopped_and_continued_loses_nothing() {
    let _alone = alone();
    let relay = Relay::start(&["--ephemeral", "-q"]);
    let gauge = Gauge::of(&relay.process);
    let flood = Crowd::flood(&relay.address, 0, 20, 64);
    let pairs = Crowd::pairs(&relay.address, 1000, 20, Some(50.0));
    let stops = scaled(3, 50);
    for _ in 0..stops {
        flood.goes_on(1000);
        relay.process.signal(Signal::SIGSTOP);
        until(|| gauge.is_stopped(), || "it does not stop".to_owned());
        thread::sleep(STILL);
        relay.process.signal(Signal::SIGCONT);
        pairs.goes_on(10);
    }
    figure("stopped and continued", format!("{stops} times, {} each", milliseconds(STILL)));
    is_whole(&flood.finish(), "a flood of 20 pairs");
    is_whole(&pairs.finish(), "20 pairs beside it");
}

/// The relay of one home at one address, however often it is killed.
struct Immortal {
    relay: Option<Process>,
    address: String,
    home: String,
}

impl Immortal {
    fn start(homes: &Homes) -> Self {
        let home = text(&homes.path("relay")).to_owned();
        let Relay { process, address, .. } = Relay::start(&["--home", &home, "-q"]);
        Self { relay: Some(process), address, home }
    }

    fn kill(&mut self) {
        let relay = self.relay.take().expect("it runs");
        relay.signal(Signal::SIGKILL);
        assert_eq!(relay.end().code, None, "a signal has no code");
        let arguments = ["serve", "--listen", &self.address, "--home", &self.home];
        let relay = self.relay.insert(Process::start(&arguments));
        relay.talk_with("listening");
    }
}

#[test]
fn a_relay_that_is_killed_and_restarted_under_load_loses_nothing_and_repeats_nothing() {
    let _alone = alone();
    let (kills, between) = (scaled(2, 30), scaled(200, 2_000));
    let count = (kills + 1) * between;
    let homes = Homes::new();
    let mut relay = Immortal::start(&homes);
    let (number, wait) = (count.to_string(), "120");
    let recv = ["recv", "--json", "-q", "-n", &number, "--wait", wait];
    let bob = homes.client("bob", &relay.address, &recv);
    bob.event("registered");
    let send = ["send", "bob", "--json", "-q", "--wait", wait];
    let mut alice = homes.client("alice", &relay.address, &send);
    let mut input = alice.input();
    let writer = thread::spawn(move || {
        (0..count).try_for_each(|number| writeln!(input, "{number}")).expect("it reads on");
    });
    let (begun, mut longest) = (Instant::now(), Duration::ZERO);
    for number in 0..count {
        let asked = Instant::now();
        assert_eq!(bob.event("message")["text"], number.to_string(), "once, in order");
        longest = longest.max(asked.elapsed());
        if number % between == between / 2 && number / between < kills {
            relay.kill();
        }
    }
    let took = begun.elapsed();
    writer.join().expect("all was written");
    let delivered = (0..count).map(|_| alice.event("delivered")["id"].to_string());
    let delivered: std::collections::BTreeSet<_> = delivered.collect();
    assert_eq!(delivered.len(), count, "each is confirmed");
    alice.end().with_code(0);
    let left = bob.end().with_code(0);
    let shown = left.stdout.iter().filter(|line| line.contains(r#""event":"message""#)).count();
    assert_eq!(shown, 0, "nothing beyond what was sent");
    figure("killed and restarted", format!("{kills} times in {}", milliseconds(took)));
    figure("messages, each shown and confirmed once", count);
    figure("the longest wait for one, with the restart", milliseconds(longest));
}
