//! One user's side of the protocol (`docs/protocol.md`, sections 2 and 4 to 6): identity, trust,
//! conversations.
//!
//! Pure: no descriptors, no clock, no randomness, no files but those handed in as [`Parts`]. Bytes
//! and time come in from the loop; what a person or a script is to see goes out as [`Event`]s, and
//! a view decides how they look.
//!
//! ```text
//!   loop ──▶ Client ──▶ link ─────────▶ registration            who are we, and who is the relay
//!              │        (the connection)
//!              ▼
//!           incoming ──▶ peers ──▶ peer ─┬─ contact ── trust, pins    whose key is it
//!         (one frame)                    ├─ lookup                    get_pubkey
//!                                        ├─ sending ── session, posting, confirming, texts,
//!                                        │             unanswered
//!                                        └─ receiving ── waiting, seen
//!          letterbox ── letter_keys, letter_reading, held            what waited for us
//!           core: what all of them share; events and frames are put there, and what concerns
//!                 letters is written down (book, letter_book, letter_file, letter_memory)
//! ```
//!
//! No part of a conversation calls the loop: it queues its frames in the core, and they leave in
//! one write at the end of the tick ([`Client::end_of_tick`]). Nothing that the relay says is
//! believed without a signature: at most it makes us ask for a key (`lookup`).
//!
//! To follow one message out: [`Client::say`], `Peer::say`, `Peers::pump`, `Sending::pump`. To
//! follow one in: [`Client::received`], `incoming.rs`, `Peer::frame`, `Receiving::message`,
//! [`Client::next_event`], [`Client::shown`].

mod answers;
mod book;
mod channel;
mod clocks;
mod confirming;
mod contact;
mod core;
mod event;
mod handler;
mod held;
mod incoming;
mod letter_book;
mod letter_file;
mod letter_keys;
mod letter_memory;
mod letter_reading;
mod letter_relays;
mod letter_tables;
mod letterbox;
mod link;
mod lookup;
mod marks;
mod peer;
mod peers;
mod pin_store;
mod pins;
mod posting;
mod prekeys;
mod receiving;
mod registration;
mod roster;
mod seen;
mod sending;
mod session;
mod settings;
mod texts;
mod tokens;
mod trust;
mod unanswered;
mod waiting;
mod warnings;

use std::collections::VecDeque;

use self::book::{After, Book};
use self::clocks::earliest;
use self::core::{ClientCore, WaitingBytes};
use self::letter_book::Change;
use self::letter_keys::LetterKeys;
use self::letterbox::Letterbox;
use self::link::Link;
use self::peers::Peers;
use self::prekeys::Prekeys;
use self::registration::Registration;
use self::roster::Roster;
use self::tokens::Tokens;
use self::warnings::Warnings;
use crate::crypto::{Mid, safety_number};
use crate::limits::{
    LEAVE_TIMEOUT, LETTER_AGE, LETTER_CHECKS, MAX_FRAME, MAX_TEXT, PINS_INTERVAL, UNCONFIRMED_BYTES,
};
use crate::reactor::{Context, Handler, Time, Timer, Token};
use crate::tokens::Bucket;
use crate::wire::{Fingerprint, TakeMode, check_name_v2, compose};

pub use answers::{NotTrusted, PendingCounts, Refused};
pub use channel::{Channel, MakeEngine};
use event::LetterReceipt;
pub use event::{Caution, Ending, Event, Failure, Loss, Progress, Receipt, Standing, Way};
pub use handler::ClientUser;
pub use held::why_held;
pub use letter_book::{
    Change as LetterChange, KeptKey, KeptLetters, KeptPeer, LetterBook, OwedReceipt, ParkedLetter,
    UnusableLetters, WaitingLetter,
};
pub use letter_file::{AtRelay, FileLetters};
pub use letter_memory::MemoryLetters;
pub use marks::Mark;
pub use pin_store::FilePins;
pub use pins::{MemoryPins, Pin, PinBook, PinFile, Pins};
pub use settings::{Parts, Resolver, Settings};
pub use trust::{PeerPin, RelayFingerprint, RelayPin, Trust};

