//! `sealwax serve`: the relay on sockets, with its home on the disk.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::capacity::{Capacity, capacity};
use super::cli::{Command, LogFormat, Serve, Verbosity};
use super::notify::Notifier;
use super::talk::wall_clock;
use super::{
    Exit, Failure, Outcome, activation, certificate, check, cluster, log_file, owner, tracing,
    watch,
};
use crate::admin::Service;
use crate::crypto::{RelayKey, RelayNotary};
use crate::home::{Home, HomeError, Lock};
use crate::limits::MAX_IDENTITY_FILE;
use crate::reactor::{Linux, ProcessFd, block_signals, raise_descriptor_limit};
use crate::relay::event::{Event, Level};
use crate::relay::journal::{Format, Journal};
use crate::relay::names::BoundNames;
use crate::relay::sqlite::{LetterLimits, OpenError, SqliteStore};
use crate::relay::store::{MemoryStore, Store};
use crate::relay::{Purpose, ReadSettings, Relay, RelayConfig, Reloaded};
use crate::trace::Recorder;
use crate::trace::Trace;
use crate::wire::Fingerprint;

/// The relay's Ed25519 key, PKCS#8.
pub(super) const KEY_FILE: &str = "relay.key";
/// The bound names.
pub(super) const NAMES_FILE: &str = "names.sqlite";
/// Held by the one relay that uses the home.
pub(super) const LOCK_FILE: &str = "lock";

/// What a relay keeps from one start to the next; with `--ephemeral`, it is made anew.
struct KeptState {
    key: RelayKey,
    store: Box<dyn Store>,
    bound: Vec<(String, Fingerprint)>,
    /// Keeps other relays out of the home for as long as this one runs.
    lock: Option<Lock>,
    /// Why names cannot be written.
    fault: Option<String>,
    /// Where all of this is.
    home: Option<Home>,
}

/// Options of which a new value holds as soon as it was read again. (`tls` too, but from and to
/// `off`.)
const LIVE: [&str; 6] =
    ["drain-time", "outbox-hard", "outbox-soft", "quiet", "rates-loopback", "verbose"];

/// `sealwax serve`
pub(super) fn serve(arguments: &Serve) -> Outcome {
    if arguments.check {
        return check::check(arguments);
    }
    let kernel = |errno| Failure::new(Exit::Failed, format!("the event loop failed: {errno}"));
    arguments.check().map_err(|why| Failure::new(Exit::Usage, why))?;
    block_signals().map_err(kernel)?; // before the storage thread starts
    let descriptors = raise_descriptor_limit().map_err(kernel)?;
    let sockets = activation::sockets()?;
    let cluster = cluster::given(arguments)?; // its password comes on a descriptor too
    let capacity = capacity(arguments, descriptors.saturating_sub(2 * sockets.len() as u64))?;
    let engines = certificate::engines(arguments)?;
    if let Some(path) = &arguments.log_file {
        let refused = |why: String| Failure::new(Exit::Failed, log_file::refused(&why));
        log_file::open(path, true).map_err(refused)?;
    }
    let mut state = if arguments.ephemeral {
        KeptState::ephemeral(arguments.relay_key.as_deref())?
    } else {
        KeptState::load(arguments)?
    };
    let reactor_config = arguments.reactor_config(&capacity);
    let trace = tracing::open(&arguments.trace)?;
    let recorder = tracing::recorder(trace.as_ref(), None);
    let journal = Journal::new(format(arguments), level(arguments.verbosity));
    let journal = heard(journal, recorder.as_ref());
    let fault = state.fault.clone();
    let (public, home) = (state.key.public(), state.home.take());
    let cluster =
        cluster.map(|given| cluster::config(given, arguments, public, home)).transpose()?;
    let (mut relay, _lock) = state.relay(arguments.relay_config(&capacity), journal);
    let watch = watch::open(arguments)?; // behind the lock, so that it is dropped before
    if let Some(engines) = engines {
        relay.speak_tls(engines);
    }
    if let Some(config) = cluster {
        relay.join(config);
    }
    tell_limits(&mut relay, arguments, &capacity, fault.as_deref());
    relay.reload_with(read_again(arguments, capacity));
    if let Some(notifier) = Notifier::from_environment() {
        relay.report_to(Box::new(notifier));
    }
    if let Some(detail) = &watch.fault {
        relay.tell(&Event::NoAdmin { detail });
    }
    let listen = to_listen(arguments, &sockets);
    let linux = Linux::new().map_err(kernel)?.accepting_with(arguments.socket_buffer);
    let mut service = Service::new(relay);
    let ended = tracing::run(linux, &reactor_config, recorder, &mut service, |cx, service| {
        let relay = service.relay();
        match &arguments.log_file {
            Some(path) => relay.log_into(cx, log_file::opener(path.clone())),
            None => relay.log_to(cx.open(ProcessFd::Stderr)),
        }
        for (socket, address) in sockets {
            relay.adopt(cx, socket, address);
        }
        relay.start(cx, &listen);
        service.watch(cx, watch.admin.clone(), watch.metrics.clone());
    });
    trace.inspect(Trace::finish);
    ended.map_err(kernel)?;
    if let Some(errno) = service.failure() {
        return Err(watch::explain(arguments, errno));
    }
    if let Some(fault) = service.relay().cluster_failure() {
        return Err(Failure::new(Exit::Failed, cluster::explain(arguments, fault)));
    }
    match service.relay().failure() {
        None => Ok(Exit::Done),
        Some(failure) => Err(Failure::new(Exit::Failed, explain(&failure))),
    }
}

