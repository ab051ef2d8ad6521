//! What one letter says, once its sender's key is known: the checks of `letterbox.rs` that concern
//! its sender.

use super::core::ClientCore;
use super::letter_book::{Change, OwedReceipt};
use super::letter_keys::LetterKeys;
use super::letterbox::LooseLetter;
use super::peer::Peer;
use super::seen::Sight;
use super::{Caution, Event, LetterReceipt, Receipt, Way};
use crate::crypto::{Body, Letter, LetterFault, Names};
use crate::limits::{CONFIRM_AGAIN, SEEN_LETTERS};
use crate::tokens::Bucket;
use crate::wire::LetterKind;

/// Why a letter can never be opened whose letter key we do not have. Its file was lost, or the key
/// was erased when its time was over.
pub(super) const NO_LETTER_KEY: &str = "the letter key that it is sealed to is not in \
                                        letters.sqlite any more (the file was lost, or the key \
                                        erased after its time), so nobody can open it; its sender \
                                        is told `unconfirmed` 15 days after leaving it";

/// What came of reading a letter.
pub(super) enum Reading {
    /// It was told, or its receipts were taken.
    Read,
    /// It was shown before, and is confirmed again.
    Again,
    /// Something is missing that may come: its sender's key, or room on our disk.
    Later,
    /// Its sender's key is not accepted.
    Unfit(Caution, String),
    /// It failed for good.
    Bad(Caution, String),
}

impl Peer {
    /// The tokens of the letters that it may make us open.
    pub(super) fn letter_bucket(&mut self) -> &mut Bucket {
        &mut self.letter_bucket
    }

    /// Reads a letter of the peer.
    pub(super) fn read(
        &mut self,
        core: &mut ClientCore,
        keys: &LetterKeys,
        letter: &LooseLetter,
    ) -> Reading {
        self.touch(core.now);
        let Some((_, fp)) = self.contact.key() else { return self.without_key(core) };
        self.has_letters = false;
        if fp != letter.fp {
            self.lookup.hint(core.now); // if the relay has that key too, the user has to be told
            let why = "it is sealed under another key than the one kept";
            return Reading::Unfit(Caution::WrongSender, why.to_owned());
        }
        let known = if letter.kind == LetterKind::Text { self.known(core, letter) } else { None };
        known.unwrap_or_else(|| self.open(core, keys, letter))
    }

    fn without_key(&mut self, core: &mut ClientCore) -> Reading {
        if self.contact.refused().is_some() {
            return Reading::Unfit(Caution::KeyChanged, "its key is not the one kept".to_owned());
        }
        if std::mem::take(&mut self.is_unknown) {
            self.has_letters = false;
            let why = "the relay knows no such user any more".to_owned();
            return Reading::Bad(Caution::NoKey, why);
        }
        if std::mem::replace(&mut self.has_letters, true) {
            self.lookup.hint(core.now);
        } else {
            self.lookup.need_for_peer(core.now);
        }
        Reading::Later
    }

    /// Whether the text of a letter came before.
    fn known(&mut self, core: &mut ClientCore, letter: &LooseLetter) -> Option<Reading> {
        let sight = self.receiving.sight(&letter.mid);
        if sight == Some(Sight::Told) {
            return Some(Reading::Later);
        }
        let kept = match core.book.peer(&letter.fp) {
            Ok(kept) => kept,
            Err(why) => {
                core.warn("", Caution::LettersFile, format!("letters cannot be looked up: {why}"));
                return Some(Reading::Later);
            }
        };
        if sight == Some(Sight::Shown) || kept.seen.contains(&letter.mid) {
            self.confirm_again(core, letter);
            return Some(Reading::Again);
        }
        (letter.created_ms <= kept.floor).then(|| {
            let why = "it is older than what is still known of its sender";
            Reading::Bad(Caution::StaleLetter, why.to_owned())
        })
    }

    /// The receipt was lost. Each is sent again once in a while, so that nobody has us send without
    /// end.
    fn confirm_again(&mut self, core: &mut ClientCore, letter: &LooseLetter) {
        self.confirms_again.retain(|_, until| *until > core.now);
        if self.confirms_again.len() < SEEN_LETTERS
            && !self.confirms_again.contains_key(&letter.mid)
        {
            self.confirms_again.insert(letter.mid, core.now + CONFIRM_AGAIN);
            core.owe(&letter.from, letter.mid);
        }
    }

    fn open(&mut self, core: &mut ClientCore, keys: &LetterKeys, letter: &LooseLetter) -> Reading {
        let opened = self.verify_and_open(core, keys, letter);
        let body = match opened {
            Ok(body) => body,
            Err(reading) => return reading,
        };
        match body {
            Body::Receipt(mids) => self.confirmed(core, &mids),
            Body::Text { mid, text } => {
                let Some(trust) = self.contact.trust(core) else { return Reading::Later };
                self.receiving.told(mid);
                let (number, created_ms) = (letter.number, letter.created_ms);
                let about = LetterReceipt { number, fp: letter.fp, created_ms };
                let from = letter.from.clone();
                let receipt = Receipt { peer: from.clone(), mid, letter: Some(about) };
                let way = Way::Letter { at: created_ms };
                core.tell(Event::Message { from, text, way, trust, receipt });
            }
        }
        Reading::Read
    }

    /// The signature first; then whether the key is accepted; then what is sealed.
    fn verify_and_open(
        &mut self,
        core: &mut ClientCore,
        keys: &LetterKeys,
        letter: &LooseLetter,
    ) -> Result<Body, Reading> {
        let sealed = Letter::parse(&letter.content).map_err(bad)?;
        let own = keys.find(sealed.key_id()).ok_or_else(|| bad(LetterFault::Key))?;
        let verified = {
            let Some((key, _)) = self.contact.key() else { return Err(Reading::Later) };
            let names = Names { from: &letter.from, to: &core.name };
            sealed.verify(core.vault.as_ref(), key, names, own).map_err(bad)?
        };
        if let Err(unfit) = self.contact.admit(core, false) {
            if unfit.caution == Caution::TrustFile {
                core.warn(&letter.from, unfit.caution, unfit.detail);
                return Err(Reading::Later);
            }
            return Err(Reading::Unfit(unfit.caution, unfit.detail));
        }
        verified.open(core.vault.as_ref(), own).map_err(bad)
    }
}

impl ClientCore {
    /// The peer is to be told that its text was shown, as soon as that is written down.
    pub(super) fn owe(&mut self, to: &str, mid: crate::crypto::Mid) {
        let since = self.wall_ms();
        self.book.note(Change::Owe(OwedReceipt { to: to.to_owned(), mid, since }));
        self.book.then(super::book::After::Confirm { to: to.to_owned(), mid });
    }
}

fn bad(fault: LetterFault) -> Reading {
    let (code, why) = match fault {
        LetterFault::Form => (Caution::Malformed, "its form is not known to this version"),
        LetterFault::Recipient => (Caution::WrongRecipient, "it is meant for another key"),
        LetterFault::Sender => (Caution::WrongSender, "it names another key than the one kept"),
        LetterFault::Key => (Caution::SessionRefused, NO_LETTER_KEY),
        LetterFault::Signature => (Caution::BadSignature, "its signature does not hold"),
        LetterFault::Agreement => (Caution::SessionRefused, "its key is weak"),
        LetterFault::Tag => (Caution::BadMessage, "what it seals does not open"),
        LetterFault::Body(_) => (Caution::BadContent, "what it seals is malformed"),
    };
    Reading::Bad(code, why.to_owned())
}
