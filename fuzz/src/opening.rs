//! A session that Alice has opened to Bob, always the same one.

use std::sync::LazyLock;

use base64ct::{Base64UrlUnpadded, Encoding};
use sealwax::crypto::{
    Identity, Names, OfferFault, PrekeyPair, PublicKey, ReceiveChain, SendChain, SessionOffer,
    Vault, open_session,
};
use sealwax::wire::Prekey;

use super::vault::FakeVault;

pub(crate) const NAMES: Names = Names { from: "alice", to: "bob" };
const NOW: u64 = 1_750_000_000_000;

/// Both ends.
pub(crate) struct Opening {
    pub(crate) alice: FakeVault,
    pub(crate) bob: FakeVault,
    pub(crate) pair: PrekeyPair,
    pub(crate) prekey: Prekey,
    pub(crate) send: SendChain,
    /// What Alice sent to open it.
    pub(crate) key: String,
}

impl Opening {
    pub(crate) fn new() -> Self {
        let [alice, bob] = [&*ALICE, &*BOB].map(|key| FakeVault::new(key.clone()));
        let pair = PrekeyPair::new(&bob, NOW);
        let prekey = pair.publish(&bob, NAMES.to);
        let opened = open_session(&alice, NAMES, bob.public(), &prekey, NOW + 1);
        let (send, key) = opened.unwrap_or_else(|fault| panic!("no session: {fault}"));
        Self { alice, bob, pair, prekey, send, key }
    }

    /// Bob takes what came as a `send_key` of Alice.
    pub(crate) fn take(&self, key: &str) -> Result<ReceiveChain, OfferFault> {
        let offer = SessionOffer::parse(key)?;
        let verified = offer.verify(&self.bob, self.alice.public(), NAMES, &self.pair)?;
        verified.accept(&self.bob, &self.pair)
    }

    /// Bob's end of the session.
    pub(crate) fn receive(&self) -> ReceiveChain {
        self.take(&self.key).unwrap_or_else(|fault| panic!("no session: {fault}"))
    }
}

/// The bytes of a text that was taken.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    let bytes = Base64UrlUnpadded::decode_vec(text);
    bytes.unwrap_or_else(|error| panic!("taken, and no base64url: {error}"))
}

pub(crate) static ALICE: LazyLock<PublicKey> =
    LazyLock::new(|| key(include_str!("../../tests/data/public-alice.pem")));
pub(crate) static BOB: LazyLock<PublicKey> =
    LazyLock::new(|| key(include_str!("../../tests/data/public-4096.pem")));

pub(crate) static CAROL: LazyLock<PublicKey> = LazyLock::new(|| {
    let identity = Identity::from_pem(include_str!("../../tests/data/carol.pem"), None);
    identity.unwrap_or_else(|fault| panic!("a fixture: {fault}")).public().clone()
});

fn key(pem: &str) -> PublicKey {
    PublicKey::from_pem(pem).unwrap_or_else(|fault| panic!("a fixture: {fault}"))
}
