//! The admin socket and the metrics, as processes: what is answered, what is refused, and that
//! nobody who looks at a relay holds it up.

#![allow(clippy::expect_used)] // a test says what it expects

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;
use nix::unistd::geteuid;
use sealwax::admin::limits::{ADMIN_CONNECTIONS, METRICS_CONNECTIONS, USERS_PER_PAGE};
use sealwax::crypto::Vault;
use sealwax::limits::MLKEM_KEY;
use sealwax::reactor::{UnixSocket, end_with_parent};
use sealwax::wire::{LetterKey, LetterKind, RosterMode, compose};
use serde_json::{Value, json};
use support::process::{Homes, Process, Relay, text};
use support::relay::{Account, Client};

/// A test that waits longer than this for one answer has failed.
const PATIENCE: Duration = Duration::from_mins(2);
const BOB_PEM: &str = include_str!("data/bob.pem");

/// A relay with a home and an admin socket.
struct Operated {
    _homes: Homes,
    relay: Relay,
    home: PathBuf,
}

impl Operated {
    fn start(options: &[&str]) -> Self {
        let homes = Homes::new();
        let home = homes.path("relay");
        let relay = Relay::start(&[&["--home", text(&home)], options].concat());
        Self { _homes: homes, relay, home }
    }

    fn admin(&self) -> Admin {
        Admin::connect(&self.home.join("admin.sock"))
    }

    fn user(&self, name: &str) -> Client {
        Client::original(self.relay.address.parse().expect("an address"), name)
    }

    fn version2(&self, account: &Account) -> Client {
        let mut client = Client::connect(self.relay.address.parse().expect("an address"));
        assert_eq!(account.register(&mut client, RosterMode::None)["action"], "registered");
        client
    }
}

/// A connection to an admin socket.
struct Admin {
    stream: UnixStream,
    reader: BufReader<UnixStream>,
}

