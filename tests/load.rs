//! The load generator: on a kernel in memory, against a relay that does what a relay must not; and
//! as a program.

#![allow(clippy::expect_used)]

mod support;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use nix::sys::signal::Signal;
use sealwax::load::{Extent, Generator, Payload, Plan, Sealwax, Stage, Stats, Work};
use sealwax::reactor::{
    CloseReason, Config, Context, Handler, Opened, Reactor, Sys, Time, Timeout, Token,
};
use sealwax::relay::RelayConfig;
use sealwax::wire::RosterMode;
use serde_json::Value;

use self::support::kernel::Kernel;
use self::support::process::{Process, Relay};
use self::support::simulated::Simulated;

const AT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 12345);
const TIMEOUT: Duration = Duration::from_secs(5);
const FLOOD: Work = Work::Flood { window: 8, mesh: false };

/// What is done with what a user said: the frames that go out instead, each to a user.
type Tamper = Box<dyn FnMut(&str, &str) -> Vec<(String, String)>>;

/// A relay of sorts.
struct Evil {
    users: HashMap<String, Token>,
    names: HashMap<Token, String>,
    tamper: Tamper,
    /// What a registration is answered.
    welcome: Option<&'static str>,
}

impl Evil {
    /// One that takes registrations and does with messages what `tamper` makes of them.
    fn with(tamper: impl FnMut(&str, &str) -> Vec<(String, String)> + 'static) -> Self {
        let welcome = Some("{\"action\":\"pong\"}");
        Self { users: HashMap::new(), names: HashMap::new(), tamper: Box::new(tamper), welcome }
    }

    /// One that answers registrations with this and does nothing else.
    fn answering(welcome: Option<&'static str>) -> Self {
        Self { welcome, ..Self::with(|_, _| Vec::new()) }
    }

    fn parse(&mut self, cx: &mut Context, from: Token, frame: &str) {
        let value: Value = serde_json::from_str(frame).expect("the generator writes JSON");
        match value["action"].as_str() {
            Some("register") => {
                let name = value["name"].as_str().expect("a name").to_owned();
                self.users.insert(name.clone(), from);
                self.names.insert(from, name);
                if let Some(welcome) = self.welcome {
                    cx.send(from, &[welcome.as_bytes()]);
                }
            }
            Some("message") => {
                let to = value["to"].as_str().expect("an addressee");
                for (to, frame) in (self.tamper)(to, frame) {
                    cx.send(self.users[&to], &[frame.as_bytes(), b"\n"]);
                }
            }
            _ => {}
        }
    }
}

impl Handler for Evil {
    fn opened(&mut self, _: &mut Context, _: Token, _: Opened) {}

    fn received(&mut self, cx: &mut Context, from: Token, bytes: &[u8]) -> usize {
        let text = std::str::from_utf8(bytes).expect("the generator writes UTF-8");
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        text[..whole].lines().for_each(|frame| self.parse(cx, from, frame));
        whole
    }

    fn ended(&mut self, cx: &mut Context, from: Token, _: &[u8]) {
        cx.close(from);
    }

    fn timed_out(&mut self, _: &mut Context, _: Token, _: Timeout) {}

    fn closed(&mut self, _: &mut Context, _: Token, _: CloseReason) {}
}

fn plan(work: Work) -> Plan {
    Plan {
        targets: vec![AT],
        crossing: 0,
        work,
        workers: 3,
        idle: 0,
        rate: None,
        warm_up: Duration::ZERO,
        extent: Extent::Time(Duration::from_millis(20)),
        connecting: 128,
        ramp: Duration::ZERO,
        timeout: TIMEOUT,
    }
}

/// Runs `plan` to its end on `kernel`, giving `other` its turns.
fn run(kernel: &Kernel, plan: Plan, mut other: impl FnMut()) -> Stats {
    let payload = Payload::new(131, false, 0).expect("long enough");
    let is_visit = plan.work == Work::Connect;
    let roster = if is_visit { RosterMode::Full } else { RosterMode::None };
    let protocol = Box::new(Sealwax::new(roster, &payload, None));
    let mut generator = Generator::new(plan, protocol, payload);
    let mut reactor = Reactor::new(kernel.process(), &generator.waits());
    generator.start(reactor.context());
    for _ in 0..100_000 {
        other();
        let most = Duration::from_millis(1);
        reactor.tick(&mut generator, Some(most)).expect("the kernel in memory does not fail");
        if generator.stage() == Stage::Done {
            return generator.stats().clone();
        }
    }
    panic!("the run does not end: {:?}", generator.stage());
}

