//! What keeps a level-triggered loop awake although there is nothing to do.

use std::io::pipe;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use nix::sys::epoll::{EpollFlags, EpollTimeout};

use crate::instance::{Instance, TIMES, pair, read};

/// `epoll_ctl(2)`: `EPOLLHUP` and `EPOLLERR` are always reported, asked for or not. A source that
/// is watched for nothing is told of them at each wait all the same. With `EPOLLET` it is told
/// once: `Interest::NONE` in `src/reactor/sys.rs`.
#[test]
fn a_hangup_is_told_without_end_of_a_source_that_is_watched_for_nothing() {
    let epoll = Instance::new();
    let (reader, writer) = pipe().unwrap();
    epoll.add(&reader, 1, EpollFlags::empty()).unwrap();
    assert_eq!(epoll.spins(), 0);
    drop(writer);
    assert_eq!(epoll.ready(), [(1, EpollFlags::EPOLLHUP)]);
    assert_eq!(epoll.spins(), TIMES);
    epoll.change(&reader, 1, EpollFlags::EPOLLET).unwrap();
    assert_eq!(epoll.spins(), 1);
}

/// `epoll_ctl(2)`: `EPOLLERR` is also what the write end of a pipe shows once its read end is
/// closed.
#[test]
fn an_error_is_told_without_end_of_a_source_that_is_watched_for_nothing() {
    let epoll = Instance::new();
    let (reader, writer) = pipe().unwrap();
    epoll.add(&writer, 1, EpollFlags::empty()).unwrap();
    assert_eq!(epoll.spins(), 0);
    drop(reader);
    assert_eq!(epoll.ready(), [(1, EpollFlags::EPOLLERR)]);
    assert_eq!(epoll.spins(), TIMES);
    epoll.change(&writer, 1, EpollFlags::EPOLLET).unwrap();
    assert_eq!(epoll.spins(), 1);
}

/// `epoll_ctl(2)`: `EPOLLRDHUP` says that the other end has shut down its writing half; a state,
/// and not something that happens, so under level it is told at each wait. The end was read
/// already, and so is `EPOLLIN`: reading (0 bytes) changes neither.
#[test]
fn a_half_closed_peer_is_told_without_end_under_level() {
    let epoll = Instance::new();
    let (ours, theirs) = pair();
    let both = EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP;
    epoll.add(&ours, 1, both).unwrap();
    theirs.shutdown(Shutdown::Write).unwrap();
    for _ in 0..TIMES {
        assert_eq!(epoll.ready(), [(1, both)]);
        assert_eq!(read(&ours, 1), Some(0));
    }
    // The only way out that leaves our own half open is to ask for neither. A hang-up, by contrast,
    // is told still (above): it means that both halves are closed.
    epoll.change(&ours, 1, EpollFlags::empty()).unwrap();
    assert_eq!(epoll.spins(), 0);
    drop(theirs);
    assert_eq!(epoll.ready(), [(1, EpollFlags::EPOLLHUP)]);
}

/// `epoll_ctl(2)`: `EPOLLOUT` means that a write would not block, which is so nearly always. Left
/// armed with nothing to say, it is told at each wait.
#[test]
fn room_for_output_is_told_without_end_while_it_is_asked_for() {
    let epoll = Instance::new();
    let (ours, _theirs) = pair();
    epoll.add(&ours, 1, EpollFlags::EPOLLOUT).unwrap();
    assert_eq!(epoll.ready(), [(1, EpollFlags::EPOLLOUT)]);
    assert_eq!(epoll.spins(), TIMES);
    epoll.change(&ours, 1, EpollFlags::EPOLLIN).unwrap();
    assert_eq!(epoll.spins(), 0);
}

/// Counts the waits until `length` has passed, where the time that is left becomes a timeout by
/// `rounding`.
fn waits_until(length: Duration, rounding: impl Fn(Duration) -> EpollTimeout) -> usize {
    let epoll = Instance::new();
    let due = Instant::now() + length;
    let mut waits = 0;
    while let Some(left) = due.checked_duration_since(Instant::now()).filter(|it| !it.is_zero()) {
        assert_eq!(epoll.wait(rounding(left)), 0);
        waits += 1;
    }
    waits
}

/// `epoll_wait(2)`: the timeout counts whole milliseconds, and 0 returns at once. So the last
/// fraction of a wait, cut off, is not waited for at all: it is spun away.
#[test]
fn a_timeout_that_is_cut_to_milliseconds_spins_and_one_that_is_rounded_up_does_not() {
    let length = Duration::from_micros(1_900);
    let cut = |left: Duration| EpollTimeout::try_from(left).unwrap();
    assert_eq!(cut(Duration::from_micros(999)), EpollTimeout::ZERO, "nix cuts, too");
    let rounded_up = |left: Duration| {
        let milliseconds = left.as_nanos().div_ceil(1_000_000);
        EpollTimeout::try_from(i32::try_from(milliseconds).unwrap()).unwrap()
    };
    // A busy machine may sleep through the fraction of some of these waits, but not of all.
    assert!((0..TIMES).any(|_| waits_until(length, cut) > TIMES), "it did not spin");
    for _ in 0..10 {
        assert!(waits_until(length, rounded_up) <= 1, "it returned too early");
    }
}
