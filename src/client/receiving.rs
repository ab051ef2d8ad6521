//! What one peer sends us: the sessions that it opens, and the messages in them.
//!
//! ```text
//!   none ──offer──▶ current ──newer offer──▶ previous ──SESSION_GRACE──▶ erased
//! ```
//!
//! An offer is checked from the cheapest check to the most expensive one, and its signature before
//! anything is decrypted: size and form, the recipient, the sender's key, whether it is new, our
//! prekey, the signature, a token, whether the sender is admitted, and only then RSA, X25519 and
//! ML-KEM.
//! The sender is not told why a check failed: there is a warning here, and nothing on the wire.

use std::time::Duration;

use super::contact::Contact;
use super::core::ClientCore;
use super::seen::{Seen, Sight};
use super::tokens::Share;
use super::{Caution, Event, Receipt, Way};
use crate::crypto::{
    Body, MessageFault, Mid, Names, OfferFault, Opened, PrekeyPair, ReceiveChain, SealedMessage,
    SessionOffer,
};
use crate::limits::{CLOCK_SKEW, SESSION_GRACE, WINDOW, WINDOW_FIRST};
use crate::reactor::Time;
use crate::tokens::Bucket;
use crate::wire::Fingerprint;

/// The receiving half of a conversation.
pub(super) struct Receiving {
    current: Option<ReceiveChain>,
    previous: Option<(ReceiveChain, Time)>,
    seen: Seen,
    /// What earlier runs have shown is in `seen`.
    has_read: bool,
    bucket: Bucket,
    /// The `created` of the last session taken: an older offer is a replay. Kept as long as we run,
    /// unless the pin is forgotten ([`Receiving::forget_wholly`]).
    mark: u64,
}

/// What a message was, if it was no text to be shown.
pub(super) enum Heard {
    /// The peer confirms these.
    Receipt(Vec<Mid>),
    /// A text that was shown came again: it is to be confirmed again.
    Again(Mid),
}

/// Why an offered session is refused.
type Reason = (Caution, String);

impl Receiving {
    pub(super) fn new() -> Self {
        Self {
            current: None,
            previous: None,
            seen: Seen::default(),
            has_read: false,
            bucket: Bucket::default(),
            mark: 0,
        }
    }

    /// Accepts the session that is offered under the key of `contact`, or warns why not.
    pub(super) fn offer(
        &mut self,
        core: &mut ClientCore,
        contact: &mut Contact,
        is_stranger: bool,
        offer: SessionOffer,
    ) -> Result<(), Caution> {
        let taken = self.take_offer(core, contact, is_stranger, offer);
        taken.map_err(|refusal| warn(core, &contact.name, refusal))
    }

    fn take_offer(
        &mut self,
        core: &mut ClientCore,
        contact: &mut Contact,
        is_stranger: bool,
        offer: SessionOffer,
    ) -> Result<(), Reason> {
        let Some((key, fp)) = contact.key() else {
            return Err((Caution::NoKey, "its key is not known".to_owned()));
        };
        if *offer.sender() != fp {
            return Err(refusal(OfferFault::Sender));
        }
        let (created, prekey_id) = (offer.created_ms(), offer.prekey_id());
        self.check_time(core, created)?;
        let names = Names { from: &contact.name, to: &core.name };
        let verified = own(core, prekey_id)
            .and_then(|prekey| offer.verify(core.vault.as_ref(), key, names, prekey))
            .map_err(refusal)?;
        let share = match (is_stranger, contact.trust(core)) {
            (false, _) => Share::Known,
            (true, Some(_)) => Share::Met,
            (true, None) => Share::New,
        };
        if !core.tokens.take(&mut self.bucket, share, core.now) {
            return Err((Caution::TooManySessions, "too many come at once".to_owned()));
        }
        contact.admit(core, false).map_err(|unfit| (unfit.caution, unfit.detail))?;
        self.remember(core, fp);
        let chain = own(core, prekey_id)
            .and_then(|prekey| verified.accept(core.vault.as_ref(), prekey))
            .map_err(refusal)?;
        self.mark = created;
        let until = core.now + SESSION_GRACE;
        self.previous = self.current.replace(chain).map(|replaced| (replaced, until));
        Ok(())
    }

