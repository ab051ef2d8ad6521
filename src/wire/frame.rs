//! Where objects lie in the stream (`docs/protocol.md`, section 1).
//!
//! The protocol has neither delimiter nor length: an object ends where its first brace is closed.
//! The scanner finds that place and checks nothing else; whether the object is JSON is checked by
//! [`Object`](super::Object). It keeps a few bytes a connection, so that an object that comes byte
//! by byte costs no more than one that comes at once.

use std::ops::Range;

use memchr::memchr2;

/// Finds objects in a stream of bytes, however the network cut it. Each byte is looked at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scanner {
    /// Bytes of the object at the front that have been looked at.
    looked: u32,
    /// How many brackets are open after those bytes. Saturates: an object as deep as that is
    /// refused in any case, so it does not matter that its end is then found too early.
    depth: u16,
    place: Place,
}

// Every idle connection keeps one.
const _: () = assert!(size_of::<Scanner>() == 8);

/// Where in an object the next byte stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Plain,
    String,
    /// In a string, after a backslash.
    Escape,
}

/// What stands at the front of the unconsumed bytes. `F` describes a frame: its place, or its
/// contents where it was read too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scan<F = Range<usize>> {
    /// A whole object, here. The caller consumes everything up to its end.
    Frame(F),
    /// No whole object yet. The caller consumes this much and shows the rest again with more
    /// behind it.
    Incomplete {
        /// Leading white space, in bytes.
        consumed: usize,
    },
    /// The stream cannot be followed any more: nothing after this is to be scanned.
    Refused(StreamFault),
}

/// Why a stream cannot be followed any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamFault {
    /// A byte between objects that is no white space: `bad_frame`.
    OutsideObject,
    /// An object longer than the limit: `frame_too_large`.
    TooLarge,
}

impl Scanner {
    /// Looks for the next object. `unconsumed` starts at the first byte that was not consumed
    /// yet; the object may have `max_frame` bytes, white space before it not counted.
    pub fn scan(&mut self, unconsumed: &[u8], max_frame: usize) -> Scan {
        let Some(start) = unconsumed.iter().position(|byte| !is_space(*byte)) else {
            return Scan::Incomplete { consumed: unconsumed.len() };
        };
        debug_assert!(self.looked == 0 || start == 0, "white space was to be consumed");
        if unconsumed[start] != b'{' {
            return Scan::Refused(StreamFault::OutsideObject);
        }
        let max_frame = max_frame.min(u32::MAX as usize); // what `looked` can count
        let object = &unconsumed[start..];
        let object = &object[..object.len().min(max_frame)];
        match self.follow(object) {
            Some(end) => {
                *self = Self::default();
                Scan::Frame(start..start + end)
            }
            // The object is longer than it may be.
            None if object.len() == max_frame => Scan::Refused(StreamFault::TooLarge),
            None => Scan::Incomplete { consumed: start },
        }
    }

    /// Whether nothing of the object at the front has been looked at.
    pub fn is_fresh(self) -> bool {
        self.looked == 0
    }

    /// Follows `object` from where the last look at it ended. Returns its length once its end is
    /// there.
    fn follow(&mut self, object: &[u8]) -> Option<usize> {
        let mut at = self.looked as usize;
        while let Some(&byte) = object.get(at) {
            match (self.place, byte) {
                (Place::Plain, b'"') | (Place::Escape, _) => self.place = Place::String,
                (Place::Plain, b'{' | b'[') => self.depth = self.depth.saturating_add(1),
                (Place::Plain, b'}' | b']') => {
                    self.depth -= 1; // one is open at least: the object's own
                    if self.depth == 0 {
                        return Some(at + 1);
                    }
                }
                (Place::Plain, _) => {}
                (Place::String, b'"') => self.place = Place::Plain,
                (Place::String, b'\\') => self.place = Place::Escape,
                (Place::String, _) => {
                    let rest = &object[at..];
                    at += memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
                    continue;
                }
            }
            at += 1;
        }
        self.looked = u32::try_from(at).unwrap_or(u32::MAX);
        None
    }
}

/// White space between objects (RFC 8259, section 2).
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 64;

    fn first(bytes: &[u8]) -> Scan {
        Scanner::default().scan(bytes, LIMIT)
    }

    #[test]
    fn an_object_ends_where_its_brackets_close() {
        assert_eq!(first(b"{}"), Scan::Frame(0..2));
        assert_eq!(first(b" \t\r\n{\"a\":[{}]}{"), Scan::Frame(4..14));
        assert_eq!(first(br#"{"a":"}\"}\\"}{"#), Scan::Frame(0..14));
    }

    #[test]
    fn a_closing_bracket_counts_whatever_its_kind() {
        assert_eq!(first(br#"{"a":[1}]"#), Scan::Frame(0..9));
        assert_eq!(first(b"{]"), Scan::Frame(0..2));
    }

    #[test]
    fn white_space_is_consumed_and_an_object_is_waited_for() {
        assert_eq!(first(b""), Scan::Incomplete { consumed: 0 });
        assert_eq!(first(b" \n "), Scan::Incomplete { consumed: 3 });
        assert_eq!(first(b"\n{\"a"), Scan::Incomplete { consumed: 1 });
    }

    #[test]
    fn a_byte_outside_an_object_ends_the_stream() {
        for bytes in [&b"x"[..], b"[]", b" \"", b"\xff", b"\0", b"\x0c{}", b"}"] {
            assert_eq!(first(bytes), Scan::Refused(StreamFault::OutsideObject));
        }
    }

    #[test]
    fn an_object_may_have_the_limit_and_no_byte_more() {
        let object = |len: usize| format!("  {{\"a\":\"{}\"}}", "x".repeat(len - 8)).into_bytes();
        assert_eq!(first(&object(LIMIT)), Scan::Frame(2..2 + LIMIT));
        assert_eq!(first(&object(LIMIT + 1)), Scan::Refused(StreamFault::TooLarge));
        // It is refused when its end can no longer come in time, not when the end has come.
        let long = object(1000);
        assert_eq!(first(&long[..2 + LIMIT - 1]), Scan::Incomplete { consumed: 2 });
        assert_eq!(first(&long[..2 + LIMIT]), Scan::Refused(StreamFault::TooLarge));
    }

    #[test]
    fn a_byte_is_looked_at_once() {
        let mut scanner = Scanner::default();
        let mut bytes = br#"{"a":"\\"}"#.to_vec();
        for end in 1..bytes.len() {
            assert_eq!(scanner.scan(&bytes[..end], LIMIT), Scan::Incomplete { consumed: 0 });
            // What was looked at may be anything from now on, but for the brace that says "an
            // object".
            bytes[1..end].fill(b'}');
        }
        assert_eq!(scanner.scan(&bytes, LIMIT), Scan::Frame(0..bytes.len()));
        assert_eq!(scanner, Scanner::default());
    }

    #[test]
    fn an_object_too_deep_to_count_is_no_panic() {
        let mut bytes = vec![b'{'; 100_000];
        bytes.extend(vec![b'}'; 100_000]);
        let end = usize::from(u16::MAX) + 100_000;
        assert_eq!(Scanner::default().scan(&bytes, usize::MAX), Scan::Frame(0..end));
    }
}
