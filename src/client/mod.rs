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
//!                                        ├─ sending ── session, texts, unanswered
//!                                        └─ receiving ── waiting, seen
//!           core: what all of them share; events and frames are put there
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
mod channel;
mod clocks;
mod contact;
mod core;
mod event;
mod handler;
mod incoming;
mod letter_book;
mod letter_file;
mod link;
mod lookup;
mod peer;
mod peers;
mod pin_store;
mod pins;
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

use self::core::{ClientCore, WaitingBytes};
use self::link::Link;
use self::peers::Peers;
use self::prekeys::Prekeys;
use self::registration::Registration;
use self::roster::Roster;
use self::tokens::Tokens;
use self::warnings::Warnings;
use crate::crypto::safety_number;
use crate::limits::{LEAVE_TIMEOUT, MAX_FRAME, MAX_TEXT, PINS_INTERVAL, UNCONFIRMED_BYTES};
use crate::reactor::{Context, Handler, Time, Timer, Token};
use crate::tokens::Bucket;
use crate::wire::{Fingerprint, check_name_v2, compose};

pub use answers::{NotTrusted, PendingCounts, Refused};
pub use channel::{Channel, MakeEngine, RelayMark};
pub use event::{Caution, Ending, Event, Failure, Progress, Receipt, Standing};
pub use handler::ClientUser;
pub use letter_book::{
    Change, KeptKey, KeptLetters, KeptPeer, LetterBook, MemoryLetters, OwedReceipt, ParkedLetter,
    WaitingLetter,
};
pub use letter_file::FileLetters;
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
    roster: Roster,
    timer: Timer,
    /// From when on the next call looks at the trust file again.
    pins_due: Time,
    /// We are leaving: once the last receipts have left, and at this instant at the latest.
    leaving: Option<Time>,
}

impl Client {
    /// A client that has done nothing yet. What is wrong with the files of pins becomes warnings;
    /// while a file cannot be read and written, nobody in it is trusted.
    pub fn new(settings: Settings, mut parts: Parts) -> Self {
        let Settings { name, relay, roster, strict, waits_for_absent, every_warning, keys, timer } =
            settings;
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
            peers: Peers::default(),
            roster: Roster::default(),
            timer,
            leaving: None,
        }
    }

    /// Connects, and from now on connects again when the connection is lost. Call it once.
    pub fn start(&mut self, cx: &mut Context) {
        self.core.now = cx.now();
        self.renew_prekey(); // sets its clock
        match self.channel.check(&self.core, self.registration.relay()) {
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

    /// Waits no longer for those who are not connected: their texts fail.
    pub fn fail_absent(&mut self) {
        let Self { peers, core, .. } = self;
        peers.for_each(|peer| {
            if peer.sending.is_absent() {
                peer.sending.fail_absent(core, &peer.contact.name);
            }
        });
    }

    /// Whether [`say`](Self::say) takes a text for `to` now; ask again at the end of each tick.
    pub fn ready_for_more(&self, to: &str) -> bool {
        let has_room = self.peers.get(to).is_none_or(|peer| peer.sending.has_room());
        has_room && self.core.unconfirmed_bytes < UNCONFIRMED_BYTES
    }

    /// A message was written out: its sender is told so at the end of this tick.
    pub fn shown(&mut self, receipt: Receipt) {
        let Receipt { peer, mid } = receipt;
        if let Some(peer) = self.peers.known(&peer) {
            peer.shown(mid);
        }
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
        let Self { peers, core, .. } = self;
        peers.for_each(|peer| peer.review(core));
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

    fn registered(&mut self, cx: &mut Context) {
        self.link.registered(cx, self.core.now);
        let (name, fp) = (self.core.name.clone(), self.core.fp);
        self.core.tell(Event::Registered { name, fp });
        self.peers.for_each(|_| {}); // marks all: each peer may have something to send
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
        self.peers.pump(&mut self.core, is_up);
        if is_up {
            self.link.send(cx, &self.core.outgoing);
        }
        self.core.outgoing.clear();
    }

    /// Whether receipts for shown messages are still to be sent, and can be.
    fn owes_receipts(&self) -> bool {
        self.link.is_up() && self.pending_counts().receipts > 0
    }

    fn set_timer(&mut self, cx: &mut Context) {
        let due = [self.link.due(), self.core.prekeys.due(), self.peers.due(), self.leaving];
        cx.set_timer(self.timer, clocks::earliest(due));
    }
}
