//! The commands that relays send, and their answers.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use sealwax::cluster::resp::Value;
use sealwax::cluster::script::Script;

use super::super::{bulk, entry_number, string};
use super::ModelServer;
use super::trouble::Trouble;

/// A command, with all that it needs.
#[derive(Debug)]
pub(super) enum Command {
    Hello {
        with: Option<(String, String)>,
    },
    Ping,
    Select(u32),
    Memory,
    Get(String),
    Load(Script),
    Call {
        script: Script,
        keys: Vec<String>,
        args: Vec<Vec<u8>>,
    },
    /// A script that nobody has loaded.
    CallUnknown,
    Scan {
        key: String,
        cursor: u64,
    },
    Multi,
    Exec,
    /// `XADD`, of which the model knows one form.
    Append(Vec<Vec<u8>>),
    Read {
        most: usize,
        streams: Vec<(String, u64)>,
        wait: Option<Duration>,
    },
}

/// An error of the engine.
pub(super) fn error(text: &str) -> Value {
    Value::Error(text.as_bytes().to_vec())
}

const NO_NUMBER: &str = "ERR value is not an integer or out of range";
const SYNTAX: &str = "ERR syntax error";

/// Each script by its text.
static SOURCES: LazyLock<BTreeMap<String, Script>> =
    LazyLock::new(|| Script::ALL.iter().map(|script| (script.source(), *script)).collect());

/// The text by which a script is called: 40 digits, as the hash of a real engine has.
fn hash(script: Script) -> String {
    let place = Script::ALL.iter().position(|it| *it == script).expect("one of all");
    format!("{place:040}")
}

impl Command {
    /// Reads a command; the error is what the engine answers.
    pub(super) fn parse(parts: &[Vec<u8>]) -> Result<Self, Value> {
        let words: Vec<_> = parts.iter().map(|part| String::from_utf8_lossy(part)).collect();
        let words: Vec<&str> = words.iter().map(|word| &**word).collect();
        Ok(match *words.as_slice() {
            ["HELLO", "3"] => Self::Hello { with: None },
            ["HELLO", "3", "AUTH", user, password] => {
                Self::Hello { with: Some((user.to_owned(), password.to_owned())) }
            }
            ["HELLO", _, ..] => return Err(error("NOPROTO unsupported protocol version")),
            ["PING"] => Self::Ping,
            ["SELECT", database] => Self::Select(database.parse().map_err(|_| error(NO_NUMBER))?),
            ["INFO", "memory"] => Self::Memory,
            ["GET", key] => Self::Get(key.to_owned()),
            ["SCRIPT", "LOAD", source] => {
                let known = SOURCES.get(source).copied();
                Self::Load(known.ok_or_else(|| error("ERR the model knows our scripts only"))?)
            }
            ["EVALSHA", hash, count, ..] => Self::call(hash, count, &parts[3..])?,
            ["HSCAN", key, cursor, "COUNT", _] => {
                let cursor = cursor.parse().map_err(|_| error("ERR invalid cursor"))?;
                Self::Scan { key: key.to_owned(), cursor }
            }
            ["MULTI"] => Self::Multi,
            ["EXEC"] => Self::Exec,
            ["XADD", _, "0-*", "kind", _, "from", _, "data", _] => Self::Append(parts.to_vec()),
            ["XREAD", ref options @ ..] => Self::read(options)?,
            ["GET" | "EVALSHA" | "SELECT" | "HSCAN", ..] => {
                let name = words[0].to_lowercase();
                let text = format!("ERR wrong number of arguments for '{name}' command");
                return Err(error(&text));
            }
            _ => return Err(error(&format!("ERR unknown command {words:?}"))),
        })
    }

    fn call(called: &str, count: &str, parts: &[Vec<u8>]) -> Result<Self, Value> {
        let count: usize = count.parse().map_err(|_| error(NO_NUMBER))?;
        if count > parts.len() {
            return Err(error("ERR Number of keys can't be greater than number of args"));
        }
        let script = Script::ALL.iter().find(|script| hash(**script) == called);
        let Some(&script) = script else { return Ok(Self::CallUnknown) };
        let (keys, args) = parts.split_at(count);
        Ok(Self::Call {
            script,
            keys: keys.iter().map(|key| string(key)).collect(),
            args: args.to_vec(),
        })
    }

