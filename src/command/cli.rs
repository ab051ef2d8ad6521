//! The command line as data: what can be written, with its help. No command is carried out here.

mod chat;
mod keys;
mod letters;
mod load;
mod names;
mod serve;
mod top;
mod trace;

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::address::{Address, NotAnAddress};
use crate::limits;

pub use self::chat::{Notify, ScreenArgs, TimeFormat};
pub use self::keys::{Keys, KeysCommand};
pub use self::letters::{Letters, LettersCommand};
pub use self::load::{Beside, Floor, Load, LoadCommand, Roster, RunArgs};
pub use self::names::{Names, NamesCommand};
pub(in crate::command) use self::serve::EXAMPLES;
pub use self::serve::{AdminOption, LogFormat, MetricsOption, Serve, TlsOption, TriggerOption};
pub use self::top::Top;
pub use self::trace::{TraceArgs, TraceForm};

/// End-to-end encrypted messages through one hand-written epoll loop.
#[derive(Debug, Parser)]
#[command(
    name = "sealwax",
    version,
    arg_required_else_help = true,
    subcommand_required = true,
    after_help = "Examples:
  sealwax demo                              watch two users talk, and what the relay sees
  sealwax serve                             run a relay on 127.0.0.1:12345
  sealwax chat --name alice bob             talk to bob; each line is one message
  echo 'the build is done' | sealwax send --name ci alice
  sealwax recv --name alice --json -n 1     wait for one message

Exit codes: 0 all done and confirmed · 1 failed · 2 usage · 3 key not trusted · 4 recipient unknown
  5 relay unreachable or lost · 6 name refused · 7 the wait ran out · 8 identity not usable"
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the relay
    Serve(Box<Serve>),
    /// Talk; each line is one message
    Chat(Chat),
    /// Send TEXT, or each line of standard input, and exit
    Send(Send),
    /// Print what arrives
    Recv(Recv),
    /// Show and change whose keys you trust
    Keys(Keys),
    /// Show and forget what you have left for others and nobody has confirmed yet, and what is held
    Letters(Letters),
    /// Measure a relay
    Load(Load),
    /// Show a relay and two users in one terminal, and what the relay sees of them
    Demo(Demo),
    /// Show and release the names that are bound in a relay's home
    Names(Names),
    /// Watch a running relay: its users, its rates, its log
    Top(Top),
    /// Print completions for a shell
    #[command(after_help = "Examples:
  sealwax completions bash >~/.local/share/bash-completion/completions/sealwax
  sealwax completions zsh >~/.zfunc/_sealwax          # in a directory of your $fpath
  sealwax completions fish >~/.config/fish/completions/sealwax.fish

If the directory does not exist yet, make it first (`mkdir -p`).")]
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Print the manual page
    #[command(after_help = "Examples:
  sealwax man | man -l -                     read it now
  sealwax man >~/.local/share/man/man1/sealwax.1

If the directory does not exist yet, make it first (`mkdir -p`).")]
    Man,
}

/// `-v` and `-q`
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct Verbosity {
    /// Print more; given twice: everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
    /// Print only warnings and errors; given twice: nothing
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub quiet: u8,
}

/// What `chat`, `send`, `recv` and `keys` have in common.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// The relay; the first one is remembered [default: the remembered one, or 127.0.0.1:12345].
    /// `tls://HOST:PORT`: a relay behind a proxy that ends TLS; the proxy's certificate is checked
    #[arg(long, global = true, value_name = "HOST:PORT", value_parser = relay_address)]
    pub relay: Option<Address>,
    /// Connect without TLS: the network can read names, and who writes to whom
    #[arg(long, global = true)]
    pub plain: bool,
    /// Whose identity and trust.
    #[command(flatten)]
    pub identity: IdentityArgs,
    /// Machine-readable: one JSON object on each line of standard output, and (chat) of standard
    /// input
    #[arg(long, global = true)]
    pub json: bool,
    /// Leave no key for letters at the relay, and take none out of your letterbox
    #[arg(long, global = true)]
    pub no_letterbox: bool,
    /// Refuse peers whose key was not verified
    #[arg(long, global = true)]
    pub strict: bool,
    /// How much is printed.
    #[command(flatten)]
    pub verbosity: Verbosity,
}

/// Where an identity lies and how it is opened.
#[derive(Args, Clone, Debug)]
pub struct IdentityArgs {
    /// Your name; needed once, then remembered
    #[arg(long, global = true)]
    pub name: Option<String>,
    /// The directory of the identity and the trust file [default: the XDG data directory's sealwax]
    #[arg(long, global = true, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// Read the identity's passphrase from this descriptor, up to its end or first newline
    #[arg(long, global = true, value_name = "N")]
    pub passphrase_fd: Option<i32>,
}

