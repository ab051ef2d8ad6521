//! What JSON allows and the protocol does not, at any depth (`docs/protocol.md`, section 1): one
//! pass over bytes that are known to be valid JSON.

use memchr::memchr2;

use super::BadFrame;
use crate::limits::{MAX_DEPTH, MAX_MEMBERS, MAX_NUMBER};

/// Checks depth, members, numbers and escapes. `json` is valid JSON.
pub(super) fn check(json: &[u8]) -> Result<(), BadFrame> {
    // Members of the objects that are open here, outermost first; the place of an array stays 0.
    let mut members = [0_usize; MAX_DEPTH];
    let mut depth = 0;
    let mut at = 0;
    while let Some(&byte) = json.get(at) {
        at += 1;
        match byte {
            b'{' | b'[' if depth == MAX_DEPTH => {
                return Err(BadFrame(format!("nested deeper than {MAX_DEPTH}").into()));
            }
            b'{' | b'[' => {
                members[depth] = 0;
                depth += 1;
            }
            b'}' | b']' => depth -= 1,
            // Each member has one colon, and outside strings nothing else has.
            b':' => {
                members[depth - 1] += 1;
                if members[depth - 1] > MAX_MEMBERS {
                    let detail = format!("more than {MAX_MEMBERS} members in an object");
                    return Err(BadFrame(detail.into()));
                }
            }
            b'"' => at = check_string(json, at)?,
            b'-' | b'0'..=b'9' => at = check_number(json, at)?,
            _ => {}
        }
    }
    Ok(())
}

/// Checks the number whose first byte stands before `at`. Returns where it ends.
fn check_number(json: &[u8], at: usize) -> Result<usize, BadFrame> {
    let is_part = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    let rest = json[at..].iter().take_while(is_part).count();
    if rest >= MAX_NUMBER {
        return Err(BadFrame(format!("a number of more than {MAX_NUMBER} characters").into()));
    }
    Ok(at + rest)
}

/// Checks the string whose first byte after the quote is at `at`. Returns where its last quote
/// ends.
fn check_string(json: &[u8], mut at: usize) -> Result<usize, BadFrame> {
    while let Some(length) = json.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += length;
        if json[at] == b'"' {
            return Ok(at + 1);
        }
        at += escape_length(&json[at..]).ok_or(BadFrame("an escaped lone surrogate".into()))?;
    }
    Ok(json.len())
}

/// The length of the escape at the front, of both halves where it takes two to stand for a
/// character; `None` where it stands for none (RFC 8259, section 7).
fn escape_length(json: &[u8]) -> Option<usize> {
    match code_unit(json) {
        None => Some(2),
        Some(0xd800..=0xdbff) => match code_unit(&json[6..]) {
            Some(0xdc00..=0xdfff) => Some(12),
            _ => None,
        },
        Some(0xdc00..=0xdfff) => None,
        Some(_) => Some(6),
    }
}

/// The UTF-16 code unit of the escape `\uXXXX` at the front.
fn code_unit(json: &[u8]) -> Option<u16> {
    let digits = json.get(..6)?.strip_prefix(b"\\u")?;
    u16::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str) -> Result<(), BadFrame> {
        assert!(serde_json::from_str::<&serde_json::value::RawValue>(json).is_ok(), "{json}");
        super::check(json.as_bytes())
    }

    #[test]
    fn the_object_itself_counts_as_one_level() {
        let nested = |levels: usize| {
            format!("{{\"a\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1))
        };
        assert!(check(&nested(MAX_DEPTH)).is_ok());
        assert!(check(&nested(MAX_DEPTH + 1)).is_err());
        assert!(check(r#"{"a":"[[[[[[[[[[{{{{{{{{{{"}"#).is_ok(), "brackets in a string are text");
    }

    #[test]
    fn members_are_counted_in_each_object() {
        let object = |count: usize| {
            let members = (0..count).map(|n| format!("\"k{n}\":\":\""));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        };
        assert!(check(&object(MAX_MEMBERS)).is_ok());
        assert!(check(&object(MAX_MEMBERS + 1)).is_err());
        let beside = format!("{{\"a\":{0},\"b\":[{0},{0}]}}", object(MAX_MEMBERS));
        assert!(check(&beside).is_ok());
        assert!(check(&format!("{{\"a\":[[{}]]}}", object(MAX_MEMBERS + 1))).is_err());
    }

    #[test]
    fn a_number_has_so_many_characters_wherever_it_stands() {
        let number = |length: usize| "9".repeat(length);
        for around in ["N", "-N", "N.5", "0.N", "1eN", "1E+N", "[N]", "{\"b\":[[N]]}", "N "] {
            let others = around.bytes().filter(|byte| b"-.015eE+".contains(byte)).count();
            let frame = |length: usize| {
                format!("{{\"a\":{}}}", around.replace('N', &number(length - others)))
            };
            assert!(check(&frame(MAX_NUMBER)).is_ok(), "{around}");
            assert!(check(&frame(MAX_NUMBER + 1)).is_err(), "{around}");
        }
        let beside = vec![number(MAX_NUMBER); 9].join(",");
        assert!(check(&format!("{{\"a\":[{beside}],\"b\":true}}")).is_ok(), "each for itself");
        assert!(check(&format!("{{\"a\":\"{}\"}}", number(5000))).is_ok(), "a string is text");
    }

    #[test]
    fn an_escape_stands_for_a_character_or_the_frame_is_refused() {
        for good in [r"\ud83d\ude00", r"\\ud83d", r"\uD7FF\uE000", r"\n\/", r"\\\ud83d\ude00"] {
            assert!(check(&format!(r#"{{"a":[{{"b":"{good}"}}]}}"#)).is_ok(), "{good}");
        }
        for lone in [r"\ud83d", r"\ude00", r"\ud83d\ud83d", r"\ud83dx\ude00", r"\\\uDFFF"] {
            assert!(check(&format!(r#"{{"a":[{{"b":"{lone}"}}]}}"#)).is_err(), "{lone}");
            assert!(check(&format!(r#"{{"a":"{lone}"}}"#)).is_err(), "{lone}");
            assert!(check(&format!(r#"{{"{lone}":1}}"#)).is_err(), "{lone}");
            assert!(check(&format!(r#"{{"a":{{"{lone}":1}}}}"#)).is_err(), "{lone}");
        }
    }
}
