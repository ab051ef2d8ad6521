//! How a name is had in a cluster: bound in the engine, then in this relay's own store, and then
//! claimed for its connection.
//!
//! ```text
//!   version 2:  Bind ──▶ Keep (only where the own store does not have it) ──▶ Claim ──▶ a user
//!   original:                                                                Claim ──▶ a user
//! ```
//!
//! The engine decides between relays, so nothing is reserved here. A call that was lost with its
//! connection is made again: each of them answers the same when it is made twice. While the engine
//! cannot be reached connections wait, until the time to register is over.

use super::{Asked, Cluster, Relay};
use crate::cluster::names::{self, BindAnswer, ClaimAnswer, HolderAnswer};
use crate::reactor::{Context, Time, Token};
use crate::relay::directory::Availability;
use crate::relay::event::Event;
use crate::relay::fault::Fault;
use crate::relay::limits::{AGAIN_A_TICK, PUBLISHED_KEPT, PUBLISHED_LATELY};
use crate::relay::peer::{Claim, Peer, State};
use crate::relay::registration::too_many_new_names;
use crate::relay::user_name::UserName;
use crate::wire::{ErrorCode, Fingerprint, Refusal};

/// The key of an original user in the engine: it is bound to nothing, so nothing compares it.
const NO_KEY: Fingerprint = Fingerprint([0; 32]);

/// What is missing between a connection and its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The engine is to bind it.
    Bind,
    /// The relay's own store is binding it.
    Keep,
    /// The engine is to hold it for the connection.
    Claim,
}

impl Relay {
    /// The connection waits until the engine has its name for it. Nothing is read from it.
    pub(in crate::relay) fn claim_far(&mut self, cx: &mut Context, from: Token, claim: Claim) {
        let stage = if claim.prekey.is_some() { Stage::Bind } else { Stage::Claim };
        if let Some(peer) = self.peers.get_mut(from) {
            peer.state = State::Registering(Box::new(claim));
        }
        cx.pause(from);
        self.claim_next(from, stage);
    }

    fn claim_next(&mut self, from: Token, stage: Stage) {
        let Some(cluster) = &mut self.cluster else { return };
        cluster.claims.insert(from, stage);
        cluster.to_claim.push_back(from);
    }

    /// The call for `id` is made again when the lease was renewed.
    pub(super) fn claim_later(&mut self, id: Token) {
        if let Some(cluster) = &mut self.cluster {
            cluster.later.push(id);
        }
    }

    /// Makes the calls that are due, as many as may be under way. While the relay is fenced, who
    /// comes is sent away at once: another relay may be at the next address of the same name.
    pub(super) fn claim_waiting(&mut self, cx: &mut Context) {
        if let Some(cluster) = self.cluster.as_ref().filter(|it| it.is_told_fenced && !it.is_held())
        {
            let waiting: Vec<_> = cluster.claims.keys().copied().collect();
            for id in waiting {
                let detail = "this relay has lost its cluster for now: try again, or another one";
                self.dismiss(cx, id, &Refusal::new(ErrorCode::ShuttingDown, detail));
                self.forget_claim(id);
            }
        }
        for _ in 0..AGAIN_A_TICK {
            let Some(cluster) = &mut self.cluster else { return };
            if !cluster.is_held() || !cluster.calls.has_room() {
                return;
            }
            let Some(id) = cluster.to_claim.pop_front() else { return };
            match cluster.claims.get(&id).copied() {
                Some(Stage::Bind) => self.ask_to_bind(cx, id),
                Some(Stage::Claim) => self.ask_to_claim(cx, id),
                Some(Stage::Keep) => {}
                None => self.ask_to_claim_again(cx, id),
            }
        }
        // The others have the next tick.
        if self.cluster.as_ref().is_some_and(|cluster| !cluster.to_claim.is_empty()) {
            cx.tick_again();
        }
    }

    fn ask_to_bind(&mut self, cx: &Context, id: Token) {
        let now = cx.now();
        let Some(claim) = waiting(self.peers.get(id)) else { return self.forget_claim(id) };
        let origin = self.rates.origin(claim.address);
        let may_be_new = self.newcomers.may(origin, claim.address, now);
        let Some(cluster) = &mut self.cluster else { return };
        let call = names::bind(cluster.own, claim.name.as_str(), &claim.fp, may_be_new);
        cluster.call_or_wait(Asked::Bind(id), id, &call, now);
    }

