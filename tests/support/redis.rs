//! A real engine for one test, a `redis-server` or a `valkey-server`: in a temporary directory, on a
//! socket file there, so that no two can take the same port; and a connection to it that waits for
//! its answers.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use sealwax::cluster::engine::{Answer, Engine, NotTaken, Settings, Ticket};
use sealwax::cluster::resp::{Decoder, Value, encode_command};
use sealwax::cluster::script::{Call, Script};
use sealwax::cluster::{EngineFault, Incarnation};
use tempfile::TempDir;

use super::process::Process;

/// The programs that are looked for, in this order.
const PROGRAMS: [&str; 2] = ["redis-server", "valkey-server"];

/// A server of its own.
pub struct Redis {
    /// None between its end and its next start.
    process: Option<Process>,
    program: PathBuf,
    directory: TempDir,
}

impl Redis {
    /// Starts one that keeps nothing on the disk: the program that `SEALWAX_TEST_ENGINE` names or is
    /// the path of, or else the first of [`PROGRAMS`] that is installed. `None`, after saying so,
    /// where none is.
    ///
    /// # Panics
    /// If the program that is asked for is not there, or none is installed and `CI` is `true`.
    pub fn start(options: &[&str]) -> Option<Self> {
        let Some(program) = program() else {
            let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
            assert!(!in_ci, "redis-server is missing: .ci/run installs it");
            eprintln!("not run: neither redis-server nor valkey-server is installed");
            return None;
        };
        let directory = tempfile::tempdir().expect("a temporary directory");
        let process = Some(run(&program, directory.path(), options));
        Some(Self { process, program, directory })
    }

    /// Kills it.
    pub fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.signal(Signal::SIGKILL);
            process.end();
        }
    }

    /// Starts it again on what it has kept.
    pub fn start_again(&mut self, options: &[&str]) {
        self.process = Some(run(&self.program, self.directory.path(), options));
    }

    /// The file of its socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    /// A connection that knows nothing of us.
    pub fn plain(&self) -> Plain {
        Plain { stream: connect(self.socket()), decoder: Decoder::default() }
    }

    /// The process, to stop it and go on.
    pub fn process(&self) -> &Process {
        self.process.as_ref().expect("it runs")
    }
}

/// The program to run, if there is one.
fn program() -> Option<PathBuf> {
    if let Some(asked) = std::env::var_os("SEALWAX_TEST_ENGINE") {
        let asked = PathBuf::from(asked);
        let missing = || panic!("SEALWAX_TEST_ENGINE: no program {}", asked.display());
        return Some(find(&asked).unwrap_or_else(missing));
    }
    PROGRAMS.into_iter().find_map(|name| find(Path::new(name)))
}

/// A program in one of the folders of `PATH`, or at this absolute path.
fn find(program: &Path) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).map(|folder| folder.join(program));
    places.find(|place| place.is_file())
}

/// Runs one in a directory, until it listens.
fn run(program: &Path, directory: &Path, options: &[&str]) -> Process {
    let mut command = Command::new(program);
    command.current_dir(directory).args(["--port", "0", "--unixsocket", "socket"]);
    command.args(["--save", "", "--appendonly", "no"]).args(options);
    let process = Process::spawn(&mut command);
    while !process.line().contains("eady to accept connections") {}
    process
}

fn connect(socket: PathBuf) -> UnixStream {
    let stream = UnixStream::connect(socket).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_mins(1))).expect("a timeout is set");
    stream
}

/// A connection that sends any command.
pub struct Plain {
    stream: UnixStream,
    decoder: Decoder,
}

impl Plain {
    /// Sends a command and waits for its answer.
    pub fn ask<P: AsRef<[u8]>>(&mut self, command: &[P]) -> Value {
        self.send(command);
        self.answer()
    }

