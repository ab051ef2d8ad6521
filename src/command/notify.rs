//! What the relay says to systemd, or to whoever else has set `NOTIFY_SOCKET` (`sd_notify(3)`).
//!
//! Datagrams on a unix socket, a few words each. None is waited for: what the socket does not take
//! now is said with the next one.

use std::ffi::OsStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, sendto, socket};

use crate::limits::STATUS_INTERVAL;
use crate::reactor::monotonic;
use crate::relay::{ServiceState, Supervisor};

/// The socket of whoever has started this process.
#[derive(Debug)]
pub(super) struct Notifier {
    socket: OwnedFd,
    to: UnixAddr,
    /// After so long without a sign of life the process is taken for dead.
    watchdog: Option<Duration>,
    /// What the socket did not take.
    unsent: String,
}

impl Notifier {
    /// As the variables `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` say; none where there
    /// is nobody to tell, or no way to do it.
    pub(super) fn from_environment() -> Option<Self> {
        let path = std::env::var_os("NOTIFY_SOCKET")?;
        let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
        let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|&usec| is_ours && usec > 0);
        Self::new(&path, watchdog.map(Duration::from_micros))
    }

    fn new(path: &OsStr, watchdog: Option<Duration>) -> Option<Self> {
        let to = match path.as_bytes() {
            [b'@', name @ ..] => UnixAddr::new_abstract(name),
            _ => UnixAddr::new(path),
        };
        let (family, flags) = (AddressFamily::Unix, SockFlag::SOCK_CLOEXEC);
        let socket = socket(family, SockType::Datagram, flags, None).ok()?;
        Some(Self { socket, to: to.ok()?, watchdog, unsent: String::new() })
    }
}

impl Supervisor for Notifier {
    fn tell(&mut self, state: ServiceState, status: &str) {
        let words = match state {
            ServiceState::Ready => "READY=1\n".to_owned(),
            ServiceState::Reloading => {
                let now = monotonic().as_nanos() / 1_000;
                format!("RELOADING=1\nMONOTONIC_USEC={now}\n")
            }
            ServiceState::Stopping => "STOPPING=1\n".to_owned(),
            ServiceState::Alive if self.watchdog.is_some() => "WATCHDOG=1\n".to_owned(),
            ServiceState::Alive => String::new(),
        };
        let message = format!("{}{words}STATUS={status}\n", self.unsent);
        self.unsent.clear();
        // A sign of life that is late is of no use; each of the others is said once, so that this
        // stays short.
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let sent = sendto(self.socket.as_raw_fd(), message.as_bytes(), &self.to, flags);
        if sent.is_err() && state != ServiceState::Alive {
            self.unsent = words;
        }
    }

    fn interval(&self) -> Duration {
        // Twice in the time, as sd_watchdog_enabled(3) advises.
        self.watchdog.map_or(STATUS_INTERVAL, |time| STATUS_INTERVAL.min(time / 2))
    }
}
