//! What goes wrong, how often, and how often it has: the calls that fail, as the dice have it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use nix::errno::Errno;
use sealwax::reactor::Event;

use crate::dice::Dice;
use crate::support::kernel::{Fault, Kernel, Op};

/// How often each kind of fault was injected.
pub(crate) type Counts = BTreeMap<String, u64>;

/// The weather of one world. Clones are the same.
#[derive(Clone)]
pub(crate) struct Weather(Rc<RefCell<Inner>>);

struct Inner {
    dice: Dice,
    /// How many calls in a thousand go wrong.
    rate: usize,
    /// Whether connections break, too.
    is_rough: bool,
    is_calm: bool,
    counts: Counts,
    injected: u64,
}

/// Answers that mean "not now", and are followed by another try.
const SOFT: [Errno; 2] = [Errno::EAGAIN, Errno::EINTR];
/// What ends a connection where a call brings it (`read(2)`, `recv(2)`, `write(2)`, `send(2)`).
const READ: [Errno; 4] = [Errno::ECONNRESET, Errno::ETIMEDOUT, Errno::ENOBUFS, Errno::ENOMEM];
const WRITE: [Errno; 4] = [Errno::ECONNRESET, Errno::EPIPE, Errno::ENOBUFS, Errno::ENOMEM];
const ACCEPT: [Errno; 8] = [
    Errno::EAGAIN,
    Errno::EINTR,
    Errno::ECONNABORTED,
    Errno::EPROTO,
    Errno::EMFILE,
    Errno::ENFILE,
    Errno::ENOBUFS,
    Errno::ENOMEM,
];
const CONNECT: [Errno; 4] =
    [Errno::ENETUNREACH, Errno::EADDRNOTAVAIL, Errno::EMFILE, Errno::ENOBUFS];
const ERROR: [Errno; 2] = [Errno::ECONNREFUSED, Errno::ETIMEDOUT];
const WATCH: [Errno; 2] = [Errno::ENOMEM, Errno::ENOSPC];

impl Weather {
    pub(crate) fn new(mut dice: Dice) -> Self {
        let rate = *dice.pick(&[0, 5, 20, 60]);
        let is_rough = dice.chance(500);
        let (counts, injected) = (Counts::new(), 0);
        Self(Rc::new(RefCell::new(Inner {
            dice,
            rate,
            is_rough,
            is_calm: false,
            counts,
            injected,
        })))
    }

    /// From now on nothing goes wrong.
    pub(crate) fn calm(&self) {
        self.0.borrow_mut().is_calm = true;
    }

    /// How many faults there were.
    pub(crate) fn injected(&self) -> u64 {
        self.0.borrow().injected
    }

    /// Counts a fault that is no failing call.
    pub(crate) fn count(&self, what: &str) {
        *self.0.borrow_mut().counts.entry(what.to_owned()).or_default() += 1;
    }

    pub(crate) fn counts(&self) -> Counts {
        self.0.borrow().counts.clone()
    }

    /// From now on this process feels the weather.
    pub(crate) fn strike(&self, process: &Kernel) {
        let (weather, kernel) = (self.clone(), process.clone());
        process.inject(move |op, fd| weather.0.borrow_mut().fault(op, fd, &kernel));
    }
}

impl Inner {
    fn fault(&mut self, op: Op, fd: Option<usize>, kernel: &Kernel) -> Option<Fault> {
        if self.is_calm || !self.dice.chance(self.rate) {
            return None;
        }
        let is_socket = fd.is_some_and(|fd| kernel.is_socket(fd));
        // What breaks a connection is rarer, or nothing would ever be said.
        let breaks = self.is_rough && self.dice.chance(100);
        let dice = &mut self.dice;
        let fault = match op {
            Op::Wait => return self.wait(kernel),
            Op::Accept => Fault::Fail(*dice.pick(&ACCEPT)),
            Op::Connect => Fault::Fail(*dice.pick(&CONNECT)),
            Op::Error if breaks => Fault::Fail(*dice.pick(&ERROR)),
            Op::Watch if breaks && is_socket => Fault::Fail(*dice.pick(&WATCH)),
            Op::Read if breaks && is_socket => Fault::Fail(*dice.pick(&READ)),
            Op::Writev if breaks && is_socket => Fault::Fail(*dice.pick(&WRITE)),
            Op::Shutdown if breaks => Fault::Fail(Errno::ENOTCONN),
            Op::Read | Op::Writev if dice.chance(500) => Fault::Short(dice.between(1, 100)),
            Op::Read if is_socket => Fault::Fail(*dice.pick(&SOFT)),
            Op::Writev => Fault::Fail(*dice.pick(&SOFT)),
            _ => return None,
        };
        let what = match fault {
            Fault::Fail(errno) => format!("{op:?} {errno:?}"),
            _ => format!("{op:?} short"),
        };
        self.injected += 1;
        *self.counts.entry(what).or_default() += 1;
        Some(fault)
    }

    /// Interrupted, or told what is not so: of a source that is gone, or of one that is not ready.
    fn wait(&mut self, kernel: &Kernel) -> Option<Fault> {
        let (what, tokens) = match self.dice.below(3) {
            0 => ("Wait EINTR", Vec::new()),
            1 => ("Wait stale event", kernel.retired()),
            _ => ("Wait spurious event", kernel.watched()),
        };
        let fault = if what == "Wait EINTR" {
            Fault::Fail(Errno::EINTR)
        } else if tokens.is_empty() {
            return None;
        } else {
            let token = *self.dice.pick(&tokens);
            let hangup = what == "Wait stale event";
            Fault::Stale(Event { token, readable: true, writable: true, hangup })
        };
        self.injected += 1;
        *self.counts.entry(what.to_owned()).or_default() += 1;
        Some(fault)
    }
}
