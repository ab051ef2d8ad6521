//! The arguments of `sealwax serve`, and the settings of the loop and of the relay that they make.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, ValueEnum};

use super::{TraceArgs, Verbosity, seconds, timeout, whole, word};
use crate::address::Address;
use crate::admin::limits::{ADMIN_CONNECTIONS, METRICS_CONNECTIONS};
use crate::command::capacity::Capacity;
use crate::command::settings::Settings;
use crate::limits::{MAX_FRAME, MAX_FRAME_OPTION};
use crate::reactor::limits::{FEW_SOURCES, MAX_SPIN, SOCKET_BUFFER};
use crate::reactor::{Config, Trigger};
use crate::relay::RelayConfig;
use crate::relay::limits::{
    LEAST_COMMON, LETTERS_BYTES, LETTERS_DAYS, MAX_CONNECTIONS, OUTBOX_HARD, OUTBOX_SOFT,
};
use crate::relay::sqlite::LetterLimits;

/// The addresses of a `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses(pub Vec<SocketAddr>);

/// Examples of values for the options that have no default; errors show them.
pub(in crate::command) const EXAMPLES: [(&str, &str); 13] = [
    ("cluster", "redis://127.0.0.1:6379"),
    ("cluster-password-fd", "3"),
    ("relay-key", "/etc/sealwax/cluster/relay.key"),
    ("home", "/var/lib/sealwax"),
    ("inbox-common", "268435456"),
    ("outbox-common", "268435456"),
    ("tls-cert", "/etc/sealwax/cert.pem"),
    ("tls-key", "/etc/sealwax/key.pem"),
    ("admin", "/run/sealwax/admin.sock"),
    ("metrics", "127.0.0.1:9100"),
    ("log-file", "/var/log/sealwax/relay.log"),
    ("trace", "text"),
    ("trace-file", "/var/tmp/sealwax.trace"),
];

/// The addresses of `HOST:PORT`; none where it has another form.
fn addresses(text: &str) -> Option<Result<Addresses, String>> {
    let address: Address = text.parse().ok()?;
    if address.is_checked() {
        return None; // `tls://` is for clients
    }
    Some(address.resolve().and_then(|mut addresses| {
        addresses.sort_unstable();
        addresses.dedup();
        if addresses.is_empty() {
            return Err("this name has no address".to_owned());
        }
        Ok(Addresses(addresses))
    }))
}

pub(super) fn listen_addresses(text: &str) -> Result<Addresses, String> {
    addresses(text).unwrap_or_else(|| {
        Err("expected HOST:PORT with a port from 0 to 65535, such as 127.0.0.1:12345 or \
             [::1]:12345; 0.0.0.0 and [::] are all addresses of this machine"
            .to_owned())
    })
}

/// `sealwax serve`
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  sealwax serve --listen 0.0.0.0:12345 --listen '[::]:12345'
  sealwax serve --listen 127.0.0.1:0 --ephemeral --log json 2>>relay.ndjson
  sealwax serve --config relay.toml --check

