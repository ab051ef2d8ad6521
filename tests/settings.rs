//! What an operator sets and changes while the relay runs: a file of options, a log file, SIGHUP.
//! Processes; what is waited for is what they say.

#![allow(clippy::expect_used)] // a test says what it expects

mod support;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use support::process::{Homes, Process, Relay, text};
use support::relay::Client;

fn connect(relay: &Relay) -> Client {
    Client::connect(relay.address.parse().expect("an address"))
}

fn plain_is_refused(relay: &Relay) {
    let mut client = connect(relay);
    client.send(&json!({"action": "ping"}));
    client.refused("tls_required");
}

fn original(relay: &Relay, name: &str) -> Client {
    Client::original(relay.address.parse().expect("an address"), name)
}

const OPTIONS: &str = "listen = \"127.0.0.1:0\"\nephemeral = true\nmax-connections = 100\n";

fn write(path: &Path, lines: &str) {
    fs::write(path, format!("{OPTIONS}{lines}")).expect("written");
}

#[test]
fn a_file_of_options_is_read_at_the_start_and_at_sighup() {
    let homes = Homes::new();
    let path = homes.path("relay.toml");
    write(&path, "log = \"json\"\n");
    let process = Process::start(&["serve", "--config", text(&path)]);
    let relay = Relay::of(process);
    original(&relay, "JG").ping();
    let told = |lines: &str, event: &str| {
        write(&path, lines);
        relay.process.signal(Signal::SIGHUP);
        let line = relay.process.talk_with(&format!("\"{event}\""));
        relay.process.talk_with("\"counters\"");
        serde_json::from_str::<Value>(&line).expect("an object a line")
    };
    // Each of these holds at once.
    told("log = \"json\"\nverbose = 1\ntls = \"require\"\n", "settings_reloaded");
    plain_is_refused(&relay);
    relay.process.talk_with("\"connected\""); // as -v tells it
    // A file that is wrong changes nothing.
    let line = told("log = \"json\"\noutbox-sift = 5\n", "settings_not_reloaded");
    let expected = "line 5: there is no option 'outbox-sift'; the nearest one is 'outbox-soft'";
    assert!(line["detail"].as_str().expect("a text").contains(expected), "{line}");
    plain_is_refused(&relay);
    // What is only read at a start is named.
    let line = told("log = \"json\"\nspin = 5\n", "needs_restart");
    assert_eq!(line["option"], "spin");
    original(&relay, "JG").ping();
    relay.process.signal(Signal::SIGTERM);
    let ended = relay.process.end().with_code(0);
    let restarts = ended.transcript.matches("\"needs_restart\"").count();
    assert_eq!(restarts, 1, "{ended:?}");
}

#[test]
fn a_file_that_is_wrong_starts_no_relay() {
    let homes = Homes::new();
    let path = homes.path("relay.toml");
    let told = |file: &Path| {
        let ended = Process::start(&["serve", "--config", text(file)]).end().with_code(2);
        assert_eq!(ended.stderr.len(), 1, "{ended:?}");
        ended.stderr[0].replace(text(file), "FILE").replacen("sealwax: ", "", 1)
    };
    for (lines, expected) in cases("file") {
        fs::write(&path, &lines).expect("written");
        assert_eq!(told(&path), expected, "{lines}");
    }
    let long = format!("{} = 1\n", "a".repeat(3_000));
    fs::write(&path, long).expect("written");
    let shown = "a".repeat(40);
    let all = "'sealwax serve --help' lists them all";
    assert_eq!(told(&path), format!("FILE, line 1: there is no option '{shown}…': {all}"));
    fs::write(&path, format!("\nspin = {}", "[".repeat(1_000))).expect("written");
    let deep =
        "FILE, line 2, column 88: too many lists are in each other; write for example spin = 0";
    assert_eq!(told(&path), deep);
    fs::write(&path, b"spin = 5\nhome = \"\xff\"\n").expect("written");
    assert_eq!(told(&path), "FILE, line 2: what is in this line is not UTF-8");
    let help = "name a file of options (TOML) with --config";
    fs::write(&path, "# ".repeat(5 << 20)).expect("written");
    assert_eq!(told(&path), format!("FILE: longer than 65536 bytes: {help}"));
    let missing = "No such file or directory (os error 2)";
    assert_eq!(told(&homes.path("missing.toml")), format!("FILE: {missing}: {help}"));
    let directory = homes.path("directory");
    fs::create_dir(&directory).expect("made");
    assert_eq!(told(&directory), format!("FILE: a directory, not a regular file: {help}"));
    assert_eq!(told(Path::new("/dev/null")), format!("FILE: not a regular file: {help}"));
    if !nix::unistd::geteuid().is_root() {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).expect("ours");
        assert_eq!(told(&path), format!("FILE: Permission denied (os error 13): {help}"));
    }
}

