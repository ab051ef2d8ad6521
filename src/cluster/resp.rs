//! RESP, what Redis and Valkey speak: commands to bytes, and bytes to values.
//!
//! A command is an array of bulk strings ([`encode_command`]). Answers are read by a [`Decoder`],
//! which takes RESP3 and, within it, all of RESP2
//! (<https://redis.io/docs/latest/develop/reference/protocol-spec/>). It keeps what it has read of
//! an unfinished answer, so each byte is looked at once, however the network cut the stream.
//! Depth, lines, strings, values and whole answers are bounded (`limits.rs`), and nothing is
//! allocated because a length was announced.
//!
//! Not taken: strings and aggregates in chunks (`$?`, `*?`), which neither engine sends.

use std::borrow::Cow;
use std::fmt;

use memchr::memchr;

use super::limits::{MAX_ANSWER, MAX_BULK, MAX_DEPTH, MAX_LINE, MAX_VALUES};

/// Adds a command to `out`: an array of bulk strings.
pub fn encode_command<P: AsRef<[u8]>>(out: &mut Vec<u8>, parts: &[P]) {
    out.extend_from_slice(format!("*{}\r\n", parts.len()).as_bytes());
    for part in parts {
        let part = part.as_ref();
        out.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
        out.extend_from_slice(part);
        out.extend_from_slice(b"\r\n");
    }
}

/// One value of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A short text without a line end, such as `OK`.
    Simple(Vec<u8>),
    /// An error: its code, a space, and a text.
    Error(Vec<u8>),
    /// A number.
    Int(i64),
    /// Bytes.
    Bulk(Vec<u8>),
    /// Nothing: all three ways to write it.
    Null,
    /// A truth value.
    Bool(bool),
    /// A floating-point number.
    Double(f64),
    /// An integer of any length, as its digits.
    BigNumber(Vec<u8>),
    /// A text for people, without the three letters that say of which kind it is.
    Verbatim(Vec<u8>),
    /// Values in order.
    Array(Vec<Value>),
    /// Keys, each followed by its value.
    Map(Vec<Value>),
    /// Values in no order.
    Set(Vec<Value>),
    /// What the engine says without having been asked.
    Push(Vec<Value>),
}

impl Value {
    /// The bytes of a text or a string.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Simple(bytes) | Self::Bulk(bytes) | Self::Verbatim(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The same, if it is UTF-8.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    /// A number, or a text that is one.
    pub fn number(&self) -> Option<u64> {
        match self {
            Self::Int(number) => u64::try_from(*number).ok(),
            other => other.text()?.parse().ok(),
        }
    }

    /// The values of an array.
    pub fn array(&self) -> Option<&[Value]> {
        if let Self::Array(values) = self { Some(values) } else { None }
    }

    /// Keys and values, one after another: of a map, or of an array, which is what RESP2 has in its
    /// place.
    pub fn pairs(&self) -> Option<impl Iterator<Item = (&Value, &Value)>> {
        let (Self::Array(values) | Self::Map(values)) = self else { return None };
        let pairs = values.chunks_exact(2);
        pairs.remainder().is_empty().then(|| pairs.map(|pair| (&pair[0], &pair[1])))
    }
}

/// Why an answer cannot be read. Nothing after it can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RespFault {
    /// No type begins with this byte.
    UnknownType(u8),
    /// A length or a number is none.
    BadNumber,
    /// A line or a string does not end with CR LF.
    BadEnd,
    /// A text of a fixed form (a truth value, a verbatim text) has another one.
    BadForm,
    /// A line of more than [`MAX_LINE`] bytes.
    LineTooLong,
    /// A string of more than [`MAX_BULK`] bytes.
    BulkTooLong,
    /// An answer of more than [`MAX_VALUES`] values.
    TooManyValues,
    /// An answer deeper than [`MAX_DEPTH`].
    TooDeep,
    /// An answer of more than [`MAX_ANSWER`] bytes.
    TooLong,
}

impl fmt::Display for RespFault {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::UnknownType(byte) => write!(out, "no value begins with the byte {byte:#04x}"),
            Self::BadNumber => write!(out, "a length or a number has a wrong form"),
            Self::BadEnd => write!(out, "a line does not end with CR LF"),
            Self::BadForm => write!(out, "a value has a wrong form"),
            Self::LineTooLong => write!(out, "a line is longer than {MAX_LINE} bytes"),
            Self::BulkTooLong => write!(out, "a string is longer than {MAX_BULK} bytes"),
            Self::TooManyValues => write!(out, "an answer has more than {MAX_VALUES} values"),
            Self::TooDeep => write!(out, "an answer is nested more than {MAX_DEPTH} deep"),
            Self::TooLong => write!(out, "an answer is longer than {MAX_ANSWER} bytes"),
        }
    }
}

