//! The arguments of `sealwax top`.

use std::path::PathBuf;

use clap::Args;

/// `sealwax top`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sealwax top                                the relay of the default home
  sealwax top --home /srv/relay
  sealwax top --once | jq .status.users
  sealwax top --json | jq --unbuffered -c '[.status.now, .status.messages]'

On a terminal it fills the screen; ? shows the keys. Without a terminal, or with --json, it prints
one object a second: {\"connected\":true,\"status\":{…},\"counters\":{…}}, or
{\"connected\":false,\"detail\":TEXT} while there is no relay. It connects again by itself.")]
pub struct Top {
    /// The relay's home, whose `admin.sock` is used [default: the XDG data directory's
    /// `sealwax/relay`]
    #[arg(long, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// The relay's admin socket, where it is elsewhere (`sealwax serve --admin`)
    #[arg(long, value_name = "PATH", conflicts_with = "home")]
    pub admin: Option<PathBuf>,
    /// Print one JSON object a second
    #[arg(long)]
    pub json: bool,
    /// Print one JSON object and exit; 5 where there is no relay
    #[arg(long)]
    pub once: bool,
}
