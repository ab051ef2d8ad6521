//! Who an event is for: numbers are used again, and epoll does not watch numbers.

use std::collections::BTreeMap;
use std::io::pipe;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use nix::errno::Errno;
use nix::sys::epoll::EpollFlags;

use crate::child;
use crate::instance::{Instance, TIMES, pair, read, write};

fn number(of: &UnixStream) -> u64 {
    u64::try_from(of.as_raw_fd()).unwrap()
}

/// epoll(7), "If using an event cache": what was returned may name a descriptor that an earlier
/// event of the same batch made us close. open(2): a new descriptor gets the lowest free number. So
/// an event that was looked up by number reaches whoever has the number now.
#[test]
fn a_descriptor_that_is_closed_and_reused_within_a_batch_gets_the_old_ones_event() {
    child::run("reused", || {
        let epoll = Instance::new();
        let (first, first_peer) = pair();
        let (second, second_peer) = pair();
        let numbers = [number(&first), number(&second)];
        let mut connections = BTreeMap::from([(numbers[0], first), (numbers[1], second)]);
        for (&number, connection) in &connections {
            epoll.add(connection, number, EpollFlags::EPOLLIN).unwrap();
        }
        write(&first_peer, b"x");
        write(&second_peer, b"x");
        let batch = epoll.ready();
        assert_eq!(batch.iter().map(|&(name, _)| name).collect::<Vec<_>>(), numbers);

        // Two events are in our hands. The first makes us close the second connection, and somebody
        // new comes in.
        drop(connections.remove(&numbers[1]));
        let (newcomer, _peer) = pair();
        assert_eq!(number(&newcomer), numbers[1], "the lowest free number");
        connections.insert(number(&newcomer), newcomer);

        // The second event is next. By its number it is the newcomer's, who has sent nothing.
        let (name, flags) = batch[1];
        assert!(flags.contains(EpollFlags::EPOLLIN));
        assert_eq!(read(&connections[&name], 1), None);
    });
}

/// epoll(7), "Will closing a file descriptor cause it to be removed from all epoll interest
/// lists?": only once no descriptor refers to the open file description any more. Until then it is
/// told of, under the name that it had, and the number that could have removed it is gone.
#[test]
fn a_duplicated_descriptor_keeps_firing_after_the_watched_one_was_closed() {
    let epoll = Instance::new();
    let (watched, writer) = pipe().unwrap();
    let duplicate = watched.try_clone().unwrap();
    epoll.add(&watched, 7, EpollFlags::EPOLLIN).unwrap();
    drop(watched);

    write(&writer, b"x");
    assert_eq!(epoll.ready(), [(7, EpollFlags::EPOLLIN)]);
    assert_eq!(epoll.spins(), TIMES);
    // The interest list's key is the number and the open file together: the duplicate, which has
    // another number, is not registered.
    assert_eq!(epoll.remove(&duplicate), Err(Errno::ENOENT));
    assert_eq!(epoll.spins(), TIMES);

    drop(duplicate);
    assert_eq!(epoll.spins(), 0);
}

/// The way out that `close` in `src/reactor/linux.rs` takes: remove first, while the number is
/// still ours (epoll(7), in the same answer).
#[test]
fn a_descriptor_that_was_removed_before_it_was_closed_is_quiet_though_a_duplicate_is_open() {
    let epoll = Instance::new();
    let (watched, writer) = pipe().unwrap();
    let _duplicate = watched.try_clone().unwrap();
    epoll.add(&watched, 7, EpollFlags::EPOLLIN).unwrap();
    epoll.remove(&watched).unwrap();
    drop(watched);
    write(&writer, b"x");
    assert_eq!(epoll.spins(), 0);
}
