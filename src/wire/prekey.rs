//! A prekey as it is carried in JSON (`docs/protocol.md`, section 4).

use serde_json::value::RawValue;

use super::{BadFrame, Object, base64};
use crate::limits::MAX_SIGNATURE;

/// A published X25519 key. Its form was checked; its signature and its times were not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prekey {
    /// Chosen at random by its owner.
    pub id: u32,
    /// Milliseconds since 1970.
    pub created: u64,
    /// Milliseconds since 1970.
    pub expires: u64,
    /// The X25519 public key (RFC 7748).
    pub x25519: [u8; 32],
    /// RSA-PSS by its owner over `tbs_prekey`.
    pub signature: Vec<u8>,
}

impl Prekey {
    /// Reads `{"id":u32,"created":ms,"expires":ms,"x25519":32 bytes,"sig":…}`. Numbers are plain
    /// integers in range, binary is canonical base64url; members beside these are passed over.
    pub fn parse(json: &RawValue) -> Result<Self, BadFrame> {
        let object = Object::parse(json.get().as_bytes())?;
        let signature = object.bytes("sig")?;
        if signature.len() > MAX_SIGNATURE {
            return Err(BadFrame::form("sig")); // a relay keeps it for as long as its owner is there
        }
        Ok(Self {
            id: object.required("id")?,
            created: object.required("created")?,
            expires: object.required("expires")?,
            x25519: object.array("x25519")?,
            signature,
        })
    }

    /// The JSON object, on one line.
    pub fn to_json(&self) -> String {
        format!(
            r#"{{"id": {}, "created": {}, "expires": {}, "x25519": "{}", "sig": "{}"}}"#,
            self.id,
            self.created,
            self.expires,
            base64::encode(&self.x25519),
            base64::encode(&self.signature),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Prekey, BadFrame> {
        Prekey::parse(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn what_is_written_is_read_back() {
        let prekey = Prekey {
            id: u32::MAX,
            created: u64::MAX,
            expires: 0,
            x25519: [7; 32],
            signature: vec![1; MAX_SIGNATURE],
        };
        assert_eq!(parse(&prekey.to_json()), Ok(prekey));
    }

    #[test]
    fn every_member_has_its_form() {
        let good = format!(
            r#"{{"id":1,"created":2,"expires":3,"x25519":"{}","sig":"AQ","new":{{}}}}"#,
            base64::encode(&[7; 32])
        );
        assert!(parse(&good).is_ok());
        let long = format!("\"sig\":\"{}\"", base64::encode(&[1; MAX_SIGNATURE + 1]));
        let changes = [
            (r#""sig":"AQ""#, long.as_str()),
            (r#""id":1"#, r#""id":4294967296"#),
            (r#""id":1"#, r#""id":-1"#),
            (r#""id":1"#, r#""id":"1""#),
            (r#""created":2"#, r#""created":2.0"#),
            (r#""created":2"#, r#""created":18446744073709551616"#),
            (r#""expires":3"#, r#""expires":3e0"#),
            (r#""expires":3,"#, ""),
            (r#""x25519":"Bw"#, r#""x25519":""#),
            (r#""sig":"AQ""#, r#""sig":"AR""#),
            (r#""sig":"AQ""#, r#""sig":null"#),
            (r#""new":{}"#, r#""id":1"#),
        ];
        for (member, change) in changes {
            assert!(good.contains(member));
            assert!(parse(&good.replace(member, change)).is_err(), "{change}");
        }
        for json in ["[]", "null", "1", "\"{}\"", "{}"] {
            assert!(parse(json).is_err(), "{json}");
        }
    }
}
