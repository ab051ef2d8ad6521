//! Our letterbox at the relay: the key that we leave there, and the letters that come out of it.
//!
//! ```text
//!   registered ──letterbox──▶ Publishing ──letters──▶ Taking ──▶ letters ──▶ letterbox_empty
//!                                 │
//!                                 └─ no_letterbox, or a relay that knows none ──▶ None
//! ```
//!
//! A letter goes through these checks, from the cheapest to the most expensive one, and its
//! signature is checked before anything is decrypted: form, the recipient, its time, a token, the
//! sender's key, whether it was shown before, the signature, our letter key. Then it is opened and
//! told; once it was shown and that was written down, it is acknowledged (`book.rs`).
//!
//! What fails for good is acknowledged with a warning. A letter whose sender's key is not accepted,
//! or that is from the future, is parked: kept as it came, acknowledged, and looked at again.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::book::After;
use super::clocks::earliest;
use super::core::ClientCore;
use super::held::{tell_held, untrusted, why_held};
use super::letter_book::{Change, ParkedLetter};
use super::letter_keys::LetterKeys;
use super::letter_reading::NO_LETTER_KEY;
use super::peer::{Peer, Reading};
use super::peers::Peers;
use super::tokens::LetterTokens;
use super::{Caution, Event, Progress};
use crate::crypto::{Letter, Mid};
use crate::limits::{
    CLOCK_SKEW, HINT_INTERVAL, LETTER_AGE, LETTER_KEY_GRACE, LETTERS_DELIVERED, PARKED_A_SENDER,
    PARKED_LETTERS, RESEND_MIN,
};
use crate::reactor::Time;
use crate::wire::{ErrorCode, Fingerprint, KeptLetter, KeyCount, LetterKind, TakeMode, compose};

/// Our letterbox.
pub(super) struct Letterbox {
    /// What is taken out of it; `None`: nothing, and no key is left there.
    take: Option<TakeMode>,
    state: BoxState,
    /// The relay was given a key, and has not answered.
    awaits_counts: bool,
    keys: LetterKeys,
    /// Letters that are not told yet, in order.
    letters: VecDeque<LooseLetter>,
    /// The numbers of those that came on this connection and are not acknowledged.
    unacknowledged: BTreeSet<u64>,
    parked: Vec<ParkedLetter>,
    /// Some were parked since it was last told which are held.
    has_parked: bool,
    tokens: LetterTokens,
    /// When the relay is asked again: because it could not answer, or whether letters wait under
    /// older keys.
    ask_at: Option<Time>,
    /// When to look at the letters again, although nothing has come.
    look_at: Option<Time>,
    /// That there is no letterbox was told.
    was_told: bool,
    /// That letters of strangers wait for their turn was told.
    told_of_turns: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BoxState {
    /// Not connected, or there is none.
    None,
    /// The relay was given our key.
    Publishing,
    /// It delivers.
    Taking { is_empty: bool },
}

/// A letter that came and is neither told nor parked.
pub(super) struct LooseLetter {
    /// Under which it was delivered; `None`: it was parked.
    pub(super) number: Option<u64>,
    pub(super) from: String,
    pub(super) kind: LetterKind,
    pub(super) fp: Fingerprint,
    pub(super) mid: Mid,
    pub(super) created_ms: u64,
    key_id: u32,
    pub(super) content: String,
    has_token: bool,
}

/// What becomes of a letter now.
enum Outcome {
    /// It was told, or its receipts were taken.
    Read,
    /// It was shown before.
    Again,
    /// It is looked at again later.
    Later(Time),
    /// It is kept until its sender's key is accepted, or its time has come.
    Park(Caution, String),
    /// It failed for good.
    Drop(Caution, String),
}

impl Letterbox {
    pub(super) fn new(
        core: &mut ClientCore,
        take: Option<TakeMode>,
        keys: LetterKeys,
        parked: Vec<ParkedLetter>,
    ) -> Self {
        let mut new = Self {
            take,
            state: BoxState::None,
            awaits_counts: false,
            keys,
            letters: VecDeque::new(),
            unacknowledged: BTreeSet::new(),
            parked,
            has_parked: false,
            tokens: LetterTokens::default(),
            ask_at: None,
            look_at: None,
            was_told: false,
            told_of_turns: false,
        };
        new.unpark(core);
        new.tell_held(core);
        new
    }

    /// Tells which letters are held, where they would be shown.
    fn tell_held(&mut self, core: &mut ClientCore) {
        self.has_parked = false;
        if self.take == Some(TakeMode::All) {
            tell_held(core, &self.parked);
        }
    }

