//! `sealwax load`: measures a relay.
//!
//! The generator itself is pure (`src/load`). Here are the process that is measured (`target.rs`, `process.rs`), the loop
//! that the generator runs on and the marks that are read meanwhile (`drive.rs`), and what is told of it (`progress.rs`,
//! `figures.rs`).

mod drive;
mod figures;
mod process;
mod progress;
mod target;

use nix::unistd::Pid;

use self::drive::Run;
use self::figures::{METRICS, bottleneck};
use self::target::{Pins, Target};
use super::cli::{Load, LoadCommand, RunArgs};
use super::{Exit, Failure, Outcome};
use crate::limits::SPARE_DESCRIPTORS;
use crate::load::{Extent, Generator, Original, Payload, Plan, Work};
use crate::reactor::raise_descriptor_limit;
use crate::wire::RosterMode;

/// `sealwax load`
pub(super) fn load(arguments: &Load) -> Outcome {
    let (work, workers, run) = match &arguments.command {
        LoadCommand::Pingpong(it) => (Work::PingPong, it.pairs, &it.run),
        LoadCommand::Flood(it) => {
            (Work::Flood { window: it.window, mesh: it.mesh }, it.pairs, &it.run)
        }
    };
    let payload = payload(run)?;
    let plan = |target: &Target| plan(work, workers, run, target);
    check_descriptors(2 * u64::from(workers))?;
    let target = find(run)?;
    let plan = plan(&target);
    let dialect = Original::new(RosterMode::None, &payload);
    let generator = Generator::new(plan.clone(), dialect, payload);
    let done = drive::run(generator, &target, run.timeout)?;
    report(&done, &plan);
    Ok(exit(&done))
}

fn payload(run: &RunArgs) -> Result<Payload, Failure> {
    Payload::new(run.size, false).ok_or_else(|| {
        let shortest = Payload::shortest(false);
        Failure::new(Exit::Usage, format!("--size: a message has {shortest} bytes at least"))
    })
}

fn plan(work: Work, workers: u32, run: &RunArgs, target: &Target) -> Plan {
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

fn find(run: &RunArgs) -> Result<Target, Failure> {
    let pins = run.pin.map(Pins::new);
    match run.relay {
        Some(address) => Target::at(address, run.pid.map(Pid::from_raw), pins),
        None => Target::relay(&run.serve, pins.or_else(Pins::first_two)),
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

fn report(run: &Run, plan: &Plan) {
    for metric in &METRICS {
        if let Some(figure) = metric.figure(run, plan) {
            println!("{:<24}{figure:>14.*}", metric.title, metric.digits);
        }
    }
    if run.was_interrupted {
        println!("It was ended early.");
    }
    for (class, count) in run.tally.faults.iter() {
        println!("fault: {class:<30}{count:>14}");
    }
    if let Some(how) = bottleneck(run, plan) {
        println!("The generator was the bottleneck: {how}.");
    }
}

fn exit(run: &Run) -> Exit {
    if run.tally.faults.total() == 0 && run.tally.finished > 0 { Exit::Done } else { Exit::Failed }
}
