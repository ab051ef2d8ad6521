//! `serve --admin` and `--metrics`: the sockets through which a relay is looked at.

use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::cli::{AdminOption, MetricsOption, Serve};
use super::{Exit, Failure, serve};
use crate::admin::MetricsAt;
use crate::reactor::{SocketFile, UnixSocket};

/// The admin socket in a relay's home.
const ADMIN_FILE: &str = "admin.sock";

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
    let (socket, file) = UnixSocket::listen(path).map_err(|errno| {
        let why = match errno {
            Errno::EADDRINUSE => "another process listens there".to_owned(),
            Errno::EEXIST => "there is something that is no socket".to_owned(),
            errno => errno.desc().to_owned(),
        };
        let path = path.display();
        let message = format!("cannot listen at '{path}': {why}; name another path with {option}");
        Failure::new(Exit::Failed, message)
    })?;
    files.push(file);
    Ok(socket)
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
