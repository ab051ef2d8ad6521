//! The relay under a supervisor, as systemd or a container has it: sockets that are given, a socket
//! that is told, process 1, and what may be missing. Processes; what is waited for is what they say.

#![allow(clippy::expect_used)] // a test says what it expects

mod support;

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sealwax::reactor::end_with_parent;
use sealwax::wire::RosterMode;
use serde_json::json;
use support::process::{Homes, Process, Relay, text};
use support::relay::{Account, Client, PEM};

const SEALWAX: &str = env!("CARGO_BIN_EXE_sealwax");
const SERVE: [&str; 5] = ["serve", "--ephemeral", "--max-connections", "20", "-vv"];

fn original(address: &str, name: &str) -> Client {
    Client::original(address.parse().expect("an address"), name)
}

/// A relay that is given `socket` as descriptor 3.
fn given(socket: OwnedFd, pid: &str, options: &[&str]) -> Process {
    let script = format!(
        "exec 3<&0 0</dev/null; LISTEN_PID={pid} LISTEN_FDS=1 LISTEN_FDNAMES=relay exec \"$0\" \"$@\""
    );
    let mut command = Command::new("sh");
    command.args(["-c", &script, SEALWAX]).args(SERVE).args(options);
    Process::spawn_from(&mut command, Stdio::from(socket))
}

fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it has one").to_string();
    (listener, address)
}

fn copy(listener: &TcpListener) -> OwnedFd {
    listener.try_clone().expect("descriptors are left").into()
}

#[test]
fn a_socket_that_is_given_bridges_the_time_between_two_relays() {
    let (socket, address) = listener();
    let first = given(copy(&socket), "$$", &["--drain-time", "0.2"]);
    assert_eq!(first.talk_with("listening"), format!("listening on {address}"));
    let mut jg = original(&address, "JG");
    jg.ping();
    first.signal(Signal::SIGUSR1);
    first.talk_with("draining, 1 connections");
    // Whoever connects from now on is not refused: the next relay accepts them.
    let mut between = Client::connect(address.parse().expect("an address"));
    assert_eq!(jg.frame()["code"], "shutting_down");
    first.end().with_code(0);
    let second = given(copy(&socket), "$$", &["--listen", &address]);
    assert_eq!(second.talk_with("listening"), format!("listening on {address}"));
    between.send(&json!({"action": "register", "name": "JG", "pubkey": PEM, "roster": "none"}));
    between.ping();
    second.signal(Signal::SIGTERM);
    second.end().with_code(0);
}

#[test]
fn what_is_given_is_used_only_by_whom_it_is_meant_for_and_only_if_it_listens() {
    let (socket, address) = listener();
    let other = given(copy(&socket), "1", &["--listen", "127.0.0.1:0"]);
    assert!(!other.talk_with("listening").contains(&address));
    let null = fs::File::open("/dev/null").expect("it is there");
    let ended = given(null.into(), "$$", &[]).end().with_code(1);
    assert!(ended.transcript.contains("descriptor 3 ('relay')"), "{ended:?}");
    assert!(ended.transcript.contains("is no socket"), "{ended:?}");
}

#[test]
fn the_launcher_of_systemd_can_start_it() {
    let launcher = "systemd-socket-activate";
    if Command::new(launcher).arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("not checked: {launcher} is not installed");
        return;
    }
    let (socket, address) = listener();
    drop(socket); // the launcher takes the port again
    let mut command = Command::new(launcher);
    command.args(["--listen", &address, SEALWAX]).args(SERVE);
    let process = Process::spawn(&mut command);
    process.talk_with("Listening on");
    let mut client = Client::connect(address.parse().expect("an address")); // starts the relay
    client.send(&json!({"action": "register", "name": "JG", "pubkey": PEM, "roster": "none"}));
    client.ping();
    process.signal(Signal::SIGTERM);
    process.end().with_code(0);
}

/// What the relay says on `NOTIFY_SOCKET`.
struct Told(UnixDatagram);

impl Told {
    fn at(path: &Path) -> Self {
        Self::of(UnixDatagram::bind(path).expect("bound"))
    }

    fn of(socket: UnixDatagram) -> Self {
        socket.set_read_timeout(Some(Duration::from_mins(1))).expect("a time");
        Self(socket)
    }

