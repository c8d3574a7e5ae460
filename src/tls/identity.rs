//! The owner of a client's certificate, as the certificate names it.

use std::fmt::Write;

use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_parser::asn1_rs::BmpString;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::{AttributeTypeAndValue, FromDer, X509Certificate, X509Name};

use crate::core::subject::{Attribute, Subject};
use crate::core::tls_info::CertificateInfo;

/// The identity in `certificate`; `None` if it cannot be read.
#[must_use]
pub fn of(certificate: &CertificateDer<'_>) -> Option<CertificateInfo> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(CertificateInfo {
        subject: name(parsed.subject()),
        issuer: name(parsed.issuer()).to_string(),
        serial: hexadecimal(parsed.raw_serial()),
        fingerprint: fingerprint(certificate),
    })
}

/// The SHA-256 of `certificate`, in hexadecimal digits.
pub(super) fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    hexadecimal(&Sha256::digest(certificate.as_ref()))
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn name(name: &X509Name<'_>) -> Subject {
    Subject::new(name.iter_attributes().map(attribute).collect())
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> Attribute {
    let oid = attribute.attr_type();
    let kind = oid2abbrev(oid, oid_registry()).map_or_else(|_| oid.to_id_string(), str::to_owned);
    let value = attribute.as_str().map(str::to_owned);
    // Texts of other kinds are what RFC 4514 §2.4 makes of them: their bytes.
    let value =
        value.or_else(|_| BmpString::try_from(attribute.attr_value().clone()).map(|text| text.string()));
    Attribute { kind, value: value.unwrap_or_else(|_| format!("#{}", hexadecimal(attribute.as_slice()))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    #[test]
    fn a_name_in_a_name_is_one_name() {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Example");
        params.distinguished_name.push(DnType::CommonName, "alice, O=Admins");
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let identity = of(made.der()).unwrap();
        assert_eq!(identity.subject.text(), r"O=Example, CN=alice\, O=Admins");
        assert_eq!(identity.subject.common_names().collect::<Vec<_>>(), ["alice, O=Admins"]);
        assert_eq!((identity.issuer.as_str(), identity.fingerprint.len()), (identity.subject.text(), 64));
    }
}
