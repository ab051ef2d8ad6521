//! The fast path (`src/wire/fast.rs`) and the general one, held against each other: whatever bytes
//! come, a relay that has both says the same as one that had the general path alone.

use std::borrow::Cow;
use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use sealwax::limits::{MAX_FRAME, MAX_ID, MAX_MEMBERS};
use sealwax::wire::{
    Body, CommonFrame, CommonFrames, Refusal, Request, Scan, Scanner, compose, scan_common,
};

/// The frame that the authors of the original system published.
const CAPTURED: &[u8] = include_bytes!("data/captured-message.json");

/// What may have stood before a frame.
static BEFORE: LazyLock<[Vec<u8>; 4]> = LazyLock::new(common_frames);

type Scanned<'a> = Scan<(usize, Result<Request<'a>, Refusal>)>;

/// [`Request::scan`] without the fast path.
fn scan_general<'a>(scanner: &mut Scanner, bytes: &'a [u8], max_frame: usize) -> Scanned<'a> {
    match scanner.scan(bytes, max_frame) {
        Scan::Frame(place) => Scan::Frame((place.end, Request::parse(&bytes[place]))),
        Scan::Incomplete { consumed } => Scan::Incomplete { consumed },
        Scan::Refused(fault) => Scan::Refused(fault),
    }
}