    /// The next message that begins with `words`.
    fn next(&self, words: &str) -> String {
        let mut bytes = [0; 1024];
        loop {
            let length = self.0.recv(&mut bytes).unwrap_or_else(|why| panic!("{words}: {why}"));
            let message = String::from_utf8_lossy(&bytes[..length]).into_owned();
            if message.starts_with(words) {
                return message;
            }
        }
    }
}

fn notifying(socket: &str, options: &[&str], watchdog: &str) -> Relay {
    let mut command = Command::new(SEALWAX);
    command.args(["serve", "--listen", "127.0.0.1:0", "-vv"]).args(options);
    command.env("NOTIFY_SOCKET", socket).env("WATCHDOG_USEC", watchdog);
    Relay::of(Process::spawn(&mut command))
}

#[test]
fn systemd_is_told_when_the_relay_serves_reloads_and_ends() {
    let homes = Homes::new();
    let path = homes.path("notify");
    let told = Told::at(&path);
    let home = homes.path("relay");
    let relay = notifying(text(&path), &["--home", text(&home)], "200000");
    assert_eq!(told.next("READY=1"), "READY=1\nSTATUS=serving, 0 connections\n");
    let mut client = original(&relay.address, "JG");
    client.ping();
    // Each says that the storage thread has answered since the one before.
    for _ in 0..3 {
        told.next("WATCHDOG=1\nSTATUS=serving, ");
    }
    relay.process.signal(Signal::SIGHUP);
    let reloading = told.next("RELOADING=1");
    let since = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
    assert!(since.is_some_and(|usec| usec.parse::<u64>().is_ok()), "{reloading}");
    told.next("READY=1");
    relay.process.signal(Signal::SIGTERM);
    assert_eq!(told.next("STOPPING=1"), "STOPPING=1\nSTATUS=ending, 1 connections\n");
    relay.process.end().with_code(0);
}

#[test]
fn the_socket_may_have_no_file_and_nobody_needs_to_read_it() {
    let name = format!("sealwax-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("short");
    let told = Told::of(UnixDatagram::bind_addr(&address).expect("bound"));
    let relay = notifying(&format!("@{name}"), &["--ephemeral"], "2000");
    told.next("READY=1");
    // Each millisecond another message, and nobody takes them: the relay serves on.
    let mut client = original(&relay.address, "JG");
    for _ in 0..1_000 {
        client.ping();
    }
    let gone = notifying("/no/such/socket", &["--ephemeral"], "");
    original(&gone.address, "JG").ping();
}

/// A shell in namespaces of its own: `script` gets the program and its arguments.
fn isolated(namespaces: &[&str], script: &str, options: &[&str]) -> Option<Process> {
    let user = ["--user", "--map-root-user"];
    let user: &[&str] = if nix::unistd::geteuid().is_root() { &[] } else { &user };
    let base = [user, namespaces].concat();
    let probe = Command::new("unshare").args(&base).arg("true").stderr(Stdio::null()).status();
    if !probe.is_ok_and(|status| status.success()) {
        println!("not checked: unshare(1) is not installed or namespaces are forbidden");
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(&base).args(["sh", "-c", script, SEALWAX]).args(options);
    Some(Process::spawn(&mut command))
}

/// The process that `unshare` has started: number 1 of its namespace.
fn first_process(of: &Process) -> Pid {
    let path = format!("/proc/{0}/task/{0}/children", of.pid());
    let children = fs::read_to_string(path).expect("the kernel tells them");
    Pid::from_raw(children.trim().parse().expect("one child"))
}

const PROCESS_1: [&str; 4] = ["--pid", "--fork", "--kill-child", "--mount-proc"];
const START: &str = "exec \"$0\" \"$@\"";
const LISTEN: [&str; 2] = ["--listen", "127.0.0.1:0"];

#[test]
fn as_process_1_of_a_container_it_takes_its_signals() {
    for last in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGUSR1] {
        let options = [&SERVE[..], &LISTEN].concat();
        let Some(process) = isolated(&PROCESS_1, START, &options) else { return };
        let relay = Relay::of(process);
        original(&relay.address, "JG").ping();
        let pid = first_process(&relay.process);
        kill(pid, Signal::SIGHUP).expect("it runs");
        relay.process.talk_with("so far: ");
        kill(pid, last).expect("it runs");
        relay.process.end().with_code(0);
    }
}

#[test]
fn with_closed_streams_it_serves_and_its_log_goes_where_it_was_told_to() {
    let homes = Homes::new();
    let (socket, address) = listener();
    drop(socket);
    let log = homes.path("relay.log");
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" \"$@\" 0<&- 1>&- 2>&-", SEALWAX]).args(SERVE);
    command.args(["--listen", &address, "--log-file", text(&log)]);
    let relay = Guarded(end_with_parent(&mut command).spawn().expect("it starts"));
    while !fs::read_to_string(&log).is_ok_and(|text| text.contains("listening")) {
        std::thread::yield_now();
    }
    original(&address, "JG").ping();
    let log = fs::read_to_string(&log).expect("it is text");
    assert!(log.contains("JG registered"), "{log}");
    drop(relay);
}

