//! The arguments of `sealwax letters`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `sealwax letters`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sealwax letters list                       what you have left and nobody has confirmed yet
  sealwax letters list --json | jq -r .to    for whom
  sealwax letters forget bob                 wait no longer for bob's confirmations
  sealwax letters forget --all

It can be used while a chat runs. What is forgotten is not taken back: it stays in the recipient's
letterbox.")]
pub struct Letters {
    /// The directory of the identity [default: the XDG data directory's sealwax]
    #[arg(long, global = true, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// Print one JSON object on each line
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: LettersCommand,
}

/// What can be done with letters.
#[derive(Debug, Subcommand)]
pub enum LettersCommand {
    /// Print the letters that you have left and that are not confirmed: to whom, which, and since
    /// when
    #[command(after_help = "Examples:
  sealwax letters list
  sealwax letters list --json")]
    List,
    /// Wait no longer for the confirmation of letters to NAME, of one LETTER, or of all
    #[command(after_help = "Examples:
  sealwax letters forget bob
  sealwax letters forget --all")]
    Forget {
        /// The recipient, or a letter as `list` names it
        #[arg(value_name = "NAME|LETTER", required_unless_present = "all", conflicts_with = "all")]
        which: Option<String>,
        /// All of them
        #[arg(long)]
        all: bool,
    },
}
