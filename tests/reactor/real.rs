//! The loop on the kernel that the tests run on, and a count of what its waits return.

use std::cell::Cell;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::Result;
use sealwax::reactor::{
    Config, Context, Event, Interest, Io, Linux, Opened, ProcessFd, Reactor, Sys, Time, Token,
    Watch,
};

pub(crate) use crate::child::PATIENCE;
use crate::recorder::{Recorder, Told};

/// Any port of this machine.
pub(crate) const ANYWHERE: &str = "127.0.0.1:0";

/// Linux, with its events counted.
pub(crate) struct Counted {
    linux: Linux,
    events: Rc<Cell<usize>>,
}

/// A loop on Linux.
pub(crate) struct Real {
    pub(crate) reactor: Reactor<Counted>,
    events: Rc<Cell<usize>>,
}

impl Real {
    pub(crate) fn new() -> Self {
        let events = Rc::new(Cell::new(0));
        let sys =
            Counted { linux: Linux::new().expect("a descriptor"), events: Rc::clone(&events) };
        Self { reactor: Reactor::new(sys, &Config::default()), events }
    }

    pub(crate) fn cx(&mut self) -> &mut Context {
        self.reactor.context()
    }

    /// Ticks until the handler has been told what `is_it` finds.
    ///
    /// # Panics
    /// If that does not come.
    pub(crate) fn until(&mut self, handler: &mut Recorder, is_it: impl Fn(&Told) -> bool) {
        let begun = Instant::now();
        while !handler.told.iter().any(&is_it) {
            assert!(begun.elapsed() < PATIENCE, "it does not come: {:?}", handler.told);
            self.reactor.tick(handler, Some(PATIENCE)).expect("the wait does not fail");
        }
    }

    /// A listener that stands.
    pub(crate) fn listen(&mut self, handler: &mut Recorder) -> (Token, SocketAddr) {
        let id = self.cx().listen(ANYWHERE.parse().expect("an address"));
        self.until(handler, |told| matches!(told, Told::Opened(of, _) if *of == id));
        let at = handler.told.iter().find_map(|told| match told {
            Told::Opened(of, Opened::Listening(at)) if *of == id => Some(*at),
            _ => None,
        });
        (id, at.expect("it listens"))
    }

    /// Ticks until a tick brings nothing, and asserts that the next ones do not either.
    ///
    /// # Panics
    /// If the loop spins.
    pub(crate) fn assert_rest(&mut self, handler: &mut Recorder) {
        let mut quiet = 0;
        for _ in 0..1000 {
            let before = self.events.get();
            self.reactor.tick(handler, Some(Duration::from_millis(1))).expect("no failure");
            quiet = if self.events.get() == before { quiet + 1 } else { 0 };
            if quiet == 5 {
                return;
            }
        }
        panic!("the loop spins");
    }
}

impl Sys for Counted {
    fn now(&mut self) -> Time {
        self.linux.now()
    }

    fn wait(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> Result<()> {
        self.linux.wait(events, timeout)?;
        self.events.update(|count| count + events.len());
        Ok(())
    }

    fn listen(&mut self, at: SocketAddr) -> Result<(Io, SocketAddr)> {
        self.linux.listen(at)
    }

    fn accept(&mut self, listener: Io) -> Result<(Io, SocketAddr)> {
        self.linux.accept(listener)
    }

    fn shed(&mut self, listener: Io) {
        self.linux.shed(listener);
    }

    fn connect(&mut self, to: SocketAddr) -> Result<Io> {
        self.linux.connect(to)
    }

    fn error(&mut self, io: Io) -> Result<()> {
        self.linux.error(io)
    }

    fn open(&mut self, source: &ProcessFd) -> Result<Io> {
        self.linux.open(source)
    }

    fn watch(&mut self, io: Io, id: Token, interest: Interest, how: Watch) -> Result<()> {
        self.linux.watch(io, id, interest, how)
    }

    fn read(&mut self, io: Io, into: &mut [u8]) -> Result<usize> {
        self.linux.read(io, into)
    }

    fn writev(&mut self, io: Io, slices: &[IoSlice<'_>]) -> Result<usize> {
        self.linux.writev(io, slices)
    }

    fn shutdown(&mut self, io: Io) -> Result<()> {
        self.linux.shutdown(io)
    }

    fn close(&mut self, io: Io) {
        self.linux.close(io);
    }
}
