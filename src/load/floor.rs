//! The floor: a forwarder that does only what any relay has to ask of the kernel.
//!
//! Wait, read, write: a loop that forwards bytes between fixed pairs of connections. No framing, no
//! parsing, no names, no queues, no deadlines. Nothing that routes messages can be cheaper by much,
//! so every figure of the relay stands beside the floor's of the same run. It is the only other
//! loop in this project, and does without the reactor on purpose: what the reactor costs is part of
//! what is measured.
//!
//! It pretends to be a relay just as far as the generator needs: the first bytes of a connection
//! name a user, are taken for a whole registration, and are answered. From then on all bytes go to
//! the other of the pair, whose number differs in the last bit.

use std::collections::HashMap;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use memchr::memmem;
use nix::Result;
use nix::errno::Errno;

use super::payload::number_in;
use crate::reactor::limits::READ_SIZE;
use crate::reactor::{Event, Interest, Io, Linux, Sys, Token, Watch};

/// What every registration is answered.
const WELCOME: &[u8] = b"{\"action\": \"userlist\", \"users\": []}\n";
/// What stands before the name in a registration.
const NAME: &[u8] = br#""name": ""#;
const LISTENER: usize = 0;
/// One generation is enough: an old event for a slot that is used again does no harm, since its
/// read returns nothing.
const GENERATION: NonZeroU32 = NonZeroU32::MIN;
const READS: Interest = Interest::READ;
const WRITES: Interest = Interest::WRITE;

/// The forwarder.
pub struct Floor {
    sys: Linux,
    listener: Io,
    address: SocketAddr,
    /// By slot; the first is the listener's and stays empty.
    ends: Vec<Option<End>>,
    free: Vec<usize>,
    /// The slot of each user who is here.
    users: HashMap<u32, usize>,
    buffer: Box<[u8]>,
}

/// One connection.
struct End {
    io: Io,
    user: Option<u32>,
    /// The slot to which its bytes go; none until both of the pair are here.
    partner: Option<usize>,
    /// Bytes that it did not take yet. Meanwhile nothing is read from its partner.
    rest: Vec<u8>,
}

impl Floor {
    /// Listens at `at`.
    ///
    /// # Errors
    /// What the kernel says (`bind(2)`, `listen(2)`, `epoll_ctl(2)`).
    pub fn new(at: SocketAddr) -> Result<Self> {
        let mut sys = Linux::new()?;
        let (listener, address) = sys.listen(at)?;
        sys.watch(listener, token(LISTENER), READS, Watch::Begin)?;
        let buffer = vec![0; READ_SIZE].into_boxed_slice();
        Ok(Self {
            sys,
            listener,
            address,
            ends: vec![None],
            free: Vec::new(),
            users: HashMap::new(),
            buffer,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Forwards until the process is ended. With `spin` it never sleeps: the bound for latency.
    ///
    /// # Errors
    /// The wait itself failed.
    pub fn run(&mut self, spin: bool) -> Result<()> {
        let patience = spin.then_some(Duration::ZERO);
        let mut events: Vec<Event> = Vec::new();
        loop {
            match self.sys.wait(&mut events, patience) {
                Err(Errno::EINTR) => continue, // it was stopped and goes on, or strace(1) attached
                waited => waited?,
            }
            for event in &events {
                match event.token.slot() {
                    LISTENER => self.accept(),
                    end if event.writable => self.write_rest(end),
                    end => self.forward(end),
                }
            }
        }
    }

    fn accept(&mut self) {
        while let Ok((io, _)) = self.sys.accept(self.listener) {
            let slot = self.free.pop().unwrap_or(self.ends.len());
            if self.sys.watch(io, token(slot), READS, Watch::Begin).is_err() {
                self.sys.close(io);
                continue;
            }
            let end = Some(End { io, user: None, partner: None, rest: Vec::new() });
            match self.ends.get_mut(slot) {
                Some(place) => *place = end,
                None => self.ends.push(end),
            }
        }
    }

    /// One read, and one write of the same bytes.
    fn forward(&mut self, slot: usize) {
        let Some(Some(end)) = self.ends.get(slot) else { return };
        let count = match self.sys.read(end.io, &mut self.buffer) {
            Ok(0) => return self.close(slot),
            Ok(count) => count,
            Err(Errno::EAGAIN | Errno::EINTR) => return,
            Err(_) => return self.close(slot),
        };
        match (end.partner, end.user) {
            (Some(partner), _) => self.pass(slot, partner, count),
            (None, Some(_)) => {} // nobody to give it to
            (None, None) => self.register(slot, count),
        }
    }

    fn pass(&mut self, from: usize, to: usize, count: usize) {
        let Some(Some(end)) = self.ends.get_mut(to) else { return };
        let taken = match Linux::write(end.io, &self.buffer[..count]) {
            Ok(taken) => taken,
            Err(Errno::EAGAIN | Errno::EINTR) => 0,
            Err(_) => return self.close(to),
        };
        if taken < count {
            end.rest.extend_from_slice(&self.buffer[taken..count]);
            self.watch(to, WRITES);
            self.watch(from, Interest::NONE);
        }
    }

    fn write_rest(&mut self, slot: usize) {
        let Some(Some(end)) = self.ends.get_mut(slot) else { return };
        match self.sys.writev(end.io, &[IoSlice::new(&end.rest)]) {
            Ok(taken) => drop(end.rest.drain(..taken)),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(_) => return self.close(slot),
        }
        if end.rest.is_empty() {
            let partner = end.partner;
            self.watch(slot, READS);
            if let Some(partner) = partner {
                self.watch(partner, READS);
            }
        }
    }

    /// Takes the first bytes of a connection for its registration.
    fn register(&mut self, slot: usize, count: usize) {
        let text = &self.buffer[..count];
        let name = memmem::find(text, NAME).map(|place| &text[place + NAME.len()..]);
        let Some(user) = name.and_then(number_in) else { return self.close(slot) };
        self.users.insert(user, slot);
        let other = self.users.get(&(user ^ 1)).copied().unwrap_or(LISTENER);
        if let Some(Some(end)) = self.ends.get_mut(other) {
            end.partner = Some(slot);
        }
        let is_there = self.ends.get(other).is_some_and(Option::is_some);
        if let Some(Some(end)) = self.ends.get_mut(slot) {
            end.user = Some(user);
            end.partner = is_there.then_some(other);
            // A new connection has room, and a broken one shows when it is read.
            let _ = Linux::write(end.io, WELCOME);
        }
    }

    fn close(&mut self, slot: usize) {
        let Some(end) = self.ends.get_mut(slot).and_then(Option::take) else { return };
        self.sys.close(end.io);
        self.free.push(slot);
        if let Some(user) = end.user {
            self.users.remove(&user);
        }
        if let Some(Some(partner)) = end.partner.and_then(|partner| self.ends.get_mut(partner)) {
            partner.partner = None;
        }
    }

    fn watch(&mut self, slot: usize, interest: Interest) {
        let Some(Some(end)) = self.ends.get(slot) else { return };
        if self.sys.watch(end.io, token(slot), interest, Watch::Change).is_err() {
            self.close(slot);
        }
    }
}

fn token(slot: usize) -> Token {
    Token::new(u32::try_from(slot).unwrap_or(u32::MAX), GENERATION)
}
