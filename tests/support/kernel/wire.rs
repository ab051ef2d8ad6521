//! What lies between two processes: bytes, ends and newcomers on their way.
//!
//! Without a latency everything arrives at once, as over loopback. With one, each thing that is
//! sent takes its time and arrives behind what was sent before it; nothing is lost and nothing
//! overtakes.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use nix::errno::Errno;
use sealwax::reactor::Time;

use super::machine::{File, Kind, Machine};

/// How long the next thing takes.
pub(super) type Latency = Box<dyn FnMut() -> Duration>;

/// What is on its way to one descriptor, the first first.
pub(super) type Wire = VecDeque<(Time, Packet)>;

pub(super) enum Packet {
    Bytes(Vec<u8>),
    /// The other end will write no more.
    End,
    /// The connection is broken; `destroys`: with it goes what was not read.
    Reset {
        errno: Errno,
        destroys: bool,
    },
    /// Somebody connects to this listener.
    Newcomer(usize, SocketAddr),
    /// The connection stands.
    Established,
}

impl Machine {
    /// Sends `packet` to `fd`.
    pub(super) fn transmit(&mut self, fd: usize, packet: Packet) {
        let delay = match &mut self.latency {
            Some(latency) if self.files[fd].as_ref().is_some_and(File::travels) => latency(),
            _ => Duration::ZERO,
        };
        let now = self.now;
        let wire = &mut self.file(fd).wire;
        if delay.is_zero() && wire.is_empty() {
            return self.arrive(fd, packet);
        }
        let due = wire.back().map_or(now, |&(due, _)| due).max(now + delay);
        wire.push_back((due, packet));
    }

    /// Lets everything arrive whose time has come.
    pub(super) fn deliver(&mut self) {
        let now = self.now;
        for fd in 0..self.files.len() {
            let is_due = |file: &mut File| file.wire.pop_front_if(|(due, _)| *due <= now);
            while let Some((_, packet)) = self.files[fd].as_mut().and_then(is_due) {
                self.arrive(fd, packet);
            }
        }
    }

    /// When the next thing arrives.
    pub(super) fn next_delivery(&self) -> Option<Time> {
        self.files.iter().flatten().filter_map(|file| Some(file.wire.front()?.0)).min()
    }

    fn arrive(&mut self, fd: usize, packet: Packet) {
        match packet {
            Packet::Bytes(bytes) => self.file(fd).inbound.extend(bytes),
            Packet::End => self.file(fd).ended = true,
            Packet::Reset { errno, destroys } => {
                if destroys {
                    self.file(fd).inbound.clear();
                }
                return self.break_off(fd, errno);
            }
            Packet::Newcomer(newcomer, from) => self.file(fd).backlog.push_back((newcomer, from)),
            Packet::Established => self.file(fd).established = true,
        }
        self.enlist(fd);
    }
}

impl File {
    /// Pipes and files are within the machine.
    fn travels(&self) -> bool {
        matches!(self.kind, Kind::Socket | Kind::Listener)
    }

    /// Bytes that came and were not read, and those that are on their way: a sender may not have
    /// more of them out than the reader has room for.
    pub(super) fn unread(&self) -> usize {
        let bytes = |(_, packet): &(Time, Packet)| match packet {
            Packet::Bytes(bytes) => bytes.len(),
            _ => 0,
        };
        self.inbound.len() + self.wire.iter().map(bytes).sum::<usize>()
    }
}
