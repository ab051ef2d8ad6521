//! A prekey as it is carried in JSON.
use serde_json::value::RawValue;

use super::BadFrame;

/// A published X25519 key: `{"id":u32,"created":ms,"expires":ms,"x25519":32 bytes,"sig":…}`. Its form was checked,
/// its signature and its times were not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prekey {
    /// Chosen at random by its owner.
    pub id: u32,
    /// Milliseconds since 1970.
    pub created: u64,
    /// Milliseconds since 1970.
    pub expires: u64,
    /// The public key (RFC 7748).
    pub x25519: [u8; 32],
    /// RSA-PSS by its owner over `tbs_prekey` (`docs/protocol.md`, section 4).
    pub signature: Vec<u8>,
}

impl Prekey {
    /// Reads a prekey. Numbers must be plain integers in range, binary canonical base64url.
    pub fn parse(_json: &RawValue) -> Result<Self, BadFrame> {
        todo!()
    }
    /// The JSON object, on one line.
    pub fn to_json(&self) -> String {
        todo!()
    }
}
