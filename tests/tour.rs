//! The echo server that `docs/loop` starts from: it works, and what is said to be wrong with it is.
//! And the examples, which are servers on the reactor.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::io::{Read, Result, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};
use sealwax::load::Extent;
use sealwax::reactor::{
    CloseReason, Config, Context, Handler, Linux, Opened, Reactor, Timeout, Token,
};

#[allow(dead_code)] // its `main`
#[path = "../docs/loop/echo.rs"]
mod echo;

#[allow(dead_code)] // its `main`
#[path = "../examples/chat.rs"]
mod chat;
#[allow(dead_code)] // its `main`
#[path = "../examples/handler.rs"]
mod handler;
#[allow(dead_code)] // its `main`
#[path = "../examples/load.rs"]
mod load;

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

/// Runs `handler` on a loop in this process until `is_done`.
fn run<H: Handler>(reactor: &mut Reactor<Linux>, handler: &mut H, is_done: impl Fn(&H) -> bool) {
    let begun = Instant::now();
    while !is_done(handler) {
        reactor.tick(handler, Some(Duration::from_millis(10))).unwrap();
        assert!(begun.elapsed() < PATIENCE, "it does not come to that");
    }
}

#[test]
fn the_echo_on_the_reactor_outlives_a_client_that_breaks() {
    let mut reactor = Reactor::new(Linux::new().unwrap(), &Config::default());
    let mut echo = Listening { at: None, inner: handler::Echo };
    reactor.context().listen(([127, 0, 0, 1], 0).into());
    run(&mut reactor, &mut echo, |echo| echo.at.is_some());
    let at = echo.at.unwrap();
    let client = thread::spawn(move || {
        let mut culprit = connect(at);
        culprit.write_all(b"hello").unwrap();
        hear(&culprit, b"hello");
        setsockopt(&culprit, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 }).unwrap();
        drop(culprit);
        let mut bystander = connect(at);
        bystander.write_all(b"still here").unwrap();
        hear(&bystander, b"still here");
    });
    run(&mut reactor, &mut echo, |_| client.is_finished());
    client.join().unwrap();
}

#[test]
fn the_chat_serves_people_and_the_load_generator() {
    let mut reactor = Reactor::new(Linux::new().unwrap(), &chat::config());
    let mut room = chat::Chat::default();
    room.start(reactor.context(), ([127, 0, 0, 1], 0).into());
    run(&mut reactor, &mut room, |room| room.address.is_some());
    let at = room.address.unwrap();
    let people = thread::spawn(move || {
        let (mut bob, mut alice) = (connect(at), connect(at));
        bob.write_all(b"bob\n").unwrap();
        hear(&bob, b"* your name?\n* welcome, bob\n");
        alice.write_all(b"bob\nalice\nhel").unwrap();
        let refused = "* another name, please: letters and digits, 16 at most\n";
        hear(&alice, format!("* your name?\n{refused}* welcome, alice\n").as_bytes());
        alice.write_all(b"lo\n@bob psst\n@carol psst\n").unwrap();
        hear(&alice, b"* there is nobody of that name\n");
        hear(&bob, b"* alice is here\nalice: hello\nalice: psst\n");
        drop(alice);
        hear(&bob, b"* alice has left\n");
        drop(bob);
        load::measure(at, Extent::Operations(500)).unwrap()
    });
    run(&mut reactor, &mut room, |_| people.is_finished());
    let tally = people.join().unwrap();
    assert_eq!((tally.finished, tally.faults.total()), (500, 0));
}

/// An echo that tells where it listens.
struct Listening {
    at: Option<SocketAddr>,
    inner: handler::Echo,
}

impl Handler for Listening {
    fn opened(&mut self, cx: &mut Context, id: Token, how: Opened) {
        if let Opened::Listening(at) = how {
            self.at = Some(at);
        }
        self.inner.opened(cx, id, how);
    }

    fn received(&mut self, cx: &mut Context, from: Token, bytes: &[u8]) -> usize {
        self.inner.received(cx, from, bytes)
    }

    fn drained(&mut self, cx: &mut Context, to: Token) {
        self.inner.drained(cx, to);
    }

    fn ended(&mut self, cx: &mut Context, from: Token, rest: &[u8]) {
        self.inner.ended(cx, from, rest);
    }

    fn timed_out(&mut self, cx: &mut Context, id: Token, timeout: Timeout) {
        self.inner.timed_out(cx, id, timeout);
    }

    fn closed(&mut self, cx: &mut Context, id: Token, reason: CloseReason) {
        self.inner.closed(cx, id, reason);
    }
}
