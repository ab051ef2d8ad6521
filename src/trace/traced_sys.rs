//! Between the loop and the kernel: each system call is made, and noted.

use std::collections::HashMap;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use nix::Result;

use super::record::{Call, Phase};
use super::recorder::Recorder;
use crate::reactor::{Event, Interest, Io, ProcessFd, Sys, Time, Token, Watch};

/// A kernel whose every call is noted.
pub struct TracedSys<S> {
    sys: S,
    recorder: Recorder,
    /// What is known of each open descriptor, by its number.
    open: HashMap<i32, KnownIo>,
}

/// What is known of a descriptor.
struct KnownIo {
    /// What it is called until its handler has a name for it.
    name: Rc<str>,
    /// Known from the first call that names it, the one that watches it.
    token: Option<Token>,
}

impl<S: Sys> TracedSys<S> {
    /// Passes on to `sys`.
    pub fn new(sys: S, recorder: Recorder) -> Self {
        Self { sys, recorder, open: HashMap::new() }
    }

    fn opened(&mut self, io: Io, name: &str) -> Io {
        self.open.insert(io.number(), KnownIo { name: name.into(), token: None });
        io
    }

    /// The source of a descriptor, and its number.
    fn of(&self, io: Option<Io>) -> (Option<Token>, Option<i32>) {
        let number = io.map(Io::number);
        (number.and_then(|number| self.open.get(&number)?.token), number)
    }

    fn pass<R>(
        &mut self,
        phase: Phase,
        io: Option<Io>,
        call: Call,
        make: impl FnOnce(&mut S) -> Result<R>,
        count: impl FnOnce(&R) -> usize,
    ) -> Result<R> {
        let at = self.recorder.now();
        let answer = make(&mut self.sys);
        let outcome = answer.as_ref().map(count).map_err(|&errno| errno);
        self.recorder.called(phase, at, self.of(io), call, outcome);
        answer
    }
}

impl<S: Sys> Sys for TracedSys<S> {
    fn now(&mut self) -> Time {
        self.sys.now()
    }

    fn wait(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> Result<()> {
        self.recorder.wait(timeout);
        let answer = self.sys.wait(events, timeout);
        self.recorder.woke(events);
        answer
    }

    fn listen(&mut self, at: SocketAddr) -> Result<(Io, SocketAddr)> {
        let call = Call::Listen(at);
        let (io, at) =
            self.pass(Phase::Accept, None, call, |sys| sys.listen(at), |it| number(it.0))?;
        Ok((self.opened(io, &format!("listener {at}")), at))
    }

    fn accept(&mut self, listener: Io) -> Result<(Io, SocketAddr)> {
        let at = self.recorder.now();
        let answer = self.sys.accept(listener);
        let call = Call::Accept(answer.as_ref().ok().map(|&(_, peer)| peer));
        let outcome = answer.as_ref().map(|it| number(it.0)).map_err(|&errno| errno);
        self.recorder.called(Phase::Accept, at, self.of(Some(listener)), call, outcome);
        answer.map(|(io, peer)| (self.opened(io, &peer.to_string()), peer))
    }

    fn shed(&mut self, listener: Io) {
        let at = self.recorder.now();
        self.sys.shed(listener);
        self.recorder.called(Phase::Accept, at, self.of(Some(listener)), Call::Shed, Ok(0));
    }

    fn connect(&mut self, to: SocketAddr) -> Result<Io> {
        let call = Call::Connect(to);
        let io = self.pass(Phase::Accept, None, call, |sys| sys.connect(to), |&io| number(io))?;
        Ok(self.opened(io, &to.to_string()))
    }

    fn error(&mut self, io: Io) -> Result<()> {
        self.pass(Phase::Dispatch, Some(io), Call::Error, |sys| sys.error(io), |()| 0)
    }

    fn open(&mut self, fd: &ProcessFd) -> Result<Io> {
        let name = match fd {
            ProcessFd::Stdin => "standard input",
            ProcessFd::Stdout => "standard output",
            ProcessFd::Stderr => "standard error",
            ProcessFd::Signals => "signals",
            ProcessFd::TerminalSignals => "terminal signals",
            ProcessFd::Wake(_) => "wake-up",
            ProcessFd::Listener(_) => "unix listener",
            ProcessFd::Stream(_) => "unix socket",
            ProcessFd::File(_) => "file",
            ProcessFd::Inherited(_) => "inherited listener",
        };
        let io =
            self.pass(Phase::Accept, None, Call::Open(name), |sys| sys.open(fd), |&io| number(io))?;
        Ok(self.opened(io, name))
    }

    fn watch(&mut self, io: Io, token: Token, interest: Interest, how: Watch) -> Result<()> {
        if let Some(known) = self.open.get_mut(&io.number()) {
            known.token = Some(token);
            self.recorder.meet(token, &known.name);
        }
        let phase = if how == Watch::Begin { Phase::Accept } else { Phase::Rearm };
        let watch = |sys: &mut S| sys.watch(io, token, interest, how);
        self.pass(phase, Some(io), Call::Watch(interest, how), watch, |()| 0)
    }

    fn read(&mut self, io: Io, into: &mut [u8]) -> Result<usize> {
        let is_signals = matches!(io, Io::Signals(_));
        let phase = if is_signals { Phase::Deadlines } else { Phase::Dispatch };
        let call = Call::Read(into.len());
        self.pass(phase, Some(io), call, |sys| sys.read(io, into), |&read| read)
    }

    fn writev(&mut self, io: Io, slices: &[IoSlice<'_>]) -> Result<usize> {
        let offered = slices.iter().map(|slice| slice.len()).sum();
        let call = Call::Writev { offered, slices: slices.len(), left: 0 };
        let write = |sys: &mut S| sys.writev(io, slices);
        self.pass(Phase::Flush, Some(io), call, write, |&taken| taken)
    }

    fn shutdown(&mut self, io: Io) -> Result<()> {
        let shut = |sys: &mut S| sys.shutdown(io);
        self.pass(Phase::Flush, Some(io), Call::Shutdown, shut, |()| 0)
    }

    fn close(&mut self, io: Io) {
        let at = self.recorder.now();
        self.sys.close(io);
        let of = self.of(Some(io));
        self.open.remove(&io.number());
        self.recorder.called(Phase::Reap, at, of, Call::Close, Ok(0));
    }
}

/// The number of a descriptor, as an answer of the kernel: never negative.
fn number(io: Io) -> usize {
    usize::try_from(io.number()).unwrap_or_default()
}
