//! The seam over Linux: each method is the system call that its name says.
//!
//! The only file that may hold `unsafe`. It decides nothing about connections; what it knows is how
//! a descriptor has to be opened so that neither a read nor a write on it can ever block this
//! thread (those that we share with others: `inherited.rs`).

// accept4 with an address, descriptors by number, a call between fork and exec: nix offers none.
#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use nix::Result;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal as UnixSignal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{
    self, AddressFamily, Backlog, Shutdown, SockFlag, SockType, SockaddrLike, SockaddrStorage,
    sockopt,
};
use nix::sys::stat::Mode;
use nix::sys::time::TimeSpec;
use nix::sys::uio::writev;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{geteuid, getpid, getppid, read, write};

use super::inherited::{duplicate, standard, write_shared};
use super::limits;
use super::slab::Token;
use super::sys::{Event, Interest, Io, ProcessFd, Sys, Time, Watch};

/// Signals that one read takes; a source has four kinds, and of each at most one waits
/// (`signal(7)`).
const SIGNALS_PER_READ: usize = 4;

/// The kernel that this process runs on.
pub struct Linux {
    epoll: Epoll,
    /// What `epoll_wait` writes into.
    ready: Vec<EpollEvent>,
    /// Where outgoing connections come from, in turn; empty: as the kernel likes.
    sources: VecDeque<Ipv4Addr>,
    /// See [`Linux::accepting_with`].
    socket_buffer: usize,
    /// A descriptor to give up when there are no others: see [`Sys::shed`].
    reserve: Option<OwnedFd>,
}

/// Wakes the loop from another thread (`eventfd(2)`). Clones wake the same loop.
#[derive(Clone, Debug)]
pub struct Waker(Arc<EventFd>);

impl Linux {
    /// A new epoll instance (`epoll_create1(2)`).
    ///
    /// # Errors
    /// What the kernel says: in practice, that there are no descriptors left.
    pub fn new() -> Result<Self> {
        Ok(Self {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            ready: vec![EpollEvent::empty(); limits::EVENTS_PER_TICK],
            sources: VecDeque::new(),
            socket_buffer: limits::SOCKET_BUFFER,
            reserve: reserve(),
        })
    }

    /// Lets outgoing connections (of IPv4) come from these addresses in turn. Between two addresses
    /// there are no more connections than ports (`ip(7)`, `ip_local_port_range`); on loopback,
    /// every address of 127.0.0.0/8 is ours.
    pub fn connecting_from(self, sources: Vec<Ipv4Addr>) -> Self {
        Self { sources: sources.into(), ..self }
    }

    /// Lets the kernel keep twice so many bytes of each connection that is accepted, on their way
    /// out and on their way in (`socket(7)`, `SO_SNDBUF`, `SO_RCVBUF`), unless it allows less
    /// (`net.core.wmem_max`, `net.core.rmem_max`).
    pub fn accepting_with(self, socket_buffer: usize) -> Self {
        Self { socket_buffer, ..self }
    }

    /// Writes one run of bytes (`write(2)`), for a loop that gathers nothing.
    pub(crate) fn write(io: Io, bytes: &[u8]) -> Result<usize> {
        write(borrowed(io), bytes)
    }

    /// Accepts from a socket that listens already. Others hold it as well, so that it is taken off
    /// `epoll` when it is closed here (`Io::Shared`): it would be reported on and on otherwise.
    fn listen_on(&self, socket: BorrowedFd<'_>) -> Result<Io> {
        let socket = duplicate(socket)?;
        // Nobody but the relay accepts from it, so the flag of the open file is ours to set.
        fcntl(&socket, FcntlArg::F_SETFL(OFlag::O_RDWR | OFlag::O_NONBLOCK))?;
        set_stream_options(&socket)?;
        self.set_buffers(&socket)?;
        Ok(shared(socket))
    }

    /// The kernel then leaves both as they are. By itself it would let them grow to the last
    /// numbers of `tcp_wmem` and `tcp_rmem`, megabytes for each connection that does not read.
    fn set_buffers(&self, listener: &OwnedFd) -> Result<()> {
        socket::setsockopt(listener, sockopt::SndBuf, &self.socket_buffer)?;
        socket::setsockopt(listener, sockopt::RcvBuf, &self.socket_buffer)
    }