It prints one line `listening on HOST:PORT` to standard error for each address (with -q only for
port 0, with -qq never); with --log json the line is an object,
{\"event\":\"listening\",\"address\":\"HOST:PORT\",…}.
At SIGTERM and SIGINT it stops listening, sends what is queued for at most half a second and exits
with 0. At SIGUSR1 it stops listening, ends the connections one after the other within --drain-time,
and exits with 0. At SIGHUP it prints its counters, opens --log-file again, frees names that were
released (`sealwax names`), and reads --config, --tls-cert and --tls-key again; if what it reads is
not valid, it keeps the old values.")]
// So that `--spin -1` is a wrong number, and not an unknown option `-1`.
#[command(mut_args(|option| {
    let has_value = option.get_action().takes_values();
    option.allow_negative_numbers(has_value)
}))]
pub struct Serve {
    /// Read options from this file (TOML): their long names without dashes, such as
    /// `max-connections = 1000`. Options on the command line win. Read again at SIGHUP
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Check whether the relay could start with these options, print them as TOML, and exit
    #[arg(long)]
    pub check: bool,
    /// Where to listen; can be repeated. Port 0: any free port. A host name: all of its addresses.
    /// `[::]`: IPv6 only; `0.0.0.0`: IPv4 only
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:12345",
        value_parser = word(listen_addresses))]
    pub listen: Vec<Addresses>,
    /// The directory with the relay's key and the bound names [default: the XDG data directory's
    /// `sealwax/relay`]
    #[arg(long, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// Store nothing: a new key at each start, and names are bound only while it runs
    #[arg(long, conflicts_with = "home")]
    pub ephemeral: bool,
    /// The longest frame of a registered user, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = MAX_FRAME,
        value_parser = whole::<usize>(1024, MAX_FRAME_OPTION, MAX_FRAME))]
    pub max_frame: usize,
    /// The largest number of connections at one time
    #[arg(long, value_name = "COUNT", default_value_t = MAX_CONNECTIONS,
        value_parser = whole::<usize>(1, 16_000_000, 1000))]
    pub max_connections: usize,
    /// If more bytes than this wait for a user, frames for that user are refused (`queue_full`)
    #[arg(long, value_name = "BYTES", default_value_t = OUTBOX_SOFT,
        value_parser = whole::<usize>(1024, 1 << 30, OUTBOX_SOFT))]
    pub outbox_soft: usize,
    /// If the relay's own answers make more bytes than this wait for a connection, it is ended
    #[arg(long, value_name = "BYTES", default_value_t = OUTBOX_HARD,
        value_parser = whole::<usize>(4096, 1 << 30, OUTBOX_HARD))]
    pub outbox_hard: usize,
    /// Memory for the unfinished frames of all connections together, in bytes [default: 256 MiB, or
    /// a quarter of the memory if that is less]
    #[arg(long, value_name = "BYTES",
        value_parser = whole::<usize>(LEAST_COMMON, 1 << 40, 1 << 28))]
    pub inbox_common: Option<usize>,
    /// Memory for the unsent bytes of all users together, in bytes [default: 256 MiB, or a quarter
    /// of the memory if that is less]
    #[arg(long, value_name = "BYTES",
        value_parser = whole::<usize>(LEAST_COMMON, 1 << 40, 1 << 28))]
    pub outbox_common: Option<usize>,
    /// The kernel's buffer for each direction of a connection, in bytes; the kernel doubles the
    /// number, and may allow less (socket(7))
    #[arg(long, value_name = "BYTES", default_value_t = SOCKET_BUFFER,
        value_parser = whole::<usize>(4096, 1 << 30, SOCKET_BUFFER))]
    pub socket_buffer: usize,
    /// How long a connection may take to register, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = word(timeout))]
    pub register_timeout: Duration,
    /// How long a frame may take from its first byte to its last, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = word(timeout))]
    pub frame_timeout: Duration,
    /// Over how many seconds a drain (SIGUSR1) spreads the ends of the connections
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = word(seconds))]
    pub drain_time: Duration,
    /// Letters that wait for users who are not connected are deleted after this many days
    #[arg(long, value_name = "DAYS", default_value_t = LETTERS_DAYS,
        value_parser = whole::<u32>(1, LETTERS_DAYS, 7))]
    pub letters_days: u32,
    /// The letters of all users together may take so many bytes of the disk; 0: keep no letters
    #[arg(long, value_name = "BYTES", default_value_t = LETTERS_BYTES,
        value_parser = whole::<u64>(0, 1 << 50, LETTERS_BYTES))]
    pub letters_bytes: u64,
    /// Be one of several relays that behave as one, with what they have in common in this Redis or
    /// Valkey: `redis://[USER@]HOST[:PORT][/DATABASE]`, `rediss://` for TLS, or `unix:PATH`
    #[arg(long, value_name = "URL")]
    pub cluster: Option<String>,
    /// Begin a cluster in an engine that has none, or has lost it
    #[arg(long, requires = "cluster")]
    pub cluster_init: bool,
    /// Read the engine's password from this descriptor (its next line)
    #[arg(long, value_name = "FD", requires = "cluster", value_parser = whole(0_u32, 1_048_576, 3))]
    pub cluster_password_fd: Option<u32>,
    /// The relay's key, in a file instead of its home; made if it is missing. All relays of a
    /// cluster have the same
    #[arg(long, value_name = "FILE", requires = "cluster")]
    pub relay_key: Option<PathBuf>,
    /// Limit the rates of connections from this machine like those of any other address: for a
    /// relay behind a proxy
    #[arg(long)]
    pub rates_loopback: bool,
    /// Whether the relay accepts TLS 1.3 on the same port, and plain connections too
    #[arg(long, value_enum, default_value_t = TlsOption::Offer)]
    pub tls: TlsOption,
    /// Use this certificate (PEM, followed by the certificates that signed it) instead of one that
    /// the relay makes when it starts; read again at SIGHUP
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's key (PEM, no passphrase): ECDSA on P-256 or P-384, RSA of 2,048 to 4,096
    /// bits, or Ed25519
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// A unix socket for whoever operates the relay (`sealwax top`), for this user and root only;
    /// `none`: no such socket [default: `admin.sock` in the home; with --ephemeral: none]
    #[arg(long, value_name = "PATH",
        value_parser = OsStringValueParser::new().try_map(admin_option))]
    pub admin: Option<AdminOption>,
    /// Serve metrics (/metrics, for Prometheus) and health (/healthz, /readyz) over HTTP, at an
    /// address (of a host name: the first one) or at a unix socket; everybody who can connect can
    /// read them
    #[arg(long, value_name = "HOST:PORT|PATH",
        value_parser = OsStringValueParser::new().try_map(metrics_option))]
    pub metrics: Option<MetricsOption>,
    /// When the kernel reports that a connection is ready (epoll(7))
    #[arg(long, value_enum, default_value_t = TriggerOption::Level)]
    pub trigger: TriggerOption,
    /// Before it sleeps, the loop asks the kernel again and again for this long, in microseconds:
    /// answers come sooner, but the relay uses a processor while it is idle
    #[arg(long, value_name = "MICROSECONDS", default_value = "0", value_parser = word(spin))]
    pub spin: Duration,
    /// Append the activity log to this file, and not to standard error; it is opened again at
    /// SIGHUP
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
    /// The form of the activity log
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log: LogFormat,
    /// How much is logged.
    #[command(flatten)]
    pub verbosity: Verbosity,
    /// Whether the loop is traced.
    #[command(flatten)]
    pub trace: TraceArgs,
    /// Where each option comes from.
    #[arg(skip)]
    pub settings: Settings,
}

