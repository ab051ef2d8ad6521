//! How a connection becomes a user (`docs/protocol.md`, section 2, "Proof", "Names", "Keys").
//!
//! An original client says its name and is registered. A client of version 2 is challenged, proves
//! that it holds its key, and is registered once the name is bound to that key, for which a new
//! name has to be written by the store first.

use super::Relay;
use super::directory::Availability;
use super::event::Event;
use super::fault::Fault;
use super::peer::{Challenge, Claim, KeyText, Peer, State, User};
use super::roster::Subscriber;
use super::store::{Answer, StoreFault};
use super::user_name::UserName;
use crate::crypto::{PublicKey, register_proof, relay_challenge};
use crate::limits::{MAX_RSA_BITS, PREKEY_LIFETIME};
use crate::reactor::{Context, Token};
use crate::tokens::Bucket;
use crate::wire::{
    Bind, ErrorCode, Prekey, Refusal, Register, Registration2, Reply, WireLimits,
    check_name_original, check_name_v2,
};

impl Relay {
    /// `register`.
    pub(super) fn register(
        &mut self,
        cx: &mut Context,
        from: Token,
        asked: &Register,
    ) -> Result<(), Fault> {
        let address = match self.peers.get(from).map(|peer| &peer.state) {
            Some(State::Stranger(address)) => *address,
            Some(State::Challenged(_)) => {
                return Err(Fault::new(ErrorCode::BadFrame, "one challenge a connection").last());
            }
            _ => return Err(Fault::new(ErrorCode::AlreadyRegistered, "you have registered")),
        };
        let check_name = if asked.v2.is_some() { check_name_v2 } else { check_name_original };
        check_name(&asked.name).map_err(|fault| Fault::because(ErrorCode::BadName, fault))?;
        let (key, is_canonical) = PublicKey::from_any_pem(&asked.pubkey)
            .map_err(|fault| Fault::because(ErrorCode::BadKey, fault))?;
        let as_written = (!is_canonical).then_some(&*asked.pubkey);
        let claim = Claim {
            address,
            name: UserName::new(&asked.name),
            key: KeyText::new(&key, as_written),
            fp: key.fingerprint(),
            roster: asked.roster,
            prekey: None,
        };
        if let Some(v2) = &asked.v2 {
            return self.challenge(cx, from, claim, key, v2);
        }
        self.directory.check_original(&asked.name, &self.peers)?;
        if self.cluster.is_some() {
            self.claim_far(cx, from, claim);
        } else {
            self.admit(cx, from, claim);
        }
        Ok(())
    }

    /// Lets a client of version 2 prove what it claims. What would be refused afterwards is refused
    /// right away.
    fn challenge(
        &mut self,
        cx: &mut Context,
        from: Token,
        claim: Claim,
        key: PublicKey,
        v2: &Registration2,
    ) -> Result<(), Fault> {
        check_prekey_form(&v2.prekey)?;
        let (name, fp) = (claim.name.as_str(), &claim.fp);
        let standing = self.directory.check(name, fp, &self.peers)?;
        let origin = self.rates.origin(claim.address);
        // In a cluster only the engine knows whether the name is new.
        let is_new = standing == Availability::Free && self.cluster.is_none();
        if is_new && !self.newcomers.may(origin, claim.address, cx.now()) {
            return Err(too_many_new_names());
        }
        let binding = match v2.bind {
            Bind::None => None,
            Bind::TlsExporter => Some(cx.binding(from).ok_or_else(|| {
                Fault::new(ErrorCode::BadFrame, "bind: there is no TLS to be bound to").last()
            })?),
            Bind::Unknown => {
                return Err(Fault::new(ErrorCode::BadFrame, "bind: no such binding").last());
            }
        };
        let binding = binding.as_ref();
        let relay = self.notary.public();
        let mut nonce = [0; 32];
        self.notary.random(&mut nonce);
        let signed = relay_challenge(&relay, &v2.cnonce, &nonce, fp, binding);
        let signature = self.notary.sign(&signed);
        let proof = register_proof(&relay, &nonce, &v2.cnonce, name, fp, &v2.prekey, binding);
        let claim = Claim { prekey: Some(Box::new(v2.prekey.clone())), ..claim };
        if let Some(peer) = self.peers.get_mut(from) {
            peer.state = State::Challenged(Box::new(Challenge { claim, key, proof }));
        }
        self.answer(cx, from, &Reply::Challenge { relay, nonce, signature }.encode());
        Ok(())
    }

    /// `prove`. There is no second attempt, so anything wrong with it ends the connection.
    pub(super) fn prove(
        &mut self,
        cx: &mut Context,
        from: Token,
        signature: &[u8],
    ) -> Result<(), Fault> {
        let challenge = self.peers.get_mut(from).and_then(Peer::take_challenge);
        let Some(Challenge { claim, key, proof }) = challenge else {
            return Err(Fault::new(ErrorCode::BadFrame, "there is nothing to prove").last());
        };
        if !self.notary.verify(&key, &proof, signature) {
            return Err(Fault::new(ErrorCode::BadProof, "the signature does not hold").last());
        }
        // Checked again: others may have come since the challenge.
        let (name, fp) = (claim.name.as_str(), &claim.fp);
        match self.directory.check(name, fp, &self.peers).map_err(Fault::last)? {
            _ if self.cluster.is_some() => {
                self.claim_far(cx, from, claim);
                Ok(())
            }
            Availability::Free => self.bind(cx, from, claim),
            Availability::Bound => {
                if let Some(old) = self.directory.holder(name, &self.peers) {
                    let fault = Refusal::new(ErrorCode::Replaced, "the same user connected again");
                    self.dismiss(cx, old, &fault);
                }
                self.admit(cx, from, claim);
                Ok(())
            }
        }
    }

