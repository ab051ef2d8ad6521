//! The program as its user runs it: processes, pipes, exit codes.

#![allow(clippy::expect_used)] // a test says what it expects

mod support;

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::thread;

use nix::sys::signal::Signal;
use sealwax::reactor::end_with_parent;
use support::process::{Homes, Process, Relay, python, text};

/// `chat --json` of `name`, registered.
fn chat(homes: &Homes, name: &str, relay: &Relay) -> Process {
    let chat = homes.client(name, &relay.address, &["chat", "--json"]);
    chat.event("registered");
    chat
}

#[test]
fn a_thousand_lines_each_way_at_once_are_all_confirmed() {
    lines_each_way(1000, &Relay::ephemeral());
}

#[test]
fn so_are_those_through_a_relay_that_is_told_of_edges_and_one_that_does_not_sleep() {
    for options in [["--trigger", "edge"], ["--spin", "1000"]] {
        lines_each_way(200, &Relay::start(&[&options[..], &["--ephemeral"]].concat()));
    }
}

fn lines_each_way(count: usize, relay: &Relay) {
    let homes = Homes::new();
    let mut users = ["alice", "bob"].map(|name| chat(&homes, name, relay));
    let writers = [("bob", 0), ("alice", 1)].map(|(to, place)| {
        let mut input = users[place].input();
        thread::spawn(move || {
            for number in 0..count {
                writeln!(input, r#"{{"to":"{to}","text":"line {number}","id":"{number}"}}"#)
                    .expect("the client reads its input");
            }
            input // kept open: whoever has said all still listens
        })
    });
    let inputs = writers.map(|writer| writer.join().expect("all was written"));
    for user in &users {
        let (mut delivered, mut received) = (HashSet::new(), Vec::new());
        while delivered.len() < count || received.len() < count {
            let event: serde_json::Value = serde_json::from_str(&user.line()).expect("JSON");
            match event["event"].as_str() {
                Some("delivered") => {
                    let id = event["id"].as_str().expect("an id").to_owned();
                    assert!(delivered.insert(id), "confirmed once");
                }
                Some("message") => {
                    received.push(event["text"].as_str().expect("a text").to_owned());
                }
                Some("failed" | "warning" | "gap" | "closed") => panic!("{event}"),
                _ => {}
            }
        }
        let expected: Vec<_> = (0..count).map(|number| format!("line {number}")).collect();
        assert_eq!(received, expected, "whole, once, in order");
    }
    drop(inputs);
    for user in users {
        user.end().with_code(0);
    }
}

#[test]
fn lines_of_a_pipe_are_sent_in_order_and_the_end_of_input_waits_for_them() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let bob = homes.client("bob", &relay.address, &["recv", "-n", "300"]);
    bob.talk_with("you are bob");
    let mut alice = homes.client("alice", &relay.address, &["send", "bob"]);
    let mut input = alice.input();
    for number in 0..300 {
        writeln!(input, "{number}\tça va? \u{1f980}").expect("it reads");
    }
    drop(input);
    alice.end().with_code(0);
    let bob = bob.end().with_code(0);
    let expected: Vec<_> =
        (0..300).map(|number| format!("alice: {number}\tça va? \u{1f980}")).collect();
    assert_eq!(bob.stdout, expected);
}

#[test]
fn a_regular_file_is_a_fine_standard_input() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let bob = homes.client("bob", &relay.address, &["recv", "-n", "2"]);
    bob.talk_with("you are bob");
    let notes = homes.path("notes.txt");
    fs::write(&notes, "first\nlast, without an end").expect("written");
    let options = homes.options("alice", &relay.address);
    let mut alice = Command::new(env!("CARGO_BIN_EXE_sealwax"));
    alice.args(["send", "bob"]).args(options).stderr(Stdio::null());
    alice.stdin(fs::File::open(&notes).expect("opened"));
    let status = end_with_parent(&mut alice).status().expect("it runs");
    assert_eq!(status.code(), Some(0));
    assert_eq!(bob.end().with_code(0).stdout, ["alice: first", "alice: last, without an end"]);
}

#[test]
fn within_a_message_line_ends_and_backslashes_are_written_out_so_that_a_line_is_a_message() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let bob = homes.client("bob", &relay.address, &["recv", "-n", "1"]);
    bob.talk_with("you are bob");
    homes.client("alice", &relay.address, &["send", "bob", "one\ntwo\\\r"]).end().with_code(0);
    assert_eq!(bob.end().with_code(0).stdout, [r"alice: one\ntwo\\\r"]);
}

#[test]
fn a_recipient_who_is_not_there_is_code_4() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let ended = homes
        .client("alice", &relay.address, &["send", "--wait", "0", "bob", "hi"])
        .end()
        .with_code(4);
    assert!(ended.stderr.iter().any(|line| line.contains("bob")), "{ended:?}");
}

#[test]
fn a_relay_that_is_not_there_is_code_5() {
    let homes = Homes::new();
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let command = ["send", "bob", "hi", "--wait", "0.2"];
    let ended = homes.client("alice", &nobody.to_string(), &command).end().with_code(5);
    assert!(ended.stderr.iter().any(|line| line.contains("cannot be reached")), "{ended:?}");
}

