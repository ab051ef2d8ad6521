//! IRC: a user is a nickname, and a message is a private one (RFC 2812, sections 2.3 and 3.3.1).

use memchr::{memchr, memmem};

use super::payload::Payload;
use super::protocol::{PARTS, Parsed, Protocol};

/// A user of a server.
pub struct Irc {
    payload: Payload,
}

/// The longest message, in bytes: a line has 512, its sender and addressee included.
pub const LONGEST: usize = 400;

impl Irc {
    /// Users who exchange messages like `payload`.
    pub fn new(payload: &Payload) -> Self {
        Self { payload: payload.clone() }
    }
}

impl Protocol for Irc {
    fn greeting(&self, user: u32) -> Vec<u8> {
        format!("NICK {}\r\nUSER load 0 * :load\r\n", self.payload.name(user)).into_bytes()
    }

    fn parse<'a>(&self, _user: u32, bytes: &'a [u8]) -> (usize, Parsed<'a>) {
        let Some(end) = memchr(b'\n', bytes) else { return (0, Parsed::Nothing) };
        let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
        (end + 1, understand(line))
    }

    fn parts<'a>(&'a self, message: &'a [u8]) -> [&'a [u8]; PARTS] {
        [b"PRIVMSG ", self.payload.addressee(message), b" :", message, b"\r\n"]
    }
}

fn understand(line: &[u8]) -> Parsed<'_> {
    let rest = if line.starts_with(b":") { behind_word(line) } else { line };
    let verb = &rest[..memchr(b' ', rest).unwrap_or(rest.len())];
    match verb {
        b"PRIVMSG" => {
            let text = memmem::find(rest, b" :").map(|place| &rest[place + 2..]);
            text.map_or(Parsed::Nonsense, Parsed::Message)
        }
        b"001" => Parsed::Welcome,
        b"PING" => Parsed::Asked([b"PONG ", behind_word(rest), b"\r\n"].concat()),
        b"401" => Parsed::Refused("no such nick"),
        b"432" | b"433" => Parsed::Refused("the nickname"),
        b"ERROR" => Parsed::Refused("an error"),
        b"NOTICE" | b"MODE" | b"PONG" => Parsed::Noise,
        number if number.len() == 3 && number.iter().all(u8::is_ascii_digit) => Parsed::Noise,
        _ => Parsed::Nonsense,
    }
}

/// What stands behind the first word.
fn behind_word(line: &[u8]) -> &[u8] {
    memchr(b' ', line).map_or(&[], |place| &line[place + 1..])
}

#[cfg(test)]
mod tests {
    use super::super::payload::Label;
    use super::super::protocol::parses_whole;
    use super::*;

    fn irc() -> (Irc, Vec<u8>) {
        let mut payload = Payload::new(131, false, 0).unwrap();
        let message = payload.write(&Label { from: 2, to: 3, number: 4 }).to_vec();
        (Irc::new(&payload), message)
    }

    #[test]
    fn a_message_is_a_private_one() {
        let (irc, message) = irc();
        let text = String::from_utf8(message.clone()).unwrap();
        let expected = format!("PRIVMSG u0000003 :{text}\r\n");
        assert_eq!(irc.parts(&message).concat(), expected.as_bytes());
    }

    #[test]
    fn what_comes_is_told_apart_however_it_is_cut() {
        let (irc, message) = irc();
        let text = String::from_utf8(message.clone()).unwrap();
        let private = format!(":u0000002!~load@127.0.0.1 PRIVMSG u0000003 :{text}\r\n");
        let cases = [
            (":irc.test NOTICE * :wait\r\n", Parsed::Noise),
            (":irc.test 001 u0000003 :Welcome\r\n", Parsed::Welcome),
            (":irc.test 422 u0000003 :No motto\r\n", Parsed::Noise),
            ("PING :12345\r\n", Parsed::Asked(b"PONG :12345\r\n".to_vec())),
            (&private, Parsed::Message(&message)),
            (":irc.test 401 u0000003 u0000009 :No\r\n", Parsed::Refused("no such nick")),
            (":irc.test 433 * u0000003 :Taken\r\n", Parsed::Refused("the nickname")),
            ("ERROR :Too many\r\n", Parsed::Refused("an error")),
            ("HTTP/1.1 400 Bad Request\r\n", Parsed::Nonsense),
            ("\r\n", Parsed::Nonsense),
            (":\r\n", Parsed::Nonsense),
        ];
        parses_whole(&irc, cases, "PI");
    }
}
