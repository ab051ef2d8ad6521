//! The client: the real one on the real loop, on a kernel in memory, and a relay that says
//! anything: bytes, frames that are nearly right, and what true peers have sealed, in any order, as
//! it is or changed.
//!
//! What is held against it: nothing is shown that the peer whose name stands there did not seal,
//! nothing twice; nothing is confirmed that the peer did not confirm; nothing is sealed to another
//! key than the pinned one; the proof goes to the pinned relay only; it answers in measure; and
//! when the relay comes to its senses, what is said next arrives, both ways.

mod alice;
mod friend;
mod stage;

use std::time::Duration;

use sealwax::wire::{ErrorCode, Reply, WireLimits, encode_roster, encode_userlist, json_string};

use self::stage::{FRIENDS, Stage};
use super::opening::{ALICE, BOB};
use super::program::Program;

/// Longer programs tell nothing new.
const LONGEST: usize = 512;
/// How far the clock can be moved at once, in milliseconds: past a pause, a hint's interval, a
/// lookup's, a ping's, and long.
const LEAPS: [u64; 8] = [1, 100, 1_000, 3_000, 5_000, 10_000, 60_000, 3_600_000];
/// Names that the relay may speak of.
const NAMES: [&str; 6] = ["bob", "carol", "alice", "dave", "No Name", ""];
const CODES: [ErrorCode; 12] = [
    ErrorCode::BadFrame,
    ErrorCode::FrameTooLarge,
    ErrorCode::NotRegistered,
    ErrorCode::BadProof,
    ErrorCode::NameInUse,
    ErrorCode::UnknownUser,
    ErrorCode::NotV2,
    ErrorCode::QueueFull,
    ErrorCode::Replaced,
    ErrorCode::SlowReader,
    ErrorCode::ShuttingDown,
    ErrorCode::NameBound,
];

/// The first byte chooses whether Alice speaks TLS; the rest is a program: what the relay, the peers
/// and Alice do, and with what.
pub fn hostile(input: &[u8]) {
    let [settings, program @ ..] = input else { return };
    if program.len() > LONGEST {
        return;
    }
    let mut stage = Stage::new(settings % 2 == 1);
    let mut program = Program::new(program);
    while let Some(step) = program.next() {
        take(&mut stage, step, &mut program);
    }
    stage.finish();
}

fn name(program: &mut Program) -> &'static str {
    NAMES[program.byte() % NAMES.len()]
}

/// One step: its low bits say what, its high bits with whom; the highest bit chooses what is only
/// for TLS.
fn take(stage: &mut Stage, step: u8, program: &mut Program) {
    let (whom, more) = (usize::from(step >> 4) % FRIENDS, usize::from(step >> 5));
    match step & 15 {
        0 => {
            let length = program.byte();
            let bytes = program.bytes(length);
            if step >= 128 { stage.put(bytes) } else { stage.tell(bytes) }
        }
        1 => stage.tell(&frame(stage, program)),
        2 => stage.answer_honestly(1 + more),
        3 => stage.swallow(1 + more),
        4 => stage.friend_says(whom, more % 2 == 1, more > 3),
        5 => stage.friend_confirms(whom),
        6 => stage.say(whom),
        7 => stage.deliver(program.byte(), |_| {}),
        8 => {
            let (which, place, flip) = (program.byte(), program.byte(), program.byte());
            stage.deliver(which, |frame| {
                let place = place * frame.len() / 256;
                if let Some(byte) = frame.get_mut(place) {
                    *byte ^= u8::try_from(flip).unwrap_or(0);
                }
            });
        }
        9 => {
            let (which, one, other) = (program.byte(), name(program), name(program));
            stage.deliver(which, |frame| {
                let text = String::from_utf8_lossy(frame);
                let [one, other] = [one, other].map(json_string);
                *frame = text.replace(&json_string(NAMES[0]), &one).into_bytes();
                let text = String::from_utf8_lossy(frame);
                *frame = text.replace(&json_string(NAMES[2]), &other).into_bytes();
            });
        }
        10 => stage.challenge(program.byte() % 5),
        11 => stage.pass(Duration::from_millis(LEAPS[program.byte() % LEAPS.len()])),
        12 => {
            let how = program.byte() % 3;
            if step < 128 || !stage.end_tls() {
                stage.hang_up(how);
            }
        }
        13 => stage.cut = 1 + program.byte(),
        14 => stage.show(more % 2 == 0),
        _ => stage.settle(),
    }
}

/// A frame that only the relay can say.
fn frame(stage: &Stage, program: &mut Program) -> Vec<u8> {
    let (kind, choice) = (program.byte(), program.byte());
    let name = name(program);
    let number = stage.request(choice);
    let list: Vec<_> = NAMES.iter().take(1 + choice % 4).map(|name| json_string(name)).collect();
    let list = || list.iter().map(String::as_str);
    match kind % 8 {
        0 => {
            let (id, prekey) = (number.into(), Some(u32::try_from(choice).unwrap_or(0)));
            Reply::Relayed { id, to: name.into(), prekey: prekey.filter(|_| choice > 9) }.encode()
        }
        1 => {
            let code = CODES[choice % CODES.len()].as_str().into();
            let about = program.byte();
            Reply::Error {
                code,
                detail: "no".into(),
                id: (about & 1 == 1).then(|| number.into()),
                to: (about & 2 == 2).then(|| name.into()),
                target: (about & 4 == 4).then(|| name.into()),
            }
            .encode()
        }
        2 => stage.pubkey(name, choice),
        3 => encode_userlist(list()),
        4 => encode_roster(list(), std::iter::empty(), choice > 127),
        5 => encode_roster(std::iter::empty(), list(), false),
        6 => Reply::Pong { id: Some(number.into()) }.encode(),
        _ => {
            let limits = WireLimits::new(choice * 100);
            let fp = [&*ALICE, &*BOB][choice % 2].fingerprint();
            Reply::Registered { name: name.into(), fp, limits }.encode()
        }
    }
}
