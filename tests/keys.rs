//! `sealwax keys` and the files that it keeps: as scripts and people use them.

#![allow(clippy::expect_used)] // a test says what it expects

mod support;

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::process::{Ended, Homes, Process, Relay, text};

const NOBODY: &str = "127.0.0.1:1";
/// Fingerprints of keys that nobody has.
const FP_A: &str = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const FP_B: &str = "SHA256:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";
const RELAY_LINE: &str = "127.0.0.1:9 ED25519:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n";

/// `sealwax keys COMMAND` of alice, with `input` on its standard input.
fn keys(homes: &Homes, command: &[&str], input: &str) -> Ended {
    with_input(homes.client("alice", NOBODY, &[&["keys"], command].concat()), input)
}

fn with_input(mut process: Process, input: &str) -> Ended {
    let _ = process.input().write_all(input.as_bytes()); // who refuses early does not read it
    process.end()
}

/// Puts alice's key under `passphrase`.
fn encrypt(homes: &Homes, passphrase: &str) {
    let command = ["passphrase", "--new-passphrase-fd", "0"];
    keys(homes, &command, &format!("{passphrase}\n")).with_code(0);
}

fn identity(homes: &Homes) -> PathBuf {
    homes.of("alice").join("identity.pem")
}

/// Makes a file of alice's home as we would.
fn write(homes: &Homes, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = homes.of("alice").join(name);
    fs::write(&path, bytes).expect("ours");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("ours");
    path
}

fn says(ended: &Ended, words: &str) {
    assert!(ended.stderr.iter().any(|line| line.contains(words)), "{words}: {ended:#?}");
}

fn objects(ended: &Ended) -> Vec<Value> {
    let parse = |line: &String| serde_json::from_str(line).expect("an object a line");
    ended.stdout.iter().map(parse).collect()
}

// --- The passphrase ---

#[test]
fn a_passphrase_is_set_changed_and_taken_away_and_the_key_stays_the_same() {
    let homes = Homes::new();
    let fp = keys(&homes, &["show"], "").with_code(0).stdout;
    let plain = fs::read(identity(&homes)).expect("a fixture");

    encrypt(&homes, "first");
    let sealed = fs::read_to_string(identity(&homes)).expect("PEM");
    assert!(sealed.contains("BEGIN ENCRYPTED PRIVATE KEY"), "{sealed}");
    assert_eq!(fs::metadata(identity(&homes)).expect("there").mode() & 0o777, 0o600);

    let both = ["passphrase", "--passphrase-fd", "0", "--new-passphrase-fd", "0", "--json"];
    let changed = keys(&homes, &both, "first\nsecond\n").with_code(0);
    assert_eq!(objects(&changed)[0]["encrypted"], true);
    keys(&homes, &both, "first\nthird\n").with_code(8);

    let remove = ["passphrase", "--remove", "--passphrase-fd", "0", "--json"];
    let removed = keys(&homes, &remove, "second\n").with_code(0);
    assert_eq!(objects(&removed)[0]["encrypted"], false);
    assert_eq!(fs::read(identity(&homes)).expect("there"), plain);
    assert_eq!(keys(&homes, &["show"], "").with_code(0).stdout, fp);
    let left = fs::read_dir(homes.of("alice")).expect("a home").count();
    assert_eq!(left, 1, "no draft stays");
}

#[test]
fn a_passphrase_that_is_none_or_does_not_open_the_key_is_code_8_and_changes_nothing() {
    let homes = Homes::new();
    encrypt(&homes, "right");
    let sealed = fs::read(identity(&homes)).expect("PEM");
    let long = format!("{}\n", "x".repeat(1025));
    let cases = [
        ("0", "wrong\n", "does not open the key"),
        ("0", "\n", "it is empty"),
        ("0", "", "it is empty"),
        ("0", long.as_str(), "longer than 1024 bytes"),
        ("99", "", "no passphrase on descriptor 99"),
    ];
    for (descriptor, input, words) in cases {
        let commands: [&[&str]; 3] = [
            &["keys", "passphrase", "--remove", "--passphrase-fd", descriptor],
            &["keys", "show", "--passphrase-fd", descriptor],
            &["recv", "--passphrase-fd", descriptor],
        ];
        for command in commands {
            let ended = with_input(homes.client("alice", NOBODY, command), input).with_code(8);
            says(&ended, words);
        }
    }
    for (descriptor, input) in [("0", "right\n\n"), ("99", "right\n"), ("0", "right")] {
        let command = ["passphrase", "--passphrase-fd", "0", "--new-passphrase-fd", descriptor];
        keys(&homes, &command, input).with_code(8);
    }
    assert_eq!(fs::read(identity(&homes)).expect("still there"), sealed);
}

