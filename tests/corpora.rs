//! Every input that the fuzzers kept (`fuzz/corpus`), through the very functions that they call.

#[expect(unreachable_pub, reason = "the fuzzers are another package")]
#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use std::fs;
use std::path::PathBuf;

/// What all corpora together may take in the repository.
const MAX_FILES: usize = 320;
/// The same, in bytes.
const MAX_BYTES: usize = 200 * 1024;

/// The inputs kept for a target.
fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(format!("fuzz/corpus/{target}")) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    let mut inputs: Vec<_> =
        paths.map(|path| (path.clone(), fs::read(path).unwrap_or_default())).collect();
    inputs.sort();
    inputs
}

#[test]
fn every_input_that_was_kept_keeps_every_promise() {
    for (name, target) in fuzz::TARGETS {
        let inputs = corpus(name);
        assert!(!inputs.is_empty(), "no input is kept for {name}");
        for (path, input) in inputs {
            println!("{}", path.display()); // shown where the target panics
            target(&input);
        }
    }
}

#[test]
fn the_corpora_stay_small_and_each_has_its_target() {
    let known = fuzz::TARGETS.map(|(name, _)| name);
    for entry in fs::read_dir("fuzz/corpus").into_iter().flatten().flatten() {
        let name = entry.file_name();
        assert!(known.iter().any(|known| name == *known), "nothing reads {}", name.display());
    }
    let inputs: Vec<_> = known.into_iter().flat_map(corpus).collect();
    let bytes: usize = inputs.iter().map(|(_, input)| input.len()).sum();
    assert!(inputs.len() <= MAX_FILES, "{} files", inputs.len());
    assert!(bytes <= MAX_BYTES, "{bytes} bytes");
}
