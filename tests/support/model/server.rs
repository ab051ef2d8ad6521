//! The model as a server: several connections that speak RESP3, and all that can go wrong with an
//! engine, by switches. Pure: bytes and instants in, bytes out.
//!
//! It has one database, and every client of it begins with `HELLO 3`. Commands are done in the
//! order in which they come, one at a time, as the real one does. `commands.rs` (the parts of a
//! command) and `trouble.rs` (errors) belong to it.

mod commands;
mod trouble;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use sealwax::cluster::resp::{Decoder, Value};
use sealwax::cluster::script::Call;

use self::commands::{Command, error};
pub use self::trouble::Trouble;
use super::super::resp::encode;
use super::{Model, bulk};

/// What a server that ended has when it starts again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// All that it had.
    All,
    /// All but what its last so many calls changed: they were answered, and did not reach the disk.
    /// [`ModelServer::remember`] has to be called before them.
    AllBut(usize),
    Nothing,
}

/// The server. Connections have numbers, which whoever drives it gives.
#[derive(Debug)]
pub struct ModelServer {
    model: Model,
    /// The model before each of the last calls that could change it, the oldest first.
    before: VecDeque<Model>,
    /// How many of those.
    remembered: usize,
    now: Duration,
    connections: BTreeMap<u64, Connection>,
    /// Hashes of the scripts that were loaded.
    loaded: BTreeSet<String>,
    password: Option<(String, String)>,
    trouble: Option<Trouble>,
    is_full: bool,
    is_stopped: bool,
    /// How long answers take.
    delay: Duration,
    /// How many of the next effects are to be answered by the end of the connection.
    losing: u32,
    /// How many of the next calls are answered with what is no answer to them.
    confused: u32,
    /// After so many bytes of answers, or of commands, the connection ends that has the last.
    answers_left: Option<usize>,
    commands_left: Option<usize>,
    /// In how many parts `HSCAN` brings a table.
    parts: u64,
    /// See [`read_anew`](Self::read_anew).
    reads_anew: bool,
    /// How many reads have begun to wait: the first is served first.
    waits: u64,
}

#[derive(Debug, Default)]
struct Connection {
    decoder: Decoder,
    /// Commands that came and were not done.
    commands: VecDeque<Vec<Vec<u8>>>,
    waiting: Option<Waiting>,
    /// Commands that are carried out together; none of them where one was refused.
    transaction: Option<Result<Vec<Command>, ()>>,
    /// Answers, and when each leaves.
    answers: VecDeque<(Duration, Vec<u8>)>,
    is_known: bool,
    /// The server has ended it: what is in `answers` leaves, and nothing else.
    is_over: bool,
    /// The other end is gone.
    is_gone: bool,
}

/// An `XREAD` for which nothing is there yet.
#[derive(Debug)]
struct Waiting {
    turn: u64,
    most: usize,
    streams: Vec<(String, u64)>,
    /// None: for ever.
    until: Option<Duration>,
}

impl Default for ModelServer {
    fn default() -> Self {
        Self {
            model: Model::default(),
            before: VecDeque::new(),
            remembered: 0,
            now: Duration::ZERO,
            connections: BTreeMap::new(),
            loaded: BTreeSet::new(),
            password: None,
            trouble: None,
            is_full: false,
            is_stopped: false,
            delay: Duration::ZERO,
            losing: 0,
            confused: 0,
            answers_left: None,
            commands_left: None,
            parts: 1,
            reads_anew: false,
            waits: 0,
        }
    }
}

/// What whoever drives it does.
impl ModelServer {
    /// Somebody connects.
    pub fn connected(&mut self, connection: u64) {
        let mut new = Connection { is_known: self.password.is_none(), ..Connection::default() };
        if self.is_full {
            new.answers.push_back((self.now, b"-ERR max number of clients reached\r\n".to_vec()));
            new.is_over = true;
        }
        let known = self.connections.insert(connection, new);
        assert!(known.is_none(), "two connections have the number {connection}");
    }

    /// These bytes came.
    ///
    /// # Panics
    /// Where they are no commands: a relay writes RESP.
    pub fn received(&mut self, connection: u64, bytes: &[u8]) {
        let Some(it) = self.connections.get_mut(&connection).filter(|it| !it.is_over) else {
            return;
        };
        let mut input = bytes;
        if let Some(left) = &mut self.commands_left {
            it.is_over = *left <= bytes.len();
            input = &bytes[..bytes.len().min(*left)];
            *left -= input.len();
        }
        let is_cut = it.is_over;
        while let Some(command) = it.decoder.next(&mut input).expect("a relay writes RESP") {
            let parts = command.array().expect("a command is an array").iter();
            it.commands.push_back(parts.map(|it| it.bytes().expect("a text").to_vec()).collect());
        }
        self.work();
        if is_cut {
            self.commands_left = None;
            self.end(connection);
        }
    }

