//! Somebody who has a key of their own and says that it is another's: with it the relay tries to
//! open whatever it gets, and to write in another's name.

use sealwax::crypto::{
    Body, IdentityVault, Names, PrekeyPair, PublicKey, ReceiveChain, SealedMessage, SendChain,
    SessionOffer, Vault, open_session,
};
use sealwax::wire::{Incoming, Prekey, Reply};
use serde_json::{Value, json};

use crate::support::fixtures::{identity, public};

pub(crate) struct Impostor {
    vault: IdentityVault,
    prekey: PrekeyPair,
}

impl Impostor {
    /// With the fixture `key`.
    pub(crate) fn with(key: &str) -> Self {
        let vault = IdentityVault::new(identity(key));
        let prekey = PrekeyPair::new(&vault, now_ms());
        Self { vault, prekey }
    }

    /// The answer to a `get_pubkey` for `name` that hands out this key.
    pub(crate) fn pubkey_as(&self, name: &str) -> Value {
        json!({"action": "pubkey", "from": name, "pubkey": self.vault.public().to_pem(), "v": 2,
               "prekey": self.prekey_as(name)})
    }

    /// A prekey for `name` that this key has signed.
    pub(crate) fn prekey_as(&self, name: &str) -> Value {
        let published = self.prekey.publish(&self.vault, name);
        serde_json::from_str(&published.to_json()).expect("JSON")
    }

    /// A session as from `from`, to the user whose `pubkey` answer this is; made `ahead_ms` from
    /// now.
    pub(crate) fn offer(&self, from: &str, pubkey: &Value, ahead_ms: u64) -> (SendChain, Value) {
        let (to, prekey) = (pubkey["from"].as_str().expect("a name"), prekey_in(pubkey));
        let peer = PublicKey::from_pem(pubkey["pubkey"].as_str().expect("text")).expect("a key");
        let (names, created) = (Names { from, to }, now_ms() + ahead_ms);
        let (chain, key) =
            open_session(&self.vault, names, &peer, &prekey, created).expect("sealed");
        (chain, json!({"action": "send_key", "to": to, "from": from, "v": 2, "key": key}))
    }

    /// What this key opens of `log`, of all that `from` sent `to` under the fixture key of the same
    /// name.
    pub(crate) fn read(&self, log: &[Value], from: &str, to: &str) -> Vec<String> {
        let is_it = |frame: &&Value| frame["from"] == from && frame["to"] == to;
        let (mut chains, mut texts) = (Vec::<ReceiveChain>::new(), Vec::new());
        for frame in log.iter().filter(is_it) {
            if let Some(key) = frame["key"].as_str() {
                let names = Names { from, to };
                let offer = SessionOffer::parse(key).expect("ours are well formed");
                let verified = offer.verify(&self.vault, &public(from), names, &self.prekey);
                let chain = verified.and_then(|offer| offer.accept(&self.vault, &self.prekey));
                chains.extend(chain);
            } else if let Some(content) = frame["content"].as_str() {
                let message = || SealedMessage::parse(content).expect("ours are well formed");
                let opened = chains.iter_mut().find_map(|chain| chain.open(message()).ok());
                let text = opened.and_then(|opened| match opened.body {
                    Body::Text { text, .. } => Some(text),
                    Body::Receipt(_) => None,
                });
                texts.extend(text);
            }
        }
        texts
    }
}

/// A text sealed in `chain`, as a frame.
pub(crate) fn sealed(chain: &mut SendChain, from: &str, to: &str, text: &str) -> Value {
    let mut mid = [9; 16];
    mid[..8].copy_from_slice(&chain.n().to_be_bytes());
    let content = chain.seal(&Body::Text { mid, text: text.to_owned() }).expect("short");
    json!({"action": "message", "to": to, "from": from, "v": 2, "content": content})
}

fn prekey_in(pubkey: &Value) -> Prekey {
    match Incoming::parse(pubkey.to_string().as_bytes()) {
        Ok(Incoming::Reply(Reply::Pubkey { prekey: Some(prekey), .. })) => prekey.into_owned(),
        _ => panic!("not of a version-2 user: {pubkey}"),
    }
}

fn now_ms() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed().expect("after 1970");
    since.as_millis().try_into().expect("before the year 500 million")
}