impl IdentityArgs {
    /// How `sealwax keys` is called so that it finds the same home, as a shell takes it.
    pub fn keys_command(&self) -> String {
        keys_command(self.home.as_deref())
    }
}

/// How `sealwax keys` is called for the identity in `home`, as a shell takes it.
pub fn keys_command(home: Option<&Path>) -> String {
    match home {
        None => "sealwax keys".to_owned(),
        Some(home) => format!("sealwax keys --home {}", quoted(home.as_os_str())),
    }
}

/// `sealwax chat`
#[derive(Args, Debug)]
#[command(after_help = "Lines you can type:
  text             to the current recipient        //text   a text that begins with a slash
  @NAME text       to NAME, once                   /to NAME choose the recipient
  /users           who is here                     /verify NAME, /trust NAME
  /help, /quit

What you write to a user who is away is left at the relay as a letter, for up to 14 days; letters
that wait for you are shown when it begins. `sealwax letters list` tells which of yours are not
confirmed, and which are held.

At a terminal the last rows are a status and the line that you write; F1 shows the keys.

With --json, standard input takes one object on each line: {\"to\":NAME,\"text\":TEXT,\"id\":ID} (id
optional) or {\"command\":\"users\"} or {\"command\":\"quit\"}.

Examples:
  sealwax chat --name alice bob
  printf '%s\\n' '{\"to\":\"bob\",\"text\":\"hi\"}' | sealwax chat --name alice --json")]
pub struct Chat {
    /// The recipient, until you choose another
    pub to: Option<String>,
    /// What `chat`, `send` and `recv` have in common.
    #[command(flatten)]
    pub common: Common,
    /// When a message is done, at the end of input: when the recipient's client has confirmed it,
    /// or already when the relay has stored it for a recipient who is away
    #[arg(long, value_name = "WHEN", default_value = "delivered")]
    pub until: Until,
    /// How long to wait for confirmations, in seconds: at the end of input, and when lines of a
    /// pipe have to wait for earlier ones; 0: do not wait for a relay that is not there, nor for
    /// room in a letterbox
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub wait: Duration,
    /// What is drawn at a terminal.
    #[command(flatten)]
    pub screen: ScreenArgs,
    /// Whether the loop is traced.
    #[command(flatten)]
    pub trace: TraceArgs,
}

/// `sealwax send`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sealwax send --name alice bob 'see you at eight'
  tail -f app.log | sealwax send --name server admin
  sealwax send bob <notes.txt && echo 'bob has read it all'
  sealwax send --whole bob <notes.txt        all of it in one message
  sealwax send --until stored bob 'call me'  leave it in bob's letterbox, if bob is away
  sealwax send --wait 3600 bob 'call me'     wait up to an hour until bob has it")]
pub struct Send {
    /// The recipient
    pub to: String,
    /// The text; without it, each line of standard input is one message
    pub text: Option<String>,
    /// What `chat`, `send` and `recv` have in common.
    #[command(flatten)]
    pub common: Common,
    /// Send standard input as one message, and not each line as one
    #[arg(long, conflicts_with = "text")]
    pub whole: bool,
    /// When a message is done: when the recipient's client has confirmed it, or already when the
    /// relay has stored it for a recipient who is away
    #[arg(long, value_name = "WHEN", default_value = "delivered")]
    pub until: Until,
    /// How long to wait for a recipient who is not connected and has no letterbox, and for
    /// confirmations, in seconds; 0: do not wait for a recipient or a relay that is not there, nor
    /// for room in a letterbox. With `--until stored` a recipient who is neither connected nor has
    /// a letterbox is not waited for
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub wait: Duration,
}

/// When `send` and `chat` have done what they were asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Until {
    /// The recipient's client has confirmed each message
    Delivered,
    /// Each message is confirmed, or stored by the relay
    Stored,
}

/// `sealwax recv`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sealwax recv --name bob                    print messages until it is stopped
  sealwax recv --name bob -n 1 --wait 60     wait a minute for one message; exit 7 if none came
  sealwax recv --wait 0                      print the letters that wait for you, and exit
  sealwax recv --name bob --json | jq -r 'select(.event == \"message\").text'")]
pub struct Recv {
    /// Exit after this many messages, letters among them
    #[arg(short = 'n', long, value_name = "COUNT")]
    pub count: Option<u64>,
    /// Exit if the last of them has not come within this many seconds; 0: take the letters that
    /// wait, and exit
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub wait: Option<Duration>,
    /// What `chat`, `send` and `recv` have in common.
    #[command(flatten)]
    pub common: Common,
}

/// `sealwax demo`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sealwax demo                               watch two users talk, and what the relay reads
  sealwax demo --full | less                 the same, with every frame to its end
  sealwax demo --player player.html          and a page that plays the loops, for a browser

