//! What is said to a target and what is understood of its answers, as far as the generator needs
//! it.

/// What stands before an addressee's name, the name, what stands between it and the message, the
/// message, and what ends it.
pub(super) const PARTS: usize = 5;

/// A protocol, from the users' side. Users are known by index.
pub trait Protocol {
    /// What `user` says first.
    fn greeting(&self, user: u32) -> Vec<u8>;

    /// What the first thing in `bytes` is, that came to `user`, and how many bytes it takes.
    fn parse<'a>(&self, user: u32, bytes: &'a [u8]) -> (usize, Parsed<'a>);

    /// What is said to send `message` to the user whom it names, in parts that leave joined.
    fn parts<'a>(&'a self, message: &'a [u8]) -> [&'a [u8]; PARTS];
}

/// The first thing in the bytes of a connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// Nothing that is whole.
    Nothing,
    /// Something that is of no interest here.
    Noise,
    /// The registration stands. Later it says nothing new.
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

/// Holds a protocol to these cases: what came is parsed whole, whatever `next` begins behind it,
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
