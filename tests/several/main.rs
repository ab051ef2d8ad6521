//! Several relays as one: real processes on a real redis-server, killed, stopped and started again.

#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)] // a test says what it expects

#[path = "../support"]
mod support {
    #![allow(dead_code)]
    pub mod fixtures;
    pub mod process;
    pub mod redis;
    pub mod relay;
    pub mod secrets;
    pub mod several;
    pub mod spread;
}

mod across;
mod crowd;
mod engine;
mod killed;
mod moved;
mod user;

use std::time::{SystemTime, UNIX_EPOCH};

use sealwax::wire::LetterKey;
use serde_json::{Value, json};
use support::fixtures;
use support::relay::Client;

/// Takes frames up to the one of this action.
fn next(client: &mut Client, action: &str) -> Value {
    loop {
        let frame = client.frame();
        if frame["action"] == action {
            return frame;
        }
    }
}

/// A message of an original client, or of one of version 2.
fn message(to: &str, id: &str, v2: bool) -> Value {
    let mut frame = json!({"action": "message", "to": to, "id": id, "content": id});
    if v2 {
        frame["v"] = json!(2);
    }
    frame
}

/// A key for letters, as a relay takes it: its signature is for those who write.
fn letter_key() -> LetterKey {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let today = u64::try_from(now.as_millis()).unwrap() / 86_400_000 * 86_400_000;
    fixtures::letter_key(1, today, today + 90 * 86_400_000)
}

/// Sends a message until the relay takes it, and checks that it comes: while relays or the engine
/// are away it is refused.
fn talk(from: &mut Client, (to, addressee): (&str, &mut Client), id: &str, v2: bool) {
    loop {
        from.send(&message(to, id, v2));
        let answer = from.frame();
        if answer["action"] == "relayed" {
            break;
        }
        if answer["id"] != id {
            continue; // a roster
        }
        let code = answer["code"].as_str().unwrap();
        assert!(["queue_full", "unknown_user"].contains(&code), "{answer}");
        std::thread::yield_now();
    }
    loop {
        let frame = addressee.frame();
        if frame["action"] == "message" && frame["id"] == id {
            return;
        }
    }
}