/// Runs `plan` against `evil`.
fn suffer(mut evil: Evil, plan: Plan) -> Stats {
    let kernel = Kernel::new();
    let mut reactor = Reactor::new(kernel.process(), &Config::default());
    reactor.context().listen(AT);
    run(&kernel, plan, || reactor.tick(&mut evil, Some(Duration::ZERO)).expect("no faults"))
}

fn faults(stats: &Stats) -> Vec<(String, u64)> {
    stats.faults.iter().collect()
}

fn has(stats: &Stats, class: &str) -> bool {
    stats.faults.iter().any(|(found, count)| found.starts_with(class) && count > 0)
}

/// The frame goes where it should.
fn pass(to: &str, frame: &str) -> (String, String) {
    (to.to_owned(), frame.to_owned())
}

#[test]
fn a_relay_that_does_its_work_is_measured() {
    let mesh = Work::Flood { window: 8, mesh: true };
    for work in [Work::Connect, Work::Echo, Work::PingPong, FLOOD, mesh] {
        let mut relay = Simulated::start(RelayConfig::default());
        let kernel = relay.kernel.clone();
        let plan = Plan { extent: Extent::Operations(100), idle: 20, ..plan(work) };
        let stats = run(&kernel, plan, || relay.settle());
        assert_eq!(faults(&stats), [], "{work:?}");
        assert!(
            stats.finished >= 100 && stats.latency.len() >= 100,
            "{work:?}: {}",
            stats.finished
        );
        let messages = if work == Work::PingPong { 2 * stats.finished } else { stats.finished };
        assert!(stats.handled.abs_diff(messages) <= 3, "{work:?}: {}", stats.finished);
    }
}

#[test]
fn at_a_rate_as_much_is_offered_as_was_asked_for() {
    let mut relay = Simulated::start(RelayConfig::default());
    let kernel = relay.kernel.clone();
    let extent = Extent::Time(Duration::from_secs(2));
    let plan = Plan { rate: Some(100.0), extent, ..plan(FLOOD) };
    let stats = run(&kernel, plan, || relay.settle());
    assert_eq!((stats.offered, stats.finished, faults(&stats)), (200, 200, Vec::new()));
}

#[test]
fn a_latency_counts_from_the_intended_start() {
    let mut relay = Simulated::start(RelayConfig::default());
    let kernel = relay.kernel.clone();
    let extent = Extent::Time(Duration::from_secs(3));
    let work = Work::Flood { window: 1, mesh: false };
    let plan = Plan { workers: 1, rate: Some(10.0), extent, ..plan(work) };
    // The relay stands still for a second. Only one message can be on its way meanwhile; the nine
    // that could not even start are as late as it.
    let still = Duration::from_secs(2)..Duration::from_secs(3);
    let clock = kernel.clone();
    let stats = run(&kernel, plan, || {
        if !still.contains(&clock.clone().now().since(Time::default())) {
            relay.settle();
        }
    });
    let half = stats.latency.count_between(500_000_000, 1_100_000_000);
    assert!((4..=6).contains(&half), "{half} of {}", stats.latency.len());
}

/// Runs `plan` against a relay that stands still while `is_still` says so of the time since the
/// kernel began.
fn with_stalls(plan: Plan, mut is_still: impl FnMut(Duration) -> bool) -> Stats {
    let mut relay = Simulated::start(RelayConfig::default());
    let kernel = relay.kernel.clone();
    let mut clock = kernel.clone();
    run(&kernel, plan, || {
        if !is_still(clock.now().since(Time::default())) {
            relay.settle();
        }
    })
}

/// A relay that has one turn in so many milliseconds: a round trip takes two of them.
fn slow(period: u128) -> impl FnMut(Duration) -> bool {
    let mut last = 0;
    move |now| {
        let turn = now.as_millis() / period;
        std::mem::replace(&mut last, turn) == turn
    }
}

