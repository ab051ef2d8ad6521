//! What epoll cannot see: bytes that were read and not looked at.

use std::io::{BufRead, BufReader, Read};

use nix::sys::epoll::EpollFlags;

use crate::instance::{Instance, pair, write};

/// epoll(7) tells of descriptors: "available for I/O". Whatever reads more than it hands on, such
/// as a buffered reader or an engine that decrypts, empties the descriptor, and level-triggered or
/// not, nobody is told of the rest. Who waits for the next event waits for the other end, which may
/// be waiting for the answer.
#[test]
fn bytes_that_a_reader_keeps_are_not_told() {
    for flags in [EpollFlags::EPOLLIN, EpollFlags::EPOLLIN | EpollFlags::EPOLLET] {
        let epoll = Instance::new();
        let (ours, theirs) = pair();
        epoll.add(&ours, 1, flags).unwrap();
        let mut reader = BufReader::new(&ours);
        write(&theirs, b"one request, and another");
        assert_ne!(epoll.spins(), 0);
        let mut first = [0; 12];
        reader.read_exact(&mut first).unwrap();
        assert_eq!(epoll.ready(), [], "the socket is empty");
        assert_eq!(reader.buffer(), b" and another", "and the reader is not");
        assert!(reader.fill_buf().unwrap().len() == 12, "so it has to be asked, not epoll");
    }
}
