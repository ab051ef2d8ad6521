//! Stage 4 of 9: an echo server with one thread, which asks `epoll` which clients can be read.
//!
//!     cargo run --example stage4 127.0.0.1:7007

#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // number to u64 and back

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

struct Server {
    epoll: Epoll,
    listener: TcpListener,
    connections: HashMap<RawFd, TcpStream>, // by the number of the descriptor
}

fn main() -> Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7007".to_owned());
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?; // the one thread waits in `epoll`, and never in `accept`
    println!("listening on {}", listener.local_addr()?);
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let number = listener.as_raw_fd();
    epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, number as u64))?;
    Server { epoll, listener, connections: HashMap::new() }.run()
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
                let number = event.data() as RawFd;
                if number == self.listener.as_raw_fd() {
                    self.accept()?;
                } else if self.serve(number).is_err() {
                    self.connections.remove(&number); // to drop a stream closes it
                }
            }
        }
    }

    fn accept(&mut self) -> Result<()> {
        // The client has left already, or there is no descriptor for it.
        let Ok((stream, _)) = self.listener.accept() else { return Ok(()) };
        let number = stream.as_raw_fd();
        self.epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, number as u64))?;
        self.connections.insert(number, stream);
        Ok(())
    }

    /// Reads once, and sends back what came. An error ends the connection; so does its end.
    fn serve(&mut self, number: RawFd) -> Result<()> {
        let Some(connection) = self.connections.get_mut(&number) else { return Ok(()) };
        let mut buffer = [0; 4096];
        let count = connection.read(&mut buffer)?;
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        connection.write_all(&buffer[..count])
    }
}