/// Tells what the relay cannot do, or does not.
fn tell_limits(relay: &mut Relay, arguments: &Serve, capacity: &Capacity, fault: Option<&str>) {
    if let Some(detail) = fault {
        relay.tell(&Event::NamesReadOnly { detail });
    }
    if arguments.ephemeral {
        relay.tell(&Event::Ephemeral);
    }
    if let Some(why) = &capacity.fewer {
        let (asked, served) = (arguments.max_connections, capacity.connections);
        relay.tell(&Event::FewerConnections { asked, served, why });
    }
}

/// The addresses to listen at, beside those of the sockets that were given: with such sockets, only
/// addresses that were asked for, and none that a socket has already.
fn to_listen(arguments: &Serve, sockets: &[activation::Listener]) -> Vec<SocketAddr> {
    if !sockets.is_empty() && !arguments.settings.gives("listen") {
        return Vec::new();
    }
    let is_given = |address: &SocketAddr| sockets.iter().any(|(_, given)| given == address);
    arguments.addresses().into_iter().filter(|address| !is_given(address)).collect()
}

/// Reads the settings again, and compares them with those of the start.
fn read_again(arguments: &Serve, capacity: Capacity) -> ReadSettings {
    let (settings, tls) = (arguments.settings.clone(), arguments.tls);
    Box::new(move || {
        let Some(read) = settings.read_again() else { return Ok(None) };
        let Command::Serve(new) = read?.command else { return Ok(None) };
        new.check()?;
        let is_live =
            |key: &str| LIVE.contains(&key) || (key == "tls" && !tls.is_off() && !new.tls.is_off());
        let changed = settings.changed(&new.settings).filter(|key| !is_live(key));
        let at_restart = changed.map(str::to_owned).collect();
        let mut config = new.relay_config(&capacity);
        config.requires_tls &= !tls.is_off();
        Ok(Some(Reloaded { config, level: level(new.verbosity), at_restart }))
    })
}

/// A relay that keeps nothing and logs nothing, for the demo.
pub(super) fn ephemeral_relay(recorder: Option<&Recorder>) -> Relay {
    let quiet = heard(Journal::new(Format::Json, Level::Quiet), recorder);
    let (key, _) = RelayKey::generate();
    KeptState::in_memory(key).relay(RelayConfig::default(), quiet).0
}

impl KeptState {
    fn ephemeral(key: Option<&Path>) -> Result<Self, Failure> {
        let key = match key {
            Some(path) => own_key(path)?,
            None => RelayKey::generate().0,
        };
        Ok(Self::in_memory(key))
    }

    fn in_memory(key: RelayKey) -> Self {
        Self {
            key,
            store: Box::new(MemoryStore::default()),
            bound: Vec::new(),
            lock: None,
            fault: None,
            home: None,
        }
    }

    fn load(arguments: &Serve) -> Result<Self, Failure> {
        let home = Home::open(home_path(arguments.home.as_ref())?).map_err(unusable)?;
        let lock = home.lock(LOCK_FILE).map_err(unusable)?;
        cluster::check_alone(arguments, &home)?;
        home.remove_old_drafts(&[KEY_FILE]);
        let key = match &arguments.relay_key {
            Some(path) => Some(own_key(path)?),
            None => read_key(&home)?,
        };
        let (names, limits) = (home.path(NAMES_FILE), arguments.letter_limits());
        let failed = |error: OpenError| Failure::new(Exit::Failed, error);
        // The names are made first: if the start is interrupted between the two, it leaves an empty
        // file of names and no key, and the next start goes on from there.
        // With a key outside the home nothing here says whether names were kept before: the engine
        // of the cluster has them.
        let (store, bound) = match key {
            Some(_) if home.path(NAMES_FILE).exists() || arguments.relay_key.is_none() => {
                SqliteStore::open_again(&names, limits).map_err(failed)?
            }
            _ => make_names(&home, limits)?,
        };
        home.make_private(NAMES_FILE);
        let key = match key {
            Some(key) => key,
            None if bound.is_empty() => make_key(&home)?,
            None => return Err(key_is_gone(&home)),
        };
        let fault = store.fault().map(str::to_owned);
        Ok(Self { key, store: Box::new(store), bound, lock: Some(lock), fault, home: Some(home) })
    }

