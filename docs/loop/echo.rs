//! The shortest echo server that works: it sends back the bytes that it receives, to many clients
//! at once, on one thread. `docs/loop` begins with it, and explains what is wrong with it.
//!
//!     cargo run --example echo      # then, in another terminal: nc 127.0.0.1 7007

#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // number to u64 and back

use std::collections::HashMap;
use std::io::{Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

fn main() -> Result<()> {
    serve(&TcpListener::bind("127.0.0.1:7007")?)
}

/// Echoes until a system call fails.
pub(crate) fn serve(listener: &TcpListener) -> Result<()> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(listener, readable(listener.as_raw_fd()))?;
    let mut connections: HashMap<RawFd, TcpStream> = HashMap::new();
    let mut ready = [EpollEvent::empty(); 64];
    let mut buffer = [0; 4096];
    loop {
        let count = epoll.wait(&mut ready, EpollTimeout::NONE)?;
        for event in &ready[..count] {
            let number = event.data() as RawFd;
            if number == listener.as_raw_fd() {
                let (newcomer, _) = listener.accept()?;
                epoll.add(&newcomer, readable(newcomer.as_raw_fd()))?;
                connections.insert(newcomer.as_raw_fd(), newcomer);
            } else if let Some(connection) = connections.get_mut(&number) {
                match connection.read(&mut buffer)? {
                    0 => drop(connections.remove(&number)), // dropping it closes it
                    count => connection.write_all(&buffer[..count])?,
                }
            }
        }
    }
}

fn readable(number: RawFd) -> EpollEvent {
    EpollEvent::new(EpollFlags::EPOLLIN, number as u64)
}
