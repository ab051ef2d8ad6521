//! An echo server: all that a user sends comes back to that user.

use super::payload::{NAME, Payload};
use super::protocol::{PARTS, Parsed, Protocol};

/// A user of an echo server.
pub struct Echo {
    payload: Payload,
}

impl Echo {
    /// Users who send themselves messages like `payload`.
    pub fn new(payload: &Payload) -> Self {
        Self { payload: payload.clone() }
    }
}

impl Protocol for Echo {
    /// The name, which comes back as soon as the server serves the connection.
    fn greeting(&self, user: u32) -> Vec<u8> {
        self.payload.name(user).into_bytes()
    }

    /// Messages begin with a brace, and names with a letter.
    fn parse<'a>(&self, user: u32, bytes: &'a [u8]) -> (usize, Parsed<'a>) {
        let is_message = bytes.first() == Some(&b'{');
        let size = if is_message { self.payload.size() } else { NAME };
        let Some(front) = bytes.get(..size) else { return (0, Parsed::Nothing) };
        let parsed = match front {
            message if is_message => Parsed::Message(message),
            name if name == self.payload.name(user).as_bytes() => Parsed::Welcome,
            _ => Parsed::Nonsense,
        };
        (size, parsed)
    }

    fn parts<'a>(&'a self, message: &'a [u8]) -> [&'a [u8]; PARTS] {
        [b"", b"", b"", message, b""]
    }
}

#[cfg(test)]
mod tests {
    use super::super::payload::Label;
    use super::super::protocol::parses_whole;
    use super::*;

    #[test]
    fn what_comes_back_is_what_was_sent() {
        let mut payload = Payload::new(131, false, 7).unwrap();
        let message = payload.write(&Label { from: 0, to: 0, number: 1 }).to_vec();
        let echo = Echo::new(&payload);
        assert_eq!(echo.parts(&message).concat(), message);
        let message = String::from_utf8(message).unwrap();
        let cases = [
            ("u0000007", Parsed::Welcome),
            ("u0000008", Parsed::Nonsense),
            (&message, Parsed::Message(message.as_bytes())),
        ];
        parses_whole(&echo, cases, &message);
    }
}