    /// The peer confirmed texts of ours: its sessions were in our interest, and cost it no tokens.
    /// So a peer that starts anew for each text does not run out of them.
    pub(super) fn refill(&mut self) {
        self.bucket = Bucket::default();
    }

    fn check_time(&self, core: &mut ClientCore, created: u64) -> Result<(), Reason> {
        let mark = if self.has_mark() { self.mark } else { core.forgot_at_ms };
        if created <= mark {
            let detail = "it is not newer than the last one";
            return Err((Caution::StaleSession, detail.to_owned()));
        }
        let ahead = Duration::from_millis(created.saturating_sub(core.wall_ms()));
        if ahead > CLOCK_SKEW {
            let detail = "its clock is far ahead of ours";
            return Err((Caution::ClockSkew, detail.to_owned()));
        }
        Ok(())
    }

    /// Reads which texts of the peer were shown in earlier runs, once: one that it sends again in a
    /// session may have come as a letter.
    fn remember(&mut self, core: &mut ClientCore, fp: Fingerprint) {
        if std::mem::replace(&mut self.has_read, true) {
            return;
        }
        match core.book.peer(&fp) {
            Ok(kept) => self.seen.preload(kept.seen),
            Err(why) => {
                let detail = format!("which texts were shown before cannot be read: {why}");
                core.warn("", Caution::LettersFile, detail);
            }
        }
    }

    /// What is known of a text in this run.
    pub(super) fn sight(&self, mid: &Mid) -> Option<Sight> {
        self.seen.sight(mid)
    }

    /// The text of a letter was told.
    pub(super) fn told(&mut self, mid: Mid) {
        self.seen.see(mid);
    }

    /// Opens a message; a text that is new is told.
    pub(super) fn message(
        &mut self,
        core: &mut ClientCore,
        contact: &Contact,
        content: &str,
    ) -> Option<Heard> {
        let name = &contact.name;
        let opened = SealedMessage::parse(content).and_then(|message| self.open(core, message));
        let opened = match opened {
            Ok(opened) => opened,
            Err(fault) => {
                let (code, why) = fault_of(fault);
                core.warn(name, code, format!("a message of {name} is dropped: {why}"));
                return None;
            }
        };
        let from = || name.clone();
        if opened.missing > 0 {
            core.tell(Event::Gap { from: from(), missing: opened.missing });
        }
        match opened.body {
            Body::Receipt(mids) => Some(Heard::Receipt(mids)),
            Body::Text { mid, text } => {
                // Every session has a pinned key, unless the pin was forgotten a moment ago; then
                // the text will come again.
                let trust = contact.trust(core)?;
                match self.seen.see(mid) {
                    Sight::Shown => Some(Heard::Again(mid)),
                    Sight::Told => None,
                    Sight::First => {
                        let way = Way::Session { n: opened.n };
                        let receipt = Receipt { peer: from(), mid, letter: None };
                        core.tell(Event::Message { from: from(), text, way, trust, receipt });
                        None
                    }
                }
            }
        }
    }

    fn open(&mut self, core: &ClientCore, message: SealedMessage) -> Result<Opened, MessageFault> {
        self.expire(core.now);
        let previous = self.previous.as_mut().map(|(chain, _)| chain);
        let mut chains = self.current.as_mut().into_iter().chain(previous);
        match chains.find(|chain| chain.sid() == message.sid()) {
            Some(chain) => chain.open(message),
            None => Err(MessageFault::Session),
        }
    }

