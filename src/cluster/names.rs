//! Calls about leases and names, and what they answer.

use std::time::Duration;

use super::keys;
use super::place::{Incarnation, Place};
use super::resp::Value;
use super::script::{Call, Script, WrongAnswer, outcome};
use crate::wire::Fingerprint;

/// `--cluster-init`: makes the engine that of the cluster `id`, whose relays have this public key,
/// unless it is one's already.
pub fn init(own: Incarnation, id: &str, relay_key: &str) -> Call {
    let keys = [keys::ID.to_owned(), keys::RELAY_KEY.to_owned()];
    Call::new(Script::Init, own).keys(keys).arg(id).arg(relay_key)
}

/// The id and the relay key that the engine has now.
pub fn initialized(answer: &Value) -> Result<(String, String), WrongAnswer> {
    let wrong = WrongAnswer(Script::Init);
    let ("initialized", [id, key]) = outcome(Script::Init, answer)? else { return Err(wrong) };
    let text = |value: &Value| value.text().map(str::to_owned).ok_or(wrong);
    Ok((text(id)?, text(key)?))
}

/// What is wanted of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseStep {
    /// A new one.
    Take,
    /// To keep it.
    Renew,
    /// To give it back: the relay ends.
    End,
}

/// Asks for a lease in the cluster `id`. `epoch` is random; it is used where the engine has none.
pub fn lease(own: Incarnation, step: LeaseStep, id: &str, epoch: &str) -> Call {
    let step = match step {
        LeaseStep::Take => "take",
        LeaseStep::Renew => "renew",
        LeaseStep::End => "end",
    };
    let keys =
        [keys::lease(own), keys::ID.to_owned(), keys::relays(), keys::epoch(), keys::change()];
    Call::new(Script::Lease, own).keys(keys).arg(step).arg(id).arg(epoch)
}

/// What became of a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseAnswer {
    /// It is held.
    Held {
        /// The epoch of the changes.
        epoch: String,
        /// The number of the last change.
        change: u64,
        /// The number of the last entry that was ever appended to what waits for this relay.
        inbox: u64,
        /// When the next lease of another relay ends unless it is renewed, counted from the answer.
        next_end: Duration,
        /// Relays whose leases ended, and which are to be reaped.
        dead: Vec<Incarnation>,
    },
    /// It was given back.
    Ended,
    /// It ended: only another incarnation can have one.
    Gone,
    /// This incarnation has a lease already.
    Exists,
    /// There are as many relays as there may be.
    Full,
    /// The engine belongs to no cluster, or to another one.
    OtherId,
}

/// Reads the answer to [`lease`].
pub fn leased(answer: &Value) -> Result<LeaseAnswer, WrongAnswer> {
    let wrong = WrongAnswer(Script::Lease);
    Ok(match outcome(Script::Lease, answer)? {
        ("held", [epoch, change, inbox, next_end, dead @ ..]) => LeaseAnswer::Held {
            epoch: epoch.text().ok_or(wrong)?.to_owned(),
            change: change.number().ok_or(wrong)?,
            inbox: inbox.number().ok_or(wrong)?,
            next_end: next_end.number().map(Duration::from_millis).ok_or(wrong)?,
            dead: dead
                .iter()
                .map(|dead| dead.text().and_then(Incarnation::parse).ok_or(wrong))
                .collect::<Result<_, _>>()?,
        },
        ("ended", []) => LeaseAnswer::Ended,
        ("gone", []) => LeaseAnswer::Gone,
        ("exists", []) => LeaseAnswer::Exists,
        ("full", []) => LeaseAnswer::Full,
        ("other_id", []) => LeaseAnswer::OtherId,
        _ => return Err(wrong),
    })
}

/// Asks to bind a name to a key, for good. Where it may not be new, a name that nobody has bound
/// yet stays free.
pub fn bind(own: Incarnation, name: &str, fp: &Fingerprint, may_be_new: bool) -> Call {
    let keys = [keys::lease(own), keys::bound(name), keys::names(fp), keys::bindings()];
    let may_be_new = if may_be_new { "1" } else { "0" };
    Call::new(Script::Bind, own).keys(keys).arg(name).arg(fp.to_string()).arg(may_be_new)
}

/// What became of a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindAnswer {
    /// The name is bound to this key from now on.
    New,
    /// It was bound to this key before.
    Bound,
    /// Another key has it: `name_bound`.
    NameBound,
    /// An original user holds it: `name_in_use`.
    NameInUse,
    /// The key has as many names as it may: `directory_full`.
    KeyFull,
    /// No further name can be bound: `directory_full`.
    Full,
    /// Nobody has bound it, and it may not be new.
    NotNow,
    /// Our lease has ended.
    NoLease,
}