    /// What is to be written to it now.
    pub fn take_output(&mut self, connection: u64) -> Vec<u8> {
        let (now, mut output) = (self.now, Vec::new());
        let Some(it) = self.connections.get_mut(&connection).filter(|_| !self.is_stopped) else {
            return output;
        };
        while let Some((_, bytes)) = it.answers.pop_front_if(|(due, _)| *due <= now) {
            output.extend(bytes);
        }
        if let Some(left) = &mut self.answers_left {
            let is_cut = *left <= output.len() && !output.is_empty();
            output.truncate(*left);
            *left -= output.len();
            if is_cut {
                it.answers.clear(); // they are behind it
                self.answers_left = None;
                self.end(connection);
            }
        }
        output
    }

    /// Whether it is to be closed: all that it gets was taken.
    pub fn is_over(&self, connection: u64) -> bool {
        let it = self.connections.get(&connection);
        it.is_none_or(|it| it.is_over && it.answers.is_empty())
    }

    /// The other end is gone, or it was closed. What came is done all the same.
    pub fn closed(&mut self, connection: u64) {
        let Some(it) = self.connections.get_mut(&connection) else { return };
        (it.is_over, it.is_gone) = (true, true);
        if it.waiting.take().is_some() {
            it.commands.clear();
        }
        self.work();
    }

    /// The time is `now` since any fixed start.
    pub fn advance(&mut self, now: Duration) {
        self.now = now.max(self.now);
        self.work();
    }

    /// When something happens by itself.
    pub fn due(&self) -> Option<Duration> {
        let all = self.connections.values().filter(|_| !self.is_stopped);
        let all = all.flat_map(|it| {
            let answer = it.answers.front().map(|(due, _)| *due);
            let waiting = it.waiting.as_ref().and_then(|waiting| waiting.until);
            [answer, waiting.filter(|_| !it.is_over)]
        });
        all.flatten().min()
    }

    /// The numbers of all connections.
    pub fn connections(&self) -> Vec<u64> {
        self.connections.keys().copied().collect()
    }

    /// What it keeps.
    pub const fn model(&self) -> &Model {
        &self.model
    }

    /// Runs a script, as for a connection on which nothing goes wrong.
    pub fn call(&mut self, call: &Call) -> Value {
        self.model.call(call)
    }
}

/// What a test has go wrong.
impl ModelServer {
    /// It asks for a password from now on.
    pub fn require(&mut self, user: &str, password: &str) {
        self.password = Some((user.to_owned(), password.to_owned()));
    }

    /// It answers with this error what the error concerns; none: no more.
    pub const fn set_trouble(&mut self, trouble: Option<Trouble>) {
        self.trouble = trouble;
    }

    /// It takes connections only to say that it has too many.
    pub const fn set_full(&mut self, is_full: bool) {
        self.is_full = is_full;
    }

    /// It does nothing (`SIGSTOP`), until [`go_on`](Self::go_on).
    pub const fn stop(&mut self) {
        self.is_stopped = true;
    }

    /// It does what came meanwhile.
    pub fn go_on(&mut self) {
        self.is_stopped = false;
        self.work();
    }

    /// See [`stop`](Self::stop).
    pub const fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// Answers take so long from now on.
    pub const fn set_delay(&mut self, delay: Duration) {
        self.delay = delay;
    }

    /// The next so many calls that change something are done, and their connections end before the
    /// answers.
    pub const fn lose_answers(&mut self, calls: u32) {
        self.losing = calls;
    }

    /// The next so many calls are done, and answered with a number, which answers none of them.
    pub const fn confuse(&mut self, calls: u32) {
        self.confused = calls;
    }

    /// The connection ends that gets the answers' byte of this number from now on, behind it.
    pub const fn cut_answers(&mut self, bytes: usize) {
        self.answers_left = Some(bytes);
    }

    /// The connection ends on which the commands' byte of this number comes, behind it.
    pub const fn cut_commands(&mut self, bytes: usize) {
        self.commands_left = Some(bytes);
    }

    /// Whether it answers some commands with an error.
    pub const fn is_refusing(&self) -> bool {
        self.trouble.is_some()
    }

