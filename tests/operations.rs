//! The relay as its operator meets it: signals, ports, logs, descriptors, names. Processes and
//! sockets; what is waited for is what they say, never time.

#![allow(clippy::expect_used)] // a test says what it expects

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use sealwax::crypto::Vault;
use sealwax::reactor::{end_with_parent, raise_descriptor_limit};
use sealwax::wire::RosterMode;
use serde_json::{Value, json};
use support::process::{Homes, Process, Relay, text};
use support::relay::{Account, Client, PEM};

fn connect(relay: &Relay) -> Client {
    Client::connect(relay.address.parse().expect("an address"))
}

fn original(relay: &Relay, name: &str) -> Client {
    Client::original(relay.address.parse().expect("an address"), name)
}

/// The relay tells what it has counted; of lines before that nothing is kept.
fn counters(relay: &Relay) -> Value {
    relay.process.signal(Signal::SIGHUP);
    let line = relay.process.talk_with("\"counters\"");
    let told: Value = serde_json::from_str(&line).expect("an object a line");
    told["counters"].clone()
}

#[test]
fn every_line_of_a_json_log_is_an_object_and_one_says_where_it_listens() {
    let relay = Relay::start(&["--ephemeral", "--log", "json", "-vv"]);
    let mut client = original(&relay, "JG");
    client.send(&json!({"action": "message", "to": "JG", "content": ""}));
    client.frame();
    relay.process.signal(Signal::SIGTERM);
    let ended = relay.process.end().with_code(0);
    let lines: Vec<Value> = ended
        .transcript
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .collect();
    let listening = lines.iter().find(|line| line["event"] == "listening").expect("one says it");
    assert_eq!(listening["address"], relay.address.as_str());
    let counted = lines.iter().find(|line| line["event"] == "counters").expect("at the end");
    assert_eq!(counted["counters"]["ended_shutting_down"], 1);
}

#[test]
fn sighup_tells_the_counters_and_ends_nobody() {
    let relay = Relay::start(&["--ephemeral", "--log", "json", "-q"]);
    let mut client = original(&relay, "JG");
    client.send(&json!({}));
    client.refused("bad_frame");
    let counted = counters(&relay);
    assert_eq!(counted, json!({"connected": 1, "registered": 1, "refused_bad_frame": 1}));
    client.ping();
}

#[test]
fn a_relay_that_is_stopped_and_continued_loses_nothing() {
    let relay = Relay::ephemeral();
    let (mut jg, mut yidir) = (original(&relay, "JG"), original(&relay, "yidir"));
    relay.process.signal(Signal::SIGSTOP);
    let mut newcomer = connect(&relay); // the kernel takes it in
    for id in 0..100 {
        let id = format!("{id}");
        jg.send(&json!({"action": "message", "to": "yidir", "id": id, "content": "x"}));
    }
    newcomer.send(&json!({"action": "register", "name": "new", "pubkey": PEM, "roster": "none"}));
    relay.process.signal(Signal::SIGCONT);
    for id in 0..100 {
        assert_eq!(yidir.frame()["id"], format!("{id}"));
        assert_eq!(jg.frame()["action"], "relayed");
    }
    newcomer.ping();
}

/// Stopped for longer than a frame may take, while the rest of one comes: whoever sent it in time
/// stays. The relay is told of edges as well, and asks without sleeping.
#[test]
fn a_relay_that_was_stopped_for_longer_than_a_frame_may_take_ends_nobody() {
    let kinds: [&[&str]; 3] = [&[], &["--trigger", "edge"], &["--spin", "200"]];
    let mut all: Vec<_> = kinds
        .iter()
        .map(|kind| {
            let options = [&["--ephemeral", "--log", "json", "--frame-timeout", "3"], *kind];
            let relay = Relay::start(&options.concat());
            let mut client = original(&relay, "JG");
            // The answer to the ping says that the half behind it was read too.
            client.write(b"{\"action\":\"ping\"}\n{\"action\":");
            assert_eq!(client.frame()["action"], "pong");
            relay.process.stop_in_sleep();
            client.write(b"\"ping\"}\n");
            (relay, client)
        })
        .collect();
    std::thread::sleep(Duration::from_secs(4)); // what is tested is that this does not matter
    for (relay, client) in &mut all {
        relay.process.signal(Signal::SIGCONT);
        assert_eq!(client.frame()["action"], "pong");
        assert_eq!(counters(relay)["ended_frame_timeout"], Value::Null);
        client.ping();
    }
}

