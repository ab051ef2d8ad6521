//! The relay as a service: where it listens, what its log file holds, a storm of connects, and the
//! examples of its help.

#![allow(clippy::expect_used)] // a test says what it expects

mod support;

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use clap::{CommandFactory, Parser};
use nix::sys::signal::Signal;
use sealwax::command::cli::Cli;
use serde_json::Value;
use support::process::{Homes, Process, Relay, text};

fn serve(options: &[&str]) -> Process {
    Process::start(&[&["serve", "--ephemeral", "--max-connections", "100"], options].concat())
}

/// A port that is free on both families.
fn free_port() -> u16 {
    let listener = TcpListener::bind("[::1]:0").expect("a free port");
    listener.local_addr().expect("it has one").port()
}

#[test]
fn both_families_have_the_same_port_and_no_user_a_mapped_address() {
    let port = free_port();
    let all = [format!("0.0.0.0:{port}"), format!("[::]:{port}")];
    let relay = serve(&["--listen", &all[0], "--listen", &all[1], "-vv"]);
    for address in &all {
        relay.talk_with(&format!("listening on {address}"));
    }
    let _four = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    relay.talk_with("127.0.0.1:");
    let _six = TcpStream::connect(("::1", port)).expect("it listens");
    relay.talk_with("[::1]:");
    relay.signal(Signal::SIGTERM);
    let ended = relay.end().with_code(0);
    assert!(!ended.transcript.contains("::ffff:"), "{ended:?}");
}

#[test]
fn a_name_stands_for_its_addresses() {
    let relay = serve(&["--listen", "localhost:0"]);
    let line = relay.talk_with("listening on ");
    assert!(line.contains("127.0.0.1:") || line.contains("[::1]:"), "{line}");
    let ended = serve(&["--listen", "no-such-name.invalid:0"]).end().with_code(2);
    assert!(ended.transcript.contains("no-such-name.invalid"), "{ended:?}");
}

#[test]
fn limits_that_contradict_each_other_are_refused() {
    let ended = serve(&["--outbox-soft", "9000", "--outbox-hard", "8999"]).end().with_code(2);
    let said = &ended.stderr[0];
    assert!(said.contains("--outbox-soft 9000") && said.contains("at least 9000"), "{ended:?}");
}

#[test]
fn a_listener_that_fails_leaves_no_other_announced() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it has one").to_string();
    let ended = serve(&["--listen", "127.0.0.1:0", "--listen", &address]).end().with_code(1);
    assert!(!ended.transcript.contains("listening on"), "{ended:?}");
    assert!(ended.transcript.contains(&address), "{ended:?}");
}

#[test]
fn quiet_tells_what_was_asked_for_and_very_quiet_nothing() {
    let port = free_port();
    let relay = serve(&["--listen", &format!("127.0.0.1:{port}"), "-q"]);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        std::thread::yield_now();
    }
    relay.signal(Signal::SIGHUP);
    assert!(relay.talk().contains("so far: "), "it was asked for");
    relay.signal(Signal::SIGTERM);
    assert_eq!(relay.end().with_code(0).stderr, [""; 0]);
    let relay = serve(&["--listen", "127.0.0.1:0", "-q"]);
    relay.talk_with("listening on ");

    let port = free_port();
    let relay = serve(&["--listen", &format!("127.0.0.1:{port}"), "-qq"]);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        std::thread::yield_now();
    }
    relay.signal(Signal::SIGTERM);
    assert_eq!(relay.end().with_code(0).transcript, "");
}

#[test]
fn a_log_that_is_cut_short_where_it_stands_goes_on_at_its_front() {
    let homes = Homes::new();
    let path = homes.path("relay.log");
    File::create(&path).expect("created"); // so that it can be read at once
    let script = "exec \"$0\" serve --ephemeral --listen 127.0.0.1:0 --log json 2>\"$1\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_sealwax"), text(&path)]);
    let relay = Process::spawn(&mut command);
    let read = || fs::read_to_string(&path).expect("it is text");
    while !read().contains("listening") {
        std::thread::yield_now();
    }
    File::options().write(true).open(&path).expect("opened").set_len(0).expect("cut short");
    relay.signal(Signal::SIGTERM);
    relay.end().with_code(0);
    for line in read().lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|bad| panic!("{bad}: {line:?}"));
    }
}