    fn relay(self, config: RelayConfig, journal: Journal) -> (Relay, Option<Lock>) {
        let Self { key, store, bound, lock, .. } = self;
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

/// Makes the file of names where there is none.
fn make_names(
    home: &Home,
    limits: LetterLimits,
) -> Result<(SqliteStore, Vec<(String, Fingerprint)>), Failure> {
    home.make(NAMES_FILE).map_err(unusable)?;
    let opened = SqliteStore::open(&home.path(NAMES_FILE), limits);
    opened.map_err(|error| Failure::new(Exit::Failed, error))
}

/// Makes the relay's key.
fn make_key(home: &Home) -> Result<RelayKey, Failure> {
    make_key_named(home, KEY_FILE)
}

fn make_key_named(home: &Home, name: &str) -> Result<RelayKey, Failure> {
    let (key, pkcs8) = RelayKey::generate();
    home.write_new(name, &pkcs8).map_err(unusable)?;
    Ok(key)
}

/// The key in a file outside the home, which is made if it is missing. Its directory may be read by
/// nobody else either.
fn own_key(path: &Path) -> Result<RelayKey, Failure> {
    let (directory, name) = own_key_at(path)?;
    let home = Home::open(directory).map_err(unusable)?;
    match read_key_named(&home, name)? {
        Some(key) => Ok(key),
        None => make_key_named(&home, name),
    }
}

/// The directory and the name of a key outside the home.
fn own_key_at(path: &Path) -> Result<(&Path, &str), Failure> {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return Err(Failure::new(Exit::Usage, "--relay-key: this path names no file"));
    };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    Ok((directory.unwrap_or(Path::new(".")), name))
}

pub(super) fn key_is_gone(home: &Home) -> Failure {
    let (key, home) = (home.path(KEY_FILE), home.path(""));
    let message = format!(
        "the relay's key is gone: '{0}' is missing, and names are bound beside it: restore '{0}' \
         from a copy, or run 'sealwax names recreate --home {1}' to make another, which clients \
         refuse until they run 'sealwax keys untrust HOST:PORT'",
        key.display(),
        home.display()
    );
    Failure::new(Exit::Failed, message)
}

/// Makes what is missing in a relay's home of which the rest is there, and returns the name of the
/// file.
pub(super) fn recreate(home: &Home) -> Result<Option<&'static str>, Failure> {
    let _lock = home.lock(LOCK_FILE).map_err(unusable)?; // not beside a running relay
    if read_key(home)?.is_none() {
        make_key(home)?;
        return Ok(Some(KEY_FILE));
    }
    home.make(NAMES_FILE).map_err(unusable)?;
    let path = home.path(NAMES_FILE);
    match BoundNames::open(&path) {
        Ok(_) => Ok(None),
        Err(OpenError::Gone { .. }) => {
            let made = BoundNames::create(&path).map(|_| Some(NAMES_FILE));
            made.map_err(|error| Failure::new(Exit::Failed, error))
        }
        Err(error) => Err(Failure::new(Exit::Failed, error)),
    }
}

/// The key of this home, if one was made.
pub(super) fn read_key(home: &Home) -> Result<Option<RelayKey>, Failure> {
    read_key_named(home, KEY_FILE)
}

/// The key in a file outside the home, if it was made.
pub(super) fn read_own_key(path: &Path) -> Result<Option<RelayKey>, Failure> {
    let (directory, name) = own_key_at(path)?;
    if !directory.exists() {
        return Ok(None);
    }
    read_key_named(&Home::open(directory).map_err(unusable)?, name)
}

fn read_key_named(home: &Home, name: &str) -> Result<Option<RelayKey>, Failure> {
    let Some(bytes) = home.read(name, MAX_IDENTITY_FILE).map_err(unusable)? else {
        return Ok(None);
    };
    RelayKey::from_pkcs8(&bytes).map(Some).map_err(|fault| {
        let path = home.path(name);
        let help = "restore it from a copy: clients know the relay by it and refuse another";
        Failure::new(Exit::Failed, format!("{}: {fault}; {help}", path.display()))
    })
}

/// Copies each event of the journal into the trace, as an annotation.
fn heard(journal: Journal, recorder: Option<&Recorder>) -> Journal {
    let Some(recorder) = recorder.cloned() else { return journal };
    journal.heard_by(move |event| {
        let json = serde_json::to_string(event).unwrap_or_default(); // names, counts: never fails
        recorder.say(event.to_string(), json);
    })
}

fn format(arguments: &Serve) -> Format {
    match arguments.log {
        LogFormat::Json => Format::Json,
        LogFormat::Text => {
            let is_plain = super::is_without_colours() || arguments.log_file.is_some();
            Format::Text { color: std::io::stderr().is_terminal() && !is_plain }
        }
    }
}

const fn level(verbosity: Verbosity) -> Level {
    match (verbosity.quiet, verbosity.verbose) {
        (0, 0) => Level::Normal,
        (0, 1) => Level::Verbose,
        (0, _) => Level::Debug,
        (1, _) => Level::Quiet,
        _ => Level::Silent,
    }
}

/// Why the relay could not run, and what to do.
fn explain(failure: &crate::relay::SourceFailure) -> String {
    let errno = failure.errno;
    match failure.purpose {
        Purpose::Listen(address) => format!(
            "cannot listen on {address}: {errno}; choose another with --listen, or port 0 for \
             any free one"
        ),
        Purpose::Signals => format!("cannot listen for signals: {errno}"),
        Purpose::Store => format!("cannot wait for the store of names: {errno}"),
    }
}
