//! The arguments of `sealwax keys`.

use clap::{Args, Subcommand};

use super::{Common, relay_address};
use crate::address::Address;

/// `sealwax keys`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sealwax keys show                          your name and fingerprint
  sealwax keys list                          all users whose key you have seen
  sealwax keys verify bob                    compare safety numbers, then answer
  sealwax keys trust bob SHA256:…            accept the key that bob has now
  sealwax keys untrust relay.example:12345   forget the relay's key; its next one is accepted
  sealwax keys passphrase                    encrypt your own key, or change its passphrase

If your key has a passphrase, only `keys passphrase` needs it.")]
pub struct Keys {
    /// The options that it shares with `chat`, `send` and `recv`.
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
    /// Print the users and relays whose keys you know: name, fingerprint and trust
    #[command(after_help = "Examples:
  sealwax keys list
  sealwax keys list --json | jq -r 'select(.trust == \"tofu\").name'   keys not verified")]
    List,
    /// Change your name; your key stays the same, and the next start uses the new name
    ///
    /// Letters that wait at a relay for the old name are lost: take them first, with `sealwax recv
    /// --wait 0`.
    #[command(after_help = "Examples:
  sealwax keys rename alice2             your peers see a new user; the old name stays yours")]
    Rename {
        /// The new name
        name: String,
    },
    /// Print the relay that is used without --relay, or set another
    #[command(after_help = "Examples:
  sealwax keys relay                         print it
  sealwax keys relay relay.example:12345     use this one from now on")]
    Relay {
        /// The relay
        #[arg(value_name = "HOST:PORT", value_parser = relay_address)]
        relay: Option<Address>,
    },
    /// Show the safety number of your key and NAME's, and mark NAME's key as verified when you
    /// confirm the number
    #[command(after_help = "Examples:
  sealwax keys verify bob                    shows the number, and asks whether it is right
  sealwax keys verify bob '12345 67890 …'    compares all 60 digits: exit 3 if they differ")]
    Verify {
        /// The peer
        peer: String,
        /// The number that the peer read to you; it is compared without a question, for scripts
        number: Option<String>,
    },
    /// Accept a key for NAME, in place of the one that you know
    #[command(after_help = "Examples:
  sealwax keys trust bob SHA256:…            a warning about a changed key prints this command")]
    Trust {
        /// The peer
        peer: String,
        /// The key's fingerprint
        fingerprint: String,
    },
    /// Forget NAME's key, or that of the relay at HOST:PORT and whether it speaks TLS
    #[command(after_help = "Examples:
  sealwax keys untrust bob                   bob's next key is accepted as at first contact
  sealwax keys untrust relay.example:12345   the same for a relay")]
    Untrust {
        /// The peer, or the address of the relay
        #[arg(value_name = "NAME|HOST:PORT")]
        whose: String,
    },
    /// Encrypt your key with a passphrase, change the passphrase, or remove it
    #[command(after_help = "Examples:
  sealwax keys passphrase                    asks for the new one, twice
  sealwax keys passphrase --new-passphrase-fd 3 3<new
  sealwax keys passphrase --passphrase-fd 3 --new-passphrase-fd 4 3<old 4<new
  sealwax keys passphrase --remove")]
    Passphrase {
        /// Read the new passphrase from this descriptor, up to its end or first newline [default:
        /// ask in the terminal]
        #[arg(long, value_name = "N")]
        new_passphrase_fd: Option<i32>,
        /// Store the key without a passphrase
        #[arg(long, conflicts_with = "new_passphrase_fd")]
        remove: bool,
    },
}
