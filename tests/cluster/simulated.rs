//! A relay's connection to the engine on a simulated machine: a small handler takes a lease, claims
//! a name and reads it back, whatever byte is the last one before a cut.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use sealwax::cluster::engine::{Engine, Ticket};
use sealwax::cluster::frames::{self, Change};
use sealwax::cluster::lease::Lease;
use sealwax::cluster::names::{self, ClaimAnswer, LeaseAnswer};
use sealwax::cluster::resp::Value;
use sealwax::cluster::{Incarnation, Place};
use sealwax::reactor::{
    CloseReason, Config, Context, Handler, Opened, Reactor, Sys, Time, Timeout, Timer, Token,
};

use crate::support::engine::EngineProcess;
use crate::support::kernel::{Fault, Kernel, Op};
use crate::support::model::server::{Kept, Trouble};
use crate::world::{Dice, ID, claim, fp, relay, settings};

const AT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 6379);
const NAME: &str = "alice";
const SESSION: u64 = 7;
/// How long after a connection was lost the next one is tried.
const PAUSE: Duration = Duration::from_millis(100);
/// How long nothing has to come before a connection is given up.
const PATIENCE: Duration = Duration::from_secs(5);
const RETRY: Timer = Timer(0);
const LATE: Timer = Timer(1);
/// How many turns a run may take.
const TURNS: usize = 100_000;

/// What is done next. Each answer leads to the next step; a lost connection asks the step again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Lease,
    Claim,
    Read,
    Done,
}

/// As much of a relay as the test needs.
struct Small {
    own: Incarnation,
    /// How many incarnations there were.
    lives: u8,
    lease: Lease,
    /// A call was refused because the lease has ended.
    is_gone: bool,
    step: Step,
    connection: Option<(Token, Engine)>,
    asked: Option<Step>,
    seen: Vec<Change>,
    read: u64,
    /// How many connections there were.
    connections: u32,
}

impl Small {
    fn new() -> Self {
        Self {
            own: relay(1),
            lives: 1,
            lease: Lease::default(),
            is_gone: false,
            step: Step::Lease,
            connection: None,
            asked: None,
            seen: Vec::new(),
            read: 0,
            connections: 0,
        }
    }

    fn connect(&mut self, cx: &mut Context) {
        if self.lease.has_ended() || std::mem::take(&mut self.is_gone) {
            self.lives += 1;
            (self.own, self.lease, self.step) = (relay(self.lives), Lease::default(), Step::Lease);
        }
        self.connections += 1;
        self.connection = Some((cx.connect(AT), Engine::new(self.own, &settings())));
        cx.set_timer(LATE, Some(cx.now() + PATIENCE));
    }

    fn lose(&mut self, cx: &mut Context) {
        let Some((token, _)) = self.connection.take() else { return };
        cx.abort(token);
        if self.asked.take() == Some(Step::Lease) {
            self.lease.unanswered();
        }
        cx.set_timer(LATE, None);
        cx.set_timer(RETRY, Some(cx.now() + PAUSE));
    }

    /// Asks what the step needs, and queues what is to be written.
    fn go_on(&mut self, cx: &mut Context) {
        let Some((token, engine)) = &mut self.connection else { return };
        if engine.is_ready() && self.asked.is_none() && self.step != Step::Done {
            let now = cx.now().since(Time::default());
            let asked = match self.step {
                Step::Lease => {
                    let step = self.lease.due(now).expect("a lease is to be taken");
                    self.lease.sent(now);
                    engine.call(Ticket(1), &names::lease(self.own, step, ID, "an-epoch"))
                }
                Step::Claim => {
                    engine.call(Ticket(1), &claim(self.own, NAME, SESSION, &fp(1), false))
                }
                _ => {
                    let command = frames::read_streams(self.own, 0, Some(self.read));
                    engine.ask(Ticket(1), "XREAD", &command)
                }
            };
            asked.expect("nothing is under way");
            self.asked = Some(self.step);
        }
        if cx.is_open(*token) {
            let output = engine.take_output();
            if !output.is_empty() {
                cx.send(*token, &[&output]);
            }
        }
    }

