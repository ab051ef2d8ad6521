//! Certificates in files: the one of a relay, made at the start, or read from two files, which
//! SIGHUP lets it read again; and those of the authorities that a client trusts.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use zeroize::Zeroizing;

use super::cli::Serve;
use super::{Exit, Failure};
use crate::limits::{MAX_ROOTS_FILE, MAX_ROOTS_FILES, MAX_TLS_FILE};
use crate::reactor::Transform;
use crate::tls::{Engines, Roots, ServerTls};

/// A certificate and its key in files.
struct FilePair {
    certificate: PathBuf,
    key: PathBuf,
    in_force: ServerTls,
}

/// This system has no root certificates, and what the user can do.
const NO_ROOTS: &str = "this system has no certificates of authorities to check the relay's with: \
    install them (Debian: ca-certificates), or name them in the variable SSL_CERT_FILE";
/// A file of certificates, as openssl has it too.
const ROOTS_FILE: &str = "SSL_CERT_FILE";
/// Directories of such files, with a `:` between them.
const ROOTS_FOLDERS: &str = "SSL_CERT_DIR";

/// The authorities whose signatures count: those that the environment names, or this system's.
pub(super) fn roots() -> Result<Roots, Failure> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let (file, folders) = (variable(ROOTS_FILE), variable(ROOTS_FOLDERS));
    if file.is_none() && folders.is_none() {
        let roots = Roots::of_system();
        let is_empty = roots.is_empty();
        return if is_empty { Err(Failure::new(Exit::Relay, NO_ROOTS)) } else { Ok(roots) };
    }
    let mut roots = Roots::empty();
    if let Some(file) = &file {
        add_file(&mut roots, Path::new(file)).map_err(|why| not_named(ROOTS_FILE, &why))?;
    }
    for folder in folders.iter().flat_map(std::env::split_paths) {
        add_folder(&mut roots, &folder).map_err(|why| not_named(ROOTS_FOLDERS, &why))?;
    }
    Ok(roots)
}

/// What the variable names is not there or of no use.
fn not_named(variable: &str, why: &str) -> Failure {
    let help = "name certificates of authorities (PEM), or unset it to use this system's";
    Failure::new(Exit::Relay, format!("the variable {variable} names {why}; {help}"))
}

fn add_file(roots: &mut Roots, path: &Path) -> Result<(), String> {
    match roots.add_pem(&read(path, MAX_ROOTS_FILE)?) {
        0 => Err(format!("{}: there is no certificate in it (PEM)", path.display())),
        _ => Ok(()),
    }
}

/// Adds what is in the regular files of a directory; other files may be there too.
fn add_folder(roots: &mut Roots, path: &Path) -> Result<(), String> {
    let failed = |error: io::Error| format!("{}: {error}", path.display());
    let mut found = 0;
    for (entry, number) in fs::read_dir(path).map_err(failed)?.zip(1..) {
        if number > MAX_ROOTS_FILES {
            return Err(format!("{}: more than {MAX_ROOTS_FILES} files", path.display()));
        }
        let file = entry.map_err(failed)?.path();
        if file.is_file() {
            found += roots.add_pem(&read(&file, MAX_ROOTS_FILE)?);
        }
    }
    match found {
        0 => Err(format!("{}: there is no certificate in its files (PEM)", path.display())),
        _ => Ok(()),
    }
}

/// Where the engines of `serve` come from; none with `--tls off`.
pub(super) fn engines(arguments: &Serve) -> Result<Option<Box<dyn Engines>>, Failure> {
    if arguments.tls.is_off() {
        if arguments.tls_cert.is_some() {
            let why = "--tls off shows no certificate: leave it away, or --tls-cert and --tls-key";
            return Err(Failure::new(Exit::Usage, why));
        }
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
    let (chain, secret) = (read(certificate, MAX_TLS_FILE)?, read(key, MAX_TLS_FILE)?);
    ServerTls::from_pem(&chain, &secret)
        .map_err(|fault| format!("{} and {}: {fault}", certificate.display(), key.display()))
}

/// All of a file of at most `limit` bytes.
pub(super) fn read(path: &Path, limit: usize) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut bytes = Zeroizing::new(Vec::new());
    let most = limit as u64 + 1;
    // Opening a pipe would block the loop until another process opens it for writing (fifo(7)).
    let flags = OFlag::O_NONBLOCK.bits();
    let opened = File::options().read(true).custom_flags(flags).open(path);
    let read = opened.and_then(|file| {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            let is = if metadata.is_dir() { "a directory, " } else { "" };
            return Err(io::Error::other(format!("{is}not a regular file")));
        }
        // Room for all from the start: a vector that grows leaves copies of a secret behind.
        let size = usize::try_from(metadata.len()).unwrap_or(limit).min(limit);
        bytes.reserve_exact(size + 1);
        file.take(most).read_to_end(&mut bytes)
    });
    match read {
        Ok(length) if length > limit => {
            Err(format!("{}: longer than {limit} bytes", path.display()))
        }
        Ok(_) => Ok(bytes),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}