#[test]
fn on_a_read_only_file_system_it_serves_without_a_home_or_says_which_one_is_missing() {
    let script = "mount -o remount,bind,ro / && exec \"$0\" \"$@\"";
    let mounts = ["--mount"];
    let home = "/var/lib/no-such-directory-of-sealwax";
    let options = [&["serve", "--home", home], &LISTEN[..]].concat();
    let Some(process) = isolated(&mounts, script, &options) else { return };
    let ended = process.end();
    if ended.transcript.contains("mount:") {
        println!("not checked: {}", ended.transcript);
        return;
    }
    let ended = ended.with_code(1);
    assert!(ended.transcript.contains(home), "{ended:?}");
    assert!(ended.transcript.contains("Read-only file system"), "{ended:?}");
    let options = [&SERVE[..], &LISTEN].concat();
    let Some(process) = isolated(&mounts, script, &options) else { return };
    original(&Relay::of(process).address, "JG").ping();
}

/// Neither `/tmp` nor anything else: what the database needs besides its files is in memory.
#[test]
fn it_serves_where_its_home_alone_can_be_written() {
    let homes = Homes::new();
    let home = homes.path("relay");
    fs::create_dir(&home).expect("made");
    let script = format!(
        "mount -t tmpfs -o mode=700 none {0} && mount -o remount,bind,ro / && exec \"$0\" \"$@\"",
        text(&home)
    );
    let options = [&["serve", "--home", text(&home), "-vv"], &LISTEN[..]].concat();
    let Some(process) = isolated(&["--mount"], &script, &options) else { return };
    let relay = Relay::of(process);
    let account = Account::alice();
    let mut client = Client::connect(relay.address.parse().expect("an address"));
    let answer = account.register(&mut client, RosterMode::None);
    assert_eq!(answer["action"], "registered", "bound, so written: {answer}");
    relay.process.signal(Signal::SIGTERM);
    relay.process.end().with_code(0);
}

/// Each start that fails ends with 1 and names what is missing; nothing is changed.
#[test]
fn two_relays_do_not_share_a_home() {
    let homes = Homes::new();
    let home = homes.path("relay");
    let first = Relay::at_home(&home);
    let second = ["serve", "--home", text(&home), "--listen", "127.0.0.1:0"];
    let ended = Process::start(&second).end().with_code(1);
    let expected = format!("process {} holds '{}'", first.process.pid(), text(&home.join("lock")));
    assert!(ended.stderr.last().is_some_and(|line| line.contains(&expected)), "{ended:?}");
    original(&first.address, "JG").ping();
    let admin = text(&home.join("admin.sock")).to_owned();
    let top = Process::start(&["top", "--once", "--admin", &admin]).end().with_code(0);
    assert!(top.stdout[0].contains("\"connected\":true"), "{top:?}");
}

#[test]
fn without_a_home_it_says_so() {
    let mut command = Command::new(SEALWAX);
    command.args(["serve", "--listen", "127.0.0.1:0"]).env_clear().env("HOME", "/proc");
    let ended = Process::spawn(&mut command).end().with_code(1);
    let last = ended.stderr.last().expect("a line");
    assert!(last.contains("/proc/.local/share/sealwax/relay"), "{ended:?}");
    assert!(last.contains("--home"), "{ended:?}");
}

#[test]
fn with_64_descriptors_and_no_environment_it_serves() {
    let mut command = Command::new("prlimit");
    command.args(["--nofile=64:64", SEALWAX]).args(SERVE).args(LISTEN).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    original(&Relay::of(Process::spawn(&mut command)).address, "JG").ping();
}

/// A process that ends with the test.
struct Guarded(std::process::Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
