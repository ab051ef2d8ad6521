//! A user as raw frames: an original, or one of version 2, whose cryptography is hashing.

use std::collections::BTreeSet;

use sealwax::wire::{RosterMode, TakeMode, compose};
use serde_json::{Value, json};

use crate::dice::Dice;
use crate::support::kernel::Peer;
use crate::support::relay::{Account, register, some_key};
use crate::vault::FakeVault;

/// Who there is: names, and the number of the key where it is of version 2. Two of one name are two
/// machines of one user where the key is the same.
const ALL: [(&str, Option<u8>); 13] = [
    ("user-0", None),
    ("user-0", None),
    ("user-1", None),
    ("user-2", None),
    ("user-3", None),
    ("user-4", None),
    ("alice", Some(1)),
    ("alice", Some(1)),
    ("bob", Some(2)),
    ("bob", Some(2)),
    ("carol", Some(3)),
    (LENT, Some(4)),
    (LENT, Some(5)),
];
/// The name that operators release, and that two keys want.
pub(crate) const LENT: &str = "erin";
/// Those who write and take letters.
pub(crate) const WRITERS: [&str; 3] = ["alice", "bob", "carol"];

pub(crate) struct User {
    pub(crate) name: &'static str,
    pub(crate) account: Option<Account<FakeVault>>,
    /// Its connection, while it has one.
    pub(crate) line: Option<Line>,
}

/// One connection of a user, as its client sees it.
pub(crate) struct Line {
    /// No two have the same.
    pub(crate) number: u64,
    pub(crate) peer: Peer,
    /// The relay that it leads to, and which run of it.
    pub(crate) at: usize,
    pub(crate) run: u64,
    pub(crate) is_registered: bool,
    roster: RosterMode,
    /// Who is connected, as it was told.
    pub(crate) view: BTreeSet<String>,
    /// The last error that it was told.
    pub(crate) last_error: String,
    /// What came and is no whole frame yet.
    half: Vec<u8>,
}

impl User {
    pub(crate) fn all() -> Vec<Self> {
        let user = |(name, key): (&'static str, Option<u8>)| {
            let account =
                key.map(|key| Account::of(name, FakeVault::seeded(some_key(key), u64::from(key))));
            Self { name, account, line: None }
        };
        ALL.map(user).into()
    }

    pub(crate) fn is_version2(&self) -> bool {
        self.account.is_some()
    }

    /// The text of its key.
    pub(crate) fn pem(&self) -> String {
        self.account.as_ref().map_or_else(|| crate::support::relay::PEM.to_owned(), Account::pem)
    }

    pub(crate) fn is_registered(&self) -> bool {
        self.line.as_ref().is_some_and(|line| line.is_registered)
    }

    /// Says who it is on a new connection.
    pub(crate) fn enter(
        &mut self,
        number: u64,
        peer: Peer,
        (at, run): (usize, u64),
        dice: &mut Dice,
    ) {
        let roster = *dice.pick(&[RosterMode::Full, RosterMode::Delta, RosterMode::None]);
        self.line = Some(Line {
            number,
            peer,
            at,
            run,
            is_registered: false,
            roster,
            view: BTreeSet::new(),
            last_error: String::new(),
            half: Vec::new(),
        });
        if let Some(account) = &self.account {
            let claim = account.claim(roster);
            self.say(&claim);
        } else {
            self.say(&register(self.name, roster.as_str()));
            self.say(&json!({"action": "ping", "id": "registered?"}));
        }
    }

    /// Sends a frame. Returns whether it left whole: not where the relay was killed just now.
    pub(crate) fn say(&mut self, frame: &Value) -> bool {
        self.say_bytes(frame.to_string().as_bytes())
    }

    pub(crate) fn say_bytes(&mut self, frame: &[u8]) -> bool {
        self.line.as_mut().is_some_and(|line| line.peer.send(frame) == frame.len())
    }

    /// Takes letters from now on.
    pub(crate) fn take_letters(&mut self) -> bool {
        self.say_bytes(&compose::letters(TakeMode::All))
    }

    /// The frames that have come, and whether the connection has ended.
    pub(crate) fn hear(&mut self) -> (Vec<Value>, bool) {
        let Some(line) = &mut self.line else { return (Vec::new(), false) };
        let bytes = line.peer.receive_all();
        let has_ended = line.peer.can_receive(); // all was read: the end, or a reset
        line.half.extend(bytes);
        let whole = line.half.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let bytes: Vec<u8> = line.half.drain(..whole).collect();
        (crate::support::simulated::frames(&bytes), has_ended)
    }
}

impl Line {
    pub(crate) fn wants_roster(&self) -> bool {
        self.roster != RosterMode::None
    }
}