    /// The port is chosen when the destination is known and need differ only from others to the
    /// same (`ip(7)`, `IP_BIND_ADDRESS_NO_PORT`).
    fn bind_source(&mut self, fd: &OwnedFd) -> Result<()> {
        let Some(&source) = self.sources.front() else { return Ok(()) };
        self.sources.rotate_left(1);
        socket::setsockopt(fd, sockopt::IpBindAddressNoPort, &true)?;
        socket::bind(fd.as_raw_fd(), &SockaddrStorage::from(SocketAddr::from((source, 0))))
    }
}

impl Sys for Linux {
    fn now(&mut self) -> Time {
        monotonic()
    }

    fn wait(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> Result<()> {
        events.clear();
        let count = self.epoll.wait(&mut self.ready, milliseconds(timeout))?;
        events.extend(self.ready[..count].iter().filter_map(|ready| {
            let flags = ready.events();
            Some(Event {
                token: Token::from_bits(ready.data())?,
                readable: flags.contains(EpollFlags::EPOLLIN),
                writable: flags.contains(EpollFlags::EPOLLOUT),
                rdhup: flags.contains(EpollFlags::EPOLLRDHUP),
                hangup: flags.intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR),
            })
        }));
        Ok(())
    }

    fn listen(&mut self, at: SocketAddr) -> Result<(Io, SocketAddr)> {
        let fd = stream_socket(at)?;
        // A relay that was killed can start again at once, although old connections linger (tcp(7),
        // TIME_WAIT).
        socket::setsockopt(&fd, sockopt::ReuseAddr, &true)?;
        if at.is_ipv6() {
            // Otherwise `[::]` would take the port of all IPv4 addresses as well, and their users
            // would come with mapped addresses (ipv6(7), IPV6_V6ONLY).
            socket::setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
        }
        // Accepted sockets inherit all these from the listener, which saves eight system calls a
        // connection.
        set_stream_options(&fd)?;
        // Before `listen`, for the window scale follows from it (tcp(7)).
        self.set_buffers(&fd)?;
        socket::bind(fd.as_raw_fd(), &SockaddrStorage::from(at))?;
        socket::listen(&fd, Backlog::new(limits::LISTEN_BACKLOG).unwrap_or(Backlog::MAXCONN))?;
        let got: SockaddrStorage = socket::getsockname(fd.as_raw_fd())?;
        Ok((own(fd), std_address(&got).unwrap_or(at)))
    }

    fn accept(&mut self, listener: Io) -> Result<(Io, SocketAddr)> {
        let mut storage = std::mem::MaybeUninit::<libc::sockaddr_storage>::zeroed();
        let mut length =
            libc::socklen_t::try_from(size_of::<libc::sockaddr_storage>()).unwrap_or(0);
        // SAFETY: `storage` and `length` live through the call, and `length` is the size of
        // `storage`.
        let fd = Errno::result(unsafe {
            libc::accept4(
                listener.number(),
                storage.as_mut_ptr().cast(),
                &raw mut length,
                libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
            )
        })?;
        // SAFETY: `accept4` succeeded, so `fd` is a new descriptor that nobody else owns, and the
        // first `length` bytes of `storage` (all of which were zeroed) are the address of the other
        // end.
        let (fd, peer) = unsafe {
            (
                OwnedFd::from_raw_fd(fd),
                SockaddrStorage::from_raw(storage.as_ptr().cast(), Some(length)),
            )
        };
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        Ok((own(fd), peer.as_ref().and_then(std_address).unwrap_or(unknown)))
    }

    fn shed(&mut self, listener: Io) {
        drop(self.reserve.take()); // close(2): one descriptor is free
        if let Ok((newcomer, _)) = self.accept(listener) {
            self.close(newcomer);
        }
        self.reserve = reserve();
    }

