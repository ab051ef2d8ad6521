//! Framing: the scanner, fed in pieces, against a reader of the simplest kind, fed all at once.

use std::ops::Range;

use sealwax::wire::{Scan, Scanner, StreamFault};

/// Longer streams tell nothing new, for a frame has at most 256 bytes here.
const LONGEST: usize = 1024;

/// The first byte chooses the limit and the second how the rest, a stream, is cut.
pub fn stream(input: &[u8]) {
    let [limit, cut, stream @ ..] = input else { return };
    if stream.len() > LONGEST {
        return;
    }
    let max_frame = 1 + usize::from(*limit);
    let expected = read_simply(stream, max_frame);
    let pieces = [1 + usize::from(cut >> 4), 1 + usize::from(cut & 15)];
    for pieces in [pieces, [1, 1], [stream.len().max(1); 2]] {
        let read = read_in_pieces(stream, pieces, max_frame);
        assert_eq!(read, expected, "in pieces of {pieces:?}, frames of at most {max_frame}");
    }
}

/// What was found in a stream.
#[derive(Debug, Default, PartialEq)]
struct Found {
    frames: Vec<Range<usize>>,
    /// Where the object begins that is not whole yet.
    waiting_at: Option<usize>,
    fault: Option<StreamFault>,
}

/// As a connection reads it: what was not consumed is shown again with more behind it.
fn read_in_pieces(stream: &[u8], pieces: [usize; 2], max_frame: usize) -> Found {
    let (mut scanner, mut found) = (Scanner::default(), Found::default());
    let (mut start, mut end) = (0, 0);
    for piece in pieces.into_iter().cycle() {
        loop {
            match scanner.scan(&stream[start..end], max_frame) {
                Scan::Frame(place) => {
                    found.frames.push(start + place.start..start + place.end);
                    start += place.end;
                }
                Scan::Incomplete { consumed } => {
                    start += consumed;
                    break;
                }
                Scan::Refused(fault) => {
                    found.fault = Some(fault);
                    return found;
                }
            }
        }
        if end == stream.len() {
            break;
        }
        end = stream.len().min(end + piece);
    }
    found.waiting_at = (start < end).then_some(start);
    found
}

/// An object of which not every byte has come.
struct Open {
    start: usize,
    depth: usize,
    in_string: bool,
    is_escaped: bool,
}

/// Byte by byte, with nothing clever.
fn read_simply(stream: &[u8], max_frame: usize) -> Found {
    let mut found = Found::default();
    let mut open: Option<Open> = None;
    for (at, &byte) in stream.iter().enumerate() {
        let object = match &mut open {
            Some(object) => object,
            None if b" \t\r\n".contains(&byte) => continue,
            None if byte != b'{' => {
                found.fault = Some(StreamFault::OutsideObject);
                return found;
            }
            none => none.insert(Open { start: at, depth: 0, in_string: false, is_escaped: false }),
        };
        object.take(byte);
        let place = object.start..at + 1;
        if object.depth == 0 {
            found.frames.push(place);
            open = None;
        } else if place.len() == max_frame {
            found.fault = Some(StreamFault::TooLarge);
            return found;
        }
    }
    found.waiting_at = open.map(|object| object.start);
    found
}

impl Open {
    fn take(&mut self, byte: u8) {
        if self.is_escaped {
            self.is_escaped = false;
        } else if self.in_string {
            self.in_string = byte != b'"';
            self.is_escaped = byte == b'\\';
        } else {
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => self.depth -= 1,
                _ => {}
            }
        }
    }
}
