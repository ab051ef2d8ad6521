//! Stage 7 of 9: a room that names connections by tokens, so that no event reaches another one.
//!
//!     cargo run --example stage7 127.0.0.1:7007

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Result, Write};
use std::net::{TcpListener, TcpStream};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// Bytes that may wait for one client. A client for which more would wait is closed.
const MAX_OUTBOX: usize = 1 << 20;
/// The connection is broken, or both sides have ended it: nobody reads what we would send.
const GONE: EpollFlags = EpollFlags::EPOLLHUP.union(EpollFlags::EPOLLERR);
/// The token of the listener. Those of connections are above it.
const LISTENER: u64 = 0;

struct Connection {
    stream: TcpStream,
    inbox: Vec<u8>,   // the beginning of a frame whose end has not come yet
    outbox: Vec<u8>,  // what the kernel has not taken yet
    is_blocked: bool, // some is left in the outbox, and `epoll` watches for room
}

struct Server {
    epoll: Epoll,
    listener: TcpListener,
    connections: HashMap<u64, Connection>, // by their tokens
    last_token: u64,
}

fn main() -> Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7007".to_owned());
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?; // the one thread waits in `epoll`, and never in `accept`
    println!("listening on {}", listener.local_addr()?);
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
    Server { epoll, listener, connections: HashMap::new(), last_token: LISTENER }.run()
}

impl Server {
    fn run(&mut self) -> Result<()> {
        let mut events = [EpollEvent::empty(); 64];
        loop {
            let count = match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Err(Errno::EINTR) => continue, // a signal came: the call has looked at nothing
                outcome => outcome?,
            };
            for event in &events[..count] {
                let token = event.data();
                if token == LISTENER {
                    self.accept()?;
                } else if self.serve(token).is_err() || event.events().intersects(GONE) {
                    self.connections.remove(&token); // to drop a stream closes it
                }
            }
        }
    }

    fn accept(&mut self) -> Result<()> {
        // The client has left already, or there is no descriptor for it.
        let Ok((stream, _)) = self.listener.accept() else { return Ok(()) };
        stream.set_nonblocking(true)?;
        self.last_token += 1; // a token is never used again
        let token = self.last_token;
        self.epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, token))?;
        let (inbox, outbox) = (Vec::new(), Vec::new());
        self.connections.insert(token, Connection { stream, inbox, outbox, is_blocked: false });
        Ok(())
    }

    /// Writes what waits, reads once, sends each whole frame to all. An error or the end closes it.
    fn serve(&mut self, token: u64) -> Result<()> {
        let Some(connection) = self.connections.get_mut(&token) else { return Ok(()) };
        connection.flush(&self.epoll, token)?;
        let mut buffer = [0; 4096];
        match connection.stream.read(&mut buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => connection.inbox.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        while let Some(frame) = self.connections.get_mut(&token).and_then(Connection::take_frame) {
            self.connections.retain(|&to, it| it.send(&self.epoll, to, &frame).is_ok());
        }
        Ok(())
    }
}

impl Connection {
    /// The first frame, if it is whole: two bytes for the length, high byte first, and so many.
    fn take_frame(&mut self) -> Option<Vec<u8>> {
        let length = u16::from_be_bytes(*self.inbox.first_chunk()?);
        let end = 2 + usize::from(length);
        (self.inbox.len() >= end).then(|| self.inbox.drain(..end).collect())
    }

    fn send(&mut self, epoll: &Epoll, token: u64, frame: &[u8]) -> Result<()> {
        if self.outbox.len() + frame.len() > MAX_OUTBOX {
            return Err(ErrorKind::StorageFull.into());
        }
        self.outbox.extend_from_slice(frame);
        if self.is_blocked { Ok(()) } else { self.flush(epoll, token) }
    }

    /// Writes what the kernel takes. While some is left, `epoll` watches for room.
    fn flush(&mut self, epoll: &Epoll, token: u64) -> Result<()> {
        while !self.outbox.is_empty() {
            match self.stream.write(&self.outbox) {
                Ok(count) => drop(self.outbox.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let is_blocked = !self.outbox.is_empty();
        if is_blocked != self.is_blocked {
            let room = if is_blocked { EpollFlags::EPOLLOUT } else { EpollFlags::empty() };
            epoll.modify(&self.stream, &mut EpollEvent::new(EpollFlags::EPOLLIN | room, token))?;
            self.is_blocked = is_blocked;
        }
        Ok(())
    }
}
