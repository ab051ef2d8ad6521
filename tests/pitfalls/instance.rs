//! An epoll instance as a test asks it, and the pairs of descriptors that it watches.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use nix::Result;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// How often a test asks where it shows a spin.
pub(crate) const TIMES: usize = 100;
/// More events than any test has sources.
const EVENTS: usize = 16;

/// An epoll instance: asked, it never waits.
pub(crate) struct Instance(Epoll);

impl Instance {
    pub(crate) fn new() -> Self {
        Self(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("a descriptor"))
    }

    /// `EPOLL_CTL_ADD`: watches `fd` for `flags`; what is told of it carries `name`.
    pub(crate) fn add(&self, fd: impl AsFd, name: u64, flags: EpollFlags) -> Result<()> {
        self.0.add(fd, EpollEvent::new(flags, name))
    }

    /// `EPOLL_CTL_MOD`: watches it for something else.
    pub(crate) fn change(&self, fd: impl AsFd, name: u64, flags: EpollFlags) -> Result<()> {
        self.0.modify(fd, &mut EpollEvent::new(flags, name))
    }

    /// `EPOLL_CTL_DEL`
    pub(crate) fn remove(&self, fd: impl AsFd) -> Result<()> {
        self.0.delete(fd)
    }

    /// What `epoll_wait` returns with a timeout of 0, at most `most` of it.
    pub(crate) fn ready_up_to(&self, most: usize) -> Vec<(u64, EpollFlags)> {
        let mut events = [EpollEvent::empty(); EVENTS];
        let count = self.0.wait(&mut events[..most], EpollTimeout::ZERO).expect("a valid call");
        events[..count].iter().map(|event| (event.data(), event.events())).collect()
    }

    /// All that `epoll_wait` returns with a timeout of 0.
    pub(crate) fn ready(&self) -> Vec<(u64, EpollFlags)> {
        self.ready_up_to(EVENTS)
    }

    /// Of [`TIMES`] waits in a row, how many returned something at once.
    pub(crate) fn spins(&self) -> usize {
        (0..TIMES).filter(|_| !self.ready().is_empty()).count()
    }

    /// One wait that may sleep; tells how much is ready.
    pub(crate) fn wait(&self, timeout: EpollTimeout) -> usize {
        self.0.wait(&mut [EpollEvent::empty(); EVENTS], timeout).expect("a valid call")
    }
}

/// Two ends of a connection, non-blocking. What one end does has reached the other when the call
/// returns: no network lies between that could take its time.
pub(crate) fn pair() -> (UnixStream, UnixStream) {
    let (ours, theirs) = UnixStream::pair().expect("two descriptors");
    ours.set_nonblocking(true).expect("a socket");
    theirs.set_nonblocking(true).expect("a socket");
    (ours, theirs)
}

/// Reads at most `most` bytes; none: there are none (`EAGAIN`).
pub(crate) fn read(mut from: impl Read, most: usize) -> Option<usize> {
    match from.read(&mut vec![0; most]) {
        Ok(count) => Some(count),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => None,
        Err(error) => panic!("{error}"),
    }
}

/// Writes all of `bytes`, for which there is room.
pub(crate) fn write(mut to: impl Write, bytes: &[u8]) {
    to.write_all(bytes).expect("room for a few bytes");
}
