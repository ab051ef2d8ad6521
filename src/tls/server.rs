//! The relay's end: a certificate, and engines that show it.

use std::fmt;
use std::sync::Arc;

use der::pem::{LineEnding, encode_string};
use rcgen::{CertifiedKey, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::{ServerConfig, ServerConnection, version};
use zeroize::Zeroizing;

use super::{Engine, Engines, provider};
use crate::reactor::Transform;

/// The configuration of the relay's end of each connection.
#[derive(Clone)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
}

/// A certificate and its key as PEM, for a server that reads files.
pub struct PemPair {
    /// Self-signed.
    pub certificate: String,
    /// Not encrypted (PKCS #8).
    pub key: Zeroizing<String>,
}

/// Why a certificate and its key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PairFault {
    /// There is no certificate in the text.
    NoCertificate,
    /// There is no private key in the text.
    NoKey,
    /// They do not belong together, or their kind is not supported.
    Unfit(String),
    /// No certificate could be made.
    NotMade(String),
}

impl ServerTls {
    /// With a self-signed certificate that is made now, in memory only (ECDSA on P-256). Clients do
    /// not check it.
    ///
    /// # Errors
    /// The kernel gives no randomness.
    pub fn self_signed() -> Result<Self, PairFault> {
        let made = make()?;
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        Self::new(vec![made.cert.der().clone()], key)
    }

    /// With this certificate, followed by those that signed it, and with its key, all as PEM.
    ///
    /// # Errors
    /// They cannot be used together. The error contains nothing of the key.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, PairFault> {
        let chain = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<Vec<_>, _>>()
            .ok()
            .filter(|chain| !chain.is_empty())
            .ok_or(PairFault::NoCertificate)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| PairFault::NoKey)?;
        Self::new(chain, key)
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, PairFault> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&version::TLS13])
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| PairFault::Unfit(error.to_string()))?;
        config.ignore_client_order = true; // what a handshake costs is for the relay to say
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Self { config: Arc::new(config) })
    }
}

/// A self-signed certificate (ECDSA on P-256) and its key.
fn make() -> Result<CertifiedKey<KeyPair>, PairFault> {
    rcgen::generate_simple_self_signed(["sealwax".to_owned()])
        .map_err(|error| PairFault::NotMade(error.to_string()))
}

impl PemPair {
    /// A certificate like the relay's own, made now.
    ///
    /// # Errors
    /// The kernel gives no randomness.
    pub fn self_signed() -> Result<Self, PairFault> {
        let made = make()?;
        let pem = |label, der: &[u8]| {
            encode_string(label, LineEnding::LF, der)
                .map_err(|error| PairFault::NotMade(error.to_string()))
        };
        let key = Zeroizing::new(made.signing_key.serialize_der());
        Ok(Self {
            certificate: pem("CERTIFICATE", made.cert.der())?,
            key: Zeroizing::new(pem("PRIVATE KEY", &key)?),
        })
    }
}

impl Engines for ServerTls {
    fn engine(&self) -> Option<Box<dyn Transform>> {
        let connection = ServerConnection::new(Arc::clone(&self.config)).ok()?;
        Some(Box::new(Engine::new(connection.into())))
    }
}

impl fmt::Display for PairFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCertificate => f.write_str("there is no certificate in it (PEM)"),
            Self::NoKey => f.write_str("there is no private key in it (PEM, without a passphrase)"),
            Self::Unfit(why) => write!(f, "the certificate and the key cannot be used: {why}"),
            Self::NotMade(why) => write!(f, "a certificate could not be made: {why}"),
        }
    }
}

impl std::error::Error for PairFault {}
