//! Counts the bytes that users exchange with a target, as the kernel takes and gives them: with
//! TLS, and with all else that the protocol has beside messages.

use std::cell::Cell;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use nix::Result;

use crate::reactor::{Event, Interest, Io, Linux, ProcessFd, Sys, Time, Token, Watch};

/// Bytes of all connections, since the beginning or over some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    /// Read from the target.
    pub(super) received: u64,
    /// Written to the target.
    pub(super) sent: u64,
}

impl Traffic {
    /// What came after `earlier`.
    pub(super) fn since(self, earlier: Self) -> Self {
        Self {
            received: self.received.saturating_sub(earlier.received),
            sent: self.sent.saturating_sub(earlier.sent),
        }
    }
}

/// The kernel, and what went through its sockets.
pub(super) struct CountingLinux {
    linux: Linux,
    traffic: Rc<Cell<Traffic>>,
}

impl CountingLinux {
    /// This kernel; the other value always has the count up to now.
    pub(super) fn new(linux: Linux) -> (Self, Rc<Cell<Traffic>>) {
        let traffic = Rc::new(Cell::default());
        (Self { linux, traffic: Rc::clone(&traffic) }, traffic)
    }
}

/// Whether this is a connection, and neither standard error nor what signals are read from.
fn is_connection(io: Io) -> bool {
    matches!(io, Io::Own(_))
}

impl Sys for CountingLinux {
    fn now(&mut self) -> Time {
        self.linux.now()
    }

    fn wait(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> Result<()> {
        self.linux.wait(events, timeout)
    }

    fn listen(&mut self, at: SocketAddr) -> Result<(Io, SocketAddr)> {
        self.linux.listen(at)
    }

    fn accept(&mut self, listener: Io) -> Result<(Io, SocketAddr)> {
        self.linux.accept(listener)
    }

    fn shed(&mut self, listener: Io) {
        self.linux.shed(listener);
    }

    fn connect(&mut self, to: SocketAddr) -> Result<Io> {
        self.linux.connect(to)
    }

    fn error(&mut self, io: Io) -> Result<()> {
        self.linux.error(io)
    }

    fn open(&mut self, source: &ProcessFd) -> Result<Io> {
        self.linux.open(source)
    }

    fn watch(&mut self, io: Io, token: Token, interest: Interest, how: Watch) -> Result<()> {
        self.linux.watch(io, token, interest, how)
    }

    fn read(&mut self, io: Io, into: &mut [u8]) -> Result<usize> {
        let count = self.linux.read(io, into)?;
        if is_connection(io) {
            self.traffic.update(|it| Traffic { received: it.received + count as u64, ..it });
        }
        Ok(count)
    }

    fn writev(&mut self, io: Io, slices: &[IoSlice<'_>]) -> Result<usize> {
        let count = self.linux.writev(io, slices)?;
        if is_connection(io) {
            self.traffic.update(|it| Traffic { sent: it.sent + count as u64, ..it });
        }
        Ok(count)
    }

    fn shutdown(&mut self, io: Io) -> Result<()> {
        self.linux.shutdown(io)
    }

    fn close(&mut self, io: Io) {
        self.linux.close(io);
    }
}
