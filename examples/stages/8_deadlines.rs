//! Stage 8 of 9: a room in which nothing lasts for ever: a client that is silent is closed.
//!
//!     cargo run --example stage8 127.0.0.1:7007 60    # a look at all clients each 60 seconds

use std::collections::HashMap;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

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
    has_spoken: bool, // a whole frame came since the last look at all clients
}

struct Server {
    epoll: Epoll,
    listener: TcpListener,
    connections: HashMap<u64, Connection>, // by their tokens
    last_token: u64,
    patience: Duration, // from one look to the next
    next_look: Instant,
}

fn main() -> Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7007".to_owned());
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?; // the one thread waits in `epoll`, and never in `accept`
    println!("listening on {}", listener.local_addr()?);
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
    let seconds = std::env::args().nth(2).map_or(Ok(60), |it| it.parse::<u16>());
    let patience = Duration::from_secs(seconds.map_err(Error::other)?.into());
    let (connections, next_look) = (HashMap::new(), Instant::now() + patience);
    Server { epoll, listener, connections, last_token: LISTENER, patience, next_look }.run()
}

impl Server {
    fn run(&mut self) -> Result<()> {
        let mut events = [EpollEvent::empty(); 64];
        loop {
            let asked = Instant::now();
            let left = self.next_look.saturating_duration_since(asked).as_millis() + 1; // round up
            let timeout = EpollTimeout::try_from(left).map_err(Error::other)?;
            let count = match self.epoll.wait(&mut events, timeout) {
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
            // We asked after that time: what had come by then (from at most 64) is read already.
            if asked >= self.next_look {
                self.connections.retain(|_, it| std::mem::take(&mut it.has_spoken));
                self.next_look = asked + self.patience;
                self.listen(EpollFlags::EPOLLIN)?;
            }
        }
    }

    fn listen(&self, flags: EpollFlags) -> Result<()> {
        Ok(self.epoll.modify(&self.listener, &mut EpollEvent::new(flags, LISTENER))?)
    }

    fn accept(&mut self) -> Result<()> {
        let stream = match self.listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()), // it has left
            Err(_) => return self.listen(EpollFlags::empty()), // there is no descriptor for it
        };
        stream.set_nonblocking(true)?;
        self.last_token += 1; // a token is never used again
        let token = self.last_token;
        self.epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, token))?;
        let (inbox, outbox) = (Vec::new(), Vec::new());
        let connection = Connection { stream, inbox, outbox, is_blocked: false, has_spoken: true };
        self.connections.insert(token, connection);
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
        self.has_spoken |= self.inbox.len() >= end;
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
