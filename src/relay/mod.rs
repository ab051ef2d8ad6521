//! The relay: who is here, what each may do, where a frame goes (`docs/protocol.md`, section 2).
//!
//! Pure: it is a [`Handler`], so it is told what happened and says what is to be sent. It owns no
//! descriptor and asks no clock; randomness and signatures come from a [`Notary`], bound names go
//! to a [`Store`], and the wall clock is for its log and the days on which names are used. So the
//! same relay runs on sockets and in a simulation.
//!
//! The way of one message, from socket to socket:
//!
//! ```text
//!   received ─────────── Request::scan ───────────▶ request ─ carry_out ─▶ forward
//!                                                                │            │ directory: whose
//!                                                                │            ▼   name is `to`?
//!       its sender's queue  ◀── `relayed`, `error`: answer ◀─────┘    the addressee's queue
//! ```
//!
//! A request is done at once or refused at once, with two exceptions: the proof of a new name waits
//! for the store, and so does what concerns letters. Nothing is ever put aside for a connection but
//! bytes in its queue, and those are bounded: above the soft limit others' frames for it are
//! refused (`queue_full`), and nothing more is read from it, since that would only make more
//! answers. So nobody is disconnected by what others do, and nobody slows others down.
//!
//! Read on in this order: `peer.rs` (the states of a connection), `exchange.rs` (frames in, answers
//! out), `actions.rs` (which request does what), `registration.rs`, `directory.rs`, `bindings.rs`
//! and `index.rs` (whose a name is), `batch.rs` (many frames for one addressee), `roster.rs`,
//! `changes.rs` and `announce.rs` (who is told who is here), `rates.rs` and `throttle.rs` (what one
//! address may ask), `newcomers.rs` (how many new names it may bind), `letters.rs` and
//! `delivery.rs` (what waits for who is away), `ending.rs`, `reload.rs`,
//! `supervisor.rs`, `store.rs`, `letter_store.rs` and `move_store.rs` (what outlives the process),
//! `sqlite.rs`, `store_thread.rs`, `database.rs`, `boxes.rs` and `move_tables.rs` (on the disk),
//! `event.rs`, `counters.rs`, `journal.rs`, `history.rs` and `overview.rs` (what the
//! operator is told, and may ask).

mod actions;
mod announce;
mod batch;
mod bindings;
mod boxes;
mod census;
mod changes;
pub mod cluster;
pub mod counters;
mod database;
mod delivery;
mod directory;
mod ending;
pub mod event;
mod exchange;
mod fault;
pub mod history;
mod index;
pub mod inline_store;
pub mod journal;
mod keyed;
pub mod letter_store;
mod letters;
pub mod limits;
mod log;
pub mod move_store;
mod move_tables;
pub mod names;
mod newcomers;
mod open_error;
pub mod overview;
mod peer;
mod rates;
mod registration;
mod reload;
mod roster;
pub mod sqlite;
pub mod store;
mod store_thread;
mod supervisor;
mod tally;
mod throttle;
mod tls;
mod user_name;
mod utc;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use nix::errno::Errno;

use self::announce::{Pending, tick_again};
use self::cluster::Cluster;
use self::counters::Counters;
use self::directory::Directory;
use self::ending::Ending;
use self::event::{Event, Leaving};
use self::journal::Journal;
use self::letters::Letters;
use self::limits::FINISHING;
use self::log::Log;
use self::newcomers::Newcomers;
use self::overview::Traffic;
use self::peer::{Peer, Peers};
use self::rates::Rates;
use self::roster::Roster;
use self::store::{Progress, Store};
use self::throttle::Shares;
use self::tls::{Channel, Greetings};
use crate::crypto::Notary;
use crate::reactor::{
    CloseReason, Context, Garbled, Handler, Opened, ProcessFd, Signal, Time, Timeout, Timer, Token,
};
use crate::tls::{Engines, Fault};
use crate::wire::{CommonFrames, ErrorCode, Fingerprint, Refusal};

pub use self::census::RelayCensus;
pub use self::limits::RelayConfig;
pub use self::log::OpenLog;
pub use self::reload::{ReadSettings, Reloaded};
pub use self::supervisor::{ServiceState, Supervisor};

