//! The echo server that `docs/loop` starts from: it works, and what is said to be wrong with it is.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::io::{Read, Result, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};

#[allow(dead_code)] // its `main`
#[path = "../docs/loop/echo.rs"]
mod echo;

/// How long a test waits for what has to come, before it fails.
const PATIENCE: Duration = Duration::from_secs(20);

fn start() -> (SocketAddr, JoinHandle<Result<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    (listener.local_addr().unwrap(), thread::spawn(move || echo::serve(&listener)))
}

fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn hear(mut stream: &TcpStream, expected: &[u8]) {
    let mut heard = vec![0; expected.len()];
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(heard, expected);
}

#[test]
fn the_shortest_server_echoes_to_many() {
    let (at, _server) = start();
    let clients: Vec<_> = (0..3).map(|_| connect(at)).collect();
    for (number, mut client) in clients.iter().enumerate() {
        client.write_all(format!("hello {number}").as_bytes()).unwrap();
    }
    for (number, client) in clients.iter().enumerate().rev() {
        hear(client, format!("hello {number}").as_bytes());
    }
}

#[test]
fn one_client_that_breaks_ends_the_shortest_server_for_all() {
    let (at, server) = start();
    let (bystander, mut culprit) = (connect(at), connect(at));
    culprit.write_all(b"hello").unwrap();
    hear(&culprit, b"hello");
    // Closed with a reset (socket(7), SO_LINGER with no time).
    setsockopt(&culprit, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 }).unwrap();
    drop(culprit);
    let ended = server.join().unwrap();
    assert_eq!(ended.unwrap_err().raw_os_error(), Some(libc::ECONNRESET));
    assert!(matches!((&bystander).read(&mut [0]), Ok(0) | Err(_)));
}
