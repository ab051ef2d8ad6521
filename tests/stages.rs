//! The stages of `docs/loop/stages.md`, as processes: each has the fault that its section describes,
//! and the next has it not. Where the fault is that nothing comes, the order shows it: what comes
//! instead, or what has to happen before.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod support;
#[cfg(feature = "io-uring")]
#[path = "stages/uring.rs"]
mod uring;

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::sys::socket::{setsockopt, sockopt};
use serde_json::{Value, json};
use support::process::{Process, python};

/// How long a test waits for what has to come, before it fails.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running stage.
struct Stage {
    process: Process,
    at: SocketAddr,
}

impl Stage {
    fn start(number: usize) -> Self {
        Self::of(&mut Command::new(program(number)), &[])
    }

    /// Starts it with at most so many descriptors, and the seconds from one look to the next.
    fn limited(number: usize, descriptors: usize, seconds: &[&str]) -> Self {
        Self::of(&mut with_descriptors(&program(number), descriptors), seconds)
    }

    fn of(command: &mut Command, seconds: &[&str]) -> Self {
        let process = Process::spawn(command.arg("127.0.0.1:0").args(seconds));
        let line = process.line();
        let at = line.strip_prefix("listening on ").unwrap().parse().unwrap();
        Self { process, at }
    }

    fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.at).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client(stream)
    }

    /// A client that was accepted, for it has been answered. `said` is no more than one read.
    fn meet(&self, said: &[u8]) -> Client {
        let mut client = self.connect();
        client.say(said);
        client.hear(said);
        client
    }

    fn proc(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.process.pid()))
    }

    fn read_proc(&self, file: &str) -> String {
        fs::read_to_string(self.proc(file)).unwrap()
    }

    fn threads(&self) -> usize {
        let status = self.read_proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix("Threads:"));
        line.unwrap().trim().parse().unwrap()
    }

    /// `R`, `S`, …: proc(5).
    fn state(&self) -> char {
        let stat = self.read_proc("stat");
        stat.rsplit(") ").next().unwrap().chars().next().unwrap()
    }

    /// Clock ticks of processor time.
    fn cpu(&self) -> u64 {
        let stat = self.read_proc("stat");
        let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }

    /// Waits until it sleeps in one of these system calls, and returns its arguments. `None`: this
    /// system does not tell.
    fn sleeps_in(&self, calls: &[libc::c_long]) -> Option<Vec<u64>> {
        until(|| {
            let Ok(line) = fs::read_to_string(self.proc("syscall")) else { return Some(None) };
            let mut words = line.split_whitespace();
            let call = words.next()?.parse::<libc::c_long>().ok()?; // or `running`
            let hex = |word: &str| u64::from_str_radix(word.trim_start_matches("0x"), 16).unwrap();
            calls.contains(&call).then(|| Some(words.map(hex).collect()))
        })
    }

    /// The descriptors that its epoll instance watches: the listener first, for a process gets the
    /// lowest number that is free.
    fn watched(&self) -> BTreeSet<u64> {
        let all = fs::read_dir(self.proc("fd")).unwrap().map(|entry| entry.unwrap().path());
        let is_epoll = |path: &PathBuf| {
            fs::read_link(path).is_ok_and(|to| to.as_os_str() == "anon_inode:[eventpoll]")
        };
        let epoll = all.into_iter().find(is_epoll).unwrap();
        let info = self.read_proc(&format!("fdinfo/{}", epoll.file_name().unwrap().display()));
        let targets = info.lines().filter_map(|line| line.strip_prefix("tfd:"));
        targets.map(|rest| rest.split_whitespace().next().unwrap().parse().unwrap()).collect()
    }
}

struct Client(TcpStream);

