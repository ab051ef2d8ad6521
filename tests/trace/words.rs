//! What a trace tells, word by word.

use std::net::SocketAddr;
use std::time::Duration;

use sealwax::reactor::{CloseReason, Config, Context, Handler, Opened, Reactor, Timeout, Token};
use sealwax::trace::Form;
use sealwax::trace::{TracedHandler, TracedSys};
use serde_json::{Value, json};

use crate::support::kernel::Kernel;
use crate::support::simulated::{hear, say};
use crate::watched::{Papers, Watched, message, settle};

fn objects(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect()
}

const ONE_MESSAGE: &str = "\
epoll_wait(0) returned 1 event after 0
  ready        #2 alice: EPOLLIN
  dispatch     #2 alice: read brought 58 bytes of at most 65536 · 0
               #2 alice: received 58 bytes and used them all · 0
                 “message from alice to bob, 74 bytes”
                 queues 74 bytes for #3 bob
                 queues 46 bytes for #2 alice
  flush        #3 bob: writev of 74 bytes in 1 piece, all taken · 0
               #2 alice: writev of 46 bytes in 1 piece, all taken · 0
  took         dispatch 0, end of tick 0, flush 0; 0 in all, 4 system calls
";

#[test]
fn one_message_from_a_to_b_is_told_in_these_words() {
    let mut watched = Watched::start(Form::Text);
    let (mut alice, mut bob) = (watched.join("alice"), watched.join("bob"));
    watched.told();
    say(&mut alice, &message("hello"));
    let told = watched.told();
    let (tick, told) = told.split_once(": ").expect("a tick");
    assert!(tick.starts_with("tick "), "{tick}");
    assert_eq!(told, ONE_MESSAGE, "{told}");
    assert_eq!((hear(&mut bob).len(), hear(&mut alice).len()), (1, 1));
}

const NEWCOMER: &str = "\
  ready        #0 listener 127.0.0.1:12345: EPOLLIN
  accept       #0 listener 127.0.0.1:12345: accept4 took 127.0.0.1:40001 · 0
               #2 127.0.0.1:40001: epoll_ctl, from now on EPOLLIN · 0
               #2 127.0.0.1:40001: opened, accepted from 127.0.0.1:40001 · 0
                 “127.0.0.1:40001 connected”
               #0 listener 127.0.0.1:12345: accept4 failed: EAGAIN: Try again · 0
  took         accept 0, end of tick 0; 0 in all, 4 system calls
";

const LEAVER: &str = "\
  ready        #2 alice: EPOLLIN
  dispatch     #2 alice: read told the end · 0
               #2 alice: ended · 0
                 “alice left: quit, 524 bytes in, 0 bytes out”
                 closes #2 alice
  deadlines    timer 0 · 0
  reap         #2 alice: close · 0
               #2 alice: closed: closed in order · 0
  took         dispatch 0, deadlines 0, end of tick 0, reap 0; 0 in all, 3 system calls
";

#[test]
fn who_comes_and_goes_is_told_and_why() {
    let mut watched = Watched::start(Form::Text);
    let started = watched.told();
    assert!(started.contains("open of signals"), "{started}");
    let alice = watched.join("alice");
    let came = watched.told();
    assert!(came.contains(NEWCOMER), "{came}");
    assert!(came.contains("received 524 bytes"), "{came}");
    assert!(came.contains("“alice registered from 127.0.0.1:40001, version 1, "), "{came}");
    alice.close();
    let left = watched.told();
    assert!(left.contains(LEAVER), "{left}");
}

#[test]
fn a_reader_that_does_not_read_is_told_by_what_is_left() {
    let mut watched = Watched::start(Form::Text);
    let mut alice = watched.join("alice");
    watched.kernel.set_buffer(600);
    let mut bob = watched.join("bob");
    watched.told();
    say(&mut alice, &message(&"x".repeat(1000)));
    let told = watched.told();
    assert!(told.contains("600 taken, "), "{told}");
    assert!(told.contains("re-arm       #3 bob: epoll_ctl, now EPOLLIN, EPOLLOUT"), "{told}");
    bob.receive_all();
    let told = watched.told();
    assert!(told.contains("ready        #3 bob: EPOLLOUT"), "{told}");
    assert!(told.contains("#3 bob: drained"), "{told}");
    assert!(told.contains("re-arm       #3 bob: epoll_ctl, now EPOLLIN ·"), "{told}");
    let counters: Vec<_> = watched
        .finish()
        .into_iter()
        .filter(|event| event["ph"] == "C" && event["name"] == "queue of #3 bob")
        .map(|event| event["args"]["bytes"].as_u64())
        .collect();
    assert_eq!(counters.last(), Some(&Some(0)), "{counters:?}");
    assert!(counters.len() > 1 && counters[0] > Some(0), "{counters:?}");
}

