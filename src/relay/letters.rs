//! Letters: what a user may ask of the boxes, and what the store has answered.
//!
//! Knows requests and the store's interface (`letter_store.rs`), no quotas of a box: those are
//! decided by the store, together with the write. Each question has a ticket, and what its answer
//! needs is kept here until it has come. How much may be on its way is bounded for each kind of
//! question, so no kind takes the room of another. How letters are delivered is in `delivery.rs`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Relay;
use super::delivery::Takers;
use super::event::Event;
use super::fault::Fault;
use super::letter_store::{
    KnownKeys, LetterAnswer, LetterAsk, LetterFault, LetterStore, NAME_RELEASED, NewLetter, Owner,
};
use super::limits::{
    ADDRESS_BYTES_A_DAY, ADDRESS_PART, CLUSTER_FINDS, FINDS_UNDER_WAY, LETTER_BYTES_UNDER_WAY,
    LETTER_KEY_LIFETIME, LETTER_KEYS_UNDER_WAY, LETTERS_A_SENDER, LETTERS_UNDER_WAY,
    WRITTEN_UNDER_WAY,
};
use super::rates::{Origin, Places};
use super::tally::Tally;
use super::user_name::UserName;
use crate::limits::MAX_NAME_ORIGINAL;
use crate::reactor::{Context, Token};
use crate::tokens::Rate;
use crate::wire::{ErrorCode, Letter, LetterKey, LetterKind, Refusal, Reply};

/// What an address may store in a day, in parts of [`ADDRESS_PART`] bytes.
const ADDRESS_RATE: Rate = {
    let parts = ADDRESS_BYTES_A_DAY / ADDRESS_PART;
    Rate::every(parts, Duration::from_nanos(24 * 3600 * 1_000_000_000 / parts as u64))
};

/// What is on its way to the store and back.
#[derive(Default)]
pub(super) struct Letters {
    tickets: u64,
    under_way: BTreeMap<u64, UnderWay>,
    counts: Counts,
    /// Letters on their way, of each connection that has some.
    senders: Tally,
    /// Questions that a connection waits for, letters among them.
    asking: Tally,
    /// What each address has stored lately.
    addresses: Places<Origin, 1>,
    pub(super) takers: Takers,
}

/// How much of each kind is under way.
#[derive(Default)]
struct Counts {
    letters: usize,
    letter_bytes: usize,
    keys: usize,
    finds: usize,
    notes: usize,
    deliveries: usize,
}

/// What the answer to a question needs.
pub(super) enum UnderWay {
    Letter(LetterUnderWay),
    Key { from: Token },
    Find { from: Token, id: Option<String>, target: String, letters: bool },
    Note,
    Delivery { to: Token },
}

/// A letter that is being kept.
pub(super) struct LetterUnderWay {
    from: Token,
    name: UserName,
    origin: Origin,
    id: String,
    to: String,
    kind: LetterKind,
    bytes: usize,
}

impl UnderWay {
    /// Who waits for the answer.
    const fn asks(&self) -> Option<Token> {
        match self {
            Self::Letter(letter) => Some(letter.from),
            Self::Key { from } | Self::Find { from, .. } => Some(*from),
            Self::Note | Self::Delivery { .. } => None,
        }
    }
}

impl Letters {
    /// How many questions are under way.
    pub(super) fn len(&self) -> usize {
        self.under_way.len()
    }

    /// Whether this connection is still to be answered.
    pub(super) fn owe(&self, to: Token) -> bool {
        self.asking.of(to) > 0
    }

    /// How many deliveries are under way.
    pub(super) const fn deliveries(&self) -> usize {
        self.counts.deliveries
    }

    fn begin(&mut self, what: UnderWay) -> u64 {
        self.count(&what, true);
        self.tickets += 1;
        self.under_way.insert(self.tickets, what);
        self.tickets
    }

    fn end(&mut self, ticket: u64) -> Option<UnderWay> {
        let what = self.under_way.remove(&ticket)?;
        self.count(&what, false);
        Some(what)
    }

