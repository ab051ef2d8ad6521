//! The echo server of `examples/stages/3_poll.rs` with `select` in place of `poll`, to compare
//! (`benches/waiting`, `docs/loop/others.md`).
//!
//!     cargo run --example select 127.0.0.1:7007

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, RawFd};

use nix::errno::Errno;
use nix::sys::select::{FD_SETSIZE, FdSet, select};

fn main() -> Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7007".to_owned());
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?; // the one thread waits in `select`, and never in `accept`
    println!("listening on {}", listener.local_addr()?);
    let mut connections: HashMap<RawFd, TcpStream> = HashMap::new();
    loop {
        let mut watched = FdSet::new();
        watched.insert(listener.as_fd());
        for connection in connections.values() {
            watched.insert(connection.as_fd());
        }
        match select(None, &mut watched, None, None, None) {
            Err(Errno::EINTR) => continue, // a signal came: the call has looked at nothing
            outcome => outcome?,
        };
        // The set is now of those that are ready: to find them, each bit is looked at.
        let ready: Vec<RawFd> = watched.fds(None).map(|it| it.as_raw_fd()).collect();
        for number in ready {
            if number == listener.as_raw_fd() {
                let Ok((stream, _)) = listener.accept() else { continue };
                // A larger number has no bit in the set: this client is turned away.
                if usize::try_from(stream.as_raw_fd()).is_ok_and(|number| number < FD_SETSIZE) {
                    connections.insert(stream.as_raw_fd(), stream);
                }
            } else if let Some(connection) = connections.get_mut(&number)
                && echo(connection).is_err()
            {
                connections.remove(&number);
            }
        }
    }
}

/// Reads once, and sends back what came. An error ends the connection; so does its end.
fn echo(connection: &mut TcpStream) -> Result<()> {
    let mut buffer = [0; 4096];
    let count = connection.read(&mut buffer)?;
    if count == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    connection.write_all(&buffer[..count])
}
