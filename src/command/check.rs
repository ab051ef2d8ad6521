//! `serve --check`: whether the relay could start with these options, without starting it.
//!
//! Nothing is made and nothing is changed, so that it can run beside the relay whose options it
//! checks.

use std::io::Write;
use std::net::TcpListener;
use std::path::Path;

use nix::unistd::{AccessFlags, eaccess};

use super::cli::Serve;
use super::serve::{
    LOCK_FILE, NAMES_FILE, home_path, key_is_gone, read_key, read_own_key, unusable,
};
use super::{
    Exit, Failure, Outcome, capacity, certificate, cluster, help, log_file, tracing, watch,
};
use crate::crypto::RelayKey;
use crate::home::{Home, HomeError};
use crate::reactor::raise_descriptor_limit;
use crate::relay::names::BoundNames;

/// Prints the options that hold, and says whether the relay could start with them.
pub(super) fn check(arguments: &Serve) -> Outcome {
    help::is_seen()?;
    arguments.check().map_err(|why| Failure::new(Exit::Usage, why))?;
    let descriptors = raise_descriptor_limit().map_err(failed)?;
    let cluster = cluster::given(arguments)?; // its password comes on a descriptor
    let capacity = capacity::capacity(arguments, descriptors)?;
    if let Some(why) = capacity.fewer {
        let (served, asked) = (capacity.connections, arguments.max_connections);
        note(&format!("serves {served} connections of the {asked} asked for: {why}"));
    }
    certificate::engines(arguments)?;
    if let Some(path) = &arguments.log_file {
        check_file(path).map_err(|why| failed(log_file::refused(&why)))?;
    }
    if let Some(path) = &arguments.trace.trace_file {
        check_file(path).map_err(|why| failed(tracing::refused(&why, "--trace-file")))?;
    }
    let holder = if arguments.ephemeral { None } else { check_home(arguments)? };
    if let Some(given) = cluster {
        check_cluster(arguments, given)?;
    }
    if let Some(holder) = holder {
        // Its addresses are taken, by itself.
        note(&format!("the relay can start with these options once the other one ends: {holder}"));
    } else {
        check_addresses(arguments)?;
        watch::check(arguments)?;
        note("the relay can start with these options");
    }
    help::print(arguments.settings.to_toml().as_bytes())
}

/// The relay's key, if it was made.
fn key(arguments: &Serve, home: Option<&Home>) -> Result<Option<RelayKey>, Failure> {
    match (&arguments.relay_key, home) {
        (Some(path), _) => read_own_key(path),
        (None, Some(home)) => read_key(home),
        (None, None) => Ok(None),
    }
}

/// Asks the engine of the cluster whether it would take this relay.
fn check_cluster(arguments: &Serve, given: cluster::Given) -> Result<(), Failure> {
    let home = if arguments.ephemeral { None } else { Some(home_path(arguments.home.as_ref())?) };
    let home = home.filter(|path| path.exists());
    let home = home.map(Home::open).transpose().map_err(unusable)?;
    let key = key(arguments, home.as_ref())?;
    cluster::check(given, arguments, key.map(|key| key.public()), home)
}

/// Checks the home; if a relay runs on it, returns in words which.
fn check_home(arguments: &Serve) -> Result<Option<HomeError>, Failure> {
    let path = home_path(arguments.home.as_ref())?;
    if !path.exists() {
        check_directory_of(&path).map_err(failed)?;
        return Ok(None); // it would be made
    }
    let home = Home::open(&path).map_err(unusable)?;
    cluster::check_alone(arguments, &home)?;
    let held = match home.path(LOCK_FILE).exists().then(|| home.lock(LOCK_FILE)) {
        Some(Err(held @ HomeError::Held { .. })) => Some(held),
        Some(Err(error)) => return Err(unusable(error)),
        Some(Ok(_)) | None => None,
    };
    let names = home.path(NAMES_FILE);
    // A key elsewhere is made where it is missing, and the engine of the cluster has the names.
    let (key, is_elsewhere) = (key(arguments, Some(&home))?, arguments.relay_key.is_some());
    if !names.exists() && (key.is_none() || is_elsewhere) {
        eaccess(&path, AccessFlags::W_OK)
            .map_err(|errno| failed(format!("cannot write in '{}': {errno}", path.display())))?;
    } else if key.is_some() || is_elsewhere {
        BoundNames::can_be_read(&names).map(drop).map_err(failed)?;
    } else if BoundNames::can_be_read(&names).is_ok_and(|count| count > 0) {
        return Err(key_is_gone(&home)); // a start that was interrupted leaves a file without names
    }
    Ok(held)
}

/// Whether a file can be written, or made: in a directory that is there.
fn check_file(path: &Path) -> Result<(), String> {
    if path.exists() {
        return log_file::open(path, false).map(drop);
    }
    let directory = path.parent().filter(|it| !it.as_os_str().is_empty());
    eaccess(directory.unwrap_or(Path::new(".")), AccessFlags::W_OK | AccessFlags::X_OK)
        .map_err(|errno| format!("{}: {}", path.display(), errno.desc()))
}

/// Whether a directory can be made at `path`: in the nearest directory that is there.
fn check_directory_of(path: &Path) -> Result<(), String> {
    let above = |path: &Path| path.ancestors().skip(1).find(|it| it.exists()).map(Path::to_owned);
    let directory = above(path).filter(|it| !it.as_os_str().is_empty());
    let directory = directory.unwrap_or_else(|| ".".into());
    eaccess(&directory, AccessFlags::W_OK | AccessFlags::X_OK).map_err(|errno| {
        format!("cannot make '{}' in '{}': {errno}", path.display(), directory.display())
    })
}

/// Listens at each address, and stops at once.
fn check_addresses(arguments: &Serve) -> Result<(), Failure> {
    for address in arguments.addresses() {
        TcpListener::bind(address).map_err(|error| {
            failed(format!("cannot listen on {address}: {error}; choose another with --listen"))
        })?;
    }
    Ok(())
}

fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}"); // where nobody reads it, the exit code tells
}

fn failed(message: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Failed, message)
}