#[test]
fn a_number_that_was_not_given_to_us_is_closed_even_where_we_open_files_of_our_own() {
    let homes = Homes::new();
    // 3 is the first that we would take: the home, or the lock file with our process id in it.
    for descriptor in ["3", "4", "5", "6"] {
        let ended = homes.client("alice", NOBODY, &["recv", "--passphrase-fd", descriptor]).end();
        says(&ended.with_code(8), &format!("no passphrase on descriptor {descriptor}"));
    }
}

#[test]
fn without_a_passphrase_and_a_terminal_an_encrypted_key_is_code_8_and_says_what_to_give() {
    let homes = Homes::new();
    encrypt(&homes, "secret");
    let ended = homes.client("alice", NOBODY, &["send", "bob", "hi"]).end().with_code(8);
    says(&ended, "--passphrase-fd N");
    says(&keys(&homes, &["passphrase", "--remove"], "").with_code(8), "--passphrase-fd N");
    let new = ["passphrase", "--passphrase-fd", "0"];
    says(&keys(&homes, &new, "secret\n").with_code(8), "--new-passphrase-fd N");
}

#[test]
fn an_encrypted_key_talks_and_the_passphrase_is_the_first_line_of_the_input() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    encrypt(&homes, "secret");
    let bob = homes.client("bob", &relay.address, &["recv", "-n", "1"]);
    bob.talk_with("you are bob");
    let send = homes.client("alice", &relay.address, &["send", "bob", "--passphrase-fd", "0"]);
    with_input(send, "secret\nfor bob\n").with_code(0);
    assert_eq!(bob.end().with_code(0).stdout, ["alice: for bob"]);
}

#[test]
fn only_who_opens_the_key_needs_its_passphrase() {
    let homes = Homes::new();
    let own = keys(&homes, &["show"], "").with_code(0).stdout;
    encrypt(&homes, "secret");
    assert_eq!(keys(&homes, &["show"], "").with_code(0).stdout, own);
    keys(&homes, &["list"], "").with_code(0);
    keys(&homes, &["trust", "bob", FP_A], "").with_code(0);
    let ended = keys(&homes, &["verify", "bob"], "").with_code(3);
    keys(&homes, &["verify", "bob", &number(&ended)], "").with_code(0);
    keys(&homes, &["untrust", "bob"], "").with_code(0);
}

#[test]
fn a_key_that_others_have_encrypted_says_nothing_before_it_is_opened() {
    let homes = Homes::new();
    let own = keys(&homes, &["show"], "").with_code(0).stdout;
    let theirs = include_bytes!("data/alice-encrypted.pem");
    write(&homes, "identity.pem", theirs);
    says(&keys(&homes, &["show"], "").with_code(8), "--passphrase-fd N");
    let opened = keys(&homes, &["show", "--passphrase-fd", "0"], "correct\n").with_code(0);
    assert_eq!(opened.stdout, own);
}

// --- At a terminal ---

/// Runs alice's `sealwax COMMAND` on a terminal: waits for words, types answers. What it showed.
fn at_a_terminal(homes: &Homes, command: &[&str], dialogue: &[(&str, &str)]) -> Ended {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/terminal.py");
    let dialogue = serde_json::to_string(dialogue).expect("JSON");
    let mut python = Command::new("python3");
    python.args([script, &dialogue, env!("CARGO_BIN_EXE_sealwax")]).args(command);
    Process::spawn(python.args(homes.options("alice", NOBODY))).end()
}