impl Admin {
    fn connect(path: &Path) -> Self {
        let stream = UnixStream::connect(path).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let reader = BufReader::new(stream.try_clone().expect("a socket"));
        Self { stream, reader }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("it takes all");
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.reader.read_line(&mut line).expect("an answer within the two minutes of a test");
        assert!(line.is_ascii(), "{line}");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    fn ask(&mut self, request: &Value) -> Value {
        self.write(format!("{request}\n").as_bytes());
        self.line()
    }

    fn request(&mut self, name: &str) -> Value {
        self.ask(&json!({"request": name}))
    }

    /// Nothing more comes.
    fn ends(&mut self) {
        let mut rest = String::new();
        let _ = self.reader.read_to_string(&mut rest); // a reset ends it as well
        assert_eq!(rest, "");
    }
}

#[test]
fn the_relay_tells_how_it_stands_and_who_is_here() {
    let operated = Operated::start(&[]);
    let mut admin = operated.admin();
    let alice = Account::alice();
    let (_alice, mut bob) = (operated.version2(&alice), operated.user("b\u{f6}b"));
    bob.send(&json!({"action": "message", "to": "b\u{f6}b", "content": "x"}));
    bob.frame();
    bob.send(&json!({}));
    bob.refused("bad_frame");
    let status = admin.request("status");
    assert_eq!(status["answer"], "status");
    assert_eq!(status["pid"], operated.relay.process.pid());
    assert_eq!(status["listening"], json!([operated.relay.address]));
    for (name, value) in [("connections", 2), ("users", 2), ("names", 1), ("messages", 1)] {
        assert_eq!(status[name], value, "{name}: {status}");
    }
    assert_eq!((&status["ready"], &status["draining"]), (&json!(true), &json!(false)));
    assert_eq!(status["fault"], Value::Null);
    for name in ["ticks", "events", "busy_ns", "longest_tick_ns", "memory_bytes", "received_bytes"]
    {
        assert!(status[name].as_u64().is_some_and(|count| count > 0), "{name}: {status}");
    }
    let counters = admin.request("counters");
    let counted = json!({"connected": 2, "registered": 2, "refused_bad_frame": 1});
    assert_eq!(counters["counters"], counted);
    let users = admin.request("users");
    let rows = users["users"].as_array().expect("a list");
    let row = |name: &str| rows.iter().find(|row| row["name"] == name).expect("it is here");
    let fp = alice.vault.public().fingerprint().to_string();
    assert_eq!((&row("alice")["version"], &row("alice")["fp"]), (&json!(2), &json!(fp)));
    assert_eq!((&row("b\u{f6}b")["version"], &row("b\u{f6}b")["fp"]), (&json!(1), &Value::Null));
    for row in rows {
        assert!(row["address"].as_str().is_some_and(|it| it.starts_with("127.0.0.1:")), "{row}");
        assert!(row["in"].as_u64() > Some(0) && row["out"].as_u64() > Some(0), "{row}");
        assert_eq!((&row["queued"], &row["held"]), (&json!(0), &json!(false)));
        let now = status["now"].as_u64().expect("a time");
        assert!(row["since"].as_u64().is_some_and(|since| since + 120_000 > now), "{row}");
    }
    assert_eq!((rows.len(), &users["next"]), (2, &Value::Null));
    // When somebody came is no matter of when it is asked.
    let since = |users: &Value| -> Vec<Value> {
        let rows = users["users"].as_array().expect("a list").iter();
        rows.map(|row| row["since"].clone()).collect()
    };
    for _ in 0..40 {
        assert_eq!(since(&admin.request("users")), since(&users));
    }
}

#[test]
fn users_are_told_page_by_page_however_many_are_asked_for() {
    let operated = Operated::start(&["-q"]);
    let count = USERS_PER_PAGE + 10;
    let _users: Vec<_> = (0..count).map(|number| operated.user(&format!("u{number}"))).collect();
    let mut admin = operated.admin();
    let mut names = Vec::new();
    let (mut from, mut pages) = (json!(0), 0);
    while !from.is_null() {
        let page = admin.ask(&json!({"request": "users", "from": from, "count": 1_000_000}));
        let rows = page["users"].as_array().expect("a list");
        assert!(rows.len() <= USERS_PER_PAGE);
        names.extend(rows.iter().map(|row| row["name"].as_str().expect("a name").to_owned()));
        from = page["next"].clone();
        pages += 1;
    }
    names.sort();
    names.dedup();
    assert_eq!((names.len(), pages), (count, 2));
    let beyond = admin.ask(&json!({"request": "users", "from": u64::MAX}));
    assert_eq!(beyond, json!({"answer": "users", "users": [], "next": null}));
    let one = admin.ask(&json!({"request": "users", "count": 0}));
    assert_eq!(one["users"].as_array().map(Vec::len), Some(1));
}

#[test]
fn the_log_is_told_as_it_was_and_as_it_goes_on() {
    let operated = Operated::start(&["-q"]);
    let mut bob = operated.user("bob");
    let mut admin = operated.admin();
    assert_eq!(admin.ask(&json!({"request": "log", "last": 1}))["answer"], "log");
    let line = admin.line();
    assert_eq!((&line["kind"], &line["level"]), (&json!("success"), &json!("normal")));
    assert_eq!(
        (&line["line"]["event"], &line["line"]["name"]),
        (&json!("registered"), &json!("bob"))
    );
    assert!(line["text"].as_str().is_some_and(|text| text.starts_with("bob registered from")));
    // Messages are not kept before somebody asks for them.
    let message = json!({"action": "message", "to": "bob", "content": "secret"});
    bob.send(&message);
    bob.frame();
    let mut curious = operated.admin();
    curious.ask(&json!({"request": "log", "level": "debug", "last": 0}));
    bob.send(&message);
    bob.frame();
    let line = curious.line();
    assert_eq!(line["line"]["event"], "forwarded");
    assert!(!line.to_string().contains("secret"));
    bob.finish_writing();
    bob.closed();
    for reader in [&mut admin, &mut curious] {
        assert_eq!(reader.line()["line"]["event"], "left");
    }
}

#[test]
fn a_slow_reader_of_the_log_loses_lines_and_is_told_how_many() {
    const MESSAGES: u64 = 5000;
    let operated = Operated::start(&["-q"]);
    let mut admin = operated.admin();
    admin.ask(&json!({"request": "log", "level": "debug", "last": 0}));
    let mut bob = operated.user("bob");
    for _ in 0..MESSAGES {
        bob.send(&json!({"action": "message", "to": "bob", "content": ""}));
        bob.frame();
    }
    let (mut lines, mut lost) = (0, 0);
    while lines + lost < MESSAGES + 2 {
        let line = admin.line();
        let count = line["lost"].as_u64();
        lost += count.unwrap_or(0);
        lines += u64::from(count.is_none());
    }
    assert!(lost > 0 && lines > 0, "{lines} {lost}");
    assert_eq!(lines + lost, MESSAGES + 2); // it connected and registered before
    assert_eq!(admin.request("counters")["counters"]["registered"], 1);
}

#[test]
fn a_client_that_never_reads_is_not_read_from_and_holds_nobody_up() {
    let operated = Operated::start(&["-q"]);
    let mut bob = operated.user("bob");
    let mut greedy: Vec<_> = (0..ADMIN_CONNECTIONS).map(|_| operated.admin()).collect();
    for admin in &mut greedy {
        admin.stream.set_nonblocking(true).expect("a socket");
        let flood =
            b"{\"request\":\"users\"}\n{\"request\":\"log\",\"level\":\"debug\"}\n".repeat(64);
        loop {
            match admin.stream.write(&flood) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        bob.ping();
    }
    for _ in 0..100 {
        bob.ping();
    }
}

#[test]
fn what_is_no_request_is_refused_and_what_does_not_end_ends_the_connection() {
    let operated = Operated::start(&[]);
    let mut admin = operated.admin();
    let bad: [&[u8]; 7] = [
        b"",
        b"GET / HTTP/1.1\r",
        b"{}",
        b"\xff\xfe\x00",
        b"{\"request\":\"status\"",
        b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
        b"{\"request\":\"kick\",\"name\":\"\x1b[31m\"}",
    ];
    for line in bad {
        admin.write(line);
        admin.write(b"\n");
        let refused = admin.line();
        assert_eq!(refused["error"], "bad_request", "{}", line.escape_ascii());
        assert!(refused["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
    }
    // In pieces, and several at once.
    admin.write(b"{\"request\":\"rel");
    admin.write(b"oad\"}\n{\"request\":\"status\"}\n{\"request\":\"counters\"}\n");
    for answer in ["reload", "status", "counters"] {
        assert_eq!(admin.line()["answer"], answer);
    }
    admin.write(&[b'x'; 4096]);
    assert_eq!(admin.line()["error"], "bad_request");
    admin.ends();
    operated.user("bob").ping();
}

#[test]
fn too_many_connections_are_refused_and_one_that_leaves_makes_room() {
    let operated = Operated::start(&[]);
    let mut admins: Vec<_> = (0..ADMIN_CONNECTIONS).map(|_| operated.admin()).collect();
    for admin in &mut admins {
        assert_eq!(admin.request("status")["answer"], "status");
    }
    let mut beyond = operated.admin();
    assert_eq!(beyond.line()["error"], "busy");
    beyond.ends();
    let mut first = admins.remove(0);
    first.stream.shutdown(std::net::Shutdown::Write).expect("it is open");
    first.ends();
    drop(first);
    // The place is free once the relay has seen that this end is closed too.
    let answer = loop {
        let answer = operated.admin().request_or_busy();
        if answer["error"] != "busy" {
            break answer;
        }
    };
    assert_eq!(answer["answer"], "status");
}

impl Admin {
    /// The relay may have said that it has no room, and closed.
    fn request_or_busy(mut self) -> Value {
        let _ = self.stream.write_all(b"{\"request\":\"status\"}\n");
        self.line()
    }
}

#[test]
fn users_are_kicked_and_names_are_released() {
    let operated = Operated::start(&[]);
    let mut admin = operated.admin();
    let (alice, other) = (Account::alice(), Account::new("alice", BOB_PEM));
    let mut client = operated.version2(&alice);
    assert_eq!(admin.ask(&json!({"request": "kick", "name": "nobody"}))["error"], "unknown_user");
    let kicked = admin.ask(&json!({"request": "kick", "name": "alice"}));
    assert_eq!(kicked, json!({"answer": "kick", "name": "alice"}));
    client.dismissed("shutting_down");
    let mut refused = Client::connect(operated.relay.address.parse().expect("an address"));
    refused.send(&other.claim(RosterMode::None));
    refused.refused("name_bound");
    assert_eq!(admin.ask(&json!({"request": "release", "name": "bob"}))["error"], "unknown_name");
    let released = admin.ask(&json!({"request": "release", "name": "alice"}));
    assert_eq!(released, json!({"answer": "release", "name": "alice"}));
    let _client = operated.version2(&other);
    let listed = Process::start(&["names", "--home", text(&operated.home), "list"]).end();
    assert_eq!(listed.with_code(0).stdout.len(), 1);
    operated.relay.process.talk_with("was ended by the operator");
    operated.relay.process.talk_with("alice was released");
}

#[test]
fn a_relay_that_keeps_nothing_releases_names_too() {
    let homes = Homes::new();
    let path = homes.path("s");
    let relay = Relay::start(&["--ephemeral", "--admin", text(&path)]);
    let alice = Account::alice();
    let mut client = Client::connect(relay.address.parse().expect("an address"));
    alice.register(&mut client, RosterMode::None);
    let mut admin = Admin::connect(&path);
    let released = admin.ask(&json!({"request": "release", "name": "alice"}));
    assert_eq!(released["answer"], "release");
}

#[test]
fn letters_that_wait_are_told_and_after_a_restart_too() {
    let homes = Homes::new();
    let home = homes.path("relay");
    let waiting = || {
        let status = Admin::connect(&home.join("admin.sock")).request("status");
        ["letters", "letter_bytes"].map(|name| status[name].as_u64().expect("a number"))
    };
    let relay = Relay::start(&["--home", text(&home)]);
    assert_eq!(waiting(), [0, 0]);
    let address = relay.address.parse().expect("an address");
    let [mut alice, mut bob] = [Account::alice(), Account::new("bob", BOB_PEM)].map(|account| {
        let mut client = Client::connect(address);
        assert_eq!(account.register(&mut client, RosterMode::None)["action"], "registered");
        client
    });
    bob.write(&compose::letterbox(&letter_key()));
    assert_eq!(bob.frame()["action"], "letterbox");
    alice.write(&compose::letter("bob", "me", "1", (LetterKind::Text, 1), "AAAA"));
    assert_eq!(alice.frame()["action"], "stored");
    let [letters, bytes] = waiting();
    assert!(letters == 1 && bytes > 0, "{letters} {bytes}");
    relay.process.signal(Signal::SIGTERM);
    relay.process.end().with_code(0);
    let _relay = Relay::start(&["--home", text(&home)]);
    while waiting() != [1, bytes] {} // the storage thread counts when it has begun
}

/// A key for letters from today's start on.
fn letter_key() -> LetterKey {
    const DAY: u64 = 24 * 3600 * 1000;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let created = u64::try_from(now.as_millis()).expect("few") / DAY * DAY;
    let (mlkem, signature) = (Box::new([7; MLKEM_KEY]), vec![9; 384]);
    LetterKey { id: 1, created, expires: created + 90 * DAY, x25519: [8; 32], mlkem, signature }
}

#[test]
fn a_drain_ends_the_relay_and_its_socket() {
    let operated = Operated::start(&[]);
    let mut bob = operated.user("bob");
    let socket = operated.home.join("admin.sock");
    assert_eq!(fs::metadata(&socket).expect("it is there").permissions().mode() & 0o777, 0o600);
    assert_eq!(operated.admin().request("drain"), json!({"answer": "drain"}));
    bob.dismissed("shutting_down");
    drop(bob);
    operated.relay.process.end().with_code(0);
    assert!(!socket.exists());
}

#[test]
fn only_the_user_of_the_relay_and_root_are_let_in() {
    if !geteuid().is_root() {
        eprintln!("skipped: only root can become another user");
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("ours");
    let path = directory.path().join("s");
    let metrics = directory.path().join("m");
    let relay = Relay::start(&["--ephemeral", "--admin", text(&path), "--metrics", text(&metrics)]);
    let program = "import socket, sys\n\
                   s = socket.socket(socket.AF_UNIX)\n\
                   try: s.connect(sys.argv[1])\n\
                   except PermissionError: sys.exit('denied')\n\
                   try: s.sendall(b'{\"request\":\"status\"}\\n'); print(len(s.recv(1)))\n\
                   except (BrokenPipeError, ConnectionResetError): print(0)\n";
    let other = |path: &Path| {
        let mut python = Command::new("python3");
        python.args(["-c", program, text(path)]).uid(65534).gid(65534).current_dir("/");
        Process::spawn(&mut python).end()
    };
    assert_eq!(other(&path).stderr, ["denied"]);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("ours");
    assert_eq!(other(&path).stdout, ["0"], "it was closed without an answer");
    relay.process.talk_with(
        "warning the user 65534 of this machine was not let in at the admin socket: only the \
         relay's user and root may use it",
    );
    assert_eq!(Admin::connect(&path).request("status")["answer"], "status");
    fs::set_permissions(&metrics, fs::Permissions::from_mode(0o666)).expect("ours");
    assert_eq!(other(&metrics).stdout, ["0"], "it was closed without an answer");
    relay.process.talk_with("was not let in at the metrics socket");
}

#[test]
fn the_socket_can_have_a_long_path_and_a_killed_relay_leaves_one_that_is_replaced() {
    let homes = Homes::new();
    let home = homes.path(&"d".repeat(150));
    for signal in [Signal::SIGKILL, Signal::SIGTERM] {
        let relay = Relay::at_home(&home);
        let path = home.join("admin.sock");
        let socket = UnixSocket::connect(&path).expect("it listens");
        drop(socket);
        relay.process.signal(signal);
        relay.process.end();
        assert_eq!(path.exists(), signal == Signal::SIGKILL);
    }
}

#[test]
fn a_socket_that_cannot_be_had_is_an_error_where_it_was_named_and_a_warning_otherwise() {
    let homes = Homes::new();
    let (home, file) = (homes.path("relay"), homes.path("file"));
    fs::write(&file, "mine").expect("written");
    for path in [file.clone(), homes.path("no/directory")] {
        let relay = ["serve", "--listen", "127.0.0.1:0", "--ephemeral", "--admin", text(&path)];
        let ended = Process::start(&relay).end().with_code(1);
        assert!(ended.stderr.iter().any(|line| line.contains(text(&path))), "{ended:?}");
    }
    assert_eq!(fs::read_to_string(&file).expect("it is there"), "mine");
    let named = homes.path("s");
    let _first = Relay::start(&["--ephemeral", "--admin", text(&named)]);
    let second = ["serve", "--listen", "127.0.0.1:0", "--ephemeral", "--admin", text(&named)];
    let ended = Process::start(&second).end().with_code(1);
    assert!(ended.stderr.iter().any(|line| line.contains("another process")), "{ended:?}");
    Relay::at_home(&home).process.signal(Signal::SIGTERM);
    fs::create_dir(home.join("admin.sock"))
        .or_else(|_| {
            fs::remove_file(home.join("admin.sock"))
                .and_then(|()| fs::create_dir(home.join("admin.sock")))
        })
        .expect("a directory in its place");
    let process = Process::start(&["serve", "--listen", "127.0.0.1:0", "--home", text(&home)]);
    process.talk_with("there is no admin socket");
    process.talk_with("listening");
    let none = Operated::start(&["--admin", "none"]);
    none.user("bob").ping();
    assert!(!none.home.join("admin.sock").exists());
}

// --- Metrics ---

/// A relay with metrics, and where they are.
fn measured(options: &[&str]) -> (Relay, String) {
    let process = Process::start(
        &[
            &["serve", "--listen", "127.0.0.1:0", "--ephemeral", "--metrics", "127.0.0.1:0"],
            options,
        ]
        .concat(),
    );
    let relay = Relay::of(process);
    let line = relay.process.talk_with("metrics at");
    let (_, at) = line.split_once("http://").expect("an address");
    (relay, at.trim_end_matches("/metrics").to_owned())
}

/// Sends these bytes; returns the head and the body of the answer.
fn http(at: &str, request: &[u8]) -> (String, String) {
    let mut stream = TcpStream::connect(at).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream.write_all(request).expect("it takes all");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer, and the end");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer.as_str(), ""));
    (head.to_owned(), body.to_owned())
}

fn get(at: &str, path: &str) -> (String, String) {
    http(at, format!("GET {path} HTTP/1.1\r\nHost: relay\r\n\r\n").as_bytes())
}

/// The names of metrics in a text.
fn names(text: &str) -> BTreeSet<String> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let words = text.split(|letter| !is_part(letter));
    let ours = words.filter(|word| {
        let is_ours = word.starts_with("sealwax_") || word.starts_with("process_");
        is_ours && !word.ends_with('_') && !word.contains("NAME")
    });
    let family = |name: &str| {
        let end = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        end.unwrap_or(name).to_owned()
    };
    ours.map(family).collect()
}

#[test]
fn the_dashboard_and_the_docs_name_the_metrics_that_there_are() {
    let homes = Homes::new();
    let [home, socket] = ["relay", "metrics"].map(|name| homes.path(name));
    let _relay = Relay::start(&["--home", text(&home), "--metrics", text(&socket)]);
    let mut stream = UnixStream::connect(&socket).expect("it listens");
    stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").expect("it takes all");
    let mut page = String::new();
    stream.read_to_string(&mut page).expect("an answer");
    let there = names(&page);
    assert!(there.len() > 30, "{there:?}");
    let dashboard = include_str!("../packaging/grafana.json");
    assert!(names(dashboard).is_subset(&there), "its variables ask too");
    let dashboard: Value = serde_json::from_str(dashboard).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array()).flatten();
    let asked: Vec<_> = targets.map(|target| target["expr"].as_str().expect("an expr")).collect();
    assert!(asked.len() > 20, "{asked:?}");
    for expression in asked {
        let named = names(expression);
        assert!(!named.is_empty() && named.is_subset(&there), "{expression}");
    }
    let operator = names(include_str!("../docs/operator.md"));
    let unknown: Vec<_> = operator.difference(&there).collect();
    assert!(unknown.is_empty(), "docs/operator.md names what is not there: {unknown:?}");
    // The other way round: what is there is named, counters of the log under their names in it.
    let docs = fs::read_dir("docs").expect("the docs").map(|it| it.expect("a file").path());
    let docs = docs.filter(|path| path.extension().is_some_and(|end| end == "md"));
    let docs: String = docs.map(|path| fs::read_to_string(path).expect("a text")).collect();
    let is_told = |family: &&String| {
        let counter = family.strip_prefix("sealwax_").and_then(|it| it.strip_suffix("_total"));
        let is_counter = counter.is_some_and(|name| {
            let parts = [format!("`{name}`"), format!("\"{name}_"), format!("`{name}_")];
            parts.iter().any(|words| docs.contains(words))
        });
        operator.contains(*family) || docs.contains(&format!("`{family}`")) || is_counter
    };
    let untold: Vec<_> = there.iter().filter(|family| !is_told(family)).collect();
    assert!(untold.is_empty(), "no page of the docs names {untold:?}");
}

#[test]
fn metrics_are_what_promtool_accepts() {
    let (relay, at) = measured(&[]);
    let mut bob = Client::original(relay.address.parse().expect("an address"), "bob");
    bob.send(&json!({}));
    bob.refused("bad_frame");
    let (head, page) = get(&at, "/metrics");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("Content-Type: text/plain; version=0.0.4"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}", page.len())), "{head}");
    for line in [
        "sealwax_registered_total 1",
        "sealwax_refused_total{code=\"bad_frame\"} 1",
        "sealwax_users 1",
        "sealwax_connections 1",
        "# TYPE sealwax_tick_seconds histogram",
        "# TYPE sealwax_tick_events histogram",
    ] {
        assert!(page.lines().any(|it| it == line), "{line}:\n{page}");
    }
    let value = |name: &str| {
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name}"))
    };
    let ticks = value("sealwax_tick_seconds_count");
    assert_eq!(value("sealwax_tick_seconds_bucket{le=\"+Inf\"}"), ticks);
    assert!(ticks != "0" && value("sealwax_tick_seconds_sum") != "0");
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let Ok(mut promtool) = end_with_parent(promtool.stderr(Stdio::piped())).spawn() else {
        eprintln!("skipped: promtool is not installed");
        return;
    };
    promtool.stdin.take().expect("piped").write_all(page.as_bytes()).expect("it reads");
    let checked = promtool.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(checked.status.success() && said.is_empty(), "{said}");
}

#[test]
fn health_is_told_and_other_requests_are_refused_by_their_code() {
    let (relay, at) = measured(&[]);
    for (path, code) in [
        ("/healthz", "200"),
        ("/readyz", "200"),
        ("/healthz?verbose=1", "200"),
        ("/", "404"),
        ("/metrics/", "404"),
        ("/%2e%2e/etc/passwd", "404"),
    ] {
        let (head, _) = get(&at, path);
        assert!(head.starts_with(&format!("HTTP/1.1 {code} ")), "{path}: {head}");
        assert!(head.contains("Connection: close"), "{head}");
    }
    let long = [b"GET / HTTP/1.1\r\nX: ".to_vec(), vec![b'x'; 5000]].concat();
    for (request, code) in [
        (&b"POST /metrics HTTP/1.1\r\nContent-Length: 1\r\n\r\nx"[..], "405"),
        (b"HEAD /metrics HTTP/1.1\r\n\r\n", "405"),
        (b"GET /metrics\r\n\r\n", "400"),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", "400"),
        (b"GET http://x/metrics HTTP/1.1\r\n\r\n", "400"),
        (&long, "431"),
    ] {
        let (head, _) = http(&at, request);
        assert!(head.starts_with(&format!("HTTP/1.1 {code} ")), "{head}");
    }
    Client::original(relay.address.parse().expect("an address"), "bob").ping();
}

#[test]
fn many_who_ask_for_nothing_are_bounded_and_end() {
    let (relay, at) = measured(&["--register-timeout", "0.2"]);
    let mut idle: Vec<_> = (0..METRICS_CONNECTIONS + 4)
        .map(|_| TcpStream::connect(&at).expect("the kernel takes it"))
        .collect();
    let mut bob = Client::original(relay.address.parse().expect("an address"), "bob");
    bob.ping();
    for stream in &mut idle {
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest); // a reset ends it as well
        assert!(rest.is_empty());
    }
    assert!(get(&at, "/healthz").0.starts_with("HTTP/1.1 200 "));
}

#[test]
fn metrics_can_be_had_at_a_unix_socket_and_a_taken_port_is_an_error() {
    let homes = Homes::new();
    let path = homes.path("metrics");
    let _relay = Relay::start(&["--ephemeral", "--metrics", text(&path)]);
    let mut stream = UnixStream::connect(&path).expect("it listens");
    stream.write_all(b"GET /readyz HTTP/1.1\r\n\r\n").expect("it takes all");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("ok\n"), "{answer}");
    let (_relay, at) = measured(&[]);
    let taken = ["serve", "--listen", "127.0.0.1:0", "--ephemeral", "--metrics", &at];
    let ended = Process::start(&taken).end().with_code(1);
    assert!(ended.stderr.iter().any(|line| line.contains(&at) && line.contains("--metrics")));
}

