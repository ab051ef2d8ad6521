//! What letters cost: the relay's tables, its storage thread and the disk (`tables.rs`), and a whole
//! relay, a process on loopback whose home is on the disk (`relay.rs`).
//!
//! `cargo bench --bench letters -- PART…` runs these parts: `tables`, `relay`, `million`; the first
//! two unless told. `--test` is the same with a fraction of the letters.
#![expect(clippy::expect_used, reason = "a bench has nobody to tell")]

mod relay;
mod server;
#[path = "../../tests/support/mod.rs"]
mod support;
mod tables;

/// The bytes of a letter with a short text between users with keys of 3,072 bits, as the relay keeps
/// it.
const LETTER_BYTES: usize = 3200;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_test = arguments.iter().any(|argument| argument == "--test");
    let parts = arguments.iter().map(String::as_str).filter(|it| !it.starts_with("--"));
    let mut parts: Vec<&str> = parts.collect();
    if parts.is_empty() {
        parts = vec!["tables", "relay"];
    }
    for part in parts {
        match part {
            "tables" => {
                let part = if is_test { 50 } else { 1 };
                tables::depth(1_000_000 / part);
                tables::disk(1, 200 / part, 300);
                tables::disk(1600 / part, 1, 300);
            }
            "relay" => relay::all(if is_test { 25 } else { 1 }),
            "million" => tables::disk(if is_test { 62 } else { 3125 }, 5, LETTER_BYTES),
            _ => panic!("no such part: {part}"),
        }
    }
}
