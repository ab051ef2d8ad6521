//! An engine that is measured, and a relay's connection to it.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use sealwax::cluster::Incarnation;
use sealwax::cluster::engine::{Engine, Settings, Ticket};
use sealwax::cluster::names::{self, LeaseStep};
use sealwax::cluster::resp::Value;
use sealwax::cluster::script::Call;

use crate::support::redis::Redis;

/// The cluster of the bench.
const ID: &str = "0123456789abcdef0123456789abcdef";

/// An engine on a port of loopback.
pub(crate) struct Server {
    redis: Redis,
    pub(crate) address: SocketAddr,
}

/// What engine there is; `None`, after saying so, where there is none.
pub(crate) fn about() -> Option<String> {
    let server = Server::start(false)?;
    let info = server.info("server");
    let told = |name: &str| field(&info, name).map(|value| format!("{name} {value}"));
    let all = ["redis_version", "valkey_version"].into_iter().filter_map(told);
    Some(all.collect::<Vec<_>>().join(", "))
}

impl Server {
    /// Starts one, which writes a log of what changes (`--appendonly yes`) or does not.
    pub(crate) fn start(has_log: bool) -> Option<Self> {
        // Free a moment ago; the engine ends where it is not any more.
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = free.local_addr().expect("it has one");
        drop(free);
        let port = address.port().to_string();
        let log = if has_log { "yes" } else { "no" };
        // A log that is written anew would be in the figures of some rounds and not of others.
        let anew = "auto-aof-rewrite-percentage";
        let options = ["--port", &port, "--appendonly", log, &format!("--{anew}"), "0"];
        Some(Self { redis: Redis::start(&options)?, address })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.redis.process().pid()
    }

    /// What it has used of a processor: its main thread, which does all commands.
    pub(crate) fn cpu(&self) -> Duration {
        cpu(self.pid())
    }

    /// A command that is not measured.
    pub(crate) fn ask<P: AsRef<[u8]>>(&self, command: &[P]) -> Value {
        self.redis.plain().ask(command)
    }

    fn info(&self, section: &str) -> String {
        let answer = self.ask(&["INFO", section]);
        String::from_utf8_lossy(answer.bytes().expect("a text")).into_owned()
    }

    /// Bytes that it has allocated, without the stream of changes, which is bounded.
    pub(crate) fn memory(&self) -> u64 {
        let info = self.info("memory");
        let used = field(&info, "used_memory").expect("documented");
        let changes = self.ask(&["MEMORY", "USAGE", "sealwax:changes", "SAMPLES", "0"]);
        used.parse::<u64>().expect("a number") - changes.number().unwrap_or_default()
    }

    /// How often a command was done.
    pub(crate) fn count(&self, command: &str) -> u64 {
        let info = self.info("commandstats");
        let calls = field(&info, &format!("cmdstat_{command}"));
        let calls = calls.and_then(|text| text.strip_prefix("calls=")?.split(',').next());
        calls.map_or(0, |text| text.parse().expect("a number"))
    }

    /// A relay of this number, with a lease that does not end.
    pub(crate) fn link(&self, number: u8) -> Link {
        let text = |key: &str| self.ask(&["GET", key]).text().map(str::to_owned);
        let relay_key = text("sealwax:relay-key").unwrap_or_else(|| "the-public-half".to_owned());
        let id = text("sealwax:id").unwrap_or_else(|| ID.to_owned());
        let settings = Settings {
            user: None,
            password: None,
            database: 0,
            id: None,
            relay_key,
            begins: Some(id.clone()),
        };
        let own = Incarnation([number; 16]);
        let stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_nodelay(true).expect("a socket");
        let mut link = Link { own, engine: Engine::new(own, &settings), stream, id, read_up_to: 0 };
        link.run(Engine::is_ready);
        link.take();
        link
    }
}

/// A relay's connection, and the relay's lease.
pub(crate) struct Link {
    pub(crate) own: Incarnation,
    engine: Engine,
    stream: TcpStream,
    id: String,
    /// The number of the last parcel that was read.
    pub(crate) read_up_to: u64,
}

