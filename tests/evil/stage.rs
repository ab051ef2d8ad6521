//! Two users who talk through an evil relay, each a process that a script drives.

use serde_json::{Value, json};

use crate::relay::EvilRelay;
use crate::support::process::{Homes, Process};

pub(crate) struct Stage {
    pub(crate) homes: Homes,
    pub(crate) relay: EvilRelay,
    pub(crate) alice: Process,
    pub(crate) bob: Process,
    /// How often alice has said that it goes on.
    rounds: usize,
}

impl Stage {
    /// `alice` and `bob`, registered.
    pub(crate) fn of_two() -> Self {
        Self::with(&[])
    }

    fn with(options: &[&str]) -> Self {
        let (homes, relay) = (Homes::new(), EvilRelay::start());
        let [alice, bob] = ["alice", "bob"].map(|name| chat_with(&homes, &relay, name, options));
        Self { homes, relay, alice, bob, rounds: 0 }
    }

    /// Alice has written to bob, who has shown and confirmed it.
    pub(crate) fn talking() -> Self {
        Self::of_two().begun()
    }

    /// The same, with `--plain`.
    pub(crate) fn talking_in_the_clear() -> Self {
        Self::with(&["--plain"]).begun()
    }

    /// With TLS, and in the clear.
    pub(crate) fn both_ways() -> [Self; 2] {
        [Self::talking(), Self::talking_in_the_clear()]
    }

    fn begun(mut self) -> Self {
        assert_eq!(self.goes_on(), [""; 0]);
        self
    }

    /// The next good message from alice to bob comes through and is confirmed. Returns the codes of
    /// the warnings that bob was told before it.
    ///
    /// # Panics
    /// If bob is shown anything else.
    pub(crate) fn goes_on(&mut self) -> Vec<String> {
        self.rounds += 1;
        let text = format!("round {}", self.rounds);
        say(&mut self.alice, "bob", &text);
        let warnings = warnings_before(&self.bob, &text);
        while self.alice.event("delivered")["id"] != text.as_str() {}
        warnings
    }

    /// The relay gives bob `frame`; he is told one warning and nothing else. Returns its code.
    pub(crate) fn warned(&self, frame: &Value) -> String {
        self.relay.tell("bob", frame);
        let warning = self.next_of_bob();
        assert_eq!(warning["event"], "warning", "{warning} after {frame}");
        warning["code"].as_str().expect("a code").to_owned()
    }

    /// What bob is told next, but for how things stand.
    pub(crate) fn next_of_bob(&self) -> Value {
        loop {
            let event = next(&self.bob);
            if event["event"] != "peer" && event["event"] != "registered" {
                return event;
            }
        }
    }
}

/// `chat --json` of `name`, registered.
pub(crate) fn chat(homes: &Homes, relay: &EvilRelay, name: &str) -> Process {
    chat_with(homes, relay, name, &[])
}

fn chat_with(homes: &Homes, relay: &EvilRelay, name: &str, options: &[&str]) -> Process {
    let command = [&["chat", "--json"], options].concat();
    let chat = homes.client(name, &relay.address, &command);
    chat.event("registered");
    chat
}

/// Tells `user` to write `text` to `to`, with `text` as its id.
pub(crate) fn say(user: &mut Process, to: &str, text: &str) {
    user.say(&json!({"to": to, "text": text, "id": text}).to_string());
}

/// The next event.
pub(crate) fn next(user: &Process) -> Value {
    serde_json::from_str(&user.line()).expect("an event is JSON")
}

/// Reads up to the message `text`; returns the codes of the warnings before it.
///
/// # Panics
/// If another message is shown, or a key has changed.
pub(crate) fn warnings_before(user: &Process, text: &str) -> Vec<String> {
    let mut warnings = Vec::new();
    loop {
        let event = next(user);
        match event["event"].as_str().expect("a kind") {
            "message" if event["text"] == text => return warnings,
            "warning" => warnings.push(event["code"].as_str().expect("a code").to_owned()),
            "message" | "failed" | "closed" => panic!("{event} before {text}"),
            _ => {}
        }
    }
}

/// Waits for a warning with this code, and returns what it says.
pub(crate) fn warning(user: &Process, code: &str) -> String {
    loop {
        let event = user.event("warning");
        if event["code"] == code {
            return event["detail"].as_str().expect("words").to_owned();
        }
    }
}