fn millis(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[test]
fn a_stall_at_the_end_of_the_window_shows_in_the_latencies() {
    let still = millis(4000)..millis(6500); // the window begins at 1 s
    let mesh = Work::Flood { window: 8, mesh: true };
    for work in [Work::Echo, Work::PingPong, FLOOD, mesh, Work::Connect] {
        let extent = Extent::Time(millis(5000));
        let plan = Plan { rate: Some(1000.0), workers: 8, extent, ..plan(work) };
        let stats = with_stalls(plan, |now| still.contains(&now));
        assert_eq!((stats.offered, stats.unfinished(), faults(&stats)), (5000, 0, Vec::new()));
        assert_eq!(stats.latency.len(), 5000, "{work:?}: each operation has one");
        // Those that were to start after 3 s waited from 2.5 s down to 0.5 s.
        let waited = stats.latency.count_between(450_000_000, 3_000_000_000);
        assert!((1900..=2100).contains(&waited), "{work:?}: {waited}");
        assert!(stats.latency.value_at_quantile(0.99) > 2_000_000_000, "{work:?}");
        assert!(stats.finished <= 3100, "{work:?}: those done later are no part of the rate");
    }
}

#[test]
fn what_does_not_finish_within_the_timeout_is_told_and_counts_with_its_age() {
    let (rate, extent) = (Some(1000.0), Extent::Time(millis(4000)));
    let plan = Plan { rate, extent, workers: 1, timeout: millis(1000), ..plan(Work::PingPong) };
    let stats = with_stalls(plan, slow(10));
    assert_eq!((stats.offered, faults(&stats)), (4000, Vec::new()));
    let left = (stats.unfinished(), stats.unstarted);
    assert!(left.0 > 3000 && left.1 > 3000, "{left:?}");
    assert_eq!(stats.latency.len(), 4000);
    assert!(stats.latency.value_at_quantile(0.5) > 1_000_000_000);
    assert_eq!(stats.late, 0, "the generator waited for the relay, and was never late itself");
}

#[test]
fn a_stall_in_the_warm_up_does_not_raise_the_rate() {
    let still = millis(2000)..millis(3200); // it was to end at 3 s
    let work = Work::Flood { window: 64, mesh: false };
    for extent in [Extent::Time(millis(2000)), Extent::Operations(200)] {
        let warm_up = millis(2000);
        let plan = Plan { rate: Some(100.0), workers: 1, warm_up, extent, ..plan(work) };
        let stats = with_stalls(plan, |now| still.contains(&now));
        assert_eq!((stats.offered, stats.finished, stats.handled), (200, 200, 200), "{extent:?}");
    }
}

#[test]
fn the_latencies_of_messages_that_are_lost_are_not_left_out() {
    let mut count = 0;
    let evil = Evil::with(move |to, frame| {
        count += 1;
        if count > 50 { Vec::new() } else { vec![pass(to, frame)] }
    });
    let (rate, extent) = (Some(100.0), Extent::Time(millis(1000)));
    let stats = suffer(evil, Plan { workers: 1, rate, extent, ..plan(FLOOD) });
    assert_eq!((stats.offered, stats.latency.len()), (100, 100), "{:?}", faults(&stats));
    assert!((45..=50).contains(&stats.unfinished()), "{}", stats.unfinished());
    assert!(stats.latency.value_at_quantile(0.6) >= 4_000_000_000);
}

#[test]
fn no_rate_is_too_high_to_be_counted() {
    let (rate, extent) = (Some(1e9), Extent::Time(millis(2000)));
    for work in [Work::PingPong, FLOOD] {
        let plan = Plan { workers: 1, rate, extent, timeout: millis(20), ..plan(work) };
        let stats = with_stalls(plan, slow(1));
        assert_eq!((stats.offered, faults(&stats)), (2_000_000_000, Vec::new()));
        assert_eq!(stats.latency.len(), 2_000_000_000);
        assert!(stats.unfinished() > 1_900_000_000);
    }
}

#[test]
fn messages_that_are_lost_doubled_changed_or_out_of_order_are_told() {
    let mut count = 0;
    let mut every_third = move || {
        count += 1;
        count % 3 == 0
    };
    let mut again = every_third;
    let mut held: Option<(String, String)> = None;
    let mut chance = every_third;
    let cases: [(&str, Evil); 5] = [
        (
            "message out of order",
            Evil::with(
                move |to, frame| {
                    if every_third() { Vec::new() } else { vec![pass(to, frame)] }
                },
            ),
        ),
        (
            "message unexpected",
            Evil::with(move |to, frame| vec![pass(to, frame); if again() { 2 } else { 1 }]),
        ),
        ("message altered", Evil::with(|to, frame| vec![pass(to, &frame.replace("---", "--+"))])),
        ("message misdelivered", Evil::with(|_, frame| vec![pass("u0000000", frame)])),
        (
            "message out of order",
            Evil::with(move |to, frame| match held.take() {
                Some(first) => vec![pass(to, frame), first],
                None if chance() => {
                    held = Some(pass(to, frame));
                    Vec::new()
                }
                None => vec![pass(to, frame)],
            }),
        ),
    ];
    for (class, evil) in cases {
        let extent = Extent::Operations(30);
        let stats = suffer(evil, Plan { workers: 1, extent, ..plan(FLOOD) });
        assert!(has(&stats, class), "{class}: {:?}", faults(&stats));
    }
}

#[test]
fn a_relay_that_answers_nothing_useful_is_counted_by_class_and_the_run_ends() {
    let refusal = r#"{"action":"error","code":"name_in_use","detail":"no"}"#;
    let cases = [
        (None, "timed out"),
        (Some("HTTP/1.1 400 Bad Request"), "nonsense"),
        (Some("{\"half\":"), "timed out"),
        (Some("{}"), "nonsense"),
        (Some(refusal), "refused: name_in_use"),
    ];
    for (welcome, class) in cases {
        let stats = suffer(Evil::answering(welcome), plan(FLOOD));
        assert_eq!(faults(&stats), [(class.to_owned(), 6)], "{welcome:?}");
        assert_eq!(stats.window(), Duration::ZERO);
    }
}

#[test]
fn a_relay_that_falls_silent_ends_the_run_after_the_timeout() {
    let silent = Evil::answering(Some("{\"action\":\"pong\"}"));
    let extent = Extent::Operations(1000);
    let stats = suffer(silent, Plan { extent, ..plan(Work::PingPong) });
    assert!(has(&stats, "stalled") && has(&stats, "message lost"), "{:?}", faults(&stats));
}

#[test]
fn so_many_connects_are_tried_and_no_more_where_nobody_is_let_in() {
    for welcome in [None, Some("{}")] {
        let extent = Extent::Operations(5);
        let stats = suffer(Evil::answering(welcome), Plan { extent, ..plan(Work::Connect) });
        assert_eq!((stats.finished, stats.completed), (0, 0));
        assert!((5..5 + 3).contains(&stats.failed), "{}", stats.failed);
    }
}

#[test]
fn a_relay_that_is_gone_leaves_the_rest_of_the_schedule_undone() {
    let (rate, extent) = (Some(1000.0), Extent::Time(millis(4000)));
    let plan = Plan { rate, extent, timeout: millis(500), ..plan(Work::PingPong) };
    let stats = with_stalls(plan, |now| now > millis(1000));
    assert_eq!(stats.offered, 4000, "all that was to start in the window");
    let unfinished = stats.unfinished();
    assert!(unfinished > 2000, "{unfinished}");
    assert!(stats.latency.len() < 4000, "what was not due yet has waited for nothing");
}

#[test]
fn nobody_there_is_unreachable() {
    for work in [Work::Connect, FLOOD] {
        let stats = run(&Kernel::new(), plan(work), || {});
        assert!(has(&stats, "unreachable"), "{:?}", faults(&stats));
    }
}

#[test]
fn who_comes_and_goes_is_counted_by_what_came_of_it() {
    let refusal = r#"{"action":"error","code":"name_in_use","detail":"no"}"#;
    let cases =
        [(None, "timed out"), (Some("{}"), "nonsense"), (Some(refusal), "refused: name_in_use")];
    for (welcome, class) in cases {
        let extent = Extent::Time(Duration::from_secs(20));
        let stats = suffer(
            Evil::answering(welcome),
            Plan { extent, rate: Some(2.0), ..plan(Work::Connect) },
        );
        let is_that = |(found, count): &(String, u64)| found == class && (10..=40).contains(count);
        assert!(faults(&stats).iter().all(is_that) && stats.finished == 0, "{:?}", faults(&stats));
    }
}

#[test]
fn a_relay_is_started_measured_and_ended() {
    let short = ["--warm-up", "0", "--count", "300"];
    let kinds = [
        &["connect", "--at-once", "2"][..],
        &["connect", "--at-once", "2", "--v2"],
        &["hold", "10", "--rate", "1000"],
        &["pingpong", "--pairs", "2"],
        &["flood", "--pairs", "2", "--mesh", "--idle", "5"],
    ];
    let options = [&[][..], &["--", "--trigger", "edge"], &["--", "--spin", "100"]];
    for (kind, options) in kinds.iter().zip(options.iter().cycle()) {
        let arguments = [&["load"], *kind, &short, options].concat();
        let ended = Process::start(&arguments).end().with_code(0);
        let lines = &ended.stdout;
        assert!(lines[0].starts_with(&format!("load        {}: ", kind[0])), "{lines:#?}");
        assert!(lines.iter().any(|line| line.contains("CPU µs each")), "{lines:#?}");
        let errors = lines.iter().find(|line| line.starts_with("errors ")).expect("a row");
        assert_eq!(errors.split_whitespace().collect::<Vec<_>>(), ["errors", "0"]);
        let verdict = lines.last().expect("lines");
        assert!(verdict.starts_with("ok: ") && verdict.ends_with(", 0 errors"), "{verdict}");
    }
}

/// The line of the head with this name, and what follows below it.
fn head<'a>(lines: &'a [String], name: &str) -> &'a str {
    let line = lines.iter().find(|line| line.starts_with(name)).expect("a line of this name");
    line[name.len()..].trim()
}

