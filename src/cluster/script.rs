//! The scripts: what has to happen at once in the engine (`scripts/*.lua`).
//!
//! Each is loaded once on each connection (`SCRIPT LOAD`) and then called by its hash (`EVALSHA`).
//! The engine runs one script at a time and writes down its effects, not the script
//! (<https://redis.io/docs/latest/develop/programmability/eval-intro/>). The first line (`#!lua`)
//! has the engine refuse a script as a whole while its memory is full; those that free memory, and
//! leases, run all the same (`allow-oom`).
//!
//! Keys that the caller knows are passed as `KEYS`. Some only the script can know (the relay that
//! holds a name now); an engine that is sharded (Redis Cluster) refuses those, so `engine.rs` takes
//! none that is.

use super::limits::{
    BOX_BYTES, BOX_CLOSED, BOX_LETTERS, CHANGES, ENTRY_BYTES, FULL_OF, FULL_UNTIL, LAST_NUMBER,
    LEASE, LETTER_KEY_GRACE, MAX_BOUND_NAMES, MAX_INBOX, MAX_RELAYS, MOVED_KEPT, REAPED_A_CALL,
    SENDER_BYTES, STRANGER_LETTERS, UPKEEP_LETTERS, WRITTEN_KEPT,
};
use super::place::Incarnation;
use super::resp::Value;
use crate::limits::{CLOCK_SKEW, MAX_NAMES_PER_KEY};

const COMMON: &str = include_str!("scripts/common.lua");
const BOX: &str = include_str!("scripts/box.lua");

/// What a script may do while the engine's memory is full, and what stands in front of it.
#[derive(Clone, Copy)]
enum Kind {
    /// It may take memory: it is refused then.
    Takes,
    /// It frees memory, or must not fail for the want of it.
    Frees,
    /// It writes nothing.
    Reads,
}

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident $file:literal $kind:ident $letters:literal,)*) => {
        /// The scripts, by name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Script {
            $($(#[$doc])* $name,)*
        }

        impl Script {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The name of its file.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $file,)* }
            }

            const fn parts(self) -> (&'static str, Kind, bool) {
                match self {
                    $(Self::$name => {
                        let body = include_str!(concat!("scripts/", $file, ".lua"));
                        (body, Kind::$kind, $letters)
                    })*
                }
            }
        }
    };
}

scripts! {
    /// Makes an engine a cluster's.
    Init "init" Takes false,
    /// Takes, renews or ends a lease.
    Lease "lease" Frees false,
    /// Binds a name to a key.
    Bind "bind" Takes false,
    /// Frees a name that the operator has released.
    Unbind "unbind" Frees true,
    /// Binds names that a relay remembers.
    Restore "restore" Takes false,
    /// A connection holds a name.
    Claim "claim" Takes false,
    /// It holds it no longer.
    Release "release" Frees false,
    /// Frees the names of a relay that ended.
    Reap "reap" Frees false,
    /// Another prekey.
    Publish "publish" Takes false,
    /// What is known of a user.
    Find "find" Reads false,
    /// Something for another relay.
    Forward "forward" Takes false,
    /// Deletes what was read.
    Drain "drain" Frees false,
    /// Deletes what no relay has written.
    Sweep "sweep" Frees false,
    /// Another letter key.
    Letterbox "letterbox" Takes true,
    /// Keeps a letter.
    Keep "keep" Takes true,
    /// Deletes letters, and tells the next.
    Deliver "deliver" Frees true,
    /// Who wrote to whom.
    Wrote "wrote" Takes true,
    /// Deletes old letters.
    Expire "expire" Frees true,
    /// Takes letters from the file of a relay.
    MoveLetters "move_letters" Takes true,
    /// Takes a letter key from there.
    MoveKey "move_key" Takes true,
}

impl Script {
    /// The whole text, as it is loaded.
    pub fn source(self) -> String {
        let (body, kind, letters) = self.parts();
        let flags = match kind {
            Kind::Takes => "",
            Kind::Frees => " flags=allow-oom",
            Kind::Reads => " flags=no-writes",
        };
        let constants = constants().map(|(name, value)| format!("local {name} = {value}\n"));
        let letters = if letters { BOX } else { "" };
        format!("#!lua{flags}\n{}{COMMON}{letters}{body}", constants.concat())
    }
}

