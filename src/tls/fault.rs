//! Why TLS failed on a connection: a name for the counter and a text for people.

use std::fmt;

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

use crate::reactor::Garbled;

/// Why TLS failed on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Fault {
    /// The bytes that arrived are not TLS.
    NoTls,
    /// The other end does not speak TLS 1.3.
    Version,
    /// The two ends have no algorithm in common.
    NothingInCommon,
    /// The other end sent another alert (RFC 8446, section 6).
    Alert,
    /// A record does not open: it was changed on the way, or the keys differ.
    Decrypt,
    /// The handshake or one record is longer than it may be.
    TooLong,
    /// The other end does what the protocol does not allow.
    Misbehaved,
    /// The certificate has run out.
    CertificateExpired,
    /// The certificate is not valid yet.
    CertificateTooEarly,
    /// The certificate is for another host.
    CertificateName,
    /// Nobody whom this system trusts has signed the certificate.
    CertificateIssuer,
    /// The certificate is marked as one of an authority, which no server may show.
    CertificateAuthority,
    /// The certificate is not for servers.
    CertificatePurpose,
    /// A certificate in the chain was not allowed to sign the next one.
    CertificateChain,
    /// A signature does not hold.
    CertificateSignature,
    /// A signature is not of the kind that the key of its authority makes.
    CertificateKey,
    /// A signature is of a kind that is not supported.
    CertificateAlgorithm,
    /// The certificate was revoked.
    CertificateRevoked,
    /// Whether the certificate was revoked cannot be found out.
    CertificateRevocation,
    /// The certificate has a critical extension that is not known here.
    CertificateExtension,
    /// The certificate is not of version 3.
    CertificateVersion,
    /// The bytes of the certificate are not well-formed.
    CertificateEncoding,
    /// Something else is wrong with the certificate.
    Certificate,
}

impl Fault {
    /// All of them, in order.
    pub const ALL: [Self; 23] = [
        Self::NoTls,
        Self::Version,
        Self::NothingInCommon,
        Self::Alert,
        Self::Decrypt,
        Self::TooLong,
        Self::Misbehaved,
        Self::CertificateExpired,
        Self::CertificateTooEarly,
        Self::CertificateName,
        Self::CertificateIssuer,
        Self::CertificateAuthority,
        Self::CertificatePurpose,
        Self::CertificateChain,
        Self::CertificateSignature,
        Self::CertificateKey,
        Self::CertificateAlgorithm,
        Self::CertificateRevoked,
        Self::CertificateRevocation,
        Self::CertificateExtension,
        Self::CertificateVersion,
        Self::CertificateEncoding,
        Self::Certificate,
    ];

    /// The fault that this number of a transform stands for.
    pub fn of(garbled: Garbled) -> Self {
        Self::ALL.get(usize::from(garbled.0)).copied().unwrap_or(Self::Misbehaved)
    }

    /// The number that the reactor passes on for it.
    pub const fn garbled(self) -> Garbled {
        Garbled(self as u8)
    }

    /// Whether the certificate is what is wrong.
    pub fn is_about_certificate(self) -> bool {
        self >= Self::CertificateExpired
    }

    /// Its name in the counters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoTls => "no_tls",
            Self::Version => "version",
            Self::NothingInCommon => "nothing_in_common",
            Self::Alert => "alert",
            Self::Decrypt => "decrypt",
            Self::TooLong => "too_long",
            Self::Misbehaved => "misbehaved",
            Self::CertificateExpired => "certificate_expired",
            Self::CertificateTooEarly => "certificate_too_early",
            Self::CertificateName => "certificate_name",
            Self::CertificateIssuer => "certificate_issuer",
            Self::CertificateAuthority => "certificate_authority",
            Self::CertificatePurpose => "certificate_purpose",
            Self::CertificateChain => "certificate_chain",
            Self::CertificateSignature => "certificate_signature",
            Self::CertificateKey => "certificate_key",
            Self::CertificateAlgorithm => "certificate_algorithm",
            Self::CertificateRevoked => "certificate_revoked",
            Self::CertificateRevocation => "certificate_revocation",
            Self::CertificateExtension => "certificate_extension",
            Self::CertificateVersion => "certificate_version",
            Self::CertificateEncoding => "certificate_encoding",
            Self::Certificate => "certificate",
        }
    }
}

