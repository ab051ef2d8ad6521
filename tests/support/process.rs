//! The built program as processes: a relay and its clients, driven through pipes as a script would.
//!
//! Waits for what a process prints or for its end, never for time; everything that was started is
//! ended when the test ends, however it ends: by `Drop`, and where the test is killed, by the
//! kernel (`end_with_parent`; so a process has to be started by the thread that needs it). Relays
//! and clients tell all that they ever tell (`-vv`, unless a test says otherwise), and what a
//! process has said is searched for private keys when it has ended.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, Once};
use std::thread;
use std::time::Duration;

use sealwax::reactor::end_with_parent;
use serde_json::Value;

use super::secrets::Secrets;
use super::spread::{Common, pick, relays, spread};

/// A test that waits longer than this for one line has failed.
const PATIENCE: Duration = Duration::from_mins(2);

/// A running `sealwax`, its lines collected as they come.
pub struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
    transcript: Transcript,
    name: String,
}

/// All lines of both outputs, also those that were taken.
type Transcript = Arc<Mutex<Vec<String>>>;

impl Process {
    /// Starts `sealwax` with `arguments`.
    pub fn start(arguments: &[&str]) -> Self {
        Self::spawn(Command::new(env!("CARGO_BIN_EXE_sealwax")).args(arguments))
    }

    /// Starts any command.
    pub fn spawn(command: &mut Command) -> Self {
        Self::spawn_with(command, Stdio::piped(), Stdio::piped())
    }

    /// Starts a command with this as its standard input.
    pub fn spawn_from(command: &mut Command, input: impl Into<Stdio>) -> Self {
        Self::spawn_with(command, input.into(), Stdio::piped())
    }

    /// Starts a command with this as its standard output, of which nothing is collected.
    pub fn spawn_to(command: &mut Command, output: impl Into<Stdio>) -> Self {
        Self::spawn_with(command, Stdio::piped(), output.into())
    }

    fn spawn_with(command: &mut Command, input: Stdio, output: Stdio) -> Self {
        let name = format!("{command:?}");
        command.stdin(input).stdout(output).stderr(Stdio::piped());
        let mut child =
            end_with_parent(command).spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        let transcript = Transcript::default();
        let stdout = match child.stdout.take() {
            Some(stdout) => lines(stdout, &transcript),
            None => channel().1,
        };
        let stderr = lines(child.stderr.take().expect("piped"), &transcript);
        Self { stdin: child.stdin.take(), child, stdout, stderr, transcript, name }
    }

    /// Writes a line to its standard input.
    pub fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("its input is open");
        writeln!(stdin, "{line}").unwrap_or_else(|error| panic!("{}: {error}", self.name));
    }

    /// Takes its standard input, to be written from another thread.
    pub fn input(&mut self) -> ChildStdin {
        self.stdin.take().expect("its input is open")
    }

    /// Ends its standard input.
    pub fn finish_input(&mut self) {
        self.stdin = None;
    }

    /// The next line of its standard output.
    pub fn line(&self) -> String {
        self.stdout.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            let talk: Vec<_> = self.stderr.try_iter().collect();
            panic!("{}: no more output; it said:\n{}", self.name, talk.join("\n"))
        })
    }

    /// The next line of its standard error.
    pub fn talk(&self) -> String {
        self.stderr
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|error| panic!("{}: it says no more: {error}", self.name))
    }

    /// Reads standard error up to the line that contains `words`.
    pub fn talk_with(&self, words: &str) -> String {
        loop {
            let line = self.talk();
            if line.contains(words) {
                return line;
            }
        }
    }

    /// Reads `--json` events up to the one of this kind.
    pub fn event(&self, kind: &str) -> Value {
        loop {
            let line = self.line();
            let event: Value = serde_json::from_str(&line)
                .unwrap_or_else(|error| panic!("{}: {line}: {error}", self.name));
            if event["event"] == kind {
                return event;
            }
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(self.child.id().try_into().expect("a pid"));
        nix::sys::signal::kill(pid, signal).expect("it runs");
    }

    /// Stops it in its sleep, which that ends (`EINTR`). Signals take a moment: until then it is as
    /// awake as ever.
    pub fn stop_in_sleep(&self) {
        let status = format!("/proc/{}/stat", self.pid());
        let wait_for = |state: &str| {
            while !std::fs::read_to_string(&status).expect("it is there").contains(state) {
                std::thread::yield_now();
            }
        };
        wait_for(") S ");
        self.signal(nix::sys::signal::Signal::SIGSTOP);
        wait_for(") T ");
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end; tells the code and what was left of both outputs.
    pub fn end(mut self) -> Ended {
        self.stdin = None;
        let status = self.wait();
        let collect = |lines: &Receiver<String>| lines.iter().collect::<Vec<_>>();
        let (stdout, stderr) = (collect(&self.stdout), collect(&self.stderr));
        let said = std::mem::take(&mut *self.transcript.lock().expect("its readers are done"));
        let transcript = said.join("\n");
        Secrets::of_fixtures().check(&self.name, transcript.as_bytes());
        Ended { code: status.code(), stdout, stderr, transcript }
    }

    fn wait(&mut self) -> ExitStatus {
        let waited = wait_timeout(&mut self.child);
        waited.unwrap_or_else(|| panic!("{}: it does not end", self.name))
    }
}

/// How a process ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: Vec<String>,
    pub stderr: Vec<String>,
    /// Everything that it ever said, on both.
    pub transcript: String,
}

impl Ended {
    /// Checks the code and tells everything where it is another.
    pub fn with_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !thread::panicking() {
            let said = self.transcript.lock().expect("nobody fails with it").join("\n");
            Secrets::of_fixtures().check(&self.name, said.as_bytes());
        }
    }
}

