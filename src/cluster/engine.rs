//! One connection to the engine: commands to bytes, and bytes to answers.
//!
//! Pure: it is given what came from the socket, and says what is to be written there. A connection
//! begins with `HELLO 3` and the checks of what answers ([`EngineFault`] has what can be wrong),
//! and each script is loaded. Then commands leave in the order in which they were asked, as many at
//! a time as may be under way, and each answer comes under the ticket of its command.
//!
//! A fault ends the connection: no later answer could be trusted to be the one to its command. Of
//! what was under way then it is not known whether the engine did it.

use std::collections::VecDeque;

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::fault::{CallFault, EngineFault, quoted};
use super::keys;
use super::limits::{BYTES_UNDER_WAY, COMMANDS_UNDER_WAY, LEAST_VERSION};
use super::names;
use super::place::Incarnation;
use super::resp::{Decoder, Value, encode_command};
use super::script::{Call, Script};

/// The engine's password: erased on drop, and never shown.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Password(Vec<u8>);

impl Password {
    /// These bytes.
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

/// What a relay brings to each connection.
pub struct Settings {
    /// The user of the engine, if it is not `default`.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<Password>,
    /// The number of the database.
    pub database: u32,
    /// The cluster that this relay belongs to, once it knows.
    pub id: Option<String>,
    /// The public half of the relays' common key, in base64url.
    pub relay_key: String,
    /// The id of a cluster that is to begin here, where none has (`--cluster-init`).
    pub begins: Option<String>,
}

/// Tells answers apart. Only the caller knows what a ticket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What the engine made of a command.
pub type Answer = (Ticket, Result<Value, CallFault>);

/// Why a command was not taken. It may be later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// The checks are not over, or the connection has ended.
    NotReady,
    /// As much is under way as may be.
    Full,
}

/// One connection to the engine.
pub struct Engine {
    decoder: Decoder,
    output: Vec<u8>,
    under_way: VecDeque<UnderWay>,
    bytes_under_way: usize,
    /// Why a part of the transaction that is being answered was refused.
    refused_part: Option<Vec<u8>>,
    answers: VecDeque<Answer>,
    /// The hash of each script, in the order of [`Script::ALL`].
    hashes: Vec<Vec<u8>>,
    expected: Expected,
    is_ready: bool,
    fault: Option<EngineFault>,
}

/// What the checks compare with.
struct Expected {
    own: Incarnation,
    database: u32,
    id: Option<String>,
    relay_key: String,
    begins: Option<String>,
    /// What the engine says: its cluster, and the key of its relays.
    found: (Option<String>, Option<String>),
}

/// A command that was not answered yet.
struct UnderWay {
    what: Command,
    bytes: usize,
}

