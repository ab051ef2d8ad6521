//! A walk through all places of a trace, each compared with what the trace says.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::chromium::Browser;

/// The trace that stands in a page.
pub(crate) fn trace_of(page: &str) -> Vec<Value> {
    let (_, rest) = page.split_once("id=\"trace\">\n").expect("a trace");
    let lines = rest.split_once("</script>").expect("its end").0.lines();
    lines.map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The ticks of one loop.
pub(crate) fn of_loop<'a>(ticks: &'a [Value], name: &str) -> Vec<&'a Value> {
    ticks.iter().filter(|tick| tick["loop"] == name).collect()
}

/// Shows the ticks of one loop, from the first.
pub(crate) fn select(browser: &mut Browser, name: &str) {
    browser.ask(&format!("test.choose('loop', {name:?})"));
}

/// Goes through all steps of these ticks with the arrow keys and back again; each place shows what
/// the trace says, and the same on both ways.
pub(crate) fn there_and_back(browser: &mut Browser, ticks: &[&Value]) {
    let mut states = Vec::new();
    browser.press("Home");
    for (at, tick) in ticks.iter().enumerate() {
        let steps = list(&tick["steps"]).len() + 2; // epoll_wait before them, the end behind them
        for done in 0..steps {
            let shown = browser.ask("test.shown()");
            let place = format!("tick {} of {}, step {} of {steps}", at + 1, ticks.len(), done + 1);
            assert_eq!(shown["where"], place);
            same(tick, done, &shown);
            states.push(browser.text("test.state()"));
            browser.press("ArrowDown");
        }
    }
    for state in states.iter().rev() {
        assert_eq!(browser.text("test.state()"), *state, "the end stops, and back shows the same");
        let is_first = browser.text("document.getElementById('step-back').ariaDisabled");
        assert_eq!(is_first == "true", *state == states[0]);
        browser.press("ArrowUp");
    }
    assert_eq!(browser.text("test.state()"), states[0], "the begin stops");
}

/// What is shown after `done` steps of a tick is what the trace says.
fn same(tick: &Value, done: usize, shown: &Value) {
    let (steps, events) = (list(&tick["steps"]), list(&tick["events"]));
    let is_end = done == steps.len() + 1;
    assert_eq!(shown["tick"], format!("Tick {} of {}", tick["tick"], word(&tick["loop"])));
    assert_eq!(tick["empty_before"] != 0, shown["omitted"] != "");

    let ready: Vec<_> =
        events.iter().map(|it| format!("{}: {}", label(it), bits(&it["ready"], ", "))).collect();
    let seen = list(&shown["ready"]).iter().map(word);
    if ready.is_empty() {
        assert_eq!(seen.collect::<Vec<_>>(), ["empty: nothing was ready"]);
    } else {
        let (seen, stand): (Vec<_>, Vec<_>) =
            seen.map(|it| it.rsplit_once(" (").expect("how far")).unzip();
        assert_eq!(seen, ready);
        let all = |word| stand.iter().all(|it| *it == word);
        assert!((done != 0 || all("waits)")) && (!is_end || all("done)")), "{stand:?}");
    }

    let rows = list(&shown["steps"]);
    assert_eq!(rows.len(), steps.len() + 2);
    for (at, row) in rows.iter().enumerate() {
        assert_eq!(row["current"], at == done);
        let Some(step) = at.checked_sub(1).and_then(|at| steps.get(at)) else { continue };
        assert_eq!(row["handler"], step["told"].is_string());
        let text = word(&row["text"]);
        assert!(text.contains(name_of(step)), "{text}: {step}");
        assert!(!step["source"].is_u64() || text.starts_with(&label(step)), "{text}: {step}");
    }

    let now = word(&shown["now"]).strip_prefix("Now: ").expect("it begins so");
    assert!(now.ends_with('.') && !now.contains("undefined"), "{now}");
    let step = done.checked_sub(1).and_then(|at| steps.get(at));
    for event in events.iter().filter(|_| done == 0).take(3) {
        assert!(now.contains(word(&event["name"])), "{now}");
    }
    if let Some(step) = step {
        assert!(!step["name"].is_string() || now.contains(word(&step["name"])), "{now}: {step}");
        for count in ["bytes", "shown"].map(|name| &step[name]).into_iter().filter(|it| it.is_u64())
        {
            assert!(now.contains(&count.to_string()), "{now}: {step}");
        }
        assert_eq!(
            shown["part"].as_str().map(|it| it.split(',').next()),
            Some(step["phase"].as_str())
        );
    }
    if done == 0 {
        let listed: Vec<_> = list(&shown["listed"]).iter().map(word).collect();
        let expected =
            ready.iter().zip(events).map(|(it, event)| format!("{it} (token {})", token(event)));
        assert_eq!(listed, expected.collect::<Vec<_>>());
    }
    line(step, is_end, shown);
    lists(tick, shown);
    if is_end {
        sources(tick, shown);
    }
}

