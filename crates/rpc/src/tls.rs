//! TLS for every listener: one place that turns files into a server configuration, so that no listener can miss a
//! check (reliability.md E: one acceptor function).

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustls::{
    RootCertStore, ServerConfig, SupportedProtocolVersion,
    client::verify_server_name,
    crypto::{CryptoProvider, ring},
    server::{
        NoServerSessionStorage, ParsedCertificate, VerifierBuilderError, WebPkiClientVerifier,
        danger::ClientCertVerifier,
    },
    version::{TLS12, TLS13},
};
use rustls_pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName,
    pem::{self, PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    config::{Tls, TlsVersion},
    der,
};

mod origin;

use origin::OriginError;

/// A handshake may take this long.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Whom a listener is for: they have flags of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsSide {
    /// Clients.
    Client,
    /// Other members.
    Peer,
}

impl TlsSide {
    /// What may be spoken, best first.
    fn protocols(self) -> Vec<Vec<u8>> {
        match self {
            TlsSide::Client => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            TlsSide::Peer => vec![b"http/1.1".to_vec()],
        }
    }
}

/// A setting of TLS, to name in an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsSetting {
    /// Our certificate.
    Cert,
    /// Its key.
    Key,
    /// Whose certificates count.
    TrustedCa,
    /// Which certificates are revoked.
    Crl,
    /// Certificates are demanded.
    ClientCertAuth,
    /// For which hosts.
    AllowedHostnames,
    /// With which common names.
    AllowedCommonNames,
    /// Cipher suites.
    CipherSuites,
    /// Versions of TLS.
    Versions,
}

impl TlsSetting {
    /// The flag, without dashes.
    pub fn flag(self, side: TlsSide) -> &'static str {
        use TlsSide::{Client, Peer};
        match (self, side) {
            (TlsSetting::Cert, Client) => "cert-file",
            (TlsSetting::Cert, Peer) => "peer-cert-file",
            (TlsSetting::Key, Client) => "key-file",
            (TlsSetting::Key, Peer) => "peer-key-file",
            (TlsSetting::TrustedCa, Client) => "trusted-ca-file",
            (TlsSetting::TrustedCa, Peer) => "peer-trusted-ca-file",
            (TlsSetting::Crl, Client) => "client-crl-file",
            (TlsSetting::Crl, Peer) => "peer-crl-file",
            (TlsSetting::ClientCertAuth, Client) => "client-cert-auth",
            (TlsSetting::ClientCertAuth, Peer) => "peer-client-cert-auth",
            (TlsSetting::AllowedHostnames, Client) => "client-cert-allowed-hostname",
            (TlsSetting::AllowedHostnames, Peer) => "peer-cert-allowed-hostname",
            (TlsSetting::AllowedCommonNames, Client) => "client-transport-security.allowed-cn",
            (TlsSetting::AllowedCommonNames, Peer) => "peer-cert-allowed-cn",
            (TlsSetting::CipherSuites, _) => "cipher-suites",
            (TlsSetting::Versions, _) => "tls-min-version",
        }
    }
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {1}: {2}")]
    File(TlsSetting, PathBuf, io::Error),
    /// A file holds something else than it should.
    #[error("{1}: {2}")]
    Pem(TlsSetting, PathBuf, pem::Error),
    /// A file holds none of what it should.
    #[error("{1}: no certificate found")]
    Empty(TlsSetting, PathBuf),
    /// Certificate and key are not usable, or do not belong together.
    #[error("certificate {0}, key {1}: {2}")]
    Pair(PathBuf, PathBuf, rustls::Error),
    /// Something is demanded of certificates, but nothing says whose.
    #[error("certificates are demanded, but no trusted CA file is given")]
    NoTrustedCa(TlsSetting),
    /// A certificate of the CA file is not usable.
    #[error("{0}: {1}")]
    TrustedCa(PathBuf, rustls::Error),
    /// The revocation list is none.
    #[error("cannot verify certificates: {0}")]
    Verifier(#[from] VerifierBuilderError),
    /// A name that no certificate can have.
    #[error("{0:?} is no host name")]
    HostName(String),
    /// A cipher suite that is not spoken here.
    #[error(
        "cipher suite {0:?} is unknown or not supported: only ECDHE with AES-GCM or ChaCha20, and the suites of TLS 1.3, are"
    )]
    CipherSuite(String),
    /// Least version above greatest.
    #[error("min version is greater than max version")]
    Versions,
    /// Versions and cipher suites leave nothing to speak.
    #[error("no usable TLS configuration: {0}")]
    Unusable(rustls::Error),
}

