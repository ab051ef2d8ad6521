//! The wire as a whole: any cut of the stream, any JSON that a peer could send.

use std::collections::BTreeSet;
use std::fmt;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use sealwax::limits::{MAX_DEPTH, MAX_FRAME, MAX_MEMBERS};
use sealwax::wire::{Body, Object, Request, Scan, Scanner};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// The frame that the authors of the original system published.
const CAPTURED: &[u8] = include_bytes!("data/captured-message.json");

// --- Cuts ---

/// The frames of a stream that arrives in `pieces`, consumed as a connection consumes them.
fn frames<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let (mut scanner, mut unconsumed, mut frames) = (Scanner::default(), Vec::new(), Vec::new());
    for piece in pieces {
        unconsumed.extend_from_slice(piece);
        loop {
            match scanner.scan(&unconsumed, MAX_FRAME) {
                Scan::Frame(range) => {
                    frames.push(unconsumed[range.clone()].to_vec());
                    unconsumed.drain(..range.end);
                }
                Scan::Incomplete { consumed } => {
                    unconsumed.drain(..consumed);
                    break;
                }
                Scan::Refused(fault) => panic!("{fault:?}"),
            }
        }
    }
    assert!(unconsumed.is_empty(), "something was left over");
    frames
}

/// `bytes` cut at these places.
fn cut<'a>(bytes: &'a [u8], places: &[Index]) -> Vec<&'a [u8]> {
    let place = |place: &Index| place.index(bytes.len() + 1);
    let places: BTreeSet<usize> = places.iter().map(place).collect();
    let starts = std::iter::once(0).chain(places.iter().copied());
    let ends = places.iter().copied().chain(std::iter::once(bytes.len()));
    starts.zip(ends).map(|(start, end)| &bytes[start..end]).collect()
}

