//! The decoder of answers against `redis-protocol`, which is another's, and with every cut.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use redis_protocol::resp3::decode::complete::decode;
use redis_protocol::resp3::types::OwnedFrame;
use sealwax::cluster::resp::{Decoder, RespFault, Value};

use crate::support::resp::encode;

/// What comes of a stream in pieces of this length: values, and a fault if one ended it.
fn read(stream: &[u8], piece: usize) -> (Vec<Value>, Option<RespFault>) {
    let (mut decoder, mut values) = (Decoder::default(), Vec::new());
    for mut part in stream.chunks(piece.max(1)) {
        loop {
            match decoder.next(&mut part) {
                Ok(Some(value)) => values.push(value),
                Ok(None) => break,
                Err(fault) => return (values, Some(fault)),
            }
        }
    }
    (values, None)
}

/// Whether both read the same. Maps and sets of the other have no order, and of what stands in them
/// twice they keep one.
fn is_same(ours: &Value, theirs: &OwnedFrame) -> bool {
    let all = |ours: &[Value], theirs: &[OwnedFrame]| {
        ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(a, b)| is_same(a, b))
    };
    match (ours, theirs) {
        (Value::Simple(a), OwnedFrame::SimpleString { data, .. })
        | (Value::Bulk(a), OwnedFrame::BlobString { data, .. })
        | (Value::Error(a), OwnedFrame::BlobError { data, .. })
        | (Value::BigNumber(a), OwnedFrame::BigNumber { data, .. })
        | (Value::Verbatim(a), OwnedFrame::VerbatimString { data, .. }) => a == data,
        (Value::Error(a), OwnedFrame::SimpleError { data, .. }) => a == data.as_bytes(),
        (Value::Int(a), OwnedFrame::Number { data, .. }) => a == data,
        (Value::Double(a), OwnedFrame::Double { data, .. }) => a.to_bits() == data.to_bits(),
        (Value::Bool(a), OwnedFrame::Boolean { data, .. }) => a == data,
        (Value::Null, OwnedFrame::Null) => true,
        (Value::Array(a), OwnedFrame::Array { data, .. })
        | (Value::Push(a), OwnedFrame::Push { data, .. }) => all(a, data),
        (Value::Set(a), OwnedFrame::Set { data, .. }) => {
            a.iter().all(|a| data.iter().any(|b| is_same(a, b)))
                && data.iter().all(|b| a.iter().any(|a| is_same(a, b)))
        }
        (Value::Map(_), OwnedFrame::Map { data, .. }) => {
            let pairs: Vec<_> = ours.pairs().unwrap().collect();
            pairs.iter().all(|(key, _)| data.keys().any(|k| is_same(key, k)))
                && data.iter().all(|(k, v)| {
                    pairs.iter().any(|(key, value)| is_same(key, k) && is_same(value, v))
                })
        }
        _ => false,
    }
}

/// Keys and members, each another one.
fn distinct(values: Vec<Value>) -> Vec<Value> {
    let name = |number: usize| Value::Bulk(format!("key {number}").into_bytes());
    values.into_iter().enumerate().flat_map(|(number, it)| [name(number), it]).collect()
}

fn value() -> impl Strategy<Value = Value> {
    let line = "[ -~]{0,20}".prop_map(String::into_bytes);
    let leaf = prop_oneof![
        line.clone().prop_map(Value::Simple),
        "[A-Z]{3,8} [ -~]{0,20}".prop_map(|text| Value::Error(text.into_bytes())),
        any::<i64>().prop_map(Value::Int),
        vec(any::<u8>(), 0..40).prop_map(Value::Bulk),
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<f64>().prop_filter("NaN is many", |it| !it.is_nan()).prop_map(Value::Double),
        "-?[0-9]{1,40}".prop_map(|text| Value::BigNumber(text.into_bytes())),
        vec(any::<u8>(), 0..40).prop_map(Value::Verbatim),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let values = vec(inner, 0..6);
        prop_oneof![
            values.clone().prop_map(Value::Array),
            values.clone().prop_map(|values| Value::Map(distinct(values))),
            (0..5_usize).prop_map(|len| {
                Value::Set(distinct(vec![Value::Null; len]).into_iter().step_by(2).collect())
            }),
            values.prop_map(Value::Array),
        ]
    })
}

proptest! {
    #[test]
    fn what_another_reads_we_read_wherever_it_is_cut(values in vec(value(), 1..4)) {
        let mut bytes = Vec::new();
        for value in &values {
            let start = bytes.len();
            encode(&mut bytes, value);
            let (theirs, len) = decode(&bytes[start..]).unwrap().unwrap();
            prop_assert_eq!(len, bytes.len() - start);
            prop_assert!(is_same(value, &theirs), "{:?} is {:?}", value, theirs);
        }
        for cut in 0..=bytes.len() {
            let (mut front, mut back) = bytes.split_at(cut);
            let (mut decoder, mut read) = (Decoder::default(), Vec::new());
            for part in [&mut front, &mut back] {
                while let Some(value) = decoder.next(part).unwrap() {
                    read.push(value);
                }
                prop_assert!(part.is_empty());
            }
            prop_assert_eq!(&read, &values);
            prop_assert_eq!(decoder.unfinished(), 0);
        }
        prop_assert_eq!(read(&bytes, 1), (values, None));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// A stream that is wrong somewhere has one reading too, and what we take of it is what another
    /// takes.
    #[test]
    fn what_is_damaged_has_one_reading(
        value in value(),
        place in any::<Index>(),
        byte in prop_oneof![any::<u8>(), select(b"+-:$*%~_#,(=!0123456789\r\n".to_vec())],
    ) {
        let mut bytes = Vec::new();
        encode(&mut bytes, &value);
        let place = place.index(bytes.len());
        bytes[place] = byte;
        let whole = read(&bytes, bytes.len());
        for piece in [1, 2, 3, 7] {
            prop_assert_eq!(format!("{:?}", read(&bytes, piece)), format!("{whole:?}"));
        }
        if let (Some(ours), Ok(Some((theirs, _)))) = (whole.0.first(), decode(&bytes)) {
            prop_assert!(is_same(ours, &theirs), "{ours:?} {theirs:?}");
        }
    }
}

/// Each byte is looked at once, so an answer of a mebibyte may come byte by byte.
#[test]
fn a_long_answer_may_come_in_small_pieces() {
    let value = Value::Array(vec![Value::Bulk(vec![b'x'; 4096]); 256]);
    let mut bytes = Vec::new();
    encode(&mut bytes, &value);
    assert_eq!(read(&bytes, 1), (vec![value], None));
}

#[test]
fn nothing_is_taken_for_a_length_that_was_announced() {
    let mut decoder = Decoder::default();
    for header in ["*100000\r\n", "*100000\r\n", "$10000000\r\n"] {
        assert_eq!(decoder.next(&mut header.as_bytes()), Ok(None));
    }
    assert_eq!(decoder.unfinished(), 9 + 9 + 11);
}
