//! A process that is killed at any system call leaves the identity and the trust file whole: the
//! old content or the new one, and the next start works. A relay that is killed has every letter
//! that it called `stored`.
//!
//! `strace` kills: it runs the same command again and again, each time up to the next call. Where
//! it is not to be had, or may not trace, the tests say so and do nothing.

#![allow(clippy::expect_used)] // a test says what it expects

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use sealwax::home::Home;
use sealwax::limits::MLKEM_KEY;
use sealwax::reactor::end_with_parent;
use sealwax::wire::{LetterKey, LetterKind, RosterMode, TakeMode, compose};
use serde_json::Value;
use support::fixtures::{pem, public};
use support::process::{Homes, Process, Relay, text};
use support::relay::{Account, Client};

/// Set in the process that makes an identity; names the home.
const MAKE_IN: &str = "SEALWAX_TEST_MAKE_IN";

/// Whether this machine lets us trace.
fn may_trace() -> bool {
    let tried = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    let may = tried.is_ok_and(|output| output.status.success());
    if !may {
        println!("skipped: strace is missing, or may not trace here");
    }
    may
}

/// One system call of a run: its name, and how many of that name its thread has made with it.
struct Call {
    name: String,
    number: usize,
}

/// The calls of `command` from the first that names `home` on.
fn calls(command: &Command, home: &Path) -> Vec<Call> {
    let log = home.with_extension("trace");
    let options = ["-f", "-qq", "-s", "4096", "-o", text(&log)];
    assert!(traced(&options, command).status.success(), "the whole run");
    let trace = fs::read_to_string(log).expect("strace has written");
    let (mut counts, mut calls) = (BTreeMap::new(), Vec::new());
    let mut has_begun = false;
    for line in trace.lines() {
        // "PID name(arguments…": what is resumed was counted, and signals are no calls.
        let Some((head, _)) = line.split_once('(') else { continue };
        let mut words = head.split_ascii_whitespace();
        let (Some(thread), Some(name), None) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let count = counts.entry((thread, name)).or_insert(0);
        *count += 1;
        has_begun |= line.contains(text(home));
        // Nothing can be injected into the last call, and memory is nobody's file.
        if has_begun && !["exit_group", "munmap", "mmap", "brk", "madvise"].contains(&name) {
            calls.push(Call { name: name.to_owned(), number: *count });
        }
    }
    calls
}

/// Runs `command` under strace.
fn traced(options: &[&str], command: &Command) -> Output {
    let mut strace = Command::new("strace");
    strace.args(options).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        strace.env(name, value.expect("only set"));
    }
    end_with_parent(strace.stdin(Stdio::null())).output().expect("it was tried")
}

