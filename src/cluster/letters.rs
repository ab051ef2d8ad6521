//! Calls about letters, and what they answer (`docs/protocol.md`, section 10). Instants are
//! milliseconds since 1970, by the clock of the relay that asks.

use super::keys;
use super::place::Incarnation;
use super::resp::Value;
use super::script::{Call, Script, WrongAnswer, outcome};
use crate::wire::{ErrorCode, Fingerprint, KeyCount, LetterKey, LetterKind, TakeMode};

/// A user by its name, and the key that the name must be bound to.
#[derive(Clone, Copy, Debug)]
pub struct LetterUser<'a> {
    /// The name.
    pub name: &'a str,
    /// The fingerprint of the key.
    pub fp: &'a Fingerprint,
}

/// Why a letter or a key was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LetterRefusal {
    /// The name of who asks was released.
    Released,
    /// The addressee's name is bound to no key.
    UnknownUser,
    /// Older letters to the addressee are on their way from the file of a relay.
    Closed,
    /// The addressee has left no key for letters.
    NoKey,
    /// The addressee's key has expired.
    KeyExpired,
    /// There is a newer key.
    StaleKey,
    /// All boxes together are full.
    AllFull,
    /// Too many bytes of this sender wait in all boxes.
    SenderFull,
    /// Too many letters of this sender wait in the box of a user who has not written to it.
    StrangerFull,
    /// The part of the box that this letter counts for is full.
    BoxFull,
}

impl LetterRefusal {
    /// What the client is told.
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::Released | Self::NoKey | Self::KeyExpired => ErrorCode::NoLetterbox,
            Self::UnknownUser => ErrorCode::UnknownUser,
            Self::StaleKey => ErrorCode::StaleKey,
            Self::Closed
            | Self::AllFull
            | Self::SenderFull
            | Self::StrangerFull
            | Self::BoxFull => ErrorCode::MailboxFull,
        }
    }

    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "released" => Self::Released,
            "unknown_user" => Self::UnknownUser,
            "closed" => Self::Closed,
            "no_key" => Self::NoKey,
            "key_expired" => Self::KeyExpired,
            "stale_key" => Self::StaleKey,
            "all_full" => Self::AllFull,
            "sender_full" => Self::SenderFull,
            "stranger_full" => Self::StrangerFull,
            "box_full" => Self::BoxFull,
            _ => return None,
        })
    }
}

/// What became of a letter or a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LetterOutcome<T> {
    /// It was kept.
    Kept(T),
    /// It may not be.
    Refused(LetterRefusal),
    /// Our lease has ended.
    NoLease,
}

/// Asks to keep letters for this user that are sealed to this key.
pub fn letterbox(own: Incarnation, user: LetterUser, pem: &str, key: &LetterKey, now: u64) -> Call {
    Call::new(Script::Letterbox, own)
        .keys([keys::lease(own), keys::bound(user.name), keys::user(user.name)])
        .number(now)
        .arg(user.name)
        .arg(user.fp.to_string())
        .arg(pem)
        .number(key.id.into())
        .number(key.created)
        .number(key.expires)
        .arg(key.to_json())
}

/// How many letters wait under which key.
pub fn letterbox_kept(answer: &Value) -> Result<LetterOutcome<Vec<KeyCount>>, WrongAnswer> {
    let wrong = WrongAnswer(Script::Letterbox);
    let (word, rest) = outcome(Script::Letterbox, answer)?;
    if word != "letterbox" {
        return refused(wrong, word, rest);
    }
    let (pairs, odd) = rest.as_chunks::<2>();
    let number = |value: &Value| value.number().and_then(|number| u32::try_from(number).ok());
    let count = |[key_id, count]: &[Value; 2]| {
        Some(KeyCount { key_id: number(key_id)?, count: number(count)? })
    };
    let counts = pairs.iter().map(count).collect::<Option<_>>().filter(|_| odd.is_empty());
    counts.map(LetterOutcome::Kept).ok_or(wrong)
}

fn refused<T>(
    wrong: WrongAnswer,
    word: &str,
    rest: &[Value],
) -> Result<LetterOutcome<T>, WrongAnswer> {
    if !rest.is_empty() {
        return Err(wrong);
    }
    if word == "no_lease" {
        return Ok(LetterOutcome::NoLease);
    }
    LetterRefusal::parse(word).map(LetterOutcome::Refused).ok_or(wrong)
}

/// A letter that is to be kept.
#[derive(Clone, Copy, Debug)]
pub struct LetterToKeep<'a> {
    /// Who stores it.
    pub from: LetterUser<'a>,
    /// Whose box it goes to.
    pub to: &'a str,
    /// The id that its sender gave it.
    pub id: &'a str,
    /// What it says it holds.
    pub kind: LetterKind,
    /// Which key it says that it was sealed to.
    pub key_id: u32,
    /// Its frame as it will be delivered, without its end.
    pub kept: &'a [u8],
}

