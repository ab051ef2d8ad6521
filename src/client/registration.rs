//! Registering: the relay proves its key to us, then we prove ours to it.
//!
//! ```text
//!   register ──▶ challenge: is it signed by the pinned key? ──▶ prove ──▶ registered
//! ```
//!
//! The relay's key is pinned per address, like an SSH host key, before anything is proven to it: a
//! proof is worth nothing elsewhere, but a relay with another key is another relay. Knows frames,
//! and not how they travel.

use super::core::ClientCore;
use super::pins::{PinBook, PinFile};
use super::trust::{RelayFingerprint, RelayPin};
use super::{Ending, Event, Progress};
use crate::crypto::{register_proof, relay_challenge};
use crate::limits::MAX_FRAME_OPTION;
use crate::wire::{Bind, ErrorCode, Incoming, Registration2, Reply, RosterMode, compose};

/// How we register, and the relays with which we have registered before.
pub(super) struct Registration {
    /// `HOST:PORT`, under which the relay's key is pinned.
    relay: String,
    roster: RosterMode,
    /// `known_relays`.
    relays: PinBook<RelayPin>,
    /// Whether it is to hold on its connection only.
    is_bound: bool,
    /// The key with which we were registered in this run.
    used: Option<RelayFingerprint>,
    stage: Stage,
}

enum Stage {
    Registering { cnonce: [u8; 32] },
    Proving { relay: RelayFingerprint },
    NotBegun,
}

/// What the relay has to have signed.
struct Challenge {
    cnonce: [u8; 32],
    relay: [u8; 32],
    nonce: [u8; 32],
    binding: Option<[u8; 32]>,
}

/// What is to be done after a frame of the relay.
pub(super) enum NextStep {
    /// Send this answer.
    Send(Vec<u8>),
    /// We are registered with this relay.
    Registered(RelayPin),
    /// It failed for now: try again.
    Retry(String),
    /// It failed for good.
    Over(Ending, String),
    /// Nothing: the frame does not matter.
    Nothing,
}

impl Registration {
    pub(super) fn new(
        relay: String,
        roster: RosterMode,
        relays: PinBook<RelayPin>,
        is_bound: bool,
    ) -> Self {
        Self { relay, roster, relays, is_bound, used: None, stage: Stage::NotBegun }
    }

    /// `HOST:PORT`, as it was asked for.
    pub(super) fn relay(&self) -> &str {
        &self.relay
    }

    /// The frame that begins it.
    pub(super) fn begin(&mut self, core: &ClientCore) -> Vec<u8> {
        let mut cnonce = [0; 32];
        core.vault.random(&mut cnonce);
        self.stage = Stage::Registering { cnonce };
        let bind = if self.is_bound { Bind::TlsExporter } else { Bind::None };
        let v2 = Registration2 { cnonce, prekey: core.prekeys.published().clone(), bind };
        let pem = core.vault.public().to_pem();
        compose::register(&core.name, &pem, self.roster, Some(&v2))
    }

    /// What follows from `frame`, received while registering on a connection whose ends export
    /// `binding`.
    pub(super) fn answer(
        &mut self,
        core: &mut ClientCore,
        frame: Incoming,
        binding: Option<[u8; 32]>,
    ) -> NextStep {
        match (&self.stage, frame) {
            (
                &Stage::Registering { cnonce },
                Incoming::Reply(Reply::Challenge { relay, nonce, signature }),
            ) => {
                let binding = binding.filter(|_| self.is_bound);
                let challenge = Challenge { cnonce, relay, nonce, binding };
                self.challenged(core, &challenge, &signature)
            }
            (
                &Stage::Proving { relay: key },
                Incoming::Reply(Reply::Registered { name, fp, limits }),
            ) => {
                if name != core.name || fp != core.fp {
                    return NextStep::Retry("the relay registered somebody else".to_owned());
                }
                core.max_frame = limits.frame.min(MAX_FRAME_OPTION);
                self.used = Some(key);
                NextStep::Registered(RelayPin { address: self.relay.clone(), key })
            }
            // It refuses to be bound: of TLS it knows nothing, so that ends before it.
            (Stage::Registering { .. }, Incoming::Reply(Reply::Error { code, .. }))
                if self.is_bound && code == ErrorCode::BadFrame.as_str() =>
            {
                self.not_bound()
            }
            (_, Incoming::Reply(Reply::Error { code, detail, .. })) => {
                refused(core, code.parse().ok(), &detail)
            }
            (_, Incoming::Userlist { .. }) => {
                let detail = format!("{} speaks only the original protocol", self.relay);
                NextStep::Over(Ending::NotV2, detail)
            }
            (_, Incoming::Unknown { .. }) => NextStep::Nothing,
            _ => NextStep::Retry("the relay answered something else".to_owned()),
        }
    }

