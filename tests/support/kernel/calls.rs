//! The system calls: each may be made to fail, and is noted.

use std::io::IoSlice;
use std::net::SocketAddr;
use std::time::Duration;

use nix::Result;
use nix::errno::Errno;
use sealwax::reactor::{Event, Interest, Io, ProcessFd, Sys, Time, Token, Watch};

use super::machine::{Kind, Machine};
use super::wire::Packet;
use super::{Kernel, fd_of, io_of};

/// A system call, as it was asked and answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    pub op: Op,
    /// The descriptor, where there was one before the call.
    pub fd: Option<usize>,
    /// Bytes, events or the new descriptor, by what was called.
    pub outcome: Result<usize>,
}

/// The calls that are told apart; [`Sys::now`] and [`Sys::shed`] are not noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    Wait,
    Listen,
    Accept,
    Connect,
    Error,
    Open,
    Watch,
    Read,
    Writev,
    Shutdown,
    Close,
}

/// What a test makes of a call.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// It fails and does nothing ([`Op::Close`] cannot fail).
    Fail(Errno),
    /// A read or write of more bytes stops after so many.
    Short(usize),
    /// A wait that also returns this event.
    Stale(Event),
    /// A wait behind which the process is stopped for so long, before it goes on.
    Late(Duration),
}

impl Kernel {
    /// Asks for a fault, makes the call, notes it.
    fn call(
        &self,
        op: Op,
        fd: Option<usize>,
        body: impl FnOnce(&mut Machine, Option<usize>) -> Result<usize>,
    ) -> Result<usize> {
        let mut inject = self.me().inject.take();
        let fault = inject.as_mut().and_then(|inject| inject(op, fd));
        self.me().inject = inject;
        let outcome = match fault {
            Some(Fault::Fail(errno)) => {
                if let (Some(fd), true) = (fd, breaks(op, errno)) {
                    self.machine.borrow_mut().harm(fd);
                }
                Err(errno)
            }
            Some(Fault::Short(most)) => body(&mut self.machine.borrow_mut(), Some(most)),
            Some(Fault::Stale(_) | Fault::Late(_)) | None => {
                body(&mut self.machine.borrow_mut(), None)
            }
        };
        if let Some(calls) = &mut self.me().calls {
            calls.push(Call { op, fd, outcome });
        }
        outcome
    }
}

/// Whether the loop takes this answer for the end of the connection.
fn breaks(op: Op, errno: Errno) -> bool {
    !matches!((op, errno), (Op::Accept, _) | (_, Errno::EAGAIN | Errno::EINTR))
}

impl Sys for Kernel {
    fn now(&mut self) -> Time {
        self.machine.borrow().now
    }

