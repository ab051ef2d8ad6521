//! What a script believes of the line client: every wait ends, exit codes are true, standard input
//! is sent as it is, and signals are those that the shell meant.

#![allow(clippy::expect_used)] // a test says what it expects

mod support;

use std::fs::{self, File};
use std::io::{PipeReader, Write, pipe};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::thread;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::Signal;
use serde_json::Value;
use support::process::{Homes, Process, Relay};

/// More lines than may be unconfirmed.
const MANY: usize = 400;

/// An address at which nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it has one").to_string()
}

/// Writes so many lines, or as many as are read; the input stays open.
fn pour(process: &mut Process, line: impl Fn(usize) -> String + Send + 'static) {
    let mut input = process.input();
    thread::spawn(move || {
        for number in 0..MANY {
            if writeln!(input, "{}", line(number)).is_err() {
                return;
            }
        }
        thread::park(); // not the end of input: whoever reads has to leave by itself
        drop(input);
    });
}

/// `sealwax send` with this as its standard input.
fn send_from(homes: &Homes, relay: &Relay, more: &[&str], input: impl Into<Stdio>) -> Process {
    let options = homes.options("alice", &relay.address);
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealwax"));
    Process::spawn_from(command.args(["send", "bob"]).args(more).args(options), input)
}

/// `sealwax` with the identity of alice, started by a shell that redirects its streams.
fn in_shell(homes: &Homes, relay: &Relay, command: &str, redirections: &str) -> Process {
    let options = homes.options("alice", &relay.address).join(" ");
    let program = env!("CARGO_BIN_EXE_sealwax");
    let line = format!("exec {program} {command} {options} {redirections}");
    Process::spawn(Command::new("sh").args(["-c", &line]))
}

#[test]
fn lines_that_have_to_wait_do_not_outlive_the_wait_where_no_relay_is() {
    let homes = Homes::new();
    let relay = nobody();
    let mut send = homes.client("alice", &relay, &["send", "--wait", "1", "bob"]);
    pour(&mut send, |number| number.to_string());
    let mut chat = homes.client("bob", &relay, &["chat", "--wait", "1", "alice"]);
    pour(&mut chat, |number| number.to_string());
    let mut json = homes.client("carol", &relay, &["chat", "--json", "--wait", "1"]);
    pour(&mut json, |number| format!(r#"{{"to":"bob","text":"{number}"}}"#));
    for client in [send, chat, json] {
        let ended = client.end().with_code(5);
        let missed = "32 messages were not confirmed in time: line 1 is the first of them";
        for said in [missed, "nothing was read after line 32"] {
            assert!(ended.transcript.contains(said), "{said}: {ended:?}");
        }
    }
}

#[test]
fn nor_where_the_relay_or_the_recipient_goes_in_the_middle() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let bob = homes.client("bob", &relay.address, &["recv", "-n", "1"]);
    bob.talk_with("you are bob");
    let mut alice = homes.client("alice", &relay.address, &["send", "--wait", "1", "bob"]);
    pour(&mut alice, |number| number.to_string());
    assert_eq!(bob.end().with_code(0).stdout, ["alice: 0"]);
    let ended = alice.end().with_code(4);
    assert!(ended.transcript.contains("bob is not connected"), "{ended:?}");

    let bob = homes.client("bob", &relay.address, &["recv"]);
    bob.talk_with("you are bob");
    let mut alice = homes.client("alice", &relay.address, &["send", "--wait", "1", "bob"]);
    alice.say("first");
    assert_eq!(bob.line(), "alice: first");
    relay.process.signal(Signal::SIGKILL);
    pour(&mut alice, |number| number.to_string());
    alice.end().with_code(5);
}

#[test]
fn a_standard_input_that_cannot_be_read_is_not_one_that_has_ended() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let directory = File::open(homes.path(".")).expect("a directory can be opened");
    let ended = send_from(&homes, &relay, &[], directory).end().with_code(1);
    assert!(ended.transcript.contains("standard input cannot be read: Is a directory"));
    for command in ["send bob", "chat bob"] {
        let closed = in_shell(&homes, &relay, command, "<&-").end().with_code(1);
        assert!(closed.transcript.contains("standard input is closed"), "{closed:?}");
        // What Python and others open for who has nothing to say.
        in_shell(&homes, &relay, command, "0<>/dev/null").end().with_code(0);
    }
}

