//! The fast path: the common frame found, checked and read in one pass.
//!
//! Nearly all that a busy relay reads is `send_key` and `message`, and nearly all of these have one
//! shape. The general path walks over such a frame five times (scanner, UTF-8, syntax, structure,
//! members) and allocates; this one looks at most bytes once, many in one step.
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
//! One client writes all its frames alike: only what stands within the strings differs. So the
//! [`Shape`]s of the last frames are kept, which is what stands around the strings, and where the
//! next frame has one of them, its members are not read again (for TCP: V. Jacobson, "4BSD TCP
//! header prediction", Computer Communication Review 20(2), 1990).
//!
//! ```text
//!   {"action": "message", "to": "bob", "from": "alice", "content": "AQ…"}
//!   ─────────── run ───────────┤   ├─── run ────┤     ├──── run ────┤   ├ run
//! ```
//!
//! It refuses nothing: `None` means "not of this shape", and the general path decides. So only what
//! is accepted here has to agree with the general path, to the byte; `tests/fast_path.rs` compares
//! the two, above all on frames that nearly have the shape.

use std::ops::Range;

use super::{Body, Forward, ForwardKind, Request, SenderBytes};
use crate::limits::MAX_ID;

/// Shapes that are kept. A relay's clients are of a few programs, each of which writes a shape or
/// two.
const SHAPES: usize = 4;
/// Bytes around the strings of a shape that is kept.
const SHAPE_TEXT: usize = 128;

/// Reads the frame at the front of `unconsumed`, white space before it passed over, if it is of the
/// common shape: where it ends, and what it asks. `None` for any other, for one longer than
/// `max_frame`, and for one that is not whole yet.
pub fn scan_common(unconsumed: &[u8], max_frame: usize) -> Option<(usize, Request<'_>)> {
    let (frame, _) = CommonFrame::read(unconsumed, max_frame)?;
    Some((frame.end, frame.request()))
}

/// Reads common frames, and remembers their shapes.
#[derive(Default)]
pub struct CommonFrames {
    shapes: Vec<Shape>,
    /// Which of them the last frame had.
    last: usize,
}

impl CommonFrames {
    /// As [`scan_common`], and faster where the frame has the shape of one that was read before,
    /// and names its sender (`sender_json`, quoted). Returns whether one was read, to `frame`.
    ///
    /// The frame is not returned by value: where its strings stand is stored 4 bytes at a time, a
    /// copy loads 16 at once, and the processor would wait until the stores are done.
    pub fn scan<'a>(
        &mut self,
        frame: &mut CommonFrame<'a>,
        unconsumed: &'a [u8],
        max_frame: usize,
        sender_json: &[u8],
    ) -> bool {
        for number in (self.last..self.shapes.len()).chain(0..self.last) {
            if self.shapes[number].read(frame, unconsumed, max_frame, sender_json).is_some() {
                self.last = number;
                return true;
            }
        }
        let Some((read, order)) = CommonFrame::read(unconsumed, max_frame) else { return false };
        if let Some(shape) = Shape::of(&read, order) {
            self.keep(shape);
        }
        *frame = read;
        true
    }

    fn keep(&mut self, shape: Shape) {
        if self.shapes.len() < SHAPES {
            self.last = self.shapes.len();
            self.shapes.push(shape);
        } else {
            self.last = (self.last + 1) % SHAPES;
            self.shapes[self.last] = shape;
        }
    }
}

/// A `message` or `send_key` of the common shape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommonFrame<'a> {
    /// Which of the two.
    pub kind: ForwardKind,
    /// Whether it says `"v": 2`.
    pub version2: bool,
    /// Where it ends in the bytes that were looked at.
    pub end: usize,
    strings: Strings,
    bytes: &'a [u8],
}

/// The members that have a string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Member {
    #[default]
    To,
    From,
    Id,
    Key,
    Content,
}

/// How many there are.
const MEMBERS: usize = 5;

/// Where the strings stand, by [`Member`], without their quotes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Strings([Place; MEMBERS]);

/// Where a string begins and ends; zero where there is none, for a frame begins with a brace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    start: u32,
    end: u32,
}

impl Strings {
    fn has(&self, member: Member) -> bool {
        self.0[member as usize].start > 0
    }

    fn place(&self, member: Member) -> Range<usize> {
        let Place { start, end } = self.0[member as usize];
        start as usize..end as usize
    }
}

/// The members with a string in the order in which a frame has them.
#[derive(Clone, Copy, Default)]
struct Order {
    members: [Member; MEMBERS],
    count: usize,
}

