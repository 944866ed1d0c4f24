//! Certificates: read from PEM, and made for tests.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The certificates of a PEM file's content.
///
/// # Errors
/// In words, if there is none or one is broken.
pub fn pem_certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if all.is_empty() => Err("there is no certificate in it (PEM is expected)".into()),
        Ok(all) => Ok(all),
        Err(error) => Err(format!("a certificate cannot be read: {error}")),
    }
}

/// The private key of a PEM file's content.
///
/// # Errors
/// In words, if there is none or it is broken.
pub fn pem_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| format!("the private key cannot be read: {error}"))
}

/// A CA of one's own with what it signed, all as PEM. ECDSA on P-256: what small devices use.
#[derive(Clone)]
pub struct SelfSigned {
    /// The CA's certificate: what clients are to trust.
    pub ca: String,
    /// The server's certificate and key.
    pub server: (String, String),
    /// A client's certificate and key.
    pub client: (String, String),
}

impl std::fmt::Debug for SelfSigned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SelfSigned").finish_non_exhaustive()
    }
}

/// Makes a CA, a server's certificate for `names` (host names or addresses), and a client's. They are valid from 2020 to
/// `until` (a year): no clock is asked.
///
/// # Errors
/// In words, if a name cannot be one.
pub fn self_signed(names: &[&str], until: i32) -> Result<SelfSigned, String> {
    let say = |e: rcgen::Error| e.to_string();
    let mut ca = CertificateParams::new(Vec::new()).map_err(say)?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.distinguished_name.push(DnType::CommonName, "squall test CA");
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    ca.not_before = rcgen::date_time_ymd(2020, 1, 1);
    ca.not_after = rcgen::date_time_ymd(2099, 1, 1);
    let key = KeyPair::generate().map_err(say)?;
    let certificate = ca.self_signed(&key).map_err(say)?.pem();
    let issuer = Issuer::new(ca, key);
    let sign = |common: &str, names: &[&str], purpose| -> Result<(String, String), String> {
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        let mut leaf = CertificateParams::new(names).map_err(say)?;
        leaf.distinguished_name.push(DnType::CommonName, common);
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![purpose];
        leaf.use_authority_key_identifier_extension = true;
        leaf.not_before = rcgen::date_time_ymd(2020, 1, 1);
        leaf.not_after = rcgen::date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().map_err(say)?;
        let certificate = leaf.signed_by(&key, &issuer).map_err(say)?;
        Ok((certificate.pem(), key.serialize_pem()))
    };
    let server = sign("squall test broker", names, ExtendedKeyUsagePurpose::ServerAuth)?;
    let client = sign("squall test client", &[], ExtendedKeyUsagePurpose::ClientAuth)?;
    Ok(SelfSigned { ca: certificate, server, client })
}