#[test]
fn nothing_is_shown_on_a_standard_output_that_is_closed() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    for command in ["recv -n 1", "chat --json", "send bob hi", "keys list"] {
        let closed = in_shell(&homes, &relay, command, ">&-").end().with_code(1);
        assert!(closed.transcript.contains("standard output is closed"), "{closed:?}");
    }
    for command in ["--help", "--version", "man", "completions bash", "names list --help"] {
        for (to, why) in [(">&-", "is closed"), (">/dev/full", "No space left on device")] {
            let line = format!("{} {command} {to}", env!("CARGO_BIN_EXE_sealwax"));
            let ended = Process::spawn(Command::new("sh").args(["-c", &line])).end().with_code(1);
            assert!(ended.transcript.contains(why), "{line}: {ended:?}");
        }
    }
}

#[test]
fn a_chat_in_a_pipe_ends_with_what_its_commands_came_to() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let with = |lines: &[&str], code: i32, words: &str| {
        let mut chat = homes.client("alice", &relay.address, &["chat", "--wait", "5"]);
        for line in lines {
            chat.say(line);
        }
        let ended = chat.end().with_code(code);
        assert!(ended.transcript.contains(words), "{words}: {ended:?}");
    };
    with(&["hello"], 1, "line 1: to whom?");
    with(&["", "/nothing"], 1, "line 2: there is no /nothing");
    with(&["/to Bob"], 1, "line 1: Bob cannot be a name");
    with(&["/trust bob"], 4, "no other key of bob was seen");
    with(&["/verify bob 12345"], 4, "no key of bob is known yet");
    with(&["/users", "/help", "/quit"], 0, "/verify NAME");

    let bob = homes.client("bob", &relay.address, &["recv"]);
    bob.talk_with("you are bob");
    with(&["@bob hi"], 0, "delivered");
    with(&["/verify bob"], 0, "read it to each other");
    with(&["/verify bob 12345"], 3, "THIS IS NOT the number of bob");
}

#[test]
fn lines_are_sent_as_they_stand_and_a_whole_file_is_one_message() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let bob = homes.client("bob", &relay.address, &["recv", "--json", "-n", "5"]);
    bob.event("registered");
    let notes = homes.path("notes.txt");
    fs::write(&notes, "first\r\n\n  last, without an end").expect("written");
    let open = || File::open(&notes).expect("opened");
    send_from(&homes, &relay, &[], open()).end().with_code(0);
    let mut texts: Vec<_> = (0..3).map(|_| bob.event("message")["text"].clone()).collect();
    send_from(&homes, &relay, &["--whole"], open()).end().with_code(0);
    texts.push(bob.event("message")["text"].clone());
    fs::write(&notes, "its last line end\nis not part of it\n").expect("written");
    send_from(&homes, &relay, &["--whole"], open()).end().with_code(0);
    texts.push(bob.event("message")["text"].clone());
    let whole = ["first\r\n\n  last, without an end", "its last line end\nis not part of it"];
    let lines = ["first\r", "", "  last, without an end"];
    assert_eq!(texts, [&lines[..], &whole[..]].concat());

    fs::write(&notes, "x".repeat(20_000)).expect("written");
    let ended = send_from(&homes, &relay, &["--whole"], open()).end().with_code(1);
    assert!(ended.transcript.contains("standard input is longer than the"), "{ended:?}");
}

#[test]
fn a_line_that_cannot_be_sent_has_a_number() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let bob = homes.client("bob", &relay.address, &["recv"]);
    bob.talk_with("you are bob");
    let notes = homes.path("notes.txt");
    let long = "x".repeat(20_000);
    fs::write(&notes, [b"one\n\xff\n", long.as_bytes(), b"\nfour\n"].concat()).expect("written");
    let ended = send_from(&homes, &relay, &[], File::open(&notes).expect("opened"));
    let ended = ended.end().with_code(1);
    assert!(ended.transcript.contains("line 2: it is not UTF-8 (see byte 1)"), "{ended:?}");
    assert!(ended.transcript.contains("line 3: "), "{ended:?}");
    assert_eq!([bob.line(), bob.line()], ["alice: one", "alice: four"]);
}

