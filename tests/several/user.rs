//! One user of a crowd, who checks all that comes.

use std::collections::{BTreeMap, BTreeSet};

use sealwax::wire::RosterMode;
use serde_json::{Value, json};

use super::support::relay::{Account, Client};
use super::support::several::Several;

/// An original, or one of version 2.
pub struct User {
    pub number: usize,
    pub account: Account,
    pub relay: usize,
    /// Whom its rosters have.
    pub listed: BTreeSet<String>,
    client: Option<Client>,
    /// How many messages it has written to each.
    written: BTreeMap<usize, u64>,
    /// The ids that were not answered, and how they may be.
    unanswered: BTreeMap<String, &'static [&'static str]>,
    /// What has to come: of whom, and its number.
    awaited: BTreeSet<(String, u64)>,
    /// The same of what may come.
    perhaps: BTreeSet<(String, u64)>,
    /// The number of the last message of each that came on this connection.
    last: BTreeMap<String, u64>,
}

impl User {
    pub fn new(number: usize, account: Account, relay: usize) -> Self {
        Self {
            number,
            account,
            relay,
            client: None,
            listed: BTreeSet::new(),
            written: BTreeMap::new(),
            unanswered: BTreeMap::new(),
            awaited: BTreeSet::new(),
            perhaps: BTreeSet::new(),
            last: BTreeMap::new(),
        }
    }

    pub fn name(&self) -> String {
        self.account.name.to_owned()
    }

    pub const fn is_original(&self) -> bool {
        self.number.is_multiple_of(2)
    }

    fn client(&mut self) -> &mut Client {
        self.client.as_mut().expect("it is connected")
    }

    pub fn send(&mut self, frame: &Value) {
        self.client().send(frame);
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.client().write(bytes);
    }

    // --- To come and to leave ---

    /// Connects and asks to be registered.
    pub fn connect(&mut self, several: &Several) {
        self.client = Some(several.connect(self.relay));
        self.listed.clear();
        self.last.clear();
        let claim = if self.is_original() {
            json!({"action": "register", "name": self.name(), "pubkey": self.account.pem()})
        } else {
            self.account.claim(RosterMode::Delta)
        };
        self.send(&claim);
    }

    /// Answers the challenge, if there is one.
    pub fn prove(&mut self) {
        if !self.is_original() {
            let challenge = self.client().line();
            let proof = self.account.prove(&challenge);
            self.send(&proof);
        }
    }

    /// The relay says that it is registered.
    pub fn registered(&mut self) {
        let frame = self.client().frame();
        let action = if self.is_original() { "userlist" } else { "registered" };
        assert_eq!(frame["action"], action, "{frame}");
        if self.is_original() {
            self.take(&frame);
        }
        assert!(!self.is_original() || self.listed.contains(self.account.name));
    }

    pub fn leave(&mut self) {
        self.client = None;
    }

    /// Comes back at this relay. The name of an original is in use until its relay has noticed
    /// that it has left.
    pub fn come(&mut self, several: &Several, relay: usize) {
        self.relay = relay;
        loop {
            self.connect(several);
            self.prove();
            let frame = self.client().frame();
            if frame["code"] == "name_in_use" && self.is_original() {
                std::thread::yield_now();
                continue;
            }
            let action = if self.is_original() { "userlist" } else { "registered" };
            assert_eq!(frame["action"], action, "{frame}");
            if self.is_original() {
                self.take(&frame);
            }
            return;
        }
    }

    /// Comes to this relay while it is still connected: the older connection is told and ended.
    pub fn replace(&mut self, several: &Several, relay: usize) {
        let mut old = self.client.take().expect("it is connected");
        let (listed, last) = (self.listed.clone(), self.last.clone());
        self.come(several, relay);
        let new =
            (std::mem::replace(&mut self.listed, listed), std::mem::replace(&mut self.last, last));
        loop {
            let frame = old.frame();
            if frame["code"] == "replaced" {
                break old.closed();
            }
            self.take(&frame);
        }
        (self.listed, self.last) = new;
    }

    // --- To write ---

