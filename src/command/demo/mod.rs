//! `sealwax demo`: a relay and two users in one process, and what the relay sees of them.
//!
//! Everything is real: the relay listens on a free port of loopback, the users make their keys,
//! connect, and talk as they would from two machines. Each of the three runs its own loop on a
//! thread of its own (`actor.rs`), and what passes the relay's sockets is copied on its way in
//! (`tap.rs`). All of them report to this thread, which prints (`stage.rs`) what is said beside
//! what the relay read, and at the end what the relay could know (`seen.rs`).

mod actor;
mod seen;
mod stage;
mod tap;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use self::actor::Actor;
use self::stage::Stage;
use self::tap::Tap;
use super::cli::Demo;
use super::{Exit, Failure, Outcome, serve, tracing};
use crate::crypto::Identity;
use crate::limits::{DEMO_PATIENCE, NEW_RSA_BITS};
use crate::reactor::{Config, Context, Handler, Linux, ProcessFd, Waker};
use crate::trace::{Recorder, Trace};

/// What the three threads report.
enum DemoReport {
    /// The relay listens here.
    Listening(SocketAddr),
    /// The relay has read these whole frames from one socket.
    Read(Vec<u8>),
    /// A user says this to the other.
    Said { by: &'static str, text: &'static str },
    /// A user was shown this.
    Heard { by: &'static str, text: String },
    /// The other user's client has confirmed a message of this user.
    Confirmed,
    /// A user has said and heard all, and has left.
    Left,
    /// Something went wrong.
    Failed(String),
}

/// The conversation: who says what, one after the other.
const SCRIPT: [(&str, &str); 5] = [
    ("alice", "Hello Bob, can you read this?"),
    ("bob", "Every word. Can the relay?"),
    ("alice", "It sees who writes to whom, when, and roughly how much."),
    ("bob", "And of the words, nothing but those sealed bytes."),
    ("alice", "Then let us talk."),
];
const USERS: [&str; 2] = ["alice", "bob"];

/// `sealwax demo`
pub(super) fn demo(arguments: &Demo) -> Outcome {
    let mut stage = Stage::new(arguments.full, arguments.fast);
    Stage::prepare();
    let keys = make_keys()?;
    let (reports, reported) = channel();
    let closing = Waker::new().map_err(kernel)?;
    let trace = tracing::open_with_player(&arguments.trace, arguments.player.as_deref())?;
    let relay = start_relay(&reports, &closing, trace.clone());
    let played = play(&mut stage, keys, &reports, &reported, trace.as_ref());
    closing.wake();
    let _ = relay.join(); // what it had to report, it has reported
    trace.inspect(Trace::finish);
    played?;
    stage.summary().map(|()| Exit::Done).map_err(|why| Failure::new(Exit::Failed, why))
}

/// Both at once: on two cores that takes half as long.
fn make_keys() -> Result<[Identity; 2], Failure> {
    let makers = USERS.map(|_| thread::spawn(|| Identity::generate(NEW_RSA_BITS)));
    let [alice, bob] = makers.map(|maker| match maker.join() {
        Ok(made) => made.map_err(|fault| Failure::new(Exit::Failed, fault)),
        Err(_) => Err(Failure::new(Exit::Failed, "no key could be made")),
    });
    Ok([alice?, bob?])
}

fn start_relay(
    reports: &Sender<DemoReport>,
    closing: &Waker,
    trace: Option<Trace>,
) -> thread::JoinHandle<()> {
    let (reports, closing) = (reports.clone(), closing.clone());
    thread::spawn(move || {
        let recorder = tracing::recorder(trace.as_ref(), Some("relay"));
        let relay = serve::ephemeral_relay(recorder.as_ref());
        let mut tap = Tap::new(relay, reports.clone());
        let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        run(&reports, recorder, &mut tap, |cx, tap| tap.start(cx, here, ProcessFd::Wake(closing)));
    })
}

/// Lets the users talk and shows it, until both have left.
fn play(
    stage: &mut Stage,
    keys: [Identity; 2],
    reports: &Sender<DemoReport>,
    reported: &Receiver<DemoReport>,
    trace: Option<&Trace>,
) -> Result<(), Failure> {
    let mut keys = Some(keys);
    let mut left = 0;
    let mut users = Vec::new();
    while left < USERS.len() {
        let report = reported.recv_timeout(DEMO_PATIENCE);
        let report = report.map_err(|_| stuck())?;
        match report {
            DemoReport::Listening(address) => {
                stage.open(address);
                for (name, identity) in USERS.into_iter().zip(keys.take().into_iter().flatten()) {
                    users.push(start_user(name, identity, address, reports, trace.cloned()));
                }
            }
            DemoReport::Left => left += 1,
            DemoReport::Failed(why) => return Err(Failure::new(Exit::Failed, why)),
            DemoReport::Read(bytes) => stage.read(&bytes),
            DemoReport::Said { by, text } => stage.said(by, text),
            DemoReport::Heard { by, text } => stage.heard(by, &text),
            DemoReport::Confirmed => stage.confirmed(),
        }
    }
    // A user that has left still notes its last tick.
    users.into_iter().try_for_each(thread::JoinHandle::join).map_err(|_| stuck())
}

fn start_user(
    name: &'static str,
    key: Identity,
    relay: SocketAddr,
    reports: &Sender<DemoReport>,
    trace: Option<Trace>,
) -> thread::JoinHandle<()> {
    let reports = reports.clone();
    thread::spawn(move || {
        let recorder = tracing::recorder(trace.as_ref(), Some(name));
        let mut actor = Actor::new(name, key, relay, reports.clone(), recorder.clone());
        run(&reports, recorder, &mut actor, |cx, actor| actor.start(cx));
    })
}

fn stuck() -> Failure {
    Failure::new(Exit::Failed, "the demo stands still")
}

/// A loop for one handler, on the thread that calls this.
fn run<H: Handler>(
    reports: &Sender<DemoReport>,
    recorder: Option<Recorder>,
    handler: &mut H,
    start: impl FnOnce(&mut Context, &mut H),
) {
    let ended = Linux::new()
        .and_then(|linux| tracing::run(linux, &Config::default(), recorder, handler, start));
    if let Err(errno) = ended {
        let _ = reports.send(DemoReport::Failed(format!("an event loop failed: {errno}")));
    }
}

fn kernel(errno: nix::errno::Errno) -> Failure {
    Failure::new(Exit::Failed, format!("the demo could not start: {errno}"))
}
