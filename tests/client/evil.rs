//! A relay that does what a test tells it: by default what the protocol asks for, without checks.

use std::collections::BTreeMap;

use sealwax::crypto::{RelayKey, relay_challenge};
use sealwax::limits::MAX_FRAME;
use sealwax::reactor::{CloseReason, Context, Deadline, Handler, Opened, Token};
use sealwax::wire::{Fingerprint, Reply, Scan, Scanner, WireLimits, base64};
use serde_json::{Value, json};

/// What becomes of a frame that a user sends another.
type Fate = Box<dyn FnMut(&mut Value) -> Verdict>;

/// What the relay does with one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Forward,
    /// Says `relayed`, and does not forward.
    Swallow,
    /// Answers with this error.
    Refuse(&'static str),
}

pub(crate) struct EvilRelay {
    pub(crate) key: RelayKey,
    /// Asked about each `send_key` and `message`, which it may change.
    pub(crate) fate: Fate,
    /// Answered to `get_pubkey` instead of what was registered; `null`: silence.
    pub(crate) pubkeys: BTreeMap<String, Value>,
    /// Answered to `register` instead of a challenge.
    pub(crate) refusal: Option<&'static str>,
    /// Signs challenges wrongly.
    pub(crate) forges: bool,
    /// The limit that it tells.
    pub(crate) max_frame: usize,
    /// Says nothing.
    pub(crate) is_mute: bool,
    /// All frames that came, in order.
    pub(crate) log: Vec<Value>,
    /// All frames that were forwarded, as they were then.
    pub(crate) forwarded: Vec<Value>,
    connections: BTreeMap<Token, Connection>,
}

#[derive(Default)]
struct Connection {
    scanner: Scanner,
    name: String,
    fp: String,
    pubkey: String,
    prekey: Value,
    is_registered: bool,
}

impl EvilRelay {
    pub(crate) fn new() -> Self {
        Self {
            key: RelayKey::generate().0,
            fate: Box::new(|_| Verdict::Forward),
            pubkeys: BTreeMap::new(),
            refusal: None,
            forges: false,
            max_frame: MAX_FRAME,
            is_mute: false,
            log: Vec::new(),
            forwarded: Vec::new(),
            connections: BTreeMap::new(),
        }
    }

    /// How many frames with this action came.
    pub(crate) fn count(&self, action: &str) -> usize {
        self.log.iter().filter(|frame| frame["action"] == action).count()
    }

    /// The answer to a `get_pubkey` for `name`, to be changed by a test.
    pub(crate) fn pubkey_of(&self, name: &str) -> Value {
        let Some(user) = self.connections.values().find(|user| user.name == name) else {
            return json!({"action": "error", "code": "unknown_user", "detail": "", "target": name});
        };
        json!({"action": "pubkey", "from": name, "pubkey": user.pubkey, "v": 2,
               "prekey": user.prekey})
    }

    /// Sends `frame` to the user `name`.
    pub(crate) fn tell(&self, cx: &mut Context, name: &str, frame: &Value) {
        self.tell_bytes(cx, name, frame.to_string().as_bytes());
    }

    /// Sends bytes to the user `name`, and says whether there is one.
    pub(crate) fn tell_bytes(&self, cx: &mut Context, name: &str, bytes: &[u8]) -> bool {
        let is_it = |user: &Connection| user.name == name && user.is_registered;
        let Some((&id, _)) = self.connections.iter().find(|(_, user)| is_it(user)) else {
            return false;
        };
        cx.send(id, &[bytes, b"\n"]);
        true
    }

    /// Sends `frame` to whoever has not registered.
    pub(crate) fn tell_unregistered(&self, cx: &mut Context, frame: &Value) {
        let unregistered = self.connections.iter().filter(|(_, user)| !user.is_registered);
        unregistered.for_each(|(&id, _)| cx.send(id, &[frame.to_string().as_bytes()]));
    }

    /// Ends all connections.
    pub(crate) fn drop_all(&mut self, cx: &mut Context) {
        self.connections.keys().for_each(|&id| cx.abort(id));
    }