impl TlsError {
    /// The setting to look at.
    pub fn setting(&self) -> TlsSetting {
        match self {
            TlsError::File(setting, ..)
            | TlsError::Pem(setting, ..)
            | TlsError::Empty(setting, ..)
            | TlsError::NoTrustedCa(setting) => *setting,
            TlsError::Pair(..) => TlsSetting::Cert,
            TlsError::TrustedCa(..) => TlsSetting::TrustedCa,
            TlsError::Verifier(_) => TlsSetting::Crl,
            TlsError::HostName(_) => TlsSetting::AllowedHostnames,
            TlsError::CipherSuite(_) | TlsError::Unusable(_) => TlsSetting::CipherSuites,
            TlsError::Versions => TlsSetting::Versions,
        }
    }
}

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error("TLS handshake did not finish in {} s", HANDSHAKE_TIMEOUT.as_secs())]
    Timeout,
    #[error("{0}")]
    Tls(#[from] io::Error),
    #[error("tls: client certificate authentication failed")]
    Name,
    #[error("{0}")]
    Origin(#[from] OriginError),
}

/// What the handshake told of the client.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Of the verified certificate, when names of certificates count.
    pub(crate) common_name: Option<String>,
}

/// Accepts TLS connections, with files that may change underneath.
pub(crate) struct Acceptor {
    side: TlsSide,
    tls: Tls,
    hostnames: Vec<ServerName<'static>>,
    current: Mutex<Current>,
}

struct Current {
    config: Arc<ServerConfig>,
    seen: Vec<Option<Stamp>>,
}

impl Acceptor {
    /// # Errors
    /// When the files do not make a usable configuration.
    pub(crate) fn new(tls: Tls, side: TlsSide) -> Result<Acceptor, TlsError> {
        let hostnames = tls
            .allowed_hostnames
            .iter()
            .map(|name| ServerName::try_from(name.clone()).map_err(|_| TlsError::HostName(name.clone())))
            .collect::<Result<_, _>>()?;
        if tls.trusted_ca.is_none() {
            refuse_without_ca(&tls)?;
        }
        let seen = stamps(&tls);
        let config = server_config(&tls, side)?;
        Ok(Acceptor { side, tls, hostnames, current: Mutex::new(Current { config, seen }) })
    }

    /// The configuration for the next handshake, and the error when changed files could not be used.
    fn current(&self) -> (Arc<ServerConfig>, Option<TlsError>) {
        let seen = stamps(&self.tls);
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let mut error = None;
        if current.seen != seen {
            // Tried once per change, so that broken files are reported once.
            current.seen = seen;
            match server_config(&self.tls, self.side) {
                Ok(config) => current.config = config,
                Err(e) => error = Some(e),
            }
        }
        (Arc::clone(&current.config), error)
    }

