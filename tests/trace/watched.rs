//! A relay on a kernel in memory, watched.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::Result;
use sealwax::crypto::{RelayKey, RelayNotary};
use sealwax::reactor::{Config, Handler, Reactor, Sys};
use sealwax::relay::event::Level;
use sealwax::relay::journal::{Format, Journal};
use sealwax::relay::store::MemoryStore;
use sealwax::relay::{Relay, RelayConfig};
use sealwax::trace::{Form, Taker, Trace};
use sealwax::trace::{Recorder, TracedHandler, TracedSys};
use serde_json::{Value, json};

use crate::support::kernel::{Kernel, Peer};
use crate::support::relay::PEM;
use crate::support::simulated::say;

/// Takes everything.
#[derive(Clone, Default)]
pub(crate) struct Paper(Arc<Mutex<Vec<u8>>>);

impl Taker for Paper {
    fn take(&mut self, bytes: &[u8], _patience: Duration) -> (usize, Result<()>) {
        self.0.lock().expect("nobody fails with it").extend_from_slice(bytes);
        (bytes.len(), Ok(()))
    }
}

impl Paper {
    /// What was written since this was last asked.
    pub(crate) fn take(&self) -> String {
        let bytes = std::mem::take(&mut *self.0.lock().expect("nobody fails with it"));
        String::from_utf8(bytes).expect("a trace is text")
    }
}

/// A trace on paper, in both ways.
pub(crate) struct Papers {
    pub(crate) trace: Trace,
    pub(crate) told: Paper,
    pub(crate) file: Paper,
}

impl Papers {
    pub(crate) fn new(form: Form) -> Self {
        let (told, file) = (Paper::default(), Paper::default());
        let trace =
            Trace::new(Some((form, Box::new(told.clone()))), Some(Box::new(file.clone())), |why| {
                panic!("{why}")
            });
        Self { trace, told, file }
    }

    pub(crate) fn recorder(&self, kernel: &Kernel) -> Recorder {
        let mut clock = kernel.clone();
        self.trace.recorder(None, move || clock.now())
    }
}

pub(crate) struct Watched {
    pub(crate) kernel: Kernel,
    pub(crate) papers: Papers,
    recorder: Recorder,
    reactor: Reactor<TracedSys<Kernel>>,
    relay: Relay,
    at: SocketAddr,
}

impl Watched {
    pub(crate) fn start(form: Form) -> Self {
        let kernel = Kernel::new();
        let papers = Papers::new(form);
        let recorder = papers.recorder(&kernel);
        let words = recorder.clone();
        let journal = Journal::new(Format::Json, Level::Quiet).heard_by(move |event| {
            words.say(event.to_string(), json!(event).to_string());
        });
        let notary = Box::new(RelayNotary::new(RelayKey::generate().0));
        let store = Box::new(MemoryStore::default());
        let config = RelayConfig::default();
        let mut relay = Relay::new(config, notary, store, Vec::new(), journal, Box::new(|| 0));
        let traced = TracedSys::new(kernel.clone(), recorder.clone());
        let mut reactor = Reactor::new(traced, &Config::default());
        let at = SocketAddr::from(([127, 0, 0, 1], 12345));
        relay.start(reactor.context(), &[at]);
        let mut watched = Self { kernel, papers, recorder, reactor, relay, at };
        watched.settle();
        watched
    }

    /// Lets the loop turn until there is nothing to do at this time.
    pub(crate) fn settle(&mut self) {
        let mut told = TracedHandler::new(&mut self.relay, self.recorder.clone());
        settle(&mut self.reactor, &mut told, &self.recorder);
    }

    /// An original client that is registered, and wants no rosters.
    pub(crate) fn join(&mut self, name: &str) -> Peer {
        let mut peer = self.kernel.dial(self.at);
        self.settle();
        say(
            &mut peer,
            &json!({"action": "register", "name": name, "pubkey": PEM, "roster": "none"}),
        );
        self.settle();
        peer
    }

    /// What was told since this was last asked, the tick that is over included.
    pub(crate) fn told(&mut self) -> String {
        self.settle();
        self.papers.told.take()
    }

    /// The whole file, as a program reads it.
    pub(crate) fn finish(self) -> Vec<Value> {
        drop(self.reactor);
        self.recorder.finish();
        self.papers.trace.finish();
        serde_json::from_str(&self.papers.file.take()).expect("the file is one array")
    }
}

/// Ticks until nothing is left to do at this time.
pub(crate) fn settle<S: Sys>(
    reactor: &mut Reactor<S>,
    handler: &mut impl Handler,
    recorder: &Recorder,
) {
    for _ in 0..8 {
        reactor.tick(handler, Some(Duration::ZERO)).expect("the kernel waits");
        recorder.ticked(reactor.context());
    }
}

/// What A says to B.
pub(crate) fn message(content: &str) -> Value {
    json!({"action": "message", "to": "bob", "id": "7", "content": content})
}
