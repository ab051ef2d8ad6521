//! `sealwax load`: measures a relay, alone or beside something else.
//!
//! The generator itself is pure (`src/load`). Here are the processes that are measured
//! (`target.rs`, `found.rs`, `servers.rs`, `process.rs`, `room.rs`), the loop that the generator
//! runs on, the clocks that are read and the bytes that are counted meanwhile (`drive.rs`,
//! `traffic.rs`), and what is told of it (`progress.rs`, `figures.rs`,
//! `head.rs`, `table.rs`, `numbers.rs`, `report.rs`, `histogram.rs`, `earlier.rs`).

mod drive;
mod earlier;
mod figures;
mod found;
mod head;
mod histogram;
mod numbers;
mod process;
mod progress;
mod report;
mod room;
mod servers;
mod table;
mod target;
mod traffic;

use std::io::IsTerminal;
use std::rc::Rc;

use nix::unistd::Pid;
use serde_json::{Value, json};

use self::report::Report;
use self::room::Room;
use self::servers::Server;
use self::target::{Processors, Subject, Target};
use super::cli::{self, Beside, Load, LoadCommand, Roster, RunArgs};
use super::{Exit, Failure, Outcome};
use crate::limits::{LOAD_CROSSING, LOAD_HOLD_RATE, LOAD_KEYS_TOLD, LOAD_ROUNDS_BESIDE};
use crate::load::{Early, Extent, Floor, Generator, Keys, Payload, Plan, Work};
use crate::reactor::raise_descriptor_limit;
use crate::tls::ClientTls;
use crate::wire::RosterMode;

/// What is asked for, besides what all kinds of load have in common.
struct LoadTask<'a> {
    /// The command that it is.
    kind: &'static str,
    work: Work,
    workers: u32,
    idle: u32,
    rate: Option<f64>,
    roster: RosterMode,
    run: &'a RunArgs,
}

/// `sealwax load`
pub(super) fn load(arguments: &Load) -> Outcome {
    let measure =
        |work, workers, idle, run| LoadTask { idle, ..LoadTask::new(work, workers, run) }.measure();
    match &arguments.command {
        LoadCommand::Connect(it) => measure(Work::Connect, it.at_once, it.idle.users, &it.run),
        LoadCommand::Echo(it) => measure(Work::Echo, it.at_once, it.idle.users, &it.run),
        LoadCommand::Pingpong(it) => measure(Work::PingPong, it.pairs, it.idle.users, &it.run),
        LoadCommand::Flood(it) => {
            let work = Work::Flood { window: it.window, mesh: it.mesh };
            measure(work, it.pairs, it.idle.users, &it.run)
        }
        LoadCommand::Hold(it) => {
            let task = LoadTask::new(Work::PingPong, 1, &it.run);
            let rate = task.rate.or(Some(LOAD_HOLD_RATE));
            LoadTask { kind: "hold", idle: it.idle, rate, ..task }.measure()
        }
        LoadCommand::Floor(it) => floor(it),
    }
}

impl<'a> LoadTask<'a> {
    fn new(work: Work, workers: u32, run: &'a RunArgs) -> Self {
        let roster = match run.roster {
            Some(Roster::Full) => RosterMode::Full,
            Some(Roster::Delta) => RosterMode::Delta,
            None if work == Work::Connect => RosterMode::Full,
            Some(Roster::None) | None => RosterMode::None,
        };
        Self { kind: work.name(), work, workers, idle: 0, rate: run.rate, roster, run }
    }