#[test]
fn a_relay_that_is_killed_can_have_its_port_again_at_once() {
    let mut relay = Relay::ephemeral();
    for signal in [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGKILL] {
        let client = original(&relay, "JG");
        // Its own end closes first and rests (tcp(7), TIME_WAIT).
        let address = relay.address.clone();
        relay.process.signal(signal);
        relay.process.end();
        let _ = client.writer().read_to_end(&mut Vec::new());
        let process = Process::start(&["serve", "--listen", &address, "--ephemeral"]);
        assert_eq!(process.talk_with("listening"), format!("listening on {address}"));
        relay = Relay::with(process, address);
    }
    original(&relay, "JG").ping();
    let second = Process::start(&["serve", "--listen", &relay.address, "--ephemeral"]);
    let ended = second.end().with_code(1);
    assert!(ended.stderr.iter().any(|line| line.contains(&relay.address)), "{ended:?}");
}

#[test]
fn a_log_that_nobody_reads_holds_nothing_up_and_its_lines_are_counted() {
    let mut relay = Command::new(env!("CARGO_BIN_EXE_sealwax"));
    relay.args(["serve", "--listen", "127.0.0.1:0", "--ephemeral", "-vv", "--log", "json"]);
    let relay = end_with_parent(relay.stderr(Stdio::piped())).spawn();
    let mut relay = Guarded(relay.expect("it starts"));
    let mut log = BufReader::new(relay.0.stderr.take().expect("piped"));
    let address = loop {
        let line: Value = serde_json::from_str(&read_line(&mut log)).expect("an object");
        if let Some(address) = line["address"].as_str() {
            break address.to_owned();
        }
    };
    let mut client = Client::connect(address.parse().expect("an address"));
    client.send(&json!({"action": "register", "name": "JG", "pubkey": PEM, "roster": "none"}));
    // 130 bytes a line: more than the pipe and the queue hold.
    let messages = 5_000;
    for id in 0..messages {
        let id = format!("{id}");
        client.send(&json!({"action": "message", "to": "JG", "id": id, "content": ""}));
        assert_eq!(
            (&client.frame()["action"], &client.frame()["id"]),
            (&json!("message"), &json!(id))
        );
    }
    client.ping(); // it serves on
    let (mut told, mut dropped) = (0, 0);
    while told + dropped < messages {
        let line: Value = serde_json::from_str(&read_line(&mut log)).expect("whole lines");
        told += u64::from(line["event"] == "forwarded");
        dropped += line["lines"].as_u64().unwrap_or_default();
    }
    assert!(dropped > 0, "the pipe held everything");
    println!("{told} lines were written, {dropped} counted");
}

#[test]
fn a_full_disk_under_the_log_holds_nothing_up() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("it is there");
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let mut relay = Command::new(env!("CARGO_BIN_EXE_sealwax"));
    relay.args(["serve", "--listen", &address, "--ephemeral", "-vv"]).stderr(full);
    let relay = end_with_parent(&mut relay).spawn();
    let relay = Guarded(relay.expect("it starts"));
    let mut client = loop {
        if TcpStream::connect(&address).is_ok() {
            break Client::connect(address.parse().expect("an address"));
        }
    };
    client.send(&json!({"action": "register", "name": "JG", "pubkey": PEM, "roster": "none"}));
    for _ in 0..1_000 {
        client.ping();
    }
    drop(client);
    drop(relay);
}