impl Serve {
    /// Whether the options fit together; else what to change.
    pub(in crate::command) fn check(&self) -> Result<(), String> {
        if self.outbox_soft <= self.outbox_hard {
            return Ok(());
        }
        let (soft, hard) = (self.outbox_soft, self.outbox_hard);
        Err(format!(
            "--outbox-soft {soft} is more than --outbox-hard {hard}: what others send to a user \
             would end the user's connection; give --outbox-hard at least {soft}"
        ))
    }

    /// The settings of the loop for these options; `capacity` is what this process can serve.
    pub(in crate::command) fn reactor_config(&self, capacity: &Capacity) -> Config {
        Config {
            handshake_timeout: self.register_timeout,
            frame_timeout: self.frame_timeout,
            max_sources: capacity.connections + FEW_SOURCES,
            trigger: match self.trigger {
                TriggerOption::Level => Trigger::Level,
                TriggerOption::Edge => Trigger::Edge,
            },
            spin: self.spin,
            kept_limit: capacity.inbox_common,
            ..Config::default()
        }
    }

    /// Descriptors for those who look at the relay: listeners and connections.
    pub(in crate::command) fn watch_descriptors(&self) -> usize {
        let has_admin = match &self.admin {
            None => !self.ephemeral,
            Some(option) => *option != AdminOption::None,
        };
        let admin = if has_admin { 1 + ADMIN_CONNECTIONS } else { 0 };
        admin + if self.metrics.is_some() { 1 + METRICS_CONNECTIONS } else { 0 }
    }

