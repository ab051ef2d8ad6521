//! The commands: each connects the layers below for one use.
//!
//! A command ends in an [`Exit`], and what went wrong in a [`Failure`]: a sentence for a person
//! that names what happened, on what, and what to do next, and the code that a script looks at.
//! `main` prints the one and returns the other.

mod activation;
mod capacity;
mod certificate;
mod check;
pub mod cli;
mod cluster;
mod demo;
mod engine_check;
mod front;
mod help;
mod identity_file;
mod inline;
mod keys;
mod letters;
mod lines;
mod load;
mod log_file;
mod names;
mod notify;
mod owner;
mod passphrase;
mod private;
mod qr;
mod resolver;
mod serve;
mod settings;
mod streams;
mod talk;
mod top;
mod tracing;
mod trusted;
mod view;
mod watch;

use std::ffi::OsString;
use std::fmt;

use self::cli::Command;
use self::settings::NoCommand;

/// How a command ended, for scripts: the codes are part of the interface and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All that was asked is done; every message was confirmed by its recipient's client.
    Done = 0,
    /// Anything else that failed.
    Failed = 1,
    /// The command line was not understood.
    Usage = 2,
    /// A key is not trusted: changed, or not verified under `--strict`.
    NotTrusted = 3,
    /// The recipient is unknown, or not connected and without a letterbox.
    UnknownRecipient = 4,
    /// The relay cannot be reached, refused us, or the connection was lost for good.
    Relay = 5,
    /// The name is in use, bound to another key, or not a valid name.
    Name = 6,
    /// The wait ran out before everything was confirmed or received.
    WaitRanOut = 7,
    /// The identity cannot be used: passphrase, permissions, damage, or another process holds it.
    Identity = 8,
}

impl Exit {
    /// Of several codes, the one that counts: the first of 3, 8, 6, 5, 4, 7, then 1.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        if self.rank() <= other.rank() { self } else { other }
    }

    const fn rank(self) -> u8 {
        match self {
            Self::Usage => 0,
            Self::NotTrusted => 1,
            Self::Identity => 2,
            Self::Name => 3,
            Self::Relay => 4,
            Self::UnknownRecipient => 5,
            Self::WaitRanOut => 6,
            Self::Failed => 7,
            Self::Done => 8,
        }
    }
}

/// Why a command could not do what was asked.
#[derive(Debug)]
pub struct Failure {
    /// What a script sees.
    pub exit: Exit,
    /// What a person sees.
    pub message: String,
}

impl Failure {
    /// A failure with its code.
    pub fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, message: message.to_string() }
    }
}

/// What a command returns.
pub type Outcome = Result<Exit, Failure>;

/// Carries out the command that these words say, the program's name first.
///
/// # Errors
/// What could not be done, with the code to end with.
pub fn run_line(words: Vec<OsString>) -> Outcome {
    match settings::parse(words) {
        Ok(cli) => run(&cli.command),
        Err(NoCommand::Line(answer)) => help::tell(&answer),
        Err(NoCommand::File(failure)) => Err(failure),
    }
}

/// Carries a command out.
///
/// # Errors
/// What could not be done, with the code to end with.
pub fn run(command: &Command) -> Outcome {
    use Command::{Chat, Demo, Keys, Letters, Load, Names, Recv, Send};
    if matches!(command, Keys(_) | Letters(_) | Load(_) | Names(_)) {
        help::is_seen()?;
    }
    if matches!(command, Chat(_) | Send(_) | Recv(_) | Keys(_) | Demo(_)) {
        private::keep_memory_private()?;
    }
    match command {
        Command::Serve(arguments) => serve::serve(arguments),
        Command::Chat(arguments) => talk::chat(arguments),
        Command::Send(arguments) => talk::send(arguments),
        Command::Recv(arguments) => talk::recv(arguments),
        Command::Keys(arguments) => keys::keys(arguments),
        Command::Letters(arguments) => letters::letters(arguments),
        Command::Load(arguments) => load::load(arguments),
        Command::Names(arguments) => names::names(arguments),
        Command::Top(arguments) => top::top(arguments),
        Command::Demo(arguments) => demo::demo(arguments),
        Command::Completions { shell } => help::completions(*shell),
        Command::Man => help::man(),
    }
}

/// Whether somebody has asked for no colours: `NO_COLOR` is set and not empty (no-color.org).
fn is_without_colours() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn of_several_reasons_the_documented_one_counts() {
        let order = [
            Exit::NotTrusted,
            Exit::Identity,
            Exit::Name,
            Exit::Relay,
            Exit::UnknownRecipient,
            Exit::WaitRanOut,
            Exit::Failed,
            Exit::Done,
        ];
        for (place, first) in order.into_iter().enumerate() {
            for second in order.into_iter().skip(place) {
                assert_eq!((first.and(second), second.and(first)), (first, first));
            }
        }
    }
}
