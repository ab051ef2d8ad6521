//! Where a name is: at which relay, and by which of its connections.

use std::fmt;

/// One life of a relay: random, made at each start, and again when its lease has ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub [u8; 16]);

impl fmt::Display for Incarnation {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl Incarnation {
    /// What [`Display`](fmt::Display) writes, and nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        let digits: Option<Vec<u8>> = text.bytes().map(digit).collect();
        let mut bytes = [0; 16];
        let digits = digits.filter(|digits| digits.len() == 2 * bytes.len())?;
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair[0] << 4 | pair[1];
        }
        Some(Self(bytes))
    }
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

/// Where a name is, as an entry of `where` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The relay.
    pub incarnation: Incarnation,
    /// Which of its connections: a number that this relay gives to no other.
    pub session: u64,
    /// Whether the user registered in version 2.
    pub version2: bool,
}

impl Place {
    /// Whether it is the same connection of the same relay.
    pub fn is_same(self, other: Self) -> bool {
        (self.incarnation, self.session) == (other.incarnation, other.session)
    }

    /// Reads an entry: incarnation, session, version and fingerprint.
    pub fn parse(entry: &str) -> Option<Self> {
        let mut words = entry.split(' ');
        let incarnation = Incarnation::parse(words.next()?)?;
        let session = words.next()?.parse().ok()?;
        let version2 = match words.next()? {
            "1" => false,
            "2" => true,
            _ => return None,
        };
        words.next()?; // the fingerprint is for the scripts
        words.next().is_none().then_some(Self { incarnation, session, version2 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_incarnation_has_one_text() {
        let incarnation = Incarnation(std::array::from_fn(|i| u8::try_from(17 * i).unwrap()));
        let text = "00112233445566778899aabbccddeeff";
        assert_eq!(incarnation.to_string(), text);
        assert_eq!(Incarnation::parse(text), Some(incarnation));
        for other in ["", &text[1..], &text.to_uppercase(), &format!("{text}0")] {
            assert_eq!(Incarnation::parse(other), None, "{other:?}");
        }
    }

    #[test]
    fn an_entry_is_four_words() {
        let incarnation = Incarnation([0xab; 16]);
        let entry = format!("{incarnation} 7 2 SHA256:x");
        assert_eq!(Place::parse(&entry), Some(Place { incarnation, session: 7, version2: true }));
        for other in ["", "a b c d", &entry.replace(" 2 ", " 3 "), &format!("{entry} more")] {
            assert_eq!(Place::parse(other), None, "{other:?}");
        }
    }
}
