//! What can be asked over the admin socket: one JSON object a line.

use std::fmt;

use serde::Serialize;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::Value;
use serde_json::error::Category;

use super::limits::{LAST_LINES, SHOWN_VALUE, USERS_PER_PAGE};
use crate::relay::event::Level;

/// A request; its name is the member `request`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// How the relay stands.
    Status {},
    /// All that was counted since the start.
    Counters {},
    /// Some users.
    Users {
        /// From where in the relay's table: 0, or `next` of the answer before.
        from: usize,
        /// How many at most; never more than [`USERS_PER_PAGE`].
        count: usize,
    },
    /// The last events, and from now on those that follow.
    Log {
        /// Up to which level.
        level: Level,
        /// How many of the last events.
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

/// What can be asked, and the members that each request may have.
const REQUESTS: [(&str, &[&str]); 8] = [
    ("status", &[]),
    ("counters", &[]),
    ("users", &["from", "count"]),
    ("log", &["level", "last"]),
    ("kick", &["name"]),
    ("release", &["name"]),
    ("reload", &[]),
    ("drain", &[]),
];
/// The levels that can be asked for.
const LEVELS: [(&str, Level); 4] = [
    ("quiet", Level::Quiet),
    ("normal", Level::Normal),
    ("verbose", Level::Verbose),
    ("debug", Level::Debug),
];
const EXAMPLE: &str = r#"{"request":"status"}"#;

impl Request {
    /// Reads one line.
    ///
    /// # Errors
    /// It is no request; what is wrong with it, in words.
    pub(super) fn parse(line: &[u8]) -> Result<Self, String> {
        let members = Members::read(line)?;
        let Some(name) = members.get("request") else {
            return Err(format!("the member 'request' is missing, such as in {EXAMPLE}"));
        };
        let known = REQUESTS.iter().find(|(known, _)| name == known);
        let (name, accepted) = known.ok_or_else(|| {
            let all = REQUESTS.map(|(name, _)| name).join(", ");
            format!("'request' has to be one of {all}, and not {}", shown(name))
        })?;
        members.only(name, accepted)?;
        Ok(match *name {
            "status" => Self::Status {},
            "counters" => Self::Counters {},
            "users" => Self::Users {
                from: members.number("from", 0)?,
                count: members.number("count", USERS_PER_PAGE)?,
            },
            "log" => {
                Self::Log { level: members.level()?, last: members.number("last", LAST_LINES)? }
            }
            "kick" => Self::Kick { name: members.name(name)? },
            "release" => Self::Release { name: members.name(name)? },
            "reload" => Self::Reload {},
            _ => Self::Drain {},
        })
    }

    /// As a line.
    pub fn line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default() + "\n" // names and numbers: never fails
    }
}

/// The members of an object, each with another name.
struct Members(Vec<(String, Value)>);

impl Members {
    fn read(line: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(line)
            .map_err(|error| format!("byte {} is not UTF-8", error.valid_up_to() + 1))?;
        if text.trim().is_empty() {
            return Err(format!("the line is empty; a request is an object, such as {EXAMPLE}"));
        }
        let value: Value = serde_json::from_str(text).map_err(|error| not_json(&error))?;
        if !value.is_object() {
            let is = shown(&value);
            return Err(format!("a request is an object, such as {EXAMPLE}, and not {is}"));
        }
        // It is an object: nothing can be wrong but a name that is there twice.
        serde_json::from_str(text).map_err(|error| {
            let what = error.to_string();
            what.split(" at line ").next().unwrap_or_default().to_owned()
        })
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// An error if there are other members than those of this request.
    fn only(&self, request: &str, accepted: &[&str]) -> Result<(), String> {
        let is_known = |name: &str| name == "request" || accepted.contains(&name);
        let Some((other, _)) = self.0.iter().find(|(name, _)| !is_known(name)) else {
            return Ok(());
        };
        let other = shown(&Value::from(other.as_str()));
        Err(match accepted {
            [] => format!("'{request}' has no other members, and not {other}"),
            some => format!("'{request}' has no member {other}; it has: {}", some.join(", ")),
        })
    }

    fn number(&self, name: &str, default: usize) -> Result<usize, String> {
        let Some(value) = self.get(name) else { return Ok(default) };
        let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
        number.ok_or_else(|| {
            let most = usize::MAX;
            format!("'{name}' has to be a whole number from 0 to {most}, and not {}", shown(value))
        })
    }

    fn level(&self) -> Result<Level, String> {
        let Some(value) = self.get("level") else { return Ok(Level::default()) };
        let found = LEVELS.iter().find(|(name, _)| value == name).map(|(_, level)| *level);
        found.ok_or_else(|| {
            let all = LEVELS.map(|(name, _)| name).join(", ");
            format!("'level' has to be one of {all}, and not {}", shown(value))
        })
    }

    fn name(&self, request: &str) -> Result<String, String> {
        match self.get("name") {
            Some(Value::String(name)) => Ok(name.clone()),
            Some(other) => Err(format!("'name' has to be a text, and not {}", shown(other))),
            None => Err(format!(
                r#"'name' is missing, such as in {{"request":"{request}","name":"bob"}}"#
            )),
        }
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members;

            fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Members, M::Error> {
                let mut members = Members(Vec::new());
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if members.get(&name).is_some() {
                        let name = shown(&Value::from(name));
                        return Err(M::Error::custom(format!("the member {name} is there twice")));
                    }
                    members.0.push((name, value));
                }
                Ok(members)
            }
        }
        from.deserialize_map(Reader)
    }
}

