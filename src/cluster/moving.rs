//! What a relay had of letters in its own file, before it joined: calls that bring it into the
//! engine, and what they answer. Instants are milliseconds since 1970.

use super::keys;
use super::place::Incarnation;
use super::resp::Value;
use super::script::{Call, Script, WrongAnswer, outcome};
use crate::wire::{Fingerprint, LetterKind};

/// A user by its name, and the key that the name is bound to in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileUser {
    /// The name.
    pub name: String,
    /// The fingerprint of the key.
    pub fp: Fingerprint,
}

/// A letter in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileLetter {
    /// Its number there. Numbers ascend, and none is used again.
    pub number: u64,
    /// When it came.
    pub at: u64,
    /// Who stored it.
    pub from: FileUser,
    /// The id that its sender gave it.
    pub id: String,
    /// What it says it holds.
    pub kind: LetterKind,
    /// Which part of its box it counts for.
    pub share: u8,
    /// Which key it says that it was sealed to.
    pub key_id: u32,
    /// Its frame as it will be delivered, without its end.
    pub kept: Vec<u8>,
}

/// Letters of one box, the next in the order in which they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileBox {
    /// Whose box.
    pub owner: FileUser,
    /// The letters; none if the box is only to be closed for others.
    pub letters: Vec<FileLetter>,
    /// Whether the file has no more letters of the box than these.
    pub is_last: bool,
}

/// A letter key in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileKey {
    /// Its id.
    pub id: u32,
    /// When it was made.
    pub created: u64,
    /// When it expires.
    pub expires: u64,
    /// The key as JSON.
    pub json: String,
    /// The id of the one before, and how long letters under that one are taken.
    pub old: Option<(u32, u64)>,
}

/// What the file has of a user beside letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileKeys {
    /// Which user.
    pub owner: FileUser,
    /// The text of its public key, if it is known.
    pub pem: Option<String>,
    /// Its letter key, if it has left one.
    pub key: Option<FileKey>,
    /// To whom it wrote, and when.
    pub wrote_to: Vec<(FileUser, u64)>,
}

/// Asks to take letters of one box from this file. All boxes together may hold `most` bytes.
pub fn letters(own: Incarnation, file: &str, part: &FileBox, most: u64) -> Call {
    let to = &part.owner;
    let call = Call::new(Script::MoveLetters, own)
        .keys([
            keys::lease(own),
            keys::bound(&to.name),
            keys::closed(&to.name),
            keys::moved(file),
            keys::letter_bytes(),
        ])
        .arg(&to.name)
        .arg(to.fp.to_string())
        .number(most)
        .number(part.is_last.into());
    part.letters.iter().fold(call, |call, letter| {
        call.number(letter.number)
            .number(letter.at)
            .arg(&letter.from.name)
            .arg(letter.from.fp.to_string())
            .arg(&letter.id)
            .number(letter.kind.number().into())
            .number(letter.share.into())
            .number(letter.key_id.into())
            .arg(&letter.kept)
    })
}

/// What the engine has taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// How many of the letters, from the first one on, need be kept in the file no more. The next
    /// one may be taken later: the box is full, or its owner or sender is not bound to its key in
    /// the engine (yet).
    pub count: usize,
    /// No box can take anything now: all of them together are full, or our lease has ended.
    pub is_stopped: bool,
}

/// Reads the answer to [`letters`].
pub fn letters_taken(answer: &Value) -> Result<Taken, WrongAnswer> {
    let wrong = WrongAnswer(Script::MoveLetters);
    let (count, is_stopped) = match outcome(Script::MoveLetters, answer)? {
        ("moved", [count]) => (count, false),
        ("all_full", [count]) => (count, true),
        ("no_lease", []) => return Ok(Taken { count: 0, is_stopped: true }),
        _ => return Err(wrong),
    };
    let count = count.number().and_then(|count| usize::try_from(count).ok()).ok_or(wrong)?;
    Ok(Taken { count, is_stopped })
}

/// Asks to take what the file has of a user beside letters.
pub fn keys(own: Incarnation, user: &FileKeys) -> Call {
    let (name, key) = (&user.owner.name, user.key.as_ref());
    let old = key.and_then(|key| key.old);
    let call = Call::new(Script::MoveKey, own)
        .keys([keys::lease(own), keys::bound(name), keys::user(name), keys::written(name)])
        .arg(name)
        .arg(user.owner.fp.to_string())
        .optional(user.pem.as_ref())
        .optional(key.map(|key| key.id))
        .optional(key.map(|key| key.created))
        .optional(key.map(|key| key.expires))
        .optional(key.map(|key| &key.json))
        .optional(old.map(|(id, _)| id))
        .optional(old.map(|(_, until)| until));
    user.wrote_to
        .iter()
        .fold(call, |call, (other, at)| call.arg(&other.name).arg(other.fp.to_string()).number(*at))
}

/// Reads the answer to [`keys`](fn@keys), of which the count is 1 if it was taken.
pub fn keys_taken(answer: &Value) -> Result<Taken, WrongAnswer> {
    let (count, is_stopped) = match outcome(Script::MoveKey, answer)? {
        ("moved", []) => (1, false),
        ("not_bound", []) => (0, false),
        ("no_lease", []) => (0, true),
        _ => return Err(WrongAnswer(Script::MoveKey)),
    };
    Ok(Taken { count, is_stopped })
}
