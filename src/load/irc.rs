//! IRC: a user is a nickname, and a message is a private one (RFC 2812, sections 2.3 and 3.3.1).

use memchr::{memchr, memmem};

use super::dialect::{Dialect, Heard, PARTS};
use super::payload::Payload;

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

impl Dialect for Irc {
    fn greeting(&self, user: u32) -> Vec<u8> {
        format!("NICK {}\r\nUSER load 0 * :load\r\n", self.payload.name(user)).into_bytes()
    }

    fn hear<'a>(&self, _user: u32, bytes: &'a [u8]) -> (usize, Heard<'a>) {
        let Some(end) = memchr(b'\n', bytes) else { return (0, Heard::Nothing) };
        let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
        (end + 1, understand(line))
    }

    fn parts<'a>(&'a self, message: &'a [u8]) -> [&'a [u8]; PARTS] {
        [b"PRIVMSG ", self.payload.addressee(message), b" :", message, b"\r\n"]
    }
}

fn understand(line: &[u8]) -> Heard<'_> {
    let rest = if line.starts_with(b":") { behind_word(line) } else { line };
    let verb = &rest[..memchr(b' ', rest).unwrap_or(rest.len())];
    match verb {
        b"PRIVMSG" => {
            let text = memmem::find(rest, b" :").map(|place| &rest[place + 2..]);
            text.map_or(Heard::Nonsense, Heard::Message)
        }
        b"001" => Heard::Welcome,
        b"PING" => Heard::Asked([b"PONG ", behind_word(rest), b"\r\n"].concat()),
        b"401" => Heard::Refused("no such nick"),
        b"432" | b"433" => Heard::Refused("the nickname"),
        b"ERROR" => Heard::Refused("an error"),
        b"NOTICE" | b"MODE" | b"PONG" => Heard::Noise,
        number if number.len() == 3 && number.iter().all(u8::is_ascii_digit) => Heard::Noise,
        _ => Heard::Nonsense,
    }
}

/// What stands behind the first word.
fn behind_word(line: &[u8]) -> &[u8] {
    memchr(b' ', line).map_or(&[], |place| &line[place + 1..])
}

#[cfg(test)]
mod tests {
    use super::super::dialect::hears_whole;
    use super::super::payload::Label;
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
            (":irc.test NOTICE * :wait\r\n", Heard::Noise),
            (":irc.test 001 u0000003 :Welcome\r\n", Heard::Welcome),
            (":irc.test 422 u0000003 :No motto\r\n", Heard::Noise),
            ("PING :12345\r\n", Heard::Asked(b"PONG :12345\r\n".to_vec())),
            (&private, Heard::Message(&message)),
            (":irc.test 401 u0000003 u0000009 :No\r\n", Heard::Refused("no such nick")),
            (":irc.test 433 * u0000003 :Taken\r\n", Heard::Refused("the nickname")),
            ("ERROR :Too many\r\n", Heard::Refused("an error")),
            ("HTTP/1.1 400 Bad Request\r\n", Heard::Nonsense),
            ("\r\n", Heard::Nonsense),
            (":\r\n", Heard::Nonsense),
        ];
        hears_whole(&irc, cases, "PI");
    }
}
