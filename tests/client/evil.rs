//! A relay that does what a test tells it: by default what the protocol asks for, without checks.

use std::collections::BTreeMap;

use sealwax::crypto::RelayKey;
use sealwax::limits::MAX_FRAME;
use sealwax::reactor::{CloseReason, Context, Handler, Opened, Timeout, Token};
use sealwax::wire::{Scan, Scanner};
use serde_json::{Value, json};

use crate::boxes::Boxes;
use crate::support::guest::{Guest, nobody};

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
    /// It keeps letters.
    pub(crate) boxes: Option<Boxes>,
    /// Asked about each `letter`, which it may change.
    pub(crate) letter_fate: Fate,
    /// All frames that came, in order.
    pub(crate) log: Vec<Value>,
    /// All frames that were forwarded, as they were then.
    pub(crate) forwarded: Vec<Value>,
    connections: BTreeMap<Token, Connection>,
}

#[derive(Default)]
struct Connection {
    scanner: Scanner,
    guest: Guest,
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
            boxes: None,
            letter_fate: Box::new(|_| Verdict::Forward),
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
        let mut guests = self.connections.values().map(|user| &user.guest);
        let Some(guest) = guests.find(|guest| guest.name == name && guest.is_registered) else {
            let away = self.boxes.as_ref().and_then(|boxes| boxes.away(name));
            return away.unwrap_or_else(|| nobody(name));
        };
        let mut answer = guest.as_pubkey();
        if let Some(key) = self.boxes.as_ref().and_then(|boxes| boxes.key(name)) {
            answer["letter_key"] = key.clone();
        }
        answer
    }

    /// Sends `frame` to the user `name`.
    pub(crate) fn tell(&self, cx: &mut Context, name: &str, frame: &Value) {
        self.tell_bytes(cx, name, frame.to_string().as_bytes());
    }

    /// Sends bytes to the user `name`, and says whether there is one.
    pub(crate) fn tell_bytes(&self, cx: &mut Context, name: &str, bytes: &[u8]) -> bool {
        let is_it = |user: &Connection| user.guest.name == name && user.guest.is_registered;
        let Some((&id, _)) = self.connections.iter().find(|(_, user)| is_it(user)) else {
            return false;
        };
        cx.send(id, &[bytes, b"\n"]);
        true
    }

    /// Sends `frame` to whoever has not registered.
    pub(crate) fn tell_unregistered(&self, cx: &mut Context, frame: &Value) {
        let unregistered = self.connections.iter().filter(|(_, user)| !user.guest.is_registered);
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
        let Some(Connection { guest, .. }) = self.connections.get_mut(&from) else { return };
        match frame["action"].as_str().expect("an action") {
            "register" if let Some(code) = self.refusal => {
                let error = json!({"action": "error", "code": code, "detail": "because"});
                cx.send(from, &[error.to_string().as_bytes()]);
            }
            "register" if self.forges => {
                cx.send(from, &[&guest.forged_challenge(&self.key, &frame)]);
            }
            "get_pubkey" => {
                let target = frame["target"].as_str().expect("a name");
                let answer = self.pubkeys.get(target).cloned();
                let answer = answer.unwrap_or_else(|| self.pubkey_of(target));
                if !answer.is_null() {
                    cx.send(from, &[answer.to_string().as_bytes(), b"\n"]);
                }
            }
            "send_key" | "message" => {
                frame["from"] = guest.name.clone().into();
                self.forward(cx, from, frame);
            }
            "letterbox" | "letters" | "ack" | "letter" => self.letters(cx, from, frame),
            "register" | "prove" | "prekey" | "ping" => {
                if let (Some(boxes), true) = (&mut self.boxes, frame["action"] == "register") {
                    boxes.registers(frame["name"].as_str().expect("a name"), &frame["pubkey"]);
                }
                let answer = guest.answer(&self.key, self.max_frame, &frame);
                answer.inspect(|answer| cx.send(from, &[answer]));
            }
            other => panic!("the client sent {other}"),
        }
    }

    fn letters(&mut self, cx: &mut Context, from: Token, mut frame: Value) {
        let Some(boxes) = &mut self.boxes else {
            let error = json!({"action": "error", "code": "unknown_action", "detail": "new"});
            return cx.send(from, &[error.to_string().as_bytes()]);
        };
        let name = self.connections[&from].guest.name.clone();
        if frame["action"] == "letter" {
            match (self.letter_fate)(&mut frame) {
                Verdict::Forward => {}
                Verdict::Swallow => return,
                Verdict::Refuse(code) => {
                    let (id, to) = (&frame["id"], &frame["to"]);
                    let error = json!({"action": "error", "code": code, "detail": "because",
                                       "id": id, "to": to});
                    return cx.send(from, &[error.to_string().as_bytes()]);
                }
            }
        }
        let (answer, to) = boxes.frame(&name, &frame);
        let delivered = boxes.deliver(&to);
        answer.inspect(|answer| cx.send(from, &[answer.to_string().as_bytes(), b"\n"]));
        for frame in &delivered {
            self.tell(cx, &to, frame);
        }
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

    fn timed_out(&mut self, _cx: &mut Context, _id: Token, _deadline: Timeout) {}

    fn closed(&mut self, _cx: &mut Context, id: Token, _reason: CloseReason) {
        self.connections.remove(&id);
    }
}
