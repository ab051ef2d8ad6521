//! The echo server of `examples/stages/4_epoll.rs` with `io_uring` in place of `epoll`
//! (`benches/waiting`, `docs/loop/others.md`). It does not ask whether it may read: it says *read
//! into this buffer*, and the kernel reports when that is done.
//!
//!     cargo run --features io-uring --example uring 127.0.0.1:7007
//!
//! Where the kernel has no `io_uring` or forbids it, it ends with 69 (`EX_UNAVAILABLE` of
//! sysexits.h).

#![allow(unsafe_code)] // `push` and `accepted` say why that is sound
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // number to u64 and back

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{Error, ErrorKind, Result};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::process::ExitCode;

use io_uring::{IoUring, cqueue, opcode, squeue, types};

const UNAVAILABLE: u8 = 69;
/// Requests that the submission queue holds. The completion queue holds twice as many.
const ENTRIES: u32 = 256;
const READ_SIZE: usize = 4096; // bytes

struct Server {
    ring: IoUring,
    listener: TcpListener,
    connections: HashMap<RawFd, Connection>, // by the number of the descriptor
    is_multishot: bool,                      // one request for all clients: Linux 5.19
    is_accepting: bool,                      // such a request is under way
}

/// It has one request under way at any time, a read or a write, and is closed only after the
/// completion of that. So its number cannot be another's while a completion may still come.
struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>, // the kernel's while the request is under way: nobody else may touch it
    filled: usize,
    sent: usize, // less than `filled`: the request is a write
}

fn main() -> ExitCode {
    let Err(error) = serve();
    eprintln!("{error}");
    ExitCode::from(if error.kind() == ErrorKind::Unsupported { UNAVAILABLE } else { 1 })
}

fn serve() -> Result<Infallible> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7007".to_owned());
    let ring = IoUring::new(ENTRIES).map_err(|error| explain(&error))?;
    // Without this feature each request that waits would hold a thread of the kernel.
    if !ring.params().is_feature_fast_poll() {
        return Err(Error::new(ErrorKind::Unsupported, "io_uring: Linux 5.7 or newer is needed"));
    }
    let listener = TcpListener::bind(&address)
        .map_err(|error| Error::new(error.kind(), format!("{address}: {error}")))?;
    println!("listening on {}", listener.local_addr()?);
    let connections = HashMap::new();
    let server = Server { ring, listener, connections, is_multishot: true, is_accepting: false };
    // It is never freed: after an error the kernel may still have its buffers.
    Box::leak(Box::new(server)).run()
}

/// Says what failed, and why the kernel refuses `io_uring`, if that is what the error means.
fn explain(error: &Error) -> Error {
    let disabled = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
    let reason = match (error.raw_os_error(), disabled.as_deref().unwrap_or_default().trim()) {
        (Some(libc::ENOSYS), _) => "the kernel has none, or a seccomp filter hides it",
        (Some(libc::EPERM), "2") => "the sysctl kernel.io_uring_disabled forbids it to all",
        (Some(libc::EPERM), "1") => {
            "the sysctl kernel.io_uring_disabled forbids it to all but CAP_SYS_ADMIN and the \
             group of kernel.io_uring_group"
        }
        (Some(libc::EPERM | libc::EACCES), _) => {
            "a seccomp filter, as many containers have one, or a security module forbids it"
        }
        _ => return Error::new(error.kind(), format!("io_uring_setup: {error}")),
    };
    Error::new(ErrorKind::Unsupported, format!("io_uring_setup: {error}: {reason}"))
}

impl Server {
    fn run(&mut self) -> Result<Infallible> {
        self.accept()?;
        loop {
            // Hands over all requests that were pushed, and waits for a completion: one call.
            match self.ring.submit_and_wait(1) {
                // A signal came, or so much is done that completions have to be taken first.
                Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EBUSY)) => {}
                outcome => drop(outcome?),
            }
            let done: Vec<_> = self.ring.completion().collect(); // no call: it is shared memory
            for it in done {
                let number = it.user_data() as RawFd;
                if number == self.listener.as_raw_fd() {
                    self.accepted(it.result(), cqueue::more(it.flags()))?;
                } else if self.done(number, it.result()).is_some() {
                    self.go_on(number)?;
                } else {
                    self.connections.remove(&number); // to drop a stream closes it
                    if !self.is_accepting {
                        self.accept()?; // a descriptor is free
                    }
                }
            }
        }
    }

    /// Asks for all clients that will come, or for the next one.
    fn accept(&mut self) -> Result<()> {
        let listener = types::Fd(self.listener.as_raw_fd());
        let request = if self.is_multishot {
            opcode::AcceptMulti::new(listener).flags(libc::SOCK_CLOEXEC).build()
        } else {
            let nobody = std::ptr::null_mut(); // the address of the client is not asked for
            opcode::Accept::new(listener, nobody, nobody.cast()).flags(libc::SOCK_CLOEXEC).build()
        };
        self.is_accepting = true;
        self.push(request, listener.0)
    }

    /// A client has come, or accepting failed. `more`: the request is still under way.
    fn accepted(&mut self, result: i32, more: bool) -> Result<()> {
        self.is_accepting = more;
        match -result {
            libc::EINVAL if self.is_multishot => self.is_multishot = false,
            errno @ (libc::EINVAL | libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                if errno == libc::EINVAL || self.connections.is_empty() {
                    return Err(Error::from_raw_os_error(errno));
                }
                return Ok(()); // nothing is left for a client more, until a connection has ended
            }
            1.. => {} // this client has left already
            _ => {
                // SAFETY: the kernel made this descriptor for this completion; nobody else has it.
                let stream = unsafe { TcpStream::from_raw_fd(result) };
                let buffer = vec![0; READ_SIZE];
                self.connections.insert(result, Connection { stream, buffer, filled: 0, sent: 0 });
                self.go_on(result)?;
            }
        }
        if more { Ok(()) } else { self.accept() }
    }

    /// The request of a connection is done: the buffer is ours again. None: so is the connection.
    fn done(&mut self, number: RawFd, result: i32) -> Option<()> {
        let it = self.connections.get_mut(&number)?;
        let count = usize::try_from(result).ok().filter(|&count| count > 0)?; // 0: the client left
        if it.sent < it.filled {
            it.sent += count; // fewer than asked for, where the client does not read
        } else {
            (it.filled, it.sent) = (count, 0);
        }
        Some(())
    }

    /// Sends what is left to send, or reads.
    fn go_on(&mut self, number: RawFd) -> Result<()> {
        let Some(it) = self.connections.get_mut(&number) else { return Ok(()) };
        let socket = types::Fd(it.stream.as_raw_fd());
        let rest = &it.buffer[it.sent..it.filled];
        let request = if rest.is_empty() {
            opcode::Recv::new(socket, it.buffer.as_mut_ptr(), READ_SIZE as u32).build()
        } else {
            opcode::Send::new(socket, rest.as_ptr(), rest.len() as u32).build()
        };
        self.push(request, number)
    }

    /// Puts a request where the kernel finds it at the next wait; `number` comes back with it.
    fn push(&mut self, request: squeue::Entry, number: RawFd) -> Result<()> {
        let request = request.user_data(number as u64);
        // SAFETY: the buffer that a request names is on the heap, in `connections`. It is neither
        // touched nor freed before the completion of the request.
        while unsafe { self.ring.submission().push(&request) }.is_err() {
            self.ring.submit()?; // the queue is full
        }
        Ok(())
    }
}