#[test]
fn the_head_tells_what_was_run() {
    let arguments = "load flood --pairs 2 --window 1000 --mesh --idle 3 --count 2000 --warm-up 0 \
        --rate 50000 --size 1500 --v2 --tls --beside floor --rounds 2 --ramp 0.1";
    let arguments: Vec<_> = arguments.split_whitespace().collect();
    let lines = Process::start(&arguments).end().with_code(0).stdout;
    let work = "flood: 2 pairs, window 1,000, to random users; an operation: a";
    let expected = [
        ("load", work),
        ("measured", "a relay that was started for this; beside it floor"),
        ("message", "1,500 bytes, the whole frame"),
        ("rate", "50,000 operations/s"),
        ("duration", "2,000 operations, warm-up 0 s, timeout 5 s; users connect over 0.1 s"),
        ("rounds", "2, in turn; the table has median (least…most)"),
        ("idle users", "3"),
        ("protocol", "version 2, roster none, TLS with relay"),
    ];
    for (name, text) in expected {
        assert_eq!(head(&lines, name), text);
    }
    let processors = head(&lines, "processors");
    assert!(processors.starts_with("the target may use "), "{processors}");
    for row in ["payload, MB/s", "from the target, MB/s", "to the target, MB/s"] {
        assert!(lines.iter().any(|line| line.starts_with(row)), "{lines:#?}");
    }
    // Neither a terminal nor anything else: 80 columns.
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{lines:#?}");
    // At 2,000 latencies a round: two are above p99.9.
    let few = "relay: few samples: of 2,000 only 2 above p99.9";
    assert!(lines.iter().any(|line| line == few), "{lines:#?}");
}

#[test]
fn a_relay_that_dies_in_the_middle_is_named_and_the_table_is_told() {
    let load = Process::start(&["load", "hold", "2", "--duration", "600"]);
    let mut lines = vec![load.line()]; // the relay runs, and is measured
    let pid = load.pid();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let relay = children.expect("it runs").trim().parse().expect("one child");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(relay), Signal::SIGKILL).expect("it runs");
    lines.extend(load.end().with_code(1).stdout);
    let told = format!("relay: process {relay} has ended, signal: 9 (SIGKILL)");
    assert!(lines.contains(&told), "{lines:#?}");
    let is_class = |line: &String| {
        let class = line.trim_start();
        line.starts_with("  ") && (class.starts_with("closed by") || class.starts_with("broken"))
            || class.starts_with("unreachable")
    };
    assert!(lines.iter().any(is_class), "{lines:#?}");
    let verdict = lines.last().expect("lines");
    assert!(verdict.starts_with("failed: ") && verdict.ends_with(", ended early"), "{verdict}");
}

