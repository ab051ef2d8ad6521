//! Alice's machine, the relay that she is at the mercy of, and her true peers.

mod honest;

use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use nix::errno::Errno;
use sealwax::client::Trust;
use sealwax::crypto::{SessionOffer, relay_challenge};
use sealwax::reactor::{Config, Io, Reactor, Sys};
use sealwax::tls::{Engines, Fault, ServerTls};
use sealwax::wire::{Body, ForwardKind, Prekey, Reply, Request, Scan, Scanner};

use super::super::json::Members;
use super::super::kernel::{Call, Kernel, Op};
use super::super::opening::{ALICE, BOB, CAROL};
use super::super::transform::{Tunnel, server_tls};
use super::super::vault::relay_signature;
use super::alice::{Alice, PINNED, START_MS};
use super::friend::Friend;

/// Bob is pinned and verified, Carol is met here. The third is Carol's key, which calls itself Bob.
pub(crate) const FRIENDS: usize = 3;
const BOB_AT: usize = 0;
const AT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 12345);
/// A relay's key that is not the one that is pinned.
const OTHER: [u8; 32] = [6; 32];
/// The longest frame that she may say, in bytes.
const MAX_FRAME: usize = 64 * 1024;
/// Frames of others that the relay keeps.
const KEPT: usize = 64;
/// The loop comes to rest before it has turned this often.
const TURNS: usize = 2_000;
/// After so many turns the relay says the rest at once.
const PATIENCE: usize = 50;
/// What Alice may say in all: so much at first, so much for each byte that she is told, and so much
/// a second.
const BYTES_FIRST: usize = 64 * 1024;
const BYTES_EACH: usize = 64;
const BYTES_A_SECOND: usize = 4 * 1024;

/// Everything.
pub(crate) struct Stage {
    kernel: Kernel,
    /// Her process.
    ours: Kernel,
    reactor: Reactor<Kernel>,
    alice: Alice,
    relay: Kernel,
    listener: Io,
    /// None: she speaks in the clear.
    tls: Option<ServerTls>,
    line: Option<Line>,
    friends: [Friend; FRIENDS],
    /// Frames of peers and of Alice, as the relay has them.
    pool: VecDeque<Vec<u8>>,
    /// How many bytes the relay sends at a time.
    pub(crate) cut: usize,
    /// Her prekey, as she published it last, and the requests that she numbered.
    prekey: Option<Prekey>,
    numbered: Vec<String>,
    spoken: usize,
    heard: usize,
}

/// A connection of Alice's, from the relay's end.
struct Line {
    io: Io,
    /// The relay's end of TLS; none: she speaks in the clear.
    tunnel: Option<Tunnel>,
    /// What it has to say and TLS has not taken; always empty in the clear.
    unsealed: Vec<u8>,
    unsent: Vec<u8>,
    /// What she said, of which some is no whole frame yet.
    bytes: Vec<u8>,
    requests: VecDeque<Vec<u8>>,
    cnonce: Option<[u8; 32]>,
    /// She was challenged by the relay that she has pinned.
    is_proper: bool,
}

impl Stage {
    pub(crate) fn new(is_tls: bool) -> Self {
        let kernel = Kernel::new();
        let (mut relay, ours) = (kernel.process(), kernel.process());
        let Ok((listener, _)) = relay.listen(AT) else { panic!("no listener") };
        let friends = [
            Friend::new("bob", "bob", &BOB, START_MS),
            Friend::new("carol", "carol", &CAROL, START_MS),
            Friend::new("bob", "impostor", &CAROL, START_MS),
        ];
        let mut alice = Alice::new(&ours, AT, &friends[BOB_AT], is_tls);
        let mut reactor = Reactor::new(ours.clone(), &Config::default());
        alice.client.start(reactor.context());
        let mut stage = Self {
            kernel,
            ours,
            reactor,
            alice,
            relay,
            listener,
            tls: is_tls.then(server_tls),
            line: None,
            friends,
            pool: VecDeque::new(),
            cut: usize::MAX,
            prekey: None,
            numbered: Vec::new(),
            spoken: 0,
            heard: 0,
        };
        stage.settle();
        stage
    }

