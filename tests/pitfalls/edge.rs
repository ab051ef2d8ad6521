//! What edge-triggered notification loses, and what draining costs.

use nix::sys::epoll::EpollFlags;

use crate::instance::{Instance, TIMES, pair, read, write};

const EDGE: EpollFlags = EpollFlags::EPOLLIN.union(EpollFlags::EPOLLET);

/// epoll(7), "Level-triggered and edge-triggered", its five steps: with `EPOLLET` an event is told
/// when something changes, so what was left unread is not told again. The reader sleeps on bytes
/// that it has, and the writer waits for an answer to them.
#[test]
fn an_edge_without_draining_loses_the_wakeup() {
    let epoll = Instance::new();
    let (ours, theirs) = pair();
    epoll.add(&ours, 1, EDGE).unwrap();
    write(&theirs, &[0; 2048]);
    assert_eq!(epoll.ready(), [(1, EpollFlags::EPOLLIN)]);
    assert_eq!(read(&ours, 1024), Some(1024));
    assert_eq!(epoll.spins(), 0, "nobody tells of the other kilobyte");
    assert_eq!(read(&ours, 2048), Some(1024), "which is there");

    // Level-triggered, it is told until it is read.
    epoll.change(&ours, 1, EpollFlags::EPOLLIN).unwrap();
    write(&theirs, &[0; 2048]);
    read(&ours, 1024);
    assert_eq!(epoll.spins(), TIMES);
}

/// epoll(7), "Do I need to continuously read/write …": consider it ready until `EAGAIN`. More
/// bytes are a new change and are told, and so is a change of what is asked for ("modify will
/// reread available I/O"): both mend a lost wake-up, neither is to be relied on.
#[test]
fn an_edge_is_told_again_when_more_comes_and_when_it_is_armed_anew() {
    let epoll = Instance::new();
    let (ours, theirs) = pair();
    epoll.add(&ours, 1, EDGE).unwrap();
    for _ in 0..2 {
        write(&theirs, b"x");
        assert_eq!(epoll.spins(), 1);
    }
    epoll.change(&ours, 1, EDGE).unwrap();
    assert_eq!(epoll.spins(), 1);
}

/// epoll(7), "Starvation (edge-triggered)": who drains one source does not get to the others. The
/// `EAGAIN` that would end it never comes while the other end keeps up.
#[test]
fn an_edge_with_draining_starves_the_others() {
    let epoll = Instance::new();
    let (greedy, greedy_peer) = pair();
    let (quiet, quiet_peer) = pair();
    epoll.add(&greedy, 1, EDGE).unwrap();
    epoll.add(&quiet, 2, EDGE).unwrap();
    write(&greedy_peer, b"x");
    write(&quiet_peer, b"x");
    let events = epoll.ready();
    assert_eq!(events, [(1, EpollFlags::EPOLLIN), (2, EpollFlags::EPOLLIN)]);
    let mut reads = 0;
    while read(&greedy, 64).is_some() && reads < 1000 {
        reads += 1;
        write(&greedy_peer, b"x"); // as fast as we read
    }
    assert_eq!(reads, 1000, "the end of the draining came");
    assert_eq!(read(&quiet, 64), Some(1), "who was told in the same batch waits still");
}

/// `epoll_wait(2)`, NOTES: where more are ready than are asked for, successive calls go round robin
/// through them. With one read an event, the kernel's list is the fair queue: who sends without end
/// gets every second turn beside one other, and not all.
#[test]
fn under_level_one_read_an_event_serves_all_in_turn() {
    let epoll = Instance::new();
    let (greedy, greedy_peer) = pair();
    let (quiet, quiet_peer) = pair();
    epoll.add(&greedy, 1, EpollFlags::EPOLLIN).unwrap();
    epoll.add(&quiet, 2, EpollFlags::EPOLLIN).unwrap();
    write(&greedy_peer, b"x");
    write(&quiet_peer, &[0; TIMES]);
    let mut turns = Vec::new();
    for _ in 0..TIMES {
        let events = epoll.ready_up_to(1);
        turns.push(events[0].0);
        match events[0].0 {
            1 => {
                read(&greedy, 64);
                write(&greedy_peer, b"x");
            }
            _ => assert_eq!(read(&quiet, 1), Some(1)),
        }
    }
    assert!(turns.iter().copied().eq([1, 2].into_iter().cycle().take(TIMES)), "{turns:?}");
}