/// One user's client: a [`Handler`] for the tokens that it [`owns`](Self::owns), its timer, and the
/// end of each tick. Who runs it takes its events ([`next_event`](Self::next_event)); where it has
/// a loop of its own, see [`ClientUser`].
pub struct Client {
    core: ClientCore,
    link: Link,
    channel: Channel,
    registration: Registration,
    peers: Peers,
    /// What is taken out of our letterbox.
    take: Option<TakeMode>,
    letterbox: Letterbox,
    roster: Roster,
    timer: Timer,
    /// Whether the addressees of our letters are still who they were was asked.
    has_checked_letters: bool,
    /// From when on the next call looks at the trust file again.
    pins_due: Time,
    /// We are leaving: once the last receipts have left, and at this instant at the latest.
    leaving: Option<Time>,
}

/// What is written down of letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WriteWhat {
    WhatIsDue,
    Everything,
}

/// What was kept of letters: our letterbox with its keys, and the receipts that peers are owed.
fn letters(
    core: &mut ClientCore,
    peers: &mut Peers,
    take: Option<TakeMode>,
    kept: Result<KeptLetters, String>,
) -> Letterbox {
    let (kept, take) = match kept {
        Ok(kept) => (kept, take),
        Err(why) => {
            let detail = format!("no letters are taken: {why}");
            core.warn("", Caution::LettersFile, detail);
            (KeptLetters::default(), None)
        }
    };
    let (keys, damaged) = LetterKeys::open(core.vault.as_ref(), &kept.keys);
    if damaged > 0 {
        let detail = format!(
            "{damaged} letter keys in letters.sqlite do not open (it is damaged, or of another \
             identity): letters that are sealed to them are lost"
        );
        core.warn("", Caution::LettersFile, detail);
    }
    let age = u64::try_from(LETTER_AGE.as_millis()).unwrap_or(u64::MAX);
    let before = core.wall_ms().saturating_sub(age);
    for OwedReceipt { to, mid, since } in kept.owed {
        if since < before {
            core.book.note(Change::Paid { to, mids: vec![mid] });
        } else {
            peers.meet(&to).sending.owe(mid);
        }
    }
    Letterbox::new(core, take, keys, kept.parked)
}

impl Client {
    /// A client that has done nothing yet. What is wrong with the files of pins becomes warnings;
    /// while a file cannot be read and written, nobody in it is trusted.
    pub fn new(settings: Settings, mut parts: Parts) -> Self {
        let Settings { name, relay, roster, strict, every_warning, keys, timer, .. } = settings;
        let (waits_for_absent, take) = (settings.waits_for_absent, settings.letterbox);
        debug_assert!(check_name_v2(&name).is_ok(), "checked where it was read");
        let vault = parts.vault;
        let mut core = ClientCore {
            fp: vault.public().fingerprint(),
            prekeys: Prekeys::new(vault.as_ref(), &name, (parts.wall)()),
            name,
            strict,
            waits_for_absent,
            keys,
            vault,
            wall: parts.wall,
            now: Time::default(),
            peers: PinBook::new(parts.peers),
            marks: PinBook::new(parts.marks),
            book: Book::new(parts.letters),
            warnings: Warnings::new(every_warning),
            tokens: Tokens::default(),
            events: VecDeque::new(),
            outgoing: Vec::new(),
            max_frame: MAX_FRAME,
            next_request: 0,
            waiting: WaitingBytes::default(),
            stranger_lookups: Bucket::default(),
            has_forgotten: false,
            forgot_at_ms: 0,
            unanswered: 0,
            unconfirmed_bytes: 0,
        };
        core.refresh_pins();
        let peers = Peers::default();
        let (keys, _) = LetterKeys::open(core.vault.as_ref(), &[]);
        let letterbox = Letterbox::new(&mut core, None, keys, Vec::new());
        Self {
            pins_due: Time::default(),
            core,
            link: Link::new(relay.clone(), parts.resolve),
            registration: Registration::new(
                relay,
                roster,
                PinBook::new(parts.relays),
                parts.channel.is_bound(),
            ),
            channel: parts.channel,
            peers,
            take,
            letterbox,
            roster: Roster::default(),
            timer,
            has_checked_letters: false,
            leaving: None,
        }
    }

    /// Connects, and from now on connects again when the connection is lost. Call it once.
    pub fn start(&mut self, cx: &mut Context) {
        self.core.now = cx.now();
        self.renew_prekey(); // sets its clock
        match self.channel.check(&mut self.core, self.registration.relay()) {
            Ok(()) => self.link.connect(cx, &mut self.core),
            Err((code, detail)) => self.link.finish(cx, &mut self.core, code, detail),
        }
        self.set_timer(cx);
    }

