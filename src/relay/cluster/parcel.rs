//! What relays say to each other about frames, as bytes: frames for the users of another relay, and
//! what became of each.
//!
//! Frames of one relay for another have numbers without a gap, so one word answers a row of them.
//! Numbers are in little-endian order. A parcel of frames is the number of its first frame, and of
//! each frame: its version and whether its addressee is that of the frame before, the addressee
//! where it is another, and the frame as its addressee is to get it. A parcel of answers is a list
//! of rows.

use crate::wire::ErrorCode;

/// The number of the first frame of a parcel.
const FIRST: usize = 8;
/// The frame is of version 2.
const VERSION2: u8 = 1;
/// Its addressee is that of the frame before.
const SAME: u8 = 2;
/// Bytes of a row of answers.
const ROW: usize = 18;

/// Frames that are gathered for another relay.
#[derive(Debug)]
pub(super) struct ParcelDraft {
    bytes: Vec<u8>,
    to: String,
    pub(super) first: u64,
    pub(super) count: u32,
}

impl ParcelDraft {
    /// One whose first frame has this number.
    pub(super) fn new(first: u64) -> Self {
        Self { bytes: first.to_le_bytes().to_vec(), to: String::new(), first, count: 0 }
    }

    /// Adds the frame that `parts` are together.
    pub(super) fn push(&mut self, to: &str, version2: bool, parts: &[&[u8]]) {
        let is_same = self.count > 0 && self.to == to;
        let flags = if version2 { VERSION2 } else { 0 } | if is_same { SAME } else { 0 };
        self.bytes.push(flags);
        if !is_same {
            to.clone_into(&mut self.to);
            self.bytes.extend(u16::try_from(to.len()).unwrap_or(u16::MAX).to_le_bytes());
            self.bytes.extend(to.as_bytes());
        }
        let len: usize = parts.iter().map(|part| part.len()).sum();
        self.bytes.extend(u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
        for part in parts {
            self.bytes.extend(*part);
        }
        self.count += 1;
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// A frame from another relay.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Arrived<'a> {
    pub(super) number: u64,
    pub(super) to: &'a str,
    pub(super) version2: bool,
    pub(super) frame: &'a [u8],
}

/// The frames of a parcel, in order. It ends where the bytes are no frames.
pub(super) struct Frames<'a> {
    rest: &'a [u8],
    to: &'a str,
    next: u64,
}

impl<'a> Frames<'a> {
    pub(super) fn new(parcel: &'a [u8]) -> Self {
        let (next, rest) = match parcel.split_first_chunk::<FIRST>() {
            Some((first, rest)) => (u64::from_le_bytes(*first), rest),
            None => (0, parcel),
        };
        Self { rest, to: "", next }
    }

    /// Whether bytes are left that are no frame.
    pub(super) const fn has_rest(&self) -> bool {
        !self.rest.is_empty()
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Arrived<'a>;

    fn next(&mut self) -> Option<Arrived<'a>> {
        let (flags, mut rest) = self.rest.split_first()?;
        let mut to = self.to;
        if flags & SAME == 0 {
            let (len, behind) = rest.split_first_chunk::<2>()?;
            let (name, behind) = behind.split_at_checked(u16::from_le_bytes(*len).into())?;
            (to, rest) = (std::str::from_utf8(name).ok()?, behind);
        }
        let (len, behind) = rest.split_first_chunk::<4>()?;
        let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
        let (frame, behind) = behind.split_at_checked(len)?;
        let number = self.next;
        (self.rest, self.to, self.next) = (behind, to, number.checked_add(1)?);
        Some(Arrived { number, to, version2: flags & VERSION2 != 0, frame })
    }
}

/// What became of a frame at the relay of its addressee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It stands whole in the addressee's queue, whose prekey has this id.
    Relayed(Option<u32>),
    /// It was refused, for one of the reasons for which a frame can be.
    Refused(ErrorCode),
}

/// The reasons, by their number in a row.
const REASONS: [ErrorCode; 4] =
    [ErrorCode::QueueFull, ErrorCode::UnknownUser, ErrorCode::NotV2, ErrorCode::FrameTooLarge];