/// The limits that scripts refer to. Times are in milliseconds.
fn constants() -> [(&'static str, u128); 25] {
    [
        ("LEASE", LEASE.as_millis()),
        ("MAX_RELAYS", MAX_RELAYS as u128),
        ("REAPED_A_CALL", REAPED_A_CALL as u128),
        ("CHANGES", CHANGES as u128),
        ("MAX_INBOX", MAX_INBOX as u128),
        ("LAST_NUMBER", LAST_NUMBER.into()),
        ("ENTRY_BYTES", ENTRY_BYTES as u128),
        ("MAX_NAMES_PER_KEY", MAX_NAMES_PER_KEY as u128),
        ("MAX_BOUND_NAMES", MAX_BOUND_NAMES as u128),
        ("KNOWN", 0),
        ("STRANGERS", 1),
        ("RECEIPTS", 2),
        ("BOX_LETTERS", BOX_LETTERS.into()),
        ("BOX_BYTES", BOX_BYTES.into()),
        ("STRANGER_LETTERS", STRANGER_LETTERS.into()),
        ("WRITTEN_KEPT", WRITTEN_KEPT.into()),
        ("FULL_UNTIL", FULL_UNTIL.into()),
        ("FULL_OF", FULL_OF.into()),
        ("SENDER_BYTES", SENDER_BYTES.into()),
        ("LETTER_KEY_GRACE", LETTER_KEY_GRACE.as_millis()),
        ("CLOCK_SKEW", CLOCK_SKEW.as_millis()),
        ("UPKEEP_LETTERS", UPKEEP_LETTERS.into()),
        ("DAY", 24 * 3600 * 1000),
        ("BOX_CLOSED", BOX_CLOSED.as_millis()),
        ("MOVED_KEPT", MOVED_KEPT.as_millis()),
    ]
}

/// A call of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Which.
    pub script: Script,
    /// `KEYS`.
    pub keys: Vec<String>,
    /// `ARGV`.
    pub args: Vec<Vec<u8>>,
    /// A command that is carried out just before the script, so that nobody sees the one without
    /// the other (`MULTI`).
    pub before: Option<Vec<Vec<u8>>>,
}

impl Call {
    /// A call by this incarnation: its first argument, whatever the script.
    pub(super) fn new(script: Script, own: Incarnation) -> Self {
        let args = vec![own.to_string().into_bytes()];
        Self { script, keys: Vec::new(), args, before: None }
    }

    pub(super) fn keys<const N: usize>(mut self, keys: [String; N]) -> Self {
        self.keys.extend(keys);
        self
    }

    /// As [`arg`](Self::arg); empty where there is nothing.
    pub(super) fn optional(self, arg: Option<impl ToString>) -> Self {
        self.arg(arg.map_or_else(String::new, |arg| arg.to_string()))
    }

    pub(super) fn arg(mut self, arg: impl AsRef<[u8]>) -> Self {
        self.args.push(arg.as_ref().to_vec());
        self
    }

    pub(super) fn behind(mut self, command: Vec<Vec<u8>>) -> Self {
        self.before = Some(command);
        self
    }

    pub(super) fn number(self, number: u64) -> Self {
        self.arg(number.to_string())
    }
}

/// An answer of another form than the script gives: the engine runs another script under its hash,
/// or is no engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongAnswer(pub Script);

/// The word that an answer begins with, and what stands behind it.
pub(super) fn outcome(script: Script, answer: &Value) -> Result<(&str, &[Value]), WrongAnswer> {
    let split = answer.array().and_then(<[Value]>::split_first);
    let (word, rest) = split.ok_or(WrongAnswer(script))?;
    Ok((word.text().ok_or(WrongAnswer(script))?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_begins_with_its_flags_and_has_its_limits() {
        for &script in Script::ALL {
            let source = script.source();
            assert!(source.starts_with("#!lua\n") || source.starts_with("#!lua flags="));
            assert!(source.contains("local MAX_INBOX = 8388608\n"), "{}", script.name());
        }
        assert!(Script::Find.source().starts_with("#!lua flags=no-writes\n"));
        assert!(Script::Reap.source().starts_with("#!lua flags=allow-oom\n"));
    }
}