    /// Closes, once the receipts for what was shown have left; `Closed` with `left` follows. Texts
    /// that are unconfirmed are not waited for.
    pub fn leave(&mut self, cx: &mut Context) {
        self.leaving.get_or_insert(cx.now() + LEAVE_TIMEOUT);
        self.end_of_tick(cx);
    }

    /// Our own name.
    pub fn name(&self) -> &str {
        &self.core.name
    }

    /// The next event; `None`: no more for now. Ask after each call.
    pub fn next_event(&mut self) -> Option<Event> {
        self.core.events.pop_front()
    }

    // --- Messages ---

    /// Takes a text for `to`: it is sent, and sent again, until it is confirmed or has failed.
    /// Returns the id that events name it by: `id`, or one that is made up. It leaves at the end of
    /// the tick.
    pub fn say(&mut self, to: &str, text: &str, id: Option<String>) -> Result<String, Refused> {
        if check_name_v2(to).is_err() {
            return Err(Refused::NotAName);
        }
        if to == self.core.name {
            return Err(Refused::Oneself);
        }
        if text.len() > MAX_TEXT {
            return Err(Refused::TooLong);
        }
        if !self.ready_for_more(to) {
            return Err(Refused::Pause);
        }
        let id = id.unwrap_or_else(|| self.core.number().to_string());
        self.core.tell(Event::Queued { id: id.clone(), to: to.to_owned() });
        self.peers.meet(to).say(&mut self.core, id.clone(), text);
        Ok(id)
    }

    /// The user waits no longer: all texts fail that are neither confirmed nor stored.
    pub fn give_up(&mut self) {
        let Self { peers, core, .. } = self;
        peers.for_each(|peer| peer.sending.give_up(core, &peer.contact.name));
    }

    /// Whether [`say`](Self::say) takes a text for `to` now; ask again at the end of each tick.
    pub fn ready_for_more(&self, to: &str) -> bool {
        let has_room = self.peers.get(to).is_none_or(|peer| peer.sending.has_room());
        has_room && self.core.unconfirmed_bytes < UNCONFIRMED_BYTES
    }

    /// A message was written out: its sender is told so at the end of this tick.
    pub fn shown(&mut self, receipt: Receipt) {
        let Receipt { peer: name, mid, letter } = receipt;
        let peer = self.peers.known(&name);
        if let Some(letter) = letter {
            if let Some(peer) = peer {
                peer.receiving.shown(&mid);
            }
            return self.letter_shown(&name, mid, &letter);
        }
        let Some(peer) = peer else { return };
        peer.shown(mid);
        if let Some((_, fp)) = peer.contact.key() {
            self.core.book.note_text(fp, mid, self.core.now);
        }
    }

    /// That a letter was shown is written down, and then it is acknowledged and confirmed.
    fn letter_shown(&mut self, from: &str, mid: Mid, letter: &LetterReceipt) {
        let LetterReceipt { number, fp, created_ms } = *letter;
        let now = self.core.wall_ms();
        let book = &mut self.core.book;
        book.note(Change::Seen { fp, mid, created: Some(created_ms), now });
        match number {
            Some(number) => book.then(After::Acknowledge(number)),
            None => book.note(Change::Unpark { from: from.to_owned(), mid }),
        }
        self.core.owe(from, mid);
    }

    /// Whether letters may still come that have waited for us.
    pub fn is_emptying_letterbox(&self) -> bool {
        self.letterbox.is_being_emptied()
    }

    /// How many letters of peers whom we know are not shown, because the key that they are sealed
    /// under is not accepted: another one is pinned, or we are strict and it was never compared.
    pub fn held_letters(&self) -> usize {
        self.letterbox.untrusted(&self.core)
    }

    /// Whether what is kept of letters cannot be used: it could not be read at the start, or the
    /// last attempt to read or write it has failed.
    pub fn fails_to_keep_letters(&self) -> bool {
        self.core.book.is_failing()
    }

    /// What is still on its way, over all peers.
    pub fn pending_counts(&self) -> PendingCounts {
        self.peers.pending_counts(self.link.is_up())
    }

    /// Who is connected, in order; `None` as long as the relay has not told, or was not asked to.
    pub fn users(&self) -> Option<impl Iterator<Item = &str>> {
        self.roster.is_known().then(|| self.roster.users())
    }

