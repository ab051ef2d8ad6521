//! `serve --cluster`: where the engine is, and what this relay brings to it.

use std::net::ToSocketAddrs;
use std::path::PathBuf;

use ring::rand::{SecureRandom, SystemRandom};

use super::cli::Serve;
use super::engine_check::{self, Obstacle};
use super::{Exit, Failure, certificate, passphrase};
use crate::cluster::Incarnation;
use crate::cluster::engine::{Password, Settings};
use crate::home::{Home, HomeError};
use crate::limits::MAX_IDENTITY_FILE;
use crate::reactor::boot_time;
use crate::relay::cluster::{ClusterConfig, CopyLimits, EngineAt, MakeTls};
use crate::tls::ClientTls;
use crate::wire::base64;

/// The id of the cluster that a relay belongs to, in its home.
const ID_FILE: &str = "cluster.id";
/// The port of an engine whose URL names none.
const PORT: u16 = 6379;

/// Where an engine is: `redis://[USER@]HOST[:PORT][/DATABASE]`, `rediss://…` for TLS, or
/// `unix:PATH` for a socket in the file system.
#[derive(Clone, Debug, PartialEq, Eq)]
struct EngineUrl {
    tls: bool,
    user: Option<String>,
    at: Host,
    database: u32,
}

/// The machine and the port, or the file.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Name(String, u16),
    File(PathBuf),
}

impl EngineUrl {
    /// Reads a URL. An error repeats nothing of it: there may be a password in it.
    fn parse(text: &str) -> Result<Self, &'static str> {
        const SCHEMES: &str = "it begins with redis://, rediss:// or unix:";
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(Self { tls: false, user: None, at: Host::File(path.into()), database: 0 });
        }
        let (scheme, rest) = text.split_once("://").ok_or(SCHEMES)?;
        let tls = match scheme {
            "redis" => false,
            "rediss" => true,
            _ => return Err(SCHEMES),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, at) = match authority.rsplit_once('@') {
            Some((user, at)) => (Some(user), at),
            None => (None, authority),
        };
        if user.is_some_and(|user| user.contains(':')) {
            return Err("a password in it can be read by others: give it with \
                        --cluster-password-fd");
        }
        let (host, port) = match at.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().map_err(|_| "its port is a number up to 65535")?)
            }
            _ => (at, PORT),
        };
        if host.is_empty() {
            return Err("it names no host");
        }
        let database = match path {
            "" => 0,
            number => {
                number.parse().map_err(|_| "behind the host comes the number of a database")?
            }
        };
        let user = user.filter(|user| !user.is_empty()).map(str::to_owned);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Ok(Self { tls, user, at: Host::Name(host.to_owned(), port), database })
    }

    fn places(&self) -> Result<Vec<EngineAt>, String> {
        let (host, port) = match &self.at {
            Host::Name(host, port) => (host, *port),
            Host::File(path) => return Ok(vec![EngineAt::File(path.clone())]),
        };
        let found = (host.as_str(), port).to_socket_addrs().map_err(|error| {
            format!("the engine of the cluster, {host}, cannot be found: {error}")
        })?;
        Ok(found.map(EngineAt::Address).collect())
    }
}

/// What is given on the command line, read before anything is opened: the password comes on a
/// descriptor.
pub(super) struct Given {
    url: EngineUrl,
    password: Option<Password>,
}

/// The options of the cluster, where there are any.
pub(super) fn given(arguments: &Serve) -> Result<Option<Given>, Failure> {
    let Some(url) = &arguments.cluster else { return Ok(None) };
    let url = EngineUrl::parse(url).map_err(|why| {
        let form = "redis://[USER@]HOST[:PORT][/DATABASE], rediss:// for TLS, or unix:PATH";
        Failure::new(Exit::Usage, format!("--cluster takes {form}: {why}"))
    })?;
    let descriptor = arguments.cluster_password_fd.and_then(|number| i32::try_from(number).ok());
    let password = descriptor.map(passphrase::from_descriptor).transpose()?;
    let password = password.map(|it| Password::new(it.to_vec()));
    Ok(Some(Given { url, password }))
}

/// What the relay has to know to join. `home`: where it keeps the id of its cluster, if it keeps
/// anything.
pub(super) fn config(
    given: Given,
    arguments: &Serve,
    relay_key: [u8; 32],
    home: Option<Home>,
) -> Result<ClusterConfig, Failure> {
    let Given { url, password } = given;
    let failed = |why: String| Failure::new(Exit::Failed, why);
    let engine = url.places().map_err(failed)?;
    let tls = match &url.at {
        Host::Name(host, _) if url.tls => Some(tls(host)?),
        _ => None,
    };
    let id = home.as_ref().map(read_id).transpose()?.flatten();
    let begins = arguments.cluster_init.then(|| id.clone().unwrap_or_else(new_id));
    let settings = Settings {
        user: url.user,
        password,
        database: url.database,
        id: id.clone(),
        relay_key: base64::encode(&relay_key),
        begins,
    };
    let joined = move |joined: &str| {
        if id.is_none()
            && let Some(home) = &home
        {
            // Where it cannot be kept, the next start asks the engine again.
            let _ = home.write_new(ID_FILE, joined.as_bytes());
        }
    };
    Ok(ClusterConfig {
        engine,
        settings,
        tls,
        boot_time: Box::new(boot_time),
        copy: CopyLimits::default(),
        letters: arguments.letter_limits(),
        joined: Box::new(joined),
    })
}