impl Client {
    fn say(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    fn hear(&mut self, expected: &[u8]) {
        let mut heard = vec![0; expected.len()];
        self.0.read_exact(&mut heard).unwrap();
        assert_eq!(heard, expected);
    }

    /// The next frame, with its length.
    fn frame(&mut self) -> std::io::Result<Vec<u8>> {
        let mut frame = vec![0; 2];
        self.0.read_exact(&mut frame)?;
        frame.resize(2 + usize::from(u16::from_be_bytes([frame[0], frame[1]])), 0);
        self.0.read_exact(&mut frame[2..])?;
        Ok(frame)
    }

    /// Whether nothing has come yet. The connection is open.
    fn has_nothing(&self) -> bool {
        self.0.set_nonblocking(true).unwrap();
        let peeked = self.0.peek(&mut [0]);
        self.0.set_nonblocking(false).unwrap();
        peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    /// Waits for the end of the connection, and counts the bytes before it.
    fn end(mut self) -> usize {
        let mut bytes = Vec::new();
        match self.0.read_to_end(&mut bytes) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
        bytes.len()
    }

    /// Closes it with a reset (socket(7), `SO_LINGER` with no time).
    fn reset(self) {
        let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
        setsockopt(&self.0, sockopt::Linger, &at_once).unwrap();
    }

    /// Says an object, as `json.dumps` prints it.
    fn say_json(&mut self, object: &Value) {
        self.say(object.to_string().as_bytes());
    }

    /// The next object.
    fn hear_json(&self) -> Value {
        serde_json::Deserializer::from_reader(&self.0).into_iter().next().unwrap().unwrap()
    }
}

/// A frame as stages 5 to 8 read it.
fn frame(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap();
    [&length.to_be_bytes(), content].concat()
}

/// Asks until there is an answer.
fn until<T>(ask: impl Fn() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "it does not come to that");
        thread::sleep(Duration::from_millis(1));
    }
}

/// The program, with at most so many descriptors.
fn with_descriptors(program: &Path, descriptors: usize) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("ulimit -n {descriptors} && exec \"$0\" \"$@\"")]).arg(program);
    shell
}

/// The program of a stage.
fn program(number: usize) -> PathBuf {
    let sources = fs::read_dir(root().join("examples/stages")).unwrap();
    let mut sources = sources.map(|entry| entry.unwrap().path());
    let begins = |path: &PathBuf| {
        path.file_name().unwrap().to_string_lossy().starts_with(&format!("{number}_"))
    };
    let source = sources.find(begins).unwrap();
    example(&format!("stage{number}"), &source, &[])
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The program of an example: the one beside this test, if `cargo` has built it since its source was
/// changed; otherwise it is built now. (`cargo test` without a name builds all examples.)
fn example(name: &str, source: &Path, options: &[&str]) -> PathBuf {
    let mine = std::env::current_exe().unwrap();
    let beside = mine.parent().unwrap().with_file_name("examples").join(name);
    let changed = |path: &Path| fs::metadata(path).and_then(|it| it.modified()).ok();
    if changed(&beside) > changed(source) {
        return beside;
    }
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--message-format", "json", "--example", name]);
    cargo.args(options);
    // What cargo tells a test about its package would make build scripts run again.
    for (variable, _) in std::env::vars_os() {
        let name = variable.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"].iter().any(|it| name.starts_with(it)) {
            cargo.env_remove(&variable);
        }
    }
    let output = cargo.current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let messages = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut built = messages.filter(|it| it["target"]["name"] == name);
    built.find_map(|it| it["executable"].as_str().map(PathBuf::from)).unwrap()
}

#[test]
fn stage_1_serves_the_second_client_after_the_first_has_left_and_stage_2_at_once() {
    let stage = Stage::start(1);
    let mut first = stage.meet(b"first");
    let mut second = stage.connect();
    second.say(b"second");
    for _ in 0..100 {
        first.say(b"again"); // comes after what the second said, and is answered
        first.hear(b"again");
    }
    assert!(second.has_nothing());
    drop(first);
    second.hear(b"second");

    let stage = Stage::start(2);
    let mut first = stage.meet(b"first");
    let _second = stage.meet(b"second");
    first.say(b"again");
    first.hear(b"again");
}

#[test]
fn stage_2_has_a_thread_for_each_client_and_stage_3_has_one() {
    for (number, threads) in [(2, [11, 31]), (3, [1, 1])] {
        let stage = Stage::start(number);
        let mut clients: Vec<_> = (0..10).map(|_| stage.meet(b"here")).collect();
        assert_eq!(stage.threads(), threads[0], "stage {number}");
        clients.extend((0..20).map(|_| stage.meet(b"here")));
        assert_eq!(stage.threads(), threads[1], "stage {number}");
        drop(clients);
        until(|| (stage.threads() == 1).then_some(()));
    }
}

