//! `sealwax chat`, `send` and `recv`: one user's client on the loop, each with its task.

use std::io::IsTerminal;
use std::net::ToSocketAddrs;
use std::time::{SystemTime, UNIX_EPOCH};

use super::cli::{Chat, Common, Recv, Send, TraceArgs};
use super::front::{CLIENT_ALARM, Front, Task};
use super::lines::Form;
use super::owner::{self, Owner};
use super::view::{Level, View};
use super::{Exit, Failure, Outcome, tracing};
use crate::client::{Client, FilePins, Parts, Settings};
use crate::crypto::IdentityVault;
use crate::reactor::{Config, Linux, block_signals};
use crate::trace::Trace;
use crate::wire::RosterMode;

/// `sealwax chat [TO]`
pub(super) fn chat(arguments: &Chat) -> Outcome {
    let form = if arguments.common.json { Form::Json } else { Form::Chat };
    let (to, wait) = (arguments.to.clone(), Some(arguments.wait));
    let task = Task { input: Some(form), to, wait, ..Task::default() };
    talk(&arguments.common, RosterMode::Delta, task, &arguments.trace)
}

/// `sealwax send TO [TEXT]`
pub(super) fn send(arguments: &Send) -> Outcome {
    let input = if arguments.text.is_none() { Some(Form::Plain) } else { None };
    let task = Task {
        input,
        to: Some(arguments.to.clone()),
        text: arguments.text.clone(),
        wait: Some(arguments.wait),
        count: None,
    };
    talk(&arguments.common, RosterMode::None, task, &TraceArgs::default())
}

/// `sealwax recv`
pub(super) fn recv(arguments: &Recv) -> Outcome {
    let task = Task { count: arguments.count, wait: arguments.wait, ..Task::default() };
    talk(&arguments.common, RosterMode::None, task, &TraceArgs::default())
}

fn talk(common: &Common, roster: RosterMode, task: Task, traced: &TraceArgs) -> Outcome {
    let kernel = |errno| Failure::new(Exit::Failed, format!("the event loop failed: {errno}"));
    let owner = Owner::open(&common.identity)?; // may ask for a passphrase: a signal ends that
    block_signals().map_err(kernel)?;
    let view = View {
        json: common.json,
        terminal: std::io::stdout().is_terminal(),
        keys: common.identity.keys_command(),
        level: Level::asked(common.verbosity.verbose, common.verbosity.quiet),
    };
    let settings = Settings {
        name: owner.name,
        relay: common.relay.clone(),
        roster,
        strict: common.strict,
        every_warning: common.json,
        keys: common.identity.keys_command(),
        alarm: CLIENT_ALARM,
    };
    let parts = Parts {
        vault: Box::new(IdentityVault::new(owner.identity)),
        peers: Box::new(FilePins::new(owner.home.clone(), owner::PEERS_FILE)),
        relays: Box::new(FilePins::new(owner.home.clone(), owner::RELAYS_FILE)),
        wall: Box::new(wall_clock),
        resolve: Box::new(resolve),
    };
    let trace = tracing::open(traced)?;
    let recorder = tracing::recorder(trace.as_ref(), None);
    let mut front = Front::new(Client::new(settings, parts), view, task, recorder.clone());
    let linux = Linux::new().map_err(kernel)?;
    let ended = tracing::run(linux, &Config::default(), recorder, &mut front, |cx, front| {
        front.start(cx);
    });
    trace.inspect(Trace::finish);
    ended.map_err(kernel)?;
    Ok(front.exit())
}

/// Milliseconds since 1970. A clock before that counts as 1970.
pub(super) fn wall_clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The addresses of `HOST:PORT`. Blocks while names are looked up, which the C library offers in no
/// other way.
fn resolve(relay: &str) -> Result<Vec<std::net::SocketAddr>, String> {
    match relay.to_socket_addrs() {
        Ok(addresses) => Ok(addresses.collect()),
        Err(error) => Err(error.to_string()),
    }
}