fn tls(host: &str) -> Result<MakeTls, Failure> {
    let roots = certificate::roots()?;
    let tls = ClientTls::checked(host, roots)
        .map_err(|why| Failure::new(Exit::Failed, format!("TLS to the engine: {why}")))?;
    Ok(Box::new(move || tls.engine()))
}

/// Refuses a home whose relay belongs to a cluster, where it is to serve alone: names that were
/// bound at other relays would be free.
pub(super) fn check_alone(arguments: &Serve, home: &Home) -> Result<(), Failure> {
    let path = home.path(ID_FILE);
    if arguments.cluster.is_some() || !path.exists() {
        return Ok(());
    }
    let why = format!(
        "the relay of this home belongs to a cluster: give --cluster; or remove '{}' to serve \
         alone, without what other relays bound and without letters, which stay in the engine",
        path.display()
    );
    Err(Failure::new(Exit::Failed, why))
}

/// The id of the cluster that the relay of this home belongs to.
pub(super) fn read_id(home: &Home) -> Result<Option<String>, Failure> {
    let unusable = |error: HomeError| Failure::new(Exit::Failed, error.to_string());
    let Some(bytes) = home.read(ID_FILE, MAX_IDENTITY_FILE).map_err(unusable)? else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&bytes).ok().map(str::trim);
    let id = text.filter(|id| Incarnation::parse(id).is_some()).map(str::to_owned);
    id.map(Some).ok_or_else(|| {
        let path = home.path(ID_FILE);
        let why = format!(
            "'{}' holds no id of a cluster: remove it, and the relay belongs to the cluster that \
             it finds in the engine",
            path.display()
        );
        Failure::new(Exit::Failed, why)
    })
}

/// A random id.
fn new_id() -> String {
    let mut id = [0; 16];
    // Without randomness no key could have been made before.
    let _ = SystemRandom::new().fill(&mut id);
    Incarnation(id).to_string()
}

/// Whether the relay could join, for `--check`. `relay_key`: none where a start would make it.
pub(super) fn check(
    given: Given,
    arguments: &Serve,
    relay_key: Option<[u8; 32]>,
    home: Option<Home>,
) -> Result<(), Failure> {
    // Of a key that is not made yet only so much is known: no cluster has it.
    let mut config = config(given, arguments, relay_key.unwrap_or_default(), home)?;
    if relay_key.is_none() {
        config.settings.relay_key.clear();
    }
    engine_check::check(config).map_err(|obstacle| match obstacle {
        Obstacle::Fault(fault) => Failure::new(Exit::Failed, explain(arguments, &fault)),
        Obstacle::NotReached(why) => {
            let url = arguments.cluster.as_deref().unwrap_or_default();
            let why = format!(
                "the engine of the cluster at {url} cannot be reached: {why}; a relay that starts \
                 waits for it"
            );
            Failure::new(Exit::Failed, why)
        }
    })
}

/// Why the relay could not join, and what to do.
pub(super) fn explain(arguments: &Serve, fault: &crate::cluster::EngineFault) -> String {
    let url = arguments.cluster.as_deref().unwrap_or_default();
    format!("cannot join the cluster at {url}: {fault}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_one_form_and_no_password() {
        let url = |tls, user: Option<&str>, host: &str, port, database| EngineUrl {
            tls,
            user: user.map(str::to_owned),
            at: Host::Name(host.to_owned(), port),
            database,
        };
        let cases = [
            ("redis://127.0.0.1", url(false, None, "127.0.0.1", 6379, 0)),
            ("redis://127.0.0.1:7000/", url(false, None, "127.0.0.1", 7000, 0)),
            ("rediss://relay@example.org/3", url(true, Some("relay"), "example.org", 6379, 3)),
            ("redis://[::1]:7000/1", url(false, None, "::1", 7000, 1)),
            ("redis://[::1]", url(false, None, "::1", 6379, 0)),
        ];
        for (text, expected) in cases {
            assert_eq!(EngineUrl::parse(text), Ok(expected), "{text}");
        }
        let file = EngineUrl::parse("unix:/run/redis.sock").map(|url| url.at);
        assert_eq!(file, Ok(Host::File("/run/redis.sock".into())));
        let wrong = [
            "",
            "127.0.0.1:6379",
            "http://127.0.0.1",
            "redis://",
            "redis://:secret@127.0.0.1",
            "redis://user:secret@127.0.0.1",
            "redis://127.0.0.1:port",
            "redis://127.0.0.1:70000",
            "redis://127.0.0.1/db",
        ];
        for text in wrong {
            let why = EngineUrl::parse(text).unwrap_err();
            assert!(!why.contains("secret"), "{text}: {why}");
        }
    }
}
