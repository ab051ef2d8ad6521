//! The page that plays a trace (`docs/loop/player.html`), in a headless Chromium, as a user has it:
//! with keys, clicks and files, on small and large windows, light and dark. Without a Chromium
//! these tests say that they were not run.

#![allow(clippy::expect_used)] // a test says what it expects

mod chromium;
#[path = "../support/mod.rs"]
mod support;
mod walk;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use chromium::Browser;
use serde_json::{Value, json};
use support::process::{Homes, Process, text};
use walk::{list, of_loop, select, there_and_back, trace_of, word};

const LOOPS: [&str; 3] = ["relay", "alice", "bob"];
/// Of a phone, of a tablet, of a projector; in CSS pixels.
const WIDTHS: [u32; 3] = [390, 768, 1280];

fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/loop/player.html")
}

/// The trace that it has as its example.
fn example() -> Vec<Value> {
    trace_of(&fs::read_to_string(page()).expect("the page is there"))
}

/// The page with another trace in it, as `demo --player` writes it.
fn with_trace(homes: &Homes, name: &str, trace: &str) -> PathBuf {
    let page = fs::read_to_string(page()).expect("the page is there");
    let begin = page.split_once("id=\"trace\">\n").expect("a trace").0;
    let file = homes.path(name);
    let page = format!("{begin}id=\"trace\">\n{trace}</script>\n</body>\n</html>\n");
    fs::write(&file, page).expect("written");
    file
}

fn lines_of(ticks: &[Value]) -> String {
    let lines: Vec<_> = ticks.iter().map(Value::to_string).collect();
    lines.join("\n") + "\n"
}

/// Nothing in the console, and nothing was fetched but the page.
fn quiet(browser: &Browser) {
    assert_eq!(browser.complaints(), [""; 0]);
}

fn place(browser: &mut Browser) -> String {
    browser.text("document.getElementById('where').textContent")
}

/// The page stands at this step of this tick, both counted from 1.
#[track_caller]
fn stands(browser: &mut Browser, tick: usize, step: usize) {
    let place = place(browser);
    let (begin, end) = (format!("tick {tick} of "), format!(", step {step} of "));
    assert!(place.starts_with(&begin) && place.contains(&end), "{place}: not {tick}, {step}");
}

fn plays(browser: &mut Browser) -> bool {
    browser.text("document.getElementById('play').textContent") == "Stop"
}

#[test]
fn each_step_shows_what_the_trace_says_forward_and_back() {
    let Some(mut browser) = Browser::start() else { return };
    browser.size(1280, 900);
    browser.open(&page());
    let ticks = example();
    assert_eq!(browser.text("document.getElementById('loop').value"), "relay");
    let relay = of_loop(&ticks, "relay").len();
    assert!(place(&mut browser).starts_with(&format!("tick 1 of {relay}, step 1 of ")));
    for name in LOOPS {
        select(&mut browser, name);
        there_and_back(&mut browser, &of_loop(&ticks, name));
    }
    quiet(&browser);
}

#[test]
fn ticks_of_all_loops_come_in_the_order_in_which_they_woke() {
    let Some(mut browser) = Browser::start() else { return };
    browser.open(&page());
    let mut ticks = example();
    ticks.sort_by_key(|it| {
        it["began_ns"].as_u64().zip(it["waited_ns"].as_u64()).map(|(a, b)| a + b)
    });
    select(&mut browser, "all, by time");
    there_and_back(&mut browser, &ticks.iter().collect::<Vec<_>>());
    quiet(&browser);
}

#[test]
fn a_page_of_ones_own_run_plays_as_well() {
    let Some(mut browser) = Browser::start() else { return };
    let homes = Homes::new();
    let file = homes.path("own.html");
    Process::start(&["demo", "--fast", "--player", text(&file)]).end().with_code(0);
    let ticks = trace_of(&fs::read_to_string(&file).expect("it was written"));
    browser.open(&file);
    for name in LOOPS {
        select(&mut browser, name);
        there_and_back(&mut browser, &of_loop(&ticks, name));
    }
    quiet(&browser);
}

