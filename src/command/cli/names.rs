//! `sealwax names` as data.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `sealwax names`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sealwax names list                 every bound name and the key that it is bound to
  sealwax names release bob          the next who proves bob has the name

It works beside a running relay, which lets a released name go at SIGHUP or when it starts again. A
user who is connected under the name keeps it until they leave.")]
pub struct Names {
    /// The relay's home [default: the XDG data directory's `sealwax/relay`]
    #[arg(long, global = true, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// One JSON object a line
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: NamesCommand,
}

/// What can be done with bound names.
#[derive(Debug, Subcommand)]
pub enum NamesCommand {
    /// Print every bound name and the fingerprint of its key
    #[command(after_help = "Examples:
  sealwax names list
  sealwax names list --home /srv/relay --json | jq -r .name")]
    List,
    /// Bind NAME to no key
    #[command(after_help = "Examples:
  sealwax names release bob && pkill -HUP -x sealwax    a running relay lets it go at SIGHUP")]
    Release {
        /// The name
        name: String,
    },
}