    /// A text was shown.
    pub(super) fn shown(&mut self, mid: &Mid) {
        self.seen.show(mid);
    }

    /// Erases what is over.
    pub(super) fn expire(&mut self, now: Time) {
        self.previous.take_if(|(_, until)| *until <= now);
    }

    /// When [`expire`](Self::expire) has something to do.
    pub(super) fn due(&self) -> Option<Time> {
        self.previous.as_ref().map(|&(_, until)| until)
    }

    /// The peer's key is not trusted any more.
    pub(super) fn close(&mut self) {
        (self.current, self.previous) = (None, None);
    }

    /// Whether a session was accepted in this run.
    pub(super) fn has_mark(&self) -> bool {
        self.mark > 0
    }

    /// Forgets all but the time of the last session, the bucket, and the ids of texts that the peer
    /// may send again: as many as it may have unconfirmed; of a stranger, as many as in a first
    /// window.
    pub(super) fn forget(&mut self, is_stranger: bool) {
        let mut seen = std::mem::take(&mut self.seen);
        seen.keep_last(if is_stranger { WINDOW_FIRST } else { WINDOW });
        *self = Self { mark: self.mark, bucket: self.bucket, seen, ..Self::new() };
    }

    /// Forgets also the time of the last session: the pin is gone, and [`ClientCore::forgot_at_ms`]
    /// takes its place.
    pub(super) fn forget_wholly(&mut self) {
        *self = Self { bucket: self.bucket, ..Self::new() };
    }
}

/// Reads what `name` offers, if it is meant for us; otherwise warns.
pub(super) fn read_offer(core: &mut ClientCore, name: &str, body: &str) -> Option<SessionOffer> {
    let offer = SessionOffer::parse(body).and_then(|offer| {
        if *offer.recipient() == core.fp { Ok(offer) } else { Err(OfferFault::Recipient) }
    });
    offer.map_err(|fault| warn(core, name, refusal(fault))).ok()
}

/// Our own prekey with this id.
fn own(core: &ClientCore, prekey_id: u32) -> Result<&PrekeyPair, OfferFault> {
    core.prekeys.find(prekey_id, core.now).ok_or(OfferFault::Prekey)
}

fn warn(core: &mut ClientCore, name: &str, (code, why): Reason) -> Caution {
    core.warn(name, code, format!("a session that {name} offers is refused: {why}"));
    code
}

fn refusal(fault: OfferFault) -> Reason {
    let (code, detail) = match fault {
        OfferFault::Form => (Caution::Malformed, "its form is not known to this version"),
        OfferFault::Recipient => (Caution::WrongRecipient, "it is meant for another key than ours"),
        OfferFault::Sender => (Caution::WrongSender, "it names another key than the one kept"),
        OfferFault::Signature => (Caution::BadSignature, "its signature does not hold"),
        OfferFault::Prekey => (Caution::SessionRefused, "our prekey that it names is gone"),
        OfferFault::Suite => (Caution::SessionRefused, "it does without our prekey's ML-KEM key"),
        OfferFault::Agreement => (Caution::SessionRefused, "its key is weak"),
    };
    (code, detail.to_owned())
}

fn fault_of(fault: MessageFault) -> (Caution, &'static str) {
    match fault {
        MessageFault::Form => (Caution::Malformed, "its form is not known to this version"),
        MessageFault::Session => (Caution::UnknownSession, "its session is not open"),
        MessageFault::Replay => (Caution::Replay, "it was seen before"),
        MessageFault::TooFarAhead => {
            (Caution::BadMessage, "too many messages before it are missing")
        }
        MessageFault::Tag => (Caution::BadMessage, "it was changed on its way"),
        MessageFault::Bucket | MessageFault::Padding => (Caution::BadContent, "wrongly padded"),
        MessageFault::Kind => (Caution::BadContent, "its kind is not known to this version"),
        MessageFault::Data => (Caution::BadContent, "it holds no text"),
    }
}