    fn challenged(
        &mut self,
        core: &mut ClientCore,
        challenge: &Challenge,
        signature: &[u8; 64],
    ) -> NextStep {
        let Challenge { cnonce, relay, nonce, binding } = challenge;
        let binding = binding.as_ref();
        let signed = relay_challenge(relay, cnonce, nonce, &core.fp, binding);
        let is_signed = core.vault.verify_relay(relay, &signed, signature);
        if self.is_bound && (binding.is_none() || !is_signed) {
            return self.not_bound();
        }
        if !is_signed {
            return NextStep::Retry("the relay did not prove its key".to_owned());
        }
        let key = RelayFingerprint(*relay);
        if let Err(over) = self.pin(core, key) {
            return over;
        }
        if self.used.is_some_and(|used| used != key) {
            let detail = format!("the key of {} was accepted anew: start again", self.relay);
            return NextStep::Over(Ending::RelayChanged, detail);
        }
        self.stage = Stage::Proving { relay: key };
        let prekey = core.prekeys.published();
        let proof = register_proof(relay, nonce, cnonce, &core.name, &core.fp, prekey, binding);
        NextStep::Send(compose::prove(&core.vault.sign(&proof)))
    }

    /// What the relay signed is not over this connection: it ends at somebody else, who has another
    /// one to the relay. Nothing was proven to them.
    fn not_bound(&self) -> NextStep {
        let relay = &self.relay;
        let detail = format!(
            "the relay at {relay} did not sign for this connection: somebody stands between and \
             ends TLS. If it is a proxy of the relay's operator, use --relay tls://{relay}; \
             otherwise do not go on"
        );
        NextStep::Over(Ending::NotBound, detail)
    }

    /// Whether `key` is the relay's; the first one is pinned.
    fn pin(&mut self, core: &mut ClientCore, key: RelayFingerprint) -> Result<(), NextStep> {
        let address = &self.relay;
        let not_kept = |why| {
            NextStep::Over(Ending::TrustFile, format!("the key of {address} is not kept: {why}"))
        };
        if self.relays.refresh().map_err(not_kept)? {
            let damaged: Vec<_> = self.relays.file().damaged().collect();
            core.name_damaged_lines("known_relays", &damaged);
        }
        let is_new = self.relays.file().find(address).is_none();
        if is_new {
            let meet = |file: &mut PinFile<RelayPin>| {
                if file.find(address).is_none() {
                    file.set(RelayPin { address: address.clone(), key });
                }
            };
            self.relays.change(meet).map_err(not_kept)?;
        }
        let Some(RelayPin { key: pinned, .. }) = self.relays.file().find(address) else {
            return Err(not_kept("it was removed at once".to_owned()));
        };
        if *pinned != key {
            let keys = &core.keys;
            let detail = format!(
                "the key of {address} is not the one that is kept: {key} instead of {pinned}. \
                 Either the relay was set up anew, or this is another one. If you know why, run \
                 '{keys} untrust {address}' and connect again"
            );
            return Err(NextStep::Over(Ending::RelayChanged, detail));
        }
        if is_new {
            let (relay, key) = (address.clone(), key.to_string());
            core.tell(Event::Progress(Progress::NewRelay { relay, key }));
        }
        Ok(())
    }
}

fn refused(core: &ClientCore, code: Option<ErrorCode>, detail: &str) -> NextStep {
    let (name, keys) = (&core.name, &core.keys);
    let other = format!("to take another name, run '{keys} rename NAME'");
    let (ending, advice) = match code {
        Some(ErrorCode::NameInUse) => {
            (Ending::NameInUse, format!("another user is connected as {name}; {other}"))
        }
        Some(ErrorCode::NameBound) => {
            (Ending::NameBound, format!("{name} belongs to another key; {other}"))
        }
        Some(ErrorCode::BadName) => {
            (Ending::BadName, format!("the relay does not accept the name {name}; {other}"))
        }
        Some(ErrorCode::DirectoryFull) => {
            (Ending::DirectoryFull, format!("the relay binds no further name: {detail}"))
        }
        Some(ErrorCode::BadProof) => {
            (Ending::BadProof, format!("the relay did not take our proof: {detail}"))
        }
        Some(ErrorCode::TlsRequired) => {
            (Ending::Refused, "the relay speaks TLS only: leave --plain away".to_owned())
        }
        Some(
            ErrorCode::RegisterTimeout
            | ErrorCode::FrameTimeout
            | ErrorCode::SlowReader
            | ErrorCode::ShuttingDown,
        ) => return NextStep::Retry(format!("the relay ended it: {detail}")),
        _ => (Ending::Refused, format!("the relay refused the registration: {detail}")),
    };
    NextStep::Over(ending, advice)
}
