//! Why TLS failed on a connection: a name for the counter and a text for the log.

use std::fmt;

use rustls::{CertificateError, Error, PeerIncompatible};

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
    /// The other end sent an alert (RFC 8446, section 6).
    Alert,
    /// A record does not open: it was changed on the way, or the keys differ.
    Decrypt,
    /// The handshake or one record is longer than it may be.
    TooLong,
    /// The other end does what the protocol does not allow.
    Misbehaved,
    /// The certificate has run out, or is not valid yet.
    CertificateTime,
    /// The certificate is for another host.
    CertificateName,
    /// Nobody whom this system trusts has signed the certificate.
    CertificateIssuer,
    /// Something else is wrong with the certificate.
    Certificate,
}

impl Fault {
    /// All of them, in order.
    pub const ALL: [Self; 11] = [
        Self::NoTls,
        Self::Version,
        Self::NothingInCommon,
        Self::Alert,
        Self::Decrypt,
        Self::TooLong,
        Self::Misbehaved,
        Self::CertificateTime,
        Self::CertificateName,
        Self::CertificateIssuer,
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
    pub const fn is_about_certificate(self) -> bool {
        matches!(
            self,
            Self::CertificateTime
                | Self::CertificateName
                | Self::CertificateIssuer
                | Self::Certificate
        )
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
            Self::CertificateTime => "certificate_time",
            Self::CertificateName => "certificate_name",
            Self::CertificateIssuer => "certificate_issuer",
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
            Error::AlertReceived(_) => Self::Alert,
            Error::DecryptError => Self::Decrypt,
            Error::PeerSentOversizedRecord => Self::TooLong,
            Error::InvalidCertificate(why) => match why {
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. } => Self::CertificateTime,
                CertificateError::NotValidForName
                | CertificateError::NotValidForNameContext { .. } => Self::CertificateName,
                CertificateError::UnknownIssuer => Self::CertificateIssuer,
                _ => Self::Certificate,
            },
            _ => Self::Misbehaved,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoTls => "what came is not TLS",
            Self::Version => "the other end does not speak TLS 1.3",
            Self::NothingInCommon => "the two ends have no algorithm of TLS 1.3 in common",
            Self::Alert => "the other end ended it with an alert",
            Self::Decrypt => "a record does not open",
            Self::TooLong => "the handshake or a record is too long",
            Self::Misbehaved => "the other end does not keep to TLS 1.3",
            Self::CertificateTime => "the certificate has run out or is not valid yet",
            Self::CertificateName => "the certificate is for another host",
            Self::CertificateIssuer => "nobody whom this system trusts signed the certificate",
            Self::Certificate => "the certificate is not valid",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_is_carried_as_a_number_and_found_again() {
        for fault in Fault::ALL {
            assert_eq!(Fault::of(fault.garbled()), fault);
        }
        assert_eq!(Fault::of(Garbled(200)), Fault::Misbehaved);
    }
}