impl From<&Error> for Fault {
    fn from(error: &Error) -> Self {
        match error {
            Error::InvalidMessage(_) => Self::NoTls,
            Error::PeerIncompatible(why) => match why {
                PeerIncompatible::SupportedVersionsExtensionRequired
                | PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled
                | PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig => Self::Version,
                _ => Self::NothingInCommon,
            },
            // RFC 8446, section 6.2, says what each of them means.
            Error::AlertReceived(AlertDescription::ProtocolVersion) => Self::Version,
            Error::AlertReceived(AlertDescription::HandshakeFailure) => Self::NothingInCommon,
            Error::AlertReceived(_) => Self::Alert,
            Error::DecryptError => Self::Decrypt,
            Error::PeerSentOversizedRecord => Self::TooLong,
            Error::InvalidCertificate(why) => of_certificate(why),
            _ => Self::Misbehaved,
        }
    }
}

fn of_certificate(why: &CertificateError) -> Fault {
    match why {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            Fault::CertificateExpired
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Fault::CertificateTooEarly
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Fault::CertificateName
        }
        CertificateError::UnknownIssuer => Fault::CertificateIssuer,
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            Fault::CertificatePurpose
        }
        CertificateError::BadSignature => Fault::CertificateSignature,
        CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            Fault::CertificateKey
        }
        #[allow(deprecated)] // the library still returns it
        CertificateError::UnsupportedSignatureAlgorithm
        | CertificateError::UnsupportedSignatureAlgorithmContext { .. } => {
            Fault::CertificateAlgorithm
        }
        CertificateError::Revoked => Fault::CertificateRevoked,
        CertificateError::UnknownRevocationStatus
        | CertificateError::ExpiredRevocationList
        | CertificateError::ExpiredRevocationListContext { .. }
        | CertificateError::InvalidOcspResponse => Fault::CertificateRevocation,
        CertificateError::UnhandledCriticalExtension => Fault::CertificateExtension,
        CertificateError::BadEncoding => Fault::CertificateEncoding,
        CertificateError::Other(other) => {
            other.0.downcast_ref().map_or(Fault::Certificate, of_webpki)
        }
        _ => Fault::Certificate,
    }
}

/// What `rustls` passes on from the library that checks the chain, without a name of its own.
fn of_webpki(why: &webpki::Error) -> Fault {
    use webpki::Error;
    match why {
        Error::CaUsedAsEndEntity => Fault::CertificateAuthority,
        Error::EmptyEkuExtension => Fault::CertificatePurpose,
        Error::CertDistrusted
        | Error::EndEntityUsedAsCa
        | Error::NameConstraintViolation
        | Error::PathLenConstraintViolated
        | Error::MaximumNameConstraintComparisonsExceeded
        | Error::MaximumPathBuildCallsExceeded
        | Error::MaximumPathDepthExceeded
        | Error::MaximumSignatureChecksExceeded => Fault::CertificateChain,
        Error::SignatureAlgorithmMismatch => Fault::CertificateAlgorithm,
        Error::UnsupportedCriticalExtension => Fault::CertificateExtension,
        Error::UnsupportedCertVersion => Fault::CertificateVersion,
        Error::ExtensionValueInvalid
        | Error::InvalidSerialNumber
        | Error::MalformedDnsIdentifier
        | Error::MalformedExtensions
        | Error::MalformedNameConstraint => Fault::CertificateEncoding,
        _ => Fault::Certificate,
    }
}

impl fmt::Display for Fault {
    /// What is wrong; of a certificate also what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoTls => "what came is not TLS",
            Self::Version => "the other end does not speak TLS 1.3",
            Self::NothingInCommon => "the two ends have no algorithm of TLS 1.3 in common",
            Self::Alert => "the other end ended it with an alert",
            Self::Decrypt => "a record does not open",
            Self::TooLong => "the handshake or a record is too long",
            Self::Misbehaved => "the other end does not keep to TLS 1.3",
            Self::CertificateExpired => {
                "it has run out, by the clock of this machine: it has to be renewed"
            }
            Self::CertificateTooEarly => {
                "it is not valid yet: set the clock of this machine, or of the one that made it"
            }
            Self::CertificateName => {
                "it is for another host: use the name that is in it (subjectAltName), or add this \
                 one to it"
            }
            Self::CertificateIssuer => {
                "nobody whom this system trusts signed it: if it is yours, name the certificate \
                 that signed it, or itself where none did, in the variable SSL_CERT_FILE"
            }
            Self::CertificateAuthority => {
                "it is marked as one of an authority (CA:TRUE), which a server cannot show: make \
                 one without, with 'openssl req -x509 … -addext basicConstraints=critical,CA:FALSE'\
                 , and name it in the variable SSL_CERT_FILE"
            }
            Self::CertificatePurpose => {
                "it is not for servers (extendedKeyUsage): make one with serverAuth"
            }
            Self::CertificateChain => {
                "one of those that signed it was not allowed to, or they are too many: have it \
                 signed by another authority"
            }
            Self::CertificateSignature => {
                "a signature does not hold: another authority of the same name made it (name the \
                 right one in the variable SSL_CERT_FILE), or it was changed, or a key is of RSA \
                 with less than 2,048 bits"
            }
            Self::CertificateKey => {
                "its signature does not fit the key of its authority: another authority of the \
                 same name made it (name the right one in the variable SSL_CERT_FILE), or that key \
                 is not of ECDSA on P-256 or P-384, RSA, or Ed25519"
            }
            Self::CertificateAlgorithm => {
                "a signature is of a kind that is not supported: have it signed with SHA-256, and \
                 with a key of ECDSA on P-256 or P-384, RSA, or Ed25519"
            }
            Self::CertificateRevoked => "who signed it has revoked it: it has to be replaced",
            Self::CertificateRevocation => {
                "whether it was revoked cannot be found out: have its issuer's list renewed"
            }
            Self::CertificateExtension => {
                "it has a critical extension that is not known here: make one without"
            }
            Self::CertificateVersion => {
                "it is not of version 3 of X.509: make one that is, with a subjectAltName"
            }
            Self::CertificateEncoding => "it is damaged, or not well-formed X.509: make one anew",
            Self::Certificate => "it does not keep to X.509 (RFC 5280): make one anew",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::{OtherError, PeerMisbehaved};