#[test]
fn each_key_that_the_page_lists_does_what_it_says() {
    let Some(mut browser) = Browser::start() else { return };
    browser.size(1280, 900);
    browser.open(&page());
    let ticks = example();
    let relay = of_loop(&ticks, "relay").len();
    let listed =
        browser.ask("[...document.querySelectorAll('#keys kbd')].map((it) => it.textContent)");
    let listed: BTreeSet<_> = list(&listed).iter().map(word).collect();
    let told = "← → ↑ ↓ Home End Space / Enter Esc n N o PgUp PgDn ?";
    assert_eq!(listed, told.split(' ').collect(), "each of them is pressed below");

    let first = browser.text("test.state()");
    for key in ["ArrowLeft", "ArrowUp", "Home"] {
        browser.press(key);
        assert_eq!(browser.text("test.state()"), first, "{key}: there is nothing before");
    }
    browser.press("ArrowRight");
    stands(&mut browser, 2, 1);
    browser.press("ArrowDown");
    stands(&mut browser, 2, 2);
    browser.press("ArrowUp");
    browser.press("ArrowUp"); // to the last step of the tick before
    let steps = list(&of_loop(&ticks, "relay")[0]["steps"]).len();
    stands(&mut browser, 1, steps + 2);
    browser.press("End");
    stands(&mut browser, relay, 1);
    browser.press("ArrowRight");
    stands(&mut browser, relay, 1);
    browser.press("ArrowLeft");
    stands(&mut browser, relay - 1, 1);

    // The keys are those of the page although the slider has the focus.
    browser.click_at("#slider", 0.5);
    let middle = place(&mut browser);
    browser.press("ArrowDown");
    assert_eq!(place(&mut browser), middle.replace("step 1", "step 2"));
    browser.press("Home");
    stands(&mut browser, 1, 1);

    finding(&mut browser);

    browser.ask("document.getElementById('help').focus()");
    browser.press("?");
    assert!(browser.ask("document.getElementById('keys').open").as_bool().expect("yes or no"));
    let before = place(&mut browser);
    browser.press("ArrowRight");
    assert_eq!(place(&mut browser), before, "the keys of the page rest");
    browser.press("Escape");
    assert!(!browser.ask("document.getElementById('keys').open").as_bool().expect("yes or no"));
    assert_eq!(browser.ask("test.focus()")["id"], "help");

    browser.order("Page.setInterceptFileChooserDialog", &json!({"enabled": true}));
    browser.press("o");
    browser.event("Page.fileChooserOpened", |_| true);

    browser.size(1280, 500);
    browser.press("PageDown");
    browser.ask("new Promise((resolve) => { if (scrollY > 0) resolve(); else addEventListener('scroll', resolve); })");
    browser.press("PageUp");
    browser.ask("new Promise((resolve) => { if (scrollY === 0) resolve(); else addEventListener('scrollend', resolve); })");
    quiet(&browser);
}

/// `/`, Enter, n, N, Esc.
fn finding(browser: &mut Browser) {
    let found = "document.getElementById('found').textContent";
    browser.press("n");
    assert_eq!(browser.text(found), "Type first what to find.");
    browser.press("/");
    browser.type_text("bob");
    browser.press("Enter");
    let first = place(browser);
    assert!(
        browser.ask("test.shown()").to_string().contains("bob") && !first.starts_with("tick 1 ")
    );
    browser.press("Escape");
    assert_eq!(browser.ask("test.focus()")["id"], "BODY");
    browser.press("n");
    assert_ne!(place(browser), first);
    browser.press("N");
    assert_eq!(place(browser), first);
    browser.press("N");
    assert_eq!(
        (browser.text(found), place(browser)),
        ("There is none before this tick.".to_owned(), first)
    );
    browser.press("ArrowRight");
    assert_eq!(browser.text(found), "", "what was told of another place is gone");
    browser.press("/");
    browser.ask("document.activeElement.select()");
    browser.type_text("999");
    browser.press("Enter");
    assert_eq!(browser.text(found), "There is no tick 999 here.");
    browser.press("Escape");
    browser.press("Home");
}