    /// Runs the handshake with `remote` in bounded time. The second value is an error of re-reading files, for the
    /// log.
    pub(crate) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        remote: &str,
    ) -> (Result<(TlsStream<S>, Identity), HandshakeError>, Option<TlsError>) {
        let (config, reload_error) = self.current();
        let handshake = async {
            let stream = TlsAcceptor::from(config).accept(stream).await?;
            self.identify(stream, remote).await
        };
        let result = timeout(HANDSHAKE_TIMEOUT, handshake).await.unwrap_or(Err(HandshakeError::Timeout));
        (result, reload_error)
    }

    async fn identify<S>(
        &self,
        stream: TlsStream<S>,
        remote: &str,
    ) -> Result<(TlsStream<S>, Identity), HandshakeError> {
        let mut identity = Identity::default();
        if let Some([leaf, ..]) = stream.get_ref().1.peer_certificates() {
            if !self.is_allowed(leaf) {
                return Err(HandshakeError::Name);
            }
            if self.tls.check_origin {
                origin::check(leaf, remote).await?;
            }
            if self.tls.client_cert_auth {
                identity.common_name = der::common_name(leaf);
            }
        }
        Ok((stream, identity))
    }

    /// Whether the certificate has one of the names that are asked for.
    fn is_allowed(&self, leaf: &CertificateDer<'_>) -> bool {
        let common_names = &self.tls.allowed_common_names;
        if !common_names.is_empty()
            && !der::common_name(leaf).is_some_and(|name| common_names.contains(&name))
        {
            return false;
        }
        if self.hostnames.is_empty() {
            return true;
        }
        let Ok(parsed) = ParsedCertificate::try_from(leaf) else {
            return false;
        };
        self.hostnames.iter().any(|name| verify_server_name(&parsed, name).is_ok())
    }
}

/// A restriction without effect is refused.
fn refuse_without_ca(tls: &Tls) -> Result<(), TlsError> {
    let demands = [
        (tls.client_cert_auth, TlsSetting::ClientCertAuth),
        (tls.crl.is_some(), TlsSetting::Crl),
        (!tls.allowed_hostnames.is_empty(), TlsSetting::AllowedHostnames),
        (!tls.allowed_common_names.is_empty(), TlsSetting::AllowedCommonNames),
    ];
    match demands.into_iter().find(|(demanded, _)| *demanded) {
        Some((_, setting)) => Err(TlsError::NoTrustedCa(setting)),
        None => Ok(()),
    }
}

/// What tells that a file has changed. Time and length may be those of the file before: keys of one kind are of equal
/// length, and copies keep their time. Its number and the time of the last change of any kind are not.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    number: u64,
    len: u64,
    changed: (i64, i64),
    modified: (i64, i64),
}

fn stamps(tls: &Tls) -> Vec<Option<Stamp>> {
    let stamp = |meta: fs::Metadata| Stamp {
        number: meta.ino(),
        len: meta.len(),
        changed: (meta.ctime(), meta.ctime_nsec()),
        modified: (meta.mtime(), meta.mtime_nsec()),
    };
    [Some(&tls.cert), Some(&tls.key), tls.trusted_ca.as_ref(), tls.crl.as_ref()]
        .into_iter()
        .flatten()
        .map(|path| fs::metadata(path).map(stamp).ok())
        .collect()
}

fn server_config(tls: &Tls, side: TlsSide) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(provider(&tls.cipher_suites)?);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions(tls)?)
        .map_err(TlsError::Unusable)?;
    let verifier = client_verifier(tls, provider)?;
    let demands_certificates = verifier.is_some();
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let key = PrivateKeyDer::from_pem_file(&tls.key).map_err(|e| pem_error(TlsSetting::Key, &tls.key, e))?;
    let mut config = builder
        .with_single_cert(certificates(TlsSetting::Cert, &tls.cert)?, key)
        .map_err(|e| TlsError::Pair(tls.cert.clone(), tls.key.clone(), e))?;
    config.alpn_protocols = side.protocols();
    if demands_certificates {
        // A resumed session is not asked for its certificate, which may have ended meanwhile.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    Ok(Arc::new(config))
}