#[test]
fn at_a_terminal_passphrases_are_asked_for_and_not_shown() {
    let homes = Homes::new();
    let new = [("New passphrase: ", "geheim\n"), ("The same again: ", "geheim\n")];
    let set = at_a_terminal(&homes, &["keys", "passphrase"], &new).with_code(0);
    let other = [("Passphrase of ", "geheim\n"), ("New", "one\n"), ("The same again", "two\n")];
    let differs = at_a_terminal(&homes, &["keys", "passphrase"], &other).with_code(8);
    let tries = [("Passphrase of ", "no\n"), ("Passphrase of ", "geheim\n")];
    let removed = at_a_terminal(&homes, &["keys", "passphrase", "--remove"], &tries).with_code(0);
    for shown in [set, differs, removed] {
        assert!(!shown.stdout.concat().contains("geheim"), "{shown:#?}");
    }
}

#[test]
fn a_chat_asks_too_and_ctrl_c_or_three_wrong_answers_end_it_with_8() {
    let homes = Homes::new();
    encrypt(&homes, "geheim");
    let wrong = [("Passphrase of ", "no\n"); 3];
    let ended = at_a_terminal(&homes, &["recv"], &wrong).with_code(8);
    assert!(ended.stdout.concat().contains("does not open the key"), "{ended:#?}");
    let ended = at_a_terminal(&homes, &["recv"], &[("Passphrase of ", "ge\x03")]).with_code(8);
    assert!(ended.stdout.concat().contains("interrupted"), "{ended:#?}");
    let dialogue = [("Passphrase of ", "geheim\n"), ("cannot be reached", "/quit\n")];
    at_a_terminal(&homes, &["chat"], &dialogue).with_code(0);
}

#[test]
fn at_a_terminal_verify_shows_a_qr_code_and_asks() {
    let homes = Homes::new();
    keys(&homes, &["trust", "bob", FP_A], "").with_code(0);
    let no = at_a_terminal(&homes, &["keys", "verify", "bob"], &[("yes or no", "no\n")]);
    let blocks = no.stdout.iter().filter(|line| line.contains("\x1b[40;97m")).count();
    assert_eq!(blocks, 17, "{no:#?}");
    no.with_code(3);
    at_a_terminal(&homes, &["keys", "verify", "bob"], &[("yes or no", "yes\n")]).with_code(0);
    assert_eq!(objects(&keys(&homes, &["list", "--json"], ""))[0]["trust"], "verified");
}

// --- Whose keys are known ---

/// The safety number that a `keys verify` has shown.
fn number(ended: &Ended) -> String {
    let digits = |line: &&String| line.split(' ').filter(|group| group.len() == 5).count() == 12;
    ended.stderr.iter().find(digits).expect("the number").clone()
}

#[test]
fn a_key_is_trusted_verified_replaced_and_forgotten() {
    let homes = Homes::new();
    let trust = |fp| keys(&homes, &["trust", "bob", fp, "--json"], "").with_code(0);
    assert_eq!(objects(&trust(FP_A))[0]["trust"], "tofu");

    let shown = keys(&homes, &["verify", "bob"], "").with_code(3);
    says(&shown, "sealwax keys verify NAME NUMBER");
    let number = number(&shown);
    let wrong = if number.starts_with('0') { "1" } else { "0" }.to_owned() + &number[1..];
    says(&keys(&homes, &["verify", "bob", &wrong], "").with_code(3), "THIS IS NOT the number");
    let verified = keys(&homes, &["verify", "bob", &number, "--json"], "").with_code(0);
    assert_eq!(objects(&verified)[0]["trust"], "verified");

    assert_eq!(objects(&trust(FP_A))[0]["trust"], "verified", "the same key stays compared");
    assert_eq!(objects(&trust(FP_B))[0]["trust"], "tofu");
    let listed = keys(&homes, &["list"], "").with_code(0);
    assert_eq!(listed.stdout, [format!("bob {FP_B} tofu")]);

    let forgotten = keys(&homes, &["untrust", "bob", "--json"], "").with_code(0);
    assert_eq!(objects(&forgotten)[0]["trust"], Value::Null);
    for command in [&["untrust", "bob"][..], &["verify", "bob"]] {
        says(&keys(&homes, command, "").with_code(4), "no key of bob is known");
    }
    assert!(keys(&homes, &["list"], "").with_code(0).stdout.is_empty());
}