    /// Asks the store to bind a name that was proven for the first time. Until it answers nothing
    /// is read from the connection: what its client sends behind the proof is meant for the time
    /// after.
    fn bind(&mut self, cx: &mut Context, from: Token, claim: Claim) -> Result<(), Fault> {
        let now = cx.now();
        if !self.newcomers.take(self.rates.origin(claim.address), claim.address, now) {
            return Err(too_many_new_names().last());
        }
        let number = self.directory.reserve(&claim.name, claim.fp, from);
        let pem = claim.key.to_text();
        if let Err(full) = self.store.bind(number, claim.name.as_str(), &claim.fp, &pem) {
            self.directory.settle(number, false);
            return Err(Fault::because(ErrorCode::DirectoryFull, full).last());
        }
        if let Some(peer) = self.peers.get_mut(from) {
            peer.state = State::Registering(Box::new(claim));
        }
        cx.pause(from);
        Ok(())
    }

    /// The store has answered. The connection that asked may be gone by now; the name is bound all
    /// the same.
    pub(super) fn settle(&mut self, cx: &mut Context, answer: Answer) {
        let Answer { ticket, outcome } = answer;
        let Some(from) = self.directory.settle(ticket, outcome.is_ok()) else { return };
        if let Err(StoreFault::Failed(detail)) = &outcome {
            self.log.tell(&Event::StoreFailed { detail });
            self.counters.store_failed += 1;
        }
        if outcome.is_ok() && self.goes_on_claiming(from) {
            return;
        }
        let Some(claim) = self.peers.get_mut(from).and_then(Peer::take_claim) else { return };
        match outcome {
            Ok(()) => {
                self.admit(cx, from, claim);
                cx.resume(from);
            }
            Err(fault) => {
                let code = match fault {
                    StoreFault::Taken => ErrorCode::NameBound,
                    StoreFault::Failed(_) => ErrorCode::DirectoryFull,
                };
                self.dismiss(cx, from, &Refusal::new(code, "the name could not be bound"));
            }
        }
    }

    /// Makes a connection a user.
    pub(super) fn admit(&mut self, cx: &mut Context, from: Token, claim: Claim) {
        let Claim { address, name, key, fp, roster, prekey } = claim;
        let key = self.peers.keep_key(from, key);
        let Some(peer) = self.peers.get_mut(from) else { return };
        let version = if prekey.is_some() { 2 } else { 1 };
        // In a cluster the copy of who is where has told it already.
        let joined = if self.cluster.is_some() { 0 } else { self.roster.came(&name) };
        let (subscriber, lookups) = (Subscriber::new(roster), Bucket::default());
        peer.state = State::Registered(User {
            name: name.clone(),
            key,
            prekey,
            subscriber,
            lookups,
            joined,
        });
        cx.expect_handshake(from, false);
        cx.set_read_limit(from, None);
        self.counters.registered += 1;
        self.directory.hold(&name, from);
        let name = name.as_str();
        self.log.tell(&Event::Registered { name, peer: address, version, fp });
        if version == 2 {
            self.note_use_of(from);
            let limits = WireLimits::new(self.config.max_frame);
            self.answer(cx, from, &Reply::Registered { name: name.into(), fp, limits }.encode());
        }
        self.subscribe(from, subscriber);
    }

    /// Has the store note that the user of `id` is connected today, once a day.
    pub(super) fn note_use_of(&mut self, id: Token) {
        let day = self.log.day();
        let Some(user) = self.peers.user(id) else { return };
        let name = user.name.as_str();
        let is_news = self.directory.is_news(name, day);
        if is_news && self.store.used(name, &self.peers.key_of(id, user)) {
            self.directory.noted(name, day);
        }
    }

    /// The operator has released `name`: the next user who proves it gets it. A user who is
    /// registered under it keeps it until then.
    pub(super) fn release(&mut self, cx: &Context, name: &str) {
        if self.directory.unbind(name) {
            self.log.tell(&Event::Released { name });
            self.unbind_far(cx, name);
        }
    }

    /// `prekey`: from now on hand out this one.
    pub(super) fn publish(
        &mut self,
        cx: &Context,
        from: Token,
        prekey: &Prekey,
    ) -> Result<(), Fault> {
        check_prekey_form(prekey)?;
        if let Some(user) = self.peers.user_mut(from) {
            debug_assert!(user.is_version2(), "the version was checked");
            user.prekey = Some(Box::new(prekey.clone()));
        }
        self.publish_far(cx, from);
        Ok(())
    }
}

pub(super) fn too_many_new_names() -> Fault {
    let detail = "too many new names from your network lately: try again in an hour";
    Fault::new(ErrorCode::DirectoryFull, detail)
}

/// What the relay checks of a prekey; the peers check its signature and its times, since their
/// clocks may differ from the relay's.
fn check_prekey_form(prekey: &Prekey) -> Result<(), Fault> {
    let lifetime = prekey.expires.saturating_sub(prekey.created);
    if lifetime == 0 || u128::from(lifetime) > PREKEY_LIFETIME.as_millis() {
        return Err(Fault::new(
            ErrorCode::BadPrekey,
            "a prekey expires within 48 h of its creation",
        ));
    }
    if prekey.signature.is_empty() || prekey.signature.len() > MAX_RSA_BITS / 8 {
        return Err(Fault::new(ErrorCode::BadPrekey, "the signature has no length of an RSA key"));
    }
    Ok(())
}
