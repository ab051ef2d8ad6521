//! A relay on real sockets that does what a test tells it: by default what the protocol asks for,
//! without checks. It speaks TLS with a connection that begins with it, as our clients do unless
//! they are told `--plain`.
//!
//! A thread accepts, and one more for each connection reads; whoever waits for what they saw is
//! woken by it.

use std::collections::BTreeMap;
use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use sealwax::crypto::RelayKey;
use sealwax::limits::MAX_FRAME;
use sealwax::tls::{Engines, FIRST_BYTE, ServerTls};
use serde_json::{Deserializer, Value, json};

use crate::support::guest::{Guest, nobody};
use crate::support::transform::Tunnel;

/// A test that waits longer than this for one frame has failed.
const PATIENCE: Duration = Duration::from_mins(2);

/// What becomes of a `send_key` or `message`, which may be changed.
type Fate = Box<dyn FnMut(&mut Value) -> Verdict + Send>;

/// What the relay does with one frame.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Forward,
    /// Says `relayed`, and does not forward.
    Swallow,
}

pub(crate) struct EvilRelay {
    pub(crate) address: String,
    shared: Arc<Shared>,
}

struct Shared {
    tls: ServerTls,
    plot: Mutex<Plot>,
    news: Condvar,
}

/// What the relay is up to, and what it has seen.
pub(crate) struct Plot {
    pub(crate) key: RelayKey,
    pub(crate) fate: Fate,
    /// Answered to `get_pubkey` instead of what was registered.
    pub(crate) pubkeys: BTreeMap<String, Value>,
    /// Answered to `register` instead of a challenge.
    pub(crate) greeting: Option<Value>,
    /// Signs challenges wrongly.
    pub(crate) forges: bool,
    /// All frames that came, in order, with their true sender as `from`.
    pub(crate) log: Vec<Value>,
    /// By order of arrival.
    guests: BTreeMap<u64, (Guest, Line)>,
}

/// The relay's end of a connection.
struct Line {
    stream: TcpStream,
    /// None: it speaks in the clear.
    tunnel: Option<Tunnel>,
}

/// What a connection says, in the clear.
struct Speech<'a> {
    shared: &'a Shared,
    number: u64,
    stream: TcpStream,
    unread: Vec<u8>,
}

impl EvilRelay {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let plot = Plot {
            key: RelayKey::generate().0,
            fate: Box::new(|_| Verdict::Forward),
            pubkeys: BTreeMap::new(),
            greeting: None,
            forges: false,
            log: Vec::new(),
            guests: BTreeMap::new(),
        };
        let shared = Arc::new(Shared {
            tls: ServerTls::self_signed().expect("a certificate"),
            plot: Mutex::new(plot),
            news: Condvar::new(),
        });
        let accepted = Arc::clone(&shared);
        // Ends with the test's process; nobody else connects to this port.
        thread::spawn(move || {
            for (number, stream) in (0..).zip(listener.incoming()) {
                let (shared, stream) = (Arc::clone(&accepted), stream.expect("a connection"));
                thread::spawn(move || shared.serve(number, stream));
            }
        });
        Self { address, shared }
    }

    /// What it is up to, to be looked at or changed.
    pub(crate) fn plot(&self) -> MutexGuard<'_, Plot> {
        self.shared.plot.lock().expect("no thread of the relay failed")
    }

    /// From now on, `fate` decides about each `send_key` and `message`.
    pub(crate) fn set_fate(&self, fate: impl FnMut(&mut Value) -> Verdict + Send + 'static) {
        self.plot().fate = Box::new(fate);
    }

    /// Forwards all, and hands out the keys that were registered.
    pub(crate) fn behave(&self) {
        let mut plot = self.plot();
        plot.fate = Box::new(|_| Verdict::Forward);
        (plot.greeting, plot.forges) = (None, false);
        plot.pubkeys.clear();
    }

    /// Waits until `find` finds something in what came.
    pub(crate) fn wait<T>(&self, find: impl Fn(&Plot) -> Option<T>) -> T {
        let (until, mut plot) = (Instant::now() + PATIENCE, self.plot());
        loop {
            if let Some(found) = find(&plot) {
                return found;
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "it did not come: {:#?}", plot.log);
            plot = self.shared.news.wait_timeout(plot, left).expect("no thread failed").0;
        }
    }

    /// The `count` first frames with this action from this user, once they came.
    pub(crate) fn first(&self, count: usize, action: &str, from: &str) -> Vec<Value> {
        self.wait(|plot| {
            let found: Vec<_> = plot.frames(action, from).take(count).cloned().collect();
            (found.len() == count).then_some(found)
        })
    }

    /// Sends `frame` to the user `name`.
    pub(crate) fn tell(&self, name: &str, frame: &Value) {
        self.tell_bytes(name, in_a_line(frame).as_bytes());
    }

    /// Sends bytes to the user `name`, and nothing after them.
    pub(crate) fn tell_bytes(&self, name: &str, bytes: &[u8]) {
        assert!(self.plot().send(name, bytes), "{name} is not connected");
    }

    /// Ends all connections; the clients come back by themselves.
    pub(crate) fn cut(&self) {
        let mut plot = self.plot();
        for (_, line) in std::mem::take(&mut plot.guests).values() {
            let _ = line.stream.shutdown(Shutdown::Both);
        }
    }

    /// Waits until these users are registered.
    pub(crate) fn has(&self, names: &[&str]) {
        self.wait(|plot| names.iter().all(|name| plot.guest(name).is_some()).then_some(()));
    }
}