impl Order {
    fn push(&mut self, member: Member) {
        self.members[self.count] = member; // each stands once
        self.count += 1;
    }

    fn members(&self) -> &[Member] {
        &self.members[..self.count]
    }
}

impl<'a> CommonFrame<'a> {
    /// Reads the frame at the front of `unconsumed`, member by member.
    fn read(unconsumed: &'a [u8], max_frame: usize) -> Option<(Self, Order)> {
        let mut walk = Walk::new(unconsumed, max_frame);
        let (mut frame, mut order) = (Self::default(), Order::default());
        let (mut action, mut v) = (None, None);
        walk.expect("{")?;
        loop {
            walk.space();
            // The name is compared with those that may stand there and not followed to its last
            // quote: a processor guesses how comparisons end and goes on.
            if walk.name(r#""action""#) {
                once(&mut action, walk.kind()?)?;
            } else if walk.name(r#""v""#) {
                once(&mut v, walk.expect("2")?)?;
            } else {
                let member = walk.member()?;
                if frame.strings.has(member) {
                    return None; // the general path refuses it
                }
                frame.strings.0[member as usize] = walk.string()?;
                order.push(member);
            }
            walk.space();
            match walk.byte()? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
        walk.end(&mut frame, action?, v.is_some())?;
        Some((frame, order))
    }

    /// Whether it has all that it needs, and an `id` that is not too long.
    fn is_complete(&self) -> bool {
        let has_body = self.strings.has(self.body_member());
        let is_whole = has_body && self.strings.has(Member::To);
        is_whole && self.id().is_none_or(|id| id.len() <= MAX_ID)
    }

    fn body_member(&self) -> Member {
        match self.kind {
            ForwardKind::SendKey => Member::Key,
            ForwardKind::Message => Member::Content,
        }
    }

    fn string(&self, member: Member) -> &'a [u8] {
        self.bytes.get(self.strings.place(member)).unwrap_or_default()
    }

    /// The addressee: ASCII.
    pub fn to(&self) -> &'a [u8] {
        self.string(Member::To)
    }

    /// The addressee as a text.
    pub fn to_text(&self) -> &'a str {
        text(self.to())
    }

    /// Which frame an answer is to name, if there is to be one: ASCII.
    pub fn id(&self) -> Option<&'a str> {
        self.strings.has(Member::Id).then(|| text(self.string(Member::Id)))
    }

    /// Bytes from brace to brace.
    pub const fn frame_len(&self) -> usize {
        self.bytes.len()
    }

    /// The frame itself, and the place of its `from`.
    pub fn sender_bytes(&self) -> SenderBytes<'a> {
        SenderBytes { frame: self.bytes, from: self.from() }
    }

    /// Whether `from` says `sender_json` (a JSON string, quoted) already.
    pub fn is_from(&self, sender_json: &[u8]) -> bool {
        self.from().and_then(|from| self.bytes.get(from)) == Some(sender_json)
    }

    /// The place of its `from`, quotes included.
    fn from(&self) -> Option<Range<usize>> {
        let place = self.strings.place(Member::From);
        (place.start > 0).then(|| place.start - 1..place.end + 1)
    }

    /// How long the frame at the front of `unconsumed` is, if it differs from this one in its body
    /// alone. None where the body is not the last of its strings.
    pub fn repeated(&self, unconsumed: &[u8], max_frame: usize) -> Option<usize> {
        let body = self.strings.place(self.body_member());
        if self.strings.0.iter().any(|other| other.start as usize > body.start) {
            return None;
        }
        let rest = unconsumed.strip_prefix(&self.bytes[..body.start])?;
        let length = plain_length(rest)?;
        let behind = &self.bytes[body.end..];
        rest[length..].starts_with(behind).then_some(())?;
        Some(body.start + length + behind.len()).filter(|&length| length <= max_frame)
    }

    /// The same as a request.
    pub fn request(&self) -> Request<'a> {
        let forward = Forward {
            kind: self.kind,
            to: self.to_text().into(),
            body_len: self.string(self.body_member()).len(),
            bytes: self.sender_bytes(),
        };
        let id = self.id().map(Into::into);
        Request { id, version2: self.version2, body: Body::Forward(forward) }
    }
}

/// What stands around the strings of a common frame.
struct Shape {
    /// The runs of bytes before, between and behind the strings, joined. Each begins and ends with
    /// the quotes of those beside it.
    text: [u8; SHAPE_TEXT],
    /// Where the run before each string ends in `text`, by the place of the string in `order`.
    ends: [usize; MEMBERS],
    /// How long `text` is.
    len: usize,
    order: Order,
    kind: ForwardKind,
    version2: bool,
}