    /// All rounds, and the table.
    fn measure(&self) -> Outcome {
        self.check_crossing()?;
        self.check_echo()?;
        let first = if self.run.relay.is_empty() { 0 } else { random_first()? };
        let (original, version2) = (self.payload(false, first)?, self.payload(true, first)?);
        let keys = self.run.v2.then(|| Rc::new(self.keys()));
        let subjects = self.subjects();
        subjects.iter().try_for_each(|subject| subject.check(self.run.size))?;
        let pins = self.pins()?;
        let mut report = Report::new(&subjects, self.settings(pins), self.run)?;
        'rounds: for _ in 0..self.rounds(&subjects) {
            for (subject, place) in subjects.iter().zip(0..) {
                let is_sealed = self.run.tls && subject.speaks_tls();
                let mut target = subject.start(pins, is_sealed)?;
                let plan = self.plan(&target, subject);
                let room = Room::for_run(&plan, &target.pids)?;
                let keys = keys.clone().filter(|_| subject.proves());
                let payload = if keys.is_some() { &version2 } else { &original };
                let protocol = subject.protocol(self.roster, payload, keys);
                let mut generator = Generator::new(plan.clone(), protocol, payload.clone());
                if is_sealed {
                    generator.speak_tls(tls()?);
                }
                report.begin(|wide| self.head(&subjects, &target, wide))?;
                let run = drive::run(generator, &target, room)?;
                let gone = if run.has_lost() { target.gone() } else { None };
                report.add(place, &run, &plan, gone.as_deref())?;
                if run.early == Some(Early::Interrupted) {
                    break 'rounds;
                }
            }
        }
        report.finish()?;
        Ok(if report.is_clean { Exit::Done } else { Exit::Failed })
    }

    /// How often each subject is measured.
    fn rounds(&self, subjects: &[Subject]) -> u32 {
        let usual = if subjects.len() > 1 { LOAD_ROUNDS_BESIDE } else { 1 };
        self.run.rounds.unwrap_or(usual)
    }

    /// What makes a difference, for programs.
    fn settings(&self, pins: Option<Processors>) -> Value {
        let (window, mesh) = match self.work {
            Work::Flood { window, mesh } => (Some(window), mesh),
            Work::Connect | Work::Echo | Work::PingPong => (None, false),
        };
        let run = self.run;
        let mut settings = json!({
            "work": self.work.name(), "workers": self.workers, "idle": self.idle,
            "window": window, "mesh": mesh, "version2": run.v2, "tls": run.tls, "size": run.size,
            "rate": self.rate, "roster": self.roster.as_str(), "command": self.kind,
            "duration_seconds": run.count.is_none().then_some(run.duration.as_secs_f64()),
            "count": run.count, "warm_up_seconds": run.warm_up.as_secs_f64(),
            "pinned": pins.map(|pins| [pins.target, pins.own]),
        });
        if self.is_spread() {
            settings["relays"] = run.relay.len().max(1).into();
            settings["crossing"] = self.crossing().into();
        }
        settings
    }

    /// Whether something is measured that users are spread over.
    fn is_spread(&self) -> bool {
        self.run.relay.len() > 1 || self.run.beside.contains(&Beside::NatsCluster)
    }

    fn crossing(&self) -> u32 {
        self.run.crossing.unwrap_or(LOAD_CROSSING)
    }

    fn check_crossing(&self) -> Result<(), Failure> {
        if self.run.crossing.is_some() && !self.is_spread() {
            let why = "--crossing: only where --relay names several relays";
            return Err(Failure::new(Exit::Usage, why));
        }
        Ok(())
    }

    /// An echo server has to be named, and knows nothing of the protocol.
    fn check_echo(&self) -> Result<(), Failure> {
        let run = self.run;
        let is_of_relays = run.v2 || run.tls || run.roster.is_some() || !run.beside.is_empty();
        let why = match self.work {
            Work::Echo if run.relay.len() != 1 => "echo: --relay has to name one echo server",
            Work::Echo if is_of_relays => "echo: --v2, --tls, --roster and --beside are for relays",
            _ => return Ok(()),
        };
        Err(Failure::new(Exit::Usage, why))
    }

    fn payload(&self, version2: bool, first: u32) -> Result<Payload, Failure> {
        Payload::new(self.run.size, version2, first).ok_or_else(|| {
            let shortest = Payload::shortest(version2);
            Failure::new(Exit::Usage, format!("--size: a message has {shortest} bytes at least"))
        })
    }

    /// Keys for all users of version 2.
    fn keys(&self) -> Keys {
        let is_watched = std::io::stderr().is_terminal();
        Keys::new(self.work.users(self.workers) + self.idle, |made, of| {
            if is_watched && (made == of || made.is_multiple_of(LOAD_KEYS_TOLD)) {
                eprintln!("made {made} keys of {of}");
            }
        })
    }

    /// The relay, and what stands beside it.
    fn subjects(&self) -> Vec<Subject> {
        let run = self.run;
        let relay = if run.relay.is_empty() {
            Subject::Relay(run.serve.clone())
        } else {
            let relays = run.relay.clone();
            let pids = run.pid.iter().copied().map(Pid::from_raw).collect();
            match self.work {
                Work::Echo => Subject::Echo { servers: relays, pids },
                _ => Subject::Found { relays, pids },
            }
        };
        let beside = run.beside.iter().map(|beside| match beside {
            Beside::Floor => Subject::Floor { spin: false },
            Beside::FloorSpin => Subject::Floor { spin: true },
            Beside::Redis => Subject::Server(Server::Redis),
            Beside::Nats => Subject::Server(Server::Nats),
            Beside::NatsCluster => Subject::Server(Server::NatsCluster),
            Beside::Mosquitto => Subject::Server(Server::Mosquitto),
            Beside::Ngircd => Subject::Server(Server::Ngircd),
        });
        std::iter::once(relay).chain(beside).collect()
    }

    /// A relay that was found is not to be moved, and neither are we then, unless that was asked
    /// for.
    fn pins(&self) -> Result<Option<Processors>, Failure> {
        let default = || Processors::first_two().filter(|_| self.run.relay.is_empty());
        self.run.pin.map_or_else(|| Ok(default()), |pin| Processors::new(pin).map(Some))
    }

    fn plan(&self, target: &Target, subject: &Subject) -> Plan {
        let run = self.run;
        let work = match self.work {
            Work::Flood { window, mesh } => Work::Flood { window, mesh: mesh && subject.routes() },
            work => work,
        };
        Plan {
            targets: target.addresses.clone(),
            crossing: self.crossing(),
            work,
            workers: self.workers,
            idle: self.idle,
            rate: self.rate,
            warm_up: run.warm_up,
            extent: run.count.map_or(Extent::Time(run.duration), Extent::Operations),
            connecting: subject.backlog(),
            ramp: run.ramp,
            timeout: run.timeout,
        }
    }
}

/// What connections are sealed with. A measurement tells nobody a secret, so no certificate is
/// checked.
fn tls() -> Result<ClientTls, Failure> {
    ClientTls::bound().map_err(|why| Failure::new(Exit::Failed, why))
}

/// Where names begin on a relay that others use as well, and that may know names from an earlier
/// run: bound to keys that are gone, or of connections that it has not seen the end of.
fn random_first() -> Result<u32, Failure> {
    let drawn = getrandom::u32().map_err(|error| Failure::new(Exit::Failed, error))?;
    Ok(drawn >> 5 & !1) // the highest name stays below 2²⁸, and pairs begin with an even one
}

/// `sealwax load floor`
fn floor(arguments: &cli::Floor) -> Outcome {
    let at = arguments.listen;
    let failed = |errno| Failure::new(Exit::Failed, format!("the floor at {at}: {errno}"));
    raise_descriptor_limit().map_err(failed)?;
    let mut floor = Floor::new(at).map_err(failed)?;
    eprintln!("listening on {}", floor.address());
    floor.run(arguments.spin).map_err(failed)?;
    Ok(Exit::Done)
}
