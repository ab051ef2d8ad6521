//! A relay on a real socket of the loopback interface, in a thread of its own, and clients that
//! talk to it frame by frame. They wait for what arrives, never for time.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};
use sealwax::cluster::engine::Settings;
use sealwax::crypto::{
    Identity, IdentityVault, PrekeyPair, PublicKey, RelayKey, RelayNotary, Vault, register_proof,
    relay_challenge,
};
use sealwax::reactor::{Config, Linux, ProcessFd, Reactor, Waker, boot_time};
use sealwax::relay::cluster::{ClusterConfig, CopyLimits, EngineAt};
use sealwax::relay::journal::{Format, Journal};
use sealwax::relay::sqlite::{LetterLimits, SqliteStore};
use sealwax::relay::store::{MemoryStore, Store};
use sealwax::relay::{Relay, RelayConfig};
use sealwax::wire::{
    Bind, Fingerprint, Incoming, Prekey, Registration2, Reply, RosterMode, base64, compose,
};
use serde_json::{Value, json};

use super::spread::{Common, pick_address, relays, spread};

/// A test that waits longer than this for one frame has failed.
const PATIENCE: Duration = Duration::from_mins(2);

/// The public key of `alice.pem`, which tests register for whoever needs one.
pub const PEM: &str = include_str!("../data/public-alice.pem");

/// A key that looks like one: no two have the same number. Nobody has its secret half.
pub fn some_key(number: u8) -> PublicKey {
    let mut der = PublicKey::from_pem(PEM).unwrap().to_der();
    der[64] = number; // in the middle of the modulus
    PublicKey::from_der(&der).unwrap()
}

/// How an original client registers.
pub fn register(name: &str, roster: &str) -> Value {
    json!({"action": "register", "name": name, "pubkey": PEM, "roster": roster})
}

/// Opens a store, in the relay's thread; with it come the names that are bound.
type OpenStore = Box<dyn FnOnce() -> (Box<dyn Store>, Vec<(String, Fingerprint)>) + Send>;

/// How a relay is to be.
pub struct Setup {
    pub relay: RelayConfig,
    pub reactor: Config,
    pub store: OpenStore,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            relay: RelayConfig::default(),
            reactor: Config::default(),
            store: Box::new(|| (Box::new(MemoryStore::default()), Vec::new())),
        }
    }
}

impl Setup {
    /// Names are kept in the file at `path`.
    pub fn keeping(path: PathBuf) -> Self {
        let open = move || {
            let (store, bound) = SqliteStore::open(&path, LetterLimits::default()).unwrap();
            (Box::new(store) as Box<dyn Store>, bound)
        };
        Self { store: Box::new(open), ..Self::default() }
    }
}

/// Milliseconds since 1970: letters in an engine have real times.
fn wall() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_millis().try_into().unwrap()
}

/// How a relay of these tests belongs to a cluster, which the first one begins.
fn in_cluster(engine: PathBuf, key: [u8; 32]) -> ClusterConfig {
    ClusterConfig {
        engine: vec![EngineAt::File(engine)],
        settings: Settings {
            user: None,
            password: None,
            database: 0,
            id: None,
            relay_key: base64::encode(&key),
            begins: Some("0123456789abcdef0123456789abcdef".to_owned()),
        },
        tls: None,
        boot_time: Box::new(boot_time),
        copy: CopyLimits::default(),
        letters: LetterLimits::default(),
        joined: Box::new(|_| {}),
    }
}

/// A running relay; it ends when this is dropped.
pub struct RunningRelay {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
    /// Those that stand for it together with it (`spread.rs`).
    others: Vec<Self>,
    common: Option<Common>,
}

impl RunningRelay {
    pub fn start(setup: Setup) -> Self {
        let Some(common) = Common::start() else { return Self::one(setup, None) };
        let key = Arc::new(RelayKey::generate().1.to_vec());
        let place = || Some((common.socket(), Arc::clone(&key)));
        let (relay, reactor) = (setup.relay, setup.reactor);
        let mut first = Self::one(setup, place());
        for _ in 1..relays() {
            let setup = Setup { relay, reactor, ..Setup::default() };
            first.others.push(Self::one(setup, place()));
        }
        let addresses = [&first].into_iter().chain(&first.others);
        spread(addresses.map(|relay| relay.address.to_string()).collect());
        first.common = Some(common);
        first
    }