    fn ask_to_claim(&mut self, cx: &Context, id: Token) {
        let Some(claim) = waiting(self.peers.get(id)) else { return self.forget_claim(id) };
        let Some(cluster) = &mut self.cluster else { return };
        let prekey = claim.prekey.as_ref().map(|prekey| prekey.to_json());
        let name = claim.name.clone();
        let asked = names::Claim {
            name: name.as_str(),
            session: id.to_bits(),
            fp: if prekey.is_some() { &claim.fp } else { &NO_KEY },
            pem: &claim.key.to_text(),
            prekey: prekey.as_deref(),
            again: false,
        };
        let call = names::claim(cluster.own, &asked);
        cluster.call_or_wait(Asked::Claim(id, name), id, &call, cx.now());
    }

    /// A user whose name the engine does not have for it any more: an engine that was emptied, or
    /// another life of this relay.
    fn ask_to_claim_again(&mut self, cx: &Context, id: Token) {
        let Some(user) = self.peers.user(id) else { return };
        let Some(cluster) = &mut self.cluster else { return };
        let (own, name) = (cluster.own, user.name.clone());
        let (pem, prekey) =
            (self.peers.key_of(id, user), user.prekey.as_ref().map(|it| it.to_json()));
        let fp = self.directory.bound_to(name.as_str()).copied();
        if let Some(fp) = fp.filter(|_| prekey.is_some()) {
            let call = names::bind(own, name.as_str(), &fp, true);
            cluster.call(Asked::Note, &call, cx.now());
        }
        let asked = names::Claim {
            name: name.as_str(),
            session: id.to_bits(),
            fp: fp.as_ref().filter(|_| prekey.is_some()).unwrap_or(&NO_KEY),
            pem: &pem,
            prekey: prekey.as_deref(),
            again: true,
        };
        let call = names::claim(own, &asked);
        cluster.call_or_wait(Asked::Again(id), id, &call, cx.now());
    }

    fn forget_claim(&mut self, id: Token) {
        if let Some(cluster) = &mut self.cluster {
            cluster.claims.remove(&id);
        }
    }

    /// The engine has answered for a connection whose name is to be bound.
    pub(super) fn bound_far(&mut self, cx: &mut Context, from: Token, answer: BindAnswer) {
        let Some(claim) = waiting(self.peers.get(from)) else { return self.forget_claim(from) };
        let fault = match answer {
            BindAnswer::New | BindAnswer::Bound => {
                if answer == BindAnswer::New {
                    let origin = self.rates.origin(claim.address);
                    self.newcomers.take(origin, claim.address, cx.now());
                }
                // The engine decides: what the own store has for another key was released.
                let name = claim.name.clone();
                let known = self.directory.bound_to(name.as_str());
                if known.is_some_and(|known| *known != claim.fp) {
                    self.release_own(name.as_str());
                }
                let Some(claim) = waiting(self.peers.get(from)) else { return };
                match self.directory.check(claim.name.as_str(), &claim.fp, &self.peers) {
                    Ok(Availability::Bound) => return self.claim_next(from, Stage::Claim),
                    Ok(Availability::Free) => match self.keep_own(cx, from) {
                        Ok(()) => return,
                        Err(fault) => fault,
                    },
                    Err(fault) => fault,
                }
            }
            BindAnswer::NotNow => too_many_new_names(),
            BindAnswer::NameBound => {
                Fault::new(ErrorCode::NameBound, "the name is bound to another key")
            }
            BindAnswer::NameInUse => {
                Fault::new(ErrorCode::NameInUse, "another connection holds the name")
            }
            BindAnswer::KeyFull => {
                Fault::new(ErrorCode::DirectoryFull, "the key has as many names as it may")
            }
            BindAnswer::Full => {
                Fault::new(ErrorCode::DirectoryFull, "no further name can be bound")
            }
            BindAnswer::NoLease => return self.claim_later(from),
        };
        self.forget_claim(from);
        self.dismiss(cx, from, &Refusal::new(fault.code, fault.detail));
    }

    /// The own store lets a name go that another relay's operator has released. It does so before
    /// it binds it to another key: it does what it is asked in order.
    pub(super) fn release_own(&mut self, name: &str) {
        if self.directory.bound_to(name).is_some() && self.store.release(name).is_ok() {
            self.directory.unbind(name);
            self.log.tell(&Event::Released { name });
        }
    }

