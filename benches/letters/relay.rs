//! What letters cost a relay: processor time of its two threads, letters a second, how long the loop
//! stands still, memory.
//!
//! The relay cannot look into letters, so nothing is sealed; but they have the length of sealed ones.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{setsockopt, sockopt};
use nix::unistd::Pid;
use sealwax::limits::MLKEM_KEY;
use sealwax::reactor::{end_with_parent, raise_descriptor_limit};
use sealwax::relay::limits::{BOX_LETTERS, DELIVERY_LETTERS, LETTERS_A_SENDER, LETTERS_UNDER_WAY};
use sealwax::wire::{LetterKey, LetterKind, Prekey, TakeMode, compose};

use crate::server::{Server, Spent, Tick};
use crate::support::relay::{Account, Client};

/// What is sealed of a short text for a key of 3,072 bits, in characters of base64.
const CONTENT: usize = 3018;
const PEM: &str = include_str!("../../tests/data/alice.pem");
/// Boxes, each with an owner and a friend.
const BOXES: usize = 200;
/// Letters of a friend that a box takes: half of what it holds.
const OF_A_FRIEND: usize = 64;
/// Letters through the boxes in a steady state.
const STEADY: usize = 20_000;
/// Users who are counted while they say nothing, and as many before them, so that what all share,
/// such as the pages that SQLite keeps in memory, is there.
const IDLE: usize = 4000;

/// All that is measured, with one part in so many of the letters.
pub(crate) fn all(part: usize) {
    raise_descriptor_limit().expect("it can be read");
    let boxes = BOXES / part;
    costs(boxes);
    // As many as may have letters on their way at once.
    for pairs in [1, (LETTERS_UNDER_WAY / LETTERS_A_SENDER).min(boxes)] {
        steady(pairs, STEADY / part);
    }
    ticks(boxes);
    calls(boxes);
    slow_readers(boxes);
    for user in [User::Original, User::Suite1, User::Suite2, User::Taker] {
        idle(user, IDLE / part);
    }
    prekey_blocks();
}

/// A relay, owners of boxes who are away, and for each a friend, whom the owner wrote to.
struct Stage {
    server: Server,
    owners: Vec<Account>,
    friends: Vec<Client>,
    content: String,
    letters: usize,
}

impl Stage {
    fn new(boxes: usize, options: &[&str]) -> Self {
        let owners: Vec<_> = (0..boxes).map(|number| account("owner", number)).collect();
        let friends: Vec<_> = (0..boxes).map(|number| account("friend", number)).collect();
        let names = owners.iter().chain(&friends).map(|user| user.name.to_owned());
        let server = Server::start(&names.collect::<Vec<_>>(), &owners[0].pem(), options);
        let friends = friends.iter().map(|friend| enter(&server, friend)).collect();
        let mut stage = Self { server, owners, friends, content: "x".repeat(CONTENT), letters: 0 };
        for number in 0..boxes {
            let mut owner = enter(&stage.server, &stage.owners[number]);
            assert!(publish(&mut owner).contains("[]"), "nothing waits");
            owner.write(&compose::send_key(&format!("friend{number}"), "", "AAAA"));
            assert!(stage.friends[number].line().contains("send_key"));
        }
        stage
    }

    /// Each friend leaves as many letters as may be on their way at once, in the box that `to`
    /// says, by the friend's number and the letter's. As many friends at a time as there is room
    /// for.
    fn leave(&mut self, kind: LetterKind, to: impl Fn(usize, usize) -> usize) {
        let boxes = self.owners.len();
        let numbers: Vec<_> = (0..boxes).collect();
        for some in numbers.chunks(LETTERS_UNDER_WAY / LETTERS_A_SENDER) {
            for &friend in some {
                for letter in 0..LETTERS_A_SENDER {
                    self.letters += 1;
                    let (to, id) = (to(friend, letter) % boxes, self.letters.to_string());
                    let to = format!("owner{to}");
                    let letter = compose::letter(&to, "", &id, (kind, 1), &self.content);
                    self.friends[friend].write(&letter);
                }
            }
            for &friend in some {
                for _ in 0..LETTERS_A_SENDER {
                    let answer = self.friends[friend].line();
                    assert!(answer.contains("stored"), "{answer}");
                }
            }
        }
    }

    /// Each friend leaves in its own box what that takes of it.
    fn leave_texts(&mut self) {
        for _ in 0..OF_A_FRIEND / LETTERS_A_SENDER {
            self.leave(LetterKind::Text, |friend, _| friend);
        }
    }