fn not_json(error: &serde_json::Error) -> String {
    if error.classify() == Category::Eof {
        return format!("the line ends before its JSON does, at column {}", error.column());
    }
    let what = error.to_string();
    let what = what.split(" at line ").next().unwrap_or_default();
    format!("this is not JSON: {what} (column {}); a request is, such as {EXAMPLE}", error.column())
}

/// A value, or its beginning, as JSON; of what has others in it, only what it is.
fn shown(value: &Value) -> String {
    let json = match value {
        Value::Array(_) => return "a list".to_owned(),
        Value::Object(_) => return "an object".to_owned(),
        simple => simple.to_string(),
    };
    match json.char_indices().nth(SHOWN_VALUE) {
        None => json,
        Some((end, _)) => format!("{}…", &json[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_it_is_written() {
        for request in [
            Request::Status {},
            Request::Counters {},
            Request::Users { from: 7, count: 3 },
            Request::Users { from: 0, count: usize::MAX },
            Request::Log { level: Level::Debug, last: 0 },
            Request::Log { level: Level::Quiet, last: 5 },
            Request::Kick { name: "b\"ob".to_owned() },
            Request::Release { name: "bob".to_owned() },
            Request::Reload {},
            Request::Drain {},
        ] {
            assert_eq!(Request::parse(request.line().as_bytes()), Ok(request));
        }
        let defaults = Request::parse(br#" {"request":"log"} "#);
        assert_eq!(defaults, Ok(Request::Log { level: Level::Normal, last: LAST_LINES }));
        let defaults = Request::parse(b"{\"count\":2,\"request\":\"users\"}\r");
        assert_eq!(defaults, Ok(Request::Users { from: 0, count: 2 }));
    }

    /// Each answer says what is wrong, where, and what is accepted.
    fn check(table: &[(&[u8], String)]) {
        for (line, expected) in table {
            let told = Request::parse(line);
            assert_eq!(told.as_ref(), Err(expected), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn a_line_that_is_no_json_is_told_in_words() {
        let object = r#"a request is an object, such as {"request":"status"}"#;
        let is = r#"a request is, such as {"request":"status"}"#;
        check(&[
            (b"", format!("the line is empty; {object}")),
            (b" \t\r", format!("the line is empty; {object}")),
            (b"status", format!("this is not JSON: expected value (column 1); {is}")),
            (b"GET / HTTP/1.1\r", format!("this is not JSON: expected value (column 1); {is}")),
            (b"{'request':1}", format!("this is not JSON: key must be a string (column 2); {is}")),
            (
                br#"{"request":"status",}"#,
                format!("this is not JSON: trailing comma (column 21); {is}"),
            ),
            (
                br#"{"request":"status"} x"#,
                format!("this is not JSON: trailing characters (column 22); {is}"),
            ),
            (
                b"{\"request\":\"st\x1btatus\"}",
                format!(
                    "this is not JSON: control character (\\u0000-\\u001F) found while parsing a \
                     string (column 15); {is}"
                ),
            ),
            (
                "[".repeat(300).leak().as_bytes(),
                format!("this is not JSON: recursion limit exceeded (column 128); {is}"),
            ),
            (br#"{"request":"status""#, "the line ends before its JSON does, at column 19".into()),
            (b"\xff\xfe", "byte 1 is not UTF-8".into()),
            (b"{\"request\":\"kick\",\"name\":\"\xff\"}", "byte 27 is not UTF-8".into()),
        ]);
    }

    #[test]
    fn an_object_that_is_no_request_is_told_in_words() {
        let all = "status, counters, users, log, kick, release, reload, drain";
        let object = r#"a request is an object, such as {"request":"status"}"#;
        let whole = "has to be a whole number from 0 to 18446744073709551615, and not";
        let level = "'level' has to be one of quiet, normal, verbose, debug, and not";
        let long = format!(r#"{{"request":"{}"}}"#, "a".repeat(50));
        check(&[
            (b"[]", format!("{object}, and not a list")),
            (b"5", format!("{object}, and not 5")),
            (b"null", format!("{object}, and not null")),
            (br#""status""#, format!("{object}, and not \"status\"")),
            (b"{}", r#"the member 'request' is missing, such as in {"request":"status"}"#.into()),
            (
                br#"{"name":"bob"}"#,
                r#"the member 'request' is missing, such as in {"request":"status"}"#.into(),
            ),
            (br#"{"request":"fly"}"#, format!("'request' has to be one of {all}, and not \"fly\"")),
            (
                br#"{"request":"STATUS"}"#,
                format!("'request' has to be one of {all}, and not \"STATUS\""),
            ),
            (br#"{"request":5}"#, format!("'request' has to be one of {all}, and not 5")),
            (br#"{"request":null}"#, format!("'request' has to be one of {all}, and not null")),
            (br#"{"request":["a"]}"#, format!("'request' has to be one of {all}, and not a list")),
            (
                long.as_bytes(),
                format!("'request' has to be one of {all}, and not \"{}…", "a".repeat(39)),
            ),
            (
                br#"{"request":"status","request":"drain"}"#,
                "the member \"request\" is there twice".into(),
            ),
            (
                br#"{"request":"kick","name":"a","name":"b"}"#,
                "the member \"name\" is there twice".into(),
            ),
            (
                br#"{"request":"status","x":1}"#,
                "'status' has no other members, and not \"x\"".into(),
            ),
            (
                br#"{"request":"kick","name":"a","nmae":1}"#,
                "'kick' has no member \"nmae\"; it has: name".into(),
            ),
            (
                br#"{"request":"users","cuont":1}"#,
                "'users' has no member \"cuont\"; it has: from, count".into(),
            ),
            (
                br#"{"request":"kick"}"#,
                r#"'name' is missing, such as in {"request":"kick","name":"bob"}"#.into(),
            ),
            (
                br#"{"request":"release"}"#,
                r#"'name' is missing, such as in {"request":"release","name":"bob"}"#.into(),
            ),
            (br#"{"request":"kick","name":5}"#, "'name' has to be a text, and not 5".into()),
            (br#"{"request":"kick","name":null}"#, "'name' has to be a text, and not null".into()),
            (
                br#"{"request":"release","name":{"a":[1]}}"#,
                "'name' has to be a text, and not an object".into(),
            ),
            (br#"{"request":"users","from":-1}"#, format!("'from' {whole} -1")),
            (br#"{"request":"users","from":1.5}"#, format!("'from' {whole} 1.5")),
            (br#"{"request":"users","from":"1"}"#, format!("'from' {whole} \"1\"")),
            (br#"{"request":"users","from":null}"#, format!("'from' {whole} null")),
            (
                br#"{"request":"users","from":99999999999999999999999}"#,
                format!("'from' {whole} 1e+23"),
            ),
            (br#"{"request":"users","count":[1]}"#, format!("'count' {whole} a list")),
            (br#"{"request":"log","last":-1}"#, format!("'last' {whole} -1")),
            (br#"{"request":"log","level":"loud"}"#, format!("{level} \"loud\"")),
            (br#"{"request":"log","level":"silent"}"#, format!("{level} \"silent\"")),
            (br#"{"request":"log","level":3}"#, format!("{level} 3")),
        ]);
    }
}
