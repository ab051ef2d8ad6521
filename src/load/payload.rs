//! The message that is sent, and the labels in it by which it can be checked.
//!
//! All targets carry the same bytes, so that their figures can stand side by side: a `message` of
//! the original protocol, as long as was asked for. Three fields of fixed width say who sent it to
//! whom and which one of the sender's it is; the rest is the same in each, so a byte that was
//! changed on the way is noticed.

/// The length of a name, in bytes.
pub(super) const NAME: usize = 8;
/// Digits of a message's number.
const NUMBER: usize = 16;

/// What distinguishes one message from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label {
    /// The sender's index.
    pub(super) from: u32,
    /// The addressee's index.
    pub(super) to: u32,
    /// Which of the sender's messages, counted from 0.
    pub(super) number: u64,
}

/// The message that is sent again and again, each time with other labels.
#[derive(Clone, Debug)]
pub struct Payload {
    bytes: Vec<u8>,
    /// The number in the first user's name.
    first: u32,
    /// Where the digits of the addressee, the sender and the number stand.
    to: usize,
    from: usize,
    number: usize,
}

impl Payload {
    /// A message of `size` bytes, of a user of version 2 or of an original one; none where its
    /// fields alone are longer. Names count up from `first`.
    pub fn new(size: usize, version2: bool, first: u32) -> Option<Self> {
        let version = if version2 { r#""v": 2, "# } else { "" };
        let to = r#"{"action": "message", "to": ""#.len() + 1;
        let from = to + NAME - 1 + r#"", "from": ""#.len() + 1;
        let number = from + NAME - 1 + r#"", "#.len() + version.len() + r#""content": ""#.len();
        let fill = size.checked_sub(number + NUMBER + r#""}"#.len())?;
        let (name, digits, fill) = (name_of(0), "0".repeat(NUMBER), "-".repeat(fill));
        let text = format!(r#"{{"action": "message", "to": "{name}", "from": "{name}", {version}"#)
            + &format!(r#""content": "{digits}{fill}"}}"#);
        debug_assert_eq!(text.len(), size);
        Some(Self { bytes: text.into_bytes(), first, to, from, number })
    }

    /// The shortest message that [`new`](Self::new) makes, in bytes.
    pub fn shortest(version2: bool) -> usize {
        let most = 256; // the fields of both versions fit in there
        (0..most).find(|&size| Self::new(size, version2, 0).is_some()).unwrap_or(most)
    }

    /// The message with this label.
    pub(super) fn write(&mut self, label: &Label) -> &[u8] {
        write_hex(&mut self.bytes[self.to..][..NAME - 1], u64::from(self.first + label.to));
        write_hex(&mut self.bytes[self.from..][..NAME - 1], u64::from(self.first + label.from));
        write_hex(&mut self.bytes[self.number..][..NUMBER], label.number);
        &self.bytes
    }

    /// The label of a message, if it is one of ours and whole.
    pub(super) fn read(&self, bytes: &[u8]) -> Option<Label> {
        if bytes.len() != self.bytes.len() {
            return None;
        }
        let same = |from: usize, to: usize| bytes[from..to] == self.bytes[from..to];
        let unchanged = same(0, self.to)
            && same(self.to + NAME - 1, self.from)
            && same(self.from + NAME - 1, self.number)
            && same(self.number + NUMBER, bytes.len());
        if !unchanged {
            return None;
        }
        Some(Label {
            to: self.user(&bytes[self.to..])?,
            from: self.user(&bytes[self.from..])?,
            number: read_hex(&bytes[self.number..][..NUMBER])?,
        })
    }

    /// The name of the user whom one of our messages is for.
    pub fn addressee<'a>(&self, message: &'a [u8]) -> &'a [u8] {
        message.get(self.to - 1..).and_then(|text| text.get(..NAME)).unwrap_or_default()
    }

    /// The user whose digits `text` begins with.
    fn user(&self, text: &[u8]) -> Option<u32> {
        u32::try_from(read_hex(text.get(..NAME - 1)?)?).ok()?.checked_sub(self.first)
    }

    /// The name of the user with this index.
    pub fn name(&self, user: u32) -> String {
        name_of(self.first + user)
    }

    /// Its length, in bytes.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }
}

/// A name of either version, of the same length for all numbers below 2²⁸.
fn name_of(number: u32) -> String {
    format!("u{number:07x}")
}

/// The number in the name that `text` begins with.
pub(super) fn number_in(text: &[u8]) -> Option<u32> {
    let digits = text.get(1..NAME).filter(|_| text.starts_with(b"u"))?;
    u32::try_from(read_hex(digits)?).ok()
}

/// Hexadecimal, leading zeros included; what does not fit is cut off.
fn write_hex(digits: &mut [u8], mut value: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(value & 15) as usize];
        value >>= 4;
    }
}

fn read_hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |value, digit| {
        let nibble = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u64::from(nibble))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Body, Request, check_name_v2};

    const FIRST: u32 = 0x0abc_0000;
    const LABEL: Label = Label { from: 0xbcd, to: 0xffff, number: 0x0123_4567_89ab_cdef };

    #[test]
    fn a_message_is_as_long_as_was_asked_for_and_the_relay_takes_it() {
        for (size, version2) in [(131, false), (131, true), (4096, false)] {
            let mut payload = Payload::new(size, version2, FIRST).unwrap();
            let bytes = payload.write(&LABEL).to_vec();
            assert_eq!(bytes.len(), size);
            let request = Request::parse(&bytes).unwrap();
            assert_eq!(request.version2, version2);
            let Body::Forward(forward) = request.body else { panic!("not a message") };
            assert_eq!(forward.to, payload.name(LABEL.to));
        }
    }

    #[test]
    fn what_was_written_is_read() {
        let mut payload = Payload::new(131, false, FIRST).unwrap();
        let bytes = payload.write(&LABEL).to_vec();
        assert_eq!(payload.read(&bytes), Some(LABEL));
        assert_eq!(payload.addressee(&bytes), payload.name(LABEL.to).as_bytes());
    }

    #[test]
    fn a_byte_that_was_changed_is_noticed() {
        let mut payload = Payload::new(131, false, FIRST).unwrap();
        let bytes = payload.write(&LABEL).to_vec();
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            assert_ne!(payload.read(&changed), Some(LABEL), "{place}");
        }
        assert_eq!(payload.read(&bytes[1..]), None);
    }

    #[test]
    fn the_shortest_is_the_shortest() {
        let shortest = Payload::shortest(true);
        assert!(
            Payload::new(shortest, true, 0).is_some()
                && Payload::new(shortest - 1, true, 0).is_none()
        );
    }

    #[test]
    fn a_name_is_one_for_both_versions() {
        assert_eq!(check_name_v2(&name_of(u32::MAX >> 4)), Ok(()));
        assert_eq!(name_of(0).len(), NAME);
        assert_eq!(number_in(format!("{}\", ", name_of(0xbcd)).as_bytes()), Some(0xbcd));
        assert_eq!((number_in(b"u000000"), number_in(b"x0000000")), (None, None));
    }
}