#[test]
fn a_relay_that_runs_is_measured() {
    let relay = Relay::ephemeral();
    let pid = relay.process.pid().to_string();
    let arguments = ["load", "flood", "--relay", &relay.address, "--pid", &pid, "--count", "300"];
    for _ in 0..2 {
        // A name of version 2 stays bound to the key of a run that is over.
        Process::start(&[&arguments[..], &["--warm-up", "0", "--v2"]].concat()).end().with_code(0);
    }
}

/// A server that sends back what `change` makes of what comes; its threads end with this process.
fn echo_server(change: fn(&mut [u8])) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    change(&mut buffer[..count]);
                    if stream.write_all(&buffer[..count]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[test]
fn an_echo_server_is_measured_and_held_to_what_was_sent() {
    let own = std::process::id().to_string();
    let measure = |address: &str| {
        let common = ["--idle", "5", "--count", "300", "--warm-up", "0", "--size", "5000"];
        let arguments = ["load", "echo", "--relay", address, "--pid", &own];
        Process::start(&[&arguments[..], &common].concat()).end()
    };
    let told = measure(&echo_server(|_| {})).with_code(0).stdout.join("\n");
    assert!(told.contains("the echo server at") && told.contains("CPU µs each"), "{told}");
    assert!(!told.contains("protocol"), "{told}");
    let told = measure(&echo_server(<[u8]>::reverse)).with_code(1).stdout.join("\n");
    assert!(told.contains("nonsense"), "{told}");
    let changed = echo_server(|bytes| {
        bytes.iter_mut().filter(|byte| **byte == b'-').for_each(|byte| *byte = b'+');
    });
    let told = measure(&changed).with_code(1).stdout.join("\n");
    assert!(told.contains("message altered"), "{told}");
}

/// One relay that listens twice stands for two that have all names in common.
#[test]
fn several_relays_are_measured_as_one() {
    let listen = ["--listen", "127.0.0.1:0"];
    let serve = [&["serve", "--ephemeral"], &listen[..], &listen].concat();
    let relay = Relay::of(Process::start(&serve));
    let line = relay.process.talk_with("listening on ");
    let other = line.trim_start_matches("listening on ");
    let both = format!("{},{other}", relay.address);
    let pid = relay.process.pid().to_string();
    let pids = format!("{pid},{pid}");
    let load = |more: &[&str]| {
        let to = ["--relay", &both, "--warm-up", "0", "--count", "300"];
        Process::start(&[&["load"], more, &to].concat()).end()
    };
    for work in [
        &["flood", "--pairs", "4", "--pid", &pids][..],
        &["flood", "--pairs", "4", "--crossing", "100", "--v2"],
        &["pingpong", "--pairs", "3", "--crossing", "0", "--idle", "5"],
        &["flood", "--pairs", "4", "--mesh", "--tls"],
        &["connect", "--at-once", "4"],
    ] {
        let ended = load(work).with_code(0);
        let names_both = |line: &&String| line.contains(&relay.address) && line.contains(other);
        assert!(ended.stdout.iter().any(|line| names_both(&line)), "{ended:?}");
        assert!(ended.transcript.contains("% of the pairs cross"), "{ended:?}");
    }
    let ended = load(&["flood", "--json", "--pid", &pids, "--crossing", "25"]).with_code(0);
    let run = ended.stdout.iter().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let run = run.into_iter().find(|line| line["event"] == "run").expect("a run");
    assert_eq!(run["targets"], serde_json::json!([relay.address, other]));
    let settings = &run["settings"];
    assert_eq!((&settings["relays"], &settings["crossing"]), (&2.into(), &25.into()));
    assert!(run["figures"]["target_cpu_us"].is_f64(), "{run}");
    // Each relay has a process, and what is behind them has to be one.
    let ended = load(&["flood", "--pid", &pid]).with_code(2);
    assert!(ended.stderr[0].contains("the process of each relay"), "{ended:?}");
    let ended = load(&["flood", "--pid", &format!("{pids},4194304")]).with_code(2);
    assert!(ended.stderr[0].contains("no process 4194304"), "{ended:?}");
    Process::start(&["load", "flood", "--crossing", "50"]).end().with_code(2);
}

/// Two relays that know nothing of each other: what does not arrive is told.
#[test]
fn relays_that_do_not_act_as_one_are_found_out() {
    let (one, other) = (Relay::ephemeral(), Relay::ephemeral());
    let both = format!("{},{}", one.address, other.address);
    let arguments = ["load", "flood", "--relay", &both, "--pairs", "2", "--warm-up", "0"];
    let ended = Process::start(&[&arguments[..], &["--duration", "0.1"]].concat()).end();
    assert!(ended.with_code(1).transcript.contains("unknown_user"));
}

#[test]
fn a_relay_without_tls_is_named_as_such() {
    let relay = Relay::start(&["--ephemeral", "--tls", "off"]);
    let flood = ["load", "flood", "--tls", "--relay", &relay.address];
    let ended = Process::start(&[&flood[..], &["--warm-up", "0", "--count", "9"]].concat()).end();
    assert!(ended.transcript.contains("TLS failed: no_tls"), "{ended:?}");
}

#[test]
fn a_relay_is_found_by_the_name_of_its_host_and_only_by_the_process_that_listens() {
    let (relay, other) = (Relay::ephemeral(), Relay::ephemeral());
    let (_, port) = relay.address.rsplit_once(':').expect("a port");
    let load = |at: &str, pid: u32| {
        let (pid, short) = (pid.to_string(), ["--warm-up", "0", "--count", "100"]);
        let arguments = ["load", "pingpong", "--relay", at, "--pid", &pid];
        Process::start(&[&arguments[..], &short].concat()).end()
    };
    load(&format!("LOCALHOST:{port}"), relay.process.pid()).with_code(0);
    for (pid, why) in [(other.process.pid(), "does not listen at"), (1 << 22, "no process")] {
        let ended = load(&relay.address, pid).with_code(2);
        assert!(ended.stderr[0].contains(why) && ended.stdout.is_empty(), "{ended:?}");
    }
    let ended = Process::start(&["load", "flood", "--relay", "localhost:1"]).end();
    assert!(ended.with_code(5).stderr[0].contains("no server at localhost:1"));
    Process::start(&["load", "flood", "--relay", "no port"]).end().with_code(2);
    let checked = Process::start(&["load", "flood", "--relay", "tls://localhost:1"]).end();
    let said = checked.with_code(2).transcript;
    assert!(said.contains("no certificate is checked here"), "{said}");
}

#[test]
fn the_floor_goes_on_when_it_was_stopped() {
    let floor = Process::start(&["load", "floor", "--listen", "127.0.0.1:0"]);
    let line = floor.talk_with("listening on ");
    floor.stop_in_sleep();
    floor.signal(Signal::SIGCONT);
    let work = ["load", "pingpong", "--pairs", "2", "--warm-up", "0", "--count", "100", "--relay"];
    let at = line.trim_start_matches("listening on ");
    Process::start(&[&work[..], &[at]].concat()).end().with_code(0);
}

#[test]
fn the_floor_stands_beside_the_relay() {
    let arguments = ["load", "flood", "--beside", "floor,floor-spin", "--rounds", "2", "--mesh"];
    let short = ["--warm-up", "0", "--count", "300", "--pairs", "2"];
    let ended = Process::start(&[&arguments[..], &short].concat()).end().with_code(0);
    for title in ["floor-spin", "relay ÷ floor", "relay ÷ floor-spin"] {
        let is_head = |line: &&String| line.starts_with(' ') && line.ends_with(title);
        assert!(ended.stdout.iter().any(|line| is_head(&line)), "{ended:?}");
    }
}

#[test]
fn other_servers_stand_beside_the_relay_where_they_are_installed() {
    let servers = [
        ("redis", "redis-server"),
        ("nats", "nats-server"),
        ("nats-cluster", "nats-server"),
        ("mosquitto", "mosquitto"),
        ("ngircd", "ngircd"),
    ];
    for (server, program) in servers {
        let works = [
            &["connect"][..],
            &["pingpong", "--pairs", "2"],
            &["flood", "--pairs", "2", "--mesh"],
            &["connect", "--tls"],
            &["flood", "--pairs", "2", "--mesh", "--tls"],
        ];
        for work in works {
            let short = ["--beside", server, "--rounds", "1", "--warm-up", "0", "--count", "100"];
            let ended = Process::start(&[&["load"], work, &short].concat()).end();
            if ended.transcript.contains("is not installed") {
                println!("skipped: {program} is not installed");
                assert_eq!(ended.code, Some(1), "{ended:?}");
                break;
            }
            let ratio = format!("relay ÷ {server}");
            assert!(ended.with_code(0).stdout.iter().any(|line| line.ends_with(&ratio)));
        }
    }
}

#[test]
fn a_run_is_kept_and_compared_with() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| home.path().join(name).to_str().expect("UTF-8").to_owned();
    let (before, log) = (path("before.ndjson"), path("latency.hlog"));
    let distribution = path("latency.hgrm");
    let short = ["--warm-up", "0", "--count", "300", "--pairs", "2", "--beside", "floor"];
    let run = |more: &[&str]| {
        Process::start(&[&["load", "pingpong", "--rounds", "2"], &short[..], more].concat())
            .end()
            .with_code(0)
            .stdout
    };
    let lines = run(&["--json", "--histogram", &log]);
    let values: Vec<Value> =
        lines.iter().map(|line| serde_json::from_str(line).expect("each line is JSON")).collect();
    let of = |event: &str| values.iter().filter(|value| value["event"] == event).count();
    assert_eq!((of("run"), of("ratio")), (4, 1));
    // On a busy machine it takes seconds, and each of them is told before.
    let first = values.iter().find(|value| value["event"] == "run").expect("a run");
    assert!(first["figures"]["latency_p50_us"].is_f64() && first["settings"]["workers"] == 2);
    assert_eq!(
        (&first["settings"]["command"], &first["settings"]["count"]),
        (&"pingpong".into(), &300.into())
    );
    for direction in ["payload", "received", "sent"] {
        let bytes = first["figures"][format!("{direction}_bytes_per_second")].as_f64();
        assert!(bytes.is_some_and(|bytes| bytes > 0.0), "{direction}: {first}");
    }

    std::fs::write(&before, lines.join("\n")).expect("ours");
    let lines = run(&["--compare", &before, "--histogram", &distribution]);
    assert!(lines.iter().any(|line| line.contains("relay then")), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("otherwise then")), "{lines:#?}");
    for subject in ["relay", "floor"] {
        let text = std::fs::read_to_string(path(&format!("latency-{subject}.hgrm")));
        let text = text.expect("each has its own");
        // Two rounds; the last line of the distribution has all of them.
        assert!(
            text.contains(" 1.000000000000 ") && text.contains("count    =          600]"),
            "{text}"
        );
    }
    let lines = run(&["--compare", &before, "--size", "200"]);
    assert!(lines.iter().any(|line| line.contains("size 131, now 200")), "{lines:#?}");

    let log = std::fs::read(log).expect("it was written");
    let intervals = IntervalLogIterator::new(&log).filter_map(|entry| match entry {
        Ok(LogEntry::Interval(interval)) => Some(interval.tag().expect("a subject").as_str()),
        _ => None,
    });
    assert_eq!(intervals.collect::<Vec<_>>(), ["relay", "floor", "relay", "floor"]);
}

