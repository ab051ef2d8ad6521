//! A handler that notes what it is told, and a loop on a kernel in memory for it to run on.
//!
//! The recorder holds the loop to its contract by itself: a token is opened at most once, hears
//! nothing after its end but that it is closed, and that once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use nix::errno::Errno;
use sealwax::reactor::{
    CloseReason, Config, Context, Garbled, Handler, Opened, Reactor, Signal, Sys, Timeout, Timer,
    Token,
};

use crate::support::kernel::{Kernel, Peer};

/// One call to the handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Opened(Token, Opened),
    Received(Token, Vec<u8>),
    Ended(Token, Vec<u8>),
    Garbled(Token, Garbled),
    Drained(Token),
    Expired(Token, Timeout),
    Timer(Timer),
    Exhausted(Token, Errno),
    Signal(Signal),
    Closed(Token, CloseReason),
    /// Answered, but not noted.
    EndOfTick,
}

/// How far a source has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    Ended,
    Closed,
}

type Answer<'a> = Box<dyn FnMut(&mut Context, &Told) + 'a>;

/// Notes all that it is told.
pub(crate) struct Recorder<'a> {
    pub(crate) told: Vec<Told>,
    answer: Answer<'a>,
    /// How many of these bytes it consumes.
    pub(crate) consume: fn(&[u8]) -> usize,
    stages: BTreeMap<Token, Stage>,
}

impl<'a> Recorder<'a> {
    /// One that consumes everything and does what `answer` does.
    pub(crate) fn new(answer: impl FnMut(&mut Context, &Told) + 'a) -> Self {
        Self {
            told: Vec::new(),
            answer: Box::new(answer),
            consume: <[u8]>::len,
            stages: BTreeMap::new(),
        }
    }

    /// What it was told since this was last asked.
    pub(crate) fn take(&mut self) -> Vec<Told> {
        std::mem::take(&mut self.told)
    }

    /// All that was received from `from`, joined.
    pub(crate) fn received_from(&self, from: Token) -> Vec<u8> {
        let of = |told: &Told| match told {
            Told::Received(id, bytes) if *id == from => bytes.clone(),
            _ => Vec::new(),
        };
        self.told.iter().flat_map(of).collect()
    }

    /// Whoever was opened and not closed.
    pub(crate) fn alive(&self) -> Vec<Token> {
        let living = self.stages.iter().filter(|(_, stage)| **stage != Stage::Closed);
        living.map(|(&id, _)| id).collect()
    }

    fn tell(&mut self, cx: &mut Context, told: Told) {
        (self.answer)(cx, &told);
        self.told.push(told);
    }

    fn stage(&mut self, id: Token, allowed: &[Option<Stage>], next: Stage) {
        let stage = self.stages.insert(id, next);
        assert!(allowed.contains(&stage), "{id:?} becomes {next:?} from {stage:?}");
    }
}

impl Handler for Recorder<'_> {
    fn opened(&mut self, cx: &mut Context, id: Token, how: Opened) {
        self.stage(id, &[None], Stage::Open);
        self.tell(cx, Told::Opened(id, how));
    }

    fn received(&mut self, cx: &mut Context, from: Token, bytes: &[u8]) -> usize {
        assert!(!bytes.is_empty(), "there is something to look at");
        self.stage(from, &[Some(Stage::Open)], Stage::Open);
        let consumed = (self.consume)(bytes);
        self.tell(cx, Told::Received(from, bytes[..consumed].to_vec()));
        consumed
    }

    fn ended(&mut self, cx: &mut Context, from: Token, rest: &[u8]) {
        self.stage(from, &[Some(Stage::Open)], Stage::Ended);
        self.tell(cx, Told::Ended(from, rest.to_vec()));
    }

    fn garbled(&mut self, cx: &mut Context, from: Token, why: Garbled) {
        self.stage(from, &[Some(Stage::Open)], Stage::Ended);
        self.tell(cx, Told::Garbled(from, why));
    }

    fn drained(&mut self, cx: &mut Context, to: Token) {
        assert!(self.alive().contains(&to));
        self.tell(cx, Told::Drained(to));
    }

    fn timed_out(&mut self, cx: &mut Context, id: Token, timeout: Timeout) {
        assert_ne!(self.stages.get(&id), Some(&Stage::Closed));
        self.tell(cx, Told::Expired(id, timeout));
    }

    fn timer(&mut self, cx: &mut Context, timer: Timer) {
        self.tell(cx, Told::Timer(timer));
    }

    fn exhausted(&mut self, cx: &mut Context, listener: Token, errno: Errno) {
        self.tell(cx, Told::Exhausted(listener, errno));
    }

    fn signal(&mut self, cx: &mut Context, signal: Signal) {
        self.tell(cx, Told::Signal(signal));
    }

    fn closed(&mut self, cx: &mut Context, id: Token, reason: CloseReason) {
        self.stage(id, &[None, Some(Stage::Open), Some(Stage::Ended)], Stage::Closed);
        self.tell(cx, Told::Closed(id, reason));
    }

    fn end_of_tick(&mut self, cx: &mut Context) {
        (self.answer)(cx, &Told::EndOfTick);
    }
}

