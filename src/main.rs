//! The program: arguments to a command, and how it ended to an exit code. Everything else is in the
//! library.

use std::io::Write;
use std::process::ExitCode;

use sealwax::command::run_line;

fn main() -> ExitCode {
    match run_line(std::env::args_os().collect()) {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(failure) => {
            // In one write, so that no other process writes into it; and where nobody reads it, the
            // exit code still tells.
            let line = format!("sealwax: {}\n", failure.message);
            let _ = std::io::stderr().write_all(line.as_bytes());
            ExitCode::from(failure.exit as u8)
        }
    }
}
