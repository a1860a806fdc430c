//! Authorities, certificates and revocation lists, good and bad.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, RevokedCertParams, SanType, SerialNumber,
    date_time_ymd,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

pub(crate) type Authority = CertifiedIssuer<'static, KeyPair>;

/// A certificate with what belongs to it.
#[derive(Clone)]
pub(crate) struct Identity {
    /// Leaf first.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// PKCS 8.
    pub(crate) key: Vec<u8>,
}

impl Identity {
    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()))
    }

    /// The same with more certificates behind.
    pub(crate) fn with(mut self, more: &[&Authority]) -> Identity {
        self.chain.extend(more.iter().map(|issuer| issuer.der().clone()));
        self
    }

    /// Chain and key as PEM.
    pub(crate) fn pem(&self) -> (String, String) {
        let chain = self.chain.iter().map(|certificate| armor("CERTIFICATE", certificate)).collect();
        (chain, armor("PRIVATE KEY", &self.key))
    }
}

pub(crate) fn armor(label: &str, der: &[u8]) -> String {
    const TABLE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut column = 0;
    for three in der.chunks(3) {
        let word =
            three.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for n in 0..4 {
            let letter = TABLE[(word >> (18 - 6 * n)) as usize & 63];
            text.push(if n <= three.len() { char::from(letter) } else { '=' });
        }
        column += 1;
        if column % 16 == 0 {
            text.push('\n');
        }
    }
    format!("{text}\n-----END {label}-----\n")
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

pub(crate) fn root(name: &str) -> Authority {
    CertifiedIssuer::self_signed(authority_params(name), KeyPair::generate().unwrap()).unwrap()
}

/// An authority below `above`.
pub(crate) fn intermediate(
    above: &Authority,
    name: &str,
    change: impl FnOnce(&mut CertificateParams),
) -> Authority {
    let mut params = authority_params(name);
    change(&mut params);
    CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), above).unwrap()
}

/// A certificate for clients with common name `good`, unless `change` says otherwise.
pub(crate) fn leaf(issuer: &Authority, change: impl FnOnce(&mut CertificateParams)) -> Identity {
    leaf_of(issuer, change)
}

pub(crate) fn leaf_of(issuer: &Issuer<'_, KeyPair>, change: impl FnOnce(&mut CertificateParams)) -> Identity {
    let key = KeyPair::generate().unwrap();
    let params = leaf_params(change);
    let certificate = params.signed_by(&key, issuer).unwrap();
    Identity { chain: vec![certificate.der().clone()], key: key.serialize_der() }
}

pub(crate) fn self_signed(change: impl FnOnce(&mut CertificateParams)) -> Identity {
    let key = KeyPair::generate().unwrap();
    let certificate = leaf_params(change).self_signed(&key).unwrap();
    Identity { chain: vec![certificate.der().clone()], key: key.serialize_der() }
}

fn leaf_params(change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    // The address that tests connect from.
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "good");
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    change(&mut params);
    params
}

/// Replaces the names that a certificate is for.
pub(crate) fn for_names(names: &[&str]) -> impl FnOnce(&mut CertificateParams) {
    let names: Vec<SanType> = names
        .iter()
        .map(|name| match name.parse() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName((*name).try_into().unwrap()),
        })
        .collect();
    move |params| params.subject_alt_names = names
}

pub(crate) fn with_serial(serial: u64) -> impl FnOnce(&mut CertificateParams) {
    move |params| params.serial_number = Some(SerialNumber::from(serial))
}

/// A list of revoked numbers, PEM, out of date since `until` (year).
pub(crate) fn revocations(issuer: &Authority, serials: &[u64], until: i32) -> String {
    let revoked = serials.iter().map(|&serial| RevokedCertParams {
        serial_number: SerialNumber::from(serial),
        revocation_time: date_time_ymd(2020, 1, 1),
        reason_code: None,
        invalidity_date: None,
    });
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2020, 1, 1),
        next_update: date_time_ymd(until, 1, 1),
        crl_number: 1.into(),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(issuer).unwrap().pem().unwrap()
}
