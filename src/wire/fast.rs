//! The fast path: the common frame found, checked and read in one pass.
//!
//! Nearly all that a busy relay reads is `send_key` and `message`, and nearly all of these have one
//! shape. The general path walks over such a frame five times (scanner, UTF-8, syntax, structure,
//! members) and allocates; this one looks at most bytes twice, several in one step, and at some
//! once.
//!
//! ```text
//!   frame  =  { member , … }                   with white space wherever JSON has it
//!   member =  "action" : ( "message" | "send_key" )
//!          |  ( "to" | "from" | "id" | "key" | "content" ) : string
//!          |  "v" : 2
//!   string =  ASCII in quotes, without controls, quotes and backslashes
//! ```
//!
//! Each of these members stands at most once, and there are no others. So there is no list of names
//! to search for duplicates, nothing to unescape, no depth and no number of members to count, and
//! text is UTF-8 because it is ASCII.
//!
//! What one user sends another begins with the same bytes each time, up to the body. So the head of
//! the last frame is remembered, and where the next one begins with it, it is not read again (for
//! TCP: V. Jacobson, "4BSD TCP header prediction", Computer Communication Review 20(2), 1990).
//!
//! It refuses nothing: `None` means "not of this shape", and the general path decides. So only what
//! is accepted here has to agree with the general path, to the byte; `tests/fast_path.rs` compares
//! the two, above all on frames that nearly have the shape.

use memchr::memchr2;

use super::{Body, Forward, ForwardKind, Request, SenderBytes};
use crate::limits::MAX_ID;

/// Reads the frame at the front of `unconsumed`, white space before it passed over, if it is of the
/// common shape: where it ends, and what it asks. `None` for any other, for one longer than
/// `max_frame`, and for one that is not whole yet.
pub fn scan_common(unconsumed: &[u8], max_frame: usize) -> Option<(usize, Request<'_>)> {
    CommonFrames::default().scan(unconsumed, max_frame)
}

/// Reads common frames one behind the other.
#[derive(Default)]
pub struct CommonFrames<'a> {
    last: Head<'a>,
}

impl<'a> CommonFrames<'a> {
    /// As [`scan_common`], and faster where the frame begins as the last one did.
    pub fn scan(&mut self, unconsumed: &'a [u8], max_frame: usize) -> Option<(usize, Request<'a>)> {
        let bytes = skip_space(unconsumed);
        let mut walk = Walk::new(&bytes[..bytes.len().min(max_frame)]);
        let members = CommonMembers::read(&mut walk, &mut self.last)?;
        let length = walk.at();
        let end = unconsumed.len() - bytes.len() + length;
        Some((end, members.request(&bytes[..length])?))
    }
}

/// How a frame begins: all up to the first quote of its body.
#[derive(Default)]
struct Head<'a> {
    /// None, before the first frame.
    bytes: &'a [u8],
    says: CommonMembers<'a>,
    body: Option<ForwardKind>,
}

/// What the members say, and where it matters, where they stand.
#[derive(Clone, Copy, Default)]
struct CommonMembers<'a> {
    action: Option<ForwardKind>,
    to: Option<&'a str>,
    /// Its place, quotes included.
    from: Option<(usize, usize)>,
    id: Option<&'a str>,
    /// It says 2, if it is there.
    v: Option<()>,
    key: Option<&'a [u8]>,
    content: Option<&'a [u8]>,
}

impl<'a> CommonMembers<'a> {
    /// Reads a whole frame, from brace to brace.
    fn read(walk: &mut Walk<'a>, head: &mut Head<'a>) -> Option<Self> {
        let mut members = Self::default();
        if let Some(body) = head.body.filter(|_| walk.skip(head.bytes)) {
            members = head.says;
            members.read_body(walk, body)?;
        } else {
            walk.expect("{")?;
            walk.space();
            members.read_one(walk, head)?;
        }
        loop {
            walk.space();
            match walk.byte()? {
                b',' => {}
                b'}' => return Some(members),
                _ => return None,
            }
            walk.space();
            members.read_one(walk, head)?;
        }
    }