/// Pairs of what is given and what is said to it.
fn cases(what: &str) -> Vec<(String, String)> {
    let all = include_str!("data/wrong_options.json");
    let mut all: Value = serde_json::from_str(all).expect("it is JSON");
    serde_json::from_value(all[what].take()).expect("they are pairs")
}

#[test]
fn an_option_that_is_wrong_is_told_with_what_is_accepted() {
    for (options, expected) in cases("line") {
        let words: Vec<_> = ["serve"].into_iter().chain(options.split_whitespace()).collect();
        let ended = Process::start(&words).end().with_code(2);
        let said = ended.stderr.iter().map(|line| line.trim()).filter(|line| !line.is_empty());
        let said = said.take_while(|line| !line.starts_with("Usage:"));
        let said: Vec<_> = said.filter(|line| !line.starts_with("For more")).collect();
        assert_eq!(said.join(" "), expected, "{options}");
    }
}

/// An empty file has nothing in it that is wrong.
#[test]
fn a_file_without_options_changes_nothing() {
    let homes = Homes::new();
    let path = homes.path("relay.toml");
    let check = ["serve", "--check", "--ephemeral", "--listen", "127.0.0.1:0"];
    let without = Process::start(&check).end().with_code(0);
    for lines in ["", "# nothing\n", "\u{feff}\r\n"] {
        fs::write(&path, lines).expect("written");
        let with = Process::start(&[&check[..], &["--config", text(&path)]].concat()).end();
        assert_eq!(with.with_code(0).stdout, without.stdout);
    }
}

#[test]
fn options_that_do_not_fit_together_are_refused_at_a_check_and_at_sighup_too() {
    let homes = Homes::new();
    let path = homes.path("relay.toml");
    write(&path, "");
    let relay = Relay::of(Process::start(&["serve", "--config", text(&path)]));
    write(&path, "outbox-soft = 9000\noutbox-hard = 8000\n");
    let why = "--outbox-soft 9000 is more than --outbox-hard 8000";
    for check in [&["--check"][..], &[]] {
        let options = [&["serve", "--config", text(&path)], check].concat();
        let ended = Process::start(&options).end().with_code(2);
        assert!(ended.stderr[0].contains(why), "{ended:?}");
    }
    relay.process.signal(Signal::SIGHUP);
    let line = relay.process.talk_with("the old ones hold");
    assert!(line.contains(why), "{line}");
}

#[test]
fn a_check_says_whether_a_start_would_succeed_and_prints_what_holds() {
    let homes = Homes::new();
    let home = homes.path("relay");
    let path = homes.path("relay.toml");
    let check = |options: &[&str]| {
        Process::start(&[&["serve", "--check", "--max-connections", "9"], options].concat()).end()
    };
    let options = ["--listen", "127.0.0.1:0", "--home", text(&home), "--drain-time", "2.5"];
    let first = check(&options).with_code(0);
    assert!(first.stderr.iter().any(|line| line == "the relay can start with these options"));
    assert!(!home.exists(), "nothing is made");
    fs::write(&path, first.stdout.join("\n")).expect("written");
    let again = Process::start(&["serve", "--check", "--config", text(&path)]).end().with_code(0);
    assert_eq!(again.stdout, first.stdout);
    assert!(first.stdout.contains(&"drain-time = 2.5".to_owned()), "{first:?}");

    // Beside the relay that it is for.
    let relay = Relay::at_home(&home);
    let ended = check(&["--listen", &relay.address, "--home", text(&home)]).with_code(0);
    let pid = relay.process.pid().to_string();
    assert!(ended.stderr.iter().any(|line| line.contains(&pid)), "{ended:?}");
    drop(relay);
    check(&options).with_code(0);

    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = other.local_addr().expect("it has one").to_string();
    assert!(check(&["--listen", &taken, "--ephemeral"]).with_code(1).transcript.contains(&taken));
    let wrong = homes.path("no.pem");
    let pair = ["--ephemeral", "--tls-cert", text(&wrong), "--tls-key", text(&wrong)];
    assert!(check(&pair).with_code(1).transcript.contains(text(&wrong)));
    fs::remove_file(home.join("relay.key")).expect("it is there");
    fs::set_permissions(&home, fs::Permissions::from_mode(0o755)).expect("ours");
    let ended = check(&options).with_code(1);
    assert!(ended.transcript.contains("chmod"), "{ended:?}");
}

