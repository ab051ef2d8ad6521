//! Clients of the original system, in Python: what reaches them through the relay is nothing that
//! they die of. `json.loads` refuses other things than we do; what we take, it has to take.

#![allow(clippy::expect_used)] // a test says what it expects

mod support;

use proptest::prelude::*;
use sealwax::limits::{MAX_DEPTH, MAX_MEMBERS, MAX_NUMBER};
use sealwax::wire::{Body, Request};
use serde_json::{Value, json};
use support::process::{Process, Relay, python};
use support::relay::{Client, PEM};

/// Values that are JSON to somebody, or nearly.
fn values() -> Vec<String> {
    let digits = |count: usize| "9".repeat(count);
    let numbers = [MAX_NUMBER - 1, MAX_NUMBER, MAX_NUMBER + 1, 4300, 4301, 7000].map(digits);
    let signed = numbers.iter().flat_map(|number| {
        let forms = ["N", "-N", "N.5", "0.N", "1eN", "1e-N", "1E+N", "-Ne9", "Ne999"];
        forms.map(|form| form.replace('N', number))
    });
    let plain = [
        "1e999",
        "-1e999",
        "1e-999",
        "1E400",
        "-0",
        "-0.0",
        "0e0",
        "1e99999999999",
        "Infinity",
        "-Infinity",
        "NaN",
        "nan",
        "01",
        "1.",
        ".5",
        "+1",
        "0x10",
        "1_000",
        "true",
        "null",
        "True",
        r#""\u0000""#,
        r#""\u0000\u0000""#,
        "\"\u{0}\"",
        "\"\u{1}\"",
        "\"\t\"",
        "\"\u{7f}\"",
        r#""\ud800""#,
        r#""\udc00""#,
        r#""\ud800\ud800""#,
        r#""\ud83d\ude00""#,
        r#""\udc00\ud800""#,
        r#""\uD800\u0041""#,
        "\"\u{feff}\"",
        "\u{feff}1",
        "\"\u{ffff}\u{10ffff}\u{fdd0}\"",
        "\"\u{2028}\u{2029}\u{85}\"",
        r#""\x41""#,
        r#""\u12""#,
        r#""\u{41}""#,
        r#""\v""#,
        r#""\/""#,
        "'a'",
        "[1,]",
        "[,]",
        "{\"a\":1,}",
        "{\"a\":1,\"a\":2}",
        "{\"\":{\"\":\"\"}}",
        "{a:1}",
        "/* */1",
        "1//",
        "\u{a0}1",
        "1\u{a0}",
        "\u{c}1",
        "1\u{b}",
        " \t\r\n1 \t\r\n",
        "\"\n\"",
        "{\"__proto__\":{\"x\":1}}",
        "{\"__class__\":\"x\"}",
        "\"\\ud83d\u{de0}\"",
    ];
    let nested = [MAX_DEPTH - 1, MAX_DEPTH, 2000].map(|n| "[".repeat(n) + &"]".repeat(n));
    let wide = [MAX_MEMBERS, MAX_MEMBERS + 1].map(|count| {
        let members: Vec<_> = (0..count).map(|n| format!("\"{n}\":{n}")).collect();
        format!("{{{}}}", members.join(","))
    });
    let long = [format!("\"{}\"", "é".repeat(20_000)), format!("[{}0]", "0,".repeat(20_000))];
    let plain = plain.map(str::to_owned).into_iter();
    plain.chain(signed).chain(nested).chain(wide).chain(long).collect()
}

/// A `message` with such a value in each place where one can stand.
fn frames_with(value: &str) -> Vec<String> {
    let places = ["\"x\":V", "\"x\":[V]", "\"x\":[[0,V,0]]", "\"x\":{\"y\":V}", "V:0"];
    let frame = |place: &str| {
        let member = place.replace('V', value);
        format!("{{\"action\":\"message\",\"to\":\"JG\",{member},\"content\":\"\"}}")
    };
    places.map(frame).into_iter().chain([format!("{}{value}", frame("\"x\":0"))]).collect()
}

