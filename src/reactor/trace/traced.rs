//! Between the loop and the kernel: each system call is made, and noted.

use std::cell::Cell;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use nix::Result;

use super::record::{Call, Phase};
use super::recorder::Recorder;
use crate::reactor::{Event, Interest, Source, Sys, Time, Token, Watch};

/// A kernel whose every call is noted.
pub struct Traced<S> {
    sys: S,
    recorder: Recorder,
}

/// A descriptor, and whose it is.
pub struct Io<I> {
    inner: I,
    /// What it is until its handler has a name for it.
    name: Rc<str>,
    is_signals: bool,
    /// Known from the first call that names it on, which is to watch it.
    token: Cell<Option<Token>>,
}

impl<S: Sys> Traced<S> {
    /// Passes on to `sys`.
    pub fn new(sys: S, recorder: Recorder) -> Self {
        Self { sys, recorder }
    }

    fn pass<R>(
        &mut self,
        phase: Phase,
        token: Option<Token>,
        call: Call,
        make: impl FnOnce(&mut S) -> Result<R>,
        count: impl FnOnce(&R) -> usize,
    ) -> Result<R> {
        let at = self.recorder.now();
        let answer = make(&mut self.sys);
        let outcome = answer.as_ref().map(count).map_err(|&errno| errno);
        self.recorder.called(phase, at, token, call, outcome);
        answer
    }
}

impl<S: Sys> Sys for Traced<S> {
    type Io = Io<S::Io>;

    fn now(&mut self) -> Time {
        self.sys.now()
    }

    fn wait(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> Result<()> {
        self.recorder.wait(timeout);
        let answer = self.sys.wait(events, timeout);
        self.recorder.woke(events);
        answer
    }

    fn listen(&mut self, at: SocketAddr) -> Result<(Self::Io, SocketAddr)> {
        let call = Call::Listen(at);
        let (io, at) = self.pass(Phase::Accept, None, call, |sys| sys.listen(at), |_| 0)?;
        Ok((Io::new(io, &format!("listener {at}")), at))
    }

    fn accept(&mut self, listener: &Self::Io) -> Result<(Self::Io, SocketAddr)> {
        let at = self.recorder.now();
        let answer = self.sys.accept(&listener.inner);
        let call = Call::Accept(answer.as_ref().ok().map(|&(_, peer)| peer));
        let outcome = answer.as_ref().map(|_| 0).map_err(|&errno| errno);
        self.recorder.called(Phase::Accept, at, listener.token.get(), call, outcome);
        answer.map(|(io, peer)| (Io::new(io, &peer.to_string()), peer))
    }

    fn turn_away(&mut self, listener: &Self::Io) {
        let at = self.recorder.now();
        self.sys.turn_away(&listener.inner);
        let (token, call) = (listener.token.get(), Call::TurnAway);
        self.recorder.called(Phase::Accept, at, token, call, Ok(0));
    }

    fn connect(&mut self, to: SocketAddr) -> Result<Self::Io> {
        let call = Call::Connect(to);
        let io = self.pass(Phase::Accept, None, call, |sys| sys.connect(to), |_| 0)?;
        Ok(Io::new(io, &to.to_string()))
    }

    fn error(&mut self, io: &Self::Io) -> Result<()> {
        self.pass(Phase::Dispatch, io.token.get(), Call::Error, |sys| sys.error(&io.inner), |()| 0)
    }

    fn open(&mut self, source: &Source) -> Result<Self::Io> {
        let name = match source {
            Source::Input => "standard input",
            Source::Output => "standard output",
            Source::Error => "standard error",
            Source::Signals => "signals",
            Source::Wake(_) => "wake-up",
        };
        let call = Call::Open(name);
        let io = self.pass(Phase::Accept, None, call, |sys| sys.open(source), |_| 0)?;
        Ok(Io { is_signals: matches!(source, Source::Signals), ..Io::new(io, name) })
    }

    fn watch(&mut self, io: &Self::Io, token: Token, interest: Interest, how: Watch) -> Result<()> {
        io.token.set(Some(token));
        self.recorder.meet(token, &io.name);
        let phase = if how == Watch::Begin { Phase::Accept } else { Phase::Rearm };
        let watch = |sys: &mut S| sys.watch(&io.inner, token, interest, how);
        self.pass(phase, Some(token), Call::Watch(interest, how), watch, |()| 0)
    }

    fn read(&mut self, io: &Self::Io, into: &mut [u8]) -> Result<usize> {
        let phase = if io.is_signals { Phase::Deadlines } else { Phase::Dispatch };
        let call = Call::Read(into.len());
        self.pass(phase, io.token.get(), call, |sys| sys.read(&io.inner, into), |&read| read)
    }

    fn writev(&mut self, io: &Self::Io, slices: &[IoSlice<'_>]) -> Result<usize> {
        let offered = slices.iter().map(|slice| slice.len()).sum();
        let call = Call::Writev { offered, slices: slices.len(), left: 0 };
        let write = |sys: &mut S| sys.writev(&io.inner, slices);
        self.pass(Phase::Flush, io.token.get(), call, write, |&taken| taken)
    }

    fn shutdown(&mut self, io: &Self::Io) -> Result<()> {
        let shut = |sys: &mut S| sys.shutdown(&io.inner);
        self.pass(Phase::Flush, io.token.get(), Call::Shutdown, shut, |()| 0)
    }

    fn close(&mut self, io: Self::Io) {
        let at = self.recorder.now();
        self.sys.close(io.inner);
        self.recorder.called(Phase::Reap, at, io.token.get(), Call::Close, Ok(0));
    }
}

impl<I> Io<I> {
    fn new(io: I, name: &str) -> Self {
        Self { inner: io, name: name.into(), is_signals: false, token: Cell::new(None) }
    }
}
