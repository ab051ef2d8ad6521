//! `T` and `H` (`docs/protocol.md`, section 3): how what is signed or hashed is put into bytes.

/// `T(a, b, …)`: each part behind its length as four big-endian bytes. No two different lists of parts have the
/// same bytes, so nothing can slide from one part into the next.
pub fn tuple(parts: &[&[u8]]) -> Vec<u8> {
    todo!()
}

/// `H`: SHA-256.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    todo!()
}
