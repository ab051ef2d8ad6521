//! Other servers that can stand beside the relay, where they are installed: how each is started,
//! with nothing kept, nobody kept out and no limit that our users would meet.

use std::env;
use std::fs::{self, DirBuilder, File};
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Instant;

use super::super::{Exit, Failure};
use super::target::{LOOK, Processors, Target, failed};
use crate::limits::{CONNECT_TIMEOUT, LOAD_CONNECTING, LOAD_CONNECTING_NGIRCD, LOAD_MAX_FRAME};
use crate::load::{Irc, LONGEST_IRC, Mqtt, Nats, Payload, Protocol, Redis};
use crate::reactor::raise_descriptor_limit;
use crate::tls::PemPair;

/// A server that carries messages between names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Server {
    Redis,
    Nats,
    /// Two of them, each of which passes on to the other what is for its users.
    NatsCluster,
    Mosquitto,
    Ngircd,
}

/// A directory of a server's own, gone with this.
pub(super) struct Folder(PathBuf);

/// Files in it.
const CERTIFICATE: &str = "certificate.pem";
const KEY: &str = "key.pem";

/// Where servers are beside what `PATH` says: it has no such places for most users.
const PLACES: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];

impl Server {
    /// What it is called in tables.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Nats => "nats",
            Self::NatsCluster => "nats-cluster",
            Self::Mosquitto => "mosquitto",
            Self::Ngircd => "ngircd",
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Redis => "redis-server",
            Self::Nats | Self::NatsCluster => "nats-server",
            Self::Mosquitto => "mosquitto",
            Self::Ngircd => "ngircd",
        }
    }

    /// What its users speak.
    pub(super) fn protocol(self, payload: &Payload) -> Box<dyn Protocol> {
        match self {
            Self::Redis => Box::new(Redis::new(payload)),
            Self::Nats | Self::NatsCluster => Box::new(Nats::new(payload)),
            Self::Mosquitto => Box::new(Mqtt::new(payload)),
            Self::Ngircd => Box::new(Irc::new(payload)),
        }
    }

    /// How many connections may wait for it to accept them; those beyond it lose seconds until
    /// their next try.
    pub(super) fn backlog(self) -> usize {
        match self {
            Self::Ngircd => LOAD_CONNECTING_NGIRCD,
            _ => LOAD_CONNECTING,
        }
    }

    /// Whether it is measured with TLS too.
    pub(super) fn speaks_tls(self) -> bool {
        matches!(self, Self::Nats | Self::Mosquitto)
    }

    /// Whether it is here, and carries messages of `size` bytes. Said before anything begins.
    pub(super) fn check(self, size: usize) -> Result<(), Failure> {
        self.path()?;
        if self == Self::Ngircd && size > LONGEST_IRC {
            let why = format!("--size: {} takes {LONGEST_IRC} bytes at most", self.name());
            return Err(Failure::new(Exit::Usage, why));
        }
        Ok(())
    }

    /// Starts it on a free port of loopback, with TLS and a certificate made for it where
    /// `is_sealed`.
    pub(super) fn start(
        self,
        pins: Option<Processors>,
        is_sealed: bool,
    ) -> Result<Target, Failure> {
        if self != Self::NatsCluster {
            return self.start_one(pins, is_sealed, &[]);
        }
        let port = || free_address().map_err(|error| failed(self.program(), error));
        let routes = [port()?, port()?].map(|at| format!("nats://{at}"));
        let start = |own: usize| {
            let (own, other) = (&routes[own], &routes[1 - own]);
            let options = ["--cluster_name", "load", "--cluster", own, "--routes", other];
            self.start_one(pins, is_sealed, &options)
        };
        let both = start(0)?.and(start(1)?);
        wait_for_route(&both.addresses)?;
        Ok(both)
    }

    fn start_one(
        self,
        pins: Option<Processors>,
        is_sealed: bool,
        options: &[&str],
    ) -> Result<Target, Failure> {
        let folder = Folder::new().map_err(|error| failed("a temporary directory", error))?;
        let address = free_address().map_err(|error| failed(self.program(), error))?;
        raise_descriptor_limit().map_err(|errno| failed(self.program(), errno))?;
        let mut command = Command::new(self.path()?);
        if is_sealed {
            write_certificate(&folder.0)?;
        }
        let prepared = self.prepare(&mut command, address, &folder.0, is_sealed);
        let said = folder.0.join("said");
        let output = prepared.and_then(|()| File::create(&said));
        let (first, second) = output
            .and_then(|output| Ok((output.try_clone()?, output)))
            .map_err(|error| failed(self.program(), error))?;
        command.args(options);
        command.current_dir(&folder.0).stdin(Stdio::null()).stdout(first).stderr(second);
        Target::start_at(command, address, pins, folder).map_err(|failure| {
            let said = fs::read_to_string(&said).unwrap_or_default();
            let message = format!("{}: {} {}", self.name(), failure.message, said.trim_end());
            Failure::new(failure.exit, message)
        })
    }

    /// Tells it where to listen, and to keep nothing and let everybody in.
    fn prepare(
        self,
        command: &mut Command,
        at: SocketAddr,
        folder: &Path,
        is_sealed: bool,
    ) -> std::io::Result<()> {
        let (host, port) = (at.ip().to_string(), at.port().to_string());
        let file = folder.join("settings");
        match self {
            Self::Redis => {
                command.args(["--bind", &host, "--port", &port, "--save", ""]);
                command.args(["--appendonly", "no", "--maxclients", "100000"]);
                // Its protected mode takes 127.0.0.1 for the only address of loopback.
                command.args(["--protected-mode", "no"]);
            }
            Self::Nats | Self::NatsCluster => {
                command.args(["--addr", &host, "--port", &port]);
                if is_sealed {
                    // Only a file of settings has the time that a handshake may take, in seconds.
                    let files = format!("cert_file: {CERTIFICATE}, key_file: {KEY}");
                    fs::write(&file, format!("tls {{ {files}, timeout: 60 }}\n"))?;
                    command.arg("--config").arg(file);
                }
            }
            Self::Mosquitto => {
                // Started by root it would change its user, and no longer end with us.
                let settings = "user root\nallow_anonymous true\npersistence false\n\
                    set_tcp_nodelay true\nmax_queued_messages 0\nlog_type error\nlog_dest stderr\n";
                let tls = format!("certfile {CERTIFICATE}\nkeyfile {KEY}\n");
                let tls = if is_sealed { &tls } else { "" };
                fs::write(&file, format!("listener {port} {host}\n{tls}{settings}"))?;
                command.arg("-c").arg(file);
            }
            Self::Ngircd => {
                let limits = "MaxConnections = 0\nMaxConnectionsIP = 0\nMaxPenaltyTime = 0\n";
                let options = "DNS = no\nIdent = no\nPAM = no\nRequireAuthPing = no\n";
                let settings = format!(
                    "[Global]\nName = irc.test\nInfo = load\nListen = {host}\nPorts = {port}\n\
                     MotdPhrase = load\n[Limits]\n{limits}[Options]\n{options}"
                );
                fs::write(&file, settings)?;
                command.arg("--nodaemon").arg("--config").arg(file);
            }
        }
        Ok(())
    }

    fn path(self) -> Result<PathBuf, Failure> {
        let named = env::var_os("PATH").unwrap_or_default();
        let places = env::split_paths(&named).chain(PLACES.map(PathBuf::from));
        places.map(|place| place.join(self.program())).find(|path| path.is_file()).ok_or_else(
            || {
                let why = "is not installed (Debian has it as a package of that name)";
                Failure::new(
                    Exit::Failed,
                    format!("--beside {}: {} {why}", self.name(), self.program()),
                )
            },
        )
    }
}