    fn count(&mut self, what: &UnderWay, is_more: bool) {
        let change = |count: &mut usize, by: usize| {
            *count = if is_more { *count + by } else { *count - by };
        };
        let of_connection = |tally: &mut Tally, from: Token| {
            if is_more { tally.add(from) } else { tally.take(from) }
        };
        if let Some(from) = what.asks() {
            of_connection(&mut self.asking, from);
        }
        let counts = &mut self.counts;
        match what {
            UnderWay::Letter(letter) => {
                change(&mut counts.letters, 1);
                change(&mut counts.letter_bytes, letter.bytes);
                of_connection(&mut self.senders, letter.from);
            }
            UnderWay::Key { .. } => change(&mut counts.keys, 1),
            UnderWay::Find { .. } => change(&mut counts.finds, 1),
            UnderWay::Note => change(&mut counts.notes, 1),
            UnderWay::Delivery { .. } => change(&mut counts.deliveries, 1),
        }
    }

    /// Whether a letter of so many bytes may not be on its way too.
    fn has_no_room(&self, from: Token, bytes: usize) -> bool {
        self.counts.letters >= LETTERS_UNDER_WAY
            || self.counts.letter_bytes + bytes > LETTER_BYTES_UNDER_WAY
            || self.senders.of(from) >= LETTERS_A_SENDER
    }
}

impl Relay {
    /// `letterbox`: from now on letters are sealed to this key.
    pub(super) fn open_letterbox(&mut self, from: Token, key: &LetterKey) -> Result<(), Fault> {
        let owner = self.letter_owner(from)?;
        check_letter_key_form(key)?;
        let Some(user) = self.peers.user(from) else { return Ok(()) };
        if self.letters.counts.keys >= LETTER_KEYS_UNDER_WAY {
            return Err(too_much_under_way());
        }
        let (pem, key) = (self.peers.key_of(from, user), key.clone());
        self.ask(UnderWay::Key { from }, LetterAsk::Publish { owner, pem, key }).map(drop)
    }

    /// `letter`: keeps it, and answers once it is kept.
    pub(super) fn keep_letter(
        &mut self,
        cx: &Context,
        from: Token,
        letter: &Letter,
    ) -> Result<(), Fault> {
        let owner = self.letter_owner(from)?;
        let Some(peer) = self.peers.get(from) else { return Ok(()) };
        let Some(user) = peer.user() else { return Ok(()) };
        // Too long to be a name, and the log would hold all of it.
        if letter.to.len() > MAX_NAME_ORIGINAL
            || self.cluster.is_none() && self.directory.bound_to(&letter.to).is_none()
        {
            return Err(Fault::new(ErrorCode::UnknownUser, "no such user is known"));
        }
        let kept = letter.to_keep(&user.name.json_bytes());
        if self.letters.has_no_room(from, kept.len()) {
            return Err(too_much_under_way());
        }
        let (name, origin) = (user.name.clone(), peer.origin);
        if origin != Origin::EXEMPT {
            let [bucket] = self.letters.addresses.of(origin, cx.now());
            if !bucket.take_some(ADDRESS_RATE, address_parts(kept.len()), cx.now()) {
                let detail = "too many bytes of letters came from your network today";
                return Err(Fault::new(ErrorCode::MailboxFull, detail));
            }
        }
        let (id, to) = (letter.id.to_string(), letter.to.to_string());
        let (kind, key_id, bytes) = (letter.kind, letter.key_id, kept.len());
        let new = NewLetter { from: owner, to: to.clone(), id: id.clone(), kind, key_id, kept };
        let under_way = LetterUnderWay { from, name, origin, id, to, kind, bytes };
        self.ask(UnderWay::Letter(under_way), LetterAsk::Keep(new)).map(drop)
    }

