//! The certificate of a relay: made at the start, or read from two files, which SIGHUP lets it read
//! again.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use zeroize::Zeroizing;

use super::cli::Serve;
use super::{Exit, Failure};
use crate::limits::MAX_TLS_FILE;
use crate::reactor::Transform;
use crate::tls::{Engines, ServerTls};

/// A certificate and its key in files.
struct FilePair {
    certificate: PathBuf,
    key: PathBuf,
    in_force: ServerTls,
}

/// Where the engines of `serve` come from; none with `--tls off`.
pub(super) fn engines(arguments: &Serve) -> Result<Option<Box<dyn Engines>>, Failure> {
    if arguments.tls.is_off() {
        return Ok(None);
    }
    if let (Some(certificate), Some(key)) = (&arguments.tls_cert, &arguments.tls_key) {
        let failed = |why| Failure::new(Exit::Failed, why);
        let in_force = read_pair(certificate, key).map_err(failed)?;
        let (certificate, key) = (certificate.clone(), key.clone());
        return Ok(Some(Box::new(FilePair { certificate, key, in_force })));
    }
    self_signed().map(Some)
}

/// With a certificate that is made now and means nothing.
pub(super) fn self_signed() -> Result<Box<dyn Engines>, Failure> {
    let made = ServerTls::self_signed().map_err(|fault| Failure::new(Exit::Failed, fault))?;
    Ok(Box::new(made))
}

impl Engines for FilePair {
    fn engine(&self) -> Option<Box<dyn Transform>> {
        self.in_force.engine()
    }

    fn reload(&mut self) -> Option<Result<(), String>> {
        let read = read_pair(&self.certificate, &self.key);
        Some(read.map(|pair| self.in_force = pair))
    }
}

fn read_pair(certificate: &Path, key: &Path) -> Result<ServerTls, String> {
    let (chain, secret) = (read(certificate)?, read(key)?);
    ServerTls::from_pem(&chain, &secret)
        .map_err(|fault| format!("{} and {}: {fault}", certificate.display(), key.display()))
}

/// All of a file, which is not longer than such a file may be.
fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_TLS_FILE + 1));
    let most = MAX_TLS_FILE as u64 + 1;
    // Opening a pipe would block the loop until another process opens it for writing (fifo(7)).
    let flags = OFlag::O_NONBLOCK.bits();
    let opened = File::options().read(true).custom_flags(flags).open(path);
    let read = opened.and_then(|file| {
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        file.take(most).read_to_end(&mut bytes)
    });
    match read {
        Ok(length) if length > MAX_TLS_FILE => {
            Err(format!("{}: longer than {MAX_TLS_FILE} bytes", path.display()))
        }
        Ok(_) => Ok(bytes),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}