    /// One relay; `cluster`: the socket of its engine, and the key of all of its relays.
    fn one(setup: Setup, cluster: Option<(PathBuf, Arc<Vec<u8>>)>) -> Self {
        let (tell, told) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let waker = Waker::new().unwrap();
        let (stopped, wake) = (Arc::clone(&stop), ProcessFd::Wake(waker.clone()));
        let thread = thread::spawn(move || {
            let (store, bound) = (setup.store)();
            let key = match &cluster {
                Some((_, key)) => RelayKey::from_pkcs8(key).unwrap(),
                None => RelayKey::generate().0,
            };
            let public = key.public();
            let notary = Box::new(RelayNotary::new(key));
            let journal = Journal::new(Format::Json, sealwax::relay::event::Level::Debug);
            let clock: Box<dyn Fn() -> u64> =
                if cluster.is_some() { Box::new(wall) } else { Box::new(|| 0) };
            let mut relay = Relay::new(setup.relay, notary, store, bound, journal, clock);
            if let Some((socket, _)) = cluster {
                relay.join(in_cluster(socket, public));
            }
            let mut reactor = Reactor::new(Linux::new().unwrap(), &setup.reactor);
            reactor.context().open(wake);
            relay.start(reactor.context(), &["127.0.0.1:0".parse().unwrap()]);
            let is_up = |relay: &Relay| {
                let joined = relay.cluster_state();
                let joined = joined.is_none_or(|it| it.is_joined && it.takes_letters);
                !relay.listening().is_empty() && joined
            };
            while !is_up(&relay) {
                reactor.tick(&mut relay, None).unwrap();
            }
            tell.send(relay.listening()[0]).unwrap();
            while !stopped.load(Ordering::Relaxed) {
                reactor.tick(&mut relay, None).unwrap();
            }
        });
        let address = told.recv().unwrap();
        Self { address, stop, waker, thread: Some(thread), others: Vec::new(), common: None }
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// An original client that is registered, and wants no rosters.
    pub fn original(&self, name: &str) -> Client {
        Client::original(self.address, name)
    }

    /// A client of version 2 that is registered, and wants no rosters.
    pub fn version2(&self, account: &Account) -> Client {
        let mut client = self.connect();
        assert_eq!(account.register(&mut client, RosterMode::None)["action"], "registered");
        client
    }
}

impl Drop for RunningRelay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.waker.wake();
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || matches!(ended, Some(Ok(()))), "the relay panicked");
    }
}