#[test]
fn what_fails_later_has_the_number_of_its_line_too() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let bob = homes.client("bob", &relay.address, &["recv"]);
    bob.talk_with("you are bob");
    let mut chat = homes.client("alice", &relay.address, &["chat", "--json"]);
    let mut say = |to: &str, told: &str| {
        chat.say(&format!(r#"{{"to":"{to}","text":"hi"}}"#));
        chat.event(told)["id"].clone()
    };
    let ids = [say("bob", "delivered"), say("nobody", "failed"), say("Bob", "failed")];
    assert_eq!(ids, ["1", "2", "3"]);
    chat.end().with_code(4);
    // And with `--json` it is told where a script looks for it.
    let program = File::open(env!("CARGO_BIN_EXE_sealwax")).expect("it is there");
    let send = send_from(&homes, &relay, &["--whole", "--json"], program);
    assert_eq!(send.event("warning")["code"], "bad_input");
    send.end().with_code(1);
}

#[test]
fn a_full_disk_is_told_as_one() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealwax"));
    let options = homes.options("bob", &relay.address);
    let full = File::options().write(true).open("/dev/full").expect("it is there");
    command.args(["recv", "-vv"]).args(options);
    let bob = Process::spawn_to(&mut command, full);
    bob.talk_with("you are bob");
    homes.client("alice", &relay.address, &["send", "--wait", "1", "bob", "hi"]).end();
    let ended = bob.end().with_code(1);
    let told = "standard output cannot be written: No space left on device";
    assert!(ended.transcript.contains(told), "{ended:?}");
}

/// The end of a pipe that takes nothing more, and the other one, which nobody reads.
fn full_pipe() -> (File, PipeReader) {
    let (reader, writer) = pipe().expect("a pipe");
    let writer = File::from(OwnedFd::from(writer));
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("fcntl(2)");
    while (&writer).write(b"x").is_ok() {}
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::empty())).expect("fcntl(2)");
    (writer, reader)
}

#[test]
fn what_nobody_took_from_standard_output_is_not_passed_over_in_silence() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let options = homes.options("alice", &relay.address);
    let chat = |output: Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sealwax"));
        command.args(["chat", "--json", "--wait", "5"]).args(&options);
        Process::spawn_to(&mut command, output)
    };
    let (stuck, _reader) = full_pipe();
    let ended = chat(stuck.into()).end().with_code(1);
    assert!(ended.transcript.contains("standard output takes nothing"), "{ended:?}");
    // The code of what has happened before is not lost over it.
    let (stuck, _reader) = full_pipe();
    let mut chat = chat(stuck.into());
    chat.say(r#"{"to":"bob","text":"hi"}"#);
    let ended = chat.end().with_code(4);
    assert!(ended.transcript.contains("standard output takes nothing"), "{ended:?}");
}

#[test]
fn who_does_not_wait_does_not_wait_for_a_relay_either() {
    let (homes, relay) = (Homes::new(), nobody());
    let send = homes.client("alice", &relay, &["send", "--wait", "0", "bob", "hi"]);
    let ended = send.end().with_code(5);
    assert_eq!(ended.transcript.matches("cannot be reached").count(), 1, "{ended:?}");
}

#[test]
fn each_send_reaches_a_recipient_who_comes_and_goes() {
    const COUNT: usize = 20;
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let (home, address) = (homes.options("bob", &relay.address), relay.address.clone());
    let receiver = thread::spawn(move || {
        let home: Vec<_> = home.iter().map(String::as_str).collect();
        let mut lines = Vec::new();
        while lines.len() < COUNT {
            let recv = [&["recv", "-n", "1", "--wait", "60"], &home[..]].concat();
            lines.extend(Process::start(&recv).end().with_code(0).stdout);
        }
        lines
    });
    for number in 0..COUNT {
        let text = number.to_string();
        homes.client("alice", &address, &["send", "--wait", "60", "bob", &text]).end().with_code(0);
    }
    let expected: Vec<_> = (0..COUNT).map(|number| format!("alice: {number}")).collect();
    assert_eq!(receiver.join().expect("it heard them"), expected);
}

#[test]
fn send_waits_for_who_is_not_there_yet_unless_it_is_told_not_to() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let early = homes.client("alice", &relay.address, &["send", "--wait", "60", "bob", "hi"]);
    early.talk_with("bob is not connected");
    let bob = homes.client("bob", &relay.address, &["recv", "-n", "2"]);
    assert_eq!(bob.line(), "alice: hi");
    early.end().with_code(0);
    homes.client("alice", &relay.address, &["send", "--wait", "0", "bob", "ho"]).end().with_code(0);
    assert_eq!(bob.end().with_code(0).stdout, ["alice: ho"]);
    let late = homes.client("alice", &relay.address, &["send", "--wait", "0", "bob", "too late"]);
    late.end().with_code(4);
    let waits = homes.client("alice", &relay.address, &["send", "--wait", "0.5", "bob", "hi"]);
    waits.end().with_code(4);
}