impl Link {
    /// Takes the lease, for good.
    fn take(&mut self) {
        let call = self.lease_of(self.own, LeaseStep::Take);
        let persist = [b"PERSIST".to_vec(), call.keys[0].clone().into_bytes()];
        self.all_answered("held", &[call], 1);
        self.ask("PERSIST", &persist);
    }

    /// The lease of any relay.
    pub(crate) fn lease_of(&self, own: Incarnation, step: LeaseStep) -> Call {
        names::lease(own, step, &self.id, "an-epoch")
    }

    /// Runs calls, so many at a time; returns what they were answered.
    pub(crate) fn all(&mut self, calls: &[Call], at_once: usize) -> Vec<Value> {
        let mut answers = Vec::with_capacity(calls.len());
        for some in calls.chunks(at_once) {
            for call in some {
                self.engine.call(Ticket(0), call).expect("there is room");
            }
            answers.extend(self.answers());
        }
        answers
    }

    /// Runs calls that all have to be answered so.
    pub(crate) fn all_answered(&mut self, word: &str, calls: &[Call], at_once: usize) {
        for answer in self.all(calls, at_once) {
            let first = answer.array().and_then(<[Value]>::first).and_then(Value::text);
            assert_eq!(first, Some(word), "{answer:?}");
        }
    }

    /// Runs the same commands, so many at a time.
    pub(crate) fn repeat(
        &mut self,
        (name, command): (&'static str, &[Vec<u8>]),
        count: usize,
        at_once: usize,
    ) {
        for begun in (0..count).step_by(at_once) {
            for _ in begun..count.min(begun + at_once) {
                self.engine.ask(Ticket(0), name, command).expect("there is room");
            }
            self.answers();
        }
    }

    /// Runs one command.
    pub(crate) fn ask(&mut self, name: &'static str, command: &[Vec<u8>]) -> Value {
        self.begin(name, command);
        self.finish()
    }

    /// Sends a command.
    pub(crate) fn begin(&mut self, name: &'static str, command: &[Vec<u8>]) {
        self.engine.ask(Ticket(0), name, command).expect("there is room");
        self.stream.write_all(&self.engine.take_output()).expect("it reads");
    }

    /// Waits for its answer.
    pub(crate) fn finish(&mut self) -> Value {
        self.answers().remove(0)
    }

    fn answers(&mut self) -> Vec<Value> {
        self.run(Engine::is_empty);
        let answers = std::iter::from_fn(|| self.engine.next_answer());
        answers.map(|(_, answer)| answer.expect("taken")).collect()
    }

    fn run(&mut self, until: impl Fn(&Engine) -> bool) {
        let mut part = vec![0; 65536];
        while !until(&self.engine) {
            self.stream.write_all(&self.engine.take_output()).expect("it reads");
            let read = self.stream.read(&mut part).expect("it answers");
            assert!(read > 0, "it closed the connection");
            self.engine.received(&part[..read]).expect("no fault");
        }
    }
}

/// What the main thread of a process has used of a processor.
pub(crate) fn cpu(pid: u32) -> Duration {
    let path = format!("/proc/{pid}/schedstat");
    let schedstat = fs::read_to_string(path).expect("proc(5)");
    let nanos = schedstat.split(' ').next().expect("the first of three numbers");
    Duration::from_nanos(nanos.parse().expect("a number"))
}

/// Bytes of a process's resident memory.
pub(crate) fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("proc(5)");
    let kib = line.trim_matches(|it: char| !it.is_ascii_digit());
    kib.parse::<u64>().expect("a number") * 1024
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

/// Microseconds each.
pub(crate) fn micros_each(spent: Duration, count: usize) -> f64 {
    ratio(spent.as_secs_f64() * 1e6, count)
}

/// `whole` by a count.
#[expect(clippy::cast_precision_loss, reason = "counts of a bench are below 2^52")]
pub(crate) fn ratio(whole: f64, count: usize) -> f64 {
    whole / count.max(1) as f64
}
