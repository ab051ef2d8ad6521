//! A client of the original protocol, as raw frames: how it writes and how it reads is up to it.

use std::collections::BTreeSet;
use std::time::Duration;

use sealwax::reactor::Time;
use serde_json::{Value, json};

use crate::dice::Dice;
use crate::post::{Answer, Post};
use crate::support::kernel::Peer;
use crate::support::relay::PEM;
use crate::support::simulated::read_roster;
use crate::support::transform::Tunnel;

/// How a client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Temper {
    /// All that is there, at once.
    Prompt,
    /// A few bytes now and then, and never nothing for ten seconds.
    Slow,
    /// Nothing.
    Dead,
}

/// One connection of an original client.
pub(crate) struct Original {
    pub(crate) name: String,
    /// No two connections have the same.
    pub(crate) number: u64,
    pub(crate) peer: Peer,
    /// Its end of TLS; none: it speaks in the clear.
    tunnel: Option<Tunnel>,
    pub(crate) temper: Temper,
    /// It asked for its end, or does what ends it.
    pub(crate) is_at_fault: bool,
    /// It says its last word once all before has left (a half close).
    finishes: bool,
    /// It has said so within TLS.
    has_finished: bool,
    /// It has done so, and nothing wrong before: everything that it asked is to be answered.
    pub(crate) ends_well: bool,
    /// How often the relay had been disturbed when it came.
    pub(crate) born: u64,
    pub(crate) is_registered: bool,
    mode: &'static str,
    /// What it has to say and TLS has not taken; always empty in the clear.
    unsealed: Vec<u8>,
    /// What it is to write.
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
    /// It writes so many bytes more, and then nothing until then.
    stuck: Option<(usize, Time)>,
    /// Its name was not free yet.
    tries_again: bool,
    /// When it reads next, where it is slow.
    next_read: Time,
    /// Who is connected, as it was told.
    pub(crate) view: BTreeSet<String>,
    /// The last error that it was told.
    pub(crate) last_error: String,
}

/// What came of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Goes,
    /// The connection is over.
    Over,
}

impl Original {
    /// A newcomer, who registers.
    pub(crate) fn new(
        name: &str,
        number: u64,
        peer: Peer,
        tunnel: Option<Tunnel>,
        temper: Temper,
        dice: &mut Dice,
    ) -> Self {
        let mut original = Self {
            name: name.to_owned(),
            number,
            peer,
            tunnel,
            temper,
            is_at_fault: temper == Temper::Dead,
            finishes: false,
            has_finished: false,
            ends_well: false,
            born: 0,
            is_registered: false,
            mode: *dice.pick(&["full", "full", "delta", "none"]),
            unsealed: Vec::new(),
            outgoing: Vec::new(),
            incoming: Vec::new(),
            stuck: None,
            tries_again: false,
            next_read: Time::default(),
            view: BTreeSet::new(),
            last_error: String::new(),
        };
        original.register();
        original
    }

    fn register(&mut self) {
        let (name, mode) = (&self.name, self.mode);
        let frame =
            json!({"action": "register", "name": name, "pubkey": PEM, "roster": mode, "id": "r"});
        self.say(&frame);
        self.say(&json!({"action": "ping", "id": "registered?"}));
    }

    pub(crate) fn wants_roster(&self) -> bool {
        self.mode != "none"
    }

    pub(crate) fn say(&mut self, frame: &Value) {
        self.say_bytes(frame.to_string().as_bytes());
    }

    pub(crate) fn say_bytes(&mut self, bytes: &[u8]) {
        self.unsealed.extend(bytes);
        self.seal();
    }

    /// Has a record to write that does not open, and nothing more after what TLS has taken.
    pub(crate) fn spoil(&mut self) {
        self.outgoing.extend([0x17, 3, 3, 0, 20]);
        self.outgoing.extend([0; 20]);
    }

    /// What TLS takes of what it has to say, and what TLS itself has to say, is to be written.
    fn seal(&mut self) {
        let Some(tunnel) = &mut self.tunnel else {
            return self.outgoing.append(&mut self.unsealed);
        };
        tunnel.seal_all(&mut self.unsealed, &mut self.outgoing);
    }

    /// Takes what has come. False where TLS does not open it.
    fn take(&mut self, bytes: &[u8]) -> bool {
        let Some(tunnel) = &mut self.tunnel else {
            self.incoming.extend(bytes);
            return true;
        };
        let opens = tunnel.open(bytes).is_ok();
        self.incoming.append(&mut tunnel.plain);
        self.seal();
        opens
    }

    pub(crate) fn speaks_tls(&self) -> bool {
        self.tunnel.is_some()
    }

