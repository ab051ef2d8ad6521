//! What relays say to each other about frames, as bytes: frames for the users of another relay, and
//! what became of each.
//!
//! Frames of one relay for another have numbers without a gap, so one word answers a row of them.
//! Numbers are in little-endian order. A parcel of frames is the number of its first frame, how
//! many bytes of heads there are, the heads, and the frames as their addressees are to get them,
//! one behind the other. Frames that follow each other to one addressee are a *run* and have one
//! head: their version and whether their addressee is that of the run before, the addressee where
//! it is another, how many they are, and the length of each. So the frames of a run can be queued
//! without a look at each. A parcel of answers is a list of rows.

use crate::wire::ErrorCode;

/// The number of the first frame of a parcel, and the bytes of its heads.
const FIRST: usize = 8 + 4;
/// The frames are of version 2.
const VERSION2: u8 = 1;
/// Their addressee is that of the run before.
const SAME: u8 = 2;
/// Bytes in which the number of frames of a run, and the length of a frame, are told.
const NUMBER: usize = 4;
/// Bytes of a row of answers.
const ROW: usize = 18;

/// Frames that are gathered for another relay.
#[derive(Debug)]
pub(super) struct ParcelDraft {
    heads: Vec<u8>,
    frames: Vec<u8>,
    to: String,
    version2: bool,
    /// Where the number of frames of the last run is told.
    run: usize,
    pub(super) first: u64,
    pub(super) count: u32,
}

impl ParcelDraft {
    /// One whose first frame has this number.
    pub(super) fn new(first: u64) -> Self {
        let (heads, frames) = (Vec::new(), Vec::new());
        Self { heads, frames, to: String::new(), version2: false, run: 0, first, count: 0 }
    }

    /// Adds the frame that `parts` are together.
    pub(super) fn push(&mut self, to: &str, version2: bool, parts: &[&[u8]]) {
        let is_same = self.count > 0 && self.to == to;
        if !is_same || self.version2 != version2 {
            self.begin_run(to, version2, is_same);
        }
        if let Some(count) = self.heads[self.run..].first_chunk_mut::<NUMBER>() {
            *count = (u32::from_le_bytes(*count) + 1).to_le_bytes();
        }
        let len: usize = parts.iter().map(|part| part.len()).sum();
        self.heads.extend(u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
        for part in parts {
            self.frames.extend(*part);
        }
        self.count += 1;
    }

    fn begin_run(&mut self, to: &str, version2: bool, is_same: bool) {
        let flags = if version2 { VERSION2 } else { 0 } | if is_same { SAME } else { 0 };
        self.heads.push(flags);
        if !is_same {
            to.clone_into(&mut self.to);
            self.heads.extend(u16::try_from(to.len()).unwrap_or(u16::MAX).to_le_bytes());
            self.heads.extend(to.as_bytes());
        }
        self.version2 = version2;
        self.run = self.heads.len();
        self.heads.extend([0; NUMBER]);
    }

    /// How many bytes it has.
    pub(super) const fn len(&self) -> usize {
        FIRST + self.heads.len() + self.frames.len()
    }

    /// The parcel.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let heads = u32::try_from(self.heads.len()).unwrap_or(u32::MAX);
        [&self.first.to_le_bytes()[..], &heads.to_le_bytes(), &self.heads, &self.frames].concat()
    }
}

/// Frames from another relay, for one addressee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run<'a> {
    /// The number of the first one.
    pub(super) first: u64,
    pub(super) to: &'a str,
    pub(super) version2: bool,
    /// The frames, one behind the other.
    pub(super) bytes: &'a [u8],
    lengths: &'a [[u8; NUMBER]],
}

impl<'a> Run<'a> {
    /// How many frames they are.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.lengths.len()).unwrap_or(u32::MAX)
    }

    /// The length of the longest one.
    pub(super) fn longest(&self) -> usize {
        self.lengths.iter().copied().map(length).max().unwrap_or_default()
    }

    /// Each frame with its number.
    pub(super) fn frames(&self) -> impl Iterator<Item = (u64, &'a [u8])> + use<'a> {
        let mut rest = self.bytes;
        let frames = self.lengths.iter().map(move |len| {
            let (frame, behind) = rest.split_at_checked(length(*len)).unwrap_or((rest, &[]));
            rest = behind;
            frame
        });
        (self.first..).zip(frames)
    }
}

fn length(bytes: [u8; NUMBER]) -> usize {
    usize::try_from(u32::from_le_bytes(bytes)).unwrap_or(usize::MAX)
}

/// The runs of a parcel, in order. They end where the bytes are none.
pub(super) struct Runs<'a> {
    heads: &'a [u8],
    frames: &'a [u8],
    to: &'a str,
    next: u64,
}