    /// A name has another key in the engine than here, and nobody has released it: this relay keeps
    /// what it knows, and the operator decides.
    pub(super) fn tell_conflict(&mut self, name: &str) {
        let detail = format!(
            "{name} has another key in the engine than here, and nobody released it: somebody may \
             have taken it while the engine was empty. Ask its user for the fingerprint; `sealwax \
             names release {name}` here frees it for who proves it first"
        );
        self.log.tell(&Event::ClusterFailed { detail: &detail });
    }

    /// The operator has released a name here: it is free in the cluster too.
    pub(in crate::relay) fn unbind_far(&mut self, cx: &Context, name: &str) {
        let Some(cluster) = &mut self.cluster else { return };
        let call = names::unbind(cluster.own, name);
        if !cluster.is_held() || !cluster.call(Asked::Unbind(name.to_owned()), &call, cx.now()) {
            cluster.to_unbind.push(name.to_owned());
        }
    }

    /// Asks this relay's own store to bind a name that the engine has bound, so that an engine that
    /// is lost does not free it.
    fn keep_own(&mut self, cx: &mut Context, from: Token) -> Result<(), Fault> {
        let Some(claim) = waiting(self.peers.get(from)) else { return Ok(()) };
        let number = self.directory.reserve(&claim.name, claim.fp, from);
        let pem = claim.key.to_text();
        if let Err(full) = self.store.bind(number, claim.name.as_str(), &claim.fp, &pem) {
            self.directory.settle(number, false);
            return Err(Fault::because(ErrorCode::DirectoryFull, full));
        }
        if let Some(cluster) = &mut self.cluster {
            cluster.claims.insert(from, Stage::Keep);
        }
        cx.tick_again(); // a store without a thread has answered already
        Ok(())
    }

    /// The own store has bound the name of a connection. Returns whether the engine is to hold it
    /// now; it is not where this relay is alone.
    pub(in crate::relay) fn goes_on_claiming(&mut self, from: Token) -> bool {
        let is_far = self.cluster.is_some();
        if is_far {
            self.claim_next(from, Stage::Claim);
        }
        is_far
    }

    /// The engine has answered for a connection that is to hold a name.
    pub(super) fn claimed_far(
        &mut self,
        cx: &mut Context,
        (from, name): (Token, &UserName),
        answer: ClaimAnswer,
    ) {
        let (code, detail) = match answer {
            ClaimAnswer::Taken | ClaimAnswer::Replaced { .. } => {
                self.forget_claim(from);
                return self.hold_far(cx, from, name);
            }
            ClaimAnswer::NotBound => return self.claim_next(from, Stage::Bind),
            ClaimAnswer::NoLease => return self.claim_later(from),
            ClaimAnswer::NameBound => (ErrorCode::NameBound, "the name is bound to another key"),
            ClaimAnswer::NameInUse => (ErrorCode::NameInUse, "another connection holds the name"),
        };
        self.forget_claim(from);
        // An original whose name is in use may try another one.
        let is_original = waiting(self.peers.get(from)).is_some_and(|it| it.prekey.is_none());
        let refusal = Refusal::new(code, detail);
        if is_original {
            drop(self.peers.get_mut(from).and_then(Peer::take_claim));
            self.refuse(cx, from, &refusal);
            cx.resume(from);
        } else {
            self.dismiss(cx, from, &refusal);
        }
    }

    /// The engine holds the name for this connection, which becomes a user, if it is still there.
    fn hold_far(&mut self, cx: &mut Context, from: Token, name: &UserName) {
        let Some(claim) = self.peers.get_mut(from).and_then(Peer::take_claim) else {
            return self.release_far(cx, from, name, false);
        };
        if let Some(old) = self.directory.holder(name.as_str(), &self.peers) {
            self.dismiss(cx, old, &replaced());
        }
        let version2 = claim.prekey.is_some();
        if let Some(cluster) = &mut self.cluster {
            let place = cluster.place(from, version2);
            cluster.members.hold(name.as_str(), place);
        }
        self.tell_news(); // the first list that it is sent has it
        self.admit(cx, from, claim);
        cx.resume(from);
    }

    /// A connection that held `name` is gone.
    pub(in crate::relay) fn release_far(
        &mut self,
        cx: &Context,
        id: Token,
        name: &UserName,
        version2: bool,
    ) {
        let Some(cluster) = &mut self.cluster else { return };
        let call = names::release(cluster.own, name.as_str(), id.to_bits());
        cluster.members.let_go(name.as_str(), cluster.place(id, version2));
        if !cluster.call(Asked::Release, &call, cx.now()) {
            cluster.members.outdate(); // the next copy shows it, and it is released then
        }
    }