    /// `get_pubkey` with `letters`, of a name that is bound: whether its user has left a key for
    /// letters, and who it is if it is away, is for the store to tell; or without, of a user at
    /// another relay. Returns whether it was asked; it is not where it would know nothing.
    pub(super) fn find_keys(
        &mut self,
        from: Token,
        id: Option<&str>,
        target: &str,
        letters: bool,
    ) -> Result<bool, Fault> {
        if self.letter_store().is_none()
            || self.cluster.is_none() && self.directory.bound_to(target).is_none()
        {
            return Ok(false);
        }
        let most = if self.cluster.is_some() { CLUSTER_FINDS } else { FINDS_UNDER_WAY };
        if self.letters.counts.finds >= most {
            let detail = "too many keys are being looked up: ask again in a second";
            return Err(Fault::new(ErrorCode::RateLimited, detail));
        }
        let (id, name) = (id.map(str::to_owned), target.to_owned());
        let find = UnderWay::Find { from, id, target: name.clone(), letters };
        self.ask(find, LetterAsk::Find { name })?;
        Ok(true)
    }

    /// The user `name` has opened a session to `to`, so that one is no stranger to its box. Where
    /// there is no room to note it, the next session or letter does.
    pub(super) fn note_written(&mut self, name: &str, to: &str) {
        let Some(&fp) = self.directory.bound_to(name) else { return };
        if self.letter_store().is_none() || self.letters.counts.notes >= WRITTEN_UNDER_WAY {
            return;
        }
        let owner = Owner { name: name.to_owned(), fp };
        let _ = self.ask(UnderWay::Note, LetterAsk::Wrote { owner, to: to.to_owned() });
    }

    /// The user of `id` as the store knows it; an error where no letters are kept.
    pub(super) fn letter_owner(&mut self, id: Token) -> Result<Owner, Fault> {
        if self.letter_store().is_none() {
            return Err(Fault::new(ErrorCode::NoLetterbox, "this relay keeps no letters"));
        }
        let name = self.peers.user(id).map(|user| user.name.as_str());
        let owner = name.and_then(|name| {
            let fp = *self.directory.bound_to(name)?;
            Some(Owner { name: name.to_owned(), fp })
        });
        owner.ok_or_else(|| Fault::new(ErrorCode::NoLetterbox, NAME_RELEASED))
    }

    /// Asks the store, and returns the ticket; an error where its queue is full.
    pub(super) fn ask(&mut self, what: UnderWay, ask: LetterAsk) -> Result<u64, Fault> {
        let ticket = self.letters.begin(what);
        if self.letter_store().is_some_and(|store| store.ask(ticket, ask).is_ok()) {
            return Ok(ticket);
        }
        if let Some(what) = self.letters.end(ticket) {
            self.give_back(&what);
        }
        Err(too_much_under_way())
    }

    /// What was not kept does not count for its address.
    fn give_back(&mut self, what: &UnderWay) {
        let UnderWay::Letter(letter) = what else { return };
        if letter.origin != Origin::EXEMPT {
            let [bucket] = self.letters.addresses.of(letter.origin, self.log.now());
            bucket.give_back(ADDRESS_RATE, address_parts(letter.bytes));
        }
    }

    /// Does what the store's answers ask for; called at the end of each tick.
    pub(super) fn settle_letters(&mut self, cx: &mut Context) {
        let mut failure = None;
        while let Some((ticket, answer)) = self.next_letter_answer() {
            let Some(what) = self.letters.end(ticket) else { continue };
            let fault = match (what, answer) {
                (UnderWay::Delivery { to }, LetterAnswer::Delivered(delivered)) => {
                    self.delivered(cx, to, ticket, delivered)
                }
                (UnderWay::Letter(letter), LetterAnswer::Kept(outcome)) => {
                    self.kept(cx, letter, outcome)
                }
                (UnderWay::Key { from }, LetterAnswer::Published(outcome)) => match outcome {
                    Ok(waiting) => {
                        self.answer_user(cx, from, &Reply::Letterbox { waiting });
                        None
                    }
                    Err(fault) => self.refuse_kept(cx, from, fault, None),
                },
                (UnderWay::Find { from, id, target, letters }, LetterAnswer::Found(found)) => {
                    let found = found.map(|known| known?.told(letters));
                    self.found(cx, from, (id, &target), found)
                }
                _ => None,
            };
            failure = failure.or(fault);
        }
        if let Some(detail) = failure {
            self.counters.letters_failed += 1;
            self.log.tell(&Event::LettersFailed { detail: &detail });
        }
        // A relay of a cluster may have old letters in its own store too.
        let letters = self.letter_store().map_or(0, LetterStore::take_expired)
            + self.store.letters().map_or(0, LetterStore::take_expired);
        if letters > 0 {
            self.counters.letters_expired += letters;
            self.log.tell(&Event::LettersExpired { letters });
        }
        self.deliver(cx);
    }

