//! A stream of the process that is written without the loop, for a trace: through the loop, writing
//! one tick would cause the next.

use std::io::IoSlice;
use std::time::Duration;

use nix::Result;
use nix::errno::Errno;

use super::output::Taker;
use crate::reactor::{Interest, Io, Linux, ProcessFd, Sys, Token, Watch};

/// A descriptor of the process, waited for with a small loop of its own.
pub struct Stream {
    sys: Linux,
    io: Io,
}

impl Stream {
    /// Opens `fd`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn open(mut sys: Linux, fd: &ProcessFd) -> Result<Self> {
        let io = sys.open(fd)?;
        match sys.watch(io, Token::FIRST, Interest::WRITE, Watch::Begin) {
            // A descriptor that `epoll` cannot watch is always ready.
            Ok(()) | Err(Errno::EPERM) => Ok(Self { sys, io }),
            Err(errno) => Err(errno),
        }
    }
}

impl Taker for Stream {
    fn take(&mut self, bytes: &[u8], patience: Duration) -> (usize, Result<()>) {
        let until = self.sys.now() + patience;
        let (mut taken, mut ready) = (0, Vec::new());
        while taken < bytes.len() {
            match self.sys.writev(self.io, &[IoSlice::new(&bytes[taken..])]) {
                Ok(more) => taken += more,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    let left = until.since(self.sys.now());
                    if left.is_zero() {
                        break;
                    }
                    if let Err(errno) = self.sys.wait(&mut ready, Some(left)) {
                        return (taken, Err(errno));
                    }
                }
                Err(errno) => return (taken, Err(errno)),
            }
        }
        (taken, Ok(()))
    }
}
