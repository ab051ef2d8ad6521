//! The protocol of NATS: a user is a subject that one connection is subscribed to
//! (<https://docs.nats.io/reference/reference-protocols/nats-protocol>).

use memchr::memchr;

use super::payload::Payload;
use super::protocol::{PARTS, Parsed, Protocol};

/// A user of NATS.
pub struct Nats {
    payload: Payload,
    /// What stands between an addressee's name and a message.
    middle: String,
}

impl Nats {
    /// Users who exchange messages like `payload`.
    pub fn new(payload: &Payload) -> Self {
        Self { payload: payload.clone(), middle: format!(" {}\r\n", payload.size()) }
    }
}

impl Protocol for Nats {
    /// A `PONG` says that what stands before the `PING` is done.
    fn greeting(&self, user: u32) -> Vec<u8> {
        let name = self.payload.name(user);
        let options = r#"{"verbose":false,"pedantic":false,"tls_required":false,"lang":"rust"}"#;
        format!("CONNECT {options}\r\nSUB {name} 1\r\nPING\r\n").into_bytes()
    }

    /// The server says in the clear whether TLS is to follow.
    fn waits_for_hello(&self) -> bool {
        true
    }

    fn parse<'a>(&self, _user: u32, bytes: &'a [u8]) -> (usize, Parsed<'a>) {
        let Some(end) = memchr(b'\n', bytes) else { return (0, Parsed::Nothing) };
        let (line, length) = (bytes[..end].trim_ascii_end(), end + 1);
        let (verb, rest) = line.split_at(memchr(b' ', line).unwrap_or(line.len()));
        let parsed = match verb {
            b"MSG" => return message(bytes, rest, length),
            b"PING" => Parsed::Asked(b"PONG\r\n".to_vec()),
            b"PONG" => Parsed::Welcome,
            b"INFO" => Parsed::Hello,
            b"+OK" => Parsed::Noise,
            b"-ERR" => Parsed::Refused("an error"),
            _ => Parsed::Nonsense,
        };
        (length, parsed)
    }

    fn parts<'a>(&'a self, message: &'a [u8]) -> [&'a [u8]; PARTS] {
        let to = self.payload.addressee(message);
        [b"PUB ", to, self.middle.as_bytes(), message, b"\r\n"]
    }
}

/// The message that begins behind `start` bytes, as long as the last field says.
fn message<'a>(bytes: &'a [u8], fields: &[u8], start: usize) -> (usize, Parsed<'a>) {
    let size = fields.rsplit(|&byte| byte == b' ').next().unwrap_or_default();
    let size = std::str::from_utf8(size).ok().and_then(|size| size.parse::<u32>().ok());
    let Some(size) = size else { return (start, Parsed::Nonsense) };
    let end = start + size as usize;
    match bytes.get(end..end + 2) {
        None => (0, Parsed::Nothing),
        Some(b"\r\n") => (end + 2, Parsed::Message(&bytes[start..end])),
        Some(_) => (start, Parsed::Nonsense),
    }
}

#[cfg(test)]
mod tests {
    use super::super::payload::Label;
    use super::super::protocol::parses_whole;
    use super::*;

    fn nats() -> (Nats, Vec<u8>) {
        let mut payload = Payload::new(131, false, 0).unwrap();
        let message = payload.write(&Label { from: 2, to: 3, number: 4 }).to_vec();
        (Nats::new(&payload), message)
    }

    #[test]
    fn a_message_is_published_to_its_addressee() {
        let (nats, message) = nats();
        let text = String::from_utf8(message.clone()).unwrap();
        let expected = format!("PUB u0000003 131\r\n{text}\r\n");
        assert_eq!(nats.parts(&message).concat(), expected.as_bytes());
    }

    #[test]
    fn what_comes_is_told_apart_however_it_is_cut() {
        let (nats, message) = nats();
        let text = String::from_utf8(message.clone()).unwrap();
        let msg = format!("MSG u0000003 1 131\r\n{text}\r\n");
        let cases = [
            ("INFO {\"server_id\":\"N\"}\r\n", Parsed::Hello),
            ("+OK\r\n", Parsed::Noise),
            ("PONG\r\n", Parsed::Welcome),
            ("PING\r\n", Parsed::Asked(b"PONG\r\n".to_vec())),
            (&msg, Parsed::Message(&message)),
            ("-ERR 'Authorization Violation'\r\n", Parsed::Refused("an error")),
        ];
        parses_whole(&nats, cases, "PI");
    }

    #[test]
    fn nonsense_is_nonsense() {
        let (nats, _) = nats();
        for bytes in ["HTTP/1.1 400\r\n", "MSG a 1 x\r\n", "MSG a 1 1\r\nabc\r\n", "\n"] {
            assert_eq!(nats.parse(0, bytes.as_bytes()).1, Parsed::Nonsense, "{bytes}");
        }
    }
}
