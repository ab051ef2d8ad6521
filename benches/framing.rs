//! What a frame costs between the read and the write: found, checked and read on either path, then
//! passed on and confirmed; and what a roster costs that goes to many. First it prints how often
//! the fast path answers, which is always.
#![expect(clippy::expect_used, reason = "a bench has nobody to tell")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use sealwax::limits::{BUCKETS, MAX_FRAME, MAX_SEND_KEY};
use sealwax::wire::{
    Body, Reply, Request, Scan, Scanner, base64, compose, encode_roster, encode_userlist,
    json_string, scan_common,
};

/// The frame that the authors of the original system published.
const PUBLISHED: &[u8] = include_bytes!("../tests/data/captured-message.json");

/// What our client sends of these: a message of each size, confirmed or not, and a session.
fn ours() -> Vec<Vec<u8>> {
    let body = |length: usize| base64::encode(&vec![0x5a; length]);
    let messages = BUCKETS.iter().flat_map(|bucket| {
        let content = body(26 + bucket + 16); // header and tag: section 6 of the protocol
        [Some("17"), None].map(|id| compose::message("bob", "alice", id, &content))
    });
    messages.chain([compose::send_key("bob", "alice", &body(MAX_SEND_KEY))]).collect()
}

fn hit_rate(whose: &str, frames: &[Vec<u8>]) {
    let hits = frames.iter().filter(|frame| scan_common(frame, MAX_FRAME).is_some()).count();
    println!("{whose}: {hits} of {} frames take the fast path", frames.len());
    assert_eq!(hits, frames.len(), "it was made for these");
}

fn framing(c: &mut Criterion) {
    let ours = ours();
    hit_rate("published", &[PUBLISHED.to_vec()]);
    hit_rate("our client's", &ours);
    let [short, .., long, _, _] = &ours[..] else { return };
    let mut group = c.benchmark_group("framing");
    for (name, frame) in [("published", PUBLISHED), ("short", short), ("long", long)] {
        group.bench_function(format!("{name}/both"), |b| {
            b.iter(|| Request::scan(&mut Scanner::default(), black_box(frame), MAX_FRAME));
        });
        group.bench_function(format!("{name}/general"), |b| {
            b.iter(|| match Scanner::default().scan(black_box(frame), MAX_FRAME) {
                Scan::Frame(place) => Request::parse(&frame[place]).is_ok(),
                _ => false,
            });
        });
    }
}

fn passing_on(c: &mut Criterion) {
    let mut group = c.benchmark_group("passing on");
    let sender = json_string("JG");
    let request = Request::parse(PUBLISHED).expect("it is valid");
    let Body::Forward(forward) = request.body else { return };
    let mut queue = Vec::with_capacity(MAX_FRAME);
    group.bench_function("parts", |b| {
        b.iter(|| {
            queue.clear();
            for part in black_box(&forward).bytes.parts(sender.as_bytes()) {
                queue.extend_from_slice(part);
            }
            queue.len()
        });
    });
    let relayed = Reply::Relayed { id: "17".into(), to: "bob".into(), prekey: Some(1 << 31) };
    group.bench_function("relayed", |b| b.iter(|| black_box(&relayed).encode()));
}

/// A list of a thousand users, encoded once for all who get it.
fn roster(c: &mut Criterion) {
    let names: Vec<_> = (0..1000).map(|number| format!("\"user-{number:011}\"")).collect();
    let all = || names.iter().map(String::as_str);
    let mut group = c.benchmark_group("roster of 1000");
    group.bench_function("whole list", |b| b.iter(|| encode_userlist(black_box(all()))));
    group.bench_function("changes", |b| {
        b.iter(|| encode_roster(black_box(all().take(500)), all().skip(500), false));
    });
}

criterion_group!(benches, framing, passing_on, roster);
criterion_main!(benches);