#[test]
fn stage_3_gives_the_kernel_each_descriptor_in_each_wait_and_stage_4_gives_it_none() {
    #[cfg(target_arch = "x86_64")]
    const WAITS: &[libc::c_long] =
        &[libc::SYS_poll, libc::SYS_ppoll, libc::SYS_epoll_wait, libc::SYS_epoll_pwait];
    #[cfg(not(target_arch = "x86_64"))]
    const WAITS: &[libc::c_long] = &[libc::SYS_ppoll, libc::SYS_epoll_pwait];

    let (polls, epolls) = (Stage::start(3), Stage::start(4));
    let mut clients = Vec::new();
    let mut before = None;
    for count in [1, 10, 100] {
        while clients.len() < 2 * count {
            clients.extend([&polls, &epolls].map(|stage| stage.meet(b"here")));
        }
        let Some(poll) = polls.sleeps_in(WAITS) else {
            return println!(
                "not checked, as this system does not tell in which call a process is"
            );
        };
        let watched = count as u64 + 1; // and the listener
        assert_eq!(poll[1], watched, "poll(fds, nfds, timeout)");
        let wait = epolls.sleeps_in(WAITS).unwrap();
        assert_eq!(wait[2], 64, "epoll_wait(epfd, events, maxevents, timeout)");
        assert_eq!(*before.get_or_insert_with(|| wait[..4].to_vec()), wait[..4], "the same call");
        assert_eq!(epolls.watched().len() as u64, watched, "the kernel keeps them");
    }
}

#[test]
fn stage_4_sends_back_half_a_frame_and_stage_5_passes_on_whole_ones() {
    let (alices, bobs) = (frame(b"hello from alice"), frame(b"hello from bob"));

    let stage = Stage::start(4);
    let mut alice = stage.connect();
    alice.say(&alices[..7]);
    alice.hear(&alices[..7]); // before the rest was even sent
    alice.say(&alices[7..]);
    alice.hear(&alices[7..]);

    let stage = Stage::start(5);
    let (mut alice, mut bob) = (stage.connect(), stage.connect());
    alice.say(&alices[..7]);
    let mut carol = stage.connect(); // accepted after what alice said was read, and before bob's
    carol.say(&frame(b""));
    alice.hear(&frame(b""));
    bob.say(&bobs);
    alice.hear(&bobs); // first, and whole
    alice.say(&[&alices[7..], &bobs[..1]].concat());
    alice.hear(&alices);
    alice.say(&bobs[1..]);
    alice.hear(&bobs);
    carol.hear(&[frame(b""), bobs.clone(), alices, bobs].concat());
}

/// Bytes of what alice says in `talk`.
const SIZE: usize = 60_000;

/// Has alice say frames, and read each before the next, until she has sent `count`, or is told to
/// stop. Counts what came back.
fn talk(mut alice: Client, count: usize, stop: &AtomicBool) -> usize {
    let said = frame(&vec![b'a'; SIZE]);
    for number in 0..count {
        if stop.load(Ordering::Relaxed) {
            return number;
        }
        alice.say(&said);
        while alice.frame().unwrap() != said {}
    }
    count
}

/// Bob was accepted, and reads nothing from now on. His kernel keeps little for him.
fn deaf_bob(stage: &Stage) -> Client {
    let bob = stage.meet(&frame(b"I am bob"));
    setsockopt(&bob.0, sockopt::RcvBuf, &4096).unwrap();
    bob
}

#[test]
fn stage_5_waits_for_a_client_that_does_not_read_and_stage_6_serves_the_others() {
    const COUNT: usize = 200; // 12 MB: more than a send buffer of the kernel and an outbox take
    let hello = frame(b"hello from carol");

    let stage = Stage::start(5);
    let bob = deaf_bob(&stage);
    let bobs_number = stage.watched().into_iter().nth(1).unwrap();
    let (alice, stop) = (stage.connect(), AtomicBool::new(false));
    thread::scope(|scope| {
        let talk = scope.spawn(|| talk(alice, usize::MAX, &stop));
        let waits_for_bob = || {
            let call = stage.sleeps_in(&[libc::SYS_sendto, libc::SYS_write])?;
            Some(call[0] == bobs_number)
        };
        let is_told = until(|| match waits_for_bob() {
            Some(false) => None,
            told => Some(told.is_some()),
        });
        stop.store(true, Ordering::Relaxed);
        if !is_told {
            println!("this system does not tell in which call a process is");
        }
        let mut carol = stage.connect();
        carol.say(&hello);
        assert!(!is_told || carol.has_nothing());
        drop(bob); // now the server goes on
        while carol.frame().unwrap() != hello {}
        talk.join().unwrap();
    });

    let stage = Stage::start(6);
    let _bob = deaf_bob(&stage);
    assert_eq!(talk(stage.connect(), COUNT, &AtomicBool::new(false)), COUNT);
    let _carol = stage.meet(&hello);
    // The listener and carol are left: alice has gone, and bob was closed.
    until(|| (stage.watched().len() == 2).then_some(()));
}

