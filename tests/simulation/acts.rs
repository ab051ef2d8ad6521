//! The storm: what people, machines and networks do to the world.

use std::time::Duration;

use sealwax::limits::CLOCK_SKEW;
use serde_json::json;

use crate::dice::Dice;
use crate::original::Temper;
use crate::relay::SHORT_STOP;
use crate::world::{AT, Due, World};

pub(crate) const USERS: [&str; 4] = ["alice", "bob", "carol", "dave"];
const ORIGINALS: [&str; 4] = ["JG", "Zoé", "a \"quoted\" one", "hulot"];
/// By how much wall clocks jump: two of them stay within what peers accept.
const JUMP_MS: i64 = 290_000;
const _: () = assert!(2 * JUMP_MS.unsigned_abs() < CLOCK_SKEW.as_secs() * 1000);

/// How long nothing more is done.
pub(crate) fn pause(dice: &mut Dice) -> Duration {
    match dice.below(100) {
        0..60 => Duration::ZERO,
        60..90 => dice.millis(0, 50),
        90..98 => dice.millis(50, 2000),
        _ => dice.millis(2000, 40_000),
    }
}

pub(crate) fn act(world: &mut World) {
    match world.dice.below(100) {
        0..30 => say(world),
        30..33 => burst(world),
        33 => flood(world),
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
    let there: Vec<_> = world.users.iter().map(|user| user.name.clone()).collect();
    let to = match world.dice.below(20) {
        0 => (*world.dice.pick(&USERS)).to_owned(),
        1 => "hulot".to_owned(),
        _ => world.dice.pick(&there).clone(),
    };
    let length = if world.dice.chance(30) { 8000 } else { world.dice.below(200) };
    world.say(place, &to, length);
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
    let there: Vec<_> = world.originals.iter().map(|original| original.name.clone()).collect();
    let to = match world.dice.below(20) {
        0 => (*world.dice.pick(&USERS)).to_owned(),
        1 => (*world.dice.pick(&ORIGINALS)).to_owned(),
        _ => world.dice.pick(&there).clone(),
    };
    let is_asked = world.dice.chance(900);
    let most = if world.dice.chance(100) { 6000 } else { 300 };
    let length = world.dice.below(most);
    world.write(place, &to, is_asked, length);
}

/// An original has much to say to somebody.
fn flood(world: &mut World) {
    if world.originals.is_empty() {
        return dial(world);
    }
    let place = world.dice.below(world.originals.len());
    let to = world.dice.below(world.originals.len());
    let to = world.originals[to].name.clone();
    for _ in 0..60 {
        world.write(place, &to, true, 1000);
    }
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
    if what > 5 && world.dice.chance(500) {
        // So much to itself that it is held back with frames unread when its end comes.
        let name = world.originals[place].name.clone();
        for _ in 0..60 {
            world.write(place, &name, true, 100);
        }
    }
    let is_opaque = world.originals[place].speaks_tls() && world.dice.chance(500);
    let is_fair = world.is_prompt && world.relay.as_ref().is_some_and(|it| it.stopped.is_none());
    let original = &mut world.originals[place];
    let told = match what {
        0 | 1 => {
            original.hesitate(now + pause);
            "half frame"
        }
        2 => {
            original.offend();
            original.hesitate(now + Duration::from_secs(35));
            "frame that does not end"
        }
        3 if is_opaque => {
            original.offend();
            original.spoil();
            "record that does not open"
        }
        3 => {
            original.offend();
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
            original.finish(is_fair);
            "half close"
        }
    };
    world.weather.count(told);
    let name = world.originals[place].name.clone();
    world.note(|| format!("{name}: {told}"));
}

/// An original comes.
pub(crate) fn dial(world: &mut World) {
    if !world.kernel.is_listening(AT) || world.originals.len() >= 6 {
        return;
    }
    let free = |name: &&&str| !world.originals.iter().any(|it| it.name == ***name);
    let Some(name) = ORIGINALS.iter().find(free) else { return };
    let temper = *world.dice.pick(&[Temper::Prompt, Temper::Prompt, Temper::Slow, Temper::Dead]);
    if temper != Temper::Prompt {
        world.weather.count("slow reader");
    }
    let is_tls = world.dice.chance(500);
    if is_tls {
        world.weather.count("original speaks TLS");
    }
    world.dial(name, temper, is_tls);
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
    for original in &mut world.originals {
        original.ends_well = false; // it may take too long
    }
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
        world.ledger.letters_are_lost();
        world.weather.count("relay's state lost");
        world.note(|| "the disk is erased".to_owned());
    }
}

fn clock_jumps(world: &mut World) {
    let place = world.dice.below(world.users.len());
    let ahead = i64::try_from(world.dice.number() % (2 * JUMP_MS.unsigned_abs()));
    let ahead = ahead.expect("some minutes") - JUMP_MS;
    world.users[place].set_clock(ahead);
    world.relay_ahead_ms.set(ahead * 1000); // days: nothing there depends on it
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
