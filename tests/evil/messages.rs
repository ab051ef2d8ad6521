//! Messages that were changed, cut, repeated, reordered, reflected or moved to where they do not
//! belong.

use sealwax::wire::base64;
use serde_json::{Value, json};

use crate::relay::Verdict;
use crate::stage::{Stage, chat, say, warning, warnings_before};

/// The frame with other content.
fn with(frame: &Value, content: &[u8]) -> Value {
    let mut frame = frame.clone();
    frame["content"] = base64::encode(content).into();
    frame
}

fn content(frame: &Value) -> Vec<u8> {
    base64::decode(frame["content"].as_str().expect("text")).expect("ours is canonical")
}

/// Alice has written `texts`, which the relay keeps for itself; the frames.
fn withheld(stage: &mut Stage, texts: &[&str]) -> Vec<Value> {
    let before = stage.relay.plot().frames("message", "alice").count();
    stage.relay.set_fate(|_| Verdict::Swallow);
    for text in texts {
        say(&mut stage.alice, "bob", text);
    }
    let frames = stage.relay.first(before + texts.len(), "message", "alice").split_off(before);
    stage.relay.behave();
    frames
}

/// Bob has been shown `text`, next of all.
fn shows(stage: &Stage, text: &str) {
    let event = stage.next_of_bob();
    assert_eq!((&event["event"], &event["text"]), (&"message".into(), &text.into()), "{event}");
}

#[test]
fn a_message_with_any_bit_changed_or_cut_off_is_dropped_and_the_true_one_is_shown() {
    let mut stage = Stage::talking();
    let secret = withheld(&mut stage, &["secret"]).remove(0);
    let bytes = content(&secret);
    let tag = bytes.len() - 16;
    // Version and type, session, number, then some of the ciphertext and all of the tag.
    let places = (0..26).chain((26..tag).step_by(29)).chain(tag..bytes.len());
    for place in places {
        let mut changed = bytes.clone();
        changed[place] ^= 1 << (place % 8);
        let expected: &[_] = match place {
            0 => &["malformed"],
            2..18 => &["unknown_session"],
            18..26 => &["bad_message", "replay"],
            _ => &["bad_message"],
        };
        let code = stage.warned(&with(&secret, &changed));
        assert!(expected.contains(&code.as_str()), "{code} for byte {place}");
    }
    for length in [0, 1, 2, 25, 26, 41, tag, bytes.len() - 1] {
        let code = stage.warned(&with(&secret, &bytes[..length]));
        assert!(["malformed", "bad_message"].contains(&code.as_str()), "{code} at {length}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(["malformed", "bad_message"].contains(&&*stage.warned(&with(&secret, &longer))));

    stage.relay.tell("bob", &secret);
    shows(&stage, "secret");
    assert_eq!(stage.goes_on(), [""; 0]);
}

#[test]
fn a_message_is_shown_once_and_only_as_its_senders_to_its_recipient() {
    let mut stage = Stage::talking();
    let mut carol = chat(&stage.homes, &stage.relay, "carol");
    say(&mut carol, "bob", "from carol");
    assert_eq!(warnings_before(&stage.bob, "from carol"), [""; 0]);
    let of_alice = stage.relay.first(1, "message", "alice").remove(0);
    let of_carol = stage.relay.first(1, "message", "carol").remove(0);
    let of_bob = stage.relay.first(1, "message", "bob").remove(0); // a receipt for alice

    let from = |frame: &Value, name: &str| {
        let mut frame = frame.clone();
        (frame["from"], frame["to"]) = (name.into(), "bob".into());
        frame
    };
    let original = json!({"action": "message", "to": "bob", "from": "alice", "content": "hi"});
    let cases = [
        (of_alice.clone(), "replay"),
        (from(&of_alice, "carol"), "unknown_session"),
        (from(&of_carol, "alice"), "unknown_session"),
        (from(&of_bob, "alice"), "unknown_session"), // reflected, under the other's name
        (from(&of_bob, "bob"), "from_ourselves"),
        (original, "bad_frame"), // downgraded to the original protocol
    ];
    for (frame, expected) in cases {
        assert_eq!(stage.warned(&frame), expected, "{frame}");
    }
    assert_eq!(stage.goes_on(), [""; 0]);
}

#[test]
fn what_is_left_out_shows_as_a_gap_and_what_is_late_as_a_replay() {
    let mut stage = Stage::talking();
    let frames = withheld(&mut stage, &["one", "two", "three"]);
    stage.relay.tell("bob", &frames[2]);
    let gap = stage.next_of_bob();
    assert_eq!((&gap["event"], &gap["missing"]), (&"gap".into(), &2.into()), "{gap}");
    shows(&stage, "three");
    assert_eq!(stage.warned(&frames[0]), "replay");
    assert_eq!(stage.warned(&frames[1]), "replay");
    // What is not confirmed comes again in a new session; what was shown is not shown again.
    shows(&stage, "one");
    shows(&stage, "two");
    assert_eq!(stage.goes_on(), [""; 0]);
}

#[test]
fn a_message_opens_in_its_own_session_only() {
    let mut stage = Stage::talking();
    let old = withheld(&mut stage, &["old"]).remove(0);
    stage.relay.cut();
    stage.relay.has(&["alice", "bob"]);
    shows(&stage, "old"); // in a new session, with its own first number
    let new = withheld(&mut stage, &["new"]).remove(0);
    let (old, new_bytes) = (content(&old), content(&new));
    assert_ne!(old[2..18], new_bytes[2..18], "another session");
    let spliced = [
        [&new_bytes[..26], &old[26..]].concat(), // an old text under the new head
        [&old[..26], &new_bytes[26..]].concat(), // a new text under the old head
    ];
    for bytes in spliced {
        assert_eq!(stage.warned(&with(&new, &bytes)), "bad_message");
    }
    stage.relay.tell("bob", &new);
    shows(&stage, "new");
    assert_eq!(stage.goes_on(), [""; 0]);
}

#[test]
fn a_receipt_that_was_tampered_with_confirms_nothing() {
    let mut stage = Stage::talking();
    let told = stage.relay.plot().frames("message", "bob").count();
    stage.relay.set_fate(
        |frame| {
            if frame["from"] == "bob" { Verdict::Swallow } else { Verdict::Forward }
        },
    );
    say(&mut stage.alice, "bob", "hi");
    shows(&stage, "hi");
    let receipt = stage.relay.first(told + 1, "message", "bob").split_off(told).remove(0);
    let bytes = content(&receipt);
    let mut changed = bytes.clone();
    changed[40] ^= 1;
    let mut as_text = bytes;
    as_text[1] = 0;
    for bytes in [changed, as_text] {
        stage.relay.tell("alice", &with(&receipt, &bytes));
        warning(&stage.alice, "bad_message");
    }
    stage.relay.behave();
    stage.relay.tell("alice", &receipt);
    let event = stage.alice.event("delivered");
    assert_eq!(event["id"], "hi", "by the true receipt");
    assert_eq!(stage.goes_on(), [""; 0]);
}
