//! `serve --admin` and `--metrics`: the sockets through which a relay is looked at.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::cli::{AdminOption, MetricsOption, Serve};
use super::{Exit, Failure, serve};
use crate::admin::MetricsAt;
use crate::reactor::{SocketFile, UnixSocket};

/// The admin socket in a relay's home.
const ADMIN_FILE: &str = "admin.sock";
/// Bytes that the last part of a socket's path may have, however long the others are: it has to fit
/// behind `/proc/self/fd/N/` into an address of 107 bytes (`unix(7)`).
const SOCKET_NAME: usize = 80;

/// What was opened. Dropped, the files of the sockets are removed.
pub(super) struct Watch {
    pub(super) admin: Option<UnixSocket>,
    pub(super) metrics: Option<MetricsAt>,
    /// Why there is no admin socket where nobody has named one or wants none.
    pub(super) fault: Option<String>,
    _files: Vec<SocketFile>,
}

/// The path of the admin socket of a relay with this home.
pub(super) fn default_path(home: Option<&PathBuf>) -> Result<PathBuf, Failure> {
    Ok(serve::home_path(home)?.join(ADMIN_FILE))
}

/// Opens what the options ask for. To be called once the home is locked.
///
/// # Errors
/// A socket that was named cannot be had.
pub(super) fn open(arguments: &Serve) -> Result<Watch, Failure> {
    let mut files = Vec::new();
    let (mut admin, mut fault) = (None, None);
    match &arguments.admin {
        Some(AdminOption::None) => {}
        None if arguments.ephemeral => {}
        Some(AdminOption::Path(path)) => admin = Some(listen(path, "--admin", &mut files)?),
        None => {
            let path = default_path(arguments.home.as_ref())?;
            match listen(&path, "--admin", &mut files) {
                Ok(socket) => admin = Some(socket),
                Err(failure) => fault = Some(failure.message),
            }
        }
    }
    let metrics = match &arguments.metrics {
        None => None,
        Some(MetricsOption::Address(at)) => Some(MetricsAt::Address(*at)),
        Some(MetricsOption::Path(path)) => {
            Some(MetricsAt::Socket(listen(path, "--metrics", &mut files)?))
        }
    };
    Ok(Watch { admin, metrics, fault, _files: files })
}

fn listen(path: &Path, option: &str, files: &mut Vec<SocketFile>) -> Result<UnixSocket, Failure> {
    let (socket, file) =
        UnixSocket::listen(path).map_err(|errno| no_socket(path, option, errno))?;
    files.push(file);
    Ok(socket)
}

/// Whether [`open`] could open what was named; makes nothing.
pub(super) fn check(arguments: &Serve) -> Result<(), Failure> {
    let could_listen = |path: &Path, option| {
        UnixSocket::could_listen(path).map_err(|errno| no_socket(path, option, errno))
    };
    if let Some(AdminOption::Path(path)) = &arguments.admin {
        could_listen(path, "--admin")?;
    }
    match &arguments.metrics {
        None => Ok(()),
        Some(MetricsOption::Path(path)) => could_listen(path, "--metrics"),
        Some(MetricsOption::Address(at)) => TcpListener::bind(at).map(drop).map_err(|error| {
            explain(arguments, Errno::from_raw(error.raw_os_error().unwrap_or_default()))
        }),
    }
}

fn no_socket(path: &Path, option: &str, errno: Errno) -> Failure {
    let why = match errno {
        Errno::EADDRINUSE => "another process listens there".to_owned(),
        Errno::EEXIST => "there is something that is no socket".to_owned(),
        Errno::ENAMETOOLONG => format!("its last part has more than {SOCKET_NAME} bytes"),
        errno => errno.desc().to_owned(),
    };
    let path = path.display();
    let message = format!("cannot listen at '{path}': {why}; name another path with {option}");
    Failure::new(Exit::Failed, message)
}

/// Why metrics cannot be served.
pub(super) fn explain(arguments: &Serve, errno: Errno) -> Failure {
    let at = match &arguments.metrics {
        Some(MetricsOption::Address(at)) => at.to_string(),
        Some(MetricsOption::Path(path)) => path.display().to_string(),
        None => String::new(), // never: nothing was asked for
    };
    let message = format!(
        "cannot serve metrics on {at}: {errno}; choose another with --metrics, or port 0 for any \
         free one"
    );
    Failure::new(Exit::Failed, message)
}