/// The clock of the page is the test's.
#[test]
fn it_plays_to_the_end_stops_there_and_plays_again() {
    let Some(mut browser) = Browser::start() else { return };
    browser.open(&page());
    browser.hold_clock();
    for (pace, millis) in [("slow", 2500), ("a step a second", 1000), ("fast", 250)] {
        browser.ask(&format!("test.choose('pace', {pace:?})"));
        browser.press("Home");
        browser.press(" ");
        browser.pass(millis - 1);
        assert!(plays(&mut browser), "{pace}");
        stands(&mut browser, 1, 1);
        browser.pass(1);
        stands(&mut browser, 1, 2);
        browser.press(" ");
        browser.pass(3 * millis);
        assert!(!plays(&mut browser), "{pace}");
        stands(&mut browser, 1, 2);
    }
    browser.click("#play");
    browser.pass(600_000);
    assert!(!plays(&mut browser), "it is over");
    let ticks = example();
    let relay = of_loop(&ticks, "relay");
    let steps = list(&relay[relay.len() - 1]["steps"]).len();
    stands(&mut browser, relay.len(), steps + 2);
    let now = browser.text("document.getElementById('now').textContent");
    assert!(now.contains("the last one"), "{now}");
    browser.press(" ");
    assert!(plays(&mut browser), "again");
    stands(&mut browser, 1, 1);
    browser.pass(500);
    stands(&mut browser, 1, 3);
    quiet(&browser);
}

#[test]
fn what_is_clicked_is_done_and_the_focus_stays() {
    let Some(mut browser) = Browser::start() else { return };
    browser.size(1280, 900);
    browser.open(&page());
    let ticks = example();
    for (button, tick, step) in [
        ("#tick-next", 2, 1),
        ("#step-next", 2, 2),
        ("#step-back", 2, 1),
        ("#tick-back", 1, 1),
        ("#last", of_loop(&ticks, "relay").len(), 1),
        ("#first", 1, 1),
        ("#steps button:nth-of-type(3)", 1, 3),
    ] {
        browser.click(button);
        stands(&mut browser, tick, step);
    }
    assert_eq!(browser.ask("test.focus()")["id"], "step", "it is on the step that was clicked");
    browser.press("End");
    browser.click("#step-next");
    browser.press("Home");
    browser.press("ArrowRight");
    browser.press("ArrowRight");
    let before = place(&mut browser);
    browser.ask("document.querySelector('#rows tr:nth-of-type(3) button').focus()");
    browser.press("Enter");
    assert_ne!(place(&mut browser), before, "the next tick with that source");
    assert_eq!(browser.ask("test.focus()")["id"], "2.1", "still on the source");
    browser.press("End");
    assert_eq!(browser.ask("test.focus()")["id"], "tick-head", "the source is gone");
    browser.click("#help");
    browser.click("#keys form button");
    assert_eq!(browser.ask("test.focus()")["id"], "help");
    quiet(&browser);
}

#[test]
fn it_fits_each_window_and_can_be_read_light_and_dark() {
    let Some(mut browser) = Browser::start() else { return };
    for width in WIDTHS {
        for colors in ["light", "dark"] {
            browser.size(width, 844);
            browser.prefer("prefers-color-scheme", colors);
            browser.open(&page());
            browser.click("summary");
            for keys in [&[][..], &["ArrowRight"; 9], &["ArrowDown"; 3], &["End"]] {
                for key in keys {
                    browser.press(key);
                }
                let place = format!("{width} {colors} {}", place(&mut browser));
                assert_eq!(browser.ask("test.tooWide()"), json!([]), "{place}");
                assert_eq!(browser.ask("test.small()"), json!([]), "{place}");
                let contrast = browser.ask("test.contrast()");
                assert_eq!(contrast["poor"], json!([]), "{place}");
                assert!(contrast["looked"].as_u64().expect("a number") > 60, "{contrast}");
            }
            browser.press("?");
            assert_eq!(browser.ask("test.contrast()")["poor"], json!([]), "the keys");
            browser.press("Escape");
        }
    }
    quiet(&browser);
}

/// Where the window is low, or the tick long, the bar must not cover the step that is shown.
#[test]
fn the_step_that_is_shown_is_seen() {
    let Some(mut browser) = Browser::start() else { return };
    let mut ticks = example();
    let tick = ticks.iter_mut().find(|it| it["loop"] == "relay").expect("a tick");
    let steps = tick["steps"].as_array_mut().expect("a list");
    let step = steps[0].clone();
    steps.extend(std::iter::repeat_n(step, 60));
    let homes = Homes::new();
    browser.open(&with_trace(&homes, "long.html", &lines_of(&ticks)));
    for (width, height) in [(390, 844), (1280, 720)] {
        browser.size(width, height);
        browser.press("Home");
        for key in [["ArrowDown"; 60], ["ArrowUp"; 60]].concat() {
            browser.press(key);
            let seen = browser.ask("test.isSeen('#steps [aria-current]')");
            assert_eq!(seen, true, "{width}: {}", place(&mut browser));
        }
    }
    quiet(&browser);
}

