//! The program: arguments to a command, and how it ended to an exit code. Everything else is in the
//! library.

use std::process::ExitCode;

use clap::Parser;
use sealwax::command::{cli::Cli, run};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli.command) {
        Ok(exit) => ExitCode::from(exit as u8),
        Err(failure) => {
            eprintln!("sealwax: {}", failure.message);
            ExitCode::from(failure.exit as u8)
        }
    }
}