    fn frame(&mut self, cx: &mut Context, from: Token, mut frame: Value) {
        self.log.push(frame.clone());
        if self.is_mute {
            return;
        }
        let text = |frame: &Value, name: &str| frame[name].as_str().unwrap_or_default().to_owned();
        let Some(user) = self.connections.get_mut(&from) else { return };
        match frame["action"].as_str() {
            Some("register") => {
                (user.name, user.pubkey) = (text(&frame, "name"), text(&frame, "pubkey"));
                user.prekey = frame["prekey"].clone();
                let cnonce = base64::decode_array(&text(&frame, "cnonce")).expect("a cnonce");
                self.challenge(cx, from, cnonce);
            }
            Some("prove") => {
                user.is_registered = true;
                let fp = user.fp.parse().expect("a fingerprint");
                let name = user.name.as_str().into();
                let limits = WireLimits::new(self.max_frame);
                cx.send(from, &[&Reply::Registered { name, fp, limits }.encode()]);
            }
            Some("prekey") => user.prekey = frame["prekey"].clone(),
            Some("get_pubkey") => {
                let target = text(&frame, "target");
                let answer = self.pubkeys.get(&target).cloned();
                let answer = answer.unwrap_or_else(|| self.pubkey_of(&target));
                if !answer.is_null() {
                    cx.send(from, &[answer.to_string().as_bytes(), b"\n"]);
                }
            }
            Some("send_key" | "message") => {
                frame["from"] = user.name.clone().into();
                self.forward(cx, from, frame);
            }
            Some("ping") => {
                let id = frame["id"].as_str().map(Into::into);
                cx.send(from, &[&Reply::Pong { id }.encode()]);
            }
            other => panic!("the client sent {other:?}"),
        }
    }

    fn challenge(&mut self, cx: &mut Context, to: Token, cnonce: [u8; 32]) {
        if let Some(code) = self.refusal {
            let error = json!({"action": "error", "code": code, "detail": "because"});
            return cx.send(to, &[error.to_string().as_bytes()]);
        }
        let Some(user) = self.connections.get_mut(&to) else { return };
        let key = sealwax::crypto::PublicKey::from_pem(&user.pubkey).expect("a key");
        let fp: Fingerprint = key.fingerprint();
        user.fp = fp.to_string();
        let (relay, nonce) = (self.key.public(), [if self.forges { 1 } else { 2 }; 32]);
        let signature = self.key.sign(&relay_challenge(&relay, &cnonce, &[2; 32], &fp));
        cx.send(to, &[&Reply::Challenge { relay, nonce, signature }.encode()]);
    }

    fn forward(&mut self, cx: &mut Context, from: Token, mut frame: Value) {
        let (id, to) =
            (frame["id"].clone(), frame["to"].as_str().expect("an addressee").to_owned());
        let mut verdict = (self.fate)(&mut frame);
        let text = frame.to_string();
        if verdict == Verdict::Forward && !self.tell_bytes(cx, &to, text.as_bytes()) {
            verdict = Verdict::Refuse("unknown_user");
        }
        let answer = match verdict {
            Verdict::Refuse(code) => {
                let mut error = json!({"action": "error", "code": code, "detail": "", "to": to});
                if !id.is_null() {
                    error["id"] = id;
                }
                error
            }
            _ if id.is_null() => return self.forwarded.push(frame),
            _ => {
                self.forwarded.push(frame);
                let prekey = self.pubkey_of(&to)["prekey"]["id"].clone();
                json!({"action": "relayed", "id": id, "to": to, "prekey": prekey})
            }
        };
        cx.send(from, &[answer.to_string().as_bytes(), b"\n"]);
    }
}

impl Handler for EvilRelay {
    fn opened(&mut self, _cx: &mut Context, id: Token, how: Opened) {
        if let Opened::Accepted { .. } = how {
            self.connections.insert(id, Connection::default());
        }
    }

    fn received(&mut self, cx: &mut Context, from: Token, bytes: &[u8]) -> usize {
        let mut consumed = 0;
        while let Some(user) = self.connections.get_mut(&from) {
            match user.scanner.scan(&bytes[consumed..], MAX_FRAME) {
                Scan::Frame(place) => {
                    let frame = &bytes[consumed..][place.clone()];
                    consumed += place.end;
                    let frame = serde_json::from_slice(frame).expect("the client sends JSON");
                    self.frame(cx, from, frame);
                }
                Scan::Incomplete { consumed: space } => return consumed + space,
                Scan::Refused(fault) => panic!("the client sent what is no frame: {fault:?}"),
            }
        }
        bytes.len()
    }

    fn ended(&mut self, cx: &mut Context, from: Token, _rest: &[u8]) {
        cx.close(from);
    }

    fn expired(&mut self, _cx: &mut Context, _id: Token, _deadline: Deadline) {}

    fn closed(&mut self, _cx: &mut Context, id: Token, _reason: CloseReason) {
        self.connections.remove(&id);
    }
}
