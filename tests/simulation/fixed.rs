//! A little of everything, in which one call fails: each call in turn, with each of its errors.
//!
//! What the dice decide here (whose turn it is) is the same each time until the call fails.

use std::collections::BTreeMap;
use std::time::Duration;

use sealwax::relay::RelayConfig;
use sealwax::wire::RosterMode;

use crate::calm::{calm, end};
use crate::dice::Dice;
use crate::original::Temper;
use crate::support::kernel::Op;
use crate::trace::Trace;
use crate::weather::Weather;
use crate::world::{AT, World};

/// How often each call was made to fail.
pub(crate) type Struck = BTreeMap<Op, u64>;

/// Plays the scenario with the `nth` call failing in this of its ways. Tells which call that was.
///
/// # Panics
/// Where a promise is broken.
pub(crate) fn play(nth: usize, attempt: usize, trace: Trace) -> Option<Op> {
    let weather = Weather::one(nth, attempt);
    let mut world = World::new(Dice::new(1), weather.clone(), trace, RelayConfig::default());
    let moment = Duration::from_millis(200);
    world.start_relay();
    world.run(Duration::ZERO);
    world.join(0, "alice", RosterMode::Full);
    world.join(1, "bob", RosterMode::Delta);
    for name in ["JG", "Zoé"] {
        if world.kernel.is_listening(AT) {
            world.dial(name, Temper::Prompt, name == "Zoé");
        }
    }
    world.run(moment);
    talk(&mut world);
    world.run(moment);
    // More than a socket holds: writes are short, and go on when there is room.
    world.buffer = 2 * 1024;
    world.kernel.set_buffer(world.buffer);
    world.kill_user(1);
    world.start_user(1);
    world.run(moment);
    world.say(0, "bob", 3000);
    if !world.originals.is_empty() {
        world.write(0, "Zoé", true, 3000);
    }
    world.run(moment);
    world.originals.first_mut().into_iter().for_each(|original| original.finish(true));
    if let Some(original) = world.originals.last_mut() {
        original.offend();
        original.say_bytes(b"]]"); // the relay says why it hangs up
    }
    world.run(moment);
    calm(&mut world);
    end(&mut world);
    weather.struck()
}

/// Everybody has something to say.
fn talk(world: &mut World) {
    for place in 0..2 {
        world.say(place, ["bob", "alice"][place], 1);
    }
    for place in 0..world.originals.len() {
        for to in ["JG", "Zoé", "nobody"] {
            world.write(place, to, true, 100);
        }
    }
}
