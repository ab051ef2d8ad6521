//! Stage 2 of 9: an echo server with a thread for each client.
//!
//!     cargo run --example stage2 127.0.0.1:7007

use std::io::{Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

fn main() -> Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7007".to_owned());
    let listener = TcpListener::bind(address)?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept()?;
        // An error of one connection ends this one, and no other.
        let thread = thread::Builder::new().spawn(|| drop(serve(stream)));
        if let Err(error) = thread {
            eprintln!("a client was turned away, there is no thread for it: {error}");
        }
    }
}

/// Sends back what the client sends, until the client closes the connection.
fn serve(mut connection: TcpStream) -> Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let count = connection.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        connection.write_all(&buffer[..count])?;
    }
}