    // --- Trust ---

    /// The pinned key of `name`.
    pub fn pin(&self, name: &str) -> Option<&PeerPin> {
        self.core.peers.file().find(name)
    }

    /// The key of `name` that was refused last because another one is pinned.
    pub fn refused_key(&self, name: &str) -> Option<Fingerprint> {
        self.peers.get(name)?.contact.refused()
    }

    /// The digits that `name` and we compare over another channel; `None` without a pinned key.
    pub fn safety_number(&self, name: &str) -> Option<String> {
        let pin = self.pin(name)?;
        Some(safety_number(&self.core.name, &self.core.fp, name, &pin.fp))
    }

    /// Accepts the key `fp` for `name` in the place of whatever is pinned; without `fp`, the
    /// [refused](Self::refused_key) one. Returns the key that is pinned now.
    pub fn trust(
        &mut self,
        name: &str,
        fp: Option<Fingerprint>,
    ) -> Result<Fingerprint, NotTrusted> {
        if check_name_v2(name).is_err() {
            return Err(NotTrusted::NothingToTrust);
        }
        let fp = fp.or_else(|| self.refused_key(name)).ok_or(NotTrusted::NothingToTrust)?;
        let now_ms = self.core.wall_ms();
        self.core.forget_kem(&fp).map_err(NotTrusted::File)?;
        let accepted = self.core.peers.change(|file| file.accept(name, fp, now_ms));
        accepted.map_err(NotTrusted::File)?;
        self.review_pins();
        Ok(fp)
    }

    /// Asks the relay for the key that `name` has now;
    /// [`KeyAnswered`](Progress::KeyAnswered) tells when it is known whether it is another than the
    /// pinned one ([`refused_key`](Self::refused_key)). False: that is no name.
    pub fn ask_key(&mut self, name: &str) -> bool {
        let is_name = check_name_v2(name).is_ok();
        if is_name {
            let now = self.core.now;
            self.peers.meet(name).ask_for_user(now);
        }
        is_name
    }

    /// Looks whether another process has changed the trust file. Otherwise this is done once a
    /// second.
    pub fn look_at_pins(&mut self) {
        self.pins_due = self.core.now + PINS_INTERVAL;
        if self.core.refresh_pins() {
            self.review_pins();
        }
    }

    /// Marks the pinned key of `name` as compared.
    pub fn verify(&mut self, name: &str) -> Result<Fingerprint, NotTrusted> {
        let fp = self.pin(name).ok_or(NotTrusted::NotPinned)?.fp;
        let marked = self.core.peers.change(|file| file.mark_verified(name, fp));
        if !marked.map_err(NotTrusted::File)? {
            return Err(NotTrusted::NotPinned);
        }
        self.review_pins();
        Ok(fp)
    }

    fn review_pins(&mut self) {
        let Self { peers, core, letterbox, .. } = self;
        peers.for_each(|peer| peer.review(core));
        letterbox.unpark(core);
    }

    // --- What the loop tells ---

    /// Whether what the loop tells about `id` is for the client.
    pub fn owns(&self, id: Token) -> bool {
        self.link.token() == Some(id)
    }

    /// The [`Resolver`] may have an answer.
    pub fn looked_up(&mut self, cx: &mut Context) {
        self.core.now = cx.now();
        self.link.looked_up(cx, &mut self.core);
    }

    /// Stops reading from the relay (`true`), because standard output is behind, or goes on. It
    /// takes effect once we are registered, and may be called at any time.
    pub fn hold(&mut self, cx: &mut Context, is_held: bool) {
        self.link.hold(cx, is_held);
    }

    // --- Within ---

    /// Notes the time, and now and then whether another process has changed the trust file
    /// (`sealwax keys trust`): before anything is sent or taken.
    fn look_around(&mut self, now: Time) {
        self.core.now = now;
        if now >= self.pins_due {
            self.look_at_pins();
        }
        // Checked here by the wall clock, because timers stand still while the machine sleeps.
        self.renew_prekey();
    }

    fn registered(&mut self, cx: &mut Context, relay: RelayPin) {
        self.link.registered(cx, self.core.now);
        self.open_letters(relay);
        let (name, fp) = (self.core.name.clone(), self.core.fp);
        self.core.tell(Event::Registered { name, fp });
        self.give_letters_up();
        self.letterbox.publish(&mut self.core);
        self.peers.for_each(|_| {}); // marks all: each peer may have something to send
    }