#[test]
fn json_tells_the_same_to_programs() {
    let mut watched = Watched::start(Form::Json);
    let (mut alice, _bob) = (watched.join("alice"), watched.join("bob"));
    watched.told();
    say(&mut alice, &message("hello"));
    let told = objects(&watched.told());
    assert_eq!(told.len(), 1, "{told:#?}");
    let tick = &told[0];
    let alice = json!({"source": 2, "tenant": 1, "name": "alice", "ready": ["EPOLLIN"]});
    assert_eq!(tick["events"], json!([alice]));
    let calls: Vec<_> = tick["steps"].as_array().expect("steps").iter().collect();
    let names: Vec<_> = calls
        .iter()
        .map(|step| (&step["phase"], step["call"].as_str().or(step["told"].as_str())))
        .collect();
    let expected = [
        (&json!("dispatch"), Some("read")),
        (&json!("dispatch"), Some("received")),
        (&json!("flush"), Some("writev")),
        (&json!("flush"), Some("writev")),
    ];
    assert_eq!(names, expected);
    assert_eq!(calls[1]["shown"], calls[0]["bytes"]);
    assert_eq!(calls[1]["said"][0]["event"], "forwarded");
    assert_eq!(calls[1]["said"][0]["to"], "bob");
    let queued = calls[1]["changes"].as_array().expect("changes");
    assert_eq!((&queued[0]["name"], &queued[0]["queued"]), (&json!("bob"), &calls[2]["bytes"]));
    assert_eq!((&queued[1]["name"], &queued[1]["queued"]), (&json!("alice"), &calls[3]["bytes"]));
    assert_eq!((&tick["calls"], &tick["left"]), (&json!(4), &json!(0)));
}

/// How the source `name` stood after the last tick that had to do with it.
fn stands(ticks: &[Value], name: &str) -> Value {
    let sources = ticks.iter().rev().flat_map(|tick| tick["sources"].as_array().expect("a list"));
    sources.clone().find(|source| source["name"] == name).expect("it is told").clone()
}

#[test]
fn json_tells_how_each_source_stands_after_the_tick() {
    let mut watched = Watched::start(Form::Json);
    let mut alice = watched.join("alice");
    watched.kernel.set_buffer(600);
    let mut bob = watched.join("bob");
    let before = objects(&watched.told());
    let listener = &before[0]["sources"][0];
    assert_eq!(
        (&listener["kind"], &listener["watched"]),
        (&json!("listener"), &json!(["EPOLLIN"]))
    );
    say(&mut alice, &message(&"x".repeat(1000)));
    alice.send(b"{\"action\":");
    let told = objects(&watched.told());
    let of_alice = stands(&told, "alice");
    assert_eq!((&of_alice["state"], &of_alice["inbox"]), (&json!("Open"), &json!(10)));
    assert_eq!((&of_alice["generation"], &of_alice["not_read"]), (&json!(1), &json!([])));
    assert!(of_alice["deadlines_ns"]["frame"].is_u64(), "{of_alice}");
    let of_bob = stands(&told, "bob");
    assert_eq!(of_bob["watched"], json!(["EPOLLIN", "EPOLLOUT"]));
    assert_eq!(of_bob["blocked"], true);
    let mut writes = told.iter().flat_map(|tick| tick["steps"].as_array().expect("steps"));
    let write = writes.rfind(|step| step["call"] == "writev" && step["name"] == "bob");
    let write = write.expect("bob was written to");
    assert_eq!((&of_bob["outbox"], &of_bob["fd"]), (&write["left"], &write["fd"]));
    assert!(of_bob["outbox"].as_u64() > Some(0) && of_bob["fd"].is_u64(), "{of_bob}");
    assert!(of_bob["deadlines_ns"]["write"].is_u64(), "{of_bob}");
    let dirty = &told[0]["dirty"];
    assert!(dirty.as_array().is_some_and(|it| it.iter().any(|it| it["name"] == "bob")), "{dirty}");
    bob.receive_all();
    let told = objects(&watched.told());
    let drained = told.iter().find(|tick| tick["next"]["again"] == true);
    assert!(drained.is_some(), "the handler gets another end of tick: {told:#?}");
    alice.close();
    let told = objects(&watched.told());
    let left = told.iter().flat_map(|tick| tick["sources"].as_array().expect("a list"));
    assert!(left.into_iter().all(|source| source["name"] != "alice"), "{told:#?}");
}

