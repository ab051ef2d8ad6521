//! `sealwax load`: measures a relay, alone or beside something else.
//!
//! The generator itself is pure (`src/load`). Here are the processes that are measured (`target.rs`, `process.rs`), the loop
//! that the generator runs on and the clocks that are read meanwhile (`drive.rs`), and what is told of it (`progress.rs`,
//! `figures.rs`, `table.rs`).

mod drive;
mod figures;
mod process;
mod progress;
mod table;
mod target;

use nix::unistd::Pid;

use self::drive::Run;
use self::figures::{bottleneck, figures};
use self::table::{Column, table};
use self::target::{Pins, Subject, Target};
use super::cli::{self, Beside, Load, LoadCommand, RunArgs};
use super::{Exit, Failure, Outcome};
use crate::limits::{LOAD_ROUNDS_BESIDE, SPARE_DESCRIPTORS};
use crate::load::{Extent, Faults, Floor, Generator, Original, Payload, Plan, Work};
use crate::reactor::raise_descriptor_limit;
use crate::wire::RosterMode;

/// `sealwax load`
pub(super) fn load(arguments: &Load) -> Outcome {
    match &arguments.command {
        LoadCommand::Pingpong(it) => measure(Work::PingPong, it.pairs, &it.run),
        LoadCommand::Flood(it) => {
            measure(Work::Flood { window: it.window, mesh: it.mesh }, it.pairs, &it.run)
        }
        LoadCommand::Floor(it) => floor(it),
    }
}

/// All rounds, and the table.
fn measure(work: Work, workers: u32, run: &RunArgs) -> Outcome {
    let payload = payload(run)?;
    check_descriptors(2 * u64::from(workers))?;
    let subjects = subjects(run);
    let rounds = run.rounds.unwrap_or(if run.beside.is_empty() { 1 } else { LOAD_ROUNDS_BESIDE });
    let mut report = Report::new(&subjects);
    'rounds: for _ in 0..rounds {
        for (subject, place) in subjects.iter().zip(0..) {
            let target = subject.start(pins(run))?;
            let plan = plan(work, workers, run, &target, subject);
            let dialect = Original::new(RosterMode::None, &payload);
            let generator = Generator::new(plan.clone(), dialect, payload.clone());
            let done = drive::run(generator, &target, run.timeout)?;
            report.add(place, &done, &plan);
            if done.was_interrupted {
                break 'rounds;
            }
        }
    }
    report.print();
    Ok(if report.is_clean { Exit::Done } else { Exit::Failed })
}

fn payload(run: &RunArgs) -> Result<Payload, Failure> {
    Payload::new(run.size, false).ok_or_else(|| {
        let shortest = Payload::shortest(false);
        Failure::new(Exit::Usage, format!("--size: a message has {shortest} bytes at least"))
    })
}

/// The relay, and what stands beside it.
fn subjects(run: &RunArgs) -> Vec<Subject> {
    let relay = match run.relay {
        Some(address) => Subject::Found { address, pid: run.pid.map(Pid::from_raw) },
        None => Subject::Relay(run.serve.clone()),
    };
    let beside = run.beside.iter().map(|beside| match beside {
        Beside::Floor => Subject::Floor { spin: false },
        Beside::FloorSpin => Subject::Floor { spin: true },
    });
    std::iter::once(relay).chain(beside).collect()
}

/// A relay that was found is not to be moved, and neither are we then, unless that was asked for.
fn pins(run: &RunArgs) -> Option<Pins> {
    let default = || Pins::first_two().filter(|_| run.relay.is_none());
    run.pin.map(Pins::new).or_else(default)
}

fn plan(work: Work, workers: u32, run: &RunArgs, target: &Target, subject: &Subject) -> Plan {
    let work = match work {
        Work::Flood { window, mesh } => Work::Flood { window, mesh: mesh && subject.routes() },
        Work::PingPong => work,
    };
    Plan {
        target: target.address,
        work,
        workers,
        rate: run.rate,
        warm_up: run.warm_up,
        extent: run.count.map_or(Extent::Time(run.duration), Extent::Operations),
        ramp: run.ramp,
        timeout: run.timeout,
    }
}

/// Says what is missing before anything has begun.
fn check_descriptors(connections: u64) -> Result<(), Failure> {
    let kernel = |errno| Failure::new(Exit::Failed, format!("no limits can be read: {errno}"));
    let limit = raise_descriptor_limit().map_err(kernel)?;
    let needed = connections + SPARE_DESCRIPTORS as u64;
    if needed <= limit {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Failed,
        format!(
            "{connections} connections need {needed} descriptors, and this process may have {limit}: \
             `ulimit -n {needed}` would do"
        ),
    ))
}

/// What all runs have shown.
struct Report {
    columns: Vec<Column>,
    /// What else is to be said.
    notes: Vec<String>,
    is_clean: bool,
}

impl Report {
    fn new(subjects: &[Subject]) -> Self {
        let column = |subject: &Subject| Column { name: subject.name(), rounds: Vec::new() };
        let columns = subjects.iter().map(column).collect();
        Self { columns, notes: Vec::new(), is_clean: true }
    }

    fn add(&mut self, place: usize, run: &Run, plan: &Plan) {
        let Some(column) = self.columns.get_mut(place) else { return };
        column.rounds.push(figures(run, plan));
        let name = column.name;
        self.notes.extend(faults(&run.tally.faults).map(|faults| format!("{name}: {faults}")));
        if let Some(how) = bottleneck(run, plan) {
            self.notes.push(format!("{name}: the generator was the bottleneck: {how}"));
        }
        if run.was_interrupted {
            self.notes.push(format!("{name}: ended early"));
        }
        self.is_clean &= run.tally.faults.total() == 0 && run.tally.finished > 0;
    }

    fn print(&self) {
        table(&self.columns).iter().chain(&self.notes).for_each(|line| println!("{line}"));
    }
}

/// What went wrong, in one line.
fn faults(faults: &Faults) -> Option<String> {
    let told: Vec<_> = faults.iter().map(|(class, count)| format!("{class} ×{count}")).collect();
    (!told.is_empty()).then(|| format!("went wrong: {}", told.join(", ")))
}

/// `sealwax load floor`
fn floor(arguments: &cli::Floor) -> Outcome {
    let failed =
        |errno| Failure::new(Exit::Failed, format!("the floor at {}: {errno}", arguments.listen));
    raise_descriptor_limit().map_err(failed)?;
    let mut floor = Floor::new(arguments.listen).map_err(failed)?;
    eprintln!("listening on {}", floor.address());
    floor.run(arguments.spin).map_err(failed)?;
    Ok(Exit::Done)
}
