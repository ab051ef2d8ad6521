//! What is said to a relay and what is understood of its answers, as the generator needs it.

use std::str::FromStr;

use super::payload::{Payload, name};
use crate::limits::LOAD_MAX_FRAME;
use crate::wire::compose::{ping, register};
use crate::wire::{ErrorCode, Incoming, Reply, RosterMode, Scan, Scanner};

/// The key of every original user: nobody holds its private half, and nobody is asked for it.
const PUBLIC_KEY: &str = "\
-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA3l32owlGYvarYRoiPCOw
B5SDMq4Gx2YyHUu/bSlGs6ebDBYjZ+BHq/ivPzPOpmi34NZ2YJkTSDBvPmNW8/P1
quyImVmG9r/v31G97Rbxkq2l8jRreBom1HJXgycrHQPaYJ2QlTNcpLw5QZbk2tyV
TTbnGFK3jRPl/vgs4QDhTzxY43yMy3vFYWTyXu8AgLd0wGpZQHOCO4bIS7JyCq9I
QU2tevYGKG1GamvYrs6Q42SJg0ynCuXERtPSrRFwYC3enlvf7xsOt3KHuwmnim/j
oZm4netJO/HyrHoc/+4OK7dre/AjVyn1QAlzDLZ4YwTX9zXJ9WiCIo3jJEE+E9T9
8wIDAQAB
-----END PUBLIC KEY-----
";
/// How each of our messages begins: what is looked for before anything else.
const MESSAGE: &[u8] = br#"{"action": "message", "to": "#;

/// The protocol of the relay, from the side of original users.
#[derive(Debug)]
pub struct Original {
    roster: RosterMode,
    /// The length of a message.
    size: usize,
}

/// The first thing in the bytes of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard<'a> {
    /// Nothing that is whole.
    Nothing,
    /// The relay's own word, and no refusal: on a new connection it says that the registration
    /// stands.
    Answer,
    /// A refusal with this code.
    Refused(&'static str),
    /// Something like one of our messages.
    Message(&'a [u8]),
    /// Bytes that mean nothing; nor does what follows.
    Nonsense,
}

impl Original {
    /// Users who register with this `roster` and exchange messages like `payload`.
    pub fn new(roster: RosterMode, payload: &Payload) -> Self {
        Self { roster, size: payload.size() }
    }

    /// What `user` says first. Some answer follows: to whoever wants no roster, that to a `ping`.
    pub(super) fn greeting(&self, user: u32) -> Vec<u8> {
        let mut bytes = register(&name(user), PUBLIC_KEY, self.roster, None);
        if self.roster == RosterMode::None {
            bytes.extend(ping("registered"));
        }
        bytes
    }

    /// What the first thing in `bytes` is, and how many bytes it takes.
    ///
    /// In a flood nearly all of them are messages of one length, so that is what is tried first.
    pub(super) fn hear<'a>(&self, bytes: &'a [u8]) -> (usize, Heard<'a>) {
        if let Some(front) = bytes.get(..self.size)
            && front.starts_with(MESSAGE)
            && front.ends_with(b"\"}")
            && let None | Some(b'\n' | b'{') = bytes.get(self.size)
        {
            let line_end = usize::from(bytes.get(self.size) == Some(&b'\n'));
            return (self.size + line_end, Heard::Message(front));
        }
        match Scanner::default().scan(bytes, LOAD_MAX_FRAME) {
            Scan::Incomplete { consumed } => (consumed, Heard::Nothing),
            Scan::Refused(_) => (bytes.len(), Heard::Nonsense),
            Scan::Frame(place) => (place.end, understand(&bytes[place])),
        }
    }
}

fn understand(frame: &[u8]) -> Heard<'_> {
    match Incoming::parse(frame) {
        Err(_) => Heard::Nonsense,
        Ok(Incoming::Forwarded(_)) => Heard::Message(frame),
        Ok(Incoming::Reply(Reply::Error { code, .. })) => {
            Heard::Refused(ErrorCode::from_str(&code).map_or("unknown code", ErrorCode::as_str))
        }
        Ok(_) => Heard::Answer,
    }
}

#[cfg(test)]
mod tests {
    use super::super::payload::Label;
    use super::*;
    use crate::crypto::PublicKey;
    use crate::wire::{Body, Request};

    fn original(roster: RosterMode) -> (Original, Payload) {
        let payload = Payload::new(131, false).unwrap();
        (Original::new(roster, &payload), payload)
    }

    #[test]
    fn a_relay_takes_the_greeting() {
        let (original, _) = original(RosterMode::Full);
        let greeting = original.greeting(7);
        let request = Request::parse(greeting.trim_ascii_end()).unwrap();
        let Body::Register(register) = request.body else { panic!("no registration") };
        assert!(PublicKey::from_pem(&register.pubkey).is_ok());
        assert_eq!(register.name, name(7));
    }

    #[test]
    fn what_the_relay_says_is_told_apart() {
        let (original, _) = original(RosterMode::None);
        let cases = [
            ("", 0, Heard::Nothing),
            (" \n", 2, Heard::Nothing),
            ("{\"action\":", 0, Heard::Nothing),
            ("{\"action\":\"pong\"}\n", 17, Heard::Answer),
            ("{\"action\":\"userlist\",\"users\":[]}{", 32, Heard::Answer),
            (
                r#"{"action":"error","code":"queue_full","detail":""}"#,
                50,
                Heard::Refused("queue_full"),
            ),
            (
                r#"{"action":"error","code":"new_one","detail":""}"#,
                47,
                Heard::Refused("unknown code"),
            ),
            ("{}", 2, Heard::Nonsense),
            ("HTTP/1.1 400 Bad Request\r\n", 26, Heard::Nonsense),
        ];
        for (bytes, consumed, heard) in cases {
            assert_eq!(original.hear(bytes.as_bytes()), (consumed, heard), "{bytes}");
        }
    }

    #[test]
    fn messages_are_found_however_they_are_joined_and_cut() {
        let (original, mut payload) = original(RosterMode::None);
        let one = payload.write(&Label { from: 1, to: 2, number: 3 }).to_vec();
        for separator in ["", "\n", " \r\n"] {
            let mut stream = one.clone();
            stream.extend_from_slice(separator.as_bytes());
            stream.extend_from_slice(&one);
            let mut place = 0;
            for _ in 0..2 {
                let (consumed, heard) = original.hear(&stream[place..]);
                assert_eq!(heard, Heard::Message(&one));
                place += consumed;
            }
        }
        assert_eq!(original.hear(&one[..130]), (0, Heard::Nothing));
    }
}
