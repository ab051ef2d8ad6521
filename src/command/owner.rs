//! The user of this program: home, name, relay and key, found or made at the start.
//!
//! Name and relay are given once and remembered. Giving another one does not change them: another
//! name is refused, another relay is used for that run only; `keys rename` and `keys relay` change
//! them.

use std::rc::Rc;

use super::cli::{Common, IdentityArgs};
use super::identity_file::{self, IdentityFile};
use super::{Exit, Failure, passphrase};
use crate::address::Address;
use crate::crypto::Identity;
use crate::home::{Home, HomeError, Lock};
use crate::limits::{DEFAULT_RELAY, MAX_HOST, MAX_NAME};
use crate::wire::check_name_v2;

/// The file of the peers' keys.
pub(super) const PEERS_FILE: &str = "known_peers";
/// The file of the relays' keys.
pub(super) const RELAYS_FILE: &str = "known_relays";
/// The file that remembers the name.
const NAME_FILE: &str = "name";
/// What is kept of letters.
pub(super) const LETTERS_FILE: &str = "letters.sqlite";
/// The file of the relays that are known to speak TLS, and of the peers with an ML-KEM key.
pub(super) const MARKS_FILE: &str = "known_marks";
/// The file that remembers the relay. (Not `relay`: in the default home of a user, that is the
/// default home of a relay.)
const RELAY_FILE: &str = "relay_address";
/// The lines that were written in `chat --history`.
pub(super) const HISTORY_FILE: &str = "chat_history";
/// What is written by way of a draft.
const WRITTEN_WHOLE: [&str; 7] =
    [identity_file::NAME, NAME_FILE, RELAY_FILE, PEERS_FILE, RELAYS_FILE, MARKS_FILE, HISTORY_FILE];
/// Held by the one `chat`, `send` or `recv` that uses the identity.
const LOCK_FILE: &str = "lock";

/// A user of this machine.
pub(super) struct Owner {
    /// The directory of identity and trust.
    pub home: Rc<Home>,
    /// The name at the relay.
    pub name: String,
    /// The relay, for this run.
    pub relay: Address,
    /// The remembered relay, where this run uses another.
    pub usual_relay: Option<Address>,
    /// The key.
    pub identity: Identity,
    /// Keeps others from using the identity at the same time.
    _lock: Lock,
}

impl Owner {
    /// Opens the home, makes what is missing, and takes the lock.
    pub(super) fn open(common: &Common) -> Result<Self, Failure> {
        let arguments = &common.identity;
        let passphrase = arguments.passphrase_fd.map(passphrase::from_descriptor).transpose()?;
        let home = Rc::new(open_home(arguments)?);
        name(&home, arguments)?; // what is wrong with it is said before the lock is taken
        let lock = lock(&home)?;
        let name = name(&home, arguments)?;
        let remembered_relay = relay(&home)?;
        home.remove_old_drafts(&WRITTEN_WHOLE);
        let is_new = remembered_name(&home)?.is_none();
        let identity = match IdentityFile::read(&home)? {
            Some(file) => file.open(passphrase.as_ref())?,
            None if is_new => identity_file::make(&home, passphrase.as_ref())?,
            None => return Err(identity_is_gone(&home)),
        };
        if is_new {
            remember(&home, NAME_FILE, &name)?;
        }
        if let (None, Some(given)) = (&remembered_relay, &common.relay) {
            remember(&home, RELAY_FILE, &given.to_string())?;
        }
        let usual_relay = remembered_relay
            .clone()
            .filter(|usual| common.relay.as_ref().is_some_and(|r| r != usual));
        let relay = match common.relay.clone().or(remembered_relay) {
            Some(relay) => relay,
            None => DEFAULT_RELAY.parse().map_err(|fault| Failure::new(Exit::Usage, fault))?,
        };
        Ok(Self { home, name, relay, usual_relay, identity, _lock: lock })
    }
}

