//! Becoming a user (`docs/protocol.md`, section 2, "Proof", "Names", "Keys").
//!
//! An original client says its name and is registered. A client of version 2 is challenged, proves that it holds
//! its key, and is registered once the name is bound to that key, which for a new name takes the store's word.

use super::directory::Standing;
use super::event::Event;
use super::peer::{Challenge, Claim, KeyText, State, User};
use super::roster::Receiver;
use super::store::{Answer, StoreFault};
use super::user_name::UserName;
use super::{Fault, Relay};
use crate::crypto::{PublicKey, register_proof, relay_challenge};
use crate::limits::{MAX_RSA_BITS, PREKEY_LIFETIME};
use crate::reactor::{Context, Token};
use crate::wire::{
    ErrorCode, Prekey, Refusal, Register, Registration2, Reply, RosterMode, WireLimits,
    check_name_original, check_name_v2,
};

impl Relay {
    /// `register`.
    pub(super) fn register(
        &mut self,
        cx: &mut Context,
        from: Token,
        register: Register,
    ) -> Result<(), Fault> {
        let Some(peer) = self.peers.get(from) else { return Ok(()) };
        let address = match &peer.state {
            State::Stranger(address) => *address,
            State::Challenged(_) => {
                return Err(Fault::ended(ErrorCode::BadFrame, "one challenge a connection"));
            }
            State::Registered(_) | State::Registering(_) | State::Leaving => {
                return Err(Fault::refused(ErrorCode::AlreadyRegistered, "you have a name"));
            }
        };
        let checked =
            if register.v2.is_some() { check_name_v2 } else { check_name_original }(&register.name);
        checked.map_err(|fault| Fault::refused(ErrorCode::BadName, fault.to_string()))?;
        let key = PublicKey::from_pem(&register.pubkey)
            .map_err(|fault| Fault::refused(ErrorCode::BadKey, fault.to_string()))?;
        let claim = Claim {
            address,
            name: UserName::new(&register.name),
            key: KeyText::new(&key, &register.pubkey),
            fp: key.fingerprint(),
            roster: register.roster,
            prekey: None,
        };
        match register.v2 {
            Some(v2) => self.challenge(cx, from, claim, key, v2),
            None => {
                self.directory
                    .check_original(&register.name)
                    .map_err(|code| Fault::refused(code, why(code)))?;
                self.admit(cx, from, claim);
                Ok(())
            }
        }
    }

    /// Lets a client of version 2 prove what it claims. A claim that cannot be granted is refused right away.
    fn challenge(
        &mut self,
        cx: &mut Context,
        from: Token,
        claim: Claim,
        key: PublicKey,
        v2: Registration2,
    ) -> Result<(), Fault> {
        check_prekey_form(&v2.prekey)?;
        self.directory
            .check(claim.name.as_str(), &claim.fp)
            .map_err(|code| Fault::refused(code, why(code)))?;
        let relay = self.notary.public();
        let mut nonce = [0; 32];
        self.notary.random(&mut nonce);
        let signed = relay_challenge(&relay, &v2.cnonce, &nonce, &claim.fp);
        let signature = self.notary.sign(&signed);
        let claim = Claim { prekey: Some(Box::new(v2.prekey)), ..claim };
        if let Some(peer) = self.peers.get_mut(from) {
            let challenge = Challenge { claim, key, nonce, cnonce: v2.cnonce };
            peer.state = State::Challenged(Box::new(challenge));
        }
        self.answer(cx, from, &Reply::Challenge { relay, nonce, signature });
        Ok(())
    }

    /// `prove`. Whatever comes of it, there is no second one.
    pub(super) fn prove(
        &mut self,
        cx: &mut Context,
        from: Token,
        signature: &[u8],
    ) -> Result<(), Fault> {
        let Some(peer) = self.peers.get_mut(from) else { return Ok(()) };
        let State::Challenged(challenge) = &peer.state else {
            return Err(Fault::ended(ErrorCode::BadFrame, "there is nothing to prove"));
        };
        let Challenge { claim, key, nonce, cnonce } = &**challenge;
        let Some(prekey) = &claim.prekey else { return Ok(()) };
        let (name, relay) = (claim.name.as_str(), self.notary.public());
        let proof = register_proof(&relay, nonce, cnonce, name, &claim.fp, prekey);
        if !self.notary.verify(key, &proof, signature) {
            return Err(Fault::ended(ErrorCode::BadProof, "the signature does not hold"));
        }
        // The name may have been taken since the challenge.
        let standing =
            self.directory.check(name, &claim.fp).map_err(|code| Fault::ended(code, why(code)))?;
        let Some(challenge) = peer.take_challenge() else { return Ok(()) };
        match standing {
            Standing::Bound => {
                let holder = self.directory.holder(challenge.claim.name.as_str());
                if let Some(old) = holder {
                    self.dismiss(cx, old, &Refusal::new(ErrorCode::Replaced, "you connected again"));
                }
                self.admit(cx, from, challenge.claim);
                Ok(())
            }
            Standing::Free => self.ask_store(cx, from, challenge.claim),
        }
    }
}