#[test]
fn what_is_no_fingerprint_is_code_2_and_what_is_no_name_code_6() {
    let homes = Homes::new();
    says(&keys(&homes, &["trust", "bob", "SHA256:x"], "").with_code(2), "SHA256:x");
    keys(&homes, &["trust", "No Name", FP_A], "").with_code(6);
    says(&keys(&homes, &["verify", "\x1b[2J"], "").with_code(4), "no key of");
    assert!(!homes.of("alice").join("known_peers").exists());
}

#[test]
fn a_relay_is_listed_by_its_address_and_forgotten_by_it() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let alice = homes.client("alice", &relay.address, &["recv"]);
    alice.talk_with("you are alice");
    let listed = objects(&keys(&homes, &["list", "--json"], "").with_code(0));
    assert_eq!(listed[0]["relay"], relay.address.as_str());
    let key = listed[0]["key"].as_str().expect("a key").to_owned();
    assert!(key.starts_with("ED25519:"), "{key}");
    let plain = keys(&homes, &["list"], "").with_code(0).stdout;
    assert_eq!(plain, [format!("{} {key}", relay.address)]);

    let forgotten = keys(&homes, &["untrust", &relay.address], "").with_code(0);
    assert!(forgotten.stdout[0].contains(&key), "{forgotten:?}");
    assert!(keys(&homes, &["list"], "").with_code(0).stdout.is_empty());
    keys(&homes, &["untrust", &relay.address], "").with_code(4);
}

/// Whose key is not known, but that it speaks TLS: so `--plain` to it is refused, and this is what
/// one is told to do.
#[test]
fn a_relay_of_which_only_a_mark_is_known_is_forgotten_too() {
    let homes = Homes::new();
    let marks = write(&homes, "known_marks", "127.0.0.1:9 tls\nlocalhost:9 tls\n");
    let forgotten = keys(&homes, &["untrust", "127.0.0.1:9"], "").with_code(0);
    assert!(forgotten.stdout[0].contains("that the relay 127.0.0.1:9 speaks TLS is forgotten"));
    let forgotten = keys(&homes, &["untrust", "LOCALHOST:9", "--json"], "").with_code(0);
    assert_eq!(objects(&forgotten)[0]["relay"], "localhost:9");
    assert_eq!(objects(&forgotten)[0]["key"], Value::Null);
    assert_eq!(fs::read_to_string(marks).expect("there"), "");
    keys(&homes, &["untrust", "127.0.0.1:9"], "").with_code(4);
}

#[test]
fn a_relay_with_another_key_is_refused_with_the_command_that_lets_it_in() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    write(&homes, "known_relays", RELAY_LINE.replace("127.0.0.1:9", &relay.address));
    let refused = homes.client("alice", &relay.address, &["recv"]).end().with_code(5);
    let home = homes.of("alice");
    let command = format!("sealwax keys --home {} untrust {}", text(&home), relay.address);
    says(&refused, &command);
    keys(&homes, &["untrust", &relay.address], "").with_code(0);
    homes.client("alice", &relay.address, &["recv"]).talk_with("you are alice");
}

#[test]
fn damaged_lines_are_named_and_kept_and_not_obeyed() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let peers = format!("# mine\nbob {FP_A} 1 trusted\ncarol {FP_A} 1 tofu\ncarol {FP_B} 1 tofu\n");
    let peers = write(&homes, "known_peers", peers);
    let relays = write(&homes, "known_relays", format!("{RELAY_LINE}half a li"));
    let marks = write(&homes, "known_marks", format!("{} ssl\n", relay.address));
    let listed = keys(&homes, &["list"], "").with_code(0);
    assert_eq!(listed.stdout, [&format!("carol {FP_A} tofu"), RELAY_LINE.trim_end()]);
    for words in ["peers: line 2", "peers: line 4", "relays: line 2", "marks: line 1"] {
        says(&listed, &format!("known_{words}"));
    }
    keys(&homes, &["verify", "bob"], "").with_code(4);
    keys(&homes, &["trust", "bob", FP_B], "").with_code(0);
    keys(&homes, &["untrust", "carol"], "").with_code(0);
    let kept = fs::read_to_string(&peers).expect("there");
    // The second line of carol would have been her pin at the next reading.
    assert!(kept.starts_with(&format!("# mine\nbob {FP_A} 1 trusted\nbob {FP_B} ")), "{kept}");

    let chat = homes.client("alice", &relay.address, &["chat", "--json"]);
    let mut details = [(); 3].map(|()| {
        let warning = chat.event("warning");
        assert_eq!(warning["code"], "trust_file");
        warning["detail"].as_str().expect("a detail").to_owned()
    });
    details.sort();
    assert!(details[0].contains("known_marks") && details[0].ends_with("line 1"), "{details:?}");
    assert!(details[1].contains("known_peers") && details[1].contains("line 2"), "{details:?}");
    assert!(details[2].contains("known_relays") && details[2].ends_with("line 2"), "{details:?}");
    assert!(fs::read_to_string(relays).expect("there").contains("half a li"));
    let marks = fs::read_to_string(marks).expect("there");
    assert_eq!(marks, format!("{0} ssl\n{0} tls\n", relay.address));
}

