//! A process that is killed at any system call leaves the identity and the trust file whole: the
//! old content or the new one, and the next start works.
//!
//! `strace` kills: it runs the same command again and again, each time up to the next call. Where
//! it is not to be had, or may not trace, the tests say so and do nothing.

#![allow(clippy::expect_used)] // a test says what it expects

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use sealwax::home::Home;
use sealwax::reactor::end_with_parent;
use support::fixtures::{pem, public};
use support::process::{Homes, text};

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