#[test]
fn json_is_valid_where_nothing_could_be_measured() {
    let evil = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = evil.local_addr().expect("bound").to_string();
    std::thread::spawn(move || evil.incoming().for_each(drop));
    for work in ["connect", "pingpong", "flood"] {
        let arguments = ["load", work, "--relay", &address, "--json", "--duration", "0.1"];
        let ended = Process::start(&[&arguments[..], &["--warm-up", "0"]].concat()).end();
        for line in &ended.stdout {
            serde_json::from_str::<Value>(line).expect("each line is JSON");
        }
        ended.with_code(1);
    }
}

#[test]
fn a_processor_that_is_not_there_is_told_before_anything_is_started() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let trace = home.path().join("trace");
    for pin in ["99999,0", "0,99999"] {
        let trace = ["--", "--trace-file", trace.to_str().expect("UTF-8")];
        let ended = Process::start(&[&["load", "flood", "--pin", pin], &trace[..]].concat()).end();
        assert!(ended.with_code(2).stderr[0].contains("--pin: no processor 99999"));
    }
    assert!(!trace.exists(), "a relay was started");
}

#[test]
fn a_load_that_is_ended_early_has_not_done_what_was_asked() {
    let relay = Relay::ephemeral();
    let hour = ["load", "pingpong", "--pairs", "1", "--duration", "3600", "--json"];
    let load = Process::start(&[&hour[..], &["--relay", &relay.address]].concat());
    relay.process.talk_with("registered"); // so it takes signals
    load.signal(Signal::SIGINT);
    let ended = load.end().with_code(1);
    assert!(ended.stdout.iter().any(|line| line.contains("ended early")), "{ended:?}");
}