    use super::*;

    #[test]
    fn each_fault_is_carried_as_a_number_and_found_again() {
        for fault in Fault::ALL {
            assert_eq!(Fault::of(fault.garbled()), fault);
        }
        assert_eq!(Fault::of(Garbled(200)), Fault::Misbehaved);
    }

    #[test]
    fn faults_of_a_certificate_are_told_from_others() {
        let of_certificate = |fault: &Fault| fault.name().starts_with("certificate");
        assert!(Fault::ALL.iter().all(|it| it.is_about_certificate() == of_certificate(it)));
        let fault = Error::PeerMisbehaved(PeerMisbehaved::InvalidCertCompression);
        assert_eq!(Fault::from(&fault), Fault::Misbehaved);
    }

    #[test]
    fn what_is_wrong_with_a_certificate_is_told_as_what_it_is() {
        let told = |why: CertificateError| Fault::from(&Error::InvalidCertificate(why));
        assert_eq!(told(CertificateError::Expired), Fault::CertificateExpired);
        assert_eq!(told(CertificateError::NotValidYet), Fault::CertificateTooEarly);
        assert_eq!(told(CertificateError::NotValidForName), Fault::CertificateName);
        assert_eq!(told(CertificateError::UnknownIssuer), Fault::CertificateIssuer);
        assert_eq!(told(CertificateError::InvalidPurpose), Fault::CertificatePurpose);
        assert_eq!(told(CertificateError::BadSignature), Fault::CertificateSignature);
        let (signature_algorithm_id, public_key_algorithm_id) = (Vec::new(), Vec::new());
        let why = CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext {
            signature_algorithm_id,
            public_key_algorithm_id,
        };
        assert_eq!(told(why), Fault::CertificateKey);
        let (signature_algorithm_id, supported_algorithms) = (Vec::new(), Vec::new());
        let why = CertificateError::UnsupportedSignatureAlgorithmContext {
            signature_algorithm_id,
            supported_algorithms,
        };
        assert_eq!(told(why), Fault::CertificateAlgorithm);
        assert_eq!(told(CertificateError::Revoked), Fault::CertificateRevoked);
        assert_eq!(told(CertificateError::UnknownRevocationStatus), Fault::CertificateRevocation);
        assert_eq!(told(CertificateError::ExpiredRevocationList), Fault::CertificateRevocation);
        assert_eq!(told(CertificateError::InvalidOcspResponse), Fault::CertificateRevocation);
        assert_eq!(told(CertificateError::UnhandledCriticalExtension), Fault::CertificateExtension);
        assert_eq!(told(CertificateError::BadEncoding), Fault::CertificateEncoding);
        assert_eq!(told(CertificateError::ApplicationVerificationFailure), Fault::Certificate);
        let within = |why: webpki::Error| told(CertificateError::Other(OtherError(Arc::new(why))));
        assert_eq!(within(webpki::Error::CaUsedAsEndEntity), Fault::CertificateAuthority);
        assert_eq!(within(webpki::Error::UnsupportedCertVersion), Fault::CertificateVersion);
        assert_eq!(within(webpki::Error::PathLenConstraintViolated), Fault::CertificateChain);
        assert_eq!(within(webpki::Error::InvalidCrlNumber), Fault::Certificate);
    }
}
