//! The pictures of the documents show what the program shows now.

#![allow(clippy::expect_used)] // a test says what it expects

mod support;

use support::process::python;

/// Made again from real runs, and compared.
#[test]
fn they_are_current() {
    let program = env!("CARGO_BIN_EXE_sealwax");
    python("pictures.py", &[program, "--check"]).end().with_code(0);
}
