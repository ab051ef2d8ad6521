//! A peer's key: whether it is trusted, and whether messages may go to and from the peer.
//!
//! Everything that uses a key passes [`Contact::admit`]. A key comes from the relay, which nobody
//! trusts; it counts once a signature by it held and the trust file says that it is the peer's.

use super::core::{ClientCore, Verdict};
use super::trust::Trust;
use super::{Caution, Event, Failure, Standing};
use crate::crypto::PublicKey;
use crate::wire::Fingerprint;

/// What is known of a peer's key.
pub(super) struct Contact {
    pub(super) name: String,
    /// The key as the relay handed it out; never another than the pinned one.
    key: Option<PeerKey>,
    /// The key that was refused last because another one is pinned.
    refused: Option<Fingerprint>,
    /// What the user was last told about the key.
    told: Option<(Fingerprint, Standing)>,
}

struct PeerKey {
    key: PublicKey,
    fp: Fingerprint,
}

/// Why nothing may be sent to a peer, or taken from it.
#[derive(Debug)]
pub(super) struct Unfit {
    pub(super) failure: Failure,
    pub(super) caution: Caution,
    pub(super) detail: String,
}

impl Unfit {
    /// The reason is a clock or an age and not trust: the key may be asked for again later.
    pub(super) const fn is_of_time(&self) -> bool {
        matches!(self.caution, Caution::ClockSkew | Caution::StalePrekey)
    }
}

impl Contact {
    pub(super) fn new(name: String) -> Self {
        Self { name, key: None, refused: None, told: None }
    }

    /// The peer's key, and its fingerprint.
    pub(super) fn key(&self) -> Option<(&PublicKey, Fingerprint)> {
        self.key.as_ref().map(|known| (&known.key, known.fp))
    }

    pub(super) fn refused(&self) -> Option<Fingerprint> {
        self.refused
    }

    /// The relay handed out `key`: keeps it, unless another one is pinned.
    pub(super) fn learn(&mut self, core: &mut ClientCore, key: PublicKey) -> Result<(), Unfit> {
        let fp = key.fingerprint();
        if let Verdict::Changed(pinned) = core.judge(&self.name, fp) {
            return Err(self.refuse(core, fp, pinned));
        }
        self.key = Some(PeerKey { key, fp });
        self.refused = None;
        Ok(())
    }

    /// Whether messages may be sent and received under the known key. A signature by this key has
    /// held. If nothing is pinned for the peer yet, the key is pinned. `by_us`: we write to the
    /// peer, and did not only receive from it.
    pub(super) fn admit(&mut self, core: &mut ClientCore, by_us: bool) -> Result<Trust, Unfit> {
        let Some(fp) = self.key.as_ref().map(|known| known.fp) else {
            return Err(self.not_kept("its key is not known"));
        };
        let mut verdict = core.judge(&self.name, fp);
        if verdict == Verdict::Unknown {
            verdict = core.meet(&self.name, fp, by_us).map_err(|why| self.not_kept(&why))?;
        }
        match verdict {
            Verdict::Changed(pinned) => Err(self.refuse(core, fp, pinned)),
            Verdict::Unknown => Err(self.not_kept("it was removed at once")),
            Verdict::Pinned(trust) => {
                if by_us {
                    core.wrote_to(&self.name);
                }
                self.announce(core, fp, Standing::Pinned(trust));
                if core.strict && trust != Trust::Verified {
                    Err(self.unverified(core))
                } else {
                    Ok(trust)
                }
            }
        }
    }

    /// The relay handed out the key without a prekey, as it does for an original client.
    pub(super) fn without_prekey(&self, core: &ClientCore) -> Unfit {
        let name = &self.name;
        if self.trust(core).is_none() {
            return Unfit {
                failure: Failure::NotV2,
                caution: Caution::NotV2,
                detail: format!("{name} uses an original client, which cannot prove who writes"),
            };
        }
        Unfit {
            failure: Failure::Downgrade,
            caution: Caution::Downgrade,
            detail: format!(
                "the relay says that {name} uses an original client now. Nothing is sent to it: \
                 what {name} was pinned for could not be proven any more"
            ),
        }
    }

    /// How far the known key is trusted; `None` where it is not pinned.
    pub(super) fn trust(&self, core: &ClientCore) -> Option<Trust> {
        match core.judge(&self.name, self.key.as_ref()?.fp) {
            Verdict::Pinned(trust) => Some(trust),
            Verdict::Unknown | Verdict::Changed(_) => None,
        }
    }

    /// The trust file changed. Returns whether the known key is still the pinned one; otherwise it
    /// is forgotten.
    pub(super) fn review(&mut self, core: &mut ClientCore) -> bool {
        let name = &self.name;
        self.refused.take_if(|fp| !matches!(core.judge(name, *fp), Verdict::Changed(_)));
        let Some(fp) = self.key.as_ref().map(|known| known.fp) else { return false };
        let Some(trust) = self.trust(core) else {
            self.forget();
            return false;
        };
        self.announce(core, fp, Standing::Pinned(trust));
        true
    }

    /// The key has to be asked for again.
    pub(super) fn forget(&mut self) {
        self.key = None;
    }

    fn announce(&mut self, core: &mut ClientCore, fp: Fingerprint, standing: Standing) {
        if self.told != Some((fp, standing)) {
            self.told = Some((fp, standing));
            core.tell(Event::Peer { name: self.name.clone(), fp, standing });
        }
    }

    fn refuse(&mut self, core: &mut ClientCore, fp: Fingerprint, pinned: Fingerprint) -> Unfit {
        self.forget();
        self.refused = Some(fp);
        self.announce(core, fp, Standing::Changed);
        let (name, keys) = (&self.name, &core.keys);
        Unfit {
            failure: Failure::KeyChanged,
            caution: Caution::KeyChanged,
            detail: format!(
                "the key of {name} is not the one that is kept: {fp} instead of {pinned}. Either \
                 {name} has a new identity, or somebody stands between you. Nothing is sent to or \
                 taken from {name}. Ask {name} over another channel, and only if it is right, \
                 accept it: {keys} trust {name} {fp}"
            ),
        }
    }

    fn unverified(&self, core: &ClientCore) -> Unfit {
        let (name, keys) = (&self.name, &core.keys);
        Unfit {
            failure: Failure::NotVerified,
            caution: Caution::NotVerified,
            detail: format!(
                "the key of {name} was never compared, and --strict refuses it: run '{keys} verify \
                 {name}'"
            ),
        }
    }

    fn not_kept(&self, why: &str) -> Unfit {
        Unfit {
            failure: Failure::TrustFile,
            caution: Caution::TrustFile,
            detail: format!("the key of {} is not kept, so it is not trusted: {why}", self.name),
        }
    }
}