    /// `XREAD [COUNT number] [BLOCK milliseconds] STREAMS key… id…`
    fn read(mut options: &[&str]) -> Result<Self, Value> {
        let (mut most, mut wait) = (usize::MAX, None);
        loop {
            match *options {
                ["COUNT", count, ref rest @ ..] => {
                    most = count.parse().map_err(|_| error(NO_NUMBER))?;
                    options = rest;
                }
                ["BLOCK", time, ref rest @ ..] => {
                    let time = time.parse().map_err(|_| error(NO_NUMBER))?;
                    wait = Some(Duration::from_millis(time));
                    options = rest;
                }
                ["STREAMS", ref rest @ ..] if !rest.is_empty() && rest.len() % 2 == 0 => {
                    let (keys, ids) = rest.split_at(rest.len() / 2);
                    let stream =
                        |(key, id): (&&str, &&str)| Some(((*key).to_owned(), entry_number(id)?));
                    let streams = keys.iter().zip(ids).map(stream).collect::<Option<_>>();
                    let streams = streams.ok_or_else(|| error("ERR Invalid stream ID"))?;
                    return Ok(Self::Read { most, streams, wait });
                }
                ["STREAMS", ..] => return Err(error("ERR Unbalanced XREAD list of streams")),
                _ => return Err(error(SYNTAX)),
            }
        }
    }
}

impl ModelServer {
    pub(super) fn hello(&mut self, connection: u64, with: Option<(String, String)>) -> Value {
        let Some(it) = self.connections.get_mut(&connection) else { return Value::Null };
        if with.is_some() {
            // Without a password of its own it takes each for the user `default`.
            let is_right = match &self.password {
                Some(_) => with == self.password,
                None => with.is_some_and(|(user, _)| user == "default"),
            };
            it.is_known |= is_right;
            if !is_right {
                let text = "WRONGPASS invalid username-password pair or user is disabled.";
                return error(text);
            }
        }
        if !it.is_known {
            return error("NOAUTH HELLO must be called with the client already authenticated");
        }
        let role = if self.trouble == Some(Trouble::ReadOnly) { "replica" } else { "master" };
        let number = Value::Int(i64::try_from(connection).unwrap_or(i64::MAX));
        let told = [
            ("server", bulk("redis")),
            ("version", bulk("7.0.15")),
            ("proto", Value::Int(3)),
            ("id", number),
            ("mode", bulk("standalone")),
            ("role", bulk(role)),
            ("modules", Value::Array(Vec::new())),
        ];
        Value::Map(told.into_iter().flat_map(|(name, value)| [bulk(name), value]).collect())
    }

    /// A command that is answered at once and changes nothing in the model.
    pub(super) fn simple(&mut self, command: Command) -> Value {
        let ok = |text: &str| Value::Simple(text.as_bytes().to_vec());
        match command {
            Command::Ping => ok("PONG"),
            Command::Select(0) => ok("OK"),
            Command::Select(_) => error("ERR DB index is out of range"),
            Command::Memory => {
                Value::Verbatim(b"# Memory\r\nmaxmemory_policy:noeviction\r\n".to_vec())
            }
            Command::Get(key) => self.model.get(&key).map_or(Value::Null, bulk),
            Command::Load(script) => {
                self.loaded.insert(script.name().to_owned());
                bulk(hash(script))
            }
            Command::Scan { key, cursor } => self.scan(&key, cursor),
            Command::CallUnknown | Command::Call { .. } => {
                error("NOSCRIPT No matching script. Please use EVAL.")
            }
            Command::Append(parts) => self.model.append_command(&parts),
            Command::Multi => error("ERR MULTI calls can not be nested"),
            Command::Exec => error("ERR EXEC without MULTI"),
            Command::Hello { .. } | Command::Read { .. } => error(SYNTAX),
        }
    }

    /// The part of a table with this cursor: as with the real one, a name that is there all the
    /// while comes in one of the parts.
    fn scan(&self, key: &str, cursor: u64) -> Value {
        let part = |name: &str| name.bytes().map(u64::from).sum::<u64>() % self.parts;
        let all = self.model.hash(key).into_iter().filter(|(name, _)| part(name) == cursor);
        let found = all.flat_map(|(name, value)| [bulk(name), bulk(value)]).collect();
        let next = if cursor + 1 < self.parts { cursor + 1 } else { 0 };
        Value::Array(vec![bulk(next.to_string()), Value::Array(found)])
    }
}
