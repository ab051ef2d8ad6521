//! Sockets that listen already, given by whoever has started this process (`sd_listen_fds(3)`).
//!
//! They outlive the relay: who connects between two relays waits for the next one, and nobody is
//! refused.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use nix::errno::Errno;

use super::{Exit, Failure};
use crate::limits::MAX_INHERITED_LISTENERS;
use crate::reactor::inherited_listener;

/// The first of the descriptors (`SD_LISTEN_FDS_START`).
const FIRST: i32 = 3;

/// A socket, and where it listens.
pub(super) type Listener = (Arc<OwnedFd>, SocketAddr);

/// The sockets that the variables `LISTEN_PID`, `LISTEN_FDS` and `LISTEN_FDNAMES` tell of.
///
/// # Errors
/// One of them is no TCP socket that listens, or there are too many.
pub(super) fn sockets() -> Result<Vec<Listener>, Failure> {
    let variable = |name: &str| std::env::var(name).ok();
    if variable("LISTEN_PID").and_then(|pid| pid.parse().ok()) != Some(std::process::id()) {
        return Ok(Vec::new()); // they are for another process, or there are none
    }
    let count = variable("LISTEN_FDS").unwrap_or_default();
    let count =
        count.parse::<i32>().ok().filter(|count| (0..=MAX_INHERITED_LISTENERS).contains(count));
    let Some(count) = count else {
        return Err(failed(format!(
            "the variable LISTEN_FDS is no number up to {MAX_INHERITED_LISTENERS}: give the relay \
             fewer sockets, or unset it"
        )));
    };
    let names = variable("LISTEN_FDNAMES").unwrap_or_default();
    let names: Vec<_> = names.split(':').collect();
    let given = (0..count).map(|place| {
        let number = FIRST + place;
        let name = usize::try_from(place).ok().and_then(|place| names.get(place));
        let (socket, address) = inherited_listener(number).map_err(|errno| {
            let name = name
                .filter(|name| !name.is_empty())
                .map_or(String::new(), |name| format!(" ('{}')", name.escape_debug()));
            failed(format!(
                "descriptor {number}{name}, which the relay was given to listen on, {}: give it \
                 TCP sockets only (ListenStream= of systemd, with an address)",
                why(errno)
            ))
        })?;
        Ok((Arc::new(socket), address))
    });
    given.collect()
}

fn why(errno: Errno) -> String {
    match errno {
        Errno::EBADF => "is not open".to_owned(),
        Errno::ENOTSOCK => "is no socket".to_owned(),
        Errno::EPROTOTYPE => "is no TCP socket".to_owned(),
        Errno::EINVAL => "does not listen".to_owned(),
        other => format!("cannot be used: {other}"),
    }
}

fn failed(message: String) -> Failure {
    Failure::new(Exit::Failed, message)
}
