//! From an endpoint to a channel.

use std::{
    io,
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
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
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
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A channel that connects when it is used, and again when its connection ends.
pub(crate) fn channel(endpoint: &Endpoint, settings: &Settings) -> Result<Channel, Error> {
    let tls = match endpoint.secure {
        true => Some(TlsConnector::from(Arc::new(settings.tls.config()?))),
        false => None,
    };
    let refuse = |reason| Error::Endpoint { endpoint: endpoint.to_string(), reason };
    let builder =
        Channel::from_shared(endpoint.to_string()).map_err(|_| refuse("it cannot be part of a URL"))?;
    let builder = builder
        .connect_timeout(settings.dial_timeout)
        .http2_keep_alive_interval(settings.keepalive_time)
        .keep_alive_timeout(settings.keepalive_timeout);
    let (endpoint, patience) = (endpoint.clone(), settings.dial_timeout);
    let connect = service_fn(move |_: Uri| {
        let (endpoint, tls) = (endpoint.clone(), tls.clone());
        async move { open(&endpoint, tls, patience).await.map(TokioIo::new) }
    });
    Ok(builder.connect_with_connector_lazy(connect))
}

async fn open(endpoint: &Endpoint, tls: Option<TlsConnector>, patience: Duration) -> io::Result<Box<dyn Io>> {
    let opened = async {
        let socket = TcpStream::connect(&endpoint.authority).await?;
        socket.set_nodelay(true)?;
        let Some(tls) = tls else { return Ok(Box::new(socket) as Box<dyn Io>) };
        let name = ServerName::try_from(endpoint.host().to_owned()).map_err(io::Error::other)?;
        Ok(Box::new(tls.connect(name, socket).await?) as Box<dyn Io>)
    };
    match tokio::time::timeout(patience, opened).await {
        Ok(opened) => opened,
        Err(_) => {
            Err(io::Error::new(io::ErrorKind::TimedOut, format!("cannot connect to {endpoint} in time")))
        }
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
