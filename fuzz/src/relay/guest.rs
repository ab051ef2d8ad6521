//! One connection, from the outside: what it said, what it was told, and whether that fits.

use std::collections::BTreeMap;

use nix::errno::Errno;
use sealwax::crypto::{PrekeyPair, Vault, register_proof, sha256, tuple};
use sealwax::limits::MLKEM_KEY;
use sealwax::tls::{FIRST_BYTE, Fault};
use sealwax::wire::{
    Bind, Body, Forwarded, Incoming, LetterKey, LetterKind, Prekey, Registration2, Reply, Request,
    RosterMode, Scan, Scanner, TakeMode, base64, compose,
};

use super::super::json::Members;
use super::super::kernel::Peer;
use super::super::opening::{ALICE, BOB};
use super::super::transform::Tunnel;
use super::super::vault::FakeVault;
use super::room::MAX_FRAME;

const CNONCE: [u8; 32] = [7; 32];

/// One connection.
pub(crate) struct Guest {
    /// None: it was closed, from this side.
    peer: Option<Peer>,
    pub(crate) serial: usize,
    /// How many bytes it sends at a time.
    pub(crate) cut: usize,
    /// Its end of TLS; none: it speaks in the clear.
    tunnel: Option<Tunnel>,
    /// What it has to say and TLS has not taken; always empty in the clear.
    unsealed: Vec<u8>,
    /// What it has still to send, and what it has said.
    unsent: Vec<u8>,
    said: Vec<u8>,
    /// It sent what does not open, or ended TLS: nothing is owed to it from then on.
    is_spoilt: bool,
    is_shut: bool,
    /// The relay has closed it.
    is_over: bool,
    /// The frame that has not ended.
    heard: Vec<u8>,
    /// How often each id was answered.
    answers: BTreeMap<String, usize>,
    /// Who is here, as it was told last.
    pub(crate) users: Vec<String>,
    vault: Option<FakeVault>,
    claim: Option<(&'static str, Prekey)>,
    challenge: Option<([u8; 32], [u8; 32])>,
    asked: usize,
    /// The number of the letter that came last.
    letter: u64,
}

/// Something that it was told, of interest to the room.
pub(crate) enum Told {
    /// A message has come.
    Content(String),
    /// The message with this id stands in a queue.
    Relayed(String),
}

impl Guest {
    pub(crate) fn new(peer: Peer, serial: usize, tunnel: Option<Tunnel>) -> Self {
        let mut guest = Self {
            peer: Some(peer),
            serial,
            cut: usize::MAX,
            tunnel,
            unsealed: Vec::new(),
            unsent: Vec::new(),
            said: Vec::new(),
            is_spoilt: false,
            is_shut: false,
            is_over: false,
            heard: Vec::new(),
            answers: BTreeMap::new(),
            users: Vec::new(),
            vault: None,
            claim: None,
            challenge: None,
            asked: 0,
            letter: 0,
        };
        guest.seal(); // whoever speaks TLS begins at once
        guest
    }

    // --- What it says ---

    pub(crate) fn say(&mut self, bytes: &[u8]) {
        self.unsealed.extend_from_slice(bytes);
        self.seal();
        self.push();
    }

    /// Sends bytes as they are: where it speaks TLS, they are no record, or one that does not open.
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.is_spoilt |= self.tunnel.is_some() && !bytes.is_empty();
        self.unsent.extend_from_slice(bytes);
        self.push();
    }

    /// What TLS takes of what it has to say, and what TLS has to say itself, is to be sent.
    fn seal(&mut self) {
        let Some(tunnel) = &mut self.tunnel else {
            return self.unsent.append(&mut self.unsealed);
        };
        self.said.extend(tunnel.seal_all(&mut self.unsealed, &mut self.unsent));
    }

    /// Whether the handshake of TLS goes on.
    pub(crate) fn is_greeting(&self) -> bool {
        let tunnel = self.tunnel.as_ref().filter(|_| !self.is_over);
        tunnel.is_some_and(|tunnel| tunnel.engine.binding().is_none())
    }

    /// Sends some of what it has to say; whether the relay's end took anything.
    pub(crate) fn push(&mut self) -> bool {
        let Some(peer) = self.peer.as_mut().filter(|_| !self.is_shut && !self.unsent.is_empty())
        else {
            return false;
        };
        let taken = peer.send(&self.unsent[..self.cut.min(self.unsent.len())]);
        let sent = self.unsent.drain(..taken);
        if self.tunnel.is_none() {
            self.said.extend(sent);
        }
        taken > 0
    }

    pub(crate) fn register(&mut self, name: &str, roster: RosterMode) {
        self.say(&compose::register(name, &ALICE.to_pem(), roster, None));
    }

