//! A true peer of Alice's, by the primitives and nobody's state machine: it seals what it is told
//! to, opens what is for it, and remembers both.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use sealwax::crypto::{
    Body, Mid, Names, PrekeyPair, PublicKey, ReceiveChain, SealedMessage, SendChain, SessionOffer,
    Vault, open_session, sha256, tuple,
};
use sealwax::wire::{Prekey, Reply, compose};

use super::super::vault::FakeVault;
use super::alice::ME;

/// The key behind one name, and its conversation with Alice.
pub(crate) struct Friend {
    pub(crate) name: &'static str,
    /// How its texts begin.
    voice: &'static str,
    vault: FakeVault,
    pair: PrekeyPair,
    pub(crate) prekey: Prekey,
    send: Option<SendChain>,
    receive: Vec<ReceiveChain>,
    /// When the last session was opened.
    created: u64,
    /// Texts that were sealed for Alice.
    pub(crate) said: BTreeSet<String>,
    /// Texts of hers that were opened, and those of them that were confirmed.
    opened: BTreeMap<Mid, String>,
    pub(crate) confirmed: BTreeSet<String>,
}

impl Friend {
    pub(crate) fn new(
        name: &'static str,
        voice: &'static str,
        key: &PublicKey,
        now_ms: u64,
    ) -> Self {
        let vault = FakeVault::new(key.clone());
        let pair = PrekeyPair::new(&vault, now_ms);
        let prekey = pair.publish(&vault, name);
        Self {
            name,
            voice,
            vault,
            pair,
            prekey,
            send: None,
            receive: Vec::new(),
            created: 0,
            said: BTreeSet::new(),
            opened: BTreeMap::new(),
            confirmed: BTreeSet::new(),
        }
    }

    /// A new prekey; sessions for the old one are not taken any more.
    pub(crate) fn renew(&mut self, now_ms: u64) {
        self.pair = PrekeyPair::new(&self.vault, now_ms);
        self.prekey = self.pair.publish(&self.vault, self.name);
    }

    pub(crate) fn key(&self) -> &PublicKey {
        self.vault.public()
    }

    /// What an honest relay answers who asks for its key.
    pub(crate) fn as_pubkey(&self) -> Vec<u8> {
        let pubkey = self.key().to_pem().into();
        let prekey = Some(Cow::Borrowed(&self.prekey));
        Reply::Pubkey { from: self.name.into(), pubkey, prekey, away: false, letter_key: None }
            .encode()
    }

    // --- To Alice ---

    /// Opens a session to her.
    pub(crate) fn open(&mut self, alice: &PublicKey, prekey: &Prekey, now_ms: u64) -> Vec<u8> {
        self.created = now_ms.max(self.created + 1);
        let names = Names { from: self.name, to: ME };
        let opened = open_session(&self.vault, names, alice, prekey, self.created);
        let (send, key) = opened.unwrap_or_else(|fault| panic!("no session: {fault}"));
        self.send = Some(send);
        compose::send_key(ME, self.name, &key)
    }

    pub(crate) fn has_session(&self) -> bool {
        self.send.is_some()
    }

    /// A text that nobody has said before, or the last one again.
    pub(crate) fn say(&mut self, again: bool) -> Option<Vec<u8>> {
        let number = self.said.len().saturating_sub(usize::from(again));
        let text = format!("{} {number}", self.voice);
        let mid = sha256(&tuple(&[b"mid", text.as_bytes()]));
        let mid = *mid.first_chunk().unwrap_or(&[0; 16]);
        self.said.insert(text.clone());
        self.seal(&Body::Text { mid, text })
    }

    /// Confirms what it has opened.
    pub(crate) fn confirm(&mut self) -> Option<Vec<u8>> {
        let mids: Vec<_> = self.opened.keys().copied().collect();
        if mids.is_empty() || self.send.is_none() {
            return None;
        }
        self.confirmed.extend(self.opened.values().cloned());
        self.seal(&Body::Receipt(mids))
    }

    fn seal(&mut self, body: &Body) -> Option<Vec<u8>> {
        let sealed = self.send.as_mut()?.seal(body);
        let content = sealed.unwrap_or_else(|fault| panic!("too long: {fault:?}"));
        Some(compose::message(ME, self.name, None, &content))
    }

    // --- From Alice ---

    /// What an honest relay would have passed on: a session.
    pub(crate) fn takes_key(&mut self, alice: &PublicKey, key: &str) {
        let Ok(offer) = SessionOffer::parse(key) else { panic!("Alice offers in no form") };
        assert_eq!(*offer.recipient(), self.key().fingerprint(), "sealed to another key");
        let names = Names { from: ME, to: self.name };
        let verified = offer.verify(&self.vault, alice, names, &self.pair);
        let accepted = verified.and_then(|offer| offer.accept(&self.vault, &self.pair));
        // It may be for a prekey that somebody else made up.
        self.receive.extend(accepted);
    }

    /// A message.
    pub(crate) fn takes_message(&mut self, content: &str) {
        let Ok(message) = SealedMessage::parse(content) else { panic!("Alice seals in no form") };
        let chain = self.receive.iter_mut().rev().find(|chain| chain.sid() == message.sid());
        let Some(Ok(opened)) = chain.map(|chain| chain.open(message)) else { return };
        if let Body::Text { mid, text } = opened.body {
            self.opened.insert(mid, text);
        }
    }
}
