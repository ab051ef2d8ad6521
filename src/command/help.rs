//! `sealwax completions SHELL` and `sealwax man`: made from the same definitions as `--help`.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_complete::Shell;
use nix::libc::STDOUT_FILENO;

use super::cli::Cli;
use super::{Exit, Failure, Outcome};
use crate::reactor::was_closed;

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
///
/// By sections, and not as `clap_mangen` puts a page together: it would name pages of the commands
/// that are not there, and fill the lines of the examples like prose.
fn render(page: &mut Vec<u8>) -> io::Result<()> {
    let mut program = Cli::command();
    program.build();
    let man = clap_mangen::Man::new(program.clone());
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_options_section(page)?;
    as_it_stands(page, &program)?;
    render_commands(page, &program, "")
}

fn render_commands(page: &mut Vec<u8>, parent: &clap::Command, path: &str) -> io::Result<()> {
    for command in parent.get_subcommands().filter(|command| command.get_name() != "help") {
        let path = format!("{path} {}", command.get_name());
        let man = clap_mangen::Man::new(command.clone());
        page.extend_from_slice(format!(".SH \"COMMAND{}\"\n", path.to_uppercase()).as_bytes());
        man.render_synopsis_section(page)?;
        man.render_description_section(page)?;
        man.render_options_section(page)?;
        as_it_stands(page, command)?;
        render_commands(page, command, &path)?;
    }
    Ok(())
}

/// What stands below the options, its lines as they are: `clap_mangen`'s section with another
/// head.
fn as_it_stands(page: &mut Vec<u8>, command: &clap::Command) -> io::Result<()> {
    let mut section = Vec::new();
    clap_mangen::Man::new(command.clone()).render_extra_section(&mut section)?;
    let head = b".SH EXTRA\n";
    let place = memchr::memmem::find(&section, head).ok_or(io::ErrorKind::InvalidData)?;
    page.extend_from_slice(b".SH EXAMPLES\n.nf\n");
    page.extend_from_slice(&section[place + head.len()..]);
    page.extend_from_slice(b".fi\n");
    Ok(())
}

/// Prints the answer to `--help` or `--version`, or what is wrong with the command line.
///
/// # Errors
/// Standard output does not take it.
pub(super) fn tell(answer: &clap::Error) -> Outcome {
    if answer.use_stderr() {
        let _ = answer.print(); // where nobody reads it, the exit code still tells
        return Ok(Exit::Usage);
    }
    is_seen()?;
    written(answer.print())
}

pub(super) fn print(bytes: &[u8]) -> Outcome {
    is_seen()?;
    written(io::stdout().write_all(bytes))
}

/// What `written` says of standard output, and of the rest that it may still hold.
fn written(written: io::Result<()>) -> Outcome {
    match written.and_then(|()| io::stdout().flush()) {
        Ok(()) => Ok(Exit::Done),
        Err(error) => Err(Failure::new(Exit::Failed, format!("standard output: {error}"))),
    }
}

/// An error if nobody can see what is printed: standard output was closed at the start.
pub(super) fn is_seen() -> Result<(), Failure> {
    if was_closed(STDOUT_FILENO) {
        let why = "standard output is closed: nobody would see what this prints";
        return Err(Failure::new(Exit::Failed, why));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_has_every_command_and_its_examples_as_they_stand() {
        let mut page = Vec::new();
        super::render(&mut page).unwrap();
        let page = String::from_utf8(page).unwrap();
        for command in ["SERVE", "CHAT", "KEYS", "KEYS VERIFY", "LOAD FLOOD", "MAN"] {
            assert!(page.contains(&format!(".SH \"COMMAND {command}\"\n")), "{command}");
        }
        let (_, example) = page.split_once(".nf\nExamples:\n  sealwax keys trust bob").unwrap();
        assert!(example.split_once(".fi\n").unwrap().0.lines().count() == 1, "{example}");
        assert!(!page.contains("SUBCOMMANDS"), "there are no pages of commands");
    }
}