#[test]
fn received_messages_go_on_at_the_front_of_a_file_that_is_cut_short() {
    let homes = Homes::new();
    let relay = Relay::at_home(&homes.path("relay"));
    let path = homes.path("messages");
    let file = File::create(&path).expect("created"); // as `>FILE` does
    let mut recv = Command::new(env!("CARGO_BIN_EXE_sealwax"));
    recv.args(["recv", "--json", "-n", "2"]).args(homes.options("bob", &relay.address));
    let recv = Process::spawn_to(&mut recv, file);
    let mut send = homes.client("alice", &relay.address, &["send", "--wait", "60", "bob"]);
    send.say("one");
    let read = || fs::read_to_string(&path).expect("it is text");
    while !read().contains("\"one\"") {
        thread::yield_now();
    }
    File::options().write(true).open(&path).expect("opened").set_len(0).expect("cut short");
    send.say("two");
    send.finish_input();
    send.end().with_code(0);
    recv.end().with_code(0);
    let left = read();
    for line in left.lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|bad| panic!("{bad}: {line:?}"));
    }
    assert!(left.contains("\"two\"") && !left.contains("\"one\""), "{left}");
}

#[test]
fn a_signal_that_was_ignored_at_the_start_stays_ignored() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let options = homes.options("bob", &relay.address).join(" ");
    let program = env!("CARGO_BIN_EXE_sealwax");
    let line = format!("trap '' HUP INT; exec {program} recv -vv {options}");
    let bob = Process::spawn(Command::new("sh").args(["-c", &line]));
    bob.talk_with("you are bob");
    for signal in [Signal::SIGHUP, Signal::SIGINT] {
        bob.signal(signal);
        let hello = format!("after {signal}");
        homes.client("alice", &relay.address, &["send", "bob", &hello]).end().with_code(0);
        assert_eq!(bob.line(), format!("alice: {hello}"));
    }
    bob.signal(Signal::SIGTERM);
    bob.end().with_code(0);

    let line = format!("trap '' HUP; exec {program} serve --listen 127.0.0.1:0 --ephemeral");
    let serve = Process::spawn(Command::new("sh").args(["-c", &line]));
    serve.talk_with("listening on");
    serve.signal(Signal::SIGHUP);
    serve.signal(Signal::SIGTERM);
    let ended = serve.end().with_code(0);
    assert!(!ended.transcript.contains("SIGHUP"), "{ended:?}");
}

/// A name server that hears and does not answer, for processes of a mount namespace of their own.
struct DeafNameServer {
    _socket: std::net::UdpSocket,
    homes: Homes,
}

impl DeafNameServer {
    /// None where this user may not do that.
    fn new() -> Option<Self> {
        let socket = std::net::UdpSocket::bind("127.9.9.9:53").ok()?;
        let homes = Homes::new();
        fs::write(homes.path("resolv.conf"), "nameserver 127.9.9.9\n").expect("written");
        let allowed = Command::new("unshare").args(["-m", "true"]).status();
        allowed.is_ok_and(|status| status.success()).then_some(Self { _socket: socket, homes })
    }

    /// `sealwax COMMAND` of alice, who knows the relay by a name.
    fn client(&self, command: &[&str]) -> Process {
        let script = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
        let resolv = self.homes.path("resolv.conf");
        let options = self.homes.options("alice", "relay.example:12345");
        let mut unshare = Command::new("unshare");
        unshare.args(["-m", "sh", "-c", script]).arg(resolv);
        unshare.arg(env!("CARGO_BIN_EXE_sealwax")).args(command).args(options).arg("-vv");
        Process::spawn(&mut unshare)
    }
}

#[test]
fn a_name_that_nobody_looks_up_holds_neither_the_wait_nor_a_signal_up() {
    let Some(server) = DeafNameServer::new() else {
        return eprintln!("not run: no mount namespace, or no port 53, for this user");
    };
    let began = std::time::Instant::now();
    let ended = server.client(&["send", "--wait", "0.5", "bob", "hi"]).end().with_code(5);
    assert!(ended.transcript.contains("1 message was not confirmed"), "{ended:?}");
    eprintln!("gave up after {:?}", began.elapsed()); // the resolver itself takes 10 s
    let mut recv = server.client(&["recv"]);
    recv.finish_input();
    while !running_thread(recv.pid(), "resolver") {
        std::thread::yield_now();
    }
    recv.signal(Signal::SIGTERM);
    assert!(!recv.end().transcript.contains("cannot be reached"), "before the resolver was done");
}

/// Whether a process has a thread of this name (`proc_pid_comm(5)`).
fn running_thread(pid: u32, name: &str) -> bool {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    let names = tasks.flatten().map(|task| fs::read_to_string(task.path().join("comm")));
    names.flatten().any(|found| found.trim_end() == name)
}