    /// The next answer, of the engine of a cluster or of the relay's own store.
    fn next_letter_answer(&mut self) -> Option<(u64, LetterAnswer)> {
        let answer = self.letter_store().and_then(LetterStore::next_letter_answer);
        answer.or_else(|| self.store.letters().and_then(LetterStore::next_letter_answer))
    }

    /// A letter was kept, or not. Returns what went wrong with the disk.
    fn kept(
        &mut self,
        cx: &mut Context,
        letter: LetterUnderWay,
        outcome: Result<(), LetterFault>,
    ) -> Option<String> {
        if let Err(fault) = outcome {
            let (id, to, from) = (letter.id.clone(), letter.to.clone(), letter.from);
            self.give_back(&UnderWay::Letter(letter));
            return self.refuse_kept(cx, from, fault, Some((&id, &to)));
        }
        let LetterUnderWay { from, name, id, to, kind, bytes, .. } = letter;
        self.counters.letters_stored += 1;
        self.log.tell(&Event::LetterStored { from: name.as_str(), to: &to, bytes });
        if let Some(holder) = self.directory.holder(&to, &self.peers) {
            self.letters.takers.wake(holder, kind);
        }
        self.answer_user(cx, from, &Reply::Stored { id: id.into(), to: to.into() });
        None
    }

    fn refuse_kept(
        &mut self,
        cx: &mut Context,
        from: Token,
        fault: LetterFault,
        about: Option<(&str, &str)>,
    ) -> Option<String> {
        let (code, detail, failure) = match fault {
            LetterFault::Refused(code, detail) => (code, detail, None),
            LetterFault::Failed(failure) => {
                (ErrorCode::StoreFailed, NOT_KEPT.into(), Some(failure))
            }
        };
        let (id, to) = about.unzip();
        self.refuse(cx, from, &Refusal::new(code, detail).about(id, to, None));
        failure
    }

    /// Answers `get_pubkey` with what the store knows, and with who is there now.
    fn found(
        &mut self,
        cx: &mut Context,
        from: Token,
        (id, target): (Option<String>, &str),
        found: Result<Option<KnownKeys>, String>,
    ) -> Option<String> {
        let (known, failure) = match found {
            Ok(known) => (known, None),
            Err(failure) => (None, Some(failure)),
        };
        if let Err(Fault { mut code, mut detail, .. }) =
            self.look_up(cx, from, target, known.as_ref())
        {
            if failure.is_some() {
                (code, detail) = (ErrorCode::StoreFailed, "the relay cannot look it up now".into());
            }
            let refusal = Refusal::new(code, detail);
            self.refuse(cx, from, &refusal.about(id.as_deref(), None, Some(target)));
        }
        failure
    }

    /// Answers who may have left meanwhile.
    fn answer_user(&mut self, cx: &mut Context, to: Token, reply: &Reply) {
        if self.peers.user(to).is_some() {
            self.answer(cx, to, &reply.encode());
        }
    }
}

const NOT_KEPT: &str = "the relay's disk did not take it: send it again later";

fn too_much_under_way() -> Fault {
    let detail = "too much is on its way to the relay's disk: send it again in a second";
    Fault::new(ErrorCode::RateLimited, detail)
}

fn address_parts(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX).div_ceil(ADDRESS_PART)
}

/// What the relay checks of a letter key; whoever seals to it checks its signature.
fn check_letter_key_form(key: &LetterKey) -> Result<(), Fault> {
    let lifetime = key.expires.saturating_sub(key.created);
    if lifetime == 0 || u128::from(lifetime) > LETTER_KEY_LIFETIME.as_millis() {
        let detail = "a letter key expires within 90 days of its creation";
        return Err(Fault::new(ErrorCode::BadPrekey, detail));
    }
    if key.signature.is_empty() {
        return Err(Fault::new(ErrorCode::BadPrekey, "the signature is empty"));
    }
    Ok(())
}