/// The same outcome of so many frames, whose first has this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) first: u64,
    pub(super) count: u32,
    pub(super) outcome: Outcome,
}

/// Answers that are gathered for another relay.
#[derive(Debug, Default)]
pub(super) struct AnswersDraft {
    bytes: Vec<u8>,
    last: Option<Row>,
}

impl AnswersDraft {
    pub(super) fn push(&mut self, number: u64, outcome: Outcome) {
        if let Some(row) = &mut self.last
            && row.outcome == outcome
            && row.first + u64::from(row.count) == number
        {
            row.count += 1;
            return;
        }
        self.write_last();
        self.last = Some(Row { first: number, count: 1, outcome });
    }

    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        self.write_last();
        self.bytes
    }

    fn write_last(&mut self) {
        let Some(Row { first, count, outcome }) = self.last.take() else { return };
        let (word, prekey) = match outcome {
            Outcome::Relayed(None) => (0, 0),
            Outcome::Relayed(Some(prekey)) => (1, prekey),
            Outcome::Refused(code) => {
                let place = REASONS.iter().position(|reason| *reason == code).unwrap_or_default();
                (2 + u8::try_from(place).unwrap_or_default(), 0)
            }
        };
        self.bytes.extend(first.to_le_bytes());
        self.bytes.extend(count.to_le_bytes());
        self.bytes.extend([word, 0]);
        self.bytes.extend(prekey.to_le_bytes());
    }
}

/// Reads a parcel of answers; `None` where it is none.
pub(super) fn rows(parcel: &[u8]) -> Option<Vec<Row>> {
    let (rows, rest) = parcel.as_chunks::<ROW>();
    if !rest.is_empty() {
        return None;
    }
    rows.iter().map(row).collect()
}

fn row(bytes: &[u8; ROW]) -> Option<Row> {
    let (first, rest) = bytes.split_first_chunk::<8>()?;
    let (count, rest) = rest.split_first_chunk::<4>()?;
    let (word, rest) = rest.split_first_chunk::<2>()?;
    let prekey = u32::from_le_bytes(*rest.first_chunk::<4>()?);
    let outcome = match word[0] {
        0 => Outcome::Relayed(None),
        1 => Outcome::Relayed(Some(prekey)),
        reason => Outcome::Refused(*REASONS.get(usize::from(reason) - 2)?),
    };
    Some(Row { first: u64::from_le_bytes(*first), count: u32::from_le_bytes(*count), outcome })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in_and_cut_ones_do_not() {
        let mut draft = ParcelDraft::new(7);
        draft.push("bob", true, &[b"{\"a\"", b":1}\n"]);
        draft.push("bob", true, &[b"x"]);
        draft.push("J\"G", false, &[b""]);
        let all: Vec<_> = Frames::new(draft.bytes()).collect();
        let frame = |number, to, version2, frame| Arrived { number, to, version2, frame };
        let expected = [
            frame(7, "bob", true, &b"{\"a\":1}\n"[..]),
            frame(8, "bob", true, b"x"),
            frame(9, "J\"G", false, b""),
        ];
        assert_eq!(all, expected);
        for cut in 0..draft.bytes().len() {
            let mut frames = Frames::new(&draft.bytes()[..cut]);
            let whole = frames.by_ref().count();
            assert!(whole < 3, "{cut}");
        }
    }

    #[test]
    fn rows_are_joined_where_numbers_and_outcomes_follow() {
        let (sent, full) = (Outcome::Relayed(Some(5)), Outcome::Refused(ErrorCode::QueueFull));
        let mut draft = AnswersDraft::default();
        for (number, outcome) in [(1, sent), (2, sent), (3, full), (5, full), (6, sent)] {
            draft.push(number, outcome);
        }
        let bytes = draft.into_bytes();
        let row = |first, count, outcome| Row { first, count, outcome };
        let expected = [row(1, 2, sent), row(3, 1, full), row(5, 1, full), row(6, 1, sent)];
        assert_eq!(rows(&bytes).as_deref(), Some(&expected[..]));
        assert_eq!(rows(&bytes[1..]), None);
        let mut wrong = bytes;
        wrong[12] = 200;
        assert_eq!(rows(&wrong), None);
    }
}