    /// Whether something is wrong with it, or is to go wrong.
    pub fn is_troubled(&self) -> bool {
        let is_cut =
            [self.answers_left, self.commands_left].iter().flatten().any(|it| *it < usize::MAX);
        self.is_stopped
            || self.is_full
            || self.trouble.is_some()
            || self.losing + self.confused > 0
            || is_cut
    }

    /// Whether a cut that was ordered is still to come.
    pub const fn has_cut(&self) -> bool {
        self.answers_left.is_some() || self.commands_left.is_some()
    }

    /// `HSCAN` brings a table in so many parts.
    pub const fn scan_in(&mut self, parts: u64) {
        self.parts = parts;
    }

    /// A read that had to wait brings all its streams, as with Redis from 7.2 on and with each
    /// Valkey, and not one alone.
    pub const fn read_anew(&mut self, is_so: bool) {
        self.reads_anew = is_so;
    }

    /// The last so many calls can be lost with [`restart`](Self::restart). For each it keeps a copy
    /// of everything.
    pub const fn remember(&mut self, calls: usize) {
        self.remembered = calls;
    }

    /// See [`Model::append_foreign`].
    pub fn append_foreign(&mut self, relay: &str, ahead: u64) {
        self.note_before();
        self.model.append_foreign(relay, ahead);
    }

    /// Everything in it is deleted (`FLUSHALL`), and it goes on.
    pub fn empty(&mut self) {
        self.note_before();
        self.model.empty();
    }

    /// Its scripts are deleted (`SCRIPT FLUSH`).
    pub fn lose_scripts(&mut self) {
        self.loaded.clear();
    }

    /// It ends and starts again, with what it has kept: no connections, and no scripts.
    ///
    /// # Panics
    /// Where more is to be lost than is remembered.
    pub fn restart(&mut self, kept: Kept) {
        match kept {
            Kept::All | Kept::AllBut(0) => {}
            Kept::AllBut(calls) => {
                assert!(calls <= self.remembered, "{calls} calls are not remembered");
                let place = self.before.len().saturating_sub(calls);
                if let Some(earlier) = self.before.drain(place..).next() {
                    self.model = earlier;
                }
            }
            Kept::Nothing => self.model.empty(),
        }
        self.before.clear();
        self.loaded.clear();
        self.is_stopped = false;
        for it in self.connections.values_mut() {
            *it = Connection { is_over: true, ..Connection::default() };
        }
        self.work();
    }
}

impl ModelServer {
    /// The connection ends. What its answers are up to now leaves.
    fn end(&mut self, connection: u64) {
        if let Some(it) = self.connections.get_mut(&connection) {
            (it.is_over, it.waiting) = (true, None);
            it.commands.clear();
        }
    }

    /// Keeps what is there before something changes it.
    fn note_before(&mut self) {
        if self.remembered == 0 {
            return;
        }
        if self.before.len() == self.remembered {
            self.before.pop_front();
        }
        self.before.push_back(self.model.clone());
    }

    /// Does what can be done now.
    fn work(&mut self) {
        if self.is_stopped {
            return;
        }
        self.model.advance(self.now.saturating_sub(self.model.now));
        loop {
            self.serve_waiting();
            let can_go_on = |it: &Connection| it.waiting.is_none() && !it.commands.is_empty();
            let next = self.connections.iter_mut().find(|(_, it)| can_go_on(it));
            let next = next.and_then(|(&number, it)| Some((number, it.commands.pop_front()?)));
            let Some((number, parts)) = next else { break };
            if let Some(answer) = self.execute(number, &parts) {
                self.answer(number, &answer);
            }
        }
        self.connections.retain(|_, it| !it.is_gone);
    }

    /// Answers the reads for which something has come, or whose time is over. A read that had to
    /// wait brings one stream alone, that which was appended to first, or all of them
    /// ([`read_anew`](Self::read_anew)).
    fn serve_waiting(&mut self) {
        for key in std::mem::take(&mut self.model.appended) {
            for number in self.waiting() {
                let it = self.connections.get_mut(&number);
                let Some(read) = it.and_then(|it| it.waiting.as_ref()) else { continue };
                if !read.streams.iter().any(|it| it.0 == key) {
                    continue;
                }
                let brings = |it: &&(String, u64)| self.reads_anew || it.0 == key;
                let streams: Vec<_> = read.streams.iter().filter(brings).cloned().collect();
                let mut found = self.model.read(read.most, &streams);
                // Redis 7.0 wakes a reader also where what was appended was taken back.
                let has_moved = streams.iter().any(|(name, it)| *it < self.model.last(name));
                if found == Value::Null && !self.reads_anew && has_moved {
                    found = Value::Map(vec![bulk(&key), Value::Array(Vec::new())]);
                }
                if found != Value::Null {
                    self.wake(number, &found);
                }
            }
        }
        for number in self.waiting() {
            let it = self.connections.get(&number).and_then(|it| it.waiting.as_ref());
            if it.and_then(|it| it.until).is_some_and(|until| until <= self.now) {
                self.wake(number, &Value::Null);
            }
        }
    }

