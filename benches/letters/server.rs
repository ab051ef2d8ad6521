//! A relay that is measured: a process on loopback whose home is in a temporary directory.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use sealwax::crypto::PublicKey;
use sealwax::reactor::end_with_parent;
use sealwax::relay::limits::STORE_QUEUE;
use sealwax::relay::sqlite::{LetterLimits, SqliteStore};
use sealwax::relay::store::Store;
use tempfile::TempDir;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    child: Child,
    /// Gives the ticks that the relay has told, when it has ended.
    ticks: Option<JoinHandle<Vec<Tick>>>,
    _home: Rc<TempDir>,
}

/// A turn of the loop, as `--trace=json` tells it.
#[derive(Clone, Copy)]
pub(crate) struct Tick {
    /// On the monotonic clock.
    pub(crate) began: Duration,
    /// Without the wait before it.
    pub(crate) worked: Duration,
}

/// The processor time of the relay's two threads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Threads {
    pub(crate) main: Duration,
    pub(crate) storage: Duration,
}

/// When something began, and what the relay had spent until then.
pub(crate) struct Meter(Threads, Duration);

/// What the relay has spent on something.
pub(crate) struct Spent {
    pub(crate) threads: Threads,
    /// From when to when it lasted, on the monotonic clock.
    pub(crate) lasted: Range<Duration>,
}

impl Server {
    /// Starts a relay that knows these names already, all bound to the key of this text: over the
    /// network one key gets a few names only, and making keys is slow.
    pub(crate) fn start(names: &[String], pem: &str, options: &[&str]) -> Self {
        let home = Rc::new(tempfile::tempdir().expect("a directory"));
        drop(Self::begin(&home, &[])); // it makes what belongs into its home
        bind(&home.path().join("relay"), names, pem);
        Self::begin(&home, options)
    }

    fn begin(home: &Rc<TempDir>, options: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealwax"));
        command.args(["serve", "--listen", "127.0.0.1:0", "-q", "--home"]);
        command
            .arg(home.path().join("relay"))
            .args(options)
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = end_with_parent(&mut command).spawn().expect("it runs");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let mut said = String::new();
        let address = loop {
            let Some(Ok(line)) = lines.next() else { panic!("it does not listen: {said}") };
            if let Some(address) = line.strip_prefix("listening on ") {
                break address.parse().expect("an address");
            }
            said += &line;
        };
        let told = lines.map_while(Result::ok).filter_map(|line| tick(&line));
        let ticks = Some(thread::spawn(move || told.collect()));
        Self { address, child, ticks, _home: Rc::clone(home) }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What its threads have used of a processor.
    pub(crate) fn threads(&self) -> Threads {
        let [main, storage] = self.tasks().map(|task| {
            let schedstat = fs::read_to_string(task.join("schedstat")).expect("proc(5)");
            let nanos = schedstat.split(' ').next().expect("the first of three numbers");
            Duration::from_nanos(nanos.parse().expect("a number"))
        });
        Threads { main, storage }
    }

    /// The directories of the loop's thread and of the storage thread (proc(5)).
    fn tasks(&self) -> [PathBuf; 2] {
        let tasks = PathBuf::from(format!("/proc/{}/task", self.pid()));
        let is_storage = |task: &PathBuf| {
            let name = fs::read_to_string(task.join("comm"));
            name.is_ok_and(|name| name.trim() == "store")
        };
        let mut all = tasks.read_dir().expect("it runs").map(|task| task.expect("one").path());
        [tasks.join(self.pid().to_string()), all.find(is_storage).expect("a storage thread")]
    }

    /// The numbers of these threads, as strace writes them.
    pub(crate) fn thread_numbers(&self) -> [String; 2] {
        let number = |task: &Path| task.file_name().expect("a number").to_str().map(str::to_owned);
        self.tasks().map(|task| number(&task).expect("digits"))
    }

    pub(crate) fn meter(&self) -> Meter {
        Meter(self.threads(), monotonic())
    }

    pub(crate) fn since(&self, Meter(before, from): &Meter) -> Spent {
        let after = self.threads();
        let main = after.main.saturating_sub(before.main);
        let storage = after.storage.saturating_sub(before.storage);
        Spent { threads: Threads { main, storage }, lasted: *from..monotonic() }
    }

    /// Bytes of resident memory: now (`VmRSS`), or the most since [`Self::forget_peak`] (`VmHWM`).
    pub(crate) fn memory(&self, which: &str) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(which)).expect("proc(5)");
        let kib = line.trim_matches(|it: char| !it.is_ascii_digit());
        kib.parse::<usize>().expect("a number") * 1024
    }

    pub(crate) fn forget_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.pid()), "5").expect("proc(5)");
    }

    /// Ends it, and returns the ticks that it has told.
    pub(crate) fn end(mut self) -> Vec<Tick> {
        self.stop();
        self.ticks.take().expect("not yet taken").join().expect("it reads lines")
    }

    fn stop(&mut self) {
        let _ = kill(Pid::from_raw(self.pid().try_into().expect("a pid")), Signal::SIGTERM);
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.ticks.is_some() {
            self.stop();
        }
    }
}

/// Binds these names in the home of a relay that does not run.
fn bind(home: &Path, names: &[String], pem: &str) {
    let path = home.join("names.sqlite");
    let (mut store, _) = SqliteStore::open(&path, LetterLimits::default()).expect("its file");
    let fp = PublicKey::from_pem(pem).expect("a key").fingerprint();
    for some in names.chunks(STORE_QUEUE) {
        for name in some {
            store.bind(0, name, &fp, pem).expect("room in the queue");
        }
        for _ in some {
            while store.next_answer().is_none() {
                thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

/// A line of the trace.
fn tick(line: &str) -> Option<Tick> {
    let line: serde_json::Value = serde_json::from_str(line).ok()?;
    let time = |member: &str| line[member].as_u64().map(Duration::from_nanos);
    Some(Tick { began: time("began_ns")?, worked: time("worked_ns")? })
}

fn monotonic() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).expect("a clock of Linux").into()
}
