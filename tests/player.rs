//! The page that plays a trace (`docs/loop/player.html`): the lines that it quotes stand in the
//! source, and its example has the shape of a trace that is made now.

#![allow(clippy::expect_used)] // a test says what it expects

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::process::{Homes, Process, text};

const PAGE: &str = include_str!("../docs/loop/player.html");

/// What stands in the script element that begins so.
fn element(begin: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(begin).expect("the page has it");
    rest.split_once("</script>").expect("it ends").0
}

/// The trace that the page has as its example.
fn example() -> Vec<Value> {
    let lines = element("<script type=\"application/x-ndjson\" id=\"trace\">\n").lines();
    lines.map(|line| serde_json::from_str(line).expect("an object a line")).collect()
}

#[test]
fn each_line_of_the_source_that_the_page_quotes_stands_in_its_function() {
    let code = element("<script type=\"application/json\" id=\"code\">\n");
    let code: Value = serde_json::from_str(code).expect("JSON");
    let entries = code.as_object().expect("an object");
    assert!(entries.len() > 25, "{} entries", entries.len());
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, entry) in entries {
        let member = |name: &str| entry[name].as_str().expect("text");
        let text = fs::read_to_string(root.join(member("file"))).expect("the file is there");
        let function = format!("fn {}(", member("function"));
        let generic = format!("fn {}<", member("function"));
        let found = text.split("\n    }\n").any(|part| {
            (part.contains(&function) || part.contains(&generic)) && part.contains(member("line"))
        });
        assert!(found, "{name}: {} is not in {} of {}", member("line"), function, member("file"));
        assert!(root.join("docs/loop").join(member("chapter")).exists(), "{name}: no chapter");
    }
}

/// The members of ticks, of their sources and of what is left, and of the calls.
fn shape(ticks: &[Value]) -> BTreeSet<String> {
    let mut shape = BTreeSet::new();
    let mut add = |place: &str, object: &Value| {
        let members = object.as_object().into_iter().flatten();
        shape.extend(members.map(|(name, _)| format!("{place}.{name}")));
    };
    for tick in ticks {
        add("tick", tick);
        add("next", &tick["next"]);
        for source in tick["sources"].as_array().expect("a list") {
            add("source", source);
        }
        for step in tick["steps"].as_array().expect("a list") {
            for call in ["read", "writev", "epoll_ctl", "received"] {
                if step["call"] == call || step["told"] == call {
                    // What a call may have or not: an error, a source, words, changes.
                    let mut step = step.clone();
                    let step = step.as_object_mut().expect("an object");
                    step.retain(|name, _| {
                        !["errno", "said", "words", "changes"].contains(&&**name)
                    });
                    add(call, &Value::Object(step.clone()));
                }
            }
        }
    }
    shape
}

/// `docs/loop/player` makes it anew.
#[test]
fn the_example_of_the_page_has_the_shape_of_a_trace_of_today() {
    let ended = Process::start(&["demo", "--fast", "--trace=json"]).end().with_code(0);
    let ticks: Vec<Value> =
        ended.stderr.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(shape(&example()), shape(&ticks), "run docs/loop/player");
}

/// It is one file, which loads nothing and takes a trace as text only.
#[test]
fn the_page_loads_nothing_and_takes_text_as_text() {
    let page = PAGE.split("id=\"trace\">").next().expect("its begin");
    for word in
        ["innerHTML", "insertAdjacent", "document.write", "http:", "https:", " src=", "@import"]
    {
        assert!(!page.contains(word), "{word}");
    }
    assert!(page.contains("default-src 'none'") && page.contains("<html lang=\"en\">"));
    assert!(!element("id=\"trace\">\n").contains('<'), "nothing in a trace can end its element");
}

/// The half of its script that knows traces, by node where that is there.
#[test]
fn what_the_page_computes_is_what_the_loop_tells() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = root.join("tests/player_logic/run.js");
    let ran = Command::new("node").arg(script).arg(root.join("docs/loop/player.html")).output();
    let Ok(ran) = ran else { return println!("not run: node is not installed") };
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

#[test]
fn the_demo_writes_a_page_of_its_run_over_what_was_there() {
    let homes = Homes::new();
    let file = homes.path("player.html");
    fs::write(&file, "x".repeat(1 << 20)).expect("written");
    Process::start(&["demo", "--fast", "--player", text(&file)]).end().with_code(0);
    let page = fs::read_to_string(&file).expect("it was written");
    let trace = "<script type=\"application/x-ndjson\" id=\"trace\">\n";
    let (begin, rest) = page.split_once(trace).expect("a place for the trace");
    assert!(PAGE.starts_with(begin));
    let ticks = rest.strip_suffix("</script>\n</body>\n</html>\n").expect("the page is whole");
    for name in ["relay", "alice", "bob"] {
        let of = |line: &str| serde_json::from_str::<Value>(line).expect("JSON")["loop"] == name;
        assert!(ticks.lines().any(of), "{name}");
    }
    assert!(!ticks.contains('<') && !ticks.contains("Hello Bob"));
    let refused = Process::start(&["demo", "--player", "/nowhere/at/all"]).end().with_code(1);
    assert!(refused.stderr.iter().any(|line| line.contains("--player")), "{refused:?}");
}