/// Reads the answer to [`bind`].
pub fn bound(answer: &Value) -> Result<BindAnswer, WrongAnswer> {
    Ok(match outcome(Script::Bind, answer)? {
        ("new", []) => BindAnswer::New,
        ("bound", []) => BindAnswer::Bound,
        ("name_bound", []) => BindAnswer::NameBound,
        ("name_in_use", []) => BindAnswer::NameInUse,
        ("key_full", []) => BindAnswer::KeyFull,
        ("full", []) => BindAnswer::Full,
        ("not_now", []) => BindAnswer::NotNow,
        ("no_lease", []) => BindAnswer::NoLease,
        _ => return Err(WrongAnswer(Script::Bind)),
    })
}

/// Asks to free a name that the operator has released.
pub fn unbind(own: Incarnation, name: &str) -> Call {
    let keys = [
        keys::lease(own),
        keys::bound(name),
        keys::unbound(name),
        keys::bindings(),
        keys::relays(),
    ];
    Call::new(Script::Unbind, own).keys(keys).arg(name)
}

/// Whether the name was freed or was free; not where our lease has ended.
pub fn unbound(answer: &Value) -> Result<bool, WrongAnswer> {
    match outcome(Script::Unbind, answer)? {
        ("unbound" | "not_bound", []) => Ok(true),
        ("no_lease", []) => Ok(false),
        _ => Err(WrongAnswer(Script::Unbind)),
    }
}

/// Asks to bind names that this relay remembers, where they are free; at most
/// [`RESTORED_A_CALL`](super::limits::RESTORED_A_CALL) of them.
pub fn restore<'a>(
    own: Incarnation,
    names: impl IntoIterator<Item = (&'a str, &'a Fingerprint)>,
) -> Call {
    let call = Call::new(Script::Restore, own).keys([keys::lease(own), keys::bindings()]);
    names.into_iter().fold(call, |call, (name, fp)| {
        call.keys([keys::bound(name), keys::names(fp)]).arg(name).arg(fp.to_string())
    })
}

/// What became of restored bindings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestoreAnswer {
    /// All are bound, but for some.
    Restored {
        /// These an operator has released.
        released: Vec<String>,
        /// These other keys have.
        others: Vec<String>,
    },
    /// There would be more than may be bound; none of them was.
    Full,
    /// Our lease has ended.
    NoLease,
}

/// Reads the answer to [`restore`].
pub fn restored(answer: &Value) -> Result<RestoreAnswer, WrongAnswer> {
    let wrong = WrongAnswer(Script::Restore);
    Ok(match outcome(Script::Restore, answer)? {
        ("restored", rest) => {
            let (pairs, odd) = rest.as_chunks::<2>();
            let (mut released, mut others) = (Vec::new(), Vec::new());
            for [name, why] in pairs {
                let list = match why.text() {
                    Some("released") => &mut released,
                    Some("other") => &mut others,
                    _ => return Err(wrong),
                };
                list.push(name.text().ok_or(wrong)?.to_owned());
            }
            if !odd.is_empty() {
                return Err(wrong);
            }
            RestoreAnswer::Restored { released, others }
        }
        ("full", []) => RestoreAnswer::Full,
        ("no_lease", []) => RestoreAnswer::NoLease,
        _ => return Err(wrong),
    })
}

/// A connection that is to hold a name.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The name.
    pub name: &'a str,
    /// The number of the connection, which this relay gives to no other.
    pub session: u64,
    /// The key that it registers with.
    pub fp: &'a Fingerprint,
    /// The text of that key.
    pub pem: &'a str,
    /// Its prekey as JSON, if it registers in version 2.
    pub prekey: Option<&'a str>,
    /// Whether it held the name before, under an incarnation whose lease has ended. Then it
    /// replaces nobody: whoever holds the name now came later.
    pub again: bool,
}

/// Asks to hold a name. A name of version 2 has to be bound first.
pub fn claim(own: Incarnation, claim: &Claim) -> Call {
    let name = claim.name;
    let keys =
        [keys::lease(own), keys::place(), keys::held_by(own), keys::bound(name), keys::user(name)];
    let version = if claim.prekey.is_some() { 2 } else { 1 };
    Call::new(Script::Claim, own)
        .keys(keys)
        .arg(name)
        .number(claim.session)
        .number(version)
        .arg(claim.fp.to_string())
        .arg(claim.pem)
        .arg(claim.prekey.unwrap_or_default())
        .arg(if claim.again { "1" } else { "0" })
}

/// What became of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimAnswer {
    /// The name is held, and nobody held it before.
    Taken,
    /// It is held; the user had it at this place before, whose relay (if it is another one) was
    /// told to end that connection with `replaced`.
    Replaced {
        /// At which relay.
        incarnation: Incarnation,
        /// By which connection.
        session: u64,
    },
    /// Nobody has bound it yet.
    NotBound,
    /// Another key has it: `name_bound`.
    NameBound,
    /// Somebody else holds it: `name_in_use`, and `replaced` for a connection that held it before.
    NameInUse,
    /// Our lease has ended.
    NoLease,
}