#[test]
fn a_load_that_is_killed_leaves_no_relay_behind() {
    let load = Process::start(&["load", "hold", "2", "--duration", "600"]);
    let pid = load.pid();
    let children = format!("/proc/{pid}/task/{pid}/children");
    let relay = poll(|| {
        let children = std::fs::read_to_string(&children).ok()?;
        Some(children.split_whitespace().next()?.to_owned())
    });
    // Before its `exec` it is still ours by name.
    let command = format!("/proc/{relay}/cmdline");
    poll(|| std::fs::read_to_string(&command).ok().filter(|it| it.contains("--ephemeral")));
    load.signal(Signal::SIGKILL);
    assert_eq!(load.end().code, None);
    // Who is dead has no command, also where nobody has waited for it yet (proc(5)).
    poll(|| std::fs::read(&command).map_or(true, |it| it.is_empty()).then_some(()));
}

/// Asks until there is an answer; no event tells of what `/proc` shows.
fn poll<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    for _ in 0..12_000 {
        if let Some(answer) = ask() {
            return answer;
        }
        std::thread::sleep(millis(10));
    }
    panic!("nothing came of it");
}

#[test]
fn what_cannot_be_done_is_said_before_it_begins() {
    let code = |arguments: &[&str], code| Process::start(arguments).end().with_code(code);
    code(&["load", "flood", "--relay", "127.0.0.1:1"], 5);
    code(&["load", "flood", "--size", "10"], 2);
    code(&["load", "echo"], 2);
    code(&["load", "echo", "--relay", "127.0.0.1:1"], 5);
    code(&["load", "echo", "--relay", "127.0.0.1:1", "--v2"], 2);
    code(&["load", "echo", "--relay", "127.0.0.1:1", "--beside", "floor"], 2);
    code(&["load", "flood", "--rate", "NaN"], 2);
    code(&["load", "flood", "--compare", "/nowhere"], 1);
    code(&["load", "flood", "--histogram", "/nowhere/at/all"], 1);
    code(&["load", "flood", "--pin", "999999,0"], 2);
    let ended = code(&["load", "flood", "--pairs", "250000"], 1);
    assert!(ended.stderr.iter().any(|line| line.contains("ulimit -n 500032")), "{ended:?}");
}