impl std::error::Error for RespFault {}

/// Reads answers from a stream, however it is cut.
#[derive(Debug, Default)]
pub struct Decoder {
    /// Arrays and the like that have begun and not ended, the outermost first.
    open: Vec<Open>,
    /// The beginning of a line whose end has not come.
    line: Vec<u8>,
    /// A string whose end has not come.
    string: Option<Unfinished>,
    /// Bytes of this answer so far.
    bytes: usize,
    /// Values of this answer that have come or were announced.
    values: usize,
    fault: Option<RespFault>,
}

/// An aggregate of which values are missing.
#[derive(Debug)]
struct Open {
    kind: Aggregate,
    missing: usize,
    values: Vec<Value>,
}

#[derive(Clone, Copy, Debug)]
enum Aggregate {
    Array,
    Map,
    Set,
    Push,
    /// Tells something about the value behind it, and is passed over.
    Attribute,
}

/// A string of which bytes are missing, its CR LF included.
#[derive(Debug)]
struct Unfinished {
    kind: StringKind,
    len: usize,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum StringKind {
    Bulk,
    Error,
    Verbatim,
}

const END: &[u8] = b"\r\n";
/// What a line begins with.
const TYPES: &[u8] = b"+-:_#,($!=*%~>|";

impl Decoder {
    /// Takes bytes from the front of `input` up to the end of the next answer, and returns the
    /// answer; `None` where `input` ended first. After a fault there is nothing but that fault.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Value>, RespFault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let answer = self.read(input);
        self.fault = answer.as_ref().err().copied();
        answer
    }

    /// Bytes that are kept of an unfinished answer.
    pub const fn unfinished(&self) -> usize {
        self.bytes
    }

