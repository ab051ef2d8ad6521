//! A session that we open to a peer (`docs/protocol.md`, section 5): for which prekey, and for how
//! long.

use super::contact::{Contact, Unfit};
use super::core::ClientCore;
use super::{Caution, Failure};
use crate::crypto::{Body, Names, PrekeyFault, SendChain, check_prekey, open_session};
use crate::limits::{RESEND_MIN, SESSION_AGE, SESSION_MESSAGES};
use crate::reactor::Time;
use crate::wire::{Prekey, compose};

/// What is remembered of the sessions to one peer as long as we run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Marks {
    /// The `created` of the newest prekey seen: an older one is refused.
    newest_prekey: u64,
    /// The `created` of the last session opened: the peer refuses one that is not newer.
    last_session: u64,
}

/// A session to send in.
pub(super) struct Session {
    chain: SendChain,
    prekey_id: u32,
    opened: Time,
    first_request: u64,
    /// A receipt came for it.
    pub(super) is_confirmed: bool,
    /// When a receipt was sealed again for the first time.
    repeated: Option<Time>,
}

impl Marks {
    /// Whether a session may be opened to `prekey`, which the relay handed out for `contact`.
    pub(super) fn check(
        &mut self,
        core: &mut ClientCore,
        contact: &Contact,
        prekey: &Prekey,
    ) -> Result<(), Unfit> {
        let name = &contact.name;
        let now_ms = core.wall_ms();
        let (key, _) = contact.key().ok_or_else(|| bad_prekey(name, "its key is not known"))?;
        check_prekey(core.vault.as_ref(), prekey, name, key, now_ms)
            .map_err(|fault| unfit(name, fault))?;
        let fp = key.fingerprint();
        if prekey.mlkem.is_none() && core.had_kem(&fp) {
            return Err(without_kem(core, name));
        }
        if prekey.created < self.newest_prekey {
            let caution = Caution::StalePrekey;
            let why = "it is older than one seen before; it is asked for again";
            return Err(Unfit { caution, ..bad_prekey(name, why) });
        }
        self.newest_prekey = prekey.created;
        Ok(())
    }
}

impl Session {
    /// Opens a session to `prekey`, which was [checked](Marks::check), and offers it to the peer.
    pub(super) fn open(
        core: &mut ClientCore,
        contact: &Contact,
        prekey: &Prekey,
        marks: &mut Marks,
    ) -> Result<Self, Unfit> {
        let name = &contact.name;
        let created = core.wall_ms().max(marks.last_session + 1);
        let (key, _) = contact.key().ok_or_else(|| bad_prekey(name, "its key is not known"))?;
        let names = Names { from: &core.name, to: name };
        let (chain, offer) = open_session(core.vault.as_ref(), names, key, prekey, created)
            .map_err(|fault| unfit(name, fault))?;
        marks.last_session = created;
        core.post(&compose::send_key(name, &core.name, &offer));
        let (prekey_id, opened) = (prekey.id, core.now);
        let first_request = core.number();
        Ok(Self { chain, prekey_id, opened, first_request, is_confirmed: false, repeated: None })
    }

    /// Whether it was opened to the prekey with this id.
    pub(super) fn is_to(&self, prekey_id: u32) -> bool {
        self.prekey_id == prekey_id
    }

    /// Whether the request of this number was made in it; one without a number offered it.
    pub(super) fn covers(&self, request: Option<u64>) -> bool {
        request.is_none_or(|request| request >= self.first_request)
    }

    /// Whether another session has to be opened.
    pub(super) fn is_worn_out(&self, now: Time) -> bool {
        self.chain.n() >= SESSION_MESSAGES || now >= self.opened + SESSION_AGE
    }

    /// Notes that a receipt is to be sealed again in it. Returns whether that was in vain before:
    /// then the peer cannot open what is sealed in it.
    pub(super) fn repeats_a_receipt(&mut self, now: Time) -> bool {
        now >= *self.repeated.get_or_insert(now) + RESEND_MIN
    }

    /// Seals `body` for the peer: the frame, and the number of the request that it makes. `None`
    /// where it is too long, which was measured before.
    pub(super) fn seal(
        &mut self,
        core: &mut ClientCore,
        name: &str,
        body: &Body,
    ) -> Option<(u64, Vec<u8>)> {
        let content = self.chain.seal(body).ok()?;
        let number = core.number();
        let frame = compose::message(name, &core.name, Some(&number.to_string()), &content);
        Some((number, frame))
    }
}

pub(super) fn bad_prekey(name: &str, why: &str) -> Unfit {
    Unfit {
        failure: Failure::BadPrekey,
        caution: Caution::BadPrekey,
        detail: format!("the prekey that the relay hands out for {name} is refused: {why}"),
    }
}

/// The peer's prekeys had an ML-KEM key before.
fn without_kem(core: &ClientCore, name: &str) -> Unfit {
    let keys = &core.keys;
    Unfit {
        failure: Failure::Downgrade,
        caution: Caution::Downgrade,
        detail: format!(
            "the prekey that the relay hands out for {name} has no ML-KEM key, and those before it \
             had one: nothing is sent to {name}. If you know that {name} uses an earlier version \
             now, accept its key again: {keys} trust {name} FP"
        ),
    }
}

pub(super) fn unfit(name: &str, fault: PrekeyFault) -> Unfit {
    match fault {
        PrekeyFault::Signature => bad_prekey(name, "it is not signed by the key"),
        PrekeyFault::Weak | PrekeyFault::Invalid => bad_prekey(name, "it is weak"),
        PrekeyFault::Expired | PrekeyFault::ClockSkew => {
            let caution = Caution::ClockSkew;
            Unfit {
                caution,
                ..bad_prekey(name, "by our clock it is not valid now; it is asked for again")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::core::tests::core;
    use crate::client::lookup::Lookup;
    use crate::client::peer::KeyAnswer;
    use crate::client::sending::Sending;
    use crate::crypto::PrekeyPair;

    /// Receipts, one a message, as long as nothing asks for another session; how many there were.
    fn seal_until_asked(sending: &mut Sending, core: &mut ClientCore, lookup: &mut Lookup) -> u64 {
        let mut sealed = 0;
        loop {
            sending.confirm([1; 16]);
            sending.pump(core, "bob", lookup, true);
            core.outgoing.clear();
            if lookup.is_asked() {
                return sealed;
            }
            sealed += 1;
        }
    }

    #[test]
    fn after_65536_messages_the_next_waits_for_a_new_session() {
        let (mut core, mut lookup) = (core(), Lookup::default());
        let mut contact = Contact::new("bob".to_owned());
        let key = core.vault.public().clone();
        contact.learn(&mut core, key).unwrap();
        let now_ms = core.wall_ms();
        let vault = core.vault.as_ref();
        let prekey = PrekeyPair::new(vault, now_ms).publish(vault, "bob");
        let mut sending = Sending::new();
        assert_eq!(seal_until_asked(&mut sending, &mut core, &mut lookup), 0);
        // For the same prekey: the session itself has expired.
        for number in 1..=2 {
            lookup.answered();
            let answer = KeyAnswer { prekey: Some(&prekey), ..KeyAnswer::default() };
            sending.found(&mut core, &mut contact, &answer).unwrap();
            let offers = memchr::memmem::find_iter(&core.outgoing, b"\"send_key\"").count();
            assert_eq!(offers, 1, "session {number}");
            // The one that had to wait is sealed with the first.
            assert_eq!(seal_until_asked(&mut sending, &mut core, &mut lookup), SESSION_MESSAGES);
            assert_eq!(sending.receipts(), 1);
        }
    }
}
