//! What a relay keeps in its home: state that was there and is gone, files and their modes, a disk
//! that is full when it starts, and a directory that strangers try to fill. Processes and sockets.

#![allow(clippy::expect_used)] // a test says what it expects

mod support;

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use sealwax::limits::{MAX_NAMES_PER_KEY, MLKEM_KEY};
use sealwax::relay::limits::BINDINGS_BURST;
use sealwax::wire::{LetterKey, LetterKind, RosterMode, TakeMode, compose};
use serde_json::{Value, json};
use support::disk::Disk;
use support::process::{Ended, Homes, Process, Relay, text};
use support::relay::{Account, Client};

/// Registers, and gives the answer; an error may come before a challenge or after it.
fn answer(client: &mut Client, account: &Account) -> Value {
    client.send(&account.claim(RosterMode::None));
    let first = client.line();
    if first.contains("\"challenge\"") {
        client.send(&account.prove(&first));
        return client.frame();
    }
    serde_json::from_str(&first).expect("a frame")
}

fn comes_in(relay: &Relay, account: &Account) -> Value {
    answer(&mut Client::connect(relay.address.parse().expect("an address")), account)
}

fn named(name: &str, pem: &str) -> Account {
    Account::new(name.to_owned().leak(), pem)
}

fn stop(relay: Relay) {
    relay.process.signal(Signal::SIGTERM);
    relay.process.end().with_code(0);
}

fn serve(home: &Path) -> Ended {
    Process::start(&["serve", "--listen", "127.0.0.1:0", "--home", text(home)]).end()
}

fn names(home: &Path, command: &[&str]) -> Ended {
    Process::start(&[&["names", "--home", text(home)], command].concat()).end()
}

