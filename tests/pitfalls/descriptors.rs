//! Descriptors that run out, cannot be watched, are shared with others, or are not ready after all.

use std::fs::File;
use std::io::pipe;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::epoll::EpollFlags;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::stat::Mode;

use crate::child;
use crate::instance::{Instance, TIMES, read, write};

/// Newcomers in the backlog of a test.
const NEWCOMERS: usize = 3;

/// A listener with newcomers, in a process that cannot have a descriptor more.
struct Full {
    epoll: Instance,
    listener: UnixListener,
    _folder: tempfile::TempDir,
    _newcomers: Vec<UnixStream>,
}

/// getrlimit(2), `RLIMIT_NOFILE`: one more than the highest number that may be had. A connection to
/// a listener of this family is in its backlog once `connect` has returned (unix(7)).
fn full(flags: EpollFlags) -> Full {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("listener");
    let listener = UnixListener::bind(&at).unwrap();
    listener.set_nonblocking(true).unwrap();
    let epoll = Instance::new();
    epoll.add(&listener, 1, flags).unwrap();
    let newcomers = (0..NEWCOMERS).map(|_| UnixStream::connect(&at).unwrap()).collect();
    let lowest_free = u64::try_from(File::open("/dev/null").unwrap().as_raw_fd()).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, lowest_free, lowest_free + 100).unwrap();
    Full { epoll, listener, _folder: folder, _newcomers: newcomers }
}

/// What has run out comes back.
fn relieve() {
    let (_, hard) = nix::sys::resource::getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
}

fn accept(listener: &UnixListener) -> Result<UnixStream, Option<i32>> {
    listener.accept().map(|(stream, _)| stream).map_err(|error| error.raw_os_error())
}

const EMFILE: Option<i32> = Some(libc::EMFILE);

/// accept(2): `EMFILE`, the limit of this process is reached, and the connection stays in the
/// backlog. So the listener stays ready, and each wait returns at once to fail again.
#[test]
fn without_descriptors_a_listener_spins_under_level() {
    child::run("emfile under level", || {
        let full = full(EpollFlags::EPOLLIN);
        for _ in 0..TIMES {
            assert_eq!(full.epoll.ready(), [(1, EpollFlags::EPOLLIN)]);
            assert_eq!(accept(&full.listener).err(), Some(EMFILE));
        }
        relieve();
        assert!(accept(&full.listener).is_ok());
    });
}

/// The same under `EPOLLET`: the failed accept has used the edge up, and that descriptors are free
/// again is no change of the listener. Who waited in the backlog waits until somebody else comes.
#[test]
fn without_descriptors_a_listener_strands_its_backlog_under_edge() {
    child::run("emfile under edge", || {
        let full = full(EpollFlags::EPOLLIN | EpollFlags::EPOLLET);
        assert_eq!(full.epoll.ready(), [(1, EpollFlags::EPOLLIN)]);
        assert_eq!(accept(&full.listener).err(), Some(EMFILE));
        relieve();
        assert_eq!(full.epoll.spins(), 0, "nobody tells that there is room again");
        let accepted = (0..NEWCOMERS).map_while(|_| accept(&full.listener).ok());
        assert_eq!(accepted.count(), NEWCOMERS, "though all of them are waiting");
    });
}

/// The way out of `shed` in `src/reactor/linux.rs`: a descriptor kept in reserve is given up
/// for one accept, whose connection is closed at once. Whoever waits longest learns that there is
/// no room, and the backlog gets shorter.
#[test]
fn a_descriptor_in_reserve_is_enough_to_turn_the_backlog_away() {
    child::run("reserve", || {
        let reserve = File::open("/dev/null").unwrap();
        let full = full(EpollFlags::EPOLLIN);
        assert_eq!(accept(&full.listener).err(), Some(EMFILE));
        drop(reserve);
        for _ in 0..NEWCOMERS {
            drop(accept(&full.listener).unwrap());
        }
        assert_eq!(full.epoll.spins(), 0);
    });
}