    /// All letters that waited have been told.
    fn tell_empty(&mut self, core: &mut ClientCore) {
        if self.has_parked {
            self.tell_held(core);
        }
        core.tell(Event::LetterboxEmpty {});
    }

    /// How many letters of peers whom we know are not shown because their key is not accepted.
    pub(super) fn untrusted(&self, core: &ClientCore) -> usize {
        untrusted(core, &self.parked)
    }

    /// Letters may still come that have waited in it.
    pub(super) fn is_being_emptied(&self) -> bool {
        match self.state {
            BoxState::None => false,
            BoxState::Publishing => true,
            BoxState::Taking { is_empty } => !is_empty || !self.letters.is_empty(),
        }
    }

    // --- What is asked of the relay ---

    /// We are registered: gives the relay the newest key.
    pub(super) fn publish(&mut self, core: &mut ClientCore) {
        if self.take.is_none() {
            return;
        }
        let now_ms = core.wall_ms();
        let ClientCore { vault, book, name, .. } = core;
        let key = self.keys.newest(vault.as_ref(), book, now_ms).publish(vault.as_ref(), name);
        core.post(&compose::letterbox(&key));
        if self.state == BoxState::None {
            self.state = BoxState::Publishing;
        }
        (self.awaits_counts, self.ask_at) = (true, None);
    }

    /// The relay keeps the key.
    pub(super) fn published(&mut self, core: &mut ClientCore, waiting: &[KeyCount]) {
        if self.state == BoxState::None || !std::mem::take(&mut self.awaits_counts) {
            return; // nothing was asked
        }
        let now_ms = core.wall_ms();
        // Letters that wait with us need their keys as much as those that wait at the relay.
        let with_us = self.parked.iter().filter_map(LooseLetter::of_parked);
        let unparked = self.letters.iter().filter(|letter| letter.number.is_none());
        let mut needed: BTreeSet<_> =
            with_us.map(|it| it.key_id).chain(unparked.map(|it| it.key_id)).collect();
        let waits = waiting.iter().filter(|waiting| waiting.count > 0);
        needed.extend(waits.map(|waiting| waiting.key_id));
        if self.keys.published(&mut core.book, &needed, now_ms) {
            self.ask_at = Some(core.now + LETTER_KEY_GRACE);
        }
        self.unpark(core); // time has passed
        self.begin_taking(core);
    }

    fn begin_taking(&mut self, core: &mut ClientCore) {
        if self.state == BoxState::Publishing
            && let Some(take) = self.take
        {
            core.post(&compose::letters(take));
            self.state = BoxState::Taking { is_empty: false };
        }
    }

    /// The relay refuses something that names neither an addressee nor a target. Returns whether
    /// that was about the letterbox.
    pub(super) fn refused(&mut self, core: &mut ClientCore, code: ErrorCode, detail: &str) -> bool {
        if self.state == BoxState::None {
            return false;
        }
        match code {
            ErrorCode::NoLetterbox | ErrorCode::UnknownAction => {
                self.state = BoxState::None;
                if !std::mem::replace(&mut self.was_told, true) {
                    let why = detail.to_owned();
                    core.tell(Event::Progress(Progress::NoLetterbox { why }));
                }
            }
            ErrorCode::StoreFailed | ErrorCode::RateLimited => {
                // What it delivers already it goes on delivering.
                if self.state == BoxState::Publishing {
                    self.state = BoxState::None;
                }
                self.ask_at = Some(core.now + RESEND_MIN);
                let detail = format!("the relay cannot keep our letter key now: {detail}");
                core.warn("", Caution::Refused, detail);
            }
            // Our clock was ahead, or is behind: senders go on with the newer key.
            ErrorCode::StaleKey if self.state == BoxState::Publishing => {
                let detail = "the relay has a letter key of ours that was made after this one: by \
                              our clock it is not yet time for it";
                core.warn("", Caution::ClockSkew, detail);
                self.begin_taking(core);
            }
            _ => return false,
        }
        true
    }

    /// All that waited in it was delivered.
    pub(super) fn emptied(&mut self, core: &mut ClientCore) {
        if self.state == (BoxState::Taking { is_empty: false }) {
            self.state = BoxState::Taking { is_empty: true };
            if self.letters.is_empty() {
                self.tell_empty(core);
            }
        }
    }

    /// The connection is lost: what was not acknowledged comes again.
    pub(super) fn disconnected(&mut self, core: &mut ClientCore) {
        self.state = BoxState::None;
        (self.ask_at, self.look_at) = (None, None);
        self.unacknowledged.clear();
        core.book.forget_acknowledgements();
        self.letters.retain(|letter| letter.number.is_none());
    }