/// With 64 descriptors, of which the relay may use few more than it has, newcomers cannot be
/// accepted. Those who are there are served, the relay does not spin, and newcomers are served once
/// there is room.
#[test]
fn a_relay_without_descriptors_serves_those_who_are_there_and_does_not_spin() {
    let mut limited = Command::new("prlimit");
    limited.args(["--nofile=64:64", env!("CARGO_BIN_EXE_sealwax"), "serve", "--ephemeral"]);
    limited.args(["--listen", "127.0.0.1:0", "--log", "json"]);
    let process = Process::spawn(&mut limited);
    let line: Value = serde_json::from_str(&process.talk_with("listening")).expect("an object");
    let relay = Relay::with(process, line["address"].as_str().expect("one").to_owned());
    let (mut jg, mut yidir) = (original(&relay, "JG"), original(&relay, "yidir"));
    let pid = relay.process.pid();
    let used = fs::read_dir(format!("/proc/{pid}/fd")).expect("ours").count();
    set_limit(pid, used);
    let mut waiting: Vec<_> = (0..5).map(|_| connect(&relay)).collect();
    relay.process.talk_with("accept_failed");
    let (before, started) = (cpu(pid), std::time::Instant::now());
    let mut rounds = 0;
    while started.elapsed() < Duration::from_secs(2) {
        jg.send(&json!({"action": "message", "to": "yidir", "content": "x"}));
        assert_eq!(yidir.frame()["content"], "x");
        rounds += 1;
        std::thread::sleep(Duration::from_millis(10));
    }
    let (used_cpu, elapsed) = (cpu(pid).saturating_sub(before), started.elapsed());
    println!(
        "without descriptors: {:.2} % of a processor over {elapsed:.1?}, {rounds} messages",
        100.0 * used_cpu.as_secs_f64() / elapsed.as_secs_f64()
    );
    let failures = counters(&relay)["accept_failed"].as_u64().expect("counted");
    assert!(failures < 200, "{failures} tries in two seconds: it rests between them");
    set_limit(pid, 64);
    // Some of them were turned away meanwhile; whoever still waits is served.
    let mut served = 0;
    for (number, client) in waiting.iter_mut().enumerate() {
        let name = format!("late{number}");
        let both = json!({"action": "register", "name": name, "pubkey": PEM, "roster": "none"});
        if client.try_send(&both) && client.try_send(&json!({"action": "ping"})) {
            served += usize::from(client.try_line().is_some());
        }
    }
    println!("{served} of {} who waited were served afterwards", waiting.len());
    original(&relay, "later").ping();
    jg.ping();
}

#[test]
fn a_home_has_one_relay_at_a_time() {
    let homes = Homes::new();
    let home = homes.path("relay");
    let relay = Relay::at_home(&home);
    let second = Process::start(&["serve", "--listen", "127.0.0.1:0", "--home", text(&home)]);
    let ended = second.end().with_code(1);
    assert!(ended.stderr[0].contains(&format!("process {}", relay.process.pid())), "{ended:?}");
    relay.process.signal(Signal::SIGKILL);
    relay.process.end();
    Relay::at_home(&home);
}

#[test]
fn an_operator_lists_names_and_releases_one() {
    let homes = Homes::new();
    let home = homes.path("relay");
    let names = |command: &[&str]| {
        let mut arguments = vec!["names", "--home", text(&home)];
        arguments.extend_from_slice(command);
        Process::start(&arguments).end()
    };
    assert!(names(&["list"]).with_code(1).stderr[0].contains(text(&home)), "no such relay");

    let relay = Relay::start(&["--home", text(&home), "--log", "json"]);
    let (alice, mallory) = (Account::alice(), Account::new("alice", pem("bob")));
    let mut client = connect(&relay);
    assert_eq!(alice.register(&mut client, RosterMode::None)["action"], "registered");
    let fp = fingerprint(&alice);
    let listed = names(&["list"]).with_code(0).stdout;
    assert!(listed.len() == 1 && listed[0].starts_with(&format!("alice {fp} 2")), "{listed:?}");
    assert!(names(&["release", "bob"]).with_code(4).stderr[0].contains("bob"));
    names(&["release", "Bob"]).with_code(6);

    let released = names(&["release", "alice"]).with_code(0);
    assert_eq!(released.stdout, [format!("alice is released: it was bound to {fp}")]);
    assert!(released.stderr[0].contains(&format!("kill -HUP {}", relay.process.pid())));
    assert!(names(&["list"]).with_code(0).stdout.is_empty());
    // The relay is told, and whoever is there keeps the name until they leave.
    let refused = |code: &str| {
        let mut client = connect(&relay);
        client.send(&mallory.claim(RosterMode::None));
        client.refused(code);
    };
    refused("name_bound");
    relay.process.signal(Signal::SIGHUP);
    relay.process.talk_with("\"released\"");
    refused("name_in_use");
    client.finish_writing();
    client.closed();
    let mut client = connect(&relay);
    let answer = mallory.register(&mut client, RosterMode::None);
    assert_eq!(answer["action"], "registered");
    let listed = names(&["list"]).with_code(0).stdout;
    assert!(listed[0].starts_with(&format!("alice {} ", fingerprint(&mallory))), "{listed:?}");
}

