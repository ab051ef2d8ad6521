//! The arguments of `sealwax keys`.

use clap::{Args, Subcommand};

use super::{Common, relay_address};
use crate::address::Address;

/// `sealwax keys`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sealwax keys show                          your name and fingerprint
  sealwax keys list                          everybody whose key you have seen
  sealwax keys verify bob                    compare safety numbers, then answer
  sealwax keys trust bob SHA256:…            accept the key that bob has now
  sealwax keys untrust relay.example:12345   forget a relay's key, to accept its next one
  sealwax keys passphrase                    encrypt your own key, or change its passphrase

Of these only `passphrase` needs the passphrase that your key has.")]
pub struct Keys {
    /// What it has in common with `chat`, `send` and `recv`.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: KeysCommand,
}

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Print your name and fingerprint
    #[command(after_help = "Examples:
  sealwax keys show
  sealwax keys show --json | jq -r .fp       the fingerprint alone")]
    Show,
    /// Print whom you know, name, fingerprint and trust, and the relays with their keys
    #[command(after_help = "Examples:
  sealwax keys list
  sealwax keys list --json | jq -r 'select(.trust == \"tofu\").name'    whom you did not compare")]
    List,
    /// Take another name: with your key, at the next start
    #[command(after_help = "Examples:
  sealwax keys rename alice2                 your peers know a new user; the old name stays yours")]
    Rename {
        /// The new name
        name: String,
    },
    /// Print the relay that is remembered, or remember another
    #[command(after_help = "Examples:
  sealwax keys relay                         the one that is used without --relay
  sealwax keys relay relay.example:12345     another, from now on")]
    Relay {
        /// The relay
        #[arg(value_name = "HOST:PORT", value_parser = relay_address)]
        relay: Option<Address>,
    },
    /// Show the safety number of you and NAME, and mark the key as verified when it is confirmed
    #[command(after_help = "Examples:
  sealwax keys verify bob                    shows the number, and asks
  sealwax keys verify bob '12345 67890 …'    compares all 60 digits: exit 3 if they differ")]
    Verify {
        /// The peer
        peer: String,
        /// The number that the peer read to you: compared, for scripts
        number: Option<String>,
    },
    /// Accept a key for NAME, in place of the one that was known
    #[command(after_help = "Examples:
  sealwax keys trust bob SHA256:…            what a warning about a changed key tells you to run")]
    Trust {
        /// The peer
        peer: String,
        /// The key's fingerprint
        fingerprint: String,
    },
    /// Forget NAME's key, or that of the relay at HOST:PORT
    #[command(after_help = "Examples:
  sealwax keys untrust bob                   bob's next key is taken as at first contact
  sealwax keys untrust relay.example:12345   that of a relay")]
    Untrust {
        /// The peer, or the relay
        #[arg(value_name = "NAME|HOST:PORT")]
        whose: String,
    },
    /// Encrypt your key with a passphrase, change it, or take it away
    #[command(after_help = "Examples:
  sealwax keys passphrase                    asks for the new one, twice
  sealwax keys passphrase --new-passphrase-fd 3 3<new
  sealwax keys passphrase --passphrase-fd 3 --new-passphrase-fd 4 3<old 4<new
  sealwax keys passphrase --remove")]
    Passphrase {
        /// Read the new passphrase from this descriptor, to its end or first newline [default:
        /// ask]
        #[arg(long, value_name = "N")]
        new_passphrase_fd: Option<i32>,
        /// Keep the key without a passphrase
        #[arg(long, conflicts_with = "new_passphrase_fd")]
        remove: bool,
    },
}