/// Rings when rosters are due, and when there is more to do in the next tick.
const ROSTER: Timer = Timer(0);
/// Rings when the next connections are to be ended in a drain, when the time to flush at the end is
/// over, or when nothing is left to flush.
const ENDING: Timer = Timer(1);
/// Rings when the turn of a connection comes whose address has spent its rate.
const THROTTLED: Timer = Timer(2);
/// Rings when the log has something to tell or to try again.
const LOG: Timer = Timer(3);
/// Rings when letters that could not be delivered are tried again.
const LETTERS: Timer = Timer(4);
/// Rings when the supervisor is to be told that the relay is alive.
const SUPERVISOR: Timer = Timer(5);
/// Rings when something is due with the engine of the cluster.
const CLUSTER: Timer = Timer(6);

/// The relay.
pub struct Relay {
    config: RelayConfig,
    notary: Box<dyn Notary>,
    store: Box<dyn Store>,
    log: Log,
    peers: Peers,
    directory: Directory,
    /// How frames that are passed on look.
    frames: CommonFrames,
    roster: Roster,
    rates: Rates,
    newcomers: Newcomers,
    letters: Letters,
    /// The other relays, if there may be any.
    cluster: Option<Box<Cluster>>,
    /// Connections that wait for the rate of their address, by the instant of their turn. Some of
    /// them may be gone.
    throttled: BTreeSet<(Time, Token)>,
    /// Where the engines of TLS connections come from; none where only plain ones are served.
    tls: Option<Box<dyn Engines>>,
    greetings: Greetings,
    /// The work of each address in this tick, and the connections that wait for the next one.
    shares: Shares,
    counters: Counters,
    traffic: Traffic,
    /// Connections that speak TLS.
    tls_open: usize,
    /// What the store has done, and when that was last seen to change.
    store_progress: Progress,
    store_heard: Time,
    /// Connections that want rosters. Some may be gone; they are removed at each gathering.
    subscribers: Vec<Token>,
    /// Subscribers that are to be sent a roster, in order.
    pending: Pending,
    /// The sources that the relay has opened for itself and cannot run without.
    sources: Vec<OwnSource>,
    /// Who is told what the relay is doing.
    supervisor: Option<Box<dyn Supervisor>>,
    /// Where settings are read again.
    settings: Option<ReadSettings>,
    ending: Ending,
    /// Connections whose other end sends no more, and waits for answers.
    finishing: BTreeSet<Token>,
    failure: Option<SourceFailure>,
}

/// A source that the relay asked for.
struct OwnSource {
    token: Token,
    purpose: Purpose,
    /// Where a listener listens, once it does.
    address: Option<SocketAddr>,
}

/// What the relay cannot run without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A listener at this address.
    Listen(SocketAddr),
    /// To be told of signals.
    Signals,
    /// To be told that the store has answered.
    Store,
}

/// Why the relay could not start, or not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceFailure {
    /// What was missing.
    pub purpose: Purpose,
    /// What the kernel said.
    pub errno: Errno,
}

impl Relay {
    /// A relay in which these names are `bound`. What happens is written to `journal` with the time
    /// that `wall_clock` tells (milliseconds since 1970).
    pub fn new(
        config: RelayConfig,
        notary: Box<dyn Notary>,
        store: Box<dyn Store>,
        bound: Vec<(String, Fingerprint)>,
        journal: Journal,
        wall_clock: Box<dyn Fn() -> u64>,
    ) -> Self {
        let mut seed = [0; 16];
        notary.random(&mut seed);
        Self {
            notary,
            store,
            log: Log::new(journal, wall_clock),
            peers: Peers::with_capacity(config.max_connections),
            directory: Directory::new(seed, config.max_connections, bound),
            frames: CommonFrames::default(),
            roster: Roster::new(config.max_frame),
            rates: Rates::new(config.rates_loopback),
            newcomers: Newcomers::default(),
            letters: Letters::default(),
            cluster: None,
            throttled: BTreeSet::new(),
            tls: None,
            greetings: Greetings::default(),
            shares: Shares::default(),
            counters: Counters::default(),
            traffic: Traffic::default(),
            tls_open: 0,
            store_progress: Progress::default(),
            store_heard: Time::default(),
            subscribers: Vec::new(),
            pending: Pending::default(),
            sources: Vec::new(),
            supervisor: None,
            settings: None,
            ending: Ending::default(),
            finishing: BTreeSet::new(),
            failure: None,
            config,
        }
    }

