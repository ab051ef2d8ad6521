//! The relay's own protocol, spoken by original users and by those of version 2.

use std::rc::Rc;
use std::str::FromStr;

use super::keys::Keys;
use super::payload::Payload;
use super::protocol::{PARTS, Parsed, Protocol};
use crate::crypto::register_proof;
use crate::limits::{LOAD_MAX_FRAME, MLKEM_KEY, NEW_RSA_BITS, PREKEY_LIFETIME};
use crate::wire::compose::{ping, prove, register};
use crate::wire::{
    Bind, ErrorCode, Incoming, Prekey, Registration2, Reply, RosterMode, Scan, Scanner,
};

/// The public key of every original user: no private key is ever needed.
const PUBLIC_KEY: &str = "\
-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA3l32owlGYvarYRoiPCOw
B5SDMq4Gx2YyHUu/bSlGs6ebDBYjZ+BHq/ivPzPOpmi34NZ2YJkTSDBvPmNW8/P1
quyImVmG9r/v31G97Rbxkq2l8jRreBom1HJXgycrHQPaYJ2QlTNcpLw5QZbk2tyV
TTbnGFK3jRPl/vgs4QDhTzxY43yMy3vFYWTyXu8AgLd0wGpZQHOCO4bIS7JyCq9I
QU2tevYGKG1GamvYrs6Q42SJg0ynCuXERtPSrRFwYC3enlvf7xsOt3KHuwmnim/j
oZm4netJO/HyrHoc/+4OK7dre/AjVyn1QAlzDLZ4YwTX9zXJ9WiCIo3jJEE+E9T9
8wIDAQAB
-----END PUBLIC KEY-----
";
/// How each of our messages begins: this is compared before anything else.
const MESSAGE: &[u8] = br#"{"action": "message", "to": "#;
/// When every prekey was made, in ms since 1970. Its age does not matter here.
const CREATED: u64 = 1_764_000_000_000;

/// The protocol of `docs/protocol.md`.
#[derive(Clone)]
pub struct Sealwax {
    roster: RosterMode,
    payload: Payload,
    /// Of users of version 2.
    keys: Option<Rc<Keys>>,
}

impl Sealwax {
    /// Users who register with this `roster` and exchange messages like `payload`; with `keys`, in
    /// version 2.
    pub fn new(roster: RosterMode, payload: &Payload, keys: Option<Rc<Keys>>) -> Self {
        Self { roster, payload: payload.clone(), keys }
    }

    fn understand<'a>(&self, user: u32, frame: &'a [u8]) -> Parsed<'a> {
        match Incoming::parse(frame) {
            Err(_) => Parsed::Nonsense,
            Ok(Incoming::Forwarded(_)) => Parsed::Message(frame),
            Ok(Incoming::Reply(Reply::Error { code, .. })) => Parsed::Refused(
                ErrorCode::from_str(&code).map_or("unknown code", ErrorCode::as_str),
            ),
            Ok(Incoming::Reply(Reply::Challenge { relay, nonce, .. })) => {
                self.proof(user, &relay, &nonce).map_or(Parsed::Nonsense, Parsed::Asked)
            }
            Ok(_) => Parsed::Welcome,
        }
    }

    /// The proof of the key of a user of version 2. The relay's own signature is not checked here.
    fn proof(&self, user: u32, relay: &[u8; 32], nonce: &[u8; 32]) -> Option<Vec<u8>> {
        let key = self.keys.as_ref()?.of(user);
        let Registration2 { cnonce, prekey, .. } = registration(user);
        let name = self.payload.name(user);
        let proof = register_proof(relay, nonce, &cnonce, &name, &key.fp, &prekey, None);
        Some(prove(&key.identity.sign(&proof)))
    }
}

impl Protocol for Sealwax {
    /// Behind it comes something that is answered: for an original user that wants no roster, a
    /// `ping`.
    fn greeting(&self, user: u32) -> Vec<u8> {
        let name = self.payload.name(user);
        if let Some(keys) = &self.keys {
            let key = keys.of(user);
            return register(&name, &key.pem, self.roster, Some(&registration(user)));
        }
        let mut bytes = register(&name, PUBLIC_KEY, self.roster, None);
        if self.roster == RosterMode::None {
            bytes.extend(ping("registered"));
        }
        bytes
    }

    /// In a flood nearly all are messages of one length, so that is what is tried first.
    fn parse<'a>(&self, user: u32, bytes: &'a [u8]) -> (usize, Parsed<'a>) {
        let size = self.payload.size();
        if let Some(front) = bytes.get(..size)
            && front.starts_with(MESSAGE)
            && front.ends_with(b"\"}")
            && let None | Some(b'\n' | b'{') = bytes.get(size)
        {
            let line_end = usize::from(bytes.get(size) == Some(&b'\n'));
            return (size + line_end, Parsed::Message(front));
        }
        match Scanner::default().scan(bytes, LOAD_MAX_FRAME) {
            Scan::Incomplete { consumed } => (consumed, Parsed::Nothing),
            Scan::Refused(_) => (bytes.len(), Parsed::Nonsense),
            Scan::Frame(place) => (place.end, self.understand(user, &bytes[place])),
        }
    }

    fn parts<'a>(&'a self, message: &'a [u8]) -> [&'a [u8]; PARTS] {
        [b"", b"", b"", message, b"\n"]
    }
}

