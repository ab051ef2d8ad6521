//! A kernel in memory for a crowd: a million connections, each of which takes a few bytes here.
//!
//! Users connect as fast as they are accepted, say that they register, and from then on say what
//! they are told to. What is written to them is counted and forgotten. The reactor's tests have a
//! kernel that does everything a real one may do; this one does only what takes a million lightly.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{IoSlice, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use nix::Result;
use nix::errno::Errno;
use sealwax::crypto::{Notary, PublicKey, RelayKey, RelayNotary};
use sealwax::reactor::limits::FEW_SOURCES;
use sealwax::reactor::{Config, Event, Interest, Io, ProcessFd, Reactor, Sys, Time, Token, Watch};
use sealwax::relay::event::Level;
use sealwax::relay::journal::{Format, Journal};
use sealwax::relay::store::MemoryStore;
use sealwax::relay::{Relay, RelayConfig};
use serde_json::json;

use super::memory::{Account, Working};

/// The clock moves on by so much with each wait.
const STEP: Duration = Duration::from_micros(100);
/// Events of one wait, as many as the reactor takes.
const EVENTS: usize = sealwax::reactor::limits::EVENTS_PER_TICK;
/// The listener, and what else is no user.
const LISTENER: Io = Io::Own(1);
const OTHER: Io = Io::Own(i32::MAX);
/// The first user's number is that of the first descriptor after the listener's.
const FIRST: i32 = 2;

/// The kernel. Clones are the same.
#[derive(Clone)]
pub(crate) struct Crowd(Rc<RefCell<World>>);

struct World {
    now: Time,
    listener: Option<Token>,
    /// Users who wait to be accepted.
    newcomers: usize,
    /// By descriptor, less [`FIRST`].
    tokens: Vec<Token>,
    /// Users who say something, in this order, and what.
    ready: VecDeque<(u32, Saying)>,
    /// What stands before and behind a name in a registration.
    registration: [Vec<u8>; 2],
    written: u64,
    writes: u64,
}

/// A notary whose randomness is the same each time: with it a relay's tables are the same, and how
/// many instructions a look-up takes.
struct Repeated(RelayNotary);

impl Notary for Repeated {
    fn public(&self) -> [u8; 32] {
        self.0.public()
    }

    fn random(&self, out: &mut [u8]) {
        out.fill(1);
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message)
    }

    fn verify(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
        self.0.verify(key, message, signature)
    }
}

/// What a user says.
enum Saying {
    Register,
    /// Frames that were made before, in one read.
    Frames(Rc<[u8]>),
}

impl Crowd {
    /// A relay that listens on it, with nothing on its disk and a log that says nothing.
    pub(crate) fn with_relay(most: usize, pem: &str) -> (Self, Reactor<Self>, Relay) {
        let crowd = Self::new(most, pem);
        let notary = Box::new(Repeated(RelayNotary::new(RelayKey::generate().0)));
        let journal = Journal::new(Format::Json, Level::Quiet);
        let config = RelayConfig { max_connections: most, ..RelayConfig::default() };
        let store = Box::new(MemoryStore::default());
        let mut relay = Relay::new(config, notary, store, Vec::new(), journal, Box::new(|| 0));
        let loop_config = Config { max_sources: most + FEW_SOURCES, ..Config::default() };
        let mut reactor = Reactor::new(crowd.clone(), &loop_config);
        relay.start(reactor.context(), &[SocketAddr::from(([127, 0, 0, 1], 12345))]);
        (crowd, reactor, relay)
    }

    /// Of at most `most` users, who register with `pem`.
    fn new(most: usize, pem: &str) -> Self {
        Self(Rc::new(RefCell::new(World {
            now: Time::from_nanos(1),
            listener: None,
            newcomers: 0,
            tokens: Vec::with_capacity(most),
            ready: VecDeque::with_capacity(EVENTS),
            registration: registration(pem, "none"),
            written: 0,
            writes: 0,
        })))
    }

    /// So many more users come, with this kind of roster.
    pub(crate) fn come(&self, count: usize, pem: &str, roster: &str) {
        let mut world = self.0.borrow_mut();
        world.newcomers += count;
        world.registration = registration(pem, roster);
    }

    /// Users who have not connected yet or have something to say.
    pub(crate) fn is_waiting(&self) -> bool {
        let world = self.0.borrow();
        world.newcomers > 0 || !world.ready.is_empty()
    }

    /// `from` writes to `to`, both counted from 0 in the order in which they came.
    pub(crate) fn say(&self, from: u32, to: u32) {
        self.send(from, &Rc::from(message(from, to).into_bytes()));
    }

