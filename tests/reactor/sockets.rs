//! Sockets of the kernel that the tests run on, with ends that know nothing of this reactor.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::sync::Arc;
use std::thread;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal as UnixSignal, raise};
use nix::sys::socket::{getsockopt, sockopt};
use sealwax::reactor::limits::{KEEPALIVE_IDLE_SECONDS, USER_TIMEOUT_MILLISECONDS};
use sealwax::reactor::{
    CloseReason, Linux, Opened, ProcessFd, Signal, Sys, Waker, inherited, inherited_listener,
};

use crate::child;
use crate::real::{ANYWHERE, PATIENCE, Real};
use crate::recorder::{Recorder, Told, echo, silent};

fn is_closed(told: &Told) -> bool {
    matches!(told, Told::Closed(..))
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + at / 251).to_le_bytes()[0]).collect()
}

#[test]
fn a_socket_echoes_what_it_is_sent_in_pieces() {
    let mut real = Real::new();
    let mut handler = echo();
    let (_, at) = real.listen(&mut handler);
    let client = thread::spawn(move || {
        let mut stream = TcpStream::connect(at).unwrap();
        let mut writer = stream.try_clone().unwrap();
        let writing = thread::spawn(move || {
            let sent = bytes(2_000_000);
            for piece in [1, 2, 1_000, 70_000, 300_000].into_iter().cycle().scan(0, |from, most| {
                let piece = &sent[*from..sent.len().min(*from + most)];
                *from += piece.len();
                (!piece.is_empty()).then_some(piece)
            }) {
                writer.write_all(piece).unwrap();
            }
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut returned = Vec::new();
        stream.read_to_end(&mut returned).unwrap();
        writing.join().unwrap();
        assert!(returned == bytes(2_000_000));
    });
    real.until(&mut handler, is_closed);
    client.join().unwrap();
    assert_eq!(real.cx().queued_in_all(), 0);
}

#[test]
fn the_last_frame_reaches_a_client_that_was_still_sending() {
    let mut real = Real::new();
    let mut handler = Recorder::new(|cx, told| {
        if let Told::Received(from, _) = told {
            cx.send(*from, &[b"goodbye"]);
            cx.close(*from);
        }
    });
    let (_, at) = real.listen(&mut handler);
    let client = thread::spawn(move || {
        let mut stream = TcpStream::connect(at).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&bytes(200_000)).unwrap();
        let mut received = Vec::new();
        stream.read_to_end(&mut received).unwrap(); // a reset would be an error here
        assert_eq!(received, b"goodbye");
    });
    real.until(&mut handler, is_closed);
    client.join().unwrap();
    let is_end = |told: &Told| matches!(told, Told::Closed(_, CloseReason::Closed));
    assert!(handler.told.iter().any(is_end));
}

#[test]
fn a_half_closed_socket_does_not_spin_and_a_reset_of_it_is_told() {
    let mut real = Real::new();
    let mut handler = silent();
    let (_, at) = real.listen(&mut handler);
    let mut stream = TcpStream::connect(at).unwrap();
    stream.write_all(b"last words").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    real.until(&mut handler, |told| matches!(told, Told::Ended(..)));
    let Some(Told::Received(id, received)) = handler.told.get(2).cloned() else { panic!() };
    assert_eq!(received, b"last words");
    real.assert_rest(&mut handler);
    real.cx().send(id, &[b"unread when it closes, so that it answers with a reset"]);
    real.reactor.tick(&mut handler, None).unwrap();
    drop(stream);
    real.until(&mut handler, is_closed);
    real.assert_rest(&mut handler);
}

#[test]
fn a_port_where_nobody_listens_refuses_and_one_that_is_taken_cannot_be_had() {
    let mut real = Real::new();
    let mut handler = silent();
    let taken = TcpListener::bind(ANYWHERE).unwrap();
    let free = TcpListener::bind(ANYWHERE).unwrap().local_addr().unwrap();
    let refused = real.cx().connect(free);
    let in_use = real.cx().listen(taken.local_addr().unwrap());
    for (id, errno) in [(refused, Errno::ECONNREFUSED), (in_use, Errno::EADDRINUSE)] {
        let end = Told::Closed(id, CloseReason::Failed(errno));
        real.until(&mut handler, |told| *told == end);
    }
    assert_eq!(handler.told.len(), 2);
}

#[test]
fn a_port_can_be_had_again_at_once_although_old_connections_linger() {
    let mut real = Real::new();
    let mut handler = Recorder::new(|cx, told| {
        if let Told::Opened(id, Opened::Accepted { .. }) = told {
            cx.close(*id);
        }
    });
    let (_, at) = real.listen(&mut handler);
    let mut stream = TcpStream::connect(at).unwrap();
    real.until(&mut handler, |told| matches!(told, Told::Opened(_, Opened::Accepted { .. })));
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    drop(stream);
    real.until(&mut handler, is_closed);
    drop(real);
    let mut real = Real::new();
    let mut handler = silent();
    let id = real.cx().listen(at);
    real.until(&mut handler, |told| *told == Told::Opened(id, Opened::Listening(at)));
}

#[test]
fn two_ends_on_one_loop_talk_to_each_other() {
    let mut real = Real::new();
    let mut handler = Recorder::new(|cx, told| match told {
        Told::Opened(_, Opened::Listening(at)) => drop(cx.connect(*at)),
        Told::Opened(id, Opened::Connected) => cx.send(*id, &[b"ping"]),
        Told::Received(from, bytes) if bytes == b"ping" => cx.send(*from, &[b"pong"]),
        Told::Received(from, _) | Told::Ended(from, _) => cx.close(*from),
        _ => {}
    });
    real.listen(&mut handler);
    real.until(&mut handler, is_closed);
    while handler.alive().len() > 1 {
        real.reactor.tick(&mut handler, Some(PATIENCE)).unwrap();
    }
    real.assert_rest(&mut handler);
    let closed = |told: &&Told| matches!(told, Told::Closed(_, CloseReason::Closed));
    assert_eq!(handler.told.iter().filter(closed).count(), 2);
}

#[test]
fn another_thread_can_wake_the_loop() {
    let mut real = Real::new();
    let mut handler = silent();
    let waker = Waker::new().unwrap();
    let id = real.cx().open(ProcessFd::Wake(waker.clone()));
    real.until(&mut handler, |told| *told == Told::Opened(id, Opened::ProcessFd));
    real.assert_rest(&mut handler);
    for _ in 0..3 {
        handler.take();
        let waker = waker.clone();
        let other = thread::spawn(move || {
            waker.wake();
            waker.wake();
        });
        real.until(&mut handler, |told| matches!(told, Told::Received(of, _) if *of == id));
        other.join().unwrap();
        real.assert_rest(&mut handler);
    }
    real.cx().close(id);
    real.until(&mut handler, is_closed);
    waker.wake();
    real.assert_rest(&mut handler);
}

#[test]
fn signals_are_told_in_place_of_what_they_do() {
    let mut real = Real::new();
    let mut handler = silent();
    let id = real.cx().open(ProcessFd::Signals);
    real.until(&mut handler, |told| *told == Told::Opened(id, Opened::ProcessFd));
    for (sent, told) in [
        (UnixSignal::SIGTERM, Signal::Terminate),
        (UnixSignal::SIGHUP, Signal::Hangup),
        (UnixSignal::SIGUSR1, Signal::User1),
    ] {
        raise(sent).unwrap();
        real.until(&mut handler, |it| *it == Told::Signal(told));
    }
    real.assert_rest(&mut handler);
}

/// Others hold the socket too, so the kernel does not forget by itself that it is watched.
#[test]
fn an_inherited_listener_that_is_closed_here_is_reported_no_more() {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let (inherited, at) = inherited_listener(socket.as_raw_fd()).unwrap();
    assert_eq!(at, socket.local_addr().unwrap());
    let mut real = Real::new();
    let mut handler = silent();
    let id = real.cx().open(ProcessFd::Inherited(Arc::new(inherited)));
    real.until(&mut handler, |told| *told == Told::Opened(id, Opened::ProcessFd));
    let _first = TcpStream::connect(at).unwrap();
    let is_accepted = |told: &Told| matches!(told, Told::Opened(_, Opened::Accepted { .. }));
    real.until(&mut handler, is_accepted);
    real.cx().close(id);
    real.until(&mut handler, is_closed);
    let second = TcpStream::connect(at).unwrap();
    real.assert_rest(&mut handler);
    // The next process that has the socket accepts who has connected meanwhile.
    socket.set_nonblocking(false).unwrap();
    assert_eq!(socket.accept().unwrap().1, second.local_addr().unwrap());
}

#[test]
fn what_is_no_listener_is_not_taken_for_one() {
    let errno = |number| inherited_listener(number).unwrap_err();
    let datagram = UdpSocket::bind("127.0.0.1:0").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let unix = UnixListener::from(UnixDatagram::unbound().map(OwnedFd::from).unwrap());
    let file = std::fs::File::open("/dev/null").unwrap();
    assert_eq!(errno(datagram.as_raw_fd()), Errno::EPROTOTYPE);
    assert_eq!(errno(unix.as_raw_fd()), Errno::EPROTOTYPE);
    assert_eq!(errno(stream.as_raw_fd()), Errno::EINVAL);
    assert_eq!(errno(file.as_raw_fd()), Errno::ENOTSOCK);
    assert_eq!(errno(100_000), Errno::EBADF);
}

#[test]
fn an_accepted_socket_has_the_options_of_its_listener() {
    let mut linux = Linux::new().unwrap();
    let (listener, at) = linux.listen(ANYWHERE.parse().unwrap()).unwrap();
    let stream = TcpStream::connect(at).unwrap();
    let (io, peer) = linux.accept(listener).unwrap();
    assert_eq!(peer, stream.local_addr().unwrap());
    let outgoing = linux.connect(at).unwrap();
    for io in [io, outgoing] {
        let fd = inherited(io.number()).unwrap();
        assert!(getsockopt(&fd, sockopt::TcpNoDelay).unwrap());
        assert!(getsockopt(&fd, sockopt::KeepAlive).unwrap());
        assert_eq!(getsockopt(&fd, sockopt::TcpKeepIdle), Ok(KEEPALIVE_IDLE_SECONDS));
        assert_eq!(getsockopt(&fd, sockopt::TcpUserTimeout), Ok(USER_TIMEOUT_MILLISECONDS));
        // Of the descriptor itself, for a duplicate has flags of its own (proc_pid_fdinfo(5)).
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", io.number())).unwrap();
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
        let flags = OFlag::from_bits_retain(i32::from_str_radix(flags, 8).unwrap());
        assert!(flags.contains(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC));
    }
    for io in [io, outgoing, listener] {
        linux.close(io);
    }
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("proc is mounted").count()
}

#[test]
fn a_storm_of_connections_leaves_no_descriptor_behind() {
    child::run("storm", || {
        let mut real = Real::new();
        let mut handler = echo();
        let (_, at) = real.listen(&mut handler);
        let before = open_descriptors();
        for round in 0..20 {
            let mut streams: Vec<_> = (0..50).map(|_| TcpStream::connect(at).unwrap()).collect();
            for (number, stream) in streams.iter_mut().enumerate() {
                if number % 3 > 0 {
                    stream.write_all(b"unread by whoever sent it").unwrap();
                }
                if number % 2 > 0 {
                    real.reactor.tick(&mut handler, Some(std::time::Duration::ZERO)).unwrap();
                }
            }
            drop(streams);
            while handler.told.iter().filter(|told| is_closed(told)).count() < 50 * (round + 1) {
                real.reactor.tick(&mut handler, Some(PATIENCE)).unwrap();
            }
        }
        assert_eq!(open_descriptors(), before);
        assert_eq!(handler.alive().len(), 1);
        real.assert_rest(&mut handler);
        let next = real.cx().connect(at);
        assert!(next.slot() <= 51, "slots are used again");
    });
}

#[test]
fn without_descriptors_those_who_are_there_are_served_and_newcomers_afterwards() {
    child::run("exhausted", || {
        let mut real = Real::new();
        let mut handler = echo();
        let (_, at) = real.listen(&mut handler);
        let mut old = TcpStream::connect(at).unwrap();
        real.until(&mut handler, |told| matches!(told, Told::Opened(_, Opened::Accepted { .. })));
        let mut waiting: Vec<_> = (0..3).map(|_| TcpStream::connect(at).unwrap()).collect();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        let next = std::fs::File::open("/dev/null").unwrap().as_raw_fd(); // and closed again
        let full = u64::try_from(next).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, full, hard).unwrap();
        handler.take();
        real.until(&mut handler, |told| matches!(told, Told::Exhausted(_, Errno::EMFILE)));
        old.write_all(b"served").unwrap();
        real.until(&mut handler, |told| matches!(told, Told::Received(..)));
        old.read_exact(&mut [0; 6]).unwrap();
        waiting[0].set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(waiting[0].read(&mut [0]).unwrap(), 0, "the first was turned away");

        setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
        handler.take();
        waiting[2].write_all(b"at last").unwrap();
        real.until(&mut handler, |told| matches!(told, Told::Received(_, it) if it == b"at last"));
    });
}
