//! An authority that is thrown away, and the one certificate that it signs.

use std::{
    fs::OpenOptions,
    io::Write,
    net::{IpAddr, Ipv4Addr},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

/// Where they lie.
pub(super) struct Certificates {
    pub(super) authority: PathBuf,
    /// For members and clients alike.
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl Certificates {
    /// Makes them in a folder; the authority's key is kept nowhere.
    pub(super) fn make(dir: &Path) -> Result<Certificates> {
        let mut authority = CertificateParams::default();
        authority.distinguished_name.push(DnType::CommonName, "mainstay demo");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority_key = KeyPair::generate()?;
        let signed = authority.self_signed(&authority_key)?;
        let issuer = Issuer::new(authority, authority_key);

        let mut leaf = CertificateParams::default();
        leaf.distinguished_name.push(DnType::CommonName, "root");
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        leaf.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        leaf.subject_alt_names = vec![
            SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            SanType::DnsName("localhost".try_into()?),
        ];
        let key = KeyPair::generate()?;
        let certificate = leaf.signed_by(&key, &issuer)?;

        let [authority, certificate_path, key_path] =
            ["ca.pem", "member.pem", "member-key.pem"].map(|name| dir.join(name));
        write(&authority, &signed.pem())?;
        write(&certificate_path, &certificate.pem())?;
        write(&key_path, &key.serialize_pem())?;
        Ok(Certificates { authority, certificate: certificate_path, key: key_path })
    }

    /// Flags of a member that serves and asks with them.
    pub(super) fn flags(&self) -> Vec<String> {
        let [ca, cert, key] = [&self.authority, &self.certificate, &self.key].map(|path| path.display());
        vec![
            format!("--trusted-ca-file={ca}"),
            format!("--cert-file={cert}"),
            format!("--key-file={key}"),
            "--client-cert-auth".into(),
            format!("--peer-trusted-ca-file={ca}"),
            format!("--peer-cert-file={cert}"),
            format!("--peer-key-file={key}"),
            "--peer-client-cert-auth".into(),
        ]
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes()).with_context(|| format!("writing {}", path.display()))
}
