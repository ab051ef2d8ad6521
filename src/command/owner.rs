//! Whose program this is: the home, the name and the key, found or made at the start.

use std::rc::Rc;

use super::cli::IdentityArgs;
use super::identity_file::{self, IdentityFile};
use super::{Exit, Failure, passphrase};
use crate::crypto::Identity;
use crate::home::{Home, HomeError, Lock};
use crate::wire::check_name_v2;

/// The file of the peers' keys.
pub(super) const PEERS_FILE: &str = "known_peers";
/// The file of the relays' keys.
pub(super) const RELAYS_FILE: &str = "known_relays";
/// The file that remembers the name.
const NAME_FILE: &str = "name";
/// Held by the one `chat`, `send` or `recv` that uses the identity.
const LOCK_FILE: &str = "lock";

/// A user of this machine.
pub(super) struct Owner {
    /// The directory of identity and trust.
    pub home: Rc<Home>,
    /// The name at the relay.
    pub name: String,
    /// The key.
    pub identity: Identity,
    /// Keeps others from using the identity at the same time.
    _lock: Lock,
}

impl Owner {
    /// Opens the home, makes what is missing, and takes the lock.
    pub(super) fn open(arguments: &IdentityArgs) -> Result<Self, Failure> {
        let passphrase = arguments.passphrase_fd.map(passphrase::from_descriptor).transpose()?;
        let home = Rc::new(open_home(arguments)?);
        let name = name(&home, arguments.name.as_deref())?;
        let lock = home.lock(LOCK_FILE).map_err(not_usable)?;
        home.remove_old_drafts(&[identity_file::NAME, NAME_FILE, PEERS_FILE, RELAYS_FILE]);
        let identity = match IdentityFile::read(&home)? {
            Some(file) => file.open(passphrase.as_ref())?,
            None if remembered(&home)?.is_some() => return Err(identity_is_gone(&home)),
            None => identity_file::make(&home, passphrase.as_ref())?,
        };
        if remembered(&home)?.as_deref() != Some(&name) {
            home.replace(NAME_FILE, format!("{name}\n").as_bytes()).map_err(not_usable)?;
        }
        Ok(Self { home, name, identity, _lock: lock })
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

/// The home that the arguments name, or the default one.
pub(super) fn open_home(arguments: &IdentityArgs) -> Result<Home, Failure> {
    let path = match &arguments.home {
        Some(path) => path.clone(),
        None => Home::default_path().map_err(not_usable)?,
    };
    Home::open(path).map_err(not_usable)
}

/// The name that is given or remembered.
pub(super) fn name(home: &Home, given: Option<&str>) -> Result<String, Failure> {
    let name = match given {
        Some(given) => given.to_owned(),
        None => remembered(home)?.ok_or_else(|| {
            let help = "who are you? say it once with --name NAME, it is remembered";
            Failure::new(Exit::Usage, help)
        })?,
    };
    check_name(&name)?;
    Ok(name)
}

/// Refuses what cannot be a name.
pub(super) fn check_name(name: &str) -> Result<(), Failure> {
    let refused = |fault| Failure::new(Exit::Name, format!("{name:?} cannot be a name: {fault}"));
    check_name_v2(name).map_err(refused)
}

fn remembered(home: &Home) -> Result<Option<String>, Failure> {
    let bytes = home.read(NAME_FILE, crate::limits::MAX_NAME + 1).map_err(not_usable)?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).trim_end().to_owned()))
}

/// A home, a file in it or its lock cannot be used.
#[allow(clippy::needless_pass_by_value)] // as `map_err` hands it over
pub(super) fn not_usable(error: HomeError) -> Failure {
    Failure::new(Exit::Identity, error)
}
