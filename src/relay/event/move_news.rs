//! What is told of letters that are moved from a relay's own file into the engine of its cluster.

use std::fmt;

use serde::Serialize;

use super::words::Quoted;

/// How far the move has come.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum MoveNews<'a> {
    /// It begins.
    Begun {
        /// How many letters wait in the file.
        letters: u64,
    },
    /// Letters to one user were moved.
    Part {
        /// Whose box they wait in.
        to: &'a str,
        /// How many.
        letters: usize,
    },
    /// The engine can take no more now.
    Waits {
        /// How many letters are left in the file.
        letters: u64,
    },
    /// The file has no more letters and no letter keys.
    Ended {
        /// How many letters were moved.
        letters: u64,
        /// How many letter keys.
        keys: u64,
    },
}

impl fmt::Display for MoveNews<'_> {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Begun { letters } => {
                write!(out, "moving {letters} letters from this relay's file into the engine")
            }
            Self::Part { to, letters } => {
                write!(out, "moved {letters} letters for {}", Quoted(to))
            }
            Self::Waits { letters } => write!(
                out,
                "{letters} letters wait in this relay's file until the engine has room for them"
            ),
            Self::Ended { letters, keys } => write!(
                out,
                "this relay's file has no more letters: {letters} letters and {keys} letter keys \
                 were moved into the engine"
            ),
        }
    }
}
