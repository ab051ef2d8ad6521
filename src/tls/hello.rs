//! Looks at the first bytes of a connection: are they TLS, and is the first message complete?
//!
//! No cryptography is computed here. A relay makes an engine only for a complete `ClientHello`.
//! Until then a connection costs no more than one whose first frame arrives slowly, and the relay,
//! not the client, decides in which tick the expensive part of the handshake is computed.

use super::Fault;
use super::limits::MAX_HELLO;

/// The first byte of a TLS connection: a record of the handshake (RFC 8446, section 5.1). No frame
/// begins with it.
pub const FIRST_BYTE: u8 = 0x16;
/// The answer to a beginning that is refused: the alert `decode_error` (RFC 8446, section 6.2).
pub const REFUSAL: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 50];
/// Length of the header of a record, in bytes.
const RECORD_HEADER: usize = 5;
/// The most bytes of content that an unencrypted record has.
const MAX_RECORD: usize = 1 << 14;
/// Length of the header of a handshake message, in bytes.
const MESSAGE_HEADER: usize = 4;
const CLIENT_HELLO: u8 = 1;

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hello {
    /// The beginning of a `ClientHello`.
    Partial,
    /// A whole one.
    Whole,
    /// Something else, or a longer one than a stranger may send.
    Refused(Fault),
}

impl Hello {
    /// Looks at all that a connection has sent so far. A message may be cut into several records.
    pub fn look(bytes: &[u8]) -> Self {
        let (mut rest, mut header, mut came) = (bytes, [0; MESSAGE_HEADER], 0);
        while let [kind, record @ ..] = rest {
            let starts_well = *kind == FIRST_BYTE && record.first().is_none_or(|&major| major == 3);
            if !starts_well {
                return Self::Refused(Fault::NoTls);
            }
            let [_, _, high, low, body @ ..] = record else { break };
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            if length == 0 || length > MAX_RECORD {
                return Self::Refused(Fault::NoTls);
            }
            let body = &body[..body.len().min(length)];
            for (at, &byte) in body.iter().enumerate().take_while(|(at, _)| came + at < 4) {
                header[came + at] = byte;
            }
            came += body.len();
            if came > 0 && header[0] != CLIENT_HELLO {
                return Self::Refused(Fault::NoTls);
            }
            let wanted = MESSAGE_HEADER
                + usize::from(header[1]) * 0x1_0000
                + usize::from(u16::from_be_bytes([header[2], header[3]]));
            if came >= MESSAGE_HEADER && wanted > MAX_HELLO {
                return Self::Refused(Fault::TooLong);
            }
            if came >= MESSAGE_HEADER && came >= wanted {
                return Self::Whole;
            }
            if body.len() < length {
                break;
            }
            rest = &rest[RECORD_HEADER + length..];
        }
        if bytes.len() >= MAX_HELLO {
            return Self::Refused(Fault::TooLong); // the reactor keeps no more bytes of it
        }
        Self::Partial
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of `length` bytes in records of `record` bytes each.
    fn hello(length: u8, record: usize) -> Vec<u8> {
        let message = [&[1, 0, 0, length][..], &vec![7; usize::from(length)]].concat();
        let records = message.chunks(record).map(|part| {
            let length = u16::try_from(part.len()).unwrap().to_be_bytes();
            [&[FIRST_BYTE, 3, 1][..], &length, part].concat()
        });
        records.collect::<Vec<_>>().concat()
    }

    #[test]
    fn a_hello_is_whole_when_its_last_byte_has_come_and_not_before() {
        for record in [1, 2, 3, 4, 5, 100, 500] {
            let bytes = hello(200, record);
            for end in 1..bytes.len() {
                assert_eq!(Hello::look(&bytes[..end]), Hello::Partial, "{record}, {end}");
            }
            assert_eq!(Hello::look(&bytes), Hello::Whole, "{record}");
            let more = [&bytes[..], b"more"].concat();
            assert_eq!(Hello::look(&more), Hello::Whole);
        }
    }

    #[test]
    fn what_is_no_hello_is_refused_at_its_first_wrong_byte() {
        let no_tls = Hello::Refused(Fault::NoTls);
        assert_eq!(Hello::look(b"\x16garbage"), no_tls);
        assert_eq!(Hello::look(b"\x16\x03\x01\x00\x00"), no_tls);
        assert_eq!(Hello::look(b"\x16\x03\x01\x40\x01"), no_tls);
        assert_eq!(Hello::look(b"\x16\x03\x01\x00\x05\x02"), no_tls);
        assert_eq!(Hello::look(b"\x16\x03\x01\x00\x01\x01\x17"), no_tls);
        assert_eq!(Hello::look(b"{"), no_tls);
        let long = Hello::Refused(Fault::TooLong);
        assert_eq!(Hello::look(b"\x16\x03\x01\x40\x00\x01\x00\x20\x00"), long);
        assert_eq!(Hello::look(&hello(250, 1)[..1500]), Hello::Partial);
    }

    #[test]
    fn one_that_does_not_fit_into_what_is_kept_of_a_stranger_is_refused() {
        // 2,000 bytes in records of one byte: 12,000 bytes on the way.
        let body: Vec<u8> = [1, 0, 7, 0xd0].into_iter().chain([7; 2000]).collect();
        let wire: Vec<u8> = body.iter().flat_map(|&byte| [0x16, 3, 1, 0, 1, byte]).collect();
        assert_eq!(Hello::look(&wire[..MAX_HELLO - 1]), Hello::Partial);
        assert_eq!(Hello::look(&wire[..MAX_HELLO]), Hello::Refused(Fault::TooLong));
    }
}
