//! Stage 1 of 9: an echo server that serves one client at a time.
//!
//!     cargo run --example stage1 127.0.0.1:7007

use std::io::{Read, Result, Write};
use std::net::{TcpListener, TcpStream};

fn main() -> Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7007".to_owned());
    let listener = TcpListener::bind(address)?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept()?;
        let _ = serve(stream); // an error of one connection ends this one, and no other
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