/// In one batch: alice says something; carol connects; bob, who is read after them, has broken his
/// connection. Tells whether carol was served.
fn is_newcomer_served(number: usize) -> bool {
    let stage = Stage::start(number);
    let mut alice = stage.meet(&frame(b"alice"));
    let bob = stage.meet(&frame(b"bob"));
    alice.hear(&frame(b"bob"));
    until(|| (stage.state() == 'S').then_some(()));
    stage.process.signal(Signal::SIGSTOP);
    until(|| (stage.state() == 'T').then_some(()));
    alice.say(&frame(b"for all"));
    let mut carol = stage.connect();
    bob.reset();
    stage.process.signal(Signal::SIGCONT);
    alice.hear(&frame(b"for all"));
    // Where she was closed already, this fails.
    let _ = carol.0.write_all(&frame(b"carol"));
    carol.frame().is_ok_and(|heard| heard == frame(b"carol"))
}

#[test]
fn stage_6_closes_a_newcomer_for_an_event_of_its_predecessor_and_stage_7_does_not() {
    // The kernel may hand the three over in another order when the machine is busy.
    assert!((0..20).any(|_| !is_newcomer_served(6)));
    assert!((0..20).all(|_| is_newcomer_served(7)));
}

#[test]
fn stage_7_has_no_descriptor_left_for_a_newcomer_and_stage_8_closes_the_silent() {
    const DESCRIPTORS: usize = 16;
    let hello = frame(b"hello");

    let stage = Stage::limited(7, DESCRIPTORS, &[]);
    let mut silent: Vec<_> = (0..DESCRIPTORS).map(|_| stage.connect()).collect();
    let mut newcomer = stage.connect();
    newcomer.say(&hello);
    // It does not sleep any more, although nobody sends anything: it spins.
    let before = stage.cpu();
    until(|| (stage.cpu() > before + 10).then_some(()));
    assert!(newcomer.has_nothing());
    silent.clear();
    newcomer.hear(&hello);

    let stage = Stage::limited(8, DESCRIPTORS, &["1"]);
    let silent: Vec<_> = (0..DESCRIPTORS).map(|_| stage.connect()).collect();
    let mut newcomer = stage.connect();
    newcomer.say(&hello);
    newcomer.hear(&hello);
    for client in silent {
        client.end();
    }
}

/// Users of stage 9 who know of each other.
fn users<const N: usize>(stage: &Stage, names: [&str; N]) -> [Client; N] {
    let mut users = names.map(|name| {
        let mut user = stage.connect();
        user.say_json(&json!({"action": "register", "name": name, "pubkey": "a key\n"}));
        assert_eq!(user.hear_json()["action"], "userlist");
        user
    });
    let last = users.len() - 1;
    for user in &mut users[..last] {
        while user.hear_json()["users"] != json!(names.as_slice()) {}
    }
    users
}

fn message(from: &str, to: &str, content: &str) -> Value {
    json!({"action": "message", "to": to, "from": from, "content": content})
}