#[test]
fn a_name_that_is_taken_is_code_6() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let _bob = chat(&homes, "bob", &relay);
    let home = homes.of("alice"); // another key
    let thief = ["recv", "--name", "bob", "--relay", &relay.address, "--home", text(&home)];
    let ended = Process::start(&thief).end().with_code(6);
    assert!(ended.stderr.iter().any(|line| line.contains("name_bound")), "{ended:?}");
    let nameless = ["recv", "--name", "No Name", "--relay", &relay.address, "--home", text(&home)];
    Process::start(&nameless).end().with_code(6);
}

#[test]
fn a_wait_that_runs_out_is_code_7() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    // On a busy machine it may run out before the relay was reached, which is code 5.
    let mut codes = ["0.3", "3", "30"].iter().map(|wait| {
        homes.client("bob", &relay.address, &["recv", "-n", "1", "--wait", wait]).end().code
    });
    assert_eq!(codes.find(|code| *code != Some(5)), Some(Some(7)));
}

#[test]
fn an_identity_in_use_is_code_8_and_names_the_process() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let bob = chat(&homes, "bob", &relay);
    let ended = homes.client("bob", &relay.address, &["recv"]).end().with_code(8);
    let pid = bob.pid().to_string();
    assert!(ended.stderr.iter().any(|line| line.contains(&pid)), "{ended:?}");
}

#[test]
fn an_identity_that_others_may_read_or_that_is_damaged_is_code_8_and_stays_as_it_is() {
    let homes = Homes::new();
    let identity = homes.of("alice").join("identity.pem");
    let whole = fs::read(&identity).expect("a fixture");
    fs::set_permissions(&identity, fs::Permissions::from_mode(0o644)).expect("ours");
    let ended = homes.client("alice", "127.0.0.1:1", &["recv"]).end().with_code(8);
    assert!(ended.stderr.iter().any(|line| line.contains("identity.pem")), "{ended:?}");

    fs::write(&identity, &whole[..whole.len() / 2]).expect("ours");
    fs::set_permissions(&identity, fs::Permissions::from_mode(0o600)).expect("ours");
    homes.client("alice", "127.0.0.1:1", &["recv"]).end().with_code(8);
    assert_eq!(fs::read(&identity).expect("still there"), &whole[..whole.len() / 2]);
}

#[test]
fn usage_is_code_2() {
    Process::start(&["dance"]).end().with_code(2);
    let homes = Homes::new();
    let new = homes.path("new");
    let nameless = ["recv", "--home", text(&new)];
    let ended = Process::start(&nameless).end().with_code(2);
    assert!(ended.stderr.iter().any(|line| line.contains("--name")), "{ended:?}");
}

