//! The program with `--trace` and `--trace-file`: who reads them or does not, and that the program
//! goes on.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};
use sealwax::reactor::end_with_parent;
use serde_json::{Value, json};

use crate::support::process::{Homes, Process, Relay, text};
use crate::support::relay::Client;

/// An original client that is registered, and wants no rosters.
fn join(relay: &str, name: &str) -> Client {
    Client::original(relay.parse().expect("an address"), name)
}

/// The relay has said in one line that its trace has ended, and why; it ends as it was asked to.
fn one_line(relay: Relay, why: &str) {
    relay.process.signal(Signal::SIGTERM);
    let said = relay.process.end().with_code(0).transcript;
    let told: Vec<_> = said.lines().filter(|line| line.contains("trace")).collect();
    assert!(told.len() == 1 && told[0].contains(why), "{said}");
}

/// A relay whose standard error only the test reads, or does not.
fn unread(options: &[&str]) -> (Child, String) {
    let mut relay = Command::new(env!("CARGO_BIN_EXE_sealwax"));
    relay.args(["serve", "--ephemeral", "--listen", "127.0.0.1:0"]).args(options);
    let child = end_with_parent(relay.stderr(Stdio::piped())).spawn();
    let mut child = child.expect("it runs");
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    let mut line = String::new();
    while !line.starts_with("listening on ") {
        line.clear();
        stderr.read_line(&mut line).expect("it says where it listens");
    }
    let address = line.trim_end().rsplit(' ').next().expect("an address").to_owned();
    child.stderr = Some(stderr.into_inner());
    (child, address)
}

fn terminate(mut child: Child) {
    let pid = Pid::from_raw(child.id().try_into().expect("a pid"));
    kill(pid, Signal::SIGTERM).expect("it runs");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn a_full_disk_ends_the_trace_with_one_line_and_the_relay_goes_on() {
    let relay = Relay::start(&["--ephemeral", "--trace-file", "/dev/full"]);
    let mut user = join(&relay.address, "JG");
    user.ping();
    one_line(relay, "ENOSPC");
}

#[test]
fn a_pipe_that_is_closed_ends_the_trace_with_one_line_and_the_relay_goes_on() {
    let homes = Homes::new();
    let pipe = homes.path("pipe");
    mkfifo(&pipe, Mode::S_IRUSR | Mode::S_IWUSR).expect("a pipe");
    let reader = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&pipe);
    let reader = reader.expect("opened");
    let relay = Relay::start(&["--ephemeral", "--trace-file", text(&pipe)]);
    let mut user = join(&relay.address, "JG");
    drop(reader);
    user.ping();
    user.ping();
    one_line(relay, "EPIPE");
}

#[test]
fn a_file_that_cannot_be_opened_is_told_at_once() {
    let serve = ["serve", "--ephemeral", "--listen", "127.0.0.1:0", "--trace-file"];
    let ended = Process::start(&[&serve[..], &["/nowhere/at/all"]].concat()).end().with_code(1);
    assert!(ended.stderr[0].contains("/nowhere/at/all"), "{ended:?}");
}

#[test]
fn a_standard_error_that_is_closed_ends_the_trace_and_the_relay_goes_on() {
    let (mut relay, address) = unread(&["--trace"]);
    drop(relay.stderr.take());
    let mut user = join(&address, "JG");
    user.ping();
    terminate(relay);
}

#[test]
fn a_standard_error_that_is_not_read_holds_nothing_up_and_is_told_what_it_missed() {
    let (mut relay, address) = unread(&["--trace"]);
    let mut user = join(&address, "JG");
    // More than the pipe and the queue hold: a tick with a hundred refusals takes 7 kB.
    let nobody = json!({"action": "message", "to": "nobody", "content": ""}).to_string();
    for _ in 0..250 {
        user.write(nobody.repeat(100).as_bytes());
        for _ in 0..100 {
            user.refused("unknown_user");
        }
    }
    let mut stderr = relay.stderr.take().expect("piped");
    let (mut told, mut some) = (String::new(), vec![0; 64 * 1024]);
    while !told.contains("ticks are missing here") {
        assert!(told.len() < 4 << 20, "nothing is missing");
        let read = stderr.read(&mut some).expect("it was full, and the loop goes on");
        told.push_str(&String::from_utf8_lossy(&some[..read]));
        user.ping(); // what waits is written behind what the loop does next
    }
    let rest = std::thread::spawn(move || stderr.read_to_end(&mut Vec::new()).expect("its end"));
    user.ping();
    terminate(relay);
    rest.join().expect("it was read");
}

#[test]
fn the_demo_traces_its_three_loops_and_nothing_of_what_is_said() {
    let homes = Homes::new();
    let file = homes.path("trace.json");
    let command = ["demo", "--trace=json", "--trace-file", text(&file)];
    let ended = Process::start(&command).end().with_code(0);
    let ticks: Vec<Value> =
        ended.stderr.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    for name in ["relay", "alice", "bob"] {
        assert!(ticks.iter().any(|tick| tick["loop"] == name), "{name}");
    }
    let file = fs::read_to_string(&file).expect("it was written");
    let events: Vec<Value> = serde_json::from_str(&file).expect("one array");
    let threads = events.iter().filter(|event| event["name"] == "thread_name").count();
    assert_eq!(threads, 3);
    for said in ["Hello Bob", "Then let us talk"] {
        assert!(!file.contains(said) && ended.stderr.iter().all(|line| !line.contains(said)));
    }
    assert!(file.contains("\"message\""), "the words of the relay are in it");
}

#[test]
fn chat_tells_its_own_loop_and_not_what_is_written() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let file = homes.path("trace.json");
    let mut alice = homes.client("alice", &relay.address, &["chat", "--json", "--trace"]);
    let chat = ["chat", "--json", "-q", "--trace-file", text(&file)];
    let bob = homes.client("bob", &relay.address, &chat);
    alice.event("registered");
    bob.event("registered");
    alice.say(r#"{"to":"bob","text":"the gold is under the oak","id":"7"}"#);
    assert_eq!(bob.event("message")["text"], "the gold is under the oak");
    alice.event("delivered");
    let told = alice.end().with_code(0).stderr.join("\n");
    bob.end().with_code(0);
    for words in ["standard input: received", "“7 to bob: delivered”", "epoll_wait("] {
        assert!(told.contains(words), "no {words:?} in {told}");
    }
    let file = fs::read_to_string(file).expect("it was written");
    assert!(file.contains("\"from\":\"alice\""), "{file}");
    assert!(!told.contains("gold") && !file.contains("gold"));
}

#[test]
fn without_the_options_nothing_is_told() {
    let relay = Relay::start(&["--ephemeral", "-q"]);
    join(&relay.address, "JG").ping();
    relay.process.signal(Signal::SIGTERM);
    let said = relay.process.end().with_code(0).transcript;
    assert!(said.contains("listening on ") && !said.contains("tick "), "{said}");
}
