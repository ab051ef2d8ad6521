//! Stage 9 of 9: a chat server for clients of the original protocol: `docs/protocol.md`, section 0.
//!
//!     cargo run --example stage9 127.0.0.1:12345 60    # a look at all clients each 60 seconds

use std::collections::{BTreeMap, HashMap};
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{setsockopt, sockopt};

/// Bytes that may wait for one client. A client for which more would wait is closed.
const MAX_OUTBOX: usize = 1 << 20;
/// Bytes of the longest frame.
const MAX_FRAME: usize = 1 << 16;
/// Bytes of the longest name.
const MAX_NAME: usize = 64;
/// The connection is broken, or both sides have ended it: nobody reads what we would send.
const GONE: EpollFlags = EpollFlags::EPOLLHUP.union(EpollFlags::EPOLLERR);
/// The token of the listener. Those of connections are above it.
const LISTENER: u64 = 0;

struct Connection {
    stream: TcpStream,
    inbox: Vec<u8>,       // the beginning of a frame whose end has not come yet
    outbox: Vec<u8>,      // what the kernel has not taken yet
    is_blocked: bool,     // some is left in the outbox, and `epoll` watches for room
    has_progressed: bool, // a whole frame came, or some bytes left, since the last look
    name: Option<String>, // when it has registered
}

struct Server {
    epoll: Epoll,
    listener: TcpListener,
    connections: HashMap<u64, Connection>, // by their tokens
    last_token: u64,
    patience: Duration, // from one look to the next
    next_look: Instant,
    users: BTreeMap<String, (u64, String)>, // token and public key of who has registered, by name
    has_changed: bool,                      // other users than those in the last list
}