// --- `sealwax top` ---

#[test]
fn top_tells_one_object_a_second_and_connects_again() {
    let homes = Homes::new();
    let path = homes.path("s");
    let top = Process::start(&["top", "--admin", text(&path)]);
    let object = || -> Value { serde_json::from_str(&top.line()).expect("an object a line") };
    let absent = object();
    assert_eq!(absent["connected"], false);
    assert!(absent["detail"].as_str().is_some_and(|it| it.contains(text(&path))), "{absent}");
    for _ in 0..2 {
        let relay = Relay::start(&["--ephemeral", "--admin", text(&path)]);
        let told = loop {
            let told = object();
            if told["connected"] == true && told["status"]["users"] == 0 {
                break told;
            }
        };
        assert_eq!(told["status"]["pid"], relay.process.pid());
        assert!(told["counters"].is_object());
        relay.process.signal(Signal::SIGKILL);
        relay.process.end();
        while object()["connected"] == true {}
    }
    top.signal(Signal::SIGTERM);
    top.end().with_code(0);
}

#[test]
fn top_once_tells_one_object_or_that_there_is_no_relay() {
    let operated = Operated::start(&[]);
    let bob = operated.user("bob");
    let ended = Process::start(&["top", "--home", text(&operated.home), "--once"]).end();
    let told: Vec<Value> = ended
        .with_code(0)
        .stdout
        .iter()
        .map(|line| serde_json::from_str(line).expect("an object a line"))
        .collect();
    assert_eq!((told.len(), &told[0]["status"]["users"]), (1, &json!(1)));
    drop(bob);
    let nowhere = operated.home.join("nowhere");
    let ended = Process::start(&["top", "--home", text(&nowhere), "--once"]).end().with_code(5);
    assert!(ended.stdout.is_empty() && ended.stderr[0].contains("no relay listens"), "{ended:?}");
}

#[test]
fn top_leaves_what_is_no_admin_socket() {
    let homes = Homes::new();
    let path = homes.path("s");
    let listener = std::os::unix::net::UnixListener::bind(&path).expect("it listens");
    let answers = [b"220 mail.example.org ESMTP\r\n".to_vec(), Vec::new(), vec![b'x'; 1_000_000]];
    for answer in &answers {
        let top = Process::start(&["top", "--admin", text(&path), "--once"]);
        let (mut stream, _) = listener.accept().expect("it connects");
        let _ = stream.write_all(answer); // it may have left before all was taken
        drop(stream);
        let ended = top.end().with_code(5);
        assert!(!ended.stderr.is_empty() && ended.stdout.is_empty(), "{ended:?}");
    }
}