    // --- Letters ---

    /// The relay delivers a letter. The error says why that is against the protocol.
    pub(super) fn delivered(
        &mut self,
        core: &mut ClientCore,
        letter: &KeptLetter,
    ) -> Result<(), &'static str> {
        if !matches!(self.state, BoxState::Taking { .. }) {
            return Err("a letter that nobody asked for");
        }
        if self.unacknowledged.contains(&letter.number) {
            return Err("a letter that is here already");
        }
        if self.unacknowledged.len() >= LETTERS_DELIVERED {
            return Err("more letters at once than we take");
        }
        self.unacknowledged.insert(letter.number);
        match read(core, letter) {
            Ok(letter) => {
                self.letters.push_back(letter);
                self.state = BoxState::Taking { is_empty: false }; // the relay tells when it is
            }
            Err((code, why)) => {
                let from = &letter.from;
                core.warn(from, code, format!("a letter of {from} is dropped: {why}"));
                core.book.then(After::Acknowledge(letter.number));
            }
        }
        Ok(())
    }

    /// The relay was told that it may delete this one.
    pub(super) fn acknowledged(&mut self, number: u64) {
        self.unacknowledged.remove(&number);
    }

    /// Looks at all letters, in order; one that has to wait holds back those of the same sender.
    pub(super) fn read_letters(&mut self, core: &mut ClientCore, peers: &mut Peers) {
        if self.letters.is_empty() {
            return;
        }
        self.look_at = None;
        let mut held = BTreeSet::new();
        for mut letter in std::mem::take(&mut self.letters) {
            if !held.contains(&letter.from) {
                let peer = peers.meet(&letter.from);
                match self.look(core, peer, &mut letter) {
                    Outcome::Later(due) => self.look_at = earliest([self.look_at, Some(due)]),
                    outcome => {
                        self.done(core, letter, outcome);
                        continue;
                    }
                }
                held.insert(letter.from.clone());
            }
            self.letters.push_back(letter);
        }
        if self.letters.is_empty() && self.state == (BoxState::Taking { is_empty: true }) {
            self.tell_empty(core);
        }
    }

    fn look(
        &mut self,
        core: &mut ClientCore,
        peer: &mut Peer,
        letter: &mut LooseLetter,
    ) -> Outcome {
        let now_ms = core.wall_ms();
        if letter.created_ms > now_ms.saturating_add(millis(CLOCK_SKEW)) {
            return Outcome::Park(Caution::ClockSkew, "its clock is ahead of ours".to_owned());
        }
        if letter.created_ms.saturating_add(millis(LETTER_AGE)) < now_ms {
            return Outcome::Drop(Caution::StaleLetter, "it is too old".to_owned());
        }
        if !letter.has_token {
            let is_stranger = peer.is_stranger(core);
            match self.tokens.take(peer.letter_bucket(), is_stranger, core.now) {
                Ok(()) => letter.has_token = true,
                Err(next) => {
                    if is_stranger && !std::mem::replace(&mut self.told_of_turns, true) {
                        core.tell(Event::Progress(Progress::LettersInLine));
                    }
                    return Outcome::Later(next);
                }
            }
        }
        match peer.read(core, &self.keys, letter) {
            Reading::Read => Outcome::Read,
            Reading::Again => Outcome::Again,
            Reading::Later => Outcome::Later(core.now + HINT_INTERVAL),
            Reading::Unfit(code, why) => Outcome::Park(code, why),
            Reading::Bad(code, why) => Outcome::Drop(code, why),
        }
    }

    fn done(&mut self, core: &mut ClientCore, letter: LooseLetter, outcome: Outcome) {
        let from = letter.from.clone();
        let is_told = matches!((&outcome, letter.kind), (Outcome::Read, LetterKind::Text));
        match outcome {
            Outcome::Park(code, why) => match self.park(core, &letter) {
                // It was told, and written down, when it came.
                Ok(()) if letter.number.is_none() => return,
                Ok(()) => core.warn(&from, code, format!("a letter of {from} has to wait: {why}")),
                Err(most) => {
                    let detail = format!("a letter of {from} is dropped, as {most} wait: {why}");
                    core.warn(&from, code, detail);
                }
            },
            Outcome::Drop(code, why) => {
                core.warn(&from, code, format!("a letter of {from} is dropped: {why}"));
            }
            Outcome::Read | Outcome::Again | Outcome::Later(_) => {}
        }
        if !is_told {
            letter.finish(core);
        }
    }

