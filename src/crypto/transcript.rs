//! `T` and `H` (`docs/protocol.md`, section 3): how what is signed or hashed is put into bytes.

use ring::digest;

/// `T(a, b, …)`: each part behind its length as four big-endian bytes. Two different lists of parts
/// never have the same bytes, so no byte can move from one part into the next.
///
/// The tuple of a longer list is the tuple of its beginning and the tuple of its rest, joined.
pub fn tuple(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(parts.iter().map(|part| 4 + part.len()).sum());
    for part in parts {
        debug_assert!(u32::try_from(part.len()).is_ok(), "bounded by the size of a frame");
        #[expect(clippy::cast_possible_truncation, reason = "asserted above")]
        bytes.extend_from_slice(&(part.len() as u32).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

/// `H`: SHA-256 (FIPS 180-4).
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, bytes);
    let mut hash = [0; 32];
    hash.copy_from_slice(digest.as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tuple_keeps_its_parts_apart() {
        assert_eq!(tuple(&[b"ab", b"", b"c"]), b"\0\0\0\x02ab\0\0\0\0\0\0\0\x01c");
        assert_ne!(tuple(&[b"ab", b"c"]), tuple(&[b"a", b"bc"]));
        assert_eq!(tuple(&[]), b"");
    }

    #[test]
    fn the_tuple_of_a_list_is_that_of_its_beginning_and_its_rest() {
        let whole = tuple(&[b"a", b"bc", b"def"]);
        assert_eq!(whole, [tuple(&[b"a"]), tuple(&[b"bc", b"def"])].concat());
    }
}
