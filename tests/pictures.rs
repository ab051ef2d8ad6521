//! The pictures of the documents show what the program shows now.

#![allow(clippy::expect_used)] // a test says what it expects

mod support;

use std::path::Path;
use std::process::Command;

use support::process::{Process, python};

/// A screen of the program: made again from a real run, and compared.
fn is_current(picture: &str) {
    let program = env!("CARGO_BIN_EXE_sealwax");
    python("pictures.py", &[program, "--check", picture]).end().with_code(0);
}

#[test]
fn that_of_the_demo_is_current() {
    is_current("demo");
}

#[test]
fn that_of_chat_is_current() {
    is_current("chat");
}

#[test]
fn that_of_the_whole_screen_is_current() {
    is_current("screen");
}

#[test]
fn that_of_top_is_current() {
    is_current("top");
}

/// Those of the tour, and the words beside them.
#[test]
fn those_of_the_tour_are_current() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/loop/pictures/run");
    let mut command = Command::new("python3");
    command.arg(script).args(["--check", "--program", env!("CARGO_BIN_EXE_sealwax")]);
    Process::spawn(&mut command).end().with_code(0);
}