    /// Keeps a letter; the error is how many are kept already.
    fn park(&mut self, core: &mut ClientCore, letter: &LooseLetter) -> Result<(), usize> {
        let LooseLetter { from, fp, mid, content, .. } = letter;
        if self.parked.iter().any(|it| (&it.from, it.mid) == (from, *mid)) {
            return Ok(());
        }
        let of_sender = self.parked.iter().filter(|it| it.from == *from).count();
        if self.parked.len() >= PARKED_LETTERS || of_sender >= PARKED_A_SENDER {
            return Err(of_sender.max(self.parked.len().min(PARKED_LETTERS)));
        }
        let (from, content) = (from.clone(), content.clone());
        let parked = ParkedLetter { from, fp: *fp, mid: *mid, content };
        if letter.number.is_some() {
            core.book.note(Change::Park(parked.clone()));
            self.has_parked = true;
        }
        self.parked.push(parked);
        Ok(())
    }

    /// The trust file may have changed, or time has passed: letters that could be opened now are
    /// looked at again. Those that nobody can open any more are dropped.
    pub(super) fn unpark(&mut self, core: &mut ClientCore) {
        let now_ms = core.wall_ms();
        self.parked.retain(|parked| {
            let Some(letter) = LooseLetter::of_parked(parked) else { return false };
            let is_old = letter.created_ms.saturating_add(millis(LETTER_AGE)) < now_ms;
            if is_old || self.keys.find(letter.key_id).is_none() {
                let from = &parked.from;
                let why = if is_old { "it is too old now" } else { NO_LETTER_KEY };
                let detail = format!("a letter of {from} that had to wait is dropped: {why}");
                core.warn(from, Caution::StaleLetter, detail);
                letter.finish(core);
                return false;
            }
            // One that waits for its time holds back no other.
            let is_held = !takes(self.take, letter.kind)
                || why_held(core.peers.file(), parked, core.strict, now_ms).is_some();
            if !is_held {
                self.letters.push_back(letter);
            }
            is_held
        });
    }

    // --- Time ---

    /// Does what is due, while we are connected.
    pub(super) fn tick(&mut self, core: &mut ClientCore) {
        let now_ms = core.wall_ms();
        let is_asked = self.ask_at.is_some_and(|due| due <= core.now);
        let is_up = self.state != BoxState::None;
        if is_asked || is_up && self.keys.is_stale(now_ms) {
            self.publish(core);
        }
    }

    /// When there is something to do.
    pub(super) fn due(&self) -> Option<Time> {
        earliest([self.ask_at, self.look_at])
    }
}

impl LooseLetter {
    fn of_parked(parked: &ParkedLetter) -> Option<Self> {
        let letter = Letter::parse(&parked.content).ok()?;
        Some(Self::new(None, &parked.from, &letter, &parked.content))
    }

    fn new(number: Option<u64>, from: &str, letter: &Letter, content: &str) -> Self {
        Self {
            number,
            from: from.to_owned(),
            kind: letter.kind(),
            fp: *letter.sender(),
            mid: *letter.mid(),
            created_ms: letter.created_ms(),
            key_id: letter.key_id(),
            content: content.to_owned(),
            has_token: false,
        }
    }

    /// Nothing is to be done with it any more.
    fn finish(self, core: &mut ClientCore) {
        match self.number {
            Some(number) => core.book.then(After::Acknowledge(number)),
            None => core.book.note(Change::Unpark { from: self.from, mid: self.mid }),
        }
    }
}

/// Checks the form of a letter, and that it is for us.
fn read(core: &ClientCore, letter: &KeptLetter) -> Result<LooseLetter, (Caution, &'static str)> {
    let form = "its form is not known to this version";
    let parsed = Letter::parse(&letter.body).map_err(|_| (Caution::Malformed, form))?;
    let is_same = parsed.kind() == letter.kind
        && parsed.key_id() == letter.key_id
        && *letter.id == crate::wire::base64::encode(parsed.mid());
    if !is_same {
        return Err((Caution::Malformed, "its frame says something else than what it seals"));
    }
    if *parsed.recipient() != core.fp {
        return Err((Caution::WrongRecipient, "it is meant for another key than ours"));
    }
    Ok(LooseLetter::new(Some(letter.number), &letter.from, &parsed, &letter.body))
}

/// Whether a client that takes `mode` out of its box shows or counts letters of this kind.
fn takes(mode: Option<TakeMode>, kind: LetterKind) -> bool {
    match mode {
        Some(TakeMode::All) => true,
        Some(TakeMode::Receipts) => kind == LetterKind::Receipt,
        None => false,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
