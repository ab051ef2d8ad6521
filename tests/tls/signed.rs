//! Files of certificates, each with the authority that has signed it.

use std::path::Path;

use der::pem::{LineEnding, encode_string};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

use crate::support::process::text;

/// Files of an authority, and of a certificate that it has signed.
pub(crate) struct Signed {
    pub(crate) authority: String,
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Signed {
    /// For `host`, in `folder`; valid until 2100.
    pub(crate) fn new(folder: &Path, host: &str) -> Self {
        Self::with(folder, host, |_| {})
    }

    /// The same, but for what `change` does to the certificate.
    pub(crate) fn with(folder: &Path, host: &str, change: impl Fn(&mut CertificateParams)) -> Self {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.distinguished_name.push(DnType::CommonName, format!("who signs {host}"));
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let (authority_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let root = authority.self_signed(&authority_key).unwrap();
        let issuer = Issuer::new(authority, authority_key);
        let mut params = params(host);
        change(&mut params);
        let leaf = params.signed_by(&key, &issuer).unwrap();
        Self {
            authority: keep(folder, &format!("{host}.root"), "CERTIFICATE", root.der()),
            certificate: keep(folder, &format!("{host}.pem"), "CERTIFICATE", leaf.der()),
            key: keep(folder, &format!("{host}.key"), "PRIVATE KEY", &key.serialize_der()),
        }
    }

    /// One that nobody else has signed: it is its own authority.
    pub(crate) fn by_itself(folder: &Path, host: &str, is_ca: IsCa) -> Self {
        let (key, mut params) = (KeyPair::generate().unwrap(), params(host));
        params.is_ca = is_ca;
        let own = params.self_signed(&key).unwrap();
        let certificate = keep(folder, &format!("{host}.own"), "CERTIFICATE", own.der());
        Self {
            authority: certificate.clone(),
            certificate,
            key: keep(folder, &format!("{host}.own.key"), "PRIVATE KEY", &key.serialize_der()),
        }
    }
}

fn params(host: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(2100, 1, 1);
    params.distinguished_name.push(DnType::CommonName, host); // which openssl prints
    params
}

fn keep(folder: &Path, name: &str, label: &str, der: &[u8]) -> String {
    let path = folder.join(name);
    std::fs::write(&path, encode_string(label, LineEnding::LF, der).unwrap()).unwrap();
    text(&path).to_owned()
}
