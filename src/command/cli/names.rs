//! The arguments of `sealwax names`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::relay::names::Day;

/// `sealwax names`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sealwax names list                 every bound name and the key that it is bound to
  sealwax names release bob          the next who proves bob has the name
  sealwax names release --unused-since 180d          shows who would be released
  sealwax names release --unused-since 180d --yes    releases them

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
    /// Print every bound name, the fingerprint of its key, and on which days it was bound and last
    /// used (UTC)
    #[command(after_help = "Examples:
  sealwax names list
  sealwax names list --home /srv/relay --json | jq -r .name")]
    List,
    /// Bind NAME to no key, or each name that was not used for long
    #[command(after_help = "Examples:
  sealwax names release bob && pkill -HUP -x sealwax    a running relay lets it go at SIGHUP")]
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
    /// Make anew what is missing: the file of names, or the key, where the other is there
    #[command(after_help = "Examples:
  sealwax names recreate --home /srv/relay    after `serve` has said that something is gone

A copy is better: with a new file every name is free for whoever comes first, and a new key is
refused by every client that knew the old one. It does nothing where nothing is missing.")]
    Recreate,
}

/// A date, or so many days before today.
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
