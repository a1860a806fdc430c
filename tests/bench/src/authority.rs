//! A certificate authority for one run: members and the generator show each other its certificates.

use std::{fs, path::Path, sync::Arc};

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// What stands in a directory: `ca.pem`, `cert.pem`, `key.pem`.
pub(crate) struct Authority {
    /// For the generator.
    pub(crate) client: Arc<rustls::ClientConfig>,
}

impl Authority {
    /// Makes one and writes its files to `dir`.
    pub(crate) fn create(dir: &Path) -> Result<Authority> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key)?;
        let issuer = Issuer::new(params, key);

        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let shown = params.signed_by(&key, &issuer)?;
        fs::write(dir.join("ca.pem"), root.pem())?;
        fs::write(dir.join("cert.pem"), shown.pem())?;
        fs::write(dir.join("key.pem"), key.serialize_pem())?;

        let mut roots = rustls::RootCertStore::empty();
        roots.add(root.der().clone())?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut client = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(vec![shown.der().clone()], key)?;
        client.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Authority { client: Arc::new(client) })
    }

    /// The flags of a member that uses the files in `dir`, for clients and for members.
    pub(crate) fn flags(dir: &Path) -> Vec<String> {
        let file = |name: &str| dir.join(name).display().to_string();
        let mut flags = vec!["--client-cert-auth".to_owned(), "--peer-client-cert-auth".to_owned()];
        for prefix in ["", "peer-"] {
            flags.push(format!("--{prefix}cert-file={}", file("cert.pem")));
            flags.push(format!("--{prefix}key-file={}", file("key.pem")));
            flags.push(format!("--{prefix}trusted-ca-file={}", file("ca.pem")));
        }
        flags
    }
}