#[test]
fn who_cannot_see_it_or_wants_no_motion_has_it_too() {
    let Some(mut browser) = Browser::start() else { return };
    browser.size(1280, 900);
    browser.prefer("prefers-reduced-motion", "reduce");
    browser.open(&page());
    assert_eq!(browser.ask("test.moving()"), 0);
    assert!(!plays(&mut browser), "nothing plays before somebody asks for it");

    // The focus goes through all that can be used, in the order in which it stands.
    browser.press("ArrowRight");
    let mut order = Vec::new();
    loop {
        browser.press("Tab");
        let focus = browser.ask("test.focus()");
        if focus["id"] == "BODY" || order.len() > 99 {
            break;
        }
        assert_eq!(focus["seen"], true, "{focus}");
        order.push(word(&focus["id"]).to_owned());
    }
    let expected = "loop what find-back find-next pace file help first tick-back step-back play \
                    step-next tick-next last slider 0.1 1.1 SUMMARY";
    assert_eq!(order, expected.split_whitespace().collect::<Vec<_>>());

    // A screen reader is told what each control is, and what happens now.
    let tree = browser.order("Accessibility.getFullAXTree", &json!({}));
    let nodes: Vec<_> = list(&tree["nodes"]).iter().filter(|it| it["ignored"] == false).collect();
    let roles = ["button", "slider", "combobox", "searchbox", "table", "navigation", "region"];
    let named = nodes
        .iter()
        .filter(|it| it["role"]["value"].as_str().is_some_and(|it| roles.contains(&it)));
    let named: Vec<_> = named.map(|it| (&it["role"]["value"], &it["name"]["value"])).collect();
    assert!(named.len() > 20, "{named:?}");
    let missing: Vec<_> =
        named.iter().filter(|(_, name)| name.as_str().is_none_or(str::is_empty)).collect();
    assert!(missing.is_empty(), "without a name: {missing:?}");
    let live = |node: &&&Value| {
        let has = |it: &Value| it["name"] == "live" && it["value"]["value"] == "polite";
        node["role"]["value"] == "status" && list(&node["properties"]).iter().any(has)
    };
    assert!(nodes.iter().filter(live).count() >= 2, "what happens now, and what was found");
    let now = browser.text("document.getElementById('now').textContent");
    browser.press("ArrowDown");
    assert_ne!(browser.text("document.getElementById('now').textContent"), now, "it is told anew");
    assert_eq!(browser.text("document.getElementById('error').getAttribute('role')"), "alert");
    let headings = browser.ask("test.headings()");
    let headings: Vec<_> = list(&headings).iter().filter_map(Value::as_u64).collect();
    assert_eq!(headings[0], 1);
    assert!(headings.windows(2).all(|it| it[1] <= it[0] + 1), "{headings:?}");
    quiet(&browser);
}

#[test]
fn a_trace_that_cannot_be_played_is_told_and_the_one_before_stays() {
    let Some(mut browser) = Browser::start() else { return };
    let homes = Homes::new();
    let file = |name: &str, contents: &[u8]| {
        let file = homes.path(name);
        fs::write(&file, contents).expect("written");
        file
    };
    let good = lines_of(&example());
    browser.open(&page());
    browser.press("ArrowRight");
    for (name, contents, says) in [
        ("empty", &b""[..], "There is no tick in this file. Make a trace with: sealwax serve"),
        ("words", b"tick 12: epoll_wait(for ever)\n", "There is no tick in this file."),
        ("bytes", &[0xff; 4096], "There is no tick in this file."),
        ("events", b"[\n{\"name\":1},\n", "--trace-file"),
        ("damaged", format!("{{\"trace\":\n{good}").as_bytes(), "Line 1 is damaged"),
        (
            "earlier",
            b"{\"trace\":\"tick\",\"tick\":1}\n",
            "Line 1 is damaged or of an earlier version",
        ),
        (
            "huge",
            &vec![b'{'; 33 << 20],
            "this page plays at most 33554432. Cut the trace with \"head -n\"",
        ),
    ] {
        browser.choose(&file(name, contents));
        let told = browser.text("document.getElementById('error').innerText");
        assert!(told.starts_with(&format!("{name}: ")) && told.contains(says), "{told}");
        assert!(
            browser.ask("document.getElementById('error').checkVisibility()").as_bool()
                == Some(true)
        );
        assert!(place(&mut browser).starts_with("tick 2 of "), "the trace before is still played");
    }
    // The same file can be chosen again once it is mended.
    browser.choose(&file("huge", good.trim_end().strip_suffix('}').expect("an object").as_bytes()));
    assert_eq!(browser.ask("document.getElementById('error').checkVisibility()"), false);
    let about = browser.text("document.getElementById('about').textContent");
    assert!(
        about.starts_with(&format!("huge: {} ticks", example().len() - 1))
            && about.contains("cut off"),
        "{about}"
    );
    let all = file("all", good.as_bytes());
    browser.drop_file(&all);
    let about = browser.text("document.getElementById('about').textContent");
    assert!(about.starts_with(&format!("all: {} ticks", example().len())), "{about}");
    quiet(&browser);
}