#[test]
fn stage_8_tells_everybody_everything_and_stage_9_whom_it_is_for() {
    let stage = Stage::start(8);
    let mut carol = stage.meet(&frame(b"carol is here"));
    let mut alice = stage.meet(&frame(b"alice is here"));
    carol.hear(&frame(b"alice is here"));
    alice.say(&[frame(b"for bob"), frame(b"for carol")].concat());
    carol.hear(&frame(b"for bob"));

    let stage = Stage::start(9);
    let [mut alice, bob, carol] = users(&stage, ["alice", "bob", "carol"]);
    let for_bob = message("alice", "bob", "\u{e7}a va? \" \\ } \u{1f980}");
    let both = format!("{for_bob} {}", message("alice", "carol", "x"));
    let (front, rest) = both.as_bytes().split_at(40);
    alice.say(front);
    alice.say(rest);
    assert_eq!(bob.hear_json(), for_bob);
    assert_eq!(carol.hear_json(), message("alice", "carol", "x"), "her first");
    alice.say_json(&json!({"action": "get_pubkey", "target": "nobody", "from": "alice"}));
    alice.say_json(&json!({"action": "get_pubkey", "target": "bob", "from": "alice"}));
    assert_eq!(
        alice.hear_json(),
        json!({"action": "pubkey", "from": "bob", "pubkey": "a key\n"}),
        "nothing for nobody"
    );
    drop(bob);
    assert_eq!(alice.hear_json(), json!({"action": "userlist", "users": ["alice", "carol"]}));
}

#[test]
fn clients_of_the_original_protocol_talk_through_stage_9() {
    let stage = Stage::start(9);
    let address = stage.at.to_string();
    let talk = |name, peer| python("original_client.py", &[&address, name, peer, "50"]);
    let users = [talk("JG", "yidir"), talk("yidir", "JG")];
    for (user, name) in users.iter().zip(["JG", "yidir"]) {
        let told: Value = serde_json::from_str(&user.line()).unwrap();
        assert_eq!(told, json!({"name": name, "read": 50, "others": 0}));
    }
    for user in users {
        user.end().with_code(0);
    }
}

#[test]
fn stage_9_refuses_what_its_clients_could_not_read_or_should_not_believe() {
    let stage = Stage::start(9);
    let [mut alice, bob] = users(&stage, ["alice", "bob"]);
    let refused = [
        r#"{"action": "register", "name": "bob", "pubkey": ""}"#,
        r#"{"action": "register", "name": "b\u006fb", "pubkey": ""}"#,
        r#"{"action": "message", "to": "bob", "from": "alice", "content": ""}"#,
        r#"{"action": "register", "name": {"x": "y"}, "pubkey": ""}"#,
        "}",
        "[]}",
    ];
    for frame in refused {
        let mut eve = stage.connect();
        eve.say(frame.as_bytes());
        assert_eq!(eve.end(), 0, "{frame}");
    }
    for content in [r"\x", r"\u12", "\u{1}", r"\u+123"] {
        let [mut eve] = users(&stage, ["eve"]);
        let frame = r#"{"action": "message", "to": "bob", "from": "eve", "content": "C"}"#;
        eve.say(frame.replace('C', content).as_bytes());
        eve.end();
        for user in [&alice, &bob] {
            assert_eq!(user.hear_json()["users"], json!(["alice", "bob", "eve"]));
            assert_eq!(user.hear_json()["users"], json!(["alice", "bob"]), "{content}");
        }
    }
    let [mut eve] = users(&stage, ["eve"]);
    eve.say_json(&message("alice", "bob", "I owe you"));
    eve.end();
    alice.say_json(&message("alice", "bob", "true"));
    while bob.hear_json() != message("alice", "bob", "true") {}
}

#[test]
fn stage_9_closes_who_owes_something_and_keeps_a_silent_user() {
    let stage = Stage::limited(9, 64, &["1"]);
    let [mut alice, mut bob, carol] = users(&stage, ["alice", "bob", "carol"]);
    let stranger = stage.connect();
    bob.say(br#"{"action": "mess"#);
    assert_eq!(stranger.end(), 0);
    assert_eq!(bob.end(), 0);
    for user in [&alice, &carol] {
        assert_eq!(user.hear_json()["users"], json!(["alice", "carol"]));
    }
    alice.say_json(&message("alice", "carol", "still here"));
    assert_eq!(carol.hear_json()["content"], "still here");
}

#[test]
fn each_stage_goes_on_after_a_client_that_breaks() {
    for number in 1..=8 {
        let stage = Stage::start(number);
        stage.meet(&frame(b"hello")).reset();
        stage.meet(&frame(b"still here"));
    }
    let stage = Stage::start(9);
    let [alice] = users(&stage, ["alice"]);
    alice.reset();
    users(&stage, ["bob"]);
}