/// A loop on a kernel in memory.
pub(crate) struct Sim {
    pub(crate) kernel: Kernel,
    pub(crate) reactor: Reactor<Kernel>,
}

impl Sim {
    pub(crate) fn new() -> Self {
        Self::with(&Config::default())
    }

    pub(crate) fn with(config: &Config) -> Self {
        let kernel = Kernel::new();
        Self { reactor: Reactor::new(kernel.clone(), config), kernel }
    }

    pub(crate) fn cx(&mut self) -> &mut Context {
        self.reactor.context()
    }

    /// One tick that does not wait.
    pub(crate) fn tick(&mut self, handler: &mut impl Handler) {
        self.reactor.tick(handler, Some(Duration::ZERO)).expect("the wait is not made to fail");
    }

    /// Ticks until the loop would sleep, and tells after how many ticks that was.
    ///
    /// # Panics
    /// If it does not come to rest: it spins.
    pub(crate) fn settle(&mut self, handler: &mut impl Handler) -> usize {
        const MOMENT: Duration = Duration::from_nanos(1);
        for ticks in 0..1000 {
            let before = self.kernel.now();
            self.reactor.tick(handler, Some(MOMENT)).expect("the wait is not made to fail");
            if self.kernel.now() > before {
                return ticks;
            }
        }
        panic!("the loop spins");
    }

    /// Moves the clock and lets the loop come to rest.
    pub(crate) fn pass(&mut self, handler: &mut impl Handler, time: Duration) {
        self.kernel.advance(time);
        self.tick(handler);
        self.settle(handler);
    }

    /// A listener that stands.
    pub(crate) fn listen(&mut self, handler: &mut Recorder) -> (Token, SocketAddr) {
        let id = self.cx().listen(SocketAddr::from(([127, 0, 0, 1], 0)));
        self.settle(handler);
        let at = handler.told.iter().find_map(|told| match told {
            Told::Opened(of, Opened::Listening(at)) if *of == id => Some(*at),
            _ => None,
        });
        (id, at.expect("the address is free"))
    }

    /// A newcomer that was accepted, and its other end.
    pub(crate) fn accept(&mut self, handler: &mut Recorder, at: SocketAddr) -> (Token, Peer) {
        let (told, peer) = (handler.told.len(), self.kernel.dial(at));
        self.settle(handler);
        let accepted = |told: &Told| match told {
            Told::Opened(id, Opened::Accepted { .. }) => Some(*id),
            _ => None,
        };
        (handler.told[told..].iter().find_map(accepted).expect("was accepted"), peer)
    }

    /// Nothing is left of what was: no descriptor but these, no byte, no wait, no timer.
    pub(crate) fn assert_clean(&mut self, handler: &mut impl Handler, descriptors: usize) {
        const AGE: Duration = Duration::from_hours(24);
        self.settle(handler);
        let before = self.kernel.now();
        self.reactor.tick(handler, Some(AGE)).expect("the wait is not made to fail");
        assert_eq!(self.kernel.now(), before + AGE, "something is still due");
        assert_eq!(self.kernel.descriptors(), descriptors);
        assert_eq!(self.cx().queued_in_all(), 0);
    }
}

/// A handler that only notes.
pub(crate) fn silent() -> Recorder<'static> {
    Recorder::new(|_, _| {})
}

/// A handler that sends back what it receives, and closes who has ended.
pub(crate) fn echo() -> Recorder<'static> {
    Recorder::new(|cx, told| match told {
        Told::Received(from, bytes) => cx.send(*from, &[bytes]),
        Told::Ended(from, _) => cx.close(*from),
        _ => {}
    })
}

/// Consumes whole lines.
pub(crate) fn lines(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1)
}