/// The relay does not start, and says both ways out. Then it is made anew, and it starts.
fn gone_and_made_anew(home: &Path, file: &str, meaning: &str) -> Relay {
    let said = serve(home).with_code(1).stderr.join("\n");
    for words in [file, "gone", "restore", "sealwax names recreate --home"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let made = names(home, &["recreate"]).with_code(0);
    assert!(made.stdout[0].starts_with(file) && made.stdout[0].contains(meaning), "{made:?}");
    Relay::at_home(home)
}

#[test]
fn names_or_a_key_that_are_gone_are_an_error_that_names_both_ways_out() {
    let homes = Homes::new();
    let home = homes.path("relay");
    let relay = Relay::at_home(&home);
    let (alice, mallory) =
        (Account::alice(), Account::new("alice", support::fixtures::pem("bob").leak()));
    assert_eq!(comes_in(&relay, &alice)["action"], "registered");
    stop(relay);
    names(&home, &["recreate"]).with_code(1); // nothing is missing

    fs::remove_file(home.join("relay.key")).expect("it is there");
    let relay = gone_and_made_anew(&home, "relay.key", "refuse");
    assert_eq!(comes_in(&relay, &mallory)["code"], "name_bound", "the names are kept");
    assert!(names(&home, &["recreate"]).with_code(1).stderr[0].contains("holds"), "it runs");
    stop(relay);

    fs::remove_file(home.join("names.sqlite")).expect("it is there");
    assert!(names(&home, &["list"]).with_code(1).stderr[0].contains("restore"));
    stop(gone_and_made_anew(&home, "names.sqlite", "free"));
    fs::write(home.join("names.sqlite"), "").expect("it is ours");
    let relay = gone_and_made_anew(&home, "names.sqlite", "free");
    assert_eq!(comes_in(&relay, &mallory)["action"], "registered");
}

#[test]
fn a_first_start_that_was_cut_short_is_begun_again() {
    let homes = Homes::new();
    let home = homes.path("relay");
    stop(Relay::at_home(&home));
    fs::remove_file(home.join("relay.key")).expect("it is there"); // no name is bound yet
    stop(Relay::at_home(&home));
}

#[test]
fn an_identity_that_is_gone_is_an_error_and_no_reason_for_another() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let chat = || homes.client("alice", &relay.address, &["chat", "--json"]);
    let first = chat();
    first.event("registered");
    first.end();
    fs::remove_file(homes.of("alice").join("identity.pem")).expect("it is there");
    let said = chat().end().with_code(8).stderr.join("\n");
    for words in ["identity.pem", "restore", "remove", "/name"] {
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn files_of_a_home_are_ours_alone_whatever_the_umask() {
    for umask in ["0", "0277", "0777"] {
        let homes = Homes::new();
        let home = homes.path("a/relay");
        fs::create_dir(homes.path("a")).expect("a directory");
        let script = format!("umask {umask}; exec \"$0\" serve --listen 127.0.0.1:0 --home \"$1\"");
        let mut command = Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_sealwax"), text(&home)]);
        let relay = Relay::of(Process::spawn(&mut command));
        assert_eq!(comes_in(&relay, &Account::alice())["action"], "registered");
        let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode();
        assert_eq!(mode(&home) & 0o777, 0o700, "{umask}");
        let files: Vec<_> =
            fs::read_dir(&home).expect("ours").map(|file| file.expect("one").path()).collect();
        assert!(files.len() >= 5, "key, lock, names, and what SQLite has beside them: {files:?}");
        for file in files {
            assert_eq!(mode(&file) & 0o777, 0o600, "{umask}: {}", file.display());
        }
    }
}

#[test]
fn a_disk_that_is_full_at_the_start_is_no_outage_for_those_who_are_known() {
    known_users_come_in("disk", Disk::fill, Disk::make_room);
}

#[test]
fn nor_is_one_that_was_made_read_only() {
    let protect = |disk: &Disk| disk.remount("ro");
    known_users_come_in("a disk?", protect, |disk| disk.remount("rw"));
}

#[test]
fn a_letter_for_which_the_disk_has_no_room_is_refused_and_kept_when_it_has() {
    let homes = Homes::new();
    let at = homes.path("disk");
    let Some(disk) = Disk::mount(&at) else { return };
    let relay = Relay::at_home(&at.join("home"));
    let enter = |account: &Account| {
        let mut client = Client::connect(relay.address.parse().expect("an address"));
        assert_eq!(answer(&mut client, account)["action"], "registered");
        client
    };
    let (mut alice, mut bob) = (enter(&Account::alice()), enter(&Account::bob()));
    let (mlkem, signature) = (Box::new([7; MLKEM_KEY]), vec![9; 384]);
    let created = u64::MAX / 4; // whatever the clock says, it has not expired
    let expires = created + 1;
    let key = LetterKey { id: 1, created, expires, x25519: [8; 32], mlkem, signature };
    bob.write(&compose::letterbox(&key));
    assert_eq!(bob.frame()["action"], "letterbox");
    let mut store = |id: &str| {
        let content = "A".repeat(20_000);
        let kind = (LetterKind::Text, 1);
        alice.write(&compose::letter("bob", "alice", id, kind, &content));
        alice.frame()
    };
    assert_eq!(store("1")["action"], "stored");
    disk.fill();
    // The log of the database may have room for some.
    let mut more = (2..100).map(|id| store(&id.to_string()));
    let refused = more.find(|answer| answer["action"] != "stored");
    let refused = refused.expect("one is");
    assert_eq!(refused["code"], "store_failed", "{refused}");
    let id = refused["id"].as_str().expect("a text").to_owned();
    disk.make_room();
    assert_eq!(store(&id)["action"], "stored");
    bob.write(&compose::letters(TakeMode::All));
    let kept: usize = id.parse().expect("a number");
    for expected in 1..=kept {
        assert_eq!(bob.frame()["id"], expected.to_string());
    }
    assert_eq!(bob.frame()["action"], "letterbox_empty");
    stop(relay);
}

/// Those who are known come in although the disk was spoiled before the start, and others once it
/// is mended.
fn known_users_come_in(name: &str, spoil: impl Fn(&Disk), mend: impl Fn(&Disk)) {
    let homes = Homes::new();
    let at = homes.path(name);
    let Some(disk) = Disk::mount(&at) else { return };
    let (alice, bob) = (Account::alice(), Account::bob());
    let thief = named("alice", &support::fixtures::pem("bob"));
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let home = at.join(signal.as_str());
        let relay = Relay::at_home(&home);
        assert_eq!(comes_in(&relay, &alice)["action"], "registered");
        relay.process.signal(signal);
        relay.process.end();
        spoil(&disk);
        let relay = Relay::at_home(&home);
        assert_eq!(comes_in(&relay, &alice)["action"], "registered", "{signal}");
        assert_eq!(comes_in(&relay, &thief)["code"], "name_bound", "{signal}");
        assert_eq!(comes_in(&relay, &bob)["code"], "directory_full", "{signal}");
        mend(&disk);
        assert_eq!(comes_in(&relay, &bob)["action"], "registered", "{signal}");
        stop(relay);
        let kept = names(&home, &["list"]).with_code(0).stdout;
        assert!(kept.len() == 2 && kept[1].starts_with("bob "), "{kept:?}");
    }
}

#[test]
fn one_address_binds_so_many_new_names_and_known_ones_come_in_all_the_same() {
    let homes = Homes::new();
    let home = homes.path("relay");
    let relay = Relay::start(&["--home", text(&home), "--rates-loopback", "--log", "json"]);
    let address = relay.address.parse().expect("an address");
    let (pem, bobs) = (support::fixtures::pem("alice"), support::fixtures::pem("bob"));
    let from = |last, account: &Account| {
        answer(&mut Client::connect_from(Ipv4Addr::new(127, 0, 0, last), address), account)
    };
    let mut bound = 0;
    let most = BINDINGS_BURST as usize + 1;
    let refused = (0..most).find_map(|number| {
        // One key has few names, so they are released again: that makes the attack no dearer.
        if number > 0 && number % MAX_NAMES_PER_KEY == 0 && number < most - 1 {
            let released = names(&home, &["release", "--unused-since", "2999-01-01", "--yes"]);
            assert_eq!(released.with_code(0).stdout.len(), MAX_NAMES_PER_KEY);
            relay.process.signal(Signal::SIGHUP);
            for _ in 0..MAX_NAMES_PER_KEY {
                relay.process.talk_with("\"event\":\"released\"");
            }
        }
        let pem = if number < most - 1 { &pem } else { &bobs };
        let answer = from(1, &named(&format!("name{number}"), pem));
        bound += usize::from(answer["action"] == "registered");
        (answer["code"] == "directory_full").then_some(answer)
    });
    let refused = refused.expect("the last one is");
    assert!(refused["detail"].as_str().is_some_and(|detail| detail.contains("your network")));
    assert_eq!(bound, BINDINGS_BURST as usize);
    let last = format!("name{}", bound - 1);
    assert_eq!(from(1, &named(&last, &pem))["action"], "registered", "it is known");
    assert_eq!(from(2, &Account::bob())["action"], "registered", "another address");
}

#[test]
fn names_that_were_not_used_for_long_are_shown_first_and_released_on_consent() {
    let homes = Homes::new();
    let home = homes.path("relay");
    let relay = Relay::at_home(&home);
    assert_eq!(comes_in(&relay, &Account::alice())["action"], "registered");
    let listed = names(&home, &["list", "--json"]).with_code(0).stdout;
    let alice: Value = serde_json::from_str(&listed[0]).expect("JSON");
    assert_eq!(alice["bound"], alice["last_used"]);
    let today = alice["bound"].as_str().expect("a date").to_owned();
    let unused = |when: &str, consent: &[&str]| {
        let command = [&["release", "--unused-since", when], consent].concat();
        names(&home, &command).with_code(0)
    };
    for when in [today.as_str(), "0d", "90d"] {
        assert!(unused(when, &["--yes"]).stdout.is_empty(), "{when}: it was used since");
    }
    let shown = unused("2999-12-31", &[]);
    assert_eq!(shown.stdout, names(&home, &["list"]).with_code(0).stdout);
    assert!(shown.stderr[0].contains("1 names") && shown.stderr[0].contains("--yes"), "{shown:?}");
    assert_eq!(
        unused("2999-12-31", &["--yes", "--json"]).stdout,
        [json!({"name": "alice", "fp": alice["fp"], "letters": 0}).to_string()]
    );
    assert!(names(&home, &["list"]).with_code(0).stdout.is_empty());
    for wrong in [&["--unused-since", "soon"][..], &["--unused-since", "2026-02-30"], &[]] {
        names(&home, &[&["release"], wrong].concat()).with_code(2);
    }
    names(&home, &["release", "bob", "--unused-since", "9d"]).with_code(2);
}

#[test]
fn who_is_root_on_a_services_home_is_not_told_to_take_it_away() {
    let homes = Homes::new();
    let home = homes.path("relay");
    stop(Relay::at_home(&home));
    if std::os::unix::fs::chown(&home, Some(12345), Some(12345)).is_err() {
        return println!("not run: only root can give a directory away");
    }
    for ended in [names(&home, &["list"]), serve(&home)] {
        let said = ended.with_code(1).stderr.join("\n");
        assert!(said.contains("sudo -u '#12345'") && !said.contains("chown"), "{said}");
    }
}