fn versions(tls: &Tls) -> Result<Vec<&'static SupportedProtocolVersion>, TlsError> {
    let min = tls.version_min.unwrap_or(TlsVersion::Tls12);
    let max = tls.version_max.unwrap_or(TlsVersion::Tls13);
    if min > max {
        return Err(TlsError::Versions);
    }
    let all = [(TlsVersion::Tls12, &TLS12), (TlsVersion::Tls13, &TLS13)];
    Ok(all.into_iter().filter(|(version, _)| (min..=max).contains(version)).map(|(_, v)| v).collect())
}

fn provider(suites: &[String]) -> Result<CryptoProvider, TlsError> {
    let mut provider = ring::default_provider();
    if suites.is_empty() {
        return Ok(provider);
    }
    let known = std::mem::take(&mut provider.cipher_suites);
    for name in suites {
        let suite = known.iter().find(|suite| iana_name(&format!("{:?}", suite.suite())) == *name);
        provider.cipher_suites.push(*suite.ok_or_else(|| TlsError::CipherSuite(name.clone()))?);
    }
    Ok(provider)
}

/// rustls marks the suites of TLS 1.3 in their names.
fn iana_name(rustls_name: &str) -> String {
    rustls_name.replace("TLS13_", "TLS_")
}

fn client_verifier(
    tls: &Tls,
    provider: Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    let Some(ca) = &tls.trusted_ca else {
        return Ok(None);
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(TlsSetting::TrustedCa, ca)? {
        roots.add(certificate).map_err(|e| TlsError::TrustedCa(ca.clone(), e))?;
    }
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    if let Some(crl) = &tls.crl {
        // A list says who is revoked; issuers without a list revoke nobody.
        builder = builder.with_crls(revocations(crl)?).allow_unknown_revocation_status();
    }
    Ok(Some(builder.build()?))
}

fn certificates(setting: TlsSetting, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| pem_error(setting, path, e))?;
    if found.is_empty() { Err(TlsError::Empty(setting, path.into())) } else { Ok(found) }
}

/// Revocation lists in PEM, or one in DER.
fn revocations(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let bytes = fs::read(path).map_err(|e| TlsError::File(TlsSetting::Crl, path.into(), e))?;
    let found = revocations_in(bytes).map_err(|e| TlsError::Pem(TlsSetting::Crl, path.into(), e))?;
    // Nobody names a file of something else to have nobody revoked.
    if found.is_empty() { Err(TlsError::Empty(TlsSetting::Crl, path.into())) } else { Ok(found) }
}

fn revocations_in(bytes: Vec<u8>) -> Result<Vec<CertificateRevocationListDer<'static>>, pem::Error> {
    if !bytes.starts_with(b"-----BEGIN") {
        return Ok(vec![bytes.into()]);
    }
    CertificateRevocationListDer::pem_slice_iter(&bytes).collect()
}

/// Whatever stands in a file of certificates, of a key, or of revocation lists for the authority `ca`.
#[cfg(feature = "fuzzing")]
pub(crate) fn fuzz_file(bytes: &[u8], ca: &CertificateDer<'static>) {
    let certificates =
        CertificateDer::pem_slice_iter(bytes).collect::<Result<Vec<_>, _>>().unwrap_or_default();
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        let _ = roots.add(certificate);
    }
    if let Ok(key) = PrivateKeyDer::from_pem_slice(bytes) {
        let _ = rustls::crypto::ring::sign::any_supported_type(&key);
    }
    let Ok(revocations) = revocations_in(bytes.to_vec()) else { return };
    let mut roots = RootCertStore::empty();
    if roots.add(ca.clone()).is_ok() {
        let provider = Arc::new(ring::default_provider());
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        let _ = builder.with_crls(revocations).allow_unknown_revocation_status().build();
    }
}

fn pem_error(setting: TlsSetting, path: &Path, error: pem::Error) -> TlsError {
    match error {
        pem::Error::Io(error) => TlsError::File(setting, path.into(), error),
        error => TlsError::Pem(setting, path.into(), error),
    }
}
