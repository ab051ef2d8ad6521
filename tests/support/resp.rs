//! Values as an engine writes them.

use sealwax::cluster::resp::Value;

/// A value as Redis writes it.
pub fn encode(out: &mut Vec<u8>, value: &Value) {
    let many = |out: &mut Vec<u8>, sign: char, count: usize, values: &[Value]| {
        out.extend(format!("{sign}{count}\r\n").into_bytes());
        for value in values {
            encode(out, value);
        }
    };
    let line = |out: &mut Vec<u8>, sign: u8, bytes: &[u8]| {
        out.push(sign);
        out.extend_from_slice(bytes);
        out.extend_from_slice(b"\r\n");
    };
    match value {
        Value::Simple(bytes) => line(out, b'+', bytes),
        // Only the form with a length may have line ends in it.
        Value::Error(bytes) if bytes.iter().any(|byte| b"\r\n".contains(byte)) => {
            line(out, b'!', bytes.len().to_string().as_bytes());
            out.extend_from_slice(bytes);
            out.extend_from_slice(b"\r\n");
        }
        Value::Error(bytes) => line(out, b'-', bytes),
        Value::Int(number) => line(out, b':', number.to_string().as_bytes()),
        Value::Null => line(out, b'_', b""),
        Value::Bool(truth) => line(out, b'#', if *truth { b"t" } else { b"f" }),
        Value::Double(number) if number.is_nan() => line(out, b',', b"nan"),
        Value::Double(number) => line(out, b',', number.to_string().as_bytes()),
        Value::BigNumber(digits) => line(out, b'(', digits),
        Value::Bulk(bytes) => {
            line(out, b'$', bytes.len().to_string().as_bytes());
            out.extend_from_slice(bytes);
            out.extend_from_slice(b"\r\n");
        }
        Value::Verbatim(text) => {
            line(out, b'=', (text.len() + 4).to_string().as_bytes());
            out.extend_from_slice(b"txt:");
            out.extend_from_slice(text);
            out.extend_from_slice(b"\r\n");
        }
        Value::Array(values) => many(out, '*', values.len(), values),
        Value::Map(values) => many(out, '%', values.len() / 2, values),
        Value::Set(values) => many(out, '~', values.len(), values),
        Value::Push(values) => many(out, '>', values.len(), values),
    }
}
