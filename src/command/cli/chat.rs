//! The arguments of `chat` that are about a terminal.

use std::str::FromStr;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;

/// What `chat` draws at a terminal.
#[derive(Args, Clone, Debug)]
pub struct ScreenArgs {
    /// At a terminal, read and print whole lines and draw nothing, as in a pipe
    #[arg(long)]
    pub lines: bool,
    /// Draw on the whole terminal: users, the conversation, the line (F2 while it runs)
    #[arg(long, conflicts_with = "lines")]
    pub screen: bool,
    /// The time before each line and in the status, as strftime writes it; empty: none
    #[arg(long, value_name = "FORMAT", default_value = "%H:%M")]
    pub time: TimeFormat,
    /// Tell the terminal of each message: the bell, or a notification with the sender's name
    #[arg(long, value_name = "HOW")]
    pub notify: Option<Notify>,
    /// Keep the lines that you write in the file `chat_history`, in plain text, for the next start
    #[arg(long)]
    pub history: bool,
}

/// How a terminal is told of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Notify {
    /// The bell
    Bell,
    /// OSC 9, a notification in iTerm2, kitty, foot, Windows Terminal and others
    Osc9,
    /// OSC 777, a notification in urxvt, VTE, foot, Ghostty and others
    Osc777,
}

/// A format of `strftime(3)` that can be carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeFormat(pub String);

impl FromStr for TimeFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let zoned = Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
        strtime::format(text, &zoned).map_err(|error| error.to_string())?;
        Ok(Self(text.to_owned()))
    }
}
