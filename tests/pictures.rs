//! The pictures of the documents show what the program shows now.

#![allow(clippy::expect_used)] // a test says what it expects

mod support;

use std::path::Path;
use std::process::Command;

use support::process::{Process, python};

/// Screens of the program: made again from real runs, and compared.
#[test]
fn they_are_current() {
    let program = env!("CARGO_BIN_EXE_sealwax");
    python("pictures.py", &[program, "--check"]).end().with_code(0);
}

/// Those of the tour, and the words beside them.
#[test]
fn those_of_the_tour_are_current() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/loop/pictures/run");
    let mut command = Command::new("python3");
    command.arg(script).args(["--check", "--program", env!("CARGO_BIN_EXE_sealwax")]);
    Process::spawn(&mut command).end().with_code(0);
}
