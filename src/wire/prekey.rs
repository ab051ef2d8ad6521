//! Prekeys and letter keys as they are carried in JSON (`docs/protocol.md`, sections 4 and 10).

use serde_json::value::RawValue;

use super::{BadFrame, Object, base64};
use crate::limits::{MAX_SIGNATURE, MLKEM_KEY};

/// An ML-KEM-768 encapsulation key (FIPS 203): its length was checked, its coefficients were not.
pub type KemKey = [u8; MLKEM_KEY];

/// A published prekey. Its form was checked; its signature and its times were not.
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
    /// The key for sessions of suite 2, where its owner has one.
    pub mlkem: Option<Box<KemKey>>,
    /// RSA-PSS by its owner over `tbs_prekey`.
    pub signature: Vec<u8>,
}

impl Prekey {
    /// Reads `{"id":u32,"created":ms,"expires":ms,"x25519":32 bytes,"sig":…}`, with `mlkem` (1,184
    /// bytes) or without. Numbers are plain integers in range, binary is canonical base64url;
    /// members beside these are passed over.
    pub fn parse(json: &RawValue) -> Result<Self, BadFrame> {
        let object = Object::parse(json.get().as_bytes())?;
        let mlkem = object.raw("mlkem").map(|_| kem_key(&object)).transpose()?;
        let signature = signature(&object)?;
        Ok(Self {
            id: object.required("id")?,
            created: object.required("created")?,
            expires: object.required("expires")?,
            x25519: object.array("x25519")?,
            mlkem,
            signature,
        })
    }

    /// The JSON object, on one line.
    pub fn to_json(&self) -> String {
        published(
            (self.id, self.created, self.expires),
            &self.x25519,
            self.mlkem.as_deref(),
            &self.signature,
        )
    }
}

/// A key to which letters are sealed for a user who is away. Its form was checked; its signature
/// and its times were not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LetterKey {
    /// Chosen at random by its owner.
    pub id: u32,
    /// Milliseconds since 1970, rounded down to the day.
    pub created: u64,
    /// Milliseconds since 1970.
    pub expires: u64,
    /// The X25519 public key (RFC 7748).
    pub x25519: [u8; 32],
    /// The ML-KEM-768 key.
    pub mlkem: Box<KemKey>,
    /// RSA-PSS by its owner over `tbs_letterkey`.
    pub signature: Vec<u8>,
}

impl LetterKey {
    /// Reads an object of the form of a [prekey's](Prekey::parse) in which `mlkem` must be there.
    pub fn parse(json: &RawValue) -> Result<Self, BadFrame> {
        let object = Object::parse(json.get().as_bytes())?;
        Ok(Self {
            id: object.required("id")?,
            created: object.required("created")?,
            expires: object.required("expires")?,
            x25519: object.array("x25519")?,
            mlkem: kem_key(&object)?,
            signature: signature(&object)?,
        })
    }

    /// The JSON object, on one line.
    pub fn to_json(&self) -> String {
        published(
            (self.id, self.created, self.expires),
            &self.x25519,
            Some(&self.mlkem),
            &self.signature,
        )
    }
}

fn kem_key(object: &Object) -> Result<Box<KemKey>, BadFrame> {
    let bytes = object.bytes("mlkem")?.into_boxed_slice();
    bytes.try_into().map_err(|_| BadFrame::form("mlkem"))
}

fn signature(object: &Object) -> Result<Vec<u8>, BadFrame> {
    let signature = object.bytes("sig")?;
    if signature.len() > MAX_SIGNATURE {
        return Err(BadFrame::form("sig")); // a relay keeps it for as long as its owner is there
    }
    Ok(signature)
}

fn published(
    (id, created, expires): (u32, u64, u64),
    x25519: &[u8; 32],
    mlkem: Option<&KemKey>,
    signature: &[u8],
) -> String {
    let mlkem =
        mlkem.map_or(String::new(), |key| format!(r#""mlkem": "{}", "#, base64::encode(key)));
    let (x25519, signature) = (base64::encode(x25519), base64::encode(signature));
    let times = format!(r#""created": {created}, "expires": {expires}"#);
    format!(r#"{{"id": {id}, {times}, "x25519": "{x25519}", {mlkem}"sig": "{signature}"}}"#)
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
            mlkem: None,
            signature: vec![1; MAX_SIGNATURE],
        };
        assert_eq!(parse(&prekey.to_json()).as_ref(), Ok(&prekey));
        let prekey = Prekey { mlkem: Some(Box::new([8; MLKEM_KEY])), ..prekey };
        assert_eq!(parse(&prekey.to_json()).as_ref(), Ok(&prekey));
        let Prekey { id, created, expires, x25519, mlkem, signature } = prekey;
        let mlkem = mlkem.unwrap();
        let key = LetterKey { id, created, expires, x25519, mlkem, signature };
        let json = key.to_json();
        assert_eq!(LetterKey::parse(serde_json::from_str(&json).unwrap()), Ok(key));
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
            (r#""new":{}"#, r#""mlkem":null"#),
            (r#""new":{}"#, r#""mlkem":"AA""#),
        ];
        for (member, change) in changes {
            assert!(good.contains(member));
            assert!(parse(&good.replace(member, change)).is_err(), "{change}");
        }
        assert!(LetterKey::parse(serde_json::from_str(&good).unwrap()).is_err(), "no mlkem");
        for json in ["[]", "null", "1", "\"{}\"", "{}"] {
            assert!(parse(json).is_err(), "{json}");
        }
    }
}