#[derive(Clone, Copy)]
enum Command {
    Hello,
    Select,
    Memory,
    Id,
    RelayKey,
    Load,
    Init,
    Asked(Ticket, &'static str),
    /// A part of a transaction, whose answer comes with that of the whole.
    Part,
    /// The whole of a transaction.
    Exec(Ticket, &'static str),
}

impl Engine {
    /// A new connection of the relay `own`; its first bytes are in [`output`](Self::take_output).
    pub fn new(own: Incarnation, settings: &Settings) -> Self {
        let expected = Expected {
            own,
            database: settings.database,
            id: settings.id.clone(),
            relay_key: settings.relay_key.clone(),
            begins: settings.begins.clone(),
            found: (None, None),
        };
        let mut engine = Self {
            decoder: Decoder::default(),
            output: Vec::new(),
            under_way: VecDeque::new(),
            bytes_under_way: 0,
            refused_part: None,
            answers: VecDeque::new(),
            hashes: Vec::with_capacity(Script::ALL.len()),
            expected,
            is_ready: false,
            fault: None,
        };
        let mut hello: Vec<&[u8]> = vec![b"HELLO", b"3"];
        if let Some(password) = &settings.password {
            let user = settings.user.as_deref().unwrap_or("default");
            hello.extend([b"AUTH".as_slice(), user.as_bytes(), &password.0]);
        }
        engine.command(Command::Hello, &hello);
        let database = settings.database.to_string();
        engine.command(Command::Select, &["SELECT", &database]);
        engine.command(Command::Memory, &["INFO", "memory"]);
        engine.command(Command::Id, &["GET", keys::ID]);
        engine.command(Command::RelayKey, &["GET", keys::RELAY_KEY]);
        for script in Script::ALL {
            engine.command(Command::Load, &["SCRIPT", "LOAD", &script.source()]);
        }
        engine
    }

    /// Whether the checks are over, and commands are taken.
    pub const fn is_ready(&self) -> bool {
        self.is_ready && self.fault.is_none()
    }

    /// The id of the cluster, once the connection is ready.
    pub fn cluster(&self) -> Option<&str> {
        self.expected.found.0.as_deref().filter(|_| self.is_ready)
    }

    /// Takes what is to be written. The first of it has the password in it.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Has a script run; its answer comes under this ticket.
    pub fn call(&mut self, ticket: Ticket, call: &Call) -> Result<(), NotTaken> {
        self.check_room()?;
        let name = call.script.name();
        if let Some(before) = &call.before {
            self.command(Command::Part, &["MULTI"]);
            self.command(Command::Part, before);
            self.send_call(Command::Part, call);
            self.command(Command::Exec(ticket, name), &["EXEC"]);
        } else {
            self.send_call(Command::Asked(ticket, name), call);
        }
        Ok(())
    }

    /// The same for a command that reads.
    pub fn ask(
        &mut self,
        ticket: Ticket,
        name: &'static str,
        command: &[Vec<u8>],
    ) -> Result<(), NotTaken> {
        self.check_room()?;
        self.command(Command::Asked(ticket, name), command);
        Ok(())
    }

    /// Takes what came from the engine. After a fault the connection is to be closed.
    pub fn received(&mut self, bytes: &[u8]) -> Result<(), EngineFault> {
        let mut input = bytes;
        while self.fault.is_none() {
            let settled = match self.decoder.next(&mut input) {
                Ok(Some(value)) => self.settle(value),
                Ok(None) => return Ok(()),
                Err(fault) => Err(fault.into()),
            };
            self.fault = settled.err();
        }
        self.fault.clone().map_or(Ok(()), Err)
    }

    /// The next answer that has come.
    pub fn next_answer(&mut self) -> Option<Answer> {
        self.answers.pop_front()
    }

    /// The tickets of what was asked and not answered, in order: the connection has ended.
    pub fn unanswered(&self) -> impl Iterator<Item = Ticket> {
        self.under_way.iter().filter_map(|it| match it.what {
            Command::Asked(ticket, _) | Command::Exec(ticket, _) => Some(ticket),
            _ => None,
        })
    }

    /// How many commands are under way.
    pub fn len(&self) -> usize {
        self.under_way.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }

    /// Whether a command would be taken now.
    pub fn check_room(&self) -> Result<(), NotTaken> {
        if !self.is_ready() {
            return Err(NotTaken::NotReady);
        }
        let is_full =
            self.under_way.len() >= COMMANDS_UNDER_WAY || self.bytes_under_way >= BYTES_UNDER_WAY;
        if is_full { Err(NotTaken::Full) } else { Ok(()) }
    }

    fn command<P: AsRef<[u8]>>(&mut self, what: Command, parts: &[P]) {
        let before = self.output.len();
        encode_command(&mut self.output, parts);
        let bytes = self.output.len() - before;
        self.bytes_under_way += bytes;
        self.under_way.push_back(UnderWay { what, bytes });
    }

    fn send_call(&mut self, what: Command, call: &Call) {
        let place = Script::ALL.iter().position(|script| *script == call.script);
        let hash = place.and_then(|place| self.hashes.get(place)).cloned().unwrap_or_default();
        let count = call.keys.len().to_string();
        let mut parts: Vec<&[u8]> = vec![b"EVALSHA", &hash, count.as_bytes()];
        parts.extend(call.keys.iter().map(String::as_bytes));
        parts.extend(call.args.iter().map(Vec::as_slice));
        self.command(what, &parts);
    }

    /// Gives an answer to the command that has waited for longest.
    fn settle(&mut self, value: Value) -> Result<(), EngineFault> {
        if matches!(value, Value::Push(_)) {
            return Err(EngineFault::Unasked);
        }
        let UnderWay { what, bytes } = self.under_way.pop_front().ok_or(EngineFault::Unasked)?;
        self.bytes_under_way -= bytes;
        let (value, asked) = match what {
            Command::Asked(ticket, name) => (value, Some((ticket, name))),
            Command::Exec(ticket, name) => (self.of_transaction(value)?, Some((ticket, name))),
            Command::Part => {
                if let Value::Error(error) = value {
                    self.refused_part.get_or_insert(error);
                }
                return Ok(());
            }
            _ => (value, None),
        };
        if let Some((ticket, name)) = asked {
            let answer = match value {
                Value::Error(error) => Err(CallFault::of_error(&error).ok_or_else(|| {
                    // It ends the connection, and this command was not answered either.
                    self.under_way.push_front(UnderWay { what, bytes: 0 });
                    EngineFault::of_error(&error, name)
                })?),
                value => Ok(value),
            };
            self.answers.push_back((ticket, answer));
            return Ok(());
        }
        if let Value::Error(error) = &value {
            return Err(self.refused(what, error));
        }
        self.check(what, &value)?;
        if self.under_way.is_empty() { self.conclude() } else { Ok(()) }
    }

    /// What a transaction has answered: the first error, or what its last part says.
    fn of_transaction(&mut self, value: Value) -> Result<Value, EngineFault> {
        match (self.refused_part.take(), value) {
            (Some(error), Value::Error(_)) => Ok(Value::Error(error)),
            (_, error @ Value::Error(_)) => Ok(error),
            (_, Value::Array(mut parts)) => {
                let refused = parts.iter().position(|part| matches!(part, Value::Error(_)));
                let told = refused.map(|place| parts.swap_remove(place)).or_else(|| parts.pop());
                told.ok_or(EngineFault::WrongAnswer { to: "EXEC" })
            }
            _ => Err(EngineFault::WrongAnswer { to: "EXEC" }),
        }
    }

    /// What it means that a command of the beginning was refused.
    fn refused(&self, what: Command, error: &[u8]) -> EngineFault {
        let is_unknown = error.starts_with(b"ERR");
        match what {
            Command::Hello if error.starts_with(b"ERR unknown command") => {
                EngineFault::TooOld("one without HELLO".to_owned())
            }
            // A server without a password says so in words of its own.
            Command::Hello if error.starts_with(b"ERR AUTH") => EngineFault::WrongPassword,
            Command::Select if is_unknown => EngineFault::NoDatabase(self.expected.database),
            _ => EngineFault::of_error(error, what.name()),
        }
    }

    /// Checks an answer of the beginning.
    fn check(&mut self, what: Command, value: &Value) -> Result<(), EngineFault> {
        let wrong = EngineFault::WrongAnswer { to: what.name() };
        match what {
            Command::Hello => check_server(value),
            Command::Select if value.bytes() == Some(b"OK") => Ok(()),
            Command::Memory => check_memory(value.bytes().ok_or(wrong)?),
            Command::Id | Command::RelayKey => {
                let found = match value {
                    Value::Null => None,
                    value => Some(value.text().ok_or(wrong)?.to_owned()),
                };
                let (id, key) = &mut self.expected.found;
                *(if matches!(what, Command::Id) { id } else { key }) = found;
                Ok(())
            }
            Command::Load => {
                let is_hash = |hash: &&[u8]| hash.len() == 40 && hash.is_ascii();
                self.hashes.push(value.bytes().filter(is_hash).ok_or(wrong)?.to_vec());
                Ok(())
            }
            Command::Init => {
                let (id, key) = names::initialized(value)?;
                self.expected.found = (Some(id), Some(key));
                Ok(())
            }
            Command::Select | Command::Part | Command::Asked(..) | Command::Exec(..) => Err(wrong),
        }
    }

    /// All of the beginning was answered: begins the cluster where it is to, or is ready.
    fn conclude(&mut self) -> Result<(), EngineFault> {
        let Expected { own, id, relay_key, begins, found, .. } = &mut self.expected;
        let (found_id, found_key) = found;
        let Some(found_id) = found_id else {
            let begins = begins.take().ok_or(EngineFault::NoCluster)?;
            let call = names::init(*own, &begins, relay_key);
            self.send_call(Command::Init, &call);
            return Ok(());
        };
        if id.as_ref().is_some_and(|id| id != found_id) {
            return Err(EngineFault::OtherCluster(quoted(found_id.as_bytes())));
        }
        if found_key.as_ref() != Some(relay_key) {
            return Err(EngineFault::OtherRelayKey);
        }
        self.is_ready = true;
        Ok(())
    }
}

impl Command {
    const fn name(self) -> &'static str {
        match self {
            Self::Hello => "HELLO",
            Self::Select => "SELECT",
            Self::Memory => "INFO",
            Self::Id | Self::RelayKey => "GET",
            Self::Load => "SCRIPT LOAD",
            Self::Init => "init",
            Self::Part => "MULTI",
            Self::Asked(_, name) | Self::Exec(_, name) => name,
        }
    }
}

/// Checks what a server says of itself (<https://redis.io/docs/latest/commands/hello/>).
fn check_server(hello: &Value) -> Result<(), EngineFault> {
    let wrong = EngineFault::WrongAnswer { to: "HELLO" };
    let told = |name: &str| {
        let mut pairs = hello.pairs()?;
        pairs.find(|(key, _)| key.text() == Some(name)).and_then(|(_, value)| value.text())
    };
    let name = told("server").ok_or_else(|| wrong.clone())?;
    if !["redis", "valkey"].contains(&name) {
        return Err(EngineFault::OtherServer(quoted(name.as_bytes())));
    }
    let version = told("version").ok_or_else(|| wrong.clone())?;
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().ok());
    let (Some(Some(major)), Some(Some(minor))) = (numbers.next(), numbers.next()) else {
        return Err(wrong);
    };
    if (major, minor) < LEAST_VERSION {
        return Err(EngineFault::TooOld(quoted(format!("{name} {version}").as_bytes())));
    }
    match told("mode") {
        Some("cluster") => return Err(EngineFault::Sharded),
        Some("sentinel") => return Err(EngineFault::Sentinel),
        _ => {}
    }
    match told("role") {
        Some("master") => Ok(()),
        Some("replica" | "slave") => Err(EngineFault::Replica),
        _ => Err(wrong),
    }
}

/// Checks that the engine deletes nothing when its memory is full.
fn check_memory(info: &[u8]) -> Result<(), EngineFault> {
    let mut lines = info.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    let policy = lines.find_map(|line| line.strip_prefix(b"maxmemory_policy:"));
    match policy {
        Some(b"noeviction") => Ok(()),
        Some(policy) => Err(EngineFault::Evicts(quoted(policy))),
        None => Err(EngineFault::WrongAnswer { to: "INFO" }),
    }
}