fn main() -> Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:12345".to_owned());
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?; // the one thread waits in `epoll`, and never in `accept`
    println!("listening on {}", listener.local_addr()?);
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
    let seconds = std::env::args().nth(2).map_or(Ok(60), |it| it.parse::<u16>());
    let patience = Duration::from_secs(seconds.map_err(Error::other)?.into());
    Server {
        epoll,
        listener,
        connections: HashMap::new(),
        last_token: LISTENER,
        patience,
        next_look: Instant::now() + patience,
        users: BTreeMap::new(),
        has_changed: false,
    }
    .run()
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
                    self.close(token);
                }
            }
            // We asked after that time: what had come by then (from at most 64) is read already.
            if asked >= self.next_look {
                let late = self.connections.iter_mut().filter_map(|(&token, it)| it.late(token));
                for token in late.collect::<Vec<_>>() {
                    self.close(token);
                }
                self.next_look = asked + self.patience;
                self.listen(EpollFlags::EPOLLIN)?;
            }
            self.tell_users();
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
        // A machine that vanishes ends nothing. The kernel asks for it after two hours: tcp(7).
        setsockopt(&stream, sockopt::KeepAlive, &true)?;
        self.last_token += 1; // a token is never used again
        let token = self.last_token;
        self.epoll.add(&stream, EpollEvent::new(EpollFlags::EPOLLIN, token))?;
        let (inbox, outbox, name) = (Vec::new(), Vec::new(), None);
        let (is_blocked, has_progressed) = (false, true);
        let connection = Connection { stream, inbox, outbox, is_blocked, has_progressed, name };
        self.connections.insert(token, connection);
        Ok(())
    }

    /// Writes what waits, reads once, does what each frame asks for. An error or the end closes it.
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
        while let Some(connection) = self.connections.get_mut(&token)
            && let Some(frame) = connection.take_frame()?
        {
            self.act(token, &frame)?;
        }
        Ok(())
    }

    /// Does what a frame asks for. What its sender may not ask for is an error.
    fn act(&mut self, token: u64, frame: &str) -> Result<()> {
        let members = members(frame).ok_or(ErrorKind::InvalidData)?;
        let member = |name| members.get(name).copied().ok_or(ErrorKind::InvalidData);
        let name = self.connections.get(&token).and_then(|it| it.name.as_deref());
        match (member("action")?, name) {
            ("register", None) => self.register(token, member("name")?, member("pubkey")?),
            ("get_pubkey", Some(_)) => {
                let target = member("target")?;
                if let Some((_, pubkey)) = self.users.get(target) {
                    let members = format!(r#""from": "{target}", "pubkey": "{pubkey}""#);
                    self.send(token, &format!(r#"{{"action": "pubkey", {members}}}"#));
                }
                Ok(())
            }
            ("send_key" | "message", Some(name)) if member("from")? == name => {
                if let Some(&(to, _)) = self.users.get(member("to")?) {
                    self.send(to, frame);
                }
                Ok(())
            }
            _ => Err(ErrorKind::InvalidData.into()),
        }
    }

    /// Gives a connection its name. One that is taken is refused: its connection is closed.
    fn register(&mut self, token: u64, name: &str, pubkey: &str) -> Result<()> {
        // A letter can be spelled in several ways in JSON. Without escapes there is one for each
        // name, and names can be compared as they are spelled.
        let is_plain = name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
        let has_length = (1..=MAX_NAME).contains(&name.len());
        if !is_plain || !has_length || self.users.contains_key(name) {
            return Err(ErrorKind::InvalidData.into());
        }
        if let Some(connection) = self.connections.get_mut(&token) {
            connection.name = Some(name.to_owned());
            self.users.insert(name.to_owned(), (token, pubkey.to_owned()));
            self.has_changed = true;
        }
        Ok(())
    }

    /// Sends all users the list of them, if it has changed. To send may close one: then again.
    fn tell_users(&mut self) {
        while std::mem::take(&mut self.has_changed) {
            let names: Vec<_> = self.users.keys().map(|name| format!(r#""{name}""#)).collect();
            let list = format!(r#"{{"action": "userlist", "users": [{}]}}"#, names.join(", "));
            for token in self.users.values().map(|it| it.0).collect::<Vec<_>>() {
                self.send(token, &list);
            }
        }
    }

    fn send(&mut self, token: u64, frame: &str) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
        if connection.send(&self.epoll, token, frame.as_bytes()).is_err() {
            self.close(token);
        }
    }

    fn close(&mut self, token: u64) {
        let closed = self.connections.remove(&token); // to drop a stream closes it
        if let Some(name) = closed.and_then(|it| it.name) {
            self.users.remove(&name);
            self.has_changed = true;
        }
    }
}

impl Connection {
    /// The first frame, if it is whole: an object, without an object in it. There is no length: it
    /// ends at the brace that is not in a string.
    fn take_frame(&mut self) -> Result<Option<String>> {
        let blank = self.inbox.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.inbox.drain(..blank);
        let (mut is_string, mut is_escaped) = (false, false);
        let end = self.inbox.iter().position(|&byte| {
            let is_end = byte == b'}' && !is_string;
            is_string ^= byte == b'"' && !is_escaped;
            is_escaped = byte == b'\\' && !is_escaped;
            is_end
        });
        if end.unwrap_or(self.inbox.len()) >= MAX_FRAME {
            return Err(ErrorKind::InvalidData.into());
        }
        let Some(end) = end else { return Ok(None) };
        self.has_progressed = true;
        Ok(Some(String::from_utf8(self.inbox.drain(..=end).collect()).map_err(Error::other)?))
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
            self.has_progressed = true;
        }
        let is_blocked = !self.outbox.is_empty();
        if is_blocked != self.is_blocked {
            let room = if is_blocked { EpollFlags::EPOLLOUT } else { EpollFlags::empty() };
            epoll.modify(&self.stream, &mut EpollEvent::new(EpollFlags::EPOLLIN | room, token))?;
            self.is_blocked = is_blocked;
        }
        Ok(())
    }

    /// Its token, if it owes us something (its name, the rest of a frame, to read what waits for
    /// it) and did nothing of it since the last look. A user who owes nothing may be silent.
    fn late(&mut self, token: u64) -> Option<u64> {
        let owes = self.name.is_none() || !self.inbox.is_empty() || self.is_blocked;
        let is_late = owes && !self.has_progressed;
        self.has_progressed = !owes;
        is_late.then_some(token)
    }
}

/// The members of an object of strings, each as it is spelled. `None`: it is something else.
fn members(object: &str) -> Option<HashMap<&str, &str>> {
    let mut rest = object.strip_prefix('{')?.strip_suffix('}')?.trim();
    let mut found = HashMap::new();
    while !rest.is_empty() {
        let (name, after) = string(rest)?;
        let (value, after) = string(after.strip_prefix(':')?.trim_start())?;
        found.insert(name, value);
        rest = if after.is_empty() { after } else { after.strip_prefix(',')?.trim_start() };
    }
    Some(found)
}

/// The string at the front of `text`, and what follows. It must be one that all readers take.
fn string(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix('"')?;
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return Some((&text[..at], text[at + 1..].trim_start())),
            b'\\' => match bytes.next()?.1 {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                b'u' if text.get(at + 2..at + 6)?.bytes().all(|it| it.is_ascii_hexdigit()) => {}
                _ => return None,
            },
            0..0x20 => return None,
            _ => {}
        }
    }
    None
}