/// As the table of docs/operator.md, "Reload", has it.
#[test]
fn of_each_option_sighup_says_whether_it_holds_at_once() {
    let at_once = [
        "drain-time = 3",
        "outbox-hard = 9000000",
        "outbox-soft = 5000",
        "quiet = 1",
        "rates-loopback = true",
        "tls = \"require\"",
        "verbose = 2",
    ];
    let at_next_start = [
        "admin = \"none\"",
        "frame-timeout = 3",
        "inbox-common = 2000000",
        "cluster = \"unix:/x\"",
        "letters-bytes = 5",
        "letters-days = 3",
        "log = \"text\"",
        "log-file = \"/dev/null\"",
        "max-connections = 7",
        "max-frame = 5000",
        "metrics = \"127.0.0.1:0\"",
        "outbox-common = 2000000",
        "register-timeout = 3",
        "socket-buffer = 5000",
        "spin = 3",
        "tls = \"off\"",
        "trace = \"json\"",
        "trace-file = \"/dev/null\"",
        "trigger = \"edge\"",
    ];
    let homes = Homes::new();
    let path = homes.path("relay.toml");
    let base = "log = \"json\"\n";
    write(&path, base);
    let relay = Relay::of(Process::start(&["serve", "--config", text(&path)]));
    let needs_restart = |lines: &str| {
        fs::write(&path, lines).expect("written");
        relay.process.signal(Signal::SIGHUP);
        let mut found = Vec::new();
        loop {
            let line: Value = serde_json::from_str(&relay.process.talk()).expect("an object");
            match line["event"].as_str() {
                Some("needs_restart") => found.push(line["option"].as_str().unwrap().to_owned()),
                Some("settings_not_reloaded") => panic!("{lines}: {line}"),
                Some("counters") => return found,
                _ => {}
            }
        }
    };
    let key = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    for (lines, holds) in [(&at_once[..], true), (&at_next_start, false)] {
        for line in lines {
            let base = if line.starts_with("log =") { "" } else { base };
            let told = needs_restart(&format!("{OPTIONS}{base}{line}\n").replace(
                if line.starts_with("max-connections") { "max-connections = 100\n" } else { "\0" },
                "",
            ));
            assert_eq!(told, if holds { vec![] } else { vec![key(line)] }, "{line}");
        }
    }
    // Some more, which others forbid or need.
    let cluster = "cluster = \"unix:/x\"\ncluster-init = true\ncluster-password-fd = 7\n\
                   relay-key = \"/x/y\"\n";
    let needs_cluster = ["cluster-init", "cluster", "cluster-password-fd", "relay-key"];
    assert_eq!(needs_restart(&format!("{OPTIONS}{base}{cluster}")), needs_cluster);
    let pair = "tls-cert = \"/dev/null\"\ntls-key = \"/dev/null\"\n";
    assert_eq!(needs_restart(&format!("{OPTIONS}{base}{pair}")), ["tls-cert", "tls-key"]);
    let home = OPTIONS.replace("ephemeral = true", "home = \"/srv/relay\"");
    assert_eq!(needs_restart(&format!("{home}{base}")), ["ephemeral", "home"]);
    let other = OPTIONS.replace("127.0.0.1:0", "127.0.0.1:1");
    assert!(needs_restart(&format!("{other}{base}")).is_empty(), "addresses are not compared");
    // That is all there are.
    let help = Process::start(&["serve", "--help"]).end().with_code(0).stdout.join("\n");
    let all = help.split_whitespace().filter_map(|word| word.strip_prefix("--"));
    let named = ["listen", "home", "ephemeral", "tls-cert", "tls-key", "config", "check", "help"];
    let named = [&named[..], &needs_cluster].concat();
    let known: Vec<_> = at_once.iter().chain(&at_next_start).map(|line| key(line)).collect();
    for option in all.map(|it| it.split(|c: char| c != '-' && !c.is_ascii_lowercase()).next()) {
        let option = option.unwrap_or_default();
        assert!(named.contains(&option) || known.iter().any(|it| it == option), "--{option}");
    }
    let guide = include_str!("../docs/operator.md");
    let row = |head: &str| guide.lines().find(|line| line.starts_with(head)).expect("a row");
    for (lines, row) in
        [(&at_once[..], row("| at once |")), (&at_next_start, row("| at the next start |"))]
    {
        for line in lines {
            assert!(row.contains(&format!("`{}`", key(line))), "{line}: {row}");
        }
    }
}