// --- Files that are not as they should be ---

/// What is wrong with an identity file; the words that say so.
type Spoil = (&'static str, fn(&Path));

const SPOILS: [Spoil; 9] = [
    ("open to other users", |path| {
        fs::set_permissions(path, fs::Permissions::from_mode(0o604)).expect("ours");
    }),
    ("belongs to the user with id 12345", |path| {
        chown(path, Some(12345), None).expect("the tests run as root");
    }),
    ("is a symbolic link", |path| {
        let elsewhere = path.with_extension("elsewhere");
        fs::rename(path, &elsewhere).expect("ours");
        symlink(elsewhere, path).expect("ours");
    }),
    ("is a symbolic link", |path| {
        fs::remove_file(path).expect("ours");
        symlink("/nowhere/identity.pem", path).expect("ours");
    }),
    ("is not a regular file", |path| {
        fs::remove_file(path).expect("ours");
        fs::DirBuilder::new().mode(0o700).create(path).expect("ours");
    }),
    ("not the PKCS#8 PEM", |path| {
        let whole = fs::read(path).expect("ours");
        fs::write(path, &whole[..whole.len() / 2]).expect("ours");
    }),
    ("not the PKCS#8 PEM", |path| fs::write(path, "").expect("ours")),
    ("not the PKCS#8 PEM", |path| fs::write(path, [0xff; 2000]).expect("ours")),
    ("longer than", |path| fs::write(path, vec![b'x'; 20_000]).expect("ours")),
];

#[test]
fn an_identity_file_that_cannot_be_used_is_code_8_and_stays_as_it_is() {
    let commands: [&[&str]; 4] = [
        &["recv"],
        &["keys", "show"],
        &["keys", "passphrase", "--remove"],
        &["keys", "passphrase", "--new-passphrase-fd", "0"],
    ];
    for (words, spoil) in SPOILS {
        let homes = Homes::new();
        if words.contains("belongs") && !nix::unistd::geteuid().is_root() {
            continue; // only root can give a file away
        }
        let path = identity(&homes);
        spoil(&path);
        let state = |path: &Path| {
            let state = fs::symlink_metadata(path).expect("still there");
            (state.ino(), state.mode(), state.uid(), state.size(), state.mtime_nsec())
        };
        let before = state(&path);
        for command in commands {
            let client = homes.client("alice", NOBODY, command);
            says(&with_input(client, "secret\n").with_code(8), words);
        }
        assert_eq!(state(&path), before, "{words}");
    }
}

#[test]
fn a_trust_file_that_cannot_be_used_is_code_8_and_stays_as_it_is() {
    let homes = Homes::new();
    let line = format!("bob {FP_A} 1 verified\n");
    let peers = write(&homes, "known_peers", &line);
    let commands: [&[&str]; 4] =
        [&["list"], &["trust", "bob", FP_B], &["untrust", "bob"], &["verify", "bob"]];
    fs::set_permissions(&peers, fs::Permissions::from_mode(0o622)).expect("ours");
    for command in commands {
        says(&keys(&homes, command, "").with_code(8), "open to other users");
    }
    let elsewhere = peers.with_extension("elsewhere");
    fs::rename(&peers, &elsewhere).expect("ours");
    symlink(&elsewhere, &peers).expect("ours");
    for command in commands {
        says(&keys(&homes, command, "").with_code(8), "is a symbolic link");
    }
    assert!(peers.is_symlink());
    assert_eq!(fs::read_to_string(elsewhere).expect("there"), line);
}

#[test]
fn a_home_that_others_may_enter_is_code_8() {
    let homes = Homes::new();
    let home = homes.of("alice");
    fs::set_permissions(&home, fs::Permissions::from_mode(0o711)).expect("ours");
    for command in [&["show"][..], &["list"], &["passphrase", "--remove"]] {
        says(&keys(&homes, command, "").with_code(8), "chmod go= ");
    }
}

#[test]
fn without_a_key_there_is_nothing_to_show_and_none_is_made() {
    let homes = Homes::new();
    let home = homes.path("new");
    for command in [&["show"][..], &["passphrase", "--remove"]] {
        let arguments = [&["keys"], command, &["--name", "dave", "--home", text(&home)]].concat();
        says(&Process::start(&arguments).end().with_code(8), "there is no key yet");
    }
    assert_eq!(fs::read_dir(&home).expect("a home").count(), 0);
}

// --- Memory ---

/// `sealwax` as a user without rights, and with files that are that user's: root is refused little,
/// so that a test that runs as root would see nothing.
struct Unprivileged {
    program: PathBuf,
    user: u32,
}

impl Unprivileged {
    /// Gives alice's home to that user, where that can be done.
    fn new(homes: &Homes) -> Self {
        let user =
            if nix::unistd::geteuid().is_root() { 65534 } else { nix::unistd::geteuid().as_raw() };
        // Wherever the program was built: who may see this directory may run the copy in it.
        let program = homes.path("sealwax");
        fs::copy(env!("CARGO_BIN_EXE_sealwax"), &program).expect("copied");
        homes.of("alice");
        let folder = homes.path("");
        for path in [folder.clone(), program.clone(), homes.of("alice"), identity(homes)] {
            chown(path, Some(user), Some(user)).expect("ours to give");
        }
        Self { program, user }
    }

    /// What `shell` prints, with `$0` as the program.
    fn shell(&self, shell: &str, arguments: &[String]) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", shell]).arg(&self.program).args(arguments);
        Process::spawn(command.uid(self.user).gid(self.user))
    }
}

