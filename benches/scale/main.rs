//! What several relays as one cost the engine and each of them: the figures of `docs/scale.md`.
//!
//! Processor time is that of a process's main thread (`/proc/PID/schedstat`), memory of the engine
//! `used_memory` of its `INFO`, memory of a relay `VmRSS`. The engine is a `redis-server`, or what
//! `SEALWAX_TEST_ENGINE` says; the relays are processes; the bench itself stands for a relay that has
//! users. All talk over TCP on loopback.
//!
//! `cargo bench --bench scale -- PART…` runs these parts: `calls`, `memory`, `follow`, `copy`; all
//! unless told. `--test` is the same with a fraction of the names.
#![expect(clippy::expect_used, reason = "a bench has nobody to tell")]

mod calls;
mod copy;
mod engine;
mod follow;
mod memory;
mod relay;
#[path = "../../tests/support/mod.rs"]
mod support;
mod users;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_test = arguments.iter().any(|argument| argument == "--test");
    let parts = arguments.iter().map(String::as_str).filter(|it| !it.starts_with("--"));
    let mut parts: Vec<&str> = parts.collect();
    if parts.is_empty() {
        parts = vec!["calls", "memory", "follow", "copy"];
    }
    let Some(about) = engine::about() else { return };
    println!("engine: {about}");
    for part in parts {
        match part {
            "calls" => calls::all(if is_test { 100 } else { 4000 }, if is_test { 1 } else { 5 }),
            "memory" => memory::all(if is_test { &[200] } else { &[10_000, 100_000] }),
            "follow" => follow::all(if is_test { 200 } else { 20_000 }),
            "copy" => copy::all(if is_test { &[500] } else { &[10_000, 100_000, 990_000] }),
            _ => panic!("no such part: {part}"),
        }
    }
}