impl Shape {
    /// That of `frame`, which has its strings in this order, if it is not too long.
    fn of(frame: &CommonFrame, order: Order) -> Option<Self> {
        let (mut text, mut ends) = ([0; SHAPE_TEXT], [0; MEMBERS]);
        let (mut len, mut behind) = (0, 0);
        let mut add = |run: &[u8]| {
            text.get_mut(len..len + run.len())?.copy_from_slice(run);
            len += run.len();
            Some(len)
        };
        for (end, &member) in ends.iter_mut().zip(order.members()) {
            let string = frame.strings.place(member);
            *end = add(&frame.bytes[behind..string.start])?;
            behind = string.end;
        }
        let len = add(&frame.bytes[behind..])?;
        Some(Self { text, ends, len, order, kind: frame.kind, version2: frame.version2 })
    }

    /// Reads the frame at the front of `unconsumed` to `frame`, if it has this shape.
    fn read<'a>(
        &self,
        frame: &mut CommonFrame<'a>,
        unconsumed: &'a [u8],
        max_frame: usize,
        sender_json: &[u8],
    ) -> Option<()> {
        let mut walk = Walk::new(unconsumed, max_frame);
        let mut begin = 0;
        frame.strings = Strings::default();
        for (&end, &member) in self.ends.iter().zip(self.order.members()) {
            walk.skip(self.text.get(begin..end)?)?;
            frame.strings.0[member as usize] = match member {
                Member::From => walk.rest_of_sender(sender_json)?,
                _ => walk.rest_of_string()?,
            };
            begin = end;
        }
        walk.skip(self.text.get(begin..self.len)?)?;
        walk.end(frame, self.kind, self.version2)
    }
}

/// Sets a member that is not set yet: a member that stands twice is refused by the general path.
fn once<T>(place: &mut Option<T>, value: T) -> Option<()> {
    place.replace(value).is_none().then_some(())
}

fn text(string: &[u8]) -> &str {
    str::from_utf8(string).unwrap_or_default() // always: it is ASCII
}

/// A position in a frame. Each method moves on only if what it expects stands there.
struct Walk<'a> {
    /// White space before the frame.
    before: usize,
    /// All that may be of the frame.
    bytes: &'a [u8],
    /// The end of `bytes`, from the next byte on.
    rest: &'a [u8],
}

impl<'a> Walk<'a> {
    /// At the beginning of the first frame.
    fn new(unconsumed: &'a [u8], max_frame: usize) -> Self {
        let bytes = skip_space(unconsumed);
        let before = unconsumed.len() - bytes.len();
        let bytes = &bytes[..bytes.len().min(max_frame)];
        Self { before, bytes, rest: bytes }
    }

    /// The frame ends here; its strings were found. Whether it is complete.
    fn end(&self, frame: &mut CommonFrame<'a>, kind: ForwardKind, version2: bool) -> Option<()> {
        (frame.kind, frame.version2) = (kind, version2);
        frame.bytes = &self.bytes[..self.at()];
        frame.end = self.before + frame.bytes.len();
        frame.is_complete().then_some(())
    }

    /// How many bytes lie behind.
    fn at(&self) -> usize {
        self.bytes.len() - self.rest.len()
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }

    fn space(&mut self) {
        self.rest = skip_space(self.rest);
    }

    fn skip(&mut self, bytes: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(bytes)?;
        Some(())
    }

    fn expect(&mut self, text: &str) -> Option<()> {
        self.skip(text.as_bytes())
    }