    /// The engine has answered for a user who claimed its name again.
    pub(super) fn claimed_again(&mut self, cx: &mut Context, id: Token, answer: ClaimAnswer) {
        let Some(user) = self.peers.user(id) else { return };
        let (name, version2) = (user.name.clone(), user.is_version2());
        match answer {
            ClaimAnswer::Taken | ClaimAnswer::Replaced { .. } => {
                if let Some(cluster) = &mut self.cluster {
                    cluster.members.hold(name.as_str(), cluster.place(id, version2));
                }
            }
            ClaimAnswer::NoLease => self.claim_later(id),
            ClaimAnswer::NameBound | ClaimAnswer::NameInUse | ClaimAnswer::NotBound => {
                self.dismiss(cx, id, &replaced());
            }
        }
    }

    /// Another connection of the same user was told the same by the engine.
    pub(super) fn replaced_far(&mut self, cx: &mut Context, data: &[u8]) {
        let text = std::str::from_utf8(data).ok().and_then(|text| text.split_once(' '));
        let Some((session, name)) = text else { return };
        let id = session.parse().ok().and_then(Token::from_bits);
        let Some(id) = id.filter(|&id| self.peers.user(id).is_some_and(|it| it.name.is(name)))
        else {
            return;
        };
        self.dismiss(cx, id, &replaced());
    }

    /// A name that the engine says is held by a connection here: releases it, if it is not.
    pub(super) fn check_own(&mut self, cx: &Context, name: &str, session: u64) {
        let Some(id) = Token::from_bits(session) else { return };
        let is_held = self.peers.user(id).is_some_and(|user| user.name.is(name));
        let Some(cluster) = &mut self.cluster else { return };
        if is_held || cluster.claims.contains_key(&id) {
            return;
        }
        let call = names::release(cluster.own, name, session);
        cluster.call(Asked::Release, &call, cx.now());
    }

    /// The copy is whole: users of this relay whose names it has elsewhere, or not at all, claim
    /// them again, and so do those whose prekeys the engine may have forgotten.
    pub(super) fn compare_users(&mut self) {
        let Some(cluster) = &mut self.cluster else { return };
        cluster.to_claim.extend(cluster.published.iter().map(|(id, _)| *id));
        for token in self.peers.tokens() {
            let Some(user) = self.peers.user(token) else { continue };
            let place = cluster.place(token, user.is_version2());
            let known = cluster.members.find(user.name.as_str());
            if !known.is_some_and(|known| known.is_same(place)) {
                cluster.to_claim.push_back(token);
            }
        }
    }

    /// `prekey` of a user of a cluster: the others hand it out too.
    pub(in crate::relay) fn publish_far(&mut self, cx: &Context, from: Token) {
        let Some(user) = self.peers.user(from) else { return };
        let (Some(cluster), Some(prekey)) = (&mut self.cluster, &user.prekey) else { return };
        let (name, session) = (user.name.as_str(), from.to_bits());
        let call = names::publish(cluster.own, name, session, &prekey.to_json());
        if !cluster.call(Asked::Publish(from), &call, cx.now()) {
            cluster.to_claim.push_back(from); // the claim brings it
        }
        cluster.has_published(from, cx.now());
    }

    /// The engine has answered what became of a prekey.
    pub(super) fn published_far(&mut self, from: Token, answer: HolderAnswer) {
        if answer != HolderAnswer::Done {
            self.claim_later(from);
        }
    }
}

impl Cluster {
    /// A prekey of this user is on its way to the engine.
    fn has_published(&mut self, id: Token, now: Time) {
        let is_old = |(_, since): &mut (Token, Time)| *since + PUBLISHED_LATELY <= now;
        while self.published.pop_front_if(is_old).is_some() {}
        if self.published.len() >= PUBLISHED_KEPT {
            self.published.pop_front();
        }
        self.published.push_back((id, now));
    }
}

fn replaced() -> Refusal {
    Refusal::new(ErrorCode::Replaced, "the same user connected again")
}

/// What a connection that waits for its name claims.
fn waiting(peer: Option<&Peer>) -> Option<&Claim> {
    match &peer?.state {
        State::Registering(claim) => Some(claim),
        _ => None,
    }
}
