//! `docs/loop/strace.md` shows a relay's system calls as `docs/loop/strace` found them; this finds
//! them again. Where strace is missing or not allowed the reason is printed, and nothing is held.

#![allow(clippy::expect_used)] // a test says what it expects

use std::path::Path;
use std::process::Command;

use sealwax::reactor::end_with_parent;

#[test]
fn the_system_calls_are_those_of_the_page() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/loop/strace");
    let program = env!("CARGO_BIN_EXE_sealwax");
    let mut python = Command::new("python3");
    python.arg(script).args(["--check", "--program", program]);
    let run = end_with_parent(&mut python).output();
    let run = run.expect("Python 3 is there: the tests need it");
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{said}\n{}", String::from_utf8_lossy(&run.stderr));
    if said.starts_with("skipped: ") {
        println!("{said}");
        return;
    }
    assert_eq!(said.trim_end(), "the same calls in the same order");
}
