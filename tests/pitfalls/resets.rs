//! What a reset leaves to be read. On TCP, because what it destroys is a matter of the protocol.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::EpollFlags;
use nix::sys::socket::{setsockopt, sockopt};

use crate::instance::Instance;

/// Two ends of a connection over loopback: ours, non-blocking, and theirs.
fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    (ours, theirs)
}

/// socket(7), `SO_LINGER` with a time of 0: `close` sends a reset.
fn reset(theirs: TcpStream) {
    let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
    setsockopt(&theirs, sockopt::Linger, &at_once).unwrap();
    drop(theirs);
}

/// Waits until the reset has arrived, and tells what `epoll` says then.
fn told(ours: &TcpStream) -> EpollFlags {
    let mut polled = [PollFd::new(std::os::fd::AsFd::as_fd(ours), PollFlags::empty())];
    assert_eq!(poll(&mut polled, PollTimeout::NONE), Ok(1)); // poll(2): POLLERR and POLLHUP alone
    let epoll = Instance::new();
    epoll.add(ours, 1, EpollFlags::EPOLLIN).unwrap();
    let ready = epoll.ready();
    assert_eq!(ready.len(), 1);
    ready[0].1
}

/// What the calls of a broken connection return, one after the other: bytes, or the error.
fn answer(outcome: std::io::Result<usize>) -> Result<usize, ErrorKind> {
    outcome.map_err(|error| error.kind())
}

/// `tcp_recvmsg` in `net/ipv4/tcp.c`: the receive queue comes first, then the error, and then the
/// end. The error is told once, to the first call that asks, and that may be a write: before a read
/// has told of the reset, nothing but the bits of the event does.
#[test]
fn what_came_before_a_reset_is_read_before_it_is_told() {
    for writes in [false, true] {
        let (mut ours, mut theirs) = connected();
        theirs.write_all(b"ping").unwrap();
        reset(theirs);
        let broken = EpollFlags::EPOLLIN | EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP;
        assert_eq!(told(&ours), broken);
        let mut buffer = [0; 8];
        assert_eq!(answer(ours.read(&mut buffer)), Ok(4));
        let next = if writes { ours.write(b"pong") } else { ours.read(&mut buffer) };
        assert_eq!(answer(next), Err(ErrorKind::ConnectionReset));
        assert_eq!(answer(ours.read(&mut buffer)), Ok(0), "it is told once");
        assert_eq!(answer(ours.write(b"pong")), Err(ErrorKind::BrokenPipe));
    }
}

/// RFC 2525, section 2.17: a `close` while bytes lie unread sends a reset too. What had arrived
/// before it can still be read on this kernel; what `close` found unsent never leaves.
#[test]
fn closing_with_bytes_unread_sends_a_reset() {
    let (mut ours, mut theirs) = connected();
    ours.write_all(b"unread").unwrap();
    assert_eq!(theirs.peek(&mut [0; 8]).unwrap(), 6);
    theirs.write_all(b"last").unwrap();
    drop(theirs);
    told(&ours);
    let mut buffer = [0; 8];
    assert_eq!(answer(ours.read(&mut buffer)), Ok(4));
    assert_eq!(answer(ours.read(&mut buffer)), Err(ErrorKind::ConnectionReset));
}
