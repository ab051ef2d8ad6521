//! Stage 3 of 9: an echo server with one thread, which asks `poll` which clients can be read.
//!
//!     cargo run --example stage3 127.0.0.1:7007

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, RawFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

struct Server {
    listener: TcpListener,
    connections: HashMap<RawFd, TcpStream>, // by the number of the descriptor
}

fn main() -> Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7007".to_owned());
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?; // the one thread waits in `poll`, and never in `accept`
    println!("listening on {}", listener.local_addr()?);
    Server { listener, connections: HashMap::new() }.run()
}

impl Server {
    fn run(&mut self) -> Result<()> {
        loop {
            let mut watched = vec![PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
            let streams = self.connections.values();
            watched.extend(streams.map(|it| PollFd::new(it.as_fd(), PollFlags::POLLIN)));
            match poll(&mut watched, PollTimeout::NONE) {
                Err(Errno::EINTR) => continue, // a signal came: the call has looked at nothing
                outcome => outcome?,
            };
            let ready = watched.iter().filter(|it| it.any() == Some(true));
            let ready: Vec<RawFd> = ready.map(|it| it.as_fd().as_raw_fd()).collect();
            for number in ready {
                if number == self.listener.as_raw_fd() {
                    self.accept();
                } else if self.serve(number).is_err() {
                    self.connections.remove(&number); // to drop a stream closes it
                }
            }
        }
    }

    fn accept(&mut self) {
        // The client has left already, or there is no descriptor for it.
        let Ok((stream, _)) = self.listener.accept() else { return };
        let number = stream.as_raw_fd();
        self.connections.insert(number, stream);
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