    /// Returns whether it goes on on this connection.
    fn answered(&mut self, answer: &Value) -> bool {
        match self.asked.take().expect("something was asked") {
            Step::Lease => {
                let answer = names::leased(answer).expect("an answer of a lease");
                self.lease.answered(&answer, Duration::ZERO);
                assert!(matches!(answer, LeaseAnswer::Held { .. }), "{answer:?}");
                self.step = Step::Claim;
            }
            Step::Claim => match names::claimed(answer).expect("an answer of a claim") {
                ClaimAnswer::Taken => self.step = Step::Read,
                // A life before this one has the name until its lease ends.
                ClaimAnswer::NameInUse => return false,
                ClaimAnswer::NoLease => {
                    self.is_gone = true;
                    return false;
                }
                other => panic!("{other:?}"),
            },
            _ => {
                let read = frames::read(self.own, answer).expect("an answer of a read");
                self.read = read.changes.last().map_or(self.read, |change| change.number);
                self.seen.extend(read.changes);
                if self.seen.last().is_some_and(|change| change.place == Some(self.place())) {
                    self.step = Step::Done;
                }
            }
        }
        true
    }

    fn place(&self) -> Place {
        Place { incarnation: self.own, session: SESSION, version2: false }
    }
}

impl Handler for Small {
    fn opened(&mut self, _cx: &mut Context, _id: Token, _how: Opened) {}

    fn received(&mut self, cx: &mut Context, _from: Token, bytes: &[u8]) -> usize {
        let Some((_, engine)) = &mut self.connection else { return bytes.len() };
        cx.set_timer(LATE, Some(cx.now() + PATIENCE));
        let mut is_over = engine.received(bytes).is_err();
        while let Some((_, answer)) = self.connection.as_mut().and_then(|it| it.1.next_answer()) {
            match answer {
                Ok(value) => is_over |= !self.answered(&value),
                Err(_) => is_over = true, // asked again on the next connection
            }
        }
        if is_over {
            self.lose(cx);
        }
        bytes.len()
    }

    fn ended(&mut self, cx: &mut Context, _from: Token, _rest: &[u8]) {
        self.lose(cx);
    }

    fn timed_out(&mut self, _cx: &mut Context, _id: Token, _timeout: Timeout) {}

    fn timer(&mut self, cx: &mut Context, timer: Timer) {
        if timer == RETRY { self.connect(cx) } else { self.lose(cx) }
    }

    fn closed(&mut self, cx: &mut Context, id: Token, _reason: CloseReason) {
        if self.connection.as_ref().is_some_and(|(token, _)| *token == id) {
            self.lose(cx);
        }
    }

    fn end_of_tick(&mut self, cx: &mut Context) {
        self.go_on(cx);
    }
}

/// The machine with both processes.
struct World {
    kernel: Kernel,
    engine: EngineProcess,
    reactor: Reactor<Kernel>,
    small: Small,
    process: Kernel,
}

impl World {
    fn new() -> Self {
        let kernel = Kernel::with_held_clock();
        let mut engine = EngineProcess::start(kernel.process(), AT);
        engine.server_mut().remember(1);
        engine.turn();
        engine.turn();
        let process = kernel.process();
        let mut reactor = Reactor::new(process.clone(), &Config::default());
        let mut small = Small::new();
        small.connect(reactor.context());
        Self { kernel, engine, reactor, small, process }
    }

    /// Lets one of the processes run that would, or the time pass until one would.
    fn turn(&mut self) {
        let now = self.kernel.now();
        let is_due = self.reactor.due().is_some_and(|due| due <= now);
        if self.engine.would_run(now) {
            self.engine.turn();
        } else if is_due || self.process.is_ready() {
            self.reactor.tick(&mut self.small, Some(Duration::ZERO)).unwrap();
        } else {
            let moments = [self.engine.due(), self.reactor.due(), self.kernel.next_delivery()];
            let next = moments.into_iter().flatten().min().expect("something is due");
            self.kernel.advance(next.since(now));
        }
    }

    fn run(&mut self) {
        // The connection that was asked for first is opened by a tick.
        self.reactor.tick(&mut self.small, Some(Duration::ZERO)).unwrap();
        self.run_until(|world| world.small.step == Step::Done);
        let change = self.small.seen.last().expect("a change");
        assert_eq!((change.name.as_str(), change.place), (NAME, Some(self.small.place())));
        // Nothing came twice, and nothing is missing.
        assert!(self.small.seen.iter().map(|change| change.number).eq(1..=self.small.read));
    }

    fn run_until(&mut self, is_done: impl Fn(&Self) -> bool) {
        for _ in 0..TURNS {
            if is_done(self) {
                return;
            }
            self.turn();
        }
        panic!("it does not come to an end: {:?}", self.small.step);
    }
}

