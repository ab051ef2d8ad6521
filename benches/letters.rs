//! What a letter costs the tables of the relay, in memory: with few letters in them and with many.
//!
//! `--test` is the same with a fiftieth of the letters.
#![expect(clippy::expect_used, reason = "a bench has nobody to tell")]

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use sealwax::limits::MLKEM_KEY;
use sealwax::relay::inline_store::InlineStore;
use sealwax::relay::letter_store::{LetterAnswer, LetterAsk, NewLetter, Owner};
use sealwax::wire::{Fingerprint, LetterKey, LetterKind};

fn main() {
    let is_test = std::env::args().any(|argument| argument == "--test");
    depth(if is_test { 20_000 } else { 1_000_000 });
}

fn key() -> LetterKey {
    let (mlkem, signature) = (Box::new([7; MLKEM_KEY]), vec![9; 384]);
    LetterKey { id: 1, created: 1, expires: 7_000_000_000_000, x25519: [8; 32], mlkem, signature }
}

/// What a letter costs in the tables, in memory, with few letters and with many.
fn depth(most: usize) {
    let mut store = InlineStore::new(Box::new(|| 2)).expect("tables in memory");
    let name = |number: usize| format!("user{number}");
    let fp = |number: usize| {
        let mut fp = [0; 32];
        fp[..8].copy_from_slice(&number.to_be_bytes());
        Fingerprint(fp)
    };
    let owner = |number: usize| Owner { name: name(number), fp: fp(number) };
    let users = most / 64 + 1;
    for user in 0..users {
        store.keep_name(&name(user), &fp(user), "PEM").expect("bound");
        let (owner, pem) = (owner(user), "PEM".to_owned());
        store.carry_out(LetterAsk::Publish { owner, pem, key: key() });
    }
    for user in 0..users {
        store.carry_out(LetterAsk::Wrote { owner: owner(user), to: name((user + 1) % users) });
    }
    let mut kept = 0;
    for until in [most / 100, most] {
        let begun = cpu();
        let before = kept;
        while kept < until {
            let (to, id) = (kept % users, kept / users);
            let from = owner((to + 1) % users);
            let (to, id, kind) = (name(to), id.to_string(), LetterKind::Text);
            let letter = NewLetter { from, to, id, kind, key_id: 1, kept: vec![b'x'; 300] };
            let answer = store.carry_out(LetterAsk::Keep(letter));
            assert_eq!(answer, LetterAnswer::Kept(Ok(())));
            kept += 1;
        }
        let each = cpu().saturating_sub(begun) / u32::try_from(kept - before).expect("few");
        println!("letters up to {until}, kept in memory: {each:?} each");
    }
}

/// What this thread has used of a processor.
fn cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a clock of Linux").into()
}