    fn read(&mut self, input: &mut &[u8]) -> Result<Option<Value>, RespFault> {
        while !input.is_empty() {
            let before = input.len();
            let value = if let Some(string) = &mut self.string {
                let value = string.take(input)?;
                if value.is_some() {
                    self.string = None;
                }
                value
            } else {
                match self.take_line(input)? {
                    Some(line) => self.begin(&line)?,
                    None => None,
                }
            };
            self.bytes += before - input.len();
            if self.bytes > MAX_ANSWER {
                return Err(RespFault::TooLong);
            }
            if let Some(answer) = value.and_then(|value| self.add(value)) {
                (self.bytes, self.values) = (0, 0);
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }

    /// The next line without its end, if that is there.
    fn take_line<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Cow<'a, [u8]>>, RespFault> {
        // What speaks another protocol may never end a line.
        if let Some(&first) = input.first()
            && self.line.is_empty()
            && !TYPES.contains(&first)
        {
            return Err(RespFault::UnknownType(first));
        }
        let end = memchr(b'\n', input);
        let (taken, rest) = input.split_at(end.map_or(input.len(), |end| end + 1));
        if self.line.len() + taken.len() > MAX_LINE + END.len() {
            return Err(RespFault::LineTooLong);
        }
        *input = rest;
        let is_whole = end.is_some() && self.line.is_empty();
        let line = if is_whole {
            Cow::Borrowed(taken)
        } else {
            self.line.extend_from_slice(taken);
            if end.is_none() {
                return Ok(None);
            }
            Cow::Owned(std::mem::take(&mut self.line))
        };
        let len = line.len().saturating_sub(END.len());
        if !line.ends_with(END) || memchr(b'\r', &line) != Some(len) {
            return Err(RespFault::BadEnd);
        }
        Ok(Some(match line {
            Cow::Borrowed(line) => Cow::Borrowed(&line[..len]),
            Cow::Owned(mut line) => {
                line.truncate(len);
                Cow::Owned(line)
            }
        }))
    }

    /// What a line begins, or the value that it is.
    fn begin(&mut self, line: &[u8]) -> Result<Option<Value>, RespFault> {
        let Some((&kind, rest)) = line.split_first() else { return Err(RespFault::BadEnd) };
        if self.open.is_empty() {
            self.count_values(1)?;
        }
        let value = match kind {
            b'+' => Value::Simple(rest.to_vec()),
            b'-' => Value::Error(rest.to_vec()),
            b':' => Value::Int(integer(rest)?),
            b'_' if rest.is_empty() => Value::Null,
            b'#' if rest == b"t" => Value::Bool(true),
            b'#' if rest == b"f" => Value::Bool(false),
            b'_' | b'#' => return Err(RespFault::BadForm),
            b',' => Value::Double(double(rest)?),
            b'(' => Value::BigNumber(big_number(rest)?),
            b'$' | b'*' if rest == b"-1" => Value::Null,
            b'$' => return self.begin_string(StringKind::Bulk, rest),
            b'!' => return self.begin_string(StringKind::Error, rest),
            b'=' => return self.begin_string(StringKind::Verbatim, rest),
            b'*' => return self.begin_aggregate(Aggregate::Array, rest),
            b'%' => return self.begin_aggregate(Aggregate::Map, rest),
            b'~' => return self.begin_aggregate(Aggregate::Set, rest),
            b'>' => return self.begin_aggregate(Aggregate::Push, rest),
            b'|' => return self.begin_aggregate(Aggregate::Attribute, rest),
            other => return Err(RespFault::UnknownType(other)),
        };
        Ok(Some(value))
    }

    fn begin_string(&mut self, kind: StringKind, len: &[u8]) -> Result<Option<Value>, RespFault> {
        let len = length(len)?;
        if len > MAX_BULK {
            return Err(RespFault::BulkTooLong);
        }
        self.string = Some(Unfinished { kind, len, bytes: Vec::new() });
        Ok(None)
    }

    fn begin_aggregate(&mut self, kind: Aggregate, len: &[u8]) -> Result<Option<Value>, RespFault> {
        let each = if matches!(kind, Aggregate::Map | Aggregate::Attribute) { 2 } else { 1 };
        let missing = length(len)?.saturating_mul(each);
        self.count_values(missing)?;
        if self.open.len() == MAX_DEPTH {
            return Err(RespFault::TooDeep);
        }
        let open = Open { kind, missing, values: Vec::new() };
        if missing == 0 {
            return Ok(open.close());
        }
        self.open.push(open);
        Ok(None)
    }

    fn count_values(&mut self, more: usize) -> Result<(), RespFault> {
        self.values = self.values.saturating_add(more);
        if self.values > MAX_VALUES { Err(RespFault::TooManyValues) } else { Ok(()) }
    }

    /// Puts a value where it belongs. Returns it, or what it completes, if that is a whole answer.
    fn add(&mut self, value: Value) -> Option<Value> {
        let mut value = value;
        loop {
            let Some(open) = self.open.last_mut() else { return Some(value) };
            open.values.push(value);
            open.missing -= 1;
            if open.missing > 0 {
                return None;
            }
            value = self.open.pop()?.close()?;
        }
    }
}

impl Open {
    fn close(self) -> Option<Value> {
        Some(match self.kind {
            Aggregate::Array => Value::Array(self.values),
            Aggregate::Map => Value::Map(self.values),
            Aggregate::Set => Value::Set(self.values),
            Aggregate::Push => Value::Push(self.values),
            Aggregate::Attribute => return None,
        })
    }
}

impl Unfinished {
    /// Takes what belongs to it, and returns the value if it is whole.
    fn take(&mut self, input: &mut &[u8]) -> Result<Option<Value>, RespFault> {
        let whole = self.len + END.len();
        let (taken, rest) = input.split_at(input.len().min(whole - self.bytes.len()));
        self.bytes.extend_from_slice(taken);
        *input = rest;
        if self.bytes.len() < whole {
            return Ok(None);
        }
        let mut bytes = std::mem::take(&mut self.bytes);
        if !bytes.ends_with(END) {
            return Err(RespFault::BadEnd);
        }
        bytes.truncate(self.len);
        Ok(Some(match self.kind {
            StringKind::Bulk => Value::Bulk(bytes),
            StringKind::Error => Value::Error(bytes),
            StringKind::Verbatim if bytes.get(3) == Some(&b':') => {
                Value::Verbatim(bytes.split_off(4))
            }
            StringKind::Verbatim => return Err(RespFault::BadForm),
        }))
    }
}

fn text(bytes: &[u8]) -> Result<&str, RespFault> {
    std::str::from_utf8(bytes).map_err(|_| RespFault::BadNumber)
}

fn digits(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit)
}

fn length(bytes: &[u8]) -> Result<usize, RespFault> {
    if !digits(bytes) {
        return Err(RespFault::BadNumber);
    }
    text(bytes)?.parse().map_err(|_| RespFault::BadNumber)
}

fn integer(bytes: &[u8]) -> Result<i64, RespFault> {
    text(bytes)?.parse().map_err(|_| RespFault::BadNumber)
}

fn double(bytes: &[u8]) -> Result<f64, RespFault> {
    let text = text(bytes)?;
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    if !is_number && !["inf", "-inf", "nan", "-nan"].contains(&text) {
        return Err(RespFault::BadNumber);
    }
    text.parse().map_err(|_| RespFault::BadNumber)
}