#[test]
fn a_home_that_a_group_can_write_is_refused_with_a_way_out() {
    let homes = Homes::new();
    let volume = homes.path("volume");
    fs::create_dir(&volume).expect("made");
    fs::set_permissions(&volume, fs::Permissions::from_mode(0o2770)).expect("changed");
    let start = |home: &str| Process::start(&["serve", "--listen", "127.0.0.1:0", "--home", home]);
    let ended = start(text(&volume)).end().with_code(1);
    let below = volume.join("sealwax");
    let advice = format!("choose a directory in it, such as '{}'", text(&below));
    assert!(ended.transcript.contains(&advice), "{ended:?}");
    start(text(&below)).talk_with("listening on ");
}

/// Newcomers beyond the limit are accepted to be turned away, and closed at the end of the tick:
/// however many come at once, descriptors are left for those who have a place.
#[test]
fn a_storm_of_connects_beyond_the_limit_never_exhausts_the_descriptors() {
    const PLACES: usize = 47; // 80 without the spare ones and the second listener
    let script = "ulimit -n 80; exec \"$0\" serve --listen 127.0.0.1:0 --listen 127.0.0.1:0 \
                  --ephemeral --log json --register-timeout 60";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_sealwax")]);
    let process = Process::spawn(&mut command);
    let addresses: Vec<String> = (0..2)
        .map(|_| {
            let line = process.talk_with("listening");
            let event: Value = serde_json::from_str(&line).expect("an object");
            event["address"].as_str().expect("a text").to_owned()
        })
        .collect();
    let relay = Relay::with(process, addresses[0].clone());
    let here: Vec<_> =
        (0..PLACES).map(|_| TcpStream::connect(&relay.address).expect("it listens")).collect();
    relay.process.signal(Signal::SIGSTOP);
    let storm: Vec<_> = (0..400)
        .map(|number| TcpStream::connect(&addresses[number % 2]).expect("there is a backlog"))
        .collect();
    relay.process.signal(Signal::SIGCONT);
    for mut turned_away in storm {
        use std::io::Read;
        assert!(matches!(turned_away.read(&mut [0]), Ok(0) | Err(_)), "it is turned away");
    }
    relay.process.signal(Signal::SIGHUP);
    let counters = loop {
        let event: Value = serde_json::from_str(&relay.process.talk()).expect("an object");
        if event["event"] == "counters" {
            break event["counters"].clone();
        }
    };
    assert_eq!(counters["accept_failed"], Value::Null, "{counters}");
    assert_eq!(counters["turned_away"], 400, "{counters}");
    drop(here);
}

/// The words of each `sealwax …` in a line of shell, up to a pipe, a redirection or a remark.
fn commands(line: &str) -> Vec<Vec<String>> {
    let mut found: Vec<Vec<String>> = Vec::new();
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    let mut finish = |words: &mut Vec<String>| {
        let taken = std::mem::take(words);
        if taken.first().is_some_and(|first| first == "sealwax") {
            found.push(taken);
        }
    };
    let line = line.replace("$(pidof -s sealwax)", "1");
    let mut letters = line.trim_start().chars().peekable();
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            (_, Some(open)) if letter == open => quote = None,
            ('\'' | '"', None) => quote = Some(letter),
            (' ' | '|' | '>' | '<' | '&' | ';', None) => {
                // A number in front of a redirection is a descriptor.
                let is_descriptor = matches!(letter, '>' | '<') && word.parse::<u8>().is_ok();
                let ended = std::mem::take(&mut word);
                if !is_descriptor && !ended.is_empty() {
                    words.push(ended);
                }
                let is_remark = letter == ' ' && letters.peek() == Some(&' ');
                if is_remark {
                    break;
                }
                if letter != ' ' {
                    finish(&mut words);
                }
            }
            _ => word.push(letter),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    finish(&mut words);
    found
}

fn help_of(command: &clap::Command, into: &mut Vec<String>) {
    into.extend(command.get_after_help().map(ToString::to_string));
    command.get_subcommands().for_each(|inner| help_of(inner, into));
}

/// All that `--help` and the documents show as a command is one.
#[test]
fn every_example_is_a_command_that_is_understood() {
    let mut texts = Vec::new();
    help_of(&Cli::command(), &mut texts);
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for document in ["README.md", "docs/cli.md", "docs/security.md"] {
        let text = fs::read_to_string(root.join(document)).expect("it is there");
        let blocks = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
        texts.extend(blocks.map(str::to_owned));
    }
    let mut seen = 0;
    for line in texts.iter().flat_map(|text| text.lines()) {
        for words in commands(line) {
            if words.iter().any(|word| word.contains('…') || word == "COMMAND") {
                continue;
            }
            seen += 1;
            if let Err(why) = Cli::try_parse_from(&words) {
                panic!("{line}\n{words:?}\n{why}");
            }
        }
    }
    assert!(seen > 40, "{seen} examples were found");
}
