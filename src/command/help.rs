//! `sealwax completions SHELL` and `sealwax man`: made from the same definitions as `--help`.

use std::io;

use clap::CommandFactory;
use clap_complete::Shell;

use super::cli::Cli;
use super::{Exit, Failure, Outcome};

/// Prints the completions for `shell`.
pub(super) fn completions(shell: Shell) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "sealwax", &mut script);
    print(&script)
}

/// Prints the manual page.
pub(super) fn man() -> Outcome {
    let mut page = Vec::new();
    render(&mut page).map_err(|error| Failure::new(Exit::Failed, error))?;
    print(&page)
}

/// The page of the program, then what each command adds.
fn render(page: &mut Vec<u8>) -> io::Result<()> {
    let mut program = Cli::command();
    program.build();
    clap_mangen::Man::new(program.clone()).render(page)?;
    for command in program.get_subcommands().filter(|command| command.get_name() != "help") {
        let man = clap_mangen::Man::new(command.clone());
        page.extend_from_slice(format!(".SH \"COMMAND {}\"\n", command.get_name()).as_bytes());
        man.render_synopsis_section(page)?;
        man.render_description_section(page)?;
        man.render_options_section(page)?;
        man.render_extra_section(page)?;
    }
    Ok(())
}

fn print(bytes: &[u8]) -> Outcome {
    match io::Write::write_all(&mut io::stdout(), bytes) {
        Ok(()) => Ok(Exit::Done),
        Err(error) => Err(Failure::new(Exit::Failed, format!("standard output: {error}"))),
    }
}