/// The line that is shown stands in that function of the source, and makes this call.
fn line(step: Option<&Value>, is_end: bool, shown: &Value) {
    let (file, function) = word(&shown["place"]).split_once(": ").expect("file and function");
    let line = word(&shown["line"]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = fs::read_to_string(root.join(file)).expect("a file of the source");
    let begin = [format!("fn {function}("), format!("fn {function}<")];
    let found = source
        .split("\n    }\n")
        .any(|part| begin.iter().any(|begin| part.contains(begin)) && part.contains(line));
    assert!(found, "{line} is not in {function} of {file}");
    let call = match step {
        _ if is_end => "deadlines.next()".to_owned(),
        None => "sys.wait(".to_owned(),
        Some(step) if step["told"].is_string() => format!("handler.{}(", word(&step["told"])),
        Some(step) => {
            let call = match name_of(step) {
                "epoll_ctl" => "watch",
                "accept4" => "accept",
                "getsockopt" => "error",
                other => other,
            };
            format!("sys.{call}(")
        }
    };
    assert!(line.contains(&call), "{line} does not call {call}");
    let chapter = word(&shown["chapter"]).rsplit(' ').next().expect("a path");
    assert!(root.join(chapter).exists(), "{chapter}");
}

/// Queues, and what is left to the next tick.
fn lists(tick: &Value, shown: &Value) {
    let labels = |all: &Value| match list(all) {
        [] => "none".to_owned(),
        all => all.iter().map(label).collect::<Vec<_>>().join(", "),
    };
    let lists = &shown["lists"];
    assert_eq!(lists["Dirty: the end of this tick looks at"], labels(&tick["dirty"]));
    assert_eq!(lists["Dirty for the next tick"], labels(&tick["next"]["dirty"]));
    assert_eq!(
        lists["The loop's own ready list, for the next tick"],
        labels(&tick["next"]["ready"])
    );
    let bytes = format!("{} before the flush, {} after it", tick["queued"], tick["left"]);
    assert_eq!(lists["Bytes in all outboxes"], bytes);
    let timers = tick["next"]["timers_ns"].as_object().expect("an object");
    let told = word(&lists["Timers of the handler, after this tick"]);
    assert!(timers.keys().all(|it| told.contains(&format!("timer {it}: in "))), "{told}");
    assert_eq!(timers.is_empty(), told == "none");
}

/// The sources at the end of a tick are those that the loop tells.
fn sources(tick: &Value, shown: &Value) {
    let dash = || "–".to_owned();
    for source in list(&tick["sources"]) {
        let mut rows = list(&shown["rows"]).iter().filter(|row| row["source"] == label(source));
        let (Some(row), None) = (rows.next(), rows.next()) else { panic!("{source}: {shown}") };
        assert!(word(&row["token"]).starts_with(&token(source)));
        let cells = &row["cells"];
        let or_dash = |text: String| if text.is_empty() { dash() } else { text };
        assert_eq!(
            cells["Descriptor"],
            source["fd"].as_u64().map_or_else(dash, |it| it.to_string())
        );
        let transform = if source["transform"] == true { ", transform" } else { "" };
        let state = format!("{}, {}{transform}", word(&source["state"]), word(&source["kind"]));
        assert_eq!(cells["State"], state);
        let watched = match source["watched"].as_array() {
            None => dash(),
            Some(none) if none.is_empty() => "nothing".to_owned(),
            Some(_) => bits(&source["watched"], " "),
        };
        assert_eq!(cells["Watched for"], watched);
        assert_eq!(cells["Inbox, bytes"], source["inbox"].to_string());
        let blocked = if source["blocked"] == true { ", blocked" } else { "" };
        assert_eq!(cells["Outbox, bytes"], format!("{}{blocked}", source["outbox"]));
        assert_eq!(cells["Not read because"], or_dash(bits(&source["not_read"], ", ")));
        let deadlines = source["deadlines_ns"].as_object().expect("an object");
        let told = word(&cells["Deadlines"]);
        assert!(deadlines.keys().all(|it| told.contains(&format!("{it}: in "))), "{told}");
        assert_eq!(deadlines.is_empty(), told == "–");
    }
}

pub(crate) fn list(of: &Value) -> &[Value] {
    of.as_array().expect("a list")
}

pub(crate) fn word(of: &Value) -> &str {
    of.as_str().unwrap_or_else(|| panic!("{of} is no text"))
}

fn bits(of: &Value, between: &str) -> String {
    list(of).iter().map(word).collect::<Vec<_>>().join(between)
}

fn name_of(step: &Value) -> &str {
    word(if step["told"].is_string() { &step["told"] } else { &step["call"] })
}

/// A source as the page names it.
fn label(it: &Value) -> String {
    let tenant = it["tenant"].as_u64().expect("a number");
    let tenant = if tenant > 1 { format!(".{tenant}") } else { String::new() };
    format!("#{}{tenant} {}", it["source"], it["name"].as_str().unwrap_or("(gone)"))
}

/// The generation above, the slot below; the first tenant has generation 1, the second 3.
fn token(it: &Value) -> String {
    let (slot, tenant) = (it["source"].as_u64(), it["tenant"].as_u64());
    let (slot, tenant) = slot.zip(tenant).expect("numbers");
    format!("0x{:08x}{slot:08x}", 2 * tenant - 1)
}
