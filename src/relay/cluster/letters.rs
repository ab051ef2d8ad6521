//! Letters in a cluster: they are kept in the engine, which decides as the store of one relay does.

use std::collections::VecDeque;

use super::{Asked, Cluster, Relay};
use crate::cluster::letters::{self, LetterOutcome, LetterRefusal, LetterToKeep, LetterUser};
use crate::cluster::members::Wanted;
use crate::cluster::names;
use crate::cluster::resp::Value;
use crate::cluster::script::WrongAnswer;
use crate::reactor::{Context, Time};
use crate::relay::letter_store::{
    Delivered, Delivery, KnownKeys, LetterAnswer, LetterAsk, LetterFault, LetterStore,
    NAME_RELEASED, NewLetter, Owner,
};
use crate::relay::limits::{CLUSTER_FIND_TIME, EXPIRE_PAUSE, STORE_QUEUE};
use crate::relay::store::QueueFull;
use crate::wire::{LetterKey, Prekey};

const NOT_REACHED: &str = "the engine of the cluster cannot be reached";
const DAY: u64 = 24 * 3600 * 1000;

/// What was asked of letters.
#[derive(Default)]
pub(super) struct FarLetters {
    /// What is to be asked, in order.
    to_ask: VecDeque<(u64, LetterAsk)>,
    /// Questions for keys that wait until the engine can be reached, and since when.
    waiting: VecDeque<(u64, LetterAsk, Time)>,
    answers: VecDeque<(u64, LetterAnswer)>,
    /// Questions for keys of which the engine knows none yet: this relay's own store may.
    to_ask_own: Vec<(u64, String)>,
    expired: u64,
}

impl LetterStore for Cluster {
    fn ask(&mut self, ticket: u64, ask: LetterAsk) -> Result<(), QueueFull> {
        if self.letters.to_ask.len() + self.letters.answers.len() >= STORE_QUEUE {
            return Err(QueueFull);
        }
        self.letters.to_ask.push_back((ticket, ask));
        Ok(())
    }

    fn next_letter_answer(&mut self) -> Option<(u64, LetterAnswer)> {
        self.letters.answers.pop_front()
    }

    fn take_expired(&mut self) -> u64 {
        std::mem::take(&mut self.letters.expired)
    }
}

impl Cluster {
    /// Asks what was asked in this tick. What cannot be asked now has failed, but for questions for
    /// keys, which wait. `wall`: milliseconds since 1970.
    pub(super) fn ask_for_letters(&mut self, now: Time, wall: u64) {
        let waiting = std::mem::take(&mut self.letters.waiting);
        let (late, waiting): (VecDeque<_>, VecDeque<_>) =
            waiting.into_iter().partition(|(.., since)| *since + CLUSTER_FIND_TIME <= now);
        self.letters.waiting = waiting;
        let late = late.into_iter().map(|(ticket, ask, _)| (ticket, ask.failed(NOT_REACHED)));
        self.letters.answers.extend(late);
        while let Some((ticket, ask, since)) = self.letters.waiting.pop_front() {
            if let Some(ask) = self.ask_engine(ticket, ask, (since, now), wall) {
                self.letters.waiting.push_front((ticket, ask, since));
                break;
            }
        }
        while let Some((ticket, ask)) = self.letters.to_ask.pop_front() {
            match self.ask_engine(ticket, ask, (now, now), wall) {
                None => {}
                Some(ask @ LetterAsk::Find { .. }) => {
                    self.letters.waiting.push_back((ticket, ask, now));
                }
                Some(ask) => self.letters.answers.push_back((ticket, ask.failed(NOT_REACHED))),
            }
        }
    }

    /// When a question for a key has waited for too long.
    pub(super) fn find_due(&self) -> Option<Time> {
        let since = self.letters.waiting.iter().map(|(.., since)| *since).min();
        since.map(|since| since + CLUSTER_FIND_TIME)
    }