    fn connect(&mut self, to: SocketAddr) -> Result<Io> {
        let fd = stream_socket(to)?;
        set_stream_options(&fd)?;
        if to.is_ipv4() {
            self.bind_source(&fd)?;
        }
        match socket::connect(fd.as_raw_fd(), &SockaddrStorage::from(to)) {
            Ok(()) | Err(Errno::EINPROGRESS | Errno::EINTR) => Ok(own(fd)),
            Err(errno) => Err(errno),
        }
    }

    fn error(&mut self, io: Io) -> Result<()> {
        match socket::getsockopt(&borrowed(io), sockopt::SocketError)? {
            0 => Ok(()),
            error => Err(Errno::from_raw(error)),
        }
    }

    fn open(&mut self, source: &ProcessFd) -> Result<Io> {
        match source {
            ProcessFd::Stdin => given(libc::STDIN_FILENO)
                .and_then(|()| standard(std::io::stdin().as_fd(), OFlag::O_RDONLY)),
            ProcessFd::Stdout => given(libc::STDOUT_FILENO)
                .and_then(|()| standard(std::io::stdout().as_fd(), OFlag::O_WRONLY)),
            ProcessFd::Stderr => given(libc::STDERR_FILENO)
                .and_then(|()| standard(std::io::stderr().as_fd(), OFlag::O_WRONLY)),
            ProcessFd::Signals => signals(&block_signals()?),
            ProcessFd::TerminalSignals => signals(&block_terminal_signals()?),
            ProcessFd::Wake(waker) => Ok(shared(duplicate(waker.0.as_fd())?)),
            ProcessFd::Listener(socket) | ProcessFd::Stream(socket) => {
                Ok(own(duplicate(socket.as_fd())?))
            }
            ProcessFd::File(file) => Ok(own(duplicate(file.as_fd())?)),
            ProcessFd::Inherited(socket) => self.listen_on(socket.as_fd()),
        }
    }

    fn watch(&mut self, io: Io, token: Token, interest: Interest, how: Watch) -> Result<()> {
        let mut flags = EpollFlags::empty();
        flags.set(EpollFlags::EPOLLIN, interest.read);
        flags.set(EpollFlags::EPOLLOUT, interest.write);
        flags.set(EpollFlags::EPOLLET, interest.edge);
        // Level-triggered, a read tells the end in its turn, and until then this would be told
        // without pause.
        flags.set(EpollFlags::EPOLLRDHUP, interest.edge && interest.read);
        let mut event = EpollEvent::new(flags, token.to_bits());
        match how {
            Watch::Begin => self.epoll.add(borrowed(io), event),
            Watch::Change => self.epoll.modify(borrowed(io), &mut event),
        }
    }

    fn read(&mut self, io: Io, into: &mut [u8]) -> Result<usize> {
        match io {
            Io::Own(_) | Io::Shared(_) => read(borrowed(io), into),
            Io::Signals(_) => read_signals(borrowed(io), into),
        }
    }

    fn writev(&mut self, io: Io, slices: &[IoSlice<'_>]) -> Result<usize> {
        match io {
            Io::Shared(_) => write_shared(borrowed(io), slices),
            // One slice needs no list: the kernel would copy and check it first.
            Io::Own(_) | Io::Signals(_) => match slices {
                [slice] => write(borrowed(io), slice),
                _ => writev(borrowed(io), slices),
            },
        }
    }

    fn shutdown(&mut self, io: Io) -> Result<()> {
        socket::shutdown(io.number(), Shutdown::Write)
    }

    fn close(&mut self, io: Io) {
        // epoll watches the open file, not the number: it forgets one by itself when its last
        // descriptor is closed (epoll(7), Q6), and ours is not the last one of a file that we
        // share.
        if let Io::Shared(_) = io {
            let _ = self.epoll.delete(borrowed(io)); // of one that could not be watched: ENOENT
        }
        // SAFETY: the descriptor is open, for nobody else closes what an `Io` names, and after this
        // call the `Io` is not used again.
        drop(unsafe { OwnedFd::from_raw_fd(io.number()) });
    }
}

/// The descriptor behind a handle.
fn borrowed(io: Io) -> BorrowedFd<'static> {
    // SAFETY: an `Io` names an open descriptor until `Sys::close` is called with it, and whoever
    // calls that does not use it again.
    unsafe { BorrowedFd::borrow_raw(io.number()) }
}