    /// Nothing ready: the clock moves on by `timeout`, unless it is held.
    ///
    /// # Panics
    /// Where a real kernel would wait for ever.
    fn wait(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> Result<()> {
        events.clear();
        let mut inject = self.me().inject.take();
        let fault = inject.as_mut().and_then(|inject| inject(Op::Wait, None));
        self.me().inject = inject;
        if let Some(Fault::Fail(errno)) = fault {
            return Err(errno);
        }
        let mut machine = self.machine.borrow_mut();
        machine.take_ready(self.process, events);
        if let Some(Fault::Stale(event)) = fault {
            events.push(event);
        }
        if events.is_empty() && !machine.clock_is_held {
            let timeout = timeout.expect("nothing is ready, nothing is due: the loop would hang");
            machine.now = machine.now + timeout;
            machine.deliver();
        }
        if let Some(Fault::Late(time)) = fault {
            machine.now = machine.now + time;
            machine.deliver();
        }
        drop(machine);
        if let Some(calls) = &mut self.me().calls {
            calls.push(Call { op: Op::Wait, fd: None, outcome: Ok(events.len()) });
        }
        Ok(())
    }

    fn listen(&mut self, at: SocketAddr) -> Result<(Io, SocketAddr)> {
        let mut got = at;
        let fd = self.call(Op::Listen, None, |machine, _| {
            if at.port() == 0 {
                got.set_port(machine.free_port());
            }
            if machine.listening.contains_key(&got) {
                return Err(Errno::EADDRINUSE);
            }
            let fd = machine.open(Kind::Listener, self.process)?;
            machine.listening.insert(got, fd);
            Ok(fd)
        })?;
        Ok((io_of(fd), got))
    }

    fn accept(&mut self, listener: Io) -> Result<(Io, SocketAddr)> {
        let mut from = None;
        let fd = self.call(Op::Accept, Some(fd_of(listener)), |machine, _| {
            let newcomer = machine.file(fd_of(listener)).backlog.front().copied();
            let (fd, peer) = newcomer.ok_or(Errno::EAGAIN)?;
            machine.charge(self.process)?;
            machine.file(fd_of(listener)).backlog.pop_front();
            from = Some(peer);
            Ok(fd)
        })?;
        Ok((io_of(fd), from.expect("was accepted")))
    }

    fn shed(&mut self, listener: Io) {
        let mut machine = self.machine.borrow_mut();
        if let Some((fd, _)) = machine.file(fd_of(listener)).backlog.pop_front() {
            machine.processes[self.process].open += 1;
            machine.harm(fd);
            machine.close(fd);
        }
    }

    fn connect(&mut self, to: SocketAddr) -> Result<Io> {
        let fd = self.call(Op::Connect, None, |machine, _| machine.connect(self.process, to))?;
        Ok(io_of(fd))
    }

    fn error(&mut self, io: Io) -> Result<()> {
        let error = self.call(Op::Error, Some(fd_of(io)), |machine, _| {
            let file = machine.file(fd_of(io));
            if file.kind != Kind::Socket {
                return Err(Errno::ENOTSOCK);
            }
            file.error.take().map_or(Ok(0), Err)
        });
        error.map(drop)
    }

    fn open(&mut self, source: &ProcessFd) -> Result<Io> {
        let fd = self.call(Op::Open, None, |machine, _| {
            let number = match source {
                ProcessFd::Stdin => 0,
                ProcessFd::Stdout => 1,
                ProcessFd::Stderr => 2,
                ProcessFd::Signals | ProcessFd::TerminalSignals => {
                    return machine.open(Kind::Signals, self.process);
                }
                ProcessFd::Wake(_) => return machine.open(Kind::Wake, self.process),
            };
            let fd = machine.processes[self.process].standard[number].ok_or(Errno::EBADF)?;
            machine.charge(self.process)?;
            machine.processes[self.process].standard[number] = None;
            Ok(fd)
        })?;
        Ok(io_of(fd))
    }

    fn watch(&mut self, io: Io, token: Token, interest: Interest, how: Watch) -> Result<()> {
        let done = self.call(Op::Watch, Some(fd_of(io)), |machine, _| {
            let file = machine.file(fd_of(io));
            match (file.kind, how, file.watch) {
                (Kind::File, _, _) => return Err(Errno::EPERM),
                (_, Watch::Begin, Some(_)) => return Err(Errno::EEXIST),
                (_, Watch::Change, None) => return Err(Errno::ENOENT),
                (_, _, _) => file.watch = Some((token, interest)),
            }
            machine.enlist(fd_of(io));
            Ok(0)
        });
        done.map(drop)
    }

    fn read(&mut self, io: Io, into: &mut [u8]) -> Result<usize> {
        self.call(Op::Read, Some(fd_of(io)), |machine, most| {
            let file = machine.file(fd_of(io));
            let limit = into.len().min(most.unwrap_or(usize::MAX)).min(file.inbound.len());
            let (front, back) = file.inbound.as_slices();
            let (first, second) = into[..limit].split_at_mut(limit.min(front.len()));
            first.copy_from_slice(&front[..first.len()]);
            second.copy_from_slice(&back[..second.len()]);
            file.inbound.drain(..limit);
            let (error, is_over) =
                (file.error, file.ended || file.reset || file.kind == Kind::File);
            if let (Some(writer), true) = (file.peer, limit > 0) {
                machine.make_room(writer);
            }
            match error {
                _ if limit > 0 => Ok(limit),
                Some(errno) => {
                    machine.file(fd_of(io)).error = None;
                    Err(errno)
                }
                None if is_over => Ok(0),
                None => Err(Errno::EAGAIN),
            }
        })
    }

    fn writev(&mut self, io: Io, slices: &[IoSlice<'_>]) -> Result<usize> {
        self.call(Op::Writev, Some(fd_of(io)), |machine, most| {
            let all: usize = slices.iter().map(|slice| slice.len()).sum();
            let all = all.min(most.unwrap_or(usize::MAX));
            let room = machine.room(fd_of(io), all)?;
            let taken = all.min(room);
            machine.file(fd_of(io)).no_space |= taken < all;
            if let (Some(reader), true) = (machine.file(fd_of(io)).peer, taken > 0) {
                let mut bytes = Vec::with_capacity(taken);
                for slice in slices {
                    let left = taken - bytes.len();
                    bytes.extend_from_slice(&slice[..left.min(slice.len())]);
                }
                machine.transmit(reader, Packet::Bytes(bytes));
            }
            if taken == 0 && all > 0 { Err(Errno::EAGAIN) } else { Ok(taken) }
        })
    }

    fn shutdown(&mut self, io: Io) -> Result<()> {
        let done = self.call(Op::Shutdown, Some(fd_of(io)), |machine, _| {
            let file = machine.file(fd_of(io));
            if file.reset {
                return Err(Errno::ENOTCONN);
            }
            file.shut = true;
            let peer = file.peer;
            machine.enlist(fd_of(io));
            machine.end(peer);
            Ok(0)
        });
        done.map(drop)
    }

    fn close(&mut self, io: Io) {
        self.machine.borrow_mut().close(fd_of(io));
        if let Some(calls) = &mut self.me().calls {
            calls.push(Call { op: Op::Close, fd: Some(fd_of(io)), outcome: Ok(0) });
        }
    }
}
