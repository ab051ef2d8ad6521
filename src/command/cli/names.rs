//! The arguments of `sealwax names`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::relay::names::Day;

/// `sealwax names`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sealwax names list                 every bound name and the key that it is bound to
  sealwax names release bob          the next user who proves a key gets the name
  sealwax names release --unused-since 180d          shows which names would be released
  sealwax names release --unused-since 180d --yes    releases them

It can be used while the relay runs. The relay frees a released name at SIGHUP or when it starts
again. A user who is connected under the name keeps it until they leave.")]
pub struct Names {
    /// The relay's home [default: the XDG data directory's `sealwax/relay`]
    #[arg(long, global = true, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// Print one JSON object on each line
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: NamesCommand,
}

/// What can be done with bound names.
#[derive(Debug, Subcommand)]
pub enum NamesCommand {
    /// Print every bound name, the fingerprint of its key, on which days it was bound and last used
    /// (UTC), and how many letters and bytes wait for its user
    #[command(after_help = "Examples:
  sealwax names list
  sealwax names list --home /srv/relay --json | jq -r .name")]
    List,
    /// Free NAME, or all names that were not used for a long time, for other keys; the letters that
    /// wait for them are deleted, and those that they have left for others
    #[command(after_help = "Examples:
  sealwax names release bob    prints the `kill -HUP PID` at which the running relay frees it")]
    Release {
        /// The name
        #[arg(required_unless_present = "unused_since", conflicts_with = "unused_since")]
        name: Option<String>,
        /// All names whose user was last connected before WHEN, a date (2026-02-28) or a number of
        /// days (180d); without --yes they are only shown
        #[arg(long, value_name = "WHEN", value_parser = day)]
        unused_since: Option<Day>,
        /// Release what --unused-since shows
        #[arg(long, requires = "unused_since")]
        yes: bool,
    },
    /// Make the file of names again, or the relay's key, if one of the two is missing
    #[command(after_help = "Examples:
  sealwax names recreate --home /srv/relay    after `serve` said that one of them is missing

If you have a backup, restore it instead: with a new file of names, each name goes to the first user
who proves a key for it; a new key is refused by every client that knew the old one. If nothing is
missing, it does nothing.")]
    Recreate,
}

/// Parses a date, or a number of days before today.
fn day(text: &str) -> Result<Day, String> {
    let wrong = "neither a date (2026-02-28) nor a number of days (180d)";
    match text.strip_suffix('d') {
        Some(days) => {
            let days: u32 = days.parse().map_err(|_| wrong)?;
            Ok(Day(Day::today().0.saturating_sub(days)))
        }
        None => text.parse().map_err(|_| wrong.to_owned()),
    }
}