/// Reads the answer to [`claim`].
pub fn claimed(answer: &Value) -> Result<ClaimAnswer, WrongAnswer> {
    let wrong = WrongAnswer(Script::Claim);
    Ok(match outcome(Script::Claim, answer)? {
        ("taken", []) => ClaimAnswer::Taken,
        ("replaced", [incarnation, session]) => ClaimAnswer::Replaced {
            incarnation: incarnation.text().and_then(Incarnation::parse).ok_or(wrong)?,
            session: session.number().ok_or(wrong)?,
        },
        ("not_bound", []) => ClaimAnswer::NotBound,
        ("name_bound", []) => ClaimAnswer::NameBound,
        ("name_in_use", []) => ClaimAnswer::NameInUse,
        ("no_lease", []) => ClaimAnswer::NoLease,
        _ => return Err(wrong),
    })
}

/// What became of a change that only the holder of a name may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HolderAnswer {
    /// It was made.
    Done,
    /// That connection does not hold the name.
    NotHeld,
    /// Our lease has ended.
    NoLease,
}

fn holder_answer(script: Script, done: &str, answer: &Value) -> Result<HolderAnswer, WrongAnswer> {
    Ok(match outcome(script, answer)? {
        (word, []) if word == done => HolderAnswer::Done,
        ("not_held", []) => HolderAnswer::NotHeld,
        ("no_lease", []) => HolderAnswer::NoLease,
        _ => return Err(WrongAnswer(script)),
    })
}

/// Tells that a connection that held a name is gone.
pub fn release(own: Incarnation, name: &str, session: u64) -> Call {
    let keys = [keys::lease(own), keys::held_by(own)];
    Call::new(Script::Release, own).keys(keys).arg(name).number(session)
}

/// Reads the answer to [`release`].
pub fn released(answer: &Value) -> Result<HolderAnswer, WrongAnswer> {
    holder_answer(Script::Release, "released", answer)
}

/// Tells that a user hands out another prekey (JSON).
pub fn publish(own: Incarnation, name: &str, session: u64, prekey: &str) -> Call {
    let keys = [keys::lease(own), keys::user(name)];
    Call::new(Script::Publish, own).keys(keys).arg(name).number(session).arg(prekey)
}

/// Reads the answer to [`publish`].
pub fn published(answer: &Value) -> Result<HolderAnswer, WrongAnswer> {
    holder_answer(Script::Publish, "published", answer)
}

/// Asks to free names of a relay whose lease has ended.
pub fn reap(own: Incarnation, dead: Incarnation) -> Call {
    let keys = [
        keys::lease(own),
        keys::held_by(dead),
        keys::inbox(dead),
        keys::flow(dead),
        keys::relays(),
    ];
    Call::new(Script::Reap, own).keys(keys).arg(dead.to_string())
}

/// What became of the names of a relay that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReapAnswer {
    /// Some were freed.
    Reaped {
        /// How many.
        names: u64,
        /// How many are left, for another call.
        left: u64,
    },
    /// Its lease has not ended.
    Alive,
    /// Our lease has ended.
    NoLease,
}

/// Reads the answer to [`reap`].
pub fn reaped(answer: &Value) -> Result<ReapAnswer, WrongAnswer> {
    let wrong = WrongAnswer(Script::Reap);
    Ok(match outcome(Script::Reap, answer)? {
        ("reaped", [names, left]) => ReapAnswer::Reaped {
            names: names.number().ok_or(wrong)?,
            left: left.number().ok_or(wrong)?,
        },
        ("alive", []) => ReapAnswer::Alive,
        ("no_lease", []) => ReapAnswer::NoLease,
        _ => return Err(wrong),
    })
}

/// Asks what is known of a user. `now` is in milliseconds since 1970.
pub fn find(own: Incarnation, name: &str, now: u64) -> Call {
    Call::new(Script::Find, own).keys([keys::user(name), keys::bound(name)]).arg(name).number(now)
}

/// What is known of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Where it is connected.
    pub place: Option<Place>,
    /// The key that its name is bound to.
    pub bound: Option<Fingerprint>,
    /// The text of its public key, as it was registered last.
    pub pem: Option<String>,
    /// Its prekey as JSON, while it is connected.
    pub prekey: Option<String>,
    /// Its letter key as JSON, if it has not expired.
    pub letter_key: Option<String>,
}

/// Reads the answer to [`find`].
pub fn found(answer: &Value) -> Result<Known, WrongAnswer> {
    let wrong = WrongAnswer(Script::Find);
    let ("found", [place, bound, pem, prekey, letter_key]) = outcome(Script::Find, answer)? else {
        return Err(wrong);
    };
    let text = |value: &Value| {
        let text = value.text().ok_or(wrong)?;
        Ok((!text.is_empty()).then(|| text.to_owned()))
    };
    let place = text(place)?.map(|entry| Place::parse(&entry).ok_or(wrong)).transpose()?;
    let bound = text(bound)?.map(|fp| fp.parse().map_err(|_| wrong)).transpose()?;
    Ok(Known {
        place,
        bound,
        pem: text(pem)?,
        prekey: text(prekey)?,
        letter_key: text(letter_key)?,
    })
}