/// What a check finds, a start does too, in the same words.
#[test]
fn a_check_finds_what_a_start_would_and_makes_nothing() {
    let homes = Homes::new();
    let path = |name: &str| text(&homes.path(name)).to_owned();
    fs::write(path("file"), "mine").expect("written");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("it has one").to_string();
    let _live = Relay::start(&["--ephemeral", "--admin", &path("live")]);
    let long = path(&"a".repeat(200));
    let directory = homes.path(&"d".repeat(200));
    fs::create_dir(&directory).expect("made");
    let missing = "No such file or directory";
    let name = "name another path with";
    for (options, expected) in [
        (["--admin", &path("no/s")], format!("{missing}; {name} --admin")),
        (
            ["--admin", &path("file")],
            format!("there is something that is no socket; {name} --admin"),
        ),
        (["--admin", &path("live")], format!("another process listens there; {name} --admin")),
        (["--admin", &long], format!("its last part has more than 80 bytes; {name} --admin")),
        (["--metrics", &path("no/s")], format!("{missing}; {name} --metrics")),
        (["--metrics", &taken], format!("cannot serve metrics on {taken}: EADDRINUSE")),
        (["--log-file", &path("no/l")], missing.to_owned()),
        (["--log-file", text(&directory)], "Is a directory (os error 21)".to_owned()),
        (["--trace-file", &path("no/t")], "choose another file with --trace-file".to_owned()),
    ] {
        let serve = [&["serve", "--ephemeral", "--listen", "127.0.0.1:0", "-q"], &options[..]];
        for check in [&["--check"][..], &[]] {
            let ended = Process::start(&[&serve.concat(), check].concat()).end().with_code(1);
            let last = ended.stderr.last().expect("a line");
            assert!(last.contains(&expected), "{options:?} {check:?}: {ended:?}");
        }
    }
    for options in [
        ["--admin", text(&directory.join("s"))],
        ["--metrics", &path("m")],
        ["--log-file", &path("l")],
        ["--trace-file", &path("t")],
        ["--trace-file", &path("file")],
    ] {
        let serve = ["serve", "--check", "--ephemeral", "--listen", "127.0.0.1:0"];
        Process::start(&[&serve[..], &options].concat()).end().with_code(0);
    }
    assert_eq!(fs::read(path("file")).expect("it is there"), b"mine");
    for made in [path("m"), path("l"), path("t"), text(&directory.join("s")).to_owned()] {
        assert!(!Path::new(&made).exists(), "{made}");
    }
}

#[test]
fn a_log_file_that_is_renamed_is_opened_again_at_sighup() {
    let homes = Homes::new();
    let (path, old) = (homes.path("relay.log"), homes.path("relay.log.1"));
    let relay = Process::start(&[
        "serve",
        "--ephemeral",
        "--listen",
        "127.0.0.1:0",
        "--log",
        "json",
        "--log-file",
        text(&path),
    ]);
    let lines = |path: &Path| -> Vec<Value> {
        let text = fs::read_to_string(path).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect()
    };
    let wait_for = |path: &Path, event: &str| loop {
        if let Some(line) = lines(path).into_iter().find(|line| line["event"] == event) {
            return line;
        }
        std::thread::yield_now();
    };
    let address = wait_for(&path, "listening")["address"].as_str().expect("one").to_owned();
    let mode = fs::metadata(&path).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o137, 0, "nobody else reads it: {mode:o}");
    fs::rename(&path, &old).expect("renamed");
    let mut client = Client::original(address.parse().expect("an address"), "JG");
    client.ping();
    wait_for(&old, "registered"); // the old file is written to until then
    relay.signal(Signal::SIGHUP);
    wait_for(&path, "counters");
    client.finish_writing();
    wait_for(&path, "left");
    // A file that cannot be opened again leaves the one that is open.
    fs::rename(&path, &old).expect("renamed");
    fs::create_dir(&path).expect("made");
    relay.signal(Signal::SIGHUP);
    let line = wait_for(&old, "log_not_reopened");
    assert!(line["detail"].as_str().expect("a text").contains(text(&path)), "{line}");
    relay.signal(Signal::SIGTERM);
    let ended = relay.end().with_code(0);
    assert_eq!(ended.transcript, "", "the log goes to its file");
    wait_for(&old, "draining");
}

#[test]
fn a_log_file_that_cannot_be_written_stops_nobody_and_one_that_cannot_be_opened_no_start() {
    let port = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = port.local_addr().expect("it has one").to_string();
    drop(port);
    let log = ["--log-file", "/dev/full", "--listen", &address, "--ephemeral", "-vv"];
    let _relay = Process::start(&[&["serve"], &log[..]].concat());
    let mut client = loop {
        if std::net::TcpStream::connect(&address).is_ok() {
            break Client::original(address.parse().expect("an address"), "JG");
        }
    };
    for _ in 0..100 {
        client.send(&json!({"action": "message", "to": "JG", "content": ""}));
        client.frame();
    }
    let homes = Homes::new();
    let missing = homes.path("missing/relay.log");
    let ended = Process::start(&["serve", "--ephemeral", "--log-file", text(&missing)]).end();
    assert!(ended.with_code(1).transcript.contains("--log-file"));
}
