//! JSON that is hostile, and bytes that are no JSON at all.

use serde_json::json;

use crate::relay::Verdict;
use crate::stage::{Stage, say};

#[test]
fn frames_that_make_no_sense_are_dropped_and_named() {
    for mut stage in Stage::both_ways() {
        let deep = format!(r#"{{"action":"news","a":{}1{}}}"#, "[".repeat(500), "]".repeat(500));
        let members: Vec<_> = (0..33).map(|number| format!(r#""m{number}":0"#)).collect();
        let wide = format!(r#"{{"action":"news",{}}}"#, members.join(","));
        let refused = [
            "{}",
            r#"{"action":null}"#,
            r#"{"action":["message"]}"#,
            r#"{"action":"message"}"#,
            r#"{"action":"message","action":"message"}"#,
            r#"{"action":"mess"]"#,
            r#"{"action":"news",}"#,
            r#"{"action":"news","a":01}"#,
            r#"{"action":"news","a":+1}"#,
            r#"{"action":"news","a":NaN}"#,
            r#"{"action":"news","a":'a'}"#,
            r#"{"action":"news" /* a comment */}"#,
            r#"{"action":"news","a":"\u12"}"#,
            r#"{"action":"\ud800"}"#,
            "{\"action\":\"a\nb\"}",
            &deep,
            &wide,
            r#"{"action":"message","to":"bob","from":"alice","v":"2","content":""}"#,
            r#"{"action":"message","to":"bob","from":"alice","v":3,"content":""}"#,
            r#"{"action":"message","to":"bob","from":"alice","v":2,"content":{}}"#,
            r#"{"action":"message","to":"bob","from":["alice"],"v":2,"content":""}"#,
            r#"{"action":"message","to":"bob","from":"Alice","v":2,"content":""}"#,
            r#"{"action":"message","to":"bob","from":"alice ","v":2,"content":""}"#,
            r#"{"action":"message","to":"bob","from":"\u0430lice","v":2,"content":""}"#,
            r#"{"action":"message","to":"bob","from":"alice\u0000","v":2,"content":""}"#,
            r#"{"action":"message","to":"bob","from":"../alice","v":2,"content":""}"#,
            r#"{"action":"message","to":"carol","from":"alice","v":2,"content":""}"#,
            r#"{"action":"send_key","to":"bob","from":"alice","v":2,"key":7}"#,
            r#"{"action":"send_key","to":"bob","from":"alice","key":"original"}"#,
            r#"{"action":"pubkey","from":"alice","pubkey":"not asked for","v":2}"#,
            r#"{"action":"pubkey","from":"alice","pubkey":7}"#,
            r#"{"action":"challenge","relay":"","nonce":"","sig":""}"#,
            r#"{"action":"registered","name":"bob","fp":"SHA256:","limits":{}}"#,
            r#"{"action":"userlist","users":"alice"}"#,
            r#"{"action":"userlist","users":[1]}"#,
            r#"{"action":"roster","joined":["alice"],"left":{}}"#,
            r#"{"action":"relayed","id":1,"to":"alice"}"#,
            r#"{"action":"error","code":7,"detail":""}"#,
        ];
        for frame in refused {
            stage.relay.tell_bytes("bob", frame.as_bytes());
            assert_eq!(stage.goes_on(), ["bad_frame"], "{frame}");
        }
        stage.relay.tell_bytes("bob", b"{\"action\":\"\xff\xfe\"}");
        assert_eq!(stage.goes_on(), ["bad_frame"]);
    }
}

#[test]
fn contents_that_are_no_contents_are_dropped_and_named() {
    let mut stage = Stage::talking();
    for content in ["", "!", "AgA", "AgA=", "AgB", " AgA", "Ag\u{0}A", "\u{1f980}"] {
        for (action, member) in [("message", "content"), ("send_key", "key")] {
            let frame = json!({"action": action, "to": "bob", "from": "alice", "v": 2,
                               member: content});
            assert_eq!(stage.warned(&frame), "malformed", "{frame}");
        }
    }
    assert_eq!(stage.goes_on(), [""; 0]);
}

#[test]
fn frames_of_another_time_are_passed_over() {
    let mut stage = Stage::talking();
    let passed_over = [
        r#"{"action":"news"}"#,
        r#"{"action":"news","a":1e999999,"b":-0.0,"c":99999999999999999999999999}"#,
        r#"{"action":"news","a":{"b":[{},[],"\u0000",null,true]}}"#,
        r#"{"action":"pong"}"#,
        r#"{"action":"pong","id":"nobody asked"}"#,
        r#"{"action":"relayed","id":"99999999999999999999999","to":"alice"}"#,
        r#"{"action":"relayed","id":"1","to":"nobody"}"#,
    ];
    for frame in passed_over {
        stage.relay.tell_bytes("bob", frame.as_bytes());
        assert_eq!(stage.goes_on(), [""; 0], "{frame}");
    }
    for code in ["odd", "bad_frame", "unknown_user", "\u{1b}[2J"] {
        let frame = json!({"action": "error", "code": code, "detail": "\u{1b}[2J"});
        assert_eq!(stage.warned(&frame), "refused");
    }
    assert_eq!(stage.goes_on(), [""; 0]);
}

#[test]
fn refusals_that_are_lies_cost_a_delay_and_no_message() {
    let mut stage = Stage::talking();
    let lies = [
        r#"{"action":"error","code":"unknown_user","detail":"","id":"77","to":"alice"}"#,
        r#"{"action":"error","code":"unknown_user","detail":"","target":"alice"}"#,
        r#"{"action":"error","code":"queue_full","detail":"","id":"77","to":"alice"}"#,
    ];
    for frame in lies {
        stage.relay.tell_bytes("bob", frame.as_bytes());
        // Where the lie passed for an answer, the true one is to no question.
        assert!(stage.goes_on().iter().all(|code| code == "bad_frame"), "{frame}");
    }
}

#[test]
fn a_stream_that_cannot_be_followed_is_left_and_another_one_made() {
    for mut stage in Stage::both_ways() {
        let endless = [&b"{\"action\":\""[..], &vec![b'a'; 1 << 20]].concat();
        let streams: [&[u8]; 6] =
            [b"hello", b"[1,2]\n", b"}\n", b"\0{\"action\":\"news\"}", b"\xef\xbb\xbf{}", &endless];
        for stream in streams {
            stage.relay.tell_bytes("bob", stream);
            stage.bob.event("registered"); // again, in the same process
            assert_eq!(stage.goes_on(), [""; 0]);
        }
    }
}

#[test]
fn a_frame_may_come_byte_by_byte() {
    for mut stage in Stage::both_ways() {
        stage.relay.set_fate(|_| Verdict::Swallow);
        say(&mut stage.alice, "bob", "drop by drop");
        let frame = stage.relay.first(2, "message", "alice").remove(1).to_string();
        stage.relay.behave();
        for byte in format!(" \t\r\n{frame}").bytes() {
            stage.relay.tell_bytes("bob", &[byte]);
        }
        let event = stage.next_of_bob();
        assert_eq!(event["text"], "drop by drop", "{event}");
        assert_eq!(stage.goes_on(), [""; 0]);
    }
}
