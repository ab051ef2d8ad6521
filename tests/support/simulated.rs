//! A relay on a kernel in memory, where a test decides when time passes and what a reader takes.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use sealwax::crypto::{RelayKey, RelayNotary};
use sealwax::reactor::{Config, ProcessFd, Reactor};
use sealwax::relay::event::Level;
use sealwax::relay::inline_store::InlineStore;
use sealwax::relay::journal::{Format, Journal};
use sealwax::relay::store::{MemoryStore, Store};
use sealwax::relay::{Relay, RelayConfig};
use sealwax::wire::RosterMode;
use serde_json::{Value, json};

use super::kernel::{Device, Kernel, Op, Peer};
use super::relay::{Account, register};

pub struct Simulated {
    pub kernel: Kernel,
    pub reactor: Reactor<Kernel>,
    pub relay: Relay,
    pub at: SocketAddr,
    /// What the relay logs, at its most talkative.
    pub log: Peer,
}

impl Simulated {
    pub fn start(config: RelayConfig) -> Self {
        Self::with(config, &Config::default())
    }

    pub fn with(config: RelayConfig, reactor: &Config) -> Self {
        Self::over(config, reactor, Box::new(MemoryStore::default()))
    }

    /// A relay that keeps letters; their clock stands still at `now`, milliseconds since 1970.
    pub fn with_letters(config: RelayConfig, now: u64) -> Self {
        let store = InlineStore::new(Box::new(move || now)).unwrap();
        Self::over(config, &Config::default(), Box::new(store))
    }

    pub fn over(config: RelayConfig, reactor: &Config, store: Box<dyn Store>) -> Self {
        let kernel = Kernel::new();
        let notary = Box::new(RelayNotary::new(RelayKey::generate().0));
        let journal = Journal::new(Format::Json, Level::Debug);
        let mut relay = Relay::new(config, notary, store, Vec::new(), journal, Box::new(|| 0));
        let mut reactor = Reactor::new(kernel.clone(), reactor);
        let at = SocketAddr::from(([127, 0, 0, 1], 12345));
        let log = kernel.standard(2, Device::Pipe);
        relay.log_to(reactor.context().open(ProcessFd::Stderr));
        relay.start(reactor.context(), &[at]);
        let mut simulated = Self { kernel, reactor, relay, at, log };
        simulated.settle();
        simulated.pass(Duration::from_secs(1)); // a clock that has run for a while
        simulated
    }

    /// Lets the loop turn until there is nothing to do at this time. What is due is told in the
    /// second tick (the kernel is asked first), and what comes of it may be seen in the third.
    pub fn settle(&mut self) {
        let mut idle = 0;
        while idle < 3 {
            self.kernel.calls();
            self.reactor.tick(&mut self.relay, Some(Duration::ZERO)).unwrap();
            let calls = self.kernel.calls();
            let is_idle = calls.iter().all(|call| call.op == Op::Wait && call.outcome == Ok(0));
            idle = if is_idle { idle + 1 } else { 0 };
        }
    }

    pub fn pass(&mut self, time: Duration) {
        self.kernel.advance(time);
        self.settle();
    }

    /// Lets the loop run until the relay stops it; tells how long that took.
    pub fn run(&mut self) -> Duration {
        let begun = self.reactor.context().now();
        self.reactor.run(&mut self.relay).unwrap();
        self.reactor.context().now().since(begun)
    }

    pub fn dial(&mut self) -> Peer {
        let peer = self.kernel.dial(self.at);
        self.settle();
        peer
    }

    /// An original client that is registered, and wants such rosters.
    pub fn join(&mut self, name: &str, roster: &str) -> Peer {
        let mut peer = self.dial();
        say(&mut peer, &register(name, roster));
        self.settle();
        peer
    }

    /// A client of version 2 that is registered, and wants no rosters.
    pub fn enter(&mut self, account: &Account) -> Peer {
        let mut peer = self.dial();
        say(&mut peer, &account.claim(RosterMode::None));
        self.settle();
        let challenge = String::from_utf8(peer.receive_all()).unwrap();
        say(&mut peer, &account.prove(challenge.trim_end()));
        self.settle();
        assert_eq!(actions(&hear(&mut peer)), ["registered"]);
        peer
    }

    pub fn leave(&mut self, peer: Peer) {
        peer.close();
        self.settle();
    }

    /// What the relay has logged, and how many lines it did not.
    pub fn log_lines(&mut self) -> (Vec<Value>, u64) {
        let mut text = Vec::new();
        loop {
            let more = self.log.receive_all();
            if more.is_empty() {
                break;
            }
            text.extend(more);
            self.settle();
        }
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let lost = lines.iter().filter_map(|line| line["lines"].as_u64()).sum();
        (lines, lost)
    }

    /// What `SIGHUP` tells of what was counted.
    pub fn counters(&mut self) -> BTreeMap<String, u64> {
        self.log_lines();
        self.kernel.signal(u8::try_from(libc::SIGHUP).unwrap());
        self.settle();
        let (lines, _) = self.log_lines();
        let told = lines.iter().find(|line| line["event"] == "counters").expect("it tells them");
        serde_json::from_value(told["counters"].clone()).unwrap()
    }
}

pub fn say(peer: &mut Peer, frame: &Value) {
    let frame = frame.to_string();
    assert_eq!(peer.send(frame.as_bytes()), frame.len());
}

/// All that has arrived, frame by frame.
pub fn hear(peer: &mut Peer) -> Vec<Value> {
    frames(&peer.receive_all())
}

/// What each frame is: its action, or the code of its error.
pub fn actions(frames: &[Value]) -> Vec<&str> {
    let kind = |frame: &Value| if frame["code"].is_null() { "action" } else { "code" };
    frames.iter().filter_map(|frame| frame[kind(frame)].as_str()).collect()
}

pub fn ping() -> Value {
    json!({"action": "ping"})
}

/// Whole frames as they came.
pub fn frames(bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "half a frame: {text}");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Has the list of connected users follow what a user is told of it.
pub fn read_roster(frame: &Value, view: &mut BTreeSet<String>) {
    let names = |member: &str| -> Vec<String> {
        let list = frame[member].as_array().map(Vec::as_slice).unwrap_or_default();
        list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    if frame["action"] == "userlist" {
        *view = names("users").into_iter().collect();
        return;
    }
    if frame["whole"] == true {
        view.clear();
    }
    for name in names("left") {
        view.remove(&name);
    }
    view.extend(names("joined"));
}