    /// Now it is known at which relay we are, so what is kept of it is read.
    fn open_letters(&mut self, relay: RelayPin) {
        if self.core.book.is_open() {
            return; // this run was there before
        }
        let now_ms = self.core.wall_ms();
        let kept = self.core.book.visit(relay, now_ms);
        self.letterbox = letters(&mut self.core, &mut self.peers, self.take, kept);
    }

    fn roster_changed(&mut self, events: Vec<Event>) {
        for event in events {
            if let Event::Users { users } | Event::Joined { users } = &event {
                for user in users {
                    if let Some(peer) = self.peers.known(user) {
                        peer.joined(self.core.now);
                    }
                }
            }
            self.core.tell(event);
        }
    }

    fn renew_prekey(&mut self) {
        let ClientCore { prekeys, vault, wall, name, now, .. } = &mut self.core;
        if prekeys.renew(vault.as_ref(), name, *now, wall()) && self.link.is_up() {
            let frame = compose::prekey(self.core.prekeys.published());
            self.core.post(&frame);
        }
    }

    fn flush(&mut self, cx: &mut Context) {
        let is_up = self.link.is_up();
        if self.core.has_forgotten {
            self.review_pins();
            self.core.has_forgotten = false;
        }
        if is_up {
            self.letterbox.read_letters(&mut self.core, &mut self.peers);
        }
        self.write_letters(WriteWhat::WhatIsDue);
        self.peers.pump(&mut self.core, is_up);
        if is_up {
            self.link.send(cx, &self.core.outgoing);
        }
        self.core.outgoing.clear();
    }

    /// Writes down what concerns letters, and then does what had to wait for that.
    fn write_letters(&mut self, what: WriteWhat) {
        let (now, now_ms) = (self.core.now, self.core.wall_ms());
        let written = match what {
            WriteWhat::WhatIsDue => self.core.book.write(now, now_ms),
            WriteWhat::Everything => self.core.book.write_all(now, now_ms),
        };
        let after = written.unwrap_or_else(|why| {
            let detail = format!("letters cannot be written down, and come again: {why}");
            self.core.warn("", Caution::LettersFile, detail);
            Vec::new()
        });
        for after in after {
            match after {
                // What is not acknowledged comes again.
                After::Acknowledge(number) if self.link.is_up() => {
                    self.core.post(&compose::ack(number));
                    self.letterbox.acknowledged(number);
                }
                After::Acknowledge(_) => {}
                After::Confirm { to, mid } => self.peers.meet(&to).sending.owe(mid),
            }
        }
    }

    /// Asks, once in a run, whether those who have not confirmed our letters are still who they
    /// were. Only of a relay that keeps letters: another one knows no user who is away.
    fn check_letters(&mut self) {
        if std::mem::replace(&mut self.has_checked_letters, true) {
            return;
        }
        for to in self.core.book.waits_for_longest(LETTER_CHECKS) {
            self.peers.meet(&to).check_letters(self.core.now);
        }
    }

    /// Letters that were not confirmed for too long are told, and waited for no more.
    fn give_letters_up(&mut self) {
        let age = u64::try_from(LETTER_AGE.as_millis()).unwrap_or(u64::MAX);
        let before = self.core.wall_ms().saturating_sub(age);
        for letter in self.core.book.give_up_before(before) {
            let WaitingLetter { to, mid, id, stored } = letter;
            if let Some(peer) = self.peers.known(&to) {
                peer.sending.texts.take(&mid); // what is written from now on does not wait for it
            }
            self.core.tell(Event::Unconfirmed { id, to, stored_at: stored, code: Loss::Age });
        }
    }

    /// Whether receipts for shown messages are still to be sent, and can be.
    fn owes_receipts(&self) -> bool {
        let pending = self.pending_counts().receipts > 0 || self.core.book.has_more_to_do();
        self.link.is_up() && pending
    }

    fn set_timer(&mut self, cx: &mut Context) {
        let letterbox = self.letterbox.due().filter(|_| self.link.is_up());
        let letters = earliest([self.core.book.due(), letterbox]);
        let own = [self.link.due(), self.core.prekeys.due(), self.leaving];
        let due = own.into_iter().chain([self.peers.due(), letters]);
        cx.set_timer(self.timer, earliest(due));
    }
}