/// The handle of a descriptor that is non-blocking and of this process alone.
pub(super) fn own(fd: OwnedFd) -> Io {
    Io::Own(fd.into_raw_fd())
}

/// The handle of a descriptor that others hold as well.
pub(super) fn shared(fd: OwnedFd) -> Io {
    Io::Shared(fd.into_raw_fd())
}

impl Waker {
    /// A wake-up that has not been used.
    ///
    /// # Errors
    /// No descriptor could be had (`eventfd(2)`).
    pub fn new() -> Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Self(Arc::new(EventFd::from_value_and_flags(0, flags)?)))
    }

    /// Makes the loop that has opened this source tick. Never blocks; wake-ups that were not read
    /// yet are one.
    pub fn wake(&self) {
        let _ = self.0.write(1); // EAGAIN: 2⁶⁴ - 2 wake-ups are waiting already
    }
}

/// The clock that [`Linux`] tells the time by.
pub fn monotonic() -> Time {
    // It cannot fail for this clock (clock_gettime(2)); zero would only make deadlines late.
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap_or(TimeSpec::new(0, 0));
    Time::from_nanos(u64::try_from(Duration::from(now).as_nanos()).unwrap_or(u64::MAX))
}

/// Time since the machine started, that in which it was suspended too (`CLOCK_BOOTTIME`).
pub fn boot_time() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
}

/// Raises the limit on descriptors as far as this process may, and tells it.
///
/// # Errors
/// The limit could not be read (`getrlimit(2)`); one that could not be raised stays.
pub fn raise_descriptor_limit() -> Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
        return Ok(hard);
    }
    Ok(soft)
}

/// Blocks the signals that [`ProcessFd::Signals`] tells, in this thread and those that it starts
/// from now on. A program with other threads calls it before it starts them: a signal goes to any
/// thread that does not block it (`signal(7)`), and would end the process there.
///
/// # Errors
/// None that is known (`sigprocmask(2)`).
pub fn block_signals() -> Result<SigSet> {
    let all = [UnixSignal::SIGINT, UnixSignal::SIGTERM, UnixSignal::SIGHUP, UnixSignal::SIGUSR1];
    let signals = not_ignored(all);
    signals.thread_block()?;
    Ok(signals)
}

/// The same for the signals that [`ProcessFd::TerminalSignals`] tells. SIGTSTP does not stop a
/// process that blocks it; SIGCONT lets it go on all the same (`signal(7)`).
///
/// # Errors
/// None that is known (`sigprocmask(2)`).
pub fn block_terminal_signals() -> Result<SigSet> {
    let told = [UnixSignal::SIGWINCH, UnixSignal::SIGCONT];
    let signals = not_ignored([UnixSignal::SIGTSTP]).iter().chain(told).collect::<SigSet>();
    signals.thread_block()?;
    Ok(signals)
}

/// A source of these signals, which are blocked (`signalfd(2)`).
fn signals(set: &SigSet) -> Result<Io> {
    let signals = SignalFd::with_flags(set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
    // A duplicate, for the type does not give its descriptor away.
    Ok(Io::Signals(duplicate(signals.as_fd())?.into_raw_fd()))
}

/// The columns and rows of a terminal (`TIOCGWINSZ`, `ioctl_tty(2)`); 0 where it does not know.
///
/// # Errors
/// `fd` is no terminal (`ENOTTY`).
pub fn window_size(fd: BorrowedFd<'_>) -> Result<(u16, u16)> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the call writes a `winsize`, and `size` is one that lives through it.
    Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) })?;
    Ok((size.ws_col, size.ws_row))
}

/// Those of `signals` that the process was not started to ignore.
///
/// The others (`nohup`; Ctrl-C in a background job of a shell) are to be left alone: once blocked,
/// they would be told like any other, for the kernel drops no signal that is blocked.
pub fn not_ignored(signals: impl IntoIterator<Item = UnixSignal>) -> SigSet {
    signals.into_iter().filter(|&signal| !is_ignored(signal)).collect()
}