    /// The addresses of all `--listen`.
    pub(in crate::command) fn addresses(&self) -> Vec<SocketAddr> {
        self.listen.iter().flat_map(|it| it.0.iter().copied()).collect()
    }

    /// What the relay keeps of letters.
    pub(in crate::command) const fn letter_limits(&self) -> LetterLimits {
        LetterLimits { bytes: self.letters_bytes, days: self.letters_days }
    }

    /// The settings of the relay for these options; `capacity` is what this process can serve.
    pub(in crate::command) fn relay_config(&self, capacity: &Capacity) -> RelayConfig {
        RelayConfig {
            max_frame: self.max_frame,
            max_connections: capacity.connections,
            outbox_soft: self.outbox_soft,
            outbox_hard: self.outbox_hard,
            outbox_common: capacity.outbox_common,
            rates_loopback: self.rates_loopback,
            requires_tls: self.tls == TlsOption::Require,
            drain_time: self.drain_time,
        }
    }
}

/// When the kernel reports that a connection is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TriggerOption {
    /// Level-triggered: for as long as there is something to do
    Level,
    /// Edge-triggered: once, each time that something happens
    Edge,
}

/// Whether the relay accepts TLS and plain connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TlsOption {
    /// Accept both TLS and plain connections
    Offer,
    /// Accept only TLS; a plain connection gets an error and is closed
    Require,
    /// Accept only plain connections
    Off,
}

impl TlsOption {
    /// Whether no connection may use TLS.
    pub fn is_off(self) -> bool {
        self == Self::Off
    }
}

/// The form of the activity log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text for people, coloured on a terminal
    Text,
    /// One JSON object on each line
    Json,
}

/// `--admin`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminOption {
    /// No admin socket.
    None,
    /// One at this path.
    Path(PathBuf),
}

fn admin_option(word: OsString) -> Result<AdminOption, String> {
    match word.to_str() {
        Some("none") => Ok(AdminOption::None),
        Some("") => Err("expected a path, such as /run/sealwax/admin.sock, or none".to_owned()),
        _ => Ok(AdminOption::Path(word.into())),
    }
}

/// `--metrics`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricsOption {
    /// At an address.
    Address(SocketAddr),
    /// At a unix socket.
    Path(PathBuf),
}

/// What has a slash is a path. Of a host with several addresses the first one is taken.
fn metrics_option(word: OsString) -> Result<MetricsOption, String> {
    if word.as_encoded_bytes().contains(&b'/') {
        return Ok(MetricsOption::Path(word.into()));
    }
    let found = addresses(&word.to_string_lossy()).unwrap_or_else(|| {
        Err("expected HOST:PORT, such as 127.0.0.1:9100, or a path with a slash, such as \
             /run/sealwax/metrics.sock"
            .to_owned())
    });
    found.map(|found| MetricsOption::Address(found.0[0]))
}

/// Parses `--spin`, in microseconds.
fn spin(text: &str) -> Result<Duration, String> {
    let parsed = text.parse().ok().map(Duration::from_micros);
    parsed.filter(|it| *it <= MAX_SPIN).ok_or_else(|| {
        let most = MAX_SPIN.as_micros();
        format!("expected a whole number of microseconds from 0 to {most}, such as 50")
    })
}
