//! redis's publish and subscribe, in version 3 of its protocol: only there may a connection that is
//! subscribed publish as well. A user is a channel that one connection is subscribed to.
//!
//! Knows as much of RESP as is needed to find where a value ends
//! (<https://redis.io/docs/latest/develop/reference/protocol-spec/>).

use memchr::memchr;

use super::payload::{NAME, Payload};
use super::protocol::{PARTS, Parsed, Protocol};

/// A user of redis.
pub struct Redis {
    payload: Payload,
    /// What stands between an addressee's name and a message.
    middle: String,
}

/// What stands before an addressee's name.
const PUBLISH: &str = "*3\r\n$7\r\nPUBLISH\r\n$8\r\n";
const _: () = assert!(NAME == 8); // as is said there

impl Redis {
    /// Users who exchange messages like `payload`.
    pub fn new(payload: &Payload) -> Self {
        Self { payload: payload.clone(), middle: format!("\r\n${}\r\n", payload.size()) }
    }
}

impl Protocol for Redis {
    fn greeting(&self, user: u32) -> Vec<u8> {
        let name = self.payload.name(user);
        format!(
            "*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n*2\r\n$9\r\nSUBSCRIBE\r\n${}\r\n{name}\r\n",
            name.len()
        )
        .into_bytes()
    }

    fn parse<'a>(&self, _user: u32, bytes: &'a [u8]) -> (usize, Parsed<'a>) {
        let value = match Value::read(bytes) {
            Ok(value) => value,
            Err(gap) => return (0, gap),
        };
        let parsed = match (value.kind, value.first) {
            (b'>', b"message") => Parsed::Message(value.last),
            (b'>', b"subscribe") => Parsed::Welcome,
            (b'-', _) => Parsed::Refused("an error"),
            (b':', _) if bytes.starts_with(b":0\r") => Parsed::Refused("nobody subscribed"),
            _ => Parsed::Noise,
        };
        (value.length, parsed)
    }

    fn parts<'a>(&'a self, message: &'a [u8]) -> [&'a [u8]; PARTS] {
        let to = self.payload.addressee(message);
        [PUBLISH.as_bytes(), to, self.middle.as_bytes(), message, b"\r\n"]
    }
}

/// A whole value, as far as it matters here.
struct Value<'a> {
    /// Its first byte, which says what it is.
    kind: u8,
    length: usize,
    /// The first and the last text in it.
    first: &'a [u8],
    last: &'a [u8],
}

impl<'a> Value<'a> {
    /// The value at the front of `bytes`, or why there is none.
    fn read(bytes: &'a [u8]) -> Result<Self, Parsed<'a>> {
        let kind = *bytes.first().ok_or(Parsed::Nothing)?;
        let mut value = Self { kind, length: 0, first: b"", last: b"" };
        let mut left: u64 = 1; // values to come: a collection adds its own
        while left > 0 {
            left -= 1;
            let rest = &bytes[value.length..];
            let end = memchr(b'\n', rest).ok_or(Parsed::Nothing)?;
            let line = rest[..end].strip_suffix(b"\r").ok_or(Parsed::Nonsense)?;
            value.length += end + 1;
            let (kind, text) = line.split_first().ok_or(Parsed::Nonsense)?;
            match kind {
                b'*' | b'>' | b'~' => left += u64::from(count(text)?),
                b'%' | b'|' => left += 2 * u64::from(count(text)?),
                b'$' | b'=' | b'!' => value.take_text(bytes, count(text)? as usize)?,
                b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(' => {}
                _ => return Err(Parsed::Nonsense),
            }
        }
        Ok(value)
    }

    fn take_text(&mut self, bytes: &'a [u8], length: usize) -> Result<(), Parsed<'a>> {
        let text = bytes.get(self.length..).and_then(|rest| rest.get(..length + 2));
        let text = text.ok_or(Parsed::Nothing)?.strip_suffix(b"\r\n").ok_or(Parsed::Nonsense)?;
        if self.first.is_empty() {
            self.first = text;
        }
        self.last = text;
        self.length += length + 2;
        Ok(())
    }
}

fn count(digits: &[u8]) -> Result<u32, Parsed<'static>> {
    let text = std::str::from_utf8(digits).map_err(|_| Parsed::Nonsense)?;
    text.parse().map_err(|_| Parsed::Nonsense)
}

#[cfg(test)]
mod tests {
    use super::super::payload::Label;
    use super::super::protocol::parses_whole;
    use super::*;

    fn redis() -> (Redis, Vec<u8>) {
        let mut payload = Payload::new(131, false, 0).unwrap();
        let message = payload.write(&Label { from: 2, to: 3, number: 4 }).to_vec();
        (Redis::new(&payload), message)
    }

    #[test]
    fn a_message_is_published_to_its_addressee() {
        let (redis, message) = redis();
        let text = String::from_utf8(message.clone()).unwrap();
        let expected = format!("*3\r\n$7\r\nPUBLISH\r\n$8\r\nu0000003\r\n$131\r\n{text}\r\n");
        assert_eq!(redis.parts(&message).concat(), expected.as_bytes());
    }

    #[test]
    fn what_comes_is_told_apart_however_it_is_cut() {
        let (redis, message) = redis();
        let text = String::from_utf8(message.clone()).unwrap();
        let push = format!(">3\r\n$7\r\nmessage\r\n$8\r\nu0000003\r\n$131\r\n{text}\r\n");
        let cases = [
            ("%2\r\n$5\r\nproto\r\n:3\r\n$7\r\nmodules\r\n*0\r\n", Parsed::Noise),
            (">3\r\n$9\r\nsubscribe\r\n$8\r\nu0000003\r\n:1\r\n", Parsed::Welcome),
            (&push, Parsed::Message(&message)),
            (":1\r\n", Parsed::Noise),
            (":0\r\n", Parsed::Refused("nobody subscribed")),
            ("-NOPROTO unsupported\r\n", Parsed::Refused("an error")),
        ];
        parses_whole(&redis, cases, ":1");
    }

    #[test]
    fn nonsense_is_nonsense() {
        let (redis, _) = redis();
        for bytes in ["HTTP/1.1 400\r\n", "$x\r\n", "*-3\r\n", "$1\r\nabc\r\n", "\n"] {
            assert_eq!(redis.parse(0, bytes.as_bytes()).1, Parsed::Nonsense, "{bytes}");
        }
    }
}