/// Whether the process ignores a signal (`sigaction(2)`).
fn is_ignored(signal: UnixSignal) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action the call only writes the present one, to memory that is large
    // enough and lives through the call.
    let asked = unsafe { libc::sigaction(signal as i32, std::ptr::null(), action.as_mut_ptr()) };
    // SAFETY: all of it was zeroed, and whatever the call has written is an action.
    asked == 0 && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}

/// The standard descriptors that were closed when the process was started: bit 0 for standard
/// input, bit 1 for output, bit 2 for error.
///
/// Before `main`, Rust's runtime opens `/dev/null` in their place, and from then on nobody can tell
/// them from a `/dev/null` that was given: input would seem to have ended, and what is written
/// would seem to be taken.
static CLOSED_AT_START: AtomicU8 = AtomicU8::new(0);

/// The C library calls what stands in this section before Rust's runtime begins (`elf(5)`).
#[used]
#[unsafe(link_section = ".init_array")]
static NOTE_CLOSED_STREAMS: extern "C" fn() = note_closed_streams;

extern "C" fn note_closed_streams() {
    for number in [libc::STDIN_FILENO, libc::STDOUT_FILENO, libc::STDERR_FILENO] {
        // SAFETY: the call touches no memory; where nothing is open behind the number it says so.
        if unsafe { libc::fcntl(number, libc::F_GETFD) } == -1 {
            CLOSED_AT_START.fetch_or(1 << number, Ordering::Relaxed);
        }
    }
}

/// Whether this standard descriptor was closed when the process was started. `/dev/null` stands in
/// its place now.
pub fn was_closed(number: i32) -> bool {
    (0..3).contains(&number) && CLOSED_AT_START.load(Ordering::Relaxed) & (1 << number) != 0
}

/// `EBADF`, as the kernel says it, for a standard descriptor that was closed at the start.
fn given(number: i32) -> Result<()> {
    if was_closed(number) { Err(Errno::EBADF) } else { Ok(()) }
}

/// A duplicate of the descriptor that whoever started us has given us by its `number`. Not opened
/// anew through `/proc`: that would begin a file from its start, and a pipe of another user would
/// be refused.
///
/// # Errors
/// There is no such descriptor (`EBADF`), or none are left.
pub fn inherited(number: i32) -> Result<OwnedFd> {
    if number < 0 {
        return Err(Errno::EBADF);
    }
    given(number)?;
    // SAFETY: it is not -1, which the type forbids. Where nothing is open behind the number, the
    // call says so (`EBADF`); where something is, nobody closes it meanwhile.
    duplicate(unsafe { BorrowedFd::borrow_raw(number) })
}

/// A duplicate of the descriptor `number`, a TCP socket that listens already, which whoever started
/// us has given us; and where it listens.
///
/// # Errors
/// `EBADF`: there is no such descriptor. `ENOTSOCK`: it is no socket. `EPROTOTYPE`: it is a socket,
/// but not of TCP. `EINVAL`: it does not listen.
pub fn inherited_listener(number: i32) -> Result<(OwnedFd, SocketAddr)> {
    let fd = inherited(number)?;
    let is_stream = socket::getsockopt(&fd, sockopt::SockType)? == SockType::Stream;
    let address: SockaddrStorage = socket::getsockname(fd.as_raw_fd())?;
    let address = std_address(&address).filter(|_| is_stream).ok_or(Errno::EPROTOTYPE)?;
    if !socket::getsockopt(&fd, sockopt::AcceptConn)? {
        return Err(Errno::EINVAL);
    }
    Ok((fd, address))
}

/// Lets the kernel kill what `command` starts when we end, however that happens (`prctl(2)`,
/// `PR_SET_PDEATHSIG`). That covers SIGKILL, where no code of ours runs.
///
/// "We" are the thread that starts it: a child must be started by a thread that lives as long as
/// the child is needed. The kernel forgets the wish when the child changes its user, and it does
/// not go for the children of the child.
pub fn end_with_parent(command: &mut Command) -> &mut Command {
    let parent = getpid();
    // SAFETY: between `fork` and `exec` the closure makes two system calls and takes no lock and no
    // memory.
    unsafe {
        command.pre_exec(move || {
            set_pdeathsig(UnixSignal::SIGKILL)?;
            // Whose parent had ended before that call waits for a signal that never comes.
            if getppid() == parent { Ok(()) } else { Err(Errno::ESRCH.into()) }
        })
    }
}