/// What an addressee would get.
fn passed_on(scanned: &Scanned) -> Option<Vec<u8>> {
    let Scan::Frame((_, Ok(Request { body: Body::Forward(forward), .. }))) = scanned else {
        return None;
    };
    Some(forward.bytes.parts(br#""JG""#).concat())
}

/// Looks at `bytes` both ways. Returns whether the fast path answered.
fn agree_within(bytes: &[u8], max_frame: usize) -> bool {
    let (mut both, mut general) = (Scanner::default(), Scanner::default());
    let scanned = Request::scan(&mut both, bytes, max_frame);
    let expected = scan_general(&mut general, bytes, max_frame);
    assert_eq!(scanned, expected, "{}", bytes.escape_ascii());
    assert_eq!(passed_on(&scanned), passed_on(&expected), "{}", bytes.escape_ascii());
    assert_eq!(both, general, "{}", bytes.escape_ascii());
    let common = scan_common(bytes, max_frame);
    // Whatever stood before it, however much of that it begins with, and whoever sends it.
    let sender = br#""alice""#;
    for before in BEFORE.iter() {
        let mut frames = CommonFrames::default();
        let mut scan = |bytes, max_frame| {
            let mut frame = CommonFrame::default();
            frames.scan(&mut frame, bytes, max_frame, sender).then_some(frame)
        };
        let Some(before) = scan(before, MAX_FRAME) else { panic!("common") };
        let scanned = scan(bytes, max_frame).map(|frame| (frame.end, frame.request()));
        assert_eq!(scanned, common, "{}", bytes.escape_ascii());
        if let Some(length) = before.repeated(bytes, max_frame) {
            let Some((end, Request { id, version2, body: Body::Forward(forward) })) = &common
            else {
                panic!("it is no common frame: {}", bytes.escape_ascii())
            };
            assert_eq!((*end, &*forward.to), (length, before.to_text()));
            assert_eq!((id.as_deref(), *version2), (before.id(), before.version2));
            assert_eq!(forward.kind, before.kind);
            let sender = br#""JG""#;
            let changed = before.sender_bytes().of(&bytes[..length]);
            assert_eq!(changed.parts(sender).concat(), forward.bytes.parts(sender).concat());
        }
    }
    common.is_some()
}

fn agree(bytes: &[u8]) -> bool {
    agree_within(bytes, MAX_FRAME)
}

/// Looks at each of `variants`, among which there are some for either path.
fn all_agree(variants: impl Iterator<Item = Vec<u8>>) {
    let (fast, general): (Vec<_>, Vec<_>) = variants.partition(|bytes| agree(bytes));
    assert!(!fast.is_empty() && !general.is_empty(), "{} and {}", fast.len(), general.len());
}

/// The frames that are to take the fast path. The contents are long enough for each kind of step in
/// a string, and for what is left behind the last whole one.
fn common_frames() -> [Vec<u8>; 4] {
    let body = |length| "A1-_".repeat(length)[..length].to_owned();
    [
        CAPTURED.to_vec(),
        compose::message("bob", "alice", Some("17"), &body(150)),
        compose::message("bob", "alice", None, &body(64)),
        compose::send_key("a.longer_name-than-8", "alice", &body(13)),
    ]
}

// --- The common frames, and what is one step away from them ---

#[test]
fn the_published_frame_and_our_clients_frames_take_the_fast_path() {
    for frame in common_frames() {
        assert!(agree(&frame), "{}", frame.escape_ascii());
        let Some((_, request)) = scan_common(&frame, MAX_FRAME) else { unreachable!() };
        let Body::Forward(forward) = request.body else { panic!("not forwarded") };
        assert!(matches!(forward.to, Cow::Borrowed(_)), "copied");
        assert!(matches!(request.id, None | Some(Cow::Borrowed(_))), "copied");
    }
}

#[test]
fn any_byte_in_any_place() {
    for frame in common_frames() {
        let places = 0..frame.len();
        let each = places.flat_map(|place| (0..=u8::MAX).map(move |byte| (place, byte)));
        all_agree(each.map(|(place, byte)| {
            let mut frame = frame.clone();
            frame[place] = byte;
            frame
        }));
    }
}

#[test]
fn any_byte_between_any_two() {
    let places = 0..=CAPTURED.len();
    let each = places.flat_map(|place| (0..=u8::MAX).map(move |byte| (place, byte)));
    all_agree(each.map(|(place, byte)| [&CAPTURED[..place], &[byte], &CAPTURED[place..]].concat()));
}

#[test]
fn any_head_with_any_tail() {
    let ours = compose::message("bob", "alice", Some("17"), "AQ");
    for (head, tail) in [(CAPTURED, CAPTURED), (CAPTURED, &ours), (&ours, CAPTURED)] {
        let starts = 0..=tail.len();
        let each = starts.flat_map(|start| (0..=head.len()).map(move |end| (end, start)));
        all_agree(each.map(|(end, start)| [&head[..end], &tail[start..]].concat()));
    }
}

#[test]
fn strings_of_any_length() {
    let frames = (0..200).map(|length| {
        let body = "x".repeat(length);
        compose::message("bob", "alice", Some(&body), &body)
    });
    all_agree(frames); // at first the id is short enough
    for length in 0..200 {
        assert!(!agree(&compose::message(&"x".repeat(length), "", None, "\\")), "a backslash");
    }
}

#[test]
fn limits() {
    for frame in common_frames() {
        for max_frame in frame.len() - 3..frame.len() + 3 {
            let is_fast = agree_within(&[b" \n", &frame[..]].concat(), max_frame);
            let length = frame.strip_suffix(b"\n").unwrap_or(&frame).len();
            assert_eq!(is_fast, length <= max_frame);
        }
    }
    for id in ["x".repeat(MAX_ID), "x".repeat(MAX_ID + 1), "é".repeat(MAX_ID / 2)] {
        agree(&compose::message("bob", "alice", Some(&id), "AQ"));
    }
    for count in [0, MAX_MEMBERS - 3, MAX_MEMBERS - 2] {
        let more: Vec<_> = (0..count).map(|n| format!(",\"{n}\":\"\"")).collect();
        let more = more.concat();
        agree(format!(r#"{{"action":"message","to":"b","content":"" {more}}}"#).as_bytes());
    }
}

// --- Streams ---

/// Everything that comes of a stream that arrives in these pieces, consumed as a relay does.
fn all_of(
    scan: for<'a> fn(&mut Scanner, &'a [u8], usize) -> Scanned<'a>,
    pieces: &[&[u8]],
) -> Vec<String> {
    let (mut scanner, mut unconsumed, mut seen) = (Scanner::default(), Vec::new(), Vec::new());
    for piece in pieces {
        unconsumed.extend_from_slice(piece);
        loop {
            let found = scan(&mut scanner, &unconsumed, MAX_FRAME);
            let (consumed, is_last) = match &found {
                Scan::Frame((end, _)) => (*end, false),
                Scan::Incomplete { consumed } => (*consumed, true),
                Scan::Refused(_) => (unconsumed.len(), true),
            };
            seen.push(format!("{found:?}"));
            unconsumed.drain(..consumed);
            if is_last {
                break;
            }
        }
    }
    seen
}

#[test]
fn a_stream_is_the_same_wherever_it_is_cut() {
    let [published, ours, ..] = common_frames();
    let ping = compose::ping("\n");
    let stream = [&published[..], &ours, &ping, &published, b" ", &published, &ours].concat();
    for place in 0..=stream.len() {
        let (head, tail) = stream.split_at(place);
        let expected = all_of(scan_general, &[head, tail]);
        let scanned =
            all_of(|scanner, bytes, max| Request::scan(scanner, bytes, max), &[head, tail]);
        assert_eq!(scanned, expected, "cut at {place}");
    }
}

// --- Near misses ---

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_near_miss(
        (members, spaces) in (members(), vec(space(), 4)),
        edits in vec((any::<Index>(), edit()), 0..3),
        behind in select(&["", "\n", "}", "{", "{\"action\"", "\\"][..]),
    ) {
        let [a, b, c, d] = &spaces[..] else { unreachable!() };
        let member = |(name, value)| format!("{a}\"{name}\"{b}:{c}{value}{d}");
        let members: Vec<_> = members.into_iter().map(member).collect();
        let mut frame = format!("{d}{{{}}}{behind}", members.join(",")).into_bytes();
        for (place, (inserted, removed)) in edits {
            let start = place.index(frame.len() + 1);
            let end = (start + removed).min(frame.len());
            frame.splice(start..end, inserted);
        }
        agree(&frame);
    }
}

type Member = (&'static str, &'static str);

/// Members that make a common frame, in any order, with others among them, or one left out.
fn members() -> impl Strategy<Value = Vec<Member>> {
    let good = [
        ("action", r#""message""#),
        ("to", r#""bob""#),
        ("from", r#""alice""#),
        ("content", r#""0123456789abcdef0123456789abcdef""#),
        ("key", r#""AQ""#),
        ("id", r#""17""#),
        ("v", "2"),
    ];
    let good = (Just(good.to_vec()).prop_shuffle(), 3..=good.len())
        .prop_map(|(good, count)| good.into_iter().take(count).collect::<Vec<_>>());
    let other = prop_oneof![3 => vec(other(), 0..1), 1 => vec(other(), 0..4)];
    (good, other).prop_map(|(good, other)| [good, other].concat()).prop_shuffle()
}

const NAMES: [&str; 11] =
    ["action", "to", "from", "id", "v", "key", "content", "t\\u006f", "tö", "x", ""];

const VALUES: [&str; 18] = [
    r#""message""#,
    r#""send_key""#,
    r#""ping""#,
    r#""""#,
    r#""bob""#,
    r#""b\u006fb""#,
    r#""böb""#,
    r#""\ud800""#,
    r#""{}[],:""#,
    "2",
    "22",
    "2.0",
    "-2",
    "2e0",
    "null",
    "{}",
    r#"{"to":"eve"}"#,
    "[[[[[[[[]]]]]]]]",
];

/// A member that is not common, or is there already.
fn other() -> impl Strategy<Value = Member> {
    (select(&NAMES[..]), select(&VALUES[..]))
}

/// White space as a peer might put it, and now and then what only looks like it.
fn space() -> impl Strategy<Value = String> {
    prop_oneof![60 => "[ \t\r\n]{0,3}", 1 => "[\u{a0}\u{b}\u{c}\u{feff}]"]
}

/// Bytes put in (half a character among them), and how many are taken out there.
fn edit() -> impl Strategy<Value = (Vec<u8>, usize)> {
    (vec(select(&b"{}[]\":,\\2 \n\x00\x1f\x7f\x80\xc3\xa9\xed\xff"[..]), 0..3), 0..3_usize)
}