/// Asks to keep a letter. All boxes together may hold `most` bytes.
pub fn keep(own: Incarnation, letter: &LetterToKeep, now: u64, most: u64) -> Call {
    let (from, to) = (letter.from.name, letter.to);
    Call::new(Script::Keep, own)
        .keys([
            keys::lease(own),
            keys::bound(from),
            keys::bound(to),
            keys::user(to),
            keys::letterbox(to),
            keys::content(to),
            keys::written(to),
            keys::sent(from),
            keys::letter_bytes(),
            keys::letters(),
            keys::ages(),
            keys::closed(to),
        ])
        .number(now)
        .arg(from)
        .arg(letter.from.fp.to_string())
        .arg(to)
        .arg(letter.id)
        .number(letter.kind.number().into())
        .number(letter.key_id.into())
        .arg(letter.kept)
        .number(most)
}

/// Reads the answer to [`keep`].
pub fn kept(answer: &Value) -> Result<LetterOutcome<()>, WrongAnswer> {
    let (word, rest) = outcome(Script::Keep, answer)?;
    if word == "kept" && rest.is_empty() {
        return Ok(LetterOutcome::Kept(()));
    }
    refused(WrongAnswer(Script::Keep), word, rest)
}

/// The next step of a delivery.
#[derive(Clone, Copy, Debug)]
pub struct LettersWanted<'a> {
    /// Whose box.
    pub owner: LetterUser<'a>,
    /// Which letters.
    pub take: TakeMode,
    /// Letters of higher numbers than this.
    pub after: u64,
    /// At most so many of them.
    pub letters: usize,
    /// And at most so many bytes, unless the first one alone is longer.
    pub bytes: usize,
    /// The numbers of letters that are needed no more.
    pub acknowledged: &'a [u64],
}

/// Asks to delete what was acknowledged, and for the letters that come next.
pub fn deliver(own: Incarnation, wanted: &LettersWanted) -> Call {
    let name = wanted.owner.name;
    let take = if wanted.take == TakeMode::All { "all" } else { "receipts" };
    let call = Call::new(Script::Deliver, own)
        .keys([keys::lease(own), keys::bound(name), keys::content(name)])
        .arg(name)
        .arg(wanted.owner.fp.to_string())
        .arg(take)
        .number(wanted.after)
        .number(wanted.letters as u64)
        .number(wanted.bytes as u64);
    wanted.acknowledged.iter().fold(call, |call, &number| call.number(number))
}

/// Letters that were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LettersFound {
    /// How many acknowledged ones were deleted.
    pub deleted: u64,
    /// Whether more wait behind these.
    pub has_more: bool,
    /// Letters with their numbers, in order.
    pub letters: Vec<(u64, Vec<u8>)>,
}

/// Reads the answer to [`deliver`]; `None` where our lease has ended.
pub fn delivered(answer: &Value) -> Result<Option<LettersFound>, WrongAnswer> {
    let wrong = WrongAnswer(Script::Deliver);
    let (deleted, more, letters) = match outcome(Script::Deliver, answer)? {
        ("delivered", [deleted, more, letters @ ..]) => (deleted, more, letters),
        ("no_lease", []) => return Ok(None),
        _ => return Err(wrong),
    };
    let (pairs, odd) = letters.as_chunks::<2>();
    let letter = |[number, letter]: &[Value; 2]| Some((number.number()?, letter.bytes()?.to_vec()));
    let letters = pairs.iter().map(letter).collect::<Option<_>>().filter(|_| odd.is_empty());
    Ok(Some(LettersFound {
        deleted: deleted.number().ok_or(wrong)?,
        has_more: more.text().ok_or(wrong)? == "1",
        letters: letters.ok_or(wrong)?,
    }))
}

/// Tells that a user has opened a session to another: that one is no stranger to its box.
pub fn wrote(own: Incarnation, owner: LetterUser, to: &str, now: u64) -> Call {
    Call::new(Script::Wrote, own)
        .keys([keys::lease(own), keys::bound(owner.name), keys::bound(to)])
        .number(now)
        .arg(owner.name)
        .arg(owner.fp.to_string())
        .arg(to)
}

/// Whether that was noted; not where our lease has ended.
pub fn noted(answer: &Value) -> Result<bool, WrongAnswer> {
    match outcome(Script::Wrote, answer)? {
        ("noted", []) => Ok(true),
        ("no_lease", []) => Ok(false),
        _ => Err(WrongAnswer(Script::Wrote)),
    }
}

/// Asks to delete some of the letters that came before an instant.
pub fn expire(own: Incarnation, before: u64) -> Call {
    Call::new(Script::Expire, own).keys([keys::lease(own), keys::ages()]).number(before)
}

/// How many letters were deleted; `None` where our lease has ended.
pub fn expired(answer: &Value) -> Result<Option<u64>, WrongAnswer> {
    let wrong = WrongAnswer(Script::Expire);
    match outcome(Script::Expire, answer)? {
        ("expired", [letters]) => Ok(Some(letters.number().ok_or(wrong)?)),
        ("no_lease", []) => Ok(None),
        _ => Err(wrong),
    }
}