/// `epoll_wait` counts whole milliseconds. Rounded down, the last fraction of a wait would be spun
/// away.
fn milliseconds(timeout: Option<Duration>) -> EpollTimeout {
    let Some(timeout) = timeout else { return EpollTimeout::NONE };
    let rounded_up = timeout.as_nanos().div_ceil(1_000_000);
    EpollTimeout::try_from(i32::try_from(rounded_up).unwrap_or(i32::MAX))
        .unwrap_or(EpollTimeout::MAX)
}

fn stream_socket(at: SocketAddr) -> Result<OwnedFd> {
    let family = if at.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    socket::socket(family, SockType::Stream, SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC, None)
}

/// No waiting to fill segments (a tick gathers already), and a vanished peer is found out
/// (`tcp(7)`).
fn set_stream_options(fd: &OwnedFd) -> Result<()> {
    socket::setsockopt(fd, sockopt::TcpNoDelay, &true)?;
    socket::setsockopt(fd, sockopt::KeepAlive, &true)?;
    socket::setsockopt(fd, sockopt::TcpKeepIdle, &limits::KEEPALIVE_IDLE_SECONDS)?;
    socket::setsockopt(fd, sockopt::TcpKeepInterval, &limits::KEEPALIVE_INTERVAL_SECONDS)?;
    socket::setsockopt(fd, sockopt::TcpKeepCount, &limits::KEEPALIVE_PROBES)?;
    socket::setsockopt(fd, sockopt::TcpUserTimeout, &limits::USER_TIMEOUT_MILLISECONDS)
}

fn std_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|&v4| SocketAddr::from(v4));
    v4.or_else(|| address.as_sockaddr_in6().map(|&v6| SocketAddr::from(v6)))
}

/// The address of the other end of a connection (`getpeername(2)`); none where there is none, or
/// where it is no address of the network.
pub fn peer_address(io: Io) -> Option<SocketAddr> {
    let peer: SockaddrStorage = socket::getpeername(io.number()).ok()?;
    std_address(&peer)
}

/// Whose process the other end of a unix socket was made by, as the number of that user (`unix(7)`,
/// `SO_PEERCRED`); none where the kernel does not say.
pub fn peer_user(io: Io) -> Option<u32> {
    socket::getsockopt(&borrowed(io), sockopt::PeerCredentials).ok().map(|peer| peer.uid())
}

/// Whether somebody may look at this process: its own user, and root.
pub fn is_of_our_user(user: Option<u32>) -> bool {
    user.is_some_and(|user| user == 0 || user == geteuid().as_raw())
}

/// Something that costs a descriptor and nothing else.
fn reserve() -> Option<OwnedFd> {
    open("/dev/null", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).ok()
}

/// One byte for each signal that waits: its number (`signalfd(2)`, `ssi_signo`).
fn read_signals(signals: BorrowedFd<'_>, into: &mut [u8]) -> Result<usize> {
    let mut infos = [0; SIGNALS_PER_READ * size_of::<libc::signalfd_siginfo>()];
    let count = read(signals, &mut infos)? / size_of::<libc::signalfd_siginfo>();
    let told = infos.chunks(size_of::<libc::signalfd_siginfo>()).take(count);
    for (place, info) in into.iter_mut().zip(told) {
        let number = info.first_chunk().map_or(0, |&number| u32::from_ne_bytes(number));
        *place = u8::try_from(number).unwrap_or(0);
    }
    Ok(count.min(into.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_rounded_up_to_milliseconds() {
        let nanoseconds = |count| i32::from(milliseconds(Some(Duration::from_nanos(count))));
        assert_eq!([0, 1, 1_000_000, 1_000_001].map(nanoseconds), [0, 1, 1, 2]);
        assert_eq!(i32::from(milliseconds(Some(Duration::MAX))), i32::MAX);
        assert_eq!(i32::from(milliseconds(None)), -1);
    }
}
