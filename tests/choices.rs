//! The patches of `benches/choices`, which the product carries none of, still fit the sources.

#![allow(clippy::expect_used)] // a test says what it expects

use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn every_patch_applies() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = fs::read_to_string(root.join("benches/choices")).expect("the script");
    let mut applied = 0;
    for entry in fs::read_dir(root.join("benches/choices.d")).expect("the patches").flatten() {
        let path = entry.path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        assert!(script.contains(&format!("\"{name}\"")), "benches/choices does not use {name}");
        let run =
            Command::new("git").current_dir(root).args(["apply", "--check"]).arg(&path).output();
        let Ok(run) = run else { return println!("skipped: git is not installed") };
        let why = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success(), "{}: {why}", path.display());
        applied += 1;
    }
    assert_eq!(applied, 3);
}
