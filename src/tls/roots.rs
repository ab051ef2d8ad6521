//! The authorities whose signatures count for `tls://`.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Certificates of authorities.
pub struct Roots(RootCertStore);

impl Roots {
    /// None yet.
    pub fn empty() -> Self {
        Self(RootCertStore::empty())
    }

    /// Those of this system, from where its distribution keeps them. Files that cannot be read are
    /// passed over.
    pub fn of_system() -> Self {
        let mut roots = Self::empty();
        roots.0.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots
    }

    /// Adds all certificates of a text in PEM that can be used. Returns how many those are.
    pub fn add_pem(&mut self, text: &[u8]) -> usize {
        let found = CertificateDer::pem_slice_iter(text).filter_map(Result::ok);
        self.0.add_parsable_certificates(found).0
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_store(self) -> Arc<RootCertStore> {
        Arc::new(self.0)
    }
}