    /// Does what ends it.
    pub(crate) fn offend(&mut self) {
        (self.is_at_fault, self.ends_well) = (true, false);
    }

    /// Will send no more than it has said so far. `is_fair`: and the relay has every chance to
    /// answer all of it.
    pub(crate) fn finish(&mut self, is_fair: bool) {
        self.ends_well = is_fair && !self.is_at_fault && self.temper == Temper::Prompt;
        (self.is_at_fault, self.finishes) = (true, true);
    }

    /// Stops writing in the middle of what it has to say.
    pub(crate) fn hesitate(&mut self, until: Time) {
        self.stuck = Some((self.outgoing.len() / 2, until));
    }

    /// From now on it reads and writes whatever there is.
    pub(crate) fn calm(&mut self) {
        self.temper = Temper::Prompt;
        self.stuck = None;
    }

    /// Whether all that it said has left.
    pub(crate) fn has_spoken(&self) -> bool {
        self.outgoing.is_empty() && self.unsealed.is_empty()
    }

    /// Whether it would do something now.
    pub(crate) fn is_ready(&self, now: Time) -> bool {
        let reads = match self.temper {
            Temper::Prompt => true,
            Temper::Slow => self.next_read <= now,
            Temper::Dead => !self.is_registered,
        };
        let writes = self.may_write(now) > 0 || self.finishes && self.has_spoken();
        reads && self.peer.can_receive() || writes && self.peer.can_send()
    }

    /// When it would do something, if nobody else did before.
    pub(crate) fn due(&self) -> Option<Time> {
        let read = Some(self.next_read).filter(|_| self.peer.can_receive());
        let write = self.stuck.map(|(_, until)| until);
        [read, write].into_iter().flatten().min()
    }

    fn may_write(&self, now: Time) -> usize {
        match self.stuck {
            Some((left, until)) if now < until => left.min(self.outgoing.len()),
            _ => self.outgoing.len(),
        }
    }

    /// Writes and reads.
    pub(crate) fn turn(&mut self, now: Time, dice: &mut Dice, post: &mut Post) -> Turn {
        let wanted = self.may_write(now);
        let written = if wanted > 0 { self.peer.send(&self.outgoing[..wanted]) } else { 0 };
        self.outgoing.drain(..written);
        if let Some((left, until)) = &mut self.stuck {
            *left -= written.min(*left);
            if *until <= now {
                self.stuck = None;
            }
        }
        if self.finishes && self.has_spoken() {
            self.end_output();
        }
        let most = match self.temper {
            Temper::Prompt => 64 * 1024,
            Temper::Slow if self.next_read <= now => dice.between(1, 300),
            Temper::Dead if !self.is_registered => 64 * 1024,
            Temper::Slow | Temper::Dead => return Turn::Goes,
        };
        self.next_read = now + dice.millis(10, 600);
        let mut is_over = false;
        match self.peer.receive(most) {
            Ok(bytes) if bytes.is_empty() => return Turn::Over,
            Ok(bytes) => is_over = !self.take(&bytes),
            Err(nix::errno::Errno::EAGAIN) => {}
            Err(_) => return Turn::Over,
        }
        while let Some(end) = self.incoming.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.incoming.drain(..=end).collect();
            let frame: Value = serde_json::from_slice(&line).expect("the relay sends whole frames");
            self.hear(&frame, post);
        }
        if std::mem::take(&mut self.tries_again) {
            self.register();
            self.stuck = Some((0, now + Duration::from_millis(50)));
        }
        if is_over { Turn::Over } else { Turn::Goes }
    }

    /// Says that it will send no more: within TLS first, and then to the kernel.
    fn end_output(&mut self) {
        match &mut self.tunnel {
            Some(tunnel) if !self.has_finished => {
                self.has_finished = true;
                self.outgoing = tunnel.finish();
            }
            _ => {
                self.finishes = false;
                self.peer.shut();
            }
        }
    }

    fn hear(&mut self, frame: &Value, post: &mut Post) {
        let text = |member: &str| frame[member].as_str().unwrap_or_default();
        match text("action") {
            "userlist" | "roster" => read_roster(frame, &mut self.view),
            "pong" if text("id") == "registered?" => self.is_registered = true,
            "relayed" => post.answered(text("id"), Answer::Relayed),
            "error" if text("id") == "registered?" => self.tries_again = true,
            "error" => {
                text("code").clone_into(&mut self.last_error);
                post.answered(text("id"), Answer::Error);
            }
            "message" | "send_key" => {
                let content = if frame["key"].is_string() { text("key") } else { text("content") };
                assert_eq!(text("to"), self.name, "a frame for somebody else");
                post.arrived(text("from"), content, self.number);
            }
            _ => {}
        }
    }
}