    fn now_ms(&mut self) -> u64 {
        START_MS + self.kernel.now().as_nanos() / 1_000_000
    }

    // --- What the relay says ---

    pub(crate) fn tell(&mut self, bytes: &[u8]) {
        if let Some(line) = &mut self.line {
            line.unsealed.extend_from_slice(bytes);
            line.seal();
        }
    }

    /// Says bytes as they are: within TLS they are no record, or one that does not open.
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        if let Some(line) = &mut self.line {
            line.unsent.extend_from_slice(bytes);
        }
    }

    /// Says within TLS that nothing more comes. Returns false where there is no TLS.
    pub(crate) fn end_tls(&mut self) -> bool {
        let Some(line) = &mut self.line else { return false };
        let Some(tunnel) = &mut line.tunnel else { return false };
        line.unsent.extend(tunnel.finish());
        true
    }

    /// Some frame of the pool, changed or not.
    pub(crate) fn deliver(&mut self, which: usize, change: impl FnOnce(&mut Vec<u8>)) {
        let place = which % self.pool.len().max(1);
        if let Some(mut frame) = self.pool.get(place).cloned() {
            change(&mut frame);
            self.tell(&frame);
        }
    }

    /// A challenge: as it should be (0), by another key, with a signature of another's, with one that
    /// does not hold, or with one for another connection.
    pub(crate) fn challenge(&mut self, how: usize) {
        let Some(line) = &mut self.line else { return };
        let relay = if how == 1 { OTHER } else { PINNED };
        let (nonce, fp) = ([9; 32], ALICE.fingerprint());
        let cnonce = line.cnonce.unwrap_or([0; 32]);
        let own = line.tunnel.as_ref().and_then(|tunnel| tunnel.engine.binding());
        let binding = if how == 4 { Some([1; 32]) } else { own };
        let signed = relay_challenge(&relay, &cnonce, &nonce, &fp, binding.as_ref());
        let by = if how == 2 { OTHER } else { relay };
        let signature = if how == 3 { [0; 64] } else { relay_signature(&by, &signed) };
        line.is_proper |= how == 0 && line.cnonce.is_some();
        self.tell(&Reply::Challenge { relay, nonce, signature }.encode());
    }

    /// A `pubkey` for `name`: whose key, and whose prekey.
    pub(crate) fn pubkey(&self, name: &str, choice: usize) -> Vec<u8> {
        let keys = [&*BOB, &*CAROL, &*ALICE];
        let key = keys[choice % keys.len()];
        let friends = self.friends.iter().map(|friend| &friend.prekey);
        let mut prekeys = friends.chain(&self.prekey);
        let prekey = prekeys.nth(choice / 4 % 5).map(Cow::Borrowed);
        Reply::Pubkey {
            from: name.into(),
            pubkey: key.to_pem().into(),
            prekey,
            away: false,
            letter_key: None,
        }
        .encode()
    }

    /// The number of some request of hers.
    pub(crate) fn request(&self, choice: usize) -> &str {
        let place = choice % self.numbered.len().max(1);
        self.numbered.get(place).map_or("1000000", String::as_str)
    }

    /// Closes the connection: in order (0), or with what she said unread.
    pub(crate) fn hang_up(&mut self, how: usize) {
        if how == 2 {
            if let Some(line) = &self.line {
                let _ = self.relay.shutdown(line.io);
            }
        } else if let Some(line) = self.line.take() {
            self.relay.close(line.io);
        }
    }

    /// Drops the oldest of her requests.
    pub(crate) fn swallow(&mut self, count: usize) {
        for _ in 0..count {
            self.line.as_mut().and_then(|line| line.requests.pop_front());
        }
    }

    // --- What the others do ---

    /// A friend says something, new or not, in a session that was open or in another.
    pub(crate) fn friend_says(&mut self, whom: usize, anew: bool, again: bool) {
        let now_ms = self.now_ms();
        let Some(prekey) = self.prekey.clone() else { return };
        let friend = &mut self.friends[whom];
        if anew || !friend.has_session() {
            let frame = friend.open(&ALICE, &prekey, now_ms);
            self.keep(frame);
        }
        if let Some(frame) = self.friends[whom].say(again) {
            self.keep(frame);
        }
    }

    pub(crate) fn friend_confirms(&mut self, whom: usize) {
        if let Some(frame) = self.friends[whom].confirm() {
            self.keep(frame);
        }
    }

    fn keep(&mut self, frame: Vec<u8>) {
        self.pool.truncate(KEPT - 1);
        self.pool.push_front(frame);
    }

    /// Alice writes to a friend.
    pub(crate) fn say(&mut self, whom: usize) {
        let (to, text) = (self.friends[whom].name, format!("text {}", self.alice.said.len()));
        if self.alice.is_over {
            return;
        }
        if self.alice.client.say(to, &text, Some(text.clone())).is_ok() {
            self.alice.said.insert(text, to);
        }
    }

    /// Whether what she is told is written out.
    pub(crate) fn show(&mut self, shows: bool) {
        self.alice.shows = shows;
    }

    // --- Time ---

    pub(crate) fn pass(&mut self, time: Duration) {
        self.settle();
        self.kernel.advance(time);
        self.settle();
    }

    /// Lets the loop turn until there is nothing to do at this time.
    ///
    /// # Panics
    /// If it does not come to rest.
    pub(crate) fn settle(&mut self) {
        let mut idle = 0;
        for turn in 0..TURNS {
            self.ours.calls();
            let tick = self.reactor.tick(&mut self.alice, Some(Duration::ZERO));
            assert_eq!(tick, Ok(()));
            self.cut = if turn < PATIENCE { self.cut } else { usize::MAX };
            let is_idle = !self.turn();
            idle = if is_idle { idle + 1 } else { 0 };
            if idle == 3 {
                self.look();
                return;
            }
        }
        panic!("the loop does not come to rest");
    }

    /// The relay's turn. Returns whether anybody did anything.
    fn turn(&mut self) -> bool {
        let waits = |call: &Call| call.op == Op::Wait && call.outcome == Ok(0);
        let mut moves = !self.ours.calls().iter().all(waits);
        if let Ok((io, _)) = self.relay.accept(self.listener) {
            self.hang_up(0); // she has only one
            let engine = self.tls.as_ref().and_then(ServerTls::engine);
            self.line = Some(Line::new(io, engine.map(Tunnel::new)));
            moves = true;
        }
        let Some(line) = &mut self.line else { return moves };
        let some = &line.unsent[..self.cut.min(line.unsent.len())];
        if !some.is_empty() {
            match self.relay.writev(line.io, &[IoSlice::new(some)]) {
                Ok(count) => {
                    line.unsent.drain(..count);
                    self.spoken += count;
                    moves |= count > 0;
                }
                Err(Errno::EAGAIN) => {}
                Err(_) => line.unsent.clear(),
            }
        }
        let mut buffer = [0; 4096];
        match self.relay.read(line.io, &mut buffer) {
            Ok(count) if count > 0 => {
                self.heard += count;
                if line.open(&buffer[..count]) {
                    self.hear();
                } else {
                    self.hang_up(0); // an alert
                }
                true
            }
            Err(Errno::EAGAIN) => moves,
            Ok(_) | Err(_) => {
                self.hang_up(0);
                true
            }
        }
    }

    /// Cuts what she said into requests, each of which a relay would take.
    fn hear(&mut self) {
        while let Some(line) = &mut self.line {
            let frame = match Scanner::default().scan(&line.bytes, MAX_FRAME) {
                Scan::Frame(place) => line.bytes[place.clone()].to_vec(),
                Scan::Incomplete { .. } => return,
                Scan::Refused(fault) => panic!("she says no frame: {fault:?}"),
            };
            line.bytes.drain(..=frame.len()); // and its line end
            line.requests.push_back(frame.clone());
            self.note(&frame);
        }
    }

    /// Looks at one request of hers.
    fn note(&mut self, frame: &[u8]) {
        let request = Request::parse(frame);
        let request = request.unwrap_or_else(|refusal| panic!("no relay takes it: {refusal:?}"));
        let Some(line) = &mut self.line else { return };
        match request.body {
            Body::Register(register) => {
                let v2 = register.v2.unwrap_or_else(|| panic!("an original registration"));
                (line.cnonce, self.prekey) = (Some(v2.cnonce), Some(v2.prekey));
            }
            Body::Prove { .. } => assert!(line.is_proper, "a proof for another relay"),
            Body::Prekey(prekey) => self.prekey = Some(prekey),
            Body::Forward(forward) => {
                if forward.kind == ForwardKind::SendKey {
                    let key = Members::of(frame).text("key").unwrap_or_default();
                    let offer = SessionOffer::parse(&key).ok();
                    let friend = self.friends.iter().find(|friend| friend.name == forward.to);
                    let expected = friend.map(|friend| friend.key().fingerprint());
                    assert_eq!(offer.map(|offer| *offer.recipient()), expected, "sealed to");
                }
                self.numbered.extend(request.id.map(Into::into));
                self.keep(frame.to_vec());
            }
            _ => {}
        }
    }

    /// What she tells has to be true, and what she says in measure.
    fn look(&mut self) {
        let Self { alice, friends, .. } = self;
        let friend = |name: &str| {
            let friend = friends.iter().enumerate().find(|(_, friend)| friend.name == name);
            friend.unwrap_or_else(|| panic!("{name} is nobody"))
        };
        for (from, text, trust) in alice.messages.drain(..) {
            let (place, friend) = friend(&from);
            assert!(friend.said.contains(&text), "{from} never said {text}");
            assert_eq!(trust == Trust::Verified, place == BOB_AT, "how far {from} is trusted");
            assert!(alice.told.insert((from, text)), "told twice");
        }
        for (id, to) in alice.confirmed.drain(..) {
            assert!(friend(&to).1.confirmed.contains(&id), "{to} never confirmed {id}");
            assert_eq!(alice.said.get(&id), Some(&&*to), "another's text");
            assert!(alice.settled.insert(id), "settled twice");
        }
        let seconds = usize::try_from(self.kernel.now().as_nanos() / 1_000_000_000);
        let seconds = seconds.unwrap_or(usize::MAX);
        let most = BYTES_FIRST + BYTES_EACH * self.spoken + BYTES_A_SECOND.saturating_mul(seconds);
        assert!(self.heard <= most, "{} bytes, and {} were said to her", self.heard, self.spoken);
    }
}

impl Line {
    fn new(io: Io, tunnel: Option<Tunnel>) -> Self {
        Self {
            io,
            tunnel,
            unsealed: Vec::new(),
            unsent: Vec::new(),
            bytes: Vec::new(),
            requests: VecDeque::new(),
            cnonce: None,
            is_proper: false,
        }
    }
    /// What TLS takes of what is to be said, and what TLS has to say itself, is to be sent.
    fn seal(&mut self) {
        let Some(tunnel) = &mut self.tunnel else {
            return self.unsent.append(&mut self.unsealed);
        };
        tunnel.seal_all(&mut self.unsealed, &mut self.unsent);
    }

    /// Takes what she sent. Returns false where she ends TLS with an alert.
    fn open(&mut self, wire: &[u8]) -> bool {
        let Some(tunnel) = &mut self.tunnel else {
            self.bytes.extend_from_slice(wire);
            return true;
        };
        let opened = tunnel.open(wire).map_err(Fault::of);
        self.bytes.append(&mut tunnel.plain);
        self.seal();
        assert!(matches!(opened, Ok(()) | Err(Fault::Alert)), "her TLS: {opened:?}");
        opened.is_ok()
    }
}
