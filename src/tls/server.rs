//! The relay's end: a certificate, and engines that show it.

use std::fmt;
use std::sync::Arc;

use der::pem::{LineEnding, encode_string};
use rcgen::{CertifiedKey, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::{Error, ServerConfig, ServerConnection, version};
use zeroize::Zeroizing;

use super::{Engine, Engines, Fault, provider};
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
    /// The first certificate cannot be used.
    UnfitCertificate(Fault),
    /// There is no private key in the text.
    NoKey,
    /// The private key is encrypted.
    EncryptedKey,
    /// The private key is damaged, or of a kind that is not supported.
    UnfitKey,
    /// The key is not the one that the certificate is for.
    NotAPair,
    /// They cannot be used for another reason.
    Unfit(String),
    /// No certificate could be made.
    NotMade(String),
}

/// Stands in a key that is encrypted, in PEM, and in no other.
const ENCRYPTED: &[u8] = b"ENCRYPTED";

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
        // PKCS#8 says it in its label, the older forms in a header (RFC 1421, section 4.6.1.1).
        if key.windows(ENCRYPTED.len()).any(|part| part == ENCRYPTED) {
            return Err(PairFault::EncryptedKey);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| PairFault::NoKey)?;
        Self::new(chain, key)
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, PairFault> {
        let provider = provider();
        // The library has one error for all keys that it does not take.
        provider.key_provider.load_private_key(key.clone_key()).map_err(|_| PairFault::UnfitKey)?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13])
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| match error {
                Error::InconsistentKeys(_) => PairFault::NotAPair,
                Error::InvalidCertificate(_) => PairFault::UnfitCertificate(Fault::from(&error)),
                error => PairFault::Unfit(error.to_string()),
            })?;
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
            Self::NoCertificate => f.write_str(
                "there is no certificate in the first file (PEM, '-----BEGIN CERTIFICATE-----')",
            ),
            Self::UnfitCertificate(why) => {
                write!(f, "the first certificate cannot be used: {why}")
            }
            Self::NoKey => f.write_str(
                "there is no private key in the second file (PEM, '-----BEGIN PRIVATE KEY-----')",
            ),
            Self::EncryptedKey => f.write_str(
                "the key is encrypted, and the relay asks for no passphrase: \
                 'openssl pkey -in KEY -out NEW' writes it without one",
            ),
            Self::UnfitKey => f.write_str(
                "the key is damaged, or of a kind that is not taken: make one with ECDSA on P-256 \
                 or P-384, RSA of 2,048 to 4,096 bits, or Ed25519",
            ),
            Self::NotAPair => f.write_str(
                "the key is not the one of the first certificate: name those that were made \
                 together, and put the relay's own certificate in front of those that signed it",
            ),
            Self::Unfit(why) => write!(f, "the certificate and the key cannot be used: {why}"),
            Self::NotMade(why) => write!(f, "a certificate could not be made: {why}"),
        }
    }
}

impl std::error::Error for PairFault {}