    /// `from` sends these bytes, which one read brings.
    pub(crate) fn send(&self, from: u32, frames: &Rc<[u8]>) {
        self.0.borrow_mut().ready.push_back((from, Saying::Frames(Rc::clone(frames))));
    }

    /// Bytes and calls of all writes so far.
    pub(crate) fn written(&self) -> (u64, u64) {
        let world = self.0.borrow();
        (world.written, world.writes)
    }
}

/// A name of 16 bytes.
fn name(user: u32) -> String {
    format!("user-{user:011}")
}

/// A message, as a client of the original protocol writes it.
pub(crate) fn message(from: u32, to: u32) -> String {
    let (from, to, body) = (name(from), name(to), "-".repeat(60));
    format!(r#"{{"action": "message", "to": "{to}", "from": "{from}", "content": "{body}"}}"#)
}

fn registration(pem: &str, roster: &str) -> [Vec<u8>; 2] {
    let frame = json!({"action": "register", "name": "@", "pubkey": pem, "roster": roster});
    let text = frame.to_string();
    let (before, behind) = text.split_once('@').unwrap_or_default();
    [before.into(), behind.into()]
}

impl Sys for Crowd {
    fn now(&mut self) -> Time {
        self.0.borrow().now
    }

    fn wait(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> Result<()> {
        events.clear();
        let mut world = self.0.borrow_mut();
        let is_idle = world.newcomers == 0 && world.ready.is_empty();
        let passes = timeout.filter(|_| is_idle).unwrap_or(STEP).max(STEP);
        world.now = world.now + passes;
        let mut push = |token| {
            events.push(Event {
                token,
                readable: true,
                writable: false,
                rdhup: false,
                hangup: false,
            });
        };
        if let Some(listener) = world.listener.filter(|_| world.newcomers > 0) {
            push(listener);
        }
        for (user, _) in world.ready.iter().take(EVENTS - 1) {
            push(world.tokens[*user as usize]);
        }
        Ok(())
    }

    fn listen(&mut self, at: SocketAddr) -> Result<(Io, SocketAddr)> {
        Ok((LISTENER, at))
    }

    fn accept(&mut self, _listener: Io) -> Result<(Io, SocketAddr)> {
        let mut world = self.0.borrow_mut();
        world.newcomers = world.newcomers.checked_sub(1).ok_or(Errno::EAGAIN)?;
        let number = i32::try_from(world.tokens.len()).map_err(|_| Errno::EMFILE)? + FIRST;
        Ok((Io::Own(number), SocketAddr::from(([127, 0, 0, 1], 40_000))))
    }

    fn shed(&mut self, _listener: Io) {}

    fn connect(&mut self, _to: SocketAddr) -> Result<Io> {
        Err(Errno::ECONNREFUSED)
    }

    fn error(&mut self, _io: Io) -> Result<()> {
        Ok(())
    }

    fn open(&mut self, _source: &ProcessFd) -> Result<Io> {
        Ok(OTHER)
    }

    /// A user who is watched for the first time registers.
    fn watch(&mut self, io: Io, token: Token, _wanted: Interest, how: Watch) -> Result<()> {
        let _working = Working::on(Account::Other);
        let mut world = self.0.borrow_mut();
        if io == LISTENER {
            world.listener = Some(token);
        } else if io != OTHER && how == Watch::Begin {
            let user = (io.number() - FIRST).cast_unsigned();
            world.tokens.push(token);
            world.ready.push_back((user, Saying::Register));
        }
        Ok(())
    }

    fn read(&mut self, _io: Io, into: &mut [u8]) -> Result<usize> {
        let _working = Working::on(Account::Other);
        let mut world = self.0.borrow_mut();
        // Events come in this order, each with one read.
        let (user, saying) = world.ready.pop_front().ok_or(Errno::EAGAIN)?;
        let (whole, mut space) = (into.len(), into);
        let written = match saying {
            Saying::Register => {
                let [before, behind] = &world.registration;
                let name = name(user);
                let parts = [&before[..], name.as_bytes(), behind];
                parts.iter().try_for_each(|part| space.write_all(part))
            }
            Saying::Frames(frames) => space.write_all(&frames),
        };
        written.map_err(|_| Errno::EMSGSIZE)?;
        Ok(whole - space.len())
    }

    fn writev(&mut self, _io: Io, slices: &[IoSlice<'_>]) -> Result<usize> {
        let bytes = slices.iter().map(|slice| slice.len()).sum();
        let mut world = self.0.borrow_mut();
        world.written += bytes as u64;
        world.writes += 1;
        Ok(bytes)
    }

    fn shutdown(&mut self, _io: Io) -> Result<()> {
        Ok(())
    }

    fn close(&mut self, _io: Io) {}
}