#[test]
fn the_file_is_an_array_of_trace_events_whose_spans_lie_within_each_other() {
    let mut watched = Watched::start(Form::Text);
    let (mut alice, bob) = (watched.join("alice"), watched.join("bob"));
    for _ in 0..3 {
        watched.kernel.advance(Duration::from_millis(7));
        say(&mut alice, &message("hello"));
        watched.settle();
    }
    bob.close();
    watched.settle();
    let events = watched.finish();
    let number = |event: &Value, member: &str| event[member].as_f64().expect("a number");
    let mut ticks = Vec::new();
    for event in &events {
        assert_eq!(event["pid"], 1);
        match event["ph"].as_str().expect("a phase") {
            "M" => assert!(event["args"]["name"].is_string()),
            "C" => assert!(event["args"]["bytes"].is_u64(), "{event}"),
            "X" => {
                let (begin, end) =
                    (number(event, "ts"), number(event, "ts") + number(event, "dur"));
                let name = event["name"].as_str().expect("a name");
                if name.starts_with("tick ") {
                    ticks.push((begin, end));
                }
                let &(first, last) = ticks.last().expect("a tick comes before what is in it");
                assert!(first <= begin && end <= last, "{event}");
            }
            other => panic!("{other}: {event}"),
        }
    }
    assert!(ticks.is_sorted() && ticks.len() > 6, "{ticks:?}");
    for name in ["wait", "dispatch", "accept", "flush", "reap", "read", "writev", "received"] {
        assert!(events.iter().any(|event| event["name"] == name), "no {name}");
    }
}

#[test]
fn nothing_of_a_content_is_told_in_any_form() {
    for form in [Form::Text, Form::Json] {
        let mut watched = Watched::start(form);
        let (mut alice, _bob) = (watched.join("alice"), watched.join("bob"));
        for frame in [
            message("the secret"),
            json!({"action": "send_key", "to": "bob", "key": "the secret", "x": "the secret"}),
            json!({"action": "the secret"}),
        ] {
            say(&mut alice, &frame);
        }
        alice.send(b"{\"action\":\"message\",\"content\":\"the secret");
        let told = watched.told();
        assert!(told.contains("alice") && told.contains("bob"), "{told}");
        let file: Vec<_> = watched.finish().iter().map(Value::to_string).collect();
        let file = file.concat();
        assert!(file.contains("alice") && file.contains("forwarded"), "{file}");
        assert!(!told.contains("secret") && !file.contains("secret"), "{told}{file}");
    }
}

/// A handler whose peers have chosen names that steer terminals.
struct Evil;

const NAME: &str = "bob\n\u{1b}[2J\u{202e}\" said";

impl Handler for Evil {
    fn opened(&mut self, _cx: &mut Context, _id: Token, _how: Opened) {}

    fn received(&mut self, cx: &mut Context, from: Token, bytes: &[u8]) -> usize {
        cx.send(from, &[bytes]);
        bytes.len()
    }

    fn ended(&mut self, cx: &mut Context, from: Token, _rest: &[u8]) {
        cx.close(from);
    }

    fn timed_out(&mut self, _cx: &mut Context, _id: Token, _deadline: Timeout) {}

    fn closed(&mut self, _cx: &mut Context, _id: Token, _reason: CloseReason) {}

    fn name(&self, _id: Token) -> Option<String> {
        Some(NAME.to_owned())
    }
}

#[test]
fn a_name_from_the_network_cannot_forge_a_line_or_steer_a_terminal() {
    for form in [Form::Text, Form::Json] {
        let kernel = Kernel::new();
        let papers = Papers::new(form);
        let recorder = papers.recorder(&kernel);
        let traced = TracedSys::new(kernel.clone(), recorder.clone());
        let mut reactor = Reactor::new(traced, &Config::default());
        let at = SocketAddr::from(([127, 0, 0, 1], 1));
        reactor.context().listen(at);
        let mut evil = Evil;
        settle(&mut reactor, &mut TracedHandler::new(&mut evil, recorder.clone()), &recorder);
        let mut peer = kernel.dial(at);
        peer.send(b"?");
        settle(&mut reactor, &mut TracedHandler::new(&mut evil, recorder.clone()), &recorder);
        let told = papers.told.take();
        let harmless =
            |letter: char| letter == '\n' || !letter.is_control() && letter != '\u{202e}';
        assert!(told.chars().all(harmless), "{told:?}");
        if form == Form::Json {
            assert!(told.is_ascii());
            assert!(objects(&told).iter().any(|tick| tick["events"][0]["name"] == NAME));
        } else {
            assert!(told.contains(r#"bob\n\u{1b}[2J\u{202e}" said"#), "{told}");
            assert!(told.lines().all(|line| line.starts_with("tick ") || line.starts_with("  ")));
        }
    }
}