    /// Asks for what the relay runs on: listeners at `addresses`, signals, and the store's
    /// wake-ups.
    pub fn start(&mut self, cx: &mut Context, addresses: &[SocketAddr]) {
        let mut keep = |token, purpose| {
            self.sources.push(OwnSource { token, purpose, address: None });
        };
        for &address in addresses {
            keep(cx.listen(address), Purpose::Listen(address));
        }
        keep(cx.open(ProcessFd::Signals), Purpose::Signals);
        if let Some(waker) = self.store.waker() {
            keep(cx.open(ProcessFd::Wake(waker)), Purpose::Store);
        }
        self.await_supervisor(cx);
    }

    /// Accepts also from `socket`, which listens at `address` already. To be called before
    /// [`start`](Self::start).
    pub fn adopt(&mut self, cx: &mut Context, socket: Arc<OwnedFd>, address: SocketAddr) {
        let token = cx.open(ProcessFd::Inherited(socket));
        self.sources.push(OwnSource { token, purpose: Purpose::Listen(address), address: None });
    }

    /// From now on the log's lines go to `output`.
    pub fn log_to(&mut self, output: Token) {
        self.log.open(output);
    }

    /// From now on the log's lines go to what `open` opens, now and whenever the file has to be
    /// opened again.
    pub fn log_into(&mut self, cx: &mut Context, open: OpenLog) {
        self.log.open_with(cx, open);
    }

    /// Tells the operator.
    pub fn tell(&mut self, event: &Event) {
        self.log.tell(event);
    }

    /// Where the relay listens, in the order in which the addresses were given.
    pub fn listening(&self) -> Vec<SocketAddr> {
        self.sources.iter().filter_map(|source| source.address).collect()
    }

    /// Tells where the relay listens, once all listeners do: a reader of one line may rely on all
    /// of them.
    fn announce_listeners(&mut self) {
        let is_awaited = |source: &OwnSource| {
            matches!(source.purpose, Purpose::Listen(_)) && source.address.is_none()
        };
        if self.sources.iter().any(is_awaited) {
            return;
        }
        for source in &self.sources {
            if let (Purpose::Listen(asked), Some(address)) = (source.purpose, source.address) {
                let is_chosen = asked.port() == 0;
                self.log.tell(&Event::Listening { address, is_chosen });
            }
        }
        self.tell_supervisor(ServiceState::Ready);
    }

    /// A listener stands at this address.
    fn stands(&mut self, id: Token, address: SocketAddr) {
        if let Some(source) = self.sources.iter_mut().find(|source| source.token == id) {
            source.address = Some(address);
            self.announce_listeners();
        }
    }

    /// Why the loop was stopped, if it was not by a signal.
    pub fn failure(&self) -> Option<SourceFailure> {
        self.failure
    }
}

impl Handler for Relay {
    fn opened(&mut self, cx: &mut Context, id: Token, how: Opened) {
        self.log.at(cx.now());
        match how {
            Opened::Listening(address) => self.stands(id, address),
            Opened::Accepted { peer, .. } => self.welcome(cx, id, peer),
            // One that was inherited knows its address already.
            Opened::ProcessFd if self.is_of_engine(id) => self.engine_opened(cx, id),
            Opened::ProcessFd => {
                let purpose = self.sources.iter().find(|it| it.token == id).map(|it| it.purpose);
                if let Some(Purpose::Listen(address)) = purpose {
                    self.stands(id, address);
                }
            }
            Opened::Connected => self.engine_opened(cx, id),
        }
    }

    fn received(&mut self, cx: &mut Context, from: Token, bytes: &[u8]) -> usize {
        self.log.at(cx.now());
        if self.is_of_engine(from) {
            self.engine_sent(cx, from, bytes);
            return bytes.len();
        }
        let used = self.read(cx, from, bytes);
        self.traffic.received += used as u64;
        used
    }

    fn ended(&mut self, cx: &mut Context, from: Token, rest: &[u8]) {
        self.log.at(cx.now());
        if self.is_of_engine(from) {
            return self.engine_ended(cx, from, "it closed the connection");
        }
        // What is left of the rest is dropped: nobody reads it again.
        let used = self.read_frames(cx, from, rest, &mut 0);
        self.came(from, rest.len() - used);
        if self.owes(from) && self.finishing.len() < FINISHING {
            self.finishing.insert(from);
        } else {
            self.finish(cx, from);
        }
    }