    /// Asks the engine, or gives back what is to be asked.
    fn ask_engine(
        &mut self,
        ticket: u64,
        ask: LetterAsk,
        (since, now): (Time, Time),
        wall: u64,
    ) -> Option<LetterAsk> {
        if matches!(ask, LetterAsk::Keep(_)) && self.moving.refuses_letters() {
            let refused = outcome(LetterOutcome::Refused(LetterRefusal::Closed));
            self.letters.answers.push_back((ticket, LetterAnswer::Kept(refused)));
            return None;
        }
        // A letter that was acknowledged may have another number since the engine was lost.
        let must_wait =
            matches!(ask, LetterAsk::Deliver(_)) && self.members.wanted() == Wanted::Beginning;
        if must_wait || !self.calls.has_room() {
            return Some(ask);
        }
        let own = self.own;
        let call = match &ask {
            LetterAsk::Publish { owner, pem, key } => {
                letters::letterbox(own, user(owner), pem, key, wall)
            }
            LetterAsk::Keep(letter) => {
                let NewLetter { from, to, id, kind, key_id, kept } = letter;
                let letter =
                    LetterToKeep { from: user(from), to, id, kind: *kind, key_id: *key_id, kept };
                letters::keep(own, &letter, wall, self.config.letters.bytes)
            }
            LetterAsk::Deliver(delivery) => {
                let Delivery { owner, take, acknowledged, after, letters, bytes } = delivery;
                let wanted = letters::LettersWanted {
                    owner: user(owner),
                    take: *take,
                    after: *after,
                    letters: *letters,
                    bytes: *bytes,
                    acknowledged,
                };
                letters::deliver(own, &wanted)
            }
            LetterAsk::Find { name } => names::find(own, name, wall),
            LetterAsk::Wrote { owner, to } => letters::wrote(own, user(owner), to, wall),
        };
        self.call(Asked::Letters(ticket, ask, since), &call, now);
        None
    }

    /// The engine has answered something about letters.
    pub(super) fn letters_answered(
        &mut self,
        ticket: u64,
        ask: &LetterAsk,
        value: &Value,
    ) -> Result<(), WrongAnswer> {
        let answer = match ask {
            LetterAsk::Publish { .. } => {
                LetterAnswer::Published(outcome(letters::letterbox_kept(value)?))
            }
            LetterAsk::Keep(_) => LetterAnswer::Kept(outcome(match letters::kept(value)? {
                // It is on its way.
                LetterOutcome::Refused(LetterRefusal::NoKey) if self.moving.has_keys_left() => {
                    LetterOutcome::Refused(LetterRefusal::Closed)
                }
                kept => kept,
            })),
            LetterAsk::Deliver(_) => LetterAnswer::Delivered(match letters::delivered(value)? {
                Some(found) => Delivered {
                    deleted: Ok(usize::try_from(found.deleted).unwrap_or_default()),
                    letters: found.letters,
                    has_more: found.has_more,
                },
                None => Delivered {
                    deleted: Err(NOT_REACHED.to_owned()),
                    letters: Vec::new(),
                    has_more: true,
                },
            }),
            LetterAsk::Find { name } => {
                let found = names::found(value)?;
                let may_be_here = found.letter_key.is_none() && found.place.is_none();
                if may_be_here && self.moving.has_keys_left() {
                    self.letters.to_ask_own.push((ticket, name.clone()));
                    return Ok(());
                }
                LetterAnswer::Found(Ok(known(found)))
            }
            LetterAsk::Wrote { .. } => {
                letters::noted(value)?;
                LetterAnswer::Noted
            }
        };
        self.letters.answers.push_back((ticket, answer));
        Ok(())
    }

    /// An answer about letters was lost. A question for a key is asked again.
    pub(super) fn letters_lost(&mut self, ticket: u64, ask: LetterAsk, why: &str, since: Time) {
        if matches!(ask, LetterAsk::Find { .. }) {
            self.letters.waiting.push_back((ticket, ask, since));
        } else {
            self.letters_refused(ticket, &ask, why);
        }
    }

    /// The engine did not take something about letters.
    pub(super) fn letters_refused(&mut self, ticket: u64, ask: &LetterAsk, why: &str) {
        self.letters.answers.push_back((ticket, ask.failed(why)));
    }

