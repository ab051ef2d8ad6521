//! What goes wrong, how often, and how often it has: the calls that fail, as the dice have it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use nix::errno::Errno;
use sealwax::reactor::{Event, Trigger};

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
    /// Where all is fair but for one call.
    one: Option<One>,
}

/// One call that fails.
struct One {
    /// How many calls succeed before it.
    left: usize,
    /// Which of its errors it fails with.
    attempt: usize,
    /// Which call it was.
    struck: Option<Op>,
}

impl Weather {
    pub(crate) fn new(mut dice: Dice) -> Self {
        let rate = *dice.pick(&[0, 10, 40, 100]);
        let is_rough = dice.chance(500);
        Self::with(dice, rate, is_rough, None)
    }

    /// A fair weather but for one call, the `nth` of all: it fails with its error of this number,
    /// if it has as many.
    pub(crate) fn one(nth: usize, attempt: usize) -> Self {
        Self::with(Dice::new(0), 0, false, Some(One { left: nth, attempt, struck: None }))
    }

    fn with(dice: Dice, rate: usize, is_rough: bool, one: Option<One>) -> Self {
        let (is_calm, counts, injected) = (false, Counts::new(), 0);
        let inner = Inner { dice, rate, is_rough, is_calm, counts, injected, one };
        Self(Rc::new(RefCell::new(inner)))
    }

    /// Which call was the one.
    pub(crate) fn struck(&self) -> Option<Op> {
        self.0.borrow().one.as_ref()?.struck
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
        self.0.borrow_mut().count(what);
    }

    pub(crate) fn counts(&self) -> Counts {
        self.0.borrow().counts.clone()
    }

    /// From now on this process feels the weather.
    pub(crate) fn strike(&self, process: &Kernel, trigger: Trigger) {
        let (weather, kernel) = (self.clone(), process.clone());
        process.inject(move |op, fd| {
            // Who is told of edges may rely on it that a call says "not now" only where that is
            // so: then another edge will come.
            let is_short = |fault: &Fault| {
                matches!(fault, Fault::Short(_) | Fault::Fail(Errno::EAGAIN))
                    && op != Op::Accept
                    && trigger == Trigger::Edge
            };
            weather.0.borrow_mut().fault(op, fd, &kernel, is_short)
        });
    }
}

impl Inner {
    fn fault(
        &mut self,
        op: Op,
        fd: Option<usize>,
        kernel: &Kernel,
        is_short: impl Fn(&Fault) -> bool,
    ) -> Option<Fault> {
        if let Some(one) = &mut self.one {
            let fault = one.fault(op).filter(|fault| !is_short(fault))?;
            self.injected += 1;
            return Some(fault);
        }
        if self.is_calm || !self.dice.chance(self.rate) {
            return None;
        }
        let is_socket = fd.is_some_and(|fd| kernel.is_socket(fd));
        // What breaks a connection is rarer, or nothing would ever be said.
        let breaks = self.is_rough && self.dice.chance(100);
        let dice = &mut self.dice;
        let is_soft = |errno: &Errno| matches!(errno, Errno::EAGAIN | Errno::EINTR);
        let (soft, hard): (Vec<Errno>, Vec<Errno>) = op.errnos().iter().copied().partition(is_soft);
        let fault = match op {
            Op::Wait => return self.wait(kernel),
            Op::Accept | Op::Connect => Fault::Fail(*dice.pick(op.errnos())),
            Op::Read | Op::Writev | Op::Watch | Op::Error | Op::Shutdown if breaks && is_socket => {
                Fault::Fail(*dice.pick(&hard))
            }
            Op::Read | Op::Writev if dice.chance(500) => Fault::Short(dice.between(1, 100)),
            Op::Read | Op::Writev => Fault::Fail(*dice.pick(&soft)),
            _ => return None,
        };
        if is_short(&fault) {
            return None;
        }
        let what = match fault {
            Fault::Fail(errno) => format!("{op:?} {errno:?}"),
            _ => format!("{op:?} short"),
        };
        self.injected += 1;
        self.count(&what);
        Some(fault)
    }

    fn count(&mut self, what: &str) {
        *self.counts.entry(what.to_owned()).or_default() += 1;
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
            if hangup && kernel.watched().iter().any(|other| other.slot() == token.slot()) {
                self.count("Wait stale event, slot used again");
            }
            Fault::Stale(Event { token, readable: true, writable: true, rdhup: hangup, hangup })
        };
        self.injected += 1;
        self.count(what);
        Some(fault)
    }
}

impl One {
    fn fault(&mut self, op: Op) -> Option<Fault> {
        if self.struck.is_some() || op == Op::Close {
            return None;
        }
        if self.left > 0 {
            self.left -= 1;
            return None;
        }
        self.struck = Some(op);
        op.errnos().get(self.attempt).copied().map(Fault::Fail)
    }
}