/// Kills `command` at each of its calls; `check` looks at what is left, and sets the scene again.
fn kill_at_each(
    command: &Command,
    home: &Path,
    mut set: impl FnMut(),
    mut check: impl FnMut(&str),
) {
    set();
    let calls = calls(command, home);
    assert!(calls.len() > 10, "it does something");
    let mut killed = 0;
    for Call { name, number } in &calls {
        set();
        let inject = format!("inject={name}:signal=KILL:when={number}");
        let trace = format!("trace={name}");
        let options = ["-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
        killed += usize::from(!traced(&options, command).status.success());
        check(&format!("killed at {name} {number}"));
    }
    println!("killed {killed} times at {} calls", calls.len());
    assert!(killed * 10 > calls.len() * 8, "strace kills");
}

#[test]
fn the_trust_file_is_the_old_or_the_new_one_whenever_its_writer_is_killed() {
    if !may_trace() {
        return;
    }
    let homes = Homes::new();
    let home = homes.of("alice");
    let [old, new] = ["bob", "carol"].map(|name| public(name).fingerprint().to_string());
    let before = format!("# mine\nbob {old} 5 verified\ndamaged\n");
    let peers = home.join("known_peers");
    let mut trust = Command::new(env!("CARGO_BIN_EXE_sealwax"));
    trust.args(["keys", "trust", "bob", &new, "--home", text(&home)]);
    let (mut olds, mut news) = (0, 0);
    let check = |when: &str| {
        let after = fs::read_to_string(&peers).expect("it is there");
        if after == before {
            olds += 1;
        } else {
            let pinned: Vec<_> = after.lines().filter(|line| line.starts_with("bob ")).collect();
            assert!(
                after.starts_with("# mine\n") && after.ends_with("\ndamaged\n"),
                "{when}: {after}"
            );
            assert!(pinned.len() == 1 && pinned[0].contains(&new), "{when}: {after}");
            news += 1;
        }
        let mut list = Command::new(env!("CARGO_BIN_EXE_sealwax"));
        let listed = list.args(["keys", "list", "--home", text(&home)]).output().expect("it runs");
        assert!(listed.status.success(), "{when}: {listed:?}");
        let listed = String::from_utf8(listed.stdout).expect("UTF-8");
        assert!(listed.contains(&old) != listed.contains(&new), "{when}: {listed}");
    };
    let set = || home_file(&home, "known_peers", &before);
    kill_at_each(&trust, &home, set, check);
    assert!(olds > 0 && news > 0, "{olds} times the old one, {news} times the new one");
}

#[test]
fn the_identity_is_whole_or_not_there_whenever_its_maker_is_killed() {
    // Making a key takes too long to do it for each call: the maker is this test, with a key that
    // it has, on the same way to the disk.
    if let Some(home) = std::env::var_os(MAKE_IN) {
        let home = Home::open(home).expect("a home");
        return home.write_new("identity.pem", pem("alice").as_bytes()).expect("made");
    }
    if !may_trace() {
        return;
    }
    let homes = Homes::new();
    let home = homes.path("new");
    let test = std::thread::current().name().expect("the test's own").to_owned();
    let mut make = Command::new(std::env::current_exe().expect("this binary"));
    make.args([&test, "--exact", "--nocapture"]).env(MAKE_IN, &home);
    let (mut whole, mut missing) = (0, 0);
    let check = |when: &str| {
        let mut show = Command::new(env!("CARGO_BIN_EXE_sealwax"));
        show.args(["keys", "show", "--name", "alice", "--home", text(&home)]);
        let shown = show.output().expect("it runs");
        if fs::exists(home.join("identity.pem")).expect("readable") {
            assert_eq!(fs::read_to_string(home.join("identity.pem")).expect("ours"), pem("alice"));
            assert!(shown.status.success(), "{when}: {shown:?}");
            whole += 1;
        } else {
            assert_eq!(shown.status.code(), Some(8), "{when}: {shown:?}");
            missing += 1;
        }
    };
    let set = || _ = fs::remove_dir_all(&home);
    kill_at_each(&make, &home, set, check);
    assert!(whole > 0 && missing > 0, "{whole} times whole, {missing} times missing");
}

/// Writes a file that only we may read.
fn home_file(home: &Path, name: &str, content: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(home.join(name), content).expect("ours");
    fs::set_permissions(home.join(name), fs::Permissions::from_mode(0o600)).expect("ours");
}

/// A relay in a process of its own; strace is not its parent, so it ends with this test.
struct TracedRelay {
    process: Child,
    address: SocketAddr,
}

impl TracedRelay {
    /// Starts one that is killed at call number `number` of this name, counted in each of its
    /// threads. `None`: it was killed before it listened.
    fn start(home: &Path, call: &str, number: usize) -> Option<Self> {
        let inject = format!("inject={call}:signal=KILL:when={number}");
        let mut strace = Command::new("strace");
        strace.args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
        strace.args(["-e", &inject, env!("CARGO_BIN_EXE_sealwax"), "serve", "--log", "json"]);
        strace.args(["--listen", "127.0.0.1:0", "--home", text(home)]);
        strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = end_with_parent(&mut strace).spawn().expect("it starts");
        let stderr = BufReader::new(process.stderr.take().expect("piped"));
        for line in stderr.lines() {
            let line: Value = serde_json::from_str(&line.expect("UTF-8")).expect("JSON");
            if line["event"] == "listening" {
                let address = line["address"].as_str().expect("a text").parse().expect("one");
                return Some(Self { process, address });
            }
        }
        process.wait().expect("it has ended");
        None
    }

    /// A user who is registered, unless the relay is killed meanwhile.
    fn enter(&self, name: &'static str) -> Option<Client> {
        let account = Account::new(name, &pem(name));
        let mut client = Client::connect(self.address);
        client.try_send(&account.claim(RosterMode::None)).then_some(())?;
        let challenge = client.try_line()?;
        client.try_send(&account.prove(challenge.trim_end())).then_some(())?;
        let answer = client.try_line()?;
        assert!(answer.contains("registered"), "{answer}");
        Some(client)
    }

    /// Ends it, if it was not killed, and waits for its end.
    fn end(mut self) {
        let _ = self.process.kill();
        self.process.wait().expect("it has ended");
    }
}

/// Alice stores letters for bob until the relay is killed, or a few have been stored. Adds the ids
/// of those that are stored for sure, and tells whether the relay lived on.
fn store_until_killed(relay: &TracedRelay, run: &str, stored: &mut BTreeSet<String>) -> bool {
    let Some(mut alice) = relay.enter("alice") else { return false };
    for number in 0..3 {
        let id = format!("{run}-{number}");
        let frame = compose::letter("bob", "alice", &id, (LetterKind::Text, 1), "AAAA");
        let frame: Value = serde_json::from_slice(&frame).expect("JSON");
        let answer = alice.try_send(&frame).then(|| alice.try_line()).flatten();
        let Some(answer) = answer else { return false };
        assert!(answer.contains("\"stored\""), "{answer}");
        stored.insert(id);
    }
    true
}

/// Bob takes all letters, and comes again until none is left; tells their ids.
fn take_all(home: &Path) -> BTreeSet<String> {
    let relay = TracedRelay::start(home, "getpid", usize::from(u16::MAX)).expect("it starts");
    let mut ids = BTreeSet::new();
    loop {
        let mut bob = relay.enter("bob").expect("he comes in");
        bob.write(&compose::letters(TakeMode::All));
        let mut is_first = true;
        loop {
            let frame = bob.frame();
            let Some(number) = frame["box"].as_u64() else { break };
            let id = frame["id"].as_str().expect("a text").to_owned();
            assert!(ids.insert(id), "it was acknowledged: {frame}");
            bob.write(&compose::ack(number));
            is_first = false;
        }
        if is_first {
            break;
        }
        bob.finish_writing();
        bob.closed();
    }
    relay.end();
    ids
}

#[test]
fn what_a_relay_called_stored_is_there_whenever_it_was_killed() {
    if !may_trace() {
        return;
    }
    let homes = Homes::new();
    let home = homes.path("relay");
    let unharmed = TracedRelay::start(&home, "getpid", usize::from(u16::MAX)).expect("it starts");
    let mut bob = unharmed.enter("bob").expect("he comes in");
    let mlkem = Box::new([7; MLKEM_KEY]);
    let created = u64::MAX / 4; // whatever the clock says, it has not expired
    let expires = created + 1;
    let key =
        LetterKey { id: 1, created, expires, x25519: [8; 32], mlkem, signature: vec![9; 384] };
    bob.write(&compose::letterbox(&key));
    assert_eq!(bob.frame()["action"], "letterbox");
    drop(bob);
    unharmed.enter("alice").expect("she comes in");
    unharmed.end();
    let (mut kills, mut kept) = (0, 0);
    for call in ["pwrite64", "fdatasync", "write"] {
        for number in 1.. {
            let mut stored = BTreeSet::new();
            let run = format!("{call}-{number}");
            let lived = TracedRelay::start(&home, call, number).is_some_and(|relay| {
                let lived = store_until_killed(&relay, &run, &mut stored);
                relay.end();
                lived
            });
            kills += usize::from(!lived);
            let found = take_all(&home);
            assert!(found.is_superset(&stored), "{run}: {stored:?} of {found:?}");
            kept += found.len();
            if lived {
                break;
            }
        }
    }
    println!("killed {kills} times, {kept} letters kept");
    assert!(kills > 6 && kept > 6, "{kills} kills, {kept} letters");
}

/// Calls by which something is written, sent or shown.
const WRITING: [&str; 9] = [
    "write",
    "writev",
    "pwrite64",
    "sendto",
    "fsync",
    "fdatasync",
    "unlink",
    "ftruncate",
    "renameat",
];

/// A letter goes through opening, showing, writing down and acknowledging; wherever its recipient
/// is killed, it is shown at least once, at most twice, and confirmed.
#[test]
fn a_letter_is_never_lost_whenever_its_recipient_is_killed() {
    if !may_trace() {
        return;
    }
    let homes = Homes::new();
    let relay = Relay::at_home(&homes.path("relay"));
    let client = |name: &str, command: &[&str]| {
        let ended = homes.client(name, &relay.address, command).end().with_code(0);
        ended.stdout
    };
    client("bob", &["recv", "--wait", "0"]);
    let home = homes.of("bob");
    let mut take = Command::new(env!("CARGO_BIN_EXE_sealwax"));
    take.args(["recv", "--wait", "0", "--home", text(&home)]);
    let leave = |text: &str| client("alice", &["send", "--until", "stored", "bob", text]);
    leave("first");
    let all = calls(&take, &home);
    let writing: Vec<_> = all.into_iter().filter(|call| WRITING.contains(&&*call.name)).collect();
    assert!(writing.len() > 10, "it does something");
    let (mut once, mut twice) = (0, 0);
    for (at, Call { name, number }) in writing.iter().enumerate() {
        let line = format!("alice: {at}");
        leave(&at.to_string());
        let (trace, inject) =
            (format!("trace={name}"), format!("inject={name}:signal=KILL:when={number}"));
        let killed = traced(&["-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject], &take);
        let mut shown: Vec<_> =
            String::from_utf8_lossy(&killed.stdout).lines().map(str::to_owned).collect();
        shown.extend(client("bob", &["recv", "--wait", "0"]));
        match shown.iter().filter(|shown| **shown == line).count() {
            1 => once += 1,
            2 => twice += 1,
            times => panic!("killed at {name} {number}: shown {times} times: {shown:?}"),
        }
        assert!(shown.iter().all(|shown| *shown == line), "{shown:?}");
    }
    println!("shown once {once} times, and twice {twice} times");
    assert!(once > 0 && twice > 0, "{once} {twice}");
    let told = client("alice", &["recv", "--wait", "0", "--json"]);
    let delivered = told.iter().filter(|line| line.contains("\"delivered\"")).count();
    // What a `send` was told while it was there is not told again.
    let home = homes.of("alice");
    let list = ["letters", "list", "--home", text(&home)];
    let waits = Process::start(&list).end().with_code(0).stdout;
    assert!(waits.is_empty() && delivered > 0, "{waits:?}");
}

/// A sender is killed between sealing, `stored` and writing down. What it has told as stored waits
/// for its recipient and is waited for; and where it has not, it can be left again and is shown
/// once for each time that it was stored.
#[test]
fn what_a_sender_called_stored_is_waited_for_whenever_it_was_killed() {
    if !may_trace() {
        return;
    }
    let homes = Homes::new();
    let relay = Relay::at_home(&homes.path("relay"));
    let client =
        |name: &str, command: &[&str]| homes.client(name, &relay.address, command).end().stdout;
    client("bob", &["recv", "--wait", "0"]);
    client("alice", &["send", "--until", "stored", "bob", "first"]);
    client("bob", &["recv", "--wait", "0"]);
    let home = homes.of("alice");
    let list = || {
        let list = ["letters", "list", "--json", "--home", text(&home)];
        Process::start(&list).end().with_code(0).stdout.len()
    };
    client("alice", &["recv", "--wait", "0"]);
    assert_eq!(list(), 0);
    let send = |text_of_it: &str| {
        let mut send = Command::new(env!("CARGO_BIN_EXE_sealwax"));
        send.args(["send", "--json", "--until", "stored", "--home", text(&home), "bob"]);
        send.arg(text_of_it);
        send
    };
    let all = calls(&send("traced"), &home);
    client("bob", &["recv", "--wait", "0"]);
    client("alice", &["recv", "--wait", "0"]);
    let writing: Vec<_> = all.into_iter().filter(|call| WRITING.contains(&&*call.name)).collect();
    assert!(writing.len() > 10, "it does something");
    let (mut told, mut left) = (0, 0);
    for (at, Call { name, number }) in writing.iter().enumerate() {
        let (trace, inject) =
            (format!("trace={name}"), format!("inject={name}:signal=KILL:when={number}"));
        let options = ["-f", "-qq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
        let killed = traced(&options, &send(&at.to_string()));
        let is_told = String::from_utf8_lossy(&killed.stdout).contains("\"stored\"");
        let (waits, run) = (list(), format!("killed at {name} {number}"));
        assert!(waits >= usize::from(is_told), "{run}: told as stored, and not waited for");
        let shown = client("bob", &["recv", "--wait", "0"]);
        let line = format!("alice: {at}");
        assert!(shown.len() <= 1 && shown.iter().all(|shown| *shown == line), "{run}: {shown:?}");
        assert!(shown.len() >= waits.max(usize::from(is_told)), "{run}: it was lost: {shown:?}");
        let confirmed = client("alice", &["recv", "--wait", "0", "--json"]);
        let delivered = confirmed.iter().filter(|line| line.contains("\"delivered\"")).count();
        assert_eq!((delivered, list()), (waits, 0), "{run}");
        (told, left) = (told + usize::from(is_told), left + shown.len());
    }
    println!("told {told} times as stored, and left {left} times, of {}", writing.len());
    assert!(left > 0 && left >= told && left < writing.len(), "{told} {left}");
}