#[test]
fn a_client_dumps_no_core_and_is_closed_to_others_of_its_user() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let user = Unprivileged::new(&homes);
    let options = homes.options("alice", &relay.address);
    let chat = user.shell(r#"exec "$0" chat --json "$@""#, &options);
    chat.event("registered");
    let process = PathBuf::from(format!("/proc/{}", chat.pid()));
    let limits = fs::read_to_string(process.join("limits")).expect("proc(5)");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    // The files of a process that must not be dumped belong to root (proc(5)).
    assert_eq!(fs::metadata(process.join("environ")).expect("proc(5)").uid(), 0);
    let relay = PathBuf::from(format!("/proc/{}", relay.process.pid()));
    assert_eq!(
        fs::metadata(relay.join("environ")).expect("proc(5)").uid(),
        nix::unistd::geteuid().as_raw(),
        "a relay keeps no user's key"
    );
}

#[test]
fn who_is_closed_to_others_still_uses_its_own_streams_and_descriptors() {
    let (homes, relay) = (Homes::new(), Relay::ephemeral());
    let user = Unprivileged::new(&homes);
    let options = homes.options("alice", &relay.address);
    let bob = homes.client("bob", &relay.address, &["recv", "-n", "3"]);
    bob.talk_with("you are bob");

    // Pipes and files of that user, files given to it by root, and a passphrase on each of them.
    let set = r#"echo secret | "$0" keys passphrase --new-passphrase-fd 0 "$@" | cat"#;
    assert!(user.shell(set, &options).end().with_code(0).stdout[0].contains("new passphrase"));
    let file = format!("echo secret >{0} && exec 5<{0}", text(&homes.path("note")));
    let sends = [
        r#"echo one | "$0" send bob --passphrase-fd 5 "$@" 2>&1 | cat"#.to_owned(),
        r#"{ echo secret; echo two; } | "$0" send bob --passphrase-fd 0 "$@" | cat"#.to_owned(),
        r#"exec "$0" send bob --passphrase-fd 5 "$@""#.to_owned(),
    ];
    for send in sends {
        with_input(user.shell(&format!("{file}; {send}"), &options), "three\n").with_code(0);
    }
    assert_eq!(bob.end().with_code(0).stdout, ["alice: one", "alice: two", "alice: three"]);
}