fn big_number(bytes: &[u8]) -> Result<Vec<u8>, RespFault> {
    let unsigned = bytes.strip_prefix(b"-").or(bytes.strip_prefix(b"+")).unwrap_or(bytes);
    if digits(unsigned) { Ok(bytes.to_vec()) } else { Err(RespFault::BadNumber) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(bytes: &[u8]) -> RespFault {
        Decoder::default().next(&mut &*bytes).unwrap_err()
    }

    #[test]
    fn a_command_is_an_array_of_bulk_strings() {
        let mut out = Vec::new();
        encode_command(&mut out, &["GET", "a b"]);
        encode_command(&mut out, &[b"\r\n".as_slice(), b""]);
        assert_eq!(out, b"*2\r\n$3\r\nGET\r\n$3\r\na b\r\n*2\r\n$2\r\n\r\n\r\n$0\r\n\r\n");
        let mut input = &*out;
        let mut decoder = Decoder::default();
        let first = decoder.next(&mut input).unwrap().unwrap();
        assert_eq!(
            first,
            Value::Array(vec![Value::Bulk(b"GET".into()), Value::Bulk(b"a b".into())])
        );
        assert!(decoder.next(&mut input).unwrap().is_some() && input.is_empty());
    }

    #[test]
    fn what_is_wrong_has_a_name_and_stays_wrong() {
        assert_eq!(fault(b"HTTP/1.1 400\r\n"), RespFault::UnknownType(b'H'));
        assert_eq!(fault(b"\r\n"), RespFault::UnknownType(b'\r'));
        assert_eq!(fault(b"+OK\n"), RespFault::BadEnd);
        assert_eq!(fault(b"+O\rK\r\n"), RespFault::BadEnd);
        assert_eq!(fault(b"$1\r\nab\r\n"), RespFault::BadEnd);
        for bad in [":\r\n", ":1x\r\n", "$-2\r\n", "$+1\r\n", "*?\r\n", ",0x1\r\n", "(1.0\r\n"] {
            assert_eq!(fault(bad.as_bytes()), RespFault::BadNumber, "{bad:?}");
        }
        for bad in ["#x\r\n", "_1\r\n", "=3\r\ntxt\r\n"] {
            assert_eq!(fault(bad.as_bytes()), RespFault::BadForm, "{bad:?}");
        }
        let mut decoder = Decoder::default();
        assert!(decoder.next(&mut b"?\r\n".as_slice()).is_err());
        assert_eq!(decoder.next(&mut b"+OK\r\n".as_slice()), Err(RespFault::UnknownType(b'?')));
    }

    #[test]
    fn everything_is_bounded() {
        let mut line = vec![b'+'; MAX_LINE + 3];
        assert_eq!(fault(&line), RespFault::LineTooLong);
        line.truncate(MAX_LINE);
        assert_eq!(Decoder::default().next(&mut &*line), Ok(None));
        assert_eq!(fault(format!("${}\r\n", MAX_BULK + 1).as_bytes()), RespFault::BulkTooLong);
        assert_eq!(fault(format!("*{MAX_VALUES}\r\n").as_bytes()), RespFault::TooManyValues);
        assert_eq!(fault(b"%18446744073709551615\r\n"), RespFault::TooManyValues);
        assert_eq!(fault("*1\r\n".repeat(MAX_DEPTH + 1).as_bytes()), RespFault::TooDeep);
        let deep = format!("{}:1\r\n", "*1\r\n".repeat(MAX_DEPTH));
        assert!(Decoder::default().next(&mut deep.as_bytes()).unwrap().is_some());
        let mut decoder = Decoder::default();
        let string = format!("${MAX_BULK}\r\n{}\r\n", "x".repeat(MAX_BULK));
        assert_eq!(decoder.next(&mut b"*3\r\n".as_slice()), Ok(None));
        for _ in 0..2 {
            assert_eq!(decoder.next(&mut string.as_bytes()), Ok(None));
        }
        assert_eq!(decoder.next(&mut string.as_bytes()), Err(RespFault::TooLong));
    }

    #[test]
    fn attributes_are_passed_over() {
        let bytes = b"|1\r\n+ttl\r\n:1\r\n*2\r\n|0\r\n:2\r\n|1\r\n+a\r\n*0\r\n:3\r\n";
        let answer = Decoder::default().next(&mut bytes.as_slice()).unwrap();
        assert_eq!(answer, Some(Value::Array(vec![Value::Int(2), Value::Int(3)])));
    }
}
