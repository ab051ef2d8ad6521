//! `sealwax serve`: the relay on sockets, with its home on the disk.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use super::cli::{LogFormat, Serve, TriggerOption, Verbosity};
use super::talk::wall_clock;
use super::{Exit, Failure, Outcome, owner, tracing};
use crate::crypto::{RelayKey, RelayNotary};
use crate::home::{Home, HomeError, Lock};
use crate::limits::{MAX_IDENTITY_FILE, SPARE_DESCRIPTORS};
use crate::reactor::trace::Recorder;
use crate::reactor::{Config, Linux, Source, Trigger, block_signals, raise_descriptor_limit};
use crate::relay::event::{Event, Level};
use crate::relay::journal::{Format, Journal};
use crate::relay::sqlite::SqliteStore;
use crate::relay::store::{MemoryStore, Store};
use crate::relay::{Purpose, Relay, RelayConfig};
use crate::trace::Trace;
use crate::wire::Fingerprint;

/// The relay's Ed25519 key, PKCS#8.
const KEY_FILE: &str = "relay.key";
/// The bound names.
pub(super) const NAMES_FILE: &str = "names.sqlite";
/// Held by the one relay that uses the home.
pub(super) const LOCK_FILE: &str = "lock";

/// What outlives a start, or would if it were kept.
struct State {
    key: RelayKey,
    store: Box<dyn Store>,
    bound: Vec<(String, Fingerprint)>,
    /// Keeps other relays out of the home for as long as this one runs.
    lock: Option<Lock>,
}

/// `sealwax serve`
pub(super) fn serve(arguments: &Serve) -> Outcome {
    let kernel = |errno| Failure::new(Exit::Failed, format!("the event loop failed: {errno}"));
    block_signals().map_err(kernel)?; // before the storage thread starts
    let descriptors = raise_descriptor_limit().map_err(kernel)?;
    let state = if arguments.ephemeral { State::ephemeral() } else { State::load(arguments)? };
    let reactor_config = Config {
        expected: arguments.register_timeout,
        partial: arguments.frame_timeout,
        trigger: match arguments.trigger {
            TriggerOption::Level => Trigger::Level,
            TriggerOption::Edge => Trigger::Edge,
        },
        spin: arguments.spin,
        ..Config::default()
    };
    let room = usize::try_from(descriptors).unwrap_or(usize::MAX).saturating_sub(SPARE_DESCRIPTORS);
    let config = RelayConfig {
        max_frame: arguments.max_frame,
        max_connections: arguments.max_connections.min(room),
        outbox_soft: arguments.outbox_soft,
        outbox_hard: arguments.outbox_hard,
        rates_loopback: arguments.rates_loopback,
    };
    let trace = tracing::open(&arguments.trace)?;
    let recorder = tracing::recorder(trace.as_ref(), None);
    let journal = Journal::new(format(arguments.log), level(arguments.verbosity));
    let journal = heard(journal, recorder.as_ref());
    let (mut relay, _lock) = state.relay(config, journal);
    if arguments.ephemeral {
        relay.tell(&Event::Ephemeral);
    }
    let linux = Linux::new().map_err(kernel)?;
    let ended = tracing::run(linux, &reactor_config, recorder, &mut relay, |cx, relay| {
        relay.log_to(cx.open(Source::Error));
        relay.start(cx, &arguments.listen);
    });
    trace.inspect(Trace::finish);
    ended.map_err(kernel)?;
    match relay.failure() {
        None => Ok(Exit::Done),
        Some(failure) => Err(Failure::new(Exit::Failed, explain(&failure))),
    }
}

/// A relay that keeps nothing and tells nobody: the demo's.
pub(super) fn ephemeral_relay(recorder: Option<&Recorder>) -> Relay {
    let quiet = heard(Journal::new(Format::Json, Level::Quiet), recorder);
    State::ephemeral().relay(RelayConfig::default(), quiet).0
}

impl State {
    fn ephemeral() -> Self {
        let (key, _) = RelayKey::generate();
        Self { key, store: Box::new(MemoryStore::default()), bound: Vec::new(), lock: None }
    }

    fn load(arguments: &Serve) -> Result<Self, Failure> {
        let home = Home::open(home_path(arguments.home.as_ref())?).map_err(unusable)?;
        let lock = home.lock(LOCK_FILE).map_err(unusable)?;
        let key = load_key(&home)?;
        let names = home.path(NAMES_FILE);
        let (store, bound) = SqliteStore::open(Path::new(&names))
            .map_err(|error| Failure::new(Exit::Failed, error))?;
        Ok(Self { key, store: Box::new(store), bound, lock: Some(lock) })
    }

    fn relay(self, config: RelayConfig, journal: Journal) -> (Relay, Option<Lock>) {
        let Self { key, store, bound, lock } = self;
        let notary = Box::new(RelayNotary::new(key));
        (Relay::new(config, notary, store, bound, journal, Box::new(wall_clock)), lock)
    }
}

/// The home that was given, or the default one.
pub(super) fn home_path(given: Option<&PathBuf>) -> Result<PathBuf, Failure> {
    match given {
        Some(path) => Ok(path.clone()),
        None => Ok(Home::default_path().map_err(unusable)?.join("relay")),
    }
}

/// A relay's home or a file in it cannot be used.
pub(super) fn unusable(error: HomeError) -> Failure {
    Failure { exit: Exit::Failed, ..owner::not_usable(error) }
}

/// The key of this home, made at the first start.
fn load_key(home: &Home) -> Result<RelayKey, Failure> {
    home.remove_old_drafts(&[KEY_FILE]);
    let Some(bytes) = home.read(KEY_FILE, MAX_IDENTITY_FILE).map_err(unusable)? else {
        let (key, pkcs8) = RelayKey::generate();
        home.write_new(KEY_FILE, &pkcs8).map_err(unusable)?;
        return Ok(key);
    };
    RelayKey::from_pkcs8(&bytes).map_err(|fault| {
        let path = home.path(KEY_FILE);
        let help = "restore it from a copy: clients know the relay by it and refuse another";
        Failure::new(Exit::Failed, format!("{}: {fault}; {help}", path.display()))
    })
}

/// What the journal is told, the trace says as the relay's own words.
fn heard(journal: Journal, recorder: Option<&Recorder>) -> Journal {
    let Some(recorder) = recorder.cloned() else { return journal };
    journal.heard_by(move |event| {
        let json = serde_json::to_string(event).unwrap_or_default(); // names, counts: never fails
        recorder.say(event.to_string(), json);
    })
}

fn format(log: LogFormat) -> Format {
    match log {
        LogFormat::Json => Format::Json,
        LogFormat::Text => {
            let is_plain = super::is_without_colours();
            Format::Text { color: std::io::stderr().is_terminal() && !is_plain }
        }
    }
}

const fn level(verbosity: Verbosity) -> Level {
    match (verbosity.quiet, verbosity.verbose) {
        (0, 0) => Level::Normal,
        (0, 1) => Level::Verbose,
        (0, _) => Level::Debug,
        _ => Level::Quiet,
    }
}

/// Why the relay could not run, and what to do.
fn explain(failure: &crate::relay::Failure) -> String {
    let errno = failure.errno;
    match failure.purpose {
        Purpose::Listen(address) => format!(
            "cannot listen on {address}: {errno}; choose another with --listen, or port 0 for \
             any free one"
        ),
        Purpose::Signals => format!("cannot listen for signals: {errno}"),
        Purpose::Store => format!("cannot be told of the names that are stored: {errno}"),
    }
}
