//! The protocol of a target, as far as the generator needs it.

/// What stands before an addressee's name, the name, what stands between it and the message, the
/// message, and what ends it.
pub(super) const PARTS: usize = 5;

/// A protocol, from the users' side. Users are known by index.
pub trait Protocol {
    /// The first bytes that `user` sends.
    fn greeting(&self, user: u32) -> Vec<u8>;

    /// Parses the front of `bytes`, which `user` received: what stands there, and how many bytes it
    /// takes.
    fn parse<'a>(&self, user: u32, bytes: &'a [u8]) -> (usize, Parsed<'a>);

    /// Whether the server speaks first, in the clear, so that TLS begins behind [`Parsed::Hello`].
    fn waits_for_hello(&self) -> bool {
        false
    }

    /// The bytes that send `message` to the user that it names, in parts to be joined.
    fn parts<'a>(&'a self, message: &'a [u8]) -> [&'a [u8]; PARTS];
}

/// What stands at the front of the bytes of a connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// Nothing that is whole.
    Nothing,
    /// Something that is of no interest here.
    Noise,
    /// The first words of a server that speaks first.
    Hello,
    /// The user is registered. Later it means nothing.
    Welcome,
    /// Something that is to be answered so.
    Asked(Vec<u8>),
    /// A refusal with this code.
    Refused(&'static str),
    /// Something like one of our messages.
    Message(&'a [u8]),
    /// Bytes that mean nothing; nor does what follows.
    Nonsense,
}

/// Checks that a protocol parses these cases: each as a whole, whatever `next` begins behind it,
/// and not before its end has come.
#[cfg(test)]
pub(super) fn parses_whole<'a>(
    protocol: &impl Protocol,
    cases: impl IntoIterator<Item = (&'a str, Parsed<'a>)>,
    next: &str,
) {
    for (bytes, parsed) in cases {
        for cut in 0..bytes.len() {
            let part = protocol.parse(0, &bytes.as_bytes()[..cut]);
            assert_eq!(part, (0, Parsed::Nothing), "{bytes} cut at {cut}");
        }
        assert_eq!(protocol.parse(0, format!("{bytes}{next}").as_bytes()), (bytes.len(), parsed));
    }
}