/// The name is written behind the key, so there was one.
fn identity_is_gone(home: &Home) -> Failure {
    let (key, name) = (home.path(identity_file::NAME), home.path(NAME_FILE));
    let message = format!(
        "your key is gone: '{0}' is missing, and '{1}' was kept beside it: restore '{0}' from a \
         copy, or remove '{1}' to begin anew as somebody whom nobody knows",
        key.display(),
        name.display()
    );
    Failure::new(Exit::Identity, message)
}

/// Keeps others from using the identity in `home`.
fn lock(home: &Home) -> Result<Lock, Failure> {
    home.lock(LOCK_FILE).map_err(not_usable)
}

/// The home that the arguments name, or the default one.
pub(super) fn open_home(arguments: &IdentityArgs) -> Result<Home, Failure> {
    let path = match &arguments.home {
        Some(path) => path.clone(),
        None => Home::default_path().map_err(not_usable)?,
    };
    Home::open(path).map_err(not_usable)
}

/// The name that is remembered, or the one that is given for the first time. A name other than the
/// remembered one is refused: peers who know us by our name would get texts from a stranger.
pub(super) fn name(home: &Home, arguments: &IdentityArgs) -> Result<String, Failure> {
    let name = match (remembered_name(home)?, &arguments.name) {
        (Some(known), Some(given)) if known != *given => {
            check_name(given)?;
            let keys = arguments.keys_command();
            let message = format!(
                "the identity in this home is {known}, not {given}: leave --name out, run '{keys} \
                 rename {given}' to change the name, or give {given} a home of its own with --home"
            );
            return Err(Failure::new(Exit::Name, message));
        }
        (Some(known), _) => known,
        (None, Some(given)) => given.clone(),
        (None, None) => {
            let help = "your name is not known: give it once with --name NAME, it is remembered";
            return Err(Failure::new(Exit::Usage, help));
        }
    };
    check_name(&name)?;
    Ok(name)
}

/// Remembers the name `new` from now on; returns the one before. Refused while a `chat`, `send` or
/// `recv` runs, which would go on under the old one.
pub(super) fn rename(home: &Home, new: &str) -> Result<Option<String>, Failure> {
    check_name(new)?;
    let _lock = lock(home)?;
    let old = remembered_name(home)?;
    remember(home, NAME_FILE, new)?;
    Ok(old)
}

/// Remembers the relay `new` from now on.
pub(super) fn change_relay(home: &Home, new: &Address) -> Result<(), Failure> {
    remember(home, RELAY_FILE, &new.to_string())
}

/// Refuses what cannot be a name.
pub(super) fn check_name(name: &str) -> Result<(), Failure> {
    let refused = |fault| Failure::new(Exit::Name, format!("{name:?} cannot be a name: {fault}"));
    check_name_v2(name).map_err(refused)
}

fn remembered_name(home: &Home) -> Result<Option<String>, Failure> {
    remembered(home, NAME_FILE, MAX_NAME)
}

/// The relay that is remembered.
pub(super) fn relay(home: &Home) -> Result<Option<Address>, Failure> {
    // In brackets and with a zone, each of which may be as long as a host.
    let Some(text) = remembered(home, RELAY_FILE, 2 * MAX_HOST)? else { return Ok(None) };
    let path = home.path(RELAY_FILE);
    let damaged = |fault| {
        let message = format!("{}: {fault}: correct it, or move it away", path.display());
        Failure::new(Exit::Identity, message)
    };
    text.parse().map(Some).map_err(damaged)
}

/// The one line of a file of the home.
fn remembered(home: &Home, file: &str, limit: usize) -> Result<Option<String>, Failure> {
    let bytes = home.read(file, limit + 1).map_err(not_usable)?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).trim_end().to_owned()))
}

fn remember(home: &Home, file: &str, text: &str) -> Result<(), Failure> {
    home.replace(file, format!("{text}\n").as_bytes()).map_err(not_usable)
}

/// A home, a file in it or its lock cannot be used.
#[allow(clippy::needless_pass_by_value)] // as `map_err` hands it over
pub(super) fn not_usable(error: HomeError) -> Failure {
    Failure::new(Exit::Identity, error)
}
