//! The client's end of TLS: with a relay that is authenticated by its own key (channel binding), or
//! with a proxy that is authenticated by its certificate (`tls://`).

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, version,
};

use super::{Engine, Roots, provider};
use crate::reactor::Transform;

/// The configuration of the client's end of each connection.
#[derive(Clone)]
pub struct ClientTls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    is_bound: bool,
}

impl ClientTls {
    /// For a relay that is authenticated by its own key: any certificate is accepted, because the
    /// relay's signature over the channel binding decides.
    ///
    /// # Errors
    /// This build of the library cannot do it.
    pub fn bound() -> Result<Self, String> {
        let provider = provider();
        let verifier = Arc::new(AnyCertificate(Arc::clone(&provider)));
        Self::new(provider, verifier, ServerName::from(UNNAMED), true)
    }

    /// For a proxy at `host`: its certificate is checked against `roots`.
    ///
    /// # Errors
    /// `host` cannot stand in a certificate, or there are no roots.
    pub fn checked(host: &str, roots: Roots) -> Result<Self, String> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| format!("{host} cannot stand in a certificate"))?;
        let provider = provider();
        let verifier =
            WebPkiServerVerifier::builder_with_provider(roots.into_store(), Arc::clone(&provider))
                .build()
                .map_err(|error| error.to_string())?;
        Self::new(provider, verifier, name, false)
    }

    fn new(
        provider: Arc<CryptoProvider>,
        verifier: Arc<dyn ServerCertVerifier>,
        name: ServerName<'static>,
        is_bound: bool,
    ) -> Result<Self, String> {
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13])
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(Self { config: Arc::new(config), name, is_bound })
    }

    /// Whether the channel is to be bound to the relay's key.
    pub const fn is_bound(&self) -> bool {
        self.is_bound
    }

    /// The engine of one more connection; none where it could not be made.
    pub fn engine(&self) -> Option<Box<dyn Transform>> {
        let connection = ClientConnection::new(Arc::clone(&self.config), self.name.clone()).ok()?;
        Some(Box::new(Engine::new(connection.into())))
    }
}

/// A placeholder: the library wants a name, and nothing looks at it. It is an address, so no server
/// name (SNI) is sent in the clear.
const UNNAMED: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

/// Accepts every certificate and every signature made with it. A machine in the middle has a
/// different secret with each end, so the two ends export different values, and the relay's
/// signature over its own value does not verify at the client. The client trusts nothing before
/// that check.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 only".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
