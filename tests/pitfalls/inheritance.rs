//! What a program that is started takes along, and what a full backlog does.

use std::io::Read;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::process::Command;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, getsockname, listen,
    socket,
};

/// Whether a program that is started now has this descriptor.
fn is_inherited(fd: impl AsFd) -> bool {
    let path = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    Command::new("test").args(["-e", &path]).status().unwrap().success()
}

#[test]
fn a_descriptor_without_close_on_exec_goes_to_the_program_that_is_started() {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    assert!(!is_inherited(&ours), "std sets close-on-exec");
    fcntl(&ours, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
    assert!(is_inherited(&ours));
}

#[test]
fn a_duplicate_of_an_instance_has_the_same_interest_list() {
    let instance = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).unwrap();
    let duplicate = Epoll(instance.0.try_clone().unwrap()); // such as `fork` gives the new process
    let (ours, _theirs) = UnixStream::pair().unwrap();
    instance.add(&ours, EpollEvent::new(EpollFlags::EPOLLOUT, 1)).unwrap();
    let told = |by: &Epoll| by.wait(&mut [EpollEvent::empty(); 2], EpollTimeout::ZERO).unwrap();
    assert_eq!((told(&instance), told(&duplicate)), (1, 1));
    duplicate.delete(&ours).unwrap();
    assert_eq!(told(&instance), 0);
}

#[test]
fn a_connection_ends_when_the_last_descriptor_of_it_is_closed() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let duplicate = ours.try_clone().unwrap();
    drop(ours);
    let end = theirs.read(&mut [0; 1]).map_err(|it| it.raw_os_error());
    assert_eq!(end, Err(Some(libc::EAGAIN)), "the duplicate keeps it open");
    drop(duplicate);
    assert_eq!(theirs.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn a_full_backlog_is_seen_by_who_connects_and_not_by_who_listens() {
    let open = || {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        socket(AddressFamily::Unix, SockType::Stream, flags, None).unwrap()
    };
    let listener = open();
    bind(listener.as_raw_fd(), &UnixAddr::new_unnamed()).unwrap(); // the kernel chooses a name
    listen(&listener, Backlog::new(1).unwrap()).unwrap();
    let at: UnixAddr = getsockname(listener.as_raw_fd()).unwrap();
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let client = open();
            connect(client.as_raw_fd(), &at).unwrap(); // nobody has accepted it
            client
        })
        .collect();
    let late = open();
    assert_eq!(connect(late.as_raw_fd(), &at), Err(Errno::EAGAIN));
    drop(waiting);
}