    /// Reads one member. Its name is compared with those that may stand there and not followed to
    /// its last quote: a processor guesses how comparisons end and goes on, where it would have to
    /// wait for a place that is computed.
    fn read_one(&mut self, walk: &mut Walk<'a>, head: &mut Head<'a>) -> Option<()> {
        if walk.name(r#""action""#) {
            once(&mut self.action, walk.kind()?)
        } else if walk.name(r#""to""#) {
            once(&mut self.to, text(walk.string()?)?)
        } else if walk.name(r#""from""#) {
            let start = walk.at();
            walk.string()?;
            once(&mut self.from, (start, walk.at()))
        } else if walk.name(r#""id""#) {
            once(&mut self.id, text(walk.string()?)?)
        } else if walk.name(r#""v""#) {
            once(&mut self.v, walk.expect("2")?)
        } else {
            let body = if walk.name(r#""content""#) {
                ForwardKind::Message
            } else if walk.name(r#""key""#) {
                ForwardKind::SendKey
            } else {
                return None;
            };
            walk.expect("\"")?;
            *head = Head { bytes: walk.behind(), says: *self, body: Some(body) };
            self.read_body(walk, body)
        }
    }

    /// The place behind the body's first quote.
    fn read_body(&mut self, walk: &mut Walk<'a>, body: ForwardKind) -> Option<()> {
        let place = match body {
            ForwardKind::SendKey => &mut self.key,
            ForwardKind::Message => &mut self.content,
        };
        once(place, walk.rest_of_string()?)
    }

    /// The request of `frame`, which has these members, if it has all that it needs.
    fn request(self, frame: &'a [u8]) -> Option<Request<'a>> {
        let kind = self.action?;
        let body = match kind {
            ForwardKind::SendKey => self.key?,
            ForwardKind::Message => self.content?,
        };
        let id = match self.id {
            Some(id) if id.len() > MAX_ID => return None,
            id => id.map(Into::into),
        };
        let (to, from) = (self.to?.into(), self.from.map(|(start, end)| start..end));
        let bytes = SenderBytes { frame, from };
        let forward = Forward { kind, to, body_len: body.len(), bytes };
        Some(Request { id, version2: self.v.is_some(), body: Body::Forward(forward) })
    }
}

/// Sets a member that is not set yet: a member that stands twice is refused by the general path.
fn once<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

fn text(string: &[u8]) -> Option<&str> {
    str::from_utf8(string).ok() // always: it is ASCII
}

/// A position in a frame. Each method moves on only if what it expects stands there.
struct Walk<'a> {
    bytes: &'a [u8],
    /// The end of `bytes`, from the next byte on.
    rest: &'a [u8],
}

impl<'a> Walk<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, rest: bytes }
    }

    /// How many bytes lie behind.
    fn at(&self) -> usize {
        self.bytes.len() - self.rest.len()
    }

    /// The bytes that lie behind.
    fn behind(&self) -> &'a [u8] {
        &self.bytes[..self.at()]
    }

    /// Whether these bytes stand here. Then they lie behind.
    fn skip(&mut self, bytes: &[u8]) -> bool {
        let rest = self.rest.strip_prefix(bytes);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    fn space(&mut self) {
        self.rest = skip_space(self.rest);
    }

    fn expect(&mut self, text: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(text.as_bytes())?;
        Some(())
    }

    /// Whether this name, in its quotes, stands here before a colon. Then its value is next.
    fn name(&mut self, name: &str) -> bool {
        let value = |rest: &'a [u8]| {
            let rest = rest.strip_prefix(name.as_bytes())?;
            Some(skip_space(skip_space(rest).strip_prefix(b":")?))
        };
        let found = value(self.rest);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    fn kind(&mut self) -> Option<ForwardKind> {
        if self.expect("\"message\"").is_some() {
            return Some(ForwardKind::Message);
        }
        self.expect("\"send_key\"").map(|()| ForwardKind::SendKey)
    }

    /// A string, without its quotes.
    fn string(&mut self) -> Option<&'a [u8]> {
        self.expect("\"")?;
        self.rest_of_string()
    }

    fn rest_of_string(&mut self) -> Option<&'a [u8]> {
        let (string, rest) = self.rest.split_at_checked(plain_length(self.rest)?)?;
        self.rest = rest;
        self.expect("\"")?;
        Some(string)
    }
}

