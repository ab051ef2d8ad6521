//! MQTT 3.1.1, at most once (`QoS` 0): a user is a topic that one connection is subscribed to.
//!
//! The sections named are those of the standard (OASIS, 2014).

use super::payload::{NAME, Payload};
use super::protocol::{PARTS, Parsed, Protocol};

/// A user of a broker.
pub struct Mqtt {
    payload: Payload,
    /// What stands before an addressee's name.
    head: Vec<u8>,
}

/// Kinds of packets, as their first byte has them (2.2).
const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH: u8 = 0x30;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;
const PINGRESP: u8 = 0xd0;
/// In a `SUBACK`: refused.
const FAILURE: u8 = 0x80;
/// Bytes of a length, at most (2.2.3).
const LENGTH_BYTES: usize = 4;

impl Mqtt {
    /// Users who exchange messages like `payload`.
    pub fn new(payload: &Payload) -> Self {
        let mut head = vec![PUBLISH];
        write_length(&mut head, 2 + NAME + payload.size());
        head.extend(text_length(NAME));
        Self { payload: payload.clone(), head }
    }
}

impl Protocol for Mqtt {
    /// A client need not wait for the answer to its `CONNECT` (3.1.4).
    fn greeting(&self, user: u32) -> Vec<u8> {
        const CLEAN_SESSION: u8 = 2;
        let name = self.payload.name(user);
        let text = [&text_length(NAME)[..], name.as_bytes()].concat();
        // Its version is 4, and it wants no keep-alive.
        let hello = [&[0, 4], &b"MQTT"[..], &[4, CLEAN_SESSION, 0, 0], &text].concat();
        let subscription = [&[0, 1], &text[..], &[0]].concat();
        let mut bytes = Vec::new();
        for (kind, body) in [(CONNECT, hello), (SUBSCRIBE, subscription)] {
            bytes.push(kind);
            write_length(&mut bytes, body.len());
            bytes.extend(body);
        }
        bytes
    }

    fn parse<'a>(&self, _user: u32, bytes: &'a [u8]) -> (usize, Parsed<'a>) {
        let Some((&kind, rest)) = bytes.split_first() else { return (0, Parsed::Nothing) };
        let (start, length) = match read_length(rest) {
            Ok((taken, length)) => (1 + taken, length),
            Err(gap) => return (0, gap),
        };
        let Some(body) = bytes.get(start..start + length) else { return (0, Parsed::Nothing) };
        let parsed = match (kind, body) {
            (CONNACK, [_, 0]) | (PINGRESP, []) => Parsed::Noise,
            (CONNACK, [_, _]) => Parsed::Refused("the connection"),
            (SUBACK, [_, _, FAILURE]) => Parsed::Refused("the subscription"),
            (SUBACK, [_, _, _]) => Parsed::Welcome,
            (PUBLISH, [high, low, rest @ ..]) => {
                let topic = usize::from(u16::from_be_bytes([*high, *low]));
                rest.get(topic..).map_or(Parsed::Nonsense, Parsed::Message)
            }
            _ => Parsed::Nonsense,
        };
        (start + length, parsed)
    }

    fn parts<'a>(&'a self, message: &'a [u8]) -> [&'a [u8]; PARTS] {
        [&self.head, self.payload.addressee(message), b"", message, b""]
    }
}

/// The length of a text, as it stands in front of it (1.5.3).
fn text_length(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes()
}

/// Seven bits a byte, the lowest first (2.2.3).
fn write_length(bytes: &mut Vec<u8>, mut length: usize) {
    loop {
        let low = (length & 0x7f).to_le_bytes()[0];
        length >>= 7;
        bytes.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            return;
        }
    }
}

/// How many bytes the length takes, and what it is.
fn read_length(bytes: &[u8]) -> Result<(usize, usize), Parsed<'static>> {
    let mut length = 0;
    for (place, byte) in bytes.iter().take(LENGTH_BYTES).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok((place + 1, length));
        }
    }
    Err(if bytes.len() < LENGTH_BYTES { Parsed::Nothing } else { Parsed::Nonsense })
}

#[cfg(test)]
mod tests {
    use super::super::payload::Label;
    use super::*;

    fn mqtt(size: usize) -> (Mqtt, Vec<u8>) {
        let mut payload = Payload::new(size, false, 0).unwrap();
        let message = payload.write(&Label { from: 2, to: 3, number: 4 }).to_vec();
        (Mqtt::new(&payload), message)
    }

    #[test]
    fn a_message_is_heard_as_it_was_sent() {
        for (size, head) in [(110, &[0x30, 120][..]), (131, &[0x30, 0x8d, 1]), (20_000, &[0x30])] {
            let (mqtt, message) = mqtt(size);
            let sent = mqtt.parts(&message).concat();
            assert!(sent.starts_with(head) && sent.ends_with(&message), "{sent:?}");
            assert_eq!(mqtt.parse(0, &sent), (sent.len(), Parsed::Message(&message)));
            for cut in 0..sent.len() {
                assert_eq!(mqtt.parse(0, &sent[..cut]), (0, Parsed::Nothing), "cut at {cut}");
            }
        }
    }

    #[test]
    fn what_comes_is_told_apart() {
        let (mqtt, _) = mqtt(131);
        let cases = [
            (&[0x20, 2, 0, 0][..], Parsed::Noise),
            (&[0x20, 2, 0, 5], Parsed::Refused("the connection")),
            (&[0x90, 3, 0, 1, 0], Parsed::Welcome),
            (&[0x90, 3, 0, 1, 0x80], Parsed::Refused("the subscription")),
            (&[0x30, 2, 0, 9], Parsed::Nonsense),
            (&[0xff, 0], Parsed::Nonsense),
        ];
        for (bytes, parsed) in cases {
            assert_eq!(mqtt.parse(0, bytes), (bytes.len(), parsed), "{bytes:?}");
        }
        assert_eq!(mqtt.parse(0, &[0x30, 0xff, 0xff, 0xff, 0xff]), (0, Parsed::Nonsense));
    }

    #[test]
    fn a_greeting_is_two_packets() {
        let (mqtt, _) = mqtt(131);
        let expected =
            b"\x10\x14\0\x04MQTT\x04\x02\0\0\0\x08u0000007\x82\x0d\0\x01\0\x08u0000007\0";
        assert_eq!(mqtt.greeting(7), expected);
    }
}