It needs no relay and no key of yours, keeps nothing, and ends by itself: with 0 where each message
was read and confirmed, and none could be read by the relay.")]
pub struct Demo {
    /// Show the frames without shortening
    #[arg(long)]
    pub full: bool,
    /// Do not pause so that a person at a terminal can read along
    #[arg(long)]
    pub fast: bool,
    /// Write a page to this file that plays the three loops in a browser, call by call; a file that
    /// is there is overwritten
    #[arg(long, value_name = "FILE")]
    pub player: Option<PathBuf>,
    /// Whether the three loops are traced.
    #[command(flatten)]
    pub trace: TraceArgs,
}

/// Quotes one word for a shell. One that is not UTF-8 is written as numbers of bytes, which bash
/// and zsh take.
fn quoted(word: &OsStr) -> String {
    let Some(text) = word.to_str() else {
        return format!("$'{}'", word.as_bytes().escape_ascii());
    };
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+=:,@%".contains(letter);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A word that `read` understands. One that is not UTF-8 is told like any other that it does not.
fn word<T: Clone + std::marker::Send + Sync + 'static>(
    read: impl Fn(&str) -> Result<T, String> + Clone + std::marker::Send + Sync + 'static,
) -> impl TypedValueParser<Value = T> {
    OsStringValueParser::new().try_map(move |word| read(&word.to_string_lossy()))
}

fn seconds(text: &str) -> Result<Duration, String> {
    seconds_from(Duration::ZERO, text)
}

fn seconds_from(least: Duration, text: &str) -> Result<Duration, String> {
    let most = limits::MAX_OPTION_TIME;
    let parsed = text.parse().ok().and_then(|it| Duration::try_from_secs_f64(it).ok());
    parsed.filter(|it| (least..=most).contains(it)).ok_or_else(|| {
        let (least, most) = (least.as_secs_f64(), most.as_secs());
        format!("expected a number of seconds from {least} to {most}, such as 10 or 0.5")
    })
}

/// Of a relay that is connected to.
fn relay_address(text: &str) -> Result<Address, String> {
    let address: Address = text.parse().map_err(|error: NotAnAddress| error.to_string())?;
    if address.port() == 0 {
        return Err("nobody listens on port 0".to_owned());
    }
    Ok(address)
}

/// A timeout of zero would pass before it begins, again and again.
fn timeout(text: &str) -> Result<Duration, String> {
    seconds_from(limits::MIN_TIMEOUT, text)
}

fn whole<T>(least: T, most: T, example: T) -> impl TypedValueParser<Value = T>
where
    T: Copy + PartialOrd + fmt::Display + FromStr + std::marker::Send + Sync + 'static,
{
    word(move |text| {
        let parsed = text.parse().ok().filter(|it| (least..=most).contains(it));
        parsed.ok_or_else(|| {
            format!("expected a whole number from {least} to {most}, such as {example}")
        })
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_hold_together() {
        Cli::command().debug_assert();
    }

    /// Whoever asks for help is shown how it is written.
    #[test]
    fn the_help_of_every_command_has_examples() {
        fn look(command: &clap::Command, path: &str) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Examples:\n"), "sealwax {path} --help");
            let commands = command.get_subcommands().filter(|command| command.get_name() != "help");
            commands.for_each(|inner| look(inner, &format!("{path} {}", inner.get_name())));
        }
        look(&Cli::command(), "");
    }

    #[test]
    fn a_printed_command_is_one_that_a_shell_takes() {
        let command = |home: &str| {
            let home = Some(home.into());
            IdentityArgs { name: None, home, passphrase_fd: None }.keys_command()
        };
        assert_eq!(command("/home/a/.x"), "sealwax keys --home /home/a/.x");
        assert_eq!(command("/it's $here"), r"sealwax keys --home '/it'\''s $here'");
        let bytes = OsStr::from_bytes(b"/\xff's").to_owned().into();
        let command = IdentityArgs { name: None, home: Some(bytes), passphrase_fd: None };
        assert_eq!(command.keys_command(), r"sealwax keys --home $'/\xff\'s'");
    }

    #[test]
    fn the_defaults_in_the_help_are_those_of_the_limits() {
        let serve = Cli::parse_from(["sealwax", "serve"]);
        let Command::Serve(serve) = serve.command else { panic!("not serve") };
        assert_eq!(serve.register_timeout, crate::relay::limits::REGISTER_TIMEOUT);
        assert_eq!(serve.frame_timeout, crate::reactor::limits::FRAME_TIMEOUT);
        assert_eq!(serve.drain_time, crate::relay::limits::DRAIN_TIME);
        let send = Cli::parse_from(["sealwax", "send", "bob"]);
        let Command::Send(send) = send.command else { panic!("not send") };
        assert_eq!(send.wait, limits::END_WAIT);
    }
}