    /// The next message to `to`, which notes that it has to come, or that it may.
    pub fn message(&mut self, to: &mut Self, is_away: bool) -> Vec<u8> {
        let number = self.written.entry(to.number).or_default();
        *number += 1;
        let number = *number;
        let mut frame = json!({
            "action": "message",
            "to": to.account.name,
            "number": number,
            "content": content(self.account.name, to.account.name, number),
        });
        let is_same = self.is_original() == to.is_original();
        if !self.is_original() {
            frame["v"] = json!(2);
        }
        // Originals know no ids: some of theirs have none, and are answered only where they fail.
        if !self.is_original() || !is_same || is_away || number.is_multiple_of(2) {
            let id = format!("{number} for {}", to.account.name);
            let answers: &[&str] = match (is_same, is_away) {
                (true, false) => &["relayed"],
                (true, true) => &["relayed", "unknown_user"],
                (false, false) => &["not_v2"],
                (false, true) => &["not_v2", "unknown_user"],
            };
            frame["id"] = json!(id);
            assert!(self.unanswered.insert(id, answers).is_none());
        }
        if is_same {
            let comes = if is_away { &mut to.perhaps } else { &mut to.awaited };
            comes.insert((self.name(), number));
        }
        frame.to_string().into_bytes()
    }

    // --- To read ---

    /// Takes frames up to the first of this action, which it returns.
    pub fn wait_for(&mut self, action: &str) -> Value {
        loop {
            let frame = self.client().frame();
            if frame["action"] == action {
                return frame;
            }
            self.take(&frame);
        }
    }

    /// Takes frames until something holds.
    pub fn read_until(&mut self, holds: impl Fn(&Self) -> bool) {
        while !holds(self) {
            let frame = self.client().frame();
            self.take(&frame);
        }
    }

    /// All that it wrote is answered, and all that was written to it has come.
    pub fn is_settled(&self) -> bool {
        self.unanswered.is_empty() && self.awaited.is_empty()
    }

    /// What was written to it while it moved and has not come by now was lost with its connection.
    pub fn forget_what_was_not_sure(&mut self) {
        self.perhaps.clear();
    }

    /// Whether an answer to a question for a key is about this user.
    pub fn is_in(&self, found: &Value) -> bool {
        found["from"] == self.account.name
    }

    /// Looks at the answer to a question for its key.
    pub fn is_described_by(&self, found: &Value) {
        assert!(self.is_in(found), "{}: {found}", self.account.name);
        assert_eq!(found["pubkey"], self.account.pem(), "{found}");
        let prekey = (!self.is_original()).then_some(self.account.prekey.id);
        assert_eq!(found["prekey"]["id"].as_u64(), prekey.map(u64::from), "{found}");
    }

    fn take(&mut self, frame: &Value) {
        let names = |list: &str| -> Vec<String> {
            serde_json::from_value(frame[list].clone()).unwrap_or_default()
        };
        match frame["action"].as_str().unwrap() {
            "userlist" => self.listed = names("users").into_iter().collect(),
            "roster" => {
                if frame["whole"] == true {
                    self.listed.clear();
                }
                for name in names("left") {
                    self.listed.remove(&name);
                }
                self.listed.extend(names("joined"));
            }
            "relayed" => self.answered(frame, "relayed"),
            "error" => self.answered(frame, frame["code"].as_str().unwrap()),
            "message" => self.came(frame),
            "letterbox_empty" => {}
            _ => panic!("{}: {frame}", self.name()),
        }
    }

    fn answered(&mut self, frame: &Value, with: &str) {
        let name = self.name();
        let id = frame["id"].as_str().unwrap_or_else(|| panic!("{name}: {frame}"));
        let may_be = self.unanswered.remove(id);
        let may_be = may_be.unwrap_or_else(|| panic!("{name}: answered again: {frame}"));
        assert!(may_be.contains(&with), "{name}: {frame}");
        assert!(id.ends_with(&format!(" for {}", frame["to"].as_str().unwrap())), "{frame}");
    }

    fn came(&mut self, frame: &Value) {
        let (from, number) = (frame["from"].as_str().unwrap(), frame["number"].as_u64().unwrap());
        let name = self.account.name;
        assert_eq!((&frame["to"], &frame["content"]), (&json!(name), &content(from, name, number)));
        let key = (from.to_owned(), number);
        let is_one = self.awaited.remove(&key) || self.perhaps.remove(&key);
        assert!(is_one, "{name}: number {number} of {from} came again");
        let last = self.last.insert(from.to_owned(), number).unwrap_or_default();
        assert!(last < number, "{name}: of {from} came {number} after {last}");
    }
}

/// What a message says: short, or some thousand bytes.
fn content(from: &str, to: &str, number: u64) -> Value {
    let times = if number.is_multiple_of(3) { 60 } else { 1 };
    json!(format!("{number} of {from} for {to}; ").repeat(times))
}