/// Waits until each of these nats-servers tells who connects that the others are there, too.
fn wait_for_route(servers: &[SocketAddr]) -> Result<(), Failure> {
    let begun = Instant::now();
    let knows_all = |server: &SocketAddr| knows_all(*server, servers).unwrap_or(false);
    while !servers.iter().all(knows_all) {
        if begun.elapsed() > CONNECT_TIMEOUT {
            return Err(failed("nats-cluster", "the two do not find each other"));
        }
        sleep(LOOK);
    }
    Ok(())
}

/// Whether the first line of a nats-server, its `INFO`, has the addresses of all.
fn knows_all(server: SocketAddr, all: &[SocketAddr]) -> std::io::Result<bool> {
    let stream = TcpStream::connect_timeout(&server, CONNECT_TIMEOUT)?;
    stream.set_read_timeout(Some(CONNECT_TIMEOUT))?;
    let mut info = String::new();
    BufReader::new(stream.take(LOAD_MAX_FRAME as u64)).read_line(&mut info)?;
    Ok(all.iter().all(|at| info.contains(&format!("\"{at}\""))))
}

/// A certificate of a server's own and its key, in its folder, where the server begins.
fn write_certificate(folder: &Path) -> Result<(), Failure> {
    let made = PemPair::self_signed().map_err(|fault| failed("a server with TLS", fault))?;
    fs::write(folder.join(CERTIFICATE), made.certificate)
        .and_then(|()| fs::write(folder.join(KEY), made.key))
        .map_err(|error| failed("a server with TLS", error))
}

impl Folder {
    fn new() -> std::io::Result<Self> {
        let number = getrandom::u64().map_err(std::io::Error::other)?;
        let path = env::temp_dir().join(format!("sealwax-load-{number:016x}"));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// An address of loopback that nobody listens at. Somebody else may take it before it is used:
/// then the server ends, and that is told.
fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