    /// All owners are there, and do not take letters yet.
    fn owners(&self) -> Vec<Client> {
        self.owners.iter().map(|owner| enter(&self.server, owner)).collect()
    }
}

/// A name and a key; all have the same key, which is no matter of the relay.
fn account(kind: &str, number: usize) -> Account {
    Account::new(Box::leak(format!("{kind}{number}").into_boxed_str()), PEM)
}

fn enter(server: &Server, account: &Account) -> Client {
    let mut client = Client::connect(server.address);
    let answer = account.register(&mut client, sealwax::wire::RosterMode::None);
    assert_eq!(answer["action"], "registered", "{answer}");
    client
}

/// Publishes a letter key, and returns the answer.
fn publish(client: &mut Client) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let created = u64::try_from(now.expect("after 1970").as_millis()).expect("few");
    let created = created / 86_400_000 * 86_400_000;
    let expires = created + 90 * 86_400_000;
    let mlkem = Box::new([7; MLKEM_KEY]);
    let key =
        LetterKey { id: 1, created, expires, x25519: [8; 32], mlkem, signature: vec![9; 384] };
    client.write(&compose::letterbox(&key));
    loop {
        let answer = client.line();
        if answer.contains(r#""letterbox""#) {
            return answer;
        }
    }
}

/// Takes a letter, and acknowledges it.
fn take(owner: &mut Client) {
    let letter = owner.line();
    if letter.contains("letterbox_empty") {
        return take(owner);
    }
    let number = letter.rsplit_once(r#""box": "#).and_then(|it| it.1.strip_suffix('}'));
    let number = number.unwrap_or_else(|| panic!("no letter: {letter}"));
    owner.write(&compose::ack(number.parse().expect("a number")));
}

/// All owners take this many letters each, and all are deleted.
fn take_all(owners: &mut [Client], letters: usize) {
    for _ in 0..letters / DELIVERY_LETTERS {
        for owner in &mut *owners {
            (0..DELIVERY_LETTERS).for_each(|_| take(owner));
        }
    }
    for owner in owners {
        while !publish(owner).contains("[]") {}
    }
}

fn ask_for_letters(owners: &mut [Client]) {
    for owner in owners {
        owner.write(&compose::letters(TakeMode::All));
    }
}

fn print(what: &str, letters: usize, spent: &Spent) {
    let count = u32::try_from(letters).expect("few");
    let (main, storage) = (spent.threads.main / count, spent.threads.storage / count);
    let rate = f64::from(count) / spent.lasted.end.saturating_sub(spent.lasted.start).as_secs_f64();
    println!(
        "{what}: {letters} letters, {rate:.0} a second; processor time each: the loop {main:.1?}, \
         the storage thread {storage:.1?}"
    );
}

/// What a letter costs that is stored, and one that is delivered and acknowledged.
fn costs(boxes: usize) {
    let mut stage = Stage::new(boxes, &[]);
    let letters = boxes * OF_A_FRIEND;
    let meter = stage.server.meter();
    stage.leave_texts();
    print("stored", letters, &stage.server.since(&meter));
    let mut owners = stage.owners();
    let meter = stage.server.meter();
    ask_for_letters(&mut owners);
    take_all(&mut owners, OF_A_FRIEND);
    print("delivered and acknowledged", letters, &stage.server.since(&meter));
}

/// Letters that are left, taken and acknowledged all at once, through so many boxes.
fn steady(boxes: usize, letters: usize) {
    let mut stage = Stage::new(boxes, &[]);
    let mut owners = stage.owners();
    ask_for_letters(&mut owners);
    let (each, content) = (letters / boxes, &*stage.content);
    let meter = stage.server.meter();
    thread::scope(|scope| {
        let pairs = stage.friends.iter_mut().zip(&mut owners);
        for (number, (friend, owner)) in pairs.enumerate() {
            let (taken, may_leave) = channel();
            (0..LETTERS_A_SENDER).for_each(|_| taken.send(()).expect("it is there"));
            scope.spawn(move || {
                let to = format!("owner{number}");
                for letter in 0..each {
                    may_leave.recv().expect("as many as are taken");
                    if letter >= LETTERS_A_SENDER {
                        assert!(friend.line().contains("stored"));
                    }
                    let (id, kind) = (letter.to_string(), (LetterKind::Text, 1));
                    friend.write(&compose::letter(&to, "", &id, kind, content));
                }
                let left = each.min(LETTERS_A_SENDER);
                (0..left).for_each(|_| assert!(friend.line().contains("stored")));
            });
            scope.spawn(move || {
                for _ in 0..each {
                    take(owner);
                    let _ = taken.send(()); // the last ones allow nothing any more
                }
            });
        }
    });
    let what = format!("left, taken and acknowledged, boxes in use {boxes}");
    print(&what, each * boxes, &stage.server.since(&meter));
}

/// The longest that the loop stood still while letters were stored, and while as many messages of
/// the same length were passed on.
fn ticks(boxes: usize) {
    let mut stage = Stage::new(boxes, &["--trace=json"]);
    // Before all others, or it is measured how long these keep the processor.
    let [main, _] = stage.server.thread_numbers();
    let chrt = Command::new("chrt")
        .args(["--fifo", "--pid", "1", &main])
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .status();
    let how = if chrt.is_ok_and(|it| it.success()) { "real time" } else { "as any other" };
    println!("the loop's thread, traced, scheduled {how}:");
    let mut owners = stage.owners();
    let meter = stage.server.meter();
    for _ in 0..OF_A_FRIEND / LETTERS_A_SENDER {
        pass_on(&mut stage, &mut owners);
    }
    let messages = stage.server.since(&meter);
    drop(owners);
    let meter = stage.server.meter();
    stage.leave_texts();
    let stored = stage.server.since(&meter);
    let mut owners = stage.owners();
    let meter = stage.server.meter();
    ask_for_letters(&mut owners);
    take_all(&mut owners, OF_A_FRIEND);
    let delivered = stage.server.since(&meter);
    let all = stage.server.end();
    let letters = boxes * OF_A_FRIEND;
    for (what, spent) in [
        ("messages passed on", messages),
        ("letters stored", stored),
        ("letters delivered and acknowledged", delivered),
    ] {
        let is_within = |tick: &&Tick| spent.lasted.contains(&tick.began);
        let mut worked: Vec<_> = all.iter().filter(is_within).map(|tick| tick.worked).collect();
        worked.sort_unstable();
        let at = |percent: usize| worked.get((worked.len() * percent / 100).min(worked.len() - 1));
        let [half, most, longest] = [50, 99, 100].map(|percent| *at(percent).expect("some"));
        println!(
            "  {letters} {what}: {} ticks, half of them within {half:.1?}, 99 % within \
             {most:.1?}, the longest {longest:.1?}",
            worked.len()
        );
    }
}

/// Messages of the length of letters, as [`Stage::leave`] leaves these.
fn pass_on(stage: &mut Stage, owners: &mut [Client]) {
    let size = LETTERS_UNDER_WAY / LETTERS_A_SENDER;
    let pairs = stage.friends.chunks_mut(size).zip(owners.chunks_mut(size));
    for (part, (friends, owners)) in pairs.enumerate() {
        for (number, friend) in friends.iter_mut().enumerate() {
            let to = format!("owner{}", part * size + number);
            for id in 0..LETTERS_A_SENDER {
                let id = id.to_string();
                friend.write(&compose::message(&to, "", Some(&id), &stage.content));
            }
        }
        for (friend, owner) in friends.iter_mut().zip(owners) {
            for _ in 0..LETTERS_A_SENDER {
                assert!(friend.line().contains("relayed"));
                assert!(owner.line().contains("content"));
            }
        }
    }
}

/// Which thread waits for the disk, by strace.
fn calls(boxes: usize) {
    let mut stage = Stage::new(boxes, &[]);
    let log = tempfile::NamedTempFile::new().expect("a file");
    let pid = stage.server.pid().to_string();
    let mut strace = Command::new("strace");
    strace.args(["-f", "-e", "trace=fsync,fdatasync", "-p", &pid, "-o"]).arg(log.path());
    strace.stdin(Stdio::null()).stderr(Stdio::piped());
    let Ok(mut strace) = end_with_parent(&mut strace).spawn() else {
        println!("fsync and fdatasync: not counted, for strace is not installed");
        return;
    };
    let mut said = String::new();
    let mut stderr = BufReader::new(strace.stderr.take().expect("piped"));
    while !said.contains("attached") && stderr.read_line(&mut said).expect("text") > 0 {}
    stage.leave_texts();
    kill(Pid::from_raw(strace.id().try_into().expect("a pid")), Signal::SIGTERM).expect("it runs");
    strace.wait().expect("it ends");
    let log = std::fs::read_to_string(log.path()).expect("written");
    let [main, storage] = stage.server.thread_numbers().map(|thread| {
        let is_its =
            |line: &&str| line.split(' ').next() == Some(&thread) && line.contains("sync(");
        log.lines().filter(is_its).count()
    });
    println!(
        "fsync and fdatasync while {} letters were stored: the loop {main}, the storage thread {storage}",
        boxes * OF_A_FRIEND
    );
}

/// The relay's memory while full boxes are delivered to owners who do not read at first, and then
/// each some at a time.
fn slow_readers(boxes: usize) {
    let mut stage = Stage::new(boxes, &[]);
    stage.leave_texts();
    for round in 0..2 {
        stage.leave(LetterKind::Receipt, |friend, _| friend);
        // Of each stranger a box takes eight letters.
        stage.leave(LetterKind::Text, |friend, letter| friend + 1 + 2 * round + letter / 8);
    }
    let mut owners = stage.owners();
    receive_at_most(&owners, 4096);
    let before = stage.server.memory("VmRSS");
    stage.server.forget_peak();
    ask_for_letters(&mut owners);
    let mut threads = stage.server.threads();
    loop {
        thread::sleep(Duration::from_millis(500));
        let now = stage.server.threads();
        if std::mem::replace(&mut threads, now) == now {
            break;
        }
    }
    let unread = stage.server.memory("VmRSS");
    receive_at_most(&owners, 1024 * 1024);
    take_all(&mut owners, BOX_LETTERS as usize);
    let [before, unread, most] =
        [before, unread, stage.server.memory("VmHWM")].map(|bytes| bytes / 1024);
    println!(
        "{boxes} full boxes delivered to who does not read: resident {before} KiB before, {unread} \
         while nobody reads, at most {most} until all were taken"
    );
}

/// What the kernel keeps of what came for each of them, in bytes.
fn receive_at_most(owners: &[Client], bytes: usize) {
    for owner in owners {
        setsockopt(&owner.writer(), sockopt::RcvBuf, &bytes).expect("a socket");
    }
}

/// Users who say nothing.
#[derive(Clone, Copy, Debug)]
enum User {
    /// Of the original protocol.
    Original,
    /// With a prekey that has no ML-KEM key.
    Suite1,
    /// With one that has.
    Suite2,
    /// The same, who has published a letter key and takes letters.
    Taker,
}

/// What each of so many of them takes of the relay's memory.
fn idle(user: User, count: usize) {
    let mut template = account("idle", 0);
    let names: Vec<_> = (0..2 * count).map(|number| format!("idle{number}")).collect();
    // Original users bind none.
    let bound = if matches!(user, User::Original) { &[] } else { &*names };
    let server = Server::start(bound, &template.pem(), &[]);
    if matches!(user, User::Suite1) {
        template.prekey = Prekey { mlkem: None, ..template.prekey };
    }
    let mut come = |number: usize| {
        if matches!(user, User::Original) {
            return Client::original(server.address, &names[number]);
        }
        // The relay looks at the form of a prekey only, so one does for all.
        template.name = Box::leak(names[number].clone().into_boxed_str());
        let mut client = enter(&server, &template);
        if matches!(user, User::Taker) {
            publish(&mut client);
            client.write(&compose::letters(TakeMode::All));
            assert!(client.line().contains("letterbox_empty"));
        }
        client
    };
    let mut clients: Vec<_> = (0..count).map(&mut come).collect();
    let before = server.memory("VmRSS");
    clients.extend((count..2 * count).map(&mut come));
    let each = server.memory("VmRSS").saturating_sub(before) / count;
    println!("an idle user, {user:?}: {each} bytes (RSS, {count} users after as many)");
}

/// What the allocator hands out for a prekey, in bytes: it adds eight and rounds up to sixteen
/// (malloc(3), NOTES).
fn prekey_blocks() {
    let block = |bytes: usize| (bytes + 8).next_multiple_of(16);
    let (own, kem) = (block(size_of::<Prekey>()), block(MLKEM_KEY));
    for (bits, key, signature) in [(2048, 294, 256), (3072, 422, 384)] {
        let [key, signature] = [key, signature].map(block);
        println!(
            "blocks of a user with a key of {bits} bits: public key {key}; prekey {own}, its ML-KEM \
             key {kem}, its signature {signature}: {} together",
            key + own + kem + signature
        );
    }
}