    /// The connections that wait, those first that have waited for longest.
    fn waiting(&self) -> Vec<u64> {
        let waiting = self.connections.iter();
        let turns = waiting.filter_map(|(&number, it)| Some((it.waiting.as_ref()?.turn, number)));
        let sorted: BTreeMap<u64, u64> = turns.collect();
        sorted.into_values().collect()
    }

    fn wake(&mut self, connection: u64, found: &Value) {
        if let Some(it) = self.connections.get_mut(&connection) {
            it.waiting = None;
        }
        self.answer(connection, found);
    }

    fn answer(&mut self, connection: u64, value: &Value) {
        let Some(it) = self.connections.get_mut(&connection).filter(|it| !it.is_over) else {
            return;
        };
        let mut bytes = Vec::new();
        encode(&mut bytes, value);
        let due = self.now + self.delay;
        let due = it.answers.back().map_or(due, |(last, _)| due.max(*last));
        it.answers.push_back((due, bytes));
    }

    /// A command is refused, and with it the transaction that it is a part of.
    fn refuse(&mut self, connection: u64, error: Value) -> Value {
        let it = self.connections.get_mut(&connection);
        if let Some(transaction) = it.and_then(|it| it.transaction.as_mut()) {
            *transaction = Err(());
        }
        error
    }

    /// Does a command; none: its answer comes later, or not at all.
    fn execute(&mut self, connection: u64, parts: &[Vec<u8>]) -> Option<Value> {
        let command = match Command::parse(parts) {
            Ok(command) => command,
            Err(error) => return Some(self.refuse(connection, error)),
        };
        let is_known = self.connections.get(&connection)?.is_known;
        if let Some(error) = self.refusal(&command, is_known) {
            return Some(self.refuse(connection, error));
        }
        let it = self.connections.get_mut(&connection)?;
        match (command, it.transaction.take()) {
            (Command::Multi, None) => {
                it.transaction = Some(Ok(Vec::new()));
                Some(Value::Simple(b"OK".to_vec()))
            }
            (Command::Exec, Some(Ok(commands))) => self.execute_all(connection, commands),
            (Command::Exec, Some(Err(()))) => {
                Some(error("EXECABORT Transaction discarded because of previous errors."))
            }
            (command, Some(commands)) => {
                it.transaction = Some(commands.map(|mut all| {
                    all.push(command);
                    all
                }));
                Some(Value::Simple(b"QUEUED".to_vec()))
            }
            (command, None) => self.carry_out(connection, command),
        }
    }

    /// Does the commands of a transaction.
    fn execute_all(&mut self, connection: u64, commands: Vec<Command>) -> Option<Value> {
        self.note_before();
        let mut answers = Vec::new();
        for command in commands {
            answers.push(match command {
                Command::Call { script, keys, args } => {
                    let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
                    self.model.run(script, &keys, &args)
                }
                other => self.simple(other),
            });
        }
        if self.losing > 0 {
            self.losing -= 1;
            self.end(connection);
            return None;
        }
        Some(Value::Array(answers))
    }

    /// Does a command that is in no transaction.
    fn carry_out(&mut self, connection: u64, command: Command) -> Option<Value> {
        match command {
            Command::Hello { with } => Some(self.hello(connection, with)),
            Command::Read { most, streams, wait } => {
                let found = self.model.read(most, &streams);
                if found != Value::Null || wait.is_none() {
                    return Some(found);
                }
                self.waits += 1;
                // To wait for no time at all is to wait for ever.
                let until = wait.filter(|wait| !wait.is_zero()).map(|wait| self.now + wait);
                let waiting = Waiting { turn: self.waits, most, streams, until };
                self.connections.get_mut(&connection)?.waiting = Some(waiting);
                None
            }
            Command::Call { script, keys, args } => {
                let changes = trouble::changes(script);
                if changes {
                    self.note_before();
                }
                let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
                let answer = self.model.run(script, &keys, &args);
                if changes && self.losing > 0 {
                    self.losing -= 1;
                    self.end(connection);
                    return None;
                }
                if self.confused > 0 {
                    self.confused -= 1;
                    return Some(Value::Int(0));
                }
                Some(answer)
            }
            other => Some(self.simple(other)),
        }
    }
}