/// Each byte of an answer is the last once, up to that with which all is done.
#[test]
fn an_answer_may_end_at_each_byte() {
    let mut bytes = 0;
    loop {
        let mut world = World::new();
        world.engine.server_mut().cut_answers(bytes);
        world.run();
        // Behind the last byte a cut does no harm.
        if world.small.connections == 1 {
            break;
        }
        bytes += 1;
    }
    println!("{bytes} bytes of answers");
    assert!(bytes > 1000, "{bytes}");
}

/// Each byte of a command is the last that comes, once; of the scripts, every 101st.
#[test]
fn a_command_may_end_at_each_byte() {
    let scripts: usize =
        sealwax::cluster::script::Script::ALL.iter().map(|script| script.source().len()).sum();
    let (mut bytes, mut runs) = (0, 0);
    loop {
        let mut world = World::new();
        world.engine.server_mut().cut_commands(bytes);
        world.run();
        if world.engine.server().has_cut() {
            break;
        }
        let is_in_scripts = (200..scripts).contains(&bytes);
        bytes += if is_in_scripts { 101 } else { 1 };
        runs += 1;
    }
    println!("{runs} cuts in {bytes} bytes of commands");
    assert!(bytes > scripts, "{bytes}");
}

/// Small buffers, short reads and writes, and everything takes its time.
#[test]
fn it_comes_right_however_slowly_bytes_travel() {
    for seed in 0..64 {
        let mut world = World::new();
        let mut dice = Dice::new(seed);
        world.kernel.set_buffer(dice.one(&[500, 4000, 65536]));
        let mut delays = Dice::new(seed + 1000);
        world.kernel.set_latency(move || Duration::from_micros(delays.below(20_000)));
        for kernel in [&world.process, &world.engine.kernel] {
            let mut dice = Dice::new(seed + 2000);
            let short = dice.one(&[1, 2, 1000]);
            kernel.inject(move |op, _| {
                let is_short = matches!(op, Op::Read | Op::Writev) && dice.below(3) > 0;
                is_short.then_some(Fault::Short(short))
            });
        }
        world.engine.server_mut().set_delay(Duration::from_millis(dice.below(50)));
        world.run();
    }
}

/// What else can go wrong, in the middle of the run, and is over later.
#[test]
fn each_trouble_passes() {
    type Begin = fn(&mut EngineProcess);
    let troubles: [(&str, Begin, Begin); 11] = [
        ("nobody listens", |it| it.listen(false), |it| it.listen(true)),
        (
            "too many clients",
            |it| it.server_mut().set_full(true),
            |it| {
                it.server_mut().set_full(false);
            },
        ),
        ("it is stopped", |it| it.server_mut().stop(), |it| it.server_mut().go_on()),
        (
            "its memory is full",
            |it| trouble(it, Some(Trouble::OutOfMemory)),
            |it| trouble(it, None),
        ),
        ("it loads its data", |it| trouble(it, Some(Trouble::Loading)), |it| trouble(it, None)),
        ("it is busy", |it| trouble(it, Some(Trouble::Busy)), |it| trouble(it, None)),
        ("an answer is lost", |it| it.server_mut().lose_answers(1), |_| {}),
        ("it loses its data", |it| it.server_mut().restart(Kept::Nothing), |_| {}),
        ("it starts again", |it| it.server_mut().restart(Kept::All), |_| {}),
        ("it starts again with old data", |it| it.server_mut().restart(Kept::AllBut(1)), |_| {}),
        ("it loses its scripts", |it| it.server_mut().lose_scripts(), |_| {}),
    ];
    for (what, begin, end) in troubles {
        for step in [Step::Lease, Step::Claim] {
            println!("{what}, before {step:?}");
            let mut world = World::new();
            world.reactor.tick(&mut world.small, Some(Duration::ZERO)).unwrap();
            world.run_until(|world| world.small.step == step);
            begin(&mut world.engine);
            let from = world.kernel.now();
            let until = from + Duration::from_secs(1);
            world.run_until(|world| {
                world.small.step == Step::Done || world.kernel.clone().now() > until
            });
            end(&mut world.engine);
            world.run();
        }
    }
}

fn trouble(engine: &mut EngineProcess, trouble: Option<Trouble>) {
    engine.server_mut().set_trouble(trouble);
}
