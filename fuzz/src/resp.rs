//! Answers of the cluster's engine: one reading, however they are cut.

use sealwax::cluster::resp::{Decoder, RespFault, Value};

use super::resp_writer::encode;

/// Longer streams tell nothing new.
const LONGEST: usize = 2048;

/// The first byte chooses how the rest, a stream, is cut.
pub fn resp(input: &[u8]) {
    let [cut, stream @ ..] = input else { return };
    if stream.len() > LONGEST {
        return;
    }
    let whole = read(stream, [stream.len().max(1); 2]);
    let pieces = [1 + usize::from(cut >> 4), 1 + usize::from(cut & 15)];
    for pieces in [pieces, [1, 1]] {
        // As text, for a NaN is no other's equal.
        assert_eq!(format!("{:?}", read(stream, pieces)), format!("{whole:?}"), "{pieces:?}");
    }
    for value in whole.0 {
        let mut written = Vec::new();
        encode(&mut written, &value);
        let (again, fault) = read(&written, [written.len(); 2]);
        assert_eq!(format!("{again:?} {fault:?}"), format!("{:?} None", [value]));
    }
}

/// Values, and the fault that ended the stream.
fn read(stream: &[u8], pieces: [usize; 2]) -> (Vec<Value>, Option<RespFault>) {
    let (mut decoder, mut values, mut rest) = (Decoder::default(), Vec::new(), stream);
    for piece in pieces.into_iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (mut part, behind) = rest.split_at(piece.min(rest.len()));
        rest = behind;
        loop {
            match decoder.next(&mut part) {
                Ok(Some(value)) => values.push(value),
                Ok(None) => break,
                Err(fault) => return (values, Some(fault)),
            }
            assert!(decoder.unfinished() <= stream.len());
        }
    }
    (values, None)
}