/// `epoll_ctl(2)`: `EPERM`, the file does not support epoll, such as a regular file. poll(2) does
/// not refuse it, and says why: a regular file is always ready.
#[test]
fn a_regular_file_cannot_be_watched_because_it_is_always_ready() {
    let epoll = Instance::new();
    let file = tempfile::tempfile().unwrap();
    let null = File::open("/dev/null").unwrap();
    for always_ready in [file.as_fd(), null.as_fd()] {
        assert_eq!(epoll.add(always_ready, 1, EpollFlags::EPOLLIN), Err(Errno::EPERM));
        let mut polled = [PollFd::new(always_ready, PollFlags::POLLIN | PollFlags::POLLOUT)];
        assert_eq!(poll(&mut polled, PollTimeout::ZERO), Ok(1));
        assert_eq!(polled[0].revents(), Some(PollFlags::POLLIN | PollFlags::POLLOUT));
    }
}

fn is_nonblocking(fd: impl AsFd) -> bool {
    let flags = OFlag::from_bits_truncate(fcntl(fd, FcntlArg::F_GETFL).unwrap());
    flags.contains(OFlag::O_NONBLOCK)
}

/// open(2), "Open file descriptions": the file status flags, `O_NONBLOCK` among them, belong to the
/// open file, which fork(2) and dup(2) share. A program that sets the flag on its standard input
/// sets it for the shell that started it, and leaves it so.
#[test]
fn a_child_that_makes_its_standard_input_nonblocking_makes_its_parents_so() {
    const TEST: &str = "leaks";
    if child::is_child(TEST) {
        let input = std::io::stdin();
        fcntl(&input, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        return;
    }
    let (reader, _writer) = pipe().unwrap();
    assert!(!is_nonblocking(&reader));
    let theirs = OwnedFd::from(reader.try_clone().unwrap());
    let mut child = child::start(TEST, |command| command.stdin(theirs));
    let said = child::report(&mut child);
    assert!(child.wait().unwrap().success(), "{said}");
    assert!(is_nonblocking(&reader), "the child is gone, and its flag is not");
    assert_eq!(read(&reader, 1), None, "what would have waited fails");
}

/// `proc_pid_fd(5)`: opening `/proc/self/fd/N` of a pipe opens the pipe anew, so there is a new
/// open file with flags of its own: `standard` in `src/reactor/inherited.rs`.
#[test]
fn a_pipe_that_is_opened_anew_has_flags_of_its_own() {
    let (reader, writer) = pipe().unwrap();
    let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
    let own = open(path.as_str(), OFlag::O_RDONLY | OFlag::O_NONBLOCK, Mode::empty()).unwrap();
    assert!(is_nonblocking(&own) && !is_nonblocking(&reader));
    write(&writer, b"x");
    assert_eq!(read(File::from(own), 1), Some(1), "and it is the same pipe");
}

/// epoll(7), "Can two epoll instances wait for the same file descriptor?": both are told. Only one
/// of them finds what it was told of: an event says what was so when the kernel looked. Hence
/// `O_NONBLOCK` everywhere (select(2), BUGS, gives more causes), and hence `EAGAIN` is no error.
#[test]
fn an_event_can_be_spurious() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("listener");
    let listener = UnixListener::bind(&at).unwrap();
    listener.set_nonblocking(true).unwrap();
    let (ours, theirs) = (Instance::new(), Instance::new());
    ours.add(&listener, 1, EpollFlags::EPOLLIN).unwrap();
    theirs.add(&listener, 1, EpollFlags::EPOLLIN).unwrap();
    let _newcomer = UnixStream::connect(&at).unwrap();
    assert_eq!(ours.ready(), [(1, EpollFlags::EPOLLIN)]);
    assert_eq!(theirs.ready(), [(1, EpollFlags::EPOLLIN)]);
    assert!(accept(&listener).is_ok());
    assert_eq!(accept(&listener).err(), Some(Some(libc::EAGAIN)));
}