    /// Has letters deleted whose time is over, some at a time.
    pub(super) fn expire_letters(&mut self, now: Time, wall: u64) {
        if now < self.expire_at || !self.is_held() || !self.calls.has_room() {
            return;
        }
        self.expire_at = now + EXPIRE_PAUSE;
        let days = u64::from(self.config.letters.days);
        let before = wall.saturating_sub(days * DAY);
        let call = letters::expire(self.own, before);
        self.call(Asked::Expire, &call, now);
    }

    /// So many letters were deleted; more may be left.
    pub(super) fn letters_expired(&mut self, count: u64, now: Time) {
        self.letters.expired += count;
        if count > 0 {
            self.expire_at = now;
        }
    }
}

impl Relay {
    /// Where letters are kept: in the engine of the cluster, or in the relay's own store.
    pub(in crate::relay) fn letter_store(&mut self) -> Option<&mut dyn LetterStore> {
        match &mut self.cluster {
            Some(cluster) if cluster.config.letters.bytes == 0 => None,
            Some(cluster) => Some(cluster.as_mut()),
            None => self.store.letters(),
        }
    }

    /// `get_pubkey` of a user of a cluster who is not here: the engine is asked.
    pub(in crate::relay) fn is_far(&self, target: &str) -> bool {
        self.cluster.is_some() && self.directory.holder(target, &self.peers).is_none()
    }

    /// Asks this relay's own store for keys that may not have been moved into the engine yet.
    pub(super) fn ask_own_for_keys(&mut self) {
        let Some(cluster) = &mut self.cluster else { return };
        for (ticket, name) in std::mem::take(&mut cluster.letters.to_ask_own) {
            let ask = LetterAsk::Find { name };
            let failed = ask.failed("the store has too much to do");
            if self.store.letters().is_none_or(|store| store.ask(ticket, ask).is_err()) {
                cluster.letters.answers.push_back((ticket, failed));
            }
        }
    }

    /// Hands over what was asked of letters in this tick.
    pub(super) fn ask_for_far_letters(&mut self, cx: &Context) {
        let wall = self.log.wall();
        if let Some(cluster) = &mut self.cluster {
            cluster.ask_for_letters(cx.now(), wall);
        }
    }
}

fn user(owner: &Owner) -> LetterUser<'_> {
    LetterUser { name: &owner.name, fp: &owner.fp }
}

fn outcome<T>(answer: LetterOutcome<T>) -> Result<T, LetterFault> {
    match answer {
        LetterOutcome::Kept(kept) => Ok(kept),
        LetterOutcome::Refused(refusal) => {
            Err(LetterFault::refused(refusal.code(), detail(refusal)))
        }
        LetterOutcome::NoLease => Err(LetterFault::Failed(NOT_REACHED.to_owned())),
    }
}

const fn detail(refusal: LetterRefusal) -> &'static str {
    match refusal {
        LetterRefusal::Released => NAME_RELEASED,
        LetterRefusal::UnknownUser => "no such user is known",
        LetterRefusal::Closed => "older letters to the addressee are on their way: send it later",
        LetterRefusal::NoKey => "the addressee has left no key for letters",
        LetterRefusal::KeyExpired => "the addressee's key for letters has expired",
        LetterRefusal::StaleKey => {
            "the addressee has a newer letter key: ask for it with get_pubkey"
        }
        LetterRefusal::AllFull => "the letterboxes of this relay are full",
        LetterRefusal::SenderFull => "too many of your letters wait already",
        LetterRefusal::StrangerFull => {
            "too many letters of yours wait there, and the addressee has not written to you"
        }
        LetterRefusal::BoxFull => "the addressee's letterbox is full",
    }
}

/// Of a name that is bound to no key nothing is known while it is away.
fn known(found: names::Known) -> Option<KnownKeys> {
    if found.place.is_none() && found.bound.is_none() {
        return None;
    }
    let prekey = |json: String| Prekey::parse(serde_json::from_str(&json).ok()?).ok();
    let letter_key = |json: String| LetterKey::parse(serde_json::from_str(&json).ok()?).ok();
    Some(KnownKeys {
        pem: found.pem?,
        letter_key: found.letter_key.and_then(letter_key),
        is_connected: found.place.is_some(),
        prekey: found.prekey.and_then(prekey),
    })
}