    /// Whether this name, in its quotes, stands here before a colon. Then its value is next.
    fn name(&mut self, name: &str) -> bool {
        let value = |rest| {
            let rest = skip_space(<[u8]>::strip_prefix(rest, name.as_bytes())?);
            Some(skip_space(rest.strip_prefix(b":")?))
        };
        let found = value(self.rest);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    /// The name of a member that has a string.
    fn member(&mut self) -> Option<Member> {
        const NAMES: [(&str, Member); MEMBERS] = [
            (r#""to""#, Member::To),
            (r#""from""#, Member::From),
            (r#""content""#, Member::Content),
            (r#""id""#, Member::Id),
            (r#""key""#, Member::Key),
        ];
        NAMES.iter().find(|(name, _)| self.name(name)).map(|(_, member)| *member)
    }

    fn kind(&mut self) -> Option<ForwardKind> {
        if self.expect("\"message\"").is_some() {
            return Some(ForwardKind::Message);
        }
        self.expect("\"send_key\"").map(|()| ForwardKind::SendKey)
    }

    /// The place of a string, without its quotes.
    fn string(&mut self) -> Option<Place> {
        self.expect("\"")?;
        let place = self.rest_of_string()?;
        self.expect("\"")?;
        Some(place)
    }

    /// The place of a string from here to before its last quote.
    fn rest_of_string(&mut self) -> Option<Place> {
        let length = plain_length(self.rest)?;
        self.pass(length)
    }

    /// The same, where the string is most likely the name of the sender.
    fn rest_of_sender(&mut self, sender_json: &[u8]) -> Option<Place> {
        match sender_json.split_first() {
            Some((_, rest)) if self.rest.starts_with(rest) => {
                self.pass(rest.len().saturating_sub(1))
            }
            _ => self.rest_of_string(),
        }
    }

    /// Passes over so many bytes.
    fn pass(&mut self, length: usize) -> Option<Place> {
        let start = u32::try_from(self.at()).ok()?;
        self.rest = self.rest.get(length..)?;
        let end = u32::try_from(self.at()).ok()?;
        Some(Place { start, end })
    }
}

fn skip_space(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\r' | b'\n', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

/// How many plain bytes stand before the first that is not; `None` where the bytes end first.
fn plain_length(bytes: &[u8]) -> Option<usize> {
    let Some(last) = bytes.len().checked_sub(BLOCK) else {
        let mut block = [b'x'; BLOCK];
        block[..bytes.len()].copy_from_slice(bytes);
        return first_special(&block);
    };
    let mut at = 0;
    loop {
        at = at.min(last); // of the last block some bytes were looked at before
        if let Some(place) = first_special(bytes[at..].first_chunk()?) {
            return Some(at + place);
        }
        if at == last {
            return None;
        }
        at += BLOCK;
    }
}

/// Bytes that one instruction of SSE2 looks at, which every x86-64 has; NEON takes as many.
const BLOCK: usize = 16;

/// The place of the first byte that is not plain: a quote, a backslash, a control, or no ASCII (as
/// a signed number that is below the controls).
fn first_special(block: &[u8; BLOCK]) -> Option<usize> {
    // Without a branch for each byte, so that the compiler looks at all of them in one step.
    let is_special = |byte: u8| {
        let is_quote = (byte ^ b'"').min(byte ^ b'\\') == 0;
        u8::from(is_quote) | u8::from(byte.cast_signed() < 0x20)
    };
    let any = block.iter().fold(0, |any, byte| any | is_special(*byte));
    if any == 0 { None } else { first_bit(block) }
}

/// The same, found by arithmetic on eight bytes at once.
#[inline(never)] // it would be mixed with the look at all bytes, and both become slow
fn first_bit(block: &[u8; BLOCK]) -> Option<usize> {
    let (words, _) = block.as_chunks();
    let found =
        words.iter().map(|word| special_bits(*word)).enumerate().find(|(_, bits)| *bits > 0);
    found.map(|(number, bits)| number * 8 + bits.trailing_zeros() as usize / 8)
}

/// The highest bit of each byte that is not plain. The lowest bit that is set is right; a borrow
/// may set some above it that are not.
fn special_bits(word: [u8; 8]) -> u64 {
    let word = u64::from_le_bytes(word);
    let quote = (word ^ (EACH * u64::from(b'"'))).wrapping_sub(EACH);
    let backslash = (word ^ (EACH * u64::from(b'\\'))).wrapping_sub(EACH);
    let control = word.wrapping_sub(EACH * 0x20) | word;
    (quote | backslash | control) & (EACH * 0x80)
}

/// Each byte 1.
const EACH: u64 = u64::from_le_bytes([1; 8]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_judged_as_each_of_its_bytes_alone() {
        let is_plain = |byte: &u8| (b' '..=0x7f).contains(byte) && !b"\"\\".contains(byte);
        for (byte, place) in (0..=u8::MAX).flat_map(|byte| (0..20).map(move |place| (byte, place)))
        {
            // Whatever comes behind it.
            for behind in [b' ', b'"', 0, 0x7f, 0xff] {
                let mut bytes = [b'x'; 40];
                bytes[place..].fill(behind);
                bytes[place] = byte;
                for length in [15, 16, 17, 40] {
                    let bytes = &bytes[..length];
                    let expected = bytes.iter().position(|byte| !is_plain(byte));
                    assert_eq!(plain_length(bytes), expected, "{bytes:?}");
                }
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
