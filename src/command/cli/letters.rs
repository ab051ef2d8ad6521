//! The arguments of `sealwax letters`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `sealwax letters`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sealwax letters list                 what you have left that is not confirmed, and what is held
  sealwax letters list --json | jq -r '.to // empty'    for whom you have left some
  sealwax letters forget bob           wait no longer for bob's confirmations
  sealwax letters forget --held bob    drop the letters of bob that are held, unread

It can be used while a chat runs. What you have left and forget is not taken back: it stays in the
recipient's letterbox.")]
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
    /// Print the letters that you have left and that are not confirmed, and those that came for you
    /// and are held: of whom, since when, why, and for how long
    #[command(after_help = "Examples:
  sealwax letters list
  sealwax letters list --json")]
    List,
    /// Wait no longer for the confirmation of letters to NAME, of one LETTER, or of all; with
    /// --held, drop letters that are held
    #[command(after_help = "Examples:
  sealwax letters forget bob
  sealwax letters forget --all
  sealwax letters forget --held bob     drops the letters of bob that are held, unread")]
    Forget {
        /// The recipient, or with --held the sender; or a letter as `list` names it
        #[arg(value_name = "NAME|LETTER", required_unless_present = "all", conflicts_with = "all")]
        which: Option<String>,
        /// All of them
        #[arg(long)]
        all: bool,
        /// Letters that came for you and are held, in place of those that you have left. They are
        /// dropped unread
        #[arg(long)]
        held: bool,
    },
}