    fn garbled(&mut self, cx: &mut Context, from: Token, why: Garbled) {
        self.log.at(cx.now());
        if self.is_of_engine(from) {
            return self.engine_ended(cx, from, "its TLS cannot be read");
        }
        self.depart(cx, from, Leaving::Garbled(Fault::of(why)));
    }

    fn drained(&mut self, cx: &mut Context, to: Token) {
        self.read_again(cx, to);
        self.add_pending(to);
        self.letters.takers.queue(to);
        tick_again(cx);
    }

    fn timed_out(&mut self, cx: &mut Context, id: Token, timeout: Timeout) {
        self.log.at(cx.now());
        if self.is_of_engine(id) {
            return self.engine_ended(cx, id, "it took nothing for too long");
        }
        let (code, detail) = match timeout {
            Timeout::Handshake => (ErrorCode::RegisterTimeout, "no registration came in time"),
            Timeout::Frame => (ErrorCode::FrameTimeout, "the frame did not end in time"),
            Timeout::Write => (ErrorCode::SlowReader, "what was waiting was not read in time"),
        };
        self.came(id, cx.kept(id)); // and nobody will use it
        self.dismiss(cx, id, &Refusal::new(code, detail));
    }

    fn timer(&mut self, cx: &mut Context, timer: Timer) {
        self.log.at(cx.now());
        match timer {
            ENDING => self.go_on_ending(cx),
            THROTTLED => self.resume_throttled(cx),
            LOG => self.log.try_again(cx),
            LETTERS => self.letters.takers.go_on(),
            SUPERVISOR => self.tell_alive(cx),
            _ => {} // ROSTER needs no more than the end of this tick
        }
    }

    fn exhausted(&mut self, _cx: &mut Context, _listener: Token, errno: Errno) {
        self.counters.accept_failed += 1;
        self.log.tell(&Event::AcceptFailed { error: errno });
    }

    fn signal(&mut self, cx: &mut Context, signal: Signal) {
        self.log.tell(&Event::Signal { signal });
        match signal {
            Signal::Interrupt | Signal::Terminate => self.stop(cx),
            Signal::User1 => self.drain(cx),
            Signal::Hangup => {
                self.reload(cx);
                self.tell_counters(true);
            }
            // Of a terminal, which it does not ask for.
            Signal::Resized | Signal::Suspend | Signal::Continued => {}
        }
    }

    fn closed(&mut self, cx: &mut Context, id: Token, reason: CloseReason) {
        let failed = if let CloseReason::Failed(errno) = reason { Some(errno) } else { None };
        if let Some(place) = self.sources.iter().position(|source| source.token == id) {
            let purpose = self.sources.remove(place).purpose;
            if let Some(errno) = failed.filter(|_| !self.is_ending()) {
                self.failure = Some(SourceFailure { purpose, errno });
                cx.stop();
            }
            return;
        }
        self.log.at(cx.now());
        if self.is_of_engine(id) {
            return self.engine_closed(cx, id, reason);
        }
        if self.log.closed(cx, id, failed) {
            return;
        }
        if matches!(reason, CloseReason::Aborted { unsent: 1.. }) {
            self.counters.cut_off += 1;
        }
        self.depart(cx, id, failed.map_or(Leaving::Quit, Leaving::Lost));
        let gone = self.peers.remove(id);
        self.tls_open -= usize::from(gone.is_some_and(|peer| peer.channel == Channel::Tls));
        self.end_if_alone(cx);
    }

    fn end_of_tick(&mut self, cx: &mut Context) {
        while let Some(answer) = self.store.next_answer() {
            self.settle(cx, answer);
        }
        self.tend_cluster(cx);
        self.settle_letters(cx);
        self.finish_answered(cx);
        while let Some(name) = self.store.next_released() {
            self.release(cx, &name);
        }
        self.go_on(cx);
        self.greet(cx);
        self.announce(cx);
        self.leave_for_cluster(cx);
        self.log.pass_on(cx);
    }

    fn name(&self, id: Token) -> Option<String> {
        self.peers.get(id).and_then(Peer::who).map(|who| who.to_string())
    }
}