/// What the addressee gets of `frame`, sent by `JG`.
fn passed_on(frame: &[u8]) -> Vec<u8> {
    match Request::parse(frame).map(|request| request.body) {
        Ok(Body::Forward(forward)) => forward.bytes.parts(br#""JG""#).concat(),
        other => panic!("not forwarded: {other:?}"),
    }
}

#[test]
fn the_published_frame_arrives_wherever_it_is_cut() {
    for place in 0..=CAPTURED.len() {
        let (head, tail) = CAPTURED.split_at(place);
        assert_eq!(frames([head, tail]), [CAPTURED], "cut at {place}");
    }
    assert_eq!(frames(CAPTURED.chunks(1)), [CAPTURED]);
}

#[test]
fn a_thousand_published_frames_arrive_from_one_write() {
    let joined = CAPTURED.repeat(1000);
    for size in [joined.len(), 4096, 1] {
        let frames = frames(joined.chunks(size));
        assert_eq!(frames.len(), 1000);
        assert!(frames.iter().all(|frame| frame == CAPTURED));
    }
}

#[test]
fn the_published_frame_is_passed_on_as_it_was() {
    assert_eq!(passed_on(CAPTURED), [CAPTURED, b"\n"].concat());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_cut_of_any_stream_gives_the_same_frames(
        sent in vec((space(), object()), 0..6),
        last in space(),
        places in vec(any::<Index>(), 0..24),
    ) {
        let stream = sent.iter().flat_map(|(space, object)| [space.as_str(), object.as_str()]);
        let stream = stream.collect::<String>() + &last;
        let expected: Vec<_> = sent.iter().map(|(_, object)| object.as_bytes()).collect();
        prop_assert_eq!(&frames(cut(stream.as_bytes(), &places)), &expected);
        prop_assert_eq!(&frames(stream.as_bytes().chunks(1)), &expected);
    }

    #[test]
    fn passing_on_changes_from_and_nothing_else(
        before in members(0..4),
        from in proptest::option::of(string()),
        after in members(0..4),
        spaces in [space(), space(), space()],
    ) {
        let needed = r#""action":"message","to":"bob","content":"x""#.to_owned();
        let [a, b, c] = &spaces;
        let own = |members: Vec<(String, String)>, prefix: char| {
            let named = move |(place, (_, value))| format!("\"{prefix}{place}\":{value}");
            members.into_iter().enumerate().map(named).collect::<Vec<_>>()
        };
        let frame = |from: Option<String>| {
            let mut all = own(before.clone(), 'b');
            all.push(needed.clone());
            all.extend(from.map(|from| format!("{a}\"from\"{b}:{c}{from}{a}")));
            all.extend(own(after.clone(), 'a'));
            format!("{{{}}}", all.join(","))
        };
        let sent = frame(from.clone());
        prop_assume!(Object::parse(sent.as_bytes()).is_ok());
        let expected = match from {
            Some(_) => frame(Some(r#""JG""#.to_owned())),
            None => format!("{},\"from\":\"JG\"}}", &sent[..sent.len() - 1]),
        };
        let passed = passed_on(sent.as_bytes());
        prop_assert_eq!(String::from_utf8(passed).unwrap(), expected + "\n");
    }
}

// --- Any JSON ---

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn an_object_is_taken_exactly_when_serde_json_and_the_rules_agree(
        text in object(),
        edits in vec((any::<Index>(), edit()), 0..3),
    ) {
        let mut frame = text.into_bytes();
        for (place, (inserted, removed)) in edits {
            let start = place.index(frame.len() + 1);
            let end = (start + removed).min(frame.len());
            frame.splice(start..end, inserted);
        }
        if let Some(expected) = allowed(&frame) {
            let (taken, text) = (Object::parse(&frame), String::from_utf8_lossy(&frame));
            prop_assert_eq!(taken.is_ok(), expected, "{:?} of {:?}", taken, text);
        }
    }

    #[test]
    fn no_bytes_make_a_panic(
        bytes in vec(select(&b"{}[]\":,\\u0dD8e1 \n\xc3\xa9tax"[..]), 0..64),
    ) {
        let bytes = [b"{", &bytes[..], b"}"].concat();
        let _ = Scanner::default().scan(&bytes, 40);
        let _ = Request::parse(&bytes);
        let _ = sealwax::wire::Incoming::parse(&bytes);
    }
}

/// White space as a peer might put it.
fn space() -> impl Strategy<Value = String> {
    "[ \t\r\n]{0,3}"
}

/// A JSON string, with what could be taken for structure in it.
fn string() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        8 => "[a-c ⵣ😀{}\\[\\]:,]{0,4}",
        2 => select(&[r"\n", r#"\""#, r"\\", r"\/", r"\u0061", r"\ud83d\ude00", r"\uFFFF"][..])
            .prop_map(str::to_owned),
    ];
    vec(piece, 0..4).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn value() -> impl Strategy<Value = String> {
    let number = "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?";
    let leaf = prop_oneof![
        4 => string(),
        2 => number,
        1 => select(&["true", "false", "null"][..]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 40, 4, |inner| {
        let entries = vec((string(), inner.clone()), 0..4);
        prop_oneof![
            vec((space(), inner), 0..4).prop_map(|values| {
                let values: Vec<_> =
                    values.into_iter().map(|(space, value)| space + &value).collect();
                format!("[{}]", values.join(","))
            }),
            (entries, space()).prop_map(|(entries, space)| join(entries, &space)),
        ]
    })
}

fn members(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<(String, String)>> {
    vec((string(), value()), count)
}

/// An object, now and then with about as many members or levels as it may have.
fn object() -> impl Strategy<Value = String> {
    let many = (30..35_usize).prop_map(|count| {
        (0..count).map(|n| (format!("\"{n}\""), "0".to_owned())).collect::<Vec<_>>()
    });
    let deep = (string(), value(), 3..9_usize).prop_map(|(name, value, levels)| {
        vec![(name, format!("{}{value}{}", "[".repeat(levels), "]".repeat(levels)))]
    });
    let entries = prop_oneof![8 => members(0..5), 1 => many, 1 => deep];
    (entries, space()).prop_map(|(entries, space)| join(entries, &space))
}

fn join(entries: Vec<(String, String)>, space: &str) -> String {
    let entry = |(name, value)| format!("{space}{name}{space}:{space}{value}{space}");
    format!("{{{}}}", entries.into_iter().map(entry).collect::<Vec<_>>().join(","))
}

/// Bytes put in (half a character among them), and how many are taken out there.
fn edit() -> impl Strategy<Value = (Vec<u8>, usize)> {
    let inserted = prop_oneof![
        3 => vec(select(&b"{}[]\":,\\u0dD8e1-. \n\x00\xff\xc3"[..]), 0..3),
        1 => select(&[r"\ud83d", r"\uDE00"][..]).prop_map(|half| half.as_bytes().to_vec()),
    ];
    (inserted, 0..3_usize)
}

/// What the rules say of `frame`, by a reader of another kind: it builds on serde's data model,
/// looks at no byte, and unescapes every string. `None` where it cannot tell (a number that no
/// double holds).
fn allowed(frame: &[u8]) -> Option<bool> {
    if frame.first() != Some(&b'{') || frame.last() != Some(&b'}') {
        return Some(false);
    }
    match serde_json::from_slice::<Allowed>(frame) {
        Err(error) if error.to_string().contains("number out of range") => None,
        result => Some(result.is_ok()),
    }
}

struct Allowed;

impl<'de> Deserialize<'de> for Allowed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Level(1).deserialize(deserializer).map(|()| Self)
    }
}

/// A value at this depth, which counts if it is an object or an array.
struct Level(usize);

impl Level {
    fn enter<E: Error>(&self) -> Result<(), E> {
        if self.0 > MAX_DEPTH { Err(E::custom("deep")) } else { Ok(()) }
    }
}

impl<'de> DeserializeSeed<'de> for Level {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Level {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON within the rules")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.enter()?;
        let mut names = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            map.next_value_seed(Level(self.0 + 1))?;
            names.push(name);
        }
        let distinct: BTreeSet<_> = names.iter().collect();
        let twice = self.0 == 1 && distinct.len() < names.len();
        if twice || names.len() > MAX_MEMBERS { Err(A::Error::custom("members")) } else { Ok(()) }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        self.enter()?;
        while seq.next_element_seed(Level(self.0 + 1))?.is_some() {}
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
}
