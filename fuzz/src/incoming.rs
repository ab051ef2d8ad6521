//! What the relay sends, as the client reads it: whatever it can say comes out of our own writers
//! again.

use sealwax::wire::{
    ForwardKind, Forwarded, Incoming, compose, encode_roster, encode_userlist, json_string,
    letter_end,
};

use super::json::Members;

/// The input is a frame.
pub fn incoming(frame: &[u8]) {
    let Ok(incoming) = Incoming::parse(frame) else { return };
    let members = Members::of(frame);
    let written = match &incoming {
        Incoming::Reply(reply) => reply.encode(),
        Incoming::Userlist { users } => encode_userlist(quoted(users).iter().map(String::as_str)),
        Incoming::Roster { joined, left, whole } => {
            let [joined, left] = [joined, left].map(|names| quoted(names));
            encode_roster(
                joined.iter().map(String::as_str),
                left.iter().map(String::as_str),
                *whole,
            )
        }
        Incoming::Forwarded(forwarded) => {
            assert_eq!(Some(&*forwarded.from), members.text("from").as_deref());
            if !forwarded.version2 {
                return; // we write no original's frames
            }
            write(forwarded)
        }
        Incoming::Letter(letter) => {
            let marks = (letter.kind, letter.key_id);
            let mut sent =
                compose::letter(&letter.to, &letter.from, &letter.id, marks, &letter.body);
            sent.truncate(sent.len() - "}\n".len());
            [sent, letter_end(letter.number).into_bytes()].concat()
        }
        Incoming::Unknown { action } => {
            assert_eq!(Some(&**action), members.text("action").as_deref());
            return;
        }
    };
    assert_eq!(Incoming::parse(written.trim_ascii_end()), Ok(incoming));
}

fn quoted(names: &[impl AsRef<str>]) -> Vec<String> {
    names.iter().map(|name| json_string(name.as_ref())).collect()
}

fn write(frame: &Forwarded) -> Vec<u8> {
    match frame.kind {
        ForwardKind::SendKey => compose::send_key(&frame.to, &frame.from, &frame.body),
        ForwardKind::Message => compose::message(&frame.to, &frame.from, None, &frame.body),
    }
}