/// What the addressee gets of a frame, if it is passed on.
fn passed_on(frame: &str) -> Option<String> {
    let request = Request::parse(frame.as_bytes()).ok()?;
    let Body::Forward(forward) = &request.body else { return None };
    Some(String::from_utf8(forward.bytes.parts(b"\"eve\"").concat()).expect("text"))
}

/// Says the frame to the reader in Python, and gives what became of it.
fn loads(python: &mut Process, frame: &str) -> String {
    python.say(&json!(frame).to_string());
    python.line()
}

#[test]
fn what_is_passed_on_is_nothing_that_python_dies_of() {
    let mut reader = python("loads_frames.py", &[]);
    let frames: Vec<_> = values().iter().flat_map(|value| frames_with(value)).collect();
    let taken: Vec<_> = frames.iter().filter_map(|frame| passed_on(frame)).collect();
    assert!(taken.len() > 50 && frames.len() - taken.len() > 50, "some of each");
    for frame in &taken {
        assert_eq!(loads(&mut reader, frame), "ok", "{}", &frame[..frame.len().min(200)]);
    }
    // It dies of some of what is refused: the test would see it.
    let deadly = format!("{{\"x\":{}}}", "9".repeat(4301));
    assert!(loads(&mut reader, &deadly).starts_with("ValueError"));
}

#[test]
fn nor_is_whatever_can_be_made_of_its_parts() {
    let mut reader = python("loads_frames.py", &[]);
    let leaf = prop::sample::select(values());
    let value = leaf.prop_recursive(6, 24, 4, |inner| {
        let member = (prop::sample::select(vec!["\"a\"", "\"b\\u0000\"", "\"\""]), inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(|all| format!("[{}]", all.join(","))),
            prop::collection::vec(member, 0..4).prop_map(|all| {
                let all: Vec<_> =
                    all.iter().map(|(name, value)| format!("{name}:{value}")).collect();
                format!("{{{}}}", all.join(" ,\n"))
            }),
        ]
    });
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(256)
    });
    let reader = std::cell::RefCell::new(&mut reader);
    let ran = runner.run(&value, |value| {
        for frame in frames_with(&value).iter().filter_map(|frame| passed_on(frame)) {
            prop_assert_eq!(loads(&mut reader.borrow_mut(), &frame), "ok");
        }
        Ok(())
    });
    ran.expect("Python takes what we take");
}

#[test]
fn a_conversation_goes_on_whatever_somebody_else_sends_in_between() {
    let relay = Relay::ephemeral();
    let jg = python("original_client.py", &[&relay.address, "JG", "yidir", "20"]);
    let mut eve = Client::connect(relay.address.parse().expect("an address"));
    eve.send(&json!({"action": "register", "name": "eve", "pubkey": PEM}));
    while !eve.frame()["users"].as_array().is_some_and(|users| users.contains(&json!("JG"))) {}
    let (mut relayed, mut refused) = (0, 0);
    for value in &values() {
        let id = format!("\"id\":\"7\",\"x\":[{value}]");
        // What ends the connection is not for this test: brackets that do not close.
        let frame = format!("{{\"action\":\"message\",\"to\":\"JG\",{id},\"content\":\"\"}}");
        eve.write(frame.as_bytes());
        match answer(&mut eve)["action"].as_str() {
            Some("relayed") => relayed += 1,
            _ => refused += 1,
        }
    }
    assert!(relayed > 20 && refused > 20, "{relayed} {refused}");
    let yidir = python("original_client.py", &[&relay.address, "yidir", "JG", "20"]);
    let told: Value = serde_json::from_str(&jg.line()).expect("JSON");
    assert_eq!(told, json!({"name": "JG", "read": 20, "others": relayed}));
    yidir.line();
    for user in [jg, yidir] {
        user.end().with_code(0);
    }
}

/// The next frame that is no list of users.
fn answer(client: &mut Client) -> Value {
    loop {
        let frame = client.frame();
        if frame["action"] != "userlist" {
            return frame;
        }
    }
}