fn skip_space(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\r' | b'\n', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

/// How many plain bytes stand before the first quote. `None` where the bytes end first, or where
/// something stands before it that has no place in a string of the common shape.
fn plain_length(bytes: &[u8]) -> Option<usize> {
    // A name ends within one or two machine words: starting a search would cost more.
    if let Some(word) = bytes.first_chunk() {
        let bits = special_bits(*word);
        if bits != 0 {
            return Some(bits.trailing_zeros() as usize / 8);
        }
    }
    let end = memchr2(b'"', b'\\', bytes)?;
    has_no_controls(&bytes[..end]).then_some(end)
}

/// Whether all bytes are ASCII and no controls. Without a branch in it, so that the compiler makes
/// few instructions of it.
fn has_no_controls(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks();
    let rest = match bytes.last_chunk() {
        Some(last) => control_bits(*last), // some of its bytes a second time
        None => u64::from(rest.iter().any(|byte| is_special(*byte))),
    };
    words.iter().fold(rest, |bits, word| bits | control_bits(*word)) == 0
}

/// Whether a byte is not plain. As a signed number, a byte that is not ASCII is below the controls.
fn is_special(byte: u8) -> bool {
    byte == b'"' || byte == b'\\' || byte.cast_signed() < 0x20
}

/// The same of eight bytes at once: the highest bit of each that is special. The lowest bit that is
/// set is right; a borrow may set some above it that are not.
fn special_bits(word: [u8; 8]) -> u64 {
    let word = u64::from_le_bytes(word);
    let quote = (word ^ (EACH * u64::from(b'"'))).wrapping_sub(EACH);
    let backslash = (word ^ (EACH * u64::from(b'\\'))).wrapping_sub(EACH);
    (quote | backslash) & (EACH * 0x80) | control_bits(word.to_le_bytes())
}

/// Not zero, if one of eight bytes is a control or no ASCII: see [`special_bits`].
fn control_bits(word: [u8; 8]) -> u64 {
    let word = u64::from_le_bytes(word);
    (word.wrapping_sub(EACH * 0x20) | word) & (EACH * 0x80)
}

/// Each byte 1.
const EACH: u64 = u64::from_le_bytes([1; 8]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_bytes_are_judged_as_each_of_them_alone() {
        for (byte, place) in (0..=u8::MAX).flat_map(|byte| (0..8).map(move |place| (byte, place))) {
            // Whatever comes behind it.
            for behind in [b' ', b'"', 0, 0x7f, 0xff] {
                let mut word = [b'x'; 8];
                word[place..].fill(behind);
                word[place] = byte;
                let expected = word.iter().position(|byte| is_special(*byte)).unwrap_or(8);
                let found = special_bits(word).trailing_zeros() as usize / 8;
                assert_eq!(found, expected, "{word:?}");
            }
        }
    }

    #[test]
    fn only_the_common_shape_is_read() {
        let frame = r#"{"action":"message", "to":"b", "content":"x", "v":2}"#;
        let is_read = |frame: &str| scan_common(frame.as_bytes(), frame.len()).is_some();
        assert!(is_read(frame));
        for (part, other) in [
            ("message", "ping"),
            ("\"b\"", "\"\u{e9}\""),
            ("\"b\"", r#""\u0062""#),
            ("\"to\"", r#""t\u006f""#),
            ("\"x\"", "{}"),
            (":2", ":2.0"),
            ("\"v\":2", "\"w\":\"2\""),
            ("\"v\":2", "\"to\":\"b\""),
            ("}", ",}"),
        ] {
            assert!(!is_read(&frame.replace(part, other)), "{other} for {part}");
        }
    }
}
