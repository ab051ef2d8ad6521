//! The examples of `--help` and of the text do what they say.
//!
//! Each runs as it is written, in a world of its own (`world.sh`), and `stages` says what happens
//! around it and what has to come of it. The world is made of namespaces (`namespaces(7)`), so that
//! ports, names of hosts, `/srv` and `pkill` in an example mean the test's own. Where this user may
//! not make them the reason is printed, and no example runs.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::thread;

use sealwax::reactor::end_with_parent;

use crate::commands::{PATIENCE, PROGRAM, Program, starts};
use crate::text::{documents, root};

/// What a stage ends with when this machine lacks what the example needs (`skip` in `world.sh`).
const NOT_HERE: i32 = 77;

/// The examples, each once, and where it stands first.
fn examples() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    // What comes behind two spaces explains the line.
    let mut add = |line: &str, place: String| {
        let line = line.trim().split("  ").next().unwrap_or_default();
        found.entry(line.to_owned()).or_insert(place);
    };
    for (command, help) in Program::ask().0 {
        let lines = help.lines().skip_while(|line| *line != "Examples:").skip(1);
        for line in lines.take_while(|line| !line.is_empty()) {
            add(line, format!("sealwax {} --help", command.join(" ")));
        }
    }
    for document in documents() {
        let blocks = document.blocks.iter();
        for block in blocks.filter(|block| block.language == "sh" && block.mark.is_none()) {
            for line in block.lines.iter().filter(|line| starts(line).next().is_some()) {
                add(line, format!("{}:{}", document.path.display(), block.line));
            }
        }
    }
    found
}

/// How examples begin, and the script for each.
fn stages() -> BTreeMap<String, String> {
    let text = fs::read_to_string(root().join("tests/docs/stages")).expect("it is there");
    let mut found = BTreeMap::new();
    let mut script = &mut String::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(command) = line.strip_prefix("    ") {
            *script += command;
            script.push('\n');
        } else {
            script = found.entry(line.to_owned()).or_insert_with(String::new);
            assert!(script.is_empty(), "two stages for {line}");
        }
    }
    found
}

/// The stage of an example: the one with the longest beginning.
fn stage<'a>(of: &str, stages: &'a BTreeMap<String, String>) -> Option<(&'a str, &'a str)> {
    let fitting = stages.iter().filter(|(beginning, _)| of.starts_with(beginning.as_str()));
    let longest = fitting.max_by_key(|(beginning, _)| beginning.len());
    longest.map(|(beginning, script)| (beginning.as_str(), script.as_str()))
}

/// Runs a script of bash with `line` as its example, in namespaces of its own.
fn run(script: &str, line: &str) -> Output {
    let home = tempfile::tempdir().expect("a temporary directory");
    let programs = std::path::Path::new(PROGRAM).parent().expect("it lies in a folder");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--net", "--mount", "--pid", "--fork"]);
    command.args(["--kill-child", "--mount-proc", "timeout", "--kill-after=5", PATIENCE]);
    command.args(["bash", "-c", &format!(". \"$TESTS/docs/world.sh\"\n{script}")]);
    command.current_dir(home.path()).stdin(Stdio::null()).env_clear();
    command.env("HOME", home.path()).env("PATH", format!("{}:{path}", programs.display()));
    command.env("LANG", "C.UTF-8").env("TESTS", root().join("tests")).env("LINE", line);
    end_with_parent(&mut command).output().expect("util-linux has unshare")
}

#[test]
fn each_example_has_a_stage_and_each_stage_an_example() {
    let (examples, mut unused) = (examples(), stages());
    let stages = unused.clone();
    assert!(examples.len() > 60, "{} examples were found", examples.len());
    for (line, place) in examples {
        let fitting = stage(&line, &stages);
        let (beginning, _) = fitting.unwrap_or_else(|| panic!("{place}: no stage runs: {line}"));
        unused.remove(beginning);
    }
    assert!(unused.is_empty(), "no example needs these stages: {:#?}", unused.keys());
}

#[test]
fn examples_do_what_they_say() {
    let world = run("", "");
    if !world.status.success() {
        let reason = String::from_utf8_lossy(&world.stderr);
        return println!("not run, as this user may not make a world for examples: {reason}");
    }
    assert_eq!(run("skip 'not installed'", "").status.code(), Some(NOT_HERE));
    let (examples, stages) = (examples(), stages());
    let (waiting, faults) = (Mutex::new(examples.iter()), Mutex::new(Vec::new()));
    let work = || {
        let next = || waiting.lock().expect("nobody fails with it").next();
        while let Some((line, place)) = next() {
            let Some((_, script)) = stage(line, &stages) else { continue };
            let output = run(script, line);
            let said = String::from_utf8_lossy(&output.stderr);
            if output.status.code() == Some(NOT_HERE) {
                println!("{place}: not run: {line}: {said}");
            } else if !output.status.success() {
                let fault = format!("{place}: {line}\n{}: {said}", output.status);
                faults.lock().expect("nobody fails with it").push(fault);
            }
        }
    };
    thread::scope(|scope| {
        let workers = thread::available_parallelism().map_or(1, usize::from);
        (0..workers).for_each(|_| drop(scope.spawn(work)));
    });
    let faults = faults.into_inner().expect("nobody failed with it");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
