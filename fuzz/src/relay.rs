//! The relay: the real one on the real loop, on a kernel in memory, and some connections that say
//! anything, cut anywhere, while time passes, readers stand still and calls fail. Some of them speak
//! TLS: what they say is sealed, and what is put between their records does not open.
//!
//! What is held against it: each frame that leaves is one object and a line end, and a client can
//! read it; every queue keeps to its limits; each `id` is answered once; what was relayed arrives,
//! once and in order; the loop comes to rest; and when all have left, nothing is left of them.

mod guest;
mod room;

use std::time::Duration;

use nix::errno::Errno;
use sealwax::wire::{LetterKind, RosterMode, TakeMode};

use self::room::{NAMES, NAMES_V2, Room};
use super::kernel::Fault;
use super::program::Program;

/// Longer programs tell nothing new.
const LONGEST: usize = 512;
/// How far the clock can be moved at once, in milliseconds: to the roster's next turn, a listener's
/// rest, and past each deadline.
const LEAPS: [u64; 8] = [1, 40, 100, 500, 2_000, 10_000, 30_000, 90_000];

/// The first byte chooses how much the kernel holds for a connection (the low bits) and who speaks
/// TLS (the high bits); the rest is a program: what is done by whom, and with what.
pub fn relay(input: &[u8]) {
    let [settings, program @ ..] = input else { return };
    if program.len() > LONGEST {
        return;
    }
    let mut room = Room::new(64 << (settings % 8), settings >> 4);
    let mut program = Program::new(program);
    while let Some(step) = program.next() {
        take(&mut room, step, &mut program);
    }
    room.finish();
}

/// One step: its low bits say what, its high bits who; the highest bit chooses what is only for TLS.
fn take(room: &mut Room, step: u8, program: &mut Program) {
    let is_raw = step >= 128;
    let who = usize::from(step >> 4) % room::GUESTS;
    match step & 15 {
        0 => {
            let length = program.byte();
            let bytes = program.bytes(length);
            if is_raw { room.guest(who).put(bytes) } else { room.guest(who).say(bytes) }
        }
        1 => {
            let choice = program.byte();
            let name = NAMES[choice % NAMES.len()];
            room.guest(who).register(name, roster(choice >> 2));
        }
        2 => {
            let choice = program.byte();
            let name = NAMES_V2[choice % NAMES_V2.len()];
            room.guest(who).register_v2(name, choice >> 7 == 1, roster(choice >> 2));
        }
        3 => room.guest(who).prove(),
        4 | 5 => {
            let (to, size) = (program.byte(), program.byte());
            let all = [NAMES, NAMES_V2].concat();
            room.send(who, step & 15 == 4, all[to % all.len()], size * 8);
        }
        6 => room.guest(who).ping(),
        7 => {
            let all = [NAMES, NAMES_V2].concat();
            room.guest(who).look_up(all[program.byte() % all.len()]);
        }
        8 => room.guest(who).renew_prekey(),
        9 => {
            let most = program.byte() * 32;
            room.hear(who, most);
        }
        10 => room.settle(),
        11 => room.pass(Duration::from_millis(LEAPS[program.byte() % LEAPS.len()])),
        12 => room.leave(who, program.byte() % 3, is_raw),
        13 => room.guest(who).cut = 1 + program.byte(),
        14 => {
            let (fault, count) = (program.byte(), program.byte());
            room.fail(fault_of(fault), count);
        }
        _ => match program.byte() {
            choice @ 128.. => ask_about_letters(room, who, choice, program),
            limit => room.limit(limit % 8),
        },
    }
}

/// What concerns letters.
fn ask_about_letters(room: &mut Room, who: usize, choice: usize, program: &mut Program) {
    let key = u32::try_from(choice >> 4).unwrap_or(0);
    let guest = room.guest(who);
    match choice % 8 {
        0 | 1 => guest.open_letterbox(key),
        2 => guest.take_letters(TakeMode::All),
        3 => guest.take_letters(TakeMode::Receipts),
        4 => guest.acknowledge(),
        5 => guest.look_up_with_letters(NAMES_V2[program.byte() % NAMES_V2.len()]),
        kind => {
            let kind = if kind == 6 { LetterKind::Text } else { LetterKind::Receipt };
            let (to, size) = (program.byte(), program.byte());
            guest.store(NAMES_V2[to % NAMES_V2.len()], kind, key, size * 8);
        }
    }
}

fn roster(choice: usize) -> RosterMode {
    [RosterMode::Full, RosterMode::Delta, RosterMode::None][choice % 3]
}

/// Faults that lose nothing.
fn fault_of(choice: usize) -> Fault {
    match choice {
        0 => Fault::Fail(Errno::EAGAIN),
        1 => Fault::Fail(Errno::EINTR),
        most => Fault::Short(most - 1),
    }
}
