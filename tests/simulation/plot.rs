//! One seed: a stormy while, a calm in which everything has to come right, and the end.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use sealwax::limits::CLOCK_SKEW;
use sealwax::reactor::Time;
use sealwax::relay::RelayConfig;
use sealwax::wire::RosterMode;
use serde_json::json;

use crate::dice::Dice;
use crate::original::{Original, Temper};
use crate::relay::SHORT_STOP;
use crate::trace::Trace;
use crate::weather::{Counts, Weather};
use crate::world::{AT, Due, World};

/// How many things are done to the world.
const ACTS: usize = 60;
const USERS: [&str; 4] = ["alice", "bob", "carol", "dave"];
const ORIGINALS: [&str; 4] = ["JG", "Zoé", "a \"quoted\" one", "M. Hulot"];
/// How long everything has, at most, to come right: a session that a jump of the clocks has spoilt
/// is tried again for as long as they differed.
const CALM: Duration = Duration::from_mins(30);
/// By how much wall clocks jump: two of them stay within what peers accept.
const JUMP_MS: usize = CLOCK_SKEW.as_secs() as usize * 1000 / 2 - 10_000;

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

fn pause(dice: &mut Dice) -> Duration {
    match dice.below(100) {
        0..60 => Duration::ZERO,
        60..90 => dice.millis(0, 50),
        90..98 => dice.millis(50, 2000),
        _ => dice.millis(2000, 40_000),
    }
}