    pub(crate) fn register_v2(&mut self, name: &'static str, other: bool, roster: RosterMode) {
        let vault = FakeVault::new(if other { BOB.clone() } else { ALICE.clone() });
        let prekey = PrekeyPair::new(&vault, 1_000).publish(&vault, name);
        let v2 = Registration2 { cnonce: CNONCE, prekey: prekey.clone(), bind: Bind::None };
        self.say(&compose::register(name, &vault.public().to_pem(), roster, Some(&v2)));
        (self.vault, self.claim) = (Some(vault), Some((name, prekey)));
    }

    /// Proves what it claimed last, as it was asked to last.
    pub(crate) fn prove(&mut self) {
        let Some(((relay, nonce), (name, prekey))) = self.challenge.zip(self.claim.as_ref()) else {
            return;
        };
        let Some(vault) = &self.vault else { return };
        let fp = vault.public().fingerprint();
        let proof = register_proof(&relay, &nonce, &CNONCE, name, &fp, prekey, None);
        let proof = compose::prove(&vault.sign(&proof));
        self.say(&proof);
    }

    pub(crate) fn renew_prekey(&mut self) {
        let Some((_, prekey)) = &self.claim else { return };
        let frame = compose::prekey(prekey);
        self.say(&frame);
    }

    pub(crate) fn ping(&mut self) {
        let id = self.id();
        self.say(&compose::ping(&id));
    }