impl<'a> Runs<'a> {
    /// Reads a parcel; what is none is a parcel without runs, and with a rest.
    pub(super) fn new(parcel: &'a [u8]) -> Self {
        let none = Self { heads: &[], frames: parcel, to: "", next: 0 };
        let Some((first, rest)) = parcel.split_first_chunk::<8>() else { return none };
        let Some((heads, rest)) = rest.split_first_chunk::<NUMBER>() else { return none };
        let Some((heads, frames)) = rest.split_at_checked(length(*heads)) else { return none };
        Self { heads, frames, to: "", next: u64::from_le_bytes(*first) }
    }

    /// Whether bytes are left that are no run.
    pub(super) const fn has_rest(&self) -> bool {
        !self.heads.is_empty() || !self.frames.is_empty()
    }
}

impl<'a> Iterator for Runs<'a> {
    type Item = Run<'a>;

    fn next(&mut self) -> Option<Run<'a>> {
        let (flags, mut rest) = self.heads.split_first()?;
        let mut to = self.to;
        if flags & SAME == 0 {
            let (len, behind) = rest.split_first_chunk::<2>()?;
            let (name, behind) = behind.split_at_checked(u16::from_le_bytes(*len).into())?;
            (to, rest) = (std::str::from_utf8(name).ok()?, behind);
        }
        let (count, rest) = rest.split_first_chunk::<NUMBER>()?;
        let (lengths, rest) = rest.split_at_checked(length(*count).checked_mul(NUMBER)?)?;
        let (lengths, _) = lengths.as_chunks::<NUMBER>();
        let mut all = 0_usize;
        for len in lengths {
            all = all.checked_add(length(*len))?;
        }
        let (bytes, frames) = self.frames.split_at_checked(all)?;
        let first = self.next;
        let next = first.checked_add(u64::try_from(lengths.len()).ok()?)?;
        *self = Self { heads: rest, frames, to, next };
        Some(Run { first, to, version2: flags & VERSION2 != 0, bytes, lengths })
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

impl Row {
    /// The number behind that of the last one.
    pub(super) fn end(self) -> u64 {
        self.first.saturating_add(self.count.into())
    }
}

/// Answers that are gathered for another relay.
#[derive(Debug, Default)]
pub(super) struct AnswersDraft {
    bytes: Vec<u8>,
    last: Option<Row>,
}

impl AnswersDraft {
    pub(super) fn push(&mut self, new: Row) {
        if let Some(row) = &mut self.last
            && row.outcome == new.outcome
            && row.end() == new.first
            && let Some(count) = row.count.checked_add(new.count)
        {
            row.count = count;
            return;
        }
        self.write_last();
        self.last = Some(new);
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
        draft.push("bob", false, &[b"y"]);
        draft.push("J\"G", false, &[b""]);
        draft.push("bob", false, &[b"z"]);
        let parcel = draft.bytes();
        assert_eq!(draft.len(), parcel.len());
        let mut runs = Runs::new(&parcel);
        let found: Vec<_> = runs
            .by_ref()
            .map(|run| (run.to, run.version2, run.bytes, run.frames().collect::<Vec<_>>()))
            .collect();
        let expected = [
            ("bob", true, &b"{\"a\":1}\nx"[..], vec![(7, &b"{\"a\":1}\n"[..]), (8, b"x")]),
            ("bob", false, b"y", vec![(9, b"y")]),
            ("J\"G", false, b"", vec![(10, b"")]),
            ("bob", false, b"z", vec![(11, b"z")]),
        ];
        assert_eq!(found, expected);
        assert!(!runs.has_rest());
        for cut in 0..parcel.len() {
            let mut runs = Runs::new(&parcel[..cut]);
            let frames: u32 = runs.by_ref().map(|run| run.count()).sum();
            assert!(frames < 5 && (cut == 0 || runs.has_rest()), "{cut}: {frames}");
        }
    }

    #[test]
    fn bytes_that_are_no_parcel_end_it() {
        let counts =
            |parcel: &[u8]| -> Vec<u32> { Runs::new(parcel).map(|it| it.count()).collect() };
        let endless = [&1_u64.to_le_bytes()[..], &5_u32.to_le_bytes(), &[SAME], &[255; 4], b"x"];
        assert!(counts(&endless.concat()).is_empty());
        let mut last = ParcelDraft::new(u64::MAX);
        last.push("bob", true, &[b"x"]);
        assert!(counts(&last.bytes()).is_empty(), "no number is behind its own");
    }

    #[test]
    fn rows_are_joined_where_numbers_and_outcomes_follow() {
        let (sent, full) = (Outcome::Relayed(Some(5)), Outcome::Refused(ErrorCode::QueueFull));
        let mut draft = AnswersDraft::default();
        for (number, outcome) in [(1, sent), (2, sent), (3, full), (5, full), (6, sent)] {
            draft.push(Row { first: number, count: 1, outcome });
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
