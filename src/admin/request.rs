//! What can be asked over the admin socket: one JSON object a line.

use serde::{Deserialize, Serialize};

use super::limits::{LAST_LINES, USERS_PER_PAGE};
use crate::relay::event::Level;

/// A request; its name is the member `request`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// How the relay stands.
    Status {},
    /// All that was counted since the start.
    Counters {},
    /// Some users.
    Users {
        /// From where in the relay's table: 0, or `next` of the answer before.
        #[serde(default)]
        from: usize,
        /// How many at most; never more than [`USERS_PER_PAGE`].
        #[serde(default = "users_per_page")]
        count: usize,
    },
    /// The last events, and from now on those that follow.
    Log {
        /// Up to which level.
        #[serde(default)]
        level: Level,
        /// How many of the last events.
        #[serde(default = "last_lines")]
        last: usize,
    },
    /// Ends the relay, as `SIGTERM` does.
    Drain {},
    /// Ends the connection of a user.
    Kick {
        /// Whose.
        name: String,
    },
    /// Releases a name: the next user who proves it gets it.
    Release {
        /// Which.
        name: String,
    },
    /// Reads again what can be changed while the relay runs, as `SIGHUP` does.
    Reload {},
}

const fn users_per_page() -> usize {
    USERS_PER_PAGE
}

const fn last_lines() -> usize {
    LAST_LINES
}

impl Request {
    /// Reads one line.
    ///
    /// # Errors
    /// It is no request; what is wrong with it.
    pub(super) fn parse(line: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(line).map_err(|error| error.to_string())
    }

    /// As a line.
    pub fn line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default() + "\n" // names and numbers: never fails
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_it_is_written_and_nothing_else_is_one() {
        for request in [
            Request::Status {},
            Request::Users { from: 7, count: 3 },
            Request::Log { level: Level::Debug, last: 0 },
            Request::Kick { name: "b\"ob".to_owned() },
        ] {
            assert_eq!(Request::parse(request.line().as_bytes()), Ok(request));
        }
        let defaults = Request::parse(br#"{"request":"log"}"#);
        assert_eq!(defaults, Ok(Request::Log { level: Level::Normal, last: LAST_LINES }));
        let bad: [&[u8]; 8] = [
            b"",
            b"status",
            b"{}",
            br#"{"request":"fly"}"#,
            br#"{"request":"kick"}"#,
            br#"{"request":"users","from":-1}"#,
            br#"{"request":"status","x":1}"#,
            b"{\"request\":\"kick\",\"name\":\"\xff\"}",
        ];
        for line in bad {
            assert!(Request::parse(line).is_err(), "{}", line.escape_ascii());
        }
    }
}