/// A relay process on a free port of loopback.
pub struct Relay {
    pub process: Process,
    pub address: String,
    /// Those that stand for it together with it (`spread.rs`).
    others: Vec<Process>,
    common: Option<Common>,
}

impl Relay {
    /// A relay that keeps nothing.
    pub fn ephemeral() -> Self {
        Self::start(&["--ephemeral"])
    }

    /// A relay with this home.
    pub fn at_home(home: &Path) -> Self {
        Self::start(&["--home", text(home)])
    }

    /// A relay with these options, on port 0.
    pub fn start(options: &[&str]) -> Self {
        let Some(common) = Common::start() else { return Self::alone(options) };
        let mut relays = (0..relays()).map(|number| {
            let options = common.options(number, options);
            let relay = Self::alone(&options.iter().map(String::as_str).collect::<Vec<_>>());
            relay.process.talk_with("is one of its cluster");
            relay
        });
        let mut first = relays.next().expect("one at least");
        let others: Vec<_> = relays.collect();
        let addresses = [&first].into_iter().chain(&others).map(|relay| relay.address.clone());
        spread(addresses.collect());
        first.others = others.into_iter().map(|relay| relay.process).collect();
        first.common = Some(common);
        first
    }

    fn alone(options: &[&str]) -> Self {
        let mut arguments = vec!["serve", "--listen", "127.0.0.1:0"];
        arguments.extend_from_slice(options);
        Self::of(Process::start(&with_all_told(arguments)))
    }

    /// The relay that this process is, once it listens on a port of 127.0.0.1.
    pub fn of(process: Process) -> Self {
        let line = process.talk_with("listening"); // or an object that says so
        let (_, port) = line.split_once("127.0.0.1:").expect("an address");
        let port: String = port.chars().take_while(char::is_ascii_digit).collect();
        let address = format!("127.0.0.1:{port}");
        Self::with(process, address)
    }

    /// The same where the address is known.
    pub fn with(process: Process, address: String) -> Self {
        Self { process, address, others: Vec::new(), common: None }
    }
}

/// Users with homes of their own in one temporary directory.
pub struct Homes(tempfile::TempDir);

impl Homes {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    /// The home of `name`, with an identity from the fixtures where there is one (making a key
    /// takes seconds).
    pub fn of(&self, name: &str) -> PathBuf {
        let home = self.0.path().join(name);
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/{name}.pem"));
        if !home.exists() && fixture.exists() {
            use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
            std::fs::DirBuilder::new().mode(0o700).create(&home).expect("a home");
            let pem = std::fs::read(fixture).expect("a fixture");
            let mut options = std::fs::OpenOptions::new();
            let file =
                options.write(true).create_new(true).mode(0o600).open(home.join("identity.pem"));
            file.expect("a key file").write_all(&pem).expect("written");
        }
        home
    }

    /// A place that does not exist yet.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The options that make a client this user at this relay.
    pub fn options(&self, name: &str, relay: &str) -> Vec<String> {
        let home = self.of(name);
        let relay = pick(relay);
        ["--relay", &relay, "--name", name, "--home", text(&home)].map(str::to_owned).to_vec()
    }

    /// `sealwax COMMAND` as this user at this relay.
    pub fn client(&self, name: &str, relay: &str, command: &[&str]) -> Process {
        let options = self.options(name, relay);
        let arguments: Vec<&str> =
            command.iter().copied().chain(options.iter().map(String::as_str)).collect();
        Process::start(&with_all_told(arguments))
    }
}

/// The command with `-vv`, unless it says itself how much it tells.
fn with_all_told(mut arguments: Vec<&str>) -> Vec<&str> {
    if !arguments.iter().any(|argument| ["-v", "-vv", "-q", "-qq", "--quiet"].contains(argument)) {
        arguments.push("-vv");
    }
    arguments
}

/// A path as the text that it is in these tests.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are UTF-8")
}

/// Starts a program of `tests/python`, with the Python that `tests/python/setup` makes.
pub fn python(program: &str, arguments: &[&str]) -> Process {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = root.join("tests/python").join(program);
    Process::spawn(Command::new(venv(root)).arg(program).args(arguments).current_dir(root))
}

/// The Python of the tests. It is made by whoever needs it first; that takes seconds, once, and
/// the test processes that run meanwhile wait for it.
fn venv(root: &Path) -> PathBuf {
    static MADE: Once = Once::new();
    MADE.call_once(|| {
        let mut setup = Command::new(root.join("tests/python/setup"));
        let setup = end_with_parent(setup.stdin(Stdio::null())).output();
        let setup = setup.expect("tests/python/setup runs: it needs bash");
        assert!(setup.status.success(), "{}", String::from_utf8_lossy(&setup.stderr));
    });
    root.join("target/venv/bin/python")
}

/// Collects lines in a thread, so that no pipe fills up while a test looks elsewhere.
fn lines(from: impl Read + Send + 'static, transcript: &Transcript) -> Receiver<String> {
    let (sender, receiver) = channel();
    let transcript = Arc::clone(transcript);
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned();
            transcript.lock().expect("nobody fails with it").push(text.clone());
            if sender.send(text).is_err() {
                break;
            }
            line.clear();
        }
    });
    receiver
}

/// Waits for the end of `child` without losing the test to one that hangs.
fn wait_timeout(child: &mut Child) -> Option<ExitStatus> {
    // A pidfd would do this without polling; a test may poll.
    for _ in 0..PATIENCE.as_millis() / 10 {
        if let Some(status) = child.try_wait().expect("our child") {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(10));
    }
    None
}