    pub(crate) fn look_up(&mut self, target: &str) {
        let id = self.id();
        let frame = format!(r#"{{"action":"get_pubkey","target":"{target}","id":"{id}"}}"#);
        self.say(frame.as_bytes());
    }

    pub(crate) fn look_up_with_letters(&mut self, target: &str) {
        self.say(&compose::get_pubkey(target, "me"));
    }

    /// Leaves a key for letters.
    pub(crate) fn open_letterbox(&mut self, id: u32) {
        let (mlkem, signature) = (Box::new([7; MLKEM_KEY]), vec![9; 4]);
        let (created, expires, x25519) = (u64::from(id), 1_000_000, [8; 32]);
        let key = LetterKey { id, created, expires, x25519, mlkem, signature };
        self.say(&compose::letterbox(&key));
    }

    /// Stores a letter.
    pub(crate) fn store(&mut self, to: &str, kind: LetterKind, key_id: u32, size: usize) {
        let id = self.id();
        self.say(&compose::letter(to, "me", &id, (kind, key_id), &"-".repeat(size)));
    }

    pub(crate) fn take_letters(&mut self, mode: TakeMode) {
        self.say(&compose::letters(mode));
    }

    /// Acknowledges the letter that came last.
    pub(crate) fn acknowledge(&mut self) {
        let number = self.letter;
        self.say(&compose::ack(number));
    }

    /// Sends a message, or a key, with an id that comes in its body again. Returns the id.
    pub(crate) fn send(&mut self, is_message: bool, to: &str, size: usize) -> String {
        let id = self.id();
        let (action, body) = if is_message { ("message", "content") } else { ("send_key", "key") };
        // Of the version that it most likely is of.
        let v = if self.claim.is_some() { r#","v":2"# } else { "" };
        let fill = "-".repeat(size);
        let frame =
            format!(r#"{{"action":"{action}","to":"{to}"{v},"id":"{id}","{body}":"{id}{fill}"}}"#);
        self.say(frame.as_bytes());
        id
    }

    /// An id that nobody guesses.
    fn id(&mut self) -> String {
        self.asked += 1;
        let hash = sha256(&tuple(&[b"id", &self.serial.to_be_bytes(), &self.asked.to_be_bytes()]));
        base64::encode(&hash[..12])
    }

    // --- What it hears ---

    /// Reads at most `most` bytes. Returns how many came, and what it was told.
    pub(crate) fn hear(&mut self, most: usize) -> (usize, Vec<Told>) {
        let peer = self.peer.as_mut().filter(|_| most > 0 && !self.is_over);
        let Some(peer) = peer else { return (0, Vec::new()) };
        let bytes = match peer.receive(most) {
            Ok(bytes) => bytes,
            Err(Errno::EAGAIN) => return (0, Vec::new()),
            Err(_) => {
                self.is_over = true;
                return (0, Vec::new());
            }
        };
        if bytes.is_empty() {
            self.is_over = true;
        }
        self.open(&bytes);
        let mut told = Vec::new();
        while let Some(end) = self.heard.iter().position(|&byte| byte == b'\n') {
            let frame: Vec<u8> = self.heard.drain(..=end).collect();
            told.extend(self.frame(&frame[..end]));
        }
        (bytes.len(), told)
    }

    fn open(&mut self, bytes: &[u8]) {
        let Some(tunnel) = &mut self.tunnel else {
            // Whoever begins with TLS and does not speak it cannot read what comes.
            if self.said.first() != Some(&FIRST_BYTE) {
                self.heard.extend_from_slice(bytes);
            }
            return;
        };
        let opened = tunnel.open(bytes).map_err(Fault::of);
        // A relay that has read nothing yet answers in the clear.
        let is_clear = opened == Err(Fault::NoTls) && bytes.starts_with(b"{");
        let is_alert = opened == Err(Fault::Alert);
        let is_fine = opened.is_ok() || is_alert || is_clear || self.is_spoilt;
        assert!(is_fine, "the relay's TLS: {opened:?}");
        self.is_over |= opened.is_err() || tunnel.is_over;
        self.heard.append(&mut tunnel.plain);
        self.seal();
    }

    fn frame(&mut self, frame: &[u8]) -> Option<Told> {
        let found = Scanner::default().scan(frame, frame.len());
        assert_eq!(found, Scan::Frame(0..frame.len()), "one object a line");
        let _ = Members::of(frame); // which `serde_json` reads too
        let incoming = Incoming::parse(frame);
        let incoming = incoming.unwrap_or_else(|fault| panic!("no client reads it: {fault:?}"));
        let (id, told) = match incoming {
            Incoming::Forwarded(Forwarded { body, .. }) => {
                return Some(Told::Content(body.into_owned()));
            }
            Incoming::Reply(Reply::Challenge { relay, nonce, .. }) => {
                self.challenge = Some((relay, nonce));
                return None;
            }
            Incoming::Userlist { users } => {
                self.users = users.into_iter().map(Into::into).collect();
                return None;
            }
            Incoming::Letter(letter) => {
                self.letter = letter.number;
                return None;
            }
            Incoming::Reply(Reply::Stored { id, .. }) => (Some(id), None),
            Incoming::Reply(Reply::Relayed { id, .. }) => {
                (Some(id.clone()), Some(Told::Relayed(id.into_owned())))
            }
            Incoming::Reply(Reply::Error { id, .. } | Reply::Pong { id }) => (id, None),
            _ => return None,
        };
        if let Some(id) = id {
            *self.answers.entry(id.into_owned()).or_default() += 1;
        }
        told
    }

    // --- How it ends ---

    /// Whether it is connected, with both directions open, as far as it knows.
    pub(crate) fn is_here(&self) -> bool {
        self.peer.is_some() && !self.is_over && !self.is_shut
    }

    /// Leaves: by closing (0), with a reset (1), or by saying that nothing more comes. Before that
    /// it `ends_tls`, or leaves without a word there.
    pub(crate) fn leave(&mut self, how: usize, ends_tls: bool) {
        if let Some(tunnel) = self.tunnel.as_mut().filter(|_| ends_tls) {
            let goodbye = tunnel.finish();
            self.put(&goodbye);
        }
        if how == 2 {
            self.is_shut = true;
            return self.peer.iter_mut().for_each(Peer::shut);
        }
        match self.peer.take() {
            Some(peer) if how == 0 => peer.close(),
            Some(peer) => peer.reset(),
            None => {}
        }
    }

    /// Holds its answers against its questions. Of whoever `is_done` (is here, has sent all and
    /// heard all) none is missing; otherwise none is too many.
    pub(crate) fn was_answered(&self, is_done: bool) {
        let mut asked: BTreeMap<String, (usize, usize)> = BTreeMap::new();
        let (mut scanner, mut rest) = (Scanner::default(), &self.said[..]);
        while let Scan::Frame(place) = scanner.scan(rest, MAX_FRAME) {
            let (frame, behind) = (&rest[place.clone()], &rest[place.end..]);
            rest = behind;
            // Some are answered by something that names no id, unless they are refused.
            let (id, is_owed) = match Request::parse(frame) {
                Err(refusal) => (refusal.id, true),
                Ok(Request { id, body, .. }) => {
                    let is_owed = matches!(body, Body::Forward(_) | Body::Letter(_) | Body::Ping);
                    (id.map(Into::into), is_owed)
                }
            };
            if let Some(id) = id {
                let (least, most) = asked.entry(id).or_default();
                (*least, *most) = (*least + usize::from(is_owed), *most + 1);
            }
        }
        for (id, &count) in &self.answers {
            let most = asked.get(id).map_or(0, |(_, most)| *most);
            assert!(count <= most, "{id}: asked {most} times and answered {count} times");
        }
        let has_sent = self.tunnel.is_none() || self.unsent.is_empty();
        let is_owed = is_done && self.is_here() && has_sent && !self.is_spoilt;
        for (id, (least, _)) in asked.iter().filter(|_| is_owed) {
            let count = self.answers.get(id).copied().unwrap_or(0);
            assert!(count >= *least, "{id}: asked {least} times and answered {count} times");
        }
    }
}
