//! From an endpoint to a channel.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::TlsConnector;
use tonic::transport::Channel;
use tower::service_fn;

use crate::{Endpoint, Error, Settings};

/// How to speak TLS with servers.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Whom to trust, PEM; `None` for whom the system trusts.
    pub ca: Option<PathBuf>,
    /// Our certificate, PEM.
    pub cert: Option<PathBuf>,
    /// Its key, PEM.
    pub key: Option<PathBuf>,
    /// Trust everybody.
    pub skip_verify: bool,
    /// The name that servers' certificates must have; `None` for the endpoint's.
    pub server_name: Option<String>,
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// There is no connection, so nothing was sent.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotConnected(String);

/// Where a server is, and the connection to it once there is one.
#[derive(Debug)]
pub(crate) struct Door {
    endpoint: Endpoint,
    tls: Option<Connector>,
    channel: tokio::sync::Mutex<Option<Channel>>,
}

#[derive(Clone)]
struct Connector(TlsConnector);

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

impl Door {
    /// # Errors
    /// `Endpoint` and `Tls`.
    pub(crate) fn new(text: &str, settings: &Settings) -> Result<Door, Error> {
        let endpoint = Endpoint::parse(text, settings.secure)?;
        let tls = match endpoint.secure {
            true => Some(Connector(TlsConnector::from(Arc::new(settings.tls.config()?)))),
            false => None,
        };
        Ok(Door { endpoint, tls, channel: tokio::sync::Mutex::new(None) })
    }

    /// The connection, made now if there is none.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn channel(&self, settings: &Settings) -> Result<Channel, String> {
        let mut channel = self.channel.lock().await;
        if let Some(channel) = channel.as_ref() {
            return Ok(channel.clone());
        }
        let builder = Channel::from_shared(self.endpoint.url())
            .map_err(|_| format!("{} cannot be part of a URL", self.endpoint))?
            .connect_timeout(settings.dial_timeout)
            .http2_keep_alive_interval(settings.keepalive_time)
            .keep_alive_timeout(settings.keepalive_timeout);
        let (endpoint, tls, patience) = (self.endpoint.clone(), self.tls.clone(), settings.dial_timeout);
        let name = settings.tls.server_name.clone().unwrap_or_else(|| self.endpoint.host().to_owned());
        let connect = service_fn(move |_: Uri| {
            let (endpoint, tls, name) = (endpoint.clone(), tls.clone(), name.clone());
            async move {
                let opened = open(&endpoint, name, tls.map(|tls| tls.0), patience).await.map(TokioIo::new);
                opened.map_err(|error| NotConnected(format!("cannot connect to {endpoint}: {error}")))
            }
        });
        let opened = builder.connect_with_connector(connect).await.map_err(|error| last_reason(&error))?;
        Ok(channel.insert(opened).clone())
    }

    /// The next call makes a new connection: the old one broke.
    pub(crate) async fn forget(&self) {
        *self.channel.lock().await = None;
    }
}

/// What is behind all that wraps it.
fn last_reason(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}

async fn open(
    endpoint: &Endpoint,
    name: String,
    tls: Option<TlsConnector>,
    patience: Duration,
) -> io::Result<Box<dyn Io>> {
    let opened = async {
        let socket: Box<dyn Io> = match &endpoint.socket {
            Some(path) => Box::new(UnixStream::connect(path).await?),
            None => {
                let socket = TcpStream::connect(&endpoint.authority).await?;
                socket.set_nodelay(true)?;
                Box::new(socket)
            }
        };
        let Some(tls) = tls else { return Ok(socket) };
        let name = ServerName::try_from(name).map_err(io::Error::other)?;
        Ok(Box::new(tls.connect(name, socket).await?) as Box<dyn Io>)
    };
    match tokio::time::timeout(patience, opened).await {
        Ok(opened) => opened,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "it did not answer in time")),
    }
}

impl Tls {
    fn config(&self) -> Result<ClientConfig, Error> {
        let failed =
            |path: &Path, error: &dyn std::fmt::Display| Error::Tls(format!("{}: {error}", path.display()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|e| Error::Tls(e.to_string()))?;
        let builder = if self.skip_verify {
            builder.dangerous().with_custom_certificate_verifier(trust_everybody(provider))
        } else {
            let mut roots = RootCertStore::empty();
            match &self.ca {
                Some(ca) => {
                    for cert in CertificateDer::pem_file_iter(ca).map_err(|e| failed(ca, &e))? {
                        roots.add(cert.map_err(|e| failed(ca, &e))?).map_err(|e| failed(ca, &e))?;
                    }
                }
                // Some of what a system trusts may be of no use to us.
                None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
            }
            builder.with_root_certificates(roots)
        };
        let mut config = match self.cert.as_ref().zip(self.key.as_ref()) {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let chain = CertificateDer::pem_file_iter(cert).map_err(|e| failed(cert, &e))?;
                let chain: Vec<_> = chain.collect::<Result<_, _>>().map_err(|e| failed(cert, &e))?;
                let private = PrivateKeyDer::from_pem_file(key).map_err(|e| failed(key, &e))?;
                builder.with_client_auth_cert(chain, private).map_err(|e| failed(cert, &e))?
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }
}

/// Checks nothing but that whoever shows a certificate has its key. Only for who asks for it.
pub fn trust_everybody(provider: Arc<CryptoProvider>) -> Arc<dyn ServerCertVerifier> {
    Arc::new(TrustAll(provider))
}

#[derive(Debug)]
struct TrustAll(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustAll {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Largest page that is fetched.
const PAGE_BYTES_MAX: u64 = 64 << 20;

/// A page that a server shows over HTTP/1.1 beside its API.
///
/// # Errors
/// When nobody answers, or not with a page.
pub async fn fetch(endpoint: &Endpoint, settings: &Settings, path: &str) -> Result<String, Error> {
    let broken = |error: io::Error| Error::from(tonic::Status::unavailable(error.to_string()));
    let tls = match endpoint.secure {
        true => {
            let mut config = settings.tls.config()?;
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            Some(TlsConnector::from(Arc::new(config)))
        }
        false => None,
    };
    let name = settings.tls.server_name.clone().unwrap_or_else(|| endpoint.host().to_owned());
    let mut stream = open(endpoint, name, tls, settings.dial_timeout).await.map_err(broken)?;
    // With 1.0 the body ends with the connection, and needs no reader of its own.
    let request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", endpoint.authority);
    stream.write_all(request.as_bytes()).await.map_err(broken)?;
    let mut answer = Vec::new();
    // Some servers end a TLS connection without saying so; what came is what there is.
    let read = stream.take(PAGE_BYTES_MAX).read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.") && head.contains(" 200 ") => Ok(body.to_owned()),
        Some((head, _)) => {
            let line = head.lines().next().unwrap_or_default();
            Err(tonic::Status::unavailable(line).into())
        }
        None => Err(broken(read.err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into()))),
    }
}