/// One connection.
pub struct Client {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(pick_address(address)).unwrap())
    }

    /// An original client that is registered, and wants no rosters.
    pub fn original(address: SocketAddr, name: &str) -> Self {
        let mut client = Self::connect(address);
        client.send(&register(name, "none"));
        client.ping();
        client
    }

    /// Connects from this address of loopback.
    pub fn connect_from(from: Ipv4Addr, address: SocketAddr) -> Self {
        let (kind, flags) = (SockType::Stream, SockFlag::SOCK_CLOEXEC);
        let socket = socket(AddressFamily::Inet, kind, flags, None).unwrap();
        let SocketAddr::V4(to) = address else { panic!("no IPv4 address: {address}") };
        bind(socket.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(from, 0))).unwrap();
        connect(socket.as_raw_fd(), &SockaddrIn::from(to)).unwrap();
        Self::over(socket.into())
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let reader = BufReader::new(stream.try_clone().unwrap());
        Self { stream, reader }
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// A second hand to write with, for another thread.
    pub fn writer(&self) -> TcpStream {
        self.stream.try_clone().unwrap()
    }

    pub fn send(&mut self, frame: &Value) {
        self.write(frame.to_string().as_bytes());
    }

    /// Sends, unless the connection has broken.
    pub fn try_send(&mut self, frame: &Value) -> bool {
        self.stream.write_all(frame.to_string().as_bytes()).is_ok()
    }

    /// The next frame as it came, without its line end.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).expect("a frame within the two minutes of a test");
        line.strip_suffix('\n').expect("a frame ends in a line end").to_owned()
    }

    /// The next frame, unless the connection has ended.
    pub fn try_line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.reader.read_line(&mut line).ok()?;
        (read > 0).then_some(line)
    }

    pub fn frame(&mut self) -> Value {
        serde_json::from_str(&self.line()).expect("a frame is JSON")
    }

    /// The next frame is this error.
    pub fn refused(&mut self, code: &str) -> Value {
        let frame = self.frame();
        assert_eq!((&frame["action"], &frame["code"]), (&json!("error"), &json!(code)), "{frame}");
        assert!(frame["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
        frame
    }

    /// The next frame is this error, and nothing comes after it.
    pub fn dismissed(&mut self, code: &str) {
        self.refused(code);
        self.closed();
    }

    /// Nothing comes any more.
    pub fn closed(&mut self) {
        let mut rest = String::new();
        let _ = self.reader.read_to_string(&mut rest); // a reset ends it as well
        assert_eq!(rest, "");
    }

    /// Asks for a sign of life: all that was asked before is done when it comes, and nothing else
    /// had to be said.
    pub fn ping(&mut self) {
        self.send(&json!({"action": "ping", "id": "?"}));
        assert_eq!(self.frame(), json!({"action": "pong", "id": "?"}));
    }

    pub fn finish_writing(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }
}

/// A user of version 2.
pub struct Account<V = IdentityVault> {
    pub name: &'static str,
    pub vault: V,
    pub prekey: Prekey,
}

impl Account {
    pub fn new(name: &'static str, pem: &str) -> Self {
        Self::of(name, IdentityVault::new(Identity::from_pem(pem, None).unwrap()))
    }

    pub fn alice() -> Self {
        Self::new("alice", include_str!("../data/alice.pem"))
    }

    pub fn bob() -> Self {
        Self::new("bob", include_str!("../data/bob.pem"))
    }
}

impl<V: Vault> Account<V> {
    pub fn of(name: &'static str, vault: V) -> Self {
        let prekey = PrekeyPair::new(&vault, 1_000).publish(&vault, name);
        Self { name, vault, prekey }
    }

    pub fn pem(&self) -> String {
        self.vault.public().to_pem()
    }

    /// Its `register`, to be changed as a test likes.
    pub fn claim(&self, roster: RosterMode) -> Value {
        let v2 = Registration2 { cnonce: [7; 32], prekey: self.prekey.clone(), bind: Bind::None };
        let frame = compose::register(self.name, &self.pem(), roster, Some(&v2));
        serde_json::from_slice(&frame).unwrap()
    }

    /// The `prove` that answers this challenge to the claim above.
    pub fn prove(&self, challenge: &str) -> Value {
        self.prove_bound(challenge, None, None)
    }

    /// The same for a registration that is bound: the challenge is checked with `signed`, and
    /// `proven` is what the proof is over.
    pub fn prove_bound(
        &self,
        challenge: &str,
        signed: Option<&[u8; 32]>,
        proven: Option<&[u8; 32]>,
    ) -> Value {
        let incoming = Incoming::parse(challenge.as_bytes()).unwrap();
        let Incoming::Reply(Reply::Challenge { relay, nonce, signature }) = incoming else {
            panic!("no challenge: {challenge}")
        };
        let (vault, fp) = (&self.vault, self.vault.public().fingerprint());
        let signed = relay_challenge(&relay, &[7; 32], &nonce, &fp, signed);
        assert!(vault.verify_relay(&relay, &signed, &signature), "the relay signs its challenge");
        let proof = register_proof(&relay, &nonce, &[7; 32], self.name, &fp, &self.prekey, proven);
        json!({"action": "prove", "v": 2, "sig": base64::encode(&vault.sign(&proof))})
    }

    /// Registers, and returns the answer.
    pub fn register(&self, client: &mut Client, roster: RosterMode) -> Value {
        client.send(&self.claim(roster));
        let challenge = client.line();
        client.send(&self.prove(&challenge));
        client.frame()
    }
}

impl Account {
    /// Asks to be registered and is refused for this reason, if not at once then after the proof.
    pub fn is_refused(&self, client: &mut Client, code: &str) {
        client.send(&self.claim(RosterMode::None));
        let mut answer = client.frame();
        if answer["action"] == "challenge" {
            client.send(&self.prove(&answer.to_string()));
            answer = client.frame();
        }
        assert_eq!(
            (&answer["action"], &answer["code"]),
            (&json!("error"), &json!(code)),
            "{answer}"
        );
    }
}

/// Two users who have nothing to do with what a test does.
pub struct Bystanders(Client, Client);

impl Bystanders {
    pub fn of(relay: &RunningRelay) -> Self {
        Self(relay.original("bystander 1"), relay.original("bystander 2"))
    }

    /// They can still talk, and heard nothing else in between.
    pub fn go_on(&mut self) {
        let said = json!({"action": "message", "to": "bystander 2", "id": "1", "content": "so?"});
        self.0.send(&said);
        assert_eq!(self.0.frame(), json!({"action": "relayed", "id": "1", "to": "bystander 2"}));
        assert_eq!(self.1.frame()["content"], "so?");
    }
}
