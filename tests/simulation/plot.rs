//! One seed: a stormy while, a calm in which everything has to come right, and the end.

use std::fmt;
use std::time::Duration;

use sealwax::reactor::Trigger;
use sealwax::relay::RelayConfig;
use sealwax::wire::RosterMode;

use crate::acts::{USERS, act, dial, pause};
use crate::calm::{calm, end};
use crate::dice::Dice;
use crate::trace::Trace;
use crate::weather::{Counts, Weather};
use crate::world::World;

/// How many things are done to the world.
const ACTS: usize = 60;
/// What a seed brought about.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) faults: Counts,
    /// Texts: said, shown, failed.
    pub(crate) texts: [u64; 3],
    /// Frames of original clients: sent, arrived, refused.
    pub(crate) frames: [u64; 3],
}

impl Outcome {
    pub(crate) fn add(&mut self, other: &Self) {
        for (fault, count) in &other.faults {
            *self.faults.entry(fault.clone()).or_default() += count;
        }
        self.texts = std::array::from_fn(|at| self.texts[at] + other.texts[at]);
        self.frames = std::array::from_fn(|at| self.frames[at] + other.frames[at]);
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let [said, shown, failed] = self.texts;
        writeln!(out, "texts: {said} said, {shown} shown, {failed} failed and told so")?;
        let [sent, arrived, refused] = self.frames;
        writeln!(out, "frames: {sent} sent, {arrived} arrived, {refused} refused")?;
        for (fault, count) in &self.faults {
            writeln!(out, "{count:9} {fault}")?;
        }
        Ok(())
    }
}

/// Plays the seed.
///
/// # Panics
/// Where a promise is broken.
pub(crate) fn play(seed: u64, trace: Trace) -> Outcome {
    let mut dice = Dice::new(seed);
    let weather = Weather::new(dice.fork());
    let outbox_soft = *dice.pick(&[4, 16, 64]) * 1024;
    let max_frame = *dice.pick(&[12, 64]) * 1024;
    let outbox_hard = outbox_soft + max_frame + *dice.pick(&[2, 64]) * 1024;
    let config = RelayConfig { max_frame, outbox_soft, outbox_hard, ..RelayConfig::default() };
    let mut world = World::new(dice, weather.clone(), trace, config);
    begin(&mut world);
    for _ in 0..ACTS {
        act(&mut world);
        let pause = pause(&mut world.dice);
        world.run(pause);
    }
    calm(&mut world);
    end(&mut world);
    let (texts, frames) = (world.ledger.totals(), world.post.totals());
    Outcome { faults: weather.counts(), texts, frames }
}

fn begin(world: &mut World) {
    world.buffer = *world.dice.pick(&[2, 4, 64]) * 1024;
    world.kernel.set_buffer(world.buffer);
    if world.dice.chance(300) {
        world.trigger = Trigger::Edge;
        world.weather.count("told of edges only");
    }
    let most = *world.dice.pick(&[0, 1, 20]);
    if most > 0 {
        world.is_prompt = false;
        let mut dice = world.dice.fork();
        world.kernel.set_latency(move || dice.millis(0, most));
        world.weather.count("delayed delivery");
    }
    world.start_relay();
    world.run(Duration::ZERO);
    for (number, name) in (0..).zip(&USERS[..world.dice.between(2, 3)]) {
        let roster = [RosterMode::Full, RosterMode::Delta, RosterMode::None];
        let roster = *world.dice.pick(&roster);
        world.join(number, name, roster);
    }
    for _ in 0..world.dice.between(1, 3) {
        dial(world);
    }
}
