//! A key has changed, and its owner says that it is right: what a person does then who reads
//! nothing but what the program prints.

use std::process::Command;

use sealwax::reactor::end_with_parent;

use crate::relay::EvilRelay;
use crate::stage::{Stage, chat};
use crate::support::fixtures::{pem, public};
use crate::support::process::{Homes, Process};

/// Alice, who talks to bob in a terminal; and a bob with a new key.
struct Scene {
    alice: Process,
    bob: Process,
    /// Kept as long as they talk.
    _world: (Homes, EvilRelay),
}

impl Scene {
    /// They have talked; then bob's machine was lost with its key.
    fn with_another_bob() -> Self {
        let (homes, relay) = (Homes::new(), EvilRelay::start());
        let bob = homes.client("bob", &relay.address, &["recv"]);
        bob.talk_with("you are bob");
        let mut alice = homes.client("alice", &relay.address, &["chat", "bob"]);
        alice.talk_with("you are alice");
        alice.say("hi");
        assert_eq!(bob.line(), "alice: hi");
        bob.signal(nix::sys::signal::Signal::SIGTERM);
        bob.end().with_code(0);
        let identity = homes.of("bob").join("identity.pem");
        std::fs::write(identity, pem("carol")).expect("bob's new key");
        let bob = homes.client("bob", &relay.address, &["chat", "alice"]);
        bob.talk_with("you are bob");
        Self { alice, bob, _world: (homes, relay) }
    }

    /// The command in the line with these words that alice is told: it stands between backquotes.
    fn command_told_with(&self, words: &str) -> String {
        let line = self.alice.talk_with(words);
        line.split('`').nth(1).expect("a command").to_owned()
    }

    /// Both directions work.
    fn goes_on(&mut self) {
        self.alice.say("are you there?");
        assert_eq!(self.bob.line(), "alice: are you there?");
        self.bob.say("yes");
        assert_eq!(self.alice.line(), "bob: yes");
    }
}

/// Runs a command as it was printed, in a shell that finds our program.
fn shell(command: &str) -> std::process::Output {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_sealwax"));
    let path = program.parent().expect("a directory").to_str().expect("UTF-8");
    let path = format!("{path}:{}", std::env::var("PATH").expect("a path"));
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).env("PATH", path);
    end_with_parent(&mut shell).output().expect("a shell")
}

#[test]
fn the_printed_command_is_all_it_takes_and_a_running_chat_picks_it_up() {
    let mut scene = Scene::with_another_bob();
    scene.alice.say("secret");
    let command = scene.command_told_with("HAS CHANGED");
    assert!(command.contains(&public("carol").fingerprint().to_string()), "{command}");
    let output = shell(&command);
    assert!(output.status.success(), "{command}: {output:?}");
    scene.goes_on();
    scene.alice.end().with_code(3); // a script learns that "secret" did not go out
}

#[test]
fn in_a_chat_slash_trust_is_all_it_takes() {
    let mut scene = Scene::with_another_bob();
    scene.alice.say("secret");
    scene.alice.talk_with("HAS CHANGED");
    scene.alice.say("/trust bob");
    let said = scene.alice.talk_with("from now on");
    assert!(said.contains(&public("carol").fingerprint().to_string()), "{said}");
    scene.goes_on();
}

#[test]
fn what_is_verified_stays_so_until_the_key_changes() {
    let mut stage = Stage::talking();
    let options = stage.homes.options("alice", &stage.relay.address);
    let keys = |command: &[&str]| {
        let options = options.iter().map(String::as_str);
        Process::start(&command.iter().copied().chain(options).collect::<Vec<_>>()).end()
    };
    let [alice, bob] = ["alice", "bob"].map(|name| public(name).fingerprint());
    let number = sealwax::crypto::safety_number("bob", &bob, "alice", &alice);
    let wrong = number.replace(['0', '1'], "7");
    keys(&["keys", "verify", "bob", &wrong]).with_code(3);
    keys(&["keys", "verify", "carol", &number]).with_code(4);
    keys(&["keys", "verify", "bob", &number]).with_code(0);
    assert_eq!(keys(&["keys", "list"]).with_code(0).stdout[0], format!("bob {bob} verified"));
    // The running chat goes on, under --strict too from now on.
    assert_eq!(stage.goes_on(), [""; 0]);
    stage.alice.finish_input();
    let homes = stage.homes;
    stage.alice.end().with_code(0);
    let send = ["send", "bob", "strictly", "--strict"];
    homes.client("alice", &stage.relay.address, &send).end().with_code(0);
    assert_eq!(stage.bob.event("message")["text"], "strictly");

    keys(&["keys", "trust", "bob", &public("carol").fingerprint().to_string()]).with_code(0);
    let listed = keys(&["keys", "list"]).stdout;
    assert_eq!(listed[0], format!("bob {} tofu", public("carol").fingerprint()));
}

#[test]
fn in_a_chat_slash_verify_shows_the_number_and_marks_the_key() {
    let (homes, relay) = (Homes::new(), EvilRelay::start());
    let bob = chat(&homes, &relay, "bob");
    let mut alice = homes.client("alice", &relay.address, &["chat", "bob", "--strict"]);
    alice.talk_with("you are alice");
    alice.say("too early");
    alice.talk_with(" verify bob");
    alice.say("/verify bob");
    let shown = alice.talk_with("/verify bob ");
    let command = shown.rsplit_once("/verify").expect("found").1;
    alice.say(&format!("/verify{command}"));
    alice.talk_with("bob is verified");
    alice.say("now");
    assert_eq!(bob.event("message")["text"], "now");
    alice.end().with_code(3);
}