    /// Sends a command.
    pub fn send<P: AsRef<[u8]>>(&mut self, command: &[P]) {
        let mut bytes = Vec::new();
        encode_command(&mut bytes, command);
        self.stream.write_all(&bytes).expect("it reads");
    }

    /// Waits for the next answer.
    pub fn answer(&mut self) -> Value {
        let mut part = vec![0; 65536];
        loop {
            let read = self.stream.read(&mut part).expect("it answers");
            assert!(read > 0, "it closed the connection");
            if let Some(value) = self.decoder.next(&mut &part[..read]).expect("RESP") {
                return value;
            }
        }
    }
}

/// A connection as a relay has it.
pub struct Connection {
    pub engine: Engine,
    stream: UnixStream,
    ticket: u64,
}

impl Connection {
    /// Connects and waits until the checks are over.
    pub fn open(redis: &Redis, own: Incarnation, settings: &Settings) -> Result<Self, EngineFault> {
        let engine = Engine::new(own, settings);
        let mut connection = Self { engine, stream: connect(redis.socket()), ticket: 0 };
        connection.run(Engine::is_ready)?;
        Ok(connection)
    }

    /// Runs a script and waits for its answer.
    pub fn call(&mut self, call: &Call) -> Result<Value, EngineFault> {
        Ok(self.call_all(std::slice::from_ref(call))?.remove(0))
    }

    /// Runs scripts, all sent before the first answer is read. A lease that is taken or renewed does
    /// not end by itself, nor does a box stay closed for a time only: a test may be slow, and ends it
    /// by deleting its key.
    pub fn call_all(&mut self, calls: &[Call]) -> Result<Vec<Value>, EngineFault> {
        for call in calls {
            self.make_room()?;
            self.ticket += 1;
            self.engine.call(Ticket(self.ticket), call).expect("there is room");
            let ends = match call.script {
                Script::Lease => Some(0),
                Script::MoveLetters => Some(2),
                _ => None,
            };
            if let Some(place) = ends {
                self.make_room()?;
                let persist = [b"PERSIST".to_vec(), call.keys[place].clone().into_bytes()];
                self.engine.ask(Ticket(0), "PERSIST", &persist).expect("there is room");
            }
        }
        self.run(Engine::is_empty)?;
        let answers = self.answers().into_iter().filter(|(ticket, _)| *ticket != Ticket(0));
        let values: Vec<_> = answers.map(|(_, value)| value.expect("taken")).collect();
        assert_eq!(values.len(), calls.len());
        Ok(values)
    }

    fn make_room(&mut self) -> Result<(), EngineFault> {
        while let Err(full) = self.engine.check_room() {
            assert_eq!(full, NotTaken::Full);
            self.run(Engine::is_empty)?;
        }
        Ok(())
    }

    /// Sends a command that reads and waits for its answer.
    pub fn ask(&mut self, name: &'static str, command: &[Vec<u8>]) -> Result<Value, EngineFault> {
        self.ticket += 1;
        self.engine.ask(Ticket(self.ticket), name, command).expect("there is room");
        self.run(Engine::is_empty)?;
        let (_, value) = self.answers().remove(0);
        Ok(value.expect("taken"))
    }

    /// The answers that have come.
    pub fn answers(&mut self) -> Vec<Answer> {
        std::iter::from_fn(|| self.engine.next_answer()).collect()
    }

    /// Writes and reads until something holds.
    pub fn run(&mut self, until: impl Fn(&Engine) -> bool) -> Result<(), EngineFault> {
        let mut part = vec![0; 65536];
        while !until(&self.engine) {
            let output = self.engine.take_output();
            // The server may have said why and closed.
            if let Err(error) = self.stream.write_all(&output) {
                assert_eq!(error.kind(), ErrorKind::BrokenPipe);
            }
            let read = self.stream.read(&mut part).expect("it answers");
            assert!(read > 0, "it closed the connection");
            self.engine.received(&part[..read])?;
        }
        Ok(())
    }
}