#[test]
fn a_line_that_is_no_command_is_told_and_the_others_are_obeyed() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let mut alice = chat(&homes, "alice", &relay);
    let bob = chat(&homes, "bob", &relay);
    alice.say("nonsense");
    assert_eq!(alice.event("warning")["code"], "bad_input");
    alice.say(r#"{"to":"alice","text":"me"}"#);
    assert_eq!(alice.event("failed")["to"], "alice");
    alice.say(r#"{"to":"bob","text":"still here"}"#);
    assert_eq!(bob.event("message")["text"], "still here");
    alice.event("delivered");
    assert_eq!(alice.end().code, Some(1), "a script is told that a line was not obeyed");
}

#[test]
fn who_asks_who_is_here_and_says_no_more_is_told_once_the_relay_has() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let _bob = chat(&homes, "bob", &relay);
    let mut alice = homes.client("alice", &relay.address, &["chat", "--json"]);
    alice.say(r#"{"command":"users"}"#);
    alice.finish_input();
    assert_eq!(alice.event("users")["users"], serde_json::json!(["alice", "bob"]));
    alice.end().with_code(0);
}

#[test]
fn a_relay_that_is_killed_and_comes_back_loses_nothing() {
    let homes = Homes::new();
    let home = homes.path("relay");
    let relay = Relay::at_home(&home);
    let mut alice = chat(&homes, "alice", &relay);
    let bob = chat(&homes, "bob", &relay);
    alice.say(r#"{"to":"bob","text":"before"}"#);
    assert_eq!(bob.event("message")["text"], "before");
    alice.event("delivered");

    let address = relay.address.clone();
    relay.process.signal(Signal::SIGKILL);
    alice.say(r#"{"to":"bob","text":"meanwhile"}"#);
    relay.process.end();
    let again =
        Process::start(&["serve", "--listen", &address, "--home", text(&home), "--log", "text"]);
    again.talk_with("listening on ");
    assert_eq!(bob.event("message")["text"], "meanwhile");
    alice.event("delivered");
    alice.say(r#"{"to":"bob","text":"after"}"#);
    assert_eq!(bob.event("message")["text"], "after", "and nothing twice");
    alice.event("delivered");
    alice.end().with_code(0);
}

#[test]
fn what_is_bound_stays_bound_over_a_restart_and_the_relay_keeps_its_key() {
    let homes = Homes::new();
    let home = homes.path("relay");
    let relay = Relay::at_home(&home);
    chat(&homes, "bob", &relay).end().with_code(0);
    relay.process.signal(Signal::SIGTERM);
    relay.process.end().with_code(0);

    let relay = Relay::at_home(&home);
    let thief = homes.of("alice");
    let arguments = ["recv", "--name", "bob", "--relay", &relay.address, "--home", text(&thief)];
    Process::start(&arguments).end().with_code(6);
    // The same relay key at another port: bob's own key still opens the door.
    chat(&homes, "bob", &relay).end().with_code(0);
}

#[test]
fn a_port_that_is_taken_is_code_1() {
    let relay = Relay::ephemeral();
    let second = Process::start(&["serve", "--ephemeral", "--listen", &relay.address]);
    let ended = second.end().with_code(1);
    assert!(ended.stderr.iter().any(|line| line.contains(&relay.address)), "{ended:?}");
}

#[test]
fn a_relay_that_is_told_to_end_says_so_to_its_users_and_ends_with_0() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let bob = homes.client("bob", &relay.address, &["recv"]);
    bob.talk_with("you are bob");
    relay.process.signal(Signal::SIGTERM);
    relay.process.end().with_code(0);
    bob.talk_with("lost");
}

#[test]
fn an_ephemeral_relay_says_that_it_keeps_nothing() {
    let relay = Process::start(&["serve", "--ephemeral", "--listen", "127.0.0.1:0"]);
    relay.talk_with("ephemeral");
    relay.talk_with("listening on ");
    relay.signal(Signal::SIGINT);
    relay.end().with_code(0);
}

#[test]
fn standard_output_without_a_reader_ends_the_client() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let options = homes.options("bob", &relay.address);
    let mut bob = Command::new(env!("CARGO_BIN_EXE_sealwax"));
    bob.args(["recv", "--json"]).args(options).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut bob = end_with_parent(&mut bob).spawn().expect("it runs");
    drop(bob.stdout.take()); // as `| head -0` would
    assert_eq!(bob.wait().expect("it ends").code(), Some(1));
}

#[test]
fn the_demo_ends_by_itself_and_shows_no_text_in_a_frame() {
    let ended = Process::start(&["demo", "--fast"]).end().with_code(0);
    let frames: Vec<_> = ended.stdout.iter().filter_map(|line| line.split_once('│')).collect();
    assert!(frames.iter().any(|(_, frame)| frame.contains("\"message\"")), "{ended:#?}");
    assert!(frames.iter().all(|(_, frame)| !frame.contains("Bob, can you")), "{ended:#?}");
}

#[test]
fn a_demo_that_nobody_looks_at_any_more_goes_on_to_its_end() {
    let command = "\"$1\" demo | head -n 1; exit ${PIPESTATUS[0]}";
    let mut shell = Command::new("bash");
    shell.args(["-c", command, "bash", env!("CARGO_BIN_EXE_sealwax")]);
    let ended = Process::spawn(&mut shell).end().with_code(0);
    assert_eq!(ended.stdout.len(), 1, "{ended:?}");
    assert!(ended.stderr.is_empty(), "{ended:?}");
}

#[test]
fn two_original_clients_hold_a_conversation() {
    const MESSAGES: &str = "50";
    let relay = Relay::ephemeral();
    let users = [("JG", "yidir"), ("yidir", "JG")]
        .map(|(name, peer)| python("original_client.py", &[&relay.address, name, peer, MESSAGES]));
    for user in &users {
        assert!(user.line().contains("\"read\": 50"));
    }
    for user in users {
        user.end().with_code(0);
    }
}

#[test]
fn completions_and_the_manual_page_name_every_command() {
    for arguments in [&["completions", "bash"][..], &["completions", "fish"], &["man"]] {
        let printed = Process::start(arguments).end().with_code(0).stdout.join("\n");
        for command in ["serve", "chat", "send", "recv", "keys", "demo"] {
            assert!(printed.contains(command), "{arguments:?}: {command}");
        }
    }
}

#[test]
fn who_only_looks_in_is_let_in_first_and_waits_for_nothing() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    homes.client("alice", &relay.address, &["recv", "-n", "1", "--wait", "0"]).end().with_code(7);
    homes.client("alice", &relay.address, &["recv", "--wait", "0"]).end().with_code(0);
    let gone = relay.address.clone();
    drop(relay);
    homes.client("alice", &gone, &["recv", "-n", "1", "--wait", "0"]).end().with_code(5);
}

#[test]
fn what_cannot_be_an_address_of_a_relay_is_refused_before_it_is_remembered() {
    for command in [&["keys", "relay", "localhost:0"][..], &["recv", "--relay", "[::1]:0"]] {
        let ended = Process::start(command).end().with_code(2);
        assert!(ended.transcript.contains("port 0"), "{ended:?}");
    }
}