/// What a user of version 2 adds to its registration. The relay checks only the form of a prekey,
/// and nobody else reads it, so it is not signed.
fn registration(user: u32) -> Registration2 {
    let lifetime = u64::try_from(PREKEY_LIFETIME.as_millis()).unwrap_or(u64::MAX);
    let prekey = Prekey {
        id: user,
        created: CREATED,
        expires: CREATED + lifetime,
        x25519: [9; 32],
        mlkem: Some(Box::new([9; MLKEM_KEY])),
        signature: vec![0; NEW_RSA_BITS / 8],
    };
    Registration2 { cnonce: [7; 32], prekey, bind: Bind::None }
}

#[cfg(test)]
mod tests {
    use super::super::payload::Label;
    use super::*;
    use crate::crypto::PublicKey;
    use crate::wire::{Body, Request};

    fn original(roster: RosterMode) -> (Sealwax, Payload) {
        let payload = Payload::new(131, false, 5).unwrap();
        (Sealwax::new(roster, &payload, None), payload)
    }

    #[test]
    fn a_relay_takes_the_greeting() {
        let (original, payload) = original(RosterMode::Full);
        let greeting = original.greeting(7);
        let request = Request::parse(greeting.trim_ascii_end()).unwrap();
        let Body::Register(register) = request.body else { panic!("no registration") };
        assert!(PublicKey::from_pem(&register.pubkey).is_ok());
        assert_eq!(register.name, payload.name(7));
    }

    #[test]
    fn what_the_relay_says_is_told_apart() {
        let (original, _) = original(RosterMode::None);
        let cases = [
            ("", 0, Parsed::Nothing),
            (" \n", 2, Parsed::Nothing),
            ("{\"action\":", 0, Parsed::Nothing),
            ("{\"action\":\"pong\"}\n", 17, Parsed::Welcome),
            ("{\"action\":\"userlist\",\"users\":[]}{", 32, Parsed::Welcome),
            (
                r#"{"action":"error","code":"queue_full","detail":""}"#,
                50,
                Parsed::Refused("queue_full"),
            ),
            (
                r#"{"action":"error","code":"new_one","detail":""}"#,
                47,
                Parsed::Refused("unknown code"),
            ),
            ("{}", 2, Parsed::Nonsense),
            ("HTTP/1.1 400 Bad Request\r\n", 26, Parsed::Nonsense),
        ];
        for (bytes, consumed, parsed) in cases {
            assert_eq!(original.parse(0, bytes.as_bytes()), (consumed, parsed), "{bytes}");
        }
    }

    #[test]
    fn messages_are_found_however_they_are_joined_and_cut() {
        let (original, mut payload) = original(RosterMode::None);
        let one = payload.write(&Label { from: 1, to: 2, number: 3 }).to_vec();
        for separator in ["", "\n", " \r\n"] {
            let mut stream = one.clone();
            stream.extend_from_slice(separator.as_bytes());
            stream.extend_from_slice(&one);
            let mut place = 0;
            for _ in 0..2 {
                let (consumed, parsed) = original.parse(0, &stream[place..]);
                assert_eq!(parsed, Parsed::Message(&one));
                place += consumed;
            }
        }
        assert_eq!(original.parse(0, &one[..130]), (0, Parsed::Nothing));
    }

    #[test]
    fn a_user_of_version_2_proves_its_key_when_it_is_challenged() {
        let payload = Payload::new(131, true, 0).unwrap();
        let keys = Rc::new(Keys::new(9, |_, _| {}));
        let protocol = Sealwax::new(RosterMode::None, &payload, Some(Rc::clone(&keys)));
        let greeting = protocol.greeting(8);
        let request = Request::parse(greeting.trim_ascii_end()).unwrap();
        let Body::Register(register) = request.body else { panic!("no registration") };
        let v2 = register.v2.unwrap();
        let key = PublicKey::from_pem(&register.pubkey).unwrap();
        let (relay, nonce) = ([1; 32], [2; 32]);
        let challenge = Reply::Challenge { relay, nonce, signature: [0; 64] }.encode();
        let (_, Parsed::Asked(answer)) = protocol.parse(8, &challenge) else { panic!("no answer") };
        let request = Request::parse(answer.trim_ascii_end()).unwrap();
        let Body::Prove { signature } = request.body else { panic!("no proof") };
        let fp = key.fingerprint();
        let proof =
            register_proof(&relay, &nonce, &v2.cnonce, &payload.name(8), &fp, &v2.prekey, None);
        assert!(key.verify(&proof, &signature));
    }
}