#[test]
fn a_page_whose_own_trace_is_broken_says_so_and_can_open_another() {
    let Some(mut browser) = Browser::start() else { return };
    let homes = Homes::new();
    browser.open(&with_trace(&homes, "broken.html", "{\"trace\":\n{}\n"));
    let told = browser.text("document.getElementById('error').innerText");
    assert!(told.contains(" is damaged"), "{told}");
    for key in ["ArrowRight", "ArrowDown", "ArrowUp", "ArrowLeft", "Home", "End", " ", "n", "N"] {
        browser.press(key);
    }
    browser.click_at("#slider", 0.5);
    assert!(!plays(&mut browser));
    let trace = homes.path("trace.json");
    fs::write(&trace, lines_of(&example())).expect("written");
    browser.choose(&trace);
    assert!(place(&mut browser).starts_with("tick 1 of "));
    quiet(&browser);
}

/// Many ticks, many sources, long names, and names that would be elements of the page.
#[test]
fn a_large_trace_and_names_from_the_network_are_shown() {
    let Some(mut browser) = Browser::start() else { return };
    let homes = Homes::new();
    let bad = "<img src=x onerror=alert(1)>\u{202e}".to_owned() + &"x".repeat(300);
    let mut ticks = example();
    ticks.retain(|tick| tick["loop"] == "relay");
    let length = ticks.len();
    let mut many = vec![ticks; 300].concat();
    let tick = many.last_mut().expect("a tick");
    let named = |slot: u64| json!({"source": slot, "tenant": 1, "name": bad, "ready": ["EPOLLIN"]});
    tick["events"] = (0..500).map(named).collect();
    tick["dirty"] = tick["events"].clone();
    let trace = homes.path("large.json");
    fs::write(&trace, lines_of(&many)).expect("written");
    browser.size(390, 844);
    browser.open(&page());
    browser.choose(&trace);
    assert_eq!(browser.text("document.getElementById('error').textContent"), "");
    browser.press("End");
    let count = many.len();
    assert!(place(&mut browser).starts_with(&format!("tick {count} of {count}, ")));
    let shown = browser.ask("test.shown()");
    assert_eq!(word(&list(&shown["ready"])[60]), "and 440 others");
    assert_eq!(word(&list(&shown["listed"])[60]), "and 440 others");
    let dirty = word(&shown["lists"]["Dirty: the end of this tick looks at"]);
    assert!(dirty.ends_with("xxx… and 440 others"), "{dirty}");
    assert!(dirty.contains("onerror=alert(1)>\\u{202e}xxx"), "{dirty}");
    assert!(word(&shown["now"]).ends_with("and 497 more."), "{}", shown["now"]);
    assert_eq!(browser.ask("document.querySelectorAll('img').length"), 0);
    // The run is repeated, so the sources of each tick are those of the run before. What the page
    // keeps on its way, to be fast, must not be changed by going on.
    browser.press("Home");
    let mut rows: Vec<Value> = Vec::new();
    for at in 0..4 * length {
        rows.push(browser.ask("test.shown()")["rows"].take());
        assert!(at < length || rows[at] == rows[at - length], "{}", place(&mut browser));
        browser.press("ArrowRight");
    }
    assert!(rows.iter().any(|it| list(it).len() > 3), "{rows:?}");
    assert_eq!(browser.ask("test.tooWide()"), json!([]));
    quiet(&browser);
}
