//! Whose program this is: the home, the name and the key, found or made at the start.
//!
//! The identity file is made once and never replaced by us: whoever has lost it is a stranger to all who knew it. So
//! a file that cannot be used is an error that says why, and not a reason for a new one.

use std::fs::File;
use std::io::{IsTerminal, Read};
use std::rc::Rc;

use zeroize::Zeroizing;

use super::cli::IdentityArgs;
use super::{Exit, Failure};
use crate::crypto::{Identity, IdentityFault};
use crate::home::{Home, HomeError, Lock};
use crate::limits::{MAX_IDENTITY_FILE, MAX_PASSPHRASE, NEW_RSA_BITS};
use crate::wire::check_name_v2;

/// The file of the private key.
const IDENTITY_FILE: &str = "identity.pem";
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
        let home = Rc::new(open_home(arguments)?);
        let name = name(&home, arguments.name.as_deref())?;
        let lock = home.lock(LOCK_FILE).map_err(not_usable)?;
        let passphrase = arguments.passphrase_fd.map(read_passphrase).transpose()?;
        let identity = match load(&home, passphrase.as_deref().map(Vec::as_slice))? {
            Some(identity) => identity,
            None => make(&home, passphrase.as_deref().map(Vec::as_slice))?,
        };
        if remembered(&home)?.as_deref() != Some(&name) {
            home.replace(NAME_FILE, format!("{name}\n").as_bytes()).map_err(not_usable)?;
        }
        Ok(Self { home, name, identity, _lock: lock })
    }
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

/// The identity of a home, where there is one.
pub(super) fn load(home: &Home, passphrase: Option<&[u8]>) -> Result<Option<Identity>, Failure> {
    let path = home.path(IDENTITY_FILE);
    let Some(bytes) = home.read(IDENTITY_FILE, MAX_IDENTITY_FILE).map_err(not_usable)? else {
        return Ok(None);
    };
    let damaged = |fault: IdentityFault| {
        let next = match fault {
            IdentityFault::PassphraseNeeded => "; give it with --passphrase-fd N",
            IdentityFault::WrongPassphrase => "",
            _ => {
                "; restore it from a copy, or move it away to begin anew as somebody whom nobody knows"
            }
        };
        Failure::new(Exit::Identity, format!("{}: {fault}{next}", path.display()))
    };
    let text = str::from_utf8(&bytes).map_err(|_| damaged(IdentityFault::Damaged))?;
    Identity::from_pem(text, passphrase).map(Some).map_err(damaged)
}

/// Makes a key and keeps it.
fn make(home: &Home, passphrase: Option<&[u8]>) -> Result<Identity, Failure> {
    let path = home.path(IDENTITY_FILE);
    if std::io::stderr().is_terminal() {
        eprintln!("* making your key ({NEW_RSA_BITS} bits), kept in {}", path.display());
    }
    let failed = |fault| Failure::new(Exit::Identity, format!("{}: {fault}", path.display()));
    let identity = Identity::generate(NEW_RSA_BITS).map_err(failed)?;
    let pem = identity.to_pem(passphrase);
    home.write_new(IDENTITY_FILE, pem.as_bytes()).map_err(not_usable)?;
    Ok(identity)
}

fn remembered(home: &Home) -> Result<Option<String>, Failure> {
    let bytes = home.read(NAME_FILE, crate::limits::MAX_NAME + 1).map_err(not_usable)?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).trim_end().to_owned()))
}

/// The passphrase on descriptor `number`: its first line. Opened anew by its name, which leaves the descriptor itself
/// as it is for whoever gave it to us.
pub(super) fn read_passphrase(number: i32) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let failed = |why: &dyn std::fmt::Display| {
        Failure::new(Exit::Identity, format!("no passphrase on descriptor {number}: {why}"))
    };
    let file = File::open(format!("/proc/self/fd/{number}")).map_err(|error| failed(&error))?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_PASSPHRASE + 1));
    file.take(MAX_PASSPHRASE as u64 + 1).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    let end = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
    bytes.truncate(end);
    match bytes.len() {
        0 => Err(failed(&"it is empty")),
        length if length > MAX_PASSPHRASE => {
            Err(failed(&format!("it is longer than {MAX_PASSPHRASE} bytes")))
        }
        _ => Ok(bytes),
    }
}

/// A home, a file in it or its lock cannot be used.
#[allow(clippy::needless_pass_by_value)] // as `map_err` hands it over
pub(super) fn not_usable(error: HomeError) -> Failure {
    Failure::new(Exit::Identity, error)
}