impl Plot {
    /// The frames with this action from this user.
    pub(crate) fn frames(&self, action: &str, from: &str) -> impl Iterator<Item = &Value> {
        self.log.iter().filter(move |frame| frame["action"] == action && frame["from"] == from)
    }

    /// The answer to a `get_pubkey` for `name`, to be changed by a test.
    pub(crate) fn pubkey_of(&self, name: &str) -> Value {
        self.guest(name).map_or_else(|| nobody(name), |(guest, _)| guest.as_pubkey())
    }

    fn guest(&self, name: &str) -> Option<&(Guest, Line)> {
        let mut guests = self.guests.values().rev();
        guests.find(|(guest, _)| guest.name == name && guest.is_registered)
    }

    fn send(&mut self, name: &str, bytes: &[u8]) -> bool {
        let mut guests = self.guests.values_mut().rev();
        let found = guests.find(|(guest, _)| guest.name == name && guest.is_registered);
        found.map(|(_, line)| line.write(bytes)).is_some()
    }

    /// One frame of the connection `number`.
    fn frame(&mut self, number: u64, mut frame: Value) {
        let Some((guest, line)) = self.guests.get_mut(&number) else { return };
        guest.binding = line.tunnel.as_ref().and_then(|tunnel| tunnel.engine.binding());
        let action = frame["action"].as_str().expect("an action").to_owned();
        if !guest.name.is_empty() {
            frame["from"] = guest.name.clone().into();
        }
        self.log.push(frame.clone());
        match action.as_str() {
            "register" if self.greeting.is_some() => {
                self.greeting.iter().for_each(|greeting| line.write(in_a_line(greeting)));
            }
            "register" if self.forges => line.write(guest.forged_challenge(&self.key, &frame)),
            "get_pubkey" => {
                let target = frame["target"].as_str().expect("a name");
                let answer = self.pubkeys.get(target).cloned();
                let answer = answer.unwrap_or_else(|| self.pubkey_of(target));
                self.reply(number, &answer);
            }
            "send_key" | "message" => self.forward(number, frame),
            _ => {
                let answer = guest.answer(&self.key, MAX_FRAME, &frame);
                if let Some(answer) = answer {
                    line.write(answer);
                }
            }
        }
    }

    fn forward(&mut self, number: u64, mut frame: Value) {
        let (id, to) = (frame["id"].clone(), frame["to"].as_str().expect("a name").to_owned());
        let verdict = (self.fate)(&mut frame);
        let answer = if verdict == Verdict::Forward && !self.send(&to, in_a_line(&frame).as_bytes())
        {
            json!({"action": "error", "code": "unknown_user", "detail": "", "to": to, "id": id})
        } else {
            let prekey = self.pubkey_of(&to)["prekey"]["id"].clone();
            json!({"action": "relayed", "to": to, "prekey": prekey, "id": id})
        };
        if !id.is_null() {
            self.reply(number, &answer);
        }
    }

    fn reply(&mut self, number: u64, answer: &Value) {
        if let Some((_, line)) = self.guests.get_mut(&number) {
            line.write(in_a_line(answer));
        }
    }
}

impl Shared {
    /// Reads what one connection says, to its end.
    fn serve(&self, number: u64, stream: TcpStream) {
        stream.set_nodelay(true).expect("a socket"); // what is told in pieces comes in pieces
        let mut first = [0];
        let _ = stream.peek(&mut first); // waits for the first byte, and leaves it where it is
        let is_tls = first == [FIRST_BYTE];
        let tunnel = is_tls.then(|| Tunnel::new(self.tls.engine().expect("an engine")));
        let own = stream.try_clone().expect("a descriptor");
        let lock = || self.plot.lock().expect("no thread of the relay failed");
        lock().guests.insert(number, (Guest::default(), Line { stream, tunnel }));
        let speech = Speech { shared: self, number, stream: own, unread: Vec::new() };
        let reader = BufReader::new(speech);
        for frame in Deserializer::from_reader(reader).into_iter() {
            let Ok(frame) = frame else { break }; // the connection is gone
            lock().frame(number, frame);
            self.news.notify_all();
        }
        lock().guests.remove(&number);
        self.news.notify_all();
    }
}

fn in_a_line(frame: &Value) -> String {
    format!("{frame}\n")
}

impl Line {
    /// A client that has gone is noticed by whoever reads from it.
    fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let mut bytes = bytes.as_ref();
        let Some(tunnel) = &mut self.tunnel else {
            let _ = self.stream.write_all(bytes);
            return;
        };
        loop {
            let (wire, taken) = tunnel.seal(bytes);
            let _ = self.stream.write_all(&wire);
            bytes = &bytes[taken..];
            if taken == 0 {
                return;
            }
        }
    }

    /// What `wire`, which has come, says; none where that is not TLS.
    fn open(&mut self, wire: &[u8]) -> Option<Vec<u8>> {
        let Some(tunnel) = &mut self.tunnel else { return Some(wire.to_vec()) };
        let opens = tunnel.open(wire).is_ok();
        let plain = std::mem::take(&mut tunnel.plain);
        self.write([]); // what TLS has to say itself
        opens.then_some(plain)
    }
}

impl Read for Speech<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut wire = [0; 16 * 1024];
        while self.unread.is_empty() {
            let came = self.stream.read(&mut wire)?;
            let mut plot = self.shared.plot.lock().expect("no thread of the relay failed");
            let line = plot.guests.get_mut(&self.number).map(|(_, line)| line);
            let plain = line.filter(|_| came > 0).and_then(|line| line.open(&wire[..came]));
            let Some(plain) = plain else { return Ok(0) };
            self.unread = plain;
        }
        let count = self.unread.as_slice().read(out)?;
        self.unread.drain(..count);
        Ok(count)
    }
}
