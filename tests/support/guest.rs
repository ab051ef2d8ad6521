//! A connection as a relay sees it that does what the protocol asks for and checks nothing.
//!
//! Knows frames, and not how they travel: the evil relays of the tests, in memory and on sockets,
//! have it in common.

use sealwax::crypto::{PublicKey, RelayKey, relay_challenge};
use sealwax::wire::{Reply, WireLimits, base64};
use serde_json::{Value, json};

/// The nonce in every challenge.
const NONCE: [u8; 32] = [2; 32];

/// Who is connected.
#[derive(Default)]
pub struct Guest {
    pub name: String,
    pub pubkey: String,
    pub prekey: Value,
    pub is_registered: bool,
    /// What only the two ends of its connection know; none: it speaks in the clear.
    pub binding: Option<[u8; 32]>,
    fp: String,
}

impl Guest {
    /// The answer to a frame that concerns nobody else; none where there is none.
    pub fn answer(&mut self, key: &RelayKey, max_frame: usize, frame: &Value) -> Option<Vec<u8>> {
        match frame["action"].as_str()? {
            "register" => Some(self.challenge(key, frame, NONCE)),
            "prove" => {
                self.is_registered = true;
                let (name, fp) = (self.name.as_str().into(), self.fp.parse().expect("a print"));
                let limits = WireLimits::new(max_frame);
                Some(Reply::Registered { name, fp, limits }.encode())
            }
            "prekey" => {
                self.prekey = frame["prekey"].clone();
                None
            }
            "ping" => Some(Reply::Pong { id: frame["id"].as_str().map(Into::into) }.encode()),
            _ => None,
        }
    }

    /// A challenge whose signature does not hold.
    pub fn forged_challenge(&mut self, key: &RelayKey, frame: &Value) -> Vec<u8> {
        self.challenge(key, frame, [1; 32])
    }

    fn challenge(&mut self, key: &RelayKey, frame: &Value, nonce: [u8; 32]) -> Vec<u8> {
        let text = |name: &str| frame[name].as_str().unwrap_or_default().to_owned();
        (self.name, self.pubkey) = (text("name"), text("pubkey"));
        self.prekey = frame["prekey"].clone();
        let fp = PublicKey::from_pem(&self.pubkey).expect("a key").fingerprint();
        self.fp = fp.to_string();
        let cnonce = base64::decode_array(&text("cnonce")).expect("a cnonce");
        let relay = key.public();
        let binding = self.binding.as_ref().filter(|_| frame["bind"].is_string());
        let signature = key.sign(&relay_challenge(&relay, &cnonce, &NONCE, &fp, binding));
        Reply::Challenge { relay, nonce, signature }.encode()
    }

    /// The answer to a `get_pubkey` for this user.
    pub fn as_pubkey(&self) -> Value {
        json!({"action": "pubkey", "from": self.name, "pubkey": self.pubkey, "v": 2,
               "prekey": self.prekey})
    }
}

/// The answer to a `get_pubkey` for nobody.
pub fn nobody(name: &str) -> Value {
    json!({"action": "error", "code": "unknown_user", "detail": "", "target": name})
}