fn fingerprint(account: &Account) -> String {
    account.vault.public().fingerprint().to_string()
}

fn pem(name: &str) -> &'static str {
    support::fixtures::pem(name).leak()
}

/// The processor time of a process so far.
fn cpu(pid: u32) -> Duration {
    let clock = clock_getcpuclockid(Pid::from_raw(pid.cast_signed())).expect("it runs");
    clock_gettime(clock).expect("a clock").into()
}

/// Sets how many descriptors a running process may have.
fn set_limit(pid: u32, descriptors: usize) {
    let limit = format!("--nofile={descriptors}:64");
    let status = Command::new("prlimit").args(["--pid", &pid.to_string(), &limit]).status();
    assert!(status.expect("prlimit(1) is there").success());
}

fn read_line(from: &mut impl BufRead) -> String {
    let mut line = String::new();
    from.read_line(&mut line).expect("a line");
    assert!(line.ends_with('\n'), "the log has ended: {line:?}");
    line
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// A process that ends with the test.
struct Guarded(std::process::Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A relay that `sh` starts under such a limit, and the line that says where it listens or what is
/// wrong.
fn limited(limit: &str, options: &[&str]) -> Process {
    let script = format!("{limit}; exec \"$0\" serve --listen 127.0.0.1:0 --ephemeral \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_sealwax")]).args(options);
    Process::spawn(&mut command)
}

#[test]
fn a_relay_that_cannot_serve_does_not_start_and_one_that_serves_fewer_says_so() {
    for (limit, options) in [
        ("ulimit -n 32", &[][..]),
        ("ulimit -v 60000", &[]),
        ("ulimit -v 100000", &["--max-connections", "10"]),
        ("ulimit -v 160000", &[]),
        ("ulimit -v 204800", &["--inbox-common", "268435456"]),
        ("ulimit -v 204800", &["--outbox-common", "268435456"]),
    ] {
        let ended = limited(limit, options).end().with_code(1);
        assert!(ended.stderr.join("\n").contains("raise the limit"), "{ended:?}");
        assert!(!ended.transcript.contains("listening"), "{ended:?}");
    }
    let relay = limited("ulimit -n 1024", &["-q"]);
    let said = relay.talk_with("of the 100000 asked for");
    assert!(said.contains("1024 descriptors"), "{said}");
    let exactly = limited("ulimit -n 1024", &["--max-connections", "900"]);
    exactly.talk_with("listening");
    exactly.signal(Signal::SIGTERM);
    assert!(!exactly.end().with_code(0).transcript.contains("asked for"));
}

#[test]
fn under_a_limit_on_memory_users_are_refused_and_the_relay_lives() {
    const SLOW: usize = 150;
    raise_descriptor_limit().expect("it can be read"); // 800 users, two descriptors each
    let relay = Relay::of(limited("ulimit -v 368640", &["-q"]));
    // Unfinished frames, as many as there may be, and more.
    let half = format!("{{\"action\":\"message\",\"to\":\"{}", "x".repeat(60_000));
    let begun: Vec<_> = (0..600)
        .map(|number| {
            let mut client = original(&relay, &format!("half {number}"));
            client.write(half.as_bytes());
            client
        })
        .collect();
    // Users who do not read, up to the bound of all outboxes.
    let readers: Vec<_> = (0..SLOW).map(|n| original(&relay, &format!("slow {n}"))).collect();
    let mut sender = original(&relay, "sender");
    let mut refused = 0;
    for number in 0..SLOW {
        let to = format!("slow {number}");
        let text = "x".repeat(50_000);
        let frame = json!({"action": "message", "to": to, "id": "1", "content": text});
        // Bounded: what a socket of the kernel holds, and an outbox.
        for _ in 0..400 {
            sender.send(&frame);
            if sender.frame()["code"] == "queue_full" {
                refused += 1;
                break;
            }
        }
    }
    assert_eq!(refused, SLOW);
    sender.ping();
    drop((begun, readers));
    relay.process.signal(Signal::SIGTERM);
    relay.process.end().with_code(0);
}