fn begin(world: &mut World) {
    world.buffer = *world.dice.pick(&[2, 4, 64]) * 1024;
    world.kernel.set_buffer(world.buffer);
    let most = *world.dice.pick(&[0, 1, 20]);
    if most > 0 {
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

// --- The storm ---

fn act(world: &mut World) {
    match world.dice.below(100) {
        0..30 => say(world),
        30..34 => burst(world),
        34..64 => write(world),
        64..70 => quirk(world),
        70..77 => dial(world),
        77..80 => hang_up(world),
        80..84 => user_goes(world),
        84..88 => user_stops(world),
        88..91 => hold(world),
        91..93 => relay_stops(world),
        93..96 => relay_ends(world),
        96..98 => clock_jumps(world),
        _ => descriptors_run_out(world),
    }
}

/// A text for somebody.
fn say(world: &mut World) {
    let place = world.dice.below(world.users.len());
    let from = world.users[place].name.clone();
    let to = match world.dice.below(20) {
        0 => "nobody",
        1 => "JG",
        _ => *world.dice.pick(&USERS),
    };
    let length = if world.dice.chance(30) { 8000 } else { world.dice.below(200) };
    let (id, text) = world.ledger.compose(&from, to, length);
    let now = world.disturbances(&from, to);
    let user = &mut world.users[place];
    let run = user.run;
    let Some(process) = user.process.as_mut().filter(|it| it.stopped.is_none()) else { return };
    let taken = process.probe.client.say(to, &text, Some(id.clone()));
    process.is_nudged = true;
    world.note(|| format!("{from} says {id}, {} bytes: {taken:?}", text.len()));
    if taken.is_ok() {
        world.ledger.said(id, text, (&from, run, to), now);
    }
}

fn burst(world: &mut World) {
    for _ in 0..world.dice.between(10, 40) {
        if world.dice.chance(500) { say(world) } else { write(world) }
    }
}

/// An original's frame for somebody.
fn write(world: &mut World) {
    if world.originals.is_empty() {
        return dial(world);
    }
    let place = world.dice.below(world.originals.len());
    let to = match world.dice.below(20) {
        0 => "nobody".to_owned(),
        1 => (*world.dice.pick(&USERS)).to_owned(),
        _ => (*world.dice.pick(&ORIGINALS)).to_owned(),
    };
    let there = world.originals.iter().find(|it| it.name == to && it.is_registered);
    let there = there.map(|it| it.number);
    let original = &world.originals[place];
    let (from, number) = (original.name.clone(), original.number);
    let is_asked = world.dice.chance(900);
    let most = if world.dice.chance(100) { 6000 } else { 300 };
    let length = world.dice.below(most);
    let (id, content) = world.post.write((&from, number), (&to, there), is_asked, length);
    let mut frame = json!({"action": "message", "to": to, "from": "me", "content": content});
    if world.dice.chance(200) {
        frame = json!({"action": "send_key", "to": to, "key": content});
    }
    if is_asked {
        frame["id"] = id.as_str().into();
    }
    world.note(|| format!("{from} ({number}) writes {id} to {to}, {} bytes", content.len()));
    world.originals[place].say(&frame);
}

/// An original does something odd.
fn quirk(world: &mut World) {
    if world.originals.is_empty() {
        return dial(world);
    }
    write(world);
    let place = world.dice.below(world.originals.len());
    let now = world.now();
    let what = world.dice.below(8);
    let pause = world.dice.millis(100, 4000);
    let original = &mut world.originals[place];
    let told = match what {
        0 | 1 => {
            original.hesitate(now + pause);
            "half frame"
        }
        2 => {
            original.is_at_fault = true;
            original.hesitate(now + Duration::from_secs(35));
            "frame that does not end"
        }
        3 => {
            original.is_at_fault = true;
            original.say_bytes(b"]]");
            "garbage"
        }
        4 => {
            original.say(&json!({"action": "message", "to": 5, "id": "odd"}));
            "bad frame"
        }
        5 => {
            original.say(&json!({"action": "get_pubkey", "target": "alice", "from": "me"}));
            original.say_bytes(b" \n\t ");
            "question"
        }
        _ => {
            original.is_at_fault = true;
            original.peer.shut();
            "half close"
        }
    };
    world.weather.count(told);
    let name = world.originals[place].name.clone();
    world.note(|| format!("{name}: {told}"));
}

/// An original comes.
fn dial(world: &mut World) {
    if !world.kernel.is_listening(AT) || world.originals.len() >= 6 {
        return;
    }
    let free = |name: &&&str| !world.originals.iter().any(|it| it.name == ***name);
    let Some(name) = ORIGINALS.iter().find(free) else { return };
    let temper = *world.dice.pick(&[Temper::Prompt, Temper::Prompt, Temper::Slow, Temper::Dead]);
    if temper != Temper::Prompt {
        world.weather.count("slow reader");
    }
    let (number, peer) = (world.number(), world.kernel.dial(AT));
    let mut original = Original::new(name, number, peer, temper, &mut world.dice);
    original.born = world.upheavals;
    world.note(|| format!("{name} ({number}) connects, and reads like this: {temper:?}"));
    world.originals.push(original);
}

/// An original goes, one way or another.
fn hang_up(world: &mut World) {
    if world.originals.is_empty() {
        return;
    }
    let place = world.dice.below(world.originals.len());
    let original = world.originals.remove(place);
    let resets = world.dice.chance(500);
    world.note(|| format!("{} ({}) goes, reset: {resets}", original.name, original.number));
    if resets {
        world.weather.count("reset by the other end");
        original.peer.reset();
    } else {
        original.peer.close();
    }
}

fn user_goes(world: &mut World) {
    let place = world.dice.below(world.users.len());
    let is_killed = world.dice.chance(500);
    if is_killed {
        world.weather.count("user killed");
        world.kill_user(place);
        let pause = world.dice.millis(10, 5000);
        world.after(pause, Due::UserStarts(place));
    } else if let Some(process) = &mut world.users[place].process {
        process.leave();
        world.excuse(place, Duration::ZERO);
        world.weather.count("user left");
        let name = world.users[place].name.clone();
        world.note(|| format!("{name} leaves"));
    }
}

fn user_stops(world: &mut World) {
    let place = world.dice.below(world.users.len());
    let pause = world.dice.millis(100, 6000);
    let until = world.now() + pause;
    let Some(process) = &mut world.users[place].process else { return };
    process.stopped = Some(until);
    world.excuse(place, pause);
    world.weather.count("user stopped");
    let name = world.users[place].name.clone();
    world.note(|| format!("{name} is stopped for {pause:?}"));
    world.after(pause, Due::UserGoesOn(place));
}

/// Standard output takes nothing for a while.
fn hold(world: &mut World) {
    let place = world.dice.below(world.users.len());
    let Some(process) = &mut world.users[place].process else { return };
    process.hold(true);
    world.weather.count("output blocked");
    let pause = world.dice.millis(10, 5000);
    world.excuse(place, pause);
    let name = world.users[place].name.clone();
    world.note(|| format!("{name}'s output is blocked for {pause:?}"));
    world.after(pause, Due::UserIsShown(place));
}

fn relay_stops(world: &mut World) {
    let is_long = world.dice.chance(200);
    let short = usize::try_from(SHORT_STOP.as_millis()).expect("some seconds");
    let pause =
        if is_long { world.dice.millis(short, 40_000) } else { world.dice.millis(1, short) };
    let until = world.now() + pause;
    let Some(process) = &mut world.relay else { return };
    process.stopped = Some(until);
    process.is_absent |= is_long;
    world.upheavals += u64::from(is_long);
    world.weather.count("relay stopped");
    world.note(|| format!("the relay is stopped for {pause:?}"));
    world.after(pause, Due::RelayGoesOn);
}

fn relay_ends(world: &mut World) {
    let Some(process) = &mut world.relay else { return };
    if world.dice.chance(500) {
        process.stopped = None;
        process.is_absent = true;
        process.kernel.signal(15);
        world.upheavals += 1; // everybody is sent away
        world.weather.count("relay told to end");
    } else {
        world.kill_relay();
        world.weather.count("relay killed");
        let pause = world.dice.millis(10, 4000);
        world.after(pause, Due::RelayStarts);
    }
    if world.dice.chance(300) {
        world.disk.erase();
        world.weather.count("relay's state lost");
        world.note(|| "the disk is erased".to_owned());
    }
}

fn clock_jumps(world: &mut World) {
    let place = world.dice.below(world.users.len());
    let ahead = i64::try_from(world.dice.below(2 * JUMP_MS)).expect("some minutes");
    let ahead = ahead - i64::try_from(JUMP_MS).expect("some minutes");
    world.users[place].set_clock(ahead);
    world.weather.count("clock jumped");
    let name = world.users[place].name.clone();
    world.note(|| format!("{name}'s clock is {ahead} ms ahead"));
}

/// The relay has no descriptor left for newcomers.
fn descriptors_run_out(world: &mut World) {
    let Some(process) = &world.relay else { return };
    process.kernel.set_limit(process.kernel.descriptors());
    world.weather.count("descriptors exhausted");
    world.note(|| "the relay has all descriptors that it may have".to_owned());
    let pause = world.dice.millis(10, 3000);
    world.after(pause, Due::LimitIsLifted);
    dial(world);
}

// --- The calm ---

/// From here on nothing goes wrong, and everything comes right.
fn calm(world: &mut World) {
    world.note(|| "calm".to_owned());
    world.weather.calm();
    world.disk.calm();
    for place in 0..world.users.len() {
        world.after(Duration::ZERO, Due::UserGoesOn(place));
        world.after(Duration::ZERO, Due::UserIsShown(place));
        world.after(Duration::ZERO, Due::UserStarts(place));
        world.users[place].mend_clock();
    }
    for due in [Due::RelayGoesOn, Due::RelayStarts, Due::LimitIsLifted] {
        world.after(Duration::ZERO, due);
    }
    world.originals.iter_mut().for_each(Original::calm);
    let until = world.now() + CALM;
    loop {
        world.run(Duration::from_secs(5));
        let Some(open) = unsettled(world) else { break };
        assert!(world.now() < until, "it never came right: {open}");
    }
    let living: Vec<u64> = world.originals.iter().map(|original| original.number).collect();
    world.post.settle(&living);
}

/// What has not come right yet.
fn unsettled(world: &World) -> Option<String> {
    let Some(relay) = &world.relay else { return Some("there is no relay".to_owned()) };
    let everybody = world.everybody();
    if relay.relay.census().users != everybody.len() {
        return Some(format!("{:?}, and there are {everybody:?}", relay.relay.census()));
    }
    for user in &world.users {
        let name = &user.name;
        let Some(process) = &user.process else { return Some(format!("{name} is not there")) };
        let outlook = process.probe.client.outlook();
        let open = world.ledger.open(name, user.run);
        if !outlook.connected || outlook.receipts > 0 || !open.is_empty() {
            return Some(format!("{name}: {outlook:?}, {open:?}"));
        }
        let view: BTreeSet<String> = process.probe.client.users().map(str::to_owned).collect();
        if user.wants_roster() && view != everybody {
            return Some(format!("{name} sees {view:?}, and there are {everybody:?}"));
        }
    }
    for original in &world.originals {
        let Original { name, view, .. } = original;
        if !original.is_registered || !original.has_spoken() {
            return Some(format!("{name} has not been heard"));
        }
        if original.wants_roster() && *view != everybody {
            return Some(format!("{name} sees {view:?}, and there are {everybody:?}"));
        }
    }
    None
}

// --- The end ---

/// Everybody leaves, and nothing is left behind.
fn end(world: &mut World) {
    world.note(|| "everybody leaves".to_owned());
    world.is_ending = true;
    for place in 0..world.users.len() {
        world.users[place].process.iter_mut().for_each(crate::user::Process::leave);
        world.excuse(place, Duration::ZERO);
    }
    for original in world.originals.drain(..) {
        original.peer.close();
    }
    world.run(Duration::from_secs(5));
    let left: Vec<_> = world.users.iter().filter(|user| user.process.is_some()).collect();
    assert!(left.is_empty(), "{} does not leave", left[0].name);
    if let Some(process) = &mut world.relay {
        process.check_empty();
        process.kernel.signal(15);
    }
    world.run(Duration::from_secs(1));
    assert!(world.relay.is_none(), "the relay does not end");
    assert_eq!(world.kernel.descriptors_in_all(), 0);
    assert_eq!(world.kernel.next_delivery(), None::<Time>);
}
